package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// chainFolder is a folder with a chain of one root, 3 of 5, as trusted.
func chainFolder(t *testing.T) string {
	t.Helper()
	root := &tuf.Root{Version: 1, SpecVersion: tuf.SpecVersion, Expires: time.Now().UTC().AddDate(0, 6, 0).Truncate(time.Second), ConsistentSnapshot: true, Roles: map[string]tuf.Role{}}
	private := map[string]ed25519.PrivateKey{}
	for _, name := range tuf.RoleNames {
		role := tuf.Role{Threshold: 1}
		for range map[bool]int{true: 5, false: 1}[name == tuf.RoleRoot] {
			public, secret, err := ed25519.GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			value, err := keys.FromCrypto(public)
			if err != nil {
				t.Fatal(err)
			}
			key, err := tuf.NewKey(value)
			if err != nil {
				t.Fatal(err)
			}
			root.Keys, role.KeyIDs = append(root.Keys, key), append(role.KeyIDs, key.ID)
			if name == tuf.RoleRoot {
				role.Threshold = 3
				private[key.ID] = secret
			}
		}
		root.Roles[name] = role
	}
	var sigs []tuf.Signature
	for id, key := range private {
		sigs = append(sigs, tuf.Signature{KeyID: id, Sig: ed25519.Sign(key, root.Canonical())})
	}
	text, err := tuf.Assemble(root, sigs)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "trusted"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "trusted/1.root.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// reads is until for a question below a text that may be longer than the
// screen: it reads on.
func (s *screen) reads(question, mark string) {
	s.t.Helper()
	for {
		text := s.untilIt("asks "+question, func(text string) bool {
			return strings.Contains(text, "Enter or PgDn") || strings.Contains(text, question) && strings.Contains(text, mark)
		})
		if !strings.Contains(text, "Enter or PgDn") {
			return
		}
		s.write("\x1b[6~")
		s.untilIt("reads on", func(now string) bool { return now != text })
	}
}

// types types a line, and waits until it stands there.
func (s *screen) types(line string) {
	s.t.Helper()
	s.write(line)
	s.until("> " + line + "█")
}

// From the first screen an emergency leads to a plan, its check, and on to the
// ceremony.
func TestEmergencyOnScreen(t *testing.T) {
	dir := chainFolder(t)
	s := onTerminal(t, []string{"XDG_STATE_HOME=" + t.TempDir()})
	s.until("What is to be done?")
	for !strings.Contains(s.untilIt("marks a line", func(text string) bool { return strings.Contains(text, "► ") }), "► Emergency") {
		before, _, _ := s.text()
		s.write("\x1b[B")
		s.untilIt("moves", func(text string) bool { return text != before })
	}
	s.write("\r")
	s.until("Folder for the plan of the way out")
	s.types(dir)
	s.write("\r")
	s.until("Next: Say what has happened")
	s.write("\r")
	s.reads("What has happened?", "A token is stolen")
	s.write("\x1b[B")
	s.until("► A token is lost")
	s.write("\x1b[B")
	s.until("► A token is stolen")
	s.write("\r")
	for _, line := range [][2]string{{"made the newest", ""}, {"the project's name", "Example packages"}, {"Whose token is it?", "2"}, {"Reason, as the plan", ""}} {
		s.reads(line[0], "> █")
		s.write(line[1] + "\r")
	}
	s.until("The plan of root version 2 is written")
	s.reads("Can still be done: Check the plan", "")
	s.write("\r")
	s.until("What the plan makes")
	s.reads("The plan is ready. Enter goes on", "")
	s.write("\r")
	// Its ceremony opens, or it is said why it cannot.
	s.untilIt("goes on to the ceremony", func(text string) bool {
		return strings.Contains(text, "Check the laptop") || strings.Contains(text, "cannot be held")
	})
	s.write("\x03")
	s.exit()
	out, err := exec.Command(program("rootceremony"), "check", dir).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("revoke")) {
		t.Errorf("%s%v", out, err)
	}
}

// A new plan asks first what it is for.
func TestPlanOfWhichKind(t *testing.T) {
	dir := chainFolder(t)
	s := onTerminal(t, []string{"XDG_STATE_HOME=" + t.TempDir()})
	s.until("► Rehearse")
	s.write("\x1b[B")
	s.until("► Write a new plan")
	s.write("\r")
	s.until("Folder of the ceremony")
	s.types(dir)
	s.write("\r")
	s.until("Next: Write the plan")
	s.write("\r")
	s.until("an emergency: a token or a key")
	s.write("\x1b[B")
	s.until("► a first root")
	s.write("\x1b[B")
	s.until("► the next root")
	s.write("\r")
	for _, line := range [][2]string{{"made the newest", ""}, {"Where are the published roots", ""}, {"the project's name", "Example packages"}} {
		s.reads(line[0], "> █")
		s.write(line[1] + "\r")
	}
	s.reads("Does anything but the expiry change?", "No")
	s.write("\x03")
	s.until("leave")
	s.write("\x03")
	if status := s.exit(); status != 3 {
		t.Errorf("exit status %d", status)
	}
	if _, err := os.Stat(filepath.Join(dir, state.PlanFile)); err == nil {
		t.Error("a plan was written")
	}
}

// An emergency in plain mode: few answers and few keys, and the end of the
// input is no answer.
func TestEmergencyInPlainMode(t *testing.T) {
	dir := chainFolder(t)
	answers := []string{"token-stolen", "", "Example packages", "2", ""}
	for n := range len(answers) + 1 {
		command := exec.Command(program("rootceremony"), "plan", "--kind", "revoke", "--plain", dir)
		typed := strings.Join(answers[:n], "\n") + "\n"
		if n == 0 {
			typed = ""
		}
		command.Stdin = strings.NewReader(typed)
		out, err := command.CombinedOutput()
		if n < len(answers) {
			if _, there := os.Stat(filepath.Join(dir, state.PlanFile)); err == nil || there == nil {
				t.Fatalf("after %d answers: %v\n%s", n, err, out)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("a stolen token, from the question to the plan: %d answers, %d keystrokes", len(answers), len(typed))
		for _, want := range []string{"wrote " + filepath.Join(dir, state.PlanFile), fmt.Sprint("rootceremony run ", dir), "There is no race"} {
			if !bytes.Contains(bytes.Join(bytes.Fields(out), []byte(" ")), []byte(want)) {
				t.Errorf("nobody said %q:\n%s", want, out)
			}
		}
	}
}

// From the incident to a draft that can be signed, every answer counted: those
// of the interview, and those of the ceremony with its list of tasks.
func TestFromIncidentToDraftInPlainMode(t *testing.T) {
	t.Parallel()
	first, next, folder := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "next"), t.TempDir()
	if out, err := exec.Command(program("rootceremony"), "rehearse", "--auto", first).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	said := []string{"token-stolen", first, "2", ""}
	count, keys := len(said), len(strings.Join(said, "\n"))+1
	plan := exec.Command(program("rootceremony"), "plan", "--kind", "revoke", "--plain", folder)
	plan.Stdin = strings.NewReader(strings.Join(said, "\n") + "\n")
	if out, err := plan.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	r := &room{t: t, dir: next, args: []string{"--after", first, "--plan", filepath.Join(folder, state.PlanFile)}}
	r.start()
	for {
		question, err := r.prompt()
		if err != nil {
			t.Fatalf("it has ended before there was a draft:\n%s", &r.all)
		}
		desk, err := ceremony.LookAt(next)
		if err != nil {
			t.Fatal(err)
		}
		if desk.State().Draft != nil {
			break
		}
		right := "confirmed"
		if !strings.Contains(question, "How do you know it?") {
			right, _ = r.rightAnswer(question)
		}
		count, keys = count+1, keys+len(right)+1
		r.answer(right + "\r")
	}
	r.answer(":quit\r")
	r.end()
	t.Logf("from the incident to the draft: %d answers, %d keystrokes (%d of them a path)", count, keys, len(first))
	if count > 10 {
		t.Errorf("%d answers are more than 10", count)
	}
	desk, err := ceremony.LookAt(next)
	if err != nil {
		t.Fatal(err)
	}
	if drops := desk.State().Plan.Drops; len(drops) != 1 || drops[0].Name != "Bruno Ferraz" || drops[0].Reason != agreed.Stolen {
		t.Errorf("%+v", drops)
	}
}
