package allocator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// replication holds acknowledgements back until replicas have what is acknowledged.
//
// Redis' WAIT speaks of what its own connection has written, and blocks it. So a change that is to be awaited has a connection to
// itself, and such changes never take more than half of the pool: others are not kept waiting by a replica that lags.
type replication struct {
	needed  int // replicas
	timeout time.Duration
	turns   chan struct{}
}

func newReplication(client redis.UniversalClient, needed int, timeout time.Duration) *replication {
	connections := 0
	switch client := client.(type) {
	case *redis.ClusterClient:
		connections = client.Options().PoolSize
	case *redis.Client:
		connections = client.Options().PoolSize
	}
	return &replication{needed: needed, timeout: timeout, turns: make(chan struct{}, max(1, connections/2))}
}

// evaluateWithReplicas runs a script on the master that has its keys, and waits until as many replicas as needed have what it wrote,
// if it replied something that acknowledges a change.
func (a *Allocator) evaluateWithReplicas(ctx context.Context, s script, keys []string, args []any, counted *countedArg) (reply fields, err error) {
	err = a.onMaster(ctx, keys[0], func(connection *redis.Conn) error {
		reply, err = a.evaluate(ctx, connection, s, keys, args, counted)
		if err != nil || !acknowledging[reply.text(0)] {
			return err
		}
		return a.awaitReplicas(ctx, connection, markKey(keys[0]))
	})
	return reply, err
}

// awaitAnother waits until as many replicas as needed have what another call has written to the master that has a key.
func (a *Allocator) awaitAnother(ctx context.Context, key string) error {
	if a.replication.needed == 0 {
		return nil
	}
	return a.onMaster(ctx, key, func(connection *redis.Conn) error { return a.awaitReplicas(ctx, connection, markKey(key)) })
}

// onMaster does something over a connection, to itself, to the master that has a key.
func (a *Allocator) onMaster(ctx context.Context, key string, do func(*redis.Conn) error) error {
	select {
	case a.replication.turns <- struct{}{}:
		defer func() { <-a.replication.turns }()
	case <-ctx.Done():
		return a.failed(ctx.Err(), 0)
	}
	master, err := a.masterOf(ctx, key)
	if err != nil {
		return a.failed(err, 0)
	}
	connection := master.Conn()
	defer func() { _ = connection.Close() }() // gives it back to the pool
	return do(connection)
}

// awaitReplicas returns when as many replicas as needed have all that was written to a server before. It fails with
// ErrOutcomeUnknown when they do not have it in time: it may get lost with the server.
func (a *Allocator) awaitReplicas(ctx context.Context, connection *redis.Conn, mark string) error {
	// The mark follows whatever was written before, also by an attempt whose answer was lost: that one wrote on another connection.
	var reached *redis.Cmd
	_, err := connection.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, mark, 1, time.Millisecond)
		reached = pipe.Do(ctx, "WAIT", a.replication.needed, a.replication.timeout.Milliseconds())
		return nil
	})
	if err != nil {
		return a.failed(err, 2) // the change was made, and the mark was sent
	}
	if n, err := reached.Int(); err != nil || n < a.replication.needed {
		return failure(ErrOutcomeUnknown, "the change was made, and %d replicas have it within %v, where --wait-replicas is %d; so it may or may not have happened for good, retry with the same idempotency token",
			n, a.replication.timeout, a.replication.needed)
	}
	return nil
}

// masterOf returns a client of the master that has a key.
func (a *Allocator) masterOf(ctx context.Context, key string) (*redis.Client, error) {
	switch client := a.redis.(type) {
	case *redis.ClusterClient:
		return client.MasterForKey(ctx, key)
	case *redis.Client:
		return client, nil
	}
	panic(fmt.Sprintf("allocator: Open let a %T through", a.redis))
}

// markKey: string, what is written last before a wait for replicas. It expires at once. It is in the slot of another key.
func markKey(key string) string {
	return key[:strings.Index(key, "}:")+len("}:")] + "mark"
}
