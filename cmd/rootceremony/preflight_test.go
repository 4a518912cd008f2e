package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/state"
	"rootceremony/keys/session"
	"rootceremony/keys/yubikey"
	"rootceremony/keys/yubikey/pcsctest"
)

// looked runs preflight --json, and returns the findings by their ids.
func looked(t *testing.T, command *exec.Cmd) map[string]state.Finding {
	t.Helper()
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	err := command.Run() // the laptop of the tests has faults of its own
	var all []state.Finding
	if bad := json.Unmarshal(out.Bytes(), &all); bad != nil {
		t.Fatalf("%v, %v:\n%s%s", bad, err, &out, &said)
	}
	found := map[string]state.Finding{}
	for _, f := range all {
		found[f.ID] = f
	}
	if found["pcscd"].Level == state.LevelFail && command.ProcessState.ExitCode() != exitFailed {
		t.Errorf("with %+v: %v", found["pcscd"], err)
	}
	return found
}

// What preflight says about the smart-card service, as each user meets it.
func TestPreflightOverPCSC(t *testing.T) {
	service := pcsctest.Start(t, 2)
	service.Plug(t, 0, "--firmware", "5.7.4")
	service.Plug(t, 1, "--firmware", "5.7.4", "--serial", "7654321")
	dir := t.TempDir()
	socket := filepath.Join(service.Dir, "run/pcscd/pcscd.comm")
	known := "/run/pcscd/pcscd.comm" // where the program, which goes by no variable, has it
	look := func() map[string]state.Finding {
		t.Helper()
		return looked(t, inRoom(t, service, "preflight", "--json", dir))
	}
	refused := func(found map[string]state.Finding, text string) {
		t.Helper()
		f := found["pcscd"]
		if f.Level != state.LevelFail || !strings.Contains(f.Text, text) || f.Advice == "" {
			t.Errorf("%+v, not %q", f, text)
		}
		if _, said := found["readers"]; said {
			t.Error("readers are said without pcscd")
		}
	}

	said, err := exec.Command("pcscd", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := look()
	version := strings.TrimPrefix(found["pcscd"].Text, "pcscd lets this user in; the installed one is version ")
	if found["pcscd"].Level != state.LevelOK || !strings.HasPrefix(string(said), "pcsc-lite version "+version+".\n") {
		t.Errorf("%+v, of %q", found["pcscd"], said)
	}
	if f := found["readers"]; f.Level != state.LevelOK || !strings.HasPrefix(f.Text, "readers: 4, usable tokens in them: 2 (") {
		t.Errorf("%+v", f)
	}
	for i := range 2 { // each reader has a second slot, which is empty
		name := fmt.Sprintf("Yubico YubiKey OTP+FIDO+CCID %02d 00", i)
		for _, want := range []string{name + " 00: YubiKey 5", ", firmware 5.7.4", name + " 01: empty"} {
			if !strings.Contains(found["readers"].Text, want) {
				t.Errorf("no %q in %q", want, found["readers"].Text)
			}
		}
	}
	other, err := sessions(t, service).Start(t.Context(), session.Backend{Kind: yubikey.Kind})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Select(7654321); err != nil {
		t.Fatal(err)
	}
	found = look()
	if f := found["readers"]; f.Level != state.LevelWarn || f.Advice != "touch it if it blinks, or close that program; if neither helps, pull it out and insert it again" ||
		!strings.HasPrefix(f.Text, "readers: 4, usable tokens in them: 1 (") || !strings.Contains(f.Text, "01 00 00: another program uses it") {
		t.Errorf("%+v", f)
	}
	if f := found["programs"]; f.Level != state.LevelWarn || !strings.Contains(f.Text, "another token session of rootceremony (pid ") {
		t.Errorf("%+v", f)
	}
	_ = other.Close()

	if err := os.Chmod(socket, 0); err != nil {
		t.Fatal(err)
	}
	outsider := inRoom(t, service, "preflight", "--json", dir)
	// Within its namespaces the program is root, which may open everything, but
	// for these.
	within := len(service.Within())
	outsider.Args = slices.Insert(outsider.Args, within, "setpriv", "--bounding-set", "-dac_override,-dac_read_search")
	refused(looked(t, outsider), "this user may not open "+known)

	service.Stop(t)
	refused(look(), "there is no "+known)

	// What polkit refuses, pcscd hangs up on.
	polkit, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer polkit.Close()
	go func() {
		for {
			conn, err := polkit.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	refused(look(), "hangs up on this user")
	polkit.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = polkit.Close()
	refused(look(), "nothing listens at "+known)

	refused(looked(t, exec.Command(program("rootceremony"), "preflight", "--json", dir)), "this build has no smart cards")
}

// A rehearsal needs pcscd where its tokens are in readers only.
func TestPreflightOfRehearsals(t *testing.T) {
	service := pcsctest.Start(t, 1)
	service.Stop(t)
	for _, kind := range []string{"virtual", "pcsc"} {
		dir := filepath.Join(t.TempDir(), "d")
		out, err := inRoom(t, service, "rehearse", "--auto", "--tokens", kind, dir).CombinedOutput()
		if (err == nil) != (kind == "virtual") {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
		desk, err := ceremony.LookAt(dir)
		if err != nil || desk.State().Preflight == nil {
			t.Fatalf("%s: %v\n%s", kind, err, out)
		}
		var about []string
		for _, f := range desk.State().Preflight.Private.Findings {
			if f.ID == "pcscd" || f.ID == "readers" || f.ID == "programs" {
				about = append(about, f.ID+" "+string(f.Level))
			}
		}
		want := map[string]string{"virtual": "", "pcsc": "pcscd fail"}[kind]
		if got := strings.Join(about, ", "); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: %q", kind, got)
		}
	}
}
