package agreed

import (
	"fmt"
	"slices"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Draft makes the root that the ceremony signs, from the new root key of every
// holder, by holder's id, whose key does not stay. expires is the plan's own time, except in a rehearsal,
// whose roots expire sooner and carry x-rehearsal.
func (r *Plan) Draft(rootKeys map[string]keys.PublicKey, expires time.Time) (*tuf.Root, error) {
	if !r.Rehearsal && !expires.Equal(r.Expires) {
		return nil, fmt.Errorf("draft: expires %s is not what the plan says: %s", Stamp(expires), Stamp(r.Expires))
	}
	for id := range rootKeys {
		if !slices.ContainsFunc(r.Holders, func(h Holder) bool { return h.ID == id }) {
			return nil, fmt.Errorf("draft: a key of %q, who is no holder of this plan", id)
		}
	}
	root, err := r.assemble(rootKeys, nil, expires)
	if err != nil {
		return nil, fmt.Errorf("draft: %w", err)
	}
	if err := root.Check(r.Previous()...); err != nil {
		return nil, fmt.Errorf("draft: %w", err)
	}
	if n, limit := len(root.Canonical()), r.Budget().Limit; n > limit {
		return nil, fmt.Errorf("draft: %d bytes to sign, over %d", n, limit)
	}
	return root, nil
}

// assemble puts a root together without looking whether it may be signed. What
// the plan says nothing of stays as it is in the trusted root, byte for byte.
func (r *Plan) assemble(rootKeys, targetsKeys map[string]keys.PublicKey, expires time.Time) (*tuf.Root, error) {
	root, old := &tuf.Root{Version: r.Version, SpecVersion: tuf.SpecVersion}, &tuf.Root{}
	if r.Trusted != nil {
		old = r.TrustedFile.Root
		root = old.Next()
	}
	root.Expires, root.ConsistentSnapshot = expires.UTC(), r.ConsistentSnapshot
	root.SetRehearsal(r.Rehearsal)
	pool := root.Keys
	root.Keys, root.Roles = nil, map[string]tuf.Role{}
	owner := map[string]string{} // by the value of the key: whose it is
	for _, name := range OnlineRoles {
		role, changed := r.Roles[name]
		root.Roles[name] = old.Roles[name]
		if changed && role.Holders != nil {
			fresh, ids, err := r.targetsRole(old, targetsKeys)
			if err != nil {
				return nil, err
			}
			root.Roles[name] = tuf.Role{Threshold: role.Threshold, KeyIDs: ids, Extra: old.Roles[name].Extra}
			pool = append(pool, fresh...)
		} else if changed {
			root.Roles[name] = tuf.Role{Threshold: role.Threshold, KeyIDs: carriedIDs(old, role.Keys), Extra: old.Roles[name].Extra}
			pool = append(pool, role.Keys...)
		}
	}
	role := tuf.Role{Threshold: r.Threshold, Extra: old.Roles[tuf.RoleRoot].Extra}
	for _, id := range old.Roles[tuf.RoleRoot].KeyIDs {
		if i := slices.IndexFunc(r.Holders, func(h Holder) bool { return h.KeyID == id }); i >= 0 {
			role.KeyIDs = append(role.KeyIDs, id)
		}
		key, _ := old.Key(id)
		owner[key.Value()] = fmt.Sprintf("the trusted root (%.8s)", id)
	}
	for _, name := range OnlineRoles {
		for _, id := range root.Roles[name].KeyIDs {
			if i := slices.IndexFunc(pool, func(k tuf.Key) bool { return k.ID == id }); i >= 0 {
				owner[pool[i].Value()] = "role " + name
			}
		}
	}
	for _, h := range r.Holders {
		if h.Custody == Existing {
			continue
		}
		public, ok := rootKeys[h.ID]
		if !ok {
			return nil, fmt.Errorf("the key of %s is missing", h.Name)
		}
		if public.Algorithm != r.Token.Algorithm {
			return nil, fmt.Errorf("the key of %s is %s, but the plan says %s", h.Name, public.Algorithm, r.Token.Algorithm)
		}
		key, err := r.TrustedRoot().Notation().NewKey(public)
		if err != nil {
			return nil, fmt.Errorf("the key of %s: %w", h.Name, err)
		}
		if other := owner[key.Value()]; other != "" {
			return nil, fmt.Errorf("the key of %s is also that of %s", h.Name, other)
		}
		owner[key.Value()] = h.Name
		pool = append(pool, key)
		role.KeyIDs = append(role.KeyIDs, key.ID)
	}
	root.Roles[tuf.RoleRoot] = role
	// Of all keys, those that a role uses, once each.
	for _, k := range pool {
		used := slices.ContainsFunc(tuf.RoleNames, func(name string) bool { return slices.Contains(root.Roles[name].KeyIDs, k.ID) })
		if _, there := root.Key(k.ID); used && !there {
			root.Keys = append(root.Keys, k)
		}
	}
	return root, nil
}

// carriedIDs are the ids of keys in a root that follows old: a key that old has
// keeps its id, whatever notation of it the plan names.
func carriedIDs(old *tuf.Root, named []tuf.Key) []string {
	var ids []string
	for _, k := range named {
		id := k.ID
		if i := slices.IndexFunc(old.Keys, func(o tuf.Key) bool { return o.Value() == k.Value() }); i >= 0 {
			id = old.Keys[i].ID
		}
		ids = append(ids, id)
	}
	return ids
}

// RoleIn is an online role as it will be: as planned, or as in the trusted root.
func (r *Plan) RoleIn(name string) Role {
	if role, changed := r.Roles[name]; changed || r.Trusted == nil {
		return role
	}
	old := r.TrustedFile.Root
	role := Role{Threshold: old.Roles[name].Threshold}
	for _, id := range old.Roles[name].KeyIDs {
		key, _ := old.Key(id)
		role.Keys = append(role.Keys, key)
	}
	return role
}

// Names returns names by key id: the holders' of their root keys, and what is
// known of those whose keys are dropped. Keys that cannot be in a root have no
// id and are left out.
func (r *Plan) Names(rootKeys map[string]keys.PublicKey) map[string]string {
	names := map[string]string{}
	for _, d := range r.Drops {
		if d.Name != "" {
			names[d.KeyID] = d.Name
		}
	}
	for _, h := range r.Holders {
		if h.Custody == Existing {
			names[h.KeyID] = h.Name
		} else if key, err := r.TrustedRoot().Notation().NewKey(rootKeys[h.ID]); err == nil {
			names[key.ID] = h.Name
		}
	}
	return names
}
