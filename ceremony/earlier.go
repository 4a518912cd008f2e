package ceremony

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Earlier is an earlier ceremony of the project, and whose backups of root keys
// there are of it: nobody can unmake those.
type Earlier struct {
	Name    string          `json:"name"`
	Version int64           `json:"version,omitempty"` // of the root that it made, or was to make; plans that a former version of this program has agreed have none
	Head    string          `json:"head"`              // SHA-256 of the last line of its log that was read
	Backups []EarlierBackup `json:"backups"`
	// Signed are the ids of keys that have signed, or may have, an abandoned
	// draft of the version that is planned now.
	Signed []string `json:"signed,omitempty"`
}

// EarlierBackup is the backup of one root key of an earlier ceremony.
type EarlierBackup struct {
	Holder     string   `json:"holder"` // name
	Quorum     int      `json:"quorum"`
	Recipients []string `json:"recipients"` // names of those who still have what opens it
	// KeyID is that of the root key, as tuf.NewKey has it. Folders are those of the
	// attempts to make it, in the directory of that ceremony and in each copy of it,
	// with Files files that its log knows of: the holder's folder may be there in
	// other ceremonies too, and an attempt's is not. Plans that a former version of
	// this program has agreed have none of them.
	KeyID   string   `json:"keyid,omitempty"`
	Folders []string `json:"folders,omitempty"`
	Files   int      `json:"files,omitempty"`
}

// isOf reports whether it is the backup of a key of the trusted root, whose
// holder may be unnamed.
func (b EarlierBackup) isOf(name string, public keys.PublicKey) bool {
	if b.KeyID == "" {
		return name != "" && fold(name) == fold(b.Holder)
	}
	key, err := tuf.NewKey(public)
	return err == nil && key.ID == b.KeyID
}

// readEarlier reads the directories of earlier ceremonies that a plan names,
// relative to its folder.
func (p *Plan) readEarlier(now time.Time) ([]Earlier, error) {
	var all, before []Earlier
	var read []*Ceremony
	for i, dir := range p.earlierDirs() {
		c, err := readEarlier(dir, now)
		if err != nil {
			return nil, p.refuse(element("earlier", i), err)
		}
		s := c.State
		e := Earlier{Name: s.Plan.Name, Version: s.Plan.Version, Head: c.Head.Hash, Backups: []EarlierBackup{}}
		if e.Signed, err = p.sameVersion(s); err != nil {
			return nil, p.refuse(element("earlier", i), fmt.Errorf("%s: %w", dir, err))
		}
		for _, old := range s.Plan.Earlier {
			if !p.sameChain(s) { // who has signed another version than this one may sign here
				old.Signed = nil
			}
			before = append(before, sinceThen(s, old))
		}
		for _, h := range s.Plan.Holders {
			b := s.Holders[h.ID].backup(keys.BackupKey)
			if b == nil {
				continue
			}
			one := EarlierBackup{Holder: h.Name, Quorum: b.Quorum, Recipients: []string{}, KeyID: s.Holders[h.ID].keyID()}
			for _, f := range s.Files {
				if strings.HasPrefix(f.Name, BackupsDir+"/"+h.ID+"/") {
					one.Folders = append(one.Folders, path.Dir(f.Name))
					one.Files++
				}
			}
			slices.Sort(one.Folders)
			one.Folders = slices.Compact(one.Folders)
			for _, id := range b.Recipients {
				if s.opensStill(id, b) {
					one.Recipients = append(one.Recipients, s.recipientName(id))
				}
			}
			e.Backups = append(e.Backups, one)
		}
		all, read = append(all, e), append(read, c)
	}
	// What those have read of ceremonies before them holds on: the plan need not
	// name these too. Where it does, they were read again.
	for _, old := range before {
		again := slices.ContainsFunc(read, func(c *Ceremony) bool { return c.HadHead(old.Head) })
		if !again && !slices.ContainsFunc(all, func(e Earlier) bool { return e.Head == old.Head }) {
			all = append(all, old)
		}
	}
	return all, nil
}

// sinceThen is an earlier ceremony without the recipients of backups whose
// tokens were reset in this one.
func sinceThen(s *State, e Earlier) Earlier {
	e.Backups = slices.Clone(e.Backups)
	for i, b := range e.Backups {
		e.Backups[i].Recipients = slices.DeleteFunc(slices.Clone(b.Recipients), func(name string) bool {
			return slices.ContainsFunc(s.Plan.Drops, func(d Drop) bool {
				return d.Name != "" && fold(d.Name) == fold(name) && s.Holders[d.ID].Retired != nil
			})
		})
	}
	return e
}

// earlierDirs are the directories of the earlier ceremonies that a plan names.
func (p *Plan) earlierDirs() []string {
	dirs := slices.Clone(p.Earlier)
	for i, dir := range dirs {
		if !filepath.IsAbs(dir) {
			dirs[i] = filepath.Join(filepath.Dir(p.File), filepath.FromSlash(dir))
		}
	}
	return dirs
}

// earlierDirs are the directories that the plan in the ceremony's own names now.
// The text may have changed since it was agreed: whether they are those earlier
// ceremonies, their logs tell.
func (c *Ceremony) earlierDirs() []string {
	file := filepath.Join(c.Dir, PlanFile)
	text, err := transcript.ReadFile(file)
	if err != nil {
		return nil
	}
	p, err := decodePlan(text, file)
	if err != nil {
		return nil
	}
	return p.earlierDirs()
}

// Ceremony is a ceremony as the log in its directory has it.
type Ceremony struct {
	Dir string
	*View
}

// ReadCeremony reads the log of a ceremony, which another process may hold.
// Where there is none the error is transcript.ErrNone.
func ReadCeremony(dir string) (*Ceremony, error) {
	text, err := transcript.ReadFile(filepath.Join(dir, transcript.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, transcript.ErrNone)
	}
	if err != nil {
		return nil, err
	}
	view, err := ReadLog(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return &Ceremony{dir, view}, nil
}

// readEarlier reads an earlier ceremony, which has agreed on its plan before
// now.
func readEarlier(dir string, now time.Time) (*Ceremony, error) {
	c, err := ReadCeremony(dir)
	if err == nil && c.State.Plan == nil {
		err = fmt.Errorf("%s: no plan was agreed in it", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("earlier ceremony: %w (hint: name its directory, by its whole path or from this plan's folder)", err)
	}
	if now.Before(c.Time.Add(-time.Minute)) {
		return nil, fmt.Errorf("this computer's clock says %s, and the log of the earlier ceremony was written on until %s (hint: set the clock, and compare it with another one)", stamp(now), stamp(c.Time))
	}
	return c, nil
}

// sameChain tells whether a ceremony was to follow the very root that this plan
// follows.
func (p *Plan) sameChain(s *State) bool {
	return p.Chain != nil && s.Plan.Trusted != nil && s.Plan.Trusted.newest() == p.Chain.agreed().newest()
}

// sameVersion looks at an earlier ceremony that was to make the very version
// that is planned now: it must have come to nothing, and whoever has signed
// there does not sign here.
func (p *Plan) sameVersion(s *State) ([]string, error) {
	if !p.sameChain(s) {
		return nil, nil
	}
	switch {
	case s.Published != nil:
		return nil, fmt.Errorf("it has published root v%d, and this plan would make another one (hint: put that one into the trusted chain, and follow on it)", s.Plan.Version)
	case s.Draft != nil:
		return nil, fmt.Errorf("it has a live draft of root v%d, and this plan would make another one (hint: go on with it, or abandon its draft there first)", s.Plan.Version)
	}
	if err := s.abandonedOpen(); err != nil {
		return nil, err
	}
	signed := map[string]bool{}
	for _, ab := range s.Abandoned {
		for id := range ab.Signed {
			signed[id] = true
		}
		for _, id := range ab.Maybe {
			signed[id] = true
		}
	}
	for _, r := range s.Rivals {
		for _, id := range r.By {
			signed[s.Holders[id].keyID()] = true
		}
	}
	return slices.Sorted(maps.Keys(signed)), nil
}

// signedEarlier tells whether a key has signed, or may have, an abandoned draft
// of this version, or another root, in an earlier ceremony.
func (r *Resolved) signedEarlier(keyID string) bool {
	return slices.ContainsFunc(r.Earlier, func(e Earlier) bool { return slices.Contains(e.Signed, keyID) })
}

// earlierWarnings says what people without a key can still open: the root keys of
// earlier ceremonies, for clients that trust an older root.
func (r *Resolved) earlierWarnings() []string {
	stays := map[string]bool{}
	for _, h := range r.Holders {
		stays[fold(h.Name)] = true
	}
	if r.Backup != nil {
		for _, b := range r.Backup.Recipients {
			stays[fold(b.Name)] = true
		}
	}
	var warnings []string
	for _, e := range r.Earlier {
		held := map[string]bool{}
		for _, b := range e.Backups {
			held[fold(b.Holder)] = true
		}
		byWhom := map[string][]string{} // the same sentence for several keys is said once
		var order []string
		for _, b := range e.Backups {
			left := slices.DeleteFunc(slices.Clone(b.Recipients), func(name string) bool {
				// Without backups a plan names no recipients but its holders: the others have not left.
				return stays[fold(name)] || r.Backup == nil && !held[fold(name)]
			})
			text := ""
			switch {
			case len(left) >= b.Quorum:
				text = fmt.Sprintf("%s, with no key in this plan, can still open", Group{Any: b.Quorum, Of: left})
			case len(left) > 0:
				text = fmt.Sprintf("%s, with no key in this plan, can still open, together with %d of those who stay,", counted(left, "and", "people"), b.Quorum-len(left))
			default:
				continue
			}
			if byWhom[text] == nil {
				order = append(order, text)
			}
			byWhom[text] = append(byWhom[text], b.Holder)
		}
		for _, text := range order {
			warnings = append(warnings, fmt.Sprintf("of the earlier ceremony %q: %s the backup of the root key of %s", e.Name, text, counted(byWhom[text], "and", "holders")))
		}
	}
	return warnings
}
