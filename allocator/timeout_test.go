package allocator_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// Lazily: nothing runs Run in these tests, so what they see is what the scripts say by themselves.

func TestReservationIsTimedOutAtItsDeadlineToTheMillisecond(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		p := s.reserve(s.newGameSession(5), "ada")
		deadline := p.CreationTime.Add(reservationTimeout)

		reads := map[string]func() []allocator.PlayerSession{
			"by player session": func() []allocator.PlayerSession { return []allocator.PlayerSession{*s.read(p.ID)} },
			"by game session":   func() []allocator.PlayerSession { return s.playersOf(p.GameSessionID, "") },
			"by player": func() []allocator.PlayerSession {
				out, err := s.DescribePlayerSessions(t.Context(), allocator.DescribePlayerSessionsInput{PlayerID: "ada"})
				if err != nil {
					t.Fatal(err)
				}
				return out.PlayerSessions
			},
		}
		expect := func(status allocator.PlayerSessionStatus, ended time.Time) {
			t.Helper()
			for how, read := range reads {
				if got := read(); len(got) != 1 || got[0].Status != status || !got[0].TerminationTime.Equal(ended) {
					t.Errorf("%v to the deadline, %s: %+v, want it %s, ended %v", deadline.Sub(store.Now()), how, got, status, ended)
				}
			}
			for _, filter := range []allocator.PlayerSessionStatus{allocator.PlayerSessionReserved, allocator.PlayerSessionTimedOut} {
				if got := len(s.playersOf(p.GameSessionID, filter)); (got == 1) != (filter == status) {
					t.Errorf("%v to the deadline, filter %s: %d player sessions", deadline.Sub(store.Now()), filter, got)
				}
			}
		}
		expect(allocator.PlayerSessionReserved, time.Time{})
		store.Advance(reservationTimeout - time.Millisecond)
		expect(allocator.PlayerSessionReserved, time.Time{})
		store.Advance(time.Millisecond)
		expect(allocator.PlayerSessionTimedOut, deadline)
		store.Advance(time.Millisecond)
		expect(allocator.PlayerSessionTimedOut, deadline)
		store.Advance(retention)
		expect(allocator.PlayerSessionTimedOut, deadline)
	})
}

func TestExpiredReservationFreesItsSlot(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(1)
		s.reserve(game, "ada")
		store.Advance(reservationTimeout - time.Millisecond)
		wantKind(t, "reserve a millisecond before the deadline", s.tryReserve(game), allocator.ErrGameSessionFull)
		wantCount(t, "slots taken a millisecond before the deadline", s.taken(game), 1)
		store.Advance(time.Millisecond)
		wantCount(t, "slots taken at the deadline", s.taken(game), 0)
		s.reserve(game, "bob")
		wantKind(t, "reserve once more", s.tryReserve(game), allocator.ErrGameSessionFull)
		wantInvariants(t, store, s.Allocator)
	})
}

func TestExpiredReservationsFreeTheirSlotsForAGroup(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(2)
		group := allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: []string{"ada", "bob"}}
		s.reserve(game, "cy")
		store.Advance(reservationTimeout - time.Millisecond)
		_, err := s.CreatePlayerSessions(t.Context(), group)
		wantKind(t, "reserve a millisecond before the deadline", err, allocator.ErrGameSessionFull)
		store.Advance(time.Millisecond)
		if _, err := s.CreatePlayerSessions(t.Context(), group); err != nil {
			t.Errorf("reserve at the deadline: %v", err)
		}
	})
}

func TestReservationCanBeAcceptedUntilItsDeadline(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(5)
		early, late := s.reserve(game, "early"), s.reserve(game, "late")
		store.Advance(reservationTimeout - time.Millisecond)
		s.accept(early)
		store.Advance(time.Millisecond)
		wantKind(t, "accept at the deadline", s.tryAccept(late), allocator.ErrInvalidPlayerSessionStatus)
		wantKind(t, "remove what has timed out", s.tryRemove(late), allocator.ErrInvalidPlayerSessionStatus)
		if got := s.read(late.ID); got.Status != allocator.PlayerSessionTimedOut {
			t.Errorf("a refused AcceptPlayerSession left the player session %s", got.Status)
		}
	})
}

func TestRefusalSaysWhenTheReservationTimedOut(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		p := s.reserve(s.newGameSession(1), "ada")
		store.Advance(reservationTimeout)
		want := "timed out at " + p.CreationTime.Add(reservationTimeout).Format(time.RFC3339Nano)
		for _, when := range []string{"at the deadline", "an hour later", "when it is marked"} {
			for what, err := range map[string]error{"accept": s.tryAccept(p), "remove": s.tryRemove(p)} {
				if !strings.Contains(fmt.Sprint(err), want) {
					t.Errorf("%s %s: %v, want it to say %q", what, when, err, want)
				}
			}
			if when == "at the deadline" {
				store.Advance(time.Hour - time.Millisecond)
			} else {
				s.sweep()
			}
		}
	})
}

func TestActivePlayerSessionNeverTimesOut(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(1)
		p := s.reserve(game, "ada")
		s.accept(p)
		store.Advance(30 * 24 * time.Hour)
		if swept := s.sweep(); swept != (allocator.Swept{}) {
			t.Errorf("a sweep found %+v to do", swept)
		}
		if got := s.read(p.ID); got.Status != allocator.PlayerSessionActive || !got.TerminationTime.IsZero() {
			t.Errorf("after a month the player session is %s, ended %v", got.Status, got.TerminationTime)
		}
		wantKind(t, "reserve its slot", s.tryReserve(game), allocator.ErrGameSessionFull)
		wantInvariants(t, store, s.Allocator)
	})
}

// Marked: what the scripts have said since the deadline comes to stand in the record.

func TestRecordSaysTimedOutOnlyOnceItIsMarked(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		p := s.reserve(s.newGameSession(1), "ada")
		store.Advance(reservationTimeout - time.Millisecond)
		if swept := s.sweep(); swept != (allocator.Swept{}) {
			t.Errorf("a millisecond before the deadline a sweep found %+v to do", swept)
		}
		store.Advance(time.Millisecond)
		if got := recordStatus(t, store.Client(), p); got != "RESERVED" {
			t.Errorf("with nobody sweeping, the record says %s", got)
		}
		if swept := s.sweep(); swept != (allocator.Swept{TimedOut: 1}) {
			t.Errorf("at the deadline a sweep found %+v to do", swept)
		}
		if got := recordStatus(t, store.Client(), p); got != "TIMEDOUT" {
			t.Errorf("after a sweep the record says %s", got)
		}
		wantInvariants(t, store, s.Allocator)
	})
}

func TestSweepMarksTheTimeOfTheDeadline(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		p := s.reserve(s.newGameSession(1), "ada")
		store.Advance(reservationTimeout + retention/2)
		s.sweep()
		if got, want := s.read(p.ID).TerminationTime, p.CreationTime.Add(reservationTimeout); !got.Equal(want) {
			t.Errorf("TerminationTime is %v, want the deadline %v", got, want)
		}
	})
}

func TestSweepLeavesTheNextDeadlineOfTheGameSession(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(3)
		s.reserve(game, "first")
		store.Advance(time.Second)
		s.reserve(game, "second")
		s.accept(s.reserve(game, "active"))
		store.Advance(reservationTimeout - time.Second)
		wantCount(t, "marked at the first deadline", s.sweep().TimedOut, 1)
		wantInvariants(t, store, s.Allocator)
		store.Advance(time.Second)
		wantCount(t, "marked at the second deadline", s.sweep().TimedOut, 1)
		for at := range wantInvariants(t, store, s.Allocator).sets {
			if at.kind == "deadlines" {
				t.Error("a deadline is listed when no reservation is left")
			}
		}
	})
}

func TestSweepKeepsTheDeadlineOfWhatComesDueWhileItRuns(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	game := s.newGameSession(2)
	s.reserve(game, "first")
	store.Advance(time.Second)
	s.reserve(game, "second")
	store.Advance(reservationTimeout - time.Second)

	// The sweep looks at the partitions, then at the slots, and then the second reservation comes due.
	looks := 0
	sweeper := open(t, store, func(config *allocator.Config) {
		config.Redis.AddHook(afterPipelines(func() {
			if looks++; looks == 2 {
				store.Advance(time.Minute)
			}
		}))
	})
	swept, err := sweeper.Sweep(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantCount(t, "marked at first", swept.TimedOut, 1)
	wantInvariants(t, store, s.Allocator)
	wantCount(t, "marked by the next sweep", s.sweep().TimedOut, 1)
	wantInvariants(t, store, s.Allocator)
}

func TestSweepGetsThroughAnyNumberAtOnce(t *testing.T) {
	store := allocatortest.Redis(t)
	s := newScene(t, store, func(c *allocator.Config) { c.MaxPlayerSessions = 1000 })
	game := s.newGameSession(1000)
	reserved := 0
	for i := range 12 { // more in one game session than a sweep takes at a time
		out, err := s.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: groupOf(i, 25)})
		if err != nil {
			t.Fatal(err)
		}
		reserved += len(out)
	}
	for _, other := range s.gameSessionsInOnePartition(120) { // more game sessions of one partition as well
		s.reserve(other, "ada")
		reserved++
	}
	store.Advance(reservationTimeout)
	if swept := s.sweep(); swept != (allocator.Swept{TimedOut: reserved}) {
		t.Errorf("at the deadline the sweep did %+v, want %d marked", swept, reserved)
	}
	wantInvariants(t, store, s.Allocator)
	store.Advance(retention)
	if swept := s.sweep(); swept != (allocator.Swept{Purged: reserved}) {
		t.Errorf("at the end of the retention the sweep did %+v, want %d purged", swept, reserved)
	}
	if left := wantInvariants(t, store, s.Allocator).playerSessions(); len(left) > 0 {
		t.Errorf("%d player sessions are left", len(left))
	}
}

func TestSweepPurgesWhatTimedOutLongerAgoThanTheRetention(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		s.reserve(s.newGameSession(1), "ada")
		store.Advance(reservationTimeout + retention)
		if swept := s.sweep(); swept != (allocator.Swept{TimedOut: 1, Purged: 1}) {
			t.Errorf("the only sweep did %+v", swept)
		}
	})
}

func TestDamagedGameSessionKeepsTheSweepFromNoOther(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	var reserved []*allocator.PlayerSession
	for i := range 10 {
		reserved = append(reserved, s.reserve(s.newGameSession(1), player(i)))
	}
	if err := store.Client().Set(t.Context(), recordKey(reserved[3].ID), "no hash", 0).Err(); err != nil {
		t.Fatal(err)
	}
	store.Advance(reservationTimeout)
	swept, err := s.Sweep(t.Context())
	wantOnlyKind(t, "Sweep", err, allocator.ErrInternal)
	wantCount(t, "marked", swept.TimedOut, 9)
}

// Notified: an hour passes between sweeps, so only the expired event can have the record marked.

func TestExpiredEventMarksTheRecord(t *testing.T) {
	inDatabase := func(db int) func(*testing.T, *allocatortest.Store) redis.UniversalClient {
		return func(t *testing.T, store *allocatortest.Store) redis.UniversalClient {
			return clientLike(t, store.Client(), func(o *redis.Options) { o.DB = db })
		}
	}
	for _, c := range []struct {
		name   string
		store  func(testing.TB, ...string) *allocatortest.Store
		client func(*testing.T, *allocatortest.Store) redis.UniversalClient
	}{
		{"real time", allocatortest.RedisRealTime, inDatabase(0)},
		{"real time, another database", allocatortest.RedisRealTime, inDatabase(5)},
		{"cluster", allocatortest.Cluster, func(t *testing.T, store *allocatortest.Store) redis.UniversalClient { return store.NewClient(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := c.store(t)
			client := c.client(t, store)
			s := newScene(t, store, func(config *allocator.Config) {
				config.Redis = client
				config.SweepInterval = time.Hour
				config.ReservationTimeout = 200 * time.Millisecond
			})
			clockwork(t, s.Allocator)
			waitUntilItFollows(t, store, s.Allocator)
			var reserved []*allocator.PlayerSession
			for i := range 20 { // in many partitions, on every node
				reserved = append(reserved, s.reserve(s.newGameSession(1), player(i)))
			}
			if store.Name() == "cluster" {
				store.Advance(201 * time.Millisecond)
			}
			allocatortest.Eventually(t, 20*time.Second, func() bool {
				return !slices.ContainsFunc(reserved, func(p *allocator.PlayerSession) bool { return recordStatus(t, client, p) != "TIMEDOUT" })
			}, "the expired events have all records marked")
		})
	}
}

// waitUntilItFollows waits until an instance follows each server and owns all partitions.
func waitUntilItFollows(t *testing.T, store *allocatortest.Store, a *allocator.Allocator) {
	t.Helper()
	allocatortest.Eventually(t, 20*time.Second, func() bool {
		var deaf atomic.Bool
		eachServer(t, store, func(ctx context.Context, server *redis.Client) error {
			patterns, err := server.PubSubChannels(ctx, "__keyevent@*__:expired").Result()
			flags := server.ConfigGet(ctx, "notify-keyspace-events").Val()["notify-keyspace-events"]
			if len(patterns) == 0 || !strings.Contains(flags, "E") || !strings.ContainsAny(flags, "xA") {
				deaf.Store(true)
			}
			return err
		})
		return !deaf.Load() && len(a.Owned()) == allocator.Partitions
	}, "the instance follows the store")
}

func TestConfigKeepsTheNotificationsThatAreOnAlready(t *testing.T) {
	store := allocatortest.RedisRealTime(t)
	client := store.Client()
	const setting = "notify-keyspace-events"
	for _, before := range []string{"", "KA", "Kg", "gx", "KEA", "E$", "KEgxtm", "A"} {
		if err := client.ConfigSet(t.Context(), setting, before).Err(); err != nil {
			t.Fatal(err)
		}
		before = client.ConfigGet(t.Context(), setting).Val()[setting] // as the server writes it
		stop := clockwork(t, open(t, store))
		after := ""
		allocatortest.Eventually(t, 20*time.Second, func() bool {
			after = client.ConfigGet(t.Context(), setting).Val()[setting]
			return strings.Contains(after, "E") && strings.ContainsAny(after, "xA")
		}, fmt.Sprintf("expired events are switched on where %q was set", before))
		stop()
		for _, flag := range before {
			if !strings.ContainsRune(after, flag) {
				t.Errorf("%q became %q", before, after)
			}
		}
		for _, flag := range after {
			if !strings.ContainsRune(before+"Ex", flag) {
				t.Errorf("%q became %q", before, after)
			}
		}
	}
}

// Swept: where CONFIG is forbidden there are no notifications.

func TestSweepMarksWhereNotificationsCannotBeHad(t *testing.T) {
	for name, store := range map[string]func(*testing.T) (*allocatortest.Store, redis.UniversalClient){
		"CONFIG renamed": func(t *testing.T) (*allocatortest.Store, redis.UniversalClient) {
			store := allocatortest.Redis(t, "--rename-command", "CONFIG", "")
			return store, store.NewClient(t)
		},
		"CONFIG not permitted": func(t *testing.T) (*allocatortest.Store, redis.UniversalClient) {
			store := allocatortest.Redis(t)
			return store, clientWithout(t, store, "-config")
		},
		"miniredis": func(t *testing.T) (*allocatortest.Store, redis.UniversalClient) {
			store := allocatortest.Miniredis(t)
			return store, store.NewClient(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, client := store(t)
			s := newScene(t, store, func(config *allocator.Config) {
				config.Redis = client
				config.SweepInterval = 10 * time.Millisecond
			})
			clockwork(t, s.Allocator)
			p := s.reserve(s.newGameSession(1), "ada")
			store.Advance(reservationTimeout)
			allocatortest.Eventually(t, 20*time.Second, func() bool { return recordStatus(t, store.Client(), p) == "TIMEDOUT" }, "the sweep marks the record")
			store.Advance(retention)
			allocatortest.Eventually(t, 20*time.Second, func() bool { return s.read(p.ID) == nil }, "the sweep purges the player session")
		})
	}
}

func TestForbiddenConfigIsWarnedOfOnce(t *testing.T) {
	t.Parallel()
	store := allocatortest.Redis(t)
	client := clientWithout(t, store, "-config")
	tries := countCommands(client, "config")
	var log logs
	clockwork(t, open(t, store, func(config *allocator.Config) {
		config.Redis = client
		config.Logger = log.logger()
	}))
	allocatortest.Eventually(t, time.Minute, func() bool { return tries.Load() >= 2 }, "the instance tries a second time")
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "notify-keyspace-events to Ex") {
		t.Errorf("it warned %d times:\n%s", n, &log)
	}
}

func TestStoreThatIsAwayIsNotSaidToForbidConfig(t *testing.T) {
	t.Parallel()
	var log logs
	var tries *atomic.Int64
	a, death := openMortal(t, allocatortest.Redis(t), func(config *allocator.Config) {
		config.Logger = log.logger()
		tries = countCommands(config.Redis, "config")
	})
	death.after(0)
	clockwork(t, a)
	allocatortest.Eventually(t, time.Minute, func() bool { return tries.Load() >= 2 }, "the instance tries a second time")
	if strings.Contains(log.String(), "notify-keyspace-events") {
		t.Errorf("it logged\n%s", &log)
	}
}

func TestSweepOnlyLeavesTheNotificationsAlone(t *testing.T) {
	store := allocatortest.Redis(t)
	client := store.NewClient(t)
	configured := countCommands(client, "config")
	var log logs
	s := newScene(t, store, func(config *allocator.Config) {
		config.Redis = client
		config.SweepOnly = true
		config.SweepInterval = 10 * time.Millisecond
		config.Logger = log.logger()
	})
	clockwork(t, s.Allocator)
	p := s.reserve(s.newGameSession(1), "ada")
	store.Advance(reservationTimeout)
	allocatortest.Eventually(t, 20*time.Second, func() bool { return recordStatus(t, store.Client(), p) == "TIMEDOUT" }, "the sweep marks the record")
	wantCount(t, "CONFIG commands", int(configured.Load()), 0)
	if log.String() != "" {
		t.Errorf("it logged\n%s", &log)
	}
}

// clientWithout returns a client whose user lacks a permission.
func clientWithout(t *testing.T, store *allocatortest.Store, rule string) redis.UniversalClient {
	t.Helper()
	if err := store.Client().Do(t.Context(), "ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", rule).Err(); err != nil {
		t.Fatal(err)
	}
	return clientLike(t, store.Client(), func(o *redis.Options) { o.Username, o.Password = "limited", "secret" })
}

// recordStatus is what the record of a player session says.
func recordStatus(t testing.TB, client redis.UniversalClient, p *allocator.PlayerSession) string {
	t.Helper()
	status, err := client.HGet(t.Context(), recordKey(p.ID), "status").Result()
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// groupOf names the players of the i-th group.
func groupOf(i, n int) []string {
	ids := make([]string, n)
	for j := range ids {
		ids[j] = fmt.Sprintf("player-%d-%d", i, j)
	}
	return ids
}

// gameSessionsInOnePartition creates game sessions of one slot, all in the partition of the first.
func (s scene) gameSessionsInOnePartition(n int) (games []allocator.GameSessionID) {
	s.t.Helper()
	for i := 0; len(games) < n; i++ {
		name := fmt.Sprintf("room-%d", i)
		if id := gameSessionID(s.fleet, name); len(games) == 0 || partitionOf(id) == partitionOf(games[0]) {
			in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1, GameSessionID: name}
			if _, err := s.CreateGameSession(context.Background(), in); err != nil {
				s.t.Fatal(err)
			}
			games = append(games, id)
		}
	}
	return games
}

// A store that lost data may have a deadline that is not that of the record. A sweep is not to stumble over it for ever.
func TestSweepSetsRightADeadlineThatIsNotTheRecords(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(9)
		reserved, active, completed, gone := s.reserve(game, "ada"), s.reserve(game, "bob"), s.reserve(game, "cyd"), s.reserve(game, "dan")
		s.accept(active)
		s.accept(completed)
		s.remove(completed)
		raw, ctx := store.Client(), t.Context()
		for _, p := range []*allocator.PlayerSession{reserved, active, completed, gone} {
			if err := raw.ZAdd(ctx, gameKey("players", game), redis.Z{Score: 1, Member: refIn(recordKey(p.ID))}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		lost := recordKey(gone.ID)
		if err := raw.Del(ctx, lost, sibling(lost, "ttl:"+refIn(lost)), sibling(lost, "player:dan")).Err(); err != nil {
			t.Fatal(err)
		}

		if swept := s.sweep(); swept.TimedOut != 0 {
			t.Errorf("the sweep did %+v", swept)
		}
		wantInvariants(t, store, s.Allocator)
		wantCount(t, "slots taken", s.taken(game), 2)
	})
}
