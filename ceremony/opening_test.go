package ceremony_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
	"rootceremony/keys/session"
)

// by are the answers that have those open a backup.
func by(ids ...string) map[string]string {
	answers := map[string]string{}
	for n, id := range ids {
		answers[fmt.Sprint("open.who ", n+1)] = id
	}
	return answers
}

// The wrong people, or what they bring, get a sentence that says who is missing,
// and nothing is recorded but that; the right ones open the backup.
func TestWrongPeopleOpenNothing(t *testing.T) {
	s, desk := newPair(t, 2).opened()
	runTo(t, desk, "drill")
	empty, folder := filepath.Join(t.TempDir(), "empty"), t.TempDir()
	public := filepath.Join(folder, "public")
	for name, text := range map[string]string{empty: "", public: s.safes["safe-1"].(*age.X25519Identity).Recipient().String() + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ who, file, want string }{
		{"safe-1", s.identityFile("safe-2"), "the layer of safe-1"},
		{"safe-2", s.identityFile("safe-1"), "the layer of safe-2"},
		{"safe-1", s.identityFile("nobody"), "no such file"},
		{"safe-1", empty, "no identity file"},
		{"safe-1", folder, "not a plain file"},
		{"safe-1", public, "is a recipient, which encrypts"},
	} {
		a := &prompt.Script{Answers: by("bruno", c.who)}
		a.Answers["identity "+c.who] = c.file
		if err := desk.Run(t.Context(), "drill", a); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %s: %v, want %q", c.who, filepath.Base(c.file), err, c.want)
		}
	}
	// Another token, and wrong PINs.
	others := &answered{token: func(w prompt.TokenWait) (keys.Info, error, bool) {
		s.plugged = []string{"A-01"}
		info, err := w.Look(context.Background())
		return info, err, true
	}}
	others.Answers = by("bruno", "safe-1")
	if err := desk.Run(t.Context(), "drill", others); err == nil || !strings.Contains(err.Error(), "Bruno Ferraz's token has the serial number") || !strings.Contains(err.Error(), "B-02") {
		t.Errorf("another token: %v", err)
	}
	if len(desk.State().Drills) != 0 {
		t.Fatalf("recorded: %v", desk.State().Drills)
	}
	wrong := &typing{secrets: map[string][]string{"holder.pin bruno": {"908172", "908173"}}}
	wrong.Answers = by("bruno", "safe-1")
	if err := desk.Run(t.Context(), "drill", wrong); err != nil || !wrong.saw("4 left") || !wrong.saw("3 left") {
		t.Errorf("wrong PINs: %v", err)
	}
	drills := desk.State().Drills
	if len(drills) != 1 || strings.Join(drills[0].By, " ") != "safe-1 bruno" || drills[0].Holder != "alice" {
		t.Errorf("%+v", drills[0])
	}
}

// A file that was changed, or has changed places with another, is refused by
// its SHA-256 before anybody is asked for a PIN.
func TestDrillRefusesOtherFiles(t *testing.T) {
	s, desk := newAlone(t).opened()
	runTo(t, desk, "drill")
	var files []string
	for _, b := range s.backups() {
		if b.What == keys.BackupKey {
			for _, f := range b.Files {
				files = append(files, filepath.Join(s.dir, filepath.FromSlash(f.Name)))
			}
		}
	}
	swap := func() {
		t.Helper()
		third := filepath.Join(t.TempDir(), "third")
		if err := errors.Join(os.Rename(files[0], third), os.Rename(files[1], files[0]), os.Rename(third, files[1])); err != nil {
			t.Fatal(err)
		}
	}
	for _, task := range desk.Tasks() {
		if task.ID == "review" && task.State != prompt.Blocked {
			t.Error("reviewed without a drill")
		}
	}
	swap()
	a := &typing{}
	if err := desk.Run(t.Context(), "drill", a); err == nil || !strings.Contains(err.Error(), "is not the file that was sealed") {
		t.Errorf("swapped: %v", err)
	}
	if slices.Contains(a.asked, "holder.pin alice") || len(desk.State().Drills) != 0 {
		t.Errorf("asked %v", a.asked)
	}
	swap()
	if err := os.Rename(files[0], files[0]+".away"); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "drill", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "put the file back from one of its copies") {
		t.Errorf("gone: %v", err)
	}
	if err := os.Rename(files[0]+".away", files[0]); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "drill", &prompt.Script{}); err != nil {
		t.Error(err)
	}
}

// A key that was found on its token after an interruption is drilled itself:
// another holder's backup does not do.
func TestDrillOfWhatWasFound(t *testing.T) {
	s, desk := newPair(t, 2).opened()
	runTo(t, desk, "key bruno")
	s.die = "after Import"
	if err := desk.Run(t.Context(), "key bruno", &prompt.Script{}); err == nil {
		t.Fatal("not cut off")
	}
	s.die = ""
	runTo(t, desk, "drill")
	if !desk.State().Holders["bruno"].Key.FoundOnLook {
		t.Fatal("not found on the token")
	}
	if err := desk.Run(t.Context(), "drill", &prompt.Script{Answers: map[string]string{"drill.whose": "alice"}}); err == nil || !strings.Contains(err.Error(), "not one of the choices") {
		t.Errorf("Alice's: %v", err)
	}
	if err := desk.Run(t.Context(), "drill", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if d := desk.State().Drills; len(d) != 1 || d[0].Holder != "bruno" {
		t.Errorf("%+v", d)
	}
	// Anyone who starts over is drilled again.
	answers := map[string]string{"restart.who": "bruno", "restart.why": "it fell into the sea"}
	runTasks(t, desk, &prompt.Script{Answers: answers}, "restart")
	runTasks(t, desk, &prompt.Script{}, "enrol bruno")
	s.die = "after Import"
	if err := desk.Run(t.Context(), "key bruno", &prompt.Script{}); err == nil {
		t.Fatal("not cut off")
	}
	s.die = ""
	runTasks(t, desk, &prompt.Script{}, "key bruno", "copies")
	if task, _ := desk.Next(); task.ID != "drill" {
		t.Errorf("next is %s", task.ID)
	}
}

// A holder who starts over no longer opens what was sealed for the token that is
// gone; once too few are left for a backup, its holder has to start over too.
func TestStartedOverOpensNoMore(t *testing.T) {
	for quorum, enough := range map[int]bool{2: true, 3: false} {
		s, desk := newPair(t, quorum).opened()
		runTo(t, desk, "drill")
		runTasks(t, desk, &prompt.Script{Answers: map[string]string{"restart.who": "bruno", "restart.why": "it fell into the sea"}}, "restart")
		runTasks(t, desk, &prompt.Script{}, "enrol bruno", "key bruno", "copies")
		a := &prompt.Script{Answers: by("bruno")}
		a.Answers["drill.whose"] = "alice"
		err := desk.Run(t.Context(), "drill", a)
		want := "it is not one of the choices"
		if !enough {
			want = "the backup of Alice Costa wants 3 of its recipients, and only 2 can open it any more"
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("quorum %d: %v, want %q", quorum, err, want)
		}
		if err := desk.Run(t.Context(), "drill", &prompt.Script{Answers: map[string]string{"drill.whose": "bruno"}}); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(desk.Tasks(), func(t prompt.Task) bool { return t.ID == "review" })
		if task := desk.Tasks()[i]; (task.State == prompt.Ready) != enough || !enough && !strings.Contains(task.Reason, "Alice Costa") {
			t.Errorf("quorum %d: the review is %s, %s", quorum, task.State, task.Reason)
		}
		if !enough {
			runTasks(t, desk, &prompt.Script{Answers: map[string]string{"restart.who": "alice", "restart.why": "too few open its backup"}}, "restart")
			runTasks(t, desk, &prompt.Script{}, "enrol alice", "key alice")
			// Now Bruno's was sealed for the token that Alice has wiped.
			runTasks(t, desk, &prompt.Script{Answers: map[string]string{"restart.who": "bruno", "restart.why": "too few open its backup"}}, "restart")
		}
		_ = s
	}
}

const words = "correct horse battery staple"

// Recipients of all kinds are in one plan: post-quantum, a passphrase, a plugin,
// holders' tokens. The passphrase is held to the first one; one recipient is not
// there, which is an exception.
func TestRecipientsOfAllKinds(t *testing.T) {
	dir, err := makeAge()
	if err != nil {
		t.Fatal(err)
	}
	path := dir + ":" + os.Getenv("PATH")
	t.Setenv("PATH", path) // test files are sealed in this process
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 16)
	plan, identities, files := safesPlan(t, 5, 1, `recipients = [`, `recipients = ["holders", "PQ", "Words", "Plug", `, "[[holder]]\nname = \"Alice", fmt.Sprintf(
		"[[recipient]]\nname = \"PQ\"\nage = %q\n\n[[recipient]]\nname = \"Words\"\npassphrase = true\n\n[[recipient]]\nname = \"Plug\"\nage = %q\n\n[[holder]]\nname = \"Alice",
		hybrid.Recipient(), plugin.EncodeRecipient("rctest", data)))
	files["pq"], files["plug"] = hybrid.String()+"\n", plugin.EncodeIdentity("rctest", data)+"\n"
	s := newStageOf(t, keep(plan, 2)).withSafes(identities, files)
	s.env = []string{"PATH=" + dir}
	s, desk := s.opened()
	t.Setenv("PATH", "/nowhere")
	var told []string
	runTasks(t, desk, &prompt.Script{Say: func(m prompt.Message) { told = append(told, m.Lines...) }}, "preflight", "agree")
	if missing := "warning: on this laptop nothing can be sealed for Plug, or opened by it: the program age-plugin-rctest is not installed in any of the folders /nowhere (hint: install it in one of them)"; !slices.Contains(told, missing) {
		t.Errorf("no line %q in %q", missing, told)
	}
	t.Setenv("PATH", path)
	if missing := ceremony.MissingPlugins(desk.State().Plan); missing != nil {
		t.Errorf("with the plugin: %q", missing)
	}
	runTasks(t, desk, &prompt.Script{}, "enrol alice", "enrol bruno")
	for id, c := range map[string]struct{ first, again, want string }{
		"empty":     {"", "", "is empty"},
		"short":     {"correct", "correct", "is shorter than 20"},
		"repeated":  {"aaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaa", "repeats a few characters"},
		"different": {words, words + "s", "layer of words"},
	} {
		a := &prompt.Script{Answers: map[string]string{"recipient.passphrase words": c.first, "recipient.again words": c.again}}
		if err := desk.Run(t.Context(), "recipient words", a); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", id, err, c.want)
		}
	}
	answers := map[string]string{"recipient.passphrase words": words, "recipient.again words": words, "seal.passphrase words": words + "!", "open.passphrase words": words, "entropy bruno": "no",
		"recipient.here safe-1": "absent", "entropy alice": "yes", "entropy.typed alice": "61524314263514326153"}
	before := desk.State().Exceptions
	runTasks(t, desk, &prompt.Script{Answers: answers}, "recipient words", "recipient safe-1", "recipient pq", "recipient plug")
	if proved := desk.State().Recipients["safe-1"]; !proved.Absent || desk.State().Exceptions != before+1 {
		t.Errorf("absent: %+v, %d exceptions", proved, desk.State().Exceptions)
	}
	if err := desk.Run(t.Context(), keyAlice, &prompt.Script{Answers: answers}); err == nil || !strings.Contains(err.Error(), "layer of words has a passphrase") {
		t.Errorf("another passphrase: %v", err)
	}
	if there := s.tokenSecrets("A-01"); there.puk != session.DefaultPUK || there.root != nil || len(s.backups()) != 0 {
		t.Errorf("sealed with another passphrase: %+v", there)
	}
	answers["seal.passphrase words"] = words
	runTasks(t, desk, &prompt.Script{Answers: answers}, keyAlice, "key bruno")
	drill := &prompt.Script{Answers: by("words", "plug", "bruno", "pq", "safe-1")}
	drill.Answers["open.passphrase words"] = words + "?"
	if err := desk.Run(t.Context(), "drill", drill); err == nil || !strings.Contains(err.Error(), "layer of words has a passphrase") {
		t.Errorf("opened with another passphrase: %v", err)
	}
	drill.Answers["open.passphrase words"] = words
	runTasks(t, desk, drill, "drill")
	if by := desk.State().Drills[0].By; strings.Join(by, " ") != "words safe-1 pq plug bruno" {
		t.Errorf("opened by %v", by)
	}
	for _, name := range allFiles(t, s.dir) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, typed := range []string{words, "61524314263514326153"} {
			if strings.Contains(string(text), typed) {
				t.Errorf("%s holds what was typed", name)
			}
		}
	}
}
