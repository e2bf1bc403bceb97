package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Load says how much is asked of each contender in each round.
type Load struct {
	// Connections is how many callers there are, each of which has one request in flight at most.
	Connections int
	// Rate is how many requests begin each second, in an open loop; 0 is a closed loop.
	Rate float64
	// Duration and Count say when a round ends. One of them is 0.
	Duration time.Duration
	Count    int

	nap func(time.Duration) // sleeps for less than napping, one at a time; nil is time.Sleep
}

// napping is how long before a request is due timers of Go are no longer relied on: they may be a millisecond late.
const napping = 2 * time.Millisecond

// caller makes one request after the other, as over one connection.
type caller interface {
	// call makes a request, and returns the operation and the outcome: succeeded, or the name of what went wrong. It fails only
	// when there is nothing to ask for.
	call(ctx context.Context) (operation, outcome string, err error)
}

// run has all callers make requests until the load is done, somebody cancels, or a caller fails. It returns how long that took,
// and how many requests of an open loop were due and never made.
func (l Load) run(parent context.Context, callers []caller, record *recording) (elapsed time.Duration, unmade int, err error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	begin := time.Now()
	var running sync.WaitGroup
	var taken atomic.Int64
	next := func() (due time.Time, ok bool) {
		return time.Now(), !l.isOver(begin) && (l.Count == 0 || taken.Add(1) <= int64(l.Count))
	}
	if l.Rate > 0 {
		dues := make(chan time.Time, len(callers))
		running.Go(func() {
			defer close(dues)
			l.pace(ctx, begin, dues)
		})
		next = func() (due time.Time, ok bool) {
			for due := range dues {
				if !l.isOver(begin) {
					return due, true
				} // else it is not made any more
			}
			return time.Time{}, false
		}
	}
	for i, c := range callers {
		running.Go(func() {
			for ctx.Err() == nil {
				due, ok := next()
				if !ok {
					return
				}
				operation, outcome, err := c.call(ctx)
				if err != nil {
					cancel(err)
					return
				}
				record.add(i, operation, outcome, time.Since(due))
			}
		})
	}
	running.Wait()
	elapsed = time.Since(begin)
	if l.Rate > 0 {
		unmade = max(0, l.planned(elapsed)-record.total())
	}
	if parent.Err() == nil {
		err = context.Cause(ctx)
	}
	return elapsed, unmade, err
}

// isOver tells whether a round has taken its time.
func (l Load) isOver(begin time.Time) bool { return l.Duration > 0 && time.Since(begin) >= l.Duration }

// pace sends when each request of an open loop is due, once it is. One goroutine does for all callers, which costs the service less.
func (l Load) pace(ctx context.Context, begin time.Time, dues chan<- time.Time) {
	for n := 0; l.Count == 0 || n < l.Count; n++ {
		offset := l.offset(n)
		if l.Duration > 0 && offset >= l.Duration || l.isOver(begin) {
			return
		}
		due := begin.Add(offset)
		if !l.wait(ctx, due) {
			return
		}
		select {
		case dues <- due:
		case <-ctx.Done():
			return
		}
	}
}

// wait waits until something is due. It returns false if ctx ends first.
func (l Load) wait(ctx context.Context, due time.Time) bool {
	if long := time.Until(due) - napping; long > 0 {
		timer := time.NewTimer(long)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	if left := time.Until(due); left > 0 {
		if l.nap == nil {
			time.Sleep(left)
		} else {
			l.nap(left)
		}
	}
	return true
}

// offset is when request n of an open loop is due, from the beginning.
func (l Load) offset(n int) time.Duration {
	return time.Duration(float64(n) / l.Rate * float64(time.Second))
}

// planned is how many requests of an open loop are due before that much time has passed.
func (l Load) planned(elapsed time.Duration) int {
	if l.Duration > 0 {
		elapsed = min(elapsed, l.Duration)
	}
	n := int(elapsed.Seconds() * l.Rate)
	if l.offset(n) < elapsed {
		n++
	}
	if l.Count > 0 {
		n = min(n, l.Count)
	}
	return n
}
