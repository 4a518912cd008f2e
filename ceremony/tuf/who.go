package tuf

import (
	"fmt"
	"strings"
)

// Tree is the metadata by which clients find out who may sign which path.
type Tree struct {
	Root      *Root
	Targets   *Targets            // of the role targets
	Delegated map[string]*Targets // of other roles, by name, as far as it is known
	// Load finds the metadata of a role that isn't in Delegated, and that enough of the
	// keys have signed with which parent delegates to it: nil where there is none. It may
	// be nil.
	Load func(parent *Targets, role string) *Targets
}

func (t Tree) metadata(parent *Targets, role string) *Targets {
	if known := t.Delegated[role]; known != nil || t.Load == nil {
		return known
	}
	return t.Load(parent, role)
}

// MaxAsked is how many roles clients ask for a path, unless they are told otherwise.
const MaxAsked = 32

// Signer is a role that may sign for a path.
type Signer struct {
	Role        string   `json:"role"`
	By          string   `json:"by,omitempty"`    // the role that delegates to it; "": it is targets, which the root names
	Match       string   `json:"match,omitempty"` // the pattern, prefix or bin by which the delegation is for the path
	KeyIDs      []string `json:"keyids"`
	Keys        []Key    `json:"-"` // those with these ids, in their order
	Threshold   int      `json:"threshold"`
	Terminating bool     `json:"terminating,omitempty"`
	Known       bool     `json:"known"`           // its metadata is in the tree, and with it the roles to which it delegates
	Lists       bool     `json:"lists,omitempty"` // that lists the path: clients take what it says, and ask nobody after it
	// Shadowed names the role whose delegation is terminating and comes before: clients
	// never ask this one for the path. It is "" for those that they do ask.
	Shadowed string `json:"shadowed,omitempty"`
}

// Text says in words who must sign, and by which delegation. Names are holders' names
// by the value of their key: an id may stand for other keys in other metadata.
func (s Signer) Text(names map[string]string) string {
	text := fmt.Sprintf("role %s: %s", printable(s.Role), mustSign(Role{KeyIDs: s.KeyIDs, Threshold: s.Threshold}, s.Keys, names))
	if s.By != "" {
		text += fmt.Sprintf("; delegated by %s for %s", printable(s.By), printable(s.Match))
	}
	if s.Terminating {
		text += ", terminating"
	}
	if s.Lists {
		text += "; it lists the path, and nobody after it is asked"
	}
	if s.Shadowed != "" {
		text += fmt.Sprintf("; SHADOWED by the terminating delegation to %s: nobody asks it", printable(s.Shadowed))
	}
	return text
}

// mustSign says how many of whom must sign for a role, with names by the value of keys.
func mustSign(r Role, list []Key, names map[string]string) string {
	byID := keysByID(list)
	var people []string
	values := map[string]bool{}
	for _, id := range r.KeyIDs {
		k := byID[id]
		values[k.Value()] = true
		if name := names[k.Value()]; name != "" {
			people = append(people, printable(name))
		} else {
			people = append(people, short(id))
		}
	}
	text := fmt.Sprintf("%d of %d must sign: %s", r.Threshold, len(r.KeyIDs), join(people, "and"))
	if r.Threshold > len(values) {
		text += " (NOBODY CAN: they have too few keys)"
	}
	return text
}

// asked is a delegation that waits for its turn in Who.
type asked struct {
	Signer
	parent *Targets
	shadow string
}

// Who returns the roles that can sign for a path, in the order in which clients ask them
// (5.6.7: depth first, a role before those to which it delegates, each role once), and
// between them the ones that a terminating delegation shadows, each where it would have
// been asked. A terminating delegation ends the whole search, not that of the role only
// in which it stands. What a role whose metadata isn't in the tree delegates isn't known.
// Clients ask the first MaxAsked of those that aren't shadowed unless they are told
// otherwise. The error says why no target can have such a path.
func (t Tree) Who(target string) ([]Signer, error) {
	if why := escapes(target); why != "" {
		return nil, fmt.Errorf("the path %q %s: no target has such a path", clip(target), why)
	}
	if len(target) > maxPattern {
		return nil, fmt.Errorf("a path of %d bytes; none is longer than %d", len(target), maxPattern)
	}
	sum := hexSum(target)
	top := t.Root.Roles[RoleTargets]
	pending := []asked{{Signer: Signer{Role: RoleTargets, KeyIDs: top.KeyIDs, Keys: keysNamed(t.Root.Keys, top.KeyIDs), Threshold: top.Threshold}}}
	visited, named := map[string]bool{}, map[string]bool{}
	var list []Signer
	for len(pending) > 0 {
		s := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if visited[s.Role] || s.shadow != "" && named[s.Role] {
			continue
		}
		if s.Shadowed = s.shadow; s.shadow != "" {
			named[s.Role] = true
			list = append(list, s.Signer)
			continue
		}
		visited[s.Role] = true
		metadata := t.Targets
		if s.Role != RoleTargets {
			metadata = t.metadata(s.parent, s.Role)
		}
		if s.Known = metadata != nil; !s.Known {
			list = append(list, s.Signer)
			continue
		}
		s.Lists = metadata.lists(target)
		list = append(list, s.Signer)
		var next []asked
		shadow := ""
		for _, d := range metadata.matching(target, sum) {
			d.By = s.Role
			next = append(next, asked{d, metadata, shadow})
			if d.Terminating && shadow == "" {
				shadow = d.Role
			}
		}
		if shadow != "" { // those that wait from before come after it
			for i := len(pending) - 1; i >= 0 && pending[i].shadow == ""; i-- {
				pending[i].shadow = shadow
			}
		}
		for i := len(next) - 1; i >= 0; i-- {
			pending = append(pending, next[i])
		}
	}
	return list, nil
}

// lists reports whether the metadata names a target path.
func (t *Targets) lists(target string) bool {
	for i := range t.Targets {
		if t.Targets[i].Path == target {
			return true
		}
	}
	return false
}

// matching returns the delegations for a path, in their order.
func (t *Targets) matching(target, sum string) []Signer {
	d := t.Delegations
	if d == nil {
		return nil
	}
	var byID map[string]Key
	signer := func(role string, match string, of Role, terminating bool) Signer {
		if byID == nil {
			byID = make(map[string]Key, len(d.Keys))
			for _, k := range d.Keys {
				byID[k.ID] = k
			}
		}
		s := Signer{Role: role, Match: match, KeyIDs: of.KeyIDs, Threshold: of.Threshold, Terminating: terminating}
		for _, id := range of.KeyIDs {
			if k, ok := byID[id]; ok {
				s.Keys = append(s.Keys, k)
			}
		}
		return s
	}
	var list []Signer
	for i := range d.Roles {
		if match, ok := d.Roles[i].match(target, sum); ok {
			list = append(list, signer(d.Roles[i].Name, match, d.Roles[i].Role, d.Roles[i].Terminating))
		}
	}
	if d.Succinct != nil {
		name := d.Succinct.Bin(target)
		list = append(list, signer(name, "the bin "+strings.TrimPrefix(name, d.Succinct.NamePrefix+"-"), d.Succinct.Role, true))
	}
	return list
}

func keysNamed(keys []Key, ids []string) []Key {
	var list []Key
	for _, id := range ids {
		for _, k := range keys {
			if k.ID == id {
				list = append(list, k)
			}
		}
	}
	return list
}
