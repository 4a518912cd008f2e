package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/virtual"
	"rootceremony/ui/plain"
)

func clock() time.Time { return time.Now() }

// rehearseCommand holds a ceremony on virtual tokens, or goes on with one.
func rehearseCommand(args []string) error {
	flags := flag.NewFlagSet("rehearse", flag.ContinueOnError)
	planFile := flags.String("plan", "", "")
	auto := flags.Bool("auto", false, "")
	answersFile := flags.String("answers", "", "")
	plainly := flags.Bool("plain", false, "")
	operands, err := parse(flags, args, 0, 1, "at most one DIR")
	if err != nil {
		return err
	}
	answers, err := readAnswers(*answersFile)
	if err != nil {
		return err
	}
	if *answersFile != "" && !*auto {
		return &usageError{"rehearse --answers goes with --auto"}
	}
	dir, err := rehearsalFolder(operands)
	if err != nil {
		return err
	}
	desk, err := openRehearsal(dir, *planFile)
	if err != nil {
		return err
	}
	defer desk.Close()
	if *auto {
		return runScript(context.Background(), desk, &ceremony.Script{Answers: answers})
	}
	if onScreen(*plainly) {
		return showUI(deskRoom(desk, true))
	}
	return runPlain(desk, true)
}

// rehearsalFolder is the folder that was named, or a fresh one.
func rehearsalFolder(operands []string) (string, error) {
	if len(operands) == 1 {
		return operands[0], nil
	}
	state, err := stateFolder()
	if err != nil {
		return "", err
	}
	dir := freshRehearsal(state)
	fmt.Fprintln(os.Stderr, "rootceremony: the rehearsal is kept in", dir)
	return dir, nil
}

// openRehearsal opens the rehearsal in dir, where needed with a plan and a
// drawer of virtual tokens.
func openRehearsal(dir, planFile string) (*ceremony.Desk, error) {
	files, err := rehearsalPlan(dir, planFile)
	if err != nil {
		return nil, err
	}
	if err := transcript.MakeFolder(dir); err != nil {
		return nil, err
	}
	desk, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "rootceremony " + version, Clock: clock, Rehearsal: true})
	if err != nil {
		return nil, err
	}
	tokens, err := layOut(dir, files)
	if err != nil {
		_ = desk.Close()
		return nil, err
	}
	desk.UseTokens(tokens)
	return desk, nil
}

// rehearsalPlan returns the files of the plan that are to be written to dir:
// those of the plan given, or of the example, or none where dir has a plan. A
// plan with faults is refused before anything is written.
func rehearsalPlan(dir, planFile string) (map[string][]byte, error) {
	there, err := os.ReadFile(filepath.Join(dir, ceremony.PlanFile))
	has := err == nil
	if planFile == "" {
		if has {
			return nil, nil
		}
		return ceremony.ExamplePlan()
	}
	plan, err := ceremony.ReadPlan(planFile)
	if err != nil {
		return nil, err
	}
	if _, err := plan.Resolve(clock()); err != nil {
		return nil, err
	}
	if has && string(there) != string(plan.Data) {
		return nil, fmt.Errorf("%s has another plan already (hint: leave --plan away to go on with it, or name another directory)", dir)
	}
	files := map[string][]byte{ceremony.PlanFile: plan.Data}
	for _, role := range plan.Roles {
		for _, name := range role.Files {
			if files[name], err = os.ReadFile(filepath.Join(filepath.Dir(planFile), name)); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// layOut writes the plan's files, the plan itself last, and gives every holder
// a virtual token with the planned sticker.
func layOut(dir string, files map[string][]byte) (ceremony.Tokens, error) {
	for name, text := range files {
		if name == ceremony.PlanFile {
			continue
		}
		// A start that was interrupted has left the key files of its own plan.
		err := transcript.WriteNew(filepath.Join(dir, name), text, 0o644)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return ceremony.Tokens{}, err
		}
	}
	if text, ok := files[ceremony.PlanFile]; ok {
		if err := transcript.WriteNew(filepath.Join(dir, ceremony.PlanFile), text, 0o644); err != nil {
			return ceremony.Tokens{}, err
		}
	}
	plan, err := ceremony.ReadPlan(filepath.Join(dir, ceremony.PlanFile))
	if err != nil {
		return ceremony.Tokens{}, err
	}
	return virtualTokens(filepath.Join(dir, filepath.FromSlash(ceremony.TokensDir)), plan)
}

// virtualTokens is a reader into which the tokens of a drawer are plugged, one
// at a time.
func virtualTokens(folder string, plan *ceremony.Plan) (ceremony.Tokens, error) {
	drawer, err := virtual.OpenDrawer(folder)
	if err != nil {
		return ceremony.Tokens{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return ceremony.Tokens{}, err
	}
	tokens := ceremony.Tokens{Roots: []*x509.Certificate{drawer.AttestationRoot()}}
	serials := map[string]uint32{}
	for _, h := range plan.Holders {
		if serials[h.Token], err = drawer.Add(h.Token, virtual.Options{}); err != nil {
			return ceremony.Tokens{}, err
		}
		tokens.Stickers = append(tokens.Stickers, h.Token)
	}
	program := keys.Program{Path: self, Args: []string{sessionArgument}}
	backend := keys.Backend{Kind: "virtual", Dir: folder}
	tokens.Start = func(ctx context.Context) (*keys.Session, error) { return program.Start(ctx, backend) }
	tokens.Plug = func(sticker string) error {
		serial, ok := serials[sticker]
		if !ok {
			return fmt.Errorf("no virtual token has the sticker %q (hint: there are %s)", sticker, strings.Join(tokens.Stickers, ", "))
		}
		backend.Plugged = []uint32{serial}
		return nil
	}
	return tokens, nil
}

// readAnswers reads lines "prompt id = answer"; empty lines and those that
// begin with # do not count.
func readAnswers(file string) (map[string]string, error) {
	answers := map[string]string{}
	if file == "" {
		return answers, nil
	}
	text, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	lines := bufio.NewScanner(text)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, answer, ok := strings.Cut(line, "=")
		if id = strings.TrimSpace(id); !ok || id == "" {
			return nil, fmt.Errorf("%s line %d: it is not of the form: prompt id = answer", file, number)
		}
		if _, twice := answers[id]; twice {
			return nil, fmt.Errorf("%s line %d: the prompt %q has an answer already", file, number, id)
		}
		answers[id] = strings.TrimSpace(answer)
	}
	return answers, lines.Err()
}

// runScript takes every task in turn, with nobody at the keyboard.
func runScript(ctx context.Context, desk *ceremony.Desk, script *ceremony.Script) error {
	for {
		task, ok := desk.Next()
		if !ok {
			break
		}
		if err := desk.Run(ctx, task.ID, script); err != nil {
			return fmt.Errorf("task %q: %w", task.ID, err)
		}
	}
	return ended(desk)
}

// runPlain holds the ceremony line by line.
func runPlain(desk *ceremony.Desk, rehearsal bool) error {
	front, err := plain.New(os.Stdin, os.Stdout, plain.Options{Rehearsal: rehearsal, Notebook: desk})
	if err != nil {
		return err
	}
	defer front.Close()
	err = front.Run(context.Background(), desk)
	if errors.Is(err, ceremony.ErrLeft) {
		fmt.Fprintf(os.Stderr, "rootceremony: left early; nothing is lost (hint: the same command with %s goes on)\n", desk.Dir())
		return errUnfinished
	}
	if err != nil {
		return err
	}
	return ended(desk)
}

// ended says where the root is, or what is missing.
func ended(desk *ceremony.Desk) error {
	state := desk.State()
	if state.Closed == nil {
		return errUnfinished
	}
	fmt.Fprintln(os.Stderr, "rootceremony: published", filepath.Join(desk.Dir(), state.Published.File.Name))
	return nil
}
