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
	if s.Begun.Enrols != "" && e.Seq != data.Checkpoint.Size+1 {
		return nil // something was recorded meanwhile, and an enrolment's file ends with the line that vouches for all before it
	}
	if h.Checkpoint == nil || data.Checkpoint.Size >= h.Checkpoint.Checkpoint.Size {
		h.Checkpoint = &data
	}
	if s.Sealed != nil && s.Closed == nil && data.Checkpoint.Size == s.SealedAt && !s.closes(h) {
		s.closing = append(slices.Clip(s.closing), data)
	}
	return nil
}

func (s *State) checkpointsWaived(e transcript.Event) error {
	if err := Read(e, &CheckpointsWaived{}); err != nil {
		return err
	}
	if s.Sealed == nil || !s.NobodyCloses() || s.Previous != TypeException {
		return errors.New("it is not sealed, or a holder has a key that signs the log, or no exception was recorded just before")
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
		case s.closes(h):
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
	return s.Sealed != nil && (s.CheckpointsWaived || len(s.closing) > 0)
}

// closes reports whether the holder has signed the checkpoint of the seal.
func (s *State) closes(h *Holder) bool {
	return slices.ContainsFunc(s.closing, func(c CheckpointSigned) bool { return c.Holder == h.Holder.ID })
}

// NobodyCloses reports whether no signer has a key in 9a, as far as is known. Only then
// a ceremony closes without a signed checkpoint.
func (s *State) NobodyCloses() bool {
	return s.Plan.Trusted != nil && !slices.ContainsFunc(s.Signers(), func(h *Holder) bool { return h.Prepared != nil })
}

// NotClosing are those who have signed the root, and not the checkpoint of the seal,
// by name.
func (s *State) NotClosing() []string {
	var names []string
	for _, h := range s.Signers() {
		if s.Draft != nil && s.HasSigned(h, s.Draft.Digest) && !s.closes(h) {
			names = append(names, h.Holder.Name)
		}
	}
	return names
}

// CheckpointFile is where the checkpoint of the seal is published.
const CheckpointFile = PublishDir + "/checkpoint"

// ClosingNote is that checkpoint with a line of each who has signed it, in the order
// of the plan; nil: nobody has.
func (s *State) ClosingNote() *Written {
	if len(s.closing) == 0 {
		return nil
	}
	var lines []string
	for _, h := range s.Signers() {
		for _, c := range s.closing {
			if c.Holder == h.Holder.ID {
				lines = append(lines, transcript.SignatureLine(s.LogOrigin, c.Signature))
			}
		}
	}
	return &Written{CheckpointFile, transcript.Note(transcript.Text(s.LogOrigin, s.closing[0].Checkpoint), lines...)}
}

// HasSigned reports whether the holder has signed the log with that event in it.
func (h *Holder) HasSigned(seq int64) bool {
	return h.Checkpoint != nil && h.Checkpoint.Checkpoint.Size >= seq
}
