package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// kept is all that was seen of a program, and may hold no secret: texts by
// where they were.
type kept map[string][]byte

// watcher looks again and again at command lines, environments and files while
// a program runs.
type watcher struct {
	pid     int
	folders []string

	mu       sync.Mutex
	seen     kept
	sessions map[int]bool // processes of token sessions
	stop     chan struct{}
	done     sync.WaitGroup
}

// watch begins to look at a program with its children, and at folders.
func watch(pid int, folders ...string) *watcher {
	w := &watcher{pid: pid, folders: folders, seen: kept{}, sessions: map[int]bool{}, stop: make(chan struct{})}
	w.done.Go(func() {
		for {
			w.look()
			select {
			case <-w.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return w
}

// end looks once more and returns what was seen, and how many token sessions.
func (w *watcher) end() (kept, int) {
	close(w.stop)
	w.done.Wait()
	w.look()
	return w.seen, len(w.sessions)
}

func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pid := range append(children(w.pid), w.pid) {
		for _, name := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			if err != nil || len(text) == 0 {
				continue // it has ended
			}
			w.seen[fmt.Sprintf("%s of process %d, %d bytes", name, pid, len(text))] = text
			if name == "cmdline" && bytes.Contains(text, []byte(sessionArgument)) {
				w.sessions[pid] = true
			}
		}
	}
	for _, folder := range w.folders {
		_ = filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return nil
			}
			info, err := entry.Info()
			if err != nil {
				return nil // gone already
			}
			version := fmt.Sprintf("file %s, %d bytes of %v", name, info.Size(), info.ModTime().UnixNano())
			if _, old := w.seen[version]; old {
				return nil
			}
			if text, err := os.ReadFile(name); err == nil {
				w.seen[version] = text
			}
			return nil
		})
	}
}

// children are the processes that a process has started, also those that have
// ended and were not waited for.
func children(parent int) (found []int) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		var pid, of int
		if _, err := fmt.Sscan(entry.Name(), &pid); err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The name may hold anything: what follows its last bracket counts.
		var state string
		if n, _ := fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &of); n == 2 && of == parent {
			found = append(found, pid)
		}
	}
	return found
}

// forms are the ways in which a secret might be written down.
func forms(secret []byte) map[string][]byte {
	text := map[string][]byte{
		"as it is":          secret,
		"in hex":            hex.AppendEncode(nil, secret),
		"in upper-case hex": bytes.ToUpper(hex.AppendEncode(nil, secret)),
	}
	for shift := range 3 { // base64 of it within something longer
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), secret...))
		text[fmt.Sprintf("in base64, %d", shift)] = []byte(encoded[(8*shift+5)/6 : len(encoded)-1])
	}
	return text
}

// inAllForms are secrets in the ways in which they might be written down.
func inAllForms(secrets map[string][]byte) map[string][]byte {
	all := map[string][]byte{}
	for what, secret := range secrets {
		for form, text := range forms(secret) {
			all[what+", "+form] = text
		}
	}
	return all
}

// secretsOf are all the secrets of a virtual token, by what they are.
func secretsOf(t *testing.T, file string) map[string][]byte {
	t.Helper()
	token := readToken(t, file)
	decoded := func(text string) []byte {
		secret, err := hex.DecodeString(text)
		if err != nil || len(secret) < 6 {
			t.Fatalf("%s: %q, %v", file, text, err)
		}
		return bytes.TrimRight(secret, "\xff") // a PIN is padded
	}
	secrets := map[string][]byte{"PIN": decoded(token.PIN.Value), "PUK": decoded(token.PUK.Value)}
	management, err := hex.DecodeString(token.Management.Key)
	if err != nil || len(management) != 32 {
		t.Fatalf("%s: management key %q, %v", file, token.Management.Key, err)
	}
	secrets["management key"] = management
	for _, slot := range token.Slots {
		der, err := hex.DecodeString(slot.Private)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			t.Fatal(err)
		}
		var secret []byte
		switch private := private.(type) {
		case ed25519.PrivateKey:
			secret = private.Seed()
		case *ecdsa.PrivateKey:
			secret, err = private.Bytes()
		}
		if err != nil || len(secret) != 32 {
			t.Fatalf("%s: slot %s: %T, %v", file, slot.Slot, private, err)
		}
		secrets["key in "+slot.Slot.String()] = secret
	}
	if len(secrets) != 6 {
		t.Fatalf("%s holds %d secrets", file, len(secrets))
	}
	return secrets
}

// checkMemory looks for secrets in a program's memory.
func checkMemory(t *testing.T, when string, pid int, secrets map[string][]byte) {
	t.Helper()
	areas := memory(t, pid)
	each(areas, inAllForms(secrets), func(what string, a area, at int) {
		t.Errorf("%s: the %s, is in memory at %x", when, what, a.from+uint64(at))
	})
	remnants, _ := copies(areas, string(secrets["PIN"]), true)
	for _, where := range remnants {
		t.Errorf("%s: %s", when, where)
	}
}

// noSeedEver looks for root keys in a program's memory, again and again until
// it is ended, and once more then. It returns how often it has looked.
func noSeedEver(t *testing.T, pid int, seeds ...[]byte) (end func() int) {
	stop := make(chan struct{})
	var looking sync.WaitGroup
	times := 0
	looking.Go(func() {
		for ended := false; !ended; times++ {
			select {
			case <-stop:
				ended = true
			default:
			}
			for _, a := range memory(t, pid) {
				for _, seed := range seeds {
					if at := bytes.Index(a.bytes, seed); at >= 0 {
						t.Errorf("look %d: a root key is in the program's memory at %x", times, a.from+uint64(at))
					}
				}
			}
		}
	})
	return func() int {
		close(stop)
		looking.Wait()
		return times
	}
}

// TestSecretsStayOnTokens holds a ceremony with backups over pcscd, and looks
// for every PIN, PUK, management key and private key in whatever the program
// leaves or shows: command lines and environments, its children's too, files in
// its folders, also those that are gone again, what it writes to the terminal,
// the log of pcscd, and its memory whenever its children have ended. For root
// keys its memory is looked through all the time while they are put on a token
// and their backup is opened. The virtual tokens' own files are their silicon.
func TestSecretsStayOnTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("reads all of a program's memory many times")
	}
	t.Parallel()
	service, hands := emptyReader(t, "A-01", "B-02")
	home := t.TempDir()
	dir := filepath.Join(home, "d")
	env := []string{"HOME=" + home, "TMPDIR=" + filepath.Join(home, "tmp")}
	for _, name := range []string{"STATE", "CACHE", "CONFIG", "DATA"} {
		env = append(env, fmt.Sprintf("XDG_%s_HOME=%s", name, filepath.Join(home, strings.ToLower(name))))
	}
	if err := os.Mkdir(filepath.Join(home, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := onReaders(t, service, env, backedUpPlanFile(t, 2, 2, `["holders", "Bank safe"]`), dir)
	pid := s.command.Process.Pid
	s.until("Next: Check the laptop")
	w := watch(pid, home)

	r := newPeople()
	r.hands = func(text string) {
		if readTouch.MatchString(text) {
			w.look() // the session waits for the touch, and cannot be missed
		}
		hands.do(text)
	}
	pins := map[string]string{"Alice Costa": freshPIN(t, memory(t, pid)), "Bruno Ferraz": freshPIN(t, memory(t, pid))}
	r.pin = func(holder string) string { return pins[holder] }
	secrets := func(sticker, holder string) map[string][]byte {
		all := secretsOf(t, filepath.Join(service.Dir, sticker+".token"))
		if string(all["PIN"]) != pins[holder] {
			t.Fatalf("the PIN of %s is %q, and was typed as %q", holder, all["PIN"], pins[holder])
		}
		return all
	}
	holdUntil := func(what string) {
		t.Helper()
		r.stop = func(text string) bool { return strings.Contains(text, what) }
		r.hold(s)
		s.until(what)
	}
	check := func(when string, secrets map[string][]byte) {
		t.Helper()
		// The header's look at the readers is a short session too. One is the guard.
		for end := time.Now().Add(2 * time.Minute); len(children(pid)) > 1; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: processes %v are left", when, children(pid))
			}
		}
		checkMemory(t, when, pid, secrets)
	}
	holdUntil("Next: Keys: Alice Costa")
	holdUntil("prove that the key works")
	ended := noSeedEver(t, pid, secretsOf(t, filepath.Join(service.Dir, "A-01.token"))["key in 9c"])
	holdUntil("Next: Keys: Bruno Ferraz")
	ended()
	check("Alice has her key", secrets("A-01", "Alice Costa"))
	holdUntil("Next: Backups: Restore drill")
	seeds := [][]byte{secrets("A-01", "Alice Costa")["key in 9c"], secrets("B-02", "Bruno Ferraz")["key in 9c"]}
	ended = noSeedEver(t, pid, seeds...)
	holdUntil("Next: Backups: Copy to media")
	if times := ended(); times < 2 {
		t.Errorf("looked %d times only while a backup was opened", times)
	}
	check("a backup was opened", secrets("A-01", "Alice Costa"))
	holdUntil("Next: Verify and publish")
	check("the threshold has signed", secrets("A-01", "Alice Costa"))
	holdUntil("Everything is done")
	alice, bruno := secrets("A-01", "Alice Costa"), secrets("B-02", "Bruno Ferraz")
	check("everything is done", alice)
	check("everything is done", bruno)
	r.stop = nil
	r.hold(s)
	if status := s.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}

	seen, sessions := w.end()
	t.Logf("%d texts, %d token sessions", len(seen), sessions)
	environments := 0
	for where := range seen {
		if strings.HasPrefix(where, "environ") {
			environments++
		}
	}
	if sessions < 6 || environments < 7 { // two enrolments, two keys, a drill, a signature, and the program
		t.Errorf("only %d token sessions and %d environments were seen", sessions, environments)
	}
	seen["the terminal"] = s.raw.Bytes()
	logs, err := filepath.Glob(filepath.Join(service.Dir, "*.log"))
	if err != nil || len(logs) != 3 {
		t.Fatalf("logs: %v, %v", logs, err)
	}
	for _, name := range logs {
		if seen[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, secrets := range []map[string][]byte{alice, bruno} {
		for what, secret := range secrets {
			for form, text := range forms(secret) {
				for where, all := range seen {
					if bytes.Contains(all, text) {
						t.Errorf("the %s is in %s, %s", what, where, form)
					}
				}
			}
		}
	}
	checkPublished(t, dir)
}
