package interview

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
)

// told is answers that keeps what it was told.
type told struct {
	answers
	said []string
}

func (a *told) Tell(_ context.Context, m prompt.Message) error {
	a.said = append(a.said, append(m.Text, m.Lines...)...)
	return nil
}

func (a *told) Ask(ctx context.Context, p prompt.Prompt, check func(string) error) (string, error) {
	if p.ID == "plan.role.targets" && !strings.Contains(strings.Join(p.Text, " "), "a key of its own") {
		a.t.Errorf("nobody says why targets has no default: %q", p.Text)
	}
	return a.answers.Ask(ctx, p, check)
}

// Enter alone never gives targets a key that is online. Anyone who names that key
// is told at once what its thief can do.
func TestInterviewOfSharedKeys(t *testing.T) {
	dir := keyFolder(t)
	script := interviewScript()
	script["plan.role.timestamp"], script["plan.role.snapshot"] = "keys/timestamp.pub", ""
	script["plan.role.targets"] = "\n \nsnapshot\nkeys/timestamp.pub"
	a := &told{answers: answers{t: t, script: script}}
	come, err := Hold(t.Context(), a, dir, agreed.Create, planNow)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(a.said, "\n")
	if !strings.Contains(said, "signs for timestamp, snapshot and targets") {
		t.Errorf("nobody warned:\n%s", said)
	}
	if err := come.Write(dir); err != nil {
		t.Fatal(err)
	}
	p, err := plan.Read(filepath.Join(dir, state.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(planNow)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range agreed.Check(r, planNow).Warnings {
		if strings.Contains(w, "targets") && !strings.Contains(said, w[1:]) {
			t.Errorf("the wizard did not say %q:\n%s", w, said)
		}
	}
}
