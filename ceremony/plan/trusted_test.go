package plan

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// rootsDir has the chains of real projects, where they are.
const rootsDir = "../../../shared/roots"

// realChain is the folder of a real chain, and its newest root.
func realChain(t testing.TB, name string, newest int) (dir string, last *tuf.File) {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(rootsDir, name))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.root.json", newest)))
	if err != nil {
		t.Skipf("no real chains at ../shared/roots beside the repository: %v", err)
	}
	last, err = tuf.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return dir, last
}

// signed is a signature with the secret half of a placeholder.
func signed(message []byte, text string) tuf.Signature {
	seed := sha256.Sum256([]byte("rootceremony placeholder " + text))
	return tuf.Signature{KeyID: idOf(text), Sig: ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), message)}
}

// idOf is the key id of a placeholder.
func idOf(text string) string { return agreed.MustKey(agreed.Placeholder(keys.Ed25519, text)).ID }

// chainOf makes a chain of roots, all of the same holders, whose keys are
// placeholders of their names, and all signed by all of them.
func chainOf(t testing.TB, versions, threshold int, holders ...string) [][]byte {
	t.Helper()
	var files [][]byte
	root := &tuf.Root{Version: 1, Expires: planNow.AddDate(0, 1, 0), SpecVersion: tuf.SpecVersion, ConsistentSnapshot: true, Roles: map[string]tuf.Role{}}
	role := tuf.Role{Threshold: threshold}
	for _, name := range holders {
		root.Keys = append(root.Keys, agreed.MustKey(agreed.Placeholder(keys.Ed25519, name)))
		role.KeyIDs = append(role.KeyIDs, idOf(name))
	}
	root.Roles[tuf.RoleRoot] = role
	for _, name := range agreed.OnlineRoles {
		root.Keys = append(root.Keys, agreed.MustKey(agreed.Placeholder(keys.Ed25519, name)))
		root.Roles[name] = tuf.Role{KeyIDs: []string{idOf(name)}, Threshold: 1}
	}
	var previous []*tuf.Root
	for range versions {
		var signatures []tuf.Signature
		for _, name := range holders {
			signatures = append(signatures, signed(root.Canonical(), name))
		}
		file, err := tuf.Assemble(root, signatures, previous...)
		if err != nil {
			t.Fatal(err)
		}
		files, previous, root = append(files, file), []*tuf.Root{root}, root.Next()
	}
	return files
}

// trustedFiles are the files of a chain as a plan's folder has them.
func trustedFiles(chain [][]byte) map[string][]byte {
	files := map[string][]byte{}
	for i, text := range chain {
		files[agreed.TrustedFile(int64(i+1))] = text
	}
	return files
}

// rotation is a plan after the roots of chainOf: "Alice" keeps her key,
// "Dana+" gets a new one, "Bruno-lost" is a dropped key. The head is five
// lines, each holder and each drop has four.
func rotation(threshold int, people ...string) string {
	text := "kind = \"rotate\"\nname = \"Example packages\"\ntrusted = \"trusted\"\n[root]\nexpires = \"365d\"\n"
	text = strings.Replace(text, "expires", fmt.Sprintf("threshold = %d; expires", threshold), 1)
	text = strings.Replace(text, "; ", "\n", 1)
	for i, who := range people {
		name, reason, dropped := strings.Cut(who, "-")
		name, fresh := strings.CutSuffix(name, "+")
		switch {
		case dropped:
			text += fmt.Sprintf("[[drop]]\nname = %q\nkeyid = %q\nreason = %q\n", name, idOf(name), reason)
		case fresh:
			text += fmt.Sprintf("[[holder]]\nname = %q\ntoken = \"T-%d\"\ncustody = \"on-token\"\n", name, i)
		default:
			text += fmt.Sprintf("[[holder]]\nname = %q\ncustody = \"existing\"\nkeyid = %q\n", name, idOf(name))
		}
	}
	return text
}

// readRotation reads a plan beside a chain.
func readRotation(t testing.TB, text string, files map[string][]byte) (*Plan, string, error) {
	t.Helper()
	all := map[string][]byte{state.PlanFile: []byte(text)}
	maps.Copy(all, files)
	dir := newFolder(t, all)
	p, err := Read(filepath.Join(dir, state.PlanFile))
	return p, dir, err
}

// resolvedRotation is such a plan, agreed at planNow.
func resolvedRotation(t testing.TB, text string, chain [][]byte) *agreed.Plan {
	t.Helper()
	p, _, err := readRotation(t, text, trustedFiles(chain))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(planNow)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var three = []string{"Alice", "Bruno", "Chen"}

// A chain is what a client would follow, or a fault of the plan that says which
// file is to blame.
func TestBadChains(t *testing.T) {
	good := chainOf(t, 3, 2, three...)
	other := chainOf(t, 3, 2, "Xenia", "Yann", "Zoe")
	const again = " (hint: it is not the root that this project has published, or one before it is not; get the chain again from where you trust it)"
	accounts := ""
	for _, name := range []string{"Xenia", "Yann", "Zoe"} {
		accounts += fmt.Sprintf("3:11: the root key %s of version 3 is nobody's in this plan (hint: a [[holder]] with keyid = %q, or a [[drop]] with it and a reason)\n", idOf(name), idOf(name))
	}
	short := fmt.Sprintf("(hint: its root keys are %.8s..., %.8s..., %.8s...)", idOf("Xenia"), idOf("Yann"), idOf("Zoe"))
	for i, name := range three {
		accounts += fmt.Sprintf("%d:9: no root key of version 3 has the id %q %s\n", 10+4*i, idOf(name), short)
	}
	f := func(change func(files map[string][]byte)) map[string][]byte {
		files := trustedFiles(good)
		change(files)
		return files
	}
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  string // DIR is the plan's folder
	}{
		{"no folder", nil, "3:11: DIR/trusted does not exist (hint: put the published roots there, from the first to the newest, each as N.root.json)"},
		{"no roots", map[string][]byte{"trusted/root.json": good[0]}, "3:11: DIR/trusted: no root metadata in this folder (hint: the files are named 1.root.json, 2.root.json and so on)"},
		{"a gap", f(func(m map[string][]byte) { delete(m, agreed.TrustedFile(2)) }), "3:11: DIR/trusted: 2.root.json is missing, though 3.root.json is there (hint: get it from where the roots are published: it is verified like the others)"},
		{"a gap under a wrong name", f(func(m map[string][]byte) { m[agreed.TrustedFile(2)] = m[agreed.TrustedFile(3)] }), "3:11: DIR/trusted/2.root.json: version 3 follows version 1, where version 2 belongs" + again},
		{"a fork", f(func(m map[string][]byte) { m[agreed.TrustedFile(3)] = other[2] }), fmt.Sprintf("3:11: DIR/trusted/3.root.json: version 3 is not signed by enough keys of version 2: 0 of 2: missing %.8s, %.8s or %.8s%s", idOf("Alice"), idOf("Bruno"), idOf("Chen"), again)},
		{"a bad signature", f(func(m map[string][]byte) { m[agreed.TrustedFile(2)] = spoilt(t, good[1], 2) }), "3:11: DIR/trusted/2.root.json: version 2 is not signed by enough keys of version 1: 1 of 2: wrong signature by WRONG" + again},
		{"a bad first root", f(func(m map[string][]byte) { m[agreed.TrustedFile(1)] = spoilt(t, good[0], 2) }), "3:11: DIR/trusted/1.root.json: version 1 is not signed by enough of its own keys: 1 of 2: wrong signature by WRONG" + again},
		{"not JSON", f(func(m map[string][]byte) { m[agreed.TrustedFile(2)] = []byte("{") }), "3:11: DIR/trusted/2.root.json: line 1, column 2 (byte 1): a member's name belongs here, but the text ends (hint: it is not as a client would read it; get the file again from where it is published, byte for byte)"},
		{"another version in the name", map[string][]byte{agreed.TrustedFile(2): good[2]}, "3:11: DIR/trusted/2.root.json holds version 3 (hint: name each file after its version)"},
		{"a name with a zero", f(func(m map[string][]byte) { m["trusted/04.root.json"] = good[2] }), "3:11: DIR/trusted/04.root.json: 04 is not how a version is written"},
		{"a stranger's", trustedFiles(other), strings.TrimSuffix(accounts, "\n")},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, dir, err := readRotation(t, rotation(2, three...), c.files)
			want := strings.ReplaceAll(c.want, "DIR", dir)
			want = strings.ReplaceAll(want, "WRONG", wrongKeys(good[0], 2))
			wantFaults(t, err, filepath.Join(dir, state.PlanFile), want)
		})
	}
}

// spoilt is a root file whose first n signatures are wrong.
func spoilt(t testing.TB, file []byte, n int) []byte {
	t.Helper()
	parts := bytes.SplitAfter(file, []byte(`"sig": "`))
	if len(parts) <= n {
		t.Fatalf("%d signatures", len(parts)-1)
	}
	parts = slices.Clone(parts)
	for i := 1; i <= n; i++ {
		parts[i] = bytes.Clone(parts[i])
		if parts[i][0]++; parts[i][0] > 'f' || parts[i][0] == '9'+1 {
			parts[i][0] = '0'
		}
	}
	return bytes.Join(parts, nil)
}

// wrongKeys names the keys of the signatures that spoilt spoils, in the order
// of the role.
func wrongKeys(file []byte, n int) string {
	f, err := tuf.Parse(file)
	if err != nil {
		panic(err)
	}
	var names []string
	for _, id := range f.Root.Roles[tuf.RoleRoot].KeyIDs {
		if slices.ContainsFunc(f.Signatures[:n], func(s tuf.Signature) bool { return s.KeyID == id }) {
			names = append(names, id[:8])
		}
	}
	return strings.Join(names, " and ")
}

// Every root key of the trusted root is somebody's or dropped, once.
func TestBadAccounts(t *testing.T) {
	chain := chainOf(t, 2, 2, three...)
	alice, bruno, chen := idOf("Alice"), idOf("Bruno"), idOf("Chen")
	all := fmt.Sprintf("(hint: its root keys are %.8s..., %.8s..., %.8s...)", alice, bruno, chen)
	nobody := func(id string) string {
		return fmt.Sprintf("3:11: the root key %s of version 2 is nobody's in this plan (hint: a [[holder]] with keyid = %q, or a [[drop]] with it and a reason)", id, id)
	}
	renewal := rotation(2, three...)
	for _, c := range []struct {
		name string
		text string
		want string
	}{
		{"unknown", strings.Replace(renewal, bruno, idOf("Dana"), 1), nobody(bruno) + "\n" + fmt.Sprintf("14:9: no root key of version 2 has the id %q %s", idOf("Dana"), all)},
		{"abbreviated", strings.Replace(renewal, bruno, bruno[:8], 1), nobody(bruno) + "\n" + fmt.Sprintf("14:9: no root key of version 2 has the id %q (hint: write it in full: %s)", bruno[:8], bruno)},
		{"abbreviated, with dots", strings.Replace(renewal, bruno, bruno[:8]+"...", 1), nobody(bruno) + "\n" + fmt.Sprintf("14:9: no root key of version 2 has the id %q (hint: write it in full: %s)", bruno[:8]+"...", bruno)},
		{"an online key", strings.Replace(renewal, bruno, idOf("targets"), 1), nobody(bruno) + "\n" + fmt.Sprintf("14:9: no root key of version 2 has the id %q %s", idOf("targets"), all)},
		{"twice", strings.Replace(renewal, bruno, alice, 1), nobody(bruno) + "\n" + fmt.Sprintf(`14:9: the key %.8s is that of "Alice" already`, alice)},
		{"kept and dropped", rotation(2, "Alice", "Bruno", "Chen", "Chen-lost"), fmt.Sprintf(`21:9: the key %.8s is that of "Chen" already`, chen)},
		{"dropped twice", rotation(1, "Alice", "Bruno", "Chen-lost", "Chen-retired"), fmt.Sprintf("21:9: the key %.8s is dropped already", chen)},
		{"left out", rotation(2, "Alice", "Bruno"), nobody(chen)},
		{"two left out", rotation(1, "Alice", "Dana+"), nobody(bruno) + "\n" + nobody(chen)},
		{"too many lost", rotation(2, "Alice", "Dana+", "Bruno-lost", "Chen-lost"), "15:3: version 2 must be signed by 2 of its keys to be followed, and with these drops only 1 can still sign: no client would accept the new root (hint: where a backup opens, restore the key first and drop it as retired; where none does, only a new chain is left: rootceremony plan --kind revoke DIR says how)"},
		{"a threshold above the holders", rotation(3, "Alice", "Bruno", "Chen-lost"), "5:13: threshold 3 is more than there are holders (2)"},
		{"the old threshold above the holders", strings.Replace(rotation(2, "Alice", "Bruno-retired", "Chen-retired"), "threshold = 2\n", "", 1), "4:2: threshold is 2 as in version 2, but there are only 1 holders then (hint: threshold = ..., with fewer)"},
		{"no reason", strings.Replace(renewal, `"rotate"`, `"revoke"`, 1), `1:1: reason is missing (hint: what has happened, as in reason = "the token A-01 was stolen")`},
		{"a path in several lines", strings.Replace(renewal, `"trusted"`, "\"\"\"\ntrusted\"\"\"", 1), "3:11: trusted is a path in one line, between single quotes or double ones"},
		{"a path that rings", strings.Replace(renewal, `"trusted"`, `"tru\u0007sted"`, 1), "3:11: trusted \"tru\\asted\" holds the character U+0007, which cannot be printed"},
		{"no reason of a drop", strings.Replace(rotation(2, "Alice", "Bruno", "Chen-lost"), "reason = \"lost\"\n", "", 1), "15:3: reason is missing (hint: lost, stolen, compromised or retired)"},
		{"another reason of a drop", rotation(2, "Alice", "Bruno", "Chen-eaten"), `18:10: reason "eaten" is none of lost, stolen, compromised, retired`},
		{"a new key with an id", strings.Replace(renewal, `"existing"`, `"on-token"`, 1), nobody(alice) + "\n7:3: token is missing (hint: the sticker on the holder's token, as in token = \"A-01\")\n10:9: keyid is for custody \"existing\" only"},
		{"an old key without an id", strings.Replace(renewal, "keyid = \""+alice+"\"\n", "", 1), nobody(alice) + "\n7:3: keyid is missing (hint: the id of the key in the trusted root; rootceremony show FILE prints them)"},
		{"one sticker on two tokens", rotation(2, "Alice", "Bruno", "Dana+", "Chen-retired") + "token = \"t-2\"\n", `23:9: token "t-2" is the sticker of "Dana" already (hint: a new sticker for a new token; the old one signs before it is reset)`},
		{"a quorum below the old threshold", strings.Replace(rotation(2, "Alice-retired", "Bruno-retired", "Chen-retired", "Dana+", "Emil+", "Farah+"), "threshold = 2\n", "", 1) + "[backup]\nquorum = 1\nrecipients = [\"holders\"]\n", `31:10: any one of Dana, Emil or Farah could set new PINs, by the PUK backups, on the tokens of any 2 of Dana, Emil or Farah, and sign: the backup quorum (1) is below the threshold (2) (hint: quorum 2 would do)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, dir, err := readRotation(t, c.text, trustedFiles(chain))
			wantFaults(t, err, filepath.Join(dir, state.PlanFile), c.want)
		})
	}
}

// What is unusual about a chain, but possible.
func TestUnusualChains(t *testing.T) {
	chain := chainOf(t, 3, 2, three...)
	text := rotation(2, three...)
	t.Run("one file", func(t *testing.T) {
		p, _, err := readRotation(t, strings.Replace(text, `"trusted"`, `"trusted/3.root.json"`, 1), trustedFiles(chain))
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(planNow)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Join(agreed.Check(r, planNow).Lines(), "\n")
		for _, want := range []string{"version 3 alone was given, and is taken on trust", "clients on version 3 walk 1 step to version 4", "clients on versions before 3 were not looked at: the chain that was given begins there"} {
			if !strings.Contains(lines, want) {
				t.Errorf("no %q in\n%s", want, lines)
			}
		}
	})
	t.Run("a part of it, elsewhere", func(t *testing.T) {
		dir := newFolder(t, map[string][]byte{"2.root.json": chain[1], "3.root.json": chain[2], "README": nil})
		p, _, err := readRotation(t, strings.Replace(text, `"trusted"`, fmt.Sprintf("%q # ours", dir), 1), nil)
		if err != nil || len(p.Chain.Steps) != 2 {
			t.Fatal(err)
		}
		files, err := p.PlanFiles()
		if err != nil || len(files) != 3 || !bytes.Equal(files[agreed.TrustedFile(2)], chain[1]) || !bytes.Equal(files[agreed.TrustedFile(3)], chain[2]) {
			t.Fatalf("%v: %v", err, slices.Sorted(maps.Keys(files)))
		}
		// The plan goes along with its chain.
		again, err := Read(filepath.Join(newFolder(t, files), state.PlanFile))
		if err != nil || again.Trusted != agreed.TrustedDir || !reflect.DeepEqual(again.Chain, p.Chain) {
			t.Fatalf("%v\n%s", err, files[state.PlanFile])
		}
	})
	t.Run("a clock long before the trusted root's time", func(t *testing.T) {
		r := resolvedRotation(t, text, chain)
		for years, want := range map[int]bool{0: false, -11: true} {
			lines := strings.Join(agreed.Check(r, planNow.AddDate(years, 0, 0)).Lines(), "\n")
			if strings.Contains(lines, "more than 3650 days ahead: is this computer's clock right?") != want {
				t.Errorf("%d years:\n%s", years, lines)
			}
		}
	})
	t.Run("expired", func(t *testing.T) {
		r := resolvedRotation(t, text, chain)
		for days, want := range map[int]bool{29: false, 32: true} {
			lines := strings.Join(agreed.Check(r, planNow.AddDate(0, 0, days)).Lines(), "\n")
			if strings.Contains(lines, "version 3 expired on 2026-12-22T09:00:00Z: clients refuse updates until they have the next one") != want {
				t.Errorf("after %d days:\n%s", days, lines)
			}
		}
	})
}

// A plan that the log could not hold is refused while it is a plan.
func TestChainTooLargeForTheLog(t *testing.T) {
	for n, fits := range map[int]bool{500 << 10: true, 510 << 10: false} {
		chain := chainOf(t, 2, 2, three...)
		chain[1] = append(bytes.Repeat([]byte("\n"), n), chain[1]...)
		p, dir, err := readRotation(t, rotation(2, three...), trustedFiles(chain))
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(planNow)
		if !fits {
			if pe := new(Error); !errors.As(err, &pe) || !strings.HasPrefix(err.Error(), filepath.Join(dir, state.PlanFile)+":3:11: the agreed plan would have 10") {
				t.Errorf("%.300v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		log, err := transcript.Create(t.TempDir(), func() time.Time { return planNow }, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(state.TypePlanAgreed, "room", state.PlanAgreed{Digest: r.Digest(), Plan: r.JSON(), Anchor: state.AnchorTyped}, json.RawMessage(r.PrivateJSON()), nil); err != nil {
			t.Error(err)
		}
		log.Close()
	}
}

// Paths of the chain that lead out are replaced, and nothing else of the plan.
func TestPlanFilesOfARotation(t *testing.T) {
	chain := chainOf(t, 2, 2, three...)
	key := fmt.Appendf(nil, "%s\n", agreed.Placeholder(keys.Ed25519, "new targets").Hex)
	for _, trusted := range []string{`"trusted"`, `"./trusted"`, `'trusted/'`, `"trusted/2.root.json"   # the newest`} {
		text := strings.Replace(rotation(2, three...), `"trusted"`, trusted, 1) + "[role.targets]\nthreshold = 1\nkeys = [\"keys/targets.pub\"]\n"
		files := trustedFiles(chain)
		files["keys/targets.pub"] = key
		p, _, err := readRotation(t, text, files)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.PlanFiles()
		if err != nil {
			t.Fatal(err)
		}
		value, _, _ := strings.Cut(trusted, " ")
		before, rest, _ := strings.Cut(text, value)
		if plan := string(got[state.PlanFile]); plan != text && plan != before+`"trusted"`+rest {
			t.Errorf("%s:\n%s", trusted, plan)
		}
		again, err := Read(filepath.Join(newFolder(t, got), state.PlanFile))
		if err != nil || !reflect.DeepEqual(again.Chain, p.Chain) || !reflect.DeepEqual(again.Roles, p.Roles) || string(got["keys/targets.pub"]) != string(key) {
			t.Errorf("%s: %v", trusted, err)
		}
	}
}

// object is the raw text of a member of "signed", however deep.
func object(t testing.TB, file []byte, path ...string) string {
	t.Helper()
	var at json.RawMessage = file
	for _, name := range path {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(at, &members); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if at = members[name]; at == nil {
			t.Fatalf("no %v", path)
		}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, at); err != nil {
		t.Fatal(err)
	}
	return compact.String()
}

// members are the names in an object.
func members(t testing.TB, file []byte, path ...string) []string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object(t, file, path...)), &m); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(m))
}

// drafted is the file that a plan makes, without signatures, with keys in the
// places of the new ones. Its size is what was computed.
func drafted(t testing.TB, r *agreed.Plan) (*tuf.Root, []byte) {
	t.Helper()
	made := map[string]keys.PublicKey{}
	for _, h := range r.Holders {
		if h.Custody != agreed.Existing {
			made[h.ID] = agreed.Placeholder(r.Token.Algorithm, "key of "+h.ID)
		}
	}
	root, err := r.Draft(made, r.Expires)
	if err != nil {
		t.Fatal(err)
	}
	file, err := tuf.Assemble(root, nil, r.Previous()...)
	if err != nil {
		t.Fatal(err)
	}
	f, err := tuf.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	if b := r.Budget(); b.Bytes != len(f.Signed) || b.Refused {
		t.Errorf("%d bytes to sign, computed %+v", len(f.Signed), b)
	}
	return root, file
}

// realPlan is a plan after a real chain. Holders who keep their key are named
// by letters, in the order of the role.
func realPlan(t testing.TB, dir string, head string, last *tuf.File, kept int, rest string) (*Plan, error) {
	t.Helper()
	text := "kind = \"rotate\"\nname = \"Stand-in\"\n" + fmt.Sprintf("trusted = %q\n", dir) + head
	for i, id := range last.Root.Roles[tuf.RoleRoot].KeyIDs[:kept] {
		text += fmt.Sprintf("[[holder]]\nname = \"%c\"\nkeyid = %q\n", 'A'+i, id)
	}
	for _, id := range last.Root.Roles[tuf.RoleRoot].KeyIDs[kept:] {
		text += fmt.Sprintf("[[drop]]\nkeyid = %q\nreason = \"retired\"\n", id)
	}
	file := filepath.Join(newFolder(t, map[string][]byte{state.PlanFile: []byte(text + rest)}), state.PlanFile)
	return Read(file)
}

const newThree = "[[holder]]\nname = \"Dana\"\ntoken = \"D-04\"\n[[holder]]\nname = \"Emil\"\ntoken = \"E-05\"\n[[holder]]\nname = \"Farah\"\ntoken = \"F-06\"\n"

// A renewal, and a rotation to other tokens, of real chains: what the plan does
// not speak of is byte for byte what it was.
func TestDraftOfRealChains(t *testing.T) {
	for _, c := range []struct {
		name   string
		newest int
		head   string
		kept   int
		rest   string
		size   int
		diff   []string
	}{
		{"joomla-updates", 16, "[root]\nexpires = \"365d\"\n", 3, "", 6592, []string{"version", "expires", "spec_version"}},
		{"sigstore", 15, "[root]\nexpires = \"365d\"\n", 5, "", 3725, []string{"version", "expires", "spec_version"}},
		{"joomla-updates", 16, "[root]\nexpires = \"365d\"\nthreshold = 2\n[token]\nalgorithm = \"ecdsa-p256\"\n", 0, newThree, 0, []string{"version", "expires", "spec_version", "key", "role"}},
		{"sigstore", 15, "[root]\nexpires = \"365d\"\n[token]\nalgorithm = \"ecdsa-p256\"\n", 2, newThree, 0, []string{"version", "expires", "spec_version", "key", "role"}},
	} {
		t.Run(fmt.Sprintf("%s, %d stay", c.name, c.kept), func(t *testing.T) {
			dir, last := realChain(t, c.name, c.newest)
			p, err := realPlan(t, dir, c.head, last, c.kept, c.rest)
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Resolve(planNow)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := agreed.Parse(r.JSON(), r.PrivateJSON()); err != nil || !reflect.DeepEqual(again, r) {
				t.Fatalf("not the same again: %v", err)
			}
			root, file := drafted(t, r)
			if c.size != 0 && len(root.Canonical()) != c.size {
				t.Errorf("%d bytes", len(root.Canonical()))
			}
			old, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.root.json", c.newest)))
			if err != nil {
				t.Fatal(err)
			}
			carried := 0
			for _, id := range members(t, file, "signed", "keys") {
				if _, there := last.Root.Key(id); there {
					carried++
					if got, want := object(t, file, "signed", "keys", id), object(t, old, "signed", "keys", id); canonical(t, got) != canonical(t, want) {
						t.Errorf("key %s:\n%s\nwas\n%s", id, got, want)
					}
				}
			}
			if most := len(last.Root.Keys); carried == 0 || c.rest == "" && carried != most {
				t.Errorf("%d keys of %d", carried, most)
			}
			for _, name := range append(slices.Clone(agreed.OnlineRoles), tuf.RoleRoot) {
				got, want := object(t, file, "signed", "roles", name), object(t, old, "signed", "roles", name)
				if (name != tuf.RoleRoot || c.rest == "") && canonical(t, got) != canonical(t, want) {
					t.Errorf("role %s:\n%s\nwas\n%s", name, got, want)
				}
			}
			if !slices.Equal(members(t, file, "signed"), members(t, old, "signed")) {
				t.Errorf("fields %v, were %v", members(t, file, "signed"), members(t, old, "signed"))
			}
			for _, name := range members(t, old, "signed") {
				if strings.HasPrefix(name, "x-") && object(t, file, "signed", name) != object(t, old, "signed", name) {
					t.Errorf("field %s changed", name)
				}
			}
			for _, change := range tuf.Diff(last.Root, root, planNow, nil) {
				if !change.Same && !slices.Contains(c.diff, change.What) {
					t.Errorf("changes %s: %s", change.What, change.Text)
				}
			}
		})
	}
}

// canonical sorts the members of an object and their order in lists stays.
func canonical(t testing.TB, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A key file that is a carried key in another notation is that key: its id and
// its object stay, as clients know them.
func TestRoleKeepsTheCarriedKey(t *testing.T) {
	dir, last := realChain(t, "joomla-updates", 16)
	id := last.Root.Roles[tuf.RoleTimestamp].KeyIDs[0]
	key, _ := last.Root.Key(id)
	for _, role := range []string{tuf.RoleTimestamp, tuf.RoleTargets} {
		text := "kind = \"rotate\"\nname = \"Stand-in\"\n" + fmt.Sprintf("trusted = %q\n", dir) + "[root]\nexpires = \"365d\"\n" +
			fmt.Sprintf("[role.%s]\nthreshold = 1\nkeys = [\"key.pub\"]\n", role)
		for i, id := range last.Root.Roles[tuf.RoleRoot].KeyIDs {
			text += fmt.Sprintf("[[holder]]\nname = \"%c\"\nkeyid = %q\n", 'A'+i, id)
		}
		p, _, err := readRotation(t, text, map[string][]byte{"key.pub": []byte(key.Public.Hex)})
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(planNow)
		if err != nil {
			t.Fatal(err)
		}
		root, file := drafted(t, r)
		if ids := root.Roles[role].KeyIDs; !slices.Equal(ids, []string{id}) {
			t.Errorf("%s: key ids %v, want %s", role, ids, id)
		}
		if got, _ := root.Key(id); got != key || !strings.Contains(object(t, file, "signed", "keys", id), "keyid_hash_algorithms") {
			t.Errorf("%s: the key object is %s", role, object(t, file, "signed", "keys", id))
		}
	}
}

// resigned is a root file with other signatures, made by hand, as no root of
// ours is like those of such tests.
func resigned(t testing.TB, text string, names ...string) []byte {
	t.Helper()
	f, err := tuf.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(text, `"signatures"`)
	_, tail, _ := strings.Cut(text, `"signed"`)
	var list []string
	for _, name := range names {
		s := signed(f.Signed, name)
		list = append(list, fmt.Sprintf(`{"keyid": %q, "sig": %q}`, s.KeyID, hex.EncodeToString(s.Sig)))
	}
	return []byte(head + `"signatures": [` + strings.Join(list, ",") + `], "signed"` + tail)
}

// A key that the trusted root has under two ids is one key: it stays once, and
// signs once.
func TestOneKeyUnderTwoIDs(t *testing.T) {
	alias := strings.Repeat("a1", 32)
	text := string(chainOf(t, 1, 2, three...)[0])
	alice := agreed.MustKey(agreed.Placeholder(keys.Ed25519, "Alice"))
	text = changed(t, text, `"keys": {`, fmt.Sprintf(`"keys": {%q: %s,`, alias, alice.Object()))
	at := strings.Index(text, `"root": {`)
	text = text[:at] + changed(t, text[at:], `"keyids": [`, fmt.Sprintf(`"keyids": [%q,`, alias))
	files := trustedFiles([][]byte{resigned(t, text, three...)})
	double := fmt.Sprintf("[[holder]]\nname = \"Alias\"\nkeyid = %q\n", alias)
	drop := func(reason string) string {
		return fmt.Sprintf("[[drop]]\nkeyid = %q\nreason = %q\n", alias, reason)
	}
	_, dir, err := readRotation(t, rotation(2, three...)+double, files)
	wantFaults(t, err, filepath.Join(dir, state.PlanFile), fmt.Sprintf("21:9: the keys %.8s and %.8s of version 1 are one and the same key (hint: drop one of the two)", idOf("Alice"), alias))
	// Bruno and Chen are lost: Alice's key and its double are no two signers.
	_, _, err = readRotation(t, rotation(1, "Alice", "Bruno-lost", "Chen-lost")+drop(agreed.Retired), files)
	if want := "version 1 must be signed by 2 of its keys to be followed, and with these drops only 1 can still sign: "; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v", err)
	}
	for _, reason := range []string{agreed.Retired, agreed.Lost} {
		p, _, err := readRotation(t, rotation(2, three...)+drop(reason), files)
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(planNow)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Rotation().Old.Who(); got != "any 2 of Alice, Bruno or Chen" {
			t.Errorf("%s: %s", reason, got)
		}
		if root, _ := drafted(t, r); len(root.Roles[tuf.RoleRoot].KeyIDs) != 3 {
			t.Errorf("%v", root.Roles[tuf.RoleRoot])
		}
	}
	// A resolved plan is held to the same.
	p, _, err := readRotation(t, rotation(1, "Alice", "Bruno", "Chen-lost")+drop(agreed.Retired), files)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(planNow)
	if err != nil {
		t.Fatal(err)
	}
	r.Holders = r.Holders[:1]
	r.Drops = append(r.Drops, agreed.Drop{ID: agreed.DropID(idOf("Bruno"), 8), KeyID: idOf("Bruno"), Reason: agreed.Lost})
	if _, err := agreed.Parse(r.JSON(), r.PrivateJSON()); err == nil || !strings.Contains(err.Error(), "drop[0]: version 1 must be signed by 2 of its keys to be followed, and with these drops only 1 can still sign") {
		t.Errorf("%v", err)
	}
}

// The root of a rehearsal says so in the notes.
func TestNotesOnARehearsal(t *testing.T) {
	text := changed(t, string(chainOf(t, 1, 2, three...)[0]), `"consistent_snapshot"`, `"x-rehearsal": true, "consistent_snapshot"`)
	r := resolvedRotation(t, rotation(2, three...), [][]byte{resigned(t, text, three...)})
	if got := r.Rotation().Notes; !slices.Equal(got, []string{"it is the root of a rehearsal: a real ceremony refuses it"}) {
		t.Errorf("%q", got)
	}
	if root, _ := drafted(t, r); root.Rehearsal() {
		t.Error("the mark is carried over")
	}
}

// Fields of a role that nobody knows stay with it; roles and keys that clients
// need not read go, and are named.
func TestWhatIsNotCarriedOver(t *testing.T) {
	signedPart := string(chainOf(t, 1, 2, three...)[0])
	mirror, stray := agreed.MustKey(agreed.Placeholder(keys.Ed25519, "mirror")), agreed.MustKey(agreed.Placeholder(keys.P256, "stray"))
	object := func(k tuf.Key) string { return fmt.Sprintf("%q: %s,", k.ID, k.Object()) }
	signedPart = changed(t, signedPart, `"consistent_snapshot": true,`, `"x-policy": {"b": 1, "a": [1]},`,
		`"keys": {`, `"keys": {`+object(mirror)+object(stray),
		`"roles": {`, fmt.Sprintf(`"roles": {"mirrors": {"keyids": [%q], "threshold": 1},`, mirror.ID))
	for _, role := range []string{tuf.RoleRoot, tuf.RoleSnapshot} {
		at := strings.Index(signedPart, fmt.Sprintf(`"%s": {`, role)) + len(role) + len(`"": {`)
		signedPart = signedPart[:at] + fmt.Sprintf(`"x-of-%s": "kept",`, role) + signedPart[at:]
	}
	old := resigned(t, signedPart, three...)
	r := resolvedRotation(t, rotation(2, three...), [][]byte{old})
	root, file := drafted(t, r)
	for _, role := range []string{tuf.RoleRoot, tuf.RoleSnapshot} {
		if got := root.Roles[role].Extra; len(got) != 1 || got[0].Value != `"kept"` {
			t.Errorf("%s: %v", role, got)
		}
	}
	if len(root.Extra) != 1 || canonical(t, root.Extra[0].Value) != `{"a":[1],"b":1}` || len(root.Roles) != 4 {
		t.Errorf("%v %v", root.Extra, root.Roles)
	}
	for _, k := range []tuf.Key{mirror, stray} {
		if strings.Contains(string(file), k.ID) {
			t.Errorf("key %s stays", k.ID)
		}
	}
	want := []string{
		`1 field that the specification does not name is carried over: "x-policy"`,
		`1 role that the specification does not name is left out, as not all clients read it: "mirrors"`,
		"2 keys are left out, as none of the four roles uses them: " + strings.Join([]string{mirror.ID[:8], stray.ID[:8]}, " and "),
		"consistent_snapshot is absent, which clients read as false: the new root says false",
	}
	if got := r.Rotation().Notes; !slices.Equal(got, want) {
		t.Errorf("notes\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(root.Keys) != 6 || root.ConsistentSnapshot {
		t.Errorf("%d keys", len(root.Keys))
	}
}
