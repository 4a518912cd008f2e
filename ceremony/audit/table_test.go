package audit

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The document has a row for each kind of event: whom it may be about, when it may
// stand, and whether it may follow after the last checkpoint.
func TestRulesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n### Checking a record\n")
	_, table, _ = strings.Cut(table, "\n| type | holder | when | held to |\n|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		cells := strings.SplitN(line, "|", 5)
		types, last, _ := strings.Cut(strings.TrimSpace(cells[1])+" ", " +")
		for kind := range strings.SplitSeq(types, ",") {
			kind = strings.Trim(kind, " `")
			if rows[kind] != "" {
				t.Errorf("%s is there twice", kind)
			}
			rows[kind] = strings.TrimSpace(cells[2]) + " | " + strings.TrimSpace(cells[3])
			if last != "" {
				rows[kind] += " +"
			}
		}
	}
	letters := []struct {
		custodies []string
		letter    string
	}{{newKeys, "N"}, {keptKeys[:1], "K"}, {droppedKeys, "D"}}
	for kind, rule := range rules {
		var about []string
		for _, l := range letters {
			if slices.Contains(rule.about, l.custodies[0]) {
				about = append(about, l.letter)
			}
		}
		want := strings.Join(about, " ")
		if slices.Contains(rule.about, "") {
			want += ", none"
		}
		want += " | " + map[stage]string{always: "any", agreedOn: "", afterwards: "after"}[rule.when]
		if rule.last {
			want += " +"
		}
		if rows[kind] != want {
			t.Errorf("%s: %q, want %q", kind, rows[kind], want)
		}
		delete(rows, kind)
	}
	for kind := range rows {
		t.Errorf("there is no event %q", kind)
	}
}
