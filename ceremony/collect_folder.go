package ceremony

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// CollectedFolder tells what CollectFolder has found.
type CollectedFolder struct {
	Text  string // whose directory it is, and what is taken of it
	Parts []CollectedPart
}

// CollectedPart is a file in it: one of Root, Skipped and Err is set.
type CollectedPart struct {
	File    string // with the folder
	Root    *CollectedRoot
	Skipped string // why nothing was looked for in it
	Err     error
}

// CollectFolder takes the signatures of another ceremony directory: that of a
// copy which went on by itself. Nothing else that was done there counts here.
func (d *Desk) CollectFolder(dir string) (*CollectedFolder, error) {
	if d.State().Plan == nil {
		return nil, errors.New("the plan is not agreed yet, so nothing can be collected for it (hint: check the laptop and agree the plan first)")
	}
	there, err := LookAt(dir)
	if err != nil {
		return nil, fmt.Errorf("of folders only ceremony directories are collected: %w (hint: name the files in it)", err)
	}
	here, err := os.Stat(d.dir)
	if err != nil {
		return nil, err
	}
	if that, err := os.Stat(dir); err != nil || os.SameFile(here, that) {
		return nil, errors.Join(err, errors.New("it is the directory of this ceremony itself (hint: name the copy)"))
	}
	taken := &CollectedFolder{Text: "a copy of this ceremony's directory, which went on by itself: only its signatures are taken; what else was done there does not count here"}
	if there.State().Digest != d.State().Digest {
		taken.Text = "the directory of another ceremony, which has agreed another plan: only signatures by people of this one are looked for"
	}
	folders, err := fs.Glob(os.DirFS(dir), "metadata/*")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		parts, err := d.collectDraftFolder(filepath.Join(dir, filepath.FromSlash(folder)))
		if err != nil {
			return nil, err
		}
		taken.Parts = append(taken.Parts, parts...)
	}
	return taken, nil
}

// collectDraftFolder takes the signatures that lie beside an unsigned root.
func (d *Desk) collectDraftFolder(folder string) ([]CollectedPart, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var draft *tuf.File
	var parts []CollectedPart
	var names []string
	var texts [][]byte
	for _, entry := range entries {
		name := filepath.Join(folder, entry.Name())
		unsigned := strings.HasSuffix(name, ".root.unsigned.json")
		if !unsigned && !strings.HasSuffix(name, ".sig.json") {
			continue
		}
		text, err := transcript.ReadFile(name)
		if err == nil && unsigned {
			draft, err = tuf.Parse(text)
		}
		if err != nil { // the others count all the same
			parts = append(parts, CollectedPart{File: name, Err: err})
			continue
		}
		if !unsigned {
			names, texts = append(names, name), append(texts, text)
		}
	}
	switch {
	case len(names) == 0 && len(parts) > 0:
		return parts, nil
	case len(names) == 0:
		return []CollectedPart{{File: folder, Skipped: "skipped: there is no signature in it"}}, nil
	case draft == nil:
		return append(parts, CollectedPart{File: folder, Skipped: "skipped: the draft is not in it, so that nobody can say what was signed"}), nil
	}
	digest := agreed.DigestOf(draft.Signed)
	if s := d.State(); (s.Draft == nil || s.Draft.Digest != digest) && s.AbandonedDraft(digest) == nil {
		return append(parts, d.collectOtherDraft(folder, draft, texts)), nil
	}
	for i, name := range names {
		part := CollectedPart{File: name}
		if part.Root, part.Err = d.collectDetached(texts[i], agreed.DigestOf(texts[i])); part.Err != nil {
			part.Root = nil
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// collectOtherDraft looks at a draft of another ceremony: nothing of it counts,
// but people of this one may have signed it. Its source is the SHA-256 of the
// signature files, one after the other.
func (d *Desk) collectOtherDraft(folder string, draft *tuf.File, signatures [][]byte) CollectedPart {
	part := CollectedPart{File: folder}
	f, err := withSignatures(draft.Root, signatures...)
	if err != nil {
		part.Err = err
		return part
	}
	if part.Root, err = d.collectParsed(f, agreed.DigestOf(bytes.Join(signatures, nil))); err != nil {
		part.Root, part.Skipped = nil, "skipped: "+err.Error()
	}
	return part
}
