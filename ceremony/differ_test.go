package ceremony_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// differs has the second machine show other words, and returns what is shown then.
func differs(t testing.TB, desk *ceremony.Desk) string {
	t.Helper()
	var shown strings.Builder
	err := desk.Run(t.Context(), "review", &prompt.Script{Answers: map[string]string{"review.second": "differ"},
		Say: func(m prompt.Message) { fmt.Fprintln(&shown, textOf(m)) }})
	if err == nil || !strings.Contains(err.Error(), "the second machine shows other words") || !strings.Contains(err.Error(), "nothing is signed") {
		t.Fatalf("%v", err)
	}
	return shown.String()
}

// Where the second machine shows other words the ceremony stops: it says what to
// do, that is an exception, and nothing is signed or published, after any start of
// the program and by nobody's default, until a machine shows the same words.
func TestSecondMachineShowsOtherWords(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "review")
	shown := differs(t, desk)
	draft := desk.State().Draft
	for _, part := range []string{"STOP: the second machine shows other words", "Do not sign", "Leave both machines as they are", "sha256sum", grouped(draft.File.SHA256), grouped(draft.Digest), "Wanda Meyer (witness)"} {
		if !strings.Contains(shown, part) {
			t.Errorf("%q is not said:\n%s", part, shown)
		}
	}
	stopped := func(desk *ceremony.Desk, exceptions int) {
		t.Helper()
		if now := desk.State(); now.Reviewed != nil || now.Exceptions != exceptions || len(now.Signatures()) > 0 {
			t.Errorf("reviewed %v, %d exceptions, %d signatures", now.Reviewed, now.Exceptions, len(now.Signatures()))
		}
		if task, _ := desk.Next(); task.ID != "review" || !strings.Contains(task.Reason, "other words") {
			t.Errorf("next: %+v", task)
		}
		for id, want := range map[string]prompt.TaskState{"sign alice": prompt.Blocked, "publish": prompt.Blocked, "abandon": prompt.Ready} {
			if task := taskOf(t, desk, id); task.State != want {
				t.Errorf("%+v", task)
			}
		}
	}
	stopped(desk, 1)
	desk.Close()

	// The next start asks again, offers no way on without a machine, and nobody
	// answers yes for people.
	desk, err := s.open(clock, allStickers...)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	a := &noting{prompt.Script{}, map[string][]string{}}
	if err := runAll(desk, a); err == nil || !strings.Contains(err.Error(), "nothing is signed") {
		t.Fatalf("it went on by itself: %v", err)
	}
	if choices := a.choices["review.second"]; slices.Contains(choices, "no") || !slices.Contains(choices, "yes") || !slices.Contains(choices, "differ") {
		t.Errorf("to choose from: %v", choices)
	}
	stopped(desk, 2)
	again := append(events(t, s.dir), transcript.Event{Type: state.TypeDraftReviewed, Data: fmt.Appendf(nil, `{"digest":%q,"second_machine":false}`, draft.Digest)})
	if _, err := state.Fold(again); err == nil || !strings.Contains(err.Error(), "other words") {
		t.Errorf("reviewed without a machine: %v", err)
	}

	// It is recorded before people have read what to do.
	left := &typist{Script: prompt.Script{Answers: map[string]string{"review.second": "differ"}}}
	if err := desk.Run(t.Context(), "review", left); !errors.Is(err, prompt.ErrBack) {
		t.Fatal(err)
	}
	stopped(desk, 3)

	// A machine that shows the same words lets it go on.
	if err := desk.Run(t.Context(), "review", &prompt.Script{Answers: map[string]string{"review.second": "yes"}}); err != nil {
		t.Fatal(err)
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	desk.Close()
	if now := checkSigned(t, s.dir, 5); now.Exceptions != 3 || !now.Reviewed.SecondMachine {
		t.Errorf("%d exceptions, %+v", now.Exceptions, now.Reviewed)
	}
	var differ, said int
	for _, e := range events(t, s.dir) {
		switch {
		case e.Type == state.TypeDraftDiffers && strings.Contains(string(e.Data), draft.Digest):
			differ++
		case e.Type == state.TypeException && strings.Contains(string(e.Data), "other words"):
			said++
		}
	}
	if differ != 3 || said != 3 {
		t.Errorf("recorded %d times, as an exception %d times", differ, said)
	}
}

// Signatures that come from elsewhere meanwhile do not publish the draft, nor
// does giving it up and taking it up again forget that.
func TestOtherWordsAndSignaturesFromElsewhere(t *testing.T) {
	g := newGathering(t)
	_, desk := g.duplicate()
	answers := map[string]string{"abandon.why": "a test", "resume.why": "a test"}
	run := func(ids ...string) {
		t.Helper()
		for _, id := range ids {
			if err := desk.Run(t.Context(), id, &prompt.Script{Answers: answers}); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
		}
	}
	resume := fmt.Sprintf("resume %.8s", desk.State().Draft.Digest)
	run("abandon", resume, "rollcall review")
	differs(t, desk)
	run("abandon", resume)
	if collected := g.collect(t, desk, g.signers...); collected.Alarm != "" {
		t.Fatal(collected.Alarm)
	}
	if !desk.State().Enough() {
		t.Fatal("too few signatures")
	}
	if task := taskOf(t, desk, "publish"); task.State != prompt.Blocked || !strings.Contains(task.Reason, "other words") {
		t.Errorf("%+v", task)
	}
	if task, _ := desk.Next(); task.ID != "review" {
		t.Errorf("next: %+v", task)
	}
	answers["review.second"] = "yes"
	run("review")
	if err := runAll(desk, g.script); err != nil {
		t.Error(err)
	}
}

// The same far from the room: what was compared on another way says otherwise.
func TestCountersignOtherWords(t *testing.T) {
	d := newDesktop(t)
	one, _ := d.rotation()
	set := d.settings()
	other := set
	other.File = d.file("other.json", d.root(2, noon.Add(2*inAYear), "both", "p256", "new"), one)
	other.Out = filepath.Join(d.dir, "other.signed.json")
	stopped := func(why, says string, a prompt.Room) {
		t.Helper()
		if _, err := d.signs(set, a); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", why, err)
		}
		if _, err := os.Stat(set.Out); err == nil {
			t.Fatalf("%s: it was signed", why)
		}
	}
	a := d.person("new", "sign.second", "differ")
	stopped("they differ", "other words", a)
	file, err := os.ReadFile(set.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"STOP: ", "Do not sign", "sha256sum", grouped(sha256Of(file)), grouped(sha256Of(d.parsed(set.File).Signed)), "Call the room"} {
		if !strings.Contains(a.shown.String(), part) {
			t.Errorf("%q is not said:\n%s", part, &a.shown)
		}
	}
	if strings.Count(d.memory(), "\n") != 1 || !strings.Contains(d.memory(), `"differs":true`) {
		t.Errorf("remembered:\n%s", d.memory())
	}
	// The same command begins again, on this laptop, and does not go on by itself.
	stopped("nobody said otherwise", "other words", d.person("new"))
	stopped("without another machine", "not one of the choices", d.person("new", "sign.second", "no"))
	if _, err := d.signs(set, d.person("new", "sign.second", "yes")); err != nil {
		t.Errorf("the same words after all: %v", err)
	}
	// It is of that root alone.
	if _, err := d.signs(other, d.person("both", "sign.second", "no")); err != nil {
		t.Errorf("another root: %v", err)
	}
}
