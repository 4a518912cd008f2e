package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"time"

	"rootceremony/ceremony/tuf"
)

func draft(args []string, out *bufio.Writer) error {
	at := time.Now()
	flags := flag.NewFlagSet("draft", flag.ContinueOnError)
	flags.Func("at", "", timeFlag(&at))
	previous := flags.String("previous", "", "")
	trusted := ""
	flags.Func("trusted-sha256", "", sumFlag(&trusted))
	rehearsal := flags.Bool("rehearsal", false, "")
	names, err := operands(flags, args)
	switch {
	case err != nil:
		return err
	case len(names) != 1:
		return usageError{fmt.Errorf("draft needs one file, not %d\nhint: rootverify draft --help", len(names))}
	case trusted != "" && *previous == "":
		return usageError{errors.New("--trusted-sha256 goes with --previous, and is of the file that that names\nhint: rootverify draft --help")}
	}
	file, _, err := load(names[0], *rehearsal)
	if err != nil {
		return err
	}
	var before *inForce
	if *previous != "" {
		if before, err = loadPrevious(*previous, trusted, *rehearsal); err != nil {
			return err
		}
	}
	return showDraft(out, names[0], file, before, at)
}

// inForce is the root that a draft is compared with.
type inForce struct {
	name    string
	file    *tuf.File
	sum     [32]byte // SHA-256 of the file
	vouched bool     // it is the one whose SHA-256 was given
}

// loadPrevious reads the root that a draft is compared with. It is one at all only
// with its own threshold of signatures; whose it is, they do not say.
func loadPrevious(name, trusted string, rehearsal bool) (*inForce, error) {
	file, sum, err := load(name, rehearsal)
	if err != nil {
		return nil, err
	}
	if report := file.Report(file.Root); !report.Good() {
		return nil, fmt.Errorf("%s: it is not signed by enough of its own keys: %s\nhint: name the root in force, as it was published; the draft was not looked at", name, report.Text(nil))
	}
	if trusted == "" {
		return &inForce{name, file, sum, false}, nil
	}
	return &inForce{name, file, sum, true}, anchored(name, hex.EncodeToString(sum[:]), trusted, file)
}

// load reads a root, and returns the SHA-256 of its file too.
func load(name string, rehearsal bool) (*tuf.File, [32]byte, error) {
	data, err := read(name)
	if err != nil {
		return nil, [32]byte{}, err
	}
	file, err := tuf.Parse(data)
	if err == nil && file.Root.Rehearsal() && !rehearsal {
		err = errRehearsal
	}
	if err != nil {
		return nil, [32]byte{}, fmt.Errorf("%s: %w", name, err)
	}
	return file, sha256.Sum256(data), nil
}

// An unvouchedError says that a draft was compared with a root that may be
// anybody's, or with none though one comes before it; or that nobody vouches yet
// for the end of a record: exit code 3.
type unvouchedError struct{ error }

// showDraft writes what the draft says and changes, then its digest. The error
// says why nobody should sign it, or that nobody has vouched for the root before,
// or named it.
func showDraft(out *bufio.Writer, name string, file *tuf.File, before *inForce, at time.Time) error {
	fmt.Fprintln(out, "What it says:")
	lines := tuf.Show(file, at, nil)
	for _, line := range lines {
		fmt.Fprintf(out, "  %s\n", line)
	}
	var problem error
	var old []*tuf.Root
	if before == nil && file.Root.Version > 1 {
		fmt.Fprintf(out, "ATTENTION: NOTHING WAS COMPARED: what version %d changes is not known without version %d (--previous)\n", file.Root.Version, file.Root.Version-1)
	}
	if before != nil {
		root := before.file.Root
		if before.vouched {
			fmt.Fprintln(out, "What it changes:")
		} else {
			fmt.Fprintln(out, "What it changes, compared with a root that nobody has vouched for on this machine:")
		}
		for _, change := range tuf.Diff(root, file.Root, at, nil) {
			fmt.Fprintf(out, "  %s\n", change)
		}
		if !before.vouched {
			fmt.Fprintf(out, "SHA-256 of the file %s, which nobody has vouched for on this machine:\n", tuf.Clean(before.name))
			printDigest(out, before.sum[:])
		}
		old = append(old, root)
		fmt.Fprintf(out, "Signatures for version %d: %s\n", root.Version, file.Report(root).Text(nil))
		problem = wrong(file, root)
		if file.Root.Version != root.Version+1 {
			problem = fmt.Errorf("version %d cannot follow version %d", file.Root.Version, root.Version)
		}
	}
	if err := file.Root.Check(old...); err != nil {
		fmt.Fprintf(out, "Not as rootceremony writes roots: %s\n", tuf.Clean(err.Error()))
	}
	if problem == nil {
		problem = wrong(file, file.Root)
	}
	if problem == nil {
		problem = twin(file.Root)
	}
	if !file.Root.Expires.After(at) {
		expired := errors.New("it has expired already")
		if problem != nil {
			expired = fmt.Errorf("%w; %w", problem, expired)
		}
		problem = expired
	}
	if problem != nil {
		fmt.Fprintln(out, "DO NOT SIGN THIS")
		return fmt.Errorf("%s: %w", name, problem)
	}
	digest := file.Digest()
	fmt.Fprintln(out, "SHA-256 of what is signed:")
	printDigest(out, digest[:])
	switch {
	case before == nil && file.Root.Version > 1:
		return unvouchedError{fmt.Errorf("%s: nothing was compared: version %d is shown without the one before it\nhint: give --previous the root in force, and --trusted-sha256 the SHA-256 of that file, known from elsewhere than this draft", name, file.Root.Version)}
	case before != nil && !before.vouched:
		return unvouchedError{fmt.Errorf("%s: compared with %s, and nobody has vouched for that on this machine\nhint: give --trusted-sha256 the SHA-256 of that file, known from elsewhere than this draft; or compare its words, above, with those that were announced", name, before.name)}
	}
	return nil
}

// twin returns an error where the root role holds one key under two ids: some
// clients count ids, so that its holder alone counts as two.
func twin(root *tuf.Root) error {
	ids := map[string]string{}
	for _, id := range root.Roles[tuf.RoleRoot].KeyIDs {
		key, _ := root.Key(id) // Parse has refused ids without a key
		if other, twice := ids[key.Value()]; twice {
			return fmt.Errorf("its root role holds one key under two ids, %s and %s, which some clients count as two keys", tuf.Clean(other), tuf.Clean(id))
		}
		ids[key.Value()] = id
	}
	return nil
}

// wrong returns an error where a signature does not fit its key.
func wrong(file *tuf.File, by *tuf.Root) error {
	for _, key := range file.Report(by).Keys {
		if key.State == tuf.StateWrong {
			return fmt.Errorf("the signature by %s is wrong: %s", key.KeyID, key.Reason)
		}
	}
	return nil
}
