package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys/secret"
)

func longMessage() prompt.Message {
	m := prompt.Message{Title: "Review root v1"}
	for i := range 40 {
		m.Lines = append(m.Lines, fmt.Sprintf("line %d", i+1))
	}
	return m
}

// says fails unless the frame says so (or, with not, unless it does not).
func (s *stage) says(text string, want bool) {
	s.t.Helper()
	if frame := s.m.View(); strings.Contains(frame, text) != want {
		s.t.Fatalf("%q in the frame: want %v\n%s", text, want, frame)
	}
}

// TestReadAgain holds that Enter is not named as the key that reads on where
// it gives the answer.
func TestReadAgain(t *testing.T) {
	s := newStage(t, inRoom(newDesk(asks(func(ctx context.Context, a prompt.Room) (string, error) {
		return a.Ask(ctx, prompt.Prompt{ID: "a", Message: longMessage(), Question: "What?"}, nil)
	}))))
	defer s.close()
	s.begin()
	s.says("more lines: Enter or PgDn", true)
	s.press("\x1b[6~\x1b[6~\x1b[6~")
	s.ready()
	s.press("\x1b[5~")
	s.ready()
	s.says("more lines: PgDn", true)
	s.press("so\n")
	s.settle()
	s.says("The answer was so.", true)
}

// TestLongEnd holds that Enter shows all that a task has said in the end
// before it begins the next one.
func TestLongEnd(t *testing.T) {
	s := newStage(t, inRoom(newDesk(func(ctx context.Context, a prompt.Room) error { return a.Tell(ctx, longMessage()) })))
	defer s.close()
	s.begin()
	for s.says("more lines: Enter or PgDn", true); strings.Contains(s.m.View(), " more line"); s.settle() {
		s.press("\n")
		if s.m.room.run != nil {
			t.Fatalf("a task begins before the end was read:\n%s", s.m.View())
		}
	}
	s.says("line 40", true)
	s.press("\n")
	s.settle()
	s.says("Holders: Bruno Ferraz", true)
	s.says("line 40", false)
}

// TestReadAtSecret reads what stands above a secret prompt while it is typed.
func TestReadAtSecret(t *testing.T) {
	s := newStage(t, inRoom(newDesk(asks(func(ctx context.Context, a prompt.Room) (string, error) {
		b, err := a.AskSecret(ctx, prompt.Prompt{ID: "s", Message: longMessage(), Question: "Type your PIN:"}, func(b *secret.Buffer) error {
			if string(b.Bytes()) != walkedPIN {
				return errors.New("that is another one")
			}
			return nil
		})
		b.Wipe()
		return "right", err
	}))))
	defer s.close()
	s.begin()
	s.says("more lines: PgDn", true)
	s.press(walkedPIN[:4])
	s.press("\x1b[6~")
	s.says("line 20", true)
	s.says("> ****", true)
	s.press("\x1b[5~")
	s.press(walkedPIN[4:])
	s.press("\n")
	s.settle()
	s.says("The answer was right.", true)
}

// TestBurstInAForm touches a token while a form is filled in.
func TestBurstInAForm(t *testing.T) {
	s := newStage(t, inRoom(newDesk(nil)))
	defer s.close()
	s.settle()
	s.press("\x18")
	s.settle()
	s.press(strings.Repeat("cbdefghijklnrtuv", 3)[:44] + "\n")
	s.update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("cb")}) // what an earlier read gave
	s.settle()
	s.says("touched", true)
	if f := s.m.over.(*form); len(f.field.runes) > 0 || len(f.answers) > 0 {
		t.Errorf("the form has %q and %q", string(f.field.runes), f.answers)
	}
}

// TestReadersInASmallWindow holds that who may read an exception is asked where all
// of the answers before do not fit.
func TestReadersInASmallWindow(t *testing.T) {
	d := newDesk(nil)
	s := newStage(t, inRoom(d))
	defer s.close()
	s.m.width, s.m.height = leastColumns, leastRows
	s.settle()
	s.press("\x18")
	s.settle()
	for _, answer := range []string{"five chairs", "there are four", "one stands"} {
		s.press(answer + "\n")
		s.settle()
	}
	for _, part := range append([]string{"An exception for the record", prompt.ReadersQuestion}, prompt.Readers[0].Label, prompt.Readers[1].Label) {
		s.says(part, true)
	}
	s.press("\x1b[B\n")
	s.until("it is recorded", func() bool { return s.m.over == nil })
	if want := "private: exception: five chairs / there are four / one stands"; len(d.notes) != 1 || d.notes[0] != want {
		t.Errorf("recorded %q", d.notes)
	}
}

// TestTaskPanics holds that a defect in one task stops that task alone.
func TestTaskPanics(t *testing.T) {
	s := newStage(t, inRoom(newDesk(func(context.Context, prompt.Room) error { panic("at the wrong place") })))
	defer s.close()
	s.begin()
	s.says("Holders: Alice Costa has stopped", true)
	s.says("at the wrong place", true)
}

// TestLeftWithAFault holds that what a task says in the end is not lost when
// people leave meanwhile.
func TestLeftWithAFault(t *testing.T) {
	full := errors.New("the disk is full")
	for _, c := range []struct{ ends, fault error }{{full, full}, {prompt.ErrBack, nil}, {context.Canceled, nil}, {nil, nil}} {
		t.Run(fmt.Sprint(c.ends), func(t *testing.T) {
			d := newDesk(func(ctx context.Context, _ prompt.Room) error {
				<-ctx.Done()
				return c.ends
			})
			d.tasks = d.tasks[:3] // nothing is left when it ends well
			s := newStage(t, inRoom(d))
			s.settle()
			s.press("\n")
			s.press("\x03")
			s.press("\x03")
			s.until("the end", func() bool { return s.quit })
			if !errors.Is(s.m.fault, c.fault) || s.m.left != (c.ends != nil) {
				t.Errorf("a task that ends with %v: fault %v, left %v", c.ends, s.m.fault, s.m.left)
			}
			s.close()
		})
	}
}

// TestBurstIsNoText holds that of a burst nothing passes but a Ctrl-C.
func TestBurstIsNoText(t *testing.T) {
	s := newStage(t, inRoom(newDesk(nil)))
	defer s.close()
	s.settle()
	for _, behind := range []string{"", "\x03"} {
		s.burst = false
		s.m.keyboard.OpenText()
		if _, err := s.keys.WriteString(strings.Repeat("cbdefghijklnrtuv", 3)[:44] + "\n" + behind); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 256)
		if n, err := s.m.keyboard.Read(p); string(p[:n]) != behind || err != nil || !s.burst {
			t.Errorf("passed %q, %v", p[:n], err)
		}
	}
}
