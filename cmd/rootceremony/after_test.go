package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/state"
	"rootceremony/keys/yubikey/pcsctest"
)

// Tokens in readers are not copied: the rehearsal that follows finds on them
// the keys that the one before has made.
func TestAfterOverPCSC(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 2)
	root := filepath.Join(service.Dir, "root.pem")
	plug := func(reader int) {
		service.Plug(t, reader, "--state", filepath.Join(service.Dir, []string{"a", "b"}[reader]+".token"), "--touch", "auto", "--attestation-root", root)
	}
	dir := t.TempDir()
	first, next := filepath.Join(dir, "first"), filepath.Join(dir, "next")
	plug(0)
	if out, err := inRoom(t, service, "rehearse", "--auto", "--tokens", "pcsc", "--attestation-root", root, "--plan", smallPlanFile(t, 1, 1), first).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := inRoom(t, service, "rehearse", "--auto", "--after", first, next).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `was held on tokens of the kind "pcsc", and its keys are on those (hint: --tokens pcsc)`) {
		t.Errorf("on virtual tokens: %v\n%s", err, out)
	}
	plug(1)
	if out, err := inRoom(t, service, "rehearse", "--auto", "--tokens", "pcsc", "--attestation-root", root, "--after", first, next).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	chain, err := plan.ReadTrusted(filepath.Join(next, state.PublishDir))
	if err != nil || len(chain.Files) != 2 {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(filepath.Join(next, ceremony.TokensDir)); err == nil {
		t.Error("there are virtual tokens")
	}
}

// What a script has begun people go on with by hand: wherever a PIN is asked for
// that the script has chosen, it is shown.
func TestByHandAfterAScript(t *testing.T) {
	t.Parallel()
	first := filepath.Join(t.TempDir(), "first")
	rehearsed(t, first)
	hold := func(r *room, pins int) {
		t.Helper()
		r.start()
		for {
			question, err := r.prompt()
			if err != nil {
				break
			}
			right := ""
			switch {
			case strings.Contains(question, "type your PIN"):
				shown := shownPIN.FindStringSubmatch(r.all.String()[r.since:])
				if shown == nil {
					t.Fatalf("nobody can know the PIN:\n%s", r.all.String()[r.since:])
				}
				right, pins = shown[1], pins-1
			case strings.Contains(question, "Whose backup is opened?"):
				right = "1"
			case strings.Contains(question, "Where is its token?"):
				right = "elsewhere"
			case strings.Contains(question, "How do you know it?"):
				right = "confirmed"
			case strings.Contains(question, "Can still be done:"):
				right = "checkup end"
			default:
				right, _ = r.rightAnswer(question)
			}
			r.answer(right + "\r")
		}
		if status := r.end(); status != 0 || pins > 0 {
			t.Fatalf("status %d, %d PINs were not asked for:\n%s", status, pins, r.all.String()[max(0, r.all.Len()-3000):])
		}
	}
	hold(&room{t: t, dir: filepath.Join(t.TempDir(), "next"), args: []string{"--after", first}}, 5)
	hold(&room{t: t, dir: first, verb: "checkup"}, 5)
}
