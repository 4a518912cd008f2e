package agreed

import (
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// The jobs of a ceremony, and the ways a root key is kept.
const (
	Create = "create"
	Rotate = "rotate"
	Revoke = "revoke"

	OnToken  = "on-token"  // generated on the token, never leaves it
	BackedUp = "backed-up" // made on the laptop, backed up, imported
	Existing = "existing"  // a key of the trusted root that stays
	Dropped  = "dropped"   // a key of the trusted root that the next one leaves out
)

// Why a key is dropped. The reasons speak of the key: a token that is lost
// while the key was restored from its backup is no lost key.
const (
	Lost        = "lost"        // nobody can sign with it
	Stolen      = "stolen"      // somebody else may have it; its holder has it only in a backup
	Compromised = "compromised" // somebody else may have it, and its holder too
	Retired     = "retired"     // its holder has it, and nobody else
)

// OnlineRoles are the roles whose keys a plan names by file, in the order in
// which they are spoken about.
var OnlineRoles = []string{tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets}

// TokenPolicy is what every token and the root key on it must be.
type TokenPolicy struct {
	Algorithm   keys.Algorithm `json:"algorithm"` // keys.Ed25519 or keys.P256
	Touch       keys.Touch     `json:"touch"`     // keys.TouchAlways or keys.TouchCached
	MinFirmware string         `json:"min_firmware"`
}

// Holder is one who keeps a root key.
type Holder struct {
	ID      string `json:"id"` // file-name-safe and unique: 1 to 32 of a-z, 0-9, "-"
	Name    string `json:"name"`
	Token   string `json:"token,omitempty"` // the sticker on the token; may be unknown with custody Existing
	Site    string `json:"-"`
	Custody string `json:"custody"`         // OnToken, BackedUp or Existing
	KeyID   string `json:"keyid,omitempty"` // with Existing: of the key in the trusted root
	Spare   bool   `json:"spare,omitempty"`
	// TargetsKeyID is, with Existing, the targets key of the trusted root that stays
	// theirs; it may be the root key too. "" with a targets key: it is to be made.
	TargetsKeyID string `json:"targets_keyid,omitempty"`
}

// Person is one who is there but keeps no key.
type Person struct {
	Name string `json:"name"`
	Role string `json:"role"` // administrator, witness or scribe
}

// Drop is a key of the trusted root that the next one leaves out. Anyone who has
// it can still sign for the trusted root.
type Drop struct {
	ID     string `json:"id"` // "old-" and the first 8 digits of the key id, or more of them
	KeyID  string `json:"keyid"`
	Reason string `json:"reason"`         // Lost, Stolen, Compromised or Retired
	Name   string `json:"name,omitempty"` // whose it was, where that is known
	Token  string `json:"token,omitempty"`
	// TargetsKeyID is the targets key of the trusted root that was theirs too, where
	// it is another one.
	TargetsKeyID string `json:"targets_keyid,omitempty"`
}

// InRoot returns a role's key as the new root has it: as the trusted root has it
// already, or else as new keys of that chain are written. Another notation of a
// new key is refused rather than rewritten, as its key id would change under the
// hands of anyone who signs with it.
func (r *Plan) InRoot(key tuf.Key) (tuf.Key, error) {
	root := r.TrustedRoot()
	if root != nil {
		if i := slices.IndexFunc(root.Keys, func(k tuf.Key) bool { return k.Value() == key.Value() }); i >= 0 {
			if root.Exposed()[key.Value()] {
				return tuf.Key{}, fmt.Errorf("the private half of this key stands in version %d itself, so that everybody can sign with it (hint: make a new one)", root.Version)
			}
			return root.Keys[i], nil
		}
	}
	return r.newKey(key)
}

// newKey returns a key as new ones of the chain are written.
func (r *Plan) newKey(key tuf.Key) (tuf.Key, error) {
	root := r.TrustedRoot()
	switch key.Public.Algorithm {
	case "":
		return tuf.Key{}, fmt.Errorf("a key of type %q: new roots take ed25519, or ECDSA on P-256", key.Type)
	case keys.P384:
		return tuf.Key{}, errors.New("a key on P-384: tuf-js (3.1.0) and go-tuf 0.7 refuse whatever it signs (hint: an ed25519 key, or one on P-256)")
	}
	made, err := root.Notation().NewKey(key.Public)
	if err != nil {
		return tuf.Key{}, err
	}
	if plain, err := tuf.NewKey(key.Public); err == nil && key.ID != plain.ID && key.ID != made.ID {
		return tuf.Key{}, errors.New("the key object has fields or a notation that new roots do not take (hint: give the key as PEM)")
	}
	return made, nil
}

// maxDays bounds how far ahead a root may expire: the longest time that is
// not a slip of the pen.
const maxDays = 3650

// Called is what people call a dropped key.
func (d Drop) Called() string {
	if d.Name == "" {
		return fmt.Sprintf("Old key %.8s", d.KeyID)
	}
	return d.Name + " (old key)"
}

// name is whose the key was, or which one.
func (d Drop) name() string {
	if d.Name != "" {
		return d.Name
	}
	return fmt.Sprintf("key %.8s", d.KeyID)
}

// key is as SignerKey.key.
func (d Drop) key() string { return SignerKey{Name: d.Name, KeyID: d.KeyID}.key() }
