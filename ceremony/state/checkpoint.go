package state

import (
	"encoding/base64"
	"errors"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
)

func (s *State) checkpointSigned(e transcript.Event) error {
	var data CheckpointSigned
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if h.Prepared == nil {
		return errors.New("the holder has no key that signs checkpoints")
	}
	if n := data.Checkpoint.Size; n < 1 || n >= int64(len(s.roots)) || s.roots[n] != data.Checkpoint.Root {
		return errors.New("the signed checkpoint is not one of this log")
	}
	if raw, err := base64.StdEncoding.DecodeString(data.Signature); err != nil || base64.StdEncoding.EncodeToString(raw) != data.Signature {
		return errors.New("the signature is not in base64")
	}
	signed := transcript.Note(transcript.Text(s.LogOrigin, data.Checkpoint), transcript.SignatureLine(s.LogOrigin, data.Signature))
	if _, _, err := transcript.OpenNote(signed, s.LogOrigin, h.Prepared.Authentication); err != nil {
		return err
	}
	h.Checkpoint = &data
	return nil
}

func (s *State) checkpointsWaived(e transcript.Event) error {
	if err := Read(e, &CheckpointsWaived{}); err != nil {
		return err
	}
	if s.Sealed == nil || s.Plan.Trusted == nil || s.Previous != TypeException {
		return errors.New("it is not sealed, or no exception was recorded just before")
	}
	s.CheckpointsWaived = true
	return nil
}

// CheckpointSigners are those who can still sign the sealed log: first those of whose
// tokens it is known that they can, then those with a token that was not looked
// at. The others may have none, or one that has no key for it.
func (s *State) CheckpointSigners() (likely, others []*Holder) {
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

// SealSigned reports whether a holder has signed the log with the seal in it.
func (s *State) SealSigned() bool {
	return s.Sealed != nil && (s.CheckpointsWaived || slices.ContainsFunc(s.Signers(), func(h *Holder) bool { return h.HasSigned(s.sealedAt) }))
}

// HasSigned reports whether the holder has signed the log with that event in it.
func (h *Holder) HasSigned(seq int64) bool {
	return h.Checkpoint != nil && h.Checkpoint.Checkpoint.Size >= seq
}
