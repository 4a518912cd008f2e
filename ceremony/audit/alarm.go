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

// alarm is a token that came and wasn't as the log has it.
type alarm struct {
	line, ended int64
	at          int // in Report.Alarms
	of          *holder
	replacement bool
	serial      uint32         // that came
	logged      uint32         // that the log had
	age         keys.PublicKey // that the log had in 82
	given       bool           // the holder was started over since
}

// logged are the keys that the log has for a token, by slot.
func (w *walk) logged(h *holder, t *token) []keys.SlotKey {
	var all []keys.SlotKey
	add := func(slot keys.Slot, public keys.PublicKey) {
		if public != (keys.PublicKey{}) {
			all = append(all, keys.SlotKey{Slot: slot, Public: public})
		}
	}
	if t != nil {
		add(keys.SlotAuthentication, t.authentication)
		add(keys.SlotAge, t.age)
	}
	switch {
	case h.kept():
		if key, there := w.plan.TrustedRoot().Key(h.KeyID); there {
			add(keys.SlotRoot, key.Public)
		}
	case t != nil && t.key != nil:
		add(keys.SlotRoot, t.key.public)
	}
	return all
}

// has reports whether a token that holds these keys has one of the log; a root key
// may have been moved to another slot.
func has(found []keys.SlotKey, want keys.SlotKey) bool {
	return slices.ContainsFunc(found, func(k keys.SlotKey) bool {
		return k.Public == want.Public && (k.Slot == want.Slot || want.Slot == keys.SlotRoot)
	})
}

// another reports whether it has another key in the place of one.
func another(found []keys.SlotKey, want keys.SlotKey) bool {
	return !has(found, want) && slices.ContainsFunc(found, func(k keys.SlotKey) bool { return k.Slot == want.Slot })
}

func (w *walk) alarmRaised(e transcript.Event) error {
	d, err := decode[state.AlarmRaised](e)
	if err != nil {
		return err
	}
	h := w.holders[d.Holder]
	owner, p := w.ownerOf(d.Serial)
	known := p != nil
	if !known {
		p = h.own
		if d.Replacement {
			p = h.replacement
			if h.spare != nil {
				p = h.spare
			}
		}
	}
	switch {
	case d.Serial == 0 || d.Keys == nil || p == nil || p.serial == 0 || (p == h.own) == d.Replacement:
		return errors.New("it names no token, or the log has none that it could be compared with")
	case owner != nil && owner != h || owner != nil && !known:
		return fmt.Errorf("token %s is another's, or was replaced", agreed.SerialText(d.Serial))
	case known && !slices.ContainsFunc(w.logged(h, p.token), func(want keys.SlotKey) bool { return another(d.Keys, want) }):
		return errors.New("the token has the keys that the log has")
	case slices.ContainsFunc(w.alarms, func(a *alarm) bool {
		return a.ended == 0 && a.of == h && a.replacement == d.Replacement && a.serial == d.Serial
	}):
		return errors.New("the alarm was raised already")
	}
	a := &alarm{line: e.Seq, at: len(w.Alarms), of: h, replacement: d.Replacement, serial: d.Serial, logged: p.serial}
	if p.token != nil {
		a.age = p.token.age
	}
	text := fmt.Sprintf("token %s came with other keys than the log has", agreed.SerialText(d.Serial))
	if !known {
		text = fmt.Sprintf("%s said that token %s is theirs, and the log has %s", h.Name, agreed.SerialText(d.Serial), agreed.SerialText(p.serial))
	}
	w.alarms = append(w.alarms, a)
	w.Alarms = append(w.Alarms, Alarm{Line: e.Seq, Time: e.Time, Holder: h.Name, Text: text})
	return nil
}

func (w *walk) alarmEnded(e transcript.Event) error {
	d, err := decode[state.AlarmEnded](e)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(w.alarms, func(a *alarm) bool { return a.line == d.Alarm && a.ended == 0 })
	if i < 0 || d.Keys == nil {
		return errors.New("no alarm of that line is open")
	}
	a := w.alarms[i]
	if a.of != w.holders[d.Holder] || a.replacement != d.Replacement || a.logged != d.Serial {
		return errors.New("it is about another token than the one that the log had")
	}
	if len(d.Keys) == 0 {
		if err := w.startedOverFor(a); err != nil {
			return err
		}
	} else {
		owner, p := w.ownerOf(d.Serial)
		if a.given || owner != a.of || p == nil {
			return errors.New("the token isn't in use any more")
		}
		wanted := w.logged(a.of, p.token)
		if len(wanted) == 0 || slices.ContainsFunc(wanted, func(want keys.SlotKey) bool { return !has(d.Keys, want) }) {
			return errors.New("the token does not have the keys that the log has")
		}
	}
	a.ended, w.Alarms[a.at].Ended = e.Seq, e.Seq
	return nil
}

// startedOverFor tells what is missing for an alarm to end without the token.
func (w *walk) startedOverFor(a *alarm) error {
	if w.live != nil || !a.given {
		return fmt.Errorf("the live draft is not abandoned, or %s is not started over", a.of.Name)
	}
	if a.age == (keys.PublicKey{}) {
		return nil
	}
	recipient, err := keys.TokenRecipient(a.age)
	if err != nil {
		return err
	}
	var sealed []string
	for _, h := range w.signers {
		if slices.ContainsFunc(h.backups, func(b *backup) bool { return slices.Contains(b.ages, recipient) }) {
			sealed = append(sealed, h.Name)
		}
	}
	if len(sealed) > 0 {
		return fmt.Errorf("what %s has is sealed for the key in 82 that the log had of the token of %s", tuf.Listed(sealed, "and"), a.of.Name)
	}
	return nil
}

// alarmsGiven takes note that what was in a place is given up.
func (w *walk) alarmsGiven(h *holder, p *place) {
	for _, a := range w.alarms {
		if a.of == h && (p == h.own || a.replacement) {
			a.given = true
		}
	}
}

// alarmed is an error while an alarm is open.
func (w *walk) alarmed() error {
	for _, a := range w.alarms {
		if a.ended == 0 {
			return fmt.Errorf("the alarm of line %d has not ended: %s", a.line, w.Alarms[a.at].Text)
		}
	}
	if len(w.papers) > 0 {
		return errors.New(w.Exceptions[w.papers[0]].Happened)
	}
	return nil
}

// concludeAlarm says of an alarm how it ended.
func (w *walk) concludeAlarm(a *alarm) {
	said := w.Alarms[a.at]
	switch {
	case a.ended != 0:
		w.add(OK, "alarm", a.of.Name, "%s (line %d); it ended (line %d)", said.Text, a.line, a.ended)
	default:
		w.add(Open, "alarm", a.of.Name, "%s (line %d); it has not ended", said.Text, a.line)
	}
}
