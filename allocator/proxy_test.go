package allocator_test

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// go-redis logs each connection that it cannot make, and behind a proxy that vanished it can make none.
func init() { redis.SetLogger(silence{}) }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// proxy stands between a client and its server. When told to, it passes the next script call on, waits until the server has
// answered, and breaks the connection instead of handing the answer over; or it breaks it in the middle of an answer.
type proxy struct {
	listener net.Listener
	server   string

	mu       sync.Mutex
	armed    func() // done when the next answer is lost; nil: no answer is
	lost     int    // answers
	refs     int    // answers break off once, before the so manieth ref in them; 0: never
	vanished bool
	open     []net.Conn
}

func newProxy(t *testing.T, store *allocatortest.Store) *proxy {
	t.Helper()
	server, err := url.Parse(store.URL())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: server.Host}
	t.Cleanup(p.vanish)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.serve(client)
		}
	}()
	return p
}

// client returns a client that goes through the proxy. It keeps no connection for a second command.
func (p *proxy) client(t *testing.T, maxRetries int) *redis.Client {
	client := redis.NewClient(&redis.Options{
		Addr: p.listener.Addr().String(), MaxRetries: maxRetries, DialerRetries: 1, ConnMaxLifetime: 1,
	})
	t.Cleanup(func() { client.Close() })
	return client
}

// loseAnswer arms the proxy. What is to happen along with the loss happens before the client sees it.
func (p *proxy) loseAnswer(along func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = along
}

func (p *proxy) answersLost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// breakOff makes the answers break off once, before the n-th ref that is in them from now on.
func (p *proxy) breakOff(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refs = n
}

// hasBrokenOff tells whether an answer has.
func (p *proxy) hasBrokenOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refs == 0
}

// intact is what is handed over of an answer.
func (p *proxy) intact(answer []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	ref := []byte("\r\n$22\r\n") // a header, and the text of a ref behind it
	for at := 0; p.refs > 0; at += len(ref) {
		next := bytes.Index(answer[at:], ref)
		if next < 0 {
			break
		}
		at += next
		if p.refs--; p.refs == 0 {
			return answer[:at+len(ref)]
		}
	}
	return answer
}

// vanish closes the port of the proxy and all its connections.
func (p *proxy) vanish() {
	p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vanished = true
	for _, connection := range p.open {
		connection.Close()
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || p.vanished {
		client.Close()
		return
	}
	p.open = append(p.open, client, server)
	var doomed atomic.Pointer[func()] // set while the answer that is to be lost is awaited
	go pass(client, server, func(request []byte) []byte {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.armed != nil && bytes.Contains(request, []byte("evalsha")) {
			along := p.armed
			doomed.Store(&along)
			p.armed = nil
			p.lost++
		}
		return request
	})
	go pass(server, client, func(answer []byte) []byte {
		if along := doomed.Load(); along != nil {
			(*along)()
			return nil
		}
		return p.intact(answer)
	})
}

// pass passes on of what one side says what is allowed, until it ends or something was not. Then it closes both.
func pass(from, to net.Conn, allowed func([]byte) []byte) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		passed := allowed(buffer[:n])
		if _, err := to.Write(passed); err != nil || len(passed) < n {
			return
		}
	}
}
