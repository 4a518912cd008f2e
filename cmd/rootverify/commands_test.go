package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// said is what the program prints, with its exit code.
func said(args ...string) (stdout, stderr string, code int) {
	var out, err strings.Builder
	code = run(args, &out, &err)
	return out.String(), err.String(), code
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
	for _, c := range commands {
		help, complaint, code := said(c.name, "--help")
		if code != 0 || complaint != "" || help == "" {
			t.Errorf("%s --help: exit code %d: %s", c.name, code, complaint)
		}
		for _, other := range [][]string{{c.name, "-h"}, {"help", c.name}, {"--help", c.name}} {
			if same, complaint, code := said(other...); same != help || complaint != "" || code != 0 {
				t.Errorf("%s: exit code %d\n%s%s", other, code, same, complaint)
			}
		}
		fits(t, help)
		if !strings.HasPrefix(help, "Usage: rootverify "+c.name+" ") || strings.Count(help, "$ rootverify "+c.name+" ") != 1 {
			t.Errorf("%s is not what its help is about:\n%s", c.name, help)
		}
		var asked helpAsked
		if err := c.do([]string{"--help"}, bufio.NewWriter(io.Discard)); !errors.As(err, &asked) {
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

		_, complaint, code = said(c.name, "--no-such-flag")
		if hint := "\nhint: rootverify " + c.name + " --help lists the flags\n"; code != 2 || !strings.HasSuffix(complaint, hint) || strings.Count(complaint, "\n") != 2 {
			t.Errorf("%s: exit code %d: %s", c.name, code, complaint)
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
	list, _, _ := said("help")
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
	for _, m := range regexp.MustCompile(`(?m)^rootverify (.*)$`).FindAllStringSubmatch(string(readme), -1) {
		told = append(told, strings.Join(strings.Fields(m[1]), " "))
	}
	if !slices.Equal(told, want) {
		t.Errorf("README has\n%s\nand the commands are\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}

// TestHelpExamples types the example of each command's help, with the digest
// that it leaves open, on a day when the roots are good.
func TestHelpExamples(t *testing.T) {
	source, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("publish", 0o700); err != nil {
		t.Fatal(err)
	}
	longChain(t, "publish", 5)
	for from, to := range map[string]string{"publish/4.root.json": "4.root.json", "publish/5.root.json": "new.json"} {
		if err := os.Link(from, to); err != nil {
			t.Fatal(err)
		}
	}
	rehearse := exec.Command("go", "run", "rootceremony/cmd/rootceremony", "rehearse", "--auto", filepath.Join(dir, "ceremony"))
	rehearse.Dir, rehearse.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := rehearse.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	tried := map[string]struct {
		trusted, says string
		more          []string
	}{
		"chain":  {"publish/1.root.json", "good at ", []string{"--at", "2027-01-01T00:00:00Z"}},
		"draft":  {"4.root.json", "version 4 to 5", []string{"--at", "2027-01-01T00:00:00Z"}},
		"record": {"ceremony/plan.resolved.json", "good: create root v1", []string{"--rehearsal"}},
	}
	for _, c := range commands {
		try, ok := tried[c.name]
		if !ok {
			t.Errorf("nothing tries %s", c.example)
			continue
		}
		trusted, err := os.ReadFile(try.trusted)
		if err != nil {
			t.Fatal(err)
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(trusted))
		typed := regexp.MustCompile(`[0-9a-f]{4}\.\.\.[0-9a-f]{2}`).ReplaceAllString(c.example, sum)
		out, complaint, code := said(append(strings.Fields(typed)[1:], try.more...)...)
		if code != 0 || complaint != "" || !strings.Contains(out, try.says) || strings.Contains(out, "on trust") {
			t.Errorf("%s: exit code %d: %s%s", typed, code, complaint, out)
		}
	}
}
