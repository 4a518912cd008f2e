package state

import (
	"errors"
	"fmt"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

func (s *State) wipeIntended(e transcript.Event) error {
	var data WipeIntended
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.intend(e, data.Act, "")
	if err == nil && h.Key != nil {
		return fmt.Errorf("token %d holds %s's root key", data.Serial, h.Holder.Name)
	}
	return err
}

func (s *State) wiped(e transcript.Event) error {
	var data Result
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.close(data, TypeWipeIntended)
	if err != nil {
		return err
	}
	h.Serial, h.Prepared, h.Partial, h.Locked, h.Stored = 0, nil, false, false, nil
	if h.Kind == OwnToken {
		delete(s.Recipients, h.Holder.ID)
	}
	return nil
}

func (s *State) prepareIntended(e transcript.Event) error {
	var data PrepareIntended
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.intend(e, data.Act, "")
	if err == nil && (h.Prepared != nil || h.Partial) {
		return fmt.Errorf("token %d was prepared already", data.Serial)
	}
	if err == nil {
		h.Firmware = data.Firmware
	}
	return err
}

func (s *State) prepared(e transcript.Event) error {
	var data Prepared
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.close(data.Result, TypePrepareIntended)
	if err != nil {
		return err
	}
	if err := EvidenceOf(data.Serial, data.Evidence); err != nil {
		return err
	}
	s.Files = append(s.Files, data.Evidence...)
	h.Prepared, h.preparedAt, h.madeAt, h.sitting = &data, e.Seq, e.Seq, true
	return nil
}

func (s *State) keyIntended(e transcript.Event) error {
	var data KeyIntended
	if err := Read(e, &data); err != nil {
		return err
	}
	if plan := s.Plan.Token; data.Slot != keys.SlotRoot || data.Algorithm != plan.Algorithm || data.Touch != plan.Touch {
		return fmt.Errorf("a key for %s in slot %v with touch %s is not what the plan wants", data.Algorithm, data.Slot, data.Touch)
	}
	h, err := s.intend(e, data.Act, "")
	if err != nil {
		return err
	}
	if h.Prepared == nil || h.Key != nil {
		return fmt.Errorf("token %d is not prepared, or has its key already", data.Serial)
	}
	if origin := s.Origin(h); data.Origin != origin || (data.Attempt != "") != (s.Plan.Backup != nil) || data.Attempt != "" && !agreed.AttemptForm.MatchString(data.Attempt) {
		return fmt.Errorf("a root key from %q with the attempt %q is not as the plan has it", data.Origin, data.Attempt)
	}
	if missing := s.RecipientsMissing(); len(missing) > 0 {
		return fmt.Errorf("%s did not show before that they open backups", tuf.Listed(missing, "and"))
	}
	if data.Attempt != "" {
		if err := s.AlarmAtSealing(); err != nil {
			return err
		}
	}
	if data.Attempt != "" && h.Kind == OwnToken {
		if err := s.CallMissing(CallBackups); err != nil {
			return err
		}
	}
	h.Open.Key = &data
	return nil
}

func (s *State) keyMade(e transcript.Event) error {
	var data KeyMade
	if err := Read(e, &data); err != nil {
		return err
	}
	if err := s.keyFits(data); err != nil {
		return err
	}
	h, err := s.close(data.Result, TypeKeyIntended)
	if err != nil {
		return err
	}
	if err := errors.Join(s.plansAlgorithm(data.Public), EvidenceOf(data.Serial, data.Evidence)); err != nil {
		return err
	}
	s.Files = append(s.Files, data.Evidence...)
	h.Key, h.Locked, h.madeAt = &data, false, e.Seq
	return nil
}

// plansAlgorithm holds a root key to the plan.
func (s *State) plansAlgorithm(root keys.PublicKey) error {
	if want := s.Plan.Token.Algorithm; root.Algorithm != want {
		return fmt.Errorf("the root key is one for %s, and the plan wants %s", root.Algorithm, want)
	}
	return nil
}

func (s *State) keyProved(e transcript.Event) error {
	var data KeyProved
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if h.Key == nil || h.Proved != nil {
		return errors.New("there is no key to prove, or it was proved already")
	}
	message, err := s.Possession(h, data.Nonce)
	if err != nil {
		return err
	}
	if err := verifyHex(h.Key.Public, message, data.Signature); err != nil {
		return err
	}
	if err := EvidenceOf(data.Serial, data.Evidence); err != nil {
		return err
	}
	s.Files = append(s.Files, data.Evidence...)
	h.Proved, h.madeAt = &data, e.Seq
	if h.Kind != OwnToken {
		s.takePlace(h)
	}
	return nil
}

func (s *State) unblockIntended(e transcript.Event) error {
	var data UnblockIntended
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.intend(e, data.Act, "")
	switch {
	case err != nil:
		return err
	case h.Prepared == nil && !h.OfTrusted() || h.Partial:
		return fmt.Errorf("token %d has no PIN of %s yet", data.Serial, h.Holder.Name)
	case data.FactoryPUK && h.Key != nil:
		return fmt.Errorf("the PUK of token %d was replaced when its root key was made", data.Serial)
	case !data.FactoryPUK && h.NobodyHasPUK():
		return fmt.Errorf("nobody has the PUK of token %d", data.Serial)
	}
	return nil
}

func (s *State) unblocked(e transcript.Event) error {
	var data Result
	if err := Read(e, &data); err != nil {
		return err
	}
	_, err := s.close(data, TypeUnblockIntended)
	return err
}

func (s *State) settled(e transcript.Event) error {
	var data Settled
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.close(data.Result, TypeWipeIntended, TypePrepareIntended, TypeKeyIntended, TypeUnblockIntended, TypeSignatureIntended)
	if err != nil {
		return err
	}
	switch {
	case data.State == SettledPartial && h.Key == nil:
		h.Partial = true
	case data.State == SettledLocked && h.Key == nil && h.Prepared != nil:
		if h.StoredBackup(keys.BackupToken) == nil {
			return errors.New("no backup of the token's PUK is stored")
		}
		h.Locked = true
	case data.State != SettledNothing:
		return fmt.Errorf("state %q does not fit", data.State)
	case h.Prepared == nil && !h.Partial && !h.OfTrusted():
		h.Serial = 0 // nothing was done to this token: another may take its place
	}
	return nil
}

func (s *State) startedOver(e transcript.Event) error {
	var data StartedOver
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if s.Draft != nil && h.Kind == OwnToken {
		return errors.New("the draft holds the keys already")
	}
	if h.Serial == 0 || h.OfTrusted() {
		return fmt.Errorf("%s has no token yet, or their key stays as it is", h.Holder.Name)
	}
	s.givenUp(h)
	*h = Holder{Kind: h.Kind, Holder: h.Holder, ForSpare: h.ForSpare, Signature: h.Signature} // which is of an abandoned draft
	if h.Kind == OwnToken {
		delete(s.Recipients, h.Holder.ID)
	}
	return nil
}

// Counts reports whether the holder's root key can be put into a root.
func (h *Holder) Counts() bool {
	return h.OfTrusted() || h.Proved != nil && (h.Collected == nil || h.Confirmed != nil)
}

// Vouched reports whether the holder has signed the log with all in it that made and
// proved the keys of the token, and sealed them. A crash may come before that.
func (h *Holder) Vouched() bool { return h.madeAt == 0 || h.HasSigned(h.madeAt) }

// RootKeys are the new root keys that are proved, and confirmed where they were
// made elsewhere, by holder's id.
func (s *State) RootKeys() map[string]keys.PublicKey {
	made := map[string]keys.PublicKey{}
	for id, h := range s.Holders {
		if h.Counts() && !h.OfTrusted() {
			made[id] = h.Key.Public
		}
	}
	return made
}

// NobodyHasPUK: the PUK became a random number when the root key was made
// here, and was not kept.
func (h *Holder) NobodyHasPUK() bool { return h.Key != nil && !h.Key.PUKKept }
