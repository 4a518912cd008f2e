package agreed_test

import (
	"fmt"
	"strings"
	"testing"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// sized is a plan with n holders.
func sized(t testing.TB, n int, algorithm keys.Algorithm, roles map[string]agreed.Role) *agreed.Plan {
	r := example(t)
	r.Holders = nil
	for i := range n {
		r.Holders = append(r.Holders, agreed.Holder{ID: fmt.Sprint("h", i), Name: fmt.Sprint("Holder ", i), Token: fmt.Sprint(i), Custody: agreed.OnToken})
	}
	r.Threshold = min(3, n)
	r.Token.Algorithm = algorithm
	r.Token.MinFirmware = agreed.Firmware[algorithm].String()
	if roles != nil {
		r.Roles = roles
	}
	return r
}

func TestBudget(t *testing.T) {
	one := map[string]agreed.Role{}
	ecdsa := map[string]agreed.Role{}
	for _, role := range agreed.OnlineRoles {
		one[role] = agreed.Role{Threshold: 1, Keys: example(t).Roles["targets"].Keys[:1]}
		one[role].Keys[0] = agreed.MustKey(agreed.Placeholder(keys.Ed25519, "one"))
		ecdsa[role] = agreed.Role{Threshold: 1, Keys: append(example(t).Roles["targets"].Keys[:0:0], agreed.MustKey(agreed.Placeholder(keys.P256, role)))}
	}
	for _, c := range []struct {
		holders   int
		algorithm keys.Algorithm
		roles     map[string]agreed.Role
		bytes     int // 0: not said here
		refused   bool
		most      int
	}{
		{3, keys.Ed25519, nil, 1851, false, 7},
		{5, keys.Ed25519, nil, 2375, false, 7},
		{7, keys.Ed25519, nil, 2899, false, 7},
		{8, keys.Ed25519, nil, 3161, true, 7},
		{8, keys.Ed25519, one, 3161 - 390, false, 8},
		{9, keys.Ed25519, one, 3161 - 390 + 262, true, 8},
		{8, keys.P256, nil, 0, false, 0},
		{40, keys.P256, nil, 0, false, 0},
		{200, keys.P256, nil, 0, true, 0},
		{7, keys.Ed25519, ecdsa, 0, true, 0},
	} {
		r := sized(t, c.holders, c.algorithm, c.roles)
		b := r.Budget()
		if b.Refused != c.refused || c.bytes != 0 && b.Bytes != c.bytes || c.most != 0 && b.MostHolders != c.most {
			t.Errorf("%d holders, %s: %+v", c.holders, c.algorithm, b)
		}
		// As many as are said to fit do fit, and one more does not.
		if fit := sized(t, b.MostHolders, c.algorithm, c.roles).Budget(); fit.Refused {
			t.Errorf("%d holders are said to fit: %+v", b.MostHolders, fit)
		}
		if more := sized(t, b.MostHolders+1, c.algorithm, c.roles).Budget(); !more.Refused {
			t.Errorf("%d holders fit, but %d are said to be the most", b.MostHolders+1, b.MostHolders)
		}
		if b.Refused != (len(b.Advice) > 0) {
			t.Errorf("advice %q", b.Advice)
		}
	}
}

// A plan that fits can be rehearsed: the mark of a rehearsal costs nothing.
func TestBudgetOfARehearsal(t *testing.T) {
	real := sized(t, 7, keys.Ed25519, nil)
	rehearsal := *real
	rehearsal.Rehearsal = true
	b, rb := real.Budget(), rehearsal.Budget()
	if rb.Limit-rb.Bytes != b.Limit-b.Bytes || rb.MostHolders != b.MostHolders {
		t.Errorf("%+v, in a rehearsal %+v", b, rb)
	}
}

func TestBudgetAdvice(t *testing.T) {
	ecdsa := map[string]agreed.Role{}
	for _, role := range agreed.OnlineRoles {
		ecdsa[role] = agreed.Role{Threshold: 1, Keys: append(example(t).Roles["targets"].Keys[:0:0], agreed.MustKey(agreed.Placeholder(keys.P256, role)))}
	}
	r := sized(t, 7, keys.Ed25519, ecdsa)
	b := r.Budget()
	got := strings.Join(b.Advice, "\n")
	// What is advised is as large as it says.
	var saved int
	if _, err := fmt.Sscanf(b.Advice[1], "ed25519 online keys instead of PEM ones saves %d bytes", &saved); err != nil || b.Bytes-saved != 2899 {
		t.Errorf("%d bytes, advice\n%s", b.Bytes, got)
	}
	for _, want := range []string{"one online key for timestamp and snapshot saves ", "5 holders fit", `algorithm = "ecdsa-p256"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// The file of the largest root is one that clients read.
func TestLargestRootIsReadable(t *testing.T) {
	r := sized(t, sized(t, 5, keys.P256, nil).Budget().MostHolders, keys.P256, nil)
	root, err := r.Draft(holderKeys(r), r.Expires)
	if err != nil {
		t.Fatal(err)
	}
	file, err := tuf.Assemble(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A signature is 72 bytes at most, in hex, with its 64-digit key id and
	// what stands around them.
	const signature = 2*72 + 64 + len("    {\n      \"keyid\": \"\",\n      \"sig\": \"\"\n    },\n")
	if n := len(file) + len(r.Holders)*signature; n >= 100_000 {
		t.Errorf("%d holders make %d bytes to sign and a file of %d", len(r.Holders), len(root.Canonical()), n)
	}
}
