package agreed

import (
	"fmt"
	"slices"
	"time"

	"rootceremony/ceremony/tuf"
)

// TargetsCheck is what `check` says of the targets that holders sign.
type TargetsCheck struct {
	Expires string         `json:"expires"`
	Days    int            `json:"days"`
	Holders []TargetsKey   `json:"holders"`          // of the targets role
	Leaves  []TargetsKey   `json:"leaves"`           // keys of the trusted root's targets role that don't stay
	Custody Custody        `json:"custody"`          // of the targets role
	Budget  *TargetsBudget `json:"budget,omitempty"` // nil: the file that it carries isn't here
	Signs   []string       `json:"signs"`            // who signs which paths, in the order in which clients ask

	notes, warnings []string
}

// TargetsKey is a targets key by whose it is.
type TargetsKey struct {
	Name  string `json:"name"`
	KeyID string `json:"keyid,omitempty"` // empty: it is still to be made
}

// Most of what people are shown of delegations.
const (
	shownDelegations = 100
	shownPaths       = 12
)

// targetsCheck looks at the targets of an agreed plan; nil where nobody signs any.
func (r *Plan) targetsCheck(now time.Time) *TargetsCheck {
	t := r.Targets
	if t == nil {
		return nil
	}
	role := r.Roles[tuf.RoleTargets]
	c := &TargetsCheck{
		Expires: Stamp(t.Expires), Days: daysUntil(t.Expires, now),
		Custody: r.ofTargets().Custody(), Budget: r.TargetsBudget(), Leaves: r.targetsLeave(), Signs: []string{},
	}
	for _, h := range r.Holders {
		if slices.Contains(role.Holders, h.ID) {
			c.Holders = append(c.Holders, TargetsKey{h.Name, h.TargetsKeyID})
		}
	}
	c.warnings = append(expiryWarnings("targets metadata", c.Days), r.fileWarnings()...)
	c.notes = r.fileLines()
	outline := r.TargetsOutline()
	if outline == nil {
		c.Signs = append(c.Signs, "the targets file isn't here, so nothing is said of the paths that it delegates, nor of its size")
		return c
	}
	names := r.targetsNames()
	c.Signs = append(c.Signs, fmt.Sprintf("role targets: %s, for every path; asked first", anyOf(role.Threshold, r.signerNames(role.Holders), "holders")))
	shadows := outline.Delegations.Shadows()
	c.Signs = append(c.Signs, delegationLines(outline.Delegations, names, shadows)...)
	c.warnings = append(c.warnings, shadowWarnings(shadows)...)
	return c
}

// targetsLeave are the keys of the trusted root's targets role that the new one leaves
// out.
func (r *Plan) targetsLeave() []TargetsKey {
	leave := []TargetsKey{}
	if r.Trusted == nil {
		return leave
	}
	stays := map[string]bool{}
	root, old := r.Outline(), r.TrustedRoot()
	for _, id := range root.Roles[tuf.RoleTargets].KeyIDs {
		stays[ValueOf(root, id)] = true
	}
	for _, id := range old.Roles[tuf.RoleTargets].KeyIDs {
		if value := ValueOf(old, id); !stays[value] {
			leave = append(leave, TargetsKey{r.whoseTargets(value, id), id})
		}
	}
	return leave
}

// whoseTargets is whose a key of the trusted root's targets role is, as far as the plan
// says.
func (r *Plan) whoseTargets(value, id string) string {
	old := r.TrustedRoot()
	for _, d := range r.Drops {
		if ValueOf(old, d.KeyID) == value || d.TargetsKeyID == id {
			return fmt.Sprintf("%s, %s", d.key(), d.Reason)
		}
	}
	for _, h := range r.Holders {
		if h.KeyID != "" && ValueOf(old, h.KeyID) == value {
			return h.Name + ", whose root key it stays"
		}
	}
	return "nobody's in this plan"
}

// signerNames are holders by their names.
func (r *Plan) signerNames(ids []string) []string {
	var names []string
	for _, h := range r.Holders {
		if slices.Contains(ids, h.ID) {
			names = append(names, h.Name)
		}
	}
	return names
}

// delegationLines are the delegations as a list: who, for which paths, and what is
// shadowed.
func delegationLines(d *tuf.Delegations, names map[string]string, shadows []tuf.Shadow) []string {
	if d == nil {
		return []string{"no delegations: nobody else signs for any path"}
	}
	if s := d.Succinct; s != nil {
		return []string{fmt.Sprintf("succinct roles %s: %s, for every path by its SHA-256, in 2^%d bins", shownText(s.NamePrefix), anyOf(s.Threshold, keyNames(s.KeyIDs, names), "keys"), s.BitLength)}
	}
	by := map[[2]string]string{}
	for _, s := range shadows {
		by[[2]string{s.Role, s.Path}] = s.By
	}
	var lines []string
	for i, role := range d.Roles {
		if i == shownDelegations {
			lines = append(lines, fmt.Sprintf("and %d more delegations", len(d.Roles)-i))
			break
		}
		line := fmt.Sprintf("%d. role %s: %s", i+1, shownText(role.Name), anyOf(role.Threshold, keyNames(role.KeyIDs, names), "keys"))
		if role.Terminating {
			line += "; terminating: nobody after it is asked for its paths"
		}
		lines = append(lines, line)
		scopes := role.Scopes()
		for n, scope := range scopes {
			if n == shownPaths && len(scopes) > n+1 {
				lines = append(lines, fmt.Sprintf("   and %d more", len(scopes)-n))
				break
			}
			line := "   " + scope
			if who := by[[2]string{role.Name, scope}]; who != "" {
				line += fmt.Sprintf(": SHADOWED by the terminating delegation to %s: nobody asks this role", shownText(who))
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// keyNames are keys by whose they are.
func keyNames(ids []string, names map[string]string) []string {
	var all []string
	for _, id := range ids {
		name := names[id]
		if name == "" {
			name = fmt.Sprintf("key %.8s", id)
		}
		all = append(all, shownText(name))
	}
	return all
}

// shownText is a text of a targets file as it can be shown.
func shownText(s string) string {
	if CheckShown(s, 1024) != nil {
		return fmt.Sprintf("%q", clipped(s))
	}
	return s
}

// shadowWarnings names the delegations of which a terminating one before them leaves
// nothing, or not all.
func shadowWarnings(shadows []tuf.Shadow) []string {
	var warnings []string
	paths, order := map[[2]string][]string{}, [][2]string{}
	for _, s := range shadows {
		pair := [2]string{s.Role, s.By}
		if paths[pair] == nil {
			order = append(order, pair)
		}
		paths[pair] = append(paths[pair], s.Path)
	}
	for i, pair := range order {
		if i == shownPaths {
			return append(warnings, fmt.Sprintf("and so %d more delegations", len(order)-i))
		}
		warnings = append(warnings, fmt.Sprintf("nobody asks the role %s for %s: the delegation to %s comes before, is terminating and covers all of it (hint: the other order, or no terminating)",
			shownText(pair[0]), Counted(paths[pair], "and", "paths"), shownText(pair[1])))
	}
	return warnings
}

// fileLines say which file is carried over.
func (r *Plan) fileLines() []string {
	f := r.Targets.File
	if f == nil {
		return []string{"it carries no targets file over: it lists no target files"}
	}
	lines := []string{
		fmt.Sprintf("it carries over version %d byte for byte: %d target %s, a file of %d bytes", f.Version, f.Targets, plural("file", f.Targets), f.Length),
		"the SHA-256 of that file is " + Grouped(f.SHA256),
	}
	if f.Signed && r.Trusted != nil {
		lines = append(lines, fmt.Sprintf("that is signed by enough targets keys of root version %d", r.TrustedRoot().Version))
	}
	if f.Delegations {
		lines = append(lines, "its delegations stay as they are")
	} else if r.CarriedFile != nil && delegates(r.CarriedFile) {
		lines = append(lines, "its delegations go: those of this plan are in their place")
	}
	return append(lines, "whether a newer one was published, this laptop cannot know: look where it is published")
}

// fileWarnings say loudly what nobody vouches for.
func (r *Plan) fileWarnings() []string {
	f := r.Targets.File
	const compare = " (hint: compare its SHA-256 with that of the file where it is published, or was made)"
	switch {
	case f == nil && r.Trusted != nil:
		return []string{"NO TARGETS FILE IS CARRIED OVER: clients that have targets of this project see version 1 without a target file, and refuse it where they have a higher version (hint: file = ... in [targets], with the newest one that is published)"}
	case f == nil:
		return nil
	case !f.Signed:
		return []string{"NOBODY HAS SIGNED THE TARGETS FILE: what it lists becomes what holders sign, on the word of that file alone" + compare}
	case r.Trusted == nil:
		return []string{"NOBODY HERE CAN TELL WHO SIGNED THE TARGETS FILE: with no root before this one, its signatures say nothing" + compare}
	}
	return nil
}

// lines says the check of targets to people.
func (c *TargetsCheck) lines(r *Plan) []string {
	role := r.Roles[tuf.RoleTargets]
	all := append([]string{
		fmt.Sprintf("version %d, signed by %d of %d holders: %s", r.Targets.Version, role.Threshold, len(role.Holders), Counted(r.signerNames(role.Holders), "and", "holders")),
		fmt.Sprintf("expires %s, in %d days", r.Targets.Expires.Format("2006-01-02 15:04:05 UTC"), c.Days),
	}, c.notes...)
	if made := r.targetsMakers(); len(made) > 0 {
		all = append(all, fmt.Sprintf("new targets keys, %s, are made by %s", r.Targets.Algorithm, Counted(made, "and", "holders")))
	}
	for _, k := range c.Leaves {
		all = append(all, fmt.Sprintf("the key %.8s leaves targets: it is %s", k.KeyID, k.Name))
	}
	return append(section("targets:", all), section("who signs which paths:", c.Signs)...)
}

// targetsMakers are the names of those whose targets key is still to be made.
func (r *Plan) targetsMakers() []string {
	var names []string
	for _, h := range r.Holders {
		if r.makesTargetsKey(h) {
			names = append(names, h.Name)
		}
	}
	return names
}

// savedTargets are the names of those whose targets key is backed up.
func (r *Plan) savedTargets() []string {
	var names []string
	for _, h := range r.Holders {
		if h.Custody == BackedUp && r.makesTargetsKey(h) {
			names = append(names, h.Name)
		}
	}
	return names
}

// targetsCome says which targets key a holder comes for.
func (r *Plan) targetsCome(h Holder) string {
	switch {
	case !r.signsTargets(h.ID):
		return ""
	case h.TargetsKeyID == "":
		return ", and makes a targets key"
	case h.TargetsKeyID == h.KeyID:
		return ", which signs targets too"
	}
	return fmt.Sprintf(", and the targets key %.8s", h.TargetsKeyID)
}

// targetsRefusals says which clients are known not to take the delegations as they are
// meant.
func (r *Plan) targetsRefusals() []string {
	t := r.TargetsOutline()
	if t == nil {
		return nil
	}
	var before *tuf.Targets
	if r.CarriedFile != nil {
		before = r.CarriedFile.Targets
	}
	var lines []string
	for _, refusal := range tuf.TargetsRefusals(t, before) {
		lines = append(lines, refusal.String())
	}
	return lines
}
