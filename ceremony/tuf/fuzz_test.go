package tuf

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// seeds are files of ours, some that are close to them, and all vectors.
func seeds(f *testing.F) [][]byte {
	data, root, holders := newFile(f)
	k := root.Keys[0]
	text := root.json()
	list := [][]byte{
		data,
		file(text, nil),
		file(strings.Replace(text, `"keytype"`, `"keyid_hash_algorithms":["sha256"],"x":null,"keytype"`, 1), signAll(root.Canonical(), holders...)),
		file(strings.ReplaceAll(text, k.ID, "legacy"), []Signature{{KeyID: "legacy"}}),
		file(strings.Replace(text, "00:00:00Z", "00:00:00.5-06:00", 1), nil),
		file(twins(k, 1), nil),
		[]byte(`{"signed":{"keys":{"x":null}},"signatures":[]}`),
		[]byte(`{"a":[1,-2,{"b":"\ud83d\ude00\\\""}],"A":1e3}`),
	}
	for _, v := range readVectors(f, vectorDir) {
		list = append(list, v.files...)
	}
	return append(list, writeChain(f, 2)...)
}

func FuzzCanonical(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := scan(string(data))
		if err != nil {
			if err.Offset > len(data) || err.Line < 1 || err.Column < 1 {
				t.Fatalf("place: %+v", err)
			}
			return
		}
		want, cerr := cjson.EncodeCanonical(json.RawMessage(data))
		if cerr != nil {
			t.Fatalf("cjson: %v", cerr)
		}
		if got := d.canonical(nil, 0); !bytes.Equal(got, want) {
			t.Fatalf("canonical %q, cjson %q", got, want)
		}
		again, err := scan(string(d.indent(nil, 0, 0)))
		if err != nil || !bytes.Equal(again.canonical(nil, 0), want) {
			t.Fatalf("indented: %v", err)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			if _, ok := err.(*ParseError); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		if got := file.Root.Canonical(); !bytes.Equal(got, file.Signed) {
			t.Fatalf("written again: %s, signed: %s", got, file.Signed)
		}
		for _, line := range Show(file, expiry, nil) {
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x1b }) {
				t.Fatalf("%q", line)
			}
		}
		if report := file.Report(file.Root); report.Have > len(report.Keys) || report.Need < 1 {
			t.Fatalf("%+v", report)
		}
		if file.Root.Check() == nil {
			if _, err := Assemble(file.Root, nil); err != nil && !strings.Contains(err.Error(), "some clients") {
				t.Fatal(err)
			}
		}
	})
}

func FuzzDiff(f *testing.F) {
	list := seeds(f)
	for i, s := range list {
		f.Add(s, list[(i+1)%len(list)])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		x, err := Parse(a)
		if err != nil {
			return
		}
		y, err := Parse(b)
		if err != nil {
			return
		}
		changes := Diff(x.Root, y.Root, expiry, nil)
		told := slices.ContainsFunc(changes, func(c Change) bool { return !strings.Contains(c.Text, "as before") })
		if differ := !bytes.Equal(x.Signed, y.Signed); differ != told {
			t.Fatalf("differ: %v, told: %s", differ, texts(changes))
		}
		Diff(nil, y.Root, expiry, nil)
	})
}

// targetsSeeds are targets files of ours, some that are close to them, and all vectors.
func targetsSeeds(f *testing.F) (list [][]byte) {
	data, targets, _, _ := newTargetsFile(f)
	text := targets.json()
	list = append(list, data, file(text, nil), file((&Targets{Version: 1, Expires: expiry, SpecVersion: SpecVersion}).json(), nil),
		file(strings.Replace(text, `"paths":`, `"path_hash_prefixes":`, 1), nil),
		[]byte(`{"signed":{"delegations":{"keys":{"x":null},"roles":[null]}},"signatures":[]}`))
	for _, v := range readVectors(f, targetsDir) {
		list = append(list, v.files...)
	}
	return list
}

// FuzzTargets: what is read is what was signed, written again it is the same, and what
// may be signed go-tuf reads too, with the same files and roles for a path.
func FuzzTargets(f *testing.F) {
	for _, s := range targetsSeeds(f) {
		f.Add(s, "packages/abc")
	}
	root, _ := targetsRoot()
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		file, err := ParseTargets(data)
		if err != nil {
			if _, ok := err.(*ParseError); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		targets := file.Targets
		if got := targets.Canonical(); !bytes.Equal(got, file.Signed) {
			t.Fatalf("written again: %s, signed: %s", got, file.Signed)
		}
		if again, err := ParseTargetsCanonical(file.Signed); err != nil || !bytes.Equal(again.Signed, file.Signed) {
			t.Fatalf("%v: %s", err, file.Signed)
		}
		for _, line := range ShowTargets(file, RoleTargets, expiry, nil) {
			if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x1b }) {
				t.Fatalf("%q", line)
			}
		}
		if report := file.Report(root); report.Have > len(report.Keys) || report.Need != 2 {
			t.Fatalf("%+v", report)
		}
		next := targets.Next()
		next.Expires = expiry
		if next.Check(targets) != nil {
			return
		}
		written, err := AssembleTargets(next, nil, nil, targets)
		if err != nil {
			t.Fatal(err)
		}
		asked, err := Tree{Root: root, Targets: next}.Who(path)
		if err != nil {
			return
		}
		var theirs metadata.Metadata[metadata.TargetsType]
		if _, err := theirs.FromBytes(written); err != nil {
			t.Logf("go-tuf refuses: %v", err)
			return
		}
		if len(theirs.Signed.Targets) != len(next.Targets) || theirs.Signed.Version != next.Version {
			t.Fatalf("go-tuf has %d targets of version %d", len(theirs.Signed.Targets), theirs.Signed.Version)
		}
		if d := next.Delegations; d == nil || slices.ContainsFunc(d.Roles, func(d Delegation) bool {
			return d.PathHashPrefixes != nil || slices.ContainsFunc(d.Paths, func(p string) bool { return strings.ContainsAny(p, `[\`) })
		}) {
			return // it makes nothing of prefixes, and something else of brackets
		}
		var want, got []string
		for _, r := range theirs.Signed.Delegations.GetRolesForTarget(path) {
			if want = append(want, r.Name); r.Terminating {
				break
			}
		}
		for _, s := range asked[1:] {
			if s.Shadowed == "" {
				got = append(got, s.Role)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q: %v, go-tuf: %v", path, got, want)
		}
	})
}

func FuzzDiffTargets(f *testing.F) {
	list := targetsSeeds(f)
	for i, s := range list {
		f.Add(s, list[(i+1)%len(list)])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		x, err := ParseTargets(a)
		if err != nil {
			return
		}
		y, err := ParseTargets(b)
		if err != nil {
			return
		}
		changes := DiffTargets(x.Targets, y.Targets, expiry, nil)
		told := slices.ContainsFunc(changes, func(c Change) bool { return !strings.Contains(c.Text, "as before") })
		if differ := !bytes.Equal(x.Signed, y.Signed); differ != told {
			t.Fatalf("differ: %v, told: %s", differ, texts(changes))
		}
		DiffTargets(nil, y.Targets, expiry, nil)
	})
}

// FuzzChain: whatever a second file is, it is only taken if what it says is
// what was signed; and where go-tuf takes it too, they agree on the version.
func FuzzChain(f *testing.F) {
	files := writeChain(f, 2)
	signed := map[string]bool{} // what the holders have signed at some time
	for _, s := range append(seeds(f), files[1], bytes.ReplaceAll(files[1], []byte("  "), nil)) {
		f.Add(s)
		if file, err := Parse(s); err == nil {
			signed[string(file.Signed)] = true
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Chain
		if _, err := c.Add(files[0]); err != nil {
			t.Fatal(err)
		}
		step, err := c.Add(data)
		if err != nil {
			if c.Last().Root.Version != 1 {
				t.Fatal("a refused file was taken")
			}
			return
		}
		if step.Version != 2 || !signed[string(c.Last().Signed)] {
			t.Fatalf("a forgery: %s", data)
		}
		if o := goTUF(served{Roots: [][]byte{files[0], data}}, expiry); o.Problem != "" {
			t.Logf("go-tuf refuses: %s", o.Problem)
		}
	})
}

// FuzzKeyFile: what is taken for a public key is one, by its own object too, and
// under the id that it has there.
func FuzzKeyFile(f *testing.F) {
	k := make25519(1).key
	f.Add(k.Object())
	f.Add([]byte(k.Public.Hex))
	f.Add([]byte("{\"keytype\":\"rsa\",\"scheme\":\"rsassa-pss-sha256\",\"keyval\":{\"public\":\"\"}}"))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := ParseKeyFile(data)
		if err != nil {
			return
		}
		again, err := ParseKeyFile([]byte(key.object))
		if err != nil || again.ID != key.ID || again.Value() != key.Value() || key.Value() == "" {
			t.Fatalf("%q: %+v, and from its object %+v, %v", data, key, again, err)
		}
	})
}
