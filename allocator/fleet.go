package allocator

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fleet is a group of computes that host game sessions. Berth has Anywhere fleets: their computes are the operator's own.
type Fleet struct {
	ID               FleetID
	ARN              string
	Name             string
	Description      string
	CreationTime     time.Time
	ProtectionPolicy ProtectionPolicy // of its new game sessions
	Cost             string           // an hour's cost of a compute, as the caller gave it
	CreationLimit    CreationLimit
	MetricGroups     []string
	Locations        []string
}

// CreationLimit is how many game sessions one creator may create in a period of time. The zero value limits nothing.
type CreationLimit struct {
	GameSessionsPerCreator int
	PeriodMinutes          int
}

// CreateFleetInput says what fleet to create.
type CreateFleetInput struct {
	Name             string
	Description      string
	Locations        []string         // custom locations, at least one
	ProtectionPolicy ProtectionPolicy // empty: NoProtection
	Cost             string
	CreationLimit    CreationLimit
	MetricGroups     []string
	RetryToken       string // as in CreatePlayerSessionInput
}

// CreateFleet creates an Anywhere fleet, ready for use.
//
// It fails with ErrInvalidRequest, or ErrNotFound when a location is not there.
func (a *Allocator) CreateFleet(ctx context.Context, in CreateFleetInput) (*Fleet, error) {
	if in.Name == "" {
		return nil, failure(ErrInvalidRequest, "Name is empty; give the fleet a name")
	}
	if len(in.Locations) == 0 {
		return nil, failure(ErrInvalidRequest, "Locations is empty; an Anywhere fleet needs a custom location, see CreateLocation")
	}
	locations := slices.Compact(slices.Sorted(slices.Values(in.Locations)))
	if len(locations) < len(in.Locations) {
		return nil, failure(ErrInvalidRequest, "Locations has the same location twice; give each once")
	}
	id := FleetID("fleet-" + a.deriveUUID("fleet", retryToken(in.RetryToken), in.Name, strings.Join(in.Locations, "\n")).String())
	args := []any{string(id), len(in.Locations)}
	for _, location := range in.Locations {
		args = append(args, location)
	}
	args = append(args, pairs(
		"name", in.Name,
		"description", in.Description,
		"protection", string(cmp.Or(in.ProtectionPolicy, NoProtection)),
		"cost", in.Cost,
		"limit", countText(in.CreationLimit.GameSessionsPerCreator),
		"limit_minutes", countText(in.CreationLimit.PeriodMinutes),
		"metric_groups", strings.Join(in.MetricGroups, "\n"),
	)...)
	reply, err := a.run(ctx, createFleetScript, []string{fleetKey(id), fleetLocationsKey(id), fleetsKey, locationsKey}, args...)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return a.fleet(id, reply.list(1).record(), in.Locations), nil
	case "LOCATION_NOT_FOUND":
		return nil, failure(ErrNotFound, "there is no location %s; call CreateLocation first", reply.text(1))
	}
	return nil, createFleetScript.unexpected(reply)
}

func (a *Allocator) fleet(id FleetID, stored record, locations []string) *Fleet {
	f := &Fleet{
		ID:               id,
		ARN:              a.arn("fleet/" + string(id)),
		Name:             stored["name"],
		Description:      stored["description"],
		CreationTime:     stored.time("created"),
		ProtectionPolicy: ProtectionPolicy(stored["protection"]),
		Cost:             stored["cost"],
		CreationLimit:    CreationLimit{stored.int("limit"), stored.int("limit_minutes")},
		Locations:        locations,
	}
	if groups := stored["metric_groups"]; groups != "" {
		f.MetricGroups = strings.Split(groups, "\n")
	}
	return f
}

func fleetNotFound(id FleetID) error {
	return failure(ErrNotFound, "there is no fleet %s", id)
}

// countText writes a count for a record, which leaves zero out.
func countText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
