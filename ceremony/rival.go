package ceremony

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// maxRival is how much the log keeps of another root: bytes of its signed part.
const maxRival = 64 << 10

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
func (s *State) rivals() []*Rival {
	return slices.DeleteFunc(slices.Clone(s.Rivals), func(r *Rival) bool { return s.Draft != nil && r.Digest == s.Draft.Digest })
}

// rivalOf is a rival that the holder has signed, or nil.
func (s *State) rivalOf(h *HolderState) *Rival {
	for _, r := range s.rivals() {
		if slices.Contains(r.By, h.Holder.ID) {
			return r
		}
	}
	return nil
}

// rival is the one with that digest, or nil.
func (s *State) rival(digest string) *Rival {
	for _, r := range s.Rivals {
		if r.Digest == digest {
			return r
		}
	}
	return nil
}

// calledBy are the names of signers.
func (s *State) calledBy(ids []string) []string {
	var names []string
	for _, id := range ids {
		names = append(names, s.Holders[id].Holder.Name)
	}
	return names
}

// secondRoot says that a rival is complete, and what that means.
func (s *State) secondRoot(r *Rival) error {
	version := s.Plan.Version
	if s.Published != nil {
		return fmt.Errorf("another root v%d (SHA-256 of what is signed: %.8s...) has all its signatures too: there are two roots of version %d now, and clients that take that one never take this one (hint: see that it is published nowhere, and find out why %s signed it)",
			version, r.Digest, version, listed(s.calledBy(r.By)))
	}
	return fmt.Errorf("another root v%d (SHA-256 of what is signed: %.8s...) has all its signatures, those of %s among them: a second root of that version would part the clients for good (hint: if that one is to stand, hold a ceremony that follows on it; if nobody meant it, its signers' keys are in the wrong hands: %s)",
		version, r.Digest, listed(s.calledBy(r.By)), Command("plan", "--kind", Revoke, "DIR"))
}

// signerKeys are the keys with which signers here can have signed, by value: also
// those that they had before they started over.
func (s *State) signerKeys() map[string]*HolderState {
	found := map[string]*HolderState{}
	add := func(h *HolderState, id string, roots ...*tuf.Root) {
		for _, root := range roots {
			if key, there := root.Key(id); there {
				found[key.Value()] = h
			}
		}
	}
	for _, h := range s.signers() {
		add(h, h.keyID(), s.Plan.previous()...)
		if h.Key == nil || h.ofTrusted() {
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

// rivalSigner tells whether a signature over another root is good, and who of
// the signers here has made it. The key ids in that root may be anybody's: what
// counts is the value of the key under which the signature verifies.
func (s *State) rivalSigner(f *tuf.File, sig tuf.Signature) (h *HolderState, good bool) {
	named := append(s.Plan.previous(), f.Root)
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

// collectRival looks at a root file that is of no draft of this ceremony. Where
// people have signed it who sign here, that is recorded, and said loudly: it may
// never be overlooked, whatever the ceremony has come to.
func (d *Desk) collectRival(f *tuf.File, source string) (*CollectedRoot, error) {
	s := d.state
	digest, version := digestOf(f.Signed), s.Plan.Version
	if t := s.Plan.Trusted; t != nil && f.Root.Version <= t.newest().Version {
		return nil, fmt.Errorf("it is root v%d, and the trusted root is v%d already: this ceremony makes v%d (hint: a signature for a root that is published changes nothing)", f.Root.Version, t.newest().Version, version)
	}
	if f.Root.Version != version {
		return nil, fmt.Errorf("it is root v%d, and this ceremony makes v%d: nothing of it was taken", f.Root.Version, version)
	}
	type signed struct {
		sig tuf.Signature
		by  *HolderState
	}
	var ours, own []signed
	var ids []string
	for _, sig := range f.Signatures {
		switch h, good := s.rivalSigner(f, sig); {
		case h != nil:
			ours = append(ours, signed{sig, h})
			if !slices.Contains(ids, h.Holder.ID) {
				ids = append(ids, h.Holder.ID)
			}
		case good:
			own = append(own, signed{sig, nil})
		}
	}
	who := listed(s.calledBy(ids))
	switch {
	case len(ids) == 0:
		return nil, notOurs(s, f, digest)
	case s.Draft == nil:
		return nil, fmt.Errorf("there is no draft yet to compare it with, and it is a root v%d that is signed by %s; the SHA-256 of what is signed in it is %s (hint: take the task Review root v%d first, and collect it again then: if it is another root than the draft, whoever signed it signs nothing here)", version, who, digest, version)
	case len(f.Signed) > maxRival:
		return nil, fmt.Errorf("IT IS ANOTHER ROOT v%d, SIGNED BY %s; the SHA-256 of what is signed in it is %s: it has %d bytes, and the log takes %d of it, so this is not recorded (hint: stop, record a note, keep the file, and find out why it was signed)", version, who, digest, len(f.Signed), maxRival)
	}
	taken := &CollectedRoot{Version: version, Digest: digest, Rival: true, Abandoned: s.abandoned(digest) != nil}
	for _, one := range append(ours, own...) {
		made := CollectedSignature{Name: fmt.Sprintf("key %.8s", one.sig.KeyID), KeyID: one.sig.KeyID, Wrong: true, Text: "a key that only this root itself names"}
		event := SignatureRival{"", version, digest, one.sig.KeyID, hex.EncodeToString(one.sig.Sig), source, ""}
		if one.by != nil {
			event.Holder, made.Name = one.by.Holder.ID, one.by.Holder.Name
			made.Text = fmt.Sprintf("HAS SIGNED ANOTHER ROOT of version %d: this is kept as proof, and nothing else that they sign of this version counts", version)
		}
		taken.Signatures = append(taken.Signatures, made)
		r := s.rival(digest)
		if r == nil {
			event.Signed = string(f.Signed)
		} else if slices.ContainsFunc(r.File.Signatures, func(known tuf.Signature) bool { return known.KeyID == event.KeyID }) {
			continue
		}
		by := event.Holder
		if by == "" {
			by = "room"
		}
		if err := d.record(TypeSigRival, by, event); err != nil {
			return nil, err
		}
	}
	taken.Counts = "it is another root than " + s.Draft.File.Name
	taken.Alarm = fmt.Sprintf("another root of version %d is signed by %s; the SHA-256 of what is signed in it is %s (hint: find out why, on a channel that you trust; have nobody else sign it)", version, who, digest)
	if r := s.rival(digest); r.Complete {
		taken.Alarm = s.secondRoot(r).Error()
	}
	return taken, nil
}

// notOurs says that a root of this version is none of this ceremony.
func notOurs(s *State, f *tuf.File, digest string) error {
	switch {
	case f.Root.Rehearsal() && !s.Begun.Rehearsal:
		return errors.New("it is a root of a rehearsal, and this is a real ceremony: nobody here has signed it, and nothing of it was taken")
	case !f.Root.Rehearsal() && s.Begun.Rehearsal:
		return errors.New("it is a real root, and this is a rehearsal: nobody here has signed it, and nothing of it was taken")
	case s.Draft == nil:
		return fmt.Errorf("there is no draft yet for which it could be signed (hint: take the task Review root v%d first, and send that draft's file)", s.Plan.Version)
	}
	return fmt.Errorf("it is another draft: the SHA-256 of what is signed is %.16s..., and the live one's %.16s...; nobody here has signed it (hint: the draft of this ceremony is %s)", digest, s.Draft.Digest, s.Draft.File.Name)
}

func (s *State) signatureRival(e transcript.Event) error {
	var data SignatureRival
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Draft == nil || s.Draft.Digest == data.Digest || data.Version != s.Plan.Version {
		return errors.New("there is no draft, or it is the live one, or of another version")
	}
	ab := s.abandoned(data.Digest)
	if ab != nil && s.Sealed == nil {
		return errors.New("it is of an abandoned draft, whose signatures are collected")
	}
	r := s.rival(data.Digest)
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
	h, good := s.rivalSigner(r.File, sig)
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
	if len(data.Signed) > maxRival {
		return nil, fmt.Errorf("its signed part has %d bytes, and %d are the most", len(data.Signed), maxRival)
	}
	f, err := tuf.Parse([]byte(`{"signatures":[],"signed":` + data.Signed + `}`))
	if err != nil {
		return nil, fmt.Errorf("its signed part: %w", err)
	}
	if string(f.Signed) != data.Signed || digestOf(f.Signed) != data.Digest || f.Root.Version != data.Version {
		return nil, errors.New("its signed part is not canonical, or has another digest or version")
	}
	return f, nil
}

// clientsTake tells whether clients would take another root, with its signatures
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
	for _, by := range append(s.Plan.previous(), f.Root) {
		reports = append(reports, all.Report(by))
	}
	return good(reports)
}
