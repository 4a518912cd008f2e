package transcript

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"rootceremony/keys"
)

// Checkpoint stands for a whole log, or for one as it was: the number of its
// lines, and the root hash of the tree over them in lower-case hex.
//
// People sign its text, which is a C2SP checkpoint (tlog-checkpoint) without
// extension lines: the log's origin, the size in decimal, and the root hash in
// base64, a line each. The origin is "rootceremony.invalid/" and the first 32
// digits of the SHA-256 of the log's first line in lower-case hex; it is the name
// of every key that signs the log too. Text, an empty line and signature lines
// are a C2SP signed note (signed-note):
//
//	— <origin> base64(4 bytes of key id || signature)
//
// An ed25519 key signs the text, as note type 0x01: its id is the beginning of
// SHA-256(origin || 0x0a || 0x01 || the 32 bytes of the key). A P-256 key signs
// the SHA-256 of the text by ECDSA, in ASN.1, as note type 0x02: its id is the
// beginning of the SHA-256 of its SubjectPublicKeyInfo in DER.
type Checkpoint struct {
	Size int64  `json:"size"`
	Root string `json:"root"`
}

// Origin is the origin of the log that begins with that event.
func Origin(first Event) string {
	line, err := first.encode()
	if err != nil {
		panic(err) // an event that was read, or written, has its line
	}
	return keys.CheckpointOrigin + hash(line)[:32]
}

// Text is the text of a checkpoint, whose root must be a hash in hex.
func Text(origin string, c Checkpoint) []byte {
	root, _ := hex.DecodeString(c.Root)
	return fmt.Appendf(nil, "%s\n%d\n%s\n", origin, c.Size, base64.StdEncoding.EncodeToString(root))
}

// Signature is a key's signature over the text of a checkpoint as a signature
// line has it: key id and signature in base64. Keys that are neither ed25519 nor
// P-256 are errors.
func Signature(origin string, key keys.PublicKey, signature []byte) (string, error) {
	v, err := newVerifier(origin, key)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, v.id), signature...)), nil
}

// SignatureLine is a line of a signed checkpoint, of what Signature returned.
func SignatureLine(origin, signature string) string {
	return "— " + origin + " " + signature + "\n"
}

// Note is a signed checkpoint: its text, and signature lines.
func Note(text []byte, lines ...string) []byte {
	signed := append(bytes.Clone(text), '\n')
	for _, line := range lines {
		signed = append(signed, line...)
	}
	return signed
}

// ErrUnsigned says that none of the known keys has signed a checkpoint.
var ErrUnsigned = errors.New("none of the keys has signed this checkpoint")

// OpenNote reads a signed checkpoint of the log with that origin, and tells which
// of the keys have signed it, in their order: at least one, else the error is
// ErrUnsigned. Lines of other keys are ignored. A line that has the id of one of
// the keys, and is no signature of any of them, is an error; where ids collide,
// each line belongs to the key that has made it.
func OpenNote(signed []byte, origin string, known ...keys.PublicKey) (Checkpoint, []keys.PublicKey, error) {
	var unverified *note.UnverifiedNoteError
	if _, err := note.Open(signed, nil); !errors.As(err, &unverified) {
		return Checkpoint{}, nil, errors.New("this is not a signed note")
	}
	text := []byte(unverified.Note.Text)
	there, size, root, err := keys.ParseCheckpoint(text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if there != origin {
		return Checkpoint{}, nil, fmt.Errorf("this is a checkpoint of another log, %s", there)
	}
	var by []keys.PublicKey
	good := map[string]bool{} // the lines that a known key has made
	for _, key := range known {
		v, err := newVerifier(origin, key)
		if err != nil {
			return Checkpoint{}, nil, err
		}
		for _, sig := range unverified.Note.UnverifiedSigs {
			line := "— " + sig.Name + " " + sig.Base64 + "\n"
			if _, err := note.Open(Note(text, line), note.VerifierList(v)); err == nil {
				good[line] = true
				if !slices.Contains(by, key) {
					by = append(by, key)
				}
			}
		}
	}
	for _, key := range known {
		v, _ := newVerifier(origin, key) // which was made above
		for _, sig := range unverified.Note.UnverifiedSigs {
			if sig.Name == origin && sig.Hash == v.id && !good["— "+sig.Name+" "+sig.Base64+"\n"] {
				return Checkpoint{}, nil, fmt.Errorf("the signature with the key id %08x is not right", sig.Hash)
			}
		}
	}
	if len(by) == 0 {
		return Checkpoint{}, nil, ErrUnsigned
	}
	return Checkpoint{size, hex.EncodeToString(root)}, by, nil
}

// verifier is the note.Verifier of a key that signs a log.
type verifier struct {
	origin string
	id     uint32
	key    keys.PublicKey
}

func newVerifier(origin string, key keys.PublicKey) (*verifier, error) {
	public, err := key.Crypto()
	if err != nil {
		return nil, err
	}
	var named []byte
	switch key.Algorithm {
	case keys.Ed25519:
		named = append([]byte(origin+"\n\x01"), public.(ed25519.PublicKey)...)
	case keys.P256:
		if named, err = key.SPKI(); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("no note is signed by keys of the kind %s", key.Algorithm)
	}
	id := sha256.Sum256(named)
	return &verifier{origin, binary.BigEndian.Uint32(id[:4]), key}, nil
}

// Name, KeyHash and Verify are note.Verifier's.
func (v *verifier) Name() string    { return v.origin }
func (v *verifier) KeyHash() uint32 { return v.id }
func (v *verifier) Verify(text, signature []byte) bool {
	return v.key.Verify(text, signature) == nil
}
