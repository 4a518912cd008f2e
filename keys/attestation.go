package keys

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"
)

// AttestationWant is what a slot's attestation must say.
type AttestationWant struct {
	Slot        Slot
	Public      PublicKey
	Serial      uint32
	Policy      Policy
	MinFirmware Firmware
}

// AttestationFacts are what a good attestation says.
type AttestationFacts struct {
	Serial     uint32   `json:"serial"`
	Firmware   Firmware `json:"firmware"`
	Policy     Policy   `json:"policy"`
	FormFactor string   `json:"form_factor"` // "USB-C keychain"; "": not said
}

// AttestationError names the field of an attestation that is not as wanted.
type AttestationError struct {
	Slot               Slot
	Field, Want, Found string
}

func (e *AttestationError) Error() string {
	return fmt.Sprintf("attestation of slot %v: %s: wanted %s, found %s", e.Slot, e.Field, e.Want, e.Found)
}

// Object identifiers of Yubico's attestations.
var (
	oidFirmware   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 3}
	oidSerial     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 7}
	oidPolicy     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 8}
	oidFormFactor = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 9}
)

var (
	pinPolicies   = map[byte]PINPolicy{1: PINNever, 2: PINOnce, 3: PINAlways}
	touchPolicies = map[byte]Touch{1: TouchNever, 2: TouchAlways, 3: TouchCached}
	formFactors   = map[byte]string{
		1: "USB-A keychain", 2: "USB-A nano", 3: "USB-C keychain", 4: "USB-C nano", 5: "USB-C and Lightning keychain",
	}
)

// VerifyDevice checks that a certificate, DER, is that of a genuine token's PIV
// applet: one that leads to a root and may sign attestations. It proves
// nothing about the token that showed it, which anyone can copy it from; a
// token of another maker is found by it before anything is made on it. Errors
// are *AttestationError.
func VerifyDevice(device []byte, roots, intermediates []*x509.Certificate) error {
	_, err := verifyDevice(device, roots, intermediates, SlotAttestation)
	return err
}

// verifyDevice is VerifyDevice, of which errors name the slot that is attested.
func verifyDevice(der []byte, roots, intermediates []*x509.Certificate, attested Slot) (*x509.Certificate, error) {
	fail := func(wanted, found string) (*x509.Certificate, error) {
		return nil, &AttestationError{attested, "device certificate", wanted, found}
	}
	device, err := x509.ParseCertificate(der)
	if err != nil {
		return fail("a certificate", err.Error())
	}
	issuers, err := chain(device, roots, intermediates)
	if err != nil {
		return fail("a chain to a known attestation root", err.Error())
	}
	// Yubico's newer roots certify other applets too, by intermediates that are
	// named after the applet.
	ofPIV := device.Issuer.CommonName
	if len(issuers) < 2 { // older ones: certified by a root, which may be named after U2F
		ofPIV = device.Subject.CommonName
	}
	if !strings.HasPrefix(ofPIV, "Yubico PIV ") {
		return fail("one of the PIV applet", fmt.Sprintf("%q issued by %q", device.Subject.CommonName, device.Issuer.CommonName))
	}
	if !device.BasicConstraintsValid || !device.IsCA {
		return fail("one that may sign attestations", "one that may not")
	}
	return device, nil
}

// VerifyAttestation checks that a key was made in a slot of a genuine token,
// and is the wanted one, in every field. The error of a field that is not as
// wanted is an *AttestationError.
//
// Validity periods are compared with each other, and not with the clock: those
// of Yubico's certificates begin and end with the series, a key is as good after
// that as before, and the laptop's clock may be wrong. There must have been a
// time at which the device's certificate and all that it leads to were valid,
// and the slot's has the device's period, which tokens copy into it.
func VerifyAttestation(a Attestation, roots, intermediates []*x509.Certificate, want AttestationWant) (AttestationFacts, error) {
	fail := func(field, wanted, found string) (AttestationFacts, error) {
		return AttestationFacts{}, &AttestationError{want.Slot, field, wanted, found}
	}
	device, err := verifyDevice(a.Device, roots, intermediates, want.Slot)
	if err != nil {
		return AttestationFacts{}, err
	}
	slot, err := x509.ParseCertificate(a.Slot)
	if err != nil {
		return fail("slot certificate", "a certificate", err.Error())
	}
	if !bytes.Equal(slot.RawIssuer, device.RawSubject) {
		return fail("issuer", fmt.Sprintf("%q", device.Subject.CommonName), fmt.Sprintf("%q", slot.Issuer.CommonName))
	}
	if err := slot.CheckSignatureFrom(device); err != nil {
		return fail("signature", "one by the device's key", err.Error())
	}
	if !slot.NotBefore.Equal(device.NotBefore) || !slot.NotAfter.Equal(device.NotAfter) {
		return fail("validity", period(device)+", as the device's certificate has it", period(slot))
	}
	if len(slot.UnhandledCriticalExtensions) > 0 {
		return fail("extensions", "no unknown critical ones", fmt.Sprint(slot.UnhandledCriticalExtensions))
	}
	if name := fmt.Sprintf("YubiKey PIV Attestation %v", want.Slot); slot.Subject.CommonName != name {
		return fail("slot", fmt.Sprintf("%q", name), fmt.Sprintf("%q", slot.Subject.CommonName))
	}
	public, err := FromCrypto(slot.PublicKey)
	if err != nil {
		return fail("public key", want.Public.Hex, err.Error())
	}
	if public != want.Public {
		return fail("public key", fmt.Sprintf("%s %s", want.Public.Algorithm, want.Public.Hex), fmt.Sprintf("%s %s", public.Algorithm, public.Hex))
	}
	return verifyExtensions(slot, want)
}

// verifyExtensions checks what Yubico's extensions of a slot's certificate say.
func verifyExtensions(slot *x509.Certificate, want AttestationWant) (facts AttestationFacts, err error) {
	fail := func(field, wanted, found string) (AttestationFacts, error) {
		return AttestationFacts{}, &AttestationError{want.Slot, field, wanted, found}
	}
	firmware, found := extension(slot, oidFirmware)
	if !found || len(firmware) != 3 {
		return fail("firmware", "3 bytes", foundBytes(firmware, found))
	}
	facts.Firmware = Firmware{int(firmware[0]), int(firmware[1]), int(firmware[2])}
	if facts.Firmware.Less(want.MinFirmware) {
		return fail("firmware", want.MinFirmware.String()+" or newer", facts.Firmware.String())
	}

	raw, found := extension(slot, oidSerial)
	serial := new(big.Int)
	if rest, err := asn1.Unmarshal(raw, &serial); !found || err != nil || len(rest) > 0 {
		return fail("serial", "an INTEGER", foundBytes(raw, found))
	}
	if !serial.IsInt64() || serial.Int64() < 0 || serial.Int64() > math.MaxUint32 || uint32(serial.Int64()) != want.Serial {
		return fail("serial", fmt.Sprint(want.Serial), serial.String())
	}
	facts.Serial = want.Serial

	policy, found := extension(slot, oidPolicy)
	if !found || len(policy) != 2 {
		return fail("policy", "2 bytes", foundBytes(policy, found))
	}
	facts.Policy = PolicyOf(policy[0], policy[1])
	if facts.Policy.PIN != want.Policy.PIN {
		return fail("PIN policy", string(want.Policy.PIN), orByte(string(facts.Policy.PIN), policy[0]))
	}
	if facts.Policy.Touch != want.Policy.Touch {
		return fail("touch policy", string(want.Policy.Touch), orByte(string(facts.Policy.Touch), policy[1]))
	}

	if form, found := extension(slot, oidFormFactor); found {
		if len(form) != 1 {
			return fail("form factor", "1 byte", foundBytes(form, found))
		}
		if form[0]&0x80 != 0 {
			return fail("edition", "the standard one", "FIPS")
		}
		facts.FormFactor = formFactors[form[0]]
	}
	return facts, nil
}

// PolicyOf is the policy of the codes that attestations and metadata hold;
// codes that have no name here become "".
func PolicyOf(pin, touch byte) Policy { return Policy{pinPolicies[pin], touchPolicies[touch]} }

// AttestedPolicy is the policy in a slot's certificate, unverified; where it
// has none, the zero Policy.
func AttestedPolicy(slot *x509.Certificate) Policy {
	policy, found := extension(slot, oidPolicy)
	if !found || len(policy) != 2 {
		return Policy{}
	}
	return PolicyOf(policy[0], policy[1])
}

// period is a certificate's validity, for people.
func period(c *x509.Certificate) string {
	return c.NotBefore.UTC().Format(time.RFC3339) + " to " + c.NotAfter.UTC().Format(time.RFC3339)
}

// chain returns who certified a device, up to one of the roots, at a time when
// all of them were valid. If there was one, they also were when the youngest of
// them began to be.
func chain(device *x509.Certificate, roots, intermediates []*x509.Certificate) ([]*x509.Certificate, error) {
	o := x509.VerifyOptions{
		Roots:         x509.NewCertPool(),
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	times := []time.Time{device.NotBefore}
	for _, c := range roots {
		o.Roots.AddCert(c)
	}
	for _, c := range intermediates {
		o.Intermediates.AddCert(c)
	}
	for _, c := range slices.Concat(roots, intermediates) {
		if c.NotBefore.After(device.NotBefore) {
			times = append(times, c.NotBefore)
		}
	}
	var failed error
	for _, o.CurrentTime = range times {
		chains, err := device.Verify(o)
		if err == nil {
			return chains[0][1:], nil
		}
		failed = err
	}
	return nil, failed
}

// extension returns the value of a certificate's extension. The parser has
// refused certificates that hold one twice.
func extension(c *x509.Certificate, id asn1.ObjectIdentifier) ([]byte, bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return e.Value, true
		}
	}
	return nil, false
}

func foundBytes(value []byte, found bool) string {
	if !found {
		return "nothing"
	}
	return fmt.Sprintf("%x", value)
}

// orByte names a policy, or gives the code of one that has no name here.
func orByte(name string, code byte) string {
	if name == "" {
		return fmt.Sprintf("the unknown policy %02x", code)
	}
	return name
}
