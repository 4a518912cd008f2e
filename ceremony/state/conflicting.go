package state

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// MaxRival is how much the log keeps of another root: bytes of its signed part.
const MaxRival = 64 << 10

// Rival is another root of the version that is made here, which was no draft of
// this ceremony, and which people have signed who sign here. Clients that see it
// first never take the root of this ceremony.
type Rival struct {
	Digest   string
	File     *tuf.File // what it says, with the signatures that are known
	By       []string  // ids of those signers
	Complete bool      // clients take it: it has all its signatures
}

// rivals are those that are not the live draft itself.
func (s *State) OtherRoots() []*Rival {
	return slices.DeleteFunc(slices.Clone(s.Rivals), func(r *Rival) bool { return s.Draft != nil && r.Digest == s.Draft.Digest })
}

// rivalOf is a rival that the holder has signed, or nil.
func (s *State) rivalOf(h *Holder) *Rival {
	for _, r := range s.OtherRoots() {
		if slices.Contains(r.By, h.Holder.ID) {
			return r
		}
	}
	return nil
}

// Rival is the one with that digest, or nil.
func (s *State) Rival(digest string) *Rival {
	for _, r := range s.Rivals {
		if r.Digest == digest {
			return r
		}
	}
	return nil
}

// CalledBy are the names of signers.
func (s *State) CalledBy(ids []string) []string {
	var names []string
	for _, id := range ids {
		names = append(names, s.Holders[id].Holder.Name)
	}
	return names
}

// SecondRoot says that a rival is complete, and what that means.
func (s *State) SecondRoot(r *Rival) error {
	version := s.Plan.Version
	if s.Published != nil {
		return fmt.Errorf("another root v%d (SHA-256 of what is signed: %.8s...) has all its signatures too: there are two roots of version %d now, and clients that take that one never take this one (hint: see that it is published nowhere, and find out why %s signed it)",
			version, r.Digest, version, tuf.Listed(s.CalledBy(r.By), "and"))
	}
	return fmt.Errorf("another root v%d (SHA-256 of what is signed: %.8s...) has all its signatures, those of %s among them: a second root of that version would part the clients for good (hint: if that one is to stand, hold a ceremony that follows on it; if nobody meant it, its signers' keys are in the wrong hands: %s)",
		version, r.Digest, tuf.Listed(s.CalledBy(r.By), "and"), agreed.Command("plan", "--kind", agreed.Revoke, "DIR"))
}

// signerKeys are the keys with which signers here can have signed, by value: also
// those that they had before they started over.
func (s *State) signerKeys() map[string]*Holder {
	found := map[string]*Holder{}
	add := func(h *Holder, id string, roots ...*tuf.Root) {
		for _, root := range roots {
			if key, there := root.Key(id); there {
				found[key.Value()] = h
			}
		}
	}
	for _, h := range s.Signers() {
		add(h, s.KeyID(h), s.Plan.Previous()...)
		if h.Key == nil || h.OfTrusted() {
			continue
		}
		if key, err := tuf.NewKey(h.Key.Public); err == nil {
			found[key.Value()] = h
		}
	}
	for _, ab := range s.Abandoned {
		for id, holder := range ab.signers {
			add(s.Holders[holder], id, ab.Root)
		}
	}
	return found
}

// RivalSigner reports whether a signature over another root is good, and who of
// the signers here has made it. The key ids in that root may be anybody's: what
// counts is the value of the key under which the signature verifies.
func (s *State) RivalSigner(f *tuf.File, sig tuf.Signature) (h *Holder, good bool) {
	named := append(s.Plan.Previous(), f.Root)
	for _, ab := range s.Abandoned {
		named = append(named, ab.Root)
	}
	if s.Root != nil {
		named = append(named, s.Root)
	}
	signers := s.signerKeys()
	for _, root := range named {
		key, there := root.Key(sig.KeyID)
		if !there || len(sig.Sig) == 0 || key.Verify(f.Signed, sig.Sig) != nil {
			continue
		}
		if h = signers[key.Value()]; h != nil {
			return h, true
		}
		good = good || slices.Contains(f.Root.Roles[tuf.RoleRoot].KeyIDs, sig.KeyID)
	}
	return nil, good
}

func (s *State) signatureRival(e transcript.Event) error {
	var data SignatureRival
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Draft == nil || s.Draft.Digest == data.Digest || data.Version != s.Plan.Version {
		return errors.New("there is no draft, or it is the live one, or of another version")
	}
	ab := s.AbandonedDraft(data.Digest)
	if ab != nil && s.Sealed == nil {
		return errors.New("it is of an abandoned draft, whose signatures are collected")
	}
	r := s.Rival(data.Digest)
	if (r == nil) != (data.Signed != "") {
		return errors.New("the first event about another root holds its signed part, and no other one does")
	}
	if r == nil {
		f, err := rivalFile(data)
		if err != nil {
			return err
		}
		r = &Rival{Digest: data.Digest, File: f}
	}
	raw, err := hex.DecodeString(data.Signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	sig := tuf.Signature{KeyID: data.KeyID, Sig: raw}
	h, good := s.RivalSigner(r.File, sig)
	holder := ""
	if h != nil {
		holder = h.Holder.ID
	}
	switch {
	case !good || holder != data.Holder:
		return fmt.Errorf("it is no good signature by %q with the key %.8s", data.Holder, data.KeyID)
	case h == nil && len(r.By) == 0:
		return errors.New("nobody here has signed it")
	case slices.ContainsFunc(r.File.Signatures, func(known tuf.Signature) bool { return known.KeyID == data.KeyID }):
		return errors.New("that signature is known already")
	}
	more := *r.File
	more.Signatures = append(slices.Clone(more.Signatures), sig)
	next := &Rival{data.Digest, &more, slices.Clone(r.By), false}
	if h != nil && !slices.Contains(next.By, holder) {
		next.By = append(next.By, holder)
	}
	next.Complete = s.clientsTake(next.File, ab)
	if i := slices.Index(s.Rivals, r); i >= 0 {
		s.Rivals[i] = next
	} else {
		s.Rivals = append(s.Rivals, next)
	}
	return nil
}

// rivalFile reads the signed part of another root from its event.
func rivalFile(data SignatureRival) (*tuf.File, error) {
	if len(data.Signed) > MaxRival {
		return nil, fmt.Errorf("its signed part has %d bytes, and %d are the most", len(data.Signed), MaxRival)
	}
	f, err := tuf.ParseCanonical([]byte(data.Signed))
	if err != nil {
		return nil, fmt.Errorf("its signed part: %w", err)
	}
	if agreed.DigestOf(f.Signed) != data.Digest || f.Root.Version != data.Version {
		return nil, errors.New("its signed part has another digest or version")
	}
	return f, nil
}

// clientsTake reports whether clients would take another root, with its signatures
// and those that an abandoned draft had.
func (s *State) clientsTake(f *tuf.File, ab *Abandoned) bool {
	all := *f
	if ab != nil {
		for id, signature := range ab.Signed {
			raw, _ := hex.DecodeString(signature) // checked when it was applied
			if !slices.ContainsFunc(all.Signatures, func(known tuf.Signature) bool { return known.KeyID == id }) {
				all.Signatures = append(slices.Clone(all.Signatures), tuf.Signature{KeyID: id, Sig: raw})
			}
		}
	}
	var reports []tuf.Report
	for _, by := range append(s.Plan.Previous(), f.Root) {
		reports = append(reports, all.Report(by))
	}
	return good(reports)
}
