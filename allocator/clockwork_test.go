package allocator_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berthgg/berth/allocator"
	"github.com/berthgg/berth/allocator/allocatortest"
)

func TestOutageIsLoggedWhenItBeginsAtTimesAndWhenItEnds(t *testing.T) {
	const outage, wantWarnings = 2*time.Minute + time.Second, 3
	store := allocatortest.Redis(t)
	synctest.Test(t, func(t *testing.T) {
		var log logs
		a, death := openMortal(t, store, func(config *allocator.Config) {
			config.SweepOnly = true // else a connection would wait for notifications, for which the time of the bubble would wait
			config.Logger = log.logger()
		})
		stop := clockwork(t, a)
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		pass(10 * time.Second)
		if log.String() != "" {
			t.Errorf("while the store is there it logged\n%s", &log)
		}
		death.after(0)
		pass(outage)
		for _, work := range []string{"heartbeat", "sweep", "placements", "server processes"} {
			if n := strings.Count(log.String(), `level=WARN msg="clockwork: `+work+` failed`); n != wantWarnings {
				t.Errorf("in an outage of %v it logged %d times that %s failed, want %d:\n%s", outage, n, work, wantWarnings, &log)
			}
		}
		death.undo()
		pass(time.Minute)
		for _, work := range []string{"heartbeat", "sweep", "placements", "server processes"} {
			if n := strings.Count(log.String(), `level=INFO msg="clockwork: `+work+` is done again" failures=12`); n != 1 {
				t.Errorf("after an outage of %v it logged %d times that %s is done again:\n%s", outage, n, work, &log)
			}
		}
		if n, want := strings.Count(log.String(), "\n"), 4*wantWarnings+4; n != want {
			t.Errorf("it logged %d lines, want %d:\n%s", n, want, &log)
		}
		stop()
	})
}
