package plain

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"rootceremony/ceremony"
)

// Desk is the ceremony as a list of tasks.
type Desk interface {
	Tasks() []ceremony.Task
	// Next is the task to offer; false when nothing that is needed is left.
	Next() (ceremony.Task, bool)
	// Run does a task with the people in the room.
	Run(ctx context.Context, id string, a ceremony.Attendant) error
	Header() string // one line: "Example packages, create, root v1"
}

// Run shows the list of tasks and does the one that is chosen, until no task
// is ready (nil), the person leaves or the input ends (ceremony.ErrLeft), or
// ctx ends (its error). A task that fails comes back in the list.
func (f *Front) Run(ctx context.Context, desk Desk) error {
	for {
		id, err := f.chooseTask(ctx, desk)
		if errors.Is(err, ceremony.ErrBack) {
			err = f.write("\n" + paragraph("This is the list of tasks already (hint: :quit leaves)."))
			if err == nil {
				continue
			}
		}
		if err != nil || id == "" {
			return err
		}
		err = desk.Run(ctx, id, f)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return ctx.Err()
		case f.left || errors.Is(err, ceremony.ErrLeft):
			return ceremony.ErrLeft
		case errors.Is(err, ceremony.ErrBack):
			err = f.write("\n" + paragraph("Back at the list of tasks."))
		default:
			err = f.write("\n" + paragraph("The task has stopped: "+err.Error()) +
				paragraph("What was recorded stays recorded, and the task can be taken again."))
		}
		if err != nil {
			return err
		}
	}
}

// chooseTask shows the list and returns the ID of a ready task, or "" when
// none is ready or the person ends with optional ones left.
func (f *Front) chooseTask(ctx context.Context, desk Desk) (string, error) {
	tasks := desk.Tasks()
	next, needed := desk.Next()
	ready, blocked := 0, 0
	var lines []string
	for i, t := range tasks {
		mark := " "
		switch {
		case t.State == ceremony.Done:
			mark = "x"
		case needed && t.ID == next.ID:
			mark = ">"
		}
		title := t.Title
		if t.Optional {
			title += " (optional)"
		}
		switch t.State {
		case ceremony.Ready:
			ready++
		case ceremony.Blocked:
			blocked++
			title += "; waits: " + t.Reason
		}
		lines = append(lines, hang(fmt.Sprintf("%3d [%s] ", i+1, mark), title)...)
	}
	m := ceremony.Message{Title: desk.Header(), Lines: lines}
	p := ceremony.Prompt{ID: "tasks", Message: m, Question: "Next: " + next.Title}
	accepted := "Enter goes on with it; or type the number of another task; :help lists what else"
	switch {
	case ready == 0 && blocked == 0:
		return "", f.write(f.block(m) + "\n" + paragraph("Everything is done."))
	case ready == 0:
		return "", f.write(f.block(m) + "\n" + paragraph("No task can be done now; the list says what each one waits for."))
	case !needed:
		p.Question = "Everything that is needed is done."
		accepted = "Enter ends; or type the number of an optional task"
	}
	id := ""
	err := f.ask(ctx, p, accepted, func(line string) error {
		if line == "" {
			id = next.ID
			return nil
		}
		for i, t := range tasks {
			if line != strconv.Itoa(i+1) && !strings.EqualFold(line, t.ID) {
				continue
			}
			switch t.State {
			case ceremony.Done:
				return fmt.Errorf("task %d is done already: %s", i+1, t.Title)
			case ceremony.Blocked:
				return fmt.Errorf("task %d cannot be done yet; it waits: %s", i+1, t.Reason)
			}
			id = t.ID
			return nil
		}
		return fmt.Errorf("there is no task %q (hint: type a number from 1 to %d, or Enter)", line, len(tasks))
	})
	return id, err
}
