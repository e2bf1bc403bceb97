package allocator_test

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/lua"
)

func TestOutageIsLoggedWhenItBeginsAtTimesAndWhenItEnds(t *testing.T) {
	for name, outage := range map[string]func(*mortality){
		"the store is away":        func(death *mortality) { death.after(0) },
		"what nobody has foreseen": func(death *mortality) { death.panicAfter(0) },
	} {
		t.Run(name, func(t *testing.T) { testOutageIsLogged(t, outage) })
	}
}

func testOutageIsLogged(t *testing.T, begin func(*mortality)) {
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
		begin(death)
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

// One record at which an instance panics is one at which its successors would, too.
func TestRecordThatMakesAnInstancePanicKeepsNothingElseWaiting(t *testing.T) {
	for name, c := range map[string]struct {
		script  string
		arrange func(scene) (left func() int) // two works that are due, and how many of them are left
	}{
		"time-outs": {"time_out_player_sessions", func(s scene) func() int {
			var reserved []*allocator.PlayerSession
			for _, game := range s.gameSessionsInOnePartition(2) {
				reserved = append(reserved, s.reserve(game, "late"))
			}
			s.store.Advance(reservationTimeout)
			return func() (left int) {
				for _, p := range reserved {
					if status := recordStatus(s.t, s.store.Client(), p); status == "RESERVED" {
						left++
					}
				}
				return left
			}
		}},
		"server processes": {"review_server_process", func(s scene) func() int {
			s.start("one")
			s.start("two")
			s.pass(serverProcessLife - time.Millisecond)
			s.store.Advance(time.Millisecond)
			return func() (left int) {
				for _, id := range []string{"one", "two"} {
					if s.process(id).Status == allocator.ServerProcessActive {
						left++
					}
				}
				return left
			}
		}},
		"placements": {"try_game_session_placement", func(s scene) func() int {
			fleet := s.fleetAt("", "custom-a")
			s.newQueue("queue", nil, fleet)
			s.deregisterAll(allocator.FleetID(fleet))
			ids := []string{"one", "two"}
			for _, id := range ids {
				s.placed(allocator.StartGameSessionPlacementInput{PlacementID: id, QueueName: "queue", MaximumPlayerSessionCount: 1})
			}
			s.registerAt(allocator.FleetID(fleet), "custom-a")
			s.store.Advance(time.Second)
			return func() (left int) {
				for _, id := range ids {
					if s.placement(id).Status == allocator.PlacementPending {
						left++
					}
				}
				return left
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
				var log logs
				s := newScene(t, store)
				left := c.arrange(s)
				wantCount(t, "works that are left at first", left(), 2)
				digest := sha1.Sum([]byte(lua.Source(c.script)))
				poison := &poisonedRecord{script: hex.EncodeToString(digest[:])}
				a := open(t, store, func(c *allocator.Config) {
					c.Redis.AddHook(poison)
					c.Logger = log.logger()
				})
				_, err := a.Sweep(context.Background())
				if said := fmt.Sprint(err, &log); !strings.Contains(said, "panic: "+poisonous) {
					t.Errorf("the panic is not told of: %s", said)
				}
				wantCount(t, "works that are left after a panic", left(), 1)
				store.Advance(attendance)
				s.sweep()
				wantCount(t, "works that are left in the end", left(), 0)
				wantInvariants(t, store, s.Allocator)
			})
		})
	}
}

const poisonous = "this record is poisonous"

// poisonedRecord is a hook that panics whenever a script is to be run for the record for which it was to be run first.
type poisonedRecord struct {
	script string
	first  atomic.Pointer[string]
}

func (*poisonedRecord) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *poisonedRecord) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); cmd.Name() == "evalsha" && args[1] == h.script {
			key := args[3].(string)
			h.first.CompareAndSwap(nil, &key)
			if *h.first.Load() == key {
				panic(poisonous)
			}
		}
		return next(ctx, cmd)
	}
}

func (*poisonedRecord) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
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
