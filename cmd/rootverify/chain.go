package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// verdict is what chain found, as --json writes it.
type verdict struct {
	Good     bool       `json:"good"`
	Problem  string     `json:"problem,omitempty"` // why it is not good
	At       time.Time  `json:"at"`                // when the last root must not have expired
	Trusted  bool       `json:"trusted"`           // the first root is the one --trusted-sha256 names
	anchored bool       // there is a --trusted-sha256
	SHA256   string     `json:"sha256"` // of the first root file
	Versions []tuf.Step `json:"versions"`
	// Refusals are by clients that are known to refuse the newest root, though it is good.
	Refusals []tuf.Refusal `json:"refusals,omitempty"`
	// Exposed are ids of keys of the newest root whose private half stands in a root of
	// the chain.
	Exposed []string `json:"exposed,omitempty"`

	first, last int64 // versions
	newest      *tuf.File
}

func chain(args []string, out *bufio.Writer) error {
	at := time.Now()
	flags := flag.NewFlagSet("chain", flag.ContinueOnError)
	flags.Func("at", "", timeFlag(&at))
	rehearsal := flags.Bool("rehearsal", false, "")
	asJSON := flags.Bool("json", false, "")
	anchor := ""
	flags.Func("trusted-sha256", "", sumFlag(&anchor))
	names, err := operands(flags, args)
	switch {
	case err != nil:
		return err
	case len(names) == 0:
		return usageError{errors.New("chain needs root files, or a folder of them\nhint: rootverify chain --help")}
	}

	v := verdict{At: at.UTC().Truncate(time.Second), Versions: []tuf.Step{}}
	var shown time.Time
	err = v.walk(names, anchor, *rehearsal, func(step tuf.Step, good bool) {
		if *asJSON {
			v.Versions = append(v.Versions, step)
		} else {
			writeStep(out, step, good)
			if time.Since(shown) > 50*time.Millisecond { // how far it came
				out.Flush()
				shown = time.Now()
			}
		}
	})
	v.Good = err == nil
	if *asJSON {
		if err != nil {
			v.Problem = tuf.Clean(strings.Split(err.Error(), "\n")[0])
		}
		if jsonErr := tuf.WriteJSON(out, v); err == nil {
			err = jsonErr
		}
		return err
	}
	v.print(out, err)
	return err
}

// walk verifies the files that the operands name, and shows each version.
func (v *verdict) walk(names []string, anchor string, rehearsal bool, show func(tuf.Step, bool)) error {
	files, err := list(names)
	if err != nil {
		return err
	}
	var c tuf.Chain
	var unreadable error
	contents := func(yield func([]byte) bool) {
		for _, file := range files {
			var data []byte
			if data, unreadable = read(file.Name); unreadable != nil || !yield(data) {
				return
			}
		}
	}
	i := 0
	for step, err := range c.Walk(contents) {
		file := files[i]
		if i == 0 {
			v.first, v.SHA256, v.anchored = step.Version, step.SHA256, anchor != ""
			if anchor != "" && step.SHA256 != "" {
				if err := anchored(file.Name, step.SHA256, anchor, c.Last()); err != nil {
					return err
				}
			}
			v.Trusted = anchor != "" && step.SHA256 == anchor
		}
		switch {
		case err != nil:
		case file.Version > 0 && file.Version != step.Version:
			err = fmt.Errorf("the name says version %d, the content version %d", file.Version, step.Version)
		case step.Rehearsal && !rehearsal:
			err = errRehearsal
		}
		v.last = step.Version
		if step.Version > 0 {
			show(step, err == nil)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file.Name, err)
		}
		i++
	}
	if unreadable != nil {
		return unreadable
	}
	v.newest = c.Last()
	if v.newest != nil {
		v.Refusals = tuf.Refusals(v.newest.Root, nil)
		for _, k := range v.newest.Root.Keys {
			if c.Exposed()[k.Value()] > 0 {
				v.Exposed = append(v.Exposed, k.ID)
			}
		}
	}
	return c.End(v.At)
}

// sumFlag is a SHA-256 in hex, with spaces or without.
func sumFlag(sum *string) func(string) error {
	return func(s string) error {
		raw, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
		if err != nil || len(raw) != 32 {
			return errors.New("a SHA-256 has 64 hex digits")
		}
		*sum = hex.EncodeToString(raw)
		return nil
	}
}

// anchored returns an error where sum, the SHA-256 of a root file, is not the
// trusted one. The file may be nil, if it is not good.
func anchored(name, sum, trusted string, file *tuf.File) error {
	switch {
	case sum == trusted:
		return nil
	case file != nil && fmt.Sprintf("%x", file.Digest()) == trusted:
		return fmt.Errorf("%s: what was given as the trusted SHA-256 is that of what is signed in it, not that of the file\nhint: the file's is the one that is announced: WORDS.txt has it in digits and words, and SHA256SUMS lists it", name)
	}
	return fmt.Errorf("%s: the SHA-256 of the file is %s, not the trusted %s\nhint: it must be the very root file that the trusted digest was published for", name, sum, trusted)
}

// list resolves the operands to files, in the order of the chain.
func list(names []string) ([]tuf.RootFile, error) {
	var files []tuf.RootFile
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, tuf.RootFile{Name: name})
			continue
		}
		inside, err := tuf.RootFiles(name)
		if err != nil {
			return nil, err
		}
		files = append(files, inside...)
	}
	return files, nil
}

// writeStep writes one line about one version, and one for each kind of finding.
func writeStep(out *bufio.Writer, step tuf.Step, good bool) {
	fmt.Fprintf(out, "version %d: ", step.Version)
	if !good {
		out.WriteString("NOT ACCEPTED: ")
	}
	if step.Old != nil {
		fmt.Fprintf(out, "signed for version %d by %s, and ", step.Old.Version, step.Old.Text(nil))
	} else {
		out.WriteString("signed ")
	}
	fmt.Fprintf(out, "for itself by %s; expires %s", step.New.Text(nil), step.Expires.Format("2006-01-02 15:04 UTC"))
	if step.Rehearsal {
		out.WriteString("; REHEARSAL")
	}
	for _, report := range []*tuf.Report{step.Old, &step.New} {
		if report == nil {
			continue
		}
		for _, key := range report.Keys {
			if key.State == tuf.StateWrong && strings.HasPrefix(key.Reason, "it fits ") { // else the count says it, or a finding
				fmt.Fprintf(out, "\n  note: the signature by %.8s is wrong for version %d: %s", tuf.Clean(key.KeyID), report.Version, key.Reason)
			}
		}
	}
	for _, note := range tuf.Notes(step.Findings) {
		out.WriteString("\n  note: " + note)
	}
	out.WriteString("\n")
}

// print writes the end of the text: what was taken on trust, and the verdict.
func (v *verdict) print(out *bufio.Writer, err error) {
	if sum, hexErr := hex.DecodeString(v.SHA256); hexErr == nil && len(sum) == 32 {
		how := "taken on trust: compare this SHA-256 of its file with one from elsewhere"
		switch {
		case v.Trusted:
			how = "the trusted one; the SHA-256 of its file"
		case v.anchored:
			how = "NOT the trusted one; the SHA-256 of its file"
		}
		fmt.Fprintf(out, "the first root is %s\n", how)
		printDigest(out, sum)
	}
	if err == nil {
		fmt.Fprintf(out, "good at %s: version %d, by the chain from version %d on\n", v.At.Format("2006-01-02 15:04:05 UTC"), v.last, v.first)
		for _, id := range v.Exposed {
			fmt.Fprintln(out, tuf.Clean(fmt.Sprintf("ALARM: the private half of the key %.8s stands in a root of the chain: anyone can sign with it (hint: the next version must do without)", id)))
		}
		for _, refusal := range v.Refusals {
			fmt.Fprintf(out, "note: %s\n", refusal)
		}
		if soon := tuf.Soon(v.newest.Root.Expires, v.At); soon != "" && !v.newest.Root.Rehearsal() {
			fmt.Fprintln(out, soon)
		}
	} else {
		fmt.Fprintln(out, "NOT GOOD")
	}
}

// printDigest writes a SHA-256 in groups, and as words for reading aloud.
func printDigest(out *bufio.Writer, digest []byte) {
	fmt.Fprintf(out, "  %s\n", keys.Groups(digest))
	for line := range slices.Chunk(keys.Words(digest), 8) {
		fmt.Fprintf(out, "  %s\n", strings.Join(line, " "))
	}
}
