package ceremony

import (
	"context"
	"errors"
	"slices"

	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// list returns the cards in the readers, those that cannot be used too.
func (t Tokens) list(ctx context.Context) ([]keys.Info, error) {
	child, err := t.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer child.Close()
	return child.List()
}

// usable leaves out the cards that cannot be used.
func usable(there []keys.Info) []keys.Info {
	return slices.DeleteFunc(slices.Clone(there), func(i keys.Info) bool { return i.Problem != "" })
}

// on runs do with a session of its own on the token with that serial.
func (t Tokens) on(ctx context.Context, serial uint32, do func(*session.Session) error) error {
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

// withPIN asks for a token's PIN until the token takes it, and runs do on the
// token. The tries left are added to the facts of the prompt, and to its text the
// PIN of a virtual token. blocked: none are left, and nothing was done.
func (t Tokens) withPIN(ctx context.Context, a Attendant, serial uint32, tries int, p Prompt, do func(*session.Session, *secret.Buffer) error) (blocked bool, err error) {
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
		p.Facts = append(slices.Clone(facts), Fact{"Tries", triesText(tries, "PIN")})
		pin, err := a.AskSecret(ctx, p, checkPINLength)
		if err != nil {
			return false, err
		}
		defer pin.Wipe()
		var wrong *keys.PINError
		err = t.on(ctx, serial, func(s *session.Session) error {
			if err := s.CheckPIN(pin); err != nil {
				errors.As(err, &wrong)
				return err
			}
			return do(s, pin)
		})
		if wrong == nil {
			return false, err
		}
		tries = wrong.TriesLeft
		p.Text = append([]string{"The PIN was wrong."}, shown...)
	}
	return true, nil
}
