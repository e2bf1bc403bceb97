package bench

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slow answers each request after a millisecond, but for those that it stalls: in the time of a bubble of testing/synctest, which
// passes at once when all wait.
type slow struct {
	requests *atomic.Int64
	stall    func(n int64) time.Duration
}

func (s slow) call(context.Context) (string, string, error) {
	time.Sleep(max(time.Millisecond, s.stall(s.requests.Add(1))))
	return "Call", succeeded, nil
}

func slowCallers(connections int, stall func(n int64) time.Duration) []caller {
	var requests atomic.Int64
	callers := make([]caller, connections)
	for i := range callers {
		callers[i] = slow{&requests, stall}
	}
	return callers
}

func never(int64) time.Duration { return 0 }

// onceFor stalls request n.
func onceFor(n int64, stall time.Duration) func(int64) time.Duration {
	return func(request int64) time.Duration {
		if request == n {
			return stall
		}
		return 0
	}
}

// measure puts callers under a load.
func measure(t *testing.T, l Load, callers []caller) (all *series, elapsed time.Duration, unmade int) {
	t.Helper()
	record := newRecording(len(callers))
	elapsed, unmade, err := l.run(t.Context(), callers, record)
	if err != nil {
		t.Fatal(err)
	}
	return together(record.series()), elapsed, unmade
}

// near compares a latency with what it should be. The histogram keeps three significant figures.
func near(t *testing.T, what string, got int64, want time.Duration) {
	t.Helper()
	if off := float64(got)/float64(want.Microseconds()) - 1; off < -0.01 || off > 0.01 {
		t.Errorf("%s is %d µs, want %v", what, got, want)
	}
}

func TestOpenLoopShowsAStallInEveryRequestThatItHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One connection, 100 requests a second for 10 s. The 501st stalls for a second, in which 100 others are due.
		all, _, unmade := measure(t, Load{Connections: 1, Rate: 100, Duration: 10 * time.Second}, slowCallers(1, onceFor(501, time.Second)))
		h := all.latencies
		if h.TotalCount() != 1000 || unmade != 0 {
			t.Errorf("%d requests were made and %d not, want all 1000", h.TotalCount(), unmade)
		}
		near(t, "p50", h.ValueAtPercentile(50), time.Millisecond)
		near(t, "max", h.Max(), time.Second)
		// Of those held up each waits 9 ms less than the one before it: ten wait longer than 910 ms, fifty longer than 550 ms.
		near(t, "p99", h.ValueAtPercentile(99), 910*time.Millisecond)
		near(t, "p95", h.ValueAtPercentile(95), 550*time.Millisecond)
	})
}

func TestClosedLoopShowsAStallOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, elapsed, _ := measure(t, Load{Connections: 1, Count: 1000}, slowCallers(1, onceFor(501, time.Second)))
		h := all.latencies
		near(t, "p99.8", h.ValueAtPercentile(99.8), time.Millisecond)
		near(t, "max", h.Max(), time.Second)
		if want := 999*time.Millisecond + time.Second; elapsed != want {
			t.Errorf("it took %v, want %v", elapsed, want)
		}
	})
}

func TestOpenLoopCountsRequestsThatWereDueAndNeverMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The last stall outlasts the round, and whoever was due in it is not asked for any more.
		all, _, unmade := measure(t, Load{Connections: 1, Rate: 100, Duration: 10 * time.Second}, slowCallers(1, onceFor(901, 5*time.Second)))
		if n := all.latencies.TotalCount(); n != 901 || unmade != 99 {
			t.Errorf("%d requests were made and %d were not, want 901 and 99", n, unmade)
		}
	})
}

func TestOpenLoopKeepsItsRateWhateverTheConnections(t *testing.T) {
	for _, connections := range []int{1, 3, 64} {
		synctest.Test(t, func(t *testing.T) {
			all, elapsed, unmade := measure(t, Load{Connections: connections, Rate: 500, Duration: 2 * time.Second}, slowCallers(connections, never))
			if n := all.latencies.TotalCount(); n != 1000 || unmade != 0 {
				t.Errorf("with %d connections %d requests were made and %d were not, want all 1000", connections, n, unmade)
			}
			near(t, "max", all.latencies.Max(), time.Millisecond)
			if want := 1999 * time.Millisecond; elapsed != want {
				t.Errorf("it took %v, want %v", elapsed, want)
			}
		})
	}
}

func TestCountIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, rate := range []float64{0, 10_000} {
			all, _, _ := measure(t, Load{Connections: 7, Rate: rate, Count: 100}, slowCallers(7, never))
			if n := all.latencies.TotalCount(); n != 100 {
				t.Errorf("at rate %v there were %d requests, want 100", rate, n)
			}
		}
	})
}

func TestClosedLoopEndsWithItsDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, elapsed, _ := measure(t, Load{Connections: 4, Duration: time.Second}, slowCallers(4, never))
		if n := all.latencies.TotalCount(); n != 4000 || elapsed != time.Second {
			t.Errorf("there were %d requests in %v, want 4000 in 1s", n, elapsed)
		}
	})
}

func TestCancellationEndsTheLoad(t *testing.T) {
	for _, rate := range []float64{0, 0.01} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			elapsed, _, _ := Load{Connections: 2, Rate: rate, Duration: time.Hour}.run(ctx, slowCallers(2, never), newRecording(2))
			if elapsed < 3*time.Second || elapsed > 3*time.Second+time.Millisecond { // a request in flight is finished
				t.Errorf("at rate %v it took %v, want 3s", rate, elapsed)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) call(context.Context) (string, string, error) { return "", "", f.err }

func TestLoadFailsWithACaller(t *testing.T) {
	want := errors.New("nothing to ask for")
	for _, rate := range []float64{0, 0.01, 1e6} {
		_, _, err := Load{Connections: 1, Rate: rate, Duration: time.Hour}.run(t.Context(), []caller{failing{want}}, newRecording(1))
		if !errors.Is(err, want) {
			t.Errorf("at a rate of %v, the error is %v, want %v", rate, err, want)
		}
	}
}

func TestNapIsNotTooShort(t *testing.T) {
	nap, closeNap := newNap()
	for _, d := range []time.Duration{0, time.Microsecond, time.Millisecond} {
		begin := time.Now()
		nap(d)
		if took := time.Since(begin); took < d {
			t.Errorf("a nap of %v took %v", d, took)
		}
	}
	closeNap()
	begin := time.Now()
	if nap(time.Millisecond); time.Since(begin) < time.Millisecond {
		t.Error("a nap is too short when its timer is gone")
	}
}
