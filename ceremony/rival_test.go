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
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// elsewhere is a directory of the same project with another plan for the same
// version, in which all five old holders stay and three sign.
func (g *gathering) elsewhere(t testing.TB) *ceremony.Desk {
	t.Helper()
	var people []member
	s := g.desk.State()
	for _, h := range s.Plan.Holders[:2] {
		people = append(people, member{name: h.Name, token: h.Token, key: h.KeyID})
	}
	for _, d := range s.Plan.Drops {
		people = append(people, member{name: d.Name, token: d.Token, key: d.KeyID})
	}
	return g.planned(t, following(agreed.Rotate, "", people...))
}

// planned is a directory of the same project with a plan, before anybody signs.
func (g *gathering) planned(t testing.TB, plan string) *ceremony.Desk {
	t.Helper()
	other := &stage{t: t, dir: t.TempDir(), drawer: g.drawer, shared: g.tokens()}
	trusted, err := os.ReadFile(filepath.Join(g.dir, agreed.TrustedDir, "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{agreed.TrustedDir + "/1.root.json": trusted, state.PlanFile: []byte(plan)} {
		if err := disk.WriteWithin(other.dir, name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	desk, err := other.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = desk.Close() })
	runToSigning(t, desk, g.script)
	return desk
}

// signs has these sign in a directory, and returns the partly signed root.
func (g *gathering) signs(t testing.TB, desk *ceremony.Desk, ids ...string) []byte {
	t.Helper()
	for _, id := range ids {
		if err := desk.Run(t.Context(), "sign "+id, g.script); err != nil {
			t.Fatal(err)
		}
	}
	return assembled(t, desk, ids...)
}

// alarmed collects a file that is another root of this version.
func alarmed(t testing.TB, desk *ceremony.Desk, file []byte, want ...string) {
	t.Helper()
	collected, err := desk.Collect(file)
	if err != nil {
		t.Fatal(err)
	}
	r := collected.Root
	if !r.Rival || r.Alarm == "" {
		t.Errorf("nobody was alarmed: %+v", r)
	}
	for _, part := range want {
		if !strings.Contains(r.Alarm, part) {
			t.Errorf("%q was not said: %s", part, r.Alarm)
		}
	}
	for _, sig := range r.Signatures {
		if !sig.Wrong || sig.Taken {
			t.Errorf("%+v", sig)
		}
	}
	if said := fmt.Sprintf("%+v", r); strings.Contains(said, "have that signed") || strings.Contains(said, "the root is good without it") {
		t.Error(said)
	}
}

// Somebody has signed another root of the version that is made here: that is
// said and kept, and they sign nothing else. Once it has all its signatures,
// nothing is signed or published here.
func TestAnotherRootOfTheSameVersion(t *testing.T) {
	g := newGathering(t)
	away := g.elsewhere(t)
	byAlice := g.signs(t, away, "alice")
	there, desk := g.duplicate()
	alarmed(t, desk, byAlice, "another root of version 2", away.State().Draft.Digest, "is signed by Alice Costa")
	lines := len(events(t, there.dir))
	alarmed(t, desk, byAlice, "is signed by Alice Costa") // loud also when it is known
	if got := len(events(t, there.dir)); got != lines {
		t.Errorf("%d more events", got-lines)
	}
	if task := taskOf(t, desk, "sign alice"); task.State != prompt.Blocked || !strings.Contains(task.Reason, "Alice Costa has signed another root of version 2") {
		t.Errorf("%+v", task)
	}
	for _, f := range ceremony.CountFacts(desk.State()) {
		if f.Label == "Can help" && (strings.Contains(f.Value, "Alice") || !strings.Contains(f.Value, "Bruno")) {
			t.Errorf("who can help: %s", f.Value)
		}
	}
	// What Alice signs of the live draft all the same does not count.
	collected, err := desk.Collect(g.files["alice"])
	if err != nil || collected.Root.Signatures[0].Taken || !strings.Contains(collected.Root.Signatures[0].Text, "it was kept, and does not count") || desk.State().Counts()[0].Have != 0 {
		t.Errorf("%v: %+v", err, collected)
	}
	if err := desk.Close(); err != nil { // and all of it stands in the log
		t.Fatal(err)
	}
	if desk, err = there.open(clock); err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	if r := desk.State().Rivals; len(r) != 1 || r[0].Complete || !slices.Equal(r[0].By, []string{"alice"}) {
		t.Fatalf("%+v", r)
	}
	// The others still make the root.
	for _, id := range g.signers[1:] {
		if _, err := desk.Collect(g.files[id]); err != nil {
			t.Fatal(err)
		}
	}
	if !desk.State().Enough() || taskOf(t, desk, "publish").State != prompt.Ready {
		t.Fatalf("%+v", desk.State().Counts())
	}
	complete := g.signs(t, away, "bruno", "chen")
	alarmed(t, desk, complete, "has all its signatures") // with Alice's
	whole := assembled(t, away, "alice", "bruno", "chen")
	alarmed(t, desk, whole, "has all its signatures", "would part the clients for good")
	for _, id := range []string{"publish", "sign " + desk.State().Plan.Drops[2].ID} {
		task := taskOf(t, desk, id)
		if task.State != prompt.Blocked || !strings.Contains(task.Reason, "has all its signatures") {
			t.Errorf("%+v", task)
		}
	}
}

// After the root is published, sealed, and even closed, another one is never
// called good to do without.
func TestAnotherRootThatComesLate(t *testing.T) {
	g := newGathering(t)
	away := g.elsewhere(t)
	byAlice := g.signs(t, away, "alice")
	g.signs(t, away, "bruno", "chen")
	whole := assembled(t, away, "alice", "bruno", "chen")
	_, desk := g.duplicate()
	if _, err := desk.Collect(g.files["all"]); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "publish", g.script); err != nil {
		t.Fatal(err)
	}
	alarmed(t, desk, byAlice, "is signed by Alice Costa")
	if err := runAll(desk, g.script); err != nil {
		t.Fatal(err)
	}
	alarmed(t, desk, whole, "there are two roots of version 2 now")
	if len(desk.State().Rivals) != 1 || !desk.State().Rivals[0].Complete {
		t.Errorf("%+v", desk.State().Rivals)
	}
}

// An abandoned draft that is completed after the seal is another root too.
func TestAbandonedDraftAfterTheSeal(t *testing.T) {
	g := newGathering(t)
	there, desk := g.duplicate()
	g.abandon(t, desk, "")
	g.farahStartsOver(t, desk)
	if _, err := desk.Collect(g.files["alice"]); err != nil {
		t.Fatal(err)
	}
	g.signs(t, desk, "bruno", desk.State().Plan.Drops[0].ID, desk.State().Plan.Drops[2].ID, "farah")
	for _, id := range []string{"publish", "seal"} {
		if err := desk.Run(t.Context(), id, g.script); err != nil {
			t.Fatal(err)
		}
	}
	alarmed(t, desk, g.files["farah"], "is signed by Farah Aziz")
	alarmed(t, desk, g.files[desk.State().Plan.Drops[1].ID], "is signed by Dana")
	alarmed(t, desk, g.files["bruno"], "there are two roots of version 2 now")
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := there.open(clock); err != nil {
		t.Error(err)
	}
}

// A root of strangers is none of ours; one that names other keys under our ids
// is signed by whose key it is.
func TestRootsOfStrangers(t *testing.T) {
	g := newGathering(t)
	away := g.elsewhere(t)
	byAlice, err := tuf.Parse(g.signs(t, away, "alice"))
	if err != nil {
		t.Fatal(err)
	}
	there, desk := g.duplicate()
	before := desk.Checkpoint()
	private := modelKey("stranger", 0)
	key, err := tuf.NewKey(modelPublic(t, private))
	if err != nil {
		t.Fatal(err)
	}
	theirs := byAlice.Root.Next()
	theirs.Version, theirs.Expires = 2, byAlice.Root.Expires
	theirs.SetRehearsal(true)
	replacedKey := theirs.Roles[tuf.RoleRoot].KeyIDs[0]
	theirs.Roles[tuf.RoleRoot] = tuf.Role{KeyIDs: append([]string{key.ID}, theirs.Roles[tuf.RoleRoot].KeyIDs[1:]...), Threshold: 1}
	theirs.Keys = slices.DeleteFunc(append(theirs.Keys, key), func(k tuf.Key) bool { return k.ID == replacedKey })
	signature := hex.EncodeToString(ed25519.Sign(private, theirs.Canonical()))
	file := func(sigs string) []byte {
		return fmt.Appendf(nil, `{"signatures":[%s],"signed":%s}`, sigs, theirs.Canonical())
	}
	stranger := fmt.Sprintf(`{"keyid":%q,"sig":%q}`, key.ID, signature)
	alice := byAlice.Signatures[0]
	claims := fmt.Sprintf(`{"keyid":%q,"sig":%q}`, alice.KeyID, hex.EncodeToString(alice.Sig)) // over another root
	for name, sigs := range map[string]string{"nobody": "", "a stranger": stranger, "a stranger, who claims to be Alice": claims + "," + stranger} {
		_, err := desk.Collect(file(sigs))
		if err == nil || !strings.Contains(err.Error(), "it is another draft") || !strings.Contains(err.Error(), "nobody here has signed it") || strings.Contains(err.Error(), "have that signed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if desk.Checkpoint() != before {
		t.Error("something was recorded")
	}
	// The fold takes no rival of nobody, of a wrong signer, or without its bytes.
	source := strings.Repeat("0", 64)
	good := state.SignatureRival{Holder: "alice", Version: 2, Digest: away.State().Draft.Digest, KeyID: alice.KeyID, Signature: hex.EncodeToString(alice.Sig), Source: source, Signed: string(byAlice.Signed)}
	for name, change := range map[string]func(*state.SignatureRival){
		"as it is":        func(r *state.SignatureRival) {},
		"another holder":  func(r *state.SignatureRival) { r.Holder = "bruno" },
		"nobody":          func(r *state.SignatureRival) { r.Holder = "" },
		"no bytes":        func(r *state.SignatureRival) { r.Signed = "" },
		"other bytes":     func(r *state.SignatureRival) { r.Signed = strings.Replace(r.Signed, "{", "{ ", 1) },
		"another digest":  func(r *state.SignatureRival) { r.Digest = source },
		"another version": func(r *state.SignatureRival) { r.Version = 3 },
		"a wrong one":     func(r *state.SignatureRival) { r.Signature = signature },
		"the live draft":  func(r *state.SignatureRival) { r.Digest = desk.State().Draft.Digest },
		"of a stranger": func(r *state.SignatureRival) {
			r.Holder, r.KeyID, r.Signature, r.Signed = "", key.ID, signature, string(theirs.Canonical())
		},
		"too large a root": func(r *state.SignatureRival) { r.Signed += strings.Repeat(" ", 1<<17) },
	} {
		event := good
		change(&event)
		data, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		_, err = desk.State().With(transcript.Event{Seq: 999, Type: state.TypeSigRival, Data: data})
		if (err == nil) != (name == "as it is") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Before there is a draft nothing is recorded, and it is said who has signed.
	early := there.anew(clock)
	for _, id := range []string{"preflight", "agree"} {
		if err := early.Run(t.Context(), id, g.script); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := early.Collect(assembled(t, away, "alice")); err == nil || !strings.Contains(err.Error(), "signed by Alice Costa") || !strings.Contains(err.Error(), "collect it again then") {
		t.Errorf("before the draft: %v", err)
	}
	// A real root and a rehearsal do not mix.
	real := bytes.Replace(file(stranger), []byte(`,"x-rehearsal":true`), nil, 1)
	if _, err := desk.Collect(real); err == nil || !strings.Contains(err.Error(), "it is a real root, and this is a rehearsal") {
		t.Errorf("%v", err)
	}
}

// A root of a rehearsal is none of a real ceremony.
func TestRehearsalsRootInARealCeremony(t *testing.T) {
	s := newStage(t)
	s.real = true
	_, desk := s.opened()
	runToSigning(t, desk, &prompt.Script{Answers: map[string]string{"preflight.failed": "waive", "preflight.why": "it is a test"}})
	root := desk.State().Root.Next()
	root.Version = 1
	root.SetRehearsal(true)
	text, err := tuf.Assemble(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Collect(text); err == nil || !strings.Contains(err.Error(), "it is a root of a rehearsal, and this is a real ceremony") {
		t.Error(err)
	}
}
