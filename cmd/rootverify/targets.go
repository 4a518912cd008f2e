package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys/plainfile"
)

// targetsDraft is targets metadata that is about to be signed, and what it is held to.
type targetsDraft struct {
	name     string
	file     *tuf.TargetsFile
	root     *inForce         // says who must sign; nil: not given
	previous *tuf.TargetsFile // nil: not given
	by       *tuf.Root        // the root whose role targets has signed the previous one
	sum      [32]byte         // SHA-256 of the previous file
}

// draftOfTargets shows targets metadata that is about to be signed. root names the root
// in force, and previous the metadata before.
func draftOfTargets(out *bufio.Writer, name, root, previous, trusted string, rehearsal bool, at time.Time) error {
	if root == "" && (previous != "" || trusted != "") {
		return usageError{errors.New("--previous and --trusted-sha256 of targets go with --root, which says who must sign\nhint: rootverify draft --help")}
	}
	d := targetsDraft{name: name}
	var err error
	if d.file, _, err = loadTargets(name, rehearsal); err != nil {
		return err
	}
	if root != "" {
		if d.root, err = loadPrevious(root, trusted, rehearsal); err != nil {
			return err
		}
	}
	if previous != "" {
		if d.previous, d.sum, err = loadTargets(previous, rehearsal); err != nil {
			return err
		}
		if d.by = d.root.signerOf(d.previous); d.by == nil {
			return fmt.Errorf("%s: it is not signed by enough keys of the role targets: %s\nhint: name the targets metadata as it was published; the draft was not looked at", previous, d.previous.Report(d.root.file.Root).Text(nil))
		}
	}
	return d.show(out, at)
}

// loadTargets reads targets metadata, and returns the SHA-256 of its file too.
func loadTargets(name string, rehearsal bool) (*tuf.TargetsFile, [32]byte, error) {
	data, err := plainfile.Read(name, tuf.MaxTargetsSize)
	if err != nil {
		return nil, [32]byte{}, err
	}
	file, err := tuf.ParseTargets(data)
	if err == nil && file.Targets.Rehearsal() && !rehearsal {
		err = errRehearsal
	}
	if err != nil {
		return nil, [32]byte{}, fmt.Errorf("%s: %w", name, err)
	}
	return file, sha256.Sum256(data), nil
}

// signerOf is the newest root for whose role targets a file has enough signatures: the
// one in force, or one before it, as metadata outlives the keys that signed it.
func (f *inForce) signerOf(file *tuf.TargetsFile) *tuf.Root {
	for i := len(f.chain) - 1; i >= 0; i-- {
		if file.Report(f.chain[i]).Good() {
			return f.chain[i]
		}
	}
	return nil
}

// show writes what the draft says and changes, then its digest. The error says why
// nobody should sign it, or what nobody has vouched for.
func (d targetsDraft) show(out *bufio.Writer, at time.Time) error {
	fmt.Fprintln(out, "What it says:")
	for _, line := range tuf.ShowTargets(d.file, tuf.RoleTargets, at, nil) {
		fmt.Fprintf(out, "  %s\n", line)
	}
	var before *tuf.Targets
	switch {
	case d.previous != nil:
		before = d.previous.Targets
		fmt.Fprintln(out, "What it changes:")
		for _, change := range tuf.DiffTargets(before, d.file.Targets, at, nil) {
			fmt.Fprintf(out, "  %s\n", change)
		}
		if skipped := d.file.Targets.Version - before.Version - 1; skipped > 0 {
			fmt.Fprintf(out, "ATTENTION: %d VERSIONS ARE SKIPPED: clients that take this one take none of them any more\n", skipped)
		}
		if d.by != d.root.file.Root {
			fmt.Fprintf(out, "ATTENTION: THE ONE BEFORE HAS ENOUGH SIGNATURES FOR ROOT VERSION %d ONLY: anyone who had those keys could have made it; compare its SHA-256 with that of the published one\n", d.by.Version)
		}
		fmt.Fprintf(out, "The one before has enough signatures for root version %d; SHA-256 of its file:\n", d.by.Version)
		printDigest(out, d.sum[:])
	case d.file.Targets.Version > 1:
		fmt.Fprintf(out, "ATTENTION: NOTHING WAS COMPARED: which files and delegations version %d changes is not known without the one before (--previous)\n", d.file.Targets.Version)
	}
	if d.root != nil {
		if !d.root.file.Root.Expires.After(at) {
			fmt.Fprintf(out, "ATTENTION: root version %d HAS EXPIRED: clients take no targets until they have the next one\n", d.root.file.Root.Version)
		}
		fmt.Fprintf(out, "Signatures for the role targets of root version %d: %s\n", d.root.file.Root.Version, d.file.Report(d.root.file.Root).Text(nil))
	}
	if err := d.file.Targets.Check(before); err != nil {
		fmt.Fprintf(out, "Not as rootceremony writes targets: %s\n", tuf.Clean(err.Error()))
	}
	if problem := d.whyNot(before, at); problem != nil {
		fmt.Fprintln(out, "DO NOT SIGN THIS")
		return fmt.Errorf("%s: %w", d.name, problem)
	}
	digest := d.file.Digest()
	fmt.Fprintln(out, "SHA-256 of what is signed:")
	printDigest(out, digest[:])
	switch {
	case d.root == nil:
		return unvouchedError{fmt.Errorf("%s: who must sign it is not known\nhint: give --root the root that goes live with it, and --trusted-sha256 the SHA-256 of that file, known from elsewhere than this draft", d.name)}
	case d.previous == nil && d.file.Targets.Version > 1:
		return unvouchedError{fmt.Errorf("%s: nothing was compared: version %d is shown without the one before it\nhint: give --previous the targets metadata that is published now", d.name, d.file.Targets.Version)}
	case !d.root.vouched:
		return unvouchedError{fmt.Errorf("%s: held to %s, and nobody has vouched for that on this machine\nhint: give --trusted-sha256 the SHA-256 of that file, known from elsewhere than this draft", d.name, d.root.name)}
	}
	return nil
}

// maxVersion is the highest that clients can read: their numbers are exact up to 2^53.
const maxVersion = 1<<53 - 1

// exposed is an error where anyone can sign in place of those who should, as the private
// half of a key is published.
func (d targetsDraft) exposed() error {
	root := d.root.file.Root
	for _, id := range root.Roles[tuf.RoleTargets].KeyIDs {
		if k, _ := root.Key(id); d.root.exposed[k.Value()] > 0 {
			return fmt.Errorf("the private half of the key %.8s of the role targets is published: anyone can sign with it", id)
		}
	}
	if delegations := d.file.Targets.Delegations; delegations != nil {
		for _, k := range delegations.Keys {
			if k.Exposed || d.root.exposed[k.Value()] > 0 {
				return fmt.Errorf("the private half of the key %.8s, to which it delegates, is published: anyone can sign with it", k.ID)
			}
		}
	}
	return nil
}

// whyNot is why nobody should sign the draft; nil: nothing says so.
func (d targetsDraft) whyNot(before *tuf.Targets, at time.Time) error {
	var problem error
	if before != nil && d.file.Targets.Version <= before.Version {
		problem = fmt.Errorf("version %d cannot follow version %d", d.file.Targets.Version, before.Version)
	}
	if d.file.Targets.Version == maxVersion {
		problem = cmp.Or(problem, fmt.Errorf("no version can follow version %d", d.file.Targets.Version))
	}
	problem = cmp.Or(problem, d.file.Fit(before))
	if d.root != nil {
		problem = cmp.Or(problem, d.exposed())
		problem = cmp.Or(problem, wrongIn(d.file.Report(d.root.file.Root)), twin(d.root.file.Root, tuf.RoleTargets))
	}
	if !d.file.Targets.Expires.After(at) {
		return errors.Join(problem, errors.New("it has expired already"))
	}
	return problem
}
