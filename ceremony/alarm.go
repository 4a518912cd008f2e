package ceremony

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
)

// doubt is a token in a reader that may not be as the log has it.
type doubt struct {
	info keys.Info
	of   *state.Holder // whose it is, with other keys; nil: nobody's that the log knows
}

// doubtful compares the tokens in the readers with the log, each time they come. It
// returns the first that has another key than the log, or else, where the token that
// is awaited isn't there, one that is nobody's, is not as new, and may be what the
// holder takes for theirs; not the known ones, which they don't. nil: none.
func (v visit) doubtful(there, found []keys.Info, known []uint32) *doubt {
	s, now := v.d.State(), v.now()
	for _, info := range there {
		if h := s.HolderOf(info.Serial); h != nil && h.Serial == info.Serial && len(h.Differs(info.Keys)) > 0 {
			return &doubt{info, h}
		}
	}
	if now.Serial == 0 || now.Prepared == nil && (now.OfTrusted() || now.Key == nil) {
		return nil
	}
	if slices.ContainsFunc(found, func(i keys.Info) bool { return i.Serial == now.Serial }) {
		return nil
	}
	for _, info := range there {
		if s.HolderOf(info.Serial) == nil && !info.Fresh() && !slices.Contains(known, info.Serial) {
			return &doubt{info: info}
		}
	}
	return nil
}

// isTheirs asks a holder whether an unknown token is the one that was enrolled, which
// is an alarm. nil: it isn't.
func (v visit) isTheirs(ctx context.Context, info keys.Info) error {
	h := v.now()
	answer, err := v.a.Choose(ctx, prompt.Prompt{ID: "alarm.theirs " + v.holder, Final: true, Message: prompt.Message{
		Title: h.Holder.Name + ": another token is in the reader", Facts: append(tokenFacts(info, h.Holder)[:1:1], prompt.Fact{Label: "In the log", Value: agreed.SerialText(h.Serial)}),
		Text: []string{"The log does not know this token, and it is not a new one. Either it is another of yours, or the log has been changed."}},
		Question: fmt.Sprintf("Is this %s, that you enrolled?", tokenNamed(h))},
		[]prompt.Choice{{Key: "no", Label: "No, it is another one"}, {Key: "yes", Label: "Yes, this is the one that I enrolled: raise an alarm"}})
	if err != nil || answer == "no" {
		return err
	}
	return v.d.alarm(doubt{info, h})
}

// alarm records an alarm, and returns what it is about.
func (d *Desk) alarm(on doubt) error {
	raised := state.AlarmRaised{Act: on.of.Act(on.info.Serial), Keys: on.info.Keys}
	open := func(a state.Alarm) bool { return a.Ended == 0 && a.Act == raised.Act }
	if !slices.ContainsFunc(d.State().Alarms, open) {
		if err := d.record(state.TypeAlarmRaised, raised.Holder, raised); err != nil {
			return err
		}
	}
	return d.State().Alarmed()
}

// agrees ends the alarms about a token that has come, and has all that the log has.
// Where another one was said to be it, the holder is asked about both.
func (v visit) agrees(ctx context.Context, found []keys.Info) error {
	for _, alarm := range v.d.State().OpenAlarms() {
		s, h := v.d.State(), v.now()
		i := slices.IndexFunc(found, func(i keys.Info) bool { return i.Serial == h.Serial })
		if i < 0 || alarm.Act != h.Act(alarm.Serial) || !h.Agrees(found[i].Keys) || alarm.Given {
			continue
		}
		info := found[i]
		if alarm.Serial != info.Serial {
			right, err := v.a.Confirm(ctx, prompt.Prompt{ID: "alarm.agrees " + v.holder, Final: true, Message: prompt.Message{
				Title: h.Holder.Name + ": the alarm", Facts: tokenFacts(info, h.Holder),
				Text: []string{"This token has all the keys that the log has. The alarm says that " + s.AlarmText(alarm) + "."}},
				Question: fmt.Sprintf("Is this the token that you enrolled, and was token %s another one?", agreed.SerialText(alarm.Serial))})
			if err != nil || !right {
				return errors.Join(err, v.d.State().Alarmed())
			}
		}
		if err := v.record(state.TypeAlarmEnded, state.AlarmEnded{Act: h.Act(info.Serial), Alarm: alarm.Line, Keys: info.Keys}); err != nil {
			return err
		}
	}
	return nil
}

// alarmTask has a token compared again after an alarm.
func (d *Desk) alarmTask(a state.Alarm) prompt.Task {
	s := d.State()
	t := prompt.Task{ID: "alarm " + a.Holder, Title: "Alarm: compare the token of " + s.Holders[a.Holder].Holder.Name, State: prompt.Ready, Reason: s.AlarmText(a)}
	if a.Given {
		if err := s.StartedOverFor(a); err != nil {
			t.Block("waits: " + err.Error())
		}
		t.Do = func(context.Context, prompt.Room) error { return d.endAlarms() } // which a crash came before
		return t
	}
	t.Do = func(ctx context.Context, room prompt.Room) error {
		v := d.visit(room, a.Holder)
		if a.Replacement {
			v = v.with(state.ReplacementToken)
			if v.now() == nil {
				v = v.with(state.SpareToken)
			}
		}
		if _, err := v.waitForToken(ctx, "alarm.token "+a.Holder, v.fitsAlarm); err != nil {
			return err
		}
		return d.State().Alarmed()
	}
	return t
}

func (v visit) fitsAlarm(info keys.Info) error {
	h := v.now()
	if info.Serial != h.Serial || !h.Agrees(info.Keys) {
		return fmt.Errorf("token %s is not, or not wholly, what the log has of %s's, which is %s (hint: insert the token that was enrolled, with the %s)",
			agreed.SerialText(info.Serial), h.Holder.Name, agreed.SerialText(h.Serial), mark(h))
	}
	return nil
}

// endAlarms ends those whose holder was started over, once nothing more is sealed for
// what the log had.
func (d *Desk) endAlarms() error {
	for _, a := range d.State().OpenAlarms() {
		if d.State().StartedOverFor(a) != nil {
			continue
		}
		on := a.Act
		on.Serial = a.Logged
		if err := d.record(state.TypeAlarmEnded, "room", state.AlarmEnded{Act: on, Alarm: a.Line, Keys: []keys.SlotKey{}}); err != nil {
			return err
		}
	}
	return nil
}
