package ceremony

import (
	"errors"
	"maps"
	"slices"
	"testing"

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
func RehearsalPIN(holder string) string { return rehearsalPIN(holder) }

// SignatureFile is the file of one signature, as an event names it.
func SignatureFile(digest, holder, keyID, signature string) File {
	file, err := signatureFile(digest, holder, keyID, signature)
	if err != nil {
		panic(err)
	}
	return file.file()
}

// DraftAsFile is the file of an unsigned root, as an event names it.
func DraftAsFile(s *State, root *tuf.Root) File {
	file, err := s.draftFile(root)
	if err != nil {
		panic(err)
	}
	return file.file()
}

// EventTypes are all that a log may hold but for what opening it records.
func EventTypes() []string {
	return append(slices.Sorted(maps.Keys(rules)), TypeBegun, TypeContinued, TypeTaskFailed, TypeNote, TypeException, TypePreflight, TypePlanAgreed)
}

// FaultAt gives the program a fault at a kind of event, until the test ends.
func FaultAt(t testing.TB, kind string) {
	right := rules[kind]
	rules[kind] = rule{func(*State, transcript.Event) error { panic("a test") }, right.about}
	t.Cleanup(func() { rules[kind] = right })
}

// FailingDesk is a desk in that state, with a log that takes no more.
func FailingDesk(s *State, log *transcript.Log) *Desk { return &Desk{state: s, log: log} }

// Record is what tasks do.
func (d *Desk) Record(kind, by string, data any) error { return d.record(kind, by, data) }
