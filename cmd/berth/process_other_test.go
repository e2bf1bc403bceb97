//go:build !linux

package main

import (
	"os/exec"
	"testing"

	"github.com/berthgg/berth/allocator/allocatortest"
)

// dieWithUs does nothing here: a process outlives tests that are killed.
func dieWithUs(*exec.Cmd) {}

// memory ends a test that has to know how many bytes of a process are in memory.
func (p *process) memory(t testing.TB) int {
	allocatortest.Missing(t, "Linux, which tells in /proc how much memory a process takes")
	return 0
}
