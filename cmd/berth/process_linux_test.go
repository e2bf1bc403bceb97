package main

import (
	"os/exec"
	"syscall"
)

// dieWithUs has the kernel kill the process when the tests end, however they end.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
