package state

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

func (s *State) signatureIntended(e transcript.Event) error {
	var data SignatureIntended
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Reviewed == nil || s.Draft.Digest != data.Digest {
		return errors.New("that is not the reviewed draft")
	}
	if err := cmp.Or(s.AbandonedOpen(), s.Alarmed()); err != nil {
		return err
	}
	h, err := s.intend(e, data.Act, data.Digest)
	if err != nil {
		return err
	}
	return s.MaySign(h)
}

func (s *State) signatureMade(e transcript.Event) error {
	var data SignatureMade
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.close(data.Result, TypeSignatureIntended)
	if err != nil {
		return err
	}
	if s.Draft == nil || data.Digest != s.Draft.Digest || data.KeyID != s.KeyID(h) {
		return errors.New("it is not a signature of the reviewed draft by this holder's key")
	}
	if err := s.MaySign(h); err != nil {
		return err
	}
	if err := s.VerifySigned(s.Root, data.KeyID, data.Signature); err != nil {
		return err
	}
	file, err := SignatureFile(data.Digest, data.Holder, data.KeyID, data.Signature)
	if err != nil {
		return err
	}
	h.Signature = &data
	s.AllSignatures = append(s.AllSignatures, &data)
	return s.wrote(data.File, file)
}

// signedBy are the signatures of these keys, each of which must have made one.
func (s *State) signedBy(keyIDs []string) ([]tuf.Signature, error) {
	signed := slices.DeleteFunc(s.Signatures(), func(sig tuf.Signature) bool { return !slices.Contains(keyIDs, sig.KeyID) })
	if len(signed) != len(keyIDs) {
		return nil, fmt.Errorf("%d keys are named, and %d of them have signed", len(keyIDs), len(signed))
	}
	return signed, nil
}

// Signatures are the signatures over the live draft, in the order of signers.
func (s *State) Signatures() []tuf.Signature {
	var made []tuf.Signature
	for _, h := range s.Signers() {
		if m := h.Signature; m != nil && s.Draft != nil && m.Digest == s.Draft.Digest {
			raw, _ := hex.DecodeString(m.Signature) // checked when it was applied
			made = append(made, tuf.Signature{KeyID: m.KeyID, Sig: raw})
		}
	}
	return made
}

// tally counts keys that have signed for each root that the draft must satisfy:
// the trusted one, where there is one, and the draft itself.
func (s *State) tally(signed []string) []tuf.Report {
	return tallies(s.Root, s.Plan.Previous(), signed)
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

// Enough reports whether the live draft is signed by all thresholds.
func (s *State) Enough() bool {
	return s.Draft != nil && good(s.Counts())
}

func good(reports []tuf.Report) bool {
	return !slices.ContainsFunc(reports, func(r tuf.Report) bool { return !r.Good() })
}

// signedDigest is the draft of this version that a holder has signed, or may
// have; "" none.
func (s *State) signedDigest(h *Holder) string {
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

// MaySign tells why a holder may not sign the live draft: everybody signs a
// version once.
func (s *State) MaySign(h *Holder) error {
	if s.Plan.SignedEarlier(s.KeyID(h)) {
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

// VerifySigned checks a signature over a draft by one of the keys that it counts
// for.
func (s *State) VerifySigned(root *tuf.Root, keyID, signature string) error {
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

// SignerOf is whose key has that id, or nil: the key that a signer has now, or
// for an abandoned draft had then.
func (s *State) SignerOf(ab *Abandoned, keyID string) *Holder {
	if ab != nil {
		return s.Holders[ab.signers[keyID]]
	}
	for _, h := range s.Signers() {
		if s.KeyID(h) == keyID {
			return h
		}
	}
	return nil
}

// HasSigned reports whether there is a signature of a holder over a draft, live or
// abandoned.
func (s *State) HasSigned(h *Holder, digest string) bool {
	return slices.ContainsFunc(s.AllSignatures, func(made *SignatureMade) bool { return made.Holder == h.Holder.ID && made.Digest == digest })
}

func (s *State) signatureCollected(e transcript.Event) error {
	var data SignatureCollected
	if err := Read(e, &data); err != nil {
		return err
	}
	ab := s.AbandonedDraft(data.Digest)
	h := s.SignerOf(ab, data.KeyID)
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
	file, err := SignatureFile(data.Digest, data.Holder, data.KeyID, data.Signature)
	if err != nil {
		return err
	}
	if s.HasSigned(h, data.Digest) {
		return fmt.Errorf("%s has signed that draft already", h.Holder.Name)
	}
	if ab != nil {
		if err := s.VerifySigned(ab.Root, data.KeyID, data.Signature); err != nil {
			return err
		}
		ab.Signed[data.KeyID] = data.Signature
		delete(ab.Maybe, data.Holder)
		if h.Signature == nil {
			h.Signature = data.made()
		}
		s.AllSignatures = append(s.AllSignatures, data.made())
		return s.wrote(data.File, file)
	}
	if err := s.VerifySigned(s.Root, data.KeyID, data.Signature); err != nil {
		return err
	}
	// Anyone who may not sign has done so all the same: it does not count for this
	// draft, and is remembered in case this one is abandoned too.
	made := data.made()
	if s.MaySign(h) == nil {
		h.Signature = made
	}
	s.AllSignatures = append(s.AllSignatures, made)
	return s.wrote(data.File, file)
}

// made is a collected signature as one that was made here.
func (c SignatureCollected) made() *SignatureMade {
	return &SignatureMade{Result{Act: Act{Holder: c.Holder}}, c.Version, c.Digest, c.KeyID, c.Signature, c.File}
}

// SignatureFile is one signature as a file: key id and signature as root
// metadata has them.
func SignatureFile(digest, holder, keyID, signature string) (Written, error) {
	text, err := json.MarshalIndent(struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	}{keyID, signature}, "", "  ")
	return Written{fmt.Sprintf("%s/%s.%.8s.sig.json", DraftFolder(digest), holder, keyID), append(text, '\n')}, err
}

// Instead says what a wrong signature fits in place of a draft's canonical form: the
// draft's file as it was written here, or as it came in f; "" where it fits nothing
// that programs sign by mistake.
func (s *State) Instead(f *tuf.File, root *tuf.Root, sig tuf.Signature) string {
	key, there := root.Key(sig.KeyID)
	if old := s.Plan.TrustedRoot(); !there && old != nil {
		key, there = old.Key(sig.KeyID)
	}
	if !there {
		return ""
	}
	if instead := f.Instead(key, sig.Sig); instead != "" {
		return instead
	}
	text, err := tuf.Assemble(root, nil, s.Plan.Previous()...)
	if err != nil {
		return ""
	}
	written, err := tuf.Parse(text)
	if err != nil {
		return ""
	}
	return written.Instead(key, sig.Sig)
}
