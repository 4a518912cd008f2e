package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// A log of another format is one finding, whether its lines are in the form of this one
// or not, and so is one that does not begin.
func TestAnotherFormat(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*record)
		want  string
	}{
		"a newer one": {func(r *record) {
			r.forge(t, func(_ *forger, e *event) bool {
				if e.Type == state.TypeBegun {
					e.set("format", 3)
				}
				return true
			})
		}, "log: transcript.jsonl: line 1 says that it is of format 3, and this version reads format 2 (hint: the version of rootverify that goes with it)"},
		"one with other lines": {func(r *record) {
			r.write(t, transcript.FileName, []byte("{\"n\":1,\"data\":{\"format\":4}}\n{\"n\":2}\n"))
		}, "line 1 says that it is of format 4"},
		"format 1": {func(r *record) {
			r.write(t, transcript.FileName, []byte(summed(`{"seq":1,"time":"2026-11-22T12:00:00Z","type":"ceremony.begun","by":"room","data":{"format":1},"prev":"00"`)))
		}, "is of format 1, in which no root was ever made for production"},
		"no format": {func(r *record) {
			r.forge(t, func(_ *forger, e *event) bool {
				if e.Type == state.TypeBegun {
					e.set("format", "two")
				}
				return true
			})
		}, "ceremony.begun: line 1"},
	} {
		r := good(t, "create").copied(t)
		c.spoil(r)
		if found := failed(r.audit()); len(found) != 1 || !strings.Contains(texts(found), c.want) {
			t.Errorf("%s: %d findings:\n%s", name, len(found), texts(found))
		}
	}
}

// compare adds what people said of their paper, after everything that a holder has
// signed.
func (r *record) compare(t *testing.T, papers ...state.StartCompared) {
	r.forge(t, func(f *forger, e *event) bool {
		if e.Type == state.TypeClosed {
			for _, paper := range papers {
				f.append(state.TypeStartCompared, "room", paper)
			}
		}
		return true
	})
}

// line is where the first event of a type stands.
func (r *record) line(t *testing.T, kind string) int64 {
	t.Helper()
	all, err := events(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	return all[slices.IndexFunc(all, func(e transcript.Event) bool { return e.Type == kind })].Seq
}

// A start without the paper, and one whose paper has other words, are exceptions of the
// record, though nobody has typed one.
func TestPaperExceptions(t *testing.T) {
	differs, found, none := state.StartCompared{Differs: true}, state.StartCompared{Paper: 12}, state.StartCompared{}
	for name, c := range map[string]struct {
		papers []state.StartCompared
		want   []string // of line N and following
	}{
		"compared":           {[]state.StartCompared{found}, nil},
		"none":               {[]state.StartCompared{none}, []string{"there was no paper; went on without the paper, line N"}},
		"differs":            {[]state.StartCompared{differs}, []string{"the words of the paper differed at line N and were never found again; nothing"}},
		"differs, then none": {[]state.StartCompared{differs, none}, []string{"the words of the paper differed at line N and were never found again; nothing", "there was no paper; went on without the paper, line N+1"}},
		"differs, then found": {[]state.StartCompared{differs, none, found}, []string{"the words of the paper differed at line N until line N+2; the words of a paper were found at line N+2",
			"there was no paper; went on without the paper, line N+1"}},
	} {
		r := good(t, "create").copied(t)
		before, first := r.audit(), r.line(t, state.TypeClosed)
		r.compare(t, c.papers...)
		report := r.audit()
		want := audit.Good
		if strings.Contains(strings.Join(c.want, ""), "never") { // an alarm that has not ended
			want = audit.Unfinished
		}
		if report.Verdict() != want {
			t.Fatalf("%s: %s\n%s", name, report.Verdict(), texts(failed(report)))
		}
		var got []string
		for _, x := range report.Exceptions[len(before.Exceptions):] {
			if x.Expected == "" || x.Time.IsZero() {
				t.Errorf("%s: %+v", name, x)
			}
			said := x.Happened + "; " + x.Decided
			for n, as := range map[int64]string{0: "line N", 1: "line N+1", 2: "line N+2"} {
				said = strings.ReplaceAll(said, fmt.Sprintf("line %d", first+n), as)
			}
			got = append(got, said)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
	r := good(t, "create").copied(t)
	r.compare(t, state.StartCompared{Paper: 3, Differs: true})
	r.refused(t, "start.compared: line ")
}

// While the words of the paper are of no state of the log nothing is sealed, drafted,
// signed or published, whatever the fold takes; and that there was no paper the next time
// ends nothing.
func TestWhileThePaperDiffers(t *testing.T) {
	for kind, of := range map[string]string{state.TypeKeyIntended: "backups", state.TypeDraftMade: "create",
		state.TypeSignatureIntended: "create", state.TypeRootPublished: "create"} {
		r, at := good(t, of).copied(t), int64(0)
		r.forge(t, func(f *forger, e *event) bool {
			if e.Type == kind && at == 0 {
				f.append(state.TypeStartCompared, "room", state.StartCompared{Differs: true})
				f.append(state.TypeStartCompared, "room", state.StartCompared{})
				at = e.Seq + 2
			}
			return true
		})
		want := fmt.Sprintf("failed: %s: line %d: the words of the paper differed at line %d", kind, at, at-2)
		if found := texts(failed(audit.Directory(r.dir, audit.AcceptAll(r.options())))); !strings.Contains(found, want) {
			t.Errorf("not %q:\n%s", want, found)
		}
	}
}

// What lies in publish and the log does not know is what the desk stops at, and a
// checkpoint of a longer log that its holders have signed says how long that was.
func TestCutBehindThePublishing(t *testing.T) {
	whole := good(t, "create")
	closing := whole.audit().Vouched
	for _, kind := range []string{state.TypePrepareIntended, state.TypeDraftMade, state.TypeRootPublished, state.TypeSealed, state.TypeClosed} {
		r := until(t, "create", kind)
		lines := r.audit().Lines
		r.write(t, "publish/checkpoint", whole.read(t, "publish/checkpoint"))
		r.write(t, "copy/checkpoint", whole.read(t, "publish/checkpoint"))
		found := texts(r.audit().Findings())
		want := fmt.Sprintf("it was signed over %d lines, and the log has %d: lines were taken out at its end", closing, lines)
		switch {
		case kind == state.TypeClosed: // as it is written before that line
			if found != "" {
				t.Errorf("%s: %s", kind, found)
			}
		case kind == state.TypePrepareIntended: // nobody's key is known yet
			if !strings.Contains(found, "published file: publish/checkpoint: the log knows nothing of it") {
				t.Errorf("%s: %s", kind, found)
			}
		case !strings.HasPrefix(found, "failed: published file: copy/checkpoint: "+want) || !strings.HasSuffix(found, "published file: publish/checkpoint: "+want):
			t.Errorf("%s: %s, not %s", kind, found, want)
		}
	}
	for name, laid := range map[string]func(*record) error{
		"published file: publish/2.root.json: the log knows nothing of it: somebody has laid that root here": func(r *record) error {
			return os.WriteFile(r.at("publish/2.root.json"), whole.read(t, "publish/1.root.json"), 0o600)
		},
		"published file: publish/trust/more.md: the log knows nothing of it": func(r *record) error {
			return os.WriteFile(r.at("publish/trust/more.md"), nil, 0o600)
		},
		"special file: evidence/pipe: it is a link, a pipe or a device": func(r *record) error { return syscall.Mkfifo(r.at("evidence/pipe"), 0o600) },
		"special file: link: it is a link":                              func(r *record) error { return os.Symlink("/etc/passwd", r.at("link")) },
		"special file: publish/1.root.json: it is a link": func(r *record) error {
			_ = os.Rename(r.at("publish/1.root.json"), r.dir+".root")
			return os.Symlink(r.dir+".root", r.at("publish/1.root.json"))
		},
	} {
		r := whole.copied(t)
		if err := laid(r); err != nil {
			t.Fatal(err)
		}
		if found := texts(r.audit().Findings()); !strings.HasPrefix(found, "failed: "+name) {
			t.Errorf("%q, not %q", found, name)
		}
		r.notOpened(t, strings.SplitN(name, ": ", 3)[2])
	}
}

// What people own, and a backup that was damaged, stop nothing at the desk: it has a
// task for the one, and says what is wrong with the other.
func TestLeftToTheDesk(t *testing.T) {
	for name, spoil := range map[string]func(*record) error{
		"a linked plan": func(r *record) error {
			_ = os.Rename(r.at(state.PlanFile), r.dir+".plan")
			return os.Symlink(r.dir+".plan", r.at(state.PlanFile))
		},
		"a linked notice": func(r *record) error { return os.Symlink("/etc/passwd", r.at("notice.md")) },
		"a linked key":    func(r *record) error { return os.Symlink("/etc/passwd", r.at("keys/more.pub")) },
		"a damaged backup": func(r *record) error {
			i := slices.IndexFunc(r.files(t), func(name string) bool { return strings.HasSuffix(name, ".age") })
			return os.Truncate(r.at(r.files(t)[i]), 3)
		},
		"a backup that is gone": func(r *record) error {
			i := slices.IndexFunc(r.files(t), func(name string) bool { return strings.HasSuffix(name, ".age") })
			return os.Remove(r.at(r.files(t)[i]))
		},
	} {
		r := good(t, "backups").copied(t)
		if err := spoil(r); err != nil {
			t.Fatal(err)
		}
		report := r.audit()
		if found := report.Findings(); len(found) > 0 || report.Verdict() != audit.Bad {
			t.Errorf("%s: %s\n%s", name, report.Verdict(), texts(found))
		}
	}
}

// Signatures that do not count are not among what is ok.
func TestSignaturesThatDoNotCount(t *testing.T) {
	r := good(t, "create").copied(t)
	dropped := ""
	r.forge(t, func(_ *forger, e *event) bool { // as if the last signer had never signed the log after it
		if e.Type == state.TypeSignatureMade {
			dropped = e.holder()
		}
		return true
	})
	r.forge(t, func(_ *forger, e *event) bool {
		return e.Type != state.TypeCheckpointSigned || e.holder() != dropped || e.Seq < 40
	})
	checks := r.audit().Checks
	i := slices.IndexFunc(checks, func(c audit.Check) bool {
		return c.Name == "signature" && strings.Contains(c.Text, "does not count in the record")
	})
	if i < 0 || checks[i].Status != audit.NotCounted {
		t.Errorf("%+v", checks)
	}
	for _, c := range checks {
		if c.Status == audit.OK && strings.Contains(c.Text, "not count") {
			t.Errorf("ok: %+v", c)
		}
	}
}

// A record that ends early where its holders had signed it is never good for a
// ceremony that is closed.
func TestCutToAnEarlierVouchedState(t *testing.T) {
	whole := good(t, "create")
	lines := bytes.SplitAfter(whole.read(t, transcript.FileName), []byte("\n"))
	all, err := events(whole.dir)
	if err != nil {
		t.Fatal(err)
	}
	for n := range all {
		r := whole.copied(t)
		if err := os.RemoveAll(r.at(transcript.PrivateDir)); err != nil { // the public edition
			t.Fatal(err)
		}
		r.write(t, transcript.FileName, bytes.Join(lines[:n+1], nil))
		r.tidy(t)
		closed := slices.ContainsFunc(all[:n+1], func(e transcript.Event) bool { return e.Type == state.TypeClosed })
		if verdict := r.audit().Verdict(); closed != (verdict == audit.Good) {
			t.Errorf("after line %d (%s): %s", n+1, all[n].Type, verdict)
		}
	}
}
