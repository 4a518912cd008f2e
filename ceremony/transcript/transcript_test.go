package transcript

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/internal/fault"
)

// nothing is the root of a tree without leaves.
var nothing = hash(nil)

func clock() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 5, time.UTC) }

type said struct {
	Text string `json:"text"`
}

// made returns a directory with a log of n events, and the log's bytes.
func made(t *testing.T, n int) (string, []byte) {
	t.Helper()
	dir := t.TempDir()
	log, err := Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := log.Append("note", "room", said{fmt.Sprintf("number %d, <ünï> & \u2028", i)}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, contentsOf(t, dir)
}

func contentsOf(t *testing.T, dir string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAppendedEventsAreReadAgain(t *testing.T) {
	dir, text := made(t, 3)
	read, err := Read(text, nil)
	if err != nil || read.Tail != nil || len(read.Events) != 3 {
		t.Fatalf("%+v, error %v", read, err)
	}
	log, err := Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if log.Checkpoint() != read.Checkpoint() || log.Checkpoint().Size != 3 {
		t.Errorf("checkpoint %v, read %v", log.Checkpoint(), read.Checkpoint())
	}
	if got := read.Events[1].Time.Format(time.RFC3339Nano); got != "2026-11-22T10:00:00Z" {
		t.Errorf("time %s", got)
	}
	if !bytes.Equal(contentsOf(t, dir), text) {
		t.Error("opening a whole log changed it")
	}
}

// A log cut anywhere opens with every event whose line is whole; what is left
// of a line is kept in a file and recorded.
func TestLogCutAtEveryByte(t *testing.T) {
	_, text := made(t, 2)
	for cut := range len(text) + 1 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), text[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		log, err := Create(dir, clock, nil)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		checkCut(t, log, text[:cut])
		log.Close()
		again, err := Create(dir, clock, nil)
		if err != nil || len(again.Events()) != len(log.Events()) {
			t.Fatalf("cut at %d: second opening: %d events then %d, error %v", cut, len(log.Events()), len(again.Events()), err)
		}
		again.Close()
	}
}

func checkCut(t *testing.T, log *Log, rest []byte) {
	t.Helper()
	lines := bytes.SplitAfter(rest, []byte{'\n'})
	last := lines[len(lines)-1]
	complete := len(lines) - 1
	if len(last) > 0 && whole(last) {
		complete, last = complete+1, nil
	}
	events := log.Events()
	if len(last) > 0 && complete == 0 {
		// What was left of a first line is recorded after the first one.
		if aside := log.Pending(); len(aside) != 1 || len(events) != 0 {
			t.Fatalf("cut at %d: %d events, pending %v", len(rest), len(events), aside)
		} else if kept, err := os.ReadFile(filepath.Join(log.dir, aside[0].File)); err != nil || !bytes.Equal(kept, last) || aside[0] != (SetAside{aside[0].File, len(last), hash(last), 0}) {
			t.Fatalf("cut at %d: set aside %q (%v), want %q", len(rest), kept, err, last)
		}
		return
	}
	if len(last) == 0 {
		if len(events) != complete {
			t.Fatalf("cut at %d: %d events, want %d", len(rest), len(events), complete)
		}
		return
	}
	var aside SetAside
	if len(events) != complete+1 || events[complete].Type != TypeSetAside {
		t.Fatalf("cut at %d: %d events and no record of what was set aside", len(rest), len(events))
	}
	if err := json.Unmarshal(events[complete].Data, &aside); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(log.dir, aside.File))
	if err != nil || !bytes.Equal(kept, last) || aside.SHA256 != hash(last) || aside.Bytes != len(last) {
		t.Fatalf("cut at %d: set aside %q (%v), want %q", len(rest), kept, err, last)
	}
}

// No bit of a log flips unseen: an error names the line, or, in the last line,
// it is set aside and that is recorded. Never are two lines lost.
func TestEveryFlippedBit(t *testing.T) {
	_, text := made(t, 3)
	lastLine := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	for bit := range 8 * len(text) {
		flipped := bytes.Clone(text)
		flipped[bit/8] ^= 1 << (bit % 8)
		read, err := Read(flipped, nil)
		var broken *BrokenError
		switch {
		case errors.As(err, &broken):
			if want := bytes.Count(text[:bit/8], []byte{'\n'}) + 1; broken.Line != want {
				t.Fatalf("bit %d is in line %d, the error says %d", bit, want, broken.Line)
			}
		case err != nil:
			t.Fatalf("bit %d: %v", bit, err)
		case bit/8 < lastLine:
			t.Fatalf("bit %d, before the last line, was not found", bit)
		case !bytes.Equal(read.Tail, flipped[lastLine:]):
			t.Fatalf("bit %d of the last line: the tail is %q", bit, read.Tail)
		}
	}
}

// A broken log is not written to; one with a damaged last line goes on without
// it, and says so.
func TestOpenOfADamagedLog(t *testing.T) {
	_, text := made(t, 3)
	for _, at := range []int{10, len(text) - 10} {
		flipped := bytes.Clone(text)
		flipped[at] ^= 1
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		log, err := Create(dir, clock, nil)
		if at == 10 {
			var broken *BrokenError
			if !errors.As(err, &broken) || !bytes.Equal(contentsOf(t, dir), flipped) {
				t.Errorf("error %v, log %q", err, contentsOf(t, dir))
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		if events := log.Events(); len(events) != 3 || events[2].Type != TypeSetAside {
			t.Errorf("%d events, the last is %s", len(events), events[len(events)-1].Type)
		}
	}
}

func TestLinesOutOfOrder(t *testing.T) {
	_, text := made(t, 3)
	lines := bytes.SplitAfter(text, []byte{'\n'})
	for name, changed := range map[string][]byte{
		"swapped":  bytes.Join([][]byte{lines[1], lines[0], lines[2]}, nil),
		"doubled":  bytes.Join([][]byte{lines[0], lines[0], lines[1]}, nil),
		"left out": bytes.Join([][]byte{lines[0], lines[2]}, nil),
	} {
		var broken *BrokenError
		if _, err := Read(changed, nil); !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A line that fits its sum but is written another way is not a line of ours.
func TestForeignForms(t *testing.T) {
	for _, body := range []string{
		`{"seq":1, "time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{},"tree":"` + nothing + `"`,
		`{"time":"2026-11-22T10:00:00Z","seq":1,"type":"note","by":"room","data":{},"tree":"` + nothing + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00+00:00","type":"note","by":"room","data":{},"tree":"` + nothing + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00.5Z","type":"note","by":"room","data":{},"tree":"` + nothing + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":[],"tree":"` + nothing + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":null,"tree":"` + nothing + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","by":"alice","data":{},"tree":"` + nothing + `"`,
		`{"seq":2,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{},"tree":"` + nothing + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{},"tree":"` + strings.Repeat("1", 64) + `"`,
	} {
		line := body + `,"sum":"` + hash([]byte(body)) + "\"}\n"
		if read, err := Read([]byte(line), nil); err == nil {
			t.Errorf("taken: %s as %v", line, read.Events)
		}
	}
	body := `{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{},"tree":"` + nothing + `"`
	if _, err := Read([]byte(body+`,"sum":"`+hash([]byte(body))+"\"}\n"), nil); err != nil {
		t.Errorf("the same line, well formed: %v", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir, _ := made(t, 1)
	log, err := Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, clock, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("second opening: %v", err)
	}
	log.Close()
	if again, err := Create(dir, clock, nil); err != nil {
		t.Errorf("after closing: %v", err)
	} else {
		again.Close()
	}
}

// A write that fails leaves the log as it was, and a later one goes through.
func TestFailedWrite(t *testing.T) {
	dir, before := made(t, 2)
	log, err := Create(dir, clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	works := failing(t, errs{{fault.Write, FileName}: unix.EIO})
	if _, err := log.Append("note", "room", said{"lost"}, nil, nil); !errors.Is(err, unix.EIO) {
		t.Fatal(err)
	}
	works()
	if _, err := log.Append("note", "room", said{"kept"}, nil, nil); err != nil {
		t.Fatal(err)
	}
	read, err := Read(contentsOf(t, dir), nil)
	if err != nil || read.Tail != nil || len(read.Events) != 3 || !bytes.HasPrefix(contentsOf(t, dir), before) {
		t.Errorf("%+v, error %v", read, err)
	}
}

// A log that was made to keep its reader busy is refused, or its end set aside,
// as fast as any other of its size: no byte is hashed once for each mark of a
// sum.
func TestLogThatIsAllMarks(t *testing.T) {
	_, text := made(t, 1)
	first := `{"seq":2,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{"text":"`
	mark := `,"sum":"` + strings.Repeat("0", 64) + `"}`
	line := first + strings.Repeat(mark, (MaxLine-len(first))/len(mark))
	if read, err := Read(append(slices.Clone(text), line...), nil); err != nil || len(read.Events) != 1 || string(read.Tail) != line {
		t.Errorf("%+v, %v", read, err)
	}
	// What no program has written is no torn line.
	for _, end := range []string{"", "\n"} {
		long := append(slices.Clone(text), line+mark+end...)
		var broken *BrokenError
		if _, err := Read(long, nil); !errors.As(err, &broken) || broken.Line != 2 || broken.Reason != "it is too long" {
			t.Errorf("%v", err)
		}
	}
}

// A log that no reader would take any more is not written, and what has a result
// is not begun shortly before that.
func TestLogOfTheLargestSize(t *testing.T) {
	log, err := Create(t.TempDir(), clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if log.public.size = maxLog - reserve; log.KeepRoom() != nil {
		t.Error(log.KeepRoom())
	}
	if log.public.size++; log.KeepRoom() == nil {
		t.Error("there is no room for a result")
	}
	if _, err := log.Append("note", "room", said{}, nil, nil); err != nil {
		t.Error(err)
	}
	log.public.size = maxLog - 100
	if _, err := log.Append("note", "room", said{}, nil, nil); err == nil || !strings.Contains(err.Error(), "more than the 67108864 bytes that it may have") {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(log.dir, FileName)); err != nil || info.Size() > maxLog {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}
