package transcript

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rootceremony/keys/plainfile"
)

// Log is an open log. One process has it at a time. It is not safe for use by
// several goroutines at once.
type Log struct {
	dir    string
	file   *os.File
	clock  func() time.Time
	head   Head
	size   int64
	events []Event
	failed error // why no more is written
}

// reserve is how much room on the disk is kept for the log, in bytes, so that
// the result of an action can be recorded when its intention could.
const reserve = 256 << 10

// maxLog is how large the log may become, in bytes: the largest file of a
// ceremony directory that ReadFile reads.
const maxLog = 64 << 20

// ErrInUse says that another process has the log open.
var ErrInUse = errors.New("another rootceremony works in this directory (hint: finish or leave that one first)")

// ErrNone says that a directory has no log.
var ErrNone = errors.New("no ceremony was begun in this directory")

// Create opens the log of the ceremony in dir, and makes it where it is
// missing. Times come from clock.
func Create(dir string, clock func() time.Time) (*Log, error) {
	file, err := openOwn(filepath.Join(dir, FileName), os.O_RDWR|os.O_CREATE, maxLog)
	if err != nil {
		return nil, writeError(err)
	}
	l := &Log{dir: dir, file: file, clock: clock}
	if err := l.load(); err != nil {
		_ = file.Close()
		return nil, err
	}
	return l, nil
}

// openOwn opens a plain file of the ceremony directory, with the flags of
// os.OpenFile: no link to somewhere else.
func openOwn(name string, flag int, most int64) (*os.File, error) {
	file, err := plainfile.Open(name, flag|unix.O_NOFOLLOW, most)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a link to another file (hint: a ceremony directory holds plain files only)", name)
	}
	return file, err
}

// ReadFile returns the bytes of a file of the ceremony directory, or of its
// log: a plain file of at most 64 MiB.
func ReadFile(name string) ([]byte, error) {
	file, err := openOwn(name, os.O_RDONLY, maxLog)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return plainfile.Contents(file, maxLog)
}

func (l *Log) load() error {
	if err := unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ErrInUse
		}
		return fmt.Errorf("%s cannot be locked: %w", FileName, err)
	}
	if err := SyncFolder(l.dir); err != nil {
		return err
	}
	text, err := plainfile.Contents(l.file, maxLog)
	if err != nil {
		return err
	}
	events, head, tail, err := Read(text)
	if err != nil {
		return err
	}
	l.events, l.head, l.size = events, head, int64(len(text)-len(tail))
	if err := l.KeepRoom(); err != nil {
		return err
	}
	if l.size > 0 && text[l.size-1] != '\n' {
		if err := l.write([]byte{'\n'}); err != nil {
			return err
		}
	}
	return l.setAside(tail)
}

// setAside takes an incomplete last line out of the log: first a copy of it is
// safe in a file of its own, then the log is cut, then that is recorded. What
// an earlier process set aside without living to record it is recorded too.
func (l *Log) setAside(tail []byte) error {
	if len(tail) > 0 {
		name := setAsidePrefix + hash(tail)
		if err := WriteNew(filepath.Join(l.dir, name), tail, 0o600); err != nil {
			return err
		}
		if err := l.file.Truncate(l.size); err != nil {
			return writeError(err)
		}
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), setAsidePrefix) {
			continue
		}
		if err := l.recordSetAside(entry.Name()); err != nil {
			return err
		}
	}
	return nil
}

const setAsidePrefix = "transcript.set-aside."

func (l *Log) recordSetAside(name string) error {
	for _, e := range l.events {
		var known SetAside
		if e.Type == TypeSetAside && json.Unmarshal(e.Data, &known) == nil && known.File == name {
			return nil
		}
	}
	content, err := ReadFile(filepath.Join(l.dir, name))
	if err != nil {
		return err
	}
	_, err = l.Append(TypeSetAside, "room", SetAside{name, len(content), hash(content)}, nil)
	return err
}

// Events are the events so far, oldest first. Callers do not change them.
func (l *Log) Events() []Event { return l.events }

// Head is the head of the log as it stands.
func (l *Log) Head() Head { return l.head }

// Append writes an event and returns once it is on the disk. data becomes a
// JSON object. check, which may be nil, sees the event before it is written
// and can refuse it. After an error the event is not part of the log; where
// the disk may hold a part of it, every later Append fails too.
func (l *Log) Append(kind, by string, data any, check func(Event) error) (Event, error) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // raw JSON in data keeps its bytes
	if err := encoder.Encode(data); err != nil {
		return Event{}, fmt.Errorf("event %s: %w", kind, err)
	}
	event := Event{Seq: l.head.Seq + 1, Time: l.clock().UTC().Truncate(time.Second), Type: kind, By: by,
		Data: encoded.Bytes(), Prev: l.head.Hash}
	line, err := event.encode()
	if err != nil {
		return Event{}, err
	}
	// What cannot be read again is never written.
	if event, err = decode(line, l.head); err != nil {
		return Event{}, fmt.Errorf("event %s: %w", kind, err)
	}
	if check != nil {
		if err := check(event); err != nil {
			return Event{}, err
		}
	}
	if err := l.write(append(line[:len(line):len(line)], '\n')); err != nil {
		return Event{}, err
	}
	l.head = Head{event.Seq, hash(line)}
	l.events = append(l.events, event)
	return event, nil
}

func (l *Log) write(p []byte) error {
	if l.failed != nil {
		return l.failed
	}
	if l.size+int64(len(p)) > maxLog {
		return fmt.Errorf("%s would have more than the %d bytes that it may have", FileName, maxLog)
	}
	_, err := l.file.WriteAt(p, l.size)
	if err != nil {
		if cut := l.file.Truncate(l.size); cut != nil {
			l.failed = fmt.Errorf("the log could not be written (%w) nor cut back (%v) (hint: leave, and start again)", err, cut)
		}
		return writeError(err)
	}
	if err := l.file.Sync(); err != nil {
		// After a failed sync nobody knows what the disk holds.
		l.failed = fmt.Errorf("the log could not be synced: %w (hint: leave, look at the disk, and start again)", err)
		return l.failed
	}
	l.size += int64(len(p))
	return nil
}

// KeepRoom asks the file system to keep room behind the log's end, and fails
// where there is none: to be called before what must be recorded afterwards.
// File systems that cannot keep room are taken as they are.
func (l *Log) KeepRoom() error {
	if l.size+reserve > maxLog {
		return fmt.Errorf("%s has %d bytes, and with the %d to come it would have more than the %d that it may have (hint: go on in another directory, with a plan that names this one under earlier)", FileName, l.size, reserve, maxLog)
	}
	err := unix.Fallocate(int(l.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, l.size, reserve)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return writeError(&fs.PathError{Op: "write", Path: l.file.Name(), Err: err})
	}
	return nil
}

// Close gives the log to the next process.
func (l *Log) Close() error { return l.file.Close() }

// writeError adds what to do to the errors of a disk.
func writeError(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w (hint: make room on the disk and take the step again; nothing recorded is lost)", err)
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (hint: the directory must be writable by you)", err)
	}
	return err
}
