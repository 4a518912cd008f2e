package transcript

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"rootceremony/keys"
)

const testOrigin = keys.CheckpointOrigin + "00112233445566778899aabbccddeeff"

var testCheckpoint = Checkpoint{Size: 7, Root: hash([]byte("a tree"))}

// signer is somebody's key in 9a.
type signer struct {
	public keys.PublicKey
	sign   func(text []byte) []byte
}

func ed25519Signer(t testing.TB, name string) signer {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	key := ed25519.NewKeyFromSeed(seed[:])
	public, err := keys.FromCrypto(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer{public, func(text []byte) []byte { return ed25519.Sign(key, text) }}
}

func ecdsaSigner(t testing.TB, curve elliptic.Curve) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.FromCrypto(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer{public, func(text []byte) []byte {
		digest := sha256.Sum256(text)
		signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}}
}

// line is a signer's signature line over a text.
func (s signer) line(t testing.TB, origin string, text []byte) string {
	t.Helper()
	signature, err := Signature(origin, s.public, s.sign(text))
	if err != nil {
		t.Fatal(err)
	}
	return SignatureLine(origin, signature)
}

// The tree is that of RFC 6962, in its own words, and proofs of x/mod fit it.
func TestTree(t *testing.T) {
	const n = 20
	made := madeOf(t, strings.Repeat("-p", n/2))
	read, err := Read(made.public, nil)
	if err != nil {
		t.Fatal(err)
	}
	var leaves [][]byte
	for _, line := range lines(made.public) {
		leaves = append(leaves, bytes.TrimSuffix(line, []byte{'\n'}))
	}
	for size := range int64(n + 1) {
		got := read.CheckpointAt(size)
		want := naiveRoot(leaves[:size])
		if got != (Checkpoint{size, hex.EncodeToString(want[:])}) {
			t.Fatalf("size %d: %v, want %x", size, got, want)
		}
		if size < n && read.Events[size].Tree != got.Root {
			t.Errorf("line %d has the tree %s", size+1, read.Events[size].Tree)
		}
		for number := range size {
			proof, err := tlog.ProveRecord(size, number, &read.tree)
			if err == nil {
				err = tlog.CheckRecord(proof, size, want, number, tlog.RecordHash(leaves[number]))
			}
			if err != nil {
				t.Errorf("line %d in %d: %v", number+1, size, err)
			}
			if err := tlog.CheckRecord(proof, size, want, number, tlog.RecordHash([]byte("another line"))); err == nil {
				t.Errorf("another line %d in %d is proved", number+1, size)
			}
			if number > 0 {
				old := naiveRoot(leaves[:number])
				proof, err := tlog.ProveTree(size, number, &read.tree)
				if err == nil {
					err = tlog.CheckTree(proof, size, want, number, old)
				}
				if err != nil {
					t.Errorf("%d lines of %d: %v", number, size, err)
				}
			}
		}
	}
	l, err := Create(made.laid(t), clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Checkpoint() != read.Checkpoint() || l.CheckpointAt(13) != read.CheckpointAt(13) || l.Origin() != read.Origin() {
		t.Error("an open log has other checkpoints")
	}
	if want := keys.CheckpointOrigin + hash(leaves[0])[:32]; l.Origin() != want {
		t.Errorf("origin %s, want %s", l.Origin(), want)
	}
}

// naiveRoot is the Merkle tree hash as RFC 6962, 2.1 defines it.
func naiveRoot(leaves [][]byte) tlog.Hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	left, right := naiveRoot(leaves[:k]), naiveRoot(leaves[k:])
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}

func TestText(t *testing.T) {
	text := Text(testOrigin, testCheckpoint)
	root, _ := hex.DecodeString(testCheckpoint.Root)
	if want := testOrigin + "\n7\n" + base64.StdEncoding.EncodeToString(root) + "\n"; string(text) != want {
		t.Errorf("%q", text)
	}
	// x/mod reads the same size and hash out of it.
	_, rest, _ := strings.Cut(string(text), "\n")
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + rest))
	if err != nil || tree.N != 7 || !bytes.Equal(tree.Hash[:], root) {
		t.Errorf("%v, %v", tree, err)
	}
}

// An ed25519 note is one that x/mod makes and reads by itself.
func TestNoteAgainstXMod(t *testing.T) {
	text := Text(testOrigin, testCheckpoint)
	secret, public, err := note.GenerateKey(rand.Reader, testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: string(text)}, theirs)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(public, "+", 3)[2]) // name, key id, key, which may have a + of its own
	if err != nil {
		t.Fatal(err)
	}
	key := keys.PublicKey{Algorithm: keys.Ed25519, Hex: hex.EncodeToString(raw[1:])}
	if got, by, err := OpenNote(signed, testOrigin, key); err != nil || got != testCheckpoint || !slices.Equal(by, []keys.PublicKey{key}) {
		t.Errorf("%v, %v, %v", got, by, err)
	}

	ours := ed25519Signer(t, "ours")
	mine := Note(text, ours.line(t, testOrigin, text))
	raw, _ = hex.DecodeString(ours.public.Hex)
	encoded, err := note.NewEd25519VerifierKey(testOrigin, raw)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(mine, note.VerifierList(verifier)); err != nil || n.Text != string(text) || len(n.Sigs) != 1 {
		t.Errorf("%v, %v", n, err)
	}
}

func TestOpenNote(t *testing.T) {
	text := Text(testOrigin, testCheckpoint)
	alice, bruno, chen, stranger := ed25519Signer(t, "alice"), ecdsaSigner(t, elliptic.P256()), ed25519Signer(t, "chen"), ecdsaSigner(t, elliptic.P256())
	known := []keys.PublicKey{alice.public, bruno.public, chen.public}
	a, b, s := alice.line(t, testOrigin, text), bruno.line(t, testOrigin, text), stranger.line(t, testOrigin, text)
	for _, c := range []struct {
		name  string
		lines []string
		by    []keys.PublicKey
	}{
		{"one", []string{a}, known[:1]},
		{"of P-256", []string{b}, known[1:2]},
		{"several", []string{b, a}, known[:2]},
		{"twice", []string{a, a}, known[:1]},
		{"with a stranger's", []string{s, a}, known[:1]},
		{"with a line of another name", []string{"— example.com/witness " + base64.StdEncoding.EncodeToString(make([]byte, 72)) + "\n", a}, known[:1]},
	} {
		got, by, err := OpenNote(Note(text, c.lines...), testOrigin, known...)
		if err != nil || got != testCheckpoint || !slices.Equal(by, c.by) {
			t.Errorf("%s: %v, %v, %v", c.name, got, by, err)
		}
	}

	other := Text(testOrigin, Checkpoint{8, testCheckpoint.Root})
	wrong := alice.line(t, testOrigin, other) // her signature, over another text
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(a[strings.LastIndex(a, " ")+1:]))
	if err != nil {
		t.Fatal(err)
	}
	renamed := SignatureLine(testOrigin, base64.StdEncoding.EncodeToString(append([]byte{1, 2, 3, 4}, raw[4:]...)))
	for _, c := range []struct {
		name, origin string
		signed       []byte
		want         string
	}{
		{"by nobody known", testOrigin, Note(text, s), ErrUnsigned.Error()},
		{"with another key id", testOrigin, Note(text, renamed), ErrUnsigned.Error()},
		{"over another text", testOrigin, Note(text, wrong), "is not right"},
		{"over another text, beside a good one", testOrigin, Note(text, b, wrong), "is not right"},
		{"of another log", keys.CheckpointOrigin + strings.Repeat("0", 32), Note(text, a), "a checkpoint of another log"},
		{"without a signature", testOrigin, Note(text), "not a signed note"},
		{"without an empty line", testOrigin, slices.Concat(text, []byte(a)), "not a signed note"},
		{"with an extension", testOrigin, Note(append(bytes.Clone(text), "more\n"...), alice.line(t, testOrigin, append(bytes.Clone(text), "more\n"...))), keys.ErrNoCheckpoint.Error()},
		{"of another text", testOrigin, Note([]byte("a text\n"), alice.line(t, testOrigin, []byte("a text\n"))), keys.ErrNoCheckpoint.Error()},
		{"nothing", testOrigin, nil, "not a signed note"},
	} {
		if got, by, err := OpenNote(c.signed, c.origin, known...); err == nil || !strings.Contains(err.Error(), c.want) || by != nil || got != (Checkpoint{}) {
			t.Errorf("%s: %v, %v, %v", c.name, got, by, err)
		}
	}
	if _, _, err := OpenNote(Note(text, a), testOrigin); !errors.Is(err, ErrUnsigned) {
		t.Errorf("without any known key: %v", err)
	}
	// Keys that sign no notes.
	large := ecdsaSigner(t, elliptic.P384())
	if _, err := Signature(testOrigin, large.public, nil); err == nil {
		t.Error("a P-384 key has a note type")
	}
	if _, _, err := OpenNote(Note(text, a), testOrigin, large.public); err == nil {
		t.Error("a P-384 key is known")
	}
}

// A key id has 32 bits, and anyone can find two keys with one id: both are known
// all the same, each by its own signature.
func TestKeysWithOneID(t *testing.T) {
	one, two := ed25519Signer(t, "key 1787"), ed25519Signer(t, "key 74172")
	text := Text(testOrigin, testCheckpoint)
	first, second := one.line(t, testOrigin, text), two.line(t, testOrigin, text)
	if id := func(line string) string { return line[:len("— "+testOrigin+" ")+5] }; id(first) != id(second) {
		t.Fatalf("%q, %q", first, second)
	}
	for _, lines := range [][]string{{first, second}, {second, first}} {
		if _, by, err := OpenNote(Note(text, lines...), testOrigin, one.public, two.public); err != nil || !slices.Equal(by, []keys.PublicKey{one.public, two.public}) {
			t.Errorf("%v, %v", by, err)
		}
	}
	if _, by, err := OpenNote(Note(text, second), testOrigin, one.public, two.public); err != nil || !slices.Equal(by, []keys.PublicKey{two.public}) {
		t.Errorf("%v, %v", by, err)
	}
	if _, _, err := OpenNote(Note(text, second), testOrigin, one.public); err == nil {
		t.Error("one has signed for the other")
	}
}

// What docs/formats.md shows, which another program has made, is good.
func TestExample(t *testing.T) {
	docs, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, there := strings.Cut(string(docs), "### An example\n")
	blocks := strings.Split(example, "```\n")
	if !there || len(blocks) < 9 {
		t.Fatal("no example")
	}
	public, private, named, signed := blocks[1], blocks[3], blocks[5], blocks[7]
	read, err := Read([]byte(public), []byte(private))
	if err != nil || read.Tail != nil || read.PrivateTail != nil || len(read.Events) != 3 {
		t.Fatalf("%+v, %v", read, err)
	}
	if string(read.Events[1].Private) != `{"text":"she came by the back door"}` {
		t.Errorf("%s", read.Events[1].Private)
	}
	if !strings.Contains(blocks[4], "`"+read.Checkpoint().Root+"`") {
		t.Errorf("the root hash is %s", read.Checkpoint().Root)
	}
	var known []keys.PublicKey
	for line := range strings.Lines(named) {
		var key keys.PublicKey
		if _, err := fmt.Sscan(line, &key.Algorithm, &key.Hex); err != nil {
			t.Fatal(err)
		}
		known = append(known, key)
	}
	checkpoint, by, err := OpenNote([]byte(signed), read.Origin(), known...)
	if err != nil || checkpoint != read.Checkpoint() || len(by) != 2 {
		t.Errorf("%v, %v, %v", checkpoint, by, err)
	}
	for i := range signed {
		changed := []byte(signed)
		changed[i] ^= 1
		if _, by, err := OpenNote(changed, read.Origin(), known...); err == nil && len(by) == 2 {
			t.Errorf("byte %d can be changed", i)
		}
	}
}

func FuzzOpenNote(f *testing.F) {
	text := Text(testOrigin, testCheckpoint)
	alice, bruno := ed25519Signer(f, "alice"), ecdsaSigner(f, elliptic.P256())
	f.Add(Note(text, alice.line(f, testOrigin, text)))
	f.Add(Note(text, alice.line(f, testOrigin, text), bruno.line(f, testOrigin, text)))
	f.Add(text)
	f.Fuzz(func(t *testing.T, signed []byte) {
		checkpoint, by, err := OpenNote(signed, testOrigin, alice.public, bruno.public)
		if err != nil {
			if by != nil || checkpoint != (Checkpoint{}) {
				t.Errorf("%v, %v, %v", checkpoint, by, err)
			}
			return
		}
		if len(by) == 0 || !bytes.HasPrefix(signed, append(Text(testOrigin, checkpoint), '\n')) {
			t.Errorf("%v, by %v, in %q", checkpoint, by, signed)
		}
		if checkpoint != testCheckpoint {
			t.Errorf("a forged checkpoint %v", checkpoint)
		}
	})
}

// theirs is x/mod's reading of a signed note by two keys: for the ed25519 one its own
// verifier, for the P-256 one a few lines that share nothing with ours.
func theirs(t testing.TB, signed []byte, origin string, alice, bruno keys.PublicKey) (*note.Note, error) {
	t.Helper()
	raw, err := hex.DecodeString(alice.Hex)
	if err != nil {
		t.Fatal(err)
	}
	text, err := note.NewEd25519VerifierKey(origin, raw)
	if err != nil {
		t.Fatal(err)
	}
	first, err := note.NewVerifier(text)
	if err != nil {
		t.Fatal(err)
	}
	public, err := bruno.Crypto()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(der)
	return note.Open(signed, note.VerifierList(first, &p256{origin, binary.BigEndian.Uint32(id[:]), public.(*ecdsa.PublicKey)}))
}

type p256 struct {
	name string
	id   uint32
	key  *ecdsa.PublicKey
}

func (v *p256) Name() string    { return v.name }
func (v *p256) KeyHash() uint32 { return v.id }
func (v *p256) Verify(text, signature []byte) bool {
	digest := sha256.Sum256(text)
	return ecdsa.VerifyASN1(v.key, digest[:], signature)
}

// FuzzCheckpoint: what we take for a checkpoint x/mod does too, with the same text and
// by the same keys, and the reverse. We refuse three things more: a text that is no
// checkpoint of a ceremony's log, one of another log, and, where a key has several
// lines, a bad one behind the good one, which x/mod doesn't look at. Any of the texts
// may really be signed by both keys.
func FuzzCheckpoint(f *testing.F) {
	alice, bruno := ed25519Signer(f, "alice"), ecdsaSigner(f, elliptic.P256())
	text := string(Text(testOrigin, testCheckpoint))
	good := alice.line(f, testOrigin, []byte(text))
	bad := alice.line(f, testOrigin, []byte("another text"))
	for _, s := range []struct {
		text, more string
		by         byte
	}{
		{text, "", 1}, {text, "", 2}, {text, "", 3}, {text, good, 0}, {text, good, 1}, {text, good + good, 2},
		{text, bad, 0}, {text, bad, 1}, {text, bad, 2}, {text, "— else AAAAAAA=\n", 3}, {text, "— " + testOrigin + " AAAAAAA=\n", 1},
		{text + "an extension\n", "", 1}, {text + "\n", "", 1}, {strings.Replace(text, "7", "07", 1), "", 3}, {strings.Replace(text, "7", "-7", 1), "", 3},
		{strings.Replace(text, "ff", "fe", 1), "", 1}, {strings.ReplaceAll(text, "\n", "\r\n"), "", 1}, {"", "", 1}, {strings.Repeat("x\n", 99), good, 3},
	} {
		f.Add(s.text, s.more, s.by)
	}
	f.Fuzz(func(t *testing.T, text, more string, by byte) {
		var lines []string
		if by&1 != 0 {
			lines = append(lines, alice.line(t, testOrigin, []byte(text)))
		}
		if by&2 != 0 {
			lines = append(lines, bruno.line(t, testOrigin, []byte(text)))
		}
		signed := Note([]byte(text), append(lines, more)...)
		checkpoint, ours, err := OpenNote(signed, testOrigin, alice.public, bruno.public)
		n, theirErr := theirs(t, signed, testOrigin, alice.public, bruno.public)
		switch {
		case err == nil && theirErr != nil:
			t.Fatalf("x/mod refuses what we take: %v: %q", theirErr, signed)
		case err == nil:
			if n.Text != string(Text(testOrigin, checkpoint)) {
				t.Errorf("x/mod reads %q, and we %v", n.Text, checkpoint)
			}
			for _, s := range []struct {
				key  keys.PublicKey
				line string
			}{{alice.public, "ed25519"}, {bruno.public, "P-256"}} {
				v, err := newVerifier(testOrigin, s.key)
				if err != nil {
					t.Fatal(err)
				}
				is := func(sig note.Signature) bool { return sig.Hash == v.id && sig.Name == testOrigin }
				if slices.Contains(ours, s.key) != slices.ContainsFunc(n.Sigs, is) {
					t.Errorf("%s: x/mod has %v, and we %v: %q", s.line, n.Sigs, ours, signed)
				}
			}
		case theirErr == nil:
			origin, _, _, notOurs := keys.ParseCheckpoint([]byte(n.Text))
			again := map[uint32]int{} // lines of one key
			for line := range strings.Lines(string(signed[len(n.Text):])) {
				if encoded, is := strings.CutPrefix(line, "— "+testOrigin+" "); is {
					if raw, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(encoded, "\n")); err == nil && len(raw) > 4 {
						again[binary.BigEndian.Uint32(raw)]++
					}
				}
			}
			more := slices.ContainsFunc(slices.Collect(maps.Values(again)), func(n int) bool { return n > 1 })
			if notOurs == nil && origin == testOrigin && !more {
				t.Errorf("x/mod takes what we refuse: %v: %q", err, signed)
			}
		}
	})
}
