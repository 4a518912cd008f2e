package ceremony

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/tuf"
)

// Label names a task outside the list: "Sign: Alice Costa".
func (t Task) Label() string {
	if t.Group == "" || t.Group == groupEnd {
		return t.Title
	}
	return t.Group + ": " + t.Title
}

// TaskState says whether a task can be taken.
type TaskState string

// The states of a task.
const (
	Done    TaskState = "done"
	Ready   TaskState = "ready"
	Blocked TaskState = "blocked"
)

// Task is one step of the day, as people see it.
type Task struct {
	ID       string    `json:"id"`    // stable: "enrol alice"
	Group    string    `json:"group"` // tasks that stand together: "Holders"
	Title    string    `json:"title"` // what is to do: "Check the laptop"
	State    TaskState `json:"state"`
	Reason   string    `json:"reason,omitempty"`   // why it is blocked, or what is done of it
	Optional bool      `json:"optional,omitempty"` // the ceremony can end without it
	Aside    bool      `json:"aside,omitempty"`    // for when something went wrong: never next

	do func(context.Context, Attendant) error
}

// Tasks lists what is done, what can be done now and what waits, in the order
// of the runbook.
func (d *Desk) Tasks() []Task {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tasks()
}

// Next is the task to take now: the first that is ready and needed, before it
// is too late the optional ones, and the ones that end the ceremony last.
func (d *Desk) Next() (Task, bool) {
	tasks := d.Tasks()
	for _, wanted := range []func(Task) bool{
		func(t Task) bool { return !t.Optional && t.Group != groupEnd },
		func(t Task) bool { return t.Optional },
		func(t Task) bool { return true },
	} {
		i := slices.IndexFunc(tasks, func(t Task) bool { return t.State == Ready && !t.Aside && wanted(t) })
		if i >= 0 {
			return tasks[i], true
		}
	}
	return Task{}, false
}

const (
	groupHolders    = "Holders"
	groupRecipients = "Recipients"
	groupKeys       = "Keys"
	groupBackups    = "Backups"
	groupEnd        = "At the end"

	// GroupSign are the tasks in which holders sign.
	GroupSign = "Sign"
)

func (d *Desk) tasks() []Task {
	s := d.state
	if d.only != nil {
		return d.only()
	}
	tasks := []Task{
		{ID: "preflight", Title: "Check the laptop", State: doneIf(s.Preflight != nil), do: d.preflight},
		{ID: "agree", Title: "Agree the plan", State: doneIf(s.Plan != nil), do: d.agree},
	}
	if s.Preflight == nil {
		tasks[1].block("waits for the check of the laptop")
	}
	if s.Plan == nil {
		return tasks
	}
	for _, h := range s.Plan.Holders {
		if only := s.Begun.Enrols; (only == "" || only == h.ID) && s.enrols(h) {
			tasks = append(tasks, d.enrolTask(s.Holders[h.ID]))
		}
	}
	if s.Draft == nil && s.HandedOver == nil && slices.ContainsFunc(tasks, func(t Task) bool { return t.Group == groupHolders && t.Reason != "" }) {
		tasks = append(tasks, Task{ID: "restart", Group: groupHolders, Title: "Start a holder over", State: Ready, Optional: true, Aside: true,
			Reason: "token lost, broken or blocked", do: d.startOver})
	}
	if s.Begun.Enrols != "" {
		return append(tasks, d.handOverTask())
	}
	if s.Plan.Backup != nil {
		tasks = append(tasks, d.backupTasks()...)
	}
	if s.Plan.Backup != nil && len(s.restorable()) > 0 {
		tasks = append(tasks, Task{ID: "restore", Group: groupBackups, Title: "Restore from one", State: Ready, Optional: true, Aside: true,
			Reason: "token lost or broken, PIN forgotten", do: d.restore})
	}
	tasks = append(tasks, d.reviewTask())
	for _, h := range s.signers() {
		tasks = append(tasks, d.signTask(h))
	}
	if s.Draft != nil && s.Published == nil && !s.Enough() {
		tasks = append(tasks, Task{ID: "abandon", Group: GroupSign, Title: "Abandon the draft", State: Ready, Optional: true, Aside: true,
			Reason: "it must not become a root", do: d.abandon})
	}
	for _, ab := range s.Abandoned {
		if s.resumable(ab) == nil {
			tasks = append(tasks, d.resumeTask(ab))
		}
	}
	tasks = append(tasks, d.publishTask())
	for _, drop := range s.Plan.Drops {
		tasks = append(tasks, d.retireTask(s.Holders[drop.ID]))
	}
	return append(tasks, d.sealTask(), d.headsTask(), d.sumsTask(), d.carryTask())
}

func doneIf(done bool) TaskState {
	if done {
		return Done
	}
	return Ready
}

// block turns a task that is not done into one that waits.
func (t *Task) block(reason string) {
	if t.State != Done {
		t.State, t.Reason = Blocked, reason
	}
}

func (d *Desk) enrolTask(h *HolderState) Task {
	t := Task{ID: "enrol " + h.Holder.ID, Group: groupHolders, Title: h.Holder.Name, State: doneIf(d.state.enrolled(h))}
	t.do = func(ctx context.Context, a Attendant) error { return d.enrol(ctx, a, h.Holder.ID) }
	if h.ofTrusted() {
		t.do = func(ctx context.Context, a Attendant) error { return d.meet(ctx, a, h) }
	}
	switch {
	case t.State == Done && d.state.Plan.Backup != nil:
		t.Reason = "PIN"
	case t.State == Done:
		t.Reason = "key"
	case h.Collected != nil:
		t.Reason = "made elsewhere, to be confirmed"
		t.do = func(ctx context.Context, a Attendant) error { return d.confirm(ctx, a, h) }
	case h.Open != nil:
		t.Reason = "was interrupted"
	case h.Partial:
		t.Reason = "the token must be wiped"
	case h.Key != nil:
		t.Reason = "key, not yet proved"
	case h.Prepared != nil:
		t.Reason = "PIN"
	}
	return t
}

// enrols tells whether a holder has a first task: one whose key stays has
// nothing to do before signing, but to show that their token opens backups.
func (s *State) enrols(h Holder) bool {
	return h.Custody != Existing || s.Plan.Backup != nil && s.Plan.Backup.Holders
}

// enrolled tells whether a holder's first task is done: with backups the token
// is prepared, and opens them; without, its root key is proved.
func (s *State) enrolled(h *HolderState) bool {
	if b := s.Plan.Backup; b != nil {
		return h.Prepared != nil && h.Head != nil && (!b.Holders || s.Recipients[h.Holder.ID] != nil)
	}
	return h.counts() && (h.Head != nil || h.Collected != nil)
}

// backupTasks stand between the holders and the review where there are backups.
func (d *Desk) backupTasks() []Task {
	s := d.state
	var tasks []Task
	for _, r := range s.Plan.Backup.Recipients {
		tasks = append(tasks, d.recipientTask(r))
	}
	for _, h := range s.Plan.Holders {
		if h.Custody != Existing {
			tasks = append(tasks, d.keyTask(s.Holders[h.ID]))
		}
	}
	for _, h := range s.Plan.Holders {
		if h.Spare {
			tasks = append(tasks, d.spareTask(s.Holders[h.ID]))
		}
	}
	return append(tasks, d.drillTask(), d.copiesTask())
}

func (d *Desk) keyTask(h *HolderState) Task {
	t := Task{ID: "key " + h.Holder.ID, Group: groupKeys, Title: h.Holder.Name, State: doneIf(h.Proved != nil)}
	t.do = func(ctx context.Context, a Attendant) error { return d.key(ctx, a, h) }
	missing := d.state.recipientsMissing()
	switch {
	case t.State == Done && h.Key.Imported:
		t.Reason = "key, backup"
	case t.State == Done:
		t.Reason = "key"
	case len(missing) > 0:
		t.block("waits for " + listed(missing) + " to show that they open backups")
	case h.Prepared == nil:
		t.block("waits for the token")
	case h.Open != nil:
		t.Reason = "was interrupted"
	case h.Key != nil:
		t.Reason = "key, not yet proved"
	}
	return t
}

func (d *Desk) reviewTask() Task {
	s := d.state
	t := Task{ID: "review", Title: fmt.Sprintf("Review root v%d", s.Plan.Version), State: doneIf(s.Reviewed != nil), do: d.review}
	if missing := s.names(func(h *HolderState) bool { return !h.counts() }); len(missing) > 0 {
		t.block("waits for the keys of " + listed(missing))
	}
	if s.Plan.Backup != nil && (!s.drilled() || !s.copiedEnough()) {
		t.block("waits for the drill and the copies of the backups")
	}
	if err := cmp.Or(s.abandonedOpen(), s.anotherDraft()); err != nil {
		t.block("waits: " + err.Error())
	}
	if lost := s.tooFew(""); len(lost) > 0 {
		t.block("too few are left to open the backups of " + listed(lost) + ": take the task Start a holder over for them")
	}
	if t.State == Ready && s.differs() {
		t.Reason = "a second machine showed other words"
	}
	return t
}

func (d *Desk) signTask(h *HolderState) Task {
	s := d.state
	t := Task{ID: "sign " + h.Holder.ID, Group: GroupSign, Title: h.Holder.Name, State: doneIf(s.Draft != nil && h.Signature != nil && h.Signature.Digest == s.Draft.Digest),
		Optional: s.Enough() || s.cannotHelp(h)}
	t.do = func(ctx context.Context, a Attendant) error { return d.sign(ctx, a, h.Holder.ID) }
	if s.Reviewed == nil {
		t.block("waits for the review")
	}
	if s.Sealed != nil {
		t.block("the ceremony was sealed without it")
	}
	if s.Draft != nil && t.State != Done {
		if err := cmp.Or(s.maySign(h), s.abandonedOpen()); err != nil {
			t.block(oneLine(err.Error()))
		}
	}
	if h.Holder.Custody == Dropped && t.State == Ready {
		t.Reason, t.Aside = "counts for the old root only", t.Optional
	}
	if t.State == Ready && h.Open != nil {
		t.Reason = "was interrupted"
	}
	return t
}

func (d *Desk) publishTask() Task {
	s := d.state
	t := Task{ID: "publish", Title: "Verify and publish", State: doneIf(s.Published != nil), do: d.publish}
	if s.differs() {
		t.block("waits for the review: a second machine showed other words")
	} else if !s.Enough() {
		t.block(tooFewText(s))
	} else if err := s.abandonedOpen(); err != nil {
		t.block(oneLine(err.Error()))
	}
	return t
}

// tooFewText says how many signatures there are of how many.
func tooFewText(s *State) string {
	if counts := s.Counts(); len(counts) == 2 {
		return fmt.Sprintf("waits for signatures: has %d of %d for the old root, and %d of %d for the new one", counts[0].Have, counts[0].Need, counts[1].Have, counts[1].Need)
	}
	return fmt.Sprintf("has %d of %d signatures", len(s.Signatures()), s.Plan.Threshold)
}

// cannotHelp tells whether a signer's signature is not waited for: the roots for
// which it would count have enough, or the plan says that the key cannot sign.
func (s *State) cannotHelp(h *HolderState) bool {
	if h.Holder.Custody == Dropped {
		if reason := s.dropOf(h).Reason; reason == Lost || reason == Stolen {
			return true
		}
	}
	return s.Root != nil && !s.needed(h)
}

// needed tells whether a signature of the holder would count for a root that has
// too few yet.
func (s *State) needed(h *HolderState) bool {
	for _, report := range s.Counts() {
		counts := slices.ContainsFunc(report.Keys, func(k tuf.KeyResult) bool { return k.KeyID == h.keyID() })
		if counts && !report.Good() {
			return true
		}
	}
	return false
}

func (d *Desk) sealTask() Task {
	s := d.state
	t := Task{ID: "seal", Group: groupEnd, Title: "Seal the ceremony", State: doneIf(s.Sealed != nil), do: d.seal}
	if s.Published == nil {
		t.block("waits for the root to be published")
	}
	return t
}

func (d *Desk) headsTask() Task {
	s := d.state
	t := Task{ID: "heads", Group: groupEnd, Title: "Sign the log", State: doneIf(s.Closed != nil || s.sealedHead()), do: d.heads}
	if s.Sealed == nil {
		t.block("waits for the seal")
	}
	return t
}

func (d *Desk) sumsTask() Task {
	s := d.state
	t := Task{ID: "sums", Group: groupEnd, Title: "Write SHA256SUMS", State: doneIf(s.Closed != nil), do: d.sums}
	if !s.sealedHead() {
		t.block("waits for a holder to sign the log")
	}
	return t
}

// sealedHead tells whether a holder has signed the log with the seal in it.
func (s *State) sealedHead() bool {
	return s.Sealed != nil && (s.HeadsWaived || slices.ContainsFunc(s.signers(), func(h *HolderState) bool { return h.hasSigned(s.SealedAt) }))
}

// hasSigned tells whether the holder has signed the log with that event in it.
func (h *HolderState) hasSigned(seq int64) bool { return h.Head != nil && h.Head.Head.Seq >= seq }

// names lists the holders for whom is holds, in the plan's order.
func (s *State) names(is func(*HolderState) bool) []string {
	var names []string
	for _, h := range s.Plan.Holders {
		if is(s.Holders[h.ID]) {
			names = append(names, h.Name)
		}
	}
	return names
}

// listed joins names as people say them: "Alice, Bruno and Chen".
func listed(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// Status says in a few lines where the ceremony stands.
func (d *Desk) Status() []string {
	marks := map[TaskState]string{Done: "[x]", Ready: "[ ]", Blocked: " - "}
	lines := []string{d.Header()}
	if d.state.Begun != nil && d.state.Begun.Rehearsal {
		lines[0] = "REHEARSAL: " + lines[0]
	}
	for _, t := range d.Tasks() {
		line := marks[t.State] + " " + t.Label()
		if t.Reason != "" {
			line += " (" + t.Reason + ")"
		}
		lines = append(lines, line)
	}
	if d.state.Published == nil {
		for _, fact := range CountFacts(d.state) {
			lines = append(lines, strings.ToLower(fact.Label)+": "+fact.Value)
		}
	}
	for _, ab := range d.state.Abandoned {
		lines = append(lines, fmt.Sprintf("abandoned: draft %.8s, %d signatures: %s", ab.Draft.Digest, len(ab.Signed), ab.Why))
	}
	for _, name := range d.damaged {
		lines = append(lines, "damaged: "+name+" is gone, or was changed after it was sealed: put it back from one of the copies")
	}
	next, ok := d.Next()
	switch {
	case d.state.Finished():
		lines = append(lines, "finished: the root is in "+d.state.Published.File.Name)
		lines = append(lines, Labels(d.state)...)
	case d.state.Closed != nil:
		lines = append(lines, "closed, but not carried to media: the root is in "+d.state.Published.File.Name)
		lines = append(lines, Labels(d.state)...)
		if d.state.previous == TypeCarryIntended {
			lines = append(lines, "the log ends with what goes to a medium: this is the copy on it, or the carrying was cut off")
		}
		lines = append(lines, "next: "+next.ID)
	case d.state.HandedOver != nil:
		lines = append(lines, "finished: what the ceremony collects is "+d.state.HandedOver.File.Name)
		for _, fact := range digestFacts(ofFile, d.state.HandedOver.File.SHA256) {
			lines = append(lines, "  "+fact.Label+": "+fact.Value)
		}
	case ok:
		lines = append(lines, "next: "+next.ID)
	}
	return lines
}

// Header is one line that says which ceremony this is.
func (d *Desk) Header() string {
	s := d.state
	if s.Plan != nil && s.Begun.Enrols != "" {
		return fmt.Sprintf("%s, enrolment of %s", s.Plan.Name, s.Holders[s.Begun.Enrols].Holder.Name)
	}
	if s.Plan != nil {
		return fmt.Sprintf("%s, %s root v%d", s.Plan.Name, s.Plan.Kind, s.Plan.Version)
	}
	return "root ceremony"
}
