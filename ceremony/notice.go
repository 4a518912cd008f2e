package ceremony

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/record"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// NoticeName is how the n-th draft beside a plan is called, from 1.
func NoticeName(n int) string {
	if n == 1 {
		return state.NoticeFile
	}
	return fmt.Sprintf("notice-%d.md", n)
}

// noticeFact says where the notice for users is, or will be.
func (d *Desk) noticeFact() ([]prompt.Fact, error) {
	if !d.State().Noticed() {
		return nil, nil
	}
	earlier, err := d.earlierNotices()
	if err != nil {
		return nil, err
	}
	text := d.State().NoticeFile() + ", the draft of a notice"
	if d.State().Published == nil {
		text += ": it is written when the root is published"
		if len(earlier) > 0 {
			text += ", with what was filled into " + NoticeName(len(earlier))
		}
	}
	return []prompt.Fact{{Label: "For users", Value: text}}, nil
}

// earlierNotices are the drafts beside the plan, in which people may have filled
// gaps, the newest first.
func (d *Desk) earlierNotices() ([][]byte, error) {
	var all [][]byte
	for {
		name := NoticeName(len(all) + 1)
		text, err := transcript.ReadFile(d.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			slices.Reverse(all)
			return all, nil
		}
		if err != nil {
			fact, _, _ := strings.Cut(err.Error(), " (hint: ") // the one hint says what to do about a notice
			return nil, fmt.Errorf("%s, a notice for users, cannot be read: %s (hint: what is filled in there is carried over; put it right, or move it away, and take this task again)", name, fact)
		}
		all = append(all, text)
	}
}

// writeNotice writes the draft of a notice for users beside the draft of the
// root that is published. One that is there stays: somebody may have worked on it.
func (d *Desk) writeNotice() error {
	if !d.State().Noticed() {
		return nil
	}
	earlier, err := d.earlierNotices()
	if err != nil {
		return err
	}
	err = disk.WriteNew(d.path(d.State().NoticeFile()), record.Notice(noticeFacts(d.State()), earlier...), 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// noticeFacts is what a ceremony knows for the notice of its published root.
func noticeFacts(s *state.State) record.NoticeFacts {
	facts := s.Plan.NoticeFacts()
	facts.New = agreed.RootFacts(s.Root)
	facts.Digest, _ = hex.DecodeString(s.Draft.Digest)
	facts.File, _ = hex.DecodeString(s.Published.File.SHA256)
	old := s.Plan.TrustedRoot()
	if old == nil {
		return facts
	}
	for _, id := range s.Root.Roles[tuf.RoleRoot].KeyIDs {
		if !slices.Contains(old.Roles[tuf.RoleRoot].KeyIDs, id) {
			facts.Added = append(facts.Added, id)
		}
	}
	return facts
}
