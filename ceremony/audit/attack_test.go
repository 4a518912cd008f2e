package audit_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys/virtual"
)

// Three enrolments are replaced by keys in software with invented proofs, which sign
// a root of their own: the fold takes all of it.
func TestThreeRootKeysSwapped(t *testing.T) {
	for name, evidence := range map[string]bool{"without evidence": false, "with the evidence of the tokens": true} {
		r := good(t, "create").copied(t)
		r.usurp(t, evidence, map[string]*software{"alice": newSoftware(t), "bruno": newSoftware(t), "chen": newSoftware(t)})
		if err := r.folds(t); err != nil {
			t.Errorf("%s: the fold refuses it: %v", name, err)
		}
		want := "no attestation of slot 9a is among its evidence"
		if evidence {
			want = "attestation of slot 9a: public key"
		}
		r.refused(t, "token: Alice Costa", "token: Bruno Ferraz", "token: Chen Wei", want, "root key: Alice Costa: it does not count", "root key: Chen Wei: it does not count",
			"root key: Dana Okafor: it does not count: Dana Okafor has not signed the log")
	}
}

// Every enrolment is replaced, that of backed-up keys with their backups too.
func TestAllRootKeysSwapped(t *testing.T) {
	for _, name := range []string{"create", "backups"} {
		r := good(t, name).copied(t)
		all := map[string]*software{}
		for _, id := range []string{"alice", "bruno", "chen", "dana", "emil"} {
			all[id] = newSoftware(t)
		}
		r.usurp(t, false, all)
		if err := r.folds(t); err != nil {
			t.Errorf("%s: the fold refuses it: %v", name, err)
		}
		r.refused(t, "root key: Alice Costa: it does not count", "root key: Emil Novak: it does not count")
	}
}

// An imported root key is replaced, on a genuine token whose other keys stay: the
// token's own checkpoints no longer fit, and without them the key does not count.
func TestImportedRootKeySwapped(t *testing.T) {
	r := good(t, "backups").copied(t)
	by := map[string]*software{"alice": newSoftware(t)}
	r.replaceRoots(t, by)
	if err := r.folds(t); err != nil {
		t.Errorf("the fold refuses it: %v", err)
	}
	r.refused(t, "root key: Alice Costa: it does not count: Alice Costa has not signed the log")
}

// replaceRoots replaces root keys alone, and leaves out every checkpoint and
// signature that no longer fits.
func (r *record) replaceRoots(t *testing.T, of map[string]*software) {
	t.Helper()
	changed := false
	var files []state.Written
	r.forge(t, func(f *forger, e *event) bool {
		by := of[e.holder()]
		switch {
		case e.Type == state.TypeBackupStored && by != nil && e.data["public"] != nil:
			e.set("public", public(t, by.root.Public()))
			changed = true
		case e.Type == state.TypeCheckpointSigned && changed:
			return false
		case e.Type == state.TypeKeyMade && by != nil:
			e.set("public", public(t, by.root.Public()))
		case e.Type == state.TypeKeyProved && by != nil:
			f.prove(e, by)
		case e.Type == state.TypeDraftMade:
			files = append(files, f.draft(e))
		case e.Type == state.TypeDraftReviewed:
			e.set("digest", f.state().Draft.Digest)
		case strings.HasPrefix(e.Type, "signature.") && by == nil, f.ends(e):
			return false
		case strings.HasPrefix(e.Type, "signature."):
			files = append(files, f.sign(e, by)...)
		}
		return true
	})
	for _, file := range files {
		r.write(t, file.Name, file.Text)
	}
	r.tidy(t)
}

// Before a single file is sealed, a recipient is replaced: the holder's key in 82,
// or what the plan says of a safe.
func TestRecipientsSwapped(t *testing.T) {
	mallory := newSoftware(t)
	for name, c := range map[string]struct {
		change func(*forger, *event) bool
		want   string
	}{
		"the key in 82, at the enrolment": {func(f *forger, e *event) bool {
			if e.Type == state.TypePrepared && e.holder() == "bruno" {
				e.set("age", mallory.age)
			}
			return e.Type != state.TypeCheckpointSigned
		}, "token: Bruno Ferraz, token"},
		"the key that a backup is sealed for": {func(f *forger, e *event) bool {
			if e.Type == state.TypeBackupStored && e.holder() == "alice" {
				ages := e.private.list("ages")
				ages[0] = recipient(t, mallory.age)
				e.private.set("ages", ages)
			}
			return true
		}, "it is sealed for another key than the one of the recipient bruno"},
		"one recipient more": {func(f *forger, e *event) bool {
			if e.Type == state.TypeBackupStored && e.holder() == "alice" {
				e.private.set("recipients", []string{"bruno", "chen", "dana", "emil", "mallory"})
			}
			return true
		}, "and the plan wants"},
		"sealed before anyone has vouched for the key in 82": {func(f *forger, e *event) bool {
			return e.Type != state.TypeCheckpointSigned
		}, "had not signed the log before with the line in it that made the key in 82"},
	} {
		r := good(t, "backups").copied(t)
		r.forge(t, c.change)
		t.Log(name)
		r.refused(t, c.want, "root key: ")
	}
}

// The plan is replaced before the first enrolment: nothing in the directory says so,
// and the digest that was announced does. After the first enrolment the proofs of
// possession say so too.
func TestPlanSwapped(t *testing.T) {
	r := good(t, "create").copied(t)
	r.forge(t, func(f *forger, e *event) bool {
		return slices.Contains([]string{state.TypeBegun, state.TypePreflight}, e.Type) || e.Type == state.TypePlanAgreed && f.swapPlan(e)
	})
	r.tidy(t)
	r.write(t, state.ResolvedFile, agreedPlan(t, r))
	for _, name := range []string{state.PlanFile, "keys"} { // which the forger makes to fit
		if err := os.RemoveAll(r.at(name)); err != nil {
			t.Fatal(err)
		}
	}
	announced := good(t, "create").audit().PlanDigest
	if report := r.audit(); report.Verdict() != audit.Unfinished {
		t.Errorf("without an anchor: %s\n%s", report.Verdict(), texts(failed(report)))
	}
	o := r.options()
	o.PlanDigest = announced
	if report := audit.Directory(r.dir, o); report.Verdict() != audit.Bad || !strings.Contains(texts(failed(report)), "and "+announced+" was announced") {
		t.Errorf("with the digest that was announced: %s\n%s", report.Verdict(), texts(failed(report)))
	}

	r = good(t, "create").copied(t)
	r.forge(t, func(f *forger, e *event) bool {
		if e.Type == state.TypePlanAgreed {
			f.swapPlan(e)
		}
		return true
	})
	r.refused(t, "key.proved: ", "the proof of possession: the signature does not fit", "root key: Alice Costa: it does not count")
}

// swapPlan replaces the name of a holder, which changes no role.
func (f *forger) swapPlan(e *event) bool {
	var plan agreed.Plan
	if err := json.Unmarshal(e.data["plan"], &plan); err != nil {
		f.t.Fatal(err)
	}
	plan.Holders[4].Name, plan.Unseen = "Mallory Mole", true
	e.set("plan", json.RawMessage(plan.JSON()))
	e.set("digest", plan.Digest())
	return true
}

// agreedPlan is plan.resolved.json as the log has it.
func agreedPlan(t *testing.T, r *record) []byte {
	t.Helper()
	all, err := events(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	now, err := state.Fold(all)
	if err != nil {
		t.Fatal(err)
	}
	return now.Plan.JSON()
}

// Evidence that is missing is an error, and never an empty list.
func TestEvidenceRemoved(t *testing.T) {
	for _, name := range []string{"9a.", "82.", "9c.", "f9.", "possession."} {
		r := good(t, "create").copied(t)
		for _, file := range r.files(t) {
			if strings.HasPrefix(filepath.Base(file), name) {
				if err := os.Remove(r.at(file)); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.refused(t, "root key: Alice Costa: it does not count", "it is missing, though line")
	}
	r := good(t, "create").copied(t)
	r.forge(t, func(f *forger, e *event) bool {
		if e.data["evidence"] != nil {
			e.set("evidence", []state.File{})
		}
		return e.Type != state.TypeCheckpointSigned
	})
	r.tidy(t)
	r.refused(t, "token: Alice Costa", "no attestation of slot 9a is among its evidence", "key.made: ", "no attestation of slot 9c")
	if err := os.RemoveAll(r.at("evidence")); err != nil {
		t.Fatal(err)
	}
	r.refused(t, "no attestation of slot 9a is among its evidence")
}

// Lines that are taken out, or changed, no longer fit the checkpoints that follow.
func TestLinesTakenOutOrChanged(t *testing.T) {
	const stale = "the checkpoint is not one of this log as it stands"
	flip := func(kind, member string, to any) func(*forger, *event) bool {
		return func(f *forger, e *event) bool {
			if e.Type == kind {
				e.set(member, to)
			}
			return true
		}
	}
	for name, c := range map[string]struct {
		of     string
		change func(*forger, *event) bool
		want   string
	}{
		"exceptions taken out": {"create", func(f *forger, e *event) bool { return e.Type != state.TypeException && e.Type != state.TypeNote }, stale},
		"a signature taken out": {"create", func(f *forger, e *event) bool {
			return !strings.HasPrefix(e.Type, "signature.") || e.holder() != "alice"
		}, stale},
		"the review taken out":   {"create", func(f *forger, e *event) bool { return e.Type != state.TypeDraftReviewed }, "it was not reviewed before"},
		"a checkpoint taken out": {"create", func(f *forger, e *event) bool { return e.Type != state.TypeCheckpointSigned || e.holder() != "bruno" }, stale},
		"a second machine":       {"create", flip(state.TypeDraftReviewed, "second_machine", true), stale},
		"a key found on looking": {"create", flip(state.TypeKeyMade, "found_on_look", true), stale},
		"a PUK that was kept":    {"create", flip(state.TypeKeyMade, "puk_kept", true), "what it says about the PUK"},
		"a key from elsewhere":   {"create", flip(state.TypeKeyMade, "imported", true), "was not made where the plan says"},
		"another firmware":       {"create", flip(state.TypePrepareIntended, "firmware", map[string]int{"Major": 5, "Minor": 7, "Patch": 9}), "the token attests firmware"},
		"another sticker":        {"create", flip(state.TypePrepareIntended, "sticker", "Z-99"), "the sticker is"},
		"words that were read":   {"elsewhere", flip(state.TypeConfirmed, "words", false), "no exception says so"},
		"another enrolment file": {"elsewhere", flip(state.TypeConfirmed, "sha256", strings.Repeat("0", 64)), "or it is another file"},
		"not a rehearsal":        {"create", flip(state.TypeBegun, "rehearsal", false), "a rehearsal's plan and a real ceremony do not mix"},
		"a retired token":        {"rotate", flip(state.TypeRetired, "witness", "Mallory"), stale},
		"a serial number":        {"create", flip(state.TypeCheckpointSigned, "serial", 12345678), "is "},
		"an anchor":              {"rotate", flip(state.TypePlanAgreed, "anchor", "confirmed"), stale},
		"a file's hash":          {"create", flip(state.TypeClosed, "sums", state.File{Name: "publish/SHA256SUMS", SHA256: strings.Repeat("a", 64)}), "follows from the log"},
	} {
		r := good(t, c.of).copied(t)
		r.forge(t, c.change)
		t.Log(name)
		r.refused(t, c.want)
	}
}

// A token under another attestation root is not one. Under the same root it is: that
// it is not the holder's, only people can see, by the words of its keys.
func TestAttackersToken(t *testing.T) {
	r := good(t, "create").copied(t)
	other, err := virtual.OpenDrawer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r.roots = []*x509.Certificate{other.AttestationRoot()}
	r.refused(t, "device certificate: wanted a chain to a known attestation root", "root key: Alice Costa: it does not count")
	r.roots = nil
	r.refused(t, "root key: Emil Novak: it does not count")
}

// The log is cut at every line, with the files that it names no more: none of it is
// good, and with the closing checkpoint none is anything but refused.
func TestTruncated(t *testing.T) {
	r := good(t, "create")
	all, err := events(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < len(all); n++ {
		c := r.copied(t)
		c.forge(t, func(_ *forger, e *event) bool { return e.Seq <= int64(n) })
		c.tidy(t)
		report := c.audit()
		if verdict := report.Verdict(); verdict == audit.Bad || verdict == audit.Good && n < len(all)-7 {
			t.Errorf("after line %d of %d (%s): %s\n%s", n, len(all), all[n-1].Type, verdict, texts(failed(report)))
		}
	}
}

// A second token that is to take the place of a holder's signs no log: to be that
// it has to prove the root key first.
func TestReplacementThatProvesNothing(t *testing.T) {
	r := good(t, "backups").copied(t)
	made := map[string]json.RawMessage{}
	r.forge(t, func(f *forger, e *event) bool {
		switch {
		case e.Type == state.TypeDraftMade && made["by"] == nil:
			made["by"] = e.Data
			f.append(state.TypeReplacementBegun, "alice", state.ReplacementBegun{Holder: "alice", Sticker: "M-01", Why: "lost"})
			on := state.Act{Holder: "alice", Serial: 12345678, Replacement: true}
			f.append(state.TypePrepareIntended, "alice", state.PrepareIntended{Act: on, Sticker: "M-01"})
			mallory := newSoftware(t)
			line := int64(len(f.log().Events))
			f.append(state.TypePrepared, "alice", state.Prepared{Result: state.Result{Act: on, Intention: line}, Authentication: public(t, mallory.authentication.Public()), Age: mallory.age, Evidence: []state.File{}})
			vouched := &event{Event: e.Event, members: newMembers(t, []byte("{}"))}
			vouched.set("holder", "alice")
			vouched.set("serial", on.Serial)
			vouched.set("replacement", true)
			f.vouch(vouched, mallory)
			f.append(state.TypeCheckpointSigned, "alice", vouched.json())
		}
		return e.Type != state.TypeCheckpointSigned || made["by"] == nil
	})
	r.refused(t, "token: Alice Costa, token 12 345 678, sticker M-01: no attestation of slot 9a", "it is not the token of Alice Costa that has signed the log")
}

// Data in another form than the program's is refused: others may read it in another
// way.
func TestDataInAnotherForm(t *testing.T) {
	for name, change := range map[string]func(*event){
		"an unknown member": func(e *event) { e.set("more", 1) },
		"another case":      func(e *event) { e.set("Digest", "x") },
		"another order":     func(e *event) { slices.Reverse(e.order) },
		"a member twice":    func(e *event) { e.order = append(e.order, e.order[0]) },
		"a member less":     func(e *event) { e.order = e.order[1:] },
	} {
		r := good(t, "create").copied(t)
		r.forge(t, func(f *forger, e *event) bool {
			if e.Type == state.TypeDraftReviewed {
				change(e)
			}
			return true
		})
		t.Log(name)
		r.refused(t, "draft.reviewed: line ")
	}
}

// What is no record is refused with one sentence each, and nothing is written.
func TestWhatIsNoRecord(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(r *record) error
		want  string
	}{
		"no directory": {func(r *record) error { return os.RemoveAll(r.dir) }, "no such file or directory"},
		"a file":       {func(r *record) error { _ = os.RemoveAll(r.dir); return os.WriteFile(r.dir, nil, 0o600) }, "it is not a directory"},
		"an empty one": {func(r *record) error { _ = os.RemoveAll(r.dir); return os.Mkdir(r.dir, 0o700) }, "it is not here: this is not a ceremony directory"},
		"half of one":  {func(r *record) error { return os.RemoveAll(r.at("evidence")) }, "is missing"},
		"no publish":   {func(r *record) error { return os.RemoveAll(r.at("publish")) }, "file: publish/1.root.json: it is missing"},
		"no log":       {func(r *record) error { return os.Remove(r.at(transcript.FileName)) }, "it is not here"},
		"an empty log": {func(r *record) error { return os.Truncate(r.at(transcript.FileName), 0) }, "it has no whole line"},
		"a huge log":   {func(r *record) error { return os.Truncate(r.at(transcript.FileName), 300<<30) }, "more than"},
		"a huge file":  {func(r *record) error { return os.Truncate(r.at("publish/1.root.json"), 300<<30) }, "more than"},
		"a pipe":       {func(r *record) error { return syscall.Mkfifo(r.at("evidence/pipe"), 0o600) }, "special file: evidence/pipe: it is a link, a pipe or a device"},
		"a link":       {func(r *record) error { return os.Symlink("/etc/passwd", r.at("metadata/link")) }, "special file: metadata/link: it is a link"},
		"a linked log": {func(r *record) error {
			_ = os.Rename(r.at(transcript.FileName), r.dir+".log")
			return os.Symlink(r.dir+".log", r.at(transcript.FileName))
		}, "it is a link"},
		"a linked folder": {func(r *record) error {
			_ = os.Rename(r.at("evidence"), r.dir+".ev")
			return os.Symlink(r.dir+".ev", r.at("evidence"))
		}, "special file: evidence: it is a link"},
		"a device":       {func(r *record) error { return os.Symlink("/dev/zero", r.at("publish/zero")) }, "special file: publish/zero: it is a link"},
		"a hostile name": {func(r *record) error { return os.WriteFile(r.at("publish/\x1b[31m\u202e.root.json"), nil, 0o600) }, "the log knows nothing of it"},
		"a folder more":  {func(r *record) error { return os.MkdirAll(r.at("more/of/it"), 0o700) }, "file: more/: a folder that the log knows nothing of"},
		"a newer format": {func(r *record) error {
			text := strings.Replace(string(r.read(t, transcript.FileName)), fmt.Sprintf(`"format":%d`, state.FormatVersion), `"format":99`, 1)
			return os.WriteFile(r.at(transcript.FileName), []byte(text), 0o600)
		}, "line 1"},
		"another's log": {func(r *record) error {
			return os.WriteFile(r.at(transcript.FileName), good(t, "rotate").read(t, transcript.FileName), 0o600)
		}, "it is missing, though line"},
	} {
		r := good(t, "create").copied(t)
		if err := c.spoil(r); err != nil {
			t.Fatal(err)
		}
		before := names(t, r.dir)
		t.Log(name)
		r.refused(t, c.want)
		about := map[string][]string{}
		for _, c := range failed(audit.Directory(r.dir, r.options())) {
			about[c.Subject] = append(about[c.Subject], c.Text)
		}
		for subject, said := range about {
			there := func(text string) bool {
				return strings.Contains(text, "cannot be read") || strings.Contains(text, "was not opened")
			}
			gone := func(text string) bool {
				return strings.Contains(text, "is missing") || strings.Contains(text, "is not here")
			}
			if slices.ContainsFunc(said, there) && slices.ContainsFunc(said, gone) {
				t.Errorf("%s: %s is there, and isn't: %q", name, subject, said)
			}
		}
		if after := names(t, r.dir); !slices.Equal(before, after) {
			t.Errorf("%s: there was %q, and there is %q", name, before, after)
		}
	}
}

// names are all that lies in a folder, with its times.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	_ = filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			all = append(all, fmt.Sprint(name, info.Mode(), info.Size(), info.ModTime().Round(time.Nanosecond)))
		}
		return nil
	})
	return all
}

// A rehearsal is no record of a real ceremony, unless that is asked for.
func TestRehearsalIsRefused(t *testing.T) {
	r := good(t, "create")
	o := r.options()
	o.Rehearsal = false
	if report := audit.Directory(r.dir, o); report.Verdict() != audit.Bad || !strings.Contains(texts(failed(report)), "it is the record of a rehearsal") {
		t.Errorf("%s: %s", report.Verdict(), texts(failed(report)))
	}
}

// Values that were announced are compared.
func TestAnchors(t *testing.T) {
	r := good(t, "rotate")
	report := r.audit()
	first := good(t, "create").audit()
	for _, c := range []struct {
		plan, trusted string
		want          audit.Verdict
	}{
		{report.PlanDigest, first.Published, audit.Good},
		{first.PlanDigest, first.Published, audit.Bad},
		{report.PlanDigest, report.Published, audit.Bad},
	} {
		o := r.options()
		o.PlanDigest, o.TrustedSHA256 = c.plan, c.trusted
		held := audit.Directory(r.dir, o)
		if held.Verdict() != c.want {
			t.Errorf("%+v: %s\n%s", c, held.Verdict(), texts(failed(held)))
		}
		for _, a := range held.Anchors {
			if a.Given != (a.Name != "--checkpoint") {
				t.Errorf("%+v", a)
			}
		}
	}
}

// Keys that nobody has been asked about, or that are too many people's, are in no
// draft, and nothing is sealed before the call.
func TestRollCall(t *testing.T) {
	hows := func(e *event, how state.CallHow, ids ...string) {
		var all []state.Called
		if err := json.Unmarshal(e.data["holders"], &all); err != nil {
			t.Fatal(err)
		}
		for i, c := range all {
			if slices.Contains(ids, c.Holder) {
				all[i].How = how
			}
		}
		e.set("holders", all)
	}
	call := func(what state.CallFor, e *event) bool {
		return e.Type == state.TypeRollCall && e.text("for") == string(what)
	}
	for name, c := range map[string]struct {
		record string
		change func(*forger, *event) bool
		want   string
	}{
		"none before the review":  {"create", func(f *forger, e *event) bool { return !call(state.CallReview, e) }, "no roll call before it has confirmed the keys of Alice Costa"},
		"none before the sealing": {"backups", func(f *forger, e *event) bool { return !call(state.CallBackups, e) }, "no roll call before it has confirmed the keys of Alice Costa"},
		"three by nobody": {"create", func(f *forger, e *event) bool {
			if call(state.CallReview, e) {
				hows(e, state.CallNobody, "alice", "chen", "dana")
			}
			return true
		}, "nobody has confirmed the keys of Alice Costa, Chen Wei and Dana Okafor, which are too many"},
		"two by nobody, and the draft is silent": {"create", func(f *forger, e *event) bool {
			if call(state.CallReview, e) {
				hows(e, state.CallNobody, "alice", "chen")
			}
			return true
		}, `nobody has confirmed the keys of ["alice" "chen"], and it names []`},
		"one differs": {"backups", func(f *forger, e *event) bool {
			if call(state.CallBackups, e) {
				hows(e, state.CallDiffers, "bruno")
			}
			return true
		}, "the card or the token of Bruno Ferraz said other keys"},
		"another way": {"create", func(f *forger, e *event) bool {
			if call(state.CallReview, e) {
				hows(e, "hearsay", "bruno")
			}
			return true
		}, `nobody is confirmed by "hearsay"`},
		"in this sitting, after another start": {"create", func(f *forger, e *event) bool {
			if call(state.CallReview, e) {
				f.append(state.TypeContinued, "room", state.Begun{Format: state.FormatVersion, Program: "test", Rehearsal: true})
			}
			return true
		}, "was not enrolled since the newest start of the program"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good(t, c.record).copied(t)
			r.forge(t, c.change)
			r.refused(t, c.want)
			if r.folds(t) == nil {
				t.Error("the fold takes it")
			}
		})
	}
}
