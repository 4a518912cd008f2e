// Package confine closes to the program what a ceremony doesn't need, so that a
// hostile file, a hostile plugin or a fault of its own can neither send a secret
// away nor write one down elsewhere.
//
// A confined process, and every process that it starts, for good:
//
//   - writes files only in the places that it was given (Places.Write, and new
//     files in Places.Add), below the folders in which media are mounted (Media),
//     and on its terminal and /dev/null;
//   - reads those, Places.Read, the names in Places.List, the system's programs and
//     libraries, the folders of PATH, /proc, the machine's limits in /sys, and files
//     for time zones, terminals and names of users;
//   - executes the system's programs, those in the folders of PATH, and itself:
//     nothing that it has written;
//   - has no sockets but Unix ones, no io_uring, which would open others past the
//     filter, none of the calls of another architecture or of x32, no input put
//     into its terminal (TIOCSTI, TIOCLINUX), and gains no privileges by setuid
//     programs;
//   - where the kernel knows how, connects to no abstract Unix socket and sends no
//     signal outside (Landlock ABI 6). It traces no process outside, so
//     /proc/PID/root and the like are closed.
//
// Files are Landlock's: a rule holds for a folder, with all that is below it, also
// what is mounted there later. Places count from the working directory, links are
// followed once, and what isn't there gets no rule. What was open before stays
// open. Sockets are refused by a seccomp filter with EACCES, as Landlock (from ABI 4
// on) knows TCP alone. What neither closes: named Unix sockets, pcscd's and D-Bus's
// among them; looking at names, sizes and modes (stat); chmod, chown and times of
// files that the user owns.
//
// Both are set on one thread, and others of a process with cgo cannot be reached.
// So Again sets them and executes the program again on that thread. The new image
// doesn't believe a variable or a flag: it looks at what the kernel says of it, and
// tries what must be refused (Look).
package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Media are the folders below which media are mounted. A medium that is mounted in one
// of them itself must stay while the process lives: once it is gone, what is mounted in
// its place is closed. So is a folder that did not exist when the process began.
var Media = []string{"/media", "/run/media", "/mnt"}

// Places are paths of files and folders that a confined process may use, beyond
// those that every one may.
type Places struct {
	Write []string // read and written; folders with all that is below them
	Add   []string // folders, for new files and folders in them, and not for reading
	Read  []string // read; folders with all that is below them
	List  []string // folders whose names are read, and nothing else
}

// Level is what this process is held to, found out by trying.
type Level struct {
	ABI     int  // of the kernel's Landlock; 0: it has none
	Files   bool // files elsewhere are refused
	Sockets bool // all but Unix ones are refused, for good
}

// Look tries what a confined process must be refused. It changes nothing.
func Look() Level {
	return Level{ABI: abi(), Files: filesRefused(), Sockets: socketsRefused()}
}

// Explain adds to the error of a path that people have typed what is open to this
// process, where that is why it was refused.
func Explain(err error) error {
	if !errors.Is(err, fs.ErrPermission) || !Look().Files {
		return err
	}
	return fmt.Errorf("%w (hint: this program is confined to the folder of its ceremony and to media: mount the medium in a folder below %s; if it is in one that is newer than this program's start, leave, and start it again)", err, strings.Join(Media, ", "))
}

// Whole reports whether all is refused that this kernel can refuse.
func (l Level) Whole() bool { return l.Sockets && (l.Files || l.ABI == 0) }

// Again confines the program to the places: it executes it again, with the same
// arguments, in the same process, and doesn't return. In the program that is
// confined already it returns nil. A kernel without Landlock leaves files open;
// Look says so. An error leaves a process that must not go on.
func Again(p Places) error {
	if Look().Whole() {
		return nil
	}
	runtime.LockOSThread() // and never unlocked: no other goroutine gets this thread
	if err := p.restrict(); err != nil {
		return failed(err)
	}
	if l := Look(); !l.Whole() {
		return failed(fmt.Errorf("the kernel took the rules, and doesn't hold them (Landlock ABI %d, files refused: %t, sockets refused: %t)", l.ABI, l.Files, l.Sockets))
	}
	return failed(syscall.Exec(itself(), os.Args, os.Environ()))
}

func failed(err error) error {
	return fmt.Errorf("this program cannot be confined to its files: %w (hint: a container or another sandbox around it can be the cause; start it without, on the laptop itself)", err)
}

// itself is the path of the running program: the name that it was started by, by
// which people know a process, where that is still the same file.
func itself() string {
	const running = "/proc/self/exe"
	name, err := os.Executable()
	if err != nil {
		return running
	}
	there, err := os.Stat(name)
	here, also := os.Stat(running)
	if err != nil || also != nil || !os.SameFile(there, here) {
		return running
	}
	return name
}

// restrict confines the calling thread.
func (p Places) restrict() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if version := abi(); version > 0 {
		if err := p.landlock(version); err != nil {
			return fmt.Errorf("landlock: %w", err)
		}
	}
	if err := filter(); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}

// Rights on files, as Landlock has them, and the ABI that brought those that the
// first didn't know.
const (
	readFile  = unix.LANDLOCK_ACCESS_FS_READ_FILE
	read      = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	execute   = read | unix.LANDLOCK_ACCESS_FS_EXECUTE
	writeFile = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	// A new file has another name until it is whole.
	add      = writeFile | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	write    = add | readFile | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REFER
	terminal = readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	// What a rule for a file, and not for a folder, may have.
	ofFile = readFile | unix.LANDLOCK_ACCESS_FS_EXECUTE | writeFile | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	all1 = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1 // ABI 1: every right up to this one
)

// handled are the rights that a kernel with this ABI can refuse.
func handled(version int) uint64 {
	rights := uint64(all1)
	for _, later := range []struct {
		version int
		right   uint64
	}{{2, unix.LANDLOCK_ACCESS_FS_REFER}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV}} {
		if version >= later.version {
			rights |= later.right
		}
	}
	return rights
}

// abi is the version of the kernel's Landlock; 0: there is none, or it is off.
func abi() int {
	version, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// landlock closes files to the calling thread, and what else this version knows.
func (p Places) landlock(version int) error {
	rights := handled(version)
	set := unix.LandlockRulesetAttr{Handled_access_fs: rights}
	if version >= 4 {
		set.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 6 {
		set.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&set)), unsafe.Sizeof(set), 0)
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(rules))
	for _, r := range p.rules() {
		if err := allow(int(rules), r.path, r.rights&rights); err != nil {
			return fmt.Errorf("%s: %w", r.path, err)
		}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

type rule struct {
	path   string
	rights uint64
}

// rules are all that is open to a process that is confined to the places.
func (p Places) rules() []rule {
	var all []rule
	give := func(rights uint64, paths ...string) {
		for _, path := range paths {
			all = append(all, rule{path, rights})
		}
	}
	give(write, p.Write...)
	give(write, Media...)
	give(add, p.Add...)
	give(read, p.Read...)
	give(unix.LANDLOCK_ACCESS_FS_READ_DIR, p.List...)
	give(execute, "/proc/self/exe", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
	give(execute, filepath.SplitList(os.Getenv("PATH"))...)
	give(read, "/proc", "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group",
		"/etc/localtime", "/etc/terminfo", os.Getenv("TERMINFO"), filepath.Join(os.Getenv("HOME"), ".terminfo"),
		"/dev/zero", "/dev/random", "/dev/urandom",
		"/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage") // which Go's runtime asks
	give(terminal, "/dev/null", "/dev/tty")
	for _, standard := range []string{"0", "1", "2"} {
		if name, err := os.Readlink("/proc/self/fd/" + standard); err == nil && strings.HasPrefix(name, "/dev/") {
			give(terminal, name)
		}
	}
	return all
}

// allow adds a rule. What cannot be opened now gets none: who uses it will say so.
func allow(rules int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var there unix.Stat_t
	if err := unix.Fstat(fd, &there); err != nil {
		return err
	}
	if there.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFile
	}
	if rights == 0 {
		return nil
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// filesRefused tries to read the names in /, which anyone may who isn't confined.
func filesRefused() bool {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return errors.Is(err, unix.EACCES)
}
