package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// closing is the note that is announced after the day: the checkpoint that covers
// the seal, with the signatures under it.
func (r *record) closing(t testing.TB) []byte {
	t.Helper()
	all, err := events(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	origin := transcript.Origin(all[0])
	var newest state.CheckpointSigned
	var lines []string
	for _, e := range all {
		if e.Type != state.TypeCheckpointSigned {
			continue
		}
		var d state.CheckpointSigned
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		if d.Checkpoint != newest.Checkpoint {
			newest, lines = d, nil
		}
		lines = append(lines, transcript.SignatureLine(origin, d.Signature))
	}
	return transcript.Note(transcript.Text(origin, newest.Checkpoint), lines...)
}

// held audits a record with a checkpoint that was announced.
func (r *record) heldTo(note []byte) *audit.Report {
	o := r.options()
	o.Checkpoint = note
	return audit.Directory(r.dir, o)
}

// The checkpoint that was announced is one of this log, and signed by its holders;
// another one is refused, and so is a record that was cut short, or made again.
func TestAnnouncedCheckpoint(t *testing.T) {
	r := good(t, "create")
	note := r.closing(t)
	report := r.heldTo(note)
	want := fmt.Sprintf("the log is the one that was announced, up to line %d of %d; signed by Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor and Emil Novak", report.Vouched, report.Lines)
	if report.Verdict() != audit.Good || !report.Anchors[1].Given || report.Anchors[1].Text != want {
		t.Fatalf("%s: %+v\n%s", report.Verdict(), report.Anchors, texts(failed(report)))
	}
	// Lines of others are ignored, as the standard says.
	if more := append(bytes.Clone(note), "— other.example AAAAAAAA\n"...); r.heldTo(more).Verdict() != audit.Good {
		t.Error("a line of a stranger spoils it")
	}
	text, _, _ := bytes.Cut(note, []byte("\n\n"))
	swapped := bytes.Replace(note, fmt.Appendf(nil, "\n%d\n", report.Vouched), fmt.Appendf(nil, "\n%d\n", report.Vouched-1), 1)
	for name, c := range map[string]struct {
		note []byte
		want string
	}{
		"nothing":            {[]byte{}, "this is not a signed note"},
		"no note":            {[]byte("hello\n"), "this is not a signed note"},
		"no signatures":      {append(bytes.Clone(text), "\n\n"...), "not a signed note"},
		"another log's":      {good(t, "rotate").closing(t), "this is a checkpoint of another log"},
		"another size":       {swapped, "is not right"},
		"a huge one":         {bytes.Repeat([]byte("x"), 1<<20), "not a signed note"},
		"a stranger's alone": {append(append(bytes.Clone(text), "\n\n"...), "— other.example AAAAAAAA\n"...), "nobody whose token is in this record has signed it"},
	} {
		report := r.heldTo(c.note)
		if found := texts(failed(report)); report.Verdict() != audit.Bad || !strings.Contains(found, "anchor: --checkpoint: ") || !strings.Contains(found, c.want) {
			t.Errorf("%s: %s\n%s", name, report.Verdict(), found)
		}
	}
	forged := r.copied(t)
	forged.forge(t, func(f *forger, e *event) bool {
		if e.Type == state.TypeBegun {
			e.set("random", strings.Repeat("00", 32))
		}
		return e.Type != state.TypeCheckpointSigned
	})
	if found := texts(failed(forged.heldTo(note))); !strings.Contains(found, "anchor: --checkpoint: this is a checkpoint of another log") {
		t.Errorf("a log made again:\n%s", found)
	}
}

// Every state before the closing is refused where that was announced.
func TestTruncatedAfterTheAnnouncement(t *testing.T) {
	r := good(t, "create")
	note, vouched := r.closing(t), r.audit().Vouched
	for n := int64(1); n < vouched; n++ {
		c := r.copied(t)
		c.forge(t, func(_ *forger, e *event) bool { return e.Seq <= n })
		c.tidy(t)
		if report := c.heldTo(note); report.Verdict() != audit.Bad || !strings.Contains(texts(failed(report)), "anchor: --checkpoint: ") {
			t.Errorf("after line %d: %s\n%s", n, report.Verdict(), texts(failed(report)))
		}
		if err := os.RemoveAll(c.dir); err != nil {
			t.Fatal(err)
		}
	}
}

// The private part of a log is held to what the public one names.
func TestPrivatePart(t *testing.T) {
	status := func(r *record) (found []string) {
		for _, c := range r.audit().Checks {
			if c.Name == "private log" {
				found = append(found, string(c.Status)+": "+c.Text)
			}
		}
		return found
	}
	r, name := good(t, "create").copied(t), transcript.PrivateName
	if got := status(r); len(got) != 1 || !strings.HasPrefix(got[0], "ok: the private parts of ") {
		t.Errorf("%q", got)
	}
	whole := r.read(t, name)
	r.write(t, name, append(bytes.Clone(whole), `{"seq":9`...))
	if got := status(r); len(got) != 2 || !strings.HasPrefix(got[1], "open: it ends with 8 bytes that no line of the log names yet") {
		t.Errorf("torn: %q", got)
	}
	r.write(t, name, good(t, "rotate").read(t, name))
	r.refused(t, "private log: private/transcript.jsonl: private/transcript.jsonl line ")
	r.write(t, name, nil)
	r.refused(t, "private log: private/transcript.jsonl: private/transcript.jsonl line 1: it is missing")
	if err := os.Remove(r.at(name)); err != nil {
		t.Fatal(err)
	}
	r.refused(t, "it is missing, though the folder is here")

	r = good(t, "create").copied(t)
	r.write(t, state.PrivatePlanFile, good(t, "rotate").read(t, state.PrivatePlanFile))
	r.refused(t, "file: private/plan.json: it was changed after it was recorded")
}

// The public edition is good under the same closing checkpoint, and what it lacks is
// said.
func TestPublicEdition(t *testing.T) {
	for name := range records {
		whole, r := good(t, name), good(t, name).copied(t)
		for _, gone := range []string{transcript.PrivateDir, state.PlanFile, "keys"} {
			if err := os.RemoveAll(r.at(gone)); err != nil {
				t.Fatal(err)
			}
		}
		report := r.heldTo(whole.closing(t))
		if report.Verdict() != audit.Good {
			t.Errorf("%s: %s\n%s", name, report.Verdict(), texts(slices.DeleteFunc(report.Checks, func(c audit.Check) bool { return c.Status == audit.OK })))
		}
		var unseen []string
		for _, c := range report.Checks {
			if c.Status == audit.NotSeen && !slices.Contains(unseen, c.Name) {
				unseen = append(unseen, c.Name)
			}
		}
		want := []string{"private log", "plan", "backup"}
		if name != "backups" {
			want = want[:2]
		}
		if !slices.Equal(unseen, want) {
			t.Errorf("%s: not seen: %q", name, unseen)
		}
		if len(report.Keys) == 0 || !slices.EqualFunc(report.Keys, whole.audit().Keys, func(a, b audit.Key) bool { return a == b }) {
			t.Errorf("%s: other keys than in the whole record: %+v", name, report.Keys)
		}
	}
}
