package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/tuf"
	"rootceremony/cmd/helptest"
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

// explained is this program, for tests of how it explains itself.
func explained(t *testing.T) helptest.Program {
	t.Helper()
	p := helptest.Program{Name: "rootceremony", Said: said, Usage: exitUsage,
		Hint: func(command string) string { return "(hint: rootceremony " + command + " --help)\n" }}
	for _, c := range commands {
		var asked *helpAsked
		if err := c.do([]string{"--help"}); !errors.As(err, &asked) {
			t.Fatalf("%s: %v", c.name, err)
		}
		p.Commands = append(p.Commands, helptest.Command{Name: c.name, Takes: c.takes, Line: c.line, Flags: asked.flags})
	}
	return p
}

func TestCommandHelp(t *testing.T) {
	t.Parallel()
	explained(t).Each(t)
}

func TestCommandList(t *testing.T) {
	t.Parallel()
	explained(t).List(t)
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
		"disclose":  {copied, 0, "ceremony-public: the public edition of ceremony"},
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
	if err == nil || !strings.Contains(string(out), "token 7 654 321 works") || !strings.Contains(string(out), "token 7 654 321 can't show that Yubico made it") {
		t.Errorf("a virtual token: %v\n%s", err, out)
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
