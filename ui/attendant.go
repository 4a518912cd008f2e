package ui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/ui/gate"
)

// kind is how a question is answered.
type kind int

const (
	confirm kind = iota // yes or no
	choose              // one of choices
	text                // a line
	typed               // a line that has to be something
	hidden              // a secret
	plug                // a virtual token is chosen: choices are stickers
	press               // Enter
	wait                // by what happens outside; nothing is typed
)

// question is a prompt on its way to the program. What is in it does not
// change once it was sent.
type question struct {
	kind    kind
	prompt  prompt.Prompt
	choices []prompt.Choice
	refused string // why the last answer did not do
	again   bool   // it was asked before
	answers chan answer
}

// answer is what people said. A secret is not in it: the gate keeps it.
type answer struct {
	text string
	err  error
}

// What a task sends to the program.
type (
	tellMsg     struct{ message prompt.Message }
	askMsg      struct{ question *question }
	withdrawMsg struct{ question *question } // nobody waits for the answer any more
	missingMsg  struct {                     // what is still missing for it
		question *question
		text     string
	}
	tokenMsg struct{ text string } // what is in the reader
	tasksMsg list                  // how far the ceremony is
)

// attendant implements prompt.Room for tasks: every method sends a
// message to the program, and waits for the answer on a channel.
type attendant struct {
	send func(tea.Msg)
	gate *gate.Gate
	list func() list // called by the task's goroutine alone
	// after is time.After.
	after func(time.Duration) <-chan time.Time
	// watched looks for the real token that the task has found; nil: none yet.
	watched func(context.Context) (keys.Info, error)
}

var _ prompt.Room = (*attendant)(nil)

// ask sends q and waits for its answer.
func (a *attendant) ask(ctx context.Context, q question) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	q.answers = make(chan answer, 1)
	ready(q.prompt.Message)
	a.send(tasksMsg(a.list()))
	a.send(askMsg{&q})
	for {
		var look <-chan time.Time
		if a.watched != nil && q.kind != wait { // a token that waits for a touch is in use
			look = a.after(pollEvery)
		}
		select {
		case given := <-q.answers:
			return given, given.err
		case <-ctx.Done():
			a.send(withdrawMsg{&q})
			return answer{}, ctx.Err()
		case <-look:
			_, _ = a.see(ctx, a.watched)
		}
	}
}

// ready computes the words that people write down, which is too slow for drawing.
func ready(m prompt.Message) {
	for _, w := range m.Write {
		w.Words()
	}
}

// see looks for a token, and says what is known then of what is in the reader.
func (a *attendant) see(ctx context.Context, look func(context.Context) (keys.Info, error)) (keys.Info, error) {
	found, err := look(ctx)
	text := ""
	if err == nil {
		text = tokenText([]keys.Info{found})
	}
	a.send(tokenMsg{text})
	return found, err
}

// until asks q until take has nothing against the answer.
func (a *attendant) until(ctx context.Context, q question, take func(answer) error) error {
	for {
		given, err := a.ask(ctx, q)
		if err != nil {
			return err
		}
		if err = take(given); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		q.refused, q.again = err.Error(), true
	}
}

// Tell shows a message.
func (a *attendant) Tell(ctx context.Context, m prompt.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ready(m)
	a.send(tasksMsg(a.list()))
	a.send(tellMsg{m})
	return nil
}

// Confirm offers yes and no; neither is the default.
func (a *attendant) Confirm(ctx context.Context, p prompt.Prompt) (bool, error) {
	given, err := a.ask(ctx, question{kind: confirm, prompt: p, choices: []prompt.Choice{{Key: "yes", Label: "Yes"}, {Key: "no", Label: "No"}}})
	return err == nil && given.text == "yes", err
}

// Choose offers a list.
func (a *attendant) Choose(ctx context.Context, p prompt.Prompt, choices []prompt.Choice) (string, error) {
	given, err := a.ask(ctx, question{kind: choose, prompt: p, choices: choices})
	return given.text, err
}

// Ask takes a line of text.
func (a *attendant) Ask(ctx context.Context, p prompt.Prompt, check func(string) error) (string, error) {
	line := ""
	err := a.until(ctx, question{kind: text, prompt: p}, func(given answer) error {
		line = given.text
		if check == nil {
			return nil
		}
		return check(line)
	})
	if err != nil {
		return "", err
	}
	return line, nil
}

// Type takes want and nothing else.
func (a *attendant) Type(ctx context.Context, p prompt.Prompt, want string) error {
	return a.until(ctx, question{kind: typed, prompt: p}, func(given answer) error {
		if !prompt.SameTyped(given.text, want) {
			return errors.New("that is not what is asked for; read it again, then type it again")
		}
		return nil
	})
}

// AskSecret takes what the gate has kept.
func (a *attendant) AskSecret(ctx context.Context, p prompt.Prompt, check func(*secret.Buffer) error) (*secret.Buffer, error) {
	var kept *secret.Buffer
	err := a.until(ctx, question{kind: hidden, prompt: p}, func(answer) error {
		b, err := a.gate.Take()
		if err != nil {
			return err
		}
		if b.Len() == 0 {
			err = errors.New("nothing was typed (hint: Esc goes back to the list of tasks)")
		} else if check != nil {
			err = check(b)
		}
		if err != nil {
			b.Wipe()
			return err
		}
		kept = b
		return nil
	})
	return kept, err
}

// lookEvery is how often a reader is looked at while a token is waited for.
const lookEvery = 500 * time.Millisecond

// WaitForToken looks until the token is there. Virtual ones are plugged in by
// choosing them.
func (a *attendant) WaitForToken(ctx context.Context, w prompt.TokenWait) (keys.Info, error) {
	if w.Plug == nil {
		return a.watch(ctx, w)
	}
	var found keys.Info
	err := a.until(ctx, question{kind: plug, prompt: w.Prompt, choices: stickers(w)}, func(given answer) error {
		if err := w.Plug(given.text); err != nil {
			return err
		}
		a.send(tokenMsg{"token " + given.text})
		var err error
		found, err = w.Look(ctx)
		return err
	})
	return found, err
}

// stickers offers the virtual tokens, the one that is expected first.
func stickers(w prompt.TokenWait) []prompt.Choice {
	var choices []prompt.Choice
	for _, s := range w.Stickers {
		choice := prompt.Choice{Key: s, Label: "plug in " + s}
		if s == w.Sticker {
			choices = append([]prompt.Choice{choice}, choices...)
		} else {
			choices = append(choices, choice)
		}
	}
	return choices
}

// watch looks at the readers until the token is there, and shows what is
// missing meanwhile.
func (a *attendant) watch(ctx context.Context, w prompt.TokenWait) (keys.Info, error) {
	q := question{kind: wait, prompt: w.Prompt, answers: make(chan answer, 1)}
	for asked := false; ; {
		found, err := a.see(ctx, w.Look)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if asked && (err == nil || ctx.Err() != nil) {
			a.send(withdrawMsg{&q})
		}
		if err == nil {
			a.watched = w.Look
			return found, nil
		}
		if ctx.Err() != nil {
			return keys.Info{}, err
		}
		if !asked {
			q.refused, asked = err.Error(), true
			a.send(tasksMsg(a.list()))
			a.send(askMsg{&q})
		} else {
			a.send(missingMsg{&q, err.Error()})
		}
		select {
		case given := <-q.answers:
			return keys.Info{}, given.err
		case <-ctx.Done():
		case <-a.after(lookEvery):
		}
	}
}

// tokenText says what is in the readers.
func tokenText(there []keys.Info) string {
	usable := slices.DeleteFunc(slices.Clone(there), func(i keys.Info) bool { return i.Problem != "" })
	switch {
	case len(there) == 0:
		return "no token"
	case len(usable) == 0:
		return "no usable token"
	case len(usable) == 1 && usable[0].Serial == 0: // one of them will be chosen
		return "several tokens"
	case len(usable) == 1:
		return "token " + keys.SerialText(usable[0].Serial)
	}
	return fmt.Sprintf("%d tokens", len(usable))
}

// WaitForTouch shows that a touch is waited for. That of a virtual token is
// Enter.
func (a *attendant) WaitForTouch(ctx context.Context, p prompt.Prompt, touched bool) error {
	q := question{kind: wait, prompt: p}
	if touched {
		q.kind = press
	}
	_, err := a.ask(ctx, q)
	return err
}
