package gate

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestScreenGate holds what passes for a screen program, and that nothing that
// is typed behind an Enter does before the gate is opened again.
func TestScreenGate(t *testing.T) {
	for _, c := range []struct {
		name         string
		open         func(*Gate)
		keys, passed string
		burst        bool
		dropped      bool
	}{
		{"text", (*Gate).OpenText, "yes \x7f?é\x1b[D", "yes \x7f?é\x1b[D", false, false},
		{"text to Enter", (*Gate).OpenText, "yes\r12345678\rmore\x1b[A\x0e", "yes\r\x1b[A\x0e", false, true},
		{"text and two Enters", (*Gate).OpenText, "yes\r\r", "yes\r", false, true},
		{"menu", (*Gate).OpenMenu, "\x1b[B ?\x1b[6~\x18", "\x1b[B ?\x1b[6~\x18", false, false},
		{"menu to Enter", (*Gate).OpenMenu, "\r5678\r\x1b[A", "\r\x1b[A", false, true},
		{"a line in a menu", (*Gate).OpenMenu, "ringbolt rematch?\r\r", "\r", false, true},
		{"a letter and keys in a menu", (*Gate).OpenMenu, "é\x1b[6~ \r", "\x1b[6~ \r", false, true},
		{"shut", (*Gate).Shut, "1234\r\n\x7f\x0e\x1b[A", "\x0e\x1b[A", false, true},
		{"burst in a line", (*Gate).OpenText, "n" + otp + "\r", "n" + otp, true, false},
		{"burst in a menu", (*Gate).OpenMenu, otp + "\r\r", "\r", true, true},
		{"burst while shut", (*Gate).Shut, otp + "\r", "", true, true},
		{"burst with caps lock", (*Gate).OpenMenu, strings.ToUpper(otp) + "\r", "", true, true},
		{"letters and a key", (*Gate).OpenMenu, otp[:20] + "\x1b[B" + otp[:20] + "\r", "\x1b[B", false, true},
		{"31 letters", (*Gate).OpenText, otp[:31] + "\r", otp[:31] + "\r", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			keyboard, terminal := rawTerminal(t)
			g, err := New(terminal)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			c.open(g)
			if got := read(t, g, keyboard, c.keys); got != c.passed {
				t.Errorf("passed %q, want %q", got, c.passed)
			}
			if got := g.Burst(); got != c.burst {
				t.Errorf("a burst was met: %v, want %v", got, c.burst)
			}
			if got := g.Dropped(); got != c.dropped {
				t.Errorf("something was dropped: %v, want %v", got, c.dropped)
			}
			if g.Burst() || g.Dropped() {
				t.Error("what was thrown away is told twice")
			}
		})
	}
}

// TestShutKeepsSecret holds that a secret that was typed to its Enter outlives
// Shut, and half of one does not.
func TestShutKeepsSecret(t *testing.T) {
	keyboard, terminal := rawTerminal(t)
	g, err := New(terminal)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, c := range []struct{ keys, secret string }{{"1234\r", "1234"}, {"1234", ""}} {
		t.Run(c.keys, func(t *testing.T) {
			if err := g.OpenSecret(); err != nil {
				t.Fatal(err)
			}
			read(t, g, keyboard, c.keys)
			g.Shut()
			b, err := g.Take()
			if err != nil || string(b.Bytes()) != c.secret {
				t.Errorf("of %q %q was taken, %v", c.keys, b.Bytes(), err)
			}
			b.Wipe()
		})
	}
}

// TestFlushDoesNotWait holds that throwing away what was typed does not wait
// for more to throw away, whatever signals come: the runtime sends many.
func TestFlushDoesNotWait(t *testing.T) {
	_, terminal := rawTerminal(t)
	g, err := New(terminal)
	if err != nil {
		t.Fatal(err)
	}
	thread, done := make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		var err error
		for range 100000 {
			err = errors.Join(err, g.Flush())
			if n, failed := g.Read(make([]byte, 1)); n != 0 || failed != nil {
				err = errors.Join(err, failed, fmt.Errorf("%d bytes of nothing", n))
			}
		}
		done <- err
	}()
	tid := <-thread
	late := time.After(60 * time.Second)
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			_ = g.Close()
			return
		case <-late:
			t.Fatal("it waits for something to be typed")
		default:
			_ = unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
		}
	}
}
