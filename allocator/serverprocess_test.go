package allocator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// The times of server processes, as the documentation gives them.
const (
	serverProcessLife = 3 * time.Minute
	grace             = 5 * time.Minute
	activationTimeout = 10 * time.Minute
	startAgain        = time.Minute
	claimGrace        = 10 * time.Second
	attendance        = 30 * time.Second
	hostInterval      = 5 * time.Minute
)

// patience is how long a test waits for what comes on its own time.
const patience = 30 * time.Second

// gameServer is a server process with a connection, which keeps what it is told.
type gameServer struct {
	*allocator.ServerProcessConnection
	t    testing.TB
	told chan allocator.Push
}

// connect connects a server process of the fleet to an instance, with a new token.
func (s scene) connect(processID string) *gameServer {
	s.t.Helper()
	return s.connectWith(processID, s.token())
}

func (s scene) connectWith(processID, token string) *gameServer {
	s.t.Helper()
	told := make(chan allocator.Push, 100)
	return &gameServer{s.open(processID, token, func(p allocator.Push) error {
		told <- p
		return nil
	}), s.t, told}
}

// open opens a connection of a server process of the fleet.
func (s scene) open(processID, token string, push func(allocator.Push) error) *allocator.ServerProcessConnection {
	s.t.Helper()
	ctx := context.Background()
	id := allocator.ServerProcessID{FleetID: s.fleet, ComputeName: "box", ProcessID: processID}
	connection, err := s.AuthenticateServerProcess(ctx, id, allocator.Credential{Token: token})
	if err != nil {
		s.t.Fatal(err)
	}
	if err := connection.Open(ctx, func(_ context.Context, p allocator.Push) error { return push(p) }); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = connection.Close(ctx) })
	return connection
}

// token returns a new token of the compute.
func (s scene) token() string {
	s.t.Helper()
	token, err := s.GetComputeAuthToken(context.Background(), s.fleet, "box")
	if err != nil {
		s.t.Fatal(err)
	}
	return token.Token
}

// activate registers it.
func (g *gameServer) activate() *gameServer {
	g.t.Helper()
	if err := g.ActivateServerProcess(context.Background(), allocator.ActivateServerProcessInput{Port: 7777, SDK: "Go 5.6.0"}); err != nil {
		g.t.Fatal(err)
	}
	return g
}

func (g *gameServer) heartbeat(healthy bool) *gameServer {
	g.t.Helper()
	if err := g.HeartbeatServerProcess(context.Background(), healthy); err != nil {
		g.t.Fatal(err)
	}
	return g
}

// start starts an idle server process.
func (s scene) start(processID string) *gameServer {
	s.t.Helper()
	return s.connect(processID).activate().heartbeat(true)
}

// hosting starts a server process that has activated a new game session.
func (s scene) hosting(processID string) (*gameServer, allocator.GameSessionID) {
	s.t.Helper()
	g := s.start(processID)
	game := s.create().ID
	g.starts(game)
	return g, game
}

// next waits for what it is told next, and until that is noted.
func (g *gameServer) next() allocator.Push {
	g.t.Helper()
	select {
	case p := <-g.told:
		g.Settle() // by then the store has it noted
		return p
	case <-time.After(patience):
		g.t.Fatalf("process %s was told nothing", g.ID.ProcessID)
		return nil
	}
}

// starts waits until it is told to start a game session, and activates that.
func (g *gameServer) starts(game allocator.GameSessionID) {
	g.t.Helper()
	p, ok := g.next().(allocator.StartGameSession)
	if !ok || p.GameSession.ID != game {
		g.t.Fatalf("process %s was told %+v, want it to start %s", g.ID.ProcessID, p, game)
	}
	if err := g.ActivateGameSession(context.Background(), game); err != nil {
		g.t.Fatal(err)
	}
}

// terminates waits until it is told to end, and returns by when.
func (g *gameServer) terminates() time.Time {
	g.t.Helper()
	for {
		if p, ok := g.next().(allocator.TerminateProcess); ok {
			return p.By
		}
	}
}

// toldNothing fails the test if it has been told something, now that its instance has looked.
func (g *gameServer) toldNothing(when string) {
	g.t.Helper()
	g.Settle()
	select {
	case p := <-g.told:
		g.t.Errorf("%s process %s was told %+v, want nothing", when, g.ID.ProcessID, p)
	default:
	}
}

// create creates a game session.
func (s scene) create() *allocator.GameSession {
	s.t.Helper()
	game, err := s.CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4})
	if err != nil {
		s.t.Fatal(err)
	}
	return game
}

func (s scene) tryCreate() error {
	_, err := s.CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4})
	return err
}

// process reads a server process, nil if it is not there.
func (s scene) process(processID string) *allocator.ServerProcess {
	s.t.Helper()
	p, err := s.DescribeServerProcess(context.Background(), allocator.ServerProcessID{FleetID: s.fleet, ComputeName: "box", ProcessID: processID})
	if errors.Is(err, allocator.ErrNotFound) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func TestGameSessionIsActivatedByItsServerProcess(t *testing.T) {
	allocatortest.EachTopology(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		game, err := s.CreateGameSession(context.Background(), allocator.CreateGameSessionInput{
			FleetID: s.fleet, MaximumPlayerSessionCount: 4, Name: "duel", GameSessionData: "data", GameProperties: map[string]string{"map": "cellar"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if game.Status != allocator.GameSessionActivating || game.Port != 7777 || game.IPAddress != "192.0.2.7" || game.ComputeName != "box" || game.Location != "custom-cellar" {
			t.Errorf("the new game session is %+v, want it ACTIVATING at the process", game)
		}
		wantKind(t, "reserving before the activation", s.tryReserve(game.ID), allocator.ErrInvalidGameSessionStatus)
		told, ok := g.next().(allocator.StartGameSession)
		if !ok || told.GameSession.ID != game.ID || told.GameSession.Name != "duel" || told.GameSession.GameProperties["map"] != "cellar" || told.GameSession.GameSessionData != "data" {
			t.Fatalf("the process was told %+v", told)
		}
		for range 2 { // it may have been told twice
			if err := g.ActivateGameSession(context.Background(), game.ID); err != nil {
				t.Fatal(err)
			}
		}
		if status := s.describe(game.ID).Status; status != allocator.GameSessionActive {
			t.Errorf("after the activation it is %s", status)
		}
		p := s.reserve(game.ID, "alice")
		s.accept(p)
		if p.Port != 7777 || p.IPAddress != "192.0.2.7" {
			t.Errorf("the player is sent to %s:%d", p.IPAddress, p.Port)
		}
		if got := s.process("one"); got.GameSessionID != game.ID || got.Status != allocator.ServerProcessActive || !got.Healthy || !got.Connected || got.SDK != "Go 5.6.0" {
			t.Errorf("the process is %+v", got)
		}
		s.sweep()
		g.toldNothing("after the activation")

		// The game ends as its process says so.
		if err := g.TerminateServerProcess(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		if ended := s.describe(game.ID); ended.Status != allocator.GameSessionTerminated || ended.StatusReason != "" {
			t.Errorf("after the end of the process it is %s because of %q", ended.Status, ended.StatusReason)
		}
		if got := s.read(p.ID); got.Status != allocator.PlayerSessionCompleted {
			t.Errorf("the player session is %s", got.Status)
		}
		if s.process("one") != nil {
			t.Error("the process is still there")
		}
		wantKind(t, "a second end", g.TerminateServerProcess(context.Background(), ""), allocator.ErrNotFound)
		wantKind(t, "a heartbeat after the end", g.HeartbeatServerProcess(context.Background(), true), allocator.ErrNotFound)
	})
}

func TestOnlyIdleServerProcessesAreGivenGameSessions(t *testing.T) {
	ctx := context.Background()
	for name, begin := range map[string]func(s scene) *gameServer{
		"registered, but no report yet": func(s scene) *gameServer { return s.connect("one").activate() },
		"unhealthy from the beginning":  func(s scene) *gameServer { return s.connect("one").activate().heartbeat(false) },
		"unhealthy":                     func(s scene) *gameServer { return s.start("one").heartbeat(false) },
		"disconnected": func(s scene) *gameServer {
			g := s.start("one")
			if err := g.Close(ctx); err != nil {
				s.t.Fatal(err)
			}
			return g
		},
		"hosting": func(s scene) *gameServer {
			g := s.start("one")
			s.create()
			return g
		},
		"hosting, and healthy still": func(s scene) *gameServer {
			g := s.start("one")
			g.starts(s.create().ID)
			return g.heartbeat(true)
		},
		"told to end": func(s scene) *gameServer {
			g, game := s.hosting("one")
			s.terminateBy(game, allocator.ForceTerminate)
			return g.heartbeat(true)
		},
		"lost": func(s scene) *gameServer {
			g := s.start("one")
			s.pass(serverProcessLife)
			return g.heartbeat(true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
				s := newScene(t, store)
				begin(s)
				wantKind(t, "creating a game session", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
				s.start("two") // another one helps
				if err := s.tryCreate(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestServerProcessIsIdleAgainWhenItIsBack(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		g.heartbeat(false).heartbeat(true)
		if err := g.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "creating while it is away", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
		g = s.connect("one") // without registering again
		g.starts(s.create().ID)
	})
}

func TestFleetWithoutServerProcessesActivatesByItselfIfTold(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		if status := s.create().Status; status != allocator.GameSessionActive {
			t.Errorf("without a server process the game session is %s", status)
		}
		g := s.connect("one").activate()
		wantKind(t, "creating with a server process", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
		if err := g.TerminateServerProcess(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		if status := s.create().Status; status != allocator.GameSessionActive {
			t.Errorf("after the end of the only server process the game session is %s", status)
		}
		off := scene{open(t, store, func(c *allocator.Config) { c.AutoActivate = false }), t, store, s.fleet}
		wantKind(t, "creating without auto-activation", off.tryCreate(), allocator.ErrFleetCapacityExceeded)
	})
}

func TestNoTwoGameSessionsGetOneServerProcess(t *testing.T) {
	const processes, creators = 40, 60
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	other := scene{open(t, store), t, store, s.fleet}
	for i := range processes {
		s.start(fmt.Sprint("process-", i))
	}
	var mu sync.Mutex
	var full int
	created := make(map[allocator.GameSessionID]bool)
	var group sync.WaitGroup
	for i := range creators {
		group.Go(func() {
			at := s
			if i%2 == 0 {
				at = other
			}
			game, err := at.CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, allocator.ErrFleetCapacityExceeded):
				full++
			case err != nil:
				t.Error(err)
			default:
				created[game.ID] = true
			}
		})
	}
	group.Wait()
	wantCount(t, "game sessions created", len(created), processes)
	wantCount(t, "creators turned away", full, creators-processes)
	for i := range processes {
		p := s.process(fmt.Sprint("process-", i))
		if !created[p.GameSessionID] {
			t.Errorf("process %d has the game session %q", i, p.GameSessionID)
		}
		delete(created, p.GameSessionID)
	}
	wantCount(t, "game sessions that no process has", len(created), 0)
}

func TestGameSessionThatIsNotActivatedInTimeIsInError(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		game := s.create()
		g.next()
		for waited := time.Duration(0); waited < activationTimeout-time.Minute; waited += time.Minute {
			store.Advance(time.Minute)
			g.heartbeat(true)
			s.sweep()
		}
		if status := s.describe(game.ID).Status; status != allocator.GameSessionActivating {
			t.Fatalf("before its time is over it is %s", status)
		}
		store.Advance(time.Minute)
		wantKind(t, "activating at the deadline", g.ActivateGameSession(context.Background(), game.ID), allocator.ErrInvalidGameSessionStatus)
		s.sweep()
		got := s.describe(game.ID)
		if got.Status != allocator.GameSessionError || !got.TerminationTime.Equal(game.CreationTime.Add(activationTimeout)) {
			t.Errorf("it is %s since %v, want ERROR since %v", got.Status, got.TerminationTime, game.CreationTime.Add(activationTimeout))
		}
		wantKind(t, "activating in ERROR", g.ActivateGameSession(context.Background(), game.ID), allocator.ErrInvalidGameSessionStatus)
		store.Advance(time.Second)
		s.sweep()
		if by := g.terminates(); by.Sub(store.Now()) > grace {
			t.Errorf("the process is given up by %v, which is %v from now", by, by.Sub(store.Now()))
		}
		wantKind(t, "creating another", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
	})
}

func TestSilentServerProcessLosesItsGameSession(t *testing.T) {
	allocatortest.EachTopology(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g, game := s.hosting("one")
		active := s.reserve(game, "active")
		s.accept(active)
		s.pass(serverProcessLife - time.Millisecond)
		g.heartbeat(false) // which does not help
		if status := s.describe(game).Status; status != allocator.GameSessionActive {
			t.Fatalf("before the process is lost the game session is %s", status)
		}
		reserved := s.reserve(game, "reserved")
		s.pass(time.Millisecond)
		if ended := s.describe(game); ended.Status != allocator.GameSessionTerminated || ended.StatusReason != allocator.Interrupted {
			t.Errorf("it is %s because of %q, want TERMINATED because of INTERRUPTED", ended.Status, ended.StatusReason)
		}
		for _, p := range []*allocator.PlayerSession{reserved, active} {
			if got := s.read(p.ID); got.Status != allocator.PlayerSessionCompleted {
				t.Errorf("player session of %s: %s", p.PlayerID, got.Status)
			}
		}
		if by := g.terminates(); !by.Equal(store.Now().Add(grace)) {
			t.Errorf("the process is to end by %v, want %v", by, store.Now().Add(grace))
		}
		if status := s.process("one").Status; status != allocator.ServerProcessTerminating {
			t.Errorf("the process is %s", status)
		}
		store.Advance(grace)
		s.sweep()
		if p := s.process("one"); p != nil {
			t.Errorf("after its time the process is %+v", p)
		}
	})
}

func TestHeartbeatsKeepAServerProcess(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	g, game := s.hosting("one")
	for range 10 {
		s.pass(serverProcessLife - time.Second)
		g.heartbeat(true)
	}
	if status := s.describe(game).Status; status != allocator.GameSessionActive {
		t.Errorf("the game session is %s", status)
	}
}

func TestTerminationIsAskedOfTheServerProcess(t *testing.T) {
	allocatortest.EachTopology(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g, game := s.hosting("one")
		active := s.reserve(game, "active")
		s.accept(active)
		ended := s.terminateBy(game, allocator.TriggerOnProcessTerminate)
		if ended.Status != allocator.GameSessionTerminating || ended.StatusReason != allocator.TriggeredOnProcessTerminate {
			t.Errorf("it is %s because of %q", ended.Status, ended.StatusReason)
		}
		wantKind(t, "reserving", s.tryReserve(game), allocator.ErrInvalidGameSessionStatus)
		if by := g.terminates(); by.Before(store.Now()) {
			t.Errorf("it is to end by %v", by)
		}
		if err := s.DeleteFleet(context.Background(), s.fleet); !errors.Is(err, allocator.ErrInvalidFleetStatus) {
			t.Errorf("deleting the fleet meanwhile: %v", err)
		}
		s.sweep()
		if got := s.read(active.ID); got.Status != allocator.PlayerSessionActive {
			t.Errorf("the player is %s before the process has ended", got.Status)
		}
		s.remove(active) // players may leave
		if err := g.TerminateServerProcess(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
		if ended := s.describe(game); ended.Status != allocator.GameSessionTerminated || ended.StatusReason != allocator.TriggeredOnProcessTerminate {
			t.Errorf("after the process it is %s because of %q", ended.Status, ended.StatusReason)
		}
	})
}

func TestTerminationDoesNotWaitForeverForTheServerProcess(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g, game := s.hosting("one")
		reserved := s.reserve(game, "reserved")
		s.terminateBy(game, allocator.TriggerOnProcessTerminate)
		g.terminates()
		for waited := time.Duration(0); waited < grace; waited += time.Minute {
			if status := s.describe(game).Status; status != allocator.GameSessionTerminating {
				t.Errorf("after %v it is %s", waited, status)
			}
			s.terminateBy(game, allocator.TriggerOnProcessTerminate) // does not give it more time
			store.Advance(time.Minute)
			g.heartbeat(true)
			s.sweep()
		}
		if ended := s.describe(game); ended.Status != allocator.GameSessionTerminated {
			t.Errorf("in the end it is %s", ended.Status)
		}
		if got := s.read(reserved.ID); got.Status != allocator.PlayerSessionTimedOut {
			t.Errorf("the reservation is %s", got.Status)
		}
		if s.process("one") != nil {
			t.Error("the process is still there")
		}
		g.toldNothing("after it was told to end")
	})
}

func TestForcedTerminationWaitsForNobody(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		for _, before := range []bool{false, true} {
			g := s.start(fmt.Sprint("process-", before))
			game := s.create().ID
			g.starts(game)
			want := allocator.ForceTerminated
			if before {
				s.terminateBy(game, allocator.TriggerOnProcessTerminate)
				want = allocator.TriggeredOnProcessTerminate
			}
			if ended := s.terminateBy(game, allocator.ForceTerminate); ended.Status != allocator.GameSessionTerminated || ended.StatusReason != want {
				t.Errorf("it is %s because of %q", ended.Status, ended.StatusReason)
			}
			g.terminates()
		}
	})
}

func TestPlacementWaitsForAServerProcess(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store, func(c *allocator.Config) { c.AutoActivate = false })
		ctx := context.Background()
		placed := s.startPlacement("alice", "bob")
		store.Advance(time.Minute)
		s.sweep()
		if status := s.placement(placed).Status; status != allocator.PlacementPending {
			t.Fatalf("without a server process the placement is %s", status)
		}
		g := s.start("one")
		store.Advance(time.Second)
		s.sweep()
		p := g.next().(allocator.StartGameSession)
		store.Advance(time.Minute)
		s.sweep()
		if status := s.placement(placed).Status; status != allocator.PlacementPending {
			t.Fatalf("before the activation the placement is %s", status)
		}
		if err := g.ActivateGameSession(ctx, p.GameSession.ID); err != nil {
			t.Fatal(err)
		}
		got := s.placement(placed)
		if got.Status != allocator.PlacementFulfilled || got.GameSession != p.GameSession.ID || len(got.PlacedPlayerSessions) != 2 || got.Port != 7777 {
			t.Errorf("after the activation the placement is %+v", got)
		}
		if game := s.describe(p.GameSession.ID); game.CurrentPlayerSessionCount != 2 || game.PlayerSessionCreationPolicy != allocator.AcceptAll {
			t.Errorf("its game session is %+v", game)
		}
	})
}

func TestStoppedPlacementGivesItsServerProcessUp(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		placed := s.startPlacement("alice")
		p := g.next().(allocator.StartGameSession)
		if _, err := s.StopGameSessionPlacement(context.Background(), placed); err != nil {
			t.Fatal(err)
		}
		store.Advance(time.Second)
		s.sweep()
		if status := s.describe(p.GameSession.ID).Status; status != allocator.GameSessionTerminated {
			t.Errorf("its game session is %s", status)
		}
		g.terminates()
		wantKind(t, "activating it", g.ActivateGameSession(context.Background(), p.GameSession.ID), allocator.ErrInvalidGameSessionStatus)
	})
}

func TestServerProcessIsToldWhereItIs(t *testing.T) {
	allocatortest.EachTopology(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		other, third := scene{open(t, store), t, store, s.fleet}, scene{open(t, store), t, store, s.fleet}
		clockwork(t, other.Allocator)
		clockwork(t, third.Allocator)
		g := other.start("one") // connected elsewhere
		broken := other.connectHalfOpen("one")
		game := s.create()
		broken.tries()
		again := third.connect("one") // it comes back elsewhere
		if p, ok := again.next().(allocator.StartGameSession); !ok || p.GameSession.ID != game.ID {
			t.Fatalf("when it was back it was told %+v", p)
		}
		if err := g.ActivateGameSession(context.Background(), game.ID); err != nil { // over the old connection, which still works
			t.Fatal(err)
		}
		name := "renamed"
		if _, err := s.UpdateGameSession(context.Background(), allocator.UpdateGameSessionInput{GameSessionID: game.ID, Name: &name}); err != nil {
			t.Fatal(err)
		}
		if p, ok := again.next().(allocator.UpdatedGameSession); !ok || p.GameSession.Name != name {
			t.Fatalf("it was told %+v", p)
		}
		s.terminateBy(game.ID, allocator.TriggerOnProcessTerminate)
		again.terminates()
		g.toldNothing("over its old connection")
		if err := g.Close(context.Background()); err != nil { // only now
			t.Fatal(err)
		}
		if p := s.process("one"); !p.Connected {
			t.Error("with the old connection gone it counts as away")
		}
	})
}

func TestServerProcessThatDoesNotActivateIsToldAgain(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		game := s.create().ID
		g.next()
		store.Advance(startAgain - time.Second)
		g.heartbeat(true)
		s.sweep()
		g.toldNothing("before a minute is over")
		store.Advance(time.Second)
		g.heartbeat(true)
		s.sweep()
		if p, ok := g.next().(allocator.StartGameSession); !ok || p.GameSession.ID != game {
			t.Fatalf("it was told %+v", p)
		}
		store.Advance(startAgain)
		g.heartbeat(true)
		s.sweep()
		g.toldNothing("a third time") // a Server SDK would have it begin anew each time
		if err := g.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		g = s.connect("one").heartbeat(true)
		g.toldNothing("a third time, over another connection")
		if err := g.ActivateGameSession(context.Background(), game); err != nil {
			t.Fatal(err)
		}
		store.Advance(startAgain)
		g.heartbeat(true)
		s.sweep()
		g.toldNothing("once it has activated the game session")
	})
}

func TestServerProcessThatReconnectsWhileItLoadsIsNotToldToBeginAnew(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		game := s.create().ID
		g.next() // and has surely got that
		for range 3 {
			if err := g.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			store.Advance(time.Second)
			g = s.connect("one").heartbeat(true)
			s.sweep()
			g.toldNothing("within a minute")
		}
		store.Advance(startAgain)
		g.heartbeat(true)
		if p, ok := g.next().(allocator.StartGameSession); !ok || p.GameSession.ID != game {
			t.Fatalf("it was told %+v", p)
		}
		store.Advance(startAgain)
		g.heartbeat(true)
		s.sweep()
		g.toldNothing("a third time")
	})
}

func TestWhatCouldNotBeToldIsToldLater(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		broken := s.connectHalfOpen("one")
		game := s.create().ID
		broken.tries()
		g.toldNothing("over its old connection")
		store.Advance(time.Second)
		s.sweep()
		broken.tries()
		if err := broken.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		s.connect("one").starts(game)
	})
}

func TestWhatAConnectionThatIsBackCouldNotBeToldIsToldLater(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		older := s.connectHalfOpen("one").start()
		store.Advance(time.Second)
		newer := s.connect("one").heartbeat(true)
		game := s.create().ID
		newer.starts(game)
		if err := newer.Close(ctx); err != nil {
			t.Fatal(err)
		}
		name := "renamed"
		if _, err := s.UpdateGameSession(ctx, allocator.UpdateGameSessionInput{GameSessionID: game, Name: &name}); err != nil {
			t.Fatal(err)
		}
		s.sweep() // now it is to be reviewed again when it could be lost
		if err := older.HeartbeatServerProcess(ctx, true); err != nil {
			t.Fatal(err)
		}
		older.tries()
		store.Advance(time.Second)
		s.sweep()
		older.tries()
	})
}

// halfOpen is a connection of a server process over which nothing can be told.
type halfOpen struct {
	*allocator.ServerProcessConnection
	t     testing.TB
	tried chan bool
}

func (s scene) connectHalfOpen(processID string) *halfOpen {
	s.t.Helper()
	tried := make(chan bool, 100)
	return &halfOpen{s.open(processID, s.token(), func(allocator.Push) error {
		tried <- true
		return errors.New("half open")
	}), s.t, tried}
}

// start registers it, idle.
func (h *halfOpen) start() *halfOpen {
	h.t.Helper()
	ctx := context.Background()
	if err := h.ActivateServerProcess(ctx, allocator.ActivateServerProcessInput{Port: 7777, SDK: "Go 5.6.0"}); err != nil {
		h.t.Fatal(err)
	}
	if err := h.HeartbeatServerProcess(ctx, true); err != nil {
		h.t.Fatal(err)
	}
	return h
}

// tries waits until somebody has tried to tell it something, and has given up.
func (h *halfOpen) tries() {
	h.t.Helper()
	select {
	case <-h.tried:
	case <-time.After(patience):
		h.t.Fatalf("nobody has tried to tell process %s anything", h.ID.ProcessID)
	}
	h.Settle()
	for len(h.tried) > 0 {
		<-h.tried
	}
}

func TestReservedServerProcessWithoutItsGameSessionIsIdleAgain(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g := s.start("one")
		dying, death := openMortal(t, store)
		death.after(1) // the claim
		if err := (scene{dying, t, store, s.fleet}).tryCreate(); err == nil {
			t.Fatal("the creator did not die")
		}
		wantKind(t, "creating meanwhile", s.tryCreate(), allocator.ErrFleetCapacityExceeded)
		for range int(claimGrace / time.Second) {
			store.Advance(time.Second)
			s.sweep()
		}
		g.toldNothing("without a game session")
		g.starts(s.create().ID)
	})
}

func TestRetriedCreationKeepsItsServerProcess(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		s.start("one")
		s.start("two")
		in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4, IdempotencyToken: "token"}
		first, err := s.CreateGameSession(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			again, err := s.CreateGameSession(context.Background(), in)
			if err != nil || again.ID != first.ID {
				t.Fatalf("the retry answers %+v, %v", again, err)
			}
		}
		in.Name = "another"
		_, err = s.CreateGameSession(context.Background(), in)
		wantKind(t, "other parameters", err, allocator.ErrIdempotentParameterMismatch)
		idle := 0
		for _, name := range []string{"one", "two"} {
			if s.process(name).GameSessionID == "" {
				idle++
			}
		}
		wantCount(t, "idle server processes", idle, 1)
	})
}

func TestRestartedServerProcessBeginsAnew(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		g, game := s.hosting("one")
		g.activate() // by mistake: over the same connection it is the same life
		if status := s.describe(game).Status; status != allocator.GameSessionActive {
			t.Errorf("the game session is %s", status)
		}
		anew := s.start("one")
		if ended := s.describe(game); ended.Status != allocator.GameSessionTerminated || ended.StatusReason != allocator.Interrupted {
			t.Errorf("the game session of the earlier life is %s because of %q", ended.Status, ended.StatusReason)
		}
		anew.starts(s.create().ID)
	})
}

func TestServerProcessReachesOnlyItsOwnGameSession(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		g := s.start("one")
		game := s.create().ID
		foreign := s.start("two")
		without := newScene(t, store).create().ID // without any server process
		for _, id := range []allocator.GameSessionID{game, without, "", "arn:aws:gamelift:us-east-1::gamesession/fleet-1/none"} {
			wantKind(t, fmt.Sprintf("activating %q", id), foreign.ActivateGameSession(ctx, id), allocator.ErrNotFound)
			wantKind(t, fmt.Sprintf("hosting %q", id), foreign.Hosts(ctx, id), allocator.ErrNotFound)
		}
		if status := s.describe(game).Status; status != allocator.GameSessionActivating {
			t.Errorf("the game session is %s", status)
		}
		for range 2 {
			if err := g.Hosts(ctx, game); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRequestIsDoneOnce(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		g, other := s.start("one"), s.start("two")
		refusal := &allocator.Error{Kind: allocator.ErrInvalidPlayerSessionStatus, Message: "it is\nRESERVED"}
		down := &allocator.Error{Kind: allocator.ErrStoreUnavailable, Message: "later"}
		done := 0
		once := func(g *gameServer, request string, keep bool, outcome error) error {
			return g.Once(ctx, request, keep, func(context.Context) error {
				done++
				return outcome
			})
		}
		for range 3 {
			err := once(g, "refused", false, refusal)
			var got *allocator.Error
			if !errors.As(err, &got) || got.Kind != refusal.Kind || got.Message != refusal.Message {
				t.Errorf("it is answered with %v", err)
			}
		}
		wantCount(t, "times that the refused one was done", done, 1)
		g = s.connect("one") // it asks again over another connection
		if err := once(g, "refused", false, nil); !errors.Is(err, refusal.Kind) {
			t.Errorf("over another connection it is answered with %v", err)
		}
		if err := once(other, "refused", false, nil); err != nil {
			t.Errorf("the same id of another process is answered with %v", err)
		}
		done = 0
		for range 2 {
			if err := once(g, "kept", true, nil); err != nil {
				t.Error(err)
			}
		}
		wantCount(t, "times that the kept one was done", done, 1)
		done = 0
		wantKind(t, "a store that is down", once(g, "down", true, down), allocator.ErrStoreUnavailable)
		if err := once(g, "down", true, nil); err != nil {
			t.Error(err)
		}
		wantCount(t, "times that the failed one was done", done, 2)
	})
}

func TestServerProcessNeedsACredential(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		token := func(compute string) string {
			t.Helper()
			got, err := s.GetComputeAuthToken(ctx, s.fleet, compute)
			if err != nil {
				t.Fatal(err)
			}
			return got.Token
		}
		_, err := s.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: s.fleet, Name: "other-box", Location: "custom-cellar", IPAddress: "192.0.2.8"})
		if err != nil {
			t.Fatal(err)
		}
		box := allocator.ServerProcessID{FleetID: s.fleet, ComputeName: "box", ProcessID: "one"}
		valid := token("box")
		for name, bad := range map[string]struct {
			id         allocator.ServerProcessID
			credential allocator.Credential
		}{
			"none":                     {box, allocator.Credential{}},
			"no token":                 {box, allocator.Credential{Token: "no-token"}},
			"of another compute":       {box, allocator.Credential{Token: token("other-box")}},
			"of an unknown compute":    {allocator.ServerProcessID{FleetID: s.fleet, ComputeName: "no-box", ProcessID: "one"}, allocator.Credential{Token: valid}},
			"of an unknown fleet":      {allocator.ServerProcessID{FleetID: "fleet-no", ComputeName: "box", ProcessID: "one"}, allocator.Credential{Token: valid}},
			"signed long ago":          {box, allocator.Credential{Signature: "s", SignedAt: store.Now().Add(-16 * time.Minute)}},
			"signed in the far future": {box, allocator.Credential{Signature: "s", SignedAt: store.Now().Add(16 * time.Minute)}},
		} {
			_, err := s.AuthenticateServerProcess(ctx, bad.id, bad.credential)
			wantKind(t, name, err, allocator.ErrUnauthorized)
			if bad.credential.Signature != "" {
				for _, part := range []string{bad.credential.SignedAt.UTC().Format(time.RFC3339), store.Now().UTC().Format(time.RFC3339), "run it in UTC"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%s: %v does not say %s", name, err, part)
					}
				}
			}
		}
		if _, err := s.AuthenticateServerProcess(ctx, box, allocator.Credential{Signature: "s", SignedAt: store.Now().Add(-time.Minute)}); err != nil {
			t.Error(err)
		}

		// A token expires, except for those who are known with it.
		g := s.connectWith("one", valid).activate()
		for range 90 {
			store.Advance(2 * time.Minute)
			g.heartbeat(true)
		}
		signature := allocator.Credential{Signature: "long ago", SignedAt: store.Now().Add(-time.Hour)}
		_, err = s.AuthenticateServerProcess(ctx, box, signature)
		wantKind(t, "an old signature that is not known", err, allocator.ErrUnauthorized)
		for credential, want := range map[string]bool{valid: true, token("other-box"): false, "no-token": false} {
			if _, err := s.AuthenticateServerProcess(ctx, box, allocator.Credential{Token: credential}); (err == nil) != want {
				t.Errorf("after three hours: %v", err)
			}
		}
		stranger := box
		stranger.ProcessID = "two"
		_, err = s.AuthenticateServerProcess(ctx, stranger, allocator.Credential{Token: valid})
		wantKind(t, "another process with the expired token", err, allocator.ErrUnauthorized)
		signed, err := s.AuthenticateServerProcess(ctx, box, allocator.Credential{Signature: "s", SignedAt: store.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if err := signed.Open(ctx, nil); err != nil {
			t.Fatal(err)
		}
		store.Advance(16 * time.Minute)
		if _, err := s.AuthenticateServerProcess(ctx, box, allocator.Credential{Signature: "s", SignedAt: store.Now().Add(-16 * time.Minute)}); err != nil {
			t.Errorf("a signature that is known by now: %v", err)
		}
		if err := signed.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if err := g.TerminateServerProcess(ctx, ""); err != nil {
			t.Fatal(err)
		}
		_, err = s.AuthenticateServerProcess(ctx, box, allocator.Credential{Token: valid})
		wantKind(t, "the process with the expired token, after its end", err, allocator.ErrUnauthorized)
	})
}

func TestDeletedFleetTellsItsServerProcessesToEnd(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		one, late := s.start("one"), s.connect("late")
		if err := s.DeleteFleet(ctx, s.fleet); err != nil {
			t.Fatal(err)
		}
		err := late.ActivateServerProcess(ctx, allocator.ActivateServerProcessInput{Port: 1})
		wantKind(t, "registering afterwards", err, allocator.ErrNotFound)
		s.sweep()
		one.terminates()
		wantInvariants(t, store, s.Allocator) // it is not idle any more
		if s.process("late") != nil {
			t.Error("it is registered all the same")
		}
		store.Advance(grace)
		s.sweep()
		if s.process("one") != nil {
			t.Error("the process outlives its fleet")
		}
	})
}

func TestNothingIsLeftOfServerProcesses(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		s.create() // so that the game sessions of the fleet have been somewhere
		s.sweep()
		before := everyKey(t, store)
		for i := range 5 {
			g := s.start(fmt.Sprint("process-", i))
			game := s.create().ID
			g.starts(game)
			s.accept(s.reserve(game, "someone"))
			_ = g.Once(ctx, "request", true, func(context.Context) error { return nil })
			if i%2 == 0 {
				if err := g.TerminateServerProcess(ctx, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.pass(serverProcessLife + grace)
		store.Advance(4*time.Hour + retention) // of the tokens, too
		s.sweep()
		wantSameKeys(t, before, everyKey(t, store))
	})
}

// startPlacement starts a placement in the fleet, for some players, and returns its id.
func (s scene) startPlacement(players ...string) string {
	s.t.Helper()
	_, arn := s.FleetName(s.fleet)
	in := allocator.StartGameSessionPlacementInput{
		PlacementID: "placement", MaximumPlayerSessionCount: 4,
		QueueName: s.newQueue("queue", func(q *allocator.Queue) { q.Timeout = 10 * time.Minute }, arn).Name,
	}
	for _, player := range players {
		in.DesiredPlayerSessions = append(in.DesiredPlayerSessions, allocator.DesiredPlayerSession{PlayerID: player})
	}
	return s.placed(in).ID
}
