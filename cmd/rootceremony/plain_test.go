package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"rootceremony/keys/yubikey/pcsctest"
)

// room is a rehearsal in plain mode on a terminal, and the people before it.
type room struct {
	t       *testing.T
	dir     string
	command *exec.Cmd
	tty     *os.File
	all     bytes.Buffer // what was shown, from the first start on
	since   int          // where what followed the last answer begins
	asked   int

	program, verb string   // what is run: rootceremony rehearse, where empty
	args, env     []string // more of both
	folder        string   // in which it is run
	touches       bool     // the prompt for a touch is answered too: by a hand

	within *pcsctest.Service // whose pcscd is found at pcscd's own place; nil: that of the machine
}

const pinOfAll = "7391058"

// answers are how attentive people answer, by a part of the question. What
// they read from the screen is the first group of read, in what was shown last.
var answers = []struct {
	question string
	answer   string
	read     *regexp.Regexp
	wrong    string // what somebody might answer instead
	said     string // what they are told then
}{
	{"Next:", "", nil, "99", "there is no task"},
	{"type the first 8 characters of the digest", "", regexp.MustCompile(`Digest +(\w{4}) (\w{4})`), "yes", "not what is asked for"},
	{"Insert the token", "", nil, "Z-99", "Z-99"},
	{"carry the sticker", "yes", nil, "", "yes or no"},
	{"type your new PIN", pinOfAll, nil, "123456", "every token has when it is new"},
	{"The same PIN again", pinOfAll, nil, "9081726", "were not the same"},
	{"type your PIN", pinOfAll, nil, "9081726", "The PIN was wrong"},
	{"touch the token", "", nil, "", ""},
	{"Is the identity of Bank safe here?", "yes", nil, "perhaps", "Not accepted"},
	{"File of the identity of Bank safe", "", nil, "/no/such/file", "no such file"},
	{"Mix something in?", "no", nil, "7", "Not accepted"},
	{"Whose backup is opened?", "alice", nil, "zoe", "Not accepted"},
	{"Who is number", "1", nil, "alice", "Not accepted"},
	{"What now?", "copy", nil, "yes", "Not accepted"},
	{"In which folder is it mounted?", "", nil, "/no/such/folder", "no such file"},
	{"Is it back?", "back", nil, "yes", "Not accepted"},
	{"Is there a second machine?", "no", nil, "perhaps", "Not accepted"},
	{"Has everybody read it", "yes", nil, "y", "Not accepted"},
	{"type words", "", nil, "yes yes", "not what is asked for"},
	{"type publish", "publish", nil, "yes", "not what is asked for"},
	{"type seal", "seal", nil, "", "Not accepted"},
	{"Who signs the log?", "alice", nil, "nobody", "Not accepted"},
	{"Does it have a line \"signed v", "no", nil, "perhaps", "yes or no"},
	{"Is the paper here", "yes", nil, "", ""},
	{"eight words that stand last on the paper", "", written("the paper, with the date"), "", ""},
	{"eight words of the plan", "", written("the paper, beside the name of the plan"), "", ""},
	{"type how many they are", "", regexp.MustCompile(`Recorded after what the paper says: (\d+)`), "", ""},
	{"How is it known?", "token", nil, "", ""},
}

// written finds the eight words that were to be written down there.
func written(where string) *regexp.Regexp {
	return regexp.MustCompile("Write on " + where + ":" + strings.Repeat(`\s+([A-Za-z]+)`, 8))
}

func openRoom(t *testing.T) *room {
	return &room{t: t, dir: filepath.Join(t.TempDir(), "d")}
}

func (r *room) start() {
	// Core dumps are allowed, as far as the machine does.
	r.command = exec.Command("sh", "-c", `ulimit -S -c $(ulimit -H -c); exec "$@"`, "sh")
	if r.within != nil {
		r.command.Args = append(r.command.Args, r.within.Within()...)
	}
	r.command.Args = append(r.command.Args, cmp.Or(r.program, program("rootceremony")), cmp.Or(r.verb, "rehearse"), "--plain", r.dir)
	r.command.Args = append(r.command.Args, r.args...)
	r.command.Env = append(os.Environ(), r.env...)
	r.command.Dir = r.folder
	r.tty = startOnPTY(r.t, r.command, 80, 24)
	r.since = r.all.Len()
}

// prompt waits for the next question and returns it, or io.EOF when the
// program has ended.
func (r *room) prompt() (string, error) {
	if err := r.tty.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		r.t.Fatal(err)
	}
	if r.asked++; r.asked > 1000 {
		r.t.Fatalf("there is no end of questions:\n%s", r.all.Bytes()[r.all.Len()-4000:])
	}
	chunk := make([]byte, 4096)
	for {
		shown := r.all.Bytes()[r.since:]
		forTouch := r.touches && bytes.HasSuffix(bytes.Join(bytes.Fields(shown), []byte(" ")), []byte("(touch the token now, or wait)")) // on one line or two
		if bytes.HasSuffix(shown, []byte("\n> ")) || forTouch {
			paragraphs := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(shown), "\r", "")), "\n\n")
			return strings.Join(strings.Fields(strings.TrimSuffix(paragraphs[len(paragraphs)-1], "> ")), " "), nil
		}
		n, err := r.tty.Read(chunk)
		r.all.Write(chunk[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			r.t.Fatalf("no question came after\n%s", &r.all)
		}
		if err != nil { // Linux: EIO once the other side is closed
			return "", io.EOF
		}
	}
}

func (r *room) answer(text string) {
	r.since = r.all.Len()
	if _, err := r.tty.WriteString(text); err != nil {
		r.t.Fatal(err)
	}
}

// rightAnswer is what an attentive person types, and the row of answers.
func (r *room) rightAnswer(question string) (string, int) {
	shown := strings.ReplaceAll(r.all.String(), "\r", "")
	if strings.Contains(question, "Who signs the log?") && strings.Contains(shown[strings.LastIndex(shown, "=="):], "Nobody else") {
		return ".", -1
	}
	for i, a := range answers {
		if !strings.Contains(question, a.question) {
			continue
		}
		switch {
		case a.question == "type words":
			return wordsFrom(r.t, question, shown), i
		case a.read != nil:
			all := a.read.FindAllStringSubmatch(shown, -1)
			if all == nil {
				r.t.Fatalf("%q is not on the screen:\n%s", a.read, shown)
			}
			return strings.Join(all[len(all)-1][1:], ""), i
		}
		return a.answer, i
	}
	r.t.Fatalf("nobody expects the question %q after\n%s", question, shown)
	return "", 0
}

var (
	wordRow     = regexp.MustCompile(`Words \d+ to \d+ +(\w+) +(\w+) +(\w+) +(\w+)`)
	wordNumbers = regexp.MustCompile(`words (\d+) and (\d+)`)
)

// wordsFrom reads the two words that are asked for.
func wordsFrom(t *testing.T, question, shown string) string {
	var words []string
	for _, row := range wordRow.FindAllStringSubmatch(shown, -1) {
		words = append(words, row[1:]...)
	}
	words = words[len(words)-32:]
	var typed []string
	for _, n := range wordNumbers.FindStringSubmatch(question)[1:] {
		typed = append(typed, words[atoi(t, n)-1])
	}
	return strings.Join(typed, " ")
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n := 0
	for _, c := range s {
		n = 10*n + int(c-'0')
	}
	return n
}

// end waits for the program's end and returns its exit status.
func (r *room) end() int {
	_ = r.command.Wait()
	_ = r.tty.Close()
	return r.command.ProcessState.ExitCode()
}

// checkLocked looks at whether a crash of the program would leave its memory.
func (r *room) checkLocked() {
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", r.command.Process.Pid))
	if err != nil || !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		r.t.Errorf("core dumps are possible: %v\n%s", err, limits)
	}
}

// shownPIN is what a rehearsal says of its virtual token where it asks for the
// PIN.
var shownPIN = regexp.MustCompile(`\(This is a rehearsal: the PIN of this virtual token is (\d+)\.\)`)

// checkEnd looks at what the day has left, and at what was on the screen.
func (r *room) checkEnd() {
	checkPublished(r.t, r.dir)
	if bytes.Contains(shownPIN.ReplaceAll(r.all.Bytes(), nil), []byte(pinOfAll)) {
		r.t.Error("a PIN was on the screen")
	}
}

// TestPlainOnATerminal holds a rehearsal and gives every wrong answer once.
func TestPlainOnATerminal(t *testing.T) {
	t.Parallel()
	r := openRoom(t)
	r.start()
	given := map[int]bool{}
	for {
		question, err := r.prompt()
		if err != nil {
			break
		}
		right, row := r.rightAnswer(question)
		if row < 0 || given[row] || answers[row].said == "" {
			r.answer(right + "\r")
			continue
		}
		given[row] = true
		r.answer(answers[row].wrong + "\r")
		if len(given) == 1 {
			r.checkLocked()
		}
		if _, err := r.prompt(); err != nil {
			t.Fatalf("%q at %q ended the program:\n%s", answers[row].wrong, question, &r.all)
		}
		shown := strings.Join(strings.Fields(r.all.String()[r.since:]), " ")
		if !strings.Contains(shown, answers[row].said) {
			t.Errorf("%q at %q was answered with\n%s", answers[row].wrong, question, r.all.String()[r.since:])
		}
	}
	if status := r.end(); status != 0 {
		t.Fatalf("status %d:\n%s", status, &r.all)
	}
	for i, a := range answers {
		if a.said != "" && !given[i] {
			t.Errorf("nobody was asked: %s", a.question)
		}
	}
	r.checkEnd()
}

// TestPlainLeftAtEveryPrompt leaves once at every question, by a word, by
// Ctrl-C and by the end of input, and goes on each time.
func TestPlainLeftAtEveryPrompt(t *testing.T) {
	ways := []string{":quit\r", "\x03", "\x04"} // a command, Ctrl-C, the end of the input
	r := openRoom(t)
	left := map[string]bool{}
	for status := -1; status != 0; {
		r.start()
		leaving := false
		for {
			question, err := r.prompt()
			if err != nil {
				break
			}
			if leaving {
				t.Fatalf("still asked after leaving: %q", question)
			}
			kind := regexp.MustCompile(`[0-9]+`).ReplaceAllString(question, "N") // which words are typed changes
			if leaving = !left[kind]; leaving {
				r.answer(ways[len(left)%len(ways)])
				left[kind] = true
				continue
			}
			right, _ := r.rightAnswer(question)
			r.answer(right + "\r")
		}
		status = r.end()
		if leaving && status != exitUnfinished || !leaving && status != 0 {
			t.Fatalf("left %v, status %d:\n%s", leaving, status, &r.all)
		}
	}
	if len(left) < 40 {
		t.Errorf("left at %d questions only", len(left))
	}
	r.checkEnd()
}
