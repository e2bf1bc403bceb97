package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/api/gameserver"
)

// patience is how long a test waits for what comes on its own time.
const patience = time.Minute

// arena is a fleet of one compute on which game servers run, and the instances that they and the players find in turn.
type arena struct {
	t        testing.TB
	fleet    string
	endpoint string // of the Server SDK, as the compute was told
	token    string // of the compute

	mu        sync.Mutex
	instances []*process // for players and operators
	servers   []*process // for game servers
	turn      int
}

// attic is where the computes of arenas are.
const attic = "custom-attic"

// newArena makes the fleet and registers its compute.
func newArena(t testing.TB, instances ...*process) *arena {
	t.Helper()
	a := &arena{t: t, instances: instances, servers: instances}
	a.must("CreateLocation", members{"LocationName": attic})
	a.fleet = a.must("CreateFleet", members{
		"Name": "fleet", "ComputeType": "ANYWHERE", "Locations": []members{{"Location": attic}},
	}).FleetAttributes.FleetID
	a.endpoint = a.must("RegisterCompute", members{
		"FleetId": a.fleet, "ComputeName": "box", "Location": attic, "IpAddress": "192.0.2.7",
	}).Compute.GameLiftServiceSdkEndpoint
	a.token = a.must("GetComputeAuthToken", members{"FleetId": a.fleet, "ComputeName": "box"}).AuthToken
	return a
}

// members are those of a JSON object.
type members map[string]any

// answer has what the tests read of the replies of all operations.
type answer struct {
	Type            string `json:"__type"`
	Message         string
	FleetAttributes struct {
		FleetID string `json:"FleetId"`
	}
	Compute        struct{ GameLiftServiceSdkEndpoint string }
	AuthToken      string
	GameSession    toldGame
	GameSessions   []toldGame
	PlayerSession  toldSession
	PlayerSessions []toldSession
	NextToken      string
}

// toldGame is what a client is told of a game session.
type toldGame struct {
	ID    string `json:"GameSessionId"`
	Count int    `json:"CurrentPlayerSessionCount"`
	// Status is empty in what is not told.
	Status string
	Port   int
}

// next is the instance whose turn it is.
func (a *arena) next() *process {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn++
	return a.instances[a.turn%len(a.instances)]
}

// set puts other instances in the place of those that there were. Game servers prefer the first.
func (a *arena) set(instances ...*process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.instances, a.servers = instances, instances
}

// serving puts other instances in the place of those that game servers find.
func (a *arena) serving(instances ...*process) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.servers = slices.Clone(instances)
}

// call calls an operation at the next instance.
func (a *arena) call(operation string, input members) (status int, reply answer, err error) {
	text, err := json.Marshal(input)
	if err != nil {
		return 0, reply, err
	}
	status, body, err := a.next().call(operation, string(text))
	if err == nil {
		err = json.Unmarshal([]byte(body), &reply)
	}
	return status, reply, err
}

// must is call for what has to succeed. It may be called from any goroutine.
func (a *arena) must(operation string, input members) answer {
	a.t.Helper()
	status, reply, err := a.call(operation, input)
	if err != nil || status != http.StatusOK {
		a.t.Errorf("%s %v: %d %s %s (error: %v)", operation, input, status, reply.Type, reply.Message, err)
	}
	return reply
}

// game reads a game session.
func (a *arena) game(id string) toldGame {
	a.t.Helper()
	told := a.must("DescribeGameSessions", members{"GameSessionId": id}).GameSessions
	if len(told) != 1 {
		a.t.Fatalf("there are %d game sessions %s", len(told), id)
	}
	return told[0]
}

// newGame creates a game session of 20 slots when there is a game server for it.
func (a *arena) newGame(token string) (id string) {
	a.t.Helper()
	var reply answer
	allocatortest.Eventually(a.t, patience, func() bool {
		status, told, err := a.call("CreateGameSession", members{"FleetId": a.fleet, "MaximumPlayerSessionCount": 20, "IdempotencyToken": token})
		reply = told
		return err == nil && status == http.StatusOK
	}, "there is a game server for a game session")
	return reply.GameSession.ID
}

// allIdle waits until so many game servers can be given a game session.
func (a *arena) allIdle(store *allocatortest.Store, count int) {
	a.t.Helper()
	allocatortest.Eventually(a.t, patience, func() bool {
		idle, err := store.Client().ZCard(a.t.Context(), idleKeyOf(a.fleet, attic)).Result()
		return err == nil && int(idle) == count
	}, "all game servers are idle")
}

// idleKeyOf is where those game servers at a location are listed that can be given a game session.
func idleKeyOf(fleet, location string) string {
	return fmt.Sprintf("berth:{%d}:idle:%s:%s", sha256.Sum256([]byte(fleet))[0], fleet, location)
}

// reserve reserves a slot.
func (a *arena) reserve(game, player string) (session string) {
	a.t.Helper()
	return a.must("CreatePlayerSession", members{"GameSessionId": game, "PlayerId": player}).PlayerSession.ID
}

// dialer connects to the first of the instances, beginning with one, that takes connections, whatever the address.
func (a *arena) dialer(first int) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		a.mu.Lock()
		instances := slices.Clone(a.servers)
		a.mu.Unlock()
		for i := range instances {
			conn, err = new(net.Dialer).DialContext(ctx, network, instances[(first+i)%len(instances)].addr)
			if err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
}

// host is a game server.
type host struct {
	*gameserver.Process
	a          *arena
	starts     chan string // the game sessions that it was told to start
	terminates chan time.Time
	activated  atomic.Int64 // how often it has registered
}

// silent is the log of game servers whose connections are to break.
var silent = slog.New(slog.DiscardHandler)

// connect connects a game server, which prefers the first instance.
func (a *arena) connect(change ...func(*gameserver.Config)) (*host, error) {
	h := &host{a: a, starts: make(chan string, 10), terminates: make(chan time.Time, 10)}
	config := gameserver.Config{
		URL: a.endpoint, FleetID: a.fleet, ComputeName: "box", AuthToken: a.token,
		DialContext: a.dialer(0), Logger: silent,
		Backoff:             func(int) time.Duration { return 10 * time.Millisecond },
		OnStartGameSession:  func(_ context.Context, _ *gameserver.Process, g gameserver.GameSession) { h.starts <- g.GameSessionID },
		OnProcessTerminate:  func(_ context.Context, _ *gameserver.Process, at time.Time) { h.terminates <- at },
		OnUpdateGameSession: func(context.Context, *gameserver.Process, gameserver.GameSessionUpdate) {},
	}
	for _, c := range change {
		c(&config)
	}
	trace := config.Trace
	config.Trace = func(direction gameserver.Direction, message []byte) {
		if direction == gameserver.Sent && strings.Contains(string(message), `"ActivateServerProcess"`) {
			h.activated.Add(1)
		}
		if trace != nil {
			trace(direction, message)
		}
	}
	var err error
	if h.Process, err = gameserver.Connect(a.t.Context(), config); err != nil {
		return nil, err
	}
	a.t.Cleanup(h.Close)
	return h, nil
}

// start connects a game server and offers it for game sessions.
func (a *arena) start(port int, change ...func(*gameserver.Config)) *host {
	a.t.Helper()
	h, err := a.connect(change...)
	if err == nil {
		err = h.ProcessReady(a.t.Context(), port, nil)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return h
}

// activate has the game server activate the next game session that it is told to start.
func (h *host) activate() (game string) {
	h.a.t.Helper()
	game = told(h.a.t, h.starts)
	h.must("ActivateGameSession", h.ActivateGameSession(h.a.t.Context(), game))
	return game
}

func (h *host) must(what string, err error) {
	h.a.t.Helper()
	if err != nil {
		h.a.t.Errorf("%s: %v", what, err)
	}
}

// told is what a game server is told next.
func told[T any](t testing.TB, by <-chan T) (what T) {
	t.Helper()
	select {
	case what = <-by:
	case <-time.After(patience):
		t.Error("a game server was told nothing")
	}
	return what
}

// inParallel does something with each of so many numbers, a few at a time.
func inParallel(count int, do func(i int)) {
	var at atomic.Int64
	var running sync.WaitGroup
	for range clients / 2 {
		running.Go(func() {
			for i := at.Add(1) - 1; i < int64(count); i = at.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	running.Wait()
	client.CloseIdleConnections() // an instance that stops waits five seconds for those that were opened and not used
}

// hosted is a game session on a game server, and the test's own book of its player sessions.
type hosted struct {
	*host
	id   string
	port int

	mu       sync.Mutex
	status   map[string]string // by player session
	admitted int               // who are surely in
}

// reserved notes player sessions that were made.
func (g *hosted) reserved(sessions ...toldSession) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range sessions {
		if _, twice := g.status[s.ID]; twice || s.Status != "RESERVED" {
			g.a.t.Errorf("a reservation was answered with %+v", s)
		}
		g.status[s.ID] = "RESERVED"
	}
}

// some lists so many player sessions that have a status.
func (g *hosted) some(status string, n int) (sessions []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for session, is := range g.status {
		if is == status && len(sessions) < n {
			sessions = append(sessions, session)
		}
	}
	return sessions
}

// accept has players come, at once.
func (g *hosted) accept(sessions ...string) {
	var all sync.WaitGroup
	for _, session := range sessions {
		all.Go(func() {
			g.must("AcceptPlayerSession", g.AcceptPlayerSession(g.a.t.Context(), g.id, session))
			g.mu.Lock()
			defer g.mu.Unlock()
			g.status[session] = "ACTIVE"
			if g.admitted++; g.admitted > 20 {
				g.a.t.Errorf("game session %s has %d players in 20 slots", g.id, g.admitted)
			}
		})
	}
	all.Wait()
}

// leave has players go, at once.
func (g *hosted) leave(sessions ...string) {
	var all sync.WaitGroup
	for _, session := range sessions {
		all.Go(func() {
			g.mu.Lock()
			g.status[session] = "COMPLETED"
			g.admitted--
			g.mu.Unlock()
			g.must("RemovePlayerSession", g.RemovePlayerSession(g.a.t.Context(), g.id, session))
		})
	}
	all.Wait()
}

// taken is how many slots are, by the book.
func (g *hosted) taken() (n int) {
	for _, status := range g.status {
		if status != "COMPLETED" {
			n++
		}
	}
	return n
}

// reserveAll reserves for a group.
func (g *hosted) reserveAll(name string, n int) {
	players := make([]string, n)
	for i := range players {
		players[i] = fmt.Sprint(name, "-", i)
	}
	g.reserved(g.a.must("CreatePlayerSessions", members{"GameSessionId": g.id, "PlayerIds": players}).PlayerSessions...)
}

// reserveEach reserves for players who come at once, of whom some find the game session full.
func (g *hosted) reserveEach(name string, n, full int) {
	var refused atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			status, reply, err := g.a.call("CreatePlayerSession", members{"GameSessionId": g.id, "PlayerId": fmt.Sprint(name, "-", i)})
			switch {
			case err == nil && status == http.StatusOK:
				g.reserved(reply.PlayerSession)
			case err == nil && strings.HasSuffix(reply.Type, "GameSessionFullException"):
				refused.Add(1)
			default:
				g.a.t.Errorf("a reservation was answered with %d %s %s (error: %v)", status, reply.Type, reply.Message, err)
			}
		})
	}
	all.Wait()
	if int(refused.Load()) != full {
		g.a.t.Errorf("%d of %d players found game session %s full, want %d", refused.Load(), n, g.id, full)
	}
}

// play has players come and go. The last of those who leave are replaced by others, some of whom never come.
func (g *hosted) play(replaced int) {
	g.reserveAll("group", 18)
	g.reserveEach("single", 4, 2)
	g.accept(g.some("RESERVED", 10)...)
	g.leave(g.some("ACTIVE", 3)...)
	g.reserveAll("late", 3)
	g.reserveEach("too late", 1, 1)
	g.accept(g.some("RESERVED", 3)...)
	g.leave(g.some("ACTIVE", 3-replaced)...)
}

func TestThousandGameServersOnTwoInstancesLoseAndDoubleNoSlot(t *testing.T) {
	const servers, firstPort = 1000, 10_000
	store := allocatortest.RedisRealTime(t)
	flags := []string{"--redis", store.URL(), "--reservation-timeout=1h"}
	a := newArena(t, serve(t, flags...), serve(t, flags...))

	begun := time.Now()
	stage := func(what string) {
		t.Logf("%s: %v", what, time.Since(begun).Round(time.Millisecond))
		begun = time.Now()
	}
	hosts := make([]*host, servers)
	inParallel(servers, func(i int) {
		h, err := a.connect(func(c *gameserver.Config) { c.DialContext = a.dialer(i) })
		if err == nil {
			hosts[i] = h
			err = h.ProcessReady(t.Context(), firstPort+i, nil)
		}
		if err != nil {
			t.Errorf("a game server cannot connect: %v", err)
		}
	})
	if t.Failed() {
		return
	}
	stage("game servers connected")

	created := make([]toldGame, servers)
	a.allIdle(store, servers)
	inParallel(servers, func(i int) {
		created[i] = a.must("CreateGameSession", members{"FleetId": a.fleet, "MaximumPlayerSessionCount": 20}).GameSession
	})
	stage("game sessions created")

	games := make([]*hosted, servers)
	inParallel(servers, func(i int) {
		games[i] = &hosted{host: hosts[i], port: firstPort + i, id: hosts[i].activate(), status: make(map[string]string)}
	})
	stage("game sessions activated")
	on := make(map[string]*hosted)
	for _, g := range games {
		on[g.id] = g
	}
	for _, c := range created {
		if g := on[c.ID]; g == nil || g.port != c.Port {
			t.Errorf("game session %s was to be on port %d, and is on %+v", c.ID, c.Port, g)
		}
	}
	if len(on) != servers || t.Failed() {
		t.Fatalf("%d game servers host %d game sessions", servers, len(on))
	}

	inParallel(servers, func(i int) { games[i].play(i % 4) })
	stage("players have come and gone")

	counts := make(map[string]toldGame)
	for token := ""; ; {
		input := members{"FleetId": a.fleet, "Limit": 100}
		if token != "" {
			input["NextToken"] = token
		}
		page := a.must("DescribeGameSessions", input)
		for _, told := range page.GameSessions {
			counts[told.ID] = told
		}
		if token = page.NextToken; token == "" {
			break
		}
	}
	if len(counts) != servers {
		t.Errorf("the fleet has %d game sessions", len(counts))
	}
	inParallel(servers, func(i int) {
		g := games[i]
		if is := counts[g.id]; is.Status != "ACTIVE" || is.Count != g.taken() {
			t.Errorf("game session %s is %+v; %d slots are taken", g.id, is, g.taken())
		}
		sessions := a.must("DescribePlayerSessions", members{"GameSessionId": g.id, "Limit": 100}).PlayerSessions
		if len(sessions) != len(g.status) {
			t.Errorf("game session %s has %d player sessions, want %d", g.id, len(sessions), len(g.status))
		}
		for _, s := range sessions {
			if g.status[s.ID] != s.Status {
				t.Errorf("player session %s is %s, want %q", s.ID, s.Status, g.status[s.ID])
			}
		}
		select {
		case game := <-hosts[i].starts:
			t.Errorf("a game server with a game session was told to start %s", game)
		default:
		}
	})
	stage("game sessions read")
	if wrote, err := command(t, "check", "--redis", store.URL()); err != nil {
		t.Errorf("berth check: %v\n%s", err, wrote)
	}
	stage("store checked")
	for _, p := range a.instances {
		quiet(t, p)
	}
}

// quiet fails if an instance has warned of anything.
func quiet(t testing.TB, p *process) {
	t.Helper()
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.Contains(line, "level=INFO") && !strings.Contains(line, "level=DEBUG") {
			t.Errorf("an instance wrote %s", line)
		}
	}
}

var dialects = []gameserver.Dialect{gameserver.Go, gameserver.Cpp, gameserver.CSharp}

func TestGameServersOfAnInstanceThatIsKilledGoOnAtAnother(t *testing.T) {
	const servers = 9
	store := allocatortest.RedisRealTime(t)
	flags := []string{"--redis", store.URL(), "--reservation-timeout=1h"}
	victim, other := serve(t, flags...), serve(t, flags...)
	a := newArena(t, victim, other)

	var games []*hosted
	idle := make([]*host, servers)
	newHost := func(i int) *host {
		return a.start(10_000+i, func(c *gameserver.Config) { c.Dialect = dialects[i%len(dialects)] })
	}
	for i := range servers {
		h := newHost(i)
		g := &hosted{host: h, id: a.newGame(fmt.Sprint("first-", i)), status: make(map[string]string)}
		if started := h.activate(); started != g.id {
			t.Fatalf("it was told to start %s, want %s", started, g.id)
		}
		g.reserveAll("group", 10)
		g.accept(g.some("RESERVED", 5)...)
		games = append(games, g)
	}

	for round := range 3 {
		for i := range servers {
			idle[i] = newHost(i)
		}
		a.allIdle(store, servers)

		victim.signal(syscall.SIGKILL)
		<-victim.ended
		a.set(other)

		// What is created before a game server is back, it is told when it is.
		created := make(map[string]bool)
		for i := range servers {
			created[a.newGame(fmt.Sprint("round-", round, "-", i))] = true
		}
		for i, h := range idle {
			game := h.activate()
			if !created[game] {
				t.Errorf("a game server was told to start %q", game)
			}
			delete(created, game)
			games = append(games, &hosted{host: idle[i], id: game, status: make(map[string]string)})
		}
		inParallel(len(games), func(i int) {
			g := games[i]
			if is := a.game(g.id); is.Count != g.taken() || is.Status != "ACTIVE" {
				t.Errorf("round %d: game session %s is %+v; %d slots are taken", round, g.id, is, g.taken())
			}
			for _, s := range a.must("DescribePlayerSessions", members{"GameSessionId": g.id, "Limit": 100}).PlayerSessions {
				if g.status[s.ID] != s.Status {
					t.Errorf("round %d: player session %s is %s, want %q", round, s.ID, s.Status, g.status[s.ID])
				}
			}
			g.reserveAll(fmt.Sprint("round-", round), 4)
			g.leave(g.some("ACTIVE", 2)...)
			g.accept(g.some("RESERVED", 3)...)
			if is := a.game(g.id); is.Count != g.taken() {
				t.Errorf("round %d: the count of game session %s is %d, want %d", round, g.id, is.Count, g.taken())
			}
			if n := g.activated.Load(); n != 1 {
				t.Errorf("round %d: a game server has registered %d times", round, n)
			}
		})
		quiet(t, other)
		victim, other = other, serve(t, flags...)
		a.set(victim, other)
	}
	if wrote, err := command(t, "check", "--redis", store.URL()); err != nil {
		t.Errorf("berth check: %v\n%s", err, wrote)
	}
}

// wire is a connection of a game server that keeps what came over it.
type wire struct {
	net.Conn
	mu   sync.Mutex
	came []byte
}

// Read reads from the service.
func (w *wire) Read(into []byte) (int, error) {
	n, err := w.Conn.Read(into)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.came = append(w.came, into[:n]...)
	return n, err
}

// frames returns the frames of the service: the opcode of each, and what is in it.
func (w *wire) frames() (opcodes []byte, contents []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, rest, _ := strings.Cut(string(w.came), "\r\n\r\n")
	for len(rest) >= 2 {
		opcode, size, begins := rest[0]&0x0f, int(rest[1]), 2
		switch {
		case size == 126 && len(rest) >= 4:
			size, begins = int(rest[2])<<8|int(rest[3]), 4
		case size > 125:
			panic("a frame of the service is longer than the test reads")
		}
		if begins+size > len(rest) {
			break
		}
		opcodes = append(opcodes, opcode)
		contents = append(contents, rest[begins:begins+size])
		rest = rest[begins+size:]
	}
	return opcodes, contents
}

const closeFrame = 8

// moving is a game server whose instance stops while it waits for an answer.
type moving struct {
	*hosted
	mu      sync.Mutex
	wires   []*wire
	sent    []string // actions
	answers chan error
}

// waitsFor waits until the game server is about to send a request. In the dialect of C#, the service has by then read all earlier ones: it
// has answered a ping that came after them.
func (m *moving) waitsFor(action string) {
	m.a.t.Helper()
	allocatortest.Eventually(m.a.t, patience, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return slices.Contains(m.sent, action)
	}, action+" is sent")
}

func TestGameServersMoveToAnotherInstanceWhenTheirsStops(t *testing.T) {
	const servers, idle = 6, 6
	store := allocatortest.RedisRealTime(t)
	flags := []string{"--redis", store.URL(), "--reservation-timeout=1h"}
	leaving, other := serve(t, flags...), serve(t, flags...)
	a := newArena(t, leaving, other)

	all := make([]*moving, servers+idle)
	for i := range all {
		m := &moving{answers: make(chan error, 1)}
		dial := a.dialer(0)
		dialect := dialects[i%len(dialects)]
		if i < servers {
			dialect = gameserver.CSharp
		}
		h := a.start(10_000+i, func(c *gameserver.Config) {
			c.Dialect = dialect
			c.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				w := &wire{Conn: conn}
				m.mu.Lock()
				m.wires = append(m.wires, w)
				m.mu.Unlock()
				return w, nil
			}
			c.Trace = func(direction gameserver.Direction, message []byte) {
				var r struct{ Action string }
				if json.Unmarshal(message, &r) == nil && direction == gameserver.Sent {
					m.mu.Lock()
					m.sent = append(m.sent, r.Action)
					m.mu.Unlock()
				}
			}
		})
		m.hosted = &hosted{host: h, status: make(map[string]string)}
		all[i] = m
		if i < servers {
			m.id = a.newGame(fmt.Sprint("first-", i))
			h.activate()
			m.reserveAll("group", 3)
		}
	}

	// A frozen store keeps the requests in flight.
	store.Nodes()[0].Freeze()
	for _, m := range all[:servers] {
		player := m.some("RESERVED", 1)[0]
		go func() { m.answers <- m.AcceptPlayerSession(t.Context(), m.id, player) }()
		m.waitsFor("AcceptPlayerSession")
		go m.GetComputeCertificate(t.Context())
		m.waitsFor("GetComputeCertificate")
		m.status[player] = "ACTIVE"
	}
	leaving.signal(syscall.SIGTERM)
	allocatortest.Eventually(t, patience, func() bool { return refusesConnections(leaving) }, "the instance takes no more connections")
	if !leaving.running() {
		t.Fatalf("the instance ended with requests in flight:\n%s", &leaving.stderr)
	}
	store.Nodes()[0].Thaw()
	for _, m := range all[:servers] {
		m.must("AcceptPlayerSession", told(t, m.answers))
	}
	if err := leaving.end(); err != nil || !strings.HasSuffix(leaving.stderr.String(), "msg=stopped\n") {
		t.Errorf("the instance ended with %v:\n%s", err, &leaving.stderr)
	}
	a.set(other)

	// Those that have no game session get one.
	created := make(map[string]bool)
	for i := range idle {
		created[a.newGame(fmt.Sprint("second-", i))] = true
	}
	for i, m := range all {
		if i >= servers {
			m.id = m.activate()
			if !created[m.id] {
				t.Errorf("a game server was told to start %q", m.id)
			}
			delete(created, m.id)
			m.reserveAll("group", 3)
		}
		m.accept(m.some("RESERVED", 1)...)
		m.leave(m.some("ACTIVE", 1)...)
		if is := a.game(m.id); is.Count != m.taken() || is.Status != "ACTIVE" {
			t.Errorf("game session %s is %+v; %d slots are taken", m.id, is, m.taken())
		}
		if n := m.activated.Load(); n != 1 {
			t.Errorf("a game server has registered %d times", n)
		}
		m.mu.Lock()
		first, connections := m.wires[0], len(m.wires)
		m.mu.Unlock()
		opcodes, contents := first.frames()
		if connections != 2 || slices.Contains(opcodes, closeFrame) {
			t.Errorf("a game server has made %d connections, and received %q of the kinds %v over the first", connections, contents, opcodes)
		}
		if i < servers && !slices.ContainsFunc(contents, func(frame string) bool { return strings.Contains(frame, `"Action":"AcceptPlayerSession"`) }) {
			t.Errorf("the request in flight was not answered where it came: %q", contents)
		}
	}
	quiet(t, leaving)
	quiet(t, other)
	if wrote, err := command(t, "check", "--redis", store.URL()); err != nil {
		t.Errorf("berth check: %v\n%s", err, wrote)
	}
}

// live has a game server live from its first word to its last, with a game session and its players.
func (a *arena) live(name string, first int) (id string) {
	ctx := a.t.Context()
	h, err := a.connect(func(c *gameserver.Config) { c.DialContext = a.dialer(first) })
	if err != nil {
		a.t.Errorf("a game server cannot connect: %v", err)
		return ""
	}
	defer h.Close()
	h.must("ProcessReady", h.ProcessReady(ctx, 7777, nil))
	// Others may have been quicker to take this game server, so ask again. The harness' wait would end the test from a goroutine of another.
	for status := 0; status != http.StatusOK && !a.t.Failed(); {
		status, _, _ = a.call("CreateGameSession", members{"FleetId": a.fleet, "MaximumPlayerSessionCount": 20, "IdempotencyToken": name})
	}
	g := &hosted{host: h, id: h.activate(), status: make(map[string]string)}
	if g.id == "" {
		return ""
	}
	for i := range 3 {
		g.reserveAll(fmt.Sprint(name, "-", i), 2)
		g.accept(g.some("RESERVED", 2)...)
		page, err := h.DescribePlayerSessions(ctx, gameserver.PlayerSessionQuery{GameSessionID: g.id, Status: gameserver.Active})
		h.must("DescribePlayerSessions", err)
		if len(page.PlayerSessions) != g.admitted {
			a.t.Errorf("game session %s has %d players, want %d", g.id, len(page.PlayerSessions), g.admitted)
		}
		h.must("UpdatePlayerSessionCreationPolicy", h.UpdatePlayerSessionCreationPolicy(ctx, g.id, gameserver.AcceptAll))
		g.leave(g.some("ACTIVE", 1)...)
	}
	h.must("ProcessEnding", h.ProcessEnding(ctx))
	return g.id
}

func TestGameServersNoticeNothingOfInstancesThatAreReplaced(t *testing.T) {
	const servers, lives = 24, 5
	store := allocatortest.RedisRealTime(t)
	flags := []string{"--redis", store.URL()}
	a := newArena(t, serve(t, flags...)) // where players are, which stays
	instances := []*process{serve(t, flags...), serve(t, flags...)}
	a.serving(instances...)

	var lived atomic.Int64
	stop := make(chan struct{})
	var mu sync.Mutex
	hosts := make(map[string]int) // by game session
	var running sync.WaitGroup
	for i := range servers {
		running.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				game := a.live(fmt.Sprint("game-", i, "-", n), i)
				lived.Add(1)
				mu.Lock()
				hosts[game]++
				mu.Unlock()
			}
		})
	}
	goOn := func() {
		target := lived.Load() + servers*lives
		allocatortest.Eventually(t, patience, func() bool { return lived.Load() >= target || t.Failed() }, "game servers live")
	}
	for round := range 6 {
		goOn()
		old := instances[round%2]
		instances[round%2] = serve(t, flags...)
		a.serving(instances...)
		signal := []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[round/2%2]
		old.signal(signal)
		if err := old.end(); err != nil && signal == syscall.SIGTERM {
			t.Errorf("an instance ended with %v", err)
		}
		quiet(t, old)
	}
	goOn()
	close(stop)
	running.Wait()
	for game, n := range hosts {
		if n != 1 {
			t.Errorf("%d game servers have hosted game session %q", n, game)
		}
	}
	t.Logf("%d game servers have lived", len(hosts))
	for _, p := range append(instances, a.instances...) {
		quiet(t, p)
	}
	if wrote, err := command(t, "check", "--redis", store.URL()); err != nil {
		t.Errorf("berth check: %v\n%s", err, wrote)
	}
}

func TestGameServerThatHangsUpBeforeItIsLetInIsNoReasonToWarn(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	p := serve(t, "--redis", store.URL(), "--redis-timeout=5s", "--log-level=debug")
	a := newArena(t, p)
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	store.Nodes()[0].Freeze()
	fmt.Fprintf(conn, "GET /server-sdk?pID=one&ComputeId=box&FleetId=%s&Authorization=%s HTTP/1.1\r\nHost: %s\r\n\r\n", a.fleet, a.token, p.addr)
	conn.Close()
	allocatortest.Eventually(t, patience, func() bool {
		return strings.Contains(p.stderr.String(), `msg="a game server was not let in"`)
	}, "the game server is not let in")
	store.Nodes()[0].Thaw()
	if wrote := p.stderr.String(); !strings.Contains(wrote, `level=DEBUG msg="a game server was not let in"`) {
		t.Errorf("the service wrote\n%s", wrote)
	}
}

// playOne has a game server host a game session, with a player who comes and goes, to its end.
func (a *arena) playOne(h *host) {
	a.t.Helper()
	game := a.newGame("game")
	if started := h.activate(); started != game {
		a.t.Errorf("it was told to start %s, want %s", started, game)
	}
	player := a.reserve(game, "alice")
	h.must("AcceptPlayerSession", h.AcceptPlayerSession(a.t.Context(), game, player))
	if is := a.game(game); is.Status != "ACTIVE" || is.Count != 1 {
		a.t.Errorf("with a player, the game session is %+v", is)
	}
	page, err := h.DescribePlayerSessions(a.t.Context(), gameserver.PlayerSessionQuery{GameSessionID: game})
	if err != nil || len(page.PlayerSessions) != 1 || page.PlayerSessions[0].PlayerID != "alice" || page.PlayerSessions[0].Status != gameserver.Active {
		a.t.Errorf("the game server is shown %+v (error: %v)", page, err)
	}
	h.must("RemovePlayerSession", h.RemovePlayerSession(a.t.Context(), game, player))
	h.must("ProcessEnding", h.ProcessEnding(a.t.Context()))
	if is := a.game(game); is.Status != "TERMINATED" || is.Count != 0 {
		a.t.Errorf("without its game server, the game session is %+v", is)
	}
}

func TestGameServerPlaysAWholeRunOverTLS12(t *testing.T) {
	for endpoint, flags := range map[string][]string{
		"wss://127.0.0.1:":                     {},
		"wss://games.example.com/server-sdk":   {"--public-url=https://games.example.com"},
		"wss://games.example.com:1/server-sdk": {"--public-url=https://games.example.com:1/"},
	} {
		p := serve(t, append([]string{"--tls-self-signed"}, flags...)...)
		a := newArena(t, p)
		if !strings.HasPrefix(a.endpoint, endpoint) || !strings.HasSuffix(a.endpoint, "/server-sdk") {
			t.Errorf("the endpoint is %s, want %s", a.endpoint, endpoint)
		}
		conn, err := connect(t, p, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		var version atomic.Uint32
		a.playOne(a.start(7777, func(c *gameserver.Config) {
			c.TLS = &tls.Config{
				RootCAs: trusting(conn.ConnectionState().PeerCertificates[0]), MaxVersion: tls.VersionTLS12,
				VerifyConnection: func(state tls.ConnectionState) error {
					version.Store(uint32(state.Version))
					return nil
				},
			}
		}))
		if version.Load() != tls.VersionTLS12 {
			t.Errorf("the connection has %s", tls.VersionName(uint16(version.Load())))
		}
	}
}

func TestGameServerPlaysAWholeRunWithItsSignature(t *testing.T) {
	const secret, wrong = "correct-horse-battery-staple", "wrong-horse-battery-staple"
	p := serve(t, "--access-key", "AKIDBERTH:"+secret, "--log-level=debug")
	a := newArena(t, p)
	signing := func(id, secret string) func(*gameserver.Config) {
		return func(c *gameserver.Config) {
			c.AuthToken = ""
			c.SigV4 = &gameserver.SigV4{AccessKeyID: id, SecretAccessKey: secret, Region: "us-east-1"}
		}
	}
	for reason, key := range map[string][2]string{
		"the access key 'AKIDBERTH' signs otherwise": {"AKIDBERTH", wrong},
		"there is no access key 'AKIDOTHER'":         {"AKIDOTHER", secret},
	} {
		_, err := a.connect(signing(key[0], key[1]))
		if refusal, refused := errors.AsType[*gameserver.Error](err); !refused || refusal.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v, want 403", key[0], err)
		}
		allocatortest.Eventually(t, patience, func() bool {
			return strings.Contains(p.stderr.String(), "a game server was not let in") &&
				strings.Contains(strings.ReplaceAll(p.stderr.String(), `\"`, "'"), reason)
		}, "the log says that "+reason)
	}
	a.playOne(a.start(7777, signing("AKIDBERTH", secret)))
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if logged := p.stderr.String(); strings.Contains(logged, secret) || strings.Contains(logged, wrong) {
		t.Errorf("the log shows a secret:\n%s", logged)
	}
}

func TestGameSessionThatIsNotActivatedInTimeIsInErrorAndItsGameServerToldToEnd(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	const activationTimeout = 5 * time.Second // time enough to be told to start
	a := newArena(t, serve(t, "--redis", store.URL(), "--activation-timeout", activationTimeout.String()))
	h := a.start(7777)
	begun := time.Now()
	game := a.newGame("game")
	if started := told(t, h.starts); started != game {
		t.Errorf("it was told to start %s, want %s", started, game)
	}
	by := told(t, h.terminates)
	if is := a.game(game); is.Status != "ERROR" {
		t.Errorf("the game session is %+v", is)
	}
	took := time.Since(begun)
	t.Logf("its game server was told to end after %v", took)
	if left := time.Until(by); took < activationTimeout || left < 4*time.Minute || left > 5*time.Minute {
		t.Errorf("after %v its game server was told to end within %v", took, left)
	}
	err := h.ActivateGameSession(t.Context(), game)
	if refusal, refused := errors.AsType[*gameserver.Error](err); !refused || refusal.StatusCode != http.StatusBadRequest {
		t.Errorf("activating it then: %v, want 400", err)
	}
	h.must("ProcessEnding", h.ProcessEnding(t.Context()))
}
