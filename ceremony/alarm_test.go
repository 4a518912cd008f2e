package ceremony_test

import (
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys/virtual"
)

// filledAnew gives a token other keys, outside of the ceremony.
func (s *stage) filledAnew(t testing.TB, sticker string) {
	t.Helper()
	child := s.session(t, sticker)
	if err := child.Reset(); err != nil {
		t.Fatal(err)
	}
	child.Close()
	s.useElsewhere(t, sticker)
}

// withAlarm is a pair with another token, prepared elsewhere: at the task, Alice says
// that it is the one that she enrolled.
func withAlarm(t *testing.T, task, wait string) (*stage, *ceremony.Desk) {
	t.Helper()
	s, desk := newPair(t, 2).opened()
	if _, err := s.drawer.Add("OTHER", virtual.Options{}); err != nil {
		t.Fatal(err)
	}
	runTo(t, desk, task)
	s.useElsewhere(t, "OTHER")
	err := desk.Run(t.Context(), task, &prompt.Script{Answers: map[string]string{wait: "OTHER", "alarm.theirs alice": "yes"}})
	if err == nil || !strings.Contains(err.Error(), "there is an alarm: Alice Costa says that token") {
		t.Fatalf("no alarm: %v", err)
	}
	return s, desk
}

func alarmsOf(t testing.TB, s *stage) (raised, ended int) {
	t.Helper()
	for _, e := range events(t, s.dir) {
		switch e.Type {
		case state.TypeAlarmRaised:
			raised++
		case state.TypeAlarmEnded:
			ended++
		}
	}
	return raised, ended
}

// The token of another holder is no alarm: it is said whose it is, and theirs is
// waited for.
func TestTokenOfAnotherHolderIsNoAlarm(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "sign alice")
	err := desk.Run(t.Context(), "sign alice", &prompt.Script{Answers: map[string]string{"sign.token alice": "B-02"}})
	if err == nil || !strings.Contains(err.Error(), "is Bruno Ferraz's (hint: insert Alice Costa's token, sticker A-01)") {
		t.Errorf("the token of Bruno: %v", err)
	}
	if raised, _ := alarmsOf(t, s); raised != 0 {
		t.Errorf("%d alarms", raised)
	}
	if err := desk.Run(t.Context(), "sign alice", &prompt.Script{}); err != nil {
		t.Error(err)
	}
}

// A token that the log knows, with another key, is an alarm, at whatever task it
// comes. It stops the ceremony, stays through a start, and no task goes around it.
func TestKnownTokenWithAnotherKey(t *testing.T) {
	s, desk := newPair(t, 2).opened()
	runTo(t, desk, "sign alice")
	s.filledAnew(t, "A-01")
	err := desk.Run(t.Context(), "sign alice", &prompt.Script{})
	if err == nil || !strings.Contains(err.Error(), "of Alice Costa came with other keys than the log has") {
		t.Fatalf("no alarm: %v", err)
	}
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	s, desk = s.opened()
	for _, id := range []string{"sign alice", "sign bruno", "publish"} {
		if task := taskOf(t, desk, id); task.State != prompt.Blocked || !strings.Contains(task.Reason, "there is an alarm") && id != "publish" {
			t.Errorf("%s: %+v", id, task)
		}
	}
	if alarm := desk.Alarm(); !strings.HasPrefix(alarm, "ALARM: token ") {
		t.Errorf("header: %q", alarm)
	}
	if err := desk.Run(t.Context(), "alarm alice", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "other keys than the log has") {
		t.Errorf("compared again: %v", err)
	}
	if raised, ended := alarmsOf(t, s); raised != 1 || ended != 0 {
		t.Errorf("%d raised, %d ended", raised, ended)
	}

	// The other way out: abandon, and start over everyone it touches.
	a := &prompt.Script{Answers: map[string]string{"abandon.why": "an alarm", "restart.who": "alice", "restart.why": "an alarm"}}
	runTasks(t, desk, a, "abandon", "restart")
	if task := taskOf(t, desk, "alarm alice"); task.State != prompt.Blocked || !strings.Contains(task.Reason, "what Bruno Ferraz has was sealed for the key in 82 that the log had of Alice Costa's token") {
		t.Errorf("after Alice: %+v", task)
	}
	if task := taskOf(t, desk, "review"); task.State != prompt.Blocked {
		t.Errorf("review: %+v", task)
	}
	a.Answers["restart.who"] = "bruno"
	runTasks(t, desk, a, "restart")
	if raised, ended := alarmsOf(t, s); raised != 1 || ended != 1 {
		t.Errorf("%d raised, %d ended", raised, ended)
	}
	a = &prompt.Script{Answers: map[string]string{"holder.prepared alice": "wipe"}}
	if err := runAll(desk, a); err != nil {
		t.Fatal(err)
	}
	checkSigned(t, s.dir, 2)
	if status := strings.Join(desk.Status(), "\n"); !strings.Contains(status, "alarm: token ") || !strings.Contains(status, ": ended (line ") {
		t.Errorf("status:\n%s", status)
	}
	if alarm := desk.Alarm(); alarm != "" {
		t.Errorf("header: %q", alarm)
	}
}

// An unknown token that isn't new, and that a holder takes for the one that they
// enrolled, is an alarm: the log may have been changed. Nothing is sealed then, and
// no exception is offered. It ends when the token that was enrolled comes.
func TestUnknownTokenThatIsTheirs(t *testing.T) {
	s, desk := withAlarm(t, "key alice", "key.token alice")
	for _, id := range []string{"key alice", "key bruno", "review"} {
		if task := taskOf(t, desk, id); task.State != prompt.Blocked || id != "review" && !strings.Contains(task.Reason, "there is an alarm") {
			t.Errorf("%s: %+v", id, task)
		}
	}
	if next, ok := desk.Next(); !ok || next.ID != "alarm alice" {
		t.Errorf("next: %+v", next)
	}
	again := &prompt.Script{Answers: map[string]string{"alarm.token alice": "OTHER", "alarm.theirs alice": "yes"}}
	if err := desk.Run(t.Context(), "alarm alice", again); err == nil || !strings.Contains(err.Error(), "there is an alarm") {
		t.Errorf("with the same token: %v", err)
	}
	unsure := &prompt.Script{Answers: map[string]string{"alarm.agrees alice": "no"}}
	if err := desk.Run(t.Context(), "alarm alice", unsure); err == nil || !strings.Contains(err.Error(), "there is an alarm") {
		t.Errorf("not sure: %v", err)
	}
	if raised, ended := alarmsOf(t, s); raised != 1 || ended != 0 {
		t.Errorf("%d raised, %d ended", raised, ended)
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if raised, ended := alarmsOf(t, s); raised != 1 || ended != 1 {
		t.Errorf("%d raised, %d ended", raised, ended)
	}
	if alarms := desk.State().Alarms; len(alarms) != 1 || alarms[0].Ended == 0 {
		t.Errorf("alarms: %+v", alarms)
	}
	checkSigned(t, s.dir, 2)
}

// A holder who says that it is another one is asked for theirs, and once for each
// token.
func TestUnknownTokenThatIsNot(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "sign alice")
	if _, err := s.drawer.Add("OTHER", virtual.Options{}); err != nil {
		t.Fatal(err)
	}
	s.useElsewhere(t, "OTHER")
	var asked []string
	a := &prompt.Script{Answers: map[string]string{"sign.token alice": "OTHER"}, Say: func(m prompt.Message) { asked = append(asked, m.Title) }}
	err := desk.Run(t.Context(), "sign alice", a)
	if err == nil || !strings.Contains(err.Error(), "(hint: insert the token with the sticker A-01)") {
		t.Errorf("another token: %v", err)
	}
	asked = slices.DeleteFunc(asked, func(title string) bool { return title != "Alice Costa: another token is in the reader" })
	if raised, _ := alarmsOf(t, s); raised != 0 || len(asked) != 1 {
		t.Errorf("%d alarms, asked %d times", raised, len(asked))
	}
}

// alarmsLog has alarms that end in both ways.
func alarmsLog(t *testing.T) wholeLog {
	t.Helper()
	s, desk := withAlarm(t, "key alice", "key.token alice")
	runTo(t, desk, "sign alice")
	s.filledAnew(t, "A-01")
	if err := desk.Run(t.Context(), "sign alice", &prompt.Script{}); err == nil {
		t.Fatal("no alarm")
	}
	a := &prompt.Script{Answers: map[string]string{"abandon.why": "an alarm", "restart.who": "alice", "restart.why": "an alarm"}}
	runTasks(t, desk, a, "abandon", "restart")
	a.Answers["restart.who"] = "bruno"
	runTasks(t, desk, a, "restart")
	if err := runAll(desk, &prompt.Script{Answers: map[string]string{"holder.prepared alice": "wipe"}}); err != nil {
		t.Fatal(err)
	}
	return wholeLogOf(t, s.dir)
}
