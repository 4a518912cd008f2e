package state

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"rootceremony/ceremony/transcript"
)

// logs are the events of ceremonies in which, between them, every kind of event
// happens. The tests of package ceremony write them anew, with -update.
func logs(t testing.TB) map[string][]transcript.Event {
	t.Helper()
	names, err := filepath.Glob("testdata/*.private.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]transcript.Event{}
	for _, name := range names {
		private, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		name = strings.TrimSuffix(name, ".private.jsonl")
		text, err := os.ReadFile(name + ".jsonl")
		if err != nil {
			t.Fatal(err)
		}
		log, err := transcript.Read(text, private)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = log.Events
	}
	return all
}

// An event, whether it fits or not, leaves the state as it was, and those that
// other events have made of it. The next state is the fold of the longer log.
func TestWith(t *testing.T) {
	seen := map[string]bool{}
	for name, all := range logs(t) {
		t.Run(name, func(t *testing.T) {
			now, fold := &State{}, &State{}
			for i, e := range all {
				seen[e.Type] = true
				next, err := now.With(e)
				if err != nil {
					t.Fatal(err)
				}
				alone(t, "state", reflect.ValueOf(now), reflect.ValueOf(now.clone()))
				for _, later := range all[i+1:] {
					_, _ = now.With(later) // few of them fit
				}
				if !reflect.DeepEqual(now, fold) {
					t.Fatalf("line %d (%s), or one after it, has changed the state before", e.Seq, e.Type)
				}
				if err := fold.apply(e); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(next, fold) {
					t.Fatalf("with line %d (%s) the state is not the fold", e.Seq, e.Type)
				}
				now = next
			}
		})
	}
	for kind := range Rules {
		if !seen[kind] {
			t.Errorf("in no log %s happens", kind)
		}
	}
}

// alone finds what an event could change of a state by way of its clone: a map or
// a holder that both have, or room behind a slice that both would write to.
func alone(t *testing.T, path string, of, clone reflect.Value) {
	t.Helper()
	stays := path == "state.resumed" || strings.HasSuffix(path, ".signers") // as they were made
	switch of.Kind() {
	case reflect.Struct:
		for i := range of.NumField() {
			alone(t, path+"."+of.Type().Field(i).Name, of.Field(i), clone.Field(i))
		}
	case reflect.Pointer:
		if is := of.Type().Elem(); of.IsNil() || is != reflect.TypeFor[State]() && is != reflect.TypeFor[Holder]() && is != reflect.TypeFor[Abandoned]() {
			return // the data of an event
		}
		if of.Pointer() == clone.Pointer() {
			t.Errorf("%s is that of the clone", path)
		}
		alone(t, path, of.Elem(), clone.Elem())
	case reflect.Map:
		if !of.IsNil() && of.Pointer() == clone.Pointer() && !stays {
			t.Errorf("%s is that of the clone", path)
		}
		for _, key := range of.MapKeys() {
			alone(t, path+"."+key.String(), of.MapIndex(key), clone.MapIndex(key))
		}
	case reflect.Slice:
		if clone.Cap() > clone.Len() && of.Pointer() == clone.Pointer() {
			t.Errorf("%s of the clone has room behind its end", path)
		}
		for i := range of.Len() {
			alone(t, path, of.Index(i), clone.Index(i))
		}
	}
}

// longLog is a log of 10,000 lines.
func longLog(b *testing.B) []transcript.Event {
	all := logs(b)["backups"]
	note, err := json.Marshal(Note{Text: "the kettle is broken"})
	if err != nil {
		b.Fatal(err)
	}
	for len(all) < 10_000 {
		all = append(all, transcript.Event{Seq: int64(len(all)) + 1, Type: TypeNote, Data: note, Tree: strings.Repeat("0", 64)})
	}
	return all
}

func BenchmarkFold(b *testing.B) {
	all := longLog(b)
	for b.Loop() {
		if _, err := Fold(all); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWith(b *testing.B) {
	all := longLog(b)
	now, err := Fold(all)
	if err != nil {
		b.Fatal(err)
	}
	last := all[len(all)-1]
	for b.Loop() {
		if _, err := now.With(last); err != nil {
			b.Fatal(err)
		}
	}
}
