package virtual

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// liar is a Token that lies at one command, for tests of what believes it. What
// it is told to do is done all the same, but for commands that it refuses.
type liar struct {
	*Token
	at, how string
	nth     int // at the n-th call; 0: at each
	calls   int
	said    map[keys.Slot]crypto.PublicKey // the keys that it says it has made
}

// newLiar reads a lie, as Liars has it.
func newLiar(t *Token, lie string) (*liar, error) {
	at, how, ok := strings.Cut(lie, ": ")
	l := &liar{Token: t, how: how, said: map[keys.Slot]crypto.PublicKey{}}
	name, nth, counted := strings.Cut(at, " #")
	if counted {
		if _, err := fmt.Sscan(nth, &l.nth); err != nil {
			ok = false
		}
	}
	if l.at = name; !ok {
		return nil, fmt.Errorf("lie %q is none", lie)
	}
	return l, nil
}

// lies reports whether this is the command to lie at, and the status word where
// that is the lie.
func (l *liar) lies(at string) (lies bool, refusal error) {
	if l.at != at {
		return false, nil
	}
	if l.calls++; l.nth != 0 && l.calls != l.nth {
		return false, nil
	}
	if l.how == "hang" {
		select {}
	}
	var sw statusWord
	if raw, err := hex.DecodeString(l.how); err == nil && len(raw) == 2 {
		sw = statusWord(raw[0])<<8 | statusWord(raw[1])
		return true, sw
	}
	return true, nil
}

// wrong is an answer in bytes that is none.
func (l *liar) wrong(right []byte) []byte {
	switch l.how {
	case "empty":
		return nil
	case "cut":
		return right[:len(right)-1]
	case "longer":
		return append(bytes.Clone(right), 0)
	case "zeros":
		return make([]byte, len(right))
	case "ones":
		return bytes.Repeat([]byte{0xff}, len(right))
	case "flipped":
		flipped := bytes.Clone(right)
		flipped[len(flipped)/2] ^= 1
		return flipped
	case "gigantic":
		return make([]byte, 2<<20)
	}
	return right
}

// anotherKey is an ed25519 key that no token has made.
func anotherKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// Info lies about what the token is.
func (l *liar) Info() (keys.Info, error) {
	lies, refusal := l.lies("Info")
	if refusal != nil {
		return keys.Info{}, l.refused(refusal)
	}
	i, err := l.Token.Info()
	if lies && err == nil {
		err = misdescribe(&i, l.how)
	}
	return i, err
}

// misdescribe makes of what a token is what it isn't.
func misdescribe(i *keys.Info, how string) (err error) {
	switch how {
	case "another serial":
		i.Serial++
	case "no keys":
		i.Keys = nil
	case "keys twice":
		i.Keys = append(i.Keys, i.Keys...)
	case "another key":
		for n := range i.Keys {
			if i.Keys[n].Public, err = keys.FromCrypto(anotherKey().Public()); err != nil {
				return err
			}
		}
	case "nothing":
		*i = keys.Info{}
	case "old firmware":
		i.Firmware = keys.Firmware{Major: 1}
	case "gigantic":
		i.FormFactor = strings.Repeat("x", 2<<20)
	}
	return nil
}

// Liars are readers whose tokens lie: at a command with its slot, perhaps at one of
// those alone (from 1), and how: "Attest 9c: another serial", "Info #2: another
// serial", "ChangePIN: 6985", which is a status word in place of what was asked for,
// "Generate 9a: key 0100...", an ed25519 key in hex, or "Sign 9c: hang", which never
// answers. "List: another serial" is a lie of what is in the readers.
func Liars(o session.Opener, lie string) session.Opener { return liars{o, lie} }

type liars struct {
	session.Opener
	lie string
}

func (l liars) Open(serial uint32) (session.Token, error) {
	token, err := l.Opener.Open(serial)
	if err != nil {
		return nil, err
	}
	return newLiar(token.(*Token), l.lie)
}

func (l liars) List() ([]keys.Info, error) {
	found, err := l.Opener.List()
	how, lies := strings.CutPrefix(l.lie, "List: ")
	switch {
	case err != nil || !lies:
	case how == "no token":
		found = nil
	case how == "each twice":
		found = append(found, found...)
	case how == "a thousand":
		for len(found) < 1000 {
			found = append(found, found[0])
			found[len(found)-1].Serial += uint32(len(found))
		}
	default:
		for n := range found {
			if err = misdescribe(&found[n], how); err != nil {
				break
			}
		}
	}
	return found, err
}

// Reset lies that it has reset the token.
func (l *liar) Reset() error {
	lies, refusal := l.lies("Reset")
	if lies {
		return l.refused(refusal) // or nothing was done
	}
	return l.Token.Reset()
}

// SetTries lies that it has set them.
func (l *liar) SetTries(management, pin *secret.Buffer, pinTries, pukTries int) error {
	lies, refusal := l.lies("SetTries")
	if lies {
		return l.managementError(refusal)
	}
	return l.Token.SetTries(management, pin, pinTries, pukTries)
}

// VerifyPIN lies that the PIN is right.
func (l *liar) VerifyPIN(pin *secret.Buffer) error {
	lies, refusal := l.lies("VerifyPIN")
	if lies {
		return l.pinError(refusal, false)
	}
	return l.Token.VerifyPIN(pin)
}

// ChangePIN lies that the PIN is changed.
func (l *liar) ChangePIN(old, new *secret.Buffer) error {
	lies, refusal := l.lies("ChangePIN")
	if lies {
		return l.pinError(refusal, false)
	}
	return l.Token.ChangePIN(old, new)
}

// ChangePUK lies that the PUK is changed.
func (l *liar) ChangePUK(old, new *secret.Buffer) error {
	lies, refusal := l.lies("ChangePUK")
	if lies {
		return l.pinError(refusal, true)
	}
	return l.Token.ChangePUK(old, new)
}

// Unblock lies that the new PIN is set.
func (l *liar) Unblock(puk, pin *secret.Buffer) error {
	lies, refusal := l.lies("Unblock")
	if lies {
		return l.pinError(refusal, true)
	}
	return l.Token.Unblock(puk, pin)
}

// SetManagement lies that the management key is set.
func (l *liar) SetManagement(old, new *secret.Buffer) error {
	lies, refusal := l.lies("SetManagement")
	if lies {
		return l.managementError(refusal)
	}
	return l.Token.SetManagement(old, new)
}

// Generate lies about the key that was made.
func (l *liar) Generate(management *secret.Buffer, s keys.Slot, algorithm keys.Algorithm, policy keys.Policy) (keys.PublicKey, error) {
	lies, refusal := l.lies(fmt.Sprintf("Generate %v", s))
	if refusal != nil {
		return keys.PublicKey{}, l.managementError(refusal)
	}
	public, err := l.Token.Generate(management, s, algorithm, policy)
	if !lies || err != nil {
		return public, err
	}
	kind, hexed, _ := strings.Cut(l.how, " ")
	raw, _ := hex.DecodeString(hexed)
	switch kind {
	case "key": // which its attestation has too
		l.said[s] = ed25519.PublicKey(raw)
		return l.made(l.said[s])
	case "raw": // as a child would say it that looks at nothing
		return keys.PublicKey{Algorithm: keys.Ed25519, Hex: hexed}, nil
	case "another": // which its attestation has too, and nobody can sign with here
		l.said[s] = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)).Public()
		return l.made(l.said[s])
	case "unattested":
		return l.made(anotherKey().Public())
	case "nothing":
		return keys.PublicKey{}, nil
	}
	return public, nil
}

// Import lies that it has imported the key, or imports another.
func (l *liar) Import(management *secret.Buffer, s keys.Slot, algorithm keys.Algorithm, seed *secret.Buffer, policy keys.Policy) error {
	lies, refusal := l.lies(fmt.Sprintf("Import %v", s))
	switch {
	case refusal != nil || lies && l.how == "nothing":
		return l.managementError(refusal)
	case lies && l.how == "another key":
		other, err := secret.Take(anotherKey().Seed())
		if err != nil {
			return err
		}
		defer other.Wipe()
		seed = other
	case lies && l.how == "another PIN policy":
		policy.PIN = keys.PINNever
	case lies && l.how == "another touch policy":
		policy.Touch = keys.TouchNever
	case lies && l.how == "another slot":
		s = keys.SlotTrial
	}
	return l.Token.Import(management, s, algorithm, seed, policy)
}

// Attest lies about a key.
func (l *liar) Attest(s keys.Slot) (keys.Attestation, error) {
	lies, refusal := l.lies(fmt.Sprintf("Attest %v", s))
	if refusal != nil {
		return keys.Attestation{}, l.refused(refusal)
	}
	right, err := l.Token.Attest(s)
	if err != nil {
		return right, err
	}
	policy, serial := l.applet.state.policyOf(s), l.applet.Serial()
	public := l.applet.state.publicOf(s)
	if said := l.said[s]; said != nil {
		right.Slot, err = l.applet.attest(s, policy, said, serial)
	}
	if !lies || err != nil {
		return right, err
	}
	part, how, _ := strings.Cut(l.how, " ")
	switch l.how {
	case "another serial":
		right.Slot, err = l.applet.attest(s, policy, public, serial+1)
	case "another slot":
		right.Slot, err = l.applet.attest(s+1, policy, public, serial)
	case "another key":
		right.Slot, err = l.applet.attest(s, policy, anotherKey().Public(), serial)
	case "another PIN policy":
		right.Slot, err = l.applet.attest(s, keys.Policy{PIN: keys.PINNever, Touch: policy.Touch}, public, serial)
	case "another touch policy":
		right.Slot, err = l.applet.attest(s, keys.Policy{PIN: policy.PIN, Touch: keys.TouchCached}, public, serial)
	case "no policy":
		right.Slot, err = l.applet.attest(s, keys.Policy{}, public, serial)
	case "the device twice":
		right.Slot = right.Device
	case "the slot twice":
		right.Device = right.Slot
	case "another maker":
		right.Device, err = anotherMaker(l.Firmware())
	default:
		l := &liar{Token: l.Token, how: how}
		if part == "device" {
			right.Device = l.wrong(right.Device)
		} else {
			right.Slot = l.wrong(right.Slot)
		}
	}
	return right, err
}

// Firmware is the token's.
func (t *Token) Firmware() keys.Firmware { return t.applet.Version() }

// anotherMaker is a device's certificate of a root of its own.
func anotherMaker(f keys.Firmware) ([]byte, error) {
	root, err := newAttestationRoot()
	if err != nil {
		return nil, err
	}
	_, certificate, err := root.certify(f)
	return certificate, err
}

func (st *state) policyOf(s keys.Slot) keys.Policy {
	k, _ := st.slot(s)
	return k.Policy
}

func (st *state) publicOf(s keys.Slot) crypto.PublicKey {
	k, _ := st.slot(s)
	return k.private.Public()
}

// Device lies about the device.
func (l *liar) Device() ([]byte, error) {
	lies, refusal := l.lies("Device")
	if refusal != nil {
		return nil, l.refused(refusal)
	}
	right, err := l.Token.Device()
	if !lies || err != nil {
		return right, err
	}
	if l.how == "another maker" {
		return anotherMaker(l.Firmware())
	}
	return l.wrong(right), nil
}

// Sign lies about a signature.
func (l *liar) Sign(s keys.Slot, pin *secret.Buffer, message []byte, touch func()) ([]byte, error) {
	lies, refusal := l.lies(fmt.Sprintf("Sign %v", s))
	if refusal != nil {
		return nil, l.refused(refusal)
	}
	if lies && l.how == "another message" {
		message = append(bytes.Clone(message), ' ')
	}
	right, err := l.Token.Sign(s, pin, message, touch)
	if !lies || err != nil {
		return right, err
	}
	if l.how == "another's" {
		return ed25519.Sign(anotherKey(), message), nil
	}
	return l.wrong(right), nil
}
