package api_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/api"
	"github.com/berthgg/berth/api/gameserver"
)

// patience is how long a test waits for what comes on its own time.
const patience = 30 * time.Second

// instance is a service that game servers can connect to.
type instance struct {
	*service
	*api.Service
	url string // ws://…/server-sdk
}

// newInstance starts an instance on the store of a service.
func (s *service) newInstance(change ...func(*api.Config)) *instance {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	slots, err := allocator.Open(s.t.Context(), allocator.Config{Redis: s.store.NewClient(s.t), AutoActivate: true, Logger: log, Quotas: quotas})
	if err != nil {
		s.t.Fatal(err)
	}
	config := api.Config{Allocator: slots, Logger: log}
	for _, c := range change {
		c(&config)
	}
	i := &instance{service: s, Service: api.New(config)}
	server := httptest.NewServer(i.Service)
	i.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/server-sdk"
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		slots.Run(ctx)
	}()
	s.t.Cleanup(func() {
		i.DropGameServers()
		server.Close()
		stop()
		<-stopped
	})
	return i
}

// token returns a new token of the compute.
func (s *service) token() string {
	s.t.Helper()
	return s.mustCall("GetComputeAuthToken", members{"FleetId": s.fleet, "ComputeName": "box"}).text("AuthToken")
}

// peer is a game server.
type peer struct {
	*gameserver.Process
	t          testing.TB
	starts     chan gameserver.GameSession
	updates    chan gameserver.GameSessionUpdate
	terminates chan time.Time
}

// config is how a game server of a process id connects to an instance.
func (i *instance) config(processID string) gameserver.Config {
	return gameserver.Config{
		URL: i.url, FleetID: i.fleet, ComputeName: "box", ProcessID: processID, AuthToken: i.token(), Heartbeat: time.Hour,
		Backoff: func(int) time.Duration { return time.Millisecond },
	}
}

// connect connects a game server.
func (i *instance) connect(processID string, change ...func(*gameserver.Config)) *peer {
	i.t.Helper()
	config := i.config(processID)
	p := &peer{
		t: i.t, starts: make(chan gameserver.GameSession, 100),
		updates: make(chan gameserver.GameSessionUpdate, 100), terminates: make(chan time.Time, 100),
	}
	config.OnStartGameSession = func(_ context.Context, _ *gameserver.Process, s gameserver.GameSession) { p.starts <- s }
	config.OnUpdateGameSession = func(_ context.Context, _ *gameserver.Process, u gameserver.GameSessionUpdate) { p.updates <- u }
	config.OnProcessTerminate = func(_ context.Context, _ *gameserver.Process, at time.Time) { p.terminates <- at }
	for _, c := range change {
		c(&config)
	}
	var err error
	if p.Process, err = gameserver.Connect(i.t.Context(), config); err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(p.Close)
	return p
}

// start connects a game server and offers it for game sessions.
func (i *instance) start(processID string, change ...func(*gameserver.Config)) *peer {
	i.t.Helper()
	p := i.connect(processID, change...)
	p.must("ProcessReady", p.ProcessReady(i.t.Context(), 7777, []string{"/var/log/game.log"}))
	return p
}

func (p *peer) must(what string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// next receives what a game server is told next.
func next[T any](t testing.TB, told <-chan T) T {
	t.Helper()
	select {
	case one := <-told:
		return one
	case <-time.After(patience):
		t.Fatal("the game server was told nothing")
		panic("unreachable")
	}
}

// host has a game server start and activate a new game session, and returns its id.
func (i *instance) host(p *peer) string {
	i.t.Helper()
	game := i.newGameSession(20)
	if started := next(i.t, p.starts); started.GameSessionID != game {
		i.t.Fatalf("it was told to start %s, want %s", started.GameSessionID, game)
	}
	p.must("ActivateGameSession", p.ActivateGameSession(i.t.Context(), game))
	return game
}

// wantCode fails unless an error is a refusal with that status code and a message that says so.
func wantCode(t testing.TB, what string, err error, code int, message string) {
	t.Helper()
	var refusal *gameserver.Error
	if !errors.As(err, &refusal) || refusal.StatusCode != code || !strings.Contains(refusal.Message, message) {
		t.Errorf("%s: %v, want %d with %q", what, err, code, message)
	}
}

func TestGameServerPlaysAWholeRun(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	ctx := t.Context()
	p := i.start("one")
	game := i.host(p)
	player := s.reserve(game)
	p.must("AcceptPlayerSession", p.AcceptPlayerSession(ctx, game, player))
	wantCode(t, "a second accept", p.AcceptPlayerSession(ctx, game, player), 400, "it is ACTIVE already")
	p.must("RemovePlayerSession", p.RemovePlayerSession(ctx, game, player))
	p.must("ProcessEnding", p.ProcessEnding(ctx))
}
