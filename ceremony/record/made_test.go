package record

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

var expiry = time.Date(2036, 11, 22, 0, 0, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// private returns the n-th key, always the same, and its public half.
func private(n int) (ed25519.PrivateKey, tuf.Key) {
	seed := sha256.Sum256(fmt.Appendf(nil, "record test key %d", n))
	k := ed25519.NewKeyFromSeed(seed[:])
	return k, must(tuf.NewKey(must(keys.FromCrypto(k.Public()))))
}

// newRoot makes a root with root keys 0 and 1, both of which must sign, and one
// online key.
func newRoot(online int) *tuf.Root {
	root := &tuf.Root{Version: 1, Expires: expiry, SpecVersion: tuf.SpecVersion, ConsistentSnapshot: true, Roles: map[string]tuf.Role{}}
	var ids []string
	for _, n := range []int{0, 1, online} {
		_, key := private(n)
		root.Keys = append(root.Keys, key)
		ids = append(ids, key.ID)
	}
	for _, role := range tuf.RoleNames {
		root.Roles[role] = tuf.Role{KeyIDs: ids[2:], Threshold: 1}
	}
	root.Roles[tuf.RoleRoot] = tuf.Role{KeyIDs: ids[:2], Threshold: 2}
	return root
}

// signed is the file of a root, with the signatures of keys 0 and 1.
func signed(t testing.TB, root *tuf.Root, previous ...*tuf.Root) []byte {
	t.Helper()
	var sigs []tuf.Signature
	for n := range 2 {
		key, public := private(n)
		sigs = append(sigs, tuf.Signature{KeyID: public.ID, Sig: ed25519.Sign(key, root.Canonical())})
	}
	text, err := tuf.Assemble(root, sigs, previous...)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
