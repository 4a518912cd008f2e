// Package virtual is the virtual YubiKey: the PIV applet of firmware 5.7 as a
// state machine (applet), two faces of it, and the drawer that keeps the tokens
// of a rehearsal as files (Drawer). One face is a session.Token in this process
// (Token), the other speaks APDUs to a reader (Card).
//
// Its secrets lie in plain files and in plain memory: they are a rehearsal's,
// and worth nothing.
package virtual

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/session"
)

// statusWord is how the applet answers a command that it refuses
// (ISO 7816-4, 5.1.3).
type statusWord uint16

// Status words of PIV (SP 800-73-4, part 2, 3). Wrong PINs are 63Cx, x being
// the tries left.
const (
	swWrongPIN          statusWord = 0x63c0
	swWrongLength       statusWord = 0x6700
	swSecurityStatus    statusWord = 0x6982
	swBlocked           statusWord = 0x6983
	swConditions        statusWord = 0x6985
	swNotFound          statusWord = 0x6a82
	swMemory            statusWord = 0x6581
	swInstruction       statusWord = 0x6d00
	swClass             statusWord = 0x6e00
	swWrongData         statusWord = 0x6a80
	swWrongParameters   statusWord = 0x6a86
	swReferenceNotFound statusWord = 0x6a88
)

// Identifiers of SP 800-78-4 (table 6-2), Yubico's, and SP 800-73-4 (part 1,
// table 4).
const (
	algorithm3DES       byte = 0x03
	algorithmAES128     byte = 0x08
	algorithmAES192     byte = 0x0a
	algorithmAES256     byte = 0x0c
	referencePIN        byte = 0x80
	referencePUK        byte = 0x81
	referenceManagement byte = 0x9b
)

const (
	// maxCommandData is how many bytes of data a command has at most, after
	// chaining.
	maxCommandData = 3072
	factoryTries   = 3
	touchCache     = 15 * time.Second // how long one is valid for touch policy cached
)

// The firmware with which commands came or changed.
var (
	firmwareMetadata   = keys.Firmware{Major: 5, Minor: 3}
	firmwareAES        = keys.Firmware{Major: 5, Minor: 4}
	firmwareAESDefault = keys.Firmware{Major: 5, Minor: 7} // of the management key
	firmwareMove       = keys.Firmware{Major: 5, Minor: 7}
	firmwareEd25519    = keys.Firmware{Major: 5, Minor: 7} // and X25519
)

func (w statusWord) Error() string { return fmt.Sprintf("status word %04x", uint16(w)) }

// triesLeft are the tries that a 63Cx or 6983 tells of.
func (w statusWord) triesLeft() (int, bool) {
	if w == swBlocked {
		return 0, true
	}
	return int(w & 0xf), w&0xfff0 == swWrongPIN
}

// managementAlgorithms are the key lengths of the management key's algorithms.
var managementAlgorithms = map[byte]int{algorithm3DES: 24, algorithmAES128: 16, algorithmAES192: 24, algorithmAES256: 32}

// applet is the PIV applet of one token. Its methods are the commands; they
// return a statusWord where the applet refuses, and other errors where the
// state could not be kept. An applet is used by one goroutine, but for Touched.
type applet struct {
	state *state
	save  func(*state) error // makes the state durable

	// What power-off forgets.
	pinVerified bool   // since power-on, for PIN policy once
	pinJust     bool   // by the command before, for PIN policy always
	managed     bool   // the management key was proved
	challenge   []byte // what the host is to encrypt with the management key
	witness     []byte // what the host is to decrypt with it
	touchedAt   time.Time

	button Button
	wait   time.Duration // for a touch to come
	now    func() time.Time
	after  func(time.Duration) <-chan time.Time

	wrong atomic.Int64 // PINs and PUKs since the applet was made

	mu      sync.Mutex
	pressed chan struct{}   // nil: the applet does not wait for a touch
	pulled  <-chan struct{} // closed when the token is pulled out; nil: it stays
}

func newApplet(st *state, save func(*state) error) *applet {
	return &applet{state: st, save: save, button: st.Button, wait: keys.TouchWait * time.Second, now: time.Now, after: time.After}
}

// PowerOff forgets what a token forgets when it is pulled out.
func (a *applet) PowerOff() {
	a.pinVerified, a.pinJust, a.managed = false, false, false
	a.challenge, a.witness, a.touchedAt = nil, nil, time.Time{}
}

func pad(value string) hexBytes {
	padded := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	copy(padded, value)
	return padded
}

// factory brings the applet to its factory state. The device's own key and
// certificate stay.
func (st *state) factory() {
	st.PIN = reference{pad(session.DefaultPIN), factoryTries, factoryTries}
	st.PUK = reference{pad(session.DefaultPUK), factoryTries, factoryTries}
	st.Management = management{Algorithm: algorithmAES192, Key: hexBytes(session.DefaultManagement)}
	if st.Firmware.Less(firmwareAESDefault) {
		st.Management.Algorithm = algorithm3DES
	}
	st.Slots, st.Objects = nil, nil
}

// change makes an edited state durable before it counts.
func (a *applet) change(edit func(*state)) error {
	next := *a.state
	next.Slots = slices.Clone(next.Slots)
	next.Objects = maps.Clone(next.Objects)
	edit(&next)
	if err := a.save(&next); err != nil {
		return err
	}
	a.state = &next
	return nil
}

// reference is the PIN (80) or the PUK (81).
func (st *state) reference(id byte) *reference {
	switch id {
	case referencePIN:
		return &st.PIN
	case referencePUK:
		return &st.PUK
	}
	return nil
}

// try is a try at the PIN or the PUK. It is spent, durably, before the values
// are compared, so that pulling the power never gives one back. then is what
// the right value changes, besides the counter.
func (a *applet) try(id byte, value []byte, then func(*state)) error {
	if a.state.reference(id) == nil {
		return swReferenceNotFound
	}
	if len(value) != 8 {
		return swWrongLength
	}
	if a.state.reference(id).Tries == 0 {
		return swBlocked
	}
	if err := a.change(func(st *state) { st.reference(id).Tries-- }); err != nil {
		return err
	}
	ref := a.state.reference(id)
	if subtle.ConstantTimeCompare(ref.Value, value) == 0 {
		a.wrong.Add(1)
		if ref.Tries == 0 {
			return swBlocked
		}
		return swWrongPIN | statusWord(min(ref.Tries, 0xf))
	}
	return a.change(func(st *state) {
		st.reference(id).Tries = ref.Max
		then(st)
	})
}

// VerifyPIN is VERIFY. value is the PIN padded with ff to 8 bytes.
func (a *applet) VerifyPIN(value []byte) error {
	a.pinVerified, a.pinJust = false, false
	if err := a.try(referencePIN, value, func(*state) {}); err != nil {
		return err
	}
	a.pinVerified, a.pinJust = true, true
	return nil
}

// goodPIN reports whether a padded value may become a PIN or PUK: 6 to 8 bytes.
func goodPIN(value []byte) bool {
	end := slices.Index(value, 0xff)
	if end < 0 {
		end = len(value)
	}
	return len(value) == 8 && end >= 6 && !slices.ContainsFunc(value[end:], func(b byte) bool { return b != 0xff })
}

// ChangeReference is CHANGE REFERENCE DATA: id 80 the PIN, 81 the PUK. The old
// value is looked at before the new one, so a wrong one costs a try.
func (a *applet) ChangeReference(id byte, old, new []byte) error {
	a.pinJust = false
	return a.replace(id, old, id, new)
}

// Unblock is RESET RETRY COUNTER: it sets a new PIN by the PUK.
func (a *applet) Unblock(puk, pin []byte) error {
	a.pinVerified, a.pinJust = false, false
	return a.replace(referencePUK, puk, referencePIN, pin)
}

// replace sets the PIN or PUK of an id to a new value, by the value of another
// or the same.
func (a *applet) replace(by byte, value []byte, id byte, new []byte) error {
	good := goodPIN(new)
	err := a.try(by, value, func(st *state) {
		if ref := st.reference(id); good {
			ref.Value, ref.Tries = slices.Clone(new), ref.Max
		}
	})
	if err == nil && !good {
		return swWrongData
	}
	return err
}

// SetRetries is SET PIN RETRIES: both PIN and PUK become the default again.
// It wants the management key and the PIN.
func (a *applet) SetRetries(pinTries, pukTries int) error {
	if !a.managed || !a.pinVerified {
		return swSecurityStatus
	}
	if pinTries < 1 || pinTries > 255 || pukTries < 1 || pukTries > 255 {
		return swWrongParameters
	}
	a.pinVerified, a.pinJust = false, false
	return a.change(func(st *state) {
		st.PIN = reference{pad(session.DefaultPIN), pinTries, pinTries}
		st.PUK = reference{pad(session.DefaultPUK), pukTries, pukTries}
	})
}

// ManagementChallenge is GENERAL AUTHENTICATE of 9b, first half: a block that
// the host is to encrypt with the management key.
func (a *applet) ManagementChallenge() (algorithm byte, challenge []byte) {
	a.managed, a.pinJust, a.witness = false, false, nil
	a.challenge = make([]byte, blockSize(a.state.Management.Algorithm))
	_, _ = rand.Read(a.challenge) // never fails: it ends the program instead
	return a.state.Management.Algorithm, slices.Clone(a.challenge)
}

// AuthenticateManagement is its second half.
func (a *applet) AuthenticateManagement(response []byte) error {
	challenge := a.challenge
	a.challenge = nil
	if challenge == nil {
		return swConditions
	}
	want, err := a.state.Management.encrypt(challenge)
	if err != nil {
		return err
	}
	return a.manage(want, response)
}

// ManagementWitness is the first half of the mutual form: an encrypted block
// that the host is to decrypt with the management key.
func (a *applet) ManagementWitness() ([]byte, error) {
	a.managed, a.pinJust, a.challenge = false, false, nil
	a.witness = make([]byte, blockSize(a.state.Management.Algorithm))
	_, _ = rand.Read(a.witness) // never fails: it ends the program instead
	return a.state.Management.encrypt(a.witness)
}

// AuthenticateMutually is its second half: the decrypted witness, and a block
// that the token encrypts in its turn.
func (a *applet) AuthenticateMutually(witness, challenge []byte) (response []byte, err error) {
	want := a.witness
	a.witness = nil
	if want == nil {
		return nil, swConditions
	}
	if response, err = a.state.Management.encrypt(challenge); err != nil {
		return nil, err
	}
	return response, a.manage(want, witness)
}

// manage compares what proves the management key, and waits for a touch where
// the key wants one.
func (a *applet) manage(want, got []byte) error {
	if subtle.ConstantTimeCompare(want, got) == 0 {
		return swSecurityStatus
	}
	if a.state.Management.Touch && !a.waitForTouch() {
		return swSecurityStatus
	}
	a.managed = true
	return nil
}

func blockSize(algorithm byte) int {
	if algorithm == algorithm3DES {
		return des.BlockSize
	}
	return aes.BlockSize
}

// encrypt is ECB of one block.
func (m management) encrypt(block []byte) ([]byte, error) {
	if len(block) != blockSize(m.Algorithm) {
		return nil, swWrongData
	}
	var c cipher.Block
	var err error
	if m.Algorithm == algorithm3DES {
		c, err = des.NewTripleDESCipher(m.Key)
	} else {
		c, err = aes.NewCipher(m.Key)
	}
	if err != nil {
		return nil, swWrongData
	}
	out := make([]byte, len(block))
	c.Encrypt(out, block)
	return out, nil
}

// SetManagementKey is SET MANAGEMENT KEY. touch: its use wants a touch.
func (a *applet) SetManagementKey(algorithm byte, key []byte, touch bool) error {
	if !a.managed {
		return swSecurityStatus
	}
	n, known := managementAlgorithms[algorithm]
	if !known || algorithm != algorithm3DES && a.state.Firmware.Less(firmwareAES) {
		return swWrongData
	}
	if len(key) != n {
		return swWrongLength
	}
	return a.change(func(st *state) { st.Management = management{algorithm, slices.Clone(key), touch} })
}

// Reset is RESET: only when PIN and PUK are both blocked.
func (a *applet) Reset() error {
	if a.state.PIN.Tries > 0 || a.state.PUK.Tries > 0 {
		return swConditions
	}
	a.PowerOff()
	return a.change((*state).factory)
}

// Version is GET VERSION.
func (a *applet) Version() keys.Firmware { return a.state.Firmware }

// Serial is GET SERIAL.
func (a *applet) Serial() uint32 { return a.state.Serial }

// ReferenceMetadata is GET METADATA of 80 and 81.
func (a *applet) ReferenceMetadata(id byte) (isDefault bool, left, most int, err error) {
	ref := a.state.reference(id)
	if ref == nil {
		return false, 0, 0, swReferenceNotFound
	}
	factory := map[byte]string{referencePIN: session.DefaultPIN, referencePUK: session.DefaultPUK}[id]
	return slices.Equal(ref.Value, pad(factory)), ref.Tries, ref.Max, nil
}

// ManagementMetadata is GET METADATA of 9b.
func (a *applet) ManagementMetadata() (algorithm byte, isDefault bool) {
	m := a.state.Management
	return m.Algorithm, string(m.Key) == session.DefaultManagement
}

// KeyMetadata is GET METADATA of a key slot.
func (a *applet) KeyMetadata(s keys.Slot) (keys.SlotKey, error) {
	k, found := a.state.slot(s)
	if !found {
		return keys.SlotKey{}, swReferenceNotFound
	}
	public, err := keys.Describe(k.private.Public())
	if err != nil {
		return keys.SlotKey{}, err
	}
	return keys.SlotKey{Slot: k.Slot, Public: public, Policy: k.Policy, Generated: k.Generated}, nil
}

// Slots are the slots that hold a key, in order.
func (a *applet) Slots() []keys.Slot {
	var found []keys.Slot
	for _, k := range a.state.Slots {
		found = append(found, k.Slot)
	}
	return found
}
