package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rootceremony/keys/yubikey/pcsctest"
)

// hands put real tokens into the one reader, and touch them.
type hands struct {
	t        *testing.T
	tokens   map[string]*pcsctest.Token // by sticker
	inReader string                     // a sticker, or ""
}

var (
	readInsert = regexp.MustCompile(`Insert the token (\S+)\.`)
	readTouch  = regexp.MustCompile(`touch the token (\S+) now\.`)
)

// emptyReader is a pcscd with one reader, and a token for each sticker beside it.
func emptyReader(t *testing.T, stickers ...string) (*pcsctest.Service, *hands) {
	service := pcsctest.Start(t, 1)
	h := &hands{t: t, tokens: map[string]*pcsctest.Token{}}
	for i, sticker := range stickers {
		h.tokens[sticker] = service.Plug(t, 0, "--unplugged", "--serial", fmt.Sprint(1000001+i),
			"--attestation-root", filepath.Join(service.Dir, "root.pem"), "--state", filepath.Join(service.Dir, sticker+".token"))
	}
	return service, h
}

// onReaders starts a rehearsal in the terminal UI, on the tokens of a service.
func onReaders(t *testing.T, service *pcsctest.Service, env []string, plan, dir string) *screen {
	t.Helper()
	program, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"rehearse", "--tokens", "pcsc", "--attestation-root", filepath.Join(service.Dir, "root.pem"), "--plan", plan}
	if _, err := os.Stat(identitiesOf(plan)); err == nil {
		args = append(args, "--identities", identitiesOf(plan))
	}
	return startOnTerminal(t, append(service.Env(), env...), program, append(args, dir)...)
}

func (h *hands) insert(sticker string) {
	h.takeOut()
	h.tokens[sticker].Replug(h.t)
	h.inReader = sticker
}

func (h *hands) takeOut() {
	if h.inReader != "" {
		h.tokens[h.inReader].Unplug(h.t)
	}
	h.inReader = ""
}

// do what the screen says. A token takes a touch only while it waits for one.
func (h *hands) do(text string) {
	if m := readInsert.FindStringSubmatch(text); m != nil && h.inReader != m[1] {
		h.insert(m[1])
	}
	if m := readTouch.FindStringSubmatch(text); m != nil && strings.Contains(h.tokens[m[1]].Do(h.t, "status"), "waits for a touch") {
		h.tokens[m[1]].Do(h.t, "touch")
	}
}

// header is the first line of the screen.
func header(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// TestCreateOnScreenOverPCSC holds a 3-of-5 ceremony in the terminal UI, with
// tokens that take turns in one reader. What the header says of the token in
// the reader is true when it comes and goes: between tasks, while it is asked
// for, while a PIN is typed, and after it was pulled out of a touch.
func TestCreateOnScreenOverPCSC(t *testing.T) {
	t.Parallel()
	service, hands := emptyReader(t, "A-01", "B-02", "C-03", "D-04", "E-05")
	dir := filepath.Join(t.TempDir(), "d")
	s := onReaders(t, service, nil, onTokenPlanFile(t), dir)
	r := newPeople()
	says := func(token string) {
		t.Helper()
		s.untilIt(fmt.Sprintf("says %q in its header", token), func(text string) bool { return strings.Contains(header(text), token) })
	}
	saysNothingOf := func(token string) {
		t.Helper()
		s.untilIt(fmt.Sprintf("no longer says %q in its header", token), func(text string) bool { return !strings.Contains(header(text), token) })
	}
	holdUntil := func(what string) {
		t.Helper()
		r.stop = func(text string) bool { return strings.Contains(text, what) }
		r.hold(s)
	}

	says("no token")
	hands.insert("A-01")
	says("token 1 000 001")
	hands.takeOut()
	says("no token")

	holdUntil("Insert the token A-01.")
	s.until("no token is in a reader")
	saysNothingOf("1 000 001")
	hands.insert("C-03")
	says("token 1 000 003") // the task takes it for Alice's, and asks
	s.until("Does the token in the reader")
	hands.takeOut()
	saysNothingOf("1 000 003")
	s.write("\x1b")
	s.until("You left the task")

	r.hands = hands.do
	holdUntil("type your new PIN")
	says("token 1 000 001")
	hands.takeOut()
	saysNothingOf("1 000 001")
	hands.insert("A-01")
	says("token 1 000 001")

	r.hands = func(text string) {
		if !readTouch.MatchString(text) {
			hands.do(text)
		}
	}
	holdUntil("touch the token A-01 now.")
	says("token 1 000 001")
	hands.takeOut()
	s.until("the token was pulled out")
	saysNothingOf("1 000 001")

	r.hands, r.stop = hands.do, nil
	r.hold(s)
	if status := s.exit(); status != 0 {
		text, _, _ := s.text()
		t.Errorf("exit status %d\n%s", status, text)
	}
	checkPublished(t, dir)
	checkOthersAccept(t, dir, 3, 5)
}
