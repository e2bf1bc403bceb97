package api

import (
	"context"
	"time"

	"github.com/berthgg/berth/allocator"
)

type gameSessionQueue struct {
	Name                  string
	GameSessionQueueArn   string
	TimeoutInSeconds      int
	PlayerLatencyPolicies []playerLatencyPolicy  `json:",omitzero"`
	Destinations          []queueDestination     `json:",omitzero"`
	FilterConfiguration   *filterConfiguration   `json:",omitzero"`
	PriorityConfiguration *priorityConfiguration `json:",omitzero"`
	CustomEventData       string                 `json:",omitzero"`
	NotificationTarget    string                 `json:",omitzero"`
}

type playerLatencyPolicy struct {
	MaximumIndividualPlayerLatencyMilliseconds *int `json:",omitzero" validate:"omitnil,min=0,max=2147483647"`
	PolicyDurationSeconds                      *int `json:",omitzero" validate:"omitnil,min=0,max=2147483647"`
}

type queueDestination struct {
	DestinationArn *string `validate:"required,min=1,max=512,pattern=destinationArn"`
}

type filterConfiguration struct {
	AllowedLocations []string `validate:"omitnil,min=1,max=100,dive,min=1,max=64,pattern=location"`
}

type priorityConfiguration struct {
	PriorityOrder []string `json:",omitzero" validate:"omitnil,min=1,max=4,unique,dive,oneof=LATENCY COST DESTINATION LOCATION"`
	LocationOrder []string `json:",omitzero" validate:"omitnil,min=1,max=100,unique,dive,min=1,max=64,pattern=location"`
}

func queueShape(q allocator.Queue) gameSessionQueue {
	shape := gameSessionQueue{
		Name:                q.Name,
		GameSessionQueueArn: q.ARN,
		TimeoutInSeconds:    int(q.Timeout / time.Second),
		CustomEventData:     q.CustomEventData,
		NotificationTarget:  q.NotificationTarget,
	}
	for _, policy := range q.LatencyPolicies {
		maximum, duration := int(policy.Maximum/time.Millisecond), int(policy.Duration/time.Second)
		limit := playerLatencyPolicy{MaximumIndividualPlayerLatencyMilliseconds: &maximum}
		if duration > 0 {
			limit.PolicyDurationSeconds = &duration
		}
		shape.PlayerLatencyPolicies = append(shape.PlayerLatencyPolicies, limit)
	}
	for _, arn := range q.Destinations {
		shape.Destinations = append(shape.Destinations, queueDestination{&arn})
	}
	if q.AllowedLocations != nil {
		shape.FilterConfiguration = &filterConfiguration{q.AllowedLocations}
	}
	if q.PriorityOrder != nil || q.LocationOrder != nil {
		shape.PriorityConfiguration = &priorityConfiguration{LocationOrder: q.LocationOrder}
		for _, priority := range q.PriorityOrder {
			shape.PriorityConfiguration.PriorityOrder = append(shape.PriorityConfiguration.PriorityOrder, string(priority))
		}
	}
	return shape
}

// queueSettings are the members that creating and updating a queue have in common.
type queueSettings struct {
	TimeoutInSeconds      *int                   `validate:"omitnil,min=0,max=2147483647"`
	PlayerLatencyPolicies []playerLatencyPolicy  `validate:"dive"`
	Destinations          []queueDestination     `validate:"dive"`
	FilterConfiguration   *filterConfiguration   `validate:"omitnil"`
	PriorityConfiguration *priorityConfiguration `validate:"omitnil"`
	CustomEventData       *string                `validate:"omitnil,max=256"`
	NotificationTarget    *string                `validate:"omitnil,max=300,pattern=notification"`
}

// update returns the settings that are given. An empty list is given, and takes away what was there.
func (s *queueSettings) update() allocator.UpdateGameSessionQueueInput {
	in := allocator.UpdateGameSessionQueueInput{CustomEventData: s.CustomEventData, NotificationTarget: s.NotificationTarget}
	if s.TimeoutInSeconds != nil {
		timeout := time.Duration(*s.TimeoutInSeconds) * time.Second
		in.Timeout = &timeout
	}
	if s.PlayerLatencyPolicies != nil {
		in.LatencyPolicies = shapes(s.PlayerLatencyPolicies, func(p playerLatencyPolicy) allocator.LatencyPolicy {
			return allocator.LatencyPolicy{
				Maximum:  time.Duration(value(p.MaximumIndividualPlayerLatencyMilliseconds)) * time.Millisecond,
				Duration: time.Duration(value(p.PolicyDurationSeconds)) * time.Second,
			}
		})
	}
	if s.Destinations != nil {
		in.Destinations = shapes(s.Destinations, func(d queueDestination) string { return *d.DestinationArn })
	}
	if s.FilterConfiguration != nil {
		in.AllowedLocations = append([]string{}, s.FilterConfiguration.AllowedLocations...)
	}
	if s.PriorityConfiguration != nil {
		in.PriorityOrder = shapes(s.PriorityConfiguration.PriorityOrder, func(p string) allocator.Priority { return allocator.Priority(p) })
		in.LocationOrder = append([]string{}, s.PriorityConfiguration.LocationOrder...)
	}
	return in
}

type gameSessionQueueOutput struct{ GameSessionQueue gameSessionQueue }

func queueResult(q *allocator.Queue, err error) (*gameSessionQueueOutput, error) {
	if err != nil {
		return nil, err
	}
	return &gameSessionQueueOutput{queueShape(*q)}, nil
}

type createGameSessionQueueInput struct {
	Name *string `validate:"required,min=1,max=128,pattern=queueName"`
	queueSettings
	Tags []tag `validate:"max=200,dive"`
}

func createGameSessionQueue(ctx context.Context, a *allocator.Allocator, in *createGameSessionQueueInput, by caller) (*gameSessionQueueOutput, error) {
	settings := in.update()
	return queueResult(a.CreateGameSessionQueue(ctx, allocator.CreateGameSessionQueueInput{
		Queue: allocator.Queue{
			Name:               *in.Name,
			Timeout:            value(settings.Timeout),
			LatencyPolicies:    settings.LatencyPolicies,
			Destinations:       settings.Destinations,
			AllowedLocations:   settings.AllowedLocations,
			PriorityOrder:      settings.PriorityOrder,
			LocationOrder:      settings.LocationOrder,
			CustomEventData:    value(settings.CustomEventData),
			NotificationTarget: value(settings.NotificationTarget),
		},
		Tags:       tagsOf(in.Tags),
		RetryToken: by.retryToken,
	}))
}

type updateGameSessionQueueInput struct {
	Name *string `validate:"required,min=1,max=256,pattern=queueNameOrArn"`
	queueSettings
}

func updateGameSessionQueue(ctx context.Context, a *allocator.Allocator, in *updateGameSessionQueueInput, _ caller) (*gameSessionQueueOutput, error) {
	update := in.update()
	update.Name = *in.Name
	return queueResult(a.UpdateGameSessionQueue(ctx, update))
}

type queueInput struct {
	Name *string `validate:"required,min=1,max=256,pattern=queueNameOrArn"`
}

func deleteGameSessionQueue(ctx context.Context, a *allocator.Allocator, in *queueInput, _ caller) (*nothing, error) {
	return &nothing{}, a.DeleteGameSessionQueue(ctx, *in.Name)
}

type describeGameSessionQueuesInput struct {
	Names     []string `validate:"dive,min=1,max=256,pattern=queueNameOrArn"`
	Limit     *int     `validate:"omitnil,min=1"`
	NextToken *string  `validate:"omitnil,min=1,max=1024"`
}

type describeGameSessionQueuesOutput struct {
	GameSessionQueues []gameSessionQueue
	NextToken         string `json:",omitzero"`
}

func describeGameSessionQueues(ctx context.Context, a *allocator.Allocator, in *describeGameSessionQueuesInput, _ caller) (*describeGameSessionQueuesOutput, error) {
	queues, next, err := a.DescribeGameSessionQueues(ctx, in.Names, value(in.Limit), value(in.NextToken))
	if err != nil {
		return nil, err
	}
	return &describeGameSessionQueuesOutput{shapes(queues, queueShape), next}, nil
}
