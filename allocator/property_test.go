package allocator_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"slices"
	"strconv"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

// Random operations and steps of time, of which every reply must be that of the model, and after each of which the
// invariants must hold in the store. Each operation is done by one of two Allocators, so that nothing can live in one; one of
// them pipelines.

func TestAllocatorDoesWhatTheModelSays(t *testing.T) {
	t.Run("miniredis", func(t *testing.T) { compareWithModel(t, allocatortest.Miniredis(t), 2) })
	t.Run("redis", func(t *testing.T) { compareWithModel(t, allocatortest.Redis(t), 1) })
	t.Run("cluster", func(t *testing.T) { compareWithModel(t, allocatortest.Cluster(t), 5) })
	t.Run("sentinel", func(t *testing.T) { compareWithModel(t, allocatortest.Sentinel(t), 5) })
}

// compareWithModel checks the property as often as -rapid.checks says, or less often by the divisor, with twice as many
// steps as -rapid.steps says.
func compareWithModel(t *testing.T, store *allocatortest.Store, divisor int) {
	scaleFlag(t, "rapid.checks", 1, divisor)
	scaleFlag(t, "rapid.steps", 2, 1)
	hook := scriptContracts(t)
	var configs [2]allocator.Config
	for i := range configs {
		configs[i] = allocator.Config{
			Redis:              store.NewClient(t),
			ReservationTimeout: reservationTimeout,
			Retention:          retention,
			MaxPlayerSessions:  maxPlayerSessions,
			AutoActivate:       true,
		}
		configs[i].Redis.AddHook(hook)
	}
	rapid.Check(t, func(rt *rapid.T) {
		hook.t = rt
		flush(rt, store)
		m := &machine{T: rt, ctx: context.Background(), store: store, model: &model{
			reservationTimeout: reservationTimeout,
			retention:          retention,
			maxPlayerSessions:  maxPlayerSessions,
			now:                store.Now(),
		}}
		for i, config := range configs {
			a, err := allocator.Open(m.ctx, config)
			if err != nil {
				rt.Fatal(err)
			}
			m.allocators[i] = a
		}
		m.allocators[1].Pipelined()
		m.setUp()
		rt.Repeat(map[string]func(*rapid.T){
			"":                              m.check,
			"advance":                       m.advance,
			"advance to an edge":            m.advanceToEdge,
			"advance to another edge":       m.advanceToEdge,
			"sweep":                         m.sweep,
			"set up":                        m.controlPlane,
			"create game session":           m.createAnyGameSession,
			"update game session":           m.updateGameSession,
			"describe game sessions":        m.describeGameSessions,
			"reserve":                       m.reserve,
			"reserve again":                 m.reserve,
			"reserve for a group":           m.reserveGroup,
			"accept":                        m.accept,
			"accept again":                  m.accept,
			"remove":                        m.remove,
			"describe a player session":     m.describeByID,
			"describe by game session":      m.describeByGameSession,
			"describe by player":            m.describeByPlayer,
			"describe in a way not allowed": m.describeAmbiguously,
			"retry":                         m.retry,
		})
	})
}

// scaleFlag multiplies a flag of whole numbers, until the test ends.
func scaleFlag(t *testing.T, name string, by, divisor int) {
	t.Helper()
	before := flag.Lookup(name).Value.String()
	n, err := strconv.Atoi(before)
	if err != nil {
		t.Fatal(err)
	}
	if err := flag.Set(name, strconv.Itoa(max(1, n*by/divisor))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { flag.Set(name, before) })
}

const maxPlayerSessions = 6

// machine does each operation twice, for real and in the model, and compares.
type machine struct {
	*rapid.T
	ctx        context.Context
	store      *allocatortest.Store
	allocators [2]*allocator.Allocator
	model      *model

	ids       []allocator.PlayerSessionID // of all that there ever were
	calls     []func()                    // all calls that changed something, to make them again
	admitting allocator.GameSessionID     // where the last action may have admitted someone
	swept     bool                        // whether the last action was a sweep
}

// setUp makes what nearly every operation needs.
func (m *machine) setUp() {
	m.createLocation(allocator.CreateLocationInput{Name: locations[0]})
	m.createFleet(allocator.CreateFleetInput{Name: "first", Locations: locations[:1]})
	m.registerCompute(allocator.RegisterComputeInput{FleetID: m.model.fleets[0].ID, Name: "box", Location: locations[0], IPAddress: "192.0.2.7"})
	for _, slots := range []int{1, 3} {
		m.createGameSession(allocator.CreateGameSessionInput{FleetID: m.model.fleets[0].ID, MaximumPlayerSessionCount: slots})
	}
}

// check compares what does not show in replies, after each action.
func (m *machine) check(*rapid.T) {
	c := wantInvariants(m.T, m.store, m.any())
	var ids []allocator.PlayerSessionID
	for _, p := range m.model.playerSessions {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	m.equal("the player sessions in the store", c.playerSessions(), ids)
	if m.admitting != "" { // invariant 1
		if at := c.gameSessions()[m.admitting]; float64(c.takenOf(at)) > number(c.hashes[at]["max"]) {
			m.Errorf("%s let somebody in and has %d of %s slots taken", m.admitting, c.takenOf(at), c.hashes[at]["max"])
		}
	}
	if m.swept { // invariant 8
		for _, left := range c.retained(m.model.retention) {
			m.Errorf("a sweep left %s", left)
		}
	}
	m.admitting, m.swept = "", false
}

// Time.

func (m *machine) advance(*rapid.T) {
	m.pass(time.Duration(rapid.IntRange(0, 40_000).Draw(m.T, "ms")) * time.Millisecond)
}

// advanceToEdge moves the clock to where something runs out, a millisecond before or a millisecond after.
func (m *machine) advanceToEdge(*rapid.T) {
	var edges []time.Duration
	for _, p := range m.model.playerSessions {
		edge := p.deadline
		if !p.TerminationTime.IsZero() {
			edge = p.TerminationTime.Add(m.model.retention)
		}
		for _, off := range []time.Duration{-time.Millisecond, 0, time.Millisecond} {
			if d := edge.Add(off).Sub(m.model.now); d >= 0 {
				edges = append(edges, d)
			}
		}
	}
	if len(edges) == 0 {
		m.Skip("nothing runs out")
	}
	slices.Sort(edges)
	m.pass(rapid.SampledFrom(slices.Compact(edges)).Draw(m.T, "to an edge"))
}

func (m *machine) pass(d time.Duration) {
	m.store.Advance(d)
	m.model.advance(d)
}

func (m *machine) sweep(*rapid.T) {
	got, err := m.any().Sweep(m.ctx)
	if err != nil {
		m.Fatalf("Sweep: %v", err)
	}
	m.equal("Sweep", got, m.model.Sweep())
	m.swept = true
}

// Fleets.

var locations = []string{"custom-a", "custom-b", "custom-c"}

func (m *machine) controlPlane(*rapid.T) {
	switch rapid.SampledFrom([]string{"location", "fleet", "compute"}).Draw(m.T, "what") {
	case "location":
		m.createLocation(allocator.CreateLocationInput{
			Name:       rapid.SampledFrom(append(locations, "")).Draw(m.T, "location"),
			RetryToken: m.token(),
		})
	case "fleet":
		m.createFleet(allocator.CreateFleetInput{
			Name:             rapid.SampledFrom([]string{"second", "third", ""}).Draw(m.T, "name"),
			Description:      rapid.SampledFrom([]string{"", "a fleet"}).Draw(m.T, "description"),
			Locations:        rapid.SliceOfN(rapid.SampledFrom(locations), 0, 3).Draw(m.T, "locations"),
			ProtectionPolicy: rapid.SampledFrom([]allocator.ProtectionPolicy{"", allocator.NoProtection, allocator.FullProtection}).Draw(m.T, "protection"),
			Cost:             rapid.SampledFrom([]string{"", "0.5"}).Draw(m.T, "cost"),
			CreationLimit:    rapid.SampledFrom([]allocator.CreationLimit{{}, {GameSessionsPerCreator: 3, PeriodMinutes: 5}}).Draw(m.T, "limit"),
			MetricGroups:     rapid.SampledFrom([][]string{nil, {"one"}, {"one", "two"}}).Draw(m.T, "metric groups"),
			// Of fleets a token is used once, but for retries: what two fleets with one token are is not specified.
			RetryToken: strconv.Itoa(len(m.calls)),
		})
	case "compute":
		in := allocator.RegisterComputeInput{
			FleetID:         m.fleet(),
			Name:            rapid.SampledFrom([]string{"box", "crate", ""}).Draw(m.T, "compute"),
			Location:        rapid.SampledFrom(append(locations, "")).Draw(m.T, "location"),
			CertificatePath: rapid.SampledFrom([]string{"", "", "/etc/cert"}).Draw(m.T, "certificate"),
		}
		switch rapid.SampledFrom([]string{"ip", "name", "both", "none"}).Draw(m.T, "address") {
		case "ip":
			in.IPAddress = "192.0.2.8"
		case "name":
			in.DNSName = "box.example"
		case "both":
			in.IPAddress, in.DNSName = "192.0.2.9", "crate.example"
		}
		m.registerCompute(in)
	}
}

func (m *machine) createLocation(in allocator.CreateLocationInput) {
	m.call(func() {
		got, err := m.any().CreateLocation(m.ctx, in)
		want, refusal := m.model.CreateLocation(in)
		if m.agree("CreateLocation", in, err, refusal) {
			m.equal("CreateLocation", *got, want.Location)
		}
	})
}

func (m *machine) createFleet(in allocator.CreateFleetInput) {
	m.call(func() {
		got, err := m.any().CreateFleet(m.ctx, in)
		want, refusal := m.model.CreateFleet(in)
		if !m.agree("CreateFleet", in, err, refusal) {
			return
		}
		if want.ID == "" {
			if m.model.fleet(got.ID) != nil {
				m.Fatalf("CreateFleet gave the id %s a second time", got.ID)
			}
			want.ID, want.ARN = got.ID, arn("fleet/"+string(got.ID))
		}
		m.equal("CreateFleet", *got, want.Fleet)
	})
}

func (m *machine) registerCompute(in allocator.RegisterComputeInput) {
	m.call(func() {
		got, err := m.any().RegisterCompute(m.ctx, in)
		want, refusal := m.model.RegisterCompute(in)
		if m.agree("RegisterCompute", in, err, refusal) {
			m.equal("RegisterCompute", *got, *want)
		}
	})
}

// Game sessions.

func (m *machine) createAnyGameSession(*rapid.T) {
	names := []string{"", "room-1", "room-2"}
	in := allocator.CreateGameSessionInput{
		FleetID:                   m.fleet(),
		Location:                  rapid.SampledFrom([]string{"", "", "custom-a", "custom-b", "custom-x"}).Draw(m.T, "location"),
		MaximumPlayerSessionCount: rapid.IntRange(-1, maxPlayerSessions+1).Draw(m.T, "maximum"),
		Name:                      rapid.SampledFrom([]string{"", "duel"}).Draw(m.T, "name"),
		GameProperties:            m.properties(),
		GameSessionData:           rapid.SampledFrom([]string{"", "data"}).Draw(m.T, "data"),
		CreatorID:                 rapid.SampledFrom([]string{"", "creator"}).Draw(m.T, "creator"),
		GameSessionID:             rapid.SampledFrom(names).Draw(m.T, "id"),
		IdempotencyToken:          rapid.SampledFrom(names).Draw(m.T, "idempotency token"),
		RetryToken:                m.token(),
	}
	m.createGameSession(in)
}

func (m *machine) createGameSession(in allocator.CreateGameSessionInput) {
	m.call(func() {
		got, err := m.any().CreateGameSession(m.ctx, in)
		want, refusal := m.model.CreateGameSession(in)
		if !m.agree("CreateGameSession", in, err, refusal) {
			return
		}
		if want.ID == "" {
			if m.model.gameSession(got.ID) != nil {
				m.Fatalf("CreateGameSession gave the id %s a second time", got.ID)
			}
			host := find(m.model.hosts(in), func(c *allocator.Compute) bool { return c.Name == got.ComputeName })
			if host == nil {
				m.Fatalf("CreateGameSession(%+v) chose the compute %q", in, got.ComputeName)
			}
			if got.Port < 1 || got.Port > 60000 {
				m.Fatalf("CreateGameSession gave the port %d", got.Port)
			}
			want.ID, want.Port = got.ID, got.Port
			if name := either(in.GameSessionID, in.IdempotencyToken); name != "" {
				want.ID = gameSessionID(want.FleetID, name)
			}
			want.ComputeName, want.Location, want.IPAddress, want.DNSName = host.Name, host.Location, host.IPAddress, host.DNSName
		}
		m.equal("CreateGameSession", *got, m.model.current(want))
	})
}

func (m *machine) updateGameSession(*rapid.T) {
	in := allocator.UpdateGameSessionInput{GameSessionID: m.gameSession(), GameProperties: m.properties()}
	if rapid.Bool().Draw(m.T, "change the maximum") {
		maximum := rapid.IntRange(-1, maxPlayerSessions+1).Draw(m.T, "maximum")
		in.MaximumPlayerSessionCount = &maximum
	}
	if rapid.Bool().Draw(m.T, "change the name") {
		name := rapid.SampledFrom([]string{"", "brawl"}).Draw(m.T, "name")
		in.Name = &name
	}
	if rapid.Bool().Draw(m.T, "change the policy") {
		policy := rapid.SampledFrom([]allocator.PlayerSessionCreationPolicy{
			allocator.AcceptAll, allocator.AcceptAll, allocator.AcceptAll, allocator.AcceptAll, allocator.DenyAll, "SOME",
		}).Draw(m.T, "policy")
		in.PlayerSessionCreationPolicy = &policy
	}
	if rapid.Bool().Draw(m.T, "change the protection") {
		protection := rapid.SampledFrom([]allocator.ProtectionPolicy{allocator.NoProtection, allocator.FullProtection, "Some"}).Draw(m.T, "protection")
		in.ProtectionPolicy = &protection
	}
	m.call(func() {
		got, err := m.any().UpdateGameSession(m.ctx, in)
		want, refusal := m.model.UpdateGameSession(in)
		if m.agree("UpdateGameSession", in, err, refusal) {
			m.equal("UpdateGameSession", *got, m.model.current(want))
		}
	})
}

func (m *machine) describeGameSessions(*rapid.T) {
	var in allocator.DescribeGameSessionsInput
	by := rapid.SampledFrom([]string{"id", "fleet", "fleet", "fleet", "both", "none"}).Draw(m.T, "by")
	if by == "id" || by == "both" {
		in.GameSessionID = m.gameSession()
	}
	if by == "fleet" || by == "both" {
		in.FleetID = m.fleet()
		in.Location = rapid.SampledFrom([]string{"", "", "custom-a", "custom-b"}).Draw(m.T, "location")
		in.StatusFilter = rapid.SampledFrom([]allocator.GameSessionStatus{"", "", allocator.GameSessionActive, allocator.GameSessionTerminated, "IDLE"}).Draw(m.T, "filter")
		in.Limit = m.limit()
	}
	want, refusal := m.model.DescribeGameSessions(in)
	walk(m, "DescribeGameSessions", in, in.Limit, want, refusal,
		func(token string) ([]allocator.GameSession, string, error) {
			in.NextToken = token
			out, err := m.any().DescribeGameSessions(m.ctx, in)
			if err != nil {
				return nil, "", err
			}
			return out.GameSessions, out.NextToken, nil
		},
		func(g allocator.GameSession) (time.Time, string) { return g.CreationTime, string(g.ID) })
}

// Player sessions.

func (m *machine) reserve(*rapid.T) {
	in := allocator.CreatePlayerSessionInput{
		GameSessionID: m.gameSession(),
		PlayerID:      m.player(),
		PlayerData:    rapid.SampledFrom([]string{"", "data"}).Draw(m.T, "data"),
		RetryToken:    m.token(),
	}
	m.call(func() {
		before := len(m.model.playerSessions)
		got, err := m.any().CreatePlayerSession(m.ctx, in)
		want, refusal := m.model.CreatePlayerSession(in)
		if m.agree("CreatePlayerSession", in, err, refusal) {
			m.nameNew(want, got.ID)
			m.equal("CreatePlayerSession", *got, want.PlayerSession)
		}
		if len(m.model.playerSessions) > before {
			m.admitting = in.GameSessionID
		}
	})
}

func (m *machine) reserveGroup(*rapid.T) {
	in := allocator.CreatePlayerSessionsInput{
		GameSessionID: m.gameSession(),
		PlayerIDs:     rapid.SliceOfNDistinct(rapid.SampledFrom(players), 1, 3, rapid.ID).Draw(m.T, "players"),
		RetryToken:    m.token(),
	}
	if rapid.IntRange(0, 9).Draw(m.T, "of distinct players unless 0") == 0 {
		in.PlayerIDs = rapid.SliceOfN(rapid.SampledFrom(append(players, "")), 0, 3).Draw(m.T, "any players")
	}
	if rapid.Bool().Draw(m.T, "with data") {
		in.PlayerDataMap = map[string]string{m.player(): "group data"}
	}
	m.call(func() {
		before := len(m.model.playerSessions)
		got, err := m.any().CreatePlayerSessions(m.ctx, in)
		want, refusal := m.model.CreatePlayerSessions(in)
		if m.agree("CreatePlayerSessions", in, err, refusal) {
			if len(got) != len(want) {
				m.Fatalf("CreatePlayerSessions(%+v) gave %d player sessions", in, len(got))
			}
			for i := range want {
				m.nameNew(want[i], got[i].ID)
				m.equal("CreatePlayerSessions", got[i], want[i].PlayerSession)
			}
		}
		if len(m.model.playerSessions) > before {
			m.admitting = in.GameSessionID
		}
	})
}

// nameNew gives a new record of the model the id that it got in reality.
func (m *machine) nameNew(p *modelPlayerSession, id allocator.PlayerSessionID) {
	if p.ID != "" {
		return
	}
	if m.model.playerSession(id) != nil {
		m.Fatalf("two player sessions have the id %s", id)
	}
	p.ID = id
	m.ids = append(m.ids, id)
}

func (m *machine) accept(*rapid.T) {
	game, player := m.playerSession()
	in := allocator.AcceptPlayerSessionInput{GameSessionID: game, PlayerSessionID: player, RetryToken: m.token()}
	m.call(func() {
		m.agree("AcceptPlayerSession", in, m.any().AcceptPlayerSession(m.ctx, in), m.model.AcceptPlayerSession(in))
	})
}

func (m *machine) remove(*rapid.T) {
	game, player := m.playerSession()
	in := allocator.RemovePlayerSessionInput{GameSessionID: game, PlayerSessionID: player, RetryToken: m.token()}
	m.call(func() {
		m.agree("RemovePlayerSession", in, m.any().RemovePlayerSession(m.ctx, in), m.model.RemovePlayerSession(in))
	})
}

func (m *machine) describeByID(*rapid.T) {
	_, player := m.playerSession()
	m.describe(allocator.DescribePlayerSessionsInput{PlayerSessionID: player, Limit: m.limit(), StatusFilter: m.filter()})
}

func (m *machine) describeByGameSession(*rapid.T) {
	m.describe(allocator.DescribePlayerSessionsInput{GameSessionID: m.gameSession(), Limit: m.limit(), StatusFilter: m.filter()})
}

func (m *machine) describeByPlayer(*rapid.T) {
	m.describe(allocator.DescribePlayerSessionsInput{PlayerID: m.player(), Limit: m.limit(), StatusFilter: m.filter()})
}

func (m *machine) describeAmbiguously(*rapid.T) {
	game, player := m.playerSession()
	m.describe(rapid.SampledFrom([]allocator.DescribePlayerSessionsInput{
		{},
		{GameSessionID: game, PlayerSessionID: player},
		{GameSessionID: game, PlayerID: players[0]},
		{PlayerID: players[0], PlayerSessionID: player},
	}).Draw(m.T, "by"))
}

func (m *machine) describe(in allocator.DescribePlayerSessionsInput) {
	want, refusal := m.model.DescribePlayerSessions(in)
	limit := in.Limit
	if in.PlayerSessionID != "" {
		limit = 0 // plays no part
	}
	walk(m, "DescribePlayerSessions", in, limit, want, refusal,
		func(token string) ([]allocator.PlayerSession, string, error) {
			in.NextToken = token
			out, err := m.any().DescribePlayerSessions(m.ctx, in)
			if err != nil {
				return nil, "", err
			}
			return out.PlayerSessions, out.NextToken, nil
		},
		func(p allocator.PlayerSession) (time.Time, string) {
			if in.GameSessionID != "" { // in an order of its own, whatever the times
				return time.Time{}, string(p.ID)
			}
			return p.CreationTime, string(p.ID)
		})
}

// Choices.

var players = []string{"ada", "bob {1}", "cy:\n*"}

func (m *machine) any() *allocator.Allocator {
	return m.allocators[rapid.IntRange(0, len(m.allocators)-1).Draw(m.T, "allocator")]
}

// token is a retry token. That few are in use makes calls share them.
func (m *machine) token() string {
	return rapid.SampledFrom([]string{"", "", "token-1", "token-2"}).Draw(m.T, "token")
}

func (m *machine) player() string { return rapid.SampledFrom(players).Draw(m.T, "player") }

func (m *machine) limit() int {
	return rapid.SampledFrom([]int{0, 1, 1, 2, 3, 100, 101, -1}).Draw(m.T, "limit")
}

func (m *machine) filter() allocator.PlayerSessionStatus {
	return rapid.SampledFrom([]allocator.PlayerSessionStatus{
		"", allocator.PlayerSessionReserved, allocator.PlayerSessionActive, allocator.PlayerSessionCompleted, allocator.PlayerSessionTimedOut, "GONE",
	}).Draw(m.T, "filter")
}

func (m *machine) properties() map[string]string {
	return rapid.MapOfN(rapid.SampledFrom(propertyKeys), rapid.SampledFrom([]string{"", "x", "y"}), 0, 9).Draw(m.T, "properties")
}

// propertyKeys are more than a game session may have.
var propertyKeys = []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "status"}

// fleet chooses a fleet by id or ARN; seldom one that is not there.
func (m *machine) fleet() allocator.FleetID {
	ids := []allocator.FleetID{"fleet-nowhere"}
	for _, f := range m.model.fleets {
		ids = append(ids, f.ID, f.ID, allocator.FleetID(f.ARN))
	}
	return rapid.SampledFrom(ids).Draw(m.T, "fleet")
}

// gameSession chooses a game session, mostly one of the first two, so that much happens there; seldom one that is not there.
func (m *machine) gameSession() allocator.GameSessionID {
	if rapid.IntRange(0, 9).Draw(m.T, "one of the first two unless 0") > 0 {
		return m.model.gameSessions[rapid.IntRange(0, 1).Draw(m.T, "game session")].ID
	}
	ids := []allocator.GameSessionID{gameSessionID(m.model.fleets[0].ID, "nowhere")}
	for _, g := range m.model.gameSessions {
		ids = append(ids, g.ID)
	}
	return rapid.SampledFrom(ids).Draw(m.T, "game session")
}

// playerSession chooses a player session, mostly one that there is, and its game session or, seldom, another.
func (m *machine) playerSession() (game allocator.GameSessionID, id allocator.PlayerSessionID) {
	ids := append([]allocator.PlayerSessionID{"psess-00000000-0000-8000-8000-000000000000", "psess-nobody", "nobody"}, m.ids...)
	for _, p := range m.model.playerSessions {
		ids = append(ids, p.ID, p.ID, p.ID)
	}
	id = rapid.SampledFrom(ids).Draw(m.T, "player session")
	if p := m.model.playerSession(id); p != nil && rapid.IntRange(0, 9).Draw(m.T, "its game session unless 0") > 0 {
		return p.GameSessionID, id
	}
	return m.gameSession(), id
}

// call makes a call that may change something.
func (m *machine) call(do func()) {
	m.calls = append(m.calls, do)
	do()
}

// retry makes an earlier call again, as it was. With a retry token it must change nothing if it changed something then.
func (m *machine) retry(*rapid.T) {
	recent := m.calls[max(0, len(m.calls)-10):]
	recent[rapid.IntRange(0, len(recent)-1).Draw(m.T, "retry")]()
}

// Comparisons.

// agree reports whether a call succeeded, in reality and in the model alike.
func (m *machine) agree(operation string, in any, err, refusal error) bool {
	m.Helper()
	if (err == nil) != (refusal == nil) || !errors.Is(err, refusal) {
		m.Fatalf("%s(%+v): error %v, the model says %v", operation, in, err, refusal)
	}
	return err == nil
}

func (m *machine) equal(what string, got, want any) {
	m.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		m.Fatalf("%s is not as in the model (-model +real):\n%s", what, diff)
	}
}

// walk reads a list page by page and compares it with all that the model lists. Lists are in the order of creation; what
// was created in the same millisecond may be in any order.
func walk[T any](m *machine, operation string, in any, limit int, want []T, refusal error,
	page func(token string) (items []T, next string, err error), key func(T) (created time.Time, id string)) {
	m.Helper()
	var got []T
	var sizes []int
	for token := ""; ; {
		items, next, err := page(token)
		if !m.agree(operation, in, err, refusal) {
			return
		}
		got = append(got, items...)
		sizes = append(sizes, len(items))
		if next == "" {
			break
		}
		token = next
	}
	m.equal("the number of items on the pages of "+operation, sizes, pageSizes(len(want), limit))
	if !slices.IsSortedFunc(got, func(a, b T) int {
		first, _ := key(a)
		second, _ := key(b)
		return first.Compare(second)
	}) {
		m.Fatalf("%s(%+v) is not in the order of creation: %+v", operation, in, got)
	}
	byID := func(a, b T) int {
		_, first := key(a)
		_, second := key(b)
		return cmp.Compare(first, second)
	}
	slices.SortFunc(got, byID)
	slices.SortFunc(want, byID)
	m.equal(operation, got, want)
}
