package gameserver_test

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp/cmpopts"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/berthgg/berth/api/gameserver"
)

// A service plays the other side of the protocol in the memory of one test, in its time.
type service struct {
	t        *testing.T
	dialed   chan net.Conn
	closed   chan struct{}
	accepted chan *peer
	// refuses, if it says anything but 0, is the status with which the next connection is refused.
	refuses func(attempt int) int
	pinged  func() // is told of each ping
	stalled bool   // connections are taken and never read
	dials   atomic.Int64
	down    atomic.Bool // no connection is taken at all
}

// A peer is one connection, as the service sees it.
type peer struct {
	t        *testing.T
	uri      string
	query    url.Values
	socket   *websocket.Conn
	messages chan string
	ended    error // once messages is closed
}

type message = map[string]any

func newService(t *testing.T) *service {
	s := &service{t: t, dialed: make(chan net.Conn), closed: make(chan struct{}), accepted: make(chan *peer, 100)}
	server := &http.Server{Handler: s, ErrorLog: log.New(t.Output(), "", 0)}
	go server.Serve(s)
	t.Cleanup(func() { server.Close() })
	return s
}

// Accept, Close and Addr make the service a net.Listener.
func (s *service) Accept() (net.Conn, error) {
	select {
	case conn := <-s.dialed:
		return conn, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *service) Close() error   { close(s.closed); return nil }
func (s *service) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func (s *service) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.dials.Add(1)
	if s.down.Load() {
		return nil, errors.New("nobody listens")
	}
	near, far := net.Pipe()
	select {
	case s.dialed <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.refuses != nil {
		if status := s.refuses(int(s.dials.Load())); status != 0 {
			http.Error(w, "not you", status)
			return
		}
	}
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{OnPingReceived: func(context.Context, []byte) bool {
		if s.pinged != nil {
			s.pinged()
		}
		return true
	}})
	if err != nil {
		s.t.Errorf("accept: %v", err)
		return
	}
	defer socket.CloseNow()
	p := &peer{t: s.t, uri: r.RequestURI, query: r.URL.Query(), socket: socket, messages: make(chan string, 1000)}
	s.accepted <- p
	if s.stalled {
		<-s.closed
		return
	}
	for {
		_, read, err := socket.Read(context.Background())
		if err != nil {
			p.ended = err
			close(p.messages)
			return
		}
		p.messages <- string(read)
	}
}

// config is of a process that connects to the service and is silent in the log.
func (s *service) config() gameserver.Config {
	return gameserver.Config{
		URL:         "ws://service/",
		FleetID:     "fleet-1",
		ComputeName: "host-1",
		ProcessID:   "proc-1",
		AuthToken:   "tok-1",
		DialContext: s.dial,
		Logger:      slog.New(slog.NewTextHandler(s.t.Output(), nil)),
	}
}

// connect connects a process that ends with the test.
func (s *service) connect(config gameserver.Config) (*gameserver.Process, *peer) {
	s.t.Helper()
	p, err := gameserver.Connect(s.t.Context(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Close)
	return p, s.peer()
}

// peer is the next connection that was accepted.
func (s *service) peer() *peer {
	s.t.Helper()
	return next(s.t, s.accepted)
}

// next waits for a value, though not forever: heartbeats keep the clock of a test going.
func next[T any](t *testing.T, values <-chan T) T {
	t.Helper()
	select {
	case value, ok := <-values:
		if !ok {
			t.Fatal("there will be none: the connection has ended")
		}
		return value
	case <-time.After(time.Hour):
		t.Fatal("waited for an hour")
	}
	panic("unreachable")
}

// raw is the next message of the process.
func (p *peer) raw() string {
	p.t.Helper()
	return next(p.t, p.messages)
}

// request is the next message of the process, which is for an action.
func (p *peer) request(action string) message {
	p.t.Helper()
	request := decode(p.t, p.raw())
	if request["Action"] != action {
		p.t.Fatalf("got %v, want the action %s", request, action)
	}
	return request
}

// answer answers a request with 200 and further members.
func (p *peer) answer(request, members message) {
	p.t.Helper()
	answer := message{"Action": request["Action"], "RequestId": request["RequestId"], "StatusCode": 200}
	for name, value := range members {
		answer[name] = value
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(string(encoded))
}

// grants has the process call something, which sends a request for an action, and answers that with 200.
func (p *peer) grants(action string, call func() error) {
	p.t.Helper()
	done := async(call)
	p.answer(p.request(action), nil)
	succeed(p.t, done)
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := p.socket.Write(context.Background(), websocket.MessageText, []byte(text)); err != nil {
		p.t.Fatal(err)
	}
}

// end waits for the end of the connection and returns why it ended.
func (p *peer) end() error {
	p.t.Helper()
	select {
	case unexpected, ok := <-p.messages:
		if ok {
			p.t.Fatalf("the process sent %s instead of ending", unexpected)
		}
	case <-time.After(time.Hour):
		p.t.Fatal("the connection did not end in an hour")
	}
	return p.ended
}

func decode(t *testing.T, text string) message {
	t.Helper()
	var decoded message
	if err := json.Unmarshal([]byte(text), &decoded); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return decoded
}

// passTime lets the time of a test's bubble pass. It moves on by itself when all goroutines wait, so this takes no time of ours.
func passTime(d time.Duration) { time.Sleep(d) }

// async runs a call beside the test.
func async(call func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	return done
}

// succeed waits for the success of a call.
func succeed(t *testing.T, done <-chan error) {
	t.Helper()
	if err := next(t, done); err != nil {
		t.Fatal(err)
	}
}

// fails checks that a failure says something.
func fails(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it did not fail; want %q", words)
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("it failed with %q; want %q", err, words)
	}
}

func diff(want, got any) string { return gocmp.Diff(want, got, cmpopts.EquateEmpty()) }

// dropped is whether a connection ended without a close frame.
func dropped(err error) bool {
	return websocket.CloseStatus(err) < 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe))
}

func (s *service) connectDefault() (*gameserver.Process, *peer) {
	s.t.Helper()
	return s.connect(s.config())
}
