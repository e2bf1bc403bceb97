package gameserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/coder/websocket"
)

// maxMessage is how long a message of the service may be, in bytes: a page of player sessions with all their data fits well.
const maxMessage = 16 << 20

// A connection is one WebSocket of a process. It ends as a whole: done is closed when nothing of it is left.
type connection struct {
	socket *websocket.Conn
	outbox *queue[[]byte]
	ctx    context.Context // ends the socket without a close frame
	drop   context.CancelCauseFunc
	done   chan struct{}
	// Why it ended, and whether the service said anything before; to be read after done.
	err   error
	heard bool
}

// dial opens a connection. A service that refuses it makes it fail with an [*Error].
func (p *Process) dial(ctx context.Context, e endpoint) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.RequestTimeout)
	defer cancel()
	address, err := p.config.address(ctx, e)
	if err != nil {
		return nil, err
	}
	socket, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPClient: p.http})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			defer response.Body.Close()
			said, _ := io.ReadAll(response.Body) // its first KiB
			message := strings.TrimSpace(string(said))
			if message == "" {
				message = http.StatusText(response.StatusCode)
			}
			return nil, &Error{Action: "Connect", StatusCode: response.StatusCode, Message: message}
		}
		if withAddress := (*url.Error)(nil); errors.As(err, &withAddress) {
			err = withAddress.Err // the address holds the auth token
		}
		return nil, fmt.Errorf("cannot connect to %s: %w", e.base.Host, err)
	}
	socket.SetReadLimit(maxMessage)

	c := &connection{socket: socket, outbox: newQueue[[]byte](), done: make(chan struct{})}
	c.ctx, c.drop = context.WithCancelCause(context.Background())
	go p.serve(c)
	return c, nil
}

// serve reads and writes until either fails.
func (p *Process) serve(c *connection) {
	defer close(c.done)
	var writing sync.WaitGroup
	writing.Go(func() { c.drop(p.write(c)) })
	err := p.read(c)
	c.drop(err)
	writing.Wait()
	_ = c.socket.CloseNow() // it is closed already, but for what it holds
	c.err = context.Cause(c.ctx)
	if websocket.CloseStatus(err) >= 0 { // what the service said, even if the writer found out first
		c.err = err
	}
}

func (p *Process) read(c *connection) error {
	for {
		kind, message, err := c.socket.Read(c.ctx)
		if err != nil {
			return err
		}
		c.heard = true
		p.trace(Received, message)
		if kind != websocket.MessageText {
			p.config.Logger.Warn("the service sent a binary message; it is passed over")
			continue
		}
		p.receive(message)
	}
}

func (p *Process) write(c *connection) error {
	for {
		message, ok := c.outbox.take(c.ctx)
		if !ok {
			return context.Cause(c.ctx)
		}
		if err := p.send(c, message); err != nil {
			return err
		}
	}
}

func (p *Process) send(c *connection, message []byte) error {
	ctx, cancel := context.WithTimeout(c.ctx, p.config.RequestTimeout)
	defer cancel()
	if p.accent.pingsBeforeSend {
		if err := c.socket.Ping(ctx); err != nil {
			return err
		}
	}
	p.trace(Sent, message)
	return c.socket.Write(ctx, websocket.MessageText, message)
}

func (p *Process) trace(direction Direction, message []byte) {
	if p.config.Trace == nil {
		return
	}
	p.tracing.Lock()
	defer p.tracing.Unlock()
	p.config.Trace(direction, message)
}

// forGood is whether the service ended the connection in the way after which some dialects never return.
func (c *connection) forGood() bool {
	status := websocket.CloseStatus(c.err)
	return status == websocket.StatusNormalClosure || status == websocket.StatusGoingAway
}
