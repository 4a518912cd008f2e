package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// Backend says which tokens a session is to speak to.
type Backend struct {
	Kind    string   `json:"kind"`              // "virtual", or "pcsc": YubiKeys in the machine's readers
	Dir     string   `json:"dir,omitempty"`     // virtual: the drawer's folder
	Plugged []uint32 `json:"plugged,omitempty"` // virtual: serials of the tokens that are in a reader
}

// Program starts the child processes of sessions: the path and the arguments
// of a program that calls Serve with its standard input and output. Path "" is
// the program that runs, whatever lies on the disk in its place by now. A child
// gets Environment and Env, and nothing of this process's own environment.
// Silence is how long a child may say nothing while it is asked for something;
// 0: 20 seconds.
type Program struct {
	Path    string
	Args    []string
	Env     []string
	Silence time.Duration
}

// Environment is what every child gets. It holds PINs and seeds, so nobody's
// variables load code into it (LD_PRELOAD), lead it to another smart-card
// service (PCSCLITE_CSOCK_NAME) or have it print what it does (GODEBUG). Age's
// plugins are looked for in PATH, and inherit it.
var Environment = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}

// clobbers has a child's runtime overwrite what it frees. Libraries make copies of a
// PIN that nothing else reaches; server.serve frees them.
const clobbers = "GODEBUG=clobberfree=1"

// alone has a child's runtime use one processor, as a child does one thing after
// another. With more, each collection that server.serve asks for has the others look
// for work, which takes longer than the collection.
const alone = "GOMAXPROCS=1"

// silence is far longer than any command of a token takes, or a look at ten.
const silence = 20 * time.Second

// sealing is how many times as long a child may be silent while it seals, or opens
// without a token: a passphrase takes it a second, and a plugin may ask somebody.
const sealing = 15

// Session is a child process that speaks to tokens, and the only way in which
// the program does: what a smart card's driver cannot do (cancel, forget a
// PIN, let go of a reader) happens when the child ends. It ends with the
// context of Start, with Close, and with this process.
//
// A Session is used by one goroutine; Close may be called from any. Errors of
// its methods are those of errors.go, the context's once that is done, and
// *EndedError when the child died by itself. After such an end every method
// returns an error.
type Session struct {
	ctx    context.Context
	cmd    *exec.Cmd
	in     *os.File
	frames chan frame    // what the child said; closed when it says no more
	ended  chan struct{} // closed when the child is gone and waited for
	stderr firstBytes
	quiet  time.Duration // Program.Silence
	serial uint32        // of the token that was selected; 0: none

	mu      sync.Mutex
	killed  error // why this side ended the child; nil: it did not
	waitErr error // valid once ended is closed
	stop    func() bool
}

type frame struct {
	t    frameType
	body []byte
	err  error
}

// closeGrace is how long Close waits for a child that has no more input to end
// by itself, before it is killed.
const closeGrace = 2 * time.Second

var errClosed = errors.New("the session is closed")

// Start starts a child that speaks to the tokens of b.
func (p Program) Start(ctx context.Context, b Backend) (*Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a token session: %w", err)
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		_, _ = childIn.Close(), in.Close()
		return nil, fmt.Errorf("start a token session: %w", err)
	}
	s := &Session{ctx: ctx, in: in, frames: make(chan frame, 4), ended: make(chan struct{}), quiet: cmp.Or(p.Silence, silence)}
	// The link in /proc is to the running file itself, also once that has no
	// name any more.
	s.cmd = exec.Command(cmp.Or(p.Path, "/proc/self/exe"), p.Args...)
	s.cmd.Args[0] = cmp.Or(p.Path, os.Args[0]) // for people who look at processes
	s.cmd.Env = slices.Concat(Environment, []string{clobbers, alone}, p.Env)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = childIn, childOut, &s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.cmd.WaitDelay = time.Second // for grandchildren that keep stderr open

	started := make(chan error)
	go s.run(started)
	err = <-started
	_, _ = childIn.Close(), childOut.Close()
	if err != nil {
		_, _ = in.Close(), out.Close()
		return nil, fmt.Errorf("start a token session: %w", err)
	}
	go s.read(out)
	s.stop = context.AfterFunc(ctx, func() { s.kill(context.Cause(ctx)) })
	if _, err := s.call(ctx, request{Do: doOpen, Backend: &b}, reactions{}); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// run starts the child and waits for its end. The kernel sends Pdeathsig when
// the thread that started the child ends, so that thread is kept.
func (s *Session) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := s.cmd.Start()
	started <- err
	if err == nil {
		s.waitErr = s.cmd.Wait()
	}
	close(s.ended)
}

// read hands on what the child says until it says no more, or nonsense.
func (s *Session) read(out *os.File) {
	defer out.Close()
	defer close(s.frames)
	for {
		t, n, err := readHeader(out)
		f := frame{t: t, err: err}
		switch {
		case err != nil:
		case t == frameAnswer || t == frameEvent || t == frameFile:
			f.body, f.err = readBody(out, n)
		default:
			f.err = fmt.Errorf("frame of type %q from the child", t)
		}
		if f.err == io.EOF || errors.Is(f.err, io.ErrUnexpectedEOF) {
			return
		}
		s.frames <- f
		if f.err != nil {
			return
		}
	}
}

// kill ends the child at once. The first reason stays.
func (s *Session) kill(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed == nil {
		s.killed = why
	}
	_ = s.cmd.Process.Kill()
}

// gone waits until the child has ended, and says why.
func (s *Session) gone(doing string) error {
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed != nil {
		return s.killed
	}
	why := "exit status 0"
	if s.waitErr != nil {
		why = s.waitErr.Error()
	}
	if line := s.stderr.line(); line != "" {
		why += ": " + line
	}
	return &keys.EndedError{Serial: s.serial, Doing: doing, Why: why}
}

// reactions are what the caller does before the answer is there; nil for what
// the request does not lead to.
type reactions struct {
	touch func(context.Context) error // the token is about to wait for one
	store func(Sealed) error          // what is sealed is to be kept
}

// heard is what the child has said before its answer.
type heard struct {
	files []SealedFile // since the last event

	doing  string
	sealed string        // what it seals last; "": nothing
	limit  time.Duration // how long it may say nothing
	silent *time.Timer   // ends the child after that
}

// limited ends the child once it has said nothing for so long.
func (s *Session) limited(h *heard, limit time.Duration) {
	h.limit = limit
	silent := &keys.SilentError{Serial: s.serial, Doing: h.doing, After: limit}
	h.silent = time.AfterFunc(limit, func() { s.kill(silent) })
}

// call sends a request, with its secrets, and returns the answer.
func (s *Session) call(ctx context.Context, q request, on reactions, secrets ...*secret.Buffer) (a answer, err error) {
	for _, given := range secrets {
		if given.Len() > int(maxBody[frameSecret]) {
			return answer{}, fmt.Errorf("a secret of %d bytes is too long: at most %d", given.Len(), maxBody[frameSecret])
		}
	}
	if len(secrets) > maxSecrets {
		return answer{}, fmt.Errorf("%d secrets are too many: at most %d", len(secrets), maxSecrets)
	}
	body, err := json.Marshal(q)
	if err == nil && len(body) > int(maxBody[frameRequest]) {
		err = fmt.Errorf("a request of %d bytes is too long: at most %d", len(body), maxBody[frameRequest])
	}
	if err != nil {
		return answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { s.kill(context.Cause(ctx)) })
	defer stop()
	h, limit := heard{doing: q.Do}, s.quiet
	switch {
	case q.Order != nil && q.Order.Seal != nil && q.Order.From == keys.FromSession:
		h.sealed, limit = keys.BackupKey, limit*sealing
	case q.Order != nil && q.Order.Seal != nil:
		h.sealed, limit = keys.BackupToken, limit*sealing
	case q.Do == doBackup && !q.WithToken:
		limit *= sealing
	}
	s.limited(&h, limit)
	defer func() { h.silent.Stop() }()
	err = writeFrame(s.in, frameRequest, body)
	for _, given := range secrets {
		if err == nil {
			err = writeFrame(s.in, frameSecret, given.Bytes())
		}
	}
	if err != nil {
		if errors.Is(err, os.ErrClosed) {
			return answer{}, errClosed
		}
		s.hangUp()
		return answer{}, s.gone(q.Do)
	}

	f, more := <-s.frames
	for more && f.err == nil && f.t != frameAnswer {
		f, more = s.react(ctx, f, &h, on)
	}
	if !more {
		s.hangUp()
		return answer{}, s.gone(q.Do)
	}
	if f.err == nil {
		f.err = decode(f.body, &a)
	}
	if f.err != nil {
		s.end(fmt.Errorf("what the token's process said makes no sense: %w", f.err))
		return answer{}, s.gone(q.Do)
	}
	if a.Error != nil {
		return answer{}, a.Error.typed()
	}
	return a, nil
}

// end kills the child, and throws away what it still says.
func (s *Session) end(why error) {
	s.kill(why)
	for range s.frames {
	}
}

// react does what a frame before the answer asks for, and returns the next.
func (s *Session) react(ctx context.Context, f frame, h *heard, on reactions) (next frame, more bool) {
	nonsense := func(err error) (frame, bool) { return frame{err: err}, true }
	var e event
	h.silent.Reset(h.limit)
	if f.t == frameFile {
		var file SealedFile
		if err := decode(f.body, &file); err != nil {
			return nonsense(fmt.Errorf("sealed file: %w", err))
		}
		if h.files = append(h.files, file); len(h.files) > maxFiles {
			return nonsense(fmt.Errorf("more than %d sealed files", maxFiles))
		}
		next, more = <-s.frames
		return next, more
	}
	err := decode(f.body, &e)
	switch {
	case err == nil && e == event{Touch: true}:
		h.silent.Reset(keys.TouchWait*time.Second + h.limit)
		return s.touch(ctx, on.touch)
	case err == nil && !e.Touch && e.Store != "" && on.store != nil && len(h.files) > 0:
		sealed := Sealed{e.Store, e.Public, h.files}
		h.files = nil
		h.silent.Stop() // it waits for this side
		if err := on.store(sealed); err != nil {
			s.end(err)
			return frame{}, false
		}
		if sealed.What == h.sealed { // from here on it speaks to the token
			s.limited(h, s.quiet)
		} else {
			h.silent.Reset(h.limit)
		}
		// A child that is gone cannot be written to; the next frame tells.
		_ = writeFrame(s.in, frameStored, nil)
		next, more = <-s.frames
		return next, more
	}
	return nonsense(fmt.Errorf("event %q", f.body))
}

// touch calls the caller's touch, in the caller's goroutine, with a context
// that ends when the token has answered, and returns what the child says next.
func (s *Session) touch(ctx context.Context, touch func(context.Context) error) (next frame, more bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type reply struct {
		f    frame
		more bool
	}
	answered := make(chan reply, 1)
	go func() {
		f, more := <-s.frames
		answered <- reply{f, more}
		cancel()
	}()
	var err error
	if touch != nil {
		err = touch(ctx)
	}
	select {
	case r := <-answered: // a signature that is there counts, whatever touch says
		return r.f, r.more
	default:
	}
	if err != nil {
		s.kill(err)
		<-answered
		s.end(err)
		return frame{}, false
	}
	if touch != nil {
		// A child that is gone cannot be written to; the answer tells.
		_ = writeFrame(s.in, frameTouched, nil)
	}
	r := <-answered
	return r.f, r.more
}

// hangUp makes sure that a child whose output ended does end.
func (s *Session) hangUp() {
	_ = s.in.Close()
	select {
	case <-s.ended:
	case <-time.After(closeGrace):
		_ = s.cmd.Process.Kill()
	}
}

// Close ends the session and waits until its child is gone. It may be called
// again.
func (s *Session) Close() error {
	s.stop()
	s.mu.Lock()
	if s.killed == nil {
		s.killed = errClosed
	}
	s.mu.Unlock()
	s.hangUp()
	<-s.ended
	return nil
}

// Readers returns the names of the readers, empty ones too. Virtual tokens need
// none. Errors: ErrNoService.
func (s *Session) Readers() ([]string, error) {
	a, err := s.call(s.ctx, request{Do: doReaders}, reactions{})
	return a.Readers, err
}

// List returns the tokens that are in the readers now.
func (s *Session) List() ([]keys.Info, error) {
	a, err := s.call(s.ctx, request{Do: doList}, reactions{})
	return a.Tokens, err
}

// Select opens the token with this serial for the methods below. It closes the
// one that was open. Errors are *NotFoundError, *SerialError, *InUseError.
func (s *Session) Select(serial uint32) error {
	s.serial = serial
	_, err := s.call(s.ctx, request{Do: doSelect, Serial: serial}, reactions{})
	return err
}

// Info returns what the selected token says about itself.
func (s *Session) Info() (keys.Info, error) {
	a, err := s.call(s.ctx, request{Do: doInfo}, reactions{})
	return *valueOr(a.Info), err
}

// Reset erases the selected token's keys and brings it to its factory state.
func (s *Session) Reset() error {
	_, err := s.call(s.ctx, request{Do: doReset}, reactions{})
	return err
}

// Prepared are the keys that Prepare makes on a token.
type Prepared struct {
	Authentication keys.PublicKey `json:"authentication"` // slot 9a: ed25519 (P-256 below firmware 5.7), PIN always, touch never
	Age            keys.PublicKey `json:"age"`            // slot 82: P-256, PIN always, touch always
}

// Prepare is a token's first pass: 5 tries for PIN and PUK, the holder's PIN,
// the keys in 9a and 82. The token must be fresh (*NotFreshError); PUK and
// management key stay the default.
func (s *Session) Prepare(pin *secret.Buffer) (Prepared, error) {
	a, err := s.call(s.ctx, request{Do: doPrepare}, reactions{}, pin)
	return *valueOr(a.Prepared), err
}

// MakeRootKey is a token's second pass: a random PUK, a random AES-256
// management key, and then the root key in 9c with PIN always. PUK and
// management key must be the default, the PIN must not, and 9c must be empty
// (*NotFreshError, *SlotTakenError).
//
// With order.Seal, PUK and management key are sealed first (BackupToken), and
// with FromSession the root key too (BackupKey). store is called for each in
// this goroutine, and keeps the files for good. Until it has returned nil for
// all of them the token stays as it is. If it returns an error, the session
// ends and MakeRootKey returns that error. Every call makes other secrets, so
// the files of two calls belong into two folders.
//
// The root key of FromSession stays in the session's process until that ends:
// FromHeld puts it on a second token, selected and prepared in the same
// session, which gets a PUK and management key of its own.
//
// A token that has its PUK and no root key, because something was cut off then,
// needs no reset where those were sealed: after OpenBackup of its PUK and
// management key, MakeRootKey goes on with them, and does not seal them again.
func (s *Session) MakeRootKey(order RootKeyOrder, store func(Sealed) error) (keys.PublicKey, error) {
	secrets := slices.Concat(order.Passphrases, order.Entropy)
	q := request{Do: doRootKey, Order: &order, Secrets: len(secrets), Entropy: len(order.Entropy)}
	a, err := s.call(s.ctx, q, reactions{store: store}, secrets...)
	return *valueOr(a.Public), err
}

// OpenBackup opens a layer of a sealed backup, the outermost first. What is in
// the last one stays in the session's process until that ends: a root key for MakeRootKey with
// FromHeld, a PUK for UnblockFromBackup. For a drill the answer is enough, with
// the public key derived from the root key.
//
// Where order.PIN is set, the selected token opens it with its key in 82. Then
// touch, and the end of the session, are as in Sign.
func (s *Session) OpenBackup(ctx context.Context, order BackupOrder, touch func(ctx context.Context) error) (Opened, error) {
	if len(order.Ciphertext) > MaxMessage {
		return Opened{}, fmt.Errorf("a sealed file of %d bytes is none of ours, which are shorter than %d", len(order.Ciphertext), MaxMessage)
	}
	secrets := order.Secrets
	if order.PIN != nil {
		secrets = slices.Concat([]*secret.Buffer{order.PIN}, secrets)
	}
	q := request{Do: doBackup, Message: order.Ciphertext, Open: order.Open, WithToken: order.PIN != nil, Secrets: len(secrets)}
	a, err := s.call(ctx, q, reactions{touch: touch}, secrets...)
	return *valueOr(a.Opened), err
}

// UnblockFromBackup sets a new PIN, with all its tries, by the PUK of the
// backup that was opened in this session, which must be the selected token's
// (*SerialError).
func (s *Session) UnblockFromBackup(pin *secret.Buffer) error {
	_, err := s.call(s.ctx, request{Do: doHeldPUK}, reactions{}, pin)
	return err
}

// Try has a fresh token make a key, sign message with it, and then brings the
// token back to its factory state: it works, and signs so much.
func (s *Session) Try(algorithm keys.Algorithm, message []byte) error {
	_, err := s.call(s.ctx, request{Do: doTry, Algorithm: algorithm, Message: message}, reactions{})
	return err
}

// DeviceCertificate returns the selected token's own certificate, DER, which
// VerifyDevice takes. A token that has none any more is a *NoKeyError.
func (s *Session) DeviceCertificate() ([]byte, error) {
	a, err := s.call(s.ctx, request{Do: doDevice}, reactions{})
	return a.Device, err
}

// Attest returns the attestation of a key made on the selected token.
func (s *Session) Attest(slot keys.Slot) (keys.Attestation, error) {
	a, err := s.call(s.ctx, request{Do: doAttest, Slot: slot}, reactions{})
	return *valueOr(a.Attestation), err
}

// CheckPIN proves the PIN to the selected token; a wrong one costs a try.
func (s *Session) CheckPIN(pin *secret.Buffer) error {
	_, err := s.call(s.ctx, request{Do: doPIN}, reactions{}, pin)
	return err
}

// Unblock sets a new PIN, with all its tries, by the PUK; a wrong PUK costs one
// of the PUK's tries (*PINError).
func (s *Session) Unblock(puk, pin *secret.Buffer) error {
	_, err := s.call(s.ctx, request{Do: doUnblock}, reactions{}, puk, pin)
	return err
}

// Sign returns the signature over message of the key in slot. The caller
// verifies it. For the key in 9a message must be the text of a checkpoint
// (keys.ParseCheckpoint); the child refuses any other.
//
// When the token is about to wait for a touch, touch is called, in this
// goroutine, with a context that ends when the token has answered. If touch
// returns nil before that, a virtual token is touched; a real one goes on
// waiting. If it returns an error before that, the session ends and Sign
// returns that error: the token may still sign when it is touched late.
func (s *Session) Sign(ctx context.Context, slot keys.Slot, pin *secret.Buffer, message []byte, touch func(ctx context.Context) error) ([]byte, error) {
	if len(message) > MaxMessage {
		return nil, &keys.TooLongError{Bytes: len(message), Limit: MaxMessage}
	}
	a, err := s.call(ctx, request{Do: doSign, Slot: slot, Message: message}, reactions{touch: touch}, pin)
	return a.Signature, err
}

// valueOr returns p, or a zero value where the answer lacks it.
func valueOr[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

// firstBytes keeps the beginning of what a child writes to stderr.
type firstBytes struct {
	mu   sync.Mutex
	kept []byte
}

func (f *firstBytes) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = append(f.kept, p[:min(len(p), 1024-len(f.kept))]...)
	return len(p), nil
}

func (f *firstBytes) line() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	line, _, _ := strings.Cut(strings.TrimSpace(string(f.kept)), "\n")
	return line
}
