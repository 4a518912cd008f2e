package audit_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/audit"
	"rootceremony/ceremony/transcript"
)

// How much the long tests do: go test ./ceremony/audit -mutations 1000 -ceremonies 200
var (
	mutations  = flag.Int("mutations", 60, "single changes of records to try")
	ceremonies = flag.Int("ceremonies", 20, "random good ceremonies to hold")
	seed       = flag.Uint64("seed", 0, "of both; 0: another one each time")
)

// source is where a test takes its choices from, which it can take again.
func source(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	return rand.New(rand.NewPCG(s, s))
}

// bystanders are files whose content the log does not vouch for, or that a record
// may lack.
func bystander(name string) bool {
	return strings.HasPrefix(path.Base(name), "notice") || strings.HasPrefix(name, "keys/")
}

// Every single change is found: the record is not good, and the file that was
// changed is named. A cut at the end of the log can leave an earlier state that was
// good so far: it is never good for the later one, and with the closing checkpoint
// it is refused, unless it took away only what stands behind that.
func TestMutations(t *testing.T) {
	from := source(t)
	changes := map[string]int{}
	earlier := 0
	for n := range *mutations {
		of := kinds()[from.IntN(len(records))]
		r, note := good(t, of).copied(t), good(t, of).closing(t)
		lines, closing := good(t, of).audit().Lines, good(t, of).audit().Vouched
		what, files := r.mutate(t, from)
		if what == "" {
			continue
		}
		changes[strings.Fields(what)[0]]++
		report, announced := r.audit(), r.heldTo(note)
		found := texts(failed(report))
		cut := files[0] == transcript.FileName && bytes.HasPrefix(good(t, of).read(t, transcript.FileName), r.read(t, transcript.FileName))
		switch {
		case cut && report.Verdict() != audit.Bad:
			earlier++
			if report.Lines >= lines && report.Verdict() == audit.Good || report.Lines <= closing && announced.Verdict() != audit.Bad {
				t.Errorf("%d: %s: %s, of %d lines: %s, and with the checkpoint %s", n, of, what, report.Lines, report.Verdict(), announced.Verdict())
			}
		case report.Verdict() != audit.Bad || announced.Verdict() != audit.Bad:
			t.Errorf("%d: %s: %s: %s, and with the checkpoint %s", n, of, what, report.Verdict(), announced.Verdict())
		case !slices.ContainsFunc(files, func(name string) bool {
			return strings.Contains(found, name) || strings.Contains(found, path.Dir(name))
		}):
			t.Errorf("%d: %s: %s: no check names it:\n%s", n, of, what, found)
		}
		if err := os.RemoveAll(r.dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v, of which %d are a valid earlier state", changes, earlier)
}

// mutate changes one thing, and says what, and in which files.
func (r *record) mutate(t *testing.T, from *rand.Rand) (string, []string) {
	t.Helper()
	names := slices.DeleteFunc(r.files(t), bystander)
	one := func() string { return names[from.IntN(len(names))] }
	if from.IntN(2) == 0 {
		one = func() string { return transcript.FileName }
	}
	name := one()
	text := r.read(t, name)
	if len(text) == 0 {
		return "", nil
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	i, j := from.IntN(len(lines)), from.IntN(len(lines))
	what := ""
	switch from.IntN(7) {
	case 0:
		at := from.IntN(len(text))
		what, text[at] = fmt.Sprintf("bit of byte %d of %s", at, name), text[at]^1<<from.IntN(8)
	case 1:
		at := from.IntN(len(text))
		what, text = fmt.Sprintf("cut of %s at %d", name, at), text[:at]
	case 2:
		what, text = fmt.Sprintf("removed line %d of %s", i+1, name), bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil)
	case 3:
		what, text = fmt.Sprintf("doubled line %d of %s", i+1, name), bytes.Join(slices.Insert(slices.Clone(lines), i, lines[i]), nil)
	case 4:
		if bytes.Equal(lines[i], lines[j]) {
			return "", nil
		}
		swapped := slices.Clone(lines)
		swapped[i], swapped[j] = swapped[j], swapped[i]
		what, text = fmt.Sprintf("moved lines %d and %d of %s", i+1, j+1, name), bytes.Join(swapped, nil)
	case 5:
		other := names[from.IntN(len(names))]
		theirs := r.read(t, other)
		if bytes.Equal(text, theirs) {
			return "", nil
		}
		r.write(t, other, text)
		r.write(t, name, theirs)
		return fmt.Sprintf("swapped %s and %s", name, other), []string{name, other}
	case 6:
		of := good(t, kinds()[from.IntN(len(records))])
		theirs, err := os.ReadFile(of.at(name))
		if err != nil || bytes.Equal(text, theirs) {
			return "", nil
		}
		what, text = fmt.Sprintf("swapped %s with that of another ceremony", name), theirs
	}
	if bytes.Equal(text, r.read(t, name)) {
		return "", nil
	}
	r.write(t, name, text)
	return what, []string{name}
}

// powerFailure ends a desk in the middle.
type powerFailure struct{}

// A ceremony that is held as the plan says, whatever interrupted it, raises no alarm,
// neither on the way nor at its end.
func TestNoFalseAlarm(t *testing.T) {
	from := source(t)
	cut := 0
	for n := range *ceremonies {
		planned := ""
		if from.IntN(3) > 0 {
			planned = onToken()
		}
		r, err := begin(planned)
		if err != nil {
			t.Fatal(err)
		}
		for times := from.IntN(4); times > 0; times-- {
			if r.untilPowerFails(t, 1+from.IntN(60)) {
				break
			}
			cut++
			if report := r.audit(); report.Verdict() == audit.Bad {
				t.Errorf("%d, interrupted: %s\n%s", n, report.Verdict(), texts(failed(report)))
			}
		}
		r.untilPowerFails(t, 1<<30)
		if report := r.audit(); report.Verdict() != audit.Good {
			t.Errorf("%d: %s\n%s", n, report.Verdict(), texts(slices.DeleteFunc(report.Checks, func(c audit.Check) bool { return c.Status == audit.OK })))
		}
		_, _ = os.RemoveAll(r.dir), os.RemoveAll(r.tokens)
	}
	t.Logf("%d ceremonies, interrupted %d times", *ceremonies, cut)
}

// untilPowerFails holds a ceremony until the power fails before the n-th event, and
// reports whether it came to its end.
func (r *record) untilPowerFails(t *testing.T, n int) (ended bool) {
	t.Helper()
	var desk *ceremony.Desk
	defer func() {
		if desk != nil {
			_ = desk.Close()
		}
		if p := recover(); p != nil && p != (powerFailure{}) {
			panic(p)
		}
	}()
	desk, err := r.open(func() time.Time {
		if n--; n < 0 {
			panic(powerFailure{})
		}
		return noon
	}, "", nil)
	if err == nil {
		err = r.hold(desk, "", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// Events that are well formed and wrong, in a log whose hashes are right, are never
// good where a checkpoint had covered them, and never a fault of the program, be it of
// the audit or of the fold. What the fold takes and the audit's own model refuses is
// listed: it should be what only evidence or another file can tell.
func TestWrongEvents(t *testing.T) {
	from := source(t)
	both, taken := 0, map[string]int{}
	defer func() {
		t.Logf("%d were refused by both; taken by the fold alone:", both)
		for _, reason := range slices.Sorted(maps.Keys(taken)) {
			t.Logf("  %d %s", taken[reason], reason)
		}
	}()
	for n := range *mutations {
		of := kinds()[from.IntN(len(records))]
		before := good(t, of).audit()
		r := good(t, of).copied(t)
		at := 1 + from.Int64N(before.Lines)
		what := ""
		r.forge(t, func(f *forger, e *event) bool {
			if e.Seq != at {
				return true
			}
			switch from.IntN(5) {
			case 0:
				what = "left out"
				return e.Seq == 1
			case 1:
				what = "twice"
				f.append(e.Type, e.By, e.json())
			case 2:
				what, e.By = "by another", []string{"room", "alice", "bruno", "nobody"}[from.IntN(4)]
			default:
				if what = e.private.spoil(from); what == "" || from.IntN(2) == 0 {
					what = e.spoil(from)
				}
			}
			return true
		})
		report := audit.Directory(r.dir, audit.AcceptAll(r.options()))
		found := texts(failed(report))
		if strings.Contains(found, "the program has a fault") {
			t.Errorf("%d: %s, line %d %s: %s", n, of, at, what, found)
		}
		if i := slices.IndexFunc(report.Checks, func(c audit.Check) bool {
			return c.Status == audit.Failed && c.Subject == fmt.Sprintf("line %d", at)
		}); i >= 0 {
			if err := r.foldsTo(t, at); err == nil {
				taken[report.Checks[i].Name+": "+report.Checks[i].Text+" ("+what+")"]++
			} else {
				both++
			}
		}
		same := bytes.Equal(r.read(t, transcript.FileName), good(t, of).read(t, transcript.FileName))
		if at <= before.Vouched && !same && report.Verdict() != audit.Bad {
			t.Errorf("%d: %s, line %d %s: %s", n, of, at, what, report.Verdict())
		}
		if err := os.RemoveAll(r.dir); err != nil {
			t.Fatal(err)
		}
	}
}

// spoil replaces one value anywhere in an object, and says which; "": it has none.
func (m *members) spoil(from *rand.Rand) string {
	if len(m.order) == 0 {
		return ""
	}
	values := []any{nil, true, false, 0, -1, 1, 1 << 40, "", "alice", "x", strings.Repeat("ab", 32), []any{}, map[string]any{}, "evidence/1/../x", 1.5}
	to := values[from.IntN(len(values))]
	name := m.order[from.IntN(len(m.order))]
	var value any
	if err := json.Unmarshal(m.data[name], &value); err != nil {
		m.t.Fatal(err)
	}
	var within func(any) any
	within = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			if len(v) > 0 && from.IntN(4) > 0 {
				key := slices.Sorted(maps.Keys(v))[from.IntN(len(v))]
				v[key] = within(v[key])
				return v
			}
		case []any:
			if len(v) > 0 && from.IntN(4) > 0 {
				i := from.IntN(len(v))
				v[i] = within(v[i])
				return v
			}
		}
		return to
	}
	m.set(name, within(value))
	return fmt.Sprintf("with %v in %s", to, name)
}
