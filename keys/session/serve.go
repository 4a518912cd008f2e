package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// Opener finds the tokens of a Backend and opens them, in the child process.
type Opener interface {
	// Readers are the names of all readers, empty ones too; virtual tokens
	// need none.
	Readers() ([]string, error)
	List() ([]keys.Info, error)
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
var firmwareEd25519 = keys.Firmware{Major: 5, Minor: 7, Patch: 0}

// tries is how many wrong PINs or PUKs in a row a prepared token takes.
const tries = 5

// Serve is the child's side of a Session: it answers the requests that r gives
// until r ends, which is nil. r must not be buffered. When r ends during a
// command, Serve returns at once while the command still runs: the caller ends
// the process. Programs call secret.LockProcess before.
func Serve(r io.Reader, w io.Writer, open func(Backend) (Opener, error), backups Backups) error {
	s := &server{
		r: r, w: w, open: open, backups: backups,
		work: make(chan job), done: make(chan error, 1),
		stored: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	go s.serve()
	err := s.read()
	close(s.ended)
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
	r       io.Reader
	w       io.Writer
	open    func(Backend) (Opener, error)
	backups Backups
	work    chan job
	busy    atomic.Bool // from the request until just before its answer
	done    chan error  // why serve returned
	touch   atomic.Pointer[Touchable]
	storing atomic.Bool   // the parent was asked to store something
	stored  chan struct{} // it has
	ended   chan struct{} // closed when the input ended

	// Of the working goroutine alone:
	opener Opener
	token  *selected
	key    *rootKey   // nil: none was made here, and no backup of one opened
	access *tokenKeys // nil: no backup of them was opened
}

// job is a request with the secrets that followed it.
type job struct {
	request
	given []*secret.Buffer
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
		case t == frameStored:
			if !s.storing.CompareAndSwap(true, false) {
				return errors.New("something is stored that nobody asked for")
			}
			s.stored <- struct{}{}
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
		if n := j.secrets(); n < 0 || n > maxSecrets || j.Entropy < 0 || j.Entropy > n {
			return fmt.Errorf("request with %d secrets", n)
		}
		for range j.secrets() {
			t, n, err := readHeader(s.r)
			if err != nil {
				return noEOF(err)
			}
			if t != frameSecret {
				return fmt.Errorf("frame of type %q instead of a secret", t)
			}
			given, err := readSecret(s.r, n)
			if err != nil {
				return err
			}
			j.given = append(j.given, given)
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
		for _, given := range j.given {
			given.Wipe()
		}
		if len(j.given) > 0 || j.Do == doRootKey || j.Do == doBackup { // which make secrets, and open them
			// The copies that libraries have made are freed, and overwritten (clobbers).
			// What a sync.Pool keeps lives through one collection.
			runtime.GC()
			runtime.GC()
		}
		if failed != nil {
			a = answer{Error: toWire(failed)}
		}
		var body []byte
		if body, err = json.Marshal(a); err == nil && len(body) > int(maxBody[frameAnswer]) {
			body, err = json.Marshal(answer{Error: toWire(s.tooLong(j.Do, len(body)))})
		}
		s.busy.Store(false)
		if err == nil {
			err = writeFrame(s.w, frameAnswer, body)
		}
		if err != nil {
			break
		}
	}
	s.key.wipe()
	s.access.wipe()
	if s.token != nil {
		err = errors.Join(err, s.token.Close())
	}
	s.done <- err
}

// tooLong is said in place of an answer that has no room in a frame.
func (s *server) tooLong(doing string, size int) error {
	long := &keys.AnswerError{Why: fmt.Sprintf("what it says fills %d bytes, more than %d", size, maxBody[frameAnswer])}
	if s.token != nil {
		long.Serial = s.token.serial
	}
	return fmt.Errorf("%s: %w", doing, long)
}

// do does what a request asks for: of the readers here, of a token in use.
func (s *server) do(j job) (answer, error) {
	switch {
	case j.Do == doOpen:
		return answer{}, s.openReaders(j.Backend)
	case j.Do == doBackup: // not always with a token
		opened, err := s.openBackup(j)
		return answer{Opened: &opened}, err
	case s.opener == nil:
		return answer{}, keys.ErrNoToken
	}
	switch j.Do {
	case doReaders:
		readers, err := s.opener.Readers()
		return answer{Readers: readers}, err
	case doList:
		tokens, err := s.opener.List()
		return answer{Tokens: tokens}, err
	case doSelect:
		return answer{}, s.selectToken(j.Serial)
	}
	if s.token == nil {
		return answer{}, keys.ErrNoToken
	}
	a, err := s.use(j)
	if errors.As(err, new(*keys.StatusError)) || errors.As(err, new(*keys.AnswerError)) {
		err = fmt.Errorf("%s: %w", j.Do, err) // people are told at what
	}
	return a, err
}

// newPIN tells a token that does not take a new PIN from one that does not know
// what it is asked: conditions of use (6985, of rules for PINs), wrong data (6a80).
func newPIN(err error) error {
	var refused *keys.StatusError
	if errors.As(err, &refused) && (refused.Status == 0x6985 || refused.Status == 0x6a80) {
		return &keys.PINRefusedError{Serial: refused.Serial}
	}
	return err
}

// use does what a request asks of the selected token.
func (s *server) use(j job) (answer, error) {
	switch j.Do {
	case doInfo:
		info, err := s.token.Info()
		return answer{Info: &info}, err
	case doReset:
		return answer{}, s.token.Reset()
	case doPrepare:
		prepared, err := prepare(s.token, j.given[0])
		return answer{Prepared: &prepared}, err
	case doRootKey:
		public, err := s.makeRootKey(j)
		return answer{Public: &public}, err
	case doTry:
		return answer{}, try(s.token, j.Algorithm, j.Message)
	case doDevice:
		device, err := s.token.Device()
		return answer{Device: device}, err
	case doAttest:
		attestation, err := s.token.Attest(j.Slot)
		return answer{Attestation: &attestation}, err
	case doPIN:
		return answer{}, s.token.VerifyPIN(j.given[0])
	case doUnblock:
		return answer{}, newPIN(s.token.Unblock(j.given[0], j.given[1]))
	case doHeldPUK:
		return answer{}, s.unblockHeld(j.given[0])
	case doSign:
		if j.Slot == keys.SlotAuthentication {
			if _, _, _, err := keys.ParseCheckpoint(j.Message); err != nil {
				return answer{}, fmt.Errorf("the key in slot %v signs nothing but checkpoints: %w", j.Slot, err)
			}
		}
		var said error
		signature, err := s.token.Sign(j.Slot, j.given[0], j.Message, s.announce(&said))
		return answer{Signature: signature}, errors.Join(err, said)
	}
	return answer{}, fmt.Errorf("request to %q, which this version does not know", j.Do)
}

// announce tells the parent that the token is about to wait for a touch.
func (s *server) announce(failed *error) func() {
	return func() { *failed = writeJSON(s.w, frameEvent, event{Touch: true}) }
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
		err = &keys.SerialError{Want: serial, Got: info.Serial}
	}
	if err != nil {
		return errors.Join(err, token.Close())
	}
	s.token = &selected{token, serial}
	if touchable, ok := token.(Touchable); ok {
		s.touch.Store(&touchable)
	}
	return nil
}

// selected is a token whose serial number was asked for. It stays the same.
type selected struct {
	Token
	serial uint32
}

func (t *selected) Info() (keys.Info, error) {
	i, err := t.Token.Info()
	if err == nil && i.Serial != t.serial {
		err = &keys.SerialError{Want: t.serial, Got: i.Serial}
	}
	return i, err
}

// Generate makes a key, of the kind that was asked for.
func (t *selected) Generate(management *secret.Buffer, slot keys.Slot, algorithm keys.Algorithm, policy keys.Policy) (keys.PublicKey, error) {
	public, err := t.Token.Generate(management, slot, algorithm, policy)
	if err == nil {
		_, err = public.Crypto()
		if err == nil && public.Algorithm != algorithm {
			err = fmt.Errorf("it is of the kind %q, and not %q", public.Algorithm, algorithm)
		}
		if err != nil {
			err = &keys.AnswerError{Serial: t.serial, Why: fmt.Sprintf("the key that it made is none: %v", err)}
		}
	}
	return public, err
}

// prepare is Session.Prepare. Tries come first: setting them brings PIN and
// PUK back to their defaults.
func prepare(t Token, pin *secret.Buffer) (Prepared, error) {
	info, err := t.Info()
	if err != nil {
		return Prepared{}, err
	}
	if !info.Fresh() {
		return Prepared{}, &keys.NotFreshError{Serial: info.Serial, Found: info.NotFresh()}
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
		return Prepared{}, fmt.Errorf("set the PIN: %w", newPIN(err))
	}
	var p Prepared
	authentication := keys.Ed25519
	if info.Firmware.Less(firmwareEd25519) {
		authentication = keys.P256
	}
	p.Authentication, err = t.Generate(management, keys.SlotAuthentication, authentication, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever})
	if err != nil {
		return Prepared{}, fmt.Errorf("make the key in slot %v: %w", keys.SlotAuthentication, err)
	}
	p.Age, err = t.Generate(management, keys.SlotAge, keys.P256, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways})
	if err != nil {
		return Prepared{}, fmt.Errorf("make the key in slot %v: %w", keys.SlotAge, err)
	}
	return p, nil
}

// try is Session.Try. The slot is one of the retired ones, which nothing else
// here uses.
func try(t Token, algorithm keys.Algorithm, message []byte) (err error) {
	info, err := t.Info()
	if err != nil {
		return err
	}
	if !info.Fresh() {
		return &keys.NotFreshError{Serial: info.Serial, Found: info.NotFresh()}
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
	public, err := t.Generate(management, keys.SlotTrial, algorithm, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever})
	if err != nil {
		return fmt.Errorf("make a key for a trial: %w", err)
	}
	signature, err := t.Sign(keys.SlotTrial, pin, message, nil)
	if err != nil {
		return fmt.Errorf("sign %d bytes for a trial: %w", len(message), err)
	}
	return public.Verify(message, signature)
}
