package ui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ceremony/prompt"
	"rootceremony/ui/show"
)

// list is how far a ceremony is, as its desk says.
type list struct {
	header string
	alarm  string // a second line of it; "": none
	tasks  []prompt.Task
	next   string // id of the task to take now; "": nothing that is needed is left
	needed bool   // next is not optional
	then   func() (*Room, error)
}

// listOf asks the desk. Only the goroutine that runs tasks may, while one runs.
func listOf(r *Room) list {
	l := list{header: r.Header(), alarm: r.Alarm(), tasks: r.Tasks()}
	if next, ok := r.Next(); ok {
		l.next, l.needed = next.ID, !next.Optional
	}
	if r.Then != nil {
		l.then = r.Then()
	}
	return l
}

// name is a task with its group: "Sign: Alice Costa".
func (r *room) name(t prompt.Task) string {
	if t.Group == "" {
		return t.Title
	}
	return t.Group + ": " + t.Title
}

// row is a line of the list: a task, or a group of them.
type row struct {
	ids    []string // of the tasks it stands for; none: a heading
	mark   string
	title  string
	reason string // shown where there is room
	indent bool
	look   look
}

func (w row) has(id string) bool { return slices.Contains(w.ids, id) }

// rows sets the list. A group of which nothing can be done now is one row. What
// is there for when something went wrong does not count, and has a row of its own
// while it can be done.
func (r *room) rows() []row {
	var rows []row
	for i := 0; i < len(r.list.tasks); {
		t := r.list.tasks[i]
		n := 1
		for t.Group != "" && i+n < len(r.list.tasks) && r.list.tasks[i+n].Group == t.Group {
			n++
		}
		group := r.list.tasks[i : i+n]
		i += n
		if t.Group == "" {
			rows = append(rows, r.row(t))
			continue
		}
		done, count := 0, 0
		ready := false
		all := row{mark: "[ ]", look: dim}
		for _, t := range group {
			if t.Aside {
				continue
			}
			count++
			all.ids = append(all.ids, t.ID)
			ready = ready || t.State == prompt.Ready
			if t.State == prompt.Done {
				done++
			}
		}
		if done == count {
			all.mark, all.look = "[x]", good
		}
		all.title = fmt.Sprintf("%s  %d of %d", t.Group, done, count)
		if ready {
			all = row{title: all.title}
		}
		rows = append(rows, all)
		for _, t := range group {
			if !ready && (!t.Aside || t.State != prompt.Ready) {
				continue
			}
			w := r.row(t)
			w.indent = true
			rows = append(rows, w)
		}
	}
	return rows
}

func (r *room) row(t prompt.Task) row {
	w := row{ids: []string{t.ID}, mark: "[ ]", title: t.Title}
	switch {
	case r.run != nil && r.run.task.ID == t.ID:
		w.mark, w.look = "[>]", accent
	case t.State == prompt.Done:
		w.mark, w.look = "[x]", good
	case t.State == prompt.Blocked:
		w.look = dim
	}
	if t.State != prompt.Blocked {
		w.reason = t.Reason
	}
	return w
}

// listView draws the list in columns and rows.
func (r *room) listView(e *env, columns, height int) []line {
	rows := r.rows()
	at := max(slices.IndexFunc(rows, func(w row) bool { return w.has(r.cursor) }), 0)
	from := min(max(0, at-height/2), max(0, len(rows)-height))
	var lines []line
	for i := from; i < len(rows) && len(lines) < height; i++ {
		w := rows[i]
		here := " "
		l := w.look
		if i == at && r.run == nil {
			here, l = e.glyphs.here, accent
		}
		if w.indent {
			here += "  "
		}
		mark := strings.NewReplacer("x", e.glyphs.done, ">", e.glyphs.here).Replace(w.mark)
		if mark != "" {
			mark += " "
		}
		text := here + mark + show.Clean(w.title)
		if reason := "  " + show.Clean(w.reason); w.reason != "" && width(text+reason) <= columns {
			text += reason
		}
		lines = append(lines, line{{text, l}}.fit(columns))
	}
	return lines
}

// listFoot says what Enter does between tasks.
func (r *room) listFoot(columns int) []line {
	var lines []line
	add := func(l look, text string) {
		for _, s := range wrap(text, columns) {
			lines = append(lines, set(l, s))
		}
	}
	if r.result != "" {
		add(warn, r.result)
		lines = append(lines, nil)
	}
	t, ok := r.task(r.cursor)
	switch {
	case len(r.list.tasks) == 0:
	case r.list.next == "" && slices.ContainsFunc(r.list.tasks, func(t prompt.Task) bool { return t.State == prompt.Blocked }):
		add(strong, "No task can be done now; the list says what is not done. Enter leaves.")
	case r.list.next == "" && r.list.then != nil:
		add(strong, "The plan is ready. Enter goes on to its ceremony; Esc leaves that for later.")
	case r.list.next == "":
		add(strong, "Everything is done. Enter leaves.")
	case !ok:
	case t.State == prompt.Done:
		add(plain, r.name(t)+" is done.")
	case t.State == prompt.Blocked:
		add(plain, r.name(t)+" "+t.Reason+".")
	case t.Optional:
		add(strong, "Can still be done: "+r.name(t))
	case t.ID == r.list.next:
		add(strong, "Next: "+r.name(t))
	default:
		add(strong, "Now: "+r.name(t))
	}
	return lines
}

// listKey takes keys between tasks.
func (r *room) listKey(m *model, k tea.KeyMsg) tea.Cmd {
	rows := r.rows()
	at := max(slices.IndexFunc(rows, func(w row) bool { return w.has(r.cursor) }), 0)
	step := 0
	switch {
	case key.Matches(k, keymap.Up):
		step = -1
	case key.Matches(k, keymap.Down):
		step = 1
	case key.Matches(k, keymap.Back):
		if m.start == nil {
			m.flash = "this is the list of tasks; ^C leaves"
			return nil
		}
		return m.closeRoom()
	case key.Matches(k, keymap.Enter):
		return r.take(m)
	}
	for i := at + step; step != 0 && i >= 0 && i < len(rows); i += step {
		if len(rows[i].ids) > 0 {
			r.cursor = rows[i].ids[0]
			r.told, r.result, r.offset = nil, "", 0
			break
		}
	}
	return nil
}

// take begins the task under the cursor.
func (r *room) take(m *model) tea.Cmd {
	if r.list.next == "" && len(r.list.tasks) > 0 {
		if m.start != nil && r.list.then != nil {
			return m.goOn(r.list.then)
		}
		if m.start != nil {
			return m.closeRoom()
		}
		return m.end()
	}
	t, ok := r.task(r.cursor)
	switch {
	case !ok:
		return nil
	case t.State == prompt.Done:
		m.flash = "that is done already"
		return nil
	case t.State == prompt.Blocked:
		m.flash = "that cannot be done yet: it " + t.Reason
		return nil
	}
	r.told, r.result, r.offset, r.stale = nil, "", 0, false
	if r.look != nil {
		r.look()
	}
	return m.runTask(r, t)
}

func (r *room) task(id string) (prompt.Task, bool) {
	i := slices.IndexFunc(r.list.tasks, func(t prompt.Task) bool { return t.ID == id })
	if i < 0 {
		return prompt.Task{}, false
	}
	return r.list.tasks[i], true
}
