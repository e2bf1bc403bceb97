package allocatortest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// group is the name under which the Sentinels know the master and its replicas.
const group = "harbour"

// Sentinel starts a master and a replica whose clock stands still, and a Sentinel that watches them. Arguments for the two
// servers may be added, as with [Redis].
func Sentinel(t testing.TB, config ...string) *Store {
	t.Helper()
	clock := newClock(t, beginning)
	config = append([]string{"--repl-timeout", strconv.Itoa(int(silence.Seconds()))}, config...)
	s := startSentinels(t, clock.env, clock.set, 1, 1, time.Hour, config...)
	followsClock(t, s.client, beginning)
	return s
}

// SentinelRealTime starts a master, two replicas and three Sentinels, whose time runs. A replica takes over within a few seconds
// when two Sentinels find the master silent for one. The master is the first of the nodes.
func SentinelRealTime(t testing.TB, config ...string) *Store {
	t.Helper()
	return startSentinels(t, nil, nil, 2, 3, time.Second, config...)
}

func startSentinels(t testing.TB, env []string, set func(time.Time), replicas, sentinels int, silence time.Duration, config ...string) *Store {
	t.Helper()
	config = append([]string{"--repl-diskless-sync", "no"}, config...)
	master := startNode(t, env, config...)
	host, port, _ := net.SplitHostPort(master.Addr)
	nodes := []*Node{master}
	for range replicas {
		nodes = append(nodes, startNode(t, env, append([]string{"--replicaof", host + " " + port}, config...)...))
	}
	for _, replica := range nodes[1:] {
		client := replica.Client()
		if !poll(30*time.Second, func() bool { return inSync(client) }) {
			t.Fatalf("the replica on %s did not get what its master has", replica.Addr)
		}
	}
	client := master.Client()
	if !poll(30*time.Second, func() bool { return serves(replicas)(client) }) {
		t.Fatalf("the master on %s does not serve its replicas", master.Addr)
	}
	s := &Store{t: t, name: "sentinel", nodes: nodes, now: beginning, set: set}
	for range sentinels {
		s.sentinels = append(s.sentinels, startSentinel(t, host, port, sentinels/2+1, silence).Addr)
	}
	if !poll(30*time.Second, func() bool { return s.sentinelsKnow(replicas, sentinels-1) }) {
		t.Fatal("the Sentinels did not get to know each other and the replicas")
	}
	s.client = s.NewClient(t)
	return s
}

// sentinelsKnow reports whether each Sentinel knows so many replicas, and so many others of its kind.
func (s *Store) sentinelsKnow(replicas, others int) bool {
	ctx := context.Background()
	for _, addr := range s.sentinels {
		client := redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
		defer client.Close()
		known, err := client.Replicas(ctx, group).Result()
		peers, failed := client.Sentinels(ctx, group).Result()
		if err != nil || failed != nil || len(known) != replicas || len(peers) != others {
			return false
		}
	}
	return true
}

func startSentinel(t testing.TB, host, port string, quorum int, silence time.Duration) *Node {
	t.Helper()
	var err error
	for range 10 {
		n := &Node{t: t, port: freePort(t), folder: t.TempDir()}
		n.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port))
		t.Cleanup(n.Kill)
		if err = n.startSentinel(host, port, quorum, silence); err == nil {
			return n
		}
	}
	t.Fatal(err)
	return nil
}

func (n *Node) startSentinel(host, port string, quorum int, silence time.Duration) error {
	file := filepath.Join(n.folder, "sentinel.conf") // a Sentinel keeps what it learns there
	config := fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nsentinel monitor %s %s %s %d\nsentinel down-after-milliseconds %[3]s %[7]d\nsentinel failover-timeout %[3]s 3000\n",
		n.port, n.folder, group, host, port, quorum, silence.Milliseconds())
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(n.folder, "sentinel.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd = exec.Command("redis-server", file, "--sentinel")
	return n.run(log, n.answers)
}
