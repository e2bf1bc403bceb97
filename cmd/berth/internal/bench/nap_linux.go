package bench

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newNap returns a sleep for short times, to a fraction of a millisecond, that takes no thread meanwhile, and how to be done with it.
// One at a time may sleep.
func newNap() (nap func(time.Duration), done func()) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return time.Sleep, func() {}
	}
	timer := os.NewFile(uintptr(fd), "timer")
	raw, err := timer.SyscallConn() // which knows when it is closed
	if err != nil {
		timer.Close()
		return time.Sleep, func() {}
	}
	set := func(at *unix.ItimerSpec) error {
		var failure error
		err := raw.Control(func(fd uintptr) { failure = unix.TimerfdSettime(int(fd), 0, at, nil) })
		return errors.Join(err, failure)
	}
	return func(d time.Duration) {
		var expirations [8]byte
		at := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, d.Nanoseconds()))} // 0 would be never
		err := set(&at)
		if err == nil {
			_, err = timer.Read(expirations[:])
		}
		if err != nil {
			time.Sleep(d)
		}
	}, func() { timer.Close() }
}
