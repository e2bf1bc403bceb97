package allocator

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// Push is what a server process is told: a StartGameSession, an UpdatedGameSession or a TerminateProcess.
type Push interface{ isPush() }

// StartGameSession gives a game session to a server process, which is to activate it. A process may be told more than once.
type StartGameSession struct{ GameSession GameSession }

// UpdatedGameSession says what has become of the game session of a server process.
type UpdatedGameSession struct{ GameSession GameSession }

// TerminateProcess tells a server process to end.
type TerminateProcess struct{ By time.Time } // when it counts as ended in any case

func (StartGameSession) isPush()   {}
func (UpdatedGameSession) isPush() {}
func (TerminateProcess) isPush()   {}

// Credential is what a server process connects with: a token, or a signature that has been verified.
type Credential struct {
	Token     string // of GetComputeAuthToken
	Signature string // when Token is empty
	SignedAt  time.Time
}

// signatureLife is how long before or after it was made a signature is valid.
const signatureLife = 15 * time.Minute

func (c Credential) digest() string {
	if c.Token != "" {
		return hashOfToken(c.Token)
	}
	return "signature " + hashOfToken(c.Signature) // which no token has
}

// closeTimeout is how long it may take to note that a connection is gone.
const closeTimeout = 5 * time.Second

// ServerProcessConnection is a connection of a server process to this instance. Its methods are what the process asks for. A process may
// have several at a time, at any instances; it is told things over the newest.
type ServerProcessConnection struct {
	ID ServerProcessID

	a          *Allocator
	ref        ref
	name       string // unique to this connection
	since      int64  // ms
	credential string

	mu      sync.Mutex
	process process // its life that the connection is for; none before it has registered
	hosted  GameSessionID
	gone    bool // it was given up, and may not register with what it connected with
	stray   bool // it has reported, and has no life; it has not been told to end

	push  func(context.Context, Push) error
	ctx   context.Context // until it is closed
	end   context.CancelFunc
	woken bool          // since the courier last looked; guarded by mu
	left  chan struct{} // closed when the courier leaves; nil while there is none; guarded by mu
}

// AuthenticateServerProcess lets a server process in that has a valid credential for its compute, or the one with which it connected
// before, even if that has expired since, and as long as the retention after it was given up. It costs two round trips, one more before it
// fails, and changes nothing. It fails with ErrUnauthorized.
func (a *Allocator) AuthenticateServerProcess(ctx context.Context, id ServerProcessID, credential Credential) (*ServerProcessConnection, error) {
	c := &ServerProcessConnection{ID: id, a: a, ref: id.ref(), name: uuid.NewString(), credential: credential.digest()}
	var compute *redis.IntCmd
	var expiry *redis.FloatCmd
	err := a.pipelined(ctx, func(pipe redis.Pipeliner) {
		compute = pipe.Exists(ctx, computeKey(id.FleetID, id.ComputeName))
		expiry = pipe.ZScore(ctx, computeAuthTokensKey(id.FleetID, id.ComputeName), c.credential)
	})
	if err != nil {
		return nil, err
	}
	stored, now, err := a.readServerProcess(ctx, c.ref)
	if err != nil {
		return nil, err
	}
	c.since = now
	c.learn(stored)
	isThere := compute.Val() > 0
	valid := credential.Token != "" && int64(expiry.Val()) > now ||
		credential.Token == "" && credential.Signature != "" && isThere && timeOf(now).Sub(credential.SignedAt).Abs() <= signatureLife
	returning := c.process.life != "" && stored["credential"] == c.credential
	if valid || returning {
		return c, nil
	}
	if c.process.life == "" {
		gone, err := a.redis.Get(ctx, goneKey(c.ref)).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, a.failed(err, 0)
		}
		if gone == c.credential { // it was given up, and is told so when it reports
			c.gone = true
			return c, nil
		}
	}
	switch {
	case !isThere:
		return nil, failure(ErrUnauthorized, "fleet %s has no compute %s; register it with RegisterCompute", id.FleetID, id.ComputeName)
	case credential.Signature != "":
		return nil, failure(ErrUnauthorized, "the connection was signed at %s, and it is %s by the clock of the store, which is more than %v apart; set the clock of the game server. The C# SDK signs in local time: run it in UTC",
			credential.SignedAt.UTC().Format(time.RFC3339), timeOf(now).Format(time.RFC3339), signatureLife)
	}
	return nil, failure(ErrUnauthorized, "the credential is not one of compute %s, or has expired; ask GetComputeAuthToken for a new token", id.ComputeName)
}

// learn takes over which life of the process the connection is for, given the record: none of one that has ENDED.
func (c *ServerProcessConnection) learn(stored record) {
	if stored["status"] == "ACTIVE" {
		c.process = storedProcess(c.ref, stored)
	}
}

// Open makes the connection the newest of the process. From now on push tells the process things; it returns when the process surely
// has received them, or fails; then the connection should end. Call Close in the end, also when Open has failed.
func (c *ServerProcessConnection) Open(ctx context.Context, push func(context.Context, Push) error) error {
	c.push = push
	c.ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	c.a.connections.add(c)
	if c.current().life == "" { // it has yet to register
		return nil
	}
	return c.connect(ctx)
}

// connect notes the connection as the one over which the life that it is for is told things, unless there is a newer one.
func (c *ServerProcessConnection) connect(ctx context.Context) error {
	reply, err := c.a.runOn(ctx, connectServerProcessScript, c.current(), 3, c.name, c.since, c.a.owner.instance, c.credential)
	if err != nil {
		return err
	}
	switch reply.text(0) {
	case "OK":
		c.wake()
		return nil
	case "NOT_FOUND": // that life has ended just now
		return nil
	}
	return connectServerProcessScript.unexpected(reply)
}

// Mute ends what the process is told over the connection, which can still ask for something. It waits for what push is telling the
// process; push must not call it.
func (c *ServerProcessConnection) Mute() {
	if c.end == nil { // it was never opened
		return
	}
	c.mu.Lock()
	c.end() // from here on nothing wakes it
	left := c.left
	c.mu.Unlock()
	if left != nil {
		<-left
	}
	c.a.connections.remove(c)
}

// Close ends the connection, even when ctx is over. The process goes on, and may come back. It is muted first.
func (c *ServerProcessConnection) Close(ctx context.Context) error {
	c.Mute()
	if c.end == nil || c.current().life == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_, err := c.a.runOn(ctx, disconnectServerProcessScript, c.current(), 2, c.name)
	return err
}

// ActivateServerProcessInput is how a server process registers.
type ActivateServerProcessInput struct {
	Port int    // on which players reach it
	SDK  string // language and version
}

// ActivateServerProcess registers the process: a life of it begins. It may be given a game session once it has reported to be healthy. An
// earlier life, which began over another connection, has ended with this, and its game session is INTERRUPTED.
//
// It fails with ErrNotFound when the compute was deregistered, with ErrConflict when a life has begun over a newer connection, or with
// ErrInvalidFleetStatus.
func (c *ServerProcessConnection) ActivateServerProcess(ctx context.Context, in ActivateServerProcessInput) error {
	if c.gone {
		return failure(ErrUnauthorized, "the credential has expired, and the server process that it was of was given up; ask GetComputeAuthToken for a new token")
	}
	compute, err := c.a.DescribeCompute(ctx, c.ID.FleetID, c.ID.ComputeName)
	if err != nil {
		return err
	}
	life := uuid.NewString()
	for {
		p := process{c.ref, c.ID.FleetID, life, compute.Location}
		reply, err := c.a.run(ctx, activateServerProcessScript,
			[]string{serverProcessKey(p.ref), serverProcessesKey(p.fleet), reviewsKey(p.partition)},
			append([]any{p.text, p.life, c.name, c.since, reviewInterval.Milliseconds(), in.Port}, pairs(
				"fleet", string(p.fleet), "compute", c.ID.ComputeName, "id", c.ID.ProcessID, "sdk", in.SDK,
				"location", p.location, "ip", compute.IPAddress, "dns", compute.DNSName,
				"instance", c.a.owner.instance, "credential", c.credential,
			)...)...)
		if err != nil {
			return err
		}
		switch reply.text(0) {
		case "OK", "KNOWN":
			if reply.text(0) == "KNOWN" {
				p.life = reply.text(1)
			} else {
				c.a.log.InfoContext(ctx, "a server process has registered", "process", c.ID)
			}
			c.mu.Lock()
			c.process, c.hosted, c.stray = p, "", false
			c.mu.Unlock()
			return c.recheckFleet(ctx)
		case "RUNNING":
			p.life, p.location = reply.text(1), reply.text(2)
			if p.life == "" {
				return failure(ErrInternal, "the record of server process %s is damaged; run berth check", c.ID.ProcessID)
			}
			ended, err := c.a.endServerProcess(ctx, p, Interrupted, "")
			if err != nil {
				return err
			}
			if ended {
				c.a.log.InfoContext(ctx, "a server process registers again under its id; the earlier one has ended", "process", c.ID)
			}
		case "NEWER":
			return failure(ErrConflict, "server process %s has registered over a newer connection", c.ID.ProcessID)
		default:
			return activateServerProcessScript.unexpected(reply)
		}
	}
}

// recheckFleet ends a process that has registered in a fleet that was deleted, or is being deleted, meanwhile. Should it not get to it, the
// first review does.
func (c *ServerProcessConnection) recheckFleet(ctx context.Context) error {
	status, err := c.a.fleetStatus(ctx, c.ID.FleetID)
	if err != nil || status == FleetActive {
		return err
	}
	hosts, err := c.a.redis.HExists(ctx, serverProcessKey(c.ref), "game").Result()
	if err != nil {
		return c.a.failed(err, 1)
	}
	if hosts { // the deletion fails if it knows of the game session
		return nil
	}
	if _, err := c.a.endServerProcess(ctx, c.current(), Interrupted, ""); err != nil {
		return err
	}
	return failure(ErrInvalidFleetStatus, "fleet %s is being deleted", c.ID.FleetID)
}

// HeartbeatServerProcess reports whether the process is healthy. Without a healthy report for three minutes it loses its game session and is
// told to end. It fails with ErrNotFound when the process is not registered or has ended; then it is told to end, too: in its place,
// another may register.
func (c *ServerProcessConnection) HeartbeatServerProcess(ctx context.Context, healthy bool) error {
	known, err := c.onLife(ctx, func(p process) (bool, error) {
		reply, err := c.a.runOn(ctx, heartbeatServerProcessScript, p, 3, flag(healthy), c.name, c.since, c.a.owner.instance, c.credential)
		if err != nil {
			return false, err
		}
		switch reply.text(0) {
		case "OK":
			return true, nil
		case "NOT_FOUND":
			return false, nil
		}
		return false, heartbeatServerProcessScript.unexpected(reply)
	})
	if err != nil {
		return err
	}
	if !known {
		c.mu.Lock()
		c.stray = true
		c.mu.Unlock()
	}
	c.wake()
	if !known {
		return serverProcessNotFound(c.ID)
	}
	return nil
}

// onLife does what a request asks for with the life of the process that the connection is for. When do does not find what it needs, the
// process may have begun another life over another connection meanwhile: then it is done with that. It returns whether do has found it.
func (c *ServerProcessConnection) onLife(ctx context.Context, do func(process) (bool, error)) (bool, error) {
	before := c.current()
	if before.life != "" {
		if found, err := do(before); err != nil || found {
			return found, err
		}
	}
	stored, _, err := c.a.readServerProcess(ctx, c.ref)
	if err != nil {
		return false, err
	}
	began, _ := strconv.ParseInt(stored["activated_since"], 10, 64)
	ended, known := stored["status"] != "ACTIVE", stored["life"] == before.life
	ofAnother := began > c.since || began == c.since && before.life != "" // process, which was started later under the same id
	if ended || known || ofAnother {
		return false, nil
	}
	c.mu.Lock()
	c.learn(stored)
	p := c.process
	c.hosted = ""
	c.mu.Unlock()
	if err := c.connect(ctx); err != nil {
		return false, err
	}
	return do(p)
}

// ActivateGameSession makes the game session that the process was told to start ACTIVE: players may come. It fails with ErrNotFound when
// the game session does not run on the process, or ErrInvalidGameSessionStatus when it has ended or the activation timeout has passed.
func (c *ServerProcessConnection) ActivateGameSession(ctx context.Context, id GameSessionID) error {
	game, ok := c.a.gameSessionRef(id)
	if !ok {
		return c.notHosted(id)
	}
	found, err := c.onLife(ctx, func(p process) (bool, error) {
		reply, err := c.a.run(ctx, activateGameSessionScript, []string{gameSessionKey(game), deadlinesKey(game.partition)}, game.text, p.host())
		if err != nil {
			return false, err
		}
		switch reply.text(0) {
		case "OK":
			name, _, _ := strings.Cut(reply.text(1), " ")
			if placement, kept := parseRef(name); kept { // which waits for this
				c.a.logged(ctx, "trying a placement", "it is tried again", c.a.advance(ctx, placement))
			}
			return true, nil
		case "GAME_SESSION_NOT_FOUND":
			return false, nil
		case "NOT_ACTIVATING":
			return true, failure(ErrInvalidGameSessionStatus, "game session %s is %s and cannot be activated", id, reply.text(1))
		case "LATE":
			return true, failure(ErrInvalidGameSessionStatus, "game session %s was not activated in time", id)
		}
		return false, activateGameSessionScript.unexpected(reply)
	})
	if err == nil && !found {
		return c.notHosted(id)
	}
	return err
}

// Hosts fails with ErrNotFound when a game session does not run on the process. It costs a command until it has found the one that does.
func (c *ServerProcessConnection) Hosts(ctx context.Context, id GameSessionID) error {
	c.mu.Lock()
	hosted := c.hosted
	c.mu.Unlock()
	if hosted == id && id != "" { // it never moves
		return nil
	}
	game, ok := c.a.gameSessionRef(id)
	if !ok {
		return c.notHosted(id)
	}
	found, err := c.onLife(ctx, func(p process) (bool, error) {
		on, err := c.a.redis.HGet(ctx, gameSessionKey(game), "process").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return false, c.a.failed(err, 0)
		}
		return on == p.host(), nil
	})
	if err != nil {
		return err
	}
	if !found {
		return c.notHosted(id)
	}
	c.mu.Lock()
	c.hosted = id
	c.mu.Unlock()
	return nil
}

// HostedGameSession is the game session that runs on the process; empty if none does.
func (c *ServerProcessConnection) HostedGameSession(ctx context.Context) (GameSessionID, error) {
	c.mu.Lock()
	hosted := c.hosted
	c.mu.Unlock()
	if hosted != "" {
		return hosted, nil
	}
	stored, _, err := c.a.readServerProcess(ctx, c.ref)
	if err != nil || stored["game_name"] == "" {
		return "", err
	}
	id := c.a.gameSessionID(c.ID.FleetID, stored["game_name"])
	if err := c.Hosts(ctx, id); errors.Is(err, ErrNotFound) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return id, nil
}

func (c *ServerProcessConnection) notHosted(id GameSessionID) error {
	return failure(ErrNotFound, "no game session %s runs on server process %s", id, c.ID.ProcessID)
}

// TerminateServerProcess says that the process ends, and with it its game session. With the name of the request, as Once has it, the answer
// is kept. It fails with ErrNotFound when the process is not registered or has ended already.
func (c *ServerProcessConnection) TerminateServerProcess(ctx context.Context, request string) error {
	ended, err := c.onLife(ctx, func(p process) (bool, error) { return c.a.endServerProcess(ctx, p, "", request) })
	if err != nil {
		return err
	}
	if !ended {
		return serverProcessNotFound(c.ID)
	}
	c.a.log.InfoContext(ctx, "a server process has ended", "process", c.ID)
	return nil
}

func (c *ServerProcessConnection) current() process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process
}

// wake makes sure that what the process is to be told is looked up from now on.
func (c *ServerProcessConnection) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil || c.ctx.Err() != nil { // it is not open
		return
	}
	c.woken = true
	if c.left == nil {
		c.left = make(chan struct{})
		go c.courier()
	}
}

// courier looks up what the process is to be told, until nothing has woken it meanwhile.
func (c *ServerProcessConnection) courier() {
	for c.isWoken() {
		if err := guarded(func() error { return c.deliver(c.ctx) }); !errors.Is(err, errNotTold) {
			c.a.logged(c.ctx, "telling a server process", "it is told when it is reviewed", err)
		}
	}
}

// isWoken tells whether the courier is to look once more; if not, it has left.
func (c *ServerProcessConnection) isWoken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	woken := c.woken
	if c.woken = false; !woken {
		close(c.left)
		c.left = nil
	}
	return woken
}

// deliver tells the process what it is to be told and has not been told over this connection, if this is its newest one. Nothing is told
// before its first report: Server SDKs lose what comes earlier.
func (c *ServerProcessConnection) deliver(ctx context.Context) error {
	c.mu.Lock()
	p, stray := c.process, c.stray
	c.stray = false
	c.mu.Unlock()
	stored, now, err := c.a.readServerProcess(ctx, c.ref)
	if err != nil {
		return err
	}
	// Without a life there is nothing else that tells it, and it may have begun one since.
	if stray && (stored["status"] != "ACTIVE" || stored["life"] != p.life) && c.current() == p {
		if c.push(ctx, TerminateProcess{timeOf(now)}) != nil {
			return errNotTold
		}
		return nil
	}
	if stored["life"] != p.life || stored["status"] != "ACTIVE" || stored["connection"] != c.name || stored["ready"] == "" {
		return nil
	}
	game, hasGame := parseRef(stored["game"])
	again := stored["starts"] == "1" && stored.time("start_at").Add(startAgain).UnixMilli() <= now
	starts := hasGame && stored["started"] == "" && stored["terminate_at"] == "" && (stored["starts"] == "" || again)
	updates := hasGame && stored["update"] != stored["updated"]
	if starts || updates {
		hosted, on, err := c.a.readHosted(ctx, game)
		if err != nil {
			return err
		}
		starts = starts && on == p.host() && hosted.Status == GameSessionActivating
		updates = updates && on == p.host()
		if starts {
			if err := c.tell(ctx, p.life, StartGameSession{*hosted}, "start", game.text, stored["starts"]); err != nil {
				return err
			}
		}
		if updates {
			if err := c.tell(ctx, p.life, UpdatedGameSession{*hosted}, "update", stored["update"], ""); err != nil {
				return err
			}
		}
	}
	if stored["terminate_at"] == "" || stored["terminate_on"] == c.name {
		return nil
	}
	return c.tell(ctx, p.life, TerminateProcess{stored.time("terminate_at")}, "terminate", "", "")
}

// readHosted reads a game session, and on which server process it runs; none if it is not there.
func (a *Allocator) readHosted(ctx context.Context, game ref) (hosted *GameSession, on string, err error) {
	err = a.eachGameSession(ctx, []ref{game}, math.MaxInt32, func(found GameSession, of record) { hosted, on = &found, of["process"] })
	return hosted, on, err
}

// errNotTold says that the connection has failed, which is not for the Allocator to report.
var errNotTold = errors.New("the connection has failed")

// tell tells a life of the process something, and notes that it was told.
func (c *ServerProcessConnection) tell(ctx context.Context, life string, p Push, what, detail, before string) error {
	if c.push(ctx, p) != nil {
		return errNotTold
	}
	_, err := c.a.run(ctx, toldServerProcessScript, []string{serverProcessKey(c.ref)}, life, c.name, what, detail, before)
	return err
}
