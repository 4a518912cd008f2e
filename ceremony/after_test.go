package ceremony_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony"
)

func TestFinished(t *testing.T) {
	s, desk := opened(t)
	refuses := func(dir, kind, says string) {
		t.Helper()
		if _, err := ceremony.Finished(dir, kind); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, not %q", err, says)
		}
	}
	refuses(t.TempDir(), "", "nothing can follow on it")
	refuses(s.dir, "", "is not finished (hint: rootceremony rehearse "+s.dir)
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	refuses(s.dir, "pcsc", `was held on tokens of the kind ""`)
	if _, err := ceremony.Finished(s.dir, ""); err != nil {
		t.Error(err)
	}

	real := newStage(t)
	real.real = true
	_, desk = real.opened()
	refuses(real.dir, "", "is a real ceremony, whose tokens no rehearsal uses")
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}

	read, err := ceremony.ReadPlan(filepath.Join(s.dir, ceremony.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := read.Resolve(noon)
	if err != nil {
		t.Fatal(err)
	}
	plan.Rehearsal = true
	enrolment := t.TempDir()
	desk, err = ceremony.OpenDesk(enrolment, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Enrols: "alice", Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	refuses(enrolment, "", "is an enrolment")
}

// Whoever comes has a name, an id and a sticker that nobody has.
func TestNewcomers(t *testing.T) {
	_, desk := opened(t, `name = "Dana Okafor"`, `name = "Farah Aziz"`)
	for _, task := range []string{"preflight", "agree"} {
		if err := desk.Run(t.Context(), task, &ceremony.Script{}); err != nil {
			t.Fatal(err)
		}
	}
	var stickers []string
	for n := range 24 {
		came := ceremony.Newcomer(desk.State().Plan, stickers)
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
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(first.dir)
	text := following(ceremony.Rotate, "", members(t, desk)...)
	here := filepath.Base(first.dir)
	for _, trusted := range []string{`"` + here + `/publish"`, `'` + here + `/publish' # "here"`, `"./` + here + `/\u0070ublish"`} {
		file := filepath.Join(dir, "moved.toml")
		edited := strings.Replace(text, `trusted = "trusted"`, "trusted = "+trusted+"\nearlier = [ './"+here+"', # relative\n \""+first.dir+"\"]", 1)
		if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		plan, err := ceremony.ReadPlan(file)
		if err != nil {
			t.Fatal(err)
		}
		files, err := plan.PlanFiles()
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
		there, err := ceremony.ReadPlan(filepath.Join(moved, ceremony.PlanFile))
		if err != nil {
			t.Fatalf("%s: %v\n%s", trusted, err, files[ceremony.PlanFile])
		}
		if there.Trusted != ceremony.TrustedDir || len(there.Earlier) != 2 || there.Earlier[0] != first.dir || there.Earlier[1] != first.dir {
			t.Errorf("%s: it names %q and %q", trusted, there.Trusted, there.Earlier)
		}
		if _, err := there.Resolve(noon); err != nil {
			t.Errorf("%s: %v", trusted, err)
		}
		if strings.Count(string(files[ceremony.PlanFile]), "\n") != strings.Count(edited, "\n") || strings.Contains(trusted, "#") != strings.Contains(string(files[ceremony.PlanFile]), `# "here"`) {
			t.Errorf("%s: comments are lost:\n%s", trusted, files[ceremony.PlanFile])
		}
	}
}

// A prompt for the PIN of a token that stands in for a real one says it, and
// no other prompt does.
func TestStandInPINIsSaid(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &ceremony.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	people[4].drop = ceremony.Retired
	_, desk = first.follow(following(ceremony.Rotate, "", append(people, member{name: "Farah Aziz", token: "F-06"})...), "F-06")
	tokens := desk.Tokens()
	tokens.StandInPIN = ceremony.StandInPIN
	desk.UseTokens(tokens)
	said := map[string]bool{}
	script := &ceremony.Script{Say: func(m ceremony.Message) {
		if strings.HasSuffix(m.Title, ": type your PIN") || strings.HasSuffix(m.Title, ": choose a PIN") {
			said[m.Title] = strings.Contains(strings.Join(m.Text, " "), ceremony.StandInPIN)
		}
	}}
	if err := runAll(desk, script); err != nil {
		t.Fatal(err)
	}
	if !said["Alice Costa: type your PIN"] || said["Farah Aziz: type your PIN"] || said["Farah Aziz: choose a PIN"] || len(said) < 5 {
		t.Errorf("%v", said)
	}
}
