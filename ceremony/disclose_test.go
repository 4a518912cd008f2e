package ceremony_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// Of a ceremony in which all sorts of things are private, none is in its public
// edition, in no form that somebody could find or guess. It is read as the record
// that it is of.
func TestPublicEditionKeepsWhatIsPrivate(t *testing.T) {
	absent, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s, desk := withBackups(t, `"Lisbon"`, `"Qualmsted"`, `"Singapore"`, `"Vexholmen"`, `"Lagos"`, `"Drumquinny"`, `"Zurich"`, `"Ostravice"`,
		`["holders", "Bank safe"]`, `["holders", "Velvet casket", "Notary Ulfsdottir"]`, `name = "Bank safe"`, "name = \"Velvet casket\"\nid = \"bank-safe\"",
		"[[holder]]\nname = \"Alice", "[[recipient]]\nname = \"Notary Ulfsdottir\"\nage = \""+absent.Recipient().String()+"\"\nsite = \"Karlskrona\"\n\n[[holder]]\nname = \"Alice")
	secrets := []string{"Qualmsted", "Vexholmen", "Drumquinny", "Ostravice", "Karlskrona", "Velvet casket", "bank-safe", "Notary Ulfsdottir", "notary-ulfsdottir",
		absent.Recipient().String(), "the courier sleeps at the inn", "the vault door shuts", "it stood wide open", "its lock is changed", filepath.FromSlash(ceremony.MediaDir)}
	run := func(desk *ceremony.Desk, id string, answers map[string]string) error {
		return desk.Run(t.Context(), id, &prompt.Script{Answers: answers})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for task, ok := desk.Next(); ok && task.ID != "review"; task, ok = desk.Next() {
		must(run(desk, task.ID, map[string]string{"recipient.here notary-ulfsdottir": "absent"}))
	}
	must(desk.Note("the courier sleeps at the inn", true))
	must(desk.Note("the kettle is broken", false))
	must(desk.Exception("the vault door shuts", "it stood wide open", "its lock is changed", true))
	must(desk.Exception("five chairs", "there are four", "one stands", false))
	if err := run(desk, "restore", quorum(map[string]string{"restore.whose": "dana", "restore.what": "key", "open.who 1": "nobody"})); err == nil {
		t.Fatal("opened by nobody")
	}
	must(run(desk, "restore", quorum(map[string]string{"restore.whose": "dana", "restore.goon dana": "give-up", "restore.what": "key", "restore.sticker": "FRESH-2"}, "alice", "bank-safe", "emil")))
	must(runAll(desk, &prompt.Script{}))
	desk = s.only(t, desk, (*ceremony.Desk).OnlyCheckup)
	must(run(desk, "checkup chen", nil))
	must(run(desk, "checkup bank-safe", nil))
	must(run(desk, "checkup end", nil))

	before := under(t, s.dir)
	folder := filepath.Join(t.TempDir(), "new", "public")
	look, err := ceremony.LookAt(s.dir) // another process has it
	must(err)
	files, left, err := look.Disclose(folder)
	must(err)
	if after := under(t, s.dir); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Error("the directory was changed")
	}
	public := under(t, folder)
	if files != len(public) || !slices.Contains(left, "plan.toml") || !slices.Contains(left, "private/") || !slices.Contains(left, "rehearsal/") || !slices.Contains(left, "keys/targets.pub") {
		t.Errorf("%d files, and %d are there; left out: %q", files, len(public), left)
	}
	for name, text := range before {
		private := name == state.PlanFile || strings.HasPrefix(name, "private/") || strings.HasPrefix(name, "rehearsal/") || strings.HasPrefix(name, "keys/")
		if !private && !bytes.Equal(public[name], text) {
			t.Errorf("%s is not in the public edition", name)
		}
	}

	// What is private, as a reader of private/ finds it; the holders' names and
	// recipients are public.
	known := map[string]bool{"its identity is not here": true, "backups are sealed for it untested": true} // without whose
	plan := look.State().Plan
	for _, h := range plan.Holders {
		known[h.ID], known[h.Name] = true, true
	}
	texts := map[string]bool{}
	for _, secret := range secrets {
		texts[secret] = true
	}
	for _, name := range []string{state.PrivatePlanFile, transcript.PrivateName} {
		decoder := json.NewDecoder(bytes.NewReader(before[name]))
		for decoder.More() {
			var value any
			must(decoder.Decode(&value))
			leaves(value, func(text string) {
				if len(text) >= 8 && !known[text] && !strings.HasPrefix(text, "age1tag1") { // of keys on holders' tokens
					texts[text] = true
				}
			})
		}
	}
	for _, c := range look.State().Carried {
		for _, text := range []string{c.Medium, c.MediumID} {
			if !texts[text] {
				t.Errorf("%s is not in private/", text)
			}
		}
	}
	for _, f := range look.State().Files {
		if strings.HasPrefix(f.Name, "private/") && (!texts[f.Name] || !texts[f.SHA256]) {
			t.Errorf("%s is not in private/", f.Name)
		}
	}
	if len(texts) < 300 {
		t.Errorf("only %d texts are private", len(texts))
	}
	var all []byte
	for _, name := range slices.Sorted(maps.Keys(public)) {
		all = append(append(append(all, name...), '\n'), public[name]...)
	}
	upper := bytes.ToUpper(all)
	for text := range texts {
		for form, found := range forms(text) {
			if bytes.Contains(all, found) || bytes.Contains(upper, found) {
				t.Errorf("%q is in the public edition, in the form %s", text, form)
			}
		}
	}
	for _, text := range []string{"the kettle is broken", "five chairs", "there are four", "one stands", "each recipient of backups opens a test file", plan.Holders[0].Name} {
		if !bytes.Contains(public[transcript.FileName], []byte(text)) {
			t.Errorf("%q is not in it", text)
		}
	}

	// It is read without what is private, and says the same of what is public.
	log, err := transcript.Read(public[transcript.FileName], nil)
	if err != nil || log.Tail != nil {
		t.Fatal(err)
	}
	if log.Checkpoint() != look.Checkpoint() {
		t.Error("it has another checkpoint")
	}
	folded, err := state.Fold(log.Events)
	must(err)
	seen := look.State()
	if !folded.Plan.Unseen || folded.Digest != seen.Digest || !folded.Finished() || folded.Exceptions != seen.Exceptions || !reflect.DeepEqual(folded.Closed, seen.Closed) || len(folded.AllSignatures) != len(seen.AllSignatures) {
		t.Errorf("%+v", folded)
	}
	for _, f := range folded.Files {
		if agreed.DigestOf(public[f.Name]) != f.SHA256 {
			t.Errorf("%s is not there, or another one", f.Name)
		}
	}
	there, err := ceremony.LookAt(folder)
	must(err)
	status := strings.Join(there.Status(), "\n")
	for text, want := range map[string]bool{"private/ is not here": true, "all on 2 of 2 media, publish on 1 of 1": true, "finished: the root is in": true, "Restore drill": false, "KEEP OFFLINE": false} {
		if strings.Contains(status, text) != want {
			t.Errorf("%q in the status: want %v\n%s", text, want, status)
		}
	}
	if r, err := agreed.Parse(public[state.ResolvedFile], nil); err != nil || r.Digest() != seen.Digest {
		t.Errorf("%v", err)
	}
}

// leaves finds all texts in a value of JSON.
func leaves(value any, found func(string)) {
	switch v := value.(type) {
	case string:
		found(v)
	case []any:
		for _, e := range v {
			leaves(e, found)
		}
	case map[string]any:
		for _, e := range v {
			leaves(e, found)
		}
	}
}

// forms are the ways in which a text may stand somewhere, or be guessed from what
// stands there.
func forms(text string) map[string][]byte {
	sum := sha256.Sum256([]byte(text))
	all := map[string][]byte{}
	for name, raw := range map[string][]byte{"itself": []byte(text), "its SHA-256": sum[:]} {
		all[name] = raw
		all[name+" in hex"] = []byte(hex.EncodeToString(raw))
		all[name+" in capitals"] = bytes.ToUpper([]byte(hex.EncodeToString(raw)))
		for before := range 3 { // wherever in a longer text
			for kind, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
				encoded := encoding.EncodeToString(append(make([]byte, before), raw...))
				from := []int{0, 2, 3}[before]
				all[name+" in "+kind+string(rune('0'+before))] = []byte(encoded[from : len(encoded)-len(encoded)%4])
			}
		}
	}
	if raw, err := hex.DecodeString(text); err == nil {
		all["the bytes of its hex"] = raw
	}
	return all
}

// The private part of the agreed plan is needed: what the process that recorded it
// did not live to write is written, and nothing else goes on without it.
func TestPrivatePlanIsNeeded(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	file := filepath.Join(s.dir, filepath.FromSlash(state.PrivatePlanFile))
	agreedText, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	desk.Close()
	for _, name := range []string{state.PrivatePlanFile, state.ResolvedFile} {
		if err := os.Remove(filepath.Join(s.dir, filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	desk, err = s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || !bytes.Equal(text, agreedText) {
		t.Errorf("written again: %v\n%s", err, text)
	}
	if err := desk.Note("gone on", false); err != nil { // from then on nothing explains a file that is missing
		t.Fatal(err)
	}
	desk.Close()
	log := logOf(t, s.dir)
	for _, c := range []struct {
		text []byte
		want string
	}{
		{nil, "(hint: put " + state.PrivatePlanFile + " back from a copy of the directory)"},
		{bytes.Replace(agreedText, []byte("Lisbon"), []byte("Geneva"), 1), state.PrivatePlanFile + " was changed after it was agreed (hint: put it back from a copy of the directory)"},
		{append(bytes.Clone(agreedText), '\n'), state.PrivatePlanFile + " was changed after it was agreed"},
	} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if c.text != nil {
			if err := os.WriteFile(file, c.text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.open(clock); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "remove") {
			t.Errorf("%v, want %q", err, c.want)
		}
		if !bytes.Equal(logOf(t, s.dir), log) {
			t.Error("the log has grown")
		}
		if err := os.WriteFile(file, agreedText, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if desk, err = s.open(clock); err != nil {
		t.Fatal(err)
	}
	desk.Close()
}

func TestDiscloseRefuses(t *testing.T) {
	s, desk := opened(t)
	look := func(dir string) *ceremony.Desk {
		t.Helper()
		desk, err := ceremony.LookAt(dir)
		if err != nil {
			t.Fatal(err)
		}
		return desk
	}
	refused := func(desk *ceremony.Desk, folder, want string) {
		t.Helper()
		before := under(t, s.dir)
		if files, left, err := desk.Disclose(folder); err == nil || files != 0 || left != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if after := under(t, s.dir); !maps.EqualFunc(before, after, bytes.Equal) {
			t.Error("the directory was changed")
		}
	}
	other := t.TempDir()
	fresh := filepath.Join(other, "fresh")
	refused(look(s.dir), fresh, "no plan was agreed in it")
	emil := goAway(t, s, desk, "emil")
	refused(look(emil.dir), fresh, "is an enrolment, which has no public edition")
	runTo(t, desk, "enrol bruno")
	refused(look(s.dir), other, "is there already, and nothing is written over")
	link := filepath.Join(other, "link")
	if err := os.Symlink(filepath.Join(other, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	refused(look(s.dir), link, "is there already, and nothing is written over")
	refused(look(s.dir), filepath.Join(s.dir, "public"), "is inside "+s.dir)
	refused(look(s.dir), filepath.Join(s.dir, "metadata", "new", "public"), "is inside "+s.dir)
	way := filepath.Join(other, "way")
	if err := os.Symlink(s.dir, way); err != nil {
		t.Fatal(err)
	}
	refused(look(s.dir), filepath.Join(way, "public"), "is inside "+s.dir)
	refused(look(way), filepath.Join(s.dir, "public"), "is inside "+way)
	if err := os.WriteFile(filepath.Join(s.dir, state.ResolvedFile+"x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	evidence, err := filepath.Glob(filepath.Join(s.dir, "evidence", "*", "*"))
	if err != nil || len(evidence) == 0 {
		t.Fatal(err)
	}
	if err := os.WriteFile(evidence[0], []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(look(s.dir), fresh, "is not what was recorded, and nothing was copied")
	if _, err := os.Lstat(fresh); err == nil {
		t.Error("a folder was made")
	}
}
