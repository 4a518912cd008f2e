package tuf

import (
	"fmt"
	"strings"
	"time"
)

// longDelegations is how many delegations people are shown: more than people sign for.
const longDelegations = 100

// ShowTargets describes the targets metadata of a role to people, line by line, as Show
// does a root: the delegations in the order in which clients ask them, with the paths
// that a terminating one before them shadows. A role of "" isn't known. Whether the signatures are enough is said by
// the Reports, as who must sign stands elsewhere. Names are holders' names by key id.
func ShowTargets(f *TargetsFile, role string, at time.Time, names map[string]string) []string {
	t, expires := f.Targets, "expires"
	if !t.Expires.After(at) {
		expires = "EXPIRED"
	}
	title := fmt.Sprintf("targets version %d, of a role that the file doesn't name", t.Version)
	if role != "" {
		title = fmt.Sprintf("role %s: targets version %d", printable(role), t.Version)
	}
	lines := []string{
		title,
		fmt.Sprintf("%s %s, %s", expires, date(t.Expires), when(t.Expires, at)),
		fmt.Sprintf("spec_version %s", printable(t.SpecVersion)),
	}
	if soon := Soon(t.Expires, at); soon != "" && !t.Rehearsal() {
		lines = append(lines, soon)
	}
	if t.Rehearsal() {
		lines = append(lines, "REHEARSAL: not for production")
	}
	lines = append(lines, counted(len(t.Targets), "target file"))
	files, more := few(t.Targets)
	for _, file := range files {
		lines = append(lines, "  "+file.text())
	}
	lines = appendMore(lines, "  ", more, "target files")
	if t.Delegations == nil {
		lines = append(lines, "no delegations")
	} else {
		lines = appendDelegations(lines, t.Delegations, names)
	}
	lines = appendUnknown(lines, "", "", t.Extra)
	signed := "no signatures"
	if len(f.Signatures) > 0 {
		var by []string
		for _, s := range f.Signatures {
			by = append(by, who(s.KeyID, names))
		}
		signed = counted(len(by), "signature") + ", not checked here: " + join(by, "and")
	}
	lines = append(lines, signed)
	lines = appendUnknown(lines, "", ", which nobody has signed", f.Extra)
	for _, note := range Notes(f.Findings) {
		lines = append(lines, "note: "+note)
	}
	return lines
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// text is a target file in a line.
func (t Target) text() string {
	s := fmt.Sprintf("%s: %s", printable(t.Path), counted(int(t.Length), "byte"))
	for _, h := range t.Hashes() {
		s += fmt.Sprintf(", %s %s", printable(h.Name), short(strings.Trim(h.Value, `"`)))
	}
	return printable(s)
}

func appendDelegations(lines []string, d *Delegations, names map[string]string) []string {
	roles := d.roles()
	if d.Succinct != nil {
		s := d.Succinct
		last := fmt.Sprintf("%x", uint64(1)<<s.BitLength-1)
		lines = append(lines, fmt.Sprintf("succinct roles: %d bins by the SHA-256 of the path, %s to %s", uint64(1)<<s.BitLength,
			printable(s.NamePrefix+"-"+strings.Repeat("0", len(last))), printable(s.NamePrefix+"-"+last)))
	} else {
		lines = append(lines, counted(len(roles), "delegation")+", asked in this order")
	}
	keys, described := keysByID(d.Keys), map[string]bool{}
	effort := comparing
	var before []terminal
	for i := range min(len(roles), longDelegations) {
		role := &roles[i]
		all := role.scopes()
		terminating := ""
		if role.Terminating {
			terminating = ", terminating: nobody after it is asked for its paths"
		}
		lines = append(lines, fmt.Sprintf("  %d. role %s: %d of %d must sign%s", i+1, printable(role.Name), role.Threshold, len(role.KeyIDs), terminating))
		scopes, more := few(all)
		for _, s := range scopes {
			line := "     for " + s.String()
			if by := shadowing(before, s, &effort); by != "" {
				line += ": SHADOWED by the terminating delegation to " + printable(by) + ": nobody asks this role"
			}
			lines = append(lines, line)
		}
		lines = appendMore(lines, "     ", more, "paths")
		if role.Terminating {
			before = append(before, terminal{role.Name, all})
		}
		ids, more := few(role.KeyIDs)
		for _, id := range ids {
			lines = append(lines, "     "+keyText(keys[id], names))
			if !described[id] {
				described[id] = true
				lines = appendUnknown(lines, "       ", "", keys[id].Extra())
			}
		}
		lines = appendMore(lines, "     ", more, "keys")
		lines = appendUnknown(lines, "     ", "", role.Extra)
	}
	lines = appendMore(lines, "  ", len(roles)-longDelegations, "delegations")
	if effort < 0 {
		lines = append(lines, "  there are too many paths to say of all whether they are shadowed")
	}
	return appendUnknown(lines, "  ", "", d.Extra)
}

// terminal is a terminating delegation.
type terminal struct {
	name   string
	scopes []scope
}

// shadowing returns the role of the first terminating delegation that is for all paths
// of a scope, or "".
func shadowing(before []terminal, s scope, effort *int) string {
	for _, t := range before {
		for _, b := range t.scopes {
			if *effort < 0 {
				return ""
			}
			if b.covers(s, effort) {
				return t.name
			}
		}
	}
	return ""
}
