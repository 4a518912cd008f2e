package ceremony

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// What the directory says of a holder's keys counts for nothing by itself: anyone who
// had it between two starts of the program can have changed it. So people compare
// it with what they carry, the token or the card. What this run of the program has
// seen made it knows by itself, and forgets when it ends.

// cardLine is the line of the holder's card with the words of the enrolment: with
// backups the first one is of the prepared token, and the second of the root key.
func cardLine(s *state.State, h *state.Holder, root bool) prompt.Written {
	line := 1
	if root && s.Plan.Backup != nil {
		line = 2
	}
	return prompt.Written{ID: fmt.Sprintf("card %s %d", h.Holder.ID, line), Where: fmt.Sprintf("the card of %s, line %d", h.Holder.Name, line),
		Kind: keys.CarriedEnrolment, Value: h.Card(root)}
}

// card is what the holder writes down at the end of a visit.
func (v visit) card() []prompt.Written {
	h := v.now()
	line := cardLine(v.d.State(), h, h.Proved != nil)
	if v.kind == state.SpareToken {
		line.ID, line.Where = "card "+v.holder+" spare", line.Where+", for the spare token"
	}
	return []prompt.Written{line}
}

// Words are the plan's, and those of the cards for what this run of the program has
// seen made, to be looked at again at any time. Of others none are shown here: people
// type them, from the card.
func (d *Desk) Words() []prompt.Written {
	words, s := d.PlanWords(), d.State()
	if s.Plan == nil {
		return nil
	}
	for _, what := range []state.CallFor{state.CallBackups, state.CallReview} {
		for _, h := range s.CallDue(what) {
			if d.seen(what, h) == state.CallSitting {
				line := cardLine(s, h, what == state.CallReview)
				line.ID = ""
				words = append(words, line)
			}
		}
	}
	return words
}

// SignedCard is the line on a signer's card about a version that was signed.
func SignedCard(who, card string, version int64, digest string) prompt.Written {
	return prompt.Written{ID: fmt.Sprintf("card %s v%d", who, version), Where: fmt.Sprintf(`%s, beside "signed v%d"`, card, version),
		Kind: keys.CarriedDraft, Value: []byte(digest)}
}

// sees remembers what this run of the program has seen of a token's keys.
func (d *Desk) sees(data any) {
	switch made := data.(type) {
	case state.Prepared:
		d.saw.Store(string(d.State().CardKnown(made.Serial, false)), state.CallSitting)
	case state.TokenShown:
		d.saw.Store(string(d.State().CardKnown(made.Serial, false)), state.CallSitting)
	case state.KeyMade:
		how, _ := d.saw.Load(string(d.State().CardKnown(made.Serial, false)))
		if how == state.CallSitting || how == state.CallToken || how == state.CallWords {
			d.saw.Store(string(d.State().CardKnown(made.Serial, true)), how)
		}
	case state.Confirmed:
		if made.Words {
			d.saw.Store(string(d.State().CardKnown(made.Serial, true)), state.CallWords)
		}
	}
}

// seen is how this run of the program knows that the holder's keys are theirs; "":
// it doesn't.
func (d *Desk) seen(what state.CallFor, h *state.Holder) state.CallHow {
	how, there := d.saw.Load(string(h.Card(what == state.CallReview)))
	if !there {
		return ""
	}
	return how.(state.CallHow)
}

// toCall are those who are to be asked in a roll call, by id. LookAt asks nobody.
func (d *Desk) toCall(what state.CallFor) []string {
	var ids []string
	for _, h := range d.State().CallDue(what) {
		if d.log != nil && d.seen(what, h) == "" {
			ids = append(ids, h.Holder.ID)
		}
	}
	return ids
}

// callWaits tells why what a roll call comes before waits for it; "": it doesn't.
func (d *Desk) callWaits(what state.CallFor) string {
	if len(d.toCall(what)) > 0 {
		return "waits for the roll call"
	}
	for _, h := range d.State().CallDue(what) {
		if d.State().Called(what, h) == "" {
			return "" // it is held as nobody has to be asked
		}
	}
	if err := d.State().CallMissing(what); err != nil {
		return agreed.OneLine(err.Error())
	}
	return ""
}

// rollCallTasks is the roll call, where somebody has to be asked, or was.
func (d *Desk) rollCallTasks(what state.CallFor) []prompt.Task {
	s := d.State()
	t := prompt.Task{ID: "rollcall " + string(what), Title: "Roll call", State: prompt.Done, Do: func(ctx context.Context, a prompt.Room) error { return d.rollCall(ctx, a, what) }}
	now := (s.Reviewed == nil && s.Published == nil || d.noPaper.Load() && s.Sealed == nil) && !slices.ContainsFunc(s.Plan.Holders, func(h agreed.Holder) bool { return !s.Holders[h.ID].Counts() })
	if what == state.CallBackups {
		t.Group = prompt.GroupKeys
		now = s.Draft == nil && len(s.RecipientsMissing()) == 0 && slices.ContainsFunc(s.Plan.Holders, func(h agreed.Holder) bool { return s.Holders[h.ID].Proved == nil && !s.Holders[h.ID].OfTrusted() })
	}
	now = now || len(s.CalledAs(what, state.CallDiffers)) > 0
	waits := d.callWaits(what)
	unconfirmed := s.CalledAs(what, state.CallNobody)
	asked := s.RollCalls[what] != nil && slices.ContainsFunc(s.RollCalls[what].Holders, func(c state.Called) bool { return c.How != state.CallSitting })
	switch {
	case now && waits != "":
		t.State = prompt.Ready
		if to := d.toCall(what); len(to) > 0 {
			t.Reason = tuf.Listed(s.CalledBy(to), "and")
		} else {
			t.Reason = waits
		}
	case now && len(unconfirmed) > 0 && d.log != nil:
		t.State, t.Optional, t.Aside, t.Reason = prompt.Ready, true, true, "confirmed by nobody: "+tuf.Listed(s.CalledBy(unconfirmed), "and")
	case !asked:
		return nil
	}
	return []prompt.Task{t}
}

// called makes sure that the roll call is in the log, for what comes next. Where this
// run has seen all keys made it says so by itself.
func (d *Desk) called(what state.CallFor) error {
	s := d.State()
	if to := d.toCall(what); len(to) > 0 {
		return fmt.Errorf("the keys of %s were made before this start of the program, which knows of them from the directory alone (hint: take the task Roll call)", tuf.Listed(s.CalledBy(to), "and"))
	}
	for _, h := range s.CallDue(what) {
		if s.Called(what, h) == "" {
			if err := d.callHeld(what); err != nil {
				return err
			}
			break
		}
	}
	return d.State().CallMissing(what)
}

// callHeld records what this run knows. Who was not asked yet is confirmed by nobody.
func (d *Desk) callHeld(what state.CallFor) error {
	call := state.RollCall{For: what}
	for _, h := range d.State().CallDue(what) {
		how := d.seen(what, h)
		if how == "" {
			how = state.CallNobody
		}
		call.Holders = append(call.Holders, state.Called{Holder: h.Holder.ID, How: how})
	}
	return d.record(state.TypeRollCall, "room", call)
}

// rollCall asks those whose keys this run has not seen made, and those whom nobody
// has confirmed.
func (d *Desk) rollCall(ctx context.Context, a prompt.Room, what state.CallFor) error {
	err := a.Tell(ctx, prompt.Message{Title: "Roll call", Text: []string{"This laptop was off or left since keys were made, and somebody may have changed what it knows of them. Each holder compares it with what they have kept: the token, or the card."}})
	if err != nil {
		return err
	}
	for _, h := range d.State().CallDue(what) {
		if how := d.seen(what, h); how != "" && how != state.CallNobody && how != state.CallDiffers {
			continue
		}
		v := d.visit(a, h.Holder.ID)
		how, err := v.answerCall(ctx, what)
		if err != nil {
			return err
		}
		d.saw.Store(string(v.now().Card(what == state.CallReview)), how)
		if how == state.CallDiffers {
			return errors.Join(v.differs(), d.callHeld(what))
		}
	}
	if err := d.callHeld(what); err != nil {
		return err
	}
	return d.State().CallMissing(what)
}

// differs says what it means that a holder's card or token says other keys.
func (v visit) differs() error {
	name := v.now().Holder.Name
	return fmt.Errorf("what %s has kept says other keys than this laptop: one of the two isn't right, and nothing goes on with those keys (hint: find out whether the directory was changed, or the card is another one; Roll call can be taken again, and Start a holder over makes other keys)", name)
}

// answerCall asks one holder.
func (v visit) answerCall(ctx context.Context, what state.CallFor) (state.CallHow, error) {
	d, h, root := v.d, v.now(), what == state.CallReview
	line := cardLine(v.d.State(), h, root)
	message := prompt.Message{Title: h.Holder.Name + ": are these the keys that were made?", Facts: []prompt.Fact{{Label: "Serial", Value: agreed.SerialText(h.Serial) + stickerIn(h)}}}
	unread := false
	for {
		choices := []prompt.Choice{
			{Key: string(state.CallToken), Label: "The token is here: it is read, without a PIN"},
			{Key: string(state.CallWords), Label: "The words of the card are typed, by the holder or from the telephone"},
			{Key: string(state.CallNobody), Label: "Not at all: the holder is not here, and can't be called"}}
		switch {
		case unread:
			choices = choices[1:]
		case h.Collected != nil: // whose token is elsewhere
			choices[0], choices[1] = choices[1], choices[0]
		case d.noPaper.Load(): // a card may be as old as the log
			choices = slices.Delete(choices, 1, 2)
		}
		answer, err := v.a.Choose(ctx, prompt.Prompt{ID: "rollcall.how " + v.holder, Message: message, Question: "How is it known?"}, choices)
		if err != nil {
			return "", err
		}
		switch state.CallHow(answer) {
		case state.CallNobody:
			return state.CallNobody, nil
		case state.CallWords:
			same, err := askCarried(ctx, v.a, prompt.Prompt{ID: "rollcall.words " + v.holder, From: line.ID, Message: message, Question: fmt.Sprintf("Type the eight words that stand on %s:", line.Where)}, line)
			if err != nil {
				return "", err
			}
			if !same {
				return state.CallDiffers, nil
			}
			return state.CallWords, nil
		}
		there, err := v.waitForToken(ctx, "rollcall.token "+v.holder, v.fitsCall)
		if err != nil {
			return "", err
		}
		info := there[0]
		if info.Firmware.Less(keys.Firmware{Major: 5, Minor: 3}) {
			unread = true
			message.Text = []string{fmt.Sprintf("The token has firmware %s, which doesn't say without a PIN which keys it holds: the card does.", info.Firmware)}
			continue
		}
		if !agrees(h, info, root) {
			return state.CallDiffers, nil
		}
		return state.CallToken, nil
	}
}

// fitsCall tells that a token is another one than the holder's.
func (v visit) fitsCall(info keys.Info) error {
	h := v.now()
	if info.Serial == h.Serial {
		return nil
	}
	whose := "nobody's in this ceremony"
	if owner := v.d.State().HolderOf(info.Serial); owner != nil {
		whose = owner.Holder.Name + "'s"
	}
	return fmt.Errorf("token %s is %s, and that of %s is %s (hint: insert %s)", agreed.SerialText(info.Serial), whose, h.Holder.Name, agreed.SerialText(h.Serial), tokenNamed(h))
}

// agrees reports whether a token holds the keys that the log has of it.
func agrees(h *state.Holder, info keys.Info, root bool) bool {
	holds := func(slot keys.Slot, public keys.PublicKey) bool {
		key, there := info.Key(slot)
		return there && key.Public == public
	}
	if !holds(keys.SlotAuthentication, h.Prepared.Authentication) || h.Prepared.Age != (keys.PublicKey{}) && !holds(keys.SlotAge, h.Prepared.Age) {
		return false
	}
	return !root || slices.ContainsFunc(info.Keys, func(k keys.SlotKey) bool { return k.Public == h.Key.Public })
}

// askCarried asks for eight words that people have written down, and reports whether
// they are those of the value. Only what isn't of the word list is asked again.
func askCarried(ctx context.Context, a prompt.Room, p prompt.Prompt, line prompt.Written) (same bool, err error) {
	p.Final = true
	_, err = a.Ask(ctx, p, func(typed string) error {
		words, err := keys.ReadCarried(typed)
		same = words == line.Words()
		return err
	})
	return same, err
}

// holderLines say of each holder which token and which keys the draft has.
func (d *Desk) holderLines() []string {
	s := d.State()
	lines := []string{"", "holders:"}
	for _, h := range s.Signers() {
		if h.Holder.Custody == agreed.Dropped {
			continue
		}
		parts := []string{h.Holder.Name}
		if h.Serial != 0 {
			parts = append(parts, "serial "+agreed.SerialText(h.Serial))
		}
		if h.Holder.Token != "" {
			parts = append(parts, "sticker "+h.Holder.Token)
		}
		if how := s.Called(state.CallReview, h); !h.OfTrusted() {
			parts = append(parts, state.CallText(how))
		} else {
			parts = append(parts, "a key of the trusted root")
		}
		lines = append(lines, "  "+strings.Join(parts, ", "))
	}
	return lines
}

// holderWords are the words of the new keys, as they stand on the cards.
func (d *Desk) holderWords() []prompt.Written {
	var all []prompt.Written
	for _, h := range d.State().CallDue(state.CallReview) {
		line := cardLine(d.State(), h, true)
		line.ID, line.Where = "", h.Holder.Name+", as on the card, "+line.Where[strings.LastIndex(line.Where, "line"):]
		all = append(all, line)
	}
	return all
}
