package allocator

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// PlacePlayerSessionsInput says which players want to play together, and where they would.
type PlacePlayerSessionsInput struct {
	FleetID          FleetID // id or ARN; this or AliasID
	AliasID          AliasID // id or ARN
	FilterExpression string  // as in SearchGameSessionsInput
	SortExpression   string  // which game sessions to try first; empty: the fullest
	PlayerIDs        []string
	PlayerDataMap    map[string]string
	RetryToken       string // as in CreatePlayerSessionInput
}

// fullestFirst is the order in which game sessions fill up one after the other.
var fullestFirst = func() order {
	o, err := parseSort("playerSessionCount DESC")
	if err != nil {
		panic(err)
	}
	return o
}()

// PlacePlayerSessions finds an ACTIVE game session of a fleet that has room for all the players, and reserves a slot for each of
// them in it, or for none.
//
// It looks for candidates in the snapshot that SearchGameSessions uses and reserves in the first that has room. When none has,
// it looks again at what the store has now, and only then fails with ErrGameSessionFull: every game session that the filter
// finds was without room for the party at some moment of the call. Its other errors are those of SearchGameSessions and
// CreatePlayerSessions.
func (a *Allocator) PlacePlayerSessions(ctx context.Context, in PlacePlayerSessionsInput) ([]PlayerSession, error) {
	group := CreatePlayerSessionsInput{PlayerIDs: in.PlayerIDs, PlayerDataMap: in.PlayerDataMap, RetryToken: retryToken(in.RetryToken)}
	if err := group.validate(); err != nil {
		return nil, err
	}
	matches, err := parseFilter(in.FilterExpression)
	if err != nil {
		return nil, err
	}
	by, err := parseSort(in.SortExpression)
	if err != nil {
		return nil, err
	}
	if in.SortExpression == "" {
		by = fullestFirst
	}
	fleet, err := a.resolve(ctx, in.FleetID, in.AliasID)
	if err != nil {
		return nil, err
	}
	note := a.newPlaceNote(in.RetryToken)
	if sessions, err := a.placeAgain(ctx, group, note); err != nil || sessions != nil {
		return sessions, err
	}
	began := time.Now()
	view, err := a.snapshots.get(ctx, fleet)
	for err == nil {
		var sessions []PlayerSession
		sessions, err = a.placeIn(ctx, view, group, matches, by, note)
		if err != nil || sessions != nil {
			return sessions, err
		}
		if !view.started.Before(began) {
			// Perhaps what fills the last one is what another attempt of this call has reserved meanwhile.
			if sessions, err := a.placeAgain(ctx, group, note); err != nil || sessions != nil {
				return sessions, err
			}
			return nil, failure(ErrGameSessionFull, "no game session of fleet %s that the filter finds has room for %d players", fleet, len(in.PlayerIDs))
		}
		view, err = a.snapshots.since(ctx, fleet, began)
	}
	return nil, err
}

// placeIn reserves in the first game session of a snapshot that has room, and returns nil when none has.
func (a *Allocator) placeIn(ctx context.Context, view *snapshot, group CreatePlayerSessionsInput, matches filter, by order, note *placeNote) ([]PlayerSession, error) {
	type candidate struct {
		sortKey
		index int
	}
	seed := uint64(time.Now().UnixNano())
	var candidates []candidate
	for i := range view.games {
		if game := &view.games[i]; view.room(i) >= len(group.PlayerIDs) && matches(game) {
			candidates = append(candidates, candidate{by.key(game, seed), i})
		}
	}
	slices.SortFunc(candidates, func(x, y candidate) int { return by.compare(x.sortKey, y.sortKey) })
	for _, insist := range []bool{false, true} {
		for _, c := range candidates {
			if view.room(c.index) < len(group.PlayerIDs) { // others in this process have been quicker
				continue
			}
			// At first, stay away from slots that others in this process are about to take: they are not to run at the same slot.
			// Those may fail, so in the end look there too.
			if !insist && !view.hold(c.index, len(group.PlayerIDs)) {
				continue
			}
			sessions, err := a.placeInCandidate(ctx, view, c.index, group, note)
			if !insist {
				view.letGo(c.index, len(group.PlayerIDs))
			}
			if err != nil || sessions != nil {
				return sessions, err
			}
		}
	}
	return nil, nil
}

// placeInCandidate reserves in a game session of a snapshot, and returns nil when it refuses.
func (a *Allocator) placeInCandidate(ctx context.Context, view *snapshot, i int, group CreatePlayerSessionsInput, note *placeNote) ([]PlayerSession, error) {
	wanted := view.games[i].ID
	for {
		chosen, isNew, err := note.claim(ctx, wanted)
		if err != nil {
			return nil, err
		}
		sessions, err := a.placeAt(ctx, chosen, group, note)
		if err != nil {
			return nil, err
		}
		if sessions != nil && chosen == wanted && isNew {
			view.reserved[i].Add(int64(len(sessions)))
		}
		if sessions == nil && chosen == wanted {
			view.refused(i, len(group.PlayerIDs))
		}
		if sessions != nil || chosen == wanted {
			return sessions, nil
		}
		// Another attempt of this call had chosen another game session, which refuses now: try this one.
	}
}

// room is how many slots a game session had left, less what this process has taken since.
func (s *snapshot) room(i int) int {
	game := &s.games[i]
	if game.PlayerSessionCreationPolicy != AcceptAll {
		return 0
	}
	return game.MaximumPlayerSessionCount - game.CurrentPlayerSessionCount - int(s.reserved[i].Load())
}

// hold keeps room for a party that is about to reserve in a game session, and returns false when others hold what room there is.
func (s *snapshot) hold(i, party int) bool {
	for {
		held := s.held[i].Load()
		if s.room(i)-int(held) < party {
			return false
		}
		if s.held[i].CompareAndSwap(held, held+int64(party)) {
			return true
		}
	}
}

// letGo ends what hold began.
func (s *snapshot) letGo(i, party int) { s.held[i].Add(-int64(party)) }

// refused notes that a party of so many found no room in a game session.
func (s *snapshot) refused(i, party int) {
	game := &s.games[i]
	atLeast := int64(game.MaximumPlayerSessionCount - game.CurrentPlayerSessionCount - (party - 1))
	for {
		known := s.reserved[i].Load()
		if known >= atLeast || s.reserved[i].CompareAndSwap(known, atLeast) {
			return
		}
	}
}

// placeAt reserves in a game session, and returns nil when that refuses.
func (a *Allocator) placeAt(ctx context.Context, game GameSessionID, group CreatePlayerSessionsInput, note *placeNote) ([]PlayerSession, error) {
	group.GameSessionID = game
	sessions, err := a.reserveGroup(ctx, group, note.digest, "")
	if errors.Is(err, ErrGameSessionFull) || errors.Is(err, ErrInvalidGameSessionStatus) || errors.Is(err, ErrNotFound) {
		note.refusedBy = game
		return nil, nil
	}
	return sessions, err
}

// placeAgain reserves where another attempt of the call has reserved or was about to, wherever there is room now. It returns nil when
// there was none or it is refused there.
func (a *Allocator) placeAgain(ctx context.Context, group CreatePlayerSessionsInput, note *placeNote) ([]PlayerSession, error) {
	if note.digest == "" {
		return nil, nil
	}
	noted, err := a.redis.Get(ctx, note.key()).Result()
	if errors.Is(err, redis.Nil) || err == nil && GameSessionID(noted) == note.refusedBy {
		return nil, nil
	}
	if err != nil {
		return nil, a.failed(err, 0)
	}
	return a.placeAt(ctx, GameSessionID(noted), group, note)
}

// placeNote keeps in the store where a call tries to reserve. Without it a retry might find another game session first, and
// reserve there what its first attempt had reserved elsewhere.
//
// The note moves on when a game session has refused, and the refusal is sealed there: otherwise a slower attempt of the same call
// might still get in, when the quicker one has moved on and reserved elsewhere.
type placeNote struct {
	a         *Allocator
	partition partition
	digest    string        // of the retry token; empty for a call without, which is never retried
	refusedBy GameSessionID // the last to refuse
}

func (a *Allocator) newPlaceNote(retryToken string) *placeNote {
	if retryToken == "" {
		return &placeNote{a: a}
	}
	digest := a.derive("place", retryToken)
	return &placeNote{a: a, partition: partition(digest[0]), digest: base64.RawURLEncoding.EncodeToString(digest[1:17])}
}

func (n *placeNote) key() string { return placeKey(n.partition, n.digest) }

// claim returns the game session to try, and whether no attempt of this call had chosen it before: the wanted one, unless another
// attempt has chosen another.
func (n *placeNote) claim(ctx context.Context, wanted GameSessionID) (GameSessionID, bool, error) {
	if n.digest == "" {
		return wanted, true, nil
	}
	reply, err := n.a.run(ctx, claimPlaceScript, []string{n.key()}, string(n.refusedBy), string(wanted), n.a.retention.Milliseconds())
	if err != nil {
		return "", false, err
	}
	return GameSessionID(reply.text(1)), reply.text(0) == "OK", nil
}
