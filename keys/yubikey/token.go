//go:build cgo

package yubikey

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/go-piv/piv-go/v2/piv"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// maxMessage is how many bytes an ed25519 key signs: 3,072 with the three TLVs
// around them (7c, 82, 81), as Yubico's own library has it.
const maxMessage = 3062

// sharedSize is how many bytes a shared secret of P-256 has.
const sharedSize = 32

// busyWait is how long a token that another program has is waited for: one that
// was killed a moment ago may still hold it, and one that looks for a token of
// its own holds each of them for a moment.
const busyWait = 500 * time.Millisecond

// patiently tries again for as long as another program has the token.
func patiently(try func() error) error {
	for deadline := time.Now().Add(busyWait); ; time.Sleep(5 * time.Millisecond) {
		err := try()
		if !errors.As(err, new(*keys.InUseError)) || time.Now().After(deadline) {
			return err
		}
	}
}

// reader is a session.Opener over all readers of the machine.
type reader struct{}

// Open returns the tokens in the readers, for session.Serve.
func Open(b session.Backend) (session.Opener, error) {
	if b.Kind != Kind {
		return nil, fmt.Errorf("tokens of kind %q are not in readers", b.Kind)
	}
	return reader{}, nil
}

// Readers are the names of all readers that pcscd knows.
func (reader) Readers() ([]string, error) {
	s, err := openService()
	if err != nil {
		return nil, typed(err, 0)
	}
	defer s.close()
	names, err := s.readers()
	return names, typed(err, 0)
}

// List describes the cards in the readers, in order of serial. Cards that
// cannot be used have a Problem.
func (reader) List() ([]keys.Info, error) {
	seen, err := lookAll((*card).look)
	if err != nil {
		return nil, typed(err, 0)
	}
	var found []keys.Info
	for _, c := range seen {
		if c.err != nil { // it is a card all the same, and people see it
			c.info.Problem = fmt.Sprintf(unreadable, c.err)
		}
		found = append(found, c.info)
	}
	slices.SortFunc(found, func(a, b keys.Info) int {
		return cmp.Or(cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.Reader, b.Reader))
	})
	return found, nil
}

// patience is for how long all cards together are looked at: half of the time
// after which a session is ended, so that one that hangs is named, and hides none
// of the others.
var patience = 10 * time.Second

// seen is a card that was looked at. Its Info has the reader, whatever err is.
type seen struct {
	info keys.Info
	err  error
}

// lookAll looks at the cards in all readers at once, in the order of the readers;
// those that were pulled out meanwhile are left out. One that has not answered in
// time has a Problem, and its reader is held until it answers, or this process
// ends.
func lookAll(look func(*card) (keys.Info, error)) ([]seen, error) {
	s, err := openService()
	if err != nil {
		return nil, err
	}
	defer s.close()
	names, err := s.readers()
	if err != nil {
		return nil, err
	}
	var looks []chan seen
	for _, name := range names {
		done := make(chan seen, 1)
		looks = append(looks, done)
		go func() {
			s, err := openService() // its own: a connection waits for its card
			if err != nil {
				done <- seen{keys.Info{Reader: name}, err}
				return
			}
			defer s.close()
			i, err := s.lookInto(name, look)
			done <- seen{i, err}
		}()
	}
	late, end := context.WithTimeout(context.Background(), patience)
	defer end()
	var found []seen
	for n, done := range looks {
		var c seen
		select {
		case c = <-done:
		case <-late.Done():
			select {
			case c = <-done: // it had answered, while another was waited for
			default:
				c.info = keys.Info{Reader: names[n], Problem: fmt.Sprintf(tooSlow, patience)}
			}
		}
		switch conditionOf(c.err) {
		case silent:
			return nil, c.err
		case pulled:
		default:
			found = append(found, c)
		}
	}
	return found, nil
}

// lookInto looks at the card in a reader. One that another program has, or
// that does not speak as YubiKeys do, has a Problem.
func (s *service) lookInto(name string, look func(*card) (keys.Info, error)) (keys.Info, error) {
	c, err := s.connect(name)
	if err == nil {
		defer c.close()
		var i keys.Info
		i, err = look(c)
		i.Reader = name
		if err == nil {
			return i, nil
		}
	}
	switch conditionOf(err) {
	case busy:
		return keys.Info{Reader: name, Problem: inUse}, nil
	case foreign:
		return keys.Info{Reader: name, Problem: noYubiKey}, nil
	}
	return keys.Info{Reader: name}, err
}

// Open opens the token with this serial, whatever reader it is in.
func (reader) Open(serial uint32) (session.Token, error) {
	t := &Token{serial: serial}
	if err := patiently(t.find); err != nil {
		return nil, err
	}
	return t, nil
}

// find looks for the token in all readers and takes hold of it.
func (t *Token) find() error {
	cards, err := lookAll((*card).identify)
	if err != nil {
		return typed(err, t.serial)
	}
	missing := &keys.NotFoundError{Serial: t.serial}
	busyReader, slowReader := "", ""
	var unread seen
	for _, c := range cards {
		i := c.info
		switch {
		case c.err == nil && i.Serial == t.serial && i.Problem != "":
			return &keys.TokenError{Text: fmt.Sprintf("token %s cannot be used: %s", keys.SerialText(t.serial), i.Problem)}
		case c.err == nil && i.Serial == t.serial:
			t.reader = i.Reader
			return t.connect()
		case i.Problem == inUse:
			busyReader = i.Reader
		case i.Problem == fmt.Sprintf(tooSlow, patience):
			slowReader = i.Reader
		case c.err != nil:
			unread = c
		case i.Serial != 0:
			missing.Found = append(missing.Found, i.Serial)
		}
	}
	if slowReader != "" {
		return &keys.TokenError{Text: fmt.Sprintf("token %s may be the one in reader %q, which has not answered for %v: it is slow, or hangs (hint: pull it out and insert it again; if it is slow again, use another token)", keys.SerialText(t.serial), slowReader, patience)}
	}
	if busyReader != "" {
		return &busyError{fmt.Sprintf("token %s may be the one in reader %q, which another program uses, or which still waits for a touch, or is slow and still at work (hint: touch it if it blinks, or close that program; if neither helps, pull it out and insert it again; then try again)", keys.SerialText(t.serial), busyReader),
			&keys.InUseError{Serial: t.serial}}
	}
	if unread.err != nil {
		return &keys.TokenError{Text: fmt.Sprintf("token %s may be the one in reader %q: "+unreadable, keys.SerialText(t.serial), unread.info.Reader, unread.err)}
	}
	slices.Sort(missing.Found)
	return missing
}

// busyError says more than the InUseError in it: nobody can tell which token
// another program has.
type busyError struct {
	text string
	err  *keys.InUseError
}

func (e *busyError) Error() string { return e.text }
func (e *busyError) Unwrap() error { return e.err }

// Token is a YubiKey in a reader, which no other program can use until Close.
// It implements session.Token.
type Token struct {
	reader string
	serial uint32
	yk     *piv.YubiKey // nil: let go of
}

var _ session.Token = (*Token)(nil)

// connect takes hold of the token and makes sure that it is still the one.
func (t *Token) connect() error {
	yk, err := piv.Open(t.reader)
	if err != nil {
		return typed(err, t.serial)
	}
	serial, err := yk.Serial()
	if err == nil && serial != t.serial {
		_ = yk.Close()
		return &keys.SerialError{Want: t.serial, Got: serial}
	}
	if err != nil {
		_ = yk.Close()
		return typed(err, t.serial)
	}
	t.yk = yk
	return nil
}

// held returns the token's connection, and takes hold of it again after an
// Info that failed.
func (t *Token) held() (*piv.YubiKey, error) {
	if t.yk == nil {
		if err := patiently(t.connect); err != nil {
			return nil, err
		}
	}
	return t.yk, nil
}

// Close lets go of the token. That it was pulled out is no error.
func (t *Token) Close() error {
	if t.yk == nil {
		return nil
	}
	err := t.yk.Close()
	t.yk = nil
	if err != nil && conditionOf(err) == other {
		return err
	}
	return nil
}

// Info returns what the token says about itself. For that it is let go of and
// taken hold of again, as piv-go asks for less than there is.
func (t *Token) Info() (i keys.Info, err error) {
	if err := t.Close(); err != nil {
		return keys.Info{}, err
	}
	if err := patiently(func() (err error) { i, err = t.look(); return err }); err != nil {
		return keys.Info{}, err
	}
	return i, patiently(t.connect)
}

func (t *Token) look() (keys.Info, error) {
	s, err := openService()
	if err != nil {
		return keys.Info{}, typed(err, t.serial)
	}
	defer s.close()
	c, err := s.connect(t.reader)
	if err != nil {
		return keys.Info{}, typed(err, t.serial)
	}
	defer c.close()
	i, err := c.look()
	if err != nil {
		return keys.Info{}, typed(err, t.serial)
	}
	if i.Serial != t.serial {
		return keys.Info{}, &keys.SerialError{Want: t.serial, Got: i.Serial}
	}
	i.Reader = t.reader
	return i, nil
}

// Reset brings the PIV application to its factory state.
func (t *Token) Reset() error {
	yk, err := t.held()
	if err != nil {
		return err
	}
	return typed(yk.Reset(), t.serial)
}

// pinText is a PIN or PUK as piv-go takes it: a string, which is not copied, and so
// must not be kept beyond the call. (A copy of so few bytes shares its place on the heap
// with other small values, and stays as long as they do.)
func pinText(value *secret.Buffer, puk bool) (string, error) {
	if value.Len() < 6 || value.Len() > 8 {
		return "", &keys.PINFormatError{PUK: puk}
	}
	return unsafe.String(unsafe.SliceData(value.Bytes()), value.Len()), nil
}

// SetTries sets the tries of PIN and PUK, which become the default again.
func (t *Token) SetTries(management, pin *secret.Buffer, pinTries, pukTries int) error {
	text, err := pinText(pin, false)
	if err != nil {
		return err
	}
	yk, err := t.held()
	if err != nil {
		return err
	}
	err = yk.SetRetries(management.Bytes(), text, pinTries, pukTries)
	if err != nil && strings.Contains(err.Error(), "authenticating with management key") {
		return managementTyped(err, t.serial)
	}
	return pinTyped(err, t.serial, false, yk.Retries)
}

// VerifyPIN proves the PIN.
func (t *Token) VerifyPIN(pin *secret.Buffer) error {
	text, err := pinText(pin, false)
	if err != nil {
		return err
	}
	yk, err := t.held()
	if err != nil {
		return err
	}
	return pinTyped(yk.VerifyPIN(text), t.serial, false, yk.Retries)
}

// ChangePIN sets another PIN.
func (t *Token) ChangePIN(old, new *secret.Buffer) error {
	return t.change(old, false, new, false, (*piv.YubiKey).SetPIN)
}

// ChangePUK sets another PUK.
func (t *Token) ChangePUK(old, new *secret.Buffer) error {
	return t.change(old, true, new, true, (*piv.YubiKey).SetPUK)
}

// Unblock sets a new PIN by the PUK.
func (t *Token) Unblock(puk, pin *secret.Buffer) error {
	return t.change(puk, true, pin, false, (*piv.YubiKey).Unblock)
}

// change sets a new PIN or PUK by an old PIN or PUK.
func (t *Token) change(old *secret.Buffer, oldPUK bool, new *secret.Buffer, newPUK bool, set func(yk *piv.YubiKey, old, new string) error) error {
	oldText, err := pinText(old, oldPUK)
	if err != nil {
		return err
	}
	newText, err := pinText(new, newPUK)
	if err != nil {
		return err
	}
	yk, err := t.held()
	if err != nil {
		return err
	}
	return pinTyped(set(yk, oldText, newText), t.serial, oldPUK, yk.Retries)
}

// SetManagement replaces the management key by an AES-256 key.
func (t *Token) SetManagement(old, new *secret.Buffer) error {
	yk, err := t.held()
	if err != nil {
		return err
	}
	return managementTyped(yk.SetManagementKey(old.Bytes(), new.Bytes()), t.serial)
}

var (
	algorithms    = map[keys.Algorithm]piv.Algorithm{keys.Ed25519: piv.AlgorithmEd25519, keys.P256: piv.AlgorithmEC256, keys.P384: piv.AlgorithmEC384}
	pinPolicies   = map[keys.PINPolicy]piv.PINPolicy{keys.PINNever: piv.PINPolicyNever, keys.PINOnce: piv.PINPolicyOnce, keys.PINAlways: piv.PINPolicyAlways}
	touchPolicies = map[keys.Touch]piv.TouchPolicy{keys.TouchNever: piv.TouchPolicyNever, keys.TouchAlways: piv.TouchPolicyAlways, keys.TouchCached: piv.TouchPolicyCached}
)

// pivSlot is a slot as piv-go has it.
func pivSlot(s keys.Slot) (piv.Slot, bool) {
	for _, k := range keySlots {
		if k.slot == s {
			return piv.Slot{Key: uint32(k.slot), Object: k.object}, true
		}
	}
	return piv.Slot{}, false
}

// Generate makes a key on the token. A key that is in the slot is overwritten.
func (t *Token) Generate(management *secret.Buffer, s keys.Slot, algorithm keys.Algorithm, policy keys.Policy) (keys.PublicKey, error) {
	slot, known := pivSlot(s)
	wanted := piv.Key{Algorithm: algorithms[algorithm], PINPolicy: pinPolicies[policy.PIN], TouchPolicy: touchPolicies[policy.Touch]}
	if !known || wanted.Algorithm == 0 || wanted.PINPolicy == 0 || wanted.TouchPolicy == 0 {
		return keys.PublicKey{}, &keys.TokenError{Text: fmt.Sprintf("no token makes %q keys with PIN policy %q and touch policy %q in slot %v", algorithm, policy.PIN, policy.Touch, s)}
	}
	yk, err := t.held()
	if err != nil {
		return keys.PublicKey{}, err
	}
	public, err := yk.GenerateKey(management.Bytes(), slot, wanted)
	if err != nil {
		return keys.PublicKey{}, managementTyped(err, t.serial)
	}
	made, err := keys.FromCrypto(public)
	if err != nil {
		return keys.PublicKey{}, &keys.AnswerError{Serial: t.serial, Why: fmt.Sprintf("the key that it made is none: %v", err)}
	}
	return made, nil
}

// key describes the key in a slot.
func (t *Token) key(yk *piv.YubiKey, s keys.Slot) (keys.SlotKey, error) {
	if f := yk.Version(); (keys.Firmware{Major: f.Major, Minor: f.Minor, Patch: f.Patch}).Less(firmwareMetadata) {
		i, err := t.Info()
		if err != nil {
			return keys.SlotKey{}, err
		}
		k, found := i.Key(s)
		if !found {
			return k, &keys.NoKeyError{Slot: s}
		}
		return k, nil
	}
	slot, known := pivSlot(s)
	if !known {
		return keys.SlotKey{}, &keys.NoKeyError{Slot: s}
	}
	info, err := yk.KeyInfo(slot)
	if errors.Is(err, piv.ErrNotFound) {
		return keys.SlotKey{}, &keys.NoKeyError{Slot: s}
	}
	if err != nil {
		return keys.SlotKey{}, typed(err, t.serial)
	}
	k := keys.SlotKey{Slot: s, Generated: info.Origin == piv.OriginGenerated}
	for name, policy := range pinPolicies {
		if policy == info.PINPolicy {
			k.Policy.PIN = name
		}
	}
	for name, policy := range touchPolicies {
		if policy == info.TouchPolicy {
			k.Policy.Touch = name
		}
	}
	k.Public, err = keys.Describe(info.PublicKey)
	return k, err
}

// Device returns the certificate that the token's attestations lead to.
func (t *Token) Device() ([]byte, error) {
	device, err := t.device()
	if err != nil {
		return nil, err
	}
	yk, err := t.held()
	if err != nil {
		return nil, err
	}
	// What it says of 9a, which mostly is empty, counts only where it lacks ATTEST.
	_, err = yk.Attest(piv.SlotAuthentication)
	var refused *keys.StatusError
	if err = typed(err, t.serial); errors.As(err, &refused) && refused.Lacks() {
		return nil, err
	}
	return device, nil
}

func (t *Token) device() ([]byte, error) {
	yk, err := t.held()
	if err != nil {
		return nil, err
	}
	device, err := yk.AttestationCertificate()
	if status(err) == swNotFound {
		return nil, &keys.NoKeyError{Slot: keys.SlotAttestation}
	}
	if err != nil {
		return nil, typed(err, t.serial)
	}
	return device.Raw, nil
}

// Attest returns the attestation of a key made on the token.
func (t *Token) Attest(s keys.Slot) (keys.Attestation, error) {
	yk, err := t.held()
	if err != nil {
		return keys.Attestation{}, err
	}
	k, err := t.key(yk, s)
	if err != nil {
		return keys.Attestation{}, err
	}
	if !k.Generated {
		return keys.Attestation{}, &keys.NotGeneratedError{Slot: s}
	}
	if yk, err = t.held(); err != nil {
		return keys.Attestation{}, err
	}
	slot, _ := pivSlot(s)
	attestation, err := yk.Attest(slot)
	if err != nil {
		return keys.Attestation{}, typed(err, t.serial)
	}
	device, err := t.device()
	if err != nil {
		return keys.Attestation{}, err
	}
	return keys.Attestation{Slot: attestation.Raw, Device: device}, nil
}

// Import puts a key that was made elsewhere into a slot. Copies of it stay in
// memory, of piv-go among others; they end with the process.
func (t *Token) Import(management *secret.Buffer, s keys.Slot, algorithm keys.Algorithm, seed *secret.Buffer, policy keys.Policy) error {
	slot, known := pivSlot(s)
	wanted := piv.Key{Algorithm: algorithms[algorithm], PINPolicy: pinPolicies[policy.PIN], TouchPolicy: touchPolicies[policy.Touch]}
	if !known || wanted.Algorithm == 0 || wanted.PINPolicy == 0 || wanted.TouchPolicy == 0 {
		return &keys.TokenError{Text: fmt.Sprintf("no token takes %q keys with PIN policy %q and touch policy %q in slot %v", algorithm, policy.PIN, policy.Touch, s)}
	}
	private, err := rawKey(algorithm, seed.Bytes())
	if err != nil {
		return &keys.TokenError{Text: fmt.Sprintf("the %d bytes are no private key of the kind %q", seed.Len(), algorithm)}
	}
	yk, err := t.held()
	if err != nil {
		return err
	}
	return managementTyped(yk.SetPrivateKeyInsecure(management.Bytes(), slot, private, wanted), t.serial)
}

// rawKey makes a private key as piv-go wants it.
func rawKey(algorithm keys.Algorithm, raw []byte) (crypto.PrivateKey, error) {
	switch {
	case algorithm == keys.P256:
		return ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	case algorithm == keys.P384:
		return ecdsa.ParseRawPrivateKey(elliptic.P384(), raw)
	case len(raw) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(raw), nil
	}
	return nil, errors.New("no seed of ed25519")
}

// Sign verifies the PIN and signs.
func (t *Token) Sign(s keys.Slot, pin *secret.Buffer, message []byte, touch func()) ([]byte, error) {
	var data []byte
	return t.use(s, pin, touch, func(algorithm keys.Algorithm) (err error) {
		data, err = toSign(algorithm, message)
		return err
	}, func(private crypto.PrivateKey) ([]byte, error) {
		return private.(crypto.Signer).Sign(rand.Reader, data, crypto.Hash(0))
	})
}

// ECDH verifies the PIN and agrees on a secret.
func (t *Token) ECDH(s keys.Slot, pin *secret.Buffer, peer []byte, touch func()) (*secret.Buffer, error) {
	point, err := ecdh.P256().NewPublicKey(peer)
	if err != nil {
		return nil, &keys.TokenError{Text: fmt.Sprintf("the other side's %d bytes are no point of P-256", len(peer))}
	}
	shared, err := t.use(s, pin, touch, func(algorithm keys.Algorithm) error {
		if algorithm != keys.P256 {
			return &keys.TokenError{Text: fmt.Sprintf("the key in slot %v is no P-256 key, which age needs", s)}
		}
		return nil
	}, func(private crypto.PrivateKey) ([]byte, error) {
		return private.(*piv.ECDSAPrivateKey).ECDH(point)
	})
	if err != nil {
		return nil, err
	}
	if len(shared) != sharedSize {
		clear(shared)
		return nil, &keys.TokenError{Text: fmt.Sprintf("token %d answered with a shared secret of %d bytes, not %d", t.serial, len(shared), sharedSize)}
	}
	return secret.Take(shared)
}

// use finds the key in a slot, asks whether it can be used for this, verifies
// the PIN, and has the token do it. The token gives no sign of waiting for a
// touch, so touch is called just before the command. It answers 6982 when it
// was not touched, as when the PIN is missing; here the PIN was good.
func (t *Token) use(s keys.Slot, pin *secret.Buffer, touch func(), ready func(keys.Algorithm) error, do func(crypto.PrivateKey) ([]byte, error)) ([]byte, error) {
	text, err := pinText(pin, false)
	if err != nil {
		return nil, err
	}
	yk, err := t.held()
	if err != nil {
		return nil, err
	}
	k, err := t.key(yk, s)
	if err != nil {
		return nil, err
	}
	if err := ready(k.Public.Algorithm); err != nil {
		return nil, err
	}
	public, err := k.Public.Crypto()
	if err != nil {
		return nil, err
	}
	if yk, err = t.held(); err != nil {
		return nil, err
	}
	slot, _ := pivSlot(s)
	// The PIN goes first and by itself, so that a refusal can be told from a
	// touch that did not come; never: piv-go is not to verify it again.
	private, err := yk.PrivateKey(slot, public, piv.KeyAuth{PINPolicy: piv.PINPolicyNever})
	if err != nil {
		return nil, err
	}
	if err := yk.VerifyPIN(text); err != nil {
		return nil, pinTyped(err, t.serial, false, yk.Retries)
	}
	wantsTouch := k.Policy.Touch != keys.TouchNever
	if wantsTouch {
		touch()
	}
	result, err := do(private)
	if wantsTouch && status(err) == swSecurityStatus {
		return nil, keys.ErrNotTouched
	}
	return result, typed(err, t.serial)
}

// toSign is what the token gets of a message: ed25519 the whole of it, ECDSA
// its digest. A message that is too long is refused before a try of the PIN is
// risked.
func toSign(algorithm keys.Algorithm, message []byte) ([]byte, error) {
	switch algorithm {
	case keys.Ed25519:
		if len(message) > maxMessage {
			return nil, &keys.TooLongError{Bytes: len(message), Limit: maxMessage}
		}
		return message, nil
	case keys.P256:
		sum := sha256.Sum256(message)
		return sum[:], nil
	case keys.P384:
		sum := sha512.Sum384(message)
		return sum[:], nil
	}
	return nil, &keys.TokenError{Text: fmt.Sprintf("the key is of the kind %q, which signs no root metadata", algorithm)}
}
