package tuf

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

func BenchmarkParse(b *testing.B) {
	data, _, _ := newFile(b)
	files := map[string][]byte{"3-of-5": data}
	b.Run("3-of-5", func(b *testing.B) { benchmarkParse(b, files["3-of-5"]) })
	b.Run("sigstore", func(b *testing.B) {
		real := realFiles(b, "sigstore", "*.root.json")
		benchmarkParse(b, real[len(real)-1])
	})
}

func benchmarkParse(b *testing.B, data []byte) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	data, _, _ := newFile(b)
	s := string(data)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if _, err := scan(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonical(b *testing.B) {
	data, r, _ := newFile(b)
	d, _ := scan(string(data))
	signed := slices.IndexFunc(d.nodes, func(n node) bool { return d.src[n.start:n.end] == `"signed"` }) + 1
	buffer := make([]byte, 0, len(data))
	b.Run("document", func(b *testing.B) {
		for b.Loop() {
			d.canonical(buffer, signed)
		}
	})
	b.Run("root", func(b *testing.B) {
		for b.Loop() {
			r.Canonical()
		}
	})
}

// longChain is a chain of 3-of-5 roots of about 3.6 kB; each is signed by three
// who sign for the one before too, so that a version costs three verifications.
func longChain(t testing.TB, versions int) (files [][]byte) {
	root, holders := newRoot(5, 3)
	root.Roles[RoleSnapshot] = root.Roles[RoleTimestamp]
	root.Keys = slices.Delete(root.Keys, 6, 7)
	var before []*Root
	for len(files) < versions {
		signers := holders[len(files)%3:][:3]
		data, err := Assemble(root, signAll(root.Canonical(), signers...), before...)
		if err != nil {
			t.Fatal(err)
		}
		files, before = append(files, data), []*Root{root}
		root = root.Next()
		root.Expires = expiry
	}
	return files
}

// BenchmarkChain verifies 1,000 versions, in turn with the 3,000 bare ed25519
// verifications which that needs, on one processor; of both, the median counts.
// "ratio" is the one by the other.
func BenchmarkChain(b *testing.B) {
	files := longChain(b, 1000)
	type one struct {
		public         ed25519.PublicKey
		message, bytes []byte
	}
	var needed []one
	for _, data := range files {
		f := must(Parse(data))
		for _, s := range f.Signatures {
			key, _ := f.Root.Key(s.KeyID)
			needed = append(needed, one{must(hex.DecodeString(key.Public.Hex)), f.Signed, s.Sig})
		}
	}
	if len(needed) != 3*len(files) {
		b.Fatalf("%d signatures", len(needed))
	}
	bare := func() time.Duration {
		start := time.Now()
		for i := range needed {
			if !ed25519.Verify(needed[i].public, needed[i].message, needed[i].bytes) {
				b.Fatal("a wrong signature")
			}
		}
		return time.Since(start)
	}
	chain := func() time.Duration {
		start := time.Now()
		var c Chain
		for _, err := range c.Walk(slices.Values(files)) {
			if err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(start)
	}
	for _, processors := range []int{1, 2} {
		b.Run(fmt.Sprintf("processors=%d", processors), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
			chain()
			bare()
			var chains, bares []time.Duration
			for b.Loop() {
				chains, bares = append(chains, chain()), append(bares, bare())
			}
			slices.Sort(chains)
			slices.Sort(bares)
			middle := len(chains) / 2
			b.ReportMetric(float64(chains[middle].Microseconds())/1000, "chain-ms")
			b.ReportMetric(float64(bares[middle].Microseconds())/1000, "bare-ms")
			b.ReportMetric(float64(chains[middle])/float64(bares[middle]), "ratio")
			b.ReportMetric(float64(len(files[0])), "bytes/file")
			b.ReportMetric(0, "ns/op") // both together: says nothing
		})
	}
}

// manyTargets is a targets file of 10 MB, about 40,000 targets of a package index.
func manyTargets(t testing.TB) []byte {
	targets := newTargets()
	targets.Targets = nil
	for i, size := 0, 0; size < 9_700_000; i++ {
		f := target(fmt.Sprintf("packages/%02x/%02x/Project_name-%d.%d.tar.gz", i%251, i%13, i/100, i%100), fmt.Sprint("content ", i))
		f.object = fmt.Sprintf(`{"custom":{"uploaded":%d},"hashes":{"sha256":"%s"},"length":%d}`, 1_700_000_000+i, hexSum(f.Path), 1000+i)
		targets.Targets = append(targets.Targets, f)
		size += len(f.Path) + len(f.object) + 80
	}
	root, list := targetsRoot()
	return must(AssembleTargets(targets, signAll(targets.Canonical(), list[:2]...), root.Keys, nil))
}

// BenchmarkTargets reads, verifies and compares a targets file of 10 MB.
func BenchmarkTargets(b *testing.B) {
	data := manyTargets(b)
	root, _ := targetsRoot()
	f := must(ParseTargets(data))
	next := f.Targets.Next()
	next.Targets[7] = target(next.Targets[7].Path, "changed")
	for _, c := range []struct {
		name string
		do   func() bool
	}{
		{"parse", func() bool { _, err := ParseTargets(data); return err == nil }},
		{"report", func() bool { return f.Report(root).Good() }},
		{"diff", func() bool { return len(DiffTargets(f.Targets, next, expiry, nil)) > 0 }},
		{"show", func() bool { return len(ShowTargets(f, RoleTargets, expiry, nil)) > 0 }},
		{"who", func() bool { _, err := (Tree{Root: root, Targets: f.Targets}).Who("packages/x"); return err == nil }},
		{"check", func() bool { return next.Check(f.Targets) == nil }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if !c.do() {
					b.Fatal("it fails")
				}
			}
			b.ReportMetric(float64(len(f.Targets.Targets)), "targets")
		})
	}
}
