package plain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/prompt"
)

// desk is a ceremony of four tasks: each needs the one before.
type desk struct {
	done []string
	fail error // what the next run returns, once

	alarm string
}

var titles = map[string]string{"laptop": "Check the laptop", "plan": "Agree the plan", "publish": "Publish root v1", "extra": "Add a late signature"}

func (d *desk) Tasks() []prompt.Task {
	var tasks []prompt.Task
	state := prompt.Ready
	for _, id := range []string{"laptop", "plan", "publish", "extra"} {
		t := prompt.Task{ID: id, Title: titles[id], State: state, Optional: id == "extra"}
		if t.Optional {
			t.Group = prompt.GroupSign
		}
		switch {
		case slices.Contains(d.done, id):
			t.State = prompt.Done
		case state == prompt.Blocked:
			t.Reason = "waits for the tasks before this one"
		default:
			state = prompt.Blocked
		}
		tasks = append(tasks, t)
	}
	return tasks
}

func (d *desk) Next() (prompt.Task, bool) {
	for _, t := range d.Tasks() {
		if t.State != prompt.Done {
			return t, true
		}
	}
	return prompt.Task{}, false
}

func (d *desk) Header() string { return "Example packages, create, root v1" }

func (d *desk) Alarm() string { return d.alarm }

func (d *desk) Run(ctx context.Context, id string, a prompt.Room) error {
	if err := d.fail; err != nil {
		d.fail = nil
		return err
	}
	p := prompt.Prompt{ID: id, Message: prompt.Message{Title: titles[id]}, Question: "Is it done?"}
	yes, err := a.Confirm(ctx, p)
	if err == nil && yes {
		d.done = append(d.done, id)
	}
	return err
}

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name, input string
		fail        error
		want        error
		done        string
		shown       string
	}{
		{"everything", "\nyes\n\nyes\n\nyes\nextra\nyes\n", nil, nil, "laptop plan publish extra", "Everything is done."},
		{"by number and word, and what is optional", "1\ny\nplan\ny\n3\ny\n:quit\n", nil, prompt.ErrLeft, "laptop plan publish", "if they still can"},
		{"back at a task", "\n:back\nLAPTOP\nyes\n:quit\n", nil, prompt.ErrLeft, "laptop", "Back at the list of tasks."},
		{"back at the list", ":back\n\nyes\n:quit\n", nil, prompt.ErrLeft, "laptop", "list of tasks already"},
		{"wrong answers", "0\n5\nyes\n3\n" + otp + "\n\nyes\n1\n", nil, prompt.ErrLeft, "laptop", "task 1 is done already"},
		{"a task that is not ready", "publish\n", nil, prompt.ErrLeft, "", "cannot be done yet: it waits for the tasks before this one"},
		{"a task that fails", "\n\nyes\n:quit\n", errors.New("the disk is full"), prompt.ErrLeft, "laptop", "The task has stopped: the disk is full"},
		{"a task that ends with the input", "\n", nil, prompt.ErrLeft, "", "The input has ended"},
		{"a task that says that somebody left", "\n\nyes\n", prompt.ErrLeft, prompt.ErrLeft, "", "Check the laptop"},
		{"no input", "", nil, prompt.ErrLeft, "", "Nothing is lost"},
		{"quit", ":quit\n\nyes\n", nil, prompt.ErrLeft, "", "Nothing is lost"},
		{"no as an answer", "\nno\n:quit\n", nil, prompt.ErrLeft, "", "Nothing is lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, out := script(t, c.input, Options{})
			d := &desk{fail: c.fail}
			if err := f.Run(t.Context(), d); err != c.want {
				t.Errorf("%v, want %v\n%s", err, c.want, out)
			}
			if got := strings.Join(d.done, " "); got != c.done {
				t.Errorf("done: %s; want %s\n%s", got, c.done, out)
			}
			if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), c.shown) {
				t.Errorf("%q is not shown:\n%s", c.shown, out)
			}
			checkLook(t, out.String(), "")
		})
	}
}

// Where nothing is recorded, help does not say that nothing is lost.
func TestHelpWithoutRecord(t *testing.T) {
	for _, c := range []struct {
		opts Options
		lost bool
	}{{Options{}, false}, {Options{NoRecord: true}, true}, {Options{Interview: true}, true}} {
		t.Run(fmt.Sprintf("%+v", c.opts), func(t *testing.T) {
			f, out := script(t, "\n:help\n:quit\n", c.opts)
			if err := f.Run(t.Context(), &desk{}); !errors.Is(err, prompt.ErrLeft) {
				t.Error(err)
			}
			if got := strings.Contains(out.String(), "answers are not kept"); got != c.lost || strings.Contains(strings.ToLower(out.String()), "nothing is lost") == c.lost {
				t.Errorf("%+v:\n%s", c.opts, out)
			}
		})
	}
}

func TestRunGolden(t *testing.T) {
	f, out := script(t, "3\n\nyes\n\nyes\n\nyes\n4\nyes\n", Options{Rehearsal: true})
	if err := f.Run(t.Context(), &desk{fail: errors.New("the token was pulled out (hint: push it in again)")}); !errors.Is(err, prompt.ErrLeft) {
		t.Error(err)
	}
	golden(t, "tasks", out.String())
}

// The list of tasks says that there is an alarm, before all else.
func TestRunAlarmed(t *testing.T) {
	f, out := script(t, ":quit\n", Options{})
	d := &desk{alarm: "ALARM: token 20 456 123, Alice Costa, is not as in the log (line 41)"}
	if err := f.Run(t.Context(), d); !errors.Is(err, prompt.ErrLeft) {
		t.Error(err)
	}
	golden(t, "alarm", out.String())
}

// blocked is a desk where everything waits for people elsewhere.
type blocked struct{ desk }

func (b *blocked) Tasks() []prompt.Task {
	return []prompt.Task{{ID: "sign", Title: "Chen Wei: sign root v1", State: prompt.Blocked, Reason: "waits until Chen signs in Lisbon"}}
}

func (b *blocked) Next() (prompt.Task, bool) { return prompt.Task{}, false }

func TestRunWaits(t *testing.T) {
	f, out := script(t, "", Options{})
	if err := f.Run(t.Context(), new(blocked)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "waits until Chen signs in Lisbon") || !strings.Contains(out.String(), "No task can be done now") {
		t.Errorf("%s", out)
	}
}

func TestRunCancelled(t *testing.T) {
	f, _ := script(t, "\nyes\n", Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Run(ctx, new(desk)); err != context.Canceled {
		t.Error(err)
	}
}

// What a whole group waits for is said once, and what is there for trouble is
// not offered to those who still can.
func TestTaskLines(t *testing.T) {
	lines := taskLines([]prompt.Task{
		{ID: "enrol a", Group: "Holders", Title: "Alice", State: prompt.Done, Reason: "PIN"},
		{ID: "restart", Group: "Holders", Title: "Start over", State: prompt.Ready, Optional: true, Aside: true},
		{ID: "key a", Group: "Keys", Title: "Alice", State: prompt.Blocked, Reason: "waits for the safe"},
		{ID: "key b", Group: "Keys", Title: "Bruno", State: prompt.Blocked, Reason: "waits for the safe"},
		{ID: "drill", Group: "Backups", Title: "Drill", State: prompt.Blocked, Reason: "waits for keys"},
		{ID: "copies", Group: "Backups", Title: "Copies", State: prompt.Blocked, Reason: "waits for the drill"},
		{ID: "review", Title: "Review", State: prompt.Blocked, Reason: "waits for the drill"},
	}, "restart")
	want := []string{
		"        Holders",
		"  1 [x]   Alice: PIN",
		"  2 [>]   Start over",
		"        Keys: waits for the safe",
		"  3 [ ]   Alice",
		"  4 [ ]   Bruno",
		"        Backups",
		"  5 [ ]   Drill: waits for keys",
		"  6 [ ]   Copies: waits for the drill",
		"  7 [ ] Review: waits for the drill",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
}

// What is optional in a check-up is not about who can still sign.
func TestOptionalIsOnlySigning(t *testing.T) {
	for group, want := range map[string]bool{prompt.GroupSign: true, "Holders": false} {
		t.Run(group, func(t *testing.T) {
			lines := strings.Join(taskLines([]prompt.Task{{ID: "a", Group: group, Title: "Alice", State: prompt.Ready, Optional: true}}, ""), "\n")
			if strings.Contains(lines, "if they still can") != want {
				t.Error(lines)
			}
		})
	}
}
