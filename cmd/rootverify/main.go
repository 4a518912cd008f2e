// Command rootverify checks TUF root metadata that somebody else made: the
// auditor's program, and that of the second machine in the room. It asks no
// network and no token, and writes nothing but its answer.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys/plainfile"
)

const usage = `Usage:
    rootverify chain FILE|DIR... [--trusted-sha256 HEX] [--at TIME] [--rehearsal] [--json]
    rootverify draft FILE [--previous FILE [--trusted-sha256 HEX]] [--at TIME] [--rehearsal]

chain verifies root metadata from the first file on: each version is signed by
the threshold of the one before and by its own, and the last has not expired.
draft shows what a root that is about to be signed says and changes.

Exit codes: 0 good, 1 not good, 2 wrong usage, 3 a draft that was compared with
a root that nobody has vouched for.

Example:
    $ rootverify chain --trusted-sha256 5f2c...e1 publish/
    $ rootverify draft --previous 4.root.json --trusted-sha256 93a0...7b draft.json
`

const chainUsage = `Usage:
    rootverify chain FILE|DIR... [--trusted-sha256 HEX] [--at TIME] [--rehearsal] [--json]

Options:
    --trusted-sha256 HEX  The SHA-256 of the first root file, known from elsewhere:
                          what sha256sum says, not that of what is signed. Without
                          it the first root is taken on trust.
    --at TIME             Judge the expiry at TIME (RFC 3339) instead of now.
    --rehearsal           Accept roots that were made in a rehearsal.
    --json                Write the result as JSON.

A DIR holds files named 1.root.json, 2.root.json and so on, without gaps.

Example:
    $ rootverify chain --at 2027-01-31T00:00:00Z 3.root.json 4.root.json
`

const draftUsage = `Usage:
    rootverify draft FILE [--previous FILE [--trusted-sha256 HEX]] [--at TIME] [--rehearsal]

Options:
    --previous FILE       The root in force, with its signatures: show what changes,
                          and whether the version follows. Without it FILE is shown
                          as a first root.
    --trusted-sha256 HEX  The SHA-256 of that file (what sha256sum says), known from
                          elsewhere than the draft. Without it nobody has vouched
                          for that file on this machine, and the exit code is 3.
    --at TIME             Count days from TIME (RFC 3339) instead of from now.
    --rehearsal           Accept a root that was made in a rehearsal.

Compare the digest and its words at the end with those on the other machine.

Example:
    $ rootverify draft --previous 4.root.json --trusted-sha256 93a0...7b draft.json
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// Errors of the command line, exit code 2.
type usageError struct{ error }

// run is the program. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	out := bufio.NewWriter(stdout)
	err := command(args, out)
	if flushErr := out.Flush(); err == nil && flushErr != nil {
		err = fmt.Errorf("the result could not be written: %w", flushErr)
	}
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		line = tuf.Clean(strings.TrimSuffix(line, "\n"))
		if !strings.HasPrefix(line, "hint: ") {
			line = "rootverify: " + line
		}
		fmt.Fprintln(stderr, line)
	}
	switch {
	case errors.As(err, new(usageError)):
		return 2
	case errors.As(err, new(unvouchedError)):
		return 3
	}
	return 1
}

func command(args []string, out *bufio.Writer) error {
	if len(args) == 0 {
		return usageError{errors.New("which command?\nhint: chain or draft; rootverify --help explains them")}
	}
	switch args[0] {
	case "chain":
		return chain(args[1:], out)
	case "draft":
		return draft(args[1:], out)
	case "help", "-h", "-help", "--help":
		_, err := out.WriteString(usage)
		return err
	}
	return usageError{fmt.Errorf("there is no command %q\nhint: chain or draft; rootverify --help explains them", args[0])}
}

// operands parses flags that may stand before, between and after operands.
// help is true where the usage text was asked for.
func operands(flags *flag.FlagSet, args []string) (list []string, help bool, err error) {
	flags.SetOutput(io.Discard)
	for {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return nil, true, nil
		}
		if err != nil {
			return nil, false, usageError{fmt.Errorf("%w\nhint: rootverify %s --help lists the options", err, flags.Name())}
		}
		rest := flags.Args()
		if done := len(args) - len(rest); done > 0 && args[done-1] == "--" {
			return append(list, rest...), false, nil
		}
		if len(rest) == 0 {
			return list, false, nil
		}
		list, args = append(list, rest[0]), rest[1:]
	}
}

// timeFlag is a time in RFC 3339.
func timeFlag(at *time.Time) func(string) error {
	return func(s string) error {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return errors.New("a time is written as 2027-11-22T00:00:00Z")
		}
		*at = t
		return nil
	}
}

// read returns the bytes of a root file.
func read(name string) ([]byte, error) { return plainfile.Read(name, tuf.MaxSize) }

var errRehearsal = errors.New("it was made in a rehearsal and is not for production\nhint: --rehearsal accepts it all the same")
