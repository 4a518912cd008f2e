package ui

import (
	"github.com/charmbracelet/bubbles/key"
)

// keyMap are the keys that mean something everywhere. Up, down, space and
// Enter suffice for everything that is not typed.
type keyMap struct {
	Up, Down, PageUp, PageDown, Enter, Space key.Binding
	Note, Exception, Help, Back, Leave, Stop key.Binding
}

// A Ctrl-C right behind an Esc comes as one key with Alt.
var keymap = keyMap{
	Up:        key.NewBinding(key.WithKeys("up"), key.WithHelp("Up, Down", "choose from a list; scroll what is long")),
	Down:      key.NewBinding(key.WithKeys("down")),
	PageUp:    key.NewBinding(key.WithKeys("pgup"), key.WithHelp("PgUp, PgDn", "scroll by pages (space pages down too)")),
	PageDown:  key.NewBinding(key.WithKeys("pgdown")),
	Enter:     key.NewBinding(key.WithKeys("enter"), key.WithHelp("Enter", "go on, or give the answer; reads on first where more is below")),
	Space:     key.NewBinding(key.WithKeys(" ")),
	Note:      key.NewBinding(key.WithKeys("ctrl+n"), key.WithHelp("^N", "add a note to the record: a tamper bag, an identity, a clock, anything")),
	Exception: key.NewBinding(key.WithKeys("ctrl+x"), key.WithHelp("^X", "record that something went otherwise than planned")),
	Help:      key.NewBinding(key.WithKeys("f1", "?"), key.WithHelp("F1, ?", "this help (where text is typed, F1)")),
	Back:      key.NewBinding(key.WithKeys("esc"), key.WithHelp("Esc", "back: leaves a form, a task, a ceremony")),
	Leave:     key.NewBinding(key.WithKeys("ctrl+c", "alt+ctrl+c"), key.WithHelp("^C", "leave; nothing is lost, and the next start goes on")),
	Stop:      key.NewBinding(key.WithKeys("ctrl+z"), key.WithHelp("^Z", "back to the shell for a while; fg comes back")),
}

// all lists the keys that the help explains.
func (k keyMap) all() []key.Binding {
	return []key.Binding{k.Enter, k.Up, k.PageUp, k.Note, k.Exception, k.Help, k.Back, k.Leave, k.Stop}
}
