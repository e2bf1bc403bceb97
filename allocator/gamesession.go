package allocator

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// GameSession is a running game that has slots for players.
type GameSession struct {
	ID                          GameSessionID
	Name                        string
	FleetID                     FleetID
	FleetARN                    string
	Status                      GameSessionStatus
	StatusReason                GameSessionStatusReason // why it is ending or has ended; empty before
	CreationTime                time.Time
	TerminationTime             time.Time // zero until it has ended
	CurrentPlayerSessionCount   int       // slots taken: RESERVED before their deadline, or ACTIVE
	MaximumPlayerSessionCount   int
	PlayerSessionCreationPolicy PlayerSessionCreationPolicy
	ProtectionPolicy            ProtectionPolicy
	GameProperties              map[string]string
	GameSessionData             string
	CreatorID                   string
	Location                    string
	ComputeName                 string
	IPAddress                   string
	DNSName                     string
	Port                        int
}

// GameSessionStatus is the state of a game session.
type GameSessionStatus string

// The states of a game session. Slots can be reserved while it is ACTIVE.
const (
	GameSessionActivating  GameSessionStatus = "ACTIVATING"
	GameSessionActive      GameSessionStatus = "ACTIVE"
	GameSessionTerminating GameSessionStatus = "TERMINATING"
	GameSessionTerminated  GameSessionStatus = "TERMINATED"
	GameSessionError       GameSessionStatus = "ERROR"
)

// GameSessionStatusReason says why a game session ended.
type GameSessionStatusReason string

// The reasons why a game session ended.
const (
	Interrupted                 GameSessionStatusReason = "INTERRUPTED"
	TriggeredOnProcessTerminate GameSessionStatusReason = "TRIGGERED_ON_PROCESS_TERMINATE"
	ForceTerminated             GameSessionStatusReason = "FORCE_TERMINATED"
)

// PlayerSessionCreationPolicy says whether a game session takes new players.
type PlayerSessionCreationPolicy string

// The player session creation policies.
const (
	AcceptAll PlayerSessionCreationPolicy = "ACCEPT_ALL"
	DenyAll   PlayerSessionCreationPolicy = "DENY_ALL"
)

// ProtectionPolicy says whether a game session is protected from being ended by scaling.
type ProtectionPolicy string

// The protection policies.
const (
	NoProtection   ProtectionPolicy = "NoProtection"
	FullProtection ProtectionPolicy = "FullProtection"
)

const (
	maxGameProperties = 16
	// The ports that game sessions are given when no server process names its own.
	firstPort, lastPort = 10000, 59999
)

// CreateGameSessionInput says what game session to create.
type CreateGameSessionInput struct {
	FleetID                   FleetID // id or ARN; this or AliasID
	AliasID                   AliasID // id or ARN
	Location                  string  // one of the fleet's; empty: any
	MaximumPlayerSessionCount int
	Name                      string
	GameProperties            map[string]string
	GameSessionData           string
	CreatorID                 string
	// GameSessionID and IdempotencyToken end the new id, the former first; empty: a random one does.
	GameSessionID    string
	IdempotencyToken string
	RetryToken       string // as in CreatePlayerSessionInput; of use when neither id nor token is given
}

// CreateGameSession creates a game session on an idle server process of the fleet. It is ACTIVATING until the process activates it, and
// in ERROR if that takes longer than the activation timeout. Where auto-activation is on and the fleet has no server processes at all, the
// game session is ACTIVE at once on one of the fleet's computes. With a GameSessionID or IdempotencyToken that is
// there already, made with the same parameters, it answers with that game session as it is now.
//
// It fails with ErrInvalidRequest, ErrNotFound (the fleet or alias), ErrTerminalRoutingStrategy, ErrInvalidFleetStatus,
// ErrFleetCapacityExceeded when nothing can host the game session, ErrLimitExceeded when its creator has created as many in the
// period as the fleet allows, or ErrIdempotentParameterMismatch when the id is there with other parameters.
func (a *Allocator) CreateGameSession(ctx context.Context, in CreateGameSessionInput) (*GameSession, error) {
	return a.createGameSession(ctx, in, "")
}

// createGameSession is CreateGameSession for callers, and for the try of a placement for which the game session is then kept: only
// that may reserve in it, until openGameSession. Placements have no creator whose limit could be reached.
func (a *Allocator) createGameSession(ctx context.Context, in CreateGameSessionInput, keptFor string) (*GameSession, error) {
	if err := a.checkMaximum(in.MaximumPlayerSessionCount); err != nil {
		return nil, err
	}
	if len(in.GameProperties) > maxGameProperties {
		return nil, failure(ErrInvalidRequest, "GameProperties has %d members; give %d at most", len(in.GameProperties), maxGameProperties)
	}
	fleet, err := a.resolve(ctx, in.FleetID, in.AliasID)
	if err != nil {
		return nil, err
	}
	id := cmp.Or(in.GameSessionID, in.IdempotencyToken)
	if id == "" {
		id = "gsess-" + a.deriveUUID("game session", retryToken(in.RetryToken), string(fleet), in.Location).String()
	}
	if err := checkName("GameSessionId", id); err != nil {
		return nil, err
	}
	game, parameters := gameSessionRefOf(fleet, id), a.parameters(fleet, in)
	host, err := a.chooseHost(ctx, fleet, in.Location)
	if err != nil {
		return a.createdBefore(ctx, game, parameters, err)
	}
	limited := keptFor == "" && host.limit.GameSessionsPerCreator > 0 && host.limit.PeriodMinutes > 0
	if limited || host.hasProcesses { // a game session that is there already is not counted again, and has its process
		known, err := a.knownParameters(ctx, game)
		if err != nil {
			return nil, err
		}
		if known != "" {
			return a.createdBefore(ctx, game, parameters, a.parametersDiffer(fleet, id))
		}
	}
	if host.hasProcesses {
		if err := a.claimHost(ctx, &host, fleet, game, id); err != nil {
			return a.createdBefore(ctx, game, parameters, err)
		}
	}
	if limited {
		if err := a.limitCreator(ctx, fleet, game, in.CreatorID, host.limit); err != nil {
			a.releaseHost(ctx, host)
			return a.createdBefore(ctx, game, parameters, err)
		}
	}
	args := append([]any{game.text, parameters, host.activation.Milliseconds()}, pairs(
		"fleet", string(fleet),
		"id", id,
		"name", in.Name,
		"policy", string(AcceptAll),
		"kept_for", keptFor,
		"max", strconv.Itoa(in.MaximumPlayerSessionCount),
		"protection", host.protection,
		"creator", in.CreatorID,
		"data", in.GameSessionData,
		"location", host.location,
		"compute", host.compute,
		"ip", host.ip,
		"dns", host.dns,
		"port", cmp.Or(host.port, strconv.Itoa(portOf(game))),
		"process", host.process.host(),
	)...)
	args = append(args, properties(in.GameProperties)...)
	reply, err := a.run(ctx, createGameSessionScript, []string{
		gameSessionKey(game), fleetGameSessionsKey(game.partition, fleet), liveGameSessionsKey(game.partition, fleet), deadlinesKey(game.partition),
	}, args...)
	if err != nil {
		if errors.Is(err, ErrStoreUnavailable) { // surely nothing was created
			a.releaseHost(ctx, host)
			if limited {
				a.forgetCreation(ctx, fleet, game, in.CreatorID)
			}
		}
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		created := a.gameSession(int(reply.int(2)), reply.list(3).record())
		if err := a.recheckFleet(ctx, fleet, created.ID); err != nil || host.process.text == "" {
			return created, err
		}
		a.nudge(ctx, host.instance, host.process.ref)
		if ended, err := a.endUnhosted(ctx, host.process, game); err != nil || !ended {
			return created, err
		}
		return a.existing(ctx, game, host)
	case "EXISTS":
		return a.existing(ctx, game, host)
	case "MISMATCH":
		a.releaseHost(ctx, host)
		return nil, a.parametersDiffer(fleet, id)
	}
	return nil, createGameSessionScript.unexpected(reply)
}

// existing reads a game session that is there already, and gives up the server process that was claimed for it if it runs on another: it
// may be that this very call has created it, and was not answered.
func (a *Allocator) existing(ctx context.Context, game ref, h host) (*GameSession, error) {
	found, on, err := a.readHosted(ctx, game)
	if err != nil {
		return nil, err
	}
	if on != h.process.host() {
		a.releaseHost(ctx, h)
	}
	if found == nil {
		return nil, failure(ErrNotFound, "the game session was deleted just now; its retention is over")
	}
	return found, nil
}

// createdBefore answers a call that nothing can host any more with what an earlier call with the same parameters has created,
// or with the refusal when there is none.
func (a *Allocator) createdBefore(ctx context.Context, game ref, parameters string, refusal error) (*GameSession, error) {
	known, err := a.knownParameters(ctx, game)
	if err != nil {
		return nil, err
	}
	if known != parameters {
		return nil, refusal
	}
	existing, err := a.readGameSessions(ctx, []ref{game})
	if err != nil || len(existing) == 0 {
		return nil, cmp.Or(err, refusal)
	}
	return &existing[0], nil
}

// knownParameters returns the digest of the parameters with which a game session was created; empty when it is not there.
func (a *Allocator) knownParameters(ctx context.Context, game ref) (string, error) {
	known, err := a.redis.HGet(ctx, gameSessionKey(game), "parameters").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", a.failed(err, 0)
	}
	return known, nil
}

func (a *Allocator) parametersDiffer(fleet FleetID, id string) error {
	return failure(ErrIdempotentParameterMismatch, "game session %s was created with other parameters; use another id or idempotency token", a.gameSessionID(fleet, id))
}

// limitCreator counts a new game session against what its creator may create.
func (a *Allocator) limitCreator(ctx context.Context, fleet FleetID, game ref, creator string, limit CreationLimit) error {
	if creator == "" {
		return failure(ErrInvalidRequest, "CreatorId is missing; the ResourceCreationLimitPolicy of fleet %s counts the game sessions of each creator", fleet)
	}
	reply, err := a.run(ctx, limitGameSessionsScript, []string{creatorKey(fleet, creator), creatorsKey(fleet), fleetKey(fleet)},
		game.text, creator, limit.GameSessionsPerCreator, (time.Duration(limit.PeriodMinutes) * time.Minute).Milliseconds())
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "FLEET_NOT_ACTIVE":
		return failure(ErrInvalidFleetStatus, "fleet %s is being deleted", fleet)
	case "LIMIT":
		return failure(ErrLimitExceeded, "creator %s has created %d game sessions in fleet %s within %d minutes, as many as the fleet's ResourceCreationLimitPolicy allows; wait, or change the policy with UpdateFleetAttributes",
			creator, limit.GameSessionsPerCreator, fleet, limit.PeriodMinutes)
	}
	return limitGameSessionsScript.unexpected(reply)
}

// forgetCreation takes back what limitCreator has counted. Should it fail, the creator may create one less in the period.
func (a *Allocator) forgetCreation(ctx context.Context, fleet FleetID, game ref, creator string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout) // the creator may have gone
	defer cancel()
	a.logged(ctx, "taking back a creation", "it counts towards the limit of its creator", a.redis.ZRem(ctx, creatorKey(fleet, creator), game.text).Err())
}

// recheckFleet ends a game session that has just been created in a fleet that somebody began to delete meanwhile: one of the
// two, the creator or the deleter, always sees the other. Should the creator not get to it, a sweep does.
func (a *Allocator) recheckFleet(ctx context.Context, fleet FleetID, game GameSessionID) error {
	status, err := a.fleetStatus(ctx, fleet)
	if err != nil || status == FleetActive {
		return err
	}
	if _, err := a.TerminateGameSession(ctx, TerminateGameSessionInput{GameSessionID: game, Mode: ForceTerminate}); err != nil {
		return partly(err)
	}
	return failure(ErrInvalidFleetStatus, "fleet %s is being deleted", fleet)
}

// fleetStatus reads the status of a fleet; empty if there is none. It is for callers who have changed something before.
func (a *Allocator) fleetStatus(ctx context.Context, fleet FleetID) (FleetStatus, error) {
	status, err := a.redis.HGet(ctx, fleetKey(fleet), "status").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", a.failed(err, 1)
	}
	return FleetStatus(status), nil
}

// openGameSession lets players into a game session that was kept for the try of a placement.
func (a *Allocator) openGameSession(ctx context.Context, game ref, keptFor string) error {
	_, err := a.run(ctx, openGameSessionScript, []string{gameSessionKey(game)}, keptFor)
	return err
}

// parameters digests what a game session was asked for, to tell a repeated call from another one with the same id.
func (a *Allocator) parameters(fleet FleetID, in CreateGameSessionInput) string {
	parts := []string{
		"parameters", string(fleet), in.Location, strconv.Itoa(in.MaximumPlayerSessionCount), in.Name, in.GameSessionData, in.CreatorID,
	}
	for _, key := range slices.Sorted(maps.Keys(in.GameProperties)) {
		parts = append(parts, key, in.GameProperties[key])
	}
	return a.shorten(parts...)
}

func properties(of map[string]string) []any {
	var args []any
	for key, value := range of {
		args = append(args, propertyPrefix+key, value)
	}
	return args
}

// propertyPrefix begins the fields of a game session's record that are game properties.
const propertyPrefix = "property:"

// portOf gives a game session a port that stays the same and is seldom another's.
func portOf(game ref) int {
	id := game.uuid()
	return firstPort + int(uint16(id[1])<<8|uint16(id[2]))%(lastPort-firstPort+1)
}

func (a *Allocator) checkMaximum(count int) error {
	if count < 0 || count > a.maxPlayerSessions {
		return failure(ErrInvalidRequest, "MaximumPlayerSessionCount is %d; it must be 0 to %d (--max-player-sessions)", count, a.maxPlayerSessions)
	}
	return nil
}

// UpdateGameSessionInput says what to change. What is nil stays as it is.
type UpdateGameSessionInput struct {
	GameSessionID               GameSessionID
	MaximumPlayerSessionCount   *int
	Name                        *string
	PlayerSessionCreationPolicy *PlayerSessionCreationPolicy
	ProtectionPolicy            *ProtectionPolicy
	GameProperties              map[string]string // added or changed; those that are not named stay
}

// UpdateGameSession changes settings of a game session, and tells its server process of a new maximum, name or property. A maximum below
// the count of taken slots evicts nobody: it lets no one in until enough have left.
//
// It fails with ErrInvalidRequest, ErrNotFound, or ErrInvalidGameSessionStatus when the game session has ended.
func (a *Allocator) UpdateGameSession(ctx context.Context, in UpdateGameSessionInput) (*GameSession, error) {
	game, ok := a.gameSessionRef(in.GameSessionID)
	if !ok {
		return nil, a.gameSessionNotFound(in.GameSessionID)
	}
	args := []any{maxGameProperties}
	if in.MaximumPlayerSessionCount != nil {
		if err := a.checkMaximum(*in.MaximumPlayerSessionCount); err != nil {
			return nil, err
		}
		args = append(args, "max", *in.MaximumPlayerSessionCount)
	}
	if in.Name != nil {
		args = append(args, "name", *in.Name)
	}
	if in.PlayerSessionCreationPolicy != nil {
		policy := *in.PlayerSessionCreationPolicy
		if policy != AcceptAll && policy != DenyAll {
			return nil, failure(ErrInvalidRequest, "PlayerSessionCreationPolicy is %q; it must be ACCEPT_ALL or DENY_ALL", policy)
		}
		args = append(args, "policy", string(policy))
	}
	if in.ProtectionPolicy != nil {
		policy := *in.ProtectionPolicy
		if policy != NoProtection && policy != FullProtection {
			return nil, failure(ErrInvalidRequest, "ProtectionPolicy is %q; it must be NoProtection or FullProtection", policy)
		}
		args = append(args, "protection", string(policy))
	}
	args = append(args, properties(in.GameProperties)...)
	reply, err := a.run(ctx, updateGameSessionScript, []string{gameSessionKey(game), playerSessionsKey(game)}, args...)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		stored := reply.list(3).record()
		updated := a.gameSession(int(reply.int(2)), stored)
		told := in.Name != nil || in.MaximumPlayerSessionCount != nil || len(in.GameProperties) > 0
		if on, hosted := hostOf(stored); hosted && told && stored["revision"] != "" { // without one nothing was ever changed
			err = partly(a.tellOfUpdate(ctx, on, game, stored["revision"]))
		}
		return updated, err
	case "GAME_SESSION_NOT_FOUND":
		return nil, a.gameSessionNotFound(in.GameSessionID)
	case "ENDED":
		return nil, failure(ErrInvalidGameSessionStatus, "game session %s is %s and can no longer be changed", in.GameSessionID, reply.text(1))
	case "TOO_MANY_PROPERTIES":
		return nil, failure(ErrInvalidRequest, "game session %s would have %s game properties; it may have %d at most, and an update deletes none",
			in.GameSessionID, reply.text(1), maxGameProperties)
	}
	return nil, updateGameSessionScript.unexpected(reply)
}

// DescribeGameSessionsInput says which game sessions to read: give either the game session or the fleet.
type DescribeGameSessionsInput struct {
	GameSessionID GameSessionID // this one; the other members play no part
	FleetID       FleetID       // all of a fleet; id or ARN
	AliasID       AliasID       // all of the fleet to which an alias leads; id or ARN
	Location      string        // of the fleet, those at this location
	StatusFilter  GameSessionStatus
	Limit         int // how many at most, up to 100; 0 is 50
	NextToken     string
}

// DescribeGameSessionsOutput is one page of game sessions.
type DescribeGameSessionsOutput struct {
	GameSessions []GameSession // oldest first
	NextToken    string        // empty on the last page
}

// DescribeGameSessions reads game sessions. By fleet a page asks each of the store's partitions, in one round trip a shard,
// and again for each hundred game sessions that the filters pass over.
//
// It fails with ErrInvalidRequest, ErrNotFound (the game session, fleet or alias) or ErrTerminalRoutingStrategy.
func (a *Allocator) DescribeGameSessions(ctx context.Context, in DescribeGameSessionsInput) (*DescribeGameSessionsOutput, error) {
	if in.GameSessionID != "" {
		if in.FleetID != "" || in.AliasID != "" {
			return nil, failure(ErrInvalidRequest, "GameSessionId is given with FleetId or AliasId; give one")
		}
		return a.describeGameSession(ctx, in.GameSessionID)
	}
	statuses := []GameSessionStatus{"", GameSessionActive, GameSessionActivating, GameSessionTerminating, GameSessionTerminated, GameSessionError}
	if !slices.Contains(statuses, in.StatusFilter) {
		return nil, failure(ErrInvalidRequest, "StatusFilter is %q; it must be ACTIVE, ACTIVATING, TERMINATING, TERMINATED or ERROR", in.StatusFilter)
	}
	fleet, err := a.resolve(ctx, in.FleetID, in.AliasID)
	if err != nil {
		return nil, err
	}
	if exists, err := a.exists(ctx, fleetKey(fleet)); err != nil || !exists {
		return nil, cmp.Or(err, fleetNotFound(fleet))
	}
	var keep func(GameSession) bool
	if in.StatusFilter != "" || in.Location != "" {
		keep = func(s GameSession) bool {
			return (in.StatusFilter == "" || s.Status == in.StatusFilter) && (in.Location == "" || s.Location == in.Location)
		}
	}
	list := a.everyPartition(func(p partition) string { return fleetGameSessionsKey(p, fleet) })
	scope := []string{"DescribeGameSessions", string(fleet), in.Location, string(in.StatusFilter)}
	games, next, err := page(ctx, a, pageRequest{limit: in.Limit, token: in.NextToken, scope: scope}, list, readRefs(a.readGameSessions), keep)
	if err != nil {
		return nil, err
	}
	return &DescribeGameSessionsOutput{GameSessions: games, NextToken: next}, nil
}

func (a *Allocator) describeGameSession(ctx context.Context, id GameSessionID) (*DescribeGameSessionsOutput, error) {
	game, ok := a.gameSessionRef(id)
	if !ok {
		return nil, a.gameSessionNotFound(id)
	}
	games, err := a.readGameSessions(ctx, []ref{game})
	if err != nil {
		return nil, err
	}
	if len(games) == 0 {
		return nil, a.gameSessionNotFound(id)
	}
	return &DescribeGameSessionsOutput{GameSessions: games}, nil
}

// readGameSessions reads game sessions in the order of their refs, leaving out those that are gone.
func (a *Allocator) readGameSessions(ctx context.Context, games []ref) ([]GameSession, error) {
	sessions := make([]GameSession, 0, len(games))
	err := a.eachGameSession(ctx, games, math.MaxInt32, func(game GameSession, _ record) { sessions = append(sessions, game) })
	return sessions, err
}

// eachGameSession reads game sessions in the order of their refs, and passes on each that is there, with its record. Game session
// data of more than longest bytes is left out.
func (a *Allocator) eachGameSession(ctx context.Context, games []ref, longest int, do func(GameSession, record)) error {
	calls, order := callsByPartition(games, func(game ref) []string { return []string{gameSessionKey(game), playerSessionsKey(game)} })
	for i := range calls {
		calls[i].args = []any{longest}
	}
	replies, err := a.runAll(ctx, describeGameSessionsScript, calls)
	if err != nil {
		return err
	}
	for i := range games {
		reply := replies[order[i].call]
		if stored := reply.list(3 + 2*order[i].index).record(); len(stored) > 0 {
			do(*a.gameSession(int(reply.int(2+2*order[i].index)), stored), stored)
		}
	}
	return nil
}

func (a *Allocator) gameSession(count int, stored record) *GameSession {
	fleet, policy := FleetID(stored["fleet"]), PlayerSessionCreationPolicy(stored["policy"])
	if stored["kept_for"] != "" { // nobody else gets in yet
		policy = DenyAll
	}
	return &GameSession{
		ID:                          a.gameSessionID(fleet, stored["id"]),
		Name:                        stored["name"],
		FleetID:                     fleet,
		FleetARN:                    a.arn("fleet/" + string(fleet)),
		Status:                      GameSessionStatus(stored["status"]),
		StatusReason:                GameSessionStatusReason(stored["reason"]),
		CreationTime:                stored.time("created"),
		TerminationTime:             stored.time("ended"),
		CurrentPlayerSessionCount:   count,
		MaximumPlayerSessionCount:   stored.int("max"),
		PlayerSessionCreationPolicy: policy,
		ProtectionPolicy:            ProtectionPolicy(stored["protection"]),
		GameProperties:              stored.properties(),
		GameSessionData:             stored["data"],
		CreatorID:                   stored["creator"],
		Location:                    stored["location"],
		ComputeName:                 stored["compute"],
		IPAddress:                   stored["ip"],
		DNSName:                     stored["dns"],
		Port:                        stored.int("port"),
	}
}

func (s GameSession) cursor() cursor {
	_, id, _ := strings.Cut(string(s.ID), "gamesession/"+string(s.FleetID)+"/")
	return cursor{s.CreationTime.UnixMilli(), gameSessionRefOf(s.FleetID, id).text}
}

func (a *Allocator) gameSessionNotFound(id GameSessionID) error {
	if !strings.HasPrefix(string(id), a.arn("gamesession/")) {
		return failure(ErrNotFound, "there is no game session %s; game session ids here begin with %s", id, a.arn("gamesession/"))
	}
	return failure(ErrNotFound, "there is no game session %s", id)
}

// gameFactNames are the fields by which it is decided what becomes of a game session.
var gameFactNames = []string{"status", "fleet", "id", "kept_for", "end_by", "activate_by", "process", "location", "unsettled"}

// host is where a new game session runs.
type host struct {
	compute, location, ip, dns string
	protection                 string // the fleet's policy for new game sessions
	limit                      CreationLimit
	hasProcesses               bool     // the fleet has server processes, of which one is to be claimed
	locations                  []string // of the fleet, where it may be

	// Of the server process that was claimed.

	process    process
	claim      string
	instance   string // that it is connected to
	port       string
	activation time.Duration // that it may take
}

// chooseHost sees whether the fleet has server processes, and picks one of its computes at random if it has none, at the location if one
// is given.
func (a *Allocator) chooseHost(ctx context.Context, fleet FleetID, location string) (host, error) {
	var stored *redis.SliceCmd
	var atLocation *redis.FloatCmd
	var computes, locations *redis.StringSliceCmd
	var processes *redis.IntCmd
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		stored = pipe.HMGet(ctx, fleetKey(fleet), "status", "protection", "limit", "limit_minutes")
		if location != "" {
			atLocation = pipe.ZScore(ctx, fleetLocationsKey(fleet), location)
		}
		computes = pipe.ZRandMember(ctx, computesKey(fleet, location), 1)
		locations = pipe.ZRange(ctx, fleetLocationsKey(fleet), 0, -1)
		processes = pipe.ZCard(ctx, serverProcessesKey(fleet))
	})
	if err != nil {
		return host{}, err
	}
	fleetFields := fields(stored.Val())
	if fleetFields.text(0) == "" {
		return host{}, fleetNotFound(fleet)
	}
	if status := FleetStatus(fleetFields.text(0)); status != FleetActive {
		return host{}, failure(ErrInvalidFleetStatus, "fleet %s is %s and takes no game sessions", fleet, status)
	}
	if atLocation != nil && errors.Is(atLocation.Err(), redis.Nil) {
		return host{}, failure(ErrInvalidRequest, "Location %s is not a location of fleet %s", location, fleet)
	}
	chosen := host{protection: fleetFields.text(1), limit: CreationLimit{int(fleetFields.int(2)), int(fleetFields.int(3))}}
	if processes.Val() > 0 {
		chosen.hasProcesses, chosen.locations = true, locations.Val()
		if location != "" {
			chosen.locations = []string{location}
		}
		return chosen, nil
	}
	if !a.autoActivate {
		return host{}, failure(ErrFleetCapacityExceeded, "fleet %s has no server process to host the game session; start a game server, or turn auto-activation on (--auto-activate) to have game sessions without", fleet)
	}
	where := "in fleet " + string(fleet)
	if location != "" {
		where += " at " + location
	}
	if len(computes.Val()) == 0 {
		return host{}, failure(ErrFleetCapacityExceeded, "there is no compute %s to host the game session; call RegisterCompute first", where)
	}
	name := computes.Val()[0]
	compute, err := a.redis.HGetAll(ctx, computeKey(fleet, name)).Result()
	if err != nil {
		return host{}, a.failed(err, 0)
	}
	if len(compute) == 0 {
		return host{}, failure(ErrFleetCapacityExceeded, "compute %s has just left; try again", name)
	}
	chosen.compute, chosen.location, chosen.ip, chosen.dns = name, compute["location"], compute["ip"], compute["dns"]
	return chosen, nil
}

// claimHost claims an idle server process for a game session, which ends its ARN with the id. It fails with ErrFleetCapacityExceeded.
func (a *Allocator) claimHost(ctx context.Context, h *host, fleet FleetID, game ref, id string) error {
	claimed, stored, err := a.claimServerProcess(ctx, fleet, h.locations, game, id)
	if err != nil {
		return err
	}
	h.process, h.claim, h.instance, h.port, h.activation = claimed, stored["claim"], stored["instance"], stored["port"], a.activationTimeout
	h.compute, h.location, h.ip, h.dns = stored["compute"], stored["location"], stored["ip"], stored["dns"]
	return nil
}

// releaseHost takes back what claimHost did, if anything.
func (a *Allocator) releaseHost(ctx context.Context, h host) {
	if h.process.text != "" {
		a.releaseServerProcess(ctx, h.process, h.claim)
	}
}

// failGameSession gives up a game session that was not activated in time, and its server process. Should that not be told, its review sees
// to it.
func (a *Allocator) failGameSession(ctx context.Context, game ref, on process) error {
	reply, err := a.run(ctx, failGameSessionScript, []string{
		gameSessionKey(game), liveGameSessionsKey(game.partition, on.fleet), deadlinesKey(game.partition), endedGamesKey(game.partition),
	}, game.text)
	if err != nil || reply.text(0) != "OK" {
		return err
	}
	_, err = a.tellToTerminate(ctx, on, game.text)
	return err
}
