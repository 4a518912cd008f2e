package virtual

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// The test binary is also a program that changes a token until it is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "change-for-ever" {
		changeForEver(os.Args[2])
	}
	os.Exit(m.Run())
}

func openDrawer(t testing.TB) (*Drawer, string) {
	dir := filepath.Join(t.TempDir(), "rehearsal", "tokens [1]*") // a name that patterns must not read as one
	d, err := OpenDrawer(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d, dir
}

func add(t testing.TB, d *Drawer, sticker string) uint32 {
	serial, err := d.Add(sticker, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return serial
}

func openToken(t testing.TB, dir string, serial uint32) (*Token, error) {
	opener, err := Open(session.Backend{Kind: Kind, Dir: dir, Plugged: []uint32{serial}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := opener.Open(serial)
	if err != nil {
		return nil, err
	}
	return token.(*Token), nil
}

func TestDrawer(t *testing.T) {
	d, dir := openDrawer(t)
	a, b := add(t, d, "B-02"), add(t, d, "A-01")
	if a == b || a < 10_000_000 || a > 99_999_999 {
		t.Errorf("serials %d, %d", a, b)
	}
	again, err := OpenDrawer(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !again.AttestationRoot().Equal(d.AttestationRoot()) {
		t.Error("another attestation root")
	}
	if serial, err := again.Add("B-02", Options{Edition: "FIPS"}); err != nil || serial != a {
		t.Errorf("added again: %d, %v; wanted %d", serial, err, a)
	}
	serials, err := again.Serials()
	if err != nil || !maps.Equal(serials, map[string]uint32{"A-01": b, "B-02": a}) {
		t.Errorf("serials %v, %v", serials, err)
	}
	if serial, err := again.Serial("A-01"); err != nil || serial != b {
		t.Errorf("serial of A-01: %d, %v", serial, err)
	}
	if _, err := again.Serial("C-03"); err == nil || !strings.Contains(err.Error(), `"C-03"`) {
		t.Errorf("serial of a sticker that is not there: %v", err)
	}

	opener, err := Open(session.Backend{Kind: Kind, Dir: dir, Plugged: []uint32{b}})
	if err != nil {
		t.Fatal(err)
	}
	listed, err := opener.List()
	if err != nil || len(listed) != 1 || listed[0].Serial != b || !listed[0].Fresh() ||
		listed[0].FormFactor != "YubiKey 5C NFC" || listed[0].Firmware.String() != "5.7.4" {
		t.Errorf("list: %+v, %v", listed, err)
	}
	var notFound *keys.NotFoundError
	if _, err := opener.Open(a); !errors.As(err, &notFound) {
		t.Errorf("open a token that is not plugged in: %v", err)
	}
	for _, name := range []string{tokenFile(a), rootFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := d.Add("D-04", Options{Button: "sticky"}); err == nil {
		t.Error("a button that does not exist")
	}
}

func TestTokenInUse(t *testing.T) {
	d, dir := openDrawer(t)
	serial := add(t, d, "A-01")
	token, err := openToken(t, dir, serial)
	if err != nil {
		t.Fatal(err)
	}
	var inUse *keys.InUseError
	if _, err := openToken(t, dir, serial); !errors.As(err, &inUse) || inUse.Serial != serial {
		t.Errorf("opened twice: %v", err)
	}
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	token, err = openToken(t, dir, serial)
	if err != nil {
		t.Fatal(err)
	}
	_ = token.Close()
}

// A file that is cut short or changed anywhere is named, and nothing is made
// in its place.
func TestDamage(t *testing.T) {
	d, dir := openDrawer(t)
	serial := add(t, d, "A-01")
	for _, name := range []string{tokenFile(serial), rootFile} {
		path := filepath.Join(dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(good, []byte("rootceremony virtual ")) {
			t.Errorf("%s begins with %q", name, good[:40])
		}
		check := func(what string, bad []byte) {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			var err error
			if name == rootFile {
				_, err = OpenDrawer(dir)
			} else {
				_, err = load(path)
			}
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
				t.Errorf("%s, %s: the file was changed (%v)", name, what, err)
			}
		}
		step := 1
		if name == rootFile {
			step = 7 // each takes a lock
		}
		for n := 0; n < len(good); n += step {
			check(fmt.Sprintf("cut to %d bytes", n), good[:n])
			flipped := slices.Clone(good)
			flipped[n] ^= 1
			check(fmt.Sprintf("byte %d changed", n), flipped)
		}
		check("a byte more", append(slices.Clone(good), '\n'))
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := filepath.Join(dir, tokenFile(serial+1))
	if err := os.Rename(filepath.Join(dir, tokenFile(serial)), other); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Serials(); err == nil || !strings.Contains(err.Error(), other) {
		t.Errorf("a file under another name: %v", err)
	}
}

// States that no applet comes to are refused, also with a good checksum.
func TestImpossibleStates(t *testing.T) {
	d, dir := openDrawer(t)
	path := filepath.Join(dir, tokenFile(add(t, d, "A-01")))
	for what, change := range map[string]func(*state){
		"more tries than there are": func(st *state) { st.PIN.Tries = 4 },
		"negative tries":            func(st *state) { st.PUK.Tries = -1 },
		"a PIN of 6 bytes":          func(st *state) { st.PIN.Value = st.PIN.Value[:6] },
		"a short management key":    func(st *state) { st.Management.Key = st.Management.Key[1:] },
		"a key in no slot":          func(st *state) { st.Slots = []slot{{Slot: 1}} },
		"a key that is none": func(st *state) {
			st.Slots = []slot{{Slot: 0x9c, Algorithm: algorithmP256, Private: []byte{1}, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever}}}
		},
		"a key of another algorithm": func(st *state) {
			st.Slots = []slot{{Slot: 0x9c, Algorithm: algorithmP384, Private: st.DeviceKey, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever}}}
		},
		"no policy": func(st *state) { st.Slots = []slot{{Slot: 0x9c, Algorithm: algorithmP256, Private: st.DeviceKey}} },
	} {
		t.Run(what, func(t *testing.T) {
			st, err := load(path)
			if err != nil {
				t.Fatal(err)
			}
			good, _ := os.ReadFile(path)
			change(st)
			if err := save(path)(st); err != nil {
				t.Fatal(err)
			}
			if _, err := load(path); err == nil || !strings.Contains(err.Error(), path) {
				t.Error(err)
			}
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What a cut-off write left is cleared away, but not under a writer's hands.
func TestLeftovers(t *testing.T) {
	d, dir := openDrawer(t)
	dead, alive := add(t, d, "A-01"), add(t, d, "B-02")
	token, err := openToken(t, dir, alive)
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	left := func(serial uint32) string { return filepath.Join(dir, tokenFile(serial)+tempSuffix) }
	for _, path := range []string{left(dead), left(alive), filepath.Join(dir, rootFile+tempSuffix)} {
		if err := os.WriteFile(path, []byte(tokenMagic), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenDrawer(dir); err != nil {
		t.Fatal(err)
	}
	remaining, err := filepath.Glob(filepath.Join(globEscape(dir), "*"+tempSuffix))
	if err != nil || !slices.Equal(remaining, []string{left(alive)}) {
		t.Errorf("left: %q, %v", remaining, err)
	}
	tokens, err := d.tokens()
	if err != nil || len(tokens) != 2 {
		t.Errorf("%d tokens, %v", len(tokens), err)
	}
	if _, err := token.applet.Generate(keys.SlotRoot, algorithmP256, keys.Policy{}); err != swSecurityStatus {
		t.Errorf("the open token: %v", err)
	}
}

// A state that cannot be written does not count.
func TestDiskFull(t *testing.T) {
	a, _ := testApplet(t, ButtonAuto)
	full := errors.New("no space left on device")
	manage(t, a)
	a.save = func(*state) error { return full }
	if _, err := a.Generate(keys.SlotRoot, algorithmP256, keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchNever}); err != full {
		t.Errorf("generate: %v", err)
	}
	if len(a.Slots()) != 0 {
		t.Error("the key is there")
	}
	if err := a.SetManagementKey(algorithmAES256, make([]byte, 32), false); err != full {
		t.Errorf("set the management key: %v", err)
	}
	if _, isDefault := a.ManagementMetadata(); !isDefault {
		t.Error("the management key was changed")
	}
}

const otherPIN = "222222"

// changeForEver opens the drawer, adds a token, and changes its PIN to and fro.
func changeForEver(dir string) {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	d, err := OpenDrawer(dir)
	must(err)
	serial, err := d.Add("A-01", Options{})
	must(err)
	opener, err := Open(session.Backend{Kind: Kind, Dir: dir, Plugged: []uint32{serial}})
	must(err)
	token, err := opener.Open(serial)
	must(err)
	a, err := secret.Take([]byte(session.DefaultPIN))
	must(err)
	b, err := secret.Take([]byte(otherPIN))
	must(err)
	if info, err := token.Info(); err != nil || !info.PINDefault {
		a, b = b, a
	}
	fmt.Println("ready")
	for {
		must(token.ChangePIN(a, b))
		a, b = b, a
	}
}

// Killed at any moment, the drawer opens again, and the PIN is the old one or
// the new one, with a try spent at most.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tokens")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range 40 {
		cmd := exec.Command(self, "change-for-ever", dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 { // once while the drawer and the token are made, once while they change
			_, _ = out.Read(make([]byte, 6))
		}
		time.Sleep(time.Duration(random.IntN(8000)) * time.Microsecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()

		d, err := OpenDrawer(dir)
		if err != nil {
			t.Fatalf("seed %d, kill %d: %v", seed, i, err)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*"+tempSuffix))
		if err != nil || len(left) > 0 {
			t.Fatalf("seed %d, kill %d: left %q, %v", seed, i, left, err)
		}
		serial, err := d.Add("A-01", Options{})
		if err != nil {
			t.Fatalf("seed %d, kill %d: %v", seed, i, err)
		}
		if tokens, err := d.tokens(); err != nil || len(tokens) != 1 {
			t.Fatalf("seed %d, kill %d: %d tokens, %v", seed, i, len(tokens), err)
		}
		token, err := openToken(t, dir, serial)
		if err != nil {
			t.Fatalf("seed %d, kill %d: %v", seed, i, err)
		}
		if tries := token.applet.state.PIN.Tries; tries < 2 {
			t.Errorf("seed %d, kill %d: %d tries left", seed, i, tries)
		}
		if err := token.applet.VerifyPIN(pad(session.DefaultPIN)); err != nil {
			err = token.applet.VerifyPIN(pad(otherPIN))
			if err != nil {
				t.Fatalf("seed %d, kill %d: neither PIN: %v", seed, i, err)
			}
		}
		_ = token.Close()
	}
}
