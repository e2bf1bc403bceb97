package allocator

import (
	"context"
	"errors"
)

// What the tests outside of the package need to see of the inside: the clockwork's turns one by one, and its outcome.

// Heartbeat is one turn of the clockwork that shares the partitions among the instances.
func (a *Allocator) Heartbeat(ctx context.Context) error {
	_, err := a.heartbeat(ctx)
	return err
}

// Pipelined makes even a call that is alone go through the pipeline.
func (a *Allocator) Pipelined() *Allocator {
	a.pipelines.from = 0
	return a
}

// Waiting is how many calls wait for a pipeline.
func (a *Allocator) Waiting() (sum int) {
	a.pipelines.byServer.Range(func(_, of any) bool {
		p := of.(*pipeline)
		p.mu.Lock()
		defer p.mu.Unlock()
		sum += len(p.waiting)
		return true
	})
	return sum
}

// The bounds of pipelines.
const (
	PipelinedFrom   = pipelinedFrom
	PipelinesAtOnce = pipelinesAtOnce
	PipelinedCalls  = pipelinedCalls
)

// Leave is how an instance ends its part in that.
func (a *Allocator) Leave(ctx context.Context) error { return a.leave(ctx) }

// SweepOwned is one turn of the clockwork that sweeps.
func (a *Allocator) SweepOwned(ctx context.Context) (Swept, error) {
	swept, err := a.sweep(ctx, a.owner.partitions())
	return swept, errors.Join(err, a.reviewServerProcesses(ctx, a.owner.partitions()))
}

// SweepOnly is a sweep of all partitions, without reviews and placements.
func (a *Allocator) SweepOnly(ctx context.Context) (Swept, error) {
	return a.sweep(ctx, allPartitions())
}

// Owned lists the partitions that this instance sweeps.
func (a *Allocator) Owned() (owned []int) {
	for _, p := range a.owner.partitions() {
		owned = append(owned, int(p))
	}
	return owned
}

// HeartbeatLife is how long a heartbeat counts.
const HeartbeatLife = heartbeatLife

// Settle waits until the process has been told what there was to tell it.
func (c *ServerProcessConnection) Settle() {
	c.mu.Lock()
	left := c.left
	c.mu.Unlock()
	if left != nil {
		<-left
	}
}
