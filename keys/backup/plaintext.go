package backup

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// The lines around the key (RFC 7468, 10).
const (
	pemBegin = "-----BEGIN PRIVATE KEY-----\n"
	pemEnd   = "-----END PRIVATE KEY-----\n"
)

// What stands before and after the private key in PKCS#8: for ed25519 as RFC
// 8410, 7 has it; for P-256 an ECPrivateKey (RFC 5915) with the public key,
// whose 65 bytes come last.
const (
	ed25519Head = "\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"
	p256Head    = "\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07" +
		"\x04\x6d\x30\x6b\x02\x01\x01\x04\x20"
	p256Middle = "\xa1\x44\x03\x42\x00"
)

const seedSize = 32

// Key is a private key as a backup holds it.
type Key struct {
	Public keys.PublicKey
	Seed   *secret.Buffer // 32 bytes: the seed of ed25519 (RFC 8032), the scalar of P-256
}

// NewKey derives the public key of a seed of 32 bytes, for ed25519 or P-256.
// The Key holds the seed from then on, and the caller wipes it there.
func NewKey(algorithm keys.Algorithm, seed *secret.Buffer) (*Key, error) {
	if seed.Len() != seedSize {
		return nil, fmt.Errorf("a private key of %d bytes: 32 are needed", seed.Len())
	}
	key := &Key{keys.PublicKey{Algorithm: algorithm}, seed}
	switch algorithm {
	case keys.Ed25519:
		private := ed25519.NewKeyFromSeed(seed.Bytes())
		defer clear(private)
		key.Public.Hex = hex.EncodeToString(private[seedSize:])
	case keys.P256:
		private, err := ecdh.P256().NewPrivateKey(seed.Bytes())
		if err != nil {
			return nil, errors.New("the private key is no scalar of P-256")
		}
		key.Public.Hex = hex.EncodeToString(private.PublicKey().Bytes())
	default:
		return nil, fmt.Errorf("keys of %s are not backed up: ed25519 or ecdsa-p256", algorithm)
	}
	return key, nil
}

// Text is the key as PKCS#8 in PEM, which openssl pkey reads, in a Buffer of
// its own.
func (k *Key) Text() (*secret.Buffer, error) {
	public, err := hex.DecodeString(k.Public.Hex)
	if err != nil {
		return nil, err
	}
	head, tail := ed25519Head, ""
	if k.Public.Algorithm == keys.P256 {
		head, tail = p256Head, p256Middle+string(public)
	}
	der, err := secret.New(len(head) + seedSize + len(tail))
	if err != nil {
		return nil, err
	}
	defer der.Wipe()
	copy(der.Bytes(), head)
	copy(der.Bytes()[len(head):], k.Seed.Bytes())
	copy(der.Bytes()[len(head)+seedSize:], tail)
	return pem(der.Bytes())
}

// pem writes DER between the lines, 48 bytes of it on each.
func pem(der []byte) (*secret.Buffer, error) {
	text, err := secret.New(pemSize(len(der)))
	if err != nil {
		return nil, err
	}
	p := text.Bytes()
	p = p[copy(p, pemBegin):]
	for len(der) > 0 {
		n := min(48, len(der))
		base64.StdEncoding.Encode(p, der[:n])
		p = p[base64.StdEncoding.EncodedLen(n):]
		p[0] = '\n'
		der, p = der[n:], p[1:]
	}
	copy(p, pemEnd)
	return text, nil
}

func pemSize(der int) int {
	return len(pemBegin) + base64.StdEncoding.EncodedLen(der) + (der+47)/48 + len(pemEnd)
}

// ParseKey reads what Key.Text writes, and nothing else: other algorithms,
// other encodings of the same key and a public key that is not the private
// one's are errors. Its errors never hold a part of the text.
func ParseKey(text *secret.Buffer) (*Key, error) {
	algorithm, head, tail := keys.Ed25519, ed25519Head, 0
	if text.Len() != pemSize(len(ed25519Head)+seedSize) {
		algorithm, head, tail = keys.P256, p256Head, len(p256Middle)+65
	}
	der, err := secret.New(len(head) + seedSize + tail)
	if err != nil {
		return nil, err
	}
	defer der.Wipe()
	if text.Len() != pemSize(der.Len()) || !unpem(der.Bytes(), text.Bytes()) {
		return nil, errors.New("the backup holds no private key as it is written here (PKCS#8, PEM)")
	}
	if !bytes.HasPrefix(der.Bytes(), []byte(head)) {
		return nil, errors.New("the backup holds a private key that is neither ed25519 nor ecdsa-p256")
	}
	seed, err := exact(der.Bytes()[len(head) : len(head)+seedSize])
	if err != nil {
		return nil, err
	}
	key, err := NewKey(algorithm, seed)
	if err != nil {
		seed.Wipe()
		return nil, fmt.Errorf("the backup is damaged: %w", err)
	}
	again, err := key.Text()
	defer again.Wipe()
	if err != nil || !secret.Equal(again, text) {
		seed.Wipe()
		return nil, errors.New("the backup is damaged: its public key is not that of its private key")
	}
	return key, nil
}

// unpem fills der from PEM of just that length.
func unpem(der, text []byte) bool {
	text, begins := bytes.CutPrefix(text, []byte(pemBegin))
	text, ends := bytes.CutSuffix(text, []byte(pemEnd))
	for begins && ends && len(der) > 0 {
		n := min(48, len(der))
		line := base64.StdEncoding.EncodedLen(n)
		// The decoder skips line breaks, so they must not be within a line.
		if text[line] != '\n' || bytes.ContainsAny(text[:line], "\r\n") {
			return false
		}
		got, err := base64.StdEncoding.Decode(der, text[:line]) // no padding: n is a multiple of 3
		if err != nil || got != n {
			return false
		}
		der, text = der[n:], text[line+1:]
	}
	return begins && ends && len(text) == 0
}

// The labels of a token's secrets, in order.
const (
	serialLabel     = "serial: "
	pukLabel        = "puk: "
	managementLabel = "management key (AES-256): "
)

const managementSize = 32

// TokenSecrets is what gets into a token without its PIN.
type TokenSecrets struct {
	Serial     uint32
	PUK        *secret.Buffer // 6 to 8 characters
	Management *secret.Buffer // 32 bytes, AES-256
}

// Wipe wipes both secrets.
func (t *TokenSecrets) Wipe() {
	t.PUK.Wipe()
	t.Management.Wipe()
}

// Text is three lines for people and for ParseToken, in a Buffer of its own.
func (t *TokenSecrets) Text() (*secret.Buffer, error) {
	if !validPUK(t.PUK.Bytes()) {
		return nil, errors.New("a PUK to back up has 6 to 8 letters and digits")
	}
	if t.Management.Len() != managementSize {
		return nil, fmt.Errorf("a management key of %d bytes: 32 are needed", t.Management.Len())
	}
	serial := strconv.FormatUint(uint64(t.Serial), 10)
	text, err := secret.New(len(serialLabel) + len(serial) + len(pukLabel) + t.PUK.Len() + len(managementLabel) + 2*managementSize + 3)
	if err != nil {
		return nil, err
	}
	p := text.Bytes()
	p = p[copy(p, serialLabel+serial+"\n"+pukLabel):]
	p = p[copy(p, t.PUK.Bytes()):]
	p = p[copy(p, "\n"+managementLabel):]
	p = p[hex.Encode(p, t.Management.Bytes()):]
	p[0] = '\n'
	return text, nil
}

// validPUK: what can be typed on any keyboard.
func validPUK(puk []byte) bool {
	for _, c := range puk {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return len(puk) >= 6 && len(puk) <= 8
}

// ParseToken reads what TokenSecrets.Text writes, and nothing else. Its errors
// never hold a part of the text.
func ParseToken(text *secret.Buffer) (*TokenSecrets, error) {
	rest := text.Bytes()
	var values [3][]byte
	for i, label := range []string{serialLabel, pukLabel, managementLabel} {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		value, labelled := bytes.CutPrefix(line, []byte(label))
		if !ended || !labelled {
			return nil, fmt.Errorf("line %d of the backup of a token does not read %q", i+1, label+"...")
		}
		values[i], rest = value, after
	}
	serial, err := strconv.ParseUint(string(values[0]), 10, 32)
	switch {
	case len(rest) > 0:
		return nil, errors.New("the backup of a token has more than three lines")
	case err != nil || strconv.FormatUint(serial, 10) != string(values[0]):
		return nil, errors.New("line 1 of the backup of a token has no serial number")
	case !validPUK(values[1]):
		return nil, errors.New("line 2 of the backup of a token has no PUK of 6 to 8 letters and digits")
	case len(values[2]) != 2*managementSize || bytes.ContainsAny(values[2], "ABCDEF"):
		return nil, errors.New("line 3 of the backup of a token has no management key of 64 digits")
	}
	puk, err := exact(values[1])
	if err != nil {
		return nil, err
	}
	management, err := secret.New(managementSize)
	if err != nil {
		puk.Wipe()
		return nil, err
	}
	t := &TokenSecrets{uint32(serial), puk, management}
	if _, err := hex.Decode(management.Bytes(), values[2]); err != nil {
		t.Wipe()
		return nil, errors.New("line 3 of the backup of a token has no management key of 64 digits")
	}
	return t, nil
}
