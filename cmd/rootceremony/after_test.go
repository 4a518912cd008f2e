package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony"
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
	chain, err := ceremony.ReadTrusted(filepath.Join(next, ceremony.PublishDir))
	if err != nil || len(chain.Files) != 2 {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(filepath.Join(next, ceremony.TokensDir)); err == nil {
		t.Error("there are virtual tokens")
	}
}
