package backup

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

var update = flag.Bool("update", false, "write the test vectors again")

// passphrase of Fay, in the vectors.
const fay = "seven quiet horses wait"

// fixed are the people of the vectors: Bruno, Chen and Dana with the identities
// in testdata/identities, Fay with a passphrase.
func fixed(t *testing.T) (people []person) {
	t.Helper()
	for _, name := range []string{"bruno", "chen", "dana"} {
		file := filepath.Join("testdata", "identities", name+".txt")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := readIdentities(buffer(t, string(text)), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := parse(t, name, ids[0].(*age.X25519Identity).Recipient().String())
		people = append(people, person{Recipient: r, identity: ids[0]})
	}
	id, err := passphraseIdentity(buffer(t, fay))
	if err != nil {
		t.Fatal(err)
	}
	return append(people, person{Recipient: parse(t, "fay", "passphrase"), identity: id})
}

// Each folder of testdata/damaged holds one backup file, with one thing wrong,
// and the sentence it gets, in the file "want".
func TestDamaged(t *testing.T) {
	people := fixed(t)
	if *update {
		writeVectors(t, people)
	}
	folders, err := filepath.Glob("testdata/damaged/*")
	if err != nil || len(folders) < 20 {
		t.Fatalf("%d folders of vectors, %v", len(folders), err)
	}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.age"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", folder, files, err)
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(data)
		got, err := openFile(session.SealedFile{Name: filepath.Base(files[0]), Data: data}, by(people))
		if err == nil {
			t.Errorf("%s is opened: %d bytes", folder, got.Len())
			continue
		}
		if !bytes.Equal(data, before) {
			t.Errorf("%s: the file was changed in memory", folder)
		}
		if *update {
			if err := os.WriteFile(filepath.Join(folder, "want"), []byte(err.Error()+"\n"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, readErr := os.ReadFile(filepath.Join(folder, "want"))
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err.Error()+"\n" != string(want) {
			t.Errorf("%s: %v\nnot: %s", folder, err, want)
		}
		var damage *DamageError
		var wrong *WrongIdentityError
		if !errors.As(err, &damage) && !errors.As(err, &wrong) {
			t.Errorf("%s: %T", folder, err)
		}
	}
	// The whole file opens, so that the vectors fail for their own reasons.
	data, err := os.ReadFile("testdata/whole/bruno+chen.key.age")
	if err != nil {
		t.Fatal(err)
	}
	text, err := openFile(session.SealedFile{Name: "bruno+chen.key.age", Data: data}, by(people))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text.Bytes())
	if block == nil {
		t.Fatal("it holds no PEM")
	}
	if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		t.Error(err)
	}
}

// writeVectors makes the folders, from a file for Bruno and Chen.
func writeVectors(t *testing.T, people []person) {
	t.Helper()
	bruno, chen, dana := people[0].Recipient, people[1].Recipient, people[2].Recipient
	_, key := freshKey(t, keys.Ed25519)
	token := buffer(t, fmt.Sprintf("serial: 20456123\npuk: 12345678\nmanagement key (AES-256): %x\n", strings.Repeat("k", 32)))
	write := func(folder, name string, data []byte) {
		t.Helper()
		dir := filepath.Join("testdata", folder)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	sealed := func(text []byte, rs ...*Recipient) []byte {
		t.Helper()
		data, err := nest(text, rs)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	work := func(logN int, password string) []byte {
		t.Helper()
		r, err := age.NewScryptRecipient(password)
		if err != nil {
			t.Fatal(err)
		}
		r.SetWorkFactor(logN)
		var out bytes.Buffer
		w, err := age.Encrypt(&out, r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(key.Bytes())
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	const name = "bruno+chen.key.age"
	whole := sealed(key.Bytes(), bruno, chen)
	mac := bytes.Index(whole, []byte("\n--- ")) + 5
	header := mac + 43 + 1 // 32 bytes in base64, and the line's end
	body := bytes.Index(whole[len(intro):], []byte("\n")) + len(intro) + 1
	flip := func(at int) []byte {
		data := bytes.Clone(whole)
		data[at] ^= 1
		return data
	}
	swap := func(at int, with string) []byte {
		data := bytes.Clone(whole)
		if copy(data[at:], with); bytes.Equal(data, whole) {
			copy(data[at:], strings.ToUpper(with))
		}
		return data
	}
	damaged := func(folder, name string, data []byte) { t.Helper(); write("damaged/"+folder, name, data) }
	write("whole", name, whole)
	damaged("empty", name, nil)
	damaged("cut-in-intro", name, whole[:10])
	damaged("cut-after-intro", name, whole[:len(intro)])
	damaged("cut-in-stanza", name, whole[:60])
	damaged("cut-in-mac", name, whole[:mac+20])
	damaged("cut-in-nonce", name, whole[:header+8])
	damaged("cut-after-nonce", name, whole[:header+16])
	damaged("cut-in-payload", name, whole[:len(whole)-20])
	damaged("appended", name, append(bytes.Clone(whole), '\n'))
	damaged("bit-in-intro", name, flip(3))
	damaged("bit-in-stanza", name, swap(body+5, "a"))
	damaged("bit-in-stanza-type", name, flip(len(intro)+4))
	damaged("bit-in-arrow", name, flip(len(intro)))
	damaged("bit-in-mac", name, swap(mac+5, "a"))
	damaged("bit-in-nonce", name, flip(header+3))
	damaged("bit-in-payload", name, flip(header+40))
	damaged("bit-in-inner-layer", name, sealed(append(sealed(key.Bytes(), bruno), 0), chen))
	damaged("stanza-too-short", name, bytes.Replace(whole, whole[body:body+4], nil, 1))
	damaged("crlf", name, bytes.ReplaceAll(whole, []byte("\n"), []byte("\r\n")))
	damaged("renamed-other-people", "bruno+dana.key.age", whole)
	damaged("renamed-fewer-layers", name, sealed(key.Bytes(), chen))
	damaged("renamed-more-layers", "chen.key.age", sealed(key.Bytes(), bruno, chen))
	damaged("renamed-key-as-token", "bruno+chen.token.age", whole)
	damaged("renamed-token-as-key", name, sealed(token.Bytes(), bruno, chen))
	damaged("sealed-in-another-order", name, sealed(key.Bytes(), chen, bruno))
	damaged("wrong-inner-recipient", name, sealed(key.Bytes(), dana, chen))
	damaged("no-backup", "chen.key.age", sealed([]byte("hello"), chen))
	damaged("nothing-in-it", "chen.key.age", sealed(nil, chen))
	damaged("too-long-in-it", "chen.key.age", sealed(bytes.Repeat([]byte("x"), 1000), chen))
	damaged("passphrase-is-another", "fay.key.age", work(2, "another passphrase"))
	damaged("passphrase-not-an-identity", "chen.key.age", work(2, fay))
	damaged("passphrase-too-much-work", "fay.key.age", bytes.Replace(work(2, fay), []byte(" 2\n"), []byte(" 21\n"), 1))
	damaged("passphrase-and-more", "fay.key.age", bytes.Replace(work(2, fay), []byte("\n-> "), []byte("\n-> other\n\n-> "), 1))
	var text bytes.Buffer
	w := armor.NewWriter(&text)
	_, _ = w.Write(whole)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	damaged("armored", name, text.Bytes())
}

// Files larger than any backup are refused unread.
func TestTooLarge(t *testing.T) {
	bruno := meet(t, "Bruno", keys.RecipientX25519)
	data, err := sealTo(bruno.Recipient, make([]byte, maxFile))
	if err != nil {
		t.Fatal(err)
	}
	l := Layer{"bruno+chen.key.age", keys.BackupKey, "bruno", 1}
	var damage *DamageError
	if _, err := l.Peel(data, bruno.identity); !errors.As(err, &damage) || !strings.Contains(err.Error(), " bytes, more than any") {
		t.Error(err)
	}
}

// A layer is opened by the function for it, and no other.
func TestLayerOrder(t *testing.T) {
	bruno, chen := meet(t, "Bruno", keys.RecipientX25519), meet(t, "Chen", keys.RecipientX25519)
	_, text := freshKey(t, keys.Ed25519)
	files, err := seal(text, keys.BackupKey, alice, recipients([]person{bruno, chen}), 2)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := keys.Layers(files[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Layer(layers[0]).Open(files[0].Data, chen.identity); err == nil || !strings.Contains(err.Error(), "1 more within it") {
		t.Error(err)
	}
	inner, err := Layer(layers[0]).Peel(files[0].Data, bruno.identity, chen.identity)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Layer(layers[1]).Peel(inner, bruno.identity); err == nil || !strings.Contains(err.Error(), "last one") {
		t.Error(err)
	}
	if _, err := Layer(layers[1]).Open(inner); !errors.Is(err, age.ErrIncorrectIdentity) {
		t.Error(err)
	}
	// The secret itself is never taken for an age file.
	wrong := layers[1]
	wrong.Inner = 1
	if got, err := Layer(wrong).Peel(inner, bruno.identity); err == nil || got != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// Every single bit of a file is guarded: with any of them flipped it does not
// open, or the two layers say the same secret (which no bit allows).
func TestEveryBit(t *testing.T) {
	people := []person{meet(t, "Bruno", keys.RecipientX25519), meet(t, "Chen", keys.RecipientX25519)}
	_, text := freshKey(t, keys.Ed25519)
	files, err := seal(text, keys.BackupKey, alice, recipients(people), 2)
	if err != nil {
		t.Fatal(err)
	}
	f := files[0]
	for at := range f.Data {
		f.Data[at] ^= 1 << (at % 8)
		got, err := openFile(f, by(people))
		if err == nil {
			t.Errorf("with a bit of byte %d flipped it opens to %d bytes", at, got.Len())
		}
		f.Data[at] ^= 1 << (at % 8)
		if got, err := openFile(session.SealedFile{Name: f.Name, Data: f.Data[:at]}, by(people)); err == nil {
			t.Errorf("cut to %d bytes it opens to %d bytes", at, got.Len())
		}
	}
	if got, err := openFile(f, by(people)); err != nil || !secret.Equal(got, text) {
		t.Errorf("at last: %v", err)
	}
}

// FuzzOpenFile: no file but the one that was sealed opens to a secret.
func FuzzOpenFile(f *testing.F) {
	people := []person{meet(f, "Bruno", keys.RecipientX25519), meet(f, "Chen", keys.RecipientX25519)}
	_, text := freshKey(f, keys.Ed25519)
	files, err := seal(text, keys.BackupKey, alice, recipients(people), 2)
	if err != nil {
		f.Fatal(err)
	}
	name, sealed := files[0].Name, bytes.Clone(files[0].Data)
	f.Add(sealed)
	f.Add(sealed[:len(sealed)-1])
	f.Add([]byte(intro + "\n-> X25519 AAAA\nAAAA\n--- AAAA\n"))
	f.Add([]byte(intro))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := openFile(session.SealedFile{Name: name, Data: data}, by(people))
		if err == nil && !bytes.Equal(data, sealed) {
			t.Fatalf("%q opens to %d bytes", data, got.Len())
		}
		if err == nil {
			got.Wipe()
		}
	})
}
