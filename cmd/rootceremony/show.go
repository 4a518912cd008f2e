package main

import (
	"flag"
	"fmt"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// showCommand says what root files say.
func showCommand(args []string) error {
	flags := flag.NewFlagSet("show", flag.ContinueOnError)
	operands, err := parse(flags, args, 1, -1, "one ROOT or more")
	if err != nil {
		return err
	}
	for i, name := range operands {
		file, err := readRoot(name)
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Println()
		}
		if err := printLines(append([]string{name}, tuf.Show(file, clock(), nil)...)); err != nil {
			return err
		}
	}
	return nil
}

// diffCommand says what differs between two roots.
func diffCommand(args []string) error {
	flags := flag.NewFlagSet("diff", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	operands, err := parse(flags, args, 2, 2, "two files, OLD and NEW")
	if err != nil {
		return err
	}
	old, err := readRoot(operands[0])
	if err != nil {
		return err
	}
	new, err := readRoot(operands[1])
	if err != nil {
		return err
	}
	changes := tuf.Diff(old.Root, new.Root, clock(), nil)
	if *asJSON {
		return printJSON(changes)
	}
	var lines []string
	for _, change := range changes {
		lines = append(lines, change.Text)
	}
	return printLines(lines)
}

// readRoot reads a root file and complains by its name.
func readRoot(name string) (*tuf.File, error) {
	text, err := transcript.ReadFile(name)
	if err != nil {
		return nil, err
	}
	file, err := tuf.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}
