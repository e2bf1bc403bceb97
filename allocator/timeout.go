package allocator

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// sweepBatch is how many members of one sorted set a sweep works on at a time.
const sweepBatch = 100

// Swept counts what a sweep did.
type Swept struct {
	TimedOut int // reservations marked TIMEDOUT
	Purged   int // ended player sessions, game sessions and placements deleted, their retention being over
}

// Sweep does in all partitions, whoever owns them, what Run does all the time in those of its instance; call it where nothing
// runs Run. It marks every reservation that is past its deadline, sees to server processes that are silent or are to be told something,
// deletes the player sessions, game sessions and placements whose retention is over, carries on where a TerminateGameSession broke off,
// and tries the placements that are PENDING.
//
// A server process counts as silent only as long as there is no more than half a minute between two sweeps: otherwise nobody may have been
// there to hear it.
func (a *Allocator) Sweep(ctx context.Context) (Swept, error) {
	all := allPartitions()
	swept, err := a.sweep(ctx, all)
	return swept, errors.Join(err, a.reviewServerProcesses(ctx, all), a.tryPlacements(ctx, all))
}

// sweep works through the partitions until nothing in them is due. It costs TIME and four commands a partition, in one
// round trip a shard, and more only for what is due.
func (a *Allocator) sweep(ctx context.Context, partitions []partition) (Swept, error) {
	var swept Swept
	for len(partitions) > 0 {
		due, err := a.due(ctx, partitions)
		timedOut, failed := a.timeOut(ctx, due)
		err = errors.Join(err, failed)
		swept.TimedOut += timedOut
		for _, purge := range []func(context.Context, []dueIn) (int, error){a.purge, a.purgeGames, a.purgePlacements} {
			err = errors.Join(err, guarded(func() error {
				purged, err := purge(ctx, due)
				swept.Purged += purged
				return err
			}))
		}
		if err != nil {
			return swept, err
		}
		partitions = partitions[:0:0]
		for _, d := range due {
			if d.more {
				partitions = append(partitions, d.partition)
			}
		}
	}
	return swept, nil
}

// dueIn is what is due in one partition.
type dueIn struct {
	partition
	now             int64
	games           []ref // that may have reservations past their deadline, or are TERMINATING
	ended           []ref // player sessions whose retention is over
	endedGames      []ref // game sessions whose retention is over
	endedPlacements []ref // whose retention is over
	more            bool  // more may be due than is listed
}

// due lists what is due in the partitions, by the clock of the store. Those in which nothing is are left out, and with an error those that
// could not be asked.
func (a *Allocator) due(ctx context.Context, partitions []partition) ([]dueIn, error) {
	clock, err := a.redis.Time(ctx).Result()
	if err != nil {
		return nil, a.failed(err, 0)
	}
	now := clock.UnixMilli()
	over := now - a.retention.Milliseconds()
	games := make([]*redis.ZSliceCmd, len(partitions))
	ended := make([]*redis.StringSliceCmd, len(partitions))
	endedGames := make([]*redis.StringSliceCmd, len(partitions))
	endedPlacements := make([]*redis.StringSliceCmd, len(partitions))
	err = a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i, p := range partitions {
			games[i] = pipe.ZRangeByScoreWithScores(ctx, deadlinesKey(p), upTo(now))
			ended[i] = pipe.ZRangeByScore(ctx, endedKey(p), upTo(over))
			endedGames[i] = pipe.ZRangeByScore(ctx, endedGamesKey(p), upTo(over))
			endedPlacements[i] = pipe.ZRangeByScore(ctx, endedPlacementsKey(p), upTo(over))
		}
	})
	var all []dueIn
	for i, p := range partitions {
		d := dueIn{
			partition: p, now: now,
			ended: refsOf(p, listed(ended[i])), endedGames: refsOf(p, listed(endedGames[i])),
			endedPlacements: refsOf(p, listed(endedPlacements[i])),
		}
		for _, z := range listed(games[i]) {
			d.games = append(d.games, ref{p, z.Member.(string)})
			// What timed out so long ago that its retention is over too is purged once it is marked.
			d.more = d.more || int64(z.Score) <= over
		}
		d.more = d.more || len(d.games) == sweepBatch || len(d.ended) == sweepBatch
		if len(d.games)+len(d.ended)+len(d.endedGames)+len(d.endedPlacements) > 0 {
			all = append(all, d)
		}
	}
	return all, err
}

func upTo(ms int64) *redis.ZRangeBy {
	return &redis.ZRangeBy{Min: "-inf", Max: strconv.FormatInt(ms, 10), Count: sweepBatch}
}

// pastDeadline is for the player sessions of a game session: those that have ended stand at 0.
func pastDeadline(now int64) *redis.ZRangeBy {
	past := upTo(now)
	past.Min = "(0"
	return past
}

func refsOf(p partition, texts []string) []ref {
	refs := make([]ref, len(texts))
	for i, text := range texts {
		refs[i] = ref{p, text}
	}
	return refs
}

// dueGame is a game session that is due in a sweep.
type dueGame struct {
	game  ref
	in    *dueIn
	due   *redis.StringSliceCmd // refs of reservations past their deadline
	facts record                // gameFactNames

	// Of those that are unsettled.

	fleet  *redis.StringCmd // status of the fleet
	placed *redis.SliceCmd  // status, try and game session of the placement, if it is kept for one
	hosted *redis.SliceCmd  // life, game session, status and hosts of the server process, if it runs on one
}

// unsettled tells whether there is something to decide about the game session, beside reservations that are due.
func (d dueGame) unsettled() bool {
	live := d.status() == GameSessionActive || d.status() == GameSessionActivating
	return live && (len(listed(d.due)) == 0 || d.keptFor() != "" || d.facts["unsettled"] != "" || d.isHosted())
}

func (d dueGame) isHosted() bool {
	_, hosted := hostOf(d.facts)
	return hosted
}

func (d dueGame) status() GameSessionStatus { return GameSessionStatus(d.facts["status"]) }
func (d dueGame) fleetID() FleetID          { return FleetID(d.facts["fleet"]) }
func (d dueGame) keptFor() string           { return d.facts["kept_for"] }

// isPast tells whether the time is over that one of the facts says.
func (d dueGame) isPast(fact string) bool { return d.facts.time(fact).UnixMilli() <= d.in.now }

// timeOut marks the reservations that are due, ends the game sessions that are TERMINATING, and sees to those that are new.
func (a *Allocator) timeOut(ctx context.Context, due []dueIn) (marked int, err error) {
	games, err := a.dueGames(ctx, due)
	for _, g := range games {
		var timedOut int
		failed := guarded(func() (err error) {
			timedOut, err = a.timeOutIn(ctx, g)
			return err
		})
		err = errors.Join(err, failed) // one that cannot be seen to does not keep the others waiting
		if errors.Is(failed, ErrInternal) {
			err = errors.Join(err, a.postpone(ctx, g))
		}
		marked += timedOut
	}
	return marked, err
}

// dueGames reads what there is to know of the game sessions that are due, in one round trip a shard, and in another when any of
// them is unsettled. With an error it leaves out those of which it knows nothing.
func (a *Allocator) dueGames(ctx context.Context, due []dueIn) ([]dueGame, error) {
	var games []dueGame
	var facts []*redis.SliceCmd
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i := range due {
			for _, game := range due[i].games {
				games = append(games, dueGame{
					game: game, in: &due[i],
					due: pipe.ZRangeByScore(ctx, playerSessionsKey(game), pastDeadline(due[i].now)),
				})
				facts = append(facts, pipe.HMGet(ctx, gameSessionKey(game), gameFactNames...))
			}
		}
	})
	for i := range games {
		if values := facts[i].Val(); len(values) > 0 {
			games[i].facts = recordOf(gameFactNames, values)
		} else if isWrongType(facts[i].Err()) {
			err = errors.Join(err, a.postpone(ctx, games[i]))
		}
	}
	games = slices.DeleteFunc(games, func(g dueGame) bool { return g.facts == nil })
	if !slices.ContainsFunc(games, dueGame.unsettled) {
		return games, err
	}
	failed := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i := range games {
			g := &games[i]
			if !g.unsettled() {
				continue
			}
			g.fleet = pipe.HGet(ctx, fleetKey(g.fleetID()), "status")
			name, _, _ := strings.Cut(g.keptFor(), " ")
			if placement, kept := parseRef(name); kept {
				g.placed = pipe.HMGet(ctx, placementKey(placement), "status", "try", "game")
			}
			if on, hosted := hostOf(g.facts); hosted {
				g.hosted = pipe.HMGet(ctx, serverProcessKey(on.ref), "life", "game", "status", "hosts")
			}
		}
	})
	return games, errors.Join(err, failed)
}

// isRead tells whether all is known of a game session that is unsettled: each part may be on another shard, which may be away.
func (d dueGame) isRead() bool {
	return (d.fleet.Val() != "" || errors.Is(d.fleet.Err(), redis.Nil)) &&
		(d.placed == nil || len(d.placed.Val()) > 0) && (d.hosted == nil || len(d.hosted.Val()) > 0)
}

// timeOutIn sees to one game session that is due.
func (a *Allocator) timeOutIn(ctx context.Context, g dueGame) (marked int, err error) {
	switch {
	case g.status() == GameSessionTerminating && g.isPast("end_by"):
		return 0, a.finishGameSession(ctx, g.game, g.fleetID())
	case g.status() == GameSessionActivating && g.isPast("activate_by"):
		on, _ := hostOf(g.facts)
		return 0, a.failGameSession(ctx, g.game, on)
	}
	players := listed(g.due)
	var again time.Duration
	if g.isHosted() {
		again = hostInterval
	}
	settled := true
	var notSettled error
	if g.unsettled() {
		var word verdict
		word, notSettled = a.settle(ctx, g)
		if word == toEnd && notSettled == nil {
			return 0, nil
		}
		if word == undecided || notSettled != nil { // perhaps another shard is away
			again, settled = reviewInterval, false
		}
	}
	if len(players) == sweepBatch {
		g.in.more = true
	}
	keys := []string{playerSessionsKey(g.game), deadlinesKey(g.game.partition), endedKey(g.game.partition), gameSessionKey(g.game)}
	args := []any{g.game.text, again.Milliseconds(), flag(settled)}
	for _, player := range players {
		keys = append(keys, playerSessionKey(ref{g.game.partition, player}))
		args = append(args, player)
	}
	reply, err := a.run(ctx, timeOutPlayerSessionsScript, keys, args...)
	if err != nil {
		return 0, errors.Join(notSettled, err)
	}
	return int(reply.int(1)), notSettled
}

// verdict is what is decided about a game session that is due.
type verdict int

const (
	toStay    verdict = iota
	toEnd             // and it has been ended
	undecided         // nobody can tell yet
)

// settle decides about a game session whose creator may have died before it saw that the fleet is gone, that the server process has ended,
// or that the placement has ended or given up the try for which the game session is kept.
func (a *Allocator) settle(ctx context.Context, g dueGame) (verdict, error) {
	fleet := FleetStatus(g.fleet.Val())
	if !g.isRead() || fleet == FleetDeleting {
		return undecided, nil // a deletion fails if it knows of the game session
	}
	if on, hosted := hostOf(g.facts); hosted {
		process := fields(g.hosted.Val())
		known := process.text(0) == on.life && process.text(1) == g.game.text && process.text(2) == "ACTIVE" && process.text(3) != ""
		if !known {
			switch word, err := a.confirm(ctx, on, g.game); {
			case err != nil:
				return undecided, err
			case word == "NOT_FOUND":
				_, err := a.terminate(ctx, g.game, g.fleetID(), Interrupted, 0)
				return toEnd, err
			case word == "ENDED": // and somebody ends the game session with it
				return undecided, nil
			}
		}
	}
	wanted := fleet != ""
	if g.placed != nil && wanted {
		placement := fields(g.placed.Val())
		_, try, _ := strings.Cut(g.keptFor(), " ")
		switch PlacementStatus(placement.text(0)) {
		case PlacementPending:
			if placement.text(1) == try {
				return undecided, nil
			}
			wanted = false
		case PlacementFulfilled:
			wanted = placement.text(2) == string(a.gameSessionID(g.fleetID(), g.facts["id"]))
		default:
			wanted = false
		}
	}
	switch {
	case !wanted:
		_, err := a.terminateHosted(ctx, g.game, g.fleetID(), ForceTerminated, ForceTerminate)
		return toEnd, err
	case g.placed != nil:
		return toStay, a.openGameSession(ctx, g.game, g.keptFor())
	}
	return toStay, nil
}

// postpone has a game session that is due, and damaged, looked at again after the others of its partition: it does not keep them waiting in
// the next sweep either.
func (a *Allocator) postpone(ctx context.Context, g dueGame) error {
	later := redis.Z{Score: float64(g.in.now + reviewInterval.Milliseconds()), Member: g.game.text}
	if err := a.redis.ZAddXX(ctx, deadlinesKey(g.game.partition), later).Err(); err != nil {
		return a.failed(err, 0)
	}
	return nil
}

// purge deletes the player sessions whose retention is over.
func (a *Allocator) purge(ctx context.Context, due []dueIn) (purged int, err error) {
	stored := make(map[ref]*redis.SliceCmd)
	err = a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for _, d := range due {
			for _, player := range d.ended {
				stored[player] = pipe.HMGet(ctx, playerSessionKey(player), "game_session", "player")
			}
		}
	})
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		if len(d.ended) == 0 {
			continue
		}
		keys := []string{endedKey(d.partition)}
		args := []any{a.retention.Milliseconds()}
		for _, player := range d.ended {
			of := fields(stored[player].Val())
			keys = append(keys, playerSessionKey(player), playerSessionsKey(ref{d.partition, of.text(0)}), playerKey(d.partition, of.text(1)))
			args = append(args, player.text)
		}
		reply, failed := a.run(ctx, purgePlayerSessionsScript, keys, args...)
		err = errors.Join(err, failed)
		purged += int(reply.int(1))
	}
	return purged, err
}
