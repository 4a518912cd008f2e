package ceremony

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// resolvedFormat is the format of plan.resolved.json that is written and read.
const resolvedFormat = 1

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
	Kind       string `json:"kind"`        // Create
	Name       string `json:"name"`
	Reason     string `json:"reason,omitempty"`

	Version            int64     `json:"version"`   // of the root that will be made
	Threshold          int       `json:"threshold"` // holders who must sign it
	Expires            time.Time `json:"expires"`   // UTC, whole seconds
	ConsistentSnapshot bool      `json:"consistent_snapshot"`

	Token   TokenPolicy             `json:"token"`
	Backup  *Backup                 `json:"backup,omitempty"` // nil: no backups
	Earlier []Earlier               `json:"earlier,omitempty"`
	Holders []Holder                `json:"holders"`
	Persons []Person                `json:"persons"`
	Roles   map[string]ResolvedRole `json:"roles"` // tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets
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
	Age        string `json:"age,omitempty"` // an age recipient, as backup.ParseRecipient returns its Text
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
	sum := sha256.Sum256(p.Data)
	r := &Resolved{
		Format:     resolvedFormat,
		PlanSHA256: hex.EncodeToString(sum[:]),
		Kind:       p.Kind,
		Name:       p.Name,
		Reason:     p.Reason,

		Version:            1,
		Threshold:          p.Root.Threshold,
		Expires:            expires,
		ConsistentSnapshot: p.Root.ConsistentSnapshot,

		Token:   p.Token,
		Backup:  p.backup(),
		Holders: slices.Clone(p.Holders),
		Persons: append([]Person{}, p.Persons...),
		Roles:   map[string]ResolvedRole{},
	}
	for name, role := range p.Roles {
		r.Roles[name] = ResolvedRole{role.Threshold, slices.Clone(role.Keys)}
	}
	if r.Earlier, err = p.readEarlier(); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.File, err)
	}
	return r, nil
}

// refuse returns a *PlanError of one fault, and leaves the plan as it is: with
// another time it may be good.
func (p *Plan) refuse(path string, err error) error {
	clone := *p
	clone.faults, clone.said = nil, map[string]bool{}
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
	if len(data) > 4*maxPlan {
		return nil, fmt.Errorf("resolved plan: over %d bytes", 4*maxPlan)
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

// check holds a Resolved, which may come from a hostile file, to the rules
// that a plan keeps. It brings the key objects into their plain form.
func (r *Resolved) check() error {
	if r.Kind != Create || r.Version != 1 {
		return fmt.Errorf("kind %q with root version %d is not one that this version makes", r.Kind, r.Version)
	}
	if sum, err := hex.DecodeString(r.PlanSHA256); err != nil || len(sum) != sha256.Size {
		return errors.New("plan_sha256 is not a SHA-256")
	}
	if err := cmp.Or(checkName(r.Name), checkOptional(r.Reason)); err != nil {
		return fmt.Errorf("name or reason %w", err)
	}
	if r.Persons == nil {
		return errors.New("persons is no list")
	}
	if err := r.checkEarlier(); err != nil {
		return err
	}
	if r.Expires.IsZero() || r.Expires.Nanosecond() != 0 || r.Expires.Location() != time.UTC {
		return errors.New("expires is not in UTC with whole seconds")
	}
	if r.Threshold < 1 || r.Threshold > len(r.Holders) {
		return fmt.Errorf("threshold %d with %d holders", r.Threshold, len(r.Holders))
	}
	least, known := firmware[r.Token.Algorithm]
	asked, err := ParseFirmware(r.Token.MinFirmware)
	if !known || err != nil || asked.Less(least) || r.Token.Touch != keys.TouchAlways && r.Token.Touch != keys.TouchCached {
		return fmt.Errorf("token policy %v is not one that this version knows", r.Token)
	}
	seen := map[string]bool{}
	for _, h := range r.Holders {
		if err := cmp.Or(checkID(h.ID), checkName(h.Name), checkSticker(h.Token), checkOptional(h.Site)); err != nil {
			return fmt.Errorf("holder %q: %w", h.ID, err)
		}
		known := h.Custody == OnToken && !h.Spare || h.Custody == BackedUp && r.Backup != nil
		if !known || h.KeyID != "" {
			return fmt.Errorf("holder %q: custody %q is not one that this plan can have", h.ID, h.Custody)
		}
		for _, mark := range []string{"id " + h.ID, "name " + fold(h.Name), "token " + fold(h.Token)} {
			if seen[mark] {
				return fmt.Errorf("holder %q: the same %s as another holder", h.ID, mark)
			}
			seen[mark] = true
		}
	}
	for _, p := range r.Persons {
		if err := cmp.Or(checkName(p.Name), checkPersonRole(p.Role)); err != nil {
			return fmt.Errorf("person %q: %w", p.Name, err)
		}
	}
	if err := r.checkBackup(); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return r.checkRoles()
}

func (r *Resolved) checkRoles() error {
	if len(r.Roles) != len(onlineRoles) {
		return fmt.Errorf("%d roles, not %d", len(r.Roles), len(onlineRoles))
	}
	for _, name := range onlineRoles {
		role := r.Roles[name]
		if role.Threshold < 1 || role.Threshold > len(role.Keys) {
			return fmt.Errorf("role %s: threshold %d with %d keys", name, role.Threshold, len(role.Keys))
		}
		seen := map[keys.PublicKey]bool{}
		for i, key := range role.Keys {
			plain, err := plainKey(key)
			if err != nil {
				return fmt.Errorf("role %s, key %d: %w", name, i+1, err)
			}
			if seen[plain.Public] {
				return fmt.Errorf("role %s, key %d: the same key twice", name, i+1)
			}
			seen[plain.Public] = true
			role.Keys[i] = plain
		}
	}
	return nil
}

// Draft makes the root that the ceremony signs, from the root key of every
// holder by holder id. expires is the plan's own time, except in a rehearsal,
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
	if err := root.Check(); err != nil {
		return nil, fmt.Errorf("draft: %w", err)
	}
	if n, limit := len(root.Canonical()), r.Budget().Limit; n > limit {
		return nil, fmt.Errorf("draft: %d bytes to sign, over %d", n, limit)
	}
	return root, nil
}

// assemble puts a root together without looking whether it may be signed.
func (r *Resolved) assemble(rootKeys map[string]keys.PublicKey, expires time.Time) (*tuf.Root, error) {
	root := &tuf.Root{
		Version:            r.Version,
		Expires:            expires.UTC(),
		SpecVersion:        tuf.SpecVersion,
		ConsistentSnapshot: r.ConsistentSnapshot,
		Roles:              map[string]tuf.Role{},
	}
	root.SetRehearsal(r.Rehearsal)
	owner := map[keys.PublicKey]string{}
	for _, name := range onlineRoles {
		role := tuf.Role{Threshold: r.Roles[name].Threshold}
		for _, key := range r.Roles[name].Keys {
			if owner[key.Public] == "" {
				root.Keys = append(root.Keys, key)
			}
			owner[key.Public] = "role " + name
			role.KeyIDs = append(role.KeyIDs, key.ID)
		}
		root.Roles[name] = role
	}
	role := tuf.Role{Threshold: r.Threshold}
	for _, h := range r.Holders {
		public, ok := rootKeys[h.ID]
		if !ok {
			return nil, fmt.Errorf("the key of %s is missing", h.Name)
		}
		if public.Algorithm != r.Token.Algorithm {
			return nil, fmt.Errorf("the key of %s is %s, but the plan says %s", h.Name, public.Algorithm, r.Token.Algorithm)
		}
		if other := owner[public]; other != "" {
			return nil, fmt.Errorf("the key of %s is also that of %s", h.Name, other)
		}
		owner[public] = h.Name
		key, err := tuf.NewKey(public)
		if err != nil {
			return nil, fmt.Errorf("the key of %s: %w", h.Name, err)
		}
		root.Keys = append(root.Keys, key)
		role.KeyIDs = append(role.KeyIDs, key.ID)
	}
	root.Roles[tuf.RoleRoot] = role
	return root, nil
}

// Names returns the holders' names by the key ids of their root keys. Keys
// that cannot be in a root have no id and are left out.
func (r *Resolved) Names(rootKeys map[string]keys.PublicKey) map[string]string {
	names := map[string]string{}
	for _, h := range r.Holders {
		if key, err := tuf.NewKey(rootKeys[h.ID]); err == nil {
			names[key.ID] = h.Name
		}
	}
	return names
}
