//go:build cgo

package yubikey_test

import (
	"bytes"
	"context"
	"encoding/hex"
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

	"rootceremony/keys"
	"rootceremony/keys/session"
	"rootceremony/keys/yubikey"
	"rootceremony/keys/yubikey/pcsctest"
)

// Five tokens in readers at once are told apart by serial, and worked with at
// the same time.
func TestSeveralTokens(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 5)
	var serials []uint32
	for i := range 5 {
		serial := uint32(50 - i)
		serials = append(serials, serial)
		service.Plug(t, i, "--serial", fmt.Sprint(serial), "--touch", "auto")
	}
	slices.Sort(serials)
	s := start(t, service)
	listed, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var found []uint32
	for _, i := range listed {
		found = append(found, i.Serial)
	}
	if !slices.Equal(found, serials) {
		t.Errorf("listed %v", found)
	}
	sessions := map[uint32]*session.Session{}
	for _, serial := range serials {
		sessions[serial] = selected(t, service, serial)
	}
	roots := map[uint32]keys.PublicKey{}
	for serial, s := range sessions {
		if _, err := s.Prepare(pin(t, holderPIN)); err != nil {
			t.Fatal(err)
		}
		root, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchNever, From: keys.FromToken}, nil)
		if err != nil {
			t.Fatal(err)
		}
		roots[serial] = root
	}
	for serial, s := range sessions {
		i, err := s.Info()
		if err != nil || i.Serial != serial {
			t.Errorf("token %d: %+v, %v", serial, i, err)
		}
		if k, _ := i.Key(keys.SlotRoot); k.Public != roots[serial] {
			t.Errorf("token %d: key %+v", serial, k)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A key is found by its public key in whatever slot it is, old firmware
// included, which tells of it by attestations and certificates only.
func TestOldFirmware(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	root := filepath.Join(service.Dir, "root.pem")
	service.Plug(t, 0, "--serial", "3", "--firmware", "5.2.7", "--touch", "auto", "--attestation-root", root)
	s := selected(t, service, 3)
	info, err := s.Info()
	if err != nil || info.Fresh() || info.PINTries != 3 || info.PUKTries != keys.TriesUnknown || len(info.Keys) != 0 {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := s.Prepare(pin(t, holderPIN)); !is[*keys.NotFreshError](err) {
		t.Errorf("prepared: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	says(t, service, nil, "yubico-piv-tool", "-a", "generate", "-s", "9d", "-A", "ECCP384", "--pin-policy", "always", "--touch-policy", "cached", "-o", "key.pem")
	s = selected(t, service, 3)
	if info, err = s.Info(); err != nil || len(info.Keys) != 1 {
		t.Fatalf("%+v, %v", info, err)
	}
	k := info.Keys[0]
	if k.Slot != 0x9d || k.Public.Algorithm != keys.P384 || !k.Generated || k.Policy != (keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchCached}) {
		t.Errorf("%+v", k)
	}
	message := []byte("an existing root")
	signature, err := s.Sign(t.Context(), 0x9d, pin(t, session.DefaultPIN), message, noTouch)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Public.Verify(message, signature); err != nil {
		t.Error(err)
	}
	if _, err := s.Sign(t.Context(), 0x9c, pin(t, session.DefaultPIN), message, noTouch); !is[*keys.NoKeyError](err) {
		t.Errorf("an empty slot: %v", err)
	}
	if a, err := s.Attest(0x9d); err != nil {
		t.Error(err)
	} else if _, err := keys.VerifyAttestation(a, readRoot(t, root), nil, keys.AttestationWant{Slot: 0x9d, Public: k.Public, Serial: 3, Policy: k.Policy}); err != nil {
		t.Error(err)
	}
}

// A token from which its own certificate was taken away says so.
func TestWithoutDeviceCertificate(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 2)
	whole := service.Plug(t, 0, "--serial", "1")
	s := selected(t, service, 1)
	asked := whole.Commands(t) // to select it
	if _, err := s.DeviceCertificate(); err != nil {
		t.Fatal(err)
	}
	service.Plug(t, 1, "--serial", "2", "--fault", fmt.Sprintf("sw@%d=6a82", asked+1))
	s = selected(t, service, 2)
	var none *keys.NoKeyError
	if _, err := s.DeviceCertificate(); !errors.As(err, &none) || none.Slot != keys.SlotAttestation {
		t.Errorf("%v", err)
	}
	if _, err := s.DeviceCertificate(); err != nil { // the fault is over
		t.Error(err)
	}
}

// Editions, and cards that cannot be used, are told apart in the list.
func TestKinds(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 3)
	service.Plug(t, 0, "--serial", "1", "--edition", "FIPS")
	service.Plug(t, 1, "--serial", "2", "--edition", "Bio")
	service.Plug(t, 2, "--serial", "3", "--disable-piv")
	s := start(t, service)
	listed, err := s.List()
	if err != nil || len(listed) != 3 {
		t.Fatalf("%+v, %v", listed, err)
	}
	if i := listed[0]; i.Serial != 1 || i.Edition != "FIPS" || i.FormFactor != "YubiKey 5C NFC" || i.Problem != "" {
		t.Errorf("FIPS: %+v", i)
	}
	if i := listed[1]; i.Serial != 2 || i.Edition != "Bio" || i.FormFactor != "YubiKey C Bio" || i.Problem != "" {
		t.Errorf("Bio: %+v", i)
	}
	if i := listed[2]; i.Serial != 3 || !strings.Contains(i.Problem, "PIV application is switched off") {
		t.Errorf("PIV switched off: %+v", i)
	}
	if err := s.Select(3); err == nil || !strings.Contains(err.Error(), "PIV application is switched off") {
		t.Errorf("PIV switched off: %v", err)
	}
}

// signer is a token with a root key that wants a touch.
func signer(t *testing.T, args ...string) (*pcsctest.Service, *pcsctest.Token, *session.Session, keys.PublicKey) {
	t.Helper()
	service := pcsctest.Start(t, 1)
	token := service.Plug(t, 0, append([]string{"--serial", "77"}, args...)...)
	s := selected(t, service, 77)
	if _, err := s.Prepare(pin(t, holderPIN)); err != nil {
		t.Fatal(err)
	}
	root, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return service, token, s, root
}

// waits returns when the token waits for a touch.
func waits(t testing.TB, token *pcsctest.Token) {
	t.Helper()
	eventually(t, func() error {
		if said := token.Do(t, "status"); !strings.HasSuffix(said, "waits for a touch") {
			return errors.New(said)
		}
		return nil
	})
}

func TestTouch(t *testing.T) {
	t.Parallel()
	_, token, s, root := signer(t)
	message := []byte("touched")
	signature, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), message, func(context.Context) error {
		waits(t, token)
		token.Do(t, "touch")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Verify(message, signature); err != nil {
		t.Error(err)
	}
	// What a touch that does not come looks like: KeyInfo, VERIFY, and a bare
	// 6982 to the signature.
	token.Do(t, fmt.Sprintf("fault sw@%d=6982", token.Commands(t)+3))
	if _, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), message, noTouch); !errors.Is(err, keys.ErrNotTouched) {
		t.Errorf("not touched: %v", err)
	}
	if info, err := s.Info(); err != nil || info.PINTries != 5 {
		t.Errorf("afterwards %+v, %v", info, err)
	}
}

// A session that ends while the token waits for a touch leaves the token to the
// next one, as soon as it has answered; the signature it makes is lost.
func TestCancelledDuringTouch(t *testing.T) {
	t.Parallel()
	service, token, s, root := signer(t)
	stop := errors.New("enough")
	began := time.Now()
	_, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), []byte("m"), func(context.Context) error {
		waits(t, token)
		began = time.Now()
		return stop
	})
	if !errors.Is(err, stop) || time.Since(began) > 2*time.Second {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
	next := start(t, service)
	if err := next.Select(77); !is[*keys.InUseError](err) {
		t.Errorf("while it waits: %v", err)
	}
	token.Do(t, "touch")
	eventually(t, func() error { return next.Select(77) })
	signature, err := next.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), []byte("m"), func(context.Context) error {
		waits(t, token)
		token.Do(t, "touch")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Verify([]byte("m"), signature); err != nil {
		t.Error(err)
	}
}

func TestPulledOutDuringTouch(t *testing.T) {
	t.Parallel()
	_, token, s, _ := signer(t)
	_, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), []byte("m"), func(context.Context) error {
		waits(t, token)
		token.Do(t, "unplug") // pcscd looks only after the answer
		return nil
	})
	if !errors.Is(err, keys.ErrRemoved) {
		t.Errorf("%v", err)
	}
	if err := s.Select(77); !is[*keys.NotFoundError](err) {
		t.Errorf("selected without a token: %v", err)
	}
}

// A token that is taken out and put into another's place is noticed.
func TestSwapped(t *testing.T) {
	t.Parallel()
	service, token, s, _ := signer(t, "--touch", "auto")
	token.Unplug(t)
	if _, err := s.Info(); !errors.Is(err, keys.ErrRemoved) {
		t.Errorf("info of a token that is gone: %v", err)
	}
	service.Plug(t, 0, "--serial", "78")
	var serial *keys.SerialError
	if _, err := s.Info(); !errors.As(err, &serial) || *serial != (keys.SerialError{Want: 77, Got: 78}) {
		t.Errorf("info of another token: %v", err)
	}
	if _, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), []byte("m"), noTouch); !is[*keys.SerialError](err) {
		t.Errorf("sign with another token: %v", err)
	}
}

func TestServiceStopped(t *testing.T) {
	t.Parallel()
	service, _, s, root := signer(t, "--touch", "auto")
	service.Stop(t)
	if _, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), []byte("m"), noTouch); !errors.Is(err, keys.ErrNoService) {
		t.Errorf("sign: %v", err)
	}
	fresh := start(t, service)
	if _, err := fresh.List(); !errors.Is(err, keys.ErrNoService) {
		t.Errorf("list: %v", err)
	}
	service.Restart(t)
	var again *session.Session
	eventually(t, func() error { // pcscd takes a moment to see the card
		again = start(t, service)
		return again.Select(77)
	})
	signature, err := again.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), []byte("m"), noTouch)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Verify([]byte("m"), signature); err != nil {
		t.Error(err)
	}
}

// A child that hangs is ended by the context.
func TestHanging(t *testing.T) {
	t.Parallel()
	_, token, s, _ := signer(t, "--touch", "auto")
	token.Do(t, fmt.Sprintf("fault hang@%d", token.Commands(t)+3))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Sign(ctx, keys.SlotRoot, pin(t, holderPIN), []byte("m"), noTouch); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// A token that does not answer, and one whose answer has no end, are called so, and
// hide no other one.
func TestSlowAndEndless(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 3)
	service.Plug(t, 0, "--serial", "1", "--fault", "hang@3")
	service.Plug(t, 1, "--serial", "2", "--fault", "endless@3")
	service.Plug(t, 2, "--serial", "3")
	p := session.Program{Args: []string{"token-session"}, Env: append(service.Env(), patienceOf+"=4s")}
	s, err := p.Start(t.Context(), session.Backend{Kind: yubikey.Kind})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found, err := s.List()
	if err != nil || len(found) != 3 {
		t.Fatalf("%v, %v", found, err)
	}
	problems := map[string]string{}
	for _, i := range found {
		problems[i.Reader[len("Yubico YubiKey OTP+FIDO+CCID "):][:2]] = i.Problem
	}
	if !strings.Contains(problems["00"], "it has not answered for 4s: it is slow, or hangs") || !strings.Contains(problems["01"], "a response of more than 8192 bytes") || problems["02"] != "" {
		t.Errorf("%q", problems)
	}
}

// A card without ATTEST is refused before anything is done to it.
func TestCardThatLacksAttest(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	token := service.Plug(t, 0, "--serial", "6")
	s := start(t, service)
	if err := s.Select(6); err != nil {
		t.Fatal(err)
	}
	before := token.Commands(t)
	if _, err := s.DeviceCertificate(); err != nil {
		t.Fatal(err)
	}
	toAttest := token.Commands(t) - before
	token.Do(t, fmt.Sprintf("fault sw@%d=6d00", token.Commands(t)+toAttest))
	var refused *keys.StatusError
	if _, err := s.DeviceCertificate(); !errors.As(err, &refused) || *refused != (keys.StatusError{Serial: 6, Status: 0x6d00}) || !strings.Contains(err.Error(), "lacks a command") {
		t.Errorf("%v", err)
	}
}

// piv-go fetches an answer without end for ever: the session's silence ends it.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	token := service.Plug(t, 0, "--serial", "5")
	p := session.Program{Args: []string{"token-session"}, Env: service.Env(), Silence: 4 * time.Second}
	s, err := p.Start(t.Context(), session.Backend{Kind: yubikey.Kind})
	if err == nil {
		err = s.Select(5)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	token.Do(t, fmt.Sprintf("fault endless@%d", token.Commands(t)+1))
	var silent *keys.SilentError
	if _, err := s.DeviceCertificate(); !errors.As(err, &silent) || silent.Serial != 5 || !strings.Contains(err.Error(), "token 5 has not answered for 4s") {
		t.Errorf("%v", err)
	}
}

// 1,000 sessions that open the token, sign and close leave nothing behind.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	cycles := 1000
	if testing.Short() {
		cycles = 50
	}
	service, _, s, _ := signer(t, "--touch", "auto")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 { // whatever is made once
		cycle(t, service)
	}
	files, children := open(t, "/proc/self/fd"), open(t, "/proc/self/task")
	server := service.Descriptors(t)
	for range cycles {
		cycle(t, service)
	}
	if now := open(t, "/proc/self/fd"); now > files+20 { // tests run beside this one
		t.Errorf("%d descriptors, %d before", now, files)
	}
	if now := open(t, "/proc/self/task"); now > children+20 {
		t.Errorf("%d threads, %d before", now, children)
	}
	eventually(t, func() error {
		if now := service.Descriptors(t); now > server {
			return fmt.Errorf("pcscd has %d descriptors, %d before", now, server)
		}
		return nil
	})
	self, err := exec.Command("pgrep", "-P", fmt.Sprint(os.Getpid()), "-f", "token-session").Output()
	if n := strings.Count(string(self), "\n"); err == nil && n > 20 {
		t.Errorf("%d children are left", n)
	}
}

func cycle(t testing.TB, service *pcsctest.Service) {
	s := start(t, service)
	if err := s.Select(77); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, holderPIN), []byte("m"), noTouch); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string) int {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A backend of another kind is refused.
func TestKind(t *testing.T) {
	if _, err := yubikey.Open(session.Backend{Kind: "virtual"}); err == nil {
		t.Error("virtual tokens in readers")
	}
}

// A card with a PIV application of its own, which knows none of Yubico's commands,
// is called that.
func TestAnotherPIVCard(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	service.Plug(t, 0, "--serial", "1", "--fault", "sw@4=6D00")
	p := session.Program{Args: []string{"token-session"}, Env: service.Env()}
	s, err := p.Start(t.Context(), session.Backend{Kind: yubikey.Kind})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	found, err := s.List()
	if err != nil || len(found) != 1 || !strings.Contains(found[0].Problem, "this is a PIV card that isn't a YubiKey") {
		t.Errorf("%v, %+v", err, found)
	}
}

// What speaks to a token makes copies of each PIN that nothing can wipe, and of the PUK
// that it sets. A session has its runtime overwrite them after each request: without
// that five PINs leave fifteen, and a PUK four.
func TestNoCopyOfAPINIsLeft(t *testing.T) { // alone: its session is the only one
	service := pcsctest.Start(t, 1)
	file := filepath.Join(service.Dir, "5.token")
	service.Plug(t, 0, "--serial", "5", "--touch", "auto", "--state", file)
	s := selected(t, service, 5)
	if _, err := s.Prepare(pin(t, holderPIN)); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := s.CheckPIN(pin(t, holderPIN)); err != nil {
			t.Fatal(err)
		}
	}
	var sessions []string
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		list, _ := os.ReadFile(task) // of a thread that may have ended
		for _, pid := range strings.Fields(string(list)) {
			if command, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && strings.Contains(string(command), "token-session") {
				sessions = append(sessions, pid)
			}
		}
	}
	if len(sessions) != 1 {
		t.Fatalf("sessions: %v", sessions)
	}
	if n := copiesIn(t, sessions[0], holderPIN); n > 0 {
		t.Errorf("%d copies", n)
	}

	// Nobody has given the session this one.
	if _, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchNever, From: keys.FromToken}, nil); err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`"puk":\{"value":"([0-9a-f]{16})"`).FindSubmatch(state)
	if found == nil {
		t.Fatalf("no PUK in %s", state)
	}
	puk, err := hex.DecodeString(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	if n := copiesIn(t, sessions[0], string(puk)); n > 0 {
		t.Errorf("%d copies of the PUK", n)
	}
}

// copiesIn counts where a text stands in what another process can write to.
func copiesIn(t *testing.T, pid, text string) (n int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/" + pid + "/maps")
	if err != nil {
		t.Skipf("the session's memory cannot be read: %v", err)
	}
	mem, err := os.Open("/proc/" + pid + "/mem")
	if err != nil {
		t.Skipf("the session's memory cannot be read: %v", err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") {
			continue
		}
		area := make([]byte, to-from)
		got, _ := mem.ReadAt(area, from)
		n += bytes.Count(area[:got], []byte(text))
	}
	return n
}
