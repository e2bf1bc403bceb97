package allocator_test

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// bothWays runs a test with an Allocator whose calls are made alone, and with one that pipelines them.
func bothWays(t *testing.T, name string, do func(t *testing.T, way func(*allocator.Allocator) *allocator.Allocator)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Run("alone", func(t *testing.T) { do(t, func(a *allocator.Allocator) *allocator.Allocator { return a }) })
		t.Run("pipelined", func(t *testing.T) { do(t, (*allocator.Allocator).Pipelined) })
	})
}

// newPipelined returns a scene that pipelines whatever it does, what sees it do so, and a game session with a player.
func newPipelined(t *testing.T, store *allocatortest.Store, change ...func(*allocator.Config)) (scene, *tap, allocator.GameSessionID) {
	t.Helper()
	pipelines := new(tap)
	s := newScene(t, store, append(change, manySlots, pipelines.config)...)
	game := s.newGameSession(1000)
	s.reserve(game, "first") // the server knows the script from now on
	s.Pipelined()
	return s, pipelines, game
}

func TestCallsThatAreMadeTogetherAreSentTogether(t *testing.T) {
	allocatortest.EachTopology(t, func(t *testing.T, store *allocatortest.Store) {
		s, pipelines, game := newPipelined(t, store)
		atOnce(999, func(i int) { s.reserve(game, player(i)) })
		wantCount(t, "slots taken", s.taken(game), 1000)
		if pipelines.largest < 2 {
			t.Errorf("of 999 calls at a time no two were sent together, in %d pipelines", pipelines.begun)
		}
	})
}

func TestCallIsPipelinedWhenOthersAreUnderWay(t *testing.T) {
	var pipelines tap
	s := newScene(t, allocatortest.Redis(t), pipelines.config)
	game := s.newGameSession(99)
	s.reserve(game, "first")
	release := pipelines.holdAll(t)
	var calls sync.WaitGroup
	for i := range allocator.PipelinedFrom - 1 {
		calls.Go(func() { s.reserve(game, player(i)) })
		pipelines.awaitAlone(t, i+1)
	}
	for i := range allocator.PipelinesAtOnce {
		calls.Go(func() { s.reserve(game, fmt.Sprint("pipelined-", i)) })
		pipelines.await(t, i+1)
	}
	release()
	calls.Wait()
	wantCount(t, "slots taken", s.taken(game), allocator.PipelinedFrom+allocator.PipelinesAtOnce)
}

func TestPipelineTakesSoManyCalls(t *testing.T) {
	s, pipelines, game := newPipelined(t, allocatortest.Redis(t))
	release, held := s.busy(pipelines, game)
	var calls sync.WaitGroup
	for i := range 2 * allocator.PipelinedCalls {
		calls.Go(func() { s.reserve(game, player(i)) })
	}
	s.awaitWaiting(2 * allocator.PipelinedCalls)
	release()
	calls.Wait()
	held.Wait()
	wantCount(t, "the most calls of a pipeline", pipelines.largest, allocator.PipelinedCalls)
	wantCount(t, "slots taken", s.taken(game), 1+allocator.PipelinesAtOnce+2*allocator.PipelinedCalls)
}

// What a server without the script turns away in a pipeline is sent alone, with the script.
func TestPipelinedCallFindsNoScript(t *testing.T) {
	allocatortest.EachTopology(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(9)
		s.reserve(game, "first")
		for _, node := range store.Nodes() { // has the scripts no more
			if err := node.Client().ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		s.Pipelined()
		s.reserve(game, "second")
		wantCount(t, "slots taken", s.taken(game), 2)
		err := s.DeleteGameSessionQueue(t.Context(), "nowhere") // two tries have not deleted it either
		wantKind(t, "deleting what is not there", err, allocator.ErrNotFound)
	})
}

// What a server turns away because it is not ready is tried again alone, unless the client is not to try again.
func TestPipelinedCallIsTriedAgainWhenTheServerIsReady(t *testing.T) {
	for _, c := range []struct {
		maxRetries int
		kind       allocator.Kind // of its failure, if it fails
	}{
		{maxRetries: 1},
		{maxRetries: -1, kind: allocator.ErrStoreUnavailable},
	} {
		t.Run(fmt.Sprint("with retries ", c.maxRetries), func(t *testing.T) {
			store := allocatortest.RedisRealTime(t)
			server := store.Client()
			s, _, game := newPipelined(t, store, func(config *allocator.Config) {
				config.Redis = clientLike(t, config.Redis, func(o *redis.Options) { o.MaxRetries = c.maxRetries })
				config.Redis.AddHook(afterPipelines(func() {
					if err := server.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
						t.Error(err)
					}
				}))
			})
			if err := server.ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil { // whom one cannot write to
				t.Fatal(err)
			}
			if err := s.tryReserve(game); c.kind != "" {
				wantOnlyKind(t, "without another try", err, c.kind)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// The spans of a pipeline belong to a trace: that of its first caller.
func TestPipelineHasTheContextOfACaller(t *testing.T) {
	s, pipelines, game := newPipelined(t, allocatortest.Redis(t))
	type key struct{}
	_, err := s.CreatePlayerSession(context.WithValue(t.Context(), key{}, "trace"), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	if got := pipelines.ctx.Value(key{}); got != "trace" {
		t.Errorf("the pipeline's context has the value %v", got)
	}
}

// A caller that gives up leaves a call that was sent behind, of which it does not know what becomes.
func TestPipelinedCallThatIsGivenUpHasAnUnknownOutcome(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	s, pipelines, game := newPipelined(t, store)
	node := store.Nodes()[0]
	node.Freeze()
	in := allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada", RetryToken: "token"}
	wantKindWhenGivenUp := func(what string, kind allocator.Kind, call func(context.Context) error) {
		ctx, cancel := context.WithCancel(t.Context())
		pipelines.forget()
		failure := make(chan error)
		go func() { failure <- call(ctx) }()
		pipelines.await(t, 1)
		cancel()
		wantOnlyKind(t, what, <-failure, kind)
	}
	wantKindWhenGivenUp("a call that was given up", allocator.ErrOutcomeUnknown, func(ctx context.Context) error {
		_, err := s.CreatePlayerSession(ctx, in)
		return err
	})
	wantKindWhenGivenUp("a reading call that was given up", allocator.ErrStoreUnavailable, func(ctx context.Context) error {
		_, err := s.DescribePlayerSessions(ctx, allocator.DescribePlayerSessionsInput{GameSessionID: game})
		return err
	})
	node.Thaw()
	if _, err := s.CreatePlayerSession(t.Context(), in); err != nil {
		t.Error(err)
	}
	wantCount(t, "slots taken after the retry", s.taken(game), 2)
}

// A call that is given up while it waits for a pipeline is never sent, and the caller knows.
func TestCallThatIsGivenUpBeforeItsPipelineBeginsChangesNothing(t *testing.T) {
	s, pipelines, game := newPipelined(t, allocatortest.Redis(t))
	release, held := s.busy(pipelines, game)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := s.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "late"})
	wantOnlyKind(t, "a call that was given up", err, allocator.ErrStoreUnavailable)
	wantCount(t, "calls that wait", s.Waiting(), 0)
	release()
	held.Wait()
	s.reserve(game, "last")
	wantCount(t, "slots taken", s.taken(game), 1+allocator.PipelinesAtOnce+1)
}

// It may not have been sent when its caller gives it up, but it will be.
func TestCallThatIsGivenUpWhenItsPipelineHasBegunHasAnUnknownOutcome(t *testing.T) {
	s, pipelines, game := newPipelined(t, allocatortest.Redis(t))
	release := pipelines.holdAll(t)
	ctx, cancel := context.WithCancel(t.Context())
	var call sync.WaitGroup
	call.Go(func() {
		_, err := s.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada"})
		wantOnlyKind(t, "a call that was given up", err, allocator.ErrOutcomeUnknown)
	})
	pipelines.await(t, 1)
	cancel()
	call.Wait()
	release()
	allocatortest.Eventually(t, time.Minute, func() bool { return s.taken(game) == 2 }, "the call has its slot")
}

// A pipeline lives as long as one of its callers does, and no longer.
func TestPipelineEndsWithTheLastOfItsCallers(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	s, pipelines, game := newPipelined(t, store, func(config *allocator.Config) {
		config.Redis = clientLike(t, config.Redis, func(o *redis.Options) {
			o.ContextTimeoutEnabled, o.ReadTimeout, o.MaxRetries = true, -1, -1
		})
	})
	try := func(ctx context.Context, i int) error {
		_, err := s.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: player(i)})
		return err
	}
	var calls sync.WaitGroup

	release, held := s.busy(pipelines, game)
	for i, ctx := range []context.Context{until{t.Context(), time.Now().Add(-time.Hour)}, t.Context()} { // they share a pipeline
		calls.Go(func() {
			if err := try(ctx, i); err != nil {
				t.Errorf("call %d, of which one has time: %v", i, err)
			}
		})
	}
	s.awaitWaiting(2)
	release()
	calls.Wait()
	held.Wait()

	store.Nodes()[0].Freeze()
	defer store.Nodes()[0].Thaw()
	ctx := until{t.Context(), time.Now().Add(10 * time.Millisecond)}
	for i := range 2 * allocator.PipelinesAtOnce { // more than could be under way if they had no end
		calls.Go(func() {
			if err := try(ctx, i); err == nil {
				t.Error("a server that does not answer has answered")
			}
		})
	}
	ends(t, "pipelines that nobody waits for", calls.Wait)
}

// ends fails the test if something goes on for a minute.
func ends(t *testing.T, what string, do func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		do()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal(what + ": no end in sight")
	}
}

// until is a context with a deadline at which it does not end.
type until struct {
	context.Context
	deadline time.Time
}

func (c until) Deadline() (time.Time, bool) { return c.deadline, true }

// A call that the server cannot serve yet has no others sent again.
func TestPipelineIsSentOnce(t *testing.T) {
	store := allocatortest.Cluster(t)
	var pipelines tap
	var client *redis.ClusterClient
	s := newScene(t, store, pipelines.config, func(config *allocator.Config) { client = config.Redis.(*redis.ClusterClient) })
	ctx := t.Context()
	masterOf := func(game allocator.GameSessionID) (*redis.Client, int64) {
		master, err := client.MasterForKey(ctx, gameKey("gs", game))
		if err != nil {
			t.Fatal(err)
		}
		return master, client.ClusterKeySlot(ctx, gameKey("gs", game)).Val()
	}
	moving := s.newGameSession(99)
	master, slot := masterOf(moving)
	game := s.newGameSession(99)
	for other, at := masterOf(game); other.Options().Addr != master.Options().Addr || at == slot; other, at = masterOf(game) {
		game = s.newGameSession(99)
	}
	s.reserve(game, "first")
	for _, node := range store.Nodes() {
		if node.Addr == master.Options().Addr {
			continue
		}
		for _, err := range []error{ // of a slot that moves, the server cannot serve a call for keys that are there and keys that are not
			node.Client().Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", master.ClusterMyID(ctx).Val()).Err(),
			master.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", node.Client().ClusterMyID(ctx).Val()).Err(),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		break
	}
	s.Pipelined()
	release, held := s.busy(&pipelines, game)
	var calls sync.WaitGroup
	calls.Go(func() {
		if err := s.tryReserve(moving); err == nil {
			t.Error("a slot that moves serves a call")
		}
	})
	s.awaitWaiting(1)
	const others = 20
	for i := range others {
		calls.Go(func() { s.reserve(game, player(i)) })
	}
	s.awaitWaiting(1 + others)
	before := evalCalls(t, master)
	release()
	calls.Wait()
	held.Wait()
	tries := evalCalls(t, master) - before - allocator.PipelinesAtOnce - others
	if most := 1 + 1 + client.Options().MaxRedirects; tries > most {
		t.Errorf("%d calls too many were sent, of which %d could have been of the one", tries, most)
	}
}

// evalCalls is how many scripts a server was told to run.
func evalCalls(t *testing.T, client *redis.Client) int {
	t.Helper()
	found := regexp.MustCompile(`cmdstat_evalsha:calls=(\d+),.*rejected_calls=(\d+)`).FindStringSubmatch(client.Info(t.Context(), "commandstats").Val())
	if found == nil {
		t.Fatal("the server counts no script calls")
	}
	ran, _ := strconv.Atoi(found[1])
	rejected, _ := strconv.Atoi(found[2])
	return ran + rejected
}

func TestPipelineWithoutAnAnswerHoldsUpNoOther(t *testing.T) {
	s, pipelines, game := newPipelined(t, allocatortest.Redis(t))
	release := pipelines.holdAll(t)
	var held sync.WaitGroup
	held.Go(func() { s.reserve(game, "held") })
	pipelines.await(t, 1)
	pipelines.holdNoMore()
	ends(t, "reservations of other pipelines", func() { atOnce(500, func(i int) { s.reserve(game, player(i)) }) })
	wantCount(t, "slots taken meanwhile", s.taken(game), 501)
	release()
	held.Wait()
	wantCount(t, "slots taken", s.taken(game), 502)
}

func TestServerWithoutAnAnswerHoldsUpNoOther(t *testing.T) {
	store := allocatortest.Cluster(t)
	var client *redis.ClusterClient
	var pipelines tap
	s := newScene(t, store, manySlots, func(config *allocator.Config) {
		options := *config.Redis.(*redis.ClusterClient).Options()
		options.ReadTimeout = -1
		client = redis.NewClusterClient(&options)
		t.Cleanup(func() { client.Close() })
		config.Redis = client
	}, pipelines.config)
	gamesOf := make(map[string]allocator.GameSessionID) // one of each master
	for len(gamesOf) < len(store.Nodes()) {
		game := s.newGameSession(1000)
		s.reserve(game, "first")
		master, err := client.MasterForKey(t.Context(), gameKey("gs", game))
		if err != nil {
			t.Fatal(err)
		}
		gamesOf[master.Options().Addr] = game
	}
	s.Pipelined()
	frozen := store.Nodes()[0]
	frozen.Freeze()
	defer frozen.Thaw()
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for i := range allocator.PipelinesAtOnce + 10 {
		waiting.Go(func() {
			_, err := s.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: gamesOf[frozen.Addr], PlayerID: player(i)})
			if err == nil {
				t.Error("a server that does not answer has answered")
			}
		})
		if i < allocator.PipelinesAtOnce {
			pipelines.await(t, i+1)
		}
	}
	for master, game := range gamesOf {
		if master != frozen.Addr {
			ends(t, "reservations of another server", func() { atOnce(100, func(i int) { s.reserve(game, player(i)) }) })
			wantCount(t, "slots taken", s.taken(game), 101)
		}
	}
	cancel()
	waiting.Wait()
}

func TestRefusalInAPipelineSaysThatNothingWasChanged(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	s, _, game := newPipelined(t, store)
	if err := store.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, err := s.CreatePlayerSession(t.Context(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: fmt.Sprint(i)})
		wantOnlyKind(t, "without memory", err, allocator.ErrStoreUnavailable)
	}
}

func TestCallThatReachedNobodyChangedNothing(t *testing.T) {
	store := allocatortest.Redis(t)
	bothWays(t, "", func(t *testing.T, way func(*allocator.Allocator) *allocator.Allocator) {
		game := newScene(t, store).newGameSession(9)
		p := newProxy(t, store)
		cut := way(open(t, store, func(config *allocator.Config) { config.Redis = p.client(t, 1) }))
		p.vanish()
		_, err := cut.CreatePlayerSession(t.Context(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada"})
		wantOnlyKind(t, "a call that reached nobody", err, allocator.ErrStoreUnavailable)
	})
}

// busy makes as many calls in pipelines that are held up as may be under way.
func (s scene) busy(pipelines *tap, game allocator.GameSessionID) (release func(), held *sync.WaitGroup) {
	s.t.Helper()
	release, held = pipelines.holdAll(s.t), new(sync.WaitGroup)
	for i := range allocator.PipelinesAtOnce {
		held.Go(func() { s.reserve(game, fmt.Sprint("held-", i)) })
		pipelines.await(s.t, i+1)
	}
	return release, held
}

// awaitWaiting waits until so many calls wait for a pipeline.
func (s scene) awaitWaiting(n int) {
	s.t.Helper()
	allocatortest.Eventually(s.t, time.Minute, func() bool { return s.Waiting() == n }, "calls wait for a pipeline")
}

// tap is a hook that notes the script calls that are sent in pipelines and alone, and can hold them up before they are sent.
type tap struct {
	mu             sync.Mutex
	begun, largest int // pipelines
	alone          int
	ctx            context.Context // of the last of them
	held           chan struct{}   // closed when they may go on; nil while none is held up
}

// config is a configuration with the hook.
func (p *tap) config(config *allocator.Config) { config.Redis.AddHook(p) }

// forget forgets what it has noted.
func (p *tap) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun, p.largest, p.alone = 0, 0, 0
}

// holdAll holds all up from now on, until what it returns is called.
func (p *tap) holdAll(t testing.TB) (release func()) {
	p.forget()
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = held
	return release
}

// holdNoMore lets all go that are yet to come.
func (p *tap) holdNoMore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = nil
}

// await waits until n pipelines have begun.
func (p *tap) await(t testing.TB, n int) { p.awaitCount(t, &p.begun, n) }

// awaitAlone waits until n calls were made alone.
func (p *tap) awaitAlone(t testing.TB, n int) { p.awaitCount(t, &p.alone, n) }

func (p *tap) awaitCount(t testing.TB, count *int, n int) {
	t.Helper()
	allocatortest.Eventually(t, time.Minute, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return *count >= n
	}, "a call is on its way")
}

// note notes so many calls, and waits while they are held up.
func (p *tap) note(ctx context.Context, calls int) {
	p.mu.Lock()
	p.ctx = ctx
	if calls == 0 {
		p.alone++
	} else {
		p.begun++
		p.largest = max(p.largest, calls)
	}
	held := p.held
	p.mu.Unlock()
	if held != nil {
		<-held
	}
}

func (p *tap) DialHook(next redis.DialHook) redis.DialHook { return next }

func (p *tap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			p.note(ctx, 0)
		}
		return next(ctx, cmd)
	}
}

func (p *tap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[0].Name() == "evalsha" {
			p.note(ctx, len(cmds))
		}
		return next(ctx, cmds)
	}
}
