package tuf

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var targetsNamesOf = map[string]string{
	make25519(200).key.ID: "Alice", make25519(201).key.ID: "Bob", make25519(202).key.ID: "Bea", make25519(203).key.ID: "Ben",
	make25519(204).key.ID: "Machine", make25519(300).key.ID: "Mallory", make25519(301).key.ID: "Mike",
}

func TestDiffTargets(t *testing.T) {
	mallory := Delegation{Name: "mallory", Role: roleOf(1, make25519(300)), Paths: []string{"packages/abc"}}
	insert := func(at int, d Delegation) func(*Targets) {
		return func(n *Targets) {
			roles := slices.Insert(slices.Clone(n.Delegations.Roles), at, d)
			n.Delegations = delegating(roles...)
		}
	}
	for name, c := range map[string]struct {
		change func(*Targets)
		want   []string // each is a part of the change at that place, but for version and expiry; "ATTENTION" ones come first
	}{
		"nothing":        {func(*Targets) {}, nil},
		"a file changes": {func(n *Targets) { n.Targets[0] = target("README.txt", "other") }, []string{"0 come, 0 go, 1 change, 2 stay", "target README.txt: changed: hashes: ", "target README.txt: changed: length: 7 to 5"}},
		"a file comes":   {func(n *Targets) { n.Targets = append(n.Targets, target("z", "zzz")) }, []string{"1 come, 0 go, 0 change, 3 stay", "target added: z: 3 bytes, sha256 "}},
		"a file goes":    {func(n *Targets) { n.Targets = n.Targets[1:] }, []string{"0 come, 1 go", "target removed: README.txt"}},
		"a path is taken over by a new role": {insert(0, mallory), []string{
			"ATTENTION: packages/abc PASSES from role alice (1 of 1 must sign: Alice) to role mallory (1 of 1 must sign: Mallory)", "key added: Mallory", "delegation added: role mallory, 1 of 1 must sign: Mallory, for packages/abc, not terminating"}},
		"a later role can sign it too":         {insert(1, mallory), []string{"ATTENTION: packages/abc PASSES from role alice", "key added", "delegation added"}},
		"one behind a terminating one can not": {insert(3, mallory), []string{"key added", "delegation added"}},
		"a pattern may be in a bin":            {insert(0, Delegation{Name: "mike", Role: roleOf(1, make25519(301)), Paths: []string{"docs/*/x"}}), []string{"ATTENTION: docs/*/x PASSES from role bins", "key added", "delegation added"}},
		"new keys for a role": {func(n *Targets) {
			n.Delegations.Roles[0].Role = roleOf(1, make25519(300))
			n.Delegations = delegating(n.Delegations.Roles...)
		}, []string{"ATTENTION: packages/a* and packages/a/* PASS from role alice (1 of 1 must sign: Alice) to role alice (1 of 1 must sign: Mallory)", "key removed: Alice", "key added: Mallory", "role alice: no longer Alice", "role alice: new Mallory"}},
		"one of three keys is replaced": {func(n *Targets) {
			n.Delegations.Roles[1].Role = roleOf(2, make25519(201), make25519(202), make25519(300))
			n.Delegations = delegating(n.Delegations.Roles...)
		}, []string{"key removed: Ben", "key added: Mallory", "role bob: no longer Ben", "role bob: new Mallory"}},
		"the threshold": {func(n *Targets) { n.Delegations.Roles[1].Threshold = 1 }, []string{"role bob: 1 of 3 must sign (before: 2 of 3)"}},
		"another order": {func(n *Targets) {
			n.Delegations.Roles[0], n.Delegations.Roles[1] = n.Delegations.Roles[1], n.Delegations.Roles[0]
		}, []string{"ATTENTION: packages/a* PASSES from role alice (1 of 1 must sign: Alice) to role bob (2 of 3", "asked in another order: bob, alice and bins (before: alice, bob and bins)"}},
		"a role goes, and another has its paths": {func(n *Targets) {
			n.Delegations = delegating(n.Delegations.Roles[1:]...)
		}, []string{"ATTENTION: packages/a* PASSES from role alice (1 of 1 must sign: Alice) to role bob", "key removed: Alice", "delegation removed: role alice"}},
		"terminating":       {func(n *Targets) { n.Delegations.Roles[1].Terminating = false }, []string{"role bob: not terminating (before: terminating)"}},
		"a path goes":       {func(n *Targets) { n.Delegations.Roles[2].PathHashPrefixes = []string{"0"} }, []string{"role bins: no longer for paths of which the SHA-256 begins with 1f"}},
		"a path comes":      {func(n *Targets) { n.Delegations.Roles[0].Paths = append(n.Delegations.Roles[0].Paths, "elsewhere") }, []string{"role alice: now also for elsewhere"}},
		"all delegations":   {func(n *Targets) { n.Delegations = nil }, []string{"there are none any longer", "key removed", "key removed", "key removed", "key removed", "key removed", "delegation removed", "delegation removed", "delegation removed"}},
		"expiry":            {func(n *Targets) { n.Expires = expiry.AddDate(1, 0, 0) }, []string{"expires 2028-11-22 00:00:00 UTC, in 366 days (before: 2027-11-22 00:00:00 UTC)"}},
		"a field":           {func(n *Targets) { n.Extra = []Field{{"x-y", "1"}} }, []string{"unknown field added: x-y: 1"}},
		"a field of a role": {func(n *Targets) { n.Delegations.Roles[0].Extra = []Field{{"y", "1"}} }, []string{"role alice: unknown field added: y: 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			old := newTargets()
			new := old.Next()
			c.change(new)
			var got []string
			for _, change := range DiffTargets(old, new, expiry, targetsNamesOf) {
				if change.What != "version" && !change.Same {
					got = append(got, change.Text)
				}
			}
			ok := len(got) == len(c.want)
			for i := range min(len(got), len(c.want)) {
				ok = ok && strings.Contains(got[i], c.want[i])
			}
			if !ok {
				t.Errorf("%s\nwant %s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
	first := texts(DiffTargets(nil, newTargets(), expiry.AddDate(0, 0, -10), targetsNamesOf))
	for _, want := range []string{"version 1, with no targets before it", "expires 2027-11-22 00:00:00 UTC, in 10 days", "3 come", "delegation added: role alice", "delegation added: role bins"} {
		if !strings.Contains(first, want) {
			t.Errorf("%s\nlacks %s", first, want)
		}
	}
	if strings.Contains(first, "ATTENTION") {
		t.Error(first)
	}
}

func TestShowTargets(t *testing.T) {
	root, list := targetsRoot()
	targets := newTargets()
	targets.Delegations = delegating(append(targets.Delegations.Roles,
		Delegation{Name: "late", Role: roleOf(1, make25519(300)), Paths: []string{"packages/z-?", "other"}})...)
	targets.SetRehearsal(true)
	f := must(ParseTargets(must(AssembleTargets(targets, signAll(targets.Canonical(), list[0]), root.Keys, nil))))
	got := strings.Join(ShowTargets(f, RoleTargets, expiry.Add(-48*time.Hour), targetsNamesOf), "\n") + "\n"
	for _, want := range []string{
		"role targets: targets version 1\nexpires 2027-11-22 00:00:00 UTC, in 2 days\n",
		"REHEARSAL: not for production\n3 target files\n  README.txt: 7 bytes, sha256 3f220956\n",
		"4 delegations, asked in this order\n  1. role alice: 1 of 1 must sign\n     for packages/a*\n     for packages/a/*\n     Alice, ",
		"  2. role bob: 2 of 3 must sign, terminating: nobody after it is asked for its paths\n     for packages/*\n",
		"     for paths of which the SHA-256 begins with 1f\n",
		"     for packages/z-?: SHADOWED by the terminating delegation to bob: nobody asks this role\n     for other\n",
		"\n1 signature, not checked here: " + short(list[0].key.ID) + "\n",
		"note: line ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s", got, want)
		}
	}
	plain := must(ParseTargets(file((&Targets{Version: 3, Expires: expiry, SpecVersion: SpecVersion}).json(), nil)))
	got = strings.Join(ShowTargets(plain, "x", expiry, nil), "\n")
	if want := "role x: targets version 3\nEXPIRED 2027-11-22 00:00:00 UTC, now\nspec_version 1.0.34\n0 target files\nno delegations\nno signatures"; got != want {
		t.Errorf("%s", got)
	}
}

// A path passes to a role that nobody asked for it, too, once the delegation before it
// terminates no longer; and none passes to a role that nobody asks.
func TestDiffTargetsSeesShadows(t *testing.T) {
	with := func(terminating bool) *Targets {
		return metadataOf(Delegation{Name: "apps", Role: roleOf(1, make25519(200)), Terminating: terminating, Paths: []string{"app/*"}},
			Delegation{Name: "libs", Role: roleOf(1, make25519(201)), Paths: []string{"app/*", "lib/*"}})
	}
	for _, from := range []bool{true, false} {
		said := texts(DiffTargets(with(from), with(!from), expiry, nil))
		if loud := strings.Contains(said, "ATTENTION: app/* PASSES from role apps"); loud != from {
			t.Errorf("terminating %v to %v:\n%s", from, !from, said)
		}
	}
}
