package agreed_test

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// targets have holders sign targets, with P-256 keys, and P-256 root keys beside them.
func targets(threshold int, holders ...string) change {
	return func(r *agreed.Plan) {
		r.Token.Algorithm = keys.P256
		r.Roles[tuf.RoleTargets] = agreed.Role{Threshold: threshold, Keys: []tuf.Key{}, Holders: holders}
		r.Targets = &agreed.Targets{Version: 1, Expires: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC), Algorithm: keys.P256, Delegations: []agreed.Delegation{}}
	}
}

// delegation adds one, to the key of a placeholder.
func delegation(name string, terminating bool, paths ...string) change {
	return func(r *agreed.Plan) {
		r.Targets.Delegations = append(r.Targets.Delegations, agreed.Delegation{Name: name, Paths: paths, Threshold: 1, Terminating: terminating,
			Keys: []tuf.Key{agreed.MustKey(agreed.Placeholder(keys.Ed25519, name))}})
	}
}

// carrying has a plan carry over a targets file with so many target files.
func carrying(t testing.TB, files int, delegations string) change {
	t.Helper()
	var list []string
	for i := range files {
		list = append(list, fmt.Sprintf(`"f%03d":{"length":%d,"hashes":{"sha256":%q}}`, i, i, strings.Repeat("ab", 32)))
	}
	data := fmt.Appendf(nil, `{"signatures":[],"signed":{"_type":"targets",%s"expires":"2026-12-24T00:00:00Z","spec_version":"1.0.31","targets":{%s},"version":7}}`, delegations, strings.Join(list, ","))
	f, err := tuf.ParseTargets(data)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *agreed.Plan) {
		r.Targets.File, r.CarriedFile = agreed.Carries(data, f, r.TrustedRoot(), delegations != ""), f
		r.Targets.Version = 8
	}
}

// A plan from a hostile file keeps to the rules, as one from plan.toml does.
func TestTargetsOfAHostilePlan(t *testing.T) {
	role := func(r *agreed.Plan, change func(*agreed.Role)) {
		is := r.Roles[tuf.RoleTargets]
		change(&is)
		r.Roles[tuf.RoleTargets] = is
	}
	key := agreed.MustKey(agreed.Placeholder(keys.Ed25519, "x"))
	for _, c := range []struct {
		name   string
		change change
		want   string // "" for none
	}{
		{"as it is", func(*agreed.Plan) {}, ""},
		{"holders of another role", func(r *agreed.Plan) {
			r.Roles["snapshot"] = agreed.Role{Threshold: 1, Keys: []tuf.Key{}, Holders: []string{"alice"}}
		}, "role.snapshot.keys: holders can have the keys of targets alone, and all of them"},
		{"holders and keys", func(r *agreed.Plan) { role(r, func(is *agreed.Role) { is.Keys = []tuf.Key{key} }) }, "role.targets.keys: holders can have the keys of targets alone"},
		{"null for keys", func(r *agreed.Plan) { role(r, func(is *agreed.Role) { is.Keys = nil }) }, "role.targets.keys: holders can have the keys of targets alone"},
		{"no holder", func(r *agreed.Plan) { role(r, func(is *agreed.Role) { is.Holders = []string{} }) }, "role.targets.keys: keys is empty"},
		{"an unknown holder", func(r *agreed.Plan) { role(r, func(is *agreed.Role) { is.Holders[1] = "zoe" }) }, `role.targets.keys[1]: "zoe" is no holder of this plan`},
		{"a holder twice", func(r *agreed.Plan) { role(r, func(is *agreed.Role) { is.Holders[1] = "alice" }) }, `role.targets.keys[1]: the holder "alice" is there twice`},
		{"no targets", func(r *agreed.Plan) { r.Targets = nil }, "role.targets.keys: holders are to sign targets, and [targets] is missing"},
		{"no holders", func(r *agreed.Plan) {
			role(r, func(is *agreed.Role) { is.Holders, is.Threshold, is.Keys = nil, 1, []tuf.Key{key} })
		}, "targets: [targets] is for targets that holders sign"},
		{"a time with fractions", func(r *agreed.Plan) { r.Targets.Expires = r.Targets.Expires.Add(time.Nanosecond) }, "expires is not in UTC with whole seconds"},
		{"no time", func(r *agreed.Plan) { r.Targets.Expires = time.Time{} }, "expires is not in UTC with whole seconds"},
		{"null for delegations", func(r *agreed.Plan) { r.Targets.Delegations = nil }, "targets: delegations is no list"},
		{"another version", func(r *agreed.Plan) { r.Targets.Version = 2 }, "targets.version: targets version 2: without a file before it comes version 1"},
		{"a file without a digest", func(r *agreed.Plan) {
			r.Targets.File, r.Targets.Version = &agreed.CarriedTargets{Length: 9, Version: 1}, 2
		}, "targets.file: targets file: no SHA-256"},
		{"a version that does not follow", func(r *agreed.Plan) { carrying(t, 1, "")(r); r.Targets.Version = 9 }, "targets.file: targets version 9 does not follow version 7"},
		{"a file that is too large", func(r *agreed.Plan) { carrying(t, 1, "")(r); r.Targets.File.Length = tuf.MaxTargetsSize + 1 }, "targets.file: a targets file of 16777217 bytes"},
		{"delegations that stay and are replaced", func(r *agreed.Plan) {
			carrying(t, 1, "")(r)
			r.Targets.File.Delegations = true
			delegation("dev", false, "*")(r)
		}, "targets.file: the delegations of the targets file stay or the plan's are in their place: not both"},
		{"10,001 delegations", func(r *agreed.Plan) {
			for i := range 10_001 {
				delegation(fmt.Sprint("r", i), false, "*")(r)
			}
		}, "delegation: 10001 delegations: at most 10000"},
		{"a delegation with holders and keys", func(r *agreed.Plan) {
			delegation("dev", false, "*")(r)
			r.Targets.Delegations[0].Holders = []string{"alice"}
		}, "delegation[0].keys: keys are holders' or in key files: not both"},
		{"a delegation of a P-384 key", func(r *agreed.Plan) {
			delegation("dev", false, "*")(r)
			r.Targets.Delegations[0].Keys[0].Public.Algorithm = keys.P384
		}, "delegation[0].keys[0]: key 1: a key on P-384"},
		{"a key twice in a delegation", func(r *agreed.Plan) {
			delegation("dev", false, "*")(r)
			r.Targets.Delegations[0].Keys = []tuf.Key{key, key}
		}, "delegation[0].keys[1]: key 2: it is there twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := example(t, targets(2, "alice", "bruno", "chen"))
			c.change(r)
			err := r.Check()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

// Every member of a plan with targets is read as it was written, and no other.
func TestParseTargetsIsStrict(t *testing.T) {
	r := example(t, targets(2, "alice", "bruno", "chen"), carrying(t, 3, ""), delegation("dev", true, "a/*"), func(r *agreed.Plan) {
		r.Targets.Delegations = append(r.Targets.Delegations, agreed.Delegation{Name: "bins", PathHashPrefixes: []string{"0"}, Threshold: 1, Holders: []string{"dana"}})
	})
	public, private := string(r.JSON()), r.PrivateJSON()
	if again, err := agreed.Parse([]byte(public), private); err != nil || again.Digest() != r.Digest() {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{
		{`"algorithm": "ecdsa-p256",
    "file"`, `"Algorithm": "ecdsa-p256",
    "file"`},
		{`"signed": false`, `"signed": false, "unsigned": true`},
		{`"delegations": [`, `"delegations": null, "x": [`},
		{`"terminating": true`, `"terminating": false`},
		{`"keys": [],
      "holders"`, `"holders"`},
		{`"name": "dev"`, `"name": "dev", "holders": []`},
	} {
		if !strings.Contains(public, pair[0]) {
			t.Fatalf("no %s in\n%s", pair[0], public)
		}
		if _, err := agreed.Parse([]byte(strings.Replace(public, pair[0], pair[1], 1)), private); err == nil {
			t.Errorf("taken with %s", pair[1])
		}
	}
}

// A plan in which nobody signs targets has the bytes that it had before plans could.
func TestPlansWithoutTargetsAreAsTheyWere(t *testing.T) {
	r := backedUpExample(t)
	checked, err := json.Marshal(agreed.Check(r, planNow))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		string(r.JSON()): "49b6901448c4457c3b3599a2bb5d592fe0edbd10d710e8490a5ec8712ca767c3",
		string(checked):  "82e0549c5fb3e24e9b0bb790bd9231b4466a402974cdc80d00c0c8541ce9a97c",
	} {
		if got := agreed.DigestOf([]byte(text)); got != want {
			t.Errorf("the SHA-256 is %s, and was %s, of\n%s", got, want, text)
		}
	}
}

// A root that needs a targets key isn't drafted without.
func TestDraftNeedsTargetsKeys(t *testing.T) {
	r := example(t, targets(1, "alice"))
	if _, err := r.Draft(holderKeys(r), r.Expires); err == nil || err.Error() != "draft: the targets key of Alice Costa is missing" {
		t.Errorf("%v", err)
	}
}

// Who could sign any package, and what loss locks packages out, agrees with trying every
// set of people.
func TestCustodyOfTargetsAgainstEverySet(t *testing.T) {
	for n := 1; n <= 5; n++ {
		for signers := 1; signers <= n; signers++ {
			for threshold := 1; threshold <= signers; threshold++ {
				for outside := 0; outside <= 2; outside++ {
					for quorum := 0; quorum <= n-1+outside; quorum++ {
						compareTargets(t, n, signers, threshold, outside, quorum)
					}
				}
			}
		}
	}
}

func compareTargets(t *testing.T, n, signers, threshold, outside, quorum int) {
	t.Helper()
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("h", i))
	}
	r := held(1, names...)
	if quorum > 0 {
		var others []string
		for i := range outside {
			others = append(others, fmt.Sprint("r", i))
		}
		r = backedUp(r, strings.Repeat("b", n), quorum, true, others...)
	} else {
		outside = 0
	}
	var ids []string
	for _, h := range r.Holders[:signers] {
		ids = append(ids, h.ID)
	}
	r.Roles = map[string]agreed.Role{}
	for _, name := range agreed.OnlineRoles {
		r.Roles[name] = agreed.Role{Threshold: 1, Keys: []tuf.Key{agreed.MustKey(agreed.Placeholder(keys.Ed25519, name))}}
	}
	for i := range r.Holders { // so that all else is as it may be
		r.Holders[i].Token = fmt.Sprint("T-", i)
	}
	targets(threshold, ids...)(r)
	c := agreed.Check(r, planNow).Targets.Custody
	least, loss := 100, 100
	able := func(set int) bool {
		own := bits.OnesCount(uint(set & (1<<signers - 1)))
		if quorum > 0 && bits.OnesCount(uint(set)) >= quorum {
			own = signers // of any other holder's backup all who come are recipients
		}
		return own >= threshold
	}
	all := 1<<(n+outside) - 1
	for set := range all + 1 {
		if able(set) {
			least = min(least, bits.OnesCount(uint(set)))
		}
		if !able(all &^ set) {
			loss = min(loss, bits.OnesCount(uint(set)))
		}
	}
	said, lost := 100, 100
	for _, g := range c.Sign {
		said = min(said, g.Any)
	}
	for _, g := range c.Locks {
		lost = min(lost, g.Any)
	}
	if said != least || lost != loss {
		t.Errorf("%d of %d of %d holders, quorum %d with %d others: %d sign and the loss of %d locks out, but %+v %+v", threshold, signers, n, quorum, outside, least, loss, c.Sign, c.Locks)
	}
	refused := false
	for _, b := range r.Rules(agreed.Said{}) {
		refused = refused || strings.Contains(b.Text, "is below the threshold of targets")
	}
	if refused != (least < threshold) {
		t.Errorf("%d of %d of %d holders, quorum %d with %d others: refused %v", threshold, signers, n, quorum, outside, refused)
	}
}

// What check says of a plan with targets.
func TestCheckOfTargets(t *testing.T) {
	r := backedUpExample(t, targets(2, "alice", "bruno", "chen"), carrying(t, 2, ""),
		delegation("dev", true, "packages/*"), delegation("late", false, "packages/foo", "packages/*/*"), delegation("more", false, "packages/b?r"), func(r *agreed.Plan) {
			r.Targets.Delegations[2].Threshold, r.Targets.Delegations[2].Keys, r.Targets.Delegations[2].Holders = 2, nil, []string{"alice", "dana"}
		})
	checked := agreed.Check(r, planNow)
	lines := strings.Join(checked.Lines(), "\n")
	want := `
targets:
  version 8, signed by 2 of 3 holders: Alice Costa, Bruno Ferraz and Chen Wei
  expires 2027-02-01 00:00:00 UTC, in 70 days
  it carries over version 7 byte for byte: 2 target files, a file of 341 bytes
  the SHA-256 of that file is ` + agreed.Grouped(r.Targets.File.SHA256) + `
  whether a newer one was published, this laptop cannot know: look where it is published
  new targets keys, ecdsa-p256, are made by Alice Costa, Bruno Ferraz, Chen Wei and Dana Okafor

who signs which paths:
  role targets: any 2 of Alice Costa, Bruno Ferraz or Chen Wei, for every path; asked first
  1. role dev: key ` + idOf("dev")[:8] + `; terminating: nobody after it is asked for its paths
     packages/*
  2. role late: key ` + idOf("late")[:8] + `
     packages/foo: SHADOWED by the terminating delegation to dev: nobody asks this role
     packages/*/*
  3. role more: both Alice Costa and Dana Okafor
     packages/b?r: SHADOWED by the terminating delegation to dev: nobody asks this role
`
	if !strings.Contains(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", lines, want)
	}
	for _, want := range []string{
		"  the targets keys of Alice Costa, Bruno Ferraz, Chen Wei and Dana Okafor, in files of their own beside these",
		"  any 3 of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor or Emil Novak could sign the root, with their tokens and PINs",
		"  any 2 of Alice Costa, Bruno Ferraz or Chen Wei could sign any package, with their tokens and PINs",
		"  any 3 of Alice Costa, Bruno Ferraz, Chen Wei, Bank safe, Dana Okafor or Emil Novak could open the backups of enough keys, and sign any package",
		"  Lisbon alone could sign any package: it has 2 of the holders (Alice Costa and Bruno Ferraz), and 2 sign targets",
		"warning: NOBODY HAS SIGNED THE TARGETS FILE: what it lists becomes what holders sign, on the word of that file alone (hint: compare its SHA-256 with that of the file where it is published, or was made)",
		"warning: nobody asks the role late for packages/foo: the delegation to dev comes before, is terminating and covers all of it (hint: the other order, or no terminating)",
		"warning: nobody asks the role more for packages/b?r: the delegation to dev comes before, is terminating and covers all of it (hint: the other order, or no terminating)",
	} {
		if !slices.Contains(strings.Split(lines, "\n"), want) {
			t.Errorf("no %q in\n%s", want, lines)
		}
	}
	if strings.Contains(lines, "  targets: 2 of") {
		t.Error("targets is among the online roles")
	}
	if len(checked.Roles) != 3 || !slices.Equal(checked.Roles[2].Holders, []string{"alice", "bruno", "chen"}) {
		t.Errorf("%+v", checked.Roles)
	}
	one := example(t, targets(1, "alice", "bruno"))
	custody := agreed.Check(one, planNow).Targets.Custody
	if want := "any one holder can sign any package alone (hint: a threshold of 2 or more)"; !slices.Contains(custody.Warnings, want) {
		t.Errorf("%q", custody.Warnings)
	}
	alone := agreed.Check(example(t, targets(1, "alice")), planNow).Targets.Custody
	if want := "the loss of a single token locks packages out until a root has other targets keys (hint: more holders than the threshold)"; !slices.Contains(alone.Warnings, want) {
		t.Errorf("%q", alone.Warnings)
	}
}

// Where check says that a role is shadowed for a pattern, no client asks it for a path of
// that pattern, whatever the delegations; and where it isn't said of any of its patterns
// that fit, one does.
func TestShadowsAgainstWho(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "*", "?", "a*", "*b", "ab"})
	rapid.Check(t, func(rt *rapid.T) {
		r := example(t, targets(1, "alice"))
		for i := range rapid.IntRange(1, 5).Draw(rt, "delegations") {
			var paths []string
			for range rapid.IntRange(1, 3).Draw(rt, "paths") {
				paths = append(paths, strings.Join(rapid.SliceOfN(segment, 1, 2).Draw(rt, "path"), "/"))
			}
			delegation(fmt.Sprint("r", i), rapid.Bool().Draw(rt, "terminating"), paths...)(r)
		}
		if err := r.Check(); err != nil {
			rt.Fatal(err)
		}
		if err := r.CheckTargets(); err != nil {
			rt.Fatal(err)
		}
		lines := agreed.Check(r, planNow).Targets.Signs
		path := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "ba"}), 1, 2).Draw(rt, "target"), "/")
		who, err := tuf.Tree{Root: r.Outline(), Targets: r.TargetsOutline()}.Who(path)
		if err != nil {
			rt.Fatal(err)
		}
		at := 0
		for _, d := range r.Targets.Delegations {
			at = slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, ". role "+d.Name+": ") })
			asked := slices.ContainsFunc(who, func(s tuf.Signer) bool { return s.Role == d.Name && s.Shadowed == "" })
			for i, p := range d.Paths {
				line := lines[at+1+i]
				if !strings.HasPrefix(line, "   "+p) {
					rt.Fatalf("%q for %s of %s", line, p, d.Name)
				}
				if strings.Contains(line, "SHADOWED") && tuf.Matches(p, path) && asked {
					rt.Errorf("%s is asked for %s: %q", d.Name, path, lines)
				}
			}
		}
	})
}

// What an ed25519 token signs is bounded, and the sentence says what fits.
func TestTargetsBudget(t *testing.T) {
	with := func(files int, algorithm keys.Algorithm) *agreed.Plan {
		return example(t, targets(1, "alice"), carrying(t, files, ""), func(r *agreed.Plan) { r.Targets.Algorithm, r.Token.Algorithm = algorithm, keys.Ed25519 })
	}
	for files := range 60 {
		b := with(files, keys.Ed25519).TargetsBudget()
		if b.Bytes != len(with(files, keys.Ed25519).TargetsOutline().Canonical()) || b.Refused != (b.Bytes > agreed.MaxTokenMessage) || b.Limit != agreed.MaxTokenMessage {
			t.Fatalf("%d files: %+v", files, b)
		}
		if !b.Refused {
			continue
		}
		if fits := with(b.Fit, keys.Ed25519).TargetsBudget(); fits.Refused {
			t.Errorf("%d files would not fit: %+v", b.Fit, fits)
		}
		if more := with(b.Fit+1, keys.Ed25519).TargetsBudget(); !more.Refused {
			t.Errorf("%d files would fit: %+v", b.Fit+1, more)
		}
		if !strings.Contains(b.Text(), fmt.Sprintf("of its %d target files the first %d would fit (hint: algorithm = \"ecdsa-p256\" in [targets]", files, b.Fit)) {
			t.Errorf("%s", b.Text())
		}
		if digest := with(files, keys.P256).TargetsBudget(); digest.Refused || digest.Limit != tuf.MaxTargetsSize {
			t.Errorf("%+v", digest)
		}
	}
}

// A rehearsal's targets say so, and no real ones are too large for that.
func TestTargetsOfARehearsal(t *testing.T) {
	real := example(t, targets(1, "alice"), carrying(t, 3, ""), func(r *agreed.Plan) { r.Targets.Algorithm, r.Token.Algorithm = keys.Ed25519, keys.Ed25519 })
	rehearsal := *real
	rehearsal.Rehearsal = true
	b, rb := real.TargetsBudget(), rehearsal.TargetsBudget()
	if more := len(`"x-rehearsal":true,`); rb.Bytes != b.Bytes+more || rb.Limit != b.Limit+more {
		t.Errorf("%+v, of a rehearsal %+v", b, rb)
	}
	if real.TargetsOutline().Rehearsal() || !rehearsal.TargetsOutline().Rehearsal() {
		t.Error("which is a rehearsal's?")
	}
}

// The root of a plan that is too large with targets keys becomes smaller by what the
// advice says.
func TestBudgetOfARootWithTargetsKeys(t *testing.T) {
	all := []string{"alice", "bruno", "chen", "dana", "emil"}
	r := example(t, targets(2, all...), func(r *agreed.Plan) { r.Token.Algorithm = keys.Ed25519 })
	b := r.Budget()
	if !b.Refused {
		t.Fatalf("%+v", b)
	}
	fewer := example(t, targets(2, all[:4]...), func(r *agreed.Plan) { r.Token.Algorithm = keys.Ed25519 })
	small := example(t, targets(2, all...), func(r *agreed.Plan) { r.Token.Algorithm, r.Targets.Algorithm = keys.Ed25519, keys.Ed25519 })
	for _, want := range []string{
		fmt.Sprintf("each holder fewer in [role.targets] saves %d bytes", b.Bytes-fewer.Size()),
		fmt.Sprintf(`algorithm = "ed25519" in [targets] saves %d bytes, and targets of more than 3000 then can't be signed`, b.Bytes-small.Size()),
		`algorithm = "ecdsa-p256": such tokens sign a digest, whatever the size`,
	} {
		if !slices.Contains(b.Advice, want) {
			t.Errorf("no %q in %q", want, b.Advice)
		}
	}
	if fewer.Size() >= b.Bytes || small.Size() >= b.Bytes {
		t.Errorf("%d and %d against %d", fewer.Size(), small.Size(), b.Bytes)
	}
	// Where the targets would not fit either, that is no way out.
	large := example(t, targets(2, all...), carrying(t, 40, ""), func(r *agreed.Plan) { r.Token.Algorithm = keys.Ed25519 })
	if advice := large.Budget().Advice; slices.ContainsFunc(advice, func(s string) bool { return strings.Contains(s, "in [targets] saves") }) {
		t.Errorf("%q", advice)
	}
	// So many holders as fit, with a targets key each, is the same however many there are.
	for n := 1; n <= b.MostHolders; n++ {
		some := example(t, targets(1, all[:n]...), func(other *agreed.Plan) {
			other.Token.Algorithm, other.Holders, other.Threshold = keys.Ed25519, r.Holders[:n], 1
		})
		if got := some.Budget().MostHolders; got != b.MostHolders {
			t.Errorf("of %d holders %d would fit, of 5 %d", n, got, b.MostHolders)
		}
	}
	// What fits by its count fits.
	holders := r.Holders[:b.MostHolders]
	fits := example(t, targets(1, all[:b.MostHolders]...), func(r *agreed.Plan) {
		r.Token.Algorithm, r.Holders, r.Threshold = keys.Ed25519, holders, 1
	})
	if fits.Budget().Refused {
		t.Errorf("%d holders: %+v", b.MostHolders, fits.Budget())
	}
}
