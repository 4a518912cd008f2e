package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/remote"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
	"rootceremony/ui"
	"rootceremony/ui/plain"
)

// memoryFile is where this laptop remembers what real tokens have signed on it:
// one file for every ceremony, in the state folder.
func memoryFile() (string, error) {
	state, err := stateFolder()
	if err != nil {
		return "", errors.New("there is no folder in which this laptop could remember what it has signed (hint: set HOME or XDG_STATE_HOME)")
	}
	return filepath.Join(state, "signed.jsonl"), nil
}

// signCommand reviews a root that was made elsewhere, and signs it.
func signCommand(args []string) error {
	flags := flag.NewFlagSet("sign", flag.ContinueOnError)
	trusted := flags.String("trusted", "", "")
	out := flags.String("o", "", "")
	plainly := flags.Bool("plain", false, "")
	rehearsal := flags.String("rehearsal", "", "")
	operands, err := parse(flags, args, 1, 1, "one FILE")
	if err != nil {
		return err
	}
	places := withSignature(confine.Places{Write: []string{*rehearsal}, Read: []string{operands[0], *trusted}}, *out)
	if *rehearsal == "" {
		places = withMemory(places)
	}
	if err := confined(places); err != nil {
		return err
	}
	set := remote.CountersignSettings{File: operands[0], Trusted: *trusted, Out: *out, Rehearsal: *rehearsal != "", Clock: clock}
	if set.Rehearsal {
		set.Memory = filepath.Join(*rehearsal, filepath.FromSlash(ceremony.MemoryFile))
		set.Tokens, err = tokensOf(*rehearsal)
	} else {
		if err := laptop.SafeEnvironment(); err != nil {
			return err
		}
		set.Memory, err = memoryFile()
	}
	if err != nil {
		return err
	}
	signing, err := remote.OpenCountersigning(set)
	if err != nil {
		return err
	}
	if !set.Rehearsal {
		tokens, err := genuine("", false)
		if err != nil {
			return err
		}
		signing.UseTokens(tokens)
	}
	if onScreen(*plainly) {
		_, err = onGuardedScreen(ui.Options{
			Room: &ui.Room{Desk: signing, Tokens: signing.Tokens(), Rehearsal: set.Rehearsal}})
		return signed(signing, err)
	}
	front, closeFront, err := guardedFront(plain.Options{Rehearsal: set.Rehearsal, NoRecord: true})
	if err != nil {
		return err
	}
	defer closeFront()
	return signed(signing, front.Run(context.Background(), signing))
}

// signed says where the signature is, or that there is none.
func signed(signing *remote.Countersigning, err error) error {
	switch {
	case signing.Written() != "":
		fmt.Fprintf(os.Stderr, "rootceremony: the signature is in %s (hint: %s takes it into the ceremony)\n", signing.Written(), agreed.Command("collect", "DIR", signing.Written()))
		return nil
	case errors.Is(err, prompt.ErrLeft):
		fmt.Fprintln(os.Stderr, "rootceremony: left early; no signature was written (hint: the same command begins again)")
		return errUnfinished
	case err == nil:
		return errUnfinished
	}
	return err
}

// tokensOf are the virtual tokens of the rehearsal, or the rehearsed enrolment,
// in dir.
func tokensOf(dir string) (prompt.Tokens, error) {
	there, err := ceremony.LookAt(dir)
	if err != nil {
		return prompt.Tokens{}, err
	}
	if begun := there.State().Begun; begun == nil || !begun.Rehearsal || begun.Tokens != virtual.Kind {
		return prompt.Tokens{}, fmt.Errorf("%s is no rehearsal on virtual tokens, and no others sign roots of rehearsals (hint: name the directory that was given to rehearse, or enrolment-ID)", dir)
	}
	folder := filepath.Join(dir, filepath.FromSlash(ceremony.TokensDir))
	drawer, err := virtual.OpenDrawer(folder)
	if err != nil {
		return prompt.Tokens{}, err
	}
	serials, err := drawer.Serials()
	if err != nil {
		return prompt.Tokens{}, err
	}
	backend := session.Backend{Kind: virtual.Kind, Dir: folder}
	return prompt.Tokens{Stickers: slices.Sorted(maps.Keys(serials)), PIN: drawer.PIN,
		Start: func(ctx context.Context) (*session.Session, error) { return sessionProgram.Start(ctx, backend) },
		Plug: func(stickers ...string) error {
			backend.Plugged = nil
			for _, sticker := range stickers {
				serial, err := drawer.Serial(sticker)
				if err != nil {
					return err
				}
				backend.Plugged = append(backend.Plugged, serial)
			}
			return nil
		}}, nil
}
