package tuf

import (
	"math"
	"strings"
	"time"
)

// reader turns a document into a file.
type reader struct {
	*document
	findings []Finding
	full     bool // there were more than maxFindings
	asked    int  // paths of delegations so far
	scratch  []byte
	ids      seen // the numbers of the keys that were read
}

// refuse makes the error for the value at node i.
func (r *reader) refuse(i int, format string, args ...any) error {
	return refuse(r.src, int(r.nodes[i].start), format, args...)
}

// want refuses a value of another kind.
func (r *reader) want(i int, k kind, what string) error {
	if got := r.nodes[i].kind; got != k {
		return r.refuse(i, "%s must be %s, not %s", what, k, got)
	}
	return nil
}

// unknown refuses a name that is a known one in another case: some programs
// take it for the known one.
func (r *reader) unknown(i int, known ...string) error {
	name := r.str(i)
	for _, k := range known {
		if strings.EqualFold(name, k) {
			return r.refuse(i, "the name %q must be written %q", name, k)
		}
	}
	return nil
}

// present refuses an object that lacks one of the members.
func (r *reader) present(i int, what string, names []string, at ...int) error {
	for k, n := range at {
		if n < 0 {
			return r.refuse(i, "%s lacks %q", what, names[k])
		}
	}
	return nil
}

// head is what all metadata says about itself.
type head struct {
	spec    string
	version int64
	expires time.Time
	odd     string // the date as received, where that is not how we write it
}

// head reads what metadata of a role says about itself.
func (r *reader) head(role string, kind, spec, version, expires int) (h head, err error) {
	if err := r.want(kind, text, "_type"); err != nil {
		return h, err
	}
	if s := r.str(kind); s != role {
		return h, r.refuse(kind, "this is metadata of the type %q, not %q", s, role)
	}
	if err := r.want(spec, text, "spec_version"); err != nil {
		return h, err
	}
	h.spec = r.str(spec)
	if n := len(h.spec); n > maxSpec {
		return h, r.refuse(spec, "spec_version has %d bytes; no version has more than %d", n, maxSpec)
	}
	parts := strings.Split(h.spec, ".")
	for _, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" || len(parts) > 3 {
			return h, r.refuse(spec, "spec_version %q is not a version such as 1.0.34", h.spec)
		}
	}
	if parts[0] != "1" {
		return h, r.refuse(spec, "spec_version %q: only major version 1 of the specification is known here", h.spec)
	}
	if !writtenSpec(h.spec) {
		r.find(spec, "spec_version is %s; %s we write say 1.0.x", h.spec, plural(role))
	}
	if err := r.want(version, integer, "version"); err != nil {
		return h, err
	}
	if h.version = r.int(version); h.version < 1 {
		return h, r.refuse(version, "version must be 1 or more")
	}
	if err := r.want(expires, text, "expires"); err != nil {
		return h, err
	}
	s := r.str(expires)
	if len(s) > maxDate {
		return h, r.refuse(expires, "expires has %d bytes; no date has more than %d", len(s), maxDate)
	}
	t, ok := parseDate(s)
	if !ok {
		return h, r.refuse(expires, "expires must be a date such as 2027-11-22T00:00:00Z, not %q", s)
	}
	h.expires = t
	if s != t.Format(time.RFC3339) {
		h.odd = s
		r.find(expires, "expires has fractions of a second or an offset: %s", s)
	}
	return h, nil
}

// parseDate reads RFC 3339, which is what old roots have; the specification
// asks for whole seconds and Z.
func parseDate(s string) (time.Time, bool) {
	const shape = "0000-00-00T00:00:00"
	if len(s) <= len(shape) {
		return time.Time{}, false
	}
	for i := range len(shape) {
		if digit := '0' <= s[i] && s[i] <= '9'; digit != (shape[i] == '0') || !digit && s[i] != shape[i] {
			return time.Time{}, false
		}
	}
	if strings.ContainsAny(s, ",") {
		return time.Time{}, false
	}
	// time.Parse takes offsets up to 24:60.
	if zone := s[len(s)-1:]; zone != "Z" && (len(s) < 6 || s[len(s)-5:] > "23:59" || s[len(s)-2:] > "59") {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.UTC().Year() < 0 || t.UTC().Year() > 9999 {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// keys reads an object of keys by their ids, and numbers them in r.ids.
func (r *reader) keys(i int) ([]Key, error) {
	if err := r.want(i, object, "keys"); err != nil {
		return nil, err
	}
	at, end := r.inside(i)
	list := make([]Key, 0, 8)
	var values seen
	for ; at < end; at = r.after(at + 1) {
		id := r.str(at)
		if id == "" {
			return nil, r.refuse(at, "a key id must not be empty")
		}
		key, err := r.key(at+1, id)
		if err != nil {
			return nil, err
		}
		if sum := r.keyID(at + 1); string(sum[:]) != id {
			r.find(at, "the key id %s is not the SHA-256 of its key object", subject(short(id)))
		}
		if first := values.add(key.Value(), len(list)); first >= 0 {
			r.find(at, "the keys %s and %s are one and the same key", subject(short(list[first].ID)), short(id))
		}
		r.ids.add(id, len(list))
		list = append(list, key)
	}
	return list, nil
}

// seen remembers strings with a number each: the first ones in place, the
// many that only hostile files have in a map.
type seen struct {
	first   [16]string
	numbers [16]int
	n       int
	more    map[string]int
}

// add remembers v, and returns the number with which it was added before, or -1.
func (s *seen) add(v string, number int) int {
	if had := s.get(v); had >= 0 {
		return had
	}
	if s.n < len(s.first) {
		s.first[s.n], s.numbers[s.n] = v, number
		s.n++
		return -1
	}
	if s.more == nil {
		s.more = map[string]int{}
	}
	s.more[v] = number
	return -1
}

// get returns the number of v, or -1.
func (s *seen) get(v string) int {
	for i, had := range s.first[:s.n] {
		if had == v {
			return s.numbers[i]
		}
	}
	if number, ok := s.more[v]; ok {
		return number
	}
	return -1
}

// role reads who signs for a role of a root; used tells of which keys some role is.
func (r *reader) role(name string, i int, keys []Key, used []bool) (role Role, err error) {
	if err := r.want(i, object, "a role"); err != nil {
		return role, err
	}
	keyids, threshold := -1, -1
	at, end := r.inside(i)
	for ; at < end; at = r.after(at + 1) {
		switch field := r.str(at); field {
		case "keyids":
			keyids = at + 1
		case "threshold":
			threshold = at + 1
		default:
			if err := r.unknown(at, "keyids", "threshold"); err != nil {
				return role, err
			}
			r.find(at, "the role %s has the unknown field %s", subject(printable(name)), printable(field))
			role.Extra = append(role.Extra, Field{field, r.raw(at + 1)})
		}
	}
	if err := r.present(i, "a role", []string{"keyids", "threshold"}, keyids, threshold); err != nil {
		return role, err
	}
	return role, r.signers(&role, name, keyids, threshold, keys, used)
}

// signers reads key ids and threshold of a role. Each id is one of keys, which r.ids
// numbers.
func (r *reader) signers(role *Role, name string, keyids, threshold int, keys []Key, used []bool) error {
	if err := r.want(keyids, array, "keyids"); err != nil {
		return err
	}
	at, end := r.inside(keyids)
	var listed, values seen
	role.KeyIDs = make([]string, 0, end-at)
	distinct := 0
	for ; at < end; at = r.after(at) {
		if err := r.want(at, text, "a key id"); err != nil {
			return err
		}
		id := r.str(at)
		k := r.ids.get(id)
		if k < 0 {
			return r.refuse(at, "the role %q lists the key id %q, which is not in keys", name, id)
		}
		if listed.add(id, 0) >= 0 {
			return r.refuse(at, "the role %q lists the key id %q twice", name, id)
		}
		if values.add(keys[k].Value(), 0) < 0 {
			distinct++
		}
		used[k] = true
		role.KeyIDs = append(role.KeyIDs, id)
	}
	if err := r.want(threshold, integer, "threshold"); err != nil {
		return err
	}
	t := r.int(threshold)
	if t < 1 {
		return r.refuse(threshold, "the threshold of the role %q must be 1 or more", name)
	}
	switch few := t > int64(distinct); {
	case t > math.MaxInt32, few && name == RoleRoot:
		return r.refuse(threshold, "the threshold of the role %q is %d, but it has only %d different keys", name, t, distinct)
	case few: // conformance tests and clients take it, and nothing of that role
		r.alarm(threshold, "nobody can sign for the role %s: its threshold is %d, but it has only %d different keys", subject(printable(name)), t, distinct)
	}
	role.Threshold = int(t)
	return nil
}

// unused finds the keys that no role uses.
func (r *reader) unused(i int, keys []Key, used []bool) {
	for k, key := range keys {
		if !used[k] {
			r.find(i, "no role uses the key %s", subject(short(key.ID)))
		}
	}
}

// plural is how metadata of a role is called in a sentence.
func plural(role string) string { return strings.TrimSuffix(role, "s") + "s" }
