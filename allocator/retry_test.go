package allocator_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

func TestCallsAtOnceWithOneTokenReserveOneSlot(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		allocators := s.pair()
		game := s.newGameSession(slots)
		single, group := sync.Map{}, sync.Map{}
		for i := range 20 {
			atOnce(5, func(try int) {
				a, token := allocators[try%2], fmt.Sprintf("token-%d", i)
				p, err := a.CreatePlayerSession(t.Context(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada", RetryToken: token})
				if err != nil {
					t.Error(err)
					return
				}
				if first, known := single.LoadOrStore(token, p.ID); known && first != p.ID {
					t.Errorf("%s reserved %s and %s", token, first, p.ID)
				}
				ps, err := a.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{
					GameSessionID: game, PlayerIDs: []string{"bob", "cy"}, RetryToken: token,
				})
				if err != nil {
					t.Error(err)
					return
				}
				ids := [2]allocator.PlayerSessionID{ps[0].ID, ps[1].ID}
				if first, known := group.LoadOrStore(token, ids); known && first != ids {
					t.Errorf("%s reserved %s and %s", token, first, ids)
				}
			})
			wantCount(t, "slots taken", s.taken(game), 3*(i+1))
		}
	})
}

func TestTokensOfTheirOwnReserveSlotsOfTheirOwn(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	first, second := s.newGameSession(9), s.newGameSession(9)
	ids := make(map[allocator.PlayerSessionID]bool)
	calls := []allocator.CreatePlayerSessionInput{
		{GameSessionID: first, PlayerID: "ada"},
		{GameSessionID: first, PlayerID: "ada"}, // without a token, each call is its own
		{GameSessionID: first, PlayerID: "ada", RetryToken: "one"},
		{GameSessionID: first, PlayerID: "ada", RetryToken: "two"},
		{GameSessionID: first, PlayerID: "bob", RetryToken: "one"},
		{GameSessionID: second, PlayerID: "ada", RetryToken: "one"},
	}
	for _, in := range calls {
		p, err := s.CreatePlayerSession(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		ids[p.ID] = true
	}
	wantCount(t, "different player sessions", len(ids), len(calls))
}

func TestRetryIsAnsweredWhateverHasHappenedSince(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		game := s.newGameSession(1)
		in := allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada", RetryToken: "token"}
		first, err := s.CreatePlayerSession(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		deny := allocator.DenyAll
		if _, err := s.UpdateGameSession(t.Context(), allocator.UpdateGameSessionInput{GameSessionID: game, PlayerSessionCreationPolicy: &deny}); err != nil {
			t.Fatal(err)
		}
		for _, then := range []struct {
			do   func()
			want allocator.PlayerSessionStatus
		}{
			{func() {}, allocator.PlayerSessionReserved},
			{func() { s.accept(first) }, allocator.PlayerSessionActive},
			{func() { s.remove(first) }, allocator.PlayerSessionCompleted},
		} {
			then.do()
			again, err := s.CreatePlayerSession(t.Context(), in)
			if err != nil || again.ID != first.ID || again.Status != then.want {
				t.Errorf("when the player session is %s the retry is answered %+v (error: %v)", then.want, again, err)
			}
		}
	})
}

func TestKnownGameSessionIsAnsweredOnlyToACallWithItsParameters(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	first := allocator.CreateGameSessionInput{
		FleetID: s.fleet, MaximumPlayerSessionCount: 2, Name: "duel", GameSessionData: "data", CreatorID: "creator",
		GameProperties: map[string]string{"map": "cellar", "mode": "night"}, Location: "custom-cellar", GameSessionID: "room",
	}
	created, err := s.CreateGameSession(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*allocator.CreateGameSessionInput){
		"maximum":             func(in *allocator.CreateGameSessionInput) { in.MaximumPlayerSessionCount = 3 },
		"name":                func(in *allocator.CreateGameSessionInput) { in.Name = "brawl" },
		"data":                func(in *allocator.CreateGameSessionInput) { in.GameSessionData = "" },
		"creator":             func(in *allocator.CreateGameSessionInput) { in.CreatorID = "another" },
		"location":            func(in *allocator.CreateGameSessionInput) { in.Location = "" },
		"value of a property": func(in *allocator.CreateGameSessionInput) { in.GameProperties["map"] = "attic" },
		"one property less":   func(in *allocator.CreateGameSessionInput) { delete(in.GameProperties, "map") },
		"one property more":   func(in *allocator.CreateGameSessionInput) { in.GameProperties["new"] = "" },
		"values of properties": func(in *allocator.CreateGameSessionInput) {
			in.GameProperties = map[string]string{"map": "night", "mode": "cellar"}
		},
		"name and data swapped": func(in *allocator.CreateGameSessionInput) { in.Name, in.GameSessionData = in.GameSessionData, in.Name },
	} {
		in := first
		in.GameProperties = maps.Clone(first.GameProperties)
		change(&in)
		_, err := s.CreateGameSession(t.Context(), in)
		wantOnlyKind(t, "another "+name, err, allocator.ErrIdempotentParameterMismatch)
	}
	same := first
	same.GameSessionID, same.IdempotencyToken, same.FleetID = "", "room", allocator.FleetID(arn("fleet/"+string(s.fleet)))
	if again, err := s.CreateGameSession(t.Context(), same); err != nil || again.ID != created.ID {
		t.Errorf("the same parameters, the id as idempotency token: %+v (error: %v)", again, err)
	}
}

// mutation is an operation that changes something. It prepares a call and returns it, to be made once or more often.
type mutation struct {
	name string
	call func(s scene) func(a *allocator.Allocator) (any, error)
}

var mutations = []mutation{
	{"CreateLocation", func(scene) func(*allocator.Allocator) (any, error) {
		return func(a *allocator.Allocator) (any, error) {
			return a.CreateLocation(context.Background(), allocator.CreateLocationInput{Name: "custom-attic", RetryToken: "token"})
		}
	}},
	{"CreateFleet", func(scene) func(*allocator.Allocator) (any, error) {
		return func(a *allocator.Allocator) (any, error) {
			return a.CreateFleet(context.Background(), allocator.CreateFleetInput{Name: "spare", Locations: []string{"custom-cellar"}, RetryToken: "token"})
		}
	}},
	{"RegisterCompute", func(s scene) func(*allocator.Allocator) (any, error) {
		return func(a *allocator.Allocator) (any, error) {
			return a.RegisterCompute(context.Background(), allocator.RegisterComputeInput{FleetID: s.fleet, Name: "crate", Location: "custom-cellar", DNSName: "crate.example"})
		}
	}},
	{"CreateGameSession", func(s scene) func(*allocator.Allocator) (any, error) {
		return func(a *allocator.Allocator) (any, error) {
			return a.CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 3, RetryToken: "token"})
		}
	}},
	{"UpdateGameSession", func(s scene) func(*allocator.Allocator) (any, error) {
		game, maximum := s.newGameSession(5), 4
		return func(a *allocator.Allocator) (any, error) {
			return a.UpdateGameSession(context.Background(), allocator.UpdateGameSessionInput{GameSessionID: game, MaximumPlayerSessionCount: &maximum})
		}
	}},
	{"CreatePlayerSession", func(s scene) func(*allocator.Allocator) (any, error) {
		game := s.newGameSession(1)
		return func(a *allocator.Allocator) (any, error) {
			return a.CreatePlayerSession(context.Background(), allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada", RetryToken: "token"})
		}
	}},
	{"CreatePlayerSessions", func(s scene) func(*allocator.Allocator) (any, error) {
		game := s.newGameSession(2)
		return func(a *allocator.Allocator) (any, error) {
			return a.CreatePlayerSessions(context.Background(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: []string{"ada", "bob"}, RetryToken: "token"})
		}
	}},
	{"AcceptPlayerSession", func(s scene) func(*allocator.Allocator) (any, error) {
		p := s.reserve(s.newGameSession(1), "ada")
		return func(a *allocator.Allocator) (any, error) {
			return nil, a.AcceptPlayerSession(context.Background(), allocator.AcceptPlayerSessionInput{GameSessionID: p.GameSessionID, PlayerSessionID: p.ID, RetryToken: "token"})
		}
	}},
	{"RemovePlayerSession", func(s scene) func(*allocator.Allocator) (any, error) {
		p := s.reserve(s.newGameSession(1), "ada")
		s.accept(p)
		return func(a *allocator.Allocator) (any, error) {
			return nil, a.RemovePlayerSession(context.Background(), allocator.RemovePlayerSessionInput{GameSessionID: p.GameSessionID, PlayerSessionID: p.ID, RetryToken: "token"})
		}
	}},
}

func TestRetryWithTheTokenChangesNothingAndIsAnsweredTheSame(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		for _, m := range mutations {
			t.Run(m.name, func(t *testing.T) {
				flush(t, store)
				s := newScene(t, store)
				other := open(t, store)
				call := m.call(s)
				first, err := call(s.Allocator)
				if err != nil {
					t.Fatal(err)
				}
				before := contentsOf(t, store)
				keys := size(t, store)
				again, err := call(other)
				if err != nil {
					t.Fatalf("the retry: %v", err)
				}
				if diff := gocmp.Diff(first, again); diff != "" {
					t.Errorf("the retry is answered otherwise (-first +retry):\n%s", diff)
				}
				after := contentsOf(t, store)
				if diff := gocmp.Diff(before.hashes, after.hashes) + gocmp.Diff(before.sets, after.sets); diff != "" || size(t, store) != keys {
					t.Errorf("the retry changed the store (-before +after):\n%s", diff)
				}
			})
		}
	})
}

func TestLostAnswerIsMadeUpForByTheClientsOwnRetry(t *testing.T) {
	store := allocatortest.Redis(t)
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			s, call := m.prepare(t, store)
			p := newProxy(t, store)
			lossy := open(t, store, func(config *allocator.Config) { config.Redis = p.client(t, 3) })
			p.loseAnswer(func() {})
			got, err := call(lossy)
			if err != nil {
				t.Fatalf("with the answer lost once: %v", err)
			}
			wantCount(t, "answers lost", p.answersLost(), 1)
			keys := size(t, store)
			again, err := call(s.Allocator)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(got, again); diff != "" {
				t.Errorf("the same call again is answered otherwise:\n%s", diff)
			}
			wantCount(t, "keys after the same call again", int(size(t, store)), int(keys))
			wantInvariants(t, store, s.Allocator)
		})
	}
}

func TestLostAnswerIsAnUnknownOutcomeUntilRetried(t *testing.T) {
	store := allocatortest.Redis(t)
	for _, m := range mutations {
		bothWays(t, m.name, func(t *testing.T, way func(*allocator.Allocator) *allocator.Allocator) {
			s, call := m.prepare(t, store)
			p := newProxy(t, store)
			lossy := way(open(t, store, func(config *allocator.Config) { config.Redis = p.client(t, -1) }))
			p.loseAnswer(func() {})
			_, err := call(lossy)
			wantKind(t, "with the answer lost", err, allocator.ErrOutcomeUnknown)
			keys := size(t, store)
			if _, err := call(lossy); err != nil {
				t.Errorf("the retry with the token: %v", err)
			}
			wantCount(t, "keys after the retry", int(size(t, store)), int(keys))
			wantInvariants(t, store, s.Allocator)
		})
	}
}

// A retry that reaches nobody says nothing about the attempt before it, which may have done its work.
func TestLostAnswerIsAnUnknownOutcomeThoughTheRetriesReachNobody(t *testing.T) {
	store := allocatortest.Redis(t)
	for _, m := range mutations {
		bothWays(t, m.name, func(t *testing.T, way func(*allocator.Allocator) *allocator.Allocator) {
			_, call := m.prepare(t, store)
			p := newProxy(t, store)
			lossy := way(open(t, store, func(config *allocator.Config) { config.Redis = p.client(t, 1) }))
			p.loseAnswer(p.vanish)
			_, err := call(lossy)
			wantKind(t, "with the answer lost and the store gone", err, allocator.ErrOutcomeUnknown)
			if errors.Is(err, allocator.ErrStoreUnavailable) {
				t.Errorf("%v says that nothing was changed", err)
			}
		})
	}
}

func TestLostAnswerReservesOneSlot(t *testing.T) {
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	bothWays(t, "", func(t *testing.T, way func(*allocator.Allocator) *allocator.Allocator) {
		game := s.newGameSession(slots)
		s.reserve(game, "first") // the server knows the script from now on
		for i, maxRetries := range []int{3, -1} {
			p := newProxy(t, store)
			lossy := way(open(t, store, func(config *allocator.Config) { config.Redis = p.client(t, maxRetries) }))
			p.loseAnswer(func() {})
			in := allocator.CreatePlayerSessionInput{GameSessionID: game, PlayerID: "ada", RetryToken: fmt.Sprint(maxRetries)}
			_, err := lossy.CreatePlayerSession(t.Context(), in)
			if maxRetries < 0 {
				wantKind(t, "without retries", err, allocator.ErrOutcomeUnknown)
				_, err = lossy.CreatePlayerSession(t.Context(), in)
			}
			if err != nil {
				t.Error(err)
			}
			wantCount(t, "answers lost", p.answersLost(), 1)
			wantCount(t, "slots taken", s.taken(game), i+2)
		}
	})
}

// A connection that is refused says nothing about what was sent through another one before.
func TestLostAnswerIsAnUnknownOutcomeThoughTheNextConnectionIsRefused(t *testing.T) {
	store := allocatortest.Redis(t)
	setPassword := func(password string) {
		if err := store.Client().Do(t.Context(), "ACL", "SETUSER", "ada", "reset", "on", ">"+password, "~*", "&*", "+@all").Err(); err != nil {
			t.Error(err)
		}
	}
	s := newScene(t, store)
	game := s.newGameSession(9)
	s.reserve(game, "first")
	bothWays(t, "", func(t *testing.T, way func(*allocator.Allocator) *allocator.Allocator) {
		setPassword("old")
		p := newProxy(t, store)
		a := way(open(t, store, func(config *allocator.Config) {
			config.Redis = clientLike(t, p.client(t, 1), func(o *redis.Options) { o.Username, o.Password = "ada", "old" })
		}))
		p.loseAnswer(func() { setPassword("new") })
		wantOnlyKind(t, "a call whose answer is lost", scene{Allocator: a}.tryReserve(game), allocator.ErrOutcomeUnknown)
		err := scene{Allocator: a}.tryReserve(game)
		wantOnlyKind(t, "a call that is not sent", err, allocator.ErrStoreUnavailable)
		if !strings.Contains(err.Error(), "WRONGPASS") {
			t.Errorf("the log is told %q, not what the server refuses", err)
		}
	})
	wantCount(t, "slots taken", s.taken(game), 3)
}

// The next server may not have the script, and refuse it: that says nothing about the first either.
func TestLostAnswerIsAnUnknownOutcomeThoughTheNextServerRefuses(t *testing.T) {
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	game := s.newGameSession(9)
	s.reserve(game, "first")
	p := newProxy(t, store)
	a := open(t, store, func(config *allocator.Config) { config.Redis = p.client(t, 1) })
	p.loseAnswer(func() {
		for _, err := range []error{
			store.Client().ScriptFlush(t.Context()).Err(),
			store.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(),
		} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	wantOnlyKind(t, "a call whose answer is lost", scene{Allocator: a}.tryReserve(game), allocator.ErrOutcomeUnknown)
}

// It could be the next connection that was denied something, after the answer was lost.
func TestDeniedChangeHasAnUnknownOutcome(t *testing.T) {
	store := allocatortest.Redis(t)
	setUser := func(rules ...any) {
		if err := store.Client().Do(t.Context(), append([]any{"ACL", "SETUSER", "ada"}, rules...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	game := newScene(t, store).newGameSession(9)
	bothWays(t, "", func(t *testing.T, way func(*allocator.Allocator) *allocator.Allocator) {
		setUser("reset", "on", "nopass", "~*", "&*", "+@all")
		a := way(open(t, store, func(config *allocator.Config) {
			config.Redis = clientLike(t, config.Redis, func(o *redis.Options) { o.Username, o.Password = "ada", "any" })
		}))
		setUser("-evalsha")
		wantOnlyKind(t, "a call that is denied", scene{Allocator: a}.tryReserve(game), allocator.ErrOutcomeUnknown)
	})
}

// prepare sets a store up anew, and the call, so that it is answered at once: the server knows the script.
func (m mutation) prepare(t *testing.T, store *allocatortest.Store) (scene, func(*allocator.Allocator) (any, error)) {
	t.Helper()
	flush(t, store)
	s := newScene(t, store)
	if _, err := m.call(s)(s.Allocator); err != nil {
		t.Fatal(err)
	}
	flush(t, store)
	s = newScene(t, store)
	return s, m.call(s)
}
