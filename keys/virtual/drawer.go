package virtual

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/plainfile"
	"rootceremony/keys/session"
)

// Kind is the session.Backend kind of virtual tokens.
const Kind = "virtual"

// Drawer is a folder of virtual tokens: SERIAL.token is the state of one,
// attestation-root what their attestations chain to. Files with other names
// are locks, and leftovers of writes that were cut off.
type Drawer struct {
	dir  string
	root *attestationRoot
	cert *x509.Certificate
}

const (
	tokenSuffix = ".token"
	rootFile    = "attestation-root"
)

func tokenFile(serial uint32) string { return fmt.Sprintf("%d%s", serial, tokenSuffix) }

// OpenDrawer opens the drawer in dir, making both where there is none, and
// clears away what cut-off writes left.
func OpenDrawer(dir string) (*Drawer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &Drawer{dir: dir}
	err := d.locked(func() error {
		if err := d.clean(); err != nil {
			return err
		}
		var err error
		d.root, d.cert, err = openRoot(filepath.Join(dir, rootFile))
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// locked runs f while no other process adds to the drawer.
func (d *Drawer) locked(f func() error) error {
	held, err := lock(filepath.Join(d.dir, "drawer"), 10*time.Second)
	if errors.Is(err, errLocked) {
		return fmt.Errorf("virtual tokens in %s are being made by another program (hint: wait for it, then try again)", d.dir)
	}
	if err != nil {
		return err
	}
	defer held.Close()
	return f()
}

// clean removes temporary files whose writer is gone: one that lives holds the
// token's lock.
func (d *Drawer) clean() error {
	left, err := filepath.Glob(filepath.Join(globEscape(d.dir), "*"+tempSuffix))
	if err != nil {
		return err
	}
	for _, path := range left {
		held, err := lock(strings.TrimSuffix(path, tempSuffix), 0)
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return err
		}
		err = os.Remove(path)
		_ = held.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// openRoot reads the drawer's attestation root, or makes it.
func openRoot(path string) (*attestationRoot, *x509.Certificate, error) {
	file, err := plainfile.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		root, err := newAttestationRoot()
		if err != nil {
			return nil, nil, err
		}
		if file, err = encode(rootMagic, root); err != nil {
			return nil, nil, err
		}
		if err := replace(path, file); err != nil {
			return nil, nil, err
		}
	} else if err != nil {
		return nil, nil, err
	}
	root := &attestationRoot{}
	if err := decode(file, rootMagic, root); err != nil {
		return nil, nil, damaged(path, err)
	}
	if _, err := parseKey(algorithmP256, root.Key); err != nil {
		return nil, nil, damaged(path, err)
	}
	cert, err := x509.ParseCertificate(root.Certificate)
	if err != nil {
		return nil, nil, damaged(path, err)
	}
	return root, cert, nil
}

// AttestationRoot is what the attestations of the drawer's tokens chain to.
func (d *Drawer) AttestationRoot() *x509.Certificate { return d.cert }

// Options of a new token. The zero value is a YubiKey 5C NFC of firmware 5.7.4
// whose button waits for Touched.
type Options struct {
	Firmware   keys.Firmware
	FormFactor string
	Edition    string // "", "FIPS", "Bio"
	Button     Button
}

// Add puts a factory-fresh token with this sticker into the drawer and returns
// its serial. A token with the sticker that is there already stays as it is,
// and its serial is returned.
func (d *Drawer) Add(sticker string, o Options) (serial uint32, err error) {
	err = d.locked(func() error {
		have, err := d.tokens()
		if err != nil {
			return err
		}
		taken := map[uint32]bool{}
		for _, st := range have {
			if st.Sticker == sticker {
				serial = st.Serial
				return nil
			}
			taken[st.Serial] = true
		}
		serial = newSerial(taken)
		return d.make(sticker, serial, o)
	})
	return serial, err
}

// newSerial returns 8 random digits.
func newSerial(taken map[uint32]bool) uint32 {
	for {
		var raw [4]byte
		_, _ = rand.Read(raw[:]) // never fails: it ends the program instead
		serial := 10_000_000 + binary.BigEndian.Uint32(raw[:])%90_000_000
		if !taken[serial] {
			return serial
		}
	}
}

// make writes the file of a new token.
func (d *Drawer) make(sticker string, serial uint32, o Options) error {
	st, err := newState(d.root, sticker, serial, o)
	if err != nil {
		return err
	}
	path := filepath.Join(d.dir, tokenFile(serial))
	held, err := lock(path, lockWait)
	if err != nil {
		return err
	}
	defer held.Close()
	return save(path)(st)
}

// newState is a factory-fresh token.
func newState(root *attestationRoot, sticker string, serial uint32, o Options) (*state, error) {
	if o.Firmware == (keys.Firmware{}) {
		o.Firmware = keys.Firmware{Major: 5, Minor: 7, Patch: 4}
	}
	if o.FormFactor == "" {
		o.FormFactor = "YubiKey 5C NFC"
	}
	key, certificate, err := root.certify(o.Firmware)
	if err != nil {
		return nil, err
	}
	st := &state{
		Sticker: sticker, Serial: serial, Firmware: o.Firmware,
		FormFactor: o.FormFactor, Edition: o.Edition, Button: o.Button,
		DeviceKey: key, DeviceCertificate: certificate,
	}
	st.factory()
	return st, st.check()
}

// OpenCard opens the token in the file path for this process alone, and makes
// a factory-fresh one where there is no file. What its attestations chain to is
// kept in the file's folder, as in a Drawer, and returned. serial 0 stands for
// any; another serial or firmware than the file's is an error, and o's button
// takes the place of the file's. Without a path nothing is kept.
func OpenCard(path string, serial uint32, o Options) (*Card, *x509.Certificate, error) {
	if !o.Button.Known() {
		return nil, nil, fmt.Errorf("button %q is unknown", o.Button)
	}
	if path == "" {
		root, err := newAttestationRoot()
		if err != nil {
			return nil, nil, err
		}
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return nil, nil, err
		}
		if serial == 0 {
			serial = newSerial(nil)
		}
		st, err := newState(root, "", serial, o)
		if err != nil {
			return nil, nil, err
		}
		return &Card{applet: newApplet(st, func(*state) error { return nil })}, certificate, nil
	}
	d := &Drawer{dir: filepath.Dir(path)}
	if err := d.locked(func() (err error) {
		d.root, d.cert, err = openRoot(filepath.Join(d.dir, rootFile))
		return err
	}); err != nil {
		return nil, nil, err
	}
	held, err := lock(path, lockWait)
	if errors.Is(err, errLocked) {
		return nil, nil, fmt.Errorf("the virtual token in %s is in use by another program (hint: close that, then try again)", path)
	}
	if err != nil {
		return nil, nil, err
	}
	st, err := d.openState(path, serial, o)
	if err != nil {
		_ = held.Close()
		return nil, nil, err
	}
	a := newApplet(st, save(path))
	a.button = o.Button
	return &Card{applet: a, lock: held}, d.cert, nil
}

// openState loads a token's file, or makes it.
func (d *Drawer) openState(path string, serial uint32, o Options) (*state, error) {
	st, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		if serial == 0 {
			serial = newSerial(nil)
		}
		if st, err = newState(d.root, "", serial, o); err != nil {
			return nil, err
		}
		return st, save(path)(st)
	}
	if err != nil {
		return nil, err
	}
	if serial != 0 && serial != st.Serial || o.Firmware != (keys.Firmware{}) && o.Firmware != st.Firmware {
		return nil, fmt.Errorf("%s holds token %d with firmware %v already (hint: leave serial and firmware out, or name another file)", path, st.Serial, st.Firmware)
	}
	return st, nil
}

// save returns what makes a state durable in the file.
func save(path string) func(*state) error {
	return func(st *state) error {
		file, err := encode(tokenMagic, st)
		if err != nil {
			return err
		}
		return replace(path, file)
	}
}

// tokens are the drawer's tokens, in order of sticker.
func (d *Drawer) tokens() ([]*state, error) {
	paths, err := filepath.Glob(filepath.Join(globEscape(d.dir), "*"+tokenSuffix))
	if err != nil {
		return nil, err
	}
	var found []*state
	for _, path := range paths {
		st, err := loadToken(path)
		if err != nil {
			return nil, err
		}
		found = append(found, st)
	}
	slices.SortFunc(found, func(a, b *state) int { return strings.Compare(a.Sticker, b.Sticker) })
	return found, nil
}

// globEscape makes a folder's name stand for itself in a pattern.
func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// Serials are the serials of the drawer's tokens, by sticker.
func (d *Drawer) Serials() (map[string]uint32, error) {
	tokens, err := d.tokens()
	if err != nil {
		return nil, err
	}
	serials := map[string]uint32{}
	for _, st := range tokens {
		serials[st.Sticker] = st.Serial
	}
	return serials, nil
}

// Contents reads the drawer in dir and leaves it as it is, without even a lock:
// the stickers of its tokens, sorted, and its files by name, for a copy of it.
// No other process may be using its tokens.
func Contents(dir string) (stickers []string, files map[string][]byte, err error) {
	d := &Drawer{dir: dir}
	tokens, err := d.tokens()
	if err != nil {
		return nil, nil, err
	}
	names := []string{rootFile}
	for _, st := range tokens {
		stickers, names = append(stickers, st.Sticker), append(names, tokenFile(st.Serial))
	}
	files = map[string][]byte{}
	for _, name := range names {
		if files[name], err = plainfile.Read(filepath.Join(dir, name), maxFile); err != nil {
			return nil, nil, err
		}
	}
	return stickers, files, nil
}

// Serial is the serial of the token with this sticker.
func (d *Drawer) Serial(sticker string) (uint32, error) {
	tokens, err := d.tokens()
	if err != nil {
		return 0, err
	}
	for _, st := range tokens {
		if st.Sticker == sticker {
			return st.Serial, nil
		}
	}
	return 0, fmt.Errorf("there is no virtual token with the sticker %q in %s", sticker, d.dir)
}

// PIN is the PIN of the token with this serial, for anyone who rehearses with it.
func (d *Drawer) PIN(serial uint32) (string, error) {
	st, err := loadToken(filepath.Join(d.dir, tokenFile(serial)))
	if err != nil {
		return "", err
	}
	pin, _, _ := bytes.Cut(st.PIN.Value, []byte{0xff}) // its padding
	return string(pin), nil
}

// reader is a session.Opener over the tokens of a drawer that are plugged in.
type reader struct {
	dir     string
	plugged []uint32
}

// Open returns the virtual tokens of b that are in a reader, for session.Serve.
// It makes nothing: the drawer must be there.
func Open(b session.Backend) (session.Opener, error) {
	if b.Kind != Kind {
		return nil, fmt.Errorf("tokens of kind %q are not virtual ones", b.Kind)
	}
	if _, err := os.Stat(filepath.Join(b.Dir, rootFile)); err != nil {
		return nil, fmt.Errorf("there are no virtual tokens in %q: %w", b.Dir, err)
	}
	return &reader{b.Dir, b.Plugged}, nil
}

// Readers: virtual tokens need none.
func (r *reader) Readers() ([]string, error) { return nil, nil }

// List describes the plugged tokens, in the order they were plugged in.
func (r *reader) List() ([]keys.Info, error) {
	var found []keys.Info
	for _, serial := range r.plugged {
		st, err := loadToken(filepath.Join(r.dir, tokenFile(serial)))
		if err != nil {
			return nil, err
		}
		info, err := newApplet(st, nil).info()
		if err != nil {
			return nil, err
		}
		found = append(found, info)
	}
	return found, nil
}

// Open opens a plugged token, for this process alone.
func (r *reader) Open(serial uint32) (session.Token, error) {
	if !slices.Contains(r.plugged, serial) {
		return nil, &keys.NotFoundError{Serial: serial, Found: r.plugged}
	}
	path := filepath.Join(r.dir, tokenFile(serial))
	held, err := lock(path, lockWait)
	if errors.Is(err, errLocked) {
		return nil, &keys.InUseError{Serial: serial}
	}
	if err != nil {
		return nil, err
	}
	st, err := loadToken(path)
	if err != nil {
		_ = held.Close()
		return nil, err
	}
	return &Token{applet: newApplet(st, save(path)), lock: held}, nil
}
