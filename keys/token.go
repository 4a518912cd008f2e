// Package keys knows tokens, the keys on them, and how people tell keys
// apart. It needs the standard library only; what speaks to a device lives in
// keys/yubikey and keys/virtual.
package keys

import "fmt"

// Slot is a PIV key slot.
type Slot byte

// The slots the ceremony fills, and the one that holds the device's own
// attestation key.
const (
	SlotAuthentication Slot = 0x9a // signs checkpoints of the log; PIN, no touch
	SlotRoot           Slot = 0x9c // signs root metadata; PIN, touch as planned
	SlotAge            Slot = 0x82 // the holder's age identity; PIN, touch always
	SlotTrial          Slot = 0x83 // for a moment: whether the token signs so much
	SlotAttestation    Slot = 0xf9 // signs attestations; made at the factory
)

func (s Slot) String() string { return fmt.Sprintf("%02x", byte(s)) }

// Touch is when a key wants the token to be touched.
type Touch string

// Touch policies of PIV.
const (
	TouchNever  Touch = "never"
	TouchAlways Touch = "always"
	TouchCached Touch = "cached" // valid for 15 seconds
)

// PINPolicy is when a key wants the PIN.
type PINPolicy string

// PIN policies of PIV.
const (
	PINNever  PINPolicy = "never"
	PINOnce   PINPolicy = "once"
	PINAlways PINPolicy = "always"
)

// Firmware is a token's firmware version, such as 5.7.4.
type Firmware struct{ Major, Minor, Patch int }

func (f Firmware) String() string { return fmt.Sprintf("%d.%d.%d", f.Major, f.Minor, f.Patch) }

// Less orders firmware versions.
func (f Firmware) Less(g Firmware) bool {
	if f.Major != g.Major {
		return f.Major < g.Major
	}
	if f.Minor != g.Minor {
		return f.Minor < g.Minor
	}
	return f.Patch < g.Patch
}

// Policy is what a key in a slot asks for before it is used.
type Policy struct {
	PIN   PINPolicy `json:"pin"`
	Touch Touch     `json:"touch"`
}

// SlotKey is a key found in a slot.
type SlotKey struct {
	Slot      Slot      `json:"slot"`
	Public    PublicKey `json:"public"`
	Policy    Policy    `json:"policy"`
	Generated bool      `json:"generated"` // made on the token; false: imported
}

// TriesUnknown is how many tries are left where firmware (below 5.3) does not
// tell.
const TriesUnknown = -1

// Info is what a token says about itself without any PIN.
type Info struct {
	Reader            string    `json:"reader"`
	Serial            uint32    `json:"serial"`
	Firmware          Firmware  `json:"firmware"`
	FormFactor        string    `json:"form_factor"` // "YubiKey 5C NFC"
	Edition           string    `json:"edition"`     // "", "FIPS" or "Bio"
	PINTries          int       `json:"pin_tries"`   // tries left; 0: blocked
	PUKTries          int       `json:"puk_tries"`   // the same, or TriesUnknown
	PINDefault        bool      `json:"pin_default"`
	PUKDefault        bool      `json:"puk_default"`
	ManagementDefault bool      `json:"management_default"`
	Keys              []SlotKey `json:"keys"` // in order of slot, without f9

	// Problem is why the card in the reader cannot be used at all, a half
	// sentence: "this isn't a YubiKey". What is known of it is filled in.
	Problem string `json:"problem,omitempty"`
}

// SerialText is a serial number as people read it: 20 456 123.
func SerialText(serial uint32) string {
	text := fmt.Sprint(serial)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + " " + text[i:]
	}
	return text
}

// Fresh reports whether the token is as it left the factory: no keys, and
// default PIN, PUK and management key, of which none is blocked.
func (i Info) Fresh() bool { return len(i.NotFresh()) == 0 }

// NotFresh says in what the token differs from one that left the factory, in
// half-sentences: "its PIN is not the default".
func (i Info) NotFresh() []string {
	var found []string
	for _, k := range i.Keys {
		found = append(found, fmt.Sprintf("slot %v holds a key", k.Slot))
	}
	for _, c := range []struct {
		differs bool
		said    string
	}{
		{i.PINTries == 0, "its PIN is blocked"},
		{i.PUKTries == 0, "its PUK is blocked"},
		{!i.PINDefault && i.PINTries > 0, "its PIN is not the default"},
		{!i.PUKDefault && i.PUKTries > 0, "its PUK is not the default"},
		{!i.ManagementDefault, "its management key is not the default"},
	} {
		if c.differs {
			found = append(found, c.said)
		}
	}
	return found
}

// Key returns the key in a slot.
func (i Info) Key(s Slot) (SlotKey, bool) {
	for _, k := range i.Keys {
		if k.Slot == s {
			return k, true
		}
	}
	return SlotKey{}, false
}

// Attestation is a slot's certificate and the device's, each DER.
type Attestation struct {
	Slot   []byte `json:"slot"`
	Device []byte `json:"device"`
}

// Origin is where a root key comes from.
type Origin string

// The origins of root keys.
const (
	FromToken   Origin = "token"   // the token makes it, and it never leaves that
	FromSession Origin = "session" // the session's process makes it; it is sealed, stored, and imported
	FromHeld    Origin = "held"    // the one that the session's process has: of an order before, or of an opened backup
)
