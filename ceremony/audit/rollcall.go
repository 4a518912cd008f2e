package audit

import (
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// carded is what a roll call was about: a holder, and the keys that the log had.
type carded struct {
	holder                    string
	serial                    uint32
	authentication, age, root keys.PublicKey // root: before the review alone
}

// call is what came of it.
type call struct {
	line int64
	how  state.CallHow
}

// due are those whose keys a roll call is about, and what it asks of each.
func (w *walk) due(what state.CallFor) (holders []*holder, about []carded) {
	for _, h := range w.signers {
		t := h.own.token
		if h.Custody == agreed.Dropped || t == nil {
			continue
		}
		c := carded{holder: h.ID, serial: t.serial, authentication: t.authentication, age: t.age}
		switch {
		case what == state.CallBackups && w.plan.Backup == nil, what == state.CallReview && (h.kept() || t.key == nil):
			continue
		case what == state.CallReview:
			c.root = t.key.public
		}
		holders, about = append(holders, h), append(about, c)
	}
	return holders, about
}

func (w *walk) rollCall(e transcript.Event) error {
	d, err := decode[state.RollCall](e)
	switch {
	case err != nil:
		return err
	case d.For != state.CallBackups && d.For != state.CallReview || w.Enrols != "":
		return fmt.Errorf("there is no roll call for %.80q here", d.For)
	}
	holders, about := w.due(d.For)
	if len(holders) == 0 || !slices.EqualFunc(holders, d.Holders, func(h *holder, c state.Called) bool { return h.ID == c.Holder }) {
		return errors.New("it does not name those whose keys it is about, in the plan's order")
	}
	for i, c := range d.Holders {
		switch c.How {
		case state.CallToken, state.CallWords, state.CallNobody, state.CallDiffers:
		case state.CallSitting:
			if holders[i].own.token.line < w.startedAt {
				return fmt.Errorf("%s was not enrolled since the newest start of the program, in line %d", holders[i].Name, w.startedAt)
			}
		default:
			return fmt.Errorf("nobody is confirmed by %.80q", c.How)
		}
		w.calls[about[i]] = call{e.Seq, c.How}
	}
	return nil
}

// confirmedIn holds what comes after a roll call to it, and returns the ids of those
// whose keys nobody has confirmed.
func (w *walk) confirmedIn(what state.CallFor) ([]string, error) {
	var nobody, names []string
	holders, about := w.due(what)
	for i, h := range holders {
		switch c, there := w.calls[about[i]]; {
		case !there:
			return nil, fmt.Errorf("no roll call before it has confirmed the keys of %s", h.Name)
		case c.how == state.CallDiffers:
			return nil, fmt.Errorf("in the roll call of line %d the card or the token of %s said other keys", c.line, h.Name)
		case c.how == state.CallNobody:
			nobody, names = append(nobody, h.ID), append(names, h.Name)
		}
	}
	limit := w.plan.Threshold
	if what == state.CallBackups && w.plan.Backup != nil {
		limit = min(limit, w.plan.Backup.Quorum)
	}
	if len(nobody) > 0 && len(nobody) >= limit {
		return nil, fmt.Errorf("nobody has confirmed the keys of %s, which are too many", tuf.Listed(names, "and"))
	}
	return nobody, nil
}

// tellCalls says how the keys in a draft were confirmed.
func (w *walk) tellCalls(line int64) {
	by := map[state.CallHow][]string{}
	holders, about := w.due(state.CallReview)
	for i, h := range holders {
		how := w.calls[about[i]].how
		by[how] = append(by[how], h.Name)
	}
	for _, how := range []state.CallHow{state.CallSitting, state.CallToken, state.CallWords, state.CallNobody} {
		switch names := by[how]; {
		case len(names) == 0:
		case how == state.CallNobody:
			w.add(NotSeen, "roll call", tuf.Listed(names, "and"), "confirmed by nobody before the draft of line %d: that these are the keys of %s rests on the log alone", line, tuf.Listed(names, "and"))
		default:
			w.add(OK, "roll call", tuf.Listed(names, "and"), "%s (before the draft of line %d)", state.CallText(how), line)
		}
	}
}

// startCompared: people have looked at their paper. That there was none, or that its
// words were of no state of this log, nobody has typed as an exception, and it is one.
func (w *walk) startCompared(e transcript.Event) error {
	d, err := decode[state.StartCompared](e)
	switch {
	case err != nil:
		return err
	case d.Paper < 0 || d.Paper >= e.Seq || d.Differs && d.Paper != 0:
		return fmt.Errorf("the log never had %d lines before, or the paper that says so is one that differs", d.Paper)
	case d.Differs:
		w.papers = append(w.papers, len(w.Exceptions))
		w.Exceptions = append(w.Exceptions, Exception{e.Seq, e.Time, "the words on the paper are those of a state of this log",
			fmt.Sprintf("the words of the paper differed at line %d and were never found again", e.Seq), "nothing"})
	case d.Paper == 0:
		w.Exceptions = append(w.Exceptions, Exception{e.Seq, e.Time, "the log is compared with the paper", "there was no paper",
			fmt.Sprintf("went on without the paper, line %d", e.Seq)})
	default:
		for _, at := range w.papers {
			x := &w.Exceptions[at]
			x.Happened = fmt.Sprintf("the words of the paper differed at line %d until line %d", x.Line, e.Seq)
			x.Decided = fmt.Sprintf("the words of a paper were found at line %d", e.Seq)
		}
		w.papers = nil
	}
	return nil
}
