package allocator

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// AliasID names an alias: "alias-" and a UUID. Operations take an alias's ARN in its place.
type AliasID string

const aliasIDPrefix = "alias-"

// Alias is a name for a fleet that stays while fleets come and go, or a notice that there is none any more.
type Alias struct {
	ID              AliasID
	ARN             string
	Name            string
	Description     string
	RoutingStrategy RoutingStrategy
	CreationTime    time.Time
	LastUpdatedTime time.Time
}

// RoutingStrategy is what an alias does with a call.
type RoutingStrategy struct {
	Type    RoutingStrategyType
	FleetID FleetID // of SIMPLE: where it leads
	Message string  // of TERMINAL: what callers are told
}

// RoutingStrategyType is SIMPLE or TERMINAL.
type RoutingStrategyType string

// The types of routing strategy. A SIMPLE alias leads to a fleet; a TERMINAL one answers with its message.
const (
	RoutingSimple   RoutingStrategyType = "SIMPLE"
	RoutingTerminal RoutingStrategyType = "TERMINAL"
)

// CreateAliasInput says what alias to create.
type CreateAliasInput struct {
	Name            string
	Description     string
	RoutingStrategy RoutingStrategy
	Tags            map[string]string
	RetryToken      string // as in CreatePlayerSessionInput
}

// CreateAlias creates an alias. It fails with ErrInvalidRequest, also when the fleet is not there, or ErrLimitExceeded.
func (a *Allocator) CreateAlias(ctx context.Context, in CreateAliasInput) (*Alias, error) {
	if strings.TrimSpace(in.Name) == "" {
		return nil, failure(ErrInvalidRequest, "Name is empty; give the alias a name")
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	strategy, err := a.routing(in.RoutingStrategy)
	if err != nil {
		return nil, err
	}
	id := AliasID(aliasIDPrefix + a.deriveUUID("alias", retryToken(in.RetryToken), in.Name, string(strategy.Type), string(strategy.FleetID), strategy.Message).String())
	args := []any{string(id), a.quotas.Aliases, 2 * len(in.Tags)}
	args = append(args, tagPairs(in.Tags)...)
	args = append(args, pairs("name", in.Name, "description", in.Description)...)
	args = append(args, strategy.pairs()...)
	reply, err := a.run(ctx, createAliasScript,
		[]string{aliasKey(id), aliasesKey, tagsKey("alias/" + string(id)), strategy.fleetKeyOr(aliasKey(id))}, args...)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return a.alias(id, reply.list(1).record()), nil
	case "FLEET_NOT_FOUND":
		return nil, routesNowhere(strategy)
	case "LIMIT":
		return nil, quotaReached(a.quotas.Aliases, "aliases", "--max-aliases")
	}
	return nil, createAliasScript.unexpected(reply)
}

// routing checks a routing strategy, and leaves nothing in it that its type does not have.
func (a *Allocator) routing(s RoutingStrategy) (RoutingStrategy, error) {
	switch s.Type {
	case RoutingSimple:
		if s.FleetID == "" {
			return s, failure(ErrInvalidRequest, "RoutingStrategy.FleetId is missing; a SIMPLE alias leads to a fleet")
		}
		if s.Message != "" {
			return s, failure(ErrInvalidRequest, "RoutingStrategy.Message is for TERMINAL aliases; leave it out of a SIMPLE one")
		}
		s.FleetID = a.fleetID(s.FleetID)
		return s, nil
	case RoutingTerminal:
		if s.Message == "" {
			return s, failure(ErrInvalidRequest, "RoutingStrategy.Message is missing; a TERMINAL alias answers with it")
		}
		if s.FleetID != "" {
			return s, failure(ErrInvalidRequest, "RoutingStrategy.FleetId is for SIMPLE aliases; leave it out of a TERMINAL one")
		}
		return s, nil
	}
	return s, failure(ErrInvalidRequest, "RoutingStrategy.Type is %q; it must be SIMPLE or TERMINAL", s.Type)
}

func (s RoutingStrategy) pairs() []any {
	return []any{"type", string(s.Type), "fleet", string(s.FleetID), "message", s.Message}
}

func (s RoutingStrategy) fleetKeyOr(other string) string {
	if s.FleetID == "" {
		return other
	}
	return fleetKey(s.FleetID)
}

func routesNowhere(s RoutingStrategy) error {
	return failure(ErrInvalidRequest, "RoutingStrategy.FleetId is %s, and there is no such fleet", s.FleetID)
}

// DescribeAlias reads an alias, given by its id or ARN. It costs one command, and fails with ErrNotFound.
func (a *Allocator) DescribeAlias(ctx context.Context, idOrARN AliasID) (*Alias, error) {
	id := a.aliasID(idOrARN)
	stored, err := a.redis.HGetAll(ctx, aliasKey(id)).Result()
	if err != nil {
		return nil, a.failed(err, 0)
	}
	if len(stored) == 0 {
		return nil, aliasNotFound(idOrARN)
	}
	return a.alias(id, stored), nil
}

// ResolveAlias returns the fleet to which an alias leads. It costs one command, and fails with ErrNotFound, or with
// ErrTerminalRoutingStrategy and the alias's message.
func (a *Allocator) ResolveAlias(ctx context.Context, idOrARN AliasID) (FleetID, error) {
	alias, err := a.DescribeAlias(ctx, idOrARN)
	if err != nil {
		return "", err
	}
	if alias.RoutingStrategy.Type == RoutingTerminal {
		return "", failure(ErrTerminalRoutingStrategy, "%s", alias.RoutingStrategy.Message)
	}
	return alias.RoutingStrategy.FleetID, nil
}

// UpdateAliasInput says what to change of an alias. What is nil stays as it is.
type UpdateAliasInput struct {
	AliasID         AliasID // id or ARN
	Name            *string
	Description     *string
	RoutingStrategy *RoutingStrategy
}

// UpdateAlias changes an alias. It fails with ErrInvalidRequest or ErrNotFound.
func (a *Allocator) UpdateAlias(ctx context.Context, in UpdateAliasInput) (*Alias, error) {
	id := a.aliasID(in.AliasID)
	var args []any
	if in.Name != nil {
		if strings.TrimSpace(*in.Name) == "" {
			return nil, failure(ErrInvalidRequest, "Name is empty; give the alias a name")
		}
		args = append(args, "name", *in.Name)
	}
	if in.Description != nil {
		args = append(args, "description", *in.Description)
	}
	var strategy RoutingStrategy
	if in.RoutingStrategy != nil {
		var err error
		if strategy, err = a.routing(*in.RoutingStrategy); err != nil {
			return nil, err
		}
		args = append(args, strategy.pairs()...)
	}
	reply, err := a.run(ctx, updateAliasScript, []string{aliasKey(id), strategy.fleetKeyOr(aliasKey(id))}, args...)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return a.alias(id, reply.list(1).record()), nil
	case "ALIAS_NOT_FOUND":
		return nil, aliasNotFound(in.AliasID)
	case "FLEET_NOT_FOUND":
		return nil, routesNowhere(strategy)
	}
	return nil, updateAliasScript.unexpected(reply)
}

// DeleteAlias deletes an alias and its tags. It fails with ErrNotFound.
func (a *Allocator) DeleteAlias(ctx context.Context, idOrARN AliasID) error {
	id := a.aliasID(idOrARN)
	reply, err := a.runDeletion(ctx, deleteAliasScript, []string{aliasKey(id), aliasesKey, tagsKey("alias/" + string(id))}, string(id))
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "ALIAS_NOT_FOUND":
		return aliasNotFound(idOrARN)
	}
	return deleteAliasScript.unexpected(reply)
}

// ListAliasesInput says which aliases to list.
type ListAliasesInput struct {
	RoutingStrategyType RoutingStrategyType // empty: both
	Name                string              // empty: any
	Limit               int                 // up to 100; 0 is 50
	NextToken           string
}

// ListAliases reads aliases, oldest first, and the token of the next page. A page costs one command for the index and one
// for each alias, in two round trips, and again for each hundred aliases that the filters pass over.
func (a *Allocator) ListAliases(ctx context.Context, in ListAliasesInput) ([]Alias, string, error) {
	var keep func(Alias) bool
	if in.RoutingStrategyType != "" || in.Name != "" {
		keep = func(alias Alias) bool {
			return (in.RoutingStrategyType == "" || alias.RoutingStrategy.Type == in.RoutingStrategyType) && (in.Name == "" || alias.Name == in.Name)
		}
	}
	scope := []string{"ListAliases", string(in.RoutingStrategyType), in.Name}
	return page(ctx, a, pageRequest{limit: in.Limit, token: in.NextToken, scope: scope}, a.names(aliasesKey), readRefs(a.readAliases), keep)
}

func (a *Allocator) readAliases(ctx context.Context, names []ref) ([]Alias, error) {
	return readNamed(ctx, a, names, func(name string) string { return aliasKey(AliasID(name)) }, func(name string, stored record) Alias {
		return *a.alias(AliasID(name), stored)
	})
}

func (a *Allocator) alias(id AliasID, stored record) *Alias {
	return &Alias{
		ID:          id,
		ARN:         a.arn("alias/" + string(id)),
		Name:        stored["name"],
		Description: stored["description"],
		RoutingStrategy: RoutingStrategy{
			Type: RoutingStrategyType(stored["type"]), FleetID: FleetID(stored["fleet"]), Message: stored["message"],
		},
		CreationTime:    stored.time("created"),
		LastUpdatedTime: stored.time("updated"),
	}
}

func (alias Alias) cursor() cursor { return cursor{alias.CreationTime.UnixMilli(), string(alias.ID)} }

// aliasID returns the alias's id without the ARN around it, if there is one.
func (a *Allocator) aliasID(idOrARN AliasID) AliasID {
	if id, ok := strings.CutPrefix(string(idOrARN), a.arn("alias/")); ok {
		return AliasID(id)
	}
	return idOrARN
}

func aliasNotFound(id AliasID) error { return failure(ErrNotFound, "there is no alias %s", id) }

// resolve returns the fleet that an input names, by its id, its ARN, or an alias.
func (a *Allocator) resolve(ctx context.Context, fleet FleetID, alias AliasID) (FleetID, error) {
	switch {
	case fleet != "" && alias != "":
		return "", failure(ErrInvalidRequest, "FleetId and AliasId are both given; give one")
	case alias != "":
		return a.ResolveAlias(ctx, alias)
	case fleet == "":
		return "", failure(ErrInvalidRequest, "neither FleetId nor AliasId is given; give one")
	}
	return a.fleetID(fleet), nil
}

// readNamed reads the records of names of the control plane, in their order, leaving out those that are gone. It costs one
// command each, in one round trip.
func readNamed[T any](ctx context.Context, a *Allocator, names []ref, key func(string) string, build func(string, record) T) ([]T, error) {
	cmds := make([]*redis.MapStringStringCmd, len(names))
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i, name := range names {
			cmds[i] = pipe.HGetAll(ctx, key(name.text))
		}
	})
	if err != nil {
		return nil, err
	}
	var all []T
	for i, name := range names {
		if stored := cmds[i].Val(); len(stored) > 0 {
			all = append(all, build(name.text, stored))
		}
	}
	return all, nil
}
