package ui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
)

// leave asks whether to leave the program while a task runs or, with task, that
// task alone.
type leave struct{ yes, task bool }

func (l *leave) mode() mode { return menu }

func (l *leave) forget() {}

func (l *leave) keys() string { return "Up, Down choose   Enter go on   Esc stay   ^C leave" }

func (l *leave) key(m *model, k tea.KeyMsg) tea.Cmd {
	switch {
	case key.Matches(k, keymap.Up):
		l.yes = false
	case key.Matches(k, keymap.Down):
		l.yes = true
	case key.Matches(k, keymap.Back), key.Matches(k, keymap.Enter) && !l.yes:
		m.close()
	case key.Matches(k, keymap.Enter) && l.task:
		m.close()
		m.room.back(m)
	case key.Matches(k, keymap.Enter):
		m.over = nil
		return m.end()
	}
	return nil
}

func (l *leave) view(m *model, columns, rows int) []line {
	title := "Leave the ceremony?"
	text := "Nothing is lost: what was recorded stays recorded, and the next start goes on from there. The question that is open is asked again then."
	if m.room.Words != nil && len(m.room.Words()) > 0 {
		text += " Then the words are shown that you write on the paper."
	}
	switch {
	case l.task:
		title = "Leave this task?"
		text = "The answers given in it are not kept: when the task is taken again, it asks from its beginning."
	case m.room.Notebook == nil:
		title = "Leave?"
		text = "The answers given so far are not kept: the next start asks from the beginning."
	}
	lines := []line{set(strong, title), nil}
	for _, s := range wrap(text, columns) {
		lines = append(lines, set(plain, s))
	}
	lines = append(lines, nil)
	for i, text := range []string{"Stay", "Leave"} {
		mark, k := "  ", plain
		if l.yes == (i == 1) {
			mark, k = m.glyphs.here+" ", accent
		}
		lines = append(lines, line{{mark + text, k}})
	}
	return lines
}
