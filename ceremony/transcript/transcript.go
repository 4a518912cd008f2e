// Package transcript keeps the one log of a ceremony, and the files beside it.
//
// The log is the file transcript.jsonl: one event a line, each line a JSON
// object with these members in this order and no white space between them:
//
//	seq   1, 2, 3, ...
//	time  when it was written, UTC, whole seconds: "2026-11-22T10:00:00Z"
//	type  what happened: "plan.agreed"
//	by    who did it: a holder's id, or "room"
//	data  an object; its members depend on the type
//	prev  SHA-256 of the line before, without its line feed, in lower-case
//	      hex; 64 zeros in the first line
//	sum   SHA-256 of this line's bytes before the text `,"sum":`, likewise
//
// A line has at most 1 MiB, and a log 64 MiB.
// A line ends with one line feed (0x0a). Each line therefore vouches for
// itself by sum and for all before it by prev; the hash of the last line, the
// head, stands for the whole log.
//
// An event counts once its line is written and synced. A process that dies
// while writing leaves a last line that does not fit its own sum: Create sets
// those bytes aside in a file of their own, named after their hash, and
// records that as an event. Any other line that does not fit is an error that
// names the line, and then nothing is written.
package transcript

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// FileName is the log's name in the ceremony directory.
const FileName = "transcript.jsonl"

// MaxLine bounds a line, in bytes without the line feed.
const MaxLine = 1 << 20

// TypeSetAside is the type of the event that Create writes itself; its data is
// a SetAside.
const TypeSetAside = "log.set-aside"

// SetAside tells which bytes at the end of the log were not a whole line.
type SetAside struct {
	File   string `json:"file"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Event is one line of the log.
type Event struct {
	Seq  int64           `json:"seq"`
	Time time.Time       `json:"time"`
	Type string          `json:"type"`
	By   string          `json:"by"`
	Data json.RawMessage `json:"data"`
	Prev string          `json:"prev"`
	Sum  string          `json:"sum"`
}

// Head stands for a whole log: its length and the hash of its last line.
type Head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

// EmptyHead is the head of a log without events.
var EmptyHead = Head{Hash: strings.Repeat("0", 2*sha256.Size)}

const timeLayout = "2006-01-02T15:04:05Z"

// BrokenError says that a line of the log is not what was written.
type BrokenError struct {
	Line   int
	Reason string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("%s line %d: %s; nothing is added to it (hint: go back to an untouched copy of the directory)",
		FileName, e.Line, e.Reason)
}

// encode gives the event's line without its line feed and sets its Sum.
func (e *Event) encode() ([]byte, error) {
	var line bytes.Buffer
	fmt.Fprintf(&line, `{"seq":%d,"time":"%s","type":%s,"by":%s,"data":`,
		e.Seq, e.Time.UTC().Format(timeLayout), quote(e.Type), quote(e.By))
	if err := json.Compact(&line, e.Data); err != nil {
		return nil, fmt.Errorf("event %s: %w", e.Type, err)
	}
	fmt.Fprintf(&line, `,"prev":"%s"`, e.Prev)
	e.Sum = hash(line.Bytes())
	fmt.Fprintf(&line, `,"sum":"%s"}`, e.Sum)
	if line.Len() > MaxLine {
		return nil, fmt.Errorf("event %s: %d bytes are more than a line may have", e.Type, line.Len())
	}
	return line.Bytes(), nil
}

func quote(s string) []byte {
	q, _ := json.Marshal(s) // a string always has a JSON form
	return q
}

func hash(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}

// sumLength is the length of `,"sum":"…"}` at the end of a line.
const sumLength = len(`,"sum":""}`) + 2*sha256.Size

// whole reports whether a line fits its own sum.
func whole(line []byte) bool {
	if len(line) < sumLength {
		return false
	}
	body, end := line[:len(line)-sumLength], line[len(line)-sumLength:]
	return string(end) == `,"sum":"`+hash(body)+`"}`
}

// decode reads a line that comes after head.
func decode(line []byte, head Head) (Event, error) {
	if !whole(line) {
		return Event{}, errors.New("it does not fit its own sum")
	}
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, err
	}
	if len(e.Data) == 0 || e.Data[0] != '{' {
		return Event{}, errors.New("its data is not an object")
	}
	if e.Seq != head.Seq+1 {
		return Event{}, fmt.Errorf("it has number %d where %d is next", e.Seq, head.Seq+1)
	}
	if e.Prev != head.Hash {
		return Event{}, errors.New("it does not follow the line before it")
	}
	// One event has one form: no other member, order or spelling.
	again := e
	if form, err := again.encode(); err != nil || !bytes.Equal(form, line) {
		return Event{}, errors.New("it is not in the form of this log")
	}
	return e, nil
}

// Read takes a log apart. tail holds what stands after the last whole line,
// nil if nothing does; a last line that is whole but for its line feed is
// among the events. A *BrokenError names a line that is not what was written.
func Read(log []byte) (events []Event, head Head, tail []byte, err error) {
	head = EmptyHead
	if !begins(log) {
		return nil, head, nil, &BrokenError{1, "this is not a log of a ceremony"}
	}
	for number := 1; len(log) > 0; number++ {
		line, rest, _ := bytes.Cut(log, []byte{'\n'})
		if len(line) > MaxLine {
			return nil, head, nil, &BrokenError{number, "it is too long"}
		}
		if len(rest) == 0 && !whole(line) && !holdsWhole(line) {
			return events, head, log, nil
		}
		event, err := decode(line, head)
		if err != nil {
			return nil, head, nil, &BrokenError{number, err.Error()}
		}
		events = append(events, event)
		head = Head{event.Seq, hash(line)}
		log = rest
	}
	return events, head, nil, nil
}

// begins reports whether a file begins as a log does, as far as it goes: so that
// nobody's one-line file is taken for the torn line of a log.
func begins(log []byte) bool {
	first := []byte(`{"seq":1,"time":"`)
	n := min(len(first), len(log))
	return bytes.Equal(log[:n], first[:n])
}

// holdsWhole reports whether a whole line stands at the beginning of a longer
// one. No death while writing does that: the line feed between two events was
// changed.
func holdsWhole(line []byte) bool {
	mark := []byte(`,"sum":"`)
	sum, hashed := sha256.New(), 0 // of what stands before each mark: no byte is hashed twice
	for at := 0; ; {
		i := bytes.Index(line[at:], mark)
		if i < 0 {
			return false
		}
		at += i
		sum.Write(line[hashed:at])
		hashed = at
		if end := at + sumLength; end < len(line) && string(line[at:end]) == fmt.Sprintf(`,"sum":"%x"}`, sum.Sum(nil)) {
			return true
		}
		at += len(mark)
	}
}
