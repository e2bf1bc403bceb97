package bench

import (
	"context"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// reserving are the ways of reserving without Berth: in a game session for a player.
func reserving(t *testing.T, client redis.UniversalClient) map[string]func(game, player string) string {
	t.Helper()
	if err := loadScripts(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	pipe, err := pipelined(client)
	if err != nil {
		t.Fatal(err)
	}
	script := bareScript(pipe)
	ways := map[string]func(game, player string) string{
		"script": func(game, player string) string { return outcomeOf(script(t.Context(), newReservation(game, player))) },
	}
	for name, handler := range map[string]*httptest.Server{
		"naive": httptest.NewServer(newNaive(client)), "watch": httptest.NewServer(newWatching(client)),
	} {
		t.Cleanup(handler.Close)
		for _, p := range []*Protocol{JSON, CBOR} {
			at, err := parseBase(handler.URL)
			if err != nil {
				t.Fatal(err)
			}
			ways[name+" over "+p.Name] = func(game, player string) string {
				outcome, _ := connectTo(t, at, p).do("CreatePlayerSession", &input{GameSessionId: game, PlayerId: player})
				return outcome
			}
		}
	}
	return ways
}

// What Berth is compared with does the same work: it admits as many as there are slots, under contention too.
func TestComparatorsReserveEverySlotOnceAndNoMore(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for name, reserve := range reserving(t, store.Client()) {
			const slots, attempts = 3, 8
			game, err := createStoredGame(t.Context(), store.Client(), slots)
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			outcomes := make(map[string]int)
			var running sync.WaitGroup
			for i := range attempts {
				running.Go(func() {
					outcome := reserve(game, "player-"+decimal(int64(i)))
					mu.Lock()
					outcomes[outcome]++
					mu.Unlock()
				})
			}
			running.Wait()
			if outcomes[succeeded] != slots || outcomes[full] != attempts-slots {
				t.Errorf("%s: of %d attempts at %d slots the outcomes are %v", name, attempts, slots, outcomes)
			}
			r := newReservation(game, "")
			if n := store.Client().ZCard(t.Context(), r.sessionsKey()).Val(); n != slots {
				t.Errorf("%s: %d slots are taken, want %d", name, n, slots)
			}
		}
	})
}

func TestComparatorsLeaveTheRecordsThatTheScriptLeaves(t *testing.T) {
	store := allocatortest.Miniredis(t)
	client := store.Client()
	left := make(map[string][]string)
	for name, reserve := range reserving(t, client) {
		game, err := createStoredGame(t.Context(), client, 1)
		if err != nil {
			t.Fatal(err)
		}
		if outcome := reserve(game, "alice"); outcome != succeeded {
			t.Errorf("%s: the outcome is %s", name, outcome)
		}
		left[name] = shapeOf(t, client)
		if err := Delete(t.Context(), client, Prefix, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, shape := range left {
		if diff := cmp.Diff(left["script"], shape); diff != "" {
			t.Errorf("%s leaves other records than the script (-script +%s):\n%s", name, name, diff)
		}
	}
}

// shapeOf lists the kinds of keys that there are, the types of their values, and the fields of hashes.
func shapeOf(t *testing.T, client redis.UniversalClient) (shape []string) {
	t.Helper()
	for _, key := range client.Keys(t.Context(), Prefix+"*").Val() {
		kind := strings.Split(key, ":")[2]
		shape = append(shape, kind+" "+client.Type(t.Context(), key).Val()+" "+
			strings.Join(slices.Sorted(maps.Keys(client.HGetAll(t.Context(), key).Val())), " "))
	}
	slices.Sort(shape)
	return shape
}

func TestYardstickIsTwoHashesWithATimeToLive(t *testing.T) {
	client := allocatortest.Miniredis(t).Client()
	if err := loadScripts(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	r := newReservation("arn:aws:gamelift:us-east-1::gamesession/fleet-1/AAAA", "alice")
	if outcome := outcomeOf(yardstick(client)(t.Context(), r)); outcome != succeeded {
		t.Errorf("the outcome is %s", outcome)
	}
	keys := client.Keys(t.Context(), "*").Val()
	if len(keys) != 2 {
		t.Errorf("the keys are %q", keys)
	}
	for _, key := range keys {
		if n, ttl := client.HLen(t.Context(), key).Val(), client.TTL(t.Context(), key).Val(); n != 2 || ttl.Seconds() != 60 {
			t.Errorf("%s has %d fields and %v to live", key, n, ttl)
		}
	}
}

func TestOnlyWhatCanBeComparedIsCompared(t *testing.T) {
	for _, test := range []struct{ mix, names, want string }{
		{"reserve", "roof naive watch script yardstick", ""},
		{"reserve=1,reserve-hot=1", "script", ""},
		{"life", "roof", ""},
		{"life", "roof naive", "naive reserves and does nothing else, so it cannot be compared under life"},
		{"reserve=1,search=1", "script", "script reserves and does nothing else"},
		{"reserve", "ceiling", `there is no comparator "ceiling"; there are roof, naive, watch, script, yardstick`},
		{"reserve", "roof roof", "the comparator roof is there twice"},
	} {
		mix, err := ParseMix(test.mix)
		if err != nil {
			t.Fatal(err)
		}
		_, err = comparatorsOf(strings.Fields(test.names), mix)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s under %s: the error is %v, want %s", test.names, test.mix, err, test.want)
		}
	}
}

func TestDeleteLeavesWhatIsNotToGo(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		client := store.Client()
		for i := range 50 {
			client.Set(t.Context(), Prefix+"{"+decimal(int64(i))+"}:ps:x", 1, 0)
		}
		client.Set(t.Context(), Prefix+"{7}:gs:x", 1, 0)
		client.Set(t.Context(), "berth:{7}:ps:x", 1, 0)
		if err := Delete(t.Context(), client, Prefix, isGame); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var left []string
		eachMaster(t.Context(), client, func(ctx context.Context, master redis.Cmdable) error {
			mu.Lock()
			defer mu.Unlock()
			left = append(left, master.Keys(ctx, "*").Val()...)
			return nil
		})
		slices.Sort(left)
		if want := []string{Prefix + "{7}:gs:x", "berth:{7}:ps:x"}; !slices.Equal(left, want) {
			t.Errorf("%q are left, want %q", left, want)
		}
	})
}

func TestTimeOfTheStoreIsSummedOverItsMasters(t *testing.T) {
	for _, store := range []*allocatortest.Store{allocatortest.RedisRealTime(t), allocatortest.ClusterRealTime(t)} {
		client := store.Client()
		before, err := spentBy(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		const calls = 30
		for i := range calls {
			if err := client.Eval(t.Context(), "return redis.call('SET', KEYS[1], 1)", []string{decimal(int64(i))}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		after, err := spentBy(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		if s := after.since(before); s.scripts != calls || s.script <= 0 || s.cpu < 0 {
			t.Errorf("on %s %d scripts took %+v", store.Name(), calls, s)
		}
	}
}
