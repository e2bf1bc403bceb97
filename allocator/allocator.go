package allocator

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// Config says which store an Allocator works on and by which rules. Only Redis is required.
type Config struct {
	// Redis is a *redis.Client (one node or a Sentinel group) or a *redis.ClusterClient. Whoever made it closes it.
	Redis redis.UniversalClient
	// Region stands in the ARNs. Instances that share a store share the region. Default us-east-1.
	Region string
	// ReservationTimeout is how long a player session may stay RESERVED. Whole milliseconds; default 60 s.
	ReservationTimeout time.Duration
	// Retention is how long player sessions stay readable after they ended. Default 24 h.
	Retention time.Duration
	// MaxPlayerSessions caps the MaximumPlayerSessionCount of every game session. Default 200.
	MaxPlayerSessions int
	// AutoActivate makes the new game sessions of fleets without server processes ACTIVE at once, on a registered compute.
	AutoActivate bool
	// SweepOnly makes Run mark time-outs by sweeping alone, for a store that has no keyspace notifications.
	SweepOnly bool
	// SweepInterval is how often Run sweeps the partitions that this instance owns. Default 1 s.
	SweepInterval time.Duration
	// Logger is told what operators should know. Default slog.Default().
	Logger *slog.Logger
}

// The data format of the store. A store of another format is refused.
const storeFormat = "1"

// Allocator hands out the player slots of game sessions that are kept in Redis. It is safe for concurrent use, holds no
// state of its own, and any number of them, in any number of processes, work on one store.
//
// Every operation fails with an [*Error]: with one of the kinds that its comment names, with ErrStoreUnavailable when the
// store cannot be asked, with ErrOutcomeUnknown when a change was sent and no answer came, or with ErrInternal.
type Allocator struct {
	redis              redis.UniversalClient
	region             string
	reservationTimeout time.Duration
	retention          time.Duration
	maxPlayerSessions  int
	autoActivate       bool
	sweepOnly          bool
	sweepInterval      time.Duration
	log                *slog.Logger

	secret []byte // from which ids are derived; the store's, the same for all instances
	owner  ownership
}

// Open returns an Allocator for the store, which is set up at its first use. It fails with ErrInvalidRequest when the
// configuration cannot work or the store was set up by a version of Berth that keeps its data differently.
func Open(ctx context.Context, config Config) (*Allocator, error) {
	a := &Allocator{
		redis:              config.Redis,
		region:             or(config.Region, "us-east-1"),
		reservationTimeout: or(config.ReservationTimeout, time.Minute),
		retention:          or(config.Retention, 24*time.Hour),
		maxPlayerSessions:  or(config.MaxPlayerSessions, 200),
		autoActivate:       config.AutoActivate,
		sweepOnly:          config.SweepOnly,
		sweepInterval:      or(config.SweepInterval, time.Second),
		log:                or(config.Logger, slog.Default()),
		owner:              newOwnership(uuid.NewString()),
	}
	switch a.redis.(type) {
	case *redis.Client, *redis.ClusterClient:
	default:
		return nil, failure(ErrInvalidRequest, "Redis is a %T; it must be a *redis.Client or a *redis.ClusterClient", config.Redis)
	}
	switch {
	case a.reservationTimeout < time.Millisecond || a.reservationTimeout%time.Millisecond != 0:
		return nil, failure(ErrInvalidRequest, "the reservation timeout is %v; it must be a positive number of milliseconds", a.reservationTimeout)
	case a.retention < 0:
		return nil, failure(ErrInvalidRequest, "the retention is %v; it must not be negative", a.retention)
	case a.maxPlayerSessions < 0:
		return nil, failure(ErrInvalidRequest, "the cap on player sessions is %d; it must not be negative", a.maxPlayerSessions)
	case a.sweepInterval < 0:
		return nil, failure(ErrInvalidRequest, "the sweep interval is %v; it must not be negative", a.sweepInterval)
	}
	return a, a.openStore(ctx)
}

func (a *Allocator) openStore(ctx context.Context) error {
	candidate := make([]byte, 32)
	rand.Read(candidate) // never fails: crypto/rand ends the program instead
	reply, err := a.run(ctx, openStoreScript, []string{storeKey}, storeFormat, Partitions, base64.StdEncoding.EncodeToString(candidate))
	if err != nil {
		return err
	}
	if reply.text(1) != storeFormat || reply.int(2) != Partitions {
		return failure(ErrInvalidRequest, "the store has data of format %s in %s partitions; this version of Berth keeps format %s in %d: use another Redis database or the version that wrote it",
			reply.text(1), reply.text(2), storeFormat, Partitions)
	}
	if a.secret, err = base64.StdEncoding.DecodeString(reply.text(3)); err != nil || len(a.secret) != len(candidate) {
		return &Error{Kind: ErrInternal, Message: "the secret in " + storeKey + " is damaged; restore it from a backup", Cause: err}
	}
	return nil
}

// Ready fails with ErrStoreUnavailable when the store does not answer.
func (a *Allocator) Ready(ctx context.Context) error {
	if err := a.redis.Ping(ctx).Err(); err != nil {
		return unavailable(err)
	}
	return nil
}

// or returns value, or fallback when value is the zero value.
func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}
