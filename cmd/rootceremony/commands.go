package main

import (
	"fmt"
	"slices"
	"strings"
)

// command is one of the program's commands, with all that its help says. Its
// texts are lines as they are printed, of at most 80 columns.
type command struct {
	name    string
	do      func(args []string) error
	takes   string // what follows the name, without flags that may be omitted
	line    string // what it does, for the list
	text    string // the same in one or two sentences
	flags   string // one a line, with what it does
	example string
}

const (
	plainFlag         = "  --plain  Ask line by line instead of in the terminal UI.\n"
	jsonFlag          = "  --json  Print the result as JSON.\n"
	intermediatesFlag = `  --attestation-intermediates FILE
           Trust these intermediate certificates (PEM) too: Yubico's, where they
           are newer than this program.
`
	attestationFlags = `  --attestation-root FILE
           In a rehearsal on tokens in the readers: trust these attestation
           roots (PEM) instead of Yubico's.
` + intermediatesFlag
	recordFlag = `  --record DIR
          Take the holders' names from this ceremony directory. Default: the
          one that the file is in, if any.
`
)

var commands = []command{
	{
		name: "plan", do: planCommand, takes: "DIR",
		line: "write DIR/plan.toml by answering questions",
		text: `Asks what the ceremony is to make, and writes the plan for review. In an
emergency (--kind revoke) it asks what happened first, and may find that no new
root is needed.
`,
		flags: `  --kind KIND
           create (a first root, the default), rotate (the next one) or revoke
           (the way out of an emergency).
` + plainFlag,
		example: "rootceremony plan --kind rotate ceremony",
	},
	{
		name: "check", do: checkCommand, takes: "PLAN",
		line: "what a plan would make, and who must come",
		text: `Checks a plan without changing anything, and says what it would make, who must
come, and what opens its backups on the day of need. PLAN is a plan.toml or the
folder it is in.
`,
		flags:   jsonFlag,
		example: "rootceremony check ceremony/plan.toml",
	},
	{
		name: "rehearse", do: rehearseCommand, takes: "[DIR]",
		line: "hold the ceremony on virtual tokens",
		text: `Holds a rehearsal of the ceremony on virtual tokens, or continues the one in
DIR. Without DIR it makes a folder, and without a plan it takes an example.
`,
		flags: `  --plan PLAN
           Rehearse this plan.
  --after DIR0
           Rotate the root that the finished rehearsal in DIR0 has published,
           with copies of its tokens. Without --plan one holder leaves and one
           joins.
  --stand-in PLAN
           Rehearse a plan that follows a real root: other keys, on virtual
           tokens, stand in for the real ones.
` + plainFlag + `  --auto   Run by itself, with nobody at the keyboard.
  --answers FILE
           With --auto: answers of your own, in lines "prompt id = answer".
  --identities DIR
           Where the age identities of recipients without a token are, as
           ID.txt. Default: rehearsal/identities in the rehearsal.
  --tokens KIND
           virtual, or pcsc for those in the readers. Default: virtual, or what
           the rehearsal was begun on.
` + attestationFlags,
		example: "rootceremony rehearse --auto first-try",
	},
	{
		name: "run", do: runCommand, takes: "DIR",
		line: "the same on YubiKeys",
		text: `Holds the ceremony of the plan in DIR on YubiKeys, or continues it where it was
left.
`,
		flags:   plainFlag + intermediatesFlag,
		example: "rootceremony run ceremony",
	},
	{
		name: "enrol", do: enrolCommand, takes: "PLAN --holder NAME",
		line: "prepare a holder's token elsewhere",
		text: `Prepares the token of a holder who is elsewhere, in the folder enrolment-ID
here, and writes a file for collect. PLAN is what the ceremony has agreed: its
plan.resolved.json, or a plan.toml that has a salt, and a date as expiry.
`,
		flags: `  --holder NAME
           Whose token it is: a name or an id from the plan.
` + plainFlag + `  --tokens KIND
           With the plan of a rehearsal: virtual, or pcsc for those in the
           readers. Default: virtual, or what the enrolment was begun on.
` + attestationFlags,
		example: `rootceremony enrol plan.resolved.json --holder "Emil Novak"`,
	},
	{
		name: "sign", do: signCommand, takes: "FILE",
		line: "review and sign root metadata made elsewhere",
		text: `Has a holder who is elsewhere review root metadata that others have made, and
writes their signature to a file for collect. What vouches for it is their own
trusted copy of the root, or a SHA-256 that they know from elsewhere.
`,
		flags: `  --trusted PATH
           That copy: a root file, or a folder of N.root.json.
  -o FILE  Where the signature goes. Default: N.root.KEYID.json here.
` + plainFlag + `  --rehearsal DIR
           Sign a root of the rehearsal in DIR, with its virtual tokens.
`,
		example: "rootceremony sign --trusted 1.root.json 2.root.json",
	},
	{
		name: "collect", do: collectCommand, takes: "DIR FILE...",
		line: "take what was made elsewhere into a ceremony",
		text: `Takes enrolments and signatures made elsewhere into the ceremony in DIR. A FILE
is what enrol or sign has written, a root file, a *.sig.json, or a copy of DIR
that went on by itself, for its signatures.
`,
		flags: `  --attestation-root FILE
           In a rehearsal: trust these attestation roots (PEM). Enrolling on
           virtual tokens writes theirs to rehearsal/attestation-root.pem.
` + intermediatesFlag,
		example: "rootceremony collect ceremony 1.root.5f2c1a9b.json",
	},
	{
		name: "restore", do: restoreCommand, takes: "DIR",
		line: "open a backup: a lost token, a forgotten PIN",
		text: `Has a quorum open a backup of the ceremony in DIR. It puts the root key of a
lost token on a fresh one, or sets a new PIN where the old one is forgotten.
`,
		flags:   plainFlag + attestationFlags,
		example: "rootceremony restore ceremony",
	},
	{
		name: "checkup", do: checkupCommand, takes: "DIR",
		line: "do tokens, PINs and backups still work",
		text: `Has the holders and recipients of the ceremony in DIR show, long before the next
one, that their tokens, PINs and backups still work.
`,
		flags:   plainFlag + attestationFlags,
		example: "rootceremony checkup ceremony",
	},
	{
		name: "status", do: statusCommand, takes: "DIR",
		line: "what is done, next and missing",
		text: `Says what is done, next and missing in the ceremony in DIR, and changes nothing.
The exit status is 3 until it is finished.
`,
		flags:   jsonFlag,
		example: "rootceremony status ceremony",
	},
	{
		name: "disclose", do: discloseCommand, takes: "DIR FOLDER",
		line: "copy out what everyone may read",
		text: `Copies the public edition of the ceremony in DIR into a new FOLDER: all that its
log vouches for, and the log, without what stands in private/. It says what was
left out, audits what it has copied, and changes nothing in DIR.
`,
		flags: `  --attestation-root FILE
           In a rehearsal: trust these attestation roots (PEM) too.
` + intermediatesFlag,
		example: "rootceremony disclose ceremony ceremony-public",
	},
	{
		name: "preflight", do: preflightCommand, takes: "[DIR]",
		line: "what would be wrong with this laptop",
		text: `Checks whether this laptop is fit for a ceremony that is kept in DIR, by default
in this folder.
`,
		flags:   jsonFlag,
		example: "rootceremony preflight ceremony",
	},
	{
		name: "token", do: tokenCommand, takes: "ACTION",
		line: "list tokens; info, check, prepare or reset one",
		text: `Does one thing with one token, outside of a ceremony. ACTION is list (the tokens
in the readers), info (what is on it), check (have a fresh one sign as much as a
root may have), prepare (set its PIN, make the keys in 9a and 82) or reset
(erase its PIV keys).
`,
		flags: `  --serial N
          Which token. It can be omitted where there is only one.
  --json  Print what list and info say as JSON.
`,
		example: "rootceremony token check --serial 7654321",
	},
	{
		name: "show", do: showCommand, takes: "FILE...",
		line: "root and targets metadata for people",
		text: `Says what root and targets files say: version, expiry, keys, thresholds,
delegations, and who has signed. Of a folder of published metadata it shows who
signs for which paths, as a tree.
`,
		flags: `  --who PATH
           Of a folder of published metadata: who can sign PATH, by which
           delegation, and who never gets to.
` + recordFlag + jsonFlag,
		example: "rootceremony show ceremony/publish/1.root.json",
	},
	{
		name: "diff", do: diffCommand, takes: "OLD NEW",
		line: "what differs between two roots, or two targets files",
		text: `Says what differs between two root files, and whether the new one has the
signatures that the old one's root role asks for, and its own. Of two targets
files it says which files and delegations come, go and change.
`,
		flags:   recordFlag + jsonFlag,
		example: "rootceremony diff 1.root.json 2.root.json",
	},
}

// commandNamed finds a command. There may be none.
func commandNamed(name string) (command, error) {
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, &usageError{fmt.Sprintf("there is no command %q (hint: rootceremony help lists them)", name)}
	}
	return commands[i], nil
}

// help is what a command says about itself.
func (c command) help() string {
	return fmt.Sprintf("Usage: rootceremony %s %s [FLAGS]\n\n%s\nFlags:\n%s\nExample:\n  $ %s\n", c.name, c.takes, c.text, c.flags, c.example)
}

// helpList is what the program says about itself.
func helpList() string {
	var list strings.Builder
	list.WriteString(`Usage: rootceremony [COMMAND]

Without a command it opens the terminal UI, where you choose what to do.
Commands that ask questions use it too; with --plain, or without a terminal,
they ask line by line.

Commands:
`)
	for _, c := range commands {
		fmt.Fprintf(&list, "  %-24s  %s\n", c.name+" "+c.takes, c.line)
	}
	list.WriteString(`  help [COMMAND]            this list, or what a command does, with its flags

Exit status: 0 done and good, 1 failed, 2 usage, 3 not finished yet.
`)
	return list.String()
}
