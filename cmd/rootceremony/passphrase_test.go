package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// longPassphrase is as long as people make them, with spaces, capitals and
// letters that take two bytes.
const longPassphrase = "Correct horse battery staple, and 7 Zürich trams: they all go home late; so does the night watchman."

// passphrasePlanFile writes a plan of one holder, whose backups a safe and a
// passphrase open together.
func passphrasePlanFile(t *testing.T) string {
	t.Helper()
	return backedUpPlanFile(t, 1, 2, "[\"Bank safe\", \"Board\"]\n\n[[recipient]]\nname = \"Board\"\npassphrase = true")
}

// TestPassphraseOnScreen holds a ceremony in the terminal UI with a recipient
// that is a passphrase: typed twice, typed wrong, and typed again to seal and to
// open. It is in no file and not on the terminal, and in the end in no memory.
func TestPassphraseOnScreen(t *testing.T) {
	t.Parallel()
	plan := passphrasePlanFile(t)
	dir := filepath.Join(t.TempDir(), "d")
	s := onTerminal(t, nil, "rehearse", "--plan", plan, "--identities", identitiesOf(plan), dir)
	r := newPeople()
	asked := func(question string) func(string) bool {
		return func(text string) bool { return strings.Contains(text, question) && readPrompt.MatchString(text) }
	}
	r.stop = asked("Board: choose its passphrase")
	r.hold(s)
	s.write("too short\r")
	s.until("the passphrase is shorter than 20")
	s.until("> █")
	s.write(longPassphrase + "\r")
	s.until("the same passphrase again")
	s.until("> █")
	s.write(longPassphrase + "!\r")
	s.until("That did not open it")
	s.until("> █")
	s.write(longPassphrase + "\r")
	for _, question := range []string{"its passphrase, for the backups", "Board: open the backup"} {
		r.stop = asked(question)
		r.hold(s)
		s.write(longPassphrase + "\r")
	}
	r.stop = func(text string) bool { return strings.Contains(text, "Next: Backups: Copy to media") }
	r.hold(s)
	if !testing.Short() {
		for end := time.Now().Add(2 * time.Minute); len(children(s.command.Process.Pid)) > 1 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		}
		remnants, _ := copies(memory(t, s.command.Process.Pid), longPassphrase, true)
		for _, where := range remnants {
			t.Errorf("in the program's memory: %s", where)
		}
	}
	r.stop = nil
	r.hold(s)
	if status := s.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	checkPublished(t, dir)
	if bytes.Contains(s.raw.Bytes(), []byte("battery")) {
		t.Error("the passphrase was on the terminal")
	}
}

// TestPassphraseInPlain is the same line by line; and then with nobody
// at the keyboard, its answers laid down.
func TestPassphraseInPlain(t *testing.T) {
	t.Parallel()
	plan := passphrasePlanFile(t)
	r := openRoom(t)
	r.args = []string{"--plan", plan, "--identities", identitiesOf(plan)}
	r.start()
	typed, refused := 0, false // four times: chosen, again, to seal, to open
	for {
		question, err := r.prompt()
		if err != nil {
			break
		}
		switch {
		case strings.Contains(question, "Type the passphrase of Board") && !refused:
			refused = true
			r.answer("too short\r")
		case strings.Contains(question, "Type the passphrase of Board"):
			typed++
			r.answer(longPassphrase + "\r")
		default:
			right, _ := r.rightAnswer(question)
			r.answer(right + "\r")
		}
	}
	if status := r.end(); status != 0 || typed != 4 {
		t.Fatalf("status %d, typed %d times:\n%s", status, typed, &r.all)
	}
	r.checkEnd()
	if bytes.Contains(r.all.Bytes(), []byte("battery")) {
		t.Error("the passphrase was on the terminal")
	}

	auto := filepath.Join(t.TempDir(), "d")
	answers := filepath.Join(t.TempDir(), "answers")
	var lines []string
	for _, id := range []string{"recipient.passphrase", "recipient.again", "seal.passphrase", "open.passphrase"} {
		lines = append(lines, id+" board = "+longPassphrase)
	}
	if err := os.WriteFile(answers, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	command := rehearse(auto)
	command.Args = append(command.Args[:len(command.Args)-1], "--plan", plan, "--identities", identitiesOf(plan), "--answers", answers, auto)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	checkPublished(t, auto)
	hashed := 0
	err := filepath.WalkDir(auto, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".age" {
			return err
		}
		text, err := os.ReadFile(name)
		if header, _, _ := bytes.Cut(text, []byte("\n---")); bytes.Contains(header, []byte("-> scrypt ")) {
			hashed++
			if !bytes.Contains(header, []byte(" 18\n")) {
				t.Errorf("%s: the passphrase has not age's own work factor", name)
			}
		}
		return err
	})
	if err != nil || hashed == 0 {
		t.Errorf("%d files have a passphrase outermost, %v", hashed, err)
	}
}
