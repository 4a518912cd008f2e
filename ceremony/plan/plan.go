// Package plan reads plan.toml, strictly, with the key files, the trusted chain
// and the earlier ceremonies that it names, and makes of it the plan that is
// agreed.
//
// What is wrong is a list of faults with line and column. Wrong types, unknown
// keys and what is missing are found here; what makes a plan impossible is found
// by package agreed, and placed here.
package plan

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

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/record"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/plainfile"
)

// maxPlan is the largest plan file that is read, in bytes.
const maxPlan = 256 << 10

// Plan is a plan.toml as it was read, with the key files it names. What a
// ceremony makes follows from Resolve alone.
type Plan struct {
	File string // as the caller named it, for messages
	Data []byte // the bytes of plan.toml

	Salt    string // of the private part, 64 hex digits; "": Resolve draws one
	Kind    string // Create, Rotate or Revoke
	Name    string
	Reason  string
	Trusted string
	Earlier []string

	Incident    record.Incident // Revoke: what has happened; "": not said
	Compromised []string        // with record.RoleCompromised: which online roles

	Root       RootPlan
	Token      agreed.TokenPolicy
	Backup     BackupPlan
	Recipients []Recipient
	Holders    []agreed.Holder
	Persons    []agreed.Person
	Drops      []agreed.Drop
	Roles      map[string]RolePlan // by tuf.RoleTimestamp, tuf.RoleSnapshot, tuf.RoleTargets
	Chain      *TrustedChain       // what Trusted names, verified; nil for Create

	Targets     *TargetsPlan // nil: nobody signs targets in the ceremony
	Delegations []DelegationPlan
	Carried     *tuf.TargetsFile // what Targets.File names; nil: not read
	carries     *agreed.CarriedTargets

	Where  map[string]place // where each value stands, by its path
	lines  []int            // where each line begins
	faults []Fault
	said   agreed.Said
}

// RootPlan is what [root] says.
type RootPlan struct {
	Threshold          int    // after Read the trusted root's where the plan says none
	Expires            string // RFC 3339 in UTC, or a number of days as "365d"
	ConsistentSnapshot bool
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

// RolePlan is an online role: its key files, and the keys that were in them
// when the plan was read, in the same order. Of targets it may be holders.
type RolePlan struct {
	Threshold int
	Files     []string
	Keys      []tuf.Key
	Holders   []string // as written: agreed.EveryHolder or ids; with them no Files
}

// Fault is one thing that is wrong in a plan. Line and Column count from 1,
// columns in characters.
type Fault struct {
	Line, Column int
	Text         string
}

// Error is everything that is wrong with a plan, in order of position.
type Error struct {
	File   string
	Faults []Fault
}

// shownFaults bounds the lines of a Error, as a file of another kind may
// have thousands.
const shownFaults = 25

// Error has a line for each fault: "plan.toml:12:9: what is wrong".
func (e *Error) Error() string {
	var lines []string
	for _, f := range e.Faults[:min(len(e.Faults), shownFaults)] {
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", e.File, f.Line, f.Column, f.Text))
	}
	if more := len(e.Faults) - shownFaults; more > 0 {
		lines = append(lines, fmt.Sprintf("%s: and %d more", e.File, more))
	}
	return strings.Join(lines, "\n")
}

// Read reads a plan.toml and the key files it names. What is wrong with
// the contents of either is a *Error that lists all of it; a plan that
// cannot be read at all is another error.
func Read(file string) (*Plan, error) { return ReadOn(file, "") }

// readPlan is Read for a plan that may follow on the chain in another
// folder than it says.
func ReadOn(file, chain string) (*Plan, error) {
	data, err := plainfile.Read(file, maxPlan)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p, err := DecodePlan(data, file)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("folder of the plan: %w", err)
	}
	defer dir.Close()
	p.ReadKeys(func(file string) (tuf.Key, error) { return ReadKeyFile(dir, file) })
	if p.Follows() && chain != "" {
		p.Trusted = chain
	}
	if p.Follows() {
		p.ReadTrusted()
	}
	p.readTargets(dir)
	p.Judge()
	return p, p.Err()
}

// ParsePlan reads a plan from its bytes, without the key files it names. file
// is its name in messages.
func ParsePlan(data []byte, file string) (*Plan, error) {
	p, err := DecodePlan(data, file)
	if err != nil {
		return nil, err
	}
	p.Judge()
	return p, p.Err()
}

// DecodePlan reads a plan whose faults are still to be asked for with err. Its
// own error says that the file is not TOML.
func DecodePlan(data []byte, file string) (*Plan, error) {
	if len(data) > maxPlan {
		return nil, fmt.Errorf("%s: over %d bytes: not a plan", file, maxPlan)
	}
	p := &Plan{File: file, Data: bytes.Clone(data), said: agreed.Said{}}
	if err := p.decode(); err != nil {
		return nil, err
	}
	p.present()
	return p, nil
}

// Err returns what is wrong so far, in order of position.
func (p *Plan) Err() error {
	if len(p.faults) == 0 {
		return nil
	}
	faults := slices.Clone(p.faults)
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{p.File, faults}
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
	p.faultAt(p.Where[found].Value, text)
}

// missing adds a fault for a value that must be there, and reports whether it
// is: not at all, or only as an empty text.
func (p *Plan) missing(path string, empty bool, hint string) bool {
	_, there := p.Where[path]
	switch {
	case !there:
		p.fault(path, "%s is missing (hint: %s)", last(path), hint)
	case empty:
		p.fault(path, "%s is empty (hint: %s)", last(path), hint)
	}
	return !there || empty
}

// ReadKeys reads the key files that the plan names, as read does.
func (p *Plan) ReadKeys(read func(file string) (tuf.Key, error)) {
	for name, role := range p.Roles {
		role.Keys = p.readKeys("role."+name, "role "+name, role.Files, read)
		p.Roles[name] = role
	}
	for i := range p.Delegations {
		d := &p.Delegations[i]
		d.Keys = p.readKeys(agreed.Element("delegation", i), fmt.Sprintf("role %q", d.Name), d.Files, read)
	}
}

// readKeys reads the key files of the role that stands at a path.
func (p *Plan) readKeys(at, role string, files []string, read func(file string) (tuf.Key, error)) []tuf.Key {
	all, seen := make([]tuf.Key, len(files)), map[keys.PublicKey]string{}
	for i, file := range files {
		path := agreed.Element(at+".keys", i)
		if p.said[path] {
			continue
		}
		key, err := read(file)
		if err != nil {
			p.fault(path, "%v", err)
			continue
		}
		if first, twice := seen[key.Public]; twice {
			p.fault(path, "key file %q holds the same key as %q: one key cannot count twice in %s", file, first, role)
			continue
		}
		seen[key.Public] = file
		all[i] = key
	}
	return all
}

// Paths are the files and folders that the plan names: key files, a targets file, the
// trusted chain, and the directories of earlier ceremonies.
func (p *Plan) Paths() []string {
	all := p.earlierDirs()
	if p.Trusted != "" {
		all = append(all, p.fromHere(p.Trusted))
	}
	for _, file := range p.files() {
		all = append(all, p.fromHere(file))
	}
	return all
}

// files are the files beside the plan that it names: key files, and the targets file.
func (p *Plan) files() []string {
	var all []string
	for _, role := range p.Roles {
		all = append(all, role.Files...)
	}
	for _, d := range p.Delegations {
		all = append(all, d.Files...)
	}
	if p.Targets != nil && p.Targets.File != "" {
		all = append(all, p.Targets.File)
	}
	return all
}

// fromHere is a path as it counts from the plan's folder.
func (p *Plan) fromHere(path string) string {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(p.File), path)
}

// maxKeyFile is the largest key file that is read, in bytes.
const maxKeyFile = 64 << 10

// ReadKeyFile reads one public key from inside dir, as readLocal does.
func ReadKeyFile(dir *os.Root, file string) (tuf.Key, error) {
	data, err := readLocal(dir, "key file", file, maxKeyFile)
	if err != nil {
		return tuf.Key{}, err
	}
	key, err := tuf.ParseKeyFile(data)
	if err != nil {
		return tuf.Key{}, fmt.Errorf("key file %q: %s", file, agreed.OneLine(err.Error()))
	}
	return key, nil
}

// readLocal reads a file from inside dir, of so many bytes at most. Links that lead out
// of it are refused. Errors name the file, and what it was to be.
func readLocal(dir *os.Root, what, file string, most int64) ([]byte, error) {
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
		return fmt.Errorf("%s %q: %w", what, file, err)
	}
	f, err := dir.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, wrong(err)
	}
	defer f.Close()
	data, err := plainfile.Contents(f, most)
	if err != nil {
		return nil, wrong(err)
	}
	return data, nil
}
