package chat_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/api"
	"github.com/berthgg/berth/api/gameserver"
	"github.com/berthgg/berth/cmd/internal/chat"
)

// patience is how long a test waits for what comes on its own time.
const patience = 30 * time.Second

const location = "custom-cellar"

// scene is a service with a game server that hosts a game session.
type scene struct {
	t       *testing.T
	store   *allocatortest.Store
	slots   *allocator.Allocator
	outage  *outage
	network *network
	fleet   allocator.FleetID
	process gameserver.Config // of the game server, without handlers
	server  *chat.Server
	players string // where the game server listens
	game    allocator.GameSessionID
	stop    func() // stops the game server, as a signal does
}

// newScene starts a service and a game server.
func newScene(t *testing.T, change ...func(*chat.Config)) *scene {
	t.Helper()
	s := newLobby(t, change...)
	s.game = s.newGameSession(s.fleet)
	allocatortest.Eventually(t, patience, func() bool { return s.gameSession().Status == allocator.GameSessionActive }, "the game session is ACTIVE")
	return s
}

// newLobby is a scene without a game session.
func newLobby(t *testing.T, change ...func(*chat.Config)) *scene {
	t.Helper()
	s := &scene{t: t, store: allocatortest.Miniredis(t), outage: &outage{}, network: &network{}}
	log := slog.New(slog.DiscardHandler)
	client := s.store.NewClient(t)
	client.AddHook(s.outage)
	var err error
	if s.slots, err = allocator.Open(t.Context(), allocator.Config{Redis: client, AutoActivate: true, Logger: log}); err != nil {
		t.Fatal(err)
	}
	service := api.New(api.Config{Allocator: s.slots, Logger: log})
	server := httptest.NewServer(service)
	clockwork, stopClockwork := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.slots.Run(clockwork) })
	t.Cleanup(func() {
		service.DropGameServers(context.Background())
		server.Close()
		stopClockwork()
		running.Wait()
	})

	must(t, s.slots.CreateLocation, allocator.CreateLocationInput{Name: location})
	s.fleet = s.newFleet()
	token, err := s.slots.GetComputeAuthToken(t.Context(), s.fleet, "box")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := chat.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.players = listener.Addr().String()
	config := chat.Config{
		Process: gameserver.Config{
			URL: "ws" + strings.TrimPrefix(server.URL, "http") + "/server-sdk", FleetID: string(s.fleet), ComputeName: "box", AuthToken: token.Token,
			Backoff: func(int) time.Duration { return time.Millisecond }, DialContext: s.network.dial, Logger: log,
		},
		Listener: listener,
		Hello:    patience,
		Logger:   log,
	}
	for _, c := range change {
		c(&config)
	}
	s.process = config.Process
	life, stop := context.WithCancel(context.Background())
	s.stop = stop
	if s.server, err = chat.Start(life, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := s.wait(); err != nil {
			t.Errorf("the game server ended with %v", err)
		}
	})
	return s
}

func must[In, Out any](t *testing.T, do func(context.Context, In) (Out, error), in In) Out {
	t.Helper()
	out, err := do(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *scene) newFleet() allocator.FleetID {
	s.t.Helper()
	fleet := must(s.t, s.slots.CreateFleet, allocator.CreateFleetInput{Name: "fleet", Locations: []string{location}}).ID
	must(s.t, s.slots.RegisterCompute, allocator.RegisterComputeInput{FleetID: fleet, Name: "box", Location: location, IPAddress: "127.0.0.1"})
	return fleet
}

// newGameSession creates a game session as soon as the fleet can host one.
func (s *scene) newGameSession(fleet allocator.FleetID) (id allocator.GameSessionID) {
	s.t.Helper()
	allocatortest.Eventually(s.t, patience, func() bool {
		game, err := s.slots.CreateGameSession(s.t.Context(), allocator.CreateGameSessionInput{FleetID: fleet, MaximumPlayerSessionCount: 50})
		if errors.Is(err, allocator.ErrFleetCapacityExceeded) {
			return false
		}
		if err != nil {
			s.t.Fatal(err)
		}
		id = game.ID
		return true
	}, "the fleet can host a game session")
	return id
}

func (s *scene) gameSession() allocator.GameSession {
	s.t.Helper()
	return must(s.t, s.slots.DescribeGameSessions, allocator.DescribeGameSessionsInput{GameSessionID: s.game}).GameSessions[0]
}

func (s *scene) reserve(game allocator.GameSessionID, player string) string {
	s.t.Helper()
	return string(must(s.t, s.slots.CreatePlayerSession, allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: player}).ID)
}

func (s *scene) status(player string) allocator.PlayerSessionStatus {
	s.t.Helper()
	in := allocator.DescribePlayerSessionsInput{PlayerSessionID: allocator.PlayerSessionID(player)}
	return must(s.t, s.slots.DescribePlayerSessions, in).PlayerSessions[0].Status
}

func (s *scene) becomes(player string, status allocator.PlayerSessionStatus) {
	s.t.Helper()
	allocatortest.Eventually(s.t, patience, func() bool { return s.status(player) == status }, "the player session is "+string(status))
}

// wait waits for the end of the game server.
func (s *scene) wait() error {
	ended := make(chan error, 1)
	go func() { ended <- s.server.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		return errors.New("it has not ended")
	}
}

// guest is somebody who has connected to the game server.
type guest struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
}

// visit connects, and sends a text.
func (s *scene) visit(text string) *guest {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.players)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	g := &guest{s.t, conn, bufio.NewReader(conn)}
	g.send(text)
	return g
}

// join lets a player who has reserved play, as the only one or with so many others.
func (s *scene) join(playerSession, name string, others int) *guest {
	s.t.Helper()
	g := s.visit(playerSession + "\n")
	g.hears(welcome(name, others+1))
	return g
}

func welcome(name string, players int) string {
	return fmt.Sprintf("* welcome, %s; players here: %d. What you type goes to all of them; /quit leaves", name, players)
}

func (g *guest) send(text string) {
	g.t.Helper()
	if _, err := g.conn.Write([]byte(text)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *guest) hears(want ...string) {
	g.t.Helper()
	for _, line := range want {
		if got, err := g.from.ReadString('\n'); got != line+"\n" {
			g.t.Fatalf("the player hears %q (error: %v), want %q", got, err, line)
		}
	}
}

// isLetGo checks that the player hears last words and nothing more.
func (g *guest) isLetGo(last string) {
	g.t.Helper()
	g.hears(last)
	if _, err := g.from.ReadByte(); err != io.EOF {
		g.t.Errorf("then the player is not let go: %v", err)
	}
	g.conn.Close()
}

// outage makes commands to the store fail.
type outage struct{ down atomic.Bool }

var errDown = errors.New("the store is down")

func (o *outage) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o *outage) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if o.down.Load() {
			cmd.SetErr(errDown)
			return errDown
		}
		return next(ctx, cmd)
	}
}

func (o *outage) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if o.down.Load() {
			for _, cmd := range cmds {
				cmd.SetErr(errDown)
			}
			return errDown
		}
		return next(ctx, cmds)
	}
}

// network is between the game server and the service.
type network struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		return nil, errors.New("the network is cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		n.conns = append(n.conns, conn)
	}
	return conn, err
}

func (n *network) setCut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
	for _, conn := range n.conns {
		conn.Close()
	}
	n.conns = nil
}

func TestPlayersReserveConnectTalkAndLeave(t *testing.T) {
	s := newScene(t)
	a, b := s.reserve(s.game, "alice"), s.reserve(s.game, "bob")
	alice := s.join(a, "alice", 0)
	bob := s.join(b, "bob", 1)
	alice.hears("* bob has joined")
	for _, player := range []string{a, b} {
		if status := s.status(player); status != allocator.PlayerSessionActive {
			t.Errorf("a player who plays is %s, want ACTIVE", status)
		}
	}
	alice.send("hello\n")
	alice.hears("alice: hello")
	bob.hears("alice: hello")
	bob.send("hi,\r\n\n  alice \x1b[2J\n")
	bob.hears("bob: hi,", "bob: alice [2J")
	alice.hears("bob: hi,", "bob: alice [2J")

	alice.send("/quit\n")
	alice.isLetGo("* goodbye")
	bob.hears("* alice has left")
	s.becomes(a, allocator.PlayerSessionCompleted)
	bob.conn.Close()
	s.becomes(b, allocator.PlayerSessionCompleted)

	// The game goes on, and waits for others.
	game := s.gameSession()
	if game.Status != allocator.GameSessionActive || game.CurrentPlayerSessionCount != 0 {
		t.Errorf("then the game session is %s with %d players", game.Status, game.CurrentPlayerSessionCount)
	}
	s.join(s.reserve(s.game, "carol"), "carol", 0)
}

func TestLastLineMayLackItsEnd(t *testing.T) {
	s := newScene(t)
	a := s.reserve(s.game, "alice")
	alice := s.visit(a)
	alice.conn.(*net.TCPConn).CloseWrite()
	alice.hears(welcome("alice", 1))
	alice.isLetGo("* goodbye")
	s.becomes(a, allocator.PlayerSessionCompleted)
}

func TestPlayerWhoCannotPlayIsToldWhy(t *testing.T) {
	s := newScene(t)
	other := s.newGameSession(s.newFleet()) // one without server processes
	late := s.reserve(s.game, "late")
	s.store.Advance(time.Minute)
	used := s.reserve(s.game, "used")
	quit := s.join(used, "used", 0)
	quit.send("/quit\n")
	quit.isLetGo("* goodbye")
	s.becomes(used, allocator.PlayerSessionCompleted)
	playing := s.reserve(s.game, "alice")
	alice := s.join(playing, "alice", 0)
	foreign := s.reserve(other, "bob")

	for what, c := range map[string]struct{ text, want string }{
		"unknown":  {"psess-01234567-89ab-cdef-0123-456789abcdef\n", "there is no player session psess-01234567-89ab-cdef-0123-456789abcdef"},
		"no id":    {"let me in\n", "PlayerSessionId"},
		"used":     {used + "\n", "COMPLETED"},
		"late":     {late + "\n", "timed out"},
		"foreign":  {foreign + "\n", foreign},
		"in use":   {playing + "\n", "somebody plays with this player session"},
		"empty":    {"\n" + playing + "\n", "the first line is empty; it must be the id of your player session"},
		"binary":   {"\x00\xff\xfe\x01\n", "the first line is empty"},
		"too long": {strings.Repeat("x", 100_000), "a line may have 1024 bytes at most"},
	} {
		t.Run(what, func(t *testing.T) {
			g := s.visit(c.text)
			g.t = t
			line, err := g.from.ReadString('\n')
			if !strings.HasPrefix(line, "* you cannot play: ") || !strings.Contains(line, c.want) {
				t.Errorf("the player hears %q (error: %v), want %q", line, err, c.want)
			}
			if _, err := g.from.ReadByte(); err != io.EOF {
				t.Errorf("then the player is not let go: %v", err)
			}
		})
	}
	s.visit("").conn.Close()

	if status := s.status(foreign); status != allocator.PlayerSessionReserved {
		t.Errorf("the player session of another game session is %s, want RESERVED", status)
	}
	alice.send("I am still here\n")
	alice.hears("alice: I am still here") // and nobody else has come
}

func TestWhoSendsNothingIsLetGo(t *testing.T) {
	s := newScene(t, func(c *chat.Config) { c.Hello = time.Millisecond })
	s.visit("").isLetGo("* you cannot play: a player session id was expected as the first line, and none came in time")
}

func TestPlayerWithoutAGameSessionIsToldSo(t *testing.T) {
	s := newLobby(t)
	s.visit("psess-1\n").isLetGo("* you cannot play: no game session has begun here")
}

func TestLineThatIsTooLongEndsThePlay(t *testing.T) {
	s := newScene(t)
	a := s.reserve(s.game, "alice")
	alice := s.join(a, "alice", 0)
	alice.send(strings.Repeat("x", 100_000))
	alice.isLetGo("* you cannot play on: a line may have 1024 bytes at most")
	s.becomes(a, allocator.PlayerSessionCompleted)
}

func TestManyPlayAtOnce(t *testing.T) {
	s := newScene(t)
	const players = 50
	watcher := s.join(s.reserve(s.game, "watcher"), "watcher", 0)
	var all sync.WaitGroup
	for i := range players - 1 {
		id := s.reserve(s.game, fmt.Sprint("p", i))
		player, stranger := s.visit(id+"\n"), s.visit("garbage\n")
		all.Go(func() {
			if line, err := stranger.from.ReadString('\n'); !strings.HasPrefix(line, "* you cannot play: ") {
				t.Errorf("a stranger hears %q (error: %v)", line, err)
			}
			if line, err := player.from.ReadString('\n'); !strings.HasPrefix(line, fmt.Sprintf("* welcome, p%d; ", i)) {
				t.Errorf("player %d hears %q (error: %v)", i, line, err)
			}
			player.conn.Write([]byte("done\n"))
		})
	}
	all.Wait()
	for said := 0; said < players-1; {
		line, err := watcher.from.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(line, ": done\n") {
			said++
		}
	}
	if taken := s.gameSession().CurrentPlayerSessionCount; taken != players {
		t.Errorf("%d slots are taken, want %d", taken, players)
	}
}

func TestPlayerWhoDoesNotReadIsLetGo(t *testing.T) {
	s := newScene(t)
	d := s.reserve(s.game, "deaf")
	s.join(d, "deaf", 0)
	alice := s.join(s.reserve(s.game, "alice"), "alice", 1)
	line := strings.Repeat("x", 1000)
	for {
		alice.send(line + "\n")
		got, err := alice.from.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if got == "* deaf has left\n" {
			break
		}
	}
	s.becomes(d, allocator.PlayerSessionCompleted)
}

func TestServiceTellsTheGameServerToEnd(t *testing.T) {
	s := newScene(t)
	a := s.reserve(s.game, "alice")
	alice, stranger := s.join(a, "alice", 0), s.visit("")
	must(t, s.slots.TerminateGameSession, allocator.TerminateGameSessionInput{GameSessionID: s.game, Mode: allocator.TriggerOnProcessTerminate})
	alice.isLetGo("* the game ends; goodbye")
	stranger.conn.Close() // it may not have been served yet
	if err := s.wait(); err != nil {
		t.Errorf("the game server ended with %v", err)
	}
	if game := s.gameSession(); game.Status != allocator.GameSessionTerminated {
		t.Errorf("then the game session is %s, want TERMINATED", game.Status)
	}
	if status := s.status(a); status != allocator.PlayerSessionCompleted {
		t.Errorf("then the player session is %s, want COMPLETED", status)
	}
	if conn, err := net.Dial("tcp", s.players); err == nil {
		conn.Close()
		t.Error("then players can still connect")
	}
}

func TestGameServerIsStopped(t *testing.T) {
	s := newScene(t)
	a := s.reserve(s.game, "alice")
	alice := s.join(a, "alice", 0)
	s.stop()
	alice.isLetGo("* the game ends; goodbye")
	if err := s.wait(); err != nil {
		t.Errorf("the game server ended with %v", err)
	}
	if game := s.gameSession(); game.Status != allocator.GameSessionTerminated {
		t.Errorf("then the game session is %s, want TERMINATED", game.Status)
	}
}

func TestPlayOutlivesTheConnectionToTheService(t *testing.T) {
	s := newScene(t)
	a, b := s.reserve(s.game, "alice"), s.reserve(s.game, "bob")
	alice := s.join(a, "alice", 0)
	s.network.setCut(true)
	alice.send("is anybody here?\n")
	alice.hears("alice: is anybody here?")
	bob := s.visit(b + "\n")
	alice.send("/quit\n")
	alice.isLetGo("* goodbye")
	s.network.setCut(false)
	s.becomes(a, allocator.PlayerSessionCompleted)
	bob.hears(welcome("bob", 1))
}

func TestPlayerMayComeAgainWhenTheServiceCouldNotAnswer(t *testing.T) {
	s := newScene(t)
	a := s.reserve(s.game, "alice")
	s.outage.down.Store(true)
	s.visit(a + "\n").isLetGo("* you cannot play now: the service does not answer; try again later")
	s.outage.down.Store(false)
	allocatortest.Eventually(t, patience, func() bool {
		alice := s.visit(a + "\n")
		line, err := alice.from.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line == welcome("alice", 1)+"\n"
	}, "the player is let in")
}

func TestGameServerThatIsNotLetInDoesNotStart(t *testing.T) {
	s := newLobby(t)
	unreachable, stranger := s.process, s.process
	unreachable.URL, unreachable.Attempts = "ws://127.0.0.1:1/server-sdk", 1
	stranger.AuthToken, stranger.Attempts = "any", 1
	for name, process := range map[string]gameserver.Config{"unreachable": unreachable, "refused": stranger} {
		listener, err := chat.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, err = chat.Start(t.Context(), chat.Config{Process: process, Listener: listener, Logger: process.Logger})
		if err == nil || gameserver.Refused(err) != (name == "refused") {
			t.Errorf("%s: it starts, or fails for another reason: %v", name, err)
		}
		if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
			conn.Close()
			t.Errorf("%s: players can connect to it", name)
		}
	}
}
