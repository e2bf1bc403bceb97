package allocator

import (
	"cmp"
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Lists are read in the order of creation, then of refs, or of refs alone. Neither ever changes, so a page that starts behind
// the last entry of the page before repeats nothing and skips nothing that was there throughout.

// MaxLimit is how many items a page of most lists may have.
const MaxLimit = 100

const defaultPage = 50

// entry is what an index has of a game session or a player session.
type entry struct {
	ref
	created int64 // in ms; 0 for all entries of a list that is in the order of refs alone
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

// names lists one sorted set of the control plane, whose members are names. It costs one command.
func (a *Allocator) names(key string) lister { return a.index(0, key) }

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

// pageRequest is what a caller says of the page that it wants, and what the operation says of the list.
type pageRequest struct {
	limit int    // 0 is 50
	most  int    // how high limit may be; 0 is 100
	token string // of the page before; empty for the first page
	byRef bool   // the list is in the order of refs alone
	// scope is all that must be the same for a token to be of use: the operation and what it lists.
	scope []string
}

// readRefs makes of a function that reads refs one that reads entries.
func readRefs[T any](read func(context.Context, []ref) ([]T, error)) func(context.Context, []entry) ([]T, error) {
	return func(ctx context.Context, entries []entry) ([]T, error) {
		refs := make([]ref, len(entries))
		for i, e := range entries {
			refs[i] = e.ref
		}
		return read(ctx, refs)
	}
}

// readNothing is for lists of which no more is wanted than the index has.
func readNothing(_ context.Context, entries []entry) ([]entry, error) { return entries, nil }

// page reads one page of a list: what list has behind the token, read by read, if keep (nil: all) keeps it.
func page[T interface{ cursor() cursor }](ctx context.Context, a *Allocator, request pageRequest, list lister,
	read func(context.Context, []entry) ([]T, error), keep func(T) bool) (items []T, next string, err error) {
	most := cmp.Or(request.most, MaxLimit)
	if request.limit < 0 || request.limit > most {
		return nil, "", failure(ErrInvalidRequest, "Limit is %d; it must be 1 to %d", request.limit, most)
	}
	limit := cmp.Or(request.limit, defaultPage)
	after, err := a.openPageToken(request.token, request.scope)
	if err != nil {
		return nil, "", err
	}
	batch := limit + 1 // one more tells whether there is a next page
	if keep != nil {
		batch = MaxLimit + 1
	}
	for {
		entries, err := list(ctx, after, batch)
		if err != nil {
			return nil, "", err
		}
		found, err := read(ctx, entries)
		if err != nil {
			return nil, "", err
		}
		for _, item := range found {
			if keep == nil || keep(item) {
				items = append(items, item)
			}
		}
		if len(items) > limit {
			last := items[limit-1].cursor()
			if request.byRef {
				last.created = 0
			}
			return items[:limit], a.pageToken(last, request.scope), nil
		}
		if len(entries) < batch {
			return items, "", nil
		}
		after = entries[len(entries)-1].cursor()
	}
}

// A page token is an authentication code of the scope and the position, and the position: what the operation has to know to
// go on. So nobody can make one up, and none is of use for another list than the one that gave it.
const tokenCode = 12

func (a *Allocator) pageToken(c cursor, scope []string) string {
	return a.seal(append(binary.BigEndian.AppendUint64(nil, uint64(c.created)), c.text...), scope)
}

func (a *Allocator) openPageToken(token string, scope []string) (cursor, error) {
	position, err := a.unseal(token, scope)
	if err != nil || len(position) == 0 {
		return cursor{}, err
	}
	if len(position) < 8 {
		return cursor{}, foreignToken()
	}
	return cursor{int64(binary.BigEndian.Uint64(position)), string(position[8:])}, nil
}

// seal makes a page token of a position.
func (a *Allocator) seal(position []byte, scope []string) string {
	return base64.RawURLEncoding.EncodeToString(append(a.tokenCode(position, scope), position...))
}

// unseal returns the position in a page token; none for an empty token.
func (a *Allocator) unseal(token string, scope []string) ([]byte, error) {
	if token == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || base64.RawURLEncoding.EncodeToString(raw) != token || len(raw) <= tokenCode || !hmac.Equal(raw[:tokenCode], a.tokenCode(raw[tokenCode:], scope)) {
		return nil, foreignToken()
	}
	return raw[tokenCode:], nil
}

func (a *Allocator) tokenCode(position []byte, scope []string) []byte {
	code := a.derive(append([]string{"page", string(position)}, scope...)...)
	return code[:tokenCode]
}

func foreignToken() error {
	return failure(ErrInvalidRequest, "NextToken is not one that this list gave; pass on the NextToken of the page before, with the other members unchanged")
}
