package allocator

import (
	"context"
	"sync"
	"time"
)

// Run is the clockwork of an instance, until ctx ends: it tells the other instances that it is alive, which shares the
// partitions among them, sweeps the partitions of this one, at once when it gains them, and follows the expiry of TTL keys to
// sweep at the very moment that a reservation times out. What it cannot do for want of the store it logs and tries again.
func (a *Allocator) Run(ctx context.Context) {
	due := newDuePartitions()
	var parts sync.WaitGroup
	parts.Go(func() {
		every(ctx, heartbeatInterval, func() {
			gained, err := a.heartbeat(ctx)
			a.logged(ctx, "heartbeat", err)
			due.add(gained...) // nobody may have swept them for as long as a heartbeat counts
		})
	})
	parts.Go(func() {
		every(ctx, a.sweepInterval, func() {
			_, err := a.sweep(ctx, a.owner.partitions())
			a.logged(ctx, "sweep", err)
		})
	})
	parts.Go(func() { // apart from the sweep, which is not to wait for them
		every(ctx, a.sweepInterval, func() { a.logged(ctx, "placements", a.tryPlacements(ctx, a.owner.partitions())) })
	})
	parts.Go(func() {
		every(ctx, min(a.sweepInterval, attendance/3), func() { // however seldom the sweep, somebody is always there
			a.logged(ctx, "server processes", a.reviewServerProcesses(ctx, a.owner.partitions()))
		})
	})
	parts.Go(func() { a.followNudges(ctx) })
	if !a.sweepOnly {
		parts.Go(func() {
			a.watchExpiry(ctx, func(p partition) {
				if a.owner.owns(p) {
					due.add(p)
				}
			})
		})
	}
	for ctx.Err() == nil {
		select {
		case <-due.signal:
			_, err := a.sweep(ctx, due.take())
			a.logged(ctx, "sweep out of turn", err)
		case <-ctx.Done():
		}
	}
	parts.Wait()
	farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), heartbeatInterval)
	defer cancel()
	a.logged(farewell, "leave", a.leave(farewell))
}

// worksAtOnce is how much of what is due an instance does at the same time, where it takes several round trips each.
const worksAtOnce = 8

// severalAtOnce does n works, several at the same time, and returns when all are done.
func severalAtOnce(n int, do func(i int)) {
	turns := make(chan struct{}, worksAtOnce)
	var works sync.WaitGroup
	for i := range n {
		turns <- struct{}{}
		works.Go(func() {
			defer func() { <-turns }()
			do(i)
		})
	}
	works.Wait()
}

// every does what is to be done at once and then at each interval.
func every(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		do()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// logged logs a failure of the clockwork, unless it comes of stopping.
func (a *Allocator) logged(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "clockwork: "+what+" failed; it is tried again", "error", err)
	}
}
