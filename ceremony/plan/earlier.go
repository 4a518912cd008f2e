package plan

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// readEarlier reads the directories of earlier ceremonies that a plan names,
// relative to its folder.
func (p *Plan) readEarlier(now time.Time) ([]agreed.Earlier, error) {
	var all, before []agreed.Earlier
	var read []*Ceremony
	for i, dir := range p.earlierDirs() {
		c, err := ReadEarlier(dir, now)
		if err != nil {
			return nil, p.refuse(agreed.Element("earlier", i), err)
		}
		s := c.State
		e := agreed.Earlier{Name: s.Plan.Name, Version: s.Plan.Version, Checkpoint: c.Checkpoint.Root, Backups: []agreed.EarlierBackup{}}
		if e.Signed, err = p.sameVersion(s); err != nil {
			return nil, p.refuse(agreed.Element("earlier", i), fmt.Errorf("%s: %w", dir, err))
		}
		for _, old := range s.Plan.Earlier {
			if !p.sameChain(s) { // who has signed another version than this one may sign here
				old.Signed = nil
			}
			before = append(before, sinceThen(s, old))
		}
		for _, h := range s.Plan.Holders {
			b := s.Holders[h.ID].Backup(keys.BackupKey)
			if b == nil {
				continue
			}
			one := agreed.EarlierBackup{Holder: h.Name, Quorum: b.Quorum, Recipients: []string{}, KeyID: agreed.MustKey(s.Holders[h.ID].Key.Public).ID}
			for _, f := range s.Files {
				if strings.HasPrefix(f.Name, agreed.BackupsDir+"/"+h.ID+"/") {
					one.Folders = append(one.Folders, path.Dir(f.Name))
					one.Files++
				}
			}
			slices.Sort(one.Folders)
			one.Folders = slices.Compact(one.Folders)
			for _, id := range b.Recipients {
				if s.OpensStill(id, b) {
					one.Recipients = append(one.Recipients, s.RecipientName(id))
				}
			}
			e.Backups = append(e.Backups, one)
		}
		all, read = append(all, e), append(read, c)
	}
	// What those have read of ceremonies before them holds on: the plan need not
	// name these too. Where it does, they were read again.
	for _, old := range before {
		again := slices.ContainsFunc(read, func(c *Ceremony) bool { return c.HadCheckpoint(old.Checkpoint) })
		if !again && !slices.ContainsFunc(all, func(e agreed.Earlier) bool { return e.Checkpoint == old.Checkpoint }) {
			all = append(all, old)
		}
	}
	return all, nil
}

// sinceThen is an earlier ceremony without the recipients of backups whose
// tokens were reset in this one.
func sinceThen(s *state.State, e agreed.Earlier) agreed.Earlier {
	e.Backups = slices.Clone(e.Backups)
	for i, b := range e.Backups {
		e.Backups[i].Recipients = slices.DeleteFunc(slices.Clone(b.Recipients), func(name string) bool {
			return slices.ContainsFunc(s.Plan.Drops, func(d agreed.Drop) bool {
				return d.Name != "" && agreed.Fold(d.Name) == agreed.Fold(name) && s.Holders[d.ID].Retired != nil
			})
		})
	}
	return e
}

// earlierDirs are the directories of the earlier ceremonies that a plan names.
func (p *Plan) earlierDirs() []string {
	dirs := slices.Clone(p.Earlier)
	for i, dir := range dirs {
		dirs[i] = p.fromHere(dir)
	}
	return dirs
}

// EarlierDirs are the directories that the plan in the ceremony's own names now.
// The text may have changed since it was agreed: whether they are those earlier
// ceremonies, their logs tell.
func (c *Ceremony) EarlierDirs() []string {
	file := filepath.Join(c.Dir, state.PlanFile)
	text, err := transcript.ReadFile(file)
	if err != nil {
		return nil
	}
	p, err := DecodePlan(text, file)
	if err != nil {
		return nil
	}
	return p.earlierDirs()
}

// Ceremony is a ceremony as the log in its directory has it.
type Ceremony struct {
	Dir string
	*state.View
}

// ReadCeremony reads the log of a ceremony, which another process may hold.
// Where there is none the error is transcript.ErrNone.
func ReadCeremony(dir string) (*Ceremony, error) {
	public, private, err := transcript.ReadFiles(dir)
	if errors.Is(err, transcript.ErrNone) {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	view, err := state.ReadLog(public, private)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return &Ceremony{dir, view}, nil
}

// ReadEarlier reads an earlier ceremony, which has agreed on its plan before
// now.
func ReadEarlier(dir string, now time.Time) (*Ceremony, error) {
	c, err := ReadCeremony(dir)
	if err == nil && c.State.Plan == nil {
		err = fmt.Errorf("%s: no plan was agreed in it", dir)
	}
	if err == nil && c.State.Plan.Unseen {
		err = fmt.Errorf("%s is its public edition, which doesn't say who opens which backups", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("earlier ceremony: %w (hint: name its directory, by its whole path or from this plan's folder)", err)
	}
	if now.Before(c.Time.Add(-time.Minute)) {
		return nil, fmt.Errorf("this computer's clock says %s, and the log of the earlier ceremony was written on until %s (hint: set the clock, and compare it with another one)", agreed.Stamp(now), agreed.Stamp(c.Time))
	}
	return c, nil
}

// sameChain reports whether a ceremony was to follow the very root that this plan
// follows.
func (p *Plan) sameChain(s *state.State) bool {
	return p.Chain != nil && s.Plan.Trusted != nil && s.Plan.Trusted.Newest() == p.Chain.agreed().Newest()
}

// sameVersion looks at an earlier ceremony that was to make the very version
// that is planned now: it must have come to nothing, and anyone who has signed
// there does not sign here.
func (p *Plan) sameVersion(s *state.State) ([]string, error) {
	if !p.sameChain(s) {
		return nil, nil
	}
	switch {
	case s.Published != nil:
		return nil, fmt.Errorf("it has published root v%d, and this plan would make another one (hint: put that one into the trusted chain, and follow on it)", s.Plan.Version)
	case s.Draft != nil:
		return nil, fmt.Errorf("it has a live draft of root v%d, and this plan would make another one (hint: go on with it, or abandon its draft there first)", s.Plan.Version)
	}
	if err := s.AbandonedOpen(); err != nil {
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
			signed[s.KeyID(s.Holders[id])] = true
		}
	}
	return slices.Sorted(maps.Keys(signed)), nil
}
