package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// faultCalls is how many calls are answered before, during and after each fault together.
var faultCalls = flag.Int("fault-calls", 600, "how many calls are answered around each fault")

// fault is something that goes wrong while clients are at work. Whatever it is, no game session ever admits more players than it
// has slots, no call reserves twice, no refusal is made up, and what was acknowledged stays, unless the promise says less.
type fault struct {
	name    string
	promise string // what holds beside that, or what does not
	store   func(testing.TB, ...string) *allocatortest.Store
	config  []string // of its servers
	flags   []string // of the instances
	user    string   // as whom the instances come, if not as the default user
	lossy   bool     // acknowledged reservations may get lost
	inflict func(t *testing.T, w *world)
}

// world is where a fault happens: a store, the network before it, instances on the network, clients.
type world struct {
	*load
	proxy     *toxiproxy.Proxy // between the instances and a single Redis
	instances []*process
	serve     func() *process // one instance more
}

var faults = []fault{
	{
		name: "connections cut before a command is sent", promise: "calls fail as unavailable and succeed when there is a network again",
		inflict: func(_ *testing.T, w *world) {
			for range 5 {
				w.proxy.Stop()
				w.suffer(20)
				w.reconnect()
				w.goOn(20)
			}
		},
	},
	{
		name: "connections cut after a command is sent, before the answer", promise: "a retry is answered with what the lost attempt did",
		inflict: func(_ *testing.T, w *world) {
			for range 5 {
				heal := w.poison(`{"name": "silence", "type": "timeout", "stream": "downstream", "attributes": {"timeout": 10}}`)
				w.suffer(20)
				heal()
				w.goOn(20)
			}
		},
	},
	{
		name: "connections cut in the middle of an answer", promise: "half an answer is no answer",
		inflict: func(_ *testing.T, w *world) {
			for _, bytes := range []int{1, 7, 40, 120, 300} {
				heal := w.poison(fmt.Sprintf(`{"name": "cut", "type": "limit_data", "stream": "downstream", "attributes": {"bytes": %d}}`, bytes))
				w.suffer(10)
				heal()
				w.goOn(20)
			}
		},
	},
	{
		name: "Redis frozen", promise: "calls fail within the timeout, and what a frozen Redis does later is accounted for",
		flags: []string{"--redis-timeout=200ms"},
		inflict: func(_ *testing.T, w *world) {
			for range 2 {
				w.store.Nodes()[0].Freeze()
				w.suffer(60)
				w.store.Nodes()[0].Thaw()
				w.goOn(60)
			}
		},
	},
	{
		name: "Redis killed and restarted", promise: "with appendfsync always nothing acknowledged is lost",
		config: []string{"--appendonly", "yes", "--appendfsync", "always"},
		inflict: func(_ *testing.T, w *world) {
			for range 3 {
				w.store.Nodes()[0].Kill()
				w.suffer(20)
				w.store.Nodes()[0].Restart()
				w.goOn(50)
			}
		},
	},
	{
		name: "Redis killed with appendfsync everysec", promise: "the end of the process loses nothing; that of the machine may lose a second, as Redis says",
		config: []string{"--appendonly", "yes", "--appendfsync", "everysec"},
		inflict: func(_ *testing.T, w *world) {
			w.store.Nodes()[0].Kill()
			w.suffer(20)
			w.store.Nodes()[0].Restart()
			w.goOn(50)
		},
	},
	{
		name: "SCRIPT FLUSH", promise: "callers notice nothing",
		inflict: func(t *testing.T, w *world) {
			before := w.failed.Load()
			for range 20 {
				if err := w.store.Client().ScriptFlush(context.Background()).Err(); err != nil {
					t.Error(err)
				}
				w.goOn(10)
			}
			if failed := w.failed.Load() - before; failed > 0 {
				t.Errorf("%d attempts failed", failed)
			}
		},
	},
	{
		name: "a master of the cluster killed", promise: "its replica takes over; what it had not received is lost, as Redis says",
		store: allocatortest.ClusterRealTime, lossy: true,
		inflict: func(_ *testing.T, w *world) {
			w.store.Nodes()[0].Kill()
			w.suffer(10)
			w.everyGameAnswers()
		},
	},
	{
		name: "the master behind Sentinel killed", promise: "a replica takes over; what it had not received is lost, as Redis says",
		store: allocatortest.SentinelRealTime, lossy: true,
		inflict: func(_ *testing.T, w *world) {
			w.store.Nodes()[0].Kill()
			w.suffer(10)
			w.everyGameAnswers()
		},
	},
	{
		name: "a master of the cluster killed, with --wait-replicas 1", promise: "nothing that was acknowledged is lost",
		store: allocatortest.ClusterRealTime, flags: []string{"--wait-replicas=1"},
		inflict: func(t *testing.T, w *world) {
			w.store.Nodes()[0].Kill()
			w.suffer(10)
			w.store.Nodes()[3].AwaitMaster()
			w.store.Nodes()[0].Restart() // as a replica: otherwise there is none to wait for
			w.everyGameAnswers()
		},
	},
	{
		name: "the master behind Sentinel killed, with --wait-replicas 1", promise: "nothing that was acknowledged is lost",
		store: allocatortest.SentinelRealTime, flags: []string{"--wait-replicas=1"},
		inflict: func(_ *testing.T, w *world) {
			w.store.Nodes()[0].Kill()
			w.suffer(10)
			w.everyGameAnswers()
		},
	},
	{
		name: "replicas of the cluster take over as told", promise: "nothing is lost, and clients follow",
		store: allocatortest.ClusterRealTime,
		inflict: func(t *testing.T, w *world) {
			for _, replica := range w.store.Nodes()[3:] {
				if err := replica.Client().ClusterFailover(context.Background()).Err(); err != nil {
					t.Error(err)
				}
				replica.AwaitMaster()
				w.goOn(30)
			}
			w.everyGameAnswers()
		},
	},
	{
		name: "slots migrated while calls run", promise: "nothing is lost, and clients follow",
		store:   allocatortest.ClusterRealTime,
		inflict: func(t *testing.T, w *world) { w.migrateSlots(t) },
	},
	{
		name: "Redis demoted to a replica that answers READONLY", promise: "writes fail as unavailable until it is the master again",
		inflict: func(t *testing.T, w *world) {
			master := w.store.Nodes()[0]
			other := allocatortest.RedisRealTime(t).Nodes()[0]
			host, port, _ := net.SplitHostPort(master.Addr)
			follow(t, other, host, port)
			if err := master.Client().Do(context.Background(), "FAILOVER").Err(); err != nil {
				t.Error(err)
			}
			w.suffer(30)
			allocatortest.Eventually(t, time.Minute, func() bool { // back again
				return other.Client().Do(context.Background(), "FAILOVER", "TO", host, port).Err() == nil
			}, "the master is told to hand over")
			w.goOn(50)
		},
	},
	{
		name: "an instance killed", promise: "the others go on, and one that is started in its place",
		inflict: func(t *testing.T, w *world) {
			victim := w.instances[0]
			victim.signal(syscall.SIGKILL)
			<-victim.ended
			w.suffer(5)
			w.replace(victim, w.serve())
			w.goOn(100)
		},
	},
	{
		name: "an instance frozen past its heartbeats", promise: "the others take over its partitions, and it takes them back",
		inflict: func(t *testing.T, w *world) {
			victim := w.instances[0]
			w.replace(victim, w.instances[1])
			if err := victim.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
			allocatortest.Eventually(t, time.Minute, func() bool {
				return w.store.Client().ZCard(context.Background(), "berth:{control}:instances").Val() == 1
			}, "the others count it as gone")
			w.goOn(100)
			if err := victim.Process.Signal(syscall.SIGCONT); err != nil {
				t.Error(err)
			}
			allocatortest.Eventually(t, time.Minute, func() bool {
				return w.store.Client().ZCard(context.Background(), "berth:{control}:instances").Val() == 2
			}, "it is back")
		},
	},
	{
		name: "notifications switched off", promise: "the sweep marks what times out",
		inflict: func(t *testing.T, w *world) {
			if err := w.store.Client().ConfigSet(context.Background(), "notify-keyspace-events", "").Err(); err != nil {
				t.Error(err)
			}
			w.goOn(100)
		},
	},
	{
		name: "CONFIG and all other admin commands forbidden", promise: "the sweep marks what times out, after a warning",
		config: strings.Fields("--user limited on >swordfish ~berth:* &* +@all -@admin -@dangerous"),
		user:   "limited:swordfish@",
		inflict: func(t *testing.T, w *world) {
			w.goOn(100)
			if wrote := w.instances[0].stderr.String(); !strings.Contains(wrote, "keyspace notifications cannot be switched on") {
				t.Errorf("no warning in\n%s", wrote)
			}
		},
	},
	{
		name: "memory exhausted under noeviction", promise: "writes fail as unavailable, and nothing is half-written",
		inflict: func(t *testing.T, w *world) {
			limit := func(bytes string) {
				if err := w.store.Client().ConfigSet(context.Background(), "maxmemory", bytes).Err(); err != nil {
					t.Error(err)
				}
			}
			limit("1")
			w.suffer(50)
			limit("0")
			w.goOn(50)
		},
	},
	{
		name: "a full disk under the append-only file", promise: "writes fail as unavailable (MISCONF), and go on when there is room",
		config: []string{"--appendonly", "yes", "--appendfsync", "everysec"},
		inflict: func(t *testing.T, w *world) {
			w.store.Nodes()[0].LimitFiles(1)
			w.suffer(50)
			w.store.Nodes()[0].LimitFiles(-1)
			w.goOn(50)
		},
	},
	{
		name: "clocks that are years apart and jump by an hour", promise: "the instances' own clocks play no part",
		store: allocatortest.Redis,
		inflict: func(_ *testing.T, w *world) {
			for range 3 {
				w.goOn(50)
				w.store.Advance(time.Hour)
			}
		},
	},
}

// reservations time out quickly, so that many do under load.
const loadTimeout = time.Second

func TestPromisesHoldWhateverHappens(t *testing.T) {
	for _, f := range faults {
		t.Run(strings.ReplaceAll(f.name, " ", "_"), func(t *testing.T) {
			if f.store == nil {
				f.store = allocatortest.RedisRealTime
			}
			w := newWorld(t, f)
			w.start()
			w.goOn(*faultCalls / 3)
			f.inflict(t, w)
			w.goOn(*faultCalls / 3)
			w.end()
			w.check()
			if wrote, err := command(t, "check", "--redis", w.store.URL()); err != nil {
				t.Errorf("berth check: %v\n%s", err, wrote)
			}
		})
	}
}

func TestTableOfFaultsIsComplete(t *testing.T) {
	table, err := os.ReadFile("FAULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		if row := fmt.Sprintf("| %s | %s |\n", f.name, f.promise); !strings.Contains(string(table), row) {
			t.Errorf("FAULTS.md lacks\n%s", row)
		}
	}
}

func newWorld(t *testing.T, f fault) *world {
	t.Helper()
	w := &world{}
	store := f.store(t, f.config...)
	url := store.URL()
	if store.Name() == "redis" {
		w.proxy = newToxiproxy(t, store.Nodes()[0].Addr)
		url = "redis://" + f.user + w.proxy.Listen + "/0"
	}
	flags := append([]string{"--redis", url, "--auto-activate", "--redis-timeout=2s", "--reservation-timeout", loadTimeout.String()}, f.flags...)
	w.serve = func() *process { return serve(t, flags...) }
	w.instances = []*process{w.serve(), w.serve()}
	w.load = newLoad(t, store, loadTimeout, w.instances...)
	w.lossy = f.lossy
	return w
}

// newToxiproxy starts a proxy that can be made to harm what passes.
func newToxiproxy(t *testing.T, upstream string) *toxiproxy.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "redis", "127.0.0.1:0", upstream)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return proxy
}

// reconnect lets connections through again, at the same address.
func (w *world) reconnect() {
	w.t.Helper()
	allocatortest.Eventually(w.t, 20*time.Second, func() bool { return w.proxy.Start() == nil }, "the proxy listens again")
}

// poison adds a toxic, and returns how to take it away.
func (w *world) poison(toxic string) (heal func()) {
	w.t.Helper()
	added, err := w.proxy.Toxics.AddToxicJson(bytes.NewBufferString(toxic))
	if err != nil {
		w.t.Fatal(err)
	}
	return func() {
		if err := w.proxy.Toxics.RemoveToxic(context.Background(), added.Name); err != nil {
			w.t.Error(err)
		}
	}
}

// everyGameAnswers waits until each game session can be changed.
func (w *world) everyGameAnswers() {
	w.t.Helper()
	for _, game := range w.games {
		allocatortest.Eventually(w.t, time.Minute, func() bool {
			status, _, err := w.anyInstance().call("UpdateGameSession", fmt.Sprintf(`{"GameSessionId": %q, "Name": "name"}`, game))
			return err == nil && status == 200
		}, "a game session can be changed")
	}
}

// follow makes a server the replica of another, and waits until it has what that has.
func follow(t *testing.T, replica *allocatortest.Node, host, port string) {
	t.Helper()
	client := replica.Client()
	if err := client.Do(context.Background(), "REPLICAOF", host, port).Err(); err != nil {
		t.Error(err)
	}
	allocatortest.Eventually(t, time.Minute, func() bool {
		info, err := client.Info(context.Background(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	}, "the replica has what its master has")
}

// migrateSlots moves the slots of all game sessions from their masters to the next one.
func (w *world) migrateSlots(t *testing.T) {
	ctx := context.Background()
	nodes := w.store.Nodes()[:3]
	clients := make([]*redis.Client, len(nodes))
	ids := make([]string, len(nodes))
	for i, node := range nodes {
		clients[i] = node.Client()
		ids[i] = clients[i].ClusterMyID(ctx).Val()
	}
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	ownerOf := func(slot int) int { // the master that has keys in it, if any has
		for i, client := range clients {
			if client.ClusterCountKeysInSlot(ctx, slot).Val() > 0 {
				return i
			}
		}
		return 0
	}
	for partition := range 256 {
		slot := int(clients[0].ClusterKeySlot(ctx, fmt.Sprintf("{%d}", partition)).Val())
		from := ownerOf(slot)
		to := (from + 1) % len(nodes)
		keys := clients[from].ClusterGetKeysInSlot(ctx, slot, 1).Val()
		if len(keys) == 0 {
			continue
		}
		must(clients[to].Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[from]).Err())
		must(clients[from].Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to]).Err())
		host, port, _ := net.SplitHostPort(nodes[to].Addr)
		for {
			keys := clients[from].ClusterGetKeysInSlot(ctx, slot, 10).Val()
			if len(keys) == 0 {
				break
			}
			arguments := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
			for _, key := range keys {
				arguments = append(arguments, key)
			}
			must(clients[from].Do(ctx, arguments...).Err())
		}
		for _, i := range []int{to, from, 3 - to - from} {
			must(clients[i].Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", ids[to]).Err())
		}
		w.goOn(1)
	}
}
