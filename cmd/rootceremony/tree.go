package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/plainfile"
)

// published is a folder of metadata as clients fetch it: who signs what, by the newest
// root of a verified chain, and for each role by the file with the highest version that
// enough of its keys have signed.
type published struct {
	tree    tuf.Tree
	exposed map[string]int64 // keys whose private half the chain publishes
	files   map[string][]*publishedFile
	notes   []string // what does not count, and why; what nobody has checked
	noted   map[string]bool
}

// publishedFile is one file of a role. It is read when the role is asked for.
type publishedFile struct {
	name    string
	version int64 // by the name, then by the content; 0: the name has none
	read    bool
	file    *tuf.TargetsFile // nil: it can't be read
	problem error
}

// readPublished verifies the chain of roots in a folder, and reads the newest metadata of
// targets. Other roles are read when they are asked for.
func readPublished(dir string) (*published, error) {
	chain, err := plan.ReadTrusted(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	root := chain.Last.Root
	p := &published{exposed: chain.Exposed, files: map[string][]*publishedFile{}, noted: map[string]bool{}}
	p.tree = tuf.Tree{Root: root, Load: func(parent *tuf.Targets, role string) *tuf.Targets {
		p.alarm(parent.Delegations.Keys)
		return p.newest(role, func(f *tuf.TargetsFile) tuf.Report { return f.ReportDelegated(parent, role) })
	}}
	if root.Rehearsal() {
		p.note("REHEARSAL: the root is not for production")
	}
	if !root.Expires.After(clock()) {
		p.note(fmt.Sprintf("root version %d has EXPIRED: clients refuse everything until they have the next one", root.Version))
	}
	p.note(fmt.Sprintf("root version %d is taken on trust, and no snapshot is asked which versions are live", chain.Steps[0].Version))
	for _, e := range entries {
		name, isJSON := strings.CutSuffix(e.Name(), ".json")
		if !isJSON || e.IsDir() {
			continue
		}
		file := &publishedFile{name: filepath.Join(dir, e.Name())}
		if number, rest, dotted := strings.Cut(name, "."); dotted {
			if version, err := strconv.ParseUint(number, 10, 63); err == nil && strconv.FormatUint(version, 10) == number {
				file.version, name = int64(version), rest
			}
		}
		role, err := url.PathUnescape(name) // as clients escape names of roles in file names
		if err != nil {
			p.note(fmt.Sprintf("%s: it has the name of no role, and is left out", file.name))
			continue
		}
		p.files[role] = append(p.files[role], file)
	}
	p.alarm(root.Keys)
	p.tree.Targets = p.newest(tuf.RoleTargets, func(f *tuf.TargetsFile) tuf.Report { return f.Report(root) })
	return p, nil
}

func (p *published) note(text string) {
	if !p.noted[text] {
		p.noted[text] = true
		p.notes = append(p.notes, text)
	}
}

// alarm says which keys are published with their private half.
func (p *published) alarm(list []tuf.Key) {
	for _, k := range list {
		if k.Exposed || p.exposed[k.Value()] > 0 {
			p.note(fmt.Sprintf("ALARM: the private half of the key %.8s is published: anyone can sign with it", k.ID))
		}
	}
}

// newest is the metadata of a role with the highest version that enough of its keys have
// signed; nil where the folder has none. Older files may be signed by keys that are gone.
func (p *published) newest(role string, report func(*tuf.TargetsFile) tuf.Report) *tuf.Targets {
	files := p.files[role]
	read := func(f *publishedFile) {
		if f.read {
			return
		}
		f.read = true
		f.file, f.problem = readTargets(f.name)
		switch {
		case f.problem != nil:
		case f.version == 0:
			f.version = f.file.Targets.Version
		case f.file.Targets.Version != f.version:
			f.file, f.problem = nil, fmt.Errorf("%s holds version %d", f.name, f.file.Targets.Version)
		}
	}
	for _, f := range files {
		if f.version == 0 {
			read(f)
		}
	}
	slices.SortStableFunc(files, func(a, b *publishedFile) int { return cmp.Compare(b.version, a.version) })
	var good *publishedFile
	for _, f := range files {
		if good != nil && f.version < good.version {
			break
		}
		read(f)
		problem := f.problem
		if problem == nil {
			if r := report(f.file); !r.Good() {
				problem = fmt.Errorf("%s is not signed by enough keys of its role: %s", f.name, r.Text(nil))
			}
		}
		switch {
		case problem != nil:
			p.note(fmt.Sprintf("ALARM: %v: it does not count here", problem))
		case good == nil:
			good = f
		case !bytes.Equal(f.file.Signed, good.file.Signed):
			p.note(fmt.Sprintf("ALARM: %s and %s are two files of one version, and both are signed by enough keys: clients may be given either", good.name, f.name))
		}
	}
	if good == nil {
		return nil
	}
	if !good.file.Targets.Expires.After(clock()) {
		p.note(fmt.Sprintf("%s has EXPIRED: clients refuse it", good.name))
	}
	for _, note := range tuf.Notes(good.file.Findings) {
		p.note(fmt.Sprintf("note: %s: %s", good.name, note))
	}
	return good.file.Targets
}

// readTargets reads a targets metadata file and complains by its name.
func readTargets(name string) (*tuf.TargetsFile, error) {
	text, err := plainfile.Read(name, tuf.MaxTargetsSize)
	if err != nil {
		return nil, err
	}
	file, err := tuf.ParseTargets(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}

// showWho says who can sign for a path, by the metadata in a folder.
func showWho(path, dir, record string, asJSON bool) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return &usageError{fmt.Sprintf("show --who: %s is a file, and the folder of the published metadata is needed, with N.root.json and targets.json in it", dir)}
	}
	p, err := readPublished(dir)
	if err != nil {
		return err
	}
	signers, err := p.tree.Who(path)
	if err != nil {
		return err
	}
	if asJSON {
		err := printPlainJSON(struct {
			Signers []tuf.Signer `json:"signers"`
			Notes   []string     `json:"notes"`
		}{signers, p.notes})
		return cmp.Or(err, p.lacking(dir))
	}
	names, from, err := holderNames(record, filepath.Join(dir, "root.json"))
	if err != nil {
		return err
	}
	lines := append(p.notes, "who can sign "+path+", in the order in which clients ask:")
	asked := 0
	for i, s := range signers {
		lines = append(lines, fmt.Sprintf("  %d. %s", i+1, s.Text(names)))
		if s.Shadowed != "" {
			continue
		}
		if !s.Known {
			lines = append(lines, "     no metadata of it that its keys have signed is here: the roles to which it delegates aren't known")
		}
		if asked++; asked == tuf.MaxAsked && i+1 < len(signers) {
			lines = append(lines, fmt.Sprintf("  clients that aren't told otherwise stop here: they ask %d roles", tuf.MaxAsked))
		}
	}
	return cmp.Or(printLines(append(lines, from...)), p.lacking(dir))
}

// lacking is an error where the folder has no good metadata of targets.
func (p *published) lacking(dir string) error {
	if p.tree.Targets != nil {
		return nil
	}
	return errors.New("there is no good targets metadata in " + dir + ": to whom targets delegates isn't known (hint: put targets.json there, or N.targets.json)")
}

// showTree shows who signs for which paths, by the metadata in a folder.
func showTree(dir, record string) error {
	p, err := readPublished(dir)
	if err != nil {
		return err
	}
	names, from, err := holderNames(record, filepath.Join(dir, "root.json"))
	if err != nil {
		return err
	}
	lines := p.tree.Lines(names) // which reads what it shows, and notes what does not count
	return cmp.Or(printLines(append(append(p.notes, lines...), from...)), p.lacking(dir))
}

// delegationKeys are the keys that targets metadata brings for those to whom it delegates.
func delegationKeys(t *tuf.Targets) []tuf.Key {
	if t.Delegations == nil {
		return nil
	}
	return t.Delegations.Keys
}

// showTargets says what a targets metadata file says.
func showTargets(name string, f *tuf.TargetsFile, record string) error {
	holders, from, err := holderNames(record, name)
	if err != nil {
		return err
	}
	return printLines(append(append([]string{name}, tuf.ShowTargets(f, "", clock(), holders.named(delegationKeys(f.Targets)))...), from...))
}

// diffTargets says what differs between two targets metadata files of one role.
func diffTargets(old, new, record string, asJSON bool) error {
	was, err := readTargets(old)
	if err != nil {
		return err
	}
	is, err := readTargets(new)
	if err != nil {
		return err
	}
	holders, from, err := holderNames(record, old, new)
	if err != nil {
		return err
	}
	changes := tuf.DiffTargets(was.Targets, is.Targets, clock(), holders.named(delegationKeys(was.Targets), delegationKeys(is.Targets)))
	if asJSON {
		return printPlainJSON(map[string]any{"changes": changes})
	}
	var lines []string
	for _, change := range changes {
		lines = append(lines, change.Text)
	}
	return printLines(append(append(lines, "signatures aren't checked here: who must sign stands in the root, or in the role that delegates (hint: show the folder in which they are published)"), from...))
}

// shownTargets is a targets metadata file as show --json writes it.
type shownTargets struct {
	File        string            `json:"file"`
	SHA256      string            `json:"sha256"` // of the file
	Digest      string            `json:"digest"` // SHA-256 of what is signed
	Version     int64             `json:"version"`
	Expires     time.Time         `json:"expires"`
	Expired     bool              `json:"expired"`
	SpecVersion string            `json:"spec_version"`
	Rehearsal   bool              `json:"rehearsal"`
	Targets     int               `json:"targets"` // how many files
	Delegations []shownDelegation `json:"delegations"`
	SignedBy    []string          `json:"signed_by"` // key ids of all signatures, which aren't checked
	Findings    []tuf.Finding     `json:"findings"`
}

type shownDelegation struct {
	Role             string   `json:"role"`
	Threshold        int      `json:"threshold"`
	KeyIDs           []string `json:"keyids"`
	Paths            []string `json:"paths,omitempty"`
	PathHashPrefixes []string `json:"path_hash_prefixes,omitempty"`
	Bins             uint64   `json:"bins,omitempty"` // of succinct roles, whose names begin with role
	Terminating      bool     `json:"terminating"`
}

func newShownTargets(name string, text []byte, f *tuf.TargetsFile) shownTargets {
	t := f.Targets
	s := shownTargets{
		File: name, SHA256: fmt.Sprintf("%x", sha256.Sum256(text)), Digest: fmt.Sprintf("%x", f.Digest()),
		Version: t.Version, Expires: t.Expires, Expired: !t.Expires.After(clock()), SpecVersion: t.SpecVersion, Rehearsal: t.Rehearsal(),
		Targets: len(t.Targets), Delegations: []shownDelegation{}, SignedBy: []string{}, Findings: append([]tuf.Finding{}, f.Findings...),
	}
	if d := t.Delegations; d != nil {
		for _, r := range d.Roles {
			s.Delegations = append(s.Delegations, shownDelegation{r.Name, r.Threshold, r.KeyIDs, r.Paths, r.PathHashPrefixes, 0, r.Terminating})
		}
		if b := d.Succinct; b != nil {
			s.Delegations = append(s.Delegations, shownDelegation{b.NamePrefix, b.Threshold, b.KeyIDs, nil, nil, 1 << b.BitLength, true})
		}
	}
	for _, sig := range f.Signatures {
		if len(sig.Sig) > 0 {
			s.SignedBy = append(s.SignedBy, sig.KeyID)
		}
	}
	return s
}
