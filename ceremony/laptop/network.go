package laptop

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// networkInterfaces are those that are up, but for loopback ones, with their
// addresses. A confined process has no netlink, by which package net asks; the
// kernel says the same of IPv4 through any socket (netdevice(7)), and of IPv6 in
// /proc.
func networkInterfaces() ([]networkInterface, error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(socket)
	addresses, err := addresses4(socket)
	if err != nil {
		return nil, fmt.Errorf("addresses of interfaces: %w", err)
	}
	text, err := os.ReadFile("/proc/self/net/if_inet6")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // else this kernel has no IPv6
		return nil, err
	}
	more, err := addresses6(string(text))
	if err != nil {
		return nil, err
	}
	var found []networkInterface
	for _, a := range append(addresses, more...) {
		i := slices.IndexFunc(found, func(n networkInterface) bool { return n.name == a.name })
		if i >= 0 {
			found[i].addresses = append(found[i].addresses, a.address.String())
			continue
		}
		up, err := leadsOut(socket, a.name)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", a.name, err)
		}
		if up {
			found = append(found, networkInterface{a.name, []string{a.address.String()}})
		}
	}
	return found, nil
}

type interfaceAddress struct {
	name    string
	address netip.Addr
}

// addresses4 asks for the IPv4 addresses of all interfaces (SIOCGIFCONF).
func addresses4(socket int) ([]interfaceAddress, error) {
	type ifreq struct {
		name    [unix.IFNAMSIZ]byte
		address unix.RawSockaddrInet4
		_       [8]byte // the union's longest member has 24 bytes
	}
	for room := 64; ; room *= 2 {
		list := make([]ifreq, room)
		conf := struct {
			bytes int32
			list  *ifreq
		}{int32(len(list)) * int32(unsafe.Sizeof(list[0])), &list[0]}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCGIFCONF, uintptr(unsafe.Pointer(&conf))); errno != 0 {
			return nil, errno
		}
		n := int(conf.bytes) / int(unsafe.Sizeof(list[0]))
		if n == len(list) {
			continue // there may be more
		}
		var all []interfaceAddress
		for _, r := range list[:n] {
			name, _, _ := bytes.Cut(r.name[:], []byte{0})
			all = append(all, interfaceAddress{string(name), netip.AddrFrom4(r.address.Addr)})
		}
		return all, nil
	}
}

// addresses6 reads /proc/net/if_inet6: the address is the first field, and the
// interface the last.
func addresses6(text string) ([]interfaceAddress, error) {
	var all []interfaceAddress
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 6 {
			return nil, fmt.Errorf("if_inet6 has a line of %d fields", len(fields))
		}
		address, err := hex.DecodeString(fields[0])
		if err != nil || len(address) != 16 {
			return nil, fmt.Errorf("if_inet6 has the address %q", fields[0])
		}
		all = append(all, interfaceAddress{fields[5], netip.AddrFrom16([16]byte(address))})
	}
	return all, nil
}

// leadsOut reports whether an interface is up, and isn't a loopback one.
func leadsOut(socket int, name string) (bool, error) {
	name, _, _ = strings.Cut(name, ":") // an alias of it
	request, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, request)
	}
	if err != nil {
		return false, err
	}
	flags := request.Uint16()
	return flags&unix.IFF_UP != 0 && flags&unix.IFF_LOOPBACK == 0, nil
}
