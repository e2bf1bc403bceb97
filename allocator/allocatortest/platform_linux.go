package allocatortest

import (
	"os"
	"os/exec"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// dieWithUs has the kernel kill the process when ours ends, however it ends. (To the letter, when the thread that started
// it ends. Go keeps its threads, but for one whose goroutine ends while locked to it.)
func dieWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// shareTime returns a function that stores a time in a file, as nanoseconds since the epoch. The file is mapped, here as
// in the servers, so that a server can never see half of a time.
func shareTime(t testing.TB, path string) func(time.Time) {
	t.Helper()
	const size = 8
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	page, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatalf("map the clock %s: %v", path, err)
	}
	t.Cleanup(func() { syscall.Munmap(page) })
	return func(now time.Time) { atomic.StoreInt64((*int64)(unsafe.Pointer(&page[0])), now.UnixNano()) }
}

// A server that writes beyond the limit of its files is to get an error, not a signal. Children inherit what is ignored.
func init() { signal.Ignore(syscall.SIGXFSZ) }

// limitFiles keeps a process from making files longer than so many bytes; a negative number lifts the limit.
func limitFiles(pid int, bytes int64) error {
	var limit syscall.Rlimit
	_, _, failed := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, 0, uintptr(unsafe.Pointer(&limit)), 0, 0)
	if failed != 0 {
		return failed
	}
	limit.Cur = limit.Max // which only root could raise again
	if bytes >= 0 {
		limit.Cur = uint64(bytes)
	}
	_, _, failed = syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if failed != 0 {
		return failed
	}
	return nil
}
