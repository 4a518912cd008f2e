package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// noAsk is a prompt that shows nothing.
func noAsk() error { return nil }

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return r, w
}

func newLines(t *testing.T, file *os.File) *Lines {
	t.Helper()
	l, err := NewLines(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Every kind of line from a pipe, asked for as a line and as a secret.
func TestLinesOfAPipe(t *testing.T) {
	for _, c := range []struct {
		name, input, want string
		err               error
	}{
		{"line", "yes\n", "yes", nil},
		{"CR LF", "yes\r\n", "yes", nil},
		{"spaces", "  two  words \n", "  two  words ", nil},
		{"empty", "\n", "", nil},
		{"empty, CR LF", "\r\n", "", nil},
		{"letters", "Zoë 陈\n", "Zoë 陈", nil},
		{"longest", strings.Repeat("0", MaxLine) + "\n", strings.Repeat("0", MaxLine), nil},
		{"longest, CR LF", strings.Repeat("0", MaxLine) + "\r\n", strings.Repeat("0", MaxLine), nil},
		{"too long", strings.Repeat("0", MaxLine+1) + "\n", "", RefusedLong},
		{"too long behind CR", strings.Repeat("0", MaxLine) + "\r00\n", "", RefusedLong},
		{"much too long", strings.Repeat("0", 3*MaxLine) + "\n", "", RefusedLong},
		{"CR inside", "a\rb\n", "", RefusedControl},
		{"Ctrl-C", "a\x03\n", "", RefusedControl},
		{"Ctrl-D", "\x04\n", "", RefusedControl},
		{"NUL", "a\x00\n", "", RefusedControl},
		{"arrow key", "\x1b[A\n", "", RefusedControl},
		{"not UTF-8", "\xff\xfe\n", "", RefusedUTF8},
		{"burst", otp + "\n", "", RefusedBurst},
		{"end", "", "", io.EOF},
		{"end inside a line", "yes", "", io.ErrUnexpectedEOF},
		{"end inside a letter", "\xc3", "", io.ErrUnexpectedEOF},
		{"no line end", strings.Repeat("yes ", endless), "", errEndless},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, secret := range []bool{false, true} {
				r, w := pipe(t)
				go func() {
					_, _ = io.WriteString(w, c.input)
					if errors.Is(c.err, io.EOF) || errors.Is(c.err, io.ErrUnexpectedEOF) {
						_ = w.Close()
						return
					}
					_, _ = io.WriteString(w, "what follows\n")
				}()
				l := newLines(t, r)
				got, err := "", error(nil)
				if secret {
					b, e := l.Secret(t.Context(), noAsk)
					got, err = string(b.Bytes()), e
					b.Wipe()
				} else {
					got, err = l.Line(t.Context(), false, noAsk)
				}
				if got != c.want || !errors.Is(err, c.err) {
					t.Errorf("secret %t: %.20q, %v, want %.20q, %v", secret, got, err, c.want, c.err)
				}
				if c.err == io.EOF || c.err == io.ErrUnexpectedEOF || c.err == errEndless {
					continue
				}
				// Nothing of the next line was taken.
				p := make([]byte, 100)
				if n, _ := r.Read(p); string(p[:n]) != "what follows\n" {
					t.Errorf("secret %t: what follows in the pipe is %q", secret, p[:n])
				}
			}
		})
	}
}

// A prompt whose context ends takes nothing with it, and what was begun under
// it does not become part of the next answer.
func TestCancelledPrompt(t *testing.T) {
	for _, c := range []struct {
		name   string
		prompt func(*Lines, context.Context, func() error) error
	}{
		{"line", func(l *Lines, ctx context.Context, ask func() error) error {
			_, err := l.Line(ctx, false, ask)
			return err
		}},
		{"secret", func(l *Lines, ctx context.Context, ask func() error) error {
			_, err := l.Secret(ctx, ask)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, w := pipe(t)
			l := newLines(t, r)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- c.prompt(l, ctx, noAsk) }()
			if _, err := io.WriteString(w, "begun"); err != nil {
				t.Fatal(err)
			}
			for empty := false; !empty; { // until the prompt has taken it
				n, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
				if err != nil {
					t.Fatal(err)
				}
				empty = n == 0
			}
			cancel()
			if err := <-done; err != context.Canceled {
				t.Fatalf("a cancelled prompt returns %v", err)
			}
			if _, err := io.WriteString(w, " late\nfirst\nsecond\n"); err != nil {
				t.Fatal(err)
			}
			if got, err := l.Line(t.Context(), false, noAsk); got != "first" || err != nil {
				t.Errorf("the next line is %q, %v", got, err)
			}
			if err := c.prompt(l, ctx, noAsk); err != context.Canceled {
				t.Errorf("a prompt that was cancelled before returns %v", err)
			}
			if got, err := l.Line(t.Context(), false, noAsk); got != "second" || err != nil {
				t.Errorf("the line after is %q, %v", got, err)
			}
		})
	}
}

func TestWait(t *testing.T) {
	r, w := pipe(t)
	l := newLines(t, r)
	if _, err := io.WriteString(w, "next\n"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if err := l.Wait(ctx); err != context.Canceled {
		t.Errorf("wait returns %v", err)
	}
	if got, err := l.Line(t.Context(), false, noAsk); got != "next" || err != nil {
		t.Errorf("the next line is %q, %v", got, err)
	}
}

// screen is what a person at a terminal sees.
type screen struct {
	t        *testing.T
	keyboard *os.File

	mu      sync.Mutex
	changed *sync.Cond
	text    string
	ended   bool
}

// watch reads everything that a terminal shows, until it is closed.
func watch(t *testing.T, keyboard *os.File) *screen {
	s := &screen{t: t, keyboard: keyboard}
	s.changed = sync.NewCond(&s.mu)
	go func() {
		p := make([]byte, 4096)
		for {
			n, err := keyboard.Read(p)
			s.mu.Lock()
			s.text += string(p[:n])
			s.ended = err != nil
			s.changed.Broadcast()
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// expect waits until the screen shows text behind what was expected before.
func (s *screen) expect(text string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	late := false
	timer := time.AfterFunc(20*time.Second, func() {
		s.mu.Lock()
		late = true
		s.changed.Broadcast()
		s.mu.Unlock()
	})
	defer timer.Stop()
	for !strings.Contains(s.text, text) {
		if s.ended || late {
			s.t.Fatalf("the terminal does not show %q but %q", text, s.text)
		}
		s.changed.Wait()
	}
}

func (s *screen) typed(keys string) {
	s.t.Helper()
	if _, err := io.WriteString(s.keyboard, keys); err != nil {
		s.t.Fatal(err)
	}
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *mode
}

// terminal opens a terminal and its Lines; say shows something on it.
func terminal(t *testing.T) (s *screen, tty *os.File, say func(string) func() error) {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close(); _ = keyboard.Close() })
	return watch(t, keyboard), tty, func(text string) func() error {
		return func() error {
			_, err := io.WriteString(tty, text)
			return err
		}
	}
}

func TestSecretOnATerminal(t *testing.T) {
	for _, c := range []struct {
		name, keys, want string
		err              error
	}{
		{"PIN", "24681357\r", "24681357", nil},
		{"line feed", "24681357\n", "24681357", nil},
		{"corrected", "2468\x7f\x089\r", "249", nil},
		{"all erased", "1111\x152468\r", "2468", nil},
		{"Ctrl-C", "2468\x03", "", ErrInterrupted},
		{"Ctrl-D", "\x04", "", io.EOF},
		{"Ctrl-D behind characters", "24\x0468\r", "2468", nil},
		{"Ctrl-Z", "24\x1a\r", "", RefusedControl},
		{"Ctrl-V", "24\x16\r", "", RefusedControl},
		{"arrow key", "24\x1b[D68\r", "", RefusedControl},
		{"burst", otp + "\r", "", RefusedBurst},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, tty, say := terminal(t)
			before := termios(t, tty)
			l := newLines(t, tty)
			// Typed early, with and without Enter.
			s.typed("9999\r88")
			result := make(chan error)
			go func() {
				b, err := l.Secret(t.Context(), say("PIN> "))
				if got := string(b.Bytes()); got != c.want {
					err = fmt.Errorf("the secret is %q, not %q", got, c.want)
				}
				b.Wipe()
				result <- err
			}()
			s.expect("PIN> ")
			s.typed(c.keys)
			if err := <-result; err != c.err {
				t.Errorf("%v, want %v", err, c.err)
			}
			if after := termios(t, tty); after != before {
				t.Errorf("the terminal is not as it was:\n%+v\n%+v", after, before)
			}
			_ = say("end")()
			s.expect("end")
			s.mu.Lock()
			if _, shown, _ := strings.Cut(s.text, "PIN> "); shown != "end" {
				t.Errorf("the terminal shows %q behind the prompt", shown)
			}
			s.mu.Unlock()
		})
	}
}

// What is typed behind a secret's Enter does not become an answer.
func TestTypedBehindASecret(t *testing.T) {
	s, tty, say := terminal(t)
	l := newLines(t, tty)
	go func() {
		s.expect("PIN> ")
		s.typed("2468\ryes\r")
		s.expect("sure> ")
		s.typed("no\r")
	}()
	b, err := l.Secret(t.Context(), say("PIN> "))
	if err != nil || string(b.Bytes()) != "2468" {
		t.Fatalf("%q, %v", b.Bytes(), err)
	}
	b.Wipe()
	if got, err := l.Line(t.Context(), true, say("sure> ")); got != "no" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A Ctrl-C that comes as a character, which no prompt has asked for, leaves: the
// terminal is in raw mode while a secret prompt opens or closes, or was found so.
func TestCtrlCBetweenPrompts(t *testing.T) {
	line := func(l *Lines, fresh bool, ask func() error) error {
		_, err := l.Line(t.Context(), fresh, ask)
		return err
	}
	secret := func(l *Lines, ask func() error) error {
		b, err := l.Secret(t.Context(), ask)
		b.Wipe()
		return err
	}
	for _, c := range []struct {
		name   string
		prompt func(*Lines, func() error) error
	}{
		{"secret", secret},
		{"line", func(l *Lines, ask func() error) error { return line(l, false, ask) }},
		{"fresh line", func(l *Lines, ask func() error) error { return line(l, true, ask) }},
	} {
		for when, typed := range map[string]string{"before": "88\x03", "behind a secret": "88\r\x03"} {
			t.Run(c.name+" "+when, func(t *testing.T) {
				s, tty, _ := terminal(t)
				raw := termios(t, tty)
				raw.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
				raw.Iflag &^= unix.ICRNL
				if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &raw); err != nil {
					t.Fatal(err)
				}
				l := newLines(t, tty)
				if when == "before" {
					s.typed(typed)
					for waiting := 0; waiting < len(typed); { // a terminal hands on in its own time
						var err error
						if waiting, err = unix.IoctlGetInt(int(tty.Fd()), unix.TIOCINQ); err != nil {
							t.Fatal(err)
						}
					}
				} else if err := secret(l, func() error { s.typed(typed); return nil }); err != nil {
					t.Fatal(err)
				}
				err := c.prompt(l, func() error { s.typed("9999\r"); return nil })
				if err != ErrInterrupted {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// Lines are edited by the terminal, also by one that was found in raw mode,
// and what was typed before counts only where it may.
func TestLinesOnATerminal(t *testing.T) {
	s, tty, say := terminal(t)
	raw := termios(t, tty)
	raw.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
	raw.Iflag &^= unix.ICRNL
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &raw); err != nil {
		t.Fatal(err)
	}
	l := newLines(t, tty)
	line := func(fresh bool, prompt string) string {
		t.Helper()
		got, err := l.Line(t.Context(), fresh, say(prompt))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	go func() {
		s.expect("1> ")
		s.typed("ho\x7fe\rearly\r")
		s.expect("fresh> ")
		s.typed("late\r\x04")
	}()
	if got := line(false, "1> "); got != "he" {
		t.Errorf("the edited line is %q", got)
	}
	s.expect("early\r\n")
	if got := line(true, "fresh> "); got != "late" {
		t.Errorf("the line of a prompt that wants a fresh answer is %q", got)
	}
	if _, err := l.Line(t.Context(), false, say("end> ")); err != io.EOF {
		t.Errorf("Ctrl-D gives %v", err)
	}
	if after := termios(t, tty); after != raw {
		t.Errorf("the terminal is not as it was:\n%+v\n%+v", after, raw)
	}
}

// TestMain is also the program that TestSignals runs on a terminal of its own.
func TestMain(m *testing.M) {
	if how := os.Getenv("GATE_TEST_PROGRAM"); how != "" {
		os.Exit(program(how))
	}
	// Under nohup SIGHUP is ignored, which a program inherits; one that is caught
	// is the program's to catch again.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	os.Exit(m.Run())
}

func program(how string) int {
	l, err := NewLines(os.Stdin)
	if err != nil {
		fmt.Println(err)
		return 9
	}
	defer func() {
		if recover() != nil {
			os.Exit(7)
		}
	}()
	ask := func(text string) func() error {
		return func() error { _, err := fmt.Print(text); return err }
	}
	switch how {
	case "busy":
		fmt.Print("busy")
		for once := false; !once; {
			l.mu.Lock()
			once = l.signal
			l.mu.Unlock()
		}
		fmt.Print("once")
		select {}
	case "panic":
		_, _ = l.Secret(context.Background(), func() error { panic("as a bug would") })
	case "line":
		_, err = l.Line(context.Background(), false, ask("prompt> "))
	case "secret":
		_, err = l.Secret(context.Background(), ask("prompt> "))
	}
	if err == ErrInterrupted {
		return 3
	}
	fmt.Println(err)
	return 1
}

// start runs program on a terminal whose settings differ from the usual, so
// that restoring them shows. before is what a shell does first.
func start(t *testing.T, how, before string) (*screen, *exec.Cmd, unix.Termios) {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	found := termios(t, tty)
	found.Lflag &^= unix.ECHOE
	found.Cc[unix.VMIN] = 5
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &found); err != nil {
		t.Fatal(err)
	}
	s := watch(t, keyboard)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, "sh", "-c", before+`exec "$0"`, os.Args[0])
	cmd.Cancel = func() error {
		if ctx.Err() == context.DeadlineExceeded {
			s.mu.Lock()
			defer s.mu.Unlock()
			t.Errorf("the program does not end, showing %q", s.text)
		}
		return cmd.Process.Kill()
	}
	cmd.Env = append(os.Environ(), "GATE_TEST_PROGRAM="+how)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = tty.Close(); _ = keyboard.Close() })
	return s, cmd, found
}

func TestSignals(t *testing.T) {
	for _, c := range []struct {
		name, how string
		act       func(*screen, *os.Process)
		code      int // of the program's end; -1: by a signal
		before    string
	}{
		{"SIGINT at a secret", "secret", signals("prompt> ", unix.SIGINT), 3, ""},
		{"SIGTERM at a secret", "secret", signals("prompt> ", unix.SIGTERM), 3, ""},
		{"SIGHUP at a secret", "secret", signals("prompt> ", unix.SIGHUP), 3, ""},
		{"SIGTERM at a line", "line", signals("prompt> ", unix.SIGTERM), 3, ""},
		{"Ctrl-C at a line", "line", func(s *screen, _ *os.Process) { s.expect("prompt> "); s.typed("ye\x03") }, 3, ""},
		{"Ctrl-C at a secret", "secret", func(s *screen, _ *os.Process) { s.expect("prompt> "); s.typed("24\x03") }, 3, ""},
		{"panic at a secret", "panic", func(*screen, *os.Process) {}, 7, ""},
		{"two signals while busy", "busy", signals("busy", unix.SIGINT, unix.SIGTERM), -1, ""},
		{"Ctrl-C and an answer behind it", "line", func(s *screen, _ *os.Process) { s.expect("prompt> "); s.typed("ye\x03yes\r") }, 3, ""},
		// As a script starts what it runs with &.
		{"SIGINT at a line, found ignored", "line", signals("prompt> ", unix.SIGINT), 3, "trap '' INT; "},
		{"Ctrl-C at a line, SIGINT found ignored", "line", func(s *screen, _ *os.Process) { s.expect("prompt> "); s.typed("ye\x03") }, 3, "trap '' INT; "},
		{"Ctrl-C at a secret, SIGINT found ignored", "secret", func(s *screen, _ *os.Process) { s.expect("prompt> "); s.typed("24\x03") }, 3, "trap '' INT; "},
		{"two signals while busy, SIGINT found ignored", "busy", func(s *screen, p *os.Process) { signals("busy", unix.SIGINT)(s, p); signals("once", unix.SIGINT)(s, p) }, 130, "trap '' INT; "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, cmd, before := start(t, c.how, c.before)
			c.act(s, cmd.Process)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("the program ended with %d (%v), showing %q", code, cmd.ProcessState, s.text)
			}
			if after := termios(t, s.keyboard); after != before {
				t.Errorf("the terminal is not as it was:\n%+v\n%+v", after, before)
			}
		})
	}
}

func signals(prompt string, all ...os.Signal) func(*screen, *os.Process) {
	return func(s *screen, p *os.Process) {
		s.expect(prompt)
		for _, signal := range all {
			if err := p.Signal(signal); err != nil {
				s.t.Error(err)
			}
		}
	}
}

// A shell that gets the terminal while the program is stopped sets it as it
// likes. When the program goes on, a secret is unseen again.
func TestStoppedAtASecret(t *testing.T) {
	s, cmd, before := start(t, "secret", "")
	s.expect("prompt> ")
	unseen := termios(t, s.keyboard)
	if unseen.Lflag&unix.ECHO != 0 {
		t.Fatal("the terminal echoes at a secret prompt")
	}
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(cmd.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the program did not stop: %v", err)
	}
	if err := unix.IoctlSetTermios(int(s.keyboard.Fd()), unix.TCSETS, &before); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); termios(t, s.keyboard) != unseen; {
		if time.Now().After(end) {
			t.Fatal("the secret is seen after the program went on")
		}
	}
	s.typed("2468\x03")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("the program ended with %d", code)
	}
	if strings.Contains(s.text, "2468") {
		t.Error("the secret was shown")
	}
	if after := termios(t, s.keyboard); after != before {
		t.Errorf("the terminal is not as it was:\n%+v\n%+v", after, before)
	}
}
