package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const word = "13579246"

func take(t *testing.T) *Buffer {
	b, err := Take([]byte(word))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return b
}

// No way of printing shows a secret, also inside other values.
func TestPrinting(t *testing.T) {
	b := take(t)
	type holder struct {
		Name string
		PIN  *Buffer
	}
	for _, v := range []any{b, holder{"alice", b}, &holder{"alice", b}, []*Buffer{b}, map[string]*Buffer{"pin": b}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%08.3f"} {
			got := fmt.Sprintf(verb, v)
			for _, form := range []string{word, fmt.Sprintf("%x", word), fmt.Sprintf("%v", []byte(word)), "49 51 53"} {
				if strings.Contains(strings.ToLower(got), form) {
					t.Errorf("%s of %T: %s", verb, v, got)
				}
			}
		}
		if encoded, err := json.Marshal(v); err == nil {
			t.Errorf("%T as JSON: %s", v, encoded)
		}
	}
	if fmt.Sprint(b) != "secret" || fmt.Errorf("PIN %v", b).Error() != "PIN secret" {
		t.Errorf("%v", b)
	}
}

func TestTakeWipesItsSource(t *testing.T) {
	source := []byte(word)
	b, err := Take(source)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Wipe()
	if !bytes.Equal(source, make([]byte, len(word))) {
		t.Errorf("the source holds %q", source)
	}
	if string(b.Bytes()) != word || b.Len() != len(word) {
		t.Errorf("the buffer holds %q", b.Bytes())
	}
}

func TestWipe(t *testing.T) {
	b := take(t)
	b.Wipe()
	b.Wipe()
	if b.Len() != 0 || b.Bytes() != nil {
		t.Errorf("a wiped buffer has %d bytes", b.Len())
	}
	var none *Buffer
	none.Wipe()
	if none.Len() != 0 || !Equal(none, b) {
		t.Error("a nil buffer is not an empty one")
	}
}

// Wipe overwrites before it gives the memory back: the pages stay mapped here
// by a second mapping of the same file.
func TestWipeOverwrites(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := os.Getpagesize()
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	var views [2][]byte
	for i := range views {
		views[i], err = syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
	}
	b := &Buffer{page: views[0], data: views[0][:len(word):len(word)]}
	copy(b.data, word)
	if string(views[1][:len(word)]) != word {
		t.Fatal("the views are not of the same memory")
	}
	b.Wipe()
	if !bytes.Equal(views[1], make([]byte, size)) {
		t.Errorf("after Wipe: %q", views[1][:len(word)])
	}
	_ = syscall.Munmap(views[1])
}

// A buffer that nobody holds any more is wiped by the finalizer, and its
// locked memory is given back.
func TestFinalizer(t *testing.T) {
	before := lockedKiB(t)
	func() {
		for range 50 {
			if _, err := Take([]byte(word)); err != nil {
				t.Fatal(err)
			}
		}
		if lockedKiB(t) <= before {
			t.Fatal("no memory was locked")
		}
	}()
	for deadline := time.Now().Add(2 * time.Minute); lockedKiB(t) > before; {
		runtime.GC()
		runtime.Gosched()
		if time.Now().After(deadline) {
			t.Fatalf("%d KiB are locked, %d before", lockedKiB(t), before)
		}
	}
}

func lockedKiB(t *testing.T) (n int) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmLck:")
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRead(t *testing.T) {
	b, err := Read(strings.NewReader(word+"rest"), len(word))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Wipe()
	if string(b.Bytes()) != word {
		t.Errorf("%q", b.Bytes())
	}
	if _, err := Read(strings.NewReader("short"), 6); err != io.ErrUnexpectedEOF {
		t.Errorf("short: %v", err)
	}
	empty, err := Read(strings.NewReader(""), 0)
	if err != nil || empty.Len() != 0 {
		t.Errorf("empty: %v", err)
	}
	empty.Wipe()
}

func TestEqual(t *testing.T) {
	a, b := take(t), take(t)
	if !Equal(a, b) {
		t.Error("equal secrets differ")
	}
	b.Bytes()[7] ^= 1
	if Equal(a, b) || Equal(a, nil) {
		t.Error("different secrets are equal")
	}
}

// Sizes around whole pages.
func TestSizes(t *testing.T) {
	page := os.Getpagesize()
	for _, n := range []int{0, 1, page - 1, page, page + 1, 3 * page} {
		b, err := New(n)
		if err != nil {
			t.Fatal(err)
		}
		if b.Len() != n || cap(b.Bytes()) != n {
			t.Errorf("%d bytes: %d, capacity %d", n, b.Len(), cap(b.Bytes()))
		}
		for i := range b.Bytes() {
			b.Bytes()[i] = 1
		}
		b.Wipe()
	}
}

// A limit on locked memory is an error with advice, not a secret that can be
// swapped out.
func TestNoLockedMemory(t *testing.T) {
	if os.Getenv("SECRET_TEST") == "memlock" {
		if err := dropPrivilege(); err != nil {
			fmt.Println("skip:", err)
			os.Exit(0)
		}
		_, err := New(8)
		fmt.Println(err)
		os.Exit(0)
	}
	out := runSelf(t, "TestNoLockedMemory", "memlock")
	if strings.HasPrefix(out, "skip:") {
		t.Skip(out)
	}
	if !strings.Contains(out, "cannot be locked") || !strings.Contains(out, "ulimit -l") {
		t.Errorf("%s", out)
	}
}

// dropPrivilege forbids locking memory; root may lock it despite the limit, so
// the process becomes somebody else.
func dropPrivilege() error {
	if err := syscall.Setrlimit(rlimitMemlock, &syscall.Rlimit{}); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		return syscall.Setuid(65534)
	}
	return nil
}

const rlimitMemlock = 8

func TestLockProcess(t *testing.T) {
	if os.Getenv("SECRET_TEST") == "lock" {
		if err := LockProcess(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		const prGetDumpable = 3
		dumpable, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prGetDumpable, 0, 0)
		fmt.Println(limit.Cur, limit.Max, dumpable, errno == 0)
		os.Exit(0)
	}
	if out := runSelf(t, "TestLockProcess", "lock"); out != "0 0 0 true\n" {
		t.Errorf("core limit, dumpable: %s", out)
	}
}

// runSelf runs a test of this binary in a process of its own.
func runSelf(t *testing.T, test, mode string) string {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), "SECRET_TEST="+mode)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
