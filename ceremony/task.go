package ceremony

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
)

// Tasks lists what is done, what can be done now and what waits, in the order
// of the runbook.
func (d *Desk) Tasks() []prompt.Task {
	s := d.State()
	if d.only != nil {
		return d.startTask(d.only())
	}
	tasks := []prompt.Task{
		{ID: "preflight", Title: "Check the laptop", State: DoneIf(s.Preflight != nil), Do: d.preflight},
		{ID: "agree", Title: "Agree the plan", State: DoneIf(s.Plan != nil), Do: d.agree},
	}
	if s.Preflight == nil {
		tasks[1].Block("waits for the check of the laptop")
	}
	if s.Plan == nil {
		return tasks
	}
	for _, alarm := range s.OpenAlarms() {
		tasks = append(tasks, d.alarmTask(alarm))
	}
	for _, h := range s.Plan.Holders {
		if only := s.Begun.Enrols; (only == "" || only == h.ID) && s.Enrols(h) {
			tasks = append(tasks, d.enrolTask(s.Holders[h.ID]))
		}
	}
	if s.Draft == nil && s.HandedOver == nil && slices.ContainsFunc(tasks, func(t prompt.Task) bool { return t.Group == prompt.GroupHolders && t.Reason != "" }) {
		tasks = append(tasks, prompt.Task{ID: "restart", Group: prompt.GroupHolders, Title: "Start a holder over", State: prompt.Ready, Optional: true, Aside: true,
			Reason: "token lost, broken or blocked", Do: d.startOver})
	}
	if s.Begun.Enrols != "" {
		return append(tasks, d.handOverTask())
	}
	if s.Plan.Backup != nil {
		tasks = append(tasks, d.backupTasks()...)
	}
	if s.Plan.Backup != nil && !s.Plan.Unseen && len(s.Restorable()) > 0 {
		tasks = append(tasks, prompt.Task{ID: "restore", Group: prompt.GroupBackups, Title: "Restore from one", State: prompt.Ready, Optional: true, Aside: true,
			Reason: "token lost or broken, PIN forgotten", Do: d.restore})
	}
	tasks = append(append(tasks, d.rollCallTasks(state.CallReview)...), d.reviewTask())
	for _, h := range s.Signers() {
		tasks = append(tasks, d.signTask(h))
	}
	if s.Draft != nil && s.Published == nil && !s.Enough() {
		tasks = append(tasks, prompt.Task{ID: "abandon", Group: prompt.GroupSign, Title: "Abandon the draft", State: prompt.Ready, Optional: true, Aside: true,
			Reason: "it must not become a root", Do: d.abandon})
	}
	for _, ab := range s.Abandoned {
		if s.Resumable(ab) == nil {
			t := d.resumeTask(ab)
			blockAlarmed(&t, s.Alarmed())
			tasks = append(tasks, t)
		}
	}
	tasks = append(tasks, d.publishTask())
	for _, drop := range s.Plan.Drops {
		tasks = append(tasks, d.retireTask(s.Holders[drop.ID]))
	}
	return d.startTask(append(tasks, d.sealTask(), d.checkpointsTask(), d.sumsTask(), d.carryTask()))
}

// Next is the task to take now: the first that is ready and needed, before it
// is too late the optional ones, and the ones that end the ceremony last.
func (d *Desk) Next() (prompt.Task, bool) {
	tasks := d.Tasks()
	for _, wanted := range []func(prompt.Task) bool{
		func(t prompt.Task) bool { return !t.Optional && t.Group != prompt.GroupEnd },
		func(t prompt.Task) bool { return t.Optional },
		func(t prompt.Task) bool { return true },
	} {
		i := slices.IndexFunc(tasks, func(t prompt.Task) bool { return t.State == prompt.Ready && !t.Aside && wanted(t) })
		if i >= 0 {
			return tasks[i], true
		}
	}
	return prompt.Task{}, false
}

func DoneIf(done bool) prompt.TaskState {
	if done {
		return prompt.Done
	}
	return prompt.Ready
}

func (d *Desk) enrolTask(h *state.Holder) prompt.Task {
	s, id := d.State(), h.Holder.ID
	t := prompt.Task{ID: "enrol " + id, Group: prompt.GroupHolders, Title: h.Holder.Name, State: DoneIf(s.Enrolled(h))}
	t.Do = func(ctx context.Context, a prompt.Room) error { return d.visit(a, id).enrol(ctx) }
	if h.OfTrusted() {
		t.Do = func(ctx context.Context, a prompt.Room) error { return d.visit(a, id).meet(ctx) }
	}
	switch {
	case t.State == prompt.Done && s.Plan.Backup != nil:
		t.Reason = "PIN"
	case t.State == prompt.Done:
		t.Reason = "key"
	case h.Collected != nil:
		t.Reason = "made elsewhere, to be confirmed"
		t.Do = func(ctx context.Context, a prompt.Room) error { return d.visit(a, id).confirm(ctx) }
	case h.Open != nil:
		t.Reason = "was interrupted"
	case h.Partial:
		t.Reason = "the token must be wiped"
	case h.Proved != nil:
		t.Reason = "key; the log is not signed yet"
	case h.Key != nil:
		t.Reason = "key, not yet proved"
	case h.Prepared != nil:
		t.Reason = "PIN"
	}
	return t
}

// backupTasks stand between the holders and the review where there are backups.
func (d *Desk) backupTasks() []prompt.Task {
	s := d.State()
	var tasks []prompt.Task
	for _, r := range s.Plan.Backup.Recipients {
		tasks = append(tasks, d.recipientTask(r))
	}
	tasks = append(tasks, d.rollCallTasks(state.CallBackups)...)
	for _, h := range s.Plan.Holders {
		if h.Custody != agreed.Existing {
			tasks = append(tasks, d.keyTask(s.Holders[h.ID]))
		}
	}
	for _, h := range s.Plan.Holders {
		if h.Spare {
			tasks = append(tasks, d.spareTask(s.Holders[h.ID]))
		}
	}
	if s.Plan.Unseen {
		return tasks
	}
	return append(tasks, d.drillTask(), d.copiesTask())
}

func (d *Desk) keyTask(h *state.Holder) prompt.Task {
	id := h.Holder.ID
	t := prompt.Task{ID: "key " + id, Group: prompt.GroupKeys, Title: h.Holder.Name, State: DoneIf(h.Proved != nil && h.Vouched())}
	t.Do = func(ctx context.Context, a prompt.Room) error { return d.visit(a, id).key(ctx) }
	missing, unsigned := d.State().RecipientsMissing(), d.State().RecipientsUnsigned()
	switch {
	case t.State == prompt.Done && h.Key.Imported:
		t.Reason = "key, backup"
	case t.State == prompt.Done:
		t.Reason = "key"
	case len(missing) > 0:
		t.Block("waits for " + tuf.Listed(missing, "and") + " to show that they open backups")
	case len(unsigned) > 0:
		t.Block("waits for " + tuf.Listed(unsigned, "and") + " to sign the log")
	case h.Prepared == nil:
		t.Block("waits for the token")
	case h.Key == nil && d.callWaits(state.CallBackups) != "":
		t.Block(d.callWaits(state.CallBackups))
	case h.Open != nil:
		t.Reason = "was interrupted"
	case h.Proved != nil:
		t.Reason = "key; the log is not signed yet"
	case h.Key != nil:
		t.Reason = "key, not yet proved"
	}
	blockAlarmed(&t, d.State().AlarmAtSealing())
	return t
}

// blockAlarmed has a task wait for the end of an alarm.
func blockAlarmed(t *prompt.Task, alarm error) {
	if alarm != nil {
		t.Block("waits: " + agreed.OneLine(alarm.Error()))
	}
}

func (d *Desk) reviewTask() prompt.Task {
	s := d.State()
	t := prompt.Task{ID: "review", Title: fmt.Sprintf("Review root v%d", s.Plan.Version), State: DoneIf(s.Reviewed != nil), Do: d.review}
	if missing := s.Names(func(h *state.Holder) bool { return !h.Counts() || !h.Vouched() }); len(missing) > 0 {
		t.Block("waits for the keys of " + tuf.Listed(missing, "and"))
	}
	if s.Plan.Backup != nil && (!s.Drilled() || !s.CopiedEnough()) {
		t.Block("waits for the drill and the copies of the backups")
	}
	if err := cmp.Or(s.AbandonedOpen(), s.AnotherDraft()); err != nil {
		t.Block("waits: " + err.Error())
	}
	if waits := d.callWaits(state.CallReview); t.State == prompt.Ready && waits != "" {
		t.Block(waits)
	}
	if lost := s.TooFew(""); len(lost) > 0 {
		t.Block("too few are left to open the backups of " + tuf.Listed(lost, "and") + ": take the task Start a holder over for them")
	}
	blockAlarmed(&t, s.Alarmed())
	if t.State == prompt.Ready && s.Differs() {
		t.Reason = "a second machine showed other words"
	}
	return t
}

func (d *Desk) signTask(h *state.Holder) prompt.Task {
	s, id := d.State(), h.Holder.ID
	t := prompt.Task{ID: "sign " + id, Group: prompt.GroupSign, Title: h.Holder.Name, State: DoneIf(s.Draft != nil && h.Signature != nil && h.Signature.Digest == s.Draft.Digest),
		Optional: s.Enough() || s.CannotHelp(h)}
	t.Do = func(ctx context.Context, a prompt.Room) error { return d.visit(a, id).sign(ctx) }
	if s.Reviewed == nil {
		t.Block("waits for the review")
	}
	if s.Sealed != nil {
		t.Block("the ceremony was sealed without it")
	}
	if s.Draft != nil && t.State != prompt.Done {
		if err := cmp.Or(s.MaySign(h), s.AbandonedOpen()); err != nil {
			t.Block(agreed.OneLine(err.Error()))
		}
	}
	if waits := d.callWaits(state.CallReview); d.noPaper.Load() && t.State == prompt.Ready && waits != "" {
		t.Block(waits)
	}
	blockAlarmed(&t, s.Alarmed())
	if h.Holder.Custody == agreed.Dropped && t.State == prompt.Ready {
		t.Reason, t.Aside = "counts for the old root only", t.Optional
	}
	if t.State == prompt.Ready && h.Open != nil {
		t.Reason = "was interrupted"
	}
	return t
}

func (d *Desk) publishTask() prompt.Task {
	s := d.State()
	t := prompt.Task{ID: "publish", Title: "Verify and publish", State: DoneIf(s.Published != nil), Do: d.publish}
	if s.Differs() {
		t.Block("waits for the review: a second machine showed other words")
	} else if !s.Enough() {
		t.Block(tooFewText(s))
	} else if err := s.AbandonedOpen(); err != nil {
		t.Block(agreed.OneLine(err.Error()))
	}
	blockAlarmed(&t, s.Alarmed())
	return t
}

// tooFewText says how many signatures there are of how many.
func tooFewText(s *state.State) string {
	if counts := s.Counts(); len(counts) == 2 {
		return fmt.Sprintf("waits for signatures: has %d of %d for the old root, and %d of %d for the new one", counts[0].Have, counts[0].Need, counts[1].Have, counts[1].Need)
	}
	return fmt.Sprintf("has %d of %d signatures", len(s.Signatures()), s.Plan.Threshold)
}

func (d *Desk) sealTask() prompt.Task {
	s := d.State()
	t := prompt.Task{ID: "seal", Group: prompt.GroupEnd, Title: "Seal the ceremony", State: DoneIf(s.Sealed != nil), Do: d.seal}
	if s.Published == nil {
		t.Block("waits for the root to be published")
	}
	return t
}

func (d *Desk) checkpointsTask() prompt.Task {
	s := d.State()
	likely, others := s.CheckpointSigners()
	done := s.SealSigned() && (s.CheckpointsWaived || len(likely)+len(others) == 0)
	t := prompt.Task{ID: "checkpoints", Group: prompt.GroupEnd, Title: "Sign the log", State: DoneIf(s.Closed != nil || done), Do: d.checkpoints}
	if t.State == prompt.Ready && s.SealSigned() {
		t.Reason, t.Optional, t.Aside = "others may sign it too", true, true
	}
	if s.Sealed == nil {
		t.Block("waits for the seal")
	}
	return t
}

func (d *Desk) sumsTask() prompt.Task {
	s := d.State()
	t := prompt.Task{ID: "sums", Group: prompt.GroupEnd, Title: "Write SHA256SUMS", State: DoneIf(s.Closed != nil), Do: d.sums}
	if !s.SealSigned() {
		t.Block("waits for a holder to sign the log")
	}
	return t
}

// Status says in a few lines where the ceremony stands.
func (d *Desk) Status() []string {
	marks := map[prompt.TaskState]string{prompt.Done: "[x]", prompt.Ready: "[ ]", prompt.Blocked: " - "}
	s := d.State()
	lines := []string{d.Header()}
	if s.Begun != nil && s.Begun.Rehearsal {
		lines[0] = "REHEARSAL: " + lines[0]
	}
	if s.Plan != nil && s.Plan.Unseen && s.Begun.Enrols == "" {
		lines = append(lines, transcript.PrivateDir+"/ is not here: nothing is said of what was done with backups, nor of media")
	}
	for _, t := range d.Tasks() {
		line := marks[t.State] + " " + t.Label()
		if t.Reason != "" {
			line += " (" + t.Reason + ")"
		}
		lines = append(lines, line)
	}
	if s.Published == nil {
		for _, fact := range CountFacts(s) {
			lines = append(lines, strings.ToLower(fact.Label)+": "+fact.Value)
		}
	}
	if force := s.InForce(); force != nil && !s.Begun.Rehearsal {
		if soon := tuf.Soon(force.Expires, d.clock()); soon != "" {
			lines = append(lines, fmt.Sprintf("root v%d %s", force.Version, soon))
		}
	}
	for _, ab := range s.Abandoned {
		lines = append(lines, fmt.Sprintf("abandoned: draft %.8s, %d signatures: %s", ab.Draft.Digest, len(ab.Signed), ab.Why))
	}
	for _, a := range s.Alarms {
		line := "alarm: " + s.AlarmText(a)
		if a.Ended != 0 {
			line += fmt.Sprintf(": ended (line %d)", a.Ended)
		}
		lines = append(lines, line)
	}
	if len(s.OpenAlarms()) == 0 && d.Alarm() != "" {
		lines = append(lines, d.Alarm())
	}
	for _, name := range d.damaged {
		lines = append(lines, "damaged: "+name+" is gone, or was changed after it was sealed: put it back from one of the copies")
	}
	next, ok := d.Next()
	switch {
	case s.Finished():
		lines = append(lines, "finished: the root is in "+s.Published.File.Name)
		lines = append(lines, Labels(s)...)
	case s.Closed != nil:
		lines = append(lines, "closed, but not carried to media: the root is in "+s.Published.File.Name)
		lines = append(lines, Labels(s)...)
		if s.Previous == state.TypeCarryIntended {
			lines = append(lines, "the log ends with what goes to a medium: this is the copy on it, or the carrying was cut off")
		}
		lines = append(lines, "next: "+next.ID)
	case s.HandedOver != nil:
		lines = append(lines, "finished: what the ceremony collects is "+s.HandedOver.File.Name)
		for _, fact := range digitFacts(ofFile, s.HandedOver.File.SHA256) {
			lines = append(lines, "  "+fact.Label+": "+fact.Value)
		}
		card := cardLine(s, s.Holders[s.Begun.Enrols], true)
		lines = append(lines, card.Where+": "+card.Words())
	case ok:
		lines = append(lines, "next: "+next.ID)
	}
	return lines
}

// Alarm is a line about an alarm that is open; "": none is.
func (d *Desk) Alarm() string {
	s := d.State()
	if s.Plan == nil {
		return ""
	}
	if open := s.OpenAlarms(); len(open) > 0 {
		return fmt.Sprintf("ALARM: token %s, %s, is not as in the log (line %d)", agreed.SerialText(open[0].Serial), s.Holders[open[0].Holder].Holder.Name, open[0].Line)
	}
	if s.PaperDiffers != 0 {
		return fmt.Sprintf("ALARM: no state of this log has the words on the paper (line %d)", s.PaperDiffers)
	}
	for _, what := range []state.CallFor{state.CallBackups, state.CallReview} {
		if differ := s.CalledAs(what, state.CallDiffers); len(differ) > 0 {
			return "ALARM: card or token says other keys than the log: " + tuf.Listed(s.CalledBy(differ), "and")
		}
	}
	return ""
}

// Header is one line that says which ceremony this is.
func (d *Desk) Header() string {
	s := d.State()
	if s.Plan != nil && s.Begun.Enrols != "" {
		return fmt.Sprintf("%s, enrolment of %s", s.Plan.Name, s.Holders[s.Begun.Enrols].Holder.Name)
	}
	if s.Plan != nil {
		return fmt.Sprintf("%s, %s root v%d", s.Plan.Name, s.Plan.Kind, s.Plan.Version)
	}
	return "root ceremony"
}
