package confine

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Where seccomp_data has what the filter looks at (linux/seccomp.h). Of arguments
// it is the low half, on a machine that stores that first: the kernel takes no more
// of these.
const (
	dataNumber    = 0
	dataArch      = 4
	dataArgument0 = 16
	dataArgument1 = 24
)

// x32Bit is set in the number of every call of the x32 ABI.
const x32Bit = 0x40000000

// architectures are those that the filter is written for.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

const (
	load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	equals = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	hasBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	ret    = unix.BPF_RET | unix.BPF_K
)

// program is the filter. Jumps count the instructions that they pass over.
func program(arch uint32) []unix.SockFilter {
	return []unix.SockFilter{
		0:  {Code: load, K: dataArch},
		1:  {Code: equals, K: arch, Jf: 13},                   // else 15: another architecture's calls
		2:  {Code: load, K: dataNumber},                       //
		3:  {Code: hasBit, K: x32Bit, Jt: 9},                  // 13
		4:  {Code: equals, K: unix.SYS_SOCKET, Jt: 6},         // 11
		5:  {Code: equals, K: unix.SYS_SOCKETPAIR, Jt: 5},     // 11
		6:  {Code: equals, K: unix.SYS_IO_URING_SETUP, Jt: 6}, // 13
		7:  {Code: equals, K: unix.SYS_IOCTL, Jf: 6},          // else 14
		8:  {Code: load, K: dataArgument1},                    //
		9:  {Code: equals, K: unix.TIOCSTI, Jt: 3},            // 13
		10: {Code: equals, K: unix.TIOCLINUX, Jt: 2, Jf: 3},   // 13, else 14
		11: {Code: load, K: dataArgument0},                    // the family
		12: {Code: equals, K: unix.AF_UNIX, Jt: 1},            // 14, else 13
		13: {Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EACCES)},
		14: {Code: ret, K: unix.SECCOMP_RET_ALLOW},
		15: {Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
	}
}

// filter sets the filter for the calling thread, which has no_new_privs.
func filter() error {
	arch, known := architectures[runtime.GOARCH]
	if !known {
		return errors.New("no filter is known for " + runtime.GOARCH)
	}
	code := program(arch)
	set := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&set)))
	runtime.KeepAlive(code)
	if errno != 0 {
		return errno
	}
	return nil
}

// socketsRefused looks at what the kernel says of the calling thread, and tries a
// socket of each kind that leads out.
func socketsRefused() bool {
	status, err := os.ReadFile("/proc/thread-self/status")
	for _, field := range []string{"\nNoNewPrivs:\t1\n", "\nSeccomp:\t2\n"} {
		if err != nil || !strings.Contains(string(status), field) {
			return false
		}
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET} {
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			_ = unix.Close(fd)
		}
		if !errors.Is(err, unix.EACCES) {
			return false
		}
	}
	return true
}
