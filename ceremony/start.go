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

// Between two starts of the program whoever has the directory can put an older one in
// its place, or another one. So people write down on paper what the log is when they
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

// PlanWords are the words of the agreed plan, to be compared at any time. There are
// none before the log was compared with the paper.
func (d *Desk) PlanWords() []prompt.Written {
	s := d.State()
	if d.log == nil || d.only != nil || s.Plan == nil || s.Begun.Enrols != "" || d.before.Load() != 0 {
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

// start has people say what their paper says of the log as it was left.
func (d *Desk) start(ctx context.Context, a prompt.Room) error {
	title, before := "Compare with the paper", d.before.Load()
	there, err := a.Confirm(ctx, prompt.Prompt{ID: "start.paper", From: paperLog, Message: prompt.Message{Title: title,
		Text: []string{"Since the program was left, somebody may have put an older copy of this directory here, or changed it. The paper says what its log was."}},
		Question: "Is the paper here, with the words that were written down last?"})
	if err != nil {
		return err
	}
	d.mu.Lock() // notes may come meanwhile
	events := d.log.Events()[:before]
	d.mu.Unlock()
	vouched := slices.ContainsFunc(events, func(e transcript.Event) bool { return e.Type == state.TypeCheckpointSigned })
	if !there {
		err = d.withoutPaper(ctx, a, title, vouched)
		if err != nil {
			return err
		}
		d.noPaper.Store(true)
		if err := d.record(state.TypeStartCompared, "room", state.StartCompared{}); err != nil {
			return err
		}
		d.before.Store(0)
		return nil
	}
	size, err := d.onPaper(ctx, a, title, events)
	if err != nil {
		return err
	}
	if since := before - size; since > 0 {
		var lines []string
		for _, e := range events[size:] {
			lines = append(lines, fmt.Sprintf("line %d, %s: %s, by %s", e.Seq, agreed.Stamp(e.Time), e.Type, e.By))
		}
		err := a.Type(ctx, prompt.Prompt{ID: "start.lines", Final: true, Message: prompt.Message{Title: fmt.Sprintf("%d lines were recorded after what the paper says", since), Lines: lines,
			Text: []string{"That is so where the program ended without showing new words. If somebody here knows nothing of one of these lines, leave the task, and find out."}},
			Question: "If you know of all of them, type how many they are:"}, fmt.Sprint(since))
		if err != nil {
			return err
		}
	}
	if !vouched { // nothing but the paper does, for the plan either
		plan := prompt.Written{ID: paperPlan, Kind: keys.CarriedPlan, Value: []byte(d.State().Digest)}
		same, err := askCarried(ctx, a, prompt.Prompt{ID: "start.plan", From: paperPlan, Message: prompt.Message{Title: title, Text: []string{"No token has signed the log yet."}},
			Question: "Type the eight words of the plan, which stand on the paper too:"}, plan)
		if err != nil {
			return err
		}
		if !same {
			return errors.New("the plan in this directory isn't the one on the paper: do not go on (hint: find the copy of the directory that has it, or hold the ceremony in a new one)")
		}
	}
	if err := d.record(state.TypeStartCompared, "room", state.StartCompared{Paper: size}); err != nil {
		return err
	}
	d.before.Store(0)
	return nil
}

// onPaper finds the state of the log that the paper's words stand for: one that
// somebody can have left, the newest first.
func (d *Desk) onPaper(ctx context.Context, a prompt.Room, title string, events []transcript.Event) (int64, error) {
	var typed string
	_, err := a.Ask(ctx, prompt.Prompt{ID: "start.words", From: paperLog, Final: true, Message: prompt.Message{Title: title},
		Question: "Type the eight words that stand last on the paper:"}, func(line string) (err error) {
		typed, err = keys.ReadCarried(line)
		return err
	})
	if err != nil {
		return 0, err
	}
	sizes := []int64{int64(len(events))}
	for _, e := range slices.Backward(events) {
		if e.Type == state.TypeContinued {
			sizes = append(sizes, e.Seq-1)
		}
	}
	for i, size := range sizes {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if i%20 == 1 {
			err := a.Tell(ctx, prompt.Message{Title: title, Text: []string{fmt.Sprintf("These aren't the words of the newest state. %d earlier ones are compared, a fifth of a second each.", len(sizes)-i)}})
			if err != nil {
				return 0, err
			}
		}
		d.mu.Lock()
		text := transcript.Text(d.State().LogOrigin, d.log.CheckpointAt(size))
		d.mu.Unlock()
		if keys.Carried(keys.CarriedLog, text) == typed {
			return size, nil
		}
	}
	return 0, errors.New("the words on the paper are those of no state that this log was left in: do not go on here (hint: another copy of the directory is newer, or this one was changed: look for the one that the paper was written for; where the newest copy is lost, hold another ceremony, whose plan names this directory under earlier)")
}

// withoutPaper has holders show their tokens instead, and while no token has signed
// the log the plan agreed again.
func (d *Desk) withoutPaper(ctx context.Context, a prompt.Room, title string, vouched bool) error {
	if vouched {
		return a.Tell(ctx, prompt.Message{Title: title, Text: []string{"Without the paper every holder with a new key shows the token before anything goes on with it, and whoever signs looks at the card."}})
	}
	digest := d.State().Digest
	return a.Type(ctx, prompt.Prompt{ID: "start.digest", Final: true, Message: prompt.Message{Title: title, Facts: []prompt.Fact{{Label: "Digest", Value: agreed.Grouped(digest)}},
		Text: []string{"No token has signed the log yet, so nothing says that this is the plan that was agreed. Compare its digest again with the one that was announced."}},
		Question: "If it is the same, type the first 8 characters of the digest:"}, digest[:8])
}
