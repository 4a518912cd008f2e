package ui

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ui/gate"
	"rootceremony/ui/show"
)

// field is a line of text that is being typed. It holds no secrets.
type field struct {
	runes []rune
	at    int // the cursor, in runes
}

func (f *field) text() string { return strings.TrimSpace(string(f.runes)) }

func (f *field) clear() { f.runes, f.at = nil, 0 }

// key edits the text, and returns what is to be said of a key that does not.
func (f *field) key(k tea.KeyMsg) string {
	switch k.Type {
	case tea.KeyRunes, tea.KeySpace:
		said := ""
		for _, r := range k.Runes {
			switch {
			case show.Hidden(r):
				said = "not taken: a character that cannot be shown"
			case len(f.runes) >= gate.MaxLine/utf8.UTFMax:
				return fmt.Sprintf("not taken: a line has at most %d characters", gate.MaxLine/utf8.UTFMax)
			default:
				f.runes = slices.Insert(f.runes, f.at, r)
				f.at++
			}
		}
		return said
	case tea.KeyBackspace, tea.KeyCtrlH:
		if f.at > 0 {
			f.at--
			f.runes = slices.Delete(f.runes, f.at, f.at+1)
		}
	case tea.KeyDelete:
		if f.at < len(f.runes) {
			f.runes = slices.Delete(f.runes, f.at, f.at+1)
		}
	case tea.KeyLeft:
		f.at = max(f.at-1, 0)
	case tea.KeyRight:
		f.at = min(f.at+1, len(f.runes))
	case tea.KeyHome, tea.KeyCtrlA:
		f.at = 0
	case tea.KeyEnd, tea.KeyCtrlE:
		f.at = len(f.runes)
	case tea.KeyCtrlU:
		f.clear()
	default:
		return "that key does nothing here"
	}
	return ""
}

// view shows the text in columns columns, at least what is before the cursor.
// Where active is false no cursor is shown.
func (f *field) view(g glyphs, active bool, columns int) line {
	before, behind := string(f.runes[:f.at]), string(f.runes[f.at:])
	from := len(before)
	for from > 0 {
		_, n := utf8.DecodeLastRuneInString(before[:from])
		if width(before[from-n:]) > columns-3 {
			break
		}
		from -= n
	}
	before = before[from:]
	caret := g.caret
	if !active {
		caret = ""
	}
	prompt := span{"> ", accent}
	if !active {
		prompt.look = dim
	}
	return line{prompt, {before, strong}, {caret, accent}, {behind, strong}}.fit(columns)
}
