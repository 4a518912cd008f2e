package tuf

import (
	"bytes"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"pgregory.net/rapid"

	"rootceremony/keys"
)

// The sizes that tokens must be able to sign.
func TestCanonicalSizes(t *testing.T) {
	for n, want := range map[int]int{3: 1851, 5: 2375, 7: 2899, 8: 3161} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r, _ := newRoot(n, 3)
			if got := len(r.Canonical()); got != want {
				t.Errorf("%d root keys: %d bytes are signed, want %d", n, got, want)
			}
		})
	}
}

func TestWriteAndRead(t *testing.T) {
	data, root, holders := newFile(t)
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Findings) > 0 {
		t.Errorf("findings in a file of ours: %v", f.Findings)
	}
	if !bytes.Equal(f.Signed, root.Canonical()) || !bytes.Equal(f.Root.Canonical(), f.Signed) {
		t.Error("what is signed changed")
	}
	var whole struct{ Signed json.RawMessage }
	if err := json.Unmarshal(data, &whole); err != nil {
		t.Fatal(err)
	}
	if want := must(cjson.EncodeCanonical(whole.Signed)); !bytes.Equal(want, f.Signed) {
		t.Error("cjson has other canonical bytes")
	}
	if !f.Root.Expires.Equal(expiry) || f.Root.Version != 1 || !f.Root.ConsistentSnapshot || f.Root.Roles[RoleRoot].Threshold != 3 {
		t.Errorf("read as %+v", f.Root)
	}
	if len(f.Signatures) != 3 || !slices.IsSortedFunc(f.Signatures, func(a, b Signature) int { return strings.Compare(a.KeyID, b.KeyID) }) {
		t.Errorf("signatures: %v", f.Signatures)
	}
	if !bytes.HasSuffix(data, []byte("\n}\n")) || !bytes.HasPrefix(data, []byte("{\n  \"signatures\": [\n    {\n      \"keyid\": ")) {
		t.Errorf("indentation: %s", data)
	}
	again := must(Assemble(f.Root, []Signature{f.Signatures[2], f.Signatures[0], f.Signatures[1]}))
	if !bytes.Equal(again, data) {
		t.Error("the same root and signatures gave other bytes")
	}
	unsigned := must(Assemble(root, nil))
	f = must(Parse(unsigned))
	if len(f.Signatures) != 0 || !strings.Contains(string(unsigned), `"signatures": [],`) {
		t.Errorf("unsigned draft: %s", unsigned[:60])
	}
	if report := f.Report(f.Root); report.Good() || report.Have != 0 || len(report.Keys) != 5 {
		t.Errorf("unsigned draft: %+v", report)
	}
	_ = holders
}

func TestGoTUFLoadsWhatWeWrite(t *testing.T) {
	r, holders := newRoot(3, 4)
	for i, m := range []*maker{makeECDSA(elliptic.P256(), 1), makeECDSA(elliptic.P384(), 1)} {
		r.Keys = append(r.Keys, m.key)
		role := r.Roles[RoleRoot]
		role.KeyIDs = append(role.KeyIDs, m.key.ID)
		r.Roles[RoleRoot] = role
		holders = append(holders, m)
		_ = i
	}
	r.SetRehearsal(true)
	data := must(Assemble(r, signAll(r.Canonical(), holders...)))
	theirs, err := metadata.Root().FromBytes(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.VerifyDelegate("root", theirs); err != nil {
		t.Fatal(err)
	}
	if !theirs.Signed.Expires.Equal(expiry) || theirs.Signed.Version != 1 || len(theirs.Signed.Keys) != 8 || theirs.Signed.UnrecognizedFields[rehearsalField] != true {
		t.Errorf("go-tuf read %+v", theirs.Signed)
	}
	if report := must(Parse(data)).Report(r); report.Have != 5 {
		t.Errorf("we read %+v", report)
	}
}

func TestRehearsal(t *testing.T) {
	r, _ := newRoot(3, 2)
	if r.Rehearsal() {
		t.Error("a fresh root is of a rehearsal")
	}
	r.SetRehearsal(true)
	r.SetRehearsal(true)
	if !r.Rehearsal() || len(r.Extra) != 1 || !strings.HasSuffix(string(r.Canonical()), `"version":1,"x-rehearsal":true}`) {
		t.Errorf("%s", r.Canonical())
	}
	if next := r.Next(); next.Rehearsal() || next.Version != 2 || !r.Rehearsal() {
		t.Error("x-rehearsal was carried over")
	}
	for _, field := range []string{`"x-rehearsal":false`, `"X-Rehearsal":true`, `"x-rehearsal":0`} {
		plain, _ := newRoot(3, 2)
		f, err := Parse([]byte(`{"signatures":[],"signed":` + strings.TrimSuffix(string(plain.Canonical()), "}") + "," + field + `}}`))
		if err != nil || !f.Root.Rehearsal() {
			t.Errorf("%s: %v, not of a rehearsal", field, err)
		}
	}
}

// signedText is the canonical text of a root, for tests that damage it.
func signedText(change func(*Root)) string {
	r, _ := newRoot(3, 2)
	if change != nil {
		change(r)
	}
	return string(r.Canonical())
}

func TestParseRefuses(t *testing.T) {
	good := signedText(nil)
	r, holders := newRoot(3, 2)
	a, b := r.Keys[0].ID, r.Keys[1].ID
	sig := holders[0].sign(r.Canonical()).Sig
	role := func(ids, threshold string) string {
		return strings.Replace(good, fmt.Sprintf(`"root":{"keyids":["%s","%s","%s"],"threshold":2}`, a, b, r.Keys[2].ID), `"root":{"keyids":[`+ids+`],"threshold":`+threshold+`}`, 1)
	}
	swap := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the text", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	wrap := func(signed string) string { return `{"signatures":[],"signed":` + signed + `}` }
	sigs := func(list string) string { return `{"signatures":` + list + `,"signed":` + good + `}` }
	hexSig := fmt.Sprintf("%x", sig)
	for name, c := range map[string]struct{ in, want string }{
		"no object":           {`[]`, "must be an object, not an array"},
		"null":                {`null`, "must be an object, not null"},
		"no signed":           {`{"signatures":[]}`, `lacks "signed"`},
		"no signatures":       {`{"signed":` + good + `}`, `lacks "signatures"`},
		"Signed":              {`{"signatures":[],"Signed":` + good + `}`, `must be written "signed"`},
		"signed null":         {wrap(`null`), "not null"},
		"signatures null":     {sigs(`null`), "not null"},
		"signatures object":   {sigs(`{}`), "not an object"},
		"signature null":      {sigs(`[null]`), "not null"},
		"signature empty":     {sigs(`[{}]`), `lacks "keyid"`},
		"sig null":            {sigs(`[{"keyid":"a","sig":null}]`), "not null"},
		"sig twice":           {sigs(`[{"keyid":"` + a + `","sig":"` + hexSig + `"},{"keyid":"` + a + `","sig":"` + hexSig + `"}]`), "twice"},
		"sig twice, escaped":  {sigs(`[{"keyid":"a","sig":""},{"keyid":"\u0061","sig":""}]`), "twice"},
		"Keyid":               {sigs(`[{"Keyid":"a","sig":""}]`), `must be written "keyid"`},
		"timestamp":           {wrap(swap(`"_type":"root"`, `"_type":"timestamp"`)), `"timestamp"`},
		"no type":             {wrap(swap(`"_type":"root",`, ``)), `lacks "_type"`},
		"Version":             {wrap(swap(`"version":1`, `"version":1,"Version":2`)), "case only"},
		"Expires":             {wrap(swap(`"expires"`, `"Expires"`)), `must be written "expires"`},
		"spec 2":              {wrap(swap(`"1.0.34"`, `"2.0.0"`)), "major"},
		"spec 10":             {wrap(swap(`"1.0.34"`, `"10.0"`)), "major"},
		"spec text":           {wrap(swap(`"1.0.34"`, `"1.x"`)), "not a version"},
		"spec empty":          {wrap(swap(`"1.0.34"`, `""`)), "not a version"},
		"spec number":         {wrap(swap(`"1.0.34"`, `1`)), "must be a string"},
		"version 0":           {wrap(swap(`"version":1`, `"version":0`)), "1 or more"},
		"version -1":          {wrap(swap(`"version":1`, `"version":-1`)), "1 or more"},
		"version text":        {wrap(swap(`"version":1`, `"version":"1"`)), "must be a number"},
		"version fraction":    {wrap(swap(`"version":1`, `"version":1.5`)), "integer"},
		"version 2^53":        {wrap(swap(`"version":1`, `"version":9007199254740992`)), "2^53"},
		"consistent":          {wrap(swap(`"consistent_snapshot":true`, `"consistent_snapshot":"true"`)), "true or false"},
		"consistent null":     {wrap(swap(`"consistent_snapshot":true`, `"consistent_snapshot":null`)), "not null"},
		"expires date":        {wrap(swap(`2027-11-22T00:00:00Z`, `2027-11-22`)), "must be a date"},
		"expires local":       {wrap(swap(`2027-11-22T00:00:00Z`, `2027-11-22T00:00:00`)), "must be a date"},
		"expires 13th month":  {wrap(swap(`2027-11-22T00:00:00Z`, `2027-13-22T00:00:00Z`)), "must be a date"},
		"expires leap second": {wrap(swap(`2027-11-22T00:00:00Z`, `2027-11-22T23:59:60Z`)), "must be a date"},
		"expires short hour":  {wrap(swap(`2027-11-22T00:00:00Z`, `2027-11-22T1:00:00Z`)), "must be a date"},
		"expires comma":       {wrap(swap(`2027-11-22T00:00:00Z`, `2027-11-22T00:00:00,5Z`)), "must be a date"},
		"expires space":       {wrap(swap(`2027-11-22T00:00:00Z`, ` 2027-11-22T00:00:00Z`)), "must be a date"},
		"expires year 10000":  {wrap(swap(`2027-11-22T00:00:00Z`, `9999-12-31T23:59:59-10:00`)), "must be a date"},
		"expires number":      {wrap(swap(`"2027-11-22T00:00:00Z"`, `1826841600`)), "must be a string"},
		"keys null":           {wrap(`{"_type":"root","consistent_snapshot":true,"expires":"2027-11-22T00:00:00Z","keys":null,"roles":{},"spec_version":"1.0","version":1}`), "not null"},
		"key null":            {wrap(`{"_type":"root","consistent_snapshot":true,"expires":"2027-11-22T00:00:00Z","keys":{"x":null},"roles":{},"spec_version":"1.0","version":1}`), "not null"},
		"key without id":      {wrap(strings.ReplaceAll(good, a, "")), "empty"},
		"key twice":           {wrap(swap(`"`+a+`":`, `"`+b+`":`)), "twice"},
		"role missing":        {wrap(swap(`"snapshot":`, `"snap":`)), `"snapshot" is missing`},
		"Root role":           {wrap(swap(`"root":{`, `"Root":{`)), `must be written "root"`},
		"role null":           {wrap(swap(`"targets":{`, `"other":null,"targets":{`)), "not null"},
		"keyids null":         {wrap(strings.Replace(role("", "1"), "[]", "null", 1)), "not null"},
		"keyid null":          {wrap(role(`null`, "1")), "not null"},
		"keyid unknown":       {wrap(role(`"`+a+`","ff"`, "1")), "not in keys"},
		"keyid twice":         {wrap(role(`"`+a+`","`+a+`"`, "1")), "twice"},
		"no keyids":           {wrap(role(``, "1")), "only 0"},
		"threshold 0":         {wrap(role(`"`+a+`"`, "0")), "1 or more"},
		"threshold -1":        {wrap(role(`"`+a+`"`, "-1")), "1 or more"},
		"threshold high":      {wrap(role(`"`+a+`","`+b+`"`, "3")), "only 2"},
		"threshold 2^32+1":    {wrap(role(`"`+a+`","`+b+`"`, "4294967297")), "only 2"},
		"threshold text":      {wrap(role(`"`+a+`"`, `"1"`)), "must be a number"},
		"trailing":            {wrap(good) + "{}", "follows the end"},
		"bom":                 {"\ufeff" + wrap(good), "byte order mark"},
		"too long":            {wrap(good) + strings.Repeat(" ", MaxSize), "longer than"},
		"one key, two ids":    {wrap(twins(r.Keys[0], 2)), "only 1"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse([]byte(c.in))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want %q", f, err, c.want)
				return
			}
			if _, ok := err.(*ParseError); !ok {
				t.Errorf("%T", err)
			}
		})
	}
	// The place is that of the value itself.
	_, err := Parse([]byte("{\n \"signatures\": [],\n \"signed\": " + swap(`"version":1`, "\n  \"version\": 0") + "}"))
	if e, ok := err.(*ParseError); !ok || e.Line != 4 || e.Column != 14 {
		t.Errorf("place: %v", err)
	}
}

// twins is a root whose root role is one key under two ids.
func twins(k Key, threshold int) string {
	return signedText(func(r *Root) {
		twin := k
		twin.ID = "twin"
		r.Keys = append(r.Keys, twin)
		r.Roles[RoleRoot] = Role{KeyIDs: []string{k.ID, "twin"}, Threshold: threshold}
	})
}

func TestFindings(t *testing.T) {
	r, _ := newRoot(3, 2)
	k := r.Keys[0]
	text := signedText(nil)
	for want, in := range map[string]string{
		"old field keyid_hash_algorithms":  strings.Replace(text, `"keytype"`, `"keyid_hash_algorithms":["sha256"],"keytype"`, 1),
		"not the SHA-256":                  strings.ReplaceAll(text, k.ID, "legacy"),
		"one and the same key":             twins(k, 1),
		"no role uses":                     twins(k, 1),
		"fractions of a second":            strings.Replace(text, `00:00:00Z`, `00:00:00.5Z`, 1),
		"an offset":                        strings.Replace(text, `00:00:00Z`, `00:00:00+00:00`, 1),
		"consistent_snapshot is absent":    strings.Replace(text, `"consistent_snapshot":true,`, ``, 1),
		"unknown field x-a?b":              strings.Replace(text, `"version":1`, `"version":1,"x-a\u001bb":null`, 1),
		"unknown role mirrors":             strings.Replace(text, `"roles":{`, `"roles":{"mirrors":{"keyids":["`+k.ID+`"],"threshold":1},`, 1),
		"role root has the unknown field":  strings.Replace(text, `"root":{"`, `"root":{"x-owner":1,"`, 1),
		"capital hex digits":               strings.Replace(text, k.Public.Hex, strings.ToUpper(k.Public.Hex), 1),
		"has the unknown field x-keyowner": strings.Replace(text, `"ed25519"}`, `"ed25519","x-keyowner":"@a"}`, 1),
		"old, empty field private":         strings.Replace(text, `{"public"`, `{"private":"","public"`, 1),
	} {
		t.Run(want, func(t *testing.T) {
			f, err := Parse([]byte(`{"signatures":[],"signed":` + in + `}`))
			if err != nil {
				t.Error(err)
				return
			}
			if !slices.ContainsFunc(f.Findings, func(f Finding) bool { return strings.Contains(f.Text, want) && f.Line == 1 && f.Column > 1 }) {
				t.Errorf("found only %v", f.Findings)
			}
			if string(f.Root.Canonical()) != string(f.Signed) {
				t.Errorf("the root says %s, signed was %s", f.Root.Canonical(), f.Signed)
			}
			if err := f.Root.Check(); err == nil && !strings.Contains(want, "x-a") {
				t.Error("Check has nothing against it")
			}
		})
	}
	f := must(Parse([]byte("{\"x\":{},\n\"signatures\":[{\"é\":1,\"keyid\":\"a\",\n \"sig\":\"\"}],\"signed\":" + text + "}")))
	if got := fmt.Sprint(f.Findings); got != `[line 1, column 2: unknown field x beside signed and signatures, which no signature covers line 2, column 16: a signature has the unknown field é line 2, column 17: here is a character beyond ASCII line 3, column 8: the signature of a is an empty placeholder]` {
		t.Error(got)
	}
	if len(f.Extra) != 1 || f.Extra[0] != (Field{"x", "{}"}) || len(f.Signatures[0].Extra) != 1 {
		t.Error(f.Extra, f.Signatures)
	}
}

func TestCheck(t *testing.T) {
	good, _ := newRoot(3, 2)
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	spare := make25519(50).key
	old := must(Parse([]byte(`{"signatures":[],"signed":` + strings.Replace(signedText(nil), `"keytype"`, `"keyid_hash_algorithms":["sha256"],"keytype"`, 1) + `}`))).Root
	setRole := func(r *Root, name string, change func(*Role)) {
		role := r.Roles[name]
		role.KeyIDs = slices.Clone(role.KeyIDs)
		change(&role)
		r.Roles[name] = role
	}
	for want, change := range map[string]func(*Root){
		"version 0":                       func(r *Root) { r.Version = 0 },
		"version 9007199254740992":        func(r *Root) { r.Version = 1 << 53 },
		"whole seconds":                   func(r *Root) { r.Expires = r.Expires.Add(time.Millisecond) },
		"in the year 0":                   func(r *Root) { r.Expires = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC) },
		"year 10000":                      func(r *Root) { r.Expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		`spec_version "1.0"`:              func(r *Root) { r.SpecVersion = "1.0" },
		`spec_version "1.1.0"`:            func(r *Root) { r.SpecVersion = "1.1.0" },
		`spec_version "1.0.34` + `\n"`:    func(r *Root) { r.SpecVersion = "1.0.34\n" },
		"names of fields we add begin":    func(r *Root) { r.Extra = []Field{{"note", "1"}} },
		"no valid JSON":                   func(r *Root) { r.Extra = []Field{{"x-a", "1}"}} },
		"is null":                         func(r *Root) { r.Extra = []Field{{"x-a", "null"}} },
		"stands twice":                    func(r *Root) { r.Extra = []Field{{"x-a", "1"}, {"x-a", "2"}} },
		"holds 'é'":                       func(r *Root) { r.Extra = []Field{{"x-a", `"é"`}} },
		"the role mirrors":                func(r *Root) { r.Roles["mirrors"] = r.Roles[RoleRoot] },
		"targets is missing":              func(r *Root) { delete(r.Roles, RoleTargets) },
		"no role uses":                    func(r *Root) { r.Keys = append(r.Keys, spare) },
		"stands twice in keys":            func(r *Root) { r.Keys = append(r.Keys, r.Keys[0]) },
		"not in keys":                     func(r *Root) { setRole(r, RoleRoot, func(o *Role) { o.KeyIDs[0] = "x" }) },
		"twice":                           func(r *Root) { setRole(r, RoleRoot, func(o *Role) { o.KeyIDs[0] = o.KeyIDs[1] }) },
		"threshold of the role root is 0": func(r *Root) { setRole(r, RoleRoot, func(o *Role) { o.Threshold = 0 }) },
		"threshold of the role root is 4": func(r *Root) { setRole(r, RoleRoot, func(o *Role) { o.Threshold = 4 }) },
		"unknown field":                   func(r *Root) { setRole(r, RoleRoot, func(o *Role) { o.Extra = []Field{{"x-a", "1"}} }) },
		"not as we write keys":            func(r *Root) { r.Keys[0].ID = "legacy"; setRole(r, RoleRoot, func(o *Role) { o.KeyIDs[0] = "legacy" }) },
		"key " + short(old.Keys[0].ID) + " is not as we write": func(r *Root) {
			r.Keys = old.Keys
		},
	} {
		t.Run(want, func(t *testing.T) {
			r, _ := newRoot(3, 2)
			change(r)
			if want == "the role mirrors" {
				want = `the role "mirrors"`
			}
			if err := r.Check(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v; want %q", err, want)
			}
			if _, err := Assemble(r, nil); err == nil {
				t.Error("Assemble wrote it")
			}
		})
	}
	// What the root before carries may stay, and the version follows on it.
	next := old.Next()
	if err := next.Check(old); err != nil {
		t.Error(err)
	}
	if err := next.Check(); err == nil {
		t.Error("an old key object passes as new")
	}
	next.Version++
	if err := next.Check(old); err == nil || !strings.Contains(err.Error(), "after version 1 comes 2") {
		t.Error(err)
	}
}

func TestNext(t *testing.T) {
	text := strings.Replace(signedText(nil), "00:00:00Z", "01:00:00+01:00", 1)
	text = strings.Replace(text, `"consistent_snapshot":true,`, "", 1)
	text = strings.Replace(text, `"1.0.34"`, `"1.0"`, 1)
	old := must(Parse([]byte(`{"signatures":[],"signed":` + text + `}`))).Root
	before := string(old.Canonical())
	next := old.Next()
	if err := next.Check(old); err != nil {
		t.Error(err)
	}
	if want := strings.Replace(signedText(nil), `"consistent_snapshot":true`, `"consistent_snapshot":false`, 1); string(next.Canonical()) != strings.Replace(want, `"version":1`, `"version":2`, 1) {
		t.Errorf("%s", next.Canonical())
	}
	next.Keys[0] = make25519(9).key
	next.Roles[RoleRoot].KeyIDs[0] = "x"
	next.Extra = append(next.Extra, Field{"x-a", "1"})
	if string(old.Canonical()) != before {
		t.Error("editing the next root changed the old one")
	}
}

// What a root that was read carries on can still not be written: one key twice.
func TestCheckTwins(t *testing.T) {
	r, _ := newRoot(3, 2)
	old := must(Parse([]byte(`{"signatures":[],"signed":` + twins(r.Keys[0], 1) + `}`))).Root
	for _, k := range r.Keys[1:3] { // the others are not used there
		old.Keys = slices.DeleteFunc(old.Keys, func(have Key) bool { return have == k })
	}
	if err := old.Next().Check(old); err == nil || !strings.Contains(err.Error(), "one and the same key") {
		t.Error(err)
	}
}

// A date that was read stays as it stood until it is set again.
func TestDateAsReceived(t *testing.T) {
	r := must(Parse([]byte(`{"signatures":[],"signed":` + strings.Replace(signedText(nil), "00:00:00Z", "00:00:00.50Z", 1) + `}`))).Root
	if !strings.Contains(string(r.Canonical()), `"2027-11-22T00:00:00.50Z"`) {
		t.Errorf("%s", r.Canonical())
	}
	r.Expires = expiry
	if !strings.Contains(string(r.Canonical()), `"2027-11-22T00:00:00Z"`) {
		t.Errorf("%s", r.Canonical())
	}
}

func TestAssembleRefuses(t *testing.T) {
	r, holders := newRoot(3, 2)
	old, oldHolders := newRoot(5, 3)
	r.Version = 2
	message := r.Canonical()
	good := holders[0].sign(message)
	flipped := Signature{KeyID: good.KeyID, Sig: slices.Clone(good.Sig)}
	flipped.Sig[10] ^= 1
	for name, c := range map[string]struct {
		sigs []Signature
		want string
	}{
		"flipped":       {[]Signature{flipped}, "wrong"},
		"other bytes":   {[]Signature{holders[0].sign([]byte("x"))}, "wrong"},
		"wrong id":      {[]Signature{{KeyID: holders[1].key.ID, Sig: good.Sig}}, "wrong"},
		"unknown key":   {[]Signature{make25519(77).sign(message)}, "no key with this id"},
		"empty":         {[]Signature{{KeyID: good.KeyID}}, "wrong"},
		"short":         {[]Signature{{KeyID: good.KeyID, Sig: good.Sig[1:]}}, "64 bytes"},
		"doubled":       {[]Signature{good, good}, "two signatures"},
		"old, not told": {[]Signature{oldHolders[4].sign(message)}, "no key with this id"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Assemble(r, c.sigs); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	data, err := Assemble(r, signAll(message, holders[0], holders[1], oldHolders[4]), old)
	if err != nil || len(must(Parse(data)).Signatures) != 3 {
		t.Error(err)
	}
	// Too long for some clients.
	big, _ := newRoot(3, 2)
	big.Extra = []Field{{"x-long", `"` + strings.Repeat("a", 100_000) + `"`}}
	if _, err := Assemble(big, nil); err == nil || !strings.Contains(err.Error(), "some clients refuse") {
		t.Error(err)
	}
}

// Whatever passes Check is written, and read as the same.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "n")
		r, _ := newRoot(n, rapid.IntRange(1, n).Draw(t, "threshold"))
		r.Version = rapid.Int64Range(1, maxVersion).Draw(t, "version")
		r.Expires = time.Unix(rapid.Int64Range(-1e9, 1e11).Draw(t, "expires"), 0)
		r.ConsistentSnapshot = rapid.Bool().Draw(t, "consistent")
		if rapid.Bool().Draw(t, "extra") {
			value := must(json.Marshal(rapid.String().Draw(t, "value")))
			r.Extra = []Field{{"x-" + rapid.String().Draw(t, "name"), string(value)}}
		}
		data, err := Assemble(r, nil)
		if err != nil {
			if strings.Contains(err.Error(), "ASCII") {
				t.Skip("a name or value beyond ASCII, which is not written")
			}
			t.Fatal(err)
		}
		f, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(f.Signed, r.Canonical()) || !f.Root.Expires.Equal(r.Expires) || f.Root.Version != r.Version {
			t.Fatalf("%s", data)
		}
		if changes := Diff(r, f.Root, expiry, nil); len(changes) != 2 {
			t.Fatal(changes)
		}
	})
}

func TestRSA(t *testing.T) {
	if (Key{other: "x"}).asWritten("") {
		t.Error("an RSA key is not one we write")
	}
	if (Key{other: "x"}).Value() == (Key{Public: keys.PublicKey{}}).Value() {
		t.Error("values meet")
	}
}
