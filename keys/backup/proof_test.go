package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"rootceremony/keys"
	"rootceremony/keys/session"
)

func TestChallenge(t *testing.T) {
	dana, other := meet(t, "Dana", keys.RecipientX25519), meet(t, "Other", keys.RecipientX25519)
	file, want, err := Challenge(dana.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	got, err := answer("dana", file, dana.identity)
	if err != nil || got != want {
		t.Errorf("%q, %v, not %q", got, err, want)
	}
	if raw, err := hex.DecodeString(want); err != nil || len(raw) != sha256.Size {
		t.Errorf("the digest is %q", want)
	}
	if _, again, _ := Challenge(dana.Recipient); again == want {
		t.Error("two challenges are the same")
	}
	if _, err := answer("dana", file, other.identity); !errors.Is(err, age.ErrIncorrectIdentity) || !strings.Contains(err.Error(), "the test file: the layer of dana") {
		t.Error(err)
	}
	file[len(file)-1] ^= 1
	var damage *DamageError
	if _, err := answer("dana", file, dana.identity); !errors.As(err, &damage) {
		t.Error(err)
	}
}

// A backup is not opened as a test, nor a test as a backup.
func TestChallengeIsNoBackup(t *testing.T) {
	dana := meet(t, "Dana", keys.RecipientX25519)
	_, text := freshKey(t, keys.Ed25519)
	files, err := seal(text, keys.BackupKey, alice, []*Recipient{dana.Recipient}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := answer("dana", files[0].Data, dana.identity); err == nil || !strings.Contains(err.Error(), "is no test file") {
		t.Errorf("%q, %v", got, err)
	}
	test, _, err := Challenge(dana.Recipient)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := openFile(session.SealedFile{Name: "dana.key.age", Data: test}, by([]person{dana})); err == nil {
		t.Errorf("opens to %d bytes", got.Len())
	}
	for _, short := range []string{testIntro, testIntro + strings.Repeat("x", 31), testIntro + strings.Repeat("x", 33), strings.Repeat("x", len(testIntro)+32)} {
		sealed, err := sealTo(dana.Recipient, []byte(short))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := answer("dana", sealed, dana.identity); err == nil {
			t.Errorf("%q is a test file", short)
		}
	}
}
