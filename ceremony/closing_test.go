package ceremony_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// All who are there sign the same text, the checkpoint of the seal, also after the
// program was stopped between them. It is published as one note, under which the
// record is good; who signed the root and not that is named.
func TestClosingNote(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "publish")
	for _, id := range []string{"publish", "sign dana", "seal"} {
		if err := desk.Run(t.Context(), id, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
	}
	sealed := desk.Checkpoint()
	sign := func(id string) {
		t.Helper()
		a := &prompt.Script{Answers: map[string]string{"checkpoints.who": id}}
		a.Say = func(m prompt.Message) {
			if strings.Contains(m.Title, "PIN") || strings.Contains(m.Title, "insert the token") {
				a.Answers["checkpoints.who"] = prompt.NobodyElse
			}
		}
		if err := desk.Run(t.Context(), "checkpoints", a); err != nil {
			t.Fatal(err)
		}
	}
	if err := desk.Run(t.Context(), "sums", &prompt.Script{}); err == nil {
		t.Fatal("it closes, and nobody has signed the log")
	}
	sign("chen")
	if task := taskOf(t, desk, "checkpoints"); task.State != prompt.Ready || !task.Aside {
		t.Errorf("nobody else can sign: %+v", task)
	}
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	tokens := desk.Tokens()
	var err error
	if desk, err = s.open(clock); err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	desk.UseTokens(tokens)
	sign("alice")
	var said []string
	for _, id := range []string{"sums", "carry"} {
		err := desk.Run(t.Context(), id, &prompt.Script{Say: func(m prompt.Message) { said = append(said, textOf(m)) }})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(strings.Join(said, "\n"), "Bruno Ferraz and Dana Okafor signed the root, and not the log") {
		t.Errorf("nobody is named: %s", said)
	}
	note, err := os.ReadFile(filepath.Join(s.dir, "publish", "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	now := desk.State()
	key := func(id string) keys.PublicKey { return now.Holders[id].Prepared.Authentication }
	there, by, err := transcript.OpenNote(note, now.LogOrigin, key("alice"), key("bruno"), key("chen"))
	if err != nil || there != sealed || there.Size != now.SealedAt || len(by) != 2 || by[0] != key("alice") || by[1] != key("chen") || strings.Count(string(note), "\n— ") != 2 {
		t.Errorf("%v by %v, %v:\n%s", there, by, err, note)
	}
	sums, err := os.ReadFile(filepath.Join(s.dir, "publish", state.SumsFile))
	if err != nil || !strings.Contains(string(sums), sha256Of(note)+"  checkpoint\n") {
		t.Errorf("%s, %v", sums, err)
	}
	report := audit.Directory(s.dir, audit.Options{Roots: tokens.Roots, Rehearsal: true, Checkpoint: note})
	var names []string
	for _, c := range report.Checks {
		names = append(names, c.Text)
	}
	if report.Verdict() != audit.Good || !strings.Contains(strings.Join(names, "\n"), "Bruno Ferraz and Dana Okafor signed the root, and not the closing") {
		t.Errorf("%s:\n%s", report.Verdict(), strings.Join(names, "\n"))
	}
}

// A holder who has a key that signs the log must sign it: no exception does instead.
func TestNoClosingWithoutAKeyThatIsThere(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "checkpoints")
	if err := desk.Exception("a holder signs the log of the day", "nobody is here", "it is closed without", false); err != nil {
		t.Fatal(err)
	}
	if err := desk.Record(state.TypeCheckpointsWaived, "room", state.CheckpointsWaived{}); err == nil || !strings.Contains(err.Error(), "a holder has a key that signs the log") {
		t.Errorf("%v", err)
	}
	if err := desk.Run(t.Context(), "checkpoints", &prompt.Script{Answers: map[string]string{"checkpoints.who": "none"}}); err == nil {
		t.Error("it is offered to go on without")
	}
	if _, err := os.Stat(filepath.Join(s.dir, "publish", "checkpoint")); err == nil {
		t.Error("a checkpoint is published that nobody has signed")
	}
}
