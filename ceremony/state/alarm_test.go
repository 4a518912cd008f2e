package state

import (
	"slices"
	"strings"
	"testing"
)

// While an alarm is open, nothing is sealed, drafted, signed or published.
func TestNothingGoesOnUnderAnAlarm(t *testing.T) {
	all := logs(t)["alarms"]
	var raised []int
	for i, e := range all {
		if e.Type == TypeAlarmRaised {
			raised = append(raised, i)
		}
	}
	if len(raised) != 2 {
		t.Fatalf("%d alarms", len(raised))
	}
	for i, e := range all {
		switch e.Type {
		case TypeKeyIntended, TypeDraftMade, TypeSignatureIntended, TypeRootPublished:
			before, err := Fold(all[:i])
			if err != nil {
				t.Fatal(err)
			}
			before.Alarms = []Alarm{{AlarmRaised: AlarmRaised{Act: Act{Holder: "alice", Serial: 1}}}}
			if _, err := before.With(e); err == nil || !strings.Contains(err.Error(), "there is an alarm") {
				t.Errorf("line %d (%s): %v", e.Seq, e.Type, err)
			}
		}
	}
	// It ends by nothing else than the token, or starting over.
	for i, e := range all {
		if e.Type == TypeAlarmEnded && strings.Contains(string(e.Data), `"keys":[]`) {
			from := raised[1]
			early := slices.Insert(slices.Clone(all[:from+1]), from+1, all[i])
			if _, err := Fold(early); err == nil || !strings.Contains(err.Error(), "the live draft is not abandoned") {
				t.Errorf("ended at once: %v", err)
			}
		}
	}
}
