// Package backup seals secrets with age, and opens them.
//
// A secret is the text of a root key (PKCS#8 in PEM) or of what gets into a
// token without its PIN (three lines). For every k of the n recipients there is
// one file, encrypted to the first of them, the result to the next, and so on:
//
//	bruno+chen+dana.key.age   the innermost layer is Bruno's, the outermost Dana's
//
// Each layer is an age file with one recipient, so that the age command opens
// it too, where the identities are files or a plugin's:
// age -d -i dana FILE | age -d -i chen | age -d -i bruno | openssl pkey
// A holder's identity is on the token: docs/recover-token-layer opens that layer.
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
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"unicode"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"filippo.io/age/tag"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// Recipient is one for whom backups are sealed, with the passphrase where that
// is its kind: setPassphrase gives it, before the recipient is used.
type Recipient struct {
	keys.Recipient
	passphrase *secret.Buffer // the caller's
}

// minPassphrase is the fewest bytes a passphrase may have, what is repeated in
// it counted once.
const minPassphrase = 20

// setPassphrase gives a passphrase recipient its passphrase, which the caller
// keeps and wipes, after the last use of the recipient. It is refused when it
// does not pass CheckPassphrase.
func (r *Recipient) setPassphrase(passphrase *secret.Buffer) error {
	if r.Kind != keys.RecipientPassphrase {
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
	case len(p) < minPassphrase:
		return fmt.Errorf("the passphrase is shorter than %d characters %s", minPassphrase, hint)
	case different < 8:
		return fmt.Errorf("the passphrase repeats a few characters %s", hint)
	case counted-1 < minPassphrase:
		return fmt.Errorf("the passphrase repeats itself: without that it is shorter than %d characters %s", minPassphrase, hint)
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

// ready reports whether the recipient can be encrypted to here and now: a plugin
// is installed, a passphrase is set.
func (r *Recipient) ready() error {
	switch {
	case r.Kind == keys.RecipientPassphrase && r.passphrase == nil:
		return fmt.Errorf("recipient %q has a passphrase, which was not given", r.Name)
	case r.Kind == keys.RecipientPlugin:
		if err := PluginReady(r.Plugin); err != nil {
			return fmt.Errorf("recipient %q: %w", r.Name, err)
		}
	case r.Text == "":
		return fmt.Errorf("recipient %q has no key", r.Name)
	}
	return nil
}

// PluginReady reports whether a plugin's program is there, and is not asked to
// print what passes between it and us.
func PluginReady(name string) error {
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

// WorkFactor is how much work, as a power of two, one guess at a passphrase takes:
// age's own, about a second. Tests of other things lower it, and nothing else may.
var WorkFactor = 18

// wraps returns what age encrypts to.
func (r *Recipient) wraps() (age.Recipient, error) {
	if err := r.ready(); err != nil {
		return nil, err
	}
	var to age.Recipient
	err := errors.New("unknown kind")
	switch r.Kind {
	case keys.RecipientX25519:
		to, err = age.ParseX25519Recipient(r.Text)
	case keys.RecipientHybrid:
		to, err = age.ParseHybridRecipient(r.Text)
	case keys.RecipientToken, keys.RecipientHybridToken:
		to, err = tag.ParseRecipient(r.Text)
	case keys.RecipientSSH:
		to, err = agessh.ParseRecipient(r.Text)
	case keys.RecipientPlugin:
		to, err = plugin.NewRecipient(r.Text, silent)
	case keys.RecipientPassphrase:
		words, err := age.NewScryptRecipient(string(r.passphrase.Bytes()))
		if err != nil {
			return nil, err
		}
		words.SetWorkFactor(WorkFactor)
		return words, nil
	}
	if err != nil {
		// keys.ParseRecipient has let through what age doesn't read. age's own
		// words would show the text.
		return nil, fmt.Errorf("recipient %q is not one that age reads", r.Name)
	}
	return to, nil
}

// stanzaKind is the kind of recipient that a stanza type belongs to.
func stanzaKind(stanza string) keys.RecipientKind {
	switch stanza {
	case "X25519":
		return keys.RecipientX25519
	case "mlkem768x25519":
		return keys.RecipientHybrid
	case "p256tag":
		return keys.RecipientToken
	case "mlkem768p256tag":
		return keys.RecipientHybridToken
	case "ssh-ed25519":
		return keys.RecipientSSH
	case "scrypt":
		return keys.RecipientPassphrase
	}
	return keys.RecipientPlugin
}
