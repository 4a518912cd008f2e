package tuf

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Finding is something in a file that is readable but not as we would write
// it. Line and Column are as in ParseError.
type Finding struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
	// Unfit: a verdict may pass over it, and nobody should sign a file with it.
	Unfit  bool `json:"unfit,omitempty"`
	about  subject
	offset int32
}

// subject is what a finding is about: findings that differ in nothing else are
// of one kind.
type subject string

func (f Finding) String() string {
	return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, f.Text)
}

// Notes says findings in words, one line for each kind: the first of them, and
// how many more there are. Of very many kinds, which only hostile files have, it
// counts all but the first.
func Notes(findings []Finding) []string {
	kind := func(f Finding) string { return strings.Replace(f.Text, string(f.about), "", 1) }
	count := map[string]int{}
	for _, f := range findings {
		count[kind(f)]++
	}
	var lines []string
	for _, f := range findings {
		switch n := count[kind(f)]; {
		case n == 1:
			lines = append(lines, f.String())
		case n > 1:
			lines = append(lines, fmt.Sprintf("%s (and %d more like it)", f, n-1))
		}
		count[kind(f)] = 0
	}
	lines, more := few(lines)
	return appendMore(slices.Clip(lines), "", more, "kinds of notes")
}

// alarm is find for what only a verdict may pass over.
func (r *reader) alarm(i int, format string, args ...any) {
	r.find(i, format, args...)
	r.findings[len(r.findings)-1].Unfit = true
}

// maxFindings is how many findings a file may have. A root of the greatest size has
// fewer.
const maxFindings = 200_000

func (r *reader) find(i int, format string, args ...any) {
	if len(r.findings) >= maxFindings {
		r.full = true
		return
	}
	f := Finding{Text: fmt.Sprintf(format, args...), offset: r.nodes[i].start}
	if len(args) > 0 {
		f.about, _ = args[0].(subject)
	}
	r.findings = append(r.findings, f)
}

// placed returns the findings in the order of the file, with line and column.
func (r *reader) placed() []Finding {
	slices.SortStableFunc(r.findings, func(a, b Finding) int { return int(a.offset - b.offset) })
	line, column, at := 1, 1, 0
	for i := range r.findings {
		f := &r.findings[i]
		for ; at < int(f.offset); at++ {
			if r.src[at] == '\n' {
				line, column = line+1, 1
			} else if utf8.RuneStart(r.src[at]) {
				column++
			}
		}
		f.Line, f.Column = line, column
	}
	return r.findings
}
