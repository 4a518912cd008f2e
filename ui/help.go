package ui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ceremony/prompt"
)

// help is a page about the screen below it.
type help struct {
	offset int
	words  []prompt.Written
}

func newHelp(r *room) *help {
	h := &help{}
	if r != nil && r.Words != nil {
		h.words = r.Words()
	}
	return h
}

func (h *help) mode() mode { return menu }

func (h *help) forget() {}

func (h *help) keys() string { return "Esc or Enter back   Up, Down scroll" }

func (h *help) key(m *model, k tea.KeyMsg) tea.Cmd {
	switch {
	case key.Matches(k, keymap.Up):
		h.offset = max(h.offset-1, 0)
	case key.Matches(k, keymap.PageUp):
		h.offset = max(h.offset-10, 0)
	case key.Matches(k, keymap.Down):
		h.offset++
	case key.Matches(k, keymap.PageDown, keymap.Space):
		h.offset += 10
	case key.Matches(k, keymap.Back, keymap.Enter, keymap.Help):
		m.close()
	}
	return nil
}

func (h *help) view(m *model, columns, rows int) []line {
	page := prompt.Message{Title: "Help", Text: []string{m.about()}}
	for _, b := range keymap.all() {
		f := prompt.Fact{Label: b.Help().Key, Value: b.Help().Desc}
		if m.room != nil && m.room.Notebook == nil && b.Help() == keymap.Leave.Help() {
			f.Value = "leave; answers are not kept, and the next start begins again"
		}
		page.Facts = append(page.Facts, f)
	}
	lines := body(prompt.Message{Title: page.Title, Text: page.Text}, columns)
	lines = append(lines, nil)
	lines = append(lines, body(prompt.Message{Facts: page.Facts}, columns)...)
	if len(h.words) > 0 {
		lines = append(append(lines, nil), body(prompt.Message{Write: h.words}, columns)...)
	}
	h.offset = min(h.offset, max(len(lines)-rows, 0))
	return lines[h.offset:min(len(lines), h.offset+rows)]
}

// about says what the screen below is for.
func (m *model) about() string {
	if m.room == nil {
		return "Choose what to do. A rehearsal is the whole day on virtual tokens, and needs nothing. A ceremony needs a plan: write one first, and have everybody read it."
	}
	p := m.room.prompt
	if p == nil {
		if m.room.run != nil {
			if m.room.Notebook == nil {
				return "A task is at work, and will ask when it needs somebody."
			}
			return "A task is at work, and will ask when it needs somebody. What was recorded is safe at every moment."
		}
		return "On the left are the tasks of the day: [x] is done, and what is dim waits for another. Enter begins the one that is marked; Up and Down choose another, in any order. On the right is what the last task has said."
	}
	switch p.kind {
	case confirm, choose:
		if m.room.Notebook == nil {
			return "Choose an answer with Up and Down, and give it with Enter. Esc leaves the task for the list, and asks first: answers are not kept."
		}
		return "Choose an answer with Up and Down, and give it with Enter. Esc leaves the task for the list; nothing is lost."
	case plug:
		return "In a rehearsal the tokens are virtual. Choose the sticker that is asked for and press Enter: that puts the token into the reader. Another one shows what happens with a wrong token."
	case text:
		return "Type an answer, and press Enter. Backspace corrects, ^U begins again."
	case typed:
		return "What is done here cannot be taken back, so it is confirmed by typing exactly what the question says. Upper and lower case do not matter."
	case hidden:
		return "What you type is not shown, and is kept out of this program's other memory until the token gets it. Backspace corrects, ^U begins again. The others look away."
	case press:
		return "A real token blinks now and waits for a finger. This one is virtual: Enter touches it."
	}
	return "Nothing is to be typed here: the screen goes on when the token is there, or was touched."
}
