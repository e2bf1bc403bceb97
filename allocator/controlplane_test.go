package allocator_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/lua"
)

const arnHead = "arn:aws:gamelift:us-east-1::"

func TestFleetIsCreatedDescribedChangedAndDeleted(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		a := open(t, store)
		ctx := context.Background()
		createLocations(t, a, "custom-a", "custom-b")
		before := everyKey(t, store)
		in := allocator.CreateFleetInput{
			Name: "name", Description: "description", Locations: []string{"custom-a"}, ProtectionPolicy: allocator.FullProtection, Cost: "1.5",
			CreationLimit: allocator.CreationLimit{GameSessionsPerCreator: 2, PeriodMinutes: 3}, MetricGroups: []string{"group"},
			Tags: map[string]string{"team": "blue", "empty": ""}, RetryToken: "token",
		}
		fleet, err := a.CreateFleet(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		want := allocator.Fleet{
			ID: fleet.ID, ARN: arnHead + "fleet/" + string(fleet.ID), Name: "name", Description: "description", Status: allocator.FleetActive, CreationTime: store.Now(),
			ProtectionPolicy: allocator.FullProtection, Cost: "1.5", CreationLimit: in.CreationLimit, MetricGroups: in.MetricGroups,
		}
		if !reflect.DeepEqual(*fleet, want) {
			t.Errorf("created: %+v, want %+v", *fleet, want)
		}
		store.Advance(time.Second)
		if again, err := a.CreateFleet(ctx, in); err != nil || !reflect.DeepEqual(*again, want) {
			t.Errorf("created again with its retry token: %+v (%v), want %+v", again, err, want)
		}
		in.RetryToken = ""
		other, err := a.CreateFleet(ctx, in)
		if err != nil || other.ID == fleet.ID {
			t.Errorf("another call without a retry token: %+v, %v", other, err)
		}
		for _, id := range []allocator.FleetID{fleet.ID, allocator.FleetID(fleet.ARN)} {
			if got, _, err := a.DescribeFleets(ctx, []allocator.FleetID{id}, 0, ""); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
				t.Errorf("described by %s: %+v (%v), want %+v", id, got, err, want)
			}
		}
		if got, err := a.ListTagsForResource(ctx, fleet.ARN); err != nil || !reflect.DeepEqual(got, in.Tags) {
			t.Errorf("its tags are %v (%v), want %v", got, err, in.Tags)
		}

		name, empty, policy, seven := "new name", "", allocator.NoProtection, 7
		if err := a.UpdateFleetAttributes(ctx, allocator.UpdateFleetAttributesInput{FleetID: allocator.FleetID(fleet.ARN), Name: &name, Description: &empty, ProtectionPolicy: &policy, GameSessionsPerCreator: &seven}); err != nil {
			t.Error(err)
		}
		want.Name, want.Description, want.ProtectionPolicy, want.CreationLimit.GameSessionsPerCreator = name, "", policy, seven
		if got, _, err := a.DescribeFleets(ctx, []allocator.FleetID{fleet.ID}, 0, ""); err != nil || !reflect.DeepEqual(got[0], want) {
			t.Errorf("changed: %+v (%v), want %+v", got, err, want)
		}

		if err := a.CreateFleetLocations(ctx, fleet.ID, []string{"custom-a", "custom-b"}); err != nil {
			t.Error(err)
		}
		if got, _, err := a.FleetLocations(ctx, fleet.ID, nil, 0, ""); err != nil || !reflect.DeepEqual(got, []string{"custom-a", "custom-b"}) {
			t.Errorf("its locations are %v (%v)", got, err)
		}
		for _, f := range []*allocator.Fleet{fleet, other} {
			if err := a.DeleteFleet(ctx, allocator.FleetID(f.ARN)); err != nil {
				t.Error(err)
			}
		}
		wantSameKeys(t, before, everyKey(t, store))
	})
}

func TestDeletingLeavesNoKeyBehind(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		a := open(t, store)
		ctx := context.Background()
		before := everyKey(t, store)
		tags := map[string]string{"team": "blue"}
		var locations []string
		for _, name := range []string{"custom-a", "custom-b", "custom-c"} {
			if _, err := a.CreateLocation(ctx, allocator.CreateLocationInput{Name: name, Tags: tags}); err != nil {
				t.Fatal(err)
			}
			locations = append(locations, name)
		}
		fleet, err := a.CreateFleet(ctx, allocator.CreateFleetInput{Name: "fleet", Locations: locations, Tags: tags, CreationLimit: allocator.CreationLimit{GameSessionsPerCreator: 9, PeriodMinutes: 9}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 7 {
			name := fmt.Sprintf("box-%d", i)
			if _, err := a.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: fleet.ID, Name: name, Location: locations[i%3], DNSName: "box.example"}); err != nil {
				t.Fatal(err)
			}
			if _, err := a.GetComputeAuthToken(ctx, fleet.ID, name); err != nil {
				t.Fatal(err)
			}
		}
		alias, err := a.CreateAlias(ctx, allocator.CreateAliasInput{Name: "alias", RoutingStrategy: allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: fleet.ID}, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		queue, err := a.CreateGameSessionQueue(ctx, allocator.CreateGameSessionQueueInput{Queue: allocator.Queue{Name: "queue", Destinations: []string{alias.ARN, fleet.ARN}}, Tags: tags})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			game, err := a.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: fleet.ID, MaximumPlayerSessionCount: 1, CreatorID: player(i)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{GameSessionID: game.ID, Mode: allocator.ForceTerminate}); err != nil {
				t.Fatal(err)
			}
		}
		for _, location := range locations {
			wantKind(t, "deleting a location in use", a.DeleteLocation(ctx, location), allocator.ErrInvalidRequest)
		}
		for what, err := range map[string]error{
			"queue": a.DeleteGameSessionQueue(ctx, queue.ARN), "alias": a.DeleteAlias(ctx, allocator.AliasID(alias.ARN)), "fleet": a.DeleteFleet(ctx, fleet.ID),
		} {
			if err != nil {
				t.Errorf("deleting the %s: %v", what, err)
			}
		}
		if err := a.DeleteLocation(ctx, arnHead+"location/custom-a"); err != nil {
			t.Error(err)
		}
		for _, location := range locations[1:] {
			if err := a.DeleteLocation(ctx, location); err != nil {
				t.Error(err)
			}
		}
		for what, err := range map[string]error{
			"queue": a.DeleteGameSessionQueue(ctx, "queue"), "alias": a.DeleteAlias(ctx, alias.ID), "fleet": a.DeleteFleet(ctx, fleet.ID), "location": a.DeleteLocation(ctx, "custom-a"),
		} {
			wantKind(t, "deleting the "+what+" again", err, allocator.ErrNotFound)
		}
		for _, arn := range []string{queue.ARN, alias.ARN, fleet.ARN, arnHead + "location/custom-a"} {
			_, err := a.ListTagsForResource(ctx, arn)
			wantKind(t, "tags of "+arn, err, allocator.ErrNotFound)
			wantKind(t, "tagging "+arn, a.TagResource(ctx, arn, tags), allocator.ErrNotFound)
		}
		store.Advance(retention)
		if _, err := a.Sweep(ctx); err != nil { // the ended game sessions
			t.Fatal(err)
		}
		wantSameKeys(t, before, everyKey(t, store))
	})
}

func TestFleetWithLiveGameSessionsStays(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		game := s.newGameSession(1)
		wantKind(t, "deleting it", s.DeleteFleet(ctx, s.fleet), allocator.ErrInvalidFleetStatus)
		got, _, err := s.DescribeFleets(ctx, []allocator.FleetID{s.fleet}, 0, "")
		if err != nil || got[0].Status != allocator.FleetActive {
			t.Errorf("after the refusal it is %+v (%v), want ACTIVE", got, err)
		}
		s.reserve(game, "player")
		other := s.newGameSession(1)
		s.terminate(game)
		wantKind(t, "deleting it with one left", s.DeleteFleet(ctx, s.fleet), allocator.ErrInvalidFleetStatus)
		s.terminate(other)
		if err := s.DeleteFleet(ctx, s.fleet); err != nil {
			t.Error(err)
		}
		if got := s.describe(game).Status; got != allocator.GameSessionTerminated {
			t.Errorf("after the deletion of its fleet, a game session reads as %s", got)
		}
		_, err = s.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1})
		wantKind(t, "creating a game session there", err, allocator.ErrNotFound)
	})
}

func TestFleetBeingDeletedTakesNothingNew(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		createLocations(t, s.Allocator, "custom-new")
		dying, cut := openMortal(t, store)
		cut.after(1)
		if err := dying.DeleteFleet(ctx, s.fleet); err == nil {
			t.Fatal("the call succeeds though its client was cut off")
		}
		name := "new"
		_, err := s.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1})
		wantKind(t, "a game session", err, allocator.ErrInvalidFleetStatus)
		_, err = s.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: s.fleet, Name: "new", Location: "custom-cellar", IPAddress: "192.0.2.1"})
		wantKind(t, "a compute", err, allocator.ErrInvalidRequest)
		wantKind(t, "a location", s.CreateFleetLocations(ctx, s.fleet, []string{"custom-new"}), allocator.ErrInvalidFleetStatus)
		wantKind(t, "one location less", s.DeleteFleetLocations(ctx, s.fleet, []string{"custom-cellar"}), allocator.ErrInvalidFleetStatus)
		wantKind(t, "a name", s.UpdateFleetAttributes(ctx, allocator.UpdateFleetAttributesInput{FleetID: s.fleet, Name: &name}), allocator.ErrInvalidFleetStatus)
		if err := s.DeleteFleet(ctx, s.fleet); err != nil {
			t.Errorf("deleting it again: %v", err)
		}
	})
}

func TestDeletionThatAnotherOneOvertookDeletesNothing(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		checked, goOn, overtaken := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		slow := open(t, store, meanwhile("delete_fleet", func() {
			close(checked)
			<-goOn
		}))
		in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1, IdempotencyToken: "token"}
		// The creator finds the fleet ACTIVE. Before it creates, the first deletion finds the fleet without game sessions.
		creator, cut := openMortal(t, store, meanwhile("create_game_session", func() {
			go func() { overtaken <- slow.DeleteFleet(ctx, s.fleet) }()
			<-checked
		}))
		cut.after(1)
		if _, err := creator.CreateGameSession(ctx, in); err == nil {
			t.Fatal("the call succeeds though its client was cut off")
		}
		// The second deletion finds the game session and reopens the fleet; then a third begins.
		wantKind(t, "the second deletion", s.DeleteFleet(ctx, s.fleet), allocator.ErrInvalidFleetStatus)
		if _, err := s.CreateGameSession(ctx, in); err != nil {
			t.Errorf("creating the game session in the fleet that was reopened: %v", err)
		}
		third, cut := openMortal(t, store)
		cut.after(1)
		if err := third.DeleteFleet(ctx, s.fleet); err == nil {
			t.Fatal("the call succeeds though its client was cut off")
		}
		close(goOn)
		wantKind(t, "the first deletion", <-overtaken, allocator.ErrInvalidFleetStatus)
		wantKind(t, "a fourth", s.DeleteFleet(ctx, s.fleet), allocator.ErrInvalidFleetStatus)
	})
}

func TestRefusedDeletionReopensNoFleetThatAnotherOneClosed(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		game := s.newGameSession(1)
		closed, goOn, deleted := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		second := open(t, store, meanwhile("delete_fleet", func() {
			close(closed)
			<-goOn
		}))
		first := open(t, store, meanwhile("reopen_fleet", func() {
			s.terminate(game)
			go func() { deleted <- second.DeleteFleet(ctx, s.fleet) }()
			<-closed
		}))
		wantKind(t, "the deletion that found a game session", first.DeleteFleet(ctx, s.fleet), allocator.ErrInvalidFleetStatus)
		close(goOn)
		if err := <-deleted; err != nil {
			t.Errorf("the deletion that found none: %v", err)
		}
	})
}

func TestRefusedDeletionEndsNoGameSession(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1, IdempotencyToken: "token"}
		running, err := s.CreateGameSession(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		deleter := open(t, store, meanwhile("reopen_fleet", func() {
			if again, err := s.CreateGameSession(ctx, in); err != nil || again.ID != running.ID {
				t.Errorf("the same call while the fleet is DELETING: %+v, %v", again, err)
			}
		}))
		wantKind(t, "deleting the fleet", deleter.DeleteFleet(ctx, s.fleet), allocator.ErrInvalidFleetStatus)
		s.sweep()
		if got := s.describe(running.ID).Status; got != allocator.GameSessionActive {
			t.Errorf("the game session is %s", got)
		}
	})
}

func TestFleetIsOfUseAfterADeletionWhoseCallerLeft(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		s.newGameSession(1)
		ctx, leave := context.WithCancel(context.Background())
		deleter := open(t, store, func(c *allocator.Config) { c.Redis.AddHook(afterPipelines(leave)) })
		if err := deleter.DeleteFleet(ctx, s.fleet); err == nil {
			t.Error("it is deleted")
		}
		s.newGameSession(1)
	})
}

func TestGameSessionOfADeletedFleetEndsThoughItsCreatorDied(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		creator, cut := openMortal(t, store, meanwhile("create_game_session", func() {
			if err := s.DeleteFleet(ctx, s.fleet); err != nil {
				t.Error(err)
			}
		}))
		cut.after(1)
		if _, err := creator.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet, GameSessionID: "late", MaximumPlayerSessionCount: 1}); err == nil {
			t.Fatal("the call succeeds though its client was cut off")
		}
		s.sweep()
		if got := s.describe(allocator.GameSessionID(arnHead + "gamesession/" + string(s.fleet) + "/late")).Status; got != allocator.GameSessionTerminated {
			t.Errorf("the game session is %s", got)
		}
		store.Advance(retention)
		s.sweep()
		for _, key := range everyKey(t, store) {
			if strings.Contains(key, string(s.fleet)) {
				t.Errorf("key %s is left", key)
			}
		}
	})
}

// The sweep sees the fleet while it is DELETING, and must not take that for an answer.
func TestGameSessionThatASweepSawInAFleetBeingDeletedEndsWithTheFleet(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		counted, goOn, deleted := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		deleter := open(t, store, meanwhile("delete_fleet", func() {
			close(counted)
			<-goOn
		}))
		creator, cut := openMortal(t, store, meanwhile("create_game_session", func() {
			go func() { deleted <- deleter.DeleteFleet(ctx, s.fleet) }()
			<-counted
		}))
		cut.after(1)
		if _, err := creator.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet, GameSessionID: "late", MaximumPlayerSessionCount: 1}); err == nil {
			t.Fatal("the call succeeds though its client was cut off")
		}
		s.sweep()
		close(goOn)
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
		s.pass(time.Second)
		if got := s.describe(allocator.GameSessionID(arnHead + "gamesession/" + string(s.fleet) + "/late")).Status; got != allocator.GameSessionTerminated {
			t.Errorf("the game session is %s", got)
		}
	})
}

func TestTokenOfAnotherResourceMakesAnotherOneOrIsRefused(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	ctx := context.Background()
	alias := func(strategy allocator.RoutingStrategy) allocator.AliasID {
		t.Helper()
		made, err := s.CreateAlias(ctx, allocator.CreateAliasInput{Name: "alias", RoutingStrategy: strategy, RetryToken: "token"})
		if err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	closed := alias(allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "closed"})
	if again := alias(allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "closed"}); again != closed {
		t.Errorf("the same call made %s, then %s", closed, again)
	}
	if other := alias(allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: s.fleet}); other == closed {
		t.Error("a call for an alias that leads to a fleet is answered with one that is closed")
	}
	queue := func(timeout time.Duration) error {
		_, err := s.CreateGameSessionQueue(ctx, allocator.CreateGameSessionQueueInput{Queue: allocator.Queue{Name: "queue", Timeout: timeout}, RetryToken: "token"})
		return err
	}
	for range 2 {
		if err := queue(time.Minute); err != nil {
			t.Error(err)
		}
	}
	wantKind(t, "the same queue with another timeout", queue(time.Hour), allocator.ErrInvalidRequest)
}

func TestHalfALimitOnCreatorsIsRefused(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	for _, limit := range []allocator.CreationLimit{{GameSessionsPerCreator: 1}, {PeriodMinutes: 1}} {
		_, err := s.CreateFleet(context.Background(), allocator.CreateFleetInput{Name: "fleet", Locations: []string{"custom-cellar"}, CreationLimit: limit})
		wantKind(t, fmt.Sprintf("a fleet with %+v", limit), err, allocator.ErrInvalidRequest)
	}
}

func TestDeletionWhoseAnswerWasLostSucceeds(t *testing.T) {
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	ctx := context.Background()
	createLocations(t, s.Allocator, "custom-attic", "custom-barn")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(nil, s.CreateFleetLocations(ctx, s.fleet, []string{"custom-barn"}))
	alias, err := s.CreateAlias(ctx, allocator.CreateAliasInput{Name: "alias", RoutingStrategy: allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "gone"}})
	must(alias, err)
	s.newQueue("queue", nil)
	must(s.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: s.fleet, Name: "crate", Location: "custom-cellar", IPAddress: "192.0.2.1"}))
	doomed := allocator.FleetID(s.fleetAt("", "custom-shed"))
	for _, c := range []struct {
		name, script string
		call         func(*allocator.Allocator) error
	}{
		{"DeleteAlias", "delete_alias", func(a *allocator.Allocator) error { return a.DeleteAlias(ctx, alias.ID) }},
		{"DeleteGameSessionQueue", "delete_game_session_queue", func(a *allocator.Allocator) error { return a.DeleteGameSessionQueue(ctx, "queue") }},
		{"DeregisterCompute", "deregister_compute", func(a *allocator.Allocator) error { return a.DeregisterCompute(ctx, s.fleet, "crate") }},
		{"DeleteFleetLocations", "delete_fleet_locations", func(a *allocator.Allocator) error {
			return a.DeleteFleetLocations(ctx, s.fleet, []string{"custom-barn"})
		}},
		{"DeleteFleet", "delete_fleet", func(a *allocator.Allocator) error { return a.DeleteFleet(ctx, doomed) }},
		{"DeleteLocation", "delete_location", func(a *allocator.Allocator) error { return a.DeleteLocation(ctx, "custom-attic") }},
	} {
		p := newProxy(t, store)
		lossy := open(t, store, func(config *allocator.Config) {
			config.Redis = p.client(t, 3)
			meanwhile(c.script, func() { p.loseAnswer(func() {}) })(config)
		})
		if err := store.Client().ScriptLoad(ctx, lua.Source(c.script)).Err(); err != nil { // so that the answer which gets lost is that of the deletion
			t.Fatal(err)
		}
		if err := c.call(lossy); err != nil {
			t.Errorf("%s with its answer lost: %v", c.name, err)
		}
		wantCount(t, "answers lost", p.answersLost(), 1)
		wantKind(t, c.name+" again", c.call(s.Allocator), allocator.ErrNotFound)
	}
}

func TestNamesWithColonsReachNothingElse(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		before := everyKey(t, store)
		wantKind(t, "deleting a part of a location", s.DeleteLocation(ctx, arnHead+"location/custom-cellar:fleets"), allocator.ErrNotFound)
		wantKind(t, "tagging a part of a fleet", s.TagResource(ctx, arnHead+"fleet/"+string(s.fleet)+":computes", map[string]string{"a": "b"}), allocator.ErrNotFound)
		_, err := s.CreateGameSessionQueue(ctx, allocator.CreateGameSessionQueueInput{Queue: allocator.Queue{Name: "queue", Destinations: []string{arnHead + "fleet/" + string(s.fleet) + ":computes"}}})
		wantKind(t, "a part of a fleet as a destination", err, allocator.ErrNotFound)
		wantSameKeys(t, before, everyKey(t, store))
	})
}

func TestCreationsThatRaceWithADeletionLeaveNoGameSessionInADeletedFleet(t *testing.T) {
	const rounds, creators = 60, 4
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	instances := []*allocator.Allocator{s.Allocator, open(t, store)}
	deleted, kept := 0, 0
	for round := range rounds {
		fleet := allocator.FleetID(s.fleetAt("", "custom-a"))
		var mu sync.Mutex
		var created []allocator.GameSessionID
		var group sync.WaitGroup
		start := make(chan struct{})
		for i := range creators {
			group.Go(func() {
				<-start
				for range 10 * round * i { // spreads the calls over the deletion
					runtime.Gosched()
				}
				g, err := instances[i%2].CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: fleet, MaximumPlayerSessionCount: 1, IdempotencyToken: fmt.Sprintf("token-%d", i)})
				if err == nil {
					mu.Lock()
					created = append(created, g.ID)
					mu.Unlock()
				}
			})
		}
		var gone [2]error
		for i := range gone {
			group.Go(func() {
				<-start
				for range 40 * round { // and the deletions over the calls
					runtime.Gosched()
				}
				gone[i] = instances[i].DeleteFleet(context.Background(), fleet)
			})
		}
		close(start)
		group.Wait()
		_, _, err := s.DescribeFleets(context.Background(), []allocator.FleetID{fleet}, 0, "")
		if err == nil {
			kept++
			for _, game := range s.gamesIn(fleet) {
				s.terminate(game.ID)
			}
			if err := s.DeleteFleet(context.Background(), fleet); err != nil {
				t.Fatalf("the fleet stayed, and cannot be deleted: %v", err)
			}
			continue
		}
		deleted++
		for i := range creators {
			id := allocator.GameSessionID(arnHead + "gamesession/" + string(fleet) + "/" + fmt.Sprintf("token-%d", i))
			out, err := s.DescribeGameSessions(context.Background(), allocator.DescribeGameSessionsInput{GameSessionID: id})
			if err == nil && out.GameSessions[0].Status != allocator.GameSessionTerminated {
				t.Errorf("round %d: game session %s of the deleted fleet is %s", round, id, out.GameSessions[0].Status)
			}
		}
		if len(created) > 0 {
			t.Errorf("round %d: the fleet is deleted, and %d callers were told that their game sessions were created", round, len(created))
		}
	}
	t.Logf("%d fleets were deleted, %d stayed", deleted, kept)
}

func TestGameSessionCreatedDuringADeletionLeavesNothingOfTheFleet(t *testing.T) {
	for _, script := range []string{"limit_game_sessions", "create_game_session"} {
		allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
			s := newScene(t, store)
			ctx := context.Background()
			five := 5
			if err := s.UpdateFleetAttributes(ctx, allocator.UpdateFleetAttributesInput{FleetID: s.fleet, GameSessionsPerCreator: &five, PeriodMinutes: &five}); err != nil {
				t.Fatal(err)
			}
			slow := open(t, store, meanwhile(script, func() {
				if err := s.DeleteFleet(ctx, s.fleet); err != nil {
					t.Error(err)
				}
			}))
			_, err := slow.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1, CreatorID: "creator"})
			wantKind(t, "creating while the fleet is deleted before "+script, err, allocator.ErrInvalidFleetStatus)
			store.Advance(retention)
			s.sweep()
			for _, key := range everyKey(t, store) {
				if strings.Contains(key, string(s.fleet)) {
					t.Errorf("key %s is left behind by a deletion before %s", key, script)
				}
			}
		})
	}
}

func TestGameSessionThatIsThereIsAnsweredEvenWhenNothingCouldHostItAnyMore(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 2, IdempotencyToken: "token"}
		game, err := s.CreateGameSession(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		s.reserve(game.ID, "player")
		s.deregisterAll(s.fleet)
		again, err := s.CreateGameSession(ctx, in)
		if err != nil || again.ID != game.ID || again.CurrentPlayerSessionCount != 1 {
			t.Errorf("the same call without a compute: %+v, %v", again, err)
		}
		in.MaximumPlayerSessionCount++
		_, err = s.CreateGameSession(ctx, in)
		wantKind(t, "another call without a compute", err, allocator.ErrFleetCapacityExceeded)
		s.registerAt(s.fleet, "custom-cellar")
		_, err = s.CreateGameSession(ctx, in)
		wantKind(t, "another call with a compute", err, allocator.ErrIdempotentParameterMismatch)
	})
}

func TestCreatorMayCreateAsManyGameSessionsAsTheFleetAllows(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		two, five := 2, 5
		if err := s.UpdateFleetAttributes(ctx, allocator.UpdateFleetAttributesInput{FleetID: s.fleet, GameSessionsPerCreator: &two, PeriodMinutes: &five}); err != nil {
			t.Fatal(err)
		}
		create := func(creator, token string) error {
			_, err := s.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1, CreatorID: creator, IdempotencyToken: token})
			return err
		}
		for _, token := range []string{"one", "two", "one", "two"} {
			if err := create("ann", token); err != nil {
				t.Errorf("game session %s: %v", token, err)
			}
		}
		err := create("ann", "three")
		wantKind(t, "the third", err, allocator.ErrLimitExceeded)
		if err != nil && !strings.Contains(err.Error(), "ResourceCreationLimitPolicy") {
			t.Errorf("the message does not name the policy: %v", err)
		}
		if err := create("bob", "four"); err != nil {
			t.Errorf("another creator: %v", err)
		}
		wantKind(t, "one with the token of another creator", create("cem", "four"), allocator.ErrIdempotentParameterMismatch)
		for _, token := range []string{"five", "six"} {
			if err := create("cem", token); err != nil {
				t.Errorf("game session %s of one who was refused: %v", token, err)
			}
		}
		wantKind(t, "nobody in particular", create("", "seven"), allocator.ErrInvalidRequest)
		store.Advance(5*time.Minute - time.Millisecond)
		wantKind(t, "a millisecond before the period is over", create("ann", "three"), allocator.ErrLimitExceeded)
		store.Advance(time.Millisecond)
		if err := create("ann", "three"); err != nil {
			t.Errorf("when the period is over: %v", err)
		}
	})
}

func TestLocations(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		a := open(t, store)
		ctx := context.Background()
		for range 2 {
			got, err := a.CreateLocation(ctx, allocator.CreateLocationInput{Name: "custom-a", RetryToken: "token"})
			if err != nil || got.ARN != arnHead+"location/custom-a" {
				t.Errorf("with its retry token: %+v, %v", got, err)
			}
		}
		_, err := a.CreateLocation(ctx, allocator.CreateLocationInput{Name: "custom-a"})
		wantKind(t, "a location that is there", err, allocator.ErrConflict)
		_, err = a.CreateLocation(ctx, allocator.CreateLocationInput{})
		wantKind(t, "no name", err, allocator.ErrInvalidRequest)
		createLocations(t, a, "custom-b")
		fleet, err := a.CreateFleet(ctx, allocator.CreateFleetInput{Name: "fleet", Locations: []string{"custom-a"}})
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			err  error
			kind allocator.Kind
		}{
			"adding none":                      {a.CreateFleetLocations(ctx, fleet.ID, nil), allocator.ErrInvalidRequest},
			"adding one twice":                 {a.CreateFleetLocations(ctx, fleet.ID, []string{"custom-b", "custom-b"}), allocator.ErrInvalidRequest},
			"adding to no fleet":               {a.CreateFleetLocations(ctx, "fleet-0", []string{"custom-b"}), allocator.ErrNotFound},
			"adding one that is not there":     {a.CreateFleetLocations(ctx, fleet.ID, []string{"custom-b", "custom-x"}), allocator.ErrNotFound},
			"taking none":                      {a.DeleteFleetLocations(ctx, fleet.ID, nil), allocator.ErrInvalidRequest},
			"taking from no fleet":             {a.DeleteFleetLocations(ctx, "fleet-0", []string{"custom-a"}), allocator.ErrNotFound},
			"taking one that it has not":       {a.DeleteFleetLocations(ctx, fleet.ID, []string{"custom-a", "custom-b"}), allocator.ErrNotFound},
			"deleting one that is in use":      {a.DeleteLocation(ctx, "custom-a"), allocator.ErrInvalidRequest},
			"deleting one that is not there":   {a.DeleteLocation(ctx, "custom-x"), allocator.ErrNotFound},
			"deleting one of another region":   {a.DeleteLocation(ctx, "arn:aws:gamelift:eu-west-1::location/custom-b"), allocator.ErrNotFound},
			"changing a fleet that is not one": {a.UpdateFleetAttributes(ctx, allocator.UpdateFleetAttributesInput{FleetID: "fleet-0"}), allocator.ErrNotFound},
		} {
			wantKind(t, name, c.err, c.kind)
		}
		if got, _, err := a.FleetLocations(ctx, fleet.ID, nil, 0, ""); err != nil || !reflect.DeepEqual(got, []string{"custom-a"}) {
			t.Errorf("after the refusals its locations are %v (%v), want custom-a", got, err)
		}
		if _, err := a.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: fleet.ID, Name: "box", Location: "custom-a", IPAddress: "192.0.2.1"}); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "taking a location that has a compute", a.DeleteFleetLocations(ctx, fleet.ID, []string{"custom-a"}), allocator.ErrInvalidRequest)
		if err := a.DeregisterCompute(ctx, fleet.ID, "box"); err != nil {
			t.Fatal(err)
		}
		if err := a.DeleteFleetLocations(ctx, allocator.FleetID(fleet.ARN), []string{"custom-a"}); err != nil {
			t.Error(err)
		}
		if err := a.DeleteLocation(ctx, "custom-a"); err != nil {
			t.Error(err)
		}
		_, _, err = a.FleetLocations(ctx, fleet.ID, []string{"custom-a"}, 0, "")
		wantKind(t, "reading a location that it has no more", err, allocator.ErrNotFound)
	})
}

func TestComputes(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		if _, err := s.CreateLocation(ctx, allocator.CreateLocationInput{Name: "custom-attic"}); err != nil {
			t.Fatal(err)
		}
		if err := s.CreateFleetLocations(ctx, s.fleet, []string{"custom-attic"}); err != nil {
			t.Fatal(err)
		}
		in := allocator.RegisterComputeInput{FleetID: s.fleet, Name: "new", Location: "custom-attic", IPAddress: "192.0.2.3", DNSName: "new.example", CertificatePath: "/cert"}
		made, err := s.RegisterCompute(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		store.Advance(time.Second)
		if again, err := s.RegisterCompute(ctx, in); err != nil || !reflect.DeepEqual(again, made) {
			t.Errorf("registered again: %+v (%v), want %+v", again, err, made)
		}
		for _, name := range []string{"new", made.ARN} {
			for _, fleet := range []allocator.FleetID{s.fleet, allocator.FleetID(made.FleetARN)} {
				if got, err := s.DescribeCompute(ctx, fleet, name); err != nil || !reflect.DeepEqual(got, made) {
					t.Errorf("described by %s and %s: %+v (%v), want %+v", fleet, name, got, err, made)
				}
			}
		}
		for location, want := range map[string]int{"": 2, "custom-attic": 1, "custom-cellar": 1, "custom-x": 0} {
			got, _, err := s.ListCompute(ctx, s.fleet, location, 0, "")
			if err != nil || len(got) != want {
				t.Errorf("at %q there are %d computes (%v), want %d", location, len(got), err, want)
			}
		}
		for name, c := range map[string]struct {
			change func(*allocator.RegisterComputeInput)
			kind   allocator.Kind
		}{
			"another address":           {func(in *allocator.RegisterComputeInput) { in.IPAddress = "192.0.2.4" }, allocator.ErrConflict},
			"another location":          {func(in *allocator.RegisterComputeInput) { in.Location = "custom-cellar" }, allocator.ErrConflict},
			"no name":                   {func(in *allocator.RegisterComputeInput) { in.Name = "" }, allocator.ErrInvalidRequest},
			"no location":               {func(in *allocator.RegisterComputeInput) { in.Location = "" }, allocator.ErrInvalidRequest},
			"no address":                {func(in *allocator.RegisterComputeInput) { in.IPAddress, in.DNSName = "", "" }, allocator.ErrInvalidRequest},
			"a location not its own":    {func(in *allocator.RegisterComputeInput) { in.Location = "custom-x" }, allocator.ErrInvalidRequest},
			"a fleet that is not there": {func(in *allocator.RegisterComputeInput) { in.FleetID = "fleet-0" }, allocator.ErrInvalidRequest},
		} {
			changed := in
			c.change(&changed)
			_, err := s.RegisterCompute(ctx, changed)
			wantKind(t, name, err, c.kind)
		}

		token, err := s.GetComputeAuthToken(ctx, s.fleet, made.ARN)
		if err != nil || len(token.Token) != 48 || !token.ExpirationTime.Equal(store.Now().Add(3*time.Hour)) || token.Compute.Name != "new" {
			t.Errorf("its token is %+v, %v", token, err)
		}
		if other, err := s.GetComputeAuthToken(ctx, s.fleet, "new"); err != nil || other.Token == token.Token {
			t.Errorf("another token is %+v, %v", other, err)
		}
		for _, key := range everyKey(t, store) {
			if strings.Contains(key, token.Token) {
				t.Errorf("key %s has the token in it", key)
			}
		}
		held := theKey(t, store, ":tokens:")
		if n := store.Client().ZCard(ctx, held).Val(); n != 2 {
			t.Errorf("the store keeps %d tokens, want 2", n)
		}
		store.Advance(2 * time.Hour)
		if _, err := s.GetComputeAuthToken(ctx, s.fleet, "new"); err != nil {
			t.Error(err)
		}
		store.Advance(time.Hour)
		if _, err := s.GetComputeAuthToken(ctx, s.fleet, "new"); err != nil {
			t.Error(err)
		}
		if n := store.Client().ZCard(ctx, held).Val(); n != 2 {
			t.Errorf("the store keeps %d tokens of which two have expired, want 2", n)
		}

		if err := s.DeregisterCompute(ctx, s.fleet, made.ARN); err != nil {
			t.Error(err)
		}
		if n := store.Client().Exists(ctx, held).Val(); n != 0 {
			t.Error("the tokens outlive the compute")
		}
		wantKind(t, "deregistering it again", s.DeregisterCompute(ctx, s.fleet, "new"), allocator.ErrNotFound)
		_, err = s.DescribeCompute(ctx, s.fleet, "new")
		wantKind(t, "reading it", err, allocator.ErrNotFound)
		_, err = s.GetComputeAuthToken(ctx, s.fleet, "new")
		wantKind(t, "a token of it", err, allocator.ErrNotFound)
		_, _, err = s.ListCompute(ctx, "fleet-0", "", 0, "")
		wantKind(t, "computes of no fleet", err, allocator.ErrInvalidRequest)
	})
}

func TestAliases(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		in := allocator.CreateAliasInput{Name: "live", Description: "d", RoutingStrategy: allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: allocator.FleetID(arnHead + "fleet/" + string(s.fleet))}, RetryToken: "token"}
		alias, err := s.CreateAlias(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		if alias.RoutingStrategy.FleetID != s.fleet || !alias.CreationTime.Equal(store.Now()) || !alias.LastUpdatedTime.Equal(store.Now()) || alias.ARN != arnHead+"alias/"+string(alias.ID) {
			t.Errorf("created: %+v", alias)
		}
		created := store.Now()
		store.Advance(time.Second)
		if again, err := s.CreateAlias(ctx, in); err != nil || !reflect.DeepEqual(again, alias) {
			t.Errorf("created again with its retry token: %+v (%v), want %+v", again, err, alias)
		}
		game := s.newGameSession(9)
		throughAlias := allocator.GameSessionID(strings.Replace(string(game), string(s.fleet), string(alias.ID), 1))
		for _, id := range []allocator.AliasID{alias.ID, allocator.AliasID(alias.ARN)} {
			if got, err := s.DescribeAlias(ctx, id); err != nil || !reflect.DeepEqual(got, alias) {
				t.Errorf("described by %s: %+v (%v), want %+v", id, got, err, alias)
			}
			if got, err := s.ResolveAlias(ctx, id); err != nil || got != s.fleet {
				t.Errorf("resolved by %s: %s (%v), want %s", id, got, err, s.fleet)
			}
			if got, err := s.DescribeGameSessions(ctx, allocator.DescribeGameSessionsInput{AliasID: id}); err != nil || len(got.GameSessions) == 0 {
				t.Errorf("game sessions by %s: %v", id, err)
			}
			if got, err := s.CreateGameSession(ctx, allocator.CreateGameSessionInput{AliasID: id, MaximumPlayerSessionCount: 1}); err != nil || got.FleetID != s.fleet {
				t.Errorf("a game session by %s: %+v, %v", id, got, err)
			}
		}
		if p := s.reserve(throughAlias, "player"); p.GameSessionID != game {
			t.Errorf("reserved through the alias in %s, want %s", p.GameSessionID, game)
		}
		if p, err := s.CreatePlayerSessions(ctx, allocator.CreatePlayerSessionsInput{GameSessionID: throughAlias, PlayerIDs: []string{"a", "b"}}); err != nil || p[0].GameSessionID != game {
			t.Errorf("two reserved through the alias: %v, %v", p, err)
		}

		name := "renamed"
		changed, err := s.UpdateAlias(ctx, allocator.UpdateAliasInput{AliasID: allocator.AliasID(alias.ARN), Name: &name, RoutingStrategy: &allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "gone fishing"}})
		if err != nil || changed.Name != name || changed.Description != "d" || changed.RoutingStrategy.FleetID != "" || !changed.CreationTime.Equal(created) || !changed.LastUpdatedTime.Equal(store.Now()) {
			t.Errorf("changed: %+v, %v", changed, err)
		}
		wantTerminal := func(what string, err error) {
			t.Helper()
			wantKind(t, what, err, allocator.ErrTerminalRoutingStrategy)
			if err != nil && !strings.Contains(err.Error(), "gone fishing") {
				t.Errorf("%s: the message is %q, want that of the alias", what, err)
			}
		}
		_, err = s.ResolveAlias(ctx, alias.ID)
		wantTerminal("resolving", err)
		_, err = s.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: throughAlias, PlayerID: "p"})
		wantTerminal("reserving", err)
		_, err = s.CreatePlayerSessions(ctx, allocator.CreatePlayerSessionsInput{GameSessionID: throughAlias, PlayerIDs: []string{"p"}})
		wantTerminal("reserving for a group", err)
		_, err = s.CreateGameSession(ctx, allocator.CreateGameSessionInput{AliasID: alias.ID, MaximumPlayerSessionCount: 1})
		wantTerminal("creating a game session", err)
		_, err = s.DescribeGameSessions(ctx, allocator.DescribeGameSessionsInput{AliasID: alias.ID})
		wantTerminal("reading game sessions", err)

		simple := func(fleet allocator.FleetID, message string) allocator.RoutingStrategy {
			return allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: fleet, Message: message}
		}
		for what, strategy := range map[string]allocator.RoutingStrategy{
			"no type":               {FleetID: s.fleet},
			"no fleet":              simple("", ""),
			"SIMPLE with a message": simple(s.fleet, "hello"),
			"no such fleet":         simple("fleet-0", ""),
			"no message":            {Type: allocator.RoutingTerminal},
			"TERMINAL with a fleet": {Type: allocator.RoutingTerminal, FleetID: s.fleet, Message: "hello"},
		} {
			_, err := s.CreateAlias(ctx, allocator.CreateAliasInput{Name: "n", RoutingStrategy: strategy})
			wantKind(t, "creating with "+what, err, allocator.ErrInvalidRequest)
			_, err = s.UpdateAlias(ctx, allocator.UpdateAliasInput{AliasID: alias.ID, RoutingStrategy: &strategy})
			wantKind(t, "changing to "+what, err, allocator.ErrInvalidRequest)
		}
		blank := " "
		_, err = s.CreateAlias(ctx, allocator.CreateAliasInput{Name: blank, RoutingStrategy: simple(s.fleet, "")})
		wantKind(t, "a blank name", err, allocator.ErrInvalidRequest)
		_, err = s.UpdateAlias(ctx, allocator.UpdateAliasInput{AliasID: alias.ID, Name: &blank})
		wantKind(t, "a blank new name", err, allocator.ErrInvalidRequest)
		_, err = s.UpdateAlias(ctx, allocator.UpdateAliasInput{AliasID: "alias-0", Name: &name})
		wantKind(t, "changing none", err, allocator.ErrNotFound)
		_, err = s.DescribeAlias(ctx, "alias-0")
		wantKind(t, "reading none", err, allocator.ErrNotFound)
		_, err = s.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{GameSessionID: arnHead + "gamesession/alias-0/g", PlayerID: "p"})
		wantKind(t, "reserving through none", err, allocator.ErrNotFound)
	})
}

func TestTags(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		arn := arnHead + "fleet/" + string(s.fleet)
		many := make(map[string]string)
		for i := range 50 {
			many[fmt.Sprintf("key-%d", i)] = fmt.Sprint(i)
		}
		if err := s.TagResource(ctx, arn, many); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "one more than 50", s.TagResource(ctx, arn, map[string]string{"key-0": "x", "other": "y"}), allocator.ErrInvalidRequest)
		if err := s.TagResource(ctx, arn, map[string]string{"key-0": "changed"}); err != nil {
			t.Errorf("changing one of 50: %v", err)
		}
		if err := s.UntagResource(ctx, arn, []string{"key-1", "never there"}); err != nil {
			t.Error(err)
		}
		many["key-0"] = "changed"
		delete(many, "key-1")
		if got, err := s.ListTagsForResource(ctx, arn); err != nil || !reflect.DeepEqual(got, many) {
			t.Errorf("the tags are %v (%v), want %v", got, err, many)
		}
		for _, arn := range []string{"", "x", arnHead + "fleet/fleet-0", arnHead + "gamesession/a/b", "arn:aws:gamelift:eu-west-1::fleet/" + string(s.fleet)} {
			wantKind(t, "tagging "+arn, s.TagResource(ctx, arn, map[string]string{"a": "b"}), allocator.ErrNotFound)
			wantKind(t, "untagging "+arn, s.UntagResource(ctx, arn, []string{"a"}), allocator.ErrNotFound)
			_, err := s.ListTagsForResource(ctx, arn)
			wantKind(t, "tags of "+arn, err, allocator.ErrNotFound)
		}
	})
}

func TestQueues(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		fleet := arnHead + "fleet/" + string(s.fleet)
		in := allocator.CreateGameSessionQueueInput{RetryToken: "token", Queue: allocator.Queue{
			Name: "queue", Timeout: 5 * time.Second, Destinations: []string{fleet}, AllowedLocations: []string{"custom-cellar"},
			LatencyPolicies: []allocator.LatencyPolicy{{Maximum: time.Second, Duration: time.Minute}, {Maximum: 2 * time.Second}},
			PriorityOrder:   []allocator.Priority{allocator.PriorityCost}, LocationOrder: []string{"custom-cellar"}, CustomEventData: "data", NotificationTarget: "target",
		}}
		want := in.Queue
		want.ARN, want.CreationTime = arnHead+"gamesessionqueue/queue", store.Now()
		for range 2 {
			if got, err := s.CreateGameSessionQueue(ctx, in); err != nil || !reflect.DeepEqual(*got, want) {
				t.Errorf("created with its retry token: %+v (%v), want %+v", got, err, want)
			}
			store.Advance(time.Second)
		}
		in.RetryToken = "another"
		_, err := s.CreateGameSessionQueue(ctx, in)
		wantKind(t, "a queue that is there", err, allocator.ErrInvalidRequest)
		timeout, event := 9*time.Second, ""
		changed, err := s.UpdateGameSessionQueue(ctx, allocator.UpdateGameSessionQueueInput{Name: want.ARN, Timeout: &timeout, CustomEventData: &event, LatencyPolicies: []allocator.LatencyPolicy{}, PriorityOrder: []allocator.Priority{allocator.PriorityLocation}})
		want.Timeout, want.CustomEventData, want.LatencyPolicies, want.PriorityOrder, want.LocationOrder = timeout, "", nil, []allocator.Priority{allocator.PriorityLocation}, nil
		if err != nil || !reflect.DeepEqual(*changed, want) {
			t.Errorf("changed: %+v (%v), want %+v", changed, err, want)
		}
		for _, name := range []string{"queue", want.ARN} {
			if got, _, err := s.DescribeGameSessionQueues(ctx, []string{name}, 0, ""); err != nil || !reflect.DeepEqual(got[0], want) {
				t.Errorf("described by %s: %+v (%v), want %+v", name, got, err, want)
			}
		}
		s.newQueue("plain", func(q *allocator.Queue) { q.Timeout = 0 })
		if got, _, err := s.DescribeGameSessionQueues(ctx, []string{"plain"}, 0, ""); err != nil || got[0].Timeout != 10*time.Minute {
			t.Errorf("a queue that does not say has the timeout %v (%v), want ten minutes", got, err)
		}
		gap := []allocator.LatencyPolicy{{Maximum: 1}, {Maximum: 2}}
		for what, q := range map[string]allocator.Queue{"no name": {}, "a policy without end before another": {Name: "x", LatencyPolicies: gap}} {
			_, err := s.CreateGameSessionQueue(ctx, allocator.CreateGameSessionQueueInput{Queue: q})
			wantKind(t, what, err, allocator.ErrInvalidRequest)
		}
		for _, destination := range []string{"fleet-0", arnHead + "fleet/fleet-0", arnHead + "alias/alias-0", string(s.fleet)} {
			_, err := s.CreateGameSessionQueue(ctx, allocator.CreateGameSessionQueueInput{Queue: allocator.Queue{Name: "x", Destinations: []string{fleet, destination}}})
			wantKind(t, "destination "+destination, err, allocator.ErrNotFound)
			if err != nil && !strings.Contains(err.Error(), "Destinations[1]") {
				t.Errorf("the message does not say which destination: %v", err)
			}
			_, err = s.UpdateGameSessionQueue(ctx, allocator.UpdateGameSessionQueueInput{Name: "queue", Destinations: []string{destination}})
			wantKind(t, "new destination "+destination, err, allocator.ErrNotFound)
		}
		_, err = s.UpdateGameSessionQueue(ctx, allocator.UpdateGameSessionQueueInput{Name: "other"})
		wantKind(t, "changing none", err, allocator.ErrNotFound)
		_, _, err = s.DescribeGameSessionQueues(ctx, []string{"queue", "other"}, 0, "")
		wantKind(t, "reading none", err, allocator.ErrNotFound)
	})
}

func TestUtilizationAddsUpTheActiveGameSessions(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		s.fill(s.newGameSession(5), 3)
		s.fill(s.newGameSession(7), 1)
		s.terminate(s.newGameSession(9))
		got, _, err := s.DescribeFleetUtilization(context.Background(), []allocator.FleetID{s.fleet}, 0, "")
		want := []allocator.FleetUtilization{{FleetID: s.fleet, FleetARN: arnHead + "fleet/" + string(s.fleet), ActiveGameSessionCount: 2, CurrentPlayerSessionCount: 4, MaximumPlayerSessionCount: 12}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v (%v), want %+v", got, err, want)
		}
		_, _, err = s.DescribeFleetUtilization(context.Background(), []allocator.FleetID{"fleet-0"}, 0, "")
		wantKind(t, "of no fleet", err, allocator.ErrNotFound)
	})
}

func TestQuotaIsReachedAtItsEdgeAndNamesItsFlag(t *testing.T) {
	const quota = 3
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		a := open(t, store, func(c *allocator.Config) {
			c.Quotas = allocator.Quotas{Aliases: quota, Fleets: quota, ComputesPerFleet: quota, Locations: quota, Queues: quota}
		})
		ctx := context.Background()
		var fleets []allocator.FleetID
		var aliases []allocator.AliasID
		location := func(i int) string { return fmt.Sprintf("custom-%d", i) }
		terminal := allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "m"}
		for _, c := range []struct {
			what, flag     string
			create, remove func(i int) error
		}{
			{"location", "--max-locations", func(i int) error {
				_, err := a.CreateLocation(ctx, allocator.CreateLocationInput{Name: location(i)})
				return err
			}, func(i int) error { return a.DeleteLocation(ctx, location(i)) }},
			{"fleet", "--max-fleets", func(i int) error {
				fleet, err := a.CreateFleet(ctx, allocator.CreateFleetInput{Name: "f", Locations: []string{location(1)}})
				if err == nil {
					fleets = append(fleets, fleet.ID)
				}
				return err
			}, func(int) error { return a.DeleteFleet(ctx, fleets[0]) }},
			{"compute", "--max-computes-per-fleet", func(i int) error {
				_, err := a.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: fleets[1], Name: fmt.Sprint(i), Location: location(1), IPAddress: "192.0.2.1"})
				return err
			}, func(i int) error { return a.DeregisterCompute(ctx, fleets[1], fmt.Sprint(i)) }},
			{"alias", "--max-aliases", func(int) error {
				alias, err := a.CreateAlias(ctx, allocator.CreateAliasInput{Name: "a", RoutingStrategy: terminal})
				if err == nil {
					aliases = append(aliases, alias.ID)
				}
				return err
			}, func(int) error { return a.DeleteAlias(ctx, aliases[0]) }},
			{"queue", "--max-queues", func(i int) error {
				_, err := a.CreateGameSessionQueue(ctx, allocator.CreateGameSessionQueueInput{Queue: allocator.Queue{Name: fmt.Sprint(i)}})
				return err
			}, func(i int) error { return a.DeleteGameSessionQueue(ctx, fmt.Sprint(i)) }},
		} {
			for i := range quota {
				if err := c.create(i); err != nil {
					t.Fatalf("%s %d of %d: %v", c.what, i, quota, err)
				}
			}
			err := c.create(quota)
			wantKind(t, "one "+c.what+" too many", err, allocator.ErrLimitExceeded)
			if err != nil && (!strings.Contains(err.Error(), c.flag) || !strings.Contains(err.Error(), "3")) {
				t.Errorf("one %s too many: the message names not %s: %v", c.what, c.flag, err)
			}
			if err := c.remove(0); err != nil {
				t.Errorf("deleting a %s: %v", c.what, err)
			}
			if err := c.create(quota); err != nil {
				t.Errorf("after one %s less: %v", c.what, err)
			}
		}
	})
}

func TestFleetHasAHundredLocationsAtMost(t *testing.T) {
	store := allocatortest.Miniredis(t)
	a := open(t, store, func(c *allocator.Config) { c.Quotas.Locations = 200 })
	var names []string
	for i := range 101 {
		names = append(names, fmt.Sprintf("custom-%d", i))
	}
	createLocations(t, a, names...)
	fleet, err := a.CreateFleet(context.Background(), allocator.CreateFleetInput{Name: "f", Locations: names[:1]})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, "101 locations", a.CreateFleetLocations(context.Background(), fleet.ID, names), allocator.ErrLimitExceeded)
	if err := a.CreateFleetLocations(context.Background(), fleet.ID, names[:100]); err != nil {
		t.Errorf("100 locations: %v", err)
	}
}

func TestFleetRefusesWhatMakesNoSense(t *testing.T) {
	a := open(t, allocatortest.Miniredis(t))
	ctx := context.Background()
	createLocations(t, a, "custom-a")
	many := make(map[string]string)
	for i := range 51 {
		many[fmt.Sprint(i)] = ""
	}
	for name, c := range map[string]struct {
		in   allocator.CreateFleetInput
		kind allocator.Kind
	}{
		"no name":          {allocator.CreateFleetInput{Locations: []string{"custom-a"}}, allocator.ErrInvalidRequest},
		"no location":      {allocator.CreateFleetInput{Name: "f"}, allocator.ErrInvalidRequest},
		"a location twice": {allocator.CreateFleetInput{Name: "f", Locations: []string{"custom-a", "custom-a"}}, allocator.ErrInvalidRequest},
		"no such location": {allocator.CreateFleetInput{Name: "f", Locations: []string{"custom-a", "custom-b"}}, allocator.ErrNotFound},
		"too many tags":    {allocator.CreateFleetInput{Name: "f", Locations: []string{"custom-a"}, Tags: many}, allocator.ErrInvalidRequest},
	} {
		_, err := a.CreateFleet(ctx, c.in)
		wantKind(t, name, err, c.kind)
	}
	if ids, _, err := a.ListFleets(ctx, 0, ""); err != nil || len(ids) != 0 {
		t.Errorf("after the refusals there are fleets %v (%v)", ids, err)
	}
	_, _, err := a.DescribeFleets(ctx, []allocator.FleetID{"fleet-0"}, 0, "")
	wantKind(t, "reading none", err, allocator.ErrNotFound)
	wantKind(t, "deleting none", a.DeleteFleet(ctx, "fleet-0"), allocator.ErrNotFound)
}

func createLocations(t testing.TB, a *allocator.Allocator, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := a.CreateLocation(context.Background(), allocator.CreateLocationInput{Name: name}); err != nil && !errors.Is(err, allocator.ErrConflict) {
			t.Fatal(err)
		}
	}
}
