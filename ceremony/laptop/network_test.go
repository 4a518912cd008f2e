package laptop

import (
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// What is known without netlink is what package net knows with it: in a network of
// this test's own, with addresses of both kinds, an alias, an interface that is down,
// and one without an address.
func TestNetworkInterfaces(t *testing.T) {
	const variable = "TEST_NETWORK_INTERFACES"
	if os.Getenv(variable) == "" {
		self := exec.Command("unshare", "--map-root-user", "--net", "sh", "-ec", `
			ip link set lo up
			ip link add eth7 type veth peer name eth8
			ip address add 192.0.2.7/24 dev eth7; ip address add 192.0.2.8/24 dev eth7 label eth7:1
			ip address add 2001:db8::7/64 dev eth7 nodad; ip link set eth7 up
			ip address add 198.51.100.7/24 dev eth8
			ip link add br7 type bridge; ip link set br7 addrgenmode none; ip link set br7 up
			exec "$@"`, "sh", os.Args[0], "-test.run=^TestNetworkInterfaces$", "-test.v")
		self.Env = append(os.Environ(), variable+"=1")
		if out, err := self.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	found, err := networkInterfaces()
	if err != nil {
		t.Fatal(err)
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addresses {
			if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
				want[i.Name] = append(want[i.Name], a.(*net.IPNet).IP.String())
			}
		}
	}
	if len(want["eth7"]) < 3 || len(want["eth8"]) > 0 {
		t.Fatalf("the test's network has %v", want)
	}
	got := map[string][]string{}
	for _, i := range found {
		got[i.name] = append(got[i.name], i.addresses...)
	}
	for _, names := range []map[string][]string{got, want} {
		for _, addresses := range names {
			slices.Sort(addresses)
		}
	}
	// An alias has a name of its own here, and that of its interface there.
	up := slices.Concat(got["eth7"], got["eth7:1"])
	slices.Sort(up)
	if !slices.Equal(up, want["eth7"]) || len(got) > 2 {
		t.Errorf("%v, and package net says %v", got, want)
	}
	if _, err := addresses6("20010db8000000000000000000000007 02 40 00 80\n"); err == nil {
		t.Error("a line without a name is read")
	}
}
