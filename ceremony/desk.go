// Package ceremony holds a ceremony. A Desk is one directory, one log and one
// process; a task is a straight line that reads like the runbook, one file a task.
//
// A task asks the state what is to do, speaks to people through a prompt.Room and
// to a token in a session of its own, and records each step: first the intention,
// then the act, what was read back, and the result. What was begun and has no
// result is settled by looking at the token. Everything that a ceremony has come
// to follows from its log, so that it can be left and gone on with at any moment.
package ceremony

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/seen"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// Names of files in the ceremony directory.
const (
	TokensDir = "rehearsal/tokens"
	// MemoryFile remembers what the tokens of a rehearsal were asked to sign.
	// It is the rehearsal's own, so that rehearsals do not bar one another; two
	// copies of one directory do not know of each other, which only a
	// rehearsal may leave so.
	MemoryFile = "rehearsal/signed.jsonl"
)

// Desk is a ceremony that is being held: one directory, one log, one process.
// Notes and exceptions may come from other goroutines while a task runs.
type Desk struct {
	dir        string
	program    string // name and version, for the log
	memory     string // Settings.Memory
	logs       string // the file that remembers how far logs have come; "": none does
	clock      func() time.Time
	tokens     prompt.Tokens
	enrols     *agreed.Plan          // the plan of an enrolment
	only       func() []prompt.Task  // what this desk does, where it is not the whole ceremony
	done       bool                  // that it did
	checkpoint transcript.Checkpoint // of LookAt, which has no log
	damaged    []string              // backup files that are gone or changed, by name
	before     atomic.Int64          // lines that this start has found, and that are still to be compared with the paper
	known      int64                 // how many of them this laptop remembers
	noPaper    atomic.Bool           // there was none
	owes       atomic.Bool           // a file could not be written, or its name not be synced
	saw        sync.Map              // how this run knows that keys are a holder's: state.CallHow by state.Holder.Card

	mu        sync.Mutex // of the log
	audited   *audit.Report
	log       *transcript.Log
	continued *state.Begun                // what the next event is to follow, without SHA256, where this start is not in the log yet
	state     atomic.Pointer[state.State] // what the log says; a new one for each event
}

// Settings are what a desk is opened with.
type Settings struct {
	Program   string
	Clock     func() time.Time
	Rehearsal bool
	Tokens    string // session.Backend kind
	// Roots and Intermediates are the certificates that the attestations in the
	// directory must lead to, until UseTokens.
	Roots, Intermediates []*x509.Certificate
	// Memory is the file that remembers what was signed on this laptop, as in
	// remote.CountersignSettings; "": a desk that signs no root, or remembers nothing
	// beyond its log. Beside it lies the one that remembers how far logs have come.
	Memory string
	// Enrols makes the desk one holder's enrolment for a ceremony that is held
	// elsewhere: the holder's id, and the plan that the ceremony has agreed.
	Enrols string
	Plan   *agreed.Plan
}

// OpenDesk begins the ceremony in dir, or goes on with it. The directory must
// be new, empty, hold a plan, or hold a ceremony. Nothing is changed when it
// fails, but for what opening a log repairs.
func OpenDesk(dir string, set Settings) (*Desk, error) {
	if set.Plan != nil {
		if err := set.Plan.Elsewhere(); err != nil {
			return nil, err
		}
	}
	if err := checkFolder(dir, set.Rehearsal || set.Enrols != ""); err != nil {
		return nil, err
	}
	d := &Desk{dir: dir, program: set.Program, memory: set.Memory, clock: set.Clock, enrols: set.Plan,
		tokens: prompt.Tokens{Roots: set.Roots, Intermediates: set.Intermediates}}
	if set.Memory != "" {
		d.logs = filepath.Join(filepath.Dir(set.Memory), seen.FileName)
	}
	read := 0 // lines
	log, err := transcript.Create(dir, set.Clock, func(log *transcript.Log) error {
		d.log, read = log, len(log.Events())
		return d.mayOpen(set)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := d.begin(set, log.Events()[read:]); err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return d, nil
}

// checkFolder refuses what is no ceremony directory, before anything is
// written to it.
func checkFolder(dir string, mayBeEmpty bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, transcript.FileName)); err == nil {
		return nil
	}
	_, err = os.Stat(filepath.Join(dir, state.PlanFile))
	if len(entries) > 0 && err != nil {
		return fmt.Errorf("%s is not a ceremony directory: it holds %s, but neither %s nor %s (hint: name a new or an empty directory, or write a plan there with %s)",
			dir, entries[0].Name(), transcript.FileName, state.PlanFile, agreed.Command("plan", dir))
	}
	if len(entries) == 0 && !mayBeEmpty {
		return fmt.Errorf("%s holds no %s (hint: write one with %s)", dir, state.PlanFile, agreed.Command("plan", dir))
	}
	return nil
}

// mayOpen reads the log, and refuses what this desk isn't for, or what isn't the
// ceremony as it was left. It changes nothing.
func (d *Desk) mayOpen(set Settings) error {
	now, err := state.Fold(d.log.Events())
	if err != nil && !strings.Contains(err.Error(), "(hint: ") {
		err = fmt.Errorf("%w (hint: the log was changed, or is of another version of this program: go on with another copy of the directory, such as one on a medium)", err)
	}
	if err != nil {
		return err
	}
	d.state.Store(now)
	if now.Begun != nil {
		if err := isFor(now.Begun, set, d.dir); err != nil {
			return err
		}
	}
	if err := d.checkClock(); err != nil {
		return err
	}
	if err := d.checkNewest(); err != nil {
		return err
	}
	return d.checkPlanUnchanged()
}

// isFor refuses a ceremony of another kind than what the desk is opened for.
func isFor(begun *state.Begun, set Settings, dir string) error {
	switch {
	case begun.Enrols != set.Enrols && set.Enrols == "":
		return fmt.Errorf("this is the enrolment of %s, made for another directory (hint: %s goes on with it, %s takes what it writes into the ceremony)",
			begun.Enrols, agreed.Command("enrol", "PLAN", "--holder", begun.Enrols), agreed.Command("collect", "DIR", "FILE"))
	case begun.Enrols != set.Enrols:
		return fmt.Errorf("this is not an enrolment of %s (hint: name another directory)", set.Enrols)
	case begun.Rehearsal && !set.Rehearsal:
		return fmt.Errorf("this is a rehearsal (hint: %s goes on with it)", agreed.Command("rehearse", dir))
	case !begun.Rehearsal && set.Rehearsal:
		return fmt.Errorf("this is a real ceremony, not a rehearsal (hint: %s goes on with it)", agreed.Command("run", dir))
	case begun.Tokens != set.Tokens:
		return fmt.Errorf("this is held on tokens of the kind %q, not %q (hint: omit --tokens to go on with it)", begun.Tokens, set.Tokens)
	}
	return nil
}

// begin begins the ceremony, or has the first event that follows say that it was gone
// on with: a start after which nothing is recorded leaves the log as it was. repaired
// are the events of the log's own repair.
func (d *Desk) begin(set Settings, repaired []transcript.Event) error {
	now := d.State()
	for _, e := range repaired {
		next, err := now.With(e)
		if err != nil {
			return err
		}
		now = next
		d.state.Store(now)
	}
	if d.logs != "" && len(d.log.Events()) > 0 {
		if err := seen.Remember(d.logs, d.head()); err != nil {
			return err
		}
	}
	if now.Begun != nil {
		if err := d.checkChanged(); err != nil {
			return err
		}
		if _, err := d.proved(); err != nil {
			return err
		}
	}
	if err := disk.RemoveUnfinished(d.dir); err != nil {
		return err
	}
	if err := d.mend(); err != nil {
		return err
	}
	start := state.Begun{Format: state.FormatVersion, Program: set.Program, Rehearsal: set.Rehearsal, Tokens: set.Tokens, Enrols: set.Enrols}
	if now.Begun == nil {
		return d.beginNew(start)
	}
	if now.Closed != nil || now.HandedOver != nil {
		return nil
	}
	d.continued = &start
	if now.Plan != nil && set.Enrols == "" {
		d.before.Store(int64(len(d.log.Events())))
	}
	return nil
}

func (d *Desk) beginNew(start state.Begun) error {
	if d.logs != "" {
		lines, err := seen.Lines(d.logs)
		if err != nil {
			return err
		}
		start.Private = state.Remembers{Memory: d.logs, Lines: lines}
	}
	var err error
	if start.SHA256, err = laptop.Program(); err != nil {
		return err
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	start.Random = hex.EncodeToString(random)
	if err := d.record(state.TypeBegun, "room", start); err != nil {
		return err
	}
	for _, aside := range d.log.Pending() {
		if err := d.record(transcript.TypeSetAside, "room", aside); err != nil {
			return err
		}
	}
	return nil
}

// checkClock refuses a clock that says less than the log: the times of the day
// would not be in order. A minute may be lost when a clock is set.
func (d *Desk) checkClock() error {
	events := d.log.Events()
	if len(events) == 0 {
		return nil
	}
	last, now := events[len(events)-1].Time, d.clock()
	if now.Before(last.Add(-time.Minute)) {
		return fmt.Errorf("this computer's clock says %s, and line %d of the log was written at %s (hint: set the clock, and compare it with another one; nothing was changed)", agreed.Stamp(now), len(events), agreed.Stamp(last))
	}
	return nil
}

// checkNewest refuses a log that isn't the newest that this laptop has written, as
// far as it remembers.
func (d *Desk) checkNewest() error {
	there := d.log.Checkpoint()
	if d.logs == "" || there.Size == 0 {
		return nil
	}
	known, err := seen.Newest(d.logs, d.log.Origin(), there.Size, func(size int64) string { return d.log.CheckpointAt(size).Root })
	d.known = known
	return err
}

// head is what is remembered of the log as it stands.
func (d *Desk) head() seen.Head {
	there := d.log.Checkpoint()
	return seen.Head{Origin: d.log.Origin(), Size: there.Size, Root: there.Root, Time: d.clock().UTC().Truncate(time.Second)}
}

// checkPlanUnchanged compares plan.toml and plan.resolved.json to what was
// agreed.
func (d *Desk) checkPlanUnchanged() error {
	if d.State().Plan == nil {
		return nil
	}
	if d.enrols != nil {
		if digest := d.enrols.Digest(); digest != d.State().Digest {
			return fmt.Errorf("the plan has the digest %s, and this enrolment was begun for %s (hint: name the same plan, or begin in another directory)", digest, d.State().Digest)
		}
	} else {
		text, err := transcript.ReadFile(filepath.Join(d.dir, state.PlanFile))
		if err != nil {
			return fmt.Errorf("the agreed plan cannot be read: %w", err)
		}
		if digest := agreed.DigestOf(text); digest != d.State().Plan.PlanSHA256 {
			return fmt.Errorf("%s was edited after it was agreed: its SHA-256 is %s, and was %s (hint: put the agreed file back, or hold another ceremony in another directory)",
				state.PlanFile, digest, d.State().Plan.PlanSHA256)
		}
	}
	resolved, err := transcript.ReadFile(filepath.Join(d.dir, state.ResolvedFile))
	if err == nil && agreed.DigestOf(resolved) != d.State().Digest {
		return fmt.Errorf("%s was edited after it was agreed (hint: remove it; the log holds the agreed one, and it will be written again)", state.ResolvedFile)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // which mend writes
		return err
	}
	if d.State().Plan.Unseen {
		return nil
	}
	private, err := transcript.ReadFile(filepath.Join(d.dir, state.PrivatePlanFile))
	switch events := d.log.Events(); {
	case errors.Is(err, fs.ErrNotExist) && events[len(events)-1].Type == state.TypePlanAgreed:
		return nil // the process that recorded it did not live to write it: mend does
	case err != nil:
		return fmt.Errorf("the private part of the agreed plan cannot be read: %w (hint: put %s back from a copy of the directory)", err, state.PrivatePlanFile)
	case !bytes.Equal(private, d.State().Plan.PrivateJSON()):
		return fmt.Errorf("%s was changed after it was agreed (hint: put it back from a copy of the directory)", state.PrivatePlanFile)
	}
	return nil
}

// LookAt returns a desk that only shows what a ceremony has come to, also while
// another process holds it. It takes no tasks, and records nothing.
func LookAt(dir string) (*Desk, error) {
	c, err := plan.ReadCeremony(dir)
	if err != nil {
		return nil, err
	}
	d := &Desk{dir: dir, checkpoint: c.Checkpoint}
	d.state.Store(c.State)
	return d, nil
}

// UseTokens gives the desk its readers. Nothing but a rehearsal shows PINs.
func (d *Desk) UseTokens(t prompt.Tokens) {
	if !d.State().Begun.Rehearsal {
		t.PIN = nil
	}
	d.tokens = t
}

// Tokens are the readers that the desk was given.
func (d *Desk) Tokens() prompt.Tokens { return d.tokens }

// Apart reports whether the desk restores or checks up, and does nothing else;
// Done, that it did.
func (d *Desk) Apart() bool { return d.only != nil }

// Done reports whether a desk that is Apart has done what it is for.
func (d *Desk) Done() bool { return d.done }

// Checkpoint is the checkpoint of the log as it stands.
func (d *Desk) Checkpoint() transcript.Checkpoint {
	if d.log == nil {
		return d.checkpoint
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Checkpoint()
}

// checkpointAt is the checkpoint of the log's first lines.
func (d *Desk) checkpointAt(size int64) transcript.Checkpoint {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.CheckpointAt(size)
}

// Close leaves the ceremony; another process may go on with it.
func (d *Desk) Close() error {
	if d.log == nil {
		return nil
	}
	return d.log.Close()
}

// State is what the ceremony has come to. It does not change: after the next event
// there is another one.
func (d *Desk) State() *state.State { return d.state.Load() }

// path is where a file of the ceremony directory is.
func (d *Desk) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

// Dir is the ceremony directory.
func (d *Desk) Dir() string { return d.dir }

// record writes an event, after which the state is another one. An event that does
// not fit the state is never written; where it cannot be written, the state stays.
func (d *Desk) record(kind, by string, data any) error {
	_, err := d.recorded(kind, by, data)
	return err
}

func (d *Desk) recorded(kind, by string, data any) (transcript.Event, error) {
	if d.log == nil {
		return transcript.Event{}, fmt.Errorf("%s was only looked at: nothing is recorded in it", d.dir)
	}
	// What follows from the lines so far is safe before the next one: a start mends
	// what lacks behind the last line alone.
	if d.owes.Swap(false) {
		if err := d.writeFromLog(); err != nil {
			d.owes.Store(true)
			return transcript.Event{}, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.continued != nil {
		// Which takes as long as all else of a start, and so isn't done before the first frame.
		var err error
		if d.continued.SHA256, err = laptop.Program(); err != nil {
			return transcript.Event{}, err
		}
		if _, err := d.append(state.TypeContinued, "room", *d.continued); err != nil {
			return transcript.Event{}, err
		}
		d.continued = nil
	}
	return d.append(kind, by, data)
}

// append writes one event, of which the log is held.
func (d *Desk) append(kind, by string, data any) (transcript.Event, error) {
	var next *state.State
	public, private := state.Parts(data)
	event, err := d.log.Append(kind, by, public, private, func(e transcript.Event) (err error) {
		next, err = d.State().With(e)
		return err
	})
	if err == nil {
		d.state.Store(next)
		d.sees(data)
		if d.logs != "" {
			_ = seen.Remember(d.logs, d.head()) // the log has it, and where this fails the next start says so
		}
	}
	return event, err
}

// logFailed is why nothing is recorded any more. Nothing is to be written then, either:
// the last line, which this process does not count, may be there for the next one, and
// what follows from the log would be something else.
func (d *Desk) logFailed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.log == nil {
		return nil
	}
	return d.log.Failed()
}

// intend records an intention, once there is room for its result too, and
// returns its number.
func (d *Desk) intend(kind, by string, data any) (int64, error) {
	d.mu.Lock()
	err := d.log.KeepRoom()
	d.mu.Unlock()
	if err != nil {
		return 0, err
	}
	event, err := d.recorded(kind, by, data)
	return event.Seq, err
}

// Note records what somebody wants to be remembered; private: in the private part of
// the record alone.
func (d *Desk) Note(text string, private bool) error {
	note := state.Note{Text: text}
	if private {
		note = state.Note{Private: state.NoteText{Text: text}}
	}
	return d.record(state.TypeNote, "room", note)
}

// Exception records a departure from the plan or the runbook, as Note does.
func (d *Desk) Exception(expected, happened, decided string, private bool) error {
	said := state.Account{Expected: expected, Happened: happened, Decided: decided}
	if private {
		return d.exception(state.Account{}, said)
	}
	return d.exception(said, state.Account{})
}

// exception records one with what everyone may read, and what more is said in the
// private part of the record.
func (d *Desk) exception(public, private state.Account) error {
	return d.record(state.TypeException, "room", state.Exception{Account: public, Private: private})
}

// Run does one task. ErrBack, ErrLeft and a cancelled context end it early;
// any other failure, a panic among them, is recorded and returned, and the
// task can be taken again.
func (d *Desk) Run(ctx context.Context, id string, a prompt.Room) (err error) {
	if err := d.logFailed(); err != nil {
		return err
	}
	failure := state.TaskFailed{Task: id}
	defer func() {
		if p := recover(); p != nil {
			err = &state.Fault{Value: p, Stack: debug.Stack()}
		}
		if f := new(state.Fault); errors.As(err, &f) {
			err = fmt.Errorf("%w; what was recorded before it is safe", err)
			failure.Stack = string(f.Stack)
		}
		if err == nil || errors.Is(err, prompt.ErrBack) || errors.Is(err, prompt.ErrLeft) || ctx.Err() != nil {
			return
		}
		failure.Error = err.Error()
		if failed := d.record(state.TypeTaskFailed, "room", failure); failed != nil {
			err = errors.Join(err, failed)
		}
	}()
	for _, t := range d.Tasks() {
		if t.ID != id {
			continue
		}
		if t.State != prompt.Ready {
			return fmt.Errorf("task %q cannot be done now: it is %s %s", id, t.State, t.Reason)
		}
		return t.Do(ctx, a)
	}
	return fmt.Errorf("there is no task %q", id)
}
