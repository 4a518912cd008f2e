package confine_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"rootceremony/ceremony/confine"
)

// order is Order of testdata/age-plugin-tries.
type order struct {
	Places           confine.Places
	Inside, Outside  string
	TCP4, TCP6, UDP4 string
	Named, Abstract  string
	PID              int
}

// refused is what each attempt of a confined process comes to, and what it comes to
// in one that isn't; the rest succeeds in both.
var refused = map[string]string{
	"write outside": "EACCES", "write to a file there": "EACCES", "cut a file there": "EACCES", "read a file there": "EACCES",
	"read it by a link": "EACCES", "write by a link": "EACCES", "read the names there": "EACCES", "make a folder there": "EACCES",
	"remove a file there": "EACCES", "move a file out": "EACCES", "move a file in": "EACCES", "link a file in": "EXDEV",
	"make a link": "EACCES", "make a device": "EACCES", "mount": "EPERM", "execute what it wrote": "EACCES",
	"read a process's root": "EACCES", "signal": "EPERM",
	"TCP over IPv4": "EACCES", "TCP over IPv6": "EACCES", "UDP": "EACCES", "UDP over IPv6": "EACCES", "netlink": "EACCES",
	"raw IPv4": "EACCES", "packets": "EACCES", "virtual machine": "EACCES", "bluetooth": "EACCES", "kernel's crypto": "EACCES",
	"another family, with bits above": "EACCES", "pair of TCP sockets": "EACCES", "io_uring": "EACCES", "socket of x32": "EACCES",
	"input to the terminal": "EACCES", "paste into the terminal": "EACCES", "abstract socket": "EPERM",
}

// open are the attempts that must go on succeeding: what a ceremony needs, and what
// the package's comment says stays open.
var open = []string{"named socket", "pair of Unix sockets", "look at a file there", "write inside", "null", "processes", "time zones", "program", "signal to itself"}

// needs says which attempts only a newer Landlock refuses.
var needs = map[string]int{"cut a file there": 3, "signal": 6, "abstract socket": 6}

// TestRefused has a confined process, a child of it and an age plugin try what must
// be refused, with cgo and without; and has one that isn't confined try the same, so
// that the attempts are known to be good ones.
func TestRefused(t *testing.T) {
	level := confine.Look()
	if level.ABI == 0 {
		t.Skip("this kernel has no Landlock")
	}
	for _, cgo := range []string{"0", "1"} {
		t.Run("CGO_ENABLED="+cgo, func(t *testing.T) {
			program := tries(t, cgo)
			o := lay(t)
			said := run(t, program, "confined", o)
			if len(said) != 3 {
				t.Fatalf("%d answers", len(said))
			}
			denials := 0
			for i, who := range []string{"the process", "its child", "an age plugin"} {
				for name, got := range said[i] {
					want, is := refused[name]
					switch {
					case !is && !slices.Contains(open, name):
						t.Errorf("nothing is known about %q", name)
					case level.ABI < needs[name]:
					case got != want:
						t.Errorf("%s: %s: %q, not %q", who, name, got, want)
					case is:
						denials++
					}
				}
				if len(said[i]) < len(open)+len(refused)-1 { // x32 is of amd64 alone
					t.Errorf("%s has tried %v", who, slices.Sorted(maps.Keys(said[i])))
				}
			}
			t.Logf("%d denials (Landlock ABI %d)", denials, level.ABI)
		})
	}
	unconfined := run(t, tries(t, "0"), "alone", lay(t))[0]
	for name, got := range unconfined {
		if got == refused[name] && got != "" && os.Geteuid() == 0 {
			t.Errorf("%s is refused to any process, so it shows nothing: %q", name, got)
		}
	}
	for _, name := range []string{"read a file there", "read it by a link", "move a file out", "execute what it wrote", "signal",
		"TCP over IPv4", "TCP over IPv6", "UDP", "netlink", "abstract socket"} {
		if got := unconfined[name]; got != "" {
			t.Errorf("without confinement, %s: %q", name, got)
		}
	}
}

// TestMediaMountedLater mounts media below a mount root after the start, takes them
// out, and puts others in.
func TestMediaMountedLater(t *testing.T) {
	if confine.Look().ABI == 0 {
		t.Skip("this kernel has no Landlock")
	}
	program := tries(t, "0")
	o := lay(t)
	script := `set -e
		mount -t tmpfs media /mnt; mkdir /mnt/stick /mnt/other
		mkfifo "$1/tell"; "$2" media "$3" <"$1/tell" & exec 3>"$1/tell"
		while read -r line; do eval "$line"; done`
	command := exec.Command("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", t.TempDir(), program, written(t, o))
	var errors bytes.Buffer
	command.Stderr = &errors
	tell, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _, _ = tell.Close(), command.Process.Kill(), command.Wait() }()
	lines := bufio.NewScanner(out)
	next := func() string {
		if !lines.Scan() {
			t.Fatalf("no more is said: %s", &errors)
		}
		return lines.Text()
	}
	if said := next(); said != "ready" {
		t.Fatal(said)
	}
	for _, step := range []struct{ do, file, want string }{
		{"mount -t tmpfs one /mnt/stick", "/mnt/stick/folder/file", ""},
		{"umount /mnt/stick; mount -t tmpfs two /mnt/stick", "/mnt/stick/folder/file", ""},
		{"mount -t tmpfs three /mnt/other; mkdir /mnt/other/deep; mount -t tmpfs four /mnt/other/deep", "/mnt/other/deep/file", ""},
		{"mount -t tmpfs five " + o.Outside, filepath.Join(o.Outside, "file"), "EACCES"},
	} {
		_, err := fmt.Fprintf(tell, "%s; echo %s >&3\n", step.do, step.file)
		if said := next(); err != nil || said != step.want {
			t.Errorf("%s: %q, not %q (%v)", step.do, said, step.want, err)
		}
	}
}

// A process that nobody has confined isn't taken for one.
func TestLook(t *testing.T) {
	if l := confine.Look(); l.Whole() {
		t.Errorf("the test's own process is taken for confined: %+v", l)
	}
}

var built sync.Map // of the programs, by CGO_ENABLED

func tries(t *testing.T, cgo string) string {
	t.Helper()
	make, _ := built.LoadOrStore(cgo, sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp("", "confine-")
		if err != nil {
			return "", err
		}
		programs = append(programs, dir)
		name := filepath.Join(dir, "age-plugin-tries")
		build := exec.Command("go", "build", "-o", name, "./testdata/age-plugin-tries")
		build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		out, err := build.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s%w", out, err)
		}
		return name, err
	}))
	name, err := make.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

var programs []string

func TestMain(m *testing.M) {
	status := m.Run()
	for _, dir := range programs {
		_ = os.RemoveAll(dir)
	}
	os.Exit(status)
}

// lay makes the folders and the listeners that the attempts meet.
func lay(t *testing.T) order {
	t.Helper()
	// Within /tmp, as the paths of sockets must be short.
	base, err := os.MkdirTemp("", "confine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	o := order{Inside: filepath.Join(base, "inside"), Outside: filepath.Join(base, "home"), Abstract: "@" + filepath.Base(base), PID: os.Getpid()}
	o.Places = confine.Places{Write: []string{o.Inside}}
	o.Named = filepath.Join(o.Outside, "socket")
	for _, dir := range []string{o.Inside, o.Outside} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(o.Outside, "secret"), filepath.Join(o.Outside, "spare"), filepath.Join(o.Outside, "moved"), filepath.Join(o.Inside, "file")} {
		if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "../home/secret", "folder-link": "../home"} {
		if err := os.Symlink(to, filepath.Join(o.Inside, link)); err != nil {
			t.Fatal(err)
		}
	}
	o.TCP4, o.TCP6 = listen(t, "tcp4", "127.0.0.1:0"), listen(t, "tcp6", "[::1]:0")
	listen(t, "unix", o.Named)
	listen(t, "unix", o.Abstract)
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	o.UDP4 = udp.LocalAddr().String()
	return o
}

func listen(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// written is a file with the order, which the program may read once it is confined.
func written(t *testing.T, o order) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "order")
	o.Places.Read = append(o.Places.Read, file)
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// run has the program try, and returns what came of it, for each process.
func run(t *testing.T, program, how string, o order) []map[string]string {
	t.Helper()
	command := exec.Command(program, how, written(t, o))
	command.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	var said strings.Builder
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &said)
	}
	var all []map[string]string
	for lines := json.NewDecoder(bytes.NewReader(out)); ; {
		var one map[string]string
		if err := lines.Decode(&one); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		all = append(all, one)
	}
}
