package ui

import (
	"context"
	"fmt"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ceremony/prompt"
	"rootceremony/ui/gate"
)

// env is what the screens are drawn with, and the time.
type env struct {
	styles styles
	glyphs glyphs
	ascii  bool
	clock  func() time.Time
	// tick returns a command that gives msg back after a while.
	tick func(after time.Duration, msg tea.Msg) tea.Cmd
}

func tick(after time.Duration, msg tea.Msg) tea.Cmd {
	return tea.Tick(after, func(time.Time) tea.Msg { return msg })
}

// model is the program. Screens and prompts are plain parts of it. Update does
// no input and output: what takes time is in commands, and commands change
// nothing here but by the messages they return.
type model struct {
	env
	jobs          Jobs
	keyboard      *keyboard
	attendant     *attendant
	tasks         *tasks // the goroutines of tasks
	width, height int

	start *start // the choice of a job; nil: the program was started for one room
	room  *room  // the ceremony that is being held; nil: none
	over  overlay
	flash string // one line about the last key; gone with the next

	mode    mode // of the gate, as it was last set or is being set
	seq     int
	armed   bool // it is set
	rearm   bool // an Enter has shut it, or what was typed is to be forgotten
	leaving bool // the program ends when the task does
	left    bool // people left before everything was done
	fault   error
}

// Quiet periods: how long a prompt is on the screen before keys count, and how
// long the keyboard has been quiet before an answer that cannot be taken back.
const (
	quietShown = 50 * time.Millisecond
	quietFinal = 300 * time.Millisecond
)

type (
	quietMsg struct{} // a quiet period may be over
	beatMsg  struct{} // time has passed while a task works
)

// Init looks at the recent ceremonies or the tokens.
func (m *model) Init() tea.Cmd {
	var cmd tea.Cmd
	if m.room != nil {
		cmd = m.room.begin(m)
	} else {
		cmd = m.start.look(m.jobs)
	}
	return tea.Batch(cmd, m.setGate())
}

// Update takes a message in.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	before := m.readable()
	cmd := m.update(msg)
	if !before && m.readable() {
		m.prompt().hide()
		m.rearm = true
	}
	if m.mode != m.wanted() || m.rearm {
		cmd = tea.Batch(cmd, m.setGate())
	}
	return m, cmd
}

func (m *model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyMsg:
		return m.key(msg)
	case armedMsg:
		return m.gateSet(msg)
	case burstMsg:
		m.rearm = true
		m.forget()
		m.flash = gate.RefusedBurst.Error()
	case droppedMsg:
		m.dropped()
	case hangupMsg:
		m.left = true
		m.cancel()
		return tea.Quit
	case tea.ResumeMsg:
		m.rearm = true
		m.forget()
	case notedMsg:
		m.noted(msg)
	case quietMsg:
	case recentMsg, openedMsg, lookedMsg:
		return m.start.update(m, msg)
	default:
		if m.room != nil {
			return m.room.update(m, msg)
		}
	}
	return nil
}

// wanted is what may be typed now.
func (m *model) wanted() mode {
	switch {
	case m.leaving, m.small():
		return nothing
	case m.over != nil:
		return m.over.mode()
	case m.room != nil:
		return m.room.mode(m)
	}
	return m.start.mode()
}

// setGate has the gate set to what is wanted. A prompt takes answers once that
// was done.
func (m *model) setGate() tea.Cmd {
	m.mode, m.armed, m.rearm = m.wanted(), false, false
	m.seq++
	if p := m.prompt(); p != nil && m.mode == secrets {
		p.stars = 0
	}
	return m.keyboard.arm(m.seq, m.mode)
}

func (m *model) gateSet(msg armedMsg) tea.Cmd {
	if msg.seq != m.seq {
		return nil
	}
	m.armed = true
	if msg.err != nil {
		m.fault = msg.err
		m.cancel()
		return tea.Quit
	}
	if p := m.prompt(); m.readable() && p.shown.IsZero() {
		p.shown, p.read = m.clock(), true
		return m.tick(p.quiet(), quietMsg{})
	}
	return nil
}

// prompt is the prompt that is open, or nil.
func (m *model) prompt() *posed {
	if m.room == nil {
		return nil
	}
	return m.room.prompt
}

// readable reports whether a prompt is on the screen, to its end.
func (m *model) readable() bool {
	return m.prompt() != nil && m.over == nil && !m.small() && !m.room.unread(m)
}

// forget drops what was typed and not given as an answer.
func (m *model) forget() {
	if p := m.prompt(); p != nil {
		p.field.clear()
		p.hide()
	}
	if m.over != nil {
		m.over.forget()
	}
	if m.start != nil {
		m.start.path.clear()
	}
}

// dropped says of what was typed that it was not taken: nothing is dropped
// without a word. What is said of a token's touch stays.
func (m *model) dropped() {
	p := m.prompt()
	switch {
	case m.flash == gate.RefusedBurst.Error():
	case !m.armed || m.mode != menu:
		m.flash = tooEarly
	case m.over != nil || p == nil:
		m.flash = "not taken: no text is asked for here"
	case m.room.unread(m):
		m.flash = "not taken: read on first, with Enter or PgDn"
	case len(p.choices) > 0:
		m.flash = "not taken: choose with Up and Down, then Enter"
	case p.kind == press:
		m.flash = "not taken: Enter alone touches the token"
	default:
		m.flash = "not taken: nothing is to be typed here"
	}
}

const tooEarly = "not taken: it was typed too early (hint: type it again)"

// key takes a key where it belongs.
func (m *model) key(k tea.KeyMsg) tea.Cmd {
	if k.Type == tea.KeyCtrlBackslash && (m.mode != secrets || !m.armed) {
		m.dropped()
		return nil
	}
	letter := k.Type == tea.KeyRunes || k.Type == tea.KeySpace
	if letter && !m.armed && m.mode != secrets && (m.over != nil || m.prompt() == nil) {
		m.dropped() // typed ahead, or by a token
		return nil
	}
	m.flash = ""
	if k.Type == tea.KeyEnter {
		m.rearm = true
	}
	switch {
	case m.leaving && key.Matches(k, keymap.Leave):
		return tea.Quit
	case m.leaving:
		return nil
	case key.Matches(k, keymap.Stop):
		return m.stop()
	case key.Matches(k, keymap.Leave):
		return m.leave()
	case m.small():
		return nil
	case m.over != nil:
		return m.over.key(m, k)
	case key.Matches(k, keymap.Help) && (m.mode != letters || k.Type != tea.KeyRunes):
		m.open(newHelp(m.room))
		return nil
	case m.room != nil:
		return m.room.key(m, k)
	}
	return m.start.key(m, k)
}

// open puts a form or a page on top; close takes it away. The prompt below
// waits, and is then shown again.
func (m *model) open(o overlay) { m.over = o }

func (m *model) close() {
	m.over, m.rearm = nil, true
}

// stop gives the terminal back to the shell for a while.
func (m *model) stop() tea.Cmd {
	if !m.tasks.shell {
		m.flash = "there is no shell to go back to here"
		return nil
	}
	m.forget()
	return tea.Suspend
}

// leave ends the program, once a task that runs was asked about.
func (m *model) leave() tea.Cmd {
	if m.room != nil && m.room.run != nil {
		if _, asked := m.over.(*leave); asked {
			m.over = nil
			return m.end()
		}
		m.open(&leave{})
		return nil
	}
	return m.end()
}

// end ends the program when the task that runs has ended.
func (m *model) end() tea.Cmd {
	m.left = m.room != nil && m.room.unfinished()
	if m.room == nil || m.room.run == nil {
		return tea.Quit
	}
	m.leaving = true
	m.cancel()
	return nil
}

// cancel ends the context of the task that runs.
func (m *model) cancel() {
	if m.room != nil && m.room.run != nil {
		m.room.run.cancel()
	}
}

// overlay is what lies over a screen: help, a form, a question.
type overlay interface {
	mode() mode
	key(*model, tea.KeyMsg) tea.Cmd
	view(m *model, columns, rows int) []line
	keys() string // the key line
	forget()
}

// runTask does a task of a room in a goroutine of its own, which is this command.
func (m *model) runTask(r *room, t prompt.Task) tea.Cmd {
	ctx, cancel := context.WithCancel(context.Background())
	r.run = &running{task: t, cancel: cancel, since: m.clock()}
	a := *m.attendant
	a.list = func() list { return listOf(r.Room) }
	return tea.Batch(m.tick(beat, beatMsg{}), func() tea.Msg {
		defer cancel()
		if !m.tasks.begin() {
			return nil
		}
		defer m.tasks.end()
		r.readers.Lock()
		defer r.readers.Unlock()
		err := attempt(ctx, r.Desk, t.ID, &a)
		return endedMsg{r, t, err, a.list()}
	})
}

// attempt runs a task. One that panics has stopped, and the others go on.
func attempt(ctx context.Context, d prompt.Desk, id string, a prompt.Room) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the program has a defect: %v (hint: what was recorded is safe; begin the task again)", p)
		}
	}()
	return d.Run(ctx, id, a)
}

// beat is how often the screen of a task that works is drawn again.
const beat = 250 * time.Millisecond
