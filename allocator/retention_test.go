package allocator_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

func TestEndedPlayerSessionIsReadableUntilItsRetentionIsOver(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for name, end := range map[string]func(scene, *allocator.PlayerSession){
			"completed": func(s scene, p *allocator.PlayerSession) {
				s.accept(p)
				s.remove(p)
			},
			"timed out": func(scene, *allocator.PlayerSession) { store.Advance(reservationTimeout) },
		} {
			t.Run(name, func(t *testing.T) {
				flush(t, store)
				s := newScene(t, store)
				game := s.newGameSession(1)
				p := s.reserve(game, "ada")
				end(s, p)
				ended := s.read(p.ID)

				store.Advance(retention - time.Millisecond)
				s.sweep()
				if diff := gocmp.Diff(ended, s.read(p.ID)); diff != "" {
					t.Errorf("a millisecond before its retention is over it reads otherwise:\n%s", diff)
				}
				wantCount(t, "player sessions of the game session before", len(s.playersOf(game, "")), 1)
				store.Advance(time.Millisecond)
				wantCount(t, "purged", s.sweep().Purged, 1)
				if got := s.read(p.ID); got != nil {
					t.Errorf("when its retention is over it reads %+v", got)
				}
				wantCount(t, "player sessions of the game session after", len(s.playersOf(game, "")), 0)
				out, err := s.DescribePlayerSessions(t.Context(), allocator.DescribePlayerSessionsInput{PlayerID: "ada"})
				if err != nil || len(out.PlayerSessions) > 0 {
					t.Errorf("the player has %+v (error: %v)", out, err)
				}
				wantKind(t, "accept", s.tryAccept(p), allocator.ErrNotFound)
				wantKind(t, "remove", s.tryRemove(p), allocator.ErrNotFound)
			})
		}
	})
}

func TestPurgedPlayerSessionsLeaveNoKeyBehind(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		var games []allocator.GameSessionID
		for range 20 {
			games = append(games, s.newGameSession(slots))
		}
		s.sweep()
		before := size(t, store)
		for i := range 300 { // a third each times out, completes, completes after a while
			p := s.reserve(games[i%len(games)], player(i%50))
			if i%3 > 0 {
				s.accept(p)
				if i%3 > 1 {
					store.Advance(time.Second)
				}
				s.remove(p)
			}
		}
		store.Advance(reservationTimeout + retention)
		if swept := s.sweep(); swept.Purged != 300 {
			t.Errorf("the sweep did %+v, want 300 player sessions purged", swept)
		}
		// A server removes the keys that ran out on its own time.
		allocatortest.Eventually(t, 20*time.Second, func() bool { return size(t, store) == before }, "the store has as many keys as before")
		c := wantInvariants(t, store, s.Allocator)
		for at, set := range c.sets {
			if at.kind != "fleet" && at.kind != "live" {
				t.Errorf("%v still holds %v", at, set)
			}
		}
	})
}

func TestSweepPurgesNothingOfTheLiving(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(3)
		active := s.reserve(game, "ada")
		s.accept(active)
		gone := s.reserve(game, "bob")
		s.accept(gone)
		s.remove(gone)
		store.Advance(retention)
		fresh := s.reserve(game, "bob")
		if swept := s.sweep(); swept != (allocator.Swept{Purged: 1}) {
			t.Errorf("the sweep did %+v", swept)
		}
		if s.read(active.ID) == nil || s.read(fresh.ID) == nil {
			t.Error("the sweep purged a player session that has not ended")
		}
		wantInvariants(t, store, s.Allocator)
	})
}

// What an Allocator remembers of a game session is not to outlive it.
func TestPlayersAreSentToTheGameSessionThatIsThereNow(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 5, IdempotencyToken: "arena"}
		create := func() allocator.GameSessionID {
			game, err := s.CreateGameSession(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			return game.ID
		}
		first := create()
		if p := s.reserve(first, "ada"); p.IPAddress != "192.0.2.7" {
			t.Fatalf("the player is sent to %s", p.IPAddress)
		}
		s.terminate(first)
		store.Advance(retention)
		s.sweep()
		if err := s.DeregisterCompute(t.Context(), s.fleet, "box"); err != nil {
			t.Fatal(err)
		}
		moved := allocator.RegisterComputeInput{FleetID: s.fleet, Name: "other", Location: "custom-cellar", IPAddress: "192.0.2.8"}
		if _, err := s.RegisterCompute(t.Context(), moved); err != nil {
			t.Fatal(err)
		}

		second := create()
		if second != first {
			t.Fatalf("the second game session is %s, the first %s", second, first)
		}
		if p := s.reserve(second, "ada"); p.IPAddress != moved.IPAddress {
			t.Errorf("a player is sent to %s, and the game session runs on %s", p.IPAddress, moved.IPAddress)
		}
		group, err := s.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: second, PlayerIDs: []string{"bob"}})
		if err != nil || group[0].IPAddress != moved.IPAddress {
			t.Errorf("a group is sent to %+v, %v; the game session runs on %s", group, err, moved.IPAddress)
		}
	})
}
