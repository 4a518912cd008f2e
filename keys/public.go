package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Algorithm names a signature algorithm with its curve.
type Algorithm string

// The algorithms that a PIV token signs with.
const (
	Ed25519 Algorithm = "ed25519"
	P256    Algorithm = "ecdsa-p256" // with SHA-256
	P384    Algorithm = "ecdsa-p384" // with SHA-384
)

// PublicKey is a public key by value: two are equal exactly when they are the
// same key. Hex is lower case: the 32 bytes of ed25519 (RFC 8032), or the
// uncompressed point of ECDSA (SEC 1, 2.3.3).
type PublicKey struct {
	Algorithm Algorithm `json:"algorithm"`
	Hex       string    `json:"hex"`
}

// FromCrypto returns the key as a PublicKey. Keys of other kinds are errors.
func FromCrypto(public crypto.PublicKey) (PublicKey, error) {
	switch k := public.(type) {
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return PublicKey{}, fmt.Errorf("ed25519 key of %d bytes", len(k))
		}
		if why := weak(k); why != "" {
			return PublicKey{}, errors.New("ed25519 key " + why)
		}
		return PublicKey{Ed25519, hex.EncodeToString(k)}, nil
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return PublicKey{}, err
		}
		switch k.Curve {
		case elliptic.P256():
			return PublicKey{P256, hex.EncodeToString(point)}, nil
		case elliptic.P384():
			return PublicKey{P384, hex.EncodeToString(point)}, nil
		}
		return PublicKey{}, fmt.Errorf("ECDSA key on curve %s", k.Curve.Params().Name)
	}
	return PublicKey{}, fmt.Errorf("key of type %T", public)
}

// Describe returns the key as FromCrypto does, and one of another kind as
// something to show and to compare, which verifies nothing: its algorithm's
// name and its SubjectPublicKeyInfo in hex.
func Describe(public crypto.PublicKey) (PublicKey, error) {
	if known, err := FromCrypto(public); err == nil {
		return known, nil
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return PublicKey{}, err
	}
	name := fmt.Sprintf("%T", public)
	switch k := public.(type) {
	case ed25519.PublicKey:
		name = "ed25519-unsafe" // never Ed25519: it must verify nothing
	case *rsa.PublicKey:
		name = fmt.Sprintf("rsa-%d", k.N.BitLen())
	case *ecdh.PublicKey:
		name = strings.ToLower(fmt.Sprint(k.Curve()))
	}
	return PublicKey{Algorithm(name), hex.EncodeToString(spki)}, nil
}

// The y of the points of small order (RFC 8032, 5.1.7), without the sign bit of x:
// with one of them as a key, anyone can make signatures.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
}

// Weak says why an ed25519 key is no good, half a sentence: "is of small order".
// Keys that are good, and those of other algorithms, are "".
func (p PublicKey) Weak() string {
	raw, err := hex.DecodeString(p.Hex)
	if p.Algorithm != Ed25519 || err != nil || len(raw) != ed25519.PublicKeySize {
		return ""
	}
	return weak(raw)
}

// weak is Weak of 32 bytes. A y of 2^255-19 and above would give one key two
// values.
func weak(raw []byte) string {
	y := bytes.Clone(raw)
	y[31] &= 0x7f
	if y[0] >= 0xed && y[31] == 0x7f && bytes.Count(y[1:31], []byte{0xff}) == 30 {
		return "is not in its one canonical form"
	}
	if slices.Contains(smallOrder, hex.EncodeToString(y)) {
		return "is of small order: anyone could sign with it"
	}
	return ""
}

// Crypto returns the key as the standard library knows it:
// ed25519.PublicKey or *ecdsa.PublicKey. An ed25519 key that is Weak is an error,
// so nothing is verified with one.
func (p PublicKey) Crypto() (crypto.PublicKey, error) {
	raw, err := hex.DecodeString(p.Hex)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	switch p.Algorithm {
	case Ed25519:
		if len(raw) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("ed25519 key of %d bytes", len(raw))
		}
		if why := weak(raw); why != "" {
			return nil, errors.New("ed25519 key " + why)
		}
		return ed25519.PublicKey(raw), nil
	case P256:
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
	case P384:
		return ecdsa.ParseUncompressedPublicKey(elliptic.P384(), raw)
	}
	return nil, fmt.Errorf("public key of unknown algorithm %q", p.Algorithm)
}

// SPKI is the key as DER SubjectPublicKeyInfo (RFC 5280, 4.1).
func (p PublicKey) SPKI() ([]byte, error) {
	public, err := p.Crypto()
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(public)
}

// ErrSignature: a signature is not one of this key over these bytes.
var ErrSignature = errors.New("the signature does not fit the key and the bytes")

// Verify checks a signature over message, as Token.Sign makes them.
func (p PublicKey) Verify(message, signature []byte) error {
	public, err := p.Crypto()
	if err != nil {
		return err
	}
	good := false
	switch p.Algorithm {
	case Ed25519:
		good = ed25519.Verify(public.(ed25519.PublicKey), message, signature)
	case P256:
		digest := sha256.Sum256(message)
		good = ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest[:], signature)
	case P384:
		digest := sha512.Sum384(message)
		good = ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest[:], signature)
	}
	if !good {
		return ErrSignature
	}
	return nil
}
