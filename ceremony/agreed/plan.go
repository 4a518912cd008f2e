// Package agreed is the plan that a ceremony has agreed on, and what follows from
// it without a clock, a file or a token: whether it is possible (rules.go), who
// could sign or lock the project out (custody.go), what fits a token (budget.go),
// who must sign a rotation and in how many versions (rotation.go), and the root
// that it makes (draft.go).
//
// Its public bytes are plan.resolved.json, and their digest is what people read
// aloud; what isn't public is private/plan.json (private.go).
// A rule that a plan breaks has a path, as plan.toml names values, and a sentence;
// rules are written here once, and package plan only says where the value stands.
package agreed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"rootceremony/ceremony/record"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// ResolvedFormat is the format of plan.resolved.json that is written and read.
const ResolvedFormat = 2

// MaxResolved is the largest plan.resolved.json, and the largest private/plan.json,
// in bytes: one that fits a line of the log, with what stands around it.
const MaxResolved = transcript.MaxLine - 4<<10

// MinClock is a moment before which no ceremony of this version can be: a
// clock that says less is wrong.
var MinClock = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Plan is the agreed plan: all that decides what a ceremony makes, with
// key files inlined and times absolute. Its public bytes are plan.resolved.json,
// and their digest is what people read aloud. Members without a name in JSON are
// those of the private part, or follow from the others.
type Plan struct {
	Format     int    `json:"format"`    // ResolvedFormat
	Commitment string `json:"private"`   // SHA-256 of the salted private part, in hex; "" where that was seen, as it follows
	Rehearsal  bool   `json:"rehearsal"` // on virtual tokens, and the root says so; set after Resolve
	Kind       string `json:"kind"`      // Create, Rotate or Revoke
	Name       string `json:"name"`
	Reason     string `json:"reason,omitempty"`

	Incident    record.Incident `json:"incident,omitempty"`    // Revoke: what has happened, where the plan says; Create: what broke the chain before
	Compromised []string        `json:"compromised,omitempty"` // online roles, with record.RoleCompromised

	Version            int64     `json:"version"`           // of the root that will be made
	Trusted            *Trusted  `json:"trusted,omitempty"` // what it follows; nil for Create
	Threshold          int       `json:"threshold"`         // holders who must sign it
	Expires            time.Time `json:"expires"`           // UTC, whole seconds
	ConsistentSnapshot bool      `json:"consistent_snapshot"`

	Token   TokenPolicy     `json:"token"`
	Backup  *Backup         `json:"backup,omitempty"` // nil: no backups
	Earlier []Earlier       `json:"earlier,omitempty"`
	Holders []Holder        `json:"holders"`
	Drops   []Drop          `json:"drops,omitempty"`
	Persons []Person        `json:"persons"`
	Roles   map[string]Role `json:"roles"`             // of tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets those that do not stay as they are
	Targets *Targets        `json:"targets,omitempty"` // nil: nobody signs targets in the ceremony

	// Unseen: Parse was not given the private part. Then Salt, PlanSHA256, sites, who
	// opens backups, and the backups of earlier ceremonies are not known.
	Unseen     bool   `json:"-"`
	Salt       string `json:"-"` // 32 random bytes, in hex
	PlanSHA256 string `json:"-"` // of the bytes of plan.toml, in hex

	TrustedFile *tuf.File        `json:"-"` // what Trusted.Root holds
	CarriedFile *tuf.TargetsFile `json:"-"` // what Targets.File names; nil where it wasn't read

	signing string // tuf.RoleTargets for the part of a plan that ofTargets returns
}

// TrustedRoot is the root that the new one follows; nil for Create.
func (r *Plan) TrustedRoot() *tuf.Root {
	if r.TrustedFile == nil {
		return nil
	}
	return r.TrustedFile.Root
}

// Previous is the trusted root as tuf.Root.Check and tuf.Assemble want it.
func (r *Plan) Previous() []*tuf.Root {
	if r.TrustedFile == nil {
		return nil
	}
	return []*tuf.Root{r.TrustedFile.Root}
}

// Role is an online role with its keys, as TUF key objects; or the targets role
// whose keys holders have.
type Role struct {
	Threshold int       `json:"threshold"`
	Keys      []tuf.Key `json:"keys"`
	Holders   []string  `json:"holders,omitempty"` // ids; with them no Keys
}

// Backup says for whom every holder's backups are encrypted: any Quorum of
// them open one together. A holder is never a recipient of their own backup.
type Backup struct {
	Quorum     int               `json:"quorum"`
	Holders    bool              `json:"-"` // every other holder's token is a recipient
	Recipients []BackupRecipient `json:"-"` // who are no holders
}

// BackupRecipient is a recipient who is no holder: a safe, for instance.
type BackupRecipient struct {
	Name       string `json:"name"`
	ID         string `json:"id"`            // in file names: as a holder's, and unique among both
	Age        string `json:"age,omitempty"` // an age recipient, as keys.ParseRecipient returns its Text
	Passphrase bool   `json:"passphrase,omitempty"`
	Site       string `json:"site,omitempty"`
}

// Stamp is a time as roots and people write it.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// JSON returns the bytes of plan.resolved.json: indented, with a final
// newline, and always the same for the same plan.
func (r *Plan) JSON() []byte { return encoded(r.public()) }

// public is the plan with the commitment to its private part.
func (r *Plan) public() *Plan {
	public := *r
	if !r.Unseen {
		public.Commitment = r.privateSum()
	}
	return &public
}

func encoded(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("resolved plan: %v", err)) // only for keys that came from no file
	}
	return b.Bytes()
}

// Digest is the SHA-256 of JSON, in hex.
func (r *Plan) Digest() string {
	sum := sha256.Sum256(r.JSON())
	return hex.EncodeToString(sum[:])
}

// Parse reads a plan.resolved.json, and the private/plan.json that goes with it;
// private nil: that is not here, and what needs it is not judged. It accepts
// exactly the bytes that JSON and PrivateJSON write for a plan that Resolve could
// have returned; whether the expiry has passed is not its concern.
func Parse(public, private []byte) (*Plan, error) {
	if len(public) > MaxResolved {
		return nil, fmt.Errorf("resolved plan: over %d bytes", MaxResolved)
	}
	var r Plan
	if err := json.Unmarshal(public, &r); err != nil {
		return nil, fmt.Errorf("resolved plan: %w", err)
	}
	if r.Format != ResolvedFormat {
		return nil, fmt.Errorf("resolved plan: format %d, but this version reads %d (hint: use the version that wrote it)", r.Format, ResolvedFormat)
	}
	if err := CheckSalt(r.Commitment); err != nil { // a SHA-256 has the same form
		return nil, fmt.Errorf("resolved plan: private %w", err)
	}
	if r.Unseen = private == nil; !r.Unseen {
		if err := r.takePrivate(private); err != nil {
			return nil, fmt.Errorf("private part of the plan: %w", err)
		}
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("resolved plan: %w", err)
	}
	if !r.Unseen {
		if err := r.isPrivate(private); err != nil {
			return nil, fmt.Errorf("private part of the plan: %w", err)
		}
		r.Commitment = "" // which follows from the rest
	}
	if !bytes.Equal(r.JSON(), public) {
		return nil, errors.New("resolved plan: not as it was written: a field is unknown, missing, twice or spelled another way")
	}
	return &r, nil
}
