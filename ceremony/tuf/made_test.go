package tuf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"testing"
	"time"

	"rootceremony/keys"
)

// maker is a private key for tests, with the Key it belongs to.
type maker struct {
	private crypto.Signer
	key     Key
}

var makers = map[string]*maker{}

// make25519 returns the n-th ed25519 key, always the same.
func make25519(n int) *maker {
	seed := sha256.Sum256(fmt.Appendf(nil, "test key %d", n))
	return made(fmt.Sprint("ed", n), func() crypto.Signer { return ed25519.NewKeyFromSeed(seed[:]) })
}

// makeECDSA returns the n-th ECDSA key of this run.
func makeECDSA(curve elliptic.Curve, n int) *maker {
	return made(fmt.Sprint(curve.Params().Name, n), func() crypto.Signer {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	})
}

func made(name string, private func() crypto.Signer) *maker {
	if m, ok := makers[name]; ok {
		return m
	}
	m := &maker{private: private()}
	public, err := keys.FromCrypto(m.private.Public())
	if err == nil {
		m.key, err = NewKey(public)
	}
	if err != nil {
		panic(err)
	}
	makers[name] = m
	return m
}

func (m *maker) sign(message []byte) Signature {
	digest, hash := message, crypto.Hash(0)
	switch m.key.Public.Algorithm {
	case keys.P256:
		sum := sha256.Sum256(message)
		digest, hash = sum[:], crypto.SHA256
	case keys.P384:
		sum := sha512.Sum384(message)
		digest, hash = sum[:], crypto.SHA384
	}
	sig, err := m.private.Sign(rand.Reader, digest, hash)
	if err != nil {
		panic(err)
	}
	return Signature{KeyID: m.key.ID, Sig: sig}
}

var expiry = time.Date(2027, 11, 22, 0, 0, 0, 0, time.UTC)

// newRoot makes a first root of n ed25519 root keys and three online ones.
func newRoot(n, threshold int) (*Root, []*maker) {
	r := &Root{
		Version:            1,
		Expires:            expiry,
		SpecVersion:        SpecVersion,
		ConsistentSnapshot: true,
		Roles:              map[string]Role{},
	}
	var holders []*maker
	var ids []string
	for i := range n {
		m := make25519(i)
		holders = append(holders, m)
		r.Keys = append(r.Keys, m.key)
		ids = append(ids, m.key.ID)
	}
	r.Roles[RoleRoot] = Role{KeyIDs: ids, Threshold: threshold}
	for i, name := range RoleNames[1:] {
		m := make25519(100 + i)
		r.Keys = append(r.Keys, m.key)
		r.Roles[name] = Role{KeyIDs: []string{m.key.ID}, Threshold: 1}
	}
	return r, holders
}

func signAll(message []byte, holders ...*maker) []Signature {
	var sigs []Signature
	for _, h := range holders {
		sigs = append(sigs, h.sign(message))
	}
	return sigs
}

// newFile makes the file of a 3-of-5 root, signed by the first three.
func newFile(t testing.TB) ([]byte, *Root, []*maker) {
	t.Helper()
	r, holders := newRoot(5, 3)
	data, err := Assemble(r, signAll(r.Canonical(), holders[:3]...))
	if err != nil {
		t.Fatal(err)
	}
	return data, r, holders
}
