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

func (s *State) noticeFacts() record.NoticeFacts {
	old, root := s.Plan.TrustedRoot(), s.Root
	digest, _ := hex.DecodeString(s.Draft.Digest)
	facts := record.NoticeFacts{Project: s.Plan.Name, Incident: s.Plan.Incident, Roles: s.Plan.Compromised, Reason: s.Plan.Reason,
		New: rootFacts(root), Digest: digest, Repin: s.Plan.repins(), Rehearsal: s.Plan.Rehearsal}
	if old == nil {
		return facts
	}
	facts.Old = rootFacts(old)
	for _, d := range s.Plan.Drops {
		facts.Dropped = append(facts.Dropped, record.DroppedKey{KeyID: d.KeyID, Reason: d.Reason})
	}
	for _, id := range root.Roles[tuf.RoleRoot].KeyIDs {
		if !slices.Contains(old.Roles[tuf.RoleRoot].KeyIDs, id) {
			facts.Added = append(facts.Added, id)
		}
	}
	for _, name := range onlineRoles {
		if !slices.Equal(old.Roles[name].KeyIDs, root.Roles[name].KeyIDs) {
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
