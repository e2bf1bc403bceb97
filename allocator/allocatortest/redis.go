package allocatortest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis starts a redis-server whose clock stands still. Arguments for the server may be added, names and values in
// turn, as in "--notify-keyspace-events", "Ex".
//
// It fails the test, with the end of the server's log, if the server does not come up.
func Redis(t testing.TB, config ...string) *Store {
	t.Helper()
	clock := newClock(t, beginning)
	node := startNode(t, clock.env, config...)
	s := newStore(t, "redis", []*Node{node}, clock.set)
	followsClock(t, s.client, beginning)
	return s
}

// RedisRealTime starts a redis-server as [Redis] does, but leaves it the clock of the machine: its time runs, and
// [Store.Advance] fails the test.
func RedisRealTime(t testing.TB, config ...string) *Store {
	t.Helper()
	return newStore(t, "redis", []*Node{startNode(t, nil, config...)}, nil)
}

// followsClock fails the test if a server does not tell the time it was told, as one does that was linked statically
// or whose temporary folder forbids execution.
func followsClock(t testing.TB, server redis.Cmdable, want time.Time) {
	t.Helper()
	if now, err := server.Time(context.Background()).Result(); err != nil || !now.Equal(want) {
		t.Fatalf("the server does not follow the clock that was preloaded into it: it says %v (error: %v), not %v", now, err, want)
	}
}

// Node is a redis-server that runs until the end of its test, and that the test may hurt. Its methods are for one
// goroutine at a time.
type Node struct {
	Addr string // host:port

	t      testing.TB
	folder string // where it keeps its data
	port   int
	env    []string
	config []string
	cmd    *exec.Cmd
	exited chan struct{}
}

// startNode starts a redis-server that ends with the test, and returns it once it answers.
func startNode(t testing.TB, env []string, config ...string) *Node {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		Missing(t, "redis-server is not in the PATH: install Redis 7 or later (package redis-server on Debian and Ubuntu, redis elsewhere)")
	}
	var node *Node
	err := errPortTaken
	for try := 0; errors.Is(err, errPortTaken) && try < 10; try++ {
		node, err = startNodeOn(t, freePort(t), env, config...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// errPortTaken is the error of a server whose port someone else took first.
var errPortTaken = errors.New("the port is taken")

func startNodeOn(t testing.TB, port int, env []string, config ...string) (*Node, error) {
	t.Helper()
	n := &Node{t: t, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), folder: t.TempDir(), port: port, env: env, config: config}
	t.Cleanup(n.Kill)
	return n, n.start()
}

// start starts the server and waits until it answers.
func (n *Node) start() error {
	log, err := os.OpenFile(filepath.Join(n.folder, "redis.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd = exec.Command("redis-server", append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(n.port), "--dir", n.folder, "--save", "", "--appendonly", "no",
	}, n.config...)...)
	n.cmd.Env = append(os.Environ(), n.env...)
	return n.run(log, n.answers)
}

// run starts n.cmd, whose output goes to a log, and waits until up says that it serves.
func (n *Node) run(log *os.File, up func() bool) error {
	n.cmd.Stdout, n.cmd.Stderr = log, log // where it logs to, and where it complains of its arguments
	dieWithUs(n.cmd)
	if err := n.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	n.exited = exited
	go func(cmd *exec.Cmd) {
		cmd.Wait() // ends by being killed
		close(exited)
	}(n.cmd)
	serves, gone := false, false
	poll(20*time.Second, func() bool {
		select {
		case <-exited:
			gone = true
		default:
			serves = accepts(n.Addr) && up()
		}
		return serves || gone
	})
	if serves {
		return nil
	}
	tail := tail(log.Name())
	if gone && strings.Contains(tail, "Address already in use") {
		return fmt.Errorf("%w: %s", errPortTaken, n.Addr)
	}
	return fmt.Errorf("redis-server on %s did not come up; its log ends with\n%s", n.Addr, tail)
}

// Kill ends the server at once, as a crash does. Connections to it break.
func (n *Node) Kill() {
	if n.exited == nil {
		return
	}
	n.cmd.Process.Kill() // may have exited
	<-n.exited
}

// Restart starts the server again after [Node.Kill], at the same address, with the data that it had saved. It fails the test if
// the server does not come up.
func (n *Node) Restart() {
	n.t.Helper()
	var err error
	for range 10 { // somebody else may have the port for a moment
		if err = n.start(); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// Freeze stops the server in its tracks: connections stay and nothing is answered, until [Node.Thaw].
func (n *Node) Freeze() { n.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (n *Node) Thaw() { n.signal(syscall.SIGCONT) }

func (n *Node) signal(signal os.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(signal); err != nil {
		n.t.Fatalf("send %v to the server on %s: %v", signal, n.Addr, err)
	}
}

// AwaitMaster waits until a replica has become a master, and fails the test if it does not.
func (n *Node) AwaitMaster() {
	n.t.Helper()
	client := n.Client()
	Eventually(n.t, time.Minute, func() bool {
		info, err := client.Info(context.Background(), "replication").Result()
		return err == nil && strings.Contains(info, "role:master")
	}, n.Addr+" is a master")
}

// LimitFiles keeps the server from writing beyond so many bytes of any file, as a full disk does; a negative number lifts the
// limit. A server writes its log to a file, too, and does without it.
func (n *Node) LimitFiles(bytes int64) {
	n.t.Helper()
	if err := limitFiles(n.cmd.Process.Pid, bytes); err != nil {
		n.t.Fatalf("limit the files of the server on %s: %v", n.Addr, err)
	}
}

// Client returns a client of this server alone, which does not try twice. It is closed at the end of the test.
func (n *Node) Client() *redis.Client {
	client := redis.NewClient(&redis.Options{Addr: n.Addr, MaxRetries: -1, DialerRetries: 1})
	n.t.Cleanup(func() { client.Close() })
	return client
}

func accepts(addr string) bool {
	connection, err := net.Dial("tcp", addr)
	return err == nil && connection.Close() == nil
}

// answers reports whether the server at the address is this one: another may have taken the port.
func (n *Node) answers() bool {
	client := redis.NewClient(&redis.Options{Addr: n.Addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	info, err := client.Info(context.Background(), "server").Result()
	return err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", n.cmd.Process.Pid))
}

// tail returns the last lines of a log.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// busOffset is how far above its port a cluster node listens for the other nodes.
const busOffset = 10_000

// freePort returns a port that nobody listens on, neither on the port of its cluster bus. Both are below the range from
// which Linux serves outgoing connections (32768 and up), so only another server can take one in the meantime.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := busOffset + rand.IntN(32768-2*busOffset)
		if free(port) && free(port+busOffset) {
			return port
		}
	}
	t.Fatal("found no free port for a redis-server")
	return 0
}

func free(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
