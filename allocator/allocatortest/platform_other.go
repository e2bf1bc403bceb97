//go:build !linux

package allocatortest

import (
	"errors"
	"os/exec"
	"testing"
	"time"
)

// dieWithUs does nothing here: a server outlives a test process that is killed.
func dieWithUs(*exec.Cmd) {}

// shareTime ends the test: preloading a library works differently here, if at all.
func shareTime(t testing.TB, _ string) func(time.Time) {
	t.Helper()
	Missing(t, "the clock of a real Redis can be held on Linux only")
	return nil
}

// limitFiles fails.
func limitFiles(int, int64) error { return errors.ErrUnsupported }
