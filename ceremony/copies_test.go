package ceremony_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
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

// onMedium is where a file of the backups is copied to.
func (s *stage) onMedium(medium string, desk *ceremony.Desk) map[string]string {
	s.t.Helper()
	names := map[string]string{}
	folders, err := filepath.Glob(filepath.Join(medium, "root-backups-*"))
	if err != nil || len(folders) != 1 {
		s.t.Fatalf("%v, %v", folders, err)
	}
	for _, b := range s.backups() {
		for _, f := range b.Files {
			names[f.Name] = filepath.Join(folders[0], filepath.FromSlash(strings.TrimPrefix(f.Name, ceremony.BackupsDir+"/")))
		}
	}
	return names
}

// checkMedium compares a medium with the ceremony, and with its own list.
func (s *stage) checkMedium(medium string, desk *ceremony.Desk) {
	s.t.Helper()
	copied := s.onMedium(medium, desk)
	list := ""
	for name, there := range copied {
		want, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(name)))
		if err != nil {
			s.t.Fatal(err)
		}
		got, err := os.ReadFile(there)
		if err != nil || !bytes.Equal(got, want) {
			s.t.Errorf("%s is not what was sealed: %v", there, err)
		}
		list += fmt.Sprintf("%x  %s\n", sha256.Sum256(want), strings.TrimPrefix(name, ceremony.BackupsDir+"/"))
	}
	sums, err := filepath.Glob(filepath.Join(medium, "root-backups-*", ceremony.SumsFile))
	if err != nil || len(sums) != 1 {
		s.t.Fatalf("%v, %v", sums, err)
	}
	text, err := os.ReadFile(sums[0])
	if lines := func(s string) []string { return slices.Sorted(strings.Lines(s)) }; err != nil || !slices.Equal(lines(string(text)), lines(list)) {
		s.t.Errorf("the list is\n%s, want\n%s", text, list)
	}
	if n := len(allFiles(s.t, medium)); n != len(copied)+1 {
		s.t.Errorf("%d files on the medium, and %d belong there", n, len(copied)+1)
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
		err := desk.Run(t.Context(), "copies", &ceremony.Script{Answers: to(one, again)})
		if err == nil || !strings.Contains(err.Error(), "has its copy already") {
			t.Errorf("%s: %v", again, err)
		}
	}
	for folder, want := range map[string]string{"": "name a folder", filepath.Join(one, "none"): "no such file", os.Args[0]: "is no folder"} {
		a := &ceremony.Script{Answers: to(one, folder)}
		if folder == "" {
			continue // in a rehearsal that stands for the suggested one
		}
		if err := desk.Run(t.Context(), "copies", a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", folder, err, want)
		}
	}
	for _, task := range desk.Tasks() {
		if task.ID == "copies" && (task.State != ceremony.Ready || task.Reason != "1 of 2 media") {
			t.Errorf("%+v", task)
		}
	}
	if err := desk.Run(t.Context(), "copies", &ceremony.Script{Answers: to("", two)}); err != nil {
		t.Fatal(err)
	}
	s.checkMedium(one, desk)
	s.checkMedium(two, desk)
}

// A file that was cut off on a medium goes on; one with another content is
// never replaced, and what changes while the medium is out is found.
func TestCopiesThatAreDamaged(t *testing.T) {
	s, desk := beforeCopies(t)
	medium := t.TempDir()
	var names []string
	change := func(how func(text []byte) []byte) {
		t.Helper()
		text, err := os.ReadFile(names[0])
		if err == nil {
			err = os.WriteFile(names[0], how(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cut := func(text []byte) []byte { return text[:len(text)/3] }
	flip := func(text []byte) []byte { text[len(text)/2] ^= 1; return text }
	// while runs when the medium is said to be out.
	while := func(do func()) *ceremony.Script {
		a := &ceremony.Script{Answers: to(medium)}
		a.Answers["copies.how 2"] = "none"
		a.Answers["copies.why"] = "it is a test"
		a.Say = func(m ceremony.Message) {
			if do != nil && strings.Contains(strings.Join(m.Text, " "), "take it out, put it back") {
				for _, name := range s.onMedium(medium, desk) {
					names = append(names, name)
				}
				slices.Sort(names)
				do()
			}
		}
		return a
	}
	for _, c := range []struct {
		how  func([]byte) []byte
		want string
		mend bool // whether the task goes on with what is there
	}{
		{flip, "on the medium is not what was written", false},
		{cut, "on the medium is not what was written", true},
	} {
		if err := desk.Run(t.Context(), "copies", while(func() { change(c.how) })); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		if n := len(desk.State().Copies); n != 0 {
			t.Fatalf("%d copies recorded", n)
		}
		err := desk.Run(t.Context(), "copies", while(func() {}))
		switch {
		case c.mend && err != nil:
			t.Error(err)
		case !c.mend && (err == nil || !strings.Contains(err.Error(), "another content, and is never replaced")):
			t.Errorf("another content: %v", err)
		case !c.mend:
			change(flip)
		}
	}
	s.checkMedium(medium, desk)
	if desk.State().Exceptions != 1 {
		t.Errorf("%d exceptions for one medium that was not there", desk.State().Exceptions)
	}
}

// A list that is changed while the medium is out is found, and so is a file that
// is gone.
func TestCopiesThatAreNotThere(t *testing.T) {
	s, desk := beforeCopies(t)
	for _, part := range []string{ceremony.SumsFile, "*/*/*.key.age"} {
		medium := t.TempDir()
		a := &ceremony.Script{Answers: to(medium)}
		a.Say = func(m ceremony.Message) {
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
	_ = s
}

// Going on without media is an exception, and holds for the backups that there
// are: whoever starts over has others.
func TestNoMedia(t *testing.T) {
	_, desk := beforeCopies(t)
	none := &ceremony.Script{Answers: map[string]string{"copies.how 1": "none"}}
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
	runTasks(t, desk, &ceremony.Script{}, "enrol alice", keyAlice, "drill")
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
	runTasks(t, desk, &ceremony.Script{Answers: answers}, "preflight", "agree", "enrol alice", "recipient safe-1", "recipient safe-2", keyAlice, "drill")
	sticks := []string{t.TempDir(), t.TempDir()}  // what is on them, wherever they are
	mounted := []string{t.TempDir(), t.TempDir()} // where they are
	for i := range sticks {
		mount("-t", "tmpfs", "-o", "size=12k", "tmpfs", sticks[i])
		mount("--bind", sticks[i], mounted[i])
		t.Cleanup(func() { _ = exec.Command("umount", mounted[i], sticks[i]).Run() })
	}
	refused := func(what string, a ceremony.Attendant, want ...string) {
		t.Helper()
		err := desk.Run(t.Context(), "copies", a)
		for _, want := range want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
	}
	leaves := func(medium string) ceremony.Attendant {
		a := &outAndIn{back: func(int) (string, error) { return "", ceremony.ErrBack }}
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
	asked.Say = func(m ceremony.Message) {
		if strings.Contains(strings.Join(m.Text, " "), "was not unmounted") {
			told++
		}
	}
	asked.back = func(n int) (string, error) {
		if n < 2 {
			return "back", nil
		}
		return "", ceremony.ErrBack
	}
	if err := desk.Run(t.Context(), "copies", asked); !errors.Is(err, ceremony.ErrBack) || told != 2 {
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
	second := &outAndIn{back: again(1)}
	second.Answers = to("", mounted[1])
	if len(desk.State().Copies) != 1 {
		t.Fatalf("%d media", len(desk.State().Copies))
	}
	second.Answers = map[string]string{"copies.where 2": mounted[1]}
	if err := desk.Run(t.Context(), "copies", second); err != nil {
		t.Fatal(err)
	}
	for _, stick := range sticks {
		s.checkMedium(stick, desk)
	}
	if task, _ := desk.Next(); task.ID != "review" {
		t.Errorf("next is %s", task.ID)
	}
}

// outAndIn takes a medium out and puts it back.
type outAndIn struct {
	ceremony.Script
	back  func(n int) (string, error) // the n-th time, from 0
	times int
}

func (o *outAndIn) Choose(ctx context.Context, p ceremony.Prompt, choices []ceremony.Choice) (string, error) {
	if strings.HasPrefix(p.ID, "copies.back ") {
		o.times++
		return o.back(o.times - 1)
	}
	return o.Script.Choose(ctx, p, choices)
}
