package ceremony

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// Abandoned is a draft that was given up. Nothing can take its signatures out of
// the world, so they are remembered: two roots of one version that both reach
// their thresholds would part the clients for good.
type Abandoned struct {
	Draft  *DraftMade
	Root   *tuf.Root
	Why    string
	Signed map[string]string // its signatures in hex, by key id
	Maybe  map[string]string // key ids of those who may have signed it elsewhere, by signer's id

	signers map[string]string // ids of signers by key id: whoever starts over later has another key then
}

// trustedSigners gives a state to each key of the trusted root: to the holders
// whose keys stay, and to the dropped ones, which still sign for that root.
func (s *State) trustedSigners() {
	root := s.Plan.TrustedRoot()
	if root == nil {
		return
	}
	for _, d := range s.Plan.Drops {
		s.Holders[d.ID] = &HolderState{Holder: Holder{ID: d.ID, Name: d.called(), Token: d.Token, Custody: Dropped, KeyID: d.KeyID}}
	}
	for _, h := range s.Holders {
		if h.ofTrusted() {
			key, _ := root.Key(h.Holder.KeyID)
			h.Key = &KeyMade{Public: key.Public, PUKKept: true} // as far as is known here
		}
	}
}

// called is what people call a dropped key.
func (d Drop) called() string {
	if d.Name == "" {
		return fmt.Sprintf("Old key %.8s", d.KeyID)
	}
	return d.Name + " (old key)"
}

// ofTrusted tells whether the key is one of the trusted root: it was made before
// this ceremony.
func (h *HolderState) ofTrusted() bool {
	return h.Holder.Custody == Existing || h.Holder.Custody == Dropped
}

// keyID is the id under which the root key signs; "" while there is none.
func (h *HolderState) keyID() string {
	if h.ofTrusted() {
		return h.Holder.KeyID
	}
	if h.Key == nil {
		return ""
	}
	key, err := tuf.NewKey(h.Key.Public)
	if err != nil {
		return ""
	}
	return key.ID
}

// signers are all whose keys can sign the draft: the holders in the plan's
// order, and then the keys that are dropped.
func (s *State) signers() []*HolderState {
	if s.Plan == nil {
		return nil
	}
	var all []*HolderState
	for _, h := range s.Plan.Holders {
		all = append(all, s.Holders[h.ID])
	}
	for _, d := range s.Plan.Drops {
		all = append(all, s.Holders[d.ID])
	}
	return all
}

// tally counts keys that have signed for each root that the draft must satisfy:
// the trusted one, where there is one, and the draft itself.
func (s *State) tally(signed []string) []tuf.Report {
	return tallies(s.Root, s.Plan.previous(), signed)
}

func tallies(root *tuf.Root, previous []*tuf.Root, signed []string) []tuf.Report {
	var reports []tuf.Report
	for _, by := range append(slices.Clone(previous), root) {
		reports = append(reports, tuf.Tally(by, signed))
	}
	return reports
}

// Counts are the signatures of the live draft, counted for the trusted root,
// where there is one, and for the draft itself; nothing before there is a draft.
func (s *State) Counts() []tuf.Report {
	if s.Root == nil {
		return nil
	}
	var signed []string
	for _, sig := range s.Signatures() {
		signed = append(signed, sig.KeyID)
	}
	return s.tally(signed)
}

// Enough tells whether the live draft is signed by all thresholds.
func (s *State) Enough() bool {
	return s.Draft != nil && good(s.Counts())
}

func good(reports []tuf.Report) bool {
	return !slices.ContainsFunc(reports, func(r tuf.Report) bool { return !r.Good() })
}

// CountFacts say how many signatures there are of how many, for each root that
// needs them, and who can still help.
func CountFacts(s *State) []Fact {
	var facts []Fact
	for i, report := range s.Counts() {
		label := "New root"
		if s.Plan.Trusted == nil {
			label = "Signatures"
		} else if i == 0 {
			label = "Old root"
		}
		facts = append(facts, Fact{label, report.Text(s.signerNames())})
	}
	if help := canHelp(s); len(help) > 0 && s.Draft != nil && s.Plan.Trusted != nil && !s.Enough() && s.abandonedOpen() == nil {
		facts = append(facts, Fact{"Can help", strings.Join(help, ", ")})
	}
	for _, r := range s.rivals() {
		facts = append(facts, Fact{"Another root", fmt.Sprintf("%s signed one; SHA-256 of what is signed: %.8s...", listed(s.calledBy(r.By)), r.Digest)})
	}
	return facts
}

// countsText is CountFacts in one line: "old root: 2 of 3: missing Alice or Chen;
// new root: ...".
func countsText(s *State) string {
	var parts []string
	for _, f := range CountFacts(s) {
		parts = append(parts, strings.ToLower(f.Label[:1])+f.Label[1:]+": "+f.Value)
	}
	return strings.Join(parts, "; ")
}

// canHelp are those whose signatures are still needed and can be had, and for
// which root.
func canHelp(s *State) []string {
	var names []string
	for _, h := range s.signers() {
		if s.maySign(h) != nil || !s.needed(h) {
			continue
		}
		which := "both"
		switch {
		case h.Holder.Custody == Dropped && s.dropOf(h).Reason == Lost:
			continue
		case h.Holder.Custody == Dropped && s.dropOf(h).Reason == Stolen:
			which = "old, if restored from its backup"
		case h.Holder.Custody == Dropped:
			which = "old"
		case h.Holder.Custody != Existing:
			which = "new"
		}
		names = append(names, fmt.Sprintf("%s (%s)", h.Holder.Name, which))
	}
	return names
}

// signerNames are what people call the signers, by key id.
func (s *State) signerNames() map[string]string {
	names := map[string]string{}
	for _, h := range s.signers() {
		names[h.keyID()] = h.Holder.Name
	}
	return names
}

// countsFor says for which root a signer's signature counts.
func countsFor(s *State, h *HolderState) string {
	switch {
	case h.Holder.Custody == Dropped:
		return "the old root only"
	case s.Plan.Trusted == nil:
		return fmt.Sprintf("root v%d", s.Plan.Version)
	case h.Holder.Custody == Existing:
		return "the old root and the new one"
	}
	return "the new root"
}

// signedDigest is the draft of this version that a holder has signed, or may
// have; "" none.
func (s *State) signedDigest(h *HolderState) string {
	if h.Signature != nil {
		return h.Signature.Digest
	}
	for _, ab := range s.Abandoned {
		if ab.Maybe[h.Holder.ID] != "" {
			return ab.Draft.Digest
		}
	}
	if r := s.rivalOf(h); r != nil {
		return r.Digest
	}
	return ""
}

// maySign tells why a holder may not sign the live draft: everybody signs a
// version once.
func (s *State) maySign(h *HolderState) error {
	if s.Plan.signedEarlier(h.keyID()) {
		return fmt.Errorf("%s has signed, or may have, an abandoned draft of version %d in an earlier ceremony, and nobody signs two drafts of one version", h.Holder.Name, s.Plan.Version)
	}
	if r := s.rivalOf(h); r != nil {
		return fmt.Errorf("%s has signed another root of version %d (SHA-256 of what is signed: %.8s...), and nobody signs two roots of one version", h.Holder.Name, s.Plan.Version, r.Digest)
	}
	switch digest := s.signedDigest(h); {
	case digest == "":
		return nil
	case s.Draft != nil && digest == s.Draft.Digest:
		return fmt.Errorf("%s has signed version %d already", h.Holder.Name, s.Draft.Version)
	case h.Signature == nil:
		return fmt.Errorf("%s may have signed the abandoned draft %.8s elsewhere, and nobody signs two drafts of one version", h.Holder.Name, digest)
	default:
		return fmt.Errorf("%s has signed the abandoned draft %.8s, and nobody signs two drafts of one version", h.Holder.Name, digest)
	}
}

// abandonedOpen tells which other root of this version there is, or which
// abandoned draft could still become one, with the signatures that exist or may
// exist.
func (s *State) abandonedOpen() error {
	for _, r := range s.rivals() {
		if r.Complete {
			return s.secondRoot(r)
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
		case good(tallies(ab.Root, s.Plan.previous(), signed)):
			if s.Published != nil {
				return fmt.Errorf("the abandoned draft %.8s has all its signatures too: there are two roots of version %d now (hint: see that this one is never published, and find out who signed both)",
					ab.Draft.Digest, ab.Draft.Version)
			}
			return fmt.Errorf("the abandoned draft %.8s has all its signatures: it is root v%d, and another one of that version would part the clients for good (hint: take it up again and publish it; for other contents hold a ceremony that follows on it)",
				ab.Draft.Digest, ab.Draft.Version)
		case good(tallies(ab.Root, s.Plan.previous(), append(signed, maybe...))):
			var who []string
			for id := range ab.Maybe {
				who = append(who, s.Holders[id].Holder.Name)
			}
			slices.Sort(who)
			return fmt.Errorf("the abandoned draft %.8s could still be completed with signatures that %s may have made elsewhere: no other draft of version %d is made (hint: have them send what they have signed, and collect it; once it is complete it is the root, and another rotation follows on it)",
				ab.Draft.Digest, listed(who), ab.Draft.Version)
		}
	}
	return nil
}

// verifySigned checks a signature over a draft by one of the keys that it counts
// for.
func (s *State) verifySigned(root *tuf.Root, keyID, signature string) error {
	raw, err := hex.DecodeString(signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	key, there := root.Key(keyID)
	if old := s.Plan.TrustedRoot(); !there && old != nil {
		key, there = old.Key(keyID)
	}
	if !there {
		return fmt.Errorf("no key %.8s is in the root, or in the trusted one", keyID)
	}
	return key.Verify(root.Canonical(), raw)
}

// abandoned is the abandoned draft with that digest, or nil.
func (s *State) abandoned(digest string) *Abandoned {
	for _, ab := range s.Abandoned {
		if ab.Draft.Digest == digest {
			return ab
		}
	}
	return nil
}

// signerOf is whose key has that id, or nil: the key that a signer has now, or
// for an abandoned draft had then.
func (s *State) signerOf(ab *Abandoned, keyID string) *HolderState {
	if ab != nil {
		return s.Holders[ab.signers[keyID]]
	}
	for _, h := range s.signers() {
		if h.keyID() == keyID {
			return h
		}
	}
	return nil
}

// hasSigned tells whether there is a signature of a holder over a draft, live or
// abandoned.
func (s *State) hasSigned(h *HolderState, digest string) bool {
	return slices.ContainsFunc(s.signatures, func(made *SignatureMade) bool { return made.Holder == h.Holder.ID && made.Digest == digest })
}

func (s *State) draftAbandoned(e transcript.Event) error {
	var data DraftAbandoned
	if err := read(e, &data); err != nil {
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
	for _, made := range s.signatures { // also one that did not count, as its signer had signed another draft
		if made.Digest == data.Digest {
			ab.Signed[made.KeyID] = made.Signature
		}
	}
	for _, h := range s.signers() {
		ab.signers[h.keyID()] = h.Holder.ID
		begun := h.Open != nil && h.Open.Type == TypeSignatureIntended && h.Open.Digest == data.Digest
		if ab.Signed[h.keyID()] == "" && (begun || slices.Contains(data.Maybe, h.Holder.ID)) {
			ab.Maybe[h.Holder.ID] = h.keyID()
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

func (s *State) tokenShown(e transcript.Event) error {
	var data TokenShown
	if err := read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || !h.ofTrusted() || data.Replacement {
		return fmt.Errorf("%q has no key of the trusted root", data.Holder)
	}
	if other := s.HolderOf(data.Serial); data.Serial == 0 || other != nil && other != h {
		return fmt.Errorf("token %d is another's", data.Serial)
	}
	if h.Open != nil && h.Serial != data.Serial {
		return fmt.Errorf("the intention of line %d is not settled", h.Open.Seq)
	}
	if err := evidenceOf(data.Serial, data.Evidence); err != nil {
		return err
	}
	s.Files = append(s.Files, data.Evidence...)
	was := h.Prepared
	h.Serial, h.Prepared = data.Serial, nil
	if data.Authentication != nil {
		h.Prepared = &Prepared{Result: Result{Act: data.Act}, Authentication: *data.Authentication, Evidence: data.Evidence}
		if data.Age != nil {
			h.Prepared.Age = *data.Age
		}
	}
	if h.Prepared == nil || was == nil || was.Age != h.Prepared.Age {
		delete(s.Recipients, h.Holder.ID)
	}
	return nil
}

func (s *State) signatureCollected(e transcript.Event) error {
	var data SignatureCollected
	if err := read(e, &data); err != nil {
		return err
	}
	ab := s.abandoned(data.Digest)
	h := s.signerOf(ab, data.KeyID)
	if h == nil || h.Holder.ID != data.Holder {
		return fmt.Errorf("%q is no signer with the key %.8s", data.Holder, data.KeyID)
	}
	if s.Sealed != nil {
		return errors.New("the ceremony is sealed")
	}
	if s.Begun.Enrols != "" {
		return errors.New("an enrolment takes no signatures")
	}
	if ab == nil && (s.Draft == nil || data.Digest != s.Draft.Digest || data.Version != s.Draft.Version) {
		return errors.New("it is not of the live draft, nor of an abandoned one")
	}
	file, err := signatureFile(data.Digest, data.Holder, data.KeyID, data.Signature)
	if err != nil {
		return err
	}
	if s.hasSigned(h, data.Digest) {
		return fmt.Errorf("%s has signed that draft already", h.Holder.Name)
	}
	if ab != nil {
		if err := s.verifySigned(ab.Root, data.KeyID, data.Signature); err != nil {
			return err
		}
		ab.Signed[data.KeyID] = data.Signature
		delete(ab.Maybe, data.Holder)
		if h.Signature == nil {
			h.Signature = data.made()
		}
		s.signatures = append(s.signatures, data.made())
		return s.wrote(data.File, file)
	}
	if err := s.verifySigned(s.Root, data.KeyID, data.Signature); err != nil {
		return err
	}
	// Whoever may not sign has done so all the same: it does not count for this
	// draft, and is remembered in case this one is abandoned too.
	made := data.made()
	if s.maySign(h) == nil {
		h.Signature = made
	}
	s.signatures = append(s.signatures, made)
	return s.wrote(data.File, file)
}

// made is a collected signature as one that was made here.
func (c SignatureCollected) made() *SignatureMade {
	return &SignatureMade{Result{Act: Act{Holder: c.Holder}}, c.Version, c.Digest, c.KeyID, c.Signature, c.File}
}
