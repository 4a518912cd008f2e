//go:build linux

package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/internal/fault"
	"rootceremony/keys/plainfile"
)

// File is a plain file that grows.
type File struct{ file *os.File }

// Open opens a plain file that has at most most bytes, with the flags of
// os.OpenFile, and with os.O_CREATE makes it where it is missing, for its owner
// alone; its name is durable once its folder was synced. A link is refused with
// unix.ELOOP.
func Open(name string, flag int, most int64) (*File, error) {
	f := &File{}
	open := func() (err error) {
		f.file, err = plainfile.Open(name, flag|unix.O_NOFOLLOW, most)
		return err
	}
	err := do(&fault.Op{Kind: fault.Open, Path: name}, open)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Lock takes the file for this process, and waits for another that has it; with
// unix.LOCK_NB as how the error is unix.EWOULDBLOCK instead. It ends with Close.
func (f *File) Lock(how int) error {
	for {
		err := unix.Flock(int(f.file.Fd()), unix.LOCK_EX|how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Contents returns the bytes of a file that was just opened: at most most.
func (f *File) Contents(most int64) ([]byte, error) { return plainfile.Contents(f.file, most) }

// WriteAt writes bytes, in as many pieces as the system takes them. After an error a
// part of them may be there.
func (f *File) WriteAt(p []byte, offset int64) error {
	for len(p) > 0 {
		op := &fault.Op{Kind: fault.Write, Path: f.file.Name(), Bytes: p, Offset: offset}
		err := do(op, func() error {
			_, err := f.file.WriteAt(op.Bytes, offset)
			return err
		})
		if err != nil {
			return err
		}
		p, offset = p[len(op.Bytes):], offset+int64(len(op.Bytes))
	}
	return nil
}

// Cut takes what stands behind the first size bytes off the file, and syncs it: what
// came back after a power failure would be taken for part of what follows.
func (f *File) Cut(size int64) error {
	op := &fault.Op{Kind: fault.Cut, Path: f.file.Name(), Offset: size}
	if err := do(op, func() error { return f.file.Truncate(size) }); err != nil {
		return err
	}
	return f.Sync()
}

// Sync makes what was written to the file durable.
func (f *File) Sync() error {
	return do(&fault.Op{Kind: fault.Sync, Path: f.file.Name()}, f.file.Sync)
}

// KeepRoom asks the file system to keep room for size bytes at offset, behind the
// end of the file, and fails where there is none. File systems that cannot keep room
// are taken as they are.
func (f *File) KeepRoom(offset, size int64) error {
	err := do(&fault.Op{Kind: fault.KeepRoom, Path: f.file.Name(), Offset: offset}, func() error {
		return os.NewSyscallError("fallocate", unix.Fallocate(int(f.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, offset, size))
	})
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &os.PathError{Op: "write", Path: f.file.Name(), Err: err}
	}
	return nil
}

// Close closes the file. What was not synced may be lost.
func (f *File) Close() error { return f.file.Close() }
