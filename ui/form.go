package ui

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
)

// noteKind is a sort of note: what is asked for, and the text that goes into
// the record.
type noteKind struct {
	label   string
	fields  []string
	written string // a format of the fields
}

var noteKinds = []noteKind{
	{"A note in your own words", []string{"What is to be noted?"}, "%s"},
	{"A tamper bag", []string{"Number of the bag", "Who sealed it?", "When was it opened (UTC)?"}, "tamper bag %s, sealed by %s, opened at %s"},
	{"An identity check", []string{"Whose identity was checked?", "With what (a passport, known for years)?", "Who checked it?"}, "identity of %s: %s, checked by %s"},
	{"The clock", []string{"Which UTC time does another clock show?", "Which clock is that?", "Who read it?"}, "another clock shows %s UTC: %s, read by %s"},
}

var exceptionKind = noteKind{"An exception", []string{"What was expected?", "What happened instead?", "What was decided?"}, ""}

// form asks for what goes into the record beside what tasks write: first for
// the kind of note, then line by line.
type form struct {
	title    string
	kinds    []noteKind
	kind     *noteKind // nil: not chosen yet
	cursor   int
	answers  []string
	field    field
	refused  string
	recorded bool // it is being written
}

// notedMsg: a note was recorded, or not.
type notedMsg struct {
	form *form
	err  error
}

func newNote() *form { return &form{title: "A note for the record", kinds: noteKinds} }

func newException() *form {
	return &form{title: "An exception for the record", kind: &exceptionKind}
}

func (f *form) mode() mode {
	switch {
	case f.recorded:
		return nothing
	case f.kind == nil:
		return menu
	}
	return letters
}

func (f *form) forget() { f.field.clear() }

func (f *form) keys() string { return "Enter go on   Esc back, nothing is recorded   ^C leave" }

func (f *form) key(m *model, k tea.KeyMsg) tea.Cmd {
	f.refused = ""
	switch {
	case f.recorded:
		return nil
	case key.Matches(k, keymap.Back):
		m.close()
		m.flash = "nothing was recorded"
	case f.kind == nil:
		switch {
		case key.Matches(k, keymap.Up):
			f.cursor = max(f.cursor-1, 0)
		case key.Matches(k, keymap.Down):
			f.cursor = min(f.cursor+1, len(f.kinds)-1)
		case key.Matches(k, keymap.Enter):
			f.kind = &f.kinds[f.cursor]
		}
	case key.Matches(k, keymap.Enter):
		return f.enter(m)
	default:
		m.flash = f.field.key(k)
	}
	return nil
}

// enter takes a line, and records all of them after the last.
func (f *form) enter(m *model) tea.Cmd {
	text := f.field.text()
	if text == "" {
		f.refused = "a few words are needed here (Esc records nothing)"
		return nil
	}
	f.answers = append(f.answers, text)
	f.field.clear()
	if len(f.answers) < len(f.kind.fields) {
		return nil
	}
	f.recorded = true
	notebook, answers, kind := m.room.Notebook, f.answers, f.kind
	return func() tea.Msg {
		if kind.written == "" {
			return notedMsg{f, notebook.Exception(answers[0], answers[1], answers[2])}
		}
		var values []any
		for _, a := range answers {
			values = append(values, a)
		}
		return notedMsg{f, notebook.Note(fmt.Sprintf(kind.written, values...))}
	}
}

// noted says what became of a form.
func (m *model) noted(msg notedMsg) {
	if m.over == msg.form {
		m.close()
	}
	m.flash = "it is recorded"
	if msg.err != nil {
		m.flash = "it was not recorded: " + msg.err.Error()
	}
}

func (f *form) view(m *model, columns, rows int) []line {
	lines := []line{set(strong, f.title)}
	if f.kind == nil {
		lines = append(lines, nil)
		for i, k := range f.kinds {
			mark, l := "  ", plain
			if i == f.cursor {
				mark, l = m.glyphs.here+" ", accent
			}
			lines = append(lines, line{{mark + k.label, l}})
		}
		return lines
	}
	if f.title != "" && len(f.kinds) > 0 {
		lines[0] = set(strong, f.title+": "+strings.ToLower(f.kind.label[:1])+f.kind.label[1:])
	}
	for i, a := range f.answers {
		lines = append(lines, nil, set(dim, f.kind.fields[i]), set(plain, "> "+a))
	}
	if len(f.answers) < len(f.kind.fields) {
		lines = append(lines, nil, set(strong, f.kind.fields[len(f.answers)]), f.field.view(m.glyphs, true, columns))
	}
	if f.refused != "" {
		lines = append(lines, nil, set(warn, f.refused))
	}
	lines = append(lines, nil, set(dim, "The time is recorded with it."))
	if f.recorded {
		lines = append(lines, set(dim, "It is being written down."))
	}
	return lines
}
