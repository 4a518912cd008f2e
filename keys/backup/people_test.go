package backup

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// person is a recipient with the identity that opens its layers.
type person struct {
	*Recipient
	identity age.Identity
	text     string // of the identity file, where there is one
	touches  *int   // of a token
}

// meet makes a person of a kind.
func meet(t testing.TB, name string, kind keys.RecipientKind) person {
	t.Helper()
	var p person
	var text string
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	switch kind {
	case keys.RecipientX25519:
		id, err := age.GenerateX25519Identity()
		must(err)
		p.identity, p.text, text = id, id.String()+"\n", id.Recipient().String()
	case keys.RecipientHybrid:
		id, err := age.GenerateHybridIdentity()
		must(err)
		p.identity, p.text, text = id, id.String()+"\n", id.Recipient().String()
	case keys.RecipientToken:
		private, err := ecdh.P256().GenerateKey(rand.Reader)
		must(err)
		public := keys.PublicKey{Algorithm: keys.P256, Hex: hex.EncodeToString(private.PublicKey().Bytes())}
		text, err = keys.TokenRecipient(public)
		must(err)
		p.touches = new(int)
		p.identity, err = TokenIdentity(public, func(peer []byte) (*secret.Buffer, error) {
			*p.touches++
			point, err := ecdh.P256().NewPublicKey(peer)
			if err != nil {
				return nil, err
			}
			shared, err := private.ECDH(point)
			if err != nil {
				return nil, err
			}
			return secret.Take(shared)
		})
		must(err)
	case keys.RecipientHybridToken:
		private, err := hpke.MLKEM768P256().GenerateKey()
		must(err)
		r, err := tag.NewHybridRecipient(private.PublicKey().Bytes())
		must(err)
		p.identity, text = hybridToken{private}, r.String()
	case keys.RecipientSSH:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		must(err)
		p.identity, err = agessh.NewEd25519Identity(private)
		must(err)
		text = sshLine(private.Public().(ed25519.PublicKey)) + " " + name + "@example"
	case keys.RecipientPlugin:
		installPlugin(t)
		data := make([]byte, 16)
		_, _ = rand.Read(data[:15])
		text = plugin.EncodeRecipient("rctest", data)
		p.text = plugin.EncodeIdentity("rctest", data) + "\n"
		ids, err := readIdentities(buffer(t, p.text), nil)
		must(err)
		p.identity = ids[0]
	case keys.RecipientPassphrase:
		text, p.text = "passphrase", "correct horse battery "+name
		id, err := passphraseIdentity(buffer(t, p.text))
		must(err)
		p.identity = id
	}
	p.Recipient = parse(t, name, text)
	if kind == keys.RecipientPassphrase {
		must(p.setPassphrase(buffer(t, p.text)))
	}
	return p
}

func parse(t testing.TB, name, text string) *Recipient {
	t.Helper()
	r, err := keys.ParseRecipient(name, text)
	if err != nil {
		t.Fatal(err)
	}
	return &Recipient{Recipient: r}
}

func sshLine(public ed25519.PublicKey) string {
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"+string(public)))
}

// hybridToken is what a token that knows ML-KEM would be.
type hybridToken struct{ private hpke.PrivateKey }

func (h hybridToken) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != "mlkem768p256tag" {
			continue
		}
		enc, err := base64.RawStdEncoding.DecodeString(s.Args[1])
		if err != nil {
			return nil, err
		}
		opener, err := hpke.NewRecipient(enc, h.private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte("age-encryption.org/mlkem768p256tag"))
		if err != nil {
			return nil, err
		}
		if key, err := opener.Open(nil, s.Body); err == nil {
			return key, nil
		}
	}
	return nil, age.ErrIncorrectIdentity
}

var toolsMade string // the folder, to be removed

// tools builds age's own programs and the test plugin, once.
var tools = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "backup-tools-")
	if err != nil {
		return "", err
	}
	toolsMade = dir
	for _, from := range []string{"filippo.io/age/cmd/age", "filippo.io/age/cmd/age-plugin-batchpass", "./testdata/age-plugin-rctest"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, filepath.Base(from)), from)
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, &exec.Error{Name: from, Err: errorText(out)}
		}
	}
	return dir, nil
})

type errorText []byte

func (e errorText) Error() string { return string(e) }

func toolsDir(t testing.TB) string {
	t.Helper()
	dir, err := tools()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMain(m *testing.M) {
	code := m.Run()
	if toolsMade != "" {
		_ = os.RemoveAll(toolsMade)
	}
	os.Exit(code)
}

var setPath sync.Once

// installPlugin puts the test plugin into PATH, for the rest of the run.
func installPlugin(t testing.TB) {
	t.Helper()
	dir := toolsDir(t)
	setPath.Do(func() { _ = os.Setenv("PATH", dir+":"+os.Getenv("PATH")) })
}

func buffer(t testing.TB, text string) *secret.Buffer {
	t.Helper()
	b, err := secret.Take([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return b
}

// recipients are the people's.
func recipients(people []person) []*Recipient {
	var rs []*Recipient
	for _, p := range people {
		rs = append(rs, p.Recipient)
	}
	return rs
}

var alice = keys.Recipient{Name: "Alice", Slug: "alice"}

// openFile opens all layers, asking identity for each.
func openFile(f session.SealedFile, identity func(slug string) age.Identity) (*secret.Buffer, error) {
	layers, err := keys.Layers(f.Name)
	if err != nil {
		return nil, err
	}
	data := f.Data
	for _, l := range layers {
		id := identity(l.Who)
		if l.Inner == 0 {
			return Layer(l).Open(data, id)
		}
		if data, err = Layer(l).Peel(data, id); err != nil {
			return nil, err
		}
	}
	panic("unreachable: the last layer has none within")
}

// by finds people by slug.
func by(people []person) func(string) age.Identity {
	return func(slug string) age.Identity {
		for _, p := range people {
			if p.Slug == slug {
				return p.identity
			}
		}
		return nobody{}
	}
}

type nobody struct{}

func (nobody) Unwrap([]*age.Stanza) ([]byte, error) { return nil, age.ErrIncorrectIdentity }

// freshKey is a key, and its text as package keys writes it.
func freshKey(t testing.TB, algorithm keys.Algorithm) (keys.PublicKey, *secret.Buffer) {
	t.Helper()
	var private crypto.Signer
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if algorithm == keys.P256 {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.FromCrypto(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := buffer(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	t.Cleanup(text.Wipe)
	return public, text
}
