package ui

import (
	"context"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ceremony/prompt"
)

// TestLeaveAtOnce holds that a second Ctrl-C does not wait for a task that
// does not end.
func TestLeaveAtOnce(t *testing.T) {
	ends := make(chan struct{})
	s := newStage(t, inRoom(newDesk(func(context.Context, prompt.Room) error { <-ends; return nil })))
	defer s.close()
	defer close(ends)
	s.beginOnly()
	s.press("\x03")
	s.press("\x1b\x03") // read at once
	if s.quit || !s.m.leaving {
		t.Fatalf("the task is not waited for:\n%s", s.m.View())
	}
	s.press("\x03")
	s.until("the end", func() bool { return s.quit })
}

// beginOnly begins Alice's task and does not wait for a question.
func (s *stage) beginOnly() {
	s.settle()
	s.press("\n")
	s.until("the task", func() bool { return s.m.room.run != nil })
}

// TestForgetsWhenStopped holds that what was half typed is gone after a while
// in the shell.
func TestForgetsWhenStopped(t *testing.T) {
	for name, stop := range map[string]func(*stage){
		"stop":   func(s *stage) { s.press("\x1a") },
		"resume": func(s *stage) { s.update(tea.ResumeMsg{}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, inRoom(newDesk(asks(func(ctx context.Context, a prompt.Room) (string, error) {
				return a.Ask(ctx, prompt.Prompt{ID: "a", Question: "What?"}, nil)
			}))))
			s.begin()
			s.press("half")
			s.says("> half", true)
			stop(s)
			if s.says("> half", false); len(s.m.prompt().field.runes) != 0 {
				t.Error("it is kept")
			}
			s.close()
		})
	}
}

// TestHeaderIsClean holds that nothing of a file or a reader moves the cursor.
func TestHeaderIsClean(t *testing.T) {
	d := newDesk(nil)
	d.header = "Example \x1b[31m\u202epackages"
	s := newStage(t, inRoom(d))
	defer s.close()
	s.settle()
	s.m.ascii = false
	s.m.room.token = "token \x1b[2J\u202e7"
	if frame := s.m.View(); strings.ContainsAny(frame, "\x1b\u202e") || !strings.Contains(frame, "token [2J7") || !strings.Contains(frame, "Example [31mpackages") {
		t.Errorf("the header:\n%q", frame)
	}
}
