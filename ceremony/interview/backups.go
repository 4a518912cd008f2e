package interview

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// restorable is a lost root key that a backup brings back.
type restorable struct {
	id, dir string // of the ceremony that made the backup
	quorum  int
	who     []string // names of those who can open it together
}

func restores(back []restorable, id string) bool {
	return slices.ContainsFunc(back, func(r restorable) bool { return r.id == id })
}

// toEach are what people type to do one thing with each ceremony that has made
// the backups.
func toEach(do string, back []restorable) []string {
	var lines []string
	for _, r := range back {
		if line := agreed.Command(do, r.dir); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// openers say who must come for each backup.
func (iv *interview) openers(back []restorable) []string {
	var lines []string
	for _, r := range back {
		lines = append(lines, fmt.Sprintf("%s: the backup is opened by any %d of %s.", iv.who(r.id), r.quorum, tuf.Listed(r.who, "and")))
	}
	return lines
}

// lookForBackups finds out which of the keys can be restored, and says so.
func (iv *interview) lookForBackups(ids []string) ([]restorable, error) {
	if err := iv.findMakers(ids); err != nil {
		return nil, err
	}
	m := prompt.Message{Title: "Backups"}
	var back []restorable
	for _, id := range ids {
		r, err := iv.backupOf(id, ids)
		if err != nil {
			m.Text = append(m.Text, fmt.Sprintf("%s: %v.", iv.who(id), err))
			continue
		}
		back = append(back, r)
	}
	m.Text = append(m.Text, iv.openers(back)...)
	return back, iv.a.Tell(iv.ctx, m)
}

// backupOf looks for the backup of a root key that opens without the holders of
// the keys in gone. The error says why there is none.
func (iv *interview) backupOf(id string, gone []string) (restorable, error) {
	made := iv.makerOf(id)
	if made == nil {
		return restorable{}, errors.New("whether there is a backup of the key is not known here: only the folder of the ceremony that made it tells, and that is not at hand")
	}
	s := made.State
	b := s.Holders[holdersByKey(s)[id].ID].Backup(keys.BackupKey)
	if b == nil {
		return restorable{}, fmt.Errorf("the key was made in %s, without a backup", made.Dir)
	}
	r := restorable{id: id, dir: made.Dir, quorum: b.Quorum}
	able := iv.ableToOpen(s, b, gone)
	for _, who := range able {
		r.who = append(r.who, s.RecipientName(who))
	}
	switch {
	case len(able) < b.Quorum:
		return r, fmt.Errorf("the backup wants %d of its recipients, and only %d can open it any more", b.Quorum, len(able))
	case !holdsFor(made, b, able):
		return r, fmt.Errorf("the files of the backup are gone or damaged (hint: put %s back from a copy)", filepath.Join(made.Dir, filepath.FromSlash(path.Dir(b.Files[0].Name))))
	}
	return r, nil
}

// makerOf is the ceremony that made a root key, if it is at hand. Only that one
// can have backups of it.
func (iv *interview) makerOf(id string) *plan.Ceremony {
	i := slices.IndexFunc(iv.earlier, func(c *plan.Ceremony) bool {
		h, there := holdersByKey(c.State)[id]
		return there && h.Custody != agreed.Existing
	})
	if i < 0 {
		return nil
	}
	return iv.earlier[i]
}

// unmade are the keys that no ceremony at hand has made.
func (iv *interview) unmade(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return iv.makerOf(id) != nil })
}

// findMakers looks for the ceremonies that made these keys, going back from
// those at hand to the ones that they were planned with. It asks for a folder
// that has backups and is no longer where it was.
func (iv *interview) findMakers(ids []string) error {
	for i := 0; i < len(iv.earlier); i++ { // it grows
		for _, dir := range iv.earlier[i].EarlierDirs() {
			// Whatever the plan's text has become: what it leads to is known by its log.
			found, err := plan.ReadEarlier(dir, iv.now)
			if err == nil && !iv.have(found.Checkpoint.Root) && slices.ContainsFunc(iv.earlier[i].State.Plan.Earlier, func(e agreed.Earlier) bool { return found.HadCheckpoint(e.Checkpoint) }) {
				iv.earlier = append(iv.earlier, found)
				iv.know(found)
			}
		}
	}
	for i := 0; i < len(iv.earlier); i++ {
		for _, e := range iv.earlier[i].State.Plan.Earlier {
			if len(iv.unmade(ids)) == 0 {
				return nil
			}
			if iv.have(e.Checkpoint) || slices.Contains(iv.missing, e.Checkpoint) {
				continue
			}
			found, err := iv.askFor(iv.earlier[i], e)
			if err != nil {
				return err
			}
			if found == nil {
				iv.missing = append(iv.missing, e.Checkpoint)
				continue
			}
			iv.earlier = append(iv.earlier, found)
			iv.know(found)
		}
	}
	return nil
}

// have reports whether the ceremony whose log has, or had, a checkpoint is at hand.
func (iv *interview) have(checkpoint string) bool {
	return slices.ContainsFunc(iv.earlier, func(c *plan.Ceremony) bool { return c.HadCheckpoint(checkpoint) })
}

// askFor asks for a ceremony that is not where the plan of a later one has it,
// if it has backups: nil where it is not at hand.
func (iv *interview) askFor(made *plan.Ceremony, e agreed.Earlier) (*plan.Ceremony, error) {
	if len(e.Backups) == 0 {
		return nil, nil
	}
	var found *plan.Ceremony
	line := ""
	err := iv.prompt(prompt.Prompt{ID: fmt.Sprint("plan.earlier ", len(iv.missing)+len(iv.earlier)+1), Enter: "not at hand", Question: fmt.Sprintf("The folder of the ceremony %q, with %d backups?", e.Name, len(e.Backups)),
		Message: prompt.Message{Title: "An earlier ceremony", Facts: []prompt.Fact{{Label: "Ceremony", Value: e.Name}, {Label: "Planned with it", Value: made.Dir}, {Label: "Checkpoint of its log", Value: agreed.Grouped(e.Checkpoint)}},
			Text: []string{"It made keys that are trusted still, and it is not where the later one had it. " + iv.paths()}}}, &line, func(s string) error {
		dirs, err := iv.readEarlier([]string{s})
		if err == nil && !dirs[0].HadCheckpoint(e.Checkpoint) {
			err = fmt.Errorf("%s is another ceremony: its log never had the checkpoint %.16s", iv.at(s), e.Checkpoint)
		}
		if err == nil {
			found = dirs[0]
		}
		return err
	})
	return found, err
}

// ableToOpen are the recipients of a backup, by id, who still have what opens
// it. Anyone who has lost a key has lost the token.
func (iv *interview) ableToOpen(s *state.State, b *state.BackupStored, gone []string) []string {
	without := map[string]bool{}
	for _, id := range gone {
		without[agreed.Fold(iv.known[id].Name)] = true
	}
	for id, h := range holdersByKey(s) {
		if iv.tokenGone(id) {
			without[agreed.Fold(h.Name)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(b.Recipients), func(id string) bool {
		return !s.OpensStill(id, b) || without[agreed.Fold(s.RecipientName(id))]
	})
}

// tokenGone reports whether a later ceremony has dropped a root key whose token is
// gone, or was reset.
func (iv *interview) tokenGone(id string) bool {
	return slices.ContainsFunc(iv.earlier, func(c *plan.Ceremony) bool {
		return slices.ContainsFunc(c.State.Plan.Drops, func(drop agreed.Drop) bool {
			return drop.KeyID == id && (drop.Reason == agreed.Lost || drop.Reason == agreed.Stolen || c.State.Holders[drop.ID].Retired != nil)
		})
	})
}

// holdsFor reports whether a file of the backup that these recipients open is in
// the directory, as it was recorded.
func holdsFor(c *plan.Ceremony, b *state.BackupStored, able []string) bool {
	return slices.ContainsFunc(b.Files, func(f state.File) bool {
		layers, err := keys.Layers(path.Base(f.Name))
		if err != nil || slices.ContainsFunc(layers, func(l keys.Layer) bool { return !slices.Contains(able, l.Who) }) {
			return false
		}
		text, err := transcript.ReadFile(filepath.Join(c.Dir, filepath.FromSlash(f.Name)))
		return err == nil && agreed.DigestOf(text) == f.SHA256
	})
}
