package tuf

import (
	"crypto/elliptic"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// servedTargets is what a client is given: a root that it trusts, the targets, and
// metadata of roles to which those delegate.
type servedTargets struct {
	Root      []byte            `json:"root"`
	Targets   []byte            `json:"targets"`
	Delegated map[string][]byte `json:"delegated"`
	Paths     []string          `json:"paths"`
}

// targetsOpinion is what a client says of the signatures, "" where nothing is wrong, and
// which roles it would ask for each path.
type targetsOpinion struct {
	Problem string
	Roles   map[string][]string
}

// goTUFTargets asks go-tuf 2, with its panics caught.
func goTUFTargets(s servedTargets) (o targetsOpinion) {
	defer func() {
		if r := recover(); r != nil {
			o.Problem = fmt.Sprintf("panic: %v", r)
		}
	}()
	o.Roles = map[string][]string{}
	var root metadata.Metadata[metadata.RootType]
	var top metadata.Metadata[metadata.TargetsType]
	_, err := root.FromBytes(s.Root)
	if err == nil {
		_, err = top.FromBytes(s.Targets)
	}
	if err == nil {
		err = root.VerifyDelegate(RoleTargets, &top)
	}
	for role, data := range s.Delegated {
		var child metadata.Metadata[metadata.TargetsType]
		if err == nil {
			_, err = child.FromBytes(data)
		}
		if err == nil {
			err = top.VerifyDelegate(role, &child)
		}
	}
	if err != nil {
		o.Problem = err.Error()
		return o
	}
	for _, path := range s.Paths {
		o.Roles[path] = []string{}
		if top.Signed.Delegations == nil {
			continue
		}
		for _, r := range top.Signed.Delegations.GetRolesForTarget(path) {
			if o.Roles[path] = append(o.Roles[path], r.Name); r.Terminating {
				break
			}
		}
	}
	return o
}

// ourTargetsOpinion is what this package says.
func ourTargetsOpinion(s servedTargets) (o targetsOpinion) {
	o.Roles = map[string][]string{}
	root := must(Parse(s.Root)).Root
	top, err := ParseTargets(s.Targets)
	if err == nil {
		if r := top.Report(root); !r.Good() {
			err = errors.New(r.Text(nil))
		}
	}
	for role, data := range s.Delegated {
		if err != nil {
			break
		}
		var child *TargetsFile
		if child, err = ParseTargets(data); err == nil {
			if r := child.ReportDelegated(top.Targets, role); !r.Good() {
				err = errors.New(r.Text(nil))
			}
		}
	}
	if err != nil {
		o.Problem = err.Error()
		return o
	}
	for _, path := range s.Paths {
		o.Roles[path] = []string{}
		for _, signer := range must(Tree{Root: root, Targets: top.Targets}.Who(path))[1:] {
			if signer.Shadowed == "" {
				o.Roles[path] = append(o.Roles[path], signer.Role)
			}
		}
	}
	return o
}

// writtenTargets is the root, what we write as targets, and of a role bob.
func writtenTargets(t *testing.T, targets *Targets, previous *Targets, list ...*maker) servedTargets {
	root, _ := targetsRoot()
	root.Keys = slices.DeleteFunc(root.Keys, func(k Key) bool { return slices.Contains(root.Roles[RoleTargets].KeyIDs, k.ID) })
	root.Roles[RoleTargets] = roleOf(2, list...)
	for _, m := range list {
		root.Keys = append(root.Keys, m.key)
	}
	s := servedTargets{Root: must(Assemble(root, signAll(root.Canonical(), make25519(0)))), Delegated: map[string][]byte{}}
	data, err := AssembleTargets(targets, signAll(targets.Canonical(), list[:2]...), root.Keys, previous)
	if err != nil {
		t.Fatal(err)
	}
	s.Targets = data
	if _, ok := targets.Delegation("bob"); ok {
		child := &Targets{Version: 3, Expires: expiry, SpecVersion: SpecVersion, Targets: []Target{target("packages/x.whl", "x")}}
		s.Delegated["bob"] = must(AssembleTargets(child, signAll(child.Canonical(), make25519(201), make25519(203)), targets.Delegations.Keys, nil))
	}
	s.Paths = []string{"README.txt", "packages/abc", "packages/a/b", "packages/a/b/c", "packages/b", "tools/x", "x", "packages/x.whl"}
	return s
}

// TestSecondOpinionsOnTargets: go-tuf 2 and both versions of tuf-js take the targets that
// we write and ask the same roles for each path, and refuse what isn't signed by enough.
func TestSecondOpinionsOnTargets(t *testing.T) {
	ed := []*maker{make25519(210), make25519(211), make25519(212)}
	p256 := []*maker{makeECDSA(elliptic.P256(), 0), makeECDSA(elliptic.P256(), 1), makeECDSA(elliptic.P256(), 2)}
	patterns := func(change func(*Targets)) *Targets {
		n := newTargets() // without prefixes, of which go-tuf makes nothing
		n.Delegations = delegating(n.Delegations.Roles[:2]...)
		change(n)
		return n
	}
	all := map[string]servedTargets{
		"as it is": writtenTargets(t, patterns(func(*Targets) {}), nil, ed...),
		"p-256":    writtenTargets(t, patterns(func(*Targets) {}), nil, p256...),
		"empty":    writtenTargets(t, patterns(func(n *Targets) { n.Targets, n.Delegations = nil, nil }), nil, ed...),
		"a rehearsal, with a field": writtenTargets(t, patterns(func(n *Targets) {
			n.SetRehearsal(true)
			n.Extra = append(n.Extra, Field{"x-note", `{"b":[1,true],"a":"e"}`})
		}), nil, ed...),
		"not terminating": writtenTargets(t, patterns(func(n *Targets) {
			n.Delegations.Roles[0].Terminating, n.Delegations.Roles[1].Terminating = true, false
			slices.Reverse(n.Delegations.Roles)
		}), nil, ed...),
		"custom": writtenTargets(t, patterns(func(n *Targets) {
			n.Targets[0].object = `{"length":3,"hashes":{"sha512":"` + strings.Repeat("ab", 64) + `"},"custom":{"b":[1,{"c":"\\ \""}],"a":{}},"x":"y"}`
		}), nil, ed...),
	}
	carried := patterns(func(n *Targets) {
		n.Targets = append(n.Targets, Target{Path: "ünicode/字", object: `{"length":3,"hashes":{"sha256":"` + hexSum("x") + `"},"custom":{"n":9007199254740991,"é":"\u00e9\n"}}`})
	})
	all["carried"] = writtenTargets(t, carried.Next(), carried, ed...)
	prefixes := writtenTargets(t, newTargets(), nil, ed...)
	prefixes.Paths = nil
	for i := range 64 {
		prefixes.Paths = append(prefixes.Paths, fmt.Sprint("bins/", i))
	}
	all["prefixes"] = prefixes
	bins := &Targets{Version: 1, Expires: expiry, SpecVersion: SpecVersion, Delegations: &Delegations{Keys: []Key{make25519(204).key},
		Succinct: &Succinct{Role: roleOf(1, make25519(204)), BitLength: 5, NamePrefix: "bin"}}}
	succinct := writtenTargets(t, bins.Next(), bins, ed...)
	succinct.Paths = prefixes.Paths
	all["succinct"] = succinct
	good := len(all)

	broken := func(name, of string, change func(s *servedTargets)) {
		s := all[of]
		s.Delegated = map[string][]byte{"bob": s.Delegated["bob"]}
		change(&s)
		all[name] = s
	}
	broken("bad: another version", "as it is", func(s *servedTargets) { s.Targets = bytesReplace(s.Targets, `"version": 1`, `"version": 2`) })
	broken("bad: one signature", "as it is", func(s *servedTargets) {
		s.Targets = bytesReplace(s.Targets, `"`+ed[0].key.ID+`"`, `"`+ed[2].key.ID+`"`)
	})
	broken("bad: bob's other file", "as it is", func(s *servedTargets) { s.Delegated["bob"] = bytesReplace(s.Delegated["bob"], "x.whl", "y.whl") })
	broken("bad: alice isn't bob", "as it is", func(s *servedTargets) { s.Delegated = map[string][]byte{"alice": s.Delegated["bob"]} })
	broken("bad: nobody's", "as it is", func(s *servedTargets) { s.Delegated = map[string][]byte{"nobody": s.Delegated["bob"]} })
	broken("bad: a target changes", "custom", func(s *servedTargets) { s.Targets = bytesReplace(s.Targets, `"c": "`, `"c": " `) })

	var js map[string]map[string]targetsOpinion
	askJS(t, "targets.cjs", all, &js)
	differs := 0
	if len(js) != 2 {
		t.Fatalf("%d versions of tuf-js", len(js))
	}
	for name, s := range all {
		us := ourTargetsOpinion(s)
		if bad := strings.HasPrefix(name, "bad"); bad != (us.Problem != "") {
			t.Errorf("%s: we: %q", name, us.Problem)
		}
		theirs := map[string]targetsOpinion{clients[0]: goTUFTargets(s)}
		for _, client := range clients[2:] {
			theirs[client] = js[client][name]
		}
		for client, o := range theirs {
			if (o.Problem == "") != (us.Problem == "") {
				t.Errorf("%s: we: %q, %s: %q", name, us.Problem, client, o.Problem)
			}
			for _, path := range s.Paths {
				if us.Problem != "" || slices.Equal(o.Roles[path], us.Roles[path]) {
					continue
				}
				if client == clients[0] && name == "prefixes" { // it compares them with base64
					differs++
					continue
				}
				t.Errorf("%s: %s: we: %v, %s: %v", name, path, us.Roles[path], client, o.Roles[path])
			}
		}
	}
	inBins := 0
	for _, path := range prefixes.Paths {
		if slices.Contains(ourTargetsOpinion(prefixes).Roles[path], "bins") {
			inBins++
		}
	}
	if good != 9 || differs == 0 || inBins == 0 || inBins == len(prefixes.Paths) {
		t.Errorf("%d good ones, %d of %d paths are in bins, go-tuf differs in %d", good, inBins, len(prefixes.Paths), differs)
	}
}

// What a finding says of tuf-js is so: it verifies a file with numbered roles first. Empty
// lists all of them take.
func TestSecondOpinionsOnOddTargets(t *testing.T) {
	root, list := targetsRoot()
	sign := func(targets *Targets) servedTargets {
		return servedTargets{Root: must(Assemble(root, signAll(root.Canonical(), make25519(0)))), Targets: file(targets.json(), signAll(targets.Canonical(), list...)), Paths: []string{"x"}}
	}
	all := map[string]servedTargets{
		"numbers last":  sign(metadataOf(role("z", false, "*"), role("2", false, "*"), role("1", false, "*"))),
		"numbers first": sign(metadataOf(role("1", false, "*"), role("2", false, "*"), role("z", false, "*"))),
		"empty paths":   sign(metadataOf(Delegation{Name: "z", Role: roleOf(1, make25519(200)), Paths: []string{}})),
		"empty roles":   sign(&Targets{Version: 1, Expires: expiry, SpecVersion: SpecVersion, Delegations: &Delegations{Roles: []Delegation{}}}),
	}
	var js map[string]map[string]targetsOpinion
	askJS(t, "targets.cjs", all, &js)
	for name, s := range all {
		opinions := map[string]targetsOpinion{"we": ourTargetsOpinion(s), clients[0]: goTUFTargets(s)}
		for _, client := range clients[2:] {
			opinions[client] = js[client][name]
		}
		for client, o := range opinions {
			refuses := name == "numbers last" && strings.HasPrefix(client, "tuf-js")
			if (o.Problem != "") != refuses {
				t.Errorf("%s: %s: %q", name, client, o.Problem)
			}
		}
	}
}
