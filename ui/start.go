package ui

import (
	"errors"
	"fmt"
	"slices"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
)

// job is something that can be chosen at the start.
type job struct {
	label    string
	question string // what is asked before it begins; "": nothing
	open     func(Jobs, string) (*Room, error)
	look     func(Jobs, string) ([]string, error)
}

var jobList = []job{
	{label: "Rehearse on virtual tokens", question: "Folder of the rehearsal (Enter alone: a fresh one)",
		open: func(j Jobs, dir string) (*Room, error) { return j.Rehearse(dir) }},
	{label: "Write a new plan", question: "Folder of the ceremony, in which the plan is written",
		open: func(j Jobs, dir string) (*Room, error) { return j.Plan(dir) }},
	{label: "Run a ceremony, or go on with one", question: "Folder of the ceremony",
		open: func(j Jobs, dir string) (*Room, error) { return j.Run(dir) }},
	{label: "Emergency: a token or a key is lost, stolen or seen", question: "Folder for the plan of the way out (it is made with the last answer, if there is none; before that nothing is written)",
		open: func(j Jobs, dir string) (*Room, error) { return j.Revoke(dir) }},
	{label: "Restore from a backup: a token is lost, or a PIN forgotten", question: "Folder of the ceremony that made the backup",
		open: func(j Jobs, dir string) (*Room, error) { return j.Restore(dir) }},
	{label: "Check up: do tokens, PINs and backups still work?", question: "Folder of the ceremony",
		open: func(j Jobs, dir string) (*Room, error) { return j.Checkup(dir) }},
	{label: "Look at how far a ceremony is", question: "Folder of the ceremony",
		look: func(j Jobs, dir string) ([]string, error) { return j.Status(dir) }},
}

// start is the screen on which a job is chosen.
type start struct {
	recent []Recent
	listed bool // recent is what was found
	cursor int  // in recent, and then in jobs
	job    *job
	path   field
	busy   bool
	said   string   // why it did not open
	lines  []string // how far a ceremony is
	offset int
}

type (
	recentMsg []Recent
	openedMsg struct {
		room *Room
		err  error
	}
	lookedMsg struct {
		lines []string
		err   error
	}
)

// look finds the recent ceremonies.
func (s *start) look(j Jobs) tea.Cmd {
	return func() tea.Msg { return recentMsg(j.Recent()) }
}

func (s *start) mode() mode {
	switch {
	case s.busy:
		return nothing
	case s.job != nil && s.lines == nil:
		return letters
	}
	return menu
}

func (s *start) update(m *model, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case recentMsg:
		s.setRecent(msg)
	case openedMsg:
		if errors.Is(msg.err, ErrElsewhere) {
			m.fault = msg.err
			return tea.Quit
		}
		s.busy = false
		if msg.err != nil {
			s.said = msg.err.Error()
			return nil
		}
		if msg.room == nil { // there is nothing to go on to
			return s.look(m.jobs)
		}
		m.room = &room{Room: msg.room}
		s.job, s.said = nil, ""
		s.path.clear()
		return m.room.begin(m)
	case lookedMsg:
		s.busy = false
		if msg.err != nil {
			s.said = msg.err.Error()
			return nil
		}
		s.lines, s.offset = msg.lines, 0
	}
	return nil
}

// setRecent keeps the cursor on what it marks, if that is still there.
func (s *start) setRecent(recent []Recent) {
	before, at := s.recent, s.cursor
	s.recent = recent
	switch {
	case !s.listed:
		s.listed, s.cursor = true, 0
	case at >= len(before):
		s.cursor = at - len(before) + len(recent)
	default:
		s.cursor = max(slices.IndexFunc(recent, func(r Recent) bool { return r.Dir == before[at].Dir }), 0)
	}
}

func (s *start) key(m *model, k tea.KeyMsg) tea.Cmd {
	if s.busy || !s.listed {
		return nil
	}
	switch {
	case s.lines != nil:
		s.read(m, k)
		return nil
	case s.job != nil:
		return s.typePath(m, k)
	}
	switch {
	case key.Matches(k, keymap.Up):
		s.cursor = max(s.cursor-1, 0)
	case key.Matches(k, keymap.Down):
		s.cursor = min(s.cursor+1, len(s.recent)+len(jobList)-1)
	case key.Matches(k, keymap.Enter):
		s.said = ""
		if s.cursor < len(s.recent) {
			return s.goOn(m.jobs, s.recent[s.cursor])
		}
		s.job = &jobList[s.cursor-len(s.recent)]
	case key.Matches(k, keymap.Back):
		m.flash = "^C leaves"
	}
	return nil
}

// goOn opens a recent ceremony; one that is finished is looked at.
func (s *start) goOn(j Jobs, r Recent) tea.Cmd {
	s.busy = true
	switch {
	case r.Finished:
		return func() tea.Msg { lines, err := j.Status(r.Dir); return lookedMsg{lines, err} }
	case r.Rehearsal:
		return func() tea.Msg { room, err := j.Rehearse(r.Dir); return openedMsg{room, err} }
	}
	return func() tea.Msg { room, err := j.Run(r.Dir); return openedMsg{room, err} }
}

// read scrolls what is shown of a ceremony.
func (s *start) read(m *model, k tea.KeyMsg) {
	page := max(m.height-8, 1) // view has one row more, which says that there is more
	most := max(len(s.wrapped(m.width-4))-page, 0)
	s.offset = min(s.offset, most)
	switch {
	case key.Matches(k, keymap.Up):
		s.offset = max(s.offset-1, 0)
	case key.Matches(k, keymap.Down):
		s.offset = min(s.offset+1, most)
	case key.Matches(k, keymap.PageUp):
		s.offset = max(s.offset-page, 0)
	case key.Matches(k, keymap.PageDown, keymap.Space):
		s.offset = min(s.offset+page, most)
	case key.Matches(k, keymap.Back, keymap.Enter):
		s.lines, s.job = nil, nil
		s.path.clear()
	}
}

// typePath takes the keys of the folder's name.
func (s *start) typePath(m *model, k tea.KeyMsg) tea.Cmd {
	switch {
	case key.Matches(k, keymap.Back):
		s.job, s.said = nil, ""
		s.path.clear()
	case key.Matches(k, keymap.Enter):
		dir, job, jobs := s.path.text(), s.job, m.jobs
		if dir == "" && job != &jobList[0] {
			s.said = "a folder is needed (Esc goes back)"
			return nil
		}
		s.busy, s.said = true, ""
		if job.look != nil {
			return func() tea.Msg { lines, err := job.look(jobs, dir); return lookedMsg{lines, err} }
		}
		return func() tea.Msg { room, err := job.open(jobs, dir); return openedMsg{room, err} }
	default:
		m.flash = s.path.key(k)
	}
	return nil
}

// wrapped is how far a ceremony is, in lines of the screen.
func (s *start) wrapped(columns int) []line {
	var all []line
	for _, text := range s.lines {
		for _, part := range hang(text, columns) {
			all = append(all, set(plain, part))
		}
	}
	return all
}

func (s *start) view(m *model, columns, rows int) []line {
	var lines []line
	add := func(l look, texts ...string) {
		for _, text := range texts {
			lines = append(lines, set(l, text))
		}
	}
	switch {
	case s.lines != nil:
		all := s.wrapped(columns)
		rows = max(m.height-8, 1)
		from := min(s.offset, max(len(all)-rows, 0))
		lines = slices.Clone(all[from:min(len(all), from+rows)])
		if below := len(all) - from - len(lines); below > 0 {
			lines = append(lines, set(accent, fmt.Sprintf("%s %d more: PgDn", m.glyphs.down, below)))
		}
		return lines
	case s.job != nil:
		add(strong, s.job.label)
		lines = append(lines, nil)
		add(plain, wrap(s.job.question, columns)...)
		lines = append(lines, s.path.view(m.glyphs, !s.busy && m.over == nil, columns))
	default:
		lines = s.choices(m, columns, rows-4)
	}
	if s.said != "" {
		lines = append(lines, nil)
		add(warn, wrap(s.said, columns)...)
	}
	if s.busy {
		lines = append(lines, nil)
		add(dim, "One moment.")
	}
	return lines
}

// choices lists recent ceremonies and jobs.
func (s *start) choices(m *model, columns, rows int) []line {
	var lines []line
	at := 0
	item := func(i int, text string) {
		mark, l := "  ", plain
		if i == s.cursor {
			mark, l = m.glyphs.here+" ", accent
			at = len(lines)
		}
		lines = append(lines, line{{mark, l}, {set(plain, text)[0].text, l}}.fit(columns))
	}
	if len(s.recent) > 0 {
		lines = append(lines, set(strong, "Go on with a ceremony"))
		for i, r := range s.recent {
			name := r.Name
			if r.Rehearsal {
				name = "REHEARSAL: " + name
			}
			item(i, name)
			lines = append(lines, set(dim, "    "+r.Text).fit(columns))
		}
		lines = append(lines, nil)
	}
	lines = append(lines, set(strong, "What is to be done?"))
	for i, j := range jobList {
		item(len(s.recent)+i, j.label)
	}
	from := min(max(0, at-rows/2), max(0, len(lines)-rows))
	return slices.Clone(lines[from:min(len(lines), from+rows)])
}

func (s *start) keys() string {
	switch {
	case s.lines != nil:
		return "Up, Down scroll   Enter back   ? help   ^C leave"
	case s.job != nil:
		return "Enter go on   F1 help   Esc back   ^C leave"
	}
	return "Up, Down choose   Enter go on   ? help   ^C leave"
}
