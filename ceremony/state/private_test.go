package state

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/transcript"
)

// private are the types of events that have a private part.
var private = map[string]any{
	TypeBegun: Begun{}, TypePreflight: PreflightDone{}, TypePlanAgreed: PlanAgreed{}, TypeRecipientProved: RecipientProved{}, TypeBackupStored: BackupStored{},
	TypeDrillDone: DrillDone{}, TypeCopiesWritten: CopiesWritten{}, TypeCopiesRead: CopiesRead{}, TypeCarryIntended: CarryIntended{},
	TypeCarried: CarryDone{}, TypeCheckupPassed: CheckupPassed{}, TypeCheckupDone: CheckupDone{}, TypeRetired: TokenRetired{},
	TypeTaskFailed: TaskFailed{}, TypeNote: Note{}, TypeException: Exception{},
}

// members are the names in JSON of what a struct holds.
func members(of reflect.Type) []string {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	var names []string
	if of.Kind() != reflect.Struct {
		return nil
	}
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous:
			names = append(names, members(f.Type)...)
		default:
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(names))
}

// The table in the documents says what is public of each type, and what isn't.
func TestPrivateMembersAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "### Public and private members")
	table, _, _ = strings.Cut(table, "### ")
	rows := map[string][2][]string{}
	words := func(cell string) []string {
		var all []string
		for _, m := range regexp.MustCompile("`([a-z_0-9]+)`").FindAllStringSubmatch(cell, -1) {
			all = append(all, m[1])
		}
		return slices.Sorted(slices.Values(all))
	}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.Contains(cells[1], "`") {
			rows[strings.Trim(cells[1], " `")] = [2][]string{words(cells[2]), words(cells[3])}
		}
	}
	if got, want := slices.Sorted(maps.Keys(rows)), slices.Sorted(maps.Keys(private)); !slices.Equal(got, want) {
		t.Errorf("rows for %q, want %q", got, want)
	}
	for kind, data := range private {
		pointer := reflect.New(reflect.TypeOf(data)).Interface()
		open, hidden, _ := parts(pointer)
		for i, part := range []any{open, hidden} {
			want := members(reflect.TypeOf(part))
			switch {
			case kind == TypePreflight && i == 1:
				want = append(want, "advice", "id", "level", "text") // of each
			case kind == TypePlanAgreed && i == 1:
				continue // as the section on the plan has it
			case kind == TypeException && i == 1:
				want = nil // the same ones
			}
			slices.Sort(want)
			if got := rows[kind][i]; !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", kind, got, want)
			}
		}
	}
}

// The data of types without a private part.
var open = map[string]any{
	TypeContinued: Begun{}, transcript.TypeSetAside: transcript.SetAside{},
	TypeWipeIntended: WipeIntended{}, TypeWiped: Result{}, TypePrepareIntended: PrepareIntended{}, TypePrepared: Prepared{},
	TypeKeyIntended: KeyIntended{}, TypeKeyMade: KeyMade{}, TypeKeyProved: KeyProved{}, TypeUnblockIntended: UnblockIntended{}, TypeUnblocked: Result{},
	TypeSettled: Settled{}, TypeStartedOver: StartedOver{}, TypeCollected: Collected{}, TypeConfirmed: Confirmed{}, TypeHandedOver: HandedOver{},
	TypeReplacementBegun: ReplacementBegun{}, TypeReplacementGiven: ReplacementGivenUp{}, TypeSpareUsed: SpareUsed{},
	TypeDraftMade: DraftMade{}, TypeDraftReviewed: DraftReviewed{}, TypeDraftDiffers: DraftDiffers{}, TypeDraftAbandoned: DraftAbandoned{}, TypeDraftResumed: DraftResumed{},
	TypeStartCompared: StartCompared{}, TypeRollCall: RollCall{}, TypeAlarmRaised: AlarmRaised{}, TypeAlarmEnded: AlarmEnded{}, TypeTokenShown: TokenShown{}, TypeSignatureIntended: SignatureIntended{}, TypeSignatureMade: SignatureMade{}, TypeSigCollected: SignatureCollected{}, TypeSigRival: SignatureRival{},
	TypeCheckpointSigned: CheckpointSigned{}, TypeCheckpointsWaived: CheckpointsWaived{}, TypeRootPublished: RootPublished{},
	TypeRetireIntended: RetireIntended{}, TypeNotRetired: NotRetired{}, TypeSealed: Sealed{}, TypeClosed: Closed{}, TypeNotCarried: NotCarried{},
}

// The document says of every type what its data has, in order, what may be left
// out, and what each member is.
func TestMembersAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n### Members\n")
	section, _, _ = strings.Cut(section, "\n### ")
	rows, glossary, _ := strings.Cut(section, "What each member is")
	var written func(reflect.Type) []string
	written = func(of reflect.Type) (all []string) {
		for i := range of.NumField() {
			f := of.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && name == "":
				all = append(all, written(f.Type)...)
			case name == "-":
			case options != "":
				all = append(all, "`"+name+"`?")
			default:
				all = append(all, "`"+name+"`")
			}
		}
		return all
	}
	for kind, data := range open {
		row := "| `" + kind + "` | " + strings.Join(written(reflect.TypeOf(data)), ", ")
		if !strings.Contains(rows, strings.TrimRight(row, " ")+" ") {
			t.Errorf("no row %s", row)
		}
	}
	for kind := range Rules {
		if open[kind] == nil && private[kind] == nil {
			t.Errorf("no data of %s is held to the document", kind)
		}
	}
	known := strings.Join(regexp.MustCompile(`(?m)^\| [^|]*`).FindAllString(glossary, -1), "")
	for _, data := range slices.Concat(slices.Collect(maps.Values(open)), slices.Collect(maps.Values(private))) {
		pointer := reflect.New(reflect.TypeOf(data)).Interface()
		public, hidden, _ := parts(pointer)
		for _, part := range []any{public, hidden} {
			if part == nil {
				continue
			}
			for _, name := range members(reflect.TypeOf(part)) {
				if !strings.Contains(known, "`"+name+"`") {
					t.Errorf("it does not say what %q is", name)
				}
			}
		}
	}
}

// What is private comes back where it was seen, and is never missed where it was
// not; an event without the part that it must have is none.
func TestReadParts(t *testing.T) {
	event := func(data any) transcript.Event {
		t.Helper()
		e := transcript.Event{}
		open, hidden := Parts(data)
		var err error
		if e.Data, err = json.Marshal(open); err != nil {
			t.Fatal(err)
		}
		if hidden != nil {
			e.Commitment = strings.Repeat("0", 64)
			if e.Private, err = json.Marshal(hidden); err != nil {
				t.Fatal(err)
			}
		}
		return e
	}
	stored := BackupStored{What: "key", SealedFor: SealedFor{Recipients: []string{"a", "b"}, Ages: []string{"x", "y"}, Quorum: 2, Files: []File{{"n", "s"}}}}
	passed := CheckupPassed{Who: "bank-safe", Answer: "ab"}
	for _, data := range []any{stored, passed, Note{Text: "seal 17"}, Note{Private: NoteText{"seal 18"}}, Exception{Private: Account{"a", "b", "c"}}, Settled{Found: "nothing"}} {
		e := event(data)
		again := reflect.New(reflect.TypeOf(data))
		if err := Read(e, again.Interface()); err != nil || !reflect.DeepEqual(again.Elem().Interface(), data) {
			t.Errorf("%+v: %v, %+v", data, err, again.Elem())
		}
		if strings.Contains(string(e.Data), "bank-safe") || strings.Contains(string(e.Data), "18") {
			t.Errorf("public: %s", e.Data)
		}
		e.Private = nil
		if err := Read(e, again.Interface()); err != nil || Unseen(e) != (e.Commitment != "") {
			t.Errorf("%+v, unseen: %v", data, err)
		}
	}
	for name, c := range map[string]struct {
		e    transcript.Event
		into any
		want string
	}{
		"none":           {transcript.Event{Data: json.RawMessage(`{}`)}, &CheckupPassed{}, "it has no private part"},
		"in public":      {transcript.Event{Data: json.RawMessage(`{"who":"alice"}`), Commitment: "00"}, &CheckupPassed{}, "unknown field"},
		"one too many":   {transcript.Event{Data: json.RawMessage(`{}`), Commitment: "00", Private: json.RawMessage(`{}`)}, &NotCarried{}, "events of its type have none"},
		"unknown member": {transcript.Event{Data: json.RawMessage(`{}`), Commitment: "00", Private: json.RawMessage(`{"site":"Lisbon"}`)}, &CheckupPassed{}, "unknown field"},
	} {
		if err := Read(c.e, c.into); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
