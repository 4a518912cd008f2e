package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
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
	for range max(1, *mutations/6) { // which are not all the same verdict
		kind := kinds()[from.IntN(len(records))]
		r := good(t, kind).copied(t)
		last := 1 + from.Int64N(r.audit().Lines)
		r.forge(t, func(_ *forger, e *event) bool { return e.Seq <= last })
		r.tidy(t)
		report := r.audit()
		verdict, said := checker(t, r)
		verdicts[verdict]++
		if verdict != report.Verdict() {
			t.Errorf("%s, cut off after line %d: %s, and the checker says %s\n%s\n%s", kind, last, report.Verdict(), verdict, texts(failed(report)), said)
		}
	}
	t.Logf("%v", verdicts)
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
	r.compare(t, state.StartCompared{Differs: true}, state.StartCompared{}, state.StartCompared{Paper: 12})
	if verdict, said := checker(t, r); verdict != audit.Good {
		t.Errorf("a paper that differs: the checker says %s\n%s", verdict, said)
	}
}

// What proves something is judged by the second checker itself, where every hash is
// right again: the line is named that has the wrong proof.
func TestSecondOpinionOnProofs(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no node: the second opinion on proofs is not asked (hint: make packages)")
	}
	mallory := newSoftware(t)
	other := public(t, mallory.root.Public())
	last := func(text string) string { // another last digit
		return text[:len(text)-1] + map[bool]string{true: "0", false: "1"}[strings.HasSuffix(text, "1")]
	}
	digit := func(member string) func(*event) { return func(e *event) { e.set(member, last(e.text(member))) } }
	file := func(member string) func(*event) {
		return func(e *event) {
			var f state.File
			if err := json.Unmarshal(e.data[member], &f); err != nil {
				t.Fatal(err)
			}
			f.SHA256 = last(f.SHA256)
			e.set(member, f)
		}
	}
	for _, c := range []struct {
		of, kind, what string
		change         func(*event)
	}{
		{"create", state.TypePlanAgreed, "another digest", digit("digest")},
		{"create", state.TypePrepared, "another key in 9a", func(e *event) { e.set("authentication", public(t, mallory.authentication.Public())) }},
		{"create", state.TypePrepared, "another key in 82", func(e *event) { e.set("age", mallory.age) }},
		{"create", state.TypePrepared, "no attestation", func(e *event) { e.set("evidence", []state.File{}) }},
		{"create", state.TypeKeyMade, "another key in 9c", func(e *event) { e.set("public", other) }},
		{"create", state.TypeKeyProved, "another signature", digit("signature")},
		{"create", state.TypeKeyProved, "another signature, in its file too", digit("signature")},
		{"create", state.TypeKeyProved, "another nonce", digit("nonce")},
		{"backups", state.TypeKeyMade, "another key that was imported", func(e *event) { e.set("public", other) }},
		{"rotate", state.TypeTokenShown, "another key in 9a", func(e *event) { e.set("authentication", public(t, mallory.authentication.Public())) }},
		{"rotate", state.TypeDraftMade, "another digest", digit("digest")},
		{"rotate", state.TypeSignatureMade, "another signature", digit("signature")},
		{"create", state.TypeCheckpointSigned, "another root hash", func(e *event) {
			e.set("checkpoint", map[string]any{"size": 3, "root": strings.Repeat("0", 64)})
		}},
		{"create", state.TypeCheckpointSigned, "another signature", func(e *event) {
			signature := []byte(e.text("signature"))
			signature[40] = map[bool]byte{true: 'B', false: 'A'}[signature[40] == 'A']
			e.set("signature", string(signature))
		}},
		{"create", state.TypeRootPublished, "another file", file("file")},
		{"revoke", state.TypeRootPublished, "too few signatures", func(e *event) { e.set("key_ids", e.list("key_ids")[:1]) }},
		{"create", state.TypeClosed, "another list of sums", file("sums")},
		{"elsewhere", state.TypeCollected, "another checkpoint", func(e *event) {
			e.set("checkpoint", map[string]any{"size": 3, "root": strings.Repeat("0", 64)})
		}},
	} {
		r, at := good(t, c.of).copied(t), int64(0)
		r.forge(t, func(_ *forger, e *event) bool {
			if e.Type == c.kind && at == 0 {
				at = e.Seq
				c.change(e)
				if c.what == "another signature, in its file too" {
					r.proveOtherwise(t, e)
				}
			}
			return true
		})
		verdict, said := checker(t, r)
		named := strings.Contains(said, fmt.Sprintf("transcript.jsonl line %d: ", at))
		if c.of == "backups" { // which nothing attests: the next line has its proof
			named = strings.Contains(said, "the proof of possession is not good")
		}
		if verdict != audit.Bad || r.audit().Verdict() != audit.Bad || !named {
			t.Errorf("%s, line %d %s with %s: %s, and the checker says %s\n%s", c.of, at, c.kind, c.what, r.audit().Verdict(), verdict, said)
		}
	}
}

// proveOtherwise writes the file of a proof of possession again, with the signature that
// its event has.
func (r *record) proveOtherwise(t *testing.T, e *event) {
	var files []state.File
	var proof struct {
		Message   string `json:"message"`
		Signature string `json:"signature"`
	}
	if err := json.Unmarshal(e.data["evidence"], &files); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(r.read(t, files[0].Name), &proof); err != nil {
		t.Fatal(err)
	}
	proof.Signature = e.text("signature")
	text, err := json.MarshalIndent(proof, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	r.write(t, files[0].Name, text)
	files[0].SHA256 = fmt.Sprintf("%x", sha256.Sum256(text))
	e.set("evidence", files)
}
