package ceremony_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/rehearsal"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// under are the files below a folder, by name, with their content.
func under(t testing.TB, folder string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range allFiles(t, folder) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(folder, name)
		if err != nil {
			t.Fatal(err)
		}
		files[relative] = text
	}
	return files
}

// carriedOn are the folders of that kind on the media of a rehearsal.
func (s *stage) carriedOn(kind string) []string {
	s.t.Helper()
	folders, err := filepath.Glob(filepath.Join(s.dir, filepath.FromSlash(ceremony.MediaDir), "*", kind+"-*"))
	if err != nil {
		s.t.Fatal(err)
	}
	return folders
}

// checkSums has sha256sum check the list in a folder, which leaves out no file
// but itself.
func checkSums(t testing.TB, folder string) {
	t.Helper()
	cmd := exec.Command("sha256sum", "--check", "--strict", "--quiet", state.SumsFile)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", folder, err, out)
	}
	files := under(t, folder)
	if n := bytes.Count(files[state.SumsFile], []byte("\n")); n != len(files)-1 {
		t.Errorf("%s lists %d of %d files", filepath.Join(folder, state.SumsFile), n, len(files)-1)
	}
}

// The finished ceremony lies on two media, whole and to its end, with backups and
// without, in a first ceremony and in one that follows; and what is published on
// one that has nothing else. Nothing of it is a rehearsal's own.
func TestTheEndIsOnMedia(t *testing.T) {
	for name, begin := range map[string]func() (*stage, *ceremony.Desk){
		"without backups": func() (*stage, *ceremony.Desk) { return opened(t) },
		"with backups":    func() (*stage, *ceremony.Desk) { return newPair(t, 2).opened() },
		"a rotation": func() (*stage, *ceremony.Desk) {
			first, desk := opened(t)
			if err := runAll(desk, &prompt.Script{}); err != nil {
				t.Fatal(err)
			}
			people := members(t, desk)
			people[4].drop = agreed.Retired
			return first.follow(following(agreed.Rotate, "", people...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, desk := begin()
			if err := runAll(desk, &prompt.Script{}); err != nil {
				t.Fatal(err)
			}
			here := under(t, s.dir)
			whole, public := s.carriedOn("root-ceremony"), s.carriedOn("root-publish")
			if len(whole) != 2 || len(public) != 1 {
				t.Fatalf("on media are %q and %q", whole, public)
			}
			for _, folder := range whole {
				checkSums(t, folder)
				there := under(t, folder)
				log, hidden := there[transcript.FileName], transcript.PrivateDir+"/"+transcript.FileName
				if !bytes.HasPrefix(here[transcript.FileName], log) || !bytes.Contains(log, []byte(`"type":"ceremony.closed"`)) {
					t.Errorf("%s: the log of %d bytes is not ours, or not to its end", folder, len(log))
				}
				if len(there[hidden]) == 0 || !bytes.HasPrefix(here[hidden], there[hidden]) {
					t.Errorf("%s: the private part of the log is not ours", folder)
				}
				for name, text := range here {
					own := strings.HasPrefix(name, "rehearsal/") || strings.HasPrefix(name, "keys/") || name == transcript.FileName || name == hidden
					if !own && !bytes.Equal(there[name], text) {
						t.Errorf("%s is not in %s", name, folder)
					}
				}
				for name := range there {
					if here[name] == nil && name != state.SumsFile || strings.HasPrefix(name, "rehearsal/") {
						t.Errorf("%s is in %s", name, folder)
					}
				}
			}
			checkSums(t, public[0])
			checkSums(t, filepath.Join(public[0], state.PublishDir))
			notice := 0
			for name, text := range under(t, public[0]) {
				if path.Base(name) == "notice.md" {
					notice++
				}
				private := name == state.PlanFile || strings.HasPrefix(name, "private/") || strings.HasPrefix(name, "rehearsal/")
				if name != state.SumsFile && (private || !bytes.HasPrefix(here[name], text)) {
					t.Errorf("%s is on the medium that goes to machines with a network", name)
				}
				if !bytes.Equal(text, here[name]) && name != state.SumsFile && name != transcript.FileName { // which went on
					t.Errorf("%s is another one there", name)
				}
			}
			for name := range here {
				private := name == state.PlanFile || strings.HasPrefix(name, "private/") || strings.HasPrefix(name, "rehearsal/") || strings.HasPrefix(name, "keys/")
				if !private && under(t, public[0])[name] == nil {
					t.Errorf("%s is not on the medium for those who publish", name)
				}
			}
			if follows := name == "a rotation"; (notice == 1) != follows {
				t.Errorf("%d notices", notice)
			}
			// No medium has both.
			for _, folder := range whole {
				if filepath.Dir(folder) == filepath.Dir(public[0]) {
					t.Errorf("%s lies beside %s", folder, public[0])
				}
			}
		})
	}
}

// beforeCarrying brings a ceremony without backups to its last task.
func beforeCarrying(t *testing.T) (*stage, *ceremony.Desk) {
	t.Helper()
	s, desk := opened(t)
	runTo(t, desk, "carry")
	return s, desk
}

// carryTo are the answers that name the folders of media.
func carryTo(folders ...string) map[string]string {
	answers := map[string]string{}
	for n, folder := range folders {
		answers[fmt.Sprint("carry.where ", n+1)] = folder
	}
	return answers
}

// idOn is the id of a medium, as far as labels have it.
func idOn(t testing.TB, medium string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(medium, ceremony.MediumFile))
	if err != nil || len(text) < 8 {
		t.Fatalf("%v: %q", err, text)
	}
	return string(text[:8])
}

// Each medium gets its label once it was read back, and not before; at the end,
// and in the status, all of them are listed with the place where they go.
func TestLabels(t *testing.T) {
	s, desk := beforeCarrying(t)
	media := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	var labels, last []string
	bad := t.TempDir()
	err := desk.Run(t.Context(), "carry", &prompt.Script{Answers: carryTo(bad), Say: func(m prompt.Message) {
		if strings.Contains(strings.Join(m.Text, " "), "take it out") {
			if err := os.RemoveAll(s.carriedAt(bad)); err != nil {
				t.Fatal(err)
			}
		}
	}})
	if err == nil {
		t.Fatal("what is gone was read back")
	}
	a := &prompt.Script{Answers: carryTo(media...), Say: func(m prompt.Message) {
		if strings.Contains(strings.Join(m.Text, " "), "take it out") && len(labels) != len(desk.State().Carried) {
			t.Errorf("%q before it was read back", labels)
		}
		for _, fact := range m.Facts {
			if fact.Label == "Label" {
				labels = append(labels, fact.Value)
			}
		}
		if m.Title == "Every medium has its label and its place" {
			last = m.Lines
		}
	}}
	if err := desk.Run(t.Context(), "carry", a); err != nil {
		t.Fatal(err)
	}
	looked, err := ceremony.LookAt(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	status := strings.Join(looked.Status(), "\n")
	for n, want := range []string{": to a safe", ": to another safe, at another site", ": to those who put the root where clients look"} {
		kind := map[bool]string{true: "PUBLISH: ", false: "KEEP OFFLINE: "}[n == 2]
		if len(labels) != 3 || len(last) != 4 || !strings.HasPrefix(labels[n], kind) || !strings.HasSuffix(labels[n], "medium "+idOn(t, media[n])) || last[n] != labels[n]+want {
			t.Fatalf("medium %d: labels %q, at the end %q", n+1, labels, last)
		}
		if !strings.Contains(status, last[n]) {
			t.Errorf("%q is not in the status:\n%s", last[n], status)
		}
	}
	if !strings.HasPrefix(last[3], "NOT READ BACK: ") || !strings.Contains(last[3], "medium "+idOn(t, bad)+", was in "+bad) {
		t.Errorf("of the medium that failed: %q", last[3])
	}
}

// carriedAt is the folder on a medium that was carried to once.
func (s *stage) carriedAt(medium string) string {
	s.t.Helper()
	folders, err := filepath.Glob(filepath.Join(medium, "root-*-*"))
	if err != nil || len(folders) != 1 {
		s.t.Fatalf("%q, %v", folders, err)
	}
	return folders[0]
}

// To end with fewer media than are needed is an exception with a reason, after
// any of them; and until then the ceremony is not finished.
func TestEndsWithFewerMedia(t *testing.T) {
	for n := 1; n <= 3; n++ {
		s, desk := beforeCarrying(t)
		answers := carryTo(t.TempDir(), t.TempDir(), t.TempDir())
		how := fmt.Sprint("carry.how ", n)
		answers[how] = "none"
		if err := desk.Run(t.Context(), "carry", &prompt.Script{Answers: answers}); err == nil || desk.State().Finished() {
			t.Errorf("without a reason: %v", err)
		}
		if task, ok := desk.Next(); !ok || task.ID != "carry" || desk.State().Closed == nil {
			t.Errorf("next is %+v", task)
		}
		if status := strings.Join(desk.Status(), "\n"); strings.Contains(status, "finished") || !strings.Contains(status, "closed, but not carried to media") || !strings.HasSuffix(status, "next: carry") {
			t.Errorf("%s", status)
		}
		before := desk.State().Exceptions
		answers = map[string]string{how: "none", "carry.why": "a test"}
		if err := desk.Run(t.Context(), "carry", &prompt.Script{Answers: answers}); err != nil {
			t.Fatal(err)
		}
		now := checkSigned(t, s.dir, 5)
		if now.Exceptions != before+1 || !now.NotCarried || len(now.Carried) != n-1 {
			t.Errorf("%d exceptions, %+v", now.Exceptions-before, now.Carried)
		}
		want := fmt.Sprintf("all on %d of 2 media, publish on 0 of 1, as an exception", min(n-1, 2))
		if status := strings.Join(desk.Status(), "\n"); !strings.Contains(status, want) || !strings.Contains(status, "finished: ") {
			t.Errorf("%s", status)
		}

		// More media can still be made, and are never next.
		if task, ok := desk.Next(); ok {
			t.Errorf("next is %+v", task)
		}
		if err := desk.Run(t.Context(), "carry", &prompt.Script{Answers: map[string]string{how: "none"}}); err != nil {
			t.Errorf("left as it was: %v", err)
		}
		if now := desk.State(); now.Exceptions != before+1 {
			t.Errorf("the same exception twice")
		}
		if err := desk.Run(t.Context(), "carry", &prompt.Script{Answers: carryTo(t.TempDir(), t.TempDir(), t.TempDir())}); err != nil {
			t.Fatal(err)
		}
		now = checkSigned(t, s.dir, 5)
		if len(now.Carried) != 3 || !now.Finished() {
			t.Errorf("%+v", now.Carried)
		}
		if err := desk.Run(t.Context(), "carry", &prompt.Script{}); err == nil {
			t.Error("carried once more")
		}
	}
}

// What changes while a medium is out is found; it does not count, and the next
// try goes beside it.
func TestCarriedWhatIsDamaged(t *testing.T) {
	s, desk := beforeCarrying(t)
	media := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	for n, medium := range media {
		for _, part := range []string{"root-*/publish/1.root.json", "root-*/SHA256SUMS", ceremony.MediumFile} {
			for _, how := range []func(string) error{
				func(name string) error { return os.Truncate(name, 5) },
				os.Remove,
			} {
				a := &prompt.Script{Answers: carryTo(media...)}
				done := false
				a.Say = func(m prompt.Message) {
					if done || len(desk.State().Carried) != n || !strings.Contains(strings.Join(m.Text, " "), "take it out") {
						return
					}
					done = true
					names, err := filepath.Glob(filepath.Join(medium, part))
					if err != nil || len(names) == 0 {
						t.Fatal(err)
					}
					for _, name := range names {
						if err := how(name); err != nil {
							t.Fatal(err)
						}
					}
				}
				err := desk.Run(t.Context(), "carry", a)
				if err == nil || !strings.Contains(err.Error(), medium) || len(desk.State().Carried) != n {
					t.Fatalf("medium %d, %s: %v, %d carried", n+1, part, err, len(desk.State().Carried))
				}
				for _, name := range allFiles(t, medium) { // which people would throw away
					if err := os.Remove(name); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		a := &prompt.Script{Answers: carryTo(media[:n+1]...)}
		if n < 2 { // and no more
			a.Answers[fmt.Sprint("carry.how ", n+2)] = "none"
		}
		err := desk.Run(t.Context(), "carry", a)
		if len(desk.State().Carried) != n+1 || (n == 2) != (err == nil) {
			t.Fatalf("medium %d: %v", n+1, err)
		}
	}
	checkSigned(t, s.dir, 5)
}

// A medium that is kept offline never gets what is for machines with a network,
// nor the other way round: be it this ceremony's, known by its id, or another's.
func TestMediaAreKeptApart(t *testing.T) {
	_, desk := newPair(t, 2).opened()
	runTo(t, desk, "copies")
	backups := []string{t.TempDir(), t.TempDir()}
	runTasks(t, desk, &prompt.Script{Answers: to(backups...)}, "copies")
	runTo(t, desk, "carry")
	one, two, three := t.TempDir(), t.TempDir(), t.TempDir()
	for _, folder := range []string{"root-backups-12345678-12345678", "root-ceremony-12345678"} {
		if err := os.Mkdir(filepath.Join(three, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const offline, network = "this medium is kept offline", "this medium has what is published"
	refused := func(want string, folders ...string) {
		t.Helper()
		done := len(desk.State().Carried)
		err := desk.Run(t.Context(), "carry", &prompt.Script{Answers: carryTo(folders...)})
		if err == nil || !strings.Contains(err.Error(), want) || len(desk.State().Carried) > len(folders)-1 || len(desk.State().Carried) < done {
			t.Errorf("%q: %v, want %q", folders, err, want)
		}
	}
	published := t.TempDir()
	if err := os.Mkdir(filepath.Join(published, "root-publish-12345678"), 0o700); err != nil {
		t.Fatal(err)
	}
	refused(network, published)
	refused("has its copy already", one, one)
	// Emptied, they are still known by their ids.
	for _, medium := range append(slices.Clone(backups), one) {
		folders, err := filepath.Glob(filepath.Join(medium, "root-*-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, folder := range folders {
			if err := os.RemoveAll(folder); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused(offline, one, two, backups[0])
	refused(offline, one, two, backups[1])
	refused(offline, one, two, one)
	refused(offline, one, two, two)
	refused(offline, one, two, three)
	third := t.TempDir()
	runTasks(t, desk, &prompt.Script{Answers: carryTo(one, two, third)}, "carry")
	lines := strings.Join(desk.Status(), "\n")
	for _, medium := range backups {
		if want := "medium " + idOn(t, medium) + ": to a safe (it has nothing after the copying of the backups)"; !strings.Contains(lines, want) {
			t.Errorf("%q is not in\n%s", want, lines)
		}
	}
	if len(under(t, third)) == 0 || desk.State().Carried[2].Medium != third {
		t.Errorf("%+v", desk.State().Carried)
	}
}

// A ceremony that was closed by a version of this program that carried nothing
// opens as before, says what is missing, and can be carried now.
func TestClosedByAFormerVersion(t *testing.T) {
	s, desk := newPair(t, 2).opened()
	runTo(t, desk, "carry")
	desk.Close()
	before := logOf(t, s.dir)
	for _, only := range []func(*ceremony.Desk) error{(*ceremony.Desk).OnlyCheckup, (*ceremony.Desk).OnlyRestore} {
		again, err := s.open(clock)
		if err != nil {
			t.Fatal(err)
		}
		if err := only(again); err != nil {
			t.Error(err)
		}
		again.Close()
	}
	if _, err := rehearsal.Finished(s.dir, ""); err != nil {
		t.Errorf("to be followed on: %v", err)
	}
	if !bytes.Equal(logOf(t, s.dir), before) {
		t.Error("it was written to")
	}
	again, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := runAll(again, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 2)
}

// A line that was cut short, and what people have written of a notice, go along;
// of files that the log does not know, people are told.
func TestCarriedBesides(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "review")
	desk.Close()
	log, err := os.OpenFile(filepath.Join(s.dir, transcript.FileName), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = log.WriteString(`{"seq":`)
	}
	if err := errors.Join(err, log.Close(), os.WriteFile(filepath.Join(s.dir, "dana.txt"), []byte("AGE-SECRET-KEY-1"), 0o600)); err != nil {
		t.Fatal(err)
	}
	desk, err = s.open(clock, allStickers...)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	told := false
	a := &prompt.Script{Say: func(m prompt.Message) {
		for _, text := range m.Text {
			told = told || m.Title == "Carry the closed ceremony: medium 1 of 2" && strings.Contains(text, "left behind: dana.txt, keys/snapshot.pub, keys/targets.pub and keys/timestamp.pub.")
		}
	}}
	if err := runAll(desk, a); err != nil {
		t.Fatal(err)
	}
	if !told {
		t.Error("nobody was told what stays behind")
	}
	for _, folder := range s.carriedOn("root-ceremony") {
		if aside, err := filepath.Glob(filepath.Join(folder, "transcript.set-aside.*")); err != nil || len(aside) != 1 {
			t.Errorf("set aside: %q, %v", aside, err)
		}
		for name, text := range under(t, folder) {
			if bytes.Contains(text, []byte("AGE-SECRET-KEY")) {
				t.Errorf("%s is in %s", name, folder)
			}
		}
	}
}

// Whatever a log says of media that does not follow from what was done is
// refused.
func TestFoldRefusesWhatWasNotCarried(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "carry")
	answers := map[string]string{"carry.how 3": "none", "carry.why": "a test"}
	if err := desk.Run(t.Context(), "carry", &prompt.Script{Answers: answers}); err != nil {
		t.Fatal(err)
	}
	all := events(t, s.dir)
	at := func(kind string) int {
		return slices.IndexFunc(all, func(e transcript.Event) bool { return e.Type == kind })
	}
	intended, done, without, closed := at(state.TypeCarryIntended), at(state.TypeCarried), at(state.TypeNotCarried), at(state.TypeClosed)
	if intended < 0 || done < 0 || without < 0 {
		t.Fatal("not carried")
	}
	replaced := func(n int, old, new string) []transcript.Event {
		changed := slices.Clone(all)
		changed[n].Data = bytes.Replace(changed[n].Data, []byte(old), []byte(new), 1)
		changed[n].Private = bytes.Replace(changed[n].Private, []byte(old), []byte(new), 1)
		if bytes.Equal(changed[n].Data, all[n].Data) && bytes.Equal(changed[n].Private, all[n].Private) {
			t.Fatalf("%s and %s have no %s", all[n].Data, all[n].Private, old)
		}
		return changed
	}
	moved := func(n, to int) []transcript.Event {
		return slices.Insert(slices.Delete(slices.Clone(all), n, n+1), to, all[n])
	}
	id := string(all[intended].Private[bytes.Index(all[intended].Private, []byte(`"medium_id":"`))+13:][:32])
	for name, log := range map[string][]transcript.Event{
		"intended before the end":      moved(intended, closed),
		"a medium without an id":       replaced(intended, id, ""),
		"done on another medium":       replaced(done, id, strings.Repeat("a", 32)),
		"done for no intention":        replaced(done, `"intention":`, `"intention":1`),
		"done without a list":          replaced(done, `"list":"`, `"list":"zz`),
		"done twice":                   slices.Insert(slices.Clone(all), done, all[done]),
		"done and not intended":        slices.Delete(slices.Clone(all), intended, intended+1),
		"without, and no exception":    slices.Delete(slices.Clone(all), without-1, without),
		"without, twice":               slices.Insert(slices.Clone(all), without, all[without-1], all[without]),
		"published on what is offline": slices.Insert(slices.Clone(all), done+1, replaced(intended, `"public":false`, `"public":true`)[intended]),
	} {
		if _, err := state.Fold(log); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	if _, err := state.Fold(all); err != nil {
		t.Error(err)
	}
}
