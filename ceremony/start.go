package ceremony

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// Between two starts of the program anyone who has the directory can put an older one
// in its place, or another one. So people write down on paper what the log is when they
// leave it, and say at the next start what stands there.

// The places on the paper.
const (
	paperLog  = "paper"
	paperPlan = "paper plan"
)

// Paper is what people write down when they leave: the words of the log as it stands,
// and beside them the plan's. There is none of what needs no going on, nor of a log
// that was not compared with the paper of the last time.
func (d *Desk) Paper() []prompt.Written {
	plan := d.PlanWords()
	if plan == nil || d.State().Closed != nil {
		return nil
	}
	return append([]prompt.Written{{ID: paperLog, Where: "the paper, with the date", Kind: keys.CarriedLog, Value: transcript.Text(d.State().LogOrigin, d.Checkpoint())}}, plan...)
}

// PlanWords are the words of the agreed plan. There are none before the log was
// compared with the paper.
func (d *Desk) PlanWords() []prompt.Written {
	s := d.State()
	if d.log == nil || s.Plan == nil || s.Begun.Enrols != "" || d.before.Load() != 0 {
		return nil
	}
	return []prompt.Written{d.planWords("The plan's words, as on the paper")}
}

// planWords are the words of the agreed plan, where they are only shown.
func (d *Desk) planWords(heading string) prompt.Written {
	return prompt.Written{Where: heading, Kind: keys.CarriedPlan, Value: []byte(d.State().Digest)}
}

// startTask comes before all others, where this run has gone on with a ceremony.
func (d *Desk) startTask(others []prompt.Task) []prompt.Task {
	if d.before.Load() == 0 {
		return others
	}
	for i := range others {
		others[i].Block("waits for the paper")
	}
	return append([]prompt.Task{{ID: "start", Title: "Compare with the paper", State: prompt.Ready, Do: d.start}}, others...)
}

const paperTitle = "Compare with the paper"

// start has people say what their paper says of the log as it was left.
func (d *Desk) start(ctx context.Context, a prompt.Room) error {
	text := []string{"Since the program was left, somebody may have put an older copy of this directory here, or changed it. The paper says what its log was."}
	switch before := d.before.Load(); {
	case d.logs == "" || d.known == before:
	case d.known == 0:
		text = append(text, "This laptop remembers nothing of this log: it was written on another one.")
	default:
		text = append(text, fmt.Sprintf("Of the %d lines of the log this laptop remembers the first %d: the others were written on another one.", before, d.known))
	}
	there, err := a.Confirm(ctx, prompt.Prompt{ID: "start.paper", From: paperLog, Message: prompt.Message{Title: paperTitle, Text: text},
		Question: "Is the paper here, with the words that were written down last?"})
	if err != nil {
		return err
	}
	d.mu.Lock() // notes may come meanwhile
	events := d.log.Events()[:d.before.Load()]
	d.mu.Unlock()
	vouched := slices.ContainsFunc(events, func(e transcript.Event) bool { return e.Type == state.TypeCheckpointSigned })
	compared := state.StartCompared{}
	if there {
		compared.Paper, err = d.comparePaper(ctx, a, events, vouched)
	} else {
		err = d.withoutPaper(ctx, a, vouched)
	}
	if err != nil {
		return err
	}
	d.noPaper.Store(!there)
	if err := d.record(state.TypeStartCompared, "room", compared); err != nil {
		return err
	}
	d.before.Store(0)
	return nil
}

// comparePaper returns how many lines the log had by the paper.
func (d *Desk) comparePaper(ctx context.Context, a prompt.Room, events []transcript.Event, vouched bool) (int64, error) {
	size, err := d.onPaper(ctx, a, events)
	if err != nil {
		return 0, err
	}
	if since := events[size:]; len(since) > 0 {
		if err := d.recordedSince(ctx, a, since); err != nil {
			return 0, err
		}
	}
	if vouched {
		return size, nil
	}
	// Nothing but the paper vouches for the plan either.
	same, err := askCarried(ctx, a, prompt.Prompt{ID: "start.plan", From: paperPlan, Message: prompt.Message{Title: paperTitle, Text: []string{"No token has signed the log yet."}},
		Question: "Type the eight words of the plan, which stand on the paper too:"}, d.planWords(""))
	if err == nil && !same {
		err = errors.New("the plan in this directory isn't the one on the paper: do not go on (hint: find the copy of the directory that has it, or hold the ceremony in a new one)")
	}
	return size, err
}

// onPaper finds the state of the log that the paper's words stand for, the newest
// first. Words of no state are an alarm, once people have looked at the paper again.
func (d *Desk) onPaper(ctx context.Context, a prompt.Room, events []transcript.Event) (int64, error) {
	for {
		var typed string
		_, err := a.Ask(ctx, prompt.Prompt{ID: "start.words", From: paperLog, Final: true, Message: prompt.Message{Title: paperTitle},
			Question: "Type the eight words that stand last on the paper:"}, func(line string) (err error) {
			typed, err = keys.ReadCarried(line)
			return err
		})
		if err != nil {
			return 0, err
		}
		size, err := d.findState(ctx, a, events, typed)
		if err != nil || size > 0 {
			return size, err
		}
		so, err := a.Confirm(ctx, prompt.Prompt{ID: "start.differs", Final: true, Message: prompt.Message{Title: paperTitle, Lines: []string{typed},
			Text: []string{"This log was never left in a state that has these words. Look at the paper again, word by word."}},
			Question: "Are exactly these the words that stand last on the paper?"})
		if err != nil {
			return 0, err
		}
		if so {
			err := d.record(state.TypeStartCompared, "room", state.StartCompared{Differs: true})
			return 0, errors.Join(err, d.State().Alarmed())
		}
	}
}

// findState looks for the words among the states that somebody can have left the log
// in. 0: there is none.
func (d *Desk) findState(ctx context.Context, a prompt.Room, events []transcript.Event, words string) (int64, error) {
	sizes := []int64{int64(len(events))}
	for _, e := range slices.Backward(events) {
		// A line that was torn can be the one that says that the program went on.
		if e.Type == state.TypeContinued || e.Type == transcript.TypeSetAside {
			sizes = append(sizes, e.Seq-1)
		}
	}
	for i, size := range sizes {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if i%20 == 1 {
			err := a.Tell(ctx, prompt.Message{Title: paperTitle, Text: []string{"These aren't the words of the newest state. Older states left to compare, a fifth of a second each: " + fmt.Sprint(len(sizes)-i)}})
			if err != nil {
				return 0, err
			}
		}
		d.mu.Lock()
		text := transcript.Text(d.State().LogOrigin, d.log.CheckpointAt(size))
		d.mu.Unlock()
		if keys.Carried(keys.CarriedLog, text) == words {
			return size, nil
		}
	}
	return 0, nil
}

// recordedSince has people confirm what was recorded after the paper was written.
func (d *Desk) recordedSince(ctx context.Context, a prompt.Room, since []transcript.Event) error {
	var lines []string
	for _, e := range since {
		lines = append(lines, fmt.Sprintf("%d, %s: %s", e.Seq, agreed.Stamp(e.Time), d.State().Happened(e)))
	}
	return a.Type(ctx, prompt.Prompt{ID: "start.lines", Final: true, Message: prompt.Message{Title: fmt.Sprintf("Recorded after what the paper says: %d", len(since)), Lines: lines,
		Text: []string{"That is so where the program ended without showing new words. If nobody here knows of one of these lines, leave the task, and find out."}},
		Question: "If you know of all of them, type how many they are:"}, fmt.Sprint(len(since)))
}

// withoutPaper has holders show their tokens instead, and while no token has signed
// the log the plan agreed again.
func (d *Desk) withoutPaper(ctx context.Context, a prompt.Room, vouched bool) error {
	if vouched {
		return a.Tell(ctx, prompt.Message{Title: paperTitle, Text: []string{"Without the paper each holder with a new key shows their token before anything else is done, and looks at their card before signing. The record says that there was no paper."}})
	}
	digest := d.State().Digest
	return a.Type(ctx, prompt.Prompt{ID: "start.digest", Final: true, Message: prompt.Message{Title: paperTitle, Facts: []prompt.Fact{{Label: "Digest", Value: agreed.Grouped(digest)}},
		Text: []string{"No token has signed the log yet, so nothing says that this is the plan that was agreed. Compare its digest again with the one that was announced."}},
		Question: "If it is the same, type the first 8 characters of the digest:"}, digest[:8])
}
