// Package tuf reads, writes and verifies the root metadata of The Update
// Framework (specification 1.0.34), and nothing else of TUF.
//
// A root file is a JSON object with two members. "signed" is what is agreed
// on: version, expiry, the public keys, and for each role which of them sign
// it and how many must. "signatures" lists key ids with signatures over the
// canonical form of "signed": OLPC canonical JSON, which sorts the members by
// name, drops white space, and escapes nothing in strings but '"' and '\'.
//
// Reading (Parse) works on the bytes as received, in one pass. What two
// programs could understand differently is refused, with the place: names that
// appear twice or differ in case only, numbers that are not integers below
// 2^53, text that is not Unicode, null, anything too deep or too long, and
// whatever follows the end. What old roots of real projects hold beyond the
// profile below is read, kept byte for byte, and reported as a Finding. So are
// keys that cannot be verified here, signatures that cannot be any, and online
// roles for which nobody can sign: they count for nothing, and a signer refuses
// the last two (File.Fit).
//
// A threshold counts public keys by their value, never by their id.
//
// testdata/vectors has a file for each rule, and testdata/vectors/index.txt what
// is said of it. docs/second-opinions.md compares that with other programs.
//
// Writing keeps to the profile that all client implementations accept
// (Root.Check): ASCII; whole seconds in UTC; exactly the four roles; key ids
// that are the SHA-256 of the canonical key object, in which stand keytype, scheme
// and keyval, and keyid_hash_algorithms where all keys of the chain have it; no key
// twice and none unused; unknown fields only directly in "signed"; one signature per key id;
// members sorted, two spaces a level, a newline at the end.
package tuf

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// The four top-level roles.
const (
	RoleRoot      = "root"
	RoleTimestamp = "timestamp"
	RoleSnapshot  = "snapshot"
	RoleTargets   = "targets"
)

// RoleNames are the four roles, in the order people read them.
var RoleNames = []string{RoleRoot, RoleTimestamp, RoleSnapshot, RoleTargets}

// SpecVersion is what we write as spec_version.
const SpecVersion = "1.0.34"

const rehearsalField = "x-rehearsal"

// Bytes of spec_version and of expires that are read at most.
const (
	maxSpec = 32
	maxDate = 64
)

// maxVersion is the highest version a root may have.
const maxVersion = maxInt

// Role is who signs for a role, and how many must.
type Role struct {
	KeyIDs    []string // as listed; each stands in Root.Keys
	Threshold int
	Extra     []Field // unknown fields, as received
}

// Field is a member that the specification does not name.
type Field struct {
	Name  string
	Value string // JSON, as received
}

// Root is what the "signed" part of root metadata says.
type Root struct {
	Version            int64
	Expires            time.Time // UTC
	SpecVersion        string
	ConsistentSnapshot bool
	Keys               []Key // in the order of the file
	Roles              map[string]Role
	Extra              []Field // unknown fields of "signed", as received

	expires      string // the date as received, where that is not how we write it
	inconsistent bool   // consistent_snapshot is absent
}

// Key returns the key with an id.
func (r *Root) Key(id string) (Key, bool) {
	for i := range r.Keys {
		if r.Keys[i].ID == id {
			return r.Keys[i], true
		}
	}
	return Key{}, false
}

// Rehearsal reports whether the root carries x-rehearsal. Whatever its value is,
// a root with that field is not for production.
func (r *Root) Rehearsal() bool {
	return slices.ContainsFunc(r.Extra, func(f Field) bool { return strings.EqualFold(f.Name, rehearsalField) })
}

// SetRehearsal sets "x-rehearsal": true, or takes the field away.
func (r *Root) SetRehearsal(on bool) {
	r.Extra = slices.DeleteFunc(slices.Clone(r.Extra), func(f Field) bool { return strings.EqualFold(f.Name, rehearsalField) })
	if on {
		r.Extra = append(r.Extra, Field{rehearsalField, "true"})
	}
}

// Next returns a copy to edit into the following version: the version is one
// higher, spec_version is ours, x-rehearsal is not carried over, and everything
// else is as it was. Set Expires again.
func (r *Root) Next() *Root {
	next := *r
	next.Version++
	next.SpecVersion = SpecVersion
	next.Keys = slices.Clone(r.Keys)
	next.Roles = make(map[string]Role, len(r.Roles))
	for name, role := range r.Roles {
		next.Roles[name] = Role{slices.Clone(role.KeyIDs), role.Threshold, slices.Clone(role.Extra)}
	}
	next.SetRehearsal(false)
	next.expires, next.inconsistent = "", false
	return &next
}

// Signature is one entry of "signatures".
type Signature struct {
	KeyID     string
	Sig       []byte  // empty: a placeholder, as some tools write, or malformed
	Malformed string  // why it can't be a signature, or ""
	Extra     []Field // unknown fields, as received
}

// Finding is something in a file that is readable but not as we would write
// it. Line and Column are as in ParseError.
type Finding struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
	// Unfit: a verdict may pass over it, and nobody should sign a file with it.
	Unfit  bool `json:"unfit,omitempty"`
	about  subject
	offset int32
}

// subject is what a finding is about: findings that differ in nothing else are
// of one kind.
type subject string

func (f Finding) String() string {
	return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.Text)
}

// Notes says findings in words, one line for each kind: the first of them, and
// how many more there are. Of very many kinds, which only hostile files have, it
// counts all but the first.
func Notes(findings []Finding) []string {
	kind := func(f Finding) string { return strings.Replace(f.Text, string(f.about), "", 1) }
	count := map[string]int{}
	for _, f := range findings {
		count[kind(f)]++
	}
	var lines []string
	for _, f := range findings {
		switch n := count[kind(f)]; {
		case n == 1:
			lines = append(lines, f.String())
		case n > 1:
			lines = append(lines, fmt.Sprintf("%s (and %d more like it)", f, n-1))
		}
		count[kind(f)] = 0
	}
	lines, more := few(lines)
	return appendMore(slices.Clip(lines), "", more, "kinds of notes")
}

// File is one root metadata file.
type File struct {
	Root       *Root
	Signed     []byte // the canonical form of "signed": what is signed
	Signatures []Signature
	Extra      []Field // unknown fields beside "signed" and "signatures"
	Findings   []Finding
	received   string      // "signed" as it stood in the file
	explained  int         // of its wrong signatures
	forms      []otherForm // what may have been signed instead; nil: not looked at
}

// reader turns a document into a File.
type reader struct {
	*document
	findings []Finding
	scratch  []byte
	ids      seen // the numbers of the keys in Root.Keys
}

// spare are readers that are done with: the next root of a chain has about as many
// nodes.
var spare = sync.Pool{New: func() any { return &reader{document: &document{}} }}

// Parse reads a root metadata file. Errors are *ParseError.
func Parse(data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, refuse("", 0, "the file is longer than %d bytes; root metadata is not", MaxSize)
	}
	r := spare.Get().(*reader)
	defer spare.Put(r)
	r.findings, r.ids = nil, seen{}
	if err := r.scan(string(data)); err != nil {
		return nil, err
	}
	f, err := r.file()
	if err != nil {
		return nil, err
	}
	f.Findings = r.placed()
	return f, nil
}

// ParseCanonical reads the canonical form of "signed" alone, as a file without
// signatures. It isn't JSON: line feeds stand in its strings as they are. Places in
// errors are those of the JSON that it becomes.
func ParseCanonical(signed []byte) (*File, error) {
	text := []byte(`{"signatures":[],"signed":`)
	for _, c := range signed {
		if c < 0x20 { // which canonical JSON has in strings only
			text = fmt.Appendf(text, `\u%04x`, c)
		} else {
			text = append(text, c)
		}
	}
	f, err := Parse(append(text, '}'))
	if err == nil && !bytes.Equal(f.Signed, signed) {
		err = errors.New("it is not in canonical form")
	}
	return f, err
}

// refuse makes the error for the value at node i.
func (r *reader) refuse(i int, format string, args ...any) error {
	return refuse(r.src, int(r.nodes[i].start), format, args...)
}

// Fit reports whether somebody may sign this file: it holds nothing that only a
// verdict may pass over, and no private key but what the root before it, if that is
// known, holds in the same bytes. The error says what it is.
func (f *File) Fit(before *Root) error {
	for _, k := range f.Root.Keys {
		if k.Exposed && (before == nil || !carriesKey([]*Root{before}, k)) {
			return fmt.Errorf("the private half of the key %s stands in it, and not in the root before; nobody should sign such a file", short(k.ID))
		}
	}
	for _, found := range f.Findings {
		if found.Unfit {
			return fmt.Errorf("%v; nobody should sign such a file", found)
		}
	}
	return nil
}

// alarm is find for what only a verdict may pass over.
func (r *reader) alarm(i int, format string, args ...any) {
	r.find(i, format, args...)
	r.findings[len(r.findings)-1].Unfit = true
}

func (r *reader) find(i int, format string, args ...any) {
	f := Finding{Text: fmt.Sprintf(format, args...), offset: r.nodes[i].start}
	if len(args) > 0 {
		f.about, _ = args[0].(subject)
	}
	r.findings = append(r.findings, f)
}

// placed returns the findings in the order of the file, with line and column.
func (r *reader) placed() []Finding {
	slices.SortStableFunc(r.findings, func(a, b Finding) int { return int(a.offset - b.offset) })
	line, column, at := 1, 1, 0
	for i := range r.findings {
		f := &r.findings[i]
		for ; at < int(f.offset); at++ {
			if r.src[at] == '\n' {
				line, column = line+1, 1
			} else if utf8.RuneStart(r.src[at]) {
				column++
			}
		}
		f.Line, f.Column = line, column
	}
	return r.findings
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

var (
	fileNames   = []string{"signed", "signatures"}
	signedNames = []string{"_type", "spec_version", "version", "expires", "keys", "roles", "consistent_snapshot"}
)

func (r *reader) file() (*File, error) {
	if err := r.want(0, object, "root metadata"); err != nil {
		return nil, err
	}
	f := &File{}
	signed, signatures := -1, -1
	at, end := r.inside(0)
	for ; at < end; at = r.after(at + 1) {
		switch name := r.str(at); name {
		case "signed":
			signed = at + 1
		case "signatures":
			signatures = at + 1
		default:
			if err := r.unknown(at, fileNames...); err != nil {
				return nil, err
			}
			r.find(at, "unknown field %s beside signed and signatures, which no signature covers", printable(name))
			f.Extra = append(f.Extra, Field{name, r.raw(at + 1)})
		}
	}
	if bare := slices.ContainsFunc(f.Extra, func(f Field) bool { return f.Name == "_type" }); bare && signed < 0 {
		return nil, r.refuse(0, "this is the signed part alone: in root metadata it stands in \"signed\", with \"signatures\" beside it")
	}
	if err := r.present(0, "root metadata", fileNames, signed, signatures); err != nil {
		return nil, err
	}
	var err error
	if f.Root, err = r.root(signed); err != nil {
		return nil, err
	}
	if f.Signatures, err = r.signatures(signatures, f.Root); err != nil {
		return nil, err
	}
	n := r.nodes[signed]
	f.Signed, f.received = r.canonical(make([]byte, 0, n.end-n.start), signed), r.raw(signed)
	if r.foreign > 0 {
		r.findings = append(r.findings, Finding{Text: "here is a character beyond ASCII", offset: r.foreign})
	}
	if len(r.src) >= maxWritten {
		r.find(0, "the file has %d bytes; some clients refuse %d and more", len(r.src), maxWritten)
	}
	return f, nil
}

func (r *reader) root(i int) (*Root, error) {
	if err := r.want(i, object, "signed"); err != nil {
		return nil, err
	}
	root := &Root{inconsistent: true}
	var kind, spec, version, expires, keys, roles = -1, -1, -1, -1, -1, -1
	at, end := r.inside(i)
	for ; at < end; at = r.after(at + 1) {
		switch name := r.str(at); name {
		case "_type":
			kind = at + 1
		case "spec_version":
			spec = at + 1
		case "version":
			version = at + 1
		case "expires":
			expires = at + 1
		case "keys":
			keys = at + 1
		case "roles":
			roles = at + 1
		case "consistent_snapshot":
			if err := r.want(at+1, boolean, name); err != nil {
				return nil, err
			}
			root.ConsistentSnapshot, root.inconsistent = r.raw(at+1) == "true", false
		default:
			if err := r.unknown(at, signedNames...); err != nil {
				return nil, err
			}
			if name != rehearsalField {
				r.find(at, "unknown field %s", printable(name))
			}
			root.Extra = append(root.Extra, Field{name, r.raw(at + 1)})
		}
	}
	if err := r.present(i, "signed", signedNames, kind, spec, version, expires, keys, roles); err != nil {
		return nil, err
	}
	if root.inconsistent {
		r.find(i, "consistent_snapshot is absent")
	}
	if err := r.head(root, kind, spec, version, expires); err != nil {
		return nil, err
	}
	if err := r.keys(root, keys); err != nil {
		return nil, err
	}
	return root, r.roles(root, roles)
}

// head reads what root metadata says about itself.
func (r *reader) head(root *Root, kind, spec, version, expires int) error {
	if err := r.want(kind, text, "_type"); err != nil {
		return err
	}
	if s := r.str(kind); s != "root" {
		return r.refuse(kind, "this is metadata of the type %q, not \"root\"", s)
	}
	if err := r.want(spec, text, "spec_version"); err != nil {
		return err
	}
	root.SpecVersion = r.str(spec)
	if n := len(root.SpecVersion); n > maxSpec {
		return r.refuse(spec, "spec_version has %d bytes; no version has more than %d", n, maxSpec)
	}
	parts := strings.Split(root.SpecVersion, ".")
	for _, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" || len(parts) > 3 {
			return r.refuse(spec, "spec_version %q is not a version such as 1.0.34", root.SpecVersion)
		}
	}
	if parts[0] != "1" {
		return r.refuse(spec, "spec_version %q: only major version 1 of the specification is known here", root.SpecVersion)
	}
	if !writtenSpec(root.SpecVersion) {
		r.find(spec, "spec_version is %s; roots we write say 1.0.x", root.SpecVersion)
	}
	if err := r.want(version, integer, "version"); err != nil {
		return err
	}
	if root.Version = r.int(version); root.Version < 1 {
		return r.refuse(version, "version must be 1 or more")
	}
	if err := r.want(expires, text, "expires"); err != nil {
		return err
	}
	s := r.str(expires)
	if len(s) > maxDate {
		return r.refuse(expires, "expires has %d bytes; no date has more than %d", len(s), maxDate)
	}
	t, ok := parseDate(s)
	if !ok {
		return r.refuse(expires, "expires must be a date such as 2027-11-22T00:00:00Z, not %q", s)
	}
	root.Expires = t
	if s != t.Format(time.RFC3339) {
		root.expires = s
		r.find(expires, "expires has fractions of a second or an offset: %s", s)
	}
	return nil
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

func (r *reader) keys(root *Root, i int) error {
	if err := r.want(i, object, "keys"); err != nil {
		return err
	}
	at, end := r.inside(i)
	root.Keys = make([]Key, 0, 8)
	var values seen
	for ; at < end; at = r.after(at + 1) {
		id := r.str(at)
		if id == "" {
			return r.refuse(at, "a key id must not be empty")
		}
		key, err := r.key(at+1, id)
		if err != nil {
			return err
		}
		if sum := r.keyID(at + 1); string(sum[:]) != id {
			r.find(at, "the key id %s is not the SHA-256 of its key object", subject(short(id)))
		}
		if first := values.add(key.Value(), len(root.Keys)); first >= 0 {
			r.find(at, "the keys %s and %s are one and the same key", subject(short(root.Keys[first].ID)), short(id))
		}
		r.ids.add(id, len(root.Keys))
		root.Keys = append(root.Keys, key)
	}
	return nil
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

func (r *reader) roles(root *Root, i int) error {
	if err := r.want(i, object, "roles"); err != nil {
		return err
	}
	used := make([]bool, len(root.Keys))
	root.Roles = make(map[string]Role, 4)
	at, end := r.inside(i)
	for ; at < end; at = r.after(at + 1) {
		name := r.str(at)
		if !slices.Contains(RoleNames, name) {
			if err := r.unknown(at, RoleNames...); err != nil {
				return err
			}
			r.find(at, "unknown role %s", printable(name))
		}
		role, err := r.role(root, name, at+1, used)
		if err != nil {
			return err
		}
		root.Roles[name] = role
	}
	for _, name := range RoleNames {
		if _, ok := root.Roles[name]; !ok {
			return r.refuse(i, "the role %q is missing", name)
		}
	}
	for k, key := range root.Keys {
		if !used[k] {
			r.find(i, "no role uses the key %s", subject(short(key.ID)))
		}
	}
	return nil
}

func (r *reader) role(root *Root, name string, i int, used []bool) (role Role, err error) {
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
	if err := r.want(keyids, array, "keyids"); err != nil {
		return role, err
	}
	at, end = r.inside(keyids)
	var listed, values seen
	role.KeyIDs = make([]string, 0, end-at)
	distinct := 0
	for ; at < end; at = r.after(at) {
		if err := r.want(at, text, "a key id"); err != nil {
			return role, err
		}
		id := r.str(at)
		k := r.ids.get(id)
		if k < 0 {
			return role, r.refuse(at, "the role %q lists the key id %q, which is not in keys", name, id)
		}
		if listed.add(id, 0) >= 0 {
			return role, r.refuse(at, "the role %q lists the key id %q twice", name, id)
		}
		if values.add(root.Keys[k].Value(), 0) < 0 {
			distinct++
		}
		used[k] = true
		role.KeyIDs = append(role.KeyIDs, id)
	}
	if err := r.want(threshold, integer, "threshold"); err != nil {
		return role, err
	}
	t := r.int(threshold)
	if t < 1 {
		return role, r.refuse(threshold, "the threshold of the role %q must be 1 or more", name)
	}
	switch few := t > int64(distinct); {
	case t > math.MaxInt32, few && name == RoleRoot:
		return role, r.refuse(threshold, "the threshold of the role %q is %d, but it has only %d different keys", name, t, distinct)
	case few: // conformance tests and clients take it, and nothing of that role
		r.alarm(threshold, "nobody can sign for the role %s: its threshold is %d, but it has only %d different keys", subject(printable(name)), t, distinct)
	}
	role.Threshold = int(t)
	return role, nil
}

func (r *reader) signatures(i int, root *Root) ([]Signature, error) {
	if err := r.want(i, array, "signatures"); err != nil {
		return nil, err
	}
	at, end := r.inside(i)
	var ids seen
	list := make([]Signature, 0, (end-at)/5)
	for ; at < end; at = r.after(at) {
		if err := r.want(at, object, "a signature"); err != nil {
			return nil, err
		}
		var s Signature
		keyid, sig := -1, -1
		m, last := r.inside(at)
		for ; m < last; m = r.after(m + 1) {
			switch name := r.str(m); name {
			case "keyid":
				keyid = m + 1
			case "sig":
				sig = m + 1
			default:
				if err := r.unknown(m, "keyid", "sig"); err != nil {
					return nil, err
				}
				r.find(m, "a signature has the unknown field %s", printable(name))
				s.Extra = append(s.Extra, Field{name, r.raw(m + 1)})
			}
		}
		if err := r.present(at, "a signature", []string{"keyid", "sig"}, keyid, sig); err != nil {
			return nil, err
		}
		if err := r.want(keyid, text, "keyid"); err != nil {
			return nil, err
		}
		if err := r.want(sig, text, "sig"); err != nil {
			return nil, err
		}
		s.KeyID = r.str(keyid)
		if ids.add(s.KeyID, 0) >= 0 {
			return nil, r.refuse(keyid, "signatures list the key id %q twice", s.KeyID)
		}
		r.signature(&s, sig, root)
		list = append(list, s)
	}
	return list, nil
}

// signature reads what is said to be a signature. One that can't be any is passed
// over, as clients do: anyone who serves a file must not be able to make it unreadable.
func (r *reader) signature(s *Signature, sig int, root *Root) {
	var err error
	if s.Sig, err = hex.DecodeString(r.str(sig)); err != nil {
		s.Sig, s.Malformed = nil, "it isn't an even number of hex digits and nothing else"
	}
	if k := r.ids.get(s.KeyID); k >= 0 && len(s.Sig) > 0 && root.Keys[k].Unverifiable == "" {
		if least, most := root.Keys[k].signatureSize(); len(s.Sig) < least || len(s.Sig) > most {
			s.Malformed = fmt.Sprintf("it has %d bytes; one of its kind has %s", len(s.Sig), between(least, most))
			s.Sig = nil
		}
	}
	switch {
	case s.Malformed != "":
		r.alarm(sig, "what stands as the signature of %s can't be one and doesn't count: %s", subject(short(s.KeyID)), s.Malformed)
	case len(s.Sig) == 0:
		r.find(sig, "the signature of %s is an empty placeholder", subject(short(s.KeyID)))
	}
}
