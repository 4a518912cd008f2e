package ui

import (
	"slices"
	"testing"

	"rootceremony/ceremony/prompt"
)

// A group of which nothing that is needed can be done is one row, and what is
// there for trouble does not count, but can be taken.
func TestRowsOfGroups(t *testing.T) {
	task := func(group, title string, state prompt.TaskState, aside bool) prompt.Task {
		return prompt.Task{ID: title, Group: group, Title: title, State: state, Aside: aside, Optional: aside}
	}
	r := &room{list: list{tasks: []prompt.Task{
		task("Holders", "Alice", prompt.Done, false), task("Holders", "Bruno", prompt.Done, false), task("Holders", "Start over", prompt.Ready, true),
		task("Keys", "key of Alice", prompt.Done, false), task("Keys", "key of Bruno", prompt.Ready, false),
		task("Backups", "Drill", prompt.Blocked, false), task("Backups", "Restore", prompt.Blocked, true),
	}}}
	var got []string
	for _, w := range r.rows() {
		got = append(got, w.mark+" "+w.title)
	}
	want := []string{"[x] Holders  2 of 2", "[ ] Start over", " Keys  1 of 2", "[x] key of Alice", "[ ] key of Bruno", "[ ] Backups  0 of 1"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, id := range []string{"Start over", "key of Bruno", "Drill"} {
		if !slices.ContainsFunc(r.rows(), func(w row) bool { return w.has(id) }) {
			t.Errorf("no row stands for %s", id)
		}
	}
}
