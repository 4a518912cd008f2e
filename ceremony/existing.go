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
	"rootceremony/keys/session"
)

// tokenWithKey waits for the token that holds a signer's root key, settles what
// was interrupted on it, and records which one it is where that is not known.
func (v visit) tokenWithKey(ctx context.Context, id string) (keys.Info, error) {
	there, err := v.waitForToken(ctx, id, v.fitsSigning)
	if err != nil {
		return keys.Info{}, err
	}
	info, err := v.withRootKey(there)
	if err != nil {
		return info, err
	}
	if err := v.settle(ctx, info); err != nil {
		return info, err
	}
	return info, v.show(ctx, info)
}

// withRootKey picks the token that holds the root key, where several are there.
func (v visit) withRootKey(there []keys.Info) (keys.Info, error) {
	var err error
	for _, info := range there {
		if err = v.fitsSigning(info); err == nil {
			return info, nil
		}
	}
	return keys.Info{}, err
}

// show looks at the token that holds a key of the trusted root, and records
// which one it is, and what it has besides to sign the log with and to open
// backups. Such tokens may be old: what they lack they lack.
func (v visit) show(ctx context.Context, info keys.Info) error {
	h := v.now()
	if !h.OfTrusted() || h.Serial == info.Serial && h.Prepared != nil {
		return nil
	}
	if owner := v.d.State().HolderOf(info.Serial); owner != nil && owner.Holder.ID != v.holder {
		return fmt.Errorf("token %s is %s's in this ceremony (hint: insert the one that holds the key %.8s)", agreed.SerialText(info.Serial), owner.Holder.Name, h.Holder.KeyID)
	}
	slot, err := rootSlot(h, info)
	if err != nil {
		return err
	}
	shown := state.TokenShown{Act: h.Act(info.Serial), Slot: slot, Firmware: info.Firmware, FormFactor: info.FormFactor, Evidence: []state.File{}}
	var lacks []string
	err = v.d.withToken(ctx, info.Serial, func(s *session.Session) error {
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
			files, err := v.d.attested(s, info.Serial, other.slot, key.Public, other.touch)
			if errors.As(err, new(*keys.AttestationError)) || errors.As(err, new(*keys.NoKeyError)) {
				lacks = append(lacks, fmt.Sprintf("a key in slot %s without an attestation that counts here", other.slot))
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
		err := v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the token", Facts: append([]prompt.Fact{{Label: "Key", Value: fmt.Sprintf("%.8s, slot %s", h.Holder.KeyID, slot)}}, tokenFacts(info, h.Holder)...),
			Text: []string{"It has " + strings.Join(lacks, ", and ") + ": it signs the root, and not the log."}})
		if err != nil {
			return err
		}
	}
	return v.record(state.TypeTokenShown, shown)
}

// meet has a holder whose key stays show that their token opens backups: those
// of new keys are sealed for it too.
func (v visit) meet(ctx context.Context) error {
	info, err := v.tokenWithKey(ctx, "holder.token "+v.holder)
	if err != nil {
		return err
	}
	h := v.now()
	if h.Prepared == nil || h.Prepared.Age == (keys.PublicKey{}) {
		return fmt.Errorf("token %s of %s has no key in 82 that it can attest: it cannot open backups (hint: a plan whose backups are for other recipients than the holders, or a new key for %s)", agreed.SerialText(info.Serial), h.Holder.Name, h.Holder.Name)
	}
	err = v.withPIN(ctx, info.PINTries, func(v visit) error {
		if v.d.State().Recipients[v.holder] == nil {
			if err := v.proveToken(ctx); err != nil {
				return err
			}
		}
		return v.signCheckpoint(ctx)
	})
	if err != nil {
		return err
	}
	return v.a.Tell(ctx, prompt.Message{Title: h.Holder.Name + ": the token opens backups", Text: []string{"Those of the new keys are sealed for it too."}, Write: v.card()})
}
