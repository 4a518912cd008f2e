// Package laptop looks at the machine on which a ceremony is to be held: network,
// swap, traces, environment, clock, what the program is confined to, and the
// smart-card service. Each thing that
// was looked at is a finding, also where it is good.
package laptop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/confine"
	"rootceremony/ceremony/state"
	"rootceremony/keys/session"
)

// laptop is what preflight looks at.
type laptop struct {
	proc     fs.FS // /proc
	env      func(string) string
	environ  []string // "NAME=value"
	network  []networkInterface
	noNet    error // why nothing is known about the network
	random   error // of asking the kernel for random bytes without waiting
	dumpable bool  // whether the kernel may dump this process
	now      time.Time
	confined confine.Level
	folder   folder
	cards    *smartCards // nil: not needed
}

type networkInterface struct {
	name      string
	addresses []string // while it is up, beyond loopback
}

// folder is the file system under the ceremony's directory.
type folder struct {
	path     string
	err      error // why nothing is known about it
	mode     fs.FileMode
	kind     int64  // f_type of statfs(2)
	free     uint64 // bytes
	writable error  // nil: it is
	sync     error  // of making its names durable
}

// Preflight looks for what would be wrong with this laptop and with dir, the
// directory of the ceremony, which must exist. start begins a session with the
// tokens in this laptop's readers, in a rehearsal with RehearsalEnvironment;
// where it is nil, tokens are virtual, and smart cards are not looked for. It
// changes nothing.
func Preflight(ctx context.Context, dir string, now time.Time, rehearsal bool, start func(context.Context) (*session.Session, error)) []state.Finding {
	dumpable, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_DUMPABLE, 0, 0)
	network, err := networkInterfaces()
	_, random := unix.Getrandom(make([]byte, 1), unix.GRND_NONBLOCK)
	l := laptop{
		proc: os.DirFS("/proc"), env: os.Getenv, environ: os.Environ(), network: network, noNet: err,
		random: random, dumpable: dumpable != 0, now: now, confined: confine.Look(), folder: lookAt(dir),
	}
	if start != nil {
		l.cards = lookAtCards(ctx, rehearsal, start)
	}
	return l.findings()
}

func lookAt(dir string) folder {
	const writeOK = 2 // W_OK of access(2)
	f := folder{path: dir}
	info, err := os.Stat(dir)
	var st syscall.Statfs_t
	switch {
	case err != nil:
		f.err = err
	case !info.IsDir():
		f.err = errors.New("not a folder")
	default:
		f.err = syscall.Statfs(dir, &st)
		f.mode, f.kind, f.free = info.Mode(), int64(st.Type), st.Bavail*uint64(st.Bsize)
		f.writable = syscall.Access(dir, writeOK)
		f.sync = syncFolder(dir)
	}
	return f
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (l laptop) findings() []state.Finding {
	var all []state.Finding
	for _, look := range []func() state.Finding{
		l.findNetwork, l.findRemote, l.findSwap, l.findCores, l.findTracer, l.findMemory, l.findRandom,
		l.findClock, l.findConfinement, l.findRecorder, l.findAPDU,
	} {
		all = append(all, look())
	}
	all = append(all, l.findVariables()...)
	if l.cards != nil {
		all = append(all, l.cards.findService())
		if l.cards.err == nil {
			all = append(all, l.cards.findReaders())
		}
		all = append(all, l.findPrograms())
	}
	return append(all, l.findFolder()...)
}

func (l laptop) findNetwork() state.Finding {
	const id = "network"
	if l.noNet != nil {
		return unknown(id, "the network", l.noNet)
	}
	var up []string
	for _, i := range l.network {
		if len(i.addresses) > 0 {
			up = append(up, i.name+" ("+strings.Join(i.addresses, ", ")+")")
		}
	}
	if len(up) > 0 {
		return state.Finding{ID: id, Level: state.LevelFail, Text: "this laptop is on a network: " + strings.Join(up, ", "), Advice: "pull the cable, switch radio off, and look again"}
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "no network interface has an address", Advice: ""}
}

// findRemote looks for a session over the network: in the environment, and
// among the processes that started this one, as sudo clears the environment.
func (l laptop) findRemote() state.Finding {
	const id, advice = "remote", "sit at the laptop itself"
	for _, name := range []string{"SSH_CONNECTION", "SSH_TTY"} {
		if l.env(name) != "" {
			return state.Finding{ID: id, Level: state.LevelFail, Text: "this session comes over the network: " + name + " is set", Advice: advice}
		}
	}
	if name := l.ancestor("sshd", "sshd-session", "mosh-server", "in.telnetd", "xrdp"); name != "" {
		return state.Finding{ID: id, Level: state.LevelFail, Text: "this session comes over the network: started by " + name, Advice: advice}
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "the session is a local one", Advice: ""}
}

// findSwap takes compressed memory (zram) for memory, which it is.
func (l laptop) findSwap() state.Finding {
	const id = "swap"
	data, err := fs.ReadFile(l.proc, "swaps")
	if err != nil {
		return unknown(id, "swap", err)
	}
	var on []string
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		device, _, _ := strings.Cut(line, " ")
		device, _, _ = strings.Cut(device, "\t")
		if i > 0 && !strings.HasPrefix(device, "/dev/zram") {
			on = append(on, device)
		}
	}
	if len(on) > 0 {
		return state.Finding{ID: id, Level: state.LevelFail, Text: "memory can be written to disk: swap on " + strings.Join(on, ", "), Advice: "swapoff -a"}
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "no swap on a disk", Advice: ""}
}

func (l laptop) findCores() state.Finding {
	const id = "cores"
	if !l.dumpable {
		return state.Finding{ID: id, Level: state.LevelOK, Text: "this process leaves no core dump", Advice: ""}
	}
	limit, err := l.limit("Max core file size")
	if err != nil {
		return unknown(id, "core dumps", err)
	}
	pattern, _ := fs.ReadFile(l.proc, "sys/kernel/core_pattern")
	// A program that core dumps are piped to gets them whatever the limit.
	if strings.HasPrefix(string(pattern), "|") {
		program := strings.TrimSpace(strings.TrimPrefix(string(pattern), "|"))
		return state.Finding{ID: id, Level: state.LevelFail, Text: "a crash would be handed to " + firstWord(program) + ", secrets included", Advice: "sysctl kernel.core_pattern=core; ulimit -c 0"}
	}
	if limit != 0 {
		return state.Finding{ID: id, Level: state.LevelFail, Text: "a crash would write memory to a file", Advice: "ulimit -c 0"}
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "a crash leaves no core dump", Advice: ""}
}

func (l laptop) findTracer() state.Finding {
	const id = "tracer"
	pid, err := l.status("self", "TracerPid")
	if err != nil {
		return unknown(id, "tracers", err)
	}
	if pid != "0" {
		name, _ := l.status(pid, "Name")
		return state.Finding{ID: id, Level: state.LevelFail, Text: fmt.Sprintf("process %s (%s) traces this one and can read every secret", pid, name), Advice: "start without a debugger or strace"}
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "nothing traces this process", Advice: ""}
}

// What secrets need in locked memory, in bytes: a page each, and some are kept
// for the whole time.
const (
	leastLocked = 64 << 10
	goodLocked  = 1 << 20
)

func (l laptop) findMemory() state.Finding {
	const id, advice = "memory", "ulimit -l 8192"
	limit, err := l.limit("Max locked memory")
	switch {
	case err != nil:
		return unknown(id, "locked memory", err)
	case limit < leastLocked:
		return state.Finding{ID: id, Level: state.LevelFail, Text: fmt.Sprintf("only %d KiB of memory can be locked: too little for secrets", limit>>10), Advice: advice}
	case limit < goodLocked:
		return state.Finding{ID: id, Level: state.LevelWarn, Text: fmt.Sprintf("only %d KiB of memory can be locked", limit>>10), Advice: advice}
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "enough memory can be locked", Advice: ""}
}

// findRandom asks whether the kernel's generator has been seeded: until then it makes
// callers wait, as keys that are made early after a start can be guessed (getrandom(2)).
func (l laptop) findRandom() state.Finding {
	const id = "random"
	switch {
	case errors.Is(l.random, unix.EAGAIN):
		return state.Finding{ID: id, Level: state.LevelFail, Text: "the kernel has not gathered enough randomness yet to make keys", Advice: "use the keyboard for a minute, and look again"}
	case l.random != nil:
		return unknown(id, "the kernel's random numbers", l.random)
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "the kernel has gathered enough randomness to make keys", Advice: ""}
}

func (l laptop) findClock() state.Finding {
	const id, advice = "clock", "set it by a clock that the witness trusts: date -u -s ..."
	says := l.now.UTC().Format("2006-01-02 15:04:05 UTC")
	if l.now.Before(agreed.MinClock) || l.now.After(agreed.MinClock.AddDate(40, 0, 0)) {
		return state.Finding{ID: id, Level: state.LevelFail, Text: "the clock is wrong: it says " + says, Advice: advice}
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "the clock says " + says + "; offline nothing corrects it, so compare it", Advice: ""}
}

// strangers are variables, by how their names begin, with which PINs or what is in
// memory come into other hands, and how. The first that fits counts.
var strangers = []struct {
	begins string
	level  state.Level
	how    string
}{
	{"LD_", state.LevelFail, "with it the system's loader can put other code into this program, which then sees every PIN"},
	{socketVariable, state.LevelFail, "it names another socket than pcscd's, and what listens there would get every PIN"},
	{"PCSCLITE_", state.LevelFail, "it changes what the smart-card library does, through which every PIN passes"},
	{"LIBPCSCLITE_", state.LevelFail, "it has another smart-card library loaded, which would get every PIN"},
	{"GOTRACEBACK", state.LevelFail, "with it a crash prints more of what is in memory, or leaves it in a file"},
	{"GODEBUG", state.LevelFail, "it changes how this program works inside, what it takes for random or for a good certificate among it"},
	{"GOCOVERDIR", state.LevelFail, "it has files written outside of the ceremony's directory"},
	{"AGEDEBUG", state.LevelFail, "with it age's plugins show what passes between them and this program"},
	{"GCONV_PATH", state.LevelFail, "with it the system's libraries can load other code into this program"},
	{"MALLOC_TRACE", state.LevelFail, "it has the system's library keep a trace of memory in a file"},
	{"SSLKEYLOGFILE", state.LevelWarn, "somebody collects secrets with it, though this program opens no connection"},
	{"XDG_STATE_HOME", state.LevelWarn, "it moves this laptop's memory of what was signed, and another folder knows of nothing that was signed before"},
}

// findVariables looks for them, and does not say what they are set to: findings
// go into the record.
func (l laptop) findVariables() []state.Finding {
	const id = "variables"
	var all []state.Finding
	for _, entry := range l.environ {
		name, _, _ := strings.Cut(entry, "=")
		for _, s := range strangers {
			if strings.HasPrefix(name, s.begins) {
				all = append(all, state.Finding{ID: id, Level: s.level, Text: name + " is set: " + s.how, Advice: "find out who set it, unset " + name + ", and start again"})
				break
			}
		}
	}
	if all == nil {
		all = []state.Finding{{ID: id, Level: state.LevelOK, Text: "nothing in the environment leads PINs or memory elsewhere", Advice: ""}}
	}
	return all
}

// SafeEnvironment tells why nobody should type a PIN into this process, for what
// has no Preflight.
func SafeEnvironment() error {
	for _, f := range (laptop{environ: os.Environ()}).findVariables() {
		if f.Level == state.LevelFail {
			return fmt.Errorf("%s (hint: %s)", f.Text, f.Advice)
		}
	}
	return nil
}

// findRecorder looks for what keeps a copy of everything on the screen.
func (l laptop) findRecorder() state.Finding {
	const id = "recorder"
	if name := l.ancestor("script", "asciinema", "ttyrec", "termrec", "tlog-rec", "tlog-rec-sessio"); name != "" {
		return state.Finding{ID: id, Level: state.LevelWarn, Text: name + " records this terminal", Advice: "end it, unless the recording is planned; never record what is typed"}
	}
	for _, m := range [][2]string{{"TMUX", "tmux"}, {"STY", "screen"}} {
		if l.env(m[0]) != "" {
			return state.Finding{ID: id, Level: state.LevelWarn, Text: "the terminal runs inside " + m[1] + ", which keeps what was shown and can be watched", Advice: "use a terminal of its own"}
		}
	}
	return state.Finding{ID: id, Level: state.LevelOK, Text: "no recorder is seen", Advice: ""}
}

// File systems by f_type: those on another machine, and those in memory.
var (
	networkKinds = map[int64]string{
		0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB", 0x5346414f: "AFS",
		0x6b414653: "AFS", 0x00c36400: "Ceph", 0x01021997: "9P", 0x73757245: "Coda",
	}
	memoryKinds = map[int64]string{0x01021994: "tmpfs", 0x858458f6: "ramfs"}
)

const (
	fuseKind  = 0x65735546
	leastFree = 16 << 20 // bytes; a ceremony writes below 1 MiB without backups
)

func (l laptop) findFolder() []state.Finding {
	const id = "folder"
	f := l.folder
	if f.err != nil {
		return []state.Finding{{ID: id, Level: state.LevelFail, Text: fmt.Sprintf("%s: %v", f.path, f.err), Advice: "name a folder that exists"}}
	}
	var all []state.Finding
	add := func(level state.Level, text, advice string) {
		all = append(all, state.Finding{ID: id, Level: level, Text: f.path + ": " + text, Advice: advice})
	}
	if f.writable != nil {
		add(state.LevelFail, fmt.Sprintf("cannot be written to: %v", f.writable), "another folder, or mount it for writing")
	}
	if f.free < leastFree {
		add(state.LevelFail, fmt.Sprintf("%d MiB are free, of %d that are needed", f.free>>20, leastFree>>20), "make room")
	}
	// f_type is signed on some machines.
	kind := f.kind & 0xffffffff
	if name := networkKinds[kind]; name != "" {
		add(state.LevelFail, "is on a network file system ("+name+")", "a folder on this laptop's own disk")
	}
	if kind == fuseKind {
		add(state.LevelWarn, "is on a FUSE file system, which may be a network or lose data on a crash", "a folder on this laptop's own disk")
	}
	if name := memoryKinds[kind]; name != "" {
		add(state.LevelWarn, "is in memory only ("+name+"): all of it is lost when the power fails", "a folder on a disk")
	}
	if f.sync != nil { // which package disk takes as it is where it cannot be done
		add(state.LevelWarn, fmt.Sprintf("its file system doesn't say when a new file is safe (%v): the last ones may be gone when the power fails", f.sync), "a folder on this laptop's own disk")
	}
	if f.mode.Perm()&0o077 != 0 {
		add(state.LevelWarn, fmt.Sprintf("is open to other users (%04o)", f.mode.Perm()), "chmod 700")
	}
	if all == nil {
		add(state.LevelOK, fmt.Sprintf("private and writable, %d MiB free", f.free>>20), "")
	}
	return all
}

// unknown is a Finding where the system did not answer.
func unknown(id, what string, err error) state.Finding {
	return state.Finding{ID: id, Level: state.LevelWarn, Text: fmt.Sprintf("nothing is known about %s: %v", what, err), Advice: "look by hand"}
}

// status returns a field of /proc/PID/status.
func (l laptop) status(pid, field string) (string, error) {
	data, err := fs.ReadFile(l.proc, pid+"/status")
	if err != nil {
		return "", err
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("no %s in /proc/%s/status", field, pid)
}

// limit returns a soft limit of this process; unlimited is the largest number.
func (l laptop) limit(name string) (uint64, error) {
	data, err := fs.ReadFile(l.proc, "self/limits")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		value, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		if value = firstWord(value); value == "unlimited" {
			return 1<<64 - 1, nil
		}
		return strconv.ParseUint(value, 10, 64)
	}
	return 0, fmt.Errorf("no %s in /proc/self/limits", name)
}

// ancestor returns the first of the names that a process above this one has.
func (l laptop) ancestor(names ...string) string {
	pid := "self"
	for range 64 {
		parent, err := l.status(pid, "PPid")
		if err != nil || parent == "0" || parent == pid {
			return ""
		}
		name, _ := l.status(parent, "Name")
		for _, n := range names {
			if name == n {
				return name
			}
		}
		pid = parent
	}
	return ""
}

func firstWord(s string) string {
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}
