package bench

import (
	"syscall"
	"time"
)

// nap sleeps for a short time, to a fraction of a millisecond. It takes a thread as long.
func nap(d time.Duration) {
	left := syscall.NsecToTimespec(d.Nanoseconds())
	for syscall.Nanosleep(&left, &left) == syscall.EINTR { // Go interrupts its threads now and then
	}
}
