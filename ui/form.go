package ui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ceremony/prompt"
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
// the kind of note, then line by line, then who may read it.
type form struct {
	title    string
	kinds    []noteKind
	kind     *noteKind // nil: not chosen yet
	cursor   int       // in the list of kinds, or of readers
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
	case len(f.choices()) > 0:
		return menu
	}
	return letters
}

// choices are those of the list that is open; none where a line is typed.
func (f *form) choices() []string {
	var labels []string
	switch {
	case f.kind == nil:
		for _, k := range f.kinds {
			labels = append(labels, k.label)
		}
	case len(f.answers) == len(f.kind.fields):
		for _, c := range prompt.Readers {
			labels = append(labels, c.Label)
		}
	}
	return labels
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
	case len(f.choices()) > 0:
		switch {
		case key.Matches(k, keymap.Up):
			f.cursor = max(f.cursor-1, 0)
		case key.Matches(k, keymap.Down):
			f.cursor = min(f.cursor+1, len(f.choices())-1)
		case key.Matches(k, keymap.Enter) && f.kind == nil:
			f.kind, f.cursor = &f.kinds[f.cursor], 0
		case key.Matches(k, keymap.Enter):
			return f.record(m)
		}
	case key.Matches(k, keymap.Enter):
		f.enter()
	default:
		m.flash = f.field.key(k)
	}
	return nil
}

// enter takes a line.
func (f *form) enter() {
	text := f.field.text()
	if text == "" {
		f.refused = "a few words are needed here (Esc records nothing)"
		return
	}
	f.answers = append(f.answers, text)
	f.field.clear()
}

// record writes all lines down, for those who may read them.
func (f *form) record(m *model) tea.Cmd {
	f.recorded = true
	notebook, answers, kind, private := m.room.Notebook, f.answers, f.kind, prompt.Readers[f.cursor].Key == "private"
	return func() tea.Msg {
		if kind.written == "" {
			return notedMsg{f, notebook.Exception(answers[0], answers[1], answers[2], private)}
		}
		var values []any
		for _, a := range answers {
			values = append(values, a)
		}
		return notedMsg{f, notebook.Note(fmt.Sprintf(kind.written, values...), private)}
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
		return append(append(lines, nil), f.list(m)...)
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
	if len(f.answers) == len(f.kind.fields) {
		lines = append(append(lines, nil, set(strong, prompt.ReadersQuestion)), f.list(m)...)
	}
	if f.refused != "" {
		lines = append(lines, nil, set(warn, f.refused))
	}
	lines = append(lines, nil, set(dim, "The time is recorded with it."))
	if f.recorded {
		lines = append(lines, set(dim, "It is being written down."))
	}
	if more := len(lines) - rows; more > 0 { // what is asked now stays, and not what was answered
		lines = slices.Delete(lines, 1, 1+more)
	}
	return lines
}

// list shows the choices.
func (f *form) list(m *model) []line {
	var lines []line
	for i, label := range f.choices() {
		mark, l := "  ", plain
		if i == f.cursor {
			mark, l = m.glyphs.here+" ", accent
		}
		lines = append(lines, line{{mark + label, l}})
	}
	return lines
}
