// Package allocatortest starts the Redis deployments that tests run against, and moves their clocks.
//
// A test asks for the kind of deployment it wants, or runs once on each kind:
//
//	func TestReservationExpires(t *testing.T) {
//		allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
//			a := allocator.New(store.Client())
//			// reserve a slot
//			store.Advance(time.Minute)
//			// the slot is free again
//		})
//	}
//
// # Time
//
// The clock of a [Store] stands still until [Store.Advance] moves it, so a test waits for nothing and sees the same times
// in every run. Every such clock begins at 1234567890.123 seconds after the Unix epoch, years away from the clock of the
// machine: code that asks the wrong one is found out. Only the wall clock is held. The timers of a real server run on,
// so it removes the keys that have expired, and publishes their events, within a fraction of a second of real time.
// Whatever a server measures by the wall clock, such as the timeout of BLPOP, lasts until Advance has passed it.
// [RedisRealTime], [ClusterRealTime] and [SentinelRealTime] start servers whose time runs, as it must where servers are to notice
// that another is gone. The servers of a store are its [Store.Nodes]: a test may kill, freeze and restart them.
//
// # What a machine needs
//
// Miniredis runs anywhere. Stores whose time runs need redis-server; [Redis], [Cluster] and [Sentinel] need redis-server, a C compiler and
// Linux, because a small library of ours is preloaded into the server and tells it the time. A test whose machine lacks
// one of these is skipped with the reason, but fails where the environment variable CI is "true", since there a test
// that did not run would go unnoticed.
package allocatortest

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// beginning is where every clock that stands still begins: 1234567890123 milliseconds, so that neither a lost fraction
// nor the clock of the machine goes unnoticed.
var beginning = time.UnixMilli(1_234_567_890_123).UTC()

// Store is a Redis deployment that a test has to itself: empty at the start, gone at the end of the test.
//
// Its methods may be called by several goroutines at once.
type Store struct {
	t         testing.TB
	name      string
	nodes     []*Node
	sentinels []string // their addresses, if there are any
	client    redis.UniversalClient

	mu  sync.Mutex
	now time.Time
	set func(time.Time) // makes every server of the store tell this time; nil where time runs
}

func newStore(t testing.TB, name string, nodes []*Node, set func(time.Time)) *Store {
	s := &Store{t: t, name: name, nodes: nodes, now: beginning, set: set}
	s.client = s.NewClient(t)
	return s
}

// Name says which kind of deployment it is, for the names of subtests: "miniredis", "redis", "cluster" or "sentinel".
func (s *Store) Name() string { return s.name }

// Client returns the client that comes with the store, always the same one. It is closed at the end of the store's test.
func (s *Store) Client() redis.UniversalClient { return s.client }

// Nodes returns the servers of the store, to be hurt or asked one by one. Miniredis has one that cannot be hurt.
func (s *Store) Nodes() []*Node { return s.nodes }

func (s *Store) addrs() []string {
	addrs := make([]string, len(s.nodes))
	for i, node := range s.nodes {
		addrs[i] = node.Addr
	}
	return addrs
}

// NewClient returns another client with connections of its own, as another instance of a program would have. It is
// closed at the end of t.
func (s *Store) NewClient(t testing.TB) redis.UniversalClient {
	var client redis.UniversalClient
	switch {
	case len(s.sentinels) > 0:
		client = redis.NewFailoverClient(&redis.FailoverOptions{MasterName: group, SentinelAddrs: s.sentinels})
	case len(s.nodes) > 1:
		client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: s.addrs()})
	default:
		client = redis.NewClient(&redis.Options{Addr: s.nodes[0].Addr})
	}
	t.Cleanup(func() { client.Close() }) // a test may have closed it
	return client
}

// URL is where a program finds the store: redis://host:port/0 for one server; redis-cluster://host:port?addr=host:port&addr=host:port,
// which names every node, for a cluster; redis-sentinel://host:port?master_name=name&addr=host:port for a Sentinel group, which
// names every Sentinel. [redis.ParseURL] reads the first; [redis.ParseClusterURL] and [redis.ParseFailoverURL] read the others
// once their scheme is redis.
func (s *Store) URL() string {
	switch {
	case len(s.sentinels) > 0:
		return "redis-sentinel://" + s.sentinels[0] + "?master_name=" + group + addrParameters(s.sentinels[1:])
	case len(s.nodes) > 1:
		return "redis-cluster://" + s.nodes[0].Addr + "?" + strings.TrimPrefix(addrParameters(s.addrs()[1:]), "&")
	}
	return "redis://" + s.nodes[0].Addr + "/0"
}

func addrParameters(addrs []string) string {
	var text strings.Builder
	for _, addr := range addrs {
		text.WriteString("&addr=" + addr)
	}
	return text.String()
}

// Frozen reports whether the store's clock stands still.
func (s *Store) Frozen() bool { return s.set != nil }

// Now is the time by the store's clock, in UTC. Where time runs it asks the server, and fails the test if there is no
// answer.
func (s *Store) Now() time.Time {
	s.t.Helper()
	if s.set != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.now
	}
	now, err := s.client.Time(context.Background()).Result()
	if err != nil {
		s.t.Fatalf("ask the store for the time: %v", err)
	}
	return now.UTC()
}

// Advance moves the store's clock forward by exactly d, on all its servers. Any command sent afterwards sees the new
// time, and none of the keys whose time to live has run out before it. (At the very millisecond of a key's deadline,
// miniredis has dropped the key and a real server still has it.)
//
// It fails the test if d is negative or not of whole milliseconds, to which Redis keeps time, and if the store's time
// runs by itself.
func (s *Store) Advance(d time.Duration) {
	s.t.Helper()
	switch {
	case d < 0 || d%time.Millisecond != 0:
		s.t.Fatalf("a store's clock moves forward by whole milliseconds, not by %v", d)
	case s.set == nil:
		s.t.Fatalf("the clock of a store that runs in real time cannot be moved")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
	s.set(s.now)
}

// EachTopology runs f as a subtest on a store of every kind whose clock stands still: those of [Each], and sentinel.
func EachTopology(t *testing.T, f func(t *testing.T, s *Store)) {
	t.Helper()
	Each(t, f)
	t.Run("sentinel", func(t *testing.T) { f(t, Sentinel(t)) })
}

// Each runs f as a subtest on miniredis, redis and cluster, whose clocks stand still. To a client a Sentinel group is a single
// Redis once it is connected, so that few tests learn more from [EachTopology].
func Each(t *testing.T, f func(t *testing.T, s *Store)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) { f(t, Miniredis(t)) })
	t.Run("redis", func(t *testing.T) { f(t, Redis(t)) })
	t.Run("cluster", func(t *testing.T) { f(t, Cluster(t)) })
}

// Miniredis starts an in-process imitation of one Redis server, whose clock stands still. It is the quickest store; it
// publishes no keyspace notifications.
func Miniredis(t testing.TB) *Store {
	t.Helper()
	server := miniredis.RunT(t)
	server.SetTime(beginning)
	server.ClockTTL(true)
	return newStore(t, "miniredis", []*Node{{Addr: server.Addr(), t: t}}, server.SetTime)
}

// Eventually waits until condition holds, for the few effects that come on their own time. It asks at once and then
// every few milliseconds, on the goroutine of the caller, and ends the test with message if the condition does not hold
// within that much real time. Be generous: only a failing test waits that long.
func Eventually(t testing.TB, within time.Duration, condition func() bool, message string) {
	t.Helper()
	if !poll(within, condition) {
		t.Fatalf("not within %v: %s", within, message)
	}
}

// poll reports whether condition came to hold in time. A condition that takes long is asked at least twice, so that a
// machine that stalls does not decide it.
func poll(within time.Duration, condition func() bool) bool {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(within)
	for !condition() {
		if time.Now().After(deadline) {
			return condition()
		}
		<-ticker.C
	}
	return true
}

// Missing ends a test that needs something this machine does not have, which what names with how to get it: as skipped, so that the
// tests pass with Go alone, or as failed where the environment variable CI is "true", since there a test that did not run would
// go unnoticed.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}
