package session

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// What a session's child and its parent say to each other are frames: one byte
// of type, the body's length (4 bytes, big-endian), the body. Readers are not
// buffered, so that a secret goes from the pipe into locked memory and nowhere
// else.
type frameType byte

const (
	frameRequest frameType = 'q' // parent: a request, JSON; then its secrets
	frameSecret  frameType = 's' // parent: a secret, raw; never inside JSON
	frameTouched frameType = 't' // parent: a virtual token is touched; no body
	frameStored  frameType = 'k' // parent: what the child asked to store is stored; no body
	frameAnswer  frameType = 'a' // child: the answer to the request, JSON
	frameEvent   frameType = 'e' // child: an event before the answer, JSON
	frameFile    frameType = 'f' // child: a sealed file, JSON; an event asks to store those before it
)

// maxBody bounds the bodies. A request holds a whole message of up to 1 MiB,
// in base64.
var maxBody = map[frameType]uint32{
	frameRequest: 2 << 20,
	frameSecret:  16 << 10,
	frameTouched: 0,
	frameStored:  0,
	frameAnswer:  1 << 20,
	frameEvent:   1 << 10,
	frameFile:    1 << 20,
}

const (
	maxSecrets = 101 // that follow a request
	maxFiles   = 100 // that an event asks to store
)

// MaxMessage is how many bytes Session.Sign takes: ECDSA tokens sign a digest,
// so their messages are bounded by this alone.
const MaxMessage = 1 << 20

// readHeader reads a frame's type and length. It returns io.EOF only when r
// ended before the frame's first byte.
func readHeader(r io.Reader) (frameType, uint32, error) {
	var header [5]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, 0, err
	}
	t, n := frameType(header[0]), binary.BigEndian.Uint32(header[1:])
	limit, known := maxBody[t]
	if !known {
		return 0, 0, fmt.Errorf("frame of unknown type %#02x", header[0])
	}
	if n > limit {
		return 0, 0, fmt.Errorf("frame of type %q with %d bytes, more than %d", t, n, limit)
	}
	return t, n, nil
}

// readBody reads the body of a frame that holds no secret.
func readBody(r io.Reader, n uint32) ([]byte, error) {
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, noEOF(err)
	}
	return body, nil
}

// readSecret reads the body of a frameSecret straight into locked memory.
func readSecret(r io.Reader, n uint32) (*secret.Buffer, error) {
	b, err := secret.Read(r, int(n))
	if err != nil {
		return nil, noEOF(err)
	}
	return b, nil
}

// noEOF: a frame that ends in its middle is not the end of the frames.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// writeFrame writes the header and the body in two writes, so that a secret
// body is not copied.
func writeFrame(w io.Writer, t frameType, body []byte) error {
	if uint64(len(body)) > uint64(maxBody[t]) {
		return fmt.Errorf("frame of type %q with %d bytes, more than %d", t, len(body), maxBody[t])
	}
	var header [5]byte
	header[0] = byte(t)
	binary.BigEndian.PutUint32(header[1:], uint32(len(body)))
	if _, err := w.Write(header[:]); err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	_, err := w.Write(body)
	return err
}

func writeJSON(w io.Writer, t frameType, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFrame(w, t, body)
}

// decode reads exactly one JSON value with known members only.
func decode(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("data after the JSON value")
	}
	return nil
}

// What a request asks for. Those that take a PIN or PUK are followed by them,
// each in a frame of its own.
const (
	doOpen    = "open the readers"
	doReaders = "list the readers"
	doList    = "list the tokens"
	doSelect  = "open the token"
	doInfo    = "describe the token"
	doReset   = "reset the token"
	doPrepare = "prepare the token"
	doRootKey = "make the root key"
	doTry     = "try the token"
	doDevice  = "show the device's certificate"
	doAttest  = "attest a key"
	doPIN     = "check the PIN"
	doUnblock = "unblock the PIN"
	doSign    = "sign"
	doBackup  = "open a backup"
	doHeldPUK = "unblock the PIN with the opened backup"
)

type request struct {
	Do        string         `json:"do"`
	Backend   *Backend       `json:"backend,omitempty"`
	Serial    uint32         `json:"serial,omitempty"`
	Slot      keys.Slot      `json:"slot,omitempty"`
	Algorithm keys.Algorithm `json:"algorithm,omitempty"`
	Message   []byte         `json:"message,omitempty"` // to sign; for doBackup, a ciphertext

	Order     *RootKeyOrder   `json:"order,omitempty"`
	Open      json.RawMessage `json:"open,omitempty"`
	WithToken bool            `json:"with_token,omitempty"` // the first secret is its PIN
	Secrets   int             `json:"secrets,omitempty"`    // that follow doRootKey or doBackup
	Entropy   int             `json:"entropy,omitempty"`    // how many of them, at the end, are extra entropy
}

// secrets is how many secrets follow the request.
func (q request) secrets() int {
	switch q.Do {
	case doPrepare, doPIN, doSign, doHeldPUK:
		return 1
	case doUnblock: // the PUK, and the new PIN
		return 2
	case doRootKey, doBackup:
		return q.Secrets
	}
	return 0
}

type answer struct {
	Error       *wireError        `json:"error,omitempty"`
	Readers     []string          `json:"readers,omitempty"`
	Tokens      []keys.Info       `json:"tokens,omitempty"`
	Info        *keys.Info        `json:"info,omitempty"`
	Prepared    *Prepared         `json:"prepared,omitempty"`
	Public      *keys.PublicKey   `json:"public,omitempty"`
	Device      []byte            `json:"device,omitempty"` // DER
	Attestation *keys.Attestation `json:"attestation,omitempty"`
	Signature   []byte            `json:"signature,omitempty"`
	Opened      *Opened           `json:"opened,omitempty"`
}

// event is said before the answer: the command that waits for a touch is about
// to be sent, or the files sent since the last event are to be stored, and the
// child waits for frameStored.
type event struct {
	Touch bool   `json:"touch,omitempty"`
	Store string `json:"store,omitempty"` // BackupKey or BackupToken

	Public keys.PublicKey `json:"public,omitzero"` // with BackupKey
}
