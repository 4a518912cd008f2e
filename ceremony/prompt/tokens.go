package prompt

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// Tokens is where tokens are plugged in.
type Tokens struct {
	// Start begins a session with what is in the readers now, in a child
	// process that ends with the session.
	Start func(ctx context.Context) (*session.Session, error)
	// Roots are the attestation roots that tokens must lead to.
	Roots []*x509.Certificate
	// Intermediates are certificates that may stand between.
	Intermediates []*x509.Certificate
	// Plug puts the virtual tokens with those stickers into readers, in place
	// of those that are there; nil where tokens are real. Stickers names the
	// virtual tokens.
	Plug     func(stickers ...string) error
	Stickers []string
	// PIN tells the PIN of a rehearsal's virtual token, which is shown where it
	// is asked for: a script may have chosen it. nil where tokens are real.
	PIN func(serial uint32) (string, error)
	// Identities is the folder in which a rehearsal finds the identities of
	// recipients that are no tokens, as ID.txt; "": in its own directory.
	Identities string
}

// List returns the cards in the readers, those that cannot be used too.
func (t Tokens) List(ctx context.Context) ([]keys.Info, error) {
	child, err := t.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer child.Close()
	return child.List()
}

// Usable leaves out the cards that cannot be used.
func Usable(there []keys.Info) []keys.Info {
	return slices.DeleteFunc(slices.Clone(there), func(i keys.Info) bool { return i.Problem != "" })
}

// On runs do with a session of its own on the token with that serial.
func (t Tokens) On(ctx context.Context, serial uint32, do func(*session.Session) error) error {
	child, err := t.Start(ctx)
	if err != nil {
		return err
	}
	defer child.Close()
	if err := child.Select(serial); err != nil {
		return err
	}
	return do(child)
}

// WithPIN asks for a token's PIN until the token takes it, and runs do on the
// token. The tries left are added to the facts of the prompt, and to its text the
// PIN of a virtual token. blocked: none are left, and nothing was done. A token whose
// tries left do not fall with a wrong PIN is a *keys.CountError.
func (t Tokens) WithPIN(ctx context.Context, a Room, serial uint32, tries int, p Prompt, do func(*session.Session, *secret.Buffer) error) (blocked bool, err error) {
	facts := p.Facts
	var shown []string
	if t.PIN != nil {
		pin, err := t.PIN(serial)
		if err != nil {
			return false, err
		}
		shown = []string{"(This is a rehearsal: the PIN of this virtual token is " + pin + ".)"}
	}
	p.Text = append(slices.Clone(p.Text), shown...)
	for tries > 0 {
		p.Facts = append(slices.Clone(facts), Fact{"Tries", TriesText(tries, "PIN")})
		pin, err := a.AskSecret(ctx, p, checkPINLength)
		if err != nil {
			return false, err
		}
		defer pin.Wipe()
		var wrong *keys.PINError
		err = t.On(ctx, serial, func(s *session.Session) error {
			if err := s.CheckPIN(pin); err != nil {
				errors.As(err, &wrong)
				return err
			}
			return do(s, pin)
		})
		if wrong == nil {
			return false, err
		}
		if wrong.TriesLeft >= tries {
			return false, &keys.CountError{Serial: serial, Before: tries, After: wrong.TriesLeft}
		}
		tries = wrong.TriesLeft
		p.Text = append([]string{"The PIN was wrong."}, shown...)
	}
	return true, nil
}

// TriesText says how many wrong PINs, or PUKs, a token still takes.
func TriesText(tries int, name string) string {
	switch tries {
	case keys.TriesUnknown:
		return "not told by its firmware"
	case 1:
		return fmt.Sprintf("1 left: one more wrong %s blocks it", name)
	}
	return fmt.Sprintf("%d left", tries)
}
