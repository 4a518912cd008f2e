package virtual

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/plainfile"
)

// A token's file, and that of the drawer's attestation root, has three lines:
// what it is, the state as JSON, and the SHA-256 of the two lines before.
const (
	tokenMagic = "rootceremony virtual token 1; a rehearsal's secrets, worth nothing"
	rootMagic  = "rootceremony virtual attestation root 1; a rehearsal's secrets, worth nothing"
)

// hexBytes are bytes written as lower-case hex.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

// state is all that a virtual token remembers without power.
type state struct {
	Sticker    string        `json:"sticker"`
	Serial     uint32        `json:"serial"`
	Firmware   keys.Firmware `json:"firmware"`
	FormFactor string        `json:"form_factor"`
	Edition    string        `json:"edition"`
	Button     Button        `json:"button"`

	PIN        reference  `json:"pin"`
	PUK        reference  `json:"puk"`
	Management management `json:"management"`
	Slots      []slot     `json:"slots"` // in order of slot
	// Data objects by tag, in hex: "5fc102".
	Objects map[string]hexBytes `json:"objects,omitempty"`

	// The factory's: a reset leaves them alone.
	DeviceKey         hexBytes `json:"device_key"`         // f9, PKCS #8
	DeviceCertificate hexBytes `json:"device_certificate"` // f9, DER
}

// reference is a PIN or PUK with its counter (SP 800-73-4, part 2, 2.4.3).
type reference struct {
	Value hexBytes `json:"value"` // 8 bytes, padded with ff
	Tries int      `json:"tries"` // left; 0: blocked
	Max   int      `json:"max"`
}

type management struct {
	Algorithm byte     `json:"algorithm"` // of managementAlgorithms
	Key       hexBytes `json:"key"`
	Touch     bool     `json:"touch,omitempty"` // its use wants a touch
}

// slot is a key in its slot.
type slot struct {
	Slot      keys.Slot   `json:"slot"`
	Algorithm byte        `json:"algorithm"` // of PIV, see algorithms
	Private   hexBytes    `json:"private"`   // PKCS #8
	Policy    keys.Policy `json:"policy"`
	Generated bool        `json:"generated"`

	private privateKey // Private, parsed
}

// encode makes the file of v.
func encode(magic string, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	file := append([]byte(magic+"\n"), body...)
	file = append(file, '\n')
	sum := sha256.Sum256(file)
	return append(hex.AppendEncode(file, sum[:]), '\n'), nil
}

// decode reads what encode made, and nothing else.
func decode(file []byte, magic string, v any) error {
	first, rest, _ := bytes.Cut(file, []byte("\n"))
	if string(first) != magic {
		return fmt.Errorf("the first line is not %q", magic)
	}
	body, sumLine, found := bytes.Cut(rest, []byte("\n"))
	if !found {
		return errors.New("the file ends early")
	}
	sum := sha256.Sum256(file[:len(first)+1+len(body)+1])
	if string(sumLine) != hex.EncodeToString(sum[:])+"\n" {
		return errors.New("the last line is not the checksum of those before")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("data after the JSON value")
	}
	return nil
}

// damaged names the file that cannot be used.
func damaged(path string, err error) error {
	return fmt.Errorf("virtual token file %s is damaged: %w (hint: restore the file from a copy, or begin a new rehearsal)", path, err)
}

// maxFile is the largest file of a drawer that is read, in bytes.
const maxFile = 1 << 20

// load reads a token's file.
func load(path string) (*state, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
		return nil, damaged(path, errors.New("it is a link to another file"))
	}
	file, err := plainfile.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	st := &state{}
	if err := decode(file, tokenMagic, st); err != nil {
		return nil, damaged(path, err)
	}
	if err := st.check(); err != nil {
		return nil, damaged(path, err)
	}
	return st, nil
}

// loadToken reads the file of a drawer's token, which is named after its serial.
func loadToken(path string) (*state, error) {
	st, err := load(path)
	if err == nil && filepath.Base(path) != tokenFile(st.Serial) {
		return nil, damaged(path, fmt.Errorf("it holds token %d", st.Serial))
	}
	return st, err
}

// check refuses states that no token can be in, and parses the private keys.
func (st *state) check() error {
	for _, ref := range []reference{st.PIN, st.PUK} {
		if len(ref.Value) != 8 || ref.Max < 1 || ref.Max > 255 || ref.Tries < 0 || ref.Tries > ref.Max {
			return errors.New("PIN or PUK makes no sense")
		}
	}
	if n, known := managementAlgorithms[st.Management.Algorithm]; !known || len(st.Management.Key) != n {
		return errors.New("the management key makes no sense")
	}
	for i, k := range st.Slots {
		if !keySlot(k.Slot) || i > 0 && st.Slots[i-1].Slot >= k.Slot {
			return fmt.Errorf("slot %v makes no sense", k.Slot)
		}
		if pinByte(k.Policy.PIN) == 0 || touchByte(k.Policy.Touch) == 0 {
			return fmt.Errorf("the policy of slot %v makes no sense", k.Slot)
		}
		private, err := parseKey(k.Algorithm, k.Private)
		if err != nil {
			return fmt.Errorf("slot %v: %w", k.Slot, err)
		}
		st.Slots[i].private = private
	}
	if !st.Button.Known() {
		return fmt.Errorf("button %q is unknown", st.Button)
	}
	return nil
}

// replace writes a file under its name at once or not at all: anyone who reads it,
// also after kill -9, finds the old bytes or the new, and after a power cut it
// holds the one or the other. The folder is not synced: that would double the
// time a rehearsal spends here, for a rehearsal's secrets. Only the holder of
// the file's lock calls it, so the temporary name is free.
func replace(path string, file []byte) error {
	f, err := os.OpenFile(path+tempSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(file)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(path+tempSuffix, path)
	}
	if err != nil {
		_ = os.Remove(path + tempSuffix)
	}
	return err
}

const tempSuffix = ".tmp"

// lockWait is how long an open lock is waited for. A process that was killed
// a moment ago may still hold one.
const lockWait = 500 * time.Millisecond

// errLocked: another process holds the lock.
var errLocked = errors.New("locked by another process")

// lock takes the lock of path, in a file beside it, for as long as the file it
// returns is open or this process lives. It waits at most wait.
func lock(path string, wait time.Duration) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(2 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if time.Now().After(deadline) {
			_ = f.Close()
			return nil, errLocked
		}
	}
}
