package ceremony_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/rehearsal"
	"rootceremony/ceremony/state"
	"rootceremony/keys/secret"
)

func TestFinished(t *testing.T) {
	s, desk := opened(t)
	refuses := func(dir, kind, says string) {
		t.Helper()
		if _, err := rehearsal.Finished(dir, kind); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, not %q", err, says)
		}
	}
	refuses(t.TempDir(), "", "nothing can follow on it")
	refuses(s.dir, "", "is not finished (hint: rootceremony rehearse "+s.dir)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	refuses(s.dir, "pcsc", `was held on tokens of the kind ""`)
	if _, err := rehearsal.Finished(s.dir, ""); err != nil {
		t.Error(err)
	}

	real := newStage(t)
	real.real = true
	_, desk = real.opened()
	refuses(real.dir, "", "is a real ceremony, whose tokens no rehearsal uses")
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}

	read, err := plan.Read(filepath.Join(s.dir, state.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	planned, err := read.Resolve(noon)
	if err != nil {
		t.Fatal(err)
	}
	planned.Rehearsal = true
	enrolment := t.TempDir()
	desk, err = ceremony.OpenDesk(enrolment, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Enrols: "alice", Plan: planned})
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	refuses(enrolment, "", "is an enrolment")
}

// Each person who comes has a name, an id and a sticker that nobody has.
func TestNewcomers(t *testing.T) {
	_, desk := opened(t, `name = "Dana Okafor"`, `name = "Farah Aziz"`)
	for _, task := range []string{"preflight", "agree"} {
		if err := desk.Run(t.Context(), task, &prompt.Script{}); err != nil {
			t.Fatal(err)
		}
	}
	var stickers []string
	for n := range 24 {
		came := rehearsal.Newcomer(desk.State().Plan, stickers)
		want := map[int]string{0: "Goran Ilic goran G-07", 1: "Hana Sato hana H-08", 19: "Zoe Brandt zoe Z-26", 20: "Holder 27 holder-27 T-27"}[n]
		if got := came.Name + " " + came.ID + " " + came.Token; want != "" && got != want {
			t.Errorf("%d: %s, not %s", n, got, want)
		}
		stickers = append(stickers, strings.ToLower(came.Token))
	}
}

// A plan in another folder names what it named, whatever its text looks like.
func TestPlanFilesMoved(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(first.dir)
	text := following(agreed.Rotate, "", members(t, desk)...)
	here := filepath.Base(first.dir)
	if err := os.Symlink(first.dir, filepath.Join(dir, `we"ird`)); err != nil {
		t.Fatal(err)
	}
	for _, trusted := range []string{`"` + here + `/publish"`, `'` + here + `/publish' # "here"`, `"./` + here + `/\u0070ublish"`, `"we\"ird/publish"`} {
		file := filepath.Join(dir, "moved.toml")
		edited := strings.Replace(text, `trusted = "trusted"`, "trusted = "+trusted+"\nearlier = [ './"+here+"', # relative\n \""+first.dir+"\"]", 1)
		if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		planned, err := plan.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		files, err := planned.PlanFiles()
		if err != nil {
			t.Fatal(err)
		}
		moved := t.TempDir()
		for name, text := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(moved, name)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(moved, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		there, err := plan.Read(filepath.Join(moved, state.PlanFile))
		if err != nil {
			t.Fatalf("%s: %v\n%s", trusted, err, files[state.PlanFile])
		}
		if there.Trusted != agreed.TrustedDir || len(there.Earlier) != 2 || there.Earlier[0] != first.dir || there.Earlier[1] != first.dir {
			t.Errorf("%s: it names %q and %q", trusted, there.Trusted, there.Earlier)
		}
		if _, err := there.Resolve(noon); err != nil {
			t.Errorf("%s: %v", trusted, err)
		}
		if strings.Count(string(files[state.PlanFile]), "\n") != strings.Count(edited, "\n") || strings.Contains(trusted, "#") != strings.Contains(string(files[state.PlanFile]), `# "here"`) {
			t.Errorf("%s: comments are lost:\n%s", trusted, files[state.PlanFile])
		}
	}
}

// pinReader answers prompts for PINs with nothing but what they show. It is the
// Script where a PIN is chosen.
type pinReader struct {
	prompt.Script
	shown []string // ids of prompts that have shown a PIN
}

var shownPIN = regexp.MustCompile(`the PIN of this virtual token is ([^ ]+)\.\)`)

func (a *pinReader) AskSecret(ctx context.Context, p prompt.Prompt, check func(*secret.Buffer) error) (*secret.Buffer, error) {
	found := shownPIN.FindStringSubmatch(strings.Join(p.Text, " "))
	if found == nil {
		if id, _, _ := strings.Cut(p.ID, " "); id == "holder.pin" || id == "sign.pin" {
			return nil, fmt.Errorf("the prompt %q shows no PIN", p.ID)
		}
		return a.Script.AskSecret(ctx, p, check)
	}
	a.shown = append(a.shown, p.ID)
	return secret.Take([]byte(found[1]))
}

// A rehearsal is gone on with, followed, checked up and restored from by people
// who know no PIN that another run has chosen: each is shown where it is asked
// for, and is in no log. Tokens that are not virtual show none.
func TestPINsOfARehearsalAreShown(t *testing.T) {
	first, desk := withBackups(t)
	chosen := map[string]string{}
	script := &prompt.Script{Answers: map[string]string{}}
	for i, id := range []string{"alice", "bruno", "chen", "dana", "emil"} { // neither a script nor a person knows these
		chosen[id] = fmt.Sprint(8036142 + i*9107)
		script.Answers["holder.pin.new "+id], script.Answers["holder.pin.again "+id], script.Answers["holder.pin "+id] = chosen[id], chosen[id], chosen[id]
	}
	if err := runAll(desk, script); err != nil {
		t.Fatal(err)
	}
	desk = first.only(t, desk, (*ceremony.Desk).OnlyCheckup)
	for _, id := range []string{"alice", "emil"} {
		a := &pinReader{}
		if err := desk.Run(t.Context(), "checkup "+id, a); err != nil || len(a.shown) != 1 {
			t.Errorf("checkup %s: %v, shown at %v", id, err, a.shown)
		}
	}
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[4].drop = agreed.Retired
	next, desk := first.follow(following(agreed.Rotate, "", append(people, member{name: "Farah Aziz", token: "F-06"})...), "F-06")
	a := &pinReader{}
	if err := runAll(desk, a); err != nil || len(a.shown) < 5 {
		t.Fatalf("%v, shown at %v", err, a.shown)
	}
	for _, dir := range []string{first.dir, next.dir} {
		log, err := os.ReadFile(filepath.Join(dir, "transcript.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for id, pin := range chosen {
			if bytes.Contains(log, []byte(pin)) {
				t.Errorf("the PIN of %s is in the log of %s", id, dir)
			}
		}
	}
}

// On the day no PIN is shown, and nobody is told that one would be.
func TestPINsOfARealCeremonyAreNotShown(t *testing.T) {
	s := newStage(t)
	s.real = true
	_, desk := s.opened()
	answers := map[string]string{"preflight.failed": "waive", "preflight.why": "it is a test"}
	script := &prompt.Script{Answers: answers, Say: func(m prompt.Message) {
		if said := fmt.Sprint(m); strings.Contains(said, "rehearsal") && strings.Contains(said, "PIN") || shownPIN.MatchString(said) {
			t.Errorf("%v", m)
		}
	}}
	runTasks(t, desk, script, "preflight", "agree", "enrol bruno")
	if desk.Tokens().PIN != nil {
		t.Error("it could show one")
	}
}
