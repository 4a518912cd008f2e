package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// BenchmarkProgram runs rootverify as it is shipped on a chain of 1,000
// versions. "peak-MB" is the most memory that a run had in use.
func BenchmarkProgram(b *testing.B) {
	dir := b.TempDir()
	program := filepath.Join(dir, "rootverify")
	build := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%s%v", out, err)
	}
	longChain(b, dir, 1000)
	var took []time.Duration
	peak := 0.0
	for b.Loop() {
		run := exec.Command(program, "chain", dir, "--at", "2027-01-01T00:00:00Z")
		start := time.Now()
		if out, err := run.CombinedOutput(); err != nil {
			b.Fatalf("%s%v", out, err)
		}
		took = append(took, time.Since(start))
		peak = max(peak, float64(run.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1024)
	}
	slices.Sort(took)
	b.ReportMetric(peak, "peak-MB")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms")
	b.ReportMetric(0, "ns/op")
}

// longChain writes versions of a 3-of-5 root with three online keys; each is
// signed by three who sign for the version before too.
func longChain(tb testing.TB, dir string, versions int) {
	tb.Helper()
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	root := &tuf.Root{
		Version: 1, Expires: time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC),
		SpecVersion: tuf.SpecVersion, ConsistentSnapshot: true, Roles: map[string]tuf.Role{},
	}
	var holders []ed25519.PrivateKey
	for i := range 8 {
		seed := sha256.Sum256(fmt.Append(nil, "holder ", i))
		holders = append(holders, ed25519.NewKeyFromSeed(seed[:]))
		public, err := keys.FromCrypto(holders[i].Public())
		check(err)
		key, err := tuf.NewKey(public)
		check(err)
		root.Keys = append(root.Keys, key)
		name := tuf.RoleNames[max(0, i-4)]
		role := root.Roles[name]
		root.Roles[name] = tuf.Role{KeyIDs: append(role.KeyIDs, key.ID), Threshold: min(3, len(role.KeyIDs)+1)}
	}
	var before []*tuf.Root
	for v := range versions {
		var sigs []tuf.Signature
		for i := range 3 {
			n := v%3 + i
			sigs = append(sigs, tuf.Signature{KeyID: root.Keys[n].ID, Sig: ed25519.Sign(holders[n], root.Canonical())})
		}
		data, err := tuf.Assemble(root, sigs, before...)
		check(err)
		check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.root.json", root.Version)), data, 0o644))
		before, root = []*tuf.Root{root}, root.Next()
	}
}
