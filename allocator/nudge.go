package allocator

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

// connections are those of server processes to this instance.
type connections struct {
	mu    sync.Mutex
	of    map[string][]*ServerProcessConnection // by ref; seldom more than one
	first chan struct{}                         // closed when there has been one
}

func newConnections() *connections {
	return &connections{of: make(map[string][]*ServerProcessConnection), first: make(chan struct{})}
}

func (cs *connections) add(c *ServerProcessConnection) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.of[c.ref.text] = append(cs.of[c.ref.text], c)
	select {
	case <-cs.first:
	default:
		close(cs.first)
	}
}

func (cs *connections) remove(c *ServerProcessConnection) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	others := slices.DeleteFunc(slices.Clone(cs.of[c.ref.text]), func(one *ServerProcessConnection) bool { return one == c })
	if len(others) == 0 {
		delete(cs.of, c.ref.text)
		return
	}
	cs.of[c.ref.text] = others
}

func (cs *connections) wake(process string) {
	cs.mu.Lock()
	all := cs.of[process]
	cs.mu.Unlock()
	for _, c := range all { // the newest of them may find something to tell
		c.wake()
	}
}

func (cs *connections) wakeAll() {
	cs.mu.Lock()
	all := slices.Concat(slices.Collect(maps.Values(cs.of))...)
	cs.mu.Unlock()
	for _, c := range all {
		c.wake()
	}
}

// nudgeChannel is the channel on which an instance is told which of the server processes that are connected to it are to be told
// something. What gets lost there is sent again at the next review.
func nudgeChannel(instance string) string { return "berth:nudge:" + instance }

// nudge asks an instance, if there is one, to look up what a server process is to be told.
func (a *Allocator) nudge(ctx context.Context, instance string, process ref) {
	switch instance {
	case "":
	case a.owner.instance:
		a.connections.wake(process.text)
	default:
		a.logged(ctx, "nudging an instance", "the server process is told when it is reviewed", a.redis.Publish(ctx, nudgeChannel(instance), process.text).Err())
	}
}

// followNudges wakes the connections for which this instance is nudged, from the first connection on and until ctx ends. Whenever the
// subscription begins anew, nudges may have been lost before.
func (a *Allocator) followNudges(ctx context.Context) {
	select {
	case <-a.connections.first:
	case <-ctx.Done():
		return
	}
	subscription := a.redis.Subscribe(ctx, nudgeChannel(a.owner.instance))
	defer subscription.Close()
	received := subscription.ChannelWithSubscriptions()
	for {
		select {
		case one, open := <-received:
			switch one := one.(type) {
			case *redis.Subscription:
				a.connections.wakeAll()
			case *redis.Message:
				a.connections.wake(one.Payload)
			}
			if !open {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
