package bench

import (
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
	return func(d time.Duration) {
		var expirations [8]byte
		at := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, d.Nanoseconds()))} // 0 would be never
		err := unix.TimerfdSettime(fd, 0, &at, nil)
		if err == nil {
			_, err = timer.Read(expirations[:])
		}
		if err != nil {
			time.Sleep(d)
		}
	}, func() { timer.Close() }
}
