// Package pcsctest gives tests the real smart-card service: a pcscd of their
// own in private namespaces (vpcd readers listen on all addresses), and virtual
// YubiKeys in its readers. Tests need Debian's pcscd, vsmartcard-vpcd, iproute2
// and util-linux; `make packages` installs them.
//
//	service := pcsctest.Start(t, 2)
//	alice := service.Plug(t, 0, "--state", file, "--touch", "auto")
//	command := exec.Command("ykman", "list")
//	command.Env = append(os.Environ(), service.Env()...)
//	alice.Unplug(t)
//
// pcscd looks for cards every 0.4 s. A card that goes and comes back between two
// looks leaves it confused, so Plug, Unplug and Replug wait until it has seen
// what happened.
package pcsctest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const driver = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"

// readerName begins the readers' names. It is what Yubico's own tools look for.
const readerName = "Yubico YubiKey OTP+FIDO+CCID"

// firstPort is the port of vpcd's first reader; each one takes two, as it has a
// second slot.
const firstPort = 35963

// deadline is how long anything here is waited for.
const deadline = 2 * time.Minute

// inside is what runs in the namespaces, and carries out the lines of its
// standard input. Everything ends with it.
const inside = `
set -e
mount --bind "$1/run" /run
ip link set lo up
start() { pcscd --info --foreground -c "$1/readers" >>"$1/pcscd.log" 2>&1 & echo $! >"$1/pid"; }
stop() { kill "$(cat "$1/pid")"; wait "$(cat "$1/pid")" || true; rm -rf /run/pcscd; mkdir /run/pcscd; }
start "$1"
while read -r line; do eval "$line"; done
`

// Service is a running pcscd.
type Service struct {
	// Dir is a folder for what tests keep beside it; its path is short enough
	// for sockets. It goes with the service.
	Dir string

	lines   io.Writer
	program string // virtualyubikey
	mu      sync.Mutex
	tokens  int
}

// virtualYubiKey builds the program, once, and keeps it in memory, so that
// nothing is left over.
var virtualYubiKey = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "pcsc-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/", "rootceremony/cmd/virtualyubikey")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s%w", out, err)
	}
	return os.ReadFile(filepath.Join(dir, "virtualyubikey"))
})

// Start starts a pcscd with that many readers, each with a second slot that
// stays empty, until the test ends.
func Start(t testing.TB, readers int) *Service {
	t.Helper()
	program, err := virtualYubiKey()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pcsc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Service{Dir: dir, program: filepath.Join(dir, "virtualyubikey")}
	// By a process of its own: what this one has open for writing, children that
	// other tests start just then have open too, and then it can't be executed.
	write := exec.Command("sh", "-c", `cat >"$1" && chmod 755 "$1"`, "sh", s.program)
	write.Stdin = bytes.NewReader(program)
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("%s%v", out, err)
	}
	for _, name := range []string{"run/pcscd", "readers", "drivers"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.writeReaders(readers); err != nil {
		t.Fatalf("%v (hint: make packages installs what the tests need)", err)
	}
	namespaces := exec.Command("unshare", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", inside, "sh", dir)
	var said strings.Builder
	namespaces.Stdout, namespaces.Stderr = &said, &said
	lines, err := namespaces.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.lines = lines
	if err := namespaces.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = lines.Close()
		if err := namespaces.Wait(); err != nil && !t.Failed() {
			t.Logf("namespaces: %v: %s", err, &said)
		}
		if t.Failed() {
			s.logs(t)
		}
	})
	s.await(t)
	return s
}

// writeReaders writes the configuration of the readers. The driver's state is
// one per library, so each reader has a copy.
func (s *Service) writeReaders(n int) error {
	library, err := os.ReadFile(driver)
	if err != nil {
		return err
	}
	var config strings.Builder
	for i := range n {
		path := filepath.Join(s.Dir, "drivers", fmt.Sprintf("vpcd-%d.so", i))
		if err := os.WriteFile(path, library, 0o755); err != nil {
			return err
		}
		fmt.Fprintf(&config, "FRIENDLYNAME \"%s %02d\"\nDEVICENAME /dev/null:0x%X\nLIBPATH %s\nCHANNELID 0x%X\n\n", readerName, i, port(i), path, port(i))
	}
	return os.WriteFile(filepath.Join(s.Dir, "readers", "vpcd"), []byte(config.String()), 0o644)
}

func port(reader int) int { return firstPort + 2*reader }

// socket is where pcscd listens.
func (s *Service) socket() string { return filepath.Join(s.Dir, "run/pcscd/pcscd.comm") }

// Env is what a process needs in its environment to speak to this pcscd; of the
// program itself only a rehearsal goes by it.
func (s *Service) Env() []string { return []string{"PCSCLITE_CSOCK_NAME=" + s.socket()} }

// Within begins a command line that finds this pcscd at its own place, in a
// mount namespace of its own: the program and its arguments follow. It is for
// programs that take no other place from the environment.
func (s *Service) Within() []string {
	return []string{"unshare", "--map-root-user", "--mount", "sh", "-c", `mount --bind "$0" /run && exec "$@"`, filepath.Join(s.Dir, "run")}
}

// await waits until pcscd answers.
func (s *Service) await(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", s.socket())
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("pcscd does not answer: %v", err)
		}
	}
}

// Stop stops pcscd; the tokens stay.
func (s *Service) Stop(t testing.TB) {
	t.Helper()
	s.run(t, "stop "+quoted(s.Dir))
	for end := time.Now().Add(deadline); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", s.socket())
		if err != nil {
			return
		}
		_ = conn.Close()
		if time.Now().After(end) {
			t.Fatal("pcscd does not stop")
		}
	}
}

// Restart starts pcscd again after Stop.
func (s *Service) Restart(t testing.TB) {
	t.Helper()
	s.run(t, "start "+quoted(s.Dir))
	s.await(t)
}

// Descriptors is how many files and connections pcscd has open.
func (s *Service) Descriptors(t testing.TB) int {
	t.Helper()
	answer := filepath.Join(s.Dir, "descriptors")
	_ = os.Remove(answer)
	// Its process id is one of the namespace, whose /proc is mounted for this.
	s.run(t, fmt.Sprintf("(mount -t proc proc /proc && ls /proc/$(cat %[1]s/pid)/fd | wc -l >%[1]s/counting && mv %[1]s/counting %[2]s)", quoted(s.Dir), quoted(answer)))
	for end := time.Now().Add(deadline); ; time.Sleep(5 * time.Millisecond) {
		var n int
		text, err := os.ReadFile(answer)
		if err == nil {
			_, err = fmt.Sscan(string(text), &n)
		}
		if err == nil {
			return n
		}
		if time.Now().After(end) {
			t.Fatalf("the descriptors of pcscd: %v", err)
		}
	}
}

// run has a line carried out in the namespaces.
func (s *Service) run(t testing.TB, line string) {
	t.Helper()
	if _, err := io.WriteString(s.lines, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// logs shows what the programs said.
func (s *Service) logs(t testing.TB) {
	files, _ := filepath.Glob(filepath.Join(s.Dir, "*.log"))
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil {
			t.Logf("%s:\n%s", filepath.Base(name), text[max(0, len(text)-4000):])
		}
	}
}

// Token is a running virtualyubikey.
type Token struct {
	service *Service
	control string
	reader  string // its name in pcscd
}

// Plug starts a virtual YubiKey for a reader, counted from 0, and returns when
// pcscd has seen it (with --unplugged: when it runs). The arguments are those
// of virtualyubikey. It ends with the service, or when it is told to quit.
func (s *Service) Plug(t testing.TB, reader int, args ...string) *Token {
	t.Helper()
	s.mu.Lock()
	n := s.tokens
	s.tokens++
	s.mu.Unlock()
	token := &Token{
		service: s,
		control: filepath.Join(s.Dir, fmt.Sprintf("token-%d.sock", n)),
		reader:  fmt.Sprintf("%s %02d 00 00", readerName, reader),
	}
	// It answers one command after the other: a second processor would only be woken
	// for each of them.
	line := "GOMAXPROCS=1 " + quoted(s.program)
	for _, arg := range append([]string{"--unplugged", "--vpcd", fmt.Sprintf("127.0.0.1:%d", port(reader)), "--control", token.control}, args...) {
		line += " " + quoted(arg)
	}
	log := filepath.Join(s.Dir, fmt.Sprintf("token-%d.log", n))
	s.run(t, fmt.Sprintf("%s </dev/null >%s 2>&1 &", line, quoted(log)))
	for end := time.Now().Add(deadline); ; time.Sleep(5 * time.Millisecond) {
		said, err := token.ask("status")
		if err == nil {
			break
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log)
			t.Fatalf("virtualyubikey: %q, %v\n%s", said, err, text)
		}
	}
	if !slices.Contains(args, "--unplugged") {
		token.Replug(t)
	}
	return token
}

// Replug puts the token into its reader, which pcscd must have seen empty.
func (k *Token) Replug(t testing.TB) {
	t.Helper()
	k.awaitSeen(t, false)
	k.Do(t, "plug")
	k.awaitSeen(t, true)
}

// Unplug takes the token out of its reader.
func (k *Token) Unplug(t testing.TB) {
	t.Helper()
	k.Do(t, "unplug")
	k.awaitSeen(t, false)
}

// awaitSeen waits until pcscd has seen a card in the reader, or none, which it
// writes into its log.
func (k *Token) awaitSeen(t testing.TB, card bool) {
	t.Helper()
	var size int64
	for end := time.Now().Add(deadline); ; time.Sleep(20 * time.Millisecond) {
		name := filepath.Join(k.service.Dir, "pcscd.log")
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == size && time.Now().Before(end) {
			continue // the log is long, and many wait at once
		}
		size = info.Size()
		log, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		inserted := strings.LastIndex(string(log), "Card inserted into "+k.reader)
		if inserted < 0 && card { // there when pcscd began to look: that has no line with a name
			inserted = strings.Index(string(log), "Card ATR:")
		}
		removed := strings.LastIndex(string(log), "Card Removed From "+k.reader)
		if inserted > removed == card {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("pcscd does not see what happened in reader %q; a card in it: %v", k.reader, !card)
		}
	}
}

// ask gives a command and returns its answer.
func (k *Token) ask(command string) (string, error) {
	conn, err := net.Dial("unix", k.control)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(deadline)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// Do gives a command of virtualyubikey ("touch", "unplug", "fault remove@7") and
// returns its answer, which must not be an error.
func (k *Token) Do(t testing.TB, command string) string {
	t.Helper()
	said, err := k.ask(command)
	if err != nil || strings.HasPrefix(said, "error") {
		t.Fatalf("%s: %q, %v", command, said, err)
	}
	return said
}

// Commands is how many APDUs the token was given since it was started.
func (k *Token) Commands(t testing.TB) int {
	t.Helper()
	return k.counted(t, "commands")
}

// Wrong is how many wrong PINs and PUKs the token was given since it was
// started.
func (k *Token) Wrong(t testing.TB) int {
	t.Helper()
	return k.counted(t, "wrong")
}

// counted is a number in the token's status.
func (k *Token) counted(t testing.TB, what string) int {
	t.Helper()
	said := k.Do(t, "status")
	_, after, _ := strings.Cut(said, " "+what+" ")
	var n int
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatalf("status %q: %v", said, err)
	}
	return n
}
