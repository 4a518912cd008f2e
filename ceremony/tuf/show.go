package tuf

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Clean makes text that came from a file or a person fit for a terminal:
// control and format characters, and whatever else does not print, become "?".
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) && r != unicode.ReplacementChar {
			return r
		}
		return '?'
	}, s)
}

// printable is Clean for names and values in a line of text: not longer than
// people read.
func printable(s string) string {
	const most = 200
	if r := []rune(Clean(s[:min(len(s), 4*most)])); len(r) > most || len(s) > 4*most {
		return string(r[:min(len(r), most)]) + "..."
	}
	return Clean(s)
}

// short is a key id as people compare it at a glance.
func short(id string) string {
	if len(id) > 12 {
		return printable(id[:8])
	}
	return printable(id)
}

// who is a holder's name, or else the key's short id.
func who(id string, names map[string]string) string {
	if name := names[id]; name != "" {
		return printable(name)
	}
	return short(id)
}

// keyText names a key whole: "Alice Costa, ed25519, key id ab12...".
func keyText(k Key, names map[string]string) string {
	algorithm := string(k.Public.Algorithm)
	if algorithm == "" {
		algorithm = printable(k.Type)
	}
	s := fmt.Sprintf("%s (%s, key id %s)", short(k.ID), algorithm, printable(k.ID))
	if name := names[k.ID]; name != "" {
		s = printable(name) + ", " + s
	}
	return s
}

// date is a time as people read it, in UTC.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// when says how far a time is away: "in 364 days", "2 hours ago".
func when(t, at time.Time) string {
	d := t.Sub(at)
	number, unit := int64(math.Abs(d.Hours()/24)), "day"
	switch away := d.Abs(); {
	case away < time.Minute:
		return "now"
	case away < 2*time.Hour:
		number, unit = int64(away.Minutes()), "minute"
	case away < 48*time.Hour:
		number, unit = int64(away.Hours()), "hour"
	}
	if number != 1 {
		unit += "s"
	}
	if d < 0 {
		return fmt.Sprintf("%d %s ago", number, unit)
	}
	return fmt.Sprintf("in %d %s", number, unit)
}

// Digest is the SHA-256 of canonical bytes: what people compare before they sign.
func (f *File) Digest() [32]byte { return sha256.Sum256(f.Signed) }

// Show describes a root file to people, line by line; the digest, which they
// compare between machines, is not among the lines. Names are holders' names by
// key id.
func Show(f *File, at time.Time, names map[string]string) []string {
	r, expires := f.Root, "expires"
	if !r.Expires.After(at) {
		expires = "EXPIRED"
	}
	lines := []string{
		fmt.Sprintf("root version %d", r.Version),
		fmt.Sprintf("%s %s, %s", expires, date(r.Expires), when(r.Expires, at)),
		fmt.Sprintf("consistent_snapshot %s, spec_version %s", r.consistency(), printable(r.SpecVersion)),
	}
	if r.Rehearsal() {
		lines = append(lines, "REHEARSAL: not for production")
	}
	for _, name := range r.roleNames() {
		role := r.Roles[name]
		lines = append(lines, fmt.Sprintf("role %s: %d of %d must sign", printable(name), role.Threshold, len(role.KeyIDs)))
		for _, id := range role.KeyIDs {
			key, _ := r.Key(id)
			lines = append(lines, "  "+keyText(key, names))
			for _, field := range key.Extra() {
				lines = append(lines, fmt.Sprintf("    unknown field %s: %s", printable(field.Name), printable(field.Value)))
			}
		}
		for _, field := range role.Extra {
			lines = append(lines, fmt.Sprintf("  unknown field %s: %s", printable(field.Name), printable(field.Value)))
		}
	}
	for _, field := range r.Extra {
		lines = append(lines, fmt.Sprintf("unknown field %s: %s", printable(field.Name), printable(field.Value)))
	}
	lines = append(lines, "signatures of its own keys: "+f.Report(r).Text(names))
	for _, field := range f.Extra {
		lines = append(lines, fmt.Sprintf("unknown field %s, which nobody has signed: %s", printable(field.Name), printable(field.Value)))
	}
	for _, s := range f.Signatures {
		if len(s.Sig) > 0 && !slices.Contains(r.Roles[RoleRoot].KeyIDs, s.KeyID) {
			lines = append(lines, "also a signature by another key, not checked here: "+who(s.KeyID, names))
		}
	}
	for _, note := range Notes(f.Findings) {
		lines = append(lines, "note: "+note)
	}
	return lines
}

func (r *Root) consistency() string {
	if r.inconsistent {
		return "absent"
	}
	return fmt.Sprint(r.ConsistentSnapshot)
}

// roleNames are the root's roles: the four first, others after them.
func (r *Root) roleNames() []string {
	names := slices.Clone(RoleNames)
	for _, name := range slices.Sorted(maps.Keys(r.Roles)) {
		if !slices.Contains(RoleNames, name) {
			names = append(names, name)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { _, ok := r.Roles[name]; return !ok })
}
