package ui

import (
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"rootceremony/ui/show"
)

// look is how a piece of text is set. It never says more than the text.
type look int

const (
	plain  look = iota
	dim         // what can wait
	strong      // titles, questions
	accent      // where we are
	good        // done
	warn        // refused, or too early
	mark        // the word REHEARSAL
	looks
)

// styles are the looks on one terminal.
type styles [looks]lipgloss.Style

// newStyles returns styles of the sixteen colours that every terminal with
// colours has. The background is never asked for.
func newStyles(profile termenv.Profile) styles {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(profile)
	r.SetHasDarkBackground(true)
	var s styles
	for i := range s {
		s[i] = r.NewStyle()
	}
	s[dim] = s[dim].Faint(true)
	s[strong] = s[strong].Bold(true)
	s[accent] = s[accent].Bold(true).Foreground(lipgloss.ANSIColor(6))
	s[good] = s[good].Foreground(lipgloss.ANSIColor(2))
	s[warn] = s[warn].Bold(true).Foreground(lipgloss.ANSIColor(3))
	s[mark] = s[mark].Bold(true).Reverse(true)
	return s
}

// profile is what a terminal can show, by its environment: sixteen colours, or
// none where that was asked for.
func profile(env func(string) string) termenv.Profile {
	if term := env("TERM"); env("NO_COLOR") != "" || strings.HasPrefix(term, "vt") {
		return termenv.Ascii
	}
	return termenv.ANSI
}

// span is a piece of a line: cleaned text, without line ends.
type span struct {
	text string
	look look
}

// line is a row of the screen, or a part of one.
type line []span

// set returns a line of one span, of text that may come from anywhere.
func set(l look, text string) line { return line{{show.Clean(text), l}} }

func width(s string) int { return show.Width(s) }

// fit returns l in exactly n columns.
func (l line) fit(n int) line {
	var fitted line
	for _, s := range l {
		if w := width(s.text); w > n {
			s.text = show.Truncate(s.text, n)
		}
		n -= width(s.text)
		fitted = append(fitted, s)
	}
	if n > 0 {
		fitted = append(fitted, span{strings.Repeat(" ", n), plain})
	}
	return fitted
}

// draw returns lines as they are written to the terminal.
func (e *env) draw(lines []line) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, s := range l {
			text := s.text
			if e.ascii {
				text = show.ASCII(text)
			}
			if s.look == plain || strings.TrimSpace(text) == "" && s.look != mark {
				b.WriteString(text)
				continue
			}
			b.WriteString(e.styles[s.look].Render(text))
		}
	}
	return b.String()
}
