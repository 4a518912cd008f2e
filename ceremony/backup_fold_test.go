package ceremony_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// forgedData is an event with a change of its data: of what is public of it and
// what isn't, whose members have names of their own.
func forgedData(t testing.TB, e transcript.Event, change func(map[string]any)) transcript.Event {
	t.Helper()
	data, public := map[string]any{}, map[string]bool{}
	for _, part := range []json.RawMessage{e.Private, e.Data} {
		if part == nil {
			continue
		}
		clear(public)
		decoder := json.NewDecoder(bytes.NewReader(part))
		decoder.UseNumber()
		var members map[string]any
		if err := decoder.Decode(&members); err != nil {
			t.Fatal(err)
		}
		for name, value := range members {
			data[name], public[name] = value, true
		}
	}
	change(data)
	parts := map[bool]map[string]any{true: {}, false: {}}
	for name, value := range data {
		parts[public[name] || e.Private == nil][name] = value
	}
	for part, text := range map[bool]*json.RawMessage{true: &e.Data, false: &e.Private} {
		if *text == nil {
			continue
		}
		var err error
		if *text, err = json.Marshal(parts[part]); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// Events about backups that were made up, or do not fit, do not replay.
func TestFoldRefusesBackupsThatDoNotFit(t *testing.T) {
	s, desk := newPair(t, 2).opened()
	runTo(t, desk, "sign alice")
	desk.Close()
	// Signed checkpoints are left out: they would not fit any change.
	all := slices.DeleteFunc(events(t, s.dir), func(e transcript.Event) bool { return e.Type == state.TypeCheckpointSigned })
	if _, err := state.Fold(all); err != nil {
		t.Fatal(err)
	}
	set := func(key string, value any) func(map[string]any) {
		return func(data map[string]any) { data[key] = value }
	}
	file := func(change func(file map[string]any)) func(map[string]any) {
		return func(data map[string]any) {
			if one, ok := data["file"].(map[string]any); ok {
				change(one)
				return
			}
			change(data["files"].([]any)[0].(map[string]any))
		}
	}
	rename := func(old, new string) func(map[string]any) {
		return file(func(f map[string]any) { f["name"] = strings.Replace(f["name"].(string), old, new, 1) })
	}
	first := func(kind string, is func(transcript.Event) bool) int {
		t.Helper()
		for i, e := range all {
			if e.Type == kind && (is == nil || is(e)) {
				return i
			}
		}
		t.Fatalf("no event %s", kind)
		return 0
	}
	what := func(what string) func(transcript.Event) bool {
		return func(e transcript.Event) bool { return strings.Contains(string(e.Data), `"what":"`+what+`"`) }
	}
	token, key := first(state.TypeBackupStored, what(keys.BackupToken)), first(state.TypeBackupStored, what(keys.BackupKey))
	made, drill := first(state.TypeKeyMade, nil), first(state.TypeDrillDone, nil)
	written, read := first(state.TypeCopiesWritten, nil), first(state.TypeCopiesRead, nil)
	proved, intended := first(state.TypeRecipientProved, nil), first(state.TypeKeyIntended, nil)
	var other map[string]any // a file of the token's backup
	if err := json.Unmarshal(all[token].Private, &other); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at     int
		change func(map[string]any)
		want   string
	}{
		"recipients less":        {key, set("recipients", []string{"bruno", "safe-1"}), "are not the plan's"},
		"recipients others":      {key, set("recipients", []string{"alice", "safe-1", "safe-2"}), "are not the plan's"},
		"recipients twice":       {key, set("recipients", []string{"safe-1", "safe-1", "safe-2"}), "are not the plan's"},
		"lower quorum":           {key, set("quorum", 1), "are not the plan's"},
		"files missing":          {key, func(data map[string]any) { data["files"] = data["files"].([]any)[1:] }, "are not the plan's"},
		"no files":               {key, set("files", []any{}), "are not the plan's"},
		"a file twice":           {key, func(data map[string]any) { f := data["files"].([]any); f[0] = f[1] }, "is there twice"},
		"another folder":         {key, rename("private/backups/alice", "private/backups/bruno"), "is not one of them"},
		"out of the folder":      {key, rename("private/backups/", "publish/../private/backups/"), "is not one of them"},
		"another attempt":        {key, rename("private/backups/alice/", "private/backups/alice/0"), "is not one of them"},
		"fewer layers":           {key, rename("bruno+", ""), "is not one of them"},
		"for others":             {key, rename("bruno+", "alice+"), "is for others"},
		"another kind of file":   {key, rename(".key.age", ".token.age"), "is not one of them"},
		"another kind":           {key, set("what", "seed"), "does not belong to it"},
		"a key without a public": {key, func(data map[string]any) { delete(data, "public") }, "does not belong to it"},
		"another's":              {key, set("holder", "bruno"), ""},
		"another intention":      {token, set("intention", 1), "no root key is being made"},
		"an unknown field":       {token, set("secret", "x"), "unknown field"},

		"another public key":      {key, func(data map[string]any) { data["public"].(map[string]any)["hex"] = strings.Repeat("0", 64) }, "no backup of this root key"},
		"made, PUK not kept":      {made, set("puk_kept", false), "no backup of PUK"},
		"made on the token":       {made, set("imported", false), "not made where the plan says"},
		"made, another intention": {made, set("intention", 1), ""},
		"no attempt":              {intended, func(data map[string]any) { delete(data, "attempt") }, "not as the plan has it"},
		"attempt out of the way":  {intended, set("attempt", "../../../a"), "not as the plan has it"},
		"made by the token":       {intended, set("origin", "token"), "not as the plan has it"},

		"drill of another holder":  {drill, set("holder", "bruno"), "not a backup in use of that holder"},
		"drill of no file":         {drill, file(func(f map[string]any) { f["sha256"] = strings.Repeat("0", 64) }), "not a backup in use"},
		"drill by others":          {drill, set("by", []string{"safe-1", "safe-2"}), "is not opened by"},
		"drill by one":             {drill, set("by", []string{"bruno"}), "is not opened by"},
		"copies of another list":   {written, set("list", strings.Repeat("0", 64)), "not that of the backups"},
		"copies of fewer files":    {written, set("files", 3), "not that of the backups"},
		"copies without an id":     {written, func(data map[string]any) { delete(data, "medium_id") }, "has no id"},
		"copies with a bad id":     {written, set("medium_id", "../../x"), "has no id"},
		"without media, no reason": {written, func(data map[string]any) { data["medium"] = "none"; delete(data, "medium_id") }, "none was recorded just before"},
		"read from another id":     {read, set("medium_id", strings.Repeat("0", 32)), "nothing like it was written"},
		"read from none":           {read, set("medium_id", ""), "nothing like it was written"},
		"read of another list":     {read, set("list", strings.Repeat("0", 64)), "nothing like it was written"},
		"read from another medium": {read, set("medium", "/media/other"), "nothing like it was written"},
		"proof of a stranger":      {proved, set("recipient", "mallory"), "the plan has no recipient"},
		"proof of another":         {proved, set("recipient", "safe-2"), "it is not a proof of"},
		"proof with another key":   {proved, set("age", "age1gaa6cxnay3dwzuzlx0lewyl50v85260k6pvuaevdtdwrz66xhd6qd3rkcm"), "it is not a proof of"},
		"proof without an answer":  {proved, set("answer", ""), "it is not a proof of"},
	} {
		changed := append([]transcript.Event{}, all...)
		changed[c.at] = forgedData(t, all[c.at], c.change)
		if _, err := state.Fold(changed); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// Going on without media is none that could be read.
	none := func(data map[string]any) { data["medium"] = "none"; delete(data, "medium_id") }
	excused := append(slices.Clone(all[:written]), transcript.Event{Type: state.TypeException, Data: []byte(`{"expected":"a","happened":"b","decided":"c"}`)}, forgedData(t, all[written], none))
	if _, err := state.Fold(excused); err != nil {
		t.Error(err)
	}
	if _, err := state.Fold(append(excused, forgedData(t, all[read], none))); err == nil || !strings.Contains(err.Error(), "nothing like it was written") {
		t.Errorf("read from no medium: %v", err)
	}
	// Two copies on one medium are one, wherever it was mounted.
	second := slices.IndexFunc(all[read+1:], func(e transcript.Event) bool { return e.Type == state.TypeCopiesWritten }) + read + 1
	same := func(e transcript.Event) transcript.Event {
		return forgedData(t, e, func(data map[string]any) {
			var first state.CopiesRead
			if err := json.Unmarshal(all[read].Private, &first); err != nil {
				t.Fatal(err)
			}
			data["medium_id"] = first.MediumID
		})
	}
	twice := slices.Clone(all)
	twice[second], twice[second+1] = same(all[second]), same(all[second+1])
	now, err := state.Fold(twice[:first(state.TypeDraftMade, nil)])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := now.With(all[first(state.TypeDraftMade, nil)]); err == nil || !strings.Contains(err.Error(), "not all are copied") {
		t.Errorf("one medium counts as two: %v", err)
	}
	// Without one of these the other cannot be, though the line is the next.
	draft := first(state.TypeDraftMade, nil)
	for _, c := range []struct{ without, next int }{
		{intended, token}, {token, made}, {key, made}, {proved, intended}, {written, read}, {drill, draft}, {read, draft}, {made, draft},
	} {
		now, err := state.Fold(append(append([]transcript.Event{}, all[:c.without]...), all[c.without+1:c.next]...))
		if err == nil {
			_, err = now.With(all[c.next])
		}
		if err == nil {
			t.Errorf("line %d (%s) can be left out before %s", all[c.without].Seq, all[c.without].Type, all[c.next].Type)
		}
	}
	for _, i := range []int{token, key, made, proved, intended} {
		if _, err := state.Fold(append(append([]transcript.Event{}, all[:i+1]...), all[i])); err == nil {
			t.Errorf("line %d (%s) can be there twice", all[i].Seq, all[i].Type)
		}
	}
	// A backup that was stored after the key was made is none of it.
	now, err = state.Fold(all[:made+1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := now.With(all[key]); err == nil || !strings.Contains(err.Error(), "no root key is being made") {
		t.Errorf("stored afterwards: %v", err)
	}
	// A drill of a backup that its holder has given up is none.
	over := forgedData(t, transcript.Event{Seq: all[drill].Seq, Type: state.TypeStartedOver, Data: []byte("{}")}, func(data map[string]any) {
		data["holder"], data["serial"], data["why"] = "alice", now.Holders["alice"].Serial, "it fell into the sea"
	})
	if _, err := state.Fold(append(append([]transcript.Event{}, all[:drill]...), over, all[drill])); err == nil || !strings.Contains(err.Error(), "not a backup in use") {
		t.Errorf("drill of what was given up: %v", err)
	}
	if _, err := state.Fold(append(append([]transcript.Event{}, all[:written]...), over, all[written])); err == nil || !strings.Contains(err.Error(), "not that of the backups") {
		t.Errorf("copies of what was given up: %v", err)
	}
}
