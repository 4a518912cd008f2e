package main

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkRehearsal is a whole automatic rehearsal: five enrolments, five
// signatures, the seal.
func BenchmarkRehearsal(b *testing.B) {
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		if out, err := rehearse(filepath.Join(dir, fmt.Sprint(i))).CombinedOutput(); err != nil {
			b.Fatalf("%s%v", out, err)
		}
	}
}
