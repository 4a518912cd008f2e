package ceremony

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"rootceremony/ceremony/record"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// SumsFile is the list of what was published, in the format of sha256sum.
const SumsFile = "SHA256SUMS"

// rootFile and fullerFile are where roots are published. The fuller one has
// the signatures that came after the first was published.
func rootFile(version int64) string { return fmt.Sprintf("%s/%d.root.json", PublishDir, version) }

func fullerFile(version int64) string {
	return fmt.Sprintf("%s/fuller/%d.root.json", PublishDir, version)
}

// publish puts the signed root together, verifies it as a client would, and
// writes it where it is published from.
func (d *Desk) publish(ctx context.Context, a Attendant) error {
	s := d.state
	if err := d.unexpired(); err != nil {
		return err
	}
	text, err := tuf.Assemble(s.Root, s.Signatures(), s.Plan.previous()...)
	if err != nil {
		return err
	}
	if _, err := verifyRoot(text, s.Draft.Digest); err != nil {
		return err
	}
	chain, err := d.trustedFiles()
	if err != nil {
		return err
	}
	facts := CountFacts(s)
	if len(chain) > 0 {
		walked, err := WalkClients(chain, text)
		if err != nil {
			return err
		}
		for _, line := range walked.Lines(true) {
			facts = append(facts, Fact{"Clients", line})
		}
	}
	notice, err := d.noticeFact()
	if err != nil {
		return err
	}
	facts = append(facts, notice...)
	root := written{rootFile(s.Draft.Version), text}
	title := fmt.Sprintf("Publish root v%d", s.Draft.Version)
	err = a.Type(ctx, Prompt{ID: "publish", Final: true, Message: Message{Title: title,
		Facts: append(append(facts, Fact{"File", root.name}), publishedDigests(s, root.file())...),
		Text: []string{"The root was put together, read again, and verified. What clients have once seen cannot be called back.",
			"Announce the SHA-256 of the file with these words, which " + PublishDir + "/trust/" + record.WordsFile + " has too. Those of the review were other words: of what is signed."}},
		Question: "To publish it, type publish:"}, "publish")
	if err != nil {
		return err
	}
	var ids []string
	for _, sig := range s.Signatures() {
		ids = append(ids, sig.KeyID)
	}
	kit, err := kit(s, text)
	if err != nil {
		return err
	}
	event := RootPublished{s.Draft.Version, s.Draft.Digest, root.file(), ids, []File{}}
	for _, file := range kit {
		event.Kit = append(event.Kit, file.file())
	}
	if err := d.record(TypeRootPublished, "room", event); err != nil {
		return err
	}
	if err := d.mend(); err != nil {
		return err
	}
	return d.writeNotice()
}

// publishedDigests are both digests of the published root: first that of what is
// signed, then, with its words, the file's, which is the one to announce.
func publishedDigests(s *State, file File) []Fact {
	return append(digitFacts(ofSigned, s.Draft.Digest), digestFacts(ofFile, file.SHA256)...)
}

// kitName is how the files of the trust kit are called.
var kitName = regexp.MustCompile(`^publish/trust/[A-Za-z][A-Za-z0-9.]*$`)

// kit is what those need who ship the root inside an installer or a program.
func kit(s *State, root []byte) ([]written, error) {
	facts := record.KitFacts{Project: s.Plan.Name, Root: root, First: s.Plan.Version, Repin: s.Plan.repins()}
	if t := s.Plan.Trusted; t != nil {
		facts.First = t.Versions[0].Version
	}
	made, err := record.Kit(facts)
	if err != nil {
		return nil, fmt.Errorf("the trust kit: %w", err)
	}
	var files []written
	for _, f := range made {
		files = append(files, written{PublishDir + "/trust/" + f.Name, f.Text})
	}
	return files, nil
}

// trustedFiles are the files of the trusted chain in the ceremony directory, as
// they were agreed.
func (d *Desk) trustedFiles() ([][]byte, error) {
	if d.state.Plan == nil || d.state.Plan.Trusted == nil {
		return nil, nil
	}
	var files [][]byte
	for _, v := range d.state.Plan.Trusted.Versions {
		text, err := transcript.ReadFile(d.path(trustedFile(v.Version)))
		if err != nil {
			return nil, fmt.Errorf("a root of the trusted chain cannot be read: %w (hint: put it back from where the chain came)", err)
		}
		if digest := digestOf(text); digest != v.SHA256 {
			return nil, fmt.Errorf("%s was changed after it was agreed: its SHA-256 is %s, and was %s (hint: put it back from where the chain came)", trustedFile(v.Version), digest, v.SHA256)
		}
		files = append(files, text)
	}
	return files, nil
}

// verifyRoot reads a root file as a client does that trusts nothing else, and
// compares its signed bytes to the draft's.
func verifyRoot(text []byte, digest string) (tuf.Report, error) {
	file, err := tuf.Parse(text)
	if err != nil {
		return tuf.Report{}, err
	}
	report := file.Report(file.Root)
	if !report.Good() {
		return report, fmt.Errorf("the root is not signed by enough keys: %s", report.Text(nil))
	}
	if got := digestOf(file.Signed); got != digest {
		return report, fmt.Errorf("the root's digest is %s, and the reviewed draft's is %s", got, digest)
	}
	return report, nil
}

// seal ends the making: what was signed late goes into a fuller file beside,
// and the log takes no more signatures.
func (d *Desk) seal(ctx context.Context, a Attendant) error {
	s := d.state
	missing := s.names(func(h *HolderState) bool { return h.Signature == nil || h.Signature.Digest != s.Draft.Digest })
	text := "Every holder has signed."
	if len(missing) > 0 {
		text = listed(missing) + " did not sign. After the seal they cannot."
	}
	d.mu.Lock()
	exceptions := s.Exceptions // which others may record meanwhile
	d.mu.Unlock()
	err := a.Type(ctx, Prompt{ID: "seal", Final: true, Message: Message{Title: "Seal the ceremony",
		Facts: append(append([]Fact{{"Published", s.Published.File.Name}}, CountFacts(s)...), Fact{"Exceptions", fmt.Sprint(exceptions)}),
		Text:  []string{text}},
		Question: "To seal, type seal:"}, "seal")
	if err != nil {
		return err
	}
	sealed := Sealed{Digest: s.Draft.Digest}
	for _, sig := range s.Signatures() {
		sealed.KeyIDs = append(sealed.KeyIDs, sig.KeyID)
	}
	if len(sealed.KeyIDs) > len(s.Published.KeyIDs) {
		fuller, err := s.rootFile(fullerFile(s.Draft.Version), sealed.KeyIDs)
		if err != nil {
			return err
		}
		file := fuller.file()
		sealed.Fuller = &file
	}
	if err := d.record(TypeSealed, "room", sealed); err != nil {
		return err
	}
	return d.mend()
}

// nobodyElse ends a list of holders; no holder's id is a dot.
const nobodyElse = "."

// heads has one or more holders sign the sealed log with their keys in 9a.
func (d *Desk) heads(ctx context.Context, a Attendant) error {
	for {
		var choices []Choice
		likely, others := d.state.headSigners()
		for _, h := range likely {
			choices = append(choices, Choice{h.Holder.ID, h.Holder.Name + stickerHint(h)})
		}
		if d.state.sealedHead() {
			choices = append(choices, Choice{nobodyElse, "Nobody else"})
		} else if d.state.Plan.Trusted != nil {
			choices = append(choices, Choice{"none", "Nobody here can: go on without, as an exception"})
		}
		for _, h := range others {
			choices = append(choices, Choice{h.Holder.ID, fmt.Sprintf("%s, with the token that holds the key %.8s", h.Holder.Name, h.keyID())})
		}
		who, err := a.Choose(ctx, Prompt{ID: "heads.who", Message: Message{Title: "Sign the log",
			Text: []string{"Whoever signs the log now vouches that it is the record of this day: nobody can change it later without being found out. One holder is enough, more are better."}},
			Question: "Who signs the log?"}, choices)
		if err != nil {
			return err
		}
		if who == nobodyElse {
			return nil
		}
		if who == "none" {
			if err := d.Exception("a holder signs the log of the day", "nobody who is here has a token with a key for it", "it is closed without"); err != nil {
				return err
			}
			return d.record(TypeHeadsWaived, "room", HeadsWaived{})
		}
		if err := d.headBy(ctx, a, d.state.Holders[who]); err != nil {
			return err
		}
		if likely, others := d.state.headSigners(); len(likely)+len(others) == 0 {
			return nil
		}
	}
}

// headSigners are those who can still sign the sealed log: first those of whose
// tokens it is known that they can, then those with a token that was not looked
// at. The others may have none, or one that has no key for it.
func (s *State) headSigners() (likely, others []*HolderState) {
	var perhaps []*HolderState
	for _, h := range s.signers() {
		switch {
		case h.hasSigned(s.SealedAt):
		case h.Prepared != nil:
			likely = append(likely, h)
		case h.Holder.Custody != Existing:
		case h.Holder.Token != "" && h.Serial == 0 && h.Key.Public.Algorithm != "":
			perhaps = append(perhaps, h)
		default:
			others = append(others, h)
		}
	}
	return append(likely, perhaps...), others
}

func (d *Desk) headBy(ctx context.Context, a Attendant, h *HolderState) error {
	info, err := d.tokenWithKey(ctx, a, h, "heads.token "+h.Holder.ID)
	if err != nil {
		return err
	}
	if h.Prepared == nil {
		return fmt.Errorf("token %s of %s has no key that signs the log (hint: somebody else may, or go on without, as an exception)", serialText(info.Serial), h.Holder.Name)
	}
	return d.withPIN(ctx, a, h, info.PINTries, func(s *session.Session, pin *secret.Buffer) error { return d.signHead(ctx, s, h, pin) })
}

// sums writes SHA256SUMS over what is published, as the last file. It lists
// what the log vouches for, and nothing that somebody has put beside it.
func (d *Desk) sums(ctx context.Context, a Attendant) error {
	if err := d.mend(); err != nil {
		return err
	}
	if err := d.nothingElsePublished(); err != nil {
		return err
	}
	if err := d.writeNotice(); err != nil { // which a process that published may not have lived to write
		return err
	}
	notice, err := d.noticeFact()
	if err != nil {
		return err
	}
	sums := d.state.sums()
	if err := d.write(sums); err != nil {
		return err
	}
	if err := d.record(TypeClosed, "room", Closed{sums.file()}); err != nil {
		return err
	}
	head := d.Head()
	facts := append([]Fact{
		{"Publish", filepath.Join(d.dir, PublishDir)},
		{"Log", fmt.Sprintf("%d lines", head.Seq)},
		{"Its head", grouped(head.Hash)},
		{"Root", d.state.Published.File.Name}}, publishedDigests(d.state, d.state.Published.File)...)
	return a.Tell(ctx, Message{Title: "The ceremony is closed", Facts: append(facts, notice...),
		Text: []string{"Announce the SHA-256 of the file with these words: with them people can tell whether the root they have is this one.",
			"Write the head of the log down on paper, and publish it: with it an outsider can tell whether the record is the one of this day."}})
}

// published are the files in publish, but for the list of them.
func (s *State) published() []File {
	var files []File
	if t := s.Plan.Trusted; t != nil {
		for _, v := range t.Versions {
			files = append(files, File{rootFile(v.Version), v.SHA256})
		}
	}
	files = append(files, s.Published.File)
	files = append(files, s.Published.Kit...)
	if s.Sealed.Fuller != nil {
		files = append(files, *s.Sealed.Fuller)
	}
	return files
}

// sums lists what is published in the format of sha256sum.
func (s *State) sums() written {
	return written{PublishDir + "/" + SumsFile, sumLines(s.published(), PublishDir+"/")}
}

// nothingElsePublished refuses files in publish that the log knows nothing of.
func (d *Desk) nothingElsePublished() error {
	known := []string{d.state.sums().name}
	for _, f := range d.state.published() {
		known = append(known, f.Name)
	}
	return filepath.WalkDir(filepath.Join(d.dir, PublishDir), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(d.dir, name)
		if err == nil && !slices.Contains(known, filepath.ToSlash(relative)) {
			err = fmt.Errorf("%s was put there by somebody else, and the log knows nothing of it (hint: take it away, and take this task again)", name)
		}
		return err
	})
}

// fromLog are the files that follow from the log, as it stands.
func (d *Desk) fromLog() ([]written, error) {
	s := d.state
	var files []written
	if s.Plan != nil {
		files = append(files, written{ResolvedFile, s.Plan.JSON()})
	}
	if s.Plan != nil && s.Plan.Trusted != nil {
		files = append(files, written{trustedFile(s.Plan.Trusted.newest().Version), []byte(s.Plan.Trusted.Root)})
	}
	roots := []*tuf.Root{}
	for _, ab := range s.Abandoned {
		roots = append(roots, ab.Root)
	}
	if s.Draft != nil {
		roots = append(roots, s.Root)
	}
	for _, root := range roots {
		draft, err := s.draftFile(root)
		if err != nil {
			return nil, err
		}
		files = append(files, draft)
	}
	for _, made := range s.signatures {
		file, err := signatureFile(made.Digest, made.Holder, made.KeyID, made.Signature)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	if s.Published != nil {
		chain, err := d.trustedFiles()
		if err != nil {
			return nil, err
		}
		for i, text := range chain {
			files = append(files, written{rootFile(s.Plan.Trusted.Versions[i].Version), text})
		}
		root, err := s.rootFile(s.Published.File.Name, s.Published.KeyIDs)
		if err != nil {
			return nil, err
		}
		files = append(files, root)
		kit, err := kit(s, root.text)
		if err != nil {
			return nil, err
		}
		for _, file := range kit {
			// Another version of this program may have other words for it.
			if slices.Contains(s.Published.Kit, file.file()) {
				files = append(files, file)
			}
		}
	}
	if s.Sealed != nil && s.Sealed.Fuller != nil {
		root, err := s.rootFile(s.Sealed.Fuller.Name, s.Sealed.KeyIDs)
		if err != nil {
			return nil, err
		}
		files = append(files, root)
	}
	if s.Closed != nil {
		files = append(files, s.sums())
	}
	return files, nil
}

// mend writes the files that the log tells of and an earlier process did not
// live to write, and compares the others. Where a file holds something else,
// or one is gone that cannot be made again, that is an error.
func (d *Desk) mend() error {
	files, err := d.fromLog()
	if err != nil {
		return err
	}
	for _, file := range files {
		there, err := transcript.ReadFile(d.path(file.name))
		if err == nil && !bytes.Equal(there, file.text) {
			return changedError(file.name, digestOf(there), digestOf(file.text))
		}
		if err := d.write(file); err != nil {
			return err
		}
	}
	return d.CheckFiles()
}

func changedError(name, is, was string) error {
	return fmt.Errorf("%s was changed after it was recorded: its SHA-256 is %s, and was %s (hint: put it back from a copy of the directory)", name, is, was)
}

// CheckFiles compares the files of the directory to what the log says of them.
//
// A backup file that is gone or changed is no error, as others are there to be
// opened: Status tells of it.
func (d *Desk) CheckFiles() error {
	d.damaged = nil
	for _, f := range d.state.Files {
		text, err := transcript.ReadFile(filepath.Join(d.dir, filepath.FromSlash(f.Name)))
		if strings.HasPrefix(f.Name, BackupsDir+"/") && (err != nil || digestOf(text) != f.SHA256) {
			d.damaged = append(d.damaged, f.Name)
			continue
		}
		if err != nil {
			return fmt.Errorf("a file that the log vouches for cannot be read: %w (hint: put it back from a copy of the directory)", err)
		}
		if digest := digestOf(text); digest != f.SHA256 {
			return changedError(f.Name, digest, f.SHA256)
		}
	}
	return nil
}

// rootFile is the root with the signatures of these keys, as a file.
func (s *State) rootFile(name string, keyIDs []string) (written, error) {
	signed, err := s.signedBy(keyIDs)
	if err != nil {
		return written{}, err
	}
	text, err := tuf.Assemble(s.Root, signed, s.Plan.previous()...)
	return written{name, text}, err
}

// write writes a file of the ceremony directory that follows from the log, and
// reads it back. What is published everybody may read.
func (d *Desk) write(file written) error {
	mode := fs.FileMode(0o600)
	if strings.HasPrefix(file.name, PublishDir+"/") {
		mode = 0o644
	}
	if err := transcript.WriteWithin(d.dir, file.name, file.text, mode); err != nil {
		return err
	}
	back, err := transcript.ReadFile(filepath.Join(d.dir, filepath.FromSlash(file.name)))
	if err == nil && !bytes.Equal(back, file.text) {
		err = fmt.Errorf("%s does not hold what was written (hint: the disk is not to be trusted; copy the directory to another one)", file.name)
	}
	return err
}
