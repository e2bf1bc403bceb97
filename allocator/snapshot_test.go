package allocator

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestSnapshotThatNobodyAsksForIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSnapshots(func(context.Context, FleetID) (*snapshot, error) { return new(snapshot), nil })
		kept := func() int {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.of)
		}
		// Time is that of the bubble here: it passes at once when all wait.
		for range 3 { // each snapshot is forgotten once, and none before its time
			if _, err := s.get(t.Context(), "fleet"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(snapshotMemory - time.Second)
			synctest.Wait()
			if kept() != 1 {
				t.Fatal("a snapshot is forgotten too early")
			}
		}
		time.Sleep(snapshotMemory)
		synctest.Wait()
		if kept() > 0 {
			t.Error("a snapshot is still there, and nobody has asked for it for a minute")
		}
	})
}
