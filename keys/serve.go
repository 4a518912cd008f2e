package keys

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"rootceremony/keys/secret"
)

// Opener finds the tokens of a Backend and opens them, in the child process.
type Opener interface {
	List() ([]Info, error)
	// Open errors: *NotFoundError, *InUseError.
	Open(serial uint32) (Token, error)
}

// Touchable is a token that no finger can touch. Touched takes the place of
// one; it is called from another goroutine than the Token's methods, and does
// nothing unless the token waits for a touch.
type Touchable interface{ Touched() }

// Factory values of PIV (Yubico).
const (
	DefaultPIN        = "123456"
	DefaultPUK        = "12345678"
	DefaultManagement = "\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04\x05\x06\x07\x08"
)

// firmwareEd25519 is the first firmware that knows ed25519.
var firmwareEd25519 = Firmware{5, 7, 0}

// tries is how many wrong PINs or PUKs in a row a prepared token takes.
const tries = 5

// Serve is the child's side of a Session: it answers the requests that r gives
// until r ends, which is nil. r must not be buffered. When r ends during a
// command, Serve returns at once while the command still runs: the caller ends
// the process. Programs call secret.LockProcess before.
func Serve(r io.Reader, w io.Writer, open func(Backend) (Opener, error)) error {
	s := &server{r: r, w: w, open: open, work: make(chan job), done: make(chan error, 1)}
	go s.serve()
	err := s.read()
	if err == io.EOF {
		err = nil
	}
	if err == nil && !s.busy.Load() {
		close(s.work) // let go of the token
		err = <-s.done
	}
	if err != nil {
		return fmt.Errorf("token session: %w", err)
	}
	return nil
}

// server is the child's side of a session. The goroutine of Serve reads, a
// second one works and writes, so that a touch and the end of the input are
// noticed during a command.
type server struct {
	r     io.Reader
	w     io.Writer
	open  func(Backend) (Opener, error)
	work  chan job
	busy  atomic.Bool // from the request until just before its answer
	done  chan error  // why serve returned
	touch atomic.Pointer[Touchable]

	// Of the working goroutine alone:
	opener Opener
	token  Token
}

// job is a request with its PIN, or the PIN or PUK that goes before the new PIN.
type job struct {
	request
	pin, newPIN *secret.Buffer
}

// read hands requests to the working goroutine until the input ends.
func (s *server) read() error {
	for {
		t, n, err := readHeader(s.r)
		if err != nil {
			return err
		}
		switch {
		case t == frameTouched:
			if touchable := s.touch.Load(); touchable != nil {
				(*touchable).Touched()
			}
			continue
		case t != frameRequest:
			return fmt.Errorf("frame of type %q instead of a request", t)
		case s.busy.Load():
			return errors.New("a request during another")
		}
		body, err := readBody(s.r, n)
		if err != nil {
			return err
		}
		var j job
		if err := decode(body, &j.request); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		for _, to := range []**secret.Buffer{&j.pin, &j.newPIN}[:j.secrets()] {
			t, n, err := readHeader(s.r)
			if err != nil {
				return noEOF(err)
			}
			if t != frameSecret {
				return fmt.Errorf("frame of type %q instead of a secret", t)
			}
			if *to, err = readSecret(s.r, n); err != nil {
				return err
			}
		}
		s.busy.Store(true)
		select {
		case s.work <- j:
		case err := <-s.done:
			return err
		}
	}
}

// serve does the requests one by one and answers them.
func (s *server) serve() {
	var err error
	for j := range s.work {
		a, failed := s.do(j)
		j.pin.Wipe()
		j.newPIN.Wipe()
		if failed != nil {
			a = answer{Error: toWire(failed)}
		}
		s.busy.Store(false)
		if err = writeJSON(s.w, frameAnswer, a); err != nil {
			break
		}
	}
	if s.token != nil {
		err = errors.Join(err, s.token.Close())
	}
	s.done <- err
}

func (s *server) do(j job) (answer, error) {
	switch j.Do {
	case doOpen:
		return answer{}, s.openReaders(j.Backend)
	case doList:
		if s.opener == nil {
			return answer{}, ErrNoToken
		}
		tokens, err := s.opener.List()
		return answer{Tokens: tokens}, err
	case doSelect:
		return answer{}, s.selectToken(j.Serial)
	}
	if s.token == nil {
		return answer{}, ErrNoToken
	}
	switch j.Do {
	case doInfo:
		info, err := s.token.Info()
		return answer{Info: &info}, err
	case doReset:
		return answer{}, s.token.Reset()
	case doPrepare:
		prepared, err := prepare(s.token, j.pin)
		return answer{Prepared: &prepared}, err
	case doRootKey:
		public, err := makeRootKey(s.token, j.Algorithm, j.Touch)
		return answer{Public: &public}, err
	case doTry:
		return answer{}, try(s.token, j.Algorithm, j.Message)
	case doAttest:
		attestation, err := s.token.Attest(j.Slot)
		return answer{Attestation: &attestation}, err
	case doPIN:
		return answer{}, s.token.VerifyPIN(j.pin)
	case doChange:
		return answer{}, s.token.ChangePIN(j.pin, j.newPIN)
	case doUnblock:
		return answer{}, s.token.Unblock(j.pin, j.newPIN)
	case doSign:
		var said error
		signature, err := s.token.Sign(j.Slot, j.pin, j.Message, func() {
			said = writeJSON(s.w, frameEvent, event{Touch: true})
		})
		return answer{Signature: signature}, errors.Join(err, said)
	}
	return answer{}, fmt.Errorf("request to %q, which this version does not know", j.Do)
}

func (s *server) openReaders(b *Backend) (err error) {
	if b == nil || s.opener != nil {
		return errors.New("a session opens its readers once")
	}
	s.opener, err = s.open(*b)
	return err
}

// selectToken opens a token in place of the open one, and makes sure that it
// is the one that was meant.
func (s *server) selectToken(serial uint32) error {
	if s.opener == nil {
		return ErrNoToken
	}
	if s.token != nil {
		s.touch.Store(nil)
		err := s.token.Close()
		s.token = nil
		if err != nil {
			return err
		}
	}
	token, err := s.opener.Open(serial)
	if err != nil {
		return err
	}
	info, err := token.Info()
	if err == nil && info.Serial != serial {
		err = &SerialError{Want: serial, Got: info.Serial}
	}
	if err != nil {
		return errors.Join(err, token.Close())
	}
	s.token = token
	if touchable, ok := token.(Touchable); ok {
		s.touch.Store(&touchable)
	}
	return nil
}

// prepare is Session.Prepare. Tries come first: setting them brings PIN and
// PUK back to their defaults.
func prepare(t Token, pin *secret.Buffer) (Prepared, error) {
	info, err := t.Info()
	if err != nil {
		return Prepared{}, err
	}
	if !info.Fresh() {
		return Prepared{}, &NotFreshError{info.Serial, info.NotFresh()}
	}
	management, err := secret.Take([]byte(DefaultManagement))
	if err != nil {
		return Prepared{}, err
	}
	defer management.Wipe()
	factoryPIN, err := secret.Take([]byte(DefaultPIN))
	if err != nil {
		return Prepared{}, err
	}
	defer factoryPIN.Wipe()

	if err := t.SetTries(management, factoryPIN, tries, tries); err != nil {
		return Prepared{}, fmt.Errorf("set the tries of PIN and PUK: %w", err)
	}
	if err := t.ChangePIN(factoryPIN, pin); err != nil {
		return Prepared{}, fmt.Errorf("set the PIN: %w", err)
	}
	var p Prepared
	authentication := Ed25519
	if info.Firmware.Less(firmwareEd25519) {
		authentication = P256
	}
	p.Authentication, err = t.Generate(management, SlotAuthentication, authentication, Policy{PINAlways, TouchNever})
	if err != nil {
		return Prepared{}, fmt.Errorf("make the key in slot %v: %w", SlotAuthentication, err)
	}
	p.Age, err = t.Generate(management, SlotAge, P256, Policy{PINAlways, TouchAlways})
	if err != nil {
		return Prepared{}, fmt.Errorf("make the key in slot %v: %w", SlotAge, err)
	}
	return p, nil
}

// try is Session.Try. The slot is one of the retired ones, which nothing else
// here uses.
func try(t Token, algorithm Algorithm, message []byte) (err error) {
	info, err := t.Info()
	if err != nil {
		return err
	}
	if !info.Fresh() {
		return &NotFreshError{info.Serial, info.NotFresh()}
	}
	management, err := secret.Take([]byte(DefaultManagement))
	if err != nil {
		return err
	}
	defer management.Wipe()
	pin, err := secret.Take([]byte(DefaultPIN))
	if err != nil {
		return err
	}
	defer pin.Wipe()
	defer func() { err = errors.Join(err, t.Reset()) }()
	public, err := t.Generate(management, SlotTrial, algorithm, Policy{PINAlways, TouchNever})
	if err != nil {
		return fmt.Errorf("make a key for a trial: %w", err)
	}
	signature, err := t.Sign(SlotTrial, pin, message, nil)
	if err != nil {
		return fmt.Errorf("sign %d bytes for a trial: %w", len(message), err)
	}
	return public.Verify(message, signature)
}

// makeRootKey is Session.MakeRootKey. With PUK and management key gone, nobody
// can set another PIN or overwrite the key; so they go before it is made.
func makeRootKey(t Token, algorithm Algorithm, touch Touch) (PublicKey, error) {
	info, err := t.Info()
	if err != nil {
		return PublicKey{}, err
	}
	switch { // what the token would refuse at the end, it must not begin with
	case algorithm != Ed25519 && algorithm != P256 && algorithm != P384:
		return PublicKey{}, &TokenError{fmt.Sprintf("no token makes %q keys", algorithm)}
	case touch != TouchNever && touch != TouchAlways && touch != TouchCached:
		return PublicKey{}, &TokenError{fmt.Sprintf("no token knows the touch policy %q", touch)}
	case algorithm == Ed25519 && info.Firmware.Less(firmwareEd25519):
		return PublicKey{}, &TokenError{fmt.Sprintf("token %d has firmware %v, and ed25519 needs %v (hint: another token, or ecdsa-p256 in the plan)",
			info.Serial, info.Firmware, firmwareEd25519)}
	}
	if _, taken := info.Key(SlotRoot); taken {
		return PublicKey{}, &SlotTakenError{SlotRoot}
	}
	if info.PINDefault {
		return PublicKey{}, &NotFreshError{info.Serial, []string{"its PIN is still the default"}}
	}
	if !info.PUKDefault || !info.ManagementDefault {
		info.Keys, info.PINDefault = nil, true // those are the holder's
		return PublicKey{}, &NotFreshError{info.Serial, info.NotFresh()}
	}

	factoryPUK, err := secret.Take([]byte(DefaultPUK))
	if err != nil {
		return PublicKey{}, err
	}
	defer factoryPUK.Wipe()
	factoryManagement, err := secret.Take([]byte(DefaultManagement))
	if err != nil {
		return PublicKey{}, err
	}
	defer factoryManagement.Wipe()
	puk, err := randomPUK()
	if err != nil {
		return PublicKey{}, err
	}
	defer puk.Wipe()
	management, err := secret.New(32)
	if err != nil {
		return PublicKey{}, err
	}
	defer management.Wipe()
	_, _ = rand.Read(management.Bytes()) // never fails: it ends the program instead

	if err := t.ChangePUK(factoryPUK, puk); err != nil {
		return PublicKey{}, fmt.Errorf("set the PUK: %w", err)
	}
	if err := t.SetManagement(factoryManagement, management); err != nil {
		return PublicKey{}, fmt.Errorf("set the management key: %w", err)
	}
	public, err := t.Generate(management, SlotRoot, algorithm, Policy{PINAlways, touch})
	if err != nil {
		return PublicKey{}, fmt.Errorf("make the key in slot %v: %w", SlotRoot, err)
	}
	return public, nil
}

// randomPUK returns 8 random digits other than the default. Bytes from 250 on
// are thrown away, so that every digit is equally likely.
func randomPUK() (*secret.Buffer, error) {
	puk, err := secret.New(8)
	if err != nil {
		return nil, err
	}
	digits := puk.Bytes()
	for {
		for i := range digits {
			for digits[i] = 255; digits[i] >= 250; {
				_, _ = rand.Read(digits[i : i+1])
			}
			digits[i] = '0' + digits[i]%10
		}
		if string(digits) != DefaultPUK { // compared in place: no copy is made
			return puk, nil
		}
	}
}
