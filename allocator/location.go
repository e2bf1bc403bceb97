package allocator

import (
	"context"
	"strings"
	"time"
)

// Location is a place that the operator names, where computes of fleets stand.
type Location struct {
	Name         string
	ARN          string
	CreationTime time.Time
}

// CreateLocationInput names a new location.
type CreateLocationInput struct {
	Name       string // begins with "custom-"
	Tags       map[string]string
	RetryToken string // as in CreatePlayerSessionInput
}

// CreateLocation adds a custom location.
//
// It fails with ErrInvalidRequest, ErrConflict when the location is there already, or ErrLimitExceeded.
func (a *Allocator) CreateLocation(ctx context.Context, in CreateLocationInput) (*Location, error) {
	if err := checkName("LocationName", in.Name); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	args := append([]any{in.Name, a.shorten("location", retryToken(in.RetryToken)), a.quotas.Locations}, tagPairs(in.Tags)...)
	reply, err := a.run(ctx, createLocationScript,
		[]string{locationKey(in.Name), locationsKey, tagsKey("location/" + in.Name)}, args...)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return &Location{Name: in.Name, ARN: a.arn("location/" + in.Name)}, nil
	case "EXISTS":
		return nil, failure(ErrConflict, "location %s is there already; use it or choose another name", in.Name)
	case "LIMIT":
		return nil, quotaReached(a.quotas.Locations, "custom locations", "--max-locations")
	}
	return nil, createLocationScript.unexpected(reply)
}

// DeleteLocation deletes a custom location, given by its name or ARN, and its tags.
//
// It fails with ErrNotFound, or with ErrInvalidRequest while a fleet has the location.
func (a *Allocator) DeleteLocation(ctx context.Context, nameOrARN string) error {
	name := strings.TrimPrefix(nameOrARN, a.arn("location/"))
	if !isName(name) {
		return failure(ErrNotFound, "there is no location %s", nameOrARN)
	}
	reply, err := a.runDeletion(ctx, deleteLocationScript,
		[]string{locationKey(name), locationsKey, tagsKey("location/" + name), locationFleetsKey(name)}, name)
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "LOCATION_NOT_FOUND":
		return failure(ErrNotFound, "there is no location %s", nameOrARN)
	case "IN_USE":
		return failure(ErrInvalidRequest, "location %s is a location of %s fleets; take it from them first, with DeleteFleetLocations or DeleteFleet", name, reply.text(1))
	}
	return deleteLocationScript.unexpected(reply)
}

// maxLocationPage is how many locations a page may have: the model says so of ListLocations.
const maxLocationPage = 200

// ListLocations reads the custom locations, oldest first, and the token of the next page. limit is up to 200; 0 is 50. It costs
// two round trips.
func (a *Allocator) ListLocations(ctx context.Context, limit int, token string) ([]Location, string, error) {
	read := func(ctx context.Context, names []ref) ([]Location, error) {
		return readNamed(ctx, a, names, locationKey, func(name string, stored record) Location {
			return Location{name, a.arn("location/" + name), stored.time("created")}
		})
	}
	return page(ctx, a, pageRequest{limit: limit, most: maxLocationPage, token: token, scope: []string{"ListLocations"}},
		a.names(locationsKey), readRefs(read), nil)
}

func (l Location) cursor() cursor { return cursor{l.CreationTime.UnixMilli(), l.Name} }
