package state

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

func (s *State) rootPublished(e transcript.Event) error {
	var data RootPublished
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Published != nil || s.Draft == nil || data.Digest != s.Draft.Digest {
		return errors.New("a root was published already, or this is not the draft")
	}
	signed, err := s.signedBy(data.KeyIDs)
	if err != nil {
		return err
	}
	for _, report := range s.tally(data.KeyIDs) {
		if !report.Good() {
			return fmt.Errorf("for version %d %d of %d signatures are too few", report.Version, report.Have, report.Need)
		}
	}
	if err := cmp.Or(s.AbandonedOpen(), s.Alarmed()); err != nil {
		return err
	}
	text, err := tuf.Assemble(s.Root, signed, s.Plan.Previous()...)
	if err != nil {
		return err
	}
	for _, f := range data.Kit {
		if !kitName.MatchString(f.Name) {
			return fmt.Errorf("the file %q is no part of the kit", f.Name)
		}
	}
	s.Published = &data
	s.Files = append(s.Files, data.Kit...)
	if t := s.Plan.Trusted; t != nil {
		for _, v := range t.Versions {
			s.Files = append(s.Files, File{RootFile(v.Version), v.SHA256})
		}
	}
	return s.wrote(data.File, Written{RootFile(data.Version), text})
}

func (s *State) sealed(e transcript.Event) error {
	var data Sealed
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Published == nil || s.Sealed != nil {
		return errors.New("nothing is published, or it is sealed already")
	}
	signed, err := s.signedBy(data.KeyIDs)
	if err != nil {
		return err
	}
	s.Sealed, s.SealedAt = &data, e.Seq
	if data.Fuller == nil {
		return nil
	}
	text, err := tuf.Assemble(s.Root, signed, s.Plan.Previous()...)
	if err != nil {
		return err
	}
	return s.wrote(*data.Fuller, Written{FullerFile(s.Draft.Version), text})
}

func (s *State) closed(e transcript.Event) error {
	var data Closed
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Sealed == nil {
		return errors.New("it is not sealed")
	}
	note := s.ClosingNote()
	if (data.Checkpoint == nil) != (note == nil) {
		return errors.New("it names a signed checkpoint of the seal and there is none, or the other way round")
	}
	if note != nil {
		if err := s.wrote(*data.Checkpoint, *note); err != nil {
			return err
		}
	}
	s.Closed = &data
	return s.wrote(data.Sums, s.Sums())
}

// NoticeFile is the draft of a notice for users for when the root is out. People
// fill its gaps in, so that the log does not vouch for it.
func (s *State) NoticeFile() string { return DraftFolder(s.Draft.Digest) + "/" + NoticeFile }

// Noticed reports whether users must hear of the root: it follows on one that they
// trust, or on a chain that broke.
func (s *State) Noticed() bool { return s.Plan.Trusted != nil || s.Plan.Incident != "" }

// SumsFile is the list of what was published, in the format of sha256sum.
const SumsFile = "SHA256SUMS"

// RootFile and fullerFile are where roots are published. The fuller one has
// the signatures that came after the first was published.
func RootFile(version int64) string { return fmt.Sprintf("%s/%d.root.json", PublishDir, version) }

func FullerFile(version int64) string {
	return fmt.Sprintf("%s/fuller/%d.root.json", PublishDir, version)
}

// kitName is how the files of the trust kit are called.
var kitName = regexp.MustCompile(`^publish/trust/[A-Za-z][A-Za-z0-9.]*$`)

// published are the files in publish, but for the list of them.
func (s *State) PublishedFiles() []File {
	var files []File
	if t := s.Plan.Trusted; t != nil {
		for _, v := range t.Versions {
			files = append(files, File{RootFile(v.Version), v.SHA256})
		}
	}
	files = append(files, s.Published.File)
	files = append(files, s.Published.Kit...)
	if s.Sealed.Fuller != nil {
		files = append(files, *s.Sealed.Fuller)
	}
	if note := s.ClosingNote(); note != nil {
		files = append(files, note.File())
	}
	return files
}

// Sums lists what is published in the format of sha256sum.
func (s *State) Sums() Written {
	return Written{PublishDir + "/" + SumsFile, SumLines(s.PublishedFiles(), PublishDir+"/")}
}

// RootFile is the root with the signatures of these keys, as a file.
func (s *State) RootFile(name string, keyIDs []string) (Written, error) {
	signed, err := s.signedBy(keyIDs)
	if err != nil {
		return Written{}, err
	}
	text, err := tuf.Assemble(s.Root, signed, s.Plan.Previous()...)
	return Written{name, text}, err
}

// NoticeFile is the draft of a notice for users, where an interview writes one:
// the one for now, while the new root is not out.
const NoticeFile = "notice.md"
