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
	"rootceremony/ceremony/transcript"
	"rootceremony/keys/plainfile"
	"rootceremony/keys/yubikey"
	"rootceremony/ui"
)

// onScreen tells whether a command is to use the terminal UI.
func onScreen(plain bool) bool {
	return !plain && ui.Usable(os.Stdin, os.Stdout) == nil
}

// openUI lets people choose what to do.
func openUI() error {
	if err := ui.Usable(os.Stdin, os.Stdout); err != nil {
		fmt.Fprint(os.Stderr, usage)
		return &usageError{fmt.Sprintf("no command is given, and the terminal UI cannot open: %v", err)}
	}
	room, err := ui.Run(ui.Options{In: os.Stdin, Out: os.Stdout, Clock: clock, Jobs: ui.Jobs{
		Rehearse: rehearsalRoom, Plan: planRoom, Revoke: revokeRoom, Run: realRoom, Restore: restoreRoom, Checkup: checkupRoom, Status: statusLines, Recent: recentCeremonies}})
	if room == nil {
		return err
	}
	return left(room, err)
}

// showUI holds one ceremony on the screen.
func showUI(room *ui.Room) error {
	remember(room.Dir())
	_, room.NoRecord = room.Desk.(*planDesk)
	_, err := ui.Run(ui.Options{In: os.Stdin, Out: os.Stdout, Clock: clock, Room: room})
	return left(room, err)
}

// left says how to go on with what people have left.
func left(room *ui.Room, err error) error {
	switch _, isPlan := room.Desk.(*planDesk); {
	case errors.Is(err, ceremony.ErrLeft) && isPlan:
		fmt.Fprintln(os.Stderr, "rootceremony: left early; nothing was written")
		return errUnfinished
	case err != nil && !errors.Is(err, ceremony.ErrLeft) || isPlan:
		return err
	}
	desk, ok := room.Desk.(*ceremony.Desk)
	switch {
	case !ok:
		return nil
	case errors.Is(err, ceremony.ErrLeft):
		return leftDesk(desk)
	}
	return ended(desk)
}

// deskRoom is a ceremony for the terminal UI.
func deskRoom(desk *ceremony.Desk, rehearsal bool) *ui.Room {
	return &ui.Room{Desk: desk, Tokens: desk.Tokens(), Rehearsal: rehearsal}
}

// rehearsalRoom opens a rehearsal; "" is a fresh one.
func rehearsalRoom(dir string) (*ui.Room, error) {
	if dir == "" {
		state, err := stateFolder()
		if err != nil {
			return nil, err
		}
		dir = freshRehearsal(state)
	}
	var real *ceremony.Tokens
	if heldOn(dir) == yubikey.Kind {
		tokens, err := readersTrusting("", "", true)
		if err != nil {
			return nil, err
		}
		real = &tokens
	}
	desk, err := openRehearsal(dir, beginning{}, "", real)
	if err != nil {
		return nil, err
	}
	remember(dir)
	return deskRoom(desk, true), nil
}

// realRoom opens a ceremony on real tokens.
func realRoom(dir string) (*ui.Room, error) {
	desk, err := openReal(dir, "")
	if err != nil {
		return nil, err
	}
	remember(dir)
	return deskRoom(desk, false), nil
}

// planRoom is the interview for a plan in dir, as a ceremony of a few tasks.
// What kind of plan it is, is asked too.
func planRoom(dir string) (*ui.Room, error) { return interviewRoom(dir, "") }

// revokeRoom is the interview of an emergency, which goes on to the ceremony.
func revokeRoom(dir string) (*ui.Room, error) { return interviewRoom(dir, ceremony.Revoke) }

func interviewRoom(dir, kind string) (*ui.Room, error) {
	if err := planFree(dir, kind); err != nil {
		return nil, err
	}
	return &ui.Room{Desk: &planDesk{dir: dir, kind: kind, chosen: true}, NoRecord: true}, nil
}

// planDesk writes a plan, and checks it.
type planDesk struct {
	dir, kind string // kind "": it is asked
	done      bool
	planned   bool // a plan was written: in an emergency none may be needed
	real      bool // of a ceremony that can be held
	checked   bool
	chosen    bool // on the first screen, from which one goes on
}

func (p *planDesk) file() string { return filepath.Join(p.dir, ceremony.PlanFile) }

func (p *planDesk) Tasks() []ceremony.Task {
	state := func(done bool) ceremony.TaskState {
		if done {
			return ceremony.Done
		}
		return ceremony.Ready
	}
	tasks := []ceremony.Task{{ID: "plan", Title: "Write the plan", State: state(p.done)}}
	if p.kind == ceremony.Revoke {
		tasks[0].Title = "Say what has happened"
	}
	if p.planned {
		tasks = append(tasks, ceremony.Task{ID: "check", Title: "Check the plan", State: state(p.checked), Optional: true})
	}
	return tasks
}

func (p *planDesk) Next() (ceremony.Task, bool) {
	tasks := p.Tasks()
	next := tasks[len(tasks)-1]
	return next, next.State != ceremony.Done
}

// Then leads from an emergency's plan to its ceremony.
func (p *planDesk) Then() func() (*ui.Room, error) {
	if p.kind != ceremony.Revoke || !p.real || !p.chosen {
		return nil
	}
	return func() (*ui.Room, error) { return realRoom(p.dir) }
}

func (p *planDesk) Header() string {
	if p.kind == ceremony.Revoke {
		return "emergency: a plan in " + p.dir
	}
	return "a new plan in " + p.dir
}

func (p *planDesk) Dir() string { return p.dir }

func (p *planDesk) Close() error { return nil }

var errNotBegun = errors.New("nothing is recorded before a ceremony has begun")

func (p *planDesk) Note(string) error { return errNotBegun }

func (p *planDesk) Exception(string, string, string) error { return errNotBegun }

// Run asks for the plan and writes it, or checks it.
func (p *planDesk) Run(ctx context.Context, id string, a ceremony.Attendant) error {
	if id == "check" {
		return p.check(ctx, a)
	}
	kind := p.kind
	if kind == "" {
		var err error
		if kind, err = a.Choose(ctx, ceremony.Prompt{ID: "plan.kind", Question: "What is the plan for?"}, []ceremony.Choice{
			{Key: ceremony.Create, Label: "a first root: people and keys are new"},
			{Key: ceremony.Rotate, Label: "the next root: people, keys or the expiry change"},
			{Key: ceremony.Revoke, Label: "an emergency: a token or a key is lost, stolen or seen"},
		}); err != nil {
			return err
		}
	}
	come, err := ceremony.Interview(ctx, a, p.dir, kind, clock())
	if err != nil {
		return err
	}
	if err := come.Write(p.dir); err != nil {
		return err
	}
	p.kind, p.done, p.planned = kind, true, come.Files[ceremony.PlanFile] != nil
	if plan, err := ceremony.ReadPlan(p.file()); p.planned && err == nil { // it may miss a key
		p.real = plan.Real() == nil
	}
	return a.Tell(ctx, come.After)
}

// check says what the plan that was written would make.
func (p *planDesk) check(ctx context.Context, a ceremony.Attendant) error {
	plan, err := ceremony.ReadPlan(p.file())
	if err != nil {
		return err
	}
	resolved, err := plan.Resolve(clock())
	if err != nil {
		return err
	}
	p.checked = true
	return a.Tell(ctx, ceremony.Message{Title: "What the plan makes", Lines: ceremony.CheckPlan(resolved, clock()).Lines()})
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
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no folder for the rehearsal: %w (hint: name one: %s)", err, ceremony.Command("rehearse", "DIR"))
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "rootceremony"), nil
}

func freshRehearsal(state string) string {
	return filepath.Join(state, clock().UTC().Format("rehearsal-2006-01-02-150405"))
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
	state, err := stateFolder()
	if err != nil {
		return
	}
	if dir, err = filepath.Abs(dir); err != nil || strings.ContainsAny(dir, "\r\n") {
		return
	}
	list := slices.DeleteFunc(remembered(state), func(d string) bool { return d == dir })
	list = append([]string{dir}, list...)
	if os.MkdirAll(state, 0o700) != nil {
		return
	}
	file, err := plainfile.Open(filepath.Join(state, recentFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, maxRecentFile)
	if err != nil {
		return
	}
	_, _ = file.WriteString(strings.Join(list[:min(len(list), maxRecent)], "\n") + "\n")
	_ = file.Close()
}

func remembered(state string) []string {
	text, err := plainfile.Read(filepath.Join(state, recentFile), maxRecentFile)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// recentCeremonies are those on the list, and the rehearsals in the state
// folder, the one that was last written to first.
func recentCeremonies() []ui.Recent {
	state, err := stateFolder()
	if err != nil {
		return nil
	}
	dirs := remembered(state)
	found, _ := filepath.Glob(filepath.Join(state, "rehearsal-*"))
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
