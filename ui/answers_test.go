package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// asking is a kind of prompt, with what people press for a wrong answer and for
// the right one.
type asking struct {
	name         string
	ask          func(ctx context.Context, a prompt.Room, p prompt.Prompt, refused string) error
	wrong, right string
	field        string // what the place for the answer looks like
}

var askings = []asking{
	{"text", func(ctx context.Context, a prompt.Room, p prompt.Prompt, refused string) error {
		_, err := a.Ask(ctx, p, func(line string) error {
			if line != "right words" {
				return errors.New(refused)
			}
			return nil
		})
		return err
	}, "wrong words\n", "\x15right words\n", "> wrong words_"},
	{"typed", func(ctx context.Context, a prompt.Room, p prompt.Prompt, refused string) error {
		return a.Type(ctx, p, "right words")
	}, "wrong words\n", "right words\n", "> _"},
	{"final", func(ctx context.Context, a prompt.Room, p prompt.Prompt, refused string) error {
		p.Final = true
		return a.Type(ctx, p, "right words")
	}, "wrong words\n", "right words\n", "> _"},
	{"secret", func(ctx context.Context, a prompt.Room, p prompt.Prompt, refused string) error {
		b, err := a.AskSecret(ctx, p, func(b *secret.Buffer) error {
			if string(b.Bytes()) != walkedPIN {
				return errors.New(refused)
			}
			return nil
		})
		b.Wipe()
		return err
	}, "123456\n", walkedPIN + "\n", "> _"},
	{"plug", func(ctx context.Context, a prompt.Room, p prompt.Prompt, refused string) error {
		in := ""
		_, err := a.WaitForToken(ctx, prompt.TokenWait{Prompt: p, Sticker: "A-01", Stickers: []string{"A-01", "B-02"}, Plug: func(s string) error { in = s; return nil },
			Look: func(context.Context) (keys.Info, error) {
				if in != "B-02" {
					return keys.Info{}, errors.New(refused)
				}
				return keys.Info{Serial: 1}, nil
			}})
		return err
	}, "\n", "\x1b[B\n", "> plug in A-01"},
	{"choose", func(ctx context.Context, a prompt.Room, p prompt.Prompt, refused string) error {
		_, err := a.Confirm(ctx, p)
		return err
	}, "\n", "\x1b[B\n", "Yes"},
}

// panel is what is to the right of the list, its lines joined.
func (s *stage) panel() string {
	left, _ := s.m.room.columnsOf(s.m)
	var words []string
	lines := strings.Split(s.m.View(), "\n")
	for _, l := range lines[2 : len(lines)-1] {
		if left > 0 && len(l) > left+3 {
			l = l[left+3:]
		}
		words = append(words, strings.Fields(l)...)
	}
	return strings.Join(words, " ")
}

// TestWrongAnswers holds, for every kind of prompt, below pages of every length,
// that an answer which is typed before its page was read is refused whole and
// with a word, that after a wrong one the question, the error and the place for
// the answer are on the screen together, and that the right one is then taken.
func TestWrongAnswers(t *testing.T) {
	long := func(words string, n int) string { return strings.TrimSpace(strings.Repeat(words+" ", n)) }
	for _, size := range [][2]int{{80, 24}, {60, 15}} {
		for _, k := range askings {
			for page := range 28 {
				for _, told := range [][]int{{0}, {9}}[page%2] {
					for _, n := range [][]int{{1}, {1}, {1, 9}}[page%3] {
						question, refused := "Question: "+long("which of them", n)+"?", "error: "+long("a hint with words", n)+"."
						name := fmt.Sprintf("%d columns, %s, %d lines below %d, %d times the words", size[0], k.name, page, told, n)
						s := newStage(t, inRoom(newDesk(func(ctx context.Context, a prompt.Room) error {
							if told > 0 {
								if err := a.Tell(ctx, prompt.Message{Title: "Before", Lines: make([]string, told)}); err != nil {
									return err
								}
							}
							p := prompt.Prompt{ID: "a", Message: prompt.Message{Title: "Alice Costa"}, Question: question}
							for i := range page {
								p.Lines = append(p.Lines, fmt.Sprintf("line %d", i+1))
							}
							if err := k.ask(ctx, a, p, refused); err != nil {
								return err
							}
							return a.Tell(ctx, prompt.Message{Title: "It was taken"})
						})))
						s.m.width, s.m.height = size[0], size[1]
						s.wrongThenRight(name, k, question, refused)
						s.close()
					}
				}
			}
		}
	}
}

func (s *stage) wrongThenRight(name string, k asking, question, refused string) {
	s.t.Helper()
	s.begin()
	taken := func() bool { return strings.Contains(s.panel(), "It was taken") }
	p := s.m.prompt()
	for page := 0; s.m.room.unread(s.m); page++ {
		before := s.m.View()
		if page == 0 && k.name != "secret" && k.name != "plug" && k.name != "choose" {
			s.press(k.right[strings.IndexByte(k.right, 'r'):])
			s.ready()
			if s.m.prompt() != p || !strings.Contains(s.m.View(), "not taken: read on first") || strings.Contains(s.m.View(), "> ") && len(p.field.runes) > 0 {
				s.t.Fatalf("%s: typed on an unread page:\n%s", name, s.m.View())
			}
		}
		s.press("\n")
		s.ready()
		if s.m.prompt() != p || s.m.View() == before {
			s.t.Fatalf("%s: Enter does not read on:\n%s", name, s.m.View())
		}
	}
	for range 2 {
		s.press(k.wrong)
		s.ready()
		panel := s.panel()
		want := []string{question, k.field, "Not taken: " + refused}
		switch k.name {
		case "typed", "final":
			want[2] = "Not taken: that is not what is asked for"
		case "choose":
			want[2] = ""
			s.says("choose an answer first", true)
		}
		for _, part := range want {
			if !strings.Contains(panel, part) {
				s.t.Fatalf("%s: after a wrong answer %q is not on the screen:\n%s", name, part, s.m.View())
			}
		}
		if k.name == "text" {
			s.press("\x15")
		}
	}
	s.press(k.right)
	s.settle()
	if s.until("the answer is taken", func() bool { return s.m.room.run == nil || s.m.prompt() != nil }); !taken() {
		s.t.Fatalf("%s: the right answer is not taken:\n%s", name, s.m.View())
	}
}

// What a token that is waited for lacks stands beside the question too.
func TestMissingIsSeen(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {60, 15}} {
		for page := range 30 {
			missing := "no token is in a reader"
			again := make(chan time.Time)
			var looks atomic.Int32
			s := newStage(t, inRoom(newDesk(func(ctx context.Context, a prompt.Room) error {
				_, err := a.WaitForToken(ctx, prompt.TokenWait{Prompt: prompt.Prompt{ID: "w", Message: prompt.Message{Title: "Alice Costa", Lines: make([]string, page)}, Question: "Insert the token A-01."},
					Look: func(context.Context) (keys.Info, error) {
						if looks.Add(1) > 1 {
							return keys.Info{}, errors.New("token 7 isn't Alice's, and more words than fit into one line of the panel beside the list, whatever its width is")
						}
						return keys.Info{}, errors.New(missing)
					}})
				return err
			})))
			s.m.attendant.after = func(time.Duration) <-chan time.Time { return again }
			s.m.width, s.m.height = size[0], size[1]
			s.begin()
			for s.m.room.unread(s.m) {
				s.press("\n")
				s.ready()
			}
			again <- s.now
			s.until("the second look", func() bool { return strings.HasPrefix(s.m.prompt().missing, "token 7") })
			for _, part := range []string{"Insert the token A-01.", "token 7 isn't Alice's", "whatever its width is"} {
				if !strings.Contains(s.panel(), part) {
					t.Fatalf("%d columns, a page of %d lines: %q is not on the screen:\n%s", size[0], page, part, s.m.View())
				}
			}
			s.close()
		}
	}
}

// Nothing that is typed is dropped without a word.
func TestNotTaken(t *testing.T) {
	ask := func(do func(context.Context, prompt.Room) error) *stage {
		s := newStage(t, inRoom(newDesk(do)))
		s.begin()
		return s
	}
	for name, c := range map[string]struct {
		do   func(context.Context, prompt.Room) error
		keys string
		says string
	}{
		"choices": {func(ctx context.Context, a prompt.Room) error {
			_, err := a.Confirm(ctx, prompt.Prompt{ID: "c", Question: "So?"})
			return err
		}, "yes\n", "not taken: choose with Up and Down"},
		"touch": {func(ctx context.Context, a prompt.Room) error {
			return a.WaitForTouch(ctx, prompt.Prompt{ID: "t", Question: "Touch it."}, true)
		}, "yes\n", "not taken: Enter alone"},
		"wait": {func(ctx context.Context, a prompt.Room) error {
			return a.WaitForTouch(ctx, prompt.Prompt{ID: "t", Question: "Touch it."}, false)
		}, "yes\n", "not taken: nothing is to be typed"},
		"a long line": {func(ctx context.Context, a prompt.Room) error {
			_, err := a.Ask(ctx, prompt.Prompt{ID: "a", Question: "So?"}, nil)
			return err
		}, strings.Repeat("x", 1001), "not taken: a line has at most 1000 characters"},
		"at the list": {func(ctx context.Context, a prompt.Room) error { return nil }, "abc\n", "not taken: no text"},
	} {
		t.Run(name, func(t *testing.T) {
			s := ask(c.do)
			p, run := s.m.prompt(), s.m.room.run
			s.press(c.keys)
			s.settle()
			if !strings.Contains(s.m.View(), c.says) || s.m.prompt() != p || s.m.room.run != run {
				t.Errorf("%q is not said, or something was done:\n%s", c.says, s.m.View())
			}
			s.close()
		})
	}
	// Behind the Enter of an answer, in the same breath.
	s := ask(func(ctx context.Context, a prompt.Room) error {
		for range 2 {
			b, err := a.AskSecret(ctx, prompt.Prompt{ID: "s", Question: "PIN:"}, nil)
			if err != nil {
				return err
			}
			b.Wipe()
		}
		return nil
	})
	p := s.m.prompt()
	s.press("1\n987335\n")
	s.until("the next question", func() bool { return s.m.prompt() != nil && s.m.prompt() != p })
	s.settle()
	s.says("not taken: it was typed too early", true)
	s.close()
	// While a task works, and before a question counts.
	next := make(chan struct{})
	s = newStage(t, inRoom(newDesk(func(ctx context.Context, a prompt.Room) error {
		<-next
		_, err := a.Ask(ctx, prompt.Prompt{ID: "a", Question: "So?"}, nil)
		return err
	})))
	defer s.close()
	s.beginOnly()
	s.until("the gate is set", func() bool { return s.m.armed })
	s.press("early\n")
	s.until("a word", func() bool { return strings.Contains(s.m.View(), "not taken: it was typed too early") })
	close(next)
	s.settle()
	s.m.flash = ""
	s.press("early\n")
	s.settle()
	s.says("not taken: it was typed too early", true)
	s.ready()
	if s.m.prompt() == nil || len(s.m.prompt().field.runes) > 0 {
		t.Errorf("it was taken:\n%s", s.m.View())
	}
}

// A room is closed before anything else can open: its folder is locked till
// then.
func TestClosesBeforeAnotherOpens(t *testing.T) {
	for name, leave := range map[string]string{"back": "\x1b", "done": "\n"} {
		t.Run(name, func(t *testing.T) {
			closes := make(chan struct{})
			closed := make(chan struct{})
			d := &slowDesk{desk: newDesk(nil), closes: closes, closed: closed}
			opened := 0
			s := newStage(t, Options{Jobs: Jobs{Recent: func() []Recent { return []Recent{{Dir: "/a", Name: "A"}} }, Run: func(string) (*Room, error) {
				if opened++; opened > 1 {
					select {
					case <-closed:
					default:
						t.Error("it opens before it was closed")
					}
				}
				return &Room{Desk: d, Notebook: d, Close: d.Close}, nil
			}}})
			s.until("the list", func() bool { return s.m.start.listed })
			s.settle()
			s.press("\n")
			s.settle()
			if leave == "\n" {
				for _, task := range d.Tasks() {
					d.set(task.ID, prompt.Done)
				}
				s.m.room.setList(listOf(s.m.room.Room))
			}
			s.press(leave)
			s.until("the start", func() bool { return s.m.room == nil && s.m.armed })
			s.press("\n") // too early
			s.until("that the key is dealt with", func() bool { return s.m.armed && len(s.msgs) == 0 })
			close(closes)
			s.settle()
			s.press("\n")
			s.settle()
			if opened != 2 || s.m.room == nil {
				t.Errorf("opened %d times:\n%s", opened, s.m.View())
			}
			s.close()
		})
	}
}

// slowDesk is a desk that closes when it may.
type slowDesk struct {
	*desk
	closes <-chan struct{}
	closed chan struct{}
}

func (d *slowDesk) Close() error {
	<-d.closes
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
	return nil
}

// TestNothingIsKept holds that where nothing is recorded no screen promises
// that it is, and that Esc asks before it throws answers away.
func TestNothingIsKept(t *testing.T) {
	o := inRoom(newDesk(asks(func(ctx context.Context, a prompt.Room) (string, error) {
		if _, err := a.Ask(ctx, prompt.Prompt{ID: "a", Question: "How many?"}, nil); err != nil {
			return "", err
		}
		_, err := a.Confirm(ctx, prompt.Prompt{ID: "c", Question: "Are there backups?"})
		return "so", err
	})))
	o.Room.Notebook = nil
	s := newStage(t, o)
	defer s.close()
	promises := func() {
		t.Helper()
		text := strings.Join(strings.Fields(s.m.View()), " ")
		for _, promise := range []string{"othing is lost", "stays recorded", "goes on from there", "next start goes on", "is safe"} {
			if strings.Contains(text, promise) {
				t.Errorf("promised: %q\n%s", promise, s.m.View())
			}
		}
	}
	s.settle()
	promises()
	s.press("\n")
	s.until("the task", func() bool { return s.m.room.run != nil })
	promises()
	for _, answer := range []string{"3\n", ""} { // at a line and at a choice
		s.ready()
		promises()
		s.press("\x1bOP")
		s.settle()
		promises()
		s.press("\x1b[6~\x1b[6~")
		promises()
		s.press("\x1b")
		s.ready()
		for _, leave := range []string{"\x03", "\x1b"} {
			p := s.m.prompt()
			s.press(leave)
			s.settle()
			promises()
			s.says("not kept", true)
			s.says("> Stay", true)
			s.press("\n")
			s.ready()
			if s.m.prompt() != p || s.m.over != nil {
				t.Fatalf("people did not stay:\n%s", s.m.View())
			}
		}
		s.press(answer)
	}
	s.press("\x1b")
	s.settle()
	s.press("\x1b[B\n")
	s.until("the end of the task", func() bool { return s.m.room.run == nil })
	s.settle()
	promises()
	s.says("not kept", true)
	if s.quit {
		t.Error("Esc has left the program")
	}
}
