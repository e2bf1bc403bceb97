package allocator

import "context"

// Location is a place that the operator names, where computes of fleets stand.
type Location struct {
	Name string
	ARN  string
}

// CreateLocationInput names a new location.
type CreateLocationInput struct {
	Name       string // begins with "custom-"
	RetryToken string // as in CreatePlayerSessionInput
}

// CreateLocation adds a custom location. It fails with ErrInvalidRequest, or ErrConflict when the location is there already.
func (a *Allocator) CreateLocation(ctx context.Context, in CreateLocationInput) (*Location, error) {
	if err := checkName("LocationName", in.Name); err != nil {
		return nil, err
	}
	reply, err := a.run(ctx, createLocationScript, []string{locationKey(in.Name), locationsKey},
		in.Name, a.shorten("location", retryToken(in.RetryToken)))
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return &Location{Name: in.Name, ARN: a.arn("location/" + in.Name)}, nil
	case "EXISTS":
		return nil, failure(ErrConflict, "location %s is there already; use it or choose another name", in.Name)
	}
	return nil, createLocationScript.unexpected(reply)
}
