// Package ui is the terminal UI: a Bubble Tea program that shows the tasks of
// a ceremony on the left, one task with one question on the right, and the
// keys at the bottom. 80 columns and 24 rows are enough.
//
// Tasks run in goroutines of their own and speak to it through
// prompt.Room. Secrets are typed below it, behind a gate: no key of
// theirs reaches Bubble Tea or this package.
package ui

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/sys/unix"

	"rootceremony/ceremony/prompt"
	"rootceremony/ui/gate"
	"rootceremony/ui/quiet"
)

func init() { quiet.Restore() }

// Notebook takes what people want to have in the record, for everyone or in its
// private part.
type Notebook interface {
	Note(text string, private bool) error
	Exception(expected, happened, decided string, private bool) error
}

// Room is a ceremony that can be held. With Tokens.Plug nil and Tokens.Start
// not, the readers are looked at between tasks.
type Room struct {
	prompt.Desk
	Notebook  Notebook // nil: nothing is recorded here, and no notes are offered
	Tokens    prompt.Tokens
	Rehearsal bool                    // every frame says so
	Close     func() error            // nil: there is nothing to close
	Words     func() []prompt.Written // shown under help; nil: none
	// Then opens the room that this one leads to, once nothing that is needed is
	// left; nil, or what it returns is nil: there is none.
	Then func() func() (*Room, error)
}

func (r *Room) close() error {
	if r.Close == nil {
		return nil
	}
	return r.Close()
}

// ErrElsewhere ends Run, where a job's error wraps it: another program holds what was
// chosen.
var ErrElsewhere = errors.New("another program holds it")

// Jobs open what is chosen at the start. Folders are as people typed them.
type Jobs struct {
	Rehearse func(dir string) (*Room, error) // "": a fresh folder
	Plan     func(dir string) (*Room, error)
	Revoke   func(dir string) (*Room, error)
	Run      func(dir string) (*Room, error)
	Restore  func(dir string) (*Room, error)
	Checkup  func(dir string) (*Room, error)
	Status   func(dir string) ([]string, error)
	Recent   func() []Recent // the latest first
}

// Recent is a ceremony that was held or begun here.
type Recent struct {
	Dir       string
	Name      string // one line: which ceremony it is
	Text      string // one line: how far it is, and where
	Rehearsal bool
	Finished  bool
}

// Options are what the program is started with.
type Options struct {
	In, Out *os.File // terminals
	Clock   func() time.Time
	Room    *Room // nil: a job is chosen first
	Jobs    Jobs  // where Room is nil
}

// Usable tells why the terminal UI cannot be used, or nil.
func Usable(in, out *os.File) error {
	for _, f := range []*os.File{in, out} {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
			return errors.New("this is no terminal")
		}
	}
	if term := os.Getenv("TERM"); term == "dumb" || term == "" {
		return fmt.Errorf("the terminal %q cannot draw screens", term)
	}
	return nil
}

// tasks counts the goroutines of tasks that run.
type tasks struct {
	shell bool // there is one to which ^Z can go back

	mu      sync.Mutex
	running sync.WaitGroup
	over    bool // none begins any more
}

// begin reports whether a task may begin; then end is called at its end.
func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.running.Add(1)
	}
	return !t.over
}

func (t *tasks) end() { t.running.Done() }

// ended lets no task begin any more, and is closed when those that run have
// ended.
func (t *tasks) ended() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	done := make(chan struct{})
	go func() { t.running.Wait(); close(done) }()
	return done
}

// endGrace is how long the program waits for a task that was cancelled.
const endGrace = 5 * time.Second

// Run shows the UI until people leave it. It returns the room that was open
// then, if any, closed unless it is the one it was given, and
// ceremony.ErrLeft where something that is needed is left to do.
func Run(o Options) (*Room, error) {
	g, err := gate.New(o.In)
	if err != nil {
		return nil, err
	}
	m := newModel(o, g, newEnv(os.Getenv, o.Clock))
	if size, err := unix.IoctlGetWinsize(int(o.Out.Fd()), unix.TIOCGWINSZ); err == nil {
		m.width, m.height = int(size.Col), int(size.Row)
	}
	p := tea.NewProgram(m, tea.WithInput(m.keyboard), tea.WithOutput(o.Out), tea.WithAltScreen(), tea.WithFPS(120), tea.WithoutBracketedPaste(), tea.WithoutSignalHandler())
	m.keyboard.send, m.attendant.send = p.Send, p.Send

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGHUP, unix.SIGTERM, unix.SIGINT)
	defer signal.Stop(signals)
	ended := make(chan struct{})
	go func() {
		select {
		case <-signals:
			p.Send(hangupMsg{})
		case <-ended:
		}
	}()
	_, err = p.Run()
	close(ended)
	m.cancel()
	select {
	case <-m.tasks.ended():
	case <-time.After(endGrace):
		if err == nil {
			err = errors.New("the task did not end; what was recorded is safe")
		}
	}
	_ = g.Close()
	return m.outcome(o, err)
}

// newEnv is how screens are drawn on the terminal that the environment tells of.
func newEnv(getenv func(string) string, clock func() time.Time) env {
	e := env{styles: newStyles(profile(getenv)), glyphs: asciiGlyphs, ascii: true, clock: clock, tick: tick}
	if unicodeLocale(getenv) {
		e.glyphs, e.ascii = unicodeGlyphs, false
	}
	return e
}

func newModel(o Options, g *gate.Gate, e env) *model {
	m := &model{env: e, jobs: o.Jobs, tasks: &tasks{shell: hasShell()}, keyboard: &keyboard{Gate: g}, attendant: &attendant{gate: g, after: time.After}}
	if o.Room != nil {
		m.room = &room{Room: o.Room}
	} else {
		m.start = &start{}
	}
	return m
}

// outcome is what Run returns after the program has ended.
func (m *model) outcome(o Options, err error) (*Room, error) {
	if m.room == nil {
		return nil, errors.Join(err, m.fault)
	}
	if o.Room == nil {
		err = errors.Join(err, m.room.close())
	}
	if err = errors.Join(err, m.fault); err == nil && m.left {
		err = prompt.ErrLeft
	}
	return m.room.Room, err
}

// goOn leaves a room for the one it leads to.
func (m *model) goOn(then func() (*Room, error)) tea.Cmd {
	room := m.room.Room
	m.room, m.start.busy = nil, true
	return func() tea.Msg {
		if err := room.close(); err != nil {
			return openedMsg{nil, err}
		}
		next, err := then()
		return openedMsg{next, err}
	}
}

// closeRoom goes back to the choice of a job.
func (m *model) closeRoom() tea.Cmd {
	room := m.room.Room
	if m.room.look != nil {
		m.room.look()
	}
	m.room, m.start.busy = nil, true // nothing else opens before this is closed
	return func() tea.Msg { return openedMsg{nil, room.close()} }
}

// hasShell reports whether somebody waits for this process to stop and lets it go
// on: the parent is in the same session, and in another process group. Others
// cannot be stopped by ^Z.
func hasShell() bool {
	parent := unix.Getppid()
	session, err := unix.Getsid(0)
	if err != nil {
		return false
	}
	theirs, err := unix.Getsid(parent)
	if err != nil || theirs != session {
		return false
	}
	group, err := unix.Getpgid(parent)
	return err == nil && group != unix.Getpgrp()
}
