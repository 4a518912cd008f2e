package ceremony_test

import (
	"reflect"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// known are the holders, and their other tokens, that a task has in hand.
type known struct{ h, replacement, spare *state.Holder }

func holdersOf(s *state.State) map[string]known {
	all := map[string]known{}
	for id, h := range s.Holders {
		all[id] = known{h, h.Replacement, h.Spare}
	}
	return all
}

// Whatever event cannot be appended, of whatever kind, and wherever in a
// ceremony, with tokens that take the place of others and spare ones: the state
// is what folding the log gives, then and with every event after it.
func TestStateAfterAFailedAppendIsTheLogs(t *testing.T) {
	for name, log := range wholeLogs(t) {
		t.Run(name, func(t *testing.T) {
			all, before := lines(t, log)
			dir := t.TempDir()
			now, want := &state.State{}, &state.State{}
			for i, e := range all {
				desk := ceremony.FailingDesk(now, full(t, dir, before[i]))
				fails := func(how, kind string, data any) {
					t.Helper()
					if err := desk.Record(kind, e.By, data); err == nil {
						t.Fatalf("%s of line %d (%s): recorded", how, e.Seq, e.Type)
					}
					if !reflect.DeepEqual(now, want) {
						t.Fatalf("%s of line %d (%s): the state is not what the log says", how, e.Seq, e.Type)
					}
				}
				held := holdersOf(now)
				fails("a note beside", state.TypeNote, state.Note{Text: strings.Repeat("x", transcript.MaxLine)})
				for id, h := range holdersOf(now) {
					if h != held[id] {
						t.Fatalf("at line %d (%s): a task has another %s in hand than the state", e.Seq, e.Type, id)
					}
				}
				fails("the writing", e.Type, e.Data)
				for _, s := range []*state.State{now, want} {
					if err := s.Apply(e); err != nil {
						t.Fatal(err)
					}
				}
				if !reflect.DeepEqual(now, want) {
					t.Fatalf("line %d (%s) after it failed once: the state is not what the log says", e.Seq, e.Type)
				}
			}
		})
	}
}
