package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/state"
	"rootceremony/keys/yubikey/pcsctest"
)

// A program that takes the place of this one on the disk, while a ceremony
// runs, is not started with anybody's PIN.
func TestSwappedProgramGetsNoPIN(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, stranger, got := filepath.Join(dir, "rootceremony"), filepath.Join(dir, "stranger"), filepath.Join(dir, "got")
	own, err := os.ReadFile(program("rootceremony"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, own, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stranger, fmt.Appendf(nil, "#!/bin/sh\ncat >>'%s'\n", got), 0o755); err != nil {
		t.Fatal(err)
	}
	r := openRoom(t)
	r.program, r.args = file, []string{"--plan", smallPlanFile(t, 1, 1)}
	r.start()
	swapped := false
	for {
		question, err := r.prompt()
		if err != nil {
			break
		}
		if !swapped && strings.Contains(question, "PIN") {
			if err := os.Rename(stranger, file); err != nil {
				t.Fatal(err)
			}
			swapped = true
		}
		if _, err := os.Stat(got); err == nil {
			r.answer(":quit\r")
			break
		}
		right, _ := r.rightAnswer(question)
		r.answer(right + "\r")
	}
	if text, err := os.ReadFile(got); err == nil {
		t.Errorf("the stranger got %q", text)
	}
	if status := r.end(); status != 0 || !swapped {
		t.Errorf("status %d, swapped: %v:\n%s", status, swapped, &r.all)
	}
}

// preloaded is the source of a library that writes down which programs have
// loaded it.
const preloaded = `
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) {
	char line[4096];
	int in = open("/proc/self/cmdline", O_RDONLY), out = open(RECORD, O_WRONLY | O_CREAT | O_APPEND, 0600);
	ssize_t n = read(in, line, sizeof line - 1);
	if (n < 0) n = 0;
	line[n] = '\n';
	if (write(out, line, n + 1) < 0) _exit(99);
	close(in);
	close(out);
}
`

// What LD_PRELOAD and LD_AUDIT load into the program is not loaded into the
// processes that hold PINs and seeds. A rehearsal says so, and goes on.
func TestPreloadedCodeIsNotInChildren(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source, library, record := filepath.Join(dir, "loaded.c"), filepath.Join(dir, "loaded.so"), filepath.Join(dir, "record")
	if err := os.WriteFile(source, []byte(preloaded), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-shared", "-fPIC", fmt.Sprintf("-DRECORD=%q", record), "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s(hint: make packages installs what the tests need)", err, out)
	}
	card, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	ceremonyDir := filepath.Join(dir, "d")
	command := exec.Command(card, "rehearse", "--auto", ceremonyDir)
	command.Env = append(os.Environ(), "LD_PRELOAD="+library)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for line := range bytes.Lines(text) {
		args := bytes.Split(line, []byte{0})
		switch {
		case len(args) > 1 && string(args[1]) == "rehearse":
			own++
		case bytes.Contains(line, []byte(sessionArgument)):
			t.Fatalf("loaded into %q", args)
		}
	}
	if own != 1 {
		t.Errorf("not loaded at all: %q", text)
	}
	if f := variables(t, ceremonyDir); len(f) != 1 || f[0].Level != state.LevelFail || !strings.HasPrefix(f[0].Text, "LD_PRELOAD is set") {
		t.Errorf("%+v", f)
	}
}

// variables is what a ceremony's check of the laptop has found in the
// environment.
func variables(t *testing.T, dir string) (found []state.Finding) {
	t.Helper()
	desk, err := ceremony.LookAt(dir)
	if err != nil || desk.State().Preflight == nil {
		t.Fatal("no check of the laptop: ", err)
	}
	for _, f := range desk.State().Preflight.Private.Findings {
		if f.ID == "variables" {
			found = append(found, f)
		}
	}
	return found
}

// relay is a socket that hands on all that comes to a pcscd, and counts who
// has come.
func relay(t *testing.T, service *pcsctest.Service) (env string, visitors *atomic.Int64) {
	t.Helper()
	name, pcscd, _ := strings.Cut(service.Env()[0], "=")
	socket := filepath.Join(service.Dir, "relay")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	visitors = new(atomic.Int64)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			visitors.Add(1)
			to, err := net.Dial("unix", pcscd)
			if err != nil {
				_ = from.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
				}()
			}
		}
	}()
	return name + "=" + socket, visitors
}

// Who says by the environment that pcscd is elsewhere gets nothing of a
// ceremony: its check of the laptop speaks to pcscd, and ends it, whatever else is
// waived. What has no such check refuses. A rehearsal goes by it, and says so.
func TestRelayGetsNothing(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	file := filepath.Join(service.Dir, "a.token")
	root := filepath.Join(service.Dir, "root.pem")
	service.Plug(t, 0, "--touch", "auto", "--state", file, "--attestation-root", root)
	env, visitors := relay(t, service)

	r := openRoom(t)
	card, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	plan := smallPlanFile(t, 1, 1)
	const waived = "\nwaive\nit is a test\n"
	set := inRoom(t, service, "run", "--plain", filepath.Dir(plan))
	set.Env, set.Stdin = append(os.Environ(), env), strings.NewReader(waived)
	if out, err := set.CombinedOutput(); err == nil || !strings.Contains(string(out), "PCSCLITE_CSOCK_NAME is set") || strings.Contains(string(out), "Why is it safe") {
		t.Errorf("%v\n%s", err, out)
	}
	if desk, err := ceremony.LookAt(filepath.Dir(plan)); err != nil || desk.State().Preflight != nil {
		t.Errorf("it goes on: %v", err)
	}
	r.program, r.within, r.verb, r.dir = card, service, "run", filepath.Dir(plan)
	r.start()
	for {
		question, err := r.prompt()
		if err != nil {
			t.Fatalf("ended:\n%s", &r.all)
		}
		if strings.Contains(strings.Join(strings.Fields(r.all.String()), " "), "cannot show that it was made by a maker whom this ceremony trusts") {
			break
		}
		switch {
		case strings.Contains(question, "What now?"):
			r.answer("waive\r")
		case strings.Contains(question, "Why is it safe"):
			r.answer("it is a test\r")
		default:
			right, _ := r.rightAnswer(question)
			r.answer(right + "\r")
		}
	}
	r.answer(":quit\r")
	r.end()
	if f := variables(t, r.dir); len(f) != 1 || f[0].Level != state.LevelOK {
		t.Errorf("%+v", f)
	}

	// On a later start the laptop is not checked again, and so the start is refused.
	resolved := filepath.Join(r.dir, state.ResolvedFile)
	there := t.TempDir()
	enrol := inRoom(t, service, "enrol", resolved, "--holder", "alice", "--plain")
	enrol.Dir, enrol.Stdin = there, strings.NewReader(waived)
	if out, err := enrol.CombinedOutput(); enrol.ProcessState.ExitCode() != exitUnfinished {
		t.Errorf("enrol: %v\n%s", err, out)
	}
	for _, args := range [][]string{{"run", "--plain", r.dir}, {"enrol", resolved, "--holder", "alice", "--plain"}, {"preflight", r.dir}, {"token", "list"}, {"token", "prepare"}, {"checkup", r.dir}, {"restore", r.dir}, {"sign", filepath.Join(r.dir, "no.json")}} {
		command := inRoom(t, service, args...)
		command.Dir, command.Env = there, append(os.Environ(), env)
		out, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "PCSCLITE_CSOCK_NAME is set") {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
	if n := visitors.Load(); n != 0 {
		t.Errorf("the relay has %d visitors", n)
	}

	rehearsed := filepath.Join(t.TempDir(), "d")
	command := exec.Command(card, "rehearse", "--auto", "--tokens", "pcsc", "--attestation-root", root, "--plan", plan, rehearsed)
	command.Env = append(os.Environ(), env)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if visitors.Load() == 0 {
		t.Error("the rehearsal does not go by the environment")
	}
	if f := variables(t, rehearsed); len(f) != 1 || f[0].Level != state.LevelFail {
		t.Errorf("%+v", f)
	}
}
