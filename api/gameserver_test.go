package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/api"
	"github.com/berthgg/berth/api/gameserver"
)

// patience is how long a test waits for what comes on its own time.
const patience = 30 * time.Second

// instance is a service that game servers can connect to.
type instance struct {
	*service
	*api.Service
	url  string // ws://…/server-sdk
	gate *gate
}

// newInstance starts an instance on the store of a service.
func (s *service) newInstance(change ...func(*api.Config)) *instance {
	s.t.Helper()
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, gate := s.store.NewClient(s.t), new(gate)
	client.AddHook(gate)
	slots, err := allocator.Open(s.t.Context(), allocator.Config{Redis: client, AutoActivate: true, Logger: log, Quotas: quotas})
	if err != nil {
		s.t.Fatal(err)
	}
	config := api.Config{Allocator: slots, Timeout: patience, Logger: log}
	for _, c := range change {
		c(&config)
	}
	i := &instance{service: s, Service: api.New(config), gate: gate}
	server := httptest.NewServer(i.Service)
	i.url = "ws" + strings.TrimPrefix(server.URL, "http") + "/server-sdk"
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		slots.Run(ctx)
	}()
	s.t.Cleanup(func() {
		i.DropGameServers(context.Background())
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
	healthy    chan bool // has an element for each heartbeat that was answered

	mu     sync.Mutex
	frames []string // in both directions
}

// trace keeps a frame.
func (p *peer) trace(direction gameserver.Direction, frame []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, direction.String()+" "+string(frame))
	if direction == gameserver.Received && strings.Contains(string(frame), `"HeartbeatServerProcess"`) {
		p.healthy <- true
	}
}

// sent is how many requests of an action it has sent.
func (p *peer) sent(action string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, frame := range p.frames {
		if strings.HasPrefix(frame, gameserver.Sent.String()) && strings.Contains(frame, `"`+action+`"`) {
			n++
		}
	}
	return n
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
		updates: make(chan gameserver.GameSessionUpdate, 100), terminates: make(chan time.Time, 100), healthy: make(chan bool, 1000),
	}
	config.Trace = p.trace
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
	next(i.t, p.healthy)
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

// The frames of a whole run, as the protocol has them, and what stands for what differs from run to run: <id> the RequestId, <gs>, <ps>,
// <fleet> and <ms> for ids and times. Server SDKs differ in what they send, and must get the same.
var wholeRun = []string{
	`<- {"Action":"ActivateServerProcess","RequestId":"<id>","SdkVersion":"5.6.0","SdkLanguage":"Go","Port":7777,"LogPaths":["/var/log/game.log"]}`,
	`-> {"Action":"ActivateServerProcess","RequestId":"<id>","StatusCode":200}`,
	`<- {"Action":"HeartbeatServerProcess","RequestId":"<id>","HealthStatus":true}`,
	`-> {"Action":"HeartbeatServerProcess","RequestId":"<id>","StatusCode":200}`,
	`-> {"Action":"CreateGameSession","DnsName":"box.example","GameProperties":{"k":"v"},"GameSessionData":"d","GameSessionId":"<gs>","GameSessionName":"n","IpAddress":"192.0.2.7","MatchmakerData":"","MaximumPlayerSessionCount":10,"Port":7777}`,
	`<- {"Action":"ActivateGameSession","RequestId":"<id>","GameSessionId":"<gs>"}`,
	`-> {"Action":"ActivateGameSession","RequestId":"<id>","StatusCode":200}`,
	`<- {"Action":"AcceptPlayerSession","RequestId":"<id>","GameSessionId":"<gs>","PlayerSessionId":"<ps>"}`,
	`-> {"Action":"AcceptPlayerSession","RequestId":"<id>","StatusCode":200}`,
	`<- {"Action":"AcceptPlayerSession","RequestId":"<id>","GameSessionId":"<gs>","PlayerSessionId":"psess-bad"}`,
	`-> {"Action":"AcceptPlayerSession","ErrorMessage":"there is no player session psess-bad, or it ended longer ago than ended ones are kept","RequestId":"<id>","StatusCode":404}`,
	`<- {"Action":"DescribePlayerSessions","RequestId":"<id>","GameSessionId":"<gs>","PlayerSessionStatusFilter":"ACTIVE","Limit":10}`,
	`-> {"Action":"DescribePlayerSessions","NextToken":null,"PlayerSessions":[{"CreationTime":"<ms>","DnsName":"box.example","FleetId":"<fleet>","GameSessionId":"<gs>","IpAddress":"192.0.2.7","PlayerData":null,"PlayerId":"anyone","PlayerSessionId":"<ps>","Port":7777,"Status":"ACTIVE","TerminationTime":null}],"RequestId":"<id>","StatusCode":200}`,
	`<- {"Action":"UpdatePlayerSessionCreationPolicy","RequestId":"<id>","GameSessionId":"<gs>","PlayerSessionPolicy":"DENY_ALL"}`,
	`-> {"Action":"UpdatePlayerSessionCreationPolicy","RequestId":"<id>","StatusCode":200}`,
	`<- {"Action":"RemovePlayerSession","RequestId":"<id>","GameSessionId":"<gs>","PlayerSessionId":"<ps>"}`,
	`-> {"Action":"RemovePlayerSession","RequestId":"<id>","StatusCode":200}`,
	`<- {"Action":"DescribePlayerSessions","RequestId":"<id>","PlayerSessionId":"<ps>"}`,
	`-> {"Action":"DescribePlayerSessions","NextToken":null,"PlayerSessions":[{"CreationTime":"<ms>","DnsName":"box.example","FleetId":"<fleet>","GameSessionId":"<gs>","IpAddress":"192.0.2.7","PlayerData":null,"PlayerId":"anyone","PlayerSessionId":"<ps>","Port":7777,"Status":"COMPLETED","TerminationTime":"<ms>"}],"RequestId":"<id>","StatusCode":200}`,
	`<- {"Action":"GetComputeCertificate","RequestId":"<id>"}`,
	`-> {"Action":"GetComputeCertificate","CertificatePath":"","ComputeName":"box","RequestId":"<id>","StatusCode":200}`,
	`<- {"Action":"GetFleetRoleCredentials","RequestId":"<id>","RoleArn":"arn:aws:iam::123456789012:role/x","RoleSessionName":"fleet-1-host-1"}`,
	`-> {"Action":"GetFleetRoleCredentials","AccessKeyId":"","RequestId":"<id>","StatusCode":200}`,
	`<- {"Action":"StopMatchBackfill","RequestId":"<id>","GameSessionArn":"<gs>","MatchmakingConfigurationArn":"arn:aws:gamelift:us-east-1::matchmakingconfiguration/m","TicketId":"ticket"}`,
	`-> {"Action":"StopMatchBackfill","ErrorMessage":"Berth has no matchmaker, so nothing can be backfilled; players are let in with CreatePlayerSession","RequestId":"<id>","StatusCode":400}`,
	`-> {"Action":"UpdateGameSession","BackfillTicketId":"","GameSession":{"DnsName":"box.example","FleetId":"<fleet>","GameProperties":{"k":"v"},"GameSessionData":"d","GameSessionId":"<gs>","IpAddress":"192.0.2.7","Location":"custom-cellar","MatchmakerData":"","MaximumPlayerSessionCount":5,"Name":"renamed","Port":7777,"Status":"ACTIVE","StatusReason":""},"UpdateReason":"MATCHMAKING_DATA_UPDATED"}`,
	`-> {"Action":"TerminateProcess","TerminationTime":"<ms>"}`,
	`<- {"Action":"TerminateServerProcess","RequestId":"<id>"}`,
	`-> {"Action":"TerminateServerProcess","RequestId":"<id>","StatusCode":200}`,
}

func TestFramesAreThoseOfTheProtocol(t *testing.T) {
	for _, dialect := range []gameserver.Dialect{gameserver.Go, gameserver.Cpp, gameserver.CSharp} {
		t.Run(dialect.String(), func(t *testing.T) {
			s := newService(t)
			i := s.newInstance()
			ctx := t.Context()
			p := i.start("one", func(c *gameserver.Config) { c.Dialect = dialect })
			game := s.mustCall("CreateGameSession", members{
				"FleetId": s.fleet, "MaximumPlayerSessionCount": 10, "Name": "n", "GameSessionData": "d", "GameProperties": []property{{"k", "v"}},
			}).text("GameSession", "GameSessionId")
			started := next(t, p.starts)
			if started.GameSessionID != game || started.GameProperties["k"] != "v" {
				t.Errorf("it was told to start %+v", started)
			}
			p.must("ActivateGameSession", p.ActivateGameSession(ctx, game))
			player := s.reserve(game)
			p.must("AcceptPlayerSession", p.AcceptPlayerSession(ctx, game, player))
			wantCode(t, "accepting what there is not", p.AcceptPlayerSession(ctx, game, "psess-bad"), 404, "psess-bad")
			_, err := p.DescribePlayerSessions(ctx, gameserver.PlayerSessionQuery{GameSessionID: game, Status: gameserver.Active, Limit: 10})
			p.must("DescribePlayerSessions", err)
			p.must("UpdatePlayerSessionCreationPolicy", p.UpdatePlayerSessionCreationPolicy(ctx, game, gameserver.DenyAll))
			if got := s.mustCall("DescribeGameSessions", members{"GameSessionId": game}).text("GameSessions", 0, "PlayerSessionCreationPolicy"); got != "DENY_ALL" {
				t.Errorf("the policy is %s", got)
			}
			p.must("RemovePlayerSession", p.RemovePlayerSession(ctx, game, player))
			page, err := p.DescribePlayerSessions(ctx, gameserver.PlayerSessionQuery{PlayerSessionID: player})
			p.must("DescribePlayerSessions", err)
			if got := page.PlayerSessions; len(got) != 1 || !got[0].CreationTime.Equal(s.store.Now()) || !got[0].TerminationTime.Equal(s.store.Now()) {
				t.Errorf("the player sessions are %+v", got)
			}
			_, err = p.GetComputeCertificate(ctx)
			p.must("GetComputeCertificate", err)
			_, err = p.GetFleetRoleCredentials(ctx, "arn:aws:iam::123456789012:role/x", "fleet-1-host-1")
			p.must("GetFleetRoleCredentials", err)
			err = p.StopMatchBackfill(ctx, game, "arn:aws:gamelift:us-east-1::matchmakingconfiguration/m", "ticket")
			wantCode(t, "StopMatchBackfill", err, 400, "no matchmaker")
			s.mustCall("UpdateGameSession", members{"GameSessionId": game, "Name": "renamed", "MaximumPlayerSessionCount": 5})
			if update := next(t, p.updates); update.GameSession.Name != "renamed" {
				t.Errorf("it was told of %+v", update)
			}
			s.mustCall("TerminateGameSession", members{"GameSessionId": game, "TerminationMode": "TRIGGER_ON_PROCESS_TERMINATE"})
			next(t, p.terminates)
			p.must("ProcessEnding", p.ProcessEnding(ctx))
			p.Close()
			_, err = i.connectRaw(t, "two").read()
			if err == nil {
				t.Error("a connection that asked nothing was told something")
			}

			names := strings.NewReplacer(game, "<gs>", player, "<ps>", s.fleet, "<fleet>")
			got := p.frames
			want := wholeRun
			if dialect != gameserver.Go { // what it sends is its own affair
				received := func(frame string) bool { return strings.HasPrefix(frame, "-> ") }
				got = slices.Collect(filter(got, received))
				want = slices.Collect(filter(want, received))
			}
			for i := range max(len(got), len(want)) {
				var g, w any
				if i < len(got) {
					g = frameOf(t, names.Replace(got[i]))
				}
				if i < len(want) {
					w = frameOf(t, want[i])
				}
				if diff := cmp.Diff(w, g); diff != "" {
					t.Errorf("frame %d (- want, + got):\n%s", i, diff)
				}
			}
		})
	}
}

func filter(all []string, keep func(string) bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, one := range all {
			if keep(one) && !yield(one) {
				return
			}
		}
	}
}

// frameOf reads a traced frame: its direction and its members, with placeholders for what differs from run to run.
func frameOf(t testing.TB, traced string) map[string]any {
	t.Helper()
	direction, text, _ := strings.Cut(traced, " ")
	members := make(map[string]any)
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatalf("%q: %v", traced, err)
	}
	members["direction"] = direction
	if members["RequestId"] != nil {
		members["RequestId"] = "<id>"
	}
	var hide func(any)
	hide = func(in any) {
		switch in := in.(type) {
		case []any:
			for _, one := range in {
				hide(one)
			}
		case map[string]any:
			for name, value := range in {
				ms, isNumber := value.(float64)
				if isNumber && strings.HasSuffix(name, "Time") && ms == math.Trunc(ms) && ms > 1e12 {
					in[name] = "<ms>"
				}
				hide(value)
			}
		}
	}
	hide(members)
	return members
}

// rawPeer is a connection that sends what no Server SDK would.
type rawPeer struct {
	t      testing.TB
	socket *websocket.Conn
}

// connectRaw connects as a process of that id.
func (i *instance) connectRaw(t testing.TB, processID string) *rawPeer {
	t.Helper()
	url := i.url + "?" + url.Values{"pID": {processID}, "ComputeId": {"box"}, "FleetId": {i.fleet}, "Authorization": {i.token()}}.Encode()
	socket, response, err := websocket.Dial(t.Context(), url, nil)
	if err != nil {
		t.Fatalf("%v, %v", response, err)
	}
	socket.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = socket.CloseNow() })
	return &rawPeer{t, socket}
}

func (r *rawPeer) send(kind websocket.MessageType, frame string) {
	r.t.Helper()
	if err := r.socket.Write(r.t.Context(), kind, []byte(frame)); err != nil {
		r.t.Fatal(err)
	}
}

// read reads a frame, or fails if there is none for a moment.
func (r *rawPeer) read() (string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 50*time.Millisecond)
	defer cancel()
	_, frame, err := r.socket.Read(ctx)
	return string(frame), err
}

// ask sends a request and returns the frame that answers it.
func (r *rawPeer) ask(frame string) map[string]any {
	r.t.Helper()
	r.send(websocket.MessageText, frame)
	return r.answer()
}

// answer waits for the next frame that answers a request.
func (r *rawPeer) answer() map[string]any {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for {
		_, answer, err := r.socket.Read(ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		if got := frameOf(r.t, "-> "+string(answer)); got["StatusCode"] != nil { // not what the process is told meanwhile
			return got
		}
	}
}

// dropped waits until the service has dropped the connection, and returns with what close frame, -1 for none.
func (r *rawPeer) dropped() websocket.StatusCode {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for {
		_, _, err := r.socket.Read(ctx)
		if ctx.Err() != nil {
			r.t.Fatal("the connection was not dropped")
		}
		if err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func TestLastWordOfAGameServerIsHeard(t *testing.T) {
	for name, leave := range map[string]func(*websocket.Conn){
		"TCP is gone":   func(c *websocket.Conn) { _ = c.CloseNow() },
		"a close frame": func(c *websocket.Conn) { _ = c.Close(websocket.StatusGoingAway, "") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			i := s.newInstance()
			const processes = 10
			for n := range processes {
				p := i.connectRaw(t, fmt.Sprint("process-", n))
				p.ask(`{"Action":"ActivateServerProcess","RequestId":"1","Port":7777}`)
				p.send(websocket.MessageText, `{"Action":"HeartbeatServerProcess","RequestId":"2","HealthStatus":true}`)
				p.send(websocket.MessageText, `{"Action":"TerminateServerProcess","RequestId":"3"}`)
				leave(p.socket) // as when a process ends
			}
			allocatortest.Eventually(t, patience, func() bool { return len(s.log.linesWith("has ended", "reason")) == processes }, "the connections end")
			utilization := s.mustCall("DescribeFleetUtilization", members{"FleetIds": []any{s.fleet}})
			if left := utilization.number("FleetUtilization", 0, "ActiveServerProcessCount"); left != 0 {
				t.Errorf("%d of %d server processes are there that have said that they end", left, processes)
			}
		})
	}
}

func TestGameServersAreHeardWhenTheServiceIsBusy(t *testing.T) {
	s := newService(t)
	i := s.newInstance(func(c *api.Config) { c.MaxWaiting, c.Timeout = 1, time.Hour })
	p := i.connectRaw(t, "one")
	p.ask(`{"Action":"ActivateServerProcess","RequestId":"1","Port":7777}`)
	release := i.gate.hold()
	var stranger sync.WaitGroup
	stranger.Go(func() { i.listFleets() }) // as many as may wait for the store
	allocatortest.Eventually(t, patience, func() bool { return i.gate.waitsFor("{control}") }, "a call reaches the store")
	p.send(websocket.MessageText, `{"Action":"HeartbeatServerProcess","RequestId":"2","HealthStatus":true}`)
	allocatortest.Eventually(t, patience, func() bool { return i.gate.waitsFor(":process:") }, "the report reaches the store, too")
	release()
	if answer := p.answer(); answer["StatusCode"] != 200.0 {
		t.Errorf("the report is answered with %v", answer)
	}
	stranger.Wait()
}

func TestEmptyMembersAreNotSet(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	game := i.host(i.start("one"))
	s.reserve(game)
	p := i.connectRaw(t, "one")
	for _, rest := range []string{
		`"GameSessionId":"` + game + `","PlayerId":"","PlayerSessionId":"","PlayerSessionStatusFilter":"","NextToken":"","Limit":10`,
		`"GameSessionId":"` + game + `","PlayerId":null,"PlayerSessionId":null,"PlayerSessionStatusFilter":null,"NextToken":null,"Limit":null`,
		`"GameSessionId":"` + game + `","Limit":0`,
	} {
		answer := p.ask(`{"Action":"DescribePlayerSessions","RequestId":"1",` + rest + `}`)
		if found, _ := answer["PlayerSessions"].([]any); answer["StatusCode"] != 200.0 || len(found) != 1 {
			t.Errorf("%s: %v", rest, answer)
		}
	}
}

func TestOwnPlayerIsFoundAmongThoseOfOthers(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	const pages = 3
	elsewhere := s.newGameSession(pages * 10) // before there are server processes
	for range pages * 10 {
		s.reserve(elsewhere) // for one player, always
	}
	p := i.start("one")
	game := i.host(p)
	want := s.reserve(game)
	for _, limit := range []int{0, 1, 10} {
		page, err := p.DescribePlayerSessions(t.Context(), gameserver.PlayerSessionQuery{PlayerID: "anyone", Limit: limit})
		if err != nil || len(page.PlayerSessions) != 1 || page.PlayerSessions[0].PlayerSessionID != want {
			t.Errorf("of at most %d, the player of this game session is not on the first page: %+v, %v", limit, page, err)
		}
	}
	page, err := p.DescribePlayerSessions(t.Context(), gameserver.PlayerSessionQuery{PlayerID: "nobody"})
	if err != nil || len(page.PlayerSessions) != 0 || page.NextToken != "" {
		t.Errorf("of a player who is not there it is shown %+v, %v", page, err)
	}
}

func TestEveryPlayerOfAGameSessionIsFound(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	p := i.start("one")
	game := i.host(p)
	const players = 120
	s.mustCall("UpdateGameSession", members{"GameSessionId": game, "MaximumPlayerSessionCount": players + 2})
	for n := range players {
		s.mustCall("CreatePlayerSession", members{"GameSessionId": game, "PlayerId": fmt.Sprint("player-", n)})
	}
	for n := range players {
		query := gameserver.PlayerSessionQuery{PlayerID: fmt.Sprint("player-", n), Limit: 1, Status: gameserver.Active} // the status is for all of a game session
		page, err := p.DescribePlayerSessions(t.Context(), query)
		if err != nil || len(page.PlayerSessions) != 1 || page.PlayerSessions[0].PlayerID != query.PlayerID || page.NextToken != "" {
			t.Errorf("of %s it is shown %+v, %v", query.PlayerID, page, err)
		}
	}
	for range 2 { // of one player, on three pages
		s.mustCall("CreatePlayerSession", members{"GameSessionId": game, "PlayerId": "player-7"})
	}
	query := gameserver.PlayerSessionQuery{PlayerID: "player-7", Limit: 1}
	seen := make(map[string]bool)
	for pages := 1; ; pages++ {
		page, err := p.DescribePlayerSessions(t.Context(), query)
		if err != nil || len(page.PlayerSessions) != 1 {
			t.Fatalf("page %d has %+v, %v", pages, page, err)
		}
		seen[page.PlayerSessions[0].PlayerSessionID] = true
		if query.NextToken = page.NextToken; page.NextToken == "" {
			break
		}
	}
	if len(seen) != 3 {
		t.Errorf("the pages have %d player sessions, want 3", len(seen))
	}
}

func TestPagesOfAGameServerAreAsLargeAsTheyCanBe(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	p := i.start("one")
	game := i.host(p)
	const players = 101
	s.mustCall("UpdateGameSession", members{"GameSessionId": game, "MaximumPlayerSessionCount": players})
	for range players {
		s.reserve(game)
	}
	for _, limit := range []int{101, 200, 1024, 1 << 30} {
		query := gameserver.PlayerSessionQuery{GameSessionID: game, Limit: limit}
		first, err := p.DescribePlayerSessions(t.Context(), query)
		if err != nil || len(first.PlayerSessions) != 100 || first.NextToken == "" {
			t.Fatalf("of at most %d it is shown %d, %v", limit, len(first.PlayerSessions), err)
		}
		query.NextToken = first.NextToken
		if second, err := p.DescribePlayerSessions(t.Context(), query); err != nil || len(second.PlayerSessions) != 1 || second.NextToken != "" {
			t.Errorf("behind %d of them it is shown %+v, %v", limit, second, err)
		}
	}
}

func TestIdleGameServerIsToldWhatItAsksWrongly(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	s.reserve(s.newGameSession(1))
	i.start("one")
	p := i.connectRaw(t, "one")
	for rest, status := range map[string]float64{
		`"Limit":10`: 400, `"PlayerId":"anyone","NextToken":"rubbish"`: 400, `"PlayerId":"anyone","GameSessionId":"gsess"`: 404, `"PlayerId":"anyone"`: 200,
	} {
		answer := p.ask(`{"Action":"DescribePlayerSessions","RequestId":"1",` + rest + `}`)
		if found, _ := answer["PlayerSessions"].([]any); answer["StatusCode"] != status || len(found) != 0 {
			t.Errorf("%s: %v, want %v", rest, answer, status)
		}
	}
}

func TestGameServerAtTheWrongPathIsToldTheRightOne(t *testing.T) {
	i := newService(t).newInstance()
	for _, path := range []string{"/", "/nope"} {
		_, response, err := websocket.Dial(t.Context(), strings.TrimSuffix(i.url, "/server-sdk")+path, nil)
		if response == nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(response.Body); !strings.Contains(string(body), "game servers connect to /server-sdk") {
			t.Errorf("%s: %d %s", path, response.StatusCode, body)
		}
	}
}

func TestOnlyThoseWithACredentialConnect(t *testing.T) {
	s := newService(t)
	i := s.newInstance(func(c *api.Config) { c.AccessKeys = map[string]string{"AKIDEXAMPLE": "secret"} })
	valid := url.Values{"pID": {"one"}, "ComputeId": {"box"}, "FleetId": {s.fleet}, "Authorization": {s.token()}}
	ask := func(change url.Values, path string) (int, string) {
		t.Helper()
		query := maps.Clone(valid)
		maps.Copy(query, change)
		socket, response, err := websocket.Dial(t.Context(), i.url+path+"?"+query.Encode(), nil)
		if err == nil {
			_ = socket.CloseNow()
			return http.StatusSwitchingProtocols, ""
		}
		if response == nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(body)
	}
	for _, path := range []string{"", "/"} {
		if status, body := ask(nil, path); status != http.StatusSwitchingProtocols {
			t.Errorf("with a token at %q it is answered with %d %s", path, status, body)
		}
	}
	for name, c := range map[string]struct {
		change url.Values
		status int
		says   string
	}{
		"a wrong token":        {url.Values{"Authorization": {"no-token"}}, http.StatusForbidden, "GetComputeAuthToken"},
		"no token":             {url.Values{"Authorization": {}}, http.StatusForbidden, "Authorization is missing"},
		"another compute":      {url.Values{"ComputeId": {"other-box"}}, http.StatusForbidden, "RegisterCompute"},
		"another fleet":        {url.Values{"FleetId": {"fleet-1"}}, http.StatusForbidden, "RegisterCompute"},
		"no process":           {url.Values{"pID": {}}, http.StatusBadRequest, "pID is missing"},
		"no text":              {url.Values{"pID": {"\xff"}}, http.StatusBadRequest, "UTF-8"},
		"a key for a fleet":    {url.Values{"FleetId": {s.fleet + ":compute:box"}}, http.StatusBadRequest, "FleetId"},
		"an unsigned request":  {url.Values{"Authorization": {"SigV4"}}, http.StatusForbidden, "X-Amz-Algorithm"},
		"a token, many a time": {url.Values{"Authorization": {"no-token", s.token()}}, http.StatusForbidden, "GetComputeAuthToken"},
	} {
		if status, body := ask(c.change, ""); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s, want %d with %q", name, status, body, c.status, c.says)
		}
	}
	if len(s.log.linesWith("level=WARN", "not let in", "no-token")) > 0 {
		t.Error("the log has the token")
	}
	if len(s.log.linesWith("level=WARN", "not let in", "process.id=one")) == 0 {
		t.Error("the log does not say who was not let in")
	}

	// Its own signature does as well as a token, while it is fresh.
	s.store.Advance(time.Since(s.store.Now()).Truncate(time.Millisecond)) // to the present: what is signed has its time
	signing := func(secret string) func(*gameserver.Config) {
		return func(c *gameserver.Config) {
			c.AuthToken = ""
			c.SigV4 = &gameserver.SigV4{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret, SessionToken: "session", Region: "us-east-1"}
		}
	}
	for _, dialect := range []gameserver.Dialect{gameserver.Go, gameserver.Cpp, gameserver.CSharp} {
		p := i.connect("signed-"+dialect.String(), signing("secret"), func(c *gameserver.Config) { c.Dialect = dialect })
		p.must("ProcessReady", p.ProcessReady(t.Context(), 7777, nil))
	}
	config := i.config("forger")
	signing("guess")(&config)
	_, err := gameserver.Connect(t.Context(), config)
	wantCode(t, "a wrong signature", err, http.StatusForbidden, "")
	s.store.Advance(time.Hour)
	signing("secret")(&config)
	_, err = gameserver.Connect(t.Context(), config)
	wantCode(t, "a signature of an hour ago", err, http.StatusForbidden, "")
}

func TestGameServerIsNotTurnedAwayWhenTheStoreIsDown(t *testing.T) {
	s := newService(t)
	token := s.token()
	h := httptest.NewServer(s.Handler)
	defer h.Close()
	s.outage.set(down)
	response, err := http.Get(h.URL + "/server-sdk?" + url.Values{"pID": {"one"}, "ComputeId": {"box"}, "FleetId": {s.fleet}, "Authorization": {token}}.Encode())
	if err != nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("it is answered with %v, %v; want 503", response, err)
	}
}

func TestForeignGameSessionsAreOutOfReach(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	ctx := t.Context()
	owner := i.start("owner")
	game := i.host(owner)
	reserved, active := s.reserve(game), s.reserve(game)
	owner.must("AcceptPlayerSession", owner.AcceptPlayerSession(ctx, game, active))
	foreign := i.start("foreign")
	own := i.host(foreign)
	for name, err := range map[string]error{
		"ActivateGameSession":               foreign.ActivateGameSession(ctx, game),
		"AcceptPlayerSession":               foreign.AcceptPlayerSession(ctx, game, reserved),
		"AcceptPlayerSession, in its own":   foreign.AcceptPlayerSession(ctx, own, reserved),
		"RemovePlayerSession":               foreign.RemovePlayerSession(ctx, game, active),
		"RemovePlayerSession, in its own":   foreign.RemovePlayerSession(ctx, own, active),
		"UpdatePlayerSessionCreationPolicy": foreign.UpdatePlayerSessionCreationPolicy(ctx, game, gameserver.DenyAll),
		"DescribePlayerSessions, of a game session": func() error {
			_, err := foreign.DescribePlayerSessions(ctx, gameserver.PlayerSessionQuery{GameSessionID: game})
			return err
		}(),
		"DescribePlayerSessions, one": func() error {
			_, err := foreign.DescribePlayerSessions(ctx, gameserver.PlayerSessionQuery{PlayerSessionID: active})
			return err
		}(),
	} {
		wantCode(t, name, err, http.StatusNotFound, "")
	}
	page, err := foreign.DescribePlayerSessions(ctx, gameserver.PlayerSessionQuery{PlayerID: "anyone"})
	if err != nil || len(page.PlayerSessions) != 0 {
		t.Errorf("of a player who plays elsewhere it sees %+v, %v", page.PlayerSessions, err)
	}
	foreign.must("ProcessEnding", foreign.ProcessEnding(ctx))
	got := s.mustCall("DescribeGameSessions", members{"GameSessionId": game})
	if status, policy := got.text("GameSessions", 0, "Status"), got.text("GameSessions", 0, "PlayerSessionCreationPolicy"); status != "ACTIVE" || policy != "ACCEPT_ALL" {
		t.Errorf("after all that the game session is %s, %s", status, policy)
	}
	owner.must("AcceptPlayerSession", owner.AcceptPlayerSession(ctx, game, reserved))
	owner.must("RemovePlayerSession", owner.RemovePlayerSession(ctx, game, active))
}

func TestPlayerIsAcceptedOnce(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	ctx := t.Context()
	p := i.start("one")
	game := i.host(p)
	player, late := s.reserve(game), s.reserve(game)
	p.must("AcceptPlayerSession", p.AcceptPlayerSession(ctx, game, player))
	wantCode(t, "a second accept", p.AcceptPlayerSession(ctx, game, player), 400, "it is ACTIVE already; a player session is accepted once")
	s.store.Advance(time.Minute)
	wantCode(t, "an accept at the deadline", p.AcceptPlayerSession(ctx, game, late), 400, "its reservation timed out at")
	p.must("RemovePlayerSession", p.RemovePlayerSession(ctx, game, player))
	wantCode(t, "an accept after the player has left", p.AcceptPlayerSession(ctx, game, player), 400, "it is COMPLETED since")
}

func TestRepeatedRequestIsAnsweredAsBefore(t *testing.T) {
	s := newService(t)
	first, second := s.newInstance(), s.newInstance()
	ctx := t.Context()
	p := first.start("one")
	game := first.host(p)
	player, other := s.reserve(game), s.reserve(game)
	again := second.connectRaw(t, "one") // as after a half-open connection
	request := func(action, id string, extra string) string {
		return `{"Action":"` + action + `","RequestId":"` + id + `","GameSessionId":"` + game + `"` + extra + `}`
	}
	do := func(action, id string, extra ...gameserver.Member) error {
		_, err := p.Do(ctx, gameserver.Request{Action: action, RequestID: id, Members: append([]gameserver.Member{{Name: "GameSessionId", Value: game}}, extra...)})
		return err
	}
	ps := func(id string) gameserver.Member { return gameserver.Member{Name: "PlayerSessionId", Value: id} }
	psText := func(id string) string { return `,"PlayerSessionId":"` + id + `"` }
	policy := gameserver.Member{Name: "PlayerSessionPolicy", Value: "DENY_ALL"}

	wantCode(t, "removing one who is not here", do("RemovePlayerSession", "r-1", ps(other)), 400, "has not been accepted")
	p.must("AcceptPlayerSession", do("AcceptPlayerSession", "a-1", ps(player)))
	p.must("AcceptPlayerSession", do("AcceptPlayerSession", "a-2", ps(other)))
	p.must("UpdatePlayerSessionCreationPolicy", do("UpdatePlayerSessionCreationPolicy", "u-1", policy))
	p.must("UpdatePlayerSessionCreationPolicy", p.UpdatePlayerSessionCreationPolicy(ctx, game, gameserver.AcceptAll))

	for frame, code := range map[string]float64{
		request("AcceptPlayerSession", "a-1", psText(player)):                                             200,
		request("RemovePlayerSession", "r-1", psText(other)):                                              400, // although it is here by now
		request("UpdatePlayerSessionCreationPolicy", "u-1", `,"PlayerSessionPolicy":"DENY_ALL"`):          200,
		request("AcceptPlayerSession", "a-3", psText(player)):                                             400,
		`{"Action":"RemovePlayerSession","RequestId":"x","GameSessionId":null,"PlayerSessionId":"psess"}`: 400,
	} {
		if got := again.ask(frame); got["StatusCode"] != code {
			t.Errorf("%s is answered with %v, want %v", frame, got, code)
		}
	}
	if got := s.mustCall("DescribeGameSessions", members{"GameSessionId": game}).text("GameSessions", 0, "PlayerSessionCreationPolicy"); got != "ACCEPT_ALL" {
		t.Errorf("the repeated change was made again: the policy is %s", got)
	}
	if got := s.taken(game); got != 2 {
		t.Errorf("%d slots are taken, want 2", got)
	}
}

func TestAnswersComeWhereTheRequestCame(t *testing.T) {
	s := newService(t)
	first, second := s.newInstance(), s.newInstance()
	p := first.start("one")
	old, newest := p, second.connectRaw(t, "one")
	newest.ask(`{"Action":"GetComputeCertificate","RequestId":"1"}`) // by its answer it is the newest
	game := s.newGameSession(20)
	_, frame, err := newest.socket.Read(t.Context()) // pushes go to the newest
	if err != nil || !strings.Contains(string(frame), `"CreateGameSession"`) {
		t.Fatalf("the newest connection got %s, %v", frame, err)
	}
	go func() { _, _, _ = newest.socket.Read(context.Background()) }() // answers pings
	old.must("ActivateGameSession", old.ActivateGameSession(t.Context(), game))
	select {
	case got := <-old.starts:
		t.Errorf("the old connection was told to start %+v", got)
	default:
	}
}

func TestOddFramesEndOneConnection(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	bystander := i.start("bystander")
	game := i.host(bystander)
	for name, c := range map[string]struct {
		kind   websocket.MessageType
		frame  string
		reason string
	}{
		"binary":               {websocket.MessageBinary, `{"Action":"HeartbeatServerProcess","RequestId":"1","HealthStatus":true}`, "binary"},
		"no JSON":              {websocket.MessageText, `hello`, "no request"},
		"no object":            {websocket.MessageText, `[1]`, "no request"},
		"two objects":          {websocket.MessageText, `{"Action":"A","RequestId":"1"}{}`, "no request"},
		"a member twice":       {websocket.MessageText, `{"Action":"A","Action":"B","RequestId":"1"}`, "no request"},
		"no action":            {websocket.MessageText, `{"RequestId":"1"}`, "without Action"},
		"null for a RequestId": {websocket.MessageText, `{"Action":"HeartbeatServerProcess","RequestId":null}`, "without Action or RequestId"},
		"a number for one":     {websocket.MessageText, `{"Action":"HeartbeatServerProcess","RequestId":1}`, "no request"},
		"too much":             {websocket.MessageText, `{"Action":"A","RequestId":"` + strings.Repeat("x", 1<<20) + `"}`, "too big"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := i.connectRaw(t, "odd-"+strings.ReplaceAll(name, " ", "-"))
			_ = raw.socket.Write(t.Context(), c.kind, []byte(c.frame)) // it may be dropped before it has sent all
			if status := raw.dropped(); status == websocket.StatusNormalClosure || status == websocket.StatusGoingAway {
				t.Errorf("it was closed with %v, after which Server SDKs do not come back", status)
			}
			logged := func() bool {
				return len(s.log.linesWith("level=WARN", "has ended", "odd-"+strings.ReplaceAll(name, " ", "-"), c.reason)) == 1
			}
			allocatortest.Eventually(t, patience, logged, "the log does not say why")
		})
	}
	for name, c := range map[string]struct{ frame, says string }{
		"an unknown action":    {`{"Action":"Sink","RequestId":"1"}`, `there is no action "Sink"`},
		"a member amiss":       {`{"Action":"HeartbeatServerProcess","RequestId":"1"}`, "HealthStatus is missing"},
		"a member of no type":  {`{"Action":"HeartbeatServerProcess","RequestId":"1","HealthStatus":"yes"}`, "HealthStatus cannot be a JSON string"},
		"a port out of range":  {`{"Action":"ActivateServerProcess","RequestId":"1","Port":70000}`, "Port is 70000"},
		"before it registered": {`{"Action":"HeartbeatServerProcess","RequestId":"1","HealthStatus":true}`, "has not registered"},
	} {
		t.Run(name, func(t *testing.T) {
			got := i.connectRaw(t, "answered").ask(c.frame)
			if code, message := got["StatusCode"].(float64), got["ErrorMessage"].(string); code != 400 && code != 404 || !strings.Contains(message, c.says) {
				t.Errorf("it is answered with %v, want %q", got, c.says)
			}
		})
	}
	bystander.must("AcceptPlayerSession", bystander.AcceptPlayerSession(t.Context(), game, s.reserve(game)))
}

func TestFloodIsTurnedAwayAndEnds(t *testing.T) {
	s := newService(t)
	i := s.newInstance(func(c *api.Config) { c.Timeout = time.Hour })
	bystander := i.start("bystander")
	game := i.host(bystander)
	raw := i.connectRaw(t, "flood")
	release := sync.OnceFunc(i.gate.hold()) // the store answers nothing meanwhile
	defer release()
	sent := make(chan error, 1)
	go func() {
		for n := range 3000 {
			if err := raw.socket.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `{"Action":"HeartbeatServerProcess","RequestId":"%d","HealthStatus":true}`, n)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	turnedAway := 0
	for {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, frame, err := raw.socket.Read(ctx)
		cancel()
		if err != nil {
			break
		}
		if strings.Contains(string(frame), `"StatusCode":429`) {
			turnedAway++
		}
	}
	release()
	<-sent
	if turnedAway == 0 {
		t.Error("nothing was turned away")
	}
	logged := func() bool { return len(s.log.linesWith("level=WARN", "has ended", "flood", "goes on sending")) == 1 }
	allocatortest.Eventually(t, patience, logged, "the log does not say why it was dropped")
	bystander.must("AcceptPlayerSession", bystander.AcceptPlayerSession(t.Context(), game, s.reserve(game)))
}

func TestAllPlayersMayJoinAtOnce(t *testing.T) {
	s := newService(t)
	i := s.newInstance(func(c *api.Config) { c.Timeout = time.Hour })
	p := i.start("one")
	game := i.host(p)
	const players = 200
	s.mustCall("UpdateGameSession", members{"GameSessionId": game, "MaximumPlayerSessionCount": players})
	ids := make([]string, players)
	for n := range ids {
		ids[n] = s.reserve(game)
	}
	release := sync.OnceFunc(i.gate.hold()) // none is answered before all are sent
	defer release()
	answers := make(chan error, players)
	for _, id := range ids {
		go func() { answers <- p.AcceptPlayerSession(t.Context(), game, id) }()
	}
	allocatortest.Eventually(t, patience, func() bool { return p.sent("AcceptPlayerSession") == players }, "all are sent")
	release()
	for range players {
		p.must("AcceptPlayerSession", <-answers)
	}
}

func TestPlayerWhoWasGivenUpIsNotLetIn(t *testing.T) {
	accept := func(game, player string) string {
		return fmt.Sprintf(`{"Action":"AcceptPlayerSession","RequestId":"%s","GameSessionId":"%s","PlayerSessionId":"%[1]s"}`, player, game)
	}
	remove := func(game, player string) string {
		return fmt.Sprintf(`{"Action":"RemovePlayerSession","RequestId":"%s","GameSessionId":"%s","PlayerSessionId":"%[1]s"}`, player, game)
	}
	status := func(s *service, player string) string {
		return s.mustCall("DescribePlayerSessions", members{"PlayerSessionId": player}).text("PlayerSessions", 0, "Status")
	}

	t.Run("it has waited for too long", func(t *testing.T) {
		s := newService(t)
		i := s.newInstance(func(c *api.Config) { c.GivenUpAfter = time.Nanosecond })
		other := s.newInstance()
		p := other.start("one")
		game := other.host(p)
		playing, late := s.reserve(game), s.reserve(game)
		p.must("AcceptPlayerSession", p.AcceptPlayerSession(t.Context(), game, playing))
		raw := i.connectRaw(t, "one")
		if answer := raw.ask(accept(game, late)); answer["StatusCode"] != 429.0 || !strings.Contains(answer["ErrorMessage"].(string), "nothing was changed") {
			t.Errorf("it is answered with %v", answer)
		}
		if got := status(s, late); got != "RESERVED" {
			t.Errorf("the player session is %s", got)
		}
		if answer := raw.ask(remove(game, playing)); answer["StatusCode"] != 200.0 { // for which it is never too late
			t.Errorf("a removal is answered with %v", answer)
		}
		if answer := other.connectRaw(t, "one").ask(accept(game, late)); answer["StatusCode"] != 200.0 { // sent again, as the same request
			t.Errorf("sent again it is answered with %v", answer)
		}
	})
	t.Run("the connection has ended", func(t *testing.T) {
		s := newService(t)
		i := s.newInstance(func(c *api.Config) { c.Timeout = time.Hour })
		p := i.start("one")
		game := i.host(p)
		playing, late := s.reserve(game), s.reserve(game)
		p.must("AcceptPlayerSession", p.AcceptPlayerSession(t.Context(), game, playing))
		raw := i.connectRaw(t, "one")
		raw.ask(`{"Action":"HeartbeatServerProcess","RequestId":"1","HealthStatus":true}`)
		release := sync.OnceFunc(i.gate.hold())
		defer release()
		raw.send(websocket.MessageText, `{"Action":"HeartbeatServerProcess","RequestId":"2","HealthStatus":true}`)
		raw.send(websocket.MessageText, accept(game, late))
		raw.send(websocket.MessageText, remove(game, playing))
		if err := raw.socket.CloseNow(); err != nil {
			t.Fatal(err)
		}
		gone := func() bool { return len(s.log.linesWith("a game server is gone")) > 0 } // and all that it sent is read
		allocatortest.Eventually(t, patience, gone, "the end of the connection is noticed")
		release()
		ended := func() bool { return len(s.log.linesWith("has ended", "reason")) > 0 }
		allocatortest.Eventually(t, patience, ended, "the connection ends")
		if got := status(s, late); got != "RESERVED" {
			t.Errorf("the player session of the game server that is gone is %s", got)
		}
		if got := status(s, playing); got != "COMPLETED" {
			t.Errorf("the player session that was removed is %s", got)
		}
	})
}

func TestHalfOpenConnectionIsGivenUp(t *testing.T) {
	s := newService(t)
	i := s.newInstance(func(c *api.Config) { c.PingTimeout = time.Second })
	p := i.start("one")
	raw := i.connectRaw(t, "one") // is the newest, and reads nothing: it answers no pings
	game := s.newGameSession(20)
	given := func() bool { // by the ping after what it is told, or, should that come late, by the one before
		return len(s.log.linesWith("level=WARN", "has ended", "could not be told"))+len(s.log.linesWith("level=WARN", "has ended", "pong")) > 0
	}
	allocatortest.Eventually(t, patience, given, "a connection that does not answer is kept")
	_ = raw
	p.Disconnect() // and comes back
	if started := next(t, p.starts); started.GameSessionID != game {
		t.Errorf("it was told to start %s, want %s", started.GameSessionID, game)
	}
	// So is one that nobody wants to tell anything.
	silent := i.connectRaw(t, "silent")
	ended := func() bool { return len(s.log.linesWith("level=WARN", "has ended", "silent", "pong")) == 1 }
	allocatortest.Eventually(t, patience, ended, "a silent connection is kept")
	_ = silent
}

func TestGameServersComeBackElsewhereWhenAnInstanceStops(t *testing.T) {
	s := newService(t)
	first, second := s.newInstance(), s.newInstance()
	ctx := t.Context()
	var at atomic.Pointer[instance]
	at.Store(first)
	p := first.start("one", func(c *gameserver.Config) {
		c.Dialect = gameserver.Cpp // which would stay away after a close frame
		c.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			to, _ := url.Parse(at.Load().url)
			return (&net.Dialer{}).DialContext(ctx, network, to.Host)
		}
	})
	game := first.host(p)
	player := s.reserve(game)
	p.must("AcceptPlayerSession", p.AcceptPlayerSession(ctx, game, player))
	raw := first.connectRaw(t, "raw")
	at.Store(second)
	go first.DropGameServers(context.Background())
	if status := raw.dropped(); status != -1 {
		t.Errorf("the connection ended with the close frame %v", status)
	}
	p.must("RemovePlayerSession", p.RemovePlayerSession(ctx, game, player)) // as if nothing had happened
	if got := s.mustCall("DescribeFleetUtilization", members{"FleetIds": []any{s.fleet}}).number("FleetUtilization", 0, "ActiveServerProcessCount"); got != 1 {
		t.Errorf("the fleet has %d server processes, want 1", got)
	}
	first.DropGameServers(context.Background())
	s.mustCall("TerminateGameSession", members{"GameSessionId": game, "TerminationMode": "TRIGGER_ON_PROCESS_TERMINATE"})
	next(t, p.terminates)
	if late, response, err := websocket.Dial(ctx, first.url+"?"+url.Values{"pID": {"late"}, "ComputeId": {"box"}, "FleetId": {s.fleet}, "Authorization": {s.token()}}.Encode(), nil); err == nil {
		if status := (&rawPeer{t, late}).dropped(); status != -1 {
			t.Errorf("one that comes late is closed with %v", status)
		}
	} else if response != nil && response.StatusCode < 500 {
		t.Errorf("one that comes late is told %v", response)
	}
}

func TestNoRequestIsPassedOverWhenAnInstanceStops(t *testing.T) {
	s := newService(t)
	i := s.newInstance(func(c *api.Config) { c.Timeout = time.Hour })
	raw := i.connectRaw(t, "one")
	raw.ask(`{"Action":"ActivateServerProcess","RequestId":"1","Port":7777}`)
	release := sync.OnceFunc(i.gate.hold())
	defer release()
	raw.send(websocket.MessageText, `{"Action":"HeartbeatServerProcess","RequestId":"2","HealthStatus":true}`)
	allocatortest.Eventually(t, patience, func() bool { return i.gate.waitsFor("}:process:") }, "a request reaches the store")
	dropped := make(chan bool)
	go func() {
		i.DropGameServers(context.Background())
		close(dropped)
	}()
	allocatortest.Eventually(t, patience, func() bool { return len(s.log.linesWith("a game server is to connect elsewhere", "waiting=1")) == 1 }, "the instance stops")
	frames := make(chan string, 10)
	go func() {
		defer close(frames)
		for {
			_, frame, err := raw.socket.Read(t.Context())
			if err != nil {
				return
			}
			frames <- string(frame)
		}
	}()
	raw.send(websocket.MessageText, `{"Action":"HeartbeatServerProcess","RequestId":"3","HealthStatus":true}`)
	if err := raw.socket.Ping(t.Context()); err != nil { // once it is answered, all before it has come
		t.Fatal(err)
	}
	release()
	for _, id := range []string{"2", "3"} {
		if frame := <-frames; !strings.Contains(frame, `"RequestId":"`+id+`"`) || !strings.Contains(frame, `"StatusCode":200`) {
			t.Errorf("request %s is answered with %q", id, frame)
		}
	}
	if frame, more := <-frames; more {
		t.Errorf("then comes %s", frame)
	}
	<-dropped
}

func TestInstanceStopsThoughTheStoreIsSilent(t *testing.T) {
	s := newService(t)
	i := s.newInstance(func(c *api.Config) { c.Timeout = time.Hour })
	raw := i.connectRaw(t, "one")
	raw.ask(`{"Action":"ActivateServerProcess","RequestId":"1","Port":7777}`)
	defer i.gate.hold()()
	for n := range 20 {
		raw.send(websocket.MessageText, fmt.Sprintf(`{"Action":"HeartbeatServerProcess","RequestId":"h-%d","HealthStatus":true}`, n))
	}
	allocatortest.Eventually(t, patience, func() bool { return i.gate.waits() }, "no request reaches the store")
	i.gate.close() // it is not told that the connection is gone, either
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	i.DropGameServers(ended)
	if status := raw.dropped(); status != -1 {
		t.Errorf("the connection ended with the close frame %v", status)
	}
}

func TestRequestThatMetAnOutageIsDoneLater(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	p := i.start("one")
	game := i.host(p)
	player := s.reserve(game)
	accept := func() error {
		_, err := p.Do(t.Context(), gameserver.Request{Action: "AcceptPlayerSession", RequestID: "a-1", Members: []gameserver.Member{
			{Name: "GameSessionId", Value: game}, {Name: "PlayerSessionId", Value: player},
		}})
		return err
	}
	up := i.gate.close()
	wantCode(t, "accepting while the store is down", accept(), 500, "the store is unavailable")
	up()
	p.must("the same request afterwards", accept())
	if got := s.mustCall("DescribePlayerSessions", members{"PlayerSessionId": player}).text("PlayerSessions", 0, "Status"); got != "ACTIVE" {
		t.Errorf("the player session is %s", got)
	}
}

func TestOutageOfTheStoreDoesNotFillTheLog(t *testing.T) {
	s := newService(t)
	i := s.newInstance()
	i.gate.close()
	const calls = 20
	failing := func(calls int, wantErrors ...string) {
		t.Helper()
		errors, debugs := len(s.log.linesWith("level=ERROR", "operation failed")), len(s.log.linesWith("level=DEBUG", "operation failed"))
		for range calls {
			if answer := i.listFleets(); answer.Code != http.StatusInternalServerError {
				t.Errorf("a call is answered with %d %s", answer.Code, answer.Body)
			}
		}
		lines := s.log.linesWith("level=ERROR", "operation failed")[errors:]
		if !slices.EqualFunc(lines, wantErrors, strings.Contains) {
			t.Errorf("of %d calls it logged\n%s\nwant %q", calls, strings.Join(lines, "\n"), wantErrors)
		}
		if n := len(s.log.linesWith("level=DEBUG", "operation failed")) - debugs; n != calls-len(wantErrors) {
			t.Errorf("of %d calls it logged %d at debug", calls, n)
		}
	}
	// Time is that of the bubble here: it passes at once when all wait.
	synctest.Test(t, func(t *testing.T) {
		failing(calls, "failures=1 ")
		time.Sleep(9 * time.Second)
		failing(calls)
		time.Sleep(time.Second)
		failing(calls, fmt.Sprintf("failures=%d ", 2*calls)) // the others of the first calls, the second ones, and itself
		time.Sleep(time.Hour)
		failing(calls, "failures=1 ") // of another outage
	})
}

// listFleets calls the instance.
func (i *instance) listFleets() *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{}`))
	r.Header.Set("X-Amz-Target", "GameLift.ListFleets")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	answer := httptest.NewRecorder()
	i.Service.ServeHTTP(answer, r)
	return answer
}

// gate stands between an instance and its store.
type gate struct {
	mu      sync.Mutex
	waiting chan struct{} // while it is held: closed when it is let go
	closed  bool
	held    []string // commands that wait
}

// waits tells whether any command does.
func (g *gate) waits() bool { return g.waitsFor("") }

// waitsFor tells whether a command does that names a key.
func (g *gate) waitsFor(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.held, func(command string) bool { return strings.Contains(command, key) })
}

// hold has commands wait until the returned function is called.
func (g *gate) hold() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	waiting := make(chan struct{})
	g.waiting = waiting
	return func() { close(waiting) }
}

// close has commands fail until the returned function is called.
func (g *gate) close() (open func()) {
	set := func(closed bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.closed = closed
	}
	set(true)
	return func() { set(false) }
}

func (g *gate) pass(ctx context.Context, commands ...redis.Cmder) error {
	g.mu.Lock()
	waiting, closed := g.waiting, g.closed
	if waiting != nil {
		g.held = append(g.held, fmt.Sprint(commands))
	}
	g.mu.Unlock()
	if closed {
		return &net.OpError{Op: "dial", Err: errors.New("the cable is cut")}
	}
	if waiting != nil {
		select {
		case <-waiting:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if err := g.pass(ctx, cmd); err != nil {
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if err := g.pass(ctx, cmds...); err != nil {
			return err
		}
		return next(ctx, cmds)
	}
}
