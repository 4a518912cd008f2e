package state

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/transcript"
)

// Every type of event has its words.
func TestHappenedOfEveryType(t *testing.T) {
	all := []string{TypeBegun, TypeContinued, transcript.TypeSetAside, TypePreflight, TypePlanAgreed, TypeTaskFailed, TypeNote, TypeException}
	for kind := range Rules {
		all = append(all, kind)
	}
	for _, kind := range all {
		if happened[kind] == "" {
			t.Errorf("nothing is said of %s", kind)
		}
	}
	if len(all) != len(happened) {
		t.Errorf("%d types have words, and there are %d", len(happened), len(all))
	}
}

// The words name the holder whom an event is about.
func TestHappenedNamesTheHolder(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	public, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	log, err := transcript.Read(public, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Fold(log.Events)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(log.Events, func(e transcript.Event) bool { return e.Type == TypePrepared })
	var made Prepared
	if err := Read(log.Events[i], &made); err != nil {
		t.Fatal(err)
	}
	if said := s.Happened(log.Events[i]); !strings.HasPrefix(said, s.Holders[made.Holder].Holder.Name+": the token got its PIN") {
		t.Errorf("%q", said)
	}
}
