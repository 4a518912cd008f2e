package ceremony_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/virtual"
)

// sweep is a ceremony that follows on another, with its tokens.
type sweep struct {
	*stage
	script *prompt.Script
	next   func(*stage, *ceremony.Desk) (bool, error) // what goes before the next task, if anything
}

func newSweep(t *testing.T, plan func([]member) string, next func(*sweep, *stage, *ceremony.Desk) (bool, error)) *sweep {
	t.Helper()
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	w := &sweep{stage: &stage{t: t, dir: t.TempDir(), drawer: first.drawer, shared: first.tokens()}, script: &prompt.Script{Answers: map[string]string{}}}
	people := members(t, desk)
	text := plan(people)
	for _, m := range people {
		w.script.Answers["holder.pin old-"+m.key[:8]] = ceremony.RehearsalPIN(idOf(m.name))
	}
	if _, err := first.drawer.Add("F-06", virtual.Options{}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{state.PlanFile: []byte(text), agreed.TrustedDir + "/1.root.json": published(t, first.dir)[0]} {
		if err := disk.WriteWithin(w.dir, name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.next = func(s *stage, d *ceremony.Desk) (bool, error) { return next(w, s, d) }
	return w
}

// hold goes on with it to its end, wherever it stands.
func (w *sweep) hold(s *stage, clock func() time.Time) {
	t := s.t
	t.Helper()
	desk, err := s.open(clock)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	tokens := desk.Tokens()
	tokens.Stickers = append([]string{"F-06"}, allStickers...)
	desk.UseTokens(tokens)
	script := *w.script
	script.Cards = nil // those of the day before were not kept
	for {
		did, err := w.next(s, desk)
		if err != nil {
			t.Fatal(err)
		}
		if did {
			continue
		}
		task, ok := desk.Next()
		if !ok {
			return
		}
		if err := desk.Run(context.Background(), task.ID, &script); err != nil {
			t.Fatalf("%s: %v", task.ID, err)
		}
	}
}

// run has the power fail before an event, and goes on.
func (w *sweep) run(t *testing.T, check func(*stage, *state.State)) {
	t.Helper()
	left := w.powerFailures(func(clock func() time.Time) { w.hold(w.stage, clock) })
	if lines := bytes.Count(logOf(t, w.dir), []byte("\n")); lines < 30 {
		t.Errorf("a log of %d lines shows little", lines)
	}
	for n, s := range sampled(left) {
		t.Run(fmt.Sprint("before event ", n+1), func(t *testing.T) {
			t.Parallel()
			s.t = t
			before := logOf(t, s.dir)
			w.hold(s, clock)
			if !bytes.HasPrefix(logOf(t, s.dir), before) {
				t.Fatal("something recorded is gone")
			}
			now, err := state.Fold(events(t, s.dir))
			if err != nil || !now.Finished() || len(published(t, s.dir)) != 2 {
				t.Fatalf("%v, finished: %v", err, now != nil && now.Finished())
			}
			for _, h := range now.Holders {
				if h.Open != nil {
					t.Errorf("what was intended for %s has no result: %+v", h.Holder.Name, h.Open)
				}
			}
			check(s, now)
		})
	}
}

// A rotation in which a draft is abandoned and a signature is collected.
func TestPowerFailsInARotation(t *testing.T) {
	w := newSweep(t, func(people []member) string {
		people[2].drop, people[3].drop, people[4].drop = agreed.Retired, agreed.Compromised, agreed.Stolen
		people = append(people, member{name: "Farah Aziz", token: "F-06"})
		return following(agreed.Rotate, "[root]\nexpires = \"365d\"\nthreshold = 2\n", people...)
	}, func(w *sweep, s *stage, desk *ceremony.Desk) (bool, error) {
		now := desk.State()
		a := &prompt.Script{Answers: maps.Clone(w.script.Answers)}
		a.Answers["abandon.why"], a.Answers["restart.who"], a.Answers["restart.why"] = "a test", "farah", "a test"
		run := func(id string) (bool, error) { return true, desk.Run(context.Background(), id, a) }
		switch {
		case now.Plan == nil:
		case len(now.Abandoned) == 0 && now.Reviewed != nil && now.Holders["alice"].Signature == nil:
			return run("sign alice")
		case len(now.Abandoned) == 0 && now.Reviewed != nil:
			return run("abandon")
		case len(now.Abandoned) == 1 && now.Draft == nil && now.Holders["farah"].Key != nil:
			key, err := tuf.NewKey(now.Holders["farah"].Key.Public)
			if err != nil {
				return false, err
			}
			if _, same := now.Abandoned[0].Root.Key(key.ID); same {
				return run("restart")
			}
		case len(now.Abandoned) == 1 && now.Reviewed != nil && now.Published == nil:
			chen := now.Plan.Drops[0].ID
			if now.Holders[chen].Signature == nil {
				_, err := desk.Collect(s.signedElsewhere(w.script, chen))
				return true, err
			}
		}
		return false, nil
	})
	w.run(t, func(s *stage, now *state.State) {
		chen := now.Plan.Drops[0].ID
		if len(now.Abandoned) != 1 || now.Holders["alice"].Signature.Digest != now.Abandoned[0].Draft.Digest || now.Holders[chen].Signature.Digest != now.Draft.Digest {
			s.t.Errorf("abandoned: %+v", now.Abandoned)
		}
		made := map[string]int{}
		for _, e := range events(s.t, s.dir) {
			if e.Type == state.TypeSignatureMade || e.Type == state.TypeSigCollected {
				made[e.By]++
			}
		}
		for id, n := range made {
			if n != 1 {
				s.t.Errorf("%s has signed %d times", id, n)
			}
		}
	})
}

// A revocation: one token is stolen, and the shortest way leads past it.
func TestPowerFailsInARevocation(t *testing.T) {
	w := newSweep(t, func(people []member) string {
		people[4].drop = agreed.Stolen
		people = append(people, member{name: "Farah Aziz", token: "F-06"})
		return following(agreed.Revoke, "", people...)
	}, func(w *sweep, s *stage, desk *ceremony.Desk) (bool, error) { return false, nil })
	w.run(t, func(s *stage, now *state.State) {
		if now.Plan.Kind != agreed.Revoke || len(now.Abandoned) != 0 || len(now.Signatures()) != 5 {
			s.t.Errorf("%s, %d signatures", now.Plan.Kind, len(now.Signatures()))
		}
		if key := now.Plan.Drops[0].KeyID; strings.Contains(string(published(s.t, s.dir)[1]), key) {
			s.t.Errorf("the stolen key is in the new root")
		}
	})
}
