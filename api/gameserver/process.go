package gameserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Process is one process of a game server, as the service knows it. Its methods may be called from any goroutine.
type Process struct {
	config Config
	accent accent
	http   *http.Client

	ctx    context.Context // of the handlers; ends with the process
	cancel context.CancelFunc
	over   chan struct{} // closed once ended is set
	done   chan struct{} // closed once no connection is left

	refreshes    chan refreshConnection // of one: the last that was asked for
	gameSessions *queue[GameSession]
	updates      *queue[GameSessionUpdate]
	terminations *queue[time.Time]

	tracing sync.Mutex // held while Trace is called

	mu       sync.Mutex
	current  *connection     // nil while there is none
	since    time.Time       // when current was opened
	lost     error           // why current is nil
	ended    error           // why current will never be set again; nil until then
	waiting  []*call         // in the order in which they were made
	silences int             // requests in a row that were not answered
	started  map[string]bool // the game sessions that were handed out
	beating  context.CancelFunc
}

// Connect opens the connection of a process. An unreachable service is tried again until ctx ends or the attempts are used up; a
// service that refuses makes Connect fail at once with an [*Error]. The process lives on when ctx ends: end it with [Process.Close].
func Connect(ctx context.Context, config Config) (*Process, error) {
	p := &Process{
		config:       config,
		over:         make(chan struct{}),
		done:         make(chan struct{}),
		refreshes:    make(chan refreshConnection, 1),
		gameSessions: newQueue[GameSession](),
		updates:      newQueue[GameSessionUpdate](),
		terminations: newQueue[time.Time](),
		started:      map[string]bool{},
	}
	if err := p.config.complete(); err != nil {
		return nil, err
	}
	p.accent = p.config.Dialect.accent()
	endpoint, err := newEndpoint(p.config.URL, p.config.Token, p.config.SigV4)
	if err != nil {
		return nil, err
	}
	p.http = &http.Client{Transport: &http.Transport{
		DialContext:       p.config.DialContext,
		TLSClientConfig:   p.config.TLS,
		DisableKeepAlives: true, // only an attempt that failed could leave a connection to keep
	}}
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))

	first, err := p.connect(ctx, endpoint, 0, p.config.Attempts)
	if err != nil {
		p.cancel()
		return nil, err
	}
	go p.stayConnected(endpoint, first)
	go deliver(p, p.gameSessions, p.config.OnStartGameSession)
	go deliver(p, p.updates, p.config.OnUpdateGameSession)
	go deliver(p, p.terminations, p.config.OnProcessTerminate)
	return p, nil
}

// ID returns the process id.
func (p *Process) ID() string { return p.config.ProcessID }

// Close ends the process' connection, its heartbeats and its handlers' context, and makes waiting requests fail with [ErrClosed].
// It tells the service nothing; that is for [Process.ProcessEnding]. The connection is gone when Close returns, which in the dialect Cpp
// can take 5 s if the service does not answer the close frame. Close does not wait for handlers that run, so that they may call it;
// none is called after it.
func (p *Process) Close() {
	p.end(ErrClosed)
	<-p.done
}

// Disconnect drops the connection as a fault of the network would, for tests of a service. The process connects again by itself.
func (p *Process) Disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		p.current.drop(errDisconnected)
	}
}

var (
	errDisconnected = errors.New("the process was told to disconnect")
	errRefreshed    = errors.New("the service has another connection")
)

// end makes the process fail what it is asked for from now on, once.
func (p *Process) end(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = why
		p.cancel()
		close(p.over)
	}
}

func (p *Process) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// connect opens a connection and sends what waits on it. It tries until ctx ends, or as often as told if it is told.
func (p *Process) connect(ctx context.Context, e endpoint, failures, attempts int) (*connection, error) {
	var last error
	for attempt := 1; ; attempt++ {
		if failures > 0 {
			if err := wait(ctx, p.config.Backoff(failures)); err != nil {
				return nil, cmp.Or(last, err)
			}
		}
		c, err := p.dial(ctx, e)
		if err == nil {
			p.adopt(c)
			return c, nil
		}
		if ctx.Err() != nil || attempts > 0 && (attempt == attempts || Refused(err)) {
			return nil, err
		}
		last = err
		p.mu.Lock()
		p.lost = err
		p.mu.Unlock()
		failures++
		p.config.Logger.Warn("cannot connect to the service; trying again", "failures", failures, "err", err)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// adopt makes a connection the one on which requests are sent, beginning with all that wait.
func (p *Process) adopt(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current, p.since, p.lost, p.silences = c, time.Now(), nil, 0
	for _, waiting := range p.waiting {
		c.outbox.put(waiting.message)
	}
}

// stayConnected replaces each connection that ends, or that the service wants replaced, until the process ends.
func (p *Process) stayConnected(e endpoint, c *connection) {
	defer close(p.done)
	failures := 0
	for {
		select {
		case <-p.over:
			p.goodbye(c)
			return
		case r := <-p.refreshes:
			if refreshed, next, err := p.refresh(r); err != nil {
				p.config.Logger.Warn("the connection was not refreshed; staying with the present one", "err", err)
			} else {
				p.adopt(next)
				c.drop(errRefreshed)
				<-c.done
				e, c = refreshed, next
			}
			continue
		case <-c.done:
		}

		p.mu.Lock()
		if p.current == c {
			p.current = nil
		}
		p.lost = c.err
		p.mu.Unlock()
		if p.accent.obeysClose && c.forGood() {
			p.end(fmt.Errorf("%w: the service closed its connection for good: %w", ErrClosed, c.err))
			return
		}
		p.config.Logger.Warn("the connection to the service was lost; connecting again", "err", c.err)
		failures++
		if c.heard {
			failures = 0
		}
		lost := time.Now()
		next, err := p.connect(p.ctx, e, failures, 0)
		if err != nil { // the process ended
			return
		}
		p.config.Logger.Info("connected to the service again", "after", time.Since(lost).Round(time.Millisecond))
		c = next
	}
}

// goodbye ends the last connection: without a word, or with a close frame and up to 5 s for the service's own.
func (p *Process) goodbye(c *connection) {
	p.mu.Lock()
	p.current = nil
	p.mu.Unlock()
	if p.accent.saysGoodbye {
		if err := c.socket.Close(websocket.StatusGoingAway, "Websocket client closing"); err != nil {
			p.config.Logger.Debug("the service did not answer the close frame", "err", err)
		}
	}
	c.drop(ErrClosed)
	<-c.done
}

// refreshConnection is the service's wish that the process connect elsewhere.
type refreshConnection struct {
	Endpoint  string `json:"RefreshConnectionEndpoint"`
	AuthToken string
}

// refresh opens a connection to where the service wants it, with one attempt.
func (p *Process) refresh(r refreshConnection) (endpoint, *connection, error) {
	e, err := newEndpoint(r.Endpoint, func(context.Context) (string, error) { return r.AuthToken, nil }, nil)
	if err != nil {
		return endpoint{}, nil, err
	}
	c, err := p.dial(p.ctx, e)
	return e, c, err
}
