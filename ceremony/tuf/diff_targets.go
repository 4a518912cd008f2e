package tuf

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// DiffTargets tells people what changes from one targets metadata of a role to the next,
// as Diff does for roots; a nil old one makes it the description of a first one. What is
// said first is which delegated paths pass to others: where a role can sign for a path
// that was another's, or the same role's, with so many keys that the owner of before
// didn't have that they reach its threshold. So is a path that falls to another as the
// order changes or its delegation goes.
func DiffTargets(old, new *Targets, at time.Time, names map[string]string) []Change {
	d := &difference{at: at, names: names}
	if old == nil {
		d.add("version", "version %d, with no targets before it", new.Version)
		d.add("expires", "expires %s, %s", dateText(new.Expires, new.date()), when(new.Expires, at))
		d.add("spec_version", "spec_version %s", printable(new.SpecVersion))
		old = &Targets{}
	} else {
		d.takeovers(old.Delegations, new.Delegations)
		d.version("file", old.Version, new.Version)
		d.expiry(dateText(old.Expires, old.date()), dateText(new.Expires, new.date()), new.Expires)
		d.spec(old.SpecVersion, new.SpecVersion)
	}
	d.files(old.Targets, new.Targets)
	d.delegations(old.Delegations, new.Delegations)
	d.fields("", old.Extra, new.Extra)
	return append(d.changes, d.same...)
}

// files tells which target files come, go and change.
func (d *difference) files(old, new []Target) {
	had, has := make(map[string]string, len(old)), make(map[string]bool, len(new))
	for _, t := range old {
		had[t.Path] = t.object
	}
	for _, t := range new {
		has[t.Path] = true
	}
	var gone, come, changed []Target
	for _, t := range old {
		if !has[t.Path] {
			gone = append(gone, t)
		}
	}
	for _, t := range new {
		before, known := had[t.Path]
		switch {
		case !known:
			come = append(come, t)
		case before != t.object && canonicalText(before) != canonicalText(t.object):
			changed = append(changed, t)
		}
	}
	if len(gone)+len(come)+len(changed) > 0 {
		d.add("target", "target files: %d come, %d go, %d change, %d stay", len(come), len(gone), len(changed), len(new)-len(come)-len(changed))
	}
	list, more := few(gone)
	for _, t := range list {
		d.add("target", "target removed: %s", t.text())
	}
	d.more("target", more, "and %d more target files are removed")
	list, more = few(come)
	for _, t := range list {
		d.add("target", "target added: %s", t.text())
	}
	d.more("target", more, "and %d more target files are added")
	list, more = few(changed)
	for _, t := range list {
		before := Target{Path: t.Path, object: had[t.Path]}
		d.members("target", "target "+printable(t.Path)+": ", "", before.members(), t.members())
	}
	d.more("target", more, "and %d more target files are changed")
}

func (d *difference) more(what string, more int, format string) {
	if more > 0 {
		d.add(what, format, more)
	}
}

// members are what the metadata says of a target file.
func (t Target) members() []Field {
	s, err := scan(t.object)
	if err != nil {
		return nil
	}
	var list []Field
	for _, at := range s.names(0) {
		list = append(list, Field{s.str(at), s.raw(at + 1)})
	}
	return list
}

// delegations tells which delegations come, go, change and change places.
func (d *difference) delegations(old, new *Delegations) {
	switch {
	case old == nil && new == nil:
		return
	case old == nil:
		d.add("delegation", "delegations: there were none")
		old = &Delegations{}
	case new == nil:
		d.add("delegation", "delegations: there are none any longer")
		new = &Delegations{}
	}
	d.keys(old.Keys, new.Keys)
	had, has := rolesByName(old), rolesByName(new)
	start := len(d.changes)
	var stayed, stays []string
	for _, role := range old.roles() {
		if _, ok := has[role.Name]; ok {
			stayed = append(stayed, role.Name)
		} else {
			d.add("delegation", "delegation removed: %s", d.delegation(&role))
		}
	}
	d.cut(start, "delegation", "", "and %d more delegations are removed")
	start = len(d.changes)
	for _, role := range new.roles() {
		if _, ok := had[role.Name]; ok {
			stays = append(stays, role.Name)
		} else {
			d.add("delegation", "delegation added: %s", d.delegation(&role))
			d.fields("role "+printable(role.Name)+": ", nil, role.Extra)
		}
	}
	d.cut(start, "delegation", "", "and %d more delegations are added")
	start = len(d.changes)
	for _, name := range stays {
		before, role := had[name], has[name]
		label := printable(name)
		d.signers(label, before.Role, role.Role)
		d.paths(label, before.scopes(), role.scopes())
		if len(before.scopes())+len(role.scopes()) == 0 && (before.Paths == nil) != (role.Paths == nil) {
			d.add("delegation", "role %s: it is for no paths, which is written in another way", label)
		}
		if before.Terminating != role.Terminating {
			d.add("delegation", "role %s: %s (before: %s)", label, terminates(role), terminates(before))
		}
		d.fields("role "+label+": ", before.Extra, role.Extra)
	}
	d.cut(start, "delegation", "", "and %d more changes of delegations")
	if !slices.Equal(stayed, stays) {
		d.add("delegation", "the delegations are asked in another order: %s (before: %s)", order(stays), order(stayed))
	}
	d.succinct(old.Succinct, new.Succinct)
	if a, b := old.roles(), new.roles(); (a == nil) != (b == nil) && len(a)+len(b) == 0 {
		d.add("delegation", "an empty list of roles comes or goes")
	}
	d.fields("delegations: ", old.Extra, new.Extra)
}

func rolesByName(d *Delegations) map[string]Delegation {
	m := map[string]Delegation{}
	for _, role := range d.roles() {
		m[role.Name] = role
	}
	return m
}

func order(names []string) string {
	var list []string
	for _, name := range names {
		list = append(list, printable(name))
	}
	return join(list, "and")
}

func terminates(d Delegation) string {
	if d.Terminating {
		return "terminating"
	}
	return "not terminating"
}

// delegation is a delegation in a line.
func (d *difference) delegation(role *Delegation) string {
	return fmt.Sprintf("role %s, %s, for %s, %s", printable(role.Name), d.signing(role.Role), listed(role.scopes()), terminates(*role))
}

// signing says who signs for a role.
func (d *difference) signing(role Role) string {
	return fmt.Sprintf("%d of %d must sign: %s", role.Threshold, len(role.KeyIDs), join(d.people(role.KeyIDs), "and"))
}

func listed(scopes []scope) string {
	var list []string
	for _, s := range scopes {
		list = append(list, s.String())
	}
	return join(list, "and")
}

// paths tells how the paths of a delegation change.
func (d *difference) paths(label string, old, new []scope) {
	gone, come := lacking(old, new), lacking(new, old)
	if len(gone) > 0 {
		d.add("delegation", "role %s: no longer for %s", label, listed(gone))
	}
	if len(come) > 0 {
		d.add("delegation", "role %s: now also for %s", label, listed(come))
	}
	if len(gone)+len(come) == 0 && !slices.Equal(old, new) {
		d.add("delegation", "role %s: the same paths in another order or number", label)
	}
}

// lacking returns what is in a and not in b.
func lacking(a, b []scope) []scope {
	has := make(map[scope]bool, len(b))
	for _, s := range b {
		has[s] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(s scope) bool { return has[s] })
}

func (d *difference) succinct(old, new *Succinct) {
	say := func(s *Succinct) string {
		if s == nil {
			return "none"
		}
		return fmt.Sprintf("%d bins %s", uint64(1)<<s.BitLength, printable(s.NamePrefix))
	}
	if a, b := say(old), say(new); a != b || old != nil && new != nil && old.NamePrefix != new.NamePrefix {
		d.add("delegation", "succinct roles: %s (before: %s)", b, a)
	}
}

// takeovers says loudly which delegated paths pass to others.
func (d *difference) takeovers(old, new *Delegations) {
	effort := comparing
	before, after := ranking(old, &effort), ranking(new, &effort)
	// What is the same at both ends can't pass to anyone.
	same := func(a, b ranked) bool {
		return a.Name == b.Name && a.Threshold == b.Threshold && a.Terminating == b.Terminating && slices.Equal(a.scopes, b.scopes) && slices.Equal(a.values, b.values)
	}
	first, ends := 0, 0
	for first < len(before) && first < len(after) && same(before[first], after[first]) {
		first++
	}
	for ends < min(len(before), len(after))-first && same(before[len(before)-1-ends], after[len(after)-1-ends]) {
		ends++
	}
	type pair struct{ from, to string }
	var pairs []pair
	passing := map[pair][]scope{}
	said := map[scope]map[string]bool{} // to whom
	pass := func(s scope, from, to *ranked) {
		if from == nil || to == nil || said[s][to.Name] || !to.fresh(from) {
			return
		}
		if said[s] == nil {
			said[s] = map[string]bool{}
		}
		said[s][to.Name] = true
		p := pair{"role " + printable(from.Name) + " (" + d.signing(from.Role) + ")", "role " + printable(to.Name) + " (" + d.signing(to.Role) + ")"}
		if passing[p] == nil {
			pairs = append(pairs, p)
		}
		passing[p] = append(passing[p], s)
	}
	named := make(map[string]*ranked, len(before))
	for i := range before {
		named[before[i].Name] = &before[i]
	}
	for i := first; i < len(after)-ends; i++ {
		role := &after[i]
		was := named[role.Name]
		for _, s := range role.scopes {
			if was != nil && was.has[s] {
				pass(s, was, role)
			} else {
				pass(s, owner(before, s, true, &effort), role)
			}
		}
	}
	for _, changed := range [][]ranked{before[first : len(before)-ends], after[first : len(after)-ends]} {
		for i := range changed {
			for _, s := range changed[i].scopes {
				pass(s, owner(before, s, true, &effort), owner(after, s, false, &effort))
			}
		}
	}
	start := len(d.changes)
	for _, p := range pairs {
		passes := "PASSES"
		if len(passing[p]) > 1 {
			passes = "PASS"
		}
		d.add("delegation", "ATTENTION: %s %s from %s to %s", listed(passing[p]), passes, p.from, p.to)
	}
	d.cut(start, "delegation", "", "ATTENTION: and %d more times paths pass to others")
	if effort < 0 {
		d.add("delegation", "ATTENTION: there are too many delegated paths to say of all whether they pass to others")
	}
}

// ranked is a delegation with what takeovers compares.
type ranked struct {
	Delegation
	scopes []scope // without those for which a terminating one before it leaves nothing
	has    map[scope]bool
	values []string // of its keys, sorted
}

func ranking(d *Delegations, effort *int) []ranked {
	if d == nil {
		return nil
	}
	keys := keysByID(d.Keys)
	var list []ranked
	var terminals []terminal
	for _, role := range d.roles() {
		r := ranked{Delegation: role, has: map[scope]bool{}}
		for _, s := range role.scopes() {
			if shadowing(terminals, s, effort) == "" {
				r.scopes, r.has[s] = append(r.scopes, s), true
			}
		}
		if role.Terminating {
			terminals = append(terminals, terminal{role.Name, r.scopes})
		}
		for _, id := range role.KeyIDs {
			k := keys[id]
			r.values = append(r.values, k.Value())
		}
		slices.Sort(r.values)
		r.values = slices.Compact(r.values)
		list = append(list, r)
	}
	return list
}

// fresh reports whether keys of the role that the owner didn't have reach its threshold.
func (r *ranked) fresh(owner *ranked) bool {
	n := 0
	for _, v := range r.values {
		if _, had := slices.BinarySearchFunc(owner.values, v, strings.Compare); !had {
			n++
		}
	}
	return n >= r.Threshold
}

// owner is the first role that is for all paths of a scope, or else, where partly is
// asked for, the first that is for some of them.
func owner(list []ranked, s scope, partly bool, effort *int) *ranked {
	var some *ranked
	for i := range list {
		for _, o := range list[i].scopes {
			if *effort < 0 {
				return some
			}
			if o.covers(s, effort) {
				return &list[i]
			}
			if partly && some == nil && o.overlaps(s, effort) {
				some = &list[i]
			}
		}
	}
	return some
}
