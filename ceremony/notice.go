package ceremony

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"rootceremony/ceremony/record"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// NoticeFile is the draft of a notice for users, where an interview writes one:
// the one for now, while the new root is not out.
const NoticeFile = "notice.md"

// noticeName is how the n-th draft beside a plan is called, from 1.
func noticeName(n int) string {
	if n == 1 {
		return NoticeFile
	}
	return fmt.Sprintf("notice-%d.md", n)
}

// noticeFile is the draft of a notice for users for when the root is out. People
// fill its gaps in, so that the log does not vouch for it.
func (s *State) noticeFile() string { return draftFolder(s.Draft.Digest) + "/" + NoticeFile }

// noticed tells whether users must hear of the root: it follows on one that they
// trust, or on a chain that broke.
func (s *State) noticed() bool { return s.Plan.Trusted != nil || s.Plan.Incident != "" }

// noticeFact says where the notice for users is, or will be.
func (d *Desk) noticeFact() ([]Fact, error) {
	if !d.state.noticed() {
		return nil, nil
	}
	earlier, err := d.earlierNotices()
	if err != nil {
		return nil, err
	}
	text := d.state.noticeFile() + ", the draft of a notice"
	if d.state.Published == nil {
		text += ": it is written when the root is published"
		if len(earlier) > 0 {
			text += ", with what was filled into " + noticeName(len(earlier))
		}
	}
	return []Fact{{"For users", text}}, nil
}

// earlierNotices are the drafts beside the plan, in which people may have filled
// gaps, the newest first.
func (d *Desk) earlierNotices() ([][]byte, error) {
	var all [][]byte
	for {
		name := noticeName(len(all) + 1)
		text, err := transcript.ReadFile(d.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			slices.Reverse(all)
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s, a notice for users, cannot be read: %w (hint: what is filled in there is carried over; put it right, or move it away, and take this task again)", name, err)
		}
		all = append(all, text)
	}
}

// writeNotice writes the draft of a notice for users beside the draft of the
// root that is published. One that is there stays: somebody may have worked on it.
func (d *Desk) writeNotice() error {
	if !d.state.noticed() {
		return nil
	}
	earlier, err := d.earlierNotices()
	if err != nil {
		return err
	}
	err = transcript.WriteNew(d.path(d.state.noticeFile()), record.Notice(noticeFacts(d.state), earlier...), 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// noticeFacts is what a ceremony knows for the notice of its published root.
func noticeFacts(s *State) record.NoticeFacts {
	facts := s.Plan.noticeFacts()
	facts.New = rootFacts(s.Root)
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

// noticeFacts is what a plan knows for a notice before there is a draft.
func (r *Resolved) noticeFacts() record.NoticeFacts {
	facts := record.NoticeFacts{Project: r.Name, Incident: r.Incident, Roles: r.Compromised, Reason: r.Reason, Repin: r.repins(), Rehearsal: r.Rehearsal,
		New: record.RootFacts{Version: r.Version, Expires: r.Expires, Threshold: r.Threshold, Keys: len(r.Holders)}}
	old := r.TrustedRoot()
	if old == nil {
		return facts
	}
	facts.Old, facts.Counted = rootFacts(old), true
	for _, d := range r.Drops {
		switch d.Reason {
		case Stolen, Compromised:
			facts.Taken++
		case Lost:
			facts.Lost++
		}
		facts.Dropped = append(facts.Dropped, record.DroppedKey{KeyID: d.KeyID, Reason: d.Reason})
	}
	for _, name := range onlineRoles {
		var ids []string
		for _, key := range r.roleIn(name).Keys {
			ids = append(ids, key.ID)
		}
		if !slices.Equal(old.Roles[name].KeyIDs, ids) {
			facts.Changed = append(facts.Changed, name)
		}
	}
	return facts
}

// repins tells whether the root begins a new chain after one that broke, so that
// every client must be moved to it by hand.
func (r *Resolved) repins() bool { return r.Kind == Create && r.Incident != "" }

func rootFacts(root *tuf.Root) record.RootFacts {
	role := root.Roles[tuf.RoleRoot]
	return record.RootFacts{Version: root.Version, Expires: root.Expires, Threshold: role.Threshold, Keys: len(role.KeyIDs)}
}
