package allocator

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// ServerProcessID names a server process: a game server on a compute, which hosts one game session.
type ServerProcessID struct {
	FleetID     FleetID // an id, not an ARN
	ComputeName string
	ProcessID   string // as the game server calls itself
}

// ServerProcess is a game server that has registered itself, and has not ended.
type ServerProcess struct {
	ServerProcessID
	Status        ServerProcessStatus
	Location      string // of its compute
	IPAddress     string // of its compute
	DNSName       string // of its compute
	Port          int    // on which players reach it
	SDK           string // language and version
	Registration  time.Time
	LastHealthy   time.Time     // its last healthy report, or its registration
	Healthy       bool          // its last report was healthy
	Connected     bool          // to an instance that lives, or has just died
	GameSessionID GameSessionID // that it hosts; empty for none
}

// ServerProcessStatus is the state of a server process.
type ServerProcessStatus string

// The states of a server process. One that is ACTIVE, healthy and connected and hosts no game session may be given one.
const (
	ServerProcessActive      ServerProcessStatus = "ACTIVE"
	ServerProcessTerminating ServerProcessStatus = "TERMINATING"
)

const (
	// serverProcessLife is how long a server process may be without a healthy report.
	serverProcessLife = 3 * time.Minute
	// terminationGrace is how long a server process may take to end after it was told to.
	terminationGrace = 5 * time.Minute
	// claimGrace is how long a server process is kept for a game session that is not there: longer than any call takes to create it.
	claimGrace = time.Minute
	// startAgain is after what time a server process that does not activate its game session is told again to start it.
	startAgain = time.Minute
	// reviewInterval is how often a server process is reviewed while something is under way.
	reviewInterval = time.Second
	// claimCandidates is how many idle server processes of a location a claim chooses from.
	claimCandidates = 8
)

// fleetPartition is where a fleet's server processes are kept.
func fleetPartition(fleet FleetID) partition {
	return partition(sha256.Sum256([]byte(fleet))[0])
}

func (id ServerProcessID) ref() ref {
	var name []byte
	for _, part := range []string{string(id.FleetID), id.ComputeName, id.ProcessID} {
		name = binary.BigEndian.AppendUint32(name, uint32(len(part)))
		name = append(name, part...)
	}
	digest := sha256.Sum256(name)
	digest[0] = byte(fleetPartition(id.FleetID))
	return refOf([16]byte(digest[:16]))
}

// process is where a server process is kept, and where it was when it was last heard of: a later life of it may be elsewhere.
type process struct {
	ref
	fleet    FleetID
	location string
}

func (id ServerProcessID) process(location string) process {
	return process{id.ref(), id.FleetID, location}
}

// keys lists the first n keys of those that the scripts on a server process share.
func (p process) keys(n int) []string {
	all := [...]string{
		serverProcessKey(p.ref), idleServerProcessesKey(p.fleet, p.location), reviewsKey(p.partition), serverProcessesKey(p.fleet),
	}
	return append([]string(nil), all[:n]...)
}

// runOn runs a script on a server process, with the first n of the shared keys, wherever the process is by now.
func (a *Allocator) runOn(ctx context.Context, s script, p process, n int, args ...any) (fields, error) {
	for {
		reply, err := a.run(ctx, s, p.keys(n), append([]any{p.text, p.location}, args...)...)
		if err != nil || reply.text(0) != "CHANGED" {
			return reply, err
		}
		p.location, err = a.redis.HGet(ctx, serverProcessKey(p.ref), "location").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, a.failed(err, 0)
		}
	}
}

// DescribeServerProcess reads a server process. It costs one command, and fails with ErrNotFound.
func (a *Allocator) DescribeServerProcess(ctx context.Context, id ServerProcessID) (*ServerProcess, error) {
	stored, _, err := a.readServerProcess(ctx, id.ref())
	if err != nil {
		return nil, err
	}
	if len(stored) == 0 || stored["status"] == "ENDED" {
		return nil, serverProcessNotFound(id)
	}
	p := &ServerProcess{
		ServerProcessID: id,
		Status:          ServerProcessActive,
		Location:        stored["location"],
		IPAddress:       stored["ip"],
		DNSName:         stored["dns"],
		Port:            stored.int("port"),
		SDK:             stored["sdk"],
		Registration:    stored.time("registered"),
		LastHealthy:     stored.time("healthy_at"),
		Healthy:         stored["ready"] != "" && stored["unhealthy"] == "",
		Connected:       stored["connection"] != "",
	}
	if stored["terminate_at"] != "" {
		p.Status = ServerProcessTerminating
	}
	if name := stored["game_name"]; name != "" {
		p.GameSessionID = a.gameSessionID(id.FleetID, name)
	}
	return p, nil
}

// readServerProcess returns the record of a server process, empty if it is not there, and the time of the store.
func (a *Allocator) readServerProcess(ctx context.Context, process ref) (record, int64, error) {
	reply, err := a.run(ctx, describeServerProcessScript, []string{serverProcessKey(process)})
	if err != nil {
		return nil, 0, err
	}
	return reply.list(2).record(), reply.int(1), nil
}

func serverProcessNotFound(id ServerProcessID) error {
	return failure(ErrNotFound, "there is no server process %s on compute %s of fleet %s: it has not registered with ActivateServerProcess, or it has ended",
		id.ProcessID, id.ComputeName, id.FleetID)
}

// claimServerProcess gives a game session to an idle server process at one of the locations, and returns which it is and its record. It
// fails with ErrFleetCapacityExceeded when none is idle.
func (a *Allocator) claimServerProcess(ctx context.Context, fleet FleetID, locations []string, game ref, name string) (process, record, error) {
	for {
		idle := make([]*redis.StringSliceCmd, len(locations))
		err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
			for i, location := range locations {
				idle[i] = pipe.ZRandMember(ctx, idleServerProcessesKey(fleet, location), claimCandidates)
			}
		})
		if err != nil {
			return process{}, nil, err
		}
		keys := []string{reviewsKey(fleetPartition(fleet))}
		args := []any{game.text, name, reviewInterval.Milliseconds()}
		for i, location := range locations {
			for _, candidate := range refsOf(fleetPartition(fleet), idle[i].Val()) {
				keys = append(keys, process{candidate, fleet, location}.keys(2)...)
				args = append(args, candidate.text)
			}
		}
		if len(keys) == 1 {
			return process{}, nil, failure(ErrFleetCapacityExceeded, "no server process of fleet %s is idle where the game session may run; start more game servers, or wait until one is idle", fleet)
		}
		reply, err := a.run(ctx, claimServerProcessScript, keys, args...)
		if err != nil {
			return process{}, nil, err
		}
		switch reply.text(0) {
		case "OK":
			stored := reply.list(2).record()
			return process{ref{fleetPartition(fleet), reply.text(1)}, fleet, stored["location"]}, stored, nil
		case "NONE": // others have been quicker: see who is idle now
		default:
			return process{}, nil, claimServerProcessScript.unexpected(reply)
		}
	}
}

// releaseServerProcess takes back a claim whose game session was not created. Should it fail, a review does it later.
func (a *Allocator) releaseServerProcess(ctx context.Context, p process, game ref) {
	_, err := a.runOn(ctx, releaseServerProcessScript, p, 2, game.text)
	a.logged(ctx, "releasing a server process", err)
}

// tellToTerminate tells the server process of a game session to end, and returns false when it does not have it any more.
func (a *Allocator) tellToTerminate(ctx context.Context, p process, game ref) (bool, error) {
	return a.tell(ctx, p, game.text, strconv.FormatInt(terminationGrace.Milliseconds(), 10))
}

// tellOfUpdate tells the server process of a game session that this has changed.
func (a *Allocator) tellOfUpdate(ctx context.Context, p process, game ref) error {
	_, err := a.tell(ctx, p, game.text, "")
	return err
}

func (a *Allocator) tell(ctx context.Context, p process, game, terminate string) (bool, error) {
	reply, err := a.runOn(ctx, tellServerProcessScript, p, 3, game, terminate)
	if err != nil {
		return false, err
	}
	switch reply.text(0) {
	case "OK":
		a.nudge(ctx, reply.text(1), p.ref)
		return true, nil
	case "NOT_FOUND":
		return false, nil
	}
	return false, tellServerProcessScript.unexpected(reply)
}

// endServerProcess ends a server process and its game session, for a reason if it did not come to its end by itself. It returns false
// when there is none. Whatever breaks off in between, a review carries on.
func (a *Allocator) endServerProcess(ctx context.Context, p process, reason GameSessionStatusReason) (bool, error) {
	reply, err := a.runOn(ctx, terminateServerProcessScript, p, 3, string(reason))
	if err != nil {
		return false, err
	}
	switch reply.text(0) {
	case "OK":
		return true, a.finishServerProcess(ctx, p, reply.text(1), GameSessionStatusReason(reply.text(2)))
	case "NOT_FOUND":
		return false, nil
	}
	return false, terminateServerProcessScript.unexpected(reply)
}

// finishServerProcess ends the game session of a server process that has ENDED, and deletes the process.
func (a *Allocator) finishServerProcess(ctx context.Context, p process, game string, reason GameSessionStatusReason) error {
	if err := a.endHosted(ctx, p, game, reason); err != nil {
		return err
	}
	_, err := a.runOn(ctx, removeServerProcessScript, p, 4)
	return err
}

// endHosted ends the game session of a server process, if it has one that runs on it.
func (a *Allocator) endHosted(ctx context.Context, p process, game string, reason GameSessionStatusReason) error {
	hosted, ok := parseRef(game)
	if !ok {
		return nil
	}
	on, err := a.redis.HGet(ctx, gameSessionKey(hosted), "process").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return a.failed(err, 1)
	}
	if on != p.text {
		return nil
	}
	_, err = a.terminate(ctx, hosted, p.fleet, reason, 0)
	return err
}

// reviewServerProcesses sees to the server processes that are due.
func (a *Allocator) reviewServerProcesses(ctx context.Context, due []dueIn) error {
	type dueProcess struct {
		in     *dueIn
		ref    ref
		stored *redis.MapStringStringCmd
		game   *redis.SliceCmd // status, process
	}
	var all []dueProcess
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i := range due {
			for _, r := range due[i].processes {
				all = append(all, dueProcess{in: &due[i], ref: r, stored: pipe.HGetAll(ctx, serverProcessKey(r))})
			}
		}
	})
	if err != nil || len(all) == 0 {
		return err
	}
	err = a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i := range all {
			if game, ok := parseRef(all[i].stored.Val()["game"]); ok {
				all[i].game = pipe.HMGet(ctx, gameSessionKey(game), "status", "process")
			}
		}
	})
	if err != nil {
		return err
	}
	for _, p := range all {
		status := ""
		if p.game != nil && fields(p.game.Val()).text(1) == p.ref.text {
			status = fields(p.game.Val()).text(0)
		}
		failed := a.reviewServerProcess(ctx, p.ref, p.stored.Val(), GameSessionStatus(status))
		if failed != nil {
			p.in.more = false // it stays due, so it would be looked at again at once
		}
		err = errors.Join(err, failed)
	}
	return err
}

// reviewServerProcess sees to one server process that is due, given its record and the status of its game session; empty when there is
// none that runs on it.
func (a *Allocator) reviewServerProcess(ctx context.Context, r ref, stored record, status GameSessionStatus) error {
	p := process{r, FleetID(stored["fleet"]), stored["location"]}
	reply, err := a.run(ctx, reviewServerProcessScript, p.keys(4), p.text, p.location, stored["game"], string(status),
		serverProcessLife.Milliseconds(), claimGrace.Milliseconds(), terminationGrace.Milliseconds(), startAgain.Milliseconds(), reviewInterval.Milliseconds())
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		a.nudge(ctx, reply.text(1), r)
		return nil
	case "CHANGED": // at its next turn
		return nil
	case "LOST":
		a.log.WarnContext(ctx, "a server process has not reported to be healthy for too long; its game session ends",
			"fleet", p.fleet, "compute", stored["compute"], "process", stored["id"], "game_session", stored["game_name"])
		a.nudge(ctx, reply.text(1), r)
		return a.endHosted(ctx, p, stored["game"], Interrupted)
	case "ENDED":
		return a.finishServerProcess(ctx, p, stored["game"], GameSessionStatusReason(reply.text(1)))
	}
	return reviewServerProcessScript.unexpected(reply)
}

// endFleetProcesses tells all server processes of a fleet to end.
func (a *Allocator) endFleetProcesses(ctx context.Context, fleet FleetID) error {
	refs, err := a.redis.ZRange(ctx, serverProcessesKey(fleet), 0, -1).Result()
	if err != nil {
		return a.failed(err, 0)
	}
	for _, r := range refsOf(fleetPartition(fleet), refs) {
		if _, err := a.tell(ctx, process{ref: r, fleet: fleet}, "", strconv.FormatInt(terminationGrace.Milliseconds(), 10)); err != nil {
			return err
		}
	}
	return nil
}
