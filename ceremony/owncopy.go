package ceremony

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// ownCopy is the chain of roots that a signer trusts already, up to the one
// before the root that is to be signed.
type ownCopy struct {
	path  string // as it was named
	first int64  // version of its first file, which is trusted as it is
	last  *tuf.File
}

// ownFile is a file of the copy; version is what its name promises, or 0.
type ownFile struct {
	name    string
	version int64
}

var numberedRoot = regexp.MustCompile(`^([1-9][0-9]*)\.root\.json$`)

// readOwnCopy verifies the signer's copy of the chain, a root file or a folder
// of N.root.json, from its first file on, and tells why the draft (in the file
// draftName) cannot be the next.
func readOwnCopy(path string, draft *tuf.File, draftName string, rehearsal bool) (*ownCopy, error) {
	files, err := ownFiles(path, draftName)
	if err != nil {
		return nil, err
	}
	own := &ownCopy{path: path}
	version := draft.Root.Version
	var chain tuf.Chain
	for i, f := range files {
		if i > 0 && f.version != files[i-1].version+1 {
			return nil, fmt.Errorf("%s: %d.root.json is missing, though %d.root.json is there (hint: get it from where clients get it: it is verified like the others)",
				path, files[i-1].version+1, f.version)
		}
		text, err := readLinked(f.name)
		if err != nil {
			return nil, err
		}
		step, err := chain.Add(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("your own copy: %s: %w (hint: name a copy that was verified, from before anybody asked you to sign)", f.name, err)
		case f.version > 0 && step.Version != f.version:
			return nil, fmt.Errorf("your own copy: %s: the name says version %d, the content version %d", f.name, f.version, step.Version)
		case step.Rehearsal && !rehearsal:
			return nil, fmt.Errorf("your own copy: %s was made in a rehearsal and is not for production (hint: name your copy of the real root)", f.name)
		case step.Version > version:
			return nil, fmt.Errorf("your own copy %s is root v%d, so the root v%d of %s is of the past: nothing is to be signed", f.name, step.Version, version, draftName)
		case step.Version == version && bytes.Equal(chain.Last().Signed, draft.Signed):
			return nil, fmt.Errorf("root v%d is published already, with the same signed bytes: your own copy has it as %s; nothing is to be signed", version, f.name)
		case step.Version == version:
			return nil, fmt.Errorf("another root v%d is published already: your own copy has it as %s, with the SHA-256 %s; a second one would split its users for good; do not sign, and ask where this one comes from",
				version, f.name, digestOf(chain.Last().Signed))
		}
		own.first = cmp.Or(own.first, step.Version)
	}
	own.last = chain.Last()
	return own, own.before(version)
}

// before tells which versions are missing between the copy and a version.
func (o *ownCopy) before(version int64) error {
	from, to := o.last.Root.Version+1, version-1
	if from > to {
		return nil
	}
	missing := fmt.Sprintf("version %d is missing", from)
	if from < to {
		missing = fmt.Sprintf("versions %d to %d are missing", from, to)
	}
	return fmt.Errorf("your own copy %s ends with root v%d, and this is root v%d: %s (hint: add them from where clients get them, as N.root.json in one folder; each is verified by the one before)",
		o.path, o.last.Root.Version, version, missing)
}

// ownFiles lists the files of the copy by version. The draft itself may lie in
// the same folder.
func ownFiles(path, draftName string) ([]ownFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []ownFile{{name: path}}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	draft, err := os.Stat(draftName)
	if err != nil {
		return nil, err
	}
	var files []ownFile
	for _, entry := range entries {
		match := numberedRoot.FindStringSubmatch(entry.Name())
		if match == nil {
			continue
		}
		name := filepath.Join(path, entry.Name())
		version, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil || version > tuf.MaxVersion {
			return nil, fmt.Errorf("%s: no root has version %s", name, match[1])
		}
		if there, err := os.Stat(name); err == nil && os.SameFile(there, draft) {
			continue
		}
		files = append(files, ownFile{name, version})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: there is no root metadata in this folder (hint: the files are named 1.root.json, 2.root.json and so on)", path)
	}
	slices.SortFunc(files, func(a, b ownFile) int { return cmp.Compare(a.version, b.version) })
	return files, nil
}

// readLinked reads a file that a link may lead to.
func readLinked(name string) ([]byte, error) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, err
	}
	return transcript.ReadFile(real)
}
