package tuf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// Clean makes text that came from a file or a person fit for a terminal:
// control and format characters, and whatever else does not print, become "?".
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if shown(r) {
			return r
		}
		return '?'
	}, s)
}

// shown reports whether a character shows on a terminal as what it is.
func shown(r rune) bool {
	return r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r) && r != unicode.ReplacementChar
}

// WriteJSON writes a value as indented JSON that is fit for a terminal too:
// characters in its strings that Clean would take out are escaped.
func WriteJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	var escaped strings.Builder
	for _, r := range text.String() {
		if r == '\n' || shown(r) {
			escaped.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&escaped, `\u%04x`, unit)
		}
	}
	_, err := io.WriteString(w, escaped.String())
	return err
}

// Listed joins names as people say them: "Alice, Bruno and Chen", with that word.
func Listed(names []string, word string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " " + word + " " + names[last]
}

// printable is Clean for names and values in a line of text: not longer than
// people read.
func printable(s string) string { return Clean(clip(s)) }

// valueText is printable for a JSON value: its canonical form, in which what
// does not print is escaped.
func valueText(value string) string {
	var b strings.Builder
	for _, r := range canonicalText(value) {
		if b.Len() > 1000 { // more than printable leaves
			break
		}
		switch c := string(r); {
		case r == '\n':
			b.WriteString(`\n`)
		case Clean(c) == c:
			b.WriteString(c)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return printable(b.String())
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
	switch {
	case k.Unverifiable != "":
		algorithm = printable(k.Type) + ", can't be verified here"
	case k.Type == "ml-dsa":
		algorithm, _, _ = strings.Cut(k.Scheme, "/")
	case algorithm == "":
		algorithm = printable(k.Type)
	}
	if k.Exposed {
		algorithm += ", PRIVATE HALF PUBLISHED"
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

// soon is how long before its end people must hear of it: the next ceremony takes
// weeks to arrange.
const soon = 14 * 24 * time.Hour

// Soon says that a root which is good ends within days, with the hours that are
// left; "" where it doesn't, or has ended. Roots of a rehearsal live for a day:
// callers leave them out.
func Soon(expires, at time.Time) string {
	left := expires.Sub(at)
	if left <= 0 || left > soon {
		return ""
	}
	in := when(expires, at)
	if left >= 48*time.Hour {
		in += fmt.Sprintf(" (%d hours)", int(left.Hours()))
	}
	return fmt.Sprintf("ENDS SOON, %s: from then on clients refuse everything (hint: sign and publish the next version before)", in)
}

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
	if soon := Soon(r.Expires, at); soon != "" && !r.Rehearsal() {
		lines = append(lines, soon)
	}
	if r.Rehearsal() {
		lines = append(lines, "REHEARSAL: not for production")
	}
	keys, described := keysByID(r.Keys), map[string]bool{}
	roles := r.roleNames()
	others := max(0, len(roles)-len(RoleNames)-longList)
	for _, name := range roles[:len(roles)-others] {
		role := r.Roles[name]
		lines = append(lines, fmt.Sprintf("role %s: %d of %d must sign", printable(name), role.Threshold, len(role.KeyIDs)))
		ids, more := few(role.KeyIDs)
		for _, id := range ids {
			lines = append(lines, "  "+keyText(keys[id], names))
			if !described[id] {
				described[id] = true
				lines = appendUnknown(lines, "    ", "", keys[id].Extra())
			}
		}
		lines = appendMore(lines, "  ", more, "keys")
		lines = appendUnknown(lines, "  ", "", role.Extra)
	}
	lines = appendMore(lines, "", others, "roles")
	lines = appendUnknown(lines, "", "", r.Extra)
	lines = append(lines, "signatures of its own keys: "+f.Report(r).Text(names))
	lines = appendUnknown(lines, "", ", which nobody has signed", f.Extra)
	own := keysOf(r.Roles[RoleRoot])
	var strangers []string
	for _, s := range f.Signatures {
		if len(s.Sig) > 0 && !own[s.KeyID] {
			strangers = append(strangers, "also a signature by another key, not checked here: "+who(s.KeyID, names))
		}
	}
	strangers, more := few(strangers)
	lines = appendMore(append(lines, strangers...), "", more, "signatures by other keys")
	for _, note := range Notes(f.Findings) {
		lines = append(lines, "note: "+note)
	}
	for _, refusal := range Refusals(r, nil) {
		lines = append(lines, "note: "+refusal.String())
	}
	return lines
}

// longList is how many keys, roles, fields or notes of a kind people are shown;
// real roots have fewer.
const longList = 20

// few returns the beginning of a list that people see, and how many more it has.
func few[T any](list []T) ([]T, int) {
	n := min(len(list), longList)
	return list[:n], len(list) - n
}

func appendMore(lines []string, indent string, more int, of string) []string {
	if more > 0 {
		lines = append(lines, fmt.Sprintf("%sand %d more %s", indent, more, of))
	}
	return lines
}

func appendUnknown(lines []string, indent, remark string, fields []Field) []string {
	list, more := few(fields)
	for _, field := range list {
		lines = append(lines, fmt.Sprintf("%sunknown field %s%s: %s", indent, printable(field.Name), remark, valueText(field.Value)))
	}
	return appendMore(lines, indent, more, "unknown fields"+remark)
}

func keysOf(role Role) map[string]bool {
	ids := make(map[string]bool, len(role.KeyIDs))
	for _, id := range role.KeyIDs {
		ids[id] = true
	}
	return ids
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
