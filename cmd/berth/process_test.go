package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// TestMain puts programs in the PATH, for tests and scripts to run: this test binary, which is main by the name of "berth", and what the
// demo needs of netcat by that of "nc", since there are many that differ.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"berth": main, "nc": netcat})
}

// netcat connects to a host and port, sends its standard input and writes what it receives until it has received all.
func netcat() {
	conn, err := net.Dial("tcp", net.JoinHostPort(os.Args[1], os.Args[2]))
	if err != nil {
		fmt.Fprintln(os.Stderr, "nc:", err)
		os.Exit(1)
	}
	go io.Copy(conn, os.Stdin)
	io.Copy(os.Stdout, conn)
}

// process is a running berth serve.
type process struct {
	*exec.Cmd
	addr           string
	tls            bool
	stdout, stderr transcript
	told           bool // to stop
	ended          chan struct{}
	err            error // how it ended
}

// transcript is what a process has written so far.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *transcript) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// serve runs berth serve with further arguments, until the end of the test: on a free port, and patient with a store that shares its machine
// with other tests, unless they say otherwise. At the end it must stop in good order when it is told to.
func serve(t testing.TB, args ...string) *process {
	t.Helper()
	return serveWith(t, nil, args...)
}

// serveWith is serve with variables in the environment.
func serveWith(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	if !strings.Contains(strings.Join(args, " "), "--addr") {
		args = append([]string{"--addr", "127.0.0.1:0"}, args...)
	}
	if !strings.Contains(strings.Join(args, " "), "--redis-timeout") {
		args = append([]string{"--redis-timeout", patience.String()}, args...)
	}
	p := &process{Cmd: exec.Command("berth", append([]string{"serve"}, args...)...), ended: make(chan struct{})}
	p.Env = append(environment(), env...)
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	dieWithUs(p.Cmd)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		switch {
		case p.running():
			if err := p.stop(); err != nil {
				t.Errorf("berth serve ended with %v; it wrote\n%s", err, &p.stderr)
			}
		case !p.told:
			t.Errorf("berth serve ended by itself, with %v; it wrote\n%s", p.err, &p.stderr)
		}
		if wrote := p.stderr.String(); strings.Contains(wrote, "panic: ") { // after which it goes on
			t.Errorf("berth serve wrote\n%s", wrote)
		}
	})
	allocatortest.Eventually(t, 30*time.Second, func() bool {
		if found := serving.FindStringSubmatch(p.stderr.String()); found != nil {
			p.addr, p.tls = found[1], found[2] == "true"
		}
		return p.addr != "" || !p.running()
	}, "berth serve says where it listens")
	if p.addr == "" {
		t.Fatalf("berth serve ended with %v; it wrote\n%s", p.err, &p.stderr)
	}
	if slices.Contains(args, "--demo") || slices.Contains(args, "--demo-server") || slices.Contains(env, "BERTH_DEMO=true") && !slices.Contains(args, "--no-demo") {
		allocatortest.Eventually(t, 30*time.Second, func() bool {
			return strings.HasSuffix(p.stdout.String(), "Stop with Ctrl-C.\n")
		}, "the demo prints its commands to the end")
	}
	return p
}

var serving = regexp.MustCompile(`msg=serving addr=(\S+) tls=(\w+)`)

// quickEnd keeps programs that were built with the race detector from waiting for a second at their end.
const quickEnd = "GORACE=atexit_sleep_ms=0"

// environment is that of the tests, without settings of Berth and of AWS clients that whoever runs the tests may have.
func environment() []string {
	env := []string{quickEnd}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "BERTH_") && !strings.HasPrefix(variable, "AWS_") {
			env = append(env, variable)
		}
	}
	return env
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal tells the process to stop. It may have ended.
func (p *process) signal(signal os.Signal) {
	p.told = true
	p.Process.Signal(signal)
}

// stop tells the process to stop, and returns how it ended.
func (p *process) stop() error {
	p.signal(syscall.SIGTERM)
	return p.end()
}

// end waits for the end of the process, but not for ever.
func (p *process) end() error {
	select {
	case <-p.ended:
		return p.err
	case <-time.After(time.Minute):
		p.Process.Kill()
		<-p.ended
		return errors.New("it did not stop within a minute")
	}
}

// url is where clients find the service.
func (p *process) url() string {
	if p.tls {
		return "https://" + p.addr
	}
	return "http://" + p.addr
}

// call calls an operation that needs no SDK to be called, and returns the status and the body of the reply.
func (p *process) call(operation, input string) (status int, body string, err error) {
	request, err := http.NewRequest(http.MethodPost, p.url(), strings.NewReader(input))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "GameLift."+operation)
	return do(request)
}

// accept and remove are what a game server does.
func (p *process) accept(t testing.TB, game, player string) {
	t.Helper()
	p.mustCall(t, "AcceptPlayerSession", fmt.Sprintf(`{"GameSessionId": %q, "PlayerSessionId": %q}`, game, player))
}

func (p *process) remove(t testing.TB, game, player string) {
	t.Helper()
	p.mustCall(t, "RemovePlayerSession", fmt.Sprintf(`{"GameSessionId": %q, "PlayerSessionId": %q}`, game, player))
}

func (p *process) mustCall(t testing.TB, operation, input string) (body string) {
	t.Helper()
	status, body, err := p.call(operation, input)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s: %d %s (error: %v)", operation, status, body, err)
	}
	return body
}

// clients are how many clients a test may have at once.
const clients = 64

// client trusts whatever certificate it is shown.
var client = &http.Client{
	Transport: &http.Transport{MaxIdleConnsPerHost: clients, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	Timeout:   time.Minute,
}

// do sends a request and reads the reply.
func do(request *http.Request) (status int, body string, err error) {
	reply, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	return reply.StatusCode, string(text), err
}

// command runs berth to its end, and returns what it wrote.
func command(t testing.TB, args ...string) (wrote string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "berth", args...)
	cmd.Env = environment()
	text, err := cmd.CombinedOutput()
	return string(text), err
}
