package api

import (
	"context"
	"maps"
	"slices"

	"github.com/berthgg/berth/allocator"
)

type tag struct {
	Key   *string `validate:"required,min=1,max=128"`
	Value *string `validate:"required,max=256"`
}

// tagsOf makes a map of a list of tags; of a key given twice the last value counts.
func tagsOf(list []tag) map[string]string {
	tags := make(map[string]string, len(list))
	for _, t := range list {
		tags[*t.Key] = *t.Value
	}
	return tags
}

type tagResourceInput struct {
	ResourceARN *string `validate:"required,min=1,max=1011"`
	Tags        []tag   `validate:"required,max=200,dive"`
}

func tagResource(ctx context.Context, a *allocator.Allocator, in *tagResourceInput, _ caller) (*nothing, error) {
	return &nothing{}, a.TagResource(ctx, *in.ResourceARN, tagsOf(in.Tags))
}

type untagResourceInput struct {
	ResourceARN *string  `validate:"required,min=1,max=1011"`
	TagKeys     []string `validate:"required,max=200,dive,min=1,max=128"`
}

func untagResource(ctx context.Context, a *allocator.Allocator, in *untagResourceInput, _ caller) (*nothing, error) {
	return &nothing{}, a.UntagResource(ctx, *in.ResourceARN, in.TagKeys)
}

type listTagsForResourceInput struct {
	ResourceARN *string `validate:"required,min=1,max=1011"`
}

type listTagsForResourceOutput struct{ Tags []tag }

func listTagsForResource(ctx context.Context, a *allocator.Allocator, in *listTagsForResourceInput, _ caller) (*listTagsForResourceOutput, error) {
	tags, err := a.ListTagsForResource(ctx, *in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &listTagsForResourceOutput{shapes(slices.Sorted(maps.Keys(tags)), func(key string) tag {
		value := tags[key]
		return tag{&key, &value}
	})}, nil
}
