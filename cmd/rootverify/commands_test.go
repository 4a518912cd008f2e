package main

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rootceremony/cmd/helptest"
)

// said is what the program prints, with its exit code.
func said(args ...string) (stdout, stderr string, code int) {
	var out, err strings.Builder
	code = run(args, &out, &err)
	return out.String(), err.String(), code
}

// explained is this program, for tests of how it explains itself.
func explained(t *testing.T) helptest.Program {
	t.Helper()
	p := helptest.Program{Name: "rootverify", Usage: 2,
		Said: func(_ *testing.T, args ...string) (stdout, stderr string, status int) { return said(args...) },
		Hint: func(command string) string { return "\nhint: rootverify " + command + " --help lists the flags\n" }}
	for _, c := range commands {
		var asked helpAsked
		if err := c.do([]string{"--help"}, bufio.NewWriter(io.Discard)); !errors.As(err, &asked) {
			t.Fatalf("%s: %v", c.name, err)
		}
		p.Commands = append(p.Commands, helptest.Command{Name: c.name, Takes: c.takes, Line: c.line, Flags: asked.flags})
	}
	return p
}

func TestCommandHelp(t *testing.T) { explained(t).Each(t) }

func TestCommandList(t *testing.T) { explained(t).List(t) }

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
