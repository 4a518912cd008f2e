package ceremony_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

// typing is a Script that types several secrets at one prompt, one after the
// other, and tries again when one is refused, as people at a keyboard do. It
// leaves at the prompt, or at the message, that leave names.
type typing struct {
	prompt.Script
	secrets map[string][]string // by prompt id
	leave   string              // id of a prompt, or title of a message
	asked   []string            // the prompts' ids
	said    []string            // what was shown, and why secrets were refused
}

func (a *typing) see(id string, m prompt.Message) error {
	a.said = append(a.said, m.Title, strings.Join(m.Text, " "))
	for _, f := range m.Facts {
		a.said = append(a.said, f.Label+": "+f.Value)
	}
	if id != "" {
		a.asked = append(a.asked, id)
	}
	if a.leave != "" && (id == a.leave || strings.Contains(m.Title, a.leave)) {
		return prompt.ErrBack
	}
	return nil
}

func (a *typing) Tell(ctx context.Context, m prompt.Message) error {
	return errors.Join(a.see("", m), ctx.Err())
}

func (a *typing) Choose(ctx context.Context, p prompt.Prompt, choices []prompt.Choice) (string, error) {
	if err := a.see(p.ID, p.Message); err != nil {
		return "", err
	}
	return a.Script.Choose(ctx, p, choices)
}

func (a *typing) AskSecret(ctx context.Context, p prompt.Prompt, check func(*secret.Buffer) error) (*secret.Buffer, error) {
	if err := a.see(p.ID, p.Message); err != nil {
		return nil, err
	}
	for {
		rest := a.secrets[p.ID]
		if len(rest) == 0 {
			return a.Script.AskSecret(ctx, p, check)
		}
		a.secrets[p.ID] = rest[1:]
		typed, err := secret.Take([]byte(rest[0]))
		if err != nil {
			return nil, err
		}
		if check != nil {
			err = check(typed)
		}
		if err == nil {
			return typed, nil
		}
		typed.Wipe()
		a.said = append(a.said, err.Error())
	}
}

func (a *typing) saw(text string) bool {
	return slices.ContainsFunc(a.said, func(said string) bool { return strings.Contains(said, text) })
}

// openToken opens a virtual token without the program.
func (s *stage) openToken(sticker string) session.Token {
	s.t.Helper()
	serial, err := s.drawer.Serial(sticker)
	if err != nil {
		s.t.Fatal(err)
	}
	opener, err := virtual.Open(session.Backend{Kind: virtual.Kind, Dir: s.tokens(), Plugged: []uint32{serial}})
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := opener.Open(serial)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *stage) tokens() string {
	if s.shared != "" {
		return s.shared
	}
	return filepath.Join(s.dir, filepath.FromSlash(ceremony.TokensDir))
}

// block spends all tries of a token's PIN.
func (s *stage) block(sticker string) {
	s.t.Helper()
	token := s.openToken(sticker)
	defer token.Close()
	wrong := newSecret(s.t, "000001")
	for range 5 {
		if err := token.VerifyPIN(wrong); !errors.As(err, new(*keys.PINError)) {
			s.t.Fatal(err)
		}
	}
}

// blockPUK spends all tries of a token's PUK.
func (s *stage) blockPUK(sticker string) {
	s.t.Helper()
	token := s.openToken(sticker)
	defer token.Close()
	wrong := newSecret(s.t, "00000001")
	for range 5 {
		if err := token.Unblock(wrong, wrong); !errors.As(err, new(*keys.PINError)) {
			s.t.Fatal(err)
		}
	}
}

// puk reads a token's PUK where only a virtual one has it.
func (s *stage) puk(sticker string) string {
	s.t.Helper()
	serial, err := s.drawer.Serial(sticker)
	if err != nil {
		s.t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(s.tokens(), fmt.Sprintf("%d.token", serial)))
	if err != nil {
		s.t.Fatal(err)
	}
	var now struct {
		PUK struct {
			Value string `json:"value"`
		} `json:"puk"`
	}
	if err := json.Unmarshal(bytes.Split(file, []byte("\n"))[1], &now); err != nil {
		s.t.Fatal(err)
	}
	value, err := hex.DecodeString(now.PUK.Value)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(bytes.TrimRight(value, "\xff"))
}

// beforeRootKey brings Alice to a token that has its PIN and no root key yet.
func beforeRootKey(t testing.TB, desk *ceremony.Desk) {
	t.Helper()
	runTo(t, desk, "enrol alice")
	err := desk.Run(t.Context(), "enrol alice", &typing{leave: "making the root key"})
	if h := desk.State().Holders["alice"]; !errors.Is(err, prompt.ErrBack) || h.Prepared == nil || h.Key != nil {
		t.Fatalf("left: %v, %+v", err, h)
	}
}

// withPUKKept brings Alice to a root key that is not proved yet, on a token whose
// PUK has a backup, and opens the desk again. Her task is then keyAlice.
func withPUKKept(t testing.TB) (*stage, *ceremony.Desk) {
	t.Helper()
	s, desk := newSafes(t, 3, 3, `custody = "backed-up"`, `custody = "on-token"`).opened()
	runTasks(t, desk, &prompt.Script{}, "preflight", "agree", "enrol alice", "recipient safe-1", "recipient safe-2", "recipient safe-3")
	err := desk.Run(t.Context(), keyAlice, &answered{touch: func() error { return prompt.ErrLeft }})
	if h := desk.State().Holders["alice"]; !errors.Is(err, prompt.ErrLeft) || h.Key == nil || !h.Key.PUKKept || h.Proved != nil {
		t.Fatalf("left: %v, %+v", err, h)
	}
	desk.Close()
	if desk, err = s.open(clock, allStickers...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = desk.Close() })
	return s, desk
}

const keyAlice = "key alice"

// checkUnblocked looks at Alice's token and at the log after a new PIN was set.
func (s *stage) checkUnblocked(pin string, secrets ...string) {
	s.t.Helper()
	token := s.openToken("A-01")
	defer token.Close()
	if err := token.VerifyPIN(newSecret(s.t, pin)); err != nil {
		s.t.Errorf("the new PIN: %v", err)
	}
	info, err := token.Info()
	if err != nil || info.PINTries != 5 {
		s.t.Errorf("%d tries of the PIN, %v", info.PINTries, err)
	}
	if n := s.count(state.TypeUnblocked); n != 1 {
		s.t.Errorf("recorded %d times", n)
	}
	for _, text := range append(secrets, pin) {
		if bytes.Contains(logOf(s.t, s.dir), []byte(text)) {
			s.t.Errorf("%q is in the log", text)
		}
	}
}

func (s *stage) count(kind string) (n int) {
	for _, e := range events(s.t, s.dir) {
		if e.Type == kind {
			n++
		}
	}
	return n
}

const newPIN = "8040613"

var typesNewPIN = map[string]string{"holder.pin.new alice": newPIN, "holder.pin.again alice": newPIN, "holder.pin alice": newPIN, "holder.unblock alice": "yes"}

// A token that has no root key yet still has the PUK of every new one: the
// holder chooses another PIN, whether it was blocked before or just now.
func TestBlockedPINWithFactoryPUK(t *testing.T) {
	for name, before := range map[string]bool{"when it is inserted": true, "by wrong PINs": false} {
		t.Run(name, func(t *testing.T) {
			s, desk := opened(t)
			beforeRootKey(t, desk)
			a := &typing{Script: prompt.Script{Answers: typesNewPIN}}
			a.secrets = map[string][]string{"holder.pin alice": {"908172", "908172", "908172", "908172", "908172"},
				"holder.pin.new alice": {session.DefaultPUK, newPIN}}
			if before {
				s.block("A-01")
				a.secrets["holder.pin alice"] = nil
			}
			if err := desk.Run(t.Context(), "enrol alice", a); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"its PUK is still the one that every new token has", "that every token has when it is new: choose another", "the new PIN is set"} {
				if !a.saw(want) {
					t.Errorf("nobody was told %q", want)
				}
			}
			if before == a.saw("1 left: one more wrong PIN blocks it") {
				t.Errorf("told of the last try: %v", !before)
			}
			if slices.Contains(a.asked, "holder.puk alice") {
				t.Error("the PUK was asked for")
			}
			if desk.State().Holders["alice"].Checkpoint == nil {
				t.Error("the task did not go on")
			}
			s.checkUnblocked(newPIN)
		})
	}
}

// A PUK that was kept is typed; a wrong one says how many tries are left, and
// the new PIN is none that equals it.
func TestBlockedPINWithKeptPUK(t *testing.T) {
	s, desk := withPUKKept(t)
	s.block("A-01")
	puk := s.puk("A-01")
	a := &typing{Script: prompt.Script{Answers: typesNewPIN}}
	a.secrets = map[string][]string{ // the new PIN outlives a wrong PUK, unless it is the next one
		"holder.puk alice":       {"123", "70503070", "9040513", puk},
		"holder.pin.new alice":   {"70503070", "9040513", "9040513", newPIN},
		"holder.pin.again alice": {"9040513"},
	}
	if err := desk.Run(t.Context(), keyAlice, a); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a PUK has 6 to 8 characters", "PUK tries: 5 left", "PUK tries: 4 left", "PUK tries: 3 left", "The PUK was wrong",
		"that is the PUK: choose another PIN"} {
		if !a.saw(want) {
			t.Errorf("nobody was told %q", want)
		}
	}
	if n := s.count(state.TypeSettled); n != 2 {
		t.Errorf("%d refused PUKs recorded", n)
	}
	times := 0
	for _, id := range a.asked {
		if id == "holder.pin.new alice" {
			times++
		}
	}
	if times != 2 {
		t.Errorf("a new PIN was asked for %d times", times)
	}
	s.checkUnblocked(newPIN, puk, "70503070", "9040513")
}

// Somebody who set a PUK of their own elsewhere can type it.
func TestBlockedPINWithPUKSetElsewhere(t *testing.T) {
	s, desk := opened(t)
	beforeRootKey(t, desk)
	token := s.openToken("A-01")
	if err := token.ChangePUK(newSecret(t, session.DefaultPUK), newSecret(t, "tea4two")); err != nil {
		t.Fatal(err)
	}
	token.Close()
	s.block("A-01")
	a := &typing{Script: prompt.Script{Answers: typesNewPIN}, secrets: map[string][]string{"holder.puk alice": {"tea4two"}}}
	// The new PIN is set; that the PUK is none of a new token ends the task then.
	if err := desk.Run(t.Context(), "enrol alice", a); err == nil || !strings.Contains(err.Error(), "PUK is not the default") {
		t.Errorf("%v", err)
	}
	s.checkUnblocked(newPIN, "tea4two")
}

// A PUK that gets blocked, and one that was, are said; the holder can start over.
func TestBlockedPUK(t *testing.T) {
	s, desk := withPUKKept(t)
	s.block("A-01")
	a := &typing{Script: prompt.Script{Answers: typesNewPIN}}
	a.secrets = map[string][]string{"holder.puk alice": {"70707070", "70707070", "70707070", "70707070", "70707070"}}
	for try := range 2 {
		if try == 1 {
			a.leave = "holder.unblock alice" // nobody is asked any more
		}
		err := desk.Run(t.Context(), keyAlice, a)
		if err == nil || !strings.Contains(err.Error(), "Alice Costa's token is blocked: no tries are left, and its PUK is blocked too") || !strings.Contains(err.Error(), "Start a holder over") {
			t.Errorf("%v", err)
		}
	}
	if !a.saw("1 left: one more wrong PUK blocks it") {
		t.Error("nobody was warned of the last try")
	}
	startOver(t, desk)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 5)
}

// Firmware that does not tell the tries of the PUK has not said that it is
// blocked: anyone who has the PUK of such a token, whose key stays, is asked for it.
func TestBlockedPINOfOldFirmware(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	serial := desk.State().Holders["alice"].Serial
	s, desk := first.follow(following(agreed.Rotate, "[root]\nexpires = \"2028-01-01T00:00:00Z\"", members(t, desk)...))
	runTo(t, desk, "sign alice")
	s.block("A-01")
	puk := s.puk("A-01")
	s.becomesOld(serial)
	a := &typing{Script: prompt.Script{Answers: typesNewPIN}, secrets: map[string][]string{"holder.puk alice": {"70503070", puk}}}
	if err := desk.Run(t.Context(), "sign alice", a); err != nil {
		t.Fatal(err)
	}
	if !a.saw("PUK tries: not told by its firmware") || !a.saw("PUK tries: 4 left") || a.saw("-1") {
		t.Errorf("%q", a.said)
	}
	if desk.State().Holders["alice"].Signature == nil {
		t.Error("not signed")
	}
}

// becomesOld gives a token a firmware without GET METADATA.
func (s *stage) becomesOld(serial uint32) {
	s.t.Helper()
	name := filepath.Join(s.tokens(), fmt.Sprintf("%d.token", serial))
	text, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	old := bytes.Replace(lines[1], []byte(`"firmware":{"Major":5,"Minor":7,"Patch":4}`), []byte(`"firmware":{"Major":5,"Minor":2,"Patch":7}`), 1)
	if bytes.Equal(old, lines[1]) {
		s.t.Fatalf("no firmware in %.200s", old)
	}
	body := append(lines[0], old...)
	if err := os.WriteFile(name, fmt.Appendf(body, "%x\n", sha256.Sum256(body)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Where nobody has the PUK nobody is asked for it, and who has it may keep it
// to themselves.
func TestPUKIsNotTyped(t *testing.T) {
	s, desk := opened(t)
	leaveBeforeProof(t, desk)
	s.block("A-01")
	a := &typing{}
	if err := desk.Run(t.Context(), "enrol alice", a); err == nil || !strings.Contains(err.Error(), "nobody has its PUK") || len(a.asked) != 0 {
		t.Errorf("%v, asked %v", err, a.asked)
	}
	s, desk = withPUKKept(t)
	s.block("A-01")
	if err := desk.Run(t.Context(), keyAlice, &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "its PUK was not typed; the task can be taken again") {
		t.Errorf("%v", err)
	}
	if n := s.count(state.TypeUnblockIntended); n != 0 {
		t.Errorf("%d intentions", n)
	}
}

// Leaving at each prompt changes nothing, and costs no try.
func TestLeavingTheWayOut(t *testing.T) {
	s, desk := withPUKKept(t)
	s.block("A-01")
	secrets := func() map[string][]string { return map[string][]string{"holder.puk alice": {s.puk("A-01")}} }
	for _, asked := range []string{"holder.unblock alice", "holder.puk alice", "holder.pin.new alice", "holder.pin.again alice"} {
		a := &typing{Script: prompt.Script{Answers: typesNewPIN}, secrets: secrets(), leave: asked}
		if err := desk.Run(t.Context(), keyAlice, a); !errors.Is(err, prompt.ErrBack) {
			t.Errorf("%s: %v", asked, err)
		}
		if info := s.look(t); info.PINTries != 0 || info.PUKTries != 5 {
			t.Errorf("%s: %d tries of the PIN, %d of the PUK", asked, info.PINTries, info.PUKTries)
		}
	}
	if n := s.count(state.TypeUnblockIntended); n != 0 {
		t.Errorf("%d intentions", n)
	}
	if err := desk.Run(t.Context(), keyAlice, &typing{Script: prompt.Script{Answers: typesNewPIN}, secrets: secrets()}); err != nil {
		t.Fatal(err)
	}
	s.checkUnblocked(newPIN)
}

// The power fails before each event: afterwards the PIN is the new one, and
// set once.
func TestPowerFailsWhileThePINIsSet(t *testing.T) {
	for name, factory := range map[string]bool{"PUK of the factory": true, "PUK kept": false} {
		t.Run(name, func(t *testing.T) {
			var whole *stage
			var desk *ceremony.Desk
			task := keyAlice
			if factory {
				task = "enrol alice"
				whole, desk = opened(t)
				beforeRootKey(t, desk)
			} else {
				whole, desk = withPUKKept(t)
			}
			desk.Close()
			whole.block("A-01")
			puk := whole.puk("A-01")
			left := whole.powerFailures(func(clock func() time.Time) { whole.goOn(clock, task, puk) })
			for n, s := range left {
				t.Run(fmt.Sprint("before event ", n+1), func(t *testing.T) {
					t.Parallel()
					s.t = t
					s.goOn(clock, task, puk)
					s.checkUnblocked(newPIN)
				})
			}
		})
	}
}

// goOn takes a task of Alice's to its end.
func (s *stage) goOn(clock func() time.Time, task, puk string) {
	t := s.t
	t.Helper()
	desk, err := s.open(clock, allStickers...)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	if slices.ContainsFunc(desk.Tasks(), func(t prompt.Task) bool { return t.ID == task && t.State == prompt.Done }) {
		return // all but the answer was done
	}
	a := &typing{Script: prompt.Script{Answers: typesNewPIN}, secrets: map[string][]string{"holder.puk alice": {puk}}}
	if err := desk.Run(t.Context(), task, a); err != nil {
		t.Fatal(err)
	}
}

// After the seal a holder with a new PIN still signs the log.
func TestBlockedPINAfterTheSeal(t *testing.T) {
	s, desk := withPUKKept(t)
	runTo(t, desk, "checkpoints")
	s.block("A-01")
	a := &typing{Script: prompt.Script{Answers: map[string]string{"checkpoints.who": "alice"}}, secrets: map[string][]string{"holder.puk alice": {s.puk("A-01")}}}
	a.Answers["holder.unblock alice"] = "yes"
	a.Say = func(m prompt.Message) {
		if strings.Contains(m.Title, "Alice Costa: the PIN is blocked") {
			delete(a.Answers, "checkpoints.who")
		}
	}
	if err := desk.Run(t.Context(), "checkpoints", a); err != nil {
		t.Fatal(err)
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 5)
}

// A log in which a PIN was set by a PUK that nobody has does not replay.
func TestFoldRefusesPUKsThatNobodyHas(t *testing.T) {
	_, fresh := opened(t)
	runTo(t, fresh, "enrol alice")
	_, prepared := opened(t)
	beforeRootKey(t, prepared)
	_, made := opened(t)
	leaveBeforeProof(t, made)
	_, kept := withPUKKept(t)
	for name, c := range map[string]struct {
		desk    *ceremony.Desk
		factory bool
		want    string
	}{
		"no PIN yet":          {fresh, true, "no PIN of Alice Costa yet"},
		"factory":             {prepared, true, ""},
		"another's":           {prepared, false, ""},
		"factory, replaced":   {made, true, "was replaced"},
		"nobody's":            {made, false, "nobody has the PUK"},
		"kept":                {kept, false, ""},
		"factory, and kept":   {kept, true, "was replaced"},
		"a result of nothing": {kept, false, "no intention"},
	} {
		now, err := state.Fold(events(t, c.desk.Dir()))
		if err != nil {
			t.Fatal(err)
		}
		serial := now.Holders["alice"].Serial
		if serial == 0 {
			serial = 4711
		}
		var data any = state.UnblockIntended{Act: state.Act{Holder: "alice", Serial: serial}, FactoryPUK: c.factory}
		kind := state.TypeUnblockIntended
		if c.want == "no intention" {
			kind, data = state.TypeUnblocked, state.Result{Act: state.Act{Holder: "alice", Serial: serial}, Intention: 3}
		}
		text, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		_, err = now.With(transcript.Event{Seq: 99, Type: kind, By: "alice", Data: text})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
