package ceremony

import (
	"errors"
	"fmt"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/keys"
)

// plansKey refuses a token that holds a key which the agreed plan trusts: it
// would be wiped to hold a root key.
func (d *Desk) plansKey(info keys.Info) error {
	for _, role := range agreed.OnlineRoles {
		for _, trusted := range d.State().Plan.RoleIn(role).Keys {
			for _, k := range info.Keys {
				if k.Public == trusted.Public {
					return fmt.Errorf("token %s holds a key of the role %s in slot %s, which the plan trusts; nothing was done to it (hint: put it back where it belongs, and insert a new token)",
						agreed.SerialText(info.Serial), role, k.Slot)
				}
			}
		}
	}
	for _, k := range info.Keys {
		if key, ok := d.State().Plan.TrustedKey(k.Public); ok {
			return fmt.Errorf("token %s holds the key %.8s of the trusted root in slot %s; nothing was done to it: it may be needed to sign, and is reset once the new root is published (hint: put it back where it belongs, and insert a new token)",
				agreed.SerialText(info.Serial), key.ID, k.Slot)
		}
	}
	return nil
}

// unusable says why the card in a reader is not the holder's token.
func unusable(card keys.Info, h agreed.Holder) error {
	name := "the card"
	if card.Serial != 0 {
		name = "token " + agreed.SerialText(card.Serial)
	}
	problem, way, _ := strings.Cut(card.Problem, " (hint: ")
	if way = strings.TrimSuffix(way, ")"); way == "" {
		way = "insert the token with the sticker " + h.Token
	}
	return fmt.Errorf("%s in reader %q cannot be used for %s: %s (hint: %s)", name, card.Reader, h.Name, problem, way)
}

// unattested says what it means that an attestation, or the device's
// certificate, is not as it should be or not there.
func unattested(serial uint32, err error) error {
	way := "do not use this token; take the task Start a holder over, and use another one"
	var wrong *keys.AttestationError
	attested := errors.As(err, &wrong)
	switch {
	case errors.As(err, new(*keys.NoKeyError)), attested && wrong.Field == "device certificate":
		return fmt.Errorf("token %s cannot show that it was made by a maker whom this ceremony trusts, as tokens of a rehearsal cannot: %w (hint: use a YubiKey bought from Yubico; for one of a newer series name its certificates with --attestation-intermediates)",
			agreed.SerialText(serial), err)
	case !attested:
		return fmt.Errorf("token %s: %w (hint: %s)", agreed.SerialText(serial), err, way)
	case wrong.Field == "edition":
		return fmt.Errorf("token %s is of the FIPS edition, which gets no new key here: %w (hint: use a YubiKey 5 of the standard edition)", agreed.SerialText(serial), err)
	case wrong.Field == "PIN policy", wrong.Field == "touch policy":
		way = "take the task Start a holder over: the token is wiped, and its keys are made again"
	}
	return fmt.Errorf("a key on token %s is not as the plan has it: %w (hint: %s)", agreed.SerialText(serial), err, way)
}

// ofToken names the holder and the sticker in an error about a token, or the serial
// number where nobody has it.
func (d *Desk) ofToken(serial uint32, err error) error {
	h := d.State().HolderOf(serial)
	about := errors.Is(err, keys.ErrRemoved) || errors.Is(err, keys.ErrNotTouched) || errors.Is(err, keys.ErrManagementKey) ||
		errors.As(err, new(*keys.NotFoundError)) || errors.As(err, new(*keys.SerialError)) || errors.As(err, new(*keys.InUseError)) ||
		errors.As(err, new(*keys.SilentError)) || errors.As(err, new(*keys.EndedError)) || errors.As(err, new(*keys.StatusError)) ||
		errors.As(err, new(*keys.AnswerError)) || errors.As(err, new(*keys.PINError)) || errors.As(err, new(*keys.CountError))
	if !about {
		return err
	}
	if h == nil || h.Holder.Token == "" {
		if strings.Contains(err.Error(), agreed.SerialText(serial)) {
			return err
		}
		return fmt.Errorf("token %s: %w", agreed.SerialText(serial), err)
	}
	return fmt.Errorf("%s, sticker %s: %w", h.Holder.Name, h.Holder.Token, err)
}
