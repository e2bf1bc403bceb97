package allocator_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// search finds the first page of the fleet's game sessions that a filter keeps, by age.
func (s scene) search(filter string) []allocator.GameSession {
	s.t.Helper()
	games, _, err := s.SearchGameSessions(context.Background(), allocator.SearchGameSessionsInput{FleetID: s.fleet, FilterExpression: filter, SortExpression: "creationTimeMillis ASC"})
	if err != nil {
		s.t.Fatal(err)
	}
	return games
}

func TestSearchFindsTheActiveGameSessionsOfOneFleet(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		wanted := s.newGameSession(3)
		s.fill(wanted, 2)
		s.terminate(s.newGameSession(3))
		neighbour := s
		neighbour.fleet = s.newFleet()
		foreign := neighbour.newGameSession(3)

		found := s.search("")
		if len(found) != 1 || !reflect.DeepEqual(found[0], *s.describe(wanted)) {
			t.Errorf("the search finds %+v, want what DescribeGameSessions says of %s", found, wanted)
		}
		if found := neighbour.search(""); len(found) != 1 || found[0].ID != foreign {
			t.Errorf("the search in the other fleet finds %+v, want %s", found, foreign)
		}
		alias, err := s.CreateAlias(ctx, allocator.CreateAliasInput{Name: "live", RoutingStrategy: allocator.RoutingStrategy{Type: allocator.RoutingSimple, FleetID: s.fleet}})
		if err != nil {
			t.Fatal(err)
		}
		for name, in := range map[string]allocator.SearchGameSessionsInput{
			"the fleet's ARN": {FleetID: allocator.FleetID("arn:aws:gamelift:us-east-1::fleet/" + string(s.fleet))},
			"an alias":        {AliasID: alias.ID},
			"an alias's ARN":  {AliasID: allocator.AliasID(alias.ARN)},
			"the location":    {FleetID: s.fleet, Location: "custom-cellar"},
		} {
			if found, _, err := s.SearchGameSessions(ctx, in); err != nil || len(found) != 1 || found[0].ID != wanted {
				t.Errorf("by %s the search finds %v (%v), want %s", name, found, err, wanted)
			}
		}
		if found, _, err := s.SearchGameSessions(ctx, allocator.SearchGameSessionsInput{FleetID: s.fleet, Location: "custom-attic"}); err != nil || len(found) != 0 {
			t.Errorf("at another location the search finds %v (%v)", found, err)
		}

		terminal, err := s.CreateAlias(ctx, allocator.CreateAliasInput{Name: "closed", RoutingStrategy: allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "gone fishing"}})
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			in   allocator.SearchGameSessionsInput
			kind allocator.Kind
		}{
			"no fleet":         {allocator.SearchGameSessionsInput{}, allocator.ErrInvalidRequest},
			"fleet and alias":  {allocator.SearchGameSessionsInput{FleetID: s.fleet, AliasID: alias.ID}, allocator.ErrInvalidRequest},
			"an unknown fleet": {allocator.SearchGameSessionsInput{FleetID: "fleet-0"}, allocator.ErrNotFound},
			"an unknown alias": {allocator.SearchGameSessionsInput{AliasID: "alias-0"}, allocator.ErrNotFound},
			"a TERMINAL alias": {allocator.SearchGameSessionsInput{AliasID: terminal.ID}, allocator.ErrTerminalRoutingStrategy},
			"a broken filter":  {allocator.SearchGameSessionsInput{FleetID: s.fleet, FilterExpression: "x"}, allocator.ErrInvalidRequest},
			"a broken sort":    {allocator.SearchGameSessionsInput{FleetID: s.fleet, SortExpression: "x"}, allocator.ErrInvalidRequest},
			"a limit below 0":  {allocator.SearchGameSessionsInput{FleetID: s.fleet, Limit: -1}, allocator.ErrInvalidRequest},
			"a made-up token":  {allocator.SearchGameSessionsInput{FleetID: s.fleet, NextToken: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, allocator.ErrInvalidRequest},
		} {
			_, _, err := s.SearchGameSessions(ctx, c.in)
			wantKind(t, name, err, c.kind)
		}
	})
}

func TestPagesOfASearchFollowOneAnother(t *testing.T) {
	const games = 65
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		ctx := context.Background()
		for i := range games {
			properties := map[string]string{"level": fmt.Sprint(i % 4)}
			if i%5 == 0 {
				properties = nil
			}
			_, err := s.CreateGameSession(ctx, allocator.CreateGameSessionInput{
				FleetID: s.fleet, MaximumPlayerSessionCount: i % 7, GameProperties: properties, Name: strings.Repeat("long name ", 60) + fmt.Sprint(i%3),
			})
			if err != nil {
				t.Fatal(err)
			}
			store.Advance(time.Millisecond)
		}
		whole := func(sort string, limit int) (pages [][]allocator.GameSession) {
			in := allocator.SearchGameSessionsInput{FleetID: s.fleet, SortExpression: sort, Limit: limit}
			for {
				page, next, err := s.SearchGameSessions(ctx, in)
				if err != nil {
					t.Fatalf("sort %q, page %d: %v", sort, len(pages), err)
				}
				pages = append(pages, page)
				if next == "" {
					return pages
				}
				if len(next) > 1024 {
					t.Errorf("sort %q: a token has %d characters, and no client may send more than 1024", sort, len(next))
				}
				in.NextToken = next
			}
		}
		for _, sort := range []string{
			"", "creationTimeMillis ASC", "creationTimeMillis DESC", "maximumSessions", "maximumSessions DESC", "gameSessionName DESC", "gameSessionId",
			"gameSessionProperties.level ASC", "gameSessionProperties.level DESC", "hasAvailablePlayerSessions DESC",
		} {
			for _, limit := range []int{0, 1, 13, 20} {
				pages := whole(sort, limit)
				size := 20
				if limit > 0 {
					size = limit
				}
				seen := make(map[allocator.GameSessionID]bool)
				var all []allocator.GameSession
				for i, page := range pages {
					if len(page) != size && i < len(pages)-1 || len(page) == 0 || len(page) > size {
						t.Errorf("sort %q, limit %d: page %d of %d has %d game sessions", sort, limit, i, len(pages), len(page))
					}
					for _, g := range page {
						seen[g.ID] = true
						all = append(all, g)
					}
				}
				if len(seen) != games || len(all) != games {
					t.Errorf("sort %q, limit %d: the pages have %d game sessions, %d different ones, want %d", sort, limit, len(all), len(seen), games)
				}
				inOrder := map[string]func(x, y allocator.GameSession) bool{
					"creationTimeMillis ASC":  func(x, y allocator.GameSession) bool { return !x.CreationTime.After(y.CreationTime) },
					"creationTimeMillis DESC": func(x, y allocator.GameSession) bool { return !x.CreationTime.Before(y.CreationTime) },
					"maximumSessions": func(x, y allocator.GameSession) bool {
						return x.MaximumPlayerSessionCount <= y.MaximumPlayerSessionCount
					},
					"maximumSessions DESC": func(x, y allocator.GameSession) bool {
						return x.MaximumPlayerSessionCount >= y.MaximumPlayerSessionCount
					},
					"gameSessionProperties.level ASC": func(x, y allocator.GameSession) bool {
						return y.GameProperties == nil || x.GameProperties != nil && x.GameProperties["level"] <= y.GameProperties["level"]
					},
					"gameSessionProperties.level DESC": func(x, y allocator.GameSession) bool {
						return y.GameProperties == nil || x.GameProperties != nil && x.GameProperties["level"] >= y.GameProperties["level"]
					},
				}[sort]
				for i := 1; inOrder != nil && i < len(all); i++ {
					if !inOrder(all[i-1], all[i]) {
						t.Errorf("sort %q, limit %d: number %d and %d are out of order", sort, limit, i-1, i)
					}
				}
			}
		}
		one, other := whole("", 20)[0], whole("", 20)[0]
		if reflect.DeepEqual(one, other) {
			t.Error("two searches without sort answer in the same order of 65 game sessions")
		}
	})
}

func TestSearchTokenIsOfUseForItsSearchAlone(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	ctx := context.Background()
	for range 3 {
		s.newGameSession(4)
	}
	neighbour := s
	neighbour.fleet = s.newFleet()
	first := allocator.SearchGameSessionsInput{FleetID: s.fleet, FilterExpression: "playerSessionCount=0", SortExpression: "maximumSessions", Limit: 1}
	_, token, err := s.SearchGameSessions(ctx, first)
	if err != nil || token == "" {
		t.Fatalf("the first page: token %q, %v", token, err)
	}
	for name, change := range map[string]func(*allocator.SearchGameSessionsInput){
		"another fleet":    func(in *allocator.SearchGameSessionsInput) { in.FleetID = neighbour.fleet },
		"another filter":   func(in *allocator.SearchGameSessionsInput) { in.FilterExpression = "" },
		"another sort":     func(in *allocator.SearchGameSessionsInput) { in.SortExpression = "maximumSessions DESC" },
		"another location": func(in *allocator.SearchGameSessionsInput) { in.Location = "custom-cellar" },
	} {
		in := first
		in.NextToken = token
		change(&in)
		_, _, err := s.SearchGameSessions(ctx, in)
		wantKind(t, name, err, allocator.ErrInvalidRequest)
	}
	in := first
	in.NextToken, in.Limit = token, 2
	if rest, _, err := open(t, store).SearchGameSessions(ctx, in); err != nil || len(rest) != 2 {
		t.Errorf("another instance, with another limit: %d game sessions, %v", len(rest), err)
	}
	list, err := s.firstPageToken(ctx)
	if err != nil {
		t.Fatal(err)
	}
	in.NextToken = list
	_, _, err = s.SearchGameSessions(ctx, in)
	wantKind(t, "the token of DescribeGameSessions", err, allocator.ErrInvalidRequest)
}

// firstPageToken is the token of the second page of the fleet's game sessions, one a page.
func (s scene) firstPageToken(ctx context.Context) (string, error) {
	out, err := s.DescribeGameSessions(ctx, allocator.DescribeGameSessionsInput{FleetID: s.fleet, Limit: 1})
	if err != nil {
		return "", err
	}
	return out.NextToken, nil
}

func TestConcurrentSearchesCostOneReadOfTheStore(t *testing.T) {
	const searches = 200
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		for range 30 {
			s.newGameSession(2)
		}
		cost := func(times int) (commands, snapshots int64) {
			var counted everyCommand
			searching := open(t, store, func(c *allocator.Config) { c.Redis.AddHook(&counted) })
			counted.n.Store(0)
			began := time.Now()
			var group sync.WaitGroup
			start := make(chan struct{})
			for i := range times {
				group.Go(func() {
					<-start
					found, _, err := searching.SearchGameSessions(context.Background(), allocator.SearchGameSessionsInput{FleetID: s.fleet, FilterExpression: fmt.Sprintf("maximumSessions<>%d", 3+i)})
					if err != nil || len(found) != 20 {
						t.Errorf("a search finds %d game sessions, %v", len(found), err)
					}
				})
			}
			close(start)
			group.Wait()
			return counted.n.Load(), 1 + int64(time.Since(began)/time.Second) // another a second, should the machine be so slow
		}
		one, _ := cost(1)
		if many, snapshots := cost(searches); one == 0 || many > one*snapshots {
			t.Errorf("%d searches at once send %d commands, one search sends %d", searches, many, one)
		}
	})
}

// everyCommand counts the commands of a client, those in pipelines too.
type everyCommand struct{ n atomic.Int64 }

func (h *everyCommand) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *everyCommand) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmd)
	}
}

func (h *everyCommand) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.n.Add(int64(len(cmds)))
		return next(ctx, cmds)
	}
}

// The life of a snapshot is real time, the only one that a test here has to wait for.
func TestSearchFindsGameSessionsWithAllTheirData(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		want := map[string]string{"none": "", "short": "data", "as much as is kept": strings.Repeat("d", 4096), "more": strings.Repeat("é", 2049), "all": strings.Repeat("🎮", 262_144)}
		for name, data := range want {
			if _, err := s.CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: s.fleet, Name: name, GameSessionData: data}); err != nil {
				t.Fatal(err)
			}
		}
		found, _, err := s.SearchGameSessions(context.Background(), allocator.SearchGameSessionsInput{FleetID: s.fleet})
		if err != nil || len(found) != len(want) {
			t.Fatalf("%d game sessions (error: %v)", len(found), err)
		}
		for _, game := range found {
			if game.GameSessionData != want[game.Name] {
				t.Errorf("%q has %d bytes of data, want %d", game.Name, len(game.GameSessionData), len(want[game.Name]))
			}
		}
	})
}

func TestSearchIsASecondOldAtMost(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	began := time.Now()
	wantCount(t, "game sessions before", len(s.search("")), 0)
	s.newGameSession(1)
	if found := s.search(""); len(found) == 1 && time.Since(began) < time.Second {
		t.Error("a search does not use the snapshot that another has just made")
	}
	allocatortest.Eventually(t, 20*time.Second, func() bool { return len(s.search("")) == 1 }, "the search never finds the new game session")
	if took := time.Since(began); took < time.Second {
		t.Errorf("the snapshot was renewed after %v", took)
	}
}

func TestSearchThatFailedHarmsNoOther(t *testing.T) {
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	s.newGameSession(1)
	failing, cut := openMortal(t, store)
	cut.after(0)
	in := allocator.SearchGameSessionsInput{FleetID: s.fleet}
	_, _, err := failing.SearchGameSessions(context.Background(), in)
	wantKind(t, "a search without a store", err, allocator.ErrStoreUnavailable)
	cut.armed.Store(0)
	if found, _, err := failing.SearchGameSessions(context.Background(), in); err != nil || len(found) != 1 {
		t.Errorf("as soon as the store is back: %d game sessions, %v", len(found), err)
	}
	impatient, cancel := context.WithCancel(context.Background())
	cancel()
	another := open(t, store)
	_, _, err = another.SearchGameSessions(impatient, in)
	wantKind(t, "a caller who has left", err, allocator.ErrStoreUnavailable)
	if found, _, err := another.SearchGameSessions(context.Background(), in); err != nil || len(found) != 1 {
		t.Errorf("after one whose caller left: %d game sessions, %v", len(found), err)
	}
}

func TestWhatACallerDoesToItsFindingsChangesNoOthers(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	_, err := s.CreateGameSession(context.Background(), allocator.CreateGameSessionInput{FleetID: s.fleet, MaximumPlayerSessionCount: 1, GameProperties: map[string]string{"mode": "duel"}})
	if err != nil {
		t.Fatal(err)
	}
	found := s.search("")
	found[0].GameProperties["mode"] = "race"
	found[0].Name = "mine"
	if again := s.search("gameSessionProperties.mode='duel'"); len(again) != 1 || again[0].Name != "" {
		t.Errorf("another caller finds %+v", again)
	}
}

func TestFleetOfTenThousandGameSessionsAnswersAFilteredSortedSearch(t *testing.T) {
	const games = 10_000
	store := allocatortest.Redis(t)
	s := newScene(t, store)
	s.sowGameSessions(games)
	looking := scene{open(t, store), t, store, s.fleet}
	in := allocator.SearchGameSessionsInput{
		FleetID:          s.fleet,
		FilterExpression: "hasAvailablePlayerSessions=true AND gameSessionProperties.mode='mode-3' AND NOT playerSessionCount>5",
		SortExpression:   "creationTimeMillis DESC",
	}
	for _, temperature := range []string{"cold", "warm"} {
		began := time.Now()
		found, next, err := looking.SearchGameSessions(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("a %s search of %d game sessions took %v", temperature, games, time.Since(began).Round(time.Microsecond))
		if len(found) != 20 || next == "" {
			t.Fatalf("the search finds %d game sessions and token %q, want a page of 20 and a token", len(found), next)
		}
		for i, g := range found {
			if want := time.UnixMilli(1_000_000_000_000 + int64(games-7-10*i)); g.GameProperties["mode"] != "mode-3" || !g.CreationTime.Equal(want) {
				t.Errorf("number %d is of mode %q and made at %v, want mode-3 at %v", i, g.GameProperties["mode"], g.CreationTime, want.UTC())
			}
		}
	}
}

// sowGameSessions writes the records of so many ACTIVE game sessions as copies of one, a millisecond apart, in ten modes.
func (s scene) sowGameSessions(n int) {
	s.t.Helper()
	ctx := context.Background()
	s.newGameSession(10)
	client := s.store.Client()
	seed := theKey(s.t, s.store, ":gs:")
	record, err := client.HGetAll(ctx, seed).Result()
	if err != nil {
		s.t.Fatal(err)
	}
	for first := 0; first < n; first += 1000 {
		_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i := first; i < min(n, first+1000); i++ {
				id := fmt.Sprintf("gsess-%d", i)
				digest := sha256.Sum256([]byte(string(s.fleet) + "/" + id))
				ref := base64.RawURLEncoding.EncodeToString(digest[:16])
				prefix := fmt.Sprintf("berth:{%d}:", digest[0])
				created := 1_000_000_000_000 + i
				record["id"], record["created"], record["property:mode"] = id, fmt.Sprint(created), fmt.Sprintf("mode-%d", i%10)
				pipe.HSet(ctx, prefix+"gs:"+ref, record)
				pipe.ZAdd(ctx, prefix+"live:"+string(s.fleet), redis.Z{Score: float64(created), Member: ref})
				pipe.ZAdd(ctx, prefix+"fleet:"+string(s.fleet), redis.Z{Score: float64(created), Member: ref})
			}
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}
