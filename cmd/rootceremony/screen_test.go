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
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/sys/unix"
)

// screen is the program on a terminal, of 80 by 24 where nothing else is said.
type screen struct {
	t       testing.TB
	command *exec.Cmd
	keys    *os.File // typing goes in here
	vt      vt10x.Terminal

	mu      sync.Mutex
	raw     bytes.Buffer  // all that was written
	rest    []byte        // the end of it, if that is half a character
	changed chan struct{} // closed at the next change
	ended   bool
	gone    chan struct{} // closed when the program has ended
	err     error
}

// onTerminal starts the program on a terminal that answers no queries.
func onTerminal(t testing.TB, env []string, args ...string) *screen {
	t.Helper()
	return startOnTerminal(t, env, program("rootceremony"), args...)
}

func startOnTerminal(t testing.TB, env []string, name string, args ...string) *screen {
	t.Helper()
	return startOnSize(t, 80, 24, env, name, args...)
}

// startOnPTY starts the program on a terminal and returns the other side of it. A
// deadline ends a Read of that, and so does Close; pty's file is one that blocks.
func startOnPTY(t testing.TB, command *exec.Cmd, columns, rows int) *os.File {
	t.Helper()
	master, err := pty.StartWithSize(command, &pty.Winsize{Rows: uint16(rows), Cols: uint16(columns)})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.SetNonblock(fd, true), master.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "terminal")
}

// A program that says nothing is noticed.
func TestDeadlineOnATerminal(t *testing.T) {
	command := exec.Command("cat")
	terminal := startOnPTY(t, command, 80, 24)
	ended := make(chan error)
	go func() {
		_, err := terminal.Read(make([]byte, 1))
		ended <- err
	}()
	if err := terminal.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading ends with %v", err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the deadline ends no reading")
	}
	_ = terminal.Close()
	_ = command.Wait()
}

func startOnSize(t testing.TB, columns, rows int, env []string, name string, args ...string) *screen {
	t.Helper()
	s := &screen{t: t, changed: make(chan struct{}), gone: make(chan struct{}), vt: vt10x.New(vt10x.WithSize(columns, rows))}
	s.command = exec.Command(name, args...)
	s.command.Env = append(os.Environ(), "TERM=xterm-256color", "LC_ALL=C.UTF-8", "NO_COLOR=")
	s.command.Env = append(s.command.Env, env...)
	s.keys = startOnPTY(t, s.command, columns, rows)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := s.keys.Read(buf)
			s.show(buf[:n], err != nil)
			if err != nil {
				s.err = s.command.Wait()
				close(s.gone)
				return
			}
		}
	}()
	t.Cleanup(s.stop)
	return s
}

// show takes in what was written. A terminal hands on as much as it has, so
// that it may end in the middle of a character, which the emulator would lose
// for ever: nothing that stays is drawn again.
func (s *screen) show(written []byte, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.raw.Write(written)
	s.rest = append(s.rest, written...)
	whole := len(s.rest)
	for i := 1; i < utf8.UTFMax && i <= len(s.rest) && !ended; i++ {
		if tail := s.rest[len(s.rest)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				whole -= i
			}
			break
		}
	}
	if at := bytes.LastIndexByte(s.rest, faint[0]); at >= 0 && len(s.rest)-at < len(faint) && bytes.HasPrefix(faint, s.rest[at:]) && !ended {
		whole = at
	}
	// The emulator knows no faint text; dark grey is as near as it comes.
	_, _ = s.vt.Write(bytes.ReplaceAll(s.rest[:whole], faint, []byte("\x1b[90m")))
	s.rest = append([]byte(nil), s.rest[whole:]...)
	s.ended = ended
	close(s.changed)
	s.changed = make(chan struct{})
}

var faint = []byte("\x1b[2m")

// stop ends the program.
func (s *screen) stop() {
	_ = s.command.Process.Kill()
	<-s.gone
	_ = s.keys.Close()
}

// text is what the terminal shows, and a channel that is closed when it
// changes.
func (s *screen) text() (string, <-chan struct{}, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vt.String(), s.changed, s.ended
}

// until waits until the terminal shows what is looked for.
func (s *screen) until(what string) string {
	s.t.Helper()
	return s.untilIt(fmt.Sprintf("shows %q", what), func(text string) bool { return strings.Contains(text, what) })
}

// untilIt waits until the terminal does what is said of it.
func (s *screen) untilIt(does string, is func(text string) bool) string {
	s.t.Helper()
	late := time.After(2 * time.Minute)
	for {
		text, changed, ended := s.text()
		if is(text) {
			return text
		}
		if ended {
			s.t.Fatalf("the program has ended before the terminal %s:\n%s", does, text)
		}
		select {
		case <-changed:
		case <-late:
			s.t.Fatalf("never the terminal %s:\n%s", does, text)
		}
	}
}

// write types, once the screen says that keys count.
func (s *screen) write(keys string) {
	s.t.Helper()
	s.untilIt("takes keys", s.takesKeys)
	if _, err := s.keys.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

var frameEnd = regexp.MustCompile("\x1b\\[\\d+;?\\d*H$")

// takesKeys reports whether the terminal, which shows text, says that keys
// count. Of a frame that is being drawn the key line comes last, and behind it
// the cursor is moved.
func (s *screen) takesKeys(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw := s.raw.Bytes()
	return s.vt.Mode()&vt10x.ModeAltScreen == 0 || s.vt.String() == text &&
		!strings.Contains(text, "One moment") && !strings.Contains(text, "(one moment") && frameEnd.Match(raw[max(len(raw)-20, 0):])
}

// exit waits for the end and returns the exit status.
func (s *screen) exit() int {
	s.t.Helper()
	select {
	case <-s.gone:
	case <-time.After(2 * time.Minute):
		text, _, _ := s.text()
		s.t.Fatalf("the program does not end:\n%s", text)
	}
	return s.command.ProcessState.ExitCode()
}

// The tests' own terminal shows the same, in however many pieces it gets it.
func TestTerminalInPieces(t *testing.T) {
	const drawn = "\x1b[?1049h\x1b[H► Yes \x1b[2m│ faint ↓\x1b[0m 日本 █\x1b[24;1H"
	for size := 1; size <= len(drawn); size++ {
		s := &screen{t: t, changed: make(chan struct{}), vt: vt10x.New(vt10x.WithSize(80, 24))}
		for rest := []byte(drawn); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			s.show(rest[:min(size, len(rest))], false)
		}
		text, _, _ := s.text()
		if !strings.HasPrefix(text, "► Yes │ faint ↓ 日本 █") || s.raw.String() != drawn || !s.takesKeys(text) || s.vt.Cell(8, 0).FG != 8 {
			t.Errorf("in pieces of %d: %q, faint is %d", size, text[:40], s.vt.Cell(8, 0).FG)
		}
	}
}

// people are those in the room: what they know, and how much they have typed.
type people struct {
	holder string // whose turn it is
	typed  map[string]int
	least  map[string]int // of it: PINs, typed words and their Enters
	stop   func(question string) bool
	pin    func(holder string) string
	hands  func(text string) // what they do with tokens; nil: those are virtual
	wrong  bool              // every typed answer is given wrong first
	given  map[string]bool   // by holder and right answer: it was
	read   map[string]string // words of the draft, by number, and what else is long gone from a small screen
}

func newPeople() *people {
	return &people{typed: map[string]int{}, least: map[string]int{}, pin: pinOf, given: map[string]bool{}, read: map[string]string{}}
}

var (
	readPrompt = regexp.MustCompile(`(?m)> █\s*$`)
	readHolder = regexp.MustCompile(`│ (\w+ \w+): |(?m)^ (\w+ \w+): sign root`)
	readPINOf  = regexp.MustCompile(`(\w+ \w+), type your (?:new )?PIN`)
	readDigest = regexp.MustCompile(`Digest\s+(\w{4}) (\w{4})`)
	readSerial = regexp.MustCompile(`Serial\s+([\d ]+\d)`)
	readWords  = regexp.MustCompile(`words (\d+) and (\d+) of the draft`)
	readAsked  = regexp.MustCompile(`(?m)([^│\n]*\S) *\n(?:.*│)? *> [^█\n]*█\s*$`)
	readRow    = regexp.MustCompile(`Words (\d+) to \d+\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)`)
)

// lists are the right answers to questions with a list, as their labels begin.
// They are the first ones: Up leads to these, however often it is pressed.
var lists = map[string]string{
	"Is the identity of Bank safe here?": "Yes: its file",
	"Mix something in?":                  "No: the laptop's",
	"Whose backup is opened?":            "Alice Costa",
	"Who is number":                      "",
	"What now?":                          "A medium is plugged in",
	"Is it back?":                        "Yes: it was out",
	"How is it known?":                   "The token is here",
}

// fromList goes up in a list to the right answer, and takes it.
func fromList(text string) (keys string, is bool) {
	for question, label := range lists {
		at := strings.LastIndex(text, question)
		switch {
		case at < 0:
		case strings.Contains(text[at:], "► "+label):
			return "\r", true
		default:
			return "\x1b[A", true
		}
	}
	return "", false
}

// answer is what somebody types who reads this screen; "" while there is
// nothing to answer. needed reports whether it cannot be done with less.
func (r *people) answer(t testing.TB, text string) (keys string, needed bool) {
	if h := readHolder.FindStringSubmatch(text); h != nil && h[1] != "Not taken" {
		r.holder = h[1] + h[2]
	}
	if h := readPINOf.FindStringSubmatch(text); h != nil {
		r.holder = h[1]
	}
	asked := func(question string) bool { return strings.Contains(text, question) }
	if asked("more lines: Enter") || asked("more line: Enter") || asked("the question: Enter") {
		return "\r", false
	}
	if keys, is := fromList(text); is {
		return keys, false
	}
	if asked("Does it have a line") || asked("Is the paper here") { // there is none
		if asked("► No") {
			return "\r", false
		}
		return "\x1b[B", false
	}
	field := readPrompt.MatchString(text)
	switch {
	case asked("Everything is done. Enter leaves."):
		return "\r", false
	case asked("Next: "), asked("Can still be done: "):
		r.holder = "room"
		return "\r", false
	case asked("► plug in"), asked("► Enter touches"), asked("► No: go on without"), asked("► Yes "), asked("► Nobody else"):
		return "\r", false
	case asked("Is there a second machine?"):
		return "\x1b[B", false
	case asked("(one moment"):
		return "", false
	case asked("Who signs the log?") && asked("Nobody else"): // the last one
		return "\x1b[B", false
	case asked("Who signs the log?") && asked("► Alice"): // the first one
		return "\r", false
	case asked("Who signs the log?"):
		return "\x1b[A", false
	case regexp.MustCompile(`(?m)^.{0,30} {2}Yes\s*$`).MatchString(text) && asked("?"):
		return "\x1b[A", false
	case !field:
		return "", false
	case asked("first 8 characters of the digest"):
		return r.read["digest"] + "\r", true
	case asked("type its serial number"):
		return r.read["serial"] + "\r", true
	case asked("To publish it, type publish"):
		return "publish\r", true
	case asked("To seal, type seal"):
		return "seal\r", true
	case asked("To sign, type words"):
		return r.words(t, text) + "\r", true
	case asked("File of the identity of"), asked("In which folder is it mounted?"):
		return "\r", false
	case asked("PIN"):
		return r.pin(r.holder) + "\r", true
	}
	return "", false
}

// remember what is on the screen and will be asked for.
func (r *people) remember(text string) {
	for _, row := range readRow.FindAllStringSubmatch(text, -1) {
		first := 0
		_, _ = fmt.Sscan(row[1], &first)
		for i, word := range row[2:] {
			r.read[fmt.Sprint(first+i)] = word
		}
	}
	if digest := readDigest.FindStringSubmatch(text); digest != nil {
		r.read["digest"] = digest[1] + digest[2]
	}
	if serial := readSerial.FindStringSubmatch(text); serial != nil {
		r.read["serial"] = strings.ReplaceAll(serial[1], " ", "")
	}
}

// words are the two words that are asked for.
func (r *people) words(t testing.TB, text string) string {
	wanted := readWords.FindStringSubmatch(text)
	if wanted == nil || r.read[wanted[1]] == "" || r.read[wanted[2]] == "" {
		t.Fatalf("the words were not on the screen:\n%s", text)
	}
	return r.read[wanted[1]] + " " + r.read[wanted[2]]
}

// wrongly gives another answer than right, and sees that it is refused beside
// its question.
func (r *people) wrongly(s *screen, text, right string) {
	s.t.Helper()
	r.given[r.holder+right] = true
	question := readAsked.FindStringSubmatch(text)
	wrong := "wrong words\r"
	if strings.Contains(text, "PIN") {
		wrong = "1\r"
	}
	s.write(wrong)
	s.untilIt("refuses a wrong answer beside "+question[1], func(text string) bool {
		again := readAsked.FindStringSubmatch(text)
		return strings.Contains(text, "Not taken: ") && again != nil && again[1] == question[1]
	})
	if text = s.until("█"); !readPrompt.MatchString(text) { // it stays, to be corrected
		s.write("\x15")
		s.untilIt("has an empty field", readPrompt.MatchString)
	}
}

// pinOf is a PIN that is found nowhere by chance.
func pinOf(holder string) string {
	sum := 0
	for i, b := range []byte(holder) {
		sum += (i + 1) * int(b)
	}
	return fmt.Sprintf("%04d8317", sum)[:8]
}

// moving is what changes on a screen while it waits for people.
var moving = regexp.MustCompile(`(?m)^ .*task \d+ of \d+ *$|\[\.*[^.\]]\.*\] \d+ s`)

// hold reads and types until the program ends, or stop wants to. Each screen is
// answered once.
func (r *people) hold(s *screen) {
	s.t.Helper()
	before, answered := "", ""
	late := time.NewTimer(0)
	for {
		text, changed, ended := s.text()
		if ended || r.stop != nil && r.stop(text) {
			return
		}
		if r.hands != nil {
			r.hands(text)
		}
		still := moving.ReplaceAllString(text, "")
		if still != before {
			late.Reset(60 * time.Second)
			before = still
		}
		if still != answered {
			answered = ""
		}
		r.remember(text)
		keys, needed := r.answer(s.t, text)
		if keys != "" && answered == "" && s.takesKeys(text) {
			if needed && r.wrong && !r.given[r.holder+keys] {
				r.wrongly(s, text, keys)
				continue
			}
			n := len([]rune(strings.NewReplacer("\x1b[A", "^", "\x1b[B", "v").Replace(keys)))
			r.typed[r.holder] += n
			if needed {
				r.least[r.holder] += n
			}
			answered = still
			s.write(keys)
		}
		select {
		case <-changed:
		case <-late.C:
			s.t.Fatalf("the ceremony does not go on:\n%s", text)
		}
	}
}

// TestWholeCreateOnScreen holds a whole 3-of-5 ceremony in the real program.
func TestWholeCreateOnScreen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	s := onTerminal(t, nil, "rehearse", dir)
	r := newPeople()
	r.hold(s)
	if status := s.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	checkPublished(t, dir)
	printKeystrokes(t, r)
}

// TestWrongAnswersOnScreen types every answer wrong first, on the smallest
// terminal and on one of 80 by 24.
func TestWrongAnswersOnScreen(t *testing.T) {
	for _, size := range [][2]int{{60, 15}, {80, 24}} {
		t.Run(fmt.Sprint(size[0]), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "d")
			s := startOnSize(t, size[0], size[1], nil, program("rootceremony"), "rehearse", dir)
			r := newPeople()
			r.wrong = true
			r.hold(s)
			if status := s.exit(); status != 0 {
				t.Errorf("exit status %d", status)
			}
			checkPublished(t, dir)
			t.Logf("%d answers were wrong", len(r.given))
		})
	}
}

// printKeystrokes says what people had to type beside the least possible: PINs
// and typed confirmations with their Enters.
func printKeystrokes(t *testing.T, r *people) {
	all, least := 0, 0
	names := []string{}
	for name := range r.typed {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.Logf("%-14s %4d keys; PINs and typed confirmations alone are %d", name, r.typed[name], r.least[name])
		all, least = all+r.typed[name], least+r.least[name]
	}
	t.Logf("%-14s %4d keys; PINs and typed confirmations alone are %d", "in all", all, least)
	if all > 2*least {
		t.Errorf("%d keys are more than twice the least, %d", all, least)
	}
}

// TestKilledOnScreen kills the program in the middle of a token's step, and
// goes on.
func TestKilledOnScreen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	s := onTerminal(t, nil, "rehearse", dir)
	r := newPeople()
	r.stop = func(text string) bool {
		return strings.Contains(text, "Bruno Ferraz: touch the token")
	}
	r.hold(s)
	if err := syscall.Kill(s.command.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.exit()
	before := checkNothingLost(t, dir, nil)
	s = onTerminal(t, nil, "rehearse", dir)
	r.stop = nil
	r.hold(s)
	if status := s.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	checkNothingLost(t, dir, before)
	checkPublished(t, dir)
}
