package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"rootceremony/ceremony/prompt"
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
	o.Room.Notebook = nil
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

// TestEmergencyGoesOn goes from the first screen through an emergency's task to
// the ceremony that it leads to; where it leads to none, back to the start.
func TestEmergencyGoesOn(t *testing.T) {
	closed := 0
	begin := func(then func() (*Room, error)) *stage {
		t.Helper()
		closed = 0
		d := &desk{header: "emergency", tasks: []prompt.Task{{ID: "plan", Title: "Say what has happened", State: prompt.Ready}},
			do: map[string]func(context.Context, prompt.Room) error{"plan": func(context.Context, prompt.Room) error { return nil }}}
		room := &Room{Desk: d, Close: func() error { closed++; return nil }, Then: func() func() (*Room, error) { return then }}
		folder := ""
		s := newStage(t, Options{Jobs: Jobs{Recent: func() []Recent { return nil }, Revoke: func(dir string) (*Room, error) { folder = dir; return room, nil }}})
		s.until("the list", func() bool { return s.m.start.listed })
		s.settle()
		for range len(jobList) {
			if strings.Contains(s.m.View(), "> Emergency: a token or a key is lost, stolen or seen") {
				break
			}
			s.press("\x1b[B")
		}
		s.press("\n")
		s.settle()
		s.press("\n") // without a folder
		s.settle()
		s.says("a folder is needed", true)
		s.press("/new")
		s.press("\n")
		s.settle()
		s.says("Next: Say what has happened", true)
		if folder != "/new" {
			t.Errorf("folder %q", folder)
		}
		s.press("\n")
		s.until("the task has ended", func() bool { return s.m.room.run == nil && s.m.room.list.next == "" })
		s.settle()
		return s
	}
	next := newDesk(nil)
	s := begin(func() (*Room, error) { return &Room{Desk: next, Notebook: next}, nil })
	s.says("Enter goes on to its ceremony", true)
	s.press("\n")
	s.settle()
	s.says("Next: Holders: Alice Costa", true)
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
	s.close()

	s = begin(func() (*Room, error) { return nil, errors.New("no reader is here") })
	s.press("\n")
	s.settle()
	s.says("What is to be done?", true)
	s.says("no reader is here", true)
	s.close()

	s = begin(func() (*Room, error) { return &Room{Desk: next, Notebook: next}, nil })
	s.press("\x1b") // not now
	s.settle()
	s.says("What is to be done?", true)
	s.close()

	s = begin(nil)
	s.says("Everything is done. Enter leaves.", true)
	s.press("\n")
	s.settle()
	s.says("What is to be done?", true)
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
	s.close()
}
