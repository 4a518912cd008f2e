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

	"rootceremony/ceremony/laptop"
	"rootceremony/keys/backup"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/ui/show"
)

const version = "0.1"

const usage = `Usage:
    rootceremony
    rootceremony plan DIR [--kind create|rotate|revoke] [--plain]
    rootceremony check PLAN [--json]
    rootceremony run DIR [--plain] [--attestation-intermediates FILE]
    rootceremony rehearse [DIR] [--plan PLAN] [--after DIR0] [--stand-in PLAN]
                          [--plain] [--auto] [--answers FILE] [--identities DIR]
                          [--tokens virtual|pcsc] [--attestation-root FILE]
                          [--attestation-intermediates FILE]
    rootceremony enrol PLAN --holder NAME [--plain] [--tokens virtual|pcsc]
                          [--attestation-root FILE] [--attestation-intermediates FILE]
    rootceremony sign FILE [--trusted PATH] [-o FILE] [--plain] [--rehearsal DIR]
    rootceremony collect DIR FILE... [--attestation-root FILE]
                          [--attestation-intermediates FILE]
    rootceremony restore DIR [--plain] [--attestation-root FILE]
                          [--attestation-intermediates FILE]
    rootceremony checkup DIR [--plain] [--attestation-root FILE]
                          [--attestation-intermediates FILE]
    rootceremony status DIR [--json]
    rootceremony preflight [DIR] [--json]
    rootceremony token list|info|check|prepare|reset [--serial N] [--json]
    rootceremony show ROOT... [--record DIR] [--json]
    rootceremony diff OLD NEW [--record DIR] [--json]

Without a command it opens the terminal UI, where one chooses what to do. plan,
run and rehearse open it for what they do; with --plain, and where there is no
terminal, they ask line by line.

plan writes DIR/plan.toml by asking questions: for a first root, for the next
one (--kind rotate), or for the way out of an emergency (--kind revoke), which
may be that no new root is needed. check looks at a plan. run holds
the ceremony of the plan in DIR, or goes on with it, on YubiKeys; rehearse does
the same on virtual tokens, with an example plan where none is given, or with
--tokens pcsc on those in the readers; --identities DIR is where the age
identities of recipients that are no tokens are, as ID.txt. rehearse --after
DIR0 rotates what the finished rehearsal in DIR0 has published, with copies of
its tokens; without --plan one holder leaves and one comes. rehearse --stand-in
PLAN rehearses a plan that follows on a real chain: other keys, on virtual
tokens, stand in for every real one. enrol prepares the token of a holder who
is elsewhere, for the plan that the ceremony has agreed (its plan.resolved.json,
or a plan.toml whose expiry is a date), in the folder enrolment-ID here; collect
takes the file that it writes into the ceremony in DIR, and signatures: root
files, *.sig.json, and all in a copy of the directory that went on by itself. sign has a holder who is
elsewhere review root metadata that others have made, against their own trusted
copy (--trusted: a root file, or a folder of N.root.json) or a SHA-256 that they
know from elsewhere, and writes their signature to a file of its own (-o; else
N.root.KEYID.json here), for collect; --rehearsal names the directory of a
rehearsal, whose virtual tokens sign roots of rehearsals. restore has a quorum
open a backup: it puts a lost token's root key on a fresh one, or sets a new PIN
where the old one is forgotten. checkup has holders and recipients show, long
before the next ceremony, that everything still works. token does one thing with one token:
check has a fresh one sign as much as a root may have. status says what is
done, what is next and what is missing. preflight looks at this laptop. show and
diff say what root metadata says, with the names of holders where the files lie
in a ceremony directory or --record names one.

Examples:
    $ rootceremony rehearse
    $ rootceremony rehearse --auto /tmp/first-try
    $ rootceremony rehearse --after /tmp/first-try /tmp/rotation
    $ rootverify chain --rehearsal /tmp/first-try/publish

Exit status: 0 done and good, 1 failed, 2 usage, 3 not finished yet.
`

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

var commands = map[string]func([]string) error{
	"plan":      planCommand,
	"check":     checkCommand,
	"run":       runCommand,
	"rehearse":  rehearseCommand,
	"enrol":     enrolCommand,
	"sign":      signCommand,
	"collect":   collectCommand,
	"restore":   restoreCommand,
	"checkup":   checkupCommand,
	"status":    statusCommand,
	"preflight": preflightCommand,
	"show":      showCommand,
	"diff":      diffCommand,
	"token":     tokenCommand,
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == sessionArgument {
		os.Exit(tokenSession())
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

func run(args []string) error {
	if len(args) > 0 && slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		fmt.Print(usage)
		return nil
	}
	var command func([]string) error
	if len(args) > 0 {
		if command = commands[args[0]]; command == nil {
			return &usageError{fmt.Sprintf("there is no command %q", args[0])}
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
	if command == nil {
		return openUI()
	}
	err := command(args[1:])
	if errors.Is(err, flag.ErrHelp) {
		fmt.Printf("%s: in short\n%s\n%s", args[0], synopsis(args[0]), usage)
		return nil
	}
	return err
}

// synopsis are the lines of the usage that say how a command is called.
func synopsis(command string) string {
	const begin = "    rootceremony"
	var own strings.Builder
	is := false
	for line := range strings.Lines(usage) {
		if strings.HasPrefix(line, begin) || !strings.HasPrefix(line, "     ") {
			is = strings.HasPrefix(line, begin+" "+command+" ")
		}
		if is {
			own.WriteString(line)
		}
	}
	return own.String()
}

func exitStatus(err error) int {
	var wrong *usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUnfinished):
		return exitUnfinished
	case errors.As(err, &wrong):
		report(err)
		fmt.Fprintln(os.Stderr, "rootceremony: hint: rootceremony help lists the commands")
		return exitUsage
	}
	report(err)
	return exitFailed
}

// report prints an error. It may hold names of files, and texts from them.
func report(err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(os.Stderr, "rootceremony:", show.Clean(line))
	}
}

// parse reads flags that may stand before, between and after the operands,
// and returns the operands.
func parse(flags *flag.FlagSet, args []string, least, most int, operands string) ([]string, error) {
	flags.SetOutput(io.Discard)
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
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
