package allocator

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Placement is a request for a new game session that a queue places where it is best.
type Placement struct {
	ID                        string
	QueueName                 string
	Status                    PlacementStatus
	StartTime                 time.Time
	EndTime                   time.Time // zero while it is PENDING
	GameSessionName           string
	GameSessionData           string
	GameProperties            map[string]string
	MaximumPlayerSessionCount int
	PlayerLatencies           []PlayerLatency
	DesiredPlayerSessions     []DesiredPlayerSession
	PriorityOverride          *PriorityOverride

	// The rest is there once it is FULFILLED.

	GameSession          GameSessionID
	Region               string
	IPAddress            string
	DNSName              string
	Port                 int
	PlacedPlayerSessions []PlacedPlayerSession
}

// PlacementStatus is the state of a placement.
type PlacementStatus string

// The states of a placement. PENDING is the first, all others are final.
const (
	PlacementPending   PlacementStatus = "PENDING"
	PlacementFulfilled PlacementStatus = "FULFILLED"
	PlacementCancelled PlacementStatus = "CANCELLED"
	PlacementTimedOut  PlacementStatus = "TIMED_OUT"
	PlacementFailed    PlacementStatus = "FAILED"
)

// PlayerLatency is how far a player is from a location.
type PlayerLatency struct {
	PlayerID     string
	Location     string
	Milliseconds float64
}

// DesiredPlayerSession is a player for whom to reserve a slot in the new game session.
type DesiredPlayerSession struct{ PlayerID, PlayerData string }

// PlacedPlayerSession is a player's player session in the new game session.
type PlacedPlayerSession struct {
	PlayerID        string
	PlayerSessionID PlayerSessionID
}

// PriorityOverride puts locations first, in this order, for one placement.
type PriorityOverride struct {
	LocationOrder []string
	// Only keeps the placement from all other locations.
	Only bool
}

// placementRetry is how long a placement waits before it is tried again.
const placementRetry = time.Second

// StartGameSessionPlacementInput says what game session to place.
type StartGameSessionPlacementInput struct {
	PlacementID               string
	QueueName                 string // or ARN
	MaximumPlayerSessionCount int
	GameSessionName           string
	GameSessionData           string
	GameProperties            map[string]string
	PlayerLatencies           []PlayerLatency
	DesiredPlayerSessions     []DesiredPlayerSession
	PriorityOverride          *PriorityOverride
	RetryToken                string // as in CreatePlayerSessionInput
}

// StartGameSessionPlacement starts a placement and answers with it, PENDING. It is tried at once, and then each second by any
// instance that runs Run, until a place is found or the timeout of the queue passes.
//
// It fails with ErrInvalidRequest, also when there is a placement of that id, or ErrNotFound (the queue).
func (a *Allocator) StartGameSessionPlacement(ctx context.Context, in StartGameSessionPlacementInput) (*Placement, error) {
	if in.PlacementID == "" {
		return nil, failure(ErrInvalidRequest, "PlacementId is empty; give the placement an id")
	}
	if err := a.checkMaximum(in.MaximumPlayerSessionCount); err != nil {
		return nil, err
	}
	if len(in.GameProperties) > maxGameProperties {
		return nil, failure(ErrInvalidRequest, "GameProperties has %d members; give %d at most", len(in.GameProperties), maxGameProperties)
	}
	if len(in.DesiredPlayerSessions) > in.MaximumPlayerSessionCount {
		return nil, failure(ErrInvalidRequest, "DesiredPlayerSessions has %d members, and MaximumPlayerSessionCount is %d; they must fit in", len(in.DesiredPlayerSessions), in.MaximumPlayerSessionCount)
	}
	seen := make(map[string]bool)
	for _, desired := range in.DesiredPlayerSessions {
		if seen[desired.PlayerID] {
			return nil, failure(ErrInvalidRequest, "DesiredPlayerSessions has player %q twice; give each player once", desired.PlayerID)
		}
		seen[desired.PlayerID] = true
	}
	queues, _, err := a.DescribeGameSessionQueues(ctx, []string{in.QueueName}, 0, "")
	if err != nil {
		return nil, err
	}
	placement := placementRef(in.PlacementID)
	args := append([]any{placement.text, a.shorten("placement", retryToken(in.RetryToken)), queues[0].Timeout.Milliseconds(), placementRetry.Milliseconds()}, pairs(
		"id", in.PlacementID,
		"queue", queues[0].Name,
		"max", strconv.Itoa(in.MaximumPlayerSessionCount),
		"name", in.GameSessionName,
		"data", in.GameSessionData,
		"latencies", quotedLines(in.PlayerLatencies, func(l PlayerLatency) []string {
			return []string{l.PlayerID, l.Location, strconv.FormatFloat(l.Milliseconds, 'g', -1, 64)}
		}),
		"desired", quotedLines(in.DesiredPlayerSessions, func(d DesiredPlayerSession) []string { return []string{d.PlayerID, d.PlayerData} }),
	)...)
	if in.PriorityOverride != nil {
		args = append(args, "override", strings.Join(in.PriorityOverride.LocationOrder, "\n"), "override_only", strconv.FormatBool(in.PriorityOverride.Only))
	}
	args = append(args, properties(in.GameProperties)...)
	reply, err := a.run(ctx, startGameSessionPlacementScript, []string{placementKey(placement), pendingPlacementsKey(placement.partition)}, args...)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		a.logged(ctx, "trying a placement", "it is tried again", a.advance(ctx, placement))
		return a.placement(reply.list(2).record(), reply.int(1)), nil
	case "EXISTS":
		return nil, failure(ErrInvalidRequest, "there is a placement %s already; choose another PlacementId", in.PlacementID)
	}
	return nil, startGameSessionPlacementScript.unexpected(reply)
}

// DescribeGameSessionPlacement reads a placement. It costs one command, and fails with ErrNotFound.
func (a *Allocator) DescribeGameSessionPlacement(ctx context.Context, id string) (*Placement, error) {
	stored, now, err := a.readPlacement(ctx, placementRef(id))
	if err != nil {
		return nil, err
	}
	if len(stored) == 0 {
		return nil, placementNotFound(id)
	}
	return a.placement(stored, now), nil
}

// StopGameSessionPlacement cancels a placement that is PENDING; one that is CANCELLED is answered as it stands.
//
// It fails with ErrNotFound, or with ErrInvalidRequest when the placement has ended otherwise.
func (a *Allocator) StopGameSessionPlacement(ctx context.Context, id string) (*Placement, error) {
	stopped, ours, err := a.finishPlacement(ctx, placementRef(id), PlacementCancelled, 0)
	if err != nil {
		return nil, err
	}
	if stopped == nil {
		return nil, placementNotFound(id)
	}
	if !ours && stopped.Status != PlacementCancelled {
		return nil, failure(ErrInvalidRequest, "placement %s is %s and can no longer be stopped", id, stopped.Status)
	}
	return stopped, nil
}

// advance tries to find a place for a placement.
func (a *Allocator) advance(ctx context.Context, placement ref) error {
	stored, now, err := a.readPlacement(ctx, placement)
	if err != nil {
		return err
	}
	p := a.placement(stored, now)
	if p.Status != PlacementPending {
		_, _, err = a.tryPlacement(ctx, placement, 0, "") // it may have to be marked TIMED_OUT
		return err
	}
	queues, _, err := a.DescribeGameSessionQueues(ctx, []string{p.QueueName}, 0, "")
	if errors.Is(err, ErrNotFound) {
		_, _, err = a.finishPlacement(ctx, placement, PlacementFailed, 0)
		return err
	}
	if err != nil {
		return err
	}
	places, err := a.placesFor(ctx, p, &queues[0], time.Duration(now-p.StartTime.UnixMilli())*time.Millisecond)
	if err != nil {
		return err
	}
	refused := 0
	for i := 0; ; {
		next := ""
		if i < len(places) {
			next = places[i]
		}
		chosen, try, err := a.tryPlacement(ctx, placement, refused, next)
		if err != nil || chosen == "" { // it is PENDING no more, or every place has refused it at this turn
			return err
		}
		if chosen == next {
			i++
		} // otherwise an earlier try at another place is under way: that one first
		done, err := a.fulfil(ctx, placement, p, chosen, try)
		if err != nil || done {
			return err
		}
		refused = try
	}
}

// tryPlacement notes where a placement is tried next, after the try that was refused, and returns where it is and the number of the
// try; no place when it is not to be tried now.
func (a *Allocator) tryPlacement(ctx context.Context, placement ref, refused int, next string) (string, int, error) {
	reply, err := a.run(ctx, tryGameSessionPlacementScript, placementKeys(placement), placement.text, refused, next)
	if err != nil {
		return "", 0, err
	}
	return reply.text(1), int(reply.int(2)), nil
}

// fulfil creates the game session at a place, reserves the slots, ends the placement, and lets others into the game session. It
// returns false when the place refused. Each step of it can be repeated: by this instance, or by another after this one died. A game
// session that is left over is kept for its try, and a sweep ends it when that has been given up.
func (a *Allocator) fulfil(ctx context.Context, placement ref, p *Placement, place string, try int) (bool, error) {
	fleet, location, _ := strings.Cut(place, " ")
	keptFor := placement.text + " " + strconv.Itoa(try)
	game, err := a.createGameSession(ctx, CreateGameSessionInput{
		FleetID: FleetID(fleet), Location: location,
		MaximumPlayerSessionCount: p.MaximumPlayerSessionCount,
		Name:                      p.GameSessionName,
		GameSessionData:           p.GameSessionData,
		GameProperties:            p.GameProperties,
		RetryToken:                "placement " + p.ID + p.StartTime.String() + keptFor,
	}, keptFor)
	for _, refusal := range []Kind{ErrFleetCapacityExceeded, ErrInvalidFleetStatus, ErrNotFound, ErrInvalidRequest, ErrIdempotentParameterMismatch} {
		if errors.Is(err, refusal) {
			return false, nil
		}
	}
	if err != nil {
		return false, err
	}
	if game.Status == GameSessionActivating { // its server process is to activate it; the placement waits for that
		return true, nil
	}
	var placed []PlacedPlayerSession
	for group := range slices.Chunk(p.DesiredPlayerSessions, maxGroup) {
		in := CreatePlayerSessionsInput{GameSessionID: game.ID, PlayerDataMap: make(map[string]string), RetryToken: "placement"}
		for _, desired := range group {
			in.PlayerIDs = append(in.PlayerIDs, desired.PlayerID)
			in.PlayerDataMap[desired.PlayerID] = desired.PlayerData
		}
		sessions, err := a.reserveGroup(ctx, in, "", keptFor)
		if errors.Is(err, ErrInvalidGameSessionStatus) || errors.Is(err, ErrGameSessionFull) || errors.Is(err, ErrNotFound) { // it was ended or changed
			return false, nil
		}
		if err != nil {
			return false, err
		}
		for _, session := range sessions {
			if session.Status != PlayerSessionReserved {
				return false, nil // an instance that died had reserved long ago
			}
			placed = append(placed, PlacedPlayerSession{session.PlayerID, session.ID})
		}
	}
	if game.Status != GameSessionActive { // somebody has ended it already
		return false, nil
	}
	ended, ours, err := a.finishPlacement(ctx, placement, PlacementFulfilled, try, pairs(
		"game", string(game.ID), "ip", game.IPAddress, "dns", game.DNSName, "port", countText(game.Port),
		"placed", quotedLines(placed, func(s PlacedPlayerSession) []string { return []string{s.PlayerID, string(s.PlayerSessionID)} }),
	)...)
	if err != nil {
		return false, err
	}
	if ours || ended != nil && ended.GameSession == game.ID {
		at, _ := a.gameSessionRef(game.ID)
		return true, a.openGameSession(ctx, at, keptFor)
	}
	_, err = a.TerminateGameSession(ctx, TerminateGameSessionInput{GameSessionID: game.ID, Mode: ForceTerminate}) // it was stopped, or given up
	return true, err
}

// finishPlacement ends a placement, as FULFILLED only by a try that nobody has given up. It returns the placement as it is now, nil if
// there is none, and whether this call ended it.
func (a *Allocator) finishPlacement(ctx context.Context, placement ref, status PlacementStatus, try int, fields ...any) (*Placement, bool, error) {
	reply, err := a.run(ctx, finishGameSessionPlacementScript, placementKeys(placement), append([]any{placement.text, string(status), try}, fields...)...)
	if err != nil {
		return nil, false, err
	}
	switch reply.text(0) {
	case "OK", "NOT_PENDING", "GIVEN_UP":
		return a.placement(reply.list(2).record(), reply.int(1)), reply.text(0) == "OK", nil
	case "PLACEMENT_NOT_FOUND":
		return nil, false, nil
	}
	return nil, false, finishGameSessionPlacementScript.unexpected(reply)
}

// placesFor lists where a placement may go, "<fleet id> <location>", the best first.
func (a *Allocator) placesFor(ctx context.Context, p *Placement, queue *Queue, waited time.Duration) ([]string, error) {
	type candidate struct {
		place                         string
		latency, cost                 float64
		destination, location, forced int
	}
	maximum := queue.maximumLatency(waited)
	var all []candidate
	for i, arn := range queue.Destinations {
		fleet, err := a.destination(ctx, arn)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if fleet == "" {
			continue
		}
		var locations *redis.StringSliceCmd
		var cost *redis.StringCmd
		err = a.pipelined(ctx, func(pipe redis.Pipeliner) {
			locations = pipe.ZRange(ctx, fleetLocationsKey(fleet), 0, -1)
			cost = pipe.HGet(ctx, fleetKey(fleet), "cost")
		})
		if err != nil {
			return nil, err
		}
		costPerHour, _ := strconv.ParseFloat(cost.Val(), 64) // none: free
		for _, location := range locations.Val() {
			if len(queue.AllowedLocations) > 0 && !slices.Contains(queue.AllowedLocations, location) {
				continue
			}
			mean, highest, known := p.latencyAt(location)
			if maximum != noMaximum && len(p.PlayerLatencies) > 0 && (!known || highest > float64(maximum.Milliseconds())) {
				continue
			}
			c := candidate{
				place: string(fleet) + " " + location, latency: mean, cost: costPerHour,
				destination: i, location: rank(queue.LocationOrder, location),
			}
			if p.PriorityOverride != nil {
				c.forced = rank(p.PriorityOverride.LocationOrder, location)
				if p.PriorityOverride.Only && c.forced == len(p.PriorityOverride.LocationOrder) {
					continue
				}
			}
			all = append(all, c)
		}
	}
	order := queue.PriorityOrder
	for _, priority := range defaultPriorities {
		if !slices.Contains(order, priority) {
			order = append(order, priority)
		}
	}
	slices.SortStableFunc(all, func(x, y candidate) int {
		if by := cmp.Compare(x.forced, y.forced); by != 0 {
			return by
		}
		for _, priority := range order {
			by := map[Priority]int{
				PriorityLatency:     cmp.Compare(x.latency, y.latency),
				PriorityCost:        cmp.Compare(x.cost, y.cost),
				PriorityDestination: cmp.Compare(x.destination, y.destination),
				PriorityLocation:    cmp.Compare(x.location, y.location),
			}[priority]
			if by != 0 {
				return by
			}
		}
		return 0
	})
	places := make([]string, len(all))
	for i, c := range all {
		places[i] = c.place
	}
	return places, nil
}

// noMaximum says that no latency policy is in force.
const noMaximum = time.Duration(math.MaxInt64)

// maximumLatency returns what the queue's latency policies allow to a placement that has waited so long.
func (q *Queue) maximumLatency(waited time.Duration) time.Duration {
	for _, policy := range strictestFirst(q.LatencyPolicies) {
		if policy.Duration == 0 || waited < policy.Duration {
			return policy.Maximum
		}
		waited -= policy.Duration
	}
	return noMaximum
}

// latencyAt returns the mean and the highest latency of the players at a location. It is known when every player who has told
// any latency has told this one; otherwise the mean is beyond all others.
func (p *Placement) latencyAt(location string) (mean, highest float64, known bool) {
	players := make(map[string]bool)
	there := make(map[string]float64)
	for _, latency := range p.PlayerLatencies {
		players[latency.PlayerID] = true
		if latency.Location == location {
			there[latency.PlayerID] = latency.Milliseconds
		}
	}
	if len(there) == 0 || len(there) < len(players) {
		return math.Inf(1), math.Inf(1), false
	}
	for _, milliseconds := range there {
		mean += milliseconds / float64(len(there))
		highest = max(highest, milliseconds)
	}
	return mean, highest, true
}

// rank is where a location stands in an order; behind all when it is not in it.
func rank(order []string, location string) int {
	if i := slices.Index(order, location); i >= 0 {
		return i
	}
	return len(order)
}

// tryPlacements tries the placements in the partitions that are due. One that cannot be tried is tried again at its next turn.
func (a *Allocator) tryPlacements(ctx context.Context, partitions []partition) error {
	clock, err := a.redis.Time(ctx).Result()
	if err != nil {
		return a.failed(err, 0)
	}
	pending := make([]*redis.StringSliceCmd, len(partitions))
	err = a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i, p := range partitions {
			pending[i] = pipe.ZRangeByScore(ctx, pendingPlacementsKey(p), upTo(clock.UnixMilli()))
		}
	})
	var due []ref
	for i, p := range partitions {
		due = append(due, refsOf(p, listed(pending[i]))...)
	}
	next := float64(clock.Add(placementRetry).UnixMilli())
	failed := a.pipelined(ctx, func(pipe redis.Pipeliner) { // so that none that fails keeps others from their turn
		for _, placement := range due {
			pipe.ZAddXX(ctx, pendingPlacementsKey(placement.partition), redis.Z{Score: next, Member: placement.text})
		}
	})
	if failed == nil {
		for _, outcome := range severalAtOnce(len(due), func(i int) error { return a.advance(ctx, due[i]) }) {
			a.logged(ctx, "trying a placement", "it is tried again", outcome)
		}
	}
	return errors.Join(err, failed)
}

// purgePlacements deletes the placements whose retention is over.
func (a *Allocator) purgePlacements(ctx context.Context, due []dueIn) (purged int, err error) {
	for i := range due {
		d := &due[i]
		if len(d.endedPlacements) == 0 {
			continue
		}
		keys := []string{endedPlacementsKey(d.partition)}
		args := []any{a.retention.Milliseconds()}
		for _, placement := range d.endedPlacements {
			keys = append(keys, placementKey(placement))
			args = append(args, placement.text)
		}
		reply, err := a.run(ctx, purgeGameSessionPlacementsScript, keys, args...)
		if err != nil {
			return purged, err
		}
		purged += int(reply.int(1))
		d.more = d.more || len(d.endedPlacements) == sweepBatch && reply.int(1) > 0
	}
	return purged, nil
}

func (a *Allocator) readPlacement(ctx context.Context, placement ref) (record, int64, error) {
	reply, err := a.run(ctx, describeGameSessionPlacementScript, []string{placementKey(placement)})
	if err != nil {
		return nil, 0, err
	}
	return reply.list(2).record(), reply.int(1), nil
}

// placement builds a placement from its record. now is the store's time at which it was read.
func (a *Allocator) placement(stored record, now int64) *Placement {
	p := &Placement{
		ID:                        stored["id"],
		QueueName:                 stored["queue"],
		Status:                    PlacementStatus(stored["status"]),
		StartTime:                 stored.time("started"),
		EndTime:                   stored.time("ended"),
		GameSessionName:           stored["name"],
		GameSessionData:           stored["data"],
		GameProperties:            stored.properties(),
		MaximumPlayerSessionCount: stored.int("max"),
		GameSession:               GameSessionID(stored["game"]),
		IPAddress:                 stored["ip"],
		DNSName:                   stored["dns"],
		Port:                      stored.int("port"),
	}
	if p.GameSession != "" {
		p.Region = a.region
	}
	if deadline := stored.time("deadline"); p.Status == PlacementPending && deadline.UnixMilli() <= now {
		p.Status, p.EndTime = PlacementTimedOut, deadline
	}
	for _, parts := range unquotedLines(stored["latencies"], 3) {
		milliseconds, _ := strconv.ParseFloat(parts[2], 64)
		p.PlayerLatencies = append(p.PlayerLatencies, PlayerLatency{parts[0], parts[1], milliseconds})
	}
	for _, parts := range unquotedLines(stored["desired"], 2) {
		p.DesiredPlayerSessions = append(p.DesiredPlayerSessions, DesiredPlayerSession{parts[0], parts[1]})
	}
	for _, parts := range unquotedLines(stored["placed"], 2) {
		p.PlacedPlayerSessions = append(p.PlacedPlayerSessions, PlacedPlayerSession{parts[0], PlayerSessionID(parts[1])})
	}
	if override, ok := stored["override"]; ok {
		p.PriorityOverride = &PriorityOverride{lines(override), stored["override_only"] == "true"}
	}
	return p
}

// quotedLines writes a line of quoted texts for each.
func quotedLines[T any](all []T, texts func(T) []string) string {
	written := make([]string, len(all))
	for i, one := range all {
		var quoted []string
		for _, text := range texts(one) {
			quoted = append(quoted, strconv.Quote(text))
		}
		written[i] = strings.Join(quoted, " ")
	}
	return strings.Join(written, "\n")
}

// unquotedLines reads what quotedLines wrote, so many texts in each line.
func unquotedLines(text string, texts int) [][]string {
	var all [][]string
	for _, line := range lines(text) {
		parts := make([]string, texts)
		rest := strings.NewReader(line)
		for i := range parts {
			_, _ = fmt.Fscanf(rest, "%q", &parts[i]) // quotedLines wrote it
		}
		all = append(all, parts)
	}
	return all
}

func placementRef(id string) ref {
	digest := sha256.Sum256([]byte(id))
	return refOf([16]byte(digest[:16]))
}

func placementKeys(placement ref) []string {
	return []string{placementKey(placement), pendingPlacementsKey(placement.partition), endedPlacementsKey(placement.partition)}
}

func placementNotFound(id string) error { return failure(ErrNotFound, "there is no placement %s", id) }
