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

	nap func(time.Duration) // sleeps for less than napping; nil is time.Sleep
}

// napping is how long before a request is due its caller no longer relies on a timer: those of Go may be a millisecond late.
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
	var taken atomic.Int64
	var running sync.WaitGroup
	for i, c := range callers {
		running.Go(func() {
			for ctx.Err() == nil {
				n := int(taken.Add(1) - 1)
				due, ok := l.due(ctx, begin, n)
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

// due waits until request n may begin, and returns from when its latency counts. It returns false if the round ends first.
func (l Load) due(ctx context.Context, begin time.Time, n int) (time.Time, bool) {
	if l.Count > 0 && n >= l.Count {
		return time.Time{}, false
	}
	now := time.Now()
	if l.Duration > 0 && now.Sub(begin) >= l.Duration {
		return time.Time{}, false
	}
	if l.Rate == 0 {
		return now, true
	}
	offset := l.offset(n)
	if l.Duration > 0 && offset >= l.Duration {
		return time.Time{}, false
	}
	due := begin.Add(offset)
	return due, l.wait(ctx, due)
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
