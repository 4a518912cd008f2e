package ceremony_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// gathering is a rotation before its signatures: Alice and Bruno stay, Chen,
// Dana and Emil are dropped, Farah comes. Three sign for the old root, two for
// the new one.
type gathering struct {
	*stage
	desk    *ceremony.Desk
	script  *prompt.Script
	signers []string          // ids of five of them, all but Emil
	files   map[string][]byte // of their signatures, which were made in a copy of the directory
	copy    *stage
}

func newGathering(t testing.TB) *gathering {
	t.Helper()
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[2].drop, people[3].drop, people[4].drop = agreed.Retired, agreed.Compromised, agreed.Retired
	people = append(people, member{name: "Farah Aziz", token: "F-06"})
	g := &gathering{script: &prompt.Script{Answers: map[string]string{}}, files: map[string][]byte{}}
	g.stage, g.desk = first.follow(following(agreed.Rotate, "[root]\nexpires = \"365d\"\nthreshold = 2\n", people...), "F-06")
	runToSigning(t, g.desk, g.script)
	g.signers = []string{"alice", "bruno"}
	for _, d := range g.desk.State().Plan.Drops {
		g.script.Answers["holder.pin "+d.ID] = ceremony.RehearsalPIN(idOf(d.Name))
		if d.Name != "Emil Novak" {
			g.signers = append(g.signers, d.ID)
		}
	}
	g.signers = append(g.signers, "farah")
	there, away := g.duplicate()
	g.copy = there
	for _, id := range g.signers {
		forgetCards(g.script)
		if err := away.Run(t.Context(), "sign "+id, g.script); err != nil {
			t.Fatal(err)
		}
		g.files[id] = assembled(t, away, id)
	}
	forgetCards(g.script)
	g.files["all"] = assembled(t, away, g.signers...)
	if err := away.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.desk.Close(); err != nil { // its directory is copied for each try
		t.Fatal(err)
	}
	return g
}

// collected collects files in a copy of the directory, each of them as it
// should be taken, and returns the root that is published then.
func (g *gathering) collected(t testing.TB, files ...[]byte) []byte {
	t.Helper()
	g.t = t
	there, desk := g.duplicate()
	defer desk.Close()
	defer os.RemoveAll(there.dir)
	seen := map[string]bool{}
	for _, text := range files {
		collected, err := desk.Collect(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, sig := range collected.Root.Signatures {
			if sig.Wrong || sig.Taken == seen[sig.KeyID] || sig.Taken == strings.Contains(sig.Text, "was there already") {
				t.Errorf("%+v, though taken before: %v", sig, seen[sig.KeyID])
			}
			seen[sig.KeyID] = true
		}
	}
	if err := desk.Run(t.Context(), "publish", g.script); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(there.dir, state.PublishDir, "2.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// orders are all orders of a list.
func orders(list []string) [][]string {
	if len(list) < 2 {
		return [][]string{list}
	}
	var all [][]string
	for i, first := range list {
		for _, rest := range orders(slices.Concat(list[:i], list[i+1:])) {
			all = append(all, append([]string{first}, rest...))
		}
	}
	return all
}

// Whatever order signatures come in, and however often, and in whose files: the
// same root is published.
func TestSignaturesInAllOrders(t *testing.T) {
	g := newGathering(t)
	want := g.collected(t, g.files["all"])
	f, err := tuf.Parse(want)
	if err != nil || len(f.Signatures) != 5 {
		t.Fatalf("%v, %d signatures", err, len(f.Signatures))
	}
	same := func(name string, files ...[]byte) {
		t.Helper()
		if got := g.collected(t, files...); !bytes.Equal(got, want) {
			t.Errorf("%s: another root was published:\n%s", name, got)
		}
	}
	all := orders(g.signers)
	if len(all) != 120 {
		t.Fatal(len(all))
	}
	if testing.Short() {
		all = all[:10]
	}
	for _, order := range all {
		var files [][]byte
		for _, id := range order {
			files = append(files, g.files[id], g.files[id])
		}
		same(strings.Join(order, ", "), files...)
	}
	// Partly signed roots, of several signers, that overlap.
	_, copied := g.copy.duplicate()
	defer copied.Close()
	merged := func(ids ...string) []byte { return assembled(t, copied, ids...) }
	s := g.signers
	same("merged files", merged(s[0], s[1], s[2]), merged(s[2], s[3]), merged(s[4], s[0]), merged(s...))
	same("merged and single files", g.files[s[3]], merged(s[3], s[4]), g.files[s[4]], merged(s[0], s[1], s[2]))
	// As other tools write them: in another order of members, with other spaces,
	// placeholders, upper-case hex.
	same("compact", rewritten(t, g.files["all"], func(text []byte) []byte {
		var b bytes.Buffer
		if err := json.Compact(&b, text); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}))
	same("as go-tuf writes it", goTUFWrites(t, g.files["all"]), goTUFWrites(t, g.files[s[2]]))
	same("upper case", rewritten(t, g.files["all"], func(text []byte) []byte {
		for _, sig := range f.Signatures {
			lower := hex.EncodeToString(sig.Sig)
			text = bytes.ReplaceAll(text, []byte(lower), bytes.ToUpper([]byte(lower)))
		}
		return text
	}))
	placeholders := rewritten(t, g.files[s[0]], func(text []byte) []byte {
		more := ""
		for _, sig := range f.Signatures {
			if !bytes.Contains(text, []byte(`"keyid": "`+sig.KeyID)) {
				more += fmt.Sprintf(`{"keyid": %q, "sig": ""},`, sig.KeyID)
			}
		}
		return bytes.Replace(text, []byte(`"signatures": [`), []byte(`"signatures": [`+more), 1)
	})
	_, desk := g.duplicate()
	defer desk.Close()
	collected, err := desk.Collect(placeholders)
	if err != nil {
		t.Fatal(err)
	}
	empty, taken := 0, 0
	for _, sig := range collected.Root.Signatures {
		if sig.Taken {
			taken++
		}
		if strings.Contains(sig.Text, "empty placeholder") && !sig.Wrong {
			empty++
		}
	}
	if taken != 1 || empty != 4 {
		t.Errorf("%d taken, %d empty: %+v", taken, empty, collected.Root.Signatures)
	}
}

// rewritten is a file with other bytes, and the same meaning.
func rewritten(t testing.TB, text []byte, change func([]byte) []byte) []byte {
	t.Helper()
	changed := change(bytes.Clone(text))
	if bytes.Equal(changed, text) {
		t.Fatal("nothing was changed")
	}
	if _, err := tuf.Parse(changed); err != nil {
		t.Fatal(err)
	}
	return changed
}

func goTUFWrites(t testing.TB, text []byte) []byte {
	t.Helper()
	return rewritten(t, text, func(text []byte) []byte {
		root, err := metadata.Root().FromBytes(text)
		if err == nil {
			text, err = root.ToBytes(true)
		}
		if err != nil {
			t.Fatal(err)
		}
		return text
	})
}

// A signature that comes after the root is published, and before the seal, makes
// the fuller file; after the seal none is taken.
func TestSignaturesThatComeLate(t *testing.T) {
	g := newGathering(t)
	there, desk := g.duplicate()
	s := g.signers
	for _, id := range []string{s[0], s[1], s[2]} { // Alice, Bruno, Chen: 3 of 3, and 2 of 2
		if _, err := desk.Collect(g.files[id]); err != nil {
			t.Fatal(err)
		}
	}
	if err := desk.Run(t.Context(), "publish", g.script); err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Collect(g.files["all"]); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "seal", g.script); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"2.root.json": nil, "fuller/2.root.json": g.files["all"]} {
		text, err := os.ReadFile(filepath.Join(there.dir, state.PublishDir, name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := tuf.Parse(text)
		if err != nil || want == nil && len(f.Signatures) != 3 || want != nil && !bytes.Equal(text, want) {
			t.Errorf("%s: %v, %d signatures", name, err, len(f.Signatures))
		}
	}
	_, err := desk.Collect(g.files[s[0]])
	if err == nil || !strings.Contains(err.Error(), "root v2 is published and the ceremony is sealed: no signature is taken any more") {
		t.Errorf("after the seal: %v", err)
	}
}

// What is refused, with what is said.
func TestSignaturesThatAreRefused(t *testing.T) {
	g := newGathering(t)
	f, err := tuf.Parse(g.files["alice"])
	if err != nil {
		t.Fatal(err)
	}
	alice, signature := f.Signatures[0].KeyID, hex.EncodeToString(f.Signatures[0].Sig)
	replaced := func(old, new string) []byte {
		text := bytes.ReplaceAll(g.files["alice"], []byte(old), []byte(new))
		if bytes.Equal(text, g.files["alice"]) {
			t.Fatalf("there is no %s", old)
		}
		return text
	}
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	byStranger := hex.EncodeToString(ed25519.Sign(stranger, f.Signed))
	_, desk := g.duplicate()
	lines := len(events(t, desk.Dir()))
	unsigned, err := os.ReadFile(filepath.Join(desk.Dir(), filepath.FromSlash(desk.State().Draft.File.Name)))
	if err != nil {
		t.Fatal(err)
	}
	other := f.Root.Next()
	other.Version, other.Expires = f.Root.Version, f.Root.Expires.AddDate(0, 0, 1)
	other.SetRehearsal(true)
	previous, err := os.ReadFile(filepath.Join(desk.Dir(), agreed.TrustedDir, "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := tuf.Parse(previous)
	if err != nil {
		t.Fatal(err)
	}
	another, err := tuf.Assemble(other, nil, first.Root)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"the draft itself":     {unsigned, "there is no signature in it"},
		"another draft":        {another, "it is another draft: the SHA-256 of what is signed is "},
		"the trusted root":     {previous, "it is root v1, and the trusted root is v1 already: this ceremony makes v2"},
		"doubled":              {replaced(`"signatures": [`, fmt.Sprintf(`"signatures": [{"keyid": %q, "sig": %q},`, alice, signature)), "signatures list the key id "},
		"not what was written": {replaced(`"expires": "20`, `"expires": "30`), "it was changed after it was signed: the signature by the key " + alice[:8]},
		"the signed part":      {f.Root.JSON(), "it is the signed part of metadata alone"},
	} {
		if _, err := desk.Collect(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"a stranger's":                       {replaced(fmt.Sprintf(`"keyid": %q,`+"\n      \"sig\": %q", alice, signature), fmt.Sprintf(`"keyid": %q, "sig": %q`, strings.Repeat("ab", 32), byStranger)), "is no root key of the old root or of the new one"},
		"a stranger as Alice":                {replaced(signature, byStranger), "the signature is wrong"},
		"of the file, not of what is signed": {replaced(signature, hex.EncodeToString(ed25519.Sign(stranger, unsigned))), "the signature is wrong"},
		"cut off":                            {replaced(signature, signature[:100]), "can't be a signature: it has 50 bytes"},
		"a changed byte":                     {replaced(signature, "00"+signature[2:]), "the signature is wrong"},
	} {
		collected, err := desk.Collect(c.file)
		if err != nil || len(collected.Root.Signatures) != 1 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if one := collected.Root.Signatures[0]; !one.Wrong || one.Taken || !strings.Contains(one.Text, c.want) {
			t.Errorf("%s: %+v, want %q", name, one, c.want)
		}
	}
	if got := events(t, desk.Dir()); len(got) != lines || got[lines-1].Type == state.TypeContinued {
		t.Errorf("%d events were recorded, the last is %s", len(got)-lines, got[len(got)-1].Type)
	}
	// What is good in a file is taken, whatever else is in it.
	mixed := bytes.Replace(g.files["all"], []byte(signature), []byte(byStranger), 1)
	collected, err := desk.Collect(mixed)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range collected.Root.Signatures {
		if one.Wrong != (one.KeyID == alice) || one.Taken == one.Wrong {
			t.Errorf("%+v", one)
		}
	}
}

// Signatures come without what they sign: one, a list, or the "signatures" of a file,
// with a byte order mark before them or not.
func TestDetachedSignatures(t *testing.T) {
	g := newGathering(t)
	f, err := tuf.Parse(g.files["all"])
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, sig := range f.Signatures {
		list = append(list, fmt.Sprintf(`{"keyid": %q, "sig": "%x"}`, sig.KeyID, sig.Sig))
	}
	all := strings.Join(list, ",")
	for name, c := range map[string]struct {
		text  string
		taken int
	}{
		"one":               {list[0], 1},
		"a list":            {"[" + all + "]", len(list)},
		"signatures":        {`{"signatures": [` + all + "]}", len(list)},
		"byte order mark":   {"\ufeff" + list[0], 1},
		"a root, with mark": {"\ufeff" + string(g.files["alice"]), 1},
	} {
		_, desk := g.duplicate()
		got, err := desk.Collect([]byte(c.text))
		if err != nil || len(got.Root.Signatures) != c.taken {
			t.Errorf("%s: %v, %+v", name, err, got)
			continue
		}
		for _, one := range got.Root.Signatures {
			if !one.Taken {
				t.Errorf("%s: %+v", name, one)
			}
		}
	}
	_, desk := g.duplicate()
	for _, empty := range []string{"[{}]", `{"signatures": []}`, `[{"keyid": "x"}]`} {
		if got, err := desk.Collect([]byte(empty)); err == nil {
			t.Errorf("%s: %+v", empty, got)
		}
	}
	both := fmt.Sprintf(`{"keyid": %q, "sig": "%x", "signatures": [%s]}`, f.Signatures[0].KeyID, f.Signatures[0].Sig, all)
	if got, err := desk.Collect([]byte(both)); err == nil || !strings.Contains(err.Error(), "it is a signature and a list of signatures at once") {
		t.Errorf("both: %v, %+v", err, got)
	}
	var wrong []string // of which a message names a few
	for n := range 40 {
		wrong = append(wrong, fmt.Sprintf(`{"keyid": "%08x%056d", "sig": "%0128x"}`, n, 0, n))
	}
	_, err = desk.Collect([]byte("[" + strings.Join(wrong, ",") + "]"))
	if err == nil || strings.Count(err.Error(), "key 0") != 5 {
		t.Errorf("many wrong ones: %v", err)
	}
}

// Two copies of the directory go on by themselves, and each collects what was
// signed at the other, as it lies there: both publish the same root.
func TestSignaturesOfTwoCopies(t *testing.T) {
	g := newGathering(t)
	for _, way := range []string{"folder", "files"} {
		one, here := g.duplicate()
		two, there := g.duplicate()
		for desk, ids := range map[*ceremony.Desk][]string{here: g.signers[:2], there: g.signers[2:]} {
			for _, id := range ids {
				forgetCards(g.script)
				if err := desk.Run(t.Context(), "sign "+id, g.script); err != nil {
					t.Fatal(err)
				}
			}
		}
		here.Close()
		for _, s := range []*stage{one, two} { // as it was before the other one collects
			if err := os.CopyFS(s.dir+".then", os.DirFS(s.dir)); err != nil {
				t.Fatal(err)
			}
		}
		here, err := one.open(clock)
		if err != nil {
			t.Fatal(err)
		}
		desks := map[*stage]*ceremony.Desk{one: here, two: there}
		var roots [][]byte
		for s, other := range map[*stage]*stage{one: two, two: one} {
			desk := desks[s]
			want := len(desk.State().Signatures())
			if way == "folder" {
				taken, err := desk.CollectFolder(other.dir + ".then")
				if err != nil || !strings.Contains(taken.Text, "a copy of this ceremony's directory, which went on by itself: only its signatures are taken") || len(taken.Parts) != 5-want {
					t.Fatalf("%v: %+v", err, taken)
				}
				for _, part := range taken.Parts {
					if part.Err != nil || part.Root == nil || len(part.Root.Signatures) != 1 || !part.Root.Signatures[0].Taken || part.Root.Alarm != "" {
						t.Errorf("%+v", part)
					}
				}
				if taken, err = desk.CollectFolder(other.dir + ".then"); err != nil || taken.Parts[0].Root.Signatures[0].Taken {
					t.Errorf("a second time: %v: %+v", err, taken)
				}
			} else {
				files, _ := filepath.Glob(filepath.Join(other.dir+".then", "metadata", "*", "*.sig.json"))
				if len(files) != 5-want {
					t.Fatalf("%v", files)
				}
				for _, name := range files {
					text, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					if collected, err := desk.Collect(text); err != nil || !collected.Root.Signatures[0].Taken {
						t.Errorf("%v: %+v", err, collected)
					}
				}
			}
			if err := desk.Run(t.Context(), "publish", g.script); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(s.dir, state.PublishDir, "2.root.json"))
			if err != nil {
				t.Fatal(err)
			}
			roots = append(roots, text)
		}
		if !bytes.Equal(roots[0], roots[1]) || !bytes.Equal(roots[0], g.files["all"]) {
			t.Errorf("%s: two roots were published", way)
		}
	}
}

// What is in a folder besides, and what is no folder to collect.
func TestFoldersThatAreCollected(t *testing.T) {
	g := newGathering(t)
	away := g.elsewhere(t)
	g.signs(t, away, "alice")
	there, desk := g.duplicate()
	taken, err := desk.CollectFolder(away.Dir())
	if err != nil || !strings.Contains(taken.Text, "another ceremony") || len(taken.Parts) != 1 || taken.Parts[0].Root == nil || !strings.Contains(taken.Parts[0].Root.Alarm, "is signed by Alice Costa") {
		t.Errorf("%v: %+v", err, taken)
	}
	if _, err := desk.CollectFolder(there.dir); err == nil || !strings.Contains(err.Error(), "the directory of this ceremony itself") {
		t.Error(err)
	}
	if _, err := desk.CollectFolder(t.TempDir()); err == nil || !strings.Contains(err.Error(), "of folders only ceremony directories are collected") {
		t.Error(err)
	}
	// A draft without signatures, and signatures without their draft.
	copied, _ := g.duplicate()
	taken, err = desk.CollectFolder(copied.dir)
	if err != nil || len(taken.Parts) != 1 || !strings.Contains(taken.Parts[0].Skipped, "there is no signature in it") {
		t.Errorf("%v: %+v", err, taken)
	}
	sig, _ := filepath.Glob(filepath.Join(g.copy.dir, "metadata", "*", "alice.*.sig.json"))
	text, err := os.ReadFile(sig[0])
	if err == nil {
		err = disk.WriteWithin(copied.dir, "metadata/00000000/alice.sig.json", text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	taken, err = desk.CollectFolder(copied.dir)
	if err != nil || len(taken.Parts) != 2 || !strings.Contains(taken.Parts[0].Skipped, "the draft is not in it") {
		t.Errorf("%v: %+v", err, taken)
	}
	// One file that cannot be read does not stop the others.
	drafts, _ := filepath.Glob(filepath.Join(away.Dir(), "metadata", "*"))
	if err := syscall.Mkfifo(filepath.Join(drafts[0], "a.hostile.sig.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err = desk.CollectFolder(away.Dir())
	if err != nil || len(taken.Parts) != 2 || taken.Parts[0].Err == nil || !strings.Contains(taken.Parts[0].Err.Error(), "a pipe") || taken.Parts[1].Root == nil {
		t.Errorf("%v: %+v", err, taken)
	}
	// The file of a signature over something else.
	f, err := tuf.Parse(assembled(t, away, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	other := fmt.Appendf(nil, `{"keyid": %q, "sig": "%x"}`, f.Signatures[0].KeyID, f.Signatures[0].Sig)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"over another root": {other, "neither of the live draft nor of an abandoned one"},
		"cut off":           {other[:len(other)-1], "no JSON, or cut off"},
		"two in one":        {append(slices.Clone(text), text...), "no JSON, or cut off"},
		"something else":    {[]byte(`{"a": "\"signatures\" rootceremony enrolment"}`), `no enrolment file (with "format"), no root file (with "signed" and "signatures") and no signature file (with "keyid" and "sig")`},
		"a list":            {[]byte(`["format", "signed"]`), "no enrolment file (with"},
		"a root, cut off":   {g.files["all"][:len(g.files["all"])/2], "line "},
		"signed alone":      {[]byte(`{"signed": {}}`), "no enrolment file (with"},
	} {
		if _, err := desk.Collect(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A signature by a key that nobody should have is valid, and says that the plan
// is wrong.
func TestSignaturesByLostAndStolenKeys(t *testing.T) {
	g := newGathering(t)
	var people []member
	s := g.desk.State()
	for _, h := range s.Plan.Holders[:2] {
		people = append(people, member{name: h.Name, token: h.Token, key: h.KeyID})
	}
	for i, d := range s.Plan.Drops {
		people = append(people, member{name: d.Name, token: d.Token, key: d.KeyID, drop: []string{agreed.Lost, agreed.Stolen, agreed.Retired}[i]})
	}
	desk := g.planned(t, following(agreed.Rotate, "[root]\nexpires = \"365d\"\nthreshold = 2\n", people...))
	there := &stage{t: t, dir: desk.Dir(), drawer: g.drawer, shared: g.tokens()}
	for i, want := range []string{"SOMEBODY HAS THIS KEY: the plan says it is lost", "the plan says it is stolen: anyone who has it may have signed this", ""} {
		id := s.Plan.Drops[i].ID
		file := there.signedElsewhere(g.script, id)
		exceptions := desk.State().Exceptions
		collected, err := desk.Collect(file)
		if err != nil {
			t.Fatal(err)
		}
		one := collected.Root.Signatures[0]
		if !one.Taken || !strings.Contains(one.Text, "it counts for the old root only") || !strings.HasPrefix(one.Text, want) ||
			one.Alarm != want || (collected.Root.Alarm != "") != (want != "") || (desk.State().Exceptions > exceptions) != (want != "") {
			t.Errorf("%d: %+v, %d exceptions more", i, collected.Root, desk.State().Exceptions-exceptions)
		}
		if got := desk.State().Counts()[0].Have; got != i+1 {
			t.Errorf("%d signatures count for the old root", got)
		}
		exceptions = desk.State().Exceptions
		if again, err := desk.Collect(file); err != nil || again.Root.Alarm != "" || desk.State().Exceptions != exceptions {
			t.Errorf("again: %v: %+v", err, again)
		}
	}
}

// Dropped keys count for the old root alone, however many of them sign.
func TestDroppedKeysCountForTheOldRoot(t *testing.T) {
	g := newGathering(t)
	_, desk := g.duplicate()
	var said string
	for _, id := range g.signers {
		if !strings.HasPrefix(id, "old-") {
			continue
		}
		collected, err := desk.Collect(g.files[id])
		if err != nil || !strings.Contains(collected.Root.Signatures[0].Text, "it counts for the old root only") {
			t.Fatalf("%v: %+v", err, collected)
		}
		said = collected.Root.Counts
	}
	if err := desk.Run(t.Context(), "sign "+desk.State().Plan.Drops[2].ID, g.script); err != nil {
		t.Fatal(err)
	}
	if counts := desk.State().Counts(); counts[0].Have != 3 || counts[1].Have != 0 || desk.State().Enough() {
		t.Errorf("%+v", counts)
	}
	if !strings.Contains(said, "old root: 2 of 3") || !strings.Contains(said, "new root: 0 of 2") {
		t.Error(said)
	}
	if err := desk.Run(t.Context(), "publish", g.script); err == nil || !strings.Contains(err.Error(), "has 3 of 3 for the old root, and 0 of 2 for the new one") {
		t.Errorf("published: %v", err)
	}
}

// Before there is anything to sign, nothing is taken.
func TestSignaturesThatComeEarly(t *testing.T) {
	g := newGathering(t)
	desk := g.anew(clock)
	if _, err := desk.Collect(g.files["alice"]); err == nil || !strings.Contains(err.Error(), "the plan is not agreed yet") {
		t.Errorf("before the plan: %v", err)
	}
	for _, id := range []string{"preflight", "agree"} {
		if err := desk.Run(t.Context(), id, g.script); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := desk.Collect(g.files["alice"]); err == nil || !strings.Contains(err.Error(), "there is no draft yet") {
		t.Errorf("before the draft: %v", err)
	}
}

// anew is a directory with the same plan and the same trusted root, in which
// nothing has begun.
func (s *stage) anew(clock func() time.Time) *ceremony.Desk {
	t := s.t
	t.Helper()
	again := &stage{t: t, dir: t.TempDir(), drawer: s.drawer, shared: s.tokens()}
	for _, name := range []string{state.PlanFile, agreed.TrustedDir + "/1.root.json"} {
		text, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(name)))
		if err == nil {
			err = disk.WriteWithin(again.dir, name, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	desk, err := again.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = desk.Close() })
	return desk
}
