package ceremony_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/virtual"
)

// leaveBeforeProof brings Alice to a root key that is not proved yet.
func leaveBeforeProof(t testing.TB, desk *ceremony.Desk) {
	t.Helper()
	runTo(t, desk, "enrol alice")
	err := desk.Run(t.Context(), "enrol alice", &answered{touch: func() error { return prompt.ErrLeft }})
	if h := desk.State().Holders["alice"]; !errors.Is(err, prompt.ErrLeft) || h.Key == nil || h.Proved != nil {
		t.Fatalf("left: %v, %+v", err, h)
	}
}

// startOver takes the task of that name for Alice.
func startOver(t testing.TB, desk *ceremony.Desk) {
	t.Helper()
	answers := map[string]string{"restart.who": "alice", "restart.why": "it fell into the sea"}
	if err := desk.Run(t.Context(), "restart", &prompt.Script{Answers: answers}); err != nil {
		t.Fatal(err)
	}
}

// A PIN that is blocked before the holder is enrolled is no dead end.
func TestBlockedPINBeforeTheKeyIsProved(t *testing.T) {
	s, desk := opened(t)
	leaveBeforeProof(t, desk)
	err := desk.Run(t.Context(), "enrol alice", &prompt.Script{Answers: map[string]string{"holder.pin alice": "908172"}})
	if err == nil || !strings.Contains(err.Error(), "Start a holder over") {
		t.Fatalf("blocked: %v", err)
	}
	startOver(t, desk)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 5)
}

// A token that was reset elsewhere is noticed, and prepared again.
func TestTokenResetElsewhere(t *testing.T) {
	s, desk := opened(t)
	leaveBeforeProof(t, desk)
	session := s.session(t, "A-01")
	if err := session.Reset(); err != nil {
		t.Fatal(err)
	}
	session.Close()
	before := desk.State().Holders["alice"].Key.Public
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if checkSigned(t, s.dir, 5).Holders["alice"].Key.Public == before {
		t.Error("the key that is gone is in the root")
	}
}

// A token that is lost is replaced by another one.
func TestTokenLostBeforeTheReview(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "review")
	lost := desk.State().Holders["alice"].Serial
	if _, err := s.drawer.Add("spare", virtual.Options{}); err != nil {
		t.Fatal(err)
	}
	another := &answered{token: func(w prompt.TokenWait) (keys.Info, error, bool) {
		s.plugged = []string{"spare"}
		info, err := w.Look(context.Background())
		return info, err, true
	}}
	startOver(t, desk)
	if err := desk.Run(t.Context(), "enrol alice", another); err != nil {
		t.Fatal(err)
	}
	now := desk.State()
	if now.Holders["alice"].Serial == lost {
		t.Error("Alice still has the lost token")
	}
	if owner := now.HolderOf(lost); owner != nil {
		t.Errorf("the lost token is %s's", owner.Holder.Name)
	}
	runTo(t, desk, "sign alice")
	for _, task := range desk.Tasks() {
		if task.ID == "restart" {
			t.Error("a holder can start over once there is a draft")
		}
	}
}

// trustAnother has the desk trust a root that no token of the stage leads to.
func (s *stage) trustAnother(desk *ceremony.Desk) {
	s.t.Helper()
	other, err := virtual.OpenDrawer(s.t.TempDir())
	if err != nil {
		s.t.Fatal(err)
	}
	desk.UseTokens(prompt.Tokens{Roots: []*x509.Certificate{other.AttestationRoot()}, Start: s.start,
		Plug: func(stickers ...string) error { s.plugged = stickers; return nil }})
}

// A token of a maker whom the ceremony does not trust is refused before anyone
// is asked anything about it but which one it is, and nothing is done to it: one
// that is new, one that would have to be wiped, one of two.
func TestAnotherAttestationRoot(t *testing.T) {
	for _, c := range []struct {
		used    bool
		plugged []string
	}{
		{false, []string{"A-01"}}, {true, []string{"A-01"}}, {true, []string{"A-01", "B-02"}},
	} {
		s, desk := opened(t)
		runTo(t, desk, "enrol alice")
		if c.used {
			s.useElsewhere(t, "A-01")
		}
		s.plugged = []string{"A-01"}
		before := s.look(t)
		s.trustAnother(desk)
		a := &answered{token: func(w prompt.TokenWait) (keys.Info, error, bool) {
			s.plugged = c.plugged
			info, err := w.Look(context.Background())
			return info, err, true
		}}
		a.Answers = map[string]string{"holder.which alice": fmt.Sprint(before.Serial)}
		a.Say = func(m prompt.Message) {
			if m.Title != "Alice Costa: which token is it?" || len(c.plugged) == 1 {
				t.Errorf("%+v: asked or told: %+v", c, m)
			}
		}
		err := desk.Run(t.Context(), "enrol alice", a)
		s.plugged = []string{"A-01"}
		if !errors.As(err, new(*keys.AttestationError)) || !strings.Contains(err.Error(), "cannot show that it was made by a maker whom this ceremony trusts") {
			t.Errorf("%+v: %v", c, err)
		}
		if now := s.look(t); !reflect.DeepEqual(now, before) {
			t.Errorf("%+v: the token is now %+v, was %+v", c, now, before)
		}
		if h := desk.State().Holders["alice"]; h.Serial != 0 || h.Open != nil || s.count(state.TypePrepareIntended)+s.count(state.TypeWipeIntended) != 0 {
			t.Errorf("%+v: recorded: %+v", c, h)
		}
	}
}

// The attestations of the keys are checked too: a token can show a certificate
// that is not its own.
func TestAttestationsOfAnotherRoot(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	a := &prompt.Script{Say: func(m prompt.Message) {
		if m.Title == "Alice Costa: choose a PIN" {
			s.trustAnother(desk)
		}
	}}
	err := desk.Run(t.Context(), "enrol alice", a)
	var attestation *keys.AttestationError
	if !errors.As(err, &attestation) || attestation.Slot != keys.SlotAuthentication {
		t.Errorf("taken: %v", err)
	}
	if h := desk.State().Holders["alice"]; h.Prepared != nil || h.Key != nil {
		t.Errorf("recorded: %+v", h)
	}
}

// No client accepts a root that has expired, so nobody signs or publishes one.
func TestExpiredDraft(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "publish")
	desk.Close()
	late, err := s.open(func() time.Time { return noon.Add(24 * time.Hour) }, allStickers...)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	asked := func(m prompt.Message) { t.Errorf("asked: %+v", m) }
	for _, id := range []string{"publish", "sign dana"} {
		if err := late.Run(t.Context(), id, &prompt.Script{Say: asked}); err == nil || !strings.Contains(err.Error(), "expired on") {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// What somebody puts into publish is not listed as published, and what
// somebody changes there is found.
func TestPublishIsWhatTheLogSays(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "sums")
	publish := filepath.Join(s.dir, state.PublishDir)
	stray := filepath.Join(publish, "2.root.json")
	if err := os.WriteFile(stray, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "sums", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "2.root.json was put there by somebody else") {
		t.Errorf("with a stray file: %v", err)
	}
	if err := os.Remove(stray); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(publish, "1.root.json")
	good, err := os.ReadFile(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(root, []byte(`{"evil":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "sums", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "publish/1.root.json was changed after it was recorded") {
		t.Errorf("with another root: %v", err)
	}
	if err := os.WriteFile(root, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "sums", &prompt.Script{}); err != nil {
		t.Error(err)
	}
}

// Evidence that is gone or changed is told at the next start; what follows
// from the log is written again.
func TestFilesThatAreGone(t *testing.T) {
	s, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	files := desk.State().Files
	desk.Close()
	for _, f := range files {
		name := filepath.Join(s.dir, f.Name)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		again, err := s.open(clock)
		evidence := strings.HasPrefix(f.Name, "evidence/")
		if evidence != (err != nil) || evidence && !strings.Contains(err.Error(), f.Name) {
			t.Errorf("without %s: %v", f.Name, err)
		}
		if err == nil {
			again.Close()
		}
		if err := os.WriteFile(name, append(text, ' '), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.open(clock); err == nil || !strings.Contains(err.Error(), filepath.Base(f.Name)) {
			t.Errorf("with another %s: %v", f.Name, err)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A folder that is a link leads out of the directory, and is not written to.
func TestFolderThatIsALink(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "publish")
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(s.dir, state.PublishDir)); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "publish", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "special file, publish: it is a link") {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(outside); len(left) != 0 {
		t.Errorf("written: %v", left)
	}
}

// On the day, a laptop that fails its check and a room without a second
// machine are exceptions; in a rehearsal they are notes.
func TestDeparturesAreExceptions(t *testing.T) {
	for _, real := range []bool{false, true} {
		s := newStage(t)
		s.real = real
		t.Setenv("SSH_CONNECTION", "192.0.2.1 1 192.0.2.2 22") // a check that fails everywhere
		desk, err := s.open(clock, allStickers...)
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Close()
		answers := map[string]string{"preflight.failed": "waive", "preflight.why": "it is a test"}
		for _, id := range []string{"preflight", "agree", "enrol alice", "enrol bruno", "enrol chen", "enrol dana", "enrol emil"} {
			if err := desk.Run(t.Context(), id, &prompt.Script{Answers: answers}); err != nil {
				t.Fatal(err)
			}
		}
		waived := desk.State().Exceptions
		if err := desk.Run(t.Context(), "review", &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
		unseen := desk.State().Exceptions - waived
		if real != (waived > 0) || real != (unseen == 1) {
			t.Errorf("real %v: %d waived, %d for the second machine", real, waived, unseen)
		}
	}
}

// typist keeps what it was asked to type.
type typist struct {
	prompt.Script
	prompt prompt.Prompt
	want   string
}

func (t *typist) Type(ctx context.Context, p prompt.Prompt, want string) error {
	t.prompt, t.want = p, want
	return prompt.ErrBack
}

// The signer types two words, which this screen shows only where there is no
// other one.
func TestWordsComeFromTheSecondMachine(t *testing.T) {
	numbers := regexp.MustCompile(`words (\d+) and (\d+)`)
	for second, shown := range map[string]bool{"yes": false, "no": true} {
		_, desk := opened(t)
		runTo(t, desk, "review")
		if err := desk.Run(t.Context(), "review", &prompt.Script{Answers: map[string]string{"review.second": second}}); err != nil {
			t.Fatal(err)
		}
		asked := map[string]bool{}
		for range 40 {
			a := &typist{}
			if err := desk.Run(t.Context(), "sign alice", a); !errors.Is(err, prompt.ErrBack) {
				t.Fatal(err)
			}
			n := numbers.FindStringSubmatch(a.prompt.Question)
			if n == nil || n[1] == n[2] {
				t.Fatalf("asked: %s", a.prompt.Question)
			}
			asked[n[1]] = true
			var screen strings.Builder
			for _, f := range a.prompt.Facts {
				screen.WriteString(" " + f.Value)
			}
			for word := range strings.FieldsSeq(a.want) {
				if strings.Contains(screen.String(), word) != shown {
					t.Fatalf("second machine %s, word %q, screen %s", second, word, &screen)
				}
			}
		}
		if len(asked) < 5 {
			t.Errorf("only the words %v were asked for", asked)
		}
	}
}

// A touch that did not come in time is known to have signed nothing.
func TestNotTouchedInTime(t *testing.T) {
	_, desk := opened(t)
	runTo(t, desk, "sign alice")
	err := desk.Run(t.Context(), "sign alice", &answered{touch: func() error { return keys.ErrNotTouched }})
	if !errors.Is(err, keys.ErrNotTouched) || desk.State().Holders["alice"].Open != nil {
		t.Errorf("%v, open %+v", err, desk.State().Holders["alice"].Open)
	}
}

// After the seal no signature is begun, whatever a log says.
func TestNothingIsSignedAfterTheSeal(t *testing.T) {
	s, desk := opened(t)
	for _, id := range []string{"preflight", "agree", "enrol alice", "enrol bruno", "enrol chen", "enrol dana", "enrol emil",
		"review", "sign alice", "sign bruno", "sign chen", "publish", "seal"} {
		if err := desk.Run(t.Context(), id, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
	}
	all := events(t, s.dir)
	now, err := state.Fold(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Type != state.TypeSignatureIntended || e.By != "alice" {
			continue
		}
		late := transcript.Event{Seq: int64(len(all) + 1), Type: e.Type, By: "dana",
			Data: []byte(strings.NewReplacer(`"alice"`, `"dana"`, serial(now, "alice"), serial(now, "dana")).Replace(string(e.Data)))}
		if _, err := now.With(late); err == nil || !strings.Contains(err.Error(), "sealed") {
			t.Errorf("%v", err)
		}
		return
	}
	t.Error("nobody has signed")
}

func serial(s *state.State, id string) string { return fmt.Sprint(s.Holders[id].Serial) }

// Tokens that are there at once are told apart by their serial numbers, and
// those of other holders do not count.
func TestSeveralTokensAtOnce(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol bruno")
	chosen, err := s.drawer.Serial("B-02")
	if err != nil {
		t.Fatal(err)
	}
	all := &answered{token: func(w prompt.TokenWait) (keys.Info, error, bool) {
		s.plugged = []string{"E-05", "A-01", "B-02", "C-03"}
		info, err := w.Look(context.Background())
		if several := w.ID == "holder.token bruno" || w.ID == "holder.token chen"; err == nil && several != (info.Serial == 0) {
			t.Errorf("%s: found %d, as if it were the only one", w.ID, info.Serial)
		}
		return info, err, true
	}}
	all.Answers = map[string]string{"holder.which bruno": fmt.Sprint(chosen)}
	for _, id := range []string{"enrol bruno", "enrol chen", "enrol dana", "enrol emil", "review", "sign bruno", "sign alice"} {
		if id == "enrol dana" {
			if err := desk.Run(t.Context(), id, &prompt.Script{}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := desk.Run(t.Context(), id, all); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	if got := desk.State().Holders["bruno"].Serial; got != chosen {
		t.Errorf("Bruno has token %d, and chose %d", got, chosen)
	}
}

// A key that the token has made for another algorithm than the plan's is none,
// wherever it was made.
func TestKeyOfAnotherAlgorithm(t *testing.T) {
	const wanted = "the root key is one for ecdsa-p256, and the plan wants ed25519"
	s, desk := opened(t)
	emil := goAway(t, s, desk, "emil")
	if _, err := desk.Collect(emil.enrolled()); err != nil {
		t.Fatal(err)
	}
	runTo(t, desk, "enrol bruno")
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.FromCrypto(other.Public())
	if err != nil {
		t.Fatal(err)
	}
	all := events(t, s.dir)
	for i, e := range all {
		if e.Type != state.TypeKeyMade && e.Type != state.TypeCollected {
			continue
		}
		before, err := state.Fold(all[:i])
		if err != nil {
			t.Fatal(err)
		}
		old := desk.State().Holders[e.By].Key.Public
		e.Data = []byte(strings.ReplaceAll(strings.ReplaceAll(string(e.Data), `"ed25519","hex":"`+old.Hex, `"ecdsa-p256","hex":"`+public.Hex), old.Hex, public.Hex))
		if _, err := before.With(e); err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("%s of %s: %v", e.Type, e.By, err)
		}
	}
}

// A token of the FIPS edition is refused by its attestations too: of one that
// is elsewhere nothing else is known.
func TestAttestationsOfTheFIPSEdition(t *testing.T) {
	s := newStage(t)
	if _, err := s.drawer.Add("A-01", virtual.Options{Edition: "FIPS"}); err != nil {
		t.Fatal(err)
	}
	desk, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	runTo(t, desk, "enrol alice")
	blind := &answered{token: func(w prompt.TokenWait) (keys.Info, error, bool) {
		s.plugged = []string{"A-01"}
		info, err := w.Look(context.Background())
		if err == nil {
			t.Error("the token itself was not refused")
		}
		return info, nil, true
	}}
	if err := desk.Run(t.Context(), "enrol alice", blind); err == nil || !strings.Contains(err.Error(), "FIPS edition") {
		t.Errorf("enrolled: %v", err)
	}
	if desk.State().Holders["alice"].Prepared != nil {
		t.Error("recorded")
	}
}

// A root key signs in whatever slot it is, and one that is gone is missed
// before the PIN is asked for.
func TestRootKeyInAnotherSlot(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "sign alice")
	s.edit(t, "A-01", `{"slot":156,`, `{"slot":157,`) // from 9c to 9d
	if err := desk.Run(t.Context(), "sign alice", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	s.plugged = []string{"A-01"}
	if _, there := s.look(t).Key(keys.SlotRoot); there {
		t.Error("the key was not moved")
	}
	session := s.session(t, "B-02")
	if err := session.Reset(); err != nil {
		t.Fatal(err)
	}
	session.Close()
	err := desk.Run(t.Context(), "sign bruno", &typing{leave: "holder.pin bruno"})
	if err == nil || !strings.Contains(err.Error(), "no longer holds Bruno Ferraz's root key (hint:") {
		t.Errorf("without the key: %v", err)
	}
	if err := desk.Run(t.Context(), "sign dana", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
}

// edit changes the file of a virtual token.
func (s *stage) edit(t *testing.T, sticker, old, new string) {
	t.Helper()
	serial, err := s.drawer.Serial(sticker)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(s.dir, filepath.FromSlash(ceremony.TokensDir), fmt.Sprintf("*%d*", serial)))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	if !bytes.Contains(lines[1], []byte(old)) {
		t.Fatalf("nothing to change: %s", lines[1])
	}
	body := append(lines[0], bytes.Replace(lines[1], []byte(old), []byte(new), 1)...)
	if err := os.WriteFile(files[0], fmt.Appendf(body, "%x\n", sha256.Sum256(body)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A start that lacks the certificates which the tokens' ones lead to says which file
// may be missing.
func TestStartWithoutIntermediates(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol bruno")
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := ceremony.OpenDesk(s.dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true})
	if err == nil || !strings.Contains(err.Error(), "what is in this directory is not proved") || !strings.Contains(err.Error(), "--attestation-intermediates, give that file at this start too") {
		t.Errorf("%v", err)
	}
}
