package state

import (
	"fmt"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// trustedSigners gives a state to each key of the trusted root: to the holders
// whose keys stay, and to the dropped ones, which still sign for that root.
func (s *State) trustedSigners() {
	root := s.Plan.TrustedRoot()
	if root == nil {
		return
	}
	for _, d := range s.Plan.Drops {
		s.Holders[d.ID] = &Holder{Holder: agreed.Holder{ID: d.ID, Name: d.Called(), Token: d.Token, Custody: agreed.Dropped, KeyID: d.KeyID}}
	}
	for _, h := range s.Holders {
		if h.OfTrusted() {
			key, _ := root.Key(h.Holder.KeyID)
			h.Key = &KeyMade{Public: key.Public, PUKKept: true} // as far as is known here
		}
	}
}

// OfTrusted reports whether the key is one of the trusted root: it was made before
// this ceremony.
func (h *Holder) OfTrusted() bool {
	return h.Holder.Custody == agreed.Existing || h.Holder.Custody == agreed.Dropped
}

// KeyID is the id under which the root key signs; "" while there is none.
func (s *State) KeyID(h *Holder) string {
	if h.OfTrusted() {
		return h.Holder.KeyID
	}
	key, _ := s.RootKey(h)
	return key.ID
}

// RootKey is the root key of a holder as it stands in the root: the trusted one or
// the new one. It is false while there is none.
func (s *State) RootKey(h *Holder) (tuf.Key, bool) {
	root := s.Plan.TrustedRoot()
	if h.OfTrusted() {
		return root.Key(h.Holder.KeyID)
	}
	if h.Key == nil {
		return tuf.Key{}, false
	}
	key, err := root.Notation().NewKey(h.Key.Public)
	return key, err == nil
}

// Signers are all whose keys can sign the draft: the holders in the plan's
// order, and then the keys that are dropped.
func (s *State) Signers() []*Holder {
	if s.Plan == nil {
		return nil
	}
	var all []*Holder
	for _, h := range s.Plan.Holders {
		all = append(all, s.Holders[h.ID])
	}
	for _, d := range s.Plan.Drops {
		all = append(all, s.Holders[d.ID])
	}
	return all
}

// SignerNames are what people call the signers, by key id.
func (s *State) SignerNames() map[string]string {
	names := map[string]string{}
	for _, h := range s.Signers() {
		names[s.KeyID(h)] = h.Holder.Name
	}
	return names
}

func (s *State) tokenShown(e transcript.Event) error {
	var data TokenShown
	if err := Read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || !h.OfTrusted() || data.Replacement {
		return fmt.Errorf("%q has no key of the trusted root", data.Holder)
	}
	if other := s.HolderOf(data.Serial); data.Serial == 0 || other != nil && other != h {
		return fmt.Errorf("token %d is another's", data.Serial)
	}
	if h.Open != nil && h.Serial != data.Serial {
		return fmt.Errorf("the intention of line %d is not settled", h.Open.Seq)
	}
	if err := EvidenceOf(data.Serial, data.Evidence); err != nil {
		return err
	}
	s.Files = append(s.Files, data.Evidence...)
	h.sitting = true
	was := h.Prepared
	h.Serial, h.Firmware, h.Prepared = data.Serial, data.Firmware, nil
	if data.Authentication != nil {
		h.Prepared = &Prepared{Result: Result{Act: data.Act}, Authentication: *data.Authentication, Evidence: data.Evidence}
		if data.Age != nil {
			h.Prepared.Age = *data.Age
		}
	}
	if h.Prepared == nil || was == nil || was.Age != h.Prepared.Age {
		delete(s.Recipients, h.Holder.ID)
		h.preparedAt = e.Seq
	}
	return nil
}

// KeyNames are the names of the holders by the key ids of their root keys.
func (s *State) KeyNames() map[string]string { return s.Plan.Names(s.RootKeys()) }

// Enrols reports whether a holder has a first task: one whose key stays has
// nothing to do before signing, but to show that their token opens backups.
func (s *State) Enrols(h agreed.Holder) bool {
	return h.Custody != agreed.Existing || s.Plan.Backup != nil && s.Plan.Backup.Holders
}

// Enrolled reports whether a holder's first task is done: with backups the token
// is prepared, and opens them; without, its root key is proved.
func (s *State) Enrolled(h *Holder) bool {
	if b := s.Plan.Backup; b != nil {
		return h.Prepared != nil && h.HasSigned(h.preparedAt) && (!b.Holders || s.Recipients[h.Holder.ID] != nil)
	}
	return h.Counts() && h.Vouched()
}

// CannotHelp reports whether a signer's signature is not waited for: the roots for
// which it would count have enough, or the plan says that the key cannot sign.
func (s *State) CannotHelp(h *Holder) bool {
	if h.Holder.Custody == agreed.Dropped {
		if reason := s.DropOf(h).Reason; reason == agreed.Lost || reason == agreed.Stolen {
			return true
		}
	}
	return s.Root != nil && !s.Needed(h)
}

// Needed reports whether a signature of the holder would count for a root that has
// too few yet.
func (s *State) Needed(h *Holder) bool {
	for _, report := range s.Counts() {
		counts := slices.ContainsFunc(report.Keys, func(k tuf.KeyResult) bool { return k.KeyID == s.KeyID(h) })
		if counts && !report.Good() {
			return true
		}
	}
	return false
}

// Names lists the holders for whom is holds, in the plan's order.
func (s *State) Names(is func(*Holder) bool) []string {
	var names []string
	for _, h := range s.Plan.Holders {
		if is(s.Holders[h.ID]) {
			names = append(names, h.Name)
		}
	}
	return names
}
