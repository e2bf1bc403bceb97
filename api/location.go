package api

import (
	"context"

	"github.com/berthgg/berth/allocator"
)

type locationModel struct {
	LocationName string
	LocationArn  string
}

func locationShape(l allocator.Location) locationModel { return locationModel{l.Name, l.ARN} }

type createLocationInput struct {
	LocationName *string `validate:"required,min=8,max=64,pattern=customLocation"`
	Tags         []tag   `validate:"max=200,dive"`
}

type createLocationOutput struct{ Location locationModel }

func createLocation(ctx context.Context, a *allocator.Allocator, in *createLocationInput, by caller) (*createLocationOutput, error) {
	location, err := a.CreateLocation(ctx, allocator.CreateLocationInput{
		Name: *in.LocationName, Tags: tagsOf(in.Tags), RetryToken: by.retryToken,
	})
	if err != nil {
		return nil, err
	}
	return &createLocationOutput{locationShape(*location)}, nil
}

type listLocationsInput struct {
	Filters   []string `validate:"omitnil,min=1,max=2,dive,oneof=AWS CUSTOM"`
	Limit     *int     `validate:"omitnil,min=1,max=200"`
	NextToken *string  `validate:"omitnil,min=1,max=1024"`
}

type listLocationsOutput struct {
	Locations []locationModel
	NextToken string `json:",omitzero"`
}

func listLocations(ctx context.Context, a *allocator.Allocator, in *listLocationsInput, _ caller) (*listLocationsOutput, error) {
	locations, next, err := a.ListLocations(ctx, value(in.Limit), value(in.NextToken))
	if err != nil {
		return nil, err
	}
	if len(in.Filters) == 1 && in.Filters[0] == "AWS" { // there are custom ones alone
		return &listLocationsOutput{Locations: []locationModel{}}, nil
	}
	return &listLocationsOutput{shapes(locations, locationShape), next}, nil
}

type deleteLocationInput struct {
	LocationName *string `validate:"required,min=1,max=128,pattern=locationOrArn"`
}

func deleteLocation(ctx context.Context, a *allocator.Allocator, in *deleteLocationInput, _ caller) (*nothing, error) {
	return &nothing{}, a.DeleteLocation(ctx, *in.LocationName)
}
