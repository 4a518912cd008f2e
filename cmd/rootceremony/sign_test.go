package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubikey/pcsctest"
)

// signing is the command sign in plain mode on a terminal, in a folder of its
// own.
func signing(t *testing.T, file string, args ...string) *room {
	folder := t.TempDir()
	return &room{t: t, dir: file, verb: "sign", args: args, folder: folder, env: []string{"XDG_STATE_HOME=" + filepath.Join(folder, "state")}}
}

// says answers questions in turn; an answer "words" is those that are asked for,
// and "the PIN" is that which a rehearsal shows.
func (r *room) says(answers ...[2]string) {
	r.t.Helper()
	for _, a := range answers {
		question, err := r.prompt()
		if err != nil || !strings.Contains(question, a[0]) {
			r.t.Fatalf("%q was expected, and asked was %q, %v:\n%s", a[0], question, err, &r.all)
		}
		if a[1] == "words" {
			a[1] = wordsFrom(r.t, question, strings.ReplaceAll(r.all.String(), "\r", ""))
		}
		if a[1] == "the PIN" {
			shown := shownPIN.FindAllStringSubmatch(r.all.String(), -1)
			if shown == nil {
				r.t.Fatalf("nobody can know the PIN:\n%s", &r.all)
			}
			a[1] = shown[len(shown)-1][1]
		}
		r.answer(a[1] + "\r")
	}
}

// autoPIN is the PIN of a holder's token in an automatic rehearsal.
func autoPIN(holder string) string {
	sum := sha256.Sum256([]byte(holder))
	return fmt.Sprintf("9%06d", (int(sum[0])<<16|int(sum[1])<<8|int(sum[2]))%1000000)
}

// unsignedRehearsal is a directory of a rehearsal, its draft, and what people
// compare of it.
func unsignedRehearsal(t *testing.T) (dir, draft, digest string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "d")
	if out, err := rehearse(dir).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	found, _ := filepath.Glob(filepath.Join(dir, "metadata", "*", "rehearsal.1.root.unsigned.json"))
	if len(found) != 1 {
		t.Fatalf("drafts: %v", found)
	}
	_, file, err := readRoot(found[0])
	if err != nil {
		t.Fatal(err)
	}
	sum := file.Digest()
	return dir, found[0], hex.EncodeToString(sum[:])
}

func TestSignARehearsalElsewhere(t *testing.T) {
	t.Parallel()
	dir, draft, digest := unsignedRehearsal(t)
	inTheRoom, _ := os.ReadFile(filepath.Join(dir, "rehearsal", "signed.jsonl"))
	r := signing(t, draft, "--rehearsal", dir)
	// It can be left at each question, and by the end of the input; nothing is
	// signed then.
	steps := [][2]string{{"Next: Review root v1", ""}, {"first 32 hex digits", digest[:32]}, {"To go on, type: ", "Nothing but my ears vouches for this root"}, {"Have you read it", "yes"},
		{"Next: Sign root v1", ""}, {"Insert your token", "A-01"}, {"Does it have a line", "no"}, {"To sign, type words", "words"}, {"The PIN of your token", "the PIN"}, {"Touch the token now", ""}}
	for n := range steps {
		r.start()
		r.says(steps[:n]...)
		last := steps[n]
		last[1] = []string{":quit", "\x03", "\x04"}[n%3]
		if n%3 > 0 {
			if _, err := r.prompt(); err != nil {
				t.Fatal(err)
			}
			r.answer(last[1])
		} else {
			r.says(last)
		}
		for { // to the end of what is shown
			if _, err := r.prompt(); err != nil {
				break
			}
		}
		if status := r.end(); status != exitUnfinished || !strings.Contains(r.all.String(), "left early; no signature was written") {
			t.Fatalf("left at %q: status %d:\n%s", last[0], status, &r.all)
		}
		if shown := strings.Join(strings.Fields(r.all.String()), " "); strings.Contains(shown, "recorded") || !strings.Contains(shown, "Nothing is kept of what was answered: the next start begins again.") {
			t.Errorf("left at %q:\n%s", last[0], &r.all)
		}
		if made, _ := filepath.Glob(filepath.Join(r.folder, "*.json")); made != nil {
			t.Fatalf("left at %q: made %v", last[0], made)
		}
	}
	// What is wrong is said, and asked for again.
	r.start()
	r.says(steps[0], [2]string{"first 32 hex digits", "yes"}, [2]string{"first 32 hex digits", digest[:8]}, [2]string{"first 32 hex digits", strings.Repeat("0", 32)},
		steps[0], steps[1], [2]string{"To go on, type: ", "yes"}, steps[2], [2]string{"Have you read it", "y"}, steps[3], steps[4],
		[2]string{"Insert your token", "Z-99"}, [2]string{"Insert your token", "FRESH-1"}, steps[5], steps[6], [2]string{"To sign, type words", "yes"}, steps[7],
		[2]string{"The PIN of your token", "1"}, [2]string{"The PIN of your token", "000000"}, steps[8], steps[9])
	if _, err := r.prompt(); err == nil {
		t.Fatalf("more is asked:\n%s", &r.all)
	}
	if status := r.end(); status != 0 {
		t.Fatalf("status %d:\n%s", status, &r.all)
	}
	shown := strings.Join(strings.Fields(r.all.String()), " ")
	for _, part := range []string{"something else in it", "8 hex digits, and 32 are asked for", "is not the SHA-256 of root v1", "no virtual token \"Z-99\"", "holds no key that counts for root v1", "The PIN was wrong", "4 left", "REHEARSAL"} {
		if !strings.Contains(shown, part) {
			t.Errorf("%q was not said:\n%s", part, &r.all)
		}
	}
	remembered, err := os.ReadFile(filepath.Join(dir, "rehearsal", "signed.jsonl"))
	if err != nil || len(inTheRoom) == 0 || !bytes.HasPrefix(remembered, inTheRoom) || !strings.Contains(string(remembered[len(inTheRoom):]), digest) {
		t.Errorf("signed in the room and here, and remembered is %v\n%s", err, remembered)
	}
	if _, err := os.Stat(filepath.Join(r.folder, "state")); err == nil {
		t.Error("a rehearsal is remembered among what is real")
	}
	made, _ := filepath.Glob(filepath.Join(r.folder, "*.json"))
	if len(made) != 1 || !strings.HasPrefix(filepath.Base(made[0]), "rehearsal.1.root.") {
		t.Fatalf("made %v", made)
	}
	out, err := exec.Command(program("rootverify"), "draft", "--rehearsal", made[0]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "signatures of its own keys: 1 of 3") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, c := range []struct {
		args, says string
		status     int
	}{
		{draft, "a root of a rehearsal, which real tokens never sign", exitFailed},
		{draft + " --rehearsal " + r.folder, "no ceremony was begun", exitFailed},
		{draft + " --rehearsal " + dir + " --trusted " + filepath.Join(dir, "publish"), "root v1 is published already", exitFailed},
		{draft + " " + draft, "sign takes one FILE", exitUsage},
		{"", "sign takes one FILE", exitUsage},
	} {
		command := exec.Command(program("rootceremony"), append([]string{"sign"}, strings.Fields(c.args)...)...)
		out, _ := command.CombinedOutput()
		if status := command.ProcessState.ExitCode(); status != c.status || !strings.Contains(string(out), c.says) {
			t.Errorf("sign %s: status %d: %s", c.args, status, out)
		}
	}
	command := exec.Command(program("rootceremony"), "sign", draft)
	command.Env = []string{}
	if out, _ := command.CombinedOutput(); !strings.Contains(string(out), "set HOME or XDG_STATE_HOME") {
		t.Errorf("without a folder: %s", out)
	}
}

// The same in the terminal UI, every typed answer wrong first.
func TestSignOnScreen(t *testing.T) {
	t.Parallel()
	dir, draft, digest := unsignedRehearsal(t)
	for _, size := range [][2]int{{80, 24}, {60, 15}} {
		t.Run(fmt.Sprint(size[0]), func(t *testing.T) { signOnScreen(t, size, dir, draft, digest) })
	}
}

func signOnScreen(t *testing.T, size [2]int, dir, draft, digest string) {
	out := filepath.Join(t.TempDir(), "signature.json")
	s := startOnSize(t, size[0], size[1], []string{"XDG_STATE_HOME=" + t.TempDir()}, program("rootceremony"), "sign", "--rehearsal", dir, "-o", out, draft)
	r := newPeople()
	r.wrong = true
	s.until("Next: Review root v1")
	s.write("\r")
	for _, step := range [][2]string{{"first 32 hex digits", digest[:32]}, {"To go on, type:", "nothing but my ears vouches for this root"}} {
		s.reads(step[0], "> █")
		r.wrongly(s, s.until("> █"), step[1])
		s.write(step[1] + "\r")
	}
	r.pin = func(string) string { return autoPIN("alice") }
	r.hold(s)
	if status := s.exit(); status != 0 {
		text, _, _ := s.text()
		t.Errorf("exit status %d:\n%s", status, text)
	}
	if _, file, err := readRoot(out); err != nil || len(file.Signatures) != 1 || file.Report(file.Root).Have != 1 {
		t.Errorf("%s: %v", out, err)
	}
	// A rehearsal shows the PIN of its virtual token, in one sentence that ends
	// with it. Anywhere else it would be one that was typed.
	drawn, shown := s.raw.String(), autoPIN("alice")+".)"
	if !strings.Contains(drawn, shown) {
		t.Error("nobody can know the PIN")
	}
	if strings.Contains(strings.ReplaceAll(drawn, shown, ""), autoPIN("alice")) {
		t.Error("a PIN was on the screen")
	}
}

// A real root is signed over the smart-card stack, by a P-256 key of the old
// root alone, against the signer's own copy.
func TestSignOverPCSC(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	card, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	drawer, err := virtual.OpenDrawer(filepath.Join(folder, "tokens"))
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	state := importedKey(t, drawer, filepath.Join(folder, "tokens"), private)
	key := keyOf(t, private)
	one, two := &tuf.Root{Version: 1, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second), SpecVersion: tuf.SpecVersion, Roles: map[string]tuf.Role{}}, (*tuf.Root)(nil)
	for _, role := range tuf.RoleNames {
		other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		k := keyOf(t, other)
		one.Keys = append(one.Keys, k)
		one.Roles[role] = tuf.Role{KeyIDs: []string{k.ID}, Threshold: 1}
	}
	two = one.Next()
	two.Expires = one.Expires.Add(time.Hour)
	one.Keys[0] = key
	one.Roles[tuf.RoleRoot] = tuf.Role{KeyIDs: []string{key.ID}, Threshold: 1}
	digest := sha256.Sum256(one.Canonical())
	made, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, root *tuf.Root, sigs []tuf.Signature, previous ...*tuf.Root) string {
		text, err := tuf.Assemble(root, sigs, previous...)
		if err != nil {
			t.Fatal(err)
		}
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	own := write("own.json", one, []tuf.Signature{{KeyID: key.ID, Sig: made}})
	draft := write("draft.json", two, nil, one)

	token := service.Plug(t, 0, "--unplugged", "--touch", "auto", "--state", state)
	r := signing(t, draft, "--trusted", own)
	r.program, r.within = card, service
	r.start()
	r.says([2]string{"Next: Review root v2", ""}, [2]string{"Are they the same words there?", "no"}, [2]string{"Have you read it", "yes"},
		[2]string{"Next: Sign root v2", ""}, [2]string{"Insert your token", ""})
	if question, err := r.prompt(); err != nil || !strings.Contains(question, "no token is in a reader") && !strings.Contains(r.all.String(), "no token is in a reader") {
		t.Fatalf("without a token: %q, %v", question, err)
	}
	token.Replug(t)
	r.says([2]string{"Insert your token", ""}, [2]string{"Does it have a line", "no"}, [2]string{"To sign, type words", "words"}, [2]string{"The PIN of your token", session.DefaultPIN})
	if _, err := r.prompt(); err == nil {
		t.Fatalf("more is asked:\n%s", &r.all)
	}
	if status := r.end(); status != 0 || !strings.Contains(r.all.String(), "the old root v1 alone: the new root v2 drops this key") {
		t.Fatalf("status %d:\n%s", status, &r.all)
	}
	name := filepath.Join(r.folder, fmt.Sprintf("2.root.%.8s.json", key.ID))
	_, file, err := readRoot(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file.Signed, two.Canonical()) || file.Report(one).Have != 1 || len(file.Signatures) != 1 {
		t.Errorf("signed: %+v", file.Signatures)
	}
	text, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(text))
	if out, err := exec.Command(program("rootverify"), "draft", "--previous", own, "--trusted-sha256", sum, name).CombinedOutput(); err != nil || !strings.Contains(string(out), "Signatures for version 1: 1 of 1") {
		t.Errorf("%v\n%s", err, out)
	}
}

func keyOf(t *testing.T, private *ecdsa.PrivateKey) tuf.Key {
	t.Helper()
	public, err := keys.FromCrypto(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	key, err := tuf.NewKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// importedKey makes a token that holds a key, and returns its file.
func importedKey(t *testing.T, drawer *virtual.Drawer, dir string, private *ecdsa.PrivateKey) string {
	t.Helper()
	serial, err := drawer.Add("A-01", virtual.Options{})
	if err != nil {
		t.Fatal(err)
	}
	opener, err := virtual.Open(session.Backend{Kind: virtual.Kind, Dir: dir, Plugged: []uint32{serial}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := opener.Open(serial)
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	scalar, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	management, err := secret.Take([]byte(session.DefaultManagement))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := secret.Take(scalar)
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Import(management, keys.SlotRoot, keys.P256, seed, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways}); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, fmt.Sprintf("%d.token", serial))
}
