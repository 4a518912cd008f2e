package backup

import (
	"encoding/json"
	"errors"
	"fmt"

	"filippo.io/age"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// InSession seals and opens backups in the child process of a token session,
// by a SealOrder and an OpenOrder.
func InSession() session.Backups { return session.Backups{Seal: sealOrdered, Open: openOrdered} }

// Person is a recipient as orders name it: what keys.ParseRecipient reads, and
// the slug where another is better than the one it makes.
type Person struct {
	Name string `json:"name"`
	Slug string `json:"slug"`
	Text string `json:"text"` // age1..., or "passphrase"
	// Test, of a passphrase, is the test file that was made with it. A
	// passphrase that does not open it seals nothing.
	Test []byte `json:"test,omitempty"`
}

// Recipient reads the person.
func (p Person) Recipient() (*Recipient, error) {
	r, err := keys.ParseRecipient(p.Name, p.Text)
	if err != nil {
		return nil, err
	}
	r.Slug = p.Slug
	return &Recipient{Recipient: r}, nil
}

// SealOrder is session.RootKeyOrder.Seal: for whom backups of a holder are
// sealed. The passphrases of those who have one come with it, in their order.
type SealOrder struct {
	Holder     Person   `json:"holder"`
	Recipients []Person `json:"recipients"`
	Quorum     int      `json:"quorum"`
}

// OpenOrder is session.BackupOrder.Open: which layer is opened, and by what.
type OpenOrder struct {
	Layer keys.Layer `json:"layer"` // of a backup
	Test  string     `json:"test"`  // instead: whose test file is opened (slug); its answer is what comes out
	Make  *Person    `json:"make"`  // instead: a test file is made with the passphrase, and comes out as TestFile
	By    By         `json:"by"`
}

// By is what opens a layer.
type By string

// What opens layers: the selected token, or what comes with the order.
const (
	ByToken      By = "token"
	ByIdentity   By = "identity"   // the text of an identity file, then its passphrase if it has one
	ByPassphrase By = "passphrase" // of a passphrase recipient
)

// TestFile is a test file with its answer.
type TestFile struct {
	Data []byte `json:"data"`
	Want string `json:"want"`
}

func sealOrdered(order json.RawMessage, passphrases []*secret.Buffer, what string, plaintext *secret.Buffer) ([]session.SealedFile, error) {
	var o SealOrder
	if err := json.Unmarshal(order, &o); err != nil {
		return nil, err
	}
	holder, err := o.Holder.Recipient()
	if err != nil {
		return nil, err
	}
	var recipients []*Recipient
	for _, p := range o.Recipients {
		r, err := p.Recipient()
		if err != nil {
			return nil, err
		}
		if r.Kind == keys.RecipientPassphrase {
			if len(passphrases) == 0 {
				return nil, fmt.Errorf("the passphrase of %s is missing", p.Name)
			}
			if err := p.unlock(r, passphrases[0]); err != nil {
				return nil, err
			}
			passphrases = passphrases[1:]
		}
		recipients = append(recipients, r)
	}
	return seal(plaintext, what, holder.Recipient, recipients, o.Quorum)
}

// unlock gives a recipient its passphrase, once that has opened the test file.
func (p Person) unlock(r *Recipient, passphrase *secret.Buffer) error {
	if err := r.setPassphrase(passphrase); err != nil {
		return err
	}
	identity, err := passphraseIdentity(passphrase)
	if err != nil {
		return err
	}
	if _, err := answer(p.Slug, p.Test, identity); err != nil {
		return fmt.Errorf("this is not the passphrase that %s has shown to open a test file: %w", p.Name, err)
	}
	return nil
}

func openOrdered(order json.RawMessage, secrets []*secret.Buffer, token *session.AgeToken, ciphertext []byte) (session.Unsealed, error) {
	var o OpenOrder
	if err := json.Unmarshal(order, &o); err != nil {
		return session.Unsealed{}, err
	}
	if o.Make != nil {
		return makeTest(*o.Make, secrets)
	}
	identities, err := o.identities(secrets, token)
	if err != nil {
		return session.Unsealed{}, err
	}
	switch {
	case o.Test != "":
		answer, err := answer(o.Test, ciphertext, identities...)
		return session.Unsealed{Public: []byte(answer)}, err
	case o.Layer.Inner > 0:
		inner, err := Layer(o.Layer).Peel(ciphertext, identities...)
		return session.Unsealed{Public: inner}, err
	}
	text, err := Layer(o.Layer).Open(ciphertext, identities...)
	return session.Unsealed{Secret: text}, err
}

// identities are what is to open a layer.
func (o OpenOrder) identities(secrets []*secret.Buffer, token *session.AgeToken) ([]age.Identity, error) {
	switch {
	case o.By == ByToken && token != nil:
		identity, err := TokenIdentity(token.Public, token.ECDH)
		return []age.Identity{identity}, err
	case o.By == ByPassphrase && len(secrets) == 1:
		identity, err := passphraseIdentity(secrets[0])
		return []age.Identity{identity}, err
	case o.By == ByIdentity && len(secrets) == 1:
		return identitiesIn(secrets[0])
	case o.By == ByIdentity && len(secrets) == 2:
		text, err := unlockFile(secrets[0], secrets[1])
		if err != nil {
			return nil, err
		}
		defer text.Wipe()
		return identitiesIn(text)
	}
	return nil, errors.New("nothing was given that opens it")
}

// identitiesIn are those of a file. One that holds none is a wrong one, unless
// it is only locked.
func identitiesIn(file *secret.Buffer) ([]age.Identity, error) {
	identities, err := readIdentities(file, nil)
	if err != nil && !errors.Is(err, keys.ErrIdentityLocked) {
		return nil, &noIdentityError{err}
	}
	return identities, err
}

// noIdentityError is an error about an identity file, as a keys.ErrWrongIdentity.
type noIdentityError struct{ error }

func (e *noIdentityError) Unwrap() []error { return []error{e.error, keys.ErrWrongIdentity} }

// makeTest makes a test file with a passphrase.
func makeTest(p Person, secrets []*secret.Buffer) (session.Unsealed, error) {
	r, err := p.Recipient()
	if err != nil {
		return session.Unsealed{}, err
	}
	if len(secrets) != 1 {
		return session.Unsealed{}, fmt.Errorf("the passphrase of %s is missing", p.Name)
	}
	if err := r.setPassphrase(secrets[0]); err != nil {
		return session.Unsealed{}, err
	}
	var made TestFile
	if made.Data, made.Want, err = Challenge(r); err != nil {
		return session.Unsealed{}, err
	}
	text, err := json.Marshal(made)
	return session.Unsealed{Public: text}, err
}
