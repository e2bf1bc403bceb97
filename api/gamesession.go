package api

import (
	"context"
	"maps"
	"slices"

	"github.com/berthgg/berth/allocator"
)

type gameSession struct {
	GameSessionId               string
	Name                        string `json:",omitzero"`
	FleetId                     string
	FleetArn                    string
	CreationTime                timestamp
	TerminationTime             timestamp `json:",omitzero"`
	CurrentPlayerSessionCount   int
	MaximumPlayerSessionCount   int
	Status                      string
	StatusReason                string         `json:",omitzero"`
	GameProperties              []gameProperty `json:",omitzero"`
	IpAddress                   string         `json:",omitzero"`
	DnsName                     string         `json:",omitzero"`
	Port                        int            `json:",omitzero"`
	PlayerSessionCreationPolicy string
	CreatorId                   string `json:",omitzero"`
	GameSessionData             string `json:",omitzero"`
	Location                    string `json:",omitzero"`
	ComputeName                 string `json:",omitzero"`
	PlayerGatewayStatus         string
}

type gameProperty struct {
	Key   *string `validate:"required,max=32"`
	Value *string `validate:"required,max=96"`
}

func gameSessionShape(s allocator.GameSession) gameSession {
	return gameSession{
		GameSessionId:               string(s.ID),
		Name:                        s.Name,
		FleetId:                     string(s.FleetID),
		FleetArn:                    s.FleetARN,
		CreationTime:                timestamp(s.CreationTime),
		TerminationTime:             timestamp(s.TerminationTime),
		StatusReason:                string(s.StatusReason),
		CurrentPlayerSessionCount:   s.CurrentPlayerSessionCount,
		MaximumPlayerSessionCount:   s.MaximumPlayerSessionCount,
		Status:                      string(s.Status),
		GameProperties:              propertyShapes(s.GameProperties),
		IpAddress:                   s.IPAddress,
		DnsName:                     s.DNSName,
		Port:                        s.Port,
		PlayerSessionCreationPolicy: string(s.PlayerSessionCreationPolicy),
		CreatorId:                   s.CreatorID,
		GameSessionData:             s.GameSessionData,
		Location:                    s.Location,
		ComputeName:                 s.ComputeName,
		PlayerGatewayStatus:         "DISABLED",
	}
}

type gameSessionOutput struct{ GameSession gameSession }

func gameSessionResult(s *allocator.GameSession, err error) (*gameSessionOutput, error) {
	if err != nil {
		return nil, err
	}
	return &gameSessionOutput{gameSessionShape(*s)}, nil
}

// propertyShapes lists game properties in the order of their keys.
func propertyShapes(of map[string]string) []gameProperty {
	var list []gameProperty
	for _, key := range slices.Sorted(maps.Keys(of)) {
		text := of[key]
		list = append(list, gameProperty{&key, &text})
	}
	return list
}

// gameProperties makes a map of a list of game properties.
func gameProperties(list []gameProperty) (map[string]string, error) {
	properties := make(map[string]string, len(list))
	for _, property := range list {
		if _, twice := properties[*property.Key]; twice {
			return nil, invalid("GameProperties has the key %q twice; give each key once", *property.Key)
		}
		properties[*property.Key] = *property.Value
	}
	return properties, nil
}

type createGameSessionInput struct {
	FleetId                   *string        `validate:"omitnil,min=1,max=512,pattern=fleetIdOrArn"`
	AliasId                   *string        `validate:"omitnil,pattern=aliasIdOrArn"`
	MaximumPlayerSessionCount *int           `validate:"required,min=0"`
	Name                      *string        `validate:"omitnil,min=1,max=1024"`
	GameProperties            []gameProperty `validate:"max=16,dive"`
	CreatorId                 *string        `validate:"omitnil,min=1,max=1024"`
	GameSessionId             *string        `validate:"omitnil,min=1,max=48,pattern=token"`
	IdempotencyToken          *string        `validate:"omitnil,min=1,max=48,pattern=token"`
	GameSessionData           *string        `validate:"omitnil,min=1,max=262144"`
	Location                  *string        `validate:"omitnil,min=1,max=64,pattern=location"`
}

func createGameSession(ctx context.Context, a *allocator.Allocator, in *createGameSessionInput, by caller) (*gameSessionOutput, error) {
	if in.GameSessionId != nil && in.IdempotencyToken != nil {
		return nil, invalid("GameSessionId and IdempotencyToken are both given; give one, either ends the new game session's id")
	}
	properties, err := gameProperties(in.GameProperties)
	if err != nil {
		return nil, err
	}
	return gameSessionResult(a.CreateGameSession(ctx, allocator.CreateGameSessionInput{
		FleetID:                   allocator.FleetID(value(in.FleetId)),
		AliasID:                   allocator.AliasID(value(in.AliasId)),
		Location:                  value(in.Location),
		MaximumPlayerSessionCount: *in.MaximumPlayerSessionCount,
		Name:                      value(in.Name),
		GameProperties:            properties,
		GameSessionData:           value(in.GameSessionData),
		CreatorID:                 value(in.CreatorId),
		GameSessionID:             value(in.GameSessionId),
		IdempotencyToken:          value(in.IdempotencyToken),
		RetryToken:                by.retryToken,
	}))
}

type describeGameSessionsInput struct {
	FleetId       *string `validate:"omitnil,min=1,max=512,pattern=fleetIdOrArn"`
	GameSessionId *string `validate:"omitnil,min=1,max=512,pattern=gameSessionId"`
	AliasId       *string `validate:"omitnil,pattern=aliasIdOrArn"`
	Location      *string `validate:"omitnil,min=1,max=64,pattern=location"`
	StatusFilter  *string `validate:"omitnil,min=1,max=1024"`
	Limit         *int    `validate:"omitnil,min=1"`
	NextToken     *string `validate:"omitnil,min=1,max=1024"`
}

type gameSessionsOutput struct {
	GameSessions []gameSession
	NextToken    string `json:",omitzero"`
}

func (in *describeGameSessionsInput) describe(ctx context.Context, a *allocator.Allocator) (*allocator.DescribeGameSessionsOutput, error) {
	return a.DescribeGameSessions(ctx, allocator.DescribeGameSessionsInput{
		GameSessionID: allocator.GameSessionID(value(in.GameSessionId)),
		FleetID:       allocator.FleetID(value(in.FleetId)),
		AliasID:       allocator.AliasID(value(in.AliasId)),
		Location:      value(in.Location),
		StatusFilter:  allocator.GameSessionStatus(value(in.StatusFilter)),
		Limit:         value(in.Limit),
		NextToken:     value(in.NextToken),
	})
}

func describeGameSessions(ctx context.Context, a *allocator.Allocator, in *describeGameSessionsInput, _ caller) (*gameSessionsOutput, error) {
	out, err := in.describe(ctx, a)
	if err != nil {
		return nil, err
	}
	return &gameSessionsOutput{shapes(out.GameSessions, gameSessionShape), out.NextToken}, nil
}

type gameSessionDetail struct {
	GameSession      gameSession
	ProtectionPolicy string
}

type gameSessionDetailsOutput struct {
	GameSessionDetails []gameSessionDetail
	NextToken          string `json:",omitzero"`
}

func describeGameSessionDetails(ctx context.Context, a *allocator.Allocator, in *describeGameSessionsInput, _ caller) (*gameSessionDetailsOutput, error) {
	out, err := in.describe(ctx, a)
	if err != nil {
		return nil, err
	}
	details := shapes(out.GameSessions, func(s allocator.GameSession) gameSessionDetail {
		return gameSessionDetail{gameSessionShape(s), string(s.ProtectionPolicy)}
	})
	return &gameSessionDetailsOutput{details, out.NextToken}, nil
}

type searchGameSessionsInput struct {
	FleetId          *string `validate:"omitnil,min=1,max=512,pattern=fleetIdOrArn"`
	AliasId          *string `validate:"omitnil,pattern=aliasIdOrArn"`
	Location         *string `validate:"omitnil,min=1,max=64,pattern=location"`
	FilterExpression *string `validate:"omitnil,min=1,max=1024"`
	SortExpression   *string `validate:"omitnil,min=1,max=1024"`
	Limit            *int    `validate:"omitnil,min=1"`
	NextToken        *string `validate:"omitnil,min=1,max=1024"`
}

func searchGameSessions(ctx context.Context, a *allocator.Allocator, in *searchGameSessionsInput, _ caller) (*gameSessionsOutput, error) {
	games, next, err := a.SearchGameSessions(ctx, allocator.SearchGameSessionsInput{
		FleetID:          allocator.FleetID(value(in.FleetId)),
		AliasID:          allocator.AliasID(value(in.AliasId)),
		Location:         value(in.Location),
		FilterExpression: value(in.FilterExpression),
		SortExpression:   value(in.SortExpression),
		Limit:            value(in.Limit),
		NextToken:        value(in.NextToken),
	})
	if err != nil {
		return nil, err
	}
	return &gameSessionsOutput{shapes(games, gameSessionShape), next}, nil
}

type terminateGameSessionInput struct {
	GameSessionId   *string `validate:"required,min=1,max=512,pattern=gameSessionId"`
	TerminationMode *string `validate:"required,oneof=TRIGGER_ON_PROCESS_TERMINATE FORCE_TERMINATE"`
}

func terminateGameSession(ctx context.Context, a *allocator.Allocator, in *terminateGameSessionInput, _ caller) (*gameSessionOutput, error) {
	return gameSessionResult(a.TerminateGameSession(ctx, allocator.TerminateGameSessionInput{
		GameSessionID: allocator.GameSessionID(*in.GameSessionId),
		Mode:          allocator.TerminationMode(*in.TerminationMode),
	}))
}

type updateGameSessionInput struct {
	GameSessionId               *string        `validate:"required,min=1,max=512,pattern=gameSessionId"`
	MaximumPlayerSessionCount   *int           `validate:"omitnil,min=0"`
	Name                        *string        `validate:"omitnil,min=1,max=1024"`
	PlayerSessionCreationPolicy *string        `validate:"omitnil,oneof=ACCEPT_ALL DENY_ALL"`
	ProtectionPolicy            *string        `validate:"omitnil,oneof=NoProtection FullProtection"`
	GameProperties              []gameProperty `validate:"max=16,dive"`
}

func updateGameSession(ctx context.Context, a *allocator.Allocator, in *updateGameSessionInput, _ caller) (*gameSessionOutput, error) {
	properties, err := gameProperties(in.GameProperties)
	if err != nil {
		return nil, err
	}
	return gameSessionResult(a.UpdateGameSession(ctx, allocator.UpdateGameSessionInput{
		GameSessionID:               allocator.GameSessionID(*in.GameSessionId),
		MaximumPlayerSessionCount:   in.MaximumPlayerSessionCount,
		Name:                        in.Name,
		PlayerSessionCreationPolicy: (*allocator.PlayerSessionCreationPolicy)(in.PlayerSessionCreationPolicy),
		ProtectionPolicy:            (*allocator.ProtectionPolicy)(in.ProtectionPolicy),
		GameProperties:              properties,
	}))
}
