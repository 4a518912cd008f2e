package main

import (
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys/yubikey/pcsctest"
)

// said is what a command prints, with its exit status.
func said(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, err strings.Builder
	command := exec.Command(program("rootceremony"), args...)
	command.Stdout, command.Stderr = &out, &err
	if failed := command.Run(); failed != nil && command.ProcessState == nil {
		t.Fatal(failed)
	}
	return out.String(), err.String(), command.ProcessState.ExitCode()
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

// TestCommandHelp holds that a command's help is the same however it is asked
// for, fits the screen, and explains the flags that the command parses and no
// others.
func TestCommandHelp(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		help, complaint, status := said(t, c.name, "--help")
		if status != 0 || complaint != "" || help == "" {
			t.Errorf("%s --help: status %d: %s", c.name, status, complaint)
		}
		for _, other := range [][]string{{c.name, "-h"}, {"help", c.name}, {"--help", c.name}} {
			if same, complaint, status := said(t, other...); same != help || complaint != "" || status != 0 {
				t.Errorf("%s: status %d\n%s%s", other, status, same, complaint)
			}
		}
		fits(t, help)
		if !strings.HasPrefix(help, "Usage: rootceremony "+c.name+" ") || strings.Count(help, "$ rootceremony "+c.name+" ") != 1 {
			t.Errorf("%s is not what its help is about:\n%s", c.name, help)
		}
		var asked *helpAsked
		if err := c.do([]string{"--help"}); !errors.As(err, &asked) {
			t.Fatalf("%s: %v", c.name, err)
		}
		parsed := map[string]bool{}
		asked.flags.VisitAll(func(f *flag.Flag) {
			is, ok := f.Value.(interface{ IsBoolFlag() bool })
			parsed[f.Name] = !ok || !is.IsBoolFlag()
		})
		if listed := listedFlags(help); !maps.Equal(listed, parsed) {
			t.Errorf("%s explains the flags (with values: true) %v and parses %v", c.name, listed, parsed)
		}

		_, complaint, status = said(t, c.name, "--no-such-flag")
		if hint := "(hint: rootceremony " + c.name + " --help)\n"; status != exitUsage || !strings.HasSuffix(complaint, hint) || strings.Count(complaint, "\n") != 1 {
			t.Errorf("%s: status %d: %s", c.name, status, complaint)
		}
	}
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

// TestCommandList holds that the list and README have each command in one line,
// which says the same.
func TestCommandList(t *testing.T) {
	t.Parallel()
	list, _, _ := said(t, "help")
	fits(t, list)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(list, "\nCommands:\n")
	block, _, _ := strings.Cut(rest, "\n\n")
	var want, have, told []string
	for _, c := range commands {
		want = append(want, c.name+" "+c.takes+" "+c.line)
	}
	for line := range strings.Lines(block) {
		have = append(have, strings.Join(strings.Fields(line), " "))
	}
	if have = have[:len(have)-1]; !slices.Equal(have, want) { // without help itself
		t.Errorf("the list has\n%s\nand the commands are\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	for _, m := range regexp.MustCompile(`(?m)^rootceremony (.*)$`).FindAllStringSubmatch(string(readme), -1) {
		told = append(told, strings.Join(strings.Fields(m[1]), " "))
	}
	if !slices.Equal(told, want) {
		t.Errorf("README has\n%s\nand the commands are\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

// TestHelpExamples types the example of each command's help, at the end of its
// input: it does what was said, or asks. Where not said otherwise the folder
// ceremony is a finished rehearsal.
func TestHelpExamples(t *testing.T) {
	t.Parallel()
	finished := filepath.Join(t.TempDir(), "ceremony")
	rehearsed(t, finished)
	planned := func(t *testing.T, folder string) {
		if err := os.Rename(filepath.Dir(examplePlanFile(t)), filepath.Join(folder, "ceremony")); err != nil {
			t.Fatal(err)
		}
	}
	copied := func(t *testing.T, folder string) {
		if err := os.CopyFS(filepath.Join(folder, "ceremony"), os.DirFS(finished)); err != nil {
			t.Fatal(err)
		}
	}
	roots := func(t *testing.T, folder string) {
		first, err := os.ReadFile(filepath.Join(chainFolder(t), "trusted", "1.root.json"))
		if err != nil {
			t.Fatal(err)
		}
		file, err := tuf.Parse(first)
		if err != nil {
			t.Fatal(err)
		}
		file.Root.Version++
		second, err := tuf.Assemble(file.Root, nil)
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(folder, "1.root.json"), string(first))
		rewrite(t, filepath.Join(folder, "2.root.json"), string(second))
	}
	resolved := func(t *testing.T, folder string) {
		plan, err := usablePlan(onTokenPlanFile(t))
		if err != nil {
			t.Fatal(err)
		}
		made, err := plan.Resolve(clock())
		if err != nil {
			t.Fatal(err)
		}
		rewrite(t, filepath.Join(folder, "plan.resolved.json"), string(made.JSON()))
	}
	const anyStatus = -1 // it is this machine's
	tried := map[string]struct {
		in     func(t *testing.T, folder string)
		status int
		says   string
	}{
		"plan":      {nil, exitUnfinished, "Folder of the ceremony that made the newest root"},
		"check":     {planned, 0, "Alice Costa"},
		"rehearse":  {nil, 0, "published first-try/publish/1.root.json"},
		"run":       {planned, exitUnfinished, "Check the laptop"},
		"enrol":     {resolved, exitUnfinished, "Check the laptop"},
		"sign":      {roots, exitUnfinished, "Review root v2"},
		"restore":   {copied, exitUnfinished, "Restore from a backup"},
		"checkup":   {copied, exitUnfinished, "End the check-up"},
		"status":    {copied, 0, "finished: the root is in publish/1.root.json"},
		"preflight": {copied, anyStatus, "clock says"},
		"show":      {copied, 0, "role root: 3 of 5 must sign"},
		"diff":      {roots, 0, "version 1 to 2"},
	}
	elsewhere := []string{"token", "collect"} // TestTokenExample, TestStandInByHand
	for _, c := range commands {
		if slices.Contains(elsewhere, c.name) {
			continue
		}
		try, ok := tried[c.name]
		if !ok {
			t.Errorf("nothing tries %s", c.example)
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			if try.in != nil {
				try.in(t, folder)
			}
			out, status := typed(t, folder, c.example, "")
			if try.status != anyStatus && status != try.status || !strings.Contains(out, try.says) {
				t.Errorf("%s: status %d\n%s", c.example, status, out)
			}
		})
	}
}

// The same with a token in a reader.
func TestTokenExample(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	service.Plug(t, 0, "--serial", "7654321", "--touch", "auto")
	out, err := inRoom(t, service, strings.Fields(example(t, "token"))[1:]...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "token 7 654 321 works") {
		t.Errorf("%v\n%s", err, out)
	}
}

// example is that of a command's help.
func example(t *testing.T, name string) string {
	t.Helper()
	c, err := commandNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return c.example
}
