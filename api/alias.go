package api

import (
	"context"

	"github.com/berthgg/berth/allocator"
)

type alias struct {
	AliasId         string
	Name            string
	AliasArn        string
	Description     string `json:",omitzero"`
	RoutingStrategy routingStrategy
	CreationTime    timestamp
	LastUpdatedTime timestamp
}

type routingStrategy struct {
	Type    *string `json:",omitzero" validate:"omitnil,oneof=SIMPLE TERMINAL"`
	FleetId *string `json:",omitzero" validate:"omitnil,min=1,max=128,pattern=fleetIdOrArn"`
	Message *string `json:",omitzero"`
}

func (s routingStrategy) strategy() allocator.RoutingStrategy {
	return allocator.RoutingStrategy{
		Type:    allocator.RoutingStrategyType(value(s.Type)),
		FleetID: allocator.FleetID(value(s.FleetId)),
		Message: value(s.Message),
	}
}

func aliasShape(a allocator.Alias) alias {
	strategy := a.RoutingStrategy
	return alias{
		AliasId:     string(a.ID),
		Name:        a.Name,
		AliasArn:    a.ARN,
		Description: a.Description,
		RoutingStrategy: routingStrategy{
			Type: given(string(strategy.Type)), FleetId: given(string(strategy.FleetID)), Message: given(strategy.Message),
		},
		CreationTime:    timestamp(a.CreationTime),
		LastUpdatedTime: timestamp(a.LastUpdatedTime),
	}
}

type aliasOutput struct{ Alias alias }

func aliasResult(a *allocator.Alias, err error) (*aliasOutput, error) {
	if err != nil {
		return nil, err
	}
	return &aliasOutput{aliasShape(*a)}, nil
}

type createAliasInput struct {
	Name            *string          `validate:"required,min=1,max=1024,pattern=aliasName"`
	Description     *string          `validate:"omitnil,min=1,max=1024"`
	RoutingStrategy *routingStrategy `validate:"required"`
	Tags            []tag            `validate:"max=200,dive"`
}

func createAlias(ctx context.Context, a *allocator.Allocator, in *createAliasInput, by caller) (*aliasOutput, error) {
	return aliasResult(a.CreateAlias(ctx, allocator.CreateAliasInput{
		Name:            *in.Name,
		Description:     value(in.Description),
		RoutingStrategy: in.RoutingStrategy.strategy(),
		Tags:            tagsOf(in.Tags),
		RetryToken:      by.retryToken,
	}))
}

type aliasInput struct {
	AliasId *string `validate:"required,pattern=aliasIdOrArn"`
}

func describeAlias(ctx context.Context, a *allocator.Allocator, in *aliasInput, _ caller) (*aliasOutput, error) {
	return aliasResult(a.DescribeAlias(ctx, allocator.AliasID(*in.AliasId)))
}

func resolveAlias(ctx context.Context, a *allocator.Allocator, in *aliasInput, _ caller) (*fleetOutput, error) {
	fleet, err := a.ResolveAlias(ctx, allocator.AliasID(*in.AliasId))
	if err != nil {
		return nil, err
	}
	id, arn := a.FleetName(fleet)
	return &fleetOutput{string(id), arn}, nil
}

func deleteAlias(ctx context.Context, a *allocator.Allocator, in *aliasInput, _ caller) (*nothing, error) {
	return &nothing{}, a.DeleteAlias(ctx, allocator.AliasID(*in.AliasId))
}

type updateAliasInput struct {
	AliasId         *string          `validate:"required,pattern=aliasIdOrArn"`
	Name            *string          `validate:"omitnil,min=1,max=1024,pattern=aliasName"`
	Description     *string          `validate:"omitnil,min=1,max=1024"`
	RoutingStrategy *routingStrategy `validate:"omitnil"`
}

func updateAlias(ctx context.Context, a *allocator.Allocator, in *updateAliasInput, _ caller) (*aliasOutput, error) {
	update := allocator.UpdateAliasInput{AliasID: allocator.AliasID(*in.AliasId), Name: in.Name, Description: in.Description}
	if in.RoutingStrategy != nil {
		strategy := in.RoutingStrategy.strategy()
		update.RoutingStrategy = &strategy
	}
	return aliasResult(a.UpdateAlias(ctx, update))
}

type listAliasesInput struct {
	RoutingStrategyType *string `validate:"omitnil,oneof=SIMPLE TERMINAL"`
	Name                *string `validate:"omitnil,min=1"`
	Limit               *int    `validate:"omitnil,min=1"`
	NextToken           *string `validate:"omitnil,min=1"`
}

type listAliasesOutput struct {
	Aliases   []alias
	NextToken string `json:",omitzero"`
}

func listAliases(ctx context.Context, a *allocator.Allocator, in *listAliasesInput, _ caller) (*listAliasesOutput, error) {
	aliases, next, err := a.ListAliases(ctx, allocator.ListAliasesInput{
		RoutingStrategyType: allocator.RoutingStrategyType(value(in.RoutingStrategyType)),
		Name:                value(in.Name),
		Limit:               value(in.Limit),
		NextToken:           value(in.NextToken),
	})
	if err != nil {
		return nil, err
	}
	return &listAliasesOutput{shapes(aliases, aliasShape), next}, nil
}
