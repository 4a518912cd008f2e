package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"rootceremony/keys/secret"
)

// ErrInterrupted: somebody pressed Ctrl-C, or the system asked the program to
// end.
var ErrInterrupted = errors.New("interrupted")

// endless is the number of bytes without a line end after which an input is
// no list of answers.
const endless = 1 << 16

// ignored: SIGINT was, when this program was started.
var ignored = signal.Ignored(unix.SIGINT)

var errEndless = fmt.Errorf("no line end within %d bytes", endless)

// Lines reads answers line by line from a terminal, pipe or file. It takes
// byte after byte, so that what comes after a line stays where it is: for the
// next prompt, which may be a secret's, or for nobody.
//
// On a terminal, lines are edited as the terminal does it, and secrets are not
// echoed. Between prompts the terminal is as it was found.
//
// SIGINT, SIGTERM and SIGHUP make the prompt that is open, or the next one,
// return ErrInterrupted. If no prompt came by the second of them, the terminal
// is restored and the program ends as if nobody had caught it. Ctrl-C at a prompt
// is a character; one that is thrown away, with what was typed early, counts too.
//
// Prompts belong to one goroutine, and no other reads: when a prompt's context
// ends it returns and nothing waits for the next line.
type Lines struct {
	gate    *Gate
	wake    int // an eventfd: look again at what has ended
	signals chan os.Signal
	rest    bool // the end of a line that was begun under an earlier prompt is still to come

	// Of a terminal only: as it was found, for lines, for secrets.
	found, cooked, unseen unix.Termios

	mu     sync.Mutex
	mode   *unix.Termios // of the prompt that is open
	signal bool          // asked to leave, and not answered yet
	closed bool
}

// NewLines returns Lines from file, which stays the caller's.
func NewLines(file *os.File) (*Lines, error) {
	g, err := New(file)
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = g.Close()
		return nil, fmt.Errorf("preparing to read answers: %w", err)
	}
	l := &Lines{gate: g, wake: wake, signals: make(chan os.Signal, 4)}
	if g.tty {
		found, err := unix.IoctlGetTermios(int(g.Fd()), unix.TCGETS)
		if err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("the terminal's settings cannot be read: %w", err)
		}
		l.found, l.cooked, l.unseen = *found, *found, *found
		// As a terminal should be found, and is not after a program that died.
		l.cooked.Lflag |= unix.ICANON | unix.ECHO | unix.ECHOE | unix.ISIG | unix.IEXTEN
		l.cooked.Iflag |= unix.ICRNL
		// Ctrl-C ends a line, as a character: what is typed behind it can overtake
		// a signal. It also goes on with what Ctrl-S holds, as a signal would.
		l.cooked.Cc[unix.VINTR], l.cooked.Cc[unix.VEOL] = 0, ctrlC
		l.cooked.Iflag |= unix.IXANY
		// Keys come one by one, and Ctrl-C and Ctrl-Z as characters.
		l.unseen.Lflag &^= unix.ICANON | unix.ECHO | unix.ECHONL | unix.ISIG | unix.IEXTEN
		l.unseen.Iflag |= unix.ICRNL
		l.unseen.Cc[unix.VMIN], l.unseen.Cc[unix.VTIME] = 1, 0
	}
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGCONT} {
		// A script ignores SIGINT in what it starts with &, for itself. Whoever is
		// asked at a terminal can press Ctrl-C all the same.
		if !signal.Ignored(s) || s == unix.SIGINT && g.tty {
			signal.Notify(l.signals, s)
		}
	}
	go l.catch()
	return l, nil
}

// Close wipes what is left of secrets and stops catching signals. No prompt
// may be open.
func (l *Lines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	signal.Stop(l.signals)
	close(l.signals)
	_ = unix.Close(l.wake)
	return l.gate.Close()
}

// Terminal reports whether a terminal is read, which moves the cursor to the
// next line when Enter ends a line.
func (l *Lines) Terminal() bool { return l.gate.tty }

// catch deals with signals until Close.
func (l *Lines) catch() {
	for s := range l.signals {
		l.mu.Lock()
		switch {
		case s == unix.SIGCONT:
			// The shell, or anyone who had the terminal meanwhile, may have
			// switched the echo on again.
			if l.mode != nil {
				_ = l.apply(l.mode)
			}
		case l.signal:
			if l.mode != nil {
				_ = l.apply(&l.found)
			}
			if s == unix.SIGINT && ignored { // as it would be again
				os.Exit(128 + int(unix.SIGINT))
			}
			signal.Reset(s)
			_ = unix.Kill(os.Getpid(), s.(syscall.Signal))
		default:
			l.signal = true
		}
		l.mu.Unlock()
		l.poke()
	}
}

// poke makes a prompt that waits look at what has ended.
func (l *Lines) poke() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		_, _ = unix.Write(l.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// Line returns the next line, without its end (LF or CR LF). ask is called
// once the terminal is ready, and shows the prompt. Where fresh is true, what
// was typed on a terminal before is thrown away.
//
// Errors: a Refusal; io.EOF at the end of the input and io.ErrUnexpectedEOF in
// the middle of a line, which is no answer; ErrInterrupted; ctx's; ask's; what
// reading says.
func (l *Lines) Line(ctx context.Context, fresh bool, ask func() error) (string, error) {
	if err := l.enter(&l.cooked, fresh); err != nil {
		return "", err
	}
	defer l.leave(false)
	if err := ask(); err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, l.poke)()
	l.gate.Open()
	if err := l.skip(ctx); err != nil {
		return "", err
	}
	var line []byte
	for read := 0; ; read++ {
		b, err := l.next(ctx, read)
		if err != nil {
			return "", err
		}
		if b == '\n' {
			break
		}
		if len(line) < kept {
			line = append(line, b)
		}
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > MaxLine {
		return "", RefusedLong
	}
	if err := refusal(line); err != nil {
		return "", err
	}
	return string(line), nil
}

// Secret returns the next line as a secret, which the caller wipes. On a
// terminal what was typed before is thrown away, nothing is echoed, and
// Backspace, Ctrl-U, Ctrl-C and Ctrl-D work as in lines. From a pipe or file
// the line's bytes are read into locked memory and nowhere else. Otherwise it
// is as Line.
func (l *Lines) Secret(ctx context.Context, ask func() error) (*secret.Buffer, error) {
	if err := l.enter(&l.unseen, true); err != nil {
		return nil, err
	}
	defer l.leave(true)
	defer context.AfterFunc(ctx, l.poke)()
	defer l.gate.set(shut)
	l.gate.set(hidden) // what is skipped may be of a secret too
	if err := l.skip(ctx); err != nil {
		return nil, err
	}
	l.gate.set(hidden) // and is forgotten
	if err := ask(); err != nil {
		return nil, err
	}
	for read := 0; ; read++ {
		b, err := l.next(ctx, read)
		if err != nil {
			return nil, err
		}
		switch {
		case b == '\n':
			return l.gate.Take()
		case b == ctrlD && l.gate.tty && l.gate.n == 0:
			return nil, io.EOF
		}
	}
}

// Wait reads nothing, and returns ctx's error when it ends, or ErrInterrupted.
func (l *Lines) Wait(ctx context.Context) error {
	defer context.AfterFunc(ctx, l.poke)()
	return l.wait(ctx, false)
}

// skip reads to the end of a line that was begun under an earlier prompt.
func (l *Lines) skip(ctx context.Context) error {
	for read := 0; l.rest; read++ {
		if _, err := l.next(ctx, read); err != nil {
			return err
		}
	}
	return nil
}

// next waits for a byte that passes the gate; read is the number of bytes
// that the line has so far.
func (l *Lines) next(ctx context.Context, read int) (byte, error) {
	if read > endless {
		return 0, errEndless
	}
	var b [1]byte
	for {
		if err := l.wait(ctx, true); err != nil {
			return 0, err
		}
		n, err := l.gate.Read(b[:])
		if err == io.EOF && l.rest {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		if n == 1 && b[0] == ctrlC && l.gate.tty {
			l.rest = false
			return 0, ErrInterrupted
		}
		if n == 1 {
			l.rest = b[0] != '\n'
			return b[0], nil
		}
	}
}

// wait returns nil when there is something to read, if input is true.
func (l *Lines) wait(ctx context.Context, input bool) error {
	fds := []unix.PollFd{{Fd: int32(l.wake), Events: unix.POLLIN}, {Fd: int32(l.gate.Fd()), Events: unix.POLLIN}}
	if !input {
		fds = fds[:1]
	}
	for {
		if l.interrupted() {
			return ErrInterrupted
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for an answer: %w", err)
		}
		if fds[0].Revents == 0 {
			if input && fds[1].Revents != 0 {
				return nil
			}
			continue
		}
		var count [8]byte
		_, _ = unix.Read(l.wake, count[:])
	}
}

// interrupted tells, once, that a signal asked to leave.
func (l *Lines) interrupted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.signal
	l.signal = false
	return was
}

// enter gives the terminal the settings of a prompt. Where fresh is true, it
// waits until everything was shown and throws away what was typed.
func (l *Lines) enter(mode *unix.Termios, fresh bool) error {
	if !l.gate.tty {
		return nil
	}
	if fresh { // not under the lock: this waits for as long as Ctrl-S holds the output
		_ = unix.IoctlSetInt(int(l.gate.Fd()), unix.TCSBRK, 1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode = mode
	err := l.apply(mode)
	if err == nil && fresh {
		err = l.flush()
		l.rest = false
	}
	if err != nil {
		l.mode = nil
		_ = l.apply(&l.found)
		return fmt.Errorf("the terminal cannot be set: %w", err)
	}
	return nil
}

// leave gives the terminal back as it was found. After a secret, what was
// typed behind it unseen does not count.
func (l *Lines) leave(unseen bool) {
	if !l.gate.tty {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode = nil
	if unseen {
		_ = l.flush()
		l.rest = false
	}
	_ = l.apply(&l.found)
}

func (l *Lines) apply(mode *unix.Termios) error {
	return unix.IoctlSetTermios(int(l.gate.Fd()), unix.TCSETS, mode)
}

// flush throws away what was typed, but for the wish to leave: with TCSETSF
// that would be lost, and what has not reached the line discipline yet would
// stay.
func (l *Lines) flush() error {
	err := l.gate.Flush()
	l.signal = l.gate.Left() || l.signal
	return err
}
