package agreed

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// TargetsBudget is how large the signed part of the planned targets metadata will be.
type TargetsBudget struct {
	Bytes   int      `json:"bytes"` // exact, of the canonical form
	Limit   int      `json:"limit"` // bytes
	Refused bool     `json:"refused"`
	Targets int      `json:"targets"` // target files in it
	Fit     int      `json:"fit"`     // of these so many, from the first on, would fit
	Advice  []string `json:"advice"`  // what would help; set where it is refused
}

// TargetsBudget measures the planned targets metadata; nil where there is none, or the
// file that it carries wasn't read.
func (r *Plan) TargetsBudget() *TargetsBudget {
	t := r.TargetsOutline()
	if t == nil {
		return nil
	}
	b := &TargetsBudget{Bytes: len(t.Canonical()), Limit: tuf.MaxTargetsSize, Targets: len(t.Targets), Fit: len(t.Targets), Advice: []string{}}
	if r.targetsNeedEd25519() {
		b.Limit = MaxTokenMessage
	}
	if r.Rehearsal {
		b.Limit += len(`"x-rehearsal":true,`) // which the real metadata will not have
	}
	if b.Refused = b.Bytes > b.Limit; !b.Refused {
		return b
	}
	const least = 20 // bytes of a target file
	b.Fit = sort.Search(min(len(t.Targets), b.Limit/least), func(n int) bool {
		less := *t
		less.Targets = t.Targets[:n+1]
		return len(less.Canonical()) > b.Limit
	})
	if b.Limit < tuf.MaxTargetsSize {
		b.Advice = r.otherTargetsKeys()
	}
	return b
}

// targetsNeedEd25519 reports whether targets cannot be signed without ed25519 tokens,
// as needsEd25519 does of the root.
func (r *Plan) targetsNeedEd25519() bool {
	free, role := 0, r.Roles[tuf.RoleTargets]
	for _, h := range r.Holders {
		if !slices.Contains(role.Holders, h.ID) {
			continue
		}
		if h.TargetsKeyID == "" && r.Targets.Algorithm == keys.Ed25519 {
			return true
		}
		if h.TargetsKeyID == "" || h.Token == "" {
			free++
			continue
		}
		if key, _ := r.TrustedFile.Root.Key(h.TargetsKeyID); key.Public.Algorithm != keys.Ed25519 {
			free++
		}
	}
	return free < role.Threshold
}

// otherTargetsKeys lists what keys would sign targets of any size.
func (r *Plan) otherTargetsKeys() []string {
	digest := *r
	targets := *r.Targets
	targets.Algorithm, digest.Targets = keys.P256, &targets
	if !digest.targetsNeedEd25519() {
		return []string{fmt.Sprintf("algorithm = %q in [targets]%s: such keys sign a digest, whatever the size", keys.P256, r.firstOf(keys.P256))}
	}
	return []string{fmt.Sprintf("the ed25519 targets keys that stay can't sign it: new root and targets keys for those holders, with algorithm = %q in [targets]", keys.P256)}
}

// shrinkTargets lists what holders' targets keys in the root would let go of.
func (r *Plan) shrinkTargets(b Budget) []string {
	if r.Targets == nil {
		return nil
	}
	var advice []string
	if r.Targets.Algorithm == keys.P256 {
		other := *r
		targets := *r.Targets
		targets.Algorithm, other.Targets = keys.Ed25519, &targets
		// It is no way out where the targets would be too large then.
		if file := other.TargetsBudget(); file != nil && !file.Refused {
			if n := b.Bytes - other.Size(); n > 0 {
				advice = append(advice, fmt.Sprintf("algorithm = %q in [targets] saves %d bytes, and targets of more than %d then can't be signed", keys.Ed25519, n, MaxTokenMessage))
			}
		}
	}
	role := r.Roles[tuf.RoleTargets]
	if n := len(role.Holders); n > role.Threshold {
		other := *r
		role.Holders = role.Holders[:n-1]
		other.Roles = maps.Clone(r.Roles)
		other.Roles[tuf.RoleTargets] = role
		if saved := b.Bytes - other.Size(); saved > 0 {
			advice = append(advice, fmt.Sprintf("each holder fewer in [role.targets] saves %d bytes", saved))
		}
	}
	return advice
}

// Text is a TargetsBudget that is refused, in one line.
func (b *TargetsBudget) Text() string {
	t := fmt.Sprintf("the targets metadata would have %d bytes: over the %d that are read", b.Bytes, b.Limit)
	if b.Limit < tuf.MaxTargetsSize {
		t = fmt.Sprintf("the targets metadata would have %d bytes: over the %d that an ed25519 token signs", b.Bytes, b.Limit)
	}
	switch {
	case b.Targets > 0 && b.Fit == 0:
		t += fmt.Sprintf(", and with these delegations none of its %d target files fits", b.Targets)
	case b.Targets > 0:
		t += fmt.Sprintf(", and of its %d target files the first %d would fit", b.Targets, b.Fit)
	}
	if len(b.Advice) > 0 {
		t += " (hint: " + strings.Join(b.Advice, "; or ") + ")"
	}
	return t
}

// Lines says the TargetsBudget to people.
func (b *TargetsBudget) Lines() []string {
	if b.Refused {
		return []string{b.Text()}
	}
	return []string{fmt.Sprintf("targets metadata: %d bytes to sign, of %d at most", b.Bytes, b.Limit)}
}
