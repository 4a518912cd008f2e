package ceremony_test

import (
	"testing"

	"rootceremony/keys/secret"
)

func newSecret(t testing.TB, text string) *secret.Buffer {
	t.Helper()
	b, err := secret.Take([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return b
}
