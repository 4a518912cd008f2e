package ceremony

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"

	"rootceremony/ceremony/record"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// noticeFile is the draft of a notice for users about the live draft. People
// fill its gaps in, so that the log does not vouch for it.
func (s *State) noticeFile() string { return draftFolder(s.Draft.Digest) + "/notice.md" }

// noticed tells whether users must hear of the root: it follows on one that they
// trust, or on a chain that broke.
func (s *State) noticed() bool { return s.Plan.Trusted != nil || s.Plan.Incident != "" }

// writeNotice writes the draft of a notice for users beside the draft of the
// root. One that is there stays: somebody may have worked on it.
func (d *Desk) writeNotice() error {
	if !d.state.noticed() {
		return nil
	}
	err := transcript.WriteNew(d.path(d.state.noticeFile()), record.Notice(d.state.noticeFacts()), 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// noticeFacts is what a ceremony knows for the notice of its live draft.
func (s *State) noticeFacts() record.NoticeFacts {
	facts := s.Plan.noticeFacts()
	facts.New = rootFacts(s.Root)
	facts.Digest, _ = hex.DecodeString(s.Draft.Digest)
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
	facts.Old = rootFacts(old)
	for _, d := range r.Drops {
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
