package tuf

import (
	"fmt"
	"slices"
	"strings"

	"rootceremony/keys"
)

// Refusal says which clients refuse a root for something in it, though it is a
// valid root, or everything that a role of it signs.
type Refusal struct {
	Trait   string `json:"trait"`   // what is in the root
	Clients string `json:"clients"` // which clients, with the versions that were tried
	New     bool   `json:"new"`     // the root before, which is known, does not have it
}

func (r Refusal) String() string {
	if r.New {
		return "new in this version: " + r.Trait + ": " + r.Clients
	}
	return r.Trait + ": " + r.Clients
}

// trait is something that a valid root may have and that a client was seen to
// refuse. docs/second-opinions.md has the tables: what each client with a number says
// is tried by a test, and what the others say is recorded there.
type trait struct {
	text    string
	clients string
	has     func(root, before *Root) bool
	key     func(k Key, before *Root) bool
}

var traits = []trait{
	{text: "key ids that are not the SHA-256 of their key object", clients: "tough and php-tuf refuse such a root",
		key: func(k Key, _ *Root) bool { return !k.Hashed() }},
	{text: "keys without keyid_hash_algorithms, which all keys before have", clients: "php-tuf and Joomla's fork of it refuse such a root",
		key: func(k Key, before *Root) bool { return before.Notation() != "" && k.notation == "" }},
	{text: "consistent_snapshot is absent", clients: "go-tuf 2.4.2, tuf-js 3.1.0, tuf-js 6.0.2 and tough refuse such a root",
		has: func(root, _ *Root) bool { return root.inconsistent }},
	{text: "a role beside the four", clients: "python-tuf and tough refuse such a root",
		has: func(root, _ *Root) bool { return len(root.Roles) > len(RoleNames) }},
	{text: "keys written as PEM", clients: "php-tuf refuses such a root",
		key: func(k Key, _ *Root) bool { return k.pem() }},
	{text: "ECDSA keys written as a point in hex", clients: "go-tuf 2.4.2, go-tuf 0.7.0 and tough refuse such a root",
		key: func(k Key, _ *Root) bool {
			return k.Public.Algorithm != keys.Ed25519 && k.Public.Algorithm != "" && !k.pem()
		}},
	{text: "keys of the keytype ecdsa", clients: "tough before 0.17.1 and php-tuf refuse such a root",
		key: func(k Key, _ *Root) bool { return k.Type == "ecdsa" }},
	{text: "keys on P-384", clients: "go-tuf 0.7.0 and tuf-js 3.1.0 count no signature by such a key",
		key: func(k Key, _ *Root) bool { return k.Public.Algorithm == keys.P384 }},
	{text: "ML-DSA keys", clients: "go-tuf 2.4.2 and go-tuf 0.7.0 refuse such a root if the key has the root role, tuf-js 3.1.0 and tuf-js 6.0.2 count no signature by such a key; go-tuf and sigstore's Rust client know it since the autumn of 2026, securesystemslib where it is switched on",
		key: func(k Key, _ *Root) bool { return k.Type == "ml-dsa" && k.Unverifiable == "" }},
	{text: "keys of an unknown kind", clients: "go-tuf 2.4.2 and go-tuf 0.7.0 refuse such a root if the key has the root role, tuf-js 3.1.0 and tuf-js 6.0.2 count no signature by such a key",
		key: func(k Key, _ *Root) bool { return k.Unverifiable != "" }},
	{text: "keys of a kind that this chain hasn't had before", clients: "clients that were built for the keys so far may refuse such a root",
		key: func(k Key, before *Root) bool {
			return before != nil && !slices.ContainsFunc(before.Keys, func(o Key) bool { return o.Type == k.Type && o.Scheme == k.Scheme })
		}},
}

// of names the keys of a root that have the trait, by their short ids. It reports
// whether the root has the trait at all.
func (t trait) of(root, before *Root) (ids []string, has bool) {
	if t.has != nil {
		return nil, t.has(root, before)
	}
	for _, k := range root.Keys {
		if t.key(k, before) {
			ids = append(ids, short(k.ID))
		}
	}
	return ids, len(ids) > 0
}

// Refusals returns which clients are known to refuse a root that is valid, and for
// what. before is the root that it follows; nil: there is none, or none is known.
func Refusals(root, before *Root) []Refusal {
	var list []Refusal
	for _, t := range traits {
		ids, has := t.of(root, before)
		if !has {
			continue
		}
		r := Refusal{Trait: t.text, Clients: t.clients}
		if before != nil {
			_, had := t.of(before, nil)
			r.New = !had
		}
		if len(ids) > 0 {
			r.Trait += " (" + named(ids) + ")"
		}
		list = append(list, r)
	}
	return list
}

// TargetsRefusals returns which clients are known not to take delegations as they are
// meant, and for what. before is the metadata that they follow; nil: there is none.
func TargetsRefusals(t, before *Targets) []Refusal {
	prefixes := func(t *Targets) (roles []string) {
		if t.Delegations == nil {
			return nil
		}
		for _, d := range t.Delegations.Roles {
			if d.PathHashPrefixes != nil {
				roles = append(roles, printable(d.Name))
			}
		}
		return roles
	}
	var list []Refusal
	if roles := prefixes(t); len(roles) > 0 {
		list = append(list, Refusal{Trait: "path_hash_prefixes (" + named(roles) + ")", Clients: "go-tuf 2.4.2 compares them with the SHA-256 in base64, and asks these roles for other paths",
			New: before != nil && len(prefixes(before)) == 0})
	}
	if t.Delegations != nil && t.Delegations.Succinct != nil {
		list = append(list, Refusal{Trait: "succinct_roles (TAP 15)", Clients: "clients that go by the specification alone don't know them"})
	}
	return list
}

// Stops tells on which versions of a chain, which are in their order, clients are
// known to stop that would take the new root which follows: they never come to it.
func Stops(chain []*Root, next *Root) []string {
	var lines []string
	for _, t := range traits {
		if _, still := t.of(next, chain[len(chain)-1]); still {
			continue
		}
		var first, last int64
		say := func() {
			if first == 0 {
				return
			}
			where := fmt.Sprintf("at version %d", first)
			if last > first {
				where = fmt.Sprintf("at versions %d to %d", first, last)
			}
			lines = append(lines, fmt.Sprintf("%s: %s: %s", where, t.text, t.clients))
			first = 0
		}
		for i, root := range chain {
			var before *Root
			if i > 0 {
				before = chain[i-1]
			}
			if _, has := t.of(root, before); !has {
				say()
				continue
			}
			if first == 0 {
				first = root.Version
			}
			last = root.Version
		}
		say()
	}
	return lines
}

// named are the first of a list of key ids, and how many more there are.
func named(ids []string) string {
	const most = 3
	if more := len(ids) - most; more > 1 {
		return strings.Join(ids[:most], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return Listed(ids, "and")
}

// Hashed reports whether the key's id is the SHA-256 of its object.
func (k Key) Hashed() bool {
	read, err := scan(k.object)
	if err != nil {
		return false
	}
	r := reader{document: read}
	id := r.keyID(0)
	return string(id[:]) == k.ID
}

// pem reports whether the public key is written as PEM.
func (k Key) pem() bool { return strings.Contains(k.object, "-----BEGIN PUBLIC KEY-----") }
