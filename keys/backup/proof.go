package backup

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"filippo.io/age"

	"rootceremony/keys/secret"
)

// testIntro is how a test file begins, within its one layer: no backup does,
// so that none can be opened as a test.
const testIntro = "rootceremony test file\n"

const testRandom = 32

// Challenge makes a test file: 32 random bytes, sealed to one recipient. want
// is the answer for anyone who opens it, a SHA-256 in hex; it tells
// nothing about the bytes, and may be recorded and compared as a string.
func Challenge(r *Recipient) (file []byte, want string, err error) {
	text, err := secret.New(len(testIntro) + testRandom)
	if err != nil {
		return nil, "", err
	}
	defer text.Wipe()
	_, _ = rand.Read(text.Bytes()[copy(text.Bytes(), testIntro):]) // never fails
	file, err = sealTo(r, text.Bytes())
	if err != nil {
		return nil, "", err
	}
	return file, digest(text), nil
}

// answer opens a test file and returns the SHA-256 of what is in it. who is
// the recipient's slug, for errors, which are those of Layer.Open.
func answer(who string, file []byte, identities ...age.Identity) (string, error) {
	l := Layer{File: "the test file", Who: who}
	r, err := l.decrypt(file, identities)
	if err != nil {
		return "", err
	}
	text, err := secret.New(maxSecret + 1)
	if err != nil {
		return "", err
	}
	defer text.Wipe()
	n, err := l.read(r, text.Bytes())
	if err != nil {
		return "", err
	}
	if n != len(testIntro)+testRandom || !bytes.HasPrefix(text.Bytes(), []byte(testIntro)) {
		return "", fmt.Errorf("%s opens, but is no test file: nothing of it is used", l.File)
	}
	whole, err := exact(text.Bytes()[:n])
	if err != nil {
		return "", err
	}
	defer whole.Wipe()
	return digest(whole), nil
}

func digest(text *secret.Buffer) string {
	sum := sha256.Sum256(text.Bytes())
	return hex.EncodeToString(sum[:])
}
