package ceremony

import (
	"fmt"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/signed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// act is what is remembered of a holder's signature under the live draft.
func (d *Desk) act(h *state.Holder) (signed.Remembered, error) {
	key, err := tuf.NewKey(h.Key.Public)
	if err != nil {
		return signed.Remembered{}, fmt.Errorf("the key of %s: %w", h.Holder.Name, err)
	}
	act := signed.Remembered{Version: d.state.Draft.Version, Digest: d.state.Draft.Digest, KeyID: key.ID, Time: d.clock().UTC().Truncate(time.Second)}
	if before := d.state.Plan.TrustedFile; before != nil {
		act.Previous = agreed.DigestOf(before.Signed)
	}
	return act, nil
}

// mayAct tells why a holder must not sign the live draft, by what this laptop
// remembers.
func (d *Desk) mayAct(h *state.Holder) error {
	if d.memory == "" {
		return nil
	}
	act, err := d.act(h)
	if err == nil {
		err = signed.MayAct(d.memory, act)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", h.Holder.Name, err)
	}
	return nil
}

// rememberAct remembers that a holder's token is about to sign the live draft.
// What it returns takes that back, where the token is known to have signed
// nothing.
func (d *Desk) rememberAct(h *state.Holder) (forget func() error, err error) {
	if d.memory == "" {
		return func() error { return nil }, nil
	}
	act, err := d.act(h)
	if err == nil {
		err = signed.Remember(d.memory, act)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h.Holder.Name, err)
	}
	return func() error {
		act.NotSigned = true
		return signed.Remember(d.memory, act)
	}, nil
}
