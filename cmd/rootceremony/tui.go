package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/interview"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys/plainfile"
	"rootceremony/ui"
)

// onScreen reports whether a command is to use the terminal UI.
func onScreen(plain bool) bool {
	return !plain && ui.Usable(os.Stdin, os.Stdout) == nil
}

// openUI lets people choose what to do.
func openUI() error {
	if err := ui.Usable(os.Stdin, os.Stdout); err != nil {
		return &usageError{fmt.Sprintf("no command is given, and the terminal UI cannot open: %v (hint: rootceremony help lists the commands)", err)}
	}
	room, err := onGuardedScreen(ui.Options{Jobs: ui.Jobs{
		Rehearse: rehearsalRoom, Plan: planRoom, Revoke: revokeRoom, Run: realRoom, Restore: restoreRoom, Checkup: checkupRoom, Status: statusLines, Recent: recentCeremonies}})
	if chosen := new(chosenCommand); errors.As(err, &chosen) {
		os.Args = append(os.Args[:1:1], chosen.args...) // by which it is executed again
		return run(chosen.args)
	}
	if room == nil {
		return err
	}
	return left(room, err)
}

// chosenCommand is the command that holds what was chosen, in a program of its own:
// it is confined to the folder, which this one isn't. It is an error so that the UI
// ends.
type chosenCommand struct{ args []string }

func (c *chosenCommand) Error() string { return strings.Join(c.args, " ") }
func (c *chosenCommand) Unwrap() error { return ui.ErrElsewhere }

// chosen is a command with a folder, which may begin with a hyphen.
func chosen(command, dir string) error { return &chosenCommand{[]string{command, "--", dir}} }

// showUI holds one ceremony on the screen.
func showUI(room *ui.Room) error {
	_, err := onGuardedScreen(ui.Options{Room: room})
	return left(room, err)
}

// left says how to go on with what people have left.
func left(room *ui.Room, err error) error {
	switch _, isPlan := room.Desk.(*planDesk); {
	case errors.Is(err, prompt.ErrLeft) && isPlan:
		fmt.Fprintln(os.Stderr, "rootceremony: left early; nothing was written")
		return errUnfinished
	case err != nil && !errors.Is(err, prompt.ErrLeft) || isPlan:
		return err
	}
	desk, ok := room.Desk.(*ceremony.Desk)
	switch {
	case !ok:
		return nil
	case errors.Is(err, prompt.ErrLeft):
		return leftDesk(desk)
	}
	return ended(desk)
}

// deskRoom is a ceremony for the terminal UI, which is remembered.
func deskRoom(desk *ceremony.Desk, rehearsal bool) *ui.Room {
	remember(desk.Dir())
	return &ui.Room{Desk: desk, Notebook: desk, Tokens: desk.Tokens(), Rehearsal: rehearsal, Close: desk.Close, Words: desk.Words}
}

// rehearsalRoom has a rehearsal held, if it can be; "" is a fresh one.
func rehearsalRoom(dir string) (*ui.Room, error) {
	if dir == "" {
		now, err := stateFolder()
		if err != nil {
			return nil, err
		}
		dir = freshRehearsal(now)
	}
	real, err := rehearsalReaders(heldOn(dir), "", "")
	if err != nil {
		return nil, err
	}
	if _, err := rehearsalFiles(dir, beginning{}, "", real); err != nil {
		return nil, err
	}
	return nil, chosen("rehearse", dir)
}

// realRoom has a ceremony held on real tokens, if it can be.
func realRoom(dir string) (*ui.Room, error) {
	if _, err := realTokens(dir, ""); err != nil {
		return nil, err
	}
	return nil, chosen("run", dir)
}

// planRoom is the interview for a plan in dir, as a ceremony of a few tasks.
// What kind of plan it is, is asked too.
func planRoom(dir string) (*ui.Room, error) { return interviewRoom(dir, "") }

// revokeRoom is the interview of an emergency, which goes on to the ceremony.
func revokeRoom(dir string) (*ui.Room, error) { return interviewRoom(dir, agreed.Revoke) }

func interviewRoom(dir, kind string) (*ui.Room, error) {
	if err := planFree(dir, kind); err != nil {
		return nil, err
	}
	desk := &planDesk{dir: dir, kind: kind}
	return &ui.Room{Desk: desk, Then: desk.then}, nil
}

// planDesk writes a plan, and checks it.
type planDesk struct {
	dir, kind string // kind "": it is asked
	done      bool
	planned   bool // a plan was written: in an emergency none may be needed
	real      bool // of a ceremony that can be held
	checked   bool
}

func (p *planDesk) file() string { return filepath.Join(p.dir, state.PlanFile) }

func (p *planDesk) Tasks() []prompt.Task {
	now := func(done bool) prompt.TaskState {
		if done {
			return prompt.Done
		}
		return prompt.Ready
	}
	tasks := []prompt.Task{{ID: "plan", Title: "Write the plan", State: now(p.done)}}
	if p.kind == agreed.Revoke {
		tasks[0].Title = "Say what has happened"
	}
	if p.planned {
		tasks = append(tasks, prompt.Task{ID: "check", Title: "Check the plan", State: now(p.checked), Optional: true})
	}
	return tasks
}

func (p *planDesk) Next() (prompt.Task, bool) {
	tasks := p.Tasks()
	next := tasks[len(tasks)-1]
	return next, next.State != prompt.Done
}

// then leads from an emergency's plan to its ceremony.
func (p *planDesk) then() func() (*ui.Room, error) {
	if p.kind != agreed.Revoke || !p.real {
		return nil
	}
	return func() (*ui.Room, error) { return realRoom(p.dir) }
}

// Alarm returns "": a plan has no tokens.
func (p *planDesk) Alarm() string { return "" }

func (p *planDesk) Header() string {
	if p.kind == agreed.Revoke {
		return "emergency: a plan in " + p.dir
	}
	return "a new plan in " + p.dir
}

// Run asks for the plan and writes it, or checks it.
func (p *planDesk) Run(ctx context.Context, id string, a prompt.Room) error {
	if id == "check" {
		return p.check(ctx, a)
	}
	kind := p.kind
	if kind == "" {
		var err error
		if kind, err = a.Choose(ctx, prompt.Prompt{ID: "plan.kind", Question: "What is the plan for?"}, []prompt.Choice{
			{Key: agreed.Create, Label: "a first root: people and keys are new"},
			{Key: agreed.Rotate, Label: "the next root: people, keys or the expiry change"},
			{Key: agreed.Revoke, Label: "an emergency: a token or a key is lost, stolen or seen"},
		}); err != nil {
			return err
		}
	}
	come, err := interview.Hold(ctx, a, p.dir, kind, clock())
	if err != nil {
		return err
	}
	if err := come.Write(p.dir); err != nil {
		return err
	}
	p.kind, p.done, p.planned = kind, true, come.Files[state.PlanFile] != nil
	if planned, err := plan.Read(p.file()); p.planned && err == nil { // it may miss a key
		p.real = planned.Real() == nil
	}
	return a.Tell(ctx, come.After)
}

// check says what the plan that was written would make.
func (p *planDesk) check(ctx context.Context, a prompt.Room) error {
	check, err := checked(p.file())
	if err != nil {
		return err
	}
	p.checked = true
	return a.Tell(ctx, prompt.Message{Title: "What the plan makes", Lines: check.Lines()})
}

// statusLines say how far a ceremony is.
func statusLines(dir string) ([]string, error) {
	desk, err := ceremony.LookAt(dir)
	if err != nil {
		return nil, err
	}
	return desk.Status(), nil
}

// stateFolder is where rehearsals and the list of recent ceremonies are kept.
func stateFolder() (string, error) {
	now := os.Getenv("XDG_STATE_HOME")
	if now == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no folder for the rehearsal: %w (hint: name one: %s)", err, agreed.Command("rehearse", "DIR"))
		}
		now = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(now, "rootceremony"), nil
}

func freshRehearsal(now string) string {
	return filepath.Join(now, clock().UTC().Format("rehearsal-2006-01-02-150405"))
}

// recentFile lists the directories of ceremonies, one a line, the latest first.
const recentFile = "recent"

// maxRecent is how many are remembered, and shown.
const maxRecent = 5

// maxRecentFile bounds the list, in bytes: paths are no longer than 4096.
const maxRecentFile = 64 << 10

// remember puts dir at the head of the list. The list is a convenience: where
// it cannot be written, nothing is said.
func remember(dir string) {
	now, err := stateFolder()
	if err != nil {
		return
	}
	if dir, err = filepath.Abs(dir); err != nil || strings.ContainsAny(dir, "\r\n") {
		return
	}
	list := slices.DeleteFunc(remembered(now), func(d string) bool { return d == dir })
	list = append([]string{dir}, list...)
	if os.MkdirAll(now, 0o700) != nil {
		return
	}
	file, err := plainfile.Open(filepath.Join(now, recentFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, maxRecentFile)
	if err != nil {
		return
	}
	_, _ = file.WriteString(strings.Join(list[:min(len(list), maxRecent)], "\n") + "\n")
	_ = file.Close()
}

func remembered(now string) []string {
	text, err := plainfile.Read(filepath.Join(now, recentFile), maxRecentFile)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// recentCeremonies are those on the list, and the rehearsals in the state
// folder, the one that was last written to first.
func recentCeremonies() []ui.Recent {
	now, err := stateFolder()
	if err != nil {
		return nil
	}
	dirs := remembered(now)
	found, _ := filepath.Glob(filepath.Join(now, "rehearsal-*"))
	dirs = append(dirs, found...)
	type dated struct {
		ui.Recent
		at time.Time
	}
	var all []dated
	for i, dir := range dirs {
		log, err := os.Stat(filepath.Join(dir, transcript.FileName))
		if slices.Contains(dirs[:i], dir) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		desk, err := ceremony.LookAt(dir)
		if err != nil {
			continue // status says what is wrong with it
		}
		s := desk.State()
		r := ui.Recent{Dir: dir, Rehearsal: s.Begun != nil && s.Begun.Rehearsal, Finished: s.Finished()}
		r.Name, r.Text = desk.Header(), progress(desk)+", in "+dir
		all = append(all, dated{r, log.ModTime()})
	}
	slices.SortStableFunc(all, func(a, b dated) int { return b.at.Compare(a.at) })
	var recent []ui.Recent
	for _, d := range all[:min(len(all), maxRecent)] {
		recent = append(recent, d.Recent)
	}
	return recent
}

// progress is how far a ceremony is in a few words.
func progress(desk *ceremony.Desk) string {
	if desk.State().Finished() {
		return "finished"
	}
	next, ok := desk.Next()
	if !ok {
		return "not finished"
	}
	if next.Group != "" {
		return "next: " + next.Group + ": " + next.Title
	}
	return "next: " + next.Title
}
