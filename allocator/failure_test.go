package allocator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

var kinds = []allocator.Kind{
	allocator.ErrInvalidRequest, allocator.ErrNotFound, allocator.ErrConflict, allocator.ErrIdempotentParameterMismatch,
	allocator.ErrGameSessionFull, allocator.ErrInvalidGameSessionStatus, allocator.ErrInvalidPlayerSessionStatus,
	allocator.ErrFleetCapacityExceeded, allocator.ErrStoreUnavailable, allocator.ErrOutcomeUnknown, allocator.ErrInternal,
}

// wantOnlyKind checks that an error is of one kind and no other.
func wantOnlyKind(t *testing.T, what string, err error, kind allocator.Kind) {
	t.Helper()
	wantKind(t, what, err, kind)
	for _, other := range kinds {
		if other != kind && errors.Is(err, other) {
			t.Errorf("%s: error %v is of the kind %q too", what, err, other)
		}
	}
}

// reads are the operations that change nothing for callers.
var reads = []struct {
	name string
	call func(a *allocator.Allocator, p *allocator.PlayerSession) error
}{
	{"DescribeGameSessions by game session", func(a *allocator.Allocator, p *allocator.PlayerSession) error {
		_, err := a.DescribeGameSessions(context.Background(), allocator.DescribeGameSessionsInput{GameSessionID: p.GameSessionID})
		return err
	}},
	{"DescribeGameSessions by fleet", func(a *allocator.Allocator, p *allocator.PlayerSession) error {
		_, err := a.DescribeGameSessions(context.Background(), allocator.DescribeGameSessionsInput{FleetID: p.FleetID})
		return err
	}},
	{"DescribePlayerSessions by game session", func(a *allocator.Allocator, p *allocator.PlayerSession) error {
		_, err := a.DescribePlayerSessions(context.Background(), allocator.DescribePlayerSessionsInput{GameSessionID: p.GameSessionID})
		return err
	}},
	{"DescribePlayerSessions of one status", func(a *allocator.Allocator, p *allocator.PlayerSession) error {
		_, err := a.DescribePlayerSessions(context.Background(), allocator.DescribePlayerSessionsInput{
			GameSessionID: p.GameSessionID, StatusFilter: allocator.PlayerSessionReserved,
		})
		return err
	}},
	{"DescribePlayerSessions by player", func(a *allocator.Allocator, p *allocator.PlayerSession) error {
		_, err := a.DescribePlayerSessions(context.Background(), allocator.DescribePlayerSessionsInput{PlayerID: p.PlayerID})
		return err
	}},
	{"DescribePlayerSessions by player session", func(a *allocator.Allocator, p *allocator.PlayerSession) error {
		_, err := a.DescribePlayerSessions(context.Background(), allocator.DescribePlayerSessionsInput{PlayerSessionID: p.ID})
		return err
	}},
	{"Sweep", func(a *allocator.Allocator, _ *allocator.PlayerSession) error {
		_, err := a.Sweep(context.Background())
		return err
	}},
	{"Ready", func(a *allocator.Allocator, _ *allocator.PlayerSession) error { return a.Ready(context.Background()) }},
}

func TestStoreThatIsDownIsUnavailableAndNothingElse(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	p := newProxy(t, store)
	client := p.client(t, 1)
	a := open(t, store, func(config *allocator.Config) { config.Redis = client })
	full := s.newGameSession(0)
	session := s.reserve(s.newGameSession(1), "ada")
	var calls []func(*allocator.Allocator) (any, error)
	for _, m := range mutations {
		calls = append(calls, m.call(s))
	}

	p.vanish()
	for i, call := range calls {
		_, err := call(a)
		wantOnlyKind(t, mutations[i].name, err, allocator.ErrStoreUnavailable)
	}
	wantOnlyKind(t, "CreatePlayerSession where all is full", scene{Allocator: a}.tryReserve(full), allocator.ErrStoreUnavailable)
	for _, r := range reads {
		wantOnlyKind(t, r.name, r.call(a, session), allocator.ErrStoreUnavailable)
	}
	_, err := allocator.Open(t.Context(), allocator.Config{Redis: client})
	wantOnlyKind(t, "Open", err, allocator.ErrStoreUnavailable)
}

// Of an answer that broke off, go-redis hands out the part that it has read.
func TestOfAnAnswerThatBreaksOffNothingIsTaken(t *testing.T) {
	for name, newStore := range map[string]func(testing.TB) *allocatortest.Store{
		"miniredis": allocatortest.Miniredis,
		"redis":     func(t testing.TB) *allocatortest.Store { return allocatortest.Redis(t) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, store := t.Context(), newStore(t)
			p := newProxy(t, store)
			for at, broken := 1, true; broken; at++ {
				flush(t, store)
				s := newScene(t, store)
				fleet := s.fleetAt("", "custom-a")
				s.newQueue("queue", nil, fleet)
				sweeper := open(t, store, func(config *allocator.Config) { config.Redis = p.client(t, -1) })
				placement := allocator.StartGameSessionPlacementInput{PlacementID: "old", QueueName: "queue", MaximumPlayerSessionCount: 1}
				s.placed(placement)
				ended := s.newGameSession(2)
				for _, player := range []string{"ada", "bob"} {
					p := s.reserve(ended, player)
					s.accept(p)
					s.remove(p)
				}
				s.terminate(ended)
				store.Advance(retention)
				s.deregisterAll(allocator.FleetID(fleet))
				placement.PlacementID = "pending"
				s.placed(placement)
				s.fleet = s.newFleet()
				due := append(s.gameSessionsInOnePartition(2), s.newGameSession(2))
				for _, game := range append(due, due[2]) {
					s.reserve(game, "late")
				}
				store.Advance(reservationTimeout)

				p.breakOff(at)
				_, err := sweeper.Sweep(ctx)
				broken = p.hasBrokenOff()
				if broken {
					wantOnlyKind(t, fmt.Sprintf("a sweep that reads %d refs", at-1), err, allocator.ErrStoreUnavailable)
				}
				s.sweep()
				wantCount(t, "slots taken", s.taken(due[0])+s.taken(due[1])+s.taken(due[2]), 0)
				wantInvariants(t, store, s.Allocator)
				if _, err := s.DescribeGameSessionPlacement(ctx, "old"); !errors.Is(err, allocator.ErrNotFound) {
					t.Errorf("the placement whose retention is over: %v", err)
				}
				if !broken && at < 9 { // a sweep reads the refs of more than that
					t.Errorf("only %d answers broke off", at-1)
				}
			}
		})
	}
}

func TestStoreThatDoesNotAnswerInTimeLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	store := allocatortest.RedisRealTime(t)
	s := newScene(t, store)
	a := open(t, store, func(config *allocator.Config) {
		config.Redis = clientLike(t, config.Redis, func(o *redis.Options) { o.ReadTimeout, o.MaxRetries = time.Second, -1 })
	})
	game := s.newGameSession(1)
	if err := store.Client().Do(t.Context(), "CLIENT", "PAUSE", 600_000, "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	wantOnlyKind(t, "CreatePlayerSession", scene{Allocator: a}.tryReserve(game), allocator.ErrOutcomeUnknown)
	_, err := a.DescribeGameSessions(t.Context(), allocator.DescribeGameSessionsInput{GameSessionID: game})
	wantOnlyKind(t, "DescribeGameSessions", err, allocator.ErrStoreUnavailable)
}

func TestRefusedChangeChangesNothing(t *testing.T) {
	store := allocatortest.Redis(t)
	// Of a change that is refused the second time, nobody knows what became of it the first time.
	client := clientLike(t, store.Client(), func(o *redis.Options) { o.MaxRetries = -1 })
	for _, c := range []struct {
		name           string
		refuse, permit []any
	}{
		{"out of memory", []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		{"a replica", []any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
		{"too few replicas", []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, []any{"CONFIG", "SET", "min-replicas-to-write", "0"}},
	} {
		for _, m := range mutations {
			t.Run(c.name+"/"+m.name, func(t *testing.T) {
				_, call := m.prepare(t, store)
				a := open(t, store, func(config *allocator.Config) { config.Redis = client })
				before := contentsOf(t, store)
				if err := client.Do(t.Context(), c.refuse...).Err(); err != nil {
					t.Fatal(err)
				}
				_, err := call(a)
				if err := client.Do(t.Context(), c.permit...).Err(); err != nil {
					t.Fatal(err)
				}
				wantOnlyKind(t, m.name, err, allocator.ErrStoreUnavailable)
				after := contentsOf(t, store)
				if diff := gocmp.Diff(before.hashes, after.hashes) + gocmp.Diff(before.sets, after.sets); diff != "" {
					t.Errorf("what was refused changed the store:\n%s", diff)
				}
			})
		}
	}
}

func TestForeignDataIsAnInternalFailure(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	p := s.reserve(s.newGameSession(1), "ada")
	if err := store.Client().Set(t.Context(), recordKey(p.ID), "no hash", 0).Err(); err != nil {
		t.Fatal(err)
	}
	wantOnlyKind(t, "AcceptPlayerSession", s.tryAccept(p), allocator.ErrInternal)
	_, err := s.DescribePlayerSessions(t.Context(), allocator.DescribePlayerSessionsInput{PlayerSessionID: p.ID})
	wantOnlyKind(t, "DescribePlayerSessions", err, allocator.ErrInternal)
}

func TestErrorCarriesItsKindItsMessageAndItsCause(t *testing.T) {
	cause := errors.New("cause")
	withCause := &allocator.Error{Kind: allocator.ErrNotFound, Message: "message", Cause: cause}
	without := &allocator.Error{Kind: allocator.ErrNotFound, Message: "message"}
	if withCause.Error() != "message: cause" || without.Error() != "message" {
		t.Errorf("the errors read %q and %q", withCause, without)
	}
	if !errors.Is(withCause, allocator.ErrNotFound) || !errors.Is(withCause, cause) || !errors.Is(without, allocator.ErrNotFound) || errors.Is(without, cause) {
		t.Error("errors.Is does not see kind and cause")
	}
}
