package ui

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"pgregory.net/rapid"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// everything is a task that asks in every way, again and again.
func everything(ctx context.Context, a prompt.Room) error {
	asked := func(id string, final bool) prompt.Prompt {
		p := prompt.Prompt{ID: id, Final: final, Question: "What about " + id + "?", Message: prompt.Message{Title: "Alice Costa: " + id, Facts: digestFacts()[:3], Text: []string{"A text from a file: \x1b]0;x\x07 \u202e 日本語 Zoe\u0308 " + strings.Repeat("e\u0301\u0302", 90)}}}
		for i := range 30 * (len(id) % 3) {
			p.Lines = append(p.Lines, fmt.Sprintf("%d  a line of a difference", i))
		}
		return p
	}
	choices := []prompt.Choice{{Key: "one", Label: "One"}, {Key: "two", Label: strings.Repeat("Two ", 60)}, {Key: "three", Label: "Three"}}
	refuse := false
	for range 20 {
		final := refuse
		refuse = !refuse
		steps := []func() error{
			func() error { return a.Tell(ctx, asked("tell", false).Message) },
			func() error { _, err := a.Confirm(ctx, asked("confirm", final)); return err },
			func() error { _, err := a.Choose(ctx, asked("choose", final), choices); return err },
			func() error {
				_, err := a.Ask(ctx, asked("ask", final), func(s string) error {
					if refuse = !refuse; refuse {
						return errors.New("no")
					}
					return nil
				})
				return err
			},
			func() error { return a.Type(ctx, asked("type", final), "ab") },
			func() error {
				b, err := a.AskSecret(ctx, asked("secret", false), func(*secret.Buffer) error {
					if refuse = !refuse; refuse {
						return errors.New("no")
					}
					return nil
				})
				b.Wipe()
				return err
			},
			func() error {
				_, err := a.WaitForToken(ctx, prompt.TokenWait{Prompt: asked("token", false), Sticker: "A-01", Stickers: []string{"A-01", "B-02"},
					Plug: func(string) error { return nil }, Look: func(context.Context) (keys.Info, error) { return keys.Info{Serial: 1}, nil }})
				return err
			},
			func() error { return a.WaitForTouch(ctx, asked("touch", false), true) },
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
	}
	return nil
}

const walkedPIN = "90817263"

// TestRandomWalks presses keys at random. The stage looks at every frame; here
// is held that no answer is given by keys that were typed before its question
// could be read.
func TestRandomWalks(t *testing.T) {
	answered := 0
	rapid.Check(t, func(rt *rapid.T) {
		d := newDesk(everything)
		s := newStage(rt, inRoom(d))
		defer s.close()
		s.secrets = []string{walkedPIN, walkedPIN[:4], walkedPIN[4:]}
		s.settle()
		s.press("\n")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		for range rapid.IntRange(1, 350).Draw(rt, "steps") {
			if s.quit {
				break
			}
			answered += s.walk(random.IntN(1000))
		}
	})
	if answered < 100 {
		t.Errorf("only %d questions were answered: this test shows little", answered)
	}
}

// walk takes one random step, and returns the number of answers it gave.
func (s *stage) walk(step int) int {
	common := []string{"\n", "\n", "\n", "\n", "\n", "\n", "\x1b[B", "\x1b[B", "\x1b[B", "\x1b[B", "\x1b[A", "a", "b", "ab", "7", " ", "\x7f", "\x1b[6~", "\x1b[5~", "\x15"}
	rare := []string{"\x1b", "\x0e", "\x18", "?", "\x1bOP", "\x03", "\x1a", "\x1b[D", "é", strings.Repeat("cbdefghijklnrtuv", 3) + "\n"}
	switch {
	case step < 50:
		s.pass(time.Duration(step*13) * time.Millisecond)
	case step < 200:
		s.pass(quietFinal)
	case step < 500:
		s.settle()
	case step < 505:
		s.update(tea.WindowSizeMsg{Width: 1 + step*7%200, Height: 1 + step*13%60})
	case step < 540:
		s.update(tea.WindowSizeMsg{Width: 80, Height: 24})
	case step < 570:
		if s.m.mode == secrets && s.m.armed {
			s.press(walkedPIN)
		}
	case step < 580:
		return s.pressed(rare[step%len(rare)])
	default:
		return s.pressed(common[step%len(common)])
	}
	return 0
}

// pressed presses a key, and checks what answer it gives, if it gives one.
func (s *stage) pressed(keys string) int {
	p, typed := s.m.prompt(), 0
	if s.m.over != nil {
		p = nil
	}
	var q question
	var shown time.Time
	if p != nil {
		q, shown = *p.question, s.seen[p.question]
		for _, k := range s.typed {
			if k.msg.Type == tea.KeyRunes && !k.early {
				typed++
			}
		}
	}
	s.press(keys)
	if p == nil || s.m.prompt() == p || keys == "\x1b" || strings.Contains(keys, "\x03") {
		return 0
	}
	if keys != "\n" && (q.kind != hidden || !strings.HasSuffix(keys, "\n")) {
		s.t.Fatalf("the question %q is answered by %q", q.prompt.Question, keys)
	}
	if waited := s.now.Sub(shown); waited < p.quiet() {
		s.t.Fatalf("the question %q is answered %v after it was shown", q.prompt.Question, waited)
	}
	if n := len([]rune(strings.ReplaceAll(p.field.text(), " ", ""))); n > typed {
		s.t.Fatalf("the question %q is answered by %d characters, of which %d were typed when it could be read", q.prompt.Question, n, typed)
	}
	return 1
}
