package ui

import (
	"fmt"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ui/show"
)

// prompt is a question while it is on the screen.
type posed struct {
	*question
	shown   time.Time // when people could read it; zero: not yet
	early   time.Time // when a key was pressed that came too early for a final one
	cursor  int       // in choices; -1: on none
	field   field
	stars   int    // characters of a secret
	read    bool   // what it is about was shown to its end
	missing string // what is still waited for
}

// hide makes the prompt start again: it was covered, or what was typed is to
// be forgotten.
func (p *posed) hide() { p.shown, p.early, p.stars = time.Time{}, time.Time{}, 0 }

// quiet is how long keys do not count.
func (p *posed) quiet() time.Duration {
	switch {
	case p.kind == hidden: // opening the gate has thrown away what was typed early
		return 0
	case p.prompt.Final:
		return quietFinal
	}
	return quietShown
}

// open reports whether keys count.
func (p *posed) open(now time.Time) bool {
	since := p.shown
	if p.early.After(since) {
		since = p.early
	}
	return !p.shown.IsZero() && now.Sub(since) >= p.quiet()
}

// mode is what may be typed.
func (p *posed) mode() mode {
	switch p.kind {
	case text, typed:
		return letters
	case hidden:
		return secrets
	}
	return menu
}

// key takes a key. done is true when the question was answered.
func (p *posed) key(m *model, k tea.KeyMsg) (cmd tea.Cmd, done bool) {
	if p.kind == hidden {
		return nil, p.secretKey(m, k)
	}
	if !m.armed || !p.open(m.clock()) {
		p.early = m.clock()
		m.flash = tooEarly
		return m.tick(p.quiet(), quietMsg{}), false
	}
	switch {
	case key.Matches(k, keymap.Up) && len(p.choices) > 0:
		p.cursor = max(p.cursor-1, 0)
	case key.Matches(k, keymap.Down) && len(p.choices) > 0:
		p.cursor = min(p.cursor+1, len(p.choices)-1)
	case key.Matches(k, keymap.Enter):
		return nil, p.enter(m)
	case p.mode() == letters:
		m.flash = p.field.key(k)
	}
	return nil, false
}

// enter gives the answer, if there is one.
func (p *posed) enter(m *model) bool {
	given := answer{}
	switch p.kind {
	case text, typed:
		given.text = p.field.text()
	case confirm, choose, plug:
		if p.cursor < 0 {
			m.flash = "choose an answer first, with Up and Down"
			return false
		}
		given.text = p.choices[p.cursor].Key
	case wait:
		m.flash = "not taken: nothing is to be typed here"
		return false
	}
	p.answers <- given
	return true
}

// secretKey counts the stars that the gate shows for characters.
func (p *posed) secretKey(m *model, k tea.KeyMsg) bool {
	switch {
	case k.Type == tea.KeyRunes && !k.Alt:
		p.stars += len(k.Runes)
	case k.Type == tea.KeyBackspace || k.Type == tea.KeyCtrlH:
		p.stars = max(p.stars-1, 0)
	case k.Type == tea.KeyCtrlU:
		p.stars = 0
	case k.Type == tea.KeyEnter:
		if !m.armed {
			return false
		}
		m.rearm = false // the gate stays shut until the secret was taken
		p.answers <- answer{}
		return true
	default:
		if p.stars > 0 {
			m.flash = "that key is no character: what was typed is forgotten; type it again"
		}
		p.stars = 0
		m.rearm = true
	}
	return false
}

// foot is the question and where it is answered, at the bottom of the panel,
// in at most rows lines.
func (p *posed) foot(m *model, columns, rows int) []line {
	var lines []line
	for _, s := range wrap(p.prompt.Question, columns) {
		lines = append(lines, set(strong, s))
	}
	open := m.armed && m.over == nil && p.open(m.clock())
	switch p.kind {
	case confirm, choose, plug:
		lines = append(lines, p.list(m, open, columns, max(rows-len(lines)-1, 2))...)
	case text, typed:
		lines = append(lines, p.field.view(m.glyphs, open, columns))
	case hidden:
		typed := field{runes: []rune(repeat(m.glyphs.star, p.stars)), at: p.stars}
		lines = append(lines, typed.view(m.glyphs, open, columns))
	case press:
		l := line(nil)
		if open {
			l = line{{m.glyphs.here + " Enter touches the virtual token", accent}}
		}
		lines = append(lines, l)
	case wait:
		lines = append(lines, m.progress(m.room.run.since, columns))
	}
	if p.prompt.Final && !open && m.over == nil {
		lines = append(lines, set(dim, "(one moment: this cannot be taken back)"))
	}
	return lines
}

// refusal is why there is no answer yet.
func (p *posed) refusal() string {
	switch {
	case p.kind == wait:
		return p.missing
	case p.refused != "":
		return "Not taken: " + p.refused
	}
	return ""
}

// list shows the choices, those around the cursor where they are many. A label
// that is too long for its line goes on below it; where there is no room for
// that, only the one at the cursor does, and the others end with dots. What
// cannot be answered yet is not offered.
func (p *posed) list(m *model, open bool, columns, rows int) []line {
	labels, total := make([][]string, len(p.choices)), 0
	for i, c := range p.choices {
		labels[i] = wrap(c.Label, columns-2)
		total += len(labels[i])
	}
	var lines []line
	from := 0
	for i, parts := range labels {
		mark, l := "  ", plain
		if i == p.cursor {
			mark, l = m.glyphs.here+" ", accent
			from = max(len(lines)-rows/2, len(lines)+len(parts)-rows)
		} else if total > rows && len(parts) > 1 {
			parts = []string{show.Truncate(parts[0], columns-5) + "..."}
		}
		for _, part := range parts {
			shown := line{{mark + set(l, part)[0].text, l}}.fit(columns)
			if !open {
				shown = nil
			}
			lines, mark = append(lines, shown), "  "
		}
	}
	from = max(0, min(from, len(lines)-rows))
	return lines[from:min(len(lines), from+rows)]
}

// progress is a bar that moves while something is waited for.
func (e *env) progress(since time.Time, columns int) line {
	passed := e.clock().Sub(since)
	if passed < 0 || since.IsZero() {
		passed = 0
	}
	const cells = 12
	at := int(passed/(250*time.Millisecond)) % cells
	bar := repeat(".", at) + e.glyphs.moon + repeat(".", cells-1-at)
	return line{{"[" + bar + "] ", dim}, {fmt.Sprintf("%d s", int(passed.Seconds())), dim}}.fit(columns)
}
