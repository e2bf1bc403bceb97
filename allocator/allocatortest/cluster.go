package allocatortest

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	masters   = 3
	slotCount = 16_384
)

// silence is how long a node may be silent before the others count it as failed. They judge by the clock that tests
// move, by which a leap of two days is two days without an answer, so it is longer than any leap.
const silence = 20 * 365 * 24 * time.Hour

// Cluster starts three masters, which share all slots between them and one clock, which stands still. Arguments for
// the servers may be added, as with [Redis]. The cluster withstands leaps of its clock of up to twenty years.
//
// It fails the test, with the end of a server's log, if a server does not come up, and if the cluster does not serve
// within half a minute.
func Cluster(t testing.TB, config ...string) *Store {
	t.Helper()
	// The clock starts early, since time must pass while the cluster forms, to stand at the beginning when it serves.
	const leap = silence/2 + time.Hour
	now := beginning.Add(-leap - 24*time.Hour)
	clock := newClock(t, now)
	nodes := startCluster(t, clock.env, masters, silence, config...)
	for _, node := range nodes {
		followsClock(t, node.client, now)
	}

	formed := join(t, nodes)
	// A node pings those it has not heard for half of the silence it allows: after a leap, all the others at once. That
	// tells it of their slots, which could take seconds of real time otherwise. Then it holds back from serving for some
	// seconds by the clock.
	now = now.Add(leap)
	formed = formed && poll(30*time.Second, func() bool {
		now = now.Add(time.Second)
		clock.set(now)
		return all(nodes, serving)
	})
	if !formed {
		didNotForm(t, nodes[0])
	}
	clock.set(beginning)
	return newStore(t, "cluster", nodesOf(nodes), clock.set)
}

// MastersRealTime starts three masters without replicas, whose time runs.
func MastersRealTime(t testing.TB, config ...string) *Store {
	t.Helper()
	nodes := startCluster(t, nil, masters, time.Second, config...)
	if !join(t, nodes) || !poll(30*time.Second, func() bool { return all(nodes, serving) }) {
		didNotForm(t, nodes[0])
	}
	return newStore(t, "cluster", nodesOf(nodes), nil)
}

// ClusterRealTime starts three masters with a replica each, whose time runs. A replica takes over within a few seconds when its
// master is silent for one. The masters come first among the nodes, then their replicas in the same order.
func ClusterRealTime(t testing.TB, config ...string) *Store {
	t.Helper()
	nodes := startCluster(t, nil, 2*masters, time.Second, append([]string{
		"--cluster-replica-validity-factor", "0", // a replica that has lost its master takes over, however long ago that was
		"--repl-diskless-sync", "no", // otherwise a replica gets what is written from a second after its start on
	}, config...)...)
	formed := join(t, nodes) && poll(30*time.Second, func() bool { return all(nodes, serving) })
	if !formed {
		didNotForm(t, nodes[0])
	}
	ctx := context.Background()
	for i, node := range nodes[masters:] {
		master := nodes[i].client.ClusterMyID(ctx).Val()
		if err := node.client.ClusterReplicate(ctx, master).Err(); err != nil {
			t.Fatalf("make a node of the cluster a replica: %v", err)
		}
	}
	if !poll(30*time.Second, func() bool {
		return all(nodes[masters:], inSync) && all(nodes[:masters], serves(1)) && all(nodes, knowsReplicas)
	}) {
		didNotForm(t, nodes[0])
	}
	return newStore(t, "cluster", nodesOf(nodes), nil)
}

// clusterNode is a node with a client of its own.
type clusterNode struct {
	*Node
	client *redis.Client
}

func startCluster(t testing.TB, env []string, count int, silence time.Duration, config ...string) []clusterNode {
	t.Helper()
	config = append([]string{
		"--cluster-enabled", "yes",
		"--cluster-node-timeout", strconv.FormatInt(silence.Milliseconds(), 10),
		"--cluster-announce-ip", "127.0.0.1",
	}, config...)
	var nodes []clusterNode
	for range count {
		node := startNode(t, env, config...)
		nodes = append(nodes, clusterNode{node, node.Client()})
	}
	return nodes
}

func nodesOf(of []clusterNode) []*Node {
	nodes := make([]*Node, len(of))
	for i, node := range of {
		nodes[i] = node.Node
	}
	return nodes
}

// join gives every master its share of the slots and introduces all nodes to each other. It returns whether they know each
// other.
func join(t testing.TB, nodes []clusterNode) bool {
	t.Helper()
	ctx := context.Background()
	for i, node := range nodes[:masters] {
		if err := node.client.ClusterAddSlotsRange(ctx, i*slotCount/masters, (i+1)*slotCount/masters-1).Err(); err != nil {
			t.Fatalf("give slots to a cluster node: %v", err)
		}
	}
	for i, node := range nodes {
		for _, other := range nodes[i+1:] {
			host, port, _ := net.SplitHostPort(other.Addr)
			if err := node.client.ClusterMeet(ctx, host, port).Err(); err != nil {
				t.Fatalf("introduce cluster nodes: %v", err)
			}
		}
	}
	return poll(30*time.Second, func() bool { return all(nodes, acquainted(len(nodes))) })
}

func didNotForm(t testing.TB, node clusterNode) {
	t.Helper()
	ctx := context.Background()
	t.Fatalf("the cluster did not form; its first node says\n%s%s", node.client.ClusterInfo(ctx).Val(), node.client.ClusterNodes(ctx).Val())
}

func all(nodes []clusterNode, is func(node *redis.Client) bool) bool {
	return !slices.ContainsFunc(nodes, func(node clusterNode) bool { return !is(node.client) })
}

// acquainted reports whether a node has met all the others.
func acquainted(count int) func(*redis.Client) bool {
	return func(node *redis.Client) bool {
		known, err := node.ClusterNodes(context.Background()).Result()
		return err == nil && strings.Count(known, " master ")+strings.Count(known, " myself,master ") == count && !strings.Contains(known, "handshake")
	}
}

// serving reports whether a node accepts commands and knows who has each of the slots. Nodes that do agree, as only one
// of them claims each slot.
func serving(node *redis.Client) bool {
	info, err := node.ClusterInfo(context.Background()).Result()
	return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384")
}

// inSync reports whether a replica has what its master has.
func inSync(replica *redis.Client) bool {
	info, err := replica.Info(context.Background(), "replication").Result()
	return err == nil && strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up")
}

// serves reports whether a master passes on to so many replicas what is written.
func serves(replicas int) func(*redis.Client) bool {
	return func(master *redis.Client) bool {
		info, err := master.Info(context.Background(), "replication").Result()
		return err == nil && strings.Count(info, "state=online") == replicas
	}
}

// knowsReplicas reports whether a node knows which others are replicas.
func knowsReplicas(node *redis.Client) bool {
	known, err := node.ClusterNodes(context.Background()).Result()
	return err == nil && strings.Count(known, "slave ") == masters
}
