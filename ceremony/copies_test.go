package ceremony_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys/virtual"
)

// beforeCopies brings Alice, alone, to the copies of her backups.
func beforeCopies(t *testing.T) (*stage, *ceremony.Desk) {
	t.Helper()
	s, desk := newAlone(t).opened()
	runTo(t, desk, "drill")
	return s, desk
}

// to are the answers that name the folders of media.
func to(folders ...string) map[string]string {
	answers := map[string]string{}
	for n, folder := range folders {
		answers[fmt.Sprint("copies.where ", n+1)] = folder
	}
	return answers
}

// folderOn is the folder of the newest copy on a medium: the one with the
// longest log.
func (s *stage) folderOn(medium string) string {
	s.t.Helper()
	folders, err := filepath.Glob(filepath.Join(medium, "root-backups-*"))
	newest, longest := "", -1
	for _, folder := range folders {
		if text, _ := os.ReadFile(filepath.Join(folder, transcript.FileName)); len(text) > longest {
			newest, longest = folder, len(text)
		}
	}
	if err != nil || longest <= 0 {
		s.t.Fatalf("no whole copy in %v: %v", folders, err)
	}
	return newest
}

// checkMedium compares the newest copy on a medium with the ceremony, and with
// its own list.
func (s *stage) checkMedium(medium string) {
	s.t.Helper()
	folder := s.folderOn(medium)
	list := ""
	for _, name := range allFiles(s.t, folder) {
		name, err := filepath.Rel(folder, name)
		if err != nil {
			s.t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			s.t.Fatal(err)
		}
		if name == state.SumsFile {
			continue
		}
		list += fmt.Sprintf("%x  %s\n", sha256.Sum256(got), name)
		want, err := os.ReadFile(filepath.Join(s.dir, name))
		if path.Base(name) == transcript.FileName && len(want) > len(got) {
			want = want[:len(got)] // it has grown since
		}
		if err != nil || !bytes.Equal(got, want) {
			s.t.Errorf("%s is not what the ceremony has: %v", name, err)
		}
	}
	for _, b := range s.backups() {
		for _, f := range b.Files {
			if !strings.Contains(list, f.SHA256+"  "+f.Name+"\n") {
				s.t.Errorf("%s is not on the medium", f.Name)
			}
		}
	}
	for _, name := range []string{state.PlanFile, state.ResolvedFile, transcript.FileName, "evidence/"} {
		if !strings.Contains(list, "  "+name) {
			s.t.Errorf("%s is not on the medium", name)
		}
	}
	text, err := os.ReadFile(filepath.Join(folder, state.SumsFile))
	if lines := func(s string) []string { return slices.Sorted(strings.Lines(s)) }; err != nil || !slices.Equal(lines(string(text)), lines(list)) {
		s.t.Errorf("%v: the list is\n%s, want\n%s", err, text, list)
	}
}

// Backups go to two media; one under two names is not two.
func TestCopiesOnTwoMedia(t *testing.T) {
	s, desk := beforeCopies(t)
	one, two := t.TempDir(), t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{one, one + "/", link, filepath.Join(one, "..", filepath.Base(one))} {
		err := desk.Run(t.Context(), "copies", &prompt.Script{Answers: to(one, again)})
		if err == nil || !strings.Contains(err.Error(), "has its copy already") {
			t.Errorf("%s: %v", again, err)
		}
	}
	for folder, want := range map[string]string{"": "name a folder", filepath.Join(one, "none"): "no such file", os.Args[0]: "is no folder"} {
		a := &prompt.Script{Answers: to(one, folder)}
		if folder == "" {
			continue // in a rehearsal that stands for the suggested one
		}
		if err := desk.Run(t.Context(), "copies", a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", folder, err, want)
		}
	}
	for _, task := range desk.Tasks() {
		if task.ID == "copies" && (task.State != prompt.Ready || task.Reason != "1 of 2 media") {
			t.Errorf("%+v", task)
		}
	}
	if err := desk.Run(t.Context(), "copies", &prompt.Script{Answers: to("", two)}); err != nil {
		t.Fatal(err)
	}
	s.checkMedium(one)
	s.checkMedium(two)
}

// whileOut does something when the medium is said to be out, and goes on
// without a second one.
func whileOut(medium string, do func()) *prompt.Script {
	a := &prompt.Script{Answers: to(medium)}
	a.Answers["copies.how 2"] = "none"
	a.Answers["copies.why"] = "it is a test"
	a.Say = func(m prompt.Message) {
		if strings.Contains(strings.Join(m.Text, " "), "take it out, put it back") {
			do()
		}
	}
	return a
}

// What changes while a medium is out is found. Anyone who takes the same medium
// again gets a whole copy beside the damaged one, of which nothing is replaced.
func TestCopiesThatAreDamaged(t *testing.T) {
	s, desk := beforeCopies(t)
	damage := []func(text []byte) []byte{
		func(text []byte) []byte { text[len(text)/2] ^= 1; return text },
		func(text []byte) []byte { return text[:len(text)/3] },
		func(text []byte) []byte { return make([]byte, len(text)) },
	}
	for _, how := range damage {
		for _, part := range []string{"private/backups/*/*/*.key.age", "evidence/*/*", transcript.FileName, state.SumsFile, "../" + ceremony.MediumFile} {
			medium, name := t.TempDir(), ""
			err := desk.Run(t.Context(), "copies", whileOut(medium, func() {
				names, err := filepath.Glob(filepath.Join(s.folderOn(medium), part))
				if err != nil || len(names) == 0 {
					t.Fatalf("no %s: %v", part, err)
				}
				name = names[0]
				text, err := os.ReadFile(name)
				if err == nil {
					err = os.WriteFile(name, how(text), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}))
			if err == nil || !strings.Contains(err.Error(), name+" on the medium is not what was written") {
				t.Errorf("%s: %v", part, err)
			}
			if n := len(desk.State().Copies); n != 0 {
				t.Fatalf("%d copies recorded", n)
			}
		}
	}
	medium := t.TempDir()
	damaged := ""
	if err := desk.Run(t.Context(), "copies", whileOut(medium, func() {
		damaged = filepath.Join(s.folderOn(medium), state.PlanFile)
		if err := os.Truncate(damaged, 3); err != nil {
			t.Fatal(err)
		}
	})); err == nil {
		t.Error("a plan that is cut off is not found")
	}
	other := t.TempDir()
	err := desk.Run(t.Context(), "copies", whileOut(other, func() {
		name := filepath.Join(s.folderOn(other), state.PlanFile)
		if err := errors.Join(os.Remove(name), unix.Mkfifo(name, 0o600)); err != nil {
			t.Fatal(err)
		}
	}))
	if err == nil || !strings.Contains(err.Error(), "the copy cannot be read back") || !strings.Contains(err.Error(), "a pipe") {
		t.Errorf("a pipe in the place of a copy: %v", err)
	}
	if err := desk.Run(t.Context(), "copies", whileOut(medium, func() {})); err != nil {
		t.Fatal(err)
	}
	s.checkMedium(medium)
	if text, err := os.ReadFile(damaged); err != nil || len(text) != 3 {
		t.Errorf("the damaged copy was replaced: %d bytes, %v", len(text), err)
	}
	if desk.State().Exceptions != 1 {
		t.Errorf("%d exceptions for one medium that was not there", desk.State().Exceptions)
	}
}

// A file that is none of ours is never replaced, and the error says what to do.
func TestCopiesMeetJunk(t *testing.T) {
	_, desk := beforeCopies(t)
	run := func(name string, junk []byte, want string) {
		t.Helper()
		medium := t.TempDir()
		a := &prompt.Script{Answers: to(medium)}
		there := filepath.Join(medium, name)
		put := func() {
			err := os.MkdirAll(filepath.Dir(there), 0o700)
			if err == nil {
				err = os.WriteFile(there, junk, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if name == ceremony.MediumFile {
			put()
		}
		a.Say = func(m prompt.Message) {
			_, after, found := strings.Cut(strings.Join(m.Text, " "), "files are written to ")
			if folder, _, _ := strings.Cut(after, ":"); found && name != ceremony.MediumFile {
				there = filepath.Join(folder, name)
				put()
			}
		}
		err := desk.Run(t.Context(), "copies", a)
		for _, want := range []string{there, want, "hint: take another medium, or delete the file"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
		if text, err := os.ReadFile(there); err != nil || !bytes.Equal(text, junk) {
			t.Errorf("%s was replaced: %q, %v", name, text, err)
		}
	}
	run(state.PlanFile, make([]byte, 4096), "is never replaced")
	run(transcript.FileName, nil, "is never replaced")
	run(ceremony.MediumFile, make([]byte, 33), "is not what names a medium")
	run(ceremony.MediumFile, nil, "is not what names a medium")
	run(ceremony.MediumFile, []byte(strings.Repeat("a", 32)), "is not what names a medium")
	run(ceremony.MediumFile, []byte(strings.Repeat("A", 32)+"\n"), "is not what names a medium")
}

// A file that is damaged here is named before anything is written to a medium.
func TestDamagedFilesAreNotCopied(t *testing.T) {
	s, desk := beforeCopies(t)
	key, err := filepath.Glob(filepath.Join(s.dir, "private/backups/*/*/*.key.age"))
	if err != nil || len(key) == 0 {
		t.Fatal(err)
	}
	evidence, err := filepath.Glob(filepath.Join(s.dir, "evidence/*/*"))
	if err != nil || len(evidence) == 0 {
		t.Fatal(err)
	}
	for _, name := range []string{key[0], evidence[0], filepath.Join(s.dir, state.PlanFile), filepath.Join(s.dir, transcript.FileName)} {
		for _, gone := range []bool{false, true} {
			if gone && filepath.Base(name) == transcript.FileName {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			changed := bytes.Clone(text)
			changed[len(changed)/2] ^= 1
			if gone {
				err = os.Remove(name)
			} else {
				err = os.WriteFile(name, changed, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			medium := t.TempDir()
			err = desk.Run(t.Context(), "copies", &prompt.Script{Answers: to(medium)})
			for _, want := range []string{filepath.Base(name), "hint: "} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q", name, err, want)
				}
			}
			if files := allFiles(t, medium); len(files) > 0 {
				t.Errorf("%s: written were %v", name, files)
			}
			back := text
			if filepath.Base(name) == transcript.FileName { // which has grown meanwhile
				if back, err = os.ReadFile(name); err != nil {
					t.Fatal(err)
				}
				back[len(text)/2] ^= 1
			}
			if err := os.WriteFile(name, back, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := desk.Run(t.Context(), "copies", &prompt.Script{}); err != nil {
		t.Error(err)
	}
}

// The laptop is gone: what a medium has, copied to another laptop, is a ceremony
// directory in which a key is restored, the status is shown, and a check-up is
// held.
func TestMediumIsACeremonyDirectory(t *testing.T) {
	for _, kind := range []string{"root-backups", "root-ceremony"} {
		s, desk := newPair(t, 2).opened()
		if kind == "root-backups" {
			runTo(t, desk, "sign alice")
		} else if err := runAll(desk, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
		restoresFrom(t, s, desk, kind)
	}
}

// restoresFrom restores from each folder of that kind on a ceremony's media.
func restoresFrom(t *testing.T, s *stage, desk *ceremony.Desk, kind string) {
	t.Helper()
	public := desk.State().Holders["alice"].Key.Public
	desk.Close()
	folders := s.carriedOn(kind)
	if len(folders) != 2 {
		t.Fatalf("%q", folders)
	}
	for _, folder := range folders {
		medium, dir := filepath.Dir(folder), t.TempDir()
		if kind == "root-backups" {
			s.checkMedium(medium)
		}
		if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		there, err := ceremony.LookAt(dir)
		if err != nil || there.CheckFiles() != nil {
			t.Fatalf("%v, %v", err, there.CheckFiles())
		}
		if closed := kind == "root-ceremony"; closed != strings.Contains(strings.Join(there.Status(), "\n"), "this is the copy on it") {
			t.Errorf("%q", there.Status())
		}
		tokens := desk.Tokens() // what people carry
		fresh := "FRESH-" + filepath.Base(medium)
		if _, err := s.drawer.Add(fresh, virtual.Options{}); err != nil {
			t.Fatal(err)
		}
		tokens.Stickers = append(slices.Clone(tokens.Stickers), fresh)
		tokens.Identities = filepath.Join(s.dir, filepath.FromSlash(ceremony.IdentitiesDir))
		open := func(what func(*ceremony.Desk) error) *ceremony.Desk {
			t.Helper()
			again, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Roots: tokens.Roots})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = again.Close() })
			again.UseTokens(tokens)
			if err := what(again); err != nil {
				t.Fatal(err)
			}
			if kind == "root-backups" { // of a ceremony that went on
				runTasks(t, again, &prompt.Script{}, "start")
			}
			return again
		}
		again := open((*ceremony.Desk).OnlyCheckup)
		runTasks(t, again, &prompt.Script{}, "checkup bruno", "checkup safe-1", "checkup end")
		again.Close()
		again = open((*ceremony.Desk).OnlyRestore)
		answers := quorum(map[string]string{"restore.whose": "alice", "restore.what": "key", "restore.sticker": fresh}, "safe-2", "bruno")
		if err := again.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err != nil {
			t.Fatal(err)
		}
		if alice := again.State().Holders["alice"]; alice.Key.Public != public || alice.Holder.Token != fresh {
			t.Errorf("restored: %+v", alice)
		}
	}
}

// A stick that comes back in another folder is still the same one.
func TestMediumInAnotherFolder(t *testing.T) {
	s, desk := beforeCopies(t)
	above := t.TempDir()
	one, two := filepath.Join(above, "one"), filepath.Join(above, "two")
	if err := os.Mkdir(one, 0o700); err != nil {
		t.Fatal(err)
	}
	a := &prompt.Script{Answers: to(one)}
	a.Answers["copies.where 2"] = two
	a.Say = func(m prompt.Message) {
		if m.Title == "Copy the backups: medium 2 of 2" {
			_ = os.Rename(one, two)
		}
	}
	err := desk.Run(t.Context(), "copies", a)
	if err == nil || !strings.Contains(err.Error(), two+" has its copy already, as "+one) {
		t.Errorf("%v", err)
	}
	// Another one in the folder that the first was in is another one.
	if err := os.Mkdir(one, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := desk.Run(t.Context(), "copies", &prompt.Script{Answers: map[string]string{"copies.where 2": one}}); err != nil {
		t.Fatal(err)
	}
	s.checkMedium(one)
	s.checkMedium(two)
	ids := map[string]bool{}
	for _, c := range desk.State().Copies {
		ids[c.MediumID] = true
	}
	if len(ids) != 2 {
		t.Errorf("the media have the ids %v", ids)
	}
}

// A list that is changed while the medium is out is found, and so is a file that
// is gone.
func TestCopiesThatAreNotThere(t *testing.T) {
	_, desk := beforeCopies(t)
	for _, part := range []string{state.SumsFile, "private/backups/*/*/*.key.age"} {
		medium := t.TempDir()
		a := &prompt.Script{Answers: to(medium)}
		a.Say = func(m prompt.Message) {
			if !strings.Contains(strings.Join(m.Text, " "), "take it out, put it back") {
				return
			}
			found, err := filepath.Glob(filepath.Join(medium, "root-backups-*", part))
			if err == nil {
				err = os.Remove(found[0])
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := desk.Run(t.Context(), "copies", a); err == nil || !strings.Contains(err.Error(), "the copy cannot be read back") || !strings.Contains(err.Error(), "mounted in the same folder") {
			t.Errorf("%s: %v", part, err)
		}
	}
	if n := len(desk.State().Copies); n != 0 {
		t.Errorf("%d copies recorded", n)
	}
}

// Going on without media is an exception, and holds for the backups that there
// are: anyone who starts over has others.
func TestNoMedia(t *testing.T) {
	_, desk := beforeCopies(t)
	none := &prompt.Script{Answers: map[string]string{"copies.how 1": "none"}}
	if err := desk.Run(t.Context(), "copies", none); err == nil {
		t.Error("without a reason")
	}
	none.Answers["copies.why"] = "the sticks are at home"
	before := desk.State().Exceptions
	runTasks(t, desk, none, "copies", "drill")
	if desk.State().Exceptions != before+1 {
		t.Error("it is no exception")
	}
	if task, _ := desk.Next(); task.ID != "review" {
		t.Errorf("next is %s", task.ID)
	}
	startOver(t, desk)
	runTasks(t, desk, &prompt.Script{}, "enrol alice", keyAlice, "drill")
	if task, _ := desk.Next(); task.ID != "copies" {
		t.Errorf("with other backups, next is %s", task.ID)
	}
}

const inNamespace = "CEREMONY_TEST_NAMESPACE"

// Within a mount namespace of its own: a real ceremony copies to media that are
// mounted for it. A small tmpfs stands for a stick: FAT images cannot be mounted
// without a loop device. It is full, read-only, on the ceremony's own disk, the
// same under another name, and never taken out.
func TestCopiesToMountedMedia(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		if err := exec.Command("unshare", "-Urm", "true").Run(); err != nil {
			t.Skipf("no mount namespace here: %v", err)
		}
		cmd := exec.Command("unshare", "-Urm", os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "60s")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	mount := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
			t.Fatalf("mount %v: %v: %s", args, err, out)
		}
	}
	s := newAlone(t)
	s.real = true
	s, desk := s.opened()
	answers := map[string]string{"preflight.failed": "waive", "preflight.why": "it is a test"}
	for _, id := range []string{"safe-1", "safe-2"} {
		answers["identity "+id] = s.identityFile(id)
	}
	runTasks(t, desk, &prompt.Script{Answers: answers}, "preflight", "agree", "enrol alice", "recipient safe-1", "recipient safe-2", keyAlice, "drill")
	sticks := []string{t.TempDir(), t.TempDir()}  // what is on them, wherever they are
	mounted := []string{t.TempDir(), t.TempDir()} // where they are
	for i := range sticks {
		mount("-t", "tmpfs", "-o", "size=12k", "tmpfs", sticks[i])
		mount("--bind", sticks[i], mounted[i])
		t.Cleanup(func() { _ = exec.Command("umount", mounted[i], sticks[i]).Run() })
	}
	refused := func(what string, a prompt.Room, want ...string) {
		t.Helper()
		err := desk.Run(t.Context(), "copies", a)
		for _, want := range want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
	}
	leaves := func(medium string) prompt.Room {
		a := &outAndIn{back: func(int) (string, error) { return "", prompt.ErrBack }}
		a.Answers = to(medium)
		return a
	}
	refused("the same disk", leaves(t.TempDir()), "is on the same disk as this ceremony")
	refused("full", leaves(mounted[0]), "no space left on device", "nothing is lost here; make room on the medium")
	mount("-o", "remount,bind,ro", mounted[0])
	refused("read-only", leaves(mounted[0]), "read-only file system")
	mount("-o", "remount,bind,rw", mounted[0])
	for _, stick := range sticks {
		mount("-o", "remount,size=1m", stick)
	}
	// In the middle of a file it goes on; it is not believed that it was out.
	told := 0
	asked := &outAndIn{}
	asked.Answers = to(mounted[0])
	asked.Say = func(m prompt.Message) {
		if strings.Contains(strings.Join(m.Text, " "), "was not unmounted") {
			told++
		}
	}
	asked.back = func(n int) (string, error) {
		if n < 2 {
			return "back", nil
		}
		return "", prompt.ErrBack
	}
	if err := desk.Run(t.Context(), "copies", asked); !errors.Is(err, prompt.ErrBack) || told != 2 {
		t.Errorf("never out: %v, told %d times", err, told)
	}
	again := func(i int) func(int) (string, error) {
		return func(int) (string, error) {
			if out, err := exec.Command("umount", mounted[i]).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			mount("--bind", sticks[i], mounted[i])
			return "back", nil
		}
	}
	first := &outAndIn{back: again(0)}
	first.Answers = to(mounted[0], sticks[0])
	refused("the same under another name", first, "has its copy already")
	if len(desk.State().Copies) != 1 {
		t.Fatalf("%d media", len(desk.State().Copies))
	}
	// It is taken out, and put in again elsewhere.
	elsewhere := t.TempDir()
	mount("--move", mounted[0], elsewhere)
	t.Cleanup(func() { _ = exec.Command("umount", elsewhere).Run() })
	second := func(medium string) *outAndIn {
		o := &outAndIn{back: again(1)}
		o.Answers = map[string]string{"copies.where 2": medium}
		return o
	}
	refused("the same in another place", second(elsewhere), elsewhere+" has its copy already, as "+mounted[0])
	below := filepath.Join(elsewhere, "below")
	if err := os.Mkdir(below, 0o700); err != nil {
		t.Fatal(err)
	}
	refused("a folder on it", second(below), "not the one that the medium is mounted in")
	// A kernel without numbers for mounts is asked twice.
	ceremony.OldKernel(t)
	told = 0
	old := second(mounted[1])
	old.Say = asked.Say
	old.out = func(n int) (string, error) {
		if n > 0 {
			if out, err := exec.Command("umount", mounted[1]).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		return "out", nil
	}
	old.back = func(n int) (string, error) {
		mount("--bind", sticks[1], mounted[1])
		return "back", nil
	}
	if err := desk.Run(t.Context(), "copies", old); err != nil || told != 1 || old.times != 1 {
		t.Fatalf("%v, told %d times, back %d times", err, told, old.times)
	}
	for _, stick := range sticks {
		s.checkMedium(stick)
	}
	if task, _ := desk.Next(); task.ID != "review" {
		t.Errorf("next is %s", task.ID)
	}
	// At the end those two, and a third one, get what there is then.
	runTo(t, desk, "carry")
	third := t.TempDir()
	sticks, mounted = append(sticks, third), append(mounted, t.TempDir())
	mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", third)
	mount("--bind", third, mounted[2])
	mount("--move", elsewhere, mounted[0])
	for _, folder := range []string{third, mounted[2], mounted[0]} {
		t.Cleanup(func() { _ = exec.Command("umount", folder).Run() })
	}
	carry := &outAndIn{back: func(n int) (string, error) {
		mount("--bind", sticks[n], mounted[n])
		return "back", nil
	}, out: func(n int) (string, error) {
		if out, err := exec.Command("umount", mounted[n]).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return "out", nil
	}}
	carry.Answers = carryTo(mounted...)
	if err := desk.Run(t.Context(), "carry", carry); err != nil || carry.outs != 3 || !desk.State().Finished() {
		t.Fatalf("%v, out %d times", err, carry.outs)
	}
	for n, stick := range sticks {
		kind := map[bool]string{true: "root-publish-*", false: "root-ceremony-*"}[n == 2]
		folders, err := filepath.Glob(filepath.Join(stick, kind))
		if err != nil || len(folders) != 1 {
			t.Fatalf("%q, %v", folders, err)
		}
		checkSums(t, folders[0])
	}
}

// outAndIn takes a medium out and puts it back.
type outAndIn struct {
	prompt.Script
	out   func(n int) (string, error) // the n-th time, from 0
	back  func(n int) (string, error)
	outs  int
	times int
}

func (o *outAndIn) Choose(ctx context.Context, p prompt.Prompt, choices []prompt.Choice) (string, error) {
	if strings.Contains(p.ID, ".out ") {
		o.outs++
		return o.out(o.outs - 1)
	}
	if strings.Contains(p.ID, ".back ") {
		o.times++
		return o.back(o.times - 1)
	}
	return o.Script.Choose(ctx, p, choices)
}
