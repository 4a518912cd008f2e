package plain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"rootceremony/ceremony/prompt"
)

// Run shows the list of tasks and does the one that is chosen, until no task
// is ready (nil), the person leaves or the input ends (ceremony.ErrLeft), or
// ctx ends (its error). A task that fails comes back in the list.
func (f *Front) Run(ctx context.Context, desk prompt.Desk) error {
	for {
		id, err := f.chooseTask(ctx, desk)
		if errors.Is(err, prompt.ErrBack) {
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
		case f.left || errors.Is(err, prompt.ErrLeft):
			return prompt.ErrLeft
		case errors.Is(err, prompt.ErrBack):
			err = f.write("\n" + paragraph("Back at the list of tasks."))
		default:
			again := "What was recorded stays recorded, and the task can be taken again."
			if f.opts.NoRecord {
				again = "The task can be taken again."
			}
			err = f.write("\n" + paragraph("The task has stopped: "+err.Error()) + paragraph(again))
		}
		if err != nil {
			return err
		}
	}
}

// chooseTask shows the list and returns the ID of a ready task, or "" when
// none is ready.
func (f *Front) chooseTask(ctx context.Context, desk prompt.Desk) (string, error) {
	tasks := desk.Tasks()
	next, ready := desk.Next()
	m := prompt.Message{Title: desk.Header(), Lines: taskLines(tasks, next.ID)}
	if alarm := desk.Alarm(); alarm != "" {
		m.Lines = append([]string{alarm, ""}, m.Lines...)
	}
	if !ready {
		said := "No task can be done now; the list says what each one waits for."
		if !slices.ContainsFunc(tasks, func(t prompt.Task) bool { return t.State == prompt.Blocked }) {
			said = "Everything is done."
		}
		return "", f.write(f.block(m) + "\n" + paragraph(said))
	}
	p := prompt.Prompt{ID: "tasks", Message: m, Question: "Next: " + next.Label()}
	id := ""
	err := f.ask(ctx, p, "Enter goes on with it; or type the number of another task; :help lists what else", func(line string) error {
		if line == "" {
			id = next.ID
			return nil
		}
		for i, t := range tasks {
			if line != strconv.Itoa(i+1) && !strings.EqualFold(line, t.ID) {
				continue
			}
			switch t.State {
			case prompt.Done:
				return fmt.Errorf("task %d is done already: %s", i+1, t.Label())
			case prompt.Blocked:
				return fmt.Errorf("task %d cannot be done yet: it %s", i+1, t.Reason)
			}
			id = t.ID
			return nil
		}
		return fmt.Errorf("there is no task %q (hint: type a number from 1 to %d, or Enter)", line, len(tasks))
	})
	return id, err
}

// taskLines lists the tasks, those of a group under its name. What all of them
// wait for is said there, once.
func taskLines(tasks []prompt.Task, next string) []string {
	var lines []string
	group, waits := "", ""
	for i, t := range tasks {
		if t.Group != group && t.Group != "" {
			heading := t.Group
			if waits = waitOf(tasks[i:]); waits != "" {
				heading += ": " + waits
			}
			lines = append(lines, hang("        ", heading)...)
		}
		group = t.Group
		mark, title, indent := " ", t.Title, ""
		switch {
		case t.State == prompt.Done:
			mark = "x"
		case t.ID == next:
			mark = ">"
		}
		if group != "" {
			indent = "  "
		}
		if t.Optional && !t.Aside && t.Group == prompt.GroupSign && t.State == prompt.Ready {
			title += ", if they still can"
		}
		if t.Reason != "" && (group == "" || t.Reason != waits) {
			title += ": " + t.Reason
		}
		lines = append(lines, hang(fmt.Sprintf("%3d [%s] %s", i+1, mark, indent), title)...)
	}
	return lines
}

// waitOf is what all tasks of the first one's group wait for, where there are
// several and it is the same.
func waitOf(tasks []prompt.Task) string {
	n := 0
	for _, t := range tasks {
		if t.Group != tasks[0].Group {
			break
		}
		if t.State != prompt.Blocked || t.Reason != tasks[0].Reason {
			return ""
		}
		n++
	}
	if n < 2 {
		return ""
	}
	return tasks[0].Reason
}
