package tuf

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Change is one difference between two roots, or between the targets metadata of a role.
type Change struct {
	What string `json:"what"`           // version, expires, spec_version, consistent_snapshot, key, role, field; of targets also target, delegation
	Text string `json:"text"`           // one line for people
	Same bool   `json:"same,omitempty"` // nothing changed here; people look for it all the same
}

func (c Change) String() string { return c.Text }

// Diff tells people what changes from one root to the next; a nil old root
// makes it the description of a first one. What is seen at "at" is how far the
// expiry is away. Names are holders' names by key id. Version and expiry are
// always in it, what is the same at the end; two roots that differ in any signed
// byte differ in another change too. That no root key stays is said first.
func Diff(old, new *Root, at time.Time, names map[string]string) []Change {
	d := &difference{at: at, names: names}
	if old == nil {
		d.add("version", "version %d, with no root before it", new.Version)
		d.add("expires", "expires %s, %s", dateText(new.Expires, new.date()), when(new.Expires, at))
		d.add("spec_version", "spec_version %s", printable(new.SpecVersion))
		d.add("consistent_snapshot", "consistent_snapshot %s", new.consistency())
		old = &Root{}
	} else {
		d.replaced(old, new)
		d.head(old, new)
	}
	d.keys(old.Keys, new.Keys)
	start := len(d.changes)
	for _, name := range old.roleNames() {
		if _, stays := new.Roles[name]; !stays {
			d.add("role", "role %s: removed", printable(name))
		}
	}
	d.cut(start, "role", "", "and %d more roles are removed")
	roles := new.roleNames()
	known := min(len(RoleNames), len(roles))
	for _, name := range roles[:known] {
		d.role(name, old, new)
	}
	start = len(d.changes)
	for _, name := range roles[known:] {
		d.role(name, old, new)
	}
	d.cut(start, "role", "", "and %d more changes of other roles")
	d.fields("", old.Extra, new.Extra)
	return append(d.changes, d.same...)
}

type difference struct {
	at      time.Time
	names   map[string]string
	changes []Change
	same    []Change
}

func (d *difference) add(what, format string, args ...any) {
	d.changes = append(d.changes, Change{What: what, Text: fmt.Sprintf(format, args...)})
}

// cut leaves the first of a long list of changes that begins at start, and says
// how many more there are.
func (d *difference) cut(start int, what, where, format string) {
	if list, more := few(d.changes[start:]); more > 0 {
		d.changes = d.changes[:start+len(list)]
		d.add(what, "%s"+format, where, more)
	}
}

// replaced says loudly where no root key of the old root is one of the new root,
// by value: then anyone who made the new one need not have been among the old.
func (d *difference) replaced(old, new *Root) {
	stays := map[string]bool{}
	for _, id := range new.Roles[RoleRoot].KeyIDs {
		if key, ok := new.Key(id); ok {
			stays[key.Value()] = true
		}
	}
	ids := old.Roles[RoleRoot].KeyIDs
	if len(ids) > 0 && !slices.ContainsFunc(ids, func(id string) bool { key, ok := old.Key(id); return ok && stays[key.Value()] }) {
		d.add("role", "ATTENTION: NO ROOT KEY OF VERSION %d STAYS: all %d are replaced", old.Version, len(ids))
	}
}

func (d *difference) head(old, new *Root) {
	d.version(RoleRoot, old.Version, new.Version)
	d.expiry(dateText(old.Expires, old.date()), dateText(new.Expires, new.date()), new.Expires)
	d.spec(old.SpecVersion, new.SpecVersion)
	if old.consistency() != new.consistency() {
		d.add("consistent_snapshot", "consistent_snapshot %s to %s", old.consistency(), new.consistency())
	}
}

func (d *difference) version(what string, old, new int64) {
	switch new {
	case old:
		d.add("version", "version %d, as before: a new %s must have another", new, what)
	case old + 1:
		d.add("version", "version %d to %d", old, new)
	default:
		d.add("version", "version %d to %d: one higher would be %d", old, new, old+1)
	}
}

// expiry compares two dates, as dateText writes them; expires is the new one.
func (d *difference) expiry(old, new string, expires time.Time) {
	expired := ""
	if !expires.After(d.at) {
		expired = ": expired"
	}
	if old == new {
		d.same = append(d.same, Change{"expires", fmt.Sprintf("expires %s, %s, as before%s", new, when(expires, d.at), expired), true})
	} else {
		d.add("expires", "expires %s, %s%s (before: %s)", new, when(expires, d.at), expired, old)
	}
}

func (d *difference) spec(old, new string) {
	if old != new {
		d.add("spec_version", "spec_version %s to %s", printable(old), printable(new))
	}
}

// dateText is the expiry for people, and as it stands in the file where that
// says more.
func dateText(expires time.Time, written string) string {
	if written != expires.UTC().Format(time.RFC3339) {
		return fmt.Sprintf("%s (written %s)", date(expires), written)
	}
	return date(expires)
}

func (d *difference) keys(old, new []Key) {
	had, has := keysByID(old), keysByID(new)
	newIDs := idsByValue(new)
	moved := map[string]bool{}
	start := len(d.changes)
	for _, k := range old {
		if _, stays := has[k.ID]; stays {
			continue
		}
		if other := otherID(newIDs, k); other != "" && !moved[other] {
			moved[other] = true
			d.add("key", "key under another id: %s is now %s", keyText(k, d.names), printable(other))
		} else {
			d.add("key", "key removed: %s", keyText(k, d.names))
		}
	}
	d.cut(start, "key", "", "and %d more keys are removed or under another id")
	start = len(d.changes)
	for _, k := range new {
		before, known := had[k.ID]
		same := otherID(newIDs, k)
		switch {
		case !known && same != "":
			d.add("key", "key added: %s, the same key as %s", keyText(k, d.names), printable(same))
		case !known && !moved[k.ID]:
			d.add("key", "key added: %s", keyText(k, d.names))
		case known && before.Value() != k.Value():
			d.add("key", "another key under the same id: %s", keyText(k, d.names))
		}
	}
	d.cut(start, "key", "", "and %d more keys are added or changed")
	start = len(d.changes)
	for _, k := range new {
		before, known := had[k.ID]
		if known && before.Value() == k.Value() && before.object != k.object && canonicalText(before.object) != canonicalText(k.object) {
			d.object(before, k)
		}
	}
	d.cut(start, "key", "", "and %d more changes of key objects")
}

// object tells what changes in the object of a key that stays the same key.
func (d *difference) object(old, new Key) {
	start, label := len(d.changes), keyText(new, d.names)
	d.members("key", "key object changed, same key: "+label+": ", "", old.members(false), new.members(false))
	d.members("key", "key "+label+": ", "unknown field ", old.Extra(), new.Extra())
	if len(d.changes) == start { // unknown fields named like others
		before, after := apart(old.object, new.object)
		d.add("key", "key object changed, same key: %s: %s to %s", label, before, after)
	}
}

func keysByID(keys []Key) map[string]Key {
	m := make(map[string]Key, len(keys))
	for _, k := range keys {
		m[k.ID] = k
	}
	return m
}

// idsByValue returns the first two ids under which each key stands.
func idsByValue(keys []Key) map[string][2]string {
	m := make(map[string][2]string, len(keys))
	for _, k := range keys {
		switch ids := m[k.Value()]; {
		case ids[0] == "":
			m[k.Value()] = [2]string{k.ID}
		case ids[1] == "":
			m[k.Value()] = [2]string{ids[0], k.ID}
		}
	}
	return m
}

// otherID finds the same key under another id, or "".
func otherID(ids map[string][2]string, k Key) string {
	for _, id := range ids[k.Value()] {
		if id != k.ID {
			return id
		}
	}
	return ""
}

func (d *difference) role(name string, old, new *Root) {
	before, known := old.Roles[name]
	role := new.Roles[name]
	label := printable(name)
	if !known {
		d.add("role", "role %s: %d of %d must sign: %s", label, role.Threshold, len(role.KeyIDs), join(d.people(role.KeyIDs), "and"))
	} else {
		d.signers(label, before, role)
	}
	d.fields("role "+label+": ", before.Extra, role.Extra)
}

// signers tells how keys and threshold of a role change.
func (d *difference) signers(label string, before, role Role) {
	if before.Threshold != role.Threshold || len(before.KeyIDs) != len(role.KeyIDs) {
		d.add("role", "role %s: %d of %d must sign (before: %d of %d)", label, role.Threshold, len(role.KeyIDs), before.Threshold, len(before.KeyIDs))
	}
	removed, added := without(before.KeyIDs, role.KeyIDs), without(role.KeyIDs, before.KeyIDs)
	if len(removed) > 0 {
		d.add("role", "role %s: no longer %s", label, join(d.people(removed), "and"))
	}
	if len(added) > 0 {
		d.add("role", "role %s: new %s", label, join(d.people(added), "and"))
	}
	if len(removed)+len(added) == 0 && !slices.Equal(before.KeyIDs, role.KeyIDs) {
		d.add("role", "role %s: the same keys in another order", label)
	}
}

func (d *difference) people(ids []string) []string {
	var list []string
	for _, id := range ids {
		list = append(list, who(id, d.names))
	}
	return list
}

// without returns what is in a and not in b.
func without(a, b []string) []string {
	have := make(map[string]bool, len(b))
	for _, s := range b {
		have[s] = true
	}
	var list []string
	for _, s := range a {
		if !have[s] {
			list = append(list, s)
		}
	}
	return list
}

func (d *difference) fields(where string, old, new []Field) {
	d.members("field", where, "unknown field ", old, new)
}

// members tells how one list of members becomes another; kind comes before
// their names.
func (d *difference) members(what, where, kind string, old, new []Field) {
	values := func(fields []Field) map[string]string {
		m := make(map[string]string, len(fields))
		for _, f := range fields {
			m[f.Name] = f.Value
		}
		return m
	}
	had, has := values(old), values(new)
	start := len(d.changes)
	for _, f := range old {
		if _, stays := has[f.Name]; !stays {
			d.add(what, "%s%sremoved: %s: %s", where, kind, printable(f.Name), valueText(f.Value))
		}
	}
	d.cut(start, what, where, "and %d more fields are removed")
	start = len(d.changes)
	for _, f := range new {
		before, known := had[f.Name]
		switch {
		case !known:
			d.add(what, "%s%sadded: %s: %s", where, kind, printable(f.Name), valueText(f.Value))
		case canonicalText(before) != canonicalText(f.Value):
			was, is := apart(before, f.Value)
			d.add(what, "%s%schanged: %s: %s to %s", where, kind, printable(f.Name), was, is)
		}
	}
	d.cut(start, what, where, "and %d more fields are added or changed")
}

// apart writes two JSON values that say different things so that people see
// two different texts: long ones with length and SHA-256.
func apart(old, new string) (string, string) {
	a, b := valueText(old), valueText(new)
	if cut := "..."; strings.HasSuffix(a, cut) || strings.HasSuffix(b, cut) {
		mark := func(text, value string) string {
			value = canonicalText(value)
			return fmt.Sprintf("%s (%d bytes, SHA-256 %.16x)", text, len(value), sha256.Sum256([]byte(value)))
		}
		return mark(a, old), mark(b, new)
	}
	return a, b
}
