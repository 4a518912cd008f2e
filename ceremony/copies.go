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

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/transcript"
)

// mediaNeeded is on how many removable media the backups are to lie before
// anything is signed.
const mediaNeeded = 2

// MediaDir holds what stands for removable media in a rehearsal.
const MediaDir = "rehearsal/media"

func (d *Desk) copiesTask() Task {
	s := d.state
	t := Task{ID: "copies", Group: groupBackups, Title: "Copy to media", State: doneIf(s.copiedEnough()), do: d.copies}
	if n := len(s.onMedia()); n > 0 || t.State != Done {
		t.Reason = fmt.Sprintf("%d of %d media", n, mediaNeeded)
	}
	if missing := s.names(func(h *HolderState) bool { return !h.counts() }); len(missing) > 0 {
		t.block("waits for the keys of " + listed(missing))
	}
	return t
}

// onMedia are the media that have all backups in use, by name.
func (s *State) onMedia() map[string]bool {
	list := digestOf(sumLines(s.copied(), ""))
	media := map[string]bool{}
	for _, c := range s.Copies {
		if c.List == list && c.Medium != noMedium {
			media[c.Medium] = true
		}
	}
	return media
}

// noMedium stands, in an event, for the copies that are done without.
const noMedium = "none"

func (s *State) copiedEnough() bool {
	without := s.Written[noMedium]
	return len(s.onMedia()) >= mediaNeeded || without != nil && without.List == digestOf(sumLines(s.copied(), ""))
}

// copies writes the backups to removable media, has them taken out and put
// back, and reads them again.
func (d *Desk) copies(ctx context.Context, a Attendant) error {
	for !d.state.copiedEnough() {
		number := len(d.state.onMedia()) + 1
		where, err := d.askMedium(ctx, a, number)
		if err != nil {
			return err
		}
		if where == noMedium {
			return d.withoutMedia(ctx, a)
		}
		if err := d.copyTo(ctx, a, number, where); err != nil {
			return err
		}
	}
	return nil
}

// askMedium asks for the folder in which a medium is mounted.
func (d *Desk) askMedium(ctx context.Context, a Attendant, number int) (string, error) {
	title := fmt.Sprintf("Copy the backups: medium %d of %d", number, mediaNeeded)
	how, err := a.Choose(ctx, Prompt{ID: fmt.Sprintf("copies.how %d", number), Message: Message{Title: title,
		Facts: []Fact{{"Files", fmt.Sprint(len(d.state.copied()))}},
		Text:  []string{"The backups must outlive this laptop. They are age files: whoever finds a stick can open none of them without a quorum."}},
		Question: "What now?"}, []Choice{{"copy", "A medium is plugged in and mounted: copy to it"}, {"none", "Go on without (more) media, as an exception"}})
	if err != nil || how == "none" {
		return noMedium, err
	}
	suggested := ""
	question := "In which folder is it mounted?"
	if d.state.Begun.Rehearsal {
		suggested = filepath.Join(d.dir, filepath.FromSlash(MediaDir), fmt.Sprint(number))
		question = fmt.Sprintf("In which folder is it mounted? (Enter: %s stands for a stick)", suggested)
	}
	where, err := a.Ask(ctx, Prompt{ID: fmt.Sprintf("copies.where %d", number), Enter: suggested, Message: Message{Title: title}, Question: question}, func(answer string) error {
		answer = strings.TrimSpace(answer)
		if answer == "" && suggested != "" {
			return transcript.MakeFolder(suggested)
		}
		return d.fitsMedium(answer)
	})
	if where = strings.TrimSpace(where); where == "" {
		where = suggested
	}
	return where, err
}

// fitsMedium tells why a folder is none that copies can go to.
func (d *Desk) fitsMedium(folder string) error {
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
	if err := unix.Stat(d.dir, &own); err != nil {
		return err
	}
	if there.Dev == own.Dev && !d.state.Begun.Rehearsal {
		return fmt.Errorf("%s is on the same disk as this ceremony, and no medium of its own (hint: mount the stick, and name the folder it is mounted in)", folder)
	}
	for medium := range d.state.onMedia() {
		var other unix.Stat_t
		if unix.Stat(medium, &other) != nil {
			continue // it is out
		}
		// Folders of one disk are one medium, however they are called. In a
		// rehearsal all are on one disk.
		if there.Dev == other.Dev && (there.Ino == other.Ino || !d.state.Begun.Rehearsal) {
			return fmt.Errorf("%s has its copy already, as %s (hint: plug in another medium, and mount it in a folder of another name)", folder, medium)
		}
	}
	return nil
}

// copyTo writes all backups in use to a medium, and reads them after it was
// taken out and put back.
func (d *Desk) copyTo(ctx context.Context, a Attendant, number int, where string) error {
	medium, err := filepath.Abs(where)
	if err != nil {
		return err
	}
	files := d.state.copied()
	list := sumLines(files, BackupsDir+"/")
	folder := filepath.Join(medium, "root-backups-"+digestOf(list)[:8])
	title := fmt.Sprintf("Copy the backups: medium %d of %d", number, mediaNeeded)
	if err := a.Tell(ctx, Message{Title: title, Text: []string{fmt.Sprintf("%d files are written to %s. Do not take the medium out yet.", len(files), folder)}}); err != nil {
		return err
	}
	for _, f := range files {
		text, err := transcript.ReadFile(d.path(f.Name))
		if err != nil {
			return err
		}
		if err := copyFile(filepath.Join(folder, filepath.FromSlash(strings.TrimPrefix(f.Name, BackupsDir+"/"))), text); err != nil {
			return notCopied(medium, err)
		}
	}
	if err := copyFile(filepath.Join(folder, SumsFile), list); err != nil {
		return notCopied(medium, err)
	}
	said := digestOf(sumLines(files, ""))
	if err := d.record(TypeCopiesWritten, "room", CopiesWritten{medium, len(files), said}); err != nil {
		return err
	}
	before, known := mountOf(medium)
	for {
		back, err := a.Choose(ctx, Prompt{ID: fmt.Sprintf("copies.back %d", number), Message: Message{Title: title,
			Text: []string{"What was just written is read from memory, not from the medium. Unmount it, take it out, put it back, and mount it again in the same folder."}},
			Question: "Is it back?"}, []Choice{{"back", "Yes: it was out, and is mounted again"}, {"leave", "Leave it; copy to another medium"}})
		if err != nil || back == "leave" {
			return err
		}
		if now, err := mountOf(medium); errors.Join(known, err) == nil && now == before && !d.state.Begun.Rehearsal {
			if err := a.Tell(ctx, Message{Title: title, Text: []string{"The medium was not unmounted: the system has had it in that folder all the time."}}); err != nil {
				return err
			}
			continue
		}
		if err := compareCopies(folder, d.state.copied(), list); err != nil {
			return err
		}
		return d.record(TypeCopiesRead, "room", CopiesRead{medium, said})
	}
}

func notCopied(medium string, err error) error {
	return fmt.Errorf("the backups were not all written to %s: %w (hint: nothing is lost here; make room on the medium, or take another, and take this task again)", medium, err)
}

// copyFile writes a file that is not there yet, and syncs it and its folder.
// Where these very bytes are there already, nothing is done. A medium with FAT
// knows no rename that replaces nothing: so the file has its name at once, and
// one that was cut short is refused the next time.
func copyFile(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		there, err := transcript.ReadFile(name)
		switch {
		case err != nil:
			return err
		case bytes.Equal(there, text):
			return nil
		case len(there) < len(text) && bytes.HasPrefix(text, there):
			// What a copy that was cut off has left: it goes on.
			return appendFile(name, text[len(there):])
		}
		return fmt.Errorf("%s is there already with another content, and is never replaced", name)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Sync(), file.Close(), syncFolder(filepath.Dir(name)))
}

func appendFile(name string, rest []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(rest)
	return errors.Join(err, file.Sync(), file.Close())
}

func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if errors.Is(err, unix.EINVAL) { // some file systems cannot
		err = nil
	}
	return errors.Join(err, folder.Close())
}

// compareCopies reads the copies and compares them with the record. What the
// system still has of them in memory is dropped first.
func compareCopies(folder string, files []File, list []byte) error {
	for _, f := range append(slices.Clone(files), File{SumsFile, digestOf(list)}) {
		name := filepath.Join(folder, filepath.FromSlash(strings.TrimPrefix(f.Name, BackupsDir+"/")))
		if file, err := os.Open(name); err == nil {
			_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
			_ = file.Close()
		}
		text, err := transcript.ReadFile(name)
		if err != nil {
			return fmt.Errorf("the copy cannot be read back: %w (hint: is the medium mounted in the same folder? else use another medium)", err)
		}
		if digestOf(text) != f.SHA256 {
			return fmt.Errorf("%s on the medium is not what was written (hint: do not use this medium; take another)", name)
		}
	}
	return nil
}

// mountOf names the mount that a folder is in: it changes when a medium is
// unmounted and mounted again. The number that older kernels know (before Linux
// 6.8) is given out again at once, so that nothing can be told by it: an error.
func mountOf(folder string) (uint64, error) {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, folder, 0, unix.STATX_MNT_ID_UNIQUE, &stat)
	if err == nil && stat.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		err = errors.ErrUnsupported
	}
	return stat.Mnt_id, err
}

// withoutMedia goes on with fewer media, as an exception.
func (d *Desk) withoutMedia(ctx context.Context, a Attendant) error {
	have := len(d.state.onMedia())
	title := "Go on with fewer media"
	why, err := a.Ask(ctx, Prompt{ID: "copies.why", Message: Message{Title: title,
		Text: []string{fmt.Sprintf("%d of %d media have the backups. If this laptop breaks before there are more, what is lost cannot be restored.", have, mediaNeeded)}},
		Question: "Why is it safe to go on?"}, notEmpty)
	if err != nil {
		return err
	}
	if err := d.Exception(fmt.Sprintf("the backups on %d media", mediaNeeded), fmt.Sprintf("they are on %d", have), "gone on with: "+why); err != nil {
		return err
	}
	files := d.state.copied()
	return d.record(TypeCopiesWritten, "room", CopiesWritten{noMedium, len(files), digestOf(sumLines(files, ""))})
}
