package virtual

import (
	"errors"
	"fmt"
	"strings"
)

// Fault is something that goes wrong at the N-th command that a Card is given,
// counted from 1 since it was made.
type Fault struct {
	kind faultKind
	at   int
	sw   statusWord // of faultStatus
}

// faultKind is what goes wrong.
type faultKind string

// Faults.
const (
	faultRemove      faultKind = "remove"       // pulled out before the command
	faultRemoveAfter faultKind = "remove-after" // pulled out after it was done, before its answer
	faultStatus      faultKind = "sw"           // answers a status word instead
	faultHang        faultKind = "hang"         // never answers
	faultEndless     faultKind = "endless"      // has more to say, however much of it is fetched
)

// ParseFault reads "remove@7", "remove-after@7", "hang@7", "endless@7" or
// "sw@7=6f00".
func ParseFault(text string) (Fault, error) {
	kind, at, _ := strings.Cut(text, "@")
	f := Fault{kind: faultKind(kind)}
	var err error
	var tail string // must stay empty: Sscanf alone takes what follows
	switch f.kind {
	case faultStatus:
		var n int
		if n, err = fmt.Sscanf(at, "%d=%4x%s", &f.at, &f.sw, &tail); n == 2 {
			err = nil
		}
	case faultRemove, faultRemoveAfter, faultHang, faultEndless:
		var n int
		if n, err = fmt.Sscanf(at, "%d%s", &f.at, &tail); n == 1 {
			err = nil
		}
	default:
		err = errors.New("unknown")
	}
	if err != nil || f.at < 1 || tail != "" {
		return Fault{}, fmt.Errorf("fault %q is none (hint: remove@7, remove-after@7, hang@7, endless@7 or sw@7=6f00)", text)
	}
	return f, nil
}

// Plan adds a fault.
func (c *Card) Plan(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, f)
}

// count counts a command and returns the fault that is planned for it.
func (c *Card) count() Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apdus++
	for _, f := range c.faults {
		if f.at == c.apdus {
			return f
		}
	}
	return Fault{}
}
