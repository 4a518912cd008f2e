package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

func (s *State) draftMade(e transcript.Event) error {
	var data DraftMade
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Draft != nil {
		return fmt.Errorf("a draft of version %d is live already", s.Draft.Version)
	}
	if s.Begun.Enrols != "" {
		return errors.New("an enrolment makes no draft")
	}
	if err := cmp.Or(s.AbandonedOpen(), s.Alarmed()); err != nil {
		return err
	}
	if s.Plan.Backup != nil && !s.Plan.Unseen && (!s.Drilled() || !s.CopiedEnough() || len(s.TooFew("")) > 0) {
		return errors.New("no backup was drilled, not all are copied, or one cannot be opened any more")
	}
	if err := s.CallMissing(CallReview); err != nil {
		return err
	}
	if nobody := s.CalledAs(CallReview, CallNobody); !slices.Equal(nobody, data.Unconfirmed) {
		return fmt.Errorf("nobody has confirmed the keys of %q, and it names %q", nobody, data.Unconfirmed)
	}
	root, err := s.PlannedRoot(data.Expires)
	if err != nil {
		return err
	}
	if digest := agreed.DigestOf(root.Canonical()); digest != data.Digest || root.Version != data.Version {
		return fmt.Errorf("the agreed plan and the keys make version %d with digest %s, not version %d with %s",
			root.Version, digest, data.Version, data.Digest)
	}
	if s.AbandonedDraft(data.Digest) != nil {
		return fmt.Errorf("it would be the abandoned draft %.8s again, made as if it had never been abandoned (hint: take that one up again; a holder who starts over makes it another one; for another plan, hold another ceremony in another directory)", data.Digest)
	}
	file, err := s.DraftFile(root)
	if err != nil {
		return err
	}
	s.Draft, s.Root = &data, root
	return s.wrote(data.File, file)
}

func (s *State) draftReviewed(e transcript.Event) error {
	var data DraftReviewed
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Draft == nil || s.Draft.Digest != data.Digest {
		return errors.New("that is not the live draft")
	}
	if s.Differs() && !data.SecondMachine {
		return errors.New("a second machine showed other words, and none has shown the same ones since")
	}
	s.Reviewed = &data
	return nil
}

// Abandoned is a draft that was given up. Nothing can take its signatures out of
// the world, so they are remembered: two roots of one version that both reach
// their thresholds would part the clients for good.
type Abandoned struct {
	Draft  *DraftMade
	Root   *tuf.Root
	Why    string
	Signed map[string]string // its signatures in hex, by key id
	Maybe  map[string]string // key ids of those who may have signed it elsewhere, by signer's id

	signers map[string]string // ids of signers by key id: anyone who starts over later has another key then
}

// AbandonedOpen tells which other root of this version there is, or which
// abandoned draft could still become one, with the signatures that exist or may
// exist.
func (s *State) AbandonedOpen() error {
	for _, r := range s.OtherRoots() {
		if r.Complete {
			return s.SecondRoot(r)
		}
	}
	for _, ab := range s.Abandoned {
		var signed, maybe []string
		for id := range ab.Signed {
			signed = append(signed, id)
		}
		for _, id := range ab.Maybe {
			maybe = append(maybe, id)
		}
		switch {
		case good(tallies(ab.Root, s.Plan.Previous(), signed)):
			if s.Published != nil {
				return fmt.Errorf("the abandoned draft %.8s has all its signatures too: there are two roots of version %d now (hint: see that this one is never published, and find out who signed both)",
					ab.Draft.Digest, ab.Draft.Version)
			}
			return fmt.Errorf("the abandoned draft %.8s has all its signatures: it is root v%d, and another one of that version would part the clients for good (hint: take it up again and publish it; for other contents hold a ceremony that follows on it)",
				ab.Draft.Digest, ab.Draft.Version)
		case good(tallies(ab.Root, s.Plan.Previous(), append(signed, maybe...))):
			var who []string
			for id := range ab.Maybe {
				who = append(who, s.Holders[id].Holder.Name)
			}
			slices.Sort(who)
			return fmt.Errorf("the abandoned draft %.8s could still be completed with signatures that %s may have made elsewhere: no other draft of version %d is made (hint: have them send what they have signed, and collect it; once it is complete it is the root, and another rotation follows on it)",
				ab.Draft.Digest, tuf.Listed(who, "and"), ab.Draft.Version)
		}
	}
	return nil
}

// abandoned is the abandoned draft with that digest, or nil.
func (s *State) AbandonedDraft(digest string) *Abandoned {
	for _, ab := range s.Abandoned {
		if ab.Draft.Digest == digest {
			return ab
		}
	}
	return nil
}

func (s *State) draftAbandoned(e transcript.Event) error {
	var data DraftAbandoned
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Draft == nil || s.Draft.Digest != data.Digest {
		return errors.New("that is not the live draft")
	}
	if s.Published != nil {
		return errors.New("the draft is published")
	}
	if s.Enough() {
		return errors.New("the draft has all its signatures: it is a root")
	}
	if data.Why == "" || data.Maybe == nil {
		return errors.New("it does not say why, or who may have signed elsewhere")
	}
	ab := &Abandoned{Draft: s.Draft, Root: s.Root, Why: data.Why, Signed: map[string]string{}, Maybe: map[string]string{}, signers: map[string]string{}}
	for _, made := range s.AllSignatures { // also one that did not count, as its signer had signed another draft
		if made.Digest == data.Digest {
			ab.Signed[made.KeyID] = made.Signature
		}
	}
	for _, h := range s.Signers() {
		ab.signers[s.KeyID(h)] = h.Holder.ID
		begun := h.Open != nil && h.Open.Type == TypeSignatureIntended && h.Open.Digest == data.Digest
		if ab.Signed[s.KeyID(h)] == "" && (begun || slices.Contains(data.Maybe, h.Holder.ID)) {
			ab.Maybe[h.Holder.ID] = s.KeyID(h)
		}
	}
	for id, keyID := range s.resumed {
		if ab.Signed[keyID] == "" {
			ab.Maybe[id] = keyID
		}
	}
	for _, id := range data.Maybe {
		if ab.Maybe[id] == "" {
			return fmt.Errorf("%q has signed it here, or is no signer", id)
		}
	}
	s.Abandoned = append(s.Abandoned, ab)
	s.Draft, s.Root, s.Reviewed, s.resumed = nil, nil, nil, nil
	return nil
}

// AfterAbandoning says what can still be done once the live draft is abandoned,
// which some may have signed elsewhere.
func (s *State) AfterAbandoning(maybe []string) []string {
	text := []string{"What was signed stays signed, and anyone who has signed it signs no other draft of this version, here or in another ceremony (whose plan names this directory under earlier)."}
	var left []string
	for _, h := range s.Signers() {
		if s.MaySign(h) == nil && !slices.Contains(maybe, h.Holder.ID) && !(h.Holder.Custody == agreed.Dropped && s.DropOf(h).Reason == agreed.Lost) {
			left = append(left, s.KeyID(h))
		}
	}
	if !good(s.tally(left)) {
		text = append(text, "Then too few are left to sign another one: all that could be done here is to take this one up again.")
	}
	if len(s.RootKeys()) == 0 {
		text = append(text, "No holder of this plan gets a new key, so that it makes no other draft: another one takes another plan, in a ceremony of its own.")
	}
	return text
}

// Resumable tells why an abandoned draft cannot be taken up again.
func (s *State) Resumable(ab *Abandoned) error {
	if s.Draft != nil || s.Published != nil {
		return errors.New("another draft is live, or a root is published")
	}
	for _, other := range s.Abandoned {
		if other != ab && len(other.Signed)+len(other.Maybe) > 0 {
			return fmt.Errorf("the draft %.8s has signatures too, or may have", other.Draft.Digest)
		}
	}
	root, err := s.PlannedRoot(ab.Draft.Expires)
	if err != nil {
		return err
	}
	if agreed.DigestOf(root.Canonical()) != ab.Draft.Digest {
		return errors.New("a holder has started over since it was abandoned")
	}
	return nil
}

func (s *State) draftResumed(e transcript.Event) error {
	var data DraftResumed
	if err := Read(e, &data); err != nil {
		return err
	}
	ab := s.AbandonedDraft(data.Digest)
	if ab == nil || data.Why == "" {
		return errors.New("that is no abandoned draft, or it does not say why")
	}
	if err := cmp.Or(s.Resumable(ab), s.Alarmed()); err != nil {
		return err
	}
	s.Abandoned = slices.DeleteFunc(slices.Clone(s.Abandoned), func(other *Abandoned) bool { return other == ab })
	s.Draft, s.Root, s.Reviewed, s.resumed = ab.Draft, ab.Root, nil, ab.Maybe
	return nil
}

// AnotherDraft tells why no other draft can be made, or signed by enough, after
// one was abandoned.
func (s *State) AnotherDraft() error {
	if len(s.Abandoned) == 0 || s.Draft != nil {
		return nil
	}
	root, err := s.PlannedRoot(s.Plan.Expires)
	if err != nil {
		return nil // keys are still to be made
	}
	if s.AbandonedDraft(agreed.DigestOf(root.Canonical())) != nil {
		return errors.New("the plan and the keys make the abandoned draft again: a holder starts over, the abandoned draft is taken up again, or another plan has a ceremony of its own")
	}
	var left []string
	for _, h := range s.Signers() {
		if s.signedDigest(h) == "" && !s.Plan.SignedEarlier(s.KeyID(h)) && !(h.Holder.Custody == agreed.Dropped && s.DropOf(h).Reason == agreed.Lost) {
			left = append(left, s.KeyID(h))
		}
	}
	if !good(tallies(root, s.Plan.Previous(), left)) {
		return errors.New("too few are left who have signed no draft of this version: all that can be done is to take the abandoned one up again")
	}
	return nil
}

// PlannedRoot is the root that the agreed plan and the proved keys make. A
// rehearsal's is marked.
func (s *State) PlannedRoot(expires time.Time) (*tuf.Root, error) {
	made := s.RootKeys()
	if missing := s.Names(func(h *Holder) bool { return !h.Counts() }); len(missing) > 0 {
		return nil, fmt.Errorf("the root keys of %s are not proved", tuf.Listed(missing, "and"))
	}
	return s.Plan.Draft(made, expires)
}

// DraftFile is the unsigned root as a file.
func (s *State) DraftFile(root *tuf.Root) (Written, error) {
	text, err := tuf.Assemble(root, nil, s.Plan.Previous()...)
	name := fmt.Sprintf("%d.root.unsigned.json", root.Version)
	if s.Begun.Rehearsal {
		name = "rehearsal." + name
	}
	return Written{DraftFolder(agreed.DigestOf(root.Canonical())) + "/" + name, text}, err
}

func DraftFolder(digest string) string { return "metadata/" + digest[:8] }

// InForce is the root that clients follow, as far as this ceremony knows: the one
// that it has published, or else the trusted one. nil: there is none yet.
func (s *State) InForce() *tuf.Root {
	switch {
	case s.Published != nil:
		return s.Root
	case s.Plan != nil:
		return s.Plan.TrustedRoot()
	}
	return nil
}
