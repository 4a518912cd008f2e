package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// maxFile is the size, in bytes, of the largest file that is opened. A hundred
// post-quantum layers are a fifth of it.
const maxFile = 1 << 20

// intro is how every age file begins.
const intro = "age-encryption.org/v1\n"

// How what is sealed begins, as package keys writes it: a private key (RFC 7468,
// 10), and the PUK and management key of a token.
const (
	keyIntro   = "-----BEGIN PRIVATE KEY-----\n"
	tokenIntro = "serial: "
)

// WrongIdentityError says that an identity is not the one that a layer was
// encrypted to. It is an age.ErrIncorrectIdentity and a keys.ErrWrongIdentity.
type WrongIdentityError struct {
	File string
	Who  string             // slug of the recipient whose layer it is, as the file's name has it
	Kind keys.RecipientKind // the kind of recipient that the layer was encrypted to

	// Stanza is what the file calls that kind; of a plugin it is all that is known.
	Stanza string
}

func (e *WrongIdentityError) Error() string {
	if e.Kind == keys.RecipientPassphrase {
		return fmt.Sprintf("%s: the layer of %s has a passphrase, and what was given does not open it (hint: type the passphrase of %s again, in the keyboard layout it was made with)", e.File, e.Who, e.Who)
	}
	kind := string(e.Kind)
	if e.Kind == keys.RecipientPlugin {
		kind = fmt.Sprintf("of a plugin or damaged, stanza %.40q", e.Stanza)
	}
	return fmt.Sprintf("%s: the layer of %s (%s) is not opened by this identity (hint: it takes the one of %s; if it is that, the file was renamed or changed: compare its SHA-256 with the record, and take another copy)",
		e.File, e.Who, kind, e.Who)
}

func (e *WrongIdentityError) Unwrap() []error {
	return []error{age.ErrIncorrectIdentity, keys.ErrWrongIdentity}
}

// DamageError says that a file is not as it was sealed. Nothing is lost by it:
// files are only read, and every other quorum has its own.
type DamageError struct {
	File    string
	Problem string // "is empty"
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s %s (hint: compare its SHA-256 with the record, and take another copy, or the file of another quorum)", e.File, e.Problem)
}

// Layer is a layer of a backup file, to be opened.
type Layer keys.Layer

// Peel opens a layer that has others within it, by the first identity that
// does, and returns what the next layer's Peel or Open takes: an age file,
// which is no secret yet. Errors are DamageError, WrongIdentityError, and the
// identity's own, with the file and the recipient before it.
func (l Layer) Peel(ciphertext []byte, identities ...age.Identity) ([]byte, error) {
	if l.Inner == 0 {
		return nil, fmt.Errorf("%s: the layer of %s is the last one, and holds the secret itself", l.File, l.Who)
	}
	r, err := l.decrypt(ciphertext, identities)
	if err != nil {
		return nil, err
	}
	inner := make([]byte, len(ciphertext)) // a layer only adds
	defer clear(inner)
	n, err := l.read(r, inner)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(inner[:n], []byte(intro)) {
		return nil, l.renamed("fewer")
	}
	return bytes.Clone(inner[:n]), nil
}

// Open opens the last layer. The secret is of the kind that the file's name
// says, and is not read here: package keys, which wrote it, does that.
// Errors are those of Peel.
func (l Layer) Open(ciphertext []byte, identities ...age.Identity) (*secret.Buffer, error) {
	if l.Inner != 0 {
		return nil, fmt.Errorf("%s: the layer of %s has %d more within it, to be opened first", l.File, l.Who, l.Inner)
	}
	r, err := l.decrypt(ciphertext, identities)
	if err != nil {
		return nil, err
	}
	room, err := secret.New(maxSecret + 1)
	if err != nil {
		return nil, err
	}
	defer room.Wipe()
	n, err := l.read(r, room.Bytes())
	if err != nil {
		return nil, err
	}
	text := room.Bytes()[:n]
	var found string
	switch {
	case bytes.HasPrefix(text, []byte(intro)):
		return nil, l.renamed("more")
	case bytes.HasPrefix(text, []byte(keyIntro)):
		found = keys.BackupKey
	case bytes.HasPrefix(text, []byte(tokenIntro)):
		found = keys.BackupToken
	default:
		return nil, &DamageError{l.File, "opens, but holds neither a key nor a token's PUK: it is no backup made here"}
	}
	if found != l.What {
		return nil, &DamageError{l.File, fmt.Sprintf("is named as a backup of a %s, and holds that of a %s: two files have changed places, or this one was renamed", l.What, found)}
	}
	return exact(text)
}

// exact is a Buffer of just these bytes, which stay.
func exact(text []byte) (*secret.Buffer, error) {
	b, err := secret.New(len(text))
	if err != nil {
		return nil, err
	}
	copy(b.Bytes(), text)
	return b, nil
}

func (l Layer) renamed(than string) error {
	return &DamageError{l.File, fmt.Sprintf("has %s layers than its name has names: it was renamed, or is another's", than)}
}

// attempt hands the stanzas of a header to identities, one after the other,
// and notes what became of it.
type attempt struct {
	identities []age.Identity
	stanzas    []*age.Stanza
	opened     bool
	failed     age.Identity // the one with an error of its own
}

func (a *attempt) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	a.stanzas = stanzas
	for _, identity := range a.identities {
		key, err := identity.Unwrap(stanzas)
		if errors.Is(err, age.ErrIncorrectIdentity) {
			continue
		}
		if a.opened = err == nil; !a.opened {
			a.failed = identity
		}
		return key, err
	}
	return nil, age.ErrIncorrectIdentity
}

// malformed reports whether an identity failed for what the file says, and not
// for what a plugin or a token did.
func (a *attempt) malformed(err error) bool {
	switch a.failed.(type) {
	case *age.X25519Identity, *age.HybridIdentity, *age.ScryptIdentity, *agessh.Ed25519Identity:
		return true
	}
	return errors.Is(err, errStanza)
}

// decrypt opens the header of a file; what it returns reads what is in it.
func (l Layer) decrypt(ciphertext []byte, identities []age.Identity) (io.Reader, error) {
	if len(ciphertext) > maxFile {
		return nil, &DamageError{l.File, fmt.Sprintf("has %d bytes, more than any backup", len(ciphertext))}
	}
	a := &attempt{identities: identities}
	r, err := age.Decrypt(bytes.NewReader(ciphertext), a)
	switch {
	case err == nil:
		return r, nil
	case a.stanzas == nil:
		return nil, l.headerDamage(ciphertext, err)
	case errors.Is(err, age.ErrIncorrectIdentity):
		return nil, &WrongIdentityError{l.File, l.Who, stanzaKind(a.stanzas[0].Type), a.stanzas[0].Type}
	case a.malformed(err):
		return nil, &DamageError{l.File, fmt.Sprintf("was changed, or not made here: the layer of %s is not as age writes it: %v", l.Who, err)}
	case !a.opened:
		return nil, fmt.Errorf("%s: the layer of %s: %w", l.File, l.Who, err)
	case cutShort(err):
		return nil, &DamageError{l.File, "is cut short: it ends after its header"}
	}
	return nil, &DamageError{l.File, fmt.Sprintf("was changed: the identity of %s fits, but the header is not as it was sealed", l.Who)}
}

// headerDamage is the sentence for a header that cannot be read.
func (l Layer) headerDamage(ciphertext []byte, err error) error {
	problem := "was changed: its header is not one of age"
	switch start := string(ciphertext[:min(len(ciphertext), len(intro))]); {
	case start == "":
		problem = "is empty"
	case start != intro && strings.HasPrefix(intro, start), start == intro && cutShort(err):
		problem = "is cut short: it ends within its header"
	case bytes.HasPrefix(ciphertext, []byte(armor.Header)):
		problem = "was written again as text (armor), and is not the file that was sealed"
	case start != intro:
		problem = "is no age file, or its first bytes were changed"
	}
	return &DamageError{l.File, problem}
}

func cutShort(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// read reads all of what is in a layer into p, which is longer than that may
// be, and returns the length.
func (l Layer) read(r io.Reader, p []byte) (int, error) {
	n, err := io.ReadFull(r, p)
	switch {
	case err == nil:
		return 0, &DamageError{l.File, "opens, but holds more than can be in it: it was not made here"}
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		// age gives io.ErrUnexpectedEOF itself where a file ends too early; the
		// next read tells that from the end of what is in it.
		if _, again := r.Read(make([]byte, 1)); again != io.EOF {
			return 0, &DamageError{l.File, "is cut short: it ends after its header"}
		}
		return n, nil
	}
	return 0, &DamageError{l.File, fmt.Sprintf("was changed or cut short: the identity of %s fits, but what the layer holds is not as it was sealed", l.Who)}
}
