package backup

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"

	"filippo.io/age/plugin"
	"filippo.io/age/tag"

	"rootceremony/keys"
)

// The recipient is the one that age writes of the key, whatever its parity.
func TestTokenRecipient(t *testing.T) {
	parities := map[byte]bool{}
	for len(parities) < 2 {
		private, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point := private.PublicKey().Bytes()
		text, err := keys.TokenRecipient(keys.PublicKey{Algorithm: keys.P256, Hex: hex.EncodeToString(point)})
		if err != nil {
			t.Fatal(err)
		}
		want, err := tag.NewClassicRecipient(append([]byte{2 + point[64]&1}, point[1:33]...))
		if err != nil || text != want.String() {
			t.Errorf("%s, not %s, %v", text, want, err)
		}
		parities[point[64]&1] = true
	}
}

var allKinds = []keys.RecipientKind{keys.RecipientX25519, keys.RecipientHybrid, keys.RecipientToken, keys.RecipientHybridToken, keys.RecipientSSH, keys.RecipientPlugin, keys.RecipientPassphrase}

func TestReady(t *testing.T) {
	for _, kind := range allKinds {
		if err := meet(t, "Dana Silva", kind).ready(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestPassphrase(t *testing.T) {
	r := parse(t, "Safe", "passphrase")
	if err := r.ready(); err == nil || !strings.Contains(err.Error(), `"Safe"`) {
		t.Errorf("ready without a passphrase: %v", err)
	}
	for text, want := range map[string]string{
		"": "is empty", "short": "is shorter than 20", "aaaaaaaaaaaaaaaaaaaaaaaa": "repeats a few", "abababababababababab": "repeats a few",
		"passwordpassword": "is shorter than 20", "passwordPasswordpassword": "repeats itself", "battery horse battery horse": "repeats itself", "12345678901234567890": "repeats itself",
	} {
		t.Run(text, func(t *testing.T) {
			if err := r.setPassphrase(buffer(t, text)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"Safe"`) {
				t.Error(err)
			}
		})
	}
	if err := r.setPassphrase(nil); err == nil {
		t.Error("no passphrase is taken")
	}
	if r.ready() == nil {
		t.Error("ready after passphrases that were refused")
	}
	if err := r.setPassphrase(buffer(t, "five words come, last")); err != nil || r.ready() != nil {
		t.Errorf("%v, %v", err, r.ready())
	}
	if err := meet(t, "x", keys.RecipientX25519).setPassphrase(buffer(t, "five words come, last")); err == nil {
		t.Error("an age1 recipient takes a passphrase")
	}
}

func TestPluginMissing(t *testing.T) {
	r := parse(t, "Dana", plugin.EncodeRecipient("nowhere", []byte("some data")))
	_, _, err := Challenge(r)
	for _, want := range []string{`recipient "Dana"`, "age-plugin-nowhere is not installed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	_, err = readIdentities(buffer(t, "# a comment\n"+plugin.EncodeIdentity("nowhere", []byte("secret data"))+"\n"), nil)
	for _, want := range []string{"line 2", "age-plugin-nowhere is not installed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	// A plugin that wants to ask something is not answered, and not waited for.
	installPlugin(t)
	r = parse(t, "Dana", plugin.EncodeRecipient("rctest", bytes.Repeat([]byte{0xff}, 16)))
	if _, _, err := Challenge(r); err == nil || !strings.Contains(err.Error(), `recipient "Dana": rctest plugin: no PIN was given`) {
		t.Errorf("a plugin that asks: %v", err)
	}
	t.Setenv("AGEDEBUG", "plugin")
	if _, _, err := Challenge(r); err == nil || !strings.Contains(err.Error(), "AGEDEBUG") {
		t.Errorf("with AGEDEBUG=plugin: %v", err)
	}
}
