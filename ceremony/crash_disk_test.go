package ceremony_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"rootceremony/ceremony/internal/fault"
	"rootceremony/ceremony/transcript"
)

// A storage is the files of one stage under the eyes of the tests: those of the
// ceremony, of its media and of the laptop's memory. It knows what they hold, and
// what they would if the power failed now.
type storage struct {
	root     string // the folder of all of them
	names    map[string]*inode
	durable  map[string]*inode // names that are safe, once the folders above them are
	contents map[[32]byte][]byte
	unsynced []change
	between  func(op *fault.Op, act func() error) error
	ops      int
}

// inode is a file or a folder.
type inode struct {
	folder    bool
	now, safe [32]byte // digests of what it holds, and of what was synced
}

// change is an operation that no sync has covered yet.
type change struct {
	op     fault.Op
	node   *inode
	before [32]byte // what a file held
	was    *inode   // what had the name
}

// image is what a disk holds at one moment: digests by name, folder for folders.
type image map[string][32]byte

var folder, empty = [32]byte{1}, sha256.Sum256(nil)

// disks are those that are watched; operations elsewhere are done as they are.
var disks sync.Map

func watchDisks() {
	fault.Between = func(op *fault.Op, act func() error) error {
		var at *storage
		disks.Range(func(key, _ any) bool {
			if d := key.(*storage); op.Path == d.root || strings.HasPrefix(op.Path, d.root+"/") {
				at = d
			}
			return at == nil
		})
		if at == nil {
			return act()
		}
		return at.between(op, act)
	}
}

// watch has between asked before everything that is done to the files below a
// folder, until the test or stop ends it. It passes the operation on to did.
func watch(t testing.TB, root string) (d *storage, stop func()) {
	t.Helper()
	d = &storage{root: root, names: map[string]*inode{}, contents: map[[32]byte][]byte{}}
	for name, text := range filesBelow(t, root) {
		node := &inode{folder: text == nil}
		if text != nil {
			node.now = d.hold(text)
			node.safe = node.now
		}
		d.names[name] = node
	}
	d.durable = maps.Clone(d.names)
	d.between = d.did
	disks.Store(d, nil)
	stop = func() { disks.Delete(d) }
	t.Cleanup(stop)
	return d, stop
}

// filesBelow are the files below a folder that a storage knows, and nil for folders:
// not the tokens, which are hardware.
func filesBelow(t testing.TB, root string) map[string][]byte {
	t.Helper()
	there := map[string][]byte{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil || relative == "signs" {
			return err
		}
		if entry.IsDir() {
			there[relative] = nil
			if strings.HasSuffix(name, "rehearsal/tokens") || relative == "tokens" {
				delete(there, relative)
				return filepath.SkipDir
			}
			return nil
		}
		text, err := os.ReadFile(name)
		there[relative] = append([]byte{}, text...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// only has nothing be safe but what another disk had as safe.
func (d *storage) only(of *storage, safe image) {
	maps.DeleteFunc(d.durable, func(name string, _ *inode) bool { _, is := safe[name]; return !is })
	for name, node := range d.durable {
		if !node.folder {
			node.safe = d.hold(of.contents[safe[name]])
		}
	}
}

func (d *storage) hold(text []byte) [32]byte {
	digest := sha256.Sum256(text)
	if _, has := d.contents[digest]; !has {
		d.contents[digest] = bytes.Clone(text)
	}
	return digest
}

func (d *storage) name(file string) string {
	return strings.TrimPrefix(file, d.root+"/")
}

// did does an operation, and remembers what it changed.
func (d *storage) did(op *fault.Op, act func() error) error {
	d.ops++
	if err := act(); err != nil {
		return err
	}
	name, from := d.name(op.Path), d.name(op.From)
	node := d.names[name]
	changed := change{op: *op, node: node, was: node}
	switch op.Kind {
	case fault.Open:
		if node != nil {
			return nil
		}
		fallthrough
	case fault.Create:
		changed.node = &inode{now: empty, safe: empty}
		d.names[name] = changed.node
	case fault.MakeFolder:
		changed.node = &inode{folder: true}
		d.names[name] = changed.node
	case fault.Write:
		changed.before = node.now
		text := bytes.Clone(d.contents[node.now])
		text = append(text[:min(int(op.Offset), len(text))], op.Bytes...)
		node.now = d.hold(text)
	case fault.Cut:
		if int(op.Offset) == len(d.contents[node.now]) {
			return nil
		}
		changed.before = node.now
		node.now = d.hold(d.contents[node.now][:op.Offset])
	case fault.Rename, fault.Replace:
		changed.node = d.names[from]
		d.names[name] = changed.node
		delete(d.names, from)
	case fault.Remove:
		delete(d.names, name)
	case fault.Sync:
		node.safe = node.now
		d.unsynced = slices.DeleteFunc(d.unsynced, func(c change) bool {
			return c.node == node && (c.op.Kind == fault.Write || c.op.Kind == fault.Cut)
		})
		return nil
	case fault.SyncFolder:
		if op.Path == d.root {
			name = "."
		}
		maps.DeleteFunc(d.durable, func(file string, _ *inode) bool { return path.Dir(file) == name && d.names[file] == nil })
		for file, node := range d.names {
			if path.Dir(file) == name {
				d.durable[file] = node
			}
		}
		d.unsynced = slices.DeleteFunc(d.unsynced, func(c change) bool {
			return c.op.Kind != fault.Write && c.op.Kind != fault.Cut && path.Dir(d.name(c.op.Path)) == name
		})
		return nil
	default:
		return nil
	}
	d.unsynced = append(d.unsynced, changed)
	return nil
}

// now is what the disk holds: what a killed process leaves.
func (d *storage) now() image {
	there := image{}
	for name, node := range d.names {
		there[name] = node.now
		if node.folder {
			there[name] = folder
		}
	}
	return there
}

// torn is now, with half of what is about to be written.
func (d *storage) torn(op *fault.Op) image {
	there := d.now()
	text := d.contents[there[d.name(op.Path)]]
	there[d.name(op.Path)] = d.hold(append(bytes.Clone(text[:min(int(op.Offset), len(text))]), op.Bytes[:len(op.Bytes)/2]...))
	return there
}

// safe is what a failure of the power leaves where the disk has kept nothing but
// what it was told to.
func (d *storage) safe() image {
	there := image{}
	for name, node := range d.durable {
		reached := true
		for above := path.Dir(name); above != "."; above = path.Dir(above) {
			reached = reached && d.durable[above] != nil
		}
		switch {
		case reached && node.folder:
			there[name] = folder
		case reached:
			there[name] = node.safe
		}
	}
	return there
}

// allButLast is now without the last operation that was not synced, of which there
// must be one.
func (d *storage) allButLast() image {
	last, there := d.unsynced[len(d.unsynced)-1], d.now()
	name, from := d.name(last.op.Path), d.name(last.op.From)
	switch last.op.Kind {
	case fault.Write, fault.Cut:
		for file, node := range d.names {
			if node == last.node {
				there[file] = last.before
			}
		}
	case fault.Rename, fault.Replace:
		there[from] = last.node.now
		fallthrough
	default:
		delete(there, name)
		if last.was != nil {
			there[name] = last.was.now
		}
		maps.DeleteFunc(there, func(file string, _ [32]byte) bool { return strings.HasPrefix(file, name+"/") })
	}
	return there
}

// key is the same for images that hold the same.
func (i image) key() string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(i)) {
		digest := i[name]
		fmt.Fprintf(sum, "%s %x\n", name, digest)
	}
	return string(sum.Sum(nil))
}

// lay writes an image to a folder.
func (d *storage) lay(t testing.TB, there image, root string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(there)) {
		file, err := filepath.Join(root, name), error(nil)
		if there[name] == folder {
			err = os.Mkdir(file, 0o700)
		} else {
			err = os.WriteFile(file, d.contents[there[name]], 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
}

// differs names what two images hold that is not the same, but for the laptop's
// memory of logs, which may be older than they are, its folder where that holds
// nothing else, and what has no name yet.
func (i image) differs(from image) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(joined(i, from))) {
		one, has := i[name]
		other, had := from[name]
		base := path.Base(name)
		if (one != other || has != had) && base != "logs.jsonl" && name != "laptop" && !strings.HasPrefix(base, ".unfinished-") {
			names = append(names, name)
		}
	}
	return names
}

func joined(a, b image) image {
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// isLog reports whether a file is the log, or its private part.
func isLog(name string) bool {
	return path.Base(name) == transcript.FileName && strings.HasPrefix(name, "dir/") && strings.Count(name, "/") <= 2
}

// place is where in the programs an operation comes from: the first line that is
// not of package disk.
func place() string {
	var at [32]uintptr
	frames := runtime.CallersFrames(at[:runtime.Callers(3, at[:])])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "rootceremony/ceremony") && !strings.HasPrefix(frame.Function, "rootceremony/ceremony/disk.") &&
			!strings.HasPrefix(frame.Function, "rootceremony/ceremony_test.") {
			return fmt.Sprintf("%s:%d", path.Base(frame.Function), frame.Line)
		}
		if !more {
			return "?"
		}
	}
}
