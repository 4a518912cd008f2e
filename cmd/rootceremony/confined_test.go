package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/state"
	"rootceremony/keys/yubikey/pcsctest"
)

// A rehearsal that is held by hand is confined, and so is the session that waits for
// a touch. Files elsewhere are refused where their paths are typed, with what to do.
// The record says to what the program was held.
func TestConfined(t *testing.T) {
	if confine.Look().ABI == 0 {
		t.Skip("this kernel has no Landlock")
	}
	t.Parallel()
	r := openRoom(t)
	r.touches = true
	secret := filepath.Join(t.TempDir(), "identity.txt")
	if err := os.WriteFile(secret, []byte("AGE-SECRET-KEY-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	typed := map[string]string{"File of the identity": secret, "In which folder": filepath.Dir(secret)}
	r.start()
	sessions := 0
	for {
		question, err := r.prompt()
		if err != nil {
			break
		}
		if sessions == 0 {
			held(t, r.command.Process.Pid)
		}
		if strings.Contains(question, "touch the token") {
			for _, child := range sessionsOf(t, r.command.Process.Pid) {
				held(t, child)
				sessions++
			}
		}
		for part, path := range typed {
			if !strings.Contains(question, part) {
				continue
			}
			delete(typed, part)
			r.answer(path + "\r")
			if question, err = r.prompt(); err != nil {
				t.Fatalf("%s ended the program:\n%s", path, &r.all)
			}
			if shown := strings.Join(strings.Fields(r.all.String()[r.since:]), " "); !strings.Contains(shown, "permission denied (hint: this program is confined") {
				t.Errorf("%s was answered with\n%s", path, shown)
			}
		}
		right, _ := r.rightAnswer(question)
		r.answer(right + "\r")
	}
	if status := r.end(); status != 0 || sessions == 0 || len(typed) > 0 {
		t.Fatalf("status %d, %d sessions, not asked: %v\n%s", status, sessions, typed, &r.all)
	}
	desk, err := ceremony.LookAt(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	found := desk.State().Preflight.Private.Findings
	i := slices.IndexFunc(found, func(f state.Finding) bool { return f.ID == "confined" })
	if i < 0 || !strings.Contains(found[i].Text, "files elsewhere are refused to this program (Landlock ABI ") {
		t.Errorf("%+v", found)
	}
}

// held looks at what the kernel says of a process, by its pid.
func held(t *testing.T, pid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"\nNoNewPrivs:\t1\n", "\nSeccomp:\t2\n"} {
		if !strings.Contains(string(status), line) {
			t.Errorf("no %q in\n%s", line, status)
		}
	}
}

// sessionsOf are the pids of a program's token sessions.
func sessionsOf(t *testing.T, pid int) []int {
	t.Helper()
	var all []int
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // a thread may end just now
		for _, child := range strings.Fields(string(text)) {
			line, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if strings.HasSuffix(string(line), "\x00"+laptop.SessionArgument+"\x00") {
				all = append(all, atoi(t, child))
			}
		}
	}
	return all
}

// The program keeps its name, and its process: what was started is what runs.
func TestConfinedKeepsItsName(t *testing.T) {
	r := openRoom(t)
	r.start()
	if _, err := r.prompt(); err != nil {
		t.Fatalf("%v\n%s", err, &r.all)
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", r.command.Process.Pid))
	if err != nil || string(name) != "rootceremony\n" {
		t.Errorf("%q, %v", name, err)
	}
	r.answer("\x04")
	if status := r.end(); status != exitUnfinished {
		t.Errorf("status %d\n%s", status, &r.all)
	}
}

// Anything else that is around the program is not taken for its confinement.
func TestConfinedIsNotBelieved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	command := exec.Command("setpriv", "--no-new-privs", program("rootceremony"), "rehearse", "--auto", dir)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range desk.State().Preflight.Private.Findings {
		if f.ID == "confined" && strings.Contains(f.Text, "isn't confined") {
			t.Errorf("%+v", f)
		}
	}
}

// A rehearsal reaches the pcscd of another mount namespace by /proc/PID/root, through
// which a confined process may not go.
func TestConfinedReachesPCSC(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	name, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	line := append(service.Within(), "sh", "-c", "echo there; read -r end")
	inside := exec.Command(line[0], line[1:]...)
	end, err := inside.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := inside.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = end.Close(), inside.Wait() }()
	if said, err := bufio.NewReader(out).ReadString('\n'); err != nil || said != "there\n" {
		t.Fatalf("%q, %v", said, err)
	}
	dir := filepath.Join(t.TempDir(), "d")
	command := exec.Command(name, "rehearse", "--plain", "--tokens", "pcsc", dir)
	command.Env = append(os.Environ(), fmt.Sprintf("PCSCLITE_CSOCK_NAME=/proc/%d/root/run/pcscd/pcscd.comm", inside.Process.Pid))
	command.Stdin = strings.NewReader("\n\n")
	said, _ := command.CombinedOutput() // the input ends early
	if command.ProcessState.ExitCode() != exitUnfinished || !strings.Contains(string(said), "pcscd lets this user in") {
		t.Errorf("%s", said)
	}
}
