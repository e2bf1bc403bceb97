package allocator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/lua"
)

// script is one of the scripts of package lua.
type script struct {
	*redis.Script
	name, source string
	isChange     bool
	isAwaited    bool // its change is acknowledged to somebody, when replicas have it
}

func change(name string) script { return newScript(name, true, true) }
func upkeep(name string) script { return newScript(name, true, false) } // changes that nobody asked for
func read(name string) script   { return newScript(name, false, false) }

func newScript(name string, isChange, isAwaited bool) script {
	source := lua.Source(name)
	return script{redis.NewScript(source), name, source, isChange, isAwaited}
}

var (
	openStoreScript                    = change("open_store")
	heartbeatScript                    = upkeep("heartbeat")
	createLocationScript               = change("create_location")
	createFleetScript                  = change("create_fleet")
	deleteLocationScript               = change("delete_location")
	updateFleetAttributesScript        = change("update_fleet_attributes")
	createFleetLocationsScript         = change("create_fleet_locations")
	deleteFleetLocationsScript         = change("delete_fleet_locations")
	closeFleetScript                   = upkeep("close_fleet")
	reopenFleetScript                  = upkeep("reopen_fleet")
	deleteFleetScript                  = change("delete_fleet")
	registerComputeScript              = change("register_compute")
	deregisterComputeScript            = change("deregister_compute")
	getComputeAuthTokenScript          = change("get_compute_auth_token")
	createAliasScript                  = change("create_alias")
	updateAliasScript                  = change("update_alias")
	deleteAliasScript                  = change("delete_alias")
	tagResourceScript                  = change("tag_resource")
	untagResourceScript                = change("untag_resource")
	limitGameSessionsScript            = upkeep("limit_game_sessions")
	openGameSessionScript              = change("open_game_session")
	terminateGameSessionScript         = upkeep("terminate_game_session")
	finishGameSessionScript            = change("finish_game_session")
	purgeGameSessionsScript            = upkeep("purge_game_sessions")
	createGameSessionScript            = change("create_game_session")
	describeGameSessionsScript         = read("describe_game_sessions")
	createGameSessionQueueScript       = change("create_game_session_queue")
	updateGameSessionQueueScript       = change("update_game_session_queue")
	deleteGameSessionQueueScript       = change("delete_game_session_queue")
	startGameSessionPlacementScript    = change("start_game_session_placement")
	describeGameSessionPlacementScript = read("describe_game_session_placement")
	tryGameSessionPlacementScript      = upkeep("try_game_session_placement")
	finishGameSessionPlacementScript   = change("finish_game_session_placement")
	purgeGameSessionPlacementsScript   = upkeep("purge_game_session_placements")
	claimPlaceScript                   = upkeep("claim_place")
	updateGameSessionScript            = change("update_game_session")
	createPlayerSessionScript          = change("create_player_session")
	createPlayerSessionsScript         = change("create_player_sessions")
	describePlayerSessionsScript       = read("describe_player_sessions")
	listPlayerSessionsScript           = read("list_player_sessions")
	acceptPlayerSessionScript          = change("accept_player_session")
	removePlayerSessionScript          = change("remove_player_session")
	timeOutPlayerSessionsScript        = upkeep("time_out_player_sessions")
	purgePlayerSessionsScript          = upkeep("purge_player_sessions")
	activateGameSessionScript          = change("activate_game_session")
	failGameSessionScript              = upkeep("fail_game_session")
	activateServerProcessScript        = change("activate_server_process")
	connectServerProcessScript         = upkeep("connect_server_process")
	disconnectServerProcessScript      = upkeep("disconnect_server_process")
	heartbeatServerProcessScript       = upkeep("heartbeat_server_process")
	attendServerProcessesScript        = upkeep("attend_server_processes")
	forgetServerProcessScript          = upkeep("forget_server_process")
	describeServerProcessScript        = read("describe_server_process")
	claimServerProcessScript           = change("claim_server_process")
	confirmServerProcessScript         = upkeep("confirm_server_process")
	releaseServerProcessScript         = upkeep("release_server_process")
	tellServerProcessScript            = upkeep("tell_server_process")
	toldServerProcessScript            = upkeep("told_server_process")
	reviewServerProcessScript          = upkeep("review_server_process")
	terminateServerProcessScript       = change("terminate_server_process")
	removeServerProcessScript          = upkeep("remove_server_process")
	checkPlayerSessionScript           = change("check_player_session")
	checkServerProcessScript           = change("check_server_process")
	checkGameSessionScript             = change("check_game_session")
	checkGameSessionPlacementScript    = change("check_game_session_placement")
	checkIndexScript                   = change("check_index")
	checkResourceScript                = change("check_resource")
	checkBelongingScript               = change("check_belonging")
	checkFleetLocationScript           = change("check_fleet_location")
	checkExpiryScript                  = change("check_expiry")
)

// run runs a script and returns its reply, whose first field is the status word.
func (a *Allocator) run(ctx context.Context, s script, keys []string, args ...any) (fields, error) {
	reply, _, err := a.runCounted(ctx, s, keys, args...)
	return reply, err
}

// runDeletion runs a script that deletes something. When an answer was lost, go-redis sends the call again, and what is not found
// then was deleted by this very call.
func (a *Allocator) runDeletion(ctx context.Context, s script, keys []string, args ...any) (fields, error) {
	reply, sent, err := a.runCounted(ctx, s, keys, args...)
	if err == nil && sent > 1 && strings.HasSuffix(reply.text(0), "_NOT_FOUND") {
		return fields{"OK"}, nil
	}
	return reply, err
}

// runCounted returns how often a script that changes something was sent, too.
func (a *Allocator) runCounted(ctx context.Context, s script, keys []string, args ...any) (reply fields, sent int, err error) {
	var counted *countedArg
	if s.isChange && len(args) > 0 {
		counted = &countedArg{value: args[0]}
		args[0] = counted
	}
	if s.isAwaited && a.replication.needed > 0 {
		reply, err = a.evaluateWithReplicas(ctx, s, keys, args, counted)
	} else {
		reply, err = a.evaluateWithOthers(ctx, s, keys, args, counted)
	}
	return reply, counted.sent(), err
}

// evaluate runs a script on a server, and loads it there if the server does not have it.
func (a *Allocator) evaluate(ctx context.Context, server redis.Scripter, s script, keys []string, args []any, counted *countedArg) (fields, error) {
	cmd := s.EvalSha(ctx, server, keys, args...)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		if counted.sent() == 1 {
			counted.reset() // it surely did not run
		}
		cmd = s.Eval(ctx, server, keys, args...)
	}
	return a.replyOf(s, cmd, counted)
}

// replyOf is what a command that ran a script was answered with.
func (a *Allocator) replyOf(s script, cmd *redis.Cmd, counted *countedArg) (fields, error) {
	reply, err := cmd.Slice()
	if err != nil {
		return nil, a.failed(err, counted.sent())
	}
	if len(reply) == 0 {
		return nil, failure(ErrInternal, "script %s replied nothing", s.name)
	}
	return reply, nil
}

// acknowledging are the status words that stand for a change: by this call, or by another one, which may not be on replicas either.
var acknowledging = map[string]bool{"OK": true, "EXISTS": true, "KNOWN": true, "NOT_TERMINATING": true, "NOT_PENDING": true}

// failed is the failure of the store that go-redis met. sent is how often a change was sent to it. Of a cluster, another server may
// have taken over from the one that failed: go-redis would go on asking that one, for as long as a minute.
func (a *Allocator) failed(err error, sent int) *Error {
	failure := storeFailure(err, sent)
	if cluster, ok := a.redis.(*redis.ClusterClient); ok && failure.Kind != ErrInternal {
		cluster.ReloadState(context.Background()) // in the background, at most five times a second
	}
	return failure
}

// countedArg is an argument of a command that counts how often the command is sent: go-redis marshals it each time.
type countedArg struct {
	value any
	times atomic.Int32
}

// MarshalBinary writes the argument.
func (a *countedArg) MarshalBinary() ([]byte, error) {
	a.times.Add(1)
	return fmt.Append(nil, a.value), nil
}

// String is what traces show.
func (a *countedArg) String() string { return fmt.Sprint(a.value) }

// sent is how often; never of what is not counted, which is nil.
func (a *countedArg) sent() int {
	if a == nil {
		return 0
	}
	return int(a.times.Load())
}

func (a *countedArg) reset() {
	if a != nil {
		a.times.Store(0)
	}
}

// call is one call of a script.
type call struct {
	keys []string
	args []any
}

// runAll runs a script that reads, once for each call, in as few round trips as there are shards. The replies are in the
// order of the calls.
func (a *Allocator) runAll(ctx context.Context, s script, calls []call) ([]fields, error) {
	if len(calls) == 1 {
		reply, err := a.run(ctx, s, calls[0].keys, calls[0].args...)
		return []fields{reply}, err
	}
	cmds := make([]*redis.Cmd, len(calls))
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i, c := range calls {
			cmds[i] = pipe.Eval(ctx, s.source, c.keys, c.args...) // by source: a pipeline cannot answer "no such script"
		}
	})
	if err != nil {
		return nil, err
	}
	replies := make([]fields, len(calls))
	for i, cmd := range cmds {
		if replies[i], err = cmd.Slice(); err != nil {
			return nil, a.failed(err, 0)
		}
	}
	return replies, nil
}

// place says where in the replies of runAll something is: in that of which call, and at which index there.
type place struct{ call, index int }

// callsByPartition makes one call for each partition that has any of the refs, with the keys of its refs one after the
// other, and says where each ref went.
func callsByPartition(refs []ref, keys func(ref) []string) (calls []call, places []place) {
	callOf := make(map[partition]int)
	count := make(map[partition]int)
	for _, r := range refs {
		i, known := callOf[r.partition]
		if !known {
			i = len(calls)
			callOf[r.partition] = i
			calls = append(calls, call{})
		}
		calls[i].keys = append(calls[i].keys, keys(r)...)
		places = append(places, place{i, count[r.partition]})
		count[r.partition]++
	}
	return calls, places
}

// unexpected is the error for a status word that a script's contract does not have.
func (s script) unexpected(reply fields) error {
	return failure(ErrInternal, "script %s replied %q", s.name, reply.text(0))
}

// fields is a list in a reply: of strings, integers, lists, and nil for what is not set.
type fields []any

func (f fields) text(i int) string {
	if i >= len(f) {
		return ""
	}
	switch v := f[i].(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

func (f fields) int(i int) int64 {
	if i >= len(f) {
		return 0
	}
	switch v := f[i].(type) {
	case int64:
		return v
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	return 0
}

func (f fields) list(i int) fields {
	if i >= len(f) {
		return nil
	}
	list, _ := f[i].([]any)
	return list
}

// record reads the list as a hash: field, value, field, value, …
func (f fields) record() record {
	r := make(record, len(f)/2)
	for i := 0; i+1 < len(f); i += 2 {
		r[f.text(i)] = f.text(i + 1)
	}
	return r
}

// record is a stored hash, or those of its fields that were asked for.
type record map[string]string

// recordOf makes a record of the fields of those names that HMGET has replied.
func recordOf(names []string, values fields) record {
	r := make(record, len(names))
	for i, name := range names {
		if text := values.text(i); text != "" {
			r[name] = text
		}
	}
	return r
}

func (r record) int(field string) int {
	n, _ := strconv.Atoi(r[field])
	return n
}

// time reads a field of milliseconds since the epoch; the zero time when it is not set.
func (r record) time(field string) time.Time {
	ms, _ := strconv.ParseInt(r[field], 10, 64)
	return timeOf(ms)
}

// properties reads the fields that are game properties; nil when there are none.
func (r record) properties() map[string]string {
	var all map[string]string
	for field, value := range r {
		if key, ok := strings.CutPrefix(field, propertyPrefix); ok {
			if all == nil {
				all = make(map[string]string)
			}
			all[key] = value
		}
	}
	return all
}

// pairs lists fields and values as script arguments, leaving out what is empty.
func pairs(fieldsAndValues ...string) []any {
	var args []any
	for i := 0; i < len(fieldsAndValues); i += 2 {
		if fieldsAndValues[i+1] != "" {
			args = append(args, fieldsAndValues[i], fieldsAndValues[i+1])
		}
	}
	return args
}

// timeOf converts milliseconds since the epoch; 0 is the zero time.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// pipelined sends the commands that queue makes in as few round trips as there are shards. It fails if any of them does: go-redis returns
// the first error, which may be that something is not there, while another shard is away.
func (a *Allocator) pipelined(ctx context.Context, queue func(redis.Pipeliner)) error {
	cmds, err := a.redis.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		queue(pipe)
		return nil
	})
	for _, cmd := range cmds {
		if err == nil || errors.Is(err, redis.Nil) {
			err = cmd.Err()
		}
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return a.failed(err, 0)
	}
	return nil
}

// listed is what a command of a pipeline has listed, nothing if it failed: one whose answer broke off holds half a list.
func listed[T any](cmd interface{ Result() ([]T, error) }) []T {
	if all, err := cmd.Result(); err == nil {
		return all
	}
	return nil
}

// exists tells whether a key is there.
func (a *Allocator) exists(ctx context.Context, key string) (bool, error) {
	count, err := a.redis.Exists(ctx, key).Result()
	if err != nil {
		return false, a.failed(err, 0)
	}
	return count > 0, nil
}
