package allocator

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"
)

// Config says which store an Allocator works on and by which rules. Only Redis is required.
type Config struct {
	// Redis is a *redis.Client (one node or a Sentinel group) or a *redis.ClusterClient. Whoever made it closes it.
	Redis redis.UniversalClient
	// Region stands in the ARNs: lower-case letters, digits and hyphens. The store keeps it, and refuses another one later.
	// Default us-east-1.
	Region string
	// ReservationTimeout is how long a player session may stay RESERVED. Whole milliseconds; default 60 s.
	ReservationTimeout time.Duration
	// Retention is how long player sessions stay readable after they ended. Default 24 h.
	Retention time.Duration
	// MaxPlayerSessions caps the MaximumPlayerSessionCount of every game session. Default 200.
	MaxPlayerSessions int
	// Quotas cap what the control plane holds. Default: those of the real service.
	Quotas Quotas
	// AutoActivate makes the new game sessions of fleets without server processes ACTIVE at once, on a registered compute.
	AutoActivate bool
	// ActivationTimeout is how long a server process may take to activate the game session that it was given. Whole milliseconds;
	// default 10 min.
	ActivationTimeout time.Duration
	// WaitReplicas is how many replicas must have a change before it is acknowledged. Default 0.
	WaitReplicas int
	// WaitTimeout is how long to wait for them. Whole milliseconds; default 1 s.
	WaitTimeout time.Duration
	// SweepOnly makes Run mark time-outs by sweeping alone, for a store that has no keyspace notifications.
	SweepOnly bool
	// SweepInterval is how often Run sweeps the partitions that this instance owns. Default 1 s.
	SweepInterval time.Duration
	// Logger is told what operators should know. Default slog.Default().
	Logger *slog.Logger
}

// Quotas cap what the control plane holds. Zero is the real service's figure, which each comment gives.
type Quotas struct {
	Aliases          int // 100
	Fleets           int // 10
	ComputesPerFleet int // 100
	Locations        int // 20
	Queues           int // 20
}

func (q Quotas) orDefault() Quotas {
	return Quotas{cmp.Or(q.Aliases, 100), cmp.Or(q.Fleets, 10), cmp.Or(q.ComputesPerFleet, 100), cmp.Or(q.Locations, 20), cmp.Or(q.Queues, 20)}
}

// quotaReached is the error for what would be one too many. flag is that of berth serve which sets the quota.
func quotaReached(quota int, what, flag string) error {
	return failure(ErrLimitExceeded, "there are %d %s, as many as there may be; delete some, or raise the quota with %s", quota, what, flag)
}

// The data format of the store. A store of another format is refused.
const storeFormat = "4"

// secretSize is how many bytes the secret of a store has.
const secretSize = 32

// Allocator hands out the player slots of game sessions that are kept in Redis. It is safe for concurrent use. All state is in
// the store, so any number of them, in any number of processes, work on one.
//
// Every operation fails with an [*Error]: with one of the kinds that its comment names, with ErrStoreUnavailable when the
// store cannot be asked, with ErrOutcomeUnknown when a change was sent and no answer came, or with ErrInternal.
type Allocator struct {
	redis              redis.UniversalClient
	region             string
	reservationTimeout time.Duration
	retention          time.Duration
	maxPlayerSessions  int
	quotas             Quotas
	autoActivate       bool
	activationTimeout  time.Duration
	sweepOnly          bool
	sweepInterval      time.Duration
	log                *slog.Logger

	secret   []byte    // from which ids are derived; the store's, the same for all instances
	derivers sync.Pool // of *deriver
	owner    ownership

	facts       *lru.Cache[ref, gameFacts] // of game sessions; they are checked at each use
	pipelines   *pipelines
	snapshots   *snapshots
	replication *replication
	connections *connections
}

// knownGames is how many game sessions an Allocator remembers facts of, at some 600 bytes each.
const knownGames = 1 << 17

// Open returns an Allocator for the store, which is set up at its first use. It fails with ErrInvalidRequest when the
// configuration cannot work or the store was set up by a version of Berth that keeps its data differently.
func Open(ctx context.Context, config Config) (*Allocator, error) {
	a, err := newAllocator(config)
	if err != nil {
		return nil, err
	}
	if err := a.openStore(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// newAllocator returns an Allocator that has yet to learn what the store keeps for good.
func newAllocator(config Config) (*Allocator, error) {
	a := &Allocator{
		redis:              config.Redis,
		region:             cmp.Or(config.Region, "us-east-1"),
		reservationTimeout: cmp.Or(config.ReservationTimeout, time.Minute),
		retention:          cmp.Or(config.Retention, 24*time.Hour),
		maxPlayerSessions:  cmp.Or(config.MaxPlayerSessions, 200),
		quotas:             config.Quotas.orDefault(),
		autoActivate:       config.AutoActivate,
		activationTimeout:  cmp.Or(config.ActivationTimeout, 10*time.Minute),
		sweepOnly:          config.SweepOnly,
		sweepInterval:      cmp.Or(config.SweepInterval, time.Second),
		log:                cmp.Or(config.Logger, slog.Default()),
		owner:              newOwnership(uuid.NewString()),
	}
	a.facts, _ = lru.New[ref, gameFacts](knownGames) // fails for a size below 1 only
	a.snapshots = newSnapshots(a.readActive)
	a.connections = newConnections()
	a.replication = newReplication(a.redis, config.WaitReplicas, cmp.Or(config.WaitTimeout, time.Second))
	switch a.redis.(type) {
	case *redis.Client, *redis.ClusterClient:
	default:
		return nil, failure(ErrInvalidRequest, "Redis is a %T; it must be a *redis.Client or a *redis.ClusterClient", config.Redis)
	}
	switch {
	case a.reservationTimeout < time.Millisecond || a.reservationTimeout%time.Millisecond != 0:
		return nil, failure(ErrInvalidRequest, "the reservation timeout is %v; it must be a positive number of milliseconds", a.reservationTimeout)
	case a.activationTimeout < time.Millisecond || a.activationTimeout%time.Millisecond != 0:
		return nil, failure(ErrInvalidRequest, "the activation timeout is %v; it must be a positive number of milliseconds", a.activationTimeout)
	case !regionPattern.MatchString(a.region):
		return nil, failure(ErrInvalidRequest, "the region is %q; it must be lower-case letters, digits and hyphens", a.region)
	case a.retention < 0:
		return nil, failure(ErrInvalidRequest, "the retention is %v; it must not be negative", a.retention)
	case a.maxPlayerSessions < 0:
		return nil, failure(ErrInvalidRequest, "the cap on player sessions is %d; it must not be negative", a.maxPlayerSessions)
	case config.WaitReplicas < 0:
		return nil, failure(ErrInvalidRequest, "the count of replicas to wait for is %d; it must not be negative", config.WaitReplicas)
	case config.WaitTimeout < 0 || config.WaitTimeout%time.Millisecond != 0:
		return nil, failure(ErrInvalidRequest, "the timeout of replicas is %v; it must be a positive number of milliseconds", config.WaitTimeout)
	case a.sweepInterval < 0:
		return nil, failure(ErrInvalidRequest, "the sweep interval is %v; it must not be negative", a.sweepInterval)
	}
	a.pipelines = newPipelines(a.redis)
	return a, nil
}

var regionPattern = regexp.MustCompile(`^[a-z0-9-]+$`)

func (a *Allocator) openStore(ctx context.Context) error {
	candidate := make([]byte, secretSize)
	rand.Read(candidate) // never fails: crypto/rand ends the program instead
	reply, err := a.run(ctx, openStoreScript, []string{storeKey}, storeFormat, Partitions, base64.StdEncoding.EncodeToString(candidate), a.region)
	if err != nil {
		return err
	}
	return a.adopt(reply[1:])
}

// adopt takes over what the store keeps for good, format, partitions, secret and region, or refuses it.
func (a *Allocator) adopt(facts fields) (err error) {
	if facts.text(0) != storeFormat || facts.int(1) != Partitions {
		return failure(ErrInvalidRequest, "the store has data of format %s in %s partitions; this version of Berth keeps format %s in %d: use another Redis database or the version that wrote it",
			facts.text(0), facts.text(1), storeFormat, Partitions)
	}
	if facts.text(3) != a.region {
		return failure(ErrInvalidRequest, "the store was set up for the region %s, and this instance for %s; give all instances the same", facts.text(3), a.region)
	}
	if a.secret, err = base64.StdEncoding.DecodeString(facts.text(2)); err != nil || len(a.secret) != secretSize {
		return &Error{Kind: ErrInternal, Message: "the secret in " + storeKey + " is damaged; restore it from a backup", Cause: err}
	}
	return nil
}

// Region is that of the store, which stands in the ARNs.
func (a *Allocator) Region() string { return a.region }

// Ready fails with ErrStoreUnavailable when the store does not answer.
func (a *Allocator) Ready(ctx context.Context) error {
	if err := a.redis.Ping(ctx).Err(); err != nil {
		return &Error{Kind: ErrStoreUnavailable, Message: "the store does not answer", Cause: err}
	}
	return nil
}
