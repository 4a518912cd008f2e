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

	"rootceremony/ceremony"
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
	if err := runAll(desk, &ceremony.Script{Answers: map[string]string{"entropy alice": "yes"}}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 1)
	again := s.only(t, desk, (*ceremony.Desk).OnlyCheckup)
	runTasks(t, again, &ceremony.Script{}, "checkup words")
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
		ended <- desk.Run(context.Background(), "recipient safe-1", &ceremony.Script{Answers: map[string]string{"identity safe-1": pipe}})
	}()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "not a plain file") {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
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
		all := slices.DeleteFunc(slices.Clone(before), func(e transcript.Event) bool { return e.Type == ceremony.TypeHeadSigned })
		for i, e := range all {
			if name := testName.FindSubmatch(e.Data); name != nil && c.name != "" {
				all[i].Data = bytes.Replace(e.Data, name[1], []byte(c.name), 1)
			}
		}
		_, err := ceremony.Fold(all)
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
