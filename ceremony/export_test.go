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

// Newcomer is who comes when what that plan has made is rotated.
func Newcomer(r *Resolved, stickers []string) Holder { return r.newcomer(stickers) }

// SignatureFile is the file of one signature, as an event names it.
func SignatureFile(digest, holder, keyID, signature string) File {
	file, err := signatureFile(digest, holder, keyID, signature)
	if err != nil {
		panic(err)
	}
	return file.file()
}

// DraftFile is the file of an unsigned root, as an event names it.
func (s *State) DraftFile(root *tuf.Root) File {
	file, err := s.draftFile(root)
	if err != nil {
		panic(err)
	}
	return file.file()
}

// Clone is the state to go on from in two ways.
func (s *State) Clone() *State {
	c := *s
	c.Holders, c.Recipients, c.Abandoned, c.Rivals = map[string]*HolderState{}, maps.Clone(s.Recipients), nil, slices.Clone(s.Rivals)
	c.Written, c.Passed = maps.Clone(s.Written), maps.Clone(s.Passed)
	for id, h := range s.Holders {
		c.Holders[id] = h.clone(nil)
	}
	for _, ab := range s.Abandoned {
		one := *ab
		one.Signed, one.Maybe = maps.Clone(ab.Signed), maps.Clone(ab.Maybe)
		c.Abandoned = append(c.Abandoned, &one)
	}
	for i, r := range s.Rivals {
		one := *r
		c.Rivals[i] = &one
	}
	c.Files, c.signatures, c.heads = slices.Clone(s.Files), slices.Clone(s.signatures), slices.Clone(s.heads)
	return &c
}

func (h *HolderState) clone(own *HolderState) *HolderState {
	if h == nil {
		return nil
	}
	c := *h
	if h.Open != nil {
		open := *h.Open
		c.Open = &open
	}
	c.Stored, c.Former, c.stickers = slices.Clone(h.Stored), slices.Clone(h.Former), slices.Clone(h.stickers)
	c.Replacement, c.Spare, c.replaces = h.Replacement.clone(&c), h.Spare.clone(&c), own
	return &c
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
