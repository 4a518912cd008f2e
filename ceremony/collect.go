package ceremony

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// CollectedSignature is what became of one signature of a collected file.
type CollectedSignature struct {
	Name  string // of the signer, or the key id
	KeyID string
	Taken bool   // it is new, and counts
	Text  string // one line about it
	Wrong bool   // it is not good, or must not be taken
	Alarm string // why there should be no such signature, though it was taken
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
// counted, and not exported while it is abandoned.
func (d *Desk) collectRoot(data []byte, source string) (*CollectedRoot, error) {
	f, err := tuf.Parse(data)
	if err != nil {
		return nil, err
	}
	return d.collectParsed(f, source)
}

// collectParsed is collectRoot of a file that was read. Source is the SHA-256 of
// the file in which its signatures came.
func (d *Desk) collectParsed(f *tuf.File, source string) (*CollectedRoot, error) {
	s := d.State()
	digest := agreed.DigestOf(f.Signed)
	ab := s.AbandonedDraft(digest)
	root := s.Root
	switch live := s.Draft != nil && s.Draft.Digest == digest; {
	case live && s.Sealed != nil:
		return nil, fmt.Errorf("root v%d is published and the ceremony is sealed: no signature is taken any more (hint: the root is good without it)", s.Draft.Version)
	case !live && (ab == nil || s.Sealed != nil):
		return d.collectRival(f, source)
	case !live:
		root = ab.Root
	}
	taken := &CollectedRoot{Version: root.Version, Digest: digest, Abandoned: ab != nil}
	if len(f.Signatures) == 0 {
		return nil, errors.New("there is no signature in it (hint: it is the draft as it was made here, or its copy: collect what the signer's program has written)")
	}
	for _, sig := range f.Signatures {
		one, err := d.collectSignature(f, root, digest, sig, source)
		if err != nil {
			return nil, err
		}
		if one.Alarm != "" {
			taken.Alarm = fmt.Sprintf("%s: %s", one.Name, one.Alarm)
		}
		taken.Signatures = append(taken.Signatures, one)
	}
	if ab != nil {
		taken.Counts = "nothing of a draft is published while it is abandoned"
		if err := d.State().AbandonedOpen(); err != nil {
			taken.Counts = err.Error()
		}
		return taken, nil
	}
	taken.Counts = countsText(d.State())
	return taken, nil
}

// collectDetached takes a file of signatures without what they sign: one of them,
// keyid and sig as they lie in metadata, or several. One of them must be good for
// the live draft, or for an abandoned one, as nothing else says what was signed.
func (d *Desk) collectDetached(data []byte, source string) (*CollectedRoot, error) {
	s := d.State()
	var roots []*tuf.Root
	if s.Draft != nil {
		roots = append(roots, s.Root)
	}
	for _, ab := range s.Abandoned {
		roots = append(roots, ab.Root)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("there is no draft yet for which it could be signed (hint: take the task Review root v%d first)", s.Plan.Version)
	}
	detached, err := signaturesIn(data)
	if err != nil {
		return nil, err
	}
	var why []string
	for _, root := range roots {
		f, err := withSignatures(root, detached...)
		if err != nil {
			return nil, err
		}
		for _, sig := range f.Signatures {
			if s.VerifySigned(root, sig.KeyID, hex.EncodeToString(sig.Sig)) == nil {
				return d.collectParsed(f, source)
			}
			text := fmt.Sprintf("key %.8s", sig.KeyID)
			if instead := s.Instead(f, root, sig); instead != "" {
				text += ", which fits " + instead + " and not its canonical form"
			}
			if !slices.Contains(why, text) && len(why) < 5 {
				why = append(why, text)
			}
		}
	}
	return nil, fmt.Errorf("there is no good signature in it, neither of the live draft nor of an abandoned one: %s (hint: the file does not say what it signs: collect the root file or the folder that it comes from)", strings.Join(why, "; "))
}

// signaturesIn are the signatures in a file that holds nothing else: an object with
// keyid and sig, an array of such, or an object with that as its signatures.
func signaturesIn(data []byte) ([][]byte, error) {
	var whole struct {
		KeyID, Sig string
		Signatures []json.RawMessage
	}
	list := []json.RawMessage{data}
	var err error
	switch text := bytes.TrimSpace(data); {
	case bytes.HasPrefix(text, []byte("[")):
		err = json.Unmarshal(text, &list)
	case json.Unmarshal(text, &whole) == nil && whole.Signatures != nil:
		list = whole.Signatures
		if whole.KeyID != "" || whole.Sig != "" {
			err = errors.New("it is a signature and a list of signatures at once")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w (hint: have it sent again)", err)
	}
	if len(list) == 0 {
		return nil, errors.New("there is no signature in it (hint: have it sent again)")
	}
	var found [][]byte
	for _, one := range list {
		found = append(found, one)
	}
	return found, nil
}

// withSignatures is a root with the signatures of such files.
func withSignatures(root *tuf.Root, files ...[]byte) (*tuf.File, error) {
	for _, file := range files {
		if !json.Valid(file) {
			return nil, errors.New("the signature file is no JSON, or cut off (hint: have it sent again)")
		}
	}
	text := slices.Concat([]byte(`{"signatures":[`), bytes.Join(files, []byte(",")), []byte(`],"signed":`), root.JSON(), []byte("}"))
	return tuf.Parse(text)
}

// The kinds of files that are collected.
const (
	enrolmentKind = "enrolment"
	rootKind      = "root"
	signatureKind = "signature"
)

// kindOf tells what a file is by the members of its JSON object; "" with an
// error where it is nothing that is collected. A file that is cut off is what
// its beginning says.
func kindOf(data []byte) (string, error) {
	var names []string
	decoder := json.NewDecoder(bytes.NewReader(data))
	token, err := decoder.Token()
	for err == nil && token == json.Delim('{') && decoder.More() {
		var name json.Token
		if name, err = decoder.Token(); err == nil {
			names = append(names, fmt.Sprint(name))
			err = decoder.Decode(new(json.RawMessage))
		}
	}
	has := func(name string) bool { return slices.Contains(names, name) }
	if err == nil && token == json.Delim('[') {
		if first, err := decoder.Token(); err == nil && first == json.Delim('{') {
			return signatureKind, nil
		}
	}
	switch {
	case has("_type") && !has("signed"):
		return "", errors.New("it is the signed part of metadata alone: nothing in it says who has signed (hint: collect the whole file, with \"signed\" and \"signatures\", or the file of the signature)")
	case has("format"):
		return enrolmentKind, nil
	case has("signed") && (has("signatures") || err != nil), has("signatures") && err != nil && !has("keyid"):
		return rootKind, nil // the reader of root files says where it ends
	case has("keyid") && has("sig"), has("signatures"):
		return signatureKind, nil
	case len(bytes.TrimSpace(data)) == 0:
		return "", errors.New("it is empty")
	}
	return "", errors.New(`it is no enrolment file (with "format"), no root file (with "signed" and "signatures") and no signature file (with "keyid" and "sig") (hint: rootceremony enrol, sign and run write them)`)
}

// collectSignature takes one signature of a file in, or says why not. root is the draft that
// it is of, with that digest, live or abandoned.
func (d *Desk) collectSignature(f *tuf.File, root *tuf.Root, digest string, sig tuf.Signature, source string) (CollectedSignature, error) {
	s := d.State()
	ab := s.AbandonedDraft(digest)
	one := CollectedSignature{Name: fmt.Sprintf("key %.8s", sig.KeyID), KeyID: sig.KeyID}
	h := s.SignerOf(ab, sig.KeyID)
	refuse := func(format string, args ...any) (CollectedSignature, error) {
		one.Wrong, one.Text = true, fmt.Sprintf(format, args...)
		return one, nil
	}
	if h != nil {
		one.Name = h.Holder.Name
	}
	signature := hex.EncodeToString(sig.Sig)
	switch {
	case sig.Malformed != "":
		return refuse("what stands there can't be a signature: %s (hint: have it signed again, from the draft's file as it is)", sig.Malformed)
	case len(sig.Sig) == 0:
		one.Text = "an empty placeholder, as some tools write them; it was left out"
		return one, nil
	case h == nil:
		return refuse("is no root key of the old root or of the new one: its signature counts for nothing, and was left out")
	}
	if err := s.VerifySigned(root, sig.KeyID, signature); err != nil {
		if instead := s.Instead(f, root, sig); instead != "" {
			return refuse("the signature is wrong: it fits %s, and not its canonical form (hint: the program that made it doesn't sign canonical JSON: have it signed again, with another)", instead)
		}
		return refuse("the signature is wrong: %v (hint: have it signed again, from the draft's file as it is)", err)
	}
	if s.HasSigned(h, digest) {
		one.Text = "was there already"
		return one, nil
	}
	var twice error
	if ab == nil {
		twice = s.MaySign(h)
	}
	file, err := state.SignatureFile(digest, h.Holder.ID, sig.KeyID, signature)
	if err != nil {
		return one, err
	}
	if one.Alarm, err = d.shouldNotSign(h, source); err != nil {
		return one, err
	}
	collected := state.SignatureCollected{Holder: h.Holder.ID, Version: root.Version, Digest: digest, KeyID: sig.KeyID, Signature: signature, Source: source, File: file.File()}
	if err := d.record(state.TypeSigCollected, h.Holder.ID, collected); err != nil {
		return one, err
	}
	switch {
	case ab != nil:
		one.Taken, one.Text = true, "of an abandoned draft: counted, and not given out"
	case twice != nil:
		one.Wrong, one.Text = true, twice.Error()+"; it was kept, and does not count"
	default:
		one.Taken, one.Text = true, "taken; it counts for "+countsFor(s, h)
	}
	if one.Alarm != "" {
		one.Text = one.Alarm + "; " + one.Text
	}
	return one, d.write(file)
}

// shouldNotSign records, before it is taken, that a signature came by a key with
// which nobody should be able to sign, and says so; "" where there is nothing to
// say. A stolen key whose token was shown here was restored from its backup.
func (d *Desk) shouldNotSign(h *state.Holder, source string) (string, error) {
	if h.Holder.Custody != agreed.Dropped {
		return "", nil
	}
	said, expected := "", ""
	switch reason := d.State().DropOf(h).Reason; {
	case reason == agreed.Lost:
		said, expected = "SOMEBODY HAS THIS KEY: the plan says it is lost", "nobody can sign with the lost key"
	case reason == agreed.Stolen && h.Serial == 0:
		said, expected = "the plan says it is stolen: anyone who has it may have signed this", "nobody signs with the stolen key before it is restored from its backup"
	default:
		return "", nil
	}
	return said, d.Exception(fmt.Sprintf("%s %.8s of %s", expected, h.Holder.KeyID, h.Holder.Name),
		fmt.Sprintf("a signature by it came in the file with SHA-256 %s", source), "it was kept, and counts for the old root only", false)
}
