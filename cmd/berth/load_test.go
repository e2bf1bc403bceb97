package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// load is what many clients do at once on a few game sessions, through HTTP and any instance, and what they were told.
type load struct {
	t       *testing.T
	store   *allocatortest.Store
	timeout time.Duration // of reservations
	room    int           // slots of each game session
	games   []string

	lossy bool // what was acknowledged may be lost

	mu        sync.Mutex
	instances []*process
	calls     []*clientCall

	answered atomic.Int64 // calls whose outcome is known
	failed   atomic.Int64 // attempts that the service or the network failed
	odd      atomic.Int64 // answers that should not be
	stop     chan struct{}
	running  sync.WaitGroup
}

// clientCall is a call, retried with its token until there was an answer or the client gave up.
type clientCall struct {
	client    int
	operation string // reserve, accept, remove, count
	game      string
	players   []string // to reserve for
	session   string   // to accept or remove
	from, to  int64    // when the client began and ended, in µs of the store's clock
	began     time.Time
	ended     time.Time

	outcome string // ok, full, timedout, gone (lost), unknown, none (surely nothing happened)
	doubted bool   // an attempt got no answer: it may be carried out at any time
	told    []toldSession
	count   int
}

// toldSession is what a client was told of a player session.
type toldSession struct {
	ID       string  `json:"PlayerSessionId"`
	Player   string  `json:"PlayerId"`
	Status   string  `json:"Status"`
	Creation float64 `json:"CreationTime"`
}

const (
	loadClients = 16
	loadGames   = 8
	attempts    = 4 // of a call that fails
)

// newLoad makes the game sessions.
func newLoad(t *testing.T, store *allocatortest.Store, timeout time.Duration, instances ...*process) *load {
	t.Helper()
	l := &load{t: t, store: store, timeout: timeout, room: 4, instances: instances, stop: make(chan struct{})}
	l.games = newGames(t, sdk(instances[0].url()), loadGames, int32(l.room))
	return l
}

// now is the store's clock, in µs. A clock that stands still stands still for all.
func (l *load) now() int64 {
	if l.store.Frozen() {
		return l.store.Now().UnixMicro()
	}
	return time.Now().UnixMicro() // the store is on this machine
}

// start has the clients begin.
func (l *load) start() {
	for client := range loadClients {
		l.running.Go(func() { l.live(client) })
	}
}

// until waits until so many more calls have been answered, or none more but attempts fail.
func (l *load) until(t testing.TB, count *atomic.Int64, more int64, what string) {
	t.Helper()
	target := count.Load() + more
	allocatortest.Eventually(t, 2*time.Minute, func() bool { return count.Load() >= target }, what)
}

// goOn lets so many more calls be answered.
func (l *load) goOn(calls int) { l.until(l.t, &l.answered, int64(calls), "calls are answered") }

// suffer waits until so many attempts have failed.
func (l *load) suffer(attempts int) { l.until(l.t, &l.failed, int64(attempts), "attempts fail") }

// end has the clients stop, and returns when all have.
func (l *load) end() {
	close(l.stop)
	l.running.Wait()
}

// replace puts another instance in the place of one.
func (l *load) replace(old, by *process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.instances = slices.Clone(l.instances)
	l.instances[slices.Index(l.instances, old)] = by
}

func (l *load) anyInstance() *process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.instances[rand.IntN(len(l.instances))]
}

// live is what one client does. It knows the player sessions that it has reserved.
func (l *load) live(client int) {
	type mine struct{ game, session string }
	var reserved, accepted []mine
	take := func(from *[]mine) mine {
		i := rand.IntN(len(*from))
		m := (*from)[i]
		*from = slices.Delete(*from, i, i+1)
		return m
	}
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		c := &clientCall{client: client, operation: "reserve", game: l.games[rand.IntN(len(l.games))]}
		switch dice := rand.IntN(100); {
		case dice < 10:
			c.operation = "count"
		case dice < 35 && len(reserved) > 0:
			m := take(&reserved)
			c.operation, c.game, c.session = "accept", m.game, m.session
		case dice < 60 && len(accepted) > 0:
			m := take(&accepted)
			c.operation, c.game, c.session = "remove", m.game, m.session
		default:
			for i := range []int{1, 1, 1, 2, 3}[rand.IntN(5)] {
				c.players = append(c.players, fmt.Sprintf("player-%d-%d-%d", client, n, i))
			}
		}
		l.make(c)
		if c.outcome == "ok" {
			switch c.operation {
			case "reserve":
				for _, told := range c.told {
					reserved = append(reserved, mine{c.game, told.ID})
				}
			case "accept":
				accepted = append(accepted, mine{c.game, c.session})
			}
		}
		if len(reserved) > 30 { // most have timed out
			reserved = reserved[20:]
		}
	}
}

// make makes a call and notes what came of it.
func (l *load) make(c *clientCall) {
	operation, input := c.request()
	token := fmt.Sprintf("call-%d-%d", c.client, rand.Uint64())
	c.from, c.began = l.now(), time.Now()
	for range attempts {
		status, body, err := l.send(operation, input, token)
		switch {
		case err == nil && status == http.StatusOK:
			c.outcome = "ok"
			c.read(body)
		case err == nil && status == http.StatusBadRequest && strings.Contains(body, "GameSessionFullException"):
			c.outcome = "full"
		case err == nil && status == http.StatusBadRequest && strings.Contains(body, "timed out at"):
			c.outcome = "timedout"
		case err == nil && status == http.StatusBadRequest && strings.Contains(body, "NotFoundException") && l.lossy:
			c.outcome = "gone"
		case err == nil && status == http.StatusInternalServerError && strings.Contains(body, "nothing was changed"):
			l.failed.Add(1)
		case err != nil || status == http.StatusInternalServerError && strings.Contains(body, "may or may not"):
			l.failed.Add(1)
			c.doubted = true
		case status == http.StatusBadRequest && strings.Contains(body, "ThrottlingException"):
			l.failed.Add(1)
		default:
			if l.odd.Add(1) <= 5 {
				l.t.Errorf("%s %s was answered with %d %s", operation, input, status, body)
			}
		}
		if c.outcome != "" {
			break
		}
		// The retry backs off, as an SDK's does: without that a client would use up its attempts before a fault of some
		// milliseconds is over. Nothing that is checked depends on how long it takes.
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
	c.to, c.ended = l.now(), time.Now()
	switch {
	case c.outcome != "":
		l.answered.Add(1)
	case c.doubted:
		c.outcome = "unknown"
	default:
		c.outcome = "none"
	}
	l.mu.Lock()
	l.calls = append(l.calls, c)
	l.mu.Unlock()
}

func (l *load) send(operation, input, token string) (status int, body string, err error) {
	request, err := http.NewRequest(http.MethodPost, l.anyInstance().url(), strings.NewReader(input))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "GameLift."+operation)
	request.Header.Set("Amz-Sdk-Invocation-Id", token)
	return do(request)
}

func (c *clientCall) request() (operation, input string) {
	var members any
	switch c.operation {
	case "reserve":
		operation, members = "CreatePlayerSessions", map[string]any{"GameSessionId": c.game, "PlayerIds": c.players}
	case "accept":
		operation, members = "AcceptPlayerSession", map[string]any{"GameSessionId": c.game, "PlayerSessionId": c.session}
	case "remove":
		operation, members = "RemovePlayerSession", map[string]any{"GameSessionId": c.game, "PlayerSessionId": c.session}
	case "count":
		operation, members = "DescribeGameSessions", map[string]any{"GameSessionId": c.game}
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return operation, string(text)
}

// read takes in a reply.
func (c *clientCall) read(body string) {
	var reply struct {
		PlayerSessions []toldSession
		GameSessions   []struct{ CurrentPlayerSessionCount int }
	}
	if err := json.Unmarshal([]byte(body), &reply); err != nil {
		panic(err)
	}
	c.told = reply.PlayerSessions
	if len(reply.GameSessions) > 0 {
		c.count = reply.GameSessions[0].CurrentPlayerSessionCount
	}
}

// sessionsOf reads all player sessions of a game session, by their ids. It tries again as clients do: a Sentinel that is behind
// the others may send a new connection to a master that is gone.
func (l *load) sessionsOf(game string) map[string]toldSession {
	l.t.Helper()
	all := make(map[string]toldSession)
	for token := ""; ; {
		input := map[string]any{"GameSessionId": game, "Limit": 100}
		if token != "" {
			input["NextToken"] = token
		}
		text, err := json.Marshal(input)
		if err != nil {
			l.t.Fatal(err)
		}
		var page struct {
			PlayerSessions []toldSession
			NextToken      string
		}
		var answer string
		allocatortest.Eventually(l.t, 20*time.Second, func() bool {
			var status int
			status, answer, err = l.anyInstance().call("DescribePlayerSessions", string(text))
			return err == nil && status == http.StatusOK
		}, "player sessions can be read")
		if err := json.Unmarshal([]byte(answer), &page); err != nil {
			l.t.Fatal(err)
		}
		for _, session := range page.PlayerSessions {
			all[session.ID] = session
		}
		if token = page.NextToken; token == "" {
			return all
		}
	}
}

// check compares all that the clients were told with what the store has now, and looks for an order of the calls on each game
// session that explains it, unless something may be lost: no order can explain what is.
func (l *load) check() {
	l.t.Helper()
	end := l.now()
	start := time.Now().Add(-time.Hour)
	byGame := make(map[string][]*clientCall)
	outcomes := make(map[string]int)
	for _, c := range l.calls {
		byGame[c.game] = append(byGame[c.game], c)
		outcomes[c.outcome]++
	}
	lost := 0
	for _, game := range l.games {
		stored := l.sessionsOf(game)
		byPlayer := make(map[string]toldSession)
		for _, session := range stored {
			if other, twice := byPlayer[session.Player]; twice {
				l.t.Errorf("%s has reserved twice, by a single call: %s and %s", session.Player, other.ID, session.ID)
			}
			byPlayer[session.Player] = session
		}
		var history []porcupine.Operation
		for _, c := range byGame[game] {
			for _, told := range c.told {
				if _, there := stored[told.ID]; !there {
					lost++
				}
			}
			if c.outcome == "unknown" || c.doubted && c.outcome == "full" && len(c.reserved(byPlayer)) > 0 {
				c.settle(byPlayer, stored, end)
			}
			if c.outcome == "none" {
				for _, player := range c.players {
					if session, there := byPlayer[player]; there {
						l.t.Errorf("the call for %s was answered that nothing was changed, and there is %+v", player, session)
					}
				}
				continue
			}
			history = append(history, porcupine.Operation{ClientId: c.client, Input: c, Output: c, Call: c.began.Sub(start).Nanoseconds(), Return: c.ended.Sub(start).Nanoseconds()})
		}
		if !l.lossy && !porcupine.CheckOperations(slotHistory(l.room, l.timeout), history) {
			l.t.Errorf("no order of the %d calls on a game session explains what they were told:\n%s", len(history), describe(byGame[game]))
		}
	}
	if lost > 0 && !l.lossy {
		l.t.Errorf("%d player sessions that were acknowledged are lost", lost)
	}
	l.t.Logf("%d calls: %v; %d attempts failed; %d acknowledged player sessions were lost", len(l.calls), outcomes, l.failed.Load(), lost)
}

// settle finds out what became of a call that got no answer, by what there is at the end.
func (c *clientCall) settle(byPlayer, stored map[string]toldSession, end int64) {
	c.outcome = "none"
	switch c.operation {
	case "reserve":
		if c.told = c.reserved(byPlayer); len(c.told) > 0 {
			c.outcome = "ok"
		}
	case "accept":
		if status := stored[c.session].Status; status == "ACTIVE" || status == "COMPLETED" {
			c.outcome = "ok"
		}
	case "remove":
		if stored[c.session].Status == "COMPLETED" {
			c.outcome = "ok"
		}
	}
	c.to, c.ended = end, time.Now()
}

// reserved lists what there is of the player sessions that a call was to reserve.
func (c *clientCall) reserved(byPlayer map[string]toldSession) (sessions []toldSession) {
	for _, player := range c.players {
		if session, there := byPlayer[player]; there {
			sessions = append(sessions, session)
		}
	}
	return sessions
}

func describe(calls []*clientCall) string {
	slices.SortFunc(calls, func(x, y *clientCall) int { return int(x.from - y.from) })
	var text strings.Builder
	for _, c := range calls[:min(len(calls), 200)] {
		fmt.Fprintf(&text, "%d to %d: %s %v%s: %s %d %v\n", c.from, c.to, c.operation, c.players, c.session, c.outcome, c.count, c.told)
	}
	return text.String()
}

// holders are the player sessions that hold or held slots, with their deadlines in µs.
type holders map[string]int64

const never = math.MaxInt64

// at counts those that hold a slot at a time.
func (h holders) at(time int64) (n int) {
	for _, deadline := range h {
		if deadline > time {
			n++
		}
	}
	return n
}

// slotHistory is what a game session does, one call after the other. When a call was carried out is known to lie between its
// beginning and its end, and of a reservation it is known to the millisecond: its creation.
func slotHistory(room int, timeout time.Duration) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return holders{} },
		Step: func(before, in, _ any) (bool, any) {
			state, c := before.(holders), in.(*clientCall)
			return step(state, c, room, timeout)
		},
		Equal: func(a, b any) bool { return maps.Equal(a.(holders), b.(holders)) },
	}
}

func step(before holders, c *clientCall, room int, timeout time.Duration) (bool, holders) {
	from := c.from - c.from%1000 // the store's clock has milliseconds
	deadline, holds := before[c.session]
	switch c.operation + " " + c.outcome {
	case "reserve ok":
		created := int64(math.Round(c.told[0].Creation*1000)) * 1000
		if len(c.told) != len(c.players) || created < from || created > c.to || before.at(created)+len(c.players) > room {
			return false, before
		}
		after := maps.Clone(before)
		for _, told := range c.told {
			after[told.ID] = created + timeout.Microseconds()
		}
		return true, after
	case "reserve full":
		return before.at(from)+len(c.players) > room, before
	case "accept ok":
		if !holds || deadline == never || deadline <= from {
			return false, before
		}
		after := maps.Clone(before)
		after[c.session] = never
		return true, after
	case "accept timedout":
		return !holds || deadline <= c.to, before
	case "remove ok":
		if !holds || deadline != never {
			return false, before
		}
		after := maps.Clone(before)
		delete(after, c.session)
		return true, after
	case "count ok":
		return before.at(c.to) <= c.count && c.count <= before.at(from), before
	}
	return false, before
}
