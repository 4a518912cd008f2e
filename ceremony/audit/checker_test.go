package audit_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/state"
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

// A second checker, which knows docs/formats.md alone and reads its tables, comes to the
// same verdicts: of good records, of those in which one thing was changed, of those that
// were cut off after a line, and of well-formed lines without what the tables have.
func TestSecondOpinion(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no node: the second opinion on records is not asked (hint: make packages)")
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
	for range max(1, *mutations/6) { // which are not all the same verdict
		kind := kinds()[from.IntN(len(records))]
		r := good(t, kind).copied(t)
		last := 1 + from.Int64N(r.audit().Lines)
		r.forge(t, func(_ *forger, e *event) bool { return e.Seq <= last })
		r.tidy(t)
		report := r.audit()
		if verdict, said := checker(t, r); verdict != report.Verdict() {
			t.Errorf("%s, cut off after line %d: %s, and the checker says %s\n%s\n%s", kind, last, report.Verdict(), verdict, texts(failed(report)), said)
		}
	}
	for name, change := range map[string]func(*event){
		"carry.intended public":    func(e *event) { delete(e.data, "public") },
		"carry.done intention":     func(e *event) { delete(e.data, "intention") },
		"carry.done intention 0":   func(e *event) { e.set("intention", 0) },
		"carry.done an empty type": func(e *event) { e.Type = "" },
	} {
		r := good(t, "create").copied(t)
		of, _, _ := strings.Cut(name, " ")
		r.forge(t, func(_ *forger, e *event) bool {
			if e.Type == of {
				change(e)
			}
			return true
		})
		if verdict, said := checker(t, r); verdict != audit.Bad || r.audit().Verdict() != audit.Bad {
			t.Errorf("%s: %s, and the checker says %s\n%s", name, r.audit().Verdict(), verdict, said)
		}
	}
	r := good(t, "create").copied(t)
	r.compare(t, state.StartCompared{Differs: true}, state.StartCompared{})
	if verdict, said := checker(t, r); verdict != audit.Good {
		t.Errorf("a paper that differs: the checker says %s\n%s", verdict, said)
	}
}
