package backup

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// sshKey makes an OpenSSH private key file with ssh-keygen.
func sshKey(t *testing.T, kind, passphrase string) (private, public string) {
	t.Helper()
	program, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	file := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command(program, "-q", "-t", kind, "-N", passphrase, "-C", "a comment", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return string(text), strings.TrimSpace(string(line))
}

func TestIdentities(t *testing.T) {
	x, pq, plug := meet(t, "X", keys.RecipientX25519), meet(t, "PQ", keys.RecipientHybrid), meet(t, "Plug", keys.RecipientPlugin)
	file := "# of three kinds\r\n\n" + x.text + pq.text + strings.TrimSuffix(plug.text, "\n")
	ids, err := readIdentities(buffer(t, file), nil)
	if err != nil || len(ids) != 3 {
		t.Fatalf("%d identities, %v", len(ids), err)
	}
	for i, p := range []person{x, pq, plug} {
		sealed, want, err := Challenge(p.Recipient)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := answer(p.Slug, sealed, ids[i]); err != nil || got != want {
			t.Errorf("%s: %q, %v", p.Kind, got, err)
		}
		if got, err := answer(p.Slug, sealed, ids...); err != nil || got != want {
			t.Errorf("%s among all: %q, %v", p.Kind, got, err)
		}
	}
}

func TestIdentitiesSSH(t *testing.T) {
	private, public := sshKey(t, "ed25519", "")
	r := parse(t, "Dana", public)
	ids, err := readIdentities(buffer(t, private), nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, want, err := Challenge(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := answer("dana", sealed, ids...); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	locked, _ := sshKey(t, "ed25519", "a passphrase")
	rsa, rsaPublic := sshKey(t, "rsa", "")
	for text, want := range map[string]string{
		locked: "with a passphrase, which is not supported", rsa: "of another kind than ed25519", private[:200]: "no whole SSH key",
		"-----BEGIN PRIVATE KEY-----\n": "no OpenSSH private key",
	} {
		t.Run(want, func(t *testing.T) {
			if _, err := readIdentities(buffer(t, text), nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v: not %q", err, want)
			}
		})
	}
	if _, err := keys.ParseRecipient("Dana", rsaPublic); err == nil || !strings.Contains(err.Error(), "is an ssh-rsa key, which is not accepted") {
		t.Error(err)
	}
}

func TestIdentitiesRefuses(t *testing.T) {
	x := meet(t, "X", keys.RecipientX25519)
	for text, want := range map[string]string{
		"":                                        "holds no identity",
		"# only a comment\n":                      "holds no identity",
		"# a comment\n" + x.Text + "\n":           "line 2 of the identity file is a recipient",
		"ssh-ed25519 AAAA\n":                      "line 1 of the identity file is a recipient",
		"hunter2\n":                               "line 1 of the identity file is no age identity",
		x.text[:40] + "\n":                        "line 1 of the identity file is no whole age identity",
		strings.ToLower(x.text):                   "line 1 of the identity file is no age identity",
		x.text + x.text[:50] + "\n":               "line 2 of the identity file is no whole",
		" " + x.text:                              "line 1 of the identity file is no age identity",
		"AGE-PLUGIN-RCTEST-1QQQQ\n":               "line 1 of the identity file is no whole",
		strings.Repeat("#", maxIdentities):        "holds no identity",
		strings.Repeat("#", maxIdentities) + "\n": "more than any",
	} {
		t.Run(want, func(t *testing.T) {
			_, err := readIdentities(buffer(t, text), nil)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%.60q: %v, not %q", text, err, want)
			} else if strings.Contains(err.Error(), x.text[16:30]) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error holds the text: %v", err)
			}
		})
	}
}

// An identity file that age -p encrypted is opened first.
func TestUnlock(t *testing.T) {
	x := meet(t, "X", keys.RecipientX25519)
	pass := buffer(t, "correct horse battery")
	r, err := age.NewScryptRecipient("correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(2)
	var raw, armored bytes.Buffer
	w, err := age.Encrypt(&raw, r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(x.text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	a := armor.NewWriter(&armored)
	_, _ = a.Write(raw.Bytes())
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{raw.String(), armored.String()} {
		locked := buffer(t, file)
		if _, err := readIdentities(locked, nil); !errors.Is(err, keys.ErrIdentityLocked) {
			t.Error(err)
		}
		open, err := unlockFile(locked, pass)
		if err != nil {
			t.Fatal(err)
		}
		if string(open.Bytes()) != x.text {
			t.Error("it opens to something else")
		}
		if _, err := unlockFile(locked, buffer(t, "another")); err == nil || !strings.Contains(err.Error(), "not opened by this passphrase") {
			t.Error(err)
		}
		if _, err := unlockFile(locked, nil); err == nil || !strings.Contains(err.Error(), "is empty") {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", x.text, raw.String()[:raw.Len()-1], raw.String()[:50], armored.String()[:200]} {
		if _, err := unlockFile(buffer(t, bad), pass); err == nil || strings.Contains(err.Error(), x.text[10:20]) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// A plugin asks through ui, and gets nothing without.
func TestPluginAsks(t *testing.T) {
	installPlugin(t)
	data := append(make([]byte, 15), 0xff)
	text := plugin.EncodeIdentity("rctest", data)
	stanza := []*age.Stanza{{Type: "rctest", Body: make([]byte, 16)}}
	for _, c := range []struct {
		ui   *plugin.ClientUI
		want string
	}{
		{nil, "no PIN was given"},
		{&plugin.ClientUI{RequestValue: func(_, _ string, _ bool) (string, error) { return "4321", nil }}, "no PIN was given"},
		{&plugin.ClientUI{RequestValue: func(_, prompt string, secret bool) (string, error) {
			if prompt != "PIN, please" || !secret {
				t.Errorf("asked %q", prompt)
			}
			return "1234", nil
		}}, ""},
	} {
		t.Run(c.want, func(t *testing.T) {
			ids, err := readIdentities(buffer(t, text), c.ui)
			if err != nil {
				t.Fatal(err)
			}
			key, err := ids[0].Unwrap(stanza)
			if c.want == "" && (err != nil || !bytes.Equal(key, append(make([]byte, 15), 0xff))) {
				t.Errorf("%x, %v", key, err)
			} else if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
}

// tokenFor is an identity over a key that is here, with what it was asked.
func tokenFor(t *testing.T, answer func(private *ecdh.PrivateKey, peer []byte) (*secret.Buffer, error)) (*Recipient, age.Identity, *int) {
	t.Helper()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := keys.PublicKey{Algorithm: keys.P256, Hex: hex.EncodeToString(private.PublicKey().Bytes())}
	text, err := keys.TokenRecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	r := parse(t, "Dana", text)
	asked := new(int)
	id, err := TokenIdentity(public, func(peer []byte) (*secret.Buffer, error) {
		*asked++
		return answer(private, peer)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, id, asked
}

func TestTokenIdentity(t *testing.T) {
	var given *secret.Buffer
	shared := func(private *ecdh.PrivateKey, peer []byte) (*secret.Buffer, error) {
		if len(peer) != 65 || peer[0] != 4 {
			t.Errorf("asked for %x", peer)
		}
		point, err := ecdh.P256().NewPublicKey(peer)
		if err != nil {
			t.Fatal(err)
		}
		z, err := private.ECDH(point)
		if err != nil {
			t.Fatal(err)
		}
		given, err = secret.Take(z)
		return given, err
	}
	r, id, asked := tokenFor(t, shared)
	other, _, _ := tokenFor(t, shared)
	fileKey := []byte("sixteen bytes...")
	wrap := func(r *Recipient) *age.Stanza {
		t.Helper()
		to, err := r.wraps()
		if err != nil {
			t.Fatal(err)
		}
		s, err := to.Wrap(fileKey)
		if err != nil || len(s) != 1 {
			t.Fatal(err)
		}
		return s[0]
	}
	check := func(what string, wantKey bool, wantErr error, wantAsked int, stanzas ...*age.Stanza) {
		t.Helper()
		*asked = 0
		key, err := id.Unwrap(stanzas)
		if bytes.Equal(key, fileKey) != wantKey || !errors.Is(err, wantErr) || *asked != wantAsked {
			t.Errorf("%s: %q, %v, asked %d times", what, key, err, *asked)
		}
	}
	check("its own", true, nil, 1, wrap(r))
	if given.Len() != 0 {
		t.Error("the shared secret was not wiped")
	}
	check("another's", false, age.ErrIncorrectIdentity, 0, wrap(other))
	check("both", true, nil, 1, wrap(other), wrap(r))
	check("none", false, age.ErrIncorrectIdentity, 0)
	check("another kind", false, age.ErrIncorrectIdentity, 0, &age.Stanza{Type: "X25519", Args: []string{"AAAA"}})

	// Another's stanza whose tag is this token's by chance.
	b64 := base64.RawStdEncoding
	collision := wrap(other)
	enc, err := b64.DecodeString(collision.Args[1])
	if err != nil {
		t.Fatal(err)
	}
	retag := func(s *age.Stanza, enc []byte) *age.Stanza {
		tagged, err := id.(*tokenIdentity).recipient.Tag(enc)
		if err != nil {
			t.Fatal(err)
		}
		return &age.Stanza{Type: s.Type, Args: []string{b64.EncodeToString(tagged), b64.EncodeToString(enc)}, Body: s.Body}
	}
	check("a collision", false, age.ErrIncorrectIdentity, 1, retag(collision, enc))
	check("a collision and its own", true, nil, 2, retag(collision, enc), wrap(r))

	// A point that is not on the curve never reaches the token.
	enc[64] ^= 1
	check("a point off the curve", false, errStanza, 0, retag(collision, enc))
	good := wrap(r)
	for what, bad := range map[string]*age.Stanza{
		"one argument":    {Type: good.Type, Args: good.Args[:1], Body: good.Body},
		"three arguments": {Type: good.Type, Args: append([]string{"x"}, good.Args...), Body: good.Body},
		"a long tag":      {Type: good.Type, Args: []string{good.Args[0] + "AA", good.Args[1]}, Body: good.Body},
		"a short point":   {Type: good.Type, Args: []string{good.Args[0], good.Args[1][:40]}, Body: good.Body},
		"no base64":       {Type: good.Type, Args: []string{"??????", good.Args[1]}, Body: good.Body},
		"a short body":    {Type: good.Type, Args: good.Args, Body: good.Body[1:]},
	} {
		check(what, false, errStanza, 0, bad)
	}
	for _, public := range []keys.PublicKey{{}, {Algorithm: keys.Ed25519, Hex: strings.Repeat("00", 32)}, {Algorithm: keys.P256, Hex: "04" + strings.Repeat("11", 64)}} {
		if _, err := TokenIdentity(public, nil); err == nil {
			t.Errorf("%v is a token's age key", public)
		}
	}
}

// What the token says comes back, with the file and whose layer it is.
func TestTokenIdentityErrors(t *testing.T) {
	for _, c := range []struct {
		answer func(*ecdh.PrivateKey, []byte) (*secret.Buffer, error)
		want   string
	}{
		{func(*ecdh.PrivateKey, []byte) (*secret.Buffer, error) { return nil, &keys.PINError{TriesLeft: 3} }, "the layer of dana: the PIN is wrong: 3 tries left"},
		{func(*ecdh.PrivateKey, []byte) (*secret.Buffer, error) { return nil, nil }, "a shared secret of 0 bytes"},
		{func(*ecdh.PrivateKey, []byte) (*secret.Buffer, error) { return secret.New(31) }, "a shared secret of 31 bytes"},
	} {
		t.Run(c.want, func(t *testing.T) {
			r, id, asked := tokenFor(t, c.answer)
			_, text := freshKey(t, keys.Ed25519)
			files, err := seal(text, keys.BackupKey, alice, []*Recipient{r}, 1)
			if err != nil {
				t.Fatal(err)
			}
			_, err = openFile(files[0], func(string) age.Identity { return id })
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "dana.key.age: ") || *asked != 1 {
				t.Errorf("%v, not %q; asked %d times", err, c.want, *asked)
			}
			var pin *keys.PINError
			if errors.As(err, &pin) != strings.Contains(c.want, "PIN") {
				t.Errorf("%v is a PINError: %v", err, pin != nil)
			}
		})
	}
}
