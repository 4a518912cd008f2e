package tuf

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"crypto"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// file writes a root with signatures without asking whether they are any good.
func file(signed string, sigs []Signature) []byte {
	var list []string
	for _, s := range sigs {
		list = append(list, fmt.Sprintf(`{"keyid":%q,"sig":"%x"}`, s.KeyID, s.Sig))
	}
	return fmt.Appendf(nil, `{"signatures":[%s],"signed":%s}`, strings.Join(list, ","), signed)
}

func TestReport(t *testing.T) {
	r, holders := newRoot(5, 3)
	names := map[string]string{}
	for i, name := range []string{"Alice", "Bruno", "Chen", "Dana", "Emil\x1b[2J"} {
		names[holders[i].key.ID] = name
	}
	message := r.Canonical()
	wrong := Signature{KeyID: holders[1].key.ID, Sig: holders[0].sign(message).Sig}
	ids := func(h ...*maker) []Signature { return signAll(message, h...) }
	for want, sigs := range map[string][]Signature{
		"0 of 3: missing Alice, Bruno, Chen, Dana or Emil?[2J": nil,
		"2 of 3: missing Chen, Dana or Emil?[2J":               ids(holders[0], holders[1]),
		"3 of 3":                                               ids(holders[:3]...),
		"5 (3 needed)":                                         ids(holders...),
		"1 of 3: missing Chen, Dana or Emil?[2J; wrong signature by Bruno": append(ids(holders[0]), wrong),
		"3 of 3: wrong signature by Bruno":                                 append(ids(holders[0], holders[2], holders[3]), wrong),
		"2 of 3: missing Bruno, Dana or Emil?[2J":                          append(ids(holders[0], holders[2]), Signature{KeyID: holders[1].key.ID}),
		"2 of 3: missing Chen, Dana or Emil?[2J ":                          append(ids(holders[0], holders[1]), make25519(88).sign(message)),
	} {
		t.Run(want, func(t *testing.T) {
			f := must(Parse(file(r.json(), sigs)))
			report := f.Report(r)
			if got := report.Text(names); got != strings.TrimSpace(want) {
				t.Errorf("%q, want %q", got, want)
			}
			if report.Good() != (report.Have >= 3) || report.Need != 3 || report.Role != RoleRoot || report.Version != 1 || len(report.Keys) != 5 {
				t.Errorf("%+v", report)
			}
		})
	}
	two, _ := newRoot(2, 2)
	f := must(Parse(file(two.json(), nil)))
	if got := f.Report(two).Text(nil); got != "0 of 2: missing "+short(two.Keys[0].ID)+" and "+short(two.Keys[1].ID) {
		t.Error(got)
	}
	if (Report{}).Good() {
		t.Error("an empty report is good")
	}
}

// One key under two ids counts once, with good signatures under both.
func TestOneKeyTwoIDs(t *testing.T) {
	r, holders := newRoot(2, 2)
	twin := holders[0].key
	twin.ID = "twin"
	r.Keys = append(r.Keys, twin)
	role := r.Roles[RoleRoot]
	role.KeyIDs = append(role.KeyIDs, "twin")
	r.Roles[RoleRoot] = role
	message := r.Canonical()
	sig := holders[0].sign(message)
	f := must(Parse(file(r.json(), []Signature{sig, {KeyID: "twin", Sig: sig.Sig}})))
	report := f.Report(f.Root)
	if report.Have != 1 || report.Good() || report.Keys[2].State != StateRepeated {
		t.Errorf("%+v", report)
	}
	if got := report.Text(nil); got != "1 of 2: missing "+short(holders[1].key.ID)+"; counted once only: twin" {
		t.Error(got)
	}
	var c Chain
	if _, err := c.Add(file(r.json(), f.Signatures)); err == nil {
		t.Error("the chain took it")
	}
}

// An id that stands for one key in the old root and for another in the new one:
// a signature by the first does not count for the second.
func TestOneIDTwoKeys(t *testing.T) {
	first, second := make25519(0), make25519(1)
	root := func(version int64, m *maker) *Root {
		r, _ := newRoot(1, 1)
		r.Version = version
		r.Keys[0] = m.key
		r.Keys[0].ID = "x"
		r.Roles[RoleRoot] = Role{KeyIDs: []string{"x"}, Threshold: 1}
		return r
	}
	old, next := root(1, first), root(2, second)
	var c Chain
	if _, err := c.Add(file(old.json(), []Signature{{KeyID: "x", Sig: first.sign(old.Canonical()).Sig}})); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*maker{first, second} {
		step, err := c.Add(file(next.json(), []Signature{{KeyID: "x", Sig: m.sign(next.Canonical()).Sig}}))
		if err == nil || step.Old.Good() == step.New.Good() || step.Old.Good() != (m == first) {
			t.Errorf("%v: %+v", err, step)
		}
	}
}

func TestOtherAlgorithms(t *testing.T) {
	private := must(rsa.GenerateKey(rand.Reader, 2048))
	spki := strings.ReplaceAll(pemOf("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&private.PublicKey))), "\n", `\n`)
	var k, point Key
	if err := k.UnmarshalJSON([]byte(`{"keytype":"rsa","scheme":"rsassa-pss-sha256","keyval":{"public":"` + spki + `"}}`)); err != nil {
		t.Fatal(err)
	}
	p256 := makeECDSA(elliptic.P256(), 1)
	if err := point.UnmarshalJSON([]byte(`{"keytype":"ecdsa-sha2-nistp256","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"` + p256.key.Public.Hex + `"}}`)); err != nil {
		t.Fatal(err)
	}
	p384 := makeECDSA(elliptic.P384(), 1)
	r, _ := newRoot(1, 1)
	r.Keys = append(r.Keys, k, point, p384.key)
	r.Roles[RoleRoot] = Role{KeyIDs: []string{r.Keys[0].ID, k.ID, point.ID, p384.key.ID}, Threshold: 4}
	message := r.Canonical()
	sum := sha256.Sum256(message)
	sigs := []Signature{
		make25519(0).sign(message),
		{KeyID: k.ID, Sig: must(rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], nil))},
		{KeyID: point.ID, Sig: must(ecdsa.SignASN1(rand.Reader, p256.private.(*ecdsa.PrivateKey), sum[:]))},
		p384.sign(message),
	}
	f := must(Parse(file(r.json(), sigs)))
	if report := f.Report(f.Root); !report.Good() {
		t.Errorf("%+v", report)
	}
	for i := range sigs {
		damaged := slices.Clone(sigs)
		damaged[i].Sig = slices.Clone(damaged[i].Sig)
		damaged[i].Sig[len(damaged[i].Sig)-1] ^= 1
		f := must(Parse(file(r.json(), damaged)))
		if report := f.Report(f.Root); report.Have != 3 || report.Keys[i].State != StateWrong {
			t.Errorf("%+v", report)
		}
	}
	pkcs1 := must(rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:]))
	if k.Verify(message, pkcs1) == nil {
		t.Error("a PKCS #1 v1.5 signature counts as PSS")
	}
}

// writeChain makes a chain of versions; each changes holders and threshold.
func writeChain(t testing.TB, versions int) [][]byte {
	t.Helper()
	old, holders := newRoot(5, 3)
	files := [][]byte{must(Assemble(old, signAll(old.Canonical(), holders[:3]...)))}
	for v := 2; v <= versions; v++ {
		next := old.Next()
		left, came := holders[0], make25519(1000+v)
		holders = append(slices.Clone(holders[1:]), came)
		role := next.Roles[RoleRoot]
		role.KeyIDs = append(role.KeyIDs[1:], came.key.ID)
		next.Roles[RoleRoot] = role
		next.Keys = append(slices.DeleteFunc(next.Keys, func(k Key) bool { return k.ID == left.key.ID }), came.key)
		next.Expires = old.Expires.AddDate(0, 0, 1)
		files = append(files, must(Assemble(next, signAll(next.Canonical(), holders[:3]...), old)))
		old = next
	}
	return files
}

// verifyChain walks files from the first on and asks whether the last is good at
// a time. The steps go as far as the chain does, the failed one included.
func verifyChain(files [][]byte, at time.Time) ([]Step, error) {
	var chain Chain
	var steps []Step
	for step, err := range chain.Walk(slices.Values(files)) {
		if step.Version > 0 {
			steps = append(steps, step)
		}
		if err != nil {
			return steps, err
		}
	}
	return steps, chain.End(at)
}

func TestChain(t *testing.T) {
	files := writeChain(t, 10)
	steps, err := verifyChain(files, expiry)
	if err != nil || len(steps) != 10 {
		t.Fatal(len(steps), err)
	}
	sum := sha256.Sum256(files[0])
	if steps[0].Old != nil || steps[0].SHA256 != hex.EncodeToString(sum[:]) || steps[9].Old.Version != 9 || steps[9].New.Have != 3 {
		t.Errorf("%+v", steps[9])
	}
	last := steps[9].Expires
	for at, good := range map[time.Time]bool{last.Add(-time.Second): true, last: false, last.Add(time.Second): false} {
		_, err := verifyChain(files, at)
		if (err == nil) != good || !good && !errors.Is(err, ErrExpired) {
			t.Errorf("at %s: %v", at, err)
		}
	}
	if _, err := verifyChain(files[3:], expiry); err != nil {
		t.Errorf("from version 4 on: %v", err)
	}
	if _, err := verifyChain(nil, expiry); err == nil {
		t.Error("no files are a good chain")
	}
	for name, c := range map[string]struct {
		files [][]byte
		want  string
	}{
		"gap":       {slices.Delete(slices.Clone(files), 2, 3), "version 4 follows version 2"},
		"repeated":  {[][]byte{files[0], files[0]}, "version 1 follows version 1"},
		"backwards": {[][]byte{files[1], files[0]}, "version 1 follows version 2"},
		"stranger":  {[][]byte{files[0], writeStranger(t)}, "not signed by enough keys of version 1: 0 of 3"},
		"no JSON":   {[][]byte{files[0], []byte("x")}, "line 1, column 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := verifyChain(c.files, expiry); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
		})
	}
	// Nothing comes after a failure, whatever the caller does; who stops early
	// has what was walked.
	var broken, early Chain
	walked := []error{}
	for _, err := range broken.Walk(slices.Values(slices.Delete(slices.Clone(files), 4, 5))) {
		walked = append(walked, err)
	}
	if len(walked) != 5 || walked[3] != nil || walked[4] == nil || broken.Last().Root.Version != 4 {
		t.Errorf("%v", walked)
	}
	for step := range early.Walk(slices.Values(files)) {
		if step.Version == 3 {
			break
		}
	}
	if early.Last().Root.Version != 3 {
		t.Errorf("version %d after a stop at 3", early.Last().Root.Version)
	}
	if _, err := early.Add(files[3]); err != nil {
		t.Error(err)
	}
	// A failed step changes nothing: the right file still fits.
	var c Chain
	for i, data := range files {
		if i > 0 {
			if _, err := c.Add(files[i-1]); err == nil {
				t.Fatal("the same file twice")
			}
		}
		if _, err := c.Add(data); err != nil {
			t.Fatal(err)
		}
	}
}

// writeStranger is a version 2 signed by its own keys only.
func writeStranger(t testing.TB) []byte {
	t.Helper()
	r, _ := newRoot(3, 2)
	r.Version = 2
	var holders []*maker
	for i := range 3 {
		m := make25519(500 + i)
		holders = append(holders, m)
		r.Keys[i] = m.key
	}
	r.Roles[RoleRoot] = Role{KeyIDs: []string{r.Keys[0].ID, r.Keys[1].ID, r.Keys[2].ID}, Threshold: 2}
	return must(Assemble(r, signAll(r.Canonical(), holders...)))
}

// A flipped bit anywhere is refused, or changes nothing of what is signed; no
// prefix of a file is a file.
func TestDamage(t *testing.T) {
	data, root, _ := newFile(t)
	signed := root.Canonical()
	accepted := 0
	for i := range data {
		for bit := range 8 {
			damaged := bytes.Clone(data)
			damaged[i] ^= 1 << bit
			var c Chain
			if _, err := c.Add(damaged); err == nil {
				accepted++
				if !bytes.Equal(c.Last().Signed, signed) {
					t.Fatalf("byte %d, bit %d: other bytes are signed now", i, bit)
				}
			}
		}
		if _, err := Parse(data[:i]); err == nil && i < len(data)-1 {
			t.Fatalf("the first %d bytes are a file", i)
		}
	}
	t.Logf("%d of %d flips change only white space or the case of hex digits", accepted, 8*len(data))
}

// goTUF asks a client of go-tuf 2, with its panics caught.
func goTUF(s served, at time.Time) (o opinion) {
	defer func() {
		if r := recover(); r != nil {
			o.Problem = fmt.Sprintf("panic: %v", r)
		}
	}()
	trusted, err := trustedmetadata.New(s.Roots[0])
	for err == nil {
		if o.Taken++; o.Taken == len(s.Roots) {
			break
		}
		_, err = trusted.UpdateRoot(s.Roots[o.Taken])
	}
	switch {
	case err != nil:
		o.Problem = err.Error()
	case trusted.Root.Signed.IsExpired(at):
		o.Problem = "expired"
	case s.Timestamp != nil:
		trusted.RefTime = at
		if _, err := trusted.UpdateTimestamp(s.Timestamp); err != nil {
			o.Problem = err.Error()
		}
	}
	return o
}

// TestGoTUFAgrees compares verdicts on random chains: where go-tuf refuses, we
// refuse at the same file. On what we alone refuse, see TestStricterThanGoTUF.
func TestGoTUFAgrees(t *testing.T) {
	verdicts := map[string]int{}
	for seed := range uint64(200) {
		rng := mathrand.New(mathrand.NewPCG(seed, 1))
		files, what := randomChain(rng)
		at := expiry.AddDate(0, 0, -rng.IntN(30)-1)
		if rng.IntN(8) == 0 {
			at = expiry.AddDate(1, 0, 0)
			what = append(what, "expired")
		}
		theirs, we := goTUF(served{Roots: files}, at), ourOpinion(files, at)
		if theirs.Taken != we.Taken || theirs.String() != we.String() {
			t.Errorf("seed %d (%v): go-tuf: %+v, we: %+v", seed, what, theirs, we)
		}
		if we.Problem == "" {
			verdicts["good"]++
			if len(what) > 0 && !slices.Contains(what, "surplus") {
				t.Errorf("seed %d: good in spite of %v", seed, what)
			}
		} else if len(what) == 0 {
			t.Errorf("seed %d: nothing is wrong, but %v", seed, we.Problem)
		}
		for _, w := range what {
			verdicts[w]++
		}
	}
	t.Log(verdicts)
	for _, w := range []string{"good", "expired", "unsigned by old", "unsigned by new", "gap", "repeat", "flipped", "wrong key", "twin", "threshold 0", "threshold high", "surplus", "empty"} {
		if verdicts[w] < 3 {
			t.Errorf("only %d chains for %q", verdicts[w], w)
		}
	}
}

// randomChain makes 1 to 4 versions with changing holders, thresholds and
// algorithms, in about half of the cases with something wrong in one of them.
func randomChain(rng *mathrand.Rand) (files [][]byte, what []string) {
	versions := 1 + rng.IntN(4)
	broken := -1
	if rng.IntN(3) > 0 {
		broken = rng.IntN(versions)
	}
	var old *Root
	var oldHolders []*maker
	version := int64(1 + rng.IntN(3))
	for i := range versions {
		r, _ := newRoot(1, 1)
		var holders []*maker
		if old != nil && rng.IntN(3) > 0 { // most stay
			holders = slices.Clone(oldHolders[:1+rng.IntN(len(oldHolders))])
		}
		for want := max(len(holders), 1) + rng.IntN(3); len(holders) < want; {
			m := make25519(rng.IntN(60))
			if n := rng.IntN(10); n < 2 {
				m = makeECDSA([]elliptic.Curve{elliptic.P256(), elliptic.P384()}[n], rng.IntN(5))
			}
			if !slices.Contains(holders, m) {
				holders = append(holders, m)
			}
		}
		r.Version, r.Keys = version, r.Keys[1:]
		r.Expires = expiry.AddDate(0, 0, rng.IntN(20))
		if i < versions-1 && rng.IntN(2) == 0 {
			r.Expires = expiry.AddDate(-2, 0, 0) // only the last one's expiry counts
		}
		role := Role{Threshold: 1 + rng.IntN(len(holders))}
		for _, h := range holders {
			role.KeyIDs = append(role.KeyIDs, h.key.ID)
			r.Keys = append(r.Keys, h.key)
		}
		r.Roles[RoleRoot] = role
		fault := ""
		if i == broken {
			fault = []string{"unsigned by old", "unsigned by new", "gap", "repeat", "flipped", "wrong key", "twin", "threshold 0", "threshold high", "surplus", "empty"}[rng.IntN(11)]
		}
		// Without a version before there is nothing to break there.
		if i == 0 && slices.Contains([]string{"unsigned by old", "gap", "repeat"}, fault) {
			fault = "unsigned by new"
		}
		signers := pick(rng, holders, role.Threshold)
		if old != nil {
			signers = append(signers, pick(rng, oldHolders, old.Roles[RoleRoot].Threshold)...)
		}
		var sigs []Signature
		switch fault {
		case "unsigned by old":
			keep := old.Roles[RoleRoot].Threshold - 1
			signers = append(notIn(holders, oldHolders), oldHolders[:keep]...)
		case "unsigned by new":
			keep := role.Threshold - 1
			signers = append(notIn(oldHolders, holders), holders[:keep]...)
		case "gap":
			r.Version++
		case "repeat":
			r.Version--
		case "twin": // the same key again under another id, with the threshold above what signed
			twin := holders[0].key
			twin.ID = "twin"
			r.Keys = append(r.Keys, twin)
			role.KeyIDs = append(role.KeyIDs, "twin")
			role.Threshold = len(holders)
			if role.Threshold == 1 { // needs a second key that does not sign
				m := make25519(61)
				r.Keys = append(r.Keys, m.key)
				role.KeyIDs = append(role.KeyIDs, m.key.ID)
				role.Threshold = 2
				signers = append(notIn(oldHolders, holders), holders...)
			} else {
				signers = append(notIn(oldHolders, holders), holders[:len(holders)-1]...)
			}
			r.Roles[RoleRoot] = role
		case "threshold 0":
			role.Threshold = 0
			r.Roles[RoleRoot] = role
		case "threshold high":
			role.Threshold = len(holders) + 1
			r.Roles[RoleRoot] = role
		}
		message := r.Canonical()
		for _, s := range signers {
			if !slices.ContainsFunc(sigs, func(have Signature) bool { return have.KeyID == s.key.ID }) {
				sigs = append(sigs, s.sign(message))
			}
		}
		own := func(id string) bool { return slices.Contains(role.KeyIDs, id) }
		switch fault {
		case "twin":
			first := holders[0].sign(message)
			sigs = append(sigs, Signature{KeyID: "twin", Sig: first.Sig})
		case "flipped", "empty": // all that count for the new root, so that it cannot be enough
			for k := range sigs {
				if own(sigs[k].KeyID) {
					if fault == "empty" {
						sigs[k].Sig = nil
					} else {
						sigs[k].Sig[len(sigs[k].Sig)-1] ^= 4
					}
				}
			}
		case "wrong key":
			for k := range sigs {
				if own(sigs[k].KeyID) {
					sigs[k].Sig = make25519(62).sign(message).Sig
				}
			}
		case "surplus":
			sigs = append(sigs, make25519(63).sign(message))
		}
		rng.Shuffle(len(sigs), func(a, b int) { sigs[a], sigs[b] = sigs[b], sigs[a] })
		if fault != "" {
			what = append(what, fault)
		}
		files = append(files, file(r.json(), sigs))
		if fault != "" && fault != "surplus" {
			break // nothing after it can be reached
		}
		old, oldHolders, version = r, holders, r.Version+1
	}
	return files, what
}

// pick returns n or more of the makers.
func pick(rng *mathrand.Rand, from []*maker, n int) []*maker {
	from = slices.Clone(from)
	rng.Shuffle(len(from), func(a, b int) { from[a], from[b] = from[b], from[a] })
	return from[:n+rng.IntN(len(from)-n+1)]
}

// notIn returns the makers of a that are not among b.
func notIn(a, b []*maker) []*maker {
	return slices.DeleteFunc(slices.Clone(a), func(m *maker) bool { return slices.Contains(b, m) })
}

// What go-tuf takes, or falls over, and we refuse.
func TestStricterThanGoTUF(t *testing.T) {
	r, holders := newRoot(3, 2)
	good := string(file(r.json(), signAll(r.Canonical(), holders...)))
	ids := `"root":{"keyids":[`
	for name, c := range map[string]struct{ in, theirs string }{
		"a key that is null": {strings.Replace(strings.Replace(good, `"keys":{`, `"keys":{"x":null,`, 1), ids, ids+`"x",`, 1), "panic"},
		"a name twice":       {strings.Replace(good, `"version":1`, `"version":7,"version":1`, 1), ""},
		"an id that is not in keys, in another role": {badTimestamp(func(o *Role) { o.KeyIDs = append(o.KeyIDs, "ff") }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := goTUF(served{Roots: [][]byte{[]byte(c.in)}}, expiry.AddDate(0, 0, -1)).Problem
			if (c.theirs == "") != (got == "") || !strings.Contains(got, c.theirs) {
				t.Logf("this go-tuf is another than the one compared with: %s", got)
			}
			if _, err := Parse([]byte(c.in)); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// badTimestamp is a signed file with a changed timestamp role.
func badTimestamp(change func(*Role)) string {
	r, holders := newRoot(3, 2)
	role := r.Roles[RoleTimestamp]
	change(&role)
	r.Roles[RoleTimestamp] = role
	return string(file(r.json(), signAll(r.Canonical(), holders...)))
}
