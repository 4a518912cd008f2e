package ceremony_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/seen"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// A log that was cut short is a valid earlier state. The laptop that wrote it
// remembers better, and another one can't.
func TestRollback(t *testing.T) {
	s := newStage(t)
	s.memory = filepath.Join(t.TempDir(), "state", "signed.jsonl")
	_, desk := s.opened()
	runTo(t, desk, "enrol bruno")
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, transcript.FileName)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	cut := bytes.Join(lines[:len(lines)-2], nil) // the last is empty
	private, err := os.ReadFile(filepath.Join(s.dir, transcript.PrivateName))
	if err != nil {
		t.Fatal(err)
	}
	lay := func(text []byte) {
		t.Helper()
		for name, text := range map[string][]byte{file: text, filepath.Join(s.dir, transcript.PrivateName): private} {
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	lay(cut)
	_, err = s.open(clock)
	for _, says := range []string{"the log has ", "older copy", "newest copy", filepath.Join(filepath.Dir(s.memory), seen.FileName)} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, not %q", err, says)
		}
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, cut) {
		t.Errorf("the log was changed: %v", err)
	}

	// On another laptop, which can't know, and writes on; then back on the first.
	memory := s.memory
	s.memory = ""
	other, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := other.Note("written elsewhere", false); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	s.memory = memory
	if _, err = s.open(clock); err == nil || !strings.Contains(err.Error(), "are not those that this laptop wrote") {
		t.Errorf("%v", err)
	}

	lay(whole)
	again, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

// At the next start people are told of lines that another laptop has written.
func TestLinesOfAnotherLaptop(t *testing.T) {
	s := newStage(t)
	here, there := filepath.Join(t.TempDir(), "signed.jsonl"), filepath.Join(t.TempDir(), "signed.jsonl")
	s.memory = here
	_, desk := s.opened()
	runTo(t, desk, "enrol bruno")
	known := len(events(t, s.dir))
	s.paper = true
	startSays := func(desk *ceremony.Desk) string {
		t.Helper()
		var said []string
		p := &prompt.Script{Answers: map[string]string{"start.paper": "no"}, Say: func(m prompt.Message) { said = append(said, m.Text...) }}
		if err := desk.Run(t.Context(), "start", p); err != nil {
			t.Fatal(err)
		}
		return strings.Join(said, "\n")
	}
	s.memory = there
	desk = s.again(t, desk)
	if says := startSays(desk); !strings.Contains(says, "This laptop remembers nothing of this log") {
		t.Errorf("on another laptop: %s", says)
	}
	s.memory = here
	desk = s.again(t, desk)
	if says := startSays(desk); !strings.Contains(says, fmt.Sprintf("remembers the first %d: the others were written on another one", known)) {
		t.Errorf("back on the first: %s", says)
	}
	desk = s.again(t, desk)
	if says := startSays(desk); strings.Contains(says, "This laptop remembers") || strings.Contains(says, "remembers the first") {
		t.Errorf("on the same laptop: %s", says)
	}
}

// The first line says what the laptop remembered, in its private part, and each start
// which program runs, once something is recorded.
func TestBegunSaysProgramAndMemory(t *testing.T) {
	s := newStage(t)
	s.memory = filepath.Join(t.TempDir(), "signed.jsonl")
	logs := filepath.Join(filepath.Dir(s.memory), seen.FileName)
	if err := seen.Remember(logs, seen.Head{Origin: "another", Size: 3}); err != nil {
		t.Fatal(err)
	}
	_, desk := s.opened()
	runTo(t, desk, "agree")
	sum, err := laptop.Program()
	if err != nil || len(sum) != 64 {
		t.Fatalf("%q, %v", sum, err)
	}
	begun := desk.State().Begun
	if begun.SHA256 != sum || begun.Private != (state.Remembers{Memory: logs, Lines: 1}) {
		t.Errorf("%+v", begun)
	}
	public, err := os.ReadFile(filepath.Join(s.dir, transcript.FileName))
	if err != nil || bytes.Contains(public, []byte(logs)) || !bytes.Contains(public, []byte(`"program_sha256":"`+sum)) {
		t.Errorf("%s, %v", public, err)
	}
	var said []string
	for _, f := range desk.State().Preflight.Private.Findings {
		said = append(said, f.Text)
	}
	for _, says := range []string{sum, logs + ", of "} {
		if !strings.Contains(strings.Join(said, "\n"), says) {
			t.Errorf("preflight says nothing of %q: %q", says, said)
		}
	}
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	before := len(events(t, s.dir))
	if err := again.Note("gone on", false); err != nil {
		t.Fatal(err)
	}
	all := events(t, s.dir)
	if last := all[len(all)-2]; len(all) != before+2 || last.Type != state.TypeContinued || last.Commitment != "" || !bytes.Contains(last.Data, []byte(sum)) {
		t.Errorf("%+v", last)
	}
}

// A holder's enrolment was cut out of the log: the token that they bring is neither
// taken nor wiped as one that the log never had.
func TestEnrolmentThatTheLogLost(t *testing.T) {
	s, desk := newPair(t, 2).opened()
	runTo(t, desk, "enrol alice")
	older := &stage{t: t, dir: t.TempDir(), drawer: s.drawer, shared: s.tokens()}
	if err := os.CopyFS(older.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	runTo(t, desk, "enrol bruno")
	tokens := desk.Tokens()
	desk.Close()
	desk, err := older.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	desk.UseTokens(tokens)
	err = desk.Run(t.Context(), "enrol alice", &prompt.Script{Answers: map[string]string{"holder.prepared alice": "stop"}})
	if err == nil || !strings.Contains(err.Error(), "the log has lost what was made on token") {
		t.Fatalf("%v", err)
	}
	if now := desk.State(); now.Exceptions != 1 || now.Holders["alice"].Prepared != nil || now.Holders["alice"].Partial {
		t.Errorf("%d exceptions, %+v", now.Exceptions, now.Holders["alice"])
	}
	s.plugged = []string{"A-01"}
	if s.look(t).Fresh() {
		t.Error("the token was wiped")
	}
}
