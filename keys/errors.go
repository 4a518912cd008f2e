package keys

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// TouchWait is for how many seconds a token waits to be touched.
const TouchWait = 15

// What can go wrong with a token and has no number to tell.
var (
	// ErrNotTouched: the token waited for a touch, and gave up.
	ErrNotTouched = fmt.Errorf("the token was not touched within %d seconds, and the key was not used (hint: try again, and touch it when it blinks)", TouchWait)
	// ErrRemoved: the token was pulled out in the middle.
	ErrRemoved = errors.New("the token was pulled out (hint: insert it again; what it was doing may have happened)")
	// ErrManagementKey: the token did not take the management key.
	ErrManagementKey = errors.New("the token's management key is not the expected one: another program has set one, or the token does not work (hint: look what is on it before anything is done to it; it is of use again once it is wiped, which erases its keys)")
	// ErrNoService: the smart-card service of the machine does not answer.
	ErrNoService = errors.New("the smart-card service pcscd does not answer: it is not running, was started anew, or does not let this user in (hint: systemctl start pcscd, then try again)")
	// ErrNoToken: a command came before a token was selected.
	ErrNoToken = errors.New("no token is selected")
	// ErrWrongIdentity: what was given to open a layer of a backup does not.
	ErrWrongIdentity = errors.New("this identity does not open it (hint: try another)")
	// ErrIdentityLocked: an identity is itself encrypted with a passphrase.
	ErrIdentityLocked = errors.New("the identity file is encrypted with a passphrase, which is needed first")
	// ErrWrongPassphrase: an identity is encrypted with another passphrase.
	ErrWrongPassphrase = errors.New("the identity file is not opened by this passphrase (hint: type it again)")
)

// PINError says that a token refused its PIN, or its PUK.
type PINError struct {
	PUK       bool // it was the PUK
	TriesLeft int  // 0: blocked
}

func (e *PINError) Error() string {
	name, way := "PIN", "its keys are still there: anyone who has the PUK, or a backup of it, can have a new PIN set"
	if e.PUK {
		name, way = "PUK", "the PIN has tries of its own, and still works while it has: keep it well, as no PUK sets another"
	}
	switch e.TriesLeft {
	case 0:
		return fmt.Sprintf("the %s is blocked: no tries left (hint: %s)", name, way)
	case 1:
		return fmt.Sprintf("the %s is wrong: 1 try left (hint: one more wrong %s blocks it)", name, name)
	}
	return fmt.Sprintf("the %s is wrong: %d tries left (hint: try again; a token that refuses the right one again is not to be used)", name, e.TriesLeft)
}

// PINFormatError says that a PIN or PUK cannot be one. No try was used.
type PINFormatError struct {
	PUK bool
}

func (e *PINFormatError) Error() string {
	if e.PUK {
		return "a PUK has 6 to 8 characters"
	}
	return "a PIN has 6 to 8 characters"
}

// NotFoundError says that a token is in none of the readers.
type NotFoundError struct {
	Serial uint32
	Found  []uint32 // the tokens that are there
}

func (e *NotFoundError) Error() string {
	if len(e.Found) == 0 {
		return fmt.Sprintf("token %s is not in a reader, and no other is (hint: insert it)", SerialText(e.Serial))
	}
	var found []string
	for _, serial := range e.Found {
		found = append(found, SerialText(serial))
	}
	return fmt.Sprintf("token %[1]s is not in a reader, only %[2]s (hint: insert token %[1]s)", SerialText(e.Serial), strings.Join(found, ", "))
}

// SerialError says that a token is another than the expected one.
type SerialError struct{ Want, Got uint32 }

func (e *SerialError) Error() string {
	return fmt.Sprintf("this is token %[2]s, and token %[1]s was expected (hint: insert token %[1]s)", SerialText(e.Want), SerialText(e.Got))
}

// InUseError says that another program holds the token.
type InUseError struct{ Serial uint32 }

func (e *InUseError) Error() string {
	return fmt.Sprintf("token %s is in use by another program, still waits for a touch, or is slow and still at work (hint: touch it if it blinks, or close that program; if neither helps, pull it out and insert it again; then try again)", SerialText(e.Serial))
}

// CountError says that as many tries of a PIN or a PUK are left after a wrong one as
// before it, or more: a YubiKey counts each.
type CountError struct {
	Serial        uint32
	PUK           bool // not the PIN
	Before, After int  // tries left
}

func (e *CountError) Error() string {
	name := "PIN"
	if e.PUK {
		name = "PUK"
	}
	return fmt.Sprintf("token %s had %d tries of its %s left, and after a wrong one it says %d: it isn't a YubiKey, or doesn't work as one, unless it was used elsewhere meanwhile (hint: if it was, try again; if not, type nothing secret into it, and use another token)",
		SerialText(e.Serial), e.Before, name, e.After)
}

// NoKeyError says that a slot holds no key.
type NoKeyError struct{ Slot Slot }

func (e *NoKeyError) Error() string { return fmt.Sprintf("slot %v of the token holds no key", e.Slot) }

// SlotTakenError says that a slot holds a key that would be overwritten.
type SlotTakenError struct{ Slot Slot }

func (e *SlotTakenError) Error() string {
	return fmt.Sprintf("slot %v of the token holds a key already, which stays as it is", e.Slot)
}

// NotFreshError says that a token is not in the state a step begins with.
// Found are half-sentences: "the PIN is not the default".
type NotFreshError struct {
	Serial uint32
	Found  []string
}

func (e *NotFreshError) Error() string {
	return fmt.Sprintf("token %s cannot be used for this as it is: %s (hint: use another token; where nothing on this one is needed, it can be reset, which erases its keys, and prepared again)",
		SerialText(e.Serial), strings.Join(e.Found, ", "))
}

// TooLongError says that a message is longer than the token can sign.
type TooLongError struct{ Bytes, Limit int }

func (e *TooLongError) Error() string {
	return fmt.Sprintf("the message has %d bytes, and the token signs at most %d (hint: fewer keys in the root, or ecdsa-p256 tokens, which sign a digest)",
		e.Bytes, e.Limit)
}

// NotGeneratedError says that a key was imported and so cannot be attested.
type NotGeneratedError struct{ Slot Slot }

func (e *NotGeneratedError) Error() string {
	return fmt.Sprintf("the key in slot %v was not made on the token, so the token does not attest it", e.Slot)
}

// PINRefusedError says that a token does not take a new PIN, or not this one: it
// may have rules of its own about them. The PIN is the one it was before.
type PINRefusedError struct{ Serial uint32 }

func (e *PINRefusedError) Error() string {
	return fmt.Sprintf("token %s does not take this PIN, and has rules of its own for them (hint: choose another: 8 digits, few of them alike, and not in sequence)", SerialText(e.Serial))
}

// StatusError says that a token refused a command with a status word (ISO
// 7816-4, 5.1.3) that says nothing better.
type StatusError struct {
	Serial uint32
	Status uint16
}

// Lacks reports whether the token does not know the command at all.
func (e *StatusError) Lacks() bool {
	return e.Status&0xff00 == 0x6d00 || e.Status&0xff00 == 0x6e00
}

func (e *StatusError) Error() string {
	if e.Lacks() {
		return fmt.Sprintf("token %s lacks a command that is needed for this (status word %04x), and always will (hint: leave it as it is, and use another token)", SerialText(e.Serial), e.Status)
	}
	return fmt.Sprintf("token %s refused a command with status word %04x (hint: try again; if it refuses again, leave it as it is, and use another token)", SerialText(e.Serial), e.Status)
}

// AnswerError says that a token did not refuse a command, and gave an answer
// that cannot be one.
type AnswerError struct {
	Serial uint32 // 0: no token was selected
	Why    string // "a serial number of 3 bytes"
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("%s did not answer as it should: %s (hint: try again; if it answers so again, leave it as it is, and use another token)", named(e.Serial), e.Why)
}

// EndedError says that the child process of a session ended in the middle of
// what it was asked to do, which may or may not have happened.
type EndedError struct {
	Serial uint32 // 0: no token was selected
	Doing  string // "sign"
	Why    string // how it ended, and the first line of what it wrote
}

func (e *EndedError) Error() string {
	return fmt.Sprintf("the process that speaks to %s ended while it was asked to %s: %s (hint: take the task again, which looks at the token first; if it ends again, use another token)", named(e.Serial), e.Doing, e.Why)
}

// SilentError says that the child process of a session, or the token that it
// speaks to, said nothing for so long that the session was ended. What it was
// asked to do may or may not have happened.
type SilentError struct {
	Serial uint32 // 0: no token was selected
	Doing  string // "sign"
	After  time.Duration
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("%s has not answered for %v while it was asked to %s: it is slow, or hangs (hint: pull it out, insert it again, and try again; what it was doing may have happened)", named(e.Serial), e.After, e.Doing)
}

// named is a token in a sentence, where perhaps none was selected.
func named(serial uint32) string {
	if serial == 0 {
		return "the token"
	}
	return "token " + SerialText(serial)
}

// TokenError is any other refusal of a token.
type TokenError struct{ Text string }

func (e *TokenError) Error() string { return e.Text }
