package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
	"rootceremony/keys/secret"
)

var token = []prompt.Fact{{Label: "Token", Value: "YubiKey 5C NFC, firmware 5.7.4"}, {Label: "Serial", Value: "20 456 123   (sticker A-01)"}}

func digestFacts() []prompt.Fact {
	facts := []prompt.Fact{{Label: "SHA-256", Value: strings.TrimSpace(strings.Repeat("12ab ", 16))}}
	for row := range 8 {
		facts = append(facts, prompt.Fact{Label: fmt.Sprintf("Words %d to %d", 4*row+1, 4*row+4), Value: "rematch  retrospect  ringbolt  revolver"})
	}
	return facts
}

// asks is a task that asks once and says what it was told.
func asks(ask func(ctx context.Context, a prompt.Room) (string, error)) func(context.Context, prompt.Room) error {
	return func(ctx context.Context, a prompt.Room) error {
		text, err := ask(ctx, a)
		if err != nil {
			return err
		}
		return a.Tell(ctx, prompt.Message{Title: "Alice Costa: enrolled", Text: []string{"The answer was " + text + "."}})
	}
}

// TestPromptFrames shows every kind of prompt, and what is left when it is
// answered.
func TestPromptFrames(t *testing.T) {
	pin := "90817263"
	message := prompt.Message{Title: "Alice Costa: is this the right token?", Facts: token}
	long := prompt.Message{Title: "Review root v1", Facts: digestFacts(), Text: []string{"One laptop can lie."}}
	for i := range 40 {
		long.Lines = append(long.Lines, fmt.Sprintf("line %d of a difference that is longer than the panel beside the list", i+1))
	}
	for _, c := range []struct {
		name  string
		ask   func(ctx context.Context, a prompt.Room) (string, error)
		steps []string // keys; "" lets the quiet period pass
	}{
		{"confirm", func(ctx context.Context, a prompt.Room) (string, error) {
			yes, err := a.Confirm(ctx, prompt.Prompt{ID: "c", Message: message, Question: "Does the token in the reader carry the sticker A-01?"})
			return fmt.Sprint(yes), err
		}, []string{"\n", "\x1b[B", "\n"}},
		{"choose", func(ctx context.Context, a prompt.Room) (string, error) {
			return a.Choose(ctx, prompt.Prompt{ID: "c", Message: long, Question: "Is there a second machine?"},
				[]prompt.Choice{{Key: "yes", Label: "Yes, and it shows the same words"}, {Key: "no", Label: "No: go on without one, as an exception"}})
		}, []string{"\n", "\x1b[5~", "\x1b[6~", " ", "\x1b[6~", "\n", "\x1b[B\x1b[B", "\n"}},
		{"choose-final", func(ctx context.Context, a prompt.Room) (string, error) {
			return a.Choose(ctx, prompt.Prompt{ID: "c", Final: true, Message: prompt.Message{Title: "Review root v1", Facts: digestFacts()[:2]}, Question: "Is there a second machine?"},
				[]prompt.Choice{{Key: "yes", Label: "Yes, and it shows the same words"}, {Key: "no", Label: "No: go on without one, as an exception"}})
		}, []string{"\n", "\x1b[B", "\n"}},
		{"ask", func(ctx context.Context, a prompt.Room) (string, error) {
			return a.Ask(ctx, prompt.Prompt{ID: "a", Message: prompt.Message{Title: "A new plan"}, Question: "How many people hold a root key?"}, func(s string) error {
				if s != "3" {
					return fmt.Errorf("%q is not a number from 1 to 40", s)
				}
				return nil
			})
		}, []string{"three\x1b[D", "\n", "\x15" + "3", "\n"}},
		{"type", func(ctx context.Context, a prompt.Room) (string, error) {
			return "the words", a.Type(ctx, prompt.Prompt{ID: "t", Final: true, Message: prompt.Message{Title: "Alice Costa: sign root v1", Facts: digestFacts()[:2],
				Text: []string{"A signature cannot be taken back."}}, Question: "To sign, type words 3 and 17 of the draft:"}, "ringbolt rematch")
		}, []string{"ringbolt", "\n", "", "ring\x7f\x7f", "\x15Ringbolt  rematch", "\n"}},
		{"secret", func(ctx context.Context, a prompt.Room) (string, error) {
			b, err := a.AskSecret(ctx, prompt.Prompt{ID: "s", Message: prompt.Message{Title: "Alice Costa: type your PIN", Facts: token,
				Text: []string{"The PIN is yours alone: the others look away."}}, Question: "Alice Costa, type your PIN:"}, func(b *secret.Buffer) error {
				if string(b.Bytes()) != pin {
					return errors.New("a PIN has 6 to 8 digits")
				}
				return nil
			})
			defer b.Wipe()
			return fmt.Sprintf("%d bytes", b.Len()), err
		}, []string{pin[:4], "\x7f", "\x1b[A", "\n", pin, "\n"}},
		{"plug", func(ctx context.Context, a prompt.Room) (string, error) {
			in := ""
			info, err := a.WaitForToken(ctx, prompt.TokenWait{Prompt: prompt.Prompt{ID: "w", Message: prompt.Message{Title: "Alice Costa: insert the token",
				Text: []string{"The sticker on it says A-01."}}, Question: "Insert the token A-01."}, Sticker: "A-01", Stickers: []string{"B-02", "A-01"},
				Plug: func(s string) error { in = s; return nil },
				Look: func(context.Context) (keys.Info, error) {
					if in != "A-01" {
						return keys.Info{}, errors.New("token 20 456 124 is Bruno's (hint: insert Alice's token, sticker A-01)")
					}
					return keys.Info{Serial: 20456123}, nil
				}})
			return fmt.Sprint(info.Serial), err
		}, []string{"\x1b[B", "\n", "\x1b[A", "\n"}},
		{"insert", func(ctx context.Context, a prompt.Room) (string, error) {
			info, err := a.WaitForToken(ctx, prompt.TokenWait{Prompt: prompt.Prompt{ID: "w", Message: prompt.Message{Title: "Alice Costa: insert the token",
				Text: []string{"The sticker on it says A-01."}}, Question: "Insert the token A-01."}, Sticker: "A-01",
				Look: func(context.Context) (keys.Info, error) {
					return keys.Info{}, errors.New("no token is in a reader (hint: insert the one with the sticker A-01)")
				}})
			return fmt.Sprint(info.Serial), err
		}, []string{"\n", "\x1b"}},
		{"press", func(ctx context.Context, a prompt.Room) (string, error) {
			return "a touch", a.WaitForTouch(ctx, prompt.Prompt{ID: "p", Message: prompt.Message{Title: "Alice Costa: touch the token",
				Facts: []prompt.Fact{{Label: "To", Value: "sign root v1"}}}, Question: "Alice Costa, touch the token A-01 now."}, true)
		}, []string{"\n"}},
		{"touch", func(ctx context.Context, a prompt.Room) (string, error) {
			return "a touch", a.WaitForTouch(ctx, prompt.Prompt{ID: "p", Message: prompt.Message{Title: "Alice Costa: touch the token",
				Facts: []prompt.Fact{{Label: "To", Value: "sign root v1"}}}, Question: "Alice Costa, touch the token A-01 now."}, false)
		}, []string{"\n", "\x1b"}},
		{"card", func(ctx context.Context, a prompt.Room) (string, error) {
			err := a.Tell(ctx, prompt.Message{Title: "Alice Costa: the root key is made", Text: []string{"The token has its key, and has proved it. Put it back into its bag."},
				Write: []prompt.Written{{ID: "card alice 2", Where: "the card of Alice Costa, line 2", Kind: keys.CarriedEnrolment, Value: []byte("a token")}}})
			if err != nil {
				return "", err
			}
			yes, err := a.Confirm(ctx, prompt.Prompt{ID: "c", Message: prompt.Message{Title: "Bruno Ferraz: sign root v1", Text: []string{"Look at your card."},
				Write: []prompt.Written{{Where: "The plan's words, as on the paper", Kind: keys.CarriedPlan, Value: []byte("belowground")}}}, Question: `Does it have a line "signed v1"?`})
			return fmt.Sprint(yes), err
		}, []string{"\x1b[B", "\n"}},
		{"carried", func(ctx context.Context, a prompt.Room) (string, error) {
			return a.Ask(ctx, prompt.Prompt{ID: "a", Final: true, From: "card alice 2", Message: prompt.Message{Title: "Alice Costa: are these the keys that were made?", Facts: token[1:]},
				Question: "Type the eight words that stand on the card of Alice Costa, line 2:"}, func(typed string) error {
				_, err := keys.ReadCarried(typed)
				return err
			})
		}, []string{"rematch retrospect", "\n", "\x15rematch retrospect ringbolt revolver tiger sympathy tissue Saturn", "\n", "\x7f\x7f\x7f\x7f\x7f\x7fSaturday", "\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t, inRoom(newDesk(asks(c.ask))))
			defer s.close()
			s.secrets = []string{pin, pin[:4]}
			s.settle()
			s.press("\n")
			s.settle()
			s.golden(t, c.name+"-0")
			s.pass(quietFinal)
			s.golden(t, c.name+"-1")
			for i, step := range c.steps {
				s.press(step)
				s.ready()
				s.golden(t, fmt.Sprintf("%s-%d", c.name, i+2))
			}
			if s.m.room.run != nil {
				t.Errorf("the task does not end:\n%s", s.m.View())
			}
		})
	}
}

// A second line of the header says that there is an alarm, at the list and in a task.
func TestAlarmFrames(t *testing.T) {
	confirmed := asks(func(ctx context.Context, a prompt.Room) (string, error) {
		yes, err := a.Confirm(ctx, prompt.Prompt{ID: "c", Message: prompt.Message{Title: "Alice Costa: is this the right token?", Facts: token},
			Question: "Does the token in the reader carry the sticker A-01?"})
		return fmt.Sprint(yes), err
	})
	d := newDesk(confirmed)
	d.alarm = "ALARM: token 20 456 123, Alice Costa, is not as in the log (line 41)"
	s := newStage(t, inRoom(d))
	defer s.close()
	s.ready()
	s.golden(t, "alarm-list")
	s.press("\n")
	s.ready()
	s.golden(t, "alarm-task")
}

// TestScreenFrames shows the screens around the prompts.
func TestScreenFrames(t *testing.T) {
	confirmed := asks(func(ctx context.Context, a prompt.Room) (string, error) {
		yes, err := a.Confirm(ctx, prompt.Prompt{ID: "c", Message: prompt.Message{Title: "Alice Costa: is this the right token?", Facts: token},
			Question: "Does the token in the reader carry the sticker A-01?"})
		return fmt.Sprint(yes), err
	})
	d := newDesk(confirmed)
	s := newStage(t, inRoom(d))
	defer s.close()
	shot := func(name, keys string) {
		t.Helper()
		for part := range strings.SplitAfterSeq(keys, "\n") {
			s.press(part)
			s.ready()
		}
		s.golden(t, name)
	}
	shot("list", "")
	shot("list-blocked", "\x1b[B\x1b[B\x1b[B")
	shot("list-flash", "\n")
	shot("failed", "\x1b[A\n")
	shot("help-list", "?")
	shot("help-end", "\x1b[6~\x1b[6~")
	shot("back", "\x1b")
	shot("note", "\x0e")
	shot("note-bag", "\x1b[B\n")
	shot("note-bag-2", "4711\nDana Okafor\n")
	shot("note-readers", "08:15\n")
	shot("note-done", "\n")
	shot("exception", "\x18")
	shot("exception-empty", "\n")
	shot("exception-2", "the bag is closed\nit was open\n")
	d.fails = errors.New("the disk is full (hint: make room)")
	shot("exception-readers", "its token is wiped\n\x1b[B")
	shot("exception-failed", "\n")
	shot("begun", "\x1b[A\x1b[A\n")
	shot("help-prompt", "\x1bOP")
	shot("leave", "\x03")
	shot("stay", "\n")
	shot("burst", strings.Repeat("cbdefghijklnrtuv", 3)[:44]+"\n")
	shot("done", "\x1b[B\n")
	for _, task := range d.Tasks() {
		d.set(task.ID, prompt.Done)
	}
	s.m.room.setList(listOf(s.m.room.Room))
	shot("finished", "")
	want := []string{"tamper bag 4711, sealed by Dana Okafor, opened at 08:15", "private: exception: the bag is closed / it was open / its token is wiped"}
	if fmt.Sprint(d.notes) != fmt.Sprint(want) {
		t.Errorf("recorded %q, want %q", d.notes, want)
	}
	s.m.width, s.m.height = 40, 10
	shot("small", "")
	s.m.width, s.m.height = 110, 30
	shot("large", "")
}

// TestStartFrames shows the choice of a job.
func TestStartFrames(t *testing.T) {
	d := newDesk(nil)
	jobs := Jobs{
		Rehearse: func(dir string) (*Room, error) { return &Room{Desk: d, Notebook: d, Rehearsal: true}, nil },
		Plan: func(dir string) (*Room, error) {
			return nil, errors.New(dir + "/plan.toml is there already, and is never replaced")
		},
		Status: func(dir string) ([]string, error) {
			return []string{dir, "[x] Check the laptop", "[ ] Agree the plan"}, nil
		},
		Recent: func() []Recent {
			return []Recent{{Dir: "/a", Name: "Example packages, create root v1", Text: "next: Holders: Bruno Ferraz, in /a", Rehearsal: true},
				{Dir: "/b", Name: "Example packages, create root v1", Text: "finished, in /b", Finished: true}}
		},
	}
	s := newStage(t, Options{Jobs: jobs})
	defer s.close()
	s.until("recent", func() bool { return len(s.m.start.recent) > 0 })
	shot := func(name, keys string) {
		t.Helper()
		for part := range strings.SplitAfterSeq(keys, "\n") {
			s.press(part)
			s.settle()
		}
		s.golden(t, name)
	}
	shot("start", "")
	shot("start-status", "\x1b[B\n")
	shot("start-plan", "\x1b\x1b[B\x1b[B\n")
	shot("start-plan-refused", "/tmp/x\n")
	shot("start-help", "\x1bOP")
	shot("start-room", "\n\x1b\x1b[A\n\n")
	if s.m.room == nil {
		t.Fatal("the rehearsal did not open")
	}
	s.press("\x1b")
	s.until("recent", func() bool { return s.m.room == nil })
	shot("start-again", "")
	s.press("\x03")
	s.until("the end", func() bool { return s.quit })
}
