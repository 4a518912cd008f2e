package tuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Targets is what the "signed" part of targets metadata says: that of the role targets,
// which the root names, or of a role to which targets metadata delegates (4.5).
type Targets struct {
	Version     int64
	Expires     time.Time // UTC
	SpecVersion string
	Targets     []Target     // in the order of the file; each path once
	Delegations *Delegations // nil: there are none
	Extra       []Field      // unknown fields of "signed", as received

	expires string // the date as received, where that is not how we write it
}

// Target is one file that clients may install. What the metadata says of it is kept
// byte for byte.
type Target struct {
	Path   string // as clients ask for it: relative, its segments parted by slashes
	Length int64  // bytes

	object string // as received
}

// Object is what the metadata says of the file, in JSON, as received: length, hashes,
// custom, and unknown fields.
func (t Target) Object() []byte { return []byte(t.object) }

// Hashes are the file's digests: the algorithms as names, the values as JSON strings.
func (t Target) Hashes() []Field {
	d, err := scan(t.object)
	if err != nil {
		return nil
	}
	var list []Field
	for _, at := range d.names(0) {
		if d.str(at) == "hashes" {
			for _, n := range d.names(at + 1) {
				list = append(list, Field{d.str(n), d.raw(n + 1)})
			}
		}
	}
	return list
}

// Delegations say which roles may sign for which paths (4.5).
type Delegations struct {
	Keys     []Key        // in the order of the file
	Roles    []Delegation // in the order in which clients ask them
	Succinct *Succinct    // in the place of Roles; nil: there are none
	Extra    []Field      // unknown fields, as received
}

// Delegation is one role with the paths that it may sign. Either Paths or
// PathHashPrefixes says which; the other is nil, and both are for a bin of succinct roles.
type Delegation struct {
	Name string // its metadata is NAME.json
	Role
	Terminating      bool     // later delegations don't count for its paths
	Paths            []string // patterns: see Matches
	PathHashPrefixes []string // beginnings of SHA-256(path) in lower-case hex
}

// Succinct is a role of which the metadata is spread over 2^BitLength bins, each for the
// paths of which the SHA-256 begins with its number (TAP 15). It is read and carried,
// and not written where it wasn't.
type Succinct struct {
	Role
	BitLength  int    // 1 to 32
	NamePrefix string // bins are named PREFIX-NUMBER, the number in hex with leading zeros
}

// Bin is the name of the bin for a path.
func (s *Succinct) Bin(path string) string {
	digits := len(strconv.FormatUint(1<<s.BitLength-1, 16))
	return fmt.Sprintf("%s-%0*x", s.NamePrefix, digits, bin(path)>>(32-s.BitLength))
}

// Delegation returns the delegation to a role. A bin of succinct roles is one too.
func (t *Targets) Delegation(role string) (Delegation, bool) {
	if t.Delegations == nil {
		return Delegation{}, false
	}
	for _, d := range t.Delegations.Roles {
		if d.Name == role {
			return d, true
		}
	}
	if s := t.Delegations.Succinct; s != nil {
		digits := len(strconv.FormatUint(1<<s.BitLength-1, 16))
		if number, ok := strings.CutPrefix(role, s.NamePrefix+"-"); ok && len(number) == digits && strings.Trim(number, "0123456789abcdef") == "" {
			if n, err := strconv.ParseUint(number, 16, 64); err == nil && n>>s.BitLength == 0 {
				return Delegation{Name: role, Role: s.Role, Terminating: true}, true
			}
		}
	}
	return Delegation{}, false
}

// Rehearsal reports whether the metadata carries x-rehearsal, as Root.Rehearsal does.
func (t *Targets) Rehearsal() bool { return rehearsal(t.Extra) }

// SetRehearsal sets "x-rehearsal": true, or takes the field away.
func (t *Targets) SetRehearsal(on bool) { t.Extra = setRehearsal(t.Extra, on) }

// Next returns a copy to edit into the following version, as Root.Next does: the
// version is one higher, and everything that is not the metadata's own date, version
// or rehearsal is as it was, each target byte for byte. Set Expires again.
func (t *Targets) Next() *Targets {
	next := *t
	next.Version++
	next.SpecVersion = SpecVersion
	next.Targets = slices.Clone(t.Targets)
	if t.Delegations != nil {
		d := *t.Delegations
		d.Keys, d.Roles, d.Extra = slices.Clone(d.Keys), slices.Clone(d.Roles), slices.Clone(d.Extra)
		for i := range d.Roles {
			role := &d.Roles[i]
			role.KeyIDs, role.Extra = slices.Clone(role.KeyIDs), slices.Clone(role.Extra)
			role.Paths, role.PathHashPrefixes = slices.Clone(role.Paths), slices.Clone(role.PathHashPrefixes)
		}
		if d.Succinct != nil {
			s := *d.Succinct
			s.KeyIDs, s.Extra = slices.Clone(s.KeyIDs), slices.Clone(s.Extra)
			d.Succinct = &s
		}
		next.Delegations = &d
	}
	next.SetRehearsal(false)
	next.expires = ""
	return &next
}

// TargetsFile is one targets metadata file.
type TargetsFile struct {
	Targets *Targets
	Envelope
}

// ParseTargets reads a targets metadata file, as strictly as Parse reads a root's and
// with the same kinds of findings. Errors are *ParseError. What is refused beyond the
// notation of JSON: a path, a key id or a delegated role twice; the name of a top-level
// role for a delegated one; a delegation with both kinds of paths or none; a threshold
// below 1; a length below 0. Paths that differ in case only are files of their own. A
// path or pattern that escapes is a finding, and makes the file unfit to sign.
func ParseTargets(data []byte) (*TargetsFile, error) {
	if len(data) > MaxTargetsSize {
		return nil, refuse("", 0, "the file is longer than %d bytes; targets metadata is read up to that", MaxTargetsSize)
	}
	r := &reader{document: &document{nodes: make([]node, 0, 24+len(data)/24), caseful: 2}}
	if err := r.scan(string(data)); err != nil {
		return nil, err
	}
	f, err := r.targetsFile()
	if err == nil && r.full {
		err = refuse("", 0, "more than %d things in the file are not as we would write them", maxFindings)
	}
	if err != nil {
		return nil, err
	}
	f.Findings = r.placed()
	return f, nil
}

// IsTargets reports whether a file says of itself that it is targets metadata. Whether it
// can be read as such is for ParseTargets to say.
func IsTargets(data []byte) bool {
	var file struct {
		Signed struct {
			Type string `json:"_type"`
		} `json:"signed"`
	}
	return json.Unmarshal(data, &file) == nil && file.Signed.Type == RoleTargets
}

// ParseTargetsCanonical is ParseCanonical for targets metadata.
func ParseTargetsCanonical(signed []byte) (*TargetsFile, error) {
	f, err := ParseTargets(unsigned(signed))
	if err == nil && !bytes.Equal(f.Signed, signed) {
		err = errNotCanonical
	}
	return f, err
}

// Fit reports whether somebody may sign this file, as File.Fit does: before is the
// metadata of the same role before it, or nil.
func (f *TargetsFile) Fit(before *Targets) error {
	var own, carried []Key
	if f.Targets.Delegations != nil {
		own = f.Targets.Delegations.Keys
	}
	if before != nil && before.Delegations != nil {
		carried = before.Delegations.Keys
	}
	return f.fit(own, carried, "the targets before")
}

// Report counts f's signatures for the role targets of a root.
func (f *TargetsFile) Report(by *Root) Report {
	return f.count(Report{Version: by.Version, Role: RoleTargets}, by.Keys, by.Roles[RoleTargets], make([]verified, len(f.Signatures)))
}

// ReportDelegated counts f's signatures for a role to which a parent delegates. The
// Report's version is the parent's. Where there is no such delegation nothing is needed
// and nothing good.
func (f *TargetsFile) ReportDelegated(parent *Targets, role string) Report {
	report := Report{Version: parent.Version, Role: role}
	d, ok := parent.Delegation(role)
	if !ok {
		return report
	}
	return f.count(report, parent.Delegations.Keys, d.Role, make([]verified, len(f.Signatures)))
}

// someTargets is the size from which clients refuse targets metadata of which the
// snapshot does not say the length.
const someTargets = 5_000_000

var targetsNames = []string{"_type", "spec_version", "version", "expires", "targets", "delegations"}

func (r *reader) targetsFile() (*TargetsFile, error) {
	f := &TargetsFile{}
	signed, signatures, err := r.envelope(&f.Envelope, "targets metadata")
	if err != nil {
		return nil, err
	}
	if f.Targets, err = r.targets(signed); err != nil {
		return nil, err
	}
	// Who signs stands in other metadata, so that a key here says nothing of a signature.
	if err := r.seal(&f.Envelope, signed, signatures, nil); err != nil {
		return nil, err
	}
	if len(r.src) > someTargets {
		r.find(0, "the file has %d bytes; clients refuse more than %d where the snapshot doesn't say its length", len(r.src), someTargets)
	}
	return f, nil
}

func (r *reader) targets(i int) (*Targets, error) {
	if err := r.want(i, object, "signed"); err != nil {
		return nil, err
	}
	t := &Targets{}
	var kind, spec, version, expires, files, delegations = -1, -1, -1, -1, -1, -1
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
		case "targets":
			files = at + 1
		case "delegations":
			delegations = at + 1
		default:
			if err := r.unknown(at, targetsNames...); err != nil {
				return nil, err
			}
			if name != rehearsalField {
				r.find(at, "unknown field %s", printable(name))
			}
			t.Extra = append(t.Extra, Field{name, r.raw(at + 1)})
		}
	}
	if err := r.present(i, "signed", targetsNames, kind, spec, version, expires, files); err != nil {
		return nil, err
	}
	head, err := r.head(RoleTargets, kind, spec, version, expires)
	if err != nil {
		return nil, err
	}
	t.SpecVersion, t.Version, t.Expires, t.expires = head.spec, head.version, head.expires, head.odd
	if t.Targets, err = r.files(files); err != nil {
		return nil, err
	}
	if delegations >= 0 {
		t.Delegations, err = r.delegations(delegations)
	}
	return t, err
}

// files reads the targets.
func (r *reader) files(i int) ([]Target, error) {
	if err := r.want(i, object, "targets"); err != nil {
		return nil, err
	}
	at, end := r.inside(i)
	list := make([]Target, 0, (end-at)/8)
	for ; at < end; at = r.after(at + 1) {
		t := Target{Path: r.str(at), object: r.raw(at + 1)}
		if why := escapes(t.Path); why != "" {
			r.alarm(at, "the target path %s %s", subject(printable(t.Path)), why)
		}
		if err := r.target(at+1, &t); err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	for _, at := range r.alike {
		r.find(at, "the target path %s differs from another one in case only: some file systems take one for the other", subject(printable(r.str(at))))
	}
	return list, nil
}

var targetNames = []string{"length", "hashes", "custom"}

func (r *reader) target(i int, t *Target) error {
	if err := r.want(i, object, "a target"); err != nil {
		return err
	}
	length, hashes, odd := -1, -1, false
	at, end := r.inside(i)
	for ; at < end; at = r.after(at + 1) {
		switch name := r.str(at); name {
		case "length":
			length = at + 1
		case "hashes":
			hashes = at + 1
		case "custom":
			if err := r.want(at+1, object, name); err != nil {
				return err
			}
		default:
			if err := r.unknown(at, targetNames...); err != nil {
				return err
			}
			if !odd {
				r.find(at, "the target %s has the unknown field %s", subject(printable(t.Path)), printable(name))
			}
			odd = true
		}
	}
	if err := r.present(i, "a target", targetNames, length, hashes); err != nil {
		return err
	}
	if err := r.want(length, integer, "length"); err != nil {
		return err
	}
	if t.Length = r.int(length); t.Length < 0 {
		return r.refuse(length, "length must be 0 or more")
	}
	if err := r.want(hashes, object, "hashes"); err != nil {
		return err
	}
	at, end = r.inside(hashes)
	if at == end {
		return r.refuse(hashes, "hashes is empty: any file would fit")
	}
	known := false
	for ; at < end; at = r.after(at + 1) {
		if err := r.want(at+1, text, "a hash"); err != nil {
			return err
		}
		known = known || hashSize[r.str(at)] != 0
		// The value's case is that of the metadata, and clients compare it as it stands.
		name, value := r.str(at), r.str(at+1)
		if strings.Trim(value, "0123456789abcdef") != "" || len(value)%2 != 0 || value == "" || hashSize[name] != 0 && len(value) != hashSize[name] {
			r.find(at+1, "the target %s has a hash %s that isn't one in lower-case hex", subject(printable(t.Path)), printable(name))
		}
	}
	if !known {
		r.find(hashes, "the target %s has neither a sha256 nor a sha512: no client can install it", subject(printable(t.Path)))
	}
	return nil
}

// hashSize has the hex digits of a hash, for the algorithms that clients know.
var hashSize = map[string]int{"sha256": 64, "sha512": 128}

var delegationsNames = []string{"keys", "roles", "succinct_roles"}

func (r *reader) delegations(i int) (*Delegations, error) {
	if err := r.want(i, object, "delegations"); err != nil {
		return nil, err
	}
	d := &Delegations{}
	keys, roles, succinct := -1, -1, -1
	at, end := r.inside(i)
	for ; at < end; at = r.after(at + 1) {
		switch name := r.str(at); name {
		case "keys":
			keys = at + 1
		case "roles":
			roles = at + 1
		case "succinct_roles":
			succinct = at + 1
		default:
			if err := r.unknown(at, delegationsNames...); err != nil {
				return nil, err
			}
			r.find(at, "delegations have the unknown field %s", printable(name))
			d.Extra = append(d.Extra, Field{name, r.raw(at + 1)})
		}
	}
	if err := r.present(i, "delegations", delegationsNames, keys); err != nil {
		return nil, err
	}
	if (roles < 0) == (succinct < 0) {
		return nil, r.refuse(i, "delegations have either roles or succinct_roles")
	}
	var err error
	if d.Keys, err = r.keys(keys); err != nil {
		return nil, err
	}
	used := make([]bool, len(d.Keys))
	if roles >= 0 {
		d.Roles, err = r.delegated(roles, d.Keys, used)
	} else {
		d.Succinct, err = r.succinct(succinct, d.Keys, used)
	}
	if err != nil {
		return nil, err
	}
	r.unused(keys, d.Keys, used)
	return d, nil
}

// delegated reads the roles of delegations.
func (r *reader) delegated(i int, keys []Key, used []bool) ([]Delegation, error) {
	if err := r.want(i, array, "roles"); err != nil {
		return nil, err
	}
	at, end := r.inside(i)
	if at == end {
		r.find(i, "roles is empty")
	}
	list := make([]Delegation, 0, min(end-at, 16))
	var names seen
	for ; at < end; at = r.after(at) {
		d, name, err := r.delegation(at, keys, used)
		if err != nil {
			return nil, err
		}
		if names.add(d.Name, 0) >= 0 {
			return nil, r.refuse(name, "the role %q is delegated to twice", d.Name)
		}
		list = append(list, d)
	}
	return list, nil
}

var delegationNames = []string{"name", "keyids", "threshold", "terminating", "paths", "path_hash_prefixes"}

// delegation reads a delegation, and returns where its name stands too.
func (r *reader) delegation(i int, keys []Key, used []bool) (d Delegation, name int, err error) {
	if err := r.want(i, object, "a delegation"); err != nil {
		return d, -1, err
	}
	name = -1
	keyids, threshold, terminating, paths, prefixes := -1, -1, -1, -1, -1
	at, end := r.inside(i)
	for ; at < end; at = r.after(at + 1) {
		switch field := r.str(at); field {
		case "name":
			name = at + 1
		case "keyids":
			keyids = at + 1
		case "threshold":
			threshold = at + 1
		case "terminating":
			terminating = at + 1
		case "paths":
			paths = at + 1
		case "path_hash_prefixes":
			prefixes = at + 1
		default:
			if err := r.unknown(at, delegationNames...); err != nil {
				return d, name, err
			}
			r.find(at, "a delegation has the unknown field %s", printable(field))
			d.Extra = append(d.Extra, Field{field, r.raw(at + 1)})
		}
	}
	if err := r.present(i, "a delegation", delegationNames, name, keyids, threshold, terminating); err != nil {
		return d, name, err
	}
	if (paths < 0) == (prefixes < 0) {
		return d, name, r.refuse(i, "a delegation has either paths or path_hash_prefixes")
	}
	if err := r.want(name, text, "name"); err != nil {
		return d, name, err
	}
	d.Name = r.str(name)
	if slices.Contains(RoleNames, d.Name) {
		return d, name, r.refuse(name, "%q is the name of a top-level role", d.Name)
	}
	if why := oddName(d.Name); why != "" {
		r.find(name, "the name of the delegated role %s %s", subject(printable(d.Name)), why)
	}
	if err := r.signers(&d.Role, d.Name, keyids, threshold, keys, used); err != nil {
		return d, name, err
	}
	if err := r.want(terminating, boolean, "terminating"); err != nil {
		return d, name, err
	}
	d.Terminating = r.raw(terminating) == "true"
	if paths >= 0 {
		d.Paths, err = r.patterns(paths, d.Name)
	} else {
		d.PathHashPrefixes, err = r.prefixes(prefixes, d.Name)
	}
	return d, name, err
}

// patterns reads the paths of a delegation.
func (r *reader) patterns(i int, role string) ([]string, error) {
	list, err := r.strings(i, "paths", "a path")
	at, end := r.inside(i)
	for k := 0; at < end && err == nil; at, k = r.after(at), k+1 {
		switch p := list[k]; {
		case len(p) > maxPattern:
			return nil, r.refuse(at, "a path of %d bytes in a delegation; none is longer than %d", len(p), maxPattern)
		case escapes(p) != "":
			r.alarm(at, "the path %s, delegated to %s, %s", subject(printable(p)), printable(role), escapes(p))
		case ambiguous(p) != "":
			r.find(at, "the path %s, delegated to %s, %s", subject(printable(p)), printable(role), ambiguous(p))
		}
	}
	return list, err
}

// prefixes reads the path_hash_prefixes of a delegation.
func (r *reader) prefixes(i int, role string) ([]string, error) {
	list, err := r.strings(i, "path_hash_prefixes", "a prefix")
	at, end := r.inside(i)
	for k := 0; at < end && err == nil; at, k = r.after(at), k+1 {
		if why := oddPrefix(list[k]); why != "" {
			r.find(at, "the prefix %s, delegated to %s, %s", subject(printable(list[k])), printable(role), why)
		}
	}
	if err == nil {
		r.find(i, "the role %s has path_hash_prefixes: go-tuf 2.4.2 compares them with the SHA-256 in base64, and asks it for other paths", subject(printable(role)))
	}
	return list, err
}

// strings reads an array of strings.
func (r *reader) strings(i int, what, each string) ([]string, error) {
	if err := r.want(i, array, what); err != nil {
		return nil, err
	}
	at, end := r.inside(i)
	list := make([]string, 0, end-at)
	for ; at < end; at = r.after(at) {
		if err := r.want(at, text, each); err != nil {
			return nil, err
		}
		list = append(list, r.str(at))
	}
	if r.asked += len(list); r.asked > maxPaths {
		return nil, r.refuse(i, "the delegations have more than %d paths", maxPaths)
	}
	if len(list) == 0 {
		r.find(i, "%s is empty: the role is for no path", what)
	}
	return list, nil
}

var succinctNames = []string{"keyids", "threshold", "bit_length", "name_prefix"}

func (r *reader) succinct(i int, keys []Key, used []bool) (*Succinct, error) {
	if err := r.want(i, object, "succinct_roles"); err != nil {
		return nil, err
	}
	s := &Succinct{}
	keyids, threshold, length, prefix := -1, -1, -1, -1
	at, end := r.inside(i)
	for ; at < end; at = r.after(at + 1) {
		switch name := r.str(at); name {
		case "keyids":
			keyids = at + 1
		case "threshold":
			threshold = at + 1
		case "bit_length":
			length = at + 1
		case "name_prefix":
			prefix = at + 1
		default:
			if err := r.unknown(at, succinctNames...); err != nil {
				return nil, err
			}
			r.find(at, "succinct_roles have the unknown field %s", printable(name))
			s.Extra = append(s.Extra, Field{name, r.raw(at + 1)})
		}
	}
	if err := r.present(i, "succinct_roles", succinctNames, keyids, threshold, length, prefix); err != nil {
		return nil, err
	}
	if err := r.want(length, integer, "bit_length"); err != nil {
		return nil, err
	}
	n := r.int(length)
	if n < 1 || n > 32 {
		return nil, r.refuse(length, "bit_length must be 1 to 32")
	}
	s.BitLength = int(n)
	if err := r.want(prefix, text, "name_prefix"); err != nil {
		return nil, err
	}
	s.NamePrefix = r.str(prefix)
	if why := oddName(s.NamePrefix + "-"); why != "" {
		r.find(prefix, "the name_prefix %s %s", subject(printable(s.NamePrefix)), why)
	}
	r.find(i, "succinct_roles (TAP 15) are not in the specification: some clients don't know them")
	return s, r.signers(&s.Role, s.NamePrefix, keyids, threshold, keys, used)
}

// Canonical returns what is signed. It is meaningful where Check is nil.
func (t *Targets) Canonical() []byte {
	s := t.json()
	d, err := rescan(s)
	if err != nil {
		return []byte(s) // Check says what is wrong with it
	}
	return d.canonical(make([]byte, 0, len(s)), 0)
}

// JSON is "signed" as JSON, as Root.JSON is.
func (t *Targets) JSON() []byte { return []byte(t.json()) }

func (t *Targets) date() string { return writtenDate(t.Expires, t.expires) }

// json writes "signed" as JSON.
func (t *Targets) json() string {
	size := 1024
	for _, f := range t.Targets {
		size += len(f.Path) + len(f.object) + 8
	}
	b := make([]byte, 0, size)
	b = append(b, `{"_type":"targets"`...)
	if d := t.Delegations; d != nil {
		b = appendKeys(append(b, `,"delegations":{`...), d.Keys)
		if d.Succinct != nil {
			b = appendRole(append(b, `,"succinct_roles":{`...), d.Succinct.Role)
			b = strconv.AppendInt(append(b, `,"bit_length":`...), int64(d.Succinct.BitLength), 10)
			b = append(appendString(append(b, `,"name_prefix":`...), d.Succinct.NamePrefix), '}')
		} else {
			b = append(b, `,"roles":[`...)
			for i, role := range d.Roles {
				if i > 0 {
					b = append(b, ',')
				}
				b = append(appendDelegation(append(b, '{'), role), '}')
			}
			b = append(b, ']')
		}
		b = append(appendFields(b, d.Extra), '}')
	}
	b = appendString(append(b, `,"expires":`...), t.date())
	b = appendString(append(b, `,"spec_version":`...), t.SpecVersion)
	b = append(b, `,"targets":{`...)
	for i, f := range t.Targets {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(appendString(b, f.Path), ':'), f.object...)
	}
	b = strconv.AppendInt(append(b, `},"version":`...), t.Version, 10)
	return string(append(appendFields(b, t.Extra), '}'))
}

func appendDelegation(b []byte, d Delegation) []byte {
	b = appendString(append(b, `"name":`...), d.Name)
	b = appendRole(append(b, ','), d.Role)
	b = strconv.AppendBool(append(b, `,"terminating":`...), d.Terminating)
	if d.PathHashPrefixes != nil {
		return appendStrings(append(b, ','), "path_hash_prefixes", d.PathHashPrefixes)
	}
	return appendStrings(append(b, ','), "paths", d.Paths)
}

// Check reports whether the metadata keeps to the profile that we write, and if not,
// which rule it breaks. Of what the metadata of the same role before it holds in the
// same canonical bytes (targets, keys, unknown fields, succinct roles) only what makes it
// unfit to sign is refused. The version must be above that one's. previous is nil for a
// first one.
func (t *Targets) Check(previous *Targets) error {
	if previous == nil {
		previous = &Targets{}
	}
	switch {
	case t.Version < 1 || t.Version > maxVersion:
		return fmt.Errorf("version %d: versions go from 1 to 2^53-1", t.Version)
	case t.Version <= previous.Version:
		return fmt.Errorf("version %d: after version %d comes %d or a higher one", t.Version, previous.Version, previous.Version+1)
	}
	if err := checkHead(RoleTargets, t.Expires, t.date(), t.SpecVersion); err != nil {
		return err
	}
	if err := checkFields(t.Extra, func(f Field) bool { return hasField(previous.Extra, f) }); err != nil {
		return err
	}
	if err := t.checkDelegations(previous.Delegations); err != nil {
		return err
	}
	if err := t.checkTargets(previous); err != nil {
		return err
	}
	bare := *t
	bare.Targets = nil // they are as received
	s := bare.json()
	if i := strings.IndexFunc(s, func(c rune) bool { return c >= 0x7f }); i >= 0 {
		return fmt.Errorf("targets metadata we write is ASCII but for target files, but it holds %q", []rune(s[i:])[0])
	}
	// What was written must be read as the same again.
	f, err := ParseTargets(fmt.Appendf(nil, `{"signatures":[],"signed":%s}`, t.json()))
	if err != nil {
		return fmt.Errorf("these targets would not be readable: %w", err)
	}
	if !bytes.Equal(f.Signed, t.Canonical()) {
		return errors.New("these targets would not be read as they were written")
	}
	return f.Fit(previous)
}

// checkTargets: each is as received, here or in the metadata before.
func (t *Targets) checkTargets(previous *Targets) error {
	had := make(map[string]string, len(previous.Targets))
	for _, f := range previous.Targets {
		had[f.Path] = f.object
	}
	for _, f := range t.Targets {
		if f.object == "" {
			return fmt.Errorf("the target %s was not read from metadata", printable(f.Path))
		}
		if object, ok := had[f.Path]; ok && object == f.object {
			continue
		}
		if strings.ContainsFunc(f.Path+f.object, func(c rune) bool { return c >= 0x7f }) {
			return fmt.Errorf("the target %s is not in the metadata before, and holds more than ASCII", printable(f.Path))
		}
	}
	return nil
}

func (t *Targets) checkDelegations(previous *Delegations) error {
	d := t.Delegations
	if d == nil {
		return nil
	}
	if previous == nil {
		previous = &Delegations{}
	}
	if d.Succinct != nil && (previous.Succinct == nil || !sameSuccinct(d.Succinct, previous.Succinct)) {
		return errors.New("succinct_roles: they are carried, and not written or changed")
	}
	if d.Succinct == nil && len(d.Roles) == 0 {
		return errors.New("delegations without a role: take them away")
	}
	if d.Succinct != nil && len(d.Roles) > 0 {
		return errors.New("delegations have either roles or succinct_roles")
	}
	for _, f := range d.Extra {
		if !hasField(previous.Extra, f) {
			return fmt.Errorf("delegations have the unknown field %q; those we write have none", clip(f.Name))
		}
	}
	had := make(map[string]Delegation, len(previous.Roles))
	for _, role := range previous.Roles {
		had[role.Name] = role
	}
	used := map[string]bool{}
	for _, role := range d.Roles {
		before, known := had[role.Name]
		if err := role.check(before, known); err != nil {
			return err
		}
		for _, id := range role.KeyIDs {
			used[id] = true
		}
	}
	if d.Succinct != nil {
		for _, id := range d.Succinct.KeyIDs {
			used[id] = true
		}
	}
	values := make(map[string]string, len(d.Keys))
	for _, k := range d.Keys {
		other, twice := values[k.Value()]
		switch {
		case !k.asWritten(k.notation) && !hasKey(previous.Keys, k):
			return fmt.Errorf("key %s is not as we write keys: id = SHA-256 of a key object with keytype, scheme and keyval, and with keyid_hash_algorithms only where all keys of the root have it", short(k.ID))
		case twice:
			return fmt.Errorf("the keys %s and %s are one and the same key", short(other), short(k.ID))
		case !used[k.ID]:
			return fmt.Errorf("no delegation uses the key %s", short(k.ID))
		}
		values[k.Value()] = k.ID
	}
	return nil
}

func sameSuccinct(a, b *Succinct) bool {
	return a.BitLength == b.BitLength && a.NamePrefix == b.NamePrefix && a.Threshold == b.Threshold && slices.Equal(a.KeyIDs, b.KeyIDs) && slices.Equal(a.Extra, b.Extra)
}

// check is what Check asks of a delegation. before is the one to the same role in the
// metadata before, if that is known.
func (d Delegation) check(before Delegation, known bool) error {
	if why := oddName(d.Name); why != "" && !known {
		return fmt.Errorf("the name of the delegated role %q %s", clip(d.Name), why)
	}
	if d.Threshold < 1 || d.Threshold > len(d.KeyIDs) {
		return fmt.Errorf("the threshold of the role %s is %d; with %d keys it can be 1 to %d", printable(d.Name), d.Threshold, len(d.KeyIDs), len(d.KeyIDs))
	}
	if len(d.Paths)+len(d.PathHashPrefixes) == 0 || len(d.Paths) > 0 && d.PathHashPrefixes != nil {
		return fmt.Errorf("the role %s: a delegation has either paths or path_hash_prefixes", printable(d.Name))
	}
	for _, p := range d.Paths {
		if why := escapes(p); why != "" {
			return fmt.Errorf("the path %q, delegated to %s, %s", clip(p), printable(d.Name), why)
		}
		if why := ambiguous(p); why != "" && !slices.Contains(before.Paths, p) {
			return fmt.Errorf("the path %q, delegated to %s, %s", clip(p), printable(d.Name), why)
		}
	}
	for _, p := range d.PathHashPrefixes {
		if why := oddPrefix(p); why != "" && !slices.Contains(before.PathHashPrefixes, p) {
			return fmt.Errorf("the prefix %q, delegated to %s, %s", clip(p), printable(d.Name), why)
		}
	}
	for _, f := range d.Extra {
		if !hasField(before.Extra, f) {
			return fmt.Errorf("the role %s has the unknown field %q; delegations we write have none", printable(d.Name), clip(f.Name))
		}
	}
	return nil
}

// AssembleTargets puts a targets file together, as Assemble does a root's. The metadata
// must pass Check. Every signature is verified by the key with its id among keys, which
// are those of the root, or of the delegations that name the role; one that is wrong,
// empty or doubled is an error that names the key. No signatures make an unsigned draft.
func AssembleTargets(t *Targets, sigs []Signature, keys []Key, previous *Targets) ([]byte, error) {
	if err := t.Check(previous); err != nil {
		return nil, err
	}
	canonical := t.Canonical()
	file, err := assemble(t.json(), canonical, sigs, func(s Signature) error { return verifyAny(s, canonical, keys) })
	if err != nil {
		return nil, err
	}
	f, err := ParseTargets(file)
	if err != nil {
		return nil, fmt.Errorf("the targets file would not be readable: %w", err)
	}
	if !bytes.Equal(f.Signed, canonical) || len(f.Signatures) != len(sigs) {
		return nil, errors.New("the targets file would not be read as it was written")
	}
	return file, nil
}
