package keys_test

import (
	"bytes"
	"crypto/x509"
	"testing"

	"rootceremony/keys"
)

// FuzzAttestation: nothing but the certificates that the token made attests its key,
// whatever a card answers in their place.
func FuzzAttestation(f *testing.F) {
	root, device, slot := readPEM(f, "yubico-piv-root.pem"), readPEM(f, "yubikey-5.4.3-f9.pem"), readPEM(f, "yubikey-5.4.3-9a.pem")
	public, err := keys.FromCrypto(slot.PublicKey)
	if err != nil {
		f.Fatal(err)
	}
	want := keys.AttestationWant{
		Slot: keys.SlotAuthentication, Public: public, Serial: 15732500,
		Policy:      keys.Policy{PIN: keys.PINOnce, Touch: keys.TouchNever},
		MinFirmware: keys.Firmware{Major: 5, Minor: 4, Patch: 3},
	}
	roots := []*x509.Certificate{root}
	if _, err := keys.VerifyAttestation(keys.Attestation{Slot: slot.Raw, Device: device.Raw}, roots, nil, want); err != nil {
		f.Fatal(err)
	}
	f.Add(slot.Raw, device.Raw)
	f.Add(device.Raw, device.Raw)
	f.Add(slot.Raw, root.Raw)
	f.Fuzz(func(t *testing.T, ofSlot, ofDevice []byte) {
		_, err := keys.VerifyAttestation(keys.Attestation{Slot: ofSlot, Device: ofDevice}, roots, nil, want)
		if err == nil && !(bytes.Equal(ofSlot, slot.Raw) && bytes.Equal(ofDevice, device.Raw)) {
			t.Fatalf("taken: %x, %x", ofSlot, ofDevice)
		}
	})
}

// FuzzReadCarried: what is read are eight words, and they read as themselves.
func FuzzReadCarried(f *testing.F) {
	f.Add("flatfoot vacancy dogsled scavenger exceed recover virus October")
	f.Add("flatfootvacancydogsledscavengerexceedrecovervirusoctober")
	f.Add("Flatfoot-Vacancy, dogsled\tscavenger exceed recover virus")
	f.Fuzz(func(t *testing.T, typed string) {
		words, err := keys.ReadCarried(typed)
		if err != nil {
			return
		}
		if again, err := keys.ReadCarried(words); err != nil || again != words || len(bytes.Fields([]byte(words))) != 8 {
			t.Fatalf("%q reads as %q, and that as %q, %v", typed, words, again, err)
		}
	})
}
