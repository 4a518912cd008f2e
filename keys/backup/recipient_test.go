package backup

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"

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
