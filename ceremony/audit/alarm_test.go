package audit_test

import (
	"testing"

	"rootceremony/ceremony/state"
	"rootceremony/keys"
)

// A log in which an alarm is open before the draft is refused at the draft, at each
// signature and at the root; one in which it is said to have ended, where it cannot
// have, at that line too.
func TestDraftUnderAnAlarm(t *testing.T) {
	for name, ends := range map[string]func(f *forger, raised int64, on state.Act){
		"open": func(*forger, int64, state.Act) {},
		"ended by starting over": func(f *forger, raised int64, on state.Act) {
			f.append(state.TypeAlarmEnded, "room", state.AlarmEnded{Act: on, Alarm: raised, Keys: []keys.SlotKey{}})
		},
		"ended by a token that differs": func(f *forger, raised int64, on state.Act) {
			f.append(state.TypeAlarmEnded, "alice", state.AlarmEnded{Act: on, Alarm: raised, Keys: []keys.SlotKey{{Slot: keys.SlotAge, Public: newSoftware(t).age}}})
		},
	} {
		r := good(t, "create").copied(t)
		r.forge(t, func(f *forger, e *event) bool {
			if e.Type == state.TypeDraftMade {
				alice := f.state().Holders["alice"]
				on := alice.Act(12345678)
				f.append(state.TypeAlarmRaised, "alice", state.AlarmRaised{Act: on, Keys: []keys.SlotKey{{Slot: keys.SlotAge, Public: newSoftware(t).age}}})
				raised := int64(len(f.log().Events))
				on.Serial = alice.Serial
				ends(f, raised, on)
			}
			return true
		})
		want := []string{"draft.made: line ", "has not ended: Alice Costa said that"}
		switch name {
		case "ended by starting over":
			want = append(want, "the live draft is not abandoned, or Alice Costa is not started over")
		case "ended by a token that differs":
			want = append(want, "the token does not have the keys that the log has")
		}
		r.refused(t, want...)
		if report := r.audit(); len(report.Alarms) != 1 || report.Alarms[0].Ended != 0 {
			t.Errorf("%s: %+v", name, report.Alarms)
		}
	}
}

// An alarm that nothing has raised, or about a token that is as the log has it, is
// none.
func TestAlarmThatIsNone(t *testing.T) {
	r := good(t, "create").copied(t)
	r.forge(t, func(f *forger, e *event) bool {
		if e.Type == state.TypeDraftMade {
			alice := f.state().Holders["alice"]
			f.append(state.TypeAlarmRaised, "alice", state.AlarmRaised{Act: alice.Act(alice.Serial), Keys: []keys.SlotKey{{Slot: keys.SlotAuthentication, Public: alice.Prepared.Authentication}}})
			f.append(state.TypeAlarmEnded, "alice", state.AlarmEnded{Act: alice.Act(alice.Serial), Alarm: 1, Keys: []keys.SlotKey{}})
		}
		return true
	})
	r.refused(t, "alarm.raised: line ", "the token has the keys that the log has", "alarm.ended: line ", "no alarm of that line is open")
}
