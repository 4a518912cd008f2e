package ceremony_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// project holds one rotation after the other, at random.
type project struct {
	t       *testing.T
	random  *rand.Rand
	stage   *stage
	desk    *ceremony.Desk
	members []member          // of the newest root
	keys    map[string]string // files of online keys, by name
	made    int               // tokens so far
	seen    map[string]int    // what has happened, and how often
}

// lives are the days that a root may live.
var lives = []int{2, 30, 90, 365, 700}

// TestFiftyRotations holds a first ceremony and fifty rotations, and has each
// client walk all of them. ROTATIONS_SEED tries another way through.
func TestFiftyRotations(t *testing.T) {
	seed, rotations := uint64(7), 50
	if s := os.Getenv("ROTATIONS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() {
		rotations = 10
	}
	t.Logf("ROTATIONS_SEED=%d", seed)
	p := &project{t: t, random: rand.New(rand.NewPCG(seed, 1)), seen: map[string]int{}}
	p.keys = onlineKeys(t, p.random)
	p.stage = newStage(t)
	p.stage.real = true // a rehearsal's roots all live one day
	_, p.desk = p.stage.opened()
	if err := runAll(p.desk, p.script()); err != nil {
		t.Fatal(err)
	}
	p.members, p.made = members(t, p.desk), len(allStickers)
	for i := range rotations {
		p.rotate()
		if t.Failed() {
			t.Fatalf("rotation %d", i+1)
		}
	}
	dir := filepath.Join(p.stage.dir, state.PublishDir)
	chain := published(t, p.stage.dir)
	if len(chain) != rotations+1 {
		t.Fatalf("%d roots", len(chain))
	}
	for _, what := range []string{"renewal", "collected", "comes back", "threshold up", "threshold down", "consistent_snapshot", "role keys", "role threshold",
		"one key in two roles", "ed25519", "ecdsa-p256", "fuller",
		agreed.Lost, agreed.Stolen, agreed.Compromised, agreed.Retired, "old key signs"} {
		if p.seen[what] == 0 && !testing.Short() {
			t.Errorf("never: %s", what)
		}
	}
	t.Log(p.seen)
	checkEveryClientAgrees(t, dir, chain)
}

// script answers for holders, whose PIN their old tokens still have.
func (p *project) script() *prompt.Script {
	a := &prompt.Script{Answers: map[string]string{"preflight.failed": "waive", "preflight.why": "it is a test",
		"carry.how 1": "none", "carry.why": "it is a test"}} // no medium is mounted
	for _, m := range p.members {
		a.Answers["holder.pin "+"old-"+m.key[:8]] = ceremony.RehearsalPIN(idOf(m.name))
	}
	return a
}

func idOf(name string) string {
	first, _, _ := strings.Cut(name, " ")
	return strings.ToLower(first)
}

// onlineKeys are files as plans name them.
func onlineKeys(t *testing.T, random *rand.Rand) map[string]string {
	files := map[string]string{}
	for i := range 1 {
		var seed [32]byte
		for j := range seed {
			seed[j] = byte(random.Uint32())
		}
		public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
		files[fmt.Sprintf("keys/online-%d.pub", i)] = hex.EncodeToString(public) + "\n"
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	files["keys/online-p256.pub"] = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return files
}

// rotate plans what comes next, holds it, and publishes it.
func (p *project) rotate() {
	t := p.t
	t.Helper()
	old := p.desk.State().Root
	oldThreshold := old.Roles[tuf.RoleRoot].Threshold
	people, stickers := slices.Clone(p.members), []string{}
	head := fmt.Sprintf("[token]\nalgorithm = %q\n", p.algorithm())
	root := fmt.Sprintf("[root]\nexpires = \"%dd\"\n", lives[p.random.IntN(len(lives))])
	if p.random.IntN(7) == 0 {
		p.seen["renewal"]++
		head += root
	} else {
		people, stickers = p.change(people, oldThreshold)
		staying := len(people) - p.dropped(people)
		threshold := 1 + p.random.IntN(min(staying, 4))
		root += fmt.Sprintf("threshold = %d\n", threshold)
		p.count("threshold up", threshold > oldThreshold)
		p.count("threshold down", threshold < oldThreshold)
		if p.random.IntN(4) == 0 {
			p.seen["consistent_snapshot"]++
			root += fmt.Sprintf("consistent_snapshot = %v\n", !old.ConsistentSnapshot)
		}
		head += root + p.roles()
	}
	next, desk := p.stage.follow(following(agreed.Rotate, head, people...), stickers...)
	for name, text := range p.keys {
		if err := disk.WriteWithin(next.dir, name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.hold(next, desk)
	p.desk.Close()
	p.stage, p.desk, p.members = next, desk, members(t, desk)
}

func (p *project) count(what string, happened bool) {
	if happened {
		p.seen[what]++
	}
}

func (p *project) algorithm() string {
	name := []string{"ed25519", "ecdsa-p256"}[p.random.IntN(2)]
	p.seen[name]++
	return name
}

func (p *project) dropped(people []member) (n int) {
	for _, m := range people {
		if m.drop != "" {
			n++
		}
	}
	return n
}

// change drops some, so that the old root can still be signed for, and has
// others come: some of them who were dropped, with another token.
func (p *project) change(people []member, threshold int) ([]member, []string) {
	able := len(people)
	names := map[string]bool{}
	var back []string
	for i := range people {
		if p.random.IntN(4) > 0 {
			names[people[i].name] = true
			continue
		}
		reason := []string{agreed.Lost, agreed.Stolen, agreed.Compromised, agreed.Retired}[p.random.IntN(4)]
		if reason == agreed.Lost || reason == agreed.Stolen {
			if able == threshold {
				reason = agreed.Retired
			} else {
				able--
			}
		}
		people[i].drop = reason
		p.seen[reason]++
		back = append(back, people[i].name)
	}
	var stickers []string
	staying := len(names)
	for want := 2 + p.random.IntN(3); staying < want; staying++ {
		p.made++
		m := member{name: fmt.Sprintf("Holder%d Test", p.made), token: fmt.Sprintf("T-%03d", p.made)}
		if len(back) > 0 && p.random.IntN(2) == 0 {
			m.name, back = back[0], back[1:]
			p.seen["comes back"]++
		}
		people, stickers = append(people, m), append(stickers, m.token)
	}
	return people, stickers
}

// roles changes the keys of online roles.
func (p *project) roles() string {
	text := ""
	used := map[string]bool{}
	names := []string{}
	for name := range p.keys {
		names = append(names, name)
	}
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		if p.random.IntN(3) > 0 {
			continue
		}
		slices.Sort(names)
		p.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		n := 1 + p.random.IntN(2)
		threshold := 1 + p.random.IntN(n)
		var quoted []string
		for _, name := range names[:n] {
			quoted = append(quoted, strconv.Quote(name))
			p.count("one key in two roles", used[name])
			used[name] = true
		}
		text += fmt.Sprintf("[role.%s]\nthreshold = %d\nkeys = [%s]\n", role, threshold, strings.Join(quoted, ", "))
		p.seen["role keys"]++
		p.count("role threshold", threshold > 1)
	}
	return text
}

// hold holds one rotation: some of those who are able sign in another place,
// and the others here, in any order.
func (p *project) hold(next *stage, desk *ceremony.Desk) {
	t := p.t
	t.Helper()
	runToSigning(t, desk, p.script())
	able := []string{}
	for _, h := range desk.State().Plan.Holders {
		able = append(able, h.ID)
	}
	for _, d := range desk.State().Plan.Drops {
		if d.Reason == agreed.Retired || d.Reason == agreed.Compromised {
			able = append(able, d.ID)
		}
	}
	p.random.Shuffle(len(able), func(i, j int) { able[i], able[j] = able[j], able[i] })
	elsewhere := 0
	if p.random.IntN(3) == 0 {
		elsewhere = 1 + p.random.IntN(len(able))
		p.seen["collected"]++
		collected, err := desk.Collect(next.signedElsewhere(p.script(), able[:elsewhere]...))
		if err != nil {
			t.Fatal(err)
		}
		for _, sig := range collected.Root.Signatures {
			if !sig.Taken {
				t.Errorf("%+v", sig)
			}
		}
	}
	late := p.random.IntN(2) == 0 // the others sign after it is published, or not at all
	for _, id := range able[elsewhere:] {
		if late && desk.State().Enough() {
			break
		}
		if err := desk.Run(t.Context(), "sign "+id, p.script()); err != nil {
			t.Fatal(err)
		}
		p.count("old key signs", strings.HasPrefix(id, "old-"))
	}
	if err := runAll(desk, p.script()); err != nil {
		t.Fatal(err)
	}
	p.count("fuller", desk.State().Sealed.Fuller != nil)
}

// runToSigning takes all tasks before the first signature.
func runToSigning(t testing.TB, desk *ceremony.Desk, a prompt.Room) {
	t.Helper()
	for {
		task, ok := desk.Next()
		if !ok {
			t.Fatal("nobody was to sign")
		}
		if task.Group == prompt.GroupSign {
			return
		}
		if err := desk.Run(t.Context(), task.ID, a); err != nil {
			t.Fatalf("%s: %v", task.ID, err)
		}
	}
}

// signedElsewhere has these sign in a copy of the directory, and returns the
// root file with their signatures.
func (s *stage) signedElsewhere(a prompt.Room, ids ...string) []byte {
	t := s.t
	t.Helper()
	_, desk := s.duplicate()
	defer desk.Close()
	forgetCards(a)
	for _, id := range ids {
		if err := desk.Run(t.Context(), "sign "+id, a); err != nil {
			t.Fatal(err)
		}
	}
	forgetCards(a)
	return assembled(t, desk, ids...)
}

// forgetCards has people sign a version twice, with their eyes closed.
func forgetCards(a prompt.Room) {
	if script, is := a.(*prompt.Script); is {
		script.Cards = nil
	}
}

// duplicate is a copy of the directory, with the same tokens.
func (s *stage) duplicate() (*stage, *ceremony.Desk) {
	t := s.t
	t.Helper()
	other := &stage{t: t, dir: t.TempDir(), drawer: s.drawer, shared: s.tokens(), real: s.real}
	if err := os.CopyFS(other.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	desk, err := other.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = desk.Close() })
	return other, desk
}

// assembled is the draft as a root file with the signatures of these, which are
// there.
func assembled(t testing.TB, desk *ceremony.Desk, ids ...string) []byte {
	t.Helper()
	s := desk.State()
	var wanted []string
	for _, id := range ids {
		if s.Holders[id].Signature == nil {
			t.Fatalf("%s has not signed", id)
		}
		wanted = append(wanted, s.Holders[id].Signature.KeyID)
	}
	var previous []*tuf.Root
	if old := s.Plan.TrustedRoot(); old != nil {
		previous = append(previous, old)
	}
	sigs := slices.DeleteFunc(s.Signatures(), func(sig tuf.Signature) bool { return !slices.Contains(wanted, sig.KeyID) })
	text, err := tuf.Assemble(s.Root, sigs, previous...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// verdict is how many files of a chain a client takes, and what it says then.
type verdict struct {
	Taken   int
	Problem string
}

// checkEveryClientAgrees has rootverify, go-tuf and tuf-js walk the whole chain,
// and each step of it alone, at several times.
func checkEveryClientAgrees(t *testing.T, dir string, chain [][]byte) {
	t.Helper()
	chains := map[string][][]byte{"all": chain}
	for n := range len(chain) - 1 {
		chains[fmt.Sprintf("%d and %d", n+1, n+2)] = chain[n : n+2]
	}
	expired := 0
	for _, days := range []int{1, 60, 400} {
		at := noon.AddDate(0, 0, days)
		js := tufJSWalks(t, chains, at)
		for name, files := range chains {
			want := verdict{len(files), ending(files, at)}
			if want.Problem != "" {
				expired++
			}
			if got := goTUFWalks(files, at); got != want {
				t.Errorf("go-tuf on %s at day %d: %+v, want %+v", name, days, got, want)
			}
			for version, said := range js {
				if said[name] != want {
					t.Errorf("%s on %s at day %d: %+v, want %+v", version, name, days, said[name], want)
				}
			}
		}
	}
	if all := 3 * len(chains); expired < all/10 || expired > all*9/10 {
		t.Errorf("%d of %d ends are expired: that shows little", expired, all)
	}
	last, err := tuf.Parse(chain[len(chain)-1])
	if err != nil {
		t.Fatal(err)
	}
	verify := filepath.Join(t.TempDir(), "rootverify")
	if out, err := exec.Command("go", "build", "-o", verify, "rootceremony/cmd/rootverify").CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	for at, good := range map[time.Time]bool{last.Root.Expires.Add(-time.Second): true, last.Root.Expires: false} {
		out, err := exec.Command(verify, "chain", "--at", at.Format(time.RFC3339), "--json", dir).Output()
		var said struct {
			Good     bool
			Versions []tuf.Step
		}
		if jsonErr := json.Unmarshal(out, &said); jsonErr != nil || said.Good != good || (err == nil) != good || len(said.Versions) != len(chain) {
			t.Errorf("rootverify at %s: good %v, %d versions: %v, %v", at, said.Good, len(said.Versions), err, jsonErr)
		}
	}
}

// ending is "expired" where the last root is.
func ending(files [][]byte, at time.Time) string {
	f, err := tuf.Parse(files[len(files)-1])
	if err != nil {
		return err.Error()
	}
	if !at.Before(f.Root.Expires) {
		return "expired"
	}
	return ""
}

func goTUFWalks(files [][]byte, at time.Time) verdict {
	trusted, err := trustedmetadata.New(files[0])
	if err != nil {
		return verdict{0, err.Error()}
	}
	for i, text := range files[1:] {
		if _, err := trusted.UpdateRoot(text); err != nil {
			return verdict{i + 1, err.Error()}
		}
	}
	if trusted.Root.Signed.IsExpired(at) {
		return verdict{len(files), "expired"}
	}
	return verdict{len(files), ""}
}

// tufJSWalks has tuf-js walk the chains, and returns nil where it is not installed.
func tufJSWalks(t *testing.T, chains map[string][][]byte, at time.Time) map[string]map[string]verdict {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(cache, "rootceremony", "tuf-js", "node_modules")
	if _, err := os.Stat(modules); err != nil && os.Getenv("CI") == "" {
		t.Log("tuf-js is not installed, and was not asked: tuf/testdata/second/install does it, and make test calls that")
		return nil
	}
	served := map[string]any{}
	for name, files := range chains {
		served[name] = map[string]any{"roots": files}
	}
	input, err := json.Marshal(map[string]any{"at": at, "served": served})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "tuf/testdata/second/verdicts.cjs")
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	verdicts := map[string]map[string]verdict{} // of each version, by name of chain
	if err := json.Unmarshal(out, &verdicts); err != nil || len(verdicts) != 2 {
		t.Fatalf("%d versions: %v", len(verdicts), err)
	}
	for version, said := range verdicts {
		if len(said) != len(chains) {
			t.Fatalf("%s: %d verdicts", version, len(said))
		}
	}
	return verdicts
}
