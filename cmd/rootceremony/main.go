// Command rootceremony leads the holders of root keys through making, rotating
// and revoking the root of trust of an update system.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/laptop"
	"rootceremony/keys/backup"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/ui/show"
)

const version = "0.1"

// Exit statuses.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitUnfinished = 3
)

// usageError is a command line that cannot be understood.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// errUnfinished ends the program with status 3; the reason was said.
var errUnfinished = errors.New("not finished yet")

func main() {
	if len(os.Args) == 2 && os.Args[1] == sessionArgument {
		os.Exit(tokenSession())
	}
	if len(os.Args) == 2 && os.Args[1] == guardArgument {
		os.Exit(standGuard())
	}
	os.Exit(exitStatus(run(os.Args[1:])))
}

// sessionArgument makes the program the child process of a token session.
const sessionArgument = laptop.SessionArgument

func tokenSession() int {
	// Ctrl-C reaches every process at the terminal; who is the parent decides
	// what it means.
	signal.Ignore(os.Interrupt)
	err := secret.LockProcess()
	if err == nil {
		err = session.Serve(os.Stdin, os.Stdout, openTokens, backup.InSession())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rootceremony: token session:", err)
		return exitFailed
	}
	return 0
}

// helpAsked ends a command that was asked for its help, with its flags.
type helpAsked struct{ flags *flag.FlagSet }

func (h *helpAsked) Error() string { return h.flags.Name() + ": help was asked for" }

var helpWords = []string{"help", "-h", "-help", "--help"}

func run(args []string) error {
	if len(args) > 0 && slices.Contains(helpWords, args[0]) {
		return help(args[1:])
	}
	var called command
	if len(args) > 0 {
		var err error
		if called, err = commandNamed(args[0]); err != nil {
			return err
		}
	}
	if err := secret.LockProcess(); err != nil {
		return err
	}
	// Where this process seals, the plugins of age are those of its children.
	for _, entry := range session.Environment {
		name, value, _ := strings.Cut(entry, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	if len(args) == 0 {
		return openUI()
	}
	err := called.do(args[1:])
	switch {
	case errors.As(err, new(*helpAsked)):
		return help(args[:1])
	case errors.As(err, new(*usageError)):
		return fmt.Errorf("%w (hint: %s)", err, agreed.Command(called.name, "--help"))
	}
	return err
}

// help prints the list of commands, or what one says about itself.
func help(args []string) error {
	text := helpList()
	switch {
	case len(args) > 1:
		return &usageError{"help takes at most one COMMAND (hint: rootceremony help lists them)"}
	case len(args) == 1 && !slices.Contains(helpWords, args[0]):
		c, err := commandNamed(args[0])
		if err != nil {
			return err
		}
		text = c.help()
	}
	_, err := fmt.Print(text)
	return err
}

func exitStatus(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUnfinished):
		return exitUnfinished
	}
	report(err)
	if errors.As(err, new(*usageError)) {
		return exitUsage
	}
	return exitFailed
}

// report prints an error. It may hold names of files, and texts from them.
func report(err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(os.Stderr, "rootceremony:", show.Clean(line))
	}
}

// parse reads flags that may stand before, between and after the operands,
// and returns the operands. The error may be helpAsked.
func parse(flags *flag.FlagSet, args []string, least, most int, operands string) ([]string, error) {
	flags.SetOutput(io.Discard)
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, &helpAsked{flags}
			}
			return nil, &usageError{fmt.Sprintf("%s: %v", flags.Name(), err)}
		}
		if flags.NArg() == 0 {
			break
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
	if len(rest) < least || most >= 0 && len(rest) > most {
		return nil, &usageError{fmt.Sprintf("%s takes %s", flags.Name(), operands)}
	}
	return rest, nil
}
