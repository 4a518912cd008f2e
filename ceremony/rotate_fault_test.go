package ceremony_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys/virtual"
)

// sweep is a ceremony that follows on another, which is begun anew for each
// power failure, with tokens as the first one left them.
type sweep struct {
	t      *testing.T
	dir    string // before its first event
	tokens string
	script *prompt.Script
	next   func(*stage, *ceremony.Desk) (bool, error) // what goes before the next task, if anything
}

func newSweep(t *testing.T, plan func([]member) string, next func(*sweep, *stage, *ceremony.Desk) (bool, error)) *sweep {
	t.Helper()
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	w := &sweep{t: t, dir: t.TempDir(), tokens: first.tokens(), script: &prompt.Script{Answers: map[string]string{}}}
	people := members(t, desk)
	text := plan(people)
	for _, m := range people {
		w.script.Answers["holder.pin old-"+m.key[:8]] = ceremony.RehearsalPIN(idOf(m.name))
	}
	if _, err := first.drawer.Add("F-06", virtual.Options{}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{state.PlanFile: []byte(text), agreed.TrustedDir + "/1.root.json": published(t, first.dir)[0]} {
		if err := transcript.WriteWithin(w.dir, name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.next = func(s *stage, d *ceremony.Desk) (bool, error) { return next(w, s, d) }
	return w
}

// begin copies directory and tokens.
func (w *sweep) begin() *stage {
	w.t.Helper()
	w.script.Cards = nil // it is another day's
	s := &stage{t: w.t, dir: filepath.Join(w.t.TempDir(), "d"), shared: filepath.Join(w.t.TempDir(), "tokens")}
	for to, from := range map[string]string{s.dir: w.dir, s.shared: w.tokens} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			w.t.Fatal(err)
		}
	}
	var err error
	if s.drawer, err = virtual.OpenDrawer(s.shared); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// hold goes on with it to its end, wherever it stands.
func (w *sweep) hold(s *stage, clock func() time.Time) (ended bool, err error) {
	desk, err := s.open(clock)
	defer func() {
		if desk != nil {
			_ = desk.Close()
		}
		if p := recover(); p != nil && p != (powerFailure{}) {
			panic(p)
		}
	}()
	if err != nil {
		return false, err
	}
	tokens := desk.Tokens()
	tokens.Stickers = append([]string{"F-06"}, allStickers...)
	desk.UseTokens(tokens)
	for {
		did, err := w.next(s, desk)
		if err != nil {
			return false, err
		}
		if did {
			continue
		}
		task, ok := desk.Next()
		if !ok {
			return true, nil
		}
		if err := desk.Run(context.Background(), task.ID, w.script); err != nil {
			return false, fmt.Errorf("%s: %w", task.ID, err)
		}
	}
}

// run fails at every event in turn, and once more after it.
func (w *sweep) run(check func(*stage, *state.State)) {
	t := w.t
	t.Helper()
	step := 1
	if testing.Short() {
		step = 9
	}
	calls := 0
	for n := 1; ; n += step {
		if calls++; calls > 500 {
			t.Fatal("the ceremony has no end")
		}
		s := w.begin()
		ended, err := w.hold(s, failingAt(n))
		if err != nil {
			t.Fatalf("before event %d: %v", n, err)
		}
		before := logOf(t, s.dir)
		if again, err := w.hold(s, clock); err != nil || !again {
			t.Fatalf("after event %d: %v", n, err)
		}
		log := logOf(t, s.dir)
		if !bytes.HasPrefix(log, before) {
			t.Fatalf("after event %d: something recorded is gone", n)
		}
		now, err := state.Fold(events(t, s.dir))
		if err != nil || !now.Finished() || len(published(t, s.dir)) != 2 {
			t.Fatalf("after event %d: %v, finished: %v", n, err, now != nil && now.Finished())
		}
		for _, h := range now.Holders {
			if h.Open != nil {
				t.Errorf("after event %d: what was intended for %s has no result: %+v", n, h.Holder.Name, h.Open)
			}
		}
		check(s, now)
		os.RemoveAll(filepath.Dir(s.dir))
		os.RemoveAll(filepath.Dir(s.shared))
		if ended {
			if lines := bytes.Count(log, []byte("\n")); lines < 30 {
				t.Errorf("a log of %d lines shows little", lines)
			}
			t.Logf("%d power failures", calls-1)
			return
		}
		if t.Failed() {
			t.Fatalf("after event %d", n)
		}
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
	w.run(func(s *stage, now *state.State) {
		chen := now.Plan.Drops[0].ID
		if len(now.Abandoned) != 1 || now.Holders["alice"].Signature.Digest != now.Abandoned[0].Draft.Digest || now.Holders[chen].Signature.Digest != now.Draft.Digest {
			t.Errorf("abandoned: %+v", now.Abandoned)
		}
		made := map[string]int{}
		for _, e := range events(t, s.dir) {
			if e.Type == state.TypeSignatureMade || e.Type == state.TypeSigCollected {
				made[e.By]++
			}
		}
		for id, n := range made {
			if n != 1 {
				t.Errorf("%s has signed %d times", id, n)
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
	w.run(func(s *stage, now *state.State) {
		if now.Plan.Kind != agreed.Revoke || len(now.Abandoned) != 0 || len(now.Signatures()) != 5 {
			t.Errorf("%s, %d signatures", now.Plan.Kind, len(now.Signatures()))
		}
		if key := now.Plan.Drops[0].KeyID; strings.Contains(string(published(t, s.dir)[1]), key) {
			t.Errorf("the stolen key is in the new root")
		}
	})
}
