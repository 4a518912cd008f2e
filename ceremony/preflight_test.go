package ceremony

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// goodLaptop is offline, with nothing that Preflight would name.
func goodLaptop() laptop {
	return laptop{
		proc: procFS(map[string]string{
			"swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
			"self/limits": `Limit                     Soft Limit           Hard Limit           Units
Max core file size        0                    unlimited            bytes
Max locked memory         8388608              8388608              bytes
`,
			"self/status":             "Name:\trootceremony\nPPid:\t20\nTracerPid:\t0\n",
			"20/status":               "Name:\tbash\nPPid:\t10\n",
			"10/status":               "Name:\tgetty\nPPid:\t1\n",
			"1/status":                "Name:\tsystemd\nPPid:\t0\n",
			"10/cmdline":              "/sbin/getty\x00tty1\x00",
			"30/cmdline":              "/usr/sbin/pcscd\x00--foreground\x00--auto-exit\x00-c/etc/apdu\x00",
			"sys/kernel/core_pattern": "core\n",
		}),
		env:      func(string) string { return "" },
		network:  []networkInterface{{name: "eth0"}},
		dumpable: true,
		now:      planNow,
		folder:   folder{path: "/c", mode: fs.ModeDir | 0o700, kind: 0xef53, free: 1 << 30},
	}
}

func procFS(files map[string]string) fstest.MapFS {
	proc := fstest.MapFS{}
	for name, text := range files {
		proc[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return proc
}

func TestPreflightOfAGoodLaptop(t *testing.T) {
	for _, f := range goodLaptop().findings() {
		if f.Level != LevelOK || f.Advice != "" || f.Text == "" {
			t.Errorf("%+v", f)
		}
	}
}

func TestPreflightFinds(t *testing.T) {
	proc := func(name, text string) func(*laptop) {
		return func(l *laptop) { l.proc.(fstest.MapFS)[name] = &fstest.MapFile{Data: []byte(text)} }
	}
	without := func(name string) func(*laptop) {
		return func(l *laptop) { delete(l.proc.(fstest.MapFS), name) }
	}
	env := func(name string) func(*laptop) {
		return func(l *laptop) {
			l.env = func(n string) string { return map[string]string{name: "x"}[n] }
		}
	}
	at := func(s string) func(*laptop) {
		return func(l *laptop) {
			now, err := time.Parse(time.RFC3339, s)
			if err != nil {
				t.Fatal(err)
			}
			l.now = now
		}
	}
	for _, c := range []struct {
		name   string
		change func(*laptop)
		want   string // the one line that is not ok; empty: none
	}{
		{"cable", func(l *laptop) { l.network[0].addresses = []string{"192.0.2.7/24", "fe80::1/64"} },
			"fail  network    this laptop is on a network: eth0 (192.0.2.7/24, fe80::1/64) (hint: pull the cable, switch radio off, and look again)"},
		{"network unknown", func(l *laptop) { l.noNet = errors.New("not permitted") }, "warn  network    nothing is known about the network: not permitted (hint: look by hand)"},
		{"ssh", env("SSH_CONNECTION"), "fail  remote     this session comes over the network: SSH_CONNECTION is set (hint: sit at the laptop itself)"},
		{"ssh tty", env("SSH_TTY"), "fail  remote     this session comes over the network: SSH_TTY is set (hint: sit at the laptop itself)"},
		{"ssh and sudo", proc("10/status", "Name:\tsshd\nPPid:\t1\n"), "fail  remote     this session comes over the network: started by sshd (hint: sit at the laptop itself)"},
		{"swap", proc("swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0   partition\t1\t0\t100\n/swap.img    file\t1\t0\t-2\n/dev/dm-1\tpartition\t1\t0\t-2\n"), "fail  swap       memory can be written to disk: swap on /swap.img, /dev/dm-1 (hint: swapoff -a)"},
		{"zram", proc("swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0   partition\t1\t0\t100\n"), ""},
		{"swap unknown", without("swaps"), "warn  swap       nothing is known about swap: open swaps: file does not exist (hint: look by hand)"},
		{"core files", proc("self/limits", "Max core file size        unlimited  unlimited bytes\nMax locked memory  unlimited unlimited bytes\n"), "fail  cores      a crash would write memory to a file (hint: ulimit -c 0)"},
		{"core files of a locked process", func(l *laptop) {
			proc("self/limits", "Max core file size        unlimited  unlimited bytes\nMax locked memory  unlimited unlimited bytes\n")(l)
			l.dumpable = false
		}, ""},
		{"core pipe", proc("sys/kernel/core_pattern", "|/usr/share/apport/apport %p %s\n"), "fail  cores      a crash would be handed to /usr/share/apport/apport, secrets included (hint: sysctl kernel.core_pattern=core; ulimit -c 0)"},
		{"limits unknown", without("self/limits"), "warn  cores      nothing is known about core dumps: open self/limits: file does not exist (hint: look by hand)\nwarn  memory     nothing is known about locked memory: open self/limits: file does not exist (hint: look by hand)"},
		{"strace", func(l *laptop) {
			proc("self/status", "Name:\trootceremony\nPPid:\t20\nTracerPid:\t77\n")(l)
			proc("77/status", "Name:\tstrace\nPPid:\t20\n")(l)
		}, "fail  tracer     process 77 (strace) traces this one and can read every secret (hint: start without a debugger or strace)"},
		{"no memory", proc("self/limits", "Max core file size  0 0 bytes\nMax locked memory   32768 32768 bytes\n"), "fail  memory     only 32 KiB of memory can be locked: too little for secrets (hint: ulimit -l 8192)"},
		{"little memory", proc("self/limits", "Max core file size  0 0 bytes\nMax locked memory   65536 65536 bytes\n"), "warn  memory     only 64 KiB of memory can be locked (hint: ulimit -l 8192)"},
		{"the epoch", at("1970-01-01T00:00:07Z"), "fail  clock      the clock is wrong: it says 1970-01-01 00:00:07 UTC (hint: set it by a clock that the witness trusts: date -u -s ...)"},
		{"last year", at("2025-12-31T23:59:59Z"), "fail  clock      the clock is wrong: it says 2025-12-31 23:59:59 UTC (hint: set it by a clock that the witness trusts: date -u -s ...)"},
		{"a far year", at("2106-02-07T06:28:15Z"), "fail  clock      the clock is wrong: it says 2106-02-07 06:28:15 UTC (hint: set it by a clock that the witness trusts: date -u -s ...)"},
		{"script", proc("20/status", "Name:\tscript\nPPid:\t10\n"), "warn  recorder   script records this terminal (hint: end it, unless the recording is planned; never record what is typed)"},
		{"tmux", env("TMUX"), "warn  recorder   the terminal runs inside tmux, which keeps what was shown and can be watched (hint: use a terminal of its own)"},
		{"screen", env("STY"), "warn  recorder   the terminal runs inside screen, which keeps what was shown and can be watched (hint: use a terminal of its own)"},
		{"a circle of processes", proc("10/status", "Name:\tgetty\nPPid:\t20\n"), ""},
		{"pcscd --apdu", proc("30/cmdline", "/usr/sbin/pcscd\x00--foreground\x00--apdu\x00"), "fail  reader     pcscd prints every command to a token, PINs included (hint: start it without --apdu)"},
		{"pcscd -fa", proc("30/cmdline", "pcscd\x00-fa\x00"), "fail  reader     pcscd prints every command to a token, PINs included (hint: start it without --apdu)"},
		{"another --apdu", proc("30/cmdline", "/usr/bin/nopcscd\x00--apdu\x00"), ""},
		{"no folder", func(l *laptop) { l.folder = folder{path: "/c", err: fs.ErrNotExist} }, "fail  folder     /c: file does not exist (hint: name a folder that exists)"},
		{"read-only", func(l *laptop) { l.folder.writable = syscall.EROFS }, "fail  folder     /c: cannot be written to: read-only file system (hint: another folder, or mount it for writing)"},
		{"full", func(l *laptop) { l.folder.free = leastFree - 1 }, "fail  folder     /c: 15 MiB are free, of 16 that are needed (hint: make room)"},
		{"NFS", func(l *laptop) { l.folder.kind = 0x6969 }, "fail  folder     /c: is on a network file system (NFS) (hint: a folder on this laptop's own disk)"},
		{"CIFS on a 32-bit machine", func(l *laptop) { l.folder.kind = -0xacb2be }, "fail  folder     /c: is on a network file system (CIFS) (hint: a folder on this laptop's own disk)"},
		{"FUSE", func(l *laptop) { l.folder.kind = fuseKind }, "warn  folder     /c: is on a FUSE file system, which may be a network or lose data on a crash (hint: a folder on this laptop's own disk)"},
		{"in memory", func(l *laptop) { l.folder.kind = 0x01021994 }, "warn  folder     /c: is in memory only (tmpfs): all of it is lost when the power fails (hint: a folder on a disk)"},
		{"open to all", func(l *laptop) { l.folder.mode = fs.ModeDir | 0o755 }, "warn  folder     /c: is open to other users (0755) (hint: chmod 700)"},
		{"two things", func(l *laptop) { l.folder.mode, l.folder.free = fs.ModeDir|0o701, 0 }, "fail  folder     /c: 0 MiB are free, of 16 that are needed (hint: make room)\nwarn  folder     /c: is open to other users (0701) (hint: chmod 700)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := goodLaptop()
			c.change(&l)
			var lines []string
			for _, f := range l.findings() {
				if f.Level != LevelOK {
					lines = append(lines, f.Line())
				}
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// Preflight looks at the real machine, and leaves the folder as it was.
func TestPreflight(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, f := range Preflight(dir, planNow) {
		seen[f.ID] += f.Text
	}
	for _, id := range []string{"network", "remote", "swap", "cores", "tracer", "memory", "clock", "recorder", "reader", "folder"} {
		if text, ok := seen[id]; !ok || strings.Contains(text, "nothing is known") {
			t.Errorf("%s: %q", id, text)
		}
	}
	if !strings.Contains(seen["folder"], "is open to other users (0750)") {
		t.Errorf("folder: %q", seen["folder"])
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	last := Preflight(file, planNow)
	if f := last[len(last)-1]; f.Level != LevelFail || f.Text != fmt.Sprintf("%s: not a folder", file) {
		t.Errorf("%+v", f)
	}
}
