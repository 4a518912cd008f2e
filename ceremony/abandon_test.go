package ceremony_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// noting is a Script that remembers what there was to choose from.
type noting struct {
	prompt.Script
	choices map[string][]string // keys, by the prompt's id
}

func (n *noting) Choose(ctx context.Context, p prompt.Prompt, choices []prompt.Choice) (string, error) {
	n.choices[p.ID] = nil
	for _, c := range choices {
		n.choices[p.ID] = append(n.choices[p.ID], c.Key)
	}
	return n.Script.Choose(ctx, p, choices)
}

// abandon gives the live draft up, and returns who could be named.
func (g *gathering) abandon(t testing.TB, desk *ceremony.Desk, elsewhere string) []string {
	t.Helper()
	a := &noting{prompt.Script{Answers: maps.Clone(g.script.Answers)}, map[string][]string{}}
	a.Answers["abandon.why"] = "a test"
	if elsewhere != "" {
		a.Answers["abandon.elsewhere 1"] = elsewhere
	}
	if err := desk.Run(t.Context(), "abandon", a); err != nil {
		t.Fatal(err)
	}
	return a.choices["abandon.elsewhere 1"]
}

// farahStartsOver gives Farah's key up, and makes and reviews another draft.
func (g *gathering) farahStartsOver(t testing.TB, desk *ceremony.Desk) {
	t.Helper()
	a := &prompt.Script{Answers: maps.Clone(g.script.Answers)}
	a.Answers["restart.who"], a.Answers["restart.why"] = "farah", "a test"
	for _, id := range []string{"restart", "enrol farah", "review"} {
		if err := desk.Run(t.Context(), id, a); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
}

func taskOf(t testing.TB, desk *ceremony.Desk, id string) prompt.Task {
	t.Helper()
	for _, task := range desk.Tasks() {
		if task.ID == id {
			return task
		}
	}
	return prompt.Task{ID: id, State: "not there"}
}

func (g *gathering) collect(t testing.TB, desk *ceremony.Desk, ids ...string) *ceremony.CollectedRoot {
	t.Helper()
	var last *ceremony.CollectedRoot
	for _, id := range ids {
		collected, err := desk.Collect(g.files[id])
		if err != nil {
			t.Fatal(err)
		}
		last = collected.Root
	}
	return last
}

// A draft that could be completed elsewhere is the last one of its version.
func TestDraftThatSomebodyMayHaveCompleted(t *testing.T) {
	g := newGathering(t)
	chen := g.signers[2]
	_, desk := g.duplicate()
	g.collect(t, desk, "alice", chen)
	offered := g.abandon(t, desk, "bruno")
	if slices.Contains(offered, "alice") || slices.Contains(offered, chen) || len(offered) != 5 { // Bruno, Dana, Emil, Farah, nobody
		t.Errorf("offered: %v", offered)
	}
	review := taskOf(t, desk, "review")
	if review.State != prompt.Blocked || !strings.Contains(review.Reason, "could still be completed with signatures that Bruno Ferraz may have made elsewhere") {
		t.Errorf("%+v", review)
	}
	// It stays so when he says that he did, and when the program starts again.
	collected := g.collect(t, desk, "bruno")
	if !collected.Abandoned || !strings.Contains(collected.Counts, "has all its signatures: it is root v2") {
		t.Errorf("%+v", collected)
	}
	desk.Close()
	again, err := (&stage{t: t, dir: desk.Dir(), drawer: g.drawer, shared: g.tokens()}).open(clock)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if review := taskOf(t, again, "review"); review.State != prompt.Blocked || !strings.Contains(review.Reason, "has all its signatures") {
		t.Errorf("%+v", review)
	}
}

// Another draft is made once a holder starts over, and anyone who signed the first
// one signs nothing more of this version. Nothing of an abandoned draft gets out.
func TestAnotherDraft(t *testing.T) {
	g := newGathering(t)
	chen, dana := g.signers[2], g.signers[3]
	there, desk := g.duplicate()
	g.collect(t, desk, "alice", chen)
	g.abandon(t, desk, "")
	runTasks(t, desk, g.script, "rollcall review")
	err := desk.Run(t.Context(), "review", g.script)
	if err == nil || !strings.Contains(err.Error(), "made as if it had never been abandoned (hint: take that one up again; a holder who starts over makes it another one") {
		t.Errorf("the same draft again: %v", err)
	}
	g.farahStartsOver(t, desk)
	for _, id := range []string{"alice", chen} {
		if sign := taskOf(t, desk, "sign "+id); sign.State != prompt.Blocked || !strings.Contains(sign.Reason, "has signed the abandoned draft") {
			t.Errorf("%+v", sign)
		}
	}
	// A second time it can be said of Alice too that she may have signed.
	_, third := there.duplicate()
	if offered := g.abandon(t, third, "alice"); !slices.Contains(offered, "alice") || !slices.Contains(offered, chen) || len(offered) != 7 {
		t.Errorf("offered: %v", offered)
	}
	third.Close()
	// What comes late of the first draft is counted, also by a key that Farah has
	// no more.
	_, late := there.duplicate()
	if one := g.collect(t, late, "farah").Signatures[0]; !one.Taken || one.Name != "Farah Aziz" {
		t.Errorf("%+v", one)
	}
	if sign := taskOf(t, late, "sign farah"); sign.State != prompt.Blocked || !strings.Contains(sign.Reason, "Farah Aziz has signed the abandoned draft") {
		t.Errorf("Farah signs twice: %+v", sign)
	}
	collected := g.collect(t, late, dana)
	for _, id := range []string{"sign bruno", "publish"} {
		if task := taskOf(t, late, id); task.State != prompt.Blocked {
			t.Errorf("%+v", task)
		}
	}
	if !strings.Contains(collected.Counts, "has all its signatures: it is root v2, and another one of that version would part the clients for good") {
		t.Error(collected.Counts)
	}
	late.Close()

	emil := desk.State().Plan.Drops[2].ID
	for _, id := range []string{"bruno", dana, emil, "farah"} {
		if err := desk.Run(t.Context(), "sign "+id, g.script); err != nil {
			t.Fatal(err)
		}
	}
	if task := taskOf(t, desk, "abandon"); task.State != "not there" {
		t.Errorf("a root can be abandoned: %+v", task)
	}
	if err := desk.Run(t.Context(), "publish", g.script); err != nil {
		t.Fatal(err)
	}
	if task := taskOf(t, desk, "abandon"); task.State != "not there" {
		t.Errorf("a published root can be abandoned: %+v", task)
	}
	if collected := g.collect(t, desk, "farah", dana); !strings.Contains(collected.Counts, "has all its signatures too: there are two roots of version 2 now") {
		t.Errorf("%+v", collected)
	}
	if err := runAll(desk, g.script); err != nil {
		t.Fatal(err)
	}
	f, err := tuf.Parse(published(t, there.dir)[1])
	if err != nil || len(f.Signatures) != 4 {
		t.Errorf("%v, %d signatures", err, len(f.Signatures))
	}
	given, err := tuf.Parse(g.files["all"])
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(filepath.Join(there.dir, state.PublishDir), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(name)
		for _, sig := range given.Signatures {
			if bytes.Contains(text, []byte(hex.EncodeToString(sig.Sig))) {
				t.Errorf("%s holds a signature of the abandoned draft", name)
			}
		}
		return err
	})
	if err != nil || files < 4 {
		t.Errorf("%d files: %v", files, err)
	}
}

// Anyone who signed an abandoned draft, and another one elsewhere all the same, is
// not counted for that, and remembered in case it is abandoned too.
func TestTwoDraftsSignedByOne(t *testing.T) {
	g := newGathering(t)
	there, desk := g.duplicate()
	g.abandon(t, desk, "")
	g.farahStartsOver(t, desk)
	again := there.signedElsewhere(g.script, "alice", "bruno")
	g.collect(t, desk, "alice") // of the first draft
	collected, err := desk.Collect(again)
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range collected.Root.Signatures {
		if alice := sig.Name == "Alice Costa"; sig.Wrong != alice || sig.Taken == alice || alice && !strings.Contains(sig.Text, "nobody signs two drafts of one version; it was kept, and does not count") {
			t.Errorf("%+v", sig)
		}
	}
	if counts := desk.State().Counts(); counts[0].Have != 1 || counts[1].Have != 1 {
		t.Errorf("%+v", counts)
	}
	g.abandon(t, desk, "")
	ab := desk.State().Abandoned
	if len(ab) != 2 || len(ab[0].Signed) != 1 || len(ab[1].Signed) != 2 {
		t.Errorf("%d abandoned: %+v", len(ab), ab)
	}
}

// What was signed in a ceremony that came to nothing binds the next one for the
// same version.
func TestAnotherDirectoryForTheSameVersion(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	aborted, desk := first.follow(following(agreed.Rotate, "", people...))
	runTo(t, desk, "sign alice")
	planned := strings.Replace(following(agreed.Rotate, "[root]\nexpires = \"2028-01-01T00:00:00Z\"", people...), "trusted =", fmt.Sprintf("earlier = [%q]\ntrusted =", aborted.dir), 1)
	refused := func(want string) {
		t.Helper()
		next, _ := first.follow(planned)
		read, err := plan.Read(filepath.Join(next.dir, state.PlanFile))
		if err == nil {
			_, err = read.Resolve(noon)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%v, not %q", err, want)
		}
	}
	refused("it has a live draft of root v2")
	for _, task := range []string{"sign alice", "abandon"} {
		answers := map[string]string{"abandon.why": "a wrong date", "abandon.elsewhere 1": "bruno"}
		if err := desk.Run(t.Context(), task, &prompt.Script{Answers: answers}); err != nil {
			t.Fatal(err)
		}
	}
	next, desk := first.follow(planned)
	runTo(t, desk, "sign chen")
	for _, id := range []string{"alice", "bruno"} {
		if err := desk.Run(t.Context(), "sign "+id, &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "in an earlier ceremony") {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	planned = strings.Replace(planned, aborted.dir, next.dir, 1)
	refused("it has published root v2")
}

// A draft that was abandoned by mistake, or that nothing else can follow, is
// taken up again: a renewal makes no other one.
func TestAbandonedDraftTakenUpAgain(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	soon := noon.Add(20 * time.Hour).UTC().Format(time.RFC3339)
	s, desk := first.follow(following(agreed.Rotate, fmt.Sprintf("[root]\nexpires = %q", soon), members(t, desk)...))
	runTo(t, desk, "sign bruno")
	digest := desk.State().Draft.Digest
	abandon := &prompt.Script{Answers: map[string]string{"abandon.why": "a mistake", "abandon.elsewhere 1": "chen"}}
	said := ""
	abandon.Say = func(m prompt.Message) { said += strings.Join(m.Text, "\n") }
	if err := desk.Run(t.Context(), "abandon", abandon); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "No holder of this plan gets a new key") {
		t.Errorf("not told that this plan makes no other draft: %s", said)
	}
	if next, ok := desk.Next(); ok {
		t.Errorf("%s is next, and nothing can be done but to take it up again", next.ID)
	}
	if status := strings.Join(desk.Status(), "\n"); !strings.Contains(status, "make the abandoned draft again") {
		t.Error(status)
	}
	if err := desk.Run(t.Context(), "resume "+digest[:8], &prompt.Script{Answers: map[string]string{"resume.why": "it was right"}}); err != nil {
		t.Fatal(err)
	}
	if now := desk.State(); now.Draft == nil || now.Draft.Digest != digest || now.Reviewed != nil || len(now.Signatures()) != 1 {
		t.Fatalf("%+v", now.Draft)
	}
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if chain := published(t, s.dir); len(chain) != 2 {
		t.Fatalf("%d roots", len(chain))
	}
}

// Where too few are left who have signed nothing, that is said before, and no
// draft is made that could not be signed.
func TestTooFewForAnotherDraft(t *testing.T) {
	g := newGathering(t)
	there, desk := g.duplicate()
	g.collect(t, desk, "alice", "bruno") // of the new root only Farah is left
	digest := desk.State().Draft.Digest
	said := ""
	g.script.Say = func(m prompt.Message) { said += strings.Join(m.Text, "\n") }
	g.script.Answers["abandon.why"], g.script.Answers["resume.why"] = "a mistake", "it was right"
	if err := desk.Run(t.Context(), "abandon", g.script); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "Then too few are left to sign another one") {
		t.Errorf("not said before: %s", said)
	}
	if review := taskOf(t, desk, "review"); review.State != prompt.Blocked || !strings.Contains(review.Reason, "too few are left who have signed no draft of this version") {
		t.Errorf("%+v", review)
	}
	if err := desk.Run(t.Context(), "resume "+digest[:8], g.script); err != nil {
		t.Fatal(err)
	}
	if err := runAll(desk, g.script); err != nil {
		t.Fatal(err)
	}
	if chain := published(t, there.dir); len(chain) != 2 {
		t.Errorf("%d roots", len(chain))
	}
}
