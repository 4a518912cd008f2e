package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"
)

// TestQuietStart holds that the terminal is asked nothing, and that TERM is
// given back.
func TestQuietStart(t *testing.T) {
	trace := exec.Command(program("rootceremony"), "help")
	trace.Env = append(os.Environ(), "GODEBUG=inittrace=1", "TERM=xterm")
	out, err := trace.CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	order := regexp.MustCompile(`(?m)^init (\S+) @`).FindAllSubmatch(out, -1)
	at := func(name string) int {
		return slices.IndexFunc(order, func(m [][]byte) bool { return string(m[1]) == name })
	}
	quiet := at("rootceremony/ui/quiet")
	for _, later := range []string{"os", "github.com/muesli/termenv", "github.com/charmbracelet/bubbletea"} {
		if quiet < 0 || at(later) < quiet {
			t.Errorf("rootceremony/ui/quiet is initialised at %d, %s at %d", quiet, later, at(later))
		}
	}

	s := onTerminal(t, nil, "rehearse", filepath.Join(t.TempDir(), "d"))
	s.until("Next: Check the laptop")
	s.mu.Lock()
	raw := s.raw.String()
	s.mu.Unlock()
	for _, query := range []string{"\x1b]10;?", "\x1b]11;?", "\x1b[6n", "\x1b[c", "\x1b[>c"} {
		if strings.Contains(raw, query) {
			t.Errorf("the terminal is asked %q", query)
		}
	}
	if !strings.Contains(raw, "\x1b[1;36m") {
		t.Errorf("no colours, so TERM was not given back: %q", raw)
	}
}

// TestTerminals starts the program on terminals that can do less.
func TestTerminals(t *testing.T) {
	colour := regexp.MustCompile("\x1b\\[[0-9;]*(3[0-9]|9[0-7])m")
	for _, c := range []struct {
		name   string
		env    []string
		ascii  bool
		colour bool
	}{
		{"xterm-256color", []string{"TERM=xterm-256color"}, false, true},
		{"screen", []string{"TERM=screen"}, false, true},
		{"linux", []string{"TERM=linux", "LC_ALL=", "LANG="}, true, true},
		{"linux with UTF-8", []string{"TERM=linux"}, false, true},
		{"C locale", []string{"LC_ALL=C"}, true, true},
		{"no colour", []string{"NO_COLOR=1"}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := onTerminal(t, c.env, "rehearse", filepath.Join(t.TempDir(), "d"))
			text := s.until("Next: Check the laptop")
			if ascii := !strings.ContainsFunc(text, func(r rune) bool { return r > '~' }); ascii != c.ascii {
				t.Errorf("ASCII alone: %v, want %v\n%s", ascii, c.ascii, text)
			}
			s.mu.Lock()
			raw := s.raw.String()
			s.mu.Unlock()
			if got := colour.MatchString(raw); got != c.colour {
				t.Errorf("colours: %v, want %v: %q", got, c.colour, raw)
			}
			for _, sequence := range []string{"\x1b[38;", "\x1b[48;"} {
				if strings.Contains(raw, sequence) {
					t.Errorf("more than 16 colours: %q", raw)
				}
			}
		})
	}
	t.Run("dumb", func(t *testing.T) {
		s := onTerminal(t, []string{"TERM=dumb"}, "rehearse", filepath.Join(t.TempDir(), "d"))
		s.until("Enter goes on with it")
	})
	t.Run("plain", func(t *testing.T) {
		s := onTerminal(t, nil, "rehearse", "--plain", filepath.Join(t.TempDir(), "d"))
		s.until("Enter goes on with it")
	})
}

// TestResize makes the window small and large again.
func TestResize(t *testing.T) {
	s := onTerminal(t, nil, "rehearse", filepath.Join(t.TempDir(), "d"))
	s.until("Next: Check the laptop")
	for _, size := range [][2]int{{40, 10}, {1, 1}, {20, 3}, {100, 40}, {40, 10}, {80, 24}} {
		s.mu.Lock()
		s.vt.Resize(size[0], size[1])
		s.mu.Unlock()
		onFile(t, s.keys, func(fd int) error {
			return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(size[0]), Row: uint16(size[1])})
		})
		switch size[0] {
		case 40:
			s.until("too small")
		case 80, 100:
			s.until("Next: Check the laptop")
		}
	}
	s.write("\x03")
	if status := s.exit(); status != exitUnfinished {
		t.Errorf("exit status %d", status)
	}
}

// TestTerminalCloses takes the terminal away while a question is open.
func TestTerminalCloses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	s := onTerminal(t, nil, "rehearse", dir)
	r := newPeople()
	r.stop = func(text string) bool { return strings.Contains(text, "type your new PIN") }
	r.hold(s)
	_ = s.keys.Close()
	if status := s.exit(); status != exitUnfinished {
		t.Errorf("exit status %d", status)
	}
	s = onTerminal(t, nil, "rehearse", dir)
	s.until("Next: Compare with the paper")
}

// TestTerminalAfterDeath kills the program, or has it crash, on the screen, also while a
// PIN is typed, and in plain mode, while nothing that is typed is shown: the terminal is
// as it was before.
func TestTerminalAfterDeath(t *testing.T) {
	for _, c := range []struct {
		name   string
		flags  []string
		before string // the keys that come to where it dies, and what is awaited there
		signal unix.Signal
		status int
	}{
		{"killed", nil, "Next: Check the laptop", unix.SIGKILL, 137},
		{"crashed", nil, "Next: Check the laptop", unix.SIGABRT, exitUsage}, // which is the status of Go's runtime, too
		{"killed at a PIN", nil, "type your new PIN", unix.SIGKILL, 137},
		{"killed in plain mode", []string{"--plain"}, "Enter goes on with it", unix.SIGKILL, 137},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "d")
			args := append([]string{"-c", `read begin; "$0" "$@"; echo "ended with $?"; read end`, program("rootceremony"), "rehearse"}, append(c.flags, dir)...)
			s := startOnTerminal(t, nil, "/bin/sh", args...)
			before := termios(t, s.keys)
			if _, err := s.keys.WriteString("\r"); err != nil {
				t.Fatal(err)
			}
			if c.before == "type your new PIN" {
				r := newPeople()
				r.stop = func(text string) bool { return strings.Contains(text, c.before) }
				r.hold(s)
			}
			s.until(c.before)
			if c.flags != nil { // as plain mode does for a PIN
				hidden := termios(t, s.keys)
				hidden.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
				onFile(t, s.keys, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, &hidden) })
			}
			if now := termios(t, s.keys); now == before {
				t.Fatal("the terminal is as it was before the program began")
			}
			pid := children(s.command.Process.Pid)[0]
			guard := slices.IndexFunc(children(pid), isGuard)
			if guard < 0 {
				t.Fatal("the terminal has no guard")
			}
			ended := gone(t, children(pid)[guard])
			if err := unix.Kill(pid, c.signal); err != nil {
				t.Fatal(err)
			}
			<-ended
			if now := termios(t, s.keys); now != before {
				t.Errorf("the terminal was %+v, and is %+v", before, now)
			}
			if _, err := s.keys.WriteString("\r"); err != nil {
				t.Fatal(err)
			}
			s.exit()
			s.mu.Lock()
			defer s.mu.Unlock()
			if raw := s.raw.String(); !strings.Contains(raw, fmt.Sprintf("ended with %d", c.status)) {
				t.Errorf("%q", raw[max(0, len(raw)-300):])
			}
			if s.vt.Mode()&vt10x.ModeAltScreen != 0 || !s.vt.CursorVisible() {
				t.Error("the terminal shows the program's screen, or no cursor")
			}
		})
	}
}

func termios(t *testing.T, terminal *os.File) unix.Termios {
	t.Helper()
	var now *unix.Termios
	onFile(t, terminal, func(fd int) (err error) {
		now, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	return *now
}

// onFile does something with the terminal, and leaves the file as it is.
func onFile(t *testing.T, terminal *os.File, do func(fd int) error) {
	t.Helper()
	raw, err := terminal.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := errors.Join(raw.Control(func(fd uintptr) { failed = do(int(fd)) }), failed); err != nil {
		t.Fatal(err)
	}
}

// isGuard reports whether a process is the guard of a terminal.
func isGuard(pid int) bool {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return bytes.Contains(line, []byte("\x00"+guardArgument+"\x00"))
}

// gone is closed when a process that isn't ours has ended.
func gone(t *testing.T, pid int) <-chan struct{} {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return ended
}

// TestStopAndGoOn goes back to the shell, and comes back, while a PIN is being
// typed.
func TestStopAndGoOn(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash to go back to")
	}
	dir := filepath.Join(t.TempDir(), "d")
	s := startOnTerminal(t, []string{"PS1=shell> ", "HISTFILE="}, shell, "--norc", "--noprofile", "-i")
	s.until("shell> ")
	s.write(program("rootceremony") + " rehearse " + dir + "\r")
	r := newPeople()
	r.stop = func(text string) bool {
		return strings.Contains(text, "type your new PIN") && readPrompt.MatchString(text)
	}
	r.hold(s)
	s.write("1234")
	s.until("> ****█")
	s.write("\x1a")
	s.until("Stopped")
	s.write("echo here 7$((4+4))9\r")
	s.until("here 789")
	s.write("fg\r")
	s.until("type your new PIN")
	text := s.until("> █")
	if strings.Contains(text, "*") {
		t.Errorf("what was typed before is not forgotten:\n%s", text)
	}
	r.holder = "Alice Costa"
	r.stop = func(text string) bool { return strings.Contains(text, "Next: Holders: Bruno Ferraz") }
	r.hold(s)
	s.write("\x03")
	s.until("left early; nothing is lost")
	s.write("exit\r")
	s.exit()
}

// TestOpensWithoutArguments chooses a rehearsal, leaves it, and finds it again.
func TestOpensWithoutArguments(t *testing.T) {
	state := t.TempDir()
	s := onTerminal(t, []string{"XDG_STATE_HOME=" + state})
	s.until("► Rehearse on virtual tokens")
	s.write("\r")
	s.until("Folder of the rehearsal")
	s.until("> █")
	s.write("\r")
	s.until("Next: Check the laptop")
	s.write("\r")
	s.until("Next: Agree the plan")
	s.write("\x03")
	if status := s.exit(); status != exitUnfinished {
		t.Errorf("exit status %d", status)
	}

	s = onTerminal(t, []string{"XDG_STATE_HOME=" + state})
	s.until("► REHEARSAL: root ceremony")
	s.write("\r")
	s.until("Next: Agree the plan")
	s.write("\x03")
	if status := s.exit(); status != exitUnfinished {
		t.Errorf("exit status %d", status)
	}
}

// TestPlanOnScreen writes a plan and opens it in plain mode.
func TestPlanOnScreen(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"online.pub": "ab", "targets.pub": "cd"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(text, 32)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := onTerminal(t, nil, "plan", dir)
	s.until("Next: Write the plan")
	s.write("\r")
	for _, line := range [][2]string{{"the project's name", "Example packages"}, {"How many people hold", "2"}, {"Holder 1: name", "Alice Costa"}, {"Alice Costa: what is on", "A-01"},
		{"Alice Costa: in which place", ""}, {"Holder 2: name", "Bruno Ferraz"}, {"Bruno Ferraz: what is on", "B-02"}, {"Bruno Ferraz: in which place", "Porto"},
		{"must sign a root", "2"}} {
		s.until(line[0])
		s.until("> █")
		s.write(line[1] + "\r")
	}
	s.until("Are there backups?")
	s.until("  Yes")
	s.write("\x1b[B")
	s.until("► Yes")
	s.write("\r")
	for _, line := range [][2]string{{"Who else does, such as a safe", "1"}, {"Recipient 1: name", "Bank safe"},
		{"Bank safe: age recipient", ""}, {"Bank safe: in which place", "Zurich"}, {"When does the root expire", ""}} {
		s.until(line[0])
		s.until("> █")
		s.write(line[1] + "\r")
	}
	s.until("for every signature (recommended)")
	s.write("\x1b[B")
	s.until("► for every signature")
	s.write("\r")
	for _, line := range [][2]string{{"Role timestamp", "online.pub"}, {"Role snapshot", ""}, {"Role targets", "targets.pub"}, {"Who is the witness", ""}} {
		s.until(line[0])
		s.until("> █") // at once: nobody has to read on
		s.write(line[1] + "\r")
	}
	s.until("The plan is written")
	s.until("Can still be done: Check the plan")
	s.write("\r")
	s.until("What the plan makes")
	s.reads("Everything is done", "Enter leaves")
	s.write("\r")
	if status := s.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if out, err := exec.Command(program("rootceremony"), "check", dir).CombinedOutput(); err != nil {
		t.Errorf("%s%v", out, err)
	}
}

// memoryOf is the resident memory of a process in KiB.
func memoryOf(pid int) (kib int) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(status, []byte("VmRSS:"))
	_, _ = fmt.Sscan(string(after), &kib)
	return kib
}

// BenchmarkFirstFrame starts the program on a terminal that never answers.
func BenchmarkFirstFrame(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "d")
	memory := 0
	for b.Loop() {
		s := onTerminal(b, nil, "rehearse", dir)
		s.until("Next: Check the laptop")
		memory = memoryOf(s.command.Process.Pid)
		b.StopTimer()
		s.stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(memory), "KiB")
}

// BenchmarkKey presses a key and waits until its effect is on the terminal.
func BenchmarkKey(b *testing.B) {
	s := onTerminal(b, nil, "rehearse", filepath.Join(b.TempDir(), "d"))
	s.until("►[ ] Check the laptop")
	var took []time.Duration
	down := false
	for b.Loop() {
		key, effect := "\x1b[B", "►[ ] Agree the plan"
		if down {
			key, effect = "\x1b[A", "►[ ] Check the laptop"
		}
		down = !down
		started := time.Now()
		s.write(key)
		s.until(effect)
		took = append(took, time.Since(started))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// TestLeaveWhileTaskRuns leaves from the middle of a task, and stays once.
func TestLeaveWhileTaskRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	s := onTerminal(t, nil, "rehearse", dir)
	r := newPeople()
	r.stop = func(text string) bool { return strings.Contains(text, "Enter touches the virtual token") }
	r.hold(s)
	s.write("\x03")
	s.until("► Stay")
	s.write("\r")
	s.until("► Enter touches")
	s.write("\x03")
	s.until("► Stay")
	s.write("\x1b[B")
	s.until("► Leave")
	s.write("\r")
	if status := s.exit(); status != exitUnfinished {
		t.Errorf("exit status %d", status)
	}
	s = onTerminal(t, nil, "rehearse", dir)
	r.stop = func(text string) bool { return strings.Contains(text, "Next: Holders: Bruno Ferraz") }
	r.hold(s)
}
