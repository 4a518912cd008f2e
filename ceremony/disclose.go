package ceremony

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/state"
)

// Disclose copies the public edition of the ceremony into a new folder: what the
// log vouches for, without what is private, and the log. It returns how many files
// that are, and the names of what was left out. Nothing is written over, and a
// folder that has the log is whole.
func (d *Desk) Disclose(folder string) (files int, left []string, err error) {
	switch s := d.State(); {
	case s.Begun != nil && s.Begun.Enrols != "":
		return 0, nil, fmt.Errorf("%s is an enrolment, which has no public edition (hint: the file that it has written for the ceremony is what others get)", d.dir)
	case s.Plan == nil:
		return 0, nil, fmt.Errorf("%s: no plan was agreed in it, so there is nothing to disclose yet", d.dir)
	}
	if err := newBeside(folder, d.dir); err != nil {
		return 0, nil, err
	}
	edition, _, err := d.closedDirectory(true)
	if err != nil {
		return 0, nil, err
	}
	edition = slices.DeleteFunc(edition, func(f state.Written) bool { return f.Name == state.SumsFile }) // which is for media
	if left, err = d.besides(edition, path.Dir(state.PrivatePlanFile), path.Dir(TokensDir)); err != nil {
		return 0, nil, err
	}
	for _, kept := range []string{path.Dir(state.PrivatePlanFile), path.Dir(TokensDir)} {
		if _, err := os.Lstat(d.path(kept)); err == nil {
			left = append(left, kept+"/")
		}
	}
	slices.Sort(left)
	if err := disk.MakeFolder(folder); err != nil {
		return 0, nil, err
	}
	for _, f := range edition { // the log is the last
		if err := disk.WriteWithin(folder, f.Name, f.Text, 0o644); err != nil {
			return 0, nil, err
		}
	}
	return len(edition), left, nil
}

// newBeside refuses a folder that is there already, or that is inside dir.
func newBeside(folder, dir string) error {
	if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%s is there already, and nothing is written over (hint: name a new folder)", folder))
	}
	whole, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	for at := filepath.Dir(whole); ; at = filepath.Dir(at) {
		if there, err := filepath.EvalSymlinks(at); err == nil {
			whole = there
			break
		}
	}
	inside, err := filepath.EvalSymlinks(dir)
	if err == nil {
		inside, err = filepath.Abs(inside)
	}
	if err != nil {
		return err
	}
	if whole == inside || strings.HasPrefix(whole, inside+string(filepath.Separator)) {
		return fmt.Errorf("%s is inside %s, where files that the log doesn't know are refused (hint: name a folder elsewhere)", folder, dir)
	}
	return nil
}
