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
//	tree  the root hash of the Merkle tree over all lines before it, in
//	      lower-case hex; in the first line the SHA-256 of nothing
//	sum   SHA-256 of this line's bytes before the text `,"sum":`, likewise
//
// A line ends with one line feed (0x0a). A line has at most 1 MiB, and a log
// 64 MiB. The first line is the first event of anyone who keeps the log, who puts
// 32 random bytes into it.
//
// The tree is that of RFC 6962: its leaves are the lines, without their line
// feeds. Each line therefore vouches for all before it. A checkpoint, the size
// of the tree and its root hash, stands for a whole log; people sign it as
// note.go says. sum only finds a line that was cut short.
//
// # What is not public
//
// An event can have a private part. It stands in private/transcript.jsonl, in a
// line of its own, of these members:
//
//	seq   the event's number in the public log
//	salt  32 random bytes in lower-case hex
//	data  an object
//	sum   SHA-256 of this line's bytes before the text `,"sum":`, likewise
//
// The public line then has "private" as the last member of its data, a member
// that data never has otherwise: the SHA-256 of the 32 bytes of the salt and the
// bytes of the private data. Without the folder private the log still verifies,
// under the same checkpoints, and tells nothing of what was in it.
//
// # What a death leaves
//
// An event counts once its line is written and synced; its private line is
// written and synced before. A process that dies while writing leaves a last
// line that does not fit its own sum, or one private line, whole or torn, that
// no public line names: Create sets those bytes aside in a file of their own and
// records that as an event, after the first line. Any other line that does not
// fit is an error that names file and line, and then nothing is written.
//
// A log is kept on Linux alone (Log, and the files). Read, and all that checks
// what was read, is there on every system.
package transcript

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Names in the ceremony directory: of the log, of the folder of what is never
// published, and of the private lines in it.
const (
	FileName    = "transcript.jsonl"
	PrivateDir  = "private"
	PrivateName = PrivateDir + "/" + FileName
)

// MaxLine bounds a line, in bytes without the line feed.
const MaxLine = 1 << 20

// TypeSetAside is the type of the event that Create writes itself; its data is
// a SetAside.
const TypeSetAside = "log.set-aside"

// SetAside says which bytes at the end of a file were not a whole line of the
// log. Of private bytes it tells neither file nor hash, but which line of
// private/transcript.jsonl they would have been.
type SetAside struct {
	File   string `json:"file,omitempty"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
	Line   int    `json:"line,omitempty"` // of the private file; 0: public bytes
}

// Event is one line of the log.
type Event struct {
	Seq  int64           `json:"seq"`
	Time time.Time       `json:"time"`
	Type string          `json:"type"`
	By   string          `json:"by"`
	Data json.RawMessage `json:"data"` // without its member "private"
	Tree string          `json:"tree"`
	Sum  string          `json:"sum"`

	// Commitment is data's member "private", in hex; "": there is no private
	// part. Private is that part; nil where there is none, or where it was not
	// seen.
	Commitment string          `json:"-"`
	Private    json.RawMessage `json:"-"`
}

const timeLayout = "2006-01-02T15:04:05Z"

// BrokenError says that a line of the log, or of its private part, is not what
// was written.
type BrokenError struct {
	File   string // its name in the ceremony directory
	Line   int
	Reason string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("%s line %d: %s; nothing is added to it (hint: go back to an untouched copy of the directory)",
		e.File, e.Line, e.Reason)
}

// ErrFormat1 says that a log is of the format that was used before this one.
var ErrFormat1 = errors.New(FileName + " is of format 1, in which no root was ever made for production and which this version does not read (hint: hold the ceremony again, in a new directory)")

// encode gives the event's line without its line feed and sets its Sum.
func (e *Event) encode() ([]byte, error) {
	var line bytes.Buffer
	fmt.Fprintf(&line, `{"seq":%d,"time":"%s","type":%s,"by":%s,"data":`,
		e.Seq, e.Time.UTC().Format(timeLayout), quote(e.Type), quote(e.By))
	if err := json.Compact(&line, e.Data); err != nil {
		return nil, err
	}
	if e.Commitment != "" {
		line.Truncate(line.Len() - len(`}`))
		if line.Bytes()[line.Len()-1] != '{' {
			line.WriteByte(',')
		}
		fmt.Fprintf(&line, `"private":"%s"}`, e.Commitment)
	}
	fmt.Fprintf(&line, `,"tree":"%s"`, e.Tree)
	e.Sum = hash(line.Bytes())
	fmt.Fprintf(&line, `,"sum":"%s"}`, e.Sum)
	if line.Len() > MaxLine {
		return nil, fmt.Errorf("%d bytes are more than a line may have", line.Len())
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

// is64 reports whether s is a SHA-256, or 32 other bytes, in lower-case hex.
func is64(s string) bool {
	p, err := hex.DecodeString(s)
	return err == nil && len(p) == 32 && hex.EncodeToString(p) == s
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

// decode reads the next line of a log with that tree.
func decode(line []byte, t *tree) (Event, error) {
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
	e.Data, e.Commitment = splitCommitment(e.Data)
	if hasPrivate(e.Data) {
		return Event{}, errors.New(`its data has a member "private" that stands for no private part`)
	}
	if e.Seq != t.size+1 {
		return Event{}, fmt.Errorf("it has number %d where %d is next", e.Seq, t.size+1)
	}
	if e.Tree != t.root(t.size) {
		return Event{}, errors.New("it does not follow the lines before it")
	}
	// One event has one form: no other member, order or spelling.
	again := e
	if form, err := again.encode(); err != nil || !bytes.Equal(form, line) {
		return Event{}, errors.New("it is not in the form of this log")
	}
	return e, nil
}

// splitCommitment takes the last member of data off, where it is "private" with
// 64 digits of hex. A quote after a comma or brace of JSON begins a name, and
// none inside a string is without its backslash: so only a member ends like that.
func splitCommitment(data json.RawMessage) (json.RawMessage, string) {
	const before, after = `"private":"`, `"}`
	from := len(data) - len(before) - 2*sha256.Size - len(after)
	if from < len(`{`) || !bytes.HasPrefix(data[from:], []byte(before)) || !bytes.HasSuffix(data, []byte(after)) {
		return data, ""
	}
	commitment := string(data[from+len(before) : len(data)-len(after)])
	if !is64(commitment) {
		return data, ""
	}
	if data[from-1] == ',' {
		from--
	}
	return append(bytes.Clone(data[:from]), '}'), commitment
}

// hasPrivate reports whether data, an object, has a member "private" of its own,
// in any spelling that a reader of JSON would take for it.
func hasPrivate(data json.RawMessage) bool {
	var own struct {
		Private json.RawMessage `json:"private"`
	}
	return json.Unmarshal(data, &own) != nil || own.Private != nil
}

// Contents is what a log's two files hold.
type Contents struct {
	Events []Event
	// Tail is what stands behind the last whole line of the log, and PrivateTail
	// what stands behind the last private line that the log names; nil where
	// nothing does. They are what a death left, or what is being written now.
	Tail, PrivateTail []byte

	tree tree
}

// Checkpoint is the checkpoint of all events.
func (c *Contents) Checkpoint() Checkpoint { return c.tree.checkpoint(c.tree.size) }

// CheckpointAt is the checkpoint of the first size events. It panics where there
// are fewer.
func (c *Contents) CheckpointAt(size int64) Checkpoint { return c.tree.checkpoint(size) }

// Origin is the origin of the log's checkpoints; "" where there is no event.
func (c *Contents) Origin() string {
	if len(c.Events) == 0 {
		return ""
	}
	return Origin(c.Events[0])
}

// Read takes a log apart, and checks its private lines where private is not nil.
// A last line that is whole but for its line feed is among the events. Errors are
// ErrFormat1, or a *BrokenError that names a line that is not what was written.
func Read(public, private []byte) (*Contents, error) {
	if !begins(public) {
		return nil, &BrokenError{FileName, 1, "this is not a log of a ceremony"}
	}
	c := &Contents{}
	for number := 1; len(public) > 0; number++ {
		line, rest, _ := bytes.Cut(public, []byte{'\n'})
		if len(line) > MaxLine {
			return nil, &BrokenError{FileName, number, "it is too long"}
		}
		if len(rest) == 0 && !whole(line) && !holdsWhole(line) {
			c.Tail = public
			break
		}
		if number == 1 && isFormat1(line) {
			return nil, ErrFormat1
		}
		event, err := decode(line, &c.tree)
		if err != nil {
			return nil, &BrokenError{FileName, number, err.Error()}
		}
		c.Events = append(c.Events, event)
		c.tree.add(line)
		public = rest
	}
	if private != nil {
		if err := c.readPrivate(private); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// isFormat1 reports whether a first line has the hash of a line before it.
func isFormat1(line []byte) bool {
	var first struct {
		Prev string `json:"prev"`
	}
	return whole(line) && json.Unmarshal(line, &first) == nil && first.Prev != ""
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

// tree is the Merkle tree over the lines of a log, with the hashes that tlog
// stores.
type tree struct {
	size   int64
	hashes []tlog.Hash
}

// ReadHashes is tlog.HashReader's.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		hashes[i] = t.hashes[at]
	}
	return hashes, nil
}

func (t *tree) add(line []byte) {
	hashes, _ := tlog.StoredHashes(t.size, line, t) // fails as ReadHashes does: never
	t.size, t.hashes = t.size+1, append(t.hashes, hashes...)
}

// root is the root hash over the first size lines, in hex.
func (t *tree) root(size int64) string {
	root, _ := tlog.TreeHash(size, t) // likewise
	return hex.EncodeToString(root[:])
}

func (t *tree) checkpoint(size int64) Checkpoint { return Checkpoint{size, t.root(size)} }
