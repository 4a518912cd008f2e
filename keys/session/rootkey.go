package session

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// The secrets that are sealed exist as two texts, which people can read, once
// they are unsealed, by eye and with openssl. They are put together and taken
// apart in locked memory, and only in the child process of a session.
//
// The root key is a PKCS #8 private key in PEM (RFC 7468, RFC 5958), just as
// openssl and Go write it: ed25519 without its public key (RFC 8410), ECDSA
// with it (RFC 5915).
//
// PUK and management key are three lines, each ended by a newline:
//
//	serial: 20456123
//	puk: 12345678
//	management key (AES-256): 64 digits of hex, lower case
//
// A PUK has 8 digits. Only texts that are written just so are read, and no error
// holds a part of one.
const (
	pemBegin = "-----BEGIN PRIVATE KEY-----\n"
	pemEnd   = "-----END PRIVATE KEY-----\n"
	pemLine  = 48 // bytes in a line of 64 characters

	serialLine     = "serial: "
	pukLine        = "puk: "
	managementLine = "management key (AES-256): "

	pukSize        = 8
	managementSize = 32
)

// privateForms are the DER encodings of private keys: what goes before the
// seed or scalar, and what comes after it, the public point last.
var privateForms = map[keys.Algorithm]struct {
	size          int // of the seed or scalar, bytes
	before, after string
	point         int // bytes
}{
	keys.Ed25519: {32, "302e020100300506032b657004220420", "", 0},
	keys.P256:    {32, "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420", "a144034200", 65},
	keys.P384:    {48, "3081b6020100301006072a8648ce3d020106052b8104002204819e30819b0201010430", "a164036200", 97},
}

// rootKey is a root key outside of a token, in the process that imports it.
type rootKey struct {
	public keys.PublicKey
	seed   *secret.Buffer // ed25519: the seed; ECDSA: the scalar, big-endian
}

func (k *rootKey) wipe() {
	if k != nil {
		k.seed.Wipe()
	}
}

var errNoKey = errors.New("the bytes are no private key of this kind")

// rootKeyOf takes the seed over. The standard library leaves copies of it in
// memory, which end with the process.
func rootKeyOf(algorithm keys.Algorithm, seed *secret.Buffer) (*rootKey, error) {
	var public crypto.PublicKey
	switch {
	case algorithm == keys.Ed25519 && seed.Len() == ed25519.SeedSize:
		private := ed25519.NewKeyFromSeed(seed.Bytes())
		public = ed25519.PublicKey(bytes.Clone(private[ed25519.SeedSize:]))
		clear(private)
	case algorithm == keys.P256 || algorithm == keys.P384:
		curve := elliptic.P256()
		if algorithm == keys.P384 {
			curve = elliptic.P384()
		}
		private, err := ecdsa.ParseRawPrivateKey(curve, seed.Bytes())
		if err != nil {
			return nil, errNoKey
		}
		public = &private.PublicKey
	default:
		return nil, errNoKey
	}
	p, err := keys.FromCrypto(public)
	return &rootKey{p, seed}, err
}

// newRootKey makes a root key of random bytes, into which extra entropy is
// mixed where there is some.
func newRootKey(algorithm keys.Algorithm, entropy []*secret.Buffer) (*rootKey, error) {
	form, known := privateForms[algorithm]
	if !known {
		return nil, fmt.Errorf("no root key is of the kind %q", algorithm)
	}
	for {
		seed, err := secret.New(form.size)
		if err != nil {
			return nil, err
		}
		_, _ = rand.Read(seed.Bytes()) // never fails: it ends the program instead
		if len(entropy) > 0 {
			mixed, err := mix(algorithm, seed, entropy)
			seed.Wipe()
			if err != nil {
				return nil, err
			}
			seed = mixed
		}
		key, err := rootKeyOf(algorithm, seed)
		if err == nil {
			return key, nil
		}
		seed.Wipe() // not below the curve's order, which is as good as impossible: another one
	}
}

// mix derives a seed from random bytes and extra entropy by HKDF-SHA-256 (RFC
// 5869) without salt. The random bytes come first and always have the seed's
// length; before each contribution goes its length (4 bytes, big-endian). So
// anyone who knows all contributions, or chose them, knows nothing of the seed.
func mix(algorithm keys.Algorithm, random *secret.Buffer, entropy []*secret.Buffer) (*secret.Buffer, error) {
	size := random.Len()
	for _, e := range entropy {
		size += 4 + e.Len()
	}
	input, err := secret.New(size)
	if err != nil {
		return nil, err
	}
	defer input.Wipe()
	b := append(input.Bytes()[:0], random.Bytes()...)
	for _, e := range entropy {
		b = binary.BigEndian.AppendUint32(b, uint32(e.Len()))
		b = append(b, e.Bytes()...)
	}
	seed, err := hkdf.Key(sha256.New, b, nil, "rootceremony root key "+string(algorithm), random.Len())
	if err != nil {
		return nil, err
	}
	return secret.Take(seed)
}

// keyText is the key as PKCS #8 in PEM.
func keyText(k *rootKey) (*secret.Buffer, error) {
	form := privateForms[k.public.Algorithm]
	before, _ := hex.DecodeString(form.before)
	after, _ := hex.DecodeString(form.after)
	if form.point > 0 {
		point, err := hex.DecodeString(k.public.Hex)
		if err != nil {
			return nil, err
		}
		after = append(after, point...)
	}
	der, err := secret.New(len(before) + form.size + len(after))
	if err != nil {
		return nil, err
	}
	defer der.Wipe()
	copy(der.Bytes(), before)
	copy(der.Bytes()[len(before):], k.seed.Bytes())
	copy(der.Bytes()[len(before)+form.size:], after)

	lines := (der.Len() + pemLine - 1) / pemLine
	text, err := secret.New(len(pemBegin) + base64.StdEncoding.EncodedLen(der.Len()) + lines + len(pemEnd))
	if err != nil {
		return nil, err
	}
	b := append(text.Bytes()[:0], pemBegin...)
	for rest := der.Bytes(); len(rest) > 0; {
		n := min(pemLine, len(rest))
		b = append(base64.StdEncoding.AppendEncode(b, rest[:n]), '\n')
		rest = rest[n:]
	}
	_ = append(b, pemEnd...)
	return text, nil
}

// readKeyText is the opposite of keyText, and takes only what that makes.
func readKeyText(text *secret.Buffer) (*rootKey, error) {
	body, begins := bytes.CutPrefix(text.Bytes(), []byte(pemBegin))
	body, ends := bytes.CutSuffix(body, []byte(pemEnd))
	if !begins || !ends {
		return nil, errNoKey
	}
	der, err := secret.New(base64.StdEncoding.DecodedLen(len(body)))
	if err != nil {
		return nil, err
	}
	defer der.Wipe()
	n, err := base64.StdEncoding.Decode(der.Bytes(), body) // skips the newlines
	if err != nil {
		return nil, errNoKey
	}
	for algorithm, form := range privateForms {
		before, _ := hex.DecodeString(form.before)
		rest, found := bytes.CutPrefix(der.Bytes()[:n], before)
		if !found || len(rest) < form.size {
			continue
		}
		seed, err := secret.New(form.size)
		if err != nil {
			return nil, err
		}
		copy(seed.Bytes(), rest)
		key, err := rootKeyOf(algorithm, seed)
		if err == nil {
			err = same(text, func() (*secret.Buffer, error) { return keyText(key) })
		}
		if err != nil {
			seed.Wipe()
			return nil, err
		}
		return key, nil
	}
	return nil, errNoKey
}

// same reports whether a text is the one that its content is written as.
func same(text *secret.Buffer, write func() (*secret.Buffer, error)) error {
	again, err := write()
	if err != nil {
		return err
	}
	defer again.Wipe()
	if !secret.Equal(text, again) {
		return errors.New("the text is not written as it is here")
	}
	return nil
}

// tokenKeys are the PUK and the management key of a token.
type tokenKeys struct {
	serial     uint32
	puk        *secret.Buffer
	management *secret.Buffer
}

func (k *tokenKeys) wipe() {
	if k != nil {
		k.puk.Wipe()
		k.management.Wipe()
	}
}

// newTokenKeys makes a random PUK and a random AES-256 management key.
func newTokenKeys(serial uint32) (*tokenKeys, error) {
	puk, err := randomPUK()
	if err != nil {
		return nil, err
	}
	management, err := secret.New(managementSize)
	if err != nil {
		puk.Wipe()
		return nil, err
	}
	_, _ = rand.Read(management.Bytes()) // never fails: it ends the program instead
	return &tokenKeys{serial, puk, management}, nil
}

// randomPUK returns 8 random digits other than the default. Bytes from 250 on
// are thrown away, so that every digit is equally likely.
func randomPUK() (*secret.Buffer, error) {
	puk, err := secret.New(pukSize)
	if err != nil {
		return nil, err
	}
	digits := puk.Bytes()
	for {
		for i := range digits {
			for digits[i] = 255; digits[i] >= 250; {
				_, _ = rand.Read(digits[i : i+1])
			}
			digits[i] = '0' + digits[i]%10
		}
		if string(digits) != DefaultPUK { // compared in place: no copy is made
			return puk, nil
		}
	}
}

// tokenText is what is sealed of PUK and management key.
func tokenText(k *tokenKeys) (*secret.Buffer, error) {
	serial := strconv.FormatUint(uint64(k.serial), 10)
	size := len(serialLine) + len(serial) + len(pukLine) + k.puk.Len() + len(managementLine) + hex.EncodedLen(k.management.Len()) + 3
	text, err := secret.New(size)
	if err != nil {
		return nil, err
	}
	b := append(text.Bytes()[:0], serialLine+serial+"\n"+pukLine...)
	b = append(b, k.puk.Bytes()...)
	b = append(b, "\n"+managementLine...)
	b = hex.AppendEncode(b, k.management.Bytes())
	_ = append(b, '\n')
	return text, nil
}

// readTokenText is the opposite of tokenText, and takes only what that makes.
func readTokenText(text *secret.Buffer) (*tokenKeys, error) {
	bad := errors.New("the text is not that of a PUK and a management key")
	lines := bytes.SplitN(text.Bytes(), []byte("\n"), 4)
	if len(lines) != 4 {
		return nil, bad
	}
	serialText, isSerial := bytes.CutPrefix(lines[0], []byte(serialLine))
	pukText, isPUK := bytes.CutPrefix(lines[1], []byte(pukLine))
	managementText, isManagement := bytes.CutPrefix(lines[2], []byte(managementLine))
	serial, err := strconv.ParseUint(string(serialText), 10, 32)
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	if !isSerial || !isPUK || !isManagement || err != nil || len(pukText) != pukSize || bytes.ContainsFunc(pukText, notDigit) ||
		hex.DecodedLen(len(managementText)) != managementSize {
		return nil, bad
	}
	k := &tokenKeys{serial: uint32(serial)}
	if k.puk, err = secret.New(pukSize); err != nil {
		return nil, err
	}
	if k.management, err = secret.New(managementSize); err != nil {
		k.wipe()
		return nil, err
	}
	copy(k.puk.Bytes(), pukText)
	_, err = hex.Decode(k.management.Bytes(), managementText)
	if err == nil {
		err = same(text, func() (*secret.Buffer, error) { return tokenText(k) })
	}
	if err != nil {
		k.wipe()
		return nil, bad
	}
	return k, nil
}
