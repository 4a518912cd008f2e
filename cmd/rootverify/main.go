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
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys/plainfile"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// Errors of the command line, exit code 2.
type usageError struct{ error }

// run is the program. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	out := bufio.NewWriter(stdout)
	err := execute(args, out)
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

// helpAsked ends a command that was asked for its help, with its flags.
type helpAsked struct{ flags *flag.FlagSet }

func (h helpAsked) Error() string { return h.flags.Name() + ": help was asked for" }

var helpWords = []string{"help", "-h", "-help", "--help"}

func execute(args []string, out *bufio.Writer) error {
	if len(args) == 0 {
		return usageError{errors.New("which command?\nhint: chain, draft or record; rootverify --help explains them")}
	}
	if slices.Contains(helpWords, args[0]) {
		return help(args[1:], out)
	}
	c, err := commandNamed(args[0])
	if err == nil {
		err = c.do(args[1:], out)
	}
	if errors.As(err, new(helpAsked)) {
		return help(args[:1], out)
	}
	return err
}

// help writes the list of commands, or what one says about itself.
func help(args []string, out *bufio.Writer) error {
	text := helpList()
	switch {
	case len(args) > 1:
		return usageError{errors.New("help takes at most one COMMAND\nhint: rootverify --help lists them")}
	case len(args) == 1 && !slices.Contains(helpWords, args[0]):
		c, err := commandNamed(args[0])
		if err != nil {
			return err
		}
		text = c.help()
	}
	_, err := out.WriteString(text)
	return err
}

// operands parses flags that may stand before, between and after operands. The
// error may be helpAsked.
func operands(flags *flag.FlagSet, args []string) (list []string, err error) {
	flags.SetOutput(io.Discard)
	for {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return nil, helpAsked{flags}
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("%w\nhint: rootverify %s --help lists the flags", err, flags.Name())}
		}
		rest := flags.Args()
		if done := len(args) - len(rest); done > 0 && args[done-1] == "--" {
			return append(list, rest...), nil
		}
		if len(rest) == 0 {
			return list, nil
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
