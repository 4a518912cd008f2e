package ceremony

import (
	"fmt"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/signed"
	"rootceremony/ceremony/tuf"
)

// act is what is remembered of a holder's signature under the live draft.
func (v visit) act() (signed.Remembered, error) {
	s, h := v.d.State(), v.now()
	key, err := tuf.NewKey(h.Key.Public)
	if err != nil {
		return signed.Remembered{}, fmt.Errorf("the key of %s: %w", h.Holder.Name, err)
	}
	act := signed.Remembered{Version: s.Draft.Version, Digest: s.Draft.Digest, KeyID: key.ID, Time: v.d.clock().UTC().Truncate(time.Second)}
	if before := s.Plan.TrustedFile; before != nil {
		act.Previous = agreed.DigestOf(before.Signed)
	}
	return act, nil
}

// mayAct tells why a holder must not sign the live draft, by what this laptop
// remembers.
func (v visit) mayAct() error {
	if v.d.memory == "" {
		return nil
	}
	act, err := v.act()
	if err == nil {
		err = signed.MayAct(v.d.memory, act)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.now().Holder.Name, err)
	}
	return nil
}

// rememberAct remembers that a holder's token is about to sign the live draft.
// What it returns takes that back, where the token is known to have signed
// nothing.
func (v visit) rememberAct() (forget func() error, err error) {
	if v.d.memory == "" {
		return func() error { return nil }, nil
	}
	act, err := v.act()
	if err == nil {
		err = signed.Remember(v.d.memory, act)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.now().Holder.Name, err)
	}
	return func() error {
		act.NotSigned = true
		return signed.Remember(v.d.memory, act)
	}, nil
}
