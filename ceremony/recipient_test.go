package ceremony_test

import (
	"bytes"
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"rootceremony/ceremony"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// newWords has Alice as the only holder, whose backups a passphrase and a safe
// open together.
func newWords(t testing.TB) *stage {
	t.Helper()
	plan, identities, files := safesPlan(t, 2, 1, `recipients = [`, `recipients = ["Words", `,
		"[[holder]]\nname = \"Alice", "[[recipient]]\nname = \"Words\"\npassphrase = true\n\n[[holder]]\nname = \"Alice")
	return newStageOf(t, keep(plan, 1)).withSafes(identities, files)
}

// Nobody has to lay down answers for an automatic rehearsal of a plan with a
// passphrase, nor for what is typed at random.
func TestScriptHasPassphrases(t *testing.T) {
	s, desk := newWords(t).opened()
	if err := runAll(desk, &prompt.Script{Answers: map[string]string{"entropy alice": "yes"}}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 1)
	again := s.only(t, desk, (*ceremony.Desk).OnlyCheckup)
	runTasks(t, again, &prompt.Script{}, "checkup words")
}

// A pipe in the place of an identity file is refused at once.
func TestIdentityIsNoPipe(t *testing.T) {
	_, desk := newAlone(t).opened()
	runTo(t, desk, "recipient safe-1")
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- desk.Run(context.Background(), "recipient safe-1", &prompt.Script{Answers: map[string]string{"identity safe-1": pipe}})
	}()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "not a plain file") {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("it waits for ever")
	}
}

var testName = regexp.MustCompile(`"test":\{"name":"([^"]*)"`)

// A log that names any file as a recipient's test file is refused.
func TestTestFileHasItsName(t *testing.T) {
	s, desk := newWords(t).opened()
	runTo(t, desk, "key alice")
	desk.Close()
	before := events(t, s.dir)
	for _, c := range []struct {
		name string
		want bool
	}{{"", true}, {"/etc/passwd", false}, {"../x.age", false}, {"private/backups/tests/words.00000000.age", false}} {
		all := slices.DeleteFunc(slices.Clone(before), func(e transcript.Event) bool { return e.Type == state.TypeCheckpointSigned })
		for i, e := range all {
			if name := testName.FindSubmatch(e.Private); name != nil && c.name != "" {
				all[i].Private = bytes.Replace(e.Private, name[1], []byte(c.name), 1)
			}
		}
		_, err := state.Fold(all)
		if (err == nil) != c.want || err != nil && !strings.Contains(err.Error(), "is no test file of Words") {
			t.Errorf("%q: %v", c.name, err)
		}
	}
}

// Where the plan has backups, nobody is told that a forgotten PIN is lost.
func TestNewPINSaysWhatIsTrue(t *testing.T) {
	for backups, want := range map[bool]string{true: "the recipients of the backups can have a new one set", false: "is lost with its key"} {
		s := newStageOf(t, "")
		if !backups {
			s = newStage(t)
		}
		_, desk := s.opened()
		runTo(t, desk, "enrol alice")
		a := &typing{}
		if err := desk.Run(t.Context(), "enrol alice", a); err != nil {
			t.Fatal(err)
		}
		if !a.saw(want) || backups == a.saw("is lost with its key") {
			t.Errorf("backups %v: %q", backups, a.said)
		}
	}
}

// Anyone who mistypes a passphrase, or takes the wrong file, is asked again at once:
// the PIN of who came before is not asked for a second time. Anyone who goes leaves
// nothing behind.
func TestSlipsAreAskedAgain(t *testing.T) {
	plan, identities, files := safesPlan(t, 4, 2, `recipients = [`, `recipients = ["holders", "Words", `,
		"[[holder]]\nname = \"Alice", "[[recipient]]\nname = \"Words\"\npassphrase = true\n\n[[holder]]\nname = \"Alice")
	files["safe-2"] = locked(t, files["safe-2"])
	s, desk := newStageOf(t, keep(plan, 2)).withSafes(identities, files).opened()
	runTasks(t, desk, &prompt.Script{}, "preflight", "agree", "enrol alice", "enrol bruno")
	slip := &typing{secrets: map[string][]string{
		"recipient.passphrase words": {words}, "recipient.again words": {words + "s", words}, "seal.passphrase words": {words + "s", words, words},
		"open.passphrase words": {words + "s", words}, "identity.passphrase safe-2": {"x", words, "x", words}}}
	other := filepath.Join(t.TempDir(), "other.txt")
	if err := disk.WriteNew(other, []byte(stranger(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	paths := &asking{typing: slip, answers: map[string][]string{"identity safe-1": {filepath.Join(s.dir, state.PlanFile), other, s.identityFile("safe-1")}}}
	runTasks(t, desk, paths, "recipient words", "recipient safe-1", "recipient safe-2", "key alice", "key bruno")
	slip.asked = nil
	slip.Answers = by("bruno", "words", "safe-1", "safe-2")
	runTasks(t, desk, paths, "drill")
	for id, times := range map[string]int{"holder.pin bruno": 1, "open.passphrase words": 2, "identity.passphrase safe-2": 2} {
		n := 0
		for _, asked := range slip.asked {
			if asked == id {
				n++
			}
		}
		if n != times {
			t.Errorf("%s was asked %d times, not %d", id, n, times)
		}
	}
	if !slip.saw("That did not open it") || len(desk.State().Drills) != 1 {
		t.Errorf("drills %+v, said %q", desk.State().Drills, slip.said)
	}
}

// asking answers questions one after the other, by prompt id.
type asking struct {
	*typing
	answers map[string][]string
}

func (a *asking) Ask(ctx context.Context, p prompt.Prompt, check func(string) error) (string, error) {
	if rest := a.answers[p.ID]; len(rest) > 0 {
		a.answers[p.ID] = rest[1:]
		return rest[0], check(rest[0])
	}
	return a.typing.Ask(ctx, p, check)
}

// stranger is the identity of nobody in the plan.
func stranger(t testing.TB) string {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity.String() + "\n"
}

// locked is an identity file encrypted with the passphrase words.
func locked(t testing.TB, text string) string {
	t.Helper()
	r, err := age.NewScryptRecipient(words)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(4)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A spare token is checked up by itself, and one that has passed and is then
// replaced has not passed for the one in its place.
func TestCheckupOfASpare(t *testing.T) {
	s, desk := withBackups(t, `token = "A-01"`, "token = \"A-01\"\nspare = true")
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	spare := desk.State().Holders["alice"].Spare.Serial
	again := s.only(t, desk, (*ceremony.Desk).OnlyCheckup)
	// Its PIN is blocked, and set again by the quorum.
	s.block(desk.State().Holders["alice"].Spare.Holder.Token)
	runTasks(t, again, &prompt.Script{Answers: quorum(map[string]string{"holder.unblock alice": "quorum"}, "dana", "bank-safe", "chen")}, "checkup alice spare")
	now := func(id string) prompt.TaskState {
		tasks := again.Tasks()
		return tasks[slices.IndexFunc(tasks, func(t prompt.Task) bool { return t.ID == id })].State
	}
	if now("checkup alice spare") != prompt.Done || now("checkup alice") != prompt.Ready {
		t.Fatalf("passed: %v", again.State().Passed)
	}
	runTasks(t, again, &prompt.Script{}, "checkup alice", "checkup bruno", "checkup bank-safe")
	again = s.only(t, again, (*ceremony.Desk).OnlyRestore)
	runTasks(t, again, &prompt.Script{Answers: quorum(map[string]string{"restore.whose": "bruno", "restore.what": "key"}, "dana", "bank-safe", "chen")}, "restore")
	again = s.only(t, again, (*ceremony.Desk).OnlyRestore)
	runTasks(t, again, &prompt.Script{Answers: map[string]string{"restore.whose": "alice", "restore.what": "spare"}}, "restore")
	again = s.only(t, again, (*ceremony.Desk).OnlyCheckup)
	// The spare has passed, and is the token now.
	if alice := again.State().Holders["alice"]; alice.Serial != spare || now("checkup alice") != prompt.Done || now("checkup bruno") != prompt.Ready {
		t.Errorf("passed: %v", again.State().Passed)
	}
	runTasks(t, again, &prompt.Script{}, "checkup bruno", "checkup end")
	if missing := again.State().Checkups[0].Missing; strings.Join(missing, " ") != "chen dana emil" {
		t.Errorf("missing: %q", missing)
	}
}
