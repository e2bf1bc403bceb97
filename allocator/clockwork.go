package allocator

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
)

// Run is the clockwork of an instance, until ctx ends: it tells the other instances that it is alive, which shares the
// partitions among them, sweeps the partitions of this one, at once when it gains them, and follows the expiry of TTL keys to
// sweep at the very moment that a reservation times out; it tries the placements that are PENDING, reviews the server processes, and has
// those that are connected to this instance told what others nudge it about. What it cannot do for want of the store it logs and tries again.
func (a *Allocator) Run(ctx context.Context) {
	due := newDuePartitions()
	var parts sync.WaitGroup
	work := func(what string, interval time.Duration, do func() error) {
		parts.Go(func() {
			told := a.chronicle(what)
			every(ctx, interval, func() { told(ctx, guarded(do)) })
		})
	}
	work("heartbeat", heartbeatInterval, func() error {
		gained, err := a.heartbeat(ctx)
		due.add(gained...) // nobody may have swept them for as long as a heartbeat counts
		return err
	})
	work("sweep", a.sweepInterval, func() error {
		_, err := a.sweep(ctx, a.owner.partitions())
		return err
	})
	// Apart from the sweep, which is not to wait for them.
	work("placements", a.sweepInterval, func() error { return a.tryPlacements(ctx, a.owner.partitions()) })
	// However seldom the sweep, somebody is always there.
	work("server processes", min(a.sweepInterval, attendance/3), func() error { return a.reviewServerProcesses(ctx, a.owner.partitions()) })
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
	told := a.chronicle("sweep out of turn")
	for ctx.Err() == nil {
		select {
		case <-due.signal:
			told(ctx, guarded(func() error {
				_, err := a.sweep(ctx, due.take())
				return err
			}))
		case <-ctx.Done():
		}
	}
	parts.Wait()
	farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), heartbeatInterval)
	defer cancel()
	a.logged(farewell, "leaving", "the other instances take over once the heartbeat has lapsed", a.leave(farewell))
}

// worksAtOnce is how much of what is due an instance does at the same time, where it takes several round trips each.
const worksAtOnce = 8

// severalAtOnce does n works, several at the same time, and returns what became of each when all are done.
func severalAtOnce(n int, do func(i int) error) []error {
	done := make([]error, n)
	turns := make(chan struct{}, worksAtOnce)
	var works sync.WaitGroup
	for i := range n {
		turns <- struct{}{}
		works.Go(func() {
			defer func() { <-turns }()
			done[i] = guarded(func() error { return do(i) })
		})
	}
	works.Wait()
	return done
}

// guarded makes an error of a panic of a work: what nobody has foreseen in one record stops neither the other works nor the instance,
// whose successors would find the same record.
func guarded(do func() error) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = failure(ErrInternal, "panic: %v\n%s", panicked, debug.Stack())
		}
	}()
	return do()
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

// logged logs a failure of which no caller is told, and what comes of it, unless it comes of stopping.
func (a *Allocator) logged(ctx context.Context, what, then string, err error) {
	if err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, what+" failed; "+then, "error", err)
	}
}

// remindInterval is how often at most a work that keeps failing is logged.
const remindInterval = time.Minute

// chronicle returns what to tell of each turn of a work that is done again and again. It logs that the work has begun to fail, at times
// that it still does, and that it is done again, so that a store that is away does not fill the log.
func (a *Allocator) chronicle(what string) func(ctx context.Context, err error) {
	var failures int // in a row
	var began, logged time.Time
	return func(ctx context.Context, err error) {
		now := time.Now()
		switch {
		case err == nil && failures > 0:
			a.log.InfoContext(ctx, "clockwork: "+what+" recovered", "failures", failures, "after", now.Sub(began).Truncate(time.Millisecond))
			failures = 0
			return
		case err == nil || ctx.Err() != nil:
			return
		}
		first := failures == 0
		if failures++; first {
			began = now
		}
		if first || now.Sub(logged) >= remindInterval {
			logged = now
			a.log.WarnContext(ctx, "clockwork: "+what+" failed; it is tried again", "failures", failures, "error", err)
		}
	}
}
