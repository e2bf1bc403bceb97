package allocator_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

func TestOutageIsLoggedWhenItBeginsAtTimesAndWhenItEnds(t *testing.T) {
	const outage, wantWarnings = 2*time.Minute + time.Second, 3
	store := allocatortest.Redis(t)
	synctest.Test(t, func(t *testing.T) {
		var log logs
		a, death := openMortal(t, store, func(config *allocator.Config) {
			config.SweepOnly = true // else a connection would wait for notifications, for which the time of the bubble would wait
			config.Logger = log.logger()
		})
		stop := clockwork(t, a)
		pass := func(d time.Duration) {
			time.Sleep(d) // in the time of the bubble: it passes at once when all wait
			synctest.Wait()
		}
		pass(10 * time.Second)
		if log.String() != "" {
			t.Errorf("while the store is there it logged\n%s", &log)
		}
		death.after(0)
		pass(outage)
		for _, work := range []string{"heartbeat", "sweep", "placements", "server processes"} {
			if n := strings.Count(log.String(), `level=WARN msg="clockwork: `+work+` failed`); n != wantWarnings {
				t.Errorf("in an outage of %v it logged %d times that %s failed, want %d:\n%s", outage, n, work, wantWarnings, &log)
			}
		}
		death.undo()
		pass(time.Minute)
		for _, work := range []string{"heartbeat", "sweep", "placements", "server processes"} {
			if n := strings.Count(log.String(), `level=INFO msg="clockwork: `+work+` recovered" failures=12`); n != 1 {
				t.Errorf("after an outage of %v it logged %d times that %s recovered:\n%s", outage, n, work, &log)
			}
		}
		if n, want := strings.Count(log.String(), "\n"), 4*wantWarnings+4; n != want {
			t.Errorf("it logged %d lines, want %d:\n%s", n, want, &log)
		}
		stop()
	})
}

func TestShardThatIsAwayStopsNoOther(t *testing.T) {
	const away = 7
	store := allocatortest.Miniredis(t)
	shard := &keyAway{part: fmt.Sprintf("berth:{%d}:", away)}
	s := newScene(t, store)
	for sha256.Sum256([]byte(s.fleet))[0] == away { // where its server processes are
		s.fleet = s.newFleet()
	}
	a := open(t, store, func(c *allocator.Config) { c.Redis.AddHook(shard) })
	var g *gameServer
	var game allocator.GameSessionID
	for i := 0; i == 0 || partitionOf(game) == away; i++ {
		g, game = s.hosting(player(i))
	}
	p := s.reserve(game, "late")
	other := scene{s.Allocator, t, store, s.newFleet()} // without server processes
	elsewhere := other.newGameSession(1)
	for partitionOf(elsewhere) == away {
		elsewhere = other.newGameSession(1)
	}
	reserved := s.reserve(elsewhere, "late")
	placed := s.startPlacement("alice") // which nothing can host while the fleet has server processes
	s.terminateBy(game, allocator.TriggerOnProcessTerminate)
	shard.isAway.Store(true)
	for range 57 { // nine and a half minutes: three until it counts as silent, five in which it may end; after ten the placement times out
		if _, err := a.Sweep(context.Background()); err == nil {
			t.Fatal("nothing is said of what is away")
		}
		store.Advance(10 * time.Second)
	}
	if status := s.describe(game).Status; status != allocator.GameSessionTerminated {
		t.Errorf("the game session is %s", status)
	}
	if status := s.read(p.ID).Status; status != allocator.PlayerSessionCompleted && status != allocator.PlayerSessionTimedOut {
		t.Errorf("the reservation in it is %s", status)
	}
	if status := recordStatus(t, store.Client(), reserved); status != "TIMEDOUT" {
		t.Errorf("the record of another reservation says %s", status)
	}
	if p := s.process(g.ID.ProcessID); p != nil {
		t.Errorf("the server process, which is silent, is %+v", p)
	}
	if status := s.placement(placed).Status; status != allocator.PlacementFulfilled {
		t.Errorf("the placement is %s", status)
	}
}

func TestGameSessionsThatCannotBeSeenToKeepNoOthersWaiting(t *testing.T) {
	for name, spoil := range map[string]func(scene, allocator.FleetID, []allocator.GameSessionID){
		"the deletion of their fleet broke off": func(s scene, fleet allocator.FleetID, _ []allocator.GameSessionID) {
			dying, death := openMortal(s.t, s.store)
			death.after(1) // the fleet is closed then
			if err := dying.DeleteFleet(context.Background(), fleet); err == nil {
				s.t.Fatal("the deletion has not broken off")
			}
		},
		"their records are damaged": func(s scene, _ allocator.FleetID, games []allocator.GameSessionID) {
			for _, game := range games {
				s.store.Client().Set(context.Background(), gameKey("gs", game), "rubbish", 0)
			}
		},
		"their player sessions are damaged": func(s scene, _ allocator.FleetID, games []allocator.GameSessionID) {
			for _, game := range games {
				s.store.Client().Set(context.Background(), gameKey("players", game), "rubbish", 0)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { keepNoOthersWaiting(t, spoil) })
	}
}

func keepNoOthersWaiting(t *testing.T, spoil func(scene, allocator.FleetID, []allocator.GameSessionID)) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		const partition, crowd = 7, 100 // as many as a sweep looks at in one go
		s := newScene(t, store)
		ctx := context.Background()
		in := func(fleet allocator.FleetID, n int) (games []allocator.GameSessionID) {
			t.Helper()
			for i := 0; len(games) < n; i++ {
				name := fmt.Sprint("game-", i)
				if partitionOf(s.gameSessionNamed(fleet, name)) != partition {
					continue
				}
				game, err := s.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: fleet, MaximumPlayerSessionCount: 4, GameSessionID: name})
				if err != nil {
					t.Fatal(err)
				}
				games = append(games, game.ID)
			}
			return games
		}
		other := s.newFleet()
		spoil(s, other, in(other, crowd))
		store.Advance(time.Second)
		late := s.reserve(in(s.fleet, 1)[0], "late")
		store.Advance(reservationTimeout)
		for range 2 { // the second, if the first failed
			_, _ = s.Sweep(ctx)
		}
		if status := recordStatus(t, store.Client(), late); status != "TIMEDOUT" {
			t.Errorf("the record of a reservation beside them says %s", status)
		}
	})
}

func TestGameSessionIsSettledThoughAReservationIsDue(t *testing.T) {
	for name, reserves := range map[string]bool{"nobody has reserved": false, "a reservation is due": true} {
		t.Run(name, func(t *testing.T) {
			store := allocatortest.Miniredis(t)
			s := newScene(t, store)
			ctx := context.Background()
			var death *mortality
			dying, death := openMortal(t, store, meanwhile("create_game_session", func() {
				if err := s.DeleteFleet(ctx, s.fleet); err != nil {
					t.Error(err)
				}
				death.after(1)
			}))
			in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4, GameSessionID: "game"}
			if _, err := dying.CreateGameSession(ctx, in); err == nil {
				t.Fatal("the creator lives")
			}
			game := s.gameSessionNamed(s.fleet, "game")
			if reserves {
				s.reserve(game, "ada")
			}
			store.Advance(reservationTimeout)
			s.sweep()
			if status := s.describe(game).Status; status != allocator.GameSessionTerminated {
				t.Errorf("the game session of a fleet that is gone is %s", status)
			}
		})
	}
}

// gameSessionNamed is what a game session of that name is called in full.
func (s scene) gameSessionNamed(fleet allocator.FleetID, name string) allocator.GameSessionID {
	return allocator.GameSessionID(fmt.Sprintf("arn:aws:gamelift:us-east-1::gamesession/%s/%s", fleet, name))
}
