// Package helptest tests how a program with commands explains itself: the help
// of each command, and the list of all.
package helptest

import (
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Program is what is tested.
type Program struct {
	Name     string
	Commands []Command
	Said     func(t *testing.T, args ...string) (stdout, stderr string, status int) // runs it
	Usage    int                                                                    // status where it was called wrongly
	// Hint returns how its complaint ends about a flag that the command does not
	// have: with the complaint in the line before, or in the same one.
	Hint func(command string) string
}

// Command is one of its commands.
type Command struct {
	Name, Takes, Line string
	Flags             *flag.FlagSet // that it parses
}

// Each holds that a command's help is the same however it is asked for, fits the
// screen, and explains the flags that the command parses and no others.
func (p Program) Each(t *testing.T) {
	for _, c := range p.Commands {
		t.Run(c.Name, func(t *testing.T) {
			help, complaint, status := p.Said(t, c.Name, "--help")
			if status != 0 || complaint != "" || help == "" {
				t.Errorf("--help: status %d: %s", status, complaint)
			}
			for _, other := range [][]string{{c.Name, "-h"}, {"help", c.Name}, {"--help", c.Name}} {
				if same, complaint, status := p.Said(t, other...); same != help || complaint != "" || status != 0 {
					t.Errorf("%s: status %d\n%s%s", other, status, same, complaint)
				}
			}
			fits(t, help)
			if !strings.HasPrefix(help, "Usage: "+p.Name+" "+c.Name+" ") || strings.Count(help, "$ "+p.Name+" "+c.Name+" ") != 1 {
				t.Errorf("it is not what its help is about:\n%s", help)
			}
			parsed := map[string]bool{}
			c.Flags.VisitAll(func(f *flag.Flag) {
				is, ok := f.Value.(interface{ IsBoolFlag() bool })
				parsed[f.Name] = !ok || !is.IsBoolFlag()
			})
			if listed := listedFlags(help); !maps.Equal(listed, parsed) {
				t.Errorf("it explains the flags (with values: true) %v and parses %v", listed, parsed)
			}

			_, complaint, status = p.Said(t, c.Name, "--no-such-flag")
			if hint := p.Hint(c.Name); status != p.Usage || !strings.HasSuffix(complaint, hint) || strings.Count(complaint, "\n") != strings.Count(hint, "\n") {
				t.Errorf("status %d: %s", status, complaint)
			}
		})
	}
}

// listedFlags are the flags that a help explains, and whether they take a value.
func listedFlags(help string) map[string]bool {
	_, rest, _ := strings.Cut(help, "\nFlags:\n")
	block, _, _ := strings.Cut(rest, "\nExample:\n")
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  --?([a-z0-9-]+)( [A-Z][A-Z0-9]*)?(?:  +\S.*|\n {8,}\S.*)$`).FindAllStringSubmatch(block, -1) {
		listed[m[1]] = m[2] != ""
	}
	return listed
}

// fits holds that a help can be read on a terminal of 80 columns.
func fits(t *testing.T, help string) {
	t.Helper()
	for line := range strings.Lines(help) {
		if utf8.RuneCountInString(line) > 80+1 || strings.Contains(line, "\t") {
			t.Errorf("is too wide: %s", line)
		}
	}
}

// List holds that the program's list and the README have each command in one
// line, which says the same. Tests run in their package's folder, two below the
// README's.
func (p Program) List(t *testing.T) {
	list, _, _ := p.Said(t, "help")
	fits(t, list)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(list, "\nCommands:\n")
	block, _, _ := strings.Cut(rest, "\n\n")
	var want, have, told []string
	for _, c := range p.Commands {
		want = append(want, c.Name+" "+c.Takes+" "+c.Line)
	}
	for line := range strings.Lines(block) {
		have = append(have, strings.Join(strings.Fields(line), " "))
	}
	if have = have[:len(have)-1]; !slices.Equal(have, want) { // without help itself
		t.Errorf("the list has\n%s\nand the commands are\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	for _, m := range regexp.MustCompile(`(?m)^`+p.Name+` (.*)$`).FindAllStringSubmatch(string(readme), -1) {
		told = append(told, strings.Join(strings.Fields(m[1]), " "))
	}
	if !slices.Equal(told, want) {
		t.Errorf("README has\n%s\nand the commands are\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}
