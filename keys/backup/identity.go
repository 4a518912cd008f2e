package backup

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// maxIdentities is the size of the largest identity file, in bytes. A
// post-quantum identity has 78 characters.
const maxIdentities = 1 << 14

// maxWork is the highest work factor of a passphrase that is tried, a power of
// two: 1 GiB of memory and some seconds. age writes 18.
const maxWork = 20

// readIdentities reads an identity file: AGE-SECRET-KEY-1..., -PQ-1... and
// AGE-PLUGIN-NAME-1... lines, with comments and empty lines between them, or
// an OpenSSH private key of ed25519 without a passphrase. ui asks what a plugin
// wants to know, such as a PIN; nil refuses that. Errors name the line and
// never hold it; keys.ErrIdentityLocked, after which unlockFile opens the file, is one.
func readIdentities(file *secret.Buffer, ui *plugin.ClientUI) ([]age.Identity, error) {
	text := file.Bytes()
	if len(text) > maxIdentities {
		return nil, fmt.Errorf("the identity file has %d bytes, more than any (hint: choose the file that holds AGE-SECRET-KEY-1...)", len(text))
	}
	if ui == nil {
		ui = silent
	}
	if trimmed := bytes.TrimSpace(text); bytes.HasPrefix(text, []byte(intro)) || bytes.HasPrefix(trimmed, []byte(armor.Header)) {
		return nil, keys.ErrIdentityLocked
	} else if bytes.HasPrefix(trimmed, []byte("-----BEGIN ")) {
		identity, err := sshIdentity(trimmed)
		if err != nil {
			return nil, fmt.Errorf("the identity file %w", err)
		}
		return []age.Identity{identity}, nil
	}
	var identities []age.Identity
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		identity, err := parseIdentity(line, ui)
		if err != nil {
			return nil, fmt.Errorf("line %d of the identity file %w", n, err)
		}
		identities = append(identities, identity)
	}
	if len(identities) == 0 {
		return nil, errors.New("the identity file holds no identity (hint: choose the file with the line AGE-SECRET-KEY-1...)")
	}
	return identities, nil
}

// parseIdentity reads a line. Its errors follow the number of the line.
func parseIdentity(line []byte, ui *plugin.ClientUI) (age.Identity, error) {
	var identity age.Identity
	var err error
	switch {
	case bytes.HasPrefix(line, []byte("AGE-SECRET-KEY-1")):
		identity, err = age.ParseX25519Identity(string(line))
	case bytes.HasPrefix(line, []byte("AGE-SECRET-KEY-PQ-1")):
		identity, err = age.ParseHybridIdentity(string(line))
	case bytes.HasPrefix(line, []byte("AGE-PLUGIN-")):
		var p *plugin.Identity
		if p, err = plugin.NewIdentity(string(line), ui); err == nil {
			if err := PluginReady(p.Name()); err != nil {
				return nil, fmt.Errorf("needs a plugin: %w", err)
			}
			identity = p
		}
	case bytes.HasPrefix(line, []byte("age1")), bytes.HasPrefix(line, []byte("ssh-")):
		return nil, errors.New("is a recipient, which encrypts; an identity, which opens, is needed (hint: the file with the line AGE-SECRET-KEY-1...)")
	default:
		return nil, errors.New("is no age identity (hint: those begin with AGE-SECRET-KEY-1, AGE-SECRET-KEY-PQ-1 or AGE-PLUGIN-)")
	}
	if err != nil {
		// age's own words might show a part of it.
		return nil, errors.New("is no whole age identity: characters are missing, added or changed")
	}
	return identity, nil
}

// sshUnlocked is how the base64 of an OpenSSH private key begins that is not
// encrypted: "openssh-key-v1", a zero byte, and the cipher "none"
// (PROTOCOL.key of OpenSSH).
const sshUnlocked = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"

func sshIdentity(text []byte) (age.Identity, error) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if string(bytes.TrimSpace(first)) != "-----BEGIN OPENSSH PRIVATE KEY-----" {
		return nil, errors.New("is a PEM file, but no OpenSSH private key (hint: ssh-keygen writes those)")
	}
	if !bytes.HasPrefix(rest, []byte(sshUnlocked)) {
		return nil, errors.New("is an SSH key with a passphrase, which is not supported (hint: ssh-keygen -p takes it off a copy, which belongs in memory only)")
	}
	identity, err := agessh.ParseIdentity(text)
	if err != nil {
		return nil, errors.New("is no whole SSH key: characters are missing, added or changed")
	}
	if _, ok := identity.(*agessh.Ed25519Identity); !ok {
		return nil, errors.New("is an SSH key of another kind than ed25519")
	}
	return identity, nil
}

// unlockFile decrypts an identity file that is encrypted with a passphrase, as
// age -p writes it, armored or not. Another passphrase is a
// keys.ErrWrongPassphrase.
func unlockFile(file, passphrase *secret.Buffer) (*secret.Buffer, error) {
	identity, err := passphraseIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	var in io.Reader = bytes.NewReader(file.Bytes())
	if trimmed := bytes.TrimSpace(file.Bytes()); bytes.HasPrefix(trimmed, []byte(armor.Header)) {
		in = armor.NewReader(bytes.NewReader(trimmed))
	}
	r, err := age.Decrypt(in, identity)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, keys.ErrWrongPassphrase
	} else if err != nil {
		return nil, fmt.Errorf("the identity file cannot be opened: %w", err)
	}
	room, err := secret.New(maxIdentities)
	if err != nil {
		return nil, err
	}
	defer room.Wipe()
	n, err := (Layer{}).read(r, room.Bytes())
	if err != nil {
		return nil, errors.New("the identity file was changed or cut short (hint: take another copy)")
	}
	return exact(room.Bytes()[:n])
}

// passphraseIdentity opens layers that were encrypted with a passphrase, and
// refuses those that would take more than 1 GiB of memory. The passphrase may
// be wiped at once; age keeps its own copy.
func passphraseIdentity(passphrase *secret.Buffer) (age.Identity, error) {
	if passphrase.Len() == 0 {
		return nil, errors.New("the passphrase is empty")
	}
	identity, err := age.NewScryptIdentity(string(passphrase.Bytes()))
	if err != nil {
		return nil, err
	}
	identity.SetMaxWorkFactor(maxWork)
	return identity, nil
}

// tokenIdentity opens layers of one token's age1tag1 recipient.
type tokenIdentity struct {
	recipient *tag.Recipient
	public    *ecdh.PublicKey
	ecdh      func(peer []byte) (*secret.Buffer, error)
}

// TokenIdentity is a token as an age identity. public is its P-256 key (slot
// 82). ecdh makes the token compute the shared secret, the x coordinate of 32
// bytes, with an uncompressed point of 65 bytes that was found to be on the
// curve; it is what wants PIN and touch, and it is called only for a stanza
// that carries the token's own tag. Its Buffer is wiped here. Its errors come
// back from Peel and Open.
func TokenIdentity(public keys.PublicKey, ecdh func(peer []byte) (*secret.Buffer, error)) (age.Identity, error) {
	text, err := keys.TokenRecipient(public)
	if err != nil {
		return nil, err
	}
	recipient, err := tag.ParseRecipient(text)
	if err != nil {
		return nil, err
	}
	point, err := publicPoint(public)
	if err != nil {
		return nil, err
	}
	return &tokenIdentity{recipient, point, ecdh}, nil
}

func publicPoint(public keys.PublicKey) (*ecdh.PublicKey, error) {
	point, err := hex.DecodeString(public.Hex)
	if err != nil {
		return nil, err
	}
	return ecdh.P256().NewPublicKey(point)
}

// errStanza: a stanza for a token is none.
var errStanza = errors.New("the p256tag stanza is malformed")

// tagLabel is the HPKE info of the stanza (C2SP age, tagged recipients).
const tagLabel = "age-encryption.org/p256tag"

// Unwrap opens the stanza -> p256tag TAG ENC, whose body is the file key.
func (t *tokenIdentity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != "p256tag" {
			continue
		}
		tagged, enc, err := tagArgs(s)
		if err != nil {
			return nil, err
		}
		if own, err := t.recipient.Tag(enc); err != nil || !bytes.Equal(own, tagged) {
			continue // before the token is asked for a touch
		}
		key, err := t.open(enc, s.Body)
		if !errors.Is(err, age.ErrIncorrectIdentity) {
			return key, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}

// open decrypts the body of a stanza. Four bytes of tag may be another token's
// by chance, so that a body which does not open is no error of its own.
func (t *tokenIdentity) open(enc, body []byte) ([]byte, error) {
	x := &exchange{token: t}
	defer func() { x.shared.Wipe() }()
	private, err := hpke.NewDHKEMPrivateKey(x)
	if err != nil {
		return nil, err
	}
	opener, err := hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(tagLabel))
	if x.err != nil {
		return nil, x.err
	} else if err != nil {
		return nil, fmt.Errorf("%w: %v", errStanza, err)
	}
	key, err := opener.Open(nil, body)
	if err != nil {
		return nil, age.ErrIncorrectIdentity
	}
	return key, nil
}

// tagArgs reads the tag of 4 bytes and the point of 65.
func tagArgs(s *age.Stanza) (tagged, enc []byte, err error) {
	if len(s.Args) == 2 && len(s.Body) == 16+16 {
		b64 := base64.RawStdEncoding.Strict()
		tagged, err = b64.DecodeString(s.Args[0])
		if err == nil {
			enc, err = b64.DecodeString(s.Args[1])
		}
		if err == nil && len(tagged) == 4 && len(enc) == 65 {
			return tagged, enc, nil
		}
	}
	return nil, nil, fmt.Errorf("%w: it has not a tag of 4 bytes, a point of 65 and a body of 32", errStanza)
}

// exchange is one use of the token, as HPKE knows private keys
// (ecdh.KeyExchanger): it keeps the shared secret, to be wiped after HPKE has
// hashed it, and the token's own error, of which HPKE keeps the text only.
type exchange struct {
	token  *tokenIdentity
	shared *secret.Buffer
	err    error
}

func (x *exchange) PublicKey() *ecdh.PublicKey { return x.token.public }

func (x *exchange) Curve() ecdh.Curve { return ecdh.P256() }

func (x *exchange) ECDH(peer *ecdh.PublicKey) ([]byte, error) {
	x.shared, x.err = x.token.ecdh(peer.Bytes())
	if x.err == nil && x.shared.Len() != 32 {
		x.err = fmt.Errorf("the token computed a shared secret of %d bytes: 32 were expected", x.shared.Len())
	}
	return x.shared.Bytes(), x.err
}
