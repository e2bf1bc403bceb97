package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/berthgg/berth/allocator"
)

const (
	// maxFrame is how many bytes a frame of a game server may have. The largest are those of a match backfill of 200 players.
	maxFrame = 1 << 20
	// maxQueued is how many requests of a game server may wait their turn, and maxQueuedBytes how many bytes they may have. Further ones are
	// turned away. All players of a game session may join at once.
	maxQueued      = 1024
	maxQueuedBytes = 2 * maxFrame
	// maxTurnedAway is how many requests are turned away, with none served between, before the connection is dropped.
	maxTurnedAway = 1000
	// writeTimeout is how long a write may take. Server SDKs stall for up to 5 s when they connect again.
	writeTimeout = 10 * time.Second
	// pingInterval is the time between pings, in ping timeouts.
	pingInterval = 2
	// lastRequests is how long, once a connection has ended, the requests that came over it may still take.
	lastRequests = 10 * time.Second
)

// gameServer is a connection of a game server. Requests are answered one after the other, in the order in which they came. An idle one has
// one goroutine, that reads.
type gameServer struct {
	handler
	socket  *websocket.Conn
	process *allocator.ServerProcessConnection

	ctx         context.Context // until the connection ends; it outlives its request
	end         context.CancelFunc
	mu          sync.Mutex
	queue       []request // the first is being answered
	queuedBytes int
	turnedAway  int // since one was served
	leaving     bool
	gone        bool  // nobody hears answers any more
	dropped     error // why, if the service has
	nextPing    *time.Timer
	answering   sync.WaitGroup
}

func newGameServer(h handler, socket *websocket.Conn, process *allocator.ServerProcessConnection) *gameServer {
	socket.SetReadLimit(maxFrame)
	h.log = h.log.With("process", process.ID)
	g := &gameServer{handler: h, socket: socket, process: process}
	g.ctx, g.end = context.WithCancel(context.Background())
	return g
}

// gameServers are the connections of game servers to a service.
type gameServers struct {
	mu      sync.Mutex
	open    map[*gameServer]bool
	leaving bool
	serving sync.WaitGroup
}

// serve serves a connection to its end.
func (s *gameServers) serve(g *gameServer) {
	s.mu.Lock()
	if s.leaving {
		s.mu.Unlock()
		g.end()
		_ = g.socket.CloseNow()
		return
	}
	s.open[g] = true
	s.serving.Add(1)
	s.mu.Unlock()
	defer s.serving.Done()
	g.serve()
	s.mu.Lock()
	delete(s.open, g)
	s.mu.Unlock()
}

// leave ends all connections, each once the requests that have come are answered or ctx ends. Server SDKs connect again at once: there is no
// close frame, after which some would not.
func (s *gameServers) leave(ctx context.Context) {
	s.mu.Lock()
	s.leaving = true
	for g := range s.open {
		go g.leave()
	}
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for g := range s.open {
			g.end()
			_ = g.socket.CloseNow()
		}
	})()
	s.mu.Unlock()
	s.serving.Wait()
}

// serve serves the connection to its end.
func (g *gameServer) serve() {
	ctx := g.ctx
	log := g.log
	opening, cancel := context.WithTimeout(ctx, g.timeout)
	err := g.process.Open(opening, g.push)
	cancel()
	if err == nil {
		log.DebugContext(ctx, "a game server has connected")
		g.pingLater(ctx)
		err = g.read(ctx)
	}
	_ = g.socket.CloseNow()
	// What it has asked for is done, though nobody hears the answers: perhaps its last word was that it ends.
	enough := time.AfterFunc(lastRequests, g.end)
	g.mu.Lock()
	g.gone = true
	waiting := len(g.queue)
	g.mu.Unlock()
	log.DebugContext(ctx, "a game server is gone", "waiting", waiting)
	g.process.Mute()
	g.answering.Wait()
	enough.Stop()
	g.end()
	g.stopPinging()
	if err := g.process.Close(ctx); err != nil {
		log.WarnContext(ctx, "a game server has disconnected, and the store could not be told", "error", err)
	}
	level := slog.LevelWarn
	if g.isLeaving() || isEnd(err) {
		level = slog.LevelDebug
	}
	log.Log(ctx, level, "the connection of a game server has ended", "reason", err)
}

// recovered, when deferred, makes an error of a panic, so that it ends one connection alone.
func recovered(err *error) {
	if panicked := recover(); panicked != nil {
		*err = fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
	}
}

// isEnd tells whether a connection has ended as connections do, by the will of the game server or with its process.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || websocket.CloseStatus(err) == websocket.StatusNormalClosure ||
		websocket.CloseStatus(err) == websocket.StatusGoingAway
}

// pingLater pings the game server after a while, again and again until the connection ends, which it does when its other side is gone.
func (g *gameServer) pingLater(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	g.nextPing = time.AfterFunc(pingInterval*g.pingTimeout, func() {
		if err := g.ping(ctx); err != nil {
			g.drop(err)
			return
		}
		g.pingLater(ctx)
	})
}

// stopPinging follows the end of the context: no ping is to come then.
func (g *gameServer) stopPinging() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.nextPing != nil {
		g.nextPing.Stop()
	}
}

func (g *gameServer) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.pingTimeout)
	defer cancel()
	return g.socket.Ping(ctx)
}

// drop ends the connection. There is no close frame, so that the Server SDK connects again.
func (g *gameServer) drop(reason error) {
	g.mu.Lock()
	g.dropped = cmp.Or(g.dropped, reason)
	g.mu.Unlock()
	_ = g.socket.CloseNow()
}

// leave ends the connection as soon as no request waits for its answer.
func (g *gameServer) leave() {
	g.mu.Lock()
	g.leaving = true
	waiting := len(g.queue)
	g.mu.Unlock()
	g.log.Debug("a game server is to connect elsewhere", "waiting", waiting)
	g.answering.Wait()
	_ = g.socket.CloseNow()
}

func (g *gameServer) isLeaving() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.leaving
}

// read reads requests until the connection ends, and returns why it has.
func (g *gameServer) read(ctx context.Context) (err error) {
	defer recovered(&err)
	for {
		kind, frame, err := g.socket.Read(ctx)
		if err == nil && kind != websocket.MessageText {
			err = errors.New("it sent a binary frame; the protocol has text frames alone")
		}
		var r request
		if err == nil {
			r, err = parseRequest(frame)
		}
		if err == nil {
			err = g.take(ctx, r)
		}
		if err != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			return cmp.Or(g.dropped, err)
		}
	}
}

// take has a request answered in its turn, or turns it away when too many wait.
func (g *gameServer) take(ctx context.Context, r request) error {
	g.mu.Lock()
	if g.leaving && len(g.queue) == 0 { // all that came before is answered, so the connection ends now
		g.mu.Unlock()
		return nil
	}
	r.came = time.Now()
	if len(g.queue) < maxQueued && g.queuedBytes+len(r.frame) <= maxQueuedBytes {
		g.queue = append(g.queue, r)
		g.queuedBytes += len(r.frame)
		if len(g.queue) == 1 {
			g.answering.Go(func() { g.answerAll(ctx) })
		}
		g.mu.Unlock()
		return nil
	}
	g.turnedAway++
	flood := g.turnedAway > maxTurnedAway
	g.mu.Unlock()
	if flood {
		return errors.New("it goes on sending requests while too many wait for their answers")
	}
	return g.respond(ctx, r, nil, exception{code: http.StatusTooManyRequests, message: "too many requests of this process wait for their answers; nothing was changed, send it again later"})
}

// answerAll answers the requests that wait, until none does.
func (g *gameServer) answerAll(ctx context.Context) {
	for {
		g.mu.Lock()
		r := g.queue[0]
		g.mu.Unlock()
		output, err := g.answer(ctx, r)
		if err != nil {
			g.report(ctx, shortened(r.Action, 100), shortened(r.RequestID, 100), err)
			err = g.respond(ctx, r, nil, exceptionOf(err))
		} else {
			err = g.respond(ctx, r, output, exception{code: http.StatusOK})
		}
		if err != nil {
			g.drop(err)
		}
		g.mu.Lock()
		g.queue[0] = request{}
		g.queue = g.queue[1:]
		g.queuedBytes -= len(r.frame)
		g.turnedAway = 0
		done := len(g.queue) == 0 || ctx.Err() != nil
		if done {
			g.queue = nil
		}
		g.mu.Unlock()
		if done {
			return
		}
	}
}

// answer does what a request asks for. It does not count towards --max-waiting: a connection has one request at a time, and a process whose
// reports are turned away is given up.
func (g *gameServer) answer(ctx context.Context, r request) (output any, err error) {
	defer recovered(&err)
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	return g.do(ctx, r)
}

func (g *gameServer) do(ctx context.Context, r request) (output any, err error) {
	row, known := actions[r.Action]
	if !known {
		return nil, invalid("there is no action %s", quoted(r.Action))
	}
	input := row.newInput()
	if err := awsJSON.decode(r.frame, input); err != nil {
		return nil, invalid("the request is not a valid %s: %s", row.name, undecodable(err))
	}
	if err := validate(input); err != nil {
		return nil, err
	}
	if row.lapses && g.isGivenUp(r) {
		return nil, exception{code: http.StatusTooManyRequests, message: "the request has waited for too long; nothing was changed, send it again"}
	}
	if row.keeps == keepNone {
		return row.run(ctx, g, input, r)
	}
	err = g.process.Once(ctx, r.name(), row.keeps == keepAll, func(ctx context.Context) error {
		output, err = row.run(ctx, g, input, r)
		return err
	})
	return output, err
}

// isGivenUp tells whether nobody waits for the answer to a request any more.
func (g *gameServer) isGivenUp(r request) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone || time.Since(r.came) >= g.givenUpAfter
}

// respond writes the response to a request. Output may be nil, or a struct of further members.
func (g *gameServer) respond(ctx context.Context, r request, output any, e exception) error {
	frame := response{Action: r.Action, RequestID: r.RequestID, StatusCode: e.code, ErrorMessage: sayable(e.message)}
	if output != nil {
		members, err := awsJSON.encode(output)
		if err != nil {
			return fmt.Errorf("the answer to %s cannot be written: %w", r.Action, err)
		}
		frame.Members = members
	}
	return g.write(ctx, frame)
}

func (g *gameServer) write(ctx context.Context, frame any) error {
	text, err := awsJSON.encode(frame)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return g.socket.Write(ctx, websocket.MessageText, text)
}

// push tells the game server something. It has surely received that once it answers a ping that follows.
func (g *gameServer) push(ctx context.Context, p allocator.Push) error {
	err := g.writePush(ctx, p)
	if err == nil {
		err = g.ping(ctx)
	}
	if err != nil {
		g.drop(fmt.Errorf("it could not be told something: %w", err))
	}
	return err
}

func (g *gameServer) writePush(ctx context.Context, p allocator.Push) (err error) {
	defer recovered(&err)
	return g.write(ctx, pushFrame(p))
}
