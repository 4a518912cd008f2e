package state

import (
	"errors"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
)

func (s *State) headSigned(e transcript.Event) error {
	var data HeadSigned
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if h.Prepared == nil {
		return errors.New("the holder has no key that signs heads")
	}
	if n := data.Head.Seq; n < 1 || n >= int64(len(s.heads)) || s.heads[n] != data.Head.Hash {
		return errors.New("the signed head is not one of this log")
	}
	if err := verifyHex(h.Prepared.Authentication, HeadMessage(data.Head), data.Signature); err != nil {
		return err
	}
	h.Head = &data
	return nil
}

func (s *State) headsWaived(e transcript.Event) error {
	if err := Read(e, &HeadsWaived{}); err != nil {
		return err
	}
	if s.Sealed == nil || s.Plan.Trusted == nil || s.Previous != TypeException {
		return errors.New("it is not sealed, or no exception was recorded just before")
	}
	s.HeadsWaived = true
	return nil
}

// HeadSigners are those who can still sign the sealed log: first those of whose
// tokens it is known that they can, then those with a token that was not looked
// at. The others may have none, or one that has no key for it.
func (s *State) HeadSigners() (likely, others []*Holder) {
	var perhaps []*Holder
	for _, h := range s.Signers() {
		switch {
		case h.HasSigned(s.sealedAt):
		case h.Prepared != nil:
			likely = append(likely, h)
		case h.Holder.Custody != agreed.Existing:
		case h.Holder.Token != "" && h.Serial == 0 && h.Key.Public.Algorithm != "":
			perhaps = append(perhaps, h)
		default:
			others = append(others, h)
		}
	}
	return append(likely, perhaps...), others
}

// SealedHead reports whether a holder has signed the log with the seal in it.
func (s *State) SealedHead() bool {
	return s.Sealed != nil && (s.HeadsWaived || slices.ContainsFunc(s.Signers(), func(h *Holder) bool { return h.HasSigned(s.sealedAt) }))
}

// HasSigned reports whether the holder has signed the log with that event in it.
func (h *Holder) HasSigned(seq int64) bool { return h.Head != nil && h.Head.Head.Seq >= seq }
