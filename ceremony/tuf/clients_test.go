package tuf

import (
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/keys"
)

// rootOf is a root of 1 of n with these root keys, and one online key.
func rootOf(list ...Key) *Root {
	r, _ := vectorRoot()
	role := Role{Threshold: 1}
	r.Keys = append(r.Keys[3:], list...)
	for _, k := range list {
		role.KeyIDs = append(role.KeyIDs, k.ID)
	}
	r.Roles[RoleRoot] = role
	return r
}

// Each trait is said of a root that has it, and of none other.
func TestRefusals(t *testing.T) {
	ed, p256, p384 := make25519(0).key, makeECDSA(elliptic.P256(), 0).key, makeECDSA(elliptic.P384(), 0).key
	quantum, _ := fixedMLDSA("ml-dsa-44/1")
	for name, c := range map[string]struct {
		root, before *Root
		want         []string
	}{
		"as we write it":     {rootOf(ed), nil, nil},
		"another id":         {rootOf(foreignKey()), nil, []string{"key ids that are not the SHA-256 of their key object (abcd): tough and php-tuf refuse such a root"}},
		"consistent":         {withoutConsistent(), nil, []string{"consistent_snapshot is absent: go-tuf 2.4.2, tuf-js 3.1.0, tuf-js 6.0.2 and tough refuse such a root"}},
		"a fifth role":       {withFifthRole(), nil, []string{"a role beside the four: python-tuf and tough refuse such a root"}},
		"P-256":              {rootOf(p256), nil, []string{"keys written as PEM (", "): tough before 0.17.1 and php-tuf refuse such a root"}},
		"P-384":              {rootOf(p384), nil, []string{"keys written as PEM (", "): tough before 0.17.1 and php-tuf refuse such a root", "): go-tuf 0.7.0 and tuf-js 3.1.0 count no signature by such a key"}},
		"a point in hex":     {rootOf(pointInHex()), nil, []string{"ECDSA keys written as a point in hex ("}},
		"ML-DSA":             {rootOf(quantum), nil, []string{"keys written as PEM (", "ML-DSA keys"}},
		"an unknown kind":    {rootOf(unknownKind(t)), nil, []string{"keys of an unknown kind ("}},
		"a new kind":         {rootOf(ed, p256), rootOf(ed), []string{"new in this version: keys written as PEM (", "new in this version: keys of the keytype ecdsa (", "new in this version: keys of a kind that this chain hasn't had"}},
		"as before":          {rootOf(ed, p256), rootOf(p256, ed), []string{"keys written as PEM (", "): tough before 0.17.1 and php-tuf refuse such a root"}},
		"without the member": {rootOf(ed), noted(rootOf(ed)), []string{"new in this version: keys without keyid_hash_algorithms"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range Refusals(c.root, c.before) {
				got = append(got, r.String())
			}
			if len(got) != len(c.want) {
				t.Fatalf("%q", got)
			}
			for i, want := range c.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("%q, want %q", got[i], want)
				}
			}
		})
	}
}

// must1 is the file of a vector.
func must1(t *testing.T, name string) []byte {
	for _, v := range readVectors(t, vectorDir) {
		if v.name == name {
			return v.files[0]
		}
	}
	t.Fatalf("no vector %s", name)
	return nil
}

// Where all keys of a chain have keyid_hash_algorithms a new key gets the very same,
// is counted under an id over it, and one without it is refused; the other way round too.
func TestNotation(t *testing.T) {
	const member = `["sha256","sha512"]`
	r, holders := newRoot(2, 1)
	for i, k := range r.Keys {
		r.Keys[i] = must(Notation(member).NewKey(k.Public))
	}
	ids := func(public keys.PublicKey) string { return must(Notation(member).NewKey(public)).ID }
	for name, role := range r.Roles {
		role.KeyIDs = nil
		for _, k := range r.Keys {
			if name == RoleRoot == (k.Public == holders[0].key.Public || k.Public == holders[1].key.Public) {
				role.KeyIDs = append(role.KeyIDs, k.ID)
			}
		}
		r.Roles[name] = role
	}
	if r.Notation() != member {
		t.Fatalf("%q", r.Notation())
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(r.Keys[0].Object(), &object); err != nil || string(object["keyid_hash_algorithms"]) != member || r.Keys[0].ID == holders[0].key.ID {
		t.Errorf("%s", r.Keys[0].Object())
	}
	next := r.Next()
	next.Expires = r.Expires
	came := make25519(7)
	for notation, good := range map[Notation]bool{member: true, "": false, `["sha512"]`: false} {
		n := r.Next()
		n.Expires = r.Expires
		key := must(notation.NewKey(came.key.Public))
		n.Keys = append(n.Keys, key)
		role := n.Roles[RoleRoot]
		role.KeyIDs = append(role.KeyIDs, key.ID)
		n.Roles[RoleRoot] = role
		if err := n.Check(r); (err == nil) != good {
			t.Errorf("%q: %v", notation, err)
		}
	}
	// One key of another notation, and the chain has none.
	r.Keys[0] = holders[0].key
	if r.Notation() != "" || (*Root)(nil).Notation() != "" {
		t.Error("a chain of two notations has one")
	}
	if ids(came.key.Public) == came.key.ID {
		t.Error("the member is not in the id")
	}
}

func TestStops(t *testing.T) {
	var chain []*Root
	for _, data := range realFiles(t, "sigstore", "*.root.json") {
		chain = append(chain, must(Parse(data)).Root)
	}
	next := chain[len(chain)-1].Next()
	for _, want := range []string{"at versions 1 to 4: ECDSA keys written as a point in hex: go-tuf 2.4.2, go-tuf 0.7.0 and tough refuse such a root", "at version 11: key ids"} {
		if got := Stops(chain, next); !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// A signature over what is not the canonical form is called that, and one over
// nothing of it is not.
func TestInstead(t *testing.T) {
	p256 := makeECDSA(elliptic.P256(), 0)
	r := rootOf(make25519(0).key, p256.key) // PEM: its line feeds are escaped in JSON
	file := []byte(pretty(r))
	f := must(Parse(file))
	compact := strings.ReplaceAll(string(f.Signed), "\n", `\n`)
	var value any
	if err := json.Unmarshal([]byte(compact), &value); err != nil {
		t.Fatal(err)
	}
	indented := func(prefix, indent string) []byte { return must(json.MarshalIndent(value, prefix, indent)) }
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"as in the file":   {[]byte(f.received), "as it stands in the file"},
		"escaped":          {[]byte(compact), "characters are escaped"},
		"two spaces":       {indented("", "  "), "indentation"},
		"four spaces":      {indented("", "    "), "indentation"},
		"a tab":            {indented("", "\t"), "indentation"},
		"with a line feed": {append(slices.Clone(f.Signed), '\n'), "line feed at the end"},
		"python":           {spaced([]byte(compact)), "space after each comma"},
		"the digest":       {[]byte(fmt.Sprintf("%x", f.Digest())), "SHA-256 of it, in hex"},
		"another version":  {bytesReplace(f.Signed, `"version":1`, `"version":2`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, m := range []*maker{make25519(0), p256} {
				sig := m.sign(c.text)
				got := f.Instead(m.key, sig.Sig)
				if c.want == "" && got != "" || !strings.Contains(got, c.want) {
					t.Errorf("%q, want %q", got, c.want)
				}
				text := strings.Replace(string(file), `"signatures": []`, fmt.Sprintf(`"signatures": [{"keyid": "%s", "sig": "%s"}]`, sig.KeyID, hex.EncodeToString(sig.Sig)), 1)
				signed := must(Parse([]byte(text)))
				for _, k := range signed.Report(signed.Root).Keys {
					if k.KeyID == sig.KeyID && (k.State != StateWrong || c.want != "" && !strings.Contains(k.Reason, c.want)) {
						t.Errorf("%+v", k)
					}
				}
			}
		})
	}
	// In the order in which another program has written them.
	unsorted := strings.Replace(string(file), `"_type": "root",`, "", 1)
	unsorted = strings.Replace(unsorted, `"version": 1`, `"version": 1, "_type": "root"`, 1)
	g := must(Parse([]byte(unsorted)))
	var b strings.Builder
	for line := range strings.Lines(g.received) {
		b.WriteString(strings.TrimSpace(line))
	}
	text := strings.NewReplacer(`": `, `":`, `, "`, `,"`).Replace(b.String())
	if got := g.Instead(make25519(0).key, make25519(0).sign([]byte(text)).Sig); !strings.Contains(got, "not sorted") {
		t.Errorf("unsorted: %q", got)
	}
	k, sign := fixedMLDSA("ml-dsa-44/1")
	q := must(Parse([]byte(pretty(rootOf(k)))))
	if got := q.Instead(k, sign(q.Signed, "").Sig); !strings.Contains(got, "TAP 21") {
		t.Errorf("ML-DSA: %q", got)
	}
}

func TestSoon(t *testing.T) {
	for left, want := range map[time.Duration]string{0: "", -time.Hour: "", 14*24*time.Hour + time.Second: "", 14 * 24 * time.Hour: "(336 hours)", 5 * time.Hour: "in 5 hours: "} {
		if got := Soon(expiry, expiry.Add(-left)); got == "" != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%v: %q", left, got)
		}
	}
}

// What was written in canonical form is read again, line feeds and all, and nothing else is.
func TestParseCanonical(t *testing.T) {
	r := rootOf(makeECDSA(elliptic.P256(), 0).key)
	f, err := ParseCanonical(r.Canonical())
	if err != nil || string(f.Signed) != string(r.Canonical()) {
		t.Fatal(err)
	}
	if _, err := ParseCanonical([]byte(f.received)); err == nil {
		t.Error("escapes are not canonical")
	}
	if _, err := ParseCanonical(append([]byte(" "), r.Canonical()...)); err == nil {
		t.Error("a space is not canonical")
	}
}

// A signer is stricter than a verdict.
func TestFit(t *testing.T) {
	fit := map[string]bool{"good": true, "mldsa-44": true, "unknown-keyval": true, "signature-sig-odd": false, "signature-63-bytes": false, "threshold-above-online": false, "rsa-short": false, "public-and-private": false}
	for _, v := range readVectors(t, vectorDir) {
		want, there := fit[v.name]
		if f, err := Parse(v.files[0]); there && (err != nil || (f.Fit(nil) == nil) != want) {
			t.Errorf("%s: %v, %v", v.name, err, f.Fit(nil))
		}
	}
}

// A keyid_hash_algorithms that is no short list of names is followed by no new key.
func TestNotationsThatAreNotFollowed(t *testing.T) {
	ed := make25519(0).key
	for value, followed := range map[string]bool{
		`["sha256","sha512"]`: true, `["sha256"]`: true, `["sha256", "sha512"]`: true,
		`[]`: false, `"sha256"`: false, `false`: false, `-5`: false, `{"a":"b"}`: false, `[["sha256"]]`: false,
		`["sha256\n"]`: false, `["sh\u0009a"]`: false, `["sh\u00e4256"]`: false, `[""]`: false, `["` + strings.Repeat("a", 33) + `"]`: false,
		`["a","a","a","a","a","a","a","a","a"]`: false,
	} {
		object := fmt.Sprintf(`{"keyid_hash_algorithms":%s,"keytype":"ed25519","keyval":{"public":"%s"},"scheme":"ed25519"}`, value, ed.Public.Hex)
		d := must(scanned(object))
		r := reader{document: d}
		k := must(r.key(0, "x"))
		if (k.notation != "") != followed || len(r.findings) != map[bool]int{true: 1, false: 2}[followed] {
			t.Errorf("%s: %q, %v", value, k.notation, r.findings)
		}
		if _, err := k.notation.NewKey(make25519(1).key.Public); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// A private half that a file brings is signed by nobody; one that the root before
// holds in the same bytes is carried, and counts as the key's under every id.
func TestExposedKeys(t *testing.T) {
	object := func(private string) string {
		return fmt.Sprintf(`{"keytype":"ed25519","keyval":{%s"public":"%s"},"scheme":"ed25519"}`, private, make25519(5).key.Public.Hex)
	}
	read := func(object, id string) Key {
		r := reader{document: must(scanned(object))}
		return must(r.key(0, id))
	}
	shown, hidden := read(object(`"private":"5a",`), "shown"), read(object(""), "hidden")
	r := rootOf(make25519(0).key, shown)
	f := must(Parse([]byte(pretty(r))))
	if f.Fit(nil) == nil || f.Fit(rootOf(make25519(0).key)) == nil || f.Fit(r) != nil {
		t.Errorf("%v, %v, %v", f.Fit(nil), f.Fit(rootOf(make25519(0).key)), f.Fit(r))
	}
	if both := rootOf(shown, hidden); !both.Exposed()[hidden.Value()] || len(both.Exposed()) != 1 {
		t.Errorf("%v", both.Exposed())
	}
}

// A chain knows which keys its roots have published, and since which version.
func TestExposedKeysOfAChain(t *testing.T) {
	owner, other := make25519(0), make25519(5)
	object := fmt.Sprintf(`{"keytype":"ed25519","keyval":{"private":"5a","public":"%s"},"scheme":"ed25519"}`, other.key.Public.Hex)
	r := reader{document: must(scanned(object))}
	published := must(r.key(0, "published"))
	first := rootOf(owner.key)
	first.Keys, first.Roles[RoleTargets] = append(first.Keys, published), Role{KeyIDs: []string{published.ID}, Threshold: 1}
	second := rootOf(owner.key, other.key)
	second.Version = 2
	var c Chain
	for _, root := range []*Root{first, second} {
		f := must(Parse([]byte(pretty(root))))
		if _, err := c.Add([]byte(pretty(root, owner.sign(f.Signed)))); err != nil {
			t.Fatal(err)
		}
		if got := c.Exposed(); len(got) != 1 || got[other.key.Value()] != 1 {
			t.Errorf("version %d: %v", root.Version, got)
		}
	}
}

// However many signatures are wrong, only a few are looked at for what they fit
// instead, and none in a file that no client would read.
func TestFewWrongSignaturesAreExplained(t *testing.T) {
	r, holders := newRoot(40, 1)
	text := []byte(must(Parse([]byte(pretty(r)))).received)
	var sigs []Signature
	for _, h := range holders {
		sigs = append(sigs, h.sign(text))
	}
	f := must(Parse([]byte(pretty(r, sigs...))))
	explained := func(f *File) (n int) {
		for _, k := range f.Report(f.Root).Keys {
			if strings.HasPrefix(k.Reason, "it fits ") {
				n++
			}
		}
		return n
	}
	if n := explained(f); n != 3 {
		t.Errorf("%d of 40", n)
	}
	r.Extra = append(r.Extra, Field{"x-long", `"` + strings.Repeat("a", maxWritten) + `"`})
	long := must(Parse([]byte(pretty(r))))
	if got := long.Instead(holders[0].key, holders[0].sign([]byte(long.received)).Sig); got != "" {
		t.Error(got)
	}
}
