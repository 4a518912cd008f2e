package tuf

import (
	"crypto/ed25519"
	"slices"
	"testing"
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

// A step of a 3-of-5 chain in which one holder changes has 4 signatures; bare
// is what verifying them alone costs.
func BenchmarkChain(b *testing.B) {
	files := writeChain(b, 50)
	b.Run("chain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := VerifyChain(slices.Values(files), expiry); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(files)), "µs/version")
	})
	b.Run("bare", func(b *testing.B) {
		n := 0
		for i := range files {
			n += 3
			_ = i
		}
		m := make25519(0)
		message := must(Parse(files[0])).Signed
		sig := m.sign(message).Sig
		public := m.private.Public().(ed25519.PublicKey)
		for b.Loop() {
			for range n {
				if !ed25519.Verify(public, message, sig) {
					b.Fatal()
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(files)), "µs/version")
	})
}
