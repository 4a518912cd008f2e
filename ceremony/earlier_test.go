package ceremony_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
)

// The check of a plan says what people without a key can still open.
func TestEarlierCeremonies(t *testing.T) {
	s, desk := withBackups(t)
	runTo(t, desk, "review")
	// Alice's token is replaced: it opens nothing of before any more.
	answers := quorum(map[string]string{"restore.whose": "alice", "restore.what": "key"}, "dana", "bank-safe", "bruno")
	if err := desk.Run(t.Context(), "restore", &prompt.Script{Answers: answers}); err != nil {
		t.Fatal(err)
	}
	checkpoint := desk.Checkpoint().Root
	desk.Close()
	check := func(earlier string, gone ...string) (*agreed.Checked, error) {
		t.Helper()
		next := newStageOf(t, "")
		name := filepath.Join(next.dir, state.PlanFile)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), "[root]", fmt.Sprintf("earlier = [%q]\n\n[root]", earlier), 1)
		for i, person := range gone {
			changed = strings.ReplaceAll(changed, person, fmt.Sprintf("Nova Person %c", 'A'+i))
		}
		if err := os.WriteFile(name, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		planned, err := plan.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := planned.Resolve(noon)
		if err != nil {
			return nil, err
		}
		if _, err := agreed.Parse(resolved.JSON(), resolved.PrivateJSON()); err != nil {
			t.Fatal(err)
		}
		return agreed.Check(resolved, noon), nil
	}
	for _, c := range []struct {
		gone []string
		want []string
	}{
		{nil, nil},
		{[]string{"Alice Costa"}, nil},
		{[]string{"Bruno Ferraz"}, []string{`of the earlier ceremony "Example packages": Bruno Ferraz, with no key in this plan, can still open, together with 2 of those who stay, the backup of the root key of Alice Costa, Chen Wei, Dana Okafor and Emil Novak`}},
		{[]string{"Bruno Ferraz", "Chen Wei", "Dana Okafor"}, []string{
			`of the earlier ceremony "Example packages": all of Bruno Ferraz, Chen Wei and Dana Okafor, with no key in this plan, can still open the backup of the root key of Alice Costa and Emil Novak`,
			`of the earlier ceremony "Example packages": Chen Wei and Dana Okafor, with no key in this plan, can still open, together with 1 of those who stay, the backup of the root key of Bruno Ferraz`}},
	} {
		got, err := check(s.dir, c.gone...)
		if err != nil {
			t.Fatal(err)
		}
		if e := got.Plan.Earlier; len(e) != 1 || e[0].Checkpoint != checkpoint || len(e[0].Backups) != 5 || slices.Contains(e[0].Backups[1].Recipients, "Alice Costa") {
			t.Errorf("read: %+v", e)
		}
		for _, want := range c.want {
			if !slices.Contains(got.Warnings, want) {
				t.Errorf("without %v: %q, want %q", c.gone, got.Warnings, want)
			}
		}
		if said := strings.Count(strings.Join(got.Warnings, "\n"), "no key in this plan"); c.want == nil && said > 0 {
			t.Errorf("without %v: %q", c.gone, got.Warnings)
		}
	}
	for _, dir := range []string{filepath.Join(s.dir, "nowhere"), t.TempDir()} {
		if _, err := check(dir); err == nil || !strings.Contains(err.Error(), "earlier ceremony") {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
