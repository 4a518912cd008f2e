package backup

import (
	"bytes"
	"cmp"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"

	"rootceremony/keys"
)

// The recipient holds the very key: the compressed point, of both parities.
func TestTokenRecipient(t *testing.T) {
	parities := map[byte]bool{}
	for len(parities) < 2 {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, err := keys.FromCrypto(&private.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		text, err := TokenRecipient(public)
		if err != nil || !strings.HasPrefix(text, "age1tag1") {
			t.Fatalf("%q, %v", text, err)
		}
		read, err := tag.ParseRecipient(text)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		// age's own form of the key it has read is the uncompressed point.
		again, err := tag.NewClassicRecipient(append([]byte{2 + point[64]&1}, point[1:33]...))
		if err != nil || again.String() != text || !bytes.Equal(read.Bytes(), again.Bytes()) {
			t.Errorf("%s reads as %s, %v", text, again, err)
		}
		parities[point[64]&1] = true
	}
	for _, public := range []keys.PublicKey{{}, {Algorithm: keys.Ed25519, Hex: strings.Repeat("00", 32)}, {Algorithm: keys.P256, Hex: "04"}} {
		if text, err := TokenRecipient(public); err == nil {
			t.Errorf("%v is %s", public, text)
		}
	}
}

var allKinds = []Kind{X25519, Hybrid, Token, HybridToken, SSH, Plugin, Passphrase}

func TestParseRecipient(t *testing.T) {
	for _, kind := range allKinds {
		p := meet(t, "Dana Silva", kind)
		if p.Name != "Dana Silva" || p.Slug != "dana-silva" || p.Kind != kind {
			t.Errorf("%s is read as %+v", kind, p.Recipient)
		}
		if again, err := ParseRecipient("Dana Silva", cmp.Or(p.Text, "passphrase")); err != nil || again.Text != p.Text || again.Kind != kind {
			t.Errorf("%s does not read again: %v", kind, err)
		}
		if want := kind == Hybrid || kind == HybridToken || kind == Passphrase; p.PostQuantum() != want {
			t.Errorf("%s: post-quantum is %v", kind, !want)
		}
		if err := p.Ready(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestParseRecipientRefuses(t *testing.T) {
	x := meet(t, "x", X25519)
	pq := meet(t, "pq", Hybrid)
	token := meet(t, "token", Token)
	ssh := meet(t, "ssh", SSH)
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaBlob := "\x00\x00\x00\x07ssh-rsa\x00\x00\x00\x03\x01\x00\x01\x00\x00\x01\x01\x00" + string(rsaKey.N.Bytes())
	offCurve := append([]byte{2}, make([]byte, 31)...)
	notOnP256 := append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)
	const notWhole, secretThing = "is no whole age recipient", "is an identity, which is secret"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "is empty"},
		{"word", "hunter2", "is no age recipient"},
		{"github", "github:someone", "is no age recipient"},
		{"identity", identity.String(), secretThing},
		{"identity in lower case", strings.ToLower(identity.String()), secretThing},
		{"post-quantum identity", hybrid.String(), secretThing},
		{"plugin's identity", plugin.EncodeIdentity("yubikey", []byte("0123456789")), secretThing},
		{"identity after a space", " " + identity.String(), secretThing},
		{"identity file", "# public key: " + x.Text + "\n" + identity.String() + "\n", secretThing},
		{"SSH private key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", secretThing},
		{"ssh-rsa", "ssh-rsa " + base64.StdEncoding.EncodeToString([]byte(rsaBlob)), "is an ssh-rsa key, which is not accepted"},
		{"ssh-rsa as ed25519", "ssh-ed25519 " + base64.StdEncoding.EncodeToString([]byte(rsaBlob)), "is no whole ssh-ed25519 key"},
		{"ssh-ed25519 alone", "ssh-ed25519", "is an SSH key of a kind"},
		{"ssh-ed25519 without key", "ssh-ed25519 ", "is no whole ssh-ed25519 key"},
		{"ecdsa", "ecdsa-sha2-nistp256 AAAA", "is an SSH key of a kind"},
		{"sk", "sk-ssh-ed25519@openssh.com AAAA", "is an SSH key of a kind"},
		{"truncated SSH", ssh.Text[:len(ssh.Text)-4], "is no whole ssh-ed25519 key"},
		{"SSH off the curve", sshLine(ed25519.PublicKey(offCurve)), "no point on the curve"},
		{"upper case", strings.ToUpper(x.Text), "is in upper case"},
		{"mixed case", x.Text[:20] + strings.ToUpper(x.Text[20:]), "mixes upper and lower case"},
		{"truncated", x.Text[:len(x.Text)-1], notWhole},
		{"truncated post-quantum", pq.Text[:len(pq.Text)-9], notWhole},
		{"truncated token", token.Text[:len(token.Text)-1], notWhole},
		{"one character changed", x.Text[:30] + changed(x.Text[30]) + x.Text[31:], notWhole},
		{"only age1", "age1", notWhole},
		{"two", x.Text + " " + pq.Text, "more than one word"},
		{"two lines", x.Text + "\n" + pq.Text, "line break"},
		{"line break", x.Text + "\n", "line break"},
		{"not ASCII", "age1\u0131" + x.Text[5:], "character that no recipient has"},
		{"post-quantum of 32 bytes", plugin.EncodeRecipient("pq", make([]byte, 32)), notWhole},
		{"token off the curve", plugin.EncodeRecipient("tag", notOnP256), notWhole},
	} {
		r, err := ParseRecipient("Dana", c.text)
		if err == nil {
			t.Errorf("%s is read as %+v", c.name, r)
			continue
		}
		if !strings.HasPrefix(err.Error(), `recipient "Dana" `) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, bad := range []string{identity.String()[20:], hybrid.String()[20:60], x.Text[10:]} {
			if strings.Contains(strings.ToUpper(err.Error()), strings.ToUpper(bad)) {
				t.Errorf("%s: the error holds the text: %v", c.name, err)
			}
		}
	}
}

// changed is another character of bech32.
func changed(c byte) string {
	if c == 'q' {
		return "p"
	}
	return "q"
}

// A key that all shared secrets are zero with reads well, and is refused.
func TestLowOrder(t *testing.T) {
	key, err := ecdh.X25519().NewPublicKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	text, err := plugin.EncodeX25519Recipient(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRecipient("Dana", text); err == nil || !strings.Contains(err.Error(), "cannot be encrypted to") {
		t.Errorf("%s: %v", text, err)
	}
}

func TestPassphrase(t *testing.T) {
	r, err := ParseRecipient("Safe", "passphrase")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Ready(); err == nil || !strings.Contains(err.Error(), `"Safe"`) {
		t.Errorf("ready without a passphrase: %v", err)
	}
	for text, want := range map[string]string{
		"": "is empty", "short": "is shorter than 20", "aaaaaaaaaaaaaaaaaaaaaaaa": "repeats a few", "abababababababababab": "repeats a few",
		"passwordpassword": "is shorter than 20", "passwordPasswordpassword": "repeats itself", "battery horse battery horse": "repeats itself", "12345678901234567890": "repeats itself",
	} {
		if err := r.SetPassphrase(buffer(t, text)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"Safe"`) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := r.SetPassphrase(nil); err == nil {
		t.Error("no passphrase is taken")
	}
	if r.Ready() == nil {
		t.Error("ready after passphrases that were refused")
	}
	if err := r.SetPassphrase(buffer(t, "five words come, last")); err != nil || r.Ready() != nil {
		t.Errorf("%v, %v", err, r.Ready())
	}
	if err := meet(t, "x", X25519).SetPassphrase(buffer(t, "five words come, last")); err == nil {
		t.Error("an age1 recipient takes a passphrase")
	}
}

func TestPluginMissing(t *testing.T) {
	r, err := ParseRecipient("Dana", plugin.EncodeRecipient("nowhere", []byte("some data")))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Challenge(r)
	for _, want := range []string{`recipient "Dana"`, "age-plugin-nowhere is not installed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	_, err = Identities(buffer(t, "# a comment\n"+plugin.EncodeIdentity("nowhere", []byte("secret data"))+"\n"), nil)
	for _, want := range []string{"line 2", "age-plugin-nowhere is not installed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	// A plugin that wants to ask something is not answered, and not waited for.
	installPlugin(t)
	r, err = ParseRecipient("Dana", plugin.EncodeRecipient("rctest", bytes.Repeat([]byte{0xff}, 16)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Challenge(r); err == nil || !strings.Contains(err.Error(), `recipient "Dana": rctest plugin: no PIN was given`) {
		t.Errorf("a plugin that asks: %v", err)
	}
	t.Setenv("AGEDEBUG", "plugin")
	if _, _, err := Challenge(r); err == nil || !strings.Contains(err.Error(), "AGEDEBUG") {
		t.Errorf("with AGEDEBUG=plugin: %v", err)
	}
}

func TestSlug(t *testing.T) {
	for name, want := range map[string]string{
		"Dana": "dana", "Alice Costa": "alice-costa", "  Bank   safe ": "bank-safe", "O'Neil (2)": "oneil-2", "A-B": "a-b",
		"": "", "Łukasz": "", "李": "", "...": "", "-x-": "x", strings.Repeat("a", 32): strings.Repeat("a", 32), strings.Repeat("a", 33): "",
		"a\x00b": "ab",
	} {
		if got := slug(name); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}
