package keys_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"testing"
	"time"

	"rootceremony/keys"
)

func readPEM(t testing.TB, name string) *x509.Certificate {
	file, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(file)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A YubiKey 5C Nano's attestation, as published in the tests of piv-go, under
// Yubico's root.
func TestRealAttestation(t *testing.T) {
	root, device, slot := readPEM(t, "yubico-piv-root.pem"), readPEM(t, "yubikey-5.4.3-f9.pem"), readPEM(t, "yubikey-5.4.3-9a.pem")
	public, err := keys.FromCrypto(slot.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	want := keys.AttestationWant{
		Slot: keys.SlotAuthentication, Public: public, Serial: 15732500,
		Policy:      keys.Policy{PIN: keys.PINOnce, Touch: keys.TouchNever},
		MinFirmware: keys.Firmware{Major: 5, Minor: 4, Patch: 3},
	}
	a := keys.Attestation{Slot: slot.Raw, Device: device.Raw}
	facts, err := keys.VerifyAttestation(a, []*x509.Certificate{root}, nil, want)
	if err != nil {
		t.Fatal(err)
	}
	if facts != (keys.AttestationFacts{Serial: 15732500, Firmware: want.MinFirmware, Policy: want.Policy, FormFactor: "USB-C nano"}) {
		t.Errorf("facts %+v", facts)
	}
	want.MinFirmware.Minor = 7
	if _, err := keys.VerifyAttestation(a, []*x509.Certificate{root}, nil, want); err == nil ||
		err.Error() != "attestation of slot 9a: firmware: wanted 5.7.3 or newer, found 5.4.3" {
		t.Errorf("old firmware: %v", err)
	}
}

// vector is an attestation to be made, good unless a test changes it.
type vector struct {
	root, middle, device, slot *x509.Certificate // templates; middle may be nil
	slotIssuer                 *x509.Certificate // nil: device
	slotKey                    crypto.Signer
	slotSigner                 crypto.Signer // nil: the device's key
	want                       keys.AttestationWant
	otherRoot                  bool                // verify under another root than that which signed
	more                       []*x509.Certificate // further roots
	cut                        func(*keys.Attestation)

	deviceErr error // what VerifyDevice said
}

func oid(last int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, last}
}

func template(name string, ca bool, extensions ...pkix.Extension) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		IsCA: ca, BasicConstraintsValid: ca, ExtraExtensions: extensions,
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func certificate(t *testing.T, template, parent *x509.Certificate, public, signer crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func extensions(t *testing.T) []pkix.Extension {
	serial, err := asn1.Marshal(20456123)
	if err != nil {
		t.Fatal(err)
	}
	return []pkix.Extension{
		{Id: oid(3), Value: []byte{5, 7, 4}},
		{Id: oid(7), Value: serial},
		{Id: oid(8), Value: []byte{3, 2}},
		{Id: oid(9), Value: []byte{3}},
	}
}

func goodVector(t *testing.T) *vector {
	key := newKey(t)
	public, err := keys.FromCrypto(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &vector{
		root:    template("Yubico Attestation Root 1", true),
		middle:  template("Yubico PIV Attestation B 1", true),
		device:  template("YubiKey PIV", true),
		slot:    template("YubiKey PIV Attestation 9c", false, extensions(t)...),
		slotKey: key,
		want: keys.AttestationWant{
			Slot: keys.SlotRoot, Public: public, Serial: 20456123,
			Policy:      keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways},
			MinFirmware: keys.Firmware{Major: 5, Minor: 7},
		},
	}
}

func (v *vector) verify(t *testing.T) (keys.AttestationFacts, error) {
	rootKey, middleKey, deviceKey := newKey(t), newKey(t), newKey(t)
	root := certificate(t, v.root, v.root, rootKey, rootKey)
	issuer, issuerKey := root, rootKey
	var intermediates []*x509.Certificate
	if v.middle != nil {
		issuer, issuerKey = certificate(t, v.middle, root, middleKey, rootKey), middleKey
		intermediates = append(intermediates, issuer)
	}
	device := certificate(t, v.device, issuer, deviceKey, issuerKey)
	parent, signer := device, crypto.Signer(deviceKey)
	if v.slotIssuer != nil {
		parent = v.slotIssuer
	}
	if v.slotSigner != nil {
		signer = v.slotSigner
		key := v.slotSigner.Public()
		parent = &x509.Certificate{Subject: parent.Subject, RawSubject: parent.RawSubject, PublicKey: key}
	} else if v.slotIssuer != nil {
		parent = &x509.Certificate{Subject: parent.Subject, PublicKey: deviceKey.Public()}
	}
	slot := certificate(t, v.slot, parent, v.slotKey, signer)
	if v.otherRoot {
		other := newKey(t)
		root = certificate(t, v.root, v.root, other, other)
	}
	a := keys.Attestation{Slot: slot.Raw, Device: device.Raw}
	if v.cut != nil {
		v.cut(&a)
	}
	roots := append(v.more, root)
	v.deviceErr = keys.VerifyDevice(a.Device, roots, intermediates)
	return keys.VerifyAttestation(a, roots, intermediates, v.want)
}

func TestAttestationGood(t *testing.T) {
	facts, err := goodVector(t).verify(t)
	if err != nil {
		t.Fatal(err)
	}
	if facts.Serial != 20456123 || facts.FormFactor != "USB-C keychain" {
		t.Errorf("facts %+v", facts)
	}
	v := goodVector(t) // as older firmware: certified by a root that is not named after PIV
	v.middle, v.root = nil, template("Yubico U2F Root CA Serial 457200631", true)
	v.device = template("Yubico PIV Attestation", true)
	v.slot.ExtraExtensions[3].Value = []byte{0x81}
	if _, err = v.verify(t); err == nil || err.Error() != "attestation of slot 9c: edition: wanted the standard one, found FIPS" {
		t.Errorf("the FIPS edition: %v", err)
	}
	v.slot.ExtraExtensions[3].Value = []byte{1}
	if facts, err = v.verify(t); err != nil || facts.FormFactor != "USB-A keychain" {
		t.Errorf("%+v, %v", facts, err)
	}
	v.slot.ExtraExtensions = v.slot.ExtraExtensions[:3]
	if facts, err = v.verify(t); err != nil || facts.FormFactor != "" {
		t.Errorf("without form factor: %+v, %v", facts, err)
	}
}

// Whether certificates have expired by the clock does not count, nor when
// others that are known began: these were all valid together, long ago.
func TestAttestationOfThePast(t *testing.T) {
	v := goodVector(t)
	begin := time.Date(2004, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, c := range []*x509.Certificate{v.root, v.middle, v.device, v.slot} {
		c.NotBefore, c.NotAfter = begin.AddDate(0, i, 0), begin.AddDate(2, 0, 0)
	}
	v.slot.NotBefore = v.device.NotBefore
	v.more = append(v.more, readPEM(t, "yubico-piv-root.pem"))
	if _, err := v.verify(t); err != nil || v.deviceErr != nil {
		t.Errorf("%v, the device alone: %v", err, v.deviceErr)
	}
}

// One thing wrong at a time; the error names just that field. Without the slot,
// the device's certificate is refused for the same.
func TestAttestationBad(t *testing.T) {
	drop := func(v *vector, i int) {
		v.slot.ExtraExtensions = append(v.slot.ExtraExtensions[:i:i], v.slot.ExtraExtensions[i+1:]...)
	}
	expire := func(c *x509.Certificate) { // before any of the others began
		c.NotAfter = c.NotBefore.AddDate(-1, 0, 0)
		c.NotBefore = c.NotBefore.AddDate(-2, 0, 0)
	}
	other := newKey(t)
	for _, c := range []struct {
		name, field string
		change      func(*vector)
	}{
		{"device is no certificate", "device certificate", func(v *vector) { v.cut = func(a *keys.Attestation) { a.Device = a.Device[1:] } }},
		{"slot is no certificate", "slot certificate", func(v *vector) { v.cut = func(a *keys.Attestation) { a.Slot = append(a.Slot, 0) } }},
		{"self-made root", "device certificate", func(v *vector) { v.otherRoot = true }},
		{"expired root", "device certificate", func(v *vector) { v.root.NotAfter = v.root.NotBefore.Add(-time.Hour) }},
		{"expired intermediate", "device certificate", func(v *vector) { expire(v.middle) }},
		{"expired device", "device certificate", func(v *vector) { expire(v.device) }},
		{"expired with its device", "device certificate", func(v *vector) { expire(v.device); expire(v.slot) }},
		{"device before its issuer", "device certificate", func(v *vector) {
			v.middle.NotBefore = v.device.NotBefore.AddDate(5, 0, 0)
			v.device.NotAfter = v.device.NotBefore.AddDate(4, 0, 0)
			v.slot.NotAfter = v.device.NotAfter
		}},
		{"expired", "validity", func(v *vector) { expire(v.slot) }},
		{"ends before it begins", "validity", func(v *vector) { v.slot.NotAfter = v.slot.NotBefore.Add(-time.Hour) }},
		{"begins later", "validity", func(v *vector) { v.slot.NotBefore = v.slot.NotBefore.Add(time.Second) }},
		{"FIDO intermediate", "device certificate", func(v *vector) { v.middle.Subject.CommonName = "Yubico FIDO Attestation B 1" }},
		{"OpenPGP intermediate", "device certificate", func(v *vector) { v.middle.Subject.CommonName = "Yubico OPGP Attestation B 1" }},
		{"another applet, old", "device certificate", func(v *vector) { v.middle = nil }},
		{"device is no CA", "device certificate", func(v *vector) { v.device.IsCA = false }},
		{"another issuer", "issuer", func(v *vector) { v.slotIssuer = template("Somebody", true) }},
		{"another signer", "signature", func(v *vector) { v.slotSigner = other }},
		{"critical extension", "extensions", func(v *vector) {
			v.slot.ExtraExtensions = append(v.slot.ExtraExtensions, pkix.Extension{Id: oid(99), Critical: true, Value: []byte{5, 0}})
		}},
		{"another slot", "slot", func(v *vector) { v.slot.Subject.CommonName = "YubiKey PIV Attestation 9a" }},
		{"another key", "public key", func(v *vector) { v.slotKey = other }},
		{"no Yubico extensions", "firmware", func(v *vector) { v.slot.ExtraExtensions = nil }},
		{"no firmware", "firmware", func(v *vector) { drop(v, 0) }},
		{"firmware of 2 bytes", "firmware", func(v *vector) { v.slot.ExtraExtensions[0].Value = []byte{5, 7} }},
		{"old firmware", "firmware", func(v *vector) { v.slot.ExtraExtensions[0].Value = []byte{5, 6, 9} }},
		{"no serial", "serial", func(v *vector) { drop(v, 1) }},
		{"another serial", "serial", func(v *vector) { v.want.Serial++ }},
		{"serial is no INTEGER", "serial", func(v *vector) { v.slot.ExtraExtensions[1].Value = []byte{4, 1, 1} }},
		{"data after the serial", "serial", func(v *vector) {
			v.slot.ExtraExtensions[1].Value = append(v.slot.ExtraExtensions[1].Value, 0)
		}},
		{"serial above 32 bits", "serial", func(v *vector) {
			v.slot.ExtraExtensions[1].Value, _ = asn1.Marshal(int64(20456123 + 1<<32))
		}},
		{"negative serial", "serial", func(v *vector) { v.slot.ExtraExtensions[1].Value, _ = asn1.Marshal(int64(20456123 - 1<<32)) }},
		{"no policy", "policy", func(v *vector) { drop(v, 2) }},
		{"policy of 1 byte", "policy", func(v *vector) { v.slot.ExtraExtensions[2].Value = []byte{3} }},
		{"PIN once", "PIN policy", func(v *vector) { v.slot.ExtraExtensions[2].Value = []byte{2, 2} }},
		{"unknown PIN policy", "PIN policy", func(v *vector) { v.slot.ExtraExtensions[2].Value = []byte{4, 2} }},
		{"no touch", "touch policy", func(v *vector) { v.slot.ExtraExtensions[2].Value = []byte{3, 1} }},
		{"unknown touch policy", "touch policy", func(v *vector) { v.slot.ExtraExtensions[2].Value = []byte{3, 9} }},
		{"form factor of 2 bytes", "form factor", func(v *vector) { v.slot.ExtraExtensions[3].Value = []byte{3, 3} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := goodVector(t)
			c.change(v)
			_, err := v.verify(t)
			var bad *keys.AttestationError
			if !errors.As(err, &bad) || bad.Field != c.field || bad.Slot != keys.SlotRoot {
				t.Error(err)
			}
			var device *keys.AttestationError
			if is := errors.As(v.deviceErr, &device); is != (c.field == "device certificate") {
				t.Errorf("the device alone: %v", v.deviceErr)
			} else if is && (device.Field != bad.Field || device.Found != bad.Found || device.Slot != keys.SlotAttestation) {
				t.Errorf("the device alone: %v, with the slot: %v", device, bad)
			}
		})
	}
}
