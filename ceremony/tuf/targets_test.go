package tuf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// target is what metadata says of a file with this content.
func target(path, content string) Target {
	return Target{Path: path, Length: int64(len(content)), object: fmt.Sprintf(`{"hashes":{"sha256":"%s"},"length":%d}`, hexSum(content), len(content))}
}

// roleOf is a role of some makers.
func roleOf(threshold int, list ...*maker) Role {
	role := Role{Threshold: threshold}
	for _, m := range list {
		role.KeyIDs = append(role.KeyIDs, m.key.ID)
	}
	return role
}

// delegating returns delegations with all keys that are in them.
func delegating(roles ...Delegation) *Delegations {
	d := &Delegations{Roles: roles}
	has := map[string]bool{}
	for _, role := range roles {
		for _, id := range role.KeyIDs {
			for _, m := range makers {
				if m.key.ID == id && !has[id] {
					d.Keys, has[id] = append(d.Keys, m.key), true
				}
			}
		}
	}
	return d
}

// newTargets makes first targets metadata with three files and three delegations, the
// last but one of them terminating.
func newTargets() *Targets {
	return &Targets{
		Version:     1,
		Expires:     expiry,
		SpecVersion: SpecVersion,
		Targets:     []Target{target("README.txt", "read me"), target("tools/a.tgz", "a"), target("tools/b.tgz", "bb")},
		Delegations: delegating(
			Delegation{Name: "alice", Role: roleOf(1, make25519(200)), Paths: []string{"packages/a*", "packages/a/*"}},
			Delegation{Name: "bob", Role: roleOf(2, make25519(201), make25519(202), make25519(203)), Terminating: true, Paths: []string{"packages/*"}},
			Delegation{Name: "bins", Role: roleOf(1, make25519(204)), PathHashPrefixes: []string{"0", "1f"}},
		),
	}
}

// targetsRoot is a root that has the role targets signed by two of three, and who they are.
func targetsRoot() (*Root, []*maker) {
	root, _ := newRoot(1, 1)
	list := []*maker{make25519(210), make25519(211), make25519(212)}
	root.Keys = slices.DeleteFunc(root.Keys, func(k Key) bool { return k.ID == root.Roles[RoleTargets].KeyIDs[0] })
	for _, m := range list {
		root.Keys = append(root.Keys, m.key)
	}
	root.Roles[RoleTargets] = roleOf(2, list...)
	return root, list
}

func newTargetsFile(t testing.TB) ([]byte, *Targets, *Root, []*maker) {
	t.Helper()
	root, list := targetsRoot()
	targets := newTargets()
	data, err := AssembleTargets(targets, signAll(targets.Canonical(), list[:2]...), root.Keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return data, targets, root, list
}

func TestTargetsWriteAndRead(t *testing.T) {
	data, targets, root, list := newTargetsFile(t)
	f, err := ParseTargets(data)
	if err != nil {
		t.Fatal(err)
	}
	// path_hash_prefixes are in it, of which go-tuf 2.4.2 makes nothing.
	if len(f.Findings) != 1 || !strings.Contains(f.Findings[0].Text, "base64") {
		t.Errorf("%v", f.Findings)
	}
	if want := must(cjson.EncodeCanonical(json.RawMessage(targets.JSON()))); !bytes.Equal(f.Signed, want) {
		t.Errorf("%s, want %s", f.Signed, want)
	}
	if !bytes.Equal(f.Targets.Canonical(), f.Signed) || !bytes.HasSuffix(data, []byte("}\n")) {
		t.Errorf("%s", f.Targets.Canonical())
	}
	got := f.Targets
	if got.Version != 1 || !got.Expires.Equal(expiry) || len(got.Targets) != 3 || got.Targets[2].Path != "tools/b.tgz" || got.Targets[2].Length != 2 {
		t.Errorf("%+v", got)
	}
	if h := got.Targets[0].Hashes(); len(h) != 1 || h[0] != (Field{"sha256", `"` + hexSum("read me") + `"`}) {
		t.Errorf("%v", h)
	}
	bob, ok := got.Delegation("bob")
	if !ok || bob.Threshold != 2 || len(bob.KeyIDs) != 3 || !bob.Terminating || !slices.Equal(bob.Paths, []string{"packages/*"}) || bob.PathHashPrefixes != nil {
		t.Errorf("%+v", bob)
	}
	bins, _ := got.Delegation("bins")
	if bins.Paths != nil || !slices.Equal(bins.PathHashPrefixes, []string{"0", "1f"}) || bins.Terminating {
		t.Errorf("%+v", bins)
	}
	if _, ok := got.Delegation("targets"); ok {
		t.Error("no delegation is to targets")
	}
	if r := f.Report(root); !r.Good() || r.Have != 2 || r.Role != RoleTargets || r.Text(map[string]string{list[2].key.ID: "Chen"}) != "2 of 2" {
		t.Errorf("%+v", r)
	}
	again, err := ParseTargetsCanonical(f.Signed)
	if err != nil || !bytes.Equal(again.Signed, f.Signed) {
		t.Error(err)
	}
	if _, err := ParseTargetsCanonical(append(f.Signed, ' ')); err == nil {
		t.Error("white space is canonical")
	}
	if f.Digest() != again.Digest() {
		t.Error("two digests")
	}
}

// What a file says of a target stays as it is, byte for byte, over a version.
func TestTargetsAreCarried(t *testing.T) {
	odd := `{ "custom" : {"z":[1,null,"\u00e9"],"a":{}} , "length":7, "x-more":null, "hashes": {"sha256":"AB","md5":"00"}}`
	targets := newTargets()
	targets.Targets = append(targets.Targets, Target{Path: "ünicode", Length: 7, object: odd})
	text := string(file(targets.json(), nil))
	f, err := ParseTargets([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	next := f.Targets.Next()
	next.Expires = expiry.AddDate(0, 1, 0)
	if err := next.Check(nil); err == nil || !strings.Contains(err.Error(), "more than ASCII") {
		t.Errorf("a new target beyond ASCII: %v", err)
	}
	data, err := AssembleTargets(next, nil, nil, f.Targets)
	if err != nil {
		t.Fatal(err)
	}
	g := must(ParseTargets(data))
	if got := canonicalText(string(g.Targets.Targets[3].Object())); g.Targets.Version != 2 || got != canonicalText(odd) {
		t.Errorf("%s", got)
	}
	if changes := texts(DiffTargets(f.Targets, g.Targets, expiry, nil)); strings.Contains(changes, "target ") {
		t.Error(changes)
	}
	if string(f.Targets.Targets[3].Object()) != odd {
		t.Errorf("%s", f.Targets.Targets[3].Object())
	}
}

func TestTargetsNextSharesNothing(t *testing.T) {
	targets := newTargets()
	targets.SetRehearsal(true)
	before := targets.json()
	next := targets.Next()
	next.Delegations.Roles[0].Paths[0], next.Delegations.Roles[0].KeyIDs[0], next.Delegations.Roles[2].PathHashPrefixes[0] = "x", "x", "x"
	next.Delegations.Roles[1] = Delegation{}
	next.Targets[0], next.Delegations.Keys[0] = Target{}, Key{}
	if targets.json() != before {
		t.Error("the copy shares something")
	}
	if next.Version != 2 || next.Rehearsal() || !targets.Rehearsal() {
		t.Errorf("version %d", next.Version)
	}
	with := &Targets{Delegations: &Delegations{Succinct: &Succinct{Role: roleOf(1, make25519(0)), BitLength: 3, NamePrefix: "p"}}}
	with.Next().Delegations.Succinct.KeyIDs[0] = "x"
	if with.Delegations.Succinct.KeyIDs[0] == "x" {
		t.Error("the copy shares keys of succinct roles")
	}
}

// Each rule of what we write, broken once.
func TestTargetsCheck(t *testing.T) {
	previous := newTargets()
	for name, c := range map[string]struct {
		change func(*Targets)
		want   string
	}{
		"as it is":           {func(*Targets) {}, ""},
		"a higher version":   {func(n *Targets) { n.Version = 9 }, ""},
		"no delegations":     {func(n *Targets) { n.Delegations = nil }, ""},
		"no targets":         {func(n *Targets) { n.Targets = nil }, ""},
		"the same version":   {func(n *Targets) { n.Version = 1 }, "after version 1 comes 2 or a higher one"},
		"version 2^53":       {func(n *Targets) { n.Version = 1 << 53 }, "versions go from 1 to 2^53-1"},
		"fraction":           {func(n *Targets) { n.Expires = n.Expires.Add(1) }, "whole seconds"},
		"spec":               {func(n *Targets) { n.SpecVersion = "1.1" }, "targets we write say 1.0.x"},
		"field":              {func(n *Targets) { n.Extra = []Field{{"y", "1"}} }, "begin with x-"},
		"null":               {func(n *Targets) { n.Extra = []Field{{"x-y", "null"}} }, "is null"},
		"no roles":           {func(n *Targets) { n.Delegations.Roles = nil }, "delegations without a role"},
		"fields":             {func(n *Targets) { n.Delegations.Extra = []Field{{"x-y", "1"}} }, "those we write have none"},
		"field of a role":    {func(n *Targets) { n.Delegations.Roles[0].Extra = []Field{{"x-y", "1"}} }, "delegations we write have none"},
		"succinct":           {func(n *Targets) { n.Delegations.Succinct = &Succinct{} }, "carried, and not written"},
		"threshold 0":        {func(n *Targets) { n.Delegations.Roles[0].Threshold = 0 }, "threshold of the role alice is 0"},
		"threshold above":    {func(n *Targets) { n.Delegations.Roles[0].Threshold = 2 }, "with 1 keys it can be 1 to 1"},
		"unknown key":        {func(n *Targets) { n.Delegations.Roles[0].KeyIDs = []string{"ff"} }, "no delegation uses the key"},
		"unused key":         {func(n *Targets) { n.Delegations.Keys = append(n.Delegations.Keys, make25519(99).key) }, "no delegation uses the key"},
		"key twice":          {func(n *Targets) { n.Delegations.Keys = append(n.Delegations.Keys, n.Delegations.Keys[0]) }, "one and the same key"},
		"key id":             {func(n *Targets) { rename(n, "k") }, "not as we write keys"},
		"no paths":           {func(n *Targets) { n.Delegations.Roles[0].Paths = nil }, "either paths or path_hash_prefixes"},
		"both paths":         {func(n *Targets) { n.Delegations.Roles[0].PathHashPrefixes = []string{"0"} }, "either paths or path_hash_prefixes"},
		"prefix":             {func(n *Targets) { n.Delegations.Roles[2].PathHashPrefixes[0] = "0F" }, "lower-case hex"},
		"empty prefix":       {func(n *Targets) { n.Delegations.Roles[2].PathHashPrefixes[0] = "" }, "fits all paths"},
		"name":               {func(n *Targets) { n.Delegations.Roles[0].Name = "../root" }, "file names and addresses"},
		"name of a version":  {func(n *Targets) { n.Delegations.Roles[0].Name = "1.root" }, "top-level role's file"},
		"name with capitals": {func(n *Targets) { n.Delegations.Roles[0].Name = "Root" }, "top-level role's file"},
		"number":             {func(n *Targets) { n.Delegations.Roles[0].Name = "17" }, "is a number"},
		"hidden":             {func(n *Targets) { n.Delegations.Roles[0].Name = ".a" }, "begins with a dot"},
		"two roles":          {func(n *Targets) { n.Delegations.Roles[0].Name = "bob" }, "delegated to twice"},
		"top-level":          {func(n *Targets) { n.Delegations.Roles[0].Name = "snapshot" }, "top-level role"},
		"path":               {func(n *Targets) { n.Delegations.Roles[0].Paths[0] = "/a" }, "begins with a slash"},
		"brackets":           {func(n *Targets) { n.Delegations.Roles[0].Paths[0] = "[ab]" }, "in different ways"},
		"long path":          {func(n *Targets) { n.Delegations.Roles[0].Paths[0] = strings.Repeat("a", 1025) }, "none is longer than 1024"},
		"foreign path":       {func(n *Targets) { n.Delegations.Roles[0].Paths[0] = "é" }, "is ASCII but for target files"},
		"target that leaves": {func(n *Targets) { n.Targets[0].Path = "../a" }, "has the segment .."},
		"made-up target":     {func(n *Targets) { n.Targets[0] = Target{Path: "a"} }, "was not read from metadata"},
		"target twice":       {func(n *Targets) { n.Targets[1] = n.Targets[0] }, "stands twice"},
	} {
		t.Run(name, func(t *testing.T) {
			next := previous.Next()
			c.change(next)
			err := next.Check(previous)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if err := newTargets().Check(nil); err != nil {
		t.Error(err)
	}
}

// rename gives the first key of delegations another id.
func rename(t *Targets, id string) {
	d := t.Delegations
	old := d.Keys[0].ID
	d.Keys[0].ID = id
	for i := range d.Roles {
		for k := range d.Roles[i].KeyIDs {
			if d.Roles[i].KeyIDs[k] == old {
				d.Roles[i].KeyIDs[k] = id
			}
		}
	}
}

// What the metadata before has against the profile may stay.
func TestTargetsCheckCarries(t *testing.T) {
	old := newTargets()
	old.Extra, old.Delegations.Extra = []Field{{"y", "null"}}, []Field{{"z", "1"}}
	old.Delegations.Roles[0].Extra = []Field{{"w", "{}"}}
	old.Delegations.Roles[0].Paths[0] = "[ab]*"
	old.Delegations.Roles[1].Name = "17"
	rename(old, "legacy")
	if err := old.Next().Check(nil); err == nil {
		t.Error("it is as we write it")
	}
	next := old.Next()
	if err := next.Check(old); err != nil {
		t.Error(err)
	}
	succinct := newTargets()
	succinct.Delegations.Succinct, succinct.Delegations.Roles = &Succinct{Role: roleOf(1, make25519(200)), BitLength: 4, NamePrefix: "bin"}, nil
	succinct.Delegations.Keys = succinct.Delegations.Keys[:1]
	next = succinct.Next()
	if err := next.Check(succinct); err != nil {
		t.Error(err)
	}
	next.Delegations.Succinct.BitLength = 5
	if err := next.Check(succinct); err == nil {
		t.Error("succinct roles change")
	}
	// But what makes a file unfit may not.
	old.Targets[0].Path = "a//b"
	if err := old.Next().Check(old); err == nil || !strings.Contains(err.Error(), "nobody should sign") {
		t.Error(err)
	}
}

func TestAssembleTargetsRefuses(t *testing.T) {
	root, list := targetsRoot()
	targets := newTargets()
	message := targets.Canonical()
	wrong := list[0].sign(append(message, ' '))
	for name, c := range map[string]struct {
		sigs []Signature
		want string
	}{
		"wrong":    {[]Signature{wrong}, "is wrong"},
		"twice":    {signAll(message, list[0], list[0]), "one is enough"},
		"stranger": {signAll(message, make25519(77)), "no key with this id"},
		"empty":    {[]Signature{{KeyID: list[0].key.ID}}, "is wrong"},
	} {
		if _, err := AssembleTargets(targets, c.sigs, root.Keys, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The threshold of a role counts keys by value, for the root's and for a delegation's.
func TestTargetsReports(t *testing.T) {
	data, targets, root, list := newTargetsFile(t)
	f := must(ParseTargets(data))
	root.Keys = append(root.Keys, Key{ID: "twin", Public: list[0].key.Public, Type: "ed25519", Scheme: "ed25519", object: list[0].key.object})
	root.Roles[RoleTargets] = Role{KeyIDs: []string{list[0].key.ID, "twin"}, Threshold: 2}
	twin := list[0].sign(f.Signed)
	twin.KeyID = "twin"
	f.Signatures = append(f.Signatures, twin)
	if r := f.Report(root); r.Good() || r.Have != 1 || r.Keys[1].State != StateRepeated {
		t.Errorf("%+v", r)
	}

	bob := []*maker{make25519(201), make25519(202), make25519(203)}
	child := &Targets{Version: 4, Expires: expiry, SpecVersion: SpecVersion, Targets: []Target{target("packages/x", "x")}}
	message := child.Canonical()
	c := must(ParseTargets(must(AssembleTargets(child, signAll(message, bob[0], bob[2]), targets.Delegations.Keys, nil))))
	r := c.ReportDelegated(targets, "bob")
	if !r.Good() || r.Have != 2 || r.Role != "bob" || r.Version != 1 || r.Keys[1].State != StateMissing {
		t.Errorf("%+v", r)
	}
	if r := c.ReportDelegated(targets, "alice"); r.Good() || r.Have != 0 {
		t.Errorf("%+v", r)
	}
	if r := c.ReportDelegated(targets, "nobody"); r.Good() {
		t.Errorf("%+v", r)
	}
	if r := c.Report(root); r.Good() {
		t.Errorf("%+v", r)
	}
	c.Signatures[0].Sig[0] ^= 1
	if r := c.ReportDelegated(targets, "bob"); r.Good() || !strings.Contains(r.Text(nil), "wrong signature by") {
		t.Errorf("%+v", r)
	}
	// A signature that can't be any is passed over.
	broken := bytes.Replace(data, []byte(`"sig": "`), []byte(`"sig": "zz`), 1)
	b := must(ParseTargets(broken))
	if r := b.Report(root); r.Good() || b.Signatures[0].Malformed == "" || b.Fit(nil) == nil {
		t.Errorf("%+v", r)
	}
	// One over something else says over what.
	over := signAll(append([]byte(nil), append(message, '\n')...), bob[0])
	c.Signatures, c.forms = over, nil
	if r := c.ReportDelegated(targets, "bob"); !strings.Contains(r.Keys[0].Reason, "a line feed at the end") {
		t.Errorf("%+v", r)
	}
}

func TestSuccinct(t *testing.T) {
	parent := newTargets()
	parent.Delegations = &Delegations{Keys: []Key{make25519(5).key}, Succinct: &Succinct{Role: roleOf(1, make25519(5)), BitLength: 10, NamePrefix: "bin"}}
	f := must(ParseTargets(file(parent.json(), nil)))
	s := f.Targets.Delegations.Succinct
	if s.BitLength != 10 || s.NamePrefix != "bin" || s.Threshold != 1 || !bytes.Equal(f.Signed, parent.Canonical()) {
		t.Errorf("%+v", s)
	}
	// TAP 15: the leftmost bits of the SHA-256; that of "a" begins with ca97.
	if got := s.Bin("a"); got != "bin-32a" {
		t.Error(got)
	}
	for name, want := range map[string]bool{"bin-000": true, "bin-3ff": true, "bin-400": false, "bin-0": false, "bin-0000": false, "bin-3FF": false, "x-000": false, "bin-": false, "bin": false} {
		if _, ok := f.Targets.Delegation(name); ok != want {
			t.Errorf("%s: %v", name, ok)
		}
	}
	s.BitLength = 32
	if got := s.Bin("a"); got != "bin-ca978112" {
		t.Error(got)
	}
	if _, ok := f.Targets.Delegation("bin-ffffffff"); !ok {
		t.Error("the last of 2^32 bins")
	}
	s.BitLength = 1
	if got := s.Bin("a"); got != "bin-1" {
		t.Error(got)
	}
	child := &Targets{Version: 1, Expires: expiry, SpecVersion: SpecVersion}
	c := must(ParseTargets(file(child.json(), signAll(child.Canonical(), make25519(5)))))
	if !c.ReportDelegated(f.Targets, "bin-0").Good() || c.ReportDelegated(f.Targets, "bin-2").Good() {
		t.Error("a bin's signature")
	}
}

// Paths that differ in case only are files of their own; other names must not.
func TestTargetPathsInAnotherCase(t *testing.T) {
	targets := newTargets()
	targets.Targets = append(targets.Targets, target("readme.txt", "another"), target("ReadMe.txt", "a third"))
	data, err := AssembleTargets(targets, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := must(ParseTargets(data))
	if len(f.Targets.Targets) != 5 || !bytes.Equal(f.Signed, targets.Canonical()) || f.Fit(nil) != nil {
		t.Errorf("%s", f.Signed)
	}
	if n := strings.Count(strings.Join(Notes(f.Findings), "\n"), "in case only"); n != 1 || len(f.Findings) != 3 {
		t.Errorf("%v", f.Findings)
	}
	for _, text := range []string{
		strings.Replace(string(data), `"length": 7`, `"length": 7, "custom": {"a": 1, "A": 1}`, 1),
		strings.Replace(string(data), `"signatures"`, `"targets": {"b": {"targets": {"a": 1, "A": 1}}}, "signatures"`, 1),
	} {
		if _, err := ParseTargets([]byte(text)); err == nil || !strings.Contains(err.Error(), "in case only") {
			t.Error(err)
		}
	}
	// The same over a signature that is wrong.
	over := file(targets.json(), signAll(append(targets.Canonical(), '\n'), make25519(210)))
	root, _ := targetsRoot()
	if r := must(ParseTargets(over)).Report(root); !strings.Contains(r.Keys[0].Reason, "a line feed at the end") {
		t.Errorf("%+v", r)
	}
}
