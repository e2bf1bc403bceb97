package allocator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// scene is a store with a fleet that can host game sessions, and an Allocator at work on it.
type scene struct {
	*allocator.Allocator
	t     testing.TB
	store *allocatortest.Store
	fleet allocator.FleetID
}

// The times of a scene, unless a test changes them.
const (
	reservationTimeout = time.Minute
	retention          = time.Hour
)

func newScene(t testing.TB, store *allocatortest.Store, change ...func(*allocator.Config)) scene {
	t.Helper()
	a := open(t, store, change...)
	s := scene{Allocator: a, t: t, store: store}
	s.fleet = s.newFleet()
	return s
}

// unlimited lets a test create what it likes.
var unlimited = allocator.Quotas{Aliases: 1 << 20, Fleets: 1 << 20, ComputesPerFleet: 1 << 20, Locations: 1 << 20, Queues: 1 << 20}

// open returns an Allocator with a client of its own, as another process would have.
func open(t testing.TB, store *allocatortest.Store, change ...func(*allocator.Config)) *allocator.Allocator {
	t.Helper()
	config := allocator.Config{
		Redis:              store.NewClient(t),
		ReservationTimeout: reservationTimeout,
		Retention:          retention,
		AutoActivate:       true,
		Quotas:             unlimited,
		Logger:             slog.New(panicsFail{slog.DiscardHandler, t}),
	}
	for _, c := range change {
		c(&config)
	}
	if _, measuring := t.(*testing.B); !measuring {
		config.Redis.AddHook(scriptContracts(t))
	}
	a, err := allocator.Open(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newFleet creates a fleet with one location and one compute.
func (s scene) newFleet() allocator.FleetID {
	s.t.Helper()
	ctx := context.Background()
	const location = "custom-cellar"
	_, err := s.CreateLocation(ctx, allocator.CreateLocationInput{Name: location})
	if err != nil && !errors.Is(err, allocator.ErrConflict) {
		s.t.Fatal(err)
	}
	fleet, err := s.CreateFleet(ctx, allocator.CreateFleetInput{Name: "fleet", Locations: []string{location}})
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: fleet.ID, Name: "box", Location: location, IPAddress: "192.0.2.7"})
	if err != nil {
		s.t.Fatal(err)
	}
	return fleet.ID
}

// newGameSession creates a game session with so many slots.
func (s scene) newGameSession(slots int) allocator.GameSessionID {
	s.t.Helper()
	g, err := s.CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: slots})
	if err != nil {
		s.t.Fatal(err)
	}
	return g.ID
}

func (s scene) reserve(game allocator.GameSessionID, playerID string) *allocator.PlayerSession {
	s.t.Helper()
	p, err := s.CreatePlayerSession(context.Background(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: playerID})
	if err != nil {
		s.t.Fatalf("reserve a slot for %s: %v", playerID, err)
	}
	return p
}

// tryReserve reserves a slot for whomever.
func (s scene) tryReserve(game allocator.GameSessionID) error {
	_, err := s.CreatePlayerSession(context.Background(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "anyone"})
	return err
}

func (s scene) accept(p *allocator.PlayerSession) {
	s.t.Helper()
	if err := s.tryAccept(p); err != nil {
		s.t.Fatalf("accept %s: %v", p.ID, err)
	}
}

func (s scene) tryAccept(p *allocator.PlayerSession) error {
	return s.AcceptPlayerSession(context.Background(), allocator.AcceptPlayerSessionInput{GameSessionID: p.GameSessionID, PlayerSessionID: p.ID})
}

func (s scene) remove(p *allocator.PlayerSession) {
	s.t.Helper()
	if err := s.tryRemove(p); err != nil {
		s.t.Fatalf("remove %s: %v", p.ID, err)
	}
}

func (s scene) tryRemove(p *allocator.PlayerSession) error {
	return s.RemovePlayerSession(context.Background(), allocator.RemovePlayerSessionInput{GameSessionID: p.GameSessionID, PlayerSessionID: p.ID})
}

// read reads a player session, nil if it is not there.
func (s scene) read(id allocator.PlayerSessionID) *allocator.PlayerSession {
	s.t.Helper()
	out, err := s.DescribePlayerSessions(context.Background(), allocator.DescribePlayerSessionsInput{PlayerSessionID: id})
	if errors.Is(err, allocator.ErrNotFound) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return &out.PlayerSessions[0]
}

// playersOf reads a page of the player sessions of a game session.
func (s scene) playersOf(game allocator.GameSessionID, status allocator.PlayerSessionStatus) []allocator.PlayerSession {
	s.t.Helper()
	out, err := s.DescribePlayerSessions(context.Background(), allocator.DescribePlayerSessionsInput{GameSessionID: game, StatusFilter: status, Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.PlayerSessions
}

// taken reads the CurrentPlayerSessionCount of a game session.
func (s scene) taken(game allocator.GameSessionID) int {
	s.t.Helper()
	out, err := s.DescribeGameSessions(context.Background(), allocator.DescribeGameSessionsInput{GameSessionID: game})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.GameSessions[0].CurrentPlayerSessionCount
}

func (s scene) sweep() allocator.Swept {
	s.t.Helper()
	swept, err := s.Sweep(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return swept
}

// clientLike returns a client of the server of another one, with other options.
func clientLike(t testing.TB, client redis.UniversalClient, change func(*redis.Options)) *redis.Client {
	options := *client.(*redis.Client).Options()
	change(&options)
	changed := redis.NewClient(&options)
	t.Cleanup(func() { changed.Close() })
	return changed
}

// clockwork runs an instance's Run, until the test ends or the returned function is called.
func clockwork(t testing.TB, a *allocator.Allocator) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-stopped
	})
	t.Cleanup(stop)
	return stop
}

// eachServer calls f with a client of each server of a store.
func eachServer(t rapid.TB, store *allocatortest.Store, f func(context.Context, *redis.Client) error) {
	t.Helper()
	var err error
	switch client := store.Client().(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(context.Background(), f)
	case *redis.Client:
		err = f(context.Background(), client)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flush(t rapid.TB, store *allocatortest.Store) {
	t.Helper()
	eachServer(t, store, func(ctx context.Context, server *redis.Client) error { return server.FlushAll(ctx).Err() })
}

// size counts the keys of a store.
func size(t testing.TB, store *allocatortest.Store) (keys int64) {
	t.Helper()
	var mu sync.Mutex
	eachServer(t, store, func(ctx context.Context, server *redis.Client) error {
		n, err := server.DBSize(ctx).Result()
		mu.Lock()
		defer mu.Unlock()
		keys += n
		return err
	})
	return keys
}

func wantKind(t testing.TB, what string, err error, kind allocator.Kind) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: error %v, want the kind %q", what, err, kind)
	}
}

func wantCount(t testing.TB, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// player names the i-th player.
func player(i int) string { return fmt.Sprintf("player-%d", i) }

// logs keeps what a Logger is told, line by line.
type logs struct {
	mu   sync.Mutex
	text []byte
}

func (l *logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, line...)
	return len(line), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// panicsFail is a handler of what is logged that fails the test when a panic was: the clockwork goes on after one.
type panicsFail struct {
	slog.Handler
	t testing.TB
}

func (panicsFail) Enabled(context.Context, slog.Level) bool { return true }

func (h panicsFail) Handle(_ context.Context, line slog.Record) error {
	line.Attrs(func(a slog.Attr) bool {
		if said := a.Value.String(); strings.Contains(said, "panic: ") {
			h.t.Errorf("%s: %s", line.Message, said)
		}
		return true
	})
	return nil
}

// countCommands counts the commands of a name that a client sends from now on.
func countCommands(client redis.UniversalClient, name string) *atomic.Int64 {
	h := &commandCounter{name: name}
	client.AddHook(h)
	return &h.n
}

type commandCounter struct {
	name string
	n    atomic.Int64
}

func (h *commandCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *commandCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == h.name {
			h.n.Add(1)
		}
		return err
	}
}

func (h *commandCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
