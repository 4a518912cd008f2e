package ceremony

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// collectRival looks at a root file that is of no draft of this ceremony. Where
// people have signed it who sign here, that is recorded, and said loudly: it may
// never be overlooked, whatever the ceremony has come to.
func (d *Desk) collectRival(f *tuf.File, source string) (*CollectedRoot, error) {
	s := d.State()
	digest, version := agreed.DigestOf(f.Signed), s.Plan.Version
	if t := s.Plan.Trusted; t != nil && f.Root.Version <= t.Newest().Version {
		return nil, fmt.Errorf("it is root v%d, and the trusted root is v%d already: this ceremony makes v%d (hint: a signature for a root that is published changes nothing)", f.Root.Version, t.Newest().Version, version)
	}
	if f.Root.Version != version {
		return nil, fmt.Errorf("it is root v%d, and this ceremony makes v%d: nothing of it was taken", f.Root.Version, version)
	}
	type signed struct {
		sig tuf.Signature
		by  agreed.Holder // zero: none of this ceremony
	}
	var ours, own []signed
	var ids []string
	for _, sig := range f.Signatures {
		switch h, good := s.RivalSigner(f, sig); {
		case h != nil:
			ours = append(ours, signed{sig, h.Holder})
			if !slices.Contains(ids, h.Holder.ID) {
				ids = append(ids, h.Holder.ID)
			}
		case good:
			own = append(own, signed{sig, agreed.Holder{}})
		}
	}
	who := tuf.Listed(s.CalledBy(ids), "and")
	switch {
	case len(ids) == 0:
		return nil, notOurs(s, f, digest)
	case s.Draft == nil:
		return nil, fmt.Errorf("there is no draft yet to compare it with, and it is a root v%d that is signed by %s; the SHA-256 of what is signed in it is %s (hint: take the task Review root v%d first, and collect it again then: if it is another root than the draft, anyone who signed it signs nothing here)", version, who, digest, version)
	case len(f.Signed) > state.MaxRival:
		return nil, fmt.Errorf("IT IS ANOTHER ROOT v%d, SIGNED BY %s; the SHA-256 of what is signed in it is %s: it has %d bytes, and the log takes %d of it, so this is not recorded (hint: stop, record a note, keep the file, and find out why it was signed)", version, who, digest, len(f.Signed), state.MaxRival)
	}
	taken := &CollectedRoot{Version: version, Digest: digest, Rival: true, Abandoned: s.AbandonedDraft(digest) != nil}
	for _, one := range append(ours, own...) {
		made := CollectedSignature{Name: fmt.Sprintf("key %.8s", one.sig.KeyID), KeyID: one.sig.KeyID, Wrong: true, Text: "a key that only this root itself names"}
		event := state.SignatureRival{Holder: one.by.ID, Version: version, Digest: digest, KeyID: one.sig.KeyID, Signature: hex.EncodeToString(one.sig.Sig), Source: source, Signed: ""}
		if one.by.ID != "" {
			made.Name = one.by.Name
			made.Text = fmt.Sprintf("HAS SIGNED ANOTHER ROOT of version %d: this is kept as proof, and nothing else that they sign of this version counts", version)
		}
		taken.Signatures = append(taken.Signatures, made)
		r := d.State().Rival(digest)
		if r == nil {
			event.Signed = string(f.Signed)
		} else if slices.ContainsFunc(r.File.Signatures, func(known tuf.Signature) bool { return known.KeyID == event.KeyID }) {
			continue
		}
		if err := d.record(state.TypeSigRival, cmp.Or(event.Holder, "room"), event); err != nil {
			return nil, err
		}
	}
	taken.Counts = "it is another root than " + s.Draft.File.Name
	taken.Alarm = fmt.Sprintf("another root of version %d is signed by %s; the SHA-256 of what is signed in it is %s (hint: find out why, on a channel that you trust; have nobody else sign it)", version, who, digest)
	s = d.State()
	if r := s.Rival(digest); r.Complete {
		taken.Alarm = s.SecondRoot(r).Error()
	}
	return taken, nil
}

// notOurs says that a root of this version is none of this ceremony.
func notOurs(s *state.State, f *tuf.File, digest string) error {
	switch {
	case f.Root.Rehearsal() && !s.Begun.Rehearsal:
		return errors.New("it is a root of a rehearsal, and this is a real ceremony: nobody here has signed it, and nothing of it was taken")
	case !f.Root.Rehearsal() && s.Begun.Rehearsal:
		return errors.New("it is a real root, and this is a rehearsal: nobody here has signed it, and nothing of it was taken")
	case s.Draft == nil:
		return fmt.Errorf("there is no draft yet for which it could be signed (hint: take the task Review root v%d first, and send that draft's file)", s.Plan.Version)
	}
	for _, sig := range f.Signatures {
		if s.VerifySigned(s.Root, sig.KeyID, hex.EncodeToString(sig.Sig)) == nil {
			return fmt.Errorf("it was changed after it was signed: the signature by the key %.8s is good for the draft of this ceremony, %.16s..., and what stands in the file is another root, %.16s... (hint: have the file sent as it was signed, or the signature alone)", sig.KeyID, s.Draft.Digest, digest)
		}
	}
	return fmt.Errorf("it is another draft: the SHA-256 of what is signed is %.16s..., and the live one's %.16s...; nobody here has signed it (hint: the draft of this ceremony is %s)", digest, s.Draft.Digest, s.Draft.File.Name)
}
