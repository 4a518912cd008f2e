package virtual

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// testApplet is a factory-fresh applet that keeps its state in memory. *saved
// is what a power cut would leave.
func testApplet(t testing.TB, b Button) (a *applet, saved *[]byte) {
	root, err := newAttestationRoot()
	if err != nil {
		t.Fatal(err)
	}
	key, certificate, err := root.certify(keys.Firmware{Major: 5, Minor: 7, Patch: 4})
	if err != nil {
		t.Fatal(err)
	}
	st := &state{Serial: 12345678, Firmware: keys.Firmware{Major: 5, Minor: 7, Patch: 4}, Button: b, DeviceKey: key, DeviceCertificate: certificate}
	st.factory()
	saved = new([]byte)
	save := func(st *state) (err error) {
		*saved, err = encode(tokenMagic, st)
		return err
	}
	if err := save(st); err != nil {
		t.Fatal(err)
	}
	return newApplet(st, save), saved
}

// manage proves the default management key.
func manage(t testing.TB, a *applet) {
	_, challenge := a.ManagementChallenge()
	response, err := a.state.Management.encrypt(challenge)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.AuthenticateManagement(response); err != nil {
		t.Fatal(err)
	}
}

// The counters of PIN and PUK, in any order of commands, with power cuts
// between, are those of a simple model; and what is durable is what counts.
func TestCounters(t *testing.T) {
	first, _ := testApplet(t, ButtonAuto)
	rapid.Check(t, func(t *rapid.T) {
		var saved state
		keep := func(st *state) error { saved = *st; return nil }
		begin := *first.state
		a := newApplet(&begin, keep)
		saved = begin

		type model struct {
			value      string
			tries, max int
		}
		pin, puk := model{session.DefaultPIN, 3, 3}, model{session.DefaultPUK, 3, 3}
		verified := false
		values := []string{session.DefaultPIN, session.DefaultPUK, "111111", "87654321"}
		value := rapid.SampledFrom(values)

		// try is what the model says of a value: the status word, or 0.
		try := func(m *model, given string) statusWord {
			switch {
			case m.tries == 0:
				return swBlocked
			case given == m.value:
				m.tries = m.max
				return 0
			}
			m.tries--
			if m.tries == 0 {
				return swBlocked
			}
			return swWrongPIN | statusWord(m.tries)
		}
		expect := func(err error, want statusWord) {
			t.Helper()
			var got statusWord
			if err != nil && !errors.As(err, &got) {
				t.Fatal(err)
			}
			if got != want {
				t.Fatalf("got %04x, wanted %04x", uint16(got), uint16(want))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"verify": func(t *rapid.T) {
				v := value.Draw(t, "pin")
				want := try(&pin, v)
				verified = want == 0
				expect(a.VerifyPIN(pad(v)), want)
			},
			"change PIN": func(t *rapid.T) {
				v, n := value.Draw(t, "old"), value.Draw(t, "new")
				want := try(&pin, v)
				if want == 0 {
					pin.value = n
				}
				expect(a.ChangeReference(referencePIN, pad(v), pad(n)), want)
			},
			"change PUK": func(t *rapid.T) {
				v, n := value.Draw(t, "old"), value.Draw(t, "new")
				want := try(&puk, v)
				if want == 0 {
					puk.value = n
				}
				expect(a.ChangeReference(referencePUK, pad(v), pad(n)), want)
			},
			"unblock": func(t *rapid.T) {
				v, n := value.Draw(t, "puk"), value.Draw(t, "pin")
				want := try(&puk, v)
				if want == 0 {
					pin.value, pin.tries = n, pin.max
				}
				verified = false
				expect(a.Unblock(pad(v), pad(n)), want)
			},
			"bad new PIN": func(t *rapid.T) {
				v := value.Draw(t, "old") // a wrong one costs a try all the same
				want := try(&pin, v)
				if want == 0 {
					want = swWrongData
				}
				expect(a.ChangeReference(referencePIN, pad(v), pad("12345")), want)
			},
			"set retries": func(t *rapid.T) {
				manage := rapid.Bool().Draw(t, "managed")
				if manage {
					proveManagement(a)
				} else {
					a.managed = false
				}
				n, m := rapid.IntRange(1, 15).Draw(t, "pin tries"), rapid.IntRange(1, 15).Draw(t, "puk tries")
				want := swSecurityStatus
				if manage && verified {
					want, verified = 0, false
					pin, puk = model{session.DefaultPIN, n, n}, model{session.DefaultPUK, m, m}
				}
				expect(a.SetRetries(n, m), want)
			},
			"reset": func(t *rapid.T) {
				want := swConditions
				if pin.tries == 0 && puk.tries == 0 {
					want, verified = 0, false
					pin, puk = model{session.DefaultPIN, 3, 3}, model{session.DefaultPUK, 3, 3}
				}
				expect(a.Reset(), want)
			},
			"power": func(t *rapid.T) {
				again := saved
				a = newApplet(&again, keep)
				verified = false
			},
			"": func(t *rapid.T) {
				for _, c := range []struct {
					id byte
					m  model
				}{{referencePIN, pin}, {referencePUK, puk}} {
					isDefault, left, most, err := a.ReferenceMetadata(c.id)
					if err != nil || left != c.m.tries || most != c.m.max ||
						isDefault != (c.m.value == map[byte]string{referencePIN: session.DefaultPIN, referencePUK: session.DefaultPUK}[c.id]) {
						t.Fatalf("%02x: default %v, %d of %d tries, %v; the model has %+v", c.id, isDefault, left, most, err, c.m)
					}
				}
				if saved.PIN.Tries != pin.tries || saved.PUK.Tries != puk.tries {
					t.Fatalf("durable: %d and %d tries", saved.PIN.Tries, saved.PUK.Tries)
				}
			},
		})
	})
}

func proveManagement(a *applet) {
	_, challenge := a.ManagementChallenge()
	response, err := a.state.Management.encrypt(challenge)
	if err == nil {
		err = a.AuthenticateManagement(response)
	}
	if err != nil {
		panic(err)
	}
}

// The try is durable before the comparison: a power cut right after the first
// write has spent it, and a write that fails answers nothing about the PIN.
func TestTryIsSpentFirst(t *testing.T) {
	a, _ := testApplet(t, ButtonAuto)
	cut := errors.New("power cut")
	for _, value := range []string{session.DefaultPIN, "111111"} {
		var durable []int
		a.save = func(st *state) error {
			if durable = append(durable, st.PIN.Tries); len(durable) > 1 {
				return cut
			}
			return nil
		}
		before := a.state.PIN.Tries
		err := a.VerifyPIN(pad(value))
		if durable[0] != before-1 {
			t.Errorf("%s: %d tries were made durable first, of %d", value, durable[0], before)
		}
		if value == session.DefaultPIN && err != cut {
			t.Errorf("verify: %v", err)
		}
		a.save = func(*state) error { return cut }
		if err := a.VerifyPIN(pad(value)); err != cut || a.pinVerified {
			t.Errorf("%s could be tried without spending a try: %v", value, err)
		}
	}
}

func TestManagementKey(t *testing.T) {
	a, _ := testApplet(t, ButtonAuto)
	always := keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever}
	if _, err := a.Generate(keys.SlotRoot, algorithmEd25519, always); err != swSecurityStatus {
		t.Errorf("generate: %v", err)
	}
	if err := a.AuthenticateManagement(make([]byte, 16)); err != swConditions {
		t.Errorf("a response without a challenge: %v", err)
	}
	a.ManagementChallenge()
	if err := a.AuthenticateManagement(make([]byte, 16)); err != swSecurityStatus {
		t.Errorf("a wrong response: %v", err)
	}
	manage(t, a)
	if err := a.SetManagementKey(algorithmAES256, make([]byte, 24), false); err != swWrongLength {
		t.Errorf("a short key: %v", err)
	}
	if err := a.SetManagementKey(algorithmAES256, bytes.Repeat([]byte{7}, 32), false); err != nil {
		t.Fatal(err)
	}
	if algorithm, isDefault := a.ManagementMetadata(); algorithm != algorithmAES256 || isDefault {
		t.Errorf("metadata: %02x, default %v", algorithm, isDefault)
	}
	a.PowerOff()
	_, challenge := a.ManagementChallenge()
	old := management{Algorithm: algorithmAES192, Key: hexBytes(session.DefaultManagement)}
	response, _ := old.encrypt(challenge)
	if err := a.AuthenticateManagement(response); err != swSecurityStatus {
		t.Errorf("the old key: %v", err)
	}
	if _, err := a.Generate(keys.SlotRoot, algorithmEd25519, always); err != swSecurityStatus {
		t.Errorf("generate after the old key: %v", err)
	}
}

func TestKeys(t *testing.T) {
	a, saved := testApplet(t, ButtonAuto)
	policy := keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever}
	manage(t, a)
	message := []byte("message")
	sum256, sum384 := sha256.Sum256(message), sha512.Sum384(message)
	for i, c := range []struct {
		algorithm byte
		data      []byte
	}{{algorithmEd25519, message}, {algorithmP256, sum256[:]}, {algorithmP384, sum384[:]}} {
		for j, imported := range []bool{false, true} {
			s := keys.Slot(0x82 + 2*i + j)
			private, err := makeKey(c.algorithm)
			if err != nil {
				t.Fatal(err)
			}
			public := private.Public()
			if imported {
				err = a.Import(s, private, policy)
			} else {
				public, err = a.Generate(s, c.algorithm, policy)
			}
			if err != nil {
				t.Fatal(err)
			}
			want, err := keys.FromCrypto(public)
			if err != nil {
				t.Fatal(err)
			}

			if _, err := a.Sign(s, c.data); err != swSecurityStatus {
				t.Errorf("slot %v without the PIN: %v", s, err)
			}
			if err := a.VerifyPIN(pad(session.DefaultPIN)); err != nil {
				t.Fatal(err)
			}
			signature, err := a.Sign(s, c.data)
			if err != nil {
				t.Fatal(err)
			}
			if err := want.Verify(message, signature); err != nil {
				t.Errorf("slot %v: %v", s, err)
			}
			if _, err := a.Sign(s, c.data); err != swSecurityStatus {
				t.Errorf("slot %v twice with one PIN: %v", s, err)
			}
			if k, err := a.KeyMetadata(s); err != nil || k.Public != want || k.Generated == imported || k.Policy != policy {
				t.Errorf("slot %v: %+v, %v", s, k, err)
			}
			if _, err := a.Attest(s); imported != (err == swConditions) {
				t.Errorf("attest slot %v: %v", s, err)
			}
			if c.algorithm != algorithmEd25519 {
				_ = a.VerifyPIN(pad(session.DefaultPIN))
				if _, err := a.Sign(s, make([]byte, 49)); err != swWrongData {
					t.Errorf("slot %v signs what is no digest: %v", s, err)
				}
			}
		}
	}
	if !slices.Equal(a.Slots(), []keys.Slot{0x82, 0x83, 0x84, 0x85, 0x86, 0x87}) {
		t.Errorf("slots %v", a.Slots())
	}
	again := &state{}
	if err := decode(*saved, tokenMagic, again); err != nil {
		t.Fatal(err)
	}
	if err := again.check(); err != nil {
		t.Fatal(err)
	}
	if k, err := newApplet(again, nil).KeyMetadata(0x87); err != nil || k.Public.Algorithm != keys.P384 {
		t.Errorf("read back: %+v, %v", k, err)
	}
	for _, s := range []keys.Slot{0, 0x81, 0x96, 0x9b, keys.SlotAttestation} {
		if _, err := a.Generate(s, algorithmP256, policy); err != swWrongParameters {
			t.Errorf("generate in slot %v: %v", s, err)
		}
	}
	if _, err := a.Generate(keys.SlotRoot, 0x07, policy); err != swWrongData {
		t.Errorf("generate RSA: %v", err)
	}
	if _, err := a.Sign(keys.SlotRoot, nil); err != swReferenceNotFound {
		t.Errorf("sign with an empty slot: %v", err)
	}
}

func TestECDH(t *testing.T) {
	a, _ := testApplet(t, ButtonAuto)
	manage(t, a)
	public, err := a.Generate(keys.SlotAge, algorithmP256, keys.Policy{PIN: keys.PINOnce, Touch: keys.TouchAlways})
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.ECDH(keys.SlotAge, peer.PublicKey().Bytes()); err != swSecurityStatus {
		t.Errorf("without the PIN: %v", err)
	}
	if err := a.VerifyPIN(pad(session.DefaultPIN)); err != nil {
		t.Fatal(err)
	}
	shared, err := a.ECDH(keys.SlotAge, peer.PublicKey().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	mine, err := public.(*ecdsa.PublicKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := peer.ECDH(mine); err != nil || !bytes.Equal(shared, want) {
		t.Errorf("%x, wanted %x (%v)", shared, want, err)
	}
	if _, err := a.ECDH(keys.SlotAge, make([]byte, 65)); err != swWrongData {
		t.Errorf("a point that is none: %v", err)
	}
}

// The command's data is full at 3072 bytes: 3062 of message.
func TestMessageLimit(t *testing.T) {
	if maxMessage != 3062 || authenticateSize(3062) != 3072 || authenticateSize(3063) != 3073 {
		t.Errorf("%d; %d, %d", maxMessage, authenticateSize(3062), authenticateSize(3063))
	}
	a, _ := testApplet(t, ButtonAuto)
	manage(t, a)
	public, err := a.Generate(keys.SlotRoot, algorithmEd25519, keys.Policy{PIN: keys.PINNever, Touch: keys.TouchAlways})
	if err != nil {
		t.Fatal(err)
	}
	message := bytes.Repeat([]byte{'x'}, 3062)
	signature, err := a.Sign(keys.SlotRoot, message)
	if err != nil || !ed25519.Verify(public.(ed25519.PublicKey), message, signature) {
		t.Errorf("3062 bytes: %v", err)
	}
	if _, err := a.Sign(keys.SlotRoot, append(message, 'x')); err != swWrongLength {
		t.Errorf("3063 bytes: %v", err)
	}
}

// touchToken is a token in front of an applet with a clock of the test's own.
func touchToken(t *testing.T, b Button, touch keys.Touch) (*Token, *secret.Buffer, *clock) {
	a, _ := testApplet(t, b)
	c := &clock{time: time.Unix(1e9, 0), timers: make(chan time.Duration, 1), fire: make(chan time.Time)}
	a.now = func() time.Time { return c.time }
	a.after = func(d time.Duration) <-chan time.Time { c.timers <- d; return c.fire }
	manage(t, a)
	if _, err := a.Generate(keys.SlotRoot, algorithmEd25519, keys.Policy{PIN: keys.PINAlways, Touch: touch}); err != nil {
		t.Fatal(err)
	}
	pin, err := secret.Take([]byte(session.DefaultPIN))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pin.Wipe)
	return &Token{applet: a}, pin, c
}

type clock struct {
	time   time.Time
	timers chan time.Duration // one for each wait that begins
	fire   chan time.Time
}

func TestTouchInTime(t *testing.T) {
	token, pin, c := touchToken(t, ButtonWaits, keys.TouchAlways)
	token.Touched() // before anything waits: does not count
	asked := 0
	touch := func() { // at once, from within: before the applet's command waits
		asked++
		token.Touched()
		token.Touched()
	}
	for range 2 {
		if _, err := token.Sign(keys.SlotRoot, pin, nil, touch); err != nil {
			t.Fatal(err)
		}
		<-c.timers
	}
	if asked != 2 {
		t.Errorf("asked %d times to touch", asked)
	}
}

func TestTouchTooLate(t *testing.T) {
	for _, b := range []Button{ButtonWaits, ButtonDead} {
		token, pin, c := touchToken(t, b, keys.TouchAlways)
		want := 15 * time.Second
		if b == ButtonDead {
			want = time.Minute
			(&Card{applet: token.applet}).WaitForTouch(want)
		}
		done := make(chan error)
		go func() {
			_, err := token.Sign(keys.SlotRoot, pin, nil, func() {
				if b == ButtonDead {
					token.Touched()
				}
			})
			done <- err
		}()
		if d := <-c.timers; d != want {
			t.Errorf("waits for %v", d)
		}
		c.fire <- c.time
		if err := <-done; err != keys.ErrNotTouched {
			t.Errorf("button %q: %v", b, err)
		}
		token.Touched() // late: must not count for the next one
		if err := token.VerifyPIN(pin); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := token.applet.Sign(keys.SlotRoot, nil)
			done <- err
		}()
		<-c.timers
		c.fire <- c.time
		if err := <-done; err != swSecurityStatus {
			t.Errorf("button %q, after a late touch: %v", b, err)
		}
	}
}

func TestTouchCached(t *testing.T) {
	token, pin, c := touchToken(t, ButtonAuto, keys.TouchCached)
	asked := 0
	sign := func() {
		t.Helper()
		if _, err := token.Sign(keys.SlotRoot, pin, nil, func() { asked++ }); err != nil {
			t.Fatal(err)
		}
	}
	sign()
	c.time = c.time.Add(touchCache - 1)
	sign()
	if asked != 1 {
		t.Errorf("asked %d times within the cache's time", asked)
	}
	c.time = c.time.Add(1)
	sign()
	if asked != 2 {
		t.Errorf("asked %d times after the cache's time", asked)
	}
	token.applet.PowerOff()
	sign()
	if asked != 3 {
		t.Errorf("asked %d times after power-off", asked)
	}
}

// A wrong PIN is told before anybody is asked to touch.
func TestNoTouchForWrongPIN(t *testing.T) {
	token, _, _ := touchToken(t, ButtonAuto, keys.TouchAlways)
	wrong, err := secret.Take([]byte("999999"))
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Wipe()
	_, err = token.Sign(keys.SlotRoot, wrong, nil, func() { t.Error("asked to touch") })
	var pinError *keys.PINError
	if !errors.As(err, &pinError) || pinError.TriesLeft != 2 {
		t.Errorf("%v", err)
	}
	_, err = token.Sign(keys.SlotRoot, wrong, make([]byte, 4000), func() {})
	if _, left, _, _ := token.applet.ReferenceMetadata(referencePIN); left != 2 {
		t.Errorf("a message that is too long cost a try: %v", err)
	}
}

func TestReset(t *testing.T) {
	token, _, _ := touchToken(t, ButtonAuto, keys.TouchAlways)
	device := token.applet.DeviceCertificate()
	if err := token.applet.ChangeReference(referencePIN, pad(session.DefaultPIN), make([]byte, 8)); err != nil {
		t.Fatal(err) // even where the PIN is the value that the reset tries
	}
	if err := token.Reset(); err != nil {
		t.Fatal(err)
	}
	info, err := token.Info()
	if err != nil || !info.Fresh() || info.PINTries != 3 || info.PUKTries != 3 {
		t.Errorf("%+v, %v", info, err)
	}
	if !bytes.Equal(device, token.applet.DeviceCertificate()) {
		t.Error("the device's certificate is another")
	}
}

func TestImportRefuses(t *testing.T) {
	a, _ := testApplet(t, ButtonAuto)
	k, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	policy := keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever}
	if err := a.Import(keys.SlotRoot, k, policy); err != swSecurityStatus {
		t.Errorf("without the management key: %v", err)
	}
	manage(t, a)
	if err := a.Import(keys.SlotRoot, k, policy); err != swWrongData {
		t.Errorf("P-521: %v", err)
	}
}
