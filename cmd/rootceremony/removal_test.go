package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
	"rootceremony/keys/session"
	"rootceremony/keys/yubikey"
	"rootceremony/keys/yubikey/pcsctest"
)

// patient is a Script that waits for a token as people do: pcscd sees one up
// to half a second after it was inserted.
type patient struct {
	prompt.Script
	insert func() // puts the token back where it was pulled out
}

func (p *patient) WaitForToken(ctx context.Context, w prompt.TokenWait) (info keys.Info, err error) {
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if info, err = w.Look(ctx); err == nil || time.Now().After(end) {
			return info, err
		}
		p.insert()
	}
}

// ceremonyOf opens a rehearsal in dir on real tokens.
func ceremonyOf(t *testing.T, service *pcsctest.Service, dir, root string) *ceremony.Desk {
	t.Helper()
	roots, err := certificates(root)
	if err != nil {
		t.Fatal(err)
	}
	desk, err := ceremony.OpenDesk(dir, ceremony.Settings{Program: "test", Clock: clock, Rehearsal: true, Tokens: yubikey.Kind, Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	program := sessions(t, service)
	desk.UseTokens(prompt.Tokens{Roots: roots, Start: func(ctx context.Context) (*session.Session, error) {
		return program.Start(ctx, session.Backend{Kind: yubikey.Kind})
	}})
	return desk
}

// toTheEnd takes every task in turn; the first error ends it.
func toTheEnd(desk *ceremony.Desk, a prompt.Room) error {
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

// TestTokenPulledOutAtEveryCommand pulls the token out before a command that a
// whole ceremony of one holder gives it, and puts it back. The ceremony always
// comes to its end, and no try of the PIN is spent. pcscd looks for cards every
// 0.4 s only, so trials wait most of the time and many go on at once, each
// beginning just before the task that is to be disturbed. make torture has a trial
// for every command.
func TestTokenPulledOutAtEveryCommand(t *testing.T) {
	t.Parallel()
	stages, commands := stagesOfCeremony(t, smallPlanFile(t, 1, 1))
	if commands < 50 {
		t.Fatalf("a whole ceremony takes %d commands only", commands)
	}
	pullOutAtEvery(t, stages, 1, commands)
}

// The same where there are backups, in the task that makes the key. Whatever
// happens, a PUK, management key or root key that is on the token can be opened
// by the recipient of its backups.
func TestTokenPulledOutWhileItsBackupsAreMade(t *testing.T) {
	t.Parallel()
	stages, commands := stagesOfCeremony(t, backedUpPlanFile(t, 1, 1, `["Bank safe"]`))
	first := 0
	for i, s := range stages {
		if s.task == "key alice" {
			first, commands = s.commands+1, stages[i+1].commands
		}
	}
	if first == 0 || commands-first < 30 {
		t.Fatalf("commands %d to %d make the key: %+v", first, commands, stages)
	}
	pullOutAtEvery(t, stages, first, commands)
}

// pullOutAtEvery has a trial for each of those commands, or for a sample: for every
// seventh, and for each whose answer is lost.
func pullOutAtEvery(t *testing.T, stages []stage, first, commands int) {
	t.Logf("%d commands, in %d tasks", commands, len(stages))
	trials := make(chan int, commands)
	for n := first; n <= commands; n++ {
		if long || n%7 == 1 || answerLost(n) {
			trials <- n
		}
	}
	close(trials)
	var workers sync.WaitGroup
	for range 24 {
		// Each has a pcscd of its own: who looks for a token gives commands to
		// all of them, and they are counted here.
		service := pcsctest.Start(t, 1)
		workers.Go(func() {
			for n := range trials {
				stage := stages[0]
				for _, s := range stages {
					if s.commands < n {
						stage = s
					}
				}
				// Not t.Parallel, which allows far fewer at once.
				t.Run(fmt.Sprintf("%s %d", stage.task, n), func(t *testing.T) { pulledOut(t, service, stage, n) })
			}
		})
	}
	workers.Wait()
}

// answerLost is for the trials in which the command is done, and its answer is lost.
func answerLost(n int) bool { return n%30 == 16 }

// holdersSerial is the serial number of the one holder's token.
const holdersSerial = 7654321

// stage is a ceremony just before a task that gives its token commands.
type stage struct {
	task     string
	commands int    // that the token was given before
	dir      string // holds copies of the folders ceremony and token
}

// stagesOfCeremony holds a ceremony of one holder in which nothing goes wrong,
// and counts all commands that its token was given.
func stagesOfCeremony(t *testing.T, plan string) (stages []stage, commands int) {
	service := pcsctest.Start(t, 1)
	folder := filepath.Join(service.Dir, "token")
	token := plugFrom(t, service, folder)
	dir := filepath.Dir(plan)
	desk := ceremonyOf(t, service, dir, filepath.Join(folder, "root.pem"))
	defer desk.Close()
	for {
		commands = token.Commands(t)
		task, ok := desk.Next()
		if !ok {
			return stages, commands
		}
		s := stage{task.ID, commands, t.TempDir()}
		err := errors.Join(os.CopyFS(filepath.Join(s.dir, "ceremony"), os.DirFS(dir)),
			os.CopyFS(filepath.Join(s.dir, "token"), os.DirFS(folder)),
			desk.Run(t.Context(), task.ID, &patient{insert: func() {}}))
		if err != nil {
			t.Fatalf("%s: %v", task.ID, err)
		}
		if token.Commands(t) > commands {
			stages = append(stages, s)
		}
	}
}

// plugFrom plugs in the token whose file is in a folder, beside the root that
// it chains to.
func plugFrom(t *testing.T, service *pcsctest.Service, folder string, args ...string) *pcsctest.Token {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	return service.Plug(t, 0, append([]string{"--serial", fmt.Sprint(holdersSerial), "--touch", "auto",
		"--attestation-root", filepath.Join(folder, "root.pem"), "--state", filepath.Join(folder, "a.token")}, args...)...)
}

// pulledOut goes on from a stage to the end, with the token pulled out before
// the n-th command of the whole ceremony.
func pulledOut(t *testing.T, service *pcsctest.Service, from stage, n int) {
	work := t.TempDir()
	if err := os.CopyFS(work, os.DirFS(from.dir)); err != nil {
		t.Fatal(err)
	}
	dir, folder := filepath.Join(work, "ceremony"), filepath.Join(work, "token")
	fault := "remove"
	if answerLost(n) {
		fault = "remove-after"
	}
	token := plugFrom(t, service, folder, "--fault", fmt.Sprintf("%s@%d", fault, n-from.commands))
	defer token.Do(t, "quit")
	desk := ceremonyOf(t, service, dir, filepath.Join(folder, "root.pem"))
	defer desk.Close()
	pulled := false
	insert := func() {
		if strings.Contains(token.Do(t, "status"), " unplugged ") {
			pulled = true
			token.Replug(t)
		}
	}
	for try := 1; ; try++ {
		err := toTheEnd(desk, &patient{insert: insert})
		checkTries(t, token, folder, dir)
		checkSealed(t, readToken(t, filepath.Join(folder, "a.token")), dir, "alice")
		if err == nil {
			break
		}
		if try == 5 {
			t.Fatalf("try %d: %v", try, err)
		}
		t.Logf("try %d: %v", try, err)
		if !strings.Contains(err.Error(), "pulled out") && !strings.Contains(err.Error(), "not in a reader") {
			t.Errorf("people are told: %v", err)
		}
	}
	insert() // pulled out before the last command
	if !pulled && token.Commands(t) >= n-from.commands {
		t.Error("the token was never pulled out")
	}
	if end := readToken(t, filepath.Join(folder, "a.token")); end.PIN.Tries != 5 || end.PUK.Tries != 5 {
		t.Errorf("in the end %d tries of the PIN are left, and %d of the PUK", end.PIN.Tries, end.PUK.Tries)
	}
	checkPublished(t, dir)
}

// A token that hangs is told of, and once it was pulled out the ceremony goes on
// to its end.
func TestTokenThatHangs(t *testing.T) {
	t.Parallel()
	service := pcsctest.Start(t, 1)
	folder := filepath.Join(service.Dir, "token")
	token := plugFrom(t, service, folder)
	root := filepath.Join(folder, "root.pem")
	dir := filepath.Dir(smallPlanFile(t, 1, 1))
	desk := ceremonyOf(t, service, dir, root)
	defer desk.Close()
	program := sessions(t, service)
	usual := program.Silence
	tokens := desk.Tokens()
	tokens.Start = func(ctx context.Context) (*session.Session, error) {
		return program.Start(ctx, session.Backend{Kind: yubikey.Kind})
	}
	desk.UseTokens(tokens)
	alice := &patient{insert: func() {}}
	for _, c := range []struct {
		task, says string
		after      int // commands
	}{
		{"enrol alice", "the token has not answered for 5s while it was asked to list the tokens", 6},
		{"enrol alice", who + "token 7 654 321 has not answered for 5s while it was asked to prepare the token: it is slow, or hangs (hint: pull it out, insert it again, and try again", 132},
		{"sign alice", who + "token 7 654 321 has not answered for 5s while it was asked to ", 40},
	} {
		for {
			task, ok := desk.Next()
			if !ok {
				t.Fatalf("the task %s never came", c.task)
			}
			if task.ID == c.task {
				break
			}
			if err := desk.Run(t.Context(), task.ID, alice); err != nil {
				t.Fatalf("%s: %v", task.ID, err)
			}
		}
		token.Do(t, fmt.Sprintf("fault hang@%d", token.Commands(t)+c.after))
		program.Silence = 5 * time.Second // of the token that hangs only: any may be slow on a busy machine
		err := desk.Run(t.Context(), c.task, &prompt.Script{})
		program.Silence = usual
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.task, err, c.says)
		}
		token.Unplug(t)
		token.Replug(t)
	}
	if err := toTheEnd(desk, alice); err != nil {
		t.Fatal(err)
	}
	checkPublished(t, dir)
}

// checkTries holds that no wrong PIN or PUK was ever tried, but for a wipe,
// which spends all tries; after one they are all there again.
func checkTries(t *testing.T, token *pcsctest.Token, folder, dir string) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, transcript.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if wrong := token.Wrong(t); wrong != 0 && !bytes.Contains(log, []byte(state.TypeWipeIntended)) {
		t.Errorf("%d tries were wasted", wrong)
	}
	file := readToken(t, filepath.Join(folder, "a.token"))
	left := file.PIN.Tries == file.PIN.Max && file.PUK.Tries == file.PUK.Max
	if done := bytes.Count(log, []byte(state.TypeWiped)); !left && done == bytes.Count(log, []byte(state.TypeWipeIntended)) {
		t.Errorf("of %d tries of the PIN %d are left, and of %d of the PUK %d", file.PIN.Max, file.PIN.Tries, file.PUK.Max, file.PUK.Tries)
	}
}

// checkSealed opens the backups of a holder, where the plan has some and the
// safe alone opens them, and holds that what is on the token is in them.
func checkSealed(t *testing.T, token tokenFile, dir, holder string) {
	t.Helper()
	identities, err := os.ReadFile(filepath.Join(dir, ceremony.IdentitiesDir, "bank-safe.txt"))
	if errors.Is(err, fs.ErrNotExist) {
		return // no backups
	}
	files, globErr := filepath.Glob(filepath.Join(dir, agreed.BackupsDir, holder, "*", "bank-safe.*.age"))
	if err := errors.Join(err, globErr); err != nil {
		t.Fatal(err)
	}
	var sealed []byte
	for _, file := range files {
		sealed = append(sealed, opened(t, file, identities)...)
	}
	set := token.secrets(t)
	for what, value := range set {
		if !bytes.Contains(sealed, value) {
			t.Errorf("the %s is on the token, and in none of %d backups", what, len(files))
		}
	}
}

// opened decrypts a file of one layer.
func opened(t *testing.T, file string, identities []byte) []byte {
	t.Helper()
	who, err := age.ParseIdentities(bytes.NewReader(identities))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer sealed.Close()
	plain, err := age.Decrypt(sealed, who...)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return text
}

// secrets are those that must be sealed before the token has them, as they are
// written in backups: what it is made with is not among them.
func (f tokenFile) secrets(t *testing.T) map[string][]byte {
	t.Helper()
	set := map[string][]byte{}
	if f.PUK.Value != hex.EncodeToString([]byte("12345678")) {
		puk, err := hex.DecodeString(f.PUK.Value)
		if err != nil {
			t.Fatal(err)
		}
		set["PUK"] = append([]byte(" "), puk...)
	}
	if len(f.Management.Key) == 64 {
		set["management key"] = []byte(f.Management.Key)
	}
	for _, slot := range f.Slots {
		der, err := hex.DecodeString(slot.Private)
		if err != nil {
			t.Fatal(err)
		}
		if slot.Slot == keys.SlotRoot {
			set["root key"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		}
	}
	return set
}

// sessions are token sessions of the program with smart cards.
func sessions(t *testing.T, service *pcsctest.Service) session.Program {
	t.Helper()
	program, err := withSmartCards()
	if err != nil {
		t.Fatal(err)
	}
	return session.Program{Path: program, Args: []string{sessionArgument}, Env: service.Env()}
}
