package allocator_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// What the model leaves out, because no operation leads there yet or a random input seldom does.

func TestSlotsAreReservedOnlyInActiveGameSessionsThatAcceptAll(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		for _, status := range []allocator.GameSessionStatus{
			allocator.GameSessionActivating, allocator.GameSessionTerminating, allocator.GameSessionTerminated, allocator.GameSessionError,
		} {
			game := s.newGameSession(5)
			known, err := s.CreatePlayerSession(t.Context(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada", RetryToken: "token"})
			if err != nil {
				t.Fatal(err)
			}
			s.setStatus(game, status)
			wantOnlyKind(t, fmt.Sprintf("reserve in a game session that is %s", status), s.tryReserve(game), allocator.ErrInvalidGameSessionStatus)
			_, err = s.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: []string{"bob", "cy"}})
			wantOnlyKind(t, fmt.Sprintf("reserve for a group in a game session that is %s", status), err, allocator.ErrInvalidGameSessionStatus)
			again, err := s.CreatePlayerSession(t.Context(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada", RetryToken: "token"})
			if err != nil || again.ID != known.ID {
				t.Errorf("the retry is answered %+v (error: %v)", again, err)
			}
		}
		deny := allocator.DenyAll
		game := s.newGameSession(5)
		if _, err := s.UpdateGameSession(t.Context(), allocator.UpdateGameSessionInput{GameSessionID: game, PlayerSessionCreationPolicy: &deny}); err != nil {
			t.Fatal(err)
		}
		wantOnlyKind(t, "reserve where all are denied", s.tryReserve(game), allocator.ErrInvalidGameSessionStatus)
		_, err := s.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: []string{"bob"}})
		wantOnlyKind(t, "reserve for a group where all are denied", err, allocator.ErrInvalidGameSessionStatus)
		wantCount(t, "slots taken", s.taken(game), 0)
	})
}

func TestGameSessionIsUpdatedUntilItHasEnded(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	name := "renamed"
	for status, kind := range map[allocator.GameSessionStatus]allocator.Kind{
		allocator.GameSessionActivating:  "",
		allocator.GameSessionActive:      "",
		allocator.GameSessionTerminating: allocator.ErrInvalidGameSessionStatus,
		allocator.GameSessionTerminated:  allocator.ErrInvalidGameSessionStatus,
		allocator.GameSessionError:       allocator.ErrInvalidGameSessionStatus,
	} {
		game := s.newGameSession(1)
		s.setStatus(game, status)
		got, err := s.UpdateGameSession(t.Context(), allocator.UpdateGameSessionInput{GameSessionID: game, Name: &name})
		if kind != "" {
			wantOnlyKind(t, fmt.Sprintf("update when it is %s", status), err, kind)
		} else if err != nil || got.Name != name {
			t.Errorf("updated when it is %s: %+v (error: %v)", status, got, err)
		}
	}
}

// setStatus does to a game session what no operation does yet.
func (s scene) setStatus(game allocator.GameSessionID, status allocator.GameSessionStatus) {
	s.t.Helper()
	at, ok := contentsOf(s.t, s.store).gameSessions()[game]
	if !ok {
		s.t.Fatalf("%s is not in the store", game)
	}
	key := fmt.Sprintf("berth:{%s}:gs:%s", at.partition, at.name)
	if err := s.store.Client().HSet(s.t.Context(), key, "status", string(status)).Err(); err != nil {
		s.t.Fatal(err)
	}
}

func TestGameSessionsWithoutServerProcessesNeedAutoActivate(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	a := open(t, store, func(c *allocator.Config) { c.AutoActivate = false })
	_, err := a.CreateGameSession(t.Context(), allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1})
	wantOnlyKind(t, "CreateGameSession", err, allocator.ErrFleetCapacityExceeded)
}

func TestGameSessionThatIsThereIsAnsweredThoughNothingCanHostIt(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	other := open(t, store, func(c *allocator.Config) { c.AutoActivate = false })
	in := allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1, IdempotencyToken: "room"}
	first, err := s.CreateGameSession(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := other.CreateGameSession(t.Context(), in)
	if err != nil || again.ID != first.ID {
		t.Errorf("the same call is answered %+v (error: %v)", again, err)
	}
	in.MaximumPlayerSessionCount++
	_, err = other.CreateGameSession(t.Context(), in)
	wantOnlyKind(t, "the same id with other parameters", err, allocator.ErrFleetCapacityExceeded)
}

func TestFleetsOfOneTokenAreTheSameOnlyWithTheSameNameAndLocations(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	for _, location := range []string{"custom-attic", "custom-barn"} {
		if _, err := s.CreateLocation(t.Context(), allocator.CreateLocationInput{Name: location}); err != nil {
			t.Fatal(err)
		}
	}
	ids := make(map[allocator.FleetID]bool)
	calls := []allocator.CreateFleetInput{
		{Name: "one", Locations: []string{"custom-attic"}, RetryToken: "token"},
		{Name: "two", Locations: []string{"custom-attic"}, RetryToken: "token"},
		{Name: "one", Locations: []string{"custom-barn"}, RetryToken: "token"},
		{Name: "one", Locations: []string{"custom-attic", "custom-barn"}, RetryToken: "token"},
		{Name: "one", Locations: []string{"custom-attic"}, RetryToken: "other"},
		{Name: "one", Locations: []string{"custom-attic"}},
		{Name: "one", Locations: []string{"custom-attic"}},
	}
	for _, in := range calls {
		fleet, err := s.CreateFleet(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		locations, _, err := s.FleetLocations(t.Context(), fleet.ID, nil, 0, "")
		if err != nil || !slices.Equal(locations, in.Locations) {
			t.Errorf("a fleet for %v has the locations %v (error: %v)", in.Locations, locations, err)
		}
		ids[fleet.ID] = true
	}
	wantCount(t, "different fleets", len(ids), len(calls))
}

func TestNamesThatCannotStandInKeysAreRefused(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	for _, name := range []string{"a:b", "a/b", "a b", "{a}", "a.b", "a_b", "ä"} {
		_, err := s.CreateLocation(t.Context(), allocator.CreateLocationInput{Name: name})
		wantOnlyKind(t, "a location "+name, err, allocator.ErrInvalidRequest)
		_, err = s.CreateGameSession(t.Context(), allocator.CreateGameSessionInput{FleetID: s.fleet, GameSessionID: name})
		wantOnlyKind(t, "a game session "+name, err, allocator.ErrInvalidRequest)
		_, err = s.CreateGameSession(t.Context(), allocator.CreateGameSessionInput{FleetID: s.fleet, IdempotencyToken: name})
		wantOnlyKind(t, "an idempotency token "+name, err, allocator.ErrInvalidRequest)
	}
}

func TestGameSessionHasSixteenPropertiesAtMost(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	properties := make(map[string]string)
	for i := range 16 {
		properties[fmt.Sprint("key", i)] = "value"
	}
	g, err := s.CreateGameSession(t.Context(), allocator.CreateGameSessionInput{FleetID: s.fleet, GameProperties: properties})
	if err != nil {
		t.Fatal(err)
	}
	update := func(properties map[string]string) error {
		_, err := s.UpdateGameSession(t.Context(), allocator.UpdateGameSessionInput{GameSessionID: g.ID, GameProperties: properties})
		return err
	}
	if err := update(map[string]string{"key0": "changed", "key15": ""}); err != nil {
		t.Errorf("change two of 16: %v", err)
	}
	wantOnlyKind(t, "add a 17th", update(map[string]string{"key0": "again", "key16": "value"}), allocator.ErrInvalidRequest)
	out, err := s.DescribeGameSessions(t.Context(), allocator.DescribeGameSessionsInput{GameSessionID: g.ID})
	if err != nil || out.GameSessions[0].GameProperties["key0"] != "changed" {
		t.Errorf("after the refusal: %+v (error: %v)", out, err)
	}
	properties["key16"] = "value"
	_, err = s.CreateGameSession(t.Context(), allocator.CreateGameSessionInput{FleetID: s.fleet, GameProperties: properties})
	wantOnlyKind(t, "create with 17", err, allocator.ErrInvalidRequest)
}

func TestGroupHasTwentyFivePlayersAtMost(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	game := s.newGameSession(60)
	for _, c := range []struct {
		players int
		kind    allocator.Kind
	}{{0, allocator.ErrInvalidRequest}, {1, ""}, {25, ""}, {26, allocator.ErrInvalidRequest}} {
		group, err := s.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: groupOf(c.players, c.players)})
		if c.kind != "" {
			wantOnlyKind(t, fmt.Sprintf("a group of %d", c.players), err, c.kind)
		} else if err != nil || len(group) != c.players {
			t.Errorf("a group of %d: %d player sessions (error: %v)", c.players, len(group), err)
		}
	}
	wantCount(t, "slots taken", s.taken(game), 26)
}

func TestWhatCannotBeAnIdIsNotFound(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	p := s.reserve(s.newGameSession(1), "ada")
	name := strings.TrimPrefix(string(p.GameSessionID), arn("gamesession/"))
	for _, id := range []string{
		"nonsense", name, arn("gamesession/"), arn("gamesession/" + string(s.fleet)), arn("gamesession/" + string(s.fleet) + "/"),
		arn("gamesession/" + name + "/more"), arn("gamesession//" + name), "arn:aws:gamelift:eu-west-1::gamesession/" + name,
	} {
		id := allocator.GameSessionID(id)
		_, err := s.DescribeGameSessions(t.Context(), allocator.DescribeGameSessionsInput{GameSessionID: id})
		wantOnlyKind(t, "DescribeGameSessions "+string(id), err, allocator.ErrNotFound)
		_, err = s.UpdateGameSession(t.Context(), allocator.UpdateGameSessionInput{GameSessionID: id})
		wantOnlyKind(t, "UpdateGameSession "+string(id), err, allocator.ErrNotFound)
		wantOnlyKind(t, "CreatePlayerSession "+string(id), s.tryReserve(id), allocator.ErrNotFound)
		_, err = s.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: id, PlayerIDs: []string{"ada"}})
		wantOnlyKind(t, "CreatePlayerSessions "+string(id), err, allocator.ErrNotFound)
		_, err = s.DescribePlayerSessions(t.Context(), allocator.DescribePlayerSessionsInput{GameSessionID: id})
		wantOnlyKind(t, "DescribePlayerSessions "+string(id), err, allocator.ErrNotFound)
		elsewhere := *p
		elsewhere.GameSessionID = id
		wantOnlyKind(t, "AcceptPlayerSession "+string(id), s.tryAccept(&elsewhere), allocator.ErrNotFound)
		wantOnlyKind(t, "RemovePlayerSession "+string(id), s.tryRemove(&elsewhere), allocator.ErrNotFound)
	}
	for _, id := range []string{
		"nonsense", "psess-", strings.TrimPrefix(string(p.ID), "psess-"), strings.ToUpper(string(p.ID)), "psess-" + strings.ToUpper(string(p.ID)[6:]),
		string(p.ID) + "0", "psess-{" + string(p.ID)[6:] + "}", "psess-" + strings.ReplaceAll(string(p.ID)[6:], "-", ""),
	} {
		_, err := s.DescribePlayerSessions(t.Context(), allocator.DescribePlayerSessionsInput{PlayerSessionID: allocator.PlayerSessionID(id)})
		wantOnlyKind(t, "DescribePlayerSessions "+id, err, allocator.ErrNotFound)
		unknown := *p
		unknown.ID = allocator.PlayerSessionID(id)
		wantOnlyKind(t, "AcceptPlayerSession "+id, s.tryAccept(&unknown), allocator.ErrNotFound)
		wantOnlyKind(t, "RemovePlayerSession "+id, s.tryRemove(&unknown), allocator.ErrNotFound)
	}
	if got := s.read(p.ID); got.Status != allocator.PlayerSessionReserved {
		t.Errorf("the player session is %s", got.Status)
	}
}

func TestPlayerSessionIsFoundOnlyInItsOwnGameSession(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		games := s.gameSessionsInOnePartition(2) // the same partition
		games = append(games, s.newGameSession(1), s.newGameSession(1), s.newGameSession(1))
		p := s.reserve(games[0], "ada")
		for _, other := range games[1:] {
			there := *p
			there.GameSessionID = other
			wantOnlyKind(t, "accept in another game session", s.tryAccept(&there), allocator.ErrNotFound)
		}
		s.accept(p)
		for _, other := range games[1:] {
			there := *p
			there.GameSessionID = other
			wantOnlyKind(t, "remove from another game session", s.tryRemove(&there), allocator.ErrNotFound)
		}
		s.remove(p)
	})
}

func TestIdsAreUUIDsThatCarryTheirPartition(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	for i := range 50 {
		game := s.newGameSession(1)
		p := s.reserve(game, player(i))
		text, ok := strings.CutPrefix(string(p.ID), "psess-")
		id, err := uuid.Parse(text)
		if !ok || err != nil || id.Version() != 8 || id.Variant() != uuid.RFC4122 || int(id[0]) != partitionOf(game) {
			t.Errorf("%s is a player session of partition %d (error: %v)", p.ID, partitionOf(game), err)
		}
		if len(game) > 256 || !regexp.MustCompile(`^[a-zA-Z0-9:/-]+$`).MatchString(string(game)) {
			t.Errorf("a game server's SDK does not take the game session id %s", game)
		}
	}
}
