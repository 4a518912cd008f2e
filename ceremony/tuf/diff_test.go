package tuf

import (
	"crypto/elliptic"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func texts(changes []Change) string {
	var lines []string
	for _, c := range changes {
		lines = append(lines, c.Text)
	}
	return strings.Join(lines, "\n")
}

func TestDiffFirst(t *testing.T) {
	r, holders := newRoot(2, 2)
	names := map[string]string{holders[0].key.ID: "Alice", holders[1].key.ID: "Bruno"}
	k := r.Keys
	want := fmt.Sprintf(`version 1, with no root before it
expires 2027-11-22 00:00:00 UTC, in 364 days
spec_version 1.0.34
consistent_snapshot true
key added: Alice, %.8s (ed25519, key id %s)
key added: Bruno, %.8s (ed25519, key id %s)
key added: %.8s (ed25519, key id %s)
key added: %.8s (ed25519, key id %s)
key added: %.8s (ed25519, key id %s)
role root: 2 of 2 must sign: Alice and Bruno
role timestamp: 1 of 1 must sign: %.8s
role snapshot: 1 of 1 must sign: %.8s
role targets: 1 of 1 must sign: %.8s`, k[0].ID, k[0].ID, k[1].ID, k[1].ID, k[2].ID, k[2].ID, k[3].ID, k[3].ID, k[4].ID, k[4].ID, k[2].ID, k[3].ID, k[4].ID)
	if got := texts(Diff(nil, r, expiry.AddDate(0, 0, -364), names)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestDiff(t *testing.T) {
	old, holders := newRoot(3, 2)
	next := old.Next()
	gone, came := holders[0].key, make25519(30).key
	next.Keys[0] = came
	role := next.Roles[RoleRoot]
	role.KeyIDs[0], role.Threshold = came.ID, 3
	next.Roles[RoleRoot] = role
	next.Expires = expiry.AddDate(1, 0, 0)
	next.ConsistentSnapshot = false
	next.Extra = []Field{{"x-note", `"\u001b[2J"`}}
	names := map[string]string{gone.ID: "Alice", came.ID: "Emil"}
	want := fmt.Sprintf(`version 1 to 2
expires 2028-11-22 00:00:00 UTC, in 731 days (before: 2027-11-22 00:00:00 UTC)
consistent_snapshot true to false
key removed: Alice, %.8s (ed25519, key id %s)
key added: Emil, %.8s (ed25519, key id %s)
role root: 3 of 3 must sign (before: 2 of 3)
role root: no longer Alice
role root: new Emil
unknown field added: x-note: "\u001b[2J"`, gone.ID, gone.ID, came.ID, came.ID)
	if got := texts(Diff(old, next, expiry.AddDate(-1, 0, 0), names)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := texts(Diff(old, old, expiry, nil)); got != "version 1, as before: a new root must have another\nexpires 2027-11-22 00:00:00 UTC, now, as before: expired" {
		t.Error(got)
	}
	if got := texts(Diff(next, old, expiry, nil)); !strings.Contains(got, "version 2 to 1: one higher would be 3") || !strings.Contains(got, "unknown field removed: x-note") {
		t.Error(got)
	}
}

// That no root key stays is said first, and decided by the keys themselves: not
// by their ids, and not by what else the root holds.
func TestDiffSaysThatNoRootKeyStays(t *testing.T) {
	old, holders := newRoot(3, 2)
	strangers := func(n int) *Root {
		next := old.Next()
		role := next.Roles[RoleRoot]
		for i := range n {
			next.Keys[i] = make25519(30 + i).key
			role.KeyIDs[i] = next.Keys[i].ID
		}
		next.Roles[RoleRoot] = role
		return next
	}
	renamed := strangers(3)
	renamed.Keys[2] = holders[2].key
	renamed.Keys[2].ID = "another id"
	role := renamed.Roles[RoleRoot]
	role.KeyIDs[2] = "another id"
	renamed.Roles[RoleRoot] = role
	sameIDs := old.Next()
	for i := range 3 {
		sameIDs.Keys[i] = make25519(30 + i).key
		sameIDs.Keys[i].ID = holders[i].key.ID
	}
	moved := strangers(3)
	moved.Keys = append(moved.Keys, holders[0].key)
	moved.Roles[RoleTimestamp] = Role{KeyIDs: []string{holders[0].key.ID}, Threshold: 1}
	for name, c := range map[string]struct {
		next *Root
		loud bool
	}{
		"the same": {old.Next(), false}, "one stays": {strangers(2), false}, "one stays under another id": {renamed, false},
		"none stays": {strangers(3), true}, "others under the same ids": {sameIDs, true}, "one stays in another role alone": {moved, true},
	} {
		t.Run(name, func(t *testing.T) {
			text := texts(Diff(old, c.next, expiry.AddDate(-1, 0, 0), nil))
			if got := strings.HasPrefix(text, "ATTENTION: NO ROOT KEY OF VERSION 1 STAYS: all 3 are replaced\n"); got != c.loud || strings.Contains(text, "ATTENTION") != c.loud {
				t.Error(text)
			}
		})
	}
	if text := texts(Diff(nil, old, expiry, nil)); strings.Contains(text, "ATTENTION") {
		t.Errorf("a first root: %s", text)
	}
}

func TestDiffOfKeys(t *testing.T) {
	text := signedText(nil)
	parse := func(s string) *Root { return must(Parse([]byte(`{"signatures":[],"signed":` + s + `}`))).Root }
	r := parse(text)
	ids := r.Roles[RoleRoot].KeyIDs
	a, _ := r.Key(ids[0])
	for want, changed := range map[string]string{
		"key under another id":            strings.ReplaceAll(text, a.ID, "legacy"),
		"another key under the same id":   strings.Replace(text, a.Public.Hex, make25519(40).key.Public.Hex, 1),
		"key object changed, same key":    strings.Replace(text, `"keytype"`, `"keyid_hash_algorithms":[],"keytype"`, 1),
		"the same keys in another order":  strings.Replace(text, `["`+ids[0]+`","`+ids[1]+`"`, `["`+ids[1]+`","`+ids[0]+`"`, 1),
		"(written 2027-11-22T01:00:00+01": strings.Replace(text, "2027-11-22T00:00:00Z", "2027-11-22T01:00:00+01:00", 1),
		"consistent_snapshot true to abs": strings.Replace(text, `"consistent_snapshot":true,`, "", 1),
		"role root: unknown field added":  strings.Replace(text, `"root":{`, `"root":{"x":1,`, 1),
		"role mirrors: 1 of 1":            strings.Replace(text, `"roles":{`, `"roles":{"mirrors":{"keyids":["`+a.ID+`"],"threshold":1},`, 1),
		"spec_version 1.0.34 to 1.0":      strings.Replace(text, `"1.0.34"`, `"1.0"`, 1),
		"the same key as " + a.ID:         strings.Replace(text, `"keys":{`, `"keys":{"`+strings.Repeat("f", 64)+`":`+string(a.Object())+`,`, 1),
		"unknown field added: x-a: [1,2]": strings.Replace(text, `"version":1`, `"version":1,"x-a":[1, 2]`, 1),
	} {
		t.Run(want, func(t *testing.T) {
			other := parse(changed)
			if got := texts(Diff(r, other, expiry, nil)); !strings.Contains(got, want) {
				t.Errorf("want %q in\n%s", want, got)
			}
			if strings.HasPrefix(want, "key") && strings.Contains(texts(Diff(r, other, expiry, nil)), "key added") {
				t.Error("a key that was there before is called added")
			}
			if got := Diff(other, r, expiry, nil); len(got) < 3 && !strings.HasPrefix(want, "(written") {
				t.Errorf("back from %q: %v", want, got)
			}
		})
	}
	// Only the notation of an unknown field differs: no byte that is signed does.
	x, y := strings.Replace(text, `"version":1`, `"version":1,"x-a":[1, 2]`, 1), strings.Replace(text, `"version":1`, `"version":1,"x-a":[1,2]`, 1)
	if got := Diff(parse(x), parse(y), expiry, nil); len(got) != 2 {
		t.Error(got)
	}
}

// Values that say different things never look the same, and nothing in them is
// hidden from people that is short enough to show.
func TestApart(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "b", "?", "...", `\`, `"`, "\n", "\x1b", "\u202e", "\U000e0001", strings.Repeat("a", 199), strings.Repeat("é", 300)})
	rapid.Check(t, func(t *rapid.T) {
		value := func(label string) string {
			return string(appendString(nil, strings.Join(rapid.SliceOfN(piece, 0, 4).Draw(t, label), "")))
		}
		a, b := value("a"), value("b")
		x, y := apart(a, b)
		if (a == b) != (x == y) || Clean(x) != x || len(x) > 1000 {
			t.Fatalf("%s and %s look like %s and %s", a, b, x, y)
		}
	})
}

// What changes in a key object is told member by member: between versions 10
// and 11 sigstore changed an unknown field of its online key.
func TestDiffOfKeyObjects(t *testing.T) {
	p256 := makeECDSA(elliptic.P256(), 1).key
	p256.ID = "k"
	root := func(object string) *Root { k := p256; k.object = object; return &Root{Keys: []Key{k}} }
	old, with := p256.object, func(from, to string) string { return strings.Replace(p256.object, from, to, 1) }
	for want, new := range map[string]string{
		`same key: k (ecdsa-p256, key id k): changed: keytype: "ecdsa" to "ecdsa-sha2-nistp256"`: with(`"ecdsa"`, `"ecdsa-sha2-nistp256"`),
		`same key: k (ecdsa-p256, key id k): added: keyid_hash_algorithms: ["sha256"]`:           with("{", `{"keyid_hash_algorithms":["sha256"],`),
		`key k (ecdsa-p256, key id k): unknown field added: x: {"a":"\n"}`:                       with("{", `{"x": {"a": "\n"},`),
		`changed: keyval.public: "-----BEGIN PUBLIC KEY-----\nMF`:                                with(`-----\n"`, `-----"`),
		`key object changed, same key: k (ecdsa-p256, key id k): {"keytype"`:                     "",
	} {
		t.Run(want, func(t *testing.T) {
			a := old
			if new == "" { // "keyval.x" in keyval hides one beside it
				a, new, want = with(`"keyval":{`, `"keyval":{"x":1,`), with(`"keyval":{`, `"keyval.x":1,"keyval":{"x":1,`), want[:len(want)-len(`"keytype"`)]
			}
			if got := texts(Diff(root(a), root(new), expiry, nil)); !strings.Contains(got, want) || strings.Contains(got, "?") {
				t.Errorf("want %q in\n%s", want, got)
			}
		})
	}
	files := realFiles(t, "sigstore", "*.root.json")
	var from, to *Root
	for _, data := range files {
		switch f := must(Parse(data)); f.Root.Version {
		case 10:
			from = f.Root
		case 11:
			to = f.Root
		}
	}
	if got := texts(Diff(from, to, expiry, nil)); !strings.Contains(got, `unknown field changed: x-tuf-on-ci-online-uri: "gcpkms://projects/`) ||
		!strings.Contains(got, `timestamp/cryptoKeyVersions/1"`) {
		t.Error(got)
	}
}

// Roots that differ in what is signed differ in what people are told.
func TestDiffTellsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyRoot(t, "a"), anyRoot(t, "b")
		b.Version = a.Version + 1
		same := *b
		same.Version = a.Version
		changes := Diff(a, b, expiry, nil)
		told := slices.ContainsFunc(changes, func(c Change) bool {
			return c.What != "version" && !strings.Contains(c.Text, "as before")
		})
		if differ := string(a.Canonical()) != string(same.Canonical()); differ != told {
			t.Fatalf("differ: %v, told: %s\n%s\n%s", differ, texts(changes), a.Canonical(), b.Canonical())
		}
	})
}

// anyRoot draws roots near each other, also such as we would not write.
func anyRoot(t *rapid.T, label string) *Root {
	r := &Root{Version: 1, SpecVersion: SpecVersion, Roles: map[string]Role{}}
	r.Expires = expiry.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, label+" expires")) * time.Hour)
	r.inconsistent = rapid.Bool().Draw(t, label+" inconsistent")
	var ids []string
	for _, id := range []string{"p", "q", "r"} {
		if n := rapid.IntRange(0, 3).Draw(t, label+" key "+id); n > 0 {
			k := make25519(n).key
			k.ID = id
			if rapid.IntRange(0, 3).Draw(t, label+" field") == 0 {
				k.object = strings.Replace(k.object, "{", `{"x":1,`, 1)
			}
			r.Keys, ids = append(r.Keys, k), append(ids, id)
		}
	}
	for _, name := range []string{RoleRoot, "other"} {
		if len(ids) > 0 && rapid.Bool().Draw(t, label+" role "+name) {
			role := Role{KeyIDs: rapid.Permutation(ids).Draw(t, label+" order"), Threshold: rapid.IntRange(1, 2).Draw(t, label+" threshold")}
			role.KeyIDs = role.KeyIDs[:rapid.IntRange(0, len(ids)).Draw(t, label+" listed")]
			role.Extra = anyFields(t, label)
			r.Roles[name] = role
		}
	}
	r.Extra = anyFields(t, label)
	return r
}

func anyFields(t *rapid.T, label string) []Field {
	if rapid.Bool().Draw(t, label+" extra") {
		return []Field{{"x-a", rapid.SampledFrom([]string{"1", "[1, 2]", "[1,2]"}).Draw(t, label+" value")}}
	}
	return nil
}

func TestShow(t *testing.T) {
	data, _, holders := newFile(t)
	f := must(Parse(data))
	lines := Show(f, expiry.Add(-36*time.Hour), map[string]string{holders[0].key.ID: "Alice\u202e\x1b]0;x\x07"})
	all := strings.Join(lines, "\n")
	for _, want := range []string{
		"root version 1\nexpires 2027-11-22 00:00:00 UTC, in 36 hours\nconsistent_snapshot true, spec_version 1.0.34\nENDS SOON, in 36 hours: from then on clients refuse everything (hint: sign and publish the next version before)\nrole root: 3 of 5 must sign\n  Alice??]0;x?, ",
		"\nsignatures of its own keys: 3 of 3",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}

// Signatures by keys of the root before are told, empty ones are not, and an
// expiry in the past is called that.
func TestShowStrangers(t *testing.T) {
	r, holders := newRoot(3, 2)
	other := make25519(80).sign(r.Canonical())
	sigs := append(signAll(r.Canonical(), holders[:2]...), other, Signature{KeyID: "empty"})
	all := strings.Join(Show(must(Parse(file(r.json(), sigs))), expiry, nil), "\n")
	if !strings.Contains(all, "not checked here: "+other.KeyID[:8]) || strings.Contains(all, "not checked here: empty") {
		t.Error(all)
	}
	if !strings.Contains(all, "EXPIRED 2027-11-22 00:00:00 UTC, now") {
		t.Error(all)
	}
}

func TestWhen(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"now": 30 * time.Second, "in 1 minute": time.Minute, "in 119 minutes": 2*time.Hour - 1, "2 hours ago": -2 * time.Hour,
		"in 47 hours": 48*time.Hour - 1, "in 2 days": 48 * time.Hour, "365 days ago": -365 * 24 * time.Hour,
	} {
		t.Run(want, func(t *testing.T) {
			if got := when(expiry.Add(d), expiry); got != want {
				t.Errorf("%v: %q, want %q", d, got, want)
			}
		})
	}
}
