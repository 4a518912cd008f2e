package virtual

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"

	"rootceremony/keys"
)

// Algorithm identifiers of keys in slots (SP 800-78-4, table 6-2; Yubico's for
// the curves of firmware 5.7).
const (
	algorithmP256    byte = 0x11
	algorithmP384    byte = 0x14
	algorithmEd25519 byte = 0xe0
	algorithmX25519  byte = 0xe1
)

var algorithmIDs = map[keys.Algorithm]byte{
	keys.P256:    algorithmP256,
	keys.P384:    algorithmP384,
	keys.Ed25519: algorithmEd25519,
}

// privateKey is ed25519.PrivateKey, *ecdsa.PrivateKey or *ecdh.PrivateKey
// (X25519).
type privateKey interface{ Public() crypto.PublicKey }

// Policies as attestations and metadata hold them.
var (
	pinPolicies   = []keys.PINPolicy{1: keys.PINNever, 2: keys.PINOnce, 3: keys.PINAlways}
	touchPolicies = []keys.Touch{1: keys.TouchNever, 2: keys.TouchAlways, 3: keys.TouchCached}
)

// pinByte and touchByte are 0 for policies that do not exist.
func pinByte(p keys.PINPolicy) byte { return byte(max(0, slices.Index(pinPolicies[1:], p)+1)) }
func touchByte(t keys.Touch) byte   { return byte(max(0, slices.Index(touchPolicies[1:], t)+1)) }

// keySlot reports whether a key can be put there: 9a, 9c, 9d, 9e and the retired
// ones, 82 to 95.
func keySlot(s keys.Slot) bool {
	return s == 0x9a || s == 0x9c || s == 0x9d || s == 0x9e || s >= 0x82 && s <= 0x95
}

func (st *state) slot(s keys.Slot) (*slot, bool) {
	i, found := slices.BinarySearchFunc(st.Slots, s, func(k slot, s keys.Slot) int { return int(k.Slot) - int(s) })
	if !found {
		return nil, false
	}
	return &st.Slots[i], true
}

// put puts a key into its slot, over the one that is there, as a YubiKey does.
func (st *state) put(k slot) {
	i, found := slices.BinarySearchFunc(st.Slots, k.Slot, func(have slot, s keys.Slot) int { return int(have.Slot) - int(s) })
	if found {
		st.Slots[i] = k
		return
	}
	st.Slots = slices.Insert(st.Slots, i, k)
}

// remove empties a slot.
func (st *state) remove(s keys.Slot) {
	st.Slots = slices.DeleteFunc(st.Slots, func(k slot) bool { return k.Slot == s })
}

func makeKey(algorithm byte) (privateKey, error) {
	switch algorithm {
	case algorithmP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case algorithmP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case algorithmEd25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	case algorithmX25519:
		return ecdh.X25519().GenerateKey(rand.Reader)
	}
	return nil, swWrongData
}

// rawKey makes a private key of its bytes, as IMPORT ASYMMETRIC KEY has them:
// the scalar of ECDSA, the seed of ed25519, the scalar of X25519.
func rawKey(algorithm byte, raw []byte) (private privateKey, err error) {
	switch {
	case algorithm == algorithmP256:
		private, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	case algorithm == algorithmP384:
		private, err = ecdsa.ParseRawPrivateKey(elliptic.P384(), raw)
	case algorithm == algorithmEd25519 && len(raw) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(raw), nil
	case algorithm == algorithmX25519:
		private, err = ecdh.X25519().NewPrivateKey(raw)
	default:
		return nil, swWrongData
	}
	if err != nil {
		return nil, swWrongData
	}
	return private, nil
}

// algorithmOf is the algorithm identifier of a key; 0: none of a slot.
func algorithmOf(private privateKey) byte {
	if x, ok := private.(*ecdh.PrivateKey); ok && x.Curve() == ecdh.X25519() {
		return algorithmX25519
	}
	public, err := keys.FromCrypto(private.Public())
	if err != nil {
		return 0
	}
	return algorithmIDs[public.Algorithm]
}

// parseKey reads a private key, which must be of the algorithm.
func parseKey(algorithm byte, pkcs8 []byte) (privateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, err
	}
	private, ok := parsed.(privateKey)
	if !ok || algorithmOf(private) != algorithm {
		return nil, fmt.Errorf("key of type %T with algorithm identifier %02x", parsed, algorithm)
	}
	return private, nil
}

// Generate is GENERATE ASYMMETRIC KEY PAIR. It wants the management key.
func (a *applet) Generate(s keys.Slot, algorithm byte, policy keys.Policy) (crypto.PublicKey, error) {
	if err := a.mayPut(s, algorithm, policy); err != nil {
		return nil, err
	}
	private, err := makeKey(algorithm)
	if err != nil {
		return nil, err
	}
	return private.Public(), a.putKey(s, private, policy, true)
}

// Import is Yubico's IMPORT ASYMMETRIC KEY. It wants the management key.
func (a *applet) Import(s keys.Slot, private privateKey, policy keys.Policy) error {
	if err := a.mayPut(s, algorithmOf(private), policy); err != nil {
		return err
	}
	return a.putKey(s, private, policy, false)
}

// mayPut reports whether such a key may be put into the slot now.
func (a *applet) mayPut(s keys.Slot, algorithm byte, policy keys.Policy) error {
	a.pinJust = false
	if !a.managed {
		return swSecurityStatus
	}
	if !keySlot(s) || pinByte(policy.PIN) == 0 || touchByte(policy.Touch) == 0 {
		return swWrongParameters
	}
	switch algorithm {
	case algorithmP256, algorithmP384:
		return nil
	case algorithmEd25519, algorithmX25519:
		if !a.state.Firmware.Less(firmwareEd25519) {
			return nil
		}
	}
	return swWrongData
}

func (a *applet) putKey(s keys.Slot, private privateKey, policy keys.Policy, generated bool) error {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return a.change(func(st *state) {
		st.put(slot{Slot: s, Algorithm: algorithmOf(private), Private: pkcs8, Policy: policy, Generated: generated, private: private})
	})
}

// Move is Yubico's MOVE KEY: into an empty slot. It wants the management key.
func (a *applet) Move(from, to keys.Slot) error {
	a.pinJust = false
	if !a.managed {
		return swSecurityStatus
	}
	moved, found := a.state.slot(from)
	if !found {
		return swReferenceNotFound
	}
	if _, taken := a.state.slot(to); taken || !keySlot(to) {
		return swWrongParameters
	}
	return a.change(func(st *state) {
		st.remove(from)
		k := *moved
		k.Slot = to
		st.put(k)
	})
}

// Delete is Yubico's MOVE KEY to nowhere. It wants the management key.
func (a *applet) Delete(s keys.Slot) error {
	a.pinJust = false
	if !a.managed {
		return swSecurityStatus
	}
	if _, found := a.state.slot(s); !found {
		return swReferenceNotFound
	}
	return a.change(func(st *state) { st.remove(s) })
}

// tlvSize is the size of a TLV with a one-byte tag and n bytes in it.
func tlvSize(n int) int {
	switch {
	case n < 0x80:
		return n + 2
	case n < 0x100:
		return n + 3
	}
	return n + 4
}

// authenticateSize is the size of GENERAL AUTHENTICATE's data with n bytes to
// sign in it: 7c { 82 {}, 81 { the bytes } }.
func authenticateSize(n int) int { return tlvSize(tlvSize(0) + tlvSize(n)) }

// Sign is GENERAL AUTHENTICATE: ed25519 signs data whole; ECDSA signs it as a
// digest, which is at most as long as the curve's order. It waits for a touch
// where the key's policy wants one.
func (a *applet) Sign(s keys.Slot, data []byte) ([]byte, error) {
	if authenticateSize(len(data)) > maxCommandData {
		return nil, swWrongLength
	}
	k, err := a.use(s)
	if err != nil {
		return nil, err
	}
	signer, ok := k.private.(crypto.Signer)
	longest, digest := map[byte]int{algorithmP256: 32, algorithmP384: 48}[k.Algorithm]
	if !ok || digest && len(data) > longest {
		return nil, swWrongData
	}
	return signer.Sign(rand.Reader, data, crypto.Hash(0))
}

// ECDH is GENERAL AUTHENTICATE with an exponentiation: the shared secret of
// the key in the slot and a point (SEC 1, uncompressed; 32 bytes of X25519).
func (a *applet) ECDH(s keys.Slot, point []byte) ([]byte, error) {
	k, err := a.use(s)
	if err != nil {
		return nil, err
	}
	var exchange *ecdh.PrivateKey
	switch private := k.private.(type) {
	case *ecdh.PrivateKey:
		exchange = private
	case *ecdsa.PrivateKey:
		if exchange, err = private.ECDH(); err != nil {
			return nil, err
		}
	default:
		return nil, swWrongData
	}
	peer, err := exchange.Curve().NewPublicKey(point)
	if err != nil {
		return nil, swWrongData
	}
	shared, err := exchange.ECDH(peer)
	if err != nil { // a point of small order
		return nil, swWrongData
	}
	return shared, nil
}

// use checks a key's policy, and waits for a touch where it wants one.
func (a *applet) use(s keys.Slot) (*slot, error) {
	just := a.pinJust
	a.pinJust = false
	k, found := a.state.slot(s)
	if !found {
		return nil, swReferenceNotFound
	}
	if k.Policy.PIN == keys.PINAlways && !just || k.Policy.PIN == keys.PINOnce && !a.pinVerified {
		return nil, swSecurityStatus
	}
	if a.wantsTouch(k) && !a.waitForTouch() {
		return nil, swSecurityStatus
	}
	return k, nil
}

// Object identifiers of Yubico's attestations.
var (
	oidFirmware   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 3}
	oidSerial     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 7}
	oidPolicy     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 8}
	oidFormFactor = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 9}
)

// formFactors are the codes of the form factor extension.
var formFactors = map[string]byte{
	"YubiKey 5 NFC": 1, "YubiKey 5 Nano": 2, "YubiKey 5C NFC": 3, "YubiKey 5C": 3, "YubiKey 5C Nano": 4, "YubiKey 5Ci": 5,
}

// Attest is Yubico's ATTEST: a certificate of the slot's key by the device's.
// Keys that were imported are not attested.
func (a *applet) Attest(s keys.Slot) ([]byte, error) {
	a.pinJust = false
	k, found := a.state.slot(s)
	if !found {
		return nil, swReferenceNotFound
	}
	if !k.Generated {
		return nil, swConditions
	}
	return a.attest(s, k.Policy, k.private.Public(), a.state.Serial)
}

// attest makes a certificate that says this of a slot.
func (a *applet) attest(s keys.Slot, policy keys.Policy, public crypto.PublicKey, number uint32) ([]byte, error) {
	device, err := x509.ParseCertificate(a.state.DeviceCertificate)
	if err != nil {
		return nil, err
	}
	deviceKey, err := parseKey(algorithmP256, a.state.DeviceKey)
	if err != nil {
		return nil, err
	}
	f := a.state.Firmware
	serial, err := asn1.Marshal(int64(number))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: randomSerial(),
		Subject:      pkix.Name{CommonName: fmt.Sprintf("YubiKey PIV Attestation %v", s)},
		NotBefore:    device.NotBefore,
		NotAfter:     device.NotAfter,
		ExtraExtensions: []pkix.Extension{
			{Id: oidFirmware, Value: []byte{byte(f.Major), byte(f.Minor), byte(f.Patch)}},
			{Id: oidSerial, Value: serial},
			{Id: oidPolicy, Value: []byte{pinByte(policy.PIN), touchByte(policy.Touch)}},
			{Id: oidFormFactor, Value: []byte{formByte(a.state)}},
		},
	}
	return x509.CreateCertificate(rand.Reader, template, device, public, deviceKey)
}

// DeviceCertificate is GET DATA of the certificate in f9, DER.
func (a *applet) DeviceCertificate() []byte { return slices.Clone(a.state.DeviceCertificate) }

func randomSerial() *big.Int {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails: it ends the program instead
	serial[0] = serial[0]&0x7f | 0x40
	return new(big.Int).SetBytes(serial)
}

// The validity of the drawer's certificates, which are older and younger than
// any clock.
var (
	notBefore = time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// attestationRoot is the drawer's own root of attestation.
type attestationRoot struct {
	Key         hexBytes `json:"key"`         // PKCS #8
	Certificate hexBytes `json:"certificate"` // DER
}

func newAttestationRoot() (*attestationRoot, error) {
	key, err := makeKey(algorithmP256)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	serial := randomSerial()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: fmt.Sprintf("Virtual PIV Root CA Serial %x, rehearsals only", serial.Bytes()[:4])},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLen:            1,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return &attestationRoot{pkcs8, der}, err
}

// certify makes a device's key and its certificate, as the factory does.
func (r *attestationRoot) certify(f keys.Firmware) (key, certificate []byte, err error) {
	root, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return nil, nil, err
	}
	rootKey, err := parseKey(algorithmP256, r.Key)
	if err != nil {
		return nil, nil, err
	}
	deviceKey, err := makeKey(algorithmP256)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          randomSerial(),
		Subject:               pkix.Name{CommonName: "Yubico PIV Attestation"},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		ExtraExtensions: []pkix.Extension{
			{Id: oidFirmware, Value: []byte{byte(f.Major), byte(f.Minor), byte(f.Patch)}},
		},
	}
	certificate, err = x509.CreateCertificate(rand.Reader, template, root, deviceKey.Public(), rootKey)
	if err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalPKCS8PrivateKey(deviceKey)
	return key, certificate, err
}
