package main

import (
	"flag"
	"fmt"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubikey"
	"rootceremony/ui"
)

// restoreCommand has a quorum open a backup.
func restoreCommand(args []string) error {
	return afterwards("restore", args, (*ceremony.Desk).OnlyRestore)
}

// checkupCommand looks whether tokens, PINs and identities still work.
func checkupCommand(args []string) error {
	return afterwards("checkup", args, (*ceremony.Desk).OnlyCheckup)
}

// afterwards does one thing with a ceremony that was begun, and may be closed.
func afterwards(name string, args []string, only func(*ceremony.Desk) error) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	plainly := flags.Bool("plain", false, "")
	rootFile := flags.String("attestation-root", "", "")
	intermediatesFile := flags.String("attestation-intermediates", "", "")
	operands, err := parse(flags, args, 1, 1, "one DIR")
	if err != nil {
		return err
	}
	if err := confined(ceremonyPlaces(operands[0], *rootFile, *intermediatesFile)); err != nil {
		return err
	}
	desk, err := openFor(only, operands[0], *rootFile, *intermediatesFile)
	if err != nil {
		return err
	}
	defer desk.Close()
	rehearsal := desk.State().Begun.Rehearsal
	if onScreen(*plainly) {
		return showUI(deskRoom(desk, rehearsal))
	}
	return runPlain(desk, rehearsal)
}

// openFor opens a ceremony that was begun for one thing.
func openFor(only func(*ceremony.Desk) error, dir, rootFile, intermediatesFile string) (*ceremony.Desk, error) {
	desk, err := openBegun(dir, rootFile, intermediatesFile)
	if err != nil {
		return nil, err
	}
	if err := only(desk); err != nil {
		_ = desk.Close()
		return nil, err
	}
	return desk, nil
}

// restoreRoom and checkupRoom have the same done for the terminal UI, if it can be.
func restoreRoom(dir string) (*ui.Room, error) { return roomFor("restore", dir) }

func checkupRoom(dir string) (*ui.Room, error) { return roomFor("checkup", dir) }

func roomFor(command, dir string) (*ui.Room, error) {
	if _, _, err := lookAtBegun(dir, "", ""); err != nil {
		return nil, err
	}
	return nil, chosen(command, dir)
}

// lookAtBegun looks at a ceremony that was begun, and at the readers, where it is
// held on those.
func lookAtBegun(dir, rootFile, intermediatesFile string) (begun *state.Begun, tokens prompt.Tokens, err error) {
	there, err := ceremony.LookAt(dir)
	if err != nil {
		return nil, tokens, err
	}
	begun = there.State().Begun
	switch {
	case begun == nil || there.State().Plan == nil:
		return nil, tokens, fmt.Errorf("%s: no plan was agreed yet (hint: %s says how far it is)", dir, agreed.Command("status", dir))
	case !begun.Rehearsal && rootFile != "":
		return nil, tokens, &usageError{"--attestation-root goes with a rehearsal: a ceremony trusts Yubico's roots alone"}
	}
	if !begun.Rehearsal {
		if err := laptop.SafeEnvironment(); err != nil {
			return nil, tokens, err
		}
	}
	if begun.Tokens == yubikey.Kind {
		tokens, err = readersTrusting(rootFile, intermediatesFile, begun.Rehearsal)
	}
	return begun, tokens, err
}

// openBegun opens a ceremony that was begun, on the tokens it is held on.
func openBegun(dir, rootFile, intermediatesFile string) (*ceremony.Desk, error) {
	begun, tokens, err := lookAtBegun(dir, rootFile, intermediatesFile)
	if err != nil {
		return nil, err
	}
	desk, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "rootceremony " + version, Clock: clock, Rehearsal: begun.Rehearsal, Tokens: begun.Tokens,
		Roots: tokens.Roots, Intermediates: tokens.Intermediates})
	if err != nil {
		return nil, err
	}
	if begun.Tokens == virtual.Kind {
		if tokens, err = virtualTokens(dir, desk.State().Plan.Holders); err != nil {
			_ = desk.Close()
			return nil, err
		}
	}
	desk.UseTokens(tokens)
	return desk, nil
}
