package main

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/tuf"
)

// What collect says at the command line, into a directory that is finished: of
// its own signatures, of a copy, of nothing, and of another root that Alice has
// signed. That is never good, whatever is published.
func TestCollectSignatures(t *testing.T) {
	t.Parallel()
	dir, draft, _ := unsignedRehearsal(t)
	_, file, err := readRoot(draft)
	if err != nil {
		t.Fatal(err)
	}
	file.Root.Expires = file.Root.Expires.Add(-time.Minute)
	text, err := tuf.Assemble(file.Root, nil)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(other, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, file, err = readRoot(other)
	if err != nil {
		t.Fatal(err)
	}
	sum := file.Digest()
	digest := hex.EncodeToString(sum[:])
	// The same tokens on a laptop that does not know what they have signed.
	apart := filepath.Join(t.TempDir(), "apart")
	if err := os.CopyFS(apart, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(apart, filepath.FromSlash(ceremony.MemoryFile))); err != nil {
		t.Fatal(err)
	}
	r := signing(t, other, "--rehearsal", apart)
	r.start()
	r.says([2]string{"Next: Review root v1", ""}, [2]string{"first 32 hex digits", digest[:32]}, [2]string{"To go on, type: ", "Nothing but my ears vouches for this root"}, [2]string{"Have you read it", "yes"},
		[2]string{"Next: Sign root v1", ""}, [2]string{"Insert your token", "A-01"}, [2]string{"Does it have a line", "no"}, [2]string{"To sign, type words", "words"}, [2]string{"The PIN of your token", autoPIN("alice")}, [2]string{"Touch the token now", ""})
	if _, err := r.prompt(); err == nil {
		t.Fatalf("more is asked:\n%s", &r.all)
	}
	if status := r.end(); status != 0 {
		t.Fatalf("status %d:\n%s", status, &r.all)
	}
	rival, _ := filepath.Glob(filepath.Join(r.folder, "*.json"))
	if len(rival) != 1 {
		t.Fatalf("made %v", rival)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	signatures, _ := filepath.Glob(filepath.Join(dir, "metadata", "*", "*.sig.json"))
	nothing := filepath.Join(t.TempDir(), "nothing.json")
	if err := os.WriteFile(nothing, []byte(`{"rootceremony enrolment": "\"signatures\""}`), 0o600); err != nil {
		t.Fatal(err)
	}
	collect := func(want string, files ...string) {
		t.Helper()
		out, _ := exec.Command(program("rootceremony"), append([]string{"collect", dir}, files...)...).CombinedOutput()
		said := strings.Join(strings.Fields(string(out)), " ")
		if !strings.Contains(said, want) || !strings.Contains(said, " were not taken in") {
			t.Errorf("collect %v: %s, want %q", files, out, want)
		}
	}
	status := func(want int, files ...string) {
		t.Helper()
		command := exec.Command(program("rootceremony"), append([]string{"collect", dir}, files...)...)
		if out, _ := command.CombinedOutput(); command.ProcessState.ExitCode() != want {
			t.Errorf("collect %v: status %d, want %d: %s", files, command.ProcessState.ExitCode(), want, out)
		} else if strings.Contains(string(out), digest) && strings.Contains(string(out), "good without it") {
			t.Errorf("collect %v: %s", files, out)
		}
	}
	sealed := "root v1 is published and the ceremony is sealed: no signature is taken any more (hint: the root is good without it)"
	collect(sealed, filepath.Join(dir, "publish", "1.root.json"))
	collect(sealed, signatures[0])
	collect("a copy of this ceremony's directory, which went on by itself: only its signatures are taken", copied)
	collect("the directory of this ceremony itself", dir)
	collect("of folders only ceremony directories are collected", t.TempDir())
	collect(`it is no enrolment file (with "format"), no root file (with "signed" and "signatures") and no signature file (with "keyid" and "sig")`, nothing)
	collect("nobody here has signed it", other)
	collect("another root of version 1 is signed by Alice Costa; the SHA-256 of what is signed in it is "+digest, rival[0])
	collect("ANOTHER ROOT v1; SHA-256 of what is signed: "+digest, rival[0])
	status(exitFailed, rival[0])
	status(exitFailed, copied)
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		t.Fatal(err)
	}
	if r := desk.State().Rivals; len(r) != 1 || r[0].Digest != digest {
		t.Errorf("%+v", r)
	}
	held, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Tokens: "virtual"})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	out, _ := exec.Command(program("rootceremony"), "collect", dir, rival[0]).CombinedOutput()
	if !strings.Contains(string(out), "another rootceremony works in this directory (hint: finish or leave that one first)") {
		t.Errorf("while it is held: %s", out)
	}
}
