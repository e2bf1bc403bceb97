package allocator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// Fleet is a group of computes that host game sessions. Berth has Anywhere fleets: their computes are the operator's own.
type Fleet struct {
	ID               FleetID
	ARN              string
	Name             string
	Description      string
	Status           FleetStatus
	CreationTime     time.Time
	ProtectionPolicy ProtectionPolicy // of its new game sessions
	Cost             string           // an hour's cost of a compute, as the caller gave it
	CreationLimit    CreationLimit
	MetricGroups     []string // one at most
}

// FleetStatus is the state of a fleet.
type FleetStatus string

// The states of a fleet. It is DELETING for as long as DeleteFleet takes.
const (
	FleetActive   FleetStatus = "ACTIVE"
	FleetDeleting FleetStatus = "DELETING"
)

// CreationLimit is how many game sessions one creator may create in a period of time. If either is zero, nothing is limited.
type CreationLimit struct {
	GameSessionsPerCreator int
	PeriodMinutes          int
}

// maxFleetLocations is how many locations a fleet may have.
const maxFleetLocations = 100

// CreateFleetInput says what fleet to create.
type CreateFleetInput struct {
	Name             string
	Description      string
	Locations        []string         // custom locations, at least one
	ProtectionPolicy ProtectionPolicy // empty: NoProtection
	Cost             string
	CreationLimit    CreationLimit
	MetricGroups     []string
	Tags             map[string]string
	RetryToken       string // as in CreatePlayerSessionInput
}

// CreateFleet creates an Anywhere fleet, ready for use.
//
// It fails with ErrInvalidRequest, ErrNotFound when a location is not there, or ErrLimitExceeded.
func (a *Allocator) CreateFleet(ctx context.Context, in CreateFleetInput) (*Fleet, error) {
	if in.Name == "" {
		return nil, failure(ErrInvalidRequest, "Name is empty; give the fleet a name")
	}
	if (in.CreationLimit.GameSessionsPerCreator == 0) != (in.CreationLimit.PeriodMinutes == 0) {
		return nil, failure(ErrInvalidRequest, "ResourceCreationLimitPolicy has one of NewGameSessionsPerCreator and PolicyPeriodInMinutes; give both, or neither for no limit")
	}
	if len(in.MetricGroups) > 1 {
		return nil, failure(ErrInvalidRequest, "MetricGroups has %d members; give one at most", len(in.MetricGroups))
	}
	if err := checkLocations(in.Locations); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	id := FleetID("fleet-" + a.deriveUUID("fleet", retryToken(in.RetryToken), in.Name, strings.Join(in.Locations, "\n")).String())
	keys := []string{fleetKey(id), fleetLocationsKey(id), fleetsKey, locationsKey, tagsKey("fleet/" + string(id))}
	args := []any{string(id), a.quotas.Fleets, 2 * len(in.Tags)}
	for _, location := range in.Locations {
		keys = append(keys, locationFleetsKey(location))
		args = append(args, location)
	}
	args = append(args, tagPairs(in.Tags)...)
	args = append(args, pairs(
		"name", in.Name,
		"description", in.Description,
		"protection", string(cmp.Or(in.ProtectionPolicy, NoProtection)),
		"cost", in.Cost,
		"limit", countText(in.CreationLimit.GameSessionsPerCreator),
		"limit_minutes", countText(in.CreationLimit.PeriodMinutes),
		"metric_groups", strings.Join(in.MetricGroups, ""),
	)...)
	reply, err := a.run(ctx, createFleetScript, keys, args...)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return a.fleet(id, reply.list(1).record()), nil
	case "LOCATION_NOT_FOUND":
		return nil, locationNotFound(reply.text(1))
	case "LIMIT":
		return nil, quotaReached(a.quotas.Fleets, "fleets", "--max-fleets")
	}
	return nil, createFleetScript.unexpected(reply)
}

func checkLocations(locations []string) error {
	if len(locations) == 0 {
		return failure(ErrInvalidRequest, "Locations is empty; an Anywhere fleet needs a custom location, see CreateLocation")
	}
	if len(slices.Compact(slices.Sorted(slices.Values(locations)))) < len(locations) {
		return failure(ErrInvalidRequest, "Locations has the same location twice; give each once")
	}
	return nil
}

// CreateFleetLocations adds locations to a fleet, given by its id or ARN. Those that it has already are no matter.
//
// It fails with ErrInvalidRequest, ErrNotFound (the fleet or a location), ErrInvalidFleetStatus or ErrLimitExceeded.
func (a *Allocator) CreateFleetLocations(ctx context.Context, idOrARN FleetID, locations []string) error {
	if err := checkLocations(locations); err != nil {
		return err
	}
	fleet := a.fleetID(idOrARN)
	keys := []string{fleetKey(fleet), fleetLocationsKey(fleet), locationsKey}
	args := []any{string(fleet), maxFleetLocations}
	for _, location := range locations {
		keys = append(keys, locationFleetsKey(location))
		args = append(args, location)
	}
	reply, err := a.run(ctx, createFleetLocationsScript, keys, args...)
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "LOCATION_NOT_FOUND":
		return locationNotFound(reply.text(1))
	case "LIMIT":
		return failure(ErrLimitExceeded, "fleet %s would have more than %d locations; create another fleet", fleet, maxFleetLocations)
	}
	return fleetRefusal(createFleetLocationsScript, idOrARN, reply)
}

// DeleteFleetLocations takes locations from a fleet. Game sessions that run there go on.
//
// It fails with ErrInvalidRequest, also while the fleet has computes there, ErrNotFound (the fleet or a location of it) or
// ErrInvalidFleetStatus.
func (a *Allocator) DeleteFleetLocations(ctx context.Context, idOrARN FleetID, locations []string) error {
	if err := checkLocations(locations); err != nil {
		return err
	}
	fleet := a.fleetID(idOrARN)
	keys := []string{fleetKey(fleet), fleetLocationsKey(fleet)}
	args := []any{string(fleet)}
	for _, location := range locations {
		keys = append(keys, locationFleetsKey(location), computesKey(fleet, location))
		args = append(args, location)
	}
	reply, err := a.runDeletion(ctx, deleteFleetLocationsScript, keys, args...)
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "LOCATION_NOT_FOUND":
		return failure(ErrNotFound, "fleet %s has no location %s", fleet, reply.text(1))
	case "IN_USE":
		return failure(ErrInvalidRequest, "fleet %s has %s computes at %s; deregister them first", fleet, reply.text(2), reply.text(1))
	}
	return fleetRefusal(deleteFleetLocationsScript, idOrARN, reply)
}

// FleetLocations reads the names of a fleet's locations, those among the wanted ones if any are, oldest first, and the token of the
// next page. It costs two round trips, and fails with ErrInvalidRequest or ErrNotFound (the fleet or a wanted location of it).
func (a *Allocator) FleetLocations(ctx context.Context, idOrARN FleetID, wanted []string, limit int, token string) ([]string, string, error) {
	fleet := a.fleetID(idOrARN)
	if exists, err := a.exists(ctx, fleetKey(fleet)); err != nil || !exists {
		return nil, "", cmp.Or(err, fleetNotFound(idOrARN))
	}
	if len(wanted) > 0 {
		scores, err := a.redis.ZMScore(ctx, fleetLocationsKey(fleet), wanted...).Result()
		if err != nil {
			return nil, "", a.failed(err, 0)
		}
		if missing := slices.Index(scores, 0); missing >= 0 {
			return nil, "", failure(ErrNotFound, "fleet %s has no location %s", fleet, wanted[missing])
		}
		return wanted, "", nil
	}
	entries, next, err := page(ctx, a, pageRequest{limit: limit, token: token, scope: []string{"FleetLocations", string(fleet)}},
		a.names(fleetLocationsKey(fleet)), readNothing, nil)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.text
	}
	return names, next, err
}

// FleetName returns the id and the ARN of a fleet, given by either.
func (a *Allocator) FleetName(idOrARN FleetID) (FleetID, string) {
	id := a.fleetID(idOrARN)
	return id, a.arn("fleet/" + string(id))
}

// UpdateFleetAttributesInput says what to change of a fleet. What is nil stays as it is.
type UpdateFleetAttributesInput struct {
	FleetID                FleetID // id or ARN
	Name                   *string
	Description            *string
	ProtectionPolicy       *ProtectionPolicy // of game sessions created from now on
	Cost                   *string
	GameSessionsPerCreator *int // of the fleet's CreationLimit
	PeriodMinutes          *int // of the fleet's CreationLimit
	MetricGroups           []string
}

// UpdateFleetAttributes changes attributes of a fleet. It fails with ErrInvalidRequest, ErrNotFound or ErrInvalidFleetStatus.
func (a *Allocator) UpdateFleetAttributes(ctx context.Context, in UpdateFleetAttributesInput) error {
	if len(in.MetricGroups) > 1 {
		return failure(ErrInvalidRequest, "MetricGroups has %d members; give one at most", len(in.MetricGroups))
	}
	fleet := a.fleetID(in.FleetID)
	var args []any
	set := func(field string, value *string) {
		if value != nil {
			args = append(args, field, *value)
		}
	}
	set("name", in.Name)
	set("description", in.Description)
	set("protection", (*string)(in.ProtectionPolicy))
	set("cost", in.Cost)
	if in.GameSessionsPerCreator != nil {
		args = append(args, "limit", *in.GameSessionsPerCreator)
	}
	if in.PeriodMinutes != nil {
		args = append(args, "limit_minutes", *in.PeriodMinutes)
	}
	if in.MetricGroups != nil {
		args = append(args, "metric_groups", strings.Join(in.MetricGroups, ""))
	}
	reply, err := a.run(ctx, updateFleetAttributesScript, []string{fleetKey(fleet)}, args...)
	if err != nil {
		return err
	}
	if reply.text(0) == "OK" {
		return nil
	}
	return fleetRefusal(updateFleetAttributesScript, in.FleetID, reply)
}

// DescribeFleets reads fleets, given by their ids or ARNs, oldest first without, and the token of the next page. Without ids
// it costs two round trips, with ids one. It fails with ErrInvalidRequest, or ErrNotFound when one of the fleets is not there.
func (a *Allocator) DescribeFleets(ctx context.Context, idsOrARNs []FleetID, limit int, token string) ([]Fleet, string, error) {
	if len(idsOrARNs) == 0 {
		return page(ctx, a, pageRequest{limit: limit, token: token, scope: []string{"DescribeFleets"}}, a.names(fleetsKey), readRefs(a.readFleets), nil)
	}
	if len(idsOrARNs) > MaxLimit {
		return nil, "", failure(ErrInvalidRequest, "FleetIds has %d members; give %d at most", len(idsOrARNs), MaxLimit)
	}
	names := make([]ref, len(idsOrARNs))
	for i, id := range idsOrARNs {
		names[i] = ref{text: string(a.fleetID(id))}
	}
	fleets, err := a.readFleets(ctx, names)
	if err != nil {
		return nil, "", err
	}
	for i, name := range names {
		if !slices.ContainsFunc(fleets, func(f Fleet) bool { return string(f.ID) == name.text }) {
			return nil, "", fleetNotFound(idsOrARNs[i])
		}
	}
	return fleets, "", nil
}

// ListFleets reads the ids of all fleets, oldest first, and the token of the next page. It costs one command.
func (a *Allocator) ListFleets(ctx context.Context, limit int, token string) ([]FleetID, string, error) {
	entries, next, err := page(ctx, a, pageRequest{limit: limit, token: token, scope: []string{"ListFleets"}}, a.names(fleetsKey), readNothing, nil)
	ids := make([]FleetID, len(entries))
	for i, e := range entries {
		ids[i] = FleetID(e.text)
	}
	return ids, next, err
}

// DeleteFleet deletes a fleet, its computes and its tags, once all its game sessions have ended, which stay readable by their ids until the
// retention is over, and tells its server processes to end. It asks each of the store's partitions, in one round trip a shard.
//
// It fails with ErrNotFound, or with ErrInvalidFleetStatus while the fleet has game sessions that have not ended, or when another
// call to delete it comes in between. A call that was cut off may leave the fleet DELETING; another one then deletes it.
func (a *Allocator) DeleteFleet(ctx context.Context, idOrARN FleetID) error {
	fleet := a.fleetID(idOrARN)
	closing := uuid.NewString()
	// From here on CreateGameSession finds the fleet DELETING: before it begins, or when it looks again after it has created.
	reply, err := a.run(ctx, closeFleetScript, []string{fleetKey(fleet)}, closing)
	if err != nil {
		return err
	}
	if reply.text(0) != "OK" {
		return fleetRefusal(closeFleetScript, fleet, reply)
	}
	live, err := a.countLive(ctx, fleet)
	if err == nil && live > 0 {
		err = failure(ErrInvalidFleetStatus, "fleet %s has %d game sessions that have not ended; end them first, with TerminateGameSession", fleet, live)
	}
	if err != nil {
		// The caller may have gone away; the fleet is to be of use all the same.
		patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), reopenTimeout)
		defer cancel()
		if _, failed := a.run(patient, reopenFleetScript, []string{fleetKey(fleet)}, closing); failed != nil {
			return &Error{
				Kind: ErrOutcomeUnknown, Cause: failed,
				Message: fmt.Sprintf("fleet %s may be left DELETING, and not deleted; call DeleteFleet again, to delete it or to have it ACTIVE again", fleet),
			}
		}
		return err
	}
	for {
		done, err := a.deleteClosedFleet(ctx, fleet, closing)
		if err != nil {
			return err
		}
		if done {
			a.logged(ctx, "having the server processes of a deleted fleet end", "they are told when they are reviewed", a.reviewFleetProcesses(ctx, fleet))
			return nil
		}
	}
}

// reopenTimeout is how long making a fleet ACTIVE again may take.
const reopenTimeout = 5 * time.Second

// countLive counts the game sessions of a fleet that have not ended.
func (a *Allocator) countLive(ctx context.Context, fleet FleetID) (int64, error) {
	counts := make([]*redis.IntCmd, Partitions)
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for p := range counts {
			counts[p] = pipe.ZCard(ctx, liveGameSessionsKey(partition(p), fleet))
		}
	})
	if err != nil {
		return 0, err
	}
	var total int64
	for _, count := range counts {
		total += count.Val()
	}
	return total, nil
}

// deleteClosedFleet deletes a fleet that this attempt has closed, and returns false when its locations or computes changed meanwhile.
func (a *Allocator) deleteClosedFleet(ctx context.Context, fleet FleetID, closing string) (bool, error) {
	var locations, computes, creators *redis.StringSliceCmd
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		locations = pipe.ZRange(ctx, fleetLocationsKey(fleet), 0, -1)
		computes = pipe.ZRange(ctx, computesKey(fleet, ""), 0, -1)
		creators = pipe.ZRange(ctx, creatorsKey(fleet), 0, -1)
	})
	if err != nil {
		return false, err
	}
	keys := []string{
		fleetKey(fleet), fleetLocationsKey(fleet), computesKey(fleet, ""), tagsKey("fleet/" + string(fleet)), creatorsKey(fleet), fleetsKey,
	}
	for _, compute := range computes.Val() {
		keys = append(keys, computeKey(fleet, compute), computeAuthTokensKey(fleet, compute))
	}
	for _, creator := range creators.Val() {
		keys = append(keys, creatorKey(fleet, creator))
	}
	for _, location := range locations.Val() {
		keys = append(keys, computesKey(fleet, location))
	}
	for _, location := range locations.Val() {
		keys = append(keys, locationFleetsKey(location))
	}
	reply, err := a.runDeletion(ctx, deleteFleetScript, keys, string(fleet), len(locations.Val()), len(locations.Val())+len(computes.Val()), closing)
	if err != nil {
		return false, err
	}
	switch reply.text(0) {
	case "OK":
		return true, nil
	case "CHANGED":
		return false, nil
	case "NOT_CLOSED":
		return false, failure(ErrInvalidFleetStatus, "fleet %s is being deleted by another call; see whether that succeeds, or try again", fleet)
	}
	return false, fleetRefusal(deleteFleetScript, fleet, reply)
}

// FleetUtilization is how much of a fleet is in use.
type FleetUtilization struct {
	FleetID                   FleetID
	FleetARN                  string
	ActiveServerProcessCount  int // that have registered and not ended
	ActiveGameSessionCount    int
	CurrentPlayerSessionCount int // slots taken in its ACTIVE game sessions
	MaximumPlayerSessionCount int // slots of its ACTIVE game sessions
}

// DescribeFleetUtilization adds up the ACTIVE game sessions of fleets, given as to DescribeFleets, as of a second ago at most. The
// figures come from the snapshot that SearchGameSessions uses.
func (a *Allocator) DescribeFleetUtilization(ctx context.Context, idsOrARNs []FleetID, limit int, token string) ([]FleetUtilization, string, error) {
	fleets, next, err := a.DescribeFleets(ctx, idsOrARNs, limit, token)
	if err != nil {
		return nil, "", err
	}
	processes := make([]*redis.IntCmd, len(fleets))
	err = a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i, fleet := range fleets {
			processes[i] = pipe.ZCard(ctx, serverProcessesKey(fleet.ID))
		}
	})
	if err != nil {
		return nil, "", err
	}
	utilizations := make([]FleetUtilization, len(fleets))
	for i, fleet := range fleets {
		u := FleetUtilization{FleetID: fleet.ID, FleetARN: fleet.ARN, ActiveServerProcessCount: int(processes[i].Val())}
		snapshot, err := a.snapshots.get(ctx, fleet.ID)
		if err != nil {
			return nil, "", err
		}
		for _, game := range snapshot.games {
			u.ActiveGameSessionCount++
			u.CurrentPlayerSessionCount += game.CurrentPlayerSessionCount
			u.MaximumPlayerSessionCount += game.MaximumPlayerSessionCount
		}
		utilizations[i] = u
	}
	return utilizations, next, nil
}

func (a *Allocator) readFleets(ctx context.Context, names []ref) ([]Fleet, error) {
	return readNamed(ctx, a, names, func(name string) string { return fleetKey(FleetID(name)) }, func(name string, stored record) Fleet {
		return *a.fleet(FleetID(name), stored)
	})
}

func (a *Allocator) fleet(id FleetID, stored record) *Fleet {
	f := &Fleet{
		ID:               id,
		ARN:              a.arn("fleet/" + string(id)),
		Name:             stored["name"],
		Description:      stored["description"],
		Status:           FleetStatus(stored["status"]),
		CreationTime:     stored.time("created"),
		ProtectionPolicy: ProtectionPolicy(stored["protection"]),
		Cost:             stored["cost"],
		CreationLimit:    CreationLimit{stored.int("limit"), stored.int("limit_minutes")},
	}
	if groups := stored["metric_groups"]; groups != "" {
		f.MetricGroups = []string{groups}
	}
	return f
}

func (f Fleet) cursor() cursor { return cursor{f.CreationTime.UnixMilli(), string(f.ID)} }

// fleetRefusal is the error for the replies that scripts on a fleet have in common.
func fleetRefusal(s script, id FleetID, reply fields) error {
	switch reply.text(0) {
	case "FLEET_NOT_FOUND":
		return fleetNotFound(id)
	case "NOT_ACTIVE":
		return failure(ErrInvalidFleetStatus, "fleet %s is %s and cannot be changed", id, reply.text(1))
	}
	return s.unexpected(reply)
}

func fleetNotFound(id FleetID) error { return failure(ErrNotFound, "there is no fleet %s", id) }

func locationNotFound(name string) error {
	return failure(ErrNotFound, "there is no location %s; call CreateLocation first", name)
}

// countText writes a count for a record, which leaves zero out.
func countText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
