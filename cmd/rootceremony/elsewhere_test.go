package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/state"
	"rootceremony/keys/yubikey/pcsctest"
)

// until answers as attentive people do until a question has that text in it,
// and returns the question; "" when the program ended before.
func (r *room) until(part string) string {
	r.t.Helper()
	for {
		question, err := r.prompt()
		if err != nil {
			return ""
		}
		if strings.Contains(question, part) {
			return question
		}
		right, _ := r.rightAnswer(question)
		r.answer(right + "\r")
	}
}

// One holder enrols elsewhere, over the smart-card stack; the room collects
// the file, asks for its words, and goes on.
func TestEnrolAndCollect(t *testing.T) {
	t.Parallel()
	r := openRoom(t)
	r.args = []string{"--plan", onTokenPlanFile(t)}
	r.start()
	r.until("Insert the token A-01")
	r.answer(":quit\r")
	if question, err := r.prompt(); err == nil { // to read what is to be written down
		t.Fatalf("still asked after leaving: %q", question)
	}
	r.end()

	service := pcsctest.Start(t, 1)
	token, root, intermediate := newerSeries(t)
	service.Plug(t, 0, "--touch", "auto", "--state", token)
	card, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	resolved := filepath.Join(r.dir, state.ResolvedFile)
	there := &room{t: t, dir: resolved, program: card, verb: "enrol", env: service.Env(), folder: t.TempDir(),
		args: []string{"--holder", "Emil Novak", "--tokens", "pcsc", "--attestation-root", root, "--attestation-intermediates", intermediate}}
	for range 2 { // it is left once, and gone on with
		there.start()
		if question := there.until("touch the token"); question != "" && !strings.Contains(there.all.String(), "left early") {
			there.answer(":quit\r")
		}
		if status := there.end(); status != exitUnfinished && status != 0 {
			t.Fatalf("status %d:\n%s", status, &there.all)
		}
		there.args = []string{"--holder", "emil", "--attestation-root", root, "--attestation-intermediates", intermediate} // the kind is known
	}
	again := exec.Command(card, "enrol", resolved, "--holder", "emil", "--tokens", "virtual")
	again.Dir, again.Env = there.folder, append(os.Environ(), service.Env()...)
	if out, err := again.CombinedOutput(); err == nil || !strings.Contains(string(out), `held on tokens of the kind "pcsc", not "virtual" (hint: omit --tokens to go on with it)`) {
		t.Errorf("on other tokens: %v: %s", err, out)
	}
	file := filepath.Join(there.folder, "enrolment-emil", "emil.enrolment.json")
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%v\n%s", err, &there.all)
	}
	collect := func(args ...string) (string, int) {
		command := exec.Command(program("rootceremony"), append([]string{"collect", r.dir}, args...)...)
		out, _ := command.CombinedOutput()
		return string(out), command.ProcessState.ExitCode()
	}
	for _, c := range []struct {
		args   []string
		says   string
		status int
	}{
		{[]string{file}, "attestation root", exitFailed},
		{[]string{"--attestation-root", root, file}, "--attestation-intermediates", exitFailed},
		{[]string{"--attestation-root", root, "--attestation-intermediates", intermediate, file, resolved}, "1 of 2 files were not taken in", exitFailed},
		{[]string{"--attestation-root", root, file}, "was collected before: Emil Novak", 0},
		{[]string{filepath.Join(r.dir, "nothing")}, "no such file", exitFailed},
	} {
		if says, status := collect(c.args...); status != c.status || !strings.Contains(says, c.says) {
			t.Errorf("collect %v: status %d: %s", c.args, status, says)
		}
	}

	r.start()
	question := r.until("Emil Novak read the words")
	if question == "" {
		t.Fatalf("nobody has asked for the words:\n%s", &r.all)
	}
	r.answer("words\r")
	question, err = r.prompt()
	if err != nil {
		t.Fatal(err)
	}
	r.answer("nobody knows\r")
	if again, err := r.prompt(); err != nil || again != question {
		t.Fatalf("wrong words: %q, %v", again, err)
	}
	shown := strings.ReplaceAll(there.all.String(), "\r", "")
	words := written("the card of Emil Novak, line 1").FindStringSubmatch(shown)
	if words == nil {
		t.Fatalf("Emil had nothing to write down:\n%s", shown)
	}
	r.answer(strings.Join(words[1:], " ") + "\r")
	r.until("Insert the token E-05") // to sign, which she cannot here
	r.answer(":quit\r")
	r.end()
	desk, err := ceremony.LookAt(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if now := desk.State(); now.Published == nil || len(now.Signatures()) != 4 || !now.Holders["emil"].Confirmed.Words {
		t.Errorf("%+v", now.Holders["emil"])
	}
	if status, err := exec.Command(program("rootceremony"), "status", filepath.Dir(file)).CombinedOutput(); err != nil || !strings.Contains(string(status), "emil.enrolment.json") || !strings.Contains(string(status), "the card of Emil Novak, line 1: ") {
		t.Errorf("status of the enrolment: %v\n%s", err, status)
	}
}

// What enrol refuses before anything is made.
func TestEnrolRefuses(t *testing.T) {
	t.Parallel()
	relative, dated := onTokenPlanFile(t), onTokenPlanFile(t, `expires = "365d"`, `expires = "2027-10-01T00:00:00Z"`)
	backedUp := examplePlanFile(t, `expires = "365d"`, `expires = "2027-10-01T00:00:00Z"`)
	for _, c := range []struct {
		args, says string
		status     int
	}{
		{relative, "enrol wants --holder NAME", exitUsage},
		{relative + " --holder emil", "another date on another day", exitFailed},
		{dated + " --holder nobody", "it has alice, bruno, chen, dana, emil", exitFailed},
		{dated + " --holder emil --tokens virtual", "go with the plan of a rehearsal", exitUsage},
		{dated + " --holder emil", "this build has no smart cards", exitFailed},
		{backedUp + " --holder emil", "keys of such a plan are made in the room only", exitFailed},
	} {
		command := exec.Command(program("rootceremony"), append([]string{"enrol"}, strings.Fields(c.args)...)...)
		command.Dir = t.TempDir()
		out, _ := command.CombinedOutput()
		if status := command.ProcessState.ExitCode(); status != c.status || !strings.Contains(string(out), c.says) {
			t.Errorf("enrol %s: status %d: %s", c.args, status, out)
		}
		if made, _ := os.ReadDir(command.Dir); len(made) > 0 {
			t.Errorf("enrol %s: made %v", c.args, made)
		}
	}
}
