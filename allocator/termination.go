package allocator

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// TerminationMode says how a game session is to be ended.
type TerminationMode string

// The termination modes. The first tells the server process to end, and the game session ends when that does, or after five minutes; the
// second ends the game session at once, and tells the process. Without a server process either ends the game session at once.
const (
	TriggerOnProcessTerminate TerminationMode = "TRIGGER_ON_PROCESS_TERMINATE"
	ForceTerminate            TerminationMode = "FORCE_TERMINATE"
)

// TerminateGameSessionInput says which game session to end and how.
type TerminateGameSessionInput struct {
	GameSessionID GameSessionID
	Mode          TerminationMode
}

// TerminateGameSession ends a game session: nobody gets in any more, and the player sessions that hold its slots become
// COMPLETED. One that has ended already is answered as it stands.
//
// It fails with ErrInvalidRequest, ErrNotFound, or ErrInvalidGameSessionStatus when the game session is in ERROR.
func (a *Allocator) TerminateGameSession(ctx context.Context, in TerminateGameSessionInput) (*GameSession, error) {
	var reason GameSessionStatusReason
	switch in.Mode {
	case TriggerOnProcessTerminate:
		reason = TriggeredOnProcessTerminate
	case ForceTerminate:
		reason = ForceTerminated
	default:
		return nil, failure(ErrInvalidRequest, "TerminationMode is %q; it must be TRIGGER_ON_PROCESS_TERMINATE or FORCE_TERMINATE", in.Mode)
	}
	game, fleet, ok := a.gameSessionOf(in.GameSessionID)
	if !ok {
		return nil, a.gameSessionNotFound(in.GameSessionID)
	}
	reply, err := a.terminateHosted(ctx, game, fleet, reason, in.Mode)
	if err != nil {
		return nil, err
	}
	switch reply.text(0) {
	case "OK":
	case "GAME_SESSION_NOT_FOUND":
		return nil, a.gameSessionNotFound(in.GameSessionID)
	case "NOT_ENDABLE":
		return nil, failure(ErrInvalidGameSessionStatus, "game session %s is in %s and cannot be terminated", in.GameSessionID, reply.text(1))
	default:
		return nil, terminateGameSessionScript.unexpected(reply)
	}
	ended, err := a.describeGameSession(ctx, in.GameSessionID)
	if err != nil {
		return nil, err
	}
	return &ended.GameSessions[0], nil
}

// terminateHosted tells the server process of a game session to end, if it has one, and ends the game session. In this order: should the
// caller die in between, the process ends the game session.
func (a *Allocator) terminateHosted(ctx context.Context, game ref, fleet FleetID, reason GameSessionStatusReason, mode TerminationMode) (fields, error) {
	values, err := a.redis.HMGet(ctx, gameSessionKey(game), gameFactNames...).Result()
	if err != nil {
		return nil, a.failed(err, 0)
	}
	stored := recordOf(gameFactNames, values)
	status := GameSessionStatus(stored["status"])
	on, hosted := hostOf(stored)
	if !hosted || status == GameSessionTerminated || status == GameSessionError {
		return a.terminate(ctx, game, fleet, reason, 0)
	}
	told, err := a.tellToTerminate(ctx, on, game.text)
	switch {
	case err != nil:
		return nil, err
	case !told:
		return a.terminate(ctx, game, fleet, reason, 0)
	case mode == ForceTerminate:
		reply, err := a.terminate(ctx, game, fleet, reason, 0)
		return reply, partly(err)
	}
	reply, err := a.terminate(ctx, game, fleet, reason, terminationGrace)
	for _, key := range []string{serverProcessKey(on.ref), gameSessionKey(game)} { // nobody ends it now, whom replicas would be asked for
		if err == nil {
			err = a.awaitAnother(ctx, key)
		}
	}
	return reply, partly(err)
}

// terminate ends a game session, at once or, if it is not ending already, after a while at the latest. It returns the reply of the script
// that began to.
func (a *Allocator) terminate(ctx context.Context, game ref, fleet FleetID, reason GameSessionStatusReason, within time.Duration) (fields, error) {
	reply, err := a.run(ctx, terminateGameSessionScript, []string{gameSessionKey(game), deadlinesKey(game.partition)},
		game.text, string(reason), within.Milliseconds())
	if err != nil || reply.text(0) != "OK" || within > 0 {
		return reply, err
	}
	return reply, partly(a.finishGameSession(ctx, game, fleet))
}

// finishGameSession ends a game session that is TERMINATING.
func (a *Allocator) finishGameSession(ctx context.Context, game ref, fleet FleetID) error {
	for {
		holders, err := a.redis.ZRangeByScore(ctx, playerSessionsKey(game), &redis.ZRangeBy{Min: "(0", Max: "+inf"}).Result()
		if err != nil {
			return a.failed(err, 1)
		}
		keys := []string{gameSessionKey(game), playerSessionsKey(game), deadlinesKey(game.partition), endedKey(game.partition), endedGamesKey(game.partition), liveGameSessionsKey(game.partition, fleet)}
		args := []any{game.text}
		for _, holder := range holders {
			player := ref{game.partition, holder}
			keys = append(keys, playerSessionKey(player), ttlKey(player))
			args = append(args, holder)
		}
		reply, err := a.run(ctx, finishGameSessionScript, keys, args...)
		if err != nil {
			return err
		}
		switch reply.text(0) {
		case "OK", "NOT_TERMINATING": // the latter: somebody else has finished it
			return nil
		case "INCOMPLETE":
			// A call that was under way when the game session began to end has got in between: list the slots again.
		default:
			return finishGameSessionScript.unexpected(reply)
		}
	}
}

// purgeGames deletes the game sessions whose retention is over.
func (a *Allocator) purgeGames(ctx context.Context, due []dueIn) (purged int, err error) {
	fleets := make(map[ref]*redis.StringCmd)
	err = a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for _, d := range due {
			for _, game := range d.endedGames {
				fleets[game] = pipe.HGet(ctx, gameSessionKey(game), "fleet")
			}
		}
	})
	if err != nil {
		return 0, err
	}
	for i := range due {
		d := &due[i]
		if len(d.endedGames) == 0 {
			continue
		}
		keys := []string{endedGamesKey(d.partition)}
		args := []any{a.retention.Milliseconds()}
		for _, game := range d.endedGames {
			fleet := FleetID(fleets[game].Val())
			keys = append(keys, gameSessionKey(game), playerSessionsKey(game), fleetGameSessionsKey(d.partition, fleet))
			args = append(args, game.text)
		}
		reply, err := a.run(ctx, purgeGameSessionsScript, keys, args...)
		if err != nil {
			return purged, err
		}
		purged += int(reply.int(1))
		d.more = d.more || len(d.endedGames) == sweepBatch && reply.int(1) > 0
	}
	return purged, nil
}
