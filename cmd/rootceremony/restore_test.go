package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/prompt"
	"rootceremony/keys"
	"rootceremony/keys/yubikey/pcsctest"
)

// swapping are people with one reader, who put the token into it that is asked
// for.
type swapping struct {
	t *testing.T
	prompt.Script
	tokens   map[string]*pcsctest.Token // by sticker
	inReader string
	swaps    int
}

// put has that token in the reader, and no other.
func (p *swapping) put(sticker string) {
	p.t.Helper()
	if sticker == p.inReader {
		return
	}
	if p.inReader != "" {
		p.tokens[p.inReader].Unplug(p.t)
	}
	p.tokens[sticker].Replug(p.t)
	p.inReader = sticker
	p.swaps++
}

func (p *swapping) WaitForToken(ctx context.Context, w prompt.TokenWait) (info keys.Info, err error) {
	p.put(w.Sticker)
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if info, err = w.Look(ctx); err == nil || time.Now().After(end) {
			return info, err
		}
	}
}

// Three holders, one reader: the files for the tokens of two of them are opened
// by restore, the key of the third goes to a fresh token, and signs; then a PIN
// is set again by the quorum.
func TestRestoreOverPCSC(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	root := filepath.Join(service.Dir, "root.pem")
	people := &swapping{t: t, tokens: map[string]*pcsctest.Token{}}
	for _, sticker := range []string{"A-01", "B-02", "C-03", "FRESH-1"} {
		people.tokens[sticker] = service.Plug(t, 0, "--unplugged", "--touch", "auto", "--attestation-root", root,
			"--state", filepath.Join(service.Dir, sticker+".token"))
	}
	plan := examplePlanFile(t, "threshold = 3", "threshold = 2")
	firstHolders(t, plan, 3)
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	begin, rest, _ := strings.Cut(string(text), "[backup]")
	_, rest, _ = strings.Cut(rest, "[[holder]]")
	small := begin + "[backup]\nquorum = 2\nrecipients = [\"holders\"]\n\n[[holder]]" + rest
	if err := os.WriteFile(plan, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	desk := ceremonyOf(t, service, filepath.Dir(plan), root)
	defer func() { desk.Close() }()
	for {
		task, ok := desk.Next()
		if !ok || task.ID == "sign alice" {
			break
		}
		if err := desk.Run(t.Context(), task.ID, people); err != nil {
			t.Fatalf("%s: %v", task.ID, err)
		}
	}
	public := desk.State().Holders["alice"].Key.Public
	people.Answers = map[string]string{"restore.whose": "alice", "restore.what": "key", "restore.sticker": "FRESH-1", "open.who 1": "bruno", "open.who 2": "chen"}
	if err := desk.Run(t.Context(), "restore", people); err != nil {
		t.Fatal(err)
	}
	if alice := desk.State().Holders["alice"]; alice.Key.Public != public || alice.Holder.Token != "FRESH-1" {
		t.Fatalf("restored: %+v", alice)
	}
	people.Answers = nil
	if err := toTheEnd(desk, people); err != nil {
		t.Fatal(err)
	}
	checkPublished(t, filepath.Dir(plan))
	if len(desk.State().Signatures()) != 3 {
		t.Errorf("%d signatures", len(desk.State().Signatures()))
	}
	desk.Close()
	desk = ceremonyOf(t, service, filepath.Dir(plan), root)
	if err := desk.OnlyRestore(); err != nil {
		t.Fatal(err)
	}
	people.Answers = map[string]string{"restore.whose": "bruno", "restore.what": "pin", "open.who 1": "chen"}
	if err := desk.Run(t.Context(), "restore", people); err == nil {
		t.Error("a backup that only one can open was opened") // Alice's new token opens nothing of before
	}
	people.Answers["restore.whose"] = "alice"
	people.Answers["open.who 1"], people.Answers["open.who 2"] = "chen", "bruno"
	if err := desk.Run(t.Context(), "restore", people); err != nil {
		t.Error(err)
	}
}
