package api

import (
	"context"

	"github.com/berthgg/berth/allocator"
)

type playerSession struct {
	PlayerSessionId string
	PlayerId        string
	GameSessionId   string
	FleetId         string
	FleetArn        string
	CreationTime    timestamp
	TerminationTime timestamp `json:",omitzero"`
	Status          string
	IpAddress       string `json:",omitzero"`
	DnsName         string `json:",omitzero"`
	Port            int    `json:",omitzero"`
	PlayerData      string `json:",omitzero"`
}

func playerSessionShape(s allocator.PlayerSession) playerSession {
	return playerSession{
		PlayerSessionId: string(s.ID),
		PlayerId:        s.PlayerID,
		GameSessionId:   string(s.GameSessionID),
		FleetId:         string(s.FleetID),
		FleetArn:        s.FleetARN,
		CreationTime:    timestamp(s.CreationTime),
		TerminationTime: timestamp(s.TerminationTime),
		Status:          string(s.Status),
		IpAddress:       s.IPAddress,
		DnsName:         s.DNSName,
		Port:            s.Port,
		PlayerData:      s.PlayerData,
	}
}

type playerSessionOutput struct{ PlayerSession playerSession }

type playerSessionsOutput struct {
	PlayerSessions []playerSession
	NextToken      string `json:",omitzero"`
}

type createPlayerSessionInput struct {
	GameSessionId *string `validate:"required,min=1,max=512,pattern=gameSessionId"`
	PlayerId      *string `validate:"required,min=1,max=1024"`
	PlayerData    *string `validate:"omitnil,min=1,max=2048"`
}

func createPlayerSession(ctx context.Context, a *allocator.Allocator, in *createPlayerSessionInput, by caller) (*playerSessionOutput, error) {
	s, err := a.CreatePlayerSession(ctx, allocator.CreatePlayerSessionInput{
		GameSessionID: allocator.GameSessionID(*in.GameSessionId),
		PlayerID:      *in.PlayerId,
		PlayerData:    value(in.PlayerData),
		RetryToken:    by.retryToken,
	})
	if err != nil {
		return nil, err
	}
	return &playerSessionOutput{playerSessionShape(*s)}, nil
}

type createPlayerSessionsInput struct {
	GameSessionId *string           `validate:"required,min=1,max=512,pattern=gameSessionId"`
	PlayerIds     []string          `validate:"required,min=1,max=25,dive,min=1,max=1024"`
	PlayerDataMap map[string]string `validate:"dive,keys,min=1,max=1024,endkeys,min=1,max=2048"`
}

func createPlayerSessions(ctx context.Context, a *allocator.Allocator, in *createPlayerSessionsInput, by caller) (*playerSessionsOutput, error) {
	sessions, err := a.CreatePlayerSessions(ctx, allocator.CreatePlayerSessionsInput{
		GameSessionID: allocator.GameSessionID(*in.GameSessionId),
		PlayerIDs:     in.PlayerIds,
		PlayerDataMap: in.PlayerDataMap,
		RetryToken:    by.retryToken,
	})
	if err != nil {
		return nil, err
	}
	return &playerSessionsOutput{PlayerSessions: shapes(sessions, playerSessionShape)}, nil
}

type describePlayerSessionsInput struct {
	GameSessionId             *string `validate:"omitnil,min=1,max=512,pattern=gameSessionId"`
	PlayerId                  *string `validate:"omitnil,min=1,max=1024"`
	PlayerSessionId           *string `validate:"omitnil,pattern=playerSessionId"`
	PlayerSessionStatusFilter *string `validate:"omitnil,min=1,max=1024"`
	Limit                     *int    `validate:"omitnil,min=1"`
	NextToken                 *string `validate:"omitnil,min=1,max=1024"`
}

func describePlayerSessions(ctx context.Context, a *allocator.Allocator, in *describePlayerSessionsInput, _ caller) (*playerSessionsOutput, error) {
	out, err := a.DescribePlayerSessions(ctx, allocator.DescribePlayerSessionsInput{
		GameSessionID:   allocator.GameSessionID(value(in.GameSessionId)),
		PlayerID:        value(in.PlayerId),
		PlayerSessionID: allocator.PlayerSessionID(value(in.PlayerSessionId)),
		StatusFilter:    allocator.PlayerSessionStatus(value(in.PlayerSessionStatusFilter)),
		Limit:           value(in.Limit),
		NextToken:       value(in.NextToken),
	})
	if err != nil {
		return nil, err
	}
	return &playerSessionsOutput{shapes(out.PlayerSessions, playerSessionShape), out.NextToken}, nil
}

type playerSessionInput struct {
	GameSessionId   *string `validate:"required,min=1,max=512,pattern=gameSessionId"`
	PlayerSessionId *string `validate:"required,pattern=playerSessionId"`
}

func acceptPlayerSession(ctx context.Context, a *allocator.Allocator, in *playerSessionInput, by caller) (*nothing, error) {
	return &nothing{}, a.AcceptPlayerSession(ctx, allocator.AcceptPlayerSessionInput{
		GameSessionID:   allocator.GameSessionID(*in.GameSessionId),
		PlayerSessionID: allocator.PlayerSessionID(*in.PlayerSessionId),
		RetryToken:      by.retryToken,
	})
}

func removePlayerSession(ctx context.Context, a *allocator.Allocator, in *playerSessionInput, by caller) (*nothing, error) {
	return &nothing{}, a.RemovePlayerSession(ctx, allocator.RemovePlayerSessionInput{
		GameSessionID:   allocator.GameSessionID(*in.GameSessionId),
		PlayerSessionID: allocator.PlayerSessionID(*in.PlayerSessionId),
		RetryToken:      by.retryToken,
	})
}

type placePlayerSessionsInput struct {
	FleetId          *string           `validate:"omitnil,min=1,max=512,pattern=fleetIdOrArn"`
	AliasId          *string           `validate:"omitnil,pattern=aliasIdOrArn"`
	FilterExpression *string           `validate:"omitnil,min=1,max=1024"`
	SortExpression   *string           `validate:"omitnil,min=1,max=1024"`
	PlayerIds        []string          `validate:"required,min=1,max=25,dive,min=1,max=1024"`
	PlayerDataMap    map[string]string `validate:"dive,keys,min=1,max=1024,endkeys,min=1,max=2048"`
}

func placePlayerSessions(ctx context.Context, a *allocator.Allocator, in *placePlayerSessionsInput, by caller) (*playerSessionsOutput, error) {
	sessions, err := a.PlacePlayerSessions(ctx, allocator.PlacePlayerSessionsInput{
		FleetID:          allocator.FleetID(value(in.FleetId)),
		AliasID:          allocator.AliasID(value(in.AliasId)),
		FilterExpression: value(in.FilterExpression),
		SortExpression:   value(in.SortExpression),
		PlayerIDs:        in.PlayerIds,
		PlayerDataMap:    in.PlayerDataMap,
		RetryToken:       by.retryToken,
	})
	if err != nil {
		return nil, err
	}
	return &playerSessionsOutput{PlayerSessions: shapes(sessions, playerSessionShape)}, nil
}
