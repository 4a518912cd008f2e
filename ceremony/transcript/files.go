//go:build linux

package transcript

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// temporaryPrefix begins the name of a file that is not yet whole.
const temporaryPrefix = ".unfinished-"

// WriteNew writes a file that did not exist, so that it is there whole or not
// at all, also when the power fails. It never replaces anything: where a file
// of that name holds exactly these bytes nothing happens, and where it holds
// others the error wraps fs.ErrExist. Folders on the way are made.
func WriteNew(name string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(name)
	if err := MakeFolder(dir); err != nil {
		return err
	}
	temporary := filepath.Join(dir, temporaryPrefix+rand.Text())
	if err := writeSynced(temporary, content, mode); err != nil {
		_ = os.Remove(temporary)
		return writeError(err)
	}
	err := unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, name, unix.RENAME_NOREPLACE)
	if err != nil {
		_ = os.Remove(temporary)
		there, readErr := ReadFile(name)
		if !errors.Is(err, unix.EEXIST) {
			return &fs.PathError{Op: "write", Path: name, Err: err}
		}
		if readErr != nil || !bytes.Equal(there, content) {
			return fmt.Errorf("%s is there already with another content, and is never replaced: %w", name, fs.ErrExist)
		}
	}
	return SyncFolder(dir)
}

func writeSynced(name string, content []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// WriteWithin is WriteNew for a file of the directory dir, by its name there,
// with slashes. Folders on the way that are links lead elsewhere, and are
// refused.
func WriteWithin(dir, name string, content []byte, mode fs.FileMode) error {
	if err := plainFolders(dir, name); err != nil {
		return err
	}
	return WriteNew(filepath.Join(dir, filepath.FromSlash(name)), content, mode)
}

// plainFolders refuses a file of the directory dir, by its name there, with
// slashes, where what leads to it is not a plain folder, or leaves dir.
func plainFolders(dir, name string) error {
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

// MakeFolder makes a folder and those above it, and syncs what it made.
func MakeFolder(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := MakeFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if info, also := os.Stat(dir); also != nil || !info.IsDir() { // else another process was faster
			return writeError(err)
		}
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
	return errors.Join(folder.Sync(), folder.Close())
}

// RemoveUnfinished removes what a process that died has left half written
// below dir. Only the process that has the log open calls it.
func RemoveUnfinished(dir string) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.Type().IsRegular() && strings.HasPrefix(entry.Name(), temporaryPrefix) {
			return os.Remove(name)
		}
		return nil
	})
}
