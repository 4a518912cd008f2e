package plan

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/agreed"
)

// Resolve makes the agreed plan of a plan that Read returned. An expiry
// that is in the past or too far ahead and a root that no token could sign are
// a *Error. now is the time of the agreement.
func (p *Plan) Resolve(now time.Time) (*agreed.Plan, error) {
	r, err := p.ResolveAnySize(now)
	if err != nil {
		return nil, err
	}
	if b := r.Budget(); b.Refused {
		return nil, p.refuse(agreed.Element("holder", min(b.MostHolders, len(p.Holders)-1)), errors.New(b.Text()))
	}
	if b := r.TargetsBudget(); b != nil && b.Refused {
		return nil, p.refuse("targets.algorithm", errors.New(b.Text()))
	}
	return r, nil
}

// resolve is Resolve without a look at the size.
func (p *Plan) ResolveAnySize(now time.Time) (*agreed.Plan, error) {
	if err := p.Err(); err != nil {
		return nil, err
	}
	if now.Before(agreed.MinClock) {
		return nil, fmt.Errorf("this computer's clock says %s, which cannot be (hint: set it, and compare it with another clock)", agreed.Stamp(now))
	}
	expires, err := agreed.Expiry(p.Root.Expires, now)
	if err == nil {
		err = agreed.CheckExpiry(expires, now)
	}
	if err != nil {
		return nil, p.refuse("root.expires", err)
	}
	r := p.resolved()
	r.Expires = expires
	if r.Targets != nil {
		r.Targets.Expires, err = agreed.Expiry(p.Targets.Expires, now)
		if err == nil {
			err = agreed.CheckExpiry(r.Targets.Expires, now)
		}
		if err != nil {
			return nil, p.refuse("targets.expires", err)
		}
	}
	if r.Salt = p.Salt; r.Salt == "" {
		r.Salt = NewSalt()
	}
	if r.Earlier, err = p.readEarlier(now); err != nil {
		return nil, err
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.File, err)
	}
	if err := r.CheckTargets(); err != nil {
		return nil, p.refuse("targets.file", err)
	}
	for i, h := range r.Holders {
		if h.Custody != agreed.Existing {
			continue
		}
		if version := p.Chain.Exposed[agreed.ValueOf(p.Chain.Last.Root, h.KeyID)]; version > 0 {
			return nil, p.refuse(agreed.Element("holder", i)+".keyid", fmt.Errorf("the private half of the key %.8s stands in version %d of the chain, so that everybody can sign with it: it can't stay (hint: a new key for %s, and a [[drop]] of this one with reason = %q)", h.KeyID, version, h.Name, agreed.Compromised))
		}
	}
	if n := max(len(r.JSON()), len(r.PrivateJSON())); n > agreed.MaxResolved {
		return nil, p.refuse("trusted", fmt.Errorf("the agreed plan would have %d bytes, over %d: it names every version of the chain and holds the newest root (hint: give a later part of the chain)", n, agreed.MaxResolved))
	}
	return r, nil
}

// NewSalt draws the salt of a plan's private part.
func NewSalt() string {
	salt := make([]byte, 32)
	_, _ = rand.Read(salt) // which never fails
	return hex.EncodeToString(salt)
}

// Check says what the plan would make if it were agreed now, and whether its
// digest stays the same until it is. Errors are those of Resolve.
func (p *Plan) Check(now time.Time) (*agreed.Checked, error) {
	r, err := p.Resolve(now)
	if err != nil {
		return nil, err
	}
	c := agreed.Check(r, now)
	if p.Chain != nil {
		for _, name := range agreed.OnlineRoles {
			for _, key := range r.RoleIn(name).Keys {
				if version := p.Chain.Exposed[key.Value()]; version > 0 && version < p.Chain.Last.Root.Version {
					c.Warnings = append(c.Warnings, fmt.Sprintf("A PUBLISHED PRIVATE KEY STAYS IN USE: the private half of the key %.8s of %s stands in version %d of the chain (hint: [role.%s] in the plan, with a new key)", key.ID, name, version, name))
				}
			}
		}
		if c.Stops, err = p.Chain.stops(r.Outline()); err != nil {
			return nil, err
		}
	}
	var why, write []string
	if p.Salt == "" {
		why, write = append(why, "the plan has no salt"), append(write, fmt.Sprintf("the line salt = %q at the top", r.Salt))
	}
	if strings.HasSuffix(p.Root.Expires, "d") {
		why, write = append(why, "expires counts from the day"), append(write, fmt.Sprintf("expires = %q", agreed.Stamp(r.Expires)))
	}
	if r.Targets != nil && strings.HasSuffix(p.Targets.Expires, "d") {
		why, write = append(why, "expires in [targets] counts from the day"), append(write, fmt.Sprintf("expires = %q in [targets]", agreed.Stamp(r.Targets.Expires)))
	}
	if len(why) > 0 {
		c.Changes = fmt.Sprintf("this digest changes with each %s, as %s (hint: to announce it before the day, write %s)",
			map[bool]string{true: "reading", false: "day"}[p.Salt == ""], strings.Join(why, " and "), strings.Join(write, ", and "))
	}
	return c, nil
}

// resolved is the plan as it would be agreed, but for what the day decides: the
// expiry, and what is known of earlier ceremonies.
func (p *Plan) resolved() *agreed.Plan {
	sum := sha256.Sum256(p.Data)
	r := &agreed.Plan{
		Format:     agreed.ResolvedFormat,
		PlanSHA256: hex.EncodeToString(sum[:]),
		Kind:       p.Kind,
		Name:       p.Name,
		Reason:     p.Reason,

		Incident:    p.Incident,
		Compromised: slices.Clone(p.Compromised),

		Version:            1,
		Threshold:          p.Root.Threshold,
		ConsistentSnapshot: p.Root.ConsistentSnapshot,

		Token:   p.Token,
		Backup:  p.AgreedBackup(),
		Holders: slices.Clone(p.Holders),
		Drops:   slices.Clone(p.Drops),
		Persons: append([]agreed.Person{}, p.Persons...),
		Roles:   map[string]agreed.Role{},

		Targets: p.agreedTargets(), CarriedFile: p.Carried,
	}
	for name, role := range p.Roles {
		r.Roles[name] = agreed.Role{Threshold: role.Threshold, Keys: inlined(role.Files, role.Keys), Holders: p.named(role.Holders)}
	}
	switch {
	case p.Chain != nil:
		r.Trusted, r.Version = p.Chain.agreed(), p.Chain.Last.Root.Version+1
	case p.Trusted != "":
		r.Trusted = &agreed.Trusted{} // not read
	}
	return r
}

// refuse returns a *Error of one fault, and leaves the plan as it is: with
// another time it may be good.
func (p *Plan) refuse(path string, err error) error {
	clone := *p
	clone.faults, clone.said = nil, agreed.Said{}
	clone.fault(path, "%v", err)
	return clone.Err()
}
