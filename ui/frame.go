package ui

import (
	"fmt"
	"slices"

	"rootceremony/ceremony/prompt"
	"rootceremony/ui/show"
)

// The smallest terminal that the screens are drawn for.
const (
	leastColumns = 60
	leastRows    = 15
)

// View draws the whole screen: a header, a line, the screen, a line, the keys.
func (m *model) View() string {
	if m.width <= 0 || m.height <= 0 {
		return ""
	}
	if m.small() {
		return m.draw(m.tooSmall())
	}
	height := m.rows()
	var middle []line
	switch {
	case m.over != nil:
		middle = m.inset(m.over.view(m, m.width-4, height-2))
	case m.room != nil:
		middle = m.room.view(m, height)
	default:
		middle = m.inset(m.start.view(m, m.width-4, height-2))
	}
	rule := line{{repeat(m.glyphs.rule, m.width), dim}}
	lines := append(m.header(), rule)
	for i := range height {
		l := line(nil)
		if i < len(middle) {
			l = middle[i]
		}
		lines = append(lines, l)
	}
	bottom := m.bottom()
	lines = append(append(lines, rule), bottom...)
	for i := range lines {
		lines[i] = lines[i].fit(m.width)
	}
	return m.draw(lines)
}

// small reports whether the terminal is too small for the screens.
func (m *model) small() bool { return m.width < leastColumns || m.height < leastRows }

// inset sets lines in a margin.
func (m *model) inset(lines []line) []line {
	lines = append([]line{nil}, lines...)
	for i := range lines {
		lines[i] = append(line{{"  ", plain}}, lines[i]...)
	}
	return lines
}

// header says which ceremony this is, what is in the reader and where we are, and
// in a second line that there is an alarm.
func (m *model) header() []line {
	left := line{{" ROOT CEREMONY ", strong}}
	if m.room == nil {
		return []line{left}
	}
	r := m.room
	if r.Rehearsal {
		left = line{{" REHEARSAL ", mark}}
	}
	right := ""
	if r.token != "" {
		right = show.Clean(r.token) + "   "
	}
	tasks := r.list.tasks
	at := slices.IndexFunc(tasks, func(t prompt.Task) bool { return t.ID == r.cursor })
	if r.run != nil {
		at = slices.IndexFunc(tasks, func(t prompt.Task) bool { return t.ID == r.run.task.ID })
	}
	if at >= 0 {
		right += fmt.Sprintf("task %d of %d ", at+1, len(tasks))
	}
	left = append(left, span{"  " + show.Clean(r.list.header), plain}).fit(max(m.width-width(right)-1, 0))
	lines := []line{append(left, span{" " + right, dim})}
	if r.list.alarm != "" {
		lines = append(lines, line{{" " + show.Clean(r.list.alarm), warn}})
	}
	return lines
}

// rows is how many there are between the rules.
func (m *model) rows() int { return m.height - 2 - len(m.header()) - max(len(m.flashed()), 1) }

// flashed is what the last key has done, in lines; nil: nothing is to be said.
func (m *model) flashed() []string {
	if m.flash == "" || m.leaving || m.early() {
		return nil
	}
	lines := wrap(m.flash, m.width-2)
	return lines[:min(len(lines), 4)]
}

// early reports whether keys do not count yet: the gate is being set. It takes
// so little time that people hardly see it.
func (m *model) early() bool { return !m.armed && m.mode != nothing }

// bottom says which keys there are, or what the last one has done.
func (m *model) bottom() []line {
	var lines []line
	for _, s := range m.flashed() {
		lines = append(lines, line{{" " + s, warn}})
	}
	if lines != nil {
		return lines
	}
	text, l := "", dim
	switch {
	case m.leaving:
		text, l = "Leaving: the task is being ended (^C does not wait for it)", strong
	case m.early():
		text = "One moment"
	case m.over != nil:
		text = m.over.keys()
	case m.room != nil:
		text = m.room.keys(m)
	default:
		text = m.start.keys()
	}
	return []line{{{" " + text, l}}}
}

// tooSmall is what fits everywhere.
func (m *model) tooSmall() []line {
	text := fmt.Sprintf("This window is too small: %d by %d is the least, and it is %d by %d. Nothing is lost; make it larger, or ^C leaves.",
		leastColumns, leastRows, m.width, m.height)
	if m.room != nil && m.room.Rehearsal {
		text = "REHEARSAL. " + text
	}
	var lines []line
	for _, s := range wrap(text, max(m.width, 2)) {
		lines = append(lines, set(plain, s).fit(m.width))
	}
	return lines[:min(len(lines), m.height)]
}
