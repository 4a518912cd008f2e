package ceremony

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Of every way in which two keys serve three roles: it is warned of exactly
// those in which one key signs for targets and for another role, and what is
// said of its thief is true.
func TestSharedKeysOfEveryLayout(t *testing.T) {
	pair := []tuf.Key{mustKey(placeholder(keys.Ed25519, "a")), mustKey(placeholder(keys.Ed25519, "b"))}
	layouts := []ResolvedRole{{1, pair[:1]}, {1, pair[1:]}, {1, pair}, {2, pair}}
	warned, alone := 0, 0
	for i := range len(layouts) * len(layouts) * len(layouts) {
		r := resolvedExample(t)
		r.Roles = map[string]ResolvedRole{"timestamp": layouts[i%4], "snapshot": layouts[i/4%4], "targets": layouts[i/16]}
		check := CheckPlan(r, planNow)
		for _, key := range pair {
			serves := func(name string) bool {
				return slices.ContainsFunc(r.Roles[name].Keys, func(k tuf.Key) bool { return k.Value() == key.Value() })
			}
			shared := serves("targets") && (serves("timestamp") || serves("snapshot"))
			j := slices.IndexFunc(check.Warnings, func(w string) bool { return strings.Contains(w, key.ID[:8]) })
			if j < 0 != !shared {
				t.Fatalf("%d: shared %v, warnings %q", i, shared, check.Warnings)
			}
			if !shared {
				continue
			}
			warned++
			text, lacks := check.Warnings[j], 0
			for _, name := range onlineRoles {
				more := r.Roles[name].Threshold
				if serves(name) {
					more--
				}
				said := strings.Contains(text, fmt.Sprintf("%d more for %s", more, name))
				if said != (more > 0) {
					t.Errorf("%d: a thief lacks %d signatures of %s: %s", i, more, name, text)
				}
				lacks += more
			}
			if strings.Contains(text, "alone") != (lacks == 0) || !strings.Contains(text, "any software") {
				t.Errorf("%d: a thief lacks %d signatures: %s", i, lacks, text)
			}
			if lacks == 0 {
				alone++
			}
			if !slices.Contains(check.Lines(), "warning: "+text) {
				t.Errorf("%d: it is not shown", i)
			}
		}
	}
	if warned == 0 || alone == 0 {
		t.Errorf("%d warnings, %d of a thief who needs nobody", warned, alone)
	}
}

// told is answers that keeps what it was told.
type told struct {
	answers
	said []string
}

func (a *told) Tell(_ context.Context, m Message) error {
	a.said = append(a.said, append(m.Text, m.Lines...)...)
	return nil
}

func (a *told) Ask(ctx context.Context, p Prompt, check func(string) error) (string, error) {
	if p.ID == "plan.role.targets" && !strings.Contains(strings.Join(p.Text, " "), "a key of its own") {
		a.t.Errorf("nobody says why targets has no default: %q", p.Text)
	}
	return a.answers.Ask(ctx, p, check)
}

// Enter alone never gives targets a key that is online. Whoever names that key
// is told at once what its thief can do.
func TestInterviewOfSharedKeys(t *testing.T) {
	dir := keyFolder(t)
	script := interviewScript()
	script["plan.role.timestamp"], script["plan.role.snapshot"] = "keys/timestamp.pub", ""
	script["plan.role.targets"] = "\n \nsnapshot\nkeys/timestamp.pub"
	a := &told{answers: answers{t: t, script: script}}
	come, err := Interview(t.Context(), a, dir, Create, planNow)
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
	p, err := ReadPlan(filepath.Join(dir, PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(planNow)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range CheckPlan(r, planNow).Warnings {
		if strings.Contains(w, "targets") && !strings.Contains(said, w[1:]) {
			t.Errorf("the wizard did not say %q:\n%s", w, said)
		}
	}
}
