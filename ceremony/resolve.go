package ceremony

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"rootceremony/ceremony/record"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// resolvedFormat is the format of plan.resolved.json that is written and read.
const resolvedFormat = 1

// maxResolved is the largest plan.resolved.json, in bytes: one that fits a line
// of the log, with what stands around it.
const maxResolved = transcript.MaxLine - 4<<10

// minClock is a moment before which no ceremony of this version can be: a
// clock that says less is wrong.
var minClock = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Resolved is the agreed plan: all that decides what a ceremony makes, with
// key files inlined and times absolute. Its bytes are plan.resolved.json, and
// their digest is what people read aloud.
type Resolved struct {
	Format     int    `json:"format"`      // 1
	Rehearsal  bool   `json:"rehearsal"`   // on virtual tokens, and the root says so; set after Resolve
	PlanSHA256 string `json:"plan_sha256"` // of the bytes of plan.toml, in hex
	Kind       string `json:"kind"`        // Create, Rotate or Revoke
	Name       string `json:"name"`
	Reason     string `json:"reason,omitempty"`

	Incident    record.Incident `json:"incident,omitempty"`    // Revoke: what has happened, where the plan says; Create: what broke the chain before
	Compromised []string        `json:"compromised,omitempty"` // online roles, with record.RoleCompromised

	Version            int64     `json:"version"`           // of the root that will be made
	Trusted            *Trusted  `json:"trusted,omitempty"` // what it follows; nil for Create
	Threshold          int       `json:"threshold"`         // holders who must sign it
	Expires            time.Time `json:"expires"`           // UTC, whole seconds
	ConsistentSnapshot bool      `json:"consistent_snapshot"`

	Token   TokenPolicy             `json:"token"`
	Backup  *Backup                 `json:"backup,omitempty"` // nil: no backups
	Earlier []Earlier               `json:"earlier,omitempty"`
	Holders []Holder                `json:"holders"`
	Drops   []Drop                  `json:"drops,omitempty"`
	Persons []Person                `json:"persons"`
	Roles   map[string]ResolvedRole `json:"roles"` // of tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets those that do not stay as they are

	trusted *tuf.File // what Trusted.Root holds
}

// TrustedRoot is the root that the new one follows; nil for Create.
func (r *Resolved) TrustedRoot() *tuf.Root {
	if r.trusted == nil {
		return nil
	}
	return r.trusted.Root
}

// previous is the trusted root as tuf.Root.Check and tuf.Assemble want it.
func (r *Resolved) previous() []*tuf.Root {
	if r.trusted == nil {
		return nil
	}
	return []*tuf.Root{r.trusted.Root}
}

// ResolvedRole is an online role with its keys, as TUF key objects.
type ResolvedRole struct {
	Threshold int       `json:"threshold"`
	Keys      []tuf.Key `json:"keys"`
}

// Backup says for whom every holder's backups are encrypted: any Quorum of
// them open one together. A holder is never a recipient of their own backup.
type Backup struct {
	Quorum     int               `json:"quorum"`
	Holders    bool              `json:"holders"`    // every other holder's token is a recipient
	Recipients []BackupRecipient `json:"recipients"` // who are no holders
}

// BackupRecipient is a recipient who is no holder: a safe, for instance.
type BackupRecipient struct {
	Name       string `json:"name"`
	ID         string `json:"id"`            // in file names: as a holder's, and unique among both
	Age        string `json:"age,omitempty"` // an age recipient, as keys.ParseRecipient returns its Text
	Passphrase bool   `json:"passphrase,omitempty"`
	Site       string `json:"site,omitempty"`
}

// Resolve makes the agreed plan of a plan that ReadPlan returned. An expiry
// that is in the past or too far ahead and a root that no token could sign are
// a *PlanError. now is the time of the agreement.
func (p *Plan) Resolve(now time.Time) (*Resolved, error) {
	r, err := p.resolve(now)
	if err != nil {
		return nil, err
	}
	if b := r.Budget(); b.Refused {
		return nil, p.refuse(element("holder", min(b.MostHolders, len(p.Holders)-1)), errors.New(b.text()))
	}
	return r, nil
}

// resolve is Resolve without a look at the size.
func (p *Plan) resolve(now time.Time) (*Resolved, error) {
	if err := p.err(); err != nil {
		return nil, err
	}
	if now.Before(minClock) {
		return nil, fmt.Errorf("this computer's clock says %s, which cannot be (hint: set it, and compare it with another clock)", stamp(now))
	}
	expires, err := expiry(p.Root.Expires, now)
	if err == nil {
		err = checkExpiry(expires, now)
	}
	if err != nil {
		return nil, p.refuse("root.expires", err)
	}
	r := p.resolved()
	r.Expires = expires
	if r.Earlier, err = p.readEarlier(now); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.File, err)
	}
	if n := len(r.JSON()); n > maxResolved {
		return nil, p.refuse("trusted", fmt.Errorf("the agreed plan would have %d bytes, over %d: it names every version of the chain and holds the newest root (hint: give a later part of the chain)", n, maxResolved))
	}
	return r, nil
}

// resolved is the plan as it would be agreed, but for what the day decides: the
// expiry, and what is known of earlier ceremonies.
func (p *Plan) resolved() *Resolved {
	sum := sha256.Sum256(p.Data)
	r := &Resolved{
		Format:     resolvedFormat,
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
		Backup:  p.backup(),
		Holders: slices.Clone(p.Holders),
		Drops:   slices.Clone(p.Drops),
		Persons: append([]Person{}, p.Persons...),
		Roles:   map[string]ResolvedRole{},
	}
	for name, role := range p.Roles {
		r.Roles[name] = ResolvedRole{role.Threshold, append(make([]tuf.Key, 0, len(role.Files)), role.Keys...)[:len(role.Files)]}
	}
	switch {
	case p.Chain != nil:
		r.Trusted, r.Version = p.Chain.agreed(), p.Chain.Last.Root.Version+1
	case p.Trusted != "":
		r.Trusted = &Trusted{} // not read
	}
	return r
}

// refuse returns a *PlanError of one fault, and leaves the plan as it is: with
// another time it may be good.
func (p *Plan) refuse(path string, err error) error {
	clone := *p
	clone.faults, clone.said = nil, Said{}
	clone.fault(path, "%v", err)
	return clone.err()
}

// checkExpiry refuses an expiry that no one can mean.
func checkExpiry(expires, now time.Time) error {
	switch {
	case !expires.After(now):
		return fmt.Errorf("expires %s is in the past: it is %s now by this computer's clock", stamp(expires), stamp(now))
	case expires.After(now.AddDate(0, 0, maxDays)):
		return fmt.Errorf("expires %s is more than %d days ahead (hint: a year is usual)", stamp(expires), maxDays)
	}
	return nil
}

// stamp is a time as roots and people write it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// JSON returns the bytes of plan.resolved.json: indented, with a final
// newline, and always the same for the same plan.
func (r *Resolved) JSON() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		panic(fmt.Sprintf("resolved plan: %v", err)) // only for keys that came from no file
	}
	return b.Bytes()
}

// Digest is the SHA-256 of JSON, in hex.
func (r *Resolved) Digest() string {
	sum := sha256.Sum256(r.JSON())
	return hex.EncodeToString(sum[:])
}

// ParseResolved reads a plan.resolved.json. It accepts exactly the bytes that
// JSON writes for a plan that Resolve could have returned; whether the expiry
// has passed is not its concern.
func ParseResolved(data []byte) (*Resolved, error) {
	if len(data) > maxResolved {
		return nil, fmt.Errorf("resolved plan: over %d bytes", maxResolved)
	}
	var r Resolved
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("resolved plan: %w", err)
	}
	if r.Format != resolvedFormat {
		return nil, fmt.Errorf("resolved plan: format %d, but this version reads %d (hint: use the version that wrote it)", r.Format, resolvedFormat)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("resolved plan: %w", err)
	}
	if !bytes.Equal(r.JSON(), data) {
		return nil, errors.New("resolved plan: not as it was written: a field is unknown, missing, twice or spelled another way")
	}
	return &r, nil
}

// Draft makes the root that the ceremony signs, from the new root key of every
// holder, by holder's id, whose key does not stay. expires is the plan's own time, except in a rehearsal,
// whose roots expire sooner and carry x-rehearsal.
func (r *Resolved) Draft(rootKeys map[string]keys.PublicKey, expires time.Time) (*tuf.Root, error) {
	if !r.Rehearsal && !expires.Equal(r.Expires) {
		return nil, fmt.Errorf("draft: expires %s is not what the plan says: %s", stamp(expires), stamp(r.Expires))
	}
	for id := range rootKeys {
		if !slices.ContainsFunc(r.Holders, func(h Holder) bool { return h.ID == id }) {
			return nil, fmt.Errorf("draft: a key of %q, who is no holder of this plan", id)
		}
	}
	root, err := r.assemble(rootKeys, expires)
	if err != nil {
		return nil, fmt.Errorf("draft: %w", err)
	}
	if err := root.Check(r.previous()...); err != nil {
		return nil, fmt.Errorf("draft: %w", err)
	}
	if n, limit := len(root.Canonical()), r.Budget().Limit; n > limit {
		return nil, fmt.Errorf("draft: %d bytes to sign, over %d", n, limit)
	}
	return root, nil
}

// assemble puts a root together without looking whether it may be signed. What
// the plan says nothing of stays as it is in the trusted root, byte for byte.
func (r *Resolved) assemble(rootKeys map[string]keys.PublicKey, expires time.Time) (*tuf.Root, error) {
	root, old := &tuf.Root{Version: r.Version, SpecVersion: tuf.SpecVersion}, &tuf.Root{}
	if r.Trusted != nil {
		old = r.trusted.Root
		root = old.Next()
	}
	root.Expires, root.ConsistentSnapshot = expires.UTC(), r.ConsistentSnapshot
	root.SetRehearsal(r.Rehearsal)
	pool := root.Keys
	root.Keys, root.Roles = nil, map[string]tuf.Role{}
	owner := map[string]string{} // by the value of the key: whose it is
	for _, name := range onlineRoles {
		role, changed := r.Roles[name]
		root.Roles[name] = old.Roles[name]
		if changed {
			root.Roles[name] = tuf.Role{Threshold: role.Threshold, KeyIDs: carriedIDs(old, role.Keys), Extra: old.Roles[name].Extra}
			pool = append(pool, role.Keys...)
		}
	}
	role := tuf.Role{Threshold: r.Threshold, Extra: old.Roles[tuf.RoleRoot].Extra}
	for _, id := range old.Roles[tuf.RoleRoot].KeyIDs {
		if i := slices.IndexFunc(r.Holders, func(h Holder) bool { return h.KeyID == id }); i >= 0 {
			role.KeyIDs = append(role.KeyIDs, id)
		}
		key, _ := old.Key(id)
		owner[key.Value()] = fmt.Sprintf("the trusted root (%.8s)", id)
	}
	for _, name := range onlineRoles {
		for _, id := range root.Roles[name].KeyIDs {
			if i := slices.IndexFunc(pool, func(k tuf.Key) bool { return k.ID == id }); i >= 0 {
				owner[pool[i].Value()] = "role " + name
			}
		}
	}
	for _, h := range r.Holders {
		if h.Custody == Existing {
			continue
		}
		public, ok := rootKeys[h.ID]
		if !ok {
			return nil, fmt.Errorf("the key of %s is missing", h.Name)
		}
		if public.Algorithm != r.Token.Algorithm {
			return nil, fmt.Errorf("the key of %s is %s, but the plan says %s", h.Name, public.Algorithm, r.Token.Algorithm)
		}
		key, err := tuf.NewKey(public)
		if err != nil {
			return nil, fmt.Errorf("the key of %s: %w", h.Name, err)
		}
		if other := owner[key.Value()]; other != "" {
			return nil, fmt.Errorf("the key of %s is also that of %s", h.Name, other)
		}
		owner[key.Value()] = h.Name
		pool = append(pool, key)
		role.KeyIDs = append(role.KeyIDs, key.ID)
	}
	root.Roles[tuf.RoleRoot] = role
	// Of all keys, those that a role uses, once each.
	for _, k := range pool {
		used := slices.ContainsFunc(tuf.RoleNames, func(name string) bool { return slices.Contains(root.Roles[name].KeyIDs, k.ID) })
		if _, there := root.Key(k.ID); used && !there {
			root.Keys = append(root.Keys, k)
		}
	}
	return root, nil
}

// carriedIDs are the ids of keys in a root that follows old: a key that old has
// keeps its id, whatever notation of it the plan names.
func carriedIDs(old *tuf.Root, named []tuf.Key) []string {
	var ids []string
	for _, k := range named {
		id := k.ID
		if i := slices.IndexFunc(old.Keys, func(o tuf.Key) bool { return o.Value() == k.Value() }); i >= 0 {
			id = old.Keys[i].ID
		}
		ids = append(ids, id)
	}
	return ids
}

// roleIn is an online role as it will be: as planned, or as in the trusted root.
func (r *Resolved) roleIn(name string) ResolvedRole {
	if role, changed := r.Roles[name]; changed || r.Trusted == nil {
		return role
	}
	old := r.trusted.Root
	role := ResolvedRole{Threshold: old.Roles[name].Threshold}
	for _, id := range old.Roles[name].KeyIDs {
		key, _ := old.Key(id)
		role.Keys = append(role.Keys, key)
	}
	return role
}

// Names returns names by key id: the holders' of their root keys, and what is
// known of those whose keys are dropped. Keys that cannot be in a root have no
// id and are left out.
func (r *Resolved) Names(rootKeys map[string]keys.PublicKey) map[string]string {
	names := map[string]string{}
	for _, d := range r.Drops {
		if d.Name != "" {
			names[d.KeyID] = d.Name
		}
	}
	for _, h := range r.Holders {
		if h.Custody == Existing {
			names[h.KeyID] = h.Name
		} else if key, err := tuf.NewKey(rootKeys[h.ID]); err == nil {
			names[key.ID] = h.Name
		}
	}
	return names
}
