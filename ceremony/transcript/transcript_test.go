package transcript

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func clock() time.Time { return time.Date(2026, 11, 22, 10, 0, 0, 5, time.UTC) }

type said struct {
	Text string `json:"text"`
}

// made returns a directory with a log of n events, and the log's bytes.
func made(t *testing.T, n int) (string, []byte) {
	t.Helper()
	dir := t.TempDir()
	log, err := Create(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := log.Append("note", "room", said{fmt.Sprintf("number %d, <ünï> & \u2028", i)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, contents(t, dir)
}

func contents(t *testing.T, dir string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAppendedEventsAreReadAgain(t *testing.T) {
	dir, text := made(t, 3)
	events, head, tail, err := Read(text)
	if err != nil || tail != nil || len(events) != 3 {
		t.Fatalf("events %d, tail %q, error %v", len(events), tail, err)
	}
	log, err := Create(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if log.Head() != head || head.Seq != 3 {
		t.Errorf("head %v, read %v", log.Head(), head)
	}
	if got := events[1].Time.Format(time.RFC3339Nano); got != "2026-11-22T10:00:00Z" {
		t.Errorf("time %s", got)
	}
	if !bytes.Equal(contents(t, dir), text) {
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
		log, err := Create(dir, clock)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		checkCut(t, log, text[:cut])
		log.Close()
		again, err := Create(dir, clock)
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
		_, _, tail, err := Read(flipped)
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
		case !bytes.Equal(tail, flipped[lastLine:]):
			t.Fatalf("bit %d of the last line: the tail is %q", bit, tail)
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
		log, err := Create(dir, clock)
		if at == 10 {
			var broken *BrokenError
			if !errors.As(err, &broken) || !bytes.Equal(contents(t, dir), flipped) {
				t.Errorf("error %v, log %q", err, contents(t, dir))
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
		if _, _, _, err := Read(changed); !errors.As(err, &broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A line that fits its sum but is written another way is not a line of ours.
func TestForeignForms(t *testing.T) {
	for _, body := range []string{
		`{"seq":1, "time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{},"prev":"` + EmptyHead.Hash + `"`,
		`{"time":"2026-11-22T10:00:00Z","seq":1,"type":"note","by":"room","data":{},"prev":"` + EmptyHead.Hash + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00+00:00","type":"note","by":"room","data":{},"prev":"` + EmptyHead.Hash + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00.5Z","type":"note","by":"room","data":{},"prev":"` + EmptyHead.Hash + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":[],"prev":"` + EmptyHead.Hash + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":null,"prev":"` + EmptyHead.Hash + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","by":"alice","data":{},"prev":"` + EmptyHead.Hash + `"`,
		`{"seq":2,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{},"prev":"` + EmptyHead.Hash + `"`,
		`{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{},"prev":"` + strings.Repeat("1", 64) + `"`,
	} {
		line := body + `,"sum":"` + hash([]byte(body)) + "\"}\n"
		if events, _, _, err := Read([]byte(line)); err == nil {
			t.Errorf("taken: %s as %v", line, events)
		}
	}
	body := `{"seq":1,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{},"prev":"` + EmptyHead.Hash + `"`
	if _, _, _, err := Read([]byte(body + `,"sum":"` + hash([]byte(body)) + "\"}\n")); err != nil {
		t.Errorf("the same line, well formed: %v", err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir, _ := made(t, 1)
	log, err := Create(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, clock); !errors.Is(err, ErrInUse) {
		t.Errorf("second opening: %v", err)
	}
	log.Close()
	if again, err := Create(dir, clock); err != nil {
		t.Errorf("after closing: %v", err)
	} else {
		again.Close()
	}
}

// A write that fails leaves the log as it was, and a later one goes through.
func TestFailedWrite(t *testing.T) {
	dir, before := made(t, 2)
	log, err := Create(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	good := log.file
	if log.file, err = os.Open(good.Name()); err != nil { // read only
		t.Fatal(err)
	}
	if _, err := log.Append("note", "room", said{"lost"}, nil); err == nil {
		t.Fatal("writing to a file that is open for reading worked")
	}
	log.file.Close()
	log.file = good
	log.failed = nil
	if _, err := log.Append("note", "room", said{"kept"}, nil); err != nil {
		t.Fatal(err)
	}
	events, _, tail, err := Read(contents(t, dir))
	if err != nil || tail != nil || len(events) != 3 || !bytes.HasPrefix(contents(t, dir), before) {
		t.Errorf("%d events, tail %q, error %v", len(events), tail, err)
	}
}

func TestWriteNewNeverReplaces(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a", "b", "file")
	if err := WriteNew(name, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteNew(name, []byte("one"), 0o600); err != nil {
		t.Errorf("the same bytes again: %v", err)
	}
	if err := WriteNew(name, []byte("two"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("other bytes: %v", err)
	}
	if text, _ := os.ReadFile(name); string(text) != "one" {
		t.Errorf("the file now holds %q", text)
	}
	if left, _ := os.ReadDir(filepath.Dir(name)); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

func TestRemoveUnfinished(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{temporaryPrefix + "x", "sub/" + temporaryPrefix + "y", "kept"} {
		if err := MakeFolder(filepath.Dir(filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveUnfinished(dir); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	hidden, _ := filepath.Glob(filepath.Join(dir, "*/.*"))
	if len(left) != 2 || len(hidden) != 0 {
		t.Errorf("left %v %v", left, hidden)
	}
}

func FuzzRead(f *testing.F) {
	var log bytes.Buffer
	head := EmptyHead
	for i := range 2 {
		e := Event{Seq: int64(i + 1), Time: clock(), Type: "note", By: "room", Data: []byte(`{"a":1}`), Prev: head.Hash}
		line, _ := e.encode()
		head = Head{e.Seq, hash(line)}
		log.Write(line)
		log.WriteByte('\n')
	}
	f.Add(log.Bytes())
	f.Add(log.Bytes()[:log.Len()-9])
	f.Fuzz(func(t *testing.T, text []byte) {
		events, head, tail, err := Read(text)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range events {
			line, err := e.encode()
			if err != nil {
				t.Fatal(err)
			}
			again = append(append(again, line...), '\n')
		}
		again = append(again, tail...)
		if !bytes.Equal(again, text) && !bytes.Equal(again, append(text, '\n')) {
			t.Errorf("read %q, wrote %q", text, again)
		}
		if head.Seq != int64(len(events)) {
			t.Errorf("head %v after %d events", head, len(events))
		}
	})
}

// A log that was made to keep its reader busy is refused, or its end set aside,
// as fast as any other of its size: no byte is hashed once for each mark of a
// sum.
func TestLogThatIsAllMarks(t *testing.T) {
	_, text := made(t, 1)
	first := `{"seq":2,"time":"2026-11-22T10:00:00Z","type":"note","by":"room","data":{"text":"`
	mark := `,"sum":"` + strings.Repeat("0", 64) + `"}`
	line := first + strings.Repeat(mark, (MaxLine-len(first))/len(mark))
	if events, _, tail, err := Read(append(slices.Clone(text), line...)); err != nil || len(events) != 1 || string(tail) != line {
		t.Errorf("%d events, %d bytes set aside, %v", len(events), len(tail), err)
	}
	// What no program has written is no torn line.
	for _, end := range []string{"", "\n"} {
		long := append(slices.Clone(text), line+mark+end...)
		var broken *BrokenError
		if _, _, _, err := Read(long); !errors.As(err, &broken) || broken.Line != 2 || broken.Reason != "it is too long" {
			t.Errorf("%v", err)
		}
	}
}

// A log that no reader would take any more is not written, and what has a result
// is not begun shortly before that.
func TestLogOfTheLargestSize(t *testing.T) {
	log, err := Create(t.TempDir(), clock)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if log.size = maxLog - reserve; log.KeepRoom() != nil {
		t.Error(log.KeepRoom())
	}
	if log.size++; log.KeepRoom() == nil {
		t.Error("there is no room for a result")
	}
	if _, err := log.Append("note", "room", said{}, nil); err != nil {
		t.Error(err)
	}
	log.size = maxLog - 100
	if _, err := log.Append("note", "room", said{}, nil); err == nil || !strings.Contains(err.Error(), "more than the 67108864 bytes that it may have") {
		t.Error(err)
	}
	if info, err := log.file.Stat(); err != nil || info.Size() > maxLog {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}
