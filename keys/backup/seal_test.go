package backup

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// Every kind, alone and as an inner, a middle and an outer layer, opens again;
// a token is touched once for its layer and never for another's.
func TestKinds(t *testing.T) {
	var people []person
	for i, kind := range allKinds {
		name := fmt.Sprintf("P%d", i)
		if kind == keys.RecipientPassphrase {
			name = "P10" // somewhere in the middle
		}
		people = append(people, meet(t, name, kind))
	}
	other := meet(t, "Other", keys.RecipientToken)
	for _, c := range []struct {
		people []person
		k      int
	}{
		{people, 1}, {people, 7}, {people[:6], 3}, {append(people[:3:3], people[6]), 4},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.k, len(c.people)), func(t *testing.T) {
			_, text := freshKey(t, keys.P256)
			files, err := seal(text, keys.BackupKey, alice, recipients(c.people), c.k)
			if err != nil {
				t.Fatal(err)
			}
			*people[2].touches = 0
			layersOfToken := 0
			for _, f := range files {
				layersOfToken += strings.Count(f.Name, "p2")
				got, err := openFile(f, by(c.people))
				if err != nil {
					t.Errorf("%s: %v", f.Name, err)
				} else if !secret.Equal(got, text) {
					t.Errorf("%s opens to something else", f.Name)
				}
				layers, err := keys.Layers(f.Name)
				if err != nil {
					t.Fatal(err)
				}
				for i, p := range people {
					if p.Slug != layers[0].Who {
						continue
					}
					var wrong *WrongIdentityError
					if _, err := Layer(layers[0]).decrypt(f.Data, nil); !errors.As(err, &wrong) || wrong.Kind != allKinds[i] {
						t.Errorf("%s: the outermost layer (%v) is not %s", f.Name, err, allKinds[i])
					}
					if header, _, _ := bytes.Cut(f.Data, []byte("\n---")); allKinds[i] == keys.RecipientPassphrase && !bytes.Contains(header, []byte(" 18\n")) {
						t.Errorf("%s: the passphrase has not age's own work factor", f.Name)
					}
				}
				if _, err := openFile(f, func(string) age.Identity { return other.identity }); !errors.Is(err, age.ErrIncorrectIdentity) {
					t.Errorf("%s with another token: %v", f.Name, err)
				}
			}
			if *people[2].touches != layersOfToken {
				t.Errorf("%d touches for %d layers of the token", *people[2].touches, layersOfToken)
			}
		})
	}
	if *other.touches != 0 {
		t.Errorf("the other token was touched %d times", *other.touches)
	}
}

func TestSealRefuses(t *testing.T) {
	_, text := freshKey(t, keys.Ed25519)
	bruno := meet(t, "Bruno", keys.RecipientX25519)
	locked := parse(t, "Safe", "passphrase")
	given := func(name, text string) *Recipient {
		r := parse(t, name, "passphrase")
		if err := r.setPassphrase(buffer(t, text)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	one := given("One", "correct horse battery")
	for _, c := range []struct {
		text *secret.Buffer
		what string
		rs   []*Recipient
		want string
	}{
		{text, "", recipients([]person{bruno}), "not of"},
		{text, "seed", recipients([]person{bruno}), "not of"},
		{nil, keys.BackupKey, recipients([]person{bruno}), "0 bytes"},
		{buffer(t, strings.Repeat("x", 497)), keys.BackupKey, recipients([]person{bruno}), "497 bytes"},
		{text, keys.BackupKey, []*Recipient{bruno.Recipient, locked}, `"Safe"`},
		{text, keys.BackupKey, []*Recipient{bruno.Recipient, {Recipient: keys.Recipient{Name: "Chen", Slug: "chen"}}}, `"Chen" has no key`},
		{text, keys.BackupKey, []*Recipient{given("Two", "correct horse battery"), one}, `recipients "One" and "Two" are the same key: one person would count as two`},
		{text, keys.BackupKey, nil, "who are 0"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if files, err := seal(c.text, c.what, alice, c.rs, 1); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d files, %v: not %q", len(files), err, c.want)
			}
		})
	}
	// What looks alike and is not refused.
	if _, err := seal(text, keys.BackupKey, alice, []*Recipient{one, given("Two", "correct horse batterie")}, 2); err != nil {
		t.Error(err)
	}
}

// No copy of a secret stays in memory after it was sealed and wiped, though
// nothing was collected in between.
func TestSealLeavesNoCopy(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	people := []person{meet(t, "Bruno", keys.RecipientX25519), meet(t, "Chen", keys.RecipientHybrid), meet(t, "Dana", keys.RecipientToken), meet(t, "Emil", keys.RecipientSSH), meet(t, "Fay", keys.RecipientPlugin)}
	for _, size := range []int{1, 2, 6} { // of 48 bytes each
		seed, err := secret.New(48 * size)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, seed)
		text, err := secret.New(len(keyIntro) + base64.StdEncoding.EncodedLen(seed.Len()))
		if err != nil {
			t.Fatal(err)
		}
		base64.StdEncoding.Encode(text.Bytes()[copy(text.Bytes(), keyIntro):], seed.Bytes())
		if text.Len() > maxSecret {
			t.Fatal("too long for this test")
		}
		// Eight characters at a place that no header reaches.
		hidden := make([]byte, 24)
		for i, c := range text.Bytes()[len(keyIntro)+8:][:24] {
			hidden[i] = c ^ 0x5a
		}
		if n := copies(t, hidden); n != 1 {
			t.Fatalf("the search finds %d copies of a secret that is there once", n)
		}
		files, err := seal(text, keys.BackupKey, alice, recipients(people), 3)
		if err != nil || len(files) != 10 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		seed.Wipe()
		text.Wipe()
		if n := copies(t, hidden); n != 0 {
			t.Errorf("%d bytes: %d copies are left in memory", text.Len(), n)
		}
	}
}

// fill puts random bytes into a Buffer and nowhere else.
func fill(t *testing.T, b *secret.Buffer) {
	t.Helper()
	random, err := os.Open("/dev/urandom")
	if err != nil {
		t.Fatal(err)
	}
	defer random.Close()
	got, err := secret.Read(random, b.Len())
	if err != nil {
		t.Fatal(err)
	}
	copy(b.Bytes(), got.Bytes())
	got.Wipe()
}

// copies counts how often something is in this process's writable memory.
// hidden is it, each byte XORed with 0x5a, so that it is not found itself.
func copies(t *testing.T, hidden []byte) (found int) {
	t.Helper()
	const chunk = 1 << 20
	own, err := syscall.Mmap(-1, 0, chunk+4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { clear(own); _ = syscall.Munmap(own) }()
	needle := own[chunk:][:len(hidden)]
	for i := range hidden {
		needle[i] = hidden[i] ^ 0x5a
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	ownStart := fmt.Sprintf("%p", &own[0])
	lines := bufio.NewScanner(bytes.NewReader(maps))
	for lines.Scan() {
		var start, end uint64
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &start, &end, &mode); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(mode, "rw") {
			continue
		}
		var ownAt uint64
		_, _ = fmt.Sscanf(ownStart, "0x%x", &ownAt)
		for at := start; at < end; at += chunk - uint64(len(hidden)) + 1 {
			n, _ := memory.ReadAt(own[:min(chunk, end-at)], int64(at))
			for rest, from := own[:n], at; ; {
				i := bytes.Index(rest, needle)
				if i < 0 {
					break
				}
				if place := from + uint64(i); place < ownAt || place >= ownAt+uint64(len(own)) {
					found++
				}
				rest, from = rest[i+1:], from+uint64(i)+1
			}
		}
	}
	return found
}

// Five holders, three of seven who open: 350 files.
func BenchmarkSealFiveHolders(b *testing.B) {
	_, text := freshKey(b, keys.Ed25519)
	people := sevenTokens(b)
	bytes := 0
	for b.Loop() {
		bytes = 0
		for range 5 {
			for _, what := range []string{keys.BackupKey, keys.BackupToken} {
				files, err := seal(text, what, alice, recipients(people), 3)
				if err != nil {
					b.Fatal(err)
				}
				for _, f := range files {
					bytes += len(f.Data)
				}
			}
		}
	}
	b.ReportMetric(float64(bytes)/1e6, "MB/350files")
}

func BenchmarkOpenFiveHolders(b *testing.B) {
	_, text := freshKey(b, keys.Ed25519)
	people := sevenTokens(b)
	files, err := seal(text, keys.BackupKey, alice, recipients(people), 3)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for range 10 {
			for _, f := range files {
				got, err := openFile(f, by(people))
				if err != nil {
					b.Fatal(err)
				}
				got.Wipe()
			}
		}
	}
}

func sevenTokens(b *testing.B) (people []person) {
	for i := range 7 {
		people = append(people, meet(b, fmt.Sprintf("P%d", i), keys.RecipientToken))
	}
	return people
}

// The same with seven post-quantum recipients.
func BenchmarkSealFiveHoldersPostQuantum(b *testing.B) {
	_, text := freshKey(b, keys.Ed25519)
	var people []person
	for i := range 7 {
		people = append(people, meet(b, fmt.Sprintf("P%d", i), keys.RecipientHybrid))
	}
	for b.Loop() {
		for range 10 {
			if _, err := seal(text, keys.BackupKey, alice, recipients(people), 3); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// One layer with a passphrase.
func BenchmarkPassphrase(b *testing.B) {
	r := meet(b, "Safe", keys.RecipientPassphrase).Recipient
	for b.Loop() {
		if _, _, err := Challenge(r); err != nil {
			b.Fatal(err)
		}
	}
}
