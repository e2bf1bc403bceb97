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
	config = append([]string{
		"--cluster-enabled", "yes",
		"--cluster-node-timeout", strconv.FormatInt(silence.Milliseconds(), 10),
		"--cluster-announce-ip", "127.0.0.1",
	}, config...)

	// The clock starts early, since time must pass while the cluster forms, to stand at the beginning when it serves.
	const leap = silence/2 + time.Hour
	now := beginning.Add(-leap - 24*time.Hour)
	clock := newClock(t, now)
	var addrs []string
	var nodes []*redis.Client
	for range masters {
		addr := startServer(t, clock.env, config...)
		node := redis.NewClient(&redis.Options{Addr: addr})
		defer node.Close()
		followsClock(t, node, now)
		addrs, nodes = append(addrs, addr), append(nodes, node)
	}

	join(t, nodes, addrs)
	formed := poll(30*time.Second, func() bool { return all(nodes, acquainted) })

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
		ctx := context.Background()
		t.Fatalf("the cluster did not form; its first node says\n%s%s", nodes[0].ClusterInfo(ctx).Val(), nodes[0].ClusterNodes(ctx).Val())
	}
	clock.set(beginning)
	return newStore(t, "cluster", addrs, clock.set)
}

// join gives every node its share of the slots and introduces all of them to each other.
func join(t testing.TB, nodes []*redis.Client, addrs []string) {
	t.Helper()
	ctx := context.Background()
	for i, node := range nodes {
		if err := node.ClusterAddSlotsRange(ctx, i*slotCount/masters, (i+1)*slotCount/masters-1).Err(); err != nil {
			t.Fatalf("give slots to a cluster node: %v", err)
		}
	}
	for i, node := range nodes {
		for _, addr := range addrs[i+1:] {
			host, port, _ := net.SplitHostPort(addr)
			if err := node.ClusterMeet(ctx, host, port).Err(); err != nil {
				t.Fatalf("introduce cluster nodes: %v", err)
			}
		}
	}
}

func all(nodes []*redis.Client, is func(node *redis.Client) bool) bool {
	return !slices.ContainsFunc(nodes, func(node *redis.Client) bool { return !is(node) })
}

// acquainted reports whether a node has met all the others.
func acquainted(node *redis.Client) bool {
	known, err := node.ClusterNodes(context.Background()).Result()
	return err == nil && strings.Count(known, " master ")+strings.Count(known, " myself,master ") == masters && !strings.Contains(known, "handshake")
}

// serving reports whether a node accepts commands and knows who has each of the slots. Nodes that do agree, as only one
// of them claims each slot.
func serving(node *redis.Client) bool {
	info, err := node.ClusterInfo(context.Background()).Result()
	return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384")
}
