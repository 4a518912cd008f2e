// Package gate stands between a terminal, pipe or file and a front end, so
// that secrets are typed below it: what is typed at a secret prompt stays in
// one locked page of memory until the front end takes it as a *secret.Buffer.
//
// A Gate is what a screen program reads its keys from. Lines, on top of it,
// asks line by line. Both throw away what a YubiKey types when it is touched
// at the wrong time.
package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"rootceremony/keys/secret"
)

// MaxLine is the longest line, in bytes, that a Gate and Lines take. The
// kernel cuts what is typed on a terminal at 4,095 bytes without a word, so
// this is shorter.
const MaxLine = 4000

// kept is how much of a line is kept: a longer one shows, also without the CR
// at its end.
const kept = MaxLine + 2

// Refusal is a line that was read whole and thrown away. Its text is a
// sentence for the person who typed it; the question is then asked again.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// The reasons for which a line is thrown away.
const (
	RefusedBurst   Refusal = "that looks like the one-time password which a YubiKey types when it is touched at the wrong time; it was thrown away (hint: touch the token only when you are asked to)"
	RefusedLong    Refusal = "that line is longer than 4000 bytes; it was thrown away (hint: is this the right thing to paste?)"
	RefusedUTF8    Refusal = "that line is not UTF-8 text; it was thrown away (hint: type it again with plain letters)"
	RefusedControl Refusal = "that line holds a key that is no character, such as an arrow key or Tab; it was thrown away (hint: type it again; Backspace corrects)"
)

// refusal returns the reason for which a line is thrown away, or nil. It makes
// no copy of the line, which may be a secret.
func refusal(line []byte) error {
	run := 0 // length of the run of modhex characters that ends here
	for rest := line; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			return RefusedUTF8
		}
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return RefusedControl
		}
		if run++; !modhex(r) {
			run = 0
		}
		if run >= burst {
			return RefusedBurst
		}
		rest = rest[n:]
	}
	return nil
}

// burst is the shortest one-time password that is recognised: 32 characters
// for the password itself. A public identity of up to 12 goes before it, and
// perhaps what a person had begun to type. Nothing people are asked for holds
// 32 of these sixteen letters in a row.
const burst = 32

// modhex reports whether r is one of the sixteen letters that sit on the same
// keys of most keyboards, which is why a YubiKey types no others. With caps
// lock on they come as capitals.
func modhex(r rune) bool {
	switch unicode.ToLower(r) {
	case 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'n', 'r', 't', 'u', 'v':
		return true
	}
	return false
}

// state is what a Gate does with the bytes that come.
type state int

const (
	open   state = iota // they pass
	hidden              // a secret prompt: they stay, and '*' passes
	shut                // between prompts: they are dropped
	text                // a line of text: they pass, to the Enter
	menu                // a list: what is no text passes, to the Enter
)

// Gate is an io.Reader around a file that a screen program can use in its
// place: raw mode and waiting for input work through Fd. It begins open. Read
// is for one goroutine; the other methods may be called from another.
type Gate struct {
	file *os.File
	tty  bool

	reading sync.Mutex
	raw     *secret.Buffer // what one read(2) gave

	mu    sync.Mutex
	state state
	typed *secret.Buffer // what was typed at the secret prompt, kept bytes
	n     int            // bytes in typed
	bad   bool           // a key that is no character was among it
	was   bool           // bad before the sequence that is being read
	page  int            // bytes of it, while it may be that of PgUp or PgDn
	esc   escape         // where in the sequence of such a key
	run   int            // length of the run of modhex characters that ends here
	line  bool           // a line was begun where none is asked for: its end goes too
	burst bool           // one was thrown away, and nobody has asked yet
	leave bool           // a Ctrl-C was, likewise
	early bool           // something else was, likewise
}

// escape is a place in what a terminal sends for a key that is no character:
// ESC and a letter, or ESC, [ or O, parameters, and a final byte.
type escape int

const (
	outside escape = iota
	afterEsc
	inside
)

// What Bubble Tea and its reader that can be cancelled want of a terminal.
var _ interface {
	io.ReadWriteCloser
	Fd() uintptr
	Name() string
} = (*Gate)(nil)

// New returns a Gate before file, which stays the caller's. The error says
// that memory could not be locked.
func New(file *os.File) (*Gate, error) {
	raw, err := secret.New(os.Getpagesize())
	if err != nil {
		return nil, err
	}
	typed, err := secret.New(kept)
	if err != nil {
		raw.Wipe()
		return nil, err
	}
	_, err = unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return &Gate{file: file, tty: err == nil, raw: raw, typed: typed}, nil
}

// Fd, Name and Write are the file's.
func (g *Gate) Fd() uintptr                 { return g.file.Fd() }
func (g *Gate) Name() string                { return g.file.Name() }
func (g *Gate) Write(p []byte) (int, error) { return g.file.Write(p) }

// Close wipes what is left of secrets. It does not close the file; Read must
// not be running.
func (g *Gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.raw.Wipe()
	g.typed.Wipe()
	return nil
}

// Open lets everything pass, and forgets a secret that was being typed.
func (g *Gate) Open() { g.set(open) }

// OpenSecret throws away what was typed before (on a terminal) and keeps what
// is typed from now on until Enter: Read gives a '*' for each character, and
// control characters and the sequences of other keys as they are. But for
// PgUp and PgDn these spoil the secret.
func (g *Gate) OpenSecret() error {
	g.set(hidden)
	if err := g.Flush(); err != nil {
		return fmt.Errorf("what was typed early cannot be thrown away: %w", err)
	}
	return nil
}

func (g *Gate) set(s state) {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.typed.Bytes())
	g.state, g.n, g.bad, g.esc, g.line = s, 0, false, outside, false
}

// OpenText, OpenMenu and Shut are for screen programs. After OpenText
// everything passes, after OpenMenu what is no text does: control characters,
// the sequences of other keys, the space and the question mark. Enter passes
// too, and shuts the gate: what is typed ahead of the next prompt belongs to
// nobody, and may be a secret. A gate that is shut lets the control characters
// pass that are no Enter, and sequences.
//
// A line that is typed into a menu is thrown away to its Enter: the rest of an
// answer must not act as keys.
func (g *Gate) OpenText() { g.set(text) }

// OpenMenu opens the gate for keys that are no text; see OpenText.
func (g *Gate) OpenMenu() { g.set(menu) }

// Shut shuts the gate; see OpenText. A secret that was typed to its Enter can
// still be taken.
func (g *Gate) Shut() {
	g.mu.Lock()
	was := g.state
	g.mu.Unlock()
	if was != shut {
		g.set(shut)
	}
}

// Burst tells, once, that Read has met what a YubiKey types when it is touched
// at the wrong time, and has thrown its Enter away (and, but for a line of
// text, its letters). RefusedBurst says so to people.
func (g *Gate) Burst() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.burst
	g.burst = false
	return was
}

// Left reports whether a Ctrl-C was thrown away since it was asked last: leaving
// is possible at any moment.
func (g *Gate) Left() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.leave
	g.leave = false
	return was
}

// Dropped reports whether, since it was asked last, something was thrown away
// that people had typed: text where none is asked for, or what came too early.
func (g *Gate) Dropped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.early
	g.early = false
	return was
}

// waiting reports whether something was typed that nobody has read. A signal, of
// which the runtime sends many to a busy program, interrupts also a poll that
// does not wait: it says nothing of what was typed, and anyone who read then would
// hold the gate until the next key.
func (g *Gate) waiting() bool {
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(g.Fd()), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return err != nil || ready > 0
		}
	}
}

// Flush throws away what was typed on a terminal and not read yet. Of a Ctrl-C
// among it Left knows, of all else Dropped. It returns io.EOF where the terminal is
// lost.
func (g *Gate) Flush() error {
	if !g.tty {
		return nil
	}
	g.reading.Lock()
	defer g.reading.Unlock()
	raw := g.raw.Bytes()
	defer clear(raw)
	for g.waiting() {
		n, err := readOnce(int(g.Fd()), raw)
		if err != nil {
			break // the next Read says so
		}
		leaves := bytes.Count(raw[:n], []byte{ctrlC})
		g.mu.Lock()
		g.leave = g.leave || leaves > 0
		g.early = g.early || leaves < n
		g.mu.Unlock()
	}
	err := unix.IoctlSetInt(int(g.Fd()), unix.TCFLSH, unix.TCIFLUSH)
	if errors.Is(err, unix.EIO) {
		return io.EOF // the terminal is lost
	}
	return err
}

// Take returns what was typed at the secret prompt, once Read has given its
// Enter, or the Refusal for which it was thrown away. The caller wipes it. The
// Gate is shut until Open or OpenSecret.
func (g *Gate) Take() (*secret.Buffer, error) {
	defer g.set(shut)
	g.mu.Lock()
	defer g.mu.Unlock()
	line := g.typed.Bytes()[:g.n]
	if !g.tty && g.n > 0 && line[g.n-1] == '\r' {
		line = line[:g.n-1]
	}
	if len(line) > MaxLine {
		return nil, RefusedLong
	}
	if g.bad {
		return nil, RefusedControl
	}
	if err := refusal(line); err != nil {
		return nil, err
	}
	b, err := secret.New(len(line))
	if err != nil {
		return nil, err
	}
	copy(b.Bytes(), line)
	return b, nil
}

// Read gives what may pass of the next bytes, which can be none without an
// error.
func (g *Gate) Read(p []byte) (int, error) {
	g.reading.Lock()
	defer g.reading.Unlock()
	if g.tty && !g.waiting() {
		return 0, nil // Flush has taken it
	}
	raw := g.raw.Bytes()
	raw = raw[:min(len(p), len(raw))]
	n, err := readOnce(int(g.Fd()), raw)
	if err != nil {
		return 0, err
	}
	defer clear(raw)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.esc = outside // a sequence comes in one piece; a lone ESC is a key of its own
	passed := 0
	for _, b := range raw[:n] {
		if b, ok := g.pass(b); ok {
			p[passed] = b
			passed++
		}
	}
	return passed, nil
}

// readOnce is read(2) with io.EOF for the end of the input, which the loss of
// a terminal is too.
func readOnce(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		case errors.Is(err, unix.EIO), n == 0 && err == nil && len(p) > 0:
			return 0, io.EOF
		case err != nil:
			return 0, fmt.Errorf("reading what is typed: %w", err)
		default:
			return n, nil
		}
	}
}

// The control characters that edit a line.
const (
	ctrlC     = 0x03
	ctrlD     = 0x04
	ctrlU     = 0x15
	backspace = 0x08
	esc       = 0x1b
	del       = 0x7f
)

// pass takes one byte in, and returns the byte that the reader gets for it, if
// it gets one.
func (g *Gate) pass(b byte) (byte, bool) {
	switch {
	case g.state == open:
		return b, true
	case g.escape(b):
		paged := g.paged(b)
		g.bad, g.run, g.line = g.bad || g.state == hidden, 0, false
		if paged {
			g.bad = g.was
		}
		return b, true
	case g.state != hidden:
		return g.passScreen(b)
	case b == '\n' || b == '\r' && g.tty:
		g.state = shut
		return b, true
	case b == backspace || b == del:
		g.erase()
		return b, true
	case b == ctrlU:
		clear(g.typed.Bytes())
		g.n, g.bad = 0, false
		return b, true
	case b < ' ' && b != '\r': // the end of a file's lines may be CR LF
		g.bad = g.bad || !g.tty || b != ctrlC && b != ctrlD
		return b, true
	}
	if g.n < kept {
		g.typed.Bytes()[g.n] = b
		g.n++
	}
	return '*', utf8.RuneStart(b)
}

// passScreen is pass where no secret is typed.
func (g *Gate) passScreen(b byte) (byte, bool) {
	enter := b == '\n' || b == '\r'
	switch {
	case enter && g.run >= burst:
		g.run, g.line, g.burst = 0, false, true
		return b, false
	case enter && (g.state == shut || g.line):
		g.run, g.line, g.early = 0, false, true
		return b, false
	case enter:
		g.run, g.state = 0, shut
		return b, true
	case b < ' ' || b == del && g.state != shut:
		g.run, g.line = 0, false
		return b, true
	}
	if g.run++; !modhex(rune(b)) {
		g.run = 0
	}
	if g.state == text || g.state == menu && !g.line && (b == ' ' || b == '?') {
		return b, true
	}
	g.line, g.early = g.state == menu, true
	return b, false
}

// escape reports whether b belongs to the sequence of a key that is no character.
func (g *Gate) escape(b byte) bool {
	switch {
	case b == esc:
		g.esc = afterEsc
	case g.esc == afterEsc && (b == '[' || b == 'O'):
		g.esc = inside
	case g.esc == inside && b >= ' ' && b < '@':
	case g.esc != outside && b >= ' ':
		g.esc = outside
	default:
		g.esc = outside
		return false
	}
	return true
}

// paged reports whether b ends the sequence of PgUp or PgDn, ESC [ 5 ~ or
// ESC [ 6 ~: what stands above a secret prompt is read with them.
func (g *Gate) paged(b byte) bool {
	switch {
	case b == esc:
		g.was, g.page = g.bad, 1
	case g.page == 1 && b == '[', g.page == 2 && (b == '5' || b == '6'):
		g.page++
	default:
		ended := g.page == 3 && b == '~'
		g.page = 0
		return ended
	}
	return false
}

// erase takes back the last character. Of a line that is too long the end was
// not kept, so all that can be done is to begin again.
func (g *Gate) erase() {
	line := g.typed.Bytes()
	for g.n > 0 && g.n < kept {
		g.n--
		start := utf8.RuneStart(line[g.n])
		line[g.n] = 0
		if start {
			return
		}
	}
}
