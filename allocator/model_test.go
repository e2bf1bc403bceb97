package allocator_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/berthgg/berth/allocator"
)

// model is the specification of package allocator: what each operation answers and changes, one operation after the
// other, on a clock that stands still between them. There is no Redis in it.
//
// Operations that refuse return the kind of their error. An operation that succeeds returns the model's own record. What
// the specification leaves open is empty in a new record, and for the caller to fill in from the reply of a real
// Allocator: ids, the port of a game session and which of several computes hosts it.
type model struct {
	reservationTimeout time.Duration
	retention          time.Duration
	maxPlayerSessions  int

	now            time.Time
	locations      []*modelLocation
	fleets         []*modelFleet
	gameSessions   []*modelGameSession
	playerSessions []*modelPlayerSession // in the order of creation, as all of these
}

type modelLocation struct {
	allocator.Location
	createdBy string // retry token
}

type modelFleet struct {
	locations []string
	allocator.Fleet
	createdBy string // retry token
	computes  []*allocator.Compute
	created   map[string][]time.Time // game sessions that count against their creator's limit
}

type modelGameSession struct {
	allocator.GameSession // without its count, see model.current
	asked                 allocator.CreateGameSessionInput
}

type modelPlayerSession struct {
	allocator.PlayerSession
	createdBy, acceptedBy, removedBy string // retry tokens
	deadline                         time.Time
	marked                           bool // whether a sweep has seen that it is TIMEDOUT
}

// sameCall reports whether a call with this token is the one that an earlier call made. A call without a token is always
// another one.
func sameCall(token, earlier string) bool { return token != "" && token == earlier }

// advance lets time pass. A reservation is over at its deadline, to the millisecond.
func (m *model) advance(d time.Duration) {
	m.now = m.now.Add(d)
	for _, p := range m.playerSessions {
		if p.Status == allocator.PlayerSessionReserved && !m.now.Before(p.deadline) {
			p.Status, p.TerminationTime = allocator.PlayerSessionTimedOut, p.deadline
		}
	}
}

// Sweep changes nothing but that player sessions leave whose retention is over. It counts each reservation that timed out
// once.
func (m *model) Sweep() (swept allocator.Swept) {
	for _, p := range m.playerSessions {
		if p.Status == allocator.PlayerSessionTimedOut && !p.marked {
			p.marked = true
			swept.TimedOut++
		}
	}
	m.playerSessions = slices.DeleteFunc(m.playerSessions, func(p *modelPlayerSession) bool {
		over := !p.TerminationTime.IsZero() && !m.now.Before(p.TerminationTime.Add(m.retention))
		if over {
			swept.Purged++
		}
		return over
	})
	return swept
}

// Fleets.

func (m *model) CreateLocation(in allocator.CreateLocationInput) (*modelLocation, error) {
	if in.Name == "" {
		return nil, allocator.ErrInvalidRequest
	}
	if known := m.location(in.Name); known != nil {
		if sameCall(in.RetryToken, known.createdBy) {
			return known, nil
		}
		return nil, allocator.ErrConflict
	}
	l := &modelLocation{allocator.Location{Name: in.Name, ARN: arn("location/" + in.Name)}, in.RetryToken}
	m.locations = append(m.locations, l)
	return l, nil
}

func (m *model) CreateFleet(in allocator.CreateFleetInput) (*modelFleet, error) {
	if in.Name == "" || len(in.Locations) == 0 || repeats(in.Locations) || len(in.MetricGroups) > 1 {
		return nil, allocator.ErrInvalidRequest
	}
	for _, f := range m.fleets {
		if sameCall(in.RetryToken, f.createdBy) {
			return f, nil
		}
	}
	for _, name := range in.Locations {
		if m.location(name) == nil {
			return nil, allocator.ErrNotFound
		}
	}
	f := &modelFleet{createdBy: in.RetryToken, Fleet: allocator.Fleet{
		Name:             in.Name,
		Description:      in.Description,
		CreationTime:     m.now,
		ProtectionPolicy: either(in.ProtectionPolicy, allocator.NoProtection),
		Cost:             in.Cost,
		CreationLimit:    in.CreationLimit,
		MetricGroups:     in.MetricGroups,
		Status:           allocator.FleetActive,
	}, locations: in.Locations, created: make(map[string][]time.Time)}
	m.fleets = append(m.fleets, f)
	return f, nil
}

func (m *model) RegisterCompute(in allocator.RegisterComputeInput) (*allocator.Compute, error) {
	fleet := m.fleet(in.FleetID)
	if in.Name == "" || in.Location == "" || in.IPAddress == "" && in.DNSName == "" ||
		fleet == nil || !slices.Contains(fleet.locations, in.Location) {
		return nil, allocator.ErrInvalidRequest
	}
	c := &allocator.Compute{
		Name:            in.Name,
		ARN:             arn("compute/" + in.Name),
		FleetID:         fleet.ID,
		FleetARN:        fleet.ARN,
		Location:        in.Location,
		IPAddress:       in.IPAddress,
		DNSName:         in.DNSName,
		CertificatePath: in.CertificatePath,
		CreationTime:    m.now,
	}
	for _, known := range fleet.computes {
		if known.Name == c.Name {
			c.CreationTime = known.CreationTime
			if *c == *known {
				return known, nil
			}
			return nil, allocator.ErrConflict
		}
	}
	fleet.computes = append(fleet.computes, c)
	return c, nil
}

// Game sessions.

func (m *model) CreateGameSession(in allocator.CreateGameSessionInput) (*modelGameSession, error) {
	if in.MaximumPlayerSessionCount < 0 || in.MaximumPlayerSessionCount > m.maxPlayerSessions || len(in.GameProperties) > 16 {
		return nil, allocator.ErrInvalidRequest
	}
	fleet := m.fleet(in.FleetID)
	if fleet == nil {
		return nil, allocator.ErrNotFound
	}
	if in.Location != "" && !slices.Contains(fleet.locations, in.Location) {
		return nil, allocator.ErrInvalidRequest
	}
	if len(m.hosts(in)) == 0 {
		return nil, allocator.ErrFleetCapacityExceeded
	}
	in.FleetID = fleet.ID
	name := either(in.GameSessionID, in.IdempotencyToken)
	for _, g := range m.gameSessions {
		sameName := name != "" && g.ID == gameSessionID(fleet.ID, name)
		sameToken := name == "" && either(g.asked.GameSessionID, g.asked.IdempotencyToken) == "" && g.FleetID == fleet.ID &&
			g.asked.Location == in.Location && sameCall(in.RetryToken, g.asked.RetryToken)
		if !sameName && !sameToken {
			continue
		}
		// How a call names the game session is no parameter of the game session.
		asked := g.asked
		asked.GameSessionID, asked.IdempotencyToken, asked.RetryToken = in.GameSessionID, in.IdempotencyToken, in.RetryToken
		if len(asked.GameProperties)+len(in.GameProperties) == 0 {
			asked.GameProperties = in.GameProperties
		}
		if !reflect.DeepEqual(asked, in) {
			return nil, allocator.ErrIdempotentParameterMismatch
		}
		return g, nil
	}
	if limit := fleet.CreationLimit; limit.GameSessionsPerCreator > 0 {
		if in.CreatorID == "" {
			return nil, allocator.ErrInvalidRequest
		}
		recent := slices.DeleteFunc(fleet.created[in.CreatorID], func(t time.Time) bool {
			return !t.After(m.now.Add(-time.Duration(limit.PeriodMinutes) * time.Minute))
		})
		if len(recent) >= limit.GameSessionsPerCreator {
			return nil, allocator.ErrLimitExceeded
		}
		fleet.created[in.CreatorID] = append(recent, m.now)
	}
	g := &modelGameSession{asked: in, GameSession: allocator.GameSession{
		Name:                        in.Name,
		FleetID:                     fleet.ID,
		FleetARN:                    fleet.ARN,
		Status:                      allocator.GameSessionActive,
		CreationTime:                m.now,
		MaximumPlayerSessionCount:   in.MaximumPlayerSessionCount,
		PlayerSessionCreationPolicy: allocator.AcceptAll,
		ProtectionPolicy:            fleet.ProtectionPolicy,
		GameProperties:              maps.Clone(in.GameProperties),
		GameSessionData:             in.GameSessionData,
		CreatorID:                   in.CreatorID,
	}}
	m.gameSessions = append(m.gameSessions, g)
	return g, nil
}

// hosts lists the computes on which a game session may be created.
func (m *model) hosts(in allocator.CreateGameSessionInput) (hosts []*allocator.Compute) {
	for _, c := range m.fleet(in.FleetID).computes {
		if in.Location == "" || c.Location == in.Location {
			hosts = append(hosts, c)
		}
	}
	return hosts
}

func (m *model) UpdateGameSession(in allocator.UpdateGameSessionInput) (*modelGameSession, error) {
	if n := in.MaximumPlayerSessionCount; n != nil && (*n < 0 || *n > m.maxPlayerSessions) {
		return nil, allocator.ErrInvalidRequest
	}
	if p := in.PlayerSessionCreationPolicy; p != nil && *p != allocator.AcceptAll && *p != allocator.DenyAll {
		return nil, allocator.ErrInvalidRequest
	}
	if p := in.ProtectionPolicy; p != nil && *p != allocator.NoProtection && *p != allocator.FullProtection {
		return nil, allocator.ErrInvalidRequest
	}
	g := m.gameSession(in.GameSessionID)
	if g == nil {
		return nil, allocator.ErrNotFound
	}
	properties := make(map[string]string)
	maps.Copy(properties, g.GameProperties)
	maps.Copy(properties, in.GameProperties)
	if len(properties) > 16 {
		return nil, allocator.ErrInvalidRequest
	}
	if len(properties) > 0 {
		g.GameProperties = properties
	}
	set(&g.MaximumPlayerSessionCount, in.MaximumPlayerSessionCount)
	set(&g.Name, in.Name)
	set(&g.PlayerSessionCreationPolicy, in.PlayerSessionCreationPolicy)
	set(&g.ProtectionPolicy, in.ProtectionPolicy)
	return g, nil
}

// DescribeGameSessions lists all, where an Allocator answers page by page.
func (m *model) DescribeGameSessions(in allocator.DescribeGameSessionsInput) ([]allocator.GameSession, error) {
	if (in.GameSessionID == "") == (in.FleetID == "") {
		return nil, allocator.ErrInvalidRequest
	}
	if in.GameSessionID != "" {
		g := m.gameSession(in.GameSessionID)
		if g == nil {
			return nil, allocator.ErrNotFound
		}
		return []allocator.GameSession{m.current(g)}, nil
	}
	switch in.StatusFilter {
	case "", allocator.GameSessionActive, allocator.GameSessionActivating, allocator.GameSessionTerminating,
		allocator.GameSessionTerminated, allocator.GameSessionError:
	default:
		return nil, allocator.ErrInvalidRequest
	}
	fleet := m.fleet(in.FleetID)
	if fleet == nil {
		return nil, allocator.ErrNotFound
	}
	if in.Limit < 0 || in.Limit > 100 {
		return nil, allocator.ErrInvalidRequest
	}
	var all []allocator.GameSession
	for _, g := range m.gameSessions {
		if g.FleetID == fleet.ID && (in.StatusFilter == "" || g.Status == in.StatusFilter) && (in.Location == "" || g.Location == in.Location) {
			all = append(all, m.current(g))
		}
	}
	return all, nil
}

// Player sessions.

func (m *model) CreatePlayerSession(in allocator.CreatePlayerSessionInput) (*modelPlayerSession, error) {
	group, err := m.CreatePlayerSessions(allocator.CreatePlayerSessionsInput{
		GameSessionID: in.GameSessionID,
		PlayerIDs:     []string{in.PlayerID},
		PlayerDataMap: map[string]string{in.PlayerID: in.PlayerData},
		RetryToken:    in.RetryToken,
	})
	if err != nil {
		return nil, err
	}
	return group[0], nil
}

func (m *model) CreatePlayerSessions(in allocator.CreatePlayerSessionsInput) ([]*modelPlayerSession, error) {
	if len(in.PlayerIDs) < 1 || len(in.PlayerIDs) > 25 || slices.Contains(in.PlayerIDs, "") || repeats(in.PlayerIDs) {
		return nil, allocator.ErrInvalidRequest
	}
	game := m.gameSession(in.GameSessionID)
	if game == nil {
		return nil, allocator.ErrNotFound
	}

	// A retry is told what the first call reserved, as it is now.
	group := make([]*modelPlayerSession, len(in.PlayerIDs))
	missing := len(group)
	for i, playerID := range in.PlayerIDs {
		for _, p := range m.playerSessions {
			if p.GameSessionID == game.ID && p.PlayerID == playerID && sameCall(in.RetryToken, p.createdBy) {
				group[i] = p
				missing--
			}
		}
	}
	if missing == 0 {
		return group, nil
	}

	if game.Status != allocator.GameSessionActive || game.PlayerSessionCreationPolicy != allocator.AcceptAll {
		return nil, allocator.ErrInvalidGameSessionStatus
	}
	if m.taken(game)+missing > game.MaximumPlayerSessionCount {
		return nil, allocator.ErrGameSessionFull
	}
	for i, playerID := range in.PlayerIDs {
		if group[i] != nil {
			continue
		}
		group[i] = &modelPlayerSession{
			createdBy: in.RetryToken,
			deadline:  m.now.Add(m.reservationTimeout),
			PlayerSession: allocator.PlayerSession{
				PlayerID:      playerID,
				PlayerData:    in.PlayerDataMap[playerID],
				GameSessionID: game.ID,
				FleetID:       game.FleetID,
				FleetARN:      game.FleetARN,
				Status:        allocator.PlayerSessionReserved,
				CreationTime:  m.now,
				IPAddress:     game.IPAddress,
				DNSName:       game.DNSName,
				Port:          game.Port,
			},
		}
		m.playerSessions = append(m.playerSessions, group[i])
	}
	return group, nil
}

func (m *model) AcceptPlayerSession(in allocator.AcceptPlayerSessionInput) error {
	p := m.playerSession(in.PlayerSessionID)
	switch {
	case p == nil || p.GameSessionID != in.GameSessionID:
		return allocator.ErrNotFound
	case sameCall(in.RetryToken, p.acceptedBy):
		return nil
	case p.Status != allocator.PlayerSessionReserved:
		return allocator.ErrInvalidPlayerSessionStatus
	}
	p.Status, p.acceptedBy = allocator.PlayerSessionActive, in.RetryToken
	return nil
}

func (m *model) RemovePlayerSession(in allocator.RemovePlayerSessionInput) error {
	p := m.playerSession(in.PlayerSessionID)
	switch {
	case p == nil || p.GameSessionID != in.GameSessionID:
		return allocator.ErrNotFound
	case sameCall(in.RetryToken, p.removedBy):
		return nil
	case p.Status != allocator.PlayerSessionActive:
		return allocator.ErrInvalidPlayerSessionStatus
	}
	p.Status, p.TerminationTime, p.removedBy = allocator.PlayerSessionCompleted, m.now, in.RetryToken
	return nil
}

// DescribePlayerSessions lists all, where an Allocator answers page by page.
func (m *model) DescribePlayerSessions(in allocator.DescribePlayerSessionsInput) ([]allocator.PlayerSession, error) {
	switch byGame, byPlayer, byID := in.GameSessionID != "", in.PlayerID != "", in.PlayerSessionID != ""; {
	case byID && !byGame && !byPlayer:
		p := m.playerSession(in.PlayerSessionID)
		if p == nil {
			return nil, allocator.ErrNotFound
		}
		return []allocator.PlayerSession{p.PlayerSession}, nil
	case in.Limit < 0 || in.Limit > 100:
		return nil, allocator.ErrInvalidRequest
	case byPlayer && !byGame && !byID:
		return m.list(func(p *modelPlayerSession) bool { return p.PlayerID == in.PlayerID }), nil
	case byGame && !byPlayer && !byID:
		switch in.StatusFilter {
		case "", allocator.PlayerSessionReserved, allocator.PlayerSessionActive, allocator.PlayerSessionCompleted, allocator.PlayerSessionTimedOut:
		default:
			return nil, allocator.ErrInvalidRequest
		}
		if m.gameSession(in.GameSessionID) == nil {
			return nil, allocator.ErrNotFound
		}
		return m.list(func(p *modelPlayerSession) bool {
			return p.GameSessionID == in.GameSessionID && (in.StatusFilter == "" || in.StatusFilter == p.Status)
		}), nil
	}
	return nil, allocator.ErrInvalidRequest
}

// pageSizes says how many items the pages of a list have: the limit, and on the last page what is left, which is none
// only when the list is empty.
func pageSizes(items, limit int) (sizes []int) {
	limit = either(limit, 50)
	for ; items > limit; items -= limit {
		sizes = append(sizes, limit)
	}
	return append(sizes, items)
}

// What is there.

func (m *model) location(name string) *modelLocation {
	return find(m.locations, func(l *modelLocation) bool { return l.Name == name })
}

// fleet finds a fleet by its id or ARN.
func (m *model) fleet(id allocator.FleetID) *modelFleet {
	return find(m.fleets, func(f *modelFleet) bool { return f.ID == id || f.ARN == string(id) })
}

func (m *model) gameSession(id allocator.GameSessionID) *modelGameSession {
	return find(m.gameSessions, func(g *modelGameSession) bool { return g.ID == id })
}

func (m *model) playerSession(id allocator.PlayerSessionID) *modelPlayerSession {
	return find(m.playerSessions, func(p *modelPlayerSession) bool { return p.ID == id })
}

func (m *model) list(keep func(*modelPlayerSession) bool) (all []allocator.PlayerSession) {
	for _, p := range m.playerSessions {
		if keep(p) {
			all = append(all, p.PlayerSession)
		}
	}
	return all
}

// taken counts the slots of a game session that are taken.
func (m *model) taken(g *modelGameSession) (n int) {
	for _, p := range m.playerSessions {
		if p.GameSessionID == g.ID && (p.Status == allocator.PlayerSessionReserved || p.Status == allocator.PlayerSessionActive) {
			n++
		}
	}
	return n
}

// current is a game session as it is now.
func (m *model) current(g *modelGameSession) allocator.GameSession {
	now := g.GameSession
	now.CurrentPlayerSessionCount = m.taken(g)
	return now
}

func arn(resource string) string { return "arn:aws:gamelift:us-east-1::" + resource }

func gameSessionID(fleet allocator.FleetID, name string) allocator.GameSessionID {
	return allocator.GameSessionID(fmt.Sprintf("arn:aws:gamelift:us-east-1::gamesession/%s/%s", fleet, name))
}

// find returns the first record that is the one, or nil.
func find[T any](records []*T, is func(*T) bool) *T {
	if i := slices.IndexFunc(records, is); i >= 0 {
		return records[i]
	}
	return nil
}

// either returns the value, or the other if it is the zero value.
func either[T comparable](value, other T) T {
	var zero T
	if value == zero {
		return other
	}
	return value
}

// set sets a field to a value, if there is one.
func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// repeats reports whether a list has the same string twice.
func repeats(list []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(list)))) < len(list)
}
