package allocator_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

const (
	callers  = 64
	slots    = 200
	attempts = 10_000
)

// pair opens a second Allocator with its own client on the store of a scene. It pipelines whatever it does.
func (s scene) pair() [2]*allocator.Allocator {
	return [2]*allocator.Allocator{s.Allocator, open(s.t, s.store).Pipelined()}
}

// atOnce calls do for 0 to n-1, from many goroutines at once.
func atOnce(n int, do func(i int)) {
	var next atomic.Int64
	var callersDone sync.WaitGroup
	for range callers {
		callersDone.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	callersDone.Wait()
}

func TestAttemptsAtOnceTakeExactlyTheSlotsThereAre(t *testing.T) {
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	allocators := s.pair()
	game := s.newGameSession(slots)
	for round := range 2 { // the second when the reservations of the first have timed out
		var reserved, full atomic.Int64
		ids := sync.Map{}
		atOnce(attempts, func(i int) {
			p, err := allocators[i%2].CreatePlayerSession(t.Context(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: player(i)})
			switch {
			case err == nil:
				if _, twice := ids.LoadOrStore(p.ID, true); twice {
					t.Errorf("the id %s was given twice", p.ID)
				}
				reserved.Add(1)
			case errors.Is(err, allocator.ErrGameSessionFull):
				full.Add(1)
			default:
				t.Errorf("attempt %d: %v", i, err)
			}
		})
		wantCount(t, fmt.Sprintf("round %d, reserved", round), int(reserved.Load()), slots)
		wantCount(t, fmt.Sprintf("round %d, refused", round), int(full.Load()), attempts-slots)
		wantCount(t, fmt.Sprintf("round %d, slots taken", round), s.taken(game), slots)
		wantInvariants(t, store, s.Allocator)
		store.Advance(reservationTimeout)
		wantCount(t, fmt.Sprintf("round %d, slots taken after the timeout", round), s.taken(game), 0)
	}
}

func TestGroupsAtOnceAreReservedWholeOrNotAtAll(t *testing.T) {
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	allocators := s.pair()
	game := s.newGameSession(slots)
	for range 2 {
		var mu sync.Mutex
		whole := make(map[allocator.PlayerSessionID]bool) // of the groups that succeeded
		smallestRefused := 1000
		atOnce(attempts/10, func(i int) {
			ids := groupOf(i, 1+rand.IntN(25))
			group, err := allocators[i%2].CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: ids})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				if len(group) != len(ids) {
					t.Errorf("a group of %d got %d player sessions", len(ids), len(group))
				}
				for _, p := range group {
					whole[p.ID] = true
				}
			case errors.Is(err, allocator.ErrGameSessionFull):
				smallestRefused = min(smallestRefused, len(ids))
			default:
				t.Errorf("group %d: %v", i, err)
			}
		})
		taken := s.taken(game)
		wantCount(t, "slots taken", taken, len(whole))
		if taken > slots || taken+smallestRefused <= slots {
			t.Errorf("%d of %d slots are taken, and a group of %d was refused", taken, slots, smallestRefused)
		}
		for _, id := range wantInvariants(t, store, s.Allocator).playerSessions() {
			if !whole[id] {
				t.Errorf("player session %s is of a group that was refused", id)
			}
		}
		store.Advance(reservationTimeout + retention)
		s.sweep()
	}
}

func TestPlayersAtOnceAcceptOnce(t *testing.T) {
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	allocators := s.pair()
	p := s.reserve(s.newGameSession(1), "ada")
	for _, c := range []struct {
		name string
		try  func(a *allocator.Allocator) error
	}{
		{"accept", func(a *allocator.Allocator) error { return scene{Allocator: a}.tryAccept(p) }},
		{"remove", func(a *allocator.Allocator) error { return scene{Allocator: a}.tryRemove(p) }},
	} {
		var done atomic.Int64
		atOnce(200, func(i int) {
			if err := c.try(allocators[i%2]); err == nil {
				done.Add(1)
			} else if !errors.Is(err, allocator.ErrInvalidPlayerSessionStatus) {
				t.Errorf("%s: %v", c.name, err)
			}
		})
		wantCount(t, c.name+" succeeded", int(done.Load()), 1)
	}
}

// Everything at once, while the clock moves and sweeps run: nobody ever sees more players than slots.
func TestNoReaderEverSeesMorePlayersThanSlots(t *testing.T) {
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	allocators := s.pair()
	const room = 10
	game := s.newGameSession(room)
	var mu sync.Mutex
	var reserved []*allocator.PlayerSession
	tolerated := func(err error) {
		if err != nil && !errors.Is(err, allocator.ErrGameSessionFull) && !errors.Is(err, allocator.ErrInvalidPlayerSessionStatus) && !errors.Is(err, allocator.ErrNotFound) {
			t.Error(err)
		}
	}
	atOnce(6000, func(i int) {
		a := allocators[i%2]
		mu.Lock()
		var known *allocator.PlayerSession
		if len(reserved) > 0 {
			known = reserved[max(0, len(reserved)-1-rand.IntN(2*room))]
		}
		mu.Unlock()
		switch action := rand.IntN(20); {
		case action < 6:
			p, err := a.CreatePlayerSession(t.Context(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: player(i)})
			tolerated(err)
			if err == nil {
				mu.Lock()
				reserved = append(reserved, p)
				mu.Unlock()
			}
		case action < 8:
			group, err := a.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: groupOf(i, 1+rand.IntN(4))})
			tolerated(err)
			mu.Lock()
			for _, p := range group {
				reserved = append(reserved, &p)
			}
			mu.Unlock()
		case action < 11 && known != nil:
			tolerated(scene{Allocator: a}.tryAccept(known))
		case action < 14 && known != nil:
			tolerated(scene{Allocator: a}.tryRemove(known))
		case action < 18:
			out, err := a.DescribeGameSessions(context.Background(), allocator.DescribeGameSessionsInput{GameSessionID: game})
			if err != nil || out.GameSessions[0].CurrentPlayerSessionCount > room {
				t.Errorf("a reader saw %+v (error: %v)", out, err)
			}
		case action < 19:
			store.Advance(reservationTimeout / 4)
		default:
			_, err := a.Sweep(t.Context())
			tolerated(err)
		}
	})
	wantInvariants(t, store, s.Allocator)
	store.Advance(reservationTimeout)
	for _, p := range s.playersOf(game, allocator.PlayerSessionActive) {
		s.remove(&p)
	}
	wantCount(t, "slots taken when all have left", s.taken(game), 0)
	store.Advance(retention + time.Millisecond)
	s.sweep()
	if left := wantInvariants(t, store, s.Allocator).playerSessions(); len(left) > 0 {
		t.Errorf("%d player sessions are left", len(left))
	}
}
