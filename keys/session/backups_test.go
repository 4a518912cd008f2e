package session_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"filippo.io/age"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

// sealing is what the child of these tests is told to seal with: one file for
// each recipient, and one for each passphrase.
type sealing struct {
	Recipients []string `json:"recipients"`
	Fault      string   `json:"fault,omitempty"` // of the sealer, at the root key
}

func seal(order json.RawMessage, passphrases []*secret.Buffer, what string, plaintext *secret.Buffer) ([]session.SealedFile, error) {
	var with sealing
	if err := json.Unmarshal(order, &with); err != nil {
		return nil, err
	}
	if what == keys.BackupKey {
		switch with.Fault {
		case "fails":
			return nil, errors.New("the plugin is gone")
		case "none":
			return nil, nil
		case "many":
			return make([]session.SealedFile, 101), nil
		case "large":
			return []session.SealedFile{{Name: "large", Data: make([]byte, 1<<20)}}, nil
		}
	}
	var to []age.Recipient
	for _, text := range with.Recipients {
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return nil, err
		}
		to = append(to, r)
	}
	for _, p := range passphrases {
		r, err := age.NewScryptRecipient(string(p.Bytes()))
		if err != nil {
			return nil, err
		}
		r.SetWorkFactor(10)
		to = append(to, r)
	}
	var files []session.SealedFile
	for i, r := range to {
		var sealed bytes.Buffer
		w, err := age.Encrypt(&sealed, r)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(plaintext.Bytes()); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		files = append(files, session.SealedFile{Name: fmt.Sprintf("%d.%s.age", i, what), Data: sealed.Bytes()})
	}
	return files, nil
}

// unseal opens by an identity, a passphrase, or a token: of that it is the
// other side's point and AES-GCM under the hash of the shared secret.
func unseal(order json.RawMessage, secrets []*secret.Buffer, token *session.AgeToken, ciphertext []byte) (session.Unsealed, error) {
	text, err := unsealText(order, secrets, token, ciphertext)
	return session.Unsealed{Secret: text}, err
}

func unsealText(order json.RawMessage, secrets []*secret.Buffer, token *session.AgeToken, ciphertext []byte) (*secret.Buffer, error) {
	if token != nil {
		return unsealByToken(token, ciphertext)
	}
	if len(secrets) != 1 {
		return nil, fmt.Errorf("%d secrets", len(secrets))
	}
	var identity age.Identity
	var err error
	if string(order) == `"passphrase"` {
		identity, err = age.NewScryptIdentity(string(secrets[0].Bytes()))
	} else {
		identity, err = age.ParseX25519Identity(string(secrets[0].Bytes()))
	}
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(ciphertext), identity)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return secret.Take(text)
}

func unsealByToken(token *session.AgeToken, ciphertext []byte) (*secret.Buffer, error) {
	shared, err := token.ECDH(ciphertext[:65])
	if err != nil {
		if _, again := token.ECDH(ciphertext[:65]); again == nil {
			return nil, errors.New("a second try")
		}
		return nil, errors.New("no identity matched any of the recipients") // as age might
	}
	defer shared.Wipe()
	text, err := tokenCipher(shared.Bytes()).Open(nil, make([]byte, 12), ciphertext[65:], nil)
	if err != nil {
		return nil, err
	}
	return secret.Take(text)
}

func tokenCipher(shared []byte) cipher.AEAD {
	key := sha256.Sum256(shared)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// sealForToken seals for the age key of a token. shared is the secret that the
// token will agree on.
func sealForToken(t *testing.T, public keys.PublicKey, text []byte) (ciphertext, shared []byte) {
	t.Helper()
	raw, err := hex.DecodeString(public.Hex)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ecdh.P256().NewPublicKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if shared, err = ephemeral.ECDH(point); err != nil {
		t.Fatal(err)
	}
	return tokenCipher(shared).Seal(ephemeral.PublicKey().Bytes(), make([]byte, 12), text, nil), shared
}

// mortal is a token whose child, or which itself, is gone at a command.
type mortal struct {
	session.Token
	kind string // before, after: the child dies; remove, remove-after: the token is pulled out
	left *int   // commands until then
}

func (m *mortal) step(do func() error) error {
	*m.left--
	switch {
	case m.kind == "before" && *m.left == 0:
		os.Exit(9)
	case m.kind == "remove" && *m.left <= 0, m.kind == "remove-after" && *m.left < 0:
		return keys.ErrRemoved
	}
	err := do()
	switch {
	case m.kind == "after" && *m.left == 0:
		os.Exit(9)
	case m.kind == "remove-after" && *m.left == 0:
		return keys.ErrRemoved
	}
	return err
}

func (m *mortal) Info() (i keys.Info, err error) {
	err = m.step(func() error { i, err = m.Token.Info(); return err })
	return i, err
}

func (m *mortal) ChangePUK(old, new *secret.Buffer) error {
	return m.step(func() error { return m.Token.ChangePUK(old, new) })
}

func (m *mortal) SetManagement(old, new *secret.Buffer) error {
	return m.step(func() error { return m.Token.SetManagement(old, new) })
}

func (m *mortal) Generate(management *secret.Buffer, s keys.Slot, a keys.Algorithm, p keys.Policy) (public keys.PublicKey, err error) {
	err = m.step(func() error { public, err = m.Token.Generate(management, s, a, p); return err })
	return public, err
}

func (m *mortal) Import(management *secret.Buffer, s keys.Slot, a keys.Algorithm, seed *secret.Buffer, p keys.Policy) error {
	return m.step(func() error { return m.Token.Import(management, s, a, seed, p) })
}

type mortalOpener struct {
	session.Opener
	kind string
	left *int
}

func (o mortalOpener) Open(serial uint32) (session.Token, error) {
	token, err := o.Opener.Open(serial)
	if err != nil {
		return nil, err
	}
	return &mortal{token, o.kind, o.left}, nil
}

// dying is a writer that ends the process at a write.
type dying struct {
	io.Writer
	left int
}

func (d *dying) Write(p []byte) (int, error) {
	if d.left--; d.left == 0 {
		os.Exit(9)
	}
	return d.Writer.Write(p)
}

// mortally is how the child of a sweep serves: fault is "kind:n".
func mortally(fault string, in io.Reader, out io.Writer, backups session.Backups) error {
	kind, number, _ := strings.Cut(fault, ":")
	n := 0
	if _, err := fmt.Sscan(number, &n); err != nil {
		return err
	}
	if kind == "write" {
		return session.Serve(in, &dying{out, n}, virtual.Open, backups)
	}
	return session.Serve(in, out, func(b session.Backend) (session.Opener, error) {
		opener, err := virtual.Open(b)
		return mortalOpener{opener, kind, &n}, err
	}, backups)
}

// safe is where the files of an attempt are stored, and who opens them.
type safe struct {
	identity *age.X25519Identity
	files    map[string][]session.SealedFile // by what
	order    []string
	public   keys.PublicKey // with what was stored last
}

func newSafe(t testing.TB) *safe {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &safe{identity: identity, files: map[string][]session.SealedFile{}}
}

func (s *safe) seal(fault string) json.RawMessage {
	order, err := json.Marshal(sealing{[]string{s.identity.Recipient().String()}, fault})
	if err != nil {
		panic(err)
	}
	return order
}

func (s *safe) store(sealed session.Sealed) error {
	s.order = append(s.order, sealed.What)
	s.files[sealed.What] = sealed.Files
	s.public = sealed.Public
	return nil
}

// open returns the text in a stored file.
func (s *safe) open(t testing.TB, what string) []byte {
	t.Helper()
	if len(s.files[what]) == 0 {
		t.Fatalf("no %s backup is stored", what)
	}
	r, err := age.Decrypt(bytes.NewReader(s.files[what][0].Data), s.identity)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// key is the stored root key, as openssl would read it.
func (s *safe) key(t testing.TB) (public keys.PublicKey, private crypto.PrivateKey) {
	t.Helper()
	text := s.open(t, keys.BackupKey)
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 || !bytes.Equal(pem.EncodeToMemory(block), text) {
		t.Fatalf("the key's backup holds %q", text)
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	public, err = keys.FromCrypto(private.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

var tokenForm = regexp.MustCompile(`^serial: (\d+)\npuk: (\d{8})\nmanagement key \(AES-256\): ([0-9a-f]{64})\n$`)

// access are the stored PUK and management key.
func (s *safe) access(t testing.TB, serial uint32) (puk string, management []byte) {
	t.Helper()
	parts := tokenForm.FindSubmatch(s.open(t, keys.BackupToken))
	if parts == nil || string(parts[1]) != fmt.Sprint(serial) || string(parts[2]) == session.DefaultPUK {
		t.Fatal("the token's backup has another form, or another serial")
	}
	management, err := hex.DecodeString(string(parts[3]))
	if err != nil {
		t.Fatal(err)
	}
	return string(parts[2]), management
}

// opens proves that the stored PUK and management key are the token's, which
// no session may hold.
func (s *safe) opens(t testing.TB, b session.Backend, serial uint32, info keys.Info) {
	t.Helper()
	opener, err := virtual.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	token, err := opener.Open(serial)
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	if info.PUKDefault && info.ManagementDefault {
		return
	}
	puk, management := s.access(t, serial)
	if !info.PUKDefault {
		if err := token.Unblock(pin(t, puk), pin(t, "482913")); err != nil {
			t.Errorf("the sealed PUK: %v", err)
		}
	}
	if !info.ManagementDefault {
		if err := token.SetManagement(pin(t, string(management)), pin(t, string(management))); err != nil {
			t.Errorf("the sealed management key: %v", err)
		}
	}
}

func prepared(t testing.TB, p session.Program, b session.Backend, serial uint32) (*session.Session, session.Prepared) {
	t.Helper()
	s := start(t, p, b, serial)
	made, err := s.Prepare(pin(t, "482913"))
	if err != nil {
		t.Fatal(err)
	}
	return s, made
}

// listed is what a token says while another session has it.
func listed(t testing.TB, b session.Backend, serial uint32) keys.Info {
	t.Helper()
	s, err := program().Start(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tokens, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(tokens, func(i keys.Info) bool { return i.Serial == serial })
	return tokens[i]
}

// ownMemory is a copy of what this process can write to, without pages of
// zeros. It is in a file, as it would otherwise become part of what the next
// test looks at.
func ownMemory(t *testing.T) []byte {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "memory"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out, size := bufio.NewWriter(file), 0
	page, zeros := make([]byte, 4096), make([]byte, 4096)
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") || to-from > 1<<30 { // the race detector's
			continue
		}
		for ; from < to; from += int64(len(page)) {
			if _, err := mem.ReadAt(page, from); err == nil && !bytes.Equal(page, zeros) {
				n, _ := out.Write(page) // Flush has the error
				size += n
			}
		}
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	all, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(all) })
	return all
}

// A root key is made in the child, sealed, stored and imported, on a second
// token too; until all is stored the token stays as it is; and this process
// never has a secret of it.
func TestBackedUp(t *testing.T) {
	for _, algorithm := range []keys.Algorithm{keys.Ed25519, keys.P256, keys.P384} {
		t.Run(string(algorithm), func(t *testing.T) {
			d, serial, b := drawer(t, virtual.Options{Button: virtual.ButtonAuto})
			spare, err := d.Add("A-02", virtual.Options{Button: virtual.ButtonAuto})
			if err != nil {
				t.Fatal(err)
			}
			b.Plugged = append(b.Plugged, spare)
			record := filepath.Join(t.TempDir(), "record")
			s, _ := prepared(t, program("RECORD="+record), b, serial)
			before := listed(t, b, serial)
			kept := newSafe(t)
			order := session.RootKeyOrder{
				Algorithm: algorithm, Touch: keys.TouchCached, From: keys.FromSession, Seal: kept.seal(""),
				Passphrases: []*secret.Buffer{pin(t, "correct horse battery staple")},
				Entropy:     []*secret.Buffer{pin(t, "6 1 2 5 3 3 4"), pin(t, "a long throw")},
			}
			public, err := s.MakeRootKey(order, func(sealed session.Sealed) error {
				what, files := sealed.What, sealed.Files
				if now := listed(t, b, serial); !reflect.DeepEqual(now, before) {
					t.Errorf("when the %s is stored, %+v has become %+v", what, before, now)
				}
				if len(files) != 2 || files[0].Name != "0."+what+".age" || files[1].Name != "1."+what+".age" {
					t.Errorf("%d files for the %s", len(files), what)
				}
				return kept.store(sealed)
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(kept.order, []string{keys.BackupToken, keys.BackupKey}) {
				t.Errorf("stored %v", kept.order)
			}
			memory := ownMemory(t)

			want := keys.SlotKey{Slot: keys.SlotRoot, Public: public, Policy: keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchCached}}
			sealed, private := kept.key(t)
			if sealed != public || kept.public != public || public.Algorithm != algorithm {
				t.Errorf("imported %v, and %v is in the backup", public, sealed)
			}
			second := newSafe(t)
			both := map[uint32]*safe{serial: kept, spare: second}
			if err := s.Select(spare); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Prepare(pin(t, "482913")); err != nil {
				t.Fatal(err)
			}
			order = session.RootKeyOrder{Algorithm: algorithm, Touch: keys.TouchCached, From: keys.FromHeld, Seal: second.seal("")}
			if again, err := s.MakeRootKey(order, second.store); err != nil || again != public || !slices.Equal(second.order, []string{keys.BackupToken}) {
				t.Fatalf("the spare: %v, %v, stored %v", again, err, second.order)
			}
			for at := range both {
				if err := s.Select(at); err != nil {
					t.Fatal(err)
				}
				info, err := s.Info()
				if k, _ := info.Key(keys.SlotRoot); err != nil || k != want || info.PUKDefault || info.ManagementDefault {
					t.Errorf("token %d: %+v, %v", at, info, err)
				}
				signature, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, "482913"), []byte("m"), touchNow)
				if err != nil {
					t.Fatal(err)
				}
				if err := public.Verify([]byte("m"), signature); err != nil {
					t.Errorf("token %d: %v", at, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for at, kept := range both {
				kept.opens(t, b, at, keys.Info{})
			}
			puk, management := kept.access(t, serial)
			if other, _ := second.access(t, spare); other == puk {
				t.Error("both tokens have the same PUK")
			}

			pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
			if err != nil {
				t.Fatal(err)
			}
			seed := pkcs8[16:48] // ed25519
			if algorithm != keys.Ed25519 {
				seed = pkcs8[bytes.Index(pkcs8, []byte{2, 1, 1, 4})+5:][:32]
			}
			pipes, err := os.ReadFile(record + ".out")
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string][]byte{"seed": seed, "management key": management, "PUK": []byte("puk: " + puk)} {
				for _, form := range [][]byte{value, []byte(hex.EncodeToString(value)), []byte(base64.StdEncoding.EncodeToString(value))} {
					if bytes.Contains(memory, form) {
						t.Errorf("the %s is in this process's memory", name)
					}
					if bytes.Contains(pipes, form) {
						t.Errorf("the %s crosses the pipe", name)
					}
				}
			}
			if !bytes.Contains(memory, []byte(public.Hex)) {
				t.Error("the memory was not searched: it lacks the public key")
			}
		})
	}
}

// When a file cannot be stored the session ends, and the token is as before: the
// next attempt needs no reset.
func TestStoreFails(t *testing.T) {
	for _, failing := range []string{keys.BackupToken, keys.BackupKey} {
		_, serial, b := drawer(t, virtual.Options{})
		s, _ := prepared(t, program(), b, serial)
		before := listed(t, b, serial)
		kept, full := newSafe(t), errors.New("the disk is full")
		order := session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromSession, Seal: kept.seal("")}
		_, err := s.MakeRootKey(order, func(sealed session.Sealed) error {
			if sealed.What == failing {
				return full
			}
			return nil
		})
		if err != full {
			t.Errorf("%s: %v", failing, err)
		}
		if _, err := s.Info(); err == nil {
			t.Errorf("%s: the session goes on", failing)
		}
		s = start(t, program(), b, serial)
		if info, err := s.Info(); err != nil || !reflect.DeepEqual(info, before) {
			t.Errorf("%s: %+v became %+v, %v", failing, before, info, err)
		}
		if public, err := s.MakeRootKey(order, kept.store); err != nil {
			t.Errorf("%s: the next attempt: %v", failing, err)
		} else if sealed, _ := kept.key(t); sealed != public {
			t.Errorf("%s: another key is sealed", failing)
		}
	}
}

// What cannot be done is refused before anything is changed, and the session
// goes on.
func TestRefusedOrders(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	s, _ := prepared(t, program(), b, serial)
	before, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	kept := newSafe(t)
	good := session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromSession, Seal: kept.seal("")}
	for _, c := range []struct {
		name string
		edit func(*session.RootKeyOrder)
		want string
	}{
		{"no backups", func(o *session.RootKeyOrder) { o.Seal = nil }, "backed up first"},
		{"no key", func(o *session.RootKeyOrder) { o.From = keys.FromHeld }, "open its backup first"},
		{"nowhere", func(o *session.RootKeyOrder) { o.From = "paper" }, `a root key from "paper"`},
		{"unused entropy", func(o *session.RootKeyOrder) { o.From, o.Entropy = keys.FromToken, []*secret.Buffer{pin(t, "66")} }, "extra entropy"},
		{"no JSON", func(o *session.RootKeyOrder) { o.Seal = json.RawMessage("{") }, "unexpected end of JSON"},
		{"a long secret", func(o *session.RootKeyOrder) { o.Entropy = []*secret.Buffer{pin(t, strings.Repeat("6", 16<<10+1))} }, "16385 bytes is too long"},
		{"many secrets", func(o *session.RootKeyOrder) { o.Entropy = make([]*secret.Buffer, 102) }, "102 secrets are too many"},
		{"the sealer fails", func(o *session.RootKeyOrder) { o.Seal = kept.seal("fails") }, "seal the key backup: the plugin is gone"},
		{"nothing is sealed", func(o *session.RootKeyOrder) { o.Seal = kept.seal("none") }, "0 files"},
		{"too many files", func(o *session.RootKeyOrder) { o.Seal = kept.seal("many") }, "101 files"},
		{"a large file", func(o *session.RootKeyOrder) { o.Seal = kept.seal("large") }, "hand over the sealed file large"},
		{"an algorithm", func(o *session.RootKeyOrder) { o.Algorithm = "rsa" }, `"rsa"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			order := good
			c.edit(&order)
			if _, err := s.MakeRootKey(order, kept.store); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
			if info, err := s.Info(); err != nil || !reflect.DeepEqual(info, before) {
				t.Errorf("%+v became %+v, %v", before, info, err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, program("NOBACKUPS=1"), b, serial)
	if _, err := s.MakeRootKey(good, kept.store); err == nil || !strings.Contains(err.Error(), "seals no backups") {
		t.Errorf("without a sealer: %v", err)
	}
	if _, err := s.OpenBackup(t.Context(), session.BackupOrder{}, nil); err == nil || !strings.Contains(err.Error(), "opens no backups") {
		t.Errorf("without an unsealer: %v", err)
	}
	// Who seals must store.
	s = start(t, program(), b, closed(t, s, serial))
	if _, err := s.MakeRootKey(good, nil); err == nil || !strings.Contains(err.Error(), "makes no sense") {
		t.Errorf("without a store: %v", err)
	}
	if info := listed(t, b, serial); !reflect.DeepEqual(info, before) {
		t.Errorf("without a store: %+v became %+v", before, info)
	}
}

func closed(t testing.TB, s *session.Session, serial uint32) uint32 {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return serial
}

// Wherever the child dies or the token is pulled out: no PUK or management key
// that is set and not sealed, no key that is imported and not backed up. Where
// the token is as before, the next attempt needs no reset.
func TestSweep(t *testing.T) {
	for _, from := range []keys.Origin{keys.FromSession, keys.FromToken} {
		for _, kind := range []string{"before", "after", "remove", "remove-after", "write"} {
			t.Run(fmt.Sprintf("%s %s", from, kind), func(t *testing.T) {
				t.Parallel()
				n := 1
				for ; n < 100 && cutShort(t, from, fmt.Sprintf("%s:%d", kind, n)); n++ {
				}
				if n < 5 || n == 100 {
					t.Errorf("over after %d", n)
				}
			})
		}
	}
}

// cutShort makes a root key with a fault; false: it was made before that came.
func cutShort(t *testing.T, from keys.Origin, fault string) bool {
	_, serial, b := drawer(t, virtual.Options{Button: virtual.ButtonAuto})
	s, _ := prepared(t, program(), b, serial)
	before, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	kept := newSafe(t)
	order := session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: from, Seal: kept.seal("")}
	s, failed := program("DIE="+fault).Start(t.Context(), b)
	var public keys.PublicKey
	if failed == nil {
		if failed = s.Select(serial); failed == nil {
			public, failed = s.MakeRootKey(order, kept.store)
		}
		_ = s.Close()
	}
	if failed != nil && !is[*keys.EndedError](failed) && !errors.Is(failed, keys.ErrRemoved) {
		t.Errorf("%s: %v", fault, failed)
	}

	s = start(t, program(), b, serial)
	info, err := s.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.PINTries != 5 || info.PUKTries != 5 {
		t.Errorf("%s: tries were wasted: %+v", fault, info)
	}
	if reflect.DeepEqual(info, before) {
		if _, err := s.MakeRootKey(order, kept.store); err != nil {
			t.Errorf("%s: the next attempt: %v", fault, err)
		}
		if info, err = s.Info(); err != nil {
			t.Fatal(err)
		}
	}
	if _, found := info.Key(keys.SlotRoot); !found {
		if info, err = goOn(t, s, kept, order); err != nil {
			t.Errorf("%s: going on: %v", fault, err)
		}
	}
	_ = s.Close()
	kept.opens(t, b, serial, info)
	k, found := info.Key(keys.SlotRoot)
	if found && (info.PUKDefault || info.ManagementDefault) {
		t.Errorf("%s: a root key before PUK and management key: %+v", fault, info)
	}
	if found && from == keys.FromSession {
		if sealed, _ := kept.key(t); sealed != k.Public {
			t.Errorf("%s: imported is %v, and sealed %v", fault, k.Public, sealed)
		}
	}
	if failed == nil && k.Public != public {
		t.Errorf("%s: %v was made, and the token has %v", fault, public, k.Public)
	}
	return failed != nil
}

// goOn makes the root key of a token that has its PUK, with what was sealed.
func goOn(t *testing.T, s *session.Session, kept *safe, order session.RootKeyOrder) (keys.Info, error) {
	for _, files := range kept.files {
		backup := session.BackupOrder{Ciphertext: files[0].Data, Secrets: []*secret.Buffer{pin(t, kept.identity.String())}}
		if _, err := s.OpenBackup(t.Context(), backup, nil); err != nil {
			return keys.Info{}, err
		}
	}
	if order.From == keys.FromSession {
		order.From = keys.FromHeld
	}
	_, err := s.MakeRootKey(order, func(session.Sealed) error { return errors.New("sealed again") })
	if err != nil {
		return keys.Info{}, err
	}
	return s.Info()
}

// The PUK of an attempt before a reset is not the token's, and is not taken for
// it.
func TestGoOnWithAnotherPUK(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	var attempts []*safe
	for range 2 {
		s := start(t, program(), b, serial)
		if err := s.Reset(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prepare(pin(t, "482913")); err != nil {
			t.Fatal(err)
		}
		kept := newSafe(t)
		order := session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken, Seal: kept.seal("")}
		s = start(t, program("DIE=remove-after:3"), b, closed(t, s, serial)) // Info, Info, the PUK
		if _, err := s.MakeRootKey(order, kept.store); !errors.Is(err, keys.ErrRemoved) {
			t.Fatal(err)
		}
		closed(t, s, serial)
		attempts = append(attempts, kept)
	}
	s := start(t, program(), b, serial)
	before, err := s.Info()
	if err != nil || before.PUKDefault || !before.ManagementDefault {
		t.Fatalf("%+v, %v", before, err)
	}
	order := session.RootKeyOrder{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, From: keys.FromToken, Seal: attempts[0].seal("")}
	if _, err := s.MakeRootKey(order, attempts[0].store); !is[*keys.NotFreshError](err) {
		t.Errorf("without the backup: %v", err)
	}
	var pinError *keys.PINError
	if _, err := goOn(t, s, attempts[0], order); !errors.As(err, &pinError) || !pinError.PUK || pinError.TriesLeft != 4 {
		t.Errorf("with the PUK of before: %v", err)
	}
	if now, err := s.Info(); err != nil || !now.ManagementDefault || len(now.Keys) != 2 {
		t.Errorf("afterwards: %+v, %v", now, err)
	}
	if info, err := goOn(t, s, attempts[1], order); err != nil || info.ManagementDefault || len(info.Keys) != 3 {
		t.Errorf("with its own: %+v, %v", info, err)
	}
}

// The drill, the restore and the way out of a forgotten PIN.
func TestOpenBackup(t *testing.T) {
	d, serial, b := drawer(t, virtual.Options{})
	fresh, err := d.Add("A-02", virtual.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.Plugged = append(b.Plugged, fresh)
	s, made := prepared(t, program(), b, serial)
	kept := newSafe(t)
	passphrase := pin(t, "correct horse battery staple")
	order := session.RootKeyOrder{
		Algorithm: keys.Ed25519, Touch: keys.TouchNever, From: keys.FromSession, Seal: kept.seal(""), Passphrases: []*secret.Buffer{passphrase},
	}
	public, err := s.MakeRootKey(order, kept.store)
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, program(), b, closed(t, s, serial))
	identity := pin(t, kept.identity.String())
	key, token := kept.files[keys.BackupKey], kept.files[keys.BackupToken]
	forToken, _ := sealForToken(t, made.Age, kept.open(t, keys.BackupKey))
	byIdentity := func(ciphertext []byte) session.BackupOrder {
		return session.BackupOrder{Ciphertext: ciphertext, Secrets: []*secret.Buffer{identity}}
	}
	byPIN := func(text string) session.BackupOrder {
		return session.BackupOrder{Ciphertext: forToken, PIN: pin(t, text)}
	}

	touched := 0
	for name, order := range map[string]session.BackupOrder{
		"identity":   byIdentity(key[0].Data),
		"passphrase": {Ciphertext: key[1].Data, Open: json.RawMessage(`"passphrase"`), Secrets: []*secret.Buffer{passphrase}},
		"token":      byPIN("482913"),
	} {
		opened, err := s.OpenBackup(t.Context(), order, func(context.Context) error { touched++; return nil })
		if err != nil || !reflect.DeepEqual(opened, session.Opened{What: keys.BackupKey, Public: public}) {
			t.Errorf("%s: %+v, %v", name, opened, err)
		}
	}
	if touched != 1 {
		t.Errorf("touched %d times", touched)
	}
	var pinError *keys.PINError
	if _, err := s.OpenBackup(t.Context(), byPIN("111111"), touchNow); !errors.As(err, &pinError) || pinError.TriesLeft != 4 {
		t.Errorf("a wrong PIN: %v", err)
	}
	stranger := newSafe(t)
	if _, err := s.OpenBackup(t.Context(), session.BackupOrder{Ciphertext: key[0].Data, Secrets: []*secret.Buffer{pin(t, stranger.identity.String())}}, nil); err == nil ||
		!strings.Contains(err.Error(), "open the backup: ") {
		t.Errorf("another's identity: %v", err)
	}
	if err := s.UnblockFromBackup(pin(t, "591604")); err == nil || !strings.Contains(err.Error(), "open its backup first") {
		t.Errorf("unblocked without a backup: %v", err)
	}
	opened, err := s.OpenBackup(t.Context(), byIdentity(token[0].Data), nil)
	if err != nil || !reflect.DeepEqual(opened, session.Opened{What: keys.BackupToken, Serial: serial}) {
		t.Errorf("PUK and management key: %+v, %v", opened, err)
	}

	// The PIN is forgotten.
	for range 5 {
		_ = s.CheckPIN(pin(t, "000000"))
	}
	if err := s.CheckPIN(pin(t, "482913")); !errors.As(err, &pinError) || pinError.TriesLeft != 0 {
		t.Errorf("blocked: %v", err)
	}
	if err := s.UnblockFromBackup(pin(t, "12345")); !is[*keys.PINFormatError](err) {
		t.Errorf("unblocked with a short PIN: %v", err)
	}
	if err := s.UnblockFromBackup(pin(t, "591604")); err != nil {
		t.Error(err)
	}
	if err := s.CheckPIN(pin(t, "591604")); err != nil {
		t.Error(err)
	}

	// The token is lost.
	if err := s.Select(fresh); err != nil {
		t.Fatal(err)
	}
	if err := s.UnblockFromBackup(pin(t, "591604")); !is[*keys.SerialError](err) {
		t.Errorf("another token unblocked: %v", err)
	}
	if _, err := s.Prepare(pin(t, "770135")); err != nil {
		t.Fatal(err)
	}
	second := newSafe(t)
	order = session.RootKeyOrder{Algorithm: keys.P256, Touch: keys.TouchNever, From: keys.FromHeld, Seal: second.seal("")}
	if _, err := s.MakeRootKey(order, second.store); err == nil || !strings.Contains(err.Error(), "is of the kind ed25519, not ecdsa-p256") {
		t.Errorf("another algorithm: %v", err)
	}
	order.Algorithm = keys.Ed25519
	if restored, err := s.MakeRootKey(order, second.store); err != nil || restored != public {
		t.Fatalf("restored %v, %v", restored, err)
	}
	signature, err := s.Sign(t.Context(), keys.SlotRoot, pin(t, "770135"), []byte("m"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify([]byte("m"), signature); err != nil {
		t.Error(err)
	}
	second.opens(t, b, closed(t, s, fresh), keys.Info{})
}

// Texts that are not ours are refused, and nothing of them is shown.
func TestOpenedTexts(t *testing.T) {
	_, serial, b := drawer(t, virtual.Options{})
	s := start(t, program(), b, serial)
	kept := newSafe(t)
	_, private, err := newKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	token := "serial: 5\npuk: 31415926\nmanagement key (AES-256): " + strings.Repeat("0a", 32) + "\n"
	for name, text := range map[string]string{
		"nothing":            "",
		"words":              "hello, world",
		"a certificate":      strings.ReplaceAll(key, "PRIVATE KEY", "CERTIFICATE"),
		"half a key":         key[:60],
		"a longer key":       key + "\n",
		"key on one line":    strings.Replace(key, "\n-----END", "-----END", 1),
		"another public key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: append(slices.Clone(der[:len(der)-1]), der[len(der)-1]^1)})),
		"a letter":           strings.Replace(key, "M", "!", 1),
		"two lines":          token[:strings.Index(token, "management")],
		"four lines":         token + "more\n",
		"a short PUK":        strings.Replace(token, "31415926", "3141592", 1),
		"capitals":           strings.ReplaceAll(token, "0a", "0A"),
		"an odd key":         strings.Replace(token, "0a0a", "0a0", 1),
		"no serial":          strings.Replace(token, "serial: 5", "serial: x", 1),
		"a signed serial":    strings.Replace(token, "serial: 5", "serial: +5", 1),
		"a large serial":     strings.Replace(token, "serial: 5", "serial: 4294967296", 1),
	} {
		t.Run(name, func(t *testing.T) {
			opened, err := s.OpenBackup(t.Context(), session.BackupOrder{Ciphertext: kept.sealText(t, text), Secrets: []*secret.Buffer{pin(t, kept.identity.String())}}, nil)
			if err == nil || !strings.Contains(err.Error(), "the backup opened, but") || strings.Contains(err.Error(), "31415") {
				t.Errorf("%+v, %v", opened, err)
			}
		})
	}
	for what, text := range map[string]string{keys.BackupKey: key, keys.BackupToken: token} {
		opened, err := s.OpenBackup(t.Context(), session.BackupOrder{Ciphertext: kept.sealText(t, text), Secrets: []*secret.Buffer{pin(t, kept.identity.String())}}, nil)
		if err != nil || opened.What != what {
			t.Errorf("%s: %+v, %v", what, opened, err)
		}
	}
}

func (s *safe) sealText(t *testing.T, text string) []byte {
	t.Helper()
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, s.identity.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return sealed.Bytes()
}
