package keys_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"rootceremony/keys"
)

var allKinds = []keys.RecipientKind{keys.RecipientX25519, keys.RecipientHybrid, keys.RecipientToken, keys.RecipientHybridToken, keys.RecipientSSH, keys.RecipientPlugin, keys.RecipientPassphrase}

// recipientText is a new recipient of a kind.
func recipientText(t testing.TB, kind keys.RecipientKind) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	x, err := ecdh.X25519().GenerateKey(rand.Reader)
	must(err)
	p, err := ecdh.P256().GenerateKey(rand.Reader)
	must(err)
	pq, err := mlkem.GenerateKey768()
	must(err)
	switch kind {
	case keys.RecipientX25519:
		return keys.Bech32Encode("age", x.PublicKey().Bytes())
	case keys.RecipientHybrid:
		return keys.Bech32Encode("age1pq", append(pq.EncapsulationKey().Bytes(), x.PublicKey().Bytes()...))
	case keys.RecipientToken:
		text, err := keys.TokenRecipient(keys.PublicKey{Algorithm: keys.P256, Hex: hex.EncodeToString(p.PublicKey().Bytes())})
		must(err)
		return text
	case keys.RecipientHybridToken:
		return keys.Bech32Encode("age1tagpq", append(pq.EncapsulationKey().Bytes(), p.PublicKey().Bytes()...))
	case keys.RecipientSSH:
		public, _, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		return sshLine(public)
	case keys.RecipientPlugin:
		return keys.Bech32Encode("age1rctest", x.PublicKey().Bytes())
	}
	return "passphrase"
}

func sshLine(public []byte) string {
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"+string(public)))
}

// recipient is a new one of a kind.
func recipient(t testing.TB, name string, kind keys.RecipientKind) keys.Recipient {
	t.Helper()
	return parse(t, name, recipientText(t, kind))
}

func parse(t testing.TB, name, text string) keys.Recipient {
	t.Helper()
	r, err := keys.ParseRecipient(name, text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParseRecipient(t *testing.T) {
	for _, kind := range allKinds {
		text := recipientText(t, kind)
		r := parse(t, "Dana Silva", text)
		if r.Name != "Dana Silva" || r.Slug != "dana-silva" || r.Kind != kind || r.Text != text || (r.Plugin == "rctest") != (kind == keys.RecipientPlugin) {
			t.Errorf("%s is read as %+v", kind, r)
		}
		if again := parse(t, "Dana Silva", r.Text); again != r {
			t.Errorf("%s is read again as %+v", kind, again)
		}
		if want := kind == keys.RecipientHybrid || kind == keys.RecipientHybridToken || kind == keys.RecipientPassphrase; r.PostQuantum() != want {
			t.Errorf("%s: post-quantum is %v", kind, !want)
		}
	}
	line := recipientText(t, keys.RecipientSSH)
	if r := parse(t, "Dana", line+" dana@example, at home"); r != parse(t, "Dana", line) {
		t.Errorf("with a comment it is read as %+v", r)
	}
}

func TestParseRecipientRefuses(t *testing.T) {
	x, pq, token, ssh := recipientText(t, keys.RecipientX25519), recipientText(t, keys.RecipientHybrid), recipientText(t, keys.RecipientToken), recipientText(t, keys.RecipientSSH)
	seed := make([]byte, 32)
	_, _ = rand.Read(seed)
	identity, hybrid := strings.ToUpper(keys.Bech32Encode("age-secret-key-", seed)), strings.ToUpper(keys.Bech32Encode("age-secret-key-pq-", seed))
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
		{"identity", identity, secretThing},
		{"identity in lower case", strings.ToLower(identity), secretThing},
		{"post-quantum identity", hybrid, secretThing},
		{"plugin's identity", strings.ToUpper(keys.Bech32Encode("age-plugin-yubikey-", []byte("0123456789"))), secretThing},
		{"identity after a space", " " + identity, secretThing},
		{"identity file", "# public key: " + x + "\n" + identity + "\n", secretThing},
		{"SSH private key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", secretThing},
		{"ssh-rsa", "ssh-rsa " + base64.StdEncoding.EncodeToString([]byte(rsaBlob)), "is an ssh-rsa key, which is not accepted"},
		{"ssh-rsa as ed25519", "ssh-ed25519 " + base64.StdEncoding.EncodeToString([]byte(rsaBlob)), "is no whole ssh-ed25519 key"},
		{"ssh-ed25519 alone", "ssh-ed25519", "is an SSH key of a kind"},
		{"ssh-ed25519 without key", "ssh-ed25519 ", "is no whole ssh-ed25519 key"},
		{"ecdsa", "ecdsa-sha2-nistp256 AAAA", "is an SSH key of a kind"},
		{"sk", "sk-ssh-ed25519@openssh.com AAAA", "is an SSH key of a kind"},
		{"truncated SSH", ssh[:len(ssh)-4], "is no whole ssh-ed25519 key"},
		{"SSH off the curve", sshLine(offCurve), "no point on the curve"},
		{"upper case", strings.ToUpper(x), "is in upper case"},
		{"mixed case", x[:20] + strings.ToUpper(x[20:]), "mixes upper and lower case"},
		{"truncated", x[:len(x)-1], notWhole},
		{"truncated post-quantum", pq[:len(pq)-9], notWhole},
		{"truncated token", token[:len(token)-1], notWhole},
		{"one character changed", x[:30] + changed(x[30]) + x[31:], notWhole},
		{"only age1", "age1", notWhole},
		{"two", x + " " + pq, "more than one word"},
		{"two lines", x + "\n" + pq, "line break"},
		{"line break", x + "\n", "line break"},
		{"not ASCII", "age1\u0131" + x[5:], "character that no recipient has"},
		{"post-quantum of 32 bytes", keys.Bech32Encode("age1pq", make([]byte, 32)), notWhole},
		{"token off the curve", keys.Bech32Encode("age1tag", notOnP256), notWhole},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := keys.ParseRecipient("Dana", c.text)
			if err == nil {
				t.Errorf("%s is read as %+v", c.name, r)
				return
			}
			if !strings.HasPrefix(err.Error(), `recipient "Dana" `) || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
			for _, bad := range []string{identity[20:], hybrid[20:60], x[10:]} {
				if strings.Contains(strings.ToUpper(err.Error()), strings.ToUpper(bad)) {
					t.Errorf("the error holds the text: %v", err)
				}
			}
		})
	}
}

// changed is another character of bech32.
func changed(c byte) string {
	if c == 'q' {
		return "p"
	}
	return "q"
}

// Keys that all shared secrets are zero with read well, and are refused: points
// of low order, here y = 1 and y = -1 of ed25519, and u = 0 and u = 1 of X25519.
func TestLowOrder(t *testing.T) {
	zero, one := make([]byte, 32), append([]byte{1}, make([]byte, 31)...)
	minus := slices.Concat([]byte{0xec}, bytes.Repeat([]byte{0xff}, 30), []byte{0x7f})
	private, err := mlkem.GenerateKey768()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		keys.Bech32Encode("age", zero), keys.Bech32Encode("age", one), keys.Bech32Encode("age1pq", append(private.EncapsulationKey().Bytes(), zero...)), sshLine(one), sshLine(minus),
	} {
		if _, err := keys.ParseRecipient("Dana", text); err == nil || !strings.Contains(err.Error(), "cannot be encrypted to") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

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
		text, err := keys.TokenRecipient(public)
		if err != nil {
			t.Fatal(err)
		}
		point, err := private.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		prefix, data, ok := keys.Bech32Decode(text)
		if want := append([]byte{2 + point[64]&1}, point[1:33]...); !ok || prefix != "age1tag" || !bytes.Equal(data, want) {
			t.Errorf("%s holds %x, not %x", text, data, want)
		}
		parities[data[0]] = true
	}
	for _, public := range []keys.PublicKey{{}, {Algorithm: keys.Ed25519, Hex: strings.Repeat("00", 32)}, {Algorithm: keys.P256, Hex: "04"}} {
		if text, err := keys.TokenRecipient(public); err == nil {
			t.Errorf("%v is %s", public, text)
		}
	}
}

func TestSlug(t *testing.T) {
	for name, want := range map[string]string{
		"Dana": "dana", "Alice Costa": "alice-costa", "  Bank   safe ": "bank-safe", "O'Neil (2)": "oneil-2", "A-B": "a-b",
		"": "", "Łukasz": "", "李": "", "...": "", "-x-": "x", strings.Repeat("a", 32): strings.Repeat("a", 32), strings.Repeat("a", 33): "",
		"a\x00b": "ab",
	} {
		t.Run(name, func(t *testing.T) {
			r, err := keys.ParseRecipient(name, "passphrase")
			if err != nil || r.Slug != want {
				t.Errorf("%q, not %q: %v", r.Slug, want, err)
			}
		})
	}
}
