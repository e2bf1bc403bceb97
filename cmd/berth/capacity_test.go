package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// This is what the program is for. Redis' clock stands still, so no reservation times out before the test says so,
// however long the attempts take.
func TestTwoInstancesUnderLoadAdmitExactlyAsManyAsThereAreSlots(t *testing.T) {
	const slots, attempts = 200, 10_000
	store := allocatortest.Redis(t)
	instances := serveTwice(t, store.URL(), "--reservation-timeout=60s")
	game := newGame(t, sdk(instances[0].url()), slots)

	// attempt has all clients reserve slots until they have tried so often together, and counts the answers.
	attempt := func() (admitted, full int64) {
		t.Helper()
		var tried, admissions, refusals, others atomic.Int64
		var running sync.WaitGroup
		for client := range clients {
			running.Go(func() {
				for n := tried.Add(1); n <= attempts; n = tried.Add(1) {
					instance := instances[(int64(client)+n)%int64(len(instances))]
					status, body, err := instance.call("CreatePlayerSession", fmt.Sprintf(`{"GameSessionId": %q, "PlayerId": "player-%d"}`, game, n))
					switch {
					case err == nil && status == http.StatusOK:
						admissions.Add(1)
					case err == nil && status == http.StatusBadRequest && strings.Contains(body, `"__type":"GameSessionFullException"`):
						refusals.Add(1)
					case others.Add(1) <= 5:
						t.Errorf("an attempt was answered with %d %s (error: %v)", status, body, err)
					}
				}
			})
		}
		running.Wait()
		return admissions.Load(), refusals.Load()
	}
	counted := func() string {
		t.Helper()
		described := instances[1].mustCall(t, "DescribeGameSessions", fmt.Sprintf(`{"GameSessionId": %q}`, game))
		return firstMatch(t, `"CurrentPlayerSessionCount":(\d+)`, described)
	}

	for round := range 2 {
		start := time.Now()
		admitted, full := attempt()
		t.Logf("round %d: %d attempts in %v", round, attempts, time.Since(start))
		if admitted != slots || full != attempts-slots {
			t.Errorf("round %d: %d attempts were admitted and %d found the game full, want %d and %d", round, admitted, full, slots, attempts-slots)
		}
		if n := counted(); n != fmt.Sprint(slots) {
			t.Errorf("round %d: the count says %s, want %d", round, n, slots)
		}
		store.Advance(time.Minute - time.Millisecond)
		if n := counted(); n != fmt.Sprint(slots) {
			t.Errorf("round %d: a millisecond before the deadline the count says %s, want %d", round, n, slots)
		}
		store.Advance(time.Millisecond) // all of them time out, and the next round takes their slots
		if n := counted(); n != "0" {
			t.Errorf("round %d: at the deadline the count says %s, want 0", round, n)
		}
	}
}
