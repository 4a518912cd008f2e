package ceremony_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/interview"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// person answers an interview from a script. An answer may be several lines:
// those but the last are to be refused. At a question that the script does not
// know they leave.
type person struct {
	t       testing.TB
	script  map[string]string
	asked   []string
	refused []string
	said    strings.Builder
}

func (a *person) hear(m prompt.Message) {
	fmt.Fprintln(&a.said, m.Title)
	for _, f := range m.Facts {
		fmt.Fprintf(&a.said, "%s: %s\n", f.Label, f.Value)
	}
	for _, line := range slices.Concat(m.Text, m.Lines, m.Commands) {
		fmt.Fprintln(&a.said, line)
	}
}

func (a *person) next(p prompt.Prompt) (string, error) {
	a.hear(p.Message)
	fmt.Fprintln(&a.said, p.Question)
	a.asked = append(a.asked, p.ID)
	if p.Question == "" {
		a.t.Errorf("%s: no question", p.ID)
	}
	line, ok := a.script[p.ID]
	if !ok {
		return "", prompt.ErrLeft
	}
	return line, nil
}

func (a *person) Ask(_ context.Context, p prompt.Prompt, check func(string) error) (string, error) {
	text, err := a.next(p)
	if err != nil {
		return "", err
	}
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] {
		err := check(line)
		if err == nil {
			a.t.Errorf("%s: %q was accepted", p.ID, line)
			continue
		}
		a.refused = append(a.refused, fmt.Sprintf("%s: %v", p.ID, err))
	}
	line := lines[len(lines)-1]
	if err := check(line); err != nil {
		return "", fmt.Errorf("%s: %q: %w", p.ID, line, err)
	}
	return line, nil
}

func (a *person) Choose(_ context.Context, p prompt.Prompt, choices []prompt.Choice) (string, error) {
	text, err := a.next(p)
	if err != nil {
		return "", err
	}
	for _, c := range choices {
		if c.Key == text {
			fmt.Fprintln(&a.said, c.Label)
			return text, nil
		}
	}
	return "", fmt.Errorf("%s: %q is no choice of %v", p.ID, text, choices)
}

func (a *person) Confirm(_ context.Context, p prompt.Prompt) (bool, error) {
	text, err := a.next(p)
	return text == "yes", err
}

func (a *person) Tell(_ context.Context, m prompt.Message) error { a.hear(m); return nil }
func (a *person) Type(context.Context, prompt.Prompt, string) error {
	panic("nothing is typed off in an interview")
}
func (a *person) WaitForTouch(context.Context, prompt.Prompt, bool) error {
	panic("no tokens in an interview")
}
func (a *person) WaitForToken(context.Context, prompt.TokenWait) (keys.Info, error) {
	panic("no tokens in an interview")
}
func (a *person) AskSecret(context.Context, prompt.Prompt, func(*secret.Buffer) error) (*secret.Buffer, error) {
	panic("no secrets in an interview")
}

// interview has the interview answered from a script, and writes what it comes
// to.
func interviewed(t testing.TB, dir, kind string, script map[string]string) (*person, *interview.Outcome, error) {
	t.Helper()
	a := &person{t: t, script: script}
	come, err := interview.Hold(t.Context(), a, dir, kind, noon)
	if err != nil {
		if come != nil {
			t.Errorf("an error, and files: %v", come.Files)
		}
		return a, nil, err
	}
	if err := come.Write(dir); err != nil {
		t.Fatal(err)
	}
	a.hear(come.After)
	return a, come, nil
}

// seeded is the key that a word stands for.
func seeded(word string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(word))
	return ed25519.NewKeyFromSeed(seed[:])
}

func publicWord(t testing.TB, word string) keys.PublicKey {
	t.Helper()
	public, err := keys.FromCrypto(seeded(word).Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func tufKey(t testing.TB, word string) tuf.Key {
	t.Helper()
	key, err := tuf.NewKey(publicWord(t, word))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// wordsOf are "root 1" to "root n".
func wordsOf(name string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprint(name, " ", i+1))
	}
	return all
}

// newChain writes a chain of versions to dir/trusted. roles has the words of
// each role's keys; the threshold is of the root role. It returns the root keys'
// ids.
func newChain(t testing.TB, dir string, versions, threshold int, expires time.Time, roles map[string][]string) []string {
	t.Helper()
	root := &tuf.Root{Version: 1, SpecVersion: tuf.SpecVersion, Expires: expires, ConsistentSnapshot: true, Roles: map[string]tuf.Role{}}
	for _, name := range tuf.RoleNames {
		role := tuf.Role{Threshold: 1}
		if len(roles[name]) == 2 {
			role.Threshold = 2
		}
		if name == tuf.RoleRoot {
			role.Threshold = threshold
		}
		for _, word := range roles[name] {
			key := tufKey(t, word)
			role.KeyIDs = append(role.KeyIDs, key.ID)
			if _, there := root.Key(key.ID); !there {
				root.Keys = append(root.Keys, key)
			}
		}
		root.Roles[name] = role
	}
	for {
		var sigs []tuf.Signature
		for _, word := range roles[tuf.RoleRoot][:threshold] {
			sigs = append(sigs, tuf.Signature{KeyID: tufKey(t, word).ID, Sig: ed25519.Sign(seeded(word), root.Canonical())})
		}
		text, err := tuf.Assemble(root, sigs)
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, fmt.Sprintf("trusted/%d.root.json", root.Version), text)
		if root.Version == int64(versions) {
			return root.Roles[tuf.RoleRoot].KeyIDs
		}
		root = root.Next()
	}
}

// put writes a file below dir.
func put(t testing.TB, dir, name string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// putKey writes the key file of a word.
func putKey(t testing.TB, dir, name, word string) {
	t.Helper()
	put(t, dir, name, []byte(hex.EncodeToString(seeded(word).Public().(ed25519.PublicKey))+"\n"))
}

// nextYear is when test chains expire.
var nextYear = noon.AddDate(1, 0, 0)

// usualRoles are n root keys and three online ones.
func usualRoles(n int) map[string][]string {
	return map[string][]string{"root": wordsOf("root", n), "timestamp": {"timestamp"}, "snapshot": {"snapshot"}, "targets": {"targets"}}
}

// finished is the directory of a ceremony on virtual tokens that has published
// version 1 of five holders with backups, made once for all tests. Nobody
// writes to it.
var finished struct {
	sync.Mutex
	dir string
}

// earlierCeremony is finished, and the ids of its root keys in the order of its
// holders, Alice to Emil.
func earlierCeremony(t testing.TB) (string, []string) {
	t.Helper()
	finished.Lock()
	defer finished.Unlock()
	if finished.dir == "" {
		s, desk := withBackups(t)
		if err := runAll(desk, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
		_ = desk.Close()
		dir, err := os.MkdirTemp("", "finished-") // removed with all others by TestMain
		if err == nil {
			err = os.CopyFS(dir, os.DirFS(s.dir))
		}
		if err != nil {
			t.Fatal(err)
		}
		finished.dir = dir
	}
	dir := finished.dir
	chain, err := plan.ReadTrusted(filepath.Join(dir, "publish"))
	if err != nil {
		t.Fatal(err)
	}
	return dir, chain.Last.Root.Roles[tuf.RoleRoot].KeyIDs
}

// drafted reads the plan that was written as the ceremony will, and drafts its
// root with keys of its new holders.
func drafted(t testing.TB, dir string) (*agreed.Plan, *tuf.Root) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, state.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	planned, err := plan.Read(filepath.Join(dir, state.PlanFile))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	r, err := planned.Resolve(noon)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	again, err := agreed.Parse(r.JSON(), r.PrivateJSON())
	if err != nil || again.Digest() != r.Digest() {
		t.Fatalf("the agreed plan cannot be read: %v", err)
	}
	fresh := map[string]keys.PublicKey{}
	for _, h := range r.Holders {
		if h.Custody != agreed.Existing {
			fresh[h.ID] = publicWord(t, "new "+h.ID)
		}
	}
	root, err := r.Draft(fresh, r.Expires)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return r, root
}

// leaveEverywhere leaves at every question that is asked, in turn: nothing may
// be written.
func leaveEverywhere(t *testing.T, dir, kind string, script map[string]string, asked []string) {
	t.Helper()
	before := listDir(t, dir)
	for _, id := range asked {
		less := map[string]string{}
		for k, v := range script {
			if k != id {
				less[k] = v
			}
		}
		a, _, err := interviewed(t, dir, kind, less)
		if !errors.Is(err, prompt.ErrLeft) || a.asked[len(a.asked)-1] != id {
			t.Errorf("left at %s: %v, after %v", id, err, a.asked)
		}
	}
	if after := listDir(t, dir); !slices.Equal(after, before) {
		t.Errorf("leaving wrote: %v, before %v", after, before)
	}
}

func listDir(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A renewal is a handful of answers: names where nobody knows them, and none
// where an earlier ceremony does.
func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	ids := newChain(t, dir, 3, 3, nextYear, usualRoles(5))
	script := map[string]string{
		"plan.earlier": "nowhere\n", "plan.trusted": "elsewhere\nkeys\n", "plan.name": "\nExample packages", "plan.changes": "no",
		"plan.key.name 1": "\nAlice", "plan.key.name 2": "alice\nBruno", "plan.key.name 3": "陈伟", "plan.key.name 4": "Dana Okafor", "plan.key.name 5": "Dana Silva",
		"plan.key.token 1": "", "plan.key.token 2": "B-02", "plan.key.token 3": "b-02\n", "plan.key.token 4": "none", "plan.key.token 5": "E-05",
		"plan.expires": "yesterday\n",
	}
	put(t, dir, "keys/none", nil)
	a, _, err := interviewed(t, dir, agreed.Rotate, script)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.said.String())
	}
	if len(a.asked) != 15 || len(a.refused) != 1+2+1+1+1+1+1 {
		t.Errorf("asked %v, refused:\n%s", a.asked, strings.Join(a.refused, "\n"))
	}
	for _, want := range []string{"1 to 3, each verified by the one before", "2027-11-22T12:00:00Z", "5, of which 3 must sign", fmt.Sprintf("key %.8s, ed25519", ids[4])} {
		if !strings.Contains(a.said.String(), want) {
			t.Errorf("nobody said %q:\n%s", want, a.said.String())
		}
	}
	r, root := drafted(t, dir)
	role := root.Roles[tuf.RoleRoot]
	if root.Version != 4 || !slices.Equal(role.KeyIDs, ids) || role.Threshold != 3 || len(r.Roles) != 0 || len(r.Drops) != 0 || len(root.Keys) != 8 {
		t.Errorf("%+v", root)
	}
	var holders []string
	for _, h := range r.Holders {
		holders = append(holders, h.ID+" "+h.Token)
	}
	if !slices.Equal(holders, []string{"alice ", "bruno B-02", fmt.Sprintf("key-%.8s ", ids[2]), "dana ", "dana-silva E-05"}) {
		t.Errorf("holders %q", holders)
	}
	leaveEverywhere(t, freshLike(t, dir), agreed.Rotate, script, a.asked)

	earlier, ids := earlierCeremony(t)
	dir = t.TempDir()
	a, _, err = interviewed(t, dir, agreed.Rotate, map[string]string{"plan.earlier": earlier, "plan.trusted": "", "plan.name": "", "plan.changes": "no", "plan.expires": "30d"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a renewal with an earlier ceremony: %d answers", len(a.asked))
	if len(a.asked) > 5 {
		t.Errorf("asked %v", a.asked)
	}
	r, root = drafted(t, dir)
	if r.Name != "Example packages" || root.Version != 2 || !slices.Equal(root.Roles[tuf.RoleRoot].KeyIDs, ids) || !root.Expires.Equal(time.Date(2026, 12, 23, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%q %+v", r.Name, root)
	}
	if h := r.Holders[1]; h.Name != "Bruno Ferraz" || h.ID != "bruno" || h.Token != "B-02" || h.Site != "Lisbon" || h.Custody != agreed.Existing || h.KeyID != ids[1] {
		t.Errorf("%+v", h)
	}
}

// freshLike is a folder with the chain and keys of dir, and no plan.
func freshLike(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{state.PlanFile, "notice.md"} {
		if err := os.Remove(filepath.Join(to, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return to
}

// Everything that can change does.
func TestRotateInterview(t *testing.T) {
	dir := t.TempDir()
	ids := newChain(t, dir, 2, 3, nextYear, usualRoles(5))
	putKey(t, dir, "keys/timestamp.pub", "other timestamp")
	putKey(t, dir, "keys/second.pub", "second timestamp")
	script := map[string]string{
		"plan.earlier": "", "plan.trusted": "trusted/1.root.json", "plan.name": "Example packages", "plan.changes": "yes",
		"plan.key 1": "stays", "plan.key.name 1": "Alice Costa", "plan.key.token 1": "A-01",
		"plan.key 2": "stays", "plan.key.name 2": "Bruno Ferraz", "plan.key.token 2": ":x\na-01\n",
		"plan.key 3": "retired", "plan.key.name 3": "Chen Wei", "plan.key 4": "lost", "plan.key.name 4": "", "plan.key 5": "compromised", "plan.key.name 5": "",
		"plan.holders": "-1\n2", "plan.holder.name 3": "bruno ferraz\nFarah Aziz", "plan.holder.token 3": "a-01\nF-06", "plan.holder.site 3": "Oslo",
		"plan.holder.name 4": "Gustav Holm", "plan.holder.token 4": "G-07", "plan.holder.site 4": "",
		"plan.threshold": "5\n0\n2", "plan.backup": "yes", "plan.recipients": "0", "plan.quorum": "4\n1\n2", "plan.expires": "2027-06-01T00:00:00Z", "plan.touch": "cached",
		"plan.roles": "yes", "plan.role.timestamp": "keys/none.pub\nkeys/timestamp.pub, keys/second.pub", "plan.role.timestamp.threshold": "3\n2", "plan.role.snapshot": "", "plan.role.targets": "",
		"plan.witness": "Wanda Meyer",
	}
	a, _, err := interviewed(t, dir, agreed.Rotate, script)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.said.String())
	}
	if len(a.refused) != 2+1+1+1+2+2+1+1 {
		t.Errorf("refused:\n%s", strings.Join(a.refused, "\n"))
	}
	r, root := drafted(t, dir)
	// The chain that was named ends with version 1.
	if root.Version != 2 || r.Threshold != 2 || len(r.Persons) != 1 || r.Token.Touch != keys.TouchCached || r.Backup == nil || r.Backup.Quorum != 2 {
		t.Errorf("%+v", r)
	}
	role := root.Roles[tuf.RoleRoot]
	want := []string{ids[0], ids[1], tufKey(t, "new farah").ID, tufKey(t, "new gustav").ID}
	if !slices.Equal(role.KeyIDs, want) || role.Threshold != 2 {
		t.Errorf("root role %v, want %v", role, want)
	}
	if h := r.Holders; h[0].Token != "A-01" || h[1].Token != "" || h[0].Custody != agreed.Existing || h[2].Custody != agreed.BackedUp || h[2].Site != "Oslo" {
		t.Errorf("%+v", h)
	}
	var drops []string
	for _, d := range r.Drops {
		drops = append(drops, d.KeyID+d.Reason+d.Name)
	}
	if !slices.Equal(drops, []string{ids[2] + "retiredChen Wei", ids[3] + "lost", ids[4] + "compromised"}) {
		t.Errorf("drops %q", drops)
	}
	if ts := root.Roles[tuf.RoleTimestamp]; ts.Threshold != 2 || !slices.Equal(ts.KeyIDs, []string{tufKey(t, "other timestamp").ID, tufKey(t, "second timestamp").ID}) || len(r.Roles) != 1 {
		t.Errorf("timestamp %+v, changed %v", ts, r.Roles)
	}
	text, _ := os.ReadFile(filepath.Join(dir, state.PlanFile))
	for _, want := range []string{"# holders who must sign; it was 3", "# nobody can sign with it", "# the key stays as it is"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the plan does not say %q:\n%s", want, text)
		}
	}
	leaveEverywhere(t, freshLike(t, dir), agreed.Rotate, script, a.asked)
}

// Where keys are published something changes: the root key goes, somebody comes in its
// place, and the online roles get new keys.
func TestRotateInterviewWithPublishedKeys(t *testing.T) {
	dir := t.TempDir()
	publishing(t, dir)
	script := map[string]string{"plan.earlier": "", "plan.trusted": "", "plan.name": "Example packages", "plan.key 1": "compromised", "plan.key.name 1": "Alice Costa",
		"plan.holders": "0\n1", "plan.holder.name 1": "Farah Aziz", "plan.holder.token 1": "F-06", "plan.holder.site 1": "", "plan.backup": "no",
		"plan.expires": "", "plan.touch": "always", "revoke.keys": "yes", "plan.witness": ""}
	a, _, err := interviewed(t, dir, agreed.Rotate, script)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.said.String())
	}
	r, root := drafted(t, dir)
	if len(r.Drops) != 1 || r.Drops[0].Reason != agreed.Compromised || len(root.Roles[tuf.RoleRoot].KeyIDs) != 1 {
		t.Errorf("drops %+v, %+v", r.Drops, root.Roles)
	}
	for name, word := range allNew {
		signsFor(t, root, name, word)
	}
	leaveEverywhere(t, freshLike(t, dir), agreed.Rotate, script, a.asked)

	// The roles whose keys nobody published are asked for as ever.
	dir = t.TempDir()
	exposing(2, usualRoles(3), "timestamp", "root 2")(t, dir)
	script = map[string]string{"plan.earlier": "", "plan.trusted": "", "plan.name": "Example packages", "plan.holders": "0", "plan.threshold": "", "plan.expires": "", "revoke.keys": "yes", "plan.roles": "no", "plan.witness": "",
		"plan.key 1": "stays", "plan.key.name 1": "Alice Costa", "plan.key.token 1": "", "plan.key 2": "compromised", "plan.key.name 2": "", "plan.key 3": "stays", "plan.key.name 3": "Chen Wei", "plan.key.token 3": ""}
	a, _, err = interviewed(t, dir, agreed.Rotate, script)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.said.String())
	}
	if !strings.Contains(a.said.String(), "Do keys of the online roles (snapshot, targets) change?") {
		t.Errorf("the other roles were not asked for:\n%s", a.said.String())
	}
	if r, root = drafted(t, dir); len(r.Roles) != 1 || root.Roles["timestamp"].KeyIDs[0] != tufKey(t, "new timestamp").ID {
		t.Errorf("%+v", root.Roles)
	}

	// Of two that must sign for a role one is published: it goes, and the other one stays.
	dir = t.TempDir()
	roles := usualRoles(3)
	roles["timestamp"] = wordsOf("timestamp", 2)
	exposing(2, roles, "timestamp 1")(t, dir)
	script["plan.key 2"], script["plan.key.name 2"], script["plan.key.token 2"], script["plan.role.timestamp"] = "stays", "Bruno Ferraz", "", "\nkeys/timestamp.pub"
	a, _, err = interviewed(t, dir, agreed.Rotate, script)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.said.String())
	}
	if _, root = drafted(t, dir); !slices.Equal(root.Roles["timestamp"].KeyIDs, []string{tufKey(t, "timestamp 2").ID, tufKey(t, "new timestamp").ID}) {
		t.Errorf("%+v", root.Roles)
	}
	if !strings.Contains(a.said.String(), ", as its private half is published.") {
		t.Errorf("nobody said why:\n%s", a.said.String())
	}
}

// What cannot be rotated is said while it is asked for.
func TestRotateInterviewRefuses(t *testing.T) {
	dir := t.TempDir()
	newChain(t, dir, 3, 3, nextYear, usualRoles(3))
	stranger := t.TempDir()
	newChain(t, stranger, 3, 1, nextYear, map[string][]string{"root": {"stranger"}, "timestamp": {"a"}, "snapshot": {"b"}, "targets": {"c"}})
	text, err := os.ReadFile(filepath.Join(stranger, "trusted/3.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "forged"), os.DirFS(filepath.Join(dir, "trusted"))); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "forged/3.root.json", text)
	if err := os.CopyFS(filepath.Join(dir, "gap"), os.DirFS(filepath.Join(dir, "trusted"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "gap/2.root.json")); err != nil {
		t.Fatal(err)
	}
	script := map[string]string{
		"plan.earlier": "", "plan.trusted": "forged\ngap\n\x1b[m\ntrusted", "plan.name": "Example", "plan.changes": "yes",
		"plan.key 1": "stays", "plan.key.name 1": "Alice", "plan.key.token 1": "", "plan.key 2": "stays", "plan.key.name 2": "Bruno", "plan.key.token 2": "", "plan.key 3": "lost", "plan.key.name 3": "",
	}
	a, _, err := interviewed(t, dir, agreed.Rotate, script)
	if err == nil || !strings.Contains(err.Error(), "version 3 must be signed by 3 of its keys, and with these drops only 2 are left") {
		t.Errorf("%v", err)
	}
	said := strings.Join(a.refused, "\n")
	for _, want := range []string{"forged/3.root.json", "gap: 2.root.json is missing, though 3.root.json is there", "cannot be printed"} {
		if !strings.Contains(said, want) {
			t.Errorf("nobody said %q:\n%s", want, said)
		}
	}
	if slices.Contains(listDir(t, dir), state.PlanFile) {
		t.Error("a plan was written")
	}
}

// A root that follows another needs no folder before its plan: the last answer
// makes it. A first root needs the keys in it.
func TestPlanInAFolderThatIsNotThere(t *testing.T) {
	chain := t.TempDir()
	newChain(t, chain, 2, 3, nextYear, usualRoles(5))
	newOnline(t, chain)
	trusted := filepath.Join(chain, "trusted")
	for kind, script := range map[string]map[string]string{
		agreed.Revoke: with("token-stolen", "plan.trusted", "\ntrusted\n"+trusted, "revoke.which", "2"),
		agreed.Rotate: {"plan.earlier": "", "plan.trusted": "\ntrusted\n" + trusted, "plan.name": "Example", "plan.changes": "no", "plan.expires": "",
			"plan.key.name 1": "A", "plan.key.name 2": "B", "plan.key.name 3": "C", "plan.key.name 4": "D", "plan.key.name 5": "E",
			"plan.key.token 1": "", "plan.key.token 2": "", "plan.key.token 3": "", "plan.key.token 4": "", "plan.key.token 5": ""},
	} {
		dir := filepath.Join(t.TempDir(), "new", "folder")
		a, _, err := interviewed(t, dir, kind, script)
		if err != nil {
			t.Fatalf("%s: %v\n%s", kind, err, a.said.String())
		}
		if _, root := drafted(t, dir); root.Version != 3 {
			t.Errorf("%s: version %d", kind, root.Version)
		}
		if !strings.Contains(a.said.String(), "is made in the end: type whole paths") || strings.Contains(a.said.String(), "(Enter: trusted)") {
			t.Errorf("%s:\n%s", kind, a.said.String())
		}
		none := filepath.Join(t.TempDir(), "none")
		if _, _, err := interviewed(t, none, kind, map[string]string{}); !errors.Is(err, prompt.ErrLeft) {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := os.Stat(none); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: leaving made the folder: %v", kind, err)
		}
	}
	dir := filepath.Join(t.TempDir(), "new")
	a, _, err := interviewed(t, dir, agreed.Create, nil)
	if err == nil || !strings.Contains(err.Error(), "hint: make it, and put the public keys") || len(a.asked) > 0 {
		t.Errorf("%v, asked %v", err, a.asked)
	}
}

// A role's key file is taken from anywhere, and what is still to be made is a
// gap that the plan and people are told of: a key that is made as they are told
// fills it. No file is replaced.
func TestKeyFilesFromAnywhere(t *testing.T) {
	online := t.TempDir() // the machines that sign
	newChain(t, online, 2, 3, nextYear, usualRoles(5))
	trusted := filepath.Join(online, "trusted")
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		putKey(t, online, role+".pub", "new "+role)
	}
	at := func(role string) string { return filepath.Join(online, role+".pub") }
	three := again(with("quorum-lost", "plan.trusted", trusted, "revoke.which", "1,2,3"))
	for name, c := range map[string]struct {
		kind   string
		script map[string]string
	}{
		"roles compromised": {agreed.Revoke, with("role-compromised", "plan.trusted", trusted, "revoke.roles", "targets")},
		"a new chain":       {agreed.Revoke, three},
		"a first root":      {agreed.Create, three},
		"a rotation": {agreed.Rotate, map[string]string{"plan.earlier": "", "plan.trusted": trusted, "plan.name": "Example", "plan.changes": "yes", "plan.expires": "", "plan.holders": "0", "plan.threshold": "3", "plan.roles": "yes", "plan.witness": "",
			"plan.key 1": "stays", "plan.key 2": "stays", "plan.key 3": "stays", "plan.key 4": "stays", "plan.key 5": "stays",
			"plan.key.name 1": "A", "plan.key.name 2": "B", "plan.key.name 3": "C", "plan.key.name 4": "D", "plan.key.name 5": "E",
			"plan.key.token 1": "", "plan.key.token 2": "", "plan.key.token 3": "", "plan.key.token 4": "", "plan.key.token 5": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "folder")
			if c.kind == agreed.Create {
				put(t, dir, "keys/snapshot.pub", []byte("another file"))
			}
			script := maps.Clone(c.script)
			script["plan.role.timestamp"] = filepath.Join(online, "none.pub") + "\n" + at("timestamp")
			script["plan.role.snapshot"] = at("snapshot") + ", later\n" + at("snapshot")
			script["plan.role.targets"] = "later"
			a, come, err := interviewed(t, dir, c.kind, script)
			if err != nil {
				t.Fatalf("%v\n%s", err, a.said.String())
			}
			if len(a.refused) != 2 || !strings.Contains(a.refused[0], "type later") {
				t.Errorf("refused %q", a.refused)
			}
			file := filepath.Join(dir, state.PlanFile)
			if _, err := plan.Read(file); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), `key file "keys/targets.pub": no such file`) {
				t.Fatalf("the plan with its gap: %v", err)
			}
			text, err := os.ReadFile(file)
			if err != nil || !regexp.MustCompile(`"keys/targets.pub"\] +# still to be made`).Match(text) {
				t.Errorf("%v\n%s", err, text)
			}
			made := regexp.MustCompile(`The key of targets, on the machine that is to sign with it: (openssl .*)\. Put targets.pub there as (.*)\.`).FindStringSubmatch(strings.Join(come.After.Text, "\n"))
			if made == nil || made[2] != filepath.Join(dir, "keys/targets.pub") {
				t.Fatalf("nobody says how: %q", come.After.Text)
			}
			if _, err := exec.LookPath("openssl"); err != nil {
				t.Skip("openssl is not installed: what people are told to type is not tried")
			}
			command := exec.Command("sh", "-c", made[1]+` && mkdir -p "$1" && cp targets.pub "$2"`, "sh", filepath.Dir(made[2]), made[2])
			command.Dir = t.TempDir()
			if out, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", made[1], err, out)
			}
			p, err := plan.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, role := range []string{"timestamp", "snapshot"} {
				if got := p.Roles[role].Keys[0]; got.Value() != tufKey(t, "new "+role).Value() {
					t.Errorf("the key of %s is %s", role, got.Value())
				}
			}
			if want := map[bool]string{true: "keys/snapshot-2.pub", false: "keys/snapshot.pub"}[c.kind == agreed.Create]; p.Roles["snapshot"].Files[0] != want {
				t.Errorf("the file of snapshot is %q", p.Roles["snapshot"].Files)
			}
		})
	}
}
