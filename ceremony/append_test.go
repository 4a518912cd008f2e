package ceremony_test

import (
	"reflect"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// Whatever event cannot be appended, of whatever kind, and wherever in a
// ceremony, with tokens that take the place of others and spare ones: the state
// stays the one that it was, and is what the log says, then and with every event
// after it.
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
					if desk.State() != now || !reflect.DeepEqual(now, want) {
						t.Fatalf("%s of line %d (%s): the state is not what the log says", how, e.Seq, e.Type)
					}
				}
				fails("a note beside", state.TypeNote, state.Note{Text: strings.Repeat("x", transcript.MaxLine)})
				fails("the writing", e.Type, typed(t, e))
				for _, s := range []**state.State{&now, &want} {
					next, err := (*s).With(e)
					if err != nil {
						t.Fatal(err)
					}
					*s = next
				}
				if !reflect.DeepEqual(now, want) {
					t.Fatalf("line %d (%s) after it failed once: the state is not what the log says", e.Seq, e.Type)
				}
			}
		})
	}
}

// typed is the data of an event, with its private part, as a task has it.
func typed(t *testing.T, e transcript.Event) any {
	t.Helper()
	kind, private := dataTypes[e.Type]
	if !private {
		return e.Data
	}
	data := reflect.New(reflect.TypeOf(kind))
	if err := state.Read(e, data.Interface()); err != nil {
		t.Fatal(err)
	}
	return data.Elem().Interface()
}

// dataTypes are the types of data that can have a private part.
var dataTypes = map[string]any{
	state.TypePreflight: state.PreflightDone{}, state.TypePlanAgreed: state.PlanAgreed{}, state.TypeRecipientProved: state.RecipientProved{},
	state.TypeBackupStored: state.BackupStored{}, state.TypeDrillDone: state.DrillDone{}, state.TypeCopiesWritten: state.CopiesWritten{},
	state.TypeCopiesRead: state.CopiesRead{}, state.TypeCarryIntended: state.CarryIntended{}, state.TypeCarried: state.CarryDone{},
	state.TypeCheckupPassed: state.CheckupPassed{}, state.TypeCheckupDone: state.CheckupDone{}, state.TypeRetired: state.TokenRetired{},
	state.TypeTaskFailed: state.TaskFailed{}, state.TypeNote: state.Note{}, state.TypeException: state.Exception{},
}
