package allocator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// Server processes and game sessions by the rules, one step after the other, and random operations on two Allocators that must come to
// the same.

func TestServerProcessesDoWhatTheModelSays(t *testing.T) {
	t.Run("miniredis", func(t *testing.T) { compareProcesses(t, allocatortest.Miniredis(t), 1) })
	t.Run("redis", func(t *testing.T) { compareProcesses(t, allocatortest.Redis(t), 2) })
	t.Run("cluster", func(t *testing.T) { compareProcesses(t, allocatortest.Cluster(t), 10) })
}

// modelProcess is a server process in one of its lives.
type modelProcess struct {
	registered, ready, healthy, connected, interrupted bool
	life                                               int // each has another
	activatedOn                                        *gameServer
	healthyAt, terminateAt                             time.Time // the latter zero until it is told to end
	game                                               *modelHosted
}

// modelHosted is a game session on a server process.
type modelHosted struct {
	id                allocator.GameSessionID
	on, life          int
	status            allocator.GameSessionStatus
	reason            allocator.GameSessionStatusReason
	activateBy, endBy time.Time
}

func (g *modelHosted) over() bool {
	return g.status == allocator.GameSessionTerminated || g.status == allocator.GameSessionError
}

// end ends it for a reason, if it has not ended; one that is ending keeps its reason.
func (g *modelHosted) end(reason allocator.GameSessionStatusReason) {
	if g.over() {
		return
	}
	if g.status != allocator.GameSessionTerminating {
		g.reason = reason
	}
	g.status = allocator.GameSessionTerminated
}

// dock is the machine of the test.
type dock struct {
	*rapid.T
	scenes      [2]scene // the same fleet, by two Allocators
	processes   [3]modelProcess
	connections [3]*gameServer // the newest of each
	lives       [3]int         // which life that is for, 0 for none
	lived       int
	since, last time.Time // as of which somebody has always seen to the processes
	games       []*modelHosted
}

func compareProcesses(t *testing.T, store *allocatortest.Store, divisor int) {
	scaleFlag(t, "rapid.checks", 1, divisor)
	client := store.NewClient(t)
	client.AddHook(scriptContracts(t))
	rapid.Check(t, func(rt *rapid.T) {
		flush(rt, store)
		d := &dock{T: rt}
		for i := range d.scenes {
			a, err := allocator.Open(context.Background(), allocator.Config{
				Redis: client, Retention: 100 * time.Hour, Quotas: unlimited, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				rt.Fatal(err)
			}
			d.scenes[i] = scene{Allocator: a, t: t, store: store}
		}
		d.scenes[0].fleet = d.scenes[0].newFleet()
		d.scenes[1].fleet = d.scenes[0].fleet
		defer func() {
			for _, c := range d.connections {
				if c != nil {
					_ = c.Close(context.Background())
				}
			}
		}()
		rt.Repeat(map[string]func(*rapid.T){
			"":             d.check,
			"connect":      d.connect,
			"disconnect":   d.disconnect,
			"activate":     d.activate,
			"heartbeat":    d.heartbeat,
			"be healthy":   d.heartbeat,
			"start":        d.start,
			"create":       d.create,
			"create more":  d.create,
			"activate one": d.activateGame,
			"terminate":    d.terminate,
			"end":          d.endProcess,
			"advance":      d.advance,
			"advance more": d.advance,
			"be away":      d.beAway,
		})
		if found, _ := d.scenes[0].findings(false); len(found) > 0 {
			rt.Errorf("the check finds\n%s", strings.Join(found, "\n"))
		}
	})
}

func (d *dock) scene() scene { return d.scenes[rapid.IntRange(0, 1).Draw(d.T, "allocator")] }
func (d *dock) one() int     { return rapid.IntRange(0, len(d.processes)-1).Draw(d.T, "process") }
func (d *dock) now() time.Time {
	return d.scenes[0].store.Now()
}

// connected draws a process that has a connection.
func (d *dock) connected() int {
	i := d.one()
	if d.connections[i] == nil {
		d.Skip("it is not connected")
	}
	return i
}

func (d *dock) connect(*rapid.T) {
	i := d.one()
	if old := d.connections[i]; old != nil && rapid.Bool().Draw(d.T, "the old one ends first") {
		_ = old.Close(context.Background())
	}
	d.connections[i] = d.scene().connect(fmt.Sprint("process-", i))
	d.processes[i].connected = d.processes[i].registered
	d.lives[i] = d.processes[i].life
}

// begin begins a life of a process over its connection.
func (d *dock) begin(i int) *modelProcess {
	d.lived++
	d.lives[i] = d.lived
	d.processes[i] = modelProcess{registered: true, connected: true, activatedOn: d.connections[i], healthyAt: d.now(), life: d.lived}
	return &d.processes[i]
}

// request is what a request other than the registration does first: a connection that is for no life looks for one.
func (d *dock) request(i int) {
	if d.lives[i] == 0 {
		d.lives[i] = d.processes[i].life
	}
}

func (d *dock) disconnect(*rapid.T) {
	i := d.connected()
	if err := d.connections[i].Close(context.Background()); err != nil {
		d.Fatal(err)
	}
	d.connections[i] = nil
	d.processes[i].connected = false
}

func (d *dock) activate(*rapid.T) {
	i := d.connected()
	p := &d.processes[i]
	d.connections[i].activate()
	if p.registered && p.activatedOn == d.connections[i] {
		return
	}
	d.endLife(p, allocator.Interrupted)
	d.begin(i)
}

func (d *dock) heartbeat(*rapid.T) {
	i := d.connected()
	p := &d.processes[i]
	healthy := rapid.IntRange(0, 3).Draw(d.T, "health") > 0
	err := d.connections[i].HeartbeatServerProcess(context.Background(), healthy)
	d.request(i)
	if !p.registered {
		if !errors.Is(err, allocator.ErrNotFound) {
			d.Fatalf("the heartbeat of a process that is not registered: %v", err)
		}
		return
	}
	if err != nil {
		d.Fatal(err)
	}
	p.healthy = healthy
	if healthy {
		p.ready, p.healthyAt = true, d.now()
	}
}

// start makes an idle process of one that is nowhere, for otherwise few game sessions would come about.
func (d *dock) start(*rapid.T) {
	i := d.one()
	p := &d.processes[i]
	if p.registered {
		d.Skip("it is registered")
	}
	d.connections[i] = d.scene().start(fmt.Sprint("process-", i))
	p = d.begin(i)
	p.ready, p.healthy = true, true
}

func (p *modelProcess) idle() bool {
	return p.registered && p.ready && p.healthy && p.connected && p.game == nil && p.terminateAt.IsZero()
}

func (d *dock) create(*rapid.T) {
	game, err := d.scene().CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: d.scenes[0].fleet, MaximumPlayerSessionCount: 2})
	if err != nil {
		if !errors.Is(err, allocator.ErrFleetCapacityExceeded) {
			d.Fatal(err)
		}
		for i := range d.processes {
			if d.processes[i].idle() {
				d.Fatalf("process %d is idle, and a game session was refused: %v", i, err)
			}
		}
		return
	}
	for i := range d.processes {
		if at := d.scenes[0].process(fmt.Sprint("process-", i)); at != nil && at.GameSessionID == game.ID {
			p := &d.processes[i]
			if !p.idle() {
				d.Fatalf("process %d was given a game session: %+v", i, p)
			}
			p.game = &modelHosted{id: game.ID, on: i, life: p.life, status: allocator.GameSessionActivating, activateBy: d.now().Add(activationTimeout)}
			d.games = append(d.games, p.game)
			return
		}
	}
	d.Fatalf("no process has the new game session %s", game.ID)
}

func (d *dock) anyGame() *modelHosted {
	if len(d.games) == 0 {
		d.Skip("there is no game session")
	}
	return rapid.SampledFrom(d.games).Draw(d.T, "game session")
}

func (d *dock) activateGame(*rapid.T) {
	i, game := d.connected(), d.anyGame()
	err := d.connections[i].ActivateGameSession(context.Background(), game.id)
	d.request(i)
	switch {
	case game.on != i || game.life != d.lives[i]:
		if !errors.Is(err, allocator.ErrNotFound) {
			d.Fatalf("activating another's game session: %v", err)
		}
	case game.status == allocator.GameSessionActive, game.status == allocator.GameSessionActivating && d.now().Before(game.activateBy):
		if err != nil {
			d.Fatal(err)
		}
		game.status = allocator.GameSessionActive
	case !errors.Is(err, allocator.ErrInvalidGameSessionStatus):
		d.Fatalf("activating a game session that is %s: %v", game.status, err)
	}
}

func (d *dock) terminate(*rapid.T) {
	game := d.anyGame()
	mode := rapid.SampledFrom([]allocator.TerminationMode{allocator.TriggerOnProcessTerminate, allocator.ForceTerminate}).Draw(d.T, "mode")
	_, err := d.scene().TerminateGameSession(context.Background(), allocator.TerminateGameSessionInput{GameSessionID: game.id, Mode: mode})
	if game.status == allocator.GameSessionError {
		if !errors.Is(err, allocator.ErrInvalidGameSessionStatus) {
			d.Fatalf("terminating a game session in ERROR: %v", err)
		}
		return
	}
	if err != nil {
		d.Fatal(err)
	}
	p := &d.processes[game.on]
	told := !game.over() && p.registered && p.game == game
	if told && p.terminateAt.IsZero() {
		p.terminateAt = d.now().Add(grace)
	}
	switch {
	case mode == allocator.ForceTerminate:
		game.end(allocator.ForceTerminated)
	case !told:
		game.end(allocator.TriggeredOnProcessTerminate)
	case game.status != allocator.GameSessionTerminating:
		game.status, game.reason, game.endBy = allocator.GameSessionTerminating, allocator.TriggeredOnProcessTerminate, d.now().Add(grace)
	}
}

func (d *dock) endProcess(*rapid.T) {
	i := d.connected()
	err := d.connections[i].TerminateServerProcess(context.Background(), "")
	d.request(i)
	if p := &d.processes[i]; !p.registered {
		if !errors.Is(err, allocator.ErrNotFound) {
			d.Fatalf("the end of a process that is not registered: %v", err)
		}
		return
	}
	if err != nil {
		d.Fatal(err)
	}
	d.endLife(&d.processes[i], "")
}

// endLife ends a process and its game session.
func (d *dock) endLife(p *modelProcess, reason allocator.GameSessionStatusReason) {
	if p.interrupted {
		reason = allocator.Interrupted
	}
	if p.game != nil {
		p.game.end(reason)
	}
	*p = modelProcess{}
}

func (d *dock) advance(*rapid.T) { d.advanceBy(rapid.IntRange(1, 30).Draw(d.T, "seconds")) }
func (d *dock) beAway(*rapid.T)  { d.advanceBy(rapid.IntRange(31, 600).Draw(d.T, "seconds")) }

// advanceBy lets time pass, and sees to what is due.
func (d *dock) advanceBy(seconds int) {
	d.scenes[0].store.Advance(time.Duration(seconds) * time.Second)
	if slices.ContainsFunc(d.processes[:], func(p modelProcess) bool { return p.registered }) {
		if d.now().Sub(d.last) > attendance {
			d.since = d.now()
		}
		d.last = d.now()
	}
	if _, err := d.scene().Sweep(context.Background()); err != nil {
		d.Fatal(err)
	}
	now := d.now()
	for _, g := range d.games {
		switch {
		case g.status == allocator.GameSessionActivating && !now.Before(g.activateBy):
			g.status = allocator.GameSessionError
		case g.status == allocator.GameSessionTerminating && !now.Before(g.endBy):
			g.status = allocator.GameSessionTerminated
		}
	}
	for i := range d.processes {
		p := &d.processes[i]
		if !p.registered {
			continue
		}
		lost := now.Sub(p.healthyAt) >= serverProcessLife && now.Sub(d.since) >= serverProcessLife
		ended := !p.terminateAt.IsZero() && !now.Before(p.terminateAt)
		if p.terminateAt.IsZero() && (lost || p.game != nil && (p.game.over() || p.game.status == allocator.GameSessionTerminating)) {
			p.terminateAt = now.Add(grace)
		}
		p.interrupted = p.interrupted || lost
		switch {
		case ended:
			d.endLife(p, "")
		case p.interrupted && p.game != nil:
			p.game.end(allocator.Interrupted)
		}
	}
}

// check compares all that there is.
func (d *dock) check(*rapid.T) {
	for i := range d.processes {
		p, got := &d.processes[i], d.scenes[0].process(fmt.Sprint("process-", i))
		if p.registered != (got != nil) {
			d.Fatalf("process %d is %+v, want %+v", i, got, p)
		}
		if got == nil {
			continue
		}
		want := allocator.ServerProcess{Status: allocator.ServerProcessActive, Healthy: p.ready && p.healthy, Connected: p.connected}
		if !p.terminateAt.IsZero() {
			want.Status = allocator.ServerProcessTerminating
		}
		if p.game != nil {
			want.GameSessionID = p.game.id
		}
		if got.Status != want.Status || got.Healthy != want.Healthy || got.Connected != want.Connected || got.GameSessionID != want.GameSessionID {
			d.Fatalf("process %d is %+v, want %+v", i, got, want)
		}
	}
	for _, g := range d.games {
		if got := d.scenes[0].describe(g.id); got.Status != g.status || got.StatusReason != g.reason {
			d.Fatalf("game session %s is %s because of %q, want %s because of %q", g.id, got.Status, got.StatusReason, g.status, g.reason)
		}
	}
	wantInvariants(d.T, d.scenes[0].store, d.scenes[0].Allocator)
}
