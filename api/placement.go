package api

import (
	"context"

	"github.com/berthgg/berth/allocator"
)

type gameSessionPlacement struct {
	PlacementId                   string
	GameSessionQueueName          string
	Status                        string
	GameProperties                []gameProperty `json:",omitzero"`
	MaximumPlayerSessionCount     int
	GameSessionName               string                         `json:",omitzero"`
	GameSessionId                 string                         `json:",omitzero"`
	GameSessionArn                string                         `json:",omitzero"`
	GameSessionRegion             string                         `json:",omitzero"`
	PlayerLatencies               []playerLatency                `json:",omitzero"`
	StartTime                     timestamp                      `json:",omitzero"`
	EndTime                       timestamp                      `json:",omitzero"`
	IpAddress                     string                         `json:",omitzero"`
	DnsName                       string                         `json:",omitzero"`
	Port                          int                            `json:",omitzero"`
	PlacedPlayerSessions          []placedPlayerSession          `json:",omitzero"`
	GameSessionData               string                         `json:",omitzero"`
	PriorityConfigurationOverride *priorityConfigurationOverride `json:",omitzero"`
	PlayerGatewayStatus           string
}

type playerLatency struct {
	PlayerId              *string  `validate:"omitnil,min=1,max=1024"`
	RegionIdentifier      *string  `validate:"omitnil,min=1,max=1024"`
	LatencyInMilliseconds *float32 `validate:"omitnil,min=0,max=2147483647"`
}

type desiredPlayerSession struct {
	PlayerId   *string `validate:"omitnil,min=1,max=1024"`
	PlayerData *string `validate:"omitnil,min=1,max=2048"`
}

type placedPlayerSession struct{ PlayerId, PlayerSessionId string }

type priorityConfigurationOverride struct {
	PlacementFallbackStrategy *string  `json:",omitzero" validate:"omitnil,oneof=DEFAULT_AFTER_SINGLE_PASS NONE"`
	LocationOrder             []string `validate:"required,min=1,max=10,unique,dive,min=1,max=64,pattern=location"`
}

func placementShape(p allocator.Placement) gameSessionPlacement {
	shape := gameSessionPlacement{
		PlacementId:               p.ID,
		GameSessionQueueName:      p.QueueName,
		Status:                    string(p.Status),
		GameProperties:            propertyShapes(p.GameProperties),
		MaximumPlayerSessionCount: p.MaximumPlayerSessionCount,
		GameSessionName:           p.GameSessionName,
		GameSessionArn:            string(p.GameSession),
		GameSessionId:             string(p.GameSession),
		GameSessionRegion:         p.Region,
		StartTime:                 timestamp(p.StartTime),
		EndTime:                   timestamp(p.EndTime),
		IpAddress:                 p.IPAddress,
		DnsName:                   p.DNSName,
		Port:                      p.Port,
		GameSessionData:           p.GameSessionData,
		PlayerGatewayStatus:       "DISABLED",
	}
	for _, latency := range p.PlayerLatencies {
		milliseconds := float32(latency.Milliseconds) // what the model says, and the Go SDK takes nothing wider in CBOR
		shape.PlayerLatencies = append(shape.PlayerLatencies, playerLatency{&latency.PlayerID, &latency.Location, &milliseconds})
	}
	for _, placed := range p.PlacedPlayerSessions {
		shape.PlacedPlayerSessions = append(shape.PlacedPlayerSessions, placedPlayerSession{placed.PlayerID, string(placed.PlayerSessionID)})
	}
	if override := p.PriorityOverride; override != nil {
		strategy := "DEFAULT_AFTER_SINGLE_PASS"
		if override.Only {
			strategy = "NONE"
		}
		shape.PriorityConfigurationOverride = &priorityConfigurationOverride{&strategy, override.LocationOrder}
	}
	return shape
}

type gameSessionPlacementOutput struct{ GameSessionPlacement gameSessionPlacement }

func placementResult(p *allocator.Placement, err error) (*gameSessionPlacementOutput, error) {
	if err != nil {
		return nil, err
	}
	return &gameSessionPlacementOutput{placementShape(*p)}, nil
}

type startGameSessionPlacementInput struct {
	PlacementId                   *string                        `validate:"required,min=1,max=48,pattern=token"`
	GameSessionQueueName          *string                        `validate:"required,min=1,max=256,pattern=queueNameOrArn"`
	GameProperties                []gameProperty                 `validate:"max=16,dive"`
	MaximumPlayerSessionCount     *int                           `validate:"required,min=0"`
	GameSessionName               *string                        `validate:"omitnil,min=1,max=1024"`
	PlayerLatencies               []playerLatency                `validate:"dive"`
	DesiredPlayerSessions         []desiredPlayerSession         `validate:"dive"`
	GameSessionData               *string                        `validate:"omitnil,min=1,max=262144"`
	PriorityConfigurationOverride *priorityConfigurationOverride `validate:"omitnil"`
}

func startGameSessionPlacement(ctx context.Context, a *allocator.Allocator, in *startGameSessionPlacementInput, by caller) (*gameSessionPlacementOutput, error) {
	properties, err := gameProperties(in.GameProperties)
	if err != nil {
		return nil, err
	}
	start := allocator.StartGameSessionPlacementInput{
		PlacementID:               *in.PlacementId,
		QueueName:                 *in.GameSessionQueueName,
		MaximumPlayerSessionCount: *in.MaximumPlayerSessionCount,
		GameSessionName:           value(in.GameSessionName),
		GameSessionData:           value(in.GameSessionData),
		GameProperties:            properties,
		RetryToken:                by.retryToken,
	}
	for i, latency := range in.PlayerLatencies {
		if latency.PlayerId == nil || latency.RegionIdentifier == nil || latency.LatencyInMilliseconds == nil {
			return nil, invalid("PlayerLatencies[%d] lacks PlayerId, RegionIdentifier or LatencyInMilliseconds; a latency is of no use without all three", i)
		}
		start.PlayerLatencies = append(start.PlayerLatencies, allocator.PlayerLatency{
			PlayerID: *latency.PlayerId, Location: *latency.RegionIdentifier, Milliseconds: float64(*latency.LatencyInMilliseconds),
		})
	}
	for i, desired := range in.DesiredPlayerSessions {
		if desired.PlayerId == nil {
			return nil, invalid("DesiredPlayerSessions[%d].PlayerId is missing; say for whom the slot is", i)
		}
		start.DesiredPlayerSessions = append(start.DesiredPlayerSessions, allocator.DesiredPlayerSession{
			PlayerID: *desired.PlayerId, PlayerData: value(desired.PlayerData),
		})
	}
	if override := in.PriorityConfigurationOverride; override != nil {
		start.PriorityOverride = &allocator.PriorityOverride{
			LocationOrder: override.LocationOrder, Only: value(override.PlacementFallbackStrategy) == "NONE",
		}
	}
	return placementResult(a.StartGameSessionPlacement(ctx, start))
}

type placementInput struct {
	PlacementId *string `validate:"required,min=1,max=48,pattern=token"`
}

func describeGameSessionPlacement(ctx context.Context, a *allocator.Allocator, in *placementInput, _ caller) (*gameSessionPlacementOutput, error) {
	return placementResult(a.DescribeGameSessionPlacement(ctx, *in.PlacementId))
}

func stopGameSessionPlacement(ctx context.Context, a *allocator.Allocator, in *placementInput, _ caller) (*gameSessionPlacementOutput, error) {
	return placementResult(a.StopGameSessionPlacement(ctx, *in.PlacementId))
}
