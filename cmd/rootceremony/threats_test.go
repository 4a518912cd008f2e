package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

const threatModel = "../../docs/threat-model.md"

// heldBy finds tests of one package, as docs/threat-model.md names them.
var heldBy = regexp.MustCompile("`([a-z/]+): ((?:Test|Fuzz)\\w+(?:, (?:Test|Fuzz)\\w+)*)`")

// TestThreatModel holds that each test that the threat model names is there, and that
// each row of its tables has one, or says that it is a practice.
func TestThreatModel(t *testing.T) {
	text := read(t, threatModel)
	sources := map[string]string{} // by package
	named := 0
	for _, m := range heldBy.FindAllStringSubmatch(text, -1) {
		in := m[1]
		if sources[in] == "" {
			files, _ := filepath.Glob(filepath.Join("../..", in, "*_test.go")) // the pattern is a good one
			for _, file := range files {
				sources[in] += "\n" + read(t, file)
			}
		}
		for _, test := range strings.Split(m[2], ", ") {
			named++
			if !strings.Contains(sources[in], "\nfunc "+test+"(") {
				t.Errorf("package %s has no %s", in, test)
			}
		}
	}
	if all := len(regexp.MustCompile(`\b(Test|Fuzz)[A-Z]`).FindAllString(text, -1)); named == 0 || named != all {
		t.Errorf("%d tests are named with their package, of %d", named, all)
	}
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasSuffix(line, "| held by |\n") {
			continue
		}
		if by := cells[len(cells)-1]; len(cells) != 2 || !heldBy.MatchString(by) && !strings.Contains(by, "a practice") {
			t.Errorf("nothing holds %s", line)
		}
	}
}

// TestPromisesAreInTheThreatModel holds that each promise of the README leads to a
// section of the threat model, and that no link of either leads nowhere.
func TestPromisesAreInTheThreatModel(t *testing.T) {
	readme := read(t, "../../README.md")
	_, promises, _ := strings.Cut(readme, "\n## What it promises\n")
	promises, _, _ = strings.Cut(promises, "\n## ")
	list := strings.Split(promises, "\n- **")[1:]
	if len(list) == 0 {
		t.Error("there are no promises")
	}
	for _, promise := range list {
		if !strings.Contains(promise, "](docs/threat-model.md#") {
			t.Errorf("it leads to no section: %s", promise)
		}
	}
	for _, document := range []string{"../../README.md", threatModel} {
		for _, m := range regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`).FindAllStringSubmatch(read(t, document), -1) {
			to := document
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(document), m[1])
			}
			if target := read(t, to); m[2] != "" && !hasSection(target, m[2]) {
				t.Errorf("%s: %s%s leads nowhere", document, m[1], m[2])
			}
		}
	}
}

// hasSection reports whether a document has a heading to which an anchor leads, as
// Markdown makes it of the heading.
func hasSection(text, anchor string) bool {
	for line := range strings.Lines(text) {
		heading := strings.TrimSpace(strings.TrimLeft(line, "#"))
		made := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-':
				return unicode.ToLower(r)
			}
			return -1
		}, heading)
		if strings.HasPrefix(line, "#") && "#"+made == anchor {
			return true
		}
	}
	return false
}
