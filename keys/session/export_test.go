package session

import (
	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// Pid is the process id of the session's child.
func (s *Session) Pid() int { return s.cmd.Process.Pid }

// Kill kills the child behind the session's back.
func (s *Session) Kill() error { return s.cmd.Process.Kill() }

// Ended is closed when the child is gone.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// The wire, for tests of what crosses it.
var (
	ReadHeader = readHeader
	WriteFrame = writeFrame
)

// Frame types.
const (
	FrameRequest = frameRequest
	FrameSecret  = frameSecret
	FrameTouched = frameTouched
	FrameAnswer  = frameAnswer
	FrameEvent   = frameEvent
)

// OverWire returns an error as the parent of a child that had it sees it.
func OverWire(err error) error { return toWire(err).typed() }

// NewKeyText makes a root key, and returns its secrets in the open.
func NewKeyText(algorithm keys.Algorithm, entropy []*secret.Buffer) (public keys.PublicKey, seed []byte, text string, err error) {
	key, err := newRootKey(algorithm, entropy)
	if err != nil {
		return keys.PublicKey{}, nil, "", err
	}
	b, err := keyText(key)
	return key.public, key.seed.Bytes(), string(b.Bytes()), err
}

// ReadKeyText returns the public key of a root key's text.
func ReadKeyText(text string) (keys.PublicKey, error) {
	b, err := secret.Take([]byte(text))
	if err != nil {
		return keys.PublicKey{}, err
	}
	key, err := readKeyText(b)
	if err != nil {
		return keys.PublicKey{}, err
	}
	return key.public, nil
}

// TokenText is the text of a PUK and a management key.
func TokenText(serial uint32, puk, management string) (string, error) {
	p, err := secret.Take([]byte(puk))
	if err != nil {
		return "", err
	}
	m, err := secret.Take([]byte(management))
	if err != nil {
		return "", err
	}
	b, err := tokenText(&tokenKeys{serial, p, m})
	return string(b.Bytes()), err
}

// ReadTokenText returns what a token's text holds.
func ReadTokenText(text string) (serial uint32, puk, management string, err error) {
	b, err := secret.Take([]byte(text))
	if err != nil {
		return 0, "", "", err
	}
	k, err := readTokenText(b)
	if err != nil {
		return 0, "", "", err
	}
	return k.serial, string(k.puk.Bytes()), string(k.management.Bytes()), nil
}

// Mix is how extra entropy is mixed in.
var Mix = mix
