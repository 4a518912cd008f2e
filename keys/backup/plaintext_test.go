package backup

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	stdpem "encoding/pem"
	"fmt"
	"strings"
	"testing"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// What is written is, byte for byte, what crypto/x509 writes of the same key.
func TestKeyText(t *testing.T) {
	for range 20 {
		_, edPrivate, _ := ed25519.GenerateKey(rand.Reader)
		ecPrivate, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		scalar, err := ecPrivate.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			algorithm keys.Algorithm
			seed      []byte
			private   any
			public    any
		}{
			{keys.Ed25519, edPrivate.Seed(), edPrivate, edPrivate.Public()},
			{keys.P256, scalar, ecPrivate, ecPrivate.Public()},
		} {
			der, err := x509.MarshalPKCS8PrivateKey(c.private)
			if err != nil {
				t.Fatal(err)
			}
			want := string(stdpem.EncodeToMemory(&stdpem.Block{Type: "PRIVATE KEY", Bytes: der}))
			key, err := NewKey(c.algorithm, buffer(t, string(c.seed)))
			if err != nil {
				t.Fatal(err)
			}
			text, err := key.Text()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(text.Bytes()); got != want {
				t.Fatalf("%s is written\n%s\nand by crypto/x509\n%s", c.algorithm, got, want)
			}
			read, err := ParseKey(text)
			if err != nil {
				t.Fatal(err)
			}
			public, err := keys.FromCrypto(c.public)
			if err != nil {
				t.Fatal(err)
			}
			if read.Public != public || !secret.Equal(read.Seed, buffer(t, string(c.seed))) {
				t.Errorf("%s is read as another key", c.algorithm)
			}
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	_, ed := freshKey(t, keys.Ed25519)
	_, ec := freshKey(t, keys.P256)
	_, otherEC := freshKey(t, keys.P256)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	der, err := x509.MarshalPKCS8PrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	edText, ecText := string(ed.Bytes()), string(ec.Bytes())
	ecLines, otherLines := strings.Split(ecText, "\n"), strings.Split(string(otherEC.Bytes()), "\n")
	ecLines[3] = otherLines[3] // the end of the public key
	texts := map[string]string{
		"empty":             "",
		"P-384":             string(stdpem.EncodeToMemory(&stdpem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"no last line":      strings.TrimSuffix(edText, "\n"),
		"more after it":     edText + "\n",
		"CRLF":              strings.ReplaceAll(edText, "\n", "\r\n"),
		"another label":     strings.ReplaceAll(edText, "PRIVATE", "PUBLICK"),
		"line break moved":  ecText[:40] + "\n" + ecText[40:92] + ecText[93:],
		"another algorithm": strings.Replace(edText, "MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vu", 1), // X25519
		"no base64":         edText[:50] + "!" + edText[51:],
		"padding":           edText[:90] + "==" + edText[92:],
		"other public key":  strings.Join(ecLines, "\n"),
		"zero scalar":       string(mustPEM(t, p256Head+strings.Repeat("\x00", 32)+p256Middle+strings.Repeat("\x04", 65))),
	}
	for name, text := range texts {
		if name != "empty" && text == edText || text == ecText {
			t.Errorf("%s changes nothing", name)
		}
		if key, err := ParseKey(buffer(t, text)); err == nil {
			t.Errorf("%s is read as %v", name, key.Public)
		} else if len(text) > 60 && strings.Contains(err.Error(), text[30:50]) {
			t.Errorf("%s: the error holds the text: %v", name, err)
		}
	}
}

func mustPEM(t *testing.T, der string) []byte {
	t.Helper()
	text, err := pem([]byte(der))
	if err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func TestTokenText(t *testing.T) {
	management := strings.Repeat("\xab\x01", 16)
	in := TokenSecrets{20456123, buffer(t, "12345678"), buffer(t, management)}
	text, err := in.Text()
	if err != nil {
		t.Fatal(err)
	}
	want := "serial: 20456123\npuk: 12345678\nmanagement key (AES-256): " + strings.Repeat("ab01", 16) + "\n"
	if string(text.Bytes()) != want {
		t.Fatalf("written as %q", text.Bytes())
	}
	out, err := ParseToken(text)
	if err != nil {
		t.Fatal(err)
	}
	if out.Serial != in.Serial || !secret.Equal(out.PUK, in.PUK) || !secret.Equal(out.Management, in.Management) {
		t.Error("what is read is not what was written")
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
		strings.Replace(want, "20456123", "020456123", 1),
		strings.Replace(want, "20456123", "+20456123", 1),
		strings.Replace(want, "20456123", "4294967296", 1),
		strings.Replace(want, "20456123", "", 1),
		strings.Replace(want, "12345678", "12345", 1),
		strings.Replace(want, "12345678", "123456789", 1),
		strings.Replace(want, "12345678", "1234567 ", 1),
		strings.Replace(want, "puk", "PUK", 1),
		strings.Replace(want, "puk: 12345678\n", "", 1),
	} {
		if got, err := ParseToken(buffer(t, bad)); err == nil {
			t.Errorf("%d: %q is read as %v", i, bad, got.Serial)
		} else if strings.Contains(err.Error(), "12345") || strings.Contains(err.Error(), "01ab") {
			t.Errorf("%d: the error holds the secret: %v", i, err)
		}
	}
	for _, bad := range []TokenSecrets{
		{1, buffer(t, "12345"), in.Management}, {1, buffer(t, "12345\n7"), in.Management}, {1, nil, in.Management},
		{1, in.PUK, buffer(t, management[1:])}, {1, in.PUK, nil},
	} {
		if _, err := bad.Text(); err == nil {
			t.Errorf("%d and %d bytes are written", bad.PUK.Len(), bad.Management.Len())
		}
	}
	if s := fmt.Sprint(in); strings.Contains(s, "1234567") {
		t.Errorf("printed: %s", s)
	}
}
