// Package tuf reads, writes and verifies the root and targets metadata of The Update
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
// Targets metadata (ParseTargets, Targets.Check, AssembleTargets) is of the same form
// and under the same rules: its signed part lists target files, which are carried byte
// for byte, and delegates paths to roles with keys of their own. A target path is
// compared as it stands. A pattern fits it segment by segment (Matches); a prefix, the
// SHA-256 of it in hex. Who can sign for a path, and whom a terminating delegation
// shadows, says Tree.Who. Paths and patterns that escape are findings, and make a file
// unfit to sign. testdata/targets has its vectors.
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
	"slices"
	"strings"
	"sync"
	"time"
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
func (r *Root) Rehearsal() bool { return rehearsal(r.Extra) }

// SetRehearsal sets "x-rehearsal": true, or takes the field away.
func (r *Root) SetRehearsal(on bool) { r.Extra = setRehearsal(r.Extra, on) }

func rehearsal(fields []Field) bool {
	return slices.ContainsFunc(fields, func(f Field) bool { return strings.EqualFold(f.Name, rehearsalField) })
}

func setRehearsal(fields []Field, on bool) []Field {
	fields = slices.DeleteFunc(slices.Clone(fields), func(f Field) bool { return strings.EqualFold(f.Name, rehearsalField) })
	if on {
		fields = append(fields, Field{rehearsalField, "true"})
	}
	return fields
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

// File is one root metadata file.
type File struct {
	Root *Root
	Envelope
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
	f, err := Parse(unsigned(signed))
	if err == nil && !bytes.Equal(f.Signed, signed) {
		err = errNotCanonical
	}
	return f, err
}

// Fit reports whether somebody may sign this file: it holds nothing that only a
// verdict may pass over, and no private key but what the root before it, if that is
// known, holds in the same bytes. The error says what it is.
func (f *File) Fit(before *Root) error {
	var carried []Key
	if before != nil {
		carried = before.Keys
	}
	return f.fit(f.Root.Keys, carried, "the root before")
}

var signedNames = []string{"_type", "spec_version", "version", "expires", "keys", "roles", "consistent_snapshot"}

func (r *reader) file() (*File, error) {
	f := &File{}
	signed, signatures, err := r.envelope(&f.Envelope, "root metadata")
	if err != nil {
		return nil, err
	}
	if f.Root, err = r.root(signed); err != nil {
		return nil, err
	}
	if err := r.seal(&f.Envelope, signed, signatures, f.Root.Keys); err != nil {
		return nil, err
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
	head, err := r.head(RoleRoot, kind, spec, version, expires)
	if err != nil {
		return nil, err
	}
	root.SpecVersion, root.Version, root.Expires, root.expires = head.spec, head.version, head.expires, head.odd
	if root.Keys, err = r.keys(keys); err != nil {
		return nil, err
	}
	return root, r.roles(root, roles)
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
		role, err := r.role(name, at+1, root.Keys, used)
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
	r.unused(i, root.Keys, used)
	return nil
}
