package allocator_test

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/lua"
)

func TestTerminationEndsEveryPlayerSessionThatHoldsASlot(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		game := s.newGameSession(5)
		late := s.reserve(game, "late")
		store.Advance(reservationTimeout / 2)
		reserved, active, gone := s.reserve(game, "reserved"), s.reserve(game, "active"), s.reserve(game, "gone")
		s.accept(active)
		s.accept(gone)
		s.remove(gone)
		left := store.Now()
		store.Advance(reservationTimeout / 2) // the deadline of the late one, to the millisecond

		ended := s.terminate(game)
		now := store.Now()
		if ended.ID != game || ended.Status != allocator.GameSessionTerminated || ended.StatusReason != allocator.ForceTerminated {
			t.Errorf("the answer is %s in %s because of %q, want %s in TERMINATED because of FORCE_TERMINATED", ended.ID, ended.Status, ended.StatusReason, game)
		}
		if !ended.TerminationTime.Equal(now) {
			t.Errorf("it ended at %v, want %v", ended.TerminationTime, now)
		}
		wantCount(t, "CurrentPlayerSessionCount", ended.CurrentPlayerSessionCount, 0)

		for _, want := range []struct {
			name   string
			player *allocator.PlayerSession
			status allocator.PlayerSessionStatus
			at     time.Time
		}{
			{"past its deadline", late, allocator.PlayerSessionTimedOut, late.CreationTime.Add(reservationTimeout)},
			{"RESERVED", reserved, allocator.PlayerSessionCompleted, now},
			{"ACTIVE", active, allocator.PlayerSessionCompleted, now},
			{"COMPLETED before", gone, allocator.PlayerSessionCompleted, left},
		} {
			got := s.read(want.player.ID)
			if got.Status != want.status || !got.TerminationTime.Equal(want.at) {
				t.Errorf("%s: %s at %v, want %s at %v", want.name, got.Status, got.TerminationTime, want.status, want.at)
			}
		}
		wantCount(t, "RESERVED player sessions", len(s.playersOf(game, allocator.PlayerSessionReserved)), 0)
		wantCount(t, "ACTIVE player sessions", len(s.playersOf(game, allocator.PlayerSessionActive)), 0)
		wantCount(t, "COMPLETED player sessions", len(s.playersOf(game, allocator.PlayerSessionCompleted)), 3)
		wantCount(t, "TIMEDOUT player sessions", len(s.playersOf(game, allocator.PlayerSessionTimedOut)), 1)

		// Nobody gets in afterwards, by whatever door.
		wantKind(t, "reserving a slot", s.tryReserve(game), allocator.ErrInvalidGameSessionStatus)
		_, err := s.CreatePlayerSessions(ctx, allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: []string{"a", "b"}})
		wantKind(t, "reserving two slots", err, allocator.ErrInvalidGameSessionStatus)
		_, err = s.PlacePlayerSessions(ctx, allocator.PlacePlayerSessionsInput{FleetID: s.fleet, PlayerIDs: []string{"a"}})
		wantKind(t, "placing a player", err, allocator.ErrGameSessionFull)
		wantKind(t, "accepting what was RESERVED", s.tryAccept(reserved), allocator.ErrInvalidPlayerSessionStatus)
		wantKind(t, "removing what was ACTIVE", s.tryRemove(active), allocator.ErrInvalidPlayerSessionStatus)
		name := "after the end"
		_, err = s.UpdateGameSession(ctx, allocator.UpdateGameSessionInput{GameSessionID: game, Name: &name})
		wantKind(t, "changing the game session", err, allocator.ErrInvalidGameSessionStatus)
		found, _, err := s.SearchGameSessions(ctx, allocator.SearchGameSessionsInput{FleetID: s.fleet})
		if err != nil || len(found) != 0 {
			t.Errorf("a search finds %d game sessions (%v), want none", len(found), err)
		}

		// What is over stays over: later calls and sweeps change nothing.
		store.Advance(reservationTimeout)
		swept := s.sweep()
		wantCount(t, "reservations that a sweep marks", swept.TimedOut, 0)
		if again := s.terminateBy(game, allocator.TriggerOnProcessTerminate); again.StatusReason != allocator.ForceTerminated || !again.TerminationTime.Equal(now) {
			t.Errorf("the second call answers %q at %v, want FORCE_TERMINATED at %v", again.StatusReason, again.TerminationTime, now)
		}
		if got := s.read(active.ID); !got.TerminationTime.Equal(now) {
			t.Errorf("the second call moved the end of a player session to %v", got.TerminationTime)
		}
	})
}

func TestTerminationModeBecomesTheStatusReason(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	for mode, want := range map[allocator.TerminationMode]allocator.GameSessionStatusReason{
		allocator.TriggerOnProcessTerminate: allocator.TriggeredOnProcessTerminate,
		allocator.ForceTerminate:            allocator.ForceTerminated,
	} {
		game := s.newGameSession(1)
		if before := s.describe(game); before.StatusReason != "" || !before.TerminationTime.IsZero() {
			t.Errorf("before its end it has reason %q and end %v", before.StatusReason, before.TerminationTime)
		}
		if got := s.terminateBy(game, mode); got.StatusReason != want {
			t.Errorf("%s: reason %q, want %q", mode, got.StatusReason, want)
		}
	}
}

func TestTerminationRefusesWhatItCannotEnd(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		game := s.newGameSession(1)
		_, err := s.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: game, Mode: "GENTLY"})
		wantKind(t, "an unknown mode", err, allocator.ErrInvalidRequest)
		_, err = s.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: game})
		wantKind(t, "no mode", err, allocator.ErrInvalidRequest)
		for _, id := range []allocator.GameSessionID{game + "x", "gsess-1", "", "arn:aws:gamelift:eu-west-1::gamesession/f/g"} {
			_, err = s.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: id, Mode: allocator.ForceTerminate})
			wantKind(t, fmt.Sprintf("game session %q", id), err, allocator.ErrNotFound)
		}
		if status := s.describe(game).Status; status != allocator.GameSessionActive {
			t.Errorf("after the refusals it is %s, want ACTIVE", status)
		}

		record := theKey(t, store, ":gs:")
		if err := store.Client().HSet(ctx, record, "status", "ERROR").Err(); err != nil {
			t.Fatal(err)
		}
		_, err = s.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: game, Mode: allocator.ForceTerminate})
		wantKind(t, "a game session in ERROR", err, allocator.ErrInvalidGameSessionStatus)
	})
}

func TestReservationsThatRaceWithTerminationEndWithIt(t *testing.T) {
	const rounds, callers = 25, 16
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	instances := []scene{s, {open(t, store), t, store, s.fleet}}
	for range rounds {
		game := s.newGameSession(200)
		var mu sync.Mutex
		var acknowledged []*allocator.PlayerSession
		var group sync.WaitGroup
		start := make(chan struct{})
		for caller := range callers {
			group.Go(func() {
				<-start
				for i := range 12 {
					p, err := instances[caller%2].CreatePlayerSession(context.Background(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: player(i)})
					if errors.Is(err, allocator.ErrInvalidGameSessionStatus) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					if i%2 == 0 {
						if err := instances[caller%2].tryAccept(p); err != nil && !errors.Is(err, allocator.ErrInvalidPlayerSessionStatus) {
							t.Error(err)
						}
					}
					mu.Lock()
					acknowledged = append(acknowledged, p)
					mu.Unlock()
				}
			})
		}
		for i := range 2 { // two callers end it at once
			group.Go(func() {
				<-start
				_, err := instances[i].TerminateGameSession(context.Background(), allocator.TerminateGameSessionInput{GameSessionID: game, Mode: allocator.ForceTerminate})
				if err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		group.Wait()
		ended := s.describe(game)
		if ended.Status != allocator.GameSessionTerminated || ended.CurrentPlayerSessionCount != 0 {
			t.Fatalf("it is %s with %d slots taken", ended.Status, ended.CurrentPlayerSessionCount)
		}
		for _, p := range acknowledged {
			if got := s.read(p.ID); got == nil || got.Status != allocator.PlayerSessionCompleted {
				t.Fatalf("a reservation that was acknowledged reads as %+v, want COMPLETED", got)
			}
		}
	}
}

func TestTerminationThatBrokeOffIsCarriedOnByASweep(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		dying, cut := openMortal(t, store)
		game := s.newGameSession(3)
		reserved, active := s.reserve(game, "reserved"), s.reserve(game, "active")
		s.accept(active)

		cut.after(1)
		_, err := dying.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: game, Mode: allocator.ForceTerminate})
		if err == nil {
			t.Fatal("the call succeeds though its client was cut off after the first script")
		}
		half := s.describe(game)
		if half.Status != allocator.GameSessionTerminating || half.StatusReason != allocator.ForceTerminated {
			t.Fatalf("halfway it is %s because of %q, want TERMINATING because of FORCE_TERMINATED", half.Status, half.StatusReason)
		}
		wantKind(t, "reserving halfway", s.tryReserve(game), allocator.ErrInvalidGameSessionStatus)

		store.Advance(time.Second)
		s.sweep()
		ended := s.describe(game)
		if ended.Status != allocator.GameSessionTerminated || !ended.TerminationTime.Equal(store.Now()) {
			t.Errorf("after a sweep it is %s, ended at %v, want TERMINATED at %v", ended.Status, ended.TerminationTime, store.Now())
		}
		for _, p := range []*allocator.PlayerSession{reserved, active} {
			if got := s.read(p.ID).Status; got != allocator.PlayerSessionCompleted {
				t.Errorf("%s is %s, want COMPLETED", p.PlayerID, got)
			}
		}
	})
}

func TestTerminationThatBrokeOffCanBeRepeated(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		dying, cut := openMortal(t, store)
		game := s.newGameSession(3)
		reserved := s.reserve(game, "reserved")
		cut.after(1)
		_, err := dying.TerminateGameSession(context.Background(), allocator.TerminateGameSessionInput{GameSessionID: game, Mode: allocator.ForceTerminate})
		if err == nil {
			t.Fatal("the call succeeds though its client was cut off after the first script")
		}
		if got := s.terminate(game).Status; got != allocator.GameSessionTerminated {
			t.Errorf("the repeated call answers %s", got)
		}
		if got := s.read(reserved.ID).Status; got != allocator.PlayerSessionCompleted {
			t.Errorf("the reservation is %s, want COMPLETED", got)
		}
	})
}

// A sweep has looked at a game session that has a reservation to time out; just then a termination begins, and breaks off.
func TestSweepThatIsUnderWayForgetsNoTermination(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		dying, cut := openMortal(t, store)
		game := s.newGameSession(3)
		active := s.reserve(game, "active")
		s.accept(active)
		s.reserve(game, "late")
		store.Advance(reservationTimeout)

		sweeper := open(t, store, meanwhile("time_out_player_sessions", func() {
			cut.after(1)
			_, err := dying.TerminateGameSession(context.Background(), allocator.TerminateGameSessionInput{GameSessionID: game, Mode: allocator.ForceTerminate})
			if err == nil {
				t.Error("the call succeeds though its client was cut off after the first script")
			}
		}))
		if _, err := sweeper.Sweep(context.Background()); err != nil {
			t.Fatal(err)
		}
		if status := s.describe(game).Status; status == allocator.GameSessionActive {
			t.Fatal("the termination did not begin")
		}
		store.Advance(time.Second)
		s.sweep()
		if status := s.describe(game).Status; status != allocator.GameSessionTerminated {
			t.Errorf("after the next sweep it is %s, want TERMINATED", status)
		}
		if got := s.read(active.ID).Status; got != allocator.PlayerSessionCompleted {
			t.Errorf("the player is %s, want COMPLETED", got)
		}
	})
}

func TestTerminationMissesNoPlayerWhoCameInAtTheLastMoment(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(2)
		first := s.reserve(game, "first")
		var second *allocator.PlayerSession
		terminator := open(t, store, meanwhile("terminate_game_session", func() { second = s.reserve(game, "second") }))
		_, err := terminator.TerminateGameSession(context.Background(), allocator.TerminateGameSessionInput{GameSessionID: game, Mode: allocator.ForceTerminate})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*allocator.PlayerSession{first, second} {
			if got := s.read(p.ID).Status; got != allocator.PlayerSessionCompleted {
				t.Errorf("%s is %s, want COMPLETED", p.PlayerID, got)
			}
		}
	})
}

func TestNothingIsLeftOfAGameSessionWhoseRetentionIsOver(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		before := everyKey(t, store)
		game := s.newGameSession(60)
		var players []*allocator.PlayerSession
		for i := range 40 {
			p := s.reserve(game, player(i%7))
			if i%2 == 0 {
				s.accept(p)
			}
			if i%4 == 0 {
				s.remove(p)
			}
			players = append(players, p)
		}
		store.Advance(time.Second)
		s.terminate(game)
		store.Advance(retention - time.Millisecond)
		s.sweep()
		if got := s.describe(game).Status; got != allocator.GameSessionTerminated {
			t.Errorf("a millisecond before the retention is over it is %s", got)
		}
		if s.read(players[1].ID) == nil {
			t.Error("a millisecond before the retention is over a player session is gone")
		}
		store.Advance(time.Millisecond)
		s.sweep()
		_, err := s.DescribeGameSessions(context.Background(), allocator.DescribeGameSessionsInput{GameSessionID: game})
		wantKind(t, "reading the game session", err, allocator.ErrNotFound)
		for _, p := range players {
			if s.read(p.ID) != nil {
				t.Errorf("player session %s is still there", p.ID)
			}
		}
		wantSameKeys(t, before, everyKey(t, store))
	})
}

func TestOneSweepDeletesAllGameSessionsWhoseRetentionIsOver(t *testing.T) {
	const games = 230
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	before := everyKey(t, store)
	for _, name := range namesInOnePartition(games, func(name string) string { return string(s.fleet) + "/" + name }) {
		_, err := s.CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: s.fleet, GameSessionID: name, MaximumPlayerSessionCount: 1})
		if err != nil {
			t.Fatal(err)
		}
		s.terminate(allocator.GameSessionID("arn:aws:gamelift:us-east-1::gamesession/" + string(s.fleet) + "/" + name))
	}
	store.Advance(retention)
	wantCount(t, "game sessions purged", s.sweep().Purged, games)
	wantSameKeys(t, before, everyKey(t, store))
}

// namesInOnePartition makes up names whose ids, as they are hashed, share their first byte, and with it the partition.
func namesInOnePartition(n int, id func(name string) string) (names []string) {
	for i := 0; len(names) < n; i++ {
		name := fmt.Sprintf("name-%d", i)
		if sha256.Sum256([]byte(id(name)))[0] == 7 {
			names = append(names, name)
		}
	}
	return names
}

func (s scene) terminate(game allocator.GameSessionID) *allocator.GameSession {
	s.t.Helper()
	return s.terminateBy(game, allocator.ForceTerminate)
}

func (s scene) terminateBy(game allocator.GameSessionID, mode allocator.TerminationMode) *allocator.GameSession {
	s.t.Helper()
	g, err := s.TerminateGameSession(context.Background(), allocator.TerminateGameSessionInput{GameSessionID: game, Mode: mode})
	if err != nil {
		s.t.Fatalf("terminate %s: %v", game, err)
	}
	return g
}

func (s scene) describe(game allocator.GameSessionID) *allocator.GameSession {
	s.t.Helper()
	out, err := s.DescribeGameSessions(context.Background(), allocator.DescribeGameSessionsInput{GameSessionID: game})
	if err != nil {
		s.t.Fatal(err)
	}
	return &out.GameSessions[0]
}

// everyKey lists the keys of all servers of a store, sorted.
func everyKey(t testing.TB, store *allocatortest.Store) (keys []string) {
	t.Helper()
	var mu sync.Mutex
	eachServer(t, store, func(ctx context.Context, server *redis.Client) error {
		some, err := server.Keys(ctx, "*").Result()
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, some...)
		return err
	})
	slices.Sort(keys)
	return keys
}

func wantSameKeys(t testing.TB, before, after []string) {
	t.Helper()
	differ := func(what string, some, others []string) {
		extra := slices.DeleteFunc(slices.Clone(some), func(key string) bool { return slices.Contains(others, key) })
		if len(extra) > 0 {
			t.Errorf("%d keys %s: %v", len(extra), what, extra[:min(5, len(extra))])
		}
	}
	differ("are left behind", after, before)
	differ("are gone, too", before, after)
}

// theKey returns the one key whose name has that part.
func theKey(t testing.TB, store *allocatortest.Store, part string) string {
	t.Helper()
	var found []string
	for _, key := range everyKey(t, store) {
		if strings.Contains(key, part) {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		t.Fatalf("there are %d keys with %q in their names, want one", len(found), part)
	}
	return found[0]
}

// openMortal opens an Allocator that can be made to die between two scripts.
func openMortal(t testing.TB, store *allocatortest.Store, change ...func(*allocator.Config)) (*allocator.Allocator, *mortality) {
	t.Helper()
	m := &mortality{}
	return open(t, store, append(change, func(c *allocator.Config) { c.Redis.AddHook(m) })...), m
}

// mortality is a hook that cuts a client off from its store as the death of its process would: between two commands.
type mortality struct {
	armed, left atomic.Int64
	panics      atomic.Bool // instead
}

var errDead = &net.OpError{Op: "write", Err: errors.New("this process is dead")}

// after lets so many more scripts through, and nothing that follows the last of them.
func (m *mortality) after(scripts int) {
	m.left.Store(int64(scripts))
	m.armed.Store(1)
}

// panicAfter lets so many more scripts through, and panics at what follows the last of them.
func (m *mortality) panicAfter(scripts int) {
	m.panics.Store(true)
	m.after(scripts)
}

// undo lets everything through again.
func (m *mortality) undo() { m.armed.Store(0) }

func (m *mortality) dead() bool {
	dead := m.armed.Load() == 1 && m.left.Load() <= 0
	if dead && m.panics.Load() {
		panic(errDead)
	}
	return dead
}

func (m *mortality) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *mortality) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if m.dead() {
			cmd.SetErr(errDead)
			return errDead
		}
		err := next(ctx, cmd)
		if err == nil && (cmd.Name() == "eval" || cmd.Name() == "evalsha") {
			m.left.Add(-1)
		}
		return err
	}
}

func (m *mortality) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if m.dead() {
			return errDead
		}
		return next(ctx, cmds)
	}
}

// meanwhile has something happen just before an Allocator runs a script for the first time.
func meanwhile(script string, do func()) func(*allocator.Config) {
	digest := sha1.Sum([]byte(lua.Source(script)))
	return func(c *allocator.Config) {
		c.Redis.AddHook(&interruption{digest: hex.EncodeToString(digest[:]), do: sync.OnceFunc(do)})
	}
}

type interruption struct {
	digest string
	do     func()
}

func (h *interruption) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *interruption) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" && cmd.Args()[1] == h.digest {
			h.do()
		}
		return next(ctx, cmd)
	}
}

func (h *interruption) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
