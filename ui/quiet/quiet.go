// Package quiet keeps Bubble Tea from asking the terminal for its colours. It
// does so when it is initialised, in every command of the program, and waits 5
// seconds where the terminal does not answer. It asks nothing of a terminal
// that TERM calls dumb.
//
// Go initialises the first package, in the order of import paths, whose own
// imports are. This one imports syscall alone, so it comes before everything
// that needs package os.
package quiet

import "syscall"

var term, found = syscall.Getenv("TERM")

func init() { _ = syscall.Setenv("TERM", "dumb") }

// Restore gives the environment back as it was found. What needs it calls it
// from an init function of a package that imports Bubble Tea.
func Restore() {
	if found {
		_ = syscall.Setenv("TERM", term)
	} else {
		_ = syscall.Unsetenv("TERM")
	}
}
