package ui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/prompt"
)

// A choice can be read whole: all of them where there is room, and at least the
// one that Enter takes.
func TestLongChoices(t *testing.T) {
	const columns = 40
	m := &model{env: env{glyphs: asciiGlyphs, clock: func() time.Time { return time.Time{} }}}
	var choices []prompt.Choice
	for i := range 5 {
		choices = append(choices, prompt.Choice{Key: fmt.Sprint(i), Label: fmt.Sprintf("choice %d is one that does not fit into a line of these columns %d", i, i)})
	}
	choices = append(choices, prompt.Choice{Key: "5", Label: "a short one"})
	for _, rows := range []int{20, 11, 10, 6, 2} {
		for cursor := range choices {
			p := &posed{question: &question{kind: choose, choices: choices}, cursor: cursor}
			var shown []string
			for _, l := range p.list(m, true, columns, rows) {
				text := ""
				for _, s := range l {
					text += s.text
				}
				if width(text) != columns {
					t.Errorf("%q has %d columns", text, width(text))
				}
				shown = append(shown, strings.TrimSpace(text))
			}
			if len(shown) > rows {
				t.Errorf("%d rows of %d", len(shown), rows)
			}
			joined := strings.Join(shown, " ")
			if !strings.Contains(joined, asciiGlyphs.here+" "+choices[cursor].Label) {
				t.Errorf("%d rows, on %d: %q", rows, cursor, shown)
			}
			whole := 0
			for _, c := range choices {
				if strings.Contains(joined, c.Label) {
					whole++
				}
			}
			if rows >= 11 && whole != len(choices) {
				t.Errorf("%d rows: %d whole labels in %q", rows, whole, shown)
			}
			if cut := slices.ContainsFunc(shown, func(s string) bool { return strings.HasSuffix(s, "...") }); rows == 10 && !cut {
				t.Errorf("what is cut has no mark: %q", shown)
			}
		}
	}
}
