package virtual

import (
	"errors"
	"fmt"
	"strings"
)

// Fault is something that goes wrong at the N-th command that a Card is given,
// counted from 1 since it was made.
type Fault struct {
	Kind FaultKind
	At   int
	SW   StatusWord // of FaultStatus
}

// FaultKind is what goes wrong.
type FaultKind string

// Faults.
const (
	FaultRemove      FaultKind = "remove"       // pulled out before the command
	FaultRemoveAfter FaultKind = "remove-after" // pulled out after it was done, before its answer
	FaultStatus      FaultKind = "sw"           // answers a status word instead
	FaultHang        FaultKind = "hang"         // never answers
)

// ParseFault reads "remove@7", "remove-after@7", "hang@7" or "sw@7=6f00".
func ParseFault(text string) (Fault, error) {
	kind, at, _ := strings.Cut(text, "@")
	f := Fault{Kind: FaultKind(kind)}
	var err error
	var tail string // must stay empty: Sscanf alone takes what follows
	switch f.Kind {
	case FaultStatus:
		var n int
		if n, err = fmt.Sscanf(at, "%d=%4x%s", &f.At, &f.SW, &tail); n == 2 {
			err = nil
		}
	case FaultRemove, FaultRemoveAfter, FaultHang:
		var n int
		if n, err = fmt.Sscanf(at, "%d%s", &f.At, &tail); n == 1 {
			err = nil
		}
	default:
		err = errors.New("unknown")
	}
	if err != nil || f.At < 1 || tail != "" {
		return Fault{}, fmt.Errorf("fault %q is none (hint: remove@7, remove-after@7, hang@7 or sw@7=6f00)", text)
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
		if f.At == c.apdus {
			return f
		}
	}
	return Fault{}
}
