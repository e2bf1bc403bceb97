package allocator_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

func TestPlacementGoesWhereItsQueueLikesItBest(t *testing.T) {
	latencies := func(player string, of map[string]float64) (all []allocator.PlayerLatency) {
		for _, location := range slices.Sorted(maps.Keys(of)) {
			all = append(all, allocator.PlayerLatency{PlayerID: player, Location: "custom-" + location, Milliseconds: of[location]})
		}
		return all
	}
	first := func(priorities ...allocator.Priority) func(*allocator.Queue) {
		return func(q *allocator.Queue) { q.PriorityOrder = priorities }
	}
	both := func(changes ...func(*allocator.Queue)) func(*allocator.Queue) {
		return func(q *allocator.Queue) {
			for _, change := range changes {
				change(q)
			}
		}
	}
	locations := func(order ...string) func(*allocator.Queue) {
		return func(q *allocator.Queue) { q.LocationOrder = order }
	}
	allowed := func(only ...string) func(*allocator.Queue) {
		return func(q *allocator.Queue) { q.AllowedLocations = only }
	}
	policies := func(of ...allocator.LatencyPolicy) func(*allocator.Queue) {
		return func(q *allocator.Queue) { q.LatencyPolicies = of }
	}
	override := func(only bool, order ...string) *allocator.PriorityOverride {
		return &allocator.PriorityOverride{LocationOrder: order, Only: only}
	}

	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		fleets := map[string]string{
			"dear":   s.fleetAt("3", "custom-a", "custom-b"),
			"cheap":  s.fleetAt("1", "custom-b", "custom-c"),
			"middle": s.fleetAt("2", "custom-d"),
		}
		for _, c := range []struct {
			name         string
			destinations string // dear, cheap and middle unless it says otherwise
			queue        func(*allocator.Queue)
			latencies    []allocator.PlayerLatency
			override     *allocator.PriorityOverride
			want         string // empty: nowhere
		}{
			{name: "the cheapest", want: "cheap custom-b"},
			{name: "the first destination", queue: first(allocator.PriorityDestination), want: "dear custom-a"},
			{name: "the first destination of another order", destinations: "middle cheap dear", queue: first(allocator.PriorityDestination), want: "middle custom-d"},
			{name: "the first location", queue: both(first(allocator.PriorityLocation), locations("custom-c", "custom-a")), want: "cheap custom-c"},
			{name: "the first location that there is", queue: both(first(allocator.PriorityLocation), locations("custom-x", "custom-a")), want: "dear custom-a"},
			{name: "the location before the cost", queue: both(first(allocator.PriorityLocation, allocator.PriorityCost), locations("custom-b")), want: "cheap custom-b"},
			{name: "the location, then the destination", queue: both(first(allocator.PriorityLocation, allocator.PriorityDestination), locations("custom-b")), want: "dear custom-b"},
			{name: "the lowest latency", latencies: latencies("p", map[string]float64{"a": 100, "c": 50, "d": 20}), want: "middle custom-d"},
			{name: "the lowest latency, then the cost", latencies: latencies("p", map[string]float64{"a": 100, "b": 50}), want: "cheap custom-b"},
			{name: "the lowest latency after the cost", queue: first(allocator.PriorityCost), latencies: latencies("p", map[string]float64{"a": 1, "b": 70, "c": 50}), want: "cheap custom-c"},
			{
				name:      "the lowest mean latency",
				latencies: append(latencies("p", map[string]float64{"a": 10, "d": 45}), latencies("q", map[string]float64{"a": 90, "d": 45})...),
				want:      "middle custom-d",
			},
			{
				name:      "where the latency of all is known",
				latencies: append(latencies("p", map[string]float64{"a": 10, "d": 45}), latencies("q", map[string]float64{"d": 45})...),
				want:      "middle custom-d",
			},
			{name: "an allowed location", queue: allowed("custom-a", "custom-x"), want: "dear custom-a"},
			{name: "nowhere that is allowed", queue: allowed("custom-x"), want: ""},
			{name: "an override, then the rest", override: override(false, "custom-x", "custom-d"), want: "middle custom-d"},
			{name: "an override that leads nowhere, then the rest", override: override(false, "custom-x"), want: "cheap custom-b"},
			{name: "an override alone", override: override(true, "custom-a"), want: "dear custom-a"},
			{name: "an override alone that leads nowhere", override: override(true, "custom-x"), want: ""},
			{name: "an override before the latency", override: override(false, "custom-a"), latencies: latencies("p", map[string]float64{"a": 100, "b": 1}), want: "dear custom-a"},
			{
				name: "within the latency policy", queue: both(first(allocator.PriorityCost), policies(allocator.LatencyPolicy{Maximum: 60 * time.Millisecond})),
				latencies: latencies("p", map[string]float64{"a": 60, "b": 61, "c": 61}), want: "dear custom-a",
			},
			{
				name: "not where the latency of one is unknown", queue: policies(allocator.LatencyPolicy{Maximum: time.Second}),
				latencies: append(latencies("p", map[string]float64{"a": 60}), latencies("q", map[string]float64{"b": 60})...), want: "",
			},
			{name: "anywhere without latencies", queue: policies(allocator.LatencyPolicy{Maximum: time.Millisecond}), want: "cheap custom-b"},
			{
				name: "not where one is too far away, whatever the mean", queue: policies(allocator.LatencyPolicy{Maximum: 60 * time.Millisecond}),
				latencies: append(latencies("p", map[string]float64{"a": 1, "d": 59}), latencies("q", map[string]float64{"a": 61, "d": 59})...), want: "middle custom-d",
			},
		} {
			destinations := c.destinations
			if destinations == "" {
				destinations = "dear cheap middle"
			}
			name := "case-" + strings.ReplaceAll(strings.ReplaceAll(c.name, " ", "-"), ",", "")
			in := allocator.CreateGameSessionQueueInput{Queue: allocator.Queue{Name: name}}
			for _, fleet := range strings.Fields(destinations) {
				in.Destinations = append(in.Destinations, fleets[fleet])
			}
			if c.queue != nil {
				c.queue(&in.Queue)
			}
			if _, err := s.CreateGameSessionQueue(context.Background(), in); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			p := s.placed(allocator.StartGameSessionPlacementInput{PlacementID: name[:min(48, len(name))], QueueName: name, MaximumPlayerSessionCount: 2, PlayerLatencies: c.latencies, PriorityOverride: c.override})
			got := ""
			if p.Status == allocator.PlacementFulfilled {
				game := s.describe(p.GameSession)
				for fleet, arn := range fleets {
					if arn == game.FleetARN {
						got = fleet + " " + game.Location
					}
				}
			} else if p.Status != allocator.PlacementPending {
				t.Errorf("%s: %s", c.name, p.Status)
			}
			if got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
			if err := s.DeleteGameSessionQueue(context.Background(), name); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestLatencyPoliciesFollowOneAnother(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		near, far := s.fleetAt("", "custom-near"), s.fleetAt("", "custom-far")
		s.newQueue("queue", func(q *allocator.Queue) {
			q.LatencyPolicies = []allocator.LatencyPolicy{ // the strictest is in force first, wherever it stands
				{Maximum: 80 * time.Millisecond, Duration: 20 * time.Second},
				{Maximum: 40 * time.Millisecond, Duration: 10 * time.Second},
			}
		}, near, far)
		for _, c := range []struct {
			near  int // ms to the near location; it is 200 to the far one
			after time.Duration
			want  allocator.PlacementStatus
		}{
			{40, 0, allocator.PlacementFulfilled},
			{41, 0, allocator.PlacementPending},
			{80, 10*time.Second - time.Millisecond, allocator.PlacementPending},
			{80, 10 * time.Second, allocator.PlacementFulfilled},
			{81, 10 * time.Second, allocator.PlacementPending},
			{81, 30*time.Second - time.Millisecond, allocator.PlacementPending},
			{81, 30 * time.Second, allocator.PlacementFulfilled}, // no policy is in force any more
		} {
			id := fmt.Sprintf("placement-%d-%d", c.near, c.after.Milliseconds())
			s.placed(allocator.StartGameSessionPlacementInput{
				PlacementID: id, QueueName: "queue", MaximumPlayerSessionCount: 1,
				PlayerLatencies: []allocator.PlayerLatency{{PlayerID: "p", Location: "custom-near", Milliseconds: float64(c.near)}, {PlayerID: "p", Location: "custom-far", Milliseconds: 200}},
			})
			store.Advance(c.after)
			s.sweep()
			p := s.placement(id)
			if p.Status != c.want {
				t.Errorf("%d ms, after %v: it is %s, want %s", c.near, c.after, p.Status, c.want)
			}
			if p.Status == allocator.PlacementFulfilled && s.describe(p.GameSession).Location != "custom-near" {
				t.Errorf("%d ms, after %v: it is far away", c.near, c.after)
			}
		}
	})
}

func TestPlacementFollowsAliases(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		alias := func(name string, strategy allocator.RoutingStrategy) *allocator.Alias {
			made, err := s.CreateAlias(ctx, allocator.CreateAliasInput{Name: name, RoutingStrategy: strategy})
			if err != nil {
				t.Fatal(err)
			}
			return made
		}
		one, two := allocator.FleetID(s.fleetAt("", "custom-a")), allocator.FleetID(s.fleetAt("", "custom-b"))
		terminal := alias("closed", allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "gone fishing"})
		live := alias("live", allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: one})
		gone := alias("gone", allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: one})
		s.newQueue("queue", nil, gone.ARN, terminal.ARN, live.ARN)
		if err := s.DeleteAlias(ctx, gone.ID); err != nil {
			t.Fatal(err)
		}
		start := func(id string) *allocator.Placement {
			return s.placed(allocator.StartGameSessionPlacementInput{PlacementID: id, QueueName: "queue", MaximumPlayerSessionCount: 1})
		}
		if p := start("first"); p.Status != allocator.PlacementFulfilled || s.describe(p.GameSession).FleetARN != string(one) {
			t.Errorf("it is %s in %s, want it in %s, to which the alias leads", p.Status, p.GameSession, one)
		}
		if _, err := s.UpdateAlias(ctx, allocator.UpdateAliasInput{AliasID: live.ID, RoutingStrategy: &allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: two}}); err != nil {
			t.Fatal(err)
		}
		if p := start("second"); p.Status != allocator.PlacementFulfilled || s.describe(p.GameSession).FleetARN != string(two) {
			t.Errorf("after the change of the alias it is %s in %s, want it in %s", p.Status, p.GameSession, two)
		}
		if _, err := s.UpdateAlias(ctx, allocator.UpdateAliasInput{AliasID: live.ID, RoutingStrategy: &allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "closed"}}); err != nil {
			t.Fatal(err)
		}
		if p := start("third"); p.Status != allocator.PlacementPending {
			t.Errorf("with no alias that leads anywhere it is %s", p.Status)
		}
	})
}

func TestPlacementReservesSlotsForItsPlayers(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		s.newQueue("queue", nil, s.fleetAt("", "custom-a"))
		in := allocator.StartGameSessionPlacementInput{
			PlacementID: "placement", QueueName: "queue", MaximumPlayerSessionCount: 60, GameSessionName: "name", GameSessionData: "data",
			GameProperties:  map[string]string{"mode": "duel"},
			PlayerLatencies: []allocator.PlayerLatency{{PlayerID: "a \"b\"\n\\c", Location: "custom-a", Milliseconds: 12.5}},
		}
		in.DesiredPlayerSessions = []allocator.DesiredPlayerSession{{PlayerID: "a \"b\"\n\\c ü\xff", PlayerData: "  x\ny "}}
		for i := range 55 { // more than CreatePlayerSessions takes at a time
			in.DesiredPlayerSessions = append(in.DesiredPlayerSessions, allocator.DesiredPlayerSession{PlayerID: player(i), PlayerData: strings.Repeat("d", i)})
		}
		started, err := s.StartGameSessionPlacement(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		if started.Status != allocator.PlacementPending || !started.StartTime.Equal(store.Now()) || !started.EndTime.IsZero() || started.GameSession != "" {
			t.Errorf("the answer to the start is %+v, want it PENDING", started)
		}
		p := s.placement("placement")
		if p.Status != allocator.PlacementFulfilled || !p.EndTime.Equal(store.Now()) || p.QueueName != "queue" || p.Region != "us-east-1" {
			t.Fatalf("it is %s since %v, want FULFILLED", p.Status, p.EndTime)
		}
		if !reflect.DeepEqual(p.DesiredPlayerSessions, in.DesiredPlayerSessions) || !reflect.DeepEqual(p.PlayerLatencies, in.PlayerLatencies) {
			t.Errorf("it has the players %q and latencies %v, want %q and %v", p.DesiredPlayerSessions, p.PlayerLatencies, in.DesiredPlayerSessions, in.PlayerLatencies)
		}
		game := s.describe(p.GameSession)
		if game.Name != "name" || game.GameSessionData != "data" || game.GameProperties["mode"] != "duel" || game.MaximumPlayerSessionCount != 60 {
			t.Errorf("the game session is %+v", game)
		}
		if p.IPAddress != game.IPAddress || p.Port != game.Port || p.IPAddress == "" {
			t.Errorf("the placement says %s:%d, the game session %s:%d", p.IPAddress, p.Port, game.IPAddress, game.Port)
		}
		wantCount(t, "slots taken", game.CurrentPlayerSessionCount, 56)
		wantCount(t, "placed player sessions", len(p.PlacedPlayerSessions), 56)
		for i, placed := range p.PlacedPlayerSessions {
			got := s.read(placed.PlayerSessionID)
			want := in.DesiredPlayerSessions[i]
			if placed.PlayerID != want.PlayerID || got == nil || got.PlayerID != want.PlayerID || got.PlayerData != want.PlayerData || got.GameSessionID != game.ID || got.Status != allocator.PlayerSessionReserved {
				t.Errorf("number %d, %q, has the player session %+v", i, placed.PlayerID, got)
			}
		}
	})
}

func TestPlacementTimesOutToTheMillisecond(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
		s.deregisterAll(fleet)
		s.newQueue("queue", func(q *allocator.Queue) { q.Timeout = 7 * time.Second }, string(fleet))
		start := store.Now()
		for _, id := range []string{"swept", "stopped", "unlucky"} {
			s.placed(allocator.StartGameSessionPlacementInput{PlacementID: id, QueueName: "queue", MaximumPlayerSessionCount: 1})
		}
		store.Advance(7*time.Second - time.Millisecond)
		if p := s.placement("swept"); p.Status != allocator.PlacementPending || !p.EndTime.IsZero() {
			t.Errorf("a millisecond early it is %s since %v", p.Status, p.EndTime)
		}
		store.Advance(time.Millisecond)
		wantTimedOut := func(when, id string) {
			t.Helper()
			if p := s.placement(id); p.Status != allocator.PlacementTimedOut || !p.EndTime.Equal(start.Add(7*time.Second)) {
				t.Errorf("%s, %s is %s since %v, want TIMED_OUT since %v", when, id, p.Status, p.EndTime, start.Add(7*time.Second))
			}
		}
		wantTimedOut("at the deadline", "swept")
		_, err := s.StopGameSessionPlacement(ctx, "stopped")
		wantKind(t, "stopping one that has timed out", err, allocator.ErrInvalidRequest)
		wantTimedOut("after a call to stop it", "stopped")
		s.registerAt(fleet, "custom-a")
		s.sweep() // still at the very deadline
		store.Advance(5 * time.Second)
		s.sweep()
		for _, id := range []string{"swept", "stopped", "unlucky"} {
			wantTimedOut("after a sweep with room for it", id)
		}
		wantCount(t, "game sessions", len(s.gamesIn(fleet)), 0)
	})
}

func TestStoppedPlacementStaysStopped(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
		s.newQueue("queue", nil, string(fleet))
		s.placed(allocator.StartGameSessionPlacementInput{PlacementID: "fulfilled", QueueName: "queue", MaximumPlayerSessionCount: 1})
		s.deregisterAll(fleet)
		s.placed(allocator.StartGameSessionPlacementInput{PlacementID: "pending", QueueName: "queue", MaximumPlayerSessionCount: 1})
		store.Advance(time.Second)
		stopped, err := s.StopGameSessionPlacement(ctx, "pending")
		if err != nil || stopped.Status != allocator.PlacementCancelled || !stopped.EndTime.Equal(store.Now()) {
			t.Errorf("stopped: %+v, %v", stopped, err)
		}
		s.registerAt(fleet, "custom-a")
		store.Advance(time.Minute)
		s.sweep()
		again, err := s.StopGameSessionPlacement(ctx, "pending")
		if err != nil || !reflect.DeepEqual(again, stopped) || !reflect.DeepEqual(s.placement("pending"), stopped) {
			t.Errorf("stopped again: %+v, %v, want %+v", again, err, stopped)
		}
		wantCount(t, "game sessions", len(s.gamesIn(fleet)), 1)
		_, err = s.StopGameSessionPlacement(ctx, "fulfilled")
		wantKind(t, "stopping one that is FULFILLED", err, allocator.ErrInvalidRequest)
		_, err = s.StopGameSessionPlacement(ctx, "nowhere")
		wantKind(t, "stopping one that is not there", err, allocator.ErrNotFound)
		_, err = s.DescribeGameSessionPlacement(ctx, "nowhere")
		wantKind(t, "reading one that is not there", err, allocator.ErrNotFound)
	})
}

// A placement is stopped while an instance is about to end it: whoever comes first decides, and no game session stays without one.
func TestPlacementStoppedAtTheLastMomentLeavesNoGameSession(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for _, script := range []string{"try_game_session_placement", "create_game_session", "create_player_sessions", "finish_game_session_placement"} {
			flush(t, store)
			s := newScene(t, store)
			fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
			s.newQueue("queue", nil, string(fleet))
			busy := scene{open(t, store, meanwhile(script, func() {
				if _, err := s.StopGameSessionPlacement(context.Background(), "placement"); err != nil {
					t.Errorf("stopping before %s: %v", script, err)
				}
			})), t, store, fleet}
			p := busy.placed(allocator.StartGameSessionPlacementInput{
				PlacementID: "placement", QueueName: "queue", MaximumPlayerSessionCount: 1, DesiredPlayerSessions: []allocator.DesiredPlayerSession{{PlayerID: "p"}},
			})
			if p.Status != allocator.PlacementCancelled {
				t.Errorf("stopped before %s it is %s", script, p.Status)
			}
			for _, game := range s.gamesIn(fleet) {
				if game.Status != allocator.GameSessionTerminated {
					t.Errorf("stopped before %s, its game session is %s", script, game.Status)
				}
			}
		}
	})
}

func TestPlacementFailsWhenItsQueueIsDeleted(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
		s.deregisterAll(fleet)
		s.newQueue("queue", nil, string(fleet))
		s.placed(allocator.StartGameSessionPlacementInput{PlacementID: "placement", QueueName: "queue", MaximumPlayerSessionCount: 1})
		if err := s.DeleteGameSessionQueue(context.Background(), "queue"); err != nil {
			t.Fatal(err)
		}
		s.registerAt(fleet, "custom-a")
		store.Advance(time.Second)
		s.sweep()
		if p := s.placement("placement"); p.Status != allocator.PlacementFailed || !p.EndTime.Equal(store.Now()) {
			t.Errorf("it is %s since %v, want FAILED since %v", p.Status, p.EndTime, store.Now())
		}
		wantCount(t, "game sessions", len(s.gamesIn(fleet)), 0)
	})
}

func TestPlacementWaitsForACompute(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
		s.deregisterAll(fleet)
		s.newQueue("queue", nil, string(fleet))
		s.placed(allocator.StartGameSessionPlacementInput{PlacementID: "placement", QueueName: "queue", MaximumPlayerSessionCount: 1, DesiredPlayerSessions: []allocator.DesiredPlayerSession{{PlayerID: "p"}}})
		another := scene{open(t, store), t, store, fleet}
		for range 3 {
			store.Advance(time.Second)
			another.sweep()
			if p := s.placement("placement"); p.Status != allocator.PlacementPending {
				t.Fatalf("without a compute it is %s", p.Status)
			}
		}
		s.registerAt(fleet, "custom-a")
		store.Advance(time.Second)
		another.sweep()
		p := s.placement("placement")
		if p.Status != allocator.PlacementFulfilled || !p.EndTime.Equal(store.Now()) || len(p.PlacedPlayerSessions) != 1 {
			t.Errorf("with a compute it is %s since %v", p.Status, p.EndTime)
		}
		store.Advance(time.Second)
		another.sweep()
		wantCount(t, "game sessions", len(s.gamesIn(fleet)), 1)
	})
}

func TestPlacementOfAnInstanceThatDiedIsCarriedOn(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for _, meanwhile := range []string{"nothing", "the computes leave", "it is stopped", "its queue is deleted"} {
			for scripts := 1; scripts <= 8; scripts++ { // the eighth is one more than there are
				flush(t, store)
				s := newScene(t, store)
				ctx := context.Background()
				fleet := allocator.FleetID(s.fleetAt("", "custom-a", "custom-b"))
				second := allocator.FleetID(s.fleetAt("9", "custom-b"))
				s.newQueue("queue", nil, string(fleet), string(second))
				dying, cut := openMortal(t, store)
				in := allocator.StartGameSessionPlacementInput{PlacementID: "placement", QueueName: "queue", MaximumPlayerSessionCount: 40}
				for i := range 30 {
					in.DesiredPlayerSessions = append(in.DesiredPlayerSessions, allocator.DesiredPlayerSession{PlayerID: player(i)})
				}
				cut.after(scripts)
				_, err := dying.StartGameSessionPlacement(ctx, in)
				if err != nil {
					t.Fatalf("dying after %d scripts: %v", scripts, err)
				}
				existed := len(s.gamesIn(fleet))
				ended := s.placement("placement").Status != allocator.PlacementPending
				switch meanwhile {
				case "the computes leave":
					s.deregisterAll(fleet)
				case "it is stopped":
					if _, err := s.StopGameSessionPlacement(ctx, "placement"); err != nil && !ended {
						t.Error(err)
					}
				case "its queue is deleted":
					if err := s.DeleteGameSessionQueue(ctx, "queue"); err != nil {
						t.Error(err)
					}
				}
				for range 2 {
					store.Advance(time.Second)
					s.sweep()
				}
				p := s.placement("placement")
				games := append(s.gamesIn(fleet), s.gamesIn(second)...)
				if !ended && (meanwhile == "it is stopped" || meanwhile == "its queue is deleted") {
					want := allocator.PlacementCancelled
					if meanwhile != "it is stopped" {
						want = allocator.PlacementFailed
					}
					if p.Status != want {
						t.Errorf("%s after %d scripts: it is %s, want %s", meanwhile, scripts, p.Status, want)
					}
					for _, game := range games {
						if game.Status != allocator.GameSessionTerminated {
							t.Errorf("%s after %d scripts: its game session is %s", meanwhile, scripts, game.Status)
						}
					}
					continue
				}
				if p.Status != allocator.PlacementFulfilled || len(p.PlacedPlayerSessions) != 30 || len(games) != 1 || games[0].ID != p.GameSession || games[0].CurrentPlayerSessionCount != 30 {
					t.Errorf("%s after %d scripts: it is %s in %s, with %d players; there are %d game sessions (%d before)", meanwhile, scripts, p.Status, p.GameSession, len(p.PlacedPlayerSessions), len(games), existed)
					continue
				}
				for _, i := range []int{0, 24, 25, 29} { // of both groups that are reserved
					if got := s.sessionsOf(player(i)); len(got) != 1 || got[0].ID != p.PlacedPlayerSessions[i].PlayerSessionID {
						t.Errorf("%s after %d scripts: %s has %d player sessions", meanwhile, scripts, player(i), len(got))
					}
				}
			}
		}
	})
}

func TestPlacementKeepsItsGameSessionForItsPlayersUntilItIsFulfilled(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for _, script := range []string{"create_player_sessions", "finish_game_session_placement"} {
			flush(t, store)
			s := newScene(t, store)
			fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
			s.newQueue("queue", nil, string(fleet))
			intrude := func() error {
				_, err := s.CreatePlayerSession(context.Background(), allocator.CreatePlayerSessionInput{GameSessionID: s.gamesIn(fleet)[0].ID, PlayerID: "intruder"})
				return err
			}
			busy := scene{open(t, store, meanwhile(script, func() {
				wantKind(t, "reserving in the game session before "+script, intrude(), allocator.ErrInvalidGameSessionStatus)
			})), t, store, fleet}
			p := busy.placed(allocator.StartGameSessionPlacementInput{
				PlacementID: "placement", QueueName: "queue", MaximumPlayerSessionCount: 2, DesiredPlayerSessions: []allocator.DesiredPlayerSession{{PlayerID: "p"}},
			})
			if p.Status != allocator.PlacementFulfilled || s.describe(p.GameSession).PlayerSessionCreationPolicy != allocator.AcceptAll {
				t.Errorf("it is %s in %+v", p.Status, s.describe(p.GameSession))
			}
			if err := intrude(); err != nil {
				t.Errorf("reserving once it is FULFILLED: %v", err)
			}
		}
	})
}

// An instance dies at any point, and something else happens before another carries on: no game session is left that is not the
// placement's, nor a placement without one.
func TestNoGameSessionIsLeftOverOfAPlacement(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for name, happens := range map[string]func(s scene, fleet allocator.FleetID){
			"its game session is terminated": func(s scene, fleet allocator.FleetID) {
				for _, game := range s.gamesIn(fleet) {
					s.terminate(game.ID)
				}
			},
			"its reservations time out": func(s scene, _ allocator.FleetID) { s.store.Advance(reservationTimeout) },
			"it times out":              func(s scene, _ allocator.FleetID) { s.store.Advance(10 * time.Minute) },
			"another compute comes":     func(s scene, fleet allocator.FleetID) { s.deregisterAll(fleet); s.registerAt(fleet, "custom-b") },
		} {
			for scripts := 1; scripts <= 6; scripts++ {
				flush(t, store)
				s := newScene(t, store)
				fleet := allocator.FleetID(s.fleetAt("", "custom-a", "custom-b"))
				s.newQueue("queue", nil, string(fleet))
				dying, cut := openMortal(t, store)
				cut.after(scripts)
				if _, err := dying.StartGameSessionPlacement(context.Background(), allocator.StartGameSessionPlacementInput{
					PlacementID: "placement", QueueName: "queue", MaximumPlayerSessionCount: 2, DesiredPlayerSessions: []allocator.DesiredPlayerSession{{PlayerID: "p"}},
				}); err != nil {
					t.Fatal(err)
				}
				fulfilled := s.placement("placement").Status == allocator.PlacementFulfilled
				happens(s, fleet)
				for range 3 {
					store.Advance(time.Second)
					s.sweep()
				}
				p := s.placement("placement")
				var live []allocator.GameSessionID
				for _, game := range s.gamesIn(fleet) {
					if game.Status == allocator.GameSessionActive {
						live = append(live, game.ID)
						if game.PlayerSessionCreationPolicy != allocator.AcceptAll {
							t.Errorf("%s after %d scripts: the game session is still kept", name, scripts)
						}
					}
				}
				switch {
				case fulfilled: // and what happened then is none of the placement's business
				case name == "it times out":
					if p.Status != allocator.PlacementTimedOut || len(live) > 0 {
						t.Errorf("%s after %d scripts: it is %s, with the game sessions %v", name, scripts, p.Status, live)
					}
				case p.Status != allocator.PlacementFulfilled || len(live) != 1 || live[0] != p.GameSession:
					t.Errorf("%s after %d scripts: it is %s in %s, with the game sessions %v", name, scripts, p.Status, p.GameSession, live)
				default:
					if got := s.read(p.PlacedPlayerSessions[0].PlayerSessionID); got.Status != allocator.PlayerSessionReserved {
						t.Errorf("%s after %d scripts: its player session is %s", name, scripts, got.Status)
					}
				}
			}
		}
	})
}

// An instance is about to say that its try was successful when another finds it refused, goes on to the next place, and dies.
func TestTryThatWasGivenUpFulfilsNoPlacement(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		fleet := allocator.FleetID(s.fleetAt("", "custom-a", "custom-b"))
		s.newQueue("queue", nil, string(fleet))
		slow := scene{open(t, store, meanwhile("finish_game_session_placement", func() {
			s.terminate(s.gamesIn(fleet)[0].ID)
			store.Advance(time.Second)
			cut := &mortality{}
			dying := open(t, store, meanwhile("create_player_sessions", func() { cut.after(2) }), func(c *allocator.Config) { c.Redis.AddHook(cut) })
			_, _ = dying.Sweep(context.Background()) // is refused, and notes the next try
		})), t, store, fleet}
		p := slow.placed(allocator.StartGameSessionPlacementInput{
			PlacementID: "placement", QueueName: "queue", MaximumPlayerSessionCount: 1, DesiredPlayerSessions: []allocator.DesiredPlayerSession{{PlayerID: "p"}},
		})
		if p.Status != allocator.PlacementPending {
			t.Errorf("by a try that was given up it is %s", p.Status)
		}
		store.Advance(time.Second)
		s.sweep()
		p = s.placement("placement")
		if p.Status != allocator.PlacementFulfilled || s.describe(p.GameSession).Status != allocator.GameSessionActive {
			t.Errorf("it is %s in %q, of the game sessions %+v", p.Status, p.GameSession, s.gamesIn(fleet))
		}
	})
}

func TestGameSessionCreatedForAPlacementThatWasStoppedEnds(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
		s.newQueue("queue", nil, string(fleet))
		dying, cut := openMortal(t, store, meanwhile("create_game_session", func() {
			if _, err := s.StopGameSessionPlacement(context.Background(), "placement"); err != nil {
				t.Error(err)
			}
		}))
		cut.after(4) // start, read, try, create
		if _, err := dying.StartGameSessionPlacement(context.Background(), allocator.StartGameSessionPlacementInput{PlacementID: "placement", QueueName: "queue", MaximumPlayerSessionCount: 1}); err != nil {
			t.Fatal(err)
		}
		s.sweep()
		games := s.gamesIn(fleet)
		if len(games) != 1 || games[0].Status != allocator.GameSessionTerminated {
			t.Errorf("the game sessions are %+v", games)
		}
	})
}

func TestPlacementIDIsUsedOnce(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
		s.newQueue("queue", nil, string(fleet))
		in := allocator.StartGameSessionPlacementInput{PlacementID: "placement", QueueName: "arn:aws:gamelift:us-east-1::gamesessionqueue/queue", MaximumPlayerSessionCount: 1, RetryToken: "token"}
		for range 3 {
			if _, err := s.StartGameSessionPlacement(ctx, in); err != nil {
				t.Errorf("with its retry token: %v", err)
			}
		}
		wantCount(t, "game sessions", len(s.gamesIn(fleet)), 1)
		in.RetryToken = "another"
		_, err := s.StartGameSessionPlacement(ctx, in)
		wantKind(t, "the id of another placement", err, allocator.ErrInvalidRequest)
		store.Advance(retention)
		s.sweep()
		if _, err := s.StartGameSessionPlacement(ctx, in); err != nil {
			t.Errorf("the id of a placement that is forgotten: %v", err)
		}
	})
}

func TestPlacementRefusesWhatMakesNoSense(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	s.newQueue("queue", nil, s.fleetAt("", "custom-a"))
	properties := make(map[string]string)
	for i := range 17 {
		properties[fmt.Sprint(i)] = "x"
	}
	two := []allocator.DesiredPlayerSession{{PlayerID: "p"}, {PlayerID: "q"}}
	for name, c := range map[string]struct {
		in   allocator.StartGameSessionPlacementInput
		kind allocator.Kind
	}{
		"no id":                 {allocator.StartGameSessionPlacementInput{QueueName: "queue"}, allocator.ErrInvalidRequest},
		"no queue":              {allocator.StartGameSessionPlacementInput{PlacementID: "p"}, allocator.ErrNotFound},
		"an unknown queue":      {allocator.StartGameSessionPlacementInput{PlacementID: "p", QueueName: "other"}, allocator.ErrNotFound},
		"too many slots":        {allocator.StartGameSessionPlacementInput{PlacementID: "p", QueueName: "queue", MaximumPlayerSessionCount: 201}, allocator.ErrInvalidRequest},
		"too many players":      {allocator.StartGameSessionPlacementInput{PlacementID: "p", QueueName: "queue", MaximumPlayerSessionCount: 1, DesiredPlayerSessions: two}, allocator.ErrInvalidRequest},
		"a player twice":        {allocator.StartGameSessionPlacementInput{PlacementID: "p", QueueName: "queue", MaximumPlayerSessionCount: 2, DesiredPlayerSessions: []allocator.DesiredPlayerSession{two[0], two[0]}}, allocator.ErrInvalidRequest},
		"too many properties":   {allocator.StartGameSessionPlacementInput{PlacementID: "p", QueueName: "queue", GameProperties: properties}, allocator.ErrInvalidRequest},
		"a negative slot count": {allocator.StartGameSessionPlacementInput{PlacementID: "p", QueueName: "queue", MaximumPlayerSessionCount: -1}, allocator.ErrInvalidRequest},
	} {
		_, err := s.StartGameSessionPlacement(context.Background(), c.in)
		wantKind(t, name, err, c.kind)
	}
	_, err := s.DescribeGameSessionPlacement(context.Background(), "p")
	wantKind(t, "reading what was refused", err, allocator.ErrNotFound)
}

func TestNothingIsLeftOfAPlacementWhoseRetentionIsOver(t *testing.T) {
	const placements = 130 // in one partition
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
		s.newQueue("queue", nil, string(fleet))
		before := everyKey(t, store)
		for i, id := range namesInOnePartition(placements, func(id string) string { return id }) {
			if i == placements/4 {
				s.deregisterAll(fleet)
			}
			p := s.placed(allocator.StartGameSessionPlacementInput{PlacementID: id, QueueName: "queue", MaximumPlayerSessionCount: 1, DesiredPlayerSessions: []allocator.DesiredPlayerSession{{PlayerID: "p"}}})
			switch {
			case p.Status == allocator.PlacementFulfilled:
				s.terminate(p.GameSession)
			case i%2 == 0:
				if _, err := s.StopGameSessionPlacement(context.Background(), id); err != nil {
					t.Fatal(err)
				}
			}
		}
		store.Advance(10 * time.Minute) // the rest times out
		s.sweep()
		store.Advance(retention)
		s.sweep()
		s.registerAt(fleet, "custom-a")
		wantSameKeys(t, before, everyKey(t, store))
	})
}

// fleetAt creates a fleet with a compute at each of its locations, and returns its ARN.
func (s scene) fleetAt(cost string, locations ...string) string {
	s.t.Helper()
	ctx := context.Background()
	for _, location := range locations {
		if _, err := s.CreateLocation(ctx, allocator.CreateLocationInput{Name: location}); err != nil && !errors.Is(err, allocator.ErrConflict) {
			s.t.Fatal(err)
		}
	}
	fleet, err := s.CreateFleet(ctx, allocator.CreateFleetInput{Name: "fleet", Locations: locations, Cost: cost})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, location := range locations {
		s.registerAt(fleet.ID, location)
	}
	return fleet.ARN
}

func (s scene) registerAt(fleet allocator.FleetID, location string) {
	s.t.Helper()
	_, err := s.RegisterCompute(context.Background(), allocator.RegisterComputeInput{FleetID: fleet, Name: "box-" + location, Location: location, IPAddress: "192.0.2.9"})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s scene) deregisterAll(fleet allocator.FleetID) {
	s.t.Helper()
	computes, _, err := s.ListCompute(context.Background(), fleet, "", 0, "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, compute := range computes {
		if err := s.DeregisterCompute(context.Background(), fleet, compute.Name); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s scene) newQueue(name string, change func(*allocator.Queue), destinations ...string) *allocator.Queue {
	s.t.Helper()
	in := allocator.CreateGameSessionQueueInput{Queue: allocator.Queue{Name: name, Destinations: destinations}}
	if change != nil {
		change(&in.Queue)
	}
	queue, err := s.CreateGameSessionQueue(context.Background(), in)
	if err != nil {
		s.t.Fatal(err)
	}
	return queue
}

// placed starts a placement and reads what became of it.
func (s scene) placed(in allocator.StartGameSessionPlacementInput) *allocator.Placement {
	s.t.Helper()
	if _, err := s.StartGameSessionPlacement(context.Background(), in); err != nil {
		s.t.Fatal(err)
	}
	return s.placement(in.PlacementID)
}

func (s scene) placement(id string) *allocator.Placement {
	s.t.Helper()
	p, err := s.DescribeGameSessionPlacement(context.Background(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// gamesIn reads a page of the game sessions of a fleet.
func (s scene) gamesIn(fleet allocator.FleetID) []allocator.GameSession {
	s.t.Helper()
	out, err := s.DescribeGameSessions(context.Background(), allocator.DescribeGameSessionsInput{FleetID: fleet, Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.GameSessions
}
