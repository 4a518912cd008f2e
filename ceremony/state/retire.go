package state

import (
	"errors"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// RolesOf are the roles of the new root that a dropped key has still, by its
// value: a root key may also be one of targets, for example.
func (s *State) RolesOf(h *Holder) []string {
	was, _ := s.Plan.TrustedRoot().Key(h.Holder.KeyID)
	var roles []string
	for _, name := range tuf.RoleNames {
		for _, id := range s.Root.Roles[name].KeyIDs {
			if key, _ := s.Root.Key(id); key.Value() == was.Value() && !slices.Contains(roles, name) {
				roles = append(roles, name)
			}
		}
	}
	return roles
}

// DropOf is the plan's entry for a dropped key.
func (s *State) DropOf(h *Holder) agreed.Drop {
	i := slices.IndexFunc(s.Plan.Drops, func(d agreed.Drop) bool { return d.ID == h.Holder.ID })
	return s.Plan.Drops[i]
}

func (s *State) retireIntended(e transcript.Event) error {
	var data RetireIntended
	if err := Read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || h.Holder.Custody != agreed.Dropped || h.Retired != nil || h.NotRetired != nil || s.Published == nil || len(s.RolesOf(h)) > 0 {
		return errors.New("nothing is published, or this is no dropped key whose token is to be reset")
	}
	if h.Serial != data.Serial && h.Open == nil && s.HolderOf(data.Serial) == nil {
		h.Serial = 0 // the key may lie on another token too
	}
	_, err := s.intend(e, data.Act, "")
	return err
}

func (s *State) retired(e transcript.Event) error {
	var data TokenRetired
	if err := Read(e, &data); err != nil {
		return err
	}
	if data.Witness == "" || data.Backups == nil && !Unseen(e) {
		return errors.New("it names no witness, or no list of backups")
	}
	h, err := s.close(data.Result, TypeRetireIntended)
	if err != nil {
		return err
	}
	h.Retired, h.Prepared = &data, nil
	return nil
}

func (s *State) notRetired(e transcript.Event) error {
	var data NotRetired
	if err := Read(e, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	if h == nil || h.Holder.Custody != agreed.Dropped || h.Retired != nil || h.NotRetired != nil || s.Published == nil || s.Sealed != nil || data.Why == "" {
		return errors.New("nothing is published, or it is sealed, or this is no dropped key whose token is to be reset")
	}
	h.NotRetired, h.Open = &data, nil
	return nil
}
