package virtual

import (
	"crypto"
	"crypto/ecdh"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// Token is a virtual YubiKey in a reader: the host's side of its applet. It
// holds the token's lock until Close. It implements session.Token and
// session.Touchable.
type Token struct {
	applet *applet
	lock   *os.File
}

var _ session.Touchable = (*Token)(nil)

const readerName = "Virtual reader"

// maxMessage is how many bytes fit into the command that signs them.
var maxMessage = func() int {
	n := maxCommandData
	for authenticateSize(n) > maxCommandData {
		n--
	}
	return n
}()

// Touched touches the token's button, if it waits for that.
func (t *Token) Touched() { t.applet.Touched() }

// Close lets go of the token.
func (t *Token) Close() error {
	t.applet.PowerOff()
	return t.lock.Close()
}

// Info returns what the token says about itself.
func (t *Token) Info() (keys.Info, error) { return t.applet.info() }

func (a *applet) info() (keys.Info, error) {
	i := keys.Info{
		Reader:     readerName,
		Serial:     a.Serial(),
		Firmware:   a.Version(),
		FormFactor: a.state.FormFactor,
		Edition:    a.state.Edition,
	}
	var err error
	if i.PINDefault, i.PINTries, _, err = a.ReferenceMetadata(referencePIN); err != nil {
		return keys.Info{}, err
	}
	if i.PUKDefault, i.PUKTries, _, err = a.ReferenceMetadata(referencePUK); err != nil {
		return keys.Info{}, err
	}
	_, i.ManagementDefault = a.ManagementMetadata()
	if a.Version().Less(firmwareMetadata) { // which knows no command for it
		i.PINDefault, i.PUKDefault, i.ManagementDefault, i.PUKTries = false, false, false, keys.TriesUnknown
	}
	for _, s := range a.Slots() {
		k, err := a.KeyMetadata(s)
		if err != nil {
			return keys.Info{}, err
		}
		i.Keys = append(i.Keys, k)
	}
	return i, nil
}

// Reset spends all tries of PIN and PUK, as that is what a YubiKey wants to
// see first, and resets the applet.
func (t *Token) Reset() error {
	wrong := [8]byte{0, 0, 0, 0, 0, 0, 0, 0} // no PIN: goodPIN takes it, but people cannot type it
	for _, id := range []byte{referencePIN, referencePUK} {
		for range 257 { // 255 tries at most, and one that might be right
			err := t.applet.ChangeReference(id, wrong[:], pad(session.DefaultPUK))
			if err == swBlocked {
				break
			}
			var sw statusWord
			if err != nil && !errors.As(err, &sw) {
				return err
			}
		}
	}
	return t.refused(t.applet.Reset())
}

// padded returns a PIN or PUK as the applet wants it: 8 bytes, filled with ff.
// The caller wipes it.
func padded(value *secret.Buffer, puk bool) (*secret.Buffer, error) {
	if value.Len() < 6 || value.Len() > 8 {
		return nil, &keys.PINFormatError{PUK: puk}
	}
	p, err := secret.New(8)
	if err != nil {
		return nil, err
	}
	for i := copy(p.Bytes(), value.Bytes()); i < 8; i++ {
		p.Bytes()[i] = 0xff
	}
	return p, nil
}

// pinError makes the typed error of a status word about a PIN or PUK.
func (t *Token) pinError(err error, puk bool) error {
	var sw statusWord
	if errors.As(err, &sw) {
		if left, counts := sw.triesLeft(); counts {
			return &keys.PINError{PUK: puk, TriesLeft: left}
		}
	}
	return t.refused(err)
}

// refused makes the typed error of a status word.
func (t *Token) refused(err error) error {
	var sw statusWord
	if errors.As(err, &sw) {
		return &keys.StatusError{Serial: t.applet.Serial(), Status: uint16(sw)}
	}
	return err
}

// VerifyPIN proves the PIN.
func (t *Token) VerifyPIN(pin *secret.Buffer) error {
	p, err := padded(pin, false)
	if err != nil {
		return err
	}
	defer p.Wipe()
	return t.pinError(t.applet.VerifyPIN(p.Bytes()), false)
}

// ChangePIN sets another PIN.
func (t *Token) ChangePIN(old, new *secret.Buffer) error {
	return t.changeReference(referencePIN, old, new)
}

// ChangePUK sets another PUK.
func (t *Token) ChangePUK(old, new *secret.Buffer) error {
	return t.changeReference(referencePUK, old, new)
}

// Unblock sets a new PIN by the PUK.
func (t *Token) Unblock(puk, pin *secret.Buffer) error {
	pukPadded, err := padded(puk, true)
	if err != nil {
		return err
	}
	defer pukPadded.Wipe()
	pinPadded, err := padded(pin, false)
	if err != nil {
		return err
	}
	defer pinPadded.Wipe()
	return t.pinError(t.applet.Unblock(pukPadded.Bytes(), pinPadded.Bytes()), true)
}

func (t *Token) changeReference(id byte, old, new *secret.Buffer) error {
	puk := id == referencePUK
	oldPadded, err := padded(old, puk)
	if err != nil {
		return err
	}
	defer oldPadded.Wipe()
	newPadded, err := padded(new, puk)
	if err != nil {
		return err
	}
	defer newPadded.Wipe()
	return t.pinError(t.applet.ChangeReference(id, oldPadded.Bytes(), newPadded.Bytes()), puk)
}

// authenticate proves the management key.
func (t *Token) authenticate(key *secret.Buffer) error {
	algorithm, challenge := t.applet.ManagementChallenge()
	if key.Len() != managementAlgorithms[algorithm] {
		return keys.ErrManagementKey
	}
	response, err := management{Algorithm: algorithm, Key: key.Bytes()}.encrypt(challenge)
	if err != nil {
		return err
	}
	err = t.applet.AuthenticateManagement(response)
	return t.managementError(err)
}

// managementError makes the typed error of a command that proved the management
// key.
func (t *Token) managementError(err error) error {
	if err == swSecurityStatus {
		return keys.ErrManagementKey
	}
	return t.refused(err)
}

// SetTries sets the tries of PIN and PUK, which become the default again.
func (t *Token) SetTries(management, pin *secret.Buffer, pinTries, pukTries int) error {
	if err := t.authenticate(management); err != nil {
		return err
	}
	if err := t.VerifyPIN(pin); err != nil {
		return err
	}
	return t.refused(t.applet.SetRetries(pinTries, pukTries))
}

// SetManagement replaces the management key by an AES-256 key.
func (t *Token) SetManagement(old, new *secret.Buffer) error {
	if err := t.authenticate(old); err != nil {
		return err
	}
	return t.refused(t.applet.SetManagementKey(algorithmAES256, new.Bytes(), false))
}

// Generate makes a key on the token. A key that is in the slot is overwritten.
func (t *Token) Generate(management *secret.Buffer, s keys.Slot, algorithm keys.Algorithm, policy keys.Policy) (keys.PublicKey, error) {
	id, known := algorithmIDs[algorithm]
	if !known {
		return keys.PublicKey{}, &keys.TokenError{Text: fmt.Sprintf("the token makes no %q keys", algorithm)}
	}
	if err := t.authenticate(management); err != nil {
		return keys.PublicKey{}, err
	}
	public, err := t.applet.Generate(s, id, policy)
	if err != nil {
		return keys.PublicKey{}, t.refused(err)
	}
	return t.made(public)
}

// made is the key that a token says it has made.
func (t *Token) made(public crypto.PublicKey) (keys.PublicKey, error) {
	made, err := keys.FromCrypto(public)
	if err != nil {
		return keys.PublicKey{}, &keys.AnswerError{Serial: t.applet.Serial(), Why: fmt.Sprintf("the key that it made is none: %v", err)}
	}
	return made, nil
}

// Device returns the certificate that the token's attestations lead to.
func (t *Token) Device() ([]byte, error) { return t.applet.DeviceCertificate(), nil }

// Attest returns the attestation of a key made on the token.
func (t *Token) Attest(s keys.Slot) (keys.Attestation, error) {
	der, err := t.applet.Attest(s)
	switch err {
	case swReferenceNotFound:
		return keys.Attestation{}, &keys.NoKeyError{Slot: s}
	case swConditions:
		return keys.Attestation{}, &keys.NotGeneratedError{Slot: s}
	case nil:
		return keys.Attestation{Slot: der, Device: t.applet.DeviceCertificate()}, nil
	}
	return keys.Attestation{}, t.refused(err)
}

// Import puts a key that was made elsewhere into a slot.
func (t *Token) Import(management *secret.Buffer, s keys.Slot, algorithm keys.Algorithm, seed *secret.Buffer, policy keys.Policy) error {
	id, known := algorithmIDs[algorithm]
	if !known {
		return &keys.TokenError{Text: fmt.Sprintf("the token takes no %q keys", algorithm)}
	}
	private, err := rawKey(id, seed.Bytes())
	if err != nil {
		return &keys.TokenError{Text: fmt.Sprintf("the %d bytes are no private key of the kind %q", seed.Len(), algorithm)}
	}
	if err := t.authenticate(management); err != nil {
		return err
	}
	return t.refused(t.applet.Import(s, private, policy))
}

// Sign verifies the PIN and signs.
func (t *Token) Sign(s keys.Slot, pin *secret.Buffer, message []byte, touch func()) ([]byte, error) {
	k, found := t.applet.state.slot(s)
	if !found {
		return nil, &keys.NoKeyError{Slot: s}
	}
	data := message
	switch k.Algorithm {
	case algorithmP256:
		sum := sha256.Sum256(message)
		data = sum[:]
	case algorithmP384:
		sum := sha512.Sum384(message)
		data = sum[:]
	}
	if len(data) > maxMessage { // before a try of the PIN is risked
		return nil, &keys.TooLongError{Bytes: len(message), Limit: maxMessage}
	}
	return t.use(k, pin, touch, func() ([]byte, error) { return t.applet.Sign(s, data) })
}

// ECDH verifies the PIN and agrees on a secret.
func (t *Token) ECDH(s keys.Slot, pin *secret.Buffer, peer []byte, touch func()) (*secret.Buffer, error) {
	k, found := t.applet.state.slot(s)
	if !found {
		return nil, &keys.NoKeyError{Slot: s}
	}
	if k.Algorithm != algorithmP256 {
		return nil, &keys.TokenError{Text: fmt.Sprintf("the key in slot %v is no P-256 key, which age needs", s)}
	}
	if _, err := ecdh.P256().NewPublicKey(peer); err != nil {
		return nil, &keys.TokenError{Text: fmt.Sprintf("the other side's %d bytes are no point of P-256", len(peer))}
	}
	shared, err := t.use(k, pin, touch, func() ([]byte, error) { return t.applet.ECDH(s, peer) })
	if err != nil {
		return nil, err
	}
	return secret.Take(shared)
}

// use verifies the PIN and has the applet do what wants it, and perhaps a
// touch.
func (t *Token) use(k *slot, pin *secret.Buffer, touch func(), do func() ([]byte, error)) ([]byte, error) {
	if err := t.VerifyPIN(pin); err != nil {
		return nil, err
	}
	if t.applet.wantsTouch(k) {
		t.applet.arm()
		touch()
	}
	result, err := do()
	if err == swSecurityStatus { // the PIN was good
		return nil, keys.ErrNotTouched
	}
	return result, t.refused(err)
}
