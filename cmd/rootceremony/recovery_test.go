package main

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"golang.org/x/sys/unix"

	"rootceremony/ceremony"
	"rootceremony/keys"
	"rootceremony/keys/yubikey/pcsctest"
)

// stockAge builds the age command of the version that is linked, as Debian's may
// be older.
var stockAge = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(bin, "stock")
	out, err := exec.Command("go", "build", "-o", dir+"/", "filippo.io/age/cmd/age").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return dir, err
})

// dayOfNeed is a folder with a backup, a shell, and tokens that take turns in the
// one reader: nothing of this project but the script of docs/recovery.md.
type dayOfNeed struct {
	folder, path string // path is PATH
	service      *pcsctest.Service
	people       *swapping
}

// step is what is done when a command asks: a token is put in, something is typed.
type step struct {
	asked, token, typed string
	secret              bool
}

// unseen waits until the terminal shows no more of what is typed: a program that asks
// for a secret throws away what came before that.
func unseen(t *testing.T, terminal *os.File) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if termios(t, terminal).Lflag&unix.ECHO == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the terminal shows what is typed")
		}
	}
}

// run gives a shell one line, at a terminal. It returns what went to the standard
// output and what the terminal showed.
func (d *dayOfNeed) run(t *testing.T, line string, steps ...step) (out []byte, shown string, err error) {
	t.Helper()
	command := exec.Command("bash", "-c", "set -o pipefail; { "+line+"; } >out")
	command.Dir = d.folder
	command.Env = append(append(os.Environ(), "PATH="+d.path), d.service.Env()...)
	terminal := startOnPTY(t, command, 80, 24)
	defer terminal.Close()
	var all, since bytes.Buffer
	for part := make([]byte, 4096); ; {
		if err := terminal.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, ended := terminal.Read(part)
		all.Write(part[:n])
		since.Write(part[:n])
		if errors.Is(ended, os.ErrDeadlineExceeded) {
			t.Fatalf("%s: nothing came after\n%s", line, &all)
		}
		if len(steps) > 0 && strings.Contains(since.String(), steps[0].asked) {
			if steps[0].token != "" {
				d.people.put(steps[0].token)
			}
			since.Reset()
			if steps[0].secret {
				unseen(t, terminal)
			}
			_, _ = terminal.WriteString(steps[0].typed + "\n")
			steps = steps[1:]
		}
		if ended != nil {
			break
		}
	}
	err = command.Wait()
	if len(steps) > 0 {
		t.Errorf("%s: has not asked %q:\n%s", line, steps[0].asked, &all)
	}
	out, readErr := os.ReadFile(filepath.Join(d.folder, "out"))
	if readErr != nil {
		t.Fatal(readErr)
	}
	return out, all.String(), err
}

// TestTokenLayersWithoutThisProgram opens a real backup, whole, by the lines of
// docs/recovery.md: two tokens' layers, and a token's beside those of other kinds,
// Debian's age asking for the passphrase.
func TestTokenLayersWithoutThisProgram(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"pkcs11-tool", "python3", "openssl", "/usr/bin/age"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skipf("%v (hint: make packages)", err)
		}
	}
	tools, err := stockAge()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	service := pcsctest.Start(t, 1)
	d := &dayOfNeed{folder: t.TempDir(), path: tools + ":" + os.Getenv("PATH"), service: service, people: &swapping{t: t, tokens: map[string]*pcsctest.Token{}}}
	root := filepath.Join(service.Dir, "root.pem")
	for _, sticker := range []string{"A-01", "B-02", "C-03"} {
		d.people.tokens[sticker] = service.Plug(t, 0, "--unplugged", "--touch", "auto", "--attestation-root", root,
			"--state", filepath.Join(service.Dir, sticker+".token"))
	}
	plan := backedUpPlanFile(t, 3, 2, fmt.Sprintf("[\"holders\", \"Bank safe\", \"Vault\", \"Words\"]\n\n[[recipient]]\nname = \"Words\"\npassphrase = true\n\n[[recipient]]\nname = \"Vault\"\nage = %q", hybrid.Recipient()))
	dir := filepath.Dir(plan)
	for name, text := range map[string]string{filepath.Join(identitiesOf(plan), "vault.txt"): hybrid.String() + "\n", filepath.Join(d.folder, "vault.txt"): hybrid.String() + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.people.Answers = map[string]string{"recipient.passphrase words": longPassphrase, "recipient.again words": longPassphrase, "seal.passphrase words": longPassphrase}
	desk := ceremonyOf(t, service, dir, root)
	defer desk.Close()
	for desk.State().Holders["alice"] == nil || desk.State().Holders["alice"].Key == nil {
		task, ok := desk.Next()
		if !ok {
			t.Fatal("the ceremony has ended, and Alice has no key")
		}
		if err := desk.Run(t.Context(), task.ID, d.people); err != nil {
			t.Fatalf("%s: %v", task.ID, err)
		}
	}
	d.fetch(t, dir, desk)
	public := desk.State().Holders["alice"].Key.Public

	const insert, pin = "press Enter: ", "User PIN: "
	theirs := func(sticker string) []step {
		typed, err := hex.DecodeString(readToken(t, filepath.Join(service.Dir, sticker+".token")).PIN.Value)
		if err != nil {
			t.Fatal(err)
		}
		typed, _, _ = bytes.Cut(typed, []byte{0xff}) // which fills it up to 8 bytes
		return []step{{asked: insert, token: sticker}, {asked: pin, typed: string(typed), secret: true}}
	}
	documented := read(t, "../../docs/recovery.md")
	const script = "python3 recover-token-layer "
	for line, steps := range map[string][]step{
		script + "bruno+chen.key.age | " + script + "/dev/stdin":            append(theirs("C-03"), theirs("B-02")...),
		script + "bank-safe+bruno.key.age | age -d -i bank-safe.txt":        theirs("B-02"),
		"age -d -i vault.txt chen+vault.key.age | " + script + "/dev/stdin": append([]step{{asked: insert, token: "B-02"}}, theirs("C-03")...),
		"age -d bruno+words.key.age | " + script + "/dev/stdin":             append([]step{{asked: "passphrase", typed: longPassphrase, secret: true}}, theirs("B-02")...),
	} {
		line += " | openssl pkey -pubout"
		if !strings.Contains(documented, "   "+line+"\n") {
			t.Errorf("docs/recovery.md does not have the line %s", line)
		}
		line = strings.Replace(line, "age -d bruno", "/usr/bin/age -d bruno", 1)
		out, shown, err := d.run(t, line, steps...)
		block, _ := pem.Decode(out)
		if err != nil || block == nil {
			t.Errorf("%s: %v\n%s", line, err, shown)
			continue
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := keys.FromCrypto(key); err != nil || got != public {
			t.Errorf("%s: the key is %v, not %v: %v", line, got, public, err)
		}
	}
	whole, err := os.ReadFile(filepath.Join(d.folder, "bruno+chen.key.age"))
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]int{
		"point":   bytes.Index(whole, []byte(" B")) + 9, // that the token is given: it isn't one any more
		"mac":     bytes.Index(whole, []byte("\n--- ")) + 9,
		"payload": len(whole) - 1,
	} {
		changed := bytes.Clone(whole)
		changed[at] = map[bool]byte{true: 'D', false: 'C'}[changed[at] == 'C'] // base64 still
		if err := os.WriteFile(filepath.Join(d.folder, name), changed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wrong := theirs("C-03")
	wrong[1].typed = "918273"
	for _, c := range []struct {
		line, want string
		steps      []step
	}{
		{script + "payload", "the file was changed, or cut off", theirs("C-03")},
		{script + "mac", "the header of the file was changed", theirs("C-03")},
		{script + "point", "isn't the token that this layer is sealed for", []step{{asked: insert, token: "C-03"}, {asked: insert, typed: "\x04"}}},
		{script + "bruno+chen.key.age", "the token hasn't answered", wrong},
		{script + "chen+vault.key.age", "this layer isn't sealed for a token", nil},
		{script + "vault.txt", "isn't a layer of a backup", nil},
	} {
		if out, shown, err := d.run(t, c.line, c.steps...); err == nil || len(out) > 0 || !strings.Contains(shown, c.want) {
			t.Errorf("%s: %v, %d bytes, want %q:\n%s", c.line, err, len(out), c.want, shown)
		}
	}
	recipient, err := desk.State().Holders["bruno"].RecipientText()
	if err != nil {
		t.Fatal(err)
	}
	if out, shown, err := d.run(t, "echo hello | age -r "+recipient+" | "+script+"/dev/stdin", theirs("B-02")...); err != nil || string(out) != "hello\n" {
		t.Errorf("what age seals for a token: %q, %v\n%s", out, err, shown)
	}
	token := readToken(t, filepath.Join(service.Dir, "A-01.token"))
	out, shown, err := d.run(t, script+"bruno+chen.token.age | "+script+"/dev/stdin", append(theirs("C-03"), theirs("B-02")...)...)
	if want := fmt.Sprintf("serial: %d\n", token.Serial); err != nil || !strings.HasPrefix(string(out), want) || !strings.Contains(strings.ToLower(string(out)), token.Management.Key) {
		t.Errorf("PUK and management key: %v\n%s", err, shown)
	}
}

// fetch copies Alice's backups, the safe's identity and the script to where they are
// opened.
func (d *dayOfNeed) fetch(t *testing.T, dir string, desk *ceremony.Desk) {
	t.Helper()
	backups, err := filepath.Glob(filepath.Join(dir, "private/backups/alice/*/*.age"))
	if err != nil || len(backups) != 20 {
		t.Fatalf("%d files, %v", len(backups), err)
	}
	for _, name := range append(backups, filepath.Join(dir, "rehearsal/identities/bank-safe.txt"), "../../docs/recover-token-layer") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d.folder, filepath.Base(name)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A plugin that a recipient needs is missed when the plan is checked, not only when it is needed.
func TestCheckTellsMissingPlugin(t *testing.T) {
	t.Parallel()
	file := backedUpPlanFile(t, 3, 2, fmt.Sprintf("[\"holders\", \"Bank safe\", \"Plug\"]\n\n[[recipient]]\nname = \"Plug\"\nage = %q", plugin.EncodeRecipient("missed", make([]byte, 16))))
	out, err := exec.Command(program("rootceremony"), "check", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"    Plug: age 1.1 or newer with age-plugin-missed, which this program needs too\n",
		"warning: on this laptop nothing can be sealed for Plug, or opened by it: the program age-plugin-missed is not installed in any of the folders /usr/local/bin:/usr/bin:/bin (hint: install it in one of them)\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("does not say %q:\n%s", want, out)
		}
	}
}
