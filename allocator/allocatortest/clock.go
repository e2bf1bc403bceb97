package allocatortest

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

//go:embed preload/clock.c
var clockSource []byte

// clock is the wall clock of the servers that are started with its environment.
type clock struct {
	env []string
	set func(time.Time)
}

// newClock returns a clock that stands at now. It ends the test where no such clock can be had.
func newClock(t testing.TB, now time.Time) clock {
	t.Helper()
	folder := t.TempDir()
	libraryFile, timeFile := filepath.Join(folder, "clock.so"), filepath.Join(folder, "time")
	set := shareTime(t, timeFile)
	set(now)

	if _, err := compiler(); err != nil {
		Missing(t, "no C compiler to build the clock of a real Redis with: install gcc or clang, as cc or gcc in the PATH")
	}
	library, err := clockLibrary()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(libraryFile, library, 0o700); err != nil {
		t.Fatal(err)
	}
	return clock{env: []string{"LD_PRELOAD=" + libraryFile, "ALLOCATORTEST_CLOCK=" + timeFile}, set: set}
}

func compiler() (string, error) {
	if cc, err := exec.LookPath("cc"); err == nil {
		return cc, nil
	}
	return exec.LookPath("gcc")
}

// clockLibrary is preload/clock.c, compiled once in the life of the test process. It is kept in memory, since no single
// test could remove a file that all of them use.
var clockLibrary = sync.OnceValues(compile)

func compile() ([]byte, error) {
	cc, err := compiler()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "allocatortest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	source, library := filepath.Join(folder, "clock.c"), filepath.Join(folder, "clock.so")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.Command(cc, "-O2", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the clock of a real Redis with %s: %w\n%s", cc, err, out)
	}
	return os.ReadFile(library)
}
