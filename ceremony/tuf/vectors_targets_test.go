package tuf

import (
	"fmt"
	"strings"
	"testing"
)

// targetsDir has the vectors of targets metadata. The first of them, root, is the root
// whose role targets signs the others.
const targetsDir = "testdata/targets"

// targetsVerdict is "good" with the findings, or why the file is refused.
func targetsVerdict(root *Root) func([][]byte) string {
	return func(files [][]byte) string {
		if r, err := Parse(files[0]); err == nil {
			return "good: a root of version " + fmt.Sprint(r.Root.Version)
		}
		f, err := ParseTargets(files[0])
		if err != nil {
			return strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if r := f.Report(root); !r.Good() {
			return "not signed by enough keys of the root: " + r.Text(nil)
		}
		if !f.Targets.Expires.After(vectorTime) {
			return fmt.Sprintf("version %d has expired", f.Targets.Version)
		}
		if notes := Notes(f.Findings); notes != nil {
			return "good: " + strings.Join(notes, "; ")
		}
		return "good"
	}
}

// TestTargetsVectors holds testdata/targets to the table, one failure each.
func TestTargetsVectors(t *testing.T) {
	root, list := targetsRoot()
	rootFile := must(Assemble(root, signAll(root.Canonical(), make25519(0))))
	parse := func(data []byte) error {
		if string(data) == string(rootFile) {
			return nil
		}
		_, err := ParseTargets(data)
		return err
	}
	if n := holdVectors(t, targetsDir, targetsVectors(t, rootFile, list), targetsVerdict(root), parse); n < 100 {
		t.Errorf("%d vectors", n)
	}
}

func targetsVectors(t testing.TB, rootFile []byte, holders []*maker) []vector {
	targets := newTargets()
	targets.Delegations = delegating(targets.Delegations.Roles[:2]...)
	w := &workshop{t: t, base: indented(targets.json(), signAll(targets.Canonical(), holders...)), signed: targets.Canonical(), holders: holders}
	w.add("root", "good: a root", "", "the root whose role targets signs the others: 2 of 3 ed25519 keys", rootFile)
	w.raw("good", w.base, "good", "", "2 of 3 ed25519 keys must sign, all did; three targets and two delegations, as we write them")
	const v, v1 = `"version"`, `"version": 1`

	// Of the notation: the reader is that of roots, whose vectors have more.
	w.raw("json-empty", "", "the JSON text ends too early", theEnd, "a file of no bytes")
	w.raw("json-bom", "\ufeff"+w.base, "byte order mark", "\ufeff", "a byte order mark before the text")
	w.raw("json-trailing", w.base+"{}", "data follows the end", "{}", "a second object after the first")
	w.raw("json-cut-off", w.base[:strings.Index(w.base, `"targets": {`)], "but the text ends", theEnd, "the second half of the file is missing")
	w.edit("name-twice", v, v1, `"version": 7, "version": 1`, `the name "version" stands twice`, v1, "version twice, with two values")
	w.edit("name-case", v, v1, `"Version": 7, "version": 1`, `the names "Version" and "version"`, v1, "version again with a capital letter")
	w.edit("number-2-53", v, v1, `"version": 9007199254740992`, "below 2^53", "9007", "version 2^53")
	w.editAs("number-fraction", v, v1, `"version": 1.0`, v1, "a number must be an integer", "1.0", "version 1.0")
	w.edit("utf8", `"README.txt"`, "README", "READ\xff", "byte 0xff is not UTF-8", "\xff", "a target path that is not UTF-8")
	w.edit("surrogate", `"README.txt"`, "README", `\ud800`, "a surrogate stands alone", `\ud800`, "a target path with half a pair of surrogates")
	w.edit("depth-33", `"README.txt"`, "{", `{"custom": {"a": `+strings.Repeat("[", 28)+strings.Repeat("]", 28)+`}, `, "more than 32 deep", "[]", "an array at depth 33 in a custom")

	// Around and in "signed".
	for _, c := range [][5]string{
		{"type-root", `"_type": "targets"`, `"_type": "root"`, `this is metadata of the type "root", not "targets"`, `"root"`},
		{"type-capital", `"_type": "targets"`, `"_type": "Targets"`, `this is metadata of the type "Targets"`, `"Targets"`},
		{"type-null", `"_type": "targets"`, `"_type": null`, "_type must be a string, not null", "null"},
		{"spec-2", `"1.0.34"`, `"2.0.0"`, "only major version 1", `"2.0.0"`},
		{"version-0", v1, `"version": 0`, "version must be 1 or more", "0"},
		{"version-string", v1, `"version": "1"`, "version must be a number", `"1"`},
		{"expires-number", `"expires": "2027-11-22T00:00:00Z"`, `"expires": 1`, "expires must be a string", "1"},
		{"expires-date", `"2027-11-22T00:00:00Z"`, `"2027-11-22"`, "expires must be a date such as", `"2027`},
		{"targets-case", `"targets": {`, `"Targets": {`, `must be written "targets"`, `"Targets"`},
		{"delegations-case", `"delegations"`, `"Delegations"`, `must be written "delegations"`, `"Delegations"`},
	} {
		w.edit(c[0], "", c[1], c[2], c[3], c[4], strings.ReplaceAll(c[0], "-", " "))
	}
	section := func(from, to string) string {
		text := w.base[strings.Index(w.base, from):]
		return text[:strings.Index(text, to)]
	}
	files := section(`"targets": {`, `"version"`)
	delegations := section(`"delegations": {`, `"expires"`)
	w.edit("targets-absent", "", files, "", `signed lacks "targets"`, "{", "targets is missing")
	w.edit("targets-null", "", files, `"targets": null, `, "targets must be an object, not null", "null", "targets is null")
	w.edit("targets-array", "", files, `"targets": [], `, "targets must be an object, not an array", "[]", "targets is an array")
	w.edit("targets-empty", "", files, `"targets": {}, `, "good", "", "no targets")
	w.edit("delegations-absent", "", delegations, "", "good", "", "no delegations")
	w.edit("delegations-null", "", delegations, `"delegations": null, `, "delegations must be an object, not null", "null", "delegations is null")
	w.edit("delegations-empty", "", delegations, `"delegations": {}, `, `delegations lacks "keys"`, "{}", "delegations without anything")
	w.edit("delegations-no-roles", "", delegations, `"delegations": {"keys": {}}, `, "either roles or succinct_roles", "{", "delegations without roles")
	w.edit("expired", `"expires"`, "2027-11", "2026-11", "version 1 has expired", "", "expired")
	w.edit("expires-fraction", `"expires"`, "00:00Z", "00:00.5Z", "good: line", "", "expires with a fraction")
	w.edit("field", v, v1, v1+`, "note": null`, "good: line", "", "an unknown field that is null")
	w.edit("rehearsal", v, v1, v1+`, "x-rehearsal": true`, "good", "", "targets of a rehearsal: the callers refuse them")

	// Targets.
	first := `"README.txt": {`
	sum := hexSum("read me")
	for _, c := range [][5]string{
		{"length-absent", ",\n        \"length\": 7", "", `a target lacks "length"`, "{"},
		{"length-null", `"length": 7`, `"length": null`, "length must be a number, not null", "null"},
		{"length-minus", `"length": 7`, `"length": -7`, "length must be 0 or more", "-7"},
		{"length-string", `"length": 7`, `"length": "7"`, "length must be a number, not a string", `"7"`},
		{"length-case", `"length"`, `"Length"`, `must be written "length"`, `"Length"`},
		{"length-0", `"length": 7`, `"length": 0`, "good", ""},
		{"hashes-absent", section("\"hashes\"", "\"length\""), "", `a target lacks "hashes"`, "{"},
		{"hashes-null", section("\"hashes\"", ",\n        \"length\""), `"hashes": null`, "hashes must be an object, not null", "null"},
		{"hashes-empty", section("\"hashes\"", ",\n        \"length\""), `"hashes": {}`, "any file would fit", "{}"},
		{"hash-number", `"` + sum + `"`, `1`, "a hash must be a string, not a number", "1"},
		{"hash-twice", `"sha256"`, `"sha256": "00", "sha256"`, `the name "sha256" stands twice`, `"sha256": "` + sum[:4]},
		{"hash-capitals", sum, strings.ToUpper(sum), "good: isn't one in lower-case hex", ""},
		{"hash-short", sum, sum[:62], "good: isn't one in lower-case hex", ""},
		{"hash-unknown", `"sha256"`, `"blake2b-256"`, "good: no client can install it", ""},
		{"custom-string", `"length": 7`, `"length": 7, "custom": "x"`, "custom must be an object, not a string", `"x"`},
		{"custom", `"length": 7`, `"length": 7, "custom": {"b": null, "a": ["é"]}`, "good: beyond ASCII", ""},
		{"custom-number", `"length": 7`, `"length": 7, "custom": {"a": 0.5}`, "a number must be an integer", "0.5"},
		{"custom-twice", `"length": 7`, `"length": 7, "custom": {"a": 1, "a": 2}`, `the name "a" stands twice`, `"a": 2`},
		{"target-field", `"length": 7`, `"length": 7, "x": 1`, "good: has the unknown field x", ""},
	} {
		w.edit(c[0], first, c[1], c[2], c[3], c[4], "a target: "+strings.ReplaceAll(c[0], "-", " "))
	}
	w.edit("target-null", "", first, `"x": null, `+first, "a target must be an object, not null", "null", "a target that is null")
	w.edit("target-twice", "", first, `"tools/a.tgz": {"length": 1, "hashes": {"sha256": "00"}}, `+first, `the name "tools/a.tgz" stands twice`, `"tools/a.tgz": {`+"\n", "a target path twice")
	w.edit("target-twice-escaped", "", first, `"tools\/a.tgz": {"length": 1, "hashes": {"sha256": "00"}}, `+first, `the name "tools/a.tgz" stands twice`, `"tools/a.tgz": {`+"\n", "a target path twice, once with an escape")
	w.edit("target-case", "", first, `"ReadMe.txt": {"length": 1, "hashes": {"sha512": "`+strings.Repeat("00", 64)+`"}}, `+first, "good: in case only", "", "two target paths that differ in case only")
	for _, c := range [][3]string{
		{"slash", "/etc/passwd", "begins with a slash"}, {"dots", "../README.txt", "has the segment .."}, {"dots-inside", "a/../../b", "has the segment .."},
		{"dot", "./README.txt", "has the segment ."}, {"backslash", `a\\b`, "has a backslash"}, {"control", `a\u001bb`, "doesn't show"}, {"line-feed", `a\nb`, "doesn't show"},
		{"direction", `a\u202eb`, "doesn't show"}, {"empty", "", "is empty"}, {"empty-segment", "a//b", "has an empty segment"}, {"folder", "a/", "has an empty segment"},
	} {
		w.edit("path-"+c[0], "", `"README.txt"`, `"`+c[1]+`"`, "good: "+c[2], "", "a target path that escapes: "+c[0])
		w.edit("pattern-"+c[0], `"bob"`, `"packages/*"`, `"`+c[1]+`"`, "good: "+c[2], "", "a delegated path that escapes: "+c[0])
	}
	for _, c := range [][2]string{{"brackets", "[ab]/*"}, {"braces", "{a,b}/*"}, {"stars", "a/**"}, {"not", "!a"}, {"hash", "#a"}, {"parentheses", "+(a)"}} {
		w.edit("pattern-"+c[0], `"bob"`, `"packages/*"`, `"`+c[1]+`"`, "good: in different ways", "", "a delegated path that clients read in different ways: "+c[0])
	}

	// Delegations.
	bob := section(`"name": "bob"`, "\n      }") // its end
	start := strings.Index(w.base, `"name": "bob"`)
	begin := strings.LastIndex(w.base[:start], "{")
	whole := w.base[begin:start] + bob
	ids := whole[strings.Index(whole, "[") : strings.Index(whole, "]")+1]
	one := make25519(201).key.ID
	for _, c := range [][5]string{
		{"name-absent", `"name": "bob",`, "", `a delegation lacks "name"`, "{"},
		{"name-null", `"name": "bob"`, `"name": null`, "name must be a string, not null", "null"},
		{"name-empty", `"name": "bob"`, `"name": ""`, "good: is empty", ""},
		{"name-top-level", `"name": "bob"`, `"name": "snapshot"`, "is the name of a top-level role", `"snapshot"`},
		{"name-of-another", `"name": "bob"`, `"name": "alice"`, `the role "alice" is delegated to twice`, `"alice"`},
		{"name-escaped", `"name": "bob"`, `"name": "\u0061lice"`, `the role "alice" is delegated to twice`, `"\u0061`},
		{"name-folder", `"name": "bob"`, `"name": "../root"`, "good: file names and addresses", ""},
		{"name-version", `"name": "bob"`, `"name": "1.root"`, "good: top-level role's file", ""},
		{"name-number", `"name": "bob"`, `"name": "7"`, "good: is a number", ""},
		{"terminating-absent", `"terminating": true,`, "", `a delegation lacks "terminating"`, "{"},
		{"terminating-string", `"terminating": true`, `"terminating": "true"`, "terminating must be true or false", `"true"`},
		{"terminating-number", `"terminating": true`, `"terminating": 1`, "terminating must be true or false", "1"},
		{"terminating-case", `"terminating"`, `"Terminating"`, `must be written "terminating"`, `"Terminating"`},
		{"threshold-0", `"threshold": 2`, `"threshold": 0`, "must be 1 or more", "0"},
		{"threshold-minus", `"threshold": 2`, `"threshold": -1`, "must be 1 or more", "-1"},
		{"threshold-above", `"threshold": 2`, `"threshold": 4`, "good: nobody can sign for the role bob", ""},
		{"threshold-2-32", `"threshold": 2`, `"threshold": 4294967298`, "is 4294967298, but it has only 3", "4294967298"},
		{"keyids-null", `"keyids": ` + ids, `"keyids": null`, "keyids must be an array, not null", "null"},
		{"keyids-unknown", ids, `["ffff"]`, "which is not in keys", `"ffff"`},
		{"keyids-twice", "[", `["` + one + `", `, "twice", `"` + one + `"` + ",\n"},
		{"paths-absent", ",\n          \"paths\": [\n            \"packages/*\"\n          ]", "", "either paths or path_hash_prefixes", "{"},
		{"paths-both", `"paths"`, `"path_hash_prefixes": ["0"], "paths"`, "either paths or path_hash_prefixes", "{"},
		{"paths-null-inside", `"packages/*"`, `null`, "a path must be a string, not null", "null"},
		{"paths-string", "[\n            \"packages/*\"\n          ]", `"packages/*"`, "paths must be an array, not a string", `"packages/*"`},
		{"paths-empty", "[\n            \"packages/*\"\n          ]", "[]", "good: paths is empty", ""},
		{"paths-long", `"packages/*"`, `"` + strings.Repeat("a", 1025) + `"`, "none is longer than 1024", `"aaaa`},
		{"prefixes", "\"paths\": [\n            \"packages/*\"", "\"path_hash_prefixes\": [\n            \"0f\"", "good: base64", ""},
		{"prefixes-capitals", "\"paths\": [\n            \"packages/*\"", "\"path_hash_prefixes\": [\n            \"0F\"", "good: it fits no path", ""},
		{"prefixes-number", "\"paths\": [\n            \"packages/*\"", "\"path_hash_prefixes\": [\n            15", "a prefix must be a string, not a number", "15"},
		{"role-field", `"terminating"`, `"x": 1, "terminating"`, "good: a delegation has the unknown field x", ""},
	} {
		text := strings.Replace(whole, c[1], c[2], 1)
		if text == whole {
			t.Fatalf("%s: no %q in %s", c[0], c[1], whole)
		}
		w.edit("delegation-"+c[0], "", whole, text, c[3], c[4], "a delegation: "+strings.ReplaceAll(c[0], "-", " "))
	}
	w.edit("delegation-null", `"roles"`, "[", "[null, ", "a delegation must be an object, not null", "null", "a delegation that is null")
	w.edit("keys-null", "", section(`"keys": {`, `"roles"`), `"keys": null, `, "keys must be an object, not null", "null", "keys is null")
	w.edit("key-null", "", `"keys": {`, `"keys": {"x": null, `, "a key must be an object, not null", "null", "a key that is null")
	w.edit("key-unused", "", `"keys": {`, `"keys": {"`+make25519(70).key.ID+`": `+string(make25519(70).key.Object())+", ", "good: no role uses the key", "", "a key that no delegation uses")
	w.edit("key-private", "", `"public": "`, `"private": "`+strings.Repeat("5a", 32)+`", "public": "`, "good: THE PRIVATE HALF", "", "a private key beside the public one")
	roles := section(`"roles": [`, "\n    },\n    \"expires\"")
	succinct := func(name, text, want, at, about string) {
		s := `"succinct_roles": {"keyids": ` + ids + `, "threshold": 1, ` + text + `}`
		w.edit("succinct-"+name, "", roles, s, want, at, "succinct roles: "+about)
	}
	succinct("good", `"bit_length": 10, "name_prefix": "bin"`, "good: TAP 15", "", "1,024 bins")
	succinct("bits-0", `"bit_length": 0, "name_prefix": "bin"`, "bit_length must be 1 to 32", "0", "no bits")
	succinct("bits-33", `"bit_length": 33, "name_prefix": "bin"`, "bit_length must be 1 to 32", "33", "33 bits")
	succinct("prefix-absent", `"bit_length": 10`, `succinct_roles lacks "name_prefix"`, "{", "no prefix")
	succinct("prefix-folder", `"bit_length": 10, "name_prefix": "a/b"`, "good: file names and addresses", "", "a slash in the prefix")
	w.edit("succinct-and-roles", "", `"roles": [`, `"succinct_roles": {}, "roles": [`, "either roles or succinct_roles", "{", "succinct roles beside others")

	// Signatures, as roots have them.
	id := `"keyid": "` + holders[0].key.ID + `"`
	w.edit("signature-twice", "", id, `"keyid": "`+holders[1].key.ID+`"`, "twice", `"`+holders[1].key.ID, "a key id twice in signatures")
	w.edit("signature-no-hex", "", `"sig": "`, `"sig": "zz`, "good: can't be one and doesn't count", "", "a signature that can't be one, beside enough good ones")
	w.raw("signature-none", string(file(targets.json(), nil)), "not signed by enough keys of the root: 0 of 2", "", "no signatures")
	w.raw("signature-one", string(file(targets.json(), signAll(targets.Canonical(), holders[0], make25519(3)))), "not signed by enough keys of the root: 1 of 2", "", "one signature of two, and a stranger's")
	w.raw("signature-of-root", string(file(targets.json(), signAll(targets.Canonical(), make25519(0), make25519(1)))), "not signed by enough keys of the root: 0 of 2", "", "signed by keys of the role root")
	w.raw("changed", strings.Replace(w.base, `"length": 7`, `"length": 8`, 1), "not signed by enough keys of the root: 0 of 2", "", "a length that nobody signed")
	return w.list
}
