package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/rehearsal"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// realRoots are real chains, which tests read where they are.
const realRoots = "../../../shared/roots"

// oldPlan is a plan in a folder of its own that follows on the chain in
// another, with a rest: [root], [[holder]], [[drop]]. KEY-N is the id of the
// N-th root key of its newest root, from 0.
func oldPlan(t *testing.T, chain, rest string) string {
	t.Helper()
	trusted, err := plan.ReadTrusted(chain)
	if os.IsNotExist(err) || err != nil && strings.Contains(err.Error(), "does not exist") {
		t.Skipf("no real chains at ../shared/roots beside the repository: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range trusted.Last.Root.Roles[tuf.RoleRoot].KeyIDs {
		rest = strings.ReplaceAll(rest, fmt.Sprintf("KEY-%d", i), id)
	}
	if chain, err = filepath.Abs(chain); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, state.PlanFile)
	text := fmt.Sprintf("kind = \"rotate\"\nname = \"Real packages\"\ntrusted = %q # the published chain\n%s", chain, rest)
	rewrite(t, file, text)
	rewrite(t, filepath.Join(dir, "online.pub"), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n")
	return file
}

// rehearsed runs rootceremony rehearse to the end, with nobody at the keyboard.
func rehearsed(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(program("rootceremony"), append([]string{"rehearse", "--auto"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// standInOf holds a rehearsal of the plan with stand-ins to the end, and
// compares it to what the real day would make.
func standInOf(t *testing.T, file string) (dir, said string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "d")
	said = rehearsed(t, "--stand-in", file, dir)
	verified, err := exec.Command(program("rootverify"), "chain", "--rehearsal", filepath.Join(dir, "publish")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, verified)
	}
	compareStandIn(t, file, dir)
	return dir, said
}

func compareStandIn(t *testing.T, file, dir string) {
	t.Helper()
	real, err := usablePlan(file)
	if err != nil {
		t.Fatal(err)
	}
	agreed, err := real.Resolve(clock())
	if err != nil {
		t.Fatal(err)
	}
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := desk.State()
	old, standIn := real.Chain.Last.Root, s.Plan.TrustedRoot()

	if is, was := s.Plan.Budget(), agreed.Budget(); is.Bytes != was.Bytes+len(`"x-rehearsal":true,`) {
		t.Errorf("the root has %d bytes, and on the day %d", is.Bytes, was.Bytes)
	}
	draft, err := agreed.Draft(s.RootKeys(), agreed.Expires)
	if err != nil {
		t.Fatal(err)
	}
	want, have := diffLines(old, draft), diffLines(standIn, s.Root)
	if !slices.Equal(want, have) {
		t.Errorf("the difference is\n%s\nand on the day it is\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	if standIn.Version != old.Version || !standIn.Rehearsal() || standIn.SpecVersion != old.SpecVersion || len(standIn.Keys) != len(old.Keys) {
		t.Errorf("version %d, rehearsal %v, spec_version %s, %d keys", standIn.Version, standIn.Rehearsal(), standIn.SpecVersion, len(standIn.Keys))
	}
	if standIn.Expires.After(old.Expires) || standIn.Expires.After(clock().AddDate(0, 0, 1)) {
		t.Errorf("the stand-in root expires on %v, the real one on %v", standIn.Expires, old.Expires)
	}
	root := old.Roles[tuf.RoleRoot]
	for _, name := range tuf.RoleNames {
		was, is := old.Roles[name], standIn.Roles[name]
		if is.Threshold != was.Threshold || len(is.KeyIDs) != len(was.KeyIDs) || !sameFields(is.Extra, was.Extra) {
			t.Errorf("role %s: %+v, and really %+v", name, is, was)
			continue
		}
		for i, id := range was.KeyIDs {
			before, _ := old.Key(id)
			now, _ := standIn.Key(is.KeyIDs[i])
			ofRoot := slices.ContainsFunc(root.KeyIDs, func(id string) bool { k, _ := old.Key(id); return k.Value() == before.Value() })
			if ofRoot == (now.Value() == before.Value()) {
				t.Errorf("role %s, key %.8s: a root key %v, and stays %v", name, id, ofRoot, !ofRoot)
			}
			if now.Type != before.Type || now.Scheme != before.Scheme || len(now.Value()) != len(before.Value()) || !sameFields(now.Extra(), before.Extra()) {
				t.Errorf("role %s, key %.8s: %s, and really %s", name, id, now.Object(), before.Object())
			}
			if j := slices.Index(root.KeyIDs, id); j >= 0 && standIn.Roles[tuf.RoleRoot].KeyIDs[j] != now.ID {
				t.Errorf("role %s: another stand-in for %.8s than in root", name, id)
			}
		}
	}
}

func sameFields(a, b []tuf.Field) bool {
	values := func(fields []tuf.Field) map[string]string {
		m := map[string]string{}
		for _, f := range fields {
			var v any
			_ = json.Unmarshal([]byte(f.Value), &v)
			if f.Name != "x-rehearsal" {
				m[f.Name] = fmt.Sprint(v)
			}
		}
		return m
	}
	return maps.Equal(values(a), values(b))
}

var keyIDText = regexp.MustCompile(`[0-9a-f]{8,64}`)

// diffLines is what changes, without key ids and what the day it is decides.
func diffLines(old, new *tuf.Root) []string {
	var lines []string
	for _, c := range tuf.Diff(old, new, clock(), nil) {
		if c.What != "expires" {
			lines = append(lines, keyIDText.ReplaceAllString(c.Text, "KEY"))
		}
	}
	slices.Sort(lines)
	return lines
}

const newHolders = `
[[holder]]
name = "Nora New"
token = "N-1"

[[holder]]
name = "Otto New"
token = "N-2"
`

// A root key of a kind that is unknown here, which the plan drops, stays as it is in a
// rehearsal: nothing that it signs counts, and it has no stand-in.
func TestStandInUnknownKind(t *testing.T) {
	t.Parallel()
	const unknown = "7e6b9aff6e75a96471321f21a7f9d9281aadc5b218ced0ed9f1179f08d961230"
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../ceremony/plan/testdata/cases/unknown-key-kinds")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, state.PlanFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	holder := "[[holder]]\nname = \"Chen Wei\"\ntoken = \"C-03\"\nkeyid = \"" + unknown + "\"\n"
	dropped := strings.Replace(string(text), holder, "[[drop]]\nkeyid = \""+unknown+"\"\nreason = \"retired\"\n[[holder]]\nname = \"Nora New\"\ntoken = \"N-1\"\n", 1)
	rewrite(t, file, dropped)
	out := filepath.Join(t.TempDir(), "d")
	rehearsed(t, "--stand-in", file, out)
	desk, err := ceremony.LookAt(out)
	if err != nil {
		t.Fatal(err)
	}
	s := desk.State()
	if _, there := s.Plan.TrustedRoot().Key(unknown); !there || s.Published == nil || s.Root.Version != 2 {
		t.Errorf("in the trusted root: %v, published: %v", there, s.Published != nil)
	}
	if _, there := s.Root.Key(unknown); there {
		t.Error("the new root has it")
	}
}

// Joomla's root is too large for ed25519 tokens: its old keys sign with tools of
// their own, one that has a sticker does not, and the new holders have P-256.
func TestStandInJoomla(t *testing.T) {
	t.Parallel()
	file := oldPlan(t, filepath.Join(realRoots, "joomla-updates"), `
[root]
threshold = 2
expires = "365d"
[token]
algorithm = "ecdsa-p256"
[[holder]]
name = "Stays"
keyid = "KEY-0"
[[holder]]
name = "Has a token"
id = "sticker"
keyid = 'KEY-1' # literally
token = "S-1"
[[drop]]
keyid = "KEY-2"
reason = "retired"
`+newHolders)
	dir, said := standInOf(t, file)
	if !strings.Contains(said, `task "sign sticker"`) || !strings.Contains(said, "published ") {
		t.Error(said)
	}
	left, err := filepath.Glob(filepath.Join(dir, rehearsal.StandInsDir, "*.root.json"))
	if err != nil || len(left) != 2 {
		t.Errorf("signed with their own tools: %v, %v", left, err)
	}
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := desk.State().Root.Notation(); n != `["sha256","sha512"]` {
		t.Errorf("the new keys do not follow the chain: %q", n)
	}
	// It goes on without its plan, and with it, and not with another.
	rehearsed(t, dir)
	rehearsed(t, "--stand-in", file, dir)
	rewrite(t, file, read(t, file)+"# edited\n")
	out, err := exec.Command(program("rootceremony"), "rehearse", "--auto", "--stand-in", file, dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "has another plan already") {
		t.Errorf("%v: %s", err, out)
	}
	// What the rehearsal has published can be followed on.
	rehearsed(t, "--after", dir, filepath.Join(t.TempDir(), "next"))
}

// Chains with holders who sign targets too, with an ML-DSA key and with an online key
// of a kind that nobody here can verify are rotated to the end.
func TestStandInNewChains(t *testing.T) {
	t.Parallel()
	const settings = "[root]\nthreshold = %d\nexpires = \"365d\"\n[token]\nalgorithm = \"ecdsa-p256\"\n"
	for folder, c := range map[string]struct {
		rest string
		says string // of what rootverify says of the new chain
	}{
		"thomsonreuters": {fmt.Sprintf(settings, 3) + "[[drop]]\nkeyid = \"KEY-0\"\nreason = \"retired\"\n[[holder]]\nname = \"Ann\"\nkeyid = \"KEY-1\"\n[[holder]]\nname = \"Ben\"\nkeyid = \"KEY-2\"\n[[holder]]\nname = \"Cyd\"\nkeyid = \"KEY-3\"\n[[holder]]\nname = \"Dot\"\nkeyid = \"KEY-4\"\n" + newHolders,
			"signed for version 1 by "},
		"pqc-test":       {fmt.Sprintf(settings, 2) + "[[holder]]\nname = \"Ann\"\nkeyid = \"KEY-0\"\n" + newHolders, "is ML-DSA (TAP 21)"},
		"multi-key-test": {fmt.Sprintf(settings, 2) + "[[holder]]\nname = \"Ann\"\nkeyid = \"KEY-0\"\n" + newHolders, "key abcd can't be verified here and counts for nothing"},
	} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			dir, _ := standInOf(t, oldPlan(t, filepath.Join(realRoots, folder), c.rest))
			said, err := exec.Command(program("rootverify"), "chain", "--rehearsal", filepath.Join(dir, "publish")).CombinedOutput()
			if err != nil || !strings.Contains(string(said), c.says) || !strings.Contains(string(said), "\nversion 2: signed for version 1 by ") {
				t.Errorf("%v\n%s", err, said)
			}
			if shown, err := exec.Command(program("rootceremony"), "show", filepath.Join(dir, "publish/2.root.json")).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, shown)
			}
			// Everything that was recorded holds, the signature by the tool of its own too.
			if out, err := exec.Command(program("rootverify"), "record", "--rehearsal", dir).CombinedOutput(); err != nil && !strings.Contains(string(out), "\ngood: ") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// A chain whose root holds its own private keys is led to its end: the root key is
// dropped as compromised, and what stays so is called that in every version.
func TestStandInExposedKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	said := rehearsed(t, "--stand-in", "../../ceremony/plan/testdata/cases/private-key-in-trusted-root/plan.toml", dir)
	out, err := exec.Command(program("rootverify"), "chain", "--rehearsal", filepath.Join(dir, "publish")).CombinedOutput()
	if err != nil || strings.Count(string(out), "ALARM: THE PRIVATE HALF of key 3cf2a48f stands beside it") != 2 || strings.Contains(string(out), "THE PRIVATE HALF of key d1e0cc8e") {
		t.Errorf("%v\n%s\n%s", err, said, out)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The shortest plan, a renewal, names no token: anyone who signs does so with a tool
// of their own, and nobody can sign the log.
func TestStandInRenewal(t *testing.T) {
	t.Parallel()
	stay := ""
	for i, name := range []string{"Ann", "Ben", "Cyd"} {
		stay += fmt.Sprintf("[[holder]]\nname = %q\nkeyid = \"KEY-%d\"\n", name, i)
	}
	dir, _ := standInOf(t, oldPlan(t, filepath.Join(realRoots, "joomla-updates"), "[root]\nexpires = \"365d\"\n"+stay))
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s := desk.State(); s.Closed == nil || !s.CheckpointsWaived || s.Exceptions == 0 || len(s.Signatures()) != 3 {
		t.Errorf("closed %v, checkpoints waived %v, %d exceptions, %d signatures", s.Closed, s.CheckpointsWaived, s.Exceptions, len(s.Signatures()))
	}
	// The root is too large for an ed25519 token: who comes has another kind.
	if out, err := exec.Command(program("rootceremony"), "rehearse", "--auto", "--after", dir, filepath.Join(t.TempDir(), "next")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Sigstore's root has expired, and its P-256 keys are also those of targets.
func TestStandInSigstore(t *testing.T) {
	t.Parallel()
	chain := filepath.Join(realRoots, "sigstore")
	roles := ""
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		roles += fmt.Sprintf("[role.%s]\nthreshold = 1\nkeys = [\"online.pub\"]\n", role)
	}
	drops := ""
	for i, reason := range []string{"retired", "lost", "compromised", "retired", "stolen"} {
		drops += fmt.Sprintf("[[drop]]\nkeyid = \"KEY-%d\"\nreason = %q\n", i, reason)
	}
	dir, _ := standInOf(t, oldPlan(t, chain, "[root]\nthreshold = 2\nexpires = \"365d\"\n"+roles+drops+newHolders))
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := desk.State().Plan.Drops[0]; d.Token != "OLD-e71a54d5" {
		t.Errorf("the token that stands in for e71a54d5 has the sticker %q", d.Token)
	}
	if d := desk.State().Plan.Drops[1]; d.Token != "" {
		t.Errorf("a lost key has the token %q", d.Token)
	}
	// Nobody leaves: P-256 tokens sign whatever the size.
	stay := ""
	for i := range 5 {
		stay += fmt.Sprintf("[[holder]]\nname = \"Holder %d\"\nkeyid = \"KEY-%d\"\n", i, i)
	}
	standInOf(t, oldPlan(t, chain, "[root]\nexpires = \"365d\"\n"+stay))
	// Its natural rotation: who is dropped as a root key stays one of targets.
	stay = ""
	for i := range 3 {
		stay += fmt.Sprintf("[[holder]]\nname = \"Holder %d\"\nkeyid = \"KEY-%d\"\n", i, i)
	}
	stay += "[[holder]]\nname = \"Holder 3\"\ntoken = \"N-1\"\n[[drop]]\nname = \"Holder 3\"\nkeyid = \"KEY-3\"\nreason = \"retired\"\n[[drop]]\nkeyid = \"KEY-4\"\nreason = \"lost\"\n"
	dir, _ = standInOf(t, oldPlan(t, chain, "[root]\nexpires = \"365d\"\n[token]\nalgorithm = \"ecdsa-p256\"\n"+stay))
	if desk, err = ceremony.LookAt(dir); err != nil {
		t.Fatal(err)
	}
	for _, d := range desk.State().Plan.Drops {
		if h := desk.State().Holders[d.ID]; h.Retired != nil || h.NotRetired == nil || h.NotRetired.Why != "the key stays in use for the role targets" {
			t.Errorf("%s: %+v, %+v", d.ID, h.Retired, h.NotRetired)
		}
	}
}

// legacy makes a chain of one root as old projects have them: RSA, P-384, a
// P-256 key as a point in hex, ed25519 under an id that is no hash; fields of
// their own everywhere; a root key in another role.
func legacy(t *testing.T) string {
	t.Helper()
	made := map[string]crypto.Signer{}
	object := func(private crypto.Signer, err error, keytype, scheme, format string, extra map[string]any) (string, map[string]any) {
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		value := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		if format == "hex" {
			public, err := keys.FromCrypto(private.Public())
			if err != nil {
				t.Fatal(err)
			}
			value = public.Hex
		}
		if format == "bare" {
			value = strings.TrimSuffix(value, "\n")
		}
		o := map[string]any{"keytype": keytype, "scheme": scheme, "keyval": map[string]any{"public": value}}
		maps.Copy(o, extra)
		text, _ := json.Marshal(o)
		var key tuf.Key
		if err := json.Unmarshal(text, &key); err != nil {
			t.Fatal(err)
		}
		made[key.ID] = private
		return key.ID, o
	}
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	rsaID, rsaKey := object(big, err, "rsa", "rsassa-pss-sha256", "pem", map[string]any{"keyid_hash_algorithms": []string{"sha256"}})
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p384ID, p384Key := object(p384, err, "ecdsa", "ecdsa-sha2-nistp384", "bare", map[string]any{"x-owner": "<a & b>"})
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	hexID, hexKey := object(p256, err, "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "hex", nil)
	_, edwards, err := ed25519.GenerateKey(nil)
	edwardsID, edwardsKey := object(edwards, err, "ed25519", "ed25519", "hex", nil)
	made["alice-2019"] = made[edwardsID]
	_, online, err := ed25519.GenerateKey(nil)
	onlineID, onlineKey := object(online, err, "ed25519", "ed25519", "hex", nil)

	role := func(threshold int, ids ...string) map[string]any {
		return map[string]any{"threshold": threshold, "keyids": ids}
	}
	targets := role(1, onlineID, hexID)
	targets["x-days"] = 7
	signed := map[string]any{"_type": "root", "spec_version": "1.0", "version": 41, "expires": "2030-01-02T03:04:05.5+01:00", "x-note": map[string]any{"a": []int{1}},
		"keys":  map[string]any{rsaID: rsaKey, p384ID: p384Key, hexID: hexKey, "alice-2019": edwardsKey, onlineID: onlineKey},
		"roles": map[string]any{"root": role(2, rsaID, p384ID, hexID, "alice-2019"), "timestamp": role(1, onlineID), "snapshot": role(1, onlineID), "targets": targets}}
	file := map[string]any{"signed": signed, "signatures": []any{}}
	text, _ := json.Marshal(file)
	parsed, err := tuf.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	wide, short := sha512.Sum384(parsed.Signed), sha256.Sum256(parsed.Signed)
	one, err := ecdsa.SignASN1(rand.Reader, p384, wide[:])
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.SignPSS(rand.Reader, big, crypto.SHA256, short[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	file["signatures"] = []any{map[string]any{"keyid": p384ID, "sig": hex.EncodeToString(one)}, map[string]any{"keyid": rsaID, "sig": hex.EncodeToString(other)}}
	text, _ = json.Marshal(file)
	chain := filepath.Join(t.TempDir(), "41.root.json")
	rewrite(t, chain, string(text))
	return chain
}

// legacyPlan drops the RSA key, has backups for a safe whose identity is not
// here, and gives Ben's root key the role snapshot too.
func legacyPlan(t *testing.T) string {
	safe, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	chain := legacy(t)
	trusted, err := plan.ReadTrusted(chain)
	if err != nil {
		t.Fatal(err)
	}
	root := trusted.Last.Root
	ben, _ := root.Key(root.Roles[tuf.RoleRoot].KeyIDs[2])
	spki, err := ben.Public.SPKI()
	if err != nil {
		t.Fatal(err)
	}
	file := oldPlan(t, chain, fmt.Sprintf(`
holder = [{name = "Ada", keyid = "KEY-1"}, {name = "Ben", keyid = "KEY-2", token = "B-1"}, {name = "Cem", keyid = "KEY-3"}, {name = "Dan", token = "D-1", custody = "backed-up"}]
[root]
expires = "365d"
threshold = 3
[backup]
quorum = 3
recipients = ["holders", "Real safe"]
[[recipient]]
name = "Real safe"
age = %q
[role.snapshot]
threshold = 1
keys = ["ben.pub"]
[[drop]]
keyid = "KEY-0"
reason = "retired"
name = "Eva"
`, safe.Recipient()))
	rewrite(t, filepath.Join(filepath.Dir(file), "ben.pub"), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})))
	return file
}

func TestStandInLegacy(t *testing.T) {
	t.Parallel()
	dir, _ := standInOf(t, legacyPlan(t))
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := desk.State()
	if got := s.Plan.Holders[2]; got.KeyID != "alice-2019" || got.Token != "OLD-alice-20" {
		t.Errorf("a key whose id is no hash: %+v", got)
	}
	if n := len(s.Signatures()); n != 5 {
		t.Errorf("%d signatures", n)
	}
	collected, _ := filepath.Glob(filepath.Join(dir, rehearsal.StandInsDir, "old-*.42.*.root.json"))
	if len(collected) != 1 {
		t.Errorf("of the RSA key: %v", collected)
	}
}

// People are told the tokens' PIN, and which files to collect.
func TestStandInByHand(t *testing.T) {
	file := legacyPlan(t)
	plain := strings.NewReplacer(`, {name = "Dan", token = "D-1", custody = "backed-up"}`, "", "quorum = 3", "quorum = 0", `recipients = ["holders", "Real safe"]`, "", "[[recipient]]\nname = \"Real safe\"\n", "", "age = ", "# age = ").Replace(read(t, file))
	rewrite(t, file, plain)
	folder := t.TempDir()
	dir := filepath.Join(folder, "ceremony")
	desk, err := openedRehearsal(dir, beginning{standIn: file})
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, ceremony.TokensDir, "*.token"))
	for _, file := range files {
		token := readToken(t, file)
		if pin, err := desk.Tokens().PIN(token.Serial); err != nil || len(token.Slots) > 0 && pin != rehearsal.StandInPIN || len(files) < 2 {
			t.Errorf("the desk knows the PIN %q of %s, %v", pin, file, err)
		}
	}
	for _, task := range []string{"preflight", "agree"} {
		if err := desk.Run(context.Background(), task, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := rehearsal.SignAsStandIns(desk); err != nil || len(files) != 0 {
		t.Errorf("before the review: %v, %v", files, err)
	}
	if err := desk.Run(context.Background(), "review", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program("rootceremony"), "rehearse", "--plain", dir) // its input is at its end
	out, _ := command.CombinedOutput()
	said := string(out)
	if command.ProcessState.ExitCode() != exitUnfinished || !strings.Contains(said, "the stand-in tokens' PIN is "+rehearsal.StandInPIN) {
		t.Fatalf("%s", said)
	}
	// What they have signed of a draft that is abandoned is told of no more.
	if desk, err = openedRehearsal(dir, beginning{}); err != nil {
		t.Fatal(err)
	}
	for _, task := range []string{"start", "abandon", "review"} {
		if err := desk.Run(context.Background(), task, &prompt.Script{Answers: map[string]string{"abandon.why": "a test"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond) // the next draft expires later
	}
	abandoned, live := desk.State().Abandoned[0].Draft.Digest[:8], desk.State().Draft.Digest[:8]
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	command = exec.Command(program("rootceremony"), "rehearse", "--plain", dir)
	out, _ = command.CombinedOutput()
	if said = string(out); strings.Contains(said, abandoned) || !strings.Contains(said, live+".root.json") {
		t.Fatalf("%s", said)
	}
	hint := regexp.MustCompile(`rootceremony (collect \S+ (\S+\.42\.[0-9a-f]{8}\.root\.json)) takes it in`).FindStringSubmatch(said)
	if hint == nil || !strings.Contains(said, "the own tool of Eva (old key) would write") {
		t.Fatalf("%s", said)
	}
	out, err = exec.Command(program("rootceremony"), strings.Fields(hint[1])...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Eva (old key): taken; it counts for the old root only") {
		t.Errorf("%v: %s", err, out)
	}
	// As the help of collect has it; it may be collected twice.
	collect := strings.Fields(example(t, "collect"))
	rewrite(t, filepath.Join(folder, collect[len(collect)-1]), read(t, hint[2]))
	if said, status := typed(t, folder, example(t, "collect"), ""); status != 0 || !strings.Contains(said, "Eva (old key): ") {
		t.Errorf("status %d: %s", status, said)
	}
	rehearsed(t, dir)
}

// What cannot be rehearsed with stand-ins is refused before anything is made.
func TestStandInRefuses(t *testing.T) {
	t.Parallel()
	create := examplePlanFile(t)
	done := filepath.Join(t.TempDir(), "done")
	rehearsed(t, "--plan", onTokenPlanFile(t), done)
	after := filepath.Join(t.TempDir(), "after")
	rehearsed(t, "--after", done, after)
	real := legacyPlan(t)
	for _, c := range []struct {
		args   []string
		says   string
		status int
	}{
		{[]string{"--stand-in", "nothing.toml"}, "nothing.toml: no such file", exitFailed},
		{[]string{"--stand-in", create}, "starts from no root, so there is no key to stand in for", exitFailed},
		{[]string{"--stand-in", filepath.Join(after, state.PlanFile)}, "which was made in a rehearsal", exitFailed},
		{[]string{"--plan", filepath.Join(after, state.PlanFile)}, "whose keys are on no token of a new rehearsal (hint: " + agreed.Command("rehearse", "--after", done, "--plan", filepath.Join(after, state.PlanFile)), exitFailed},
		{[]string{"--plan", real}, "(hint: " + agreed.Command("rehearse", "--stand-in", real), exitFailed},
		{[]string{"--stand-in", real, "--after", done}, "goes without --plan and --after", exitUsage},
		{[]string{"--stand-in", real, "--plan", real}, "goes without --plan and --after", exitUsage},
		{[]string{"--stand-in", real, "--tokens", "pcsc"}, "on virtual tokens", exitUsage},
		{[]string{"--stand-in", real, done}, "has another plan already", exitFailed},
		{[]string{"--after", done, "--tokens", "other"}, "is virtual or pcsc", exitUsage},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		args := append([]string{"rehearse", "--auto"}, c.args...)
		if !slices.Contains(c.args, done) || slices.Contains(c.args, "--after") {
			args = append(args, dir)
		}
		command := exec.Command(program("rootceremony"), args...)
		out, _ := command.CombinedOutput()
		if status := command.ProcessState.ExitCode(); status != c.status || !strings.Contains(string(out), c.says) {
			t.Errorf("%v: status %d: %s", args, status, out)
		}
		if _, err := os.Lstat(dir); err == nil {
			t.Errorf("%v: made %s", args, dir)
		}
	}
}

// Where a rehearsal without a name is kept is said of a folder that is there, and
// of none that was never made.
func TestRehearsalIsKeptWhereItIsSaid(t *testing.T) {
	t.Parallel()
	faulty := onTokenPlanFile(t)
	rewrite(t, faulty, strings.Replace(read(t, faulty), "threshold = ", "threshold = 9", 1))
	for name, args := range map[string][]string{"good": {"--plan", onTokenPlanFile(t)}, "faulty": {"--plan", faulty}, "missing": {"--plan", "none.toml"}} {
		command := exec.Command(program("rootceremony"), append([]string{"rehearse", "--auto"}, args...)...)
		command.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
		out, err := command.CombinedOutput()
		if (err == nil) != (name == "good") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		said := regexp.MustCompile(`the rehearsal is kept in (.*)`).FindSubmatch(out)
		if (said != nil) != (name == "good") {
			t.Errorf("%s: said %q\n%s", name, said, out)
		}
		if said != nil {
			if _, err := os.Stat(string(said[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// The folder of a plan whose ceremony has not begun never becomes a rehearsal's,
// whatever is typed; and the command that is proposed rehearses that plan.
func TestAPlanIsRehearsedElsewhere(t *testing.T) {
	t.Parallel()
	done := filepath.Join(t.TempDir(), "it's done")
	rehearsed(t, done)
	after := filepath.Join(t.TempDir(), "after")
	rehearsed(t, "--after", done, after)
	next := filepath.Join(t.TempDir(), "next")
	if err := os.MkdirAll(next, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(next, "trusted"), os.DirFS(filepath.Join(after, "trusted"))); err != nil {
		t.Fatal(err)
	}
	rewrite(t, filepath.Join(next, state.PlanFile), read(t, filepath.Join(after, state.PlanFile)))
	for name, file := range map[string]string{"create": backedUpPlanFile(t, 2, 2, `["holders", "Bank safe"]`), "rotate": legacyPlan(t), "after a rehearsal": filepath.Join(next, state.PlanFile)} {
		dir := filepath.Dir(file)
		if filepath.Base(file) != state.PlanFile {
			t.Fatal(file)
		}
		before, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"--plain", dir}, {"--auto", dir}, {"--auto", "--plan", file, dir}, {"--auto", "--stand-in", file, dir}, {"--auto", "--after", done, dir}} {
			out, err := exec.Command(program("rootceremony"), append([]string{"rehearse"}, args...)...).CombinedOutput()
			hint := regexp.MustCompile(`a rehearsal in its folder would take its place \(hint: rootceremony (.*) rehearses it`).FindStringSubmatch(string(out))
			if now, _ := os.ReadDir(dir); err == nil || hint == nil || len(now) != len(before) {
				t.Fatalf("%s, %v: %v\n%s", name, args, err, out)
			}
			if args[0] == "--plain" {
				now := t.TempDir()
				proposed := exec.Command("sh", "-c", program("rootceremony")+" "+hint[1]+" --auto")
				proposed.Env = append(os.Environ(), "XDG_STATE_HOME="+now)
				if out, err := proposed.CombinedOutput(); err != nil {
					t.Errorf("%s: %s: %v\n%s", name, hint[1], err, out)
				}
			}
		}
	}
}

// openedRehearsal opens the rehearsal in dir, in this process.
func openedRehearsal(dir string, from beginning) (*ceremony.Desk, error) {
	files, err := rehearsalFiles(dir, from, "", nil)
	if err != nil {
		return nil, err
	}
	return openRehearsal(dir, from, "", nil, files)
}
