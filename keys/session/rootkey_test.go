package session_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os/exec"
	"strings"
	"testing"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

func newKeyPair() (*ecdsa.PublicKey, *ecdsa.PrivateKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	return &private.PublicKey, private, nil
}

// The text of a key is byte for byte what the standard library makes.
func TestKeyText(t *testing.T) {
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P256, keys.P384} {
		for range 20 { // short scalars and lines among them
			public, seed, text, err := session.NewKeyText(algorithm, nil)
			if err != nil {
				t.Fatal(err)
			}
			var private any = ed25519.NewKeyFromSeed(append(make([]byte, 0, 32), seed[:32]...))
			if algorithm != keys.Ed25519 {
				curve := map[keys.Algorithm]elliptic.Curve{keys.P256: elliptic.P256(), keys.P384: elliptic.P384()}[algorithm]
				if private, err = ecdsa.ParseRawPrivateKey(curve, seed); err != nil {
					t.Fatal(err)
				}
			}
			der, err := x509.MarshalPKCS8PrivateKey(private)
			if err != nil {
				t.Fatal(err)
			}
			if want := pemText(der); text != want {
				t.Fatalf("%s:\n%s\nwanted\n%s", algorithm, text, want)
			}
			if again, err := session.ReadKeyText(text); err != nil || again != public {
				t.Errorf("%s: read back %v, %v", algorithm, again, err)
			}
		}
	}
}

// pemText is DER as the text of a private key.
func pemText(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Other encodings of the same key are not read, nor is a public key that is not
// the private one's, and no error holds a part of the text.
func TestKeyTextRefuses(t *testing.T) {
	fresh := func(algorithm keys.Algorithm) string {
		_, _, text, err := session.NewKeyText(algorithm, nil)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ed, ec := fresh(keys.Ed25519), fresh(keys.P256)
	lines, others := strings.Split(ec, "\n"), strings.Split(fresh(keys.P256), "\n")
	lines[3] = others[3] // the end of the public key
	block, _ := pem.Decode([]byte(ec))
	zero := bytes.Clone(block.Bytes)
	clear(zero[36:68])
	high := bytes.Clone(block.Bytes)
	copy(high[36:68], bytes.Repeat([]byte{0xff}, 32)) // above the curve's order
	for name, text := range map[string]string{
		"empty":             "",
		"nothing in it":     pemText(nil),
		"cut":               pemText(block.Bytes[:60]),
		"longer":            pemText(append(bytes.Clone(block.Bytes), 0)),
		"no first line":     ed[1:],
		"no last line":      strings.TrimSuffix(ed, "\n"),
		"more after it":     ed + "\n",
		"more before it":    "\n" + ed,
		"CRLF":              strings.ReplaceAll(ed, "\n", "\r\n"),
		"another label":     strings.ReplaceAll(ed, "PRIVATE", "PUBLICK"),
		"line break moved":  ec[:40] + "\n" + ec[40:92] + ec[93:],
		"line break more":   ec[:40] + "\n" + ec[40:],
		"another algorithm": strings.Replace(ed, "MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vu", 1), // X25519
		"no base64":         ed[:50] + "!" + ed[51:],
		"padding":           ed[:90] + "==" + ed[92:],
		"other public key":  strings.Join(lines, "\n"),
		"zero scalar":       pemText(zero),
		"scalar too high":   pemText(high),
	} {
		t.Run(name, func(t *testing.T) {
			if text == ed || text == ec {
				t.Errorf("%s changes nothing", name)
			}
			if public, err := session.ReadKeyText(text); err == nil {
				t.Errorf("%s is read as %v", name, public)
			} else if len(text) > 60 && strings.Contains(err.Error(), text[30:50]) {
				t.Errorf("the error holds the text: %v", err)
			}
		})
	}
}

// People read the key with openssl.
func TestOpenSSLReadsKeyText(t *testing.T) {
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed (hint: make packages)")
	}
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P256, keys.P384} {
		want, _, text, err := session.NewKeyText(algorithm, nil)
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command(program, "pkey", "-pubout")
		command.Stdin = strings.NewReader(text)
		out, err := command.CombinedOutput()
		block, _ := pem.Decode(out)
		if err != nil || block == nil {
			t.Fatalf("%s: %v: %s", algorithm, err, out)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := keys.FromCrypto(public); err != nil || got != want {
			t.Errorf("openssl finds %v, not %v: %v", got, want, err)
		}
	}
}

// PUK and management key are three lines, which are read in just that form, and
// no error holds a part of them.
func TestTokenText(t *testing.T) {
	management := strings.Repeat("\xab\x01", 16)
	want := "serial: 20456123\npuk: 12345678\nmanagement key (AES-256): " + strings.Repeat("ab01", 16) + "\n"
	if text, err := session.TokenText(20456123, "12345678", management); err != nil || text != want {
		t.Fatalf("%q, %v", text, err)
	}
	serial, puk, read, err := session.ReadTokenText(want)
	if err != nil || serial != 20456123 || puk != "12345678" || read != management {
		t.Errorf("%d, %q, %q, %v", serial, puk, read, err)
	}
	for i, bad := range []string{
		"",
		want[:len(want)-1],
		want + "\n",
		"\n" + want,
		strings.ReplaceAll(want, "\n", "\r\n"),
		strings.Replace(want, "ab01", "AB01", 1),
		strings.Replace(want, "ab01", "xy01", 1),
		strings.Replace(want, "ab01", "ab0", 1),
		strings.Replace(want, "ab01", "ab01ab01", 1),
		strings.Replace(want, "20456123", "020456123", 1),
		strings.Replace(want, "20456123", "+20456123", 1),
		strings.Replace(want, "20456123", "-20456123", 1),
		strings.Replace(want, "20456123", "4294967296", 1),
		strings.Replace(want, "20456123", "", 1),
		strings.Replace(want, "12345678", "1234567", 1),
		strings.Replace(want, "12345678", "123456789", 1),
		strings.Replace(want, "12345678", "1234567 ", 1),
		strings.Replace(want, "12345678", "1234567a", 1),
		strings.Replace(want, "serial", "Serial", 1),
		strings.Replace(want, "puk", "PUK", 1),
		strings.Replace(want, "AES-256", "AES-192", 1),
		strings.Replace(want, "puk: 12345678\n", "", 1),
	} {
		if serial, _, _, err := session.ReadTokenText(bad); err == nil {
			t.Errorf("%d: %q is read as token %d", i, bad, serial)
		} else if strings.Contains(err.Error(), "12345") || strings.Contains(err.Error(), "ab01") {
			t.Errorf("%d: the error holds the secret: %v", i, err)
		}
	}
}

// Extra entropy changes the seed, and never takes the place of random bytes.
func TestEntropy(t *testing.T) {
	buffer := func(p []byte) *secret.Buffer {
		b, err := secret.Take(p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	random := make([]byte, 32)
	for i := range random {
		random[i] = byte(i)
	}
	mixed, err := session.Mix(keys.Ed25519, buffer(random), []*secret.Buffer{buffer([]byte("616253")), buffer([]byte("heads"))})
	if err != nil {
		t.Fatal(err)
	}
	// Computed with Python's hmac and hashlib.
	if got, want := hex.EncodeToString(mixed.Bytes()), "a352f4b6624a7ff96b6b13ec41a1b07da886e93e211fa7265740ccac2cfb9b57"; got != want {
		t.Errorf("mixed %s, wanted %s", got, want)
	}
	seen := map[string]bool{}
	for range 3 {
		public, _, _, err := session.NewKeyText(keys.Ed25519, []*secret.Buffer{buffer(make([]byte, 32))})
		if err != nil || seen[public.Hex] {
			t.Errorf("the same entropy, the same key: %v, %v", public, err)
		}
		seen[public.Hex] = true
	}
}
