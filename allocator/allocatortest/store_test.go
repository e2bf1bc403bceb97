package allocatortest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestClockStandsStillUntilAdvanced(t *testing.T) {
	EachTopology(t, func(t *testing.T, s *Store) {
		passRealTime(t, 50*time.Millisecond)
		wantTime(t, s, beginning)
	})
}

func TestAdvanceMovesTheStoreClockExactly(t *testing.T) {
	EachTopology(t, func(t *testing.T, s *Store) {
		want := s.Now()
		for _, d := range []time.Duration{0, time.Millisecond, 999 * time.Millisecond, time.Minute, 48*time.Hour + time.Millisecond} {
			for range 10 {
				s.Advance(d)
				want = want.Add(d)
				wantTime(t, s, want)
			}
		}
	})
}

func TestScriptsSeeTheStoreClock(t *testing.T) {
	EachTopology(t, func(t *testing.T, s *Store) {
		s.Advance(time.Hour)
		told, err := s.Client().Eval(t.Context(), `return redis.call('TIME')`, []string{"key"}).StringSlice()
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("[%d %d]", s.Now().Unix(), s.Now().Nanosecond()/1000); fmt.Sprint(told) != want {
			t.Errorf("a script read the time %v, want %v", told, want)
		}
	})
}

func TestAdvanceRunsKeysOutAtTheirDeadline(t *testing.T) {
	EachTopology(t, func(t *testing.T, s *Store) {
		ctx, client := t.Context(), s.Client()
		s.Advance(time.Hour)
		deadline := s.Now().Add(time.Minute)
		for i := range 20 { // on every node of a cluster
			must(t, client.Set(ctx, fmt.Sprint("relative", i), 1, time.Minute))
			must(t, client.HSet(ctx, fmt.Sprint("absolute", i), "field", 1))
			must(t, client.PExpireAt(ctx, fmt.Sprint("absolute", i), deadline))
		}
		present := func() (n int64) {
			for i := range 20 {
				for _, key := range []string{fmt.Sprint("relative", i), fmt.Sprint("absolute", i)} {
					read, err := client.Exists(ctx, key).Result()
					if err != nil {
						t.Fatal(err)
					}
					script, err := client.Eval(ctx, `return redis.call('EXISTS', KEYS[1])`, []string{key}).Int64()
					if err != nil {
						t.Fatal(err)
					}
					n += read + script
				}
			}
			return n
		}

		s.Advance(time.Minute - time.Millisecond)
		if n := present(); n != 80 {
			t.Errorf("a millisecond before the deadline %d of 80 reads found their key, want all", n)
		}
		if left, err := client.PTTL(ctx, "relative0").Result(); err != nil || left != time.Millisecond {
			t.Errorf("a millisecond before the deadline PTTL is %v (error: %v)", left, err)
		}
		s.Advance(time.Millisecond)
		if n, atDeadline := present(), map[string]int64{"miniredis": 0, "redis": 80, "cluster": 80, "sentinel": 80}[s.Name()]; n != atDeadline {
			t.Errorf("at the deadline %d of 80 reads found their key, want %d", n, atDeadline)
		}
		s.Advance(time.Millisecond)
		if n := present(); n != 0 {
			t.Errorf("a millisecond after the deadline %d of 80 reads found their key, want none", n)
		}
	})
}

func TestAdvanceTakesWholeMillisecondsForward(t *testing.T) {
	for _, d := range []time.Duration{-time.Second, time.Microsecond} {
		got := ending(t, func(t testing.TB) { Miniredis(t).Advance(d) })
		if !strings.HasPrefix(got, "fatal: ") {
			t.Errorf("Advance(%v) ended the test with %q, want a failure", d, got)
		}
	}
}

func TestExpiredEventsComeByThemselves(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(testing.TB, ...string) *Store
		runs  bool // by itself
	}{
		{"redis", Redis, false},
		{"cluster", Cluster, false},
		{"real time", RedisRealTime, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			s := c.start(t, "--notify-keyspace-events", "Ex")
			events := make(chan string, 100)
			eachServer(t, s, func(server *redis.Client) {
				subscription := server.Subscribe(ctx, "__keyevent@0__:expired")
				t.Cleanup(func() { subscription.Close() })
				if _, err := subscription.Receive(ctx); err != nil {
					t.Fatal(err)
				}
				go func() {
					for message := range subscription.Channel() {
						events <- message.Payload
					}
				}()
			})
			for i := range 20 {
				must(t, s.Client().Set(ctx, fmt.Sprint(i), 1, 50*time.Millisecond))
			}
			if !c.runs {
				s.Advance(51 * time.Millisecond)
			}
			start := time.Now()
			Eventually(t, 10*time.Second, func() bool { return len(events) == 20 }, "20 keys ran out")
			t.Logf("the last event came after %v", time.Since(start))
		})
	}
}

func TestClusterSurvivesLeapsOfTime(t *testing.T) {
	s := Cluster(t)
	for range 5 {
		s.Advance(48 * time.Hour)
		for deadline := time.Now().Add(250 * time.Millisecond); time.Now().Before(deadline); { // two looks at the other nodes
			eachServer(t, s, func(server *redis.Client) {
				info, err := server.ClusterInfo(t.Context()).Result()
				if err != nil || !strings.Contains(info, "cluster_state:ok") || strings.Contains(server.ClusterNodes(t.Context()).Val(), "fail") {
					t.Fatalf("after two days a node says (error: %v)\n%s", err, info)
				}
			})
			for i := range 20 {
				must(t, s.Client().Set(t.Context(), fmt.Sprint(i), 1, 0))
			}
		}
	}
}

func TestRealTimeRunsAndCannotBeAdvanced(t *testing.T) {
	s := RedisRealTime(t)
	before := s.Now()
	if behind := time.Since(before); behind.Abs() > time.Minute {
		t.Errorf("the store's clock is %v behind the machine's", behind)
	}
	Eventually(t, 10*time.Second, func() bool { return s.Now().After(before) }, "the store's clock runs")
	got := ending(t, func(t testing.TB) { RedisRealTime(t).Advance(time.Second) })
	if !strings.Contains(got, "fatal: ") || !strings.Contains(got, "real time") {
		t.Errorf("Advance ended the test with %q, want a failure that names the reason", got)
	}
}

func TestStoresAreSeparate(t *testing.T) {
	EachTopology(t, func(t *testing.T, s *Store) {
		must(t, s.Client().Set(t.Context(), "key", 1, 0))
		s.Advance(time.Second)
		other := map[string]func(testing.TB, ...string) *Store{
			"miniredis": func(t testing.TB, _ ...string) *Store { return Miniredis(t) }, "redis": Redis, "cluster": Cluster, "sentinel": Sentinel,
		}[s.Name()](t)
		eachServer(t, other, func(server *redis.Client) {
			if n, err := server.DBSize(t.Context()).Result(); err != nil || n != 0 {
				t.Errorf("a new store has %d keys (error: %v), want none", n, err)
			}
		})
		wantTime(t, other, beginning)
	})
}

func TestClientsAreIndependent(t *testing.T) {
	EachTopology(t, func(t *testing.T, s *Store) {
		other := s.NewClient(t)
		must(t, other.Set(t.Context(), "key", "value", 0))
		other.Close()
		if value, err := s.Client().Get(t.Context(), "key").Result(); err != nil || value != "value" {
			t.Errorf("after another client closed, Get says %q (error: %v)", value, err)
		}
	})
}

func TestURLLeadsToTheStore(t *testing.T) {
	EachTopology(t, func(t *testing.T, s *Store) {
		var client redis.UniversalClient
		if rest, ok := strings.CutPrefix(s.URL(), "redis-cluster://"); ok {
			options, err := redis.ParseClusterURL("redis://" + rest)
			if err != nil {
				t.Fatal(err)
			}
			if len(options.Addrs) != masters {
				t.Errorf("%s names %d nodes, want %d", s.URL(), len(options.Addrs), masters)
			}
			client = redis.NewClusterClient(options)
		} else if rest, ok := strings.CutPrefix(s.URL(), "redis-sentinel://"); ok {
			options, err := redis.ParseFailoverURL("redis://" + rest)
			if err != nil {
				t.Fatal(err)
			}
			client = redis.NewFailoverClient(options)
		} else {
			options, err := redis.ParseURL(s.URL())
			if err != nil {
				t.Fatal(err)
			}
			client = redis.NewClient(options)
		}
		defer client.Close()
		must(t, s.Client().Set(t.Context(), "key", "value", 0))
		if value, err := client.Get(t.Context(), "key").Result(); err != nil || value != "value" {
			t.Errorf("the client of %s reads %q (error: %v)", s.URL(), value, err)
		}
	})
}

func TestEventuallyWaitsForTheCondition(t *testing.T) {
	asked := 0
	Eventually(t, 10*time.Second, func() bool { asked++; return asked == 3 }, "asked three times")

	got := ending(t, func(t testing.TB) {
		Eventually(t, 10*time.Millisecond, func() bool { return false }, "pigs fly")
	})
	if got != "fatal: not within 10ms: pigs fly" {
		t.Errorf("a condition that never held ended the test with %q", got)
	}
}

// The rest is about servers as processes.

func TestAbsentToolsSkipButFailInCI(t *testing.T) {
	for _, c := range []struct{ ci, path, want string }{
		{"", "", "skip: no C compiler"},
		{"true", "", "fatal: no C compiler"},
		{"", onlyCompiler(t), "skip: redis-server is not in the PATH"},
		{"true", onlyCompiler(t), "fatal: redis-server is not in the PATH"},
	} {
		t.Setenv("CI", c.ci)
		t.Setenv("PATH", c.path)
		if got := ending(t, func(t testing.TB) { Redis(t) }); !strings.HasPrefix(got, c.want) {
			t.Errorf("CI=%q PATH=%q: Redis ended the test with %q, want %q", c.ci, c.path, got, c.want)
		}
	}
}

func TestFailedStartShowsTheLog(t *testing.T) {
	Redis(t) // skips where a server cannot be had
	got := ending(t, func(t testing.TB) { Redis(t, "--no-such-setting", "1") })
	if !strings.HasPrefix(got, "fatal: ") || !strings.Contains(got, "no-such-setting") || !strings.Contains(got, "Bad directive") {
		t.Errorf("a bad argument ended the test with %q, want the server's complaint", got)
	}
}

func TestTakenPortIsToldFromFailure(t *testing.T) {
	server, err := url.Parse(RedisRealTime(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(server.Port())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := startNodeOn(t, port, nil); !errors.Is(err, errPortTaken) {
		t.Errorf("on the port of another server: %v, want %v", err, errPortTaken)
	}
	_, err = startNodeOn(t, freePort(t), nil, "--cluster-enabled", "yes", "--cluster-port", server.Port())
	if !errors.Is(err, errPortTaken) {
		t.Errorf("with a bus on the port of another server: %v, want %v", err, errPortTaken)
	}
}

func TestServersEndWithTheirTest(t *testing.T) {
	var addrs []string
	t.Run("test", func(t *testing.T) {
		EachTopology(t, func(_ *testing.T, s *Store) { addrs = append(append(addrs, s.addrs()...), s.sentinels...) })
	})
	for _, addr := range addrs {
		if accepts(addr) {
			t.Errorf("%s still accepts connections after the test", addr)
		}
	}
}

func TestCompilingLeavesNothingBehind(t *testing.T) {
	if _, err := compiler(); err != nil {
		Missing(t, err.Error())
	}
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	if _, err := compile(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v (error: %v)", left, err)
	}
}

func must(t *testing.T, command redis.Cmder) {
	t.Helper()
	if err := command.Err(); err != nil {
		t.Fatal(err)
	}
}

// wantTime asks every server of a store for the time.
func wantTime(t *testing.T, s *Store, want time.Time) {
	t.Helper()
	if now := s.Now(); !now.Equal(want) {
		t.Fatalf("Now says %v, want %v", now, want)
	}
	eachServer(t, s, func(server *redis.Client) {
		if now, err := server.Time(t.Context()).Result(); err != nil || !now.Equal(want) {
			t.Fatalf("TIME says %v (error: %v), want %v", now.UTC(), err, want)
		}
	})
}

// eachServer calls f with a client of each server of a store, on the goroutine of the test.
func eachServer(t *testing.T, s *Store, f func(*redis.Client)) {
	t.Helper()
	for _, addr := range s.addrs() {
		server := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { server.Close() })
		f(server)
	}
}

// passRealTime lets real time pass: how the world goes on while a store's clock stands.
func passRealTime(t *testing.T, d time.Duration) {
	t.Helper()
	start := time.Now()
	Eventually(t, time.Minute, func() bool { return time.Since(start) > d }, "real time passes")
}

// ending runs f and says how it ended its test: "fatal: message", "skip: message", or nothing.
func ending(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	stand := &understudy{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(stand)
	}()
	<-done
	return stand.ending
}

// understudy is a test that may end without ending ours.
type understudy struct {
	testing.TB
	ending string
}

func (u *understudy) Fatal(args ...any) { u.end("fatal: " + fmt.Sprint(args...)) }
func (u *understudy) Fatalf(format string, args ...any) {
	u.end("fatal: " + fmt.Sprintf(format, args...))
}
func (u *understudy) Skip(args ...any) { u.end("skip: " + fmt.Sprint(args...)) }

func (u *understudy) end(ending string) {
	u.ending = ending
	runtime.Goexit()
}

// onlyCompiler returns a PATH that has a C compiler and nothing else.
func onlyCompiler(t *testing.T) string {
	t.Helper()
	cc, err := compiler()
	if err != nil {
		Missing(t, err.Error())
	}
	if _, err := clockLibrary(); err != nil { // while the compiler finds its own tools
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.Symlink(cc, filepath.Join(folder, "cc")); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestNodeKeepsItsDataThroughACrash(t *testing.T) {
	s := RedisRealTime(t, "--appendonly", "yes", "--appendfsync", "always")
	must(t, s.Client().Set(t.Context(), "key", "value", 0))
	node := s.Nodes()[0]
	node.Kill()
	if accepts(node.Addr) {
		t.Error("it accepts connections after its death")
	}
	node.Restart()
	if value, err := s.Client().Get(t.Context(), "key").Result(); err != nil || value != "value" {
		t.Errorf("after the restart the key is %q (error: %v)", value, err)
	}
}

func TestFrozenNodeAnswersWhenItThaws(t *testing.T) {
	s := RedisRealTime(t)
	node := s.Nodes()[0]
	node.Freeze()
	answer := make(chan error, 1)
	go func() { answer <- s.Client().Ping(context.Background()).Err() }()
	passRealTime(t, 100*time.Millisecond)
	select {
	case err := <-answer:
		t.Errorf("a frozen server answers (error: %v)", err)
	default:
	}
	node.Thaw()
	if err := <-answer; err != nil {
		t.Errorf("after the thaw: %v", err)
	}
}

func TestReplicaTakesOver(t *testing.T) {
	for _, start := range []func(testing.TB, ...string) *Store{ClusterRealTime, SentinelRealTime} {
		s := start(t)
		t.Run(s.Name(), func(t *testing.T) {
			var keys []string
			for i := range 100 { // of all masters
				keys = append(keys, fmt.Sprint("key", i))
				must(t, s.Client().Set(t.Context(), keys[i], "value", 0))
			}
			master := s.Nodes()[0]
			if acknowledged, err := master.Client().Wait(t.Context(), 1, time.Minute).Result(); err != nil || acknowledged < 1 {
				t.Fatalf("%d replicas have all (error: %v)", acknowledged, err)
			}
			master.Kill()
			Eventually(t, time.Minute, func() bool {
				return slices.ContainsFunc(s.Nodes()[1:], func(node *Node) bool {
					info, err := node.Client().Info(t.Context(), "replication").Result()
					return err == nil && strings.Contains(info, "role:master") && (s.Name() == "sentinel" || node == s.Nodes()[3])
				})
			}, "a replica is the master")
			Eventually(t, time.Minute, func() bool {
				client := s.NewClient(t) // an older one asks the master that is gone for a minute
				defer client.Close()
				return !slices.ContainsFunc(keys, func(key string) bool {
					return client.Get(t.Context(), key).Val() != "value" || client.Set(t.Context(), key, "value", 0).Err() != nil
				})
			}, "all keys can be read and written again")
		})
	}
}
