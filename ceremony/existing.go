package ceremony

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
)

// tokenWithKey waits for the token that holds a signer's root key, settles what
// was interrupted on it, and records which one it is where that is not known.
func (d *Desk) tokenWithKey(ctx context.Context, a prompt.Room, h *state.Holder, id string) (keys.Info, error) {
	there, err := d.waitForToken(ctx, a, h, id, func(info keys.Info) error { return fitsSigning(h, info) })
	if err != nil {
		return keys.Info{}, err
	}
	info, err := withRootKey(h, there)
	if err != nil {
		return info, err
	}
	if err := d.settle(ctx, a, h, info); err != nil {
		return info, err
	}
	return info, d.show(ctx, a, h, info)
}

// withRootKey picks the token that holds the root key, where several are there.
func withRootKey(h *state.Holder, there []keys.Info) (keys.Info, error) {
	var err error
	for _, info := range there {
		if err = fitsSigning(h, info); err == nil {
			return info, nil
		}
	}
	return keys.Info{}, err
}

// show looks at the token that holds a key of the trusted root, and records
// which one it is, and what it has besides to sign the log with and to open
// backups. Such tokens may be old: what they lack they lack.
func (d *Desk) show(ctx context.Context, a prompt.Room, h *state.Holder, info keys.Info) error {
	if !h.OfTrusted() || h.Serial == info.Serial && h.Prepared != nil {
		return nil
	}
	if owner := d.state.HolderOf(info.Serial); owner != nil && owner != h {
		return fmt.Errorf("token %s is %s's in this ceremony (hint: insert the one that holds the key %.8s)", agreed.SerialText(info.Serial), owner.Holder.Name, h.Holder.KeyID)
	}
	slot, err := rootSlot(h, info)
	if err != nil {
		return err
	}
	shown := state.TokenShown{Act: h.Act(info.Serial), Slot: slot, Firmware: info.Firmware, FormFactor: info.FormFactor, Evidence: []state.File{}}
	var lacks []string
	err = d.withToken(ctx, info.Serial, func(s *session.Session) error {
		for _, other := range []struct {
			slot   keys.Slot
			touch  keys.Touch
			public **keys.PublicKey
		}{{keys.SlotAuthentication, keys.TouchNever, &shown.Authentication}, {keys.SlotAge, keys.TouchAlways, &shown.Age}} {
			key, there := info.Key(other.slot)
			if !there {
				lacks = append(lacks, fmt.Sprintf("no key in slot %s", other.slot))
				continue
			}
			files, err := d.attested(s, info.Serial, other.slot, key.Public, other.touch)
			if errors.As(err, new(*keys.AttestationError)) || errors.As(err, new(*keys.NoKeyError)) {
				lacks = append(lacks, fmt.Sprintf("a key in slot %s that it cannot attest", other.slot))
				continue
			}
			if err != nil {
				return err
			}
			public := key.Public
			*other.public = &public
			shown.Evidence = append(shown.Evidence, files...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if h.Serial == info.Serial && shown.Authentication == nil && shown.Age == nil {
		return nil // it was looked at before
	}
	if shown.Authentication == nil {
		err := a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the token", Facts: append([]prompt.Fact{{Label: "Key", Value: fmt.Sprintf("%.8s, slot %s", h.Holder.KeyID, slot)}}, tokenFacts(info, h.Holder)...),
			Text: []string{"It has " + strings.Join(lacks, ", and ") + ": it signs the root, and not the log."}})
		if err != nil {
			return err
		}
	}
	return d.record(state.TypeTokenShown, h.Holder.ID, shown)
}

// meet has a holder whose key stays show that their token opens backups: those
// of new keys are sealed for it too.
func (d *Desk) meet(ctx context.Context, a prompt.Room, h *state.Holder) error {
	info, err := d.tokenWithKey(ctx, a, h, "holder.token "+h.Holder.ID)
	if err != nil {
		return err
	}
	if h.Prepared == nil || h.Prepared.Age == (keys.PublicKey{}) {
		return fmt.Errorf("token %s of %s has no key in 82 that it can attest: it cannot open backups (hint: a plan whose backups are for other recipients than the holders, or a new key for %s)", agreed.SerialText(info.Serial), h.Holder.Name, h.Holder.Name)
	}
	return d.withPIN(ctx, a, h, info.PINTries, func(s *session.Session, pin *secret.Buffer) error {
		if d.state.Recipients[h.Holder.ID] == nil {
			if err := d.proveToken(ctx, a, s, h, pin); err != nil {
				return err
			}
		}
		return d.signCheckpoint(ctx, s, h, pin)
	})
}
