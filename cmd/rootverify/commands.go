package main

import (
	"bufio"
	"fmt"
	"strings"
)

// command is one of the program's commands, with all that its help says. Its
// texts are lines as they are printed, of at most 80 columns.
type command struct {
	name    string
	do      func(args []string, out *bufio.Writer) error
	takes   string // what follows the name, without flags
	line    string // what it does, for the list
	text    string // the same in one or two sentences
	flags   string // one a line, with what it does
	example string
}

var commands = []command{
	{
		name: "chain", do: chain, takes: "FILE|DIR...",
		line: "whether a chain of roots is good",
		text: `Verifies root metadata from the first file on: each version is signed by the
threshold of the one before and by its own, and the last has not expired. A DIR
holds files named 1.root.json, 2.root.json and so on, without gaps.
`,
		flags: `  --trusted-sha256 HEX
          The SHA-256 of the first root file, known from elsewhere: what
          sha256sum says, not that of what is signed. Without it the first root
          is taken on trust.
  --at TIME
          Judge the expiry at TIME, as 2027-01-31T00:00:00Z, instead of now.
  --rehearsal
          Accept roots that were made in a rehearsal.
  --json  Print the result as JSON.
`,
		example: "rootverify chain --trusted-sha256 5f2c...e1 publish",
	},
	{
		name: "draft", do: draft, takes: "FILE",
		line: "what the second machine shows before anyone signs",
		text: `Shows what a root, or targets metadata, that is about to be signed says and
changes. Compare the digest and its words at the end with those on the other
machine.
`,
		flags: `  --previous FILE
          The root in force, with its signatures: show what changes, and whether
          the version follows. A folder is a chain, which is verified, and its
          newest root is the one in force. Without it the draft is shown as a
          first root, and from version 2 on the exit status is 3.
  --trusted-sha256 HEX
          The SHA-256 of that file (what sha256sum says), or of any in that
          folder, known from elsewhere than the draft. Without it nobody has
          vouched for it on this machine, and the exit status is 3.
  --root FILE
          Of a draft of targets: the root that goes live with it, which says who
          must sign, or a folder with its chain. --previous is then the targets
          metadata that is published now, and --trusted-sha256 that of the root.
  --record DIR
          The ceremony directory that the draft comes from: audit it, and show
          whose keys the draft has, on which tokens.
  --attestation-root FILE
          As for record.
  --attestation-intermediates FILE
          As for record.
  --at TIME
          Count days from TIME, as 2027-01-31T00:00:00Z, instead of from now.
  --rehearsal
          Accept a root that was made in a rehearsal.
`,
		example: "rootverify draft --previous 4.root.json --trusted-sha256 93a0...7b new.json",
	},
	{
		name: "record", do: record, takes: "DIR",
		line: "a whole ceremony directory, as someone who was not there",
		text: `Verifies the record of a ceremony from the bytes up: its log, the holders'
checkpoints, tokens, keys, backups, drafts, signatures, what was published, and
every file. A folder cannot vouch for itself, so give it what was announced.
Without its private/ it is the public edition, and what that lacks is not seen.
`,
		flags: `  --plan-digest HEX
          The digest of the agreed plan, as it was announced before the day.
  --checkpoint FILE
          The signed checkpoint of the log, as it was announced after the day.
  --trusted-sha256 HEX
          The SHA-256 of the first root file that the ceremony follows on.
  --attestation-root FILE
          Certificates (PEM) that the tokens' attestations must lead to, instead
          of Yubico's. It may be given several times.
  --attestation-intermediates FILE
          Certificates (PEM) between those and the tokens, beside Yubico's.
  --rehearsal
          Accept the record of a rehearsal.
  --json  Print the result as JSON.
`,
		example: "rootverify record --plan-digest 5f2c...e1 ceremony",
	},
}

// commandNamed finds a command. There may be none.
func commandNamed(name string) (command, error) {
	for _, c := range commands {
		if c.name == name {
			return c, nil
		}
	}
	return command{}, usageError{fmt.Errorf("there is no command %q\nhint: chain, draft or record; rootverify --help explains them", name)}
}

// help is what a command says about itself.
func (c command) help() string {
	return fmt.Sprintf("Usage: rootverify %s %s [FLAGS]\n\n%s\nFlags:\n%s\nExample:\n  $ %s\n", c.name, c.takes, c.text, c.flags, c.example)
}

// helpList is what the program says about itself.
func helpList() string {
	var list strings.Builder
	list.WriteString("Usage: rootverify COMMAND\n\nCommands:\n")
	for _, c := range commands {
		fmt.Fprintf(&list, "  %-17s  %s\n", c.name+" "+c.takes, c.line)
	}
	list.WriteString(`  help [COMMAND]     this list, or what a command does, with its flags

Exit status: 0 good, 1 not good, 2 usage, 3 a record that is not finished, or a
draft that was compared with a root that nobody has vouched for or, from version
2 on, with none.
`)
	return list.String()
}
