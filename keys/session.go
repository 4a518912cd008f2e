package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"rootceremony/keys/secret"
)

// Backend says which tokens a session is to speak to.
type Backend struct {
	Kind    string   `json:"kind"`              // "virtual", or "pcsc": YubiKeys in the machine's readers
	Dir     string   `json:"dir,omitempty"`     // virtual: the drawer's folder
	Plugged []uint32 `json:"plugged,omitempty"` // virtual: serials of the tokens that are in a reader
}

// Program starts the child processes of sessions: the path and the arguments
// of a program that calls Serve with its standard input and output. Env is its
// environment; nil: this process's own.
type Program struct {
	Path string
	Args []string
	Env  []string
}

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

	mu      sync.Mutex
	killed  error // why this side ended the child; nil: it did not
	waitErr error // valid once ended is closed
	stop    func() bool
}

type frame struct {
	t      frameType
	body   []byte
	secret *secret.Buffer // the body of a frameSecret
	err    error
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
	s := &Session{ctx: ctx, in: in, frames: make(chan frame, 4), ended: make(chan struct{})}
	s.cmd = exec.Command(p.Path, p.Args...)
	s.cmd.Env = p.Env
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
	if _, err := s.call(ctx, request{Do: doOpen, Backend: &b}, nil); err != nil {
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
		case t == frameAnswer || t == frameEvent:
			f.body, f.err = readBody(out, n)
		case t == frameSecret:
			f.secret, f.err = readSecret(out, n)
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
	return &EndedError{Doing: doing, Why: why}
}

// call sends a request, with its secrets, and returns the answer, with its
// secret. touch is called when the token is about to wait for one.
func (s *Session) call(ctx context.Context, q request, touch func(context.Context) error, secrets ...*secret.Buffer) (a answer, err error) {
	for _, pin := range secrets {
		if pin.Len() > int(maxBody[frameSecret]) {
			return answer{}, &PINFormatError{}
		}
	}
	stop := context.AfterFunc(ctx, func() { s.kill(context.Cause(ctx)) })
	defer stop()
	err = writeJSON(s.in, frameRequest, q)
	for _, pin := range secrets {
		if err == nil {
			err = writeFrame(s.in, frameSecret, pin.Bytes())
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
	var shared *secret.Buffer
	for more && f.err == nil && f.t != frameAnswer {
		switch {
		case f.t == frameEvent:
			f, more = s.touch(ctx, f, touch)
		case shared == nil:
			shared = f.secret
			f, more = <-s.frames
		default:
			f.err = errors.New("a second secret")
		}
	}
	if !more {
		shared.Wipe()
		s.hangUp()
		return answer{}, s.gone(q.Do)
	}
	if f.err == nil {
		f.err = decode(f.body, &a)
	}
	if f.err != nil {
		shared.Wipe()
		err := fmt.Errorf("what the token's process said makes no sense: %w", f.err)
		s.kill(err)
		return answer{}, s.gone(q.Do)
	}
	if a.Error != nil {
		shared.Wipe()
		return answer{}, a.Error.typed()
	}
	a.secret = shared
	return a, nil
}

// touch calls the caller's touch, in the caller's goroutine, with a context
// that ends when the token has answered, and returns what the child says next.
func (s *Session) touch(ctx context.Context, f frame, touch func(context.Context) error) (next frame, more bool) {
	var e event
	if err := decode(f.body, &e); err != nil || !e.Touch {
		return frame{err: fmt.Errorf("event %q", f.body)}, true
	}
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
		r := <-answered
		r.f.secret.Wipe()
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

// List returns the tokens that are in the readers now.
func (s *Session) List() ([]Info, error) {
	a, err := s.call(s.ctx, request{Do: doList}, nil)
	return a.Tokens, err
}

// Select opens the token with this serial for the methods below. It closes the
// one that was open. Errors are *NotFoundError, *SerialError, *InUseError.
func (s *Session) Select(serial uint32) error {
	_, err := s.call(s.ctx, request{Do: doSelect, Serial: serial}, nil)
	return err
}

// Info returns what the selected token says about itself.
func (s *Session) Info() (Info, error) {
	a, err := s.call(s.ctx, request{Do: doInfo}, nil)
	return *valueOr(a.Info), err
}

// Reset erases the selected token's keys and brings it to its factory state.
func (s *Session) Reset() error {
	_, err := s.call(s.ctx, request{Do: doReset}, nil)
	return err
}

// Prepared are the keys that Prepare makes on a token.
type Prepared struct {
	Authentication PublicKey `json:"authentication"` // slot 9a: ed25519 (P-256 below firmware 5.7), PIN always, touch never
	Age            PublicKey `json:"age"`            // slot 82: P-256, PIN always, touch always
}

// Prepare is a token's first pass: 5 tries for PIN and PUK, the holder's PIN,
// the keys in 9a and 82. The token must be fresh (*NotFreshError); PUK and
// management key stay the default.
func (s *Session) Prepare(pin *secret.Buffer) (Prepared, error) {
	a, err := s.call(s.ctx, request{Do: doPrepare}, nil, pin)
	return *valueOr(a.Prepared), err
}

// MakeRootKey is a token's second pass: a random PUK and a random AES-256
// management key, which nobody ever learns, and then the root key in 9c with
// PIN always. PUK and management key must be the default, the PIN must not,
// and 9c must be empty (*NotFreshError, *SlotTakenError).
func (s *Session) MakeRootKey(algorithm Algorithm, touch Touch) (PublicKey, error) {
	a, err := s.call(s.ctx, request{Do: doRootKey, Algorithm: algorithm, Touch: touch}, nil)
	return *valueOr(a.Public), err
}

// Try has a fresh token make a key, sign message with it, and then brings the
// token back to its factory state: it works, and signs so much.
func (s *Session) Try(algorithm Algorithm, message []byte) error {
	_, err := s.call(s.ctx, request{Do: doTry, Algorithm: algorithm, Message: message}, nil)
	return err
}

// Attest returns the attestation of a key made on the selected token.
func (s *Session) Attest(slot Slot) (Attestation, error) {
	a, err := s.call(s.ctx, request{Do: doAttest, Slot: slot}, nil)
	return *valueOr(a.Attestation), err
}

// CheckPIN proves the PIN to the selected token; a wrong one costs a try.
func (s *Session) CheckPIN(pin *secret.Buffer) error {
	_, err := s.call(s.ctx, request{Do: doPIN}, nil, pin)
	return err
}

// ChangePIN sets another PIN; a wrong old one costs a try.
func (s *Session) ChangePIN(old, new *secret.Buffer) error {
	_, err := s.call(s.ctx, request{Do: doChange}, nil, old, new)
	return err
}

// Unblock sets a new PIN, with all its tries, by the PUK; a wrong PUK costs one
// of the PUK's tries (*PINError).
func (s *Session) Unblock(puk, pin *secret.Buffer) error {
	_, err := s.call(s.ctx, request{Do: doUnblock}, nil, puk, pin)
	return err
}

// Sign returns the signature over message of the key in slot. The caller
// verifies it.
//
// When the token is about to wait for a touch, touch is called, in this
// goroutine, with a context that ends when the token has answered. If touch
// returns nil before that, a virtual token is touched; a real one goes on
// waiting. If it returns an error before that, the session ends and Sign
// returns that error: the token may still sign when it is touched late.
func (s *Session) Sign(ctx context.Context, slot Slot, pin *secret.Buffer, message []byte, touch func(ctx context.Context) error) ([]byte, error) {
	if len(message) > MaxMessage {
		return nil, &TooLongError{Bytes: len(message), Limit: MaxMessage}
	}
	a, err := s.call(ctx, request{Do: doSign, Slot: slot, Message: message}, touch, pin)
	return a.Signature, err
}

// ECDH returns the secret that the P-256 key in slot shares with peer, a point
// (SEC 1, uncompressed, 65 bytes): the x coordinate, 32 bytes, which the caller
// wipes. touch and the end of the session are as in Sign.
func (s *Session) ECDH(ctx context.Context, slot Slot, pin *secret.Buffer, peer []byte, touch func(ctx context.Context) error) (*secret.Buffer, error) {
	a, err := s.call(ctx, request{Do: doECDH, Slot: slot, Peer: peer}, touch, pin)
	return a.secret, err
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
