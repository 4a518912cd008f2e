package plain

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/prompt"
)

// commands are the words that every prompt takes, with what :help says.
var commands = []prompt.Fact{
	{Label: ":help", Value: "show this list"},
	{Label: ":note", Value: "add a note to the record"},
	{Label: ":exception", Value: "record that something went otherwise than planned"},
	{Label: ":status", Value: "show where the ceremony stands"},
	{Label: ":back", Value: "leave this task for the list of tasks"},
	{Label: ":quit", Value: "leave; nothing is lost (Ctrl-C does the same)"},
}

// commandWord returns the command that a secret is exactly, or "". The secret
// is not copied.
func commandWord(b []byte) string {
	for _, c := range commands {
		if subtle.ConstantTimeCompare(b, []byte(c.Label)) == 1 {
			return c.Label
		}
	}
	return ""
}

// command carries out a command; the prompt is then asked again. Its error
// ends the prompt.
func (f *Front) command(ctx context.Context, word string) error {
	book := f.opts.Notebook
	switch word {
	case ":help":
		words := slices.Clone(commands)
		if f.opts.Interview || f.opts.NoRecord {
			words[len(words)-1].Value = "leave; answers are not kept (Ctrl-C does the same)"
		}
		text := "\n" + paragraph("At every question you can type one of these words instead of an answer:") + table(words)
		if f.opts.Words != nil {
			text += written(f.opts.Words())
		}
		return f.write(text)
	case ":back":
		if f.opts.Interview {
			return f.write("\n" + paragraph("There is no list of tasks to go back to (hint: :quit leaves)."))
		}
		return prompt.ErrBack
	case ":quit":
		return f.leave("You leave.")
	case ":note", ":exception":
		if book == nil {
			return f.write("\n" + paragraph("Nothing is recorded yet, so this cannot be noted here."))
		}
		return f.record(ctx, word == ":exception")
	case ":status":
		if book == nil {
			return f.write("\n" + paragraph("Nothing is recorded yet."))
		}
		return f.write(f.block(prompt.Message{Title: "Where the ceremony stands", Lines: book.Status()}))
	}
	return f.write(refused(fmt.Errorf("there is no command %q (hint: :help lists them)", word)))
}

// record asks for a note or an exception. :back drops it.
func (f *Front) record(ctx context.Context, exception bool) error {
	questions := []string{"What is to be noted?"}
	title := "A note for the record"
	if exception {
		questions = []string{"What was expected?", "What happened instead?", "What was decided?"}
		title = "An exception for the record"
	}
	var answers []string
	for _, question := range questions {
		p := prompt.Prompt{Message: prompt.Message{Title: title}, Question: question}
		answer, err := f.Ask(ctx, p, func(line string) error {
			if line == "" {
				return errors.New("nothing was typed (hint: :back records nothing)")
			}
			return nil
		})
		if err != nil {
			return f.notRecorded(err)
		}
		answers = append(answers, answer)
		title = ""
	}
	who, err := f.Choose(ctx, prompt.Prompt{Question: prompt.ReadersQuestion}, prompt.Readers)
	if err != nil {
		return f.notRecorded(err)
	}
	private := who == "private"
	if exception {
		err = f.opts.Notebook.Exception(answers[0], answers[1], answers[2], private)
	} else {
		err = f.opts.Notebook.Note(answers[0], private)
	}
	if err != nil {
		return f.write("\n" + paragraph("It was not recorded: "+err.Error()))
	}
	return f.write("\n" + paragraph("It is recorded."))
}

// notRecorded ends a note that was not written to its end.
func (f *Front) notRecorded(err error) error {
	if errors.Is(err, prompt.ErrBack) {
		return f.write("\n" + paragraph("Nothing was recorded."))
	}
	return err
}
