package secret

import (
	"fmt"
	"syscall"
)

// prSetDumpable is PR_SET_DUMPABLE of prctl(2), which package syscall has
// under another name.
const prSetDumpable = 4

// LockProcess keeps what is in this process's memory inside it: no core dumps,
// and no other process of the same user may read or trace it. Programs call it
// first thing. It does not hold for programs that this one executes.
func LockProcess() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: 0, Max: 0}); err != nil {
		return fmt.Errorf("core dumps cannot be switched off: %w", err)
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); errno != 0 {
		return fmt.Errorf("the process cannot be closed to tracing: %w", errno)
	}
	return nil
}
