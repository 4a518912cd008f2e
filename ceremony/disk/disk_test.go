//go:build linux

package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony/internal/fault"
)

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
	for _, name := range []string{Unfinished + "x", "sub/" + Unfinished + "y", "kept"} {
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

// between stands between the package and the system until the test ends.
func between(t *testing.T, do func(op *fault.Op, act func() error) error) {
	was := fault.Between
	fault.Between = do
	t.Cleanup(func() { fault.Between = was })
}

// A folder whose name was not synced when it was made is synced before anything is
// put into it.
func TestFolderThatWasNotSynced(t *testing.T) {
	dir := t.TempDir()
	failed, synced := false, 0
	between(t, func(op *fault.Op, act func() error) error {
		switch {
		case op.Kind == fault.SyncFolder && op.Path == dir && !failed:
			failed = true
			return unix.EIO
		case op.Kind == fault.SyncFolder && op.Path == dir:
			synced++
		case op.Kind == fault.Create && synced == 0:
			t.Errorf("%s is made in a folder that a failure of the power would take", op.Path)
		}
		return act()
	})
	name := filepath.Join(dir, "new", "file")
	if err := WriteNew(name, []byte("text"), 0o600); !errors.Is(err, unix.EIO) {
		t.Fatal(err)
	}
	for range 2 {
		if err := WriteNew(name, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if synced != 1 {
		t.Errorf("synced %d times", synced)
	}
}

// What a signal breaks off is done again, a short write goes on, and a file system
// that knows neither a rename without replacing nor a sync of folders is taken as it
// is; nothing is replaced there either.
func TestOddSystems(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	calls := map[fault.Kind]int{}
	between(t, func(op *fault.Op, act func() error) error {
		calls[op.Kind]++
		switch {
		case calls[op.Kind]%2 == 1:
			return unix.EINTR
		case op.Kind == fault.SyncFolder:
			return unix.EINVAL
		case op.Kind == fault.Write:
			op.Bytes = op.Bytes[:1]
		}
		return act()
	})
	if err := WriteNew(name, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Replace(name, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(name); string(text) != "two" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if calls[fault.Write] != 12 { // a byte each, after a signal each
		t.Errorf("%d writes", calls[fault.Write])
	}
	if err := renamePlainly(name+".other", name); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a plain rename replaces: %v", err)
	}
}
