package tuf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"pgregory.net/rapid"
)

// said is what Who answers, in short: "!" for what is shadowed, "=" for what lists it.
func said(list []Signer) string {
	var parts []string
	for _, s := range list {
		text := s.Role
		if s.Lists {
			text += "="
		}
		if s.Shadowed != "" {
			text = "!" + text + "<" + s.Shadowed
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

func role(name string, terminating bool, paths ...string) Delegation {
	return Delegation{Name: name, Role: roleOf(1, make25519(200)), Terminating: terminating, Paths: paths}
}

func metadataOf(roles ...Delegation) *Targets {
	return &Targets{Version: 1, Expires: expiry, SpecVersion: SpecVersion, Delegations: delegating(roles...)}
}

func TestWho(t *testing.T) {
	root, _ := targetsRoot()
	for _, c := range []struct {
		name      string
		top       *Targets
		delegated map[string]*Targets
		path      string
		want      string
	}{
		{"nobody else", &Targets{}, nil, "x", "targets"},
		{"the top lists it", newTargets(), nil, "README.txt", "targets="},
		{"one, then a terminating one", newTargets(), nil, "packages/abc", "targets alice bob"},
		{"another segment", newTargets(), nil, "packages/a/b", "targets alice"},
		{"shadowed by an earlier one", metadataOf(role("a", true, "x/*"), role("b", false, "x/*"), role("c", false, "*/y")), nil, "x/y", "targets a !b<a !c<a"},
		{"depth first", metadataOf(role("a", false, "*"), role("b", false, "*")),
			map[string]*Targets{"a": metadataOf(role("a1", false, "*"), role("a2", false, "*")), "a1": metadataOf(role("a11", false, "*"))}, "x", "targets a a1 a11 a2 b"},
		{"a terminating one deep down ends it all", metadataOf(role("a", false, "*"), role("b", false, "*")),
			map[string]*Targets{"a": metadataOf(role("a1", true, "*"), role("a2", false, "*")), "a1": metadataOf(role("a11", false, "*"))}, "x", "targets a a1 a11 !a2<a1 !b<a1"},
		{"one that doesn't match ends nothing", metadataOf(role("a", true, "y"), role("b", false, "*")), nil, "x", "targets b"},
		{"a parent's path holds for its children", metadataOf(role("a", false, "y"), role("b", false, "*")), map[string]*Targets{"a": metadataOf(role("c", false, "*"))}, "x", "targets b"},
		{"a ring", metadataOf(role("a", false, "*")), map[string]*Targets{"a": metadataOf(role("b", false, "*")), "b": metadataOf(role("a", false, "*"), role("c", true, "*"))}, "x", "targets a b c"},
		{"who was asked isn't asked again", metadataOf(role("a", false, "*"), role("c", false, "*")), map[string]*Targets{"a": metadataOf(role("c", false, "*"))}, "x", "targets a c"},
		{"a shadow within a shadow", metadataOf(role("a", true, "*"), role("b", true, "*"), role("c", false, "*")), nil, "x", "targets a !b<a !c<a"},
		{"a shadowed one's children aren't asked", metadataOf(role("a", true, "*"), role("b", true, "*")), map[string]*Targets{"b": metadataOf(role("c", false, "*"))}, "x", "targets a !b<a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := Tree{Root: root, Targets: c.top, Delegated: c.delegated}.Who(c.path)
			if err != nil || said(list) != c.want {
				t.Errorf("%s, want %s (%v)", said(list), c.want, err)
			}
		})
	}
	list := must(Tree{Root: root, Targets: newTargets()}.Who("packages/abc"))
	if s := list[0]; s.Threshold != 2 || len(s.Keys) != 3 || !s.Known || s.By != "" || s.Match != "" {
		t.Errorf("%+v", s)
	}
	if s := list[2]; s.Threshold != 2 || len(s.Keys) != 3 || s.Known || s.By != "targets" || s.Match != "packages/*" || !s.Terminating {
		t.Errorf("%+v", s)
	}
	if got, want := list[2].Text(map[string]string{list[2].Keys[0].Value(): "Bob"}), "role bob: 2 of 3 must sign: Bob, "; !strings.HasPrefix(got, want) ||
		!strings.HasSuffix(got, "; delegated by targets for packages/*, terminating") {
		t.Error(got)
	}
	bin := newTargets()
	bin.Delegations.Succinct, bin.Delegations.Roles = &Succinct{Role: roleOf(1, make25519(200)), BitLength: 10, NamePrefix: "bin"}, nil
	list = must(Tree{Root: root, Targets: bin}.Who("a"))
	if said(list) != "targets bin-32a" || list[1].Match != "the bin 32a" || !list[1].Terminating {
		t.Errorf("%+v", list)
	}
	for _, path := range []string{"", "/a", "../a", `a\b`, "a//b", "a\x1b", strings.Repeat("a", 5000)} {
		if list, err := (Tree{Root: root, Targets: newTargets()}).Who(path); err == nil {
			t.Errorf("%.20q: %v", path, list)
		}
	}
}

// Of one file's delegations a client of go-tuf asks the same roles in the same order,
// up to the first terminating one.
func TestWhoAgreesWithGoTUF(t *testing.T) {
	root, _ := targetsRoot()
	rapid.Check(t, func(t *rapid.T) {
		var roles []Delegation
		for i := range rapid.IntRange(0, 5).Draw(t, "roles") {
			paths := rapid.SliceOfN(rapid.SampledFrom([]string{"*", "a", "a*", "*/b", "a/?", "*/*", "b/*"}), 1, 3).Draw(t, "paths")
			roles = append(roles, role(fmt.Sprint("r", i), rapid.Bool().Draw(t, "terminating"), paths...))
		}
		path := rapid.SampledFrom([]string{"a", "b", "ab", "a/b", "b/b", "c/d/e"}).Draw(t, "path")
		top := metadataOf(roles...)
		var theirs metadata.Metadata[metadata.TargetsType]
		if _, err := theirs.FromBytes(file(top.json(), nil)); err != nil {
			t.Fatal(err)
		}
		want := []string{RoleTargets}
		for _, r := range theirs.Signed.Delegations.GetRolesForTarget(path) {
			if want = append(want, r.Name); r.Terminating {
				break
			}
		}
		var got []string
		for _, s := range must(Tree{Root: root, Targets: top}.Who(path)) {
			if s.Shadowed == "" {
				got = append(got, s.Role)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, go-tuf: %v", got, want)
		}
	})
}

// manyDelegations has n roles with a path of its own each and one for all, and beneath
// each of them as many again that are the same.
func manyDelegations(n int, terminating bool) Tree {
	root, _ := targetsRoot()
	var roles []Delegation
	tree := Tree{Root: root, Delegated: map[string]*Targets{}}
	for i := range n {
		roles = append(roles, role(fmt.Sprint("r", i), terminating && i%2 == 1, fmt.Sprintf("packages/%d-*", i), "packages/*a*b*c*d*"))
	}
	tree.Targets = metadataOf(roles...)
	for i := range min(n, 20) {
		tree.Delegated[fmt.Sprint("r", i)] = tree.Targets
	}
	return tree
}

// Ten thousand delegations are asked, shown and compared in bounded time.
func TestManyDelegations(t *testing.T) {
	for _, terminating := range []bool{false, true} {
		tree := manyDelegations(10_000, terminating)
		start := worked(t)
		list := must(tree.Who("packages/" + strings.Repeat("abc", 300) + "d"))
		if len(list) != 10_001 {
			t.Errorf("%d roles", len(list))
		}
		asked := worked(t) - start
		f := must(ParseTargets(file(tree.Targets.json(), nil)))
		read := worked(t) - start - asked
		if lines := ShowTargets(f, RoleTargets, expiry, nil); len(lines) > 1000 {
			t.Errorf("%d lines", len(lines))
		}
		other := tree.Targets.Next()
		slices.Reverse(other.Delegations.Roles)
		if lines := DiffTargets(tree.Targets, other, expiry, nil); len(lines) > 1000 {
			t.Errorf("%d lines", len(lines))
		}
		took := worked(t) - start
		t.Logf("asked in %v, read in %v, all in %v", asked.Round(time.Millisecond), read.Round(time.Millisecond), took.Round(time.Millisecond))
		if took > 15*time.Second {
			t.Error(took)
		}
	}
}
