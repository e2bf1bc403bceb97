package allocator_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// list is one of the lists that come in pages.
type list struct {
	name   string
	most   int // how high Limit may be
	page   func(limit int, token string) (names []string, next string, err error)
	create func(i int) string // creates an entry and returns its name in the list
	remove func(name string)  // nil where entries stay for good
	room   int                // for how many entries there is; 0 for any number
}

// lists are all lists but that of SearchGameSessions, with a way to change each.
func lists(t testing.TB, s scene) []list {
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	createLocations(t, s.Allocator, "custom-cellar", "custom-kept")
	game := s.newGameSession(10_000)
	hosting, err := s.CreateFleet(ctx, allocator.CreateFleetInput{Name: "hosting", Locations: []string{"custom-cellar", "custom-kept"}})
	must(err)
	_, err = s.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: hosting.ID, Name: "box", Location: "custom-kept", IPAddress: "192.0.2.1"})
	must(err)
	roaming, err := s.CreateFleet(ctx, allocator.CreateFleetInput{Name: "roaming", Locations: []string{"custom-cellar"}})
	must(err)
	terminal := allocator.RoutingStrategy{Type: allocator.RoutingTerminal, Message: "m"}
	createFleet := func(int) string {
		fleet, err := s.CreateFleet(ctx, allocator.CreateFleetInput{Name: "f", Locations: []string{"custom-cellar"}})
		must(err)
		return string(fleet.ID)
	}
	deleteFleet := func(name string) { must(s.DeleteFleet(ctx, allocator.FleetID(name))) }
	describeAliases := func(filter allocator.ListAliasesInput) func(int, string) ([]string, string, error) {
		return func(limit int, token string) ([]string, string, error) {
			filter.Limit, filter.NextToken = limit, token
			all, next, err := s.ListAliases(ctx, filter)
			return namesOf(all, func(a allocator.Alias) string { return string(a.ID) }), next, err
		}
	}
	createAlias := func(i int) string {
		alias, err := s.CreateAlias(ctx, allocator.CreateAliasInput{Name: []string{"even", "odd"}[i%2], RoutingStrategy: terminal})
		must(err)
		return string(alias.ID)
	}
	deleteAlias := func(name string) { must(s.DeleteAlias(ctx, allocator.AliasID(name))) }
	describeGames := func(in allocator.DescribeGameSessionsInput) func(int, string) ([]string, string, error) {
		return func(limit int, token string) ([]string, string, error) {
			in.Limit, in.NextToken = limit, token
			out, err := s.DescribeGameSessions(ctx, in)
			if err != nil {
				return nil, "", err
			}
			return namesOf(out.GameSessions, func(g allocator.GameSession) string { return string(g.ID) }), out.NextToken, nil
		}
	}
	createGame := func(int) string {
		g, err := s.CreateGameSession(ctx, allocator.CreateGameSessionInput{FleetID: hosting.ID, MaximumPlayerSessionCount: 1})
		must(err)
		return string(g.ID)
	}
	endGame := func(name string) { s.terminate(allocator.GameSessionID(name)) }
	describePlayers := func(in allocator.DescribePlayerSessionsInput) func(int, string) ([]string, string, error) {
		return func(limit int, token string) ([]string, string, error) {
			in.Limit, in.NextToken = limit, token
			out, err := s.DescribePlayerSessions(ctx, in)
			if err != nil {
				return nil, "", err
			}
			return namesOf(out.PlayerSessions, func(p allocator.PlayerSession) string { return string(p.ID) }), out.NextToken, nil
		}
	}
	reserve := func(int) string { return string(s.reserve(game, "player").ID) }
	leave := func(name string) {
		p := &allocator.PlayerSession{ID: allocator.PlayerSessionID(name), GameSessionID: game}
		s.accept(p)
		s.remove(p)
	}
	return []list{
		{"ListFleets", 100, func(limit int, token string) ([]string, string, error) {
			all, next, err := s.ListFleets(ctx, limit, token)
			return namesOf(all, func(id allocator.FleetID) string { return string(id) }), next, err
		}, createFleet, deleteFleet, 0},
		{"DescribeFleets", 100, func(limit int, token string) ([]string, string, error) {
			all, next, err := s.DescribeFleets(ctx, nil, limit, token)
			return namesOf(all, func(f allocator.Fleet) string { return string(f.ID) }), next, err
		}, createFleet, deleteFleet, 0},
		{"ListLocations", 200, func(limit int, token string) ([]string, string, error) {
			all, next, err := s.ListLocations(ctx, limit, token)
			return namesOf(all, func(l allocator.Location) string { return l.Name }), next, err
		}, func(i int) string {
			name := fmt.Sprintf("custom-%d", i)
			createLocations(t, s.Allocator, name)
			return name
		}, func(name string) { must(s.DeleteLocation(ctx, name)) }, 0},
		{"ListCompute", 100, func(limit int, token string) ([]string, string, error) {
			all, next, err := s.ListCompute(ctx, hosting.ID, "custom-cellar", limit, token)
			return namesOf(all, func(c allocator.Compute) string { return c.Name }), next, err
		}, func(i int) string {
			name := fmt.Sprintf("box-%d", i)
			_, err := s.RegisterCompute(ctx, allocator.RegisterComputeInput{FleetID: hosting.ID, Name: name, Location: "custom-cellar", IPAddress: "192.0.2.1"})
			must(err)
			return name
		}, func(name string) { must(s.DeregisterCompute(ctx, hosting.ID, name)) }, 0},
		{"FleetLocations", 100, func(limit int, token string) ([]string, string, error) {
			return s.FleetLocations(ctx, roaming.ID, nil, limit, token)
		}, func(i int) string {
			name := fmt.Sprintf("custom-fleet-%d", i)
			createLocations(t, s.Allocator, name)
			must(s.CreateFleetLocations(ctx, roaming.ID, []string{name}))
			return name
		}, func(name string) { must(s.DeleteFleetLocations(ctx, roaming.ID, []string{name})) }, 80},
		{"ListAliases", 100, describeAliases(allocator.ListAliasesInput{}), createAlias, deleteAlias, 0},
		{"ListAliases of one type", 100, describeAliases(allocator.ListAliasesInput{RoutingStrategyType: allocator.RoutingTerminal}), createAlias, deleteAlias, 0},
		{"DescribeGameSessionQueues", 100, func(limit int, token string) ([]string, string, error) {
			all, next, err := s.DescribeGameSessionQueues(ctx, nil, limit, token)
			return namesOf(all, func(q allocator.Queue) string { return q.Name }), next, err
		}, func(i int) string { return s.newQueue(fmt.Sprintf("queue-%d", i), nil).Name }, func(name string) { must(s.DeleteGameSessionQueue(ctx, name)) }, 0},
		{"DescribeGameSessions", 100, describeGames(allocator.DescribeGameSessionsInput{FleetID: hosting.ID}), createGame, nil, 0},
		{"DescribeGameSessions, ACTIVE", 100, describeGames(allocator.DescribeGameSessionsInput{FleetID: hosting.ID, StatusFilter: allocator.GameSessionActive}), createGame, endGame, 0},
		{"DescribePlayerSessions of a game session", 100, describePlayers(allocator.DescribePlayerSessionsInput{GameSessionID: game}), reserve, nil, 0},
		{"DescribePlayerSessions, RESERVED", 100, describePlayers(allocator.DescribePlayerSessionsInput{GameSessionID: game, StatusFilter: allocator.PlayerSessionReserved}), reserve, leave, 0},
		{"DescribePlayerSessions of a player", 100, describePlayers(allocator.DescribePlayerSessionsInput{PlayerID: "player"}), reserve, nil, 0},
	}
}

func namesOf[T any](all []T, name func(T) string) (names []string) {
	for _, one := range all {
		names = append(names, name(one))
	}
	return names
}

// generous raises the quotas beyond what the lists below take.
func generous(c *allocator.Config) {
	c.Quotas = allocator.Quotas{Aliases: 5000, Fleets: 5000, ComputesPerFleet: 5000, Locations: 5000, Queues: 5000}
	c.MaxPlayerSessions = 10_000
}

func TestPagesMissNothingAndRepeatNothingWhileTheListChanges(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store, generous)
		for _, l := range lists(t, s) {
			before := walkPages(t, l, 100, func(int) {})
			var all []string
			entries := 260
			if l.room > 0 {
				entries = l.room
			}
			for i := range entries {
				all = append(all, l.create(i))
				if i%20 == 0 { // so that many share their millisecond, and not all do
					store.Advance(1e6)
				}
			}
			created, removed := entries, make(map[string]bool)
			got := walkPages(t, l, 37, func(page int) {
				for i := range 6 { // of what has been listed, is about to be, and is far off
					name := all[(page*37+i*41+5)%entries]
					if l.remove != nil && !removed[name] {
						removed[name] = true
						l.remove(name)
					}
				}
				if page < 5 {
					for range 3 {
						l.create(created)
						created++
					}
				}
			})
			seen := make(map[string]int)
			for _, name := range got {
				if seen[name]++; seen[name] == 2 {
					t.Errorf("%s: %s is listed twice", l.name, name)
				}
			}
			missed := 0
			for _, name := range append(before, all...) {
				if seen[name] == 0 && !removed[name] {
					missed++
				}
			}
			if missed > 0 {
				t.Errorf("%s: %d of %d entries that were there throughout are missed", l.name, missed, entries)
			}
		}
	})
}

// More entries share the millisecond of the cursor than a page has, and one of those before it goes while the page is read.
func TestPageMissesNothingWhenAnEntryBeforeItGoesWhileItIsRead(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store, generous)
		var names []string
		for i := range 30 {
			names = append(names, fmt.Sprintf("custom-%02d", i))
		}
		createLocations(t, s.Allocator, names...)
		gone := map[string]bool{}
		reading := open(t, store, generous, func(c *allocator.Config) {
			c.Redis.AddHook(&countedPipelines{do: func(n int) {
				if n < len(names) && n%3 == 0 { // names in the order in which they are listed
					gone[names[n]] = true
					if err := s.DeleteLocation(context.Background(), names[n]); err != nil {
						t.Error(err)
					}
				}
			}})
		})
		l := list{name: "ListLocations", page: func(limit int, token string) ([]string, string, error) {
			all, next, err := reading.ListLocations(context.Background(), limit, token)
			return namesOf(all, func(l allocator.Location) string { return l.Name }), next, err
		}}
		got := walkPages(t, l, 2, func(int) {})
		for _, name := range names {
			if !gone[name] && !slices.Contains(got, name) {
				t.Errorf("%s is missed", name)
			}
		}
	})
}

// countedPipelines calls a function with the number of pipelines that a client has sent, after each.
type countedPipelines struct {
	do func(int)
	n  int
}

func (h *countedPipelines) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *countedPipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h *countedPipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		h.n++
		h.do(h.n)
		return err
	}
}

func TestTokenIsOfUseForItsListAlone(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store, generous)
	all := lists(t, s)
	tokens := make([]string, len(all))
	for i, l := range all {
		for n := range 3 {
			l.create(i*10 + n)
		}
		_, next, err := l.page(1, "")
		if err != nil || next == "" {
			t.Fatalf("%s: the first page ends with token %q, %v", l.name, next, err)
		}
		tokens[i] = next
	}
	for i, l := range all {
		for j, token := range tokens {
			_, _, err := l.page(1, token)
			if i != j {
				wantKind(t, l.name+" with the token of "+all[j].name, err, allocator.ErrInvalidRequest)
			} else if err != nil {
				t.Errorf("%s with its own token: %v", l.name, err)
			}
		}
		token := tokens[i]
		broken := []string{token[:len(token)-1], token[1:], token + "A", token + "\n", token + "=", "x", " ", "🙂", strings.Repeat("A", 1024)}
		for at := range token {
			for _, with := range "AZ_9" {
				if changed := token[:at] + string(with) + token[at+1:]; changed != token {
					broken = append(broken, changed)
				}
			}
		}
		for _, token := range broken {
			_, _, err := l.page(1, token)
			wantKind(t, l.name+" with the token "+token, err, allocator.ErrInvalidRequest)
		}
	}
	other := newScene(t, allocatortest.Miniredis(t), generous)
	_, _, err := other.ListFleets(context.Background(), 1, tokens[0])
	wantKind(t, "the token of another store", err, allocator.ErrInvalidRequest)
}

func TestPageIsAsLongAsItsLimitSays(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t), generous)
	for _, l := range lists(t, s) {
		entries := 205
		if l.room > 0 {
			entries = l.room
		}
		for i := range entries {
			l.create(1000 + i)
		}
		for limit, want := range map[int]int{0: 50, 1: 1, 49: 49, l.most: l.most} {
			if limit > entries {
				continue
			}
			got, next, err := l.page(limit, "")
			if err != nil || len(got) != want || next == "" {
				t.Errorf("%s, limit %d: %d entries, token %q, %v; want %d and a token", l.name, limit, len(got), next, err, want)
			}
		}
		for _, limit := range []int{-1, l.most + 1, 1 << 30} {
			_, _, err := l.page(limit, "")
			wantKind(t, fmt.Sprintf("%s, limit %d", l.name, limit), err, allocator.ErrInvalidRequest)
		}
	}
}

func TestLastPageHasNoToken(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t), generous)
	for i := range 4 {
		s.newQueue(fmt.Sprintf("queue-%d", i), nil)
	}
	for limit, pages := range map[int]int{1: 4, 2: 2, 3: 2, 4: 1, 5: 1} {
		in, count := "", 0
		for {
			_, next, err := s.DescribeGameSessionQueues(context.Background(), nil, limit, in)
			if err != nil {
				t.Fatal(err)
			}
			if count++; next == "" {
				break
			}
			in = next
		}
		wantCount(t, fmt.Sprintf("pages of %d", limit), count, pages)
	}
}

// walkPages reads a list to its end, and has something happen after each page.
func walkPages(t testing.TB, l list, limit int, after func(page int)) (names []string) {
	t.Helper()
	token := ""
	for page := 0; ; page++ {
		some, next, err := l.page(limit, token)
		if err != nil {
			t.Fatalf("%s, page %d: %v", l.name, page, err)
		}
		names = append(names, some...)
		if len(some) < limit && next != "" {
			t.Errorf("%s: page %d has %d entries and a token", l.name, page, len(some))
		}
		if next == "" {
			return names
		}
		after(page)
		token = next
	}
}
