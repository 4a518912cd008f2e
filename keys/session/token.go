// Package session speaks to tokens from a process of its own.
//
// Each session is a short-lived child of this program: it opens the readers,
// does one piece of work on one token, and ends; with its end every handle is
// closed and every secret forgotten. Parent and child exchange frames (frame.go)
// on the child's standard input and output. A PIN goes from the parent's locked
// page to the child's and into the token; what is sealed comes back. A private
// key that is made outside of a token exists in the child alone, between its
// making and its import, and is sealed and stored before it is imported.
//
// Serve is the child's side, Session the parent's. What a token can do is a
// Token: keys/yubikey has real ones, keys/virtual those of rehearsals.
package session

import (
	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// Token is one open token, in the child process that owns it. Its methods are
// the PIV commands; what belongs together is put together in Serve. A Token is
// used by one goroutine. Errors are those of errors.go.
type Token interface {
	Info() (keys.Info, error)
	// Reset blocks PIN and PUK and brings the applet to its factory state.
	Reset() error
	// SetTries sets the tries of PIN and PUK; both become the default again.
	SetTries(management, pin *secret.Buffer, pinTries, pukTries int) error
	VerifyPIN(pin *secret.Buffer) error
	ChangePIN(old, new *secret.Buffer) error
	ChangePUK(old, new *secret.Buffer) error
	// Unblock sets a new PIN, with all its tries, by the PUK.
	Unblock(puk, pin *secret.Buffer) error
	// SetManagement replaces the management key by an AES-256 key of 32 bytes.
	SetManagement(old, new *secret.Buffer) error
	Generate(management *secret.Buffer, slot keys.Slot, algorithm keys.Algorithm, policy keys.Policy) (keys.PublicKey, error)
	// Import puts a key that was made elsewhere into a slot, over the one that
	// is there: of ed25519 the seed (RFC 8032, 32 bytes), of ECDSA the scalar
	// (big-endian, 32 or 48 bytes). What implements it may leave copies of it
	// in this process's memory.
	Import(management *secret.Buffer, slot keys.Slot, algorithm keys.Algorithm, seed *secret.Buffer, policy keys.Policy) error
	// Device returns the certificate in f9, DER: the one that attestations of
	// this token lead to. It takes no PIN. A token on which it was taken away
	// answers with a *NoKeyError; one that lacks the command that makes
	// attestations with a *StatusError that says so, before anything is made on it.
	Device() ([]byte, error)
	// Attest returns the slot's attestation and the device's certificate, DER.
	Attest(slot keys.Slot) (keys.Attestation, error)
	// Sign verifies the PIN and signs: ed25519 the message, ECDSA its SHA-256
	// or SHA-384 (ASN.1). touch is called just before the command that waits
	// for a touch, and not for keys that want none.
	Sign(slot keys.Slot, pin *secret.Buffer, message []byte, touch func()) ([]byte, error)
	// ECDH verifies the PIN and returns the secret that a P-256 key shares with
	// peer, a point (SEC 1, uncompressed, 65 bytes): the x coordinate, 32
	// bytes. A bad point or another kind of key is refused before the PIN is
	// looked at. touch is as in Sign.
	ECDH(slot keys.Slot, pin *secret.Buffer, peer []byte, touch func()) (*secret.Buffer, error)
	Close() error
}
