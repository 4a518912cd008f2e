package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/yubikey"
	"rootceremony/keys/yubikey/pcsctest"
)

// troubled is a ceremony of one holder over pcscd, in which things go wrong.
type troubled struct {
	*room
	service      *pcsctest.Service
	token, other *pcsctest.Token // of the holder, who touches it; and somebody's
}

// until answers rightly until a question with that part is asked.
func (r *troubled) until(part string) {
	r.t.Helper()
	for {
		question, err := r.prompt()
		if err != nil {
			r.t.Fatalf("ended before %q:\n%s", part, &r.all)
		}
		if strings.Contains(question, part) {
			return
		}
		r.rightly(question)
	}
}

// toTheEnd answers rightly until a root is published.
func (r *troubled) toTheEnd() {
	r.t.Helper()
	for {
		question, err := r.prompt()
		if err != nil {
			break
		}
		r.rightly(question)
	}
	if status := r.end(); status != 0 {
		r.t.Fatalf("status %d:\n%s", status, &r.all)
	}
	checkRoot(r.t, filepath.Join(r.dir, state.PublishDir, "1.root.json"), 1)
}

// rightly answers a question as it is to be answered.
func (r *troubled) rightly(question string) {
	r.t.Helper()
	switch {
	case strings.Contains(question, "touch the token"):
		r.touch()
	case strings.Contains(question, "Insert the token"):
		r.inserted()
	default:
		right, _ := r.rightAnswer(question)
		r.answer(right + "\r")
	}
}

// waits returns when the token waits for a touch.
func (r *troubled) waits() {
	r.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !strings.HasSuffix(r.token.Do(r.t, "status"), "waits for a touch"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("the token waits for no touch:\n%s", &r.all)
		}
	}
}

func (r *troubled) touch() {
	r.t.Helper()
	r.waits()
	r.since = r.all.Len()
	r.token.Do(r.t, "touch")
}

// inserted presses Enter until the program sees the token: pcscd takes up to
// half a second to.
func (r *troubled) inserted() {
	r.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		r.answer("\r")
		question, err := r.prompt()
		if err != nil || time.Now().After(end) {
			r.t.Fatalf("the token is not seen:\n%s", &r.all)
		}
		if !strings.Contains(question, "Insert the token") {
			return
		}
	}
}

// told wants the next prompt to come after these words.
func (r *troubled) told(words ...string) {
	r.t.Helper()
	if _, err := r.prompt(); err != nil {
		r.t.Fatalf("ended instead of saying %q:\n%s", words, &r.all)
	}
	shown := strings.Join(strings.Fields(r.all.String()[r.since:]), " ")
	for _, want := range words {
		if !strings.Contains(shown, want) {
			r.t.Errorf("not told %q, but\n%s", want, shown)
		}
	}
}

// stopped wants the task to have stopped with these words, and to be the next
// one again.
func (r *troubled) stopped(words ...string) {
	r.t.Helper()
	r.touches = false // nobody touches it
	defer func() { r.touches = true }()
	r.told(append(words, "The task has stopped: ", "the task can be taken again", "Next: ")...)
}

// inTrouble is the beginning: two new tokens are in the two readers.
func inTrouble(t *testing.T) *troubled {
	t.Helper()
	r := &troubled{room: openRoom(t), service: pcsctest.Start(t, 2)}
	root := filepath.Join(r.service.Dir, "root.pem")
	r.token = r.service.Plug(t, 0, "--serial", fmt.Sprint(holdersSerial), "--attestation-root", root, "--state", filepath.Join(r.service.Dir, "a.token"), "--touch-wait", "10m")
	r.other = r.service.Plug(t, 1, "--serial", "1234567", "--attestation-root", root, "--state", filepath.Join(r.service.Dir, "b.token"))
	program, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	r.program, r.env = program, r.service.Env()
	r.args = []string{"--tokens", "pcsc", "--attestation-root", root, "--plan", smallPlanFile(t, 1, 1)}
	r.touches = true
	r.start()
	return r
}

// toChangePIN is the command that sets a new token's PIN, counted from when it was
// typed.
const toChangePIN = 84

const who = "Alice Costa, sticker A-01: "

// Whatever happens to tokens, readers and pcscd is said in a sentence, and the
// task can be taken again.
func TestTroubleOverPCSC(t *testing.T) {
	t.Parallel()
	r := inTrouble(t)

	// pcscd is stopped before the task, and started again.
	r.until("Insert the token A-01")
	r.service.Stop(t)
	r.answer("\r")
	r.told("the smart-card service pcscd does not answer", "hint: systemctl start pcscd")
	r.service.Restart(t)

	// Two new tokens at once are told apart by people.
	r.until("Which one carries the sticker A-01?")
	r.told("There are 2 tokens that are nobody's yet", "1 234 567", "7 654 321")
	r.answer(fmt.Sprintf("%d\r", holdersSerial))
	r.other.Unplug(t)

	// The token is pulled out while it waits for a touch.
	r.until("touch the token")
	r.waits()
	r.since = r.all.Len()
	r.token.Do(t, "unplug")
	r.stopped(who + "the token was pulled out (hint: insert it again")
	r.until("Insert the token A-01")
	r.answer("\r")
	r.told("no token is in a reader (hint: insert the one with the sticker A-01)")
	r.token.Replug(t)

	// The person leaves while it waits, and touches it late.
	r.until("type your PIN")
	before := r.token.Commands(t)
	r.answer(pinOfAll + "\r")
	r.until("touch the token")
	r.waits()
	toTouch := r.token.Commands(t) - before
	r.answer("\x03")
	if question, err := r.prompt(); err == nil {
		t.Fatalf("still asked after leaving: %q", question)
	}
	if status := r.end(); status != exitUnfinished {
		t.Fatalf("left with status %d", status)
	}
	if how := "hint: rootceremony rehearse --attestation-root FILE " + r.dir + " goes on"; !strings.Contains(r.all.String(), how) {
		t.Errorf("not told %q", how)
	}
	r.args = r.args[2:4] // the kind is known
	r.start()
	r.until("Insert the token A-01")
	r.answer("\r")
	r.told("another program uses it, it still waits for a touch, or it is slow and still at work (hint: touch it if it blinks")
	r.token.Do(t, "touch")

	// Another token is in its place.
	r.until("type your PIN")
	r.token.Unplug(t)
	r.other.Replug(t)
	r.answer(pinOfAll + "\r")
	r.stopped(who + "token 7 654 321 is not in a reader, only 1 234 567 (hint: insert token 7 654 321)")
	r.until("Insert the token A-01")
	r.answer("\r")
	r.told("Alice Costa's token has the serial number 7 654 321, this one 1 234 567")
	r.token.Replug(t) // both are there: the right one is taken

	// The readers are gone, as when a hub is unplugged.
	r.until("type your PIN")
	r.answer(":back\r")
	r.until("Insert the token A-01")
	readers := filepath.Join(r.service.Dir, "readers", "vpcd")
	r.service.Stop(t)
	if err := os.Rename(readers, filepath.Join(r.service.Dir, "gone")); err != nil {
		t.Fatal(err)
	}
	r.service.Restart(t)
	r.answer("\r")
	r.told("no token is in a reader")
	r.service.Stop(t)
	if err := os.Rename(filepath.Join(r.service.Dir, "gone"), readers); err != nil {
		t.Fatal(err)
	}
	r.service.Restart(t)

	// Enrolled; a wrong PIN, and then no touch, when it comes to signing.
	r.until("type words")
	r.until("type your PIN")
	r.answer("9081726\r")
	r.told("The PIN was wrong", "Tries 4 left")
	r.token.Do(t, fmt.Sprintf("fault sw@%d=6982", r.token.Commands(t)+toTouch-2))
	r.answer(pinOfAll + "\r")
	r.stopped(who + "the token was not touched within 15 seconds, and the key was not used (hint: try again, and touch it when it blinks)")

	// It is pulled out while it works.
	r.until("type your PIN")
	r.token.Do(t, fmt.Sprintf("fault remove@%d", r.token.Commands(t)+toTouch-3))
	r.answer(pinOfAll + "\r")
	r.stopped(who + "the token was pulled out")
	r.token.Replug(t)

	// pcscd is stopped in the middle of a session.
	r.until("type your PIN")
	r.service.Stop(t)
	r.answer(pinOfAll + "\r")
	r.stopped("the smart-card service pcscd does not answer")
	r.service.Restart(t)

	r.toTheEnd()
}

// A token with rules of its own for PINs is asked again with another one: that is no
// reason to pull it out, and the PIN that it refused is not tried twice.
func TestPINRefusedOverPCSC(t *testing.T) {
	t.Parallel()
	r := inTrouble(t)
	r.other.Unplug(t)
	const refused = "4455667"
	r.until("type your new PIN")
	r.answer(refused + "\r")
	r.until("The same PIN again")
	before := r.token.Commands(t)
	r.token.Do(t, fmt.Sprintf("fault sw@%d=6985", before+toChangePIN))
	r.answer(refused + "\r")
	r.told("the token does not take this PIN", "nothing was set. Choose another one")
	r.until("type your new PIN")
	r.answer(refused + "\r")
	r.told("that is the PIN that the token does not take: choose another")
	r.toTheEnd()
}

// Cards that no ceremony can use are refused with what would work.
func TestTokenCommandRefuses(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 5)
	service.Plug(t, 0, "--serial", "1", "--edition", "FIPS")
	service.Plug(t, 1, "--serial", "2", "--edition", "Bio")
	service.Plug(t, 2, "--serial", "3", "--disable-piv")
	service.Plug(t, 3, "--serial", "4", "--firmware", "5.4.3", "--touch", "auto")
	service.Plug(t, 4, "--serial", "5")
	lock(t, service, 5)
	old := pcsctest.Start(t, 3)
	old.Plug(t, 0, "--serial", "7000001", "--firmware", "5.2.7")
	old.Plug(t, 1, "--serial", "7000002", "--firmware", "4.3.5")
	old.Plug(t, 2, "--serial", "7000003", "--firmware", "3.4.9")
	alone := pcsctest.Start(t, 1)
	foreign := []string{"--serial", "6"} // a card that knows none of the applications asked for
	for n := range 40 {
		foreign = append(foreign, "--fault", fmt.Sprintf("sw@%d=6a82", n+1))
	}
	alone.Plug(t, 0, foreign...)
	run := func(service *pcsctest.Service, input, args string) string {
		command := inRoom(t, service, append([]string{"token"}, strings.Fields(args)...)...)
		command.Stdin = strings.NewReader(input)
		out, _ := command.CombinedOutput()
		return strings.Join(strings.Fields(string(out)), " ")
	}
	for _, c := range []struct {
		service           *pcsctest.Service
		args, input, want string
	}{
		{service, "prepare --serial 1", "", "token 1 is a YubiKey of the FIPS edition, which gets no new key here: its rules for PINs and management keys are others, and nothing here was tried on a real one (hint: use a YubiKey 5 of the standard edition)"},
		{service, "info --serial 4294967301", "", "token --serial 4294967301: no token has such a number"}, // 5, but for 2^32
		{service, "check --serial 1", "", "token 1 is a YubiKey of the FIPS edition"},
		{service, "prepare --serial 2", "", "token 2 is a YubiKey of the Bio edition"},
		{service, "check --serial 2", "", "token 2 is a YubiKey of the Bio edition"},
		{service, "prepare --serial 3", "", "token 3 cannot be used: its PIV application is switched off (hint: on another machine, ykman config usb --enable PIV; or use another token)"},
		{service, "list", "", "its PIV application is switched off"},
		{service, "check --serial 4", "", `its firmware 5.4.3 knows no ed25519, and cannot be updated: its plan must say algorithm = "ecdsa-p256" and min_firmware = "5.4.3"`},
		{service, "check --serial 4", "", "known hole YSA-2024-03: anyone who has the token, its PIN and a laboratory can take ECDSA keys out of it"},
		{service, "check --serial 4", "", "rootceremony: token 4 can't show that Yubico made it, so no ceremony makes a key on it; it can still sign with a key that the trusted root has: "},
		{service, "info --serial 4", "", "it can't show that Yubico made it, so no ceremony makes a key on it"},
		{service, "info --serial 4", "", "known hole YSA-2024-03: anyone who has the token"},
		{service, "prepare --serial 5", "", "token 5 is not as new: its PIN is blocked, its PUK is blocked (hint: rootceremony token reset --serial 5 erases what is on it)"},
		{service, "check --serial 5", "", "its PIN is blocked, its PUK is blocked"},
		{service, "reset --serial 5", "5\n", "token 5 is as new"},
		{service, "prepare --serial 5", "73910\n739105\n739105\n", "a PIN has 6 to 8 digits"},
		{service, "reset --serial 5", "5\n", "token 5 is as new"},
		{service, "prepare --serial 5", "739105827\n", "a PIN has 6 to 8 digits"},
		{service, "prepare --serial 5", "73910a\n", "letters change places between keyboards"},
		{old, "list", "", "7 000 001 YubiKey 5C NFC, firmware 5.2.7, too old for a new key, in "},
		{old, "list", "", "firmware 4.3.5, too old for a new key, in "},
		{old, "list", "", "firmware 3.4.9, too old for a new key, in "},
		{old, "info --serial 7000001", "", "PIN: 3 tries left; its firmware does not tell more of PIN, PUK and management key no keys"},
		{old, "info --serial 7000001", "", "token 7 000 001 has firmware 5.2.7, which is too old"},
		{old, "info --serial 7000002", "", "serial 7 000 002, firmware 4.3.5 PIN: 3 tries left"},
		{old, "info --serial 7000002", "", "token 7 000 002 has firmware 4.3.5, which is too old for a new key and cannot be updated: it only signs, with an ECDSA key that the trusted root has already (hint: use a token with firmware 5.7.0 or newer)"},
		{old, "info --serial 7000003", "", "serial 7 000 003, firmware 3.4.9 PIN: 3 tries left"},
		{old, "check --serial 7000002", "", "token 7 000 002 has firmware 4.3.5, which is too old"},
		{old, "prepare --serial 7000003", "", "token 7 000 003 has firmware 3.4.9, which is too old"},
		{old, "reset --serial 7000003", "", "token 7 000 003 has firmware 3.4.9, which is too old"},
		{service, "info --serial 1", "", "YubiKey 5C NFC FIPS, serial 1, firmware 5.7.4 PIN: the default, 3 tries left; PUK: the default, 3 tries left; management key: the default no keys"},
		{service, "info --serial 1 --json", "", `"edition": "FIPS"`},
		{service, "list", "", "firmware 5.7.4, of the FIPS edition, which gets no new key, in "},
		{alone, "info", "", "cannot be used: this isn't a YubiKey: no key can be made or used on it here"},
		{alone, "list", "", "this isn't a YubiKey: no key can be made or used on it here"},
	} {
		if got := run(c.service, c.input, c.args); !strings.Contains(got, c.want) {
			t.Errorf("token %s: %s, want %q", c.args, got, c.want)
		}
	}
}

// lock spends all tries of a token's PIN and PUK.
func lock(t *testing.T, service *pcsctest.Service, serial uint32) {
	t.Helper()
	child, err := sessions(t, service).Start(t.Context(), session.Backend{Kind: yubikey.Kind})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	if err := child.Select(serial); err != nil {
		t.Fatal(err)
	}
	wrong, err := secret.Take([]byte("00000001"))
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Wipe()
	for range 3 {
		if err := child.CheckPIN(wrong); !errors.As(err, new(*keys.PINError)) {
			t.Fatal(err)
		}
		if err := child.Unblock(wrong, wrong); !errors.As(err, new(*keys.PINError)) {
			t.Fatal(err)
		}
	}
}
