package allocator

import (
	"cmp"
	"context"
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// maxSearchPage is how many game sessions a search answers with.
const maxSearchPage = 20

// SearchGameSessionsInput says which ACTIVE game sessions of a fleet to find.
type SearchGameSessionsInput struct {
	FleetID  FleetID // id or ARN; this or AliasID
	AliasID  AliasID // id or ARN
	Location string  // empty: any
	// FilterExpression is for example "hasAvailablePlayerSessions=true AND gameSessionProperties.mode='duel'"; empty: all.
	FilterExpression string
	// SortExpression is for example "playerSessionCount DESC"; empty: in random order.
	SortExpression string
	Limit          int // 0 is 20, and so is all that is more
	NextToken      string
}

// SearchGameSessions finds ACTIVE game sessions of a fleet, and the token of the next page. It looks at a snapshot of the
// fleet that is a second old at most and shared by all callers in the process, so that a search itself costs Redis nothing; but
// one round trip when it finds game sessions with more than 4 KiB of data. Pages follow the sort key: a game session whose key changes between two pages may be on both or neither.
//
// It fails with ErrInvalidRequest, which says where an expression is wrong, ErrNotFound or ErrTerminalRoutingStrategy.
func (a *Allocator) SearchGameSessions(ctx context.Context, in SearchGameSessionsInput) ([]GameSession, string, error) {
	if in.Limit < 0 {
		return nil, "", failure(ErrInvalidRequest, "Limit is %d; it must not be negative", in.Limit)
	}
	matches, err := parseFilter(in.FilterExpression)
	if err != nil {
		return nil, "", err
	}
	order, err := parseSort(in.SortExpression)
	if err != nil {
		return nil, "", err
	}
	fleet, err := a.resolve(ctx, in.FleetID, in.AliasID)
	if err != nil {
		return nil, "", err
	}
	scope := []string{"SearchGameSessions", string(fleet), in.Location, in.FilterExpression, in.SortExpression}
	position, err := a.unseal(in.NextToken, scope)
	if err != nil {
		return nil, "", err
	}
	seed, last, err := order.resume(position)
	if err != nil {
		return nil, "", err
	}
	snapshot, err := a.snapshots.get(ctx, fleet)
	if err != nil {
		return nil, "", err
	}
	type candidate struct {
		sortKey
		*GameSession
	}
	var found []candidate
	for i := range snapshot.games {
		game := &snapshot.games[i]
		if (in.Location != "" && game.Location != in.Location) || !matches(game) {
			continue
		}
		if key := order.key(game, seed); last == nil || order.compare(*last, key) < 0 {
			found = append(found, candidate{key, game})
		}
	}
	slices.SortFunc(found, func(x, y candidate) int { return order.compare(x.sortKey, y.sortKey) })
	limit := min(cmp.Or(in.Limit, maxSearchPage), maxSearchPage)
	games := make([]GameSession, min(limit, len(found)))
	for i := range games {
		games[i] = *found[i].GameSession
		games[i].GameProperties = maps.Clone(games[i].GameProperties) // the snapshot's are everybody's
	}
	if err := a.addData(ctx, snapshot, games); err != nil {
		return nil, "", err
	}
	if len(found) <= limit {
		return games, "", nil
	}
	return games, a.seal(order.position(seed, found[limit-1].sortKey), scope), nil
}

// addData reads the game session data that the snapshot lacks.
func (a *Allocator) addData(ctx context.Context, view *snapshot, games []GameSession) error {
	var lacking []ref
	at := make(map[GameSessionID]int)
	for i, game := range games {
		if view.lacksData[game.ID] {
			r, _ := a.gameSessionRef(game.ID)
			lacking, at[game.ID] = append(lacking, r), i
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return a.eachGameSession(ctx, lacking, math.MaxInt32, func(game GameSession, _ record) { games[at[game.ID]].GameSessionData = game.GameSessionData })
}

// sortKey is where a game session stands in an order.
type sortKey struct {
	null   bool // it has no value to sort by, and stands last either way
	number float64
	text   string
	id     GameSessionID
}

// sortedText is how many bytes of a text are sorted by, so that a page token can hold them.
const sortedText = 384

// order is a sort expression. Its zero value is a random order, another for each seed.
type order struct {
	by         *operand
	descending bool
}

func (o order) key(game *GameSession, seed uint64) sortKey {
	key := sortKey{id: game.ID}
	if o.by == nil {
		key.number = float64(xxhash.Sum64String(strconv.FormatUint(seed, 36) + string(game.ID)))
		return key
	}
	switch v := o.by.value(game).(type) {
	case nil:
		key.null = true
	case float64:
		key.number = v
	case string:
		key.text = v[:min(len(v), sortedText)]
	case bool:
		if v {
			key.number = 1
		}
	}
	return key
}

func (o order) compare(x, y sortKey) int {
	if x.null != y.null {
		if x.null {
			return 1
		}
		return -1
	}
	byValue := cmp.Or(cmp.Compare(x.number, y.number), cmp.Compare(x.text, y.text))
	if o.descending {
		byValue = -byValue
	}
	return cmp.Or(byValue, cmp.Compare(x.id, y.id))
}

// position writes what a page token says of the last game session of a page: seed, null, number, length of text, text, id.
func (o order) position(seed uint64, last sortKey) []byte {
	b := binary.BigEndian.AppendUint64(nil, seed)
	b = append(b, map[bool]byte{true: 1}[last.null])
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(last.number))
	b = binary.BigEndian.AppendUint16(b, uint16(len(last.text)))
	return append(append(b, last.text...), last.id...)
}

const positionHead = 8 + 1 + 8 + 2

// resume reads what position wrote; for an empty one, it returns a new seed and nil.
func (o order) resume(position []byte) (seed uint64, last *sortKey, err error) {
	if len(position) == 0 {
		return rand.Uint64(), nil, nil
	}
	if len(position) < positionHead {
		return 0, nil, foreignToken()
	}
	text := int(binary.BigEndian.Uint16(position[positionHead-2:]))
	if len(position) < positionHead+text {
		return 0, nil, foreignToken()
	}
	return binary.BigEndian.Uint64(position), &sortKey{
		null:   position[8] == 1,
		number: math.Float64frombits(binary.BigEndian.Uint64(position[9:])),
		text:   string(position[positionHead : positionHead+text]),
		id:     GameSessionID(position[positionHead+text:]),
	}, nil
}
