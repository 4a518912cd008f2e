package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/plainfile"
)

func draft(args []string, out *bufio.Writer) error {
	at := time.Now()
	var r recordFlags
	flags := flag.NewFlagSet("draft", flag.ContinueOnError)
	flags.Func("at", "", timeFlag(&at))
	previous := flags.String("previous", "", "")
	trusted := ""
	flags.Func("trusted-sha256", "", sumFlag(&trusted))
	flags.BoolVar(&r.o.Rehearsal, "rehearsal", false, "")
	recordDir := flags.String("record", "", "")
	root := flags.String("root", "", "")
	r.add(flags)
	names, err := operands(flags, args)
	switch {
	case err != nil:
		return err
	case len(names) != 1:
		return usageError{fmt.Errorf("draft needs one file, not %d\nhint: rootverify draft --help", len(names))}
	case trusted != "" && *previous == "" && *root == "":
		return usageError{errors.New("--trusted-sha256 goes with --previous, and is of the file that that names; with targets, with --root\nhint: rootverify draft --help")}
	case *recordDir == "" && len(r.roots)+len(r.intermediates) > 0:
		return usageError{errors.New("--attestation-root and --attestation-intermediates go with --record\nhint: rootverify draft --help")}
	case *recordDir != "" && *root != "":
		return usageError{errors.New("--record goes with the draft of a root, and --root with one of targets\nhint: rootverify draft --help")}
	}
	data, err := plainfile.Read(names[0], tuf.MaxTargetsSize)
	if err != nil {
		return err
	}
	if tuf.IsTargets(data) {
		if *recordDir != "" {
			return usageError{errors.New("--record goes with the draft of a root\nhint: rootverify draft --help")}
		}
		return draftOfTargets(out, names[0], *root, *previous, trusted, r.o.Rehearsal, at)
	}
	if *root != "" {
		return usageError{fmt.Errorf("--root goes with a draft of targets, and %s is none\nhint: rootverify draft --help", names[0])}
	}
	file, _, err := load(names[0], r.o.Rehearsal)
	if err != nil {
		return err
	}
	var before *inForce
	if *previous != "" {
		if before, err = loadPrevious(*previous, trusted, r.o.Rehearsal); err != nil {
			return err
		}
	}
	var people *audit.Report
	if *recordDir != "" {
		if people, err = auditedRecord(*recordDir, &r, file); err != nil {
			return err
		}
	}
	return showDraft(out, names[0], file, before, people, at)
}

// auditedRecord is the record that a draft is of, so far as it goes: it says whose
// its keys are.
func auditedRecord(dir string, r *recordFlags, draft *tuf.File) (*audit.Report, error) {
	o, err := r.options()
	if err != nil {
		return nil, err
	}
	report := audit.Directory(dir, o)
	digest := draft.Digest()
	switch err := judged(dir, report); {
	case report.Verdict() == audit.Bad:
		return nil, err
	case report.Draft != hex.EncodeToString(digest[:]):
		return nil, fmt.Errorf("%s: it is the record of another draft, or has none\nhint: a copy of the ceremony directory as it is now, with the draft in it", dir)
	}
	return report, nil
}

// inForce is the root that a draft is compared with.
type inForce struct {
	name    string
	file    *tuf.File
	sum     [32]byte         // SHA-256 of the file
	vouched bool             // it is the one whose SHA-256 was given, or follows on that
	chain   []*tuf.Root      // it and those before it, where they are known, from the first on
	exposed map[string]int64 // keys whose private half stands in a root of the chain
}

// loadPrevious reads the root that a draft is compared with: a file, or the newest
// of a folder, whose chain is verified. It is one at all only with its own
// threshold of signatures; whose it is, they do not say.
func loadPrevious(name, trusted string, rehearsal bool) (*inForce, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return newestOf(name, trusted, rehearsal)
	}
	file, sum, err := load(name, rehearsal)
	if err != nil {
		return nil, err
	}
	if report := file.Report(file.Root); !report.Good() {
		return nil, fmt.Errorf("%s: it is not signed by enough of its own keys: %s\nhint: name the root in force, as it was published; the draft was not looked at", name, report.Text(nil))
	}
	exposed := map[string]int64{}
	for value := range file.Root.Exposed() {
		exposed[value] = file.Root.Version
	}
	found := &inForce{name, file, sum, trusted != "", []*tuf.Root{file.Root}, exposed}
	if trusted == "" {
		return found, nil
	}
	return found, anchored(name, hex.EncodeToString(sum[:]), trusted, file)
}

// newestOf verifies the chain in a folder, and returns the newest root. The trusted
// SHA-256 is that of any of its files.
func newestOf(dir, trusted string, rehearsal bool) (*inForce, error) {
	files, err := tuf.RootFiles(dir)
	if err != nil {
		return nil, err
	}
	newest := &inForce{}
	var chain tuf.Chain
	for _, f := range files {
		text, err := read(f.Name)
		if err != nil {
			return nil, err
		}
		step, err := chain.Add(text)
		switch {
		case err == nil && step.Version != f.Version:
			err = fmt.Errorf("the name says version %d, the content version %d", f.Version, step.Version)
		case err == nil && step.Rehearsal && !rehearsal:
			err = errRehearsal
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		newest = &inForce{f.Name, chain.Last(), sha256.Sum256(text), newest.vouched || step.SHA256 == trusted, append(newest.chain, chain.Last().Root), chain.Exposed()}
	}
	if trusted != "" && !newest.vouched {
		return nil, fmt.Errorf("%s: none of its files has the trusted SHA-256 %s\nhint: it is that of a root file of this chain, such as the first or the one in force", dir, trusted)
	}
	return newest, nil
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
func showDraft(out *bufio.Writer, name string, file *tuf.File, before *inForce, people *audit.Report, at time.Time) error {
	names := map[string]string{}
	if people != nil {
		for _, k := range people.Keys {
			names[k.KeyID] = k.Name
		}
	}
	fmt.Fprintln(out, "What it says:")
	lines := tuf.Show(file, at, names)
	for _, line := range lines {
		fmt.Fprintf(out, "  %s\n", line)
	}
	var old []*tuf.Root
	switch {
	case before != nil:
		showChanges(out, file, before, names, at)
		old = append(old, before.file.Root)
	case file.Root.Version > 1:
		fmt.Fprintf(out, "ATTENTION: NOTHING WAS COMPARED: what version %d changes is not known without version %d (--previous)\n", file.Root.Version, file.Root.Version-1)
	}
	if people != nil {
		showKeys(func(format string, args ...any) { fmt.Fprintln(out, tuf.Clean(fmt.Sprintf(format, args...))) }, people)
	}
	if err := file.Root.Check(old...); err != nil {
		fmt.Fprintf(out, "Not as rootceremony writes roots: %s\n", tuf.Clean(err.Error()))
	}
	if problem := whyNot(file, before, at); problem != nil {
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

// showChanges writes what the draft changes of the root in force.
func showChanges(out *bufio.Writer, file *tuf.File, before *inForce, names map[string]string, at time.Time) {
	root := before.file.Root
	if before.vouched {
		fmt.Fprintln(out, "What it changes:")
	} else {
		fmt.Fprintln(out, "What it changes, compared with a root that nobody has vouched for on this machine:")
	}
	fmt.Fprintf(out, "  %s\n", tuf.Clean(comeAndGo(root, file.Root, names)))
	for _, change := range tuf.Diff(root, file.Root, at, names) {
		fmt.Fprintf(out, "  %s\n", change)
	}
	if !before.vouched {
		fmt.Fprintf(out, "SHA-256 of the file %s, which nobody has vouched for on this machine:\n", tuf.Clean(before.name))
		printDigest(out, before.sum[:])
	}
	fmt.Fprintf(out, "Signatures for version %d: %s\n", root.Version, file.Report(root).Text(nil))
}

// whyNot is why nobody should sign the draft; nil: nothing says so.
func whyNot(file *tuf.File, before *inForce, at time.Time) error {
	var problem error
	var old *tuf.Root
	if before != nil {
		root := before.file.Root
		old = root
		problem = wrongIn(file.Report(root))
		if file.Root.Version != root.Version+1 {
			problem = fmt.Errorf("version %d cannot follow version %d", file.Root.Version, root.Version)
		}
	}
	problem = cmp.Or(problem, file.Fit(old), wrongIn(file.Report(file.Root)), twin(file.Root, tuf.RoleRoot))
	if file.Root.Expires.After(at) {
		return problem
	}
	expired := errors.New("it has expired already")
	if problem != nil {
		expired = fmt.Errorf("%w; %w", problem, expired)
	}
	return expired
}

// comeAndGo says in one line whose root keys come, go and stay.
func comeAndGo(old, new *tuf.Root, names map[string]string) string {
	has := func(root *tuf.Root) map[string]string {
		keys := map[string]string{} // ids, by the value of the key
		for _, id := range root.Roles[tuf.RoleRoot].KeyIDs {
			key, _ := root.Key(id) // Parse has refused ids without a key
			keys[key.Value()] = id
		}
		return keys
	}
	was, is := has(old), has(new)
	list := func(of, without map[string]string) string {
		var who []string
		for value, id := range of {
			if _, both := without[value]; !both {
				name := names[id]
				if name == "" {
					name = fmt.Sprintf("key %.8s", id)
				}
				who = append(who, name)
			}
		}
		slices.Sort(who)
		if len(who) == 0 {
			return "none"
		}
		return strings.Join(who, ", ")
	}
	stay := 0
	for value := range is {
		if _, both := was[value]; both {
			stay++
		}
	}
	return fmt.Sprintf("root keys that come: %s; that go: %s; %d stay", list(is, was), list(was, is), stay)
}

// twin returns an error where a role of a root holds one key under two ids: some
// clients count ids, so that its holder alone counts as two.
func twin(root *tuf.Root, role string) error {
	ids := map[string]string{}
	for _, id := range root.Roles[role].KeyIDs {
		key, _ := root.Key(id) // Parse has refused ids without a key
		if other, twice := ids[key.Value()]; twice {
			return fmt.Errorf("the role %s of root version %d holds one key under two ids, %s and %s, which some clients count as two keys", role, root.Version, tuf.Clean(other), tuf.Clean(id))
		}
		ids[key.Value()] = id
	}
	return nil
}

// wrongIn returns an error where a signature does not fit its key.
func wrongIn(report tuf.Report) error {
	for _, key := range report.Keys {
		if key.State == tuf.StateWrong {
			return fmt.Errorf("the signature by %s is wrong: %s", key.KeyID, key.Reason)
		}
	}
	return nil
}
