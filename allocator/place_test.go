package allocator_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
	"github.com/berthgg/berth/lua"
)

func TestPlayersArePlacedInTheFullestGameSessionThatHasRoomForAll(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		empty, full, nearlyFull, halfFull := s.newGameSession(4), s.newGameSession(4), s.newGameSession(4), s.newGameSession(4)
		s.fill(full, 4)
		s.fill(nearlyFull, 3)
		s.fill(halfFull, 2)
		for _, step := range []struct {
			party int
			want  allocator.GameSessionID
		}{{2, halfFull}, {1, nearlyFull}, {3, empty}, {1, empty}} {
			placed, err := s.place(step.party)
			if err != nil {
				t.Fatalf("a party of %d: %v", step.party, err)
			}
			wantCount(t, "player sessions", len(placed), step.party)
			for i, p := range placed {
				if p.GameSessionID != step.want {
					t.Errorf("of a party of %d, one is placed in %s, want %s", step.party, p.GameSessionID, step.want)
				}
				if p.PlayerID != player(i) || p.Status != allocator.PlayerSessionReserved || p.IPAddress != "192.0.2.7" || p.FleetID != s.fleet {
					t.Errorf("of a party of %d, number %d got %+v", step.party, i, p)
				}
				if got := s.read(p.ID); !reflect.DeepEqual(*got, p) {
					t.Errorf("the answer is %+v, and DescribePlayerSessions says %+v", p, *got)
				}
			}
		}
		for _, game := range []allocator.GameSessionID{empty, full, nearlyFull, halfFull} {
			wantCount(t, "slots taken in the end", s.taken(game), 4)
		}
	})
}

func TestPlacingPlayersFollowsFilterAndSort(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		games := make(map[string]allocator.GameSessionID)
		for i, name := range []string{"delta", "alpha", "charlie", "bravo"} {
			game, err := s.CreateGameSession(ctx, allocator.CreateGameSessionInput{
				FleetID: s.fleet, Name: name, MaximumPlayerSessionCount: 5, GameProperties: map[string]string{"mode": []string{"duel", "race"}[i%2]},
			})
			if err != nil {
				t.Fatal(err)
			}
			games[name] = game.ID
			s.fill(game.ID, i)
			store.Advance(time.Millisecond)
		}
		for _, c := range []struct{ filter, sort, want string }{
			{"", "", "bravo"},
			{"gameSessionProperties.mode='duel'", "", "charlie"},
			{"gameSessionProperties.mode='duel'", "gameSessionName ASC", "charlie"},
			{"gameSessionProperties.mode='duel'", "gameSessionName DESC", "delta"},
			{"", "playerSessionCount ASC", "delta"},
			{"", "creationTimeMillis DESC", "bravo"},
			{"", "gameSessionName", "alpha"},
			{"NOT gameSessionName='bravo'", "", "charlie"},
			{"playerSessionCount=0", "", "delta"},
		} {
			looking := open(t, store) // no snapshot yet, so it sees what the cases before did
			placed, err := looking.PlacePlayerSessions(ctx, allocator.PlacePlayerSessionsInput{
				FleetID: s.fleet, FilterExpression: c.filter, SortExpression: c.sort, PlayerIDs: []string{"someone"},
			})
			if err != nil {
				t.Errorf("filter %q, sort %q: %v", c.filter, c.sort, err)
				continue
			}
			if placed[0].GameSessionID != games[c.want] {
				t.Errorf("filter %q, sort %q: placed in %s, want %s, which is %s", c.filter, c.sort, placed[0].GameSessionID, c.want, games[c.want])
			}
			s.accept(&placed[0])
			s.remove(&placed[0])
		}
		_, err := s.PlacePlayerSessions(ctx, allocator.PlacePlayerSessionsInput{FleetID: s.fleet, FilterExpression: "playerSessionCount>4", PlayerIDs: []string{"someone"}})
		wantKind(t, "a filter that finds nothing", err, allocator.ErrGameSessionFull)
	})
}

func TestPartyIsPlacedWholeOrNotAtAll(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		games := []allocator.GameSessionID{s.newGameSession(4), s.newGameSession(4), s.newGameSession(2)}
		s.fill(games[0], 2)
		s.fill(games[1], 2)
		_, err := s.place(3)
		wantKind(t, "a party of three, and two free slots everywhere", err, allocator.ErrGameSessionFull)
		for i, want := range []int{2, 2, 0} {
			wantCount(t, "slots taken", s.taken(games[i]), want)
		}
		wantCount(t, "player sessions of one of the party", len(s.sessionsOf(player(2))), 0)
	})
}

func TestPlayersAreNotPlacedWhereNobodyIsAccepted(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		closed := s.newGameSession(4)
		deny := allocator.DenyAll
		if _, err := s.UpdateGameSession(context.Background(), allocator.UpdateGameSessionInput{GameSessionID: closed, PlayerSessionCreationPolicy: &deny}); err != nil {
			t.Fatal(err)
		}
		s.terminate(s.newGameSession(4))
		_, err := s.place(1)
		wantKind(t, "a closed and an ended game session", err, allocator.ErrGameSessionFull)
		open := s.newGameSession(4)
		placed, err := s.place(1) // the snapshot that this instance has does not know the new one yet
		if err != nil || placed[0].GameSessionID != open {
			t.Errorf("placed in %v (%v), want %s", placed, err, open)
		}
	})
}

func TestPlacingPlayersRefusesWhatMakesNoSense(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	ctx := context.Background()
	s.newGameSession(4)
	terminal, err := s.CreateAlias(ctx, allocator.CreateAliasInput{Name: "closed", RoutingStrategy: allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "gone fishing"}})
	if err != nil {
		t.Fatal(err)
	}
	simple, err := s.CreateAlias(ctx, allocator.CreateAliasInput{Name: "live", RoutingStrategy: allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: s.fleet}})
	if err != nil {
		t.Fatal(err)
	}
	one := []string{"one"}
	for name, c := range map[string]struct {
		in   allocator.PlacePlayerSessionsInput
		kind allocator.Kind
	}{
		"no fleet":         {allocator.PlacePlayerSessionsInput{PlayerIDs: one}, allocator.ErrInvalidRequest},
		"fleet and alias":  {allocator.PlacePlayerSessionsInput{FleetID: s.fleet, AliasID: simple.ID, PlayerIDs: one}, allocator.ErrInvalidRequest},
		"an unknown fleet": {allocator.PlacePlayerSessionsInput{FleetID: "fleet-0", PlayerIDs: one}, allocator.ErrNotFound},
		"an unknown alias": {allocator.PlacePlayerSessionsInput{AliasID: "alias-0", PlayerIDs: one}, allocator.ErrNotFound},
		"a TERMINAL alias": {allocator.PlacePlayerSessionsInput{AliasID: terminal.ID, PlayerIDs: one}, allocator.ErrTerminalRoutingStrategy},
		"a broken filter":  {allocator.PlacePlayerSessionsInput{FleetID: s.fleet, FilterExpression: "playerSessionCount", PlayerIDs: one}, allocator.ErrInvalidRequest},
		"a broken sort":    {allocator.PlacePlayerSessionsInput{FleetID: s.fleet, SortExpression: "size", PlayerIDs: one}, allocator.ErrInvalidRequest},
		"no players":       {allocator.PlacePlayerSessionsInput{FleetID: s.fleet}, allocator.ErrInvalidRequest},
		"too many players": {allocator.PlacePlayerSessionsInput{FleetID: s.fleet, PlayerIDs: partyOf(26)}, allocator.ErrInvalidRequest},
		"a player twice":   {allocator.PlacePlayerSessionsInput{FleetID: s.fleet, PlayerIDs: []string{"one", "one"}}, allocator.ErrInvalidRequest},
	} {
		_, err := s.PlacePlayerSessions(ctx, c.in)
		wantKind(t, name, err, c.kind)
	}
	for _, alias := range []allocator.AliasID{simple.ID, allocator.AliasID(simple.ARN)} {
		placed, err := s.PlacePlayerSessions(ctx, allocator.PlacePlayerSessionsInput{AliasID: alias, PlayerIDs: one, PlayerDataMap: map[string]string{"one": "level 7", "another": "is of no interest"}})
		if err != nil || placed[0].PlayerData != "level 7" {
			t.Errorf("through alias %s: %+v, %v", alias, placed, err)
		}
	}
	if _, err := s.PlacePlayerSessions(ctx, allocator.PlacePlayerSessionsInput{FleetID: allocator.FleetID("arn:aws:gamelift:us-east-1::fleet/" + string(s.fleet)), PlayerIDs: one}); err != nil {
		t.Errorf("by the ARN of the fleet: %v", err)
	}
}

func TestRepeatedPlacingIsAnsweredAsBefore(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		elsewhere := scene{open(t, store), t, store, s.fleet}
		only := s.newGameSession(2)
		first, err := s.placeWith("token", 2) // it fills the only game session
		if err != nil {
			t.Fatal(err)
		}
		again := func(when string) {
			t.Helper()
			for name, at := range map[string]scene{"the same instance": s, "another instance": elsewhere, "a new instance": {open(t, store), t, store, s.fleet}} {
				got, err := at.placeWith("token", 2)
				if err != nil {
					t.Errorf("%s, at %s: %v", when, name, err)
					continue
				}
				for i := range got {
					if got[i].ID != first[i].ID || got[i].GameSessionID != only {
						t.Errorf("%s, at %s: %s in %s, want %s in %s", when, name, got[i].ID, got[i].GameSessionID, first[i].ID, only)
					}
				}
			}
		}
		again("while the game session is full")
		wantCount(t, "slots taken", s.taken(only), 2)
		better := s.newGameSession(30)
		s.fill(better, 20)
		again("while a fuller one has room")
		wantCount(t, "slots taken in the fuller one", s.taken(better), 20)
		s.terminate(only)
		again("after the game session has ended")
		wantCount(t, "slots taken in the fuller one", s.taken(better), 20)
		wantCount(t, "player sessions of one of the party", len(s.sessionsOf(player(1))), 1)

		if _, err := s.placeWith("another token", 2); err != nil {
			t.Errorf("another call: %v", err)
		}
		wantCount(t, "player sessions of one of the party after another call", len(s.sessionsOf(player(1))), 2)
	})
}

func TestPlacingWhoseAnswerWasLostCanBeRepeatedAnywhere(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		s.newGameSession(3)
		unlucky := scene{open(t, store, loseAnswerTo("create_player_sessions")), t, store, s.fleet}
		_, err := unlucky.placeWith("token", 3)
		wantKind(t, "the call whose answer was lost", err, allocator.ErrOutcomeUnknown)
		placed, err := s.placeWith("token", 3)
		if err != nil {
			t.Fatalf("the repeated call: %v", err)
		}
		wantCount(t, "player sessions of one of the party", len(s.sessionsOf(player(0))), 1)
		again, err := unlucky.placeWith("token", 3)
		if err != nil || again[2].ID != placed[2].ID {
			t.Errorf("the third call answers %v (%v), want what the second did", again, err)
		}
	})
}

func TestPlacingThatBrokeOffBeforeItReservedIsTakenUpElsewhere(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(3)
		dying, cut := openMortal(t, store)
		cut.after(1) // the note of where it tries is the last that it does
		_, err := scene{dying, t, store, s.fleet}.placeWith("token", 2)
		if err == nil {
			t.Fatal("the call succeeds though its client was cut off")
		}
		wantCount(t, "slots taken", s.taken(game), 0)
		s.fill(game, 2) // no room there any more
		other := s.newGameSession(3)
		placed, err := s.placeWith("token", 2)
		if err != nil || placed[0].GameSessionID != other {
			t.Errorf("the repeated call: placed in %v (%v), want %s", placed, err, other)
		}
	})
}

// Two attempts of one call have the same first choice. The quicker one is refused there, and moves on. Then a slot becomes free there:
// the slower one must not take it.
func TestSlowAttemptDoesNotReserveWhereAQuickOneWasRefused(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		firstChoice, second := s.newGameSession(2), s.newGameSession(2)
		holder := s.fill(firstChoice, 1)[0]
		quick := scene{open(t, store), t, store, s.fleet}
		slow := scene{open(t, store, meanwhile("create_player_sessions", func() {
			taken := s.fill(firstChoice, 1)[0]
			placed, err := quick.placeWith("token", 1)
			if err != nil || placed[0].GameSessionID != second {
				t.Errorf("the quick attempt: placed in %v (%v), want %s", placed, err, second)
			}
			for _, p := range []*allocator.PlayerSession{holder, taken} {
				s.accept(p)
				s.remove(p)
			}
		})), t, store, s.fleet}
		placed, err := slow.placeWith("token", 1)
		if err != nil || placed[0].GameSessionID != second {
			t.Errorf("the slow attempt: placed in %v (%v), want %s", placed, err, second)
		}
		wantCount(t, "player sessions of the player", len(s.sessionsOf(player(0))), 1)
	})
}

// A slow attempt of a call finds every game session full, the last by what a quick one has just reserved for the call.
func TestSlowAttemptIsAnsweredWithWhatAQuickOneHasReserved(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		s.newGameSession(2)
		var quick []allocator.PlayerSession
		slow := scene{open(t, store, meanwhile("describe_game_sessions", func() {
			var err error
			if quick, err = s.placeWith("token", 2); err != nil {
				t.Errorf("the quick attempt: %v", err)
			}
		})), t, store, s.fleet}
		placed, err := slow.placeWith("token", 2)
		if err != nil || !slices.EqualFunc(placed, quick, func(p, q allocator.PlayerSession) bool { return p.ID == q.ID }) {
			t.Errorf("the slow attempt is answered %v (%v), the quick one %v", placed, err, quick)
		}
		_, err = s.placeWith("another token", 2)
		wantKind(t, "another call", err, allocator.ErrGameSessionFull)
	})
}

func TestIdenticalPlacingsAtOnceReserveOnce(t *testing.T) {
	const rounds, attempts, party = 40, 6, 2
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	instances := []scene{s, {open(t, store), t, store, s.fleet}}
	for range 4 {
		s.newGameSession(party)
	}
	for round := range rounds {
		token := fmt.Sprintf("token %d", round)
		answers := make([][]allocator.PlayerSession, attempts)
		var group sync.WaitGroup
		start := make(chan struct{})
		for i := range attempts {
			group.Go(func() {
				<-start
				var err error
				if answers[i], err = instances[i%2].placeWith(token, party); err != nil {
					t.Errorf("attempt %d: %v", i, err)
				}
			})
		}
		group.Go(func() { // others come and go, so that the attempts see different game sessions full
			<-start
			for range 3 {
				if other, err := s.place(party); err == nil {
					for i := range other {
						s.accept(&other[i])
						s.remove(&other[i])
					}
				}
			}
		})
		close(start)
		group.Wait()
		if t.Failed() {
			return
		}
		for i, answer := range answers {
			if answer[0].ID != answers[0][0].ID || answer[1].ID != answers[0][1].ID {
				t.Fatalf("attempt %d is answered %s and %s, the first %s and %s", i, answer[0].ID, answer[1].ID, answers[0][0].ID, answers[0][1].ID)
			}
		}
		reserved := 0
		for _, p := range s.sessionsOf(player(0)) {
			if p.Status == allocator.PlayerSessionReserved {
				reserved++
			}
		}
		wantCount(t, "reservations of the player", reserved, 1)
		for i := range answers[0] {
			s.accept(&answers[0][i])
			s.remove(&answers[0][i])
		}
		store.Advance(retention) // so that the list above is short
		s.sweep()
	}
}

func TestStaleSnapshotLeadsToTheNextCandidate(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		fullest, ended, closed, last := s.newGameSession(9), s.newGameSession(9), s.newGameSession(9), s.newGameSession(9)
		s.fill(fullest, 8)
		s.fill(ended, 7)
		s.fill(closed, 6)
		stale := scene{open(t, store), t, store, s.fleet}
		wantCount(t, "game sessions that the snapshot has", len(stale.search("")), 4)
		s.fill(fullest, 1)
		s.terminate(ended)
		deny := allocator.DenyAll
		if _, err := s.UpdateGameSession(context.Background(), allocator.UpdateGameSessionInput{GameSessionID: closed, PlayerSessionCreationPolicy: &deny}); err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{"", "token"} {
			placed, err := stale.placeWith(token, 1)
			if err != nil || placed[0].GameSessionID != last {
				t.Errorf("with token %q: placed in %v (%v), want %s", token, placed, err, last)
			}
		}
	})
}

func TestFullIsSaidOnlyAfterAFreshLook(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(1)
		holder := s.fill(game, 1)[0]
		stale := scene{open(t, store), t, store, s.fleet}
		wantCount(t, "game sessions that the snapshot has", len(stale.search("")), 1)
		_, err := stale.place(1)
		wantKind(t, "while it is full", err, allocator.ErrGameSessionFull)
		s.accept(holder)
		s.remove(holder)
		placed, err := stale.place(1)
		if err != nil || placed[0].GameSessionID != game {
			t.Errorf("with a slot that has just become free: %v (%v), want a place in %s", placed, err, game)
		}
		_, err = stale.place(1)
		wantKind(t, "while it is full again", err, allocator.ErrGameSessionFull)
		other := s.newGameSession(1)
		placed, err = stale.place(1)
		if err != nil || placed[0].GameSessionID != other {
			t.Errorf("with a new game session: %v (%v), want a place in %s", placed, err, other)
		}
		store.Advance(reservationTimeout) // both reservations are over
		for range 2 {
			if _, err := stale.place(1); err != nil {
				t.Errorf("with a reservation timed out: %v", err)
			}
		}
	})
}

func TestPlacingGoesOnWhenWhereItTriedIsGone(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		longer := scene{open(t, store, func(c *allocator.Config) { c.Retention = 3 * retention }), t, store, s.fleet}
		game := s.newGameSession(1)
		if _, err := longer.placeWith("token", 1); err != nil {
			t.Fatal(err)
		}
		s.terminate(game)
		store.Advance(retention)
		s.sweep()
		other := s.newGameSession(1)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		placed, err := open(t, store).PlacePlayerSessions(ctx, allocator.PlacePlayerSessionsInput{FleetID: s.fleet, PlayerIDs: partyOf(1), RetryToken: "token"})
		if err != nil || placed[0].GameSessionID != other {
			t.Errorf("placed in %v (%v), want %s", placed, err, other)
		}
	})
}

func TestStampedeFillsEverySlotAndNoneTwice(t *testing.T) {
	const games, slots = 100, 10
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		instances := []scene{s, {open(t, store), t, store, s.fleet}}
		var all []allocator.GameSessionID
		for range games {
			all = append(all, s.newGameSession(slots))
		}
		sessions := make([]allocator.PlayerSession, games*slots)
		var group sync.WaitGroup
		start := make(chan struct{})
		for i := range sessions {
			token := ""
			if i%3 == 0 {
				token = fmt.Sprintf("token %d", i)
			}
			group.Go(func() {
				<-start
				placed, err := instances[i%2].PlacePlayerSessions(context.Background(), allocator.PlacePlayerSessionsInput{
					FleetID: s.fleet, PlayerIDs: []string{player(i)}, RetryToken: token,
				})
				if err != nil {
					t.Errorf("party %d: %v", i, err)
					return
				}
				sessions[i] = placed[0]
			})
		}
		close(start)
		group.Wait()
		ids := make(map[allocator.PlayerSessionID]bool)
		in := make(map[allocator.GameSessionID]int)
		for _, p := range sessions {
			ids[p.ID] = true
			in[p.GameSessionID]++
		}
		wantCount(t, "different player sessions", len(ids), games*slots)
		for _, game := range all {
			if in[game] != slots || s.taken(game) != slots {
				t.Errorf("%s: %d parties were told that they are in, %d slots are taken, want %d", game, in[game], s.taken(game), slots)
			}
		}
		_, err := s.place(1)
		wantKind(t, "one more", err, allocator.ErrGameSessionFull)
	})
}

func TestPartiesOfMixedSizesNeverOversell(t *testing.T) {
	const games, slots, parties = 12, 16, 120
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		instances := []scene{s, {open(t, store), t, store, s.fleet}}
		var all []allocator.GameSessionID
		for range games {
			all = append(all, s.newGameSession(slots))
		}
		random := rand.New(rand.NewPCG(3, 5))
		var mu sync.Mutex
		seated := make(map[allocator.GameSessionID]int)
		smallestRefused := slots
		var group sync.WaitGroup
		start := make(chan struct{})
		for i := range parties {
			size := 1 + random.IntN(5)
			group.Go(func() {
				<-start
				placed, err := instances[i%2].place(size)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case errors.Is(err, allocator.ErrGameSessionFull):
					smallestRefused = min(smallestRefused, size)
				case err != nil:
					t.Errorf("a party of %d: %v", size, err)
				case len(placed) != size || placed[0].GameSessionID != placed[size-1].GameSessionID:
					t.Errorf("a party of %d got %v", size, placed)
				default:
					seated[placed[0].GameSessionID] += size
				}
			})
		}
		close(start)
		group.Wait()
		for _, game := range all {
			taken := s.taken(game)
			if taken != seated[game] || taken > slots {
				t.Errorf("%s: %d of %d slots are taken, and %d players were told that they are in", game, taken, slots, seated[game])
			}
			if slots-taken >= smallestRefused { // nobody left, so the room was there all the time
				t.Errorf("%s has %d slots left, and a party of %d was refused", game, slots-taken, smallestRefused)
			}
		}
	})
}

// place places a party of so many.
func (s scene) place(party int) ([]allocator.PlayerSession, error) { return s.placeWith("", party) }

func (s scene) placeWith(token string, party int) ([]allocator.PlayerSession, error) {
	return s.PlacePlayerSessions(context.Background(), allocator.PlacePlayerSessionsInput{FleetID: s.fleet, PlayerIDs: partyOf(party), RetryToken: token})
}

// partyOf names so many players.
func partyOf(n int) (names []string) {
	for i := range n {
		names = append(names, player(i))
	}
	return names
}

// fill reserves so many slots of a game session.
func (s scene) fill(game allocator.GameSessionID, slots int) (reserved []*allocator.PlayerSession) {
	s.t.Helper()
	for i := range slots {
		reserved = append(reserved, s.reserve(game, fmt.Sprintf("filler-%d", i)))
	}
	return reserved
}

// sessionsOf reads a page of a player's player sessions.
func (s scene) sessionsOf(playerID string) []allocator.PlayerSession {
	s.t.Helper()
	out, err := s.DescribePlayerSessions(context.Background(), allocator.DescribePlayerSessionsInput{PlayerID: playerID, Limit: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.PlayerSessions
}

// loseAnswerTo makes an Allocator's client lose the answer to the first run of a script: it ran, and nobody is told.
func loseAnswerTo(script string) func(*allocator.Config) {
	digest := sha1.Sum([]byte(lua.Source(script)))
	return func(c *allocator.Config) {
		c.Redis.AddHook(&answerLoss{source: lua.Source(script), digest: hex.EncodeToString(digest[:])})
	}
}

type answerLoss struct {
	source, digest string
	once           sync.Once
}

func (h *answerLoss) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *answerLoss) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if isScript := cmd.Name() == "eval" || cmd.Name() == "evalsha"; isScript && err == nil && (cmd.Args()[1] == h.digest || cmd.Args()[1] == h.source) {
			h.once.Do(func() {
				err = context.DeadlineExceeded
				cmd.SetErr(err)
			})
		}
		return err
	}
}

func (h *answerLoss) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
