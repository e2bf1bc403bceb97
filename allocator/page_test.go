package allocator_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

func manySlots(config *allocator.Config) { config.MaxPlayerSessions = 10_000 }

// pages reads a list of player sessions to its end, doing something between the pages.
func (s scene) pages(in allocator.DescribePlayerSessionsInput, between func()) (all []allocator.PlayerSession) {
	s.t.Helper()
	for {
		out, err := s.DescribePlayerSessions(s.t.Context(), in)
		if err != nil {
			s.t.Fatal(err)
		}
		if !slices.IsSortedFunc(out.PlayerSessions, func(a, b allocator.PlayerSession) int { return a.CreationTime.Compare(b.CreationTime) }) {
			s.t.Errorf("a page is not in the order of creation: %+v", out.PlayerSessions)
		}
		limit := either(in.Limit, 50)
		if n := len(out.PlayerSessions); n > limit || n < limit && out.NextToken != "" {
			s.t.Errorf("a page of at most %d has %d player sessions, next token %q", limit, n, out.NextToken)
		}
		all = append(all, out.PlayerSessions...)
		if out.NextToken == "" {
			return all
		}
		in.NextToken = out.NextToken
		between()
	}
}

// wantEach checks that a list has each of these player sessions, and none twice.
func wantEach(t *testing.T, what string, got []allocator.PlayerSession, want []allocator.PlayerSessionID) {
	t.Helper()
	seen := make(map[allocator.PlayerSessionID]bool)
	for _, p := range got {
		if seen[p.ID] {
			t.Errorf("%s: %s is there twice", what, p.ID)
		}
		seen[p.ID] = true
	}
	missed := 0
	for _, id := range want {
		if !seen[id] {
			missed++
		}
	}
	if missed > 0 {
		t.Errorf("%s: %d of %d player sessions are missing", what, missed, len(want))
	}
}

func TestPagesMissNothingThatIsThereThroughout(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store, manySlots)
		game := s.newGameSession(10_000)
		// Of the first 300, a third stays as it is, a third ends between the pages, a third is purged between the pages.
		var staying []allocator.PlayerSessionID
		var ending, leaving []*allocator.PlayerSession
		for i := range 300 {
			p := s.reserve(game, player(i%7))
			s.accept(p)
			switch i % 3 {
			case 0:
				staying = append(staying, p.ID)
			case 1:
				ending = append(ending, p)
			case 2:
				s.remove(p)
				leaving = append(leaving, p)
			}
			if i%4 == 0 { // many in one millisecond, and many milliseconds
				store.Advance(time.Millisecond)
			}
		}
		store.Advance(retention - 10*time.Millisecond)
		purged := 0
		all := s.pages(allocator.DescribePlayerSessionsInput{GameSessionID: game, Limit: 20}, func() {
			for range 8 {
				if len(ending) > 0 {
					s.remove(ending[0])
					staying = append(staying, ending[0].ID) // ended, it is still there
					ending = ending[1:]
				}
				s.reserve(game, "newcomer")
			}
			store.Advance(10 * time.Millisecond)
			purged += s.sweep().Purged
		})
		if purged < 50 || purged > len(leaving) {
			t.Fatalf("%d player sessions were purged between the pages, so this tests nothing", purged)
		}
		wantEach(t, "all of the game session", all, staying)
		active := s.pages(allocator.DescribePlayerSessionsInput{GameSessionID: game, Limit: 7, StatusFilter: allocator.PlayerSessionActive}, func() {
			s.accept(s.reserve(game, "newcomer"))
		})
		var stayingActive []allocator.PlayerSessionID
		for _, id := range staying {
			if p := s.read(id); p.Status == allocator.PlayerSessionActive {
				stayingActive = append(stayingActive, id)
			}
		}
		wantEach(t, "the ACTIVE ones of the game session", active, stayingActive)
	})
}

func TestPagesOfOneMillisecond(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store, manySlots)
		game := s.newGameSession(10_000)
		var ids []allocator.PlayerSessionID
		for i := range 11 {
			group, err := s.CreatePlayerSessions(t.Context(), allocator.CreatePlayerSessionsInput{GameSessionID: game, PlayerIDs: groupOf(i, 25)})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range group {
				ids = append(ids, p.ID)
			}
		}
		for range 25 {
			ids = append(ids, s.reserve(game, "ada").ID)
		}
		for _, limit := range []int{0, 3, 100} {
			for _, status := range []allocator.PlayerSessionStatus{"", allocator.PlayerSessionReserved} {
				what := fmt.Sprintf("in pages of %d, filter %q", limit, status)
				got := s.pages(allocator.DescribePlayerSessionsInput{GameSessionID: game, Limit: limit, StatusFilter: status}, func() {})
				wantCount(t, what, len(got), len(ids))
				wantEach(t, what, got, ids)
			}
		}
		for _, limit := range []int{1, 2, 24, 25} {
			what := fmt.Sprintf("of the player, in pages of %d", limit)
			got := s.pages(allocator.DescribePlayerSessionsInput{PlayerID: "ada", Limit: limit}, func() {})
			wantCount(t, what, len(got), 25)
			wantEach(t, what, got, ids[len(ids)-25:])
		}
	})
}

func TestPlayerIsFoundInGameSessionsOfAllPartitions(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		var ids []allocator.PlayerSessionID
		partitions := make(map[int]bool)
		for i := range 60 {
			game := s.newGameSession(3)
			partitions[partitionOf(game)] = true
			ids = append(ids, s.reserve(game, "ada").ID)
			s.reserve(game, "bob")
			if i%3 == 0 {
				ids = append(ids, s.reserve(game, "ada").ID)
			}
			if i%2 == 0 {
				store.Advance(time.Millisecond)
			}
		}
		if len(partitions) < 30 {
			t.Fatalf("60 game sessions are in %d partitions, so this tests little", len(partitions))
		}
		got := s.pages(allocator.DescribePlayerSessionsInput{PlayerID: "ada", Limit: 7}, func() { s.reserve(s.newGameSession(1), "bob") })
		wantCount(t, "player sessions of the player", len(got), len(ids))
		wantEach(t, "of the player", got, ids)
		for _, p := range got {
			if p.PlayerID != "ada" {
				t.Errorf("%s is of %s", p.ID, p.PlayerID)
			}
		}
	})
}

func TestFilteredPagesGoOnPastWhatTheFilterHides(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store, manySlots)
	game := s.newGameSession(10_000)
	var completed []allocator.PlayerSessionID
	for i := range 250 { // the first, the last and a few between are COMPLETED
		p := s.reserve(game, "ada")
		if i%83 == 0 || i == 249 {
			s.accept(p)
			s.remove(p)
			completed = append(completed, p.ID)
		}
	}
	for _, limit := range []int{1, 2, 5, 6} {
		got := s.pages(allocator.DescribePlayerSessionsInput{GameSessionID: game, Limit: limit, StatusFilter: allocator.PlayerSessionCompleted}, func() {})
		wantCount(t, fmt.Sprintf("COMPLETED ones in pages of %d", limit), len(got), len(completed))
		wantEach(t, "the COMPLETED ones", got, completed)
	}
}

func TestGameSessionsOfAFleetAreListedByLocationPageByPage(t *testing.T) {
	allocatortest.Each(t, func(t *testing.T, store *allocatortest.Store) {
		s := newScene(t, store)
		if _, err := s.CreateLocation(t.Context(), allocator.CreateLocationInput{Name: "custom-attic"}); err != nil {
			t.Fatal(err)
		}
		fleet, err := s.CreateFleet(t.Context(), allocator.CreateFleetInput{Name: "two places", Locations: []string{"custom-cellar", "custom-attic"}})
		if err != nil {
			t.Fatal(err)
		}
		want := make(map[string][]allocator.GameSessionID)
		for location, n := range map[string]int{"custom-cellar": 230, "custom-attic": 12} {
			if _, err := s.RegisterCompute(t.Context(), allocator.RegisterComputeInput{FleetID: fleet.ID, Name: location, Location: location, DNSName: "host.example"}); err != nil {
				t.Fatal(err)
			}
			for range n { // most in one millisecond
				g, err := s.CreateGameSession(t.Context(), allocator.CreateGameSessionInput{FleetID: fleet.ID, Location: location})
				if err != nil {
					t.Fatal(err)
				}
				want[location] = append(want[location], g.ID)
				want[""] = append(want[""], g.ID)
			}
			store.Advance(time.Millisecond)
		}
		s.newGameSession(1) // of another fleet
		for location, ids := range want {
			for _, limit := range []int{5, 100} {
				var got []allocator.GameSessionID
				in := allocator.DescribeGameSessionsInput{FleetID: fleet.ID, Location: location, Limit: limit}
				for {
					out, err := s.DescribeGameSessions(t.Context(), in)
					if err != nil {
						t.Fatal(err)
					}
					for _, g := range out.GameSessions {
						got = append(got, g.ID)
					}
					if in.NextToken = out.NextToken; in.NextToken == "" {
						break
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, slices.Sorted(slices.Values(ids))) {
					t.Errorf("in pages of %d at %q: %d game sessions, %d of them different, want %d", limit, location, len(got), len(slices.Compact(got)), len(ids))
				}
			}
		}
	})
}

func TestOnlyTheNextTokenOfTheSameListIsTaken(t *testing.T) {
	s := newScene(t, allocatortest.Miniredis(t))
	game, other := s.newGameSession(10), s.newGameSession(10)
	for _, g := range []allocator.GameSessionID{game, other} {
		for range 3 {
			s.reserve(g, "ada")
			s.reserve(g, "bob")
		}
	}
	ofPlayers := []allocator.DescribePlayerSessionsInput{
		{GameSessionID: game},
		{GameSessionID: game, StatusFilter: allocator.PlayerSessionReserved},
		{GameSessionID: other},
		{PlayerID: "ada"},
		{PlayerID: "bob"},
	}
	ofGames := []allocator.DescribeGameSessionsInput{
		{FleetID: s.fleet},
		{FleetID: s.fleet, StatusFilter: allocator.GameSessionActive},
		{FleetID: s.fleet, Location: "custom-cellar"},
	}
	// list reads the i-th list behind a token.
	list := func(i int, token string) (next string, err error) {
		if i < len(ofPlayers) {
			in := ofPlayers[i]
			in.Limit, in.NextToken = 1, token
			out, err := s.DescribePlayerSessions(t.Context(), in)
			if err != nil {
				return "", err
			}
			return out.NextToken, nil
		}
		in := ofGames[i-len(ofPlayers)]
		in.Limit, in.NextToken = 1, token
		out, err := s.DescribeGameSessions(t.Context(), in)
		if err != nil {
			return "", err
		}
		return out.NextToken, nil
	}
	lists := len(ofPlayers) + len(ofGames)
	for i := range lists {
		token, err := list(i, "")
		if err != nil || token == "" {
			t.Fatalf("list %d gave no token (error: %v)", i, err)
		}
		for j := range lists {
			_, err := list(j, token)
			if i == j && err != nil {
				t.Errorf("list %d refuses its own token: %v", i, err)
			}
			if i != j {
				wantKind(t, fmt.Sprintf("the token of list %d for list %d", i, j), err, allocator.ErrInvalidRequest)
			}
		}

		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		var forged []string
		for at := range raw {
			tampered := slices.Clone(raw)
			tampered[at] ^= 1
			forged = append(forged, base64.RawURLEncoding.EncodeToString(tampered), base64.RawURLEncoding.EncodeToString(raw[:at]))
		}
		for n := 1; n < len(token); n++ {
			forged = append(forged, token[:n])
		}
		forged = append(forged, token+"A", token+"AAAA", "*", "token", base64.RawURLEncoding.EncodeToString(append(raw, 0)))
		for _, f := range forged {
			if f == "" || f == token {
				continue // no token is the start of the list
			}
			if _, err := list(i, f); err == nil {
				t.Errorf("list %d takes the token %q, and gave %q", i, f, token)
			} else {
				wantKind(t, "a forged token", err, allocator.ErrInvalidRequest)
			}
		}
	}
}

func TestTokenOfAnotherStoreIsRefused(t *testing.T) {
	token := func(s scene, game allocator.GameSessionID) string {
		s.reserve(game, "ada")
		s.reserve(game, "bob")
		out, err := s.DescribePlayerSessions(t.Context(), allocator.DescribePlayerSessionsInput{PlayerID: "ada", Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		return out.NextToken
	}
	here, there := newScene(t, allocatortest.Miniredis(t)), newScene(t, allocatortest.Miniredis(t))
	token(there, there.newGameSession(5))
	there.reserve(there.newGameSession(5), "ada")
	foreign := token(there, there.newGameSession(5))
	if foreign == "" {
		t.Fatal("there is no next page")
	}
	_, err := here.DescribePlayerSessions(t.Context(), allocator.DescribePlayerSessionsInput{PlayerID: "ada", NextToken: foreign})
	wantKind(t, "the token of another store", err, allocator.ErrInvalidRequest)
}

func TestPageMissesNothingThoughOthersArePurgedWhileItIsRead(t *testing.T) {
	store := allocatortest.Miniredis(t)
	s := newScene(t, store)
	game := s.newGameSession(20)
	var sessions []*allocator.PlayerSession
	for range 20 { // all in one millisecond
		sessions = append(sessions, s.reserve(game, "ada"))
	}
	order := s.pages(allocator.DescribePlayerSessionsInput{PlayerID: "ada"}, func() {})
	for _, p := range sessions {
		s.accept(p)
	}
	for i := range 9 { // the first nine in the order of the list will be purged
		s.remove(&order[i])
	}
	store.Advance(retention)

	// The eleventh page starts behind what is purged, in the middle of the millisecond. Its first look at the index is followed
	// by the purge.
	in := allocator.DescribePlayerSessionsInput{PlayerID: "ada", Limit: 1}
	var all []allocator.PlayerSession
	sweepAfterALook := sync.OnceFunc(func() { s.sweep() })
	reader := open(t, store, func(config *allocator.Config) {
		config.Redis.AddHook(afterPipelines(func() {
			if len(all) == 10 {
				sweepAfterALook()
			}
		}))
	})
	for {
		out, err := reader.DescribePlayerSessions(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out.PlayerSessions...)
		if in.NextToken = out.NextToken; in.NextToken == "" {
			break
		}
	}
	var staying []allocator.PlayerSessionID
	for _, p := range order[9:] {
		staying = append(staying, p.ID)
	}
	wantEach(t, "of the player", all, staying)
}

// afterPipelines is a hook that does something after each pipeline.
type afterPipelines func()

func (afterPipelines) DialHook(next redis.DialHook) redis.DialHook { return next }

func (afterPipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (do afterPipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		do()
		return err
	}
}
