package backup

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/keys"
	"rootceremony/keys/session"
)

// peelWith runs one layer through an age program, as people would.
func peelWith(t *testing.T, program, identity string, data []byte, env ...string) []byte {
	t.Helper()
	args := []string{"-d", "-i", identity}
	if identity == "" {
		args = []string{"-d", "-j", "batchpass"}
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = bytes.NewReader(data)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, said.String())
	}
	return out.Bytes()
}

// openssl reads the key, and prints the public key that it finds in it.
func opensslPublic(t *testing.T, text []byte) keys.PublicKey {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed (hint: make packages)")
	}
	cmd := exec.Command(program, "pkey", "-pubout")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl pkey: %v: %s", err, out)
	}
	block, _ := pem.Decode(out)
	if block == nil {
		t.Fatalf("openssl pkey printed %s", out)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	read, err := keys.FromCrypto(public)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// age -d -i dana FILE | age -d -i chen | age -d -i bruno | openssl pkey, with
// the commands of age 1.3 for every kind that has identities on disk, and with
// Debian's older one but for post-quantum ones and for passphrases, which it asks for
// at a terminal (TestTokenLayersWithoutThisProgram in cmd/rootceremony).
func TestStockAge(t *testing.T) {
	dir := toolsDir(t)
	private, public := sshKey(t, "ed25519", "")
	identityFile := func(text string) string {
		file := filepath.Join(t.TempDir(), "identity")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	mixed := []person{meet(t, "Bruno", keys.RecipientX25519), meet(t, "Chen", keys.RecipientHybrid), {text: private}, meet(t, "Emil", keys.RecipientPlugin), meet(t, "Fay", keys.RecipientPassphrase)}
	mixed[2].Recipient = parse(t, "Dana", public)
	older := []person{meet(t, "Bruno", keys.RecipientX25519), {Recipient: mixed[2].Recipient, text: private}, meet(t, "Emil", keys.RecipientPlugin)}
	plain := []person{meet(t, "Bruno", keys.RecipientX25519), meet(t, "Chen", keys.RecipientX25519), meet(t, "Dana", keys.RecipientX25519), meet(t, "Emil", keys.RecipientX25519)}
	for _, c := range []struct {
		name, program string
		people        []person
		k             int
		algorithm     keys.Algorithm
	}{
		{"age 1.3, X25519", filepath.Join(dir, "age"), plain, 3, keys.Ed25519},
		{"age 1.3, every kind", filepath.Join(dir, "age"), mixed, 5, keys.P256},
		{"Debian's age", "/usr/bin/age", older, 3, keys.Ed25519},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := os.Stat(c.program); err != nil {
				t.Skipf("%s is not installed (hint: make packages)", c.program)
			}
			public, text := freshKey(t, c.algorithm)
			files, err := seal(text, keys.BackupKey, alice, recipients(c.people), c.k)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				data := f.Data
				layers, err := keys.Layers(f.Name)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range layers {
					for _, p := range c.people {
						if p.Slug != l.Who {
							continue
						}
						if p.Kind == keys.RecipientPassphrase {
							data = peelWith(t, c.program, "", data, "AGE_PASSPHRASE="+p.text)
						} else {
							data = peelWith(t, c.program, identityFile(p.text), data)
						}
					}
				}
				if got := opensslPublic(t, data); got != public {
					t.Errorf("%s opens to the key %v, not %v", f.Name, got, public)
				}
			}
		})
	}
}

// What the age command seals for a token, the token opens.
func TestStockAgeSealsForToken(t *testing.T) {
	dana := meet(t, "Dana", keys.RecipientToken)
	_, text := freshKey(t, keys.Ed25519)
	cmd := exec.Command(filepath.Join(toolsDir(t), "age"), "-r", dana.Text)
	cmd.Stdin = bytes.NewReader(text.Bytes())
	sealed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := openFile(session.SealedFile{Name: "dana.key.age", Data: sealed}, by([]person{dana}))
	if err != nil || !bytes.Equal(got.Bytes(), text.Bytes()) {
		t.Error(err)
	}
	if *dana.touches != 1 {
		t.Errorf("%d touches", *dana.touches)
	}
}
