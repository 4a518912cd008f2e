package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/session"
	"rootceremony/ui/plain"
)

// trialBytes is how much a token is asked to sign in a trial: the most that a
// root may have that ed25519 tokens sign.
const trialBytes = 3000

// tokenCommand does one thing with one token, outside of a ceremony.
func tokenCommand(args []string) error {
	flags := flag.NewFlagSet("token", flag.ContinueOnError)
	serial := flags.Uint("serial", 0, "")
	asJSON := flags.Bool("json", false, "")
	operands, err := parse(flags, args, 1, 1, "one of list, info, check, prepare and reset")
	if err != nil {
		return err
	}
	does := map[string]func(context.Context, tokenAtHand) error{
		"info": tokenInfo, "check": tokenCheck, "prepare": tokenPrepare, "reset": tokenReset,
	}
	do := does[operands[0]]
	if do == nil && operands[0] != "list" {
		return &usageError{fmt.Sprintf("token %s: there is no such thing to do with a token", operands[0])}
	}
	if *serial > math.MaxUint32 {
		return &usageError{fmt.Sprintf("token --serial %d: no token has such a number: it has at most 10 digits, and is printed on the token", *serial)}
	}
	if err := confined(confine.Places{}); err != nil {
		return err
	}
	if err := laptop.SafeEnvironment(); err != nil {
		return err
	}
	tokens, err := genuine("", false)
	if err != nil {
		return err
	}
	ctx := context.Background()
	child, err := tokens.Start(ctx)
	if err != nil {
		return err
	}
	defer child.Close()
	there, err := child.List()
	if err != nil {
		return err
	}
	if operands[0] == "list" {
		return tokenList(there, *asJSON)
	}
	info, err := theToken(there, uint32(*serial))
	if err != nil {
		return err
	}
	if err := laptop.Supported(info); err != nil && info.Problem == "" {
		if operands[0] != "info" {
			return err
		}
		report(err)
		return tokenInfo(ctx, tokenAtHand{session: child, info: info, asJSON: *asJSON}) // what is known without opening it
	}
	if err := child.Select(info.Serial); err != nil {
		return err
	}
	t := tokenAtHand{session: child, info: info, asJSON: *asJSON}
	if operands[0] == "info" || operands[0] == "check" {
		if t.foreign, err = foreign(child, tokens); err != nil {
			return err
		}
	}
	return do(ctx, t)
}

// foreign says why a token does not count as one that Yubico made, if it does not.
func foreign(s *session.Session, tokens prompt.Tokens) (why, err error) {
	device, err := s.DeviceCertificate()
	switch {
	case errors.As(err, new(*keys.NoKeyError)):
		return errors.New("it has no certificate of its maker"), nil
	case errors.As(err, new(*keys.StatusError)): // it knows no such thing
		return err, nil
	case err != nil:
		return nil, err
	}
	return keys.VerifyDevice(device, tokens.Roots, tokens.Intermediates), nil
}

// tokenAtHand is the token that was chosen, open.
type tokenAtHand struct {
	session *session.Session
	info    keys.Info
	asJSON  bool
	foreign error // why it does not count as one that Yubico made
}

// theToken is the one with the serial number, or the only one there.
func theToken(there []keys.Info, serial uint32) (keys.Info, error) {
	if serial != 0 {
		i := slices.IndexFunc(there, func(i keys.Info) bool { return i.Serial == serial })
		if i < 0 {
			return keys.Info{}, fmt.Errorf("token %s is not in a reader (hint: %s)", keys.SerialText(serial), agreed.Command("token", "list"))
		}
		return there[i], nil
	}
	usable := slices.DeleteFunc(slices.Clone(there), func(i keys.Info) bool { return i.Problem != "" })
	switch {
	case len(there) == 0:
		return keys.Info{}, fmt.Errorf("no token is in a reader (hint: insert one)")
	case len(usable) == 0:
		return keys.Info{}, fmt.Errorf("the card in reader %q cannot be used: %s", there[0].Reader, there[0].Problem)
	case len(usable) == 1:
		return usable[0], nil
	}
	there = usable
	return keys.Info{}, fmt.Errorf("there are %d tokens (hint: say which one with --serial; %s shows them)", len(there), agreed.Command("token", "list"))
}

func tokenList(there []keys.Info, asJSON bool) error {
	if asJSON {
		return tuf.WriteJSON(os.Stdout, append([]keys.Info{}, there...))
	}
	if len(there) == 0 {
		fmt.Fprintln(os.Stderr, "rootceremony: no token is in a reader")
	}
	var lines []string
	for _, i := range there {
		if i.Problem != "" {
			lines = append(lines, fmt.Sprintf("%s: %s", i.Reader, i.Problem))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s  %s, firmware %s, %s, in %s", keys.SerialText(i.Serial), i.FormFactor, i.Firmware, fresh(i), i.Reader))
	}
	return printLines(lines)
}

func fresh(i keys.Info) string {
	switch {
	case laptop.Supported(i) != nil && i.Edition != "":
		return "of the " + i.Edition + " edition, which gets no new key"
	case laptop.Supported(i) != nil:
		return "too old for a new key"
	case i.Fresh():
		return "as new"
	}
	return "in use"
}

// tokenInfo says what the token says about itself.
func tokenInfo(_ context.Context, t tokenAtHand) error {
	if t.asJSON {
		return tuf.WriteJSON(os.Stdout, t.info)
	}
	lines := infoLines(t.info)
	if t.foreign != nil {
		lines = append(lines, fmt.Sprintf("it can't show that Yubico made it, so no ceremony makes a key on it; it can still sign with a key that the trusted root has: %v", t.foreign))
	}
	return printLines(lines)
}

func infoLines(i keys.Info) []string {
	name := i.FormFactor
	if i.Edition != "" && !strings.HasSuffix(name, i.Edition) {
		name += " " + i.Edition
	}
	lines := []string{
		fmt.Sprintf("%s, serial %s, firmware %s", name, keys.SerialText(i.Serial), i.Firmware),
		fmt.Sprintf("PIN: %s, %s; PUK: %s, %s; management key: %s",
			byDefault(i.PINDefault), triesLeft(i.PINTries), byDefault(i.PUKDefault), triesLeft(i.PUKTries), byDefault(i.ManagementDefault)),
	}
	if i.Firmware.Less(laptop.FirmwareTells) {
		lines[1] = fmt.Sprintf("PIN: %s; its firmware does not tell more of PIN, PUK and management key", triesLeft(i.PINTries))
	}
	for _, k := range i.Keys {
		origin := "imported"
		if k.Generated {
			origin = "made on the token"
		}
		lines = append(lines, fmt.Sprintf("slot %s: %s, %s, PIN %s, touch %s", k.Slot, k.Public.Algorithm, origin, k.Policy.PIN, k.Policy.Touch),
			"  "+k.Public.Hex)
		if recipient, err := keys.TokenRecipient(k.Public); err == nil && k.Slot == keys.SlotAge {
			lines = append(lines, "  "+recipient)
		}
	}
	if len(i.Keys) == 0 {
		lines = append(lines, "no keys")
	}
	holes := i.Advisories()
	if len(holes) == 0 && i.Firmware.Less(agreed.Firmware[keys.Ed25519]) { // which makes no other keys
		holes = keys.Advisories(i.Firmware, keys.P256)
	}
	for _, a := range holes {
		lines = append(lines, "known hole "+a.String())
	}
	return lines
}

func triesLeft(n int) string {
	if n == 1 {
		return "1 try left"
	}
	return fmt.Sprintf("%d tries left", n)
}

func byDefault(is bool) string {
	if is {
		return "the default"
	}
	return "set"
}

// tokenCheck has a fresh token sign as much as a root may have.
func tokenCheck(_ context.Context, t tokenAtHand) error {
	algorithm := keys.Ed25519
	if t.info.Firmware.Less(keys.Firmware{Major: 5, Minor: 7}) {
		algorithm = keys.P256
	}
	if err := t.session.Try(algorithm, bytes.Repeat([]byte{'x'}, trialBytes)); err != nil {
		return fmt.Errorf("token %s: %w", keys.SerialText(t.info.Serial), err)
	}
	_, err := fmt.Printf("token %s works: it made a key (%s), signed %d bytes with it, and is as new again\n", keys.SerialText(t.info.Serial), algorithm, trialBytes)
	if err == nil && algorithm == keys.P256 {
		_, err = fmt.Printf("its firmware %s knows no ed25519, and cannot be updated: its plan must say algorithm = \"ecdsa-p256\" and min_firmware = \"%[1]s\"\n", t.info.Firmware)
	}
	for _, a := range keys.Advisories(t.info.Firmware, algorithm) {
		if err == nil {
			_, err = fmt.Printf("known hole %s\n", a)
		}
	}
	if err == nil && t.foreign != nil {
		err = fmt.Errorf("token %s can't show that Yubico made it, so no ceremony makes a key on it; it can still sign with a key that the trusted root has: %w (hint: use a YubiKey bought from Yubico; for one of a newer series, run takes its certificates with --attestation-intermediates)", keys.SerialText(t.info.Serial), t.foreign)
	}
	return err
}

// tokenPrepare sets a fresh token's PIN and makes the keys in 9a and 82.
func tokenPrepare(ctx context.Context, t tokenAtHand) error {
	if !t.info.Fresh() {
		return fmt.Errorf("token %s is not as new: %s (hint: %s erases what is on it)", keys.SerialText(t.info.Serial), strings.Join(t.info.NotFresh(), ", "), agreed.Command("token", "reset", "--serial", fmt.Sprint(t.info.Serial)))
	}
	front, closeFront, err := guardedFront(plain.Options{Interview: true})
	if err != nil {
		return err
	}
	defer closeFront()
	pin, err := ceremony.NewPIN(ctx, front, fmt.Sprint(t.info.Serial), fmt.Sprintf("Token %s", keys.SerialText(t.info.Serial)), nil)
	if err != nil {
		return leftEarly(err)
	}
	defer pin.Wipe()
	if _, err := t.session.Prepare(pin); err != nil {
		return fmt.Errorf("token %s: %w", keys.SerialText(t.info.Serial), err)
	}
	info, err := t.session.Info()
	if err != nil {
		return err
	}
	return printLines(append([]string{"prepared; PUK and management key are still the default, and are replaced when a ceremony makes a key"}, infoLines(info)...))
}

// tokenReset brings a token to its factory state, once its serial was typed.
func tokenReset(ctx context.Context, t tokenAtHand) error {
	front, closeFront, err := guardedFront(plain.Options{Interview: true})
	if err != nil {
		return err
	}
	defer closeFront()
	err = front.Type(ctx, prompt.Prompt{ID: "token.reset", Final: true, Message: prompt.Message{
		Title: "Reset a token", Lines: infoLines(t.info), Text: []string{"Every PIV key on it is erased for good. Stop here if you do not know what they are for."}},
		Question: "To reset it, type its serial number without spaces:"}, fmt.Sprint(t.info.Serial))
	if err != nil {
		return leftEarly(err)
	}
	if err := t.session.Reset(); err != nil {
		return fmt.Errorf("token %s: %w", keys.SerialText(t.info.Serial), err)
	}
	info, err := t.session.Info()
	if err != nil {
		return err
	}
	if !info.Fresh() {
		return fmt.Errorf("token %s was reset, and is not as new: %s", keys.SerialText(t.info.Serial), strings.Join(infoLines(info), "; "))
	}
	_, err = fmt.Printf("token %s is as new\n", keys.SerialText(t.info.Serial))
	return err
}

// leftEarly is the end of a command whose question was not answered.
func leftEarly(err error) error {
	if err == prompt.ErrLeft || err == prompt.ErrBack {
		fmt.Fprintln(os.Stderr, "rootceremony: left early; nothing was done")
		return errUnfinished
	}
	return err
}
