// Package plain is the front end that asks line by line: for screen readers,
// serial consoles and scripts. It can do everything the terminal UI can.
//
// Nothing is drawn twice, nothing moves, and what it adds to texts is ASCII.
// Every prompt takes these words as a line of their own: :help, :note,
// :exception, :status, :back and :quit. That holds for secrets too, so no PIN
// or passphrase can be one of exactly these words; any other text that begins
// with a colon is a secret like others.
//
// The end of the input is never an answer.
package plain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/ui/gate"
	"rootceremony/ui/show"
)

// width is the number of columns that texts are wrapped to: one less than a
// terminal's, as some go to the next line when the last column is filled.
const width = 79

// Notebook takes what people want to have in the record, for everyone or in its
// private part, and says where the ceremony stands.
type Notebook interface {
	Note(text string, private bool) error
	Exception(expected, happened, decided string, private bool) error
	Status() []string // lines
}

// Options are what a Front is told about the ceremony.
type Options struct {
	Rehearsal bool                    // every block says so
	Interview bool                    // questions alone: no list of tasks, and no record
	NoRecord  bool                    // tasks, and no record: the next start begins again
	Words     func() []prompt.Written // shown by :help; nil: none
	Notebook  Notebook                // nil where nothing is recorded
}

// Front is the plain front end. It implements prompt.Room; its methods
// belong to one goroutine at a time.
type Front struct {
	lines *gate.Lines
	out   io.Writer
	opts  Options
	left  bool // the person left, or the input ended: no prompt waits any more
}

var _ prompt.Room = (*Front)(nil)

// New returns a Front that reads answers from in, which stays the caller's,
// and writes to out. Until Close, it catches the signals that gate.Lines does.
func New(in *os.File, out io.Writer, opts Options) (*Front, error) {
	lines, err := gate.NewLines(in)
	if err != nil {
		return nil, err
	}
	return &Front{lines: lines, out: out, opts: opts}, nil
}

// Close wipes what is left of secrets and stops catching signals.
func (f *Front) Close() error { return f.lines.Close() }

// Tell shows a message.
func (f *Front) Tell(ctx context.Context, m prompt.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.write(f.block(m))
}

// Confirm takes "yes" and "no", and unless p is final also "y" and "n".
func (f *Front) Confirm(ctx context.Context, p prompt.Prompt) (bool, error) {
	accepted := "type yes or no"
	if p.Final {
		accepted = "type the whole word, yes or no"
	}
	yes := false
	err := f.ask(ctx, p, accepted, func(line string) error {
		line = strings.ToLower(line)
		yes = line == "yes" || line == "y" && !p.Final
		if !yes && line != "no" && (line != "n" || p.Final) {
			return errors.New(accepted)
		}
		return nil
	})
	return yes && err == nil, err
}

// Choose takes a choice's key or its number in the list. A final prompt, and
// one with keys that are numbers themselves, takes keys only.
func (f *Front) Choose(ctx context.Context, p prompt.Prompt, choices []prompt.Choice) (string, error) {
	numbered := !p.Final && !slices.ContainsFunc(choices, func(c prompt.Choice) bool {
		_, err := strconv.Atoi(c.Key)
		return err == nil
	})
	accepted := "type one of the words in front"
	if numbered {
		accepted = "type a number or the word after it"
	}
	p.Lines = slices.Clone(p.Lines)
	if len(p.Lines) > 0 {
		p.Lines = append(p.Lines, "")
	}
	longest := 0
	for _, c := range choices {
		longest = max(longest, show.Width(show.Clean(c.Key)))
	}
	for i, c := range choices {
		key := pad(show.Clean(c.Key), longest) + "  "
		if numbered {
			key = fmt.Sprintf("%2d  ", i+1) + key
		}
		p.Lines = append(p.Lines, hang("  "+key, c.Label)...)
	}
	chosen := ""
	err := f.ask(ctx, p, accepted, func(line string) error {
		for i, c := range choices {
			if strings.EqualFold(line, c.Key) || numbered && line == strconv.Itoa(i+1) {
				chosen = c.Key
				return nil
			}
		}
		return errors.New(accepted)
	})
	return chosen, err
}

// Ask takes a line of text; spaces around it do not count.
func (f *Front) Ask(ctx context.Context, p prompt.Prompt, check func(string) error) (string, error) {
	text := ""
	err := f.ask(ctx, p, "", func(line string) error {
		text = line
		if check == nil {
			return nil
		}
		return check(line)
	})
	if err != nil {
		return "", err
	}
	return text, nil
}

// Type takes want and nothing else.
func (f *Front) Type(ctx context.Context, p prompt.Prompt, want string) error {
	words := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	return f.ask(ctx, p, "", func(line string) error {
		if !strings.EqualFold(words(line), words(want)) {
			return errors.New("that is not what is asked for; read it again, then type it again")
		}
		return nil
	})
}

// AskSecret takes a line that is not shown while it is typed.
func (f *Front) AskSecret(ctx context.Context, p prompt.Prompt, check func(*secret.Buffer) error) (*secret.Buffer, error) {
	q := asked{f.block(p.Message), f.question(p.Question, "it is not shown while you type"), true}
	notice := ""
	for {
		b, err := f.secret(ctx, q, notice)
		if err != nil {
			return nil, err
		}
		switch {
		case b.Len() == 0:
			err = errors.New("nothing was typed (hint: :back goes back to the list of tasks)")
		case check != nil:
			err = check(b)
		}
		if err == nil {
			return b, nil
		}
		b.Wipe()
		notice = refused(err)
	}
}

// WaitForToken asks for the token, and for Enter once it is there. A virtual
// one is plugged in by Enter, or another one by its sticker.
func (f *Front) WaitForToken(ctx context.Context, w prompt.TokenWait) (keys.Info, error) {
	var found keys.Info
	sticker := strings.TrimSpace("token " + w.Sticker)
	accepted := "insert " + sticker + ", then press Enter"
	switch {
	case w.Plug != nil && w.Sticker != "":
		accepted = "Enter plugs in " + sticker + "; or type the sticker of another: " + strings.Join(w.Stickers, ", ")
	case w.Plug != nil:
		accepted = "type the sticker of the virtual token to plug in: " + strings.Join(w.Stickers, ", ")
	}
	err := f.ask(ctx, w.Prompt, accepted, func(line string) error {
		if w.Plug == nil && line != "" {
			return errors.New("press Enter alone when the token is in the reader")
		}
		if w.Plug != nil {
			if line == "" {
				line = w.Sticker
			}
			i := slices.IndexFunc(w.Stickers, func(s string) bool { return strings.EqualFold(s, line) })
			if i < 0 {
				return fmt.Errorf("there is no virtual token %q (hint: the stickers are %s)", line, strings.Join(w.Stickers, ", "))
			}
			if err := w.Plug(w.Stickers[i]); err != nil {
				return err
			}
		}
		var err error
		found, err = w.Look(ctx)
		return err
	})
	return found, err
}

// WaitForTouch asks for the touch. That of a virtual token is Enter.
func (f *Front) WaitForTouch(ctx context.Context, p prompt.Prompt, press bool) error {
	if press {
		return f.ask(ctx, p, "press Enter: that touches the virtual token", func(line string) error {
			if line != "" {
				return errors.New("press Enter alone to touch the token")
			}
			return nil
		})
	}
	if err := f.ready(ctx); err != nil {
		return err
	}
	if err := f.write(f.block(p.Message) + f.question(p.Question, "touch the token now, or wait")); err != nil {
		return err
	}
	return f.outcome(f.lines.Wait(ctx))
}

// asked is a question as it is shown: with what belongs to it at first and
// after a command, alone after an answer that did not do.
type asked struct {
	block, question string
	fresh           bool // what was typed before does not count
}

// ask shows p and takes lines until take says nil; what it says otherwise is
// shown. accepted says what may be typed, if anything particular.
func (f *Front) ask(ctx context.Context, p prompt.Prompt, accepted string, take func(line string) error) error {
	q := asked{f.block(p.Message), f.question(p.Question, accepted), p.Final}
	notice := ""
	for {
		line, err := f.line(ctx, q, notice)
		if err != nil {
			return err
		}
		if err = take(line); err == nil {
			return nil
		}
		notice = refused(err)
	}
}

// line asks q and returns the next line that is an answer, without spaces
// around it. It carries out commands and refuses what is no text. A notice is
// what was wrong with the answer before.
func (f *Front) line(ctx context.Context, q asked, notice string) (string, error) {
	for {
		if err := f.ready(ctx); err != nil {
			return "", err
		}
		line, err := f.lines.Line(ctx, q.fresh, func() error { return f.show(q, notice) })
		if err == nil || errors.As(err, new(gate.Refusal)) {
			f.endLine(f.lines.Terminal())
		}
		line = strings.TrimSpace(line)
		if err == nil && !strings.HasPrefix(line, ":") {
			return line, nil
		}
		if notice, err = f.instead(ctx, line, err); err != nil {
			return "", err
		}
	}
}

// secret is line for a secret.
func (f *Front) secret(ctx context.Context, q asked, notice string) (*secret.Buffer, error) {
	for {
		if err := f.ready(ctx); err != nil {
			return nil, err
		}
		b, err := f.lines.Secret(ctx, func() error { return f.show(q, notice) })
		if err == nil || errors.As(err, new(gate.Refusal)) {
			f.endLine(false)
		}
		word := commandWord(b.Bytes())
		if err == nil && word == "" {
			return b, nil
		}
		b.Wipe()
		if notice, err = f.instead(ctx, word, err); err != nil {
			return nil, err
		}
	}
}

// ready is the error of a prompt that need not be shown any more.
func (f *Front) ready(ctx context.Context) error {
	if f.left {
		return prompt.ErrLeft
	}
	return ctx.Err()
}

// show shows a question and where the answer goes.
func (f *Front) show(q asked, notice string) error {
	if notice == "" {
		notice = q.block
	}
	return f.write(notice + q.question + "> ")
}

// instead deals with what came instead of an answer: a command, or the error
// of a line. It returns what to say before the question is asked again, or the
// error that ends the prompt.
func (f *Front) instead(ctx context.Context, command string, err error) (string, error) {
	var why gate.Refusal
	switch {
	case errors.As(err, &why):
		return refused(why), nil
	case err != nil:
		return "", f.outcome(err)
	}
	return "", f.command(ctx, command)
}

// endLine goes to the next line where no Enter was echoed. Should that fail,
// the next prompt fails too.
func (f *Front) endLine(echoed bool) {
	if !echoed {
		_ = f.write("\n")
	}
}

// outcome turns what ended a prompt into an prompt.Room's errors, and says that
// it ended.
func (f *Front) outcome(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		_ = f.write("\n")
		return err
	}
	switch {
	case errors.Is(err, prompt.ErrLeft): // nothing can be shown
		return err
	case errors.Is(err, io.EOF):
		return f.leave("The input has ended, which is no answer.")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return f.leave("The input has ended in the middle of a line, which is no answer.")
	case errors.Is(err, gate.ErrInterrupted):
		return f.leave("You leave.")
	}
	_ = f.leave("No answer can be read: " + err.Error() + ".")
	return fmt.Errorf("%w: %w", prompt.ErrLeft, err)
}

// leave says why the program ends here, and that it can be gone on with.
func (f *Front) leave(why string) error {
	f.left = true
	switch {
	case f.opts.Interview:
		why += " Nothing was written."
	case f.opts.NoRecord:
		why += " Nothing is kept of what was answered: the next start begins again."
	default:
		why += " Nothing is lost: what was recorded stays recorded, and the next start goes on from there."
	}
	_ = f.write("\n" + paragraph(why))
	return prompt.ErrLeft
}

// write shows text. Questions that nobody can read get no answers, so an
// output that fails ends everything.
func (f *Front) write(text string) error {
	if _, err := io.WriteString(f.out, text); err != nil {
		f.left = true
		return fmt.Errorf("%w: nothing can be shown: %w", prompt.ErrLeft, err)
	}
	return nil
}
