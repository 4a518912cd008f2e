// Command age-plugin-tries does what a confined process must be refused, and what it
// must not. Each time it prints what came of it, as JSON: the name of every attempt
// with its errno, or "" where it succeeded.
//
//	age-plugin-tries confined ORDER  confined: by itself, by a child, by an age plugin
//	age-plugin-tries media ORDER     confined: writes to a medium when told to
//	age-plugin-tries alone ORDER     not confined
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"golang.org/x/sys/unix"

	"rootceremony/ceremony/confine"
)

// Order is what the test has laid.
type Order struct {
	Places   confine.Places
	Inside   string // a folder of Places.Write, with a file and links that lead outside
	Outside  string // a folder that is in no place, with a file
	TCP4     string // addresses that the test listens at
	TCP6     string
	UDP4     string
	Named    string // a Unix socket in Outside
	Abstract string
	PID      int // of the test
}

func main() {
	if len(os.Args) < 3 { // age starts it with the name of a state machine
		p, err := plugin.New("tries")
		check(err)
		p.HandleIdentity(func(order []byte) (age.Identity, error) {
			if err := os.WriteFile(filepath.Join(decode(order).Inside, "plugin.json"), encode(decode(order).tries()), 0o600); err != nil {
				return nil, err
			}
			return nil, errors.New("this plugin opens nothing")
		})
		os.Exit(p.Main())
	}
	text, err := os.ReadFile(os.Args[2])
	check(err)
	o := decode(text)
	switch os.Args[1] {
	case "media":
		check(confine.Again(o.Places))
		o.media()
	case "confined":
		check(confine.Again(o.Places))
		fmt.Printf("%s\n", encode(o.tries()))
		child := exec.Command("/proc/self/exe", "alone", os.Args[2])
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		check(child.Run())
		identity, err := plugin.NewIdentity(plugin.EncodeIdentity("tries", text), &plugin.ClientUI{})
		check(err)
		_, err = identity.Unwrap([]*age.Stanza{{Type: "tries", Body: make([]byte, 16)}})
		said, missing := os.ReadFile(filepath.Join(o.Inside, "plugin.json"))
		check(errors.Join(missing, os.Remove(filepath.Join(o.Inside, "plugin.json"))))
		if err == nil {
			check(errors.New("the plugin opened something"))
		}
		fmt.Printf("%s\n", said)
	case "alone":
		fmt.Printf("%s\n", encode(o.tries()))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func decode(text []byte) (o Order) {
	check(json.Unmarshal(text, &o))
	return o
}

func encode(said map[string]string) []byte {
	text, err := json.Marshal(said)
	check(err)
	return text
}

// media says that it is ready, and for every line that it is told writes a file, by
// the name in it, and reads it again.
func (o Order) media() {
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		err := os.MkdirAll(filepath.Dir(lines.Text()), 0o700)
		if err == nil {
			err = os.WriteFile(lines.Text(), []byte("text"), 0o600)
		}
		if err == nil {
			_, err = os.ReadFile(lines.Text())
		}
		fmt.Println(errnoOf(err))
	}
}

// errnoOf is the name of an error's number, "" for none.
func errnoOf(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return ""
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// tries does everything once, and leaves Inside and Outside as they were.
func (o Order) tries() map[string]string {
	said := map[string]string{}
	for name, attempt := range map[string]func() error{
		"write outside":         func() error { return os.WriteFile(o.outside("new"), nil, 0o600) },
		"write to a file there": func() error { return opened(os.OpenFile(o.outside("secret"), os.O_WRONLY, 0)) },
		"cut a file there":      func() error { return os.Truncate(o.outside("secret"), 6) },
		"read a file there":     func() error { return opened(os.Open(o.outside("secret"))) },
		"read it by a link":     func() error { return opened(os.Open(o.inside("link"))) },
		"write by a link":       func() error { return os.WriteFile(o.inside("folder-link/new"), nil, 0o600) },
		"read the names there":  func() error { return opened(os.Open(o.Outside)) },
		"make a folder there":   func() error { return os.Mkdir(o.outside("folder"), 0o700) },
		"remove a file there":   func() error { return os.Remove(o.outside("spare")) },
		"move a file out":       func() error { return os.Rename(o.inside("file"), o.outside("file")) },
		"move a file in":        func() error { return os.Rename(o.outside("moved"), o.inside("moved")) },
		"link a file in":        func() error { return os.Link(o.outside("secret"), o.inside("linked")) },
		"make a link":           func() error { return os.Symlink("file", o.inside("new-link")) },
		"make a device":         func() error { return unix.Mknod(o.inside("null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) },
		"mount":                 func() error { return unix.Mount("none", o.Inside, "none", 0, "") },
		"execute what it wrote": o.execute,
		"read a process's root": func() error { return opened(os.Open(fmt.Sprintf("/proc/%d/root/etc", o.PID))) },
		"signal":                func() error { return unix.Kill(o.PID, 0) },

		"TCP over IPv4":   func() error { return dialed(net.Dial("tcp4", o.TCP4)) },
		"TCP over IPv6":   func() error { return dialed(net.Dial("tcp6", o.TCP6)) },
		"UDP":             func() error { return dialed(net.Dial("udp4", o.UDP4)) },
		"UDP over IPv6":   socket(unix.AF_INET6, unix.SOCK_DGRAM),
		"netlink":         socket(unix.AF_NETLINK, unix.SOCK_RAW),
		"raw IPv4":        socket(unix.AF_INET, unix.SOCK_RAW),
		"packets":         socket(unix.AF_PACKET, unix.SOCK_RAW),
		"virtual machine": socket(unix.AF_VSOCK, unix.SOCK_STREAM),
		"bluetooth":       socket(unix.AF_BLUETOOTH, unix.SOCK_RAW),
		"kernel's crypto": socket(unix.AF_ALG, unix.SOCK_SEQPACKET),
		"another family, with bits above": func() error {
			_, _, errno := unix.RawSyscall(unix.SYS_SOCKET, 1<<32|unix.AF_INET, unix.SOCK_STREAM, 0)
			return orNil(errno)
		},
		"pair of TCP sockets": func() error {
			_, err := unix.Socketpair(unix.AF_INET, unix.SOCK_STREAM, 0)
			return err
		},
		"io_uring": func() error {
			var parameters [120]byte
			_, _, errno := unix.RawSyscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&parameters)), 0)
			return orNil(errno)
		},
		"input to the terminal":   func() error { return unix.IoctlSetPointerInt(0, unix.TIOCSTI, 'x') },
		"paste into the terminal": func() error { return unix.IoctlSetPointerInt(0, unix.TIOCLINUX, 3) },
		"abstract socket":         func() error { return dialed(net.Dial("unix", o.Abstract)) },

		"named socket": func() error { return dialed(net.Dial("unix", o.Named)) },
		"pair of Unix sockets": func() error {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				err = errors.Join(unix.Close(pair[0]), unix.Close(pair[1]))
			}
			return err
		},
		"look at a file there": func() error { _, err := os.Stat(o.outside("secret")); return err },
		"write inside":         o.write,
		"null":                 func() error { return os.WriteFile("/dev/null", []byte("x"), 0) },
		"processes":            func() error { return opened(os.Open("/proc/1/cmdline")) },
		"time zones":           func() error { return opened(os.Open("/usr/share/zoneinfo")) },
		"program":              func() error { return exec.Command("/bin/true").Run() },
		"signal to itself":     func() error { return unix.Kill(os.Getpid(), 0) },
	} {
		said[name] = errnoOf(attempt())
	}
	if runtime.GOARCH == "amd64" {
		_, _, errno := unix.RawSyscall(0x40000000|unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0)
		said["socket of x32"] = errnoOf(orNil(errno))
	}
	return said
}

func (o Order) inside(name string) string  { return filepath.Join(o.Inside, name) }
func (o Order) outside(name string) string { return filepath.Join(o.Outside, name) }

// execute runs a program that was written inside.
func (o Order) execute() error {
	name := o.inside("program")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"), 0o700); err != nil {
		return err
	}
	return errors.Join(exec.Command(name).Run(), os.Remove(name))
}

// write makes a file as the log's are: by another name, in another folder.
func (o Order) write() error {
	folder := o.inside("a")
	err := os.MkdirAll(filepath.Join(folder, "b"), 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "x"), []byte("text"), 0o600)
	}
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, filepath.Join(folder, "x"), unix.AT_FDCWD, filepath.Join(folder, "b", "x"), unix.RENAME_NOREPLACE)
	}
	if err == nil {
		_, err = os.ReadFile(filepath.Join(folder, "b", "x"))
	}
	return errors.Join(err, os.RemoveAll(folder))
}

func opened(f *os.File, err error) error {
	if err == nil {
		err = f.Close()
	}
	return err
}

func dialed(c net.Conn, err error) error {
	if err == nil {
		err = c.Close()
	}
	return err
}

func socket(family, kind int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	}
}

func orNil(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
