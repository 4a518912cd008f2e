package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Card is the text whose words stand on the holder's card: which token it is, and
// the keys on it; with root, the root key too. nil where there are none yet.
func (h *Holder) Card(root bool) []byte {
	if h.Prepared == nil || root && h.Key == nil {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "rootceremony card 1\nholder %s\nserial %d\n", h.Holder.ID, h.Serial)
	line := func(slot string, key keys.PublicKey) { fmt.Fprintf(&text, "%s %s %s\n", slot, key.Algorithm, key.Hex) }
	line("9a", h.Prepared.Authentication)
	line("82", h.Prepared.Age)
	if root {
		line("9c", h.Key.Public)
	}
	return []byte(text.String())
}

// CallDue are those whose keys a roll call is about: before backups are sealed, all
// whose tokens the log has, as it isn't public for which of them they are sealed; at
// the review, those with a new root key.
func (s *State) CallDue(what CallFor) []*Holder {
	var due []*Holder
	for _, one := range s.Plan.Holders {
		h := s.Holders[one.ID]
		if h.calledCard(what) == nil || what == CallReview && h.OfTrusted() || what == CallBackups && s.Plan.Backup == nil {
			continue
		}
		due = append(due, h)
	}
	return due
}

// calledCard is what a roll call confirms of a holder.
func (h *Holder) calledCard(what CallFor) []byte { return h.Card(what == CallReview) }

// Called says how the holder was confirmed in the newest roll call that was about
// the keys as they are; "": there was none.
func (s *State) Called(what CallFor, h *Holder) CallHow { return s.calls[string(h.calledCard(what))] }

// CalledAs are the ids of those who were confirmed so; how "": of those who were not
// asked about the keys as they are.
func (s *State) CalledAs(what CallFor, how CallHow) []string {
	var ids []string
	for _, h := range s.CallDue(what) {
		if s.Called(what, h) == how {
			ids = append(ids, h.Holder.ID)
		}
	}
	return ids
}

// CallMissing tells why nothing is sealed, or no draft is made: the roll call was
// not held, somebody's keys are others, or too few are confirmed.
func (s *State) CallMissing(what CallFor) error {
	if err := s.callAlarm(what); err != nil {
		return err
	}
	if missing := s.CalledAs(what, ""); len(missing) > 0 {
		return fmt.Errorf("the roll call has not confirmed the keys of %s (hint: take the task Roll call)", tuf.Listed(s.CalledBy(missing), "and"))
	}
	if nobody := s.CalledAs(what, CallNobody); len(nobody) > 0 && len(nobody) >= s.callLimit(what) {
		return fmt.Errorf("nobody has confirmed the keys of %s: with %d keys that may be somebody else's there is no root (hint: take the task Roll call again when they can be asked; nothing waives it)", tuf.Listed(s.CalledBy(nobody), "and"), len(nobody))
	}
	return nil
}

// callAlarm is an error while somebody's card or token says other keys.
func (s *State) callAlarm(what CallFor) error {
	differ := s.CalledAs(what, CallDiffers)
	if len(differ) == 0 {
		return nil
	}
	return fmt.Errorf("the card or the token of %s says other keys than the log has (hint: find out why; the way on is that it agrees after all in another roll call, or Start a holder over)", tuf.Listed(s.CalledBy(differ), "and"))
}

// callLimit is how many keys of somebody else would be too many.
func (s *State) callLimit(what CallFor) int {
	if what == CallBackups {
		return min(s.Plan.Threshold, s.Plan.Backup.Quorum)
	}
	return s.Plan.Threshold
}

func (s *State) rollCallHeld(e transcript.Event) error {
	var data RollCall
	if err := Read(e, &data); err != nil {
		return err
	}
	if data.For != CallBackups && data.For != CallReview || s.Begun.Enrols != "" {
		return fmt.Errorf("there is no roll call for %q here", data.For)
	}
	due := s.CallDue(data.For)
	if len(due) == 0 || !slices.EqualFunc(due, data.Holders, func(h *Holder, c Called) bool { return h.Holder.ID == c.Holder }) {
		return errors.New("it does not name those whose keys it is about, in the plan's order")
	}
	for i, c := range data.Holders {
		h := due[i]
		switch c.How {
		case CallSitting:
			if !h.sitting {
				return fmt.Errorf("%s was not enrolled since the newest start of the program", h.Holder.Name)
			}
		case CallToken, CallWords, CallNobody, CallDiffers:
		default:
			return fmt.Errorf("nobody is confirmed by %q", c.How)
		}
		s.calls[string(h.calledCard(data.For))] = c.How
	}
	s.RollCalls[data.For] = &data
	return nil
}

// CardKnown returns the holder whose token has that serial number and its card, for
// what the log has of it.
func (s *State) CardKnown(serial uint32, root bool) []byte {
	if h := s.HolderOf(serial); h != nil && h.Serial == serial {
		return h.Card(root)
	}
	return nil
}

// CallText says in a word or two how somebody was confirmed.
func CallText(how CallHow) string {
	switch how {
	case CallSitting:
		return "enrolled in this sitting"
	case CallToken:
		return "confirmed by the token"
	case CallWords:
		return "confirmed by the words of the card"
	case CallDiffers:
		return "SOMEBODY ELSE'S? card or token say other keys"
	}
	return "CONFIRMED BY NOBODY"
}

// startCompared keeps in mind that the paper differed, until one fits.
func (s *State) startCompared(e transcript.Event) error {
	var data StartCompared
	if err := Read(e, &data); err != nil {
		return err
	}
	switch {
	case data.Paper < 0 || data.Paper >= e.Seq:
		return fmt.Errorf("the log never had %d lines before", data.Paper)
	case data.Differs && data.Paper != 0:
		return errors.New("the paper says another log, and this one's state too")
	case data.Differs && s.PaperDiffers == 0:
		s.PaperDiffers = e.Seq
	case data.Paper > 0:
		s.PaperDiffers = 0
	}
	if data.Paper == 0 {
		s.Exceptions++
	}
	return nil
}
