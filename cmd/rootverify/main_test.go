package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"rootverify": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			if dir, err := filepath.Abs("../../../shared/roots"); err == nil {
				env.Setenv("ROOTS", dir)
			}
			if dir, err := filepath.Abs("../../ceremony/tuf/testdata/vectors"); err == nil {
				env.Setenv("VECTORS", dir)
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "roots" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, err := os.Stat("../../../shared/roots")
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"chain": makeChain, "targets": makeTargets, "exitcode": exitCode, "edit": edit, "pad": pad,
		},
	})
}

// exitCode runs a command and compares its exit code: exitcode N rootverify ...
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode N command...")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

var hexEscape = regexp.MustCompile(`\\x[0-9a-f]{2}`)

// edit replaces text in a file: edit FILE OLD NEW. \x1b is a byte.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	var parts [2]string
	for i, s := range args[1:] {
		parts[i] = hexEscape.ReplaceAllStringFunc(s, func(x string) string {
			n, err := strconv.ParseUint(x[2:], 16, 8)
			ts.Check(err)
			return string([]byte{byte(n)})
		})
	}
	if !strings.Contains(text, parts[0]) {
		ts.Fatalf("%s has no %q", args[0], parts[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, parts[0], parts[1], 1)), 0o644))
}

// pad appends N spaces to a file: pad FILE N.
func pad(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(ts.ReadFile(args[0])+strings.Repeat(" ", n)), 0o644))
}

// makeChain writes root files: chain DIR N [rehearsal|unsigned|usurper]. Each
// version is a 2-of-3; one holder changes with each. It expires at the end of
// 2027. With rehearsal the first is one; with unsigned the last has no
// signatures; with usurper the last is signed by strangers only.
func makeChain(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: chain DIR N [kind]")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	kind := strings.Join(args[2:], "")
	ts.Check(os.MkdirAll(ts.MkAbs(args[0]), 0o755))
	var old []*tuf.Root
	for v := 1; v <= n; v++ {
		first := v
		if kind == "usurper" && v == n {
			first, old = 1000, nil
		}
		root := &tuf.Root{
			Version:            int64(v),
			Expires:            time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC),
			SpecVersion:        tuf.SpecVersion,
			ConsistentSnapshot: true,
			Roles:              map[string]tuf.Role{},
		}
		root.SetRehearsal(kind == "rehearsal" && v == 1)
		var holders []ed25519.PrivateKey
		var ids []string
		for i := range 4 {
			seed := sha256.Sum256(fmt.Append(nil, "holder ", first+i))
			private := ed25519.NewKeyFromSeed(seed[:])
			public, err := keys.FromCrypto(private.Public())
			ts.Check(err)
			key, err := tuf.NewKey(public)
			ts.Check(err)
			root.Keys, holders, ids = append(root.Keys, key), append(holders, private), append(ids, key.ID)
		}
		root.Roles[tuf.RoleRoot] = tuf.Role{KeyIDs: ids[:3], Threshold: 2}
		for _, name := range tuf.RoleNames[1:] {
			root.Roles[name] = tuf.Role{KeyIDs: ids[3:], Threshold: 1}
		}
		var sigs []tuf.Signature
		for i := range 2 {
			sigs = append(sigs, tuf.Signature{KeyID: ids[i], Sig: ed25519.Sign(holders[i], root.Canonical())})
		}
		if kind == "unsigned" && v == n {
			sigs = nil
		}
		data, err := tuf.Assemble(root, sigs, old...)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(filepath.Join(args[0], fmt.Sprintf("%d.root.json", v))), data, 0o644))
		old = []*tuf.Root{root}
	}
}

// holderKey is the n-th holder's key of makeChain.
func holderKey(ts *testscript.TestScript, n string) (tuf.Key, ed25519.PrivateKey) {
	seed := sha256.Sum256(fmt.Append(nil, "holder ", n))
	private := ed25519.NewKeyFromSeed(seed[:])
	public, err := keys.FromCrypto(private.Public())
	ts.Check(err)
	key, err := tuf.NewKey(public)
	ts.Check(err)
	return key, private
}

// makeTargets writes targets metadata: targets FILE VERSION OWNER [SIGNER]. It delegates
// packages/* to the holder OWNER, and is signed by the holder SIGNER. Who signs for root
// version N of makeChain is the holder N+3. It expires at the end of 2027.
func makeTargets(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: targets FILE VERSION OWNER [SIGNER]")
	}
	version, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	owner, _ := holderKey(ts, args[2])
	t := &tuf.Targets{Version: version, Expires: time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC), SpecVersion: tuf.SpecVersion, Delegations: &tuf.Delegations{
		Keys: []tuf.Key{owner}, Roles: []tuf.Delegation{{Name: "packages", Role: tuf.Role{KeyIDs: []string{owner.ID}, Threshold: 1}, Paths: []string{"packages/*"}}}}}
	var sigs []tuf.Signature
	var signers []tuf.Key
	for _, n := range args[3:] {
		key, private := holderKey(ts, n)
		signers, sigs = append(signers, key), append(sigs, tuf.Signature{KeyID: key.ID, Sig: ed25519.Sign(private, t.Canonical())})
	}
	data, err := tuf.AssembleTargets(t, sigs, signers, nil)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o644))
}
