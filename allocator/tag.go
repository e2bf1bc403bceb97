package allocator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
)

// maxTags is how many tags a resource may have.
const maxTags = 50

// TagResource adds tags to a fleet, alias, location or game session queue, given by its ARN, or changes their values.
//
// It fails with ErrInvalidRequest, also when there would be more than 50 tags, or ErrNotFound.
func (a *Allocator) TagResource(ctx context.Context, arn string, tags map[string]string) error {
	resource, record, err := a.taggable(arn)
	if err != nil {
		return err
	}
	args := append([]any{maxTags}, tagPairs(tags)...)
	reply, err := a.run(ctx, tagResourceScript, []string{record, tagsKey(resource)}, args...)
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "RESOURCE_NOT_FOUND":
		return resourceNotFound(arn)
	case "LIMIT":
		return failure(ErrInvalidRequest, "%s would have %s tags; it may have %d at most", arn, reply.text(1), maxTags)
	}
	return tagResourceScript.unexpected(reply)
}

// UntagResource takes tags from a resource; those that it lacks are no matter. It fails with ErrNotFound.
func (a *Allocator) UntagResource(ctx context.Context, arn string, keys []string) error {
	resource, record, err := a.taggable(arn)
	if err != nil {
		return err
	}
	args := make([]any, len(keys))
	for i, key := range keys {
		args[i] = key
	}
	reply, err := a.run(ctx, untagResourceScript, []string{record, tagsKey(resource)}, args...)
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		return nil
	case "RESOURCE_NOT_FOUND":
		return resourceNotFound(arn)
	}
	return untagResourceScript.unexpected(reply)
}

// ListTagsForResource returns the tags of a resource. It costs two commands, and fails with ErrNotFound.
func (a *Allocator) ListTagsForResource(ctx context.Context, arn string) (map[string]string, error) {
	resource, record, err := a.taggable(arn)
	if err != nil {
		return nil, err
	}
	if exists, err := a.exists(ctx, record); err != nil || !exists {
		return nil, cmp.Or(err, resourceNotFound(arn))
	}
	tags, err := a.redis.HGetAll(ctx, tagsKey(resource)).Result()
	if err != nil {
		return nil, a.failed(err, 0)
	}
	return tags, nil
}

// taggable returns the resource of an ARN, "<type>/<id>", and the key of its record.
func (a *Allocator) taggable(arn string) (resource, record string, err error) {
	resource, ok := strings.CutPrefix(arn, a.arn(""))
	kind, id, _ := strings.Cut(resource, "/")
	if ok && isName(id) {
		switch kind {
		case "fleet":
			return resource, fleetKey(FleetID(id)), nil
		case "alias":
			return resource, aliasKey(AliasID(id)), nil
		case "gamesessionqueue":
			return resource, queueKey(id), nil
		case "location":
			return resource, locationKey(id), nil
		}
	}
	return "", "", resourceNotFound(arn)
}

func resourceNotFound(arn string) error {
	return failure(ErrNotFound, "there is no resource %s that can have tags", arn)
}

// checkTags fails when a new resource would have too many tags.
func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return failure(ErrInvalidRequest, "Tags has %d members; a resource may have %d at most", len(tags), maxTags)
	}
	return nil
}

// tagPairs lists tags and values as script arguments.
func tagPairs(tags map[string]string) []any {
	args := make([]any, 0, 2*len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		args = append(args, key, tags[key])
	}
	return args
}
