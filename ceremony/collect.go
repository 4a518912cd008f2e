package ceremony

import (
	"encoding/hex"
	"errors"
	"fmt"

	"rootceremony/ceremony/tuf"
)

// CollectedSignature is what became of one signature of a collected file.
type CollectedSignature struct {
	Name  string // of the signer, or the key id
	KeyID string
	Taken bool   // it is new, and counts
	Text  string // one line about it
	Wrong bool   // it is not good, or must not be taken
}

// CollectedRoot tells what Collect has taken of a root file.
type CollectedRoot struct {
	Version    int64
	Digest     string
	Abandoned  bool // the file is of a draft that was abandoned
	Rival      bool // it is another root of this version, and people here have signed it
	Signatures []CollectedSignature
	Counts     string // how many signatures there are now, of how many
	Alarm      string // what nobody must overlook; "": nothing
}

// collectRoot takes the signatures of a root file into the ceremony: one that
// was signed elsewhere with this program, or with another one. Its signed bytes
// must be those of the live draft, or of an abandoned one, whose signatures are
// counted and never exported.
func (d *Desk) collectRoot(data []byte) (*CollectedRoot, error) {
	f, err := tuf.Parse(data)
	if err != nil {
		return nil, err
	}
	s := d.state
	digest := digestOf(f.Signed)
	ab := s.abandoned(digest)
	root := s.Root
	switch live := s.Draft != nil && s.Draft.Digest == digest; {
	case live && s.Sealed != nil:
		return nil, fmt.Errorf("root v%d is published and the ceremony is sealed: no signature is taken any more (hint: the root is good without it)", s.Draft.Version)
	case !live && (ab == nil || s.Sealed != nil):
		return d.collectRival(f, digestOf(data))
	case !live:
		root = ab.Root
	}
	taken := &CollectedRoot{Version: root.Version, Digest: digest, Abandoned: ab != nil}
	if len(f.Signatures) == 0 {
		return nil, errors.New("there is no signature in it (hint: it is the draft as it was made here, or its copy: collect what the signer's program has written)")
	}
	for _, sig := range f.Signatures {
		one, err := d.collectSignature(root, ab, digest, sig, digestOf(data))
		if err != nil {
			return nil, err
		}
		taken.Signatures = append(taken.Signatures, one)
	}
	if ab != nil {
		taken.Counts = "nothing of an abandoned draft is ever published"
		if err := s.abandonedOpen(); err != nil {
			taken.Counts = err.Error()
		}
		return taken, nil
	}
	taken.Counts = s.countsText()
	return taken, nil
}

// collectSignature takes one signature in, or says why not. ab is the draft it
// is of, where that was abandoned.
func (d *Desk) collectSignature(root *tuf.Root, ab *Abandoned, digest string, sig tuf.Signature, source string) (CollectedSignature, error) {
	s := d.state
	one := CollectedSignature{Name: fmt.Sprintf("key %.8s", sig.KeyID), KeyID: sig.KeyID}
	h := s.signerOf(ab, sig.KeyID)
	refuse := func(format string, args ...any) (CollectedSignature, error) {
		one.Wrong, one.Text = true, fmt.Sprintf(format, args...)
		return one, nil
	}
	if h != nil {
		one.Name = h.Holder.Name
	}
	signature := hex.EncodeToString(sig.Sig)
	switch {
	case len(sig.Sig) == 0:
		one.Text = "an empty placeholder, as some tools write them; it was left out"
		return one, nil
	case h == nil:
		return refuse("is no root key of the old root or of the new one: its signature counts for nothing, and was left out")
	}
	if err := s.verifySigned(root, sig.KeyID, signature); err != nil {
		return refuse("the signature is wrong: %v (hint: have it signed again, from the draft's file as it is)", err)
	}
	if s.hasSigned(h, digest) {
		one.Text = "was there already"
		return one, nil
	}
	var twice error
	if ab == nil {
		twice = s.maySign(h)
	}
	file, err := signatureFile(digest, h.Holder.ID, sig.KeyID, signature)
	if err != nil {
		return one, err
	}
	collected := SignatureCollected{h.Holder.ID, root.Version, digest, sig.KeyID, signature, source, file.file()}
	if err := d.record(TypeSigCollected, h.Holder.ID, collected); err != nil {
		return one, err
	}
	switch {
	case ab != nil:
		one.Taken, one.Text = true, "of an abandoned draft: counted, and never given out"
	case twice != nil:
		one.Wrong, one.Text = true, twice.Error()+"; it was kept, and does not count"
	default:
		one.Taken, one.Text = true, "taken; it counts for "+s.countsFor(h)
	}
	return one, d.write(file)
}
