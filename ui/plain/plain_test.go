package plain

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/ui/show"
)

var update = flag.Bool("update", false, "write the golden transcripts again")

const otp = "cccccbcvlguhdtgecvnlivhvjlhrjkufvdhilcklltbb"

// book is a Notebook that remembers.
type book struct {
	entries []string
	err     error
}

func (b *book) Note(text string, private bool) error {
	b.entries = append(b.entries, map[bool]string{true: "private "}[private]+"note: "+text)
	return b.err
}

func (b *book) Exception(expected, happened, decided string, private bool) error {
	b.entries = append(b.entries, map[bool]string{true: "private "}[private]+fmt.Sprintf("exception: %s; %s; %s", expected, happened, decided))
	return b.err
}

func (b *book) Status() []string {
	return []string{"done     Check the laptop", "missing  3 signatures"}
}

// script returns a Front that is answered by input, which ends behind it, and
// what it shows.
func script(t *testing.T, input string, opts Options) (*Front, *bytes.Buffer) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.WriteString(w, input)
		_ = w.Close()
	}()
	out := new(bytes.Buffer)
	f, err := New(r, out, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close(); _ = r.Close() })
	return f, out
}

// The prompts that the tests use.
var (
	message = prompt.Message{
		Title: "Alice Costa: make the root key",
		Facts: []prompt.Fact{
			{Label: "Token", Value: "YubiKey 5C NFC, firmware 5.7.4"},
			{Label: "Serial", Value: "20 456 123 (sticker A-01: matches)"},
			{Label: "Key", Value: "slot 9c, ed25519, PIN and touch always; it signs root metadata and the proof of possession and nothing else"},
		},
		Text: []string{"The key is made on the token and never leaves it. What the token says about the new key is checked at once, and recorded.", "The PIN is yours alone: the others look away."},
	}
	question = prompt.Prompt{ID: "test", Message: message, Question: "Go on?"}
	final    = prompt.Prompt{ID: "test", Message: message, Question: "Publish this root?", Final: true}
	choices  = []prompt.Choice{{Key: "lost", Label: "the token cannot be found"}, {Key: "stolen", Label: "somebody else may have it"}}
)

// noToken is what a reader without a token says, before it holds one.
func noToken(times int) func(context.Context) (keys.Info, error) {
	return func(context.Context) (keys.Info, error) {
		if times--; times >= 0 {
			return keys.Info{}, errors.New("no token is in the reader (hint: push it in until its light comes on)")
		}
		return keys.Info{Serial: 20456123}, nil
	}
}

// reader is a reader for virtual tokens.
type reader struct{ sticker string }

func (r *reader) plug(sticker string) error {
	if sticker == "A-09" {
		return errors.New("the state of virtual token A-09 is damaged")
	}
	r.sticker = sticker
	return nil
}

func (r *reader) look(context.Context) (keys.Info, error) {
	if r.sticker != "A-01" {
		return keys.Info{}, fmt.Errorf("token %s belongs to Bruno", r.sticker)
	}
	return keys.Info{Serial: 1}, nil
}

// prompts is every kind of prompt, with an input that answers it at last after
// everything that can be typed wrongly, and what it then returns.
var prompts = []struct {
	name  string
	ask   func(context.Context, *Front) (string, error)
	wrong []string // lines, each of which is refused
	right string   // lines
	want  string
}{
	{"confirm", func(ctx context.Context, f *Front) (string, error) {
		yes, err := f.Confirm(ctx, question)
		return fmt.Sprint(yes), err
	}, []string{"", "ok", "yes no", "yess", "j", "0"}, "Y", "true"},
	{"confirm-final", func(ctx context.Context, f *Front) (string, error) {
		yes, err := f.Confirm(ctx, final)
		return fmt.Sprint(yes), err
	}, []string{"", "y", "n", "true"}, " YES ", "true"},
	{"confirm-no", func(ctx context.Context, f *Front) (string, error) {
		yes, err := f.Confirm(ctx, final)
		return fmt.Sprint(yes), err
	}, nil, "no", "false"},
	{"choose", func(ctx context.Context, f *Front) (string, error) {
		return f.Choose(ctx, question, choices)
	}, []string{"", "0", "3", "los", "01"}, "2", "stolen"},
	{"choose-word", func(ctx context.Context, f *Front) (string, error) {
		return f.Choose(ctx, final, choices)
	}, []string{"", "1"}, "Lost", "lost"},
	{"choose-year", func(ctx context.Context, f *Front) (string, error) {
		return f.Choose(ctx, question, []prompt.Choice{{Key: "2", Label: "two years"}, {Key: "1", Label: "one year"}})
	}, []string{"3"}, "2", "2"},
	{"ask", func(ctx context.Context, f *Front) (string, error) {
		return f.Ask(ctx, question, func(s string) error {
			if s != "Lisbon" {
				return fmt.Errorf("no holder is in %q", s)
			}
			return nil
		})
	}, []string{"", "Porto", "\u202enobsiL"}, "  Lisbon", "Lisbon"},
	{"ask-anything", func(ctx context.Context, f *Front) (string, error) {
		return f.Ask(ctx, question, nil)
	}, nil, "", ""},
	{"type", func(ctx context.Context, f *Front) (string, error) {
		return "", f.Type(ctx, final, "Adult  bookshelf")
	}, []string{"", "adult", "adultbookshelf"}, "adult   BOOKSHELF", ""},
	{"secret", func(ctx context.Context, f *Front) (string, error) {
		p := question
		p.Question = "Alice, type your PIN"
		b, err := f.AskSecret(ctx, p, func(b *secret.Buffer) error {
			if b.Len() < 6 {
				return errors.New("a PIN has 6 to 8 digits")
			}
			return nil
		})
		defer b.Wipe()
		return string(b.Bytes()), err
	}, []string{"", "2468", ":hel"}, "24681357", "24681357"},
	{"passphrase", func(ctx context.Context, f *Front) (string, error) {
		b, err := f.AskSecret(ctx, question, nil)
		defer b.Wipe()
		return string(b.Bytes()), err
	}, nil, ":helper ", ":helper "},
	{"token", func(ctx context.Context, f *Front) (string, error) {
		info, err := f.WaitForToken(ctx, prompt.TokenWait{Prompt: prompt.Prompt{ID: "test", Message: message}, Sticker: "A-01", Look: noToken(1)})
		return fmt.Sprint(info.Serial), err
	}, []string{"A-01", "yes", ""}, "", "20456123"},
	{"token-virtual", func(ctx context.Context, f *Front) (string, error) {
		r := new(reader)
		info, err := f.WaitForToken(ctx, prompt.TokenWait{Prompt: question, Sticker: "A-01", Look: r.look, Plug: r.plug, Stickers: []string{"A-01", "A-02", "A-09"}})
		return fmt.Sprint(info.Serial), err
	}, []string{"A-02", "A-03", "A-09", "yes"}, "", "1"},
	{"token-virtual-any", func(ctx context.Context, f *Front) (string, error) {
		r := new(reader)
		info, err := f.WaitForToken(ctx, prompt.TokenWait{Look: r.look, Plug: r.plug, Stickers: []string{"A-01", "A-02"}})
		return fmt.Sprint(info.Serial), err
	}, []string{"", "A-02"}, "a-01", "1"},
	{"touch", func(ctx context.Context, f *Front) (string, error) {
		return "", f.WaitForTouch(ctx, question, true)
	}, []string{"yes"}, "", ""},
}

// What no prompt takes as an answer.
var nonsense = []string{":nonsense", ":Back", otp, "ye" + otp, "\x1b[A", "a\tb", "\xff", strings.Repeat("y", 4001)}

func TestWrongInput(t *testing.T) {
	for _, p := range prompts {
		t.Run(p.name, func(t *testing.T) {
			wrong := slices.Concat(p.wrong, nonsense)
			if p.name == "passphrase" || p.name == "secret" {
				wrong = wrong[:len(wrong)-len(nonsense)] // a colon begins a secret too
				wrong = append(wrong, nonsense[2:]...)
			}
			f, out := script(t, strings.Join(wrong, "\n")+strings.Repeat("\n", min(1, len(wrong)))+p.right+"\n", Options{})
			got, err := p.ask(t.Context(), f)
			if got != p.want || err != nil {
				t.Errorf("returned %q, %v, want %q\n%s", got, err, p.want, out)
			}
			if n := strings.Count(out.String(), "Not accepted: "); n != len(wrong) {
				t.Errorf("%d answers of %d were refused:\n%s", n, len(wrong), out)
			}
			checkLook(t, out.String(), "")
		})
	}
}

// checkLook holds what is true of everything that is shown.
func checkLook(t *testing.T, out string, pin string) {
	t.Helper()
	for line := range strings.SplitSeq(out, "\n") {
		if show.Width(line) > 79 || strings.ContainsFunc(line, show.Hidden) {
			t.Errorf("line %q is too long, or holds what cannot be seen", line)
		}
	}
	if pin != "" && strings.Contains(out, pin) {
		t.Error("a secret is shown")
	}
}

// Every way to leave every prompt: nothing is answered, and nothing is asked
// again.
func TestLeaving(t *testing.T) {
	for _, p := range prompts {
		for _, c := range []struct {
			name, input string
			want        error
		}{
			{"end", "", prompt.ErrLeft},
			{"end inside the answer", p.right, prompt.ErrLeft},
			{"end after a wrong answer", otp + "\n", prompt.ErrLeft},
			{"end after a command", ":help\n", prompt.ErrLeft},
			{"end inside a note", ":note\n", prompt.ErrLeft},
			{"back", ":back\n" + p.right + "\n", prompt.ErrBack},
			{"quit", ":quit\n" + p.right + "\n", prompt.ErrLeft},
			{"quit inside a note", ":note\n:quit\n" + p.right + "\n", prompt.ErrLeft},
		} {
			t.Run(p.name+"/"+c.name, func(t *testing.T) {
				f, out := script(t, c.input, Options{Notebook: new(book)})
				got, err := p.ask(t.Context(), f)
				if err != c.want {
					t.Errorf("returned %q, %v, want %v\n%s", got, err, c.want, out)
				}
				if got != "" && got != "false" && got != "0" {
					t.Errorf("answered %q", got)
				}
				if c.want == prompt.ErrBack {
					return
				}
				if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), "Nothing is lost") {
					t.Errorf("does not say that nothing is lost:\n%s", out)
				}
				shown := out.Len()
				if _, err := p.ask(t.Context(), f); err != prompt.ErrLeft || out.Len() != shown {
					t.Errorf("asked again after leaving: %v\n%s", err, out)
				}
			})
		}
	}
}

// Notes, exceptions and the status are there at every prompt, which then is
// answered as ever.
func TestCommands(t *testing.T) {
	for _, p := range prompts {
		t.Run(p.name, func(t *testing.T) {
			b := new(book)
			commands := ":note\n\n" + otp + "\nseal 17 was opened\npublic\n:exception\nfive holders\n:help\nfour came\nEmil signs later\nnobody\nprivate\n" +
				":note\n:back\n:note\nnever mind\n:back\n:status\n:help\n"
			f, out := script(t, commands+p.right+"\n", Options{Notebook: b, Rehearsal: true})
			got, err := p.ask(t.Context(), f)
			if (got != p.want || err != nil) && p.name != "token" {
				t.Errorf("returned %q, %v, want %q\n%s", got, err, p.want, out)
			}
			want := []string{"note: seal 17 was opened", "private exception: five holders; four came; Emil signs later"}
			if !slices.Equal(b.entries, want) {
				t.Errorf("recorded %q", b.entries)
			}
			if !strings.Contains(out.String(), "missing  3 signatures") {
				t.Errorf("no status:\n%s", out)
			}
			checkLook(t, out.String(), "24681357")
		})
	}
}

func TestNotebookErrors(t *testing.T) {
	b := &book{err: errors.New("the disk is full")}
	f, out := script(t, ":note\nseal 17\npublic\nyes\n", Options{Notebook: b})
	if yes, err := f.Confirm(t.Context(), question); !yes || err != nil {
		t.Errorf("%t, %v", yes, err)
	}
	if !strings.Contains(out.String(), "It was not recorded: the disk is full") {
		t.Errorf("%s", out)
	}
	f, out = script(t, ":note\n:exception\n:status\nyes\n", Options{})
	if yes, err := f.Confirm(t.Context(), question); !yes || err != nil {
		t.Errorf("without a notebook: %t, %v\n%s", yes, err, out)
	}
}

// The look of each kind of prompt: once wrong, once right.
func TestGolden(t *testing.T) {
	for _, p := range prompts {
		t.Run(p.name, func(t *testing.T) {
			input := p.right + "\n"
			if len(p.wrong) > 0 {
				input = p.wrong[len(p.wrong)-1] + "\n" + input
			}
			f, out := script(t, input, Options{Rehearsal: p.name == "token-virtual"})
			if got, err := p.ask(t.Context(), f); got != p.want || err != nil {
				t.Errorf("returned %q, %v", got, err)
			}
			golden(t, p.name, out.String())
		})
	}
	t.Run("message", func(t *testing.T) {
		f, out := script(t, "", Options{})
		err := f.Tell(t.Context(), prompt.Message{
			Title: "Name\x1b[2J with \u202etricks",
			Facts: []prompt.Fact{
				{Label: "陈", Value: "wide"},
				{Label: "a label that is much longer than a third of the line", Value: "its value"},
				{Label: "SHA-256", Value: strings.Repeat("0123456789abcdef", 8)},
			},
			Text:  []string{"one\x07 two\nthree", strings.Repeat("word ", 20)},
			Write: []prompt.Written{{ID: "card alice 2", Where: "the card of Alice Costa, line 2", Kind: keys.CarriedEnrolment, Value: []byte("a token")}},
			Lines: []string{"- keys: 3", "+ keys:     5 \x1b[31mred", "", "  " + strings.Repeat("x", 70)},
		})
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "message", out.String())
	})
	t.Run("commands", func(t *testing.T) {
		f, out := script(t, ":help\n:status\n:note\nseal 17\npublic\n:exception\nfive\nfour\ngo on\nprivate\n"+otp+"\n", Options{Rehearsal: true, Notebook: new(book)})
		if _, err := f.Confirm(t.Context(), question); err != prompt.ErrLeft {
			t.Fatal(err)
		}
		golden(t, "commands", out.String())
	})
	t.Run("touch-real", func(t *testing.T) {
		f, out := script(t, "", Options{})
		ctx, cancel := context.WithCancel(t.Context())
		f.out = writer(func(p []byte) (int, error) {
			defer cancel() // touched as soon as it was asked for
			return out.Write(p)
		})
		p := prompt.Prompt{Message: prompt.Message{Title: "Alice Costa: sign root v1"}}
		if err := f.WaitForTouch(ctx, p, false); err != context.Canceled {
			t.Fatal(err)
		}
		golden(t, "touch-real", out.String())
	})
}

// writer is an io.Writer of one function.
type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func golden(t *testing.T, name, got string) {
	t.Helper()
	if name != "message" {
		checkLook(t, got, "24681357")
	}
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update writes it again):\n%s", file, got)
	}
}

// An output that fails is no place to ask anything.
func TestBrokenOutput(t *testing.T) {
	for _, p := range prompts {
		t.Run(p.name, func(t *testing.T) {
			f, _ := script(t, strings.Repeat(p.right+"\n", 3), Options{})
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Close()
			f.out = w
			if got, err := p.ask(t.Context(), f); !errors.Is(err, prompt.ErrLeft) {
				t.Errorf("%q, %v", got, err)
			}
			_ = w.Close()
		})
	}
}

// A context that has ended ends every prompt, and takes no line.
func TestCancelled(t *testing.T) {
	for _, p := range prompts {
		t.Run(p.name, func(t *testing.T) {
			f, _ := script(t, p.right+"\n"+"\n", Options{})
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if got, err := p.ask(ctx, f); err != context.Canceled {
				t.Errorf("%q, %v", got, err)
			}
			if got, err := p.ask(t.Context(), f); (got != p.want || err != nil) && p.name != "token" {
				t.Errorf("then %q, %v", got, err)
			}
		})
	}
}
