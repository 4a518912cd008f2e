package ceremony_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/virtual"
)

// withBackups is a desk of the example plan, which edit changes, with two fresh
// tokens beside.
func withBackups(t testing.TB, edit ...string) (*stage, *ceremony.Desk) {
	t.Helper()
	s := newStageOf(t, "")
	name := filepath.Join(s.dir, state.PlanFile)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.NewReplacer(edit...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	desk, err := s.open(clock, append(slices.Clone(allStickers), "FRESH-1", "FRESH-2")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = desk.Close() })
	return s, desk
}

// quorum answers who opens a backup.
func quorum(answers map[string]string, ids ...string) map[string]string {
	for i, id := range ids {
		answers[fmt.Sprintf("open.who %d", i+1)] = id
	}
	return answers
}

// only opens the desk again for one thing, after the ceremony or in it.
func (s *stage) only(t testing.TB, desk *ceremony.Desk, what func(*ceremony.Desk) error) *ceremony.Desk {
	t.Helper()
	desk.Close()
	again, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	tokens := again.Tokens()
	tokens.Stickers = append(slices.Clone(allStickers), "FRESH-1", "FRESH-2")
	again.UseTokens(tokens)
	if err := what(again); err != nil {
		t.Fatal(err)
	}
	return again
}

// A token is destroyed in the middle of a ceremony: its key, from the backup,
// signs on a fresh one. Afterwards another is, and is restored too.
func TestKeyIsRestored(t *testing.T) {
	s, desk := withBackups(t)
	runTo(t, desk, "sign alice")
	public, lost := desk.State().Holders["alice"].Key.Public, desk.State().Holders["alice"].Serial
	answers := quorum(map[string]string{"restore.whose": "alice", "restore.what": "key"}, "dana", "bank-safe", "bruno")
	if err := desk.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err != nil {
		t.Fatal(err)
	}
	alice := desk.State().Holders["alice"]
	if alice.Serial == lost || alice.Key.Public != public || !slices.Equal(alice.Former, []uint32{lost}) || alice.Holder.Token != "FRESH-1" || alice.Replacement != nil {
		t.Fatalf("restored: %+v", alice)
	}
	if owner := desk.State().HolderOf(lost); owner != alice {
		t.Error("the lost token, which has the root key, is nobody's")
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	now := checkSigned(t, s.dir, 5)
	if !slices.ContainsFunc(now.Signatures(), func(sig tuf.Signature) bool { return sig.KeyID == now.Holders["alice"].Signature.KeyID }) {
		t.Error("Alice has not signed")
	}

	again := s.only(t, desk, (*ceremony.Desk).OnlyRestore)
	// Alice's new token opens nothing that was sealed for the old one.
	answers = quorum(map[string]string{"restore.whose": "emil", "restore.what": "key"}, "alice", "bank-safe", "bruno")
	if err := again.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err == nil || !strings.Contains(err.Error(), `"open.who 1" is refused`) {
		t.Fatalf("opened by a token it was not sealed for: %v", err)
	}
	quorum(answers, "chen", "bank-safe", "bruno")
	if err := again.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err != nil {
		t.Fatal(err)
	}
	if emil := again.State().Holders["emil"]; emil.Holder.Token != "FRESH-2" || emil.Key.Public != now.Holders["emil"].Key.Public || again.State().Closed == nil {
		t.Errorf("restored after the day: %+v", emil)
	}
	if !again.Done() {
		t.Error("it is not done")
	}
}

// The power fails before every event of a restoration: the next start goes on,
// and the key is the same.
func TestPowerFailsWhileAKeyIsRestored(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	before, desk := withBackups(t)
	runTo(t, desk, "review")
	public := desk.State().Holders["alice"].Key.Public
	desk.Close()
	restore := func(t *testing.T, s *stage, desk *ceremony.Desk) {
		t.Helper()
		s.useFresh(desk)
		answers := quorum(map[string]string{"restore.whose": "alice", "restore.what": "key"}, "dana", "bank-safe", "bruno")
		if err := desk.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err != nil {
			t.Fatal(err)
		}
	}
	left := before.powerFailures(func(clock func() time.Time) {
		desk, err := before.open(clock)
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Close()
		restore(t, before, desk)
	})
	if len(left) < 9 {
		t.Errorf("only %d events", len(left)-1)
	}
	for n, s := range left {
		t.Run(fmt.Sprint("before event ", n+1), func(t *testing.T) {
			t.Parallel()
			s.t = t
			desk, err := s.open(clock)
			if err != nil {
				t.Fatal(err)
			}
			defer desk.Close()
			for range 3 {
				if len(desk.State().Holders["alice"].Former) == 0 {
					restore(t, s, desk)
				}
			}
			alice := desk.State().Holders["alice"]
			if len(alice.Former) != 1 || alice.Key.Public != public || alice.Replacement != nil {
				t.Fatalf("%+v", alice)
			}
			session := s.session(t, alice.Holder.Token)
			defer session.Close()
			if info, err := session.Info(); err != nil || info.PINTries != 5 || info.PUKDefault || info.ManagementDefault {
				t.Errorf("%+v, %v", info, err)
			}
		})
	}
}

func (s *stage) useFresh(desk *ceremony.Desk) {
	tokens := desk.Tokens()
	tokens.Stickers = append(slices.Clone(allStickers), "FRESH-1", "FRESH-2")
	desk.UseTokens(tokens)
}

// A forgotten PIN: the quorum opens the PUK, and the holder has a new PIN.
func TestPINIsRestored(t *testing.T) {
	s, desk := withBackups(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	again := s.only(t, desk, (*ceremony.Desk).OnlyRestore)
	const pin = "7391058"
	answers := quorum(map[string]string{"restore.whose": "bruno", "restore.what": "pin", "holder.pin.new bruno": pin, "holder.pin.again bruno": pin}, "dana", "bank-safe", "alice")
	s.block("B-02")
	if err := again.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err != nil {
		t.Fatal(err)
	}
	session := s.session(t, "B-02")
	typed, err := secret.Take([]byte(pin))
	if err != nil {
		t.Fatal(err)
	}
	if err := session.CheckPIN(typed); err != nil {
		t.Errorf("the new PIN: %v", err)
	}
	session.Close()
	if n := s.count(state.TypeUnblocked); n != 1 {
		t.Errorf("recorded %d times", n)
	}
}

// A PIN that is blocked in the middle of a task is set again by the quorum.
func TestBlockedPINWithBackup(t *testing.T) {
	s, desk := withBackups(t)
	runTo(t, desk, "sign alice")
	s.block("A-01")
	const pin = "7391058"
	answers := quorum(map[string]string{"holder.unblock alice": "quorum", "holder.pin.new alice": pin, "holder.pin.again alice": pin}, "dana", "bank-safe", "bruno")
	if err := desk.Run(t.Context(), "sign alice", &prompt.Script{Answers: answers}); err != nil {
		t.Fatal(err)
	}
	if desk.State().Holders["alice"].Signature == nil {
		t.Error("not signed")
	}
}

// A spare token gets the same key, and signs in the place of the first.
func TestSpareToken(t *testing.T) {
	s, desk := withBackups(t, `token = "A-01"`, "token = \"A-01\"\nspare = true")
	runTo(t, desk, "spare alice")
	if err := desk.Run(t.Context(), "spare alice", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	alice := desk.State().Holders["alice"]
	if alice.Spare == nil || alice.Spare.Key.Public != alice.Key.Public || alice.Holder.Token != "A-01" {
		t.Fatalf("the spare: %+v", alice.Spare)
	}
	runTo(t, desk, "sign alice")
	spare := alice.Spare.Serial
	if err := desk.Run(t.Context(), "restore", &prompt.Script{Answers: map[string]string{"restore.whose": "alice", "restore.what": "spare"}}); err != nil {
		t.Fatal(err)
	}
	if alice = desk.State().Holders["alice"]; alice.Serial != spare || alice.Spare != nil {
		t.Fatalf("the spare is not in use: %+v", alice)
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 5)
}

func TestCheckup(t *testing.T) {
	s, desk := withBackups(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	again := s.only(t, desk, (*ceremony.Desk).OnlyCheckup)
	for _, id := range []string{"alice", "chen", "bank-safe"} {
		if err := again.Run(t.Context(), "checkup "+id, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
	}
	// A token that was reset since, and a safe that holds another identity.
	session := s.session(t, "E-05")
	if err := session.Reset(); err != nil {
		t.Fatal(err)
	}
	session.Close()
	if err := again.Run(t.Context(), "checkup emil", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "no longer holds") {
		t.Errorf("a token without its key: %v", err)
	}
	if err := again.Run(t.Context(), "checkup bruno", &prompt.Script{Answers: map[string]string{"holder.pin bruno": "90817263", "holder.unblock bruno": "no"}}); err == nil {
		t.Error("a wrong PIN is well")
	}
	var said []string
	err := again.Run(t.Context(), "checkup end", &prompt.Script{Say: func(m prompt.Message) { said = append(said, m.Text...) }})
	if err != nil || !strings.Contains(strings.Join(said, " "), "Bruno Ferraz, Dana Okafor and Emil Novak did not come") {
		t.Errorf("%v, said %q", err, said)
	}
	now := again.State()
	if len(now.Checkups) != 1 || len(now.Passed) != 0 || !now.Checkups[0].Next.Before(now.Draft.Expires) {
		t.Errorf("recorded: %+v", now.Checkups)
	}
	if !again.Done() || again.State().Closed == nil {
		t.Error("it is not done")
	}
}

// A token whose PUK has no tries left passes, and is a finding: a PIN that is
// forgotten then stays so. Where nobody has the PUK nothing is lost with it.
func TestCheckupFindsBlockedPUKs(t *testing.T) {
	for name, c := range map[string]struct {
		stage func() (*stage, *ceremony.Desk)
		says  string // "": all is well
	}{
		"backed-up key": {func() (*stage, *ceremony.Desk) { return withBackups(t) }, "rootceremony restore"},
		"key on the token, PUK kept": {func() (*stage, *ceremony.Desk) {
			return withBackups(t, `custody = "backed-up"`, `custody = "on-token"`)
		}, "plan a rotation"},
		"key on the token, nobody's PUK": {func() (*stage, *ceremony.Desk) { return opened(t) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, desk := c.stage()
			if err := runAll(desk, &prompt.Script{}); err != nil {
				t.Fatal(err)
			}
			again := s.only(t, desk, (*ceremony.Desk).OnlyCheckup)
			s.blockPUK("B-02")
			for _, task := range again.Tasks() {
				a := &typing{}
				if err := again.Run(t.Context(), task.ID, a); err != nil {
					t.Fatalf("%s: %v", task.ID, err)
				}
				finding := (task.ID == "checkup bruno" || task.ID == "checkup end") && c.says != ""
				for _, want := range []string{"PUK", c.says} {
					if finding && !a.saw(want) {
						t.Errorf("%s: nobody was told %q: %q", task.ID, want, a.said)
					}
				}
				if finding == (a.saw("all is well") || a.saw("everything works")) {
					t.Errorf("%s: %q", task.ID, a.said)
				}
				if a.saw("reset") || a.saw("wipe") {
					t.Errorf("%s advises to erase the token: %q", task.ID, a.said)
				}
			}
			done := again.State().Checkups[0]
			if len(done.Missing) != 0 || (len(done.PUKBlocked) == 1) != (c.says != "") {
				t.Errorf("recorded: %+v", done)
			}
			if _, err := state.Fold(events(t, s.dir)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Where the PUK has no tries left its backup sets no PIN: that is said as soon
// as the token is there, before a PIN is chosen and anybody comes to open it.
func TestRestoreSaysThatThePUKIsBlocked(t *testing.T) {
	for name, c := range map[string]struct {
		edit []string
		pin  bool // blocked too
		want []string
	}{
		"backed-up key":                {nil, false, []string{"its PIN still has 5 tries", "on a fresh token"}},
		"backed-up key, no PIN":        {nil, true, []string{"on a fresh token"}},
		"key on the token":             {[]string{`custody = "backed-up"`, `custody = "on-token"`}, false, []string{"its PIN still has 5 tries", "rotation"}},
		"key on the token, and no PIN": {[]string{`custody = "backed-up"`, `custody = "on-token"`}, true, []string{"rotation"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, desk := withBackups(t, c.edit...)
			if err := runAll(desk, &prompt.Script{}); err != nil {
				t.Fatal(err)
			}
			again := s.only(t, desk, (*ceremony.Desk).OnlyRestore)
			s.blockPUK("B-02")
			if c.pin {
				s.block("B-02")
			}
			a := &typing{Script: prompt.Script{Answers: map[string]string{"restore.whose": "bruno", "restore.what": "pin"}}}
			before := len(events(t, s.dir))
			err := again.Run(t.Context(), "restore", a)
			if err == nil {
				t.Fatal("restored")
			}
			for _, want := range append(c.want, "PUK", "Bruno Ferraz") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: not %q", err, want)
				}
			}
			for _, never := range []string{"reset", "wipe", "wiped", "start over", "insert"} {
				if strings.Contains(err.Error(), never) {
					t.Errorf("%v: advises to %s", err, never)
				}
			}
			for _, id := range a.asked {
				if strings.HasPrefix(id, "holder.pin") || strings.HasPrefix(id, "open.") {
					t.Errorf("asked %s", id)
				}
			}
			if after := events(t, s.dir)[before:]; len(after) != 1 || after[0].Type != state.TypeTaskFailed {
				t.Errorf("recorded: %+v", after)
			}
		})
	}
}

// One backup file that is gone or changed keeps nobody from the others.
func TestDamagedBackups(t *testing.T) {
	s, desk := withBackups(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	desk.Close()
	files, err := filepath.Glob(filepath.Join(s.dir, "private/backups/alice/*/*.key.age"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%v, %v", files, err)
	}
	gone := "bruno+chen+dana.key.age"
	for _, name := range files {
		switch filepath.Base(name) {
		case gone:
			err = os.Remove(name)
		case "bank-safe+bruno+chen.key.age":
			err = os.WriteFile(name, []byte("age-encryption.org/v1\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	again := s.only(t, desk, (*ceremony.Desk).OnlyRestore)
	if status := strings.Join(again.Status(), "\n"); strings.Count(status, "damaged: ") != 2 || !strings.Contains(status, gone) {
		t.Errorf("status:\n%s", status)
	}
	for _, c := range []struct {
		by   []string
		says string
	}{
		{[]string{"bruno", "chen", "dana"}, "let other recipients open it"},
		{[]string{"bruno", "chen", "bank-safe"}, "is not the file that was sealed"},
		{[]string{"bruno", "chen", "emil"}, ""},
	} {
		answers := quorum(map[string]string{"restore.whose": "alice", "restore.what": "key"}, c.by...)
		err := again.Run(t.Context(), "restore", &prompt.Script{Answers: answers})
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%v: %v", c.by, err)
		}
	}
	if again.State().Holders["alice"].Holder.Token != "FRESH-1" {
		t.Error("not restored")
	}
	// What was sealed for the fresh token is not on the media yet.
	task, ok := again.Next()
	if !ok || task.ID != "copies" {
		t.Errorf("next: %v", task.ID)
	}
}

// The fresh token is lost too, before it has the key: another takes its place.
func TestFreshTokenIsGivenUp(t *testing.T) {
	s, desk := withBackups(t)
	runTo(t, desk, "review")
	answers := quorum(map[string]string{"restore.whose": "dana", "restore.what": "key", "restore.sticker": "FRESH-1", "open.who 1": "nobody"})
	if err := desk.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err == nil || desk.State().Holders["dana"].Replacement == nil {
		t.Fatalf("not begun: %v", err)
	}
	begun := desk.State().Holders["dana"].Replacement.Serial
	wrong := &answered{token: func(w prompt.TokenWait) (keys.Info, error, bool) {
		s.plugged = []string{"FRESH-2"}
		info, err := w.Look(context.Background())
		return info, err, true
	}}
	wrong.Answers = map[string]string{"restore.whose": "dana"}
	if err := desk.Run(t.Context(), "restore", wrong); err == nil || !strings.Contains(err.Error(), "give it up") {
		t.Errorf("another token: %v", err)
	}
	answers = quorum(map[string]string{"restore.whose": "dana", "restore.goon dana": "give-up", "restore.what": "key", "restore.sticker": "FRESH-2"}, "alice", "chen", "emil")
	if err := desk.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err != nil {
		t.Fatal(err)
	}
	dana := desk.State().Holders["dana"]
	if dana.Holder.Token != "FRESH-2" || dana.Serial == begun || desk.State().HolderOf(begun) != nil {
		t.Errorf("%+v", dana)
	}
	if desk.State().HolderOf(dana.Former[0]) != dana {
		t.Error("the lost token is nobody's")
	}
}

// The token that is replaced is never taken for the fresh one.
func TestOwnTokenIsNotTheFreshOne(t *testing.T) {
	s, desk := withBackups(t)
	runTo(t, desk, "review")
	own := &answered{token: func(w prompt.TokenWait) (keys.Info, error, bool) {
		s.plugged = []string{"D-04"}
		info, err := w.Look(context.Background())
		return info, err, true
	}}
	own.Answers = map[string]string{"restore.whose": "dana", "restore.what": "key"}
	own.Say = func(m prompt.Message) {
		if strings.Contains(m.Title, "wiped") {
			t.Errorf("asked to wipe it: %+v", m)
		}
	}
	if err := desk.Run(t.Context(), "restore", own); err == nil || !strings.Contains(err.Error(), "Dana Okafor's own") {
		t.Errorf("%v", err)
	}
}

// Every holder has a spare. A token that was replaced opens nothing that was
// sealed for it, whichever was prepared first.
func TestSpareForEveryHolder(t *testing.T) {
	var edit []string
	for _, sticker := range allStickers {
		edit = append(edit, fmt.Sprintf("token = %q", sticker), fmt.Sprintf("token = %q\nspare = true", sticker))
	}
	s, desk := withBackups(t, edit...)
	fresh := slices.Clone(allStickers)
	for i := range 7 {
		sticker := fmt.Sprintf("FRESH-%d", i+1)
		if _, err := s.drawer.Add(sticker, virtual.Options{}); err != nil {
			t.Fatal(err)
		}
		fresh = append(fresh, sticker)
	}
	tokens := desk.Tokens()
	tokens.Stickers = fresh
	desk.UseTokens(tokens)
	runTo(t, desk, "sign alice")
	used := map[uint32]bool{}
	for id, h := range desk.State().Holders {
		if h.Spare == nil || used[h.Spare.Serial] {
			t.Fatalf("the spare of %s: %+v", id, h.Spare)
		}
		used[h.Spare.Serial] = true
	}
	if err := desk.Run(t.Context(), "restore", &prompt.Script{Answers: map[string]string{"restore.whose": "alice", "restore.what": "spare"}}); err != nil {
		t.Fatal(err)
	}
	answers := quorum(map[string]string{"restore.whose": "bruno", "restore.what": "pin"}, "alice", "chen", "dana")
	if err := desk.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err == nil || !strings.Contains(err.Error(), `"open.who 1" is refused`) {
		t.Errorf("opened by a token it was not sealed for: %v", err)
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 5)
}
