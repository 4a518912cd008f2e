// Package backup seals secrets with age, and opens them.
//
// A secret is the text of a root key (PKCS#8 in PEM) or of what gets into a
// token without its PIN (three lines). For every k of the n recipients there is
// one file, encrypted to the first of them, the result to the next, and so on:
//
//	bruno+chen+dana.key.age   the innermost layer is Bruno's, the outermost Dana's
//
// Each layer is an age file with one recipient, so that the age command opens
// it too: age -d -i dana FILE | age -d -i chen | age -d -i bruno | openssl pkey
//
// Secrets are in locked memory here, and what is written into them is written
// in place. What age, HPKE and the standard library copy elsewhere cannot be
// wiped and stays until the process ends, so that sealing and opening belong
// in short-lived processes. It is: the file key of each layer, whichever way;
// after opening a last layer, the secret itself, twice (age decrypts into
// memory of its own); after deriving a public key, the seed or scalar inside
// crypto/ed25519 or crypto/ecdh; passphrases and identities, which age takes as
// strings. Sealing leaves no copy of the secret.
package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// Kind is a kind of age recipient.
type Kind string

// The kinds of recipient.
const (
	X25519      Kind = "age1"
	Hybrid      Kind = "age1pq1"     // ML-KEM-768 with X25519
	Token       Kind = "age1tag1"    // P-256, on a token (C2SP tagged recipient)
	HybridToken Kind = "age1tagpq1"  // ML-KEM-768 with P-256, on a token
	SSH         Kind = "ssh-ed25519" // the same key that logs in with SSH
	Plugin      Kind = "plugin"      // wrapped by a program age-plugin-NAME
	Passphrase  Kind = "passphrase"
)

// Recipient is one for whom backups are sealed. Slug stands for them in file
// names; ParseRecipient makes it from the name, and a caller who has a better
// one (a holder's id) sets it before sealing.
type Recipient struct {
	Name   string
	Slug   string
	Kind   Kind
	Text   string // as age writes it, without an SSH comment; "" for a passphrase
	Plugin string // the plugin's name, so that its program is age-plugin-NAME

	age        age.Recipient  // nil for a passphrase
	key        string         // equal for two recipients that are the same key
	passphrase *secret.Buffer // the caller's
}

// MinPassphrase is the fewest bytes a passphrase may have, what is repeated in
// it counted once.
const MinPassphrase = 20

// ParseRecipient reads a recipient as a plan has it: text is age1...,
// age1pq1..., age1tag1..., age1tagpq1..., a plugin's age1NAME1..., an SSH
// public key line ssh-ed25519 AAAA..., or the word "passphrase", for one whose
// passphrase SetPassphrase gives before it is used. No program is started, and
// Ready tells later whether a plugin is there. Errors name the recipient and
// never hold the text, which may be a secret pasted in the wrong place.
func ParseRecipient(name, text string) (*Recipient, error) {
	r := &Recipient{Name: name, Slug: slug(name), Text: text}
	if err := r.parse(); err != nil {
		return nil, fmt.Errorf("recipient %q %w", name, err)
	}
	return r, nil
}

// parse fills in what follows from the text. Its errors follow the name.
func (r *Recipient) parse() error {
	if err := misplaced(r.Text); err != nil {
		return err
	}
	var err error
	switch text := r.Text; {
	case text == string(Passphrase):
		r.Kind, r.Text = Passphrase, ""
		return nil
	case strings.HasPrefix(text, "ssh-ed25519 "):
		return r.parseSSH()
	case strings.HasPrefix(text, "age1tag1"), strings.HasPrefix(text, "age1tagpq1"):
		var tagged *tag.Recipient
		if tagged, err = tag.ParseRecipient(text); err == nil {
			r.Kind, r.age, r.key = Token, tagged, pointKey(tagged.Bytes())
			if tagged.Hybrid() {
				r.Kind, r.key = HybridToken, hybridPointKey(tagged.Bytes())
			}
		}
	case strings.HasPrefix(text, "age1pq1"):
		r.Kind, r.key = Hybrid, text
		r.age, err = age.ParseHybridRecipient(text)
	case strings.Count(text, "1") > 1:
		var data []byte
		if r.Plugin, data, err = plugin.ParseRecipient(text); err == nil {
			r.Kind, r.key = Plugin, text
			// age1yubikey1 and its like hold the same compressed point as
			// age1tag1: two texts, one key.
			if len(data) == 33 && (data[0] == 2 || data[0] == 3) {
				r.key = pointKey(data)
			}
			r.age, err = plugin.NewRecipient(text, silent)
		}
	default:
		r.Kind, r.key = X25519, text
		r.age, err = age.ParseX25519Recipient(text)
	}
	if err != nil {
		// age's own words would show the text.
		return errors.New("is no whole age recipient: characters are missing, added or changed (hint: copy it again, all of it)")
	}
	return r.tryWrap()
}

// misplaced tells what a text is that is no recipient at all.
func misplaced(text string) error {
	upper := strings.ToUpper(text)
	switch {
	case text == "":
		return errors.New("is empty (hint: age1..., ssh-ed25519 AAAA..., or a passphrase)")
	case strings.Contains(upper, "AGE-SECRET-KEY-"), strings.Contains(upper, "AGE-PLUGIN-"), strings.Contains(upper, "PRIVATE KEY"):
		return errors.New("is an identity, which is secret, where the public recipient belongs; it is not shown here (hint: others may have read it with this text: make a new one, and give its recipient, the line age-keygen -y prints)")
	case strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }):
		return errors.New("holds a line break or another character that no recipient has (hint: one recipient, on one line)")
	case strings.HasPrefix(text, "age1"), text == string(Passphrase), strings.HasPrefix(text, "ssh-ed25519 "):
		if strings.HasPrefix(text, "age1") {
			return ageForm(text)
		}
		return nil
	case strings.HasPrefix(text, "ssh-rsa"):
		return errors.New("is an ssh-rsa key, which is not accepted (hint: an age1 recipient, or an ssh-ed25519 key)")
	case strings.HasPrefix(text, "ssh-"), strings.HasPrefix(text, "ecdsa-"), strings.HasPrefix(text, "sk-"):
		return errors.New("is an SSH key of a kind that age cannot encrypt to (hint: an age1 recipient, or an ssh-ed25519 key, its whole line)")
	case strings.HasPrefix(upper, "AGE1"):
		return errors.New("is in upper case, or has some (hint: age recipients are written in lower case)")
	}
	return errors.New("is no age recipient (hint: age1..., ssh-ed25519 AAAA..., or a passphrase)")
}

// ageForm refuses what no text that begins with age1 may hold.
func ageForm(text string) error {
	switch {
	case strings.ContainsAny(text, " ,;"):
		return errors.New("holds more than one word (hint: one recipient each)")
	case strings.ToLower(text) != text:
		return errors.New("mixes upper and lower case (hint: age recipients are written in lower case)")
	}
	return nil
}

func (r *Recipient) parseSSH() error {
	r.Kind = SSH
	fields := strings.SplitN(r.Text, " ", 3) // the third is a comment
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	// 11 and 32 are the lengths of the two strings in it (RFC 8709, 4).
	if head := "\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"; err != nil || len(blob) != len(head)+32 || string(blob[:len(head)]) != head {
		return errors.New("is no whole ssh-ed25519 key: characters are missing, added or changed (hint: copy the whole line of the .pub file)")
	}
	r.Text = "ssh-ed25519 " + fields[1]
	r.key = r.Text
	if r.age, err = agessh.ParseRecipient(r.Text); err != nil {
		return errors.New("is an ssh-ed25519 key that is no point on the curve (hint: copy the whole line of the .pub file)")
	}
	return r.tryWrap()
}

// tryWrap finds the public keys that read well and encrypt to nobody, such as
// points of low order.
func (r *Recipient) tryWrap() error {
	if r.Kind == Plugin {
		return nil
	}
	if _, err := r.age.Wrap(make([]byte, 16)); err != nil {
		return fmt.Errorf("is a key that cannot be encrypted to: %w", err)
	}
	return nil
}

// pointKey names a compressed P-256 point.
func pointKey(point []byte) string { return "p256 " + hex.EncodeToString(point) }

// hybridPointKey names the P-256 part of a hybrid key, which is its last 65
// bytes, uncompressed.
func hybridPointKey(key []byte) string {
	point := key[len(key)-65:]
	return pointKey(append([]byte{2 + point[64]&1}, point[1:33]...))
}

// SetPassphrase gives a passphrase recipient its passphrase, which the caller
// keeps and wipes, after the last use of the recipient. It is refused when it
// does not pass CheckPassphrase.
func (r *Recipient) SetPassphrase(passphrase *secret.Buffer) error {
	if r.Kind != Passphrase {
		return fmt.Errorf("recipient %q is %s, and has no passphrase", r.Name, r.Kind)
	}
	if err := CheckPassphrase(passphrase); err != nil {
		return fmt.Errorf("recipient %q: %w", r.Name, err)
	}
	r.passphrase = passphrase
	return nil
}

// CheckPassphrase tells what is wrong with a passphrase for a recipient. Words
// that are there twice, and what a word repeats within it, count once.
func CheckPassphrase(passphrase *secret.Buffer) error {
	p := passphrase.Bytes()
	const hint = "(hint: five or more random words, no word twice)"
	var words [][]byte
	counted := 0
	for word := range bytes.FieldsFuncSeq(p, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsPunct(r) }) {
		word = word[:period(word)]
		if !slices.ContainsFunc(words, func(w []byte) bool { return bytes.EqualFold(w, word) }) {
			words, counted = append(words, word), counted+len(word)+1
		}
	}
	var seen [256]bool
	different := 0
	for _, c := range p {
		if !seen[c] {
			different++
		}
		seen[c] = true
	}
	switch {
	case len(p) == 0:
		return errors.New("the passphrase is empty")
	case len(p) < MinPassphrase:
		return fmt.Errorf("the passphrase is shorter than %d characters %s", MinPassphrase, hint)
	case different < 8:
		return fmt.Errorf("the passphrase repeats a few characters %s", hint)
	case counted-1 < MinPassphrase:
		return fmt.Errorf("the passphrase repeats itself: without that it is shorter than %d characters %s", MinPassphrase, hint)
	}
	return nil
}

// period is the length of the shortest text that a word repeats two times or
// more; of one that repeats none, its own.
func period(word []byte) int {
	for n := 1; n <= len(word)/2; n++ {
		if bytes.EqualFold(word[n:], word[:len(word)-n]) {
			return n
		}
	}
	return len(word)
}

// PostQuantum tells whether a quantum computer would not open this
// recipient's layer. Of a plugin's it is not known, so it does not count.
func (r *Recipient) PostQuantum() bool {
	return slices.Contains([]Kind{Hybrid, HybridToken, Passphrase}, r.Kind)
}

// Ready tells whether the recipient can be encrypted to here and now: a plugin
// is installed, a passphrase is set.
func (r *Recipient) Ready() error {
	switch {
	case r.Kind == Passphrase && r.passphrase == nil:
		return fmt.Errorf("recipient %q has a passphrase, which was not given", r.Name)
	case r.Kind == Plugin:
		if err := pluginReady(r.Plugin); err != nil {
			return fmt.Errorf("recipient %q: %w", r.Name, err)
		}
	case r.Kind != Passphrase && r.age == nil:
		return fmt.Errorf("recipient %q has no key", r.Name)
	}
	return nil
}

// pluginReady tells whether a plugin's program is there, and is not asked to
// print what passes between it and us.
func pluginReady(name string) error {
	program := "age-plugin-" + name
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("the program %s is not installed in any of the folders %s (hint: install it in one of them)", program, os.Getenv("PATH"))
	}
	if os.Getenv("AGEDEBUG") == "plugin" {
		return errors.New("AGEDEBUG=plugin is set, with which age prints keys (hint: unset AGEDEBUG)")
	}
	return nil
}

// silent answers a plugin that wants something while it encrypts: nobody is
// there to ask. What it only shows is dropped.
var silent = &plugin.ClientUI{
	DisplayMessage: func(_, _ string) error { return nil },
	RequestValue: func(_, _ string, _ bool) (string, error) {
		return "", errors.New("nothing is asked while backups are sealed")
	},
	Confirm: func(_, _, _, _ string) (bool, error) {
		return false, errors.New("nothing is asked while backups are sealed")
	},
}

// wraps returns what age encrypts to.
func (r *Recipient) wraps() (age.Recipient, error) {
	if err := r.Ready(); err != nil {
		return nil, err
	}
	if r.Kind != Passphrase {
		return r.age, nil
	}
	return age.NewScryptRecipient(string(r.passphrase.Bytes()))
}

// mayOpen tells whether a stanza can be for this recipient. Tokens and SSH
// keys are told by the four bytes that the stanza carries; of the others only
// the kind is compared, and a plugin may write any.
func (r *Recipient) mayOpen(s *age.Stanza) bool {
	if r.Kind == Plugin {
		return true
	}
	if stanzaKind(s.Type) != r.Kind {
		return false
	}
	switch r.Kind {
	case Token, HybridToken:
		if len(s.Args) != 2 {
			return false
		}
		enc, err := base64.RawStdEncoding.Strict().DecodeString(s.Args[1])
		if err != nil {
			return false
		}
		want, err := r.age.(*tag.Recipient).Tag(enc)
		got, _ := base64.RawStdEncoding.Strict().DecodeString(s.Args[0])
		return err == nil && bytes.Equal(want, got)
	case SSH:
		blob, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Text, "ssh-ed25519 "))
		sum := sha256.Sum256(blob)
		return err == nil && len(s.Args) == 2 && s.Args[0] == base64.RawStdEncoding.EncodeToString(sum[:4])
	}
	return true
}

// stanzaKind is the kind of recipient that a stanza type belongs to.
func stanzaKind(stanza string) Kind {
	switch stanza {
	case "X25519":
		return X25519
	case "mlkem768x25519":
		return Hybrid
	case "p256tag":
		return Token
	case "mlkem768p256tag":
		return HybridToken
	case "ssh-ed25519":
		return SSH
	case "scrypt":
		return Passphrase
	}
	return Plugin
}

// slugForm is what stands for a person in a file name.
var slugForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// slug is a name as it stands in a file name: ASCII letters in lower case and
// digits, "-" for spaces. It is "" where the name has other letters, as
// leaving those out would make slugs that nobody recognises, and where it is
// longer than 32.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.Join(strings.Fields(name), " ")) {
		switch {
		case r > '~':
			return ""
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case r == ' ' || r == '-':
			b.WriteByte('-')
		}
	}
	s := strings.Trim(b.String(), "-")
	if !slugForm.MatchString(s) {
		return ""
	}
	return s
}

// TokenRecipient is the age recipient (age1tag1..., C2SP tagged recipients)
// of a P-256 key on a token.
func TokenRecipient(public keys.PublicKey) (string, error) {
	recipient, err := tagRecipient(public)
	if err != nil {
		return "", err
	}
	return recipient.String(), nil
}

func tagRecipient(public keys.PublicKey) (*tag.Recipient, error) {
	if public.Algorithm != keys.P256 {
		return nil, fmt.Errorf("a token's age key is ecdsa-p256, not %s", public.Algorithm)
	}
	if _, err := public.Crypto(); err != nil {
		return nil, err
	}
	point, err := hex.DecodeString(public.Hex)
	if err != nil {
		return nil, err
	}
	// Compressed, as SEC 1, 2.3.3 has it: the parity of y, then x.
	return tag.NewClassicRecipient(append([]byte{2 + point[64]&1}, point[1:33]...))
}
