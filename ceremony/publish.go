package ceremony

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/record"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// publish puts the signed root together, verifies it as a client would, and
// writes it where it is published from.
func (d *Desk) publish(ctx context.Context, a prompt.Room) error {
	s := d.State()
	if err := d.unexpired(); err != nil {
		return err
	}
	if _, err := d.proved(); err != nil {
		return err
	}
	text, err := tuf.Assemble(s.Root, s.Signatures(), s.Plan.Previous()...)
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
		walked, err := agreed.WalkClients(chain, text)
		if err != nil {
			return err
		}
		for _, line := range walked.Lines(true) {
			facts = append(facts, prompt.Fact{Label: "Clients", Value: line})
		}
	}
	notice, err := d.noticeFact()
	if err != nil {
		return err
	}
	facts = append(facts, notice...)
	root := state.Written{Name: state.RootFile(s.Draft.Version), Text: text}
	title := fmt.Sprintf("Publish root v%d", s.Draft.Version)
	err = a.Type(ctx, prompt.Prompt{ID: "publish", Final: true, Message: prompt.Message{Title: title,
		Facts: append(append(facts, prompt.Fact{Label: "File", Value: root.Name}), publishedDigests(s, root.File())...),
		Text: []string{"The root was put together, read again, and verified. What clients have once seen cannot be called back.",
			"Announce the SHA-256 of the file with these words, which " + state.PublishDir + "/trust/" + record.WordsFile + " has too. Those of the review were other words: of what is signed."}},
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
	event := state.RootPublished{Version: s.Draft.Version, Digest: s.Draft.Digest, File: root.File(), KeyIDs: ids, Kit: []state.File{}}
	for _, file := range kit {
		event.Kit = append(event.Kit, file.File())
	}
	if err := d.record(state.TypeRootPublished, "room", event); err != nil {
		return err
	}
	if err := d.mend(); err != nil {
		return err
	}
	return d.writeNotice()
}

// publishedDigests are both digests of the published root: first that of what is
// signed, then, with its words, the file's, which is the one to announce.
func publishedDigests(s *state.State, file state.File) []prompt.Fact {
	return append(digitFacts(OfSigned, s.Draft.Digest), DigestFacts(ofFile, file.SHA256)...)
}

// kit is what those need who ship the root inside an installer or a program.
func kit(s *state.State, root []byte) ([]state.Written, error) {
	facts := record.KitFacts{Project: s.Plan.Name, Root: root, First: s.Plan.Version, Repin: s.Plan.Repins()}
	if t := s.Plan.Trusted; t != nil {
		facts.First = t.Versions[0].Version
	}
	made, err := record.Kit(facts)
	if err != nil {
		return nil, fmt.Errorf("the trust kit: %w", err)
	}
	var files []state.Written
	for _, f := range made {
		files = append(files, state.Written{Name: state.PublishDir + "/trust/" + f.Name, Text: f.Text})
	}
	return files, nil
}

// trustedFiles are the files of the trusted chain in the ceremony directory, as
// they were agreed.
func (d *Desk) trustedFiles() ([][]byte, error) {
	planned := d.State().Plan
	if planned == nil || planned.Trusted == nil {
		return nil, nil
	}
	var files [][]byte
	for _, v := range planned.Trusted.Versions {
		text, err := transcript.ReadFile(d.path(agreed.TrustedFile(v.Version)))
		if err != nil {
			return nil, fmt.Errorf("a root of the trusted chain cannot be read: %w (hint: put it back from where the chain came)", err)
		}
		if digest := agreed.DigestOf(text); digest != v.SHA256 {
			return nil, fmt.Errorf("%s was changed after it was agreed: its SHA-256 is %s, and was %s (hint: put it back from where the chain came)", agreed.TrustedFile(v.Version), digest, v.SHA256)
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
	if got := agreed.DigestOf(file.Signed); got != digest {
		return report, fmt.Errorf("the root's digest is %s, and the reviewed draft's is %s", got, digest)
	}
	return report, nil
}

// seal ends the making: what was signed late goes into a fuller file beside,
// and the log takes no more signatures.
func (d *Desk) seal(ctx context.Context, a prompt.Room) error {
	s := d.State()
	missing := s.Names(func(h *state.Holder) bool { return h.Signature == nil || h.Signature.Digest != s.Draft.Digest })
	text := "Every holder has signed."
	if len(missing) > 0 {
		text = tuf.Listed(missing, "and") + " did not sign. After the seal they cannot."
	}
	err := a.Type(ctx, prompt.Prompt{ID: "seal", Final: true, Message: prompt.Message{Title: "Seal the ceremony",
		Facts: append(append([]prompt.Fact{{Label: "Published", Value: s.Published.File.Name}}, CountFacts(s)...), prompt.Fact{Label: "Exceptions", Value: fmt.Sprint(s.Exceptions)}),
		Text:  []string{text}},
		Question: "To seal, type seal:"}, "seal")
	if err != nil {
		return err
	}
	sealed := state.Sealed{Digest: s.Draft.Digest}
	for _, sig := range s.Signatures() {
		sealed.KeyIDs = append(sealed.KeyIDs, sig.KeyID)
	}
	if len(sealed.KeyIDs) > len(s.Published.KeyIDs) {
		fuller, err := s.RootFile(state.FullerFile(s.Draft.Version), sealed.KeyIDs)
		if err != nil {
			return err
		}
		file := fuller.File()
		sealed.Fuller = &file
	}
	if err := d.record(state.TypeSealed, "room", sealed); err != nil {
		return err
	}
	return d.mend()
}

// checkpoints has one or more holders sign the sealed log with their keys in 9a.
func (d *Desk) checkpoints(ctx context.Context, a prompt.Room) error {
	if _, err := os.Lstat(d.path(state.CheckpointFile)); err == nil {
		return fmt.Errorf("%s is written already, with those who have signed (hint: take the task Write SHA256SUMS)", state.CheckpointFile)
	}
	for {
		var choices []prompt.Choice
		scripted := "" // all who have signed the root here
		likely, others := d.State().CheckpointSigners()
		for _, h := range likely {
			if scripted == "" && h.Signature != nil && h.Signature.Intention != 0 {
				scripted = h.Holder.ID
			}
			choices = append(choices, prompt.Choice{Key: h.Holder.ID, Label: h.Holder.Name + stickerHint(h)})
		}
		if d.State().SealSigned() {
			choices = append(choices, prompt.Choice{Key: prompt.NobodyElse, Label: "Nobody else"})
		} else if d.State().NobodyCloses() {
			choices = append(choices, prompt.Choice{Key: "none", Label: "Nobody here can: go on without, as an exception"})
		}
		for _, h := range others {
			choices = append(choices, prompt.Choice{Key: h.Holder.ID, Label: fmt.Sprintf("%s, with the token that holds the key %.8s", h.Holder.Name, d.State().KeyID(h))})
		}
		who, err := a.Choose(ctx, prompt.Prompt{ID: "checkpoints.who", Message: prompt.Message{Title: "Sign the log",
			Text: []string{"Everyone who is here signs the log now, up to the seal, all of them the same text. They vouch that it is the record of this day: nobody can change it later without being found out. One is enough to close; who signed the root and not the log is named in the record."}},
			Question: "Who signs the log?", Scripted: scripted}, choices)
		if err != nil {
			return err
		}
		if who == prompt.NobodyElse {
			return nil
		}
		if who == "none" {
			if err := d.Exception("a holder signs the log of the day", "nobody who is here has a token with a key for it", "it is closed without", false); err != nil {
				return err
			}
			return d.record(state.TypeCheckpointsWaived, "room", state.CheckpointsWaived{})
		}
		if err := d.visit(a, who).checkpointBy(ctx); err != nil {
			return err
		}
		if likely, others := d.State().CheckpointSigners(); len(likely)+len(others) == 0 {
			return nil
		}
	}
}

func (v visit) checkpointBy(ctx context.Context) error {
	info, err := v.tokenWithKey(ctx, "checkpoints.token "+v.holder)
	if err != nil {
		return err
	}
	if h := v.now(); h.Prepared == nil {
		return fmt.Errorf("token %s of %s has no key that signs the log (hint: somebody else may, or go on without, as an exception)", agreed.SerialText(info.Serial), h.Holder.Name)
	}
	return v.withPIN(ctx, info.PINTries, func(v visit) error { return v.signsLog(ctx, v.d.State().SealedAt) })
}

// sums writes SHA256SUMS over what is published, as the last file. It lists
// what the log vouches for, and nothing that somebody has put beside it.
func (d *Desk) sums(ctx context.Context, a prompt.Room) error {
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
	sums := d.State().Sums()
	closed := state.Closed{Sums: sums.File()}
	if note := d.State().ClosingNote(); note != nil {
		if err := d.write(*note); err != nil {
			return err
		}
		file := note.File()
		closed.Checkpoint = &file
	}
	if err := d.write(sums); err != nil {
		return err
	}
	if err := d.record(state.TypeClosed, "room", closed); err != nil {
		return err
	}
	checkpoint := d.Checkpoint()
	facts := append([]prompt.Fact{
		{Label: "Publish", Value: filepath.Join(d.dir, state.PublishDir)},
		{Label: "Log", Value: fmt.Sprintf("%d lines", checkpoint.Size)},
		{Label: "Checkpoint", Value: agreed.Grouped(checkpoint.Root)},
		{Label: "Root", Value: d.State().Published.File.Name}}, publishedDigests(d.State(), d.State().Published.File)...)
	if closed.Checkpoint != nil {
		facts = append(facts, prompt.Fact{Label: "Announce", Value: closed.Checkpoint.Name + ", the signed checkpoint of the seal"})
	}
	if names := d.State().NotClosing(); len(names) > 0 {
		facts = append(facts, prompt.Fact{Label: "Not signed", Value: tuf.Listed(names, "and") + " signed the root, and not the log"})
	}
	return a.Tell(ctx, prompt.Message{Title: "The ceremony is closed", Facts: append(facts, notice...),
		Text: []string{"Announce the SHA-256 of the file with these words: with them people can tell whether the root they have is this one.",
			"Write the checkpoint of the log down on paper, and publish it: with it an outsider can tell whether the record is the one of this day."}})
}

// nothingElsePublished refuses files in publish that the log knows nothing of.
func (d *Desk) nothingElsePublished() error {
	known := []string{d.State().Sums().Name}
	for _, f := range d.State().PublishedFiles() {
		known = append(known, f.Name)
	}
	return filepath.WalkDir(filepath.Join(d.dir, state.PublishDir), func(name string, entry fs.DirEntry, err error) error {
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
func (d *Desk) fromLog() ([]state.Written, error) {
	s := d.State()
	var files []state.Written
	if s.Plan != nil {
		files = append(files, planFiles(s.Plan)...)
	}
	if s.Plan != nil && s.Plan.Trusted != nil {
		files = append(files, state.Written{Name: agreed.TrustedFile(s.Plan.Trusted.Newest().Version), Text: []byte(s.Plan.Trusted.Root)})
	}
	roots := []*tuf.Root{}
	for _, ab := range s.Abandoned {
		roots = append(roots, ab.Root)
	}
	if s.Draft != nil {
		roots = append(roots, s.Root)
	}
	for _, root := range roots {
		draft, err := s.DraftFile(root)
		if err != nil {
			return nil, err
		}
		files = append(files, draft)
	}
	for _, made := range s.AllSignatures {
		file, err := state.SignatureFile(made.Digest, made.Holder, made.KeyID, made.Signature)
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
			files = append(files, state.Written{Name: state.RootFile(s.Plan.Trusted.Versions[i].Version), Text: text})
		}
		root, err := s.RootFile(s.Published.File.Name, s.Published.KeyIDs)
		if err != nil {
			return nil, err
		}
		files = append(files, root)
		kit, err := kit(s, root.Text)
		if err != nil {
			return nil, err
		}
		for _, file := range kit {
			// Another version of this program may have other words for it.
			if slices.Contains(s.Published.Kit, file.File()) {
				files = append(files, file)
			}
		}
	}
	if s.Sealed != nil && s.Sealed.Fuller != nil {
		root, err := s.RootFile(s.Sealed.Fuller.Name, s.Sealed.KeyIDs)
		if err != nil {
			return nil, err
		}
		files = append(files, root)
	}
	if s.Closed != nil {
		if note := s.ClosingNote(); note != nil {
			files = append(files, *note)
		}
		files = append(files, s.Sums())
	}
	return files, nil
}

// mend writes the files that the log tells of and an earlier process did not
// live to write. Where one was changed, or is gone and cannot be made again, that is an
// error.
func (d *Desk) mend() error {
	if err := d.checkChanged(); err != nil {
		return err
	}
	if err := d.writeFromLog(); err != nil {
		return err
	}
	return d.CheckFiles()
}

// writeFromLog writes the files that follow from the log, and syncs the folders of
// those that are there.
func (d *Desk) writeFromLog() error {
	files, err := d.fromLog()
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := d.write(file); err != nil {
			return err
		}
	}
	return nil
}

// checkChanged refuses a file that follows from the log, or that the log vouches for,
// and holds something else. It writes nothing. Backup files are not among them.
func (d *Desk) checkChanged() error {
	files, err := d.fromLog()
	if err != nil {
		return err
	}
	all := slices.Clone(d.State().Files)
	for _, file := range files {
		all = append(all, file.File())
	}
	for _, f := range all {
		if strings.HasPrefix(f.Name, agreed.BackupsDir+"/") {
			continue
		}
		text, err := transcript.ReadFile(d.path(f.Name))
		if err == nil && agreed.DigestOf(text) != f.SHA256 {
			return changedError(f.Name, agreed.DigestOf(text), f.SHA256)
		}
	}
	return nil
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
	for _, f := range d.State().Files {
		text, err := transcript.ReadFile(filepath.Join(d.dir, filepath.FromSlash(f.Name)))
		if strings.HasPrefix(f.Name, agreed.BackupsDir+"/") && (err != nil || agreed.DigestOf(text) != f.SHA256) {
			d.damaged = append(d.damaged, f.Name)
			continue
		}
		if err != nil {
			return fmt.Errorf("a file that the log vouches for cannot be read: %w (hint: put it back from a copy of the directory)", err)
		}
		if digest := agreed.DigestOf(text); digest != f.SHA256 {
			return changedError(f.Name, digest, f.SHA256)
		}
	}
	return nil
}

// write writes a file of the ceremony directory that follows from the log, and
// reads it back. What is published everybody may read.
func (d *Desk) write(file state.Written) error {
	mode := fs.FileMode(0o600)
	if strings.HasPrefix(file.Name, state.PublishDir+"/") {
		mode = 0o644
	}
	if err := disk.WriteWithin(d.dir, file.Name, file.Text, mode); err != nil {
		d.owes.Store(true)
		return err
	}
	back, err := transcript.ReadFile(filepath.Join(d.dir, filepath.FromSlash(file.Name)))
	if err == nil && !bytes.Equal(back, file.Text) {
		err = fmt.Errorf("%s does not hold what was written (hint: the disk is not to be trusted; copy the directory to another one)", file.Name)
	}
	return err
}
