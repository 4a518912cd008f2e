//go:build cgo

package yubikey_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/yubikey"
	"rootceremony/keys/yubikey/pcsctest"
)

// atOnce is how many parallel tests run at once, unless -parallel says it. They
// wait more than they compute: those that pull tokens out have 24 readers, and
// the others need not wait for them.
const atOnce = 32

// patienceOf names, in the environment of a session's child, its patience.
const patienceOf = "YUBIKEY_TEST_PATIENCE"

// The test binary is the child of its sessions.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "token-session" {
		if d, err := time.ParseDuration(os.Getenv(patienceOf)); err == nil {
			*yubikey.Patience = d
		}
		if err := session.Serve(os.Stdin, os.Stdout, yubikey.Open, backups); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		if err := flag.Set("test.parallel", fmt.Sprint(atOnce)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func start(t testing.TB, service *pcsctest.Service) *session.Session {
	t.Helper()
	p := session.Program{Args: []string{"token-session"}, Env: service.Env()}
	s, err := p.Start(t.Context(), session.Backend{Kind: yubikey.Kind})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// selected is a session with a token.
func selected(t testing.TB, service *pcsctest.Service, serial uint32) *session.Session {
	t.Helper()
	s := start(t, service)
	if err := s.Select(serial); err != nil {
		t.Fatal(err)
	}
	return s
}

// eventually is for what happens a moment later.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func pin(t testing.TB, text string) *secret.Buffer {
	t.Helper()
	b, err := secret.Take([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return b
}

func noTouch(context.Context) error { return nil }

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func readRoot(t testing.TB, path string) []*x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return []*x509.Certificate{root}
}

const holderPIN = "482913"

// A fresh token is prepared, gets its root key, attests and signs, as in the
// room.
func TestEnrolAndSign(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P256, keys.P384} {
		t.Run(string(algorithm), func(t *testing.T) {
			t.Parallel()
			service := pcsctest.Start(t, 1)
			root := filepath.Join(service.Dir, "root.pem")
			token := service.Plug(t, 0, "--serial", "20456123", "--touch", "auto", "--attestation-root", root)
			s := selected(t, service, 20456123)

			listed, err := s.List()
			if err != nil || len(listed) != 1 || listed[0].Problem == "" {
				t.Errorf("the list while the token is open: %+v, %v", listed, err)
			}
			info, err := s.Info()
			if err != nil {
				t.Fatal(err)
			}
			if !info.Fresh() || info.Firmware.String() != "5.7.4" || info.FormFactor != "YubiKey 5C NFC" || info.Edition != "" ||
				info.PINTries != 3 || info.PUKTries != 3 || !strings.HasPrefix(info.Reader, "Yubico YubiKey OTP+FIDO+CCID") {
				t.Errorf("fresh: %+v", info)
			}
			prepared, err := s.Prepare(pin(t, holderPIN))
			if err != nil {
				t.Fatal(err)
			}
			made, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: algorithm, Touch: keys.TouchAlways, From: keys.FromToken}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if info, err = s.Info(); err != nil {
				t.Fatal(err)
			}
			want := []keys.SlotKey{
				{Slot: keys.SlotAge, Public: prepared.Age, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways}, Generated: true},
				{Slot: keys.SlotAuthentication, Public: prepared.Authentication, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever}, Generated: true},
				{Slot: keys.SlotRoot, Public: made, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways}, Generated: true},
			}
			if !slices.Equal(info.Keys, want) {
				t.Errorf("keys\n%+v, wanted\n%+v", info.Keys, want)
			}
			if info.PINDefault || info.PUKDefault || info.ManagementDefault || info.PINTries != 5 || info.PUKTries != 5 {
				t.Errorf("after enrolling: %+v", info)
			}
			device, err := s.DeviceCertificate()
			if err != nil {
				t.Fatal(err)
			}
			if err := keys.VerifyDevice(device, readRoot(t, root), nil); err != nil {
				t.Error(err)
			}
			for _, k := range want {
				attestation, err := s.Attest(k.Slot)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(attestation.Device, device) {
					t.Errorf("slot %v: the device's certificate is another one", k.Slot)
				}
				facts, err := keys.VerifyAttestation(attestation, readRoot(t, root), nil, keys.AttestationWant{
					Slot: k.Slot, Public: k.Public, Serial: 20456123, Policy: k.Policy, MinFirmware: keys.Firmware{Major: 5, Minor: 7},
				})
				if err != nil || facts.FormFactor != "USB-C keychain" {
					t.Errorf("slot %v: %+v, %v", k.Slot, facts, err)
				}
				touched := 0
				message := []byte("rootceremony.invalid/00112233445566778899aabbccddeeff\n3\n" + strings.Repeat("A", 43) + "=\n") // which 9a signs too
				signature, err := s.Sign(t.Context(), k.Slot, pin(t, holderPIN), message, func(context.Context) error { touched++; return nil })
				if err != nil {
					t.Fatal(err)
				}
				if err := k.Public.Verify(message, signature); err != nil {
					t.Errorf("slot %v: %v", k.Slot, err)
				}
				if wanted := k.Policy.Touch == keys.TouchAlways; wanted != (touched == 1) {
					t.Errorf("slot %v: touch was announced %d times", k.Slot, touched)
				}
			}
			if n := token.Commands(t); n < 100 {
				t.Errorf("only %d commands", n)
			}
		})
	}
}

// What a token refuses becomes the error that says so, and no try is wasted.
func TestRefusals(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	service.Plug(t, 0, "--serial", "7", "--touch", "auto")
	s := selected(t, service, 7)
	good, wrong := pin(t, holderPIN), pin(t, "111111")
	if _, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken}, nil); !is[*keys.NotFreshError](err) {
		t.Errorf("a root key with the default PIN: %v", err)
	}
	if _, err := s.Prepare(good); err != nil {
		t.Fatal(err)
	}
	root, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prepare(good); !is[*keys.NotFreshError](err) {
		t.Errorf("prepared twice: %v", err)
	}
	if _, err := s.MakeRootKey(session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken}, nil); !is[*keys.SlotTakenError](err) {
		t.Errorf("a second root key: %v", err)
	}
	for _, slot := range []keys.Slot{0x83, 0x9e, 0x12} {
		if _, err := s.Attest(slot); !is[*keys.NoKeyError](err) {
			t.Errorf("attest the empty slot %v: %v", slot, err)
		}
		if _, err := s.Sign(t.Context(), slot, good, nil, noTouch); !is[*keys.NoKeyError](err) {
			t.Errorf("sign with the empty slot %v: %v", slot, err)
		}
	}

	// The whole message goes to the token: 3,062 bytes fit, with the last
	// fragment of 12 bytes.
	for _, n := range []int{0, 1, 245, 246, 247, 3061, 3062} {
		message := make([]byte, n)
		signature, err := s.Sign(t.Context(), keys.SlotRoot, good, message, noTouch)
		if err != nil {
			t.Errorf("%d bytes: %v", n, err)
		} else if err := root.Verify(message, signature); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	var tooLong *keys.TooLongError
	if _, err := s.Sign(t.Context(), keys.SlotRoot, good, make([]byte, 3063), noTouch); !errors.As(err, &tooLong) || tooLong.Limit != 3062 {
		t.Errorf("3063 bytes: %v", err)
	}
	if _, err := s.Sign(t.Context(), keys.SlotAge, good, make([]byte, 100_000), noTouch); err != nil {
		t.Errorf("the digest of 100,000 bytes: %v", err)
	}

	for _, text := range []string{"12345", "123456789", ""} {
		if err := s.CheckPIN(pin(t, text)); !is[*keys.PINFormatError](err) {
			t.Errorf("PIN of %d bytes: %v", len(text), err)
		}
	}
	for left := 4; left >= 0; left-- {
		var pinError *keys.PINError
		_, err := s.Sign(t.Context(), keys.SlotRoot, wrong, nil, noTouch)
		if !errors.As(err, &pinError) || pinError.TriesLeft != left {
			t.Errorf("wrong PIN, %d tries left: %v", left, err)
		}
	}
	var pinError *keys.PINError
	if err := s.CheckPIN(good); !errors.As(err, &pinError) || pinError.TriesLeft != 0 {
		t.Errorf("right PIN, blocked: %v", err)
	}
	if info, err := s.Info(); err != nil || info.PINTries != 0 || info.PUKTries != 5 {
		t.Errorf("blocked: %+v, %v", info, err)
	}
	// The PUK is random and gone, so there is no way out but the reset.
	if err := s.Unblock(pin(t, session.DefaultPUK), good); !errors.As(err, &pinError) || !pinError.PUK || pinError.TriesLeft != 4 {
		t.Errorf("unblock with a wrong PUK: %v", err)
	}
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	unblocks(t, s)
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	if info, err := s.Info(); err != nil || !info.Fresh() || info.PINTries != 3 {
		t.Errorf("after the reset: %+v, %v", info, err)
	}
	var notFound *keys.NotFoundError
	if err := s.Select(8); !errors.As(err, &notFound) || !slices.Equal(notFound.Found, []uint32{7}) {
		t.Errorf("another token: %v", err)
	}
}

// unblocks blocks the PIN of a fresh token, and finds the way out with the PUK.
func unblocks(t *testing.T, s *session.Session) {
	t.Helper()
	wrong, third := pin(t, "482913"), pin(t, "591604")
	var pinError *keys.PINError
	for left := 2; left >= 0; left-- {
		if err := s.CheckPIN(wrong); !errors.As(err, &pinError) || pinError.PUK || pinError.TriesLeft != left {
			t.Errorf("a wrong PIN, %d tries left: %v", left, err)
		}
	}
	if err := s.Unblock(pin(t, session.DefaultPUK), pin(t, "1234")); !is[*keys.PINFormatError](err) {
		t.Errorf("unblock with a short PIN: %v", err)
	}
	if err := s.Unblock(pin(t, session.DefaultPUK), third); err != nil {
		t.Error(err)
	}
	if err := s.CheckPIN(third); err != nil {
		t.Error(err)
	}
	if info, err := s.Info(); err != nil || info.PINTries != 3 || info.PUKTries != 3 || !info.PUKDefault || info.PINDefault {
		t.Errorf("unblocked: %+v, %v", info, err)
	}
}

// The age key, through piv-go: the child of these tests answers with the secret
// that it agreed on.
func TestOpenByToken(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	token := service.Plug(t, 0, "--serial", "11")
	s := selected(t, service, 11)
	prepared, err := s.Prepare(pin(t, holderPIN))
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(prepared.Age.Hex)
	if err != nil {
		t.Fatal(err)
	}
	age, err := ecdh.P256().NewPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	want, err := peer.ECDH(age)
	if err != nil {
		t.Fatal(err)
	}
	point := peer.PublicKey().Bytes()
	open := func(text string, point []byte, touch func(context.Context) error) ([]byte, error) {
		opened, err := s.OpenBackup(t.Context(), session.BackupOrder{Ciphertext: point, PIN: pin(t, text)}, touch)
		return opened.Data, err
	}
	shared, err := open(holderPIN, point, func(context.Context) error {
		waits(t, token)
		token.Do(t, "touch")
		return nil
	})
	if err != nil || !bytes.Equal(shared, want) {
		t.Errorf("shared %x, wanted %x, %v", shared, want, err)
	}
	// The session looks at the token first. Then KeyInfo, VERIFY, and a bare
	// 6982 where the touch does not come.
	before := token.Commands(t)
	if _, err := s.Info(); err != nil {
		t.Fatal(err)
	}
	now := token.Commands(t)
	token.Do(t, fmt.Sprintf("fault sw@%d=6982", now+(now-before)+3))
	if _, err := open(holderPIN, point, noTouch); !errors.Is(err, keys.ErrNotTouched) {
		t.Errorf("not touched: %v", err)
	}
	if _, err := open("111111", point[:64], noTouch); err == nil || !strings.Contains(err.Error(), "no point of P-256") {
		t.Errorf("half a point: %v", err)
	}
	var pinError *keys.PINError
	if _, err := open("111111", point, noTouch); !errors.As(err, &pinError) || pinError.TriesLeft != 4 {
		t.Errorf("a wrong PIN: %v", err)
	}
}

// inProcess opens a token in this process. The smart-card library asks for the
// service once, so there is one for all such tests.
func inProcess(t *testing.T, serial uint32) session.Token {
	service := pcsctest.Start(t, 1)
	service.Plug(t, 0, "--serial", fmt.Sprint(serial), "--touch", "auto")
	for _, entry := range service.Env() {
		name, value, _ := strings.Cut(entry, "=")
		t.Setenv(name, value)
	}
	opener, err := yubikey.Open(session.Backend{Kind: yubikey.Kind})
	if err != nil {
		t.Fatal(err)
	}
	token, err := opener.Open(serial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := token.Close(); err != nil {
			t.Error(err)
		}
	})
	return token
}

// imports puts a key of each kind into a token, which signs with it.
func imports(t *testing.T, token session.Token) {
	t.Helper()
	factory, good := pin(t, session.DefaultManagement), pin(t, session.DefaultPIN)
	policy := keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchCached}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P256, keys.P384} {
		var key crypto.PublicKey = public
		seed := private.Seed()
		if algorithm != keys.Ed25519 {
			curve := map[keys.Algorithm]elliptic.Curve{keys.P256: elliptic.P256(), keys.P384: elliptic.P384()}[algorithm]
			private, err := ecdsa.GenerateKey(curve, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if seed, err = private.Bytes(); err != nil {
				t.Fatal(err)
			}
			key = &private.PublicKey
		}
		want, err := keys.FromCrypto(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := token.Import(factory, keys.SlotRoot, algorithm, pin(t, string(seed[1:])), policy); err == nil || !strings.Contains(err.Error(), "no private key") {
			t.Errorf("%s, a byte too few: %v", algorithm, err)
		}
		if err := token.Import(pin(t, strings.Repeat("x", 24)), keys.SlotRoot, algorithm, pin(t, string(seed)), policy); !errors.Is(err, keys.ErrManagementKey) {
			t.Errorf("%s, a wrong management key: %v", algorithm, err)
		}
		if err := token.Import(factory, keys.SlotRoot, algorithm, pin(t, string(seed)), policy); err != nil {
			t.Fatal(err)
		}
		info, err := token.Info()
		if err != nil {
			t.Fatal(err)
		}
		if k, _ := info.Key(keys.SlotRoot); k != (keys.SlotKey{Slot: keys.SlotRoot, Public: want, Policy: policy}) {
			t.Errorf("%s: slot 9c holds %+v, wanted %v", algorithm, k, want)
		}
		signature, err := token.Sign(keys.SlotRoot, good, []byte("m"), func() {})
		if err != nil {
			t.Fatal(err)
		}
		if err := want.Verify([]byte("m"), signature); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	if _, err := token.Attest(keys.SlotRoot); !is[*keys.NotGeneratedError](err) {
		t.Errorf("attest: %v", err)
	}
}

// Imports, management keys and tries, at the level of session.Token.
func TestTokenErrors(t *testing.T) {
	token := inProcess(t, 9)
	imports(t, token)
	factory, other := pin(t, session.DefaultManagement), pin(t, strings.Repeat("x", 24))
	aes := pin(t, strings.Repeat("y", 32))
	good := pin(t, session.DefaultPIN)
	policy := keys.Policy{PIN: keys.PINOnce, Touch: keys.TouchCached}
	for _, key := range []*secret.Buffer{other, aes} {
		if _, err := token.Generate(key, 0x83, keys.P256, policy); !errors.Is(err, keys.ErrManagementKey) {
			t.Errorf("generate with a wrong management key of %d bytes: %v", key.Len(), err)
		}
		if err := token.SetManagement(key, aes); !errors.Is(err, keys.ErrManagementKey) {
			t.Errorf("set the management key with a wrong one of %d bytes: %v", key.Len(), err)
		}
		if err := token.SetTries(key, good, 5, 5); !errors.Is(err, keys.ErrManagementKey) {
			t.Errorf("set the tries with a wrong management key of %d bytes: %v", key.Len(), err)
		}
	}
	var pinError *keys.PINError
	if err := token.SetTries(factory, pin(t, "111111"), 5, 5); !errors.As(err, &pinError) || pinError.TriesLeft != 2 {
		t.Errorf("set the tries with a wrong PIN: %v", err)
	}
	if err := token.SetTries(factory, good, 4, 6); err != nil {
		t.Error(err)
	}
	if err := token.SetManagement(factory, aes); err != nil {
		t.Error(err)
	}
	public, err := token.Generate(aes, 0x83, keys.P384, policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := token.ChangePUK(pin(t, session.DefaultPUK), pin(t, "87654321")); err != nil {
		t.Error(err)
	}
	if err := token.ChangePUK(pin(t, session.DefaultPUK), pin(t, "87654321")); !errors.As(err, &pinError) || !pinError.PUK || pinError.TriesLeft != 5 {
		t.Errorf("wrong PUK: %v", err)
	}
	if err := token.ChangePIN(pin(t, "999999"), good); !errors.As(err, &pinError) || pinError.PUK || pinError.TriesLeft != 3 {
		t.Errorf("wrong old PIN: %v", err)
	}
	info, err := token.Info()
	if err != nil {
		t.Fatal(err)
	}
	want := keys.SlotKey{Slot: 0x83, Public: public, Policy: policy, Generated: true}
	if k, found := info.Key(0x83); !found || k != want {
		t.Errorf("slot 83: %+v, wanted %+v", k, want)
	}
	if info.PINTries != 3 || info.PUKTries != 5 || !info.PINDefault || info.PUKDefault || info.ManagementDefault {
		t.Errorf("info %+v", info)
	}
	if _, err := token.Generate(aes, keys.SlotAttestation, keys.P256, policy); !is[*keys.TokenError](err) {
		t.Errorf("generate in f9: %v", err)
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for slot, want := range map[keys.Slot]string{0x84: "holds no key", 0x83: "no P-256 key"} {
		if shared, err := token.ECDH(slot, pin(t, "111111"), peer.PublicKey().Bytes(), func() {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("slot %v: %v, %v", slot, shared, err)
		}
	}
	for left := 2; left >= 0; left-- {
		if err := token.ChangePIN(pin(t, "999999"), good); !errors.As(err, &pinError) || pinError.PUK || pinError.TriesLeft != left {
			t.Errorf("wrong old PIN, %d tries left: %v", left, err)
		}
	}
}
