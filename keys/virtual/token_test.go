package virtual

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

func taken(t *testing.T, p []byte) *secret.Buffer {
	b, err := secret.Take(bytes.Clone(p))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return b
}

// inDrawer adds a token to a new drawer and opens it.
func inDrawer(t *testing.T, o Options) *Token {
	d, err := OpenDrawer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	serial, err := d.Add("A-01", o)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := Open(session.Backend{Kind: Kind, Dir: d.dir, Plugged: []uint32{serial}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := opener.Open(serial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = token.Close() })
	return token.(*Token)
}

func noTouch() {}

// seeds are one of each algorithm, with the public key it must lead to.
func seeds(t *testing.T) map[keys.Algorithm]struct {
	seed   []byte
	public keys.PublicKey
} {
	made := map[keys.Algorithm]struct {
		seed   []byte
		public keys.PublicKey
	}{}
	add := func(algorithm keys.Algorithm, seed []byte, public any) {
		p, err := keys.FromCrypto(public)
		if err != nil {
			t.Fatal(err)
		}
		entry := made[algorithm]
		entry.seed, entry.public = seed, p
		made[algorithm] = entry
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	add(keys.Ed25519, private.Seed(), public)
	for algorithm, curve := range map[keys.Algorithm]elliptic.Curve{keys.P256: elliptic.P256(), keys.P384: elliptic.P384()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		scalar, err := private.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		add(algorithm, scalar, &private.PublicKey)
	}
	return made
}

func TestTokenImport(t *testing.T) {
	token := inDrawer(t, Options{Button: ButtonAuto})
	management, pin := taken(t, []byte(session.DefaultManagement)), taken(t, []byte(session.DefaultPIN))
	policy := keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchCached}
	for algorithm, made := range seeds(t) {
		if err := token.Import(management, keys.SlotRoot, algorithm, taken(t, made.seed), policy); err != nil {
			t.Fatal(err)
		}
		info, err := token.Info()
		if err != nil {
			t.Fatal(err)
		}
		if k, _ := info.Key(keys.SlotRoot); k != (keys.SlotKey{Slot: keys.SlotRoot, Public: made.public, Policy: policy}) {
			t.Errorf("%s: slot 9c holds %+v", algorithm, k)
		}
		signature, err := token.Sign(keys.SlotRoot, pin, []byte("m"), noTouch)
		if err != nil {
			t.Fatal(err)
		}
		if err := made.public.Verify([]byte("m"), signature); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		for name, seed := range map[string][]byte{"short": made.seed[1:], "long": append([]byte{0}, made.seed...), "none": nil} {
			t.Run(string(algorithm)+", "+name, func(t *testing.T) {
				if err := token.Import(management, keys.SlotRoot, algorithm, taken(t, seed), policy); err == nil || !strings.Contains(err.Error(), "no private key") {
					t.Error(err)
				}
			})
		}
	}
	zero := taken(t, make([]byte, 32))
	if err := token.Import(management, keys.SlotRoot, keys.P256, zero, policy); err == nil {
		t.Error("the scalar 0 is taken")
	}
	if err := token.Import(management, keys.SlotRoot, "rsa", zero, policy); err == nil || !strings.Contains(err.Error(), `no "rsa" keys`) {
		t.Errorf("rsa: %v", err)
	}
	if err := token.Import(taken(t, make([]byte, 24)), 0x83, keys.Ed25519, zero, policy); !errors.Is(err, keys.ErrManagementKey) {
		t.Errorf("a wrong management key: %v", err)
	}
	if _, err := token.Attest(keys.SlotRoot); !errors.As(err, new(*keys.NotGeneratedError)) {
		t.Errorf("attest: %v", err)
	}
}

// A touch that does not come is told from a missing PIN.
func TestTokenECDHNotTouched(t *testing.T) {
	token := inDrawer(t, Options{Button: ButtonDead})
	management, pin := taken(t, []byte(session.DefaultManagement)), taken(t, []byte(session.DefaultPIN))
	if _, err := token.Generate(management, keys.SlotAge, keys.P256, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways}); err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan time.Time)
	close(over)
	token.applet.after = func(time.Duration) <-chan time.Time { return over }
	announced := 0
	shared, err := token.ECDH(keys.SlotAge, pin, peer.PublicKey().Bytes(), func() { announced++ })
	if !errors.Is(err, keys.ErrNotTouched) || shared != nil || announced != 1 {
		t.Errorf("%v, %v, announced %d times", shared, err, announced)
	}
}

// The age key agrees on the same secret as the other side; what is refused
// costs no try of the PIN.
func TestTokenECDH(t *testing.T) {
	token := inDrawer(t, Options{Button: ButtonAuto})
	management, pin, wrong := taken(t, []byte(session.DefaultManagement)), taken(t, []byte(session.DefaultPIN)), taken(t, []byte("111111"))
	public, err := token.Generate(management, keys.SlotAge, keys.P256, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.Generate(management, keys.SlotRoot, keys.Ed25519, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways}); err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(public.Hex)
	if err != nil {
		t.Fatal(err)
	}
	age, err := ecdh.P256().NewPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want, err := peer.ECDH(age)
	if err != nil {
		t.Fatal(err)
	}
	point, announced := peer.PublicKey().Bytes(), 0
	shared, err := token.ECDH(keys.SlotAge, pin, point, func() { announced++ })
	if err != nil || !bytes.Equal(shared.Bytes(), want) || announced != 1 {
		t.Errorf("shared %x, wanted %x, announced %d times, %v", shared.Bytes(), want, announced, err)
	}
	shared.Wipe()
	for _, c := range []struct {
		name string
		slot keys.Slot
		peer []byte
		want string
	}{
		{"an empty slot", 0x83, point, "holds no key"},
		{"ed25519", keys.SlotRoot, point, "no P-256 key"},
		{"P-384", keys.SlotAge, other.PublicKey().Bytes(), "no point of P-256"},
		{"off the curve", keys.SlotAge, append([]byte{4}, bytes.Repeat([]byte{1}, 64)...), "no point of P-256"},
		{"infinity", keys.SlotAge, []byte{0}, "no point of P-256"},
		{"nothing", keys.SlotAge, nil, "no point of P-256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			shared, err := token.ECDH(c.slot, wrong, c.peer, noTouch)
			if err == nil || !strings.Contains(err.Error(), c.want) || shared != nil {
				t.Errorf("%v, %v", shared, err)
			}
			if info, err := token.Info(); err != nil || info.PINTries != 3 {
				t.Errorf("afterwards: %+v, %v", info, err)
			}
		})
	}
	if _, err := token.ECDH(keys.SlotAge, wrong, point, noTouch); !errors.As(err, new(*keys.PINError)) {
		t.Errorf("a wrong PIN: %v", err)
	}
}

func TestTokenChangePIN(t *testing.T) {
	token := inDrawer(t, Options{})
	chosen, wrong := taken(t, []byte("482913")), taken(t, []byte("111111"))
	if err := token.ChangePIN(taken(t, []byte(session.DefaultPIN)), chosen); err != nil {
		t.Fatal(err)
	}
	var pinError *keys.PINError
	if err := token.ChangePIN(wrong, chosen); !errors.As(err, &pinError) || pinError.PUK || pinError.TriesLeft != 2 {
		t.Errorf("by a wrong PIN: %v", err)
	}
	if err := token.VerifyPIN(chosen); err != nil {
		t.Error(err)
	}
}
