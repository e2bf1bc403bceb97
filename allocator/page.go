package allocator

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Lists are read in the order of creation, then of refs. Neither ever changes, so a page that starts behind the last
// entry of the page before repeats nothing and skips nothing that was there throughout.

const (
	defaultPage = 50
	maxPage     = 100
)

// entry is what an index has of a game session or a player session.
type entry struct {
	ref
	created int64 // in ms
}

func (e entry) compare(other entry) int {
	return cmp.Or(cmp.Compare(e.created, other.created), cmp.Compare(e.text, other.text))
}

// cursor is the last entry that was read. The zero cursor stands before all entries.
type cursor struct {
	created int64
	text    string
}

func (e entry) cursor() cursor { return cursor{e.created, e.text} }

func (c cursor) precedes(e entry) bool {
	return e.compare(entry{ref{text: c.text}, c.created}) > 0
}

// lister lists entries behind a cursor, in order, n at most; fewer than n only when there are no more.
type lister func(ctx context.Context, after cursor, n int) ([]entry, error)

// index lists one sorted set of refs. It costs one command.
func (a *Allocator) index(p partition, key string) lister {
	return func(ctx context.Context, after cursor, n int) ([]entry, error) {
		return a.merged(ctx, after, n, map[partition]string{p: key})
	}
}

// everyPartition lists the sorted sets of refs that each partition has under a key. It costs one command a partition,
// all in one round trip a shard.
func (a *Allocator) everyPartition(key func(partition) string) lister {
	return func(ctx context.Context, after cursor, n int) ([]entry, error) {
		keys := make(map[partition]string, Partitions)
		for p := range Partitions {
			keys[partition(p)] = key(partition(p))
		}
		return a.merged(ctx, after, n, keys)
	}
}

func (a *Allocator) merged(ctx context.Context, after cursor, n int, keys map[partition]string) ([]entry, error) {
	var all []entry
	// Entries of the cursor's own millisecond may stand before it: a set that gave too many such is asked for more, from
	// its start, since entries may have left it meanwhile.
	for count := n; len(keys) > 0; count *= 2 {
		cmds := make(map[partition]*redis.ZSliceCmd, len(keys))
		err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
			for p, key := range keys {
				cmds[p] = pipe.ZRangeByScoreWithScores(ctx, key, &redis.ZRangeBy{
					Min: strconv.FormatInt(after.created, 10), Max: "+inf", Count: int64(count),
				})
			}
		})
		if err != nil {
			return nil, err
		}
		for p, cmd := range cmds {
			var behind []entry
			for _, z := range cmd.Val() {
				if e := (entry{ref{p, z.Member.(string)}, int64(z.Score)}); after.precedes(e) {
					behind = append(behind, e)
				}
			}
			if len(behind) >= n || len(cmd.Val()) < count {
				all = append(all, behind...)
				delete(keys, p)
			}
		}
	}
	slices.SortFunc(all, entry.compare)
	return all[:min(n, len(all))], nil
}

// page reads one page of a list: what list has behind the token, read by read, if keep (nil: all) keeps it. scope is all
// that must be the same for a token to be of use: the operation and what it lists.
func page[T interface{ cursor() cursor }](ctx context.Context, a *Allocator, limit int, token string, scope []string, list lister,
	read func(context.Context, []ref) ([]T, error), keep func(T) bool) (items []T, next string, err error) {
	if limit < 0 || limit > maxPage {
		return nil, "", failure(ErrInvalidRequest, "Limit is %d; it must be 1 to %d", limit, maxPage)
	}
	limit = cmp.Or(limit, defaultPage)
	after, err := a.openPageToken(token, scope)
	if err != nil {
		return nil, "", err
	}
	batch := limit + 1 // one more tells whether there is a next page
	if keep != nil {
		batch = maxPage + 1
	}
	for {
		entries, err := list(ctx, after, batch)
		if err != nil {
			return nil, "", err
		}
		refs := make([]ref, len(entries))
		for i, e := range entries {
			refs[i] = e.ref
		}
		found, err := read(ctx, refs)
		if err != nil {
			return nil, "", err
		}
		for _, item := range found {
			if keep == nil || keep(item) {
				items = append(items, item)
			}
		}
		if len(items) > limit {
			return items[:limit], a.pageToken(items[limit-1].cursor(), scope), nil
		}
		if len(entries) < batch {
			return items, "", nil
		}
		after = entries[len(entries)-1].cursor()
	}
}

// A page token is an authentication code of the scope and the cursor, and the cursor: the creation time and the ref.
const pageCode = 12

func (a *Allocator) pageToken(c cursor, scope []string) string {
	position := binary.BigEndian.AppendUint64(nil, uint64(c.created))
	position = append(position, c.text...)
	return base64.RawURLEncoding.EncodeToString(append(a.pageCodeOf(position, scope), position...))
}

func (a *Allocator) openPageToken(token string, scope []string) (cursor, error) {
	if token == "" {
		return cursor{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < pageCode+8 || !hmac.Equal(raw[:pageCode], a.pageCodeOf(raw[pageCode:], scope)) {
		return cursor{}, failure(ErrInvalidRequest, "NextToken is not one that this list gave; pass on the NextToken of the page before, with the other members unchanged")
	}
	position := raw[pageCode:]
	return cursor{int64(binary.BigEndian.Uint64(position)), string(bytes.Clone(position[8:]))}, nil
}

func (a *Allocator) pageCodeOf(position []byte, scope []string) []byte {
	code := a.derive(append([]string{"page", string(position)}, scope...)...)
	return code[:pageCode]
}
