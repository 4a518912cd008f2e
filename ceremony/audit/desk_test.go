package audit_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// until is a copy of a good record, as it was before the first event of a type.
func until(t *testing.T, name, kind string) *record {
	t.Helper()
	r, over := good(t, name).copied(t), false
	r.forge(t, func(f *forger, e *event) bool {
		over = over || e.Type == kind
		return !over
	})
	if !over {
		t.Fatalf("%s has no %s", name, kind)
	}
	r.tidy(t)
	return r
}

// withoutCheckpoints takes every checkpoint out of the log.
func (r *record) withoutCheckpoints(t *testing.T) {
	t.Helper()
	r.forge(t, func(f *forger, e *event) bool { return e.Type != state.TypeCheckpointSigned })
}

// drop takes the events of some types out of the log.
func (r *record) drop(t *testing.T, kinds string) {
	t.Helper()
	r.forge(t, func(f *forger, e *event) bool { return !strings.Contains(kinds, e.Type) })
	r.tidy(t)
}

// notOpened holds that the desk refuses to start, by name, saying what to do, and
// that the directory stays as it is.
func (r *record) notOpened(t *testing.T, says string) {
	t.Helper()
	before, files := r.read(t, transcript.FileName), r.files(t)
	desk, err := r.open(clock, "", nil)
	if err == nil {
		_ = desk.Close()
		t.Errorf("the desk opens: not %q", says)
		return
	}
	if !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "another copy") && !strings.Contains(err.Error(), "from a copy") {
		t.Errorf("%v, not %q", err, says)
	}
	for _, wrong := range []string{"reset", "again"} {
		if strings.Contains(err.Error(), wrong) {
			t.Errorf("%v says %q", err, wrong)
		}
	}
	if !bytes.Equal(r.read(t, transcript.FileName), before) || len(r.files(t)) != len(files) {
		t.Error("the directory was changed")
	}
}

// At the desk what was swapped or taken out is refused at the start, by name,
// whatever was recorded as an exception before.
func TestDeskRefusesForgeries(t *testing.T) {
	mallory := func(ids ...string) map[string]*software {
		of := map[string]*software{}
		for _, id := range ids {
			of[id] = newSoftware(t)
		}
		return of
	}
	for name, c := range map[string]struct {
		of, until string
		forge     func(*testing.T, *record)
		says      string
	}{
		"one root key": {"create", state.TypeDraftMade, func(t *testing.T, r *record) { r.usurp(t, false, mallory("alice")) },
			"token, Alice Costa"},
		"three root keys": {"create", state.TypeDraftMade, func(t *testing.T, r *record) { r.usurp(t, false, mallory("alice", "bruno", "chen")) },
			"no attestation of slot 9a is among its evidence"},
		"three root keys with the evidence of the tokens": {"create", state.TypeDraftMade, func(t *testing.T, r *record) { r.usurp(t, true, mallory("alice", "bruno", "chen")) },
			"attestation of slot 9a: public key"},
		"three root keys, drafted": {"create", state.TypeRootPublished, func(t *testing.T, r *record) { r.usurp(t, false, mallory("alice", "bruno", "chen")) },
			"token, Alice Costa"},
		"three backed-up root keys": {"backups", state.TypeDraftMade, func(t *testing.T, r *record) { r.usurp(t, false, mallory("alice", "bruno", "chen")) },
			"token, Alice Costa"},
		"an imported root key, drafted": {"backups", state.TypeRootPublished, func(t *testing.T, r *record) { r.replaceRoots(t, mallory("alice")) },
			"Alice Costa has not signed the log"},
		"a recipient, before a file is sealed": {"backups", state.TypeKeyIntended, func(t *testing.T, r *record) {
			age := newSoftware(t).age
			r.forge(t, func(f *forger, e *event) bool {
				switch {
				case e.Type == state.TypePrepared && e.holder() == "bruno":
					e.set("age", age)
				case e.Type == state.TypeRecipientProved && e.private.text("recipient") == "bruno":
					e.private.set("age", recipient(t, age))
				}
				return e.Type != state.TypeCheckpointSigned
			})
		}, "token, Bruno Ferraz"},
		"sealed for another": {"backups", state.TypeDraftMade, func(t *testing.T, r *record) {
			r.usurp(t, true, mallory("bruno"))
		}, "token, Bruno Ferraz"},
		"the plan, after the first enrolment": {"create", state.TypeDraftMade, func(t *testing.T, r *record) {
			r.forge(t, func(f *forger, e *event) bool {
				if e.Type == state.TypePlanAgreed {
					f.swapPlan(e)
				}
				return true
			})
		}, "(key.proved): the signature does not fit"},
		"evidence": {"create", state.TypeDraftMade, func(t *testing.T, r *record) {
			r.forge(t, func(f *forger, e *event) bool {
				if e.data["evidence"] != nil {
					e.set("evidence", []state.File{})
				}
				return e.Type != state.TypeCheckpointSigned
			})
			r.tidy(t)
		}, "no attestation of slot 9a is among its evidence"},
		"files of evidence": {"create", state.TypeDraftMade, func(t *testing.T, r *record) {
			if err := os.RemoveAll(r.at("evidence")); err != nil {
				t.Fatal(err)
			}
		}, "is missing"},
		"exceptions and notes": {"create", state.TypeRootPublished, func(t *testing.T, r *record) { r.drop(t, "exception note") },
			"checkpoint is not one of this log"},
		"checkpoints, drafted": {"create", state.TypeRootPublished, func(t *testing.T, r *record) { r.withoutCheckpoints(t) },
			"root key, Alice Costa: it does not count"},
		"checkpoints, signed": {"backups", state.TypeSealed, func(t *testing.T, r *record) { r.withoutCheckpoints(t) },
			"had not signed the log before with the line in it that made the key in 82"},
	} {
		t.Run(name, func(t *testing.T) {
			r := until(t, c.of, c.until)
			c.forge(t, r)
			r.notOpened(t, c.says)
		})
	}
}

// Checkpoints that were taken out before there is a draft leave tasks, as a crash
// does, and until those are done nothing is sealed, drafted or published, with every
// exception taken that is offered.
func TestDeskWithoutCheckpoints(t *testing.T) {
	for name, c := range map[string]struct{ of, until, says string }{
		"on-token":        {"create", state.TypeDraftMade, "waits for the keys of Alice Costa, Bruno Ferraz"},
		"recipients":      {"backups", state.TypeKeyIntended, "waits for the drill"},
		"an imported key": {"backups", state.TypeDraftMade, "waits for the keys of Alice Costa"},
	} {
		t.Run(name, func(t *testing.T) {
			r := until(t, c.of, c.until)
			if name == "an imported key" {
				r.replaceRoots(t, map[string]*software{"alice": newSoftware(t)})
			} else {
				r.withoutCheckpoints(t)
			}
			desk, err := r.open(clock, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer desk.Close()
			compared(t, desk)
			if reason := taskReason(desk, "review"); !strings.HasPrefix(reason, c.says) {
				t.Errorf("%q, not %q", reason, c.says)
			}
			tokens := desk.Tokens()
			tokens.Plug = func(...string) error { return nil } // nobody has one
			desk.UseTokens(tokens)
			answers := map[string]string{"review.second": "no", "recipient.here": "absent", "copies.next": "none", "carry.next": "none"}
			for _, task := range desk.Tasks() {
				if err := desk.Run(t.Context(), task.ID, &prompt.Script{Answers: answers}); err == nil && task.State != prompt.Ready {
					t.Errorf("%s was done, though it was %s", task.ID, task.State)
				}
			}
			if now := desk.State(); now.Draft != nil || now.Published != nil {
				t.Errorf("draft %v, published %v", now.Draft, now.Published)
			}
			if strings.Contains(strings.Join(r.files(t), "\n"), "publish/") {
				t.Errorf("something is published: %q", r.files(t))
			}
		})
	}
}

// compared takes the task that comes first after a start.
func compared(t *testing.T, desk *ceremony.Desk) {
	t.Helper()
	if err := desk.Run(t.Context(), "start", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
}

func taskReason(desk *ceremony.Desk, id string) string {
	for _, task := range desk.Tasks() {
		if task.ID == id {
			return task.Reason
		}
	}
	return ""
}

// Nothing is sealed for a holder who has not signed the log with the key in 82 in it,
// though the log says that they open backups.
func TestNothingSealedForUnproved(t *testing.T) {
	r := until(t, "backups", state.TypeKeyIntended)
	r.drawer = good(t, "backups").drawer
	r.forge(t, func(f *forger, e *event) bool { return e.Type != state.TypeCheckpointSigned || e.holder() != "emil" })
	desk, err := r.open(clock, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	compared(t, desk)
	if reason := taskReason(desk, "key alice"); !strings.Contains(reason, "waits for Emil Novak to sign the log") {
		t.Errorf("key alice: %q", reason)
	}
}

// While a desk is open the log on the disk is its own.
func TestDeskLogReplaced(t *testing.T) {
	r := until(t, "create", state.TypeRootPublished)
	desk, err := r.open(clock, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	compared(t, desk)
	was := r.read(t, transcript.FileName)
	r.write(t, transcript.FileName, was[:bytes.LastIndexByte(was[:len(was)-1], '\n')+1])
	err = desk.Run(t.Context(), "publish", &prompt.Script{})
	if err == nil || !strings.Contains(err.Error(), "is no longer the one that was opened") || desk.State().Published != nil {
		t.Errorf("%v", err)
	}
}

// Wherever a ceremony was cut off, before whatever event, nothing that it leaves is a
// finding: what it has published by then, and the two files that are written before the
// event that closes it.
func TestNothingFoundInUnfinished(t *testing.T) {
	for name := range records {
		r := good(t, name).copied(t)
		all, err := events(r.dir)
		if err != nil {
			t.Fatal(err)
		}
		public, private := r.read(t, transcript.FileName), r.read(t, transcript.PrivateName)
		lines, hidden := bytes.SplitAfter(public, []byte("\n")), bytes.SplitAfter(private, []byte("\n"))
		published := map[string][]string{
			state.TypeRootPublished: {"publish/*.root.json", "publish/trust/*"},
			state.TypeSealed:        {"publish/fuller/*"},
			state.TypeClosed:        {"publish/checkpoint", "publish/SHA256SUMS"},
		}
		for n, e := range slices.Backward(all) { // so that files go, and never come
			parts := 0
			for _, there := range all[:n+1] {
				if there.Commitment != "" {
					parts++
				}
			}
			ends := []int{parts}
			if n+1 < len(all) && all[n+1].Commitment != "" {
				ends = append(ends, parts+1) // the private line of the next event may be there already
			}
			for _, end := range ends {
				r.write(t, transcript.FileName, bytes.Join(lines[:n+1], nil))
				r.write(t, transcript.PrivateName, bytes.Join(hidden[:end], nil))
				if found := audit.Directory(r.dir, r.options()).Findings(); len(found) > 0 {
					t.Errorf("%s, cut off after line %d (%s): %s", name, n+1, e.Type, texts(found))
				}
			}
			gone := e.Type
			if n+1 < len(all) && all[n+1].Type == state.TypeClosed {
				gone = state.TypeClosed
			} else if gone == state.TypeClosed {
				continue
			}
			for _, pattern := range published[gone] {
				r.remove(t, pattern)
			}
		}
	}
}
