package ceremony_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// people are all whom an event can name in a state, and some whom it cannot.
func people(s *state.State) []string {
	all := slices.Sorted(maps.Keys(s.Holders))
	if s.Plan != nil && s.Plan.Backup != nil {
		for _, r := range s.Plan.Backup.Recipients {
			all = append(all, r.ID)
		}
	}
	return append(all, "", "nobody")
}

// serials are those that mean something in a state, and 0.
func serials(s *state.State) []uint32 {
	all := []uint32{0, 4711}
	for _, h := range s.Holders {
		for _, token := range []*state.Holder{h, h.Replacement, h.Spare} {
			if token != nil {
				all = append(all, token.Serial)
			}
		}
		all = append(all, h.Former...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// intentions are the numbers of those that are open, and 0.
func intentions(s *state.State) []int64 {
	all := []int64{0}
	for _, h := range s.Holders {
		for _, token := range []*state.Holder{h, h.Replacement, h.Spare} {
			if token != nil && token.Open != nil {
				all = append(all, token.Open.Seq)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// hostile changes the data of an event, in its form, to what somebody could
// write who never had the program make it.
func hostile(t *rapid.T, s *state.State, data map[string]any) {
	set := func(name string, value any) {
		data[name] = value
		for _, part := range data { // an enrolment that was collected has parts
			if inside, ok := part.(map[string]any); ok && inside["holder"] != nil {
				inside[name] = value
			}
		}
	}
	id := rapid.SampledFrom(people(s)).Draw(t, "who")
	for _, name := range []string{"holder", "recipient", "who"} {
		if _, there := data[name]; there {
			set(name, id)
		}
	}
	if _, there := data["serial"]; there {
		serial := rapid.SampledFrom(serials(s)).Draw(t, "serial")
		if h := s.Holders[id]; h != nil && rapid.Bool().Draw(t, "own serial") {
			serial = h.Serial
		}
		set("serial", serial)
	}
	if _, there := data["holder"]; there && rapid.IntRange(0, 2).Draw(t, "replacement") == 0 {
		set("replacement", true)
	}
	if _, there := data["intention"]; there {
		set("intention", rapid.SampledFrom(intentions(s)).Draw(t, "intention"))
	}
	for _, names := range []string{"maybe", "missing", "by", "recipients"} {
		if _, there := data[names]; there && rapid.Bool().Draw(t, "other "+names) {
			data[names] = rapid.SliceOfN(rapid.SampledFrom(people(s)), 0, 3).Draw(t, names)
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "without") == 0 && len(data) > 0 {
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(data))).Draw(t, "member")
		if name != "plan" && rapid.Bool().Draw(t, "null") {
			data[name] = nil
		} else {
			delete(data, name)
		}
	}
}

// Whatever well-formed events a log goes on with, each is taken or refused, and
// so is what the desk then shows of it: the program has no fault by it.
func TestHostileEventsAreRefused(t *testing.T) {
	outer := t
	var logs [][]transcript.Event
	samples := map[string][]transcript.Event{}
	whole := wholeLogs(t)
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		all, _ := lines(t, whole[name])
		logs = append(logs, all)
		for _, e := range all {
			samples[e.Type] = append(samples[e.Type], e)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		all := logs[rapid.IntRange(0, len(logs)-1).Draw(t, "log")]
		begin := rapid.IntRange(0, len(all)).Draw(t, "lines")
		base, err := state.Fold(all[:begin])
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			s := base
			for seq := int64(begin) + 1; ; seq++ { // for as long as they are taken
				kind := rapid.SampledFrom(ceremony.EventTypes()).Draw(t, "kind")
				sample := samples[kind][rapid.IntRange(0, len(samples[kind])-1).Draw(t, "sample")]
				e := forgedData(outer, sample, func(data map[string]any) { hostile(t, s, data) })
				e.Seq = seq
				if rapid.IntRange(0, 9).Draw(t, "unseen") == 0 {
					e.Private = nil
				}
				said := fmt.Sprintf("after %d lines: %s %.300s %.300s", seq-1, kind, e.Data, e.Private)
				func() {
					defer func() {
						if p := recover(); p != nil {
							t.Fatalf("%s: %v", said, p)
						}
					}()
					var next *state.State
					if next, err = s.With(e); err == nil {
						s = next
						desk := ceremony.FailingDesk(s, nil)
						desk.Tasks()
						desk.Status()
						desk.Header()
					}
				}()
				if err == nil {
					continue
				}
				if strings.Contains(err.Error(), "has a fault") {
					t.Fatalf("%s: %v", said, err)
				}
				break
			}
		}
	})
}

// A fault of the program at an event is an error that names the line, wherever
// the log comes from; a task that meets it records where it was.
func TestFaultAtAnEventNamesItsLine(t *testing.T) {
	s, desk := opened(t)
	emil := goAway(t, s, desk, "emil")
	file := emil.enrolled()
	want := ""
	all := events(t, emil.dir)
	for _, e := range all {
		if e.Type == state.TypePrepared {
			want = fmt.Sprintf("transcript.jsonl line %d (prepare.done): the program has a fault (runtime error: invalid memory address or nil pointer dereference)", e.Seq)
		}
	}
	ceremony.FaultAt(t, state.TypePrepared)
	if _, err := state.Fold(all); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("folded: %v, want %q", err, want)
	}
	if _, err := ceremony.LookAt(emil.dir); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("looked at: %v, want %q", err, want)
	}
	if _, err := desk.Collect(file); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("collected: %v, want %q", err, want)
	}
	err := desk.Run(t.Context(), "enrol alice", &prompt.Script{})
	if err == nil || !strings.Contains(err.Error(), "(prepare.done): the program has a fault (runtime error: invalid memory address or nil pointer dereference); what was recorded before it is safe") {
		t.Errorf("run: %v", err)
	}
	if last := events(t, s.dir); !strings.Contains(string(last[len(last)-1].Private), "ceremony/state.(*State).take(") {
		t.Errorf("recorded: %s", last[len(last)-1].Private)
	}
}

// The file of an enrolment for another plan is refused as that, whatever else is
// wrong with its log.
func TestEnrolmentForAnotherPlanIsNotFolded(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	other, there := newStage(t, `name = "Example packages"`, `name = "Other packages"`).opened()
	file := goAway(t, other, there, "emil").enrolled()
	ceremony.FaultAt(t, state.TypePrepared)
	if _, err := desk.Collect(file); err == nil || !strings.Contains(err.Error(), "it was made for the plan with the digest") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "evidence")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("evidence: %v", err)
	}
}
