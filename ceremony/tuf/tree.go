package tuf

import "fmt"

// maxTree is how many lines of a tree people are shown.
const maxTree = 2000

// Lines shows who signs for which paths: the role root, targets, and below each role
// those to which it delegates, in the order in which it has them asked, with the paths
// that a terminating delegation before them shadows. What stands below a role is shown
// once. Names are holders' names by the value of their key.
func (t Tree) Lines(names map[string]string) []string {
	lines := []string{
		fmt.Sprintf("root version %d: %s", t.Root.Version, mustSign(t.Root.Roles[RoleRoot], t.Root.Keys, names)),
		"role targets: " + mustSign(t.Root.Roles[RoleTargets], t.Root.Keys, names),
	}
	effort := comparing
	shown := map[*Targets]bool{}
	var below func(of *Targets, indent string)
	below = func(of *Targets, indent string) {
		switch {
		case of == nil:
			lines = append(lines, indent+"no metadata of it that its keys have signed is here: the roles to which it delegates aren't known")
			return
		case shown[of]:
			lines = append(lines, indent+"shown above")
			return
		}
		shown[of] = true
		lines = append(lines, fmt.Sprintf("%sversion %d, %s", indent, of.Version, counted(len(of.Targets), "target file")))
		d := of.Delegations
		if d == nil {
			return
		}
		if s := d.Succinct; s != nil {
			lines = append(lines, fmt.Sprintf("%s%d bins %s-..., each for the paths whose SHA-256 begins with its number: %s", indent, uint64(1)<<s.BitLength, printable(s.NamePrefix), mustSign(s.Role, d.Keys, names)))
			return
		}
		var before []terminal
		for i := range min(len(d.Roles), longDelegations) {
			if len(lines) > maxTree {
				return
			}
			role := &d.Roles[i]
			all := role.scopes()
			var scopes []string
			for _, s := range all {
				text := s.String()
				if by := shadowing(before, s, &effort); by != "" {
					text += " (SHADOWED by " + printable(by) + ": nobody asks it)"
				}
				scopes = append(scopes, text)
			}
			line := fmt.Sprintf("%s%d. role %s: %s; for %s", indent, i+1, printable(role.Name), mustSign(role.Role, d.Keys, names), join(scopes, "and"))
			if role.Terminating {
				line += "; terminating"
				before = append(before, terminal{role.Name, all})
			}
			lines = append(lines, line)
			below(t.metadata(of, role.Name), indent+"   ")
		}
		lines = appendMore(lines, indent, len(d.Roles)-longDelegations, "delegations")
	}
	below(t.Targets, "  ")
	if len(lines) > maxTree {
		lines = append(lines[:maxTree], "and more: the tree has too many roles to show")
	}
	return lines
}
