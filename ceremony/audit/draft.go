package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// draft is the bytes of a root that people sign, with all that became of it.
type draft struct {
	line      int64
	version   int64
	digest    string
	root      *tuf.Root
	canonical []byte
	signers   map[string]*holder // by key id, as they were then
	tokens    map[string]*token  // of the holders with new keys, by id
	reviewed  int64              // the line of the review in force; 0: none
	differs   bool               // a second machine shows other words
	signed    []*signature
	maybe     map[string]bool // key ids of those who may have signed it elsewhere
}

// signature is one over a draft.
type signature struct {
	line     int64
	holder   *holder
	keyID    string
	sig      []byte
	reviewed int64 // the review that it follows
	made     bool  // here, on a token; false: it came in a file
	not      string
}

// rival is another root of the same version.
type rival struct {
	digest string
	file   *tuf.File
}

// counted are the ids of the keys whose signatures count for the draft.
func (d *draft) counted() []string {
	var ids []string
	for _, s := range d.signed {
		if s.not == "" {
			ids = append(ids, s.keyID)
		}
	}
	return ids
}

// reports count signatures for the trusted root, where there is one, and for the
// root itself.
func (w *walk) reports(root *tuf.Root, ids []string) []tuf.Report {
	var all []tuf.Report
	for _, by := range append(slices.Clone(w.plan.Previous()), root) {
		all = append(all, tuf.Tally(by, ids))
	}
	return all
}

func enough(reports []tuf.Report) bool {
	return !slices.ContainsFunc(reports, func(r tuf.Report) bool { return !r.Good() })
}

func (w *walk) draftMade(e transcript.Event) error {
	said, err := decode[state.DraftMade](e)
	switch {
	case err != nil:
		return err
	case w.live != nil:
		return fmt.Errorf("the draft of line %d is not given up", w.live.line)
	case w.Enrols != "":
		return errors.New("an enrolment makes no draft")
	case w.alarmed() != nil:
		return w.alarmed()
	case w.Rehearsal && said.Expires.After(e.Time.Add(24*time.Hour)):
		return errors.New("a rehearsal's root lives longer than a day")
	}
	d := &draft{line: e.Seq, version: said.Version, digest: said.Digest, signers: map[string]*holder{}, tokens: map[string]*token{}, maybe: map[string]bool{}}
	made := map[string]keys.PublicKey{}
	for _, h := range w.signers {
		id := h.KeyID
		if !h.kept() {
			t := h.own.token
			if t == nil || t.key == nil || t.key.proved == 0 || h.elsewhere != nil && !h.elsewhere.confirmed {
				return fmt.Errorf("the root key of %s is not proved, or not confirmed", h.Name)
			}
			key, err := w.plan.TrustedRoot().Notation().NewKey(t.key.public)
			if err != nil {
				return fmt.Errorf("the root key of %s: %w", h.Name, err)
			}
			id, made[h.ID], d.tokens[h.ID] = key.ID, t.key.public, t
		}
		d.signers[id] = h
	}
	if d.root, err = w.plan.Draft(made, said.Expires); err != nil {
		return err
	}
	d.canonical = d.root.Canonical()
	if is := sumOf(d.canonical); is != said.Digest || d.root.Version != said.Version || len(d.canonical) != said.Bytes {
		return fmt.Errorf("the plan and the keys make version %d with the digest %s, and the draft is version %d with %s", d.root.Version, is, said.Version, said.Digest)
	}
	if slices.ContainsFunc(w.drafts, func(o *draft) bool { return o.digest == d.digest }) {
		return errors.New("it is an abandoned draft, made again as if it had never been abandoned")
	}
	nobody, err := w.confirmedIn(state.CallReview)
	switch {
	case err != nil:
		return err
	case !slices.Equal(nobody, said.Unconfirmed):
		return fmt.Errorf("nobody has confirmed the keys of %q, and it names %q", nobody, said.Unconfirmed)
	}
	w.tellCalls(e.Seq)
	w.drafts, w.live = append(w.drafts, d), d
	text, err := tuf.Assemble(d.root, nil, w.plan.Previous()...)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%d.root.unsigned.json", d.version)
	if w.Rehearsal {
		name = "rehearsal." + name
	}
	return w.wrote(e.Seq, said.File, "metadata/"+d.digest[:8]+"/"+name, text)
}

// wrote holds an event to the file that follows from the log: its name, and its
// bytes.
func (w *walk) wrote(line int64, said state.File, name string, text []byte) error {
	if is := sumOf(text); said.Name != name || said.SHA256 != is {
		return fmt.Errorf("it names the file %.80q with SHA-256 %s, and %s with %s follows from the log", said.Name, said.SHA256, name, is)
	}
	return w.name(line, name, said.SHA256, true)
}

func (w *walk) draftReviewed(e transcript.Event) error {
	d, err := decode[state.DraftReviewed](e)
	switch {
	case err != nil:
		return err
	case w.live == nil || w.live.digest != d.Digest:
		return errors.New("that is not the live draft")
	case w.live.differs && !d.SecondMachine:
		return errors.New("a second machine showed other words, and none has shown the same ones since")
	}
	w.live.reviewed, w.live.differs = e.Seq, false
	return nil
}

func (w *walk) draftDiffers(e transcript.Event) error {
	d, err := decode[state.DraftDiffers](e)
	switch {
	case err != nil:
		return err
	case w.live == nil || w.live.digest != d.Digest || w.live.reviewed != 0:
		return errors.New("that is not the live draft, or it was reviewed")
	}
	w.live.differs = true
	return nil
}

func (w *walk) draftAbandoned(e transcript.Event) error {
	said, err := decode[state.DraftAbandoned](e)
	d := w.live
	switch {
	case err != nil:
		return err
	case d == nil || d.digest != said.Digest:
		return errors.New("that is not the live draft")
	case w.published != nil || enough(w.reports(d.root, d.counted())):
		return errors.New("the draft is a root: it has all its signatures")
	}
	for id, h := range d.signers {
		begun := h.own.open != nil && h.own.open.kind == state.TypeSignatureIntended && h.own.open.digest == d.digest
		if begun || slices.Contains(said.Maybe, h.ID) {
			d.maybe[id] = true
		}
	}
	d.reviewed, w.live = 0, nil
	return nil
}

func (w *walk) draftResumed(e transcript.Event) error {
	said, err := decode[state.DraftResumed](e)
	d := w.draft(said.Digest)
	switch {
	case err != nil:
		return err
	case d == nil || w.live != nil || w.published != nil:
		return errors.New("that is not an abandoned draft, or another one is live")
	case w.alarmed() != nil:
		return w.alarmed()
	}
	for _, other := range w.drafts {
		if other != d && len(other.signed)+len(other.maybe) > 0 {
			return fmt.Errorf("the draft %.8s has signatures too, or may have", other.digest)
		}
	}
	for id, t := range d.tokens {
		if now := w.holders[id].own.token; now == nil || now.key == nil || now.key.public != t.key.public {
			return errors.New("a holder has started over since it was abandoned")
		}
	}
	w.live = d
	return nil
}

// draft is the one with that digest, or nil.
func (w *walk) draft(digest string) *draft {
	for _, d := range w.drafts {
		if d.digest == digest {
			return d
		}
	}
	return nil
}

func (w *walk) signatureIntended(e transcript.Event) error {
	said, err := decode[state.SignatureIntended](e)
	switch {
	case err != nil:
		return err
	case w.live == nil || w.live.digest != said.Digest || w.live.reviewed == 0:
		return errors.New("that is not the live draft, or it was not reviewed before")
	case w.sealedAt != 0:
		return errors.New("the ceremony is sealed")
	case w.alarmed() != nil:
		return w.alarmed()
	}
	_, p, err := w.intend(e, said.Act)
	if err == nil {
		p.open.digest = said.Digest
	}
	return err
}

func (w *walk) signatureMade(e transcript.Event) error {
	said, err := decode[state.SignatureMade](e)
	if err != nil {
		return err
	}
	h, _, open, err := w.settle(said.Result, state.TypeSignatureIntended)
	switch {
	case err != nil:
		return err
	case w.live == nil || said.Digest != w.live.digest || open.digest != said.Digest || w.live.reviewed == 0 || w.live.reviewed > open.line:
		return errors.New("it is not of the draft that was reviewed before")
	}
	return w.take(e.Seq, w.live, h, said.KeyID, said.Signature, said.File, true)
}

func (w *walk) signatureCollected(e transcript.Event) error {
	said, err := decode[state.SignatureCollected](e)
	d := w.draft(said.Digest)
	switch {
	case err != nil:
		return err
	case d == nil || said.Version != d.version:
		return errors.New("it is not of a draft of this ceremony")
	case w.sealedAt != 0:
		return errors.New("the ceremony is sealed")
	}
	return w.take(e.Seq, d, w.holders[said.Holder], said.KeyID, said.Signature, said.File, false)
}

// take takes a signature over a draft in, if it is good. Everybody signs a version
// once: a second one is kept, and does not count.
func (w *walk) take(line int64, d *draft, h *holder, keyID, inHex string, file state.File, made bool) error {
	if d.signers[keyID] != h {
		return fmt.Errorf("%s is no signer with the key %.8s", h.Name, keyID)
	}
	raw, err := inDigits(inHex)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	key, there := d.root.Key(keyID)
	if old := w.plan.TrustedRoot(); !there && old != nil {
		key, there = old.Key(keyID)
	}
	if !there {
		return fmt.Errorf("no key %.8s is in the root, or in the trusted one", keyID)
	}
	if err := key.Verify(d.canonical, raw); err != nil {
		return fmt.Errorf("the signature of %s: %w", h.Name, err)
	}
	if slices.ContainsFunc(d.signed, func(s *signature) bool { return s.keyID == keyID }) {
		return fmt.Errorf("%s has signed that draft already", h.Name)
	}
	s := &signature{line: line, holder: h, keyID: keyID, sig: raw, reviewed: d.reviewed, made: made, not: w.signedAnother(d, keyID)}
	d.signed = append(d.signed, s)
	delete(d.maybe, keyID)
	text, err := json.MarshalIndent(struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	}{keyID, inHex}, "", "  ")
	if err != nil {
		return err
	}
	return w.wrote(line, file, fmt.Sprintf("metadata/%s/%s.%.8s.sig.json", d.digest[:8], h.ID, keyID), append(text, '\n'))
}

// signedAnother says what other root of this version a key has signed, or may have;
// "": none.
func (w *walk) signedAnother(d *draft, keyID string) string {
	for _, other := range w.drafts {
		signed := slices.ContainsFunc(other.signed, func(s *signature) bool { return s.keyID == keyID && s.not == "" })
		if other != d && (signed || other.maybe[keyID]) {
			return fmt.Sprintf("its signer has signed the draft %.8s of this version, or may have", other.digest)
		}
	}
	for _, r := range w.rivals {
		if slices.ContainsFunc(r.file.Signatures, func(s tuf.Signature) bool { return s.KeyID == keyID }) && r.digest != d.digest {
			return fmt.Sprintf("its signer has signed another root of this version (%.8s)", r.digest)
		}
	}
	if w.plan.SignedEarlier(keyID) {
		return "its signer has signed a draft of this version in an earlier ceremony, or may have"
	}
	return ""
}

func (w *walk) signatureRival(e transcript.Event) error {
	said, err := decode[state.SignatureRival](e)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(w.rivals, func(r *rival) bool { return r.digest == said.Digest })
	if i < 0 {
		f, err := tuf.ParseCanonical([]byte(said.Signed))
		switch {
		case err != nil:
			return fmt.Errorf("its signed part: %w", err)
		case sumOf(f.Signed) != said.Digest || f.Root.Version != said.Version || said.Version != w.plan.Version:
			return errors.New("its signed part has another digest or version")
		}
		w.rivals, i = append(w.rivals, &rival{said.Digest, f}), len(w.rivals)
	}
	r := w.rivals[i]
	raw, err := inDigits(said.Signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	roots := append([]*tuf.Root{r.file.Root}, w.plan.Previous()...)
	for _, d := range w.drafts {
		roots = append(roots, d.root)
	}
	for _, root := range roots {
		if key, there := root.Key(said.KeyID); there && key.Verify(r.file.Signed, raw) == nil {
			r.file.Signatures = append(r.file.Signatures, tuf.Signature{KeyID: said.KeyID, Sig: raw})
			return nil
		}
	}
	return fmt.Errorf("it is no good signature by the key %.8s", said.KeyID)
}

// otherRoots tells of another root of this version that clients take, or could
// take with what may have been signed elsewhere.
func (w *walk) otherRoots(maybe bool) error {
	for _, d := range w.drafts {
		var ids []string
		for _, s := range d.signed {
			ids = append(ids, s.keyID)
		}
		switch {
		case d == w.live:
		case enough(w.reports(d.root, ids)):
			return fmt.Errorf("the abandoned draft %.8s has all its signatures too: there are two roots of version %d", d.digest, d.version)
		case maybe && enough(w.reports(d.root, append(ids, sortedKeys(d.maybe)...))):
			return fmt.Errorf("the abandoned draft %.8s could have been completed with signatures that may exist elsewhere", d.digest)
		}
	}
	for _, r := range w.rivals {
		if w.live != nil && r.digest == w.live.digest {
			continue
		}
		all := *r.file
		for _, d := range w.drafts {
			if d.digest == r.digest {
				for _, s := range d.signed {
					all.Signatures = append(slices.Clone(all.Signatures), tuf.Signature{KeyID: s.keyID, Sig: s.sig})
				}
			}
		}
		complete := true
		for _, by := range append(slices.Clone(w.plan.Previous()), r.file.Root) {
			report := all.Report(by)
			complete = complete && report.Good()
		}
		if complete {
			return fmt.Errorf("another root (%.8s) has all its signatures too: there are two roots of version %d", r.digest, r.file.Root.Version)
		}
	}
	return nil
}

// publishing is what was published.
type publishing struct {
	line   int64
	draft  *draft
	keyIDs []string
	files  []state.File // in publish, but for SHA256SUMS
}

// assembled is the draft with the signatures of these keys, each of which counts.
func (w *walk) assembled(d *draft, keyIDs []string) ([]byte, error) {
	var sigs []tuf.Signature
	for _, h := range w.signers {
		for _, s := range d.signed {
			if s.holder == h && s.not == "" && slices.Contains(keyIDs, s.keyID) {
				sigs = append(sigs, tuf.Signature{KeyID: s.keyID, Sig: s.sig})
			}
		}
	}
	if len(sigs) != len(keyIDs) {
		return nil, fmt.Errorf("%d keys are named, and %d of them have a signature that counts", len(keyIDs), len(sigs))
	}
	return tuf.Assemble(d.root, sigs, w.plan.Previous()...)
}

func (w *walk) rootPublished(e transcript.Event) error {
	said, err := decode[state.RootPublished](e)
	d := w.live
	switch {
	case err != nil:
		return err
	case w.published != nil || d == nil || said.Digest != d.digest || said.Version != d.version:
		return errors.New("a root was published already, or it is not the draft")
	case w.alarmed() != nil:
		return w.alarmed()
	}
	for _, report := range w.reports(d.root, said.KeyIDs) {
		if !report.Good() {
			return fmt.Errorf("for version %d, %d of %d signatures are too few", report.Version, report.Have, report.Need)
		}
	}
	text, err := w.assembled(d, said.KeyIDs)
	if err != nil {
		return err
	}
	if err := w.otherRoots(true); err != nil {
		return err
	}
	w.published = &publishing{line: e.Seq, draft: d, keyIDs: said.KeyIDs}
	if t := w.plan.Trusted; t != nil {
		for _, v := range t.Versions {
			f := state.File{Name: fmt.Sprintf("publish/%d.root.json", v.Version), SHA256: v.SHA256}
			w.published.files = append(w.published.files, f)
			if err := w.name(e.Seq, f.Name, f.SHA256, true); err != nil {
				return err
			}
		}
	}
	name := fmt.Sprintf("publish/%d.root.json", d.version)
	if err := w.wrote(e.Seq, said.File, name, text); err != nil {
		return err
	}
	w.Published = said.File.SHA256
	w.published.files = append(append(w.published.files, said.File), said.Kit...)
	return w.kit(e.Seq, said.Kit, text)
}

// kit holds the trust kit to the published root. Its other texts are those of the
// program that wrote it, by their hashes.
func (w *walk) kit(line int64, kit []state.File, root []byte) error {
	const folder = "publish/trust/"
	for _, f := range kit {
		name, inside := strings.CutPrefix(f.Name, folder)
		if !inside || name == "" || strings.ContainsAny(name, "/\\") {
			return fmt.Errorf("the file %.80q is no part of the trust kit", f.Name)
		}
		if name == "root.json" && f.SHA256 != sumOf(root) {
			return errors.New("the root in the trust kit is not the published one")
		}
		if text, there := w.files.text[f.Name]; name == "root.json.sha256" && there && !bytes.Contains(text, []byte(sumOf(root)+"  root.json\n")) {
			return errors.New("the SHA-256 in the trust kit is not that of the published root")
		}
		if err := w.name(line, f.Name, f.SHA256, true); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) sealed(e transcript.Event) error {
	said, err := decode[state.Sealed](e)
	switch {
	case err != nil:
		return err
	case w.published == nil || w.sealedAt != 0 || said.Digest != w.published.draft.digest:
		return errors.New("nothing is published, or it is sealed already")
	}
	w.sealedAt, w.Sealed = e.Seq, true
	text, err := w.assembled(w.published.draft, said.KeyIDs)
	if err != nil || said.Fuller == nil {
		return err
	}
	w.published.files = append(w.published.files, *said.Fuller)
	return w.wrote(e.Seq, *said.Fuller, fmt.Sprintf("publish/fuller/%d.root.json", w.published.draft.version), text)
}

func (w *walk) closed(e transcript.Event) error {
	said, err := decode[state.Closed](e)
	switch {
	case err != nil:
		return err
	case w.sealedAt == 0:
		return errors.New("it is not sealed")
	}
	w.Closed = true
	note := w.closingNote()
	switch {
	case (said.Checkpoint == nil) != (note == nil):
		return errors.New("it names a signed checkpoint of the seal and there is none, or the other way round")
	case note != nil:
		if err := w.wrote(e.Seq, *said.Checkpoint, checkpointFile, note); err != nil {
			return err
		}
	}
	return w.wrote(e.Seq, said.Sums, sumsFile, w.sums())
}

// checkpointFile is the checkpoint of the seal with all its signatures; it too is
// written before the event that closes the ceremony.
const checkpointFile = "publish/checkpoint"

// closingNote is what it says; nil: nobody has signed it.
func (w *walk) closingNote() []byte {
	var lines []string
	for _, h := range w.signers {
		if signature := w.closing[h.ID]; signature != "" {
			lines = append(lines, transcript.SignatureLine(w.Origin, signature))
		}
	}
	if lines == nil {
		return nil
	}
	return transcript.Note(transcript.Text(w.Origin, w.log.CheckpointAt(w.sealedAt)), lines...)
}

// waived: nobody could sign the sealed log.
func (w *walk) waived(e transcript.Event) error {
	if _, err := decode[state.CheckpointsWaived](e); err != nil {
		return err
	}
	able := slices.ContainsFunc(w.signers, func(h *holder) bool { return h.own.token != nil && h.own.token.authentication != (keys.PublicKey{}) })
	if able || w.sealedAt == 0 || w.before != state.TypeException {
		return errors.New("it is not sealed, or a holder has a key that signs the log, or no exception says that nobody could")
	}
	return nil
}

// sumsFile is written before the event that closes the ceremony.
const sumsFile = "publish/" + state.SumsFile

// sums is what it says.
func (w *walk) sums() (list []byte) {
	for _, f := range w.published.files {
		list = fmt.Appendf(list, "%s  %s\n", f.SHA256, strings.TrimPrefix(f.Name, "publish/"))
	}
	if note := w.closingNote(); note != nil {
		list = fmt.Appendf(list, "%s  %s\n", sumOf(note), strings.TrimPrefix(checkpointFile, "publish/"))
	}
	return list
}

// called are the names of holders, as a sentence lists them.
func called(all []*holder) string {
	var names []string
	for _, h := range all {
		names = append(names, h.Name)
	}
	return tuf.Listed(names, "and")
}
