package tuf

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxWritten is how many bytes a root file that we write may have: some
// clients read no more.
const maxWritten = 100_000

// Canonical returns what is signed. It is meaningful where Check is nil.
func (r *Root) Canonical() []byte {
	s := r.json()
	d, err := scan(s)
	if err != nil {
		return []byte(s) // Check says what is wrong with it
	}
	return d.canonical(make([]byte, 0, len(s)), 0)
}

// JSON is "signed" as JSON: its canonical form has characters as they are that JSON
// escapes, the line feeds of PEM among them.
func (r *Root) JSON() []byte { return []byte(r.json()) }

// json writes "signed" as JSON.
func (r *Root) json() string {
	b := make([]byte, 0, 1024+len(r.Keys)*400)
	b = append(b, `{"_type":"root"`...)
	if !r.inconsistent {
		b = strconv.AppendBool(append(b, `,"consistent_snapshot":`...), r.ConsistentSnapshot)
	}
	b = appendString(append(b, `,"expires":`...), r.date())
	b = append(appendKeys(append(b, ','), r.Keys), `,"roles":{`...)
	for i, name := range slices.Sorted(maps.Keys(r.Roles)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendRole(append(appendString(b, name), ':', '{'), r.Roles[name]), '}')
	}
	b = appendString(append(b, `},"spec_version":`...), r.SpecVersion)
	b = strconv.AppendInt(append(b, `,"version":`...), r.Version, 10)
	return string(append(appendFields(b, r.Extra), '}'))
}

// date is the expiry as it is written: as received while nobody changed it.
func (r *Root) date() string { return writtenDate(r.Expires, r.expires) }

func writtenDate(expires time.Time, received string) string {
	if t, ok := parseDate(received); ok && t.Equal(expires) {
		return received
	}
	return expires.UTC().Format(time.RFC3339Nano)
}

// appendKeys appends the member "keys".
func appendKeys(b []byte, keys []Key) []byte {
	b = append(b, `"keys":{`...)
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(appendString(b, k.ID), ':'), k.object...)
	}
	return append(b, '}')
}

// appendRole appends the members of a role.
func appendRole(b []byte, role Role) []byte {
	b = appendStrings(b, "keyids", role.KeyIDs)
	b = strconv.AppendInt(append(b, `,"threshold":`...), int64(role.Threshold), 10)
	return appendFields(b, role.Extra)
}

// appendStrings appends a member that is a list of strings.
func appendStrings(b []byte, name string, list []string) []byte {
	b = append(appendString(b, name), ':', '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

func appendFields(b []byte, fields []Field) []byte {
	for _, f := range fields {
		b = append(appendString(append(b, ','), f.Name), ':')
		b = append(b, f.Value...)
	}
	return b
}

// appendString appends a string in JSON.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}

// writtenSpec reports whether a spec_version is one that we write: 1.0.x.
func writtenSpec(s string) bool {
	patch, ok := strings.CutPrefix(s, "1.0.")
	if n, err := strconv.Atoi(patch); !ok || err != nil || n > 9999 || strconv.Itoa(n) != patch || n < 0 {
		return false
	}
	return true
}

// Check reports whether the root keeps to the profile that we write, and if not,
// which rule it breaks. Keys and fields that one of the previous roots holds
// in the same canonical bytes may stay as they are; the version must follow on
// theirs.
func (r *Root) Check(previous ...*Root) error {
	if err := r.checkHead(previous); err != nil {
		return err
	}
	if err := r.checkRoles(previous); err != nil {
		return err
	}
	if err := r.checkKeys(previous); err != nil {
		return err
	}
	s := r.json()
	if i := strings.IndexFunc(s, func(c rune) bool { return c >= 0x7f }); i >= 0 {
		return fmt.Errorf("root metadata we write is ASCII, but it holds %q", []rune(s[i:])[0])
	}
	// What was written must be read as the same again.
	f, err := Parse(fmt.Appendf(nil, `{"signatures":[],"signed":%s}`, s))
	if err != nil {
		return fmt.Errorf("this root would not be readable: %w", err)
	}
	if !bytes.Equal(f.Signed, r.Canonical()) {
		return errors.New("this root would not be read as it was written")
	}
	var last *Root
	for _, p := range previous {
		if last == nil || p.Version > last.Version {
			last = p
		}
	}
	return f.Fit(last)
}

func (r *Root) checkHead(previous []*Root) error {
	last := int64(0)
	for _, p := range previous {
		last = max(last, p.Version)
	}
	switch {
	case r.Version < 1 || r.Version > maxVersion:
		return fmt.Errorf("version %d: versions go from 1 to 2^53-1", r.Version)
	case last > 0 && r.Version != last+1:
		return fmt.Errorf("version %d: after version %d comes %d", r.Version, last, last+1)
	case r.inconsistent:
		return errors.New("consistent_snapshot is absent; roots we write say true or false")
	}
	if err := checkHead(RoleRoot, r.Expires, r.date(), r.SpecVersion); err != nil {
		return err
	}
	return checkFields(r.Extra, func(f Field) bool { return carries(previous, func(p *Root) []Field { return p.Extra }, f) })
}

// checkHead is what Check asks of expiry and spec_version of a role's metadata.
func checkHead(role string, expires time.Time, written, spec string) error {
	switch year := expires.UTC().Year(); {
	case expires.Nanosecond() != 0 || written != expires.UTC().Format("2006-01-02T15:04:05Z"):
		return fmt.Errorf("expires %s: %s we write have whole seconds in UTC", written, plural(role))
	case year < 1 || year > 9999:
		return fmt.Errorf("expires in the year %d, which no date in %s metadata can say", year, role)
	case !writtenSpec(spec):
		return fmt.Errorf("spec_version %q: %s we write say 1.0.x, such as %s", clip(spec), plural(role), SpecVersion)
	}
	return nil
}

// checkFields is what Check asks of unknown fields of "signed".
func checkFields(fields []Field, carried func(Field) bool) error {
	for _, f := range fields {
		d, err := scan(f.Value)
		if err != nil {
			return fmt.Errorf("the field %q has no valid JSON value: %w", clip(f.Name), err)
		}
		if d.nodes[0].kind == null && !carried(f) {
			return fmt.Errorf("the field %q is null; some clients cannot read that", clip(f.Name))
		}
		if !strings.HasPrefix(f.Name, "x-") && !carried(f) {
			return fmt.Errorf("the field %q: names of fields we add begin with x-", clip(f.Name))
		}
	}
	return nil
}

// carries reports whether one of the roots holds the very same field. White space
// between tokens, which another program may have changed, is not signed.
func carries(previous []*Root, fields func(*Root) []Field, f Field) bool {
	return slices.ContainsFunc(previous, func(p *Root) bool { return hasField(fields(p), f) })
}

// hasField reports whether one of the fields has the same name and value.
func hasField(list []Field, f Field) bool {
	return slices.ContainsFunc(list, func(o Field) bool { return o.Name == f.Name && canonicalText(o.Value) == canonicalText(f.Value) })
}

// carriesKey is carries for keys.
func carriesKey(previous []*Root, k Key) bool {
	return slices.ContainsFunc(previous, func(p *Root) bool { return hasKey(p.Keys, k) })
}

// hasKey reports whether one of the keys has the same id and object.
func hasKey(list []Key, k Key) bool {
	return slices.ContainsFunc(list, func(o Key) bool { return o.ID == k.ID && canonicalText(o.object) == canonicalText(k.object) })
}

func (r *Root) checkKeys(previous []*Root) error {
	used := map[string]bool{}
	for _, role := range r.Roles {
		for _, id := range role.KeyIDs {
			used[id] = true
		}
	}
	var last *Root
	for _, p := range previous {
		if last == nil || p.Version > last.Version {
			last = p
		}
	}
	ids, values := map[string]bool{}, map[string]string{}
	for _, k := range r.Keys {
		other, twice := values[k.Value()]
		switch {
		case ids[k.ID]:
			return fmt.Errorf("the key id %s stands twice in keys", printable(k.ID))
		case !k.asWritten(last.Notation()) && !carriesKey(previous, k):
			return fmt.Errorf("key %s is not as we write keys: id = SHA-256 of a key object with keytype, scheme and keyval, and with keyid_hash_algorithms only where all keys of the root before have it", short(k.ID))
		case k.Exposed && !carriesKey(previous, k):
			return fmt.Errorf("the key object %s holds its private half", short(k.ID))
		case twice:
			return fmt.Errorf("the keys %s and %s are one and the same key", short(other), short(k.ID))
		case !used[k.ID]:
			return fmt.Errorf("no role uses the key %s", short(k.ID))
		}
		ids[k.ID], values[k.Value()] = true, k.ID
	}
	return nil
}

func (r *Root) checkRoles(previous []*Root) error {
	for _, name := range RoleNames {
		if _, ok := r.Roles[name]; !ok {
			return fmt.Errorf("the role %s is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Roles)) {
		role := r.Roles[name]
		if !slices.Contains(RoleNames, name) {
			return fmt.Errorf("the role %q: a root has exactly the roles root, timestamp, snapshot and targets", clip(name))
		}
		for i, id := range role.KeyIDs {
			if _, ok := r.Key(id); !ok {
				return fmt.Errorf("the role %s lists the key %s, which is not in keys", name, short(id))
			}
			if slices.Contains(role.KeyIDs[:i], id) {
				return fmt.Errorf("the role %s lists the key %s twice", name, short(id))
			}
		}
		unverifiable := 0
		for _, id := range role.KeyIDs {
			if k, _ := r.Key(id); name == RoleRoot && k.Unverifiable != "" {
				unverifiable++
			}
		}
		if able := len(role.KeyIDs) - unverifiable; unverifiable > 0 && role.Threshold > able {
			return fmt.Errorf("the threshold of the role root is %d, but only the signatures of %d of its keys can be verified here", role.Threshold, able)
		}
		if role.Threshold < 1 || role.Threshold > len(role.KeyIDs) {
			return fmt.Errorf("the threshold of the role %s is %d; with %d keys it can be 1 to %d", name, role.Threshold, len(role.KeyIDs), len(role.KeyIDs))
		}
		for _, f := range role.Extra {
			if !carries(previous, func(p *Root) []Field { return p.Roles[name].Extra }, f) {
				return fmt.Errorf("the role %s has the unknown field %q; roots we write have none there", clip(name), clip(f.Name))
			}
		}
	}
	return nil
}

// Assemble puts a root file together: members sorted, two spaces a level, a
// newline at the end, signatures sorted by key id. The root must pass Check.
// Every signature is verified, by the key with its id in root or in one of the
// previous roots (whose holders sign a rotation too); one that is wrong, empty
// or doubled is an error that names the key. No signatures make an unsigned
// draft.
func Assemble(root *Root, sigs []Signature, previous ...*Root) ([]byte, error) {
	if err := root.Check(previous...); err != nil {
		return nil, err
	}
	canonical := root.Canonical()
	lists := [][]Key{root.Keys}
	for _, p := range previous {
		lists = append(lists, p.Keys)
	}
	file, err := assemble(root.json(), canonical, sigs, func(s Signature) error { return verifyAny(s, canonical, lists...) })
	if err != nil {
		return nil, err
	}
	if len(file) >= maxWritten {
		return nil, fmt.Errorf("the root file would have %d bytes; some clients refuse %d and more", len(file), maxWritten)
	}
	f, err := Parse(file)
	if err != nil {
		return nil, fmt.Errorf("the root file would not be readable: %w", err)
	}
	if !bytes.Equal(f.Signed, canonical) || len(f.Signatures) != len(sigs) {
		return nil, errors.New("the root file would not be read as it was written")
	}
	return file, nil
}
