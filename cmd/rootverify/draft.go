package main

import (
	"bufio"
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
	rehearsal := flags.Bool("rehearsal", false, "")
	names, help, err := operands(flags, args)
	switch {
	case help:
		_, err := out.WriteString(draftUsage)
		return err
	case err != nil:
		return err
	case len(names) != 1:
		return usageError{fmt.Errorf("draft needs one file, not %d\nhint: rootverify draft --help", len(names))}
	}
	file, err := load(names[0], *rehearsal)
	if err != nil {
		return err
	}
	var before *tuf.File
	if *previous != "" {
		if before, err = load(*previous, *rehearsal); err != nil {
			return err
		}
	}
	return showDraft(out, names[0], file, before, at)
}

func load(name string, rehearsal bool) (*tuf.File, error) {
	data, err := read(name)
	if err != nil {
		return nil, err
	}
	file, err := tuf.Parse(data)
	if err == nil && file.Root.Rehearsal() && !rehearsal {
		err = errRehearsal
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}

// showDraft writes what the draft says and changes, then its digest. The error
// says why nobody should sign it.
func showDraft(out *bufio.Writer, name string, file, before *tuf.File, at time.Time) error {
	fmt.Fprintln(out, "What it says:")
	lines := tuf.Show(file, at, nil)
	for _, line := range lines {
		fmt.Fprintf(out, "  %s\n", line)
	}
	var problem error
	var old []*tuf.Root
	if before == nil && file.Root.Version > 1 {
		fmt.Fprintf(out, "What it changes is not known: version %d is shown without the one before it (--previous)\n", file.Root.Version)
	}
	if before != nil {
		fmt.Fprintln(out, "What it changes:")
		for _, change := range tuf.Diff(before.Root, file.Root, at, nil) {
			fmt.Fprintf(out, "  %s\n", change)
		}
		old = append(old, before.Root)
		fmt.Fprintf(out, "Signatures for version %d: %s\n", before.Root.Version, file.Report(before.Root).Text(nil))
		problem = wrong(file, before.Root)
		if file.Root.Version != before.Root.Version+1 {
			problem = fmt.Errorf("version %d cannot follow version %d", file.Root.Version, before.Root.Version)
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
