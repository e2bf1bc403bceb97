package allocator_test

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
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

// What concerns a server process and its game session takes several steps, and anything may happen between two of them.

// resent has an Allocator send its first call of a script twice, as when the answer to the first is lost, with something in between.
func resent(script string, between func()) func(*allocator.Config) {
	digest := sha1.Sum([]byte(lua.Source(script)))
	return func(c *allocator.Config) {
		c.Redis.AddHook(&resending{names: []any{hex.EncodeToString(digest[:]), lua.Source(script)}, between: between})
	}
}

type resending struct {
	names   []any // by which a command calls the script
	once    sync.Once
	between func()
}

func (h *resending) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *resending) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && len(cmd.Args()) > 1 && slices.Contains(h.names, cmd.Args()[1]) {
			h.once.Do(func() {
				h.between()
				err = next(ctx, cmd)
			})
		}
		return err
	}
}

func (h *resending) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// beside returns the scene by another Allocator. The scripts of server processes are known to all servers by then.
func (s scene) beside(change ...func(*allocator.Config)) scene {
	s.t.Helper()
	warm := s.start("before all others")
	warm.starts(s.create().ID)
	again := s.connect("before all others")
	if err := again.TerminateServerProcess(context.Background(), ""); err != nil {
		s.t.Fatal(err)
	}
	if err := again.Close(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return scene{open(s.t, s.store, change...), s.t, s.store, s.fleet}
}

// pass lets time pass, during which there is always somebody who sees to what is due.
func (s scene) pass(d time.Duration) {
	s.t.Helper()
	s.sweep()
	for d > 0 {
		step := min(d, attendance)
		s.store.Advance(step)
		s.sweep()
		d -= step
	}
}

func TestCreationThatIsSentAgainKeepsItsServerProcess(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		var g *gameServer
		a := s.beside(resent("create_game_session", func() {
			game := s.process("one").GameSessionID
			s.store.Advance(time.Second)
			s.sweep()
			g.starts(game)
		}))
		g = s.start("one")
		game := a.create()
		if p := s.process("one"); p.GameSessionID != game.ID || game.Status != allocator.GameSessionActive {
			t.Errorf("game session %s is %s on a process that has %q", game.ID, game.Status, p.GameSessionID)
		}
		wantKind(t, "creating another", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
		wantInvariants(t, store, s.Allocator)
	})
}

func TestCreatorsWithOneTokenTakeOneServerProcess(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4, IdempotencyToken: "token"}
		var first *allocator.GameSession
		a := s.beside(meanwhile("claim_server_process", func() {
			var err error
			if first, err = s.CreateGameSession(context.Background(), in); err != nil {
				t.Error(err)
			}
		}))
		s.start("one")
		s.start("two")
		second, err := a.CreateGameSession(context.Background(), in)
		if err != nil || second.ID != first.ID {
			t.Fatalf("the second is answered with %+v, %v; want %s", second, err, first.ID)
		}
		var hosting []allocator.GameSessionID
		for _, name := range []string{"one", "two"} {
			if id := s.process(name).GameSessionID; id != "" {
				hosting = append(hosting, id)
			}
		}
		if !slices.Equal(hosting, []allocator.GameSessionID{first.ID}) {
			t.Errorf("the processes have %v, want %s once", hosting, first.ID)
		}
		wantInvariants(t, store, s.Allocator)
	})
}

func TestServerProcessThatEndsBeforeItsGameSessionIsThereTakesItAlong(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for _, creatorDies := range []bool{false, true} {
			for how, end := range map[string]func(s scene, g *gameServer){
				"ends":      func(_ scene, g *gameServer) { _ = g.TerminateServerProcess(context.Background(), "") },
				"restarted": func(s scene, _ *gameServer) { s.start("one") },
			} {
				t.Run(fmt.Sprintf("%s, the creator dies: %v", how, creatorDies), func(t *testing.T) {
					flush(t, store)
					s := newScene(t, store)
					var g *gameServer
					changes := []func(*allocator.Config){meanwhile("create_game_session", func() { end(s, g) })}
					death := &mortality{}
					if creatorDies {
						changes = append(changes, func(c *allocator.Config) { c.Redis.AddHook(death) })
					}
					a := s.beside(changes...)
					g = s.start("one")
					in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4, IdempotencyToken: "token"}
					if creatorDies {
						death.after(2) // the claim and the creation
					}
					_, err := a.CreateGameSession(context.Background(), in)
					if (err != nil) != creatorDies {
						t.Fatal(err)
					}
					s.pass(time.Second)
					s.pass(time.Second)
					again, err := s.CreateGameSession(context.Background(), in)
					if err != nil || again.Status != allocator.GameSessionTerminated || again.StatusReason != allocator.Interrupted {
						t.Errorf("the game session without a process is %+v, %v", again, err)
					}
					wantInvariants(t, store, s.Allocator)
				})
			}
		}
	})
}

func TestLateNoteOfAnOlderConnectionChangesNothing(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		var newer *gameServer
		a := s.beside(resent("connect_server_process", func() {
			store.Advance(time.Second)
			newer = s.connect("one")
		}))
		s.start("one")
		store.Advance(time.Second)
		older := a.connect("one")
		older.heartbeat(true)
		newer.starts(s.create().ID)
		if err := older.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if !s.process("one").Connected {
			t.Error("with an older connection gone it counts as away")
		}
	})
}

func TestHeartbeatNotesAConnectionThatWasLost(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.connect("one")
		store.Advance(time.Second)
		early := s.connect("one") // before it has registered, over the other
		g.activate().heartbeat(true)
		if err := g.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "creating while it counts as away", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
		early.heartbeat(true)
		early.starts(s.create().ID)
	})
}

func TestRequestsOfAnEarlierLifeAreRefused(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		old := s.start("one")
		_, game := s.hosting("one")
		wantKind(t, "its end", old.TerminateServerProcess(ctx, ""), allocator.ErrNotFound)
		wantKind(t, "its report", old.HeartbeatServerProcess(ctx, false), allocator.ErrNotFound)
		wantKind(t, "its activation", old.ActivateGameSession(ctx, game), allocator.ErrNotFound)
		wantKind(t, "its hosting", old.Hosts(ctx, game), allocator.ErrNotFound)
		if status := s.describe(game).Status; status != allocator.GameSessionActive {
			t.Errorf("the game session of the new life is %s", status)
		}

		// So is what is sent again after its answer was lost.
		var third *gameServer
		a := s.beside(resent("terminate_server_process", func() { third = s.start("two") }))
		if err := a.start("two").TerminateServerProcess(ctx, ""); err != nil && !errors.Is(err, allocator.ErrNotFound) {
			t.Error(err)
		}
		third.heartbeat(true)
		third.starts(s.create().ID)
	})
}

func TestRegistrationThatComesLateIsRefused(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		older := s.connect("one")
		store.Advance(time.Second)
		newer, game := s.hosting("one")
		err := older.ActivateServerProcess(context.Background(), allocator.ActivateServerProcessInput{Port: 1})
		wantKind(t, "the late registration", err, allocator.ErrConflict)
		if status := s.describe(game).Status; status != allocator.GameSessionActive {
			t.Errorf("the game session is %s", status)
		}
		newer.heartbeat(true)
	})
}

func TestNewerConnectionFindsTheLifeThatBeganOverAnOlderOne(t *testing.T) {
	for what, ask := range map[string]func(g *gameServer, game allocator.GameSessionID) error{
		"reports": func(g *gameServer, _ allocator.GameSessionID) error {
			return g.HeartbeatServerProcess(context.Background(), true)
		},
		"activates its game session": func(g *gameServer, game allocator.GameSessionID) error {
			return g.ActivateGameSession(context.Background(), game)
		},
		"accepts a player": func(g *gameServer, game allocator.GameSessionID) error { return g.Hosts(context.Background(), game) },
		"ends": func(g *gameServer, _ allocator.GameSessionID) error {
			return g.TerminateServerProcess(context.Background(), "")
		},
	} {
		t.Run(what, func(t *testing.T) {
			allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
				s := newScene(t, store)
				s.start("one") // which crashes, and is started again under the same name
				store.Advance(time.Second)
				first := s.connectHalfOpen("one")
				store.Advance(time.Second)
				second := s.connect("one") // since the first broke
				first.start()              // had been sent before
				game := s.create().ID
				if err := first.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				if err := ask(second, game); err != nil {
					t.Fatal(err)
				}
				if what == "reports" {
					second.starts(game)
				}
				wantInvariants(t, store, s.Allocator)
			})
		})
	}
}

func TestServerProcessThatIsGoneForTheServiceIsToldToEnd(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		if err := g.Close(context.Background()); err != nil { // the network is away
			t.Fatal(err)
		}
		s.pass(serverProcessLife + 2*grace)
		back := s.connect("one")
		wantKind(t, "reporting", back.HeartbeatServerProcess(context.Background(), true), allocator.ErrNotFound)
		back.terminates()
		back.Settle()
		back.toldNothing("again")

		token := s.token()
		ended := s.connectWith("four", token).activate().heartbeat(true)
		g = s.connectWith("two", token).activate().heartbeat(true)
		for range 4 * time.Hour / attendance { // until its token has expired
			store.Advance(attendance)
			g.heartbeat(true)
			ended.heartbeat(true)
		}
		if err := ended.TerminateServerProcess(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		if err := g.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		s.pass(serverProcessLife + 2*grace)
		back = s.connectWith("two", token)
		wantKind(t, "registering", back.ActivateServerProcess(context.Background(), allocator.ActivateServerProcessInput{Port: 7777}), allocator.ErrUnauthorized)
		wantKind(t, "reporting", back.HeartbeatServerProcess(context.Background(), true), allocator.ErrNotFound)
		back.terminates()
		for _, impostor := range []allocator.ServerProcessID{{FleetID: s.fleet, ComputeName: "box", ProcessID: "three"}, {FleetID: s.fleet, ComputeName: "box", ProcessID: "one"}} {
			_, err := s.AuthenticateServerProcess(context.Background(), impostor, allocator.Credential{Token: token})
			wantKind(t, "connecting as "+impostor.ProcessID, err, allocator.ErrUnauthorized)
		}
		_, err := s.AuthenticateServerProcess(context.Background(), ended.ID, allocator.Credential{Token: token})
		wantKind(t, "connecting after it has ended by itself", err, allocator.ErrUnauthorized)
		s.start("two") // another takes its place
		_, err = s.AuthenticateServerProcess(context.Background(), back.ID, allocator.Credential{Token: token})
		wantKind(t, "connecting once another has its place", err, allocator.ErrUnauthorized)

		older := s.start("one")
		store.Advance(time.Second)
		newer := s.start("one") // under the same name, by mistake
		wantKind(t, "reporting", older.HeartbeatServerProcess(context.Background(), true), allocator.ErrNotFound)
		older.terminates()
		newer.heartbeat(true).toldNothing("as the newer one")
	})
}

func TestStrayConnectionDoesNotSpeakForALaterServerProcess(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		stray := s.connect("one") // of a process that was given up
		store.Advance(time.Second)
		g, game := s.hosting("one")
		ctx := context.Background()
		wantKind(t, "its report", stray.HeartbeatServerProcess(ctx, true), allocator.ErrNotFound)
		wantKind(t, "its end", stray.TerminateServerProcess(ctx, ""), allocator.ErrNotFound)
		wantKind(t, "its hosting", stray.Hosts(ctx, game), allocator.ErrNotFound)
		g.heartbeat(true).toldNothing("as the later one")
		if status := s.describe(game).Status; status != allocator.GameSessionActive {
			t.Errorf("its game session is %s", status)
		}
	})
}

func TestNoteThatIsSentAgainLeavesTheSecondTelling(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		a := s.beside(resent("told_server_process", func() { store.Advance(time.Millisecond) }))
		g := a.start("one")
		game := a.create().ID
		g.next() // which the Server SDK has lost
		store.Advance(startAgain)
		g.heartbeat(true)
		g.starts(game)
	})
}

func TestServerProcessThatWasNeverHealthyIsToldToEnd(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.connect("one").activate().heartbeat(false)
		wantKind(t, "creating", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
		s.pass(serverProcessLife)
		g.terminates()
	})
}

func TestServerProcessRegistersOnTheComputeThatIsThere(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		g := s.connect("one")
		if err := s.DeregisterCompute(ctx, s.fleet, "box"); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "registering", g.ActivateServerProcess(ctx, allocator.ActivateServerProcessInput{Port: 1}), allocator.ErrNotFound)
		_, err := s.RegisterCompute(ctx, allocator.RegisterComputeInput{
			FleetID: s.fleet, Name: "box", Location: "custom-cellar", IPAddress: "198.51.100.1",
		})
		if err != nil {
			t.Fatal(err)
		}
		g.activate().heartbeat(true)
		if ip := s.create().IPAddress; ip != "198.51.100.1" {
			t.Errorf("players are sent to %s", ip)
		}
	})
}

func TestTokenIsNoSignature(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	ctx := context.Background()
	id := allocator.ServerProcessID{FleetID: s.fleet, ComputeName: "box", ProcessID: "one"}
	c, err := s.AuthenticateServerProcess(ctx, id, allocator.Credential{Signature: "abc", SignedAt: s.store.Now()})
	if err != nil {
		t.Fatal(err)
	}
	g := &gameServer{c, t, nil}
	if err := c.Open(ctx, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	g.activate()
	for _, token := range []string{"signature abc", "abc"} {
		_, err := s.AuthenticateServerProcess(ctx, id, allocator.Credential{Token: token})
		wantKind(t, "with the token "+token, err, allocator.ErrUnauthorized)
	}
}

func TestFleetWithManyServerProcessesIsDeletedInFewRoundTrips(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	const processes = 200
	all := make([]*gameServer, processes)
	for i := range all {
		all[i] = s.start(fmt.Sprint(i))
	}
	asked := new(roundTrips)
	a := open(t, s.store, func(c *allocator.Config) { c.Redis.AddHook(asked) })
	asked.n.Store(0)
	if err := a.DeleteFleet(context.Background(), s.fleet); err != nil {
		t.Fatal(err)
	}
	if n := asked.n.Load(); n > 20 {
		t.Errorf("the deletion took %d round trips for %d server processes", n, processes)
	}
	s.sweep()
	for _, g := range all {
		g.terminates()
	}
}

// roundTrips counts those of an Allocator.
type roundTrips struct{ n atomic.Int64 }

func (*roundTrips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *roundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmd)
	}
}

func (h *roundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmds)
	}
}

func TestRegistrationDuringTheDeletionOfItsFleetIsNoticed(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		ctx := context.Background()
		deleteFleet := func(s *scene) func() {
			return func() {
				if err := s.DeleteFleet(ctx, s.fleet); err != nil {
					t.Error(err)
				}
			}
		}
		s := newScene(t, store)
		late := s.beside(meanwhile("activate_server_process", deleteFleet(&s))).connect("late")
		err := late.ActivateServerProcess(ctx, allocator.ActivateServerProcessInput{Port: 1})
		wantKind(t, "a registration", err, allocator.ErrInvalidFleetStatus)
		if s.process("late") != nil {
			t.Error("it is registered all the same")
		}

		s = newScene(t, store)
		var death *mortality
		dying, death := openMortal(t, store, meanwhile("activate_server_process", func() {
			deleteFleet(&s)()
			death.after(1) // it has registered, and has yet to look at the fleet
		}))
		dead := scene{dying, t, store, s.fleet}.connect("dead")
		if err := dead.ActivateServerProcess(ctx, allocator.ActivateServerProcessInput{Port: 1}); err == nil {
			t.Fatal("the instance did not die")
		}
		s.pass(time.Second)
		if p := s.process("dead"); p == nil || p.Status != allocator.ServerProcessTerminating {
			t.Errorf("the process in the deleted fleet is %+v", p)
		}
		s.pass(grace)
		if s.process("dead") != nil {
			t.Error("it outlives its time")
		}
	})
}

func TestServerProcessOfAFailedGameSessionIsGivenUpByAnyInstance(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		game := s.create().ID
		g.next()
		cut := scene{open(t, store, cannotRun("tell_server_process")), t, store, s.fleet}
		for waited := time.Duration(0); waited < activationTimeout; waited += attendance {
			store.Advance(attendance)
			g.heartbeat(true)
		}
		_, _ = cut.SweepOnly(context.Background()) // it finds the game session late, and cannot tell the process
		if status := s.describe(game).Status; status != allocator.GameSessionError {
			t.Fatalf("the game session is %s", status)
		}
		s.sweep()
		g.terminates()
	})
}

func TestLostServerProcessIsLostThoughItReportsAgain(t *testing.T) {
	for how, then := range map[string]func(s scene, g *gameServer){
		"is reviewed": func(s scene, _ *gameServer) { s.pass(time.Second) },
		"ends": func(s scene, g *gameServer) {
			if err := g.TerminateServerProcess(context.Background(), ""); err != nil {
				s.t.Fatal(err)
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
				s := newScene(t, store)
				g, game := s.hosting("one")
				s.pass(serverProcessLife - time.Second)
				store.Advance(time.Second)
				cut := scene{open(t, store, cannotRun("terminate_game_session")), t, store, s.fleet}
				if _, err := cut.Sweep(context.Background()); err == nil {
					t.Fatal("the instance has ended the game session")
				}
				g.heartbeat(true)
				then(s, g)
				if ended := s.describe(game); ended.Status != allocator.GameSessionTerminated || ended.StatusReason != allocator.Interrupted {
					t.Errorf("the game session is %s because of %q", ended.Status, ended.StatusReason)
				}
			})
		})
	}
}

func TestServerProcessThatIsToEndIsGivenNoGameSession(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		s.pass(serverProcessLife)
		g.heartbeat(true)
		wantInvariants(t, store, s.Allocator) // before a claim strikes it off
		wantKind(t, "creating", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
		g.terminates()
	})
}

func TestServerProcessThatHasEndedIsGone(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		cut := s.beside(cannotRun("terminate_game_session"))
		g, game := s.hosting("one")
		ctx := context.Background()
		wantKind(t, "ending", cut.connect("one").TerminateServerProcess(ctx, ""), allocator.ErrOutcomeUnknown)
		wantKind(t, "reporting afterwards", g.HeartbeatServerProcess(ctx, true), allocator.ErrNotFound)
		_, err := s.DescribeServerProcess(ctx, g.ID)
		wantKind(t, "reading it", err, allocator.ErrNotFound)
		s.pass(time.Second)
		if ended := s.describe(game); ended.Status != allocator.GameSessionTerminated {
			t.Errorf("its game session is %s", ended.Status)
		}
	})
}

func TestReviewOfANewLifeIsKept(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		a := s.beside(meanwhile("forget_server_process", func() { s.start("one") }))
		g := s.start("one")
		id := g.ID
		if err := g.TerminateServerProcess(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		err := store.Client().ZAdd(context.Background(), sibling(processKey(id), "reviews"), redis.Z{Score: 1, Member: refIn(processKey(id))}).Err()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Sweep(context.Background()); err != nil { // it finds the earlier life gone
			t.Fatal(err)
		}
		wantInvariants(t, store, s.Allocator)
	})
}

func TestServerProcessOfACreatorWhoHasGoneIsIdleAgain(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx, leave := context.WithCancel(context.Background())
		a := s.beside(cannotRun("create_game_session", leave))
		g := s.start("one")
		if _, err := a.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4}); !errors.Is(err, allocator.ErrStoreUnavailable) {
			t.Fatal(err)
		}
		g.starts(s.create().ID)
	})
}

// stalledReview returns what makes another instance review the server processes, and returns when that has read what it acts on; and what
// lets it go on, and returns when it is done.
func (s scene) stalledReview() (stall, goOn func()) {
	stalled, released, reviewed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	reviewer := s.beside(meanwhile("review_server_process", func() {
		close(stalled)
		<-released
	}))
	stall = func() {
		s.store.Advance(time.Second) // it is due
		go func() {
			_, err := reviewer.Sweep(context.Background())
			reviewed <- err
		}()
		<-stalled
	}
	return stall, func() {
		s.t.Helper()
		close(released)
		if err := <-reviewed; err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestReviewThatComesLateTakesNoServerProcessFromItsGameSession(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		stall, goOn := s.stalledReview()
		creator := s.beside(meanwhile("create_game_session", stall))
		g := s.start("one")
		game := creator.create().ID
		g.heartbeat(true)
		g.starts(game)
		s.sweep()
		store.Advance(claimGrace)
		goOn()
		wantKind(t, "creating another", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
		g.heartbeat(true).toldNothing("while it has its game session")
		if err := g.TerminateServerProcess(ctx, ""); err != nil {
			t.Fatal(err)
		}
		if status := s.describe(game).Status; status != allocator.GameSessionTerminated {
			t.Errorf("its server process has ended, and the game session is %s", status)
		}
	})
}

func TestServerProcessOfADeadCreatorKeepsItsGameSession(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		stall, goOn := s.stalledReview()
		s.start("one")
		dying, death := openMortal(t, store, meanwhile("create_game_session", stall))
		death.after(2) // it has claimed, and created the game session
		if _, err := dying.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet, GameSessionID: "game"}); err == nil {
			t.Fatal("the creator lives")
		}
		if _, err := s.SweepOnly(ctx); err != nil { // which sees that both are there
			t.Fatal(err)
		}
		store.Advance(claimGrace)
		goOn()
		wantKind(t, "creating another", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
	})
}

func TestServerProcessThatIsNotWellIsNotIdleAgain(t *testing.T) {
	for what, happen := range map[string]func(t *testing.T, g *gameServer){
		"unhealthy": func(_ *testing.T, g *gameServer) { g.heartbeat(false) },
		"disconnected": func(t *testing.T, g *gameServer) {
			if err := g.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		},
		"ended": func(t *testing.T, g *gameServer) {
			if err := g.TerminateServerProcess(context.Background(), ""); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for who, config := range map[string]func(then func()) func(*allocator.Config){
			"the creator": func(then func()) func(*allocator.Config) { return cannotRun("create_game_session", then) },
			"a review": func(then func()) func(*allocator.Config) {
				claimed, released := cannotRun("create_game_session", then), cannotRun("release_server_process")
				return func(c *allocator.Config) { claimed(c); released(c) }
			},
		} {
			t.Run(what+", released by "+who, func(t *testing.T) {
				allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
					s := newScene(t, store)
					var g *gameServer
					ctx, leave := context.WithCancel(context.Background())
					a := s.beside(config(func() { happen(t, g); leave() }))
					g = s.start("one")
					_, err := a.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4})
					wantKind(t, "creating", err, allocator.ErrStoreUnavailable)
					for range int(claimGrace/time.Second) + 1 {
						store.Advance(time.Second)
						s.sweep()
					}
					wantInvariants(t, store, s.Allocator)
					if process, err := s.DescribeServerProcess(context.Background(), g.ID); err == nil {
						wantKind(t, "creating afterwards", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
						wantCount(t, "game sessions of the process", len(process.GameSessionID), 0)
					}
				})
			})
		}
	}
}

// cannotRun has the server of a script be away for an Allocator, and something happen then.
func cannotRun(script string, then ...func()) func(*allocator.Config) {
	digest := sha1.Sum([]byte(lua.Source(script)))
	return func(c *allocator.Config) { c.Redis.AddHook(unreachable{hex.EncodeToString(digest[:]), then}) }
}

type unreachable struct {
	digest string
	then   []func()
}

func (unreachable) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h unreachable) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if len(cmd.Args()) > 1 && cmd.Args()[1] == h.digest {
			for _, do := range h.then {
				do()
			}
			cmd.SetErr(errDead)
			return errDead
		}
		return next(ctx, cmd)
	}
}

func (unreachable) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestShardThatIsAwayIsNotTakenForARecordThatIsGone(t *testing.T) {
	store := allocatortest.Miniredis(t)
	away := &keyAway{part: ":process:"}
	s := newScene(t, store, func(c *allocator.Config) { c.Redis.AddHook(away) })
	ctx := context.Background()
	g, game := s.hosting("one")
	gone := s.newFleet()
	for range 40 { // in the pipelines of the sweep they come before and after the game session
		if _, err := s.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: gone, MaximumPlayerSessionCount: 4}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Client().Del(ctx, "berth:{control}:fleet:"+string(gone)).Err(); err != nil {
		t.Fatal(err)
	}
	// Once it was swept it is due no more.
	if err := store.Client().ZAdd(ctx, sibling(gameKey("gs", game), "deadlines"), redis.Z{Score: 1, Member: refIn(gameKey("gs", game))}).Err(); err != nil {
		t.Fatal(err)
	}
	away.isAway.Store(true)
	_, err := s.SweepOnly(ctx)
	away.isAway.Store(false)
	wantKind(t, "sweeping", err, allocator.ErrStoreUnavailable)
	if found := s.describe(game); found.Status != allocator.GameSessionActive {
		t.Errorf("the game session of process %s, which is well, is %s because of %q", g.ID.ProcessID, found.Status, found.StatusReason)
	}
}

func TestNewGameSessionIsNotSettledByWhatCannotBeRead(t *testing.T) {
	for _, part := range []string{"{control}:fleet:", ":process:", ":placement:"} {
		t.Run(part, func(t *testing.T) {
			store := allocatortest.Miniredis(t)
			away := &keyAway{part: part}
			s := newScene(t, store, func(c *allocator.Config) { c.Redis.AddHook(away) })
			g := s.start("one")
			placed := s.startPlacement("alice") // its game session is new, and kept for it
			game := g.next().(allocator.StartGameSession).GameSession.ID
			away.isAway.Store(true)
			for range 3 {
				_, err := s.SweepOnly(context.Background())
				wantKind(t, "sweeping", err, allocator.ErrStoreUnavailable)
				store.Advance(time.Second)
			}
			away.isAway.Store(false)
			if err := g.ActivateGameSession(context.Background(), game); err != nil {
				t.Fatal(err)
			}
			if p := s.placement(placed); p.Status != allocator.PlacementFulfilled {
				t.Errorf("the placement is %+v", p)
			}
		})
	}
}

// keyAway has the shard of some keys be away in pipelines, as a ClusterClient does: the other commands are done, and the error is that of
// the first command that has one.
// A failover that loses the last writes may leave no trace of a server process, or of what it was given.
func TestGameSessionWhoseServerProcessWasLostEnds(t *testing.T) {
	for name, lose := range map[string]func(s scene, process string) [][]any{
		"all of it": func(s scene, process string) [][]any {
			return [][]any{
				{"DEL", process}, {"ZREM", sibling(process, "reviews"), refIn(process)}, {"ZREM", sibling(process, "processes:"+string(s.fleet)), refIn(process)},
			}
		},
		"that it was claimed": func(s scene, process string) [][]any {
			return [][]any{
				{"HDEL", process, "claim", "game", "game_name", "claimed", "hosts"},
				{"ZADD", sibling(process, "idle:"+string(s.fleet)+":custom-cellar"), 1, refIn(process)},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
				ctx := t.Context()
				s := newScene(t, store)
				g, game := s.hosting("one")
				active := s.reserve(game, "active")
				s.accept(active)
				s.pass(attendance) // the game session is settled
				for _, command := range lose(s, processKey(g.ID)) {
					if err := store.Client().Do(ctx, command...).Err(); err != nil {
						t.Fatal(err)
					}
				}
				for range hostInterval / attendance {
					_ = g.HeartbeatServerProcess(ctx, true) // and it may be told that it is not there
					s.pass(attendance)
				}
				if ended := s.describe(game); ended.Status != allocator.GameSessionTerminated || ended.StatusReason != allocator.Interrupted {
					t.Errorf("the game session is %s because of %q, want TERMINATED because of INTERRUPTED", ended.Status, ended.StatusReason)
				}
				if status := s.read(active.ID).Status; status != allocator.PlayerSessionCompleted {
					t.Errorf("its player session is %s", status)
				}
				wantInvariants(t, store, s.Allocator)
			})
		})
	}
}

type keyAway struct {
	part   string
	isAway atomic.Bool
}

func (*keyAway) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*keyAway) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h *keyAway) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !h.isAway.Load() {
			return next(ctx, cmds)
		}
		there := slices.DeleteFunc(slices.Clone(cmds), func(cmd redis.Cmder) bool { return h.concerns(cmd) })
		if len(there) > 0 {
			_ = next(ctx, there)
		}
		var first error
		for _, cmd := range cmds {
			if h.concerns(cmd) {
				cmd.SetErr(errDead)
			}
			first = cmp.Or(first, cmd.Err())
		}
		return first
	}
}

func (h *keyAway) concerns(cmd redis.Cmder) bool {
	return len(cmd.Args()) > 1 && strings.Contains(fmt.Sprint(cmd.Args()[1]), h.part)
}

func TestServerProcessThatReconnectsBeforeItsGameSessionIsThereIsToldSoon(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		var again *gameServer
		other := scene{open(t, store), t, store, s.fleet} // whose nudges nobody follows
		a := s.beside(meanwhile("create_game_session", func() {
			store.Advance(time.Millisecond)
			again = other.connect("one")
			again.Settle()
			other.sweep() // sees no game session yet
		}))
		s.start("one")
		game := a.create().ID
		store.Advance(time.Second)
		other.sweep()
		again.starts(game)
	})
}

func TestStoppedPlacementIsNotDueForever(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	s.start("one")
	placed := s.startPlacement("alice")
	if _, err := s.StopGameSessionPlacement(context.Background(), placed); err != nil {
		t.Fatal(err)
	}
	s.pass(time.Second)
	wantNone := func() {
		t.Helper()
		for _, key := range everyKey(t, store) {
			if strings.HasSuffix(key, ":deadlines") {
				t.Errorf("%s is left", key)
			}
		}
	}
	wantNone()
	// A sweep that came later than another may put it there again.
	game := theKey(t, store, ":gs:")
	if err := store.Client().ZAdd(context.Background(), sibling(game, "deadlines"), redis.Z{Score: 1, Member: refIn(game)}).Err(); err != nil {
		t.Fatal(err)
	}
	s.sweep()
	wantNone()
}

func TestReleaseThatIsSentAgainTakesNothingFromAnother(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4, IdempotencyToken: "token"}
		var other allocator.GameSessionID
		a := s.beside(meanwhile("claim_server_process", func() {
			s.start("two")
			if _, err := s.CreateGameSession(ctx, in); err != nil {
				t.Error(err)
			}
		}), resent("release_server_process", func() { other = s.create().ID }))
		s.start("one")
		s.start("three")
		if _, err := a.CreateGameSession(ctx, in); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_ = s.tryCreate() // until none is idle
		}
		hosting := make(map[allocator.GameSessionID]bool)
		for _, name := range []string{"one", "two", "three"} {
			hosting[s.process(name).GameSessionID] = true
		}
		if len(hosting) != 3 || other != "" && !hosting[other] {
			t.Errorf("the processes have the game sessions %v; %q was created meanwhile", hosting, other)
		}
		wantInvariants(t, store, s.Allocator)
	})
}

func TestNoteOfWhatAnEarlierLifeWasToldIsNotOfThisOne(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	ctx := context.Background()
	token := s.token()
	id := allocator.ServerProcessID{FleetID: s.fleet, ComputeName: "box", ProcessID: "one"}
	slow, err := s.AuthenticateServerProcess(ctx, id, allocator.Credential{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	told, goOn := make(chan allocator.Push), make(chan bool)
	err = slow.Open(ctx, func(_ context.Context, p allocator.Push) error {
		told <- p
		<-goOn
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	(&gameServer{slow, t, nil}).activate().heartbeat(true)
	game := s.create().ID
	<-told
	goOn <- true
	if err := slow.ActivateGameSession(ctx, game); err != nil {
		t.Fatal(err)
	}
	name := "renamed"
	if _, err := s.UpdateGameSession(ctx, allocator.UpdateGameSessionInput{GameSessionID: game, Name: &name}); err != nil {
		t.Fatal(err)
	}
	<-told
	g := s.connect("one")
	if p, ok := g.next().(allocator.UpdatedGameSession); !ok { // which the earlier life is still being told over the old connection
		t.Fatalf("it was told %+v", p)
	}
	g.activate().heartbeat(true)
	game = s.create().ID
	g.starts(game)
	close(goOn)
	slow.Settle()
	if _, err := s.UpdateGameSession(ctx, allocator.UpdateGameSessionInput{GameSessionID: game, Name: &name}); err != nil {
		t.Fatal(err)
	}
	if p, ok := g.next().(allocator.UpdatedGameSession); !ok || p.GameSession.ID != game {
		t.Errorf("the new life was told %+v", p)
	}
}

func TestUpdateWhoseNudgeIsLostIsToldAfterAReview(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		other := scene{open(t, store), t, store, s.fleet} // whose nudges nobody follows
		g, game := other.hosting("one")
		other.sweep()
		name := "renamed"
		if _, err := s.UpdateGameSession(context.Background(), allocator.UpdateGameSessionInput{GameSessionID: game, Name: &name}); err != nil {
			t.Fatal(err)
		}
		g.toldNothing("before a review")
		other.sweep()
		if p, ok := g.next().(allocator.UpdatedGameSession); !ok || p.GameSession.Name != name {
			t.Errorf("it was told %+v", p)
		}
	})
}

func TestServerProcessWhoseGameSessionIsOverEnds(t *testing.T) {
	for what, happen := range map[string]func(client redis.Cmdable, record string) error{ // without a word to the process
		"is gone": func(client redis.Cmdable, record string) error { return client.Del(context.Background(), record).Err() },
		"has ended": func(client redis.Cmdable, record string) error {
			return client.HSet(context.Background(), record, "status", "TERMINATED").Err()
		},
		"is to end": func(client redis.Cmdable, record string) error {
			return client.HSet(context.Background(), record, "status", "TERMINATING").Err()
		},
	} {
		t.Run(what, func(t *testing.T) {
			allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
				s := newScene(t, store)
				g, game := s.hosting("one")
				s.pass(serverProcessLife - time.Second) // it is reviewed at times
				g.heartbeat(true)
				if err := happen(store.Client(), gameKey("gs", game)); err != nil {
					t.Fatal(err)
				}
				s.pass(serverProcessLife - time.Second)
				g.terminates()
			})
		})
	}
}

func TestSilenceCountsWhileSomebodyCanHear(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		_, game := s.hosting("one")
		s.sweep()
		store.Advance(serverProcessLife) // all instances are away, or the store is
		s.sweep()
		if status := s.describe(game).Status; status != allocator.GameSessionActive {
			t.Fatalf("when the service is back the game session is %s", status)
		}
		s.pass(serverProcessLife - time.Second)
		if status := s.describe(game).Status; status != allocator.GameSessionActive {
			t.Fatalf("less than three minutes later it is %s", status)
		}
		s.pass(time.Second)
		if status := s.describe(game).Status; status != allocator.GameSessionTerminated {
			t.Errorf("three minutes after the service was back it is %s", status)
		}
	})
}

func TestDeregisteredComputeKeepsItsGameSessionsAlone(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		token := s.token()
		g := s.connectWith("one", token).activate().heartbeat(true)
		game := s.create().ID
		g.starts(game)
		idle := s.start("two")
		if err := s.DeregisterCompute(ctx, s.fleet, "box"); err != nil {
			t.Fatal(err)
		}
		s.sweep()
		idle.terminates()
		g.toldNothing("while it has a game session")
		wantKind(t, "creating a game session", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
		if err := g.Close(ctx); err != nil {
			t.Fatal(err)
		}
		back := s.connectWith("one", token).heartbeat(true)
		if err := back.Hosts(ctx, game); err != nil {
			t.Error(err)
		}
		if err := back.TerminateServerProcess(ctx, ""); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "another life", back.ActivateServerProcess(ctx, allocator.ActivateServerProcessInput{Port: 1}), allocator.ErrNotFound)
	})
}

func TestServerProcessOfADeregisteredComputeKeepsTheGameSessionThatItIsGivenMeanwhile(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		var game allocator.GameSessionID
		a := s.beside(meanwhile("tell_server_process", func() { game = s.create().ID }))
		g := s.start("one")
		if err := s.DeregisterCompute(context.Background(), s.fleet, "box"); err != nil {
			t.Fatal(err)
		}
		a.sweep()
		g.starts(game)
		s.pass(time.Second)
		g.heartbeat(true).toldNothing("while it has a game session")
	})
}

func TestRefusedDeletionOfAFleetHarmsNoServerProcess(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		var g *gameServer
		a := s.beside(meanwhile("reopen_fleet", func() { g.activate() }))
		g = s.start("one")
		game := s.create().ID
		g.starts(game)
		wantKind(t, "deleting the fleet", a.DeleteFleet(context.Background(), s.fleet), allocator.ErrInvalidFleetStatus)
		if status := s.describe(game).Status; status != allocator.GameSessionActive {
			t.Errorf("the game session is %s", status)
		}
		g.toldNothing("after the refused deletion")
	})
}

func TestConnectionEndsThoughItsCallerHasGone(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	g := s.start("one")
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Close(gone); err != nil {
		t.Error(err)
	}
	if s.process("one").Connected {
		t.Error("it counts as connected")
	}
}

func TestOfTwoEqualRequestsTheOneThatDidItCounts(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	g := s.start("one")
	ctx := context.Background()
	refusal := &allocator.Error{Kind: allocator.ErrNotFound, Message: "it is done already"}
	err := g.Once(ctx, "request", true, func(context.Context) error {
		err := g.Once(ctx, "request", true, func(context.Context) error { return refusal })
		if !errors.Is(err, refusal.Kind) {
			t.Errorf("the second is answered with %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := g.Once(ctx, "request", true, func(context.Context) error { return refusal }); err != nil {
		t.Errorf("the third is answered with %v", err)
	}
	err = g.Once(ctx, "another", true, func(context.Context) error {
		if err := g.Once(ctx, "another", true, func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
		return refusal
	})
	if err != nil {
		t.Errorf("the one that was slower is answered with %v", err)
	}
}

func TestEndThatIsAskedForAgainIsGrantedAgain(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		end := func(g *gameServer) error {
			return g.Once(ctx, "end", true, func(ctx context.Context) error { return g.TerminateServerProcess(ctx, "end") })
		}
		s.start("one")
		dying, death := openMortal(t, store)
		g := scene{dying, t, store, s.fleet}.connect("one")
		death.after(1) // it has ended, and the instance with it
		if err := end(g); err == nil {
			t.Fatal("the instance did not die")
		}
		if err := end(s.connect("one")); err != nil {
			t.Errorf("asked for again over another instance: %v", err)
		}
		s.sweep()
		if s.process("one") != nil {
			t.Error("the process is still there")
		}
	})
}

func TestReviewOfWhatIsGoneIsStruckOff(t *testing.T) {
	allocatortest.EachTopology(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		before := everyKey(t, store)
		err := store.Client().ZAdd(context.Background(), "berth:{0}:reviews", redis.Z{Score: 1, Member: "AAAAAAAAAAAAAAAAAAAAAA"}).Err()
		if err != nil {
			t.Fatal(err)
		}
		s.sweep()
		store.Advance(time.Hour + time.Millisecond) // there is a note that somebody has looked
		wantSameKeys(t, before, everyKey(t, store))
	})
}

// Restarts and creators without order: in the end every game session is over, and nothing is left of any process.
func TestNoGameSessionOutlivesItsServerProcess(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		const workers, rounds = 6, 25
		s := newScene(t, store, func(c *allocator.Config) { c.AutoActivate = false })
		instances := []scene{s, {open(t, store, func(c *allocator.Config) { c.AutoActivate = false }), t, store, s.fleet}}
		ctx := context.Background()
		token := s.token()
		sweeping, stop := context.WithCancel(ctx)
		swept := make(chan struct{})
		go func() {
			defer close(swept)
			for sweeping.Err() == nil {
				_, _ = s.Sweep(ctx)
			}
		}()
		inParallel(workers, workers*rounds, func(i int) {
			at := instances[i%2]
			id := allocator.ServerProcessID{FleetID: s.fleet, ComputeName: "box", ProcessID: fmt.Sprint("process-", i%3)}
			c, err := at.AuthenticateServerProcess(ctx, id, allocator.Credential{Token: token})
			if err != nil {
				t.Error(err)
				return
			}
			_ = c.Open(ctx, func(ctx context.Context, p allocator.Push) error {
				if start, ok := p.(allocator.StartGameSession); ok {
					_ = c.ActivateGameSession(ctx, start.GameSession.ID)
				}
				return nil
			})
			_ = c.ActivateServerProcess(ctx, allocator.ActivateServerProcessInput{Port: 1})
			_ = c.HeartbeatServerProcess(ctx, true)
			if err := at.tryCreate(); err != nil && !errors.Is(err, allocator.ErrFleetCapacityExceeded) {
				t.Error(err)
			}
			if err := c.Close(ctx); err != nil {
				t.Error(err)
			}
		})
		stop()
		<-swept
		s.pass(serverProcessLife + 2*grace)
		out, err := s.DescribeGameSessions(ctx, allocator.DescribeGameSessionsInput{FleetID: s.fleet, Limit: 100})
		for ; err == nil; out, err = s.DescribeGameSessions(ctx, allocator.DescribeGameSessionsInput{FleetID: s.fleet, Limit: 100, NextToken: out.NextToken}) {
			for _, game := range out.GameSessions {
				if game.Status != allocator.GameSessionTerminated && game.Status != allocator.GameSessionError {
					t.Errorf("game session %s is %s", game.ID, game.Status)
				}
			}
			if out.NextToken == "" {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range everyKey(t, store) {
			for _, part := range []string{":process:", ":processes:", ":idle:", ":reviews", ":live:", ":deadlines"} {
				if strings.Contains(key, part) {
					t.Errorf("%s is left", key)
				}
			}
		}
	})
}

func TestPolicyThatAGameServerSetsIsNotThatOfItsPlacement(t *testing.T) {
	t.Run("nobody else is let in", func(t *testing.T) {
		allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
			s := newScene(t, store)
			ctx := context.Background()
			var game allocator.GameSessionID
			a := s.beside(meanwhile("create_player_sessions", func() {
				_, err := s.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "mallory"})
				wantKind(t, "reserving", err, allocator.ErrInvalidGameSessionStatus)
				_, err = s.CreatePlayerSessions(ctx, allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: []string{"mallory", "oscar"}})
				wantKind(t, "reserving as a group", err, allocator.ErrInvalidGameSessionStatus)
			}))
			g := a.start("one")
			placed := a.startPlacement("alice")
			game = g.next().(allocator.StartGameSession).GameSession.ID
			accept := allocator.AcceptAll
			if _, err := s.UpdateGameSession(ctx, allocator.UpdateGameSessionInput{GameSessionID: game, PlayerSessionCreationPolicy: &accept}); err != nil {
				t.Fatal(err)
			}
			if err := g.ActivateGameSession(ctx, game); err != nil {
				t.Fatal(err)
			}
			if p := s.placement(placed); p.Status != allocator.PlacementFulfilled || len(p.PlacedPlayerSessions) != 1 {
				t.Errorf("the placement is %+v", p)
			}
			s.reserve(game, "bob")
		})
	})
	t.Run("it is kept", func(t *testing.T) {
		allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
			s := newScene(t, store)
			ctx := context.Background()
			g := s.start("one")
			placed := s.startPlacement("alice")
			game := g.next().(allocator.StartGameSession).GameSession.ID
			deny := allocator.DenyAll
			if _, err := s.UpdateGameSession(ctx, allocator.UpdateGameSessionInput{GameSessionID: game, PlayerSessionCreationPolicy: &deny}); err != nil {
				t.Fatal(err)
			}
			if err := g.ActivateGameSession(ctx, game); err != nil {
				t.Fatal(err)
			}
			if p := s.placement(placed); p.Status != allocator.PlacementFulfilled || len(p.PlacedPlayerSessions) != 1 {
				t.Errorf("the placement is %+v", p)
			}
			if policy := s.describe(game).PlayerSessionCreationPolicy; policy != deny {
				t.Errorf("the policy was set to DENY_ALL, and is %s", policy)
			}
		})
	})
}

func TestUpdateIsToldThoughItsCallerBreaksOff(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g, game := s.hosting("one")
		s.sweep()
		name := "renamed"
		_, err := open(t, store, cannotRun("tell_server_process")).UpdateGameSession(context.Background(), allocator.UpdateGameSessionInput{GameSessionID: game, Name: &name})
		wantOnlyKind(t, "updating", err, allocator.ErrOutcomeUnknown)
		deny := allocator.DenyAll
		if _, err := s.UpdateGameSession(context.Background(), allocator.UpdateGameSessionInput{GameSessionID: game, PlayerSessionCreationPolicy: &deny}); err != nil {
			t.Fatal(err)
		}
		g.toldNothing("before a review")
		for range serverProcessLife / attendance { // by then it is reviewed, as it might be lost
			store.Advance(attendance)
			g.heartbeat(true)
			s.sweep()
		}
		if p, ok := g.next().(allocator.UpdatedGameSession); !ok || p.GameSession.Name != name {
			t.Errorf("it was told %+v", p)
		}
		s.pass(attendance)
		g.heartbeat(true).toldNothing("a second time")
	})
}

func TestUpdateThatChangesNothingIsNotTold(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g, game := s.hosting("one")
		update := func(name string) {
			t.Helper()
			most := 4
			in := allocator.UpdateGameSessionInput{GameSessionID: game, Name: &name, MaximumPlayerSessionCount: &most, GameProperties: map[string]string{"map": name}}
			if _, err := s.UpdateGameSession(context.Background(), in); err != nil {
				t.Fatal(err)
			}
		}
		update("one")
		g.next()
		update("one")
		s.pass(time.Second)
		g.heartbeat(true).toldNothing("of what it knows")
		update("two")
		if p, ok := g.next().(allocator.UpdatedGameSession); !ok || p.GameSession.Name != "two" {
			t.Errorf("it was told %+v", p)
		}

		other, game := s.hosting("two")
		same := 4
		if _, err := s.UpdateGameSession(context.Background(), allocator.UpdateGameSessionInput{GameSessionID: game, MaximumPlayerSessionCount: &same}); err != nil {
			t.Fatal(err)
		}
		other.toldNothing("of what never changed")
	})
}

func TestWhatALifeIsToldIsNotNotedOfTheNext(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		told, telling, again := make(chan allocator.Push, 10), make(chan struct{}, 10), make(chan struct{})
		g := &gameServer{s.open("one", s.token(), func(p allocator.Push) error {
			if _, ends := p.(allocator.TerminateProcess); ends {
				telling <- struct{}{}
				<-again // its answer to the ping comes late
			}
			told <- p
			return nil
		}), t, told}
		g.activate().heartbeat(true)
		game := s.create().ID
		g.starts(game)
		s.terminateBy(game, allocator.ForceTerminate)
		<-telling
		if err := g.TerminateServerProcess(ctx, ""); err != nil {
			t.Fatal(err)
		}
		g.activate().heartbeat(true)
		close(again)
		g.terminates() // of the life before
		game = s.create().ID
		g.starts(game)
		s.terminateBy(game, allocator.ForceTerminate)
		g.terminates()
	})
}

func TestTerminationThatBreaksOffIsNotSaidToHaveChangedNothing(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for _, breaks := range []string{"terminate_game_session", "finish_game_session"} {
			s := newScene(t, store)
			g, game := s.hosting(breaks)
			in := allocator.TerminateGameSessionInput{GameSessionID: game, Mode: allocator.ForceTerminate}
			_, err := open(t, store, cannotRun(breaks)).TerminateGameSession(context.Background(), in)
			wantOnlyKind(t, "terminating without "+breaks, err, allocator.ErrOutcomeUnknown)
			g.heartbeat(true).terminates()
		}
	})
}

func TestCreationAndEndThatBreakOffAreNotSaidToHaveChangedNothing(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		s.start("one")
		_, err := open(t, store, cannotRun("confirm_server_process")).CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet})
		wantOnlyKind(t, "creating", err, allocator.ErrOutcomeUnknown)
		for _, breaks := range []string{"terminate_game_session", "remove_server_process"} {
			_, _ = s.hosting(breaks)
			unlucky := scene{open(t, store, cannotRun(breaks)), t, store, s.fleet}.connect(breaks)
			wantOnlyKind(t, "ending without "+breaks, unlucky.TerminateServerProcess(ctx, ""), allocator.ErrOutcomeUnknown)
		}
	})
}

func TestCreationThatSurelyFailedIsNotCounted(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		one, minutes := 1, 15
		if err := s.UpdateFleetAttributes(ctx, allocator.UpdateFleetAttributesInput{FleetID: s.fleet, GameSessionsPerCreator: &one, PeriodMinutes: &minutes}); err != nil {
			t.Fatal(err)
		}
		s.start("one")
		s.start("two")
		in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4, CreatorID: "ada"}
		_, err := open(t, store, cannotRun("create_game_session")).CreateGameSession(ctx, in)
		wantOnlyKind(t, "creating without the store", err, allocator.ErrStoreUnavailable)
		if _, err := s.CreateGameSession(ctx, in); err != nil {
			t.Errorf("creating the first: %v", err)
		}
		_, err = s.CreateGameSession(ctx, in)
		wantKind(t, "creating a second", err, allocator.ErrLimitExceeded)
	})
}

func TestTerminationIsAcknowledgedWhenReplicasHaveIt(t *testing.T) {
	store := allocatortest.SentinelRealTime(t)
	s := newScene(t, store)
	careful := open(t, store, func(config *allocator.Config) { config.WaitReplicas, config.WaitTimeout = 2, 100*time.Millisecond })
	games := make(map[allocator.TerminationMode]allocator.GameSessionID)
	for _, mode := range []allocator.TerminationMode{allocator.ForceTerminate, allocator.TriggerOnProcessTerminate} {
		_, games[mode] = s.hosting(string(mode))
	}
	replica := store.Nodes()[1]
	replica.Freeze()
	for mode, game := range games {
		_, err := careful.TerminateGameSession(t.Context(), allocator.TerminateGameSessionInput{GameSessionID: game, Mode: mode})
		wantOnlyKind(t, string(mode)+" while a replica does not answer", err, allocator.ErrOutcomeUnknown)
	}
	replica.Thaw()
	for mode, game := range games {
		allocatortest.Eventually(t, time.Minute, func() bool {
			_, err := careful.TerminateGameSession(t.Context(), allocator.TerminateGameSessionInput{GameSessionID: game, Mode: mode})
			return err == nil
		}, string(mode)+" is acknowledged")
	}
}
