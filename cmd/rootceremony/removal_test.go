package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/keys"
	"rootceremony/keys/yubikey"
	"rootceremony/keys/yubikey/pcsctest"
)

// patient is a Script that waits for a token as people do: pcscd sees one up
// to half a second after it was inserted.
type patient struct {
	ceremony.Script
	insert func() // puts the token back where it was pulled out
}

func (p *patient) WaitForToken(ctx context.Context, w ceremony.TokenWait) (info keys.Info, err error) {
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if info, err = w.Look(ctx); err == nil || time.Now().After(end) {
			return info, err
		}
		p.insert()
	}
}

// oneHolder are edits that leave the example plan one holder.
func oneHolder(t *testing.T) string {
	file := examplePlanFile(t, "threshold = 3", "threshold = 1")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "[[holder]]")
	last := parts[len(parts)-1]
	rest := last[strings.Index(last, "[[person]]"):]
	if err := os.WriteFile(file, []byte(parts[0]+"[[holder]]"+parts[1]+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(file)
}

// ceremonyOf opens a rehearsal in dir on real tokens.
func ceremonyOf(t *testing.T, service *pcsctest.Service, dir, root string) *ceremony.Desk {
	t.Helper()
	desk, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Tokens: yubikey.Kind})
	if err != nil {
		t.Fatal(err)
	}
	roots, err := certificates(root)
	if err != nil {
		t.Fatal(err)
	}
	program := sessions(t, service)
	desk.UseTokens(ceremony.Tokens{Roots: roots, Start: func(ctx context.Context) (*keys.Session, error) {
		return program.Start(ctx, keys.Backend{Kind: yubikey.Kind})
	}})
	return desk
}

// toTheEnd takes every task in turn; the first error ends it.
func toTheEnd(desk *ceremony.Desk, a ceremony.Attendant) error {
	for {
		task, ok := desk.Next()
		if !ok {
			return nil
		}
		if err := desk.Run(context.Background(), task.ID, a); err != nil {
			return fmt.Errorf("%s: %w", task.ID, err)
		}
	}
}

// TestTokenPulledOutAtManyCommands pulls the token out before commands that a
// whole ceremony of one holder gives it, and puts it back. The ceremony
// always comes to its end, and no try of the PIN is spent. Each try has a pcscd
// of its own, as sessions see every reader.
func TestTokenPulledOutAtManyCommands(t *testing.T) {
	commands := wholeCeremony(t)
	if commands < 50 {
		t.Fatalf("a whole ceremony takes %d commands only", commands)
	}
	t.Logf("%d commands", commands)
	// All of them take minutes; the machine that has those sets EVERY_COMMAND.
	step := 15
	if os.Getenv("EVERY_COMMAND") != "" {
		step = 1
	}
	atOnce := make(chan struct{}, 4)
	for n := 1; n <= commands; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			service, token, root := onePlugged(t, "--fault", fmt.Sprintf("remove@%d", n))
			pulledOut(t, service, token, root)
		})
	}
}

// holdersSerial is the serial number of the one holder's token.
const holdersSerial = 7654321

// onePlugged is a pcscd with one token in one reader.
func onePlugged(t *testing.T, args ...string) (service *pcsctest.Service, token *pcsctest.Token, root string) {
	service = pcsctest.Start(t, 1)
	root = filepath.Join(service.Dir, "root.pem")
	token = service.Plug(t, 0, append([]string{"--serial", fmt.Sprint(holdersSerial), "--touch", "auto", "--attestation-root", root,
		"--state", filepath.Join(service.Dir, "a.token")}, args...)...)
	return service, token, root
}

// wholeCeremony counts the commands of a ceremony in which nothing goes wrong.
func wholeCeremony(t *testing.T) int {
	service, token, root := onePlugged(t)
	desk := ceremonyOf(t, service, oneHolder(t), root)
	defer desk.Close()
	if err := toTheEnd(desk, &patient{insert: func() {}}); err != nil {
		t.Fatal(err)
	}
	return token.Commands(t)
}

func pulledOut(t *testing.T, service *pcsctest.Service, token *pcsctest.Token, root string) {
	dir := oneHolder(t)
	desk := ceremonyOf(t, service, dir, root)
	defer desk.Close()
	insert := func() {
		if strings.Contains(token.Do(t, "status"), " unplugged ") {
			token.Replug(t)
		}
	}
	for try := 1; ; try++ {
		err := toTheEnd(desk, &patient{insert: insert})
		if err == nil {
			break
		}
		if try == 5 {
			t.Fatalf("try %d: %v", try, err)
		}
		t.Logf("try %d: %v", try, err)
	}
	insert()
	session, err := sessions(t, service).Start(t.Context(), keys.Backend{Kind: yubikey.Kind})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	info, err := awaitToken(session, holdersSerial)
	if err != nil || info.PINTries != 5 {
		t.Errorf("%d tries of the PIN are left (%v)", info.PINTries, err)
	}
	checkRoot(t, filepath.Join(dir, "publish", "1.root.json"), 1)
}

// sessions are token sessions of the program with smart cards.
func sessions(t *testing.T, service *pcsctest.Service) keys.Program {
	t.Helper()
	program, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	return keys.Program{Path: program, Args: []string{sessionArgument}, Env: append(os.Environ(), service.Env()...)}
}

func awaitToken(session *keys.Session, serial uint32) (keys.Info, error) {
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := session.Select(serial)
		if err == nil {
			return session.Info()
		}
		var missing *keys.NotFoundError
		if !errors.As(err, &missing) || time.Now().After(end) {
			return keys.Info{}, err
		}
	}
}
