//go:build !linux

package bench

import "time"

// newNap returns a sleep for short times, and how to be done with it.
func newNap() (nap func(time.Duration), done func()) { return time.Sleep, func() {} }
