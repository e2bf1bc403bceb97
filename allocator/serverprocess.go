package allocator

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
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
	// claimGrace is how long a server process is kept for a game session that is not there: longer than a call takes to create it. Should one
	// take longer, the game session ends, as when the process has.
	claimGrace = 10 * time.Second
	// startAgain is after what time a server process that does not activate its game session is told again to start it, when it reports. It
	// has surely received what it was told; but a Server SDK that was not ready may have passed it over. It is told once more only, for it
	// may be loading, and would begin anew each time.
	startAgain = time.Minute
	// attendance is for how long it counts that somebody has seen to the server processes of a partition. Game servers find their way back
	// well within the time that is left to them of serverProcessLife.
	attendance = 30 * time.Second
	// attendanceNote is how long the note of that is kept.
	attendanceNote = time.Hour
	// reviewInterval is how often a server process is reviewed while there is something that it could not be told.
	reviewInterval = time.Second
	// hostInterval is how often a game session is looked at whose server process may be gone without a trace, as after a failover that lost
	// the last writes.
	hostInterval = 5 * time.Minute
	// startInterval is how often it is reviewed while it has yet to activate its game session.
	startInterval = 10 * time.Second
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

func storedProcessID(stored record) ServerProcessID {
	return ServerProcessID{FleetID(stored["fleet"]), stored["compute"], stored["id"]}
}

// LogValue names the process in the log.
func (id ServerProcessID) LogValue() slog.Value {
	return slog.GroupValue(slog.String("fleet", string(id.FleetID)), slog.String("compute", id.ComputeName), slog.String("id", id.ProcessID))
}

// process is one life of a server process: from its registration to its end. Another one of the same id may be elsewhere.
type process struct {
	ref
	fleet    FleetID
	life     string // unique to this life
	location string
}

// storedProcess is the life that a record is of.
func storedProcess(r ref, stored record) process {
	return process{r, FleetID(stored["fleet"]), stored["life"], stored["location"]}
}

// hostOf is the server process on which a game session runs, given its record, and false if there is none.
func hostOf(game record) (process, bool) {
	text, life, _ := strings.Cut(game["process"], " ")
	r, ok := parseRef(text)
	return process{r, FleetID(game["fleet"]), life, game["location"]}, ok
}

// host is how the record of a game session names the process; empty for none.
func (p process) host() string {
	if p.text == "" {
		return ""
	}
	return p.text + " " + p.life
}

// keys lists the first n keys of those that the scripts on a server process share.
func (p process) keys(n int) []string {
	all := [...]string{
		serverProcessKey(p.ref), idleServerProcessesKey(p.fleet, p.location), reviewsKey(p.partition), serverProcessesKey(p.fleet),
	}
	return append([]string(nil), all[:n]...)
}

// runOn runs a script on a life of a server process, with the first n of the shared keys. Of another life it finds nothing.
func (a *Allocator) runOn(ctx context.Context, s script, p process, n int, args ...any) (fields, error) {
	return a.run(ctx, s, p.keys(n), append([]any{p.text, p.life}, args...)...)
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

// claimServerProcess gives a game session to an idle server process at one of the locations, and returns which it is and its record, in
// which the claim has a name of its own. It fails with ErrFleetCapacityExceeded when none is idle.
func (a *Allocator) claimServerProcess(ctx context.Context, fleet FleetID, locations []string, game ref, name string) (process, record, error) {
	claim := uuid.NewString()
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
		args := []any{claim, game.text, name, reviewInterval.Milliseconds()}
		for i, location := range locations {
			for _, candidate := range refsOf(fleetPartition(fleet), idle[i].Val()) {
				keys = append(keys, process{ref: candidate, fleet: fleet, location: location}.keys(2)...)
				args = append(args, candidate.text)
			}
		}
		if len(keys) == 1 {
			return process{}, nil, failure(ErrFleetCapacityExceeded, "no server process of fleet %s is idle where the game session may run; start more game servers, or wait until one is idle", fleet)
		}
		reply, err := a.run(ctx, claimServerProcessScript, keys, args...)
		stored := reply.list(2).record()
		claimed := storedProcess(ref{fleetPartition(fleet), reply.text(1)}, stored)
		if err != nil {
			if reply.text(0) == "OK" { // not on enough replicas, so it is not to be relied on
				a.releaseServerProcess(ctx, claimed, claim)
			}
			return process{}, nil, err
		}
		switch reply.text(0) {
		case "OK":
			stored["claim"] = claim
			return claimed, stored, nil
		case "NONE": // others have been quicker: see who is idle now
		default:
			return process{}, nil, claimServerProcessScript.unexpected(reply)
		}
	}
}

// releaseServerProcess takes back a claim whose game session was not created. Should it fail, a review does it later.
func (a *Allocator) releaseServerProcess(ctx context.Context, p process, claim string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout) // the creator may have gone
	defer cancel()
	_, err := a.runOn(ctx, releaseServerProcessScript, p, 2, claim)
	a.logged(ctx, "releasing a server process", "it is released when it is reviewed", err)
}

// endUnhosted ends a game session that has just been created, if its server process has ended meanwhile or was given to another: one of the
// two, the creator or the end of the process, always sees the other. Should the creator not get to it, a sweep does. It returns whether it
// has.
func (a *Allocator) endUnhosted(ctx context.Context, p process, game ref) (bool, error) {
	word, err := a.confirm(ctx, p, game)
	if err != nil || word == "OK" {
		return false, partly(err)
	}
	_, err = a.terminate(ctx, game, p.fleet, Interrupted, 0)
	return true, partly(err)
}

// confirm notes that a game session is there for which a server process was claimed, and returns OK, ENDED when the process has ended, or
// NOT_FOUND when it has the game session no longer.
func (a *Allocator) confirm(ctx context.Context, p process, game ref) (string, error) {
	reply, err := a.run(ctx, confirmServerProcessScript, []string{serverProcessKey(p.ref)}, p.life, game.text)
	if err != nil {
		return "", err
	}
	switch word := reply.text(0); word {
	case "OK", "ENDED", "NOT_FOUND":
		return word, nil
	}
	return "", confirmServerProcessScript.unexpected(reply)
}

// noGame is in the place of a game session of a server process that must have none.
const noGame = "none"

// tellToTerminate tells a server process to end, and returns false when it has ended or, if a game session is given, does not have that
// any more.
func (a *Allocator) tellToTerminate(ctx context.Context, p process, game string) (bool, error) {
	return a.tell(ctx, p, game, strconv.FormatInt(terminationGrace.Milliseconds(), 10), "")
}

// tellOfUpdate tells the server process of a game session of a new revision of this. Should it not get to it, a review does.
func (a *Allocator) tellOfUpdate(ctx context.Context, p process, game ref, revision string) error {
	_, err := a.tell(ctx, p, game.text, "", revision)
	return err
}

func (a *Allocator) tell(ctx context.Context, p process, game, terminate, revision string) (bool, error) {
	reply, err := a.runOn(ctx, tellServerProcessScript, p, 3, game, terminate, revision)
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

// endServerProcess ends a life of a server process and its game session, for a reason if it did not come to its end by itself. It returns
// false when that life is over. Whatever breaks off in between, a review carries on. With the request of the process to do so, the answer
// to that is kept in the same step: nobody could tell afterwards that it was granted.
func (a *Allocator) endServerProcess(ctx context.Context, p process, reason GameSessionStatusReason, request string) (bool, error) {
	life := answerLife
	if request == "" {
		life = 0
	}
	reply, err := a.run(ctx, terminateServerProcessScript, append(p.keys(3), a.answerKey(p.ref, request)), p.text, p.life, string(reason), life.Milliseconds())
	if err != nil {
		return false, err
	}
	switch reply.text(0) {
	case "OK":
		return true, partly(a.finishServerProcess(ctx, p, reply.text(1), GameSessionStatusReason(reply.text(2))))
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
	_, err := a.run(ctx, removeServerProcessScript, append(p.keys(4), goneKey(p.ref)), p.text, p.life, a.retention.Milliseconds())
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
	if on != p.host() {
		return nil
	}
	_, err = a.terminate(ctx, hosted, p.fleet, reason, 0)
	return err
}

// attended is since when somebody has always seen to the server processes of a partition, and when that was noted, in ms.
type attended struct{ since, at int64 }

// reviewServerProcesses sees to the server processes in the partitions that are due by now, each once. It costs a command a partition,
// another where there are server processes, and three round trips for each that is due.
func (a *Allocator) reviewServerProcesses(ctx context.Context, partitions []partition) error {
	counts := make([]*redis.IntCmd, len(partitions))
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i, p := range partitions {
			counts[i] = pipe.ZCard(ctx, reviewsKey(p))
		}
	})
	for i, p := range partitions {
		if counts[i].Val() > 0 {
			err = errors.Join(err, guarded(func() error { return a.reviewPartition(ctx, p) }))
		}
	}
	return err
}

func (a *Allocator) reviewPartition(ctx context.Context, p partition) error {
	until := ""
	for {
		reply, err := a.run(ctx, attendServerProcessesScript, []string{reviewsKey(p), attendanceKey(p)},
			attendance.Milliseconds(), sweepBatch, until, attendanceNote.Milliseconds())
		if err != nil {
			return err
		}
		seen, due := attended{since: reply.int(2), at: reply.int(1)}, reply[min(3, len(reply)):]
		if until == "" {
			until = strconv.FormatInt(seen.at, 10)
		}
		err = a.pipelined(ctx, func(pipe redis.Pipeliner) { // so that none that fails keeps others from their turn
			for i := range due {
				pipe.ZAddXX(ctx, reviewsKey(p), redis.Z{Score: float64(seen.at + reviewInterval.Milliseconds()), Member: due.text(i)})
			}
		})
		if err != nil {
			return err
		}
		failed := severalAtOnce(len(due), func(i int) error { return a.reviewServerProcess(ctx, ref{p, due.text(i)}, seen) })
		if err := errors.Join(failed...); err != nil || len(due) < sweepBatch {
			return err
		}
	}
}

// reviewServerProcess sees to one server process that is due.
func (a *Allocator) reviewServerProcess(ctx context.Context, r ref, seen attended) error {
	stored, err := a.redis.HGetAll(ctx, serverProcessKey(r)).Result()
	if err != nil {
		return a.failed(err, 0)
	}
	if len(stored) == 0 {
		_, err := a.run(ctx, forgetServerProcessScript, []string{serverProcessKey(r), reviewsKey(r.partition)}, r.text)
		return err
	}
	p, status, revision := storedProcess(r, stored), "", ""
	var hosted *redis.SliceCmd
	var fleet, compute *redis.IntCmd
	err = a.pipelined(ctx, func(pipe redis.Pipeliner) {
		fleet = pipe.Exists(ctx, fleetKey(p.fleet))
		compute = pipe.Exists(ctx, computeKey(p.fleet, stored["compute"]))
		if game, ok := parseRef(stored["game"]); ok {
			hosted = pipe.HMGet(ctx, gameSessionKey(game), "process", "status", "revision")
		}
	})
	if err != nil {
		return err
	}
	if hosted != nil && fields(hosted.Val()).text(0) == p.host() {
		status, revision = fields(hosted.Val()).text(1), fields(hosted.Val()).text(2)
	}
	if stored["terminate_at"] == "" {
		switch {
		case fleet.Val() == 0: // it was deleted
			_, err = a.tellToTerminate(ctx, p, "")
		case compute.Val() == 0 && stored["game"] == "": // it was deregistered
			_, err = a.tellToTerminate(ctx, p, noGame)
		}
		if err != nil {
			return err
		}
	}
	reply, err := a.runOn(ctx, reviewServerProcessScript, p, 3, stored["game"], status, serverProcessLife.Milliseconds(), seen.since,
		claimGrace.Milliseconds(), terminationGrace.Milliseconds(), reviewInterval.Milliseconds(), startInterval.Milliseconds(),
		seen.at+attendance.Milliseconds(), cmp.Or(stored["hosts"], "0"), revision)
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
			"process", storedProcessID(stored), "game_session", stored["game_name"])
		a.nudge(ctx, reply.text(1), r)
		return a.endHosted(ctx, p, stored["game"], Interrupted)
	case "ENDED":
		if reply.int(2) == 1 {
			a.log.WarnContext(ctx, "a server process has been silent, or did not end in time; it counts as ended", "process", storedProcessID(stored))
		}
		return a.finishServerProcess(ctx, p, stored["game"], GameSessionStatusReason(reply.text(1)))
	}
	return reviewServerProcessScript.unexpected(reply)
}

// reviewFleetProcesses has the server processes of a fleet reviewed now. A review tells those whose fleet is gone to end, and those without
// game session whose compute is.
func (a *Allocator) reviewFleetProcesses(ctx context.Context, fleet FleetID) error {
	refs, err := a.redis.ZRange(ctx, serverProcessesKey(fleet), 0, -1).Result()
	if err != nil {
		return a.failed(err, 0)
	}
	return a.pipelined(ctx, func(pipe redis.Pipeliner) {
		for some := range slices.Chunk(refs, sweepBatch) {
			due := make([]redis.Z, len(some))
			for i, r := range some {
				due[i].Member = r
			}
			pipe.ZAddXX(ctx, reviewsKey(fleetPartition(fleet)), due...)
		}
	})
}
