package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

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
		return serveTwice(t, allocatortest.ClusterRealTime(t).URL(), flags...)
	}}
	sentinelDeployment = deployment{"two instances behind Sentinel", func(t *testing.T, flags ...string) []*process {
		return serveTwice(t, allocatortest.SentinelRealTime(t).URL(), flags...)
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
