package remote

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/plainfile"
)

// ownCopy is the chain of roots that a signer trusts already, up to the one
// before the root that is to be signed.
type ownCopy struct {
	path  string // as it was named
	first int64  // version of its first file, which is trusted as it is
	last  *tuf.File
}

// readOwnCopy verifies the signer's copy of the chain, a root file or a folder
// of N.root.json, from its first file on, and tells why the draft (in the file
// draftName) cannot be the next.
func readOwnCopy(path string, draft *tuf.File, draftName string, rehearsal bool) (*ownCopy, error) {
	files, err := ownFiles(path, draftName)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds nothing but %s itself (hint: name your own copy of the roots before it)", path, draftName)
	}
	own := &ownCopy{path: path}
	version := draft.Root.Version
	var chain tuf.Chain
	for _, f := range files {
		text, err := plainfile.Read(f.Name, tuf.MaxSize)
		if err != nil {
			return nil, err
		}
		step, err := chain.Add(text)
		switch {
		case err != nil:
			return nil, fmt.Errorf("your own copy: %s: %w (hint: name a copy that was verified, from before anybody asked you to sign)", f.Name, err)
		case f.Version > 0 && step.Version != f.Version:
			return nil, fmt.Errorf("your own copy: %s: the name says version %d, the content version %d", f.Name, f.Version, step.Version)
		case step.Rehearsal && !rehearsal:
			return nil, fmt.Errorf("your own copy: %s was made in a rehearsal and is not for production (hint: name your copy of the real root)", f.Name)
		case step.Version > version:
			return nil, fmt.Errorf("your own copy %s is root v%d, so the root v%d of %s is of the past: nothing is to be signed", f.Name, step.Version, version, draftName)
		case step.Version == version && bytes.Equal(chain.Last().Signed, draft.Signed):
			return nil, fmt.Errorf("root v%d is published already, with the same signed bytes: your own copy has it as %s; nothing is to be signed", version, f.Name)
		case step.Version == version:
			return nil, fmt.Errorf("another root v%d is published already: your own copy has it as %s, and the SHA-256 of what is signed in it is %s; a second one would split its users for good; do not sign, and ask where this one comes from",
				version, f.Name, agreed.DigestOf(chain.Last().Signed))
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
func ownFiles(path, draftName string) ([]tuf.RootFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []tuf.RootFile{{Name: path}}, nil
	}
	draft, err := os.Stat(draftName)
	if err != nil {
		return nil, err
	}
	files, err := tuf.RootFiles(path)
	if err != nil {
		return nil, errors.New(agreed.OneLine(err.Error()))
	}
	return slices.DeleteFunc(files, func(f tuf.RootFile) bool {
		there, err := os.Stat(f.Name)
		return err == nil && os.SameFile(there, draft)
	}), nil
}
