package session_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

// The test binary is the child of its sessions, and for one test also the
// parent that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "token-session":
			var in io.Reader = os.Stdin
			var out io.Writer = os.Stdout
			if record := os.Getenv("RECORD"); record != "" {
				in = io.TeeReader(in, mustCreate(record+".in"))
				out = io.MultiWriter(out, mustCreate(record+".out"))
			}
			backups := session.Backups{Seal: seal, Open: unseal}
			if os.Getenv("NOBACKUPS") != "" {
				backups = session.Backups{}
			}
			var err error
			if fault := os.Getenv("DIE"); fault != "" {
				err = mortally(fault, in, out, backups)
			} else {
				err = session.Serve(in, out, virtual.Open, backups)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case "hold-token":
			holdToken(os.Args[2], os.Args[3])
		case "deaf-parent":
			_, err := session.Program{Args: []string{"deaf", os.Args[2]}}.Start(context.Background(), session.Backend{})
			panic(err)
		case "deaf":
			fifo, err := os.OpenFile(os.Args[2], os.O_WRONLY, 0)
			if err != nil {
				panic(err)
			}
			_, _ = fifo.WriteString("x")
			_ = syscall.Pause()
		}
	}
	os.Exit(m.Run())
}

func mustCreate(path string) *os.File {
	f, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	return f
}

func program(env ...string) session.Program {
	return session.Program{Args: []string{"token-session"}, Env: env}
}

// drawer returns a drawer with one token, and a backend in which it is plugged.
func drawer(t testing.TB, o virtual.Options) (*virtual.Drawer, uint32, session.Backend) {
	dir := filepath.Join(t.TempDir(), "tokens")
	d, err := virtual.OpenDrawer(dir)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := d.Add("A-01", o)
	if err != nil {
		t.Fatal(err)
	}
	return d, serial, session.Backend{Kind: virtual.Kind, Dir: dir, Plugged: []uint32{serial}}
}

func start(t testing.TB, p session.Program, b session.Backend, serial uint32) *session.Session {
	s, err := p.Start(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Select(serial); err != nil {
		t.Fatal(err)
	}
	return s
}

func pin(t testing.TB, text string) *secret.Buffer {
	b, err := secret.Take([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return b
}

func touchNow(context.Context) error { return nil }

// enrol prepares the token and makes its root key.
func enrol(t testing.TB, s *session.Session, holderPIN *secret.Buffer) (session.Prepared, keys.PublicKey) {
	prepared, err := s.Prepare(holderPIN)
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return prepared, root
}

func TestEnrolAndSign(t *testing.T) {
	d, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	listed, err := s.List()
	if err != nil || len(listed) != 1 || listed[0].Serial != serial || !listed[0].Fresh() || listed[0].Reader != "Virtual reader" {
		t.Fatalf("list: %+v, %v", listed, err)
	}
	holderPIN := pin(t, "482913")
	prepared, root := enrol(t, s, holderPIN)

	info, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.PINDefault || info.PUKDefault || info.ManagementDefault || info.PINTries != 5 || info.PUKTries != 5 {
		t.Errorf("after enrolling: %+v", info)
	}
	want := []keys.SlotKey{
		{Slot: keys.SlotAge, Public: prepared.Age, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways}, Generated: true},
		{Slot: keys.SlotAuthentication, Public: prepared.Authentication, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever}, Generated: true},
		{Slot: keys.SlotRoot, Public: root, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways}, Generated: true},
	}
	if !slices.Equal(info.Keys, want) {
		t.Errorf("keys:\n%+v, wanted\n%+v", info.Keys, want)
	}
	if prepared.Age.Algorithm != keys.P256 || prepared.Authentication.Algorithm != keys.Ed25519 {
		t.Errorf("prepared %+v", prepared)
	}

	device, err := s.DeviceCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.VerifyDevice(device, []*x509.Certificate{d.AttestationRoot()}, nil); err != nil {
		t.Error(err)
	}
	for _, k := range want {
		a, err := s.Attest(k.Slot)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Device, device) {
			t.Errorf("slot %v: the device's certificate is another one", k.Slot)
		}
		facts, err := keys.VerifyAttestation(a, []*x509.Certificate{d.AttestationRoot()}, nil, keys.AttestationWant{
			Slot: k.Slot, Public: k.Public, Serial: serial, Policy: k.Policy, MinFirmware: keys.Firmware{Major: 5, Minor: 7},
		})
		if err != nil {
			t.Error(err)
		}
		if facts.Serial != serial || facts.Firmware.String() != "5.7.4" || facts.FormFactor != "USB-C keychain" {
			t.Errorf("facts %+v", facts)
		}
	}

	// The one text that the key in 9a signs too.
	message := []byte("rootceremony.invalid/00112233445566778899aabbccddeeff\n3\n" + strings.Repeat("A", 43) + "=\n")
	for _, other := range []string{"", "root metadata", "rootceremony head of the log 1\n3 00\n", `{"_type":"root"}`, string(message) + "\n", string(message[:len(message)-1])} {
		if _, err := s.Sign(t.Context(), keys.SlotAuthentication, holderPIN, []byte(other), touchNow); err == nil || !strings.Contains(err.Error(), "signs nothing but checkpoints") {
			t.Errorf("9a signed %q: %v", other, err)
		}
	}
	for _, k := range want {
		touched := 0
		signature, err := s.Sign(t.Context(), k.Slot, holderPIN, message, func(context.Context) error { touched++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Public.Verify(message, signature); err != nil {
			t.Errorf("slot %v: %v", k.Slot, err)
		}
		if wanted := k.Policy.Touch == keys.TouchAlways; wanted != (touched == 1) || touched > 1 {
			t.Errorf("slot %v: touch was called %d times", k.Slot, touched)
		}
	}

	// A second session finds the same token.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, program(), b, serial)
	if again, err := s.Info(); err != nil || !slices.Equal(again.Keys, want) {
		t.Errorf("in the next session: %+v, %v", again, err)
	}
}

func TestRefusals(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	holderPIN, wrong := pin(t, "482913"), pin(t, "111111")

	if _, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken}, nil); !is[*keys.NotFreshError](err) {
		t.Errorf("a root key with the default PIN: %v", err)
	}
	enrol(t, s, holderPIN)
	if _, err := s.Prepare(holderPIN); !is[*keys.NotFreshError](err) || !strings.Contains(err.Error(), "slot 9c holds a key") {
		t.Errorf("prepared twice: %v", err)
	}
	if _, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken}, nil); !is[*keys.SlotTakenError](err) {
		t.Errorf("a second root key: %v", err)
	}
	if _, err := s.Attest(0x83); !is[*keys.NoKeyError](err) {
		t.Errorf("attest an empty slot: %v", err)
	}
	if _, err := s.Sign(t.Context(), 0x83, holderPIN, nil, touchNow); !is[*keys.NoKeyError](err) {
		t.Errorf("sign with an empty slot: %v", err)
	}
	var tooLong *keys.TooLongError
	if _, err := s.Sign(t.Context(), keys.SlotRoot, holderPIN, make([]byte, 3063), touchNow); !errors.As(err, &tooLong) || tooLong.Limit != 3062 {
		t.Errorf("sign 3063 bytes: %v", err)
	}
	if _, err := s.Sign(t.Context(), keys.SlotRoot, holderPIN, make([]byte, 3062), touchNow); err != nil {
		t.Errorf("sign 3062 bytes: %v", err)
	}
	if _, err := s.Sign(t.Context(), keys.SlotAge, holderPIN, make([]byte, session.MaxMessage), touchNow); err != nil {
		t.Errorf("sign a digest of 1 MiB: %v", err)
	}
	if err := s.CheckPIN(pin(t, "12345")); !is[*keys.PINFormatError](err) {
		t.Errorf("a short PIN: %v", err)
	}
	if err := s.CheckPIN(pin(t, strings.Repeat("1", 300))); !is[*keys.PINFormatError](err) {
		t.Errorf("a very long PIN: %v", err)
	}
	for left := 4; left >= 0; left-- {
		var pinError *keys.PINError
		if err := s.CheckPIN(wrong); !errors.As(err, &pinError) || pinError.TriesLeft != left {
			t.Errorf("wrong PIN with %d tries left: %v", left, err)
		}
	}
	var pinError *keys.PINError
	if err := s.CheckPIN(holderPIN); !errors.As(err, &pinError) || pinError.TriesLeft != 0 {
		t.Errorf("right PIN, blocked: %v", err)
	}
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	if err := s.Unblock(wrong, holderPIN); !errors.As(err, &pinError) || !pinError.PUK || pinError.TriesLeft != 2 {
		t.Errorf("unblock by a wrong PUK: %v", err)
	}
	if err := s.Unblock(pin(t, session.DefaultPUK), pin(t, "591604")); err != nil {
		t.Error(err)
	}
	if err := s.CheckPIN(pin(t, "591604")); err != nil {
		t.Errorf("the PIN that the PUK has set: %v", err)
	}
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Info(); err != nil || !info.Fresh() || info.PINTries != 3 {
		t.Errorf("after a reset: %+v, %v", info, err)
	}

	var notFound *keys.NotFoundError
	if err := s.Select(serial + 1); !errors.As(err, &notFound) || !slices.Equal(notFound.Found, []uint32{serial}) {
		t.Errorf("another token: %v", err)
	}
	if _, err := s.Info(); !errors.Is(err, keys.ErrNoToken) {
		t.Errorf("info without a token: %v", err)
	}
}

// What would be refused at the end is refused before anything is changed.
func TestOldFirmware(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{Firmware: keys.Firmware{Major: 5, Minor: 4, Patch: 3}})
	s := start(t, program(), b, serial)
	prepared, err := s.Prepare(pin(t, "482913"))
	if err != nil || prepared.Authentication.Algorithm != keys.P256 {
		t.Fatalf("prepared %+v, %v", prepared, err)
	}
	before, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		algorithm keys.Algorithm
		touch     keys.Touch
		want      string
	}{
		{keys.Ed25519, keys.TouchAlways, "ed25519 needs 5.7.0"},
		{"rsa", keys.TouchAlways, `no token makes "rsa" keys`},
		{keys.P256, "sometimes", `touch policy "sometimes"`},
	} {
		t.Run(c.want, func(t *testing.T) {
			if _, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: c.algorithm, Touch: c.touch, From: keys.FromToken}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v: %v", c.algorithm, c.touch, err)
			}
		})
	}
	if after, err := s.Info(); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("%+v became %+v (%v)", before, after, err)
	}
	if _, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.P256, Touch: keys.TouchCached, From: keys.FromToken}, nil); err != nil {
		t.Error(err)
	}
}

// The age key agrees on the same secret as the other side, which stays in the
// child; what is refused costs nothing.
func TestOpenByToken(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	record := filepath.Join(t.TempDir(), "record")
	s := start(t, program("RECORD="+record), b, serial)
	prepared, _ := enrol(t, s, pin(t, "482913"))
	sealed, shared := sealForToken(t, prepared.Age, []byte("serial: 5\npuk: 31415926\nmanagement key (AES-256): "+strings.Repeat("0a", 32)+"\n"))
	byPIN := func(text string, ciphertext []byte) session.BackupOrder {
		return session.BackupOrder{Ciphertext: ciphertext, PIN: pin(t, text)}
	}
	touched := 0
	opened, err := s.OpenBackup(t.Context(), byPIN("482913", sealed), func(context.Context) error { touched++; return nil })
	if err != nil || !reflect.DeepEqual(opened, session.Opened{What: keys.BackupToken, Serial: 5}) || touched != 1 {
		t.Errorf("opened %+v, touched %d times, %v", opened, touched, err)
	}
	answers, err := os.ReadFile(record + ".out")
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string][]byte{"the shared secret": shared, "the PUK": []byte("31415926")} {
		for _, form := range []string{string(secret), base64.StdEncoding.EncodeToString(secret), hex.EncodeToString(secret)} {
			if bytes.Contains(answers, []byte(form)) {
				t.Errorf("%s crosses the pipe", what)
			}
		}
	}

	var pinError *keys.PINError
	if _, err := s.OpenBackup(t.Context(), byPIN("111111", sealed), touchNow); !errors.As(err, &pinError) || pinError.TriesLeft != 4 {
		t.Errorf("a wrong PIN: %v", err)
	}
	offCurve := append([]byte{4}, bytes.Repeat([]byte{1}, 64)...)
	if opened, err := s.OpenBackup(t.Context(), byPIN("111111", offCurve), touchNow); err == nil || !strings.Contains(err.Error(), "no point of P-256") {
		t.Errorf("off the curve: %+v, %v", opened, err)
	}
	if info, err := s.Info(); err != nil || info.PINTries != 4 {
		t.Errorf("afterwards: %+v, %v", info, err)
	}
	left := errors.New("left")
	if _, err := s.OpenBackup(t.Context(), byPIN("482913", sealed), func(context.Context) error { return left }); !errors.Is(err, left) {
		t.Errorf("not touched: %v", err)
	}
	if _, err := s.Info(); err == nil {
		t.Error("the session goes on")
	}
}

func TestKilledDuringOpenByToken(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	holderPIN := pin(t, "482913")
	prepared, _ := enrol(t, s, holderPIN)
	sealed, _ := sealForToken(t, prepared.Age, nil)
	_, err := s.OpenBackup(t.Context(), session.BackupOrder{Ciphertext: sealed, PIN: holderPIN}, func(ctx context.Context) error {
		_ = s.Kill()
		<-ctx.Done()
		return ctx.Err()
	})
	var ended *keys.EndedError
	if !errors.As(err, &ended) || ended.Doing != "open a backup" {
		t.Errorf("%v", err)
	}
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// A second session is told that the token is in use, and has it once the first
// has ended.
func TestInUse(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	first := start(t, program(), b, serial)
	second, err := program().Start(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := second.Select(serial); !is[*keys.InUseError](err) {
		t.Fatalf("selected by two: %v", err)
	}
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := second.Select(serial); err != nil {
		t.Errorf("after the first was killed: %v", err)
	}
}

// The answer ends the context of touch.
func TestTouchEndsWithAnswer(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{Button: virtual.ButtonAuto})
	s := start(t, program(), b, serial)
	holderPIN := pin(t, "482913")
	_, root := enrol(t, s, holderPIN)
	message := []byte("m")
	signature, err := s.Sign(t.Context(), keys.SlotRoot, holderPIN, message, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Verify(message, signature); err != nil {
		t.Error(err)
	}
}

func TestTouchFails(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	holderPIN := pin(t, "482913")
	enrol(t, s, holderPIN)
	left := errors.New("left")
	_, err := s.Sign(t.Context(), keys.SlotRoot, holderPIN, []byte("m"), func(context.Context) error { return left })
	if !errors.Is(err, left) {
		t.Errorf("sign: %v", err)
	}
	if _, err := s.Info(); err == nil {
		t.Error("the session goes on")
	}
	start(t, program(), b, serial) // the token is free
}

func TestCancelDuringTouch(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	holderPIN := pin(t, "482913")
	enrol(t, s, holderPIN)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Sign(ctx, keys.SlotRoot, holderPIN, []byte("m"), func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("sign: %v", err)
	}
	start(t, program(), b, serial)
}

// Cancelling ends the wait too when anyone who asks for the touch has said yes.
func TestCancelAfterTouch(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{Button: virtual.ButtonDead})
	s := start(t, program(), b, serial)
	holderPIN := pin(t, "482913")
	enrol(t, s, holderPIN)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := s.Sign(ctx, keys.SlotRoot, holderPIN, []byte("m"), func(context.Context) error {
		go cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("sign: %v", err)
	}
}

func TestKilledDuringSign(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	holderPIN := pin(t, "482913")
	enrol(t, s, holderPIN)
	_, err := s.Sign(t.Context(), keys.SlotRoot, holderPIN, []byte("m"), func(ctx context.Context) error {
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		return ctx.Err()
	})
	var ended *keys.EndedError
	if !errors.As(err, &ended) || ended.Doing != "sign" || !strings.Contains(ended.Why, "killed") {
		t.Errorf("sign: %v", err)
	}
	if _, err := s.Info(); err == nil {
		t.Error("the session goes on")
	}
	next := start(t, program(), b, serial)
	if info, err := next.Info(); err != nil || len(info.Keys) != 3 {
		t.Errorf("the token, afterwards: %+v, %v", info, err)
	}
}

// A session ends with the context it was started with, between commands too.
func TestContextEndsSession(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	s, err := program().Start(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cancel()
	select {
	case <-s.Ended():
	case <-time.After(2 * time.Minute):
		t.Error("the child lives on")
	}
	if err := s.Select(serial); !errors.Is(err, context.Canceled) {
		t.Errorf("select: %v", err)
	}
	if _, err := program().Start(ctx, b); !errors.Is(err, context.Canceled) {
		t.Errorf("start: %v", err)
	}
}

func TestClose(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(s.Pid(), 0); err != syscall.ESRCH {
		t.Errorf("the child is there: %v", err)
	}
	if _, err := s.List(); err == nil {
		t.Error("a closed session lists tokens")
	}
}

// holdToken is a parent that opens a token, has it wait for a touch, says so,
// and goes on for ever.
func holdToken(dir, serialText string) {
	var serial uint32
	if _, err := fmt.Sscan(serialText, &serial); err != nil {
		panic(err)
	}
	s, err := program().Start(context.Background(),
		session.Backend{Kind: virtual.Kind, Dir: dir, Plugged: []uint32{serial}})
	if err != nil {
		panic(err)
	}
	if err := s.Select(serial); err != nil {
		panic(err)
	}
	holderPIN, err := secret.Take([]byte("482913"))
	if err != nil {
		panic(err)
	}
	_, err = s.Sign(context.Background(), keys.SlotRoot, holderPIN, nil, func(context.Context) error {
		fmt.Println("waiting")
		select {}
	})
	panic(err)
}

// The child of a parent that is killed lets go of the token.
func TestParentKilled(t *testing.T) {
	d, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	enrol(t, s, pin(t, "482913"))
	_ = s.Close()
	_ = d

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "hold-token", b.Dir, fmt.Sprint(serial))
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("waiting"))); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(filepath.Join(b.Dir, fmt.Sprintf("%d.token.lock", serial)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != syscall.EWOULDBLOCK {
		t.Fatalf("the token is not held: %v", err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	unlocked := make(chan error, 1)
	go func() { unlocked <- syscall.Flock(int(held.Fd()), syscall.LOCK_EX) }()
	select {
	case err := <-unlocked:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("the child lives on, and holds the token")
	}
}

// Also one that hangs and does not listen ends with its parent.
func TestDeafChildOfKilledParent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "deaf-parent", path)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	if _, err := io.ReadFull(fifo, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	if err := fifo.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if n, err := fifo.Read(make([]byte, 1)); err != io.EOF { // the end comes with the last writer's
		t.Errorf("the child lives on: %d, %v", n, err)
	}
}

// When the input ends during a command, Serve does not wait for that.
func TestServeEndsInTouchWait(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	enrol(t, s, pin(t, "482913"))
	_ = s.Close()

	in, request := io.Pipe()
	answer, out := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- session.Serve(in, out, virtual.Open, session.Backups{}) }()
	send := func(kind byte, body string) {
		if _, err := request.Write(append([]byte{kind, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)); err != nil {
			t.Error(err)
		}
	}
	receive := func() string {
		_, n, err := session.ReadHeader(answer)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(answer, body); err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	backend, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	send('q', `{"do":"open the readers","backend":`+string(backend)+`}`)
	if got := receive(); got != "{}" {
		t.Fatal(got)
	}
	send('q', fmt.Sprintf(`{"do":"open the token","serial":%d}`, serial))
	if got := receive(); got != "{}" {
		t.Fatal(got)
	}
	send('q', `{"do":"sign","slot":156}`)
	send('s', "482913")
	if got := receive(); got != `{"touch":true}` {
		t.Fatal(got)
	}
	_ = request.Close()
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("Serve waits for the touch")
	}
}

func TestBadPrograms(t *testing.T) {
	_, _, b := drawer(t, virtual.Options{})
	gone := b
	gone.Dir += "x"
	for _, c := range []struct {
		name    string
		program session.Program
		backend session.Backend
		want    string
	}{
		{"missing", session.Program{Path: "/nonexistent"}, b, "start a token session: fork/exec /nonexistent"},
		{"ends", session.Program{Path: "/bin/false"}, b, "ended while it was asked to open the readers: exit status 1"},
		{"speaks", session.Program{Path: "/bin/sh", Args: []string{"-c", "echo broken >&2; exit 3"}}, b, "exit status 3: broken"},
		{"echoes", session.Program{Path: "/bin/cat"}, b, "makes no sense"},
		{"babbles", session.Program{Path: "/bin/echo", Args: []string{"hello, world"}}, b, ""},
		{"no drawer", program(), gone, "there are no virtual tokens in"},
		{"no kind", program(), session.Backend{Kind: "paper"}, `tokens of kind "paper"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := c.program.Start(t.Context(), c.backend)
			if err == nil {
				_ = s.Close()
				t.Error("started")
			} else if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Whatever crosses the pipe, the PIN is in frames of its own, which are raw.
func TestNoSecretInJSON(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	record := filepath.Join(t.TempDir(), "record")
	s := start(t, program("RECORD="+record), b, serial)
	text := "59271846"
	holderPIN := pin(t, text)
	enrol(t, s, holderPIN)
	if err := s.CheckPIN(holderPIN); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(t.Context(), keys.SlotRoot, holderPIN, []byte("m"), touchNow); err != nil {
		t.Fatal(err)
	}
	_ = s.CheckPIN(pin(t, "00000000"))
	_ = s.Close()

	secrets, touches, plain := 0, 0, 0
	for _, name := range []string{record + ".in", record + ".out"} {
		stream, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for r := bytes.NewReader(stream); r.Len() > 0; {
			kind, n, err := session.ReadHeader(r)
			if err != nil {
				t.Fatal(err)
			}
			body := make([]byte, n)
			if _, err := io.ReadFull(r, body); err != nil {
				t.Fatal(err)
			}
			switch kind {
			case session.FrameSecret:
				secrets++
				continue
			case session.FrameTouched:
				touches++
				continue
			}
			plain++
			for _, form := range []string{text, hex.EncodeToString([]byte(text)), base64.StdEncoding.EncodeToString([]byte(text)), "00000000"} {
				if bytes.Contains(body, []byte(form)) {
					t.Errorf("the PIN is in %s", body)
				}
			}
		}
	}
	if secrets != 4 || touches != 1 || plain < 14 {
		t.Errorf("recorded %d secrets, %d touches, %d other frames", secrets, touches, plain)
	}
}

// Serve refuses what no parent sends, and never panics.
func FuzzServe(f *testing.F) {
	frame := func(kind byte, body string) []byte {
		return append([]byte{kind, 0, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	}
	open := frame('q', `{"do":"open the readers","backend":{"kind":"virtual"}}`)
	f.Add([]byte{})
	f.Add(open)
	f.Add(append(slices.Clone(open), frame('t', "")...))
	f.Add(frame('s', "123456"))
	f.Add(frame('q', `{"do":"sign"}`))
	f.Add(append(frame('q', `{"do":"sign"}`), frame('s', "123456")...))
	f.Add([]byte{'q', 0xff, 0xff, 0xff, 0xff})
	f.Add(frame('q', `{"do":"list the tokens","dont":1}`))
	f.Add(append(frame('q', `{"do":"make the root key","secrets":2,"entropy":1,"order":{"from":"session","seal":{}}}`), append(frame('s', "a"), frame('s', "b")...)...))
	f.Add(append(frame('q', `{"do":"open a backup","message":"AAAA","with_token":true,"secrets":1}`), frame('s', "123456")...))
	f.Add(frame('k', ""))
	f.Fuzz(func(t *testing.T, input []byte) {
		_ = session.Serve(bytes.NewReader(input), io.Discard, func(session.Backend) (session.Opener, error) {
			return nil, errors.New("no readers")
		}, session.Backups{Seal: seal, Open: unseal})
	})
}

func TestServeRefuses(t *testing.T) {
	for _, c := range []struct{ name, input, want string }{
		{"nothing", "", ""},
		{"half a header", "q\x00\x00", "unexpected EOF"},
		{"half a body", "q\x00\x00\x00\x05{", "unexpected EOF"},
		{"unknown type", "x\x00\x00\x00\x00", "unknown type"},
		{"too long", "q\x7f\x00\x00\x00", "more than"},
		{"a secret first", "s\x00\x00\x00\x016", "instead of a request"},
		{"no JSON", "q\x00\x00\x00\x016", "request: json"},
		{"unknown member", "q\x00\x00\x00\x09{\"pin\":1}", "unknown field"},
		{"two values", "q\x00\x00\x00\x04{}{}", "data after"},
		{"no secret", "q\x00\x00\x00\x0d{\"do\":\"sign\"}", "unexpected EOF"},
		{"many secrets", "q\x00\x00\x00\x28{\"do\":\"make the root key\",\"secrets\":102}", "request with 102 secrets"},
		{"negative secrets", "q\x00\x00\x00\x27{\"do\":\"make the root key\",\"secrets\":-1}", "request with -1 secrets"},
		{"more entropy than secrets", "q\x00\x00\x00\x26{\"do\":\"make the root key\",\"entropy\":1}", "request with 0 secrets"},
		{"stored too early", "k\x00\x00\x00\x00", "nobody asked for"},
		{"JSON for a secret", "q\x00\x00\x00\x0d{\"do\":\"sign\"}q\x00\x00\x00\x00", "instead of a secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := session.Serve(strings.NewReader(c.input), io.Discard, virtual.Open, session.Backups{})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func BenchmarkSession(b *testing.B) {
	_, serial, backend := drawer(b, virtual.Options{})
	p := program()
	for b.Loop() {
		s, err := p.Start(b.Context(), backend)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.List(); err != nil {
			b.Fatal(err)
		}
		if err := s.Select(serial); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Info(); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// One holder's enrolment: a new token, and one session for all of it.
func BenchmarkEnrol(b *testing.B) {
	p, holderPIN := program(), pin(b, "482913")
	for b.Loop() {
		_, serial, backend := drawer(b, virtual.Options{})
		s := start(b, p, backend, serial)
		enrol(b, s, holderPIN)
		_ = s.Close()
	}
}

// A child that says nothing is ended, with a sentence for people.
func TestSilence(t *testing.T) {
	_, err := session.Program{Path: "/bin/sleep", Args: []string{"600"}, Silence: 50 * time.Millisecond}.Start(t.Context(), session.Backend{})
	var silent *keys.SilentError
	if !errors.As(err, &silent) || silent.Doing != "open the readers" || !strings.Contains(err.Error(), "has not answered for 50ms while it was asked to open the readers: it is slow, or hangs (hint: pull it out") {
		t.Errorf("a program that sleeps: %v", err)
	}
}

// Waiting for a touch, and for what is sealed to be stored, is no silence; the
// silence of a child that cannot even read is one.
func TestSilenceOfPeople(t *testing.T) {
	t.Parallel()
	const longer = 3 * time.Second
	_, serial, b := drawer(t, virtual.Options{Button: virtual.Button(longer.String())})
	p := program()
	p.Silence = longer * 2 / 3
	s := start(t, p, b, serial)
	holderPIN := pin(t, "482913")
	enrol(t, s, holderPIN)
	if _, err := s.Sign(t.Context(), keys.SlotRoot, holderPIN, []byte("m"), nil); err != nil {
		t.Errorf("touched late: %v", err)
	}

	// Stopped, it does not read the message, which is longer than its pipe.
	if err := syscall.Kill(s.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, err := s.Sign(t.Context(), keys.SlotAge, holderPIN, make([]byte, session.MaxMessage), nil)
	if !is[*keys.SilentError](err) {
		t.Errorf("stopped: %v", err)
	}
	if _, again := s.Info(); !errors.Is(again, err) && again == nil {
		t.Errorf("the session goes on: %v", again)
	}
}

// A child has the fixed environment, and nothing of its parent's: neither what
// loads other code into it, nor what leads its libraries to somebody else.
func TestChildHasNothingOfTheEnvironment(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	for _, name := range []string{"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GODEBUG", "GOTRACEBACK", "PCSCLITE_CSOCK_NAME", "PCSCLITE_DEBUG",
		"AGEDEBUG", "PATH", "HOME", "TMPDIR", "SOMETHING"} {
		t.Setenv(name, "/tmp/strangers")
	}
	for _, more := range [][]string{nil, {"NOBACKUPS=1"}} {
		s := start(t, program(more...), b, serial)
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.Pid()))
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		_ = s.Close()
		if want := append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "GODEBUG=clobberfree=1", "GOMAXPROCS=1"}, more...); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
