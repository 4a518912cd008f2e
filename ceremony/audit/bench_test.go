package audit_test

import (
	"testing"

	"rootceremony/ceremony/audit"
)

// BenchmarkAudit audits a finished ceremony of five holders with 100 backups.
func BenchmarkAudit(b *testing.B) {
	r := good(b, "backups")
	for b.Loop() {
		if report := r.audit(); report.Verdict() != audit.Good {
			b.Fatal(texts(failed(report)))
		}
	}
}

// BenchmarkStart opens the desk of that ceremony, with the audit.
func BenchmarkStart(b *testing.B) {
	r := good(b, "backups").copied(b)
	for b.Loop() {
		desk, err := r.open(clock, "", nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := desk.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
