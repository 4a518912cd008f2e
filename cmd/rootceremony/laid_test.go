package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tooLong ends a program that waits for a file: none of those here takes a
// hundredth of it.
const tooLong = time.Minute

// laid are the files that somebody can lay where the programs expect a plain
// one, none of which they may read, or wait for.
var laid = map[string]func(file string) error{
	"a pipe":      func(file string) error { return syscall.Mkfifo(file, 0o600) },
	"a folder":    func(file string) error { return os.Mkdir(file, 0o700) },
	"a device":    func(file string) error { return os.Symlink("/dev/zero", file) },
	"linked pipe": func(file string) error { return os.Symlink(filepath.Base(file)+".pipe", file) },
	"300 GB": func(file string) error {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return err
		}
		return os.Truncate(file, 300<<30)
	},
}

// lay puts one of them in the place of whatever is there.
func lay(t *testing.T, kind, file string) {
	t.Helper()
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if kind == "linked pipe" {
		if err := syscall.Mkfifo(file+".pipe", 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := laid[kind](file); err != nil {
		t.Fatal(err)
	}
}

// Whatever lies where a program expects a plain file, it says so and ends: it
// waits for no pipe, and reads no file that is too large.
func TestNothingWaitsForAFile(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	plan := filepath.Dir(onTokenPlanFile(t))
	if err := os.CopyFS(filepath.Join(base, "plan"), os.DirFS(plan)); err != nil {
		t.Fatal(err)
	}
	if out, err := ownGroup("rehearse", "--auto", "--plan", filepath.Join(plan, "plan.toml"), filepath.Join(base, "d")).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	tokens, err := filepath.Glob(filepath.Join(base, "d/rehearsal/tokens/*.token"))
	if err != nil || len(tokens) == 0 {
		t.Fatal(tokens, err)
	}
	drafts, err := filepath.Glob(filepath.Join(base, "d/metadata/*/rehearsal.1.root.unsigned.json"))
	if err != nil || len(drafts) != 1 {
		t.Fatal(drafts, err)
	}
	draft, err := filepath.Rel(base, drafts[0])
	if err != nil {
		t.Fatal(err)
	}
	token := "d/rehearsal/tokens/" + filepath.Base(tokens[0])
	text, err := os.ReadFile(filepath.Join(plan, "plan.toml"))
	if err != nil {
		t.Fatal(err)
	}
	after := strings.Replace(string(text), "kind =", "earlier = [\"../d\"]\nkind =", 1)
	if err := os.WriteFile(filepath.Join(base, "plan", "after.toml"), []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	says := []string{"it is a link, a pipe or a device", "not a plain file", "is a link to another file", "a link that leads out of the plan's folder", "has more than ",
		"is there already with another content", "holds something else already"} // which is so
	const root, log = "d/publish/1.root.json", "d/transcript.jsonl"
	for _, c := range []struct{ at, command string }{
		{"x", "rootverify chain --rehearsal x"},
		{"x", "rootverify chain --rehearsal " + root + " x"},
		{"roots/1.root.json", "rootverify chain --rehearsal roots"},
		{"x", "rootverify draft --rehearsal x"},
		{"x", "rootverify draft --rehearsal --previous x " + root},
		{"x", "rootceremony show x"},
		{"x", "rootceremony diff x " + root},
		{"x", "rootceremony diff " + root + " x"},
		{log, "rootceremony show --record d " + root},
		{log, "rootceremony status d"},
		{log, "rootceremony restore d --plain"},
		{log, "rootceremony checkup d --plain"},
		{log, "rootceremony rehearse d --auto"},
		{log, "rootceremony rehearse --after d new --auto"},
		{log, "rootceremony check plan/after.toml"},
		{log, "rootceremony collect d " + root},
		{"plan/transcript.jsonl", "rootceremony run plan --plain"},
		{"enrolment-emil/transcript.jsonl", "rootceremony enrol d/plan.resolved.json --holder emil --plain"},
		{"x", "rootceremony enrol x --holder emil --plain"},
		{"x", "rootceremony check x"},
		{"plan/keys/timestamp.pub", "rootceremony check plan/plan.toml"},
		{"x", "rootceremony rehearse new --auto --plan x"},
		{"plan/keys/timestamp.pub", "rootceremony rehearse new --auto --plan plan/plan.toml"},
		{"x", "rootceremony rehearse new --auto --answers x"},
		{"d/rehearsal/answers.txt", "rootceremony rehearse --after d new --auto"},
		{"d/rehearsal/tokens/attestation-root", "rootceremony sign " + draft + " --rehearsal d --plain"},
		{"d/rehearsal/tokens/attestation-root", "rootceremony rehearse --after d new --auto"},
		{token, "rootceremony sign " + draft + " --rehearsal d --plain"},
		{token, "rootceremony rehearse --after d new --auto"},
		{"d/plan.toml", "rootceremony rehearse d --auto"},
		{"d/plan.resolved.json", "rootceremony rehearse d --auto"},
		{root, "rootceremony rehearse d --auto"},
		{"x", "rootceremony collect d x"},
		{"x", "rootceremony collect d --attestation-root x " + root},
		{"copy/transcript.jsonl", "rootceremony collect d copy"},
		{"x", "rootceremony sign x --rehearsal d --plain"},
		{"x", "rootceremony sign " + draft + " --trusted x --rehearsal d --plain"},
		{log, "rootceremony sign " + draft + " --rehearsal d --plain"},
		{"x", "virtualyubikey --attestation-root x"},
		{"x", "virtualyubikey --state x"},
	} {
		for kind := range laid {
			t.Run(strings.NewReplacer("/", "|", " ", "_").Replace(c.command+" "+c.at+" "+kind), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
					t.Fatal(err)
				}
				lay(t, kind, filepath.Join(dir, filepath.FromSlash(c.at)))
				ctx, cancel := context.WithTimeout(t.Context(), tooLong)
				defer cancel()
				words := strings.Fields(c.command)
				command := exec.CommandContext(ctx, program(words[0]), words[1:]...)
				command.Dir = dir
				command.Env = append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+filepath.Join(dir, "state"))
				out, err := command.CombinedOutput()
				switch {
				case ctx.Err() != nil:
					t.Errorf("it hangs, and has said:\n%s", out)
				case err == nil, command.ProcessState.ExitCode() > exitUnfinished:
					t.Errorf("%v:\n%s", err, out)
				case kind != "a folder" && !slices.ContainsFunc(says, func(says string) bool { return strings.Contains(string(out), says) }):
					t.Errorf("it does not say why:\n%s", out)
				}
			})
		}
	}
}

// The list of recent ceremonies is neither read nor written where something
// else lies in its place.
func TestRecentFileThatIsNone(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	file := filepath.Join(state, "rootceremony", recentFile)
	for kind := range laid {
		lay(t, kind, file)
		done := make(chan error, 1)
		go func() {
			remember(t.TempDir())
			if list := remembered(filepath.Dir(file)); list != nil {
				done <- fmt.Errorf("%d bytes were read", len(strings.Join(list, "\n")))
				return
			}
			done <- nil
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		case <-time.After(tooLong):
			t.Fatalf("%s: it hangs", kind)
		}
	}
}
