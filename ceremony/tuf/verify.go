package tuf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"time"
)

// State is what a signature of one key turned out to be.
type State string

// The states of a key in a Report.
const (
	StateGood         State = "good"         // its signature counts
	StateMissing      State = "missing"      // no signature, or an empty placeholder
	StateWrong        State = "wrong"        // the signature does not fit, or can't be one
	StateRepeated     State = "repeated"     // it fits, but this key was counted under another id
	StateUnverifiable State = "unverifiable" // a key of a kind that can't be verified here
)

// KeyResult is what became of one key id of a role.
type KeyResult struct {
	KeyID  string `json:"keyid"`
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // where the state is not good
	signed bool   // there is a signature, whatever it is worth
}

// Report counts the signatures of one file for one role.
type Report struct {
	Version int64       `json:"version"` // of the metadata that names the role
	Role    string      `json:"role"`
	Need    int         `json:"need"` // the threshold
	Have    int         `json:"have"` // different keys, by value, with a good signature
	Keys    []KeyResult `json:"keys"` // in the order of the role
}

// Good reports whether the threshold is reached.
func (r Report) Good() bool { return r.Need > 0 && r.Have >= r.Need }

// Text says the count in words: "2 of 3: missing Chen, Dana or Emil". Names
// are holders' names by key id; keys without one appear by their short id.
func (r Report) Text(names map[string]string) string {
	s := fmt.Sprintf("%d of %d", r.Have, r.Need)
	if r.Have > r.Need {
		s = fmt.Sprintf("%d (%d needed)", r.Have, r.Need)
	}
	var parts []string
	if !r.Good() {
		missing, word := r.in(StateMissing, names), "or"
		if len(missing) <= r.Need-r.Have {
			word = "and"
		}
		if len(missing) > 0 {
			parts = append(parts, "missing "+join(missing, word))
		}
	}
	if wrong := r.in(StateWrong, names); len(wrong) > 0 {
		parts = append(parts, "wrong signature by "+join(wrong, "and"))
	}
	if unverifiable := r.in(StateUnverifiable, names); len(unverifiable) > 0 {
		parts = append(parts, "not counted, as it can't be verified here: "+join(unverifiable, "and"))
	}
	if repeated := r.in(StateRepeated, names); len(repeated) > 0 {
		parts = append(parts, "counted once only: "+join(repeated, "and"))
	}
	if len(parts) == 0 {
		return s
	}
	return s + ": " + strings.Join(parts, "; ")
}

func (r Report) in(state State, names map[string]string) []string {
	var list []string
	for _, k := range r.Keys {
		if k.State == state && (state != StateUnverifiable || k.signed) {
			list = append(list, who(k.KeyID, names))
		}
	}
	return list
}

// join is Listed, and of a long list its beginning.
func join(list []string, word string) string {
	list, more := few(list)
	if more > 0 {
		list = append(slices.Clip(list), fmt.Sprintf("%d more", more))
	}
	return Listed(list, word)
}

// Tally is the Report that the signatures of these keys would get for the root
// role of a root, were they all good.
func Tally(by *Root, signed []string) Report {
	role := by.Roles[RoleRoot]
	report := Report{Version: by.Version, Role: RoleRoot, Need: role.Threshold}
	counted := map[string]bool{}
	for _, id := range role.KeyIDs {
		result := KeyResult{KeyID: id, State: StateMissing, Reason: "no signature"}
		if key, there := by.Key(id); there && slices.Contains(signed, id) {
			result = KeyResult{KeyID: id, State: StateGood}
			if key.Unverifiable != "" {
				result.State, result.Reason = StateUnverifiable, key.Unverifiable
			} else if counted[key.Value()] {
				result.State, result.Reason = StateRepeated, "counted under another id"
			} else {
				report.Have++
			}
			counted[key.Value()] = true
		}
		report.Keys = append(report.Keys, result)
	}
	return report
}

// Report counts f's signatures for the root role of a root: the old one, or
// f.Root itself.
func (f *File) Report(by *Root) Report {
	return f.report(by, make([]verified, len(f.Signatures)))
}

// report is Report with a memory.
func (f *File) report(by *Root, memory []verified) Report {
	return f.count(Report{Version: by.Version, Role: RoleRoot}, by.Keys, by.Roles[RoleRoot], memory)
}

// Chain verifies roots one after the other, as a client does that trusts the
// first one (specification 5.3). It keeps only the newest. The zero value is
// ready.
type Chain struct {
	last    *File
	exposed map[string]int64
}

// Step is one root of a chain.
type Step struct {
	Version   int64     `json:"version"`
	SHA256    string    `json:"sha256"` // of the file, hex
	Expires   time.Time `json:"expires"`
	Rehearsal bool      `json:"rehearsal,omitempty"`
	// Old counts the signatures for the root before; it is nil for the first
	// root, which is trusted for another reason or not at all. New counts
	// those for the root itself.
	Old      *Report   `json:"old,omitempty"`
	New      Report    `json:"new"`
	Findings []Finding `json:"findings,omitempty"`
}

// Add verifies the next file. It fails without any change of the chain: with a
// *ParseError, or saying what is wrong with version or signatures, where the
// Step tells the details.
func (c *Chain) Add(data []byte) (Step, error) {
	f, err := Parse(data)
	if err != nil {
		return Step{}, err
	}
	step := newStep(data, f, c.last)
	return step, c.take(f, step)
}

// newStep counts the signatures of a file for the root before it, if there is
// one, and for itself.
func newStep(data []byte, f, before *File) Step {
	sum := sha256.Sum256(data)
	step := Step{
		Version:   f.Root.Version,
		SHA256:    hex.EncodeToString(sum[:]),
		Expires:   f.Root.Expires,
		Rehearsal: f.Root.Rehearsal(),
		Findings:  f.Findings,
	}
	memory := make([]verified, len(f.Signatures))
	if before != nil {
		old := f.report(before.Root, memory)
		step.Old = &old
	}
	step.New = f.report(f.Root, memory)
	return step
}

// take makes a file the newest of the chain, if its step says that it may be.
func (c *Chain) take(f *File, step Step) error {
	switch {
	case c.last != nil && step.Version != c.last.Root.Version+1:
		return fmt.Errorf("version %d follows version %d, where version %d belongs", step.Version, c.last.Root.Version, c.last.Root.Version+1)
	case step.Old != nil && !step.Old.Good():
		return fmt.Errorf("version %d is not signed by enough keys of version %d: %s", step.Version, c.last.Root.Version, step.Old.Text(nil))
	case !step.New.Good():
		return fmt.Errorf("version %d is not signed by enough of its own keys: %s", step.Version, step.New.Text(nil))
	}
	c.last = f
	for _, k := range f.Root.Keys {
		if _, before := c.exposed[k.Value()]; k.Exposed && !before {
			if c.exposed == nil {
				c.exposed = map[string]int64{}
			}
			c.exposed[k.Value()] = step.Version
		}
	}
	return nil
}

// Walk adds one file after the other, as Add does, and yields what became of
// each, until one fails. Only the verdict has to wait for the file before:
// reading and verifying go on ahead, on all processors, a few files at a time.
func (c *Chain) Walk(files iter.Seq[[]byte]) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		var ahead []*link
		finish := func() bool {
			l := ahead[0]
			ahead = ahead[1:]
			<-l.done
			if l.err == nil {
				l.err = c.take(l.file, l.step)
			}
			return yield(l.step, l.err) && l.err == nil
		}
		most := min(2*runtime.GOMAXPROCS(0), 8)
		work := make(chan func(), most+1) // for goroutines whose stacks have grown once
		defer close(work)
		for range most + 1 {
			go func() {
				for do := range work {
					do()
				}
			}()
		}
		before := &link{file: c.last, parsed: make(chan struct{})}
		close(before.parsed)
		for data := range files {
			l := &link{parsed: make(chan struct{}), done: make(chan struct{})}
			last := before
			work <- func() { l.work(data, last) }
			ahead, before = append(ahead, l), l
			if len(ahead) > most && !finish() {
				return
			}
		}
		for len(ahead) > 0 {
			if !finish() {
				return
			}
		}
	}
}

// link is a file of a chain on its way through Walk.
type link struct {
	parsed, done chan struct{} // closed when file, and when step, is there
	file         *File
	step         Step
	err          error
}

func (l *link) work(data []byte, before *link) {
	defer close(l.done)
	l.file, l.err = Parse(data)
	close(l.parsed)
	if <-before.parsed; l.err == nil {
		l.step = newStep(data, l.file, before.file)
	}
}

// Last returns the newest root of the chain, or nil.
func (c *Chain) Last() *File { return c.last }

// Exposed returns the keys, by their values, of which the private half stands in a
// root of the chain, with the first version in which it does. It is not to be changed.
func (c *Chain) Exposed() map[string]int64 { return c.exposed }

// ErrExpired: the newest root of a chain has expired.
var ErrExpired = errors.New("expired")

// End reports whether the chain holds at a time: there is a root, and the newest
// one has not expired (5.3.10). Older ones may have.
func (c *Chain) End(at time.Time) error {
	if c.last == nil {
		return errors.New("there is no root")
	}
	if !c.last.Root.Expires.After(at) {
		return fmt.Errorf("version %d has %w: it was good until %s, %s", c.last.Root.Version, ErrExpired, date(c.last.Root.Expires), when(c.last.Root.Expires, at))
	}
	return nil
}
