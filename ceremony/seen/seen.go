// Package seen remembers on a laptop how far the logs have come that were written on
// it, so that an older copy of a ceremony directory is not taken for the newest one.
//
// The file has one JSON object a line (Head), each ended by a line feed. Lines are
// added after a line of a log is on the disk, without a sync of their own: what a
// power failure takes of them makes the memory older, and never wrong. So a line that
// cannot be read says nothing. Of each log the newest line counts; once the file has
// more than 1 MiB it is replaced by one with those alone, of the newest 2,000 logs.
// One process at a time has its folder; others wait. A link is refused.
package seen

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/keys/plainfile"
)

// FileName is the name of the file, beside the one that remembers what was signed.
const FileName = "logs.jsonl"

// Head is how far a log has come.
type Head struct {
	Origin string    `json:"origin"` // of the log's checkpoints
	Size   int64     `json:"size"`   // lines
	Root   string    `json:"root"`   // hash over them, in hex
	Time   time.Time `json:"time"`   // UTC, seconds
}

const (
	maxFile = 16 << 20 // that is read
	replace = 1 << 20  // from which on the file is replaced
	maxLogs = 2000
)

// Lines is how many lines the file has; 0 where there is none.
func Lines(file string) (int, error) {
	_, lines, err := read(file)
	return lines, err
}

// read returns the newest line of each log, in the order of the file, and how many
// lines there are.
func read(file string) (heads []Head, lines int, err error) {
	memory, err := plainfile.Open(file, os.O_RDONLY|unix.O_NOFOLLOW, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("what this laptop remembers of logs cannot be read: %w", err)
	}
	defer memory.Close()
	text, err := plainfile.Contents(memory, maxFile)
	if err != nil {
		return nil, 0, fmt.Errorf("what this laptop remembers of logs cannot be read: %w", err)
	}
	place := map[string]int{} // of a log's newest line in all
	var all []Head
	for line := range bytes.Lines(text) {
		var h Head
		if line[len(line)-1] == '\n' && json.Unmarshal(line, &h) == nil && h.Origin != "" && h.Size > 0 {
			place[h.Origin], all = len(all), append(all, h)
		}
		lines++
	}
	for i, h := range all {
		if place[h.Origin] == i {
			heads = append(heads, h)
		}
	}
	return heads, lines, nil
}

// Newest tells why a log isn't the newest that was written on this laptop; nil where
// nothing is known against it. at gives the root hash of its first lines, of which it
// has size. known is how many of them are remembered.
func Newest(file, origin string, size int64, at func(size int64) string) (known int64, err error) {
	heads, _, err := read(file)
	if err != nil {
		return 0, err
	}
	i := slices.IndexFunc(heads, func(h Head) bool { return h.Origin == origin })
	if i < 0 {
		return 0, nil
	}
	was := heads[i]
	switch hint := fmt.Sprintf("(hint: go on with the newest copy of the directory, on this laptop or on a medium; where that is lost, hold a new ceremony, with a plan that names this one under earlier; %s remembers it)", file); {
	case size < was.Size:
		return 0, fmt.Errorf("the log has %d lines, and on %s this laptop wrote line %d of it: this is an older copy, or lines were taken out at its end %s", size, agreed.Stamp(was.Time), was.Size, hint)
	case at(was.Size) != was.Root:
		return 0, fmt.Errorf("the first %d lines of the log are not those that this laptop wrote until %s: their root hash is %s, and was %s %s", was.Size, agreed.Stamp(was.Time), at(was.Size), was.Root, hint)
	}
	return was.Size, nil
}

// Remember adds how far a log has come to the file, which is made where it is missing.
func Remember(file string, head Head) error {
	err := remember(file, head)
	if err != nil {
		err = fmt.Errorf("how far the log has come cannot be remembered: %w", err)
	}
	return err
}

func remember(file string, head Head) error {
	folder := filepath.Dir(file)
	if err := disk.MakeFolder(folder); err != nil {
		return err
	}
	lock, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	line, err := json.Marshal(head)
	if err != nil {
		return err
	}
	memory, err := disk.Open(file, os.O_RDWR|os.O_CREATE, maxFile)
	if err != nil {
		return err
	}
	defer memory.Close()
	there, err := memory.Contents(maxFile)
	if err != nil {
		return err
	}
	if len(there) > replace {
		return replaced(file, head)
	}
	if len(there) > 0 && !bytes.HasSuffix(there, []byte{'\n'}) { // it was cut off
		line = append([]byte{'\n'}, line...)
	}
	return memory.WriteAt(append(line, '\n'), int64(len(there)))
}

// replaced writes the file with the newest line of each log alone.
func replaced(file string, head Head) error {
	heads, _, err := read(file)
	if err != nil {
		return err
	}
	heads = append(slices.DeleteFunc(heads, func(h Head) bool { return h.Origin == head.Origin }), head)
	var text []byte
	for _, h := range heads[max(0, len(heads)-maxLogs):] {
		line, err := json.Marshal(h)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	return disk.Replace(file, text, 0o600)
}
