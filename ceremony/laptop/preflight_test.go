package laptop

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
)

// laptopNow is what the clock of a good laptop says.
var laptopNow = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

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
		environ:  []string{"HOME=/root", "OLD_LD_PRELOAD=x", "TERM=linux"},
		network:  []networkInterface{{name: "eth0"}},
		dumpable: true,
		now:      laptopNow,
		confined: confine.Level{ABI: 6, Files: true, Sockets: true},
		folder:   folder{path: "/c", mode: fs.ModeDir | 0o700, kind: 0xef53, free: 1 << 30},
		cards: &smartCards{version: "1.9.9", readers: []string{"Yubico YubiKey CCID 00 00", "Desk 00 00"}, socket: "/run/pcscd/pcscd.comm",
			cards: []keys.Info{{Reader: "Yubico YubiKey CCID 00 00", Serial: 20456123, FormFactor: "YubiKey 5C NFC", Firmware: keys.Firmware{Major: 5, Minor: 7, Patch: 4}}}},
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
		if f.Level != state.LevelOK || f.Advice != "" || f.Text == "" {
			t.Errorf("%+v", f)
		}
	}
}

// /proc is such a file system.
func TestFolderThatCannotBeSynced(t *testing.T) {
	if f := lookAt("/proc"); !errors.Is(f.sync, syscall.EINVAL) {
		t.Errorf("/proc: %v", f.sync)
	}
	if f := lookAt(t.TempDir()); f.err != nil || f.sync != nil {
		t.Errorf("a folder: %v, %v", f.err, f.sync)
	}
}

func TestPreflightFinds(t *testing.T) {
	proc := func(name, text string) func(*laptop) {
		return func(l *laptop) { l.proc.(fstest.MapFS)[name] = &fstest.MapFile{Data: []byte(text)} }
	}
	without := func(name string) func(*laptop) {
		return func(l *laptop) { delete(l.proc.(fstest.MapFS), name) }
	}
	set := func(entries ...string) func(*laptop) {
		return func(l *laptop) { l.environ = append(l.environ, entries...) }
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
	noService := func(refused error) func(*laptop) {
		return func(l *laptop) { l.cards.err, l.cards.refused = keys.ErrNoService, refused }
	}
	for _, c := range []struct {
		name   string
		change func(*laptop)
		want   string // the one line that is not ok; empty: none
	}{
		{"cable", func(l *laptop) { l.network[0].addresses = []string{"192.0.2.7/24", "fe80::1/64"} },
			"fail  network    this laptop is on a network: eth0 (192.0.2.7/24, fe80::1/64) (hint: pull the cable, switch radio off, and look again)"},
		{"network unknown", func(l *laptop) { l.noNet = errors.New("not permitted") }, "warn  network    nothing is known about the network: not permitted (hint: look by hand)"},
		{"not confined", func(l *laptop) { l.confined = confine.Level{ABI: 7, Sockets: true} },
			"warn  confined   this program isn't confined: it could write every file of this user, and open a connection (hint: leave, and start the program again with the command that holds this ceremony)"},
		{"sockets open", func(l *laptop) { l.confined.Sockets = false },
			"warn  confined   this program isn't confined: it could write every file of this user, and open a connection (hint: leave, and start the program again with the command that holds this ceremony)"},
		{"no Landlock", func(l *laptop) { l.confined = confine.Level{Sockets: true} },
			"warn  confined   this program could write every file of this user, as the kernel has no Landlock; every socket is refused but those within this laptop (hint: use a kernel with Landlock (Linux 5.13 or newer; where lsm= is given at boot, landlock is in it))"},
		{"old Landlock", func(l *laptop) { l.confined.ABI = 2 },
			"warn  confined   files elsewhere are refused to this program (Landlock ABI 2), and every socket is refused but those within this laptop; this kernel leaves open: files can be cut short anywhere, devices can be spoken to anywhere, other processes can be sent signals (hint: use a newer kernel)"},
		{"middling Landlock", func(l *laptop) { l.confined.ABI = 4 }, ""},
		{"ssh", env("SSH_CONNECTION"), "fail  remote     this session comes over the network: SSH_CONNECTION is set (hint: sit at the laptop itself)"},
		{"ssh tty", env("SSH_TTY"), "fail  remote     this session comes over the network: SSH_TTY is set (hint: sit at the laptop itself)"},
		{"ssh and sudo", proc("10/status", "Name:\tsshd\nPPid:\t1\n"), "fail  remote     this session comes over the network: started by sshd (hint: sit at the laptop itself)"},
		{"no randomness", func(l *laptop) { l.random = syscall.EAGAIN }, "fail  random     the kernel has not gathered enough randomness yet to make keys (hint: use the keyboard for a minute, and look again)"},
		{"randomness unknown", func(l *laptop) { l.random = syscall.ENOSYS }, "warn  random     nothing is known about the kernel's random numbers: function not implemented (hint: look by hand)"},
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
		{"LD_PRELOAD", set("LD_PRELOAD=/tmp/x.so"), "fail  variables  LD_PRELOAD is set: with it the system's loader can put other code into this program, which then sees every PIN (hint: find out who set it, unset LD_PRELOAD, and start again)"},
		{"its relatives", set("LD_LIBRARY_PATH=", "LD_AUDIT=/tmp/x.so"), "fail  variables  LD_LIBRARY_PATH is set: with it the system's loader can put other code into this program, which then sees every PIN (hint: find out who set it, unset LD_LIBRARY_PATH, and start again)\nfail  variables  LD_AUDIT is set: with it the system's loader can put other code into this program, which then sees every PIN (hint: find out who set it, unset LD_AUDIT, and start again)"},
		{"a socket", set("PCSCLITE_CSOCK_NAME=/tmp/relay"), "fail  variables  PCSCLITE_CSOCK_NAME is set: it names another socket than pcscd's, and what listens there would get every PIN (hint: find out who set it, unset PCSCLITE_CSOCK_NAME, and start again)"},
		{"another smart-card library", set("PCSCLITE_DEBUG=0", "LIBPCSCLITE_DELEGATE=/tmp/x.so"), "fail  variables  PCSCLITE_DEBUG is set: it changes what the smart-card library does, through which every PIN passes (hint: find out who set it, unset PCSCLITE_DEBUG, and start again)\nfail  variables  LIBPCSCLITE_DELEGATE is set: it has another smart-card library loaded, which would get every PIN (hint: find out who set it, unset LIBPCSCLITE_DELEGATE, and start again)"},
		{"Go's own", set("GOTRACEBACK=crash", "GODEBUG=fips140=off"), "fail  variables  GOTRACEBACK is set: with it a crash prints more of what is in memory, or leaves it in a file (hint: find out who set it, unset GOTRACEBACK, and start again)\nfail  variables  GODEBUG is set: it changes how this program works inside, what it takes for random or for a good certificate among it (hint: find out who set it, unset GODEBUG, and start again)"},
		{"age's plugins", set("AGEDEBUG=plugin"), "fail  variables  AGEDEBUG is set: with it age's plugins show what passes between them and this program (hint: find out who set it, unset AGEDEBUG, and start again)"},
		{"what others collect", set("SSLKEYLOGFILE=/tmp/keys"), "warn  variables  SSLKEYLOGFILE is set: somebody collects secrets with it, though this program opens no connection (hint: find out who set it, unset SSLKEYLOGFILE, and start again)"},
		{"another memory", set("XDG_STATE_HOME=/tmp"), "warn  variables  XDG_STATE_HOME is set: it moves this laptop's memory of what was signed, and another folder knows of nothing that was signed before (hint: find out who set it, unset XDG_STATE_HOME, and start again)"},
		{"a circle of processes", proc("10/status", "Name:\tgetty\nPPid:\t20\n"), ""},
		{"pcscd --apdu", proc("30/cmdline", "/usr/sbin/pcscd\x00--foreground\x00--apdu\x00"), "fail  apdu       pcscd prints every command to a token, PINs included (hint: start it without --apdu)"},
		{"pcscd -fa", proc("30/cmdline", "pcscd\x00-fa\x00"), "fail  apdu       pcscd prints every command to a token, PINs included (hint: start it without --apdu)"},
		{"another --apdu", proc("31/cmdline", "/usr/bin/nopcscd\x00--apdu\x00"), ""},
		{"pcscd hidden", without("30/cmdline"), "warn  apdu       nothing is known about how pcscd was started: its process is hidden (hint: look by hand)"},
		{"no socket", noService(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOENT)}),
			"fail  pcscd      pcscd is not running: there is no /run/pcscd/pcscd.comm (hint: systemctl enable --now pcscd.socket; where that is unknown, install pcscd)"},
		{"a dead socket", noService(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}),
			"fail  pcscd      pcscd is not running: nothing listens at /run/pcscd/pcscd.comm (hint: systemctl restart pcscd.socket, or start pcscd)"},
		{"a closed socket", noService(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}),
			"fail  pcscd      this user may not open /run/pcscd/pcscd.comm, where pcscd listens (hint: ls -l it and its folder: join the group that may (usermod -aG GROUP USER) and log in again)"},
		{"an odd socket", noService(errors.New("odd")), "fail  pcscd      pcscd cannot be reached: odd (hint: systemctl restart pcscd.socket pcscd)"},
		{"polkit", noService(nil),
			"fail  pcscd      pcscd runs, but hangs up on this user (hint: polkit may say no: sit at the laptop itself, or have polkit allow this user org.debian.pcsc-lite.access_pcsc and org.debian.pcsc-lite.access_card; or else systemctl restart pcscd)"},
		{"no smart cards", func(l *laptop) { l.cards.err = errors.New("this build has none (hint: another)") }, "fail  pcscd      this build has none (hint: another)"},
		{"slow cards", func(l *laptop) { l.cards.err = errSlowCards }, "fail  pcscd      the smart cards did not answer within 20s (hint: pull the tokens out, systemctl restart pcscd, and look again)"},
		{"no reader", func(l *laptop) { l.cards.readers, l.cards.cards = nil, nil },
			"warn  readers    pcscd knows no reader (hint: plug in a token or a reader, and look again; one that stays unknown needs its driver (libccid))"},
		{"a card in use", func(l *laptop) {
			l.cards.cards = append(l.cards.cards, keys.Info{Reader: "Desk 00 00", Problem: "another program uses it (hint: close that)"})
		}, "warn  readers    readers: 2, usable tokens in them: 1 (Yubico YubiKey CCID 00 00: YubiKey 5C NFC, firmware 5.7.4; Desk 00 00: another program uses it) (hint: close that)"},
		{"another card", func(l *laptop) {
			l.cards.cards = []keys.Info{{Reader: "Desk 00 00", Problem: "this is no YubiKey"}}
		}, "warn  readers    readers: 2, usable tokens in them: 0 (Yubico YubiKey CCID 00 00: empty; Desk 00 00: this is no YubiKey)"},
		{"a token of no use", func(l *laptop) {
			l.cards.cards = []keys.Info{{Reader: "Desk 00 00", Serial: 20456123, FormFactor: "YubiKey 4", Firmware: keys.Firmware{Major: 4, Minor: 3, Patch: 5}}}
		}, "warn  readers    readers: 2, usable tokens in them: 0 (Yubico YubiKey CCID 00 00: empty; Desk 00 00: it has firmware 4.3.5, which is too old for a new key and cannot be updated: it only signs, with an ECDSA key that the trusted root has already) (hint: use a token with firmware 5.7.0 or newer)"},
		{"another edition", func(l *laptop) {
			l.cards.cards[0].Edition = "Bio"
		}, "warn  readers    readers: 2, usable tokens in them: 0 (Yubico YubiKey CCID 00 00: it is a YubiKey of the Bio edition, which gets no new key here: its keys can ask for a finger in place of the PIN, and nothing here was tried on a real one; Desk 00 00: empty) (hint: use a YubiKey 5 of the standard edition)"},
		{"scdaemon", func(l *laptop) {
			proc("40/cmdline", "/usr/lib/gnupg/scdaemon\x00--multi-server\x00")(l)
			proc("41/cmdline", "scdaemon\x00")(l)
		}, "warn  programs   other programs may take the tokens: scdaemon (pid 40), scdaemon (pid 41) (hint: gpgconf --kill scdaemon, and leave gpg and its ssh agent alone)"},
		{"many", func(l *laptop) {
			for pid := range 9 {
				proc(fmt.Sprintf("4%d/cmdline", pid), "/usr/bin/rootceremony\x00token-session\x00")(l)
			}
		}, "warn  programs   other programs may take the tokens: another token session of rootceremony (pid 40), another token session of rootceremony (pid 41), another token session of rootceremony (pid 42), another token session of rootceremony (pid 43), another token session of rootceremony (pid 44), another token session of rootceremony (pid 45), and 3 more (hint: end the other ceremony)"},
		{"a script and a long name", func(l *laptop) {
			proc("40/cmdline", "/usr/bin/python3\x00/usr/bin/ykman\x00info\x00")(l)
			proc("40/comm", "ykman\n")(l)
			proc("41/cmdline", "/lib/ld-linux.so.2\x00/usr/lib/openssh/ssh-pkcs11-helper\x00")(l)
			proc("41/comm", "ssh-pkcs11-help\n")(l)
		}, "warn  programs   other programs may take the tokens: ykman (pid 40), ssh-pkcs11-helper (pid 41) (hint: close what uses the tokens; ssh-add -e LIBRARY, or end the ssh agent)"},
		{"another ceremony", proc("40/cmdline", "/usr/bin/rootceremony\x00token-session\x00"),
			"warn  programs   other programs may take the tokens: another token session of rootceremony (pid 40) (hint: end the other ceremony)"},
		{"another ceremony, between two sessions", proc("40/cmdline", "/usr/bin/rootceremony\x00run\x00d\x00"), ""},
		{"virtual tokens", func(l *laptop) {
			proc("40/cmdline", "scdaemon\x00")(l)
			l.cards = nil
		}, ""},
		{"no folder", func(l *laptop) { l.folder = folder{path: "/c", err: fs.ErrNotExist} }, "fail  folder     /c: file does not exist (hint: name a folder that exists)"},
		{"read-only", func(l *laptop) { l.folder.writable = syscall.EROFS }, "fail  folder     /c: cannot be written to: read-only file system (hint: another folder, or mount it for writing)"},
		{"full", func(l *laptop) { l.folder.free = leastFree - 1 }, "fail  folder     /c: 15 MiB are free, of 16 that are needed (hint: make room)"},
		{"NFS", func(l *laptop) { l.folder.kind = 0x6969 }, "fail  folder     /c: is on a network file system (NFS) (hint: a folder on this laptop's own disk)"},
		{"CIFS on a 32-bit machine", func(l *laptop) { l.folder.kind = -0xacb2be }, "fail  folder     /c: is on a network file system (CIFS) (hint: a folder on this laptop's own disk)"},
		{"FUSE", func(l *laptop) { l.folder.kind = fuseKind }, "warn  folder     /c: is on a FUSE file system, which may be a network or lose data on a crash (hint: a folder on this laptop's own disk)"},
		{"in memory", func(l *laptop) { l.folder.kind = 0x01021994 }, "warn  folder     /c: is in memory only (tmpfs): all of it is lost when the power fails (hint: a folder on a disk)"},
		{"no syncing", func(l *laptop) { l.folder.sync = syscall.EINVAL }, "warn  folder     /c: its file system doesn't say when a new file is safe (invalid argument): the last ones may be gone when the power fails (hint: a folder on this laptop's own disk)"},
		{"open to all", func(l *laptop) { l.folder.mode = fs.ModeDir | 0o755 }, "warn  folder     /c: is open to other users (0755) (hint: chmod 700)"},
		{"two things", func(l *laptop) { l.folder.mode, l.folder.free = fs.ModeDir|0o701, 0 }, "fail  folder     /c: 0 MiB are free, of 16 that are needed (hint: make room)\nwarn  folder     /c: is open to other users (0701) (hint: chmod 700)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := goodLaptop()
			c.change(&l)
			var lines []string
			for _, f := range l.findings() {
				if f.Level != state.LevelOK {
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
	for _, f := range Preflight(t.Context(), dir, laptopNow, true, nil) {
		seen[f.ID] += f.Text
	}
	for _, id := range []string{"network", "remote", "swap", "cores", "tracer", "memory", "random", "clock", "recorder", "apdu", "folder"} {
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
	last := Preflight(t.Context(), file, laptopNow, true, nil)
	if f := last[len(last)-1]; f.Level != state.LevelFail || f.Text != fmt.Sprintf("%s: not a folder", file) {
		t.Errorf("%+v", f)
	}
}
