package allocator

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// followInterval is how often the nodes to follow, and their settings, are looked up again.
const followInterval = 5 * time.Second

// duePartitions gathers the partitions to sweep at once: something has just come due there, or may be.
type duePartitions struct {
	signal chan struct{} // has an element when the set is not empty
	mu     sync.Mutex
	set    map[partition]bool
}

func newDuePartitions() *duePartitions {
	return &duePartitions{signal: make(chan struct{}, 1), set: make(map[partition]bool)}
}

func (d *duePartitions) add(partitions ...partition) {
	d.mu.Lock()
	for _, p := range partitions {
		d.set[p] = true
	}
	d.mu.Unlock()
	select {
	case d.signal <- struct{}{}:
	default:
	}
}

func (d *duePartitions) take() []partition {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []partition
	for p := range d.set {
		all = append(all, p)
	}
	clear(d.set)
	return all
}

// watchExpiry calls expired with the partition of each TTL key of a reservation that expires, until ctx ends. It follows
// every master: nodes of a Redis Cluster tell only of their own keys. Notifications may get lost; the sweep makes up for it.
func (a *Allocator) watchExpiry(ctx context.Context, expired func(partition)) {
	type follower struct {
		node *redis.Client
		stop context.CancelFunc
	}
	following := make(map[string]follower)
	var followers sync.WaitGroup
	defer followers.Wait()
	warned := make(map[string]bool)
	told := a.chronicle("looking up the masters")
	every(ctx, followInterval, func() {
		masters := make(map[string]*redis.Client)
		var mu sync.Mutex
		err := a.eachMaster(ctx, func(_ context.Context, master *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			masters[master.Options().Addr] = master
			return nil
		})
		if err != nil {
			told(ctx, a.failed(err, 0))
			return
		}
		told(ctx, nil)
		for addr, f := range following {
			if masters[addr] != f.node { // it is no master any more, or its client was renewed
				f.stop()
				delete(following, addr)
				delete(warned, addr)
			}
		}
		for addr, master := range masters {
			err := enableExpiredEvents(ctx, master)
			if answer := answerOf(err); answer != "" && !startsWith(answer, refusals) && !warned[addr] { // one that is away is asked again
				warned[addr] = true
				a.log.WarnContext(ctx, "keyspace notifications cannot be switched on. Unless notify-keyspace-events has Ex already, time-outs are marked by the sweep alone, within about a second. Set notify-keyspace-events to Ex to have them marked at once",
					"node", addr, "error", err)
			}
			if _, known := following[addr]; !known {
				follow, stop := context.WithCancel(ctx)
				following[addr] = follower{master, stop}
				a.warnOfEviction(ctx, master)
				followers.Go(func() { followExpiry(follow, master, expired) })
			}
		}
	})
	for _, f := range following {
		f.stop()
	}
}

func (a *Allocator) eachMaster(ctx context.Context, do func(context.Context, *redis.Client) error) error {
	switch client := a.redis.(type) {
	case *redis.ClusterClient:
		return client.ForEachMaster(ctx, do)
	case *redis.Client:
		return do(ctx, client)
	}
	panic(fmt.Sprintf("allocator: Open let a %T through", a.redis))
}

// enableExpiredEvents makes a node tell of expired keys, keeping whatever else it tells of.
func enableExpiredEvents(ctx context.Context, node *redis.Client) error {
	const setting = "notify-keyspace-events"
	config, err := node.ConfigGet(ctx, setting).Result()
	if err != nil {
		return err
	}
	flags := config[setting]
	wanted := flags
	if !strings.Contains(flags, "E") {
		wanted += "E"
	}
	if !strings.ContainsAny(flags, "xA") {
		wanted += "x"
	}
	if wanted == flags {
		return nil
	}
	return node.ConfigSet(ctx, setting, wanted).Err()
}

// warnOfEviction says so when a node may delete keys to make room.
func (a *Allocator) warnOfEviction(ctx context.Context, node *redis.Client) {
	info, err := node.InfoMap(ctx, "memory").Result()
	if err != nil {
		return // a user who may not ask is not told
	}
	if policy := info["Memory"]["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		a.log.WarnContext(ctx, "the store may delete player sessions and slots to make room; set maxmemory-policy to noeviction",
			"node", node.Options().Addr, "maxmemory_policy", policy)
	}
}

// followExpiry calls expired for each TTL key that expires on a node, until ctx ends. The subscription is renewed when the
// connection breaks.
func followExpiry(ctx context.Context, node *redis.Client, expired func(partition)) {
	subscription := node.Subscribe(ctx, "__keyevent@"+strconv.Itoa(node.Options().DB)+"__:expired")
	defer subscription.Close()
	messages := subscription.Channel()
	for {
		select {
		case message, open := <-messages:
			if !open {
				return
			}
			if p, ok := partitionOfTTLKey(message.Payload); ok {
				expired(p)
			}
		case <-ctx.Done():
			return
		}
	}
}

// partitionOfTTLKey returns the partition of the TTL key of a reservation, and false for any other key.
func partitionOfTTLKey(key string) (partition, bool) {
	rest, ok := strings.CutPrefix(key, "berth:{")
	if !ok {
		return 0, false
	}
	number, rest, ok := strings.Cut(rest, "}:")
	if !ok || !strings.HasPrefix(rest, "ttl:") {
		return 0, false
	}
	p, err := strconv.ParseUint(number, 10, 8)
	return partition(p), err == nil
}
