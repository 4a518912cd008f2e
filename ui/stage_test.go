package ui

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"

	"rootceremony/ceremony/prompt"
	"rootceremony/ui/gate"
)

var update = flag.Bool("update", false, "write the golden frames again")

// tb is what the stage wants of a test; rapid's have it too.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// stage is the program without Bubble Tea and without a terminal: keys go
// through the gate into Update, and every frame is looked at.
type stage struct {
	t       tb
	m       *model
	keys    *os.File // typing goes in here
	in      *os.File
	now     time.Time
	msgs    chan tea.Msg
	quit    bool
	secrets []string // that no frame may show
	seen    map[*question]time.Time
	typed   []stroke // since the question that is open was first shown
	of      *question
	covered bool // it is not shown now
	burst   bool // the keyboard has told of one
}

type stroke struct {
	msg   tea.KeyMsg
	early bool // the question could not be read yet
}

func newStage(t tb, o Options) *stage {
	in, keys, err := os.Pipe()
	if err != nil {
		t.Fatalf("%v", err)
	}
	g, err := gate.New(in)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s := &stage{t: t, keys: keys, in: in, now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), msgs: make(chan tea.Msg, 64), seen: map[*question]time.Time{}, covered: true}
	e := env{styles: newStyles(termenv.Ascii), glyphs: asciiGlyphs, ascii: true, clock: func() time.Time { return s.now }}
	// Time passes when the stage says so.
	e.tick = func(time.Duration, tea.Msg) tea.Cmd { return nil }
	s.m = newModel(o, g, e)
	s.m.tasks.shell = true
	s.m.attendant.send = func(msg tea.Msg) { s.msgs <- msg }
	s.m.attendant.after = func(time.Duration) <-chan time.Time { return nil }
	s.m.keyboard.send = func(msg tea.Msg) {
		if _, ok := msg.(burstMsg); ok { // from Read, which press calls
			s.burst = true
			return
		}
		s.msgs <- msg
	}
	s.m.width, s.m.height = 80, 24
	s.do(s.m.Init())
	return s
}

// close ends the tasks that run.
func (s *stage) close() {
	s.m.cancel()
	done := s.m.tasks.ended()
	for {
		select {
		case <-s.msgs:
		case <-done:
			_ = s.keys.Close()
			_ = s.in.Close()
			_ = s.m.keyboard.Close()
			return
		}
	}
}

// do runs a command as Bubble Tea does, in a goroutine of its own.
func (s *stage) do(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	go func() {
		switch msg := cmd().(type) {
		case nil:
		case tea.BatchMsg:
			for _, c := range msg {
				s.do(c)
			}
		default:
			s.msgs <- msg
		}
	}()
}

func (s *stage) update(msg tea.Msg) {
	if _, ok := msg.(tea.QuitMsg); ok {
		s.quit = true
		return
	}
	_, cmd := s.m.Update(msg)
	s.do(cmd)
	s.look()
}

// until takes messages in until is holds.
func (s *stage) until(what string, is func() bool) {
	s.t.Helper()
	late := time.After(2 * time.Minute)
	for !is() {
		select {
		case msg := <-s.msgs:
			s.update(msg)
		case <-late:
			s.t.Fatalf("%s: this does not happen\n%s", what, s.m.View())
		}
	}
}

// settle waits until the program waits for people: the gate is set, and no
// task works.
func (s *stage) settle() {
	s.t.Helper()
	s.until("waiting for people", func() bool {
		busy := s.m.start != nil && s.m.start.busy || s.m.room != nil && (s.m.room.list.header == "" || s.m.room.run != nil && s.m.room.prompt == nil)
		if f, ok := s.m.over.(*form); ok {
			busy = busy || f.recorded
		}
		return s.quit || s.m.armed && !busy && len(s.msgs) == 0
	})
}

// pass lets time pass.
func (s *stage) pass(d time.Duration) {
	s.now = s.now.Add(d)
	s.update(quietMsg{})
}

// ready waits until a prompt takes answers.
func (s *stage) ready() {
	s.t.Helper()
	s.settle()
	s.pass(quietFinal)
}

// keyBytes are what terminals send.
var keyBytes = []struct {
	bytes string
	msg   tea.KeyMsg
}{
	{"\x1b[A", tea.KeyMsg{Type: tea.KeyUp}}, {"\x1b[B", tea.KeyMsg{Type: tea.KeyDown}},
	{"\x1b[5~", tea.KeyMsg{Type: tea.KeyPgUp}}, {"\x1b[6~", tea.KeyMsg{Type: tea.KeyPgDown}},
	{"\x1bOP", tea.KeyMsg{Type: tea.KeyF1}}, {"\x1b[D", tea.KeyMsg{Type: tea.KeyLeft}},
	{"\x1b\x03", tea.KeyMsg{Type: tea.KeyCtrlC, Alt: true}}, {"\x1b", tea.KeyMsg{Type: tea.KeyEsc}},
	{"\n", tea.KeyMsg{Type: tea.KeyEnter}}, {" ", tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}}}, {"\x7f", tea.KeyMsg{Type: tea.KeyBackspace}},
	{"\x0e", tea.KeyMsg{Type: tea.KeyCtrlN}}, {"\x18", tea.KeyMsg{Type: tea.KeyCtrlX}}, {"\x03", tea.KeyMsg{Type: tea.KeyCtrlC}},
	{"\x1a", tea.KeyMsg{Type: tea.KeyCtrlZ}}, {"\x1c", tea.KeyMsg{Type: tea.KeyCtrlBackslash}}, {"\x15", tea.KeyMsg{Type: tea.KeyCtrlU}},
}

// press types keys through the gate.
func (s *stage) press(keys string) {
	s.t.Helper()
	if _, err := s.keys.WriteString(keys); err != nil {
		s.t.Fatalf("%v", err)
	}
	for read := 0; read < len(keys); {
		var p [256]byte
		n, err := s.m.keyboard.Read(p[:min(len(p), len(keys)-read)])
		if err != nil {
			s.t.Fatalf("%v", err)
		}
		read += min(len(p), len(keys)-read)
		if s.burst { // it was sent before Read returned
			s.burst = false
			s.update(burstMsg{})
		}
		s.deliver(string(p[:n]))
	}
}

func (s *stage) deliver(passed string) {
	for passed != "" {
		msg, n := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(passed)[:1]}, len(string([]rune(passed)[:1]))
		for _, k := range keyBytes {
			if strings.HasPrefix(passed, k.bytes) {
				msg, n = k.msg, len(k.bytes)
				break
			}
		}
		passed = passed[n:]
		early := s.covered || s.now.Sub(s.seen[s.of]) < s.m.prompt().quiet()
		s.typed = append(s.typed, stroke{msg, early})
		s.update(msg)
	}
}

// look checks what holds for every frame, and keeps in mind since when a
// question is shown.
func (s *stage) look() {
	s.t.Helper()
	frame := s.m.View()
	lines := strings.Split(frame, "\n")
	if len(lines) > s.m.height {
		s.t.Fatalf("%d lines on %d rows:\n%s", len(lines), s.m.height, frame)
	}
	for _, l := range lines {
		if width(l) > s.m.width {
			s.t.Fatalf("a line is %d wide on %d columns: %q", width(l), s.m.width, l)
		}
	}
	for _, secret := range s.secrets {
		if strings.Contains(frame, secret) {
			s.t.Fatalf("a frame shows a secret:\n%s", frame)
		}
	}
	if strings.ContainsFunc(frame, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
		s.t.Fatalf("a frame has more than ASCII: %q", frame)
	}
	if s.m.room != nil && s.m.room.Rehearsal && s.m.width > 10 && !strings.Contains(frame, "REHEARSAL") {
		s.t.Fatalf("a frame of a rehearsal does not say so:\n%s", frame)
	}
	p := s.m.prompt()
	if p == nil || s.m.over != nil || s.m.small() || s.m.room.unread(s.m) {
		s.covered = true
		return
	}
	if s.of != p.question {
		s.of, s.typed, s.covered = p.question, nil, true
	}
	if s.covered {
		s.covered, s.seen[p.question] = false, s.now
	}
}

// golden compares the frame to a file.
func (s *stage) golden(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	var b strings.Builder
	for l := range strings.SplitSeq(s.m.View(), "\n") {
		b.WriteString(strings.TrimRight(l, " ") + "\n")
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s: the frame is\n%s\nand was\n%s", name, &b, want)
	}
}

// desk is a ceremony whose tasks the test writes.
type desk struct {
	mu     sync.Mutex
	header string
	alarm  string
	tasks  []prompt.Task
	do     map[string]func(context.Context, prompt.Room) error
	notes  []string
	fails  error // of notes
}

func (d *desk) Tasks() []prompt.Task {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]prompt.Task(nil), d.tasks...)
}

func (d *desk) Next() (prompt.Task, bool) {
	for _, t := range d.Tasks() {
		if t.State == prompt.Ready {
			return t, true
		}
	}
	return prompt.Task{}, false
}

func (d *desk) set(id string, state prompt.TaskState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.tasks {
		if d.tasks[i].ID == id {
			d.tasks[i].State = state
		}
	}
}

func (d *desk) Run(ctx context.Context, id string, a prompt.Room) error {
	err := d.do[id](ctx, a)
	if err == nil {
		d.set(id, prompt.Done)
	}
	return err
}

func (d *desk) Header() string { return d.header }

func (d *desk) Alarm() string { return d.alarm }

func (d *desk) Note(text string, private bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if private {
		text = "private: " + text
	}
	d.notes = append(d.notes, text)
	return d.fails
}

func (d *desk) Exception(expected, happened, decided string, private bool) error {
	return d.Note(fmt.Sprintf("exception: %s / %s / %s", expected, happened, decided), private)
}

// newDesk is a ceremony of three holders in which Alice's task is do.
func newDesk(do func(context.Context, prompt.Room) error) *desk {
	return &desk{header: "Example packages, create root v1",
		tasks: []prompt.Task{
			{ID: "preflight", Title: "Check the laptop", State: prompt.Done},
			{ID: "agree", Title: "Agree the plan", State: prompt.Done},
			{ID: "enrol alice", Group: "Holders", Title: "Alice Costa", State: prompt.Ready},
			{ID: "enrol bruno", Group: "Holders", Title: "Bruno Ferraz", State: prompt.Ready, Reason: "PIN"},
			{ID: "enrol chen", Group: "Holders", Title: "Chen \x1b[31mWei", State: prompt.Ready},
			{ID: "review", Title: "Review root v1", State: prompt.Blocked, Reason: "waits for the keys of Alice, Bruno and Chen"},
			{ID: "sign alice", Group: "Sign", Title: "Alice Costa", State: prompt.Blocked, Reason: "waits for the review"},
			{ID: "sign bruno", Group: "Sign", Title: "Bruno Ferraz", State: prompt.Blocked, Reason: "waits for the review"},
			{ID: "sign chen", Group: "Sign", Title: "Chen Wei", State: prompt.Blocked, Reason: "waits for the review"},
			{ID: "publish", Title: "Verify and publish", State: prompt.Blocked, Reason: "has 0 of 2 signatures"},
		},
		do: map[string]func(context.Context, prompt.Room) error{
			"enrol alice": do,
			"enrol bruno": func(context.Context, prompt.Room) error { return nil },
			"enrol chen": func(context.Context, prompt.Room) error {
				return errors.New("token 20 456 123 was pulled out (hint: insert it again)")
			},
		}}
}

func inRoom(d *desk) Options { return Options{Room: &Room{Desk: d, Notebook: d, Rehearsal: true}} }

// begin starts Alice's task.
func (s *stage) begin() {
	s.t.Helper()
	s.settle()
	s.press("\n")
	s.ready()
}
