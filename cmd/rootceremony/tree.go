package main

import (
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
// root and the newest metadata of each role that enough of its keys have signed.
type published struct {
	tree  tuf.Tree
	files map[string][]publishedFile // by role, the newest first
	notes []string                   // what does not count, and why
}

// publishedFile is one file of a role.
type publishedFile struct {
	name    string
	version int64 // by the name; 0: the name has none
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
	p := &published{tree: tuf.Tree{Root: chain.Last.Root, Delegated: map[string]*tuf.Targets{}}, files: map[string][]publishedFile{}}
	for _, e := range entries {
		name, isJSON := strings.CutSuffix(e.Name(), ".json")
		if !isJSON || e.IsDir() {
			continue
		}
		file := publishedFile{name: filepath.Join(dir, e.Name())}
		if number, rest, dotted := strings.Cut(name, "."); dotted {
			if version, err := strconv.ParseUint(number, 10, 63); err == nil {
				file.version, name = int64(version), rest
			}
		}
		role, err := url.PathUnescape(name) // as clients escape names of roles in file names
		if err != nil {
			p.notes = append(p.notes, fmt.Sprintf("%s: it has the name of no role, and is left out", file.name))
			continue
		}
		p.files[role] = append(p.files[role], file)
	}
	for _, files := range p.files {
		slices.SortFunc(files, func(a, b publishedFile) int { return int(min(1, max(-1, b.version-a.version))) })
	}
	p.tree.Targets = p.newest(tuf.RoleTargets, func(f *tuf.TargetsFile) tuf.Report { return f.Report(p.tree.Root) })
	return p, nil
}

// newest is the newest metadata of a role that enough of its keys have signed; nil where
// the folder has none.
func (p *published) newest(role string, report func(*tuf.TargetsFile) tuf.Report) *tuf.Targets {
	for _, file := range p.files[role] {
		f, err := readTargets(file.name)
		switch {
		case err != nil:
		case file.version > 0 && f.Targets.Version != file.version:
			err = fmt.Errorf("%s holds version %d", file.name, f.Targets.Version)
		case !report(f).Good():
			err = fmt.Errorf("%s is not signed by enough keys of its role: %s", file.name, report(f).Text(nil))
		default:
			if !f.Targets.Expires.After(clock()) {
				p.notes = append(p.notes, fmt.Sprintf("%s has expired: clients refuse it", file.name))
			}
			return f.Targets
		}
		p.notes = append(p.notes, fmt.Sprintf("ALARM: %v: it does not count here", err))
	}
	return nil
}

// delegated reads a role to which another one delegates, and reports whether it could.
func (p *published) delegated(by, role string) bool {
	parent := p.tree.Targets
	if by != tuf.RoleTargets {
		parent = p.tree.Delegated[by]
	}
	t := p.newest(role, func(f *tuf.TargetsFile) tuf.Report { return f.ReportDelegated(parent, role) })
	if t != nil {
		p.tree.Delegated[role] = t
	}
	return t != nil
}

// who returns the roles that can sign for a path, and reads the metadata that says so.
func (p *published) who(path string) ([]tuf.Signer, error) {
	asked := map[string]bool{tuf.RoleTargets: true}
	for {
		signers, err := p.tree.Who(path)
		if err != nil {
			return nil, err
		}
		found := false
		for _, s := range signers {
			if s.Shadowed == "" && !asked[s.Role] {
				asked[s.Role] = true
				found = p.delegated(s.By, s.Role) || found
			}
		}
		if !found {
			return signers, nil
		}
	}
}

// all reads every role that the folder has.
func (p *published) all() {
	pending, seen := []string{tuf.RoleTargets}, map[string]bool{tuf.RoleTargets: true}
	for len(pending) > 0 {
		by := pending[0]
		pending = pending[1:]
		t := p.tree.Delegated[by]
		if by == tuf.RoleTargets {
			t = p.tree.Targets
		}
		if t == nil || t.Delegations == nil {
			continue
		}
		for _, d := range t.Delegations.Roles {
			if !seen[d.Name] {
				seen[d.Name] = true
				if p.delegated(by, d.Name) {
					pending = append(pending, d.Name)
				}
			}
		}
	}
}

// keys are all keys that the tree names.
func (p *published) keys() [][]tuf.Key {
	all := [][]tuf.Key{p.tree.Root.Keys}
	if p.tree.Targets != nil {
		all = append(all, delegationKeys(p.tree.Targets))
	}
	for _, t := range p.tree.Delegated {
		all = append(all, delegationKeys(t))
	}
	return all
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
		return &usageError{fmt.Sprintf("show --who: %s is a file (hint: name the folder of the published metadata, with N.root.json and targets.json in it)", dir)}
	}
	p, err := readPublished(dir)
	if err != nil {
		return err
	}
	signers, err := p.who(path)
	if err != nil {
		return err
	}
	if asJSON {
		return printPlainJSON(signers)
	}
	holders, from, err := holderNames(record, filepath.Join(dir, "root.json"))
	if err != nil {
		return err
	}
	names := holders.named(p.keys()...)
	lines := append(p.notes, "who can sign "+path+", in the order in which clients ask:")
	for i, s := range signers {
		lines = append(lines, fmt.Sprintf("  %d. %s", i+1, s.Text(names)))
		if !s.Known && s.Shadowed == "" {
			lines = append(lines, "     its metadata isn't here: the roles to which it delegates aren't known")
		}
	}
	if err := printLines(append(lines, from...)); err != nil {
		return err
	}
	if p.tree.Targets == nil {
		return errors.New("there is no good targets metadata in " + dir + ": to whom targets delegates isn't known (hint: put targets.json there, or N.targets.json)")
	}
	return nil
}

// showTree shows who signs for which paths, by the metadata in a folder.
func showTree(dir, record string) error {
	p, err := readPublished(dir)
	if err != nil {
		return err
	}
	p.all()
	holders, from, err := holderNames(record, filepath.Join(dir, "root.json"))
	if err != nil {
		return err
	}
	return printLines(append(append(p.notes, p.tree.Lines(holders.named(p.keys()...))...), from...))
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
	return printLines(append(append([]string{name}, tuf.ShowTargets(f, tuf.RoleTargets, clock(), holders.named(delegationKeys(f.Targets)))...), from...))
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
	return printLines(append(append(lines, "signatures aren't checked here: who must sign stands in the root, or in the role that delegates (hint: rootceremony show with the folder)"), from...))
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
