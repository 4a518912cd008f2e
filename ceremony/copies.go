package ceremony

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/plainfile"
)

// MediumFile names a medium, in the folder that it is mounted in: 16 random
// bytes in hex. A stick is the same one wherever it is mounted.
const MediumFile = "root-backups.medium"

// The folders of copies on media begin so. What is to be published lies on media
// of its own.
const (
	backupsFolder = "root-backups-"
	closedFolder  = "root-ceremony-"
	publishFolder = "root-publish-"
)

// MediaDir holds what stands for removable media in a rehearsal.
const MediaDir = "rehearsal/media"

func (d *Desk) copiesTask() prompt.Task {
	s := d.State()
	t := prompt.Task{ID: "copies", Group: prompt.GroupBackups, Title: "Copy to media", State: DoneIf(s.CopiedEnough()), Do: d.copies}
	if n := len(s.OnMedia()); n > 0 || t.State != prompt.Done {
		t.Reason = fmt.Sprintf("%d of %d media", n, state.MediaNeeded)
	}
	if missing := s.Names(func(h *state.Holder) bool { return !h.Counts() }); len(missing) > 0 {
		t.Block("waits for the keys of " + tuf.Listed(missing, "and"))
	}
	return t
}

// cargo is what goes to the next medium.
type cargo struct {
	prompts string            // their ids begin with it: "copies"
	number  int               // of the medium
	what    string            // "the backups"
	goes    string            // the same and what goes with it
	ask     prompt.Message    // what people read before they name the medium
	has     map[string]string // the folders of media that have it already, by id of the medium
	public  bool              // it goes to machines with a network

	medium string // the folder in which the medium is mounted, once people have named it
	id     string // of the medium
}

func (c cargo) prompt(name string) string { return fmt.Sprintf("%s.%s %d", c.prompts, name, c.number) }

// copies writes the backups to removable media, has them taken out and put
// back, and reads them again.
func (d *Desk) copies(ctx context.Context, a prompt.Room) error {
	for !d.State().CopiedEnough() {
		c := cargo{prompts: "copies", number: len(d.State().OnMedia()) + 1, what: "the backups", goes: "the backups, and what another laptop needs to go on from here", has: d.State().OnMedia()}
		c.ask = prompt.Message{Title: fmt.Sprintf("Copy the backups: medium %d of %d", c.number, state.MediaNeeded),
			Facts: []prompt.Fact{{Label: "Files", Value: fmt.Sprint(len(d.State().Copied()))}},
			Text: []string{"The backups must outlive this laptop. They are age files: anyone who finds a stick can open none of them without a quorum.",
				"Beside them goes the record of the ceremony as it is now, so that another laptop can restore from the stick: it has names and serial numbers, and no secret."}}
		where, err := d.askMedium(ctx, a, c)
		if err != nil {
			return err
		}
		if where == state.NoMedium {
			return d.withoutMedia(ctx, a)
		}
		if err := d.copyTo(ctx, a, c, where); err != nil {
			return err
		}
	}
	return nil
}

// askMedium asks for the folder in which a medium is mounted.
func (d *Desk) askMedium(ctx context.Context, a prompt.Room, c cargo) (string, error) {
	how, err := a.Choose(ctx, prompt.Prompt{ID: c.prompt("how"), Message: c.ask, Question: "What now?"},
		[]prompt.Choice{{Key: "copy", Label: "A medium is plugged in and mounted: copy to it"}, {Key: "none", Label: "Go on without (more) media, as an exception"}})
	if err != nil || how == "none" {
		return state.NoMedium, err
	}
	suggested := ""
	question := "In which folder is it mounted?"
	if d.State().Begun.Rehearsal {
		suggested = filepath.Join(d.dir, filepath.FromSlash(MediaDir), fmt.Sprint(c.number))
		question = fmt.Sprintf("In which folder is it mounted? (Enter: %s stands for a stick)", suggested)
	}
	where, err := a.Ask(ctx, prompt.Prompt{ID: c.prompt("where"), Enter: suggested, Message: prompt.Message{Title: c.ask.Title}, Question: question}, func(answer string) error {
		answer = strings.TrimSpace(answer)
		if answer == "" && suggested != "" {
			if err := disk.MakeFolder(suggested); err != nil {
				return err
			}
			answer = suggested
		}
		return d.fitsMedium(answer, c)
	})
	if where = strings.TrimSpace(where); where == "" {
		where = suggested
	}
	return where, err
}

// fitsMedium tells why a folder is none that copies can go to.
func (d *Desk) fitsMedium(folder string, c cargo) error {
	if folder == "" {
		return errors.New("name a folder, such as /media/stick")
	}
	var there, own unix.Stat_t
	if err := unix.Stat(folder, &there); err != nil {
		return &fs.PathError{Op: "look at", Path: folder, Err: err}
	}
	if there.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%s is no folder", folder)
	}
	if _, err := os.ReadDir(folder); err != nil {
		return confine.Explain(err)
	}
	if err := unix.Stat(d.dir, &own); err != nil {
		return err
	}
	if !d.State().Begun.Rehearsal { // where all is on one disk
		if there.Dev == own.Dev {
			return fmt.Errorf("%s is on the same disk as this ceremony, and no medium of its own (hint: mount the stick, and name the folder it is mounted in)", folder)
		}
		var above unix.Stat_t
		if err := unix.Stat(folder+"/..", &above); err != nil {
			return err
		}
		if above.Dev == there.Dev {
			return fmt.Errorf("%s is a folder on a medium, and not the one that the medium is mounted in (hint: name that one, so that a medium is known again)", folder)
		}
	}
	id, err := mediumID(folder)
	if err != nil {
		return err
	}
	if before, has := c.has[id]; has {
		return fmt.Errorf("%s has its copy already, as %s (hint: plug in another medium)", folder, before)
	}
	if err := d.State().KeptApart(id, c.public); err != nil {
		return fmt.Errorf("%s: %w", folder, err)
	}
	// A medium that was used in another ceremony.
	var found []string
	for _, kind := range []string{backupsFolder, closedFolder, publishFolder} {
		folders, err := fs.Glob(os.DirFS(folder), kind+"*")
		if err != nil {
			return err
		}
		if (kind == publishFolder) != c.public {
			found = append(found, folders...)
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("%s: %w: it has %s", folder, state.NotApart(c.public), found[0])
	}
	return nil
}

// mediumID reads the id of the medium that is mounted in a folder; "" where it
// has none yet.
func mediumID(folder string) (string, error) {
	name := filepath.Join(folder, MediumFile)
	text, err := transcript.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	id, ended := strings.CutSuffix(string(text), "\n")
	if err == nil && (!ended || !state.MediumForm.MatchString(id)) {
		err = fmt.Errorf("%s is not what names a medium: 32 hexadecimal digits (hint: take another medium, or delete the file)", name)
	}
	return id, err
}

// to is the cargo for the medium that is mounted in a folder. A medium that has no
// id yet gets a new one.
func (c cargo) to(where string) (cargo, error) {
	var err error
	if c.medium, err = filepath.Abs(where); err != nil {
		return c, err
	}
	if c.id, err = mediumID(c.medium); err != nil || c.id != "" {
		return c, err
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails
	c.id = hex.EncodeToString(random)
	return c, nil
}

// copyTo writes a ceremony directory with all backups in use to a medium, and
// reads it after the medium was taken out and put back.
func (d *Desk) copyTo(ctx context.Context, a prompt.Room, c cargo, where string) error {
	c, err := c.to(where)
	if err != nil {
		return err
	}
	directory, checkpoint, err := d.directory(false)
	if err != nil {
		return err
	}
	copied := d.State().Copied()
	said := state.CopiesWritten{Medium: c.medium, MediumID: c.id, Files: len(copied), List: agreed.DigestOf(state.SumLines(copied, ""))}
	// Every copy has a folder of its own, as the log has grown since the last.
	folder := fmt.Sprintf("%s%.8s-%.8s", backupsFolder, said.List, checkpoint.Root)
	files, err := d.writeOn(ctx, a, c, folder, directory)
	if err != nil {
		return err
	}
	if err := d.record(state.TypeCopiesWritten, "room", said); err != nil {
		return err
	}
	if back, err := d.takenOut(ctx, a, c); err != nil || !back {
		return err
	}
	if err := compareCopies(c.medium, files); err != nil {
		return err
	}
	return d.record(state.TypeCopiesRead, "room", state.CopiesRead{Medium: c.medium, MediumID: c.id, List: said.List})
}

// writeOn writes files to a folder on a medium, and what names the medium, each
// once the one before is safe. It returns all of them as they are on the medium.
func (d *Desk) writeOn(ctx context.Context, a prompt.Room, c cargo, folder string, directory []state.Written) ([]state.Written, error) {
	files := []state.Written{{Name: MediumFile, Text: []byte(c.id + "\n")}}
	for _, f := range directory {
		files = append(files, state.Written{Name: folder + "/" + f.Name, Text: f.Text})
	}
	if err := a.Tell(ctx, prompt.Message{Title: c.ask.Title, Text: []string{fmt.Sprintf("%d files are written to %s: %s. Do not take the medium out yet.",
		len(directory), filepath.Join(c.medium, folder), c.goes)}}); err != nil {
		return nil, err
	}
	if err := removeUnfinished(c.medium); err != nil {
		return nil, notCopied(c.what, c.medium, err)
	}
	for _, f := range files {
		if err := disk.WriteNew(filepath.Join(c.medium, filepath.FromSlash(f.Name)), f.Text, 0o600); err != nil {
			return nil, notCopied(c.what, c.medium, err)
		}
	}
	return files, nil
}

// removeUnfinished removes from a medium what a copy that was cut off has left half
// written: in the folder that it is mounted in, and in those of copies.
func removeUnfinished(medium string) error {
	for _, begins := range []string{disk.Unfinished, backupsFolder, closedFolder, publishFolder} {
		there, err := fs.Glob(os.DirFS(medium), begins+"*")
		if err != nil {
			return err
		}
		for _, name := range there {
			if err := disk.RemoveUnfinished(filepath.Join(medium, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// directory are the files of a ceremony directory, as the log has them, in
// which another laptop restores, checks up, and shows the status; or its public
// edition. The log comes last: a folder that has it is whole. The checkpoint is the
// one of that log.
func (d *Desk) directory(public bool) ([]state.Written, transcript.Checkpoint, error) {
	d.mu.Lock() // others may write notes meanwhile
	defer d.mu.Unlock()
	s, checkpoint := d.State(), d.checkpoint
	if d.log != nil {
		checkpoint = d.log.Checkpoint()
	}
	has := map[string]bool{}
	if public {
		has[state.PlanFile] = true // which stays where people wrote it
	}
	following, err := d.fromLog()
	if err != nil {
		return nil, checkpoint, err
	}
	var files []state.Written
	for _, f := range following {
		if !public || !private(f.Name) {
			has[f.Name] = true
			files = append(files, f)
		}
	}
	for _, f := range slices.Concat([]state.File{{Name: state.PlanFile, SHA256: s.Plan.PlanSHA256}}, s.Files, s.Aside) {
		if has[f.Name] || public && private(f.Name) {
			continue
		}
		has[f.Name] = true
		text, err := transcript.ReadFile(d.path(f.Name))
		if err != nil {
			return nil, checkpoint, fmt.Errorf("what is copied cannot be read: %w (hint: put the file back from another copy of it, and take this task again)", err)
		}
		if digest := agreed.DigestOf(text); digest != f.SHA256 {
			return nil, checkpoint, fmt.Errorf("%s is not what was recorded, and nothing was copied: its SHA-256 is %s, and was %s (hint: put the file back from another copy of it, and take this task again)",
				f.Name, digest, f.SHA256)
		}
		files = append(files, state.Written{Name: f.Name, Text: text})
	}
	text, hidden, err := transcript.ReadFiles(d.dir)
	if err != nil {
		return nil, checkpoint, err
	}
	there, err := transcript.Read(text, hidden)
	switch {
	case d.log == nil && err == nil && there.Checkpoint() != checkpoint:
		return nil, checkpoint, fmt.Errorf("%s went on while it was read (hint: take the command again)", transcript.FileName)
	case d.log == nil && err == nil:
		text = text[:len(text)-len(there.Tail)] // which another process writes, or has died of
	case err != nil || there.Checkpoint() != checkpoint || there.Tail != nil || there.PrivateTail != nil || !slices.EqualFunc(there.Events, d.log.Events(), samePrivate):
		return nil, checkpoint, errors.Join(fmt.Errorf("%s, or its private part, is not what this program has written, and nothing was copied (hint: the disk is not to be trusted; leave, and look at the file)", transcript.FileName), err)
	}
	if !public && hidden != nil {
		files = append(files, state.Written{Name: transcript.PrivateName, Text: hidden})
	}
	log := state.Written{Name: transcript.FileName, Text: text}
	var all []state.File
	for _, f := range append(slices.Clone(files), log) {
		all = append(all, f.File())
	}
	return append(files, state.Written{Name: state.SumsFile, Text: state.SumLines(all, "")}, log), checkpoint, nil
}

// private reports whether a file of the directory is never published.
func private(name string) bool { return strings.HasPrefix(name, transcript.PrivateDir+"/") }

func samePrivate(a, b transcript.Event) bool { return bytes.Equal(a.Private, b.Private) }

// takenOut asks to take the medium out and put it back, and reports whether that
// was done.
func (d *Desk) takenOut(ctx context.Context, a prompt.Room, c cargo) (bool, error) {
	message := func(text string) prompt.Message { return prompt.Message{Title: c.ask.Title, Text: []string{text}} }
	const fromMemory = "What was just written is read from memory, not from the medium. "
	leave := prompt.Choice{Key: "leave", Label: "Leave it; copy to another medium"}
	before, err := mountOf(c.medium)
	inSteps := err != nil && !d.State().Begun.Rehearsal
	for inSteps {
		out, err := a.Choose(ctx, prompt.Prompt{ID: c.prompt("out"), Message: message(fromMemory + "Unmount it, and take it out."),
			Question: "Is it out?"}, []prompt.Choice{{Key: "out", Label: "Yes: it was unmounted, and is out"}, leave})
		if err != nil || out == leave.Key {
			return false, err
		}
		if now, _ := mediumID(c.medium); now != c.id {
			break
		}
		if err := a.Tell(ctx, message("The medium was not unmounted: it is still there, in "+c.medium+".")); err != nil {
			return false, err
		}
	}
	text := fromMemory + "Unmount it, take it out, put it back, and mount it again in the same folder."
	if inSteps {
		text = "Put it back, and mount it again in the same folder."
	}
	for {
		back, err := a.Choose(ctx, prompt.Prompt{ID: c.prompt("back"), Message: message(text), Question: "Is it back?"},
			[]prompt.Choice{{Key: "back", Label: "Yes: it was out, and is mounted again"}, leave})
		if err != nil || back == leave.Key {
			return false, err
		}
		if now, err := mountOf(c.medium); inSteps || d.State().Begun.Rehearsal || err != nil || now != before {
			return true, nil
		}
		if err := a.Tell(ctx, message("The medium was not unmounted: the system has had it in that folder all the time.")); err != nil {
			return false, err
		}
	}
}

func notCopied(what, medium string, err error) error {
	hint := "nothing is lost here; make room on the medium, or take another, and take this task again"
	if errors.Is(err, fs.ErrExist) {
		hint = "take another medium, or delete the file or its folder on this one, and take this task again"
	}
	return fmt.Errorf("not all was written to %s, of %s: %w (hint: %s)", medium, what, err, hint)
}

// compareCopies reads the copies and compares them with what was written. What
// the system still has of them in memory is dropped first.
func compareCopies(medium string, files []state.Written) error {
	for _, f := range files {
		name := filepath.Join(medium, filepath.FromSlash(f.Name))
		if file, err := plainfile.Open(name, os.O_RDONLY, math.MaxInt64); err == nil {
			_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
			_ = file.Close()
		}
		text, err := transcript.ReadFile(name)
		if err != nil {
			return fmt.Errorf("the copy cannot be read back: %w (hint: is the medium mounted in the same folder? else use another medium)", err)
		}
		if !bytes.Equal(text, f.Text) {
			return fmt.Errorf("%s on the medium is not what was written (hint: do not use this medium; take another)", name)
		}
	}
	return nil
}

// mountOf names the mount that a folder is in: it changes when a medium is
// unmounted and mounted again. The number that older kernels know (before Linux
// 6.8) is given out again at once, so that nothing can be told by it: an error.
// Tests put an older kernel in its place.
var mountOf = func(folder string) (uint64, error) {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, folder, 0, unix.STATX_MNT_ID_UNIQUE, &stat)
	if err == nil && stat.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		err = errors.ErrUnsupported
	}
	return stat.Mnt_id, err
}

// withoutMedia goes on with fewer media, as an exception.
func (d *Desk) withoutMedia(ctx context.Context, a prompt.Room) error {
	have := len(d.State().OnMedia())
	title := "Go on with fewer media"
	why, err := a.Ask(ctx, prompt.Prompt{ID: "copies.why", Message: prompt.Message{Title: title,
		Text: []string{fmt.Sprintf("%d of %d media have the backups. If this laptop breaks before there are more, what is lost cannot be restored.", have, state.MediaNeeded)}},
		Question: "Why is it safe to go on?"}, notEmpty)
	if err != nil {
		return err
	}
	said := state.Account{Expected: fmt.Sprintf("the backups on %d media", state.MediaNeeded), Happened: fmt.Sprintf("they are on %d", have), Decided: "gone on with"}
	more := said
	more.Decided += ": " + why
	if err := d.exception(said, more); err != nil {
		return err
	}
	files := d.State().Copied()
	return d.record(state.TypeCopiesWritten, "room", state.CopiesWritten{Medium: state.NoMedium, MediumID: "", Files: len(files), List: agreed.DigestOf(state.SumLines(files, ""))})
}
