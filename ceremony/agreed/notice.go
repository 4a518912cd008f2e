package agreed

import (
	"slices"

	"rootceremony/ceremony/record"
	"rootceremony/ceremony/tuf"
)

// NoticeFacts is what a plan knows for a notice before there is a draft.
func (r *Plan) NoticeFacts() record.NoticeFacts {
	facts := record.NoticeFacts{Project: r.Name, Incident: r.Incident, Roles: r.Compromised, Reason: r.Reason, Repin: r.Repins(), Rehearsal: r.Rehearsal,
		New: record.RootFacts{Version: r.Version, Expires: r.Expires, Threshold: r.Threshold, Keys: len(r.Holders)}}
	old := r.TrustedRoot()
	if old == nil {
		return facts
	}
	facts.Old, facts.Counted = RootFacts(old), true
	for _, d := range r.Drops {
		switch d.Reason {
		case Stolen, Compromised:
			facts.Taken++
		case Lost:
			facts.Lost++
		}
		facts.Dropped = append(facts.Dropped, record.DroppedKey{KeyID: d.KeyID, Reason: d.Reason})
	}
	for _, name := range OnlineRoles {
		var ids []string
		for _, key := range r.RoleIn(name).Keys {
			ids = append(ids, key.ID)
		}
		if !slices.Equal(old.Roles[name].KeyIDs, ids) {
			facts.Changed = append(facts.Changed, name)
		}
	}
	return facts
}

// Repins reports whether the root begins a new chain after one that broke, so that
// every client must be moved to it by hand.
func (r *Plan) Repins() bool { return r.Kind == Create && r.Incident != "" }

func RootFacts(root *tuf.Root) record.RootFacts {
	role := root.Roles[tuf.RoleRoot]
	return record.RootFacts{Version: root.Version, Expires: root.Expires, Threshold: role.Threshold, Keys: len(role.KeyIDs)}
}
