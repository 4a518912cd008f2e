package tuf

import "strings"

// scope is what of all paths a delegation is for by one of its patterns, or prefixes of
// the SHA-256.
type scope struct {
	text string
	hash bool
}

func (s scope) String() string {
	switch {
	case s.hash && s.text == "":
		return "all paths"
	case s.hash:
		return "paths of which the SHA-256 begins with " + printable(s.text)
	}
	return printable(s.text)
}

func (d *Delegation) scopes() []scope {
	list := make([]scope, 0, len(d.Paths)+len(d.PathHashPrefixes))
	for _, p := range d.Paths {
		list = append(list, scope{p, false})
	}
	for _, p := range d.PathHashPrefixes {
		list = append(list, scope{p, true})
	}
	return list
}

// Shadow is a path, or a beginning of the SHA-256 of paths, of a delegation for which
// clients never ask its role: the terminating delegation to By comes before.
type Shadow struct{ Role, Path, By string }

// Shadows returns what of the delegations is shadowed, in their order. Of hostile files
// it finds as much as a second of comparing shows.
func (d *Delegations) Shadows() []Shadow {
	effort := comparing
	var before []terminal
	var list []Shadow
	for _, role := range d.roles() {
		scopes := role.scopes()
		for _, s := range scopes {
			if by := shadowing(before, s, &effort); by != "" {
				list = append(list, Shadow{role.Name, s.String(), by})
			}
		}
		if role.Terminating {
			before = append(before, terminal{role.Name, scopes})
		}
	}
	return list
}

// Scopes says in words which paths a delegation is for.
func (d *Delegation) Scopes() []string {
	var texts []string
	for _, s := range d.scopes() {
		texts = append(texts, s.String())
	}
	return texts
}

// roles are the delegations, with succinct ones as one that is for all paths.
func (d *Delegations) roles() []Delegation {
	if d == nil {
		return nil
	}
	if d.Succinct != nil {
		return []Delegation{{Name: d.Succinct.NamePrefix, Role: d.Succinct.Role, Terminating: true, PathHashPrefixes: []string{""}}}
	}
	return d.Roles
}

// comparing is how much effort is spent on comparing the scopes of one file, or of two,
// with each other: a second at most. More only hostile files need.
const comparing = 50_000_000

// overlaps reports whether some path may be in both scopes. It says so of what it can't
// know, and no longer once no effort is left.
func (s scope) overlaps(o scope, effort *int) bool {
	return s.compare(o, effort, true, overlap)
}

// covers reports whether every path of o is in s; false where it can't know.
func (s scope) covers(o scope, effort *int) bool {
	return s.compare(o, effort, false, covers)
}

func (s scope) compare(o scope, effort *int, unsure bool, patterns func(a, b string) bool) bool {
	if *effort--; *effort < 0 {
		return false
	}
	const wild = `*?[\`
	switch {
	case s.hash && o.hash:
		return strings.HasPrefix(o.text, s.text) || unsure && strings.HasPrefix(s.text, o.text)
	case s.hash && s.text == "":
		return true
	case s.hash && strings.ContainsAny(o.text, wild), o.hash && strings.ContainsAny(s.text, wild):
		return unsure
	case s.hash:
		*effort -= 100
		return strings.HasPrefix(hexSum(o.text), s.text)
	case o.hash:
		*effort -= 100
		return unsure && strings.HasPrefix(hexSum(s.text), o.text)
	}
	for i := 0; i < len(s.text) && i < len(o.text); i++ {
		a, b := s.text[i], o.text[i]
		if strings.IndexByte(wild, a) >= 0 || strings.IndexByte(wild, b) >= 0 {
			break
		}
		if a != b {
			return false
		}
	}
	*effort -= len(s.text) * len(o.text) / 4
	return patterns(s.text, o.text)
}
