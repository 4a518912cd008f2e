package main

import (
	"flag"
	"fmt"

	"rootceremony/ceremony"
	"rootceremony/keys/virtual"
	"rootceremony/keys/yubikey"
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
	desk, err := openBegun(operands[0], *rootFile, *intermediatesFile)
	if err != nil {
		return err
	}
	defer desk.Close()
	if err := only(desk); err != nil {
		return err
	}
	rehearsal := desk.State().Begun.Rehearsal
	if onScreen(*plainly) {
		return showUI(deskRoom(desk, rehearsal))
	}
	return runPlain(desk, rehearsal)
}

// openBegun opens a ceremony that was begun, on the tokens it is held on.
func openBegun(dir, rootFile, intermediatesFile string) (*ceremony.Desk, error) {
	there, err := ceremony.LookAt(dir)
	if err != nil {
		return nil, err
	}
	begun := there.State().Begun
	switch {
	case begun == nil || there.State().Plan == nil:
		return nil, fmt.Errorf("%s: no plan was agreed yet (hint: rootceremony status %s)", dir, dir)
	case !begun.Rehearsal && rootFile != "":
		return nil, &usageError{"--attestation-root goes with a rehearsal: a ceremony trusts Yubico's roots alone"}
	}
	var tokens ceremony.Tokens
	if begun.Tokens == yubikey.Kind {
		if tokens, err = rehearsalReaders(rootFile, intermediatesFile); err != nil {
			return nil, err
		}
	}
	desk, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "rootceremony " + version, Clock: clock, Rehearsal: begun.Rehearsal, Tokens: begun.Tokens})
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
