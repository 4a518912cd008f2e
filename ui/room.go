package ui

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"rootceremony/ceremony/prompt"
)

// room is the screen of a ceremony: the list of tasks, and the panel in which
// one of them speaks.
type room struct {
	*Room
	readers sync.Mutex // held by the task that runs, or by a look at the readers

	list   list
	cursor string // id of a task
	run    *running
	prompt *posed
	last   *posed             // that was answered; it comes back if the answer did not do
	told   []prompt.Message   // what the task has said since the last answer
	stale  bool               // told was answered: what comes next takes its place
	result string             // why the last task has stopped
	offset int                // lines of the panel above what is shown
	token  string             // what is in the reader
	look   context.CancelFunc // of the look at the readers that is under way
}

// running is the task that runs.
type running struct {
	task   prompt.Task
	cancel context.CancelFunc
	since  time.Time // the start, or the last answer
}

// endedMsg: a task has ended.
type endedMsg struct {
	room *room
	task prompt.Task
	err  error
	list list
}

type (
	pollMsg   struct{ room *room } // time to look at the readers
	readerMsg struct {             // what was in them
		room *room
		text string
	}
)

// begin asks how far the ceremony is.
func (r *room) begin(m *model) tea.Cmd {
	return tea.Batch(func() tea.Msg { return tasksMsg(listOf(r.Room)) }, r.poll(m))
}

// pollEvery is how often the readers are looked at between tasks.
const pollEvery = 2 * time.Second

func (r *room) poll(m *model) tea.Cmd {
	if r.Tokens.Plug != nil || r.Tokens.Start == nil {
		return nil
	}
	return m.tick(pollEvery, pollMsg{r})
}

// lookAtReaders opens a short session of its own, never beside a task's.
func (r *room) lookAtReaders() tea.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), pollEvery)
	r.look = cancel
	return func() tea.Msg {
		defer cancel()
		if !r.readers.TryLock() {
			return readerMsg{r, ""}
		}
		defer r.readers.Unlock()
		session, err := r.Tokens.Start(ctx)
		if err != nil {
			return readerMsg{r, ""}
		}
		defer session.Close()
		there, err := session.List()
		if err != nil {
			return readerMsg{r, ""}
		}
		return readerMsg{r, tokenText(there)}
	}
}

func (r *room) update(m *model, msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tasksMsg:
		r.setList(list(msg))
	case tellMsg:
		r.fresh()
		r.told = append(r.told, msg.message)
	case askMsg:
		r.ask(m, msg.question)
	case missingMsg:
		if r.prompt != nil && r.prompt.question == msg.question && r.prompt.missing != msg.text {
			r.prompt.missing = msg.text
			r.toEnd()
		}
	case withdrawMsg:
		if r.prompt != nil && r.prompt.question == msg.question {
			r.answered(m)
		}
	case tokenMsg:
		r.token = msg.text
	case beatMsg:
		if r.run != nil {
			return m.tick(beat, beatMsg{})
		}
	case pollMsg:
		if r.run == nil && msg.room == r {
			return r.lookAtReaders()
		}
		return r.poll(m)
	case readerMsg:
		if msg.room == r && r.run == nil {
			r.token = msg.text
		}
		return r.poll(m)
	case endedMsg:
		if msg.room == r {
			return r.ended(m, msg)
		}
	}
	return nil
}

// setList takes in how far the ceremony is; between tasks the next one is
// chosen.
func (r *room) setList(l list) {
	r.list = l
	if r.run == nil {
		r.cursor = l.next
		if l.next == "" && len(l.tasks) > 0 {
			r.cursor = l.tasks[len(l.tasks)-1].ID
		}
	}
}

// fresh begins a new page in the panel, if the last one was answered.
func (r *room) fresh() {
	if r.stale {
		r.told, r.stale, r.offset = nil, false, 0
	}
}

func (r *room) ask(m *model, q *question) {
	p := &posed{question: q, missing: q.refused}
	if q.kind == confirm || q.kind == choose { // the key that reads on must not be the answer too
		p.cursor = -1
	}
	if q.again && r.last != nil {
		r.stale = false                        // the page is the same
		p.cursor, p.read = r.last.cursor, true // an answer was given, so it was read
		if q.kind == text {
			p.field = r.last.field
		}
	}
	r.fresh()
	r.prompt = p
	r.toEnd()
	m.rearm = true
}

// toEnd shows the end of a page that was read, where the refusal stands.
func (r *room) toEnd() {
	if r.prompt.read {
		r.offset = math.MaxInt
	}
}

// answered takes the prompt away.
func (r *room) answered(m *model) {
	r.last, r.prompt, r.stale = r.prompt, nil, true
	if r.run != nil {
		r.run.since = m.clock()
	}
}

func (r *room) ended(m *model, msg endedMsg) tea.Cmd {
	if r.stale { // all that the task has said was answered
		r.told = nil
	}
	r.run, r.prompt, r.last, r.stale = nil, nil, nil, true
	if msg.err != nil && r.Tokens.Plug == nil {
		r.token = "" // it may be out of the reader: the next look tells
	}
	switch {
	case m.leaving:
		if !errors.Is(msg.err, prompt.ErrBack) && !errors.Is(msg.err, prompt.ErrLeft) && !errors.Is(msg.err, context.Canceled) {
			m.fault = msg.err
		}
		r.setList(msg.list)
		m.left = r.unfinished()
		return tea.Quit
	case msg.err == nil && len(r.told) == 0:
		r.told = []prompt.Message{{Title: r.name(msg.task), Text: []string{"Done."}}}
	case errors.Is(msg.err, prompt.ErrBack), errors.Is(msg.err, context.Canceled):
		r.told = nil
		r.result = "You left the task. What was recorded stays recorded."
		if r.Notebook == nil {
			r.result = "You left the task. Its answers were not kept."
		}
	case msg.err != nil:
		r.told = nil
		r.result = r.name(msg.task) + " has stopped: " + msg.err.Error()
		if strings.HasPrefix(msg.err.Error(), msg.task.Title) { // it names the holder too
			r.result = "The task has stopped: " + msg.err.Error()
		}
	}
	r.offset = 0
	r.setList(msg.list)
	if msg.err != nil {
		r.cursor = msg.task.ID
	}
	if r.list.next == msg.task.ID && msg.err == nil {
		r.told, r.result = nil, "" // it is to be taken again
	}
	if _, asked := m.over.(*leave); asked {
		m.close()
	}
	return nil
}

func (r *room) mode(m *model) mode {
	switch {
	case r.unread(m):
		return menu
	case r.prompt != nil:
		return r.prompt.mode()
	case r.run != nil:
		return nothing
	}
	return menu
}

// unfinished reports whether something that is needed is left.
func (r *room) unfinished() bool { return r.list.next != "" && r.list.needed || r.run != nil }

func (r *room) key(m *model, k tea.KeyMsg) tea.Cmd {
	switch {
	case r.Notebook == nil && key.Matches(k, keymap.Note, keymap.Exception):
		m.flash = "nothing is recorded before a ceremony has begun"
		return nil
	case key.Matches(k, keymap.Note):
		m.open(newNote())
		return nil
	case key.Matches(k, keymap.Exception):
		m.open(newException())
		return nil
	case r.scroll(m, k):
		return nil
	case r.prompt != nil && key.Matches(k, keymap.Back):
		if r.Notebook == nil { // the answers are lost
			m.open(&leave{task: true})
			return nil
		}
		r.back(m)
		return nil
	case r.prompt != nil:
		cmd, done := r.prompt.key(m, k)
		if done {
			r.answered(m)
		}
		return cmd
	case r.run != nil:
		if key.Matches(k, keymap.Back) {
			m.flash = "the task is at work; it will ask again, and ^C leaves"
		}
		return nil
	}
	return r.listKey(m, k)
}

// back leaves the task at its question, if that is still open.
func (r *room) back(m *model) {
	if r.prompt != nil {
		r.prompt.answers <- answer{err: prompt.ErrBack}
		r.answered(m)
	}
}

// unread reports whether the end of what is asked about was not shown yet. The
// question comes with the end: what is asked about is read first.
func (r *room) unread(m *model) bool {
	if r.prompt == nil || r.prompt.read || r.prompt.kind == hidden {
		return false
	}
	lines, foot, _ := r.asked(m)
	return len(lines) > m.rows()-len(foot)-1
}

// scroll takes the keys that move the panel, and reports whether k was one.
func (r *room) scroll(m *model, k tea.KeyMsg) bool {
	unread := r.unread(m)
	lines, _, rows := r.layout(m)
	most := max(len(lines)-rows, 0)
	page := max(rows-1, 1)
	arrows := unread || r.prompt != nil && len(r.prompt.choices) == 0 && r.prompt.kind != hidden
	step := 0
	switch {
	case key.Matches(k, keymap.PageUp):
		step = -page
	case key.Matches(k, keymap.PageDown), (unread || r.idle() && r.offset < most) && key.Matches(k, keymap.Enter, keymap.Space):
		step = page
	case arrows && key.Matches(k, keymap.Up):
		step = -1
	case arrows && key.Matches(k, keymap.Down):
		step = 1
	case unread && !key.Matches(k, keymap.Back):
		m.flash = "read on first: Enter or PgDn"
		return true
	default:
		return false
	}
	r.offset = min(max(min(r.offset, most)+step, 0), most)
	if unread && r.offset == most { // the question appears, which takes room
		r.prompt.read = true
		lines, _, rows = r.layout(m)
		r.offset = max(len(lines)-rows, 0)
	}
	return true
}

// idle reports whether the list of tasks waits for people.
func (r *room) idle() bool { return r.prompt == nil && r.run == nil }

// pages are what the panel shows: what the task has said, and what it asks or
// has asked last.
func (r *room) pages() []prompt.Message {
	switch {
	case r.prompt != nil:
		return append(slices.Clone(r.told), r.prompt.prompt.Message)
	case r.stale && r.last != nil:
		return append(slices.Clone(r.told), r.last.prompt.Message)
	}
	return r.told
}

// columnsOf is the width of the list, and of the panel beside it. There is no
// list where the panel needs the whole screen: for a wide page, or for the
// refusal and the question to be seen together.
func (r *room) columnsOf(m *model) (left, right int) {
	left = min(max(27, m.width/4), 36)
	right = m.width - left - 3
	pages := r.pages()
	if slices.ContainsFunc(pages, func(p prompt.Message) bool { return wide(p, right) }) || r.prompt != nil &&
		len(wrap(r.prompt.refusal(), right))+1+len(r.prompt.foot(m, right, m.rows()-2)) > m.rows() {
		return 0, m.width - 2
	}
	return left, right
}

// layout is the panel's text, what stands fixed below it, and how many rows
// there are for the text.
func (r *room) layout(m *model) (lines, foot []line, rows int) {
	if r.unread(m) {
		text, _, columns := r.asked(m)
		then := set(dim, "  then: "+r.prompt.prompt.Question).fit(columns)
		return text, []line{then}, max(m.rows()-2, 1)
	}
	lines, foot, _ = r.asked(m)
	return lines, foot, max(m.rows()-len(foot)-1, 1)
}

// asked is the panel's text and what stands below it once the text was read,
// in columns columns.
func (r *room) asked(m *model) (lines, foot []line, columns int) {
	_, columns = r.columnsOf(m)
	title := ""
	for _, page := range r.pages() {
		if page.Title == title {
			page.Title = ""
		} else {
			title = page.Title
		}
		if len(lines) > 0 {
			lines = append(lines, nil)
		}
		lines = append(lines, body(page, columns)...)
	}
	switch {
	case r.prompt != nil:
		for i, s := range wrap(r.prompt.refusal(), columns) {
			if i == 0 && len(lines) > 0 {
				lines = append(lines, nil)
			}
			lines = append(lines, set(warn, s))
		}
		foot = r.prompt.foot(m, columns, m.rows()-2)
	case r.run != nil:
		foot = []line{m.progress(r.run.since, columns)}
	default:
		foot = r.listFoot(columns)
	}
	return lines, foot, columns
}

// view draws the screen between header and key line.
func (r *room) view(m *model, height int) []line {
	left, columns := r.columnsOf(m)
	lines, foot, rows := r.layout(m)
	offset := min(r.offset, max(len(lines)-rows, 0))
	shown := lines[offset:min(len(lines), offset+rows)]
	panel := make([]line, 0, height)
	panel = append(panel, shown...)
	more := line(nil)
	if below := len(lines) - offset - len(shown); below > 0 {
		word := "lines"
		if below == 1 {
			word = "line"
		}
		keys := "PgDn"
		if r.unread(m) || r.idle() { // elsewhere Enter is an answer
			keys = "Enter or PgDn"
		}
		more = line{{fmt.Sprintf("%s %d more %s: %s", m.glyphs.down, below, word, keys), accent}}
	} else if r.unread(m) {
		more = line{{m.glyphs.down + " the question: Enter or PgDn", accent}}
	} else if offset > 0 {
		more = line{{m.glyphs.up + " PgUp: read again", dim}}
	}
	// The question stands below what it is about, and at the bottom where that
	// is long.
	for more != nil && len(panel) < rows {
		panel = append(panel, nil)
	}
	panel = append(panel, more)
	panel = append(panel, foot...)
	if len(panel) > height {
		panel = panel[len(panel)-height:]
	}
	for len(panel) < height {
		panel = append(panel, nil)
	}
	if left == 0 {
		for i := range panel {
			panel[i] = append(line{{" ", plain}}, panel[i]...)
		}
		return panel
	}
	list := r.listView(&m.env, left, height)
	for i := range panel {
		l := line(nil)
		if i < len(list) {
			l = list[i]
		}
		l = append(l.fit(left), span{" " + m.glyphs.bar + " ", dim})
		panel[i] = append(l, panel[i].fit(columns)...)
	}
	return panel
}

// keys is the key line.
func (r *room) keys(m *model) string {
	if r.Notebook == nil {
		return strings.NewReplacer("   ^N note   ^X exception", "", ", nothing is lost", "").Replace(r.allKeys(m))
	}
	return r.allKeys(m)
}

func (r *room) allKeys(m *model) string {
	const always = "   ^N note   ^X exception"
	switch {
	case r.prompt == nil && r.run != nil:
		return "Working" + always + "   F1 help   ^C leave, nothing is lost"
	case r.prompt == nil && m.start != nil:
		return "Enter go on" + always + "   ? help   Esc back   ^C leave"
	case r.prompt == nil:
		return "Enter go on" + always + "   ? help   ^C leave, nothing is lost"
	case r.unread(m):
		return "Enter, PgDn read on   PgUp back" + always + "   ? help   Esc back"
	case len(r.prompt.choices) > 0:
		return "Up, Down choose   Enter go on   ^N note   ^X exception   ? help   Esc back"
	case r.prompt.mode() == menu:
		return "Enter go on" + always + "   ? help   Esc back   ^C leave"
	}
	return "Enter go on" + always + "   F1 help   Esc back   ^C leave"
}
