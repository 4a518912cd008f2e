package main

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hinshun/vt10x"
)

// TestPictures writes screens of a real run as HTML, for docs/pictures.sh.
func TestPictures(t *testing.T) {
	out := os.Getenv("PICTURES")
	if out == "" {
		t.Skip("PICTURES names no folder for the pictures")
	}
	state := filepath.Join(t.TempDir(), "state")
	dir := filepath.Join(state, "rootceremony", "rehearsal-2026-11-22-100000")
	s := onTerminal(t, []string{"XDG_STATE_HOME=" + state}, "rehearse", dir)
	r := newPeople()
	shot := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(out, name+".html"), []byte(s.html()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	to := func(name string, is func(text string) bool) {
		t.Helper()
		r.stop = is
		r.hold(s)
		shot(name)
	}
	shows := func(texts ...string) func(string) bool {
		return func(text string) bool {
			for _, part := range texts {
				if !strings.Contains(text, part) {
					return false
				}
			}
			return true
		}
	}
	to("agree", shows("To agree, type the first 8", "> █"))
	r.stop = shows("Bruno Ferraz: choose a PIN", "type your new PIN", "> █")
	r.hold(s)
	s.write("90817")
	s.until("> *****█")
	shot("pin")
	s.write("\x18")
	s.until("What was expected?")
	s.write("Alice Costa's bag is closed\r")
	s.until("What happened instead?")
	s.until("> █")
	s.write("its seal was broken")
	s.until("broken█")
	shot("exception")
	s.write("\x1b")
	s.until("nothing was recorded")
	to("review", shows("Is there a second machine?", "► Yes", "Up, Down choose"))
	to("sign", shows("To sign, type words", "> █"))
	to("tasks", shows("Can still be done: Sign: Dana", "^C leave, nothing is lost"))
}

// html is what the terminal shows.
func (s *screen) html() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{"#1c1c1c", "#d75f5f", "#87af5f", "#d7af5f", "#5f87d7", "#af87d7", "#5fafaf", "#bcbcbc",
		"#767676", "#ff8787", "#afd787", "#ffd75f", "#87afff", "#d7afff", "#5fd7d7", "#ffffff"}
	colour := func(c vt10x.Color) string {
		switch {
		case c == vt10x.DefaultFG:
			return "#d0d0d0"
		case c == vt10x.DefaultBG:
			return "#1c1c1c"
		}
		return names[c%16]
	}
	var b strings.Builder
	b.WriteString(`<!doctype html><meta charset="utf-8"><style>body{margin:0;background:#1c1c1c}pre{margin:12px;font:16px/19px "DejaVu Sans Mono",monospace}b{font-weight:bold}</style><pre>`)
	columns, rows := s.vt.Size()
	for y := range rows {
		for x := range columns {
			g := s.vt.Cell(x, y)
			text := html.EscapeString(string(g.Char))
			if g.Mode&4 != 0 { // bold
				text = "<b>" + text + "</b>"
			}
			fmt.Fprintf(&b, `<span style="color:%s;background:%s">%s</span>`, colour(g.FG), colour(g.BG), text)
		}
		b.WriteString("\n")
	}
	b.WriteString("</pre>")
	return b.String()
}
