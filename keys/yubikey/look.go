//go:build cgo

package yubikey

import (
	"cmp"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"rootceremony/keys"
)

// Application identifiers.
var (
	aidPIV        = []byte{0xa0, 0x00, 0x00, 0x03, 0x08}
	aidManagement = []byte{0xa0, 0x00, 0x00, 0x05, 0x27, 0x47, 0x11, 0x17}
	aidOTP        = []byte{0xa0, 0x00, 0x00, 0x05, 0x27, 0x20, 0x01, 0x01}
)

// keySlots are the slots of keys and where the certificate of each is (SP
// 800-73-4, part 1, tables 3 and 4b), in order.
var keySlots = func() []slotObject {
	slots := []slotObject{{0x9a, 0x5fc105}, {0x9c, 0x5fc10a}, {0x9d, 0x5fc10b}, {0x9e, 0x5fc101}}
	for i := range 20 {
		slots = append(slots, slotObject{keys.Slot(0x82 + i), uint32(0x5fc10d + i)})
	}
	slices.SortFunc(slots, func(a, b slotObject) int { return cmp.Compare(a.slot, b.slot) })
	return slots
}()

type slotObject struct {
	slot   keys.Slot
	object uint32
}

// Why a card cannot be used.
const (
	noYubiKey   = "this isn't a YubiKey: no key can be made or used on it here (hint: use a YubiKey 5; a key of the trusted root that it holds signs with its holder's own tool, and the file is collected)"
	otherPIV    = "this is a PIV card that isn't a YubiKey: no key can be made or used on it here (hint: use a YubiKey 5; a key of the trusted root that it holds signs with its holder's own tool, and the file is collected)"
	pivDisabled = "its PIV application is switched off (hint: on another machine, ykman config usb --enable PIV; or use another token)"
	inUse       = "another program uses it, it still waits for a touch, or it is slow and still at work (hint: touch it if it blinks, or close that program; if neither helps, pull it out and insert it again)"
	tooSlow     = "it has not answered for %v: it is slow, or hangs (hint: pull it out and insert it again; if it is slow again, use another token)"
	unreadable  = "it does not answer as a YubiKey does: %v (hint: pull it out and insert it again; if it answers so again, use another token)"
)

// The firmware with which commands came.
var (
	firmwareSerial   = keys.Firmware{Major: 5}
	firmwareMetadata = keys.Firmware{Major: 5, Minor: 3}
	firmwareAttest   = keys.Firmware{Major: 4, Minor: 3}
)

// identify reads what a token is, and leaves its PIV application selected. A
// card that is no usable YubiKey has a Problem, and that is no error.
func (c *card) identify() (keys.Info, error) {
	var i keys.Info
	device, err := c.deviceInfo()
	if err != nil && status(err) == 0 {
		return i, err
	}
	form := byte(0)
	if v := device[0x04]; len(v) == 1 {
		form = v[0]
	}
	_, nfc := device[0x0d]
	if v := device[0x02]; len(v) == 4 {
		i.Serial = binary.BigEndian.Uint32(v)
	}
	if v := device[0x05]; len(v) == 3 {
		i.Firmware = keys.Firmware{Major: int(v[0]), Minor: int(v[1]), Patch: int(v[2])}
	}
	if _, err := c.command(0xa4, 4, 0, aidPIV); err != nil {
		if status(err) == 0 {
			return i, err
		}
		i.Problem = noYubiKey
		if device != nil {
			i.Problem = pivDisabled
		}
		return i, nil
	}
	version, err := c.command(0xfd, 0, 0, nil)
	if err != nil && status(err) == 0 {
		return i, err
	}
	if err != nil || len(version) != 3 {
		i.Problem = otherPIV
		return i, nil
	}
	i.Firmware = keys.Firmware{Major: int(version[0]), Minor: int(version[1]), Patch: int(version[2])}
	if i.Serial, err = c.serial(i.Firmware, i.Serial); err != nil {
		return i, err
	}
	i.FormFactor, i.Edition = formFactor(form, nfc, i.Firmware)
	return i, nil
}

// deviceInfo is the management application's READ CONFIG (Yubico): a length,
// and TLVs. Cards without that application answer with a statusError.
func (c *card) deviceInfo() (map[uint32][]byte, error) {
	if _, err := c.command(0xa4, 4, 0, aidManagement); err != nil {
		return nil, err
	}
	raw, err := c.command(0x1d, 0, 0, nil)
	if err != nil {
		return map[uint32][]byte{}, err // firmware below 4.1
	}
	if len(raw) == 0 || int(raw[0]) != len(raw)-1 {
		return nil, fmt.Errorf("device information of %d bytes makes no sense", len(raw))
	}
	return templates(raw[1:])
}

// serial asks for the serial number; known is what the device information said
// (0: nothing). It selects the PIV application again where it left it.
func (c *card) serial(f keys.Firmware, known uint32) (uint32, error) {
	var raw []byte
	var err error
	if !f.Less(firmwareSerial) {
		raw, err = c.command(0xf8, 0, 0, nil)
	} else if known == 0 {
		if _, err = c.command(0xa4, 4, 0, aidOTP); err != nil {
			return 0, err
		}
		if raw, err = c.command(0x01, 0x10, 0, nil); err == nil {
			_, err = c.command(0xa4, 4, 0, aidPIV)
		}
	} else {
		return known, nil
	}
	if err != nil {
		return 0, err
	}
	if len(raw) != 4 {
		return 0, fmt.Errorf("serial number of %d bytes", len(raw))
	}
	return binary.BigEndian.Uint32(raw), nil
}

// formFactor names a YubiKey by the code in its device information.
func formFactor(code byte, nfc bool, f keys.Firmware) (name, edition string) {
	if code&0x80 != 0 {
		edition = "FIPS"
	}
	generation := fmt.Sprintf("YubiKey %d", f.Major)
	switch code & 0xf {
	case 1:
		name = generation
		if nfc {
			name += " NFC"
		}
	case 2:
		name = generation + " Nano"
	case 3:
		name = generation + "C"
		if nfc {
			name += " NFC"
		}
	case 4:
		name = generation + "C Nano"
	case 5:
		name = generation + "Ci"
	case 6:
		return "YubiKey Bio", "Bio"
	case 7:
		return "YubiKey C Bio", "Bio"
	default:
		name = generation
	}
	return name, edition
}

// look reads all that a token says about itself without a PIN.
func (c *card) look() (keys.Info, error) {
	i, err := c.identify()
	if err != nil || i.Problem != "" {
		return i, err
	}
	if i.Firmware.Less(firmwareMetadata) {
		return i, c.lookOld(&i)
	}
	pin, err := c.metadata(0x80)
	if err != nil {
		return i, err
	}
	puk, err := c.metadata(0x81)
	if err != nil {
		return i, err
	}
	management, err := c.metadata(0x9b)
	if err != nil {
		return i, err
	}
	i.PINDefault, i.PINTries = isDefault(pin), triesLeft(pin)
	i.PUKDefault, i.PUKTries = isDefault(puk), triesLeft(puk)
	i.ManagementDefault = isDefault(management)
	for _, s := range keySlots {
		m, err := c.metadata(byte(s.slot))
		if status(err) == swReferenceNotFound || status(err) == swNotFound {
			continue
		}
		if err != nil {
			return i, err
		}
		k, err := slotKey(s.slot, m)
		if err != nil {
			return i, fmt.Errorf("slot %v: %w", s.slot, err)
		}
		i.Keys = append(i.Keys, k)
	}
	return i, nil
}

// lookOld is for firmware without GET METADATA: it tells neither the tries of
// the PUK nor whether anything is the default, and its keys are found by their
// attestations or, where they were imported, by the certificates beside them.
func (c *card) lookOld(i *keys.Info) error {
	i.PUKTries = keys.TriesUnknown
	_, err := c.command(0x20, 0, 0x80, nil)
	switch sw := status(err); {
	case sw&0xfff0 == 0x63c0:
		i.PINTries = int(sw & 0xf)
	case err != nil && sw != swBlocked:
		return err
	}
	for _, s := range keySlots {
		k := keys.SlotKey{Slot: s.slot}
		certificate, err := c.attestation(s.slot, i.Firmware)
		if err != nil {
			return err
		}
		if certificate != nil {
			k.Generated, k.Policy = true, keys.AttestedPolicy(certificate)
		} else if certificate, err = c.certificate(s.object); err != nil {
			return err
		}
		if certificate == nil {
			continue
		}
		if k.Public, err = keys.Describe(certificate.PublicKey); err != nil {
			return err
		}
		i.Keys = append(i.Keys, k)
	}
	return nil
}

// attestation is Yubico's ATTEST; nil: the token attests nothing there.
func (c *card) attestation(s keys.Slot, f keys.Firmware) (*x509.Certificate, error) {
	if f.Less(firmwareAttest) {
		return nil, nil
	}
	der, err := c.command(0xf9, byte(s), 0, nil)
	if err != nil {
		return nil, unlessStatus(err)
	}
	return x509.ParseCertificate(der)
}

// certificate is GET DATA of a certificate; nil: there is none that can be read.
func (c *card) certificate(object uint32) (*x509.Certificate, error) {
	raw, err := c.command(0xcb, 0x3f, 0xff, []byte{0x5c, 3, byte(object >> 16), byte(object >> 8), byte(object)})
	if err != nil {
		return nil, unlessStatus(err)
	}
	outer, err := templates(raw)
	if err != nil {
		return nil, nil
	}
	inner, err := templates(outer[0x53])
	if err != nil {
		return nil, nil
	}
	certificate, err := x509.ParseCertificate(inner[0x70])
	if err != nil {
		return nil, nil // compressed, or none: not ours to mind
	}
	return certificate, nil
}

// unlessStatus: a refusal of the token is an answer, not an error.
func unlessStatus(err error) error {
	if status(err) != 0 {
		return nil
	}
	return err
}

// metadata is GET METADATA (Yubico).
func (c *card) metadata(id byte) (map[uint32][]byte, error) {
	raw, err := c.command(0xf7, 0, id, nil)
	if err != nil {
		return nil, err
	}
	return templates(raw)
}

func isDefault(m map[uint32][]byte) bool { return len(m[0x05]) == 1 && m[0x05][0] == 1 }

// triesLeft: the most, and what is left.
func triesLeft(m map[uint32][]byte) int {
	if len(m[0x06]) != 2 {
		return 0
	}
	return int(m[0x06][1])
}

// slotKey reads the metadata of a key.
func slotKey(s keys.Slot, m map[uint32][]byte) (keys.SlotKey, error) {
	if len(m[0x01]) != 1 || len(m[0x02]) != 2 || len(m[0x03]) != 1 {
		return keys.SlotKey{}, errors.New("metadata without algorithm, policy or origin")
	}
	public, err := publicKey(m[0x01][0], m[0x04])
	if err != nil {
		return keys.SlotKey{}, err
	}
	return keys.SlotKey{Slot: s, Public: public, Policy: keys.PolicyOf(m[0x02][0], m[0x02][1]), Generated: m[0x03][0] == 1}, nil
}

// publicKey reads a public key as GET METADATA has it (SP 800-73-4, part 2,
// 3.3.2; Yubico's numbers for the curves of firmware 5.7).
func publicKey(algorithm byte, raw []byte) (keys.PublicKey, error) {
	t, err := templates(raw)
	if err != nil {
		return keys.PublicKey{}, err
	}
	point := t[0x86]
	var public any
	switch algorithm {
	case 0x11:
		public, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	case 0x14:
		public, err = ecdsa.ParseUncompressedPublicKey(elliptic.P384(), point)
	case 0xe0:
		public = ed25519.PublicKey(point)
	case 0xe1:
		public, err = ecdh.X25519().NewPublicKey(point)
	case 0x05, 0x06, 0x07, 0x16:
		public = &rsa.PublicKey{N: new(big.Int).SetBytes(t[0x81]), E: int(new(big.Int).SetBytes(t[0x82]).Int64())}
	default:
		return keys.PublicKey{Algorithm: keys.Algorithm(fmt.Sprintf("algorithm-%02x", algorithm)), Hex: fmt.Sprintf("%x", raw)}, nil
	}
	if err != nil {
		return keys.PublicKey{}, err
	}
	return keys.Describe(public)
}

// templates reads BER-TLVs (ISO 7816-4, 5.2.2) with tags of up to two bytes;
// of two with the same tag the first counts.
func templates(b []byte) (map[uint32][]byte, error) {
	found := map[uint32][]byte{}
	broken := errors.New("data of the token makes no sense")
	for len(b) > 0 {
		tag := uint32(b[0])
		if b = b[1:]; tag&0x1f == 0x1f {
			if len(b) == 0 {
				return nil, broken
			}
			tag, b = tag<<8|uint32(b[0]), b[1:]
		}
		if len(b) == 0 {
			return nil, broken
		}
		n := int(b[0])
		b = b[1:]
		if n > 0x82 || n == 0x80 {
			return nil, broken
		}
		if long := n - 0x80; long > 0 {
			if len(b) < long {
				return nil, broken
			}
			n = 0
			for _, c := range b[:long] {
				n = n<<8 | int(c)
			}
			b = b[long:]
		}
		if len(b) < n {
			return nil, broken
		}
		if _, twice := found[tag]; !twice {
			found[tag] = b[:n]
		}
		b = b[n:]
	}
	return found, nil
}
