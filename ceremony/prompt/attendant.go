// Package prompt is how tasks and people speak to each other: a Task of a Desk
// tells, asks and waits through a Room, which the terminal UI, plain mode and the
// Script of automatic rehearsals implement. Tokens is where tokens are plugged in,
// and asks for their PINs.
//
// Every prompt of a task has an id that stays, such as "holder.pin alice": a script
// answers by it. No secret of a person passes but as a locked buffer. The end of
// input is never a yes, and an answer that cannot be taken back has no default.
package prompt

import (
	"context"
	"errors"

	"rootceremony/keys"
	"rootceremony/keys/secret"
)

// Room is how a task speaks to the people in the room. The terminal UI,
// plain mode and the script of an automatic rehearsal implement it; a task
// knows no other way to say or ask anything, so that every front end can do
// everything.
//
// Every method returns ErrBack when the person leaves the task for the list of
// tasks, ErrLeft when they leave the program or the input ends (which is never
// a yes), and the context's error when it was cancelled. Nothing was answered
// then. Texts may hold names that came from files: front ends strip control
// characters before they show them.
type Room interface {
	// Tell shows something and goes on at once.
	Tell(ctx context.Context, m Message) error
	// Confirm asks a question that is answered yes or no. No answer is the
	// default.
	Confirm(ctx context.Context, p Prompt) (bool, error)
	// Choose returns the Key of one of the choices.
	Choose(ctx context.Context, p Prompt, choices []Choice) (string, error)
	// Ask returns a line of text for which check (which may be nil) is nil;
	// what check says is shown, and the question asked again.
	Ask(ctx context.Context, p Prompt, check func(string) error) (string, error)
	// Type returns once the person has typed exactly want (spaces around it
	// and doubled ones do not count, upper and lower case neither). Front ends
	// do not show want: the prompt's question says it where it may be said.
	Type(ctx context.Context, p Prompt, want string) error
	// AskSecret returns what was typed unseen. The caller wipes it.
	AskSecret(ctx context.Context, p Prompt, check func(*secret.Buffer) error) (*secret.Buffer, error)
	// WaitForToken returns the first token that w.Look accepts.
	WaitForToken(ctx context.Context, w TokenWait) (keys.Info, error)
	// WaitForTouch says that the token waits for a touch, until ctx ends: then
	// it was touched, or gave up. Where press is true the token is a virtual
	// one: WaitForTouch returns nil when a person has touched it by a key.
	WaitForTouch(ctx context.Context, p Prompt, press bool) error
}

// ErrBack: the person left the task. ErrLeft: the person left the program, or
// its input ended.
var (
	ErrBack = errors.New("left the task")
	ErrLeft = errors.New("left the ceremony")
)

// Message is something to read.
type Message struct {
	Title string   // one line: "Alice Costa: make the root key"
	Facts []Fact   // a small table
	Text  []string // paragraphs; front ends wrap them
	Lines []string // set as they are, such as a difference; scrolled if long
	// Write is what people write down, on a card or on paper, and read from there
	// on another day.
	Write []Written
	// Commands are what people type next, in a shell and in this order; front
	// ends set them last, under a line that says so.
	Commands []string
}

// Fact is a row of the table in a Message.
type Fact struct{ Label, Value string }

// Written is what people write down: eight words of a value.
type Written struct {
	ID    string // of the place, for Prompt.From: "card alice 2"; "": it stands there, and is only shown
	Where string // "the card of Alice Costa, line 2"
	Kind  keys.CarriedKind
	Value []byte
}

// Words are computed where somebody wants them: it takes a fifth of a second.
func (w Written) Words() string { return keys.Carried(w.Kind, w.Value) }

// Heading is what stands above the words.
func (w Written) Heading() string {
	if w.ID == "" {
		return w.Where + ":"
	}
	return "Write on " + w.Where + ":"
}

// Prompt is one question to people.
type Prompt struct {
	ID string // stable, for scripts and tests: "holder.pin alice"
	Message
	Question string // the line before the answer
	// Final marks an answer that cannot be taken back: keys typed before the
	// question could be read do not count.
	Final bool
	// Enter is what an empty answer of Ask stands for; "": nothing.
	Enter string
	// Again is why the answer before was not the right one, where the question
	// is asked again; the text says it too. A script, which has no other
	// answer, stops with it.
	Again error
	// Scripted is what a Script without an answer says to Ask and Choose; "": nothing.
	Scripted string
	// From is where the answer to Ask stands, which this screen does not show: the
	// ID of something Written. A Script knows it from there or not at all. Confirm
	// asks with it whether something is written there.
	From string
}

// Choice is one of the answers of Choose.
type Choice struct {
	Key   string // what is returned, and typed in plain mode: "lost"
	Label string // one line
}

// What is asked of each note and exception, so that the record can be published.
const ReadersQuestion = "Who may read it?"

// Readers are the answers to ReadersQuestion.
var Readers = []Choice{
	{Key: "public", Label: "everyone: it is published with the record"},
	{Key: "private", Label: "only those who have the folder private/"},
}

// TokenWait is a Prompt for a token to be inserted.
type TokenWait struct {
	Prompt
	Sticker string // the token that is expected
	// Look returns the token once it is there and fits; its error says what is
	// missing or wrong, and what to do. Where there are several, which people
	// will be asked about, it returns the zero Info. Front ends may call it
	// again and again.
	Look func(ctx context.Context) (keys.Info, error)
	// Plug puts a virtual token into the reader, in place of the one that is
	// there. It is nil where tokens are real. Stickers lists the virtual ones.
	Plug     func(sticker string) error
	Stickers []string
}
