package allocator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Queue is a game session queue: it places new game sessions in the best of its destinations.
type Queue struct {
	Name               string
	ARN                string
	Timeout            time.Duration // how long a placement may stay PENDING; whole seconds
	LatencyPolicies    []LatencyPolicy
	Destinations       []string // ARNs of fleets and aliases, in order of preference
	AllowedLocations   []string // none: all
	PriorityOrder      []Priority
	LocationOrder      []string
	CustomEventData    string
	NotificationTarget string
	CreationTime       time.Time
}

// LatencyPolicy is the highest latency that a player may have at the location of the game session, for so long. The policies
// of a queue follow one another from the lowest maximum to the highest.
type LatencyPolicy struct {
	Maximum  time.Duration // whole milliseconds
	Duration time.Duration // whole seconds since the policy before; zero of the last: until the end
}

// strictestFirst is the order in which latency policies are in force.
func strictestFirst(policies []LatencyPolicy) []LatencyPolicy {
	return slices.SortedStableFunc(slices.Values(policies), func(x, y LatencyPolicy) int { return cmp.Compare(x.Maximum, y.Maximum) })
}

// Priority is what makes one place better than another.
type Priority string

// The priorities, in the order that they have by default.
const (
	PriorityLatency     Priority = "LATENCY"
	PriorityCost        Priority = "COST"
	PriorityDestination Priority = "DESTINATION"
	PriorityLocation    Priority = "LOCATION"
)

var defaultPriorities = []Priority{PriorityLatency, PriorityCost, PriorityDestination, PriorityLocation}

// defaultQueueTimeout is how long a placement may stay PENDING when the queue does not say.
const defaultQueueTimeout = 10 * time.Minute

// CreateGameSessionQueueInput says what queue to create.
type CreateGameSessionQueueInput struct {
	Queue      // its ARN and CreationTime play no part; a Timeout of zero is ten minutes
	Tags       map[string]string
	RetryToken string // as in CreatePlayerSessionInput
}

// CreateGameSessionQueue creates a queue.
//
// It fails with ErrInvalidRequest, also when there is a queue of that name, ErrNotFound when a destination is not there, or
// ErrLimitExceeded.
func (a *Allocator) CreateGameSessionQueue(ctx context.Context, in CreateGameSessionQueueInput) (*Queue, error) {
	if in.Name == "" {
		return nil, failure(ErrInvalidRequest, "Name is empty; give the queue a name")
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := a.checkQueue(ctx, in.LatencyPolicies, in.Destinations); err != nil {
		return nil, err
	}
	settings := []string{
		"timeout", countText(int(cmp.Or(in.Timeout, defaultQueueTimeout).Milliseconds())),
		"latency_policies", latencyPolicyText(in.LatencyPolicies),
		"destinations", strings.Join(in.Destinations, "\n"),
		"allowed_locations", strings.Join(in.AllowedLocations, "\n"),
		"priority_order", priorityText(in.PriorityOrder),
		"location_order", strings.Join(in.LocationOrder, "\n"),
		"event_data", in.CustomEventData,
		"notification_target", in.NotificationTarget,
	}
	call := a.shorten(append([]string{"queue", retryToken(in.RetryToken)}, settings...)...)
	args := []any{in.Name, call, a.quotas.Queues, 2 * len(in.Tags)}
	args = append(args, tagPairs(in.Tags)...)
	args = append(args, pairs(settings...)...)
	reply, err := a.run(ctx, createGameSessionQueueScript, []string{queueKey(in.Name), queuesKey, tagsKey(queueResource + in.Name)}, args...)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return a.queue(in.Name, reply.list(1).record()), nil
	case "EXISTS":
		return nil, failure(ErrInvalidRequest, "there is a queue %s already; choose another name, or change it with UpdateGameSessionQueue", in.Name)
	case "LIMIT":
		return nil, quotaReached(a.quotas.Queues, "game session queues", "--max-queues")
	}
	return nil, createGameSessionQueueScript.unexpected(reply)
}

const queueResource = "gamesessionqueue/"

// checkQueue fails when latency policies do not follow one another or a destination is not there.
func (a *Allocator) checkQueue(ctx context.Context, policies []LatencyPolicy, destinations []string) error {
	for i, policy := range strictestFirst(policies) {
		if policy.Duration == 0 && i < len(policies)-1 {
			return failure(ErrInvalidRequest, "PlayerLatencyPolicies has a policy of %d ms without PolicyDurationSeconds; only that with the highest maximum may do without",
				policy.Maximum.Milliseconds())
		}
	}
	for i, destination := range destinations {
		_, err := a.destination(ctx, destination)
		var missing *Error
		if errors.As(err, &missing) && missing.Kind == ErrNotFound {
			return failure(ErrNotFound, "Destinations[%d]: %s", i, missing.Message)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// destination returns the fleet at an ARN of a fleet or an alias; none for a TERMINAL alias. It fails with ErrNotFound.
func (a *Allocator) destination(ctx context.Context, arn string) (FleetID, error) {
	fleet := FleetID(strings.TrimPrefix(arn, a.arn("fleet/")))
	if alias, ok := strings.CutPrefix(arn, a.arn("alias/")); ok {
		found, err := a.DescribeAlias(ctx, AliasID(alias))
		if err != nil || found.RoutingStrategy.Type == RoutingTerminal {
			return "", err
		}
		return found.RoutingStrategy.FleetID, nil
	}
	if string(fleet) == arn || !isName(string(fleet)) {
		return "", failure(ErrNotFound, "%s is no ARN of a fleet or an alias here; those begin with %s or %s", arn, a.arn("fleet/"), a.arn("alias/"))
	}
	if exists, err := a.exists(ctx, fleetKey(fleet)); err != nil || !exists {
		return "", cmp.Or(err, fleetNotFound(fleet))
	}
	return fleet, nil
}

// UpdateGameSessionQueueInput says what to change of a queue. What is nil stays as it is.
type UpdateGameSessionQueueInput struct {
	Name               string // or ARN
	Timeout            *time.Duration
	LatencyPolicies    []LatencyPolicy
	Destinations       []string
	AllowedLocations   []string
	PriorityOrder      []Priority // changed together with LocationOrder
	LocationOrder      []string
	CustomEventData    *string
	NotificationTarget *string
}

// UpdateGameSessionQueue changes a queue, for the placements that are pending too.
//
// It fails with ErrInvalidRequest or ErrNotFound (the queue or a destination).
func (a *Allocator) UpdateGameSessionQueue(ctx context.Context, in UpdateGameSessionQueueInput) (*Queue, error) {
	if err := a.checkQueue(ctx, in.LatencyPolicies, in.Destinations); err != nil {
		return nil, err
	}
	name := a.queueName(in.Name)
	var args []any
	set := func(given bool, field, text string) {
		if given {
			args = append(args, field, text)
		}
	}
	if in.Timeout != nil {
		set(true, "timeout", countText(int(cmp.Or(*in.Timeout, defaultQueueTimeout).Milliseconds())))
	}
	set(in.LatencyPolicies != nil, "latency_policies", latencyPolicyText(in.LatencyPolicies))
	set(in.Destinations != nil, "destinations", strings.Join(in.Destinations, "\n"))
	set(in.AllowedLocations != nil, "allowed_locations", strings.Join(in.AllowedLocations, "\n"))
	set(in.PriorityOrder != nil || in.LocationOrder != nil, "priority_order", priorityText(in.PriorityOrder))
	set(in.PriorityOrder != nil || in.LocationOrder != nil, "location_order", strings.Join(in.LocationOrder, "\n"))
	if in.CustomEventData != nil {
		set(true, "event_data", *in.CustomEventData)
	}
	if in.NotificationTarget != nil {
		set(true, "notification_target", *in.NotificationTarget)
	}
	reply, err := a.run(ctx, updateGameSessionQueueScript, []string{queueKey(name)}, args...)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
		return a.queue(name, reply.list(1).record()), nil
	case "QUEUE_NOT_FOUND":
		return nil, queueNotFound(in.Name)
	}
	return nil, updateGameSessionQueueScript.unexpected(reply)
}

// DeleteGameSessionQueue deletes a queue, given by its name or ARN, and its tags. Placements that it has yet to make fail. It fails
// with ErrNotFound.
func (a *Allocator) DeleteGameSessionQueue(ctx context.Context, nameOrARN string) error {
	name := a.queueName(nameOrARN)
	reply, err := a.runDeletion(ctx, deleteGameSessionQueueScript, []string{queueKey(name), queuesKey, tagsKey(queueResource + name)}, name)
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "QUEUE_NOT_FOUND":
		return queueNotFound(nameOrARN)
	}
	return deleteGameSessionQueueScript.unexpected(reply)
}

// DescribeGameSessionQueues reads queues, given by their names or ARNs, all of them without, oldest first, and the token of the next
// page. Without names it costs two round trips, with names one. It fails with ErrInvalidRequest, or ErrNotFound when one of them is not
// there.
func (a *Allocator) DescribeGameSessionQueues(ctx context.Context, namesOrARNs []string, limit int, token string) ([]Queue, string, error) {
	if len(namesOrARNs) == 0 {
		return page(ctx, a, pageRequest{limit: limit, token: token, scope: []string{"DescribeGameSessionQueues"}}, a.names(queuesKey), readRefs(a.readQueues), nil)
	}
	if len(namesOrARNs) > MaxLimit {
		return nil, "", failure(ErrInvalidRequest, "Names has %d members; give %d at most", len(namesOrARNs), MaxLimit)
	}
	names := make([]ref, len(namesOrARNs))
	for i, name := range namesOrARNs {
		names[i] = ref{text: a.queueName(name)}
	}
	queues, err := a.readQueues(ctx, names)
	if err != nil {
		return nil, "", err
	}
	for i, name := range names {
		if !slices.ContainsFunc(queues, func(q Queue) bool { return q.Name == name.text }) {
			return nil, "", queueNotFound(namesOrARNs[i])
		}
	}
	return queues, "", nil
}

func (a *Allocator) readQueues(ctx context.Context, names []ref) ([]Queue, error) {
	return readNamed(ctx, a, names, queueKey, func(name string, stored record) Queue { return *a.queue(name, stored) })
}

func (a *Allocator) queue(name string, stored record) *Queue {
	q := &Queue{
		Name:               name,
		ARN:                a.arn(queueResource + name),
		Timeout:            time.Duration(stored.int("timeout")) * time.Millisecond,
		Destinations:       lines(stored["destinations"]),
		AllowedLocations:   lines(stored["allowed_locations"]),
		LocationOrder:      lines(stored["location_order"]),
		CustomEventData:    stored["event_data"],
		NotificationTarget: stored["notification_target"],
		CreationTime:       stored.time("created"),
	}
	for _, priority := range lines(stored["priority_order"]) {
		q.PriorityOrder = append(q.PriorityOrder, Priority(priority))
	}
	for _, line := range lines(stored["latency_policies"]) {
		var maximum, duration int64
		_, _ = fmt.Sscan(line, &maximum, &duration) // latencyPolicyText wrote it
		q.LatencyPolicies = append(q.LatencyPolicies, LatencyPolicy{time.Duration(maximum) * time.Millisecond, time.Duration(duration) * time.Second})
	}
	return q
}

func (q Queue) cursor() cursor { return cursor{q.CreationTime.UnixMilli(), q.Name} }

func (a *Allocator) queueName(nameOrARN string) string {
	return strings.TrimPrefix(nameOrARN, a.arn(queueResource))
}

func queueNotFound(name string) error {
	return failure(ErrNotFound, "there is no game session queue %s", name)
}

func latencyPolicyText(policies []LatencyPolicy) string {
	texts := make([]string, len(policies))
	for i, policy := range policies {
		texts[i] = fmt.Sprint(policy.Maximum.Milliseconds(), int64(policy.Duration/time.Second))
	}
	return strings.Join(texts, "\n")
}

func priorityText(priorities []Priority) string {
	texts := make([]string, len(priorities))
	for i, priority := range priorities {
		texts[i] = string(priority)
	}
	return strings.Join(texts, "\n")
}

// lines splits what was joined with line ends; none for an empty text.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
