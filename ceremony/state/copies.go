package state

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

func (s *State) copiesWritten(e transcript.Event) error {
	var data CopiesWritten
	if err := Read(e, &data); err != nil {
		return err
	}
	if Unseen(e) && s.Plan.Backup != nil {
		return nil
	}
	if files := s.Copied(); data.List != agreed.DigestOf(SumLines(files, "")) || data.Files != len(files) {
		return errors.New("the list of files is not that of the backups")
	}
	without := data.Medium == NoMedium && data.MediumID == ""
	if !without && !MediumForm.MatchString(data.MediumID) {
		return fmt.Errorf("the medium %s has no id", data.Medium)
	}
	if without && s.Previous != TypeException {
		return errors.New("to go on without media is an exception, and none was recorded just before")
	}
	s.written[data.MediumID] = &data
	return nil
}

func (s *State) copiesRead(e transcript.Event) error {
	var data CopiesRead
	if err := Read(e, &data); err != nil {
		return err
	}
	if Unseen(e) && s.Plan.Backup != nil {
		return nil
	}
	if w := s.written[data.MediumID]; w == nil || data.MediumID == "" || w.Medium != data.Medium || w.List != data.List || w.List != agreed.DigestOf(SumLines(s.Copied(), "")) {
		return errors.New("nothing like it was written to that medium")
	}
	s.Copies = append(s.Copies, &data)
	return nil
}

// Copied are the files that copies are made of: all backups in use, in order.
func (s *State) Copied() []File {
	var files []File
	for _, h := range s.Plan.Holders {
		state := s.Holders[h.ID]
		for _, what := range []string{keys.BackupKey, keys.BackupToken} {
			if b := state.Backup(what); b != nil {
				files = append(files, b.Files...)
			}
		}
		if state.Spare != nil {
			if b := state.Spare.Backup(keys.BackupToken); b != nil {
				files = append(files, b.Files...)
			}
		}
	}
	return files
}

// SumLines lists files in the format of sha256sum, by their names below a
// folder.
func SumLines(files []File, folder string) []byte {
	var text []byte
	for _, f := range files {
		text = fmt.Appendf(text, "%s  %s\n", f.SHA256, strings.TrimPrefix(f.Name, folder))
	}
	return text
}

// MediaNeeded is on how many removable media the backups are to lie before
// anything is signed.
const MediaNeeded = 2

var MediumForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// OnMedia are the folders of the media that have all backups in use, by the id
// of the medium.
func (s *State) OnMedia() map[string]string {
	list := agreed.DigestOf(SumLines(s.Copied(), ""))
	media := map[string]string{}
	for _, c := range s.Copies {
		if c.List == list {
			media[c.MediumID] = c.Medium
		}
	}
	return media
}

// NoMedium stands, in an event, for the copies that are done without. It has no
// id.
const NoMedium = "none"

func (s *State) CopiedEnough() bool {
	without := s.written[""]
	return len(s.OnMedia()) >= MediaNeeded || without != nil && without.List == agreed.DigestOf(SumLines(s.Copied(), ""))
}
