package ceremony

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"rootceremony/ceremony/record"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/plainfile"
)

// maxPlan is the largest plan file that is read, in bytes.
const maxPlan = 256 << 10

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

// onlineRoles are the roles whose keys a plan names by file, in the order in
// which they are spoken about.
var onlineRoles = []string{tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets}

// Plan is a plan.toml as it was read, with the key files it names. What a
// ceremony makes follows from Resolve alone.
type Plan struct {
	File string // as the caller named it, for messages
	Data []byte // the bytes of plan.toml

	Kind    string // Create, Rotate or Revoke
	Name    string
	Reason  string
	Trusted string
	Earlier []string

	Incident    record.Incident // Revoke: what has happened; "": not said
	Compromised []string        // with record.RoleCompromised: which online roles

	Root       RootPlan
	Token      TokenPolicy
	Backup     BackupPlan
	Recipients []Recipient
	Holders    []Holder
	Persons    []Person
	Drops      []Drop
	Roles      map[string]RolePlan // by tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets
	Chain      *TrustedChain       // what Trusted names, verified; nil for Create

	where  map[string]place // where each value stands, by its path
	lines  []int            // where each line begins
	faults []Fault
	said   Said
}

// RootPlan is what [root] says.
type RootPlan struct {
	Threshold          int    // after ReadPlan the trusted root's where the plan says none
	Expires            string // RFC 3339 in UTC, or a number of days as "365d"
	ConsistentSnapshot bool
}

// TokenPolicy is what every token and the root key on it must be.
type TokenPolicy struct {
	Algorithm   keys.Algorithm `json:"algorithm"` // keys.Ed25519 or keys.P256
	Touch       keys.Touch     `json:"touch"`     // keys.TouchAlways or keys.TouchCached
	MinFirmware string         `json:"min_firmware"`
}

// BackupPlan is what [backup] says. Quorum 0 means no backups.
type BackupPlan struct {
	Quorum     int
	Recipients []string
}

// Recipient is someone other than a holder for whom backups are encrypted.
type Recipient struct {
	ID         string // for file names, as a Holder's
	Name       string
	Age        string // an age recipient, or empty with Passphrase
	Passphrase bool
	Site       string
}

// Holder is one who keeps a root key.
type Holder struct {
	ID      string `json:"id"` // file-name-safe and unique: 1 to 32 of a-z, 0-9, "-"
	Name    string `json:"name"`
	Token   string `json:"token,omitempty"` // the sticker on the token; may be unknown with custody Existing
	Site    string `json:"site,omitempty"`
	Custody string `json:"custody"`         // OnToken, BackedUp or Existing
	KeyID   string `json:"keyid,omitempty"` // with Existing: of the key in the trusted root
	Spare   bool   `json:"spare,omitempty"`
}

// Person is one who is there but keeps no key.
type Person struct {
	Name string `json:"name"`
	Role string `json:"role"` // administrator, witness or scribe
}

// Drop is a key of the trusted root that the next one leaves out. Whoever has
// it can still sign for the trusted root.
type Drop struct {
	ID     string `json:"id"` // "old-" and the first 8 digits of the key id, or more of them
	KeyID  string `json:"keyid"`
	Reason string `json:"reason"`         // Lost, Stolen, Compromised or Retired
	Name   string `json:"name,omitempty"` // whose it was, where that is known
	Token  string `json:"token,omitempty"`
}

// RolePlan is an online role: its key files, and the keys that were in them
// when the plan was read, in the same order.
type RolePlan struct {
	Threshold int
	Files     []string
	Keys      []tuf.Key
}

// Fault is one thing that is wrong in a plan. Line and Column count from 1,
// columns in characters.
type Fault struct {
	Line, Column int
	Text         string
}

// PlanError is everything that is wrong with a plan, in order of position.
type PlanError struct {
	File   string
	Faults []Fault
}

// shownFaults bounds the lines of a PlanError, as a file of another kind may
// have thousands.
const shownFaults = 25

// Error has a line for each fault: "plan.toml:12:9: what is wrong".
func (e *PlanError) Error() string {
	var lines []string
	for _, f := range e.Faults[:min(len(e.Faults), shownFaults)] {
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", e.File, f.Line, f.Column, f.Text))
	}
	if more := len(e.Faults) - shownFaults; more > 0 {
		lines = append(lines, fmt.Sprintf("%s: and %d more", e.File, more))
	}
	return strings.Join(lines, "\n")
}

// ReadPlan reads a plan.toml and the key files it names. What is wrong with
// the contents of either is a *PlanError that lists all of it; a plan that
// cannot be read at all is another error.
func ReadPlan(file string) (*Plan, error) { return readPlan(file, "") }

// readPlan is ReadPlan for a plan that may follow on the chain in another
// folder than it says.
func readPlan(file, chain string) (*Plan, error) {
	data, err := plainfile.Read(file, maxPlan)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p, err := decodePlan(data, file)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("folder of the plan: %w", err)
	}
	defer dir.Close()
	p.readKeys(func(file string) (tuf.Key, error) { return readKeyFile(dir, file) })
	if p.follows() && chain != "" {
		p.Trusted = chain
	}
	if p.follows() {
		p.readTrusted()
	}
	p.judge()
	return p, p.err()
}

// parsePlan reads a plan from its bytes, without the key files it names. file
// is its name in messages.
func parsePlan(data []byte, file string) (*Plan, error) {
	p, err := decodePlan(data, file)
	if err != nil {
		return nil, err
	}
	p.judge()
	return p, p.err()
}

// decodePlan reads a plan whose faults are still to be asked for with err. Its
// own error says that the file is not TOML.
func decodePlan(data []byte, file string) (*Plan, error) {
	if len(data) > maxPlan {
		return nil, fmt.Errorf("%s: over %d bytes: not a plan", file, maxPlan)
	}
	p := &Plan{File: file, Data: bytes.Clone(data), said: Said{}}
	if err := p.decode(); err != nil {
		return nil, err
	}
	p.present()
	return p, nil
}

// err returns what is wrong so far, in order of position.
func (p *Plan) err() error {
	if len(p.faults) == 0 {
		return nil
	}
	faults := slices.Clone(p.faults)
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &PlanError{p.File, faults}
}

// fault adds a fault at the value with this path, where it explains nothing
// that has one.
func (p *Plan) fault(path, format string, args ...any) {
	if !p.said.Of(path) {
		p.said[path] = true
		p.place(path, fmt.Sprintf(format, args...))
	}
}

// place adds a fault at the value with this path, or at the table where it is
// missing.
func (p *Plan) place(path, text string) {
	found := path
	for found != "" && p.absent(found) {
		found = found[:max(0, strings.LastIndexAny(found, ".["))]
	}
	p.faultAt(p.where[found].value, text)
}

// missing adds a fault for a value that must be there, and tells whether it
// is: not at all, or only as an empty text.
func (p *Plan) missing(path string, empty bool, hint string) bool {
	_, there := p.where[path]
	switch {
	case !there:
		p.fault(path, "%s is missing (hint: %s)", last(path), hint)
	case empty:
		p.fault(path, "%s is empty (hint: %s)", last(path), hint)
	}
	return !there || empty
}

// readKeys reads the key files that the plan names, as read does.
func (p *Plan) readKeys(read func(file string) (tuf.Key, error)) {
	for name, role := range p.Roles {
		role.Keys = make([]tuf.Key, len(role.Files))
		seen := map[keys.PublicKey]string{}
		for i, file := range role.Files {
			path := fmt.Sprintf("role.%s.keys[%d]", name, i)
			if p.said[path] {
				continue
			}
			key, err := read(file)
			if err != nil {
				p.fault(path, "%v", err)
				continue
			}
			if first, twice := seen[key.Public]; twice {
				p.fault(path, "key file %q holds the same key as %q: one key cannot count twice in role %s", file, first, name)
				continue
			}
			seen[key.Public] = file
			role.Keys[i] = key
		}
		p.Roles[name] = role
	}
}

// maxKeyFile is the largest key file that is read, in bytes.
const maxKeyFile = 64 << 10

// readKeyFile reads one public key from inside dir. Links that lead out of it
// are refused. Errors name the file.
func readKeyFile(dir *os.Root, file string) (tuf.Key, error) {
	wrong := func(err error) error {
		if pe := new(os.PathError); errors.As(err, &pe) {
			err = pe.Err
		}
		// The error of os.Root for this has no name.
		if err.Error() == "path escapes from parent" {
			err = errors.New("is or passes a link that leads out of the plan's folder (hint: copy the file into it)")
		}
		if errors.Is(err, os.ErrNotExist) {
			err = errors.New("no such file (hint: put it there; the name counts from the plan's folder)")
		}
		return fmt.Errorf("key file %q: %w", file, err)
	}
	f, err := dir.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return tuf.Key{}, wrong(err)
	}
	defer f.Close()
	data, err := plainfile.Contents(f, maxKeyFile)
	if err != nil {
		return tuf.Key{}, wrong(err)
	}
	key, err := tuf.ParseKeyFile(data)
	if err == nil {
		key, err = plainKey(key)
	}
	if err != nil {
		return tuf.Key{}, wrong(errors.New(oneLine(err.Error())))
	}
	return key, nil
}

// plainKey returns the key as new roots have it. Another notation of the same
// key is refused rather than rewritten, as its key id would change under the
// hands of whoever signs with it.
func plainKey(key tuf.Key) (tuf.Key, error) {
	if key.Public == (keys.PublicKey{}) {
		return tuf.Key{}, fmt.Errorf("a key of type %q: new roots take ed25519, or ECDSA on P-256 or P-384", key.Type)
	}
	plain, err := tuf.NewKey(key.Public)
	if err == nil && plain.ID != key.ID {
		err = errors.New("the key object has fields or a notation that new roots do not take (hint: give the key as PEM)")
	}
	return plain, err
}

// oneLine puts the hint of an error behind it, as every fault is one line.
func oneLine(s string) string {
	fact, hint, found := strings.Cut(s, "\nhint: ")
	if !found {
		return s
	}
	return fact + " (hint: " + hint + ")"
}

// maxDays bounds how far ahead a root may expire: the longest time that is
// not a slip of the pen.
const maxDays = 3650

// expiry reads RootPlan.Expires: a moment, or a number of days from now.
func expiry(text string, now time.Time) (time.Time, error) {
	const hint = `(hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)`
	if digits, isDays := strings.CutSuffix(text, "d"); isDays {
		days := 0
		if _, err := fmt.Sscanf(digits, "%d", &days); err != nil || fmt.Sprint(days) != digits || days < 1 || days > maxDays {
			return time.Time{}, fmt.Errorf("expires %q is not a number of days from 1d to %dd", text, maxDays)
		}
		// From the end of the day, so that the digest read aloud is the same all day.
		return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, days+1), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("expires %q is not a time %s", text, hint)
	case at.Nanosecond() != 0 || strings.ContainsAny(text, ".,"):
		return time.Time{}, fmt.Errorf("expires %q has fractions of a second %s", text, hint)
	case !strings.HasSuffix(text, "Z"):
		return time.Time{}, fmt.Errorf("expires %q has an offset from UTC %s", text, hint)
	case at.Format(time.RFC3339) != text:
		return time.Time{}, fmt.Errorf("expires %q is not a time %s", text, hint)
	}
	return at.UTC(), nil
}
