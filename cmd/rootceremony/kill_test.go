package main

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// TestKilledAtRandomMoments kills an automatic rehearsal, children included,
// at random moments, and starts it again until it ends. make torture has 60 trials.
func TestKilledAtRandomMoments(t *testing.T) {
	trials := 20
	if long {
		trials = 60
	}
	build() // which is no part of the time
	started := time.Now()
	whole := t.TempDir()
	if out, err := rehearse(whole).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	length := time.Since(started)
	kills := enoughKills(t, 3*trials)
	for i := range trials {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(started.UnixNano()), uint64(i)))
			dir := filepath.Join(t.TempDir(), "d")
			killUntilDone(t, random, length, kills, dir, func() *exec.Cmd { return rehearse(dir) }, checkStored)
			checkPublished(t, dir)
		})
	}
}

// TestKilledWhatFollows kills a rotation and a revocation that follow on a
// rehearsal, in the same way. make torture has nine trials of each.
func TestKilledWhatFollows(t *testing.T) {
	trials := 3
	if long {
		trials = 9
	}
	first := filepath.Join(t.TempDir(), "first")
	if out, err := rehearse(first).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	revoke := revocation(t, first)
	kills := enoughKills(t, 2*3*trials)
	for name, plan := range map[string][]string{agreed.Rotate: nil, agreed.Revoke: {"--plan", revoke}} {
		follow := func(dir string) *exec.Cmd {
			return ownGroup(append(append([]string{"rehearse", "--auto", "--after", first}, plan...), dir)...)
		}
		started := time.Now()
		if out, err := follow(filepath.Join(t.TempDir(), "whole")).CombinedOutput(); err != nil {
			t.Fatalf("%s%v", out, err)
		}
		length := time.Since(started)
		for i := range trials {
			t.Run(fmt.Sprint(name, " ", i), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(uint64(started.UnixNano()), uint64(i)))
				dir := filepath.Join(t.TempDir(), "d")
				killUntilDone(t, random, length, kills, dir, func() *exec.Cmd { return follow(dir) }, func(*testing.T, string, []byte) {})
				checkFollowed(t, dir, name)
			})
		}
	}
}

// revocation is a plan without Emil, whose token was stolen, and with Farah.
func revocation(t *testing.T, first string) string {
	t.Helper()
	public, private, err := transcript.ReadFiles(first)
	if err != nil {
		t.Fatal(err)
	}
	read, err := transcript.Read(public, private)
	if err != nil {
		t.Fatal(err)
	}
	now, err := state.Fold(read.Events)
	if err != nil {
		t.Fatal(err)
	}
	plan := fmt.Sprintf("kind = %q\nname = %q\nreason = \"the token E-05 was stolen\"\ntrusted = %q\n[root]\nexpires = \"365d\"\n", agreed.Revoke, now.Plan.Name, filepath.Join(first, state.PublishDir))
	for _, h := range now.Plan.Holders {
		key, err := tuf.NewKey(now.Holders[h.ID].Key.Public)
		if err != nil {
			t.Fatal(err)
		}
		if h.ID == "emil" {
			plan += fmt.Sprintf("[[drop]]\nkeyid = %q\nreason = %q\nname = %q\ntoken = %q\n", key.ID, agreed.Stolen, h.Name, h.Token)
			continue
		}
		plan += fmt.Sprintf("[[holder]]\nname = %q\ntoken = %q\nkeyid = %q\n", h.Name, h.Token, key.ID)
	}
	plan += "[[holder]]\nname = \"Farah Aziz\"\ntoken = \"F-06\"\n"
	file := filepath.Join(t.TempDir(), state.PlanFile)
	if err := os.WriteFile(file, []byte(plan), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// checkFollowed looks at what a finished rehearsal leaves that followed on
// another.
func checkFollowed(t *testing.T, dir, kind string) {
	t.Helper()
	now, signatures := checkEnded(t, dir)
	if now.Plan.Kind != kind || now.Plan.Version != 2 || len(now.Plan.Drops) != 1 {
		t.Errorf("%s of version %d, %d dropped", now.Plan.Kind, now.Plan.Version, len(now.Plan.Drops))
	}
	for who, n := range signatures {
		if n != 1 {
			t.Errorf("%s has %d signatures in the log", who, n)
		}
	}
	if counts := now.Counts(); !counts[0].Good() || !counts[1].Good() || len(signatures) < counts[0].Need {
		t.Errorf("%+v", counts)
	}
	if out, err := exec.Command(program("rootverify"), "chain", "--rehearsal", filepath.Join(dir, "publish")).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("version 2: signed for version 1 by ")) {
		t.Errorf("%v: %s", err, out)
	}
}

func rehearse(dir string) *exec.Cmd { return ownGroup("rehearse", "--auto", dir) }

// ownGroup is the program in a process group of its own.
func ownGroup(args ...string) *exec.Cmd {
	command := exec.Command(program("rootceremony"), args...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command
}

// enoughKills counts kills, and holds in the end that there were that many.
func enoughKills(t *testing.T, want int) *atomic.Int64 {
	kills := new(atomic.Int64)
	t.Cleanup(func() {
		t.Logf("killed %d times", kills.Load())
		if kills.Load() < int64(want) && !t.Failed() {
			t.Errorf("that is less than %d", want)
		}
	})
	return kills
}

// killUntilDone kills the first five runs, each after at most half of the time
// that a whole one takes, so that a ceremony is killed from its beginning to its
// end, and checks the directory and its log after each.
func killUntilDone(t *testing.T, random *rand.Rand, length time.Duration, kills *atomic.Int64, dir string, start func() *exec.Cmd, check func(t *testing.T, dir string, log []byte)) {
	var recorded []byte
	for run := 0; ; run++ {
		command := start()
		var out bytes.Buffer
		command.Stdout, command.Stderr = &out, &out
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if run < 5 {
			after := time.Duration(random.Int64N(int64(length / 2)))
			timer := time.AfterFunc(after, func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) })
			defer timer.Stop()
		}
		err := command.Wait()
		recorded = checkNothingLost(t, dir, recorded)
		check(t, dir, recorded)
		if status, ok := err.(*exec.ExitError); ok && status.Sys().(syscall.WaitStatus).Signaled() {
			kills.Add(1)
			continue
		}
		if err != nil {
			t.Fatalf("run %d: %v\n%s", run, err, &out)
		}
		return
	}
}

// checkNothingLost compares the log to what was recorded before: all that was
// complete is still there.
func checkNothingLost(t *testing.T, dir string, before []byte) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, transcript.FileName))
	if err != nil {
		return nil // killed before the log was begun
	}
	if !bytes.HasPrefix(text, before) {
		t.Fatal("something that was recorded is gone")
	}
	return text[:bytes.LastIndexByte(text, '\n')+1]
}

// checkStored compares the tokens of a rehearsal with the log: a PUK, a
// management key or an imported root key that a token has was sealed before,
// and the files are there.
func checkStored(t *testing.T, dir string, log []byte) {
	t.Helper()
	private, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(transcript.PrivateName)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	read, err := transcript.Read(log, private)
	if err != nil {
		t.Fatal(err)
	}
	access, roots := map[uint32]bool{}, map[keys.PublicKey]bool{}
	for _, e := range read.Events {
		var stored state.BackupStored
		if e.Type != state.TypeBackupStored {
			continue
		}
		if err := state.Read(e, &stored); err != nil {
			t.Fatal(err)
		}
		for _, f := range stored.Files {
			text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.Name)))
			if err != nil || fmt.Sprintf("%x", sha256.Sum256(text)) != f.SHA256 {
				t.Errorf("%s: %v, or it is another one", f.Name, err)
			}
		}
		if stored.What == keys.BackupToken {
			access[stored.Serial] = true
		} else {
			roots[*stored.Public] = true
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(ceremony.TokensDir), "*.token"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		token := readToken(t, file)
		set := token.secrets(t)
		if (set["PUK"] != nil || set["management key"] != nil) && !access[token.Serial] {
			t.Errorf("token %d has a PUK or a management key that is not sealed", token.Serial)
		}
		if set["root key"] == nil {
			continue
		}
		block, _ := pem.Decode(set["root key"])
		private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		public, err := keys.FromCrypto(private.(crypto.Signer).Public())
		if err != nil || !roots[public] {
			t.Errorf("token %d has the root key %v, which is not sealed: %v", token.Serial, public, err)
		}
	}
}

// checkPublished looks at everything a finished rehearsal leaves, in which all
// have signed.
func checkPublished(t *testing.T, dir string) {
	t.Helper()
	now, signatures := checkEnded(t, dir)
	for _, h := range now.Plan.Holders {
		if signatures[h.ID] != 1 {
			t.Errorf("%s has %d signatures in the log", h.Name, signatures[h.ID])
		}
	}
	threshold, all := now.Plan.Threshold, len(now.Plan.Holders)
	checkRoot(t, filepath.Join(dir, "publish", "1.root.json"), threshold)
	if all > threshold {
		checkRoot(t, filepath.Join(dir, "publish", "fuller", "1.root.json"), all)
	}
}

// checkEnded looks at what every finished rehearsal leaves, and returns how often
// each has signed.
func checkEnded(t *testing.T, dir string) (*state.State, map[string]int) {
	t.Helper()
	public, private, err := transcript.ReadFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	read, err := transcript.Read(public, private)
	if err != nil || read.Tail != nil || read.PrivateTail != nil {
		t.Fatalf("log: %v, and what was read: %+v", err, read)
	}
	now, err := state.Fold(read.Events)
	if err != nil || !now.Finished() {
		t.Fatalf("state: %v, finished %v", err, now != nil && now.Finished())
	}
	signatures := map[string]int{}
	for _, e := range read.Events {
		if e.Type == state.TypeSignatureMade {
			signatures[e.By]++
		}
	}
	for _, h := range now.Holders {
		if h.Open != nil {
			t.Errorf("what was intended for %s has no result: %+v", h.Holder.Name, h.Open)
		}
	}
	sums := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	sums.Dir = filepath.Join(dir, "publish")
	if out, err := sums.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if strings.Contains(name, "unfinished") || strings.Contains(name, ".tmp") {
			t.Errorf("left over: %s", name)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return now, signatures
}

func checkRoot(t *testing.T, name string, signatures int) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
		return
	}
	file, err := tuf.Parse(text)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if report := file.Report(file.Root); !report.Good() || report.Have != signatures || len(file.Signatures) != signatures {
		t.Errorf("%s: %s, %d signatures", name, report.Text(nil), len(file.Signatures))
	}
}
