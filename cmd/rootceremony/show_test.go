package main

import (
	"crypto/ed25519"
	"testing"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// A name belongs to a key, not to the id under which a root lists one.
func TestNamesBelongToKeys(t *testing.T) {
	key := func() tuf.Key {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		known, err := keys.FromCrypto(public)
		if err != nil {
			t.Fatal(err)
		}
		made, err := tuf.NewKey(known)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	alice, stranger := key(), key()
	names := holderKeys{alice.Value(): "Alice"}
	pretends, renamed := stranger, alice
	pretends.ID, renamed.ID = alice.ID, "another id"
	if got := names.in(&tuf.Root{Keys: []tuf.Key{pretends}}); len(got) != 0 {
		t.Errorf("a stranger's key is called %v", got)
	}
	if got := names.in(&tuf.Root{Keys: []tuf.Key{renamed}}); got["another id"] != "Alice" {
		t.Errorf("Alice's key under another id is called %v", got)
	}
	if got := names.in(&tuf.Root{Keys: []tuf.Key{alice}}, &tuf.Root{Keys: []tuf.Key{pretends}}); len(got) != 0 {
		t.Errorf("an id of two keys is called %v", got)
	}
}
