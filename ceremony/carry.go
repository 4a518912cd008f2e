package ceremony

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// carryTask takes the closed ceremony from the one disk that it lies on.
func (d *Desk) carryTask() prompt.Task {
	s := d.State()
	t := prompt.Task{ID: "carry", Group: prompt.GroupEnd, Title: "Carry it to media", State: DoneIf(s.CarriedAll()), Do: d.carry}
	if s.Closed == nil {
		t.Block("waits for SHA256SUMS")
		return t
	}
	t.Reason = carriedText(s)
	t.Optional, t.Aside = s.NotCarried, s.NotCarried // who has ended without may still make more
	return t
}

// carriedText says on how many media it is.
func carriedText(s *state.State) string {
	text := fmt.Sprintf("all on %d of %d media, %s on %d of %d", s.CarriedOn(false), state.MediaNeeded, state.PublishDir, s.CarriedOn(true), state.PublicNeeded)
	if s.NotCarried && !s.CarriedAll() {
		text += ", as an exception"
	}
	return text
}

// carry writes the closed ceremony to two media, and what is published to one of
// its own, has each taken out and put back, reads it again, and says what is to
// be written on it.
func (d *Desk) carry(ctx context.Context, a prompt.Room) error {
	for !d.State().CarriedAll() {
		c, err := d.closedCargo()
		if err != nil {
			return err
		}
		where, err := d.askMedium(ctx, a, c)
		if err != nil {
			return err
		}
		if where == state.NoMedium && d.State().NotCarried {
			return nil // which is recorded
		}
		if where == state.NoMedium {
			return d.withoutCarrying(ctx, a)
		}
		if err := d.carryTo(ctx, a, c, where); err != nil {
			return err
		}
	}
	return a.Tell(ctx, prompt.Message{Title: "Every medium has its label and its place", Lines: Labels(d.State())})
}

// closedCargo is what goes to the next medium: first the whole ceremony, to each
// of those that are kept, then what is published.
func (d *Desk) closedCargo() (cargo, error) {
	s := d.State()
	private := s.CarriedTo(false)
	if len(private) >= state.MediaNeeded {
		return cargo{prompts: "carry", number: state.MediaNeeded + 1, what: "what is published", goes: "what is published", has: s.CarriedTo(true), public: true,
			ask: prompt.Message{Title: "Carry what is published", Text: []string{"One more medium gets the public edition: " + state.PublishDir + "/, for those who put the root where clients look, and the record of the day, without what is private. It goes to machines with a network, so it must have nothing else of a ceremony."}}}, nil
	}
	left, err := d.notCarried()
	if err != nil {
		return cargo{}, err
	}
	c := cargo{prompts: "carry", number: len(private) + 1, what: "the closed ceremony", goes: "all that the log vouches for, and the log", has: private}
	where := "on this disk alone"
	if c.number > 1 {
		where = "on this disk and on one medium"
	}
	c.ask = prompt.Message{Title: fmt.Sprintf("Carry the closed ceremony: medium %d of %d", c.number, state.MediaNeeded),
		Text: []string{"The signatures, the root and the end of the log lie " + where + ". Two media get the whole ceremony. They go to safes, and to no machine with a network."}}
	if s.Plan.Backup != nil {
		c.ask.Text = append(c.ask.Text, "The backups go with it, sealed as they are. Take the media that have the backups already, or others.")
	} else {
		c.ask.Text = append(c.ask.Text, "It has names and serial numbers, and no secret.")
	}
	if len(left) > 0 && c.number == 1 {
		c.ask.Text = append(c.ask.Text, fmt.Sprintf("Not in the log, and left behind: %s. Copy what is to be kept by hand, and no secret.", agreed.Counted(left, "and", "files")))
	}
	return c, nil
}

// carryTo writes to a medium, and reads it after it was taken out and put back.
// What is intended is in the log that goes there, so that each try has a log, and
// by that a folder, of its own.
func (d *Desk) carryTo(ctx context.Context, a prompt.Room, c cargo, where string) error {
	c, err := c.to(where)
	if err != nil {
		return err
	}
	intention, err := d.intend(state.TypeCarryIntended, "room", state.CarryIntended{Public: c.public, OnMedium: state.OnMedium{Medium: c.medium, MediumID: c.id}})
	if err != nil {
		return err
	}
	directory, checkpoint, err := d.closedDirectory(c.public)
	if err != nil {
		return err
	}
	kind := closedFolder
	if c.public {
		kind = publishFolder
	}
	folder := fmt.Sprintf("%s%.8s", kind, checkpoint.Root)
	files, err := d.writeOn(ctx, a, c, folder, directory)
	if err != nil {
		return err
	}
	if back, err := d.takenOut(ctx, a, c); err != nil || !back {
		return err
	}
	if err := compareCopies(c.medium, files); err != nil {
		return err
	}
	i := slices.IndexFunc(directory, func(f state.Written) bool { return f.Name == state.SumsFile })
	if err := d.record(state.TypeCarried, "room", state.CarryDone{Intention: intention, ReadBack: state.ReadBack{MediumID: c.id, List: agreed.DigestOf(directory[i].Text)}}); err != nil {
		return err
	}
	label, place := label(d.State(), len(d.State().Carried)-1)
	return a.Tell(ctx, prompt.Message{Title: "It was read back, and is whole", Facts: []prompt.Fact{{Label: "Label", Value: label}, {Label: "Folder", Value: folder}, {Label: "Goes to", Value: place}},
		Text: []string{"Write the label on the medium now, before it is taken for another."}})
}

// closedDirectory are the files of the closed ceremony as they go to a medium,
// with their list; public: of its public edition. What people have written of the
// notice for users goes with both: the log does not vouch for it.
func (d *Desk) closedDirectory(public bool) ([]state.Written, transcript.Checkpoint, error) {
	directory, checkpoint, err := d.directory(public)
	if err != nil {
		return nil, checkpoint, err
	}
	names, err := d.notices()
	if err != nil {
		return nil, checkpoint, err
	}
	var files []state.Written
	for _, f := range directory {
		if f.Name != state.SumsFile {
			files = append(files, f)
		}
	}
	for _, name := range names {
		text, err := transcript.ReadFile(d.path(name))
		if err != nil {
			return nil, checkpoint, err
		}
		files = slices.Insert(files, 0, state.Written{Name: name, Text: text}) // the log stays the last
	}
	var all []state.File
	for _, f := range files {
		all = append(all, f.File())
	}
	return slices.Insert(files, len(files)-1, state.Written{Name: state.SumsFile, Text: state.SumLines(all, "")}), checkpoint, nil
}

// notices are the drafts of notices for users that lie beside the draft of the
// root.
func (d *Desk) notices() ([]string, error) {
	if d.State().Draft == nil {
		return nil, nil
	}
	found, err := filepath.Glob(d.path(state.DraftFolder(d.State().Draft.Digest) + "/notice*.md"))
	for i, name := range found {
		found[i] = path.Join(state.DraftFolder(d.State().Draft.Digest), filepath.Base(name))
	}
	return found, err
}

// notCarried names the files in the directory that go to no medium. What a
// rehearsal has of its own is none of the ceremony's.
func (d *Desk) notCarried() ([]string, error) {
	files, _, err := d.closedDirectory(false)
	if err != nil {
		return nil, err
	}
	var passed []string
	if d.State().Begun.Rehearsal {
		passed = []string{path.Dir(TokensDir)}
	}
	return d.besides(files, passed...)
}

// besides names what is in the directory besides those files, but for the folders
// that are passed over.
func (d *Desk) besides(files []state.Written, passed ...string) ([]string, error) {
	goes := map[string]bool{}
	for _, f := range files {
		goes[f.Name] = true
	}
	var left []string
	err := filepath.WalkDir(d.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(d.dir, name)
		relative = filepath.ToSlash(relative)
		if entry.IsDir() && slices.Contains(passed, relative) {
			return fs.SkipDir
		}
		if err == nil && !entry.IsDir() && !goes[relative] {
			left = append(left, relative)
		}
		return err
	})
	return left, err
}

// withoutCarrying ends the ceremony with fewer media, as an exception.
func (d *Desk) withoutCarrying(ctx context.Context, a prompt.Room) error {
	have := carriedText(d.State())
	why, err := a.Ask(ctx, prompt.Prompt{ID: "carry.why", Message: prompt.Message{Title: "End with fewer media", Facts: []prompt.Fact{{Label: "Carried", Value: have}},
		Text: []string{"If this disk is lost before there are more, so is what is on no medium. The task can be taken again, to make more."}},
		Question: "Why is it safe to end here?"}, notEmpty)
	if err != nil {
		return err
	}
	said := state.Account{Expected: fmt.Sprintf("the closed ceremony on %d media, and what is published on %d", state.MediaNeeded, state.PublicNeeded), Happened: have, Decided: "ended with"}
	more := said
	more.Decided += ": " + why
	if err := d.exception(said, more); err != nil {
		return err
	}
	if err := d.record(state.TypeNotCarried, "room", state.NotCarried{}); err != nil {
		return err
	}
	return a.Tell(ctx, prompt.Message{Title: "The ceremony ends with fewer media", Lines: Labels(d.State())})
}

// label is what is written on a medium that was carried to, and where it goes.
func label(s *state.State, n int) (label, place string) {
	c := s.Carried[n]
	if c.Public {
		return "PUBLISH: " + labelled(s, c.MediumID), "those who put the root where clients look"
	}
	if slices.ContainsFunc(s.Carried[:n], func(before state.CarryIntended) bool { return !before.Public }) {
		return "KEEP OFFLINE: " + labelled(s, c.MediumID), "another safe, at another site"
	}
	return "KEEP OFFLINE: " + labelled(s, c.MediumID), "a safe"
}

// labelled is what all labels say: people tell media apart by the first digits of
// their ids.
func labelled(s *state.State, id string) string {
	name := fmt.Sprintf("%s, root v%d, medium %.8s", s.Plan.Name, s.Plan.Version, id)
	if s.Begun.Rehearsal {
		return "REHEARSAL, " + name
	}
	return name
}

// Labels says what stands on the media of a closed ceremony, and where they go:
// those that were carried to, those that have the backups alone, and those of
// which nobody knows what they have.
func Labels(s *state.State) []string {
	if s.Plan.Unseen {
		return nil
	}
	var lines []string
	known := map[string]bool{}
	for n, c := range s.Carried {
		label, place := label(s, n)
		lines, known[c.MediumID] = append(lines, label+": to "+place), true
	}
	for _, id := range s.MediaInOrder() {
		if !known[id] {
			lines, known[id] = append(lines, "KEEP OFFLINE: backups, "+labelled(s, id)+": to a safe (it has nothing after the copying of the backups)"), true
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(s.Carrying)) {
		if c := s.Carrying[seq]; !known[c.MediumID] {
			lines, known[c.MediumID] = append(lines, "NOT READ BACK: "+labelled(s, c.MediumID)+", was in "+c.Medium+": keep it offline, or destroy it"), true
		}
	}
	return lines
}
