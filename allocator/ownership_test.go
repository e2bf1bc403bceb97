package allocator_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

func TestNewInstanceOwnsNothingBeforeItsFirstHeartbeat(t *testing.T) {
	a := open(t, allocatortest.Miniredis(t))
	wantCount(t, "partitions owned", len(a.Owned()), 0)
}

func TestOnlyInstanceOwnsAllPartitions(t *testing.T) {
	a := open(t, allocatortest.Miniredis(t))
	beat(t, a)
	wantCount(t, "partitions owned", len(a.Owned()), allocator.Partitions)
}

func TestInstancesShareThePartitionsDisjointlyAndCompletely(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		var instances []*allocator.Allocator
		for n := 1; n <= 4; n++ {
			before := ownedBy(instances)
			newcomer := open(t, store)
			beat(t, newcomer)
			beat(t, instances...)
			instances = append(instances, newcomer)

			wantAllShared(t, instances)
			for p, owner := range ownedBy(instances) {
				if owner != newcomer && before[p] != owner {
					t.Errorf("partition %d moved between instances when another one joined", p)
				}
			}
			for _, a := range instances {
				if len(a.Owned()) < allocator.Partitions/n/3 {
					t.Errorf("one of %d instances owns %d partitions", n, len(a.Owned()))
				}
			}
		}
	})
}

func TestLeavingInstanceHandsItsPartitionsOver(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		instances := []*allocator.Allocator{open(t, store), open(t, store), open(t, store)}
		beat(t, instances...)
		beat(t, instances...)
		before := ownedBy(instances)
		if err := instances[0].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := instances[1:]
		beat(t, left...)
		wantAllShared(t, left)
		for p, owner := range ownedBy(left) {
			if before[p] != instances[0] && before[p] != owner {
				t.Errorf("partition %d moved between instances when another one left", p)
			}
		}
	})
}

func TestSilentInstanceLosesItsPartitions(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		silent, alive := open(t, store), open(t, store)
		beat(t, silent, alive)
		share := len(alive.Owned())
		store.Advance(allocator.HeartbeatLife - time.Millisecond)
		beat(t, alive)
		wantCount(t, "partitions owned while the other's heartbeat counts", len(alive.Owned()), share)
		store.Advance(time.Millisecond)
		beat(t, alive)
		wantCount(t, "partitions owned when it no longer counts", len(alive.Owned()), allocator.Partitions)
		beat(t, silent)
		beat(t, alive)
		wantAllShared(t, []*allocator.Allocator{silent, alive})
	})
}

func TestRunningInstancesShareThePartitions(t *testing.T) {
	t.Parallel()
	store := allocatortest.RedisRealTime(t)
	first, second := open(t, store), open(t, store)
	clockwork(t, first)
	stop := clockwork(t, second)
	shared := func() bool {
		return len(first.Owned())+len(second.Owned()) == allocator.Partitions && len(ownedBy([]*allocator.Allocator{first, second})) == allocator.Partitions
	}
	allocatortest.Eventually(t, 20*time.Second, func() bool { return shared() && len(first.Owned()) < allocator.Partitions }, "they share the partitions")
	stop()
	wantCount(t, "instances that are known when one has stopped", int(store.Client().ZCard(t.Context(), "berth:{control}:instances").Val()), 1)
	allocatortest.Eventually(t, 20*time.Second, func() bool { return len(first.Owned()) == allocator.Partitions }, "the one that is left takes all")
}

func TestOnlyTheOwnerSweepsAPartition(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		instances := []*allocator.Allocator{s.Allocator, open(t, store)}
		beat(t, instances...)
		beat(t, instances...)
		owner := ownedBy(instances)
		due := make(map[*allocator.Allocator]int)
		for i := range 40 {
			game := s.newGameSession(1)
			s.reserve(game, player(i))
			due[owner[partitionOf(game)]]++
		}
		store.Advance(reservationTimeout)
		for _, a := range instances {
			swept, err := a.SweepOwned(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wantCount(t, "reservations that an owner marked", swept.TimedOut, due[a])
		}
		wantCount(t, "reservations that were left", s.sweep().TimedOut, 0)
	})
}

func TestOnlyTheOwnerActsOnAnExpiredEvent(t *testing.T) {
	const timeout = allocator.HeartbeatLife - time.Second // so that nobody seems dead when the clock moves
	store := allocatortest.Redis(t)
	s := newScene(t, store, func(config *allocator.Config) { config.ReservationTimeout = timeout })
	var instances []*allocator.Allocator
	var acts []*actions
	for range 2 {
		a := &actions{partitions: make(map[string]bool)}
		acts = append(acts, a)
		instances = append(instances, open(t, store, func(config *allocator.Config) {
			config.SweepInterval = time.Hour
			config.Redis.AddHook(a)
		}))
	}
	for _, a := range instances {
		clockwork(t, a)
	}
	allocatortest.Eventually(t, 20*time.Second, func() bool {
		following := store.Client().PubSubNumSub(t.Context(), "__keyevent@0__:expired").Val()["__keyevent@0__:expired"]
		return following == 2 && len(instances[0].Owned())+len(instances[1].Owned()) == allocator.Partitions
	}, "both instances follow the store and share the partitions")
	owner := ownedBy(instances)

	var reserved []*allocator.PlayerSession
	for i := range 40 {
		reserved = append(reserved, s.reserve(s.newGameSession(1), player(i)))
	}
	store.Advance(timeout + time.Millisecond)
	allocatortest.Eventually(t, 20*time.Second, func() bool {
		return !slices.ContainsFunc(reserved, func(p *allocator.PlayerSession) bool { return recordStatus(t, store.Client(), p) != "TIMEDOUT" })
	}, "all reservations are marked")
	for i, a := range acts {
		if len(a.taken()) == 0 {
			t.Error("an instance timed out nothing, of 40 reservations")
		}
		for tag := range a.taken() {
			if p := number(tag); owner[int(p)] != instances[i] {
				t.Errorf("an instance timed out reservations in partition %s, which another one owns", tag)
			}
		}
	}
}

func TestTimeoutsCostTheStoreAsMuchWithEightInstancesAsWithOne(t *testing.T) {
	const timeout = allocator.HeartbeatLife - time.Second
	cost := func(instances int) map[string]int64 {
		store := allocatortest.Redis(t)
		s := newScene(t, store, func(config *allocator.Config) { config.ReservationTimeout = timeout })
		var all []*allocator.Allocator
		for range instances {
			a := open(t, store, func(config *allocator.Config) { config.SweepInterval = time.Hour })
			clockwork(t, a)
			all = append(all, a)
		}
		allocatortest.Eventually(t, 30*time.Second, func() bool {
			following := store.Client().PubSubNumSub(t.Context(), "__keyevent@0__:expired").Val()["__keyevent@0__:expired"]
			sum := 0
			for _, a := range all {
				sum += len(a.Owned())
			}
			return int(following) == instances && sum == allocator.Partitions && len(ownedBy(all)) == allocator.Partitions
		}, "the instances follow the store and share the partitions")
		var reserved []*allocator.PlayerSession
		for partitions := make(map[int]bool); len(partitions) < 100; { // one reservation in each: those at once in one may be marked at once
			game := s.newGameSession(1)
			if !partitions[partitionOf(game)] {
				partitions[partitionOf(game)] = true
				reserved = append(reserved, s.reserve(game, "ada"))
			}
		}
		s.sweep() // so that the new game sessions are not due any more
		if err := store.Client().ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		store.Advance(timeout + time.Millisecond)
		costs := make(map[string]int64)
		allocatortest.Eventually(t, 30*time.Second, func() bool {
			stats := store.Client().InfoMap(t.Context(), "commandstats").Val()["Commandstats"]
			for _, command := range []string{"zscore", "zcount", "hset", "zrem", "hget"} {
				if _, err := fmt.Sscanf(stats["cmdstat_"+command], "calls=%d,", new(int64)); err == nil {
					var calls int64
					fmt.Sscanf(stats["cmdstat_"+command], "calls=%d,", &calls)
					costs[command] = calls
				}
			}
			return costs["hset"] == int64(len(reserved))
		}, "all reservations are marked")
		return costs
	}
	one, eight := cost(1), cost(8)
	t.Logf("100 time-outs: %v", one)
	if one["hget"] > 0 {
		t.Error("time-outs ask for fleets, which play no part in them")
	}
	if !maps.Equal(one, eight) {
		t.Errorf("with one instance %v, with eight %v", one, eight)
	}
}

// beat has each instance beat its heart once.
func beat(t *testing.T, instances ...*allocator.Allocator) {
	t.Helper()
	for _, a := range instances {
		if err := a.Heartbeat(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func ownedBy(instances []*allocator.Allocator) map[int]*allocator.Allocator {
	owner := make(map[int]*allocator.Allocator)
	for _, a := range instances {
		for _, p := range a.Owned() {
			owner[p] = a
		}
	}
	return owner
}

// wantAllShared checks that each partition has one owner.
func wantAllShared(t *testing.T, instances []*allocator.Allocator) {
	t.Helper()
	sum := 0
	for _, a := range instances {
		sum += len(a.Owned())
	}
	if distinct := len(ownedBy(instances)); sum != allocator.Partitions || distinct != allocator.Partitions {
		t.Errorf("%d instances own %d partitions, %d different ones", len(instances), sum, distinct)
	}
}

// actions is a hook that notes in which partitions a client has timed out player sessions.
type actions struct {
	mu         sync.Mutex
	partitions map[string]bool
}

func (a *actions) taken() map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.partitions)
}

func (a *actions) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a *actions) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			for _, arg := range cmd.Args() {
				if partition, ok := strings.CutSuffix(strings.TrimPrefix(fmt.Sprint(arg), "berth:{"), "}:deadlines"); ok {
					a.mu.Lock()
					a.partitions[partition] = true
					a.mu.Unlock()
				}
			}
		}
		return next(ctx, cmd)
	}
}

func (a *actions) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
