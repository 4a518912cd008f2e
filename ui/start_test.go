package ui

import (
	"fmt"
	"strings"
	"testing"
)

// TestLongStatus reads a status of long lines to its end.
func TestLongStatus(t *testing.T) {
	status := []string{}
	for i := range 20 {
		status = append(status, fmt.Sprintf("[ ] %d %s", i, strings.Repeat("word ", 40)))
	}
	s := newStage(t, Options{Jobs: Jobs{Status: func(string) ([]string, error) { return append(status, "the end"), nil },
		Recent: func() []Recent { return []Recent{{Dir: "/b", Name: "b", Finished: true}} }}})
	defer s.close()
	s.until("recent", func() bool { return s.m.start.listed })
	s.settle()
	s.press("\n")
	s.settle()
	s.says("more: PgDn", true)
	s.press(strings.Repeat("\x1b[6~", 10))
	s.says("the end", true)
	s.says("more: PgDn", false)
	s.press("\x1b[5~")
	s.says("the end", false)
}

// TestCursorStays holds that the cursor marks the same thing when the list of
// recent ceremonies changes, and that nothing is chosen before it is there.
func TestCursorStays(t *testing.T) {
	a, b, c := Recent{Dir: "/a", Name: "A"}, Recent{Dir: "/b", Name: "B"}, Recent{Dir: "/c", Name: "C"}
	s := newStage(t, Options{Jobs: Jobs{Recent: func() []Recent { return []Recent{a, b} }}})
	defer s.close()
	s.press("\x1b[B\n") // before the list is there
	if s.m.start.job != nil {
		t.Fatalf("a job is chosen:\n%s", s.m.View())
	}
	s.until("recent", func() bool { return s.m.start.listed })
	s.settle()
	s.says("> A", true)
	s.press("\x1b[B")
	s.update(recentMsg{c, a, b})
	s.says("> B", true)
	s.press(strings.Repeat("\x1b[B", 7))
	s.says("> Look at", true)
	s.update(recentMsg{c})
	s.says("> Look at", true)
	s.press("\n")
	s.settle()
	s.says("Folder of the ceremony", true)
}

// TestNoRecord holds that no note is offered where none can be recorded.
func TestNoRecord(t *testing.T) {
	o := inRoom(newDesk(nil))
	o.Room.NoRecord = true
	s := newStage(t, o)
	defer s.close()
	s.settle()
	s.says("^N", false)
	for _, key := range []string{"\x0e", "\x18"} {
		s.press(key)
		if s.m.over != nil {
			t.Errorf("a form opens:\n%s", s.m.View())
		}
		s.says("nothing is recorded before", true)
	}
}
