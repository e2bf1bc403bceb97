package allocator_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// An hour passes between sweeps, so only expired events can have the records marked.

func TestExpiredEventsAreFollowedThroughFailovers(t *testing.T) {
	for name, c := range map[string]struct {
		start    func(testing.TB, ...string) *allocatortest.Store
		failOver func(t *testing.T, nodes []*allocatortest.Node)
	}{
		"all masters of a cluster change places with their replicas": {allocatortest.ClusterRealTime, func(t *testing.T, nodes []*allocatortest.Node) {
			for _, replica := range nodes[3:] {
				if err := replica.Client().ClusterFailover(context.Background()).Err(); err != nil {
					t.Fatal(err)
				}
				replica.AwaitMaster()
			}
		}},
		"a master of a cluster is killed": {allocatortest.ClusterRealTime, func(t *testing.T, nodes []*allocatortest.Node) {
			nodes[0].Kill()
			nodes[3].AwaitMaster()
		}},
		"the master behind Sentinel is killed": {allocatortest.SentinelRealTime, func(_ *testing.T, nodes []*allocatortest.Node) {
			nodes[0].Kill()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			store := c.start(t)
			s := newScene(t, store, func(config *allocator.Config) { config.ReservationTimeout = 200 * time.Millisecond })
			clockwork(t, open(t, store, func(config *allocator.Config) { config.SweepInterval = time.Hour }))
			var games []allocator.GameSessionID // on all masters
			for range 24 {
				games = append(games, s.newGameSession(200))
			}
			var reserved []*allocator.PlayerSession
			var since time.Time
			var client redis.UniversalClient // a new one each time: go-redis by itself asks a master that is gone for a minute
			// What expires before the new master is followed stays as it is: after a while, others are reserved.
			marked := func() bool {
				ctx := context.Background()
				if reserved == nil || time.Since(since) > 3*time.Second {
					reserved, since, client = nil, time.Now(), store.NewClient(t)
					for _, game := range games {
						p, err := s.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada"})
						if err != nil {
							reserved = nil
							return false // nobody has taken over yet
						}
						reserved = append(reserved, p)
					}
				}
				return !slices.ContainsFunc(reserved, func(p *allocator.PlayerSession) bool {
					return client.HGet(ctx, recordKey(p.ID), "status").Val() != "TIMEDOUT"
				})
			}
			allocatortest.Eventually(t, time.Minute, marked, "what times out is marked")
			c.failOver(t, store.Nodes())
			reserved = nil
			allocatortest.Eventually(t, 45*time.Second, marked, "what times out is marked after the failover")
		})
	}
}

func TestWrongEvictionPolicyIsWarnedOf(t *testing.T) {
	for _, policy := range []string{"noeviction", "allkeys-lru"} {
		var log logs
		store := allocatortest.Redis(t, "--maxmemory-policy", policy)
		clockwork(t, open(t, store, func(config *allocator.Config) { config.Logger = log.logger() }))
		allocatortest.Eventually(t, 20*time.Second, func() bool {
			following := store.Client().PubSubNumSub(t.Context(), "__keyevent@0__:expired").Val()
			return following["__keyevent@0__:expired"] == 1
		}, "the instance follows the store")
		if warned := strings.Contains(log.String(), "maxmemory_policy=allkeys-lru"); warned != (policy == "allkeys-lru") {
			t.Errorf("under %s it logged\n%s", policy, &log)
		}
	}
}

func TestChangesAreAcknowledgedWhenReplicasHaveThem(t *testing.T) {
	store := allocatortest.SentinelRealTime(t)
	s := newScene(t, store, func(config *allocator.Config) { config.WaitReplicas, config.WaitTimeout = 2, 100*time.Millisecond })
	game, full := s.newGameSession(10), s.newGameSession(0)
	s.reserve(game, "ada")
	keys := slices.DeleteFunc(everyKey(t, store), func(key string) bool {
		return strings.HasSuffix(key, ":mark") // expires at once, on the master first
	})
	for _, replica := range store.Nodes()[1:] {
		if n := replica.Client().Exists(t.Context(), keys...).Val(); n != int64(len(keys)) {
			t.Errorf("a replica has %d of the keys %q when the change is acknowledged", n, keys)
		}
	}
	replica := store.Nodes()[1]
	replica.Freeze()
	call := allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "bob", RetryToken: "token"}
	_, err := s.CreatePlayerSession(t.Context(), call)
	wantOnlyKind(t, "reserving while a replica does not answer", err, allocator.ErrOutcomeUnknown)
	if _, err := s.DescribeGameSessions(t.Context(), allocator.DescribeGameSessionsInput{GameSessionID: game}); err != nil {
		t.Errorf("reading meanwhile: %v", err)
	}
	for _, attempt := range []string{"creating a game session", "finding it created"} { // the second writes nothing, and knows of no replica either
		_, err := s.CreateGameSession(t.Context(), allocator.CreateGameSessionInput{FleetID: s.fleet, IdempotencyToken: "token"})
		wantOnlyKind(t, attempt+" while a replica does not answer", err, allocator.ErrOutcomeUnknown)
	}
	_, err = s.CreatePlayerSession(t.Context(), allocator.CreatePlayerSessionInput{GameSessionID: full, PlayerID: "bob"})
	wantOnlyKind(t, "a refusal, which replicas need not know of", err, allocator.ErrGameSessionFull)
	replica.Thaw()
	allocatortest.Eventually(t, time.Minute, func() bool {
		_, err := s.CreatePlayerSession(t.Context(), call)
		return err == nil
	}, "the retry is acknowledged")
	wantCount(t, "slots taken", s.describe(game).CurrentPlayerSessionCount, 2)
}

func TestRepeatedRequestsOfAServerProcessWaitForReplicas(t *testing.T) {
	store := allocatortest.SentinelRealTime(t)
	s := newScene(t, store)
	waiting := open(t, store, func(config *allocator.Config) { config.WaitReplicas, config.WaitTimeout = 2, 100*time.Millisecond })
	g := scene{waiting, t, store, s.fleet}.connect("one")
	ctx := t.Context()
	register := func() error {
		return g.ActivateServerProcess(ctx, allocator.ActivateServerProcessInput{Port: 1})
	}
	end := func() error {
		return g.Once(ctx, "end", true, func(ctx context.Context) error { return g.TerminateServerProcess(ctx, "end") })
	}
	replica := store.Nodes()[1]
	for what, request := range []func() error{register, end} {
		replica.Freeze()
		for range 2 { // the second finds it done
			wantOnlyKind(t, []string{"registering", "ending"}[what]+" while a replica does not answer", request(), allocator.ErrOutcomeUnknown)
		}
		replica.Thaw()
		allocatortest.Eventually(t, time.Minute, func() bool { return request() == nil }, "the retry is acknowledged")
	}
}

func TestClaimThatReplicasLackTakesNoServerProcess(t *testing.T) {
	store := allocatortest.SentinelRealTime(t)
	s := newScene(t, store)
	waiting := open(t, store, func(config *allocator.Config) { config.WaitReplicas, config.WaitTimeout = 2, 100*time.Millisecond })
	s.start("one")
	s.start("two")
	create := func() error {
		_, err := waiting.CreateGameSession(t.Context(), allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 4, IdempotencyToken: "token"})
		return err
	}
	replica := store.Nodes()[1]
	replica.Freeze()
	for range 3 { // more than there are processes
		wantOnlyKind(t, "creating while a replica does not answer", create(), allocator.ErrOutcomeUnknown)
	}
	replica.Thaw()
	allocatortest.Eventually(t, time.Minute, func() bool { return create() == nil }, "the retry is acknowledged")
	hosting := 0
	for _, name := range []string{"one", "two"} {
		if s.process(name).GameSessionID != "" {
			hosting++
		}
	}
	wantCount(t, "server processes with a game session", hosting, 1)
}

func TestChangesThatWaitForReplicasKeepNoReaderWaiting(t *testing.T) {
	store := allocatortest.SentinelRealTime(t)
	s := newScene(t, store)
	game := s.newGameSession(100)
	client := redis.NewClient(&redis.Options{Addr: store.Nodes()[0].Addr, PoolSize: 4, PoolTimeout: 10 * time.Millisecond})
	defer client.Close()
	a := open(t, store, func(config *allocator.Config) {
		config.Redis, config.WaitReplicas, config.WaitTimeout = client, 2, 2*time.Second
	})
	for _, replica := range store.Nodes()[1:] {
		replica.Freeze()
		defer replica.Thaw()
	}
	var changes sync.WaitGroup
	for i := range 8 { // more than there are connections
		changes.Go(func() {
			_, err := a.CreatePlayerSession(context.Background(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: player(i)})
			wantKind(t, "reserving while no replica answers", err, allocator.ErrOutcomeUnknown)
		})
	}
	allocatortest.Eventually(t, 20*time.Second, func() bool { return s.describe(game).CurrentPlayerSessionCount > 0 }, "a change waits for the replicas")
	for range 100 {
		if _, err := a.DescribeGameSessions(t.Context(), allocator.DescribeGameSessionsInput{GameSessionID: game}); err != nil {
			t.Fatalf("reading meanwhile: %v", err)
		}
	}
	changes.Wait()
}
