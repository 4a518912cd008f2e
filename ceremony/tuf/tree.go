package tuf

import (
	"fmt"
)

// Lines shows who signs for which paths: the role root, targets, and below each role
// those to which it delegates, in the order in which clients ask them. A role is shown
// once, where it is asked first. Names are holders' names by key id.
func (t Tree) Lines(names map[string]string) []string {
	people := func(r Role) string {
		var list []string
		for _, id := range r.KeyIDs {
			list = append(list, who(id, names))
		}
		return fmt.Sprintf("%d of %d must sign: %s", r.Threshold, len(r.KeyIDs), join(list, "and"))
	}
	lines := []string{
		fmt.Sprintf("root version %d: %s", t.Root.Version, people(t.Root.Roles[RoleRoot])),
		"role targets: " + people(t.Root.Roles[RoleTargets]),
	}
	shown := map[string]bool{RoleTargets: true}
	var below func(of *Targets, indent string)
	below = func(of *Targets, indent string) {
		if of == nil {
			lines = append(lines, indent+"its metadata isn't here: the roles to which it delegates aren't known")
			return
		}
		lines = append(lines, fmt.Sprintf("%sversion %d, %s", indent, of.Version, counted(len(of.Targets), "target file")))
		d := of.Delegations
		if d == nil {
			return
		}
		if s := d.Succinct; s != nil {
			lines = append(lines, fmt.Sprintf("%s%d bins %s-..., each for the paths whose SHA-256 begins with its number: %s", indent, uint64(1)<<s.BitLength, printable(s.NamePrefix), people(s.Role)))
			return
		}
		for i := range min(len(d.Roles), longDelegations) {
			role := &d.Roles[i]
			var scopes []string
			for _, s := range role.scopes() {
				scopes = append(scopes, s.String())
			}
			line := fmt.Sprintf("%s%d. role %s: %s; for %s", indent, i+1, printable(role.Name), people(role.Role), join(scopes, "and"))
			if role.Terminating {
				line += "; terminating"
			}
			if shown[role.Name] {
				lines = append(lines, line+"; shown above")
				continue
			}
			shown[role.Name] = true
			lines = append(lines, line)
			below(t.Delegated[role.Name], indent+"   ")
		}
		lines = appendMore(lines, indent, len(d.Roles)-longDelegations, "delegations")
	}
	below(t.Targets, "  ")
	return lines
}
