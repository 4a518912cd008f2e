package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A good record is not said to be all of it, unless a signed checkpoint from elsewhere
// says so; one that was cut off is not finished, or bad where it shows.
func TestLaterLines(t *testing.T) {
	const example = "../../docs/example/"
	record := func(dir string, more ...string) (string, string, int) {
		return said(append(append([]string{"record", "--rehearsal", "--attestation-root", example + "attestation-root.pem"}, more...), dir)...)
	}
	const missing = "\nLATER LINES MAY BE MISSING: nothing in a record says that line "
	if out, err, code := record(example + "record"); code != 0 || !strings.Contains(out, "\ngood: ") || !strings.Contains(out, missing) {
		t.Errorf("exit %d: %s%s", code, out, err)
	}
	if out, err, code := record(example+"record", "--checkpoint", example+"record/publish/checkpoint"); code != 0 || strings.Contains(out, missing) {
		t.Errorf("exit %d: %s%s", code, out, err)
	}

	dir := filepath.Join(t.TempDir(), "record")
	if err := os.CopyFS(dir, os.DirFS(example+"record")); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "transcript.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(log, []byte("\n"))
	for i, line := range lines {
		if bytes.Contains(line, []byte(`"type":"root.published"`)) {
			lines = lines[:i]
			break
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "transcript.jsonl"), bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "private")); err != nil { // the public edition
		t.Fatal(err)
	}
	out, _, code := record(dir)
	if code != 1 || !strings.Contains(out, "  FAILED    published file, publish/checkpoint: it was signed over ") || !strings.Contains(out, ": lines were taken out at its end\n") {
		t.Errorf("exit %d: %s", code, out)
	}
	if err := os.RemoveAll(filepath.Join(dir, "publish")); err != nil {
		t.Fatal(err)
	}
	out, stderr, code := record(dir)
	if code != 3 || !strings.Contains(out, "\nNOT FINISHED: vouched for up to line ") {
		t.Errorf("exit %d: %s%s", code, out, stderr)
	}
}
