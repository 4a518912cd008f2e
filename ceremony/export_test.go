package ceremony

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// OldKernel has no numbers of mounts that are given out once, until the test
// ends.
func OldKernel(t testing.TB) {
	now := mountOf
	mountOf = func(string) (uint64, error) { return 0, errors.ErrUnsupported }
	t.Cleanup(func() { mountOf = now })
}

// RehearsalPIN is the PIN that a scripted holder has.
func RehearsalPIN(holder string) string { return prompt.RehearsalPIN(holder) }

// SignatureFile is the file of one signature, as an event names it.
func SignatureFile(digest, holder, keyID, signature string) state.File {
	file, err := state.SignatureFile(digest, holder, keyID, signature)
	if err != nil {
		panic(err)
	}
	return file.File()
}

// DraftAsFile is the file of an unsigned root, as an event names it.
func DraftAsFile(s *state.State, root *tuf.Root) state.File {
	file, err := s.DraftFile(root)
	if err != nil {
		panic(err)
	}
	return file.File()
}

// EventTypes are all that a log may hold but for what opening it records.
func EventTypes() []string {
	return append(slices.Sorted(maps.Keys(state.Rules)), state.TypeBegun, state.TypeContinued, state.TypeTaskFailed, state.TypeNote, state.TypeException, state.TypePreflight, state.TypePlanAgreed)
}

// FaultAt gives the program a fault at a kind of event, until the test ends.
func FaultAt(t testing.TB, kind string) {
	right := state.Rules[kind]
	state.Rules[kind] = state.Rule{About: right.About} // which does nothing
	t.Cleanup(func() { state.Rules[kind] = right })
}

// FailingDesk is a desk in that state, with a log that takes no more.
func FailingDesk(s *state.State, log *transcript.Log) *Desk {
	d := &Desk{log: log}
	d.state.Store(s)
	return d
}

// Record is what tasks do.
func (d *Desk) Record(kind, by string, data any) error { return d.record(kind, by, data) }

// Compared has the desk go on as if people had typed what their paper says.
func (d *Desk) Compared() { d.before.Store(0) }
