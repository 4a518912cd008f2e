package agreed

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// The largest root that is planned, in bytes of its canonical form. An ed25519
// token takes the whole message into a buffer of about 3 KiB; other tokens
// sign a digest. The other bound keeps the file, with indentation and all
// signatures, below the 100 kB that some clients read.
const (
	MaxTokenMessage = 3000
	maxRoot         = 50_000
)

// Budget is how large the signed part of the planned root will be.
type Budget struct {
	Bytes       int      `json:"bytes"` // exact, of the canonical form
	Limit       int      `json:"limit"` // bytes
	Refused     bool     `json:"refused"`
	MostHolders int      `json:"most_holders"` // how many would fit with these online keys
	Advice      []string `json:"advice"`       // what would make it smaller; set where it is refused
}

// Budget measures the planned root with keys of the planned algorithm in the
// holders' places.
func (r *Plan) Budget() Budget {
	b := Budget{Bytes: r.Size(), Limit: maxRoot, Advice: []string{}}
	if r.needsEd25519() {
		b.Limit = MaxTokenMessage
	}
	if r.Rehearsal {
		b.Limit += len(`"x-rehearsal":true,`) // which the real root will not have
	}
	b.Refused = b.Bytes > b.Limit
	// Every new key adds the same, but for the digits of the threshold. Keys
	// that stay are as large as they are.
	if b.Refused {
		b.MostHolders = max(0, sort.Search(len(r.Holders), func(n int) bool { return r.With(n, r.Roles).Size() > b.Limit })-1)
		b.Advice = r.Shrink(b)
		return b
	}
	more := *r
	more.Holders = append(slices.Clip(r.Holders), Holder{ID: "one-more", Custody: OnToken})
	if role := r.Roles[tuf.RoleTargets]; len(role.Holders) == len(r.Holders) { // with a targets key each
		role.Holders = append(slices.Clip(role.Holders), "one-more")
		more.Roles = maps.Clone(r.Roles)
		more.Roles[tuf.RoleTargets] = role
	}
	b.MostHolders = len(r.Holders) + (b.Limit-b.Bytes)/(more.Size()-b.Bytes)
	return b
}

// needsEd25519 reports whether a root cannot be signed without ed25519 tokens: one
// is to prove its new key, or too few others are left to reach a threshold. A
// key of which no token is known may be signed with by another tool.
func (r *Plan) needsEd25519() bool {
	free := func(keyID, token string) bool {
		key, _ := r.TrustedFile.Root.Key(keyID)
		return token == "" || key.Public.Algorithm != keys.Ed25519
	}
	old, new := 0, 0
	for _, h := range r.Holders {
		switch {
		case h.Custody != Existing && r.Token.Algorithm == keys.Ed25519:
			return true
		case h.Custody != Existing:
			new++
		case free(h.KeyID, h.Token):
			old, new = old+1, new+1
		}
	}
	for _, d := range r.Drops {
		// A stolen key is restored to a token before it signs.
		if d.Reason != Lost && free(d.KeyID, d.Token) && (d.Reason != Stolen || free(d.KeyID, "a token")) {
			old++
		}
	}
	return new < r.Threshold || r.Trusted != nil && old < r.TrustedFile.Root.Roles[tuf.RoleRoot].Threshold
}

// Text is a Budget that is refused, in one line.
func (b Budget) Text() string {
	t := fmt.Sprintf("the root would have %d bytes: over the %d that clients surely read", b.Bytes, b.Limit)
	if b.Limit < maxRoot {
		t = fmt.Sprintf("the root would have %d bytes: over the %d that an ed25519 token signs", b.Bytes, b.Limit)
	}
	if b.MostHolders == 0 {
		t += ", and with these online keys no holder fits"
	}
	if len(b.Advice) > 0 {
		t += " (hint: " + strings.Join(b.Advice, "; or ") + ")"
	}
	return t
}

// Lines says the Budget to people.
func (b Budget) Lines() []string {
	if b.Refused {
		return []string{b.Text()}
	}
	lines := []string{fmt.Sprintf("root metadata: %d bytes to sign, of %d at most", b.Bytes, b.Limit)}
	if b.Limit < maxRoot {
		lines = append(lines, fmt.Sprintf("with these online keys, %d holders would fit", b.MostHolders))
	}
	return lines
}

// Shrink lists what would make the root smaller, and by how much.
func (r *Plan) Shrink(b Budget) []string {
	var advice []string
	saves := func(text string, roles map[string]Role) {
		if n := b.Bytes - r.With(len(r.Holders), roles).Size(); n > 0 {
			advice = append(advice, fmt.Sprintf("%s saves %d bytes", text, n))
		}
	}
	one := map[string]Role{}
	small := map[string]Role{}
	distinct := map[string]bool{}
	for _, name := range OnlineRoles {
		one[name] = Role{Threshold: 1, Keys: r.RoleIn(OnlineRoles[0]).Keys[:1]}
		if name == tuf.RoleTargets { // whose key is to be its own
			one[name] = r.RoleIn(name)
		}
		role := r.RoleIn(name)
		role.Keys = slices.Clone(role.Keys)
		for i, key := range role.Keys {
			distinct[key.ID] = true
			if a := key.Public.Algorithm; a == keys.P256 || a == keys.P384 {
				role.Keys[i] = MustKey(Placeholder(keys.Ed25519, key.ID))
			}
		}
		small[name] = role
	}
	if len(distinct) > 1 && r.ofOneKey(tuf.RoleTimestamp) && r.ofOneKey(tuf.RoleSnapshot) {
		saves("one online key for timestamp and snapshot", one)
	}
	advice = append(advice, r.shrinkTargets(b)...)
	saves("ed25519 online keys instead of PEM ones"+r.firstOf(keys.Ed25519), small)
	if r.Trusted != nil {
		moved := *r
		moved.Holders = slices.Clone(r.Holders)
		for i := range moved.Holders {
			moved.Holders[i].Custody, moved.Holders[i].KeyID, moved.Holders[i].TargetsKeyID = OnToken, "", ""
		}
		if n := b.Bytes - moved.Size(); n > 0 {
			advice = append(advice, fmt.Sprintf("a new key for everybody who keeps an old one saves %d bytes", n))
		}
	}
	if most := b.MostHolders; most > 0 && most < len(r.Holders) {
		advice = append(advice, fmt.Sprintf("with these online keys %d holders fit", most))
	}
	return append(advice, r.otherTokens(b)...)
}

// ofOneKey reports whether one key signs for a role, and no people share it.
func (r *Plan) ofOneKey(role string) bool {
	is := r.RoleIn(role)
	return is.Threshold == 1 && len(is.Keys) == 1
}

// firstOf says what goes with the first keys of an algorithm in a chain.
func (r *Plan) firstOf(algorithm keys.Algorithm) string {
	root := r.TrustedRoot()
	if root == nil || slices.ContainsFunc(root.Keys, func(k tuf.Key) bool { return k.Public.Algorithm == algorithm }) {
		return ""
	}
	refused := ""
	if algorithm != keys.Ed25519 {
		refused = ", as php-tuf refuses keys in PEM"
	}
	return fmt.Sprintf(" (the first %s keys of this chain: clients that were built for those so far may refuse them%s)", algorithm, refused)
}

// otherTokens lists what tokens and versions would do where a root is too large
// for ed25519 tokens.
func (r *Plan) otherTokens(b Budget) []string {
	c := r.changes()
	if b.Limit < maxRoot && len(c.fresh) == 0 {
		return []string{"no token for keys that sign with another tool"}
	}
	digest, first := *r, ""
	if r.Token.Algorithm != keys.P256 { // else the plan says it already
		digest.Token.Algorithm, first = keys.P256, r.firstOf(keys.P256)
	}
	way := fmt.Sprintf("algorithm = %q%s: such tokens sign a digest, whatever the size", keys.P256, first)
	switch {
	case b.Limit >= maxRoot:
		return nil // no token asks for less
	case !digest.needsEd25519():
		return []string{way}
	}
	// Tokens of the trusted root must sign it all the same: those of a smaller
	// version before it need not.
	for n := len(c.fresh) - 1; n >= min(2, r.Threshold); n-- {
		digest.Holders = slices.Concat(c.stay, c.fresh[:n])
		if digest.Threshold = min(r.Threshold, n); digest.Size() <= MaxTokenMessage {
			return []string{fmt.Sprintf("two versions, as ed25519 tokens of version %d must sign the first: version %d with algorithm = %q%s, %d of the new holders and a threshold of %d, which fits; then version %d with all of them",
				r.Version-1, r.Version, keys.P256, first, n, digest.Threshold, r.Version+1)}
		}
	}
	return []string{fmt.Sprintf("ed25519 tokens of version %d must sign it: a version before it has to be smaller", r.Version-1)}
}

// With is the plan with n holders and other online roles, for measuring.
func (r *Plan) With(n int, roles map[string]Role) *Plan {
	other := *r
	other.Holders = r.Holders[:n]
	other.Roles = maps.Clone(roles)
	return &other
}

// Size is the number of bytes of the canonical root with placeholder keys.
func (r *Plan) Size() int { return len(r.Outline().Canonical()) }

// Outline is the planned root with placeholders for the keys that are still to
// be made.
func (r *Plan) Outline() *tuf.Root {
	root, err := r.assemble(r.placeholders(), r.targetsPlaceholders(), r.Expires)
	if err != nil {
		panic(fmt.Sprintf("outline of a root: %v", err)) // placeholders and checked keys are good keys
	}
	return root
}

// placeholders are keys in the places of those that are still to be made, by
// holder's id.
func (r *Plan) placeholders() map[string]keys.PublicKey {
	root := map[string]keys.PublicKey{}
	for _, h := range r.Holders {
		if h.Custody != Existing {
			root[h.ID] = Placeholder(r.Token.Algorithm, h.ID)
		}
	}
	return root
}

// Placeholder is a good key that nobody uses: its secret is the hash of a
// public text.
func Placeholder(algorithm keys.Algorithm, text string) keys.PublicKey {
	seed := sha256.Sum256([]byte("rootceremony placeholder " + text))
	if algorithm == keys.Ed25519 {
		public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
		return keys.PublicKey{Algorithm: algorithm, Hex: hex.EncodeToString(public)}
	}
	seed[0] = 0 // below the order of P-256
	private, err := ecdh.P256().NewPrivateKey(seed[:])
	if err != nil {
		panic(err)
	}
	return keys.PublicKey{Algorithm: keys.P256, Hex: hex.EncodeToString(private.PublicKey().Bytes())}
}

func MustKey(public keys.PublicKey) tuf.Key {
	key, err := tuf.NewKey(public)
	if err != nil {
		panic(err)
	}
	return key
}
