package ceremony

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/secret"
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
	text, err := s.signedRoot(s.Signatures())
	if err != nil {
		return err
	}
	report, err := verifyRoot(text, s.Draft.Digest)
	if err != nil {
		return err
	}
	title := fmt.Sprintf("Publish root v%d", s.Draft.Version)
	err = a.Type(ctx, Prompt{ID: "publish", Final: true, Message: Message{Title: title,
		Facts: append([]Fact{{"Signatures", report.Text(s.keyNames())}, {"File", rootFile(s.Draft.Version)}}, d.digestFacts()...),
		Text:  []string{"The root was put together, read again, and verified. What clients have once seen cannot be called back."}},
		Question: "To publish it, type publish:"}, "publish")
	if err != nil {
		return err
	}
	var ids []string
	for _, sig := range s.Signatures() {
		ids = append(ids, sig.KeyID)
	}
	name := rootFile(s.Draft.Version)
	err = d.record(TypeRootPublished, "room", RootPublished{s.Draft.Version, s.Draft.Digest, File{name, digestOf(text)}, ids})
	if err != nil {
		return err
	}
	return d.writePublished(name, text)
}

// writePublished writes a root and verifies what the disk gives back.
func (d *Desk) writePublished(name string, text []byte) error {
	path := filepath.Join(d.dir, filepath.FromSlash(name))
	if err := transcript.WriteNew(path, text, 0o644); err != nil {
		return err
	}
	back, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(back, text) {
		return fmt.Errorf("%s does not hold what was written (hint: the disk is not to be trusted; copy the directory to another one)", name)
	}
	_, err = verifyRoot(back, d.state.Draft.Digest)
	return err
}

// signedRoot is the root file with these signatures.
func (s *State) signedRoot(signatures []tuf.Signature) ([]byte, error) {
	return tuf.Assemble(s.Root, signatures)
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
	missing := s.names(func(h *HolderState) bool { return h.Signature == nil })
	text := "Every holder has signed."
	if len(missing) > 0 {
		text = listed(missing) + " did not sign. After the seal they cannot."
	}
	err := a.Type(ctx, Prompt{ID: "seal", Final: true, Message: Message{Title: "Seal the ceremony",
		Facts: []Fact{{"Published", s.Published.File.Name}, {"Signed by", fmt.Sprintf("%d of %d holders", len(s.Signatures()), len(s.Plan.Holders))},
			{"Exceptions", fmt.Sprint(s.Exceptions)}},
		Text: []string{text}},
		Question: "To seal, type seal:"}, "seal")
	if err != nil {
		return err
	}
	sealed := Sealed{Digest: s.Draft.Digest}
	for _, sig := range s.Signatures() {
		sealed.KeyIDs = append(sealed.KeyIDs, sig.KeyID)
	}
	if len(sealed.KeyIDs) > len(s.Published.KeyIDs) {
		fuller, err := s.signedRoot(s.Signatures())
		if err != nil {
			return err
		}
		sealed.Fuller = &File{fullerFile(s.Draft.Version), digestOf(fuller)}
	}
	if err := d.record(TypeSealed, "room", sealed); err != nil {
		return err
	}
	return d.mend()
}

// heads has one or more holders sign the sealed log with their keys in 9a.
func (d *Desk) heads(ctx context.Context, a Attendant) error {
	for {
		var choices []Choice
		for _, h := range d.state.Plan.Holders {
			if state := d.state.Holders[h.ID]; state.Head == nil || state.Head.Head.Seq < d.state.SealedAt {
				choices = append(choices, Choice{h.ID, h.Name + ", token " + h.Token})
			}
		}
		if d.state.sealedHead() {
			choices = append(choices, Choice{"enough", "Nobody else"})
		}
		who, err := a.Choose(ctx, Prompt{ID: "heads.who", Message: Message{Title: "Sign the log",
			Text: []string{"Whoever signs the log now vouches that it is the record of this day: nobody can change it later without being found out. One holder is enough, more are better."}},
			Question: "Who signs the log?"}, choices)
		if err != nil {
			return err
		}
		if who == "enough" {
			return nil
		}
		if err := d.headBy(ctx, a, d.state.Holders[who]); err != nil {
			return err
		}
		if len(d.state.names(func(h *HolderState) bool { return h.Head.Head.Seq < d.state.SealedAt })) == 0 {
			return nil
		}
	}
}

func (d *Desk) headBy(ctx context.Context, a Attendant, h *HolderState) error {
	info, err := d.waitForToken(ctx, a, h, "heads.token "+h.Holder.ID, func(info keys.Info) error { return fitsSigning(h, info) })
	if err != nil {
		return err
	}
	return d.withPIN(ctx, a, h, info.PINTries, func(s *keys.Session, pin *secret.Buffer) error { return d.signHead(ctx, s, h, pin) })
}

// sums writes SHA256SUMS over what is published, as the last file.
func (d *Desk) sums(ctx context.Context, a Attendant) error {
	text, err := publishedSums(filepath.Join(d.dir, PublishDir))
	if err != nil {
		return err
	}
	file, err := d.keep(PublishDir+"/"+SumsFile, text, 0o644)
	if err != nil {
		return err
	}
	if err := d.record(TypeClosed, "room", Closed{file}); err != nil {
		return err
	}
	head := d.log.Head()
	return a.Tell(ctx, Message{Title: "The ceremony is closed", Facts: []Fact{
		{"Publish", filepath.Join(d.dir, PublishDir)},
		{"Log", fmt.Sprintf("%d lines", head.Seq)},
		{"Its head", grouped(head.Hash)}},
		Text: []string{"Write the head of the log down on paper, and publish it: with it an outsider can tell whether the record is the one of this day."}})
}

// publishedSums lists the files below dir, but for the list itself.
func publishedSums(dir string) ([]byte, error) {
	var lines []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil || relative == SumsFile {
			return err
		}
		text, err := os.ReadFile(name)
		lines = append(lines, digestOf(text)+"  "+filepath.ToSlash(relative)+"\n")
		return err
	})
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	return []byte(strings.Join(lines, "")), err
}

// mend writes the files that the log tells of and an earlier process did not
// live to write. Where a file holds something else, that is an error.
func (d *Desk) mend() error {
	s := d.state
	if s.Plan != nil {
		if err := d.writeResolved(); err != nil {
			return err
		}
	}
	if s.Draft == nil {
		return nil
	}
	if _, err := d.keepDraft(); err != nil {
		return err
	}
	for _, h := range s.Plan.Holders {
		if m := s.Holders[h.ID].Signature; m != nil {
			name, text, err := signatureFile(m.Digest, h.ID, m.KeyID, m.Signature)
			if err != nil {
				return err
			}
			if _, err := d.keep(name, text, 0o600); err != nil {
				return err
			}
		}
	}
	if s.Published != nil {
		if err := d.mendRoot(s.Published.File, s.Published.KeyIDs); err != nil {
			return err
		}
	}
	if s.Sealed != nil && s.Sealed.Fuller != nil {
		return d.mendRoot(*s.Sealed.Fuller, s.Sealed.KeyIDs)
	}
	return nil
}

func (d *Desk) mendRoot(file File, keyIDs []string) error {
	signatures := slices.DeleteFunc(d.state.Signatures(), func(s tuf.Signature) bool { return !slices.Contains(keyIDs, s.KeyID) })
	text, err := d.state.signedRoot(signatures)
	if err != nil {
		return err
	}
	if digestOf(text) != file.SHA256 {
		return errors.New("the log's signatures do not make the root that was published")
	}
	return d.writePublished(file.Name, text)
}
