package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// targetsChanges make of onTokenPlan one in which three holders sign targets, and two
// roles are delegated to. Its lines: 61 [role.targets], 65 [targets], 68 and 74
// [[delegation]].
var targetsChanges = []string{
	`"ed25519"`, `"ecdsa-p256"`,
	"threshold = 1\nkeys = [\"keys/targets.pub\"]\n", `threshold = 2
keys = ["alice", "bruno", "chen"]

[targets]
expires = "90d"

[[delegation]]
name = "dev"
paths = ["packages/*", "docs/*/*"]
keys = ["keys/targets.pub"]
threshold = 1

[[delegation]]
name = "bins"
path_hash_prefixes = ["0", "1"]
keys = ["alice", "emil"]
threshold = 2
terminating = true
`}

// resolvedTargets is such a plan, changed and agreed.
func resolvedTargets(t testing.TB, changes ...string) *agreed.Plan {
	t.Helper()
	p, err := Read(filepath.Join(planFolder(t, append(slices.Clone(targetsChanges), changes...)...), state.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(planNow)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A plan with targets is agreed with all that decides what is made, and read again.
func TestTargetsOfAPlan(t *testing.T) {
	r := resolvedTargets(t)
	if got := r.Roles[tuf.RoleTargets]; got.Threshold != 2 || !slices.Equal(got.Holders, []string{"alice", "bruno", "chen"}) || len(got.Keys) != 0 {
		t.Errorf("role targets: %+v", got)
	}
	targets := r.Targets
	if targets.Version != 1 || targets.Algorithm != keys.P256 || agreed.Stamp(targets.Expires) != "2027-02-21T00:00:00Z" || targets.File != nil {
		t.Errorf("%+v", targets)
	}
	dev, bins := targets.Delegations[0], targets.Delegations[1]
	if dev.Name != "dev" || !slices.Equal(dev.Paths, []string{"packages/*", "docs/*/*"}) || len(dev.Keys) != 1 || dev.Keys[0].Public.Algorithm != keys.Ed25519 || dev.Holders != nil || dev.Terminating {
		t.Errorf("%+v", dev)
	}
	if bins.Name != "bins" || !slices.Equal(bins.PathHashPrefixes, []string{"0", "1"}) || !slices.Equal(bins.Holders, []string{"alice", "emil"}) || bins.Threshold != 2 || !bins.Terminating {
		t.Errorf("%+v", bins)
	}
	again, err := agreed.Parse(r.JSON(), r.PrivateJSON())
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != r.Digest() || !strings.Contains(string(r.JSON()), dev.Keys[0].Public.Hex) {
		t.Errorf("read as\n%s\nwritten as\n%s", again.JSON(), r.JSON())
	}
	// The metadata is one that may be written, and the root has the same people's keys.
	outline, root := r.TargetsOutline(), r.Outline()
	if err := outline.Check(nil); err != nil {
		t.Error(err)
	}
	if err := root.Check(); err != nil {
		t.Error(err)
	}
	who, err := tuf.Tree{Root: root, Targets: outline}.Who("packages/foo")
	if err != nil || len(who) < 2 || who[0].Threshold != 2 || len(who[0].Keys) != 3 || who[1].Role != "dev" {
		t.Errorf("%+v %v", who, err)
	}
}

// "holders" are all of them, in the order of the plan.
func TestEveryHolderSignsTargets(t *testing.T) {
	r := resolvedTargets(t, `["alice", "bruno", "chen"]`, `["holders"]`)
	if got := r.Roles[tuf.RoleTargets].Holders; !slices.Equal(got, []string{"alice", "bruno", "chen", "dana", "emil"}) {
		t.Errorf("%q", got)
	}
	if n := len(r.Outline().Roles[tuf.RoleTargets].KeyIDs); n != 5 {
		t.Errorf("%d keys", n)
	}
}

var badTargets = []struct {
	name    string
	changes []string // beyond targetsChanges
	want    string
}{
	{"unknown key", []string{`expires = "90d"`, "expires = \"90d\"\ncolour = 1"}, `67:1: unknown key "colour" (hint: known here: expires, algorithm, file)`},
	{"unknown key of a delegation", []string{`name = "dev"`, "name = \"dev\"\ncolour = 1"}, `70:1: unknown key "colour" (hint: known here: name, paths, path_hash_prefixes, threshold, terminating, keys)`},
	{"wrong case", []string{"[targets]", "[Targets]"}, `65:2: wrong case: "Targets" is written "targets"`},
	{"wrong case of a delegation's key", []string{"terminating = true", "Terminating = true"}, `79:1: wrong case: "Terminating" is written "terminating"`},
	{"a threshold in its place", []string{`expires = "90d"`, "expires = \"90d\"\nthreshold = 2"}, `67:13: threshold stands in [role.targets], and nowhere else`},
	{"one delegation", []string{"[[delegation]]\nname = \"bins\"", "[other]", "[[delegation]]", "[delegation]", "[other]", "[[person]]\nrole = \"scribe\"\nname = \"bins\""}, "68:2: delegation must be written [[delegation]], once for each, not as a table\n77:1: unknown key \"path_hash_prefixes\" (hint: known here: name, role)\n78:1: unknown key \"keys\" (hint: known here: name, role)\n79:1: unknown key \"threshold\" (hint: known here: name, role)\n80:1: unknown key \"terminating\" (hint: known here: name, role)"},
	{"a pattern that is a number", []string{`"docs/*/*"`, "7"}, `70:24: paths must be texts in quotes, not a number`},
	{"terminating as a text", []string{"terminating = true", `terminating = "yes"`}, `79:15: terminating must be true or false, not a text`},

	{"no expiry", []string{"expires = \"90d\"\n", ""}, `65:2: expires is missing (hint: expires = "365d", or a time such as "2027-11-22T00:00:00Z")`},
	{"no time", []string{`"90d"`, `"soon"`}, `66:11: expires "soon" is not a time (hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)`},
	{"another algorithm", []string{`expires = "90d"`, "expires = \"90d\"\nalgorithm = \"rsa\""}, `67:13: algorithm "rsa" is none of ecdsa-p256, ed25519`},
	{"an algorithm that old tokens lack", []string{`expires = "90d"`, "expires = \"90d\"\nalgorithm = \"ed25519\"", `"5.7.0"`, `"5.4.3"`}, `67:13: ed25519 keys need firmware 5.7.0, and min_firmware is 5.4.3 (hint: ecdsa-p256, or min_firmware = "5.7.0")`},
	{"a file outside", []string{`expires = "90d"`, "expires = \"90d\"\nfile = \"../targets.json\""}, `67:8: targets file "../targets.json" is outside the plan's folder (hint: copy it into the folder)`},

	{"a threshold above its holders", []string{"threshold = 2\nkeys = [\"alice\", \"bruno\"", "threshold = 4\nkeys = [\"alice\", \"bruno\""}, `62:13: threshold 4 is more than there are holders in the role (3)`},
	{"threshold 0", []string{"threshold = 2\nkeys = [\"alice\", \"bruno\"", "threshold = 0\nkeys = [\"alice\", \"bruno\""}, `62:13: threshold 0: at least 1 holder must sign`},
	{"a key file among holders", []string{`"bruno", "chen"`, `"keys/targets.pub", "chen"`}, `63:18: "keys/targets.pub" is no holder's id, and holders and key files don't mix in one role: anyone who has the key of a file would count as one of the people who must sign (hint: holders' ids alone, or key files alone)`},
	{"a slip in an id", []string{`"bruno", "chen"`, `"burno", "chen"`}, `63:18: "burno" is no holder's id, and holders and key files don't mix in one role: anyone who has the key of a file would count as one of the people who must sign (hint: holders' ids alone, or key files alone)`},
	{"a holder twice", []string{`"bruno", "chen"`, `"bruno", "alice"`}, `63:27: the holder "alice" is there twice`},
	{"a holder among all", []string{`"bruno", "chen"`, `"holders"`}, `63:9: "alice" is among "holders" already`},
	{"holders of another role", []string{`["keys/snapshot.pub"]`, `["keys/snapshot.pub", "chen"]`}, ""},

	{"holders without [targets]", []string{"[targets]\nexpires = \"90d\"\n", ""}, "63:1: holders are to sign targets, and [targets] is missing (hint: [targets] with expires)\n66:3: [[delegation]] is for targets that holders sign, and there is no [targets]"},
	{"[targets] without holders", []string{`["alice", "bruno", "chen"]`, `["keys/targets.pub", "keys/snapshot.pub"]`}, `65:2: [targets] is for targets that holders sign, and [role.targets] names none of them (hint: keys = ["holders"] there)`},

	{"no name", []string{"name = \"dev\"\n", ""}, `68:3: name is missing (hint: name = "dev", as its metadata is named: dev.json)`},
	{"the name of a top-level role", []string{`"dev"`, `"snapshot"`}, `69:8: the name of the delegated role "snapshot" is that of a top-level role`},
	{"a name like a file of one", []string{`"dev"`, `"3.targets"`}, `69:8: the name of the delegated role "3.targets" is like that of a top-level role's file`},
	{"a name that is a path", []string{`"dev"`, `"a/b"`}, `69:8: the name of the delegated role "a/b" has characters that file names and addresses don't take as they are`},
	{"a name twice", []string{`"bins"`, `"dev"`}, `75:8: the role "dev" is delegated to twice (hint: all its paths in one [[delegation]])`},
	{"a path that escapes", []string{`"docs/*/*"`, `"docs/../*"`}, `70:24: the path "docs/../*" has the segment ..`},
	{"a path from the root", []string{`"docs/*/*"`, `"/docs"`}, `70:24: the path "/docs" begins with a slash`},
	{"a path that clients read in different ways", []string{`"docs/*/*"`, `"docs/**"`}, `70:24: the path "docs/**" has two stars together, which clients read in different ways`},
	{"a path with an escape", []string{`"docs/*/*"`, `"docs/\u001b[2J"`}, `70:24: the path "docs/\x1b[2J" has a character that doesn't show`},
	{"a prefix in capitals", []string{`["0", "1"]`, `["0", "F"]`}, `76:28: the prefix "F" is not the beginning of a SHA-256 in lower-case hex: it fits no path`},
	{"both kinds of paths", []string{`name = "bins"`, "name = \"bins\"\npaths = [\"*\"]"}, `74:3: the delegation to "bins" needs either paths or path_hash_prefixes, and one at least`},
	{"no paths", []string{"path_hash_prefixes = [\"0\", \"1\"]\n", ""}, `74:3: the delegation to "bins" needs either paths or path_hash_prefixes, and one at least`},
	{"no keys", []string{"keys = [\"keys/targets.pub\"]\nthreshold = 1\n", "threshold = 1\n"}, `68:3: keys is missing (hint: keys = ["keys/dev.pub"], or holders' ids, or ["holders"])`},
	{"no threshold", []string{"keys = [\"keys/targets.pub\"]\nthreshold = 1\n", "keys = [\"keys/targets.pub\"]\n"}, `68:3: threshold is missing (hint: threshold = 1)`},
	{"a threshold above the keys", []string{"keys = [\"keys/targets.pub\"]\nthreshold = 1\n", "keys = [\"keys/targets.pub\"]\nthreshold = 2\n"}, `72:13: threshold 2 is more than there are keys (1)`},
	{"a threshold above the holders of a delegation", []string{"threshold = 2\nterm", "threshold = 3\nterm"}, `78:13: threshold 3 is more than there are holders in the role (2)`},
	{"one key in two files", []string{`keys = ["keys/targets.pub"]`, `keys = ["keys/targets.pub", "./keys/targets.pub"]`}, `71:29: key file "./keys/targets.pub" holds the same key as "keys/targets.pub": one key cannot count twice in role "dev"`},
	{"a key file that is not there", []string{`keys = ["keys/targets.pub"]`, `keys = ["keys/dev.pub"]`}, `71:9: key file "keys/dev.pub": no such file (hint: put it there; the name counts from the plan's folder)`},
	{"a key file outside of a delegation", []string{`keys = ["keys/targets.pub"]`, `keys = ["../dev.pub"]`}, `71:9: key file "../dev.pub" is outside the plan's folder (hint: copy it into the folder)`},
	{"a targets key that stays, of no root", []string{`token = "C-03"`, "token = \"C-03\"\ntargets_keyid = \"ab\""}, `34:17: targets_keyid is for rotate and revoke: create starts from no root`},
}

func TestBadTargets(t *testing.T) {
	for _, c := range badTargets {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(planFolder(t, append(slices.Clone(targetsChanges), c.changes...)...), state.PlanFile)
			_, err := Read(file)
			if c.want == "" { // a key file has no holder's name in the roles that machines sign
				c.want = `59:30: key file "chen": no such file (hint: put it there; the name counts from the plan's folder)`
			}
			wantFaults(t, err, file, c.want)
		})
	}
}

// A quorum that opens more targets keys than must sign would sign any package.
func TestQuorumBelowTheThresholdOfTargets(t *testing.T) {
	files, err := exampleKeys()
	if err != nil {
		t.Fatal(err)
	}
	text := backedUpText(t, append(slices.Clone(targetsChanges), `keys = ["alice", "bruno", "chen"]`, `keys = ["holders"]`, "threshold = 3 ", "threshold = 2 ", "quorum = 3", "quorum = 2")...)
	files[state.PlanFile] = []byte(strings.Replace(text, "threshold = 2\nkeys = [\"holders\"]", "threshold = 3\nkeys = [\"holders\"]", 1))
	file := filepath.Join(newFolder(t, files), state.PlanFile)
	_, err = Read(file)
	wantFaults(t, err, file, `18:10: any 2 of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor, Emil Novak or Bank safe could sign any package alone: the backup quorum (2) is below the threshold of targets (3)`)
	files[state.PlanFile] = []byte(text)
	if _, err := Read(filepath.Join(newFolder(t, files), state.PlanFile)); err != nil {
		t.Error(err)
	}
}

// keyOf is a placeholder's key.
func keyOf(text string) tuf.Key { return agreed.MustKey(agreed.Placeholder(keys.Ed25519, text)) }

// targetsFile is a targets file of a version with two target files, and a delegation to
// the key of a name if there is one, signed by those who are named.
func targetsFile(t testing.TB, version int, delegate string, signers ...string) []byte {
	t.Helper()
	delegations := ""
	if delegate != "" {
		key := keyOf(delegate)
		delegations = fmt.Sprintf(`"delegations":{"keys":{%q:%s},"roles":[{"name":"old-dev","keyids":[%q],"threshold":1,"terminating":false,"paths":["old/*"]}]},`, key.ID, key.Object(), key.ID)
	}
	text := fmt.Sprintf(`{"signatures":[],"signed":{"_type":"targets",%s"expires":"2026-12-24T00:00:00Z","spec_version":"1.0.31","targets":{"a.tar":{"length":3,"hashes":{"sha256":%q},"custom":{"ä":[1, 2]}},"b/c.tar":{"length":4,"hashes":{"sha256":%q}}},"version":%d}}`,
		delegations, strings.Repeat("ab", 32), strings.Repeat("cd", 32), version)
	f, err := tuf.ParseTargets([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var sigs []string
	for _, name := range signers {
		s := signed(f.Signed, name)
		sigs = append(sigs, fmt.Sprintf(`{"keyid":%q,"sig":"%x"}`, s.KeyID, s.Sig))
	}
	return []byte(strings.Replace(text, `"signatures":[]`, `"signatures":[`+strings.Join(sigs, ",")+`]`, 1))
}

// targetsRotation is a rotation after chainOf in which new targets keys are made, with
// what follows in [targets] and after it.
func targetsRotation(rest string, people ...string) string {
	return rotation(2, people...) + "[role.targets]\nthreshold = 1\nkeys = [\"dana\"]\n[targets]\nexpires = \"90d\"\n" + rest
}

var danaComes = []string{"Alice", "Bruno", "Chen-lost", "Dana+"}

// carrying reads such a plan beside a targets file.
func carrying(t testing.TB, text string, file []byte) (*Plan, string, error) {
	t.Helper()
	files := trustedFiles(chainOf(t, 2, 2, three...))
	if file != nil {
		files["targets.json"] = file
	}
	return readRotation(t, text, files)
}

// A targets file goes on byte for byte, and the plan says which.
func TestCarriedTargets(t *testing.T) {
	for _, c := range []struct {
		name  string
		rest  string
		file  []byte
		says  []string
		never []string
		roles []string
	}{
		{"signed", "file = \"targets.json\"\n", targetsFile(t, 7, "dev", "targets"), []string{
			"  version 8, signed by 1 of 1 holders: Dana",
			"  it carries over version 7 byte for byte: 2 target files, a file of ",
			"  that is signed by enough targets keys of root version 2",
			"  its delegations stay as they are",
			fmt.Sprintf("  the key %.8s leaves targets: it is nobody's in this plan", idOf("targets")),
			"  1. role old-dev: key " + idOf("dev")[:8],
		}, []string{"NOBODY"}, []string{"old-dev"}},
		{"unsigned", "file = \"targets.json\"\n", targetsFile(t, 7, ""), []string{"warning: NOBODY HAS SIGNED THE TARGETS FILE", "no delegations"}, []string{"that is signed by", "its delegations"}, nil},
		{"with other delegations", "file = \"targets.json\"\n[[delegation]]\nname = \"new\"\npaths = [\"new/*\"]\nkeys = [\"dana\"]\nthreshold = 1\n", targetsFile(t, 7, "dev", "targets"),
			[]string{"its delegations go: those of this plan are in their place", "  1. role new: Dana"}, []string{"old-dev"}, []string{"new"}},
		{"without delegations", "file = \"targets.json\"\n", targetsFile(t, 7, "dev", "targets"), []string{"its delegations go", "no delegations"}, []string{"old-dev"}, nil},
		{"none", "", nil, []string{"warning: NO TARGETS FILE IS CARRIED OVER", "  version 1, signed by"}, []string{"NOBODY"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := targetsRotation(c.rest, danaComes...)
			if c.name == "without delegations" {
				text = "delegation = []\n" + text
			}
			p, _, err := carrying(t, text, c.file)
			if err != nil {
				t.Fatal(err)
			}
			checked, err := p.Check(planNow)
			if err != nil {
				t.Fatal(err)
			}
			said := strings.Join(checked.Lines(), "\n")
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in\n%s", want, said)
				}
			}
			for _, never := range c.never {
				if strings.Contains(said, never) {
					t.Errorf("%q is in\n%s", never, said)
				}
			}
			r, err := p.Resolve(planNow)
			if err != nil {
				t.Fatal(err)
			}
			var roles []string
			outline := r.TargetsOutline()
			if outline.Delegations != nil {
				for _, d := range outline.Delegations.Roles {
					roles = append(roles, d.Name)
				}
			}
			if !slices.Equal(roles, c.roles) {
				t.Errorf("delegated to %q", roles)
			}
			again, err := agreed.Parse(r.JSON(), r.PrivateJSON())
			if err != nil {
				t.Fatal(err)
			}
			if c.file == nil {
				return
			}
			if f := again.Targets.File; f.SHA256 != agreed.DigestOf(c.file) || f.Length != len(c.file) || f.Version != 7 || f.Targets != 2 || again.Targets.Version != 8 {
				t.Errorf("%+v", f)
			}
			before := p.Carried.Targets.Targets
			for i, target := range outline.Targets {
				if target.Path != before[i].Path || string(target.Object()) != string(before[i].Object()) {
					t.Errorf("%s: %s", target.Path, target.Object())
				}
			}
			files, err := p.PlanFiles()
			if err != nil || string(files["targets.json"]) != string(c.file) {
				t.Errorf("the file doesn't go along: %v", err)
			}
			if !slices.Contains(p.Paths(), p.fromHere("targets.json")) {
				t.Errorf("%q", p.Paths())
			}
			// The log has not the file: what it says of it is judged all the same.
			if again.TargetsOutline() != nil || again.TargetsBudget() != nil {
				t.Error("an outline without the file")
			}
			if lines := strings.Join(agreed.Check(again, planNow).Lines(), "\n"); !strings.Contains(lines, "the targets file isn't here") {
				t.Errorf("%s", lines)
			}
		})
	}
}

// A targets file that no plan takes.
func TestBadTargetsFiles(t *testing.T) {
	const file = "file = \"targets.json\"\n"
	good := string(targetsFile(t, 7, "", "targets"))
	many := func(n int) []byte {
		key, roles := keyOf("dev"), []string{}
		for i := range n {
			roles = append(roles, fmt.Sprintf(`{"name":"r%d","keyids":[%q],"threshold":1,"terminating":false,"paths":["r%d/*"]}`, i, key.ID, i))
		}
		return []byte(strings.Replace(string(targetsFile(t, 7, "")), `"expires"`, fmt.Sprintf(`"delegations":{"keys":{%q:%s},"roles":[%s]},"expires"`, key.ID, key.Object(), strings.Join(roles, ",")), 1))
	}
	at := len(strings.Split(targetsRotation("", danaComes...), "\n"))
	for _, c := range []struct {
		name string
		rest string
		file []byte
		want string // "" for none; without line and column
	}{
		{"of another project", file, targetsFile(t, 7, "", "other targets"), "it is signed, and not for version 2 of the trusted root: 0 of 1"},
		{"of nobody who may", file, targetsFile(t, 7, "", "Alice", "Bruno"), "it is signed, and not for version 2 of the trusted root: 0 of 1"},
		{"spoilt", file, []byte(strings.Replace(good, `"length":3`, `"length":4`, 1)), "it is signed, and not for version 2 of the trusted root: 0 of 1"},
		{"of the last version there can be", file, targetsFile(t, 1<<53-1, "", "targets"), "has version 9007199254740991, and no version can follow on it"},
		{"with a path that escapes", file, []byte(strings.Replace(string(targetsFile(t, 7, "")), `"a.tar"`, `"../a.tar"`, 1)), "the target path ../a.tar has the segment ..; nobody should sign such a file"},
		{"with a delegated path that escapes", file, []byte(strings.Replace(string(targetsFile(t, 7, "dev")), `"old/*"`, `"/old/*"`, 1)), "begins with a slash; nobody should sign such a file"},
		{"with too many delegations", file, many(10_001), "it has 10001 delegations: at most 10000 (hint: fewer, as [[delegation]] in the plan)"},
		{"with as many as there may be", file, many(10_000), ""},
		{"with too many that go", file + "[[delegation]]\nname = \"new\"\npaths = [\"new/*\"]\nkeys = [\"dana\"]\nthreshold = 1\n", many(10_001), ""},
		{"with a delegation to a lost key", file, targetsFile(t, 7, "Chen"), fmt.Sprintf("its delegation to \"old-dev\" stays, with the key %.8s: it is Chen's old key, which is dropped (lost)", idOf("Chen"))},
		{"with a delegation to a lost key that goes", "file = \"targets.json\"\n[[delegation]]\nname = \"new\"\npaths = [\"new/*\"]\nkeys = [\"dana\"]\nthreshold = 1\n", targetsFile(t, 7, "Chen"), ""},
		{"with a key that nothing uses, among delegations that stay", file, []byte(strings.Replace(string(targetsFile(t, 7, "dev")), `"keys":{`, fmt.Sprintf(`"keys":{%q:%s,`, idOf("x"), keyOf("x").Object()), 1)), ""},
		{"with empty delegations", file, []byte(strings.Replace(string(targetsFile(t, 7, "")), `"expires"`, `"delegations":{"keys":{},"roles":[]},"expires"`, 1)), ""},
		{"a root", file, chainOf(t, 1, 2, three...)[0], `signed lacks "targets"`},
		{"no JSON", file, []byte("targets"), `targets file "targets.json": line 1, column 1`},
		{"not there", file, nil, `targets file "targets.json": no such file`},
		{"too large", file, make([]byte, tuf.MaxTargetsSize+1), "targets file \"targets.json\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, dir, err := carrying(t, targetsRotation(c.rest, danaComes...), c.file)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				_, err = p.Resolve(planNow)
				want := map[bool]string{true: fmt.Sprintf(":%d:8: with the delegations of the targets file: no delegation uses the key %.8s (hint: [[delegation]] in the plan, in their place)", at, idOf("x"))}[strings.Contains(c.name, "nothing uses")]
				if (err != nil) != (want != "") || err != nil && !strings.HasSuffix(err.Error(), want) {
					t.Errorf("%v, want %s", err, want)
				}
				return
			}
			where := fmt.Sprintf("%s:%d:8: ", filepath.Join(dir, state.PlanFile), at)
			if err == nil || !strings.HasPrefix(err.Error(), where) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v\nwant %s%s", err, where, c.want)
			}
		})
	}
	dir := newFolder(t, trustedFiles(chainOf(t, 2, 2, three...)))
	if err := os.WriteFile(filepath.Join(dir, state.PlanFile), []byte(targetsRotation(file, danaComes...)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "targets.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(filepath.Join(dir, state.PlanFile)); err == nil || !strings.Contains(err.Error(), "not a plain file") {
		t.Errorf("a pipe: %v", err)
	}
}

// A signed file says nothing in a new chain, and one of a rehearsal nothing in a real
// ceremony.
func TestTargetsFileOfANewChain(t *testing.T) {
	for _, c := range []struct {
		file []byte
		says string
		real string
	}{
		{targetsFile(t, 7, "", "targets"), "NOBODY HERE CAN TELL WHO SIGNED THE TARGETS FILE", ""},
		{targetsFile(t, 7, ""), "NOBODY HAS SIGNED THE TARGETS FILE", ""},
		{[]byte(strings.Replace(string(targetsFile(t, 7, "")), `"version"`, `"x-rehearsal":true,"version"`, 1)), "NOBODY HAS SIGNED", "was made in a rehearsal"},
	} {
		dir := planFolder(t, append(slices.Clone(targetsChanges), `expires = "90d"`, "expires = \"90d\"\nfile = \"targets.json\"")...)
		if err := os.WriteFile(filepath.Join(dir, "targets.json"), c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := Read(filepath.Join(dir, state.PlanFile))
		if err != nil {
			t.Fatal(err)
		}
		checked, err := p.Check(planNow)
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Join(checked.Warnings, "\n"); !strings.Contains(said, c.says) {
			t.Errorf("%s", said)
		}
		if err := p.Real(); (err != nil) != (c.real != "") || err != nil && !strings.Contains(err.Error(), c.real) {
			t.Errorf("%v, want %q", err, c.real)
		}
	}
}

// Which targets keys stay, and whose.
func TestTargetsKeysThatStay(t *testing.T) {
	online := idOf("targets")
	keeps := func(name, id string) func(string) string {
		return func(text string) string {
			return strings.Replace(text, "name = \""+name+"\"\n", "name = \""+name+"\"\ntargets_keyid = \""+id+"\"\n", 1)
		}
	}
	base := rotation(2, "Alice", "Bruno", "Chen-lost", "Dana+")
	with := func(who string) string {
		return "[role.targets]\nthreshold = 1\nkeys = [" + who + "]\n[targets]\nexpires = \"90d\"\n"
	}
	for _, c := range []struct {
		name string
		text string
		want string // "": none
	}{
		{"kept", keeps("Alice", online)(base) + with(`"alice", "dana"`), ""},
		{"kept by one who doesn't sign", keeps("Alice", online)(base) + with(`"dana"`), `9:17: Alice keeps a targets key, and neither [role.targets] nor a [[delegation]] has "alice" among its keys`},
		{"unknown", keeps("Alice", idOf("x"))(base) + with(`"alice"`), fmt.Sprintf(`9:17: no targets key of version 2 has the id %q (hint: its targets keys are %.8s...)`, idOf("x"), online)},
		{"by two", keeps("Bruno", online)(keeps("Alice", online)(base)) + with(`"alice", "bruno"`), fmt.Sprintf(`14:17: the targets key %.8s is that of Alice already`, online)},
		{"kept and dropped", keeps("Chen", online)(keeps("Alice", online)(base)) + with(`"alice"`), fmt.Sprintf(`9:17: the targets key %.8s is dropped (lost) already`, online)},
		{"of a new holder", keeps("Dana", online)(base) + with(`"dana"`), `21:17: targets_keyid is for custody "existing" only: anyone who gets a new root key gets a new targets key with it`},
		{"to be made on a token without a name", base + with(`"alice", "dana"`), `7:3: Alice makes a targets key, on a token that isn't named (hint: token, with its sticker; or targets_keyid, where a targets key of version 2 is theirs)`},
		{"to be made on a token", strings.Replace(base, "name = \"Alice\"\n", "name = \"Alice\"\ntoken = \"A-01\"\n", 1) + with(`"alice", "dana"`), ""},
		{"a delegation to a dropped targets key", keeps("Chen", online)(base) + with(`"dana"`) + "[[delegation]]\nname = \"d\"\npaths = [\"*\"]\nkeys = [\"t.pub\"]\nthreshold = 1\n", `32:9: key 1: it is Chen's old key, which is dropped (lost) (hint: a key that is good, in its place)`},
		{"a delegation to a dropped root key", base + with(`"dana"`) + "[[delegation]]\nname = \"d\"\npaths = [\"*\"]\nkeys = [\"chen.pub\"]\nthreshold = 1\n", `31:9: key 1: it is Chen's old key, which is dropped (lost) (hint: a key that is good, in its place)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := trustedFiles(chainOf(t, 2, 2, three...))
			files["t.pub"], files["chen.pub"] = keyOf("targets").Object(), keyOf("Chen").Object()
			p, dir, err := readRotation(t, c.text, files)
			if c.want != "" {
				wantFaults(t, err, filepath.Join(dir, state.PlanFile), c.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Resolve(planNow)
			if err != nil {
				t.Fatal(err)
			}
			role := r.Outline().Roles[tuf.RoleTargets]
			if kept := slices.Contains(role.KeyIDs, online); len(role.KeyIDs) != 2 || kept != strings.Contains(c.text, online) {
				t.Errorf("%q", role.KeyIDs)
			}
			if err := r.Outline().Check(r.Previous()...); err != nil {
				t.Error(err)
			}
		})
	}
}

// A targets key that can't stay, or sign for paths: everybody has it, or nothing that it
// signs can be verified.
func TestTargetsKeysThatAreNoGood(t *testing.T) {
	online, hex := idOf("targets"), keyOf("targets").Public.Hex
	first := string(chainOf(t, 1, 2, three...)[0])
	keeps := strings.Replace(rotation(2, "Alice", "Bruno", "Chen"), "name = \"Alice\"\n", "name = \"Alice\"\ntargets_keyid = \""+online+"\"\n", 1) +
		"[role.targets]\nthreshold = 1\nkeys = [\"alice\"]\n[targets]\nexpires = \"90d\"\n"
	delegates := strings.Replace(keeps, "targets_keyid = \""+online, "token = \"A-01", 1) +
		"[[delegation]]\nname = \"d\"\npaths = [\"*\"]\nkeys = [\"t.pub\"]\nthreshold = 1\n"
	exposed := [2]string{`"public": "` + hex, `"private": "ab", "public": "` + hex}
	_, object, _ := strings.Cut(first, online+`": `)
	object = object[:strings.Index(object, hex)+len(hex)]
	unknown := [2]string{object, strings.Replace(object, `"keytype": "ed25519"`, `"keytype": "unheard-of"`, 1)}
	for _, c := range []struct {
		name, text string
		edit       [2]string
		want       string
	}{
		{"exposed", keeps, exposed, fmt.Sprintf("9:17: the private half of the key %.8s stands in version 1 itself, so that everybody can sign with it: it can't stay", online)},
		{"unverifiable", keeps, unknown, fmt.Sprintf("9:17: nothing that the key %.8s signs can be verified here: ", online)},
		{"delegated to", delegates, exposed, "28:9: key 1: the private half of this key stands in version 1 of the root, so that everybody can sign with it (hint: make a new one)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string][]byte{agreed.TrustedFile(1): resigned(t, changed(t, first, c.edit[0], c.edit[1]), three...), "t.pub": keyOf("targets").Object()}
			_, dir, err := readRotation(t, c.text, files)
			if want := filepath.Join(dir, state.PlanFile) + ":" + c.want; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v\nwant %s", err, want)
			}
		})
	}
}

// What wasn't read is not judged.
func TestTargetsFileThatWasNotRead(t *testing.T) {
	text := changed(t, onTokenPlan, append(slices.Clone(targetsChanges), `expires = "90d"`, "expires = \"90d\"\nfile = \"targets.json\"")...)
	p, err := ParsePlan([]byte(text), "p")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Resolve(planNow); err == nil {
		t.Error("agreed without it")
	}
}

// Where root keys are targets keys too, one who leaves leaves both roles, and one who
// comes gets a key for each.
func TestOneLeavesBothRoles(t *testing.T) {
	for _, c := range []struct {
		name   string
		newest int
	}{{"sigstore", 15}, {"thomsonreuters", 1}} {
		t.Run(c.name, func(t *testing.T) {
			dir, last := realChain(t, c.name, c.newest)
			p, err := realPlan(t, dir, "[root]\nexpires = \"365d\"\n[token]\nalgorithm = \"ecdsa-p256\"\n", last, 4,
				"[[holder]]\nname = \"Neu\"\ntoken = \"N-01\"\n[role.targets]\nthreshold = 3\nkeys = [\"holders\"]\n[targets]\nexpires = \"180d\"\n[[delegation]]\nname = \"dev\"\npaths = [\"dev/*\"]\nkeys = [\"a\", \"neu\"]\nthreshold = 2\n")
			if err != nil {
				t.Fatal(err)
			}
			checked, err := p.Check(planNow)
			if err != nil {
				t.Fatal(err)
			}
			left := last.Root.Roles[tuf.RoleRoot].KeyIDs[4]
			said := strings.Join(checked.Lines(), "\n")
			for _, want := range []string{
				"  A (a), keeps the key ", ", which signs targets too", "  Neu (neu), token N-01, on-token, and makes a targets key",
				fmt.Sprintf("  the key %.8s leaves targets: it is key %.8s, retired", left, left),
				"  any 3 of A, B, C, D or Neu could sign any package, with their tokens and PINs",
				"  any 3 of A, B, C, D or Neu could sign the root, with their tokens and PINs",
				"  1. role dev: both A and Neu",
				"  losing the tokens of any 3 of A, B, C, D or Neu locks packages out: this plan makes no backup of these keys",
			} {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in\n%s", want, said)
				}
			}
			if strings.Contains(said, "still signs for targets") || strings.Contains(said, "  targets: 3 of 5, key ids") {
				t.Errorf("%s", said)
			}
			root := checked.Plan.Outline()
			if _, there := root.Key(left); there {
				t.Error("the key that was dropped is in the root")
			}
			kept := last.Root.Roles[tuf.RoleRoot].KeyIDs[:4]
			for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets} {
				ids := root.Roles[role].KeyIDs
				in := 0
				for _, id := range kept {
					if slices.Contains(ids, id) {
						in++
					}
				}
				if len(ids) != 5 || in != 4 || root.Roles[role].Threshold != 3 {
					t.Errorf("%s: %q", role, ids)
				}
			}
			if fresh := root.Roles[tuf.RoleRoot].KeyIDs[4]; fresh == root.Roles[tuf.RoleTargets].KeyIDs[4] {
				t.Error("the new holder has one key for both roles")
			}
			if err := root.Check(last.Root); err != nil {
				t.Error(err)
			}
		})
	}
}

// Targets that no ed25519 token signs are refused, with what fits.
func TestTargetsTooLargeForATokenAreRefused(t *testing.T) {
	var files []string
	for i := range 30 {
		files = append(files, fmt.Sprintf(`"f%02d":{"length":3,"hashes":{"sha256":%q}}`, i, strings.Repeat("ab", 32)))
	}
	text := strings.Replace(string(targetsFile(t, 7, "")), `"targets":{`, `"targets":{`+strings.Join(files, ",")+",", 1)
	read := func(algorithm string) error {
		p, _, err := carrying(t, targetsRotation("file = \"targets.json\"\nalgorithm = \""+algorithm+"\"\n", danaComes...), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Resolve(planNow)
		return err
	}
	if err := read("ecdsa-p256"); err != nil {
		t.Error(err)
	}
	err := read("ed25519")
	const want = `:29:13: the targets metadata would have 3520 bytes: over the 3000 that an ed25519 token signs, and of its 32 target files the first 27 would fit (hint: algorithm = "ecdsa-p256" in [targets] (the first ecdsa-p256 keys of this chain: clients that were built for those so far may refuse them, as php-tuf refuses keys in PEM): such keys sign a digest, whatever the size)`
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v", err)
	}
	// The same for a key that stays, where its holder signs with a token.
	for token, refused := range map[string]bool{"token = \"A-01\"\n": true, "": false} {
		plan := strings.Replace(rotation(2, danaComes...), "name = \"Alice\"\n", "name = \"Alice\"\n"+token+"targets_keyid = \""+idOf("targets")+"\"\n", 1)
		p, _, err := carrying(t, plan+"[role.targets]\nthreshold = 1\nkeys = [\"alice\"]\n[targets]\nexpires = \"90d\"\nfile = \"targets.json\"\n", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Resolve(planNow)
		if (err != nil) != refused || err != nil && !strings.HasSuffix(err.Error(), `of its 32 target files the first 27 would fit (hint: the ed25519 targets keys that stay can't sign it: new root and targets keys for those holders, with algorithm = "ecdsa-p256" in [targets])`) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// A key that signs for a delegation keeps the id that it has there, and a dropped targets
// key that stays in use is told.
func TestKeysOfDelegationsKeepTheirIDs(t *testing.T) {
	const odd = "an id that is no hash"
	file := []byte(strings.ReplaceAll(string(targetsFile(t, 7, "dev")), idOf("dev"), odd))
	files := trustedFiles(chainOf(t, 2, 2, three...))
	files["targets.json"], files["dev.pub"] = file, keyOf("dev").Object()
	p, _, err := readRotation(t, targetsRotation("file = \"targets.json\"\n[[delegation]]\nname = \"dev\"\npaths = [\"dev/*\"]\nkeys = [\"dev.pub\"]\nthreshold = 1\n", danaComes...), files)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(planNow)
	if err != nil {
		t.Fatal(err)
	}
	d := r.TargetsOutline().Delegations
	if len(d.Keys) != 1 || d.Keys[0].ID != odd || !slices.Equal(d.Roles[0].KeyIDs, []string{odd}) {
		t.Errorf("%+v", d)
	}
}

func TestDroppedTargetsKeyThatStays(t *testing.T) {
	text := strings.Replace(rotation(2, "Alice", "Bruno", "Chen-stolen"), "name = \"Chen\"\n", "name = \"Chen\"\ntargets_keyid = \""+idOf("targets")+"\"\n", 1)
	r := resolvedRotation(t, text, chainOf(t, 2, 2, three...))
	want := "A STOLEN KEY STAYS IN USE: Chen's old key is dropped as a root key, and this plan leaves it in targets"
	if warnings := agreed.Check(r, planNow).Warnings; !slices.ContainsFunc(warnings, func(w string) bool { return strings.HasPrefix(w, want) }) {
		t.Errorf("%q", warnings)
	}
	if lines := agreed.Check(r, planNow).Lines(); !slices.Contains(lines, fmt.Sprintf("  Chen (%s), stolen, with the targets key %.8s", agreed.DropID(idOf("Chen"), 8), idOf("targets"))) {
		t.Errorf("%q", lines)
	}
}

// Delegations stand in the metadata in the order of the plan, whatever that is.
func TestOrderOfDelegations(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}-[a-z]`), 1, 8, rapid.ID).Draw(rt, "names")
		text := strings.Split(changed(t, onTokenPlan, targetsChanges...), "[[delegation]]")[0]
		for i, name := range names {
			text += fmt.Sprintf("[[delegation]]\nname = %q\npaths = [\"%s/*\"]\nkeys = [\"alice\"]\nthreshold = 1\nterminating = %v\n", name, name, i%2 == 0)
		}
		p, err := ParsePlan([]byte(text), "p")
		if err != nil {
			rt.Fatal(err)
		}
		for name, role := range p.Roles {
			for i := range role.Files {
				role.Keys = append(role.Keys, keyOf(fmt.Sprint(name, i)))
			}
			p.Roles[name] = role
		}
		r, err := p.ResolveAnySize(planNow)
		if err != nil {
			rt.Fatal(err)
		}
		var got []string
		for i, d := range r.TargetsOutline().Delegations.Roles {
			got = append(got, d.Name)
			if d.Terminating != (i%2 == 0) {
				rt.Errorf("%s: terminating is %v", d.Name, d.Terminating)
			}
		}
		if !slices.Equal(got, names) {
			rt.Errorf("%q, want %q", got, names)
		}
	})
}

// A date in the past is refused where it stands, and the digest says why it changes.
func TestExpiryOfTargets(t *testing.T) {
	read := func(changes ...string) *Plan {
		p, err := Read(filepath.Join(planFolder(t, append(slices.Clone(targetsChanges), changes...)...), state.PlanFile))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	_, err := read(`"90d"`, `"2026-11-21T00:00:00Z"`).Resolve(planNow)
	if err == nil || !strings.Contains(err.Error(), ":66:11: expires 2026-11-21T00:00:00Z is in the past") {
		t.Errorf("%v", err)
	}
	checked, err := read(`"365d"`, `"2027-11-22T00:00:00Z"`).Check(planNow)
	if err != nil || checked.Changes != `this digest changes with each day, as expires in [targets] counts from the day (hint: to announce it before the day, write expires = "2027-02-21T00:00:00Z" in [targets])` {
		t.Errorf("%v %q", err, checked.Changes)
	}
	if checked, err := read(`"90d"`, `"10d"`).Check(planNow); err != nil || !slices.Contains(checked.Warnings, "the targets metadata expires in 10 days: the next ceremony must be before (hint: a year is usual)") {
		t.Errorf("%v %q", err, checked.Warnings)
	}
}

// The plan that nobody can hold yet is told so, whatever else it says.
func TestHoldable(t *testing.T) {
	if err := resolvedTargets(t).Holdable(); err == nil || !strings.Contains(err.Error(), "this version checks such a plan and can't hold it yet") {
		t.Errorf("%v", err)
	}
	p, err := Read(filepath.Join(planFolder(t), state.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(planNow)
	if err == nil {
		err = r.Holdable()
	}
	if err != nil {
		t.Error(err)
	}
}
