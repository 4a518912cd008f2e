//go:build linux

// Package disk changes files: those of ceremony directories, of media, and what a
// laptop remembers. Nothing else in the programs does, but for the virtual tokens,
// which are hardware to a ceremony.
//
// What it wrote is durable once its function has returned, the name and the folders
// that were made for it included; of a File, once Sync has. A file that it makes is
// there whole or not at all, also when the power fails, and nothing is replaced but
// by Replace. What a process that died has left half written has a name of its own
// (Unfinished), and RemoveUnfinished takes it away.
//
// An operation that a signal has broken off (EINTR) is done again, and a short write
// goes on. Other errors of the system are wrapped, with what to do where that is
// known. After a failed sync nobody knows what the disk holds of a file: it is not tried
// again, and what was to be written is written to a new one. A folder is synced again:
// a file system that cannot keep its names takes no more of them.
//
// A file system that knows no rename without replacing (EINVAL: some that programs
// provide) is looked at for the name instead, and one that cannot sync a folder
// (EINVAL) is taken as it is.
package disk

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/internal/fault"
	"rootceremony/keys/plainfile"
)

// Unfinished begins the name of a file that is not yet whole.
const Unfinished = ".unfinished-"

// do does one operation, again where a signal has broken it off.
func do(op *fault.Op, act func() error) error {
	for {
		err := fault.Between(op, act)
		if !errors.Is(err, unix.EINTR) {
			return withHint(err)
		}
	}
}

// withHint adds what to do to the errors of a disk.
func withHint(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w (hint: make room on the disk and take the step again; nothing recorded is lost)", err)
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (hint: the directory must be writable by you)", err)
	}
	return err
}

// WriteNew writes a file that did not exist. Where a file of that name holds exactly
// these bytes nothing happens, and where it holds others the error wraps fs.ErrExist.
// Folders on the way are made.
func WriteNew(name string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(name)
	if err := MakeFolder(dir); err != nil {
		return err
	}
	if there, err := plainfile.Read(name, int64(len(content))); err == nil && bytes.Equal(there, content) {
		return SyncFolder(dir)
	}
	temporary := filepath.Join(dir, Unfinished+rand.Text())
	err := writeSynced(temporary, content, mode)
	if err == nil {
		err = rename(temporary, name)
	}
	if err != nil {
		_ = remove(temporary)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already with another content, and is never replaced: %w", name, fs.ErrExist)
	}
	if err != nil {
		return err
	}
	return SyncFolder(dir)
}

// Replace writes a file, instead of the one that may be there: after a power failure
// it is one of the two.
func Replace(name string, content []byte, mode fs.FileMode) error {
	temporary := name + ".new" // of which one may be left from a power failure
	if err := remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSynced(temporary, content, mode); err != nil {
		return err
	}
	op := &fault.Op{Kind: fault.Replace, Path: name, From: temporary}
	if err := do(op, func() error { return os.Rename(temporary, name) }); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(name))
}

func writeSynced(name string, content []byte, mode fs.FileMode) error {
	f := &File{}
	err := do(&fault.Op{Kind: fault.Create, Path: name}, func() (err error) {
		f.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		return err
	})
	if err != nil {
		return err
	}
	if err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// rename gives a file a name that none has.
func rename(from, to string) error {
	return do(&fault.Op{Kind: fault.Rename, Path: to, From: from}, func() error {
		err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) {
			err = renamePlainly(from, to)
		}
		if err != nil {
			return &fs.PathError{Op: "write", Path: to, Err: err}
		}
		return nil
	})
}

// renamePlainly is for a file system that knows no rename without replacing.
func renamePlainly(from, to string) error {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fs.ErrExist)
	}
	return unix.Rename(from, to)
}

func remove(name string) error {
	return do(&fault.Op{Kind: fault.Remove, Path: name}, func() error { return os.Remove(name) })
}

// WriteWithin is WriteNew for a file of the directory dir, by its name there,
// with slashes. Folders on the way that are links lead elsewhere, and are
// refused.
func WriteWithin(dir, name string, content []byte, mode fs.FileMode) error {
	if err := PlainFolders(dir, name); err != nil {
		return err
	}
	return WriteNew(filepath.Join(dir, filepath.FromSlash(name)), content, mode)
}

// PlainFolders refuses a file of the directory dir, by its name there, with
// slashes, where what leads to it is not a plain folder, or leaves dir.
func PlainFolders(dir, name string) error {
	name = filepath.FromSlash(name)
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%s is not in the ceremony directory", name)
	}
	for folder := filepath.Dir(name); folder != "."; folder = filepath.Dir(folder) {
		info, err := os.Lstat(filepath.Join(dir, folder))
		if err == nil && !info.IsDir() {
			return fmt.Errorf("%s is not a folder, but a link or a file (hint: a ceremony directory holds plain folders only)", filepath.Join(dir, folder))
		}
	}
	return nil
}

// MakeFolder makes a folder and those above it. One that is there and empty is taken
// for one that a process, which died before it had synced the name, has made: nothing
// is put into a folder before its name is durable.
func MakeFolder(dir string) error {
	there, err := os.Open(dir)
	if err == nil {
		_, err = there.Readdirnames(1)
		_ = there.Close()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		err := SyncFolder(filepath.Dir(dir))
		if errors.Is(err, fs.ErrPermission) { // a confined process: it made the folder, and synced its name, before
			err = nil
		}
		return err
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := MakeFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	err = do(&fault.Op{Kind: fault.MakeFolder, Path: dir}, func() error { return os.Mkdir(dir, 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncFolder(filepath.Dir(dir))
}

// SyncFolder makes the names in a folder durable: those that were added to it
// and those that were removed.
func SyncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = do(&fault.Op{Kind: fault.SyncFolder, Path: dir}, folder.Sync)
	if errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return errors.Join(err, folder.Close())
}

// RemoveUnfinished removes what a process that died has left half written
// below dir, where no other process writes.
func RemoveUnfinished(dir string) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() && strings.HasPrefix(entry.Name(), Unfinished) {
			return remove(name)
		}
		return nil
	})
}
