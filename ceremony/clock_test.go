package ceremony_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
)

// A ceremony does not go on by a clock that is behind its log; nothing is
// changed then.
func TestClockBehindTheLog(t *testing.T) {
	g := newGathering(t)
	before := logOf(t, g.dir)
	for back, good := range map[time.Duration]bool{0: true, 59 * time.Second: true, 61 * time.Second: false, 400 * 24 * time.Hour: false} {
		there, first := g.duplicate() // which records that it goes on
		first.Close()
		log := logOf(t, there.dir)
		desk, err := there.open(func() time.Time { return noon.Add(-back) })
		if (err == nil) != good {
			t.Errorf("%s behind: %v", back, err)
		}
		if err == nil {
			desk.Close()
			continue
		}
		want := fmt.Sprintf("of the log was written at %s (hint: set the clock", noon.Format(time.RFC3339))
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s behind: %v, want %q", back, err, want)
		}
		if !bytes.Equal(logOf(t, there.dir), log) {
			t.Errorf("%s behind: the log was changed", back)
		}
	}
	if !bytes.Equal(logOf(t, g.dir), before) {
		t.Error("the first directory was changed")
	}
}

// No plan is agreed by a clock that cannot be right.
func TestClockThatCannotBe(t *testing.T) {
	first, desk := opened(t)
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	people := members(t, desk)
	for at, want := range map[time.Time]string{
		time.Date(1970, 1, 1, 0, 0, 7, 0, time.UTC):      "this computer's clock says 1970-01-01",
		time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC): "this computer's clock says 2025-12-31",
	} {
		next, desk := first.follow(following(agreed.Rotate, "", people...))
		desk.Close()
		desk = next.anew(func() time.Time { return at })
		var err error
		for _, id := range []string{"preflight", "agree"} {
			err = desk.Run(t.Context(), id, &prompt.Script{})
		}
		if err == nil || !strings.Contains(err.Error(), want) || desk.State().Plan != nil {
			t.Errorf("%v, want %q", err, want)
		}
		desk.Close()
	}
}
