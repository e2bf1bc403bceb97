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
	addr := startServer(t, clock.env, config...)
	s := newStore(t, "redis", []string{addr}, clock.set)
	followsClock(t, s.client, beginning)
	return s
}

// RedisRealTime starts a redis-server as [Redis] does, but leaves it the clock of the machine: its time runs, and
// [Store.Advance] fails the test.
func RedisRealTime(t testing.TB, config ...string) *Store {
	t.Helper()
	return newStore(t, "redis", []string{startServer(t, nil, config...)}, nil)
}

// followsClock fails the test if a server does not tell the time it was told, as one does that was linked statically
// or whose temporary folder forbids execution.
func followsClock(t testing.TB, server redis.Cmdable, want time.Time) {
	t.Helper()
	if now, err := server.Time(context.Background()).Result(); err != nil || !now.Equal(want) {
		t.Fatalf("the server does not follow the clock that was preloaded into it: it says %v (error: %v), not %v", now, err, want)
	}
}

// startServer starts a redis-server that ends with the test, and returns its address once it answers.
func startServer(t testing.TB, env []string, config ...string) string {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(t, "redis-server is not in the PATH: install Redis 7 or later (package redis-server on Debian and Ubuntu, redis elsewhere)")
	}
	var addr string
	err := errPortTaken
	for try := 0; errors.Is(err, errPortTaken) && try < 10; try++ {
		addr, err = startServerOn(t, freePort(t), env, config...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// errPortTaken is the error of a server whose port someone else took first.
var errPortTaken = errors.New("the port is taken")

func startServerOn(t testing.TB, port int, env []string, config ...string) (addr string, err error) {
	t.Helper()
	folder := t.TempDir()
	log, err := os.Create(filepath.Join(folder, "redis.log"))
	if err != nil {
		return "", err
	}
	defer log.Close()

	cmd := exec.Command("redis-server", append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", folder, "--save", "", "--appendonly", "no",
	}, config...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log // where it logs to, and where it complains of its arguments
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait() // ends by being killed
		close(exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() // may have exited
		<-exited
	})

	addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	up, gone := false, false
	poll(20*time.Second, func() bool {
		select {
		case <-exited:
			gone = true
		default:
			up = accepts(addr) && answers(addr, cmd.Process.Pid)
		}
		return up || gone
	})
	if up {
		return addr, nil
	}
	tail := tail(log.Name())
	if gone && strings.Contains(tail, "Address already in use") {
		return "", fmt.Errorf("%w: %s", errPortTaken, addr)
	}
	return "", fmt.Errorf("redis-server on %s did not come up; its log ends with\n%s", addr, tail)
}

func accepts(addr string) bool {
	connection, err := net.Dial("tcp", addr)
	return err == nil && connection.Close() == nil
}

// answers reports whether the server at addr is the process pid: another server may have taken the port.
func answers(addr string, pid int) bool {
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	info, err := client.Info(context.Background(), "server").Result()
	return err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", pid))
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
