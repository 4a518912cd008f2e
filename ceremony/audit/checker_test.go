package audit_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"rootceremony/ceremony/audit"
)

// checker asks testdata/checker.mjs, which was written from docs/formats.md alone,
// what a record is, and returns what it says.
func checker(t *testing.T, r *record) (audit.Verdict, string) {
	t.Helper()
	args := []string{"testdata/checker.mjs", "--rehearsal"}
	for i, root := range r.roots {
		file := filepath.Join(t.TempDir(), "root.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600); err != nil {
			t.Fatal(i, err)
		}
		args = append(args, "--root", file)
	}
	said, err := exec.Command("node", append(args, r.dir)...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return audit.Good, string(said)
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return audit.Bad, string(said)
	case errors.As(err, &exit) && exit.ExitCode() == 3:
		return audit.Unfinished, string(said)
	}
	t.Fatalf("the checker: %v\n%s", err, said)
	return "", ""
}

// A checker that nobody wrote who had read this package comes to the same verdicts:
// of good records, and of those in which one thing was changed.
func TestSecondOpinion(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("there is no node: the second opinion on records is not asked")
	}
	for _, kind := range kinds() {
		if verdict, said := checker(t, good(t, kind)); verdict != audit.Good {
			t.Errorf("%s: %s\n%s", kind, verdict, said)
		}
	}
	from := source(t)
	verdicts := map[audit.Verdict]int{}
	for n := range *mutations {
		kind := kinds()[from.IntN(len(records))]
		r := good(t, kind).copied(t)
		what, _ := r.mutate(t, from)
		if what == "" {
			continue
		}
		report := r.audit()
		verdict, said := checker(t, r)
		verdicts[verdict]++
		if verdict != report.Verdict() {
			t.Errorf("%d: %s: %s: %s, and the checker says %s\n%s\n%s", n, kind, what, report.Verdict(), verdict, texts(failed(report)), said)
		}
		if bytes.Contains([]byte(said), []byte("    at ")) {
			t.Errorf("%d: %s: %s: the checker has a fault:\n%s", n, kind, what, said)
		}
		if err := os.RemoveAll(r.dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v", verdicts)
}
