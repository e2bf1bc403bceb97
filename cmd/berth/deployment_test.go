package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// deployment is a way to run the service. start runs its instances until the end of the test.
type deployment struct {
	name  string
	start func(t *testing.T, flags ...string) []*process
}

var (
	embeddedDeployment = deployment{"embedded", func(t *testing.T, flags ...string) []*process {
		return []*process{serve(t, flags...)}
	}}
	redisDeployment = deployment{"two instances on one Redis", func(t *testing.T, flags ...string) []*process {
		return serveTwice(t, allocatortest.RedisRealTime(t).URL(), flags...)
	}}
	clusterDeployment = deployment{"two instances on a Redis Cluster", func(t *testing.T, flags ...string) []*process {
		return serveTwice(t, allocatortest.Cluster(t).URL(), flags...)
	}}
	sentinelDeployment = deployment{"two instances behind Sentinel", func(t *testing.T, flags ...string) []*process {
		return serveTwice(t, startSentinel(t, allocatortest.RedisRealTime(t)), flags...)
	}}
)

func serveTwice(t *testing.T, url string, flags ...string) []*process {
	t.Helper()
	flags = append([]string{"--redis", url, "--auto-activate"}, flags...)
	return []*process{serve(t, flags...), serve(t, flags...)}
}

// eachDeployment runs f on each, with an endpoint at which the instances take turns.
func eachDeployment(t *testing.T, deployments []deployment, f func(t *testing.T, instances []*process)) {
	t.Helper()
	for _, d := range deployments {
		t.Run(d.name, func(t *testing.T) { f(t, d.start(t)) })
	}
}

// startSentinel starts a Sentinel that watches a Redis under the name "harbour", and returns the URL for --redis.
func startSentinel(t *testing.T, watched *allocatortest.Store) (url string) {
	t.Helper()
	options, err := redis.ParseURL(watched.URL())
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(options.Addr)
	for range 10 { // another program may take the port first
		addr, err := startSentinelOn(t, freeAddr(t), fmt.Sprintf("sentinel monitor harbour %s %s 1\n", host, port))
		if err == nil {
			return "redis-sentinel://" + addr + "?master_name=harbour"
		}
		t.Log(err)
	}
	t.Fatal("no Sentinel came up")
	return ""
}

func startSentinelOn(t *testing.T, addr, config string) (string, error) {
	t.Helper()
	_, port, _ := net.SplitHostPort(addr)
	folder := t.TempDir()
	file := filepath.Join(folder, "sentinel.conf")
	config = fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\n%s", port, folder, config)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return "", err
	}
	var log transcript
	cmd := exec.Command("redis-server", file, "--sentinel")
	cmd.Stdout, cmd.Stderr = &log, &log
	dieWithUs(cmd)
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	client := redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	defer client.Close()
	up, gone := false, false
	allocatortest.Eventually(t, 30*time.Second, func() bool {
		select {
		case <-ended:
			gone = true
		default:
			known, err := client.GetMasterAddrByName(context.Background(), "harbour").Result()
			up = err == nil && len(known) == 2
		}
		return up || gone
	}, "the Sentinel answers")
	if gone {
		return "", errors.New("the Sentinel ended: " + log.String())
	}
	return addr, nil
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// network is what lies between clients and the instances, who take turns. It can lose replies.
type network struct {
	instances []*process
	// lose says of the request whether its reply gets lost, when it is sent for the first time. It may be nil.
	lose func(body []byte) bool

	mu       sync.Mutex
	requests int
	sent     map[string]int // by invocation id
	lost     int
}

// connect returns the endpoint at which clients reach the instances.
func (n *network) connect(t *testing.T) (url string) {
	t.Helper()
	n.sent = make(map[string]int)
	server := httptest.NewServer(n)
	t.Cleanup(server.Close)
	return server.URL
}

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	n.mu.Lock()
	to := n.instances[n.requests%len(n.instances)]
	n.requests++
	id := r.Header.Get("amz-sdk-invocation-id")
	n.sent[id]++
	lose := n.lose != nil && id != "" && n.sent[id] == 1 && n.lose(body)
	if lose {
		n.lost++
	}
	n.mu.Unlock()

	forwarded, err := http.NewRequestWithContext(r.Context(), r.Method, to.url()+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	forwarded.Header = r.Header.Clone()
	reply, err := client.Do(forwarded)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer reply.Body.Close()
	if lose {
		reset(w)
		return
	}
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(reply.StatusCode)
	io.Copy(w, reply.Body)
}

// reset breaks the connection of a request.
func reset(w http.ResponseWriter) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	connection.(*net.TCPConn).SetLinger(0)
	connection.Close()
}

// losses returns how many replies were lost.
func (n *network) losses() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost
}

// has is a rule for which replies get lost.
func has(text string) func(body []byte) bool {
	return func(body []byte) bool { return strings.Contains(string(body), text) }
}
