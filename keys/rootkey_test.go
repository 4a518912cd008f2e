package keys_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"testing"

	"rootceremony/keys"
	"rootceremony/keys/secret"
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
			public, seed, text, err := keys.NewKeyText(algorithm, nil)
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
			if want := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); text != want {
				t.Fatalf("%s:\n%s\nwanted\n%s", algorithm, text, want)
			}
			if again, err := keys.ReadKeyText(text); err != nil || again != public {
				t.Errorf("%s: read back %v, %v", algorithm, again, err)
			}
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
	mixed, err := keys.Mix(keys.Ed25519, buffer(random), []*secret.Buffer{buffer([]byte("616253")), buffer([]byte("heads"))})
	if err != nil {
		t.Fatal(err)
	}
	// Computed with Python's hmac and hashlib.
	if got, want := hex.EncodeToString(mixed.Bytes()), "a352f4b6624a7ff96b6b13ec41a1b07da886e93e211fa7265740ccac2cfb9b57"; got != want {
		t.Errorf("mixed %s, wanted %s", got, want)
	}
	seen := map[string]bool{}
	for range 3 {
		public, _, _, err := keys.NewKeyText(keys.Ed25519, []*secret.Buffer{buffer(make([]byte, 32))})
		if err != nil || seen[public.Hex] {
			t.Errorf("the same entropy, the same key: %v, %v", public, err)
		}
		seen[public.Hex] = true
	}
}
