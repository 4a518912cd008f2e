//go:build linux

package transcript

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/disk"
	"rootceremony/keys/plainfile"
)

// Log is an open log. One process has it at a time. It is not safe for use by
// several goroutines at once.
type Log struct {
	contents        Contents
	dir             string
	public, private half
	clock           func() time.Time
	pending         []SetAside
	failed          error // why no more is written
}

// half is one of the two files of a log.
type half struct {
	name string     // in the ceremony directory
	file *disk.File // nil: it is not there yet
	size int64      // of its whole lines
	open bool       // the last of them has no line feed yet
	tail []byte     // what stands behind them; nil once it was set aside
}

// halves are both files, in the order in which they are written and cut.
func (l *Log) halves() []*half { return []*half{&l.private, &l.public} }

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
// missing. Times come from clock. check is asked, where there is one, once the log
// was read and before anything is changed in it, such as a torn end that is set
// aside; it may not append, and its error is returned.
func Create(dir string, clock func() time.Time, check func(*Log) error) (*Log, error) {
	file, err := openOwn(filepath.Join(dir, FileName), os.O_CREATE)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, public: half{name: FileName, file: file}, private: half{name: PrivateName}, clock: clock}
	err = l.load()
	if err == nil && check != nil {
		err = check(l)
	}
	if err == nil {
		err = l.repair()
	}
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// openOwn opens a file of the log for writing, with more flags of os.OpenFile.
func openOwn(name string, flag int) (*disk.File, error) {
	file, err := disk.Open(name, os.O_RDWR|flag, maxLog)
	return file, noLink(name, err)
}

// noLink says of a file that it is a link to somewhere else.
func noLink(name string, err error) error {
	if errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("%s is a link to another file (hint: a ceremony directory holds plain files only)", name)
	}
	return err
}

// ReadFile returns the bytes of a file of the ceremony directory, or of its
// log: a plain file of at most 64 MiB.
func ReadFile(name string) ([]byte, error) {
	file, err := plainfile.Open(name, os.O_RDONLY|unix.O_NOFOLLOW, maxLog)
	if err != nil {
		return nil, noLink(name, err)
	}
	defer file.Close()
	return plainfile.Contents(file, maxLog)
}

// ReadFiles returns the bytes of the log of the ceremony in dir and of its private
// part, which another process may be writing, as they were at one moment. private
// is nil where there is no such file. The error is ErrNone where there is no log.
func ReadFiles(dir string) (public, private []byte, err error) {
	for {
		public, err = ReadFile(filepath.Join(dir, FileName))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, ErrNone
		}
		if err != nil {
			return nil, nil, err
		}
		private, err = ReadFile(filepath.Join(dir, filepath.FromSlash(PrivateName)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		again, err := ReadFile(filepath.Join(dir, FileName))
		if err != nil || bytes.Equal(again, public) {
			return public, private, err
		}
	}
}

// load reads both files, and changes none.
func (l *Log) load() error {
	if err := l.public.file.Lock(unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ErrInUse
		}
		return fmt.Errorf("%s cannot be locked: %w", FileName, err)
	}
	// What is read must stay: a process that was killed may not have synced it.
	if err := errors.Join(disk.SyncFolder(l.dir), l.public.file.Sync()); err != nil {
		return err
	}
	public, err := l.public.file.Contents(maxLog)
	if err != nil {
		return err
	}
	private, err := l.openPrivate(0)
	if err != nil {
		return err
	}
	contents, err := Read(public, private)
	if err != nil {
		return err
	}
	if private == nil {
		for _, e := range contents.Events {
			if e.Commitment != "" {
				return fmt.Errorf("%s is missing, and line %d of %s names what stands in it (hint: put the folder %s back from a copy of this directory)",
					PrivateName, e.Seq, FileName, PrivateDir)
			}
		}
	}
	l.contents = *contents
	l.public.size, l.public.tail = int64(len(public)-len(contents.Tail)), contents.Tail
	l.private.size, l.private.tail = int64(len(private)-len(contents.PrivateTail)), contents.PrivateTail
	l.public.open = l.public.size > 0 && public[l.public.size-1] != '\n'
	l.private.open = l.private.size > 0 && private[l.private.size-1] != '\n'
	return nil
}

// repair keeps room, gives the last whole line of each file its line feed, and sets
// aside what comes after it.
func (l *Log) repair() error {
	if err := l.KeepRoom(); err != nil {
		return err
	}
	for _, h := range l.halves() {
		if h.open {
			if err := l.write(h, []byte{'\n'}); err != nil {
				return err
			}
			h.open = false
		}
	}
	return l.setAside()
}

// openPrivate opens the private file, with more flags of os.OpenFile, and returns
// what is in it; nil, and no file, where there is none.
func (l *Log) openPrivate(flag int) ([]byte, error) {
	if err := disk.PlainFolders(l.dir, l.private.name); err != nil {
		return nil, err
	}
	file, err := openOwn(filepath.Join(l.dir, filepath.FromSlash(l.private.name)), flag)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.private.file = file
	if l.failed = errors.Join(disk.SyncFolder(filepath.Join(l.dir, PrivateDir)), file.Sync()); l.failed != nil {
		return nil, l.failed
	}
	return file.Contents(maxLog)
}

// setAside takes what is not a whole line, or a private line that no line names,
// out of the log: first copies of it are safe in files of their own, then the
// private file is cut, then the public one, then that is recorded. What an earlier
// process set aside without living to record it is recorded too.
func (l *Log) setAside() error {
	for _, h := range l.halves() {
		if len(h.tail) > 0 {
			name := filepath.Join(l.dir, filepath.Dir(h.name), setAsidePrefix+hash(h.tail))
			if err := disk.WriteNew(name, h.tail, 0o600); err != nil {
				return err
			}
		}
	}
	for _, h := range l.halves() {
		if len(h.tail) > 0 {
			if err := h.file.Cut(h.size); err != nil {
				return err
			}
			h.tail = nil
		}
	}
	var err error
	if l.pending, err = l.unrecorded(); err != nil || len(l.contents.Events) == 0 {
		return err
	}
	for _, aside := range l.pending {
		if _, err := l.Append(TypeSetAside, "room", aside, nil, nil); err != nil {
			return err
		}
	}
	l.pending = nil
	return nil
}

const setAsidePrefix = "transcript.set-aside."

// unrecorded is what was set aside and is not in the log. Public bytes are known
// by their file; of private ones the log has the number alone, so that as many of
// one length are missing in it as there are more files of that length.
func (l *Log) unrecorded() ([]SetAside, error) {
	files, private, line := map[string]bool{}, map[int]int{}, 1
	for _, e := range l.contents.Events {
		var known SetAside
		if e.Type == TypeSetAside && json.Unmarshal(e.Data, &known) == nil {
			if files[known.File] = true; known.Line > 0 {
				private[known.Bytes]++
			}
		}
		if e.Commitment != "" {
			line++
		}
	}
	var missing []SetAside
	err := l.eachSetAside(l.private.name, func(name string, content []byte) {
		if private[len(content)]--; private[len(content)] < 0 {
			missing = append(missing, SetAside{Bytes: len(content), Line: line})
		}
	})
	if err != nil {
		return nil, err
	}
	err = l.eachSetAside(l.public.name, func(name string, content []byte) {
		if !files[name] {
			missing = append(missing, SetAside{File: name, Bytes: len(content), SHA256: hash(content)})
		}
	})
	return missing, err
}

// eachSetAside calls do for what was set aside of a file, beside it.
func (l *Log) eachSetAside(of string, do func(name string, content []byte)) error {
	folder := filepath.Join(l.dir, filepath.Dir(of))
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), setAsidePrefix) {
			continue
		}
		content, err := ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		do(entry.Name(), content)
	}
	return nil
}

// Events are the events so far, oldest first. Callers do not change them.
func (l *Log) Events() []Event { return l.contents.Events }

// Origin is the origin of the log's checkpoints; "" before the first event.
func (l *Log) Origin() string { return l.contents.Origin() }

// Checkpoint is the checkpoint of the log as it stands.
func (l *Log) Checkpoint() Checkpoint { return l.contents.Checkpoint() }

// CheckpointAt is the checkpoint of the first size lines. It panics where there are
// fewer.
func (l *Log) CheckpointAt(size int64) Checkpoint { return l.contents.CheckpointAt(size) }

// Pending is what was set aside when the log had no line yet. Its caller records
// each, by "room" as TypeSetAside, once there is a first line; where it does not
// live to, the next Create does.
func (l *Log) Pending() []SetAside { return l.pending }

// Append writes an event and returns once it is on the disk. data becomes a JSON
// object, and so does private, which may be nil: its private part. check, which
// may be nil, sees the event before it is written and can refuse it. After an
// error the event is not part of the log; where the disk may hold a part of it,
// every later Append fails too.
func (l *Log) Append(kind, by string, data, private any, check func(Event) error) (Event, error) {
	event, line, privateLine, err := l.compose(kind, by, data, private)
	if err != nil {
		return Event{}, fmt.Errorf("event %s: %w", kind, err)
	}
	if check != nil {
		if err := check(event); err != nil {
			return Event{}, err
		}
	}
	before := l.private.size
	if privateLine != nil {
		if err := l.writePrivate(privateLine); err != nil {
			return Event{}, err
		}
	}
	if err := l.write(&l.public, append(line[:len(line):len(line)], '\n')); err != nil {
		// Where the line may be on the disk all the same, what it names must stay.
		if privateLine != nil && l.failed == nil {
			l.private.size = before
			if cut := l.private.file.Cut(before); cut != nil {
				l.failed = fmt.Errorf("the log could not be written (%w), nor %s cut back (%v) (hint: leave, and start again)", err, PrivateName, cut)
			}
		}
		return Event{}, err
	}
	l.contents.tree.add(line)
	l.contents.Events = append(l.contents.Events, event)
	return event, nil
}

// compose gives the next event, its line, and its private line where there is
// one.
func (l *Log) compose(kind, by string, data, private any) (event Event, line, privateLine []byte, err error) {
	now := l.Checkpoint()
	event = Event{Seq: now.Size + 1, Time: l.clock().UTC().Truncate(time.Second), Type: kind, By: by, Tree: now.Root}
	if event.Data, err = object(data); err != nil {
		return event, nil, nil, err
	}
	if hasPrivate(event.Data) {
		return event, nil, nil, errors.New(`its data has a member "private", which stands for the private part alone`)
	}
	if private != nil {
		salt := make([]byte, 32)
		_, _ = rand.Read(salt) // never fails
		part := privatePart{Seq: event.Seq, Salt: hex.EncodeToString(salt)}
		if part.Data, err = object(private); err != nil {
			return event, nil, nil, err
		}
		if privateLine, err = part.encode(); err != nil {
			return event, nil, nil, err
		}
		event.Commitment = part.commitment()
	}
	if line, err = event.encode(); err != nil {
		return event, nil, nil, err
	}
	// What cannot be read again is never written.
	if event, err = decode(line, &l.contents.tree); err != nil || private == nil {
		return event, line, nil, err
	}
	part, err := decodePrivate(privateLine, event.Seq)
	if err == nil {
		event.Private = part.Data
	}
	return event, line, privateLine, err
}

// object is a value as a JSON object, in which raw JSON keeps its bytes.
func object(value any) (json.RawMessage, error) {
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return encoded.Bytes(), err
}

// writePrivate writes a private line, and makes its file where there is none.
func (l *Log) writePrivate(line []byte) error {
	if l.failed != nil {
		return l.failed
	}
	if l.private.file == nil {
		if err := disk.MakeFolder(filepath.Join(l.dir, PrivateDir)); err != nil {
			return err
		}
		if _, err := l.openPrivate(os.O_CREATE | os.O_EXCL); err != nil {
			return err
		}
	}
	return l.write(&l.private, append(line[:len(line):len(line)], '\n'))
}

// Failed is why no more is written to the log by this process; nil: it is. What the disk
// holds of the last line is then for the next start to find out.
func (l *Log) Failed() error { return l.failed }

func (l *Log) write(h *half, p []byte) error {
	if l.failed != nil {
		return l.failed
	}
	if h.size+int64(len(p)) > maxLog {
		return fmt.Errorf("%s would have more than the %d bytes that it may have", h.name, maxLog)
	}
	if err := h.file.WriteAt(p, h.size); err != nil {
		if cut := h.file.Cut(h.size); cut != nil {
			l.failed = fmt.Errorf("the log could not be written (%w) nor cut back (%v) (hint: leave, and start again)", err, cut)
		}
		return err
	}
	if err := h.file.Sync(); err != nil {
		// After a failed sync nobody knows what the disk holds.
		l.failed = fmt.Errorf("the log could not be synced: %w (hint: leave, look at the disk, and start again)", err)
		return l.failed
	}
	h.size += int64(len(p))
	return nil
}

// KeepRoom asks the file system to keep room behind the end of the log, and of its
// private part once there is one, and fails where there is none: to be called
// before what must be recorded afterwards.
func (l *Log) KeepRoom() error {
	for _, h := range l.halves() {
		if h.file == nil {
			continue
		}
		if h.size+reserve > maxLog {
			return fmt.Errorf("%s has %d bytes, and with the %d to come it would have more than the %d that it may have (hint: go on in another directory, with a plan that names this one under earlier)", h.name, h.size, reserve, maxLog)
		}
		if err := h.file.KeepRoom(h.size, reserve); err != nil {
			return err
		}
	}
	return nil
}

// Close gives the log to the next process.
func (l *Log) Close() error {
	if l.private.file != nil {
		_ = l.private.file.Close() // of which every line is synced
	}
	return l.public.file.Close()
}
