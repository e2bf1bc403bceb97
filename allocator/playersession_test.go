package allocator_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// lastReply is a hook that keeps what a script was answered with.
type lastReply []any

func (*lastReply) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *lastReply) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if script, ok := cmd.(*redis.Cmd); ok {
			*l, _ = script.Slice()
		}
		return err
	}
}

func (*lastReply) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestStoreDoesNotRepeatTheFactsThatAnAllocatorKnows(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		var reply lastReply
		s := newScene(t, store, func(config *allocator.Config) { config.Redis.AddHook(&reply) })
		game := s.newGameSession(4)
		first := s.reserve(game, "ada")
		wantCount(t, "facts for the first player", len(reply[2].([]any)), 6)
		second := s.reserve(game, "bob")
		wantCount(t, "facts for the second player", len(reply[2].([]any)), 0)
		if first.IPAddress != second.IPAddress || first.Port != second.Port || first.GameSessionID != second.GameSessionID || second.FleetARN != first.FleetARN {
			t.Errorf("the second player is told %+v, the first %+v", second, first)
		}
		if _, err := s.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: []string{"cyd", "dan"}}); err != nil {
			t.Fatal(err)
		}
		wantCount(t, "facts for a group", len(reply[2].([]any)), 0)
	})
}

func TestFilterOfTheLivingListsNoneThatHasEnded(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		var reply lastReply
		s := newScene(t, store, func(config *allocator.Config) { config.Redis.AddHook(&reply) })
		game := s.newGameSession(9)
		for range 5 {
			p := s.reserve(game, "ada")
			s.accept(p)
			s.remove(p)
		}
		s.reserve(game, "bob")
		in := allocator.DescribePlayerSessionsInput{GameSessionID: game, StatusFilter: allocator.PlayerSessionReserved}
		if out, err := s.DescribePlayerSessions(t.Context(), in); err != nil || len(out.PlayerSessions) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
		wantCount(t, "records read", len(reply)-2, 1) // behind the status word and the time
	})
}

// An eviction may take a record and leave its entry in the list. A retry is not to be answered with an empty player session.
func TestRetryOfAReservationWhoseRecordIsGoneSaysSo(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(9)
		alone := allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada", RetryToken: "alone"}
		group := allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: []string{"bob"}, RetryToken: "group"}
		p, err := s.CreatePlayerSession(t.Context(), alone)
		if err != nil {
			t.Fatal(err)
		}
		together, err := s.CreatePlayerSessions(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []allocator.PlayerSessionID{p.ID, together[0].ID} {
			if err := store.Client().Del(t.Context(), recordKey(id)).Err(); err != nil {
				t.Fatal(err)
			}
		}
		_, err = s.CreatePlayerSession(t.Context(), alone)
		wantOnlyKind(t, "the retry", err, allocator.ErrInternal)
		_, err = s.CreatePlayerSessions(t.Context(), group)
		wantOnlyKind(t, "the retry of the group", err, allocator.ErrInternal)
		s.findings(true)
		if p, err = s.CreatePlayerSession(t.Context(), alone); err != nil || p.Status != allocator.PlayerSessionReserved {
			t.Errorf("after the repair the retry is answered with %+v, %v", p, err)
		}
	})
}
