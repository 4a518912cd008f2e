package main

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// TestKilledAtRandomMoments kills an automatic rehearsal, children included,
// at random moments, and starts it again until it ends.
func TestKilledAtRandomMoments(t *testing.T) {
	trials := 200
	if testing.Short() {
		trials = 20
	}
	started := time.Now()
	whole := inMemory(t)
	if out, err := rehearse(whole).CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	length := time.Since(started)
	for i := range trials {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(started.UnixNano()), uint64(i)))
			killUntilDone(t, random, length)
		})
	}
}

// inMemory is a temporary folder that is in memory, where the system has such:
// a process that is killed loses nothing of what it has written there, and the
// hundreds of syncs of a rehearsal take no time.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rootceremony-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func rehearse(dir string) *exec.Cmd {
	command := exec.Command(program("rootceremony"), "rehearse", "--auto", dir)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command
}

// killUntilDone kills the first run for sure, and later ones half of the time.
func killUntilDone(t *testing.T, random *rand.Rand, length time.Duration) {
	dir := filepath.Join(inMemory(t), "d")
	var recorded []byte
	for run := 0; ; run++ {
		command := rehearse(dir)
		var out bytes.Buffer
		command.Stdout, command.Stderr = &out, &out
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		if run == 0 || random.IntN(2) == 0 && run < 20 {
			after := time.Duration(random.Int64N(int64(length)))
			timer := time.AfterFunc(after, func() { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) })
			defer timer.Stop()
		}
		err := command.Wait()
		recorded = checkNothingLost(t, dir, recorded)
		checkStored(t, dir, recorded)
		if status, ok := err.(*exec.ExitError); ok && status.Sys().(syscall.WaitStatus).Signaled() {
			continue
		}
		if err != nil {
			t.Fatalf("run %d: %v\n%s", run, err, &out)
		}
		break
	}
	checkPublished(t, dir)
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
	events, _, _, err := transcript.Read(log)
	if err != nil {
		t.Fatal(err)
	}
	access, roots := map[uint32]bool{}, map[keys.PublicKey]bool{}
	for _, e := range events {
		var stored ceremony.BackupStored
		if e.Type != ceremony.TypeBackupStored {
			continue
		}
		if err := json.Unmarshal(e.Data, &stored); err != nil {
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

// checkPublished looks at everything a finished rehearsal leaves.
func checkPublished(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, transcript.FileName))
	if err != nil {
		t.Fatal(err)
	}
	events, _, tail, err := transcript.Read(text)
	if err != nil || tail != nil {
		t.Fatalf("log: %v, and %d bytes at its end", err, len(tail))
	}
	state, err := ceremony.Fold(events)
	if err != nil || state.Closed == nil {
		t.Fatalf("state: %v, closed %v", err, state != nil && state.Closed != nil)
	}
	signatures := map[string]int{}
	for _, e := range events {
		if e.Type == ceremony.TypeSignatureMade {
			signatures[e.By]++
		}
	}
	for _, h := range state.Plan.Holders {
		if signatures[h.ID] != 1 {
			t.Errorf("%s has %d signatures in the log", h.Name, signatures[h.ID])
		}
		if open := state.Holders[h.ID].Open; open != nil {
			t.Errorf("what was intended for %s has no result: %+v", h.Name, open)
		}
	}
	threshold, all := state.Plan.Threshold, len(state.Plan.Holders)
	checkRoot(t, filepath.Join(dir, "publish", "1.root.json"), threshold)
	if all > threshold {
		checkRoot(t, filepath.Join(dir, "publish", "fuller", "1.root.json"), all)
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
