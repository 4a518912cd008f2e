package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Alarm is one that was raised. It stays, ended or not.
type Alarm struct {
	AlarmRaised
	Line  int64
	Ended int64 // number of the line; 0: it is open

	Logged    uint32 // serial number that the log had
	Given     bool   // the holder was started over since
	recipient string // as age writes what the log had in 82; "": nothing
}

// Differs returns the slots in which a token that holds these keys has another one
// than the log. One that is missing is no other one; a root key may have been moved.
func (h *Holder) Differs(found []keys.SlotKey) []keys.Slot {
	var differs []keys.Slot
	for _, want := range h.logged() {
		i := slices.IndexFunc(found, func(k keys.SlotKey) bool { return k.Slot == want.Slot })
		moved := want.Slot == keys.SlotRoot && slices.ContainsFunc(found, func(k keys.SlotKey) bool { return k.Public == want.Public })
		if i >= 0 && found[i].Public != want.Public && !moved {
			differs = append(differs, want.Slot)
		}
	}
	return differs
}

// Agrees reports whether a token that holds these keys has all that the log has.
func (h *Holder) Agrees(found []keys.SlotKey) bool {
	return len(h.logged()) > 0 && !slices.ContainsFunc(h.logged(), func(want keys.SlotKey) bool {
		return !slices.ContainsFunc(found, func(k keys.SlotKey) bool {
			return k.Public == want.Public && (k.Slot == want.Slot || want.Slot == keys.SlotRoot)
		})
	})
}

// logged are the keys that the log has for the token in 9a, 82 and 9c.
func (h *Holder) logged() []keys.SlotKey {
	var all []keys.SlotKey
	if h.Retired != nil || h.Partial { // it was reset, or is about to be
		return nil
	}
	add := func(slot keys.Slot, public keys.PublicKey) {
		if public != (keys.PublicKey{}) {
			all = append(all, keys.SlotKey{Slot: slot, Public: public})
		}
	}
	if h.Prepared != nil {
		add(keys.SlotAuthentication, h.Prepared.Authentication)
		add(keys.SlotAge, h.Prepared.Age)
	}
	if h.Key != nil {
		add(keys.SlotRoot, h.Key.Public)
	}
	return all
}

func (s *State) alarmRaised(e transcript.Event) error {
	var data AlarmRaised
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.alarmAt(data.Act)
	if err != nil {
		return err
	}
	switch owner := s.HolderOf(data.Serial); {
	case data.Serial == 0 || h.Serial == 0 || data.Keys == nil:
		return errors.New("it names no token, or the log has none that it could be compared with")
	case owner != nil && owner != h:
		return fmt.Errorf("token %d is %s's", data.Serial, owner.Holder.Name)
	case owner != nil && data.Serial != h.Serial:
		return fmt.Errorf("token %d was replaced", data.Serial)
	case owner != nil && len(h.Differs(data.Keys)) == 0:
		return errors.New("the token has the keys that the log has")
	case slices.ContainsFunc(s.Alarms, func(a Alarm) bool { return a.Ended == 0 && a.Act == data.Act }):
		return errors.New("the alarm was raised already")
	}
	alarm := Alarm{AlarmRaised: data, Line: e.Seq, Logged: h.Serial}
	if h.Prepared != nil && h.Prepared.Age != (keys.PublicKey{}) {
		if alarm.recipient, err = h.RecipientText(); err != nil {
			return err
		}
	}
	s.Alarms = append(s.Alarms, alarm)
	return nil
}

// alarmAt is whose token it is, also where that has another serial number.
func (s *State) alarmAt(on Act) (*Holder, error) {
	h := s.Holders[on.Holder]
	if !on.Replacement {
		return h, nil
	}
	for _, other := range []*Holder{h.Spare, h.Replacement} {
		if other != nil && (other.Serial == on.Serial || s.HolderOf(on.Serial) == nil) {
			return other, nil
		}
	}
	return nil, fmt.Errorf("no token takes the place of the one of %s", h.Holder.Name)
}

func (s *State) alarmEnded(e transcript.Event) error {
	var data AlarmEnded
	if err := Read(e, &data); err != nil {
		return err
	}
	i := slices.IndexFunc(s.Alarms, func(a Alarm) bool { return a.Line == data.Alarm })
	if i < 0 || s.Alarms[i].Ended != 0 || data.Keys == nil {
		return errors.New("no alarm of that line is open")
	}
	alarm := &s.Alarms[i]
	if data.Holder != alarm.Holder || data.Replacement != alarm.Replacement || data.Serial != alarm.Logged {
		return errors.New("it is about another token than the one that the log had")
	}
	if len(data.Keys) > 0 {
		h := s.HolderOf(data.Serial)
		if alarm.Given || h == nil || h.Serial != data.Serial || h.Holder.ID != data.Holder || !h.Agrees(data.Keys) {
			return errors.New("the token does not have the keys that the log has")
		}
	} else if err := s.StartedOverFor(*alarm); err != nil {
		return err
	}
	alarm.Ended = e.Seq
	return nil
}

// StartedOverFor tells what is missing for an alarm to end without the token.
func (s *State) StartedOverFor(a Alarm) error {
	name := s.Holders[a.Holder].Holder.Name
	if s.Draft != nil {
		return errors.New("the live draft is not abandoned")
	}
	if !a.Given {
		return fmt.Errorf("%s is not started over", name)
	}
	if sealed := s.sealedTo(a.recipient); len(sealed) > 0 {
		return fmt.Errorf("what %s has was sealed for the key in 82 that the log had of %s's token, and they are not started over", tuf.Listed(sealed, "and"), name)
	}
	return nil
}

// sealedTo are the holders, by name, of whom a backup is sealed for a recipient. No
// private part of the log says so: then nobody is known.
func (s *State) sealedTo(recipient string) []string {
	return s.Names(func(h *Holder) bool {
		return slices.ContainsFunc([]*Holder{h, h.Replacement, h.Spare}, func(one *Holder) bool {
			return one != nil && slices.ContainsFunc(one.Stored, func(b *BackupStored) bool { return slices.Contains(b.Ages, recipient) })
		})
	})
}

// givenUp takes note that the holder is started over, or that a token which was to
// take the place of theirs is given up.
func (s *State) givenUp(h *Holder) {
	for i, a := range s.Alarms {
		if a.Holder == h.Holder.ID && (h.Kind == OwnToken || a.Replacement) {
			s.Alarms[i].Given = true
		}
	}
}

// OpenAlarms are those that have not ended.
func (s *State) OpenAlarms() []Alarm {
	return slices.DeleteFunc(slices.Clone(s.Alarms), func(a Alarm) bool { return a.Ended != 0 })
}

// Alarmed is an error while an alarm is open, or the paper or what a holder has kept
// differs: no draft is made, nothing is signed or published.
func (s *State) Alarmed() error {
	for _, a := range s.OpenAlarms() {
		return fmt.Errorf("there is an alarm: %s (hint: it ends once the token that was enrolled is in the reader and agrees, or once %s is started over, with the live draft abandoned and all keys made again that were sealed for that token)",
			s.AlarmText(a), s.Holders[a.Holder].Holder.Name)
	}
	if s.Plan == nil {
		return nil
	}
	return cmp.Or(s.paperAlarm(), s.callAlarm(CallBackups), s.callAlarm(CallReview))
}

func (s *State) paperAlarm() error {
	if s.PaperDiffers == 0 {
		return nil
	}
	return fmt.Errorf("there is an alarm: no state of this log has the words on the paper (line %d) (hint: look for the copy of this directory that the paper was written for; the alarm ends once words are typed here that fit; where that copy is lost, hold another ceremony, whose plan names this directory under earlier)", s.PaperDiffers)
}

// AlarmAtSealing is Alarmed for a secret that is about to be sealed: a holder who
// was started over has another recipient by then.
func (s *State) AlarmAtSealing() error {
	if slices.ContainsFunc(s.OpenAlarms(), func(a Alarm) bool { return !a.Given }) {
		return s.Alarmed()
	}
	return s.paperAlarm()
}

// AlarmText says in half a sentence what an alarm is about.
func (s *State) AlarmText(a Alarm) string {
	name := s.Holders[a.Holder].Holder.Name
	if a.Serial == a.Logged {
		return fmt.Sprintf("token %s of %s came with other keys than the log has (line %d)", agreed.SerialText(a.Serial), name, a.Line)
	}
	return fmt.Sprintf("%s says that token %s is theirs, and the log has %s (line %d)", name, agreed.SerialText(a.Serial), agreed.SerialText(a.Logged), a.Line)
}
