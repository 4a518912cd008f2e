package gate

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

const otp = "cccccbcvlguhdtgecvnlivhvjlhrjkufvdhilcklltbb"

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       error
	}{
		{"empty", "", nil},
		{"word", "yes", nil},
		{"name", "Zoë 陈 Иван", nil},
		{"digest", strings.Repeat("0123456789abcdef", 4), nil},
		{"31 modhex", otp[:31], nil},
		{"letters in groups", otp[:20] + " " + otp[:20], nil},
		{"burst", otp, RefusedBurst},
		{"burst without identity", otp[:32], RefusedBurst},
		{"burst with caps lock", strings.ToUpper(otp), RefusedBurst},
		{"burst behind typed letters", "ye" + otp, RefusedBurst},
		{"burst before typed letters", otp + "yes", RefusedBurst},
		{"two bursts", otp + otp, RefusedBurst},
		{"not UTF-8", "caf\xe9", RefusedUTF8},
		{"arrow key", "ye\x1b[Ds", RefusedControl},
		{"tab", "a\tb", RefusedControl},
		{"C1 control", "a\u009bb", RefusedControl},
		{"right-to-left override", "a\u202eb", RefusedControl},
		{"zero width", "a\u200bb", RefusedControl},
		{"line separator", "a\u2028b", RefusedControl},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := refusal([]byte(c.line)); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// rawTerminal is a terminal in raw mode, as a screen program sets it, and what
// types on it.
func rawTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close(); _ = terminal.Close() })
	mode, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mode.Iflag &^= unix.ICRNL | unix.IXON
	mode.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG | unix.IEXTEN
	if err := unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, mode); err != nil {
		t.Fatal(err)
	}
	return keyboard, terminal
}

// A terminal that is taken away is the end of the input, also when a prompt opens.
func TestTerminalLost(t *testing.T) {
	keyboard, terminal := rawTerminal(t)
	g, err := New(terminal)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.OpenSecret(); err != nil {
		t.Fatal(err)
	}
	if err := keyboard.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.OpenSecret(); !errors.Is(err, io.EOF) {
		t.Errorf("a secret prompt: %v", err)
	}
	if n, err := g.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read: %d, %v", n, err)
	}
}

// read types keys and a Ctrl-C behind them, and returns what passes of the
// keys. A Ctrl-C always passes, and no secret has one.
func read(t *testing.T, g *Gate, keyboard io.Writer, keys string) string {
	t.Helper()
	if _, err := io.WriteString(keyboard, keys+"\x03"); err != nil {
		t.Fatal(err)
	}
	passed := ""
	for strings.Count(passed, "\x03") <= strings.Count(keys, "\x03") {
		p := make([]byte, 256)
		n, err := g.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		passed += string(p[:n])
	}
	return strings.TrimSuffix(passed, "\x03")
}

func TestSecretStaysBelow(t *testing.T) {
	for _, c := range []struct {
		name, keys, passed, secret string
		err                        error
	}{
		{"PIN", "12345678\r", "********\r", "12345678", nil},
		{"line feed", "1234\n", "****\n", "1234", nil},
		{"backspace", "124\x7f3\x083\r", "***\x7f*\x08*\r", "123", nil},
		{"backspace at the start", "\x7f\x7f1\r", "\x7f\x7f*\r", "1", nil},
		{"all erased", "999\x151234\r", "***\x15****\r", "1234", nil},
		{"letters of two bytes", "aé\x7fü\r", "**\x7f*\r", "aü", nil},
		{"nothing", "\r", "\r", "", nil},
		{"behind Enter", "12\rrest\x1b[A\x03", "**\r\x1b[A\x03", "12", nil},
		{"arrow key", "12\x1b[D3\r", "**\x1b[D*\r", "", RefusedControl},
		{"function key", "12\x1bOP3\r", "**\x1bOP*\r", "", RefusedControl},
		{"focus", "12\x1b[O3\r", "**\x1b[O*\r", "", RefusedControl},
		{"pasted", "\x1b[200~12\x1b[201~\r", "\x1b[200~**\x1b[201~\r", "", RefusedControl},
		{"arrow key, erased", "12\x1b[D3\x15456\r", "**\x1b[D*\x15***\r", "456", nil},
		{"Ctrl-N", "12\x0e\r", "**\x0e\r", "", RefusedControl},
		{"burst", otp + "\r", strings.Repeat("*", 44) + "\r", "", RefusedBurst},
		{"not UTF-8", "caf\xe9\r", "****\r", "", RefusedUTF8},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			keyboard, terminal := rawTerminal(t)
			g, err := New(terminal)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			if err := g.OpenSecret(); err != nil {
				t.Fatal(err)
			}
			if got := read(t, g, keyboard, c.keys); got != c.passed {
				t.Errorf("passed %q, want %q", got, c.passed)
			}
			b, err := g.Take()
			if err != c.err || string(b.Bytes()) != c.secret {
				t.Errorf("took %q, %v, want %q, %v", b.Bytes(), err, c.secret, c.err)
			}
			b.Wipe()
			if n := len(strings.Trim(string(g.raw.Bytes())+string(g.typed.Bytes()), "\x00")); n != 0 {
				t.Errorf("%d bytes are left in the gate", n)
			}
		})
	}
}

// The gate is open at first, shut behind a secret, and then opens again.
func TestGateShuts(t *testing.T) {
	keyboard, terminal := rawTerminal(t)
	g, err := New(terminal)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if got := read(t, g, keyboard, "abc\x1b[A"); got != "abc\x1b[A" {
		t.Errorf("an open gate passes %q", got)
	}
	// Typed early: thrown away when the secret's prompt opens.
	if _, err := keyboard.WriteString("early"); err != nil {
		t.Fatal(err)
	}
	if err := g.OpenSecret(); err != nil {
		t.Fatal(err)
	}
	read(t, g, keyboard, "12\r")
	if got := read(t, g, keyboard, "34\x03\x7f"); got != "\x03" {
		t.Errorf("a gate that is shut passes %q", got)
	}
	b, err := g.Take()
	if err != nil || string(b.Bytes()) != "12" {
		t.Errorf("took %q, %v", b.Bytes(), err)
	}
	b.Wipe()
	if got := read(t, g, keyboard, "56"); got != "" {
		t.Errorf("a gate that is still shut passes %q", got)
	}
	g.Open()
	if got := read(t, g, keyboard, "78"); got != "78" {
		t.Errorf("a gate that is open again passes %q", got)
	}
	if err := g.OpenSecret(); err != nil {
		t.Fatal(err)
	}
	read(t, g, keyboard, "half a sec")
	g.Open()
	if err := g.OpenSecret(); err != nil {
		t.Fatal(err)
	}
	read(t, g, keyboard, "9\r")
	b, err = g.Take()
	if err != nil || string(b.Bytes()) != "9" {
		t.Errorf("took %q, %v: what was typed at a prompt that was left counts", b.Bytes(), err)
	}
	b.Wipe()
}

func TestLongSecret(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	g, err := New(r)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, c := range []struct {
		n   int
		err error
	}{{MaxLine, nil}, {MaxLine + 1, RefusedLong}, {3 * MaxLine, RefusedLong}} {
		if err := g.OpenSecret(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, strings.Repeat("0", c.n)+"\r\n"); err != nil {
			t.Fatal(err)
		}
		for end := byte(0); end != '\n'; {
			p := make([]byte, 256)
			n, err := g.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			end = p[n-1]
		}
		b, err := g.Take()
		if err != c.err || err == nil && b.Len() != c.n {
			t.Errorf("%d bytes: took %d, %v", c.n, b.Len(), err)
		}
		b.Wipe()
	}
	_ = w.Close()
	if _, err := g.Read(make([]byte, 10)); err != io.EOF {
		t.Errorf("the end of the input is %v", err)
	}
}

// What was typed early is thrown away, but for the wish to leave.
func TestFlushKeepsCtrlC(t *testing.T) {
	for typed, leaves := range map[string]bool{"12345\r": false, "12\x03\r": true} {
		t.Run(typed, func(t *testing.T) {
			keyboard, terminal := rawTerminal(t)
			g, err := New(terminal)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			if _, err := io.WriteString(keyboard, typed); err != nil {
				t.Fatal(err)
			}
			for !g.waiting() { // a terminal hands on in its own time
			}
			if err := g.Flush(); err != nil {
				t.Fatal(err)
			}
			if left := g.Left(); left != leaves || g.Left() {
				t.Errorf("left %v", left)
			}
			if got := read(t, g, keyboard, "x"); got != "x" {
				t.Errorf("after it, %q was read", got)
			}
		})
	}
}
