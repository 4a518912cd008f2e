package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// repository is published metadata: a root, targets, and roles below it.
type repository struct {
	t    *testing.T
	dir  string
	root *tuf.Root
}

// privateOf is a key of a name, and its private half.
func privateOf(t *testing.T, name string) (tuf.Key, ed25519.PrivateKey) {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	private := ed25519.NewKeyFromSeed(seed[:])
	public, err := keys.FromCrypto(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	key, err := tuf.NewKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key, private
}

// role is one of people who must all but one sign.
func (r *repository) role(people ...string) (tuf.Role, []tuf.Key) {
	role := tuf.Role{Threshold: max(1, len(people)-1)}
	var list []tuf.Key
	for _, name := range people {
		key, _ := privateOf(r.t, name)
		role.KeyIDs, list = append(role.KeyIDs, key.ID), append(list, key)
	}
	return role, list
}

func (r *repository) signed(canonical []byte, people ...string) []tuf.Signature {
	var sigs []tuf.Signature
	for _, name := range people {
		key, private := privateOf(r.t, name)
		sigs = append(sigs, tuf.Signature{KeyID: key.ID, Sig: ed25519.Sign(private, canonical)})
	}
	return sigs
}

// put writes the metadata of a role, signed by those people.
func (r *repository) put(file string, t *tuf.Targets, list []tuf.Key, people ...string) {
	r.t.Helper()
	text, err := tuf.AssembleTargets(t, r.signed(t.Canonical(), people...), list, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	rewrite(r.t, filepath.Join(r.dir, file), string(text))
}

// delegating is metadata that delegates to roles, in order, each with the people of its
// name and "2".
func (r *repository) delegating(version int64, roles ...tuf.Delegation) *tuf.Targets {
	t := &tuf.Targets{Version: version, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second), SpecVersion: tuf.SpecVersion}
	if len(roles) > 0 {
		t.Delegations = &tuf.Delegations{}
	}
	for _, d := range roles {
		role, list := r.role(d.Name, d.Name+" 2")
		d.Role = role
		t.Delegations.Roles, t.Delegations.Keys = append(t.Delegations.Roles, d), append(t.Delegations.Keys, list...)
	}
	return t
}

// newRepository has targets, which delegates packages/claimed/* to claimed, for good, and
// packages/* to all; claimed delegates packages/claimed/foo* on to "foo.bar".
func newRepository(t *testing.T) *repository {
	r := &repository{t: t, dir: t.TempDir()}
	r.root = &tuf.Root{Version: 1, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second), SpecVersion: tuf.SpecVersion, ConsistentSnapshot: true, Roles: map[string]tuf.Role{}}
	for name, people := range map[string][]string{tuf.RoleRoot: {"alice", "bruno"}, tuf.RoleTargets: {"chen", "dana", "emil"}, tuf.RoleSnapshot: {"online"}, tuf.RoleTimestamp: {"online"}} {
		role, list := r.role(people...)
		r.root.Roles[name] = role
		for _, k := range list {
			if _, there := r.root.Key(k.ID); !there {
				r.root.Keys = append(r.root.Keys, k)
			}
		}
	}
	text, err := tuf.Assemble(r.root, r.signed(r.root.Canonical(), "alice", "bruno"))
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, filepath.Join(r.dir, "1.root.json"), string(text))
	targets := r.delegating(4, tuf.Delegation{Name: "claimed", Paths: []string{"packages/claimed/*"}, Terminating: true}, tuf.Delegation{Name: "all", Paths: []string{"packages/*/*"}})
	r.put("4.targets.json", targets, r.root.Keys, "chen", "emil")
	claimed := r.delegating(2, tuf.Delegation{Name: "foo.bar", Paths: []string{"packages/claimed/foo*"}})
	r.put("2.claimed.json", claimed, targets.Delegations.Keys, "claimed")
	r.put("foo.bar.json", r.delegating(7), claimed.Delegations.Keys, "foo.bar 2")
	return r
}

// commanded is what a command says, on both outputs, with spaces for line feeds, and its exit code.
func commanded(args ...string) (string, int) {
	command := exec.Command(program("rootceremony"), args...)
	out, _ := command.CombinedOutput()
	return strings.Join(strings.Fields(string(out)), " "), command.ProcessState.ExitCode()
}

func TestShowWho(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	id := func(name string) string { key, _ := privateOf(t, name); return key.ID[:8] }
	const foo, top = "packages/claimed/foo.whl", "1. role targets: 2 of 3 must sign: "
	for _, c := range []struct {
		path string
		says []string
	}{
		{foo, []string{top + id("chen"), "2. role claimed: 1 of 2 must sign: " + id("claimed"), "delegated by targets for packages/claimed/*, terminating",
			"3. role foo.bar: 1 of 2 must sign: " + id("foo.bar"), "4. role all: ", "SHADOWED by the terminating delegation to claimed"}},
		{"packages/x/y", []string{top, "2. role all: 1 of 2 must sign: ", "delegated by targets for packages/*/* no metadata of it that its keys have signed is here"}},
		{"README", []string{top}},
	} {
		said, code := commanded("show", "--who", c.path, r.dir)
		at := 0
		for _, want := range c.says {
			i := strings.Index(said[at:], want)
			if i < 0 {
				t.Fatalf("%s: no %q after %q", c.path, want, said[:at])
			}
			at += i
		}
		if code != 0 || strings.Contains(said, "ALARM") {
			t.Errorf("%s: exit code %d: %s", c.path, code, said)
		}
		if n := strings.Count(said, "must sign"); n != strings.Count(strings.Join(c.says, " "), ". role ") {
			t.Errorf("%s: %d roles: %s", c.path, n, said)
		}
	}
	text, code := commanded("show", "--json", "--who", foo, r.dir)
	var said struct {
		Signers []tuf.Signer
		Notes   []string
	}
	if err := json.Unmarshal([]byte(text), &said); err != nil || code != 0 || len(said.Signers) != 4 || said.Signers[3].Shadowed != "claimed" || len(said.Notes) == 0 {
		t.Errorf("%v, exit code %d: %s", err, code, text)
	}
	for _, path := range []string{"../x", "/etc/passwd", `a\b`} {
		if said, code := commanded("show", "--who", path, r.dir); code != 1 || !strings.Contains(said, "no target has such a path") {
			t.Errorf("%s: exit code %d: %s", path, code, said)
		}
	}
	tree, code := commanded("show", r.dir)
	for _, want := range []string{"root version 1: 1 of 2 must sign", "role targets: 2 of 3", "1. role claimed: 1 of 2", "; terminating version 2, 0 target files 1. role foo.bar", "version 7", "2. role all", "no metadata of it that its keys have signed is here"} {
		if code != 0 || !strings.Contains(tree, want) {
			t.Errorf("no %q: exit code %d: %s", want, code, tree)
		}
	}
}

// What is not signed by enough of its role's keys counts for nothing, whatever it is
// called: an older file that is counts in its place.
func TestShowWhoBelievesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(r *repository)
		says   string
		code   int
	}{
		"signed by others": {func(r *repository) {
			_, list := r.role("thief", "alice", "bruno")
			r.put("9.targets.json", r.delegating(9, tuf.Delegation{Name: "thief", Paths: []string{"*"}}), list, "thief", "alice", "bruno")
		}, "9.targets.json is not signed by enough keys of its role", 0},
		"signed by too few": {func(r *repository) {
			r.put("9.targets.json", r.delegating(9, tuf.Delegation{Name: "thief", Paths: []string{"*"}}), r.root.Keys, "chen")
		}, "9.targets.json is not signed by enough keys of its role: 1 of 2", 0},
		"called newer": {func(r *repository) {
			r.put("9.targets.json", r.delegating(3, tuf.Delegation{Name: "thief", Paths: []string{"*"}}), r.root.Keys, "chen", "dana")
		}, "9.targets.json holds version 3", 0},
		"two of one version": {func(r *repository) {
			other := r.delegating(4, tuf.Delegation{Name: "all", Paths: []string{"packages/*/*"}})
			r.put("targets.json", other, r.root.Keys, "chen", "dana")
		}, "are two files of one version, and both are signed by enough keys", 0},
		"no metadata":     {func(r *repository) { rewrite(r.t, filepath.Join(r.dir, "9.targets.json"), "{") }, "9.targets.json: ", 0},
		"nothing is good": {func(r *repository) { rewrite(r.t, filepath.Join(r.dir, "4.targets.json"), "{}") }, "there is no good targets metadata in", 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			c.change(r)
			said, code := commanded("show", "--who", "packages/x/y", r.dir)
			if code != c.code || !strings.Contains(said, "ALARM: ") || !strings.Contains(said, c.says) || strings.Contains(said, "role thief") {
				t.Errorf("exit code %d: %s", code, said)
			}
			if all := strings.Contains(said, "role all"); all != (c.code == 0) {
				t.Errorf("the good one: %v: %s", all, said)
			}
		})
	}
}

// The file without a version in its name counts by what it holds, and a version is
// written in one way only.
func TestShowWhoTakesTheNewest(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	r.put("targets.json", r.delegating(7, tuf.Delegation{Name: "newer", Paths: []string{"packages/*/*"}}), r.root.Keys, "chen", "dana")
	r.put("09.targets.json", r.delegating(9, tuf.Delegation{Name: "ninth", Paths: []string{"packages/*/*"}}), r.root.Keys, "chen", "dana")
	if said, code := commanded("show", "--who", "packages/x/y", r.dir); code != 0 || !strings.Contains(said, "role newer") || strings.Contains(said, "role ninth") || strings.Contains(said, "role all") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// The metadata of a role counts where enough of the keys by which it is asked have signed
// it, whoever else delegates to it; and names go by keys, not by ids.
func TestShowWhoByTheKeysOfWhoAsks(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	mine, theirs := tuf.Delegation{Name: "xray", Paths: []string{"x/*"}}, tuf.Delegation{Name: "xray", Paths: []string{"y/*"}}
	top := r.delegating(5, tuf.Delegation{Name: "alpha", Paths: []string{"y/*"}}, mine)
	r.put("5.targets.json", top, r.root.Keys, "chen", "dana")
	alpha := r.delegating(1, theirs)
	role, list := r.role("stranger", "stranger 2")
	alpha.Delegations.Roles[0].Role, alpha.Delegations.Keys = role, list
	r.put("alpha.json", alpha, top.Delegations.Keys, "alpha")
	xray := &tuf.Targets{Version: 1, Expires: top.Expires, SpecVersion: tuf.SpecVersion}
	r.put("xray.json", xray, top.Delegations.Keys, "xray")
	for path, known := range map[string]bool{"x/f": true, "y/f": false} {
		said, code := commanded("show", "--who", path, r.dir)
		if missing := strings.Contains(said, "xray.json is not signed by enough keys of its role"); code != 0 || missing == known || !strings.Contains(said, "role xray") {
			t.Errorf("%s: exit code %d: %s", path, code, said)
		}
	}
	if said, code := commanded("show", r.dir); code != 0 || strings.Count(said, "role xray") != 2 || !strings.Contains(said, "xray.json is not signed by enough keys of its role") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// An id that stands for different keys has no name, however often it comes.
func TestIDsOfDifferentKeysHaveNoName(t *testing.T) {
	alice, _ := privateOf(t, "alice")
	thief, _ := privateOf(t, "thief")
	thief.ID = alice.ID
	h := holderKeys{alice.Value(): "Alice"}
	if got := h.named([]tuf.Key{alice}, []tuf.Key{thief}, []tuf.Key{alice}); len(got) != 0 {
		t.Errorf("%v", got)
	}
	signer := tuf.Signer{Role: "apps", KeyIDs: []string{alice.ID}, Keys: []tuf.Key{thief}, Threshold: 1}
	if text := signer.Text(h); strings.Contains(text, "Alice") {
		t.Error(text)
	}
}

// Targets metadata is shown and compared as roots are.
func TestShowTargetsFiles(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	old, new := filepath.Join(r.dir, "4.targets.json"), filepath.Join(r.dir, "5.targets.json")
	r.put("5.targets.json", r.delegating(5, tuf.Delegation{Name: "other", Paths: []string{"packages/claimed/*"}}, tuf.Delegation{Name: "all", Paths: []string{"packages/*/*"}}), r.root.Keys, "chen", "dana")
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"show", old}, []string{"targets version 4", "1. role claimed", "packages/claimed/*", "2 signatures"}},
		{[]string{"show", filepath.Join(r.dir, "1.root.json"), old}, []string{"role root: 1 of 2 must sign", "targets version 4"}},
		{[]string{"diff", old, new}, []string{"version 4 to 5", "other", "claimed"}},
		{[]string{"show", "--json", old}, []string{`"digest"`, `"role": "claimed"`}},
		{[]string{"diff", "--json", old, new}, []string{`"changes"`}},
	} {
		said, code := commanded(c.args...)
		for _, want := range c.says {
			if code != 0 || !strings.Contains(said, want) {
				t.Errorf("%v: no %q: exit code %d: %s", c.args, want, code, said)
			}
		}
	}
	for _, args := range [][]string{{"diff", filepath.Join(r.dir, "1.root.json"), new}, {"diff", old, filepath.Join(r.dir, "1.root.json")}, {"show", "--who", "x", old}, {"show", "--json", r.dir}, {"show", "--who", "x"}} {
		if said, code := commanded(args...); code == 0 {
			t.Errorf("%v: %s", args, said)
		}
	}
}
