package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
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
	want := fmt.Sprintf("the log is the one that was announced, up to line %d of %d; signed by Alice Costa", report.Vouched, report.Lines)
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
	note := r.closing(t)
	lines := strings.SplitAfter(string(r.read(t, transcript.FileName)), "\n")
	for n := 1; int64(n) < r.audit().Vouched; n++ {
		c := r.copied(t)
		c.write(t, transcript.FileName, []byte(strings.Join(lines[:n], "")))
		c.tidy(t)
		if report := c.heldTo(note); report.Verdict() != audit.Bad || !strings.Contains(texts(failed(report)), "anchor: --checkpoint: ") {
			t.Errorf("after line %d: %s\n%s", n, report.Verdict(), texts(failed(report)))
		}
		if err := os.RemoveAll(c.dir); err != nil {
			t.Fatal(err)
		}
	}
}

// The private part of a log is held to what the public one names; without it, that is
// said, and nothing fails.
func TestPrivatePart(t *testing.T) {
	with := func(secret string) *record {
		r := good(t, "create").copied(t)
		r.forge(t, func(f *forger, e *event) bool {
			if e.Type == state.TypePlanAgreed {
				if _, err := f.log.Append(state.TypeNote, "room", map[string]string{}, map[string]string{"text": secret}, nil); err != nil {
					t.Fatal(err)
				}
			}
			return e.Seq < 4
		})
		r.tidy(t)
		return r
	}
	status := func(r *record) (found []string) {
		for _, c := range r.audit().Checks {
			if c.Name == "private log" {
				found = append(found, string(c.Status)+": "+c.Text)
			}
		}
		return found
	}
	one, other := with("one"), with("other")
	if got := status(one); len(got) != 1 || got[0] != "ok: the private parts of 1 lines, as those name them" {
		t.Errorf("%q", got)
	}
	whole := one.read(t, transcript.PrivateName)
	one.write(t, transcript.PrivateName, append(bytes.Clone(whole), `{"seq":9`...))
	if got := status(one); len(got) != 2 || !strings.HasPrefix(got[1], "open: it ends with 8 bytes that no line of the log names yet") {
		t.Errorf("torn: %q", got)
	}
	one.write(t, transcript.PrivateName, other.read(t, transcript.PrivateName))
	one.refused(t, "private log: private/transcript.jsonl: private/transcript.jsonl line 1: it is not what line")
	one.write(t, transcript.PrivateName, nil)
	one.refused(t, "private log: private/transcript.jsonl: private/transcript.jsonl line 1: it is missing")
	if err := os.Remove(one.at(transcript.PrivateName)); err != nil {
		t.Fatal(err)
	}
	one.refused(t, "it is missing, though the folder is here")
	if err := os.RemoveAll(one.at(transcript.PrivateDir)); err != nil {
		t.Fatal(err)
	}
	if got, report := status(one), one.audit(); len(got) != 1 || !strings.HasPrefix(got[0], "not seen: ") || report.Verdict() != audit.Unfinished {
		t.Errorf("%s: %q\n%s", report.Verdict(), got, texts(failed(report)))
	}
}
