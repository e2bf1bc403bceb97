package allocator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// PlayerSession is a player's claim to one slot of a game session.
type PlayerSession struct {
	ID              PlayerSessionID
	PlayerID        string
	PlayerData      string // as the caller gave it; empty for none
	GameSessionID   GameSessionID
	FleetID         FleetID
	FleetARN        string
	Status          PlayerSessionStatus
	CreationTime    time.Time
	TerminationTime time.Time // zero while the session is RESERVED or ACTIVE; of a TIMEDOUT one, its deadline
	IPAddress       string    // where the game session runs
	DNSName         string
	Port            int
}

// PlayerSessionStatus is the state of a player session.
type PlayerSessionStatus string

// The states of a player session. RESERVED and ACTIVE hold a slot; the other two are final.
const (
	PlayerSessionReserved  PlayerSessionStatus = "RESERVED"
	PlayerSessionActive    PlayerSessionStatus = "ACTIVE"
	PlayerSessionCompleted PlayerSessionStatus = "COMPLETED"
	PlayerSessionTimedOut  PlayerSessionStatus = "TIMEDOUT"
)

// maxGroup is how many players one CreatePlayerSessions takes.
const maxGroup = 25

// CreatePlayerSessionInput says for whom to reserve a slot and where.
type CreatePlayerSessionInput struct {
	GameSessionID GameSessionID
	PlayerID      string
	PlayerData    string // optional
	// RetryToken names this call: the same call with the same token reserves once and answers the same, however often it
	// is made. Empty: a call of its own.
	RetryToken string
}

// CreatePlayerSession reserves a slot: the new player session is RESERVED until a game server accepts it or the
// reservation timeout passes. It needs a game session that is ACTIVE and accepts all. A player may reserve any number of
// slots.
//
// The fleet in the game session's id may be an alias.
//
// It fails with ErrInvalidRequest, ErrNotFound (the game session or alias), ErrTerminalRoutingStrategy,
// ErrInvalidGameSessionStatus or ErrGameSessionFull.
func (a *Allocator) CreatePlayerSession(ctx context.Context, in CreatePlayerSessionInput) (*PlayerSession, error) {
	if in.PlayerID == "" {
		return nil, failure(ErrInvalidRequest, "PlayerId is empty; give the id of the player")
	}
	var err error
	if in.GameSessionID, err = a.throughAlias(ctx, in.GameSessionID); err != nil {
		return nil, err
	}
	game, ok := a.gameSessionRef(in.GameSessionID)
	if !ok {
		return nil, a.gameSessionNotFound(in.GameSessionID)
	}
	player := a.reservationRef(retryToken(in.RetryToken), game, in.PlayerID)
	facts, _ := a.facts.Get(game)
	reply, err := a.run(ctx, createPlayerSessionScript, []string{
		gameSessionKey(game), playerSessionsKey(game), deadlinesKey(game.partition),
		playerSessionKey(player), ttlKey(player), playerKey(game.partition, in.PlayerID),
	}, game.text, player.text, in.PlayerID, in.PlayerData, a.reservationTimeout.Milliseconds(), facts.created)
	if err != nil {
		return nil, err
	}
	if reply.text(0) != "OK" {
		return nil, a.notReserved(createPlayerSessionScript, in.GameSessionID, 1, reply)
	}
	facts = a.learned(game, facts, reply.list(2))
	s, err := a.reserved(player, reply.list(3), in.PlayerID, in.PlayerData, facts, reply.int(1))
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// learned returns the facts of a game session, given those that were known before a script was run and those that it replied:
// none if it found that they are known.
func (a *Allocator) learned(game ref, known gameFacts, replied fields) gameFacts {
	if len(replied) == 0 {
		return known
	}
	facts := a.gameFacts(replied)
	a.facts.Add(game, facts)
	return facts
}

// reserved is a player session that a script has just made at a time, or has found as stored. It fails with ErrInternal when the
// script found it listed and its record is gone, as after an eviction.
func (a *Allocator) reserved(r ref, stored fields, playerID, playerData string, game gameFacts, now int64) (PlayerSession, error) {
	switch {
	case len(stored) == 0:
	case stored.text(0) == "":
		return PlayerSession{}, failure(ErrInternal, "game session %s lists player session %s, whose record is gone; run berth check --repair", game.id, playerSessionID(r))
	default:
		return a.playerSession(r, stored, game, now), nil
	}
	s := game.playerSession(r)
	s.PlayerID, s.PlayerData = playerID, playerData
	s.Status, s.CreationTime = PlayerSessionReserved, timeOf(now)
	return s, nil
}

// CreatePlayerSessionsInput says for which players to reserve slots in one game session.
type CreatePlayerSessionsInput struct {
	GameSessionID GameSessionID
	PlayerIDs     []string          // 1 to 25, each once
	PlayerDataMap map[string]string // player id to data; optional; others than those in PlayerIDs play no part
	RetryToken    string            // as in CreatePlayerSessionInput
}

// CreatePlayerSessions reserves a slot for each player, or for none of them when there is not room for all. The rules
// and errors are those of CreatePlayerSession.
func (a *Allocator) CreatePlayerSessions(ctx context.Context, in CreatePlayerSessionsInput) ([]PlayerSession, error) {
	return a.reserveGroup(ctx, in, "", "")
}

// sealLife is how long a refusal is sealed: longer than any attempt of a call can be under way.
const sealLife = 10 * time.Minute

// reserveGroup is CreatePlayerSessions. With a digest of the call, a refusal is final: slower attempts of the same call are refused
// there, too. keptFor is the try of a placement for which the game session may be kept.
func (a *Allocator) reserveGroup(ctx context.Context, in CreatePlayerSessionsInput, digest, keptFor string) ([]PlayerSession, error) {
	err := in.validate()
	if err == nil {
		in.GameSessionID, err = a.throughAlias(ctx, in.GameSessionID)
	}
	if err != nil {
		return nil, err
	}
	game, ok := a.gameSessionRef(in.GameSessionID)
	if !ok {
		return nil, a.gameSessionNotFound(in.GameSessionID)
	}
	token := retryToken(in.RetryToken)
	facts, _ := a.facts.Get(game)
	keys := []string{gameSessionKey(game), playerSessionsKey(game), deadlinesKey(game.partition), sealKey(game, digest)}
	seal := int64(0)
	if digest != "" {
		seal = sealLife.Milliseconds()
	}
	args := []any{game.text, a.reservationTimeout.Milliseconds(), seal, keptFor, facts.created}
	players := make([]ref, len(in.PlayerIDs))
	for i, playerID := range in.PlayerIDs {
		players[i] = a.reservationRef(token, game, playerID)
		keys = append(keys, playerSessionKey(players[i]), ttlKey(players[i]), playerKey(game.partition, playerID))
		args = append(args, players[i].text, playerID, in.PlayerDataMap[playerID])
	}
	reply, err := a.run(ctx, createPlayerSessionsScript, keys, args...)
	if err != nil {
		return nil, err
	}
	if reply.text(0) != "OK" {
		return nil, a.notReserved(createPlayerSessionsScript, in.GameSessionID, len(in.PlayerIDs), reply)
	}
	facts = a.learned(game, facts, reply.list(2))
	sessions := make([]PlayerSession, len(players))
	for i, player := range players {
		playerID := in.PlayerIDs[i]
		if sessions[i], err = a.reserved(player, reply.list(3+i), playerID, in.PlayerDataMap[playerID], facts, reply.int(1)); err != nil {
			return nil, err
		}
	}
	return sessions, nil
}

func (in CreatePlayerSessionsInput) validate() error {
	if len(in.PlayerIDs) == 0 || len(in.PlayerIDs) > maxGroup {
		return failure(ErrInvalidRequest, "PlayerIds has %d members; give 1 to %d", len(in.PlayerIDs), maxGroup)
	}
	seen := make(map[string]bool, len(in.PlayerIDs))
	for _, playerID := range in.PlayerIDs {
		if playerID == "" {
			return failure(ErrInvalidRequest, "PlayerIds has an empty member; give the id of each player")
		}
		if seen[playerID] {
			return failure(ErrInvalidRequest, "PlayerIds has %q twice; give each player once", playerID)
		}
		seen[playerID] = true
	}
	return nil
}

// notReserved is the error for a reply of the reserving scripts that is not OK.
func (a *Allocator) notReserved(s script, id GameSessionID, players int, reply fields) error {
	switch reply.text(0) {
	case "GAME_SESSION_NOT_FOUND":
		return a.gameSessionNotFound(id)
	case "NOT_ACTIVE":
		return failure(ErrInvalidGameSessionStatus, "game session %s is %s; slots can be reserved only while it is ACTIVE", id, reply.text(1))
	case "DENIED":
		return failure(ErrInvalidGameSessionStatus, "game session %s has the player session creation policy DENY_ALL; set it to ACCEPT_ALL to let players in", id)
	case "SEALED":
		return failure(ErrGameSessionFull, "game session %s had no room for an earlier attempt of this call", id)
	case "FULL":
		room := "no room"
		if players > 1 {
			room += fmt.Sprintf(" for %d players", players)
		}
		return failure(ErrGameSessionFull, "game session %s has %s: %s of its %s slots are taken", id, room, reply.text(2), reply.text(1))
	}
	return s.unexpected(reply)
}

// AcceptPlayerSessionInput names the player session that a connected player presented.
type AcceptPlayerSessionInput struct {
	GameSessionID   GameSessionID
	PlayerSessionID PlayerSessionID
	RetryToken      string // as in CreatePlayerSessionInput
}

// AcceptPlayerSession makes a RESERVED player session ACTIVE: the player has connected and keeps the slot until
// RemovePlayerSession. A player session is accepted once.
//
// It fails with ErrNotFound, or with ErrInvalidPlayerSessionStatus when the player session is not RESERVED or is past its
// deadline.
func (a *Allocator) AcceptPlayerSession(ctx context.Context, in AcceptPlayerSessionInput) error {
	game, player, err := a.playerSessionOf(in.GameSessionID, in.PlayerSessionID)
	if err != nil {
		return err
	}
	reply, err := a.run(ctx, acceptPlayerSessionScript, []string{
		gameSessionKey(game), playerSessionsKey(game), playerSessionKey(player), ttlKey(player),
	}, game.text, player.text, a.shorten("accept", retryToken(in.RetryToken)))
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "NOT_RESERVED":
		return notInStatus(in.PlayerSessionID, "accept", PlayerSessionReserved, reply)
	}
	return a.notFoundBy(acceptPlayerSessionScript, in.GameSessionID, in.PlayerSessionID, reply)
}

// RemovePlayerSessionInput names the player session of a player who has left.
type RemovePlayerSessionInput struct {
	GameSessionID   GameSessionID
	PlayerSessionID PlayerSessionID
	RetryToken      string // as in CreatePlayerSessionInput
}

// RemovePlayerSession makes an ACTIVE player session COMPLETED: the player has left and the slot is free.
//
// It fails with ErrNotFound, or with ErrInvalidPlayerSessionStatus when the player session is not ACTIVE.
func (a *Allocator) RemovePlayerSession(ctx context.Context, in RemovePlayerSessionInput) error {
	game, player, err := a.playerSessionOf(in.GameSessionID, in.PlayerSessionID)
	if err != nil {
		return err
	}
	reply, err := a.run(ctx, removePlayerSessionScript, []string{
		gameSessionKey(game), playerSessionsKey(game), playerSessionKey(player), endedKey(player.partition),
	}, game.text, player.text, a.shorten("remove", retryToken(in.RetryToken)))
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "NOT_ACTIVE":
		return notInStatus(in.PlayerSessionID, "remove", PlayerSessionActive, reply)
	}
	return a.notFoundBy(removePlayerSessionScript, in.GameSessionID, in.PlayerSessionID, reply)
}

// playerSessionOf returns where a game session and a player session of it are kept.
func (a *Allocator) playerSessionOf(gameID GameSessionID, playerID PlayerSessionID) (game, player ref, err error) {
	game, ok := a.gameSessionRef(gameID)
	if !ok {
		return game, player, a.gameSessionNotFound(gameID)
	}
	player, ok = playerID.ref()
	if !ok || player.partition != game.partition {
		// A player session lies in the partition of its game session: this one is of another, or of none.
		return game, player, playerSessionNotFound(playerID)
	}
	return game, player, nil
}

func (a *Allocator) notFoundBy(s script, gameID GameSessionID, playerID PlayerSessionID, reply fields) error {
	switch reply.text(0) {
	case "GAME_SESSION_NOT_FOUND":
		return a.gameSessionNotFound(gameID)
	case "PLAYER_SESSION_NOT_FOUND":
		return failure(ErrNotFound, "game session %s has no player session %s", gameID, playerID)
	}
	return s.unexpected(reply)
}

func playerSessionNotFound(id PlayerSessionID) error {
	const longest = 100 // no id of a player session is longer, but callers may present any
	if len(id) > longest {
		id = id[:longest] + "…"
	}
	return failure(ErrNotFound, "there is no player session %s, or it ended longer ago than ended ones are kept", id)
}

// notInStatus is the error for a player session that is in another status than a change of it needs.
func notInStatus(id PlayerSessionID, verb string, needed PlayerSessionStatus, reply fields) error {
	status, ended := PlayerSessionStatus(reply.text(1)), timeOf(reply.int(2))
	switch {
	case status == PlayerSessionTimedOut:
		return failure(ErrInvalidPlayerSessionStatus, "cannot %s player session %s: its reservation timed out at %s; reserve a new one",
			verb, id, ended.Format(time.RFC3339Nano))
	case status == PlayerSessionCompleted:
		return failure(ErrInvalidPlayerSessionStatus, "cannot %s player session %s: it is COMPLETED since %s; a player session is used once, reserve a new one",
			verb, id, ended.Format(time.RFC3339Nano))
	case needed == PlayerSessionReserved:
		return failure(ErrInvalidPlayerSessionStatus, "cannot %s player session %s: it is %s already; a player session is accepted once", verb, id, status)
	}
	return failure(ErrInvalidPlayerSessionStatus, "cannot %s player session %s: it is %s and has not been accepted; an unused reservation times out by itself", verb, id, status)
}

// DescribePlayerSessionsInput says which player sessions to read: give exactly one of the three ids.
type DescribePlayerSessionsInput struct {
	GameSessionID   GameSessionID   // all of a game session
	PlayerID        string          // all of a player, in any game session
	PlayerSessionID PlayerSessionID // this one; Limit and NextToken play no part
	// StatusFilter keeps those of one status. It works with GameSessionID only and is ignored otherwise.
	StatusFilter PlayerSessionStatus
	Limit        int    // how many at most, up to 100; 0 is 50
	NextToken    string // where the page before ended
}

// DescribePlayerSessionsOutput is one page of player sessions.
type DescribePlayerSessionsOutput struct {
	PlayerSessions []PlayerSession // oldest first: of a player altogether, of a game session each page for itself
	NextToken      string          // empty on the last page
}

// DescribePlayerSessions reads player sessions, those that ended among them as long as the retention keeps them.
//
// By player session it costs two commands. By game session a page costs two round trips for each hundred sessions that
// the filter passes over, except that RESERVED and ACTIVE pass over none that has ended, and lists all that hold a slot. By
// player a page asks each of the store's partitions, in one round trip a shard.
//
// It fails with ErrInvalidRequest or ErrNotFound (the game session or player session; a player without sessions has an
// empty list).
func (a *Allocator) DescribePlayerSessions(ctx context.Context, in DescribePlayerSessionsInput) (*DescribePlayerSessionsOutput, error) {
	ids := 0
	for _, id := range []string{string(in.GameSessionID), in.PlayerID, string(in.PlayerSessionID)} {
		if id != "" {
			ids++
		}
	}
	if ids != 1 {
		return nil, failure(ErrInvalidRequest, "%d of GameSessionId, PlayerId and PlayerSessionId are given; give exactly one", ids)
	}
	if in.PlayerSessionID != "" {
		return a.describePlayerSession(ctx, in.PlayerSessionID)
	}
	if in.GameSessionID != "" {
		return a.describeByGameSession(ctx, in)
	}
	return a.describeByPlayer(ctx, in)
}

func (a *Allocator) describePlayerSession(ctx context.Context, id PlayerSessionID) (*DescribePlayerSessionsOutput, error) {
	player, ok := id.ref()
	if !ok {
		return nil, playerSessionNotFound(id)
	}
	sessions, err := a.readPlayerSessions(ctx, []ref{player})
	if err != nil {
		return nil, err
	}
	if len(sessions) == 0 {
		return nil, playerSessionNotFound(id)
	}
	return &DescribePlayerSessionsOutput{PlayerSessions: sessions}, nil
}

func (a *Allocator) describeByGameSession(ctx context.Context, in DescribePlayerSessionsInput) (*DescribePlayerSessionsOutput, error) {
	game, ok := a.gameSessionRef(in.GameSessionID)
	if !ok {
		return nil, a.gameSessionNotFound(in.GameSessionID)
	}
	withEnded := true
	switch in.StatusFilter {
	case "", PlayerSessionCompleted, PlayerSessionTimedOut:
	case PlayerSessionReserved, PlayerSessionActive:
		withEnded = false
	default:
		return nil, failure(ErrInvalidRequest, "PlayerSessionStatusFilter is %q; it must be RESERVED, ACTIVE, COMPLETED or TIMEDOUT", in.StatusFilter)
	}
	scope := []string{"DescribePlayerSessions", "game session", game.text, string(in.StatusFilter)}
	var keep func(PlayerSession) bool
	if in.StatusFilter != "" {
		keep = func(s PlayerSession) bool { return s.Status == in.StatusFilter }
	}
	request := pageRequest{limit: in.Limit, token: in.NextToken, byRef: true, scope: scope}
	sessions, next, err := page(ctx, a, request, a.playerSessionsOf(game, withEnded), readRefs(a.readPlayerSessions), keep)
	if err != nil {
		return nil, err
	}
	if len(sessions) == 0 {
		if exists, err := a.exists(ctx, gameSessionKey(game)); err != nil || !exists {
			return nil, cmp.Or(err, a.gameSessionNotFound(in.GameSessionID))
		}
	}
	slices.SortStableFunc(sessions, func(x, y PlayerSession) int { return x.CreationTime.Compare(y.CreationTime) })
	return &DescribePlayerSessionsOutput{PlayerSessions: sessions, NextToken: next}, nil
}

func (a *Allocator) describeByPlayer(ctx context.Context, in DescribePlayerSessionsInput) (*DescribePlayerSessionsOutput, error) {
	list := a.everyPartition(func(p partition) string { return playerKey(p, in.PlayerID) })
	scope := []string{"DescribePlayerSessions", "player", in.PlayerID}
	sessions, next, err := page(ctx, a, pageRequest{limit: in.Limit, token: in.NextToken, scope: scope}, list, readRefs(a.readPlayerSessions), nil)
	if err != nil {
		return nil, err
	}
	return &DescribePlayerSessionsOutput{PlayerSessions: sessions, NextToken: next}, nil
}

// DescribePlayer reads the player sessions that a player has in the game session that runs on the process, oldest first; none if no game
// session does. Limit and token are those of DescribePlayerSessionsInput. It costs two round trips, and two more for each hundred that the
// player has in other game sessions of the partition.
func (c *ServerProcessConnection) DescribePlayer(ctx context.Context, playerID string, limit int, token string) (*DescribePlayerSessionsOutput, error) {
	hosted, err := c.HostedGameSession(ctx)
	if err != nil {
		return nil, err
	}
	list := func(context.Context, cursor, int) ([]entry, error) { return nil, nil }
	if game, ok := c.a.gameSessionRef(hosted); ok {
		list = c.a.index(game.partition, playerKey(game.partition, playerID))
	}
	request := pageRequest{limit: limit, token: token, scope: []string{"DescribePlayer", string(hosted), playerID}}
	keep := func(s PlayerSession) bool { return s.GameSessionID == hosted }
	sessions, next, err := page(ctx, c.a, request, list, readRefs(c.a.readPlayerSessions), keep)
	if err != nil {
		return nil, err
	}
	return &DescribePlayerSessionsOutput{PlayerSessions: sessions, NextToken: next}, nil
}

// playerSessionsOf lists the player sessions of a game session in the order of their refs, those that have ended if they are wanted.
func (a *Allocator) playerSessionsOf(game ref, withEnded bool) lister {
	return func(ctx context.Context, after cursor, n int) ([]entry, error) {
		ended := n
		if !withEnded {
			ended = 0
		}
		reply, err := a.run(ctx, listPlayerSessionsScript, []string{playerSessionsKey(game)}, after.text, ended)
		if err != nil {
			return nil, err
		}
		var entries []entry
		for _, list := range []fields{reply.list(1), reply.list(2)} {
			for i := range list {
				if e := (entry{ref: ref{game.partition, list.text(i)}}); after.precedes(e) {
					entries = append(entries, e)
				}
			}
		}
		slices.SortFunc(entries, entry.compare)
		return entries[:min(n, len(entries))], nil
	}
}

// readPlayerSessions reads player sessions in the order of their refs, leaving out those that are gone.
func (a *Allocator) readPlayerSessions(ctx context.Context, players []ref) ([]PlayerSession, error) {
	calls, order := callsByPartition(players, func(player ref) []string { return []string{playerSessionKey(player)} })
	replies, err := a.runAll(ctx, describePlayerSessionsScript, calls)
	if err != nil {
		return nil, err
	}
	games := make(map[ref]gameFacts)
	for i, player := range players {
		if record := replies[order[i].call].list(2 + order[i].index); record.text(0) != "" {
			games[ref{player.partition, record.text(0)}] = gameFacts{}
		}
	}
	if err := a.readGameFacts(ctx, games); err != nil {
		return nil, err
	}
	sessions := make([]PlayerSession, 0, len(players))
	for i, player := range players {
		reply := replies[order[i].call]
		if record := reply.list(2 + order[i].index); record.text(0) != "" {
			sessions = append(sessions, a.playerSession(player, record, games[ref{player.partition, record.text(0)}], reply.int(1)))
		}
	}
	return sessions, nil
}

func (s PlayerSession) cursor() cursor {
	r, _ := s.ID.ref()
	return cursor{s.CreationTime.UnixMilli(), r.text}
}

// playerSession builds a player session from the fields that the scripts answer with: game session ref, player id,
// player data, status, creation, deadline, end. now is the store's time at which they were read.
func (a *Allocator) playerSession(r ref, stored fields, game gameFacts, now int64) PlayerSession {
	s := game.playerSession(r)
	s.PlayerID, s.PlayerData = stored.text(1), stored.text(2)
	s.Status = PlayerSessionStatus(stored.text(3))
	s.CreationTime, s.TerminationTime = timeOf(stored.int(4)), timeOf(stored.int(6))
	if deadline := stored.int(5); s.Status == PlayerSessionReserved && deadline <= now {
		s.Status, s.TerminationTime = PlayerSessionTimedOut, timeOf(deadline)
	}
	return s
}

// gameFacts are the facts of a game session that its player sessions carry. They never change while it is ACTIVE or after; a game
// session that is created anew under an id that was purged has another creation.
type gameFacts struct {
	created  string // in ms, as it is stored; empty when nothing is known
	id       GameSessionID
	fleet    FleetID
	fleetARN string
	ip, dns  string
	port     int
}

// playerSession builds what a player session of the game session has of it.
func (f gameFacts) playerSession(r ref) PlayerSession {
	return PlayerSession{
		ID:            playerSessionID(r),
		GameSessionID: f.id,
		FleetID:       f.fleet,
		FleetARN:      f.fleetARN,
		IPAddress:     f.ip,
		DNSName:       f.dns,
		Port:          f.port,
	}
}

// gameFacts reads the fields that the scripts answer with: fleet, id, IP address, DNS name, port, creation.
func (a *Allocator) gameFacts(stored fields) gameFacts {
	fleet := FleetID(stored.text(0))
	return gameFacts{
		created:  stored.text(5),
		id:       a.gameSessionID(fleet, stored.text(1)),
		fleet:    fleet,
		fleetARN: a.arn("fleet/" + string(fleet)),
		ip:       stored.text(2),
		dns:      stored.text(3),
		port:     int(stored.int(4)),
	}
}

// readGameFacts fills in the facts of the game sessions that are keys of the map.
func (a *Allocator) readGameFacts(ctx context.Context, games map[ref]gameFacts) error {
	if len(games) == 0 {
		return nil
	}
	stored := make(map[ref]*redis.SliceCmd, len(games))
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for game := range games {
			stored[game] = pipe.HMGet(ctx, gameSessionKey(game), "fleet", "id", "ip", "dns", "port", "created")
		}
	})
	if err != nil {
		return err
	}
	for game, cmd := range stored {
		games[game] = a.gameFacts(cmd.Val())
	}
	return nil
}
