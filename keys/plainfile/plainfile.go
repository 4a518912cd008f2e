// Package plainfile reads files that somebody else may have laid: a log that
// came by mail, a plan on a stick, what another program has left in a folder.
// It never waits, and never reads more than its caller allows.
//
// A file is looked at before it is opened: opening a pipe waits for anyone who
// writes into it, and opening a device may do something. It is looked at again
// once it is open, as another one may have come in its place; it is opened so
// that even then nothing waits. What is not a plain file, or is larger than the
// caller allows, is refused unread. Links are followed.
package plainfile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Read returns the bytes of a plain file that has at most most of them. Its
// errors are a *fs.PathError, but for those of other packages' readers.
func Read(name string, most int64) ([]byte, error) {
	file, err := open(name, os.O_RDONLY, most)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return Contents(file, most)
}

// Open opens a plain file that has at most most bytes, with the flags of
// os.OpenFile. A file that it makes, with os.O_CREATE, is its owner's alone.
func Open(name string, flag int, most int64) (*os.File, error) {
	file, err := open(name, flag, most)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = check(name, info, most)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// open is Open without the look at what is open.
func open(name string, flag int, most int64) (*os.File, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil:
		err = check(name, info, most)
	case flag&os.O_CREATE != 0 && os.IsNotExist(err):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return os.OpenFile(name, flag|syscall.O_NONBLOCK, 0o600)
}

// Contents returns the bytes of a file that is open, from where it stands. The
// file must be a plain one that has at most most bytes, and must have been
// opened with syscall.O_NONBLOCK where Open did not.
func Contents(file *os.File, most int64) ([]byte, error) {
	info, err := file.Stat()
	if err == nil {
		err = check(file.Name(), info, most)
	}
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size()+1)
	n, err := io.ReadAtLeast(file, data, int(max(1, info.Size())))
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil // it is shorter by now
	}
	if err != nil || n < len(data) {
		return data[:n], err
	}
	// It has grown, or does not know its size.
	more, err := io.ReadAll(io.LimitReader(file, most+1-int64(n)))
	if data = append(data, more...); err == nil && int64(len(data)) > most {
		return nil, tooLarge(file.Name(), most)
	}
	return data, err
}

func check(name string, info fs.FileInfo, most int64) error {
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it is not a plain file, but %s", kind(info.Mode()))}
	}
	if info.Size() > most {
		return tooLarge(name, most)
	}
	return nil
}

func tooLarge(name string, most int64) error {
	return &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it has more than %d bytes", most)}
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}
