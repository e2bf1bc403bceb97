package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// pending is a request in flight: the service reads its body, which has not been sent.
type pending struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
	body string
}

func begin(t *testing.T, p *process) *pending {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	r := &pending{t, conn, bufio.NewReader(conn), `{"PlayerId": "alice"}`}
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-amz-json-1.1\r\n"+
		"X-Amz-Target: GameLift.DescribePlayerSessions\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", p.addr, len(r.body))
	if reply, err := http.ReadResponse(r.from, nil); err != nil || reply.StatusCode != http.StatusContinue {
		t.Fatalf("the service does not ask for the body: %v (error: %v)", reply, err)
	}
	return r
}

// finish sends the body and returns the reply.
func (r *pending) finish() (status int, body string) {
	r.t.Helper()
	io.WriteString(r.conn, r.body)
	reply, err := http.ReadResponse(r.from, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

func refusesConnections(p *process) bool {
	conn, err := net.Dial("tcp", p.addr)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func TestRequestInFlightIsFinishedBeforeTheEnd(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := serve(t)
		request := begin(t, p)
		p.signal(signal)
		allocatortest.Eventually(t, 20*time.Second, func() bool { return refusesConnections(p) }, "the service takes no more connections")
		if !p.running() {
			t.Fatalf("after %v the service ended with a request in flight:\n%s", signal, &p.stderr)
		}
		if status, body := request.finish(); status != http.StatusOK || body != `{"PlayerSessions":[]}` {
			t.Errorf("the request in flight was answered with %d %s", status, body)
		}
		if err := p.end(); err != nil {
			t.Errorf("after %v the service ended with %v", signal, err)
		}
		if wrote := p.stderr.String(); !strings.Contains(wrote, "requests in flight are finished first") || !strings.HasSuffix(wrote, "msg=stopped\n") {
			t.Errorf("it wrote\n%s", wrote)
		}
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := serve(t)
	begin(t, p)
	p.signal(syscall.SIGTERM)
	allocatortest.Eventually(t, 20*time.Second, func() bool { return refusesConnections(p) }, "the service takes no more connections")
	allocatortest.Eventually(t, 20*time.Second, func() bool {
		p.signal(syscall.SIGTERM)
		return !p.running()
	}, "the service ends, although a request is in flight")
	var exit *exec.ExitError
	if !errors.As(p.end(), &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, want by the signal", p.end())
	}
}

func TestSignalDuringTheDemoEndsInGoodOrder(t *testing.T) {
	for _, flag := range []string{"--demo=true", "--demo-server=true"} { // written like this, serve does not wait for what it prints
		p := serve(t, flag)
		if err := p.stop(); err != nil || strings.Contains(p.stderr.String(), "level=ERROR") {
			t.Errorf("with %s the service ended with %v:\n%s", flag, err, &p.stderr)
		}
	}
}

func TestServiceGoesOnServingForTheDrainDelayAndIsNotReady(t *testing.T) {
	p := serve(t, "--drain-delay=1h")
	p.signal(syscall.SIGTERM)
	allocatortest.Eventually(t, 20*time.Second, func() bool {
		wrote, err := command(t, "ready", "--addr", p.addr)
		return err != nil && strings.Contains(wrote, "503 Service Unavailable: not ready: shutting down")
	}, "the service is not ready")
	p.mustCall(t, "DescribePlayerSessions", `{"PlayerId": "alice"}`)
	if !p.running() {
		t.Errorf("the service ended with %v", p.end())
	}
	allocatortest.Eventually(t, 20*time.Second, func() bool {
		p.signal(syscall.SIGTERM)
		return !p.running()
	}, "a second signal ends the delay")
}

func TestServiceEndsInGoodOrderAfterTheDrainDelay(t *testing.T) {
	p := serve(t, "--drain-delay=50ms")
	if err := p.stop(); err != nil || !strings.Contains(p.stderr.String(), "drain_delay=50ms") {
		t.Errorf("the service ended with %v:\n%s", err, &p.stderr)
	}
}
