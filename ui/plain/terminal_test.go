package plain

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys/secret"
)

// person is somebody at a terminal, who sees all that it shows.
type person struct {
	t             *testing.T
	keyboard, tty *os.File

	mu      sync.Mutex
	changed *sync.Cond
	text    string
}

// terminal returns a Front on a terminal of its own. After the test, the
// terminal must be as it was found.
func terminal(t *testing.T) (*Front, *person) {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, keyboard: keyboard, tty: tty}
	p.changed = sync.NewCond(&p.mu)
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buffer)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.text += string(buffer[:n])
			p.changed.Broadcast()
			p.mu.Unlock()
		}
	}()
	f, err := New(tty, tty, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Close()
		after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("the terminal is not as it was: %v", err)
		}
		_ = tty.Close()
		_ = keyboard.Close()
	})
	return f, p
}

// sees waits until the terminal shows text for the nth time.
func (p *person) sees(text string, nth int) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	late := false
	defer time.AfterFunc(20*time.Second, func() {
		p.mu.Lock()
		late = true
		p.changed.Broadcast()
		p.mu.Unlock()
	}).Stop()
	for strings.Count(p.text, text) < nth {
		if late {
			p.t.Errorf("the terminal does not show %q %d times, but %q", text, nth, p.text)
			runtime.Goexit()
		}
		p.changed.Wait()
	}
}

func (p *person) types(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.keyboard, keys); err != nil {
		p.t.Error(err)
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	f, p := terminal(t)
	p.types("early\r") // a PIN typed before it was asked for does not count
	go func() {
		for i, pin := range []string{"2468\r", "97531\x7f\x7f\x15\r", otp + "\r", "\x1b[A97531\r", ":help\r", "24681357\r"} {
			p.sees("> ", i+1)
			p.types(pin)
		}
	}()
	asked := prompt.Prompt{Question: "Alice, type your PIN"}
	b, err := f.AskSecret(t.Context(), asked, func(b *secret.Buffer) error {
		if b.Len() < 8 {
			return errors.New("a PIN has 8 digits here")
		}
		return nil
	})
	if err != nil || string(b.Bytes()) != "24681357" {
		t.Errorf("%q, %v", b.Bytes(), err)
	}
	b.Wipe()
	if err := f.Tell(t.Context(), prompt.Message{Text: []string{"The end."}}); err != nil {
		t.Error(err)
	}
	p.sees("The end.", 1)
	_, shown, _ := strings.Cut(p.text, "> ") // the terminal itself echoes what comes early
	for _, pin := range []string{"2468", "9753", "24681357", otp[:8], "*"} {
		if strings.Contains(shown, pin) {
			t.Errorf("%q is shown: %q", pin, shown)
		}
	}
}

// Keys typed before a final question could be read are no answer to it.
func TestFinalWantsAFreshAnswer(t *testing.T) {
	f, p := terminal(t)
	p.types("yes\r")
	p.sees("yes", 1)
	go func() {
		p.sees("> ", 1)
		p.types("no\r")
	}()
	if yes, err := f.Confirm(t.Context(), final); yes || err != nil {
		t.Errorf("%t, %v", yes, err)
	}
	p.types("yes\r")
	if yes, err := f.Confirm(t.Context(), question); !yes || err != nil {
		t.Errorf("what is not final may be typed ahead, but: %t, %v", yes, err)
	}
}

// When a token was touched, or gave up, nobody waits for Enter any more.
func TestTouchIsCancelled(t *testing.T) {
	for _, press := range []bool{true, false} {
		f, p := terminal(t)
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- f.WaitForTouch(ctx, prompt.Prompt{Message: prompt.Message{Title: "Alice Costa: sign root v1"}}, press)
		}()
		p.sees("ouch", 1)
		cancel()
		if err := <-done; err != context.Canceled {
			t.Fatal(err)
		}
		for end := time.Now().Add(2 * time.Minute); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("press %t: %d goroutines, before it were %d", press, runtime.NumGoroutine(), before)
			}
		}
		go func() {
			p.sees("Go on?", 1)
			p.types("no\r")
		}()
		if yes, err := f.Confirm(t.Context(), question); yes || err != nil {
			t.Errorf("press %t: then %t, %v", press, yes, err)
		}
	}
}

func TestCtrlDLeaves(t *testing.T) {
	f, p := terminal(t)
	go func() {
		p.sees("> ", 1)
		p.types("\x04")
	}()
	if yes, err := f.Confirm(t.Context(), question); yes || err != prompt.ErrLeft {
		t.Errorf("%t, %v", yes, err)
	}
	p.sees("has ended", 1)
}

func TestCtrlCAtASecretLeaves(t *testing.T) {
	f, p := terminal(t)
	go func() {
		p.sees("> ", 1)
		p.types("24\x03")
	}()
	if b, err := f.AskSecret(t.Context(), question, nil); b != nil || err != prompt.ErrLeft {
		t.Errorf("%v, %v", b, err)
	}
	p.sees("Nothing is lost", 1)
}

// Ctrl-C leaves where Ctrl-S holds what is shown, and goes on with it.
func TestCtrlCBehindCtrlS(t *testing.T) {
	f, p := terminal(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.sees("> ", 1)
		p.types("\x13\x03")
		defer p.types("\x11") // else nothing ends
		p.sees("Nothing is lost", 1)
	}()
	if yes, err := f.Confirm(t.Context(), question); yes || err != prompt.ErrLeft {
		t.Errorf("%t, %v", yes, err)
	}
	<-done
}

// TestMain is also the program that TestSecretHasNoCopies looks into.
func TestMain(m *testing.M) {
	if os.Getenv("PLAIN_TEST_PROGRAM") == "" {
		os.Exit(m.Run())
	}
	f, err := New(os.Stdin, os.Stdout, Options{})
	if err != nil {
		panic(err)
	}
	b, err := f.AskSecret(context.Background(), question, func(b *secret.Buffer) error {
		if b.Len() != 32 {
			return errors.New("it has 32 characters")
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("held")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test has looked
	os.Stdout.WriteString(strings.Repeat("*", b.Len()))
	b.Wipe()
}

// In the memory of a process that holds a secret, typed on a terminal or read
// from a pipe, the only copy is the one in the Buffer.
func TestSecretHasNoCopies(t *testing.T) {
	for _, c := range []string{"pipe", "terminal"} {
		t.Run(c, func(t *testing.T) {
			typed := rand.Text() + rand.Text()
			pin := typed[:32]
			in, keyboard, err := os.Pipe()
			if c == "terminal" {
				keyboard, in, err = pty.Open()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer keyboard.Close()
			defer in.Close()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "PLAIN_TEST_PROGRAM=1")
			cmd.Stdin, cmd.Stderr = in, os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			expect := func(text string) {
				shown, p := "", make([]byte, 1024)
				for !strings.Contains(shown, text) {
					n, err := out.Read(p)
					if err != nil {
						t.Fatalf("%v behind %q", err, shown)
					}
					shown += string(p[:n])
				}
			}
			expect("> ")
			// At first too long, then corrected.
			if _, err := io.WriteString(keyboard, typed+"\n"); err != nil {
				t.Fatal(err)
			}
			expect("> ")
			if _, err := io.WriteString(keyboard, pin+"\n"); err != nil {
				t.Fatal(err)
			}
			expect("held")
			if n := copies(t, cmd.Process.Pid, pin); n != 1 {
				t.Errorf("the process holds %d copies of the secret, not 1", n)
			}
		})
	}
}

// copies counts text in the writable memory of a process.
func copies(t *testing.T, pid int, text string) int {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("the memory of another process cannot be read here: %v", err)
	}
	defer mem.Close()
	count := 0
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var access string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &access); err != nil || !strings.HasPrefix(access, "rw") {
			continue
		}
		if to-from > 1<<28 { // what the race detector keeps about the rest
			continue
		}
		p := make([]byte, to-from)
		n, _ := mem.ReadAt(p, from)
		count += strings.Count(string(p[:n]), text)
	}
	return count
}
