package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rootceremony/ceremony"
)

// writing watches folders and keeps every version of every file that is written
// below them, also of those that are gone again.
type writing struct {
	t       *testing.T
	inotify int
	folders map[int32]string    // by watch
	left    []string            // folders that are not watched
	open    map[string]*os.File // files that are being written, by the name they began with
	seen    map[string][][]byte // versions, by name; of one that only grew the last
	err     error
	ended   chan struct{}
}

// lastFile ends the watch when it is written.
const lastFile = "the-watch-ends"

// watchWriting begins to watch a folder and all below it but those left out.
func watchWriting(t *testing.T, folder string, left ...string) *writing {
	t.Helper()
	inotify, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	w := &writing{t: t, inotify: inotify, folders: map[int32]string{}, left: left, open: map[string]*os.File{}, seen: map[string][][]byte{}, ended: make(chan struct{})}
	w.enter(folder)
	go w.follow(filepath.Join(folder, lastFile))
	return w
}

// enter watches a folder, and looks at what is in it already.
func (w *writing) enter(folder string) {
	if slices.Contains(w.left, folder) {
		return
	}
	watch, err := unix.InotifyAddWatch(w.inotify, folder, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_ONLYDIR)
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	w.folders[int32(watch)] = folder
	entries, err := os.ReadDir(folder)
	w.err = errors.Join(w.err, err)
	for _, entry := range entries {
		if name := filepath.Join(folder, entry.Name()); entry.IsDir() {
			w.enter(name)
		} else if entry.Type().IsRegular() {
			w.begun(name)
			w.keep(name)
		}
	}
}

// begun holds a file open: it can be read after it was removed.
func (w *writing) begun(name string) {
	if w.open[name] != nil {
		return
	}
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return // renamed already: it is seen under its new name
	}
	w.err = errors.Join(w.err, err)
	if err == nil {
		w.open[name] = file
	}
}

// keep reads what a file holds now.
func (w *writing) keep(name string) {
	file := w.open[name]
	if file == nil {
		return
	}
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<24))
	w.err = errors.Join(w.err, err)
	versions := w.seen[name]
	if last := len(versions) - 1; last >= 0 && bytes.HasPrefix(text, versions[last]) {
		versions[last] = text
		return
	}
	w.seen[name] = append(versions, text)
}

// follow takes what the kernel tells until the last file is written.
func (w *writing) follow(last string) {
	defer close(w.ended)
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(w.inotify, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			w.err = errors.Join(w.err, err)
			return
		}
		for events := buf[:n]; len(events) >= unix.SizeofInotifyEvent; {
			watch, mask := int32(binary.NativeEndian.Uint32(events)), binary.NativeEndian.Uint32(events[4:])
			size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
			name := filepath.Join(w.folders[watch], strings.TrimRight(string(events[unix.SizeofInotifyEvent:size]), "\x00"))
			events = events[size:]
			if name == last {
				return
			}
			w.happened(name, mask)
		}
	}
}

func (w *writing) happened(name string, mask uint32) {
	switch {
	case mask&unix.IN_Q_OVERFLOW != 0:
		w.err = errors.Join(w.err, errors.New("the kernel has dropped events"))
	case mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 && mask&unix.IN_ISDIR != 0:
		w.enter(name)
	case mask&unix.IN_ISDIR != 0, mask&unix.IN_IGNORED != 0:
	default:
		w.begun(name)
		w.keep(name)
		if file := w.open[name]; file != nil && mask&unix.IN_CLOSE_WRITE != 0 {
			_ = file.Close()
			delete(w.open, name)
		}
	}
}

// end returns all that was written, and how many files have got another name
// or are gone.
func (w *writing) end(folder string) (kept, int) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(folder, lastFile), nil, 0o600); err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-w.ended:
	case <-time.After(2 * time.Minute):
		w.t.Fatal("the watch does not end")
	}
	_ = unix.Close(w.inotify)
	for _, file := range w.open {
		_ = file.Close()
	}
	if w.err != nil {
		w.t.Fatal(w.err)
	}
	all, gone := kept{}, 0
	for name, versions := range w.seen {
		if _, err := os.Lstat(name); err != nil {
			gone++
		}
		all[name] = bytes.Join(versions, []byte("\n--\n"))
	}
	return all, gone
}

// TestNoSecretInAnyFile watches every file that a rehearsal with backups writes
// in its directory, in TMPDIR and in the home folder, and finds none of the
// secrets of its tokens and of its safe in any version of any. Where the
// rehearsal keeps those themselves is apart.
func TestNoSecretInAnyFile(t *testing.T) {
	t.Parallel()
	// Files that are synced to a disk stay long enough under the names they
	// begin with, and can be seen.
	home, err := os.MkdirTemp(onDisk, "rootceremony-home-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	dir, temporary := filepath.Join(home, "d"), filepath.Join(home, "tmp")
	if err := os.Mkdir(temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	tokens, identities := filepath.Join(dir, filepath.FromSlash(ceremony.TokensDir)), filepath.Join(dir, filepath.FromSlash(ceremony.IdentitiesDir))
	w := watchWriting(t, home, tokens, identities)
	command := rehearse(dir)
	command.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+temporary, "XDG_STATE_HOME="+filepath.Join(home, "state"),
		"XDG_CACHE_HOME="+filepath.Join(home, "cache"), "XDG_CONFIG_HOME="+filepath.Join(home, "config"), "XDG_DATA_HOME="+filepath.Join(home, "data"))
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seen, gone := w.end(home)
	t.Logf("%d files, %d of which have got another name or are gone", len(seen), gone)
	if gone < 20 {
		t.Errorf("only %d of the files that were begun under another name were seen", gone)
	}
	sealed := 0
	err = filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if name == tokens || name == identities {
				err = fs.SkipDir
			}
			return err
		}
		text, err := os.ReadFile(name)
		if err == nil && !bytes.Contains(seen[name], text) && !wasWritten(seen, text) {
			t.Errorf("%s was not seen", name)
		}
		if filepath.Ext(name) == ".age" {
			sealed++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Of five holders ten each of two kinds, in the directory, on two media, and
	// in the copies of the closed directory that are carried to those.
	if sealed != 500 {
		t.Errorf("%d sealed files", sealed)
	}

	secrets := rehearsalSecrets(t, dir)
	if len(secrets) != 5*6+1 {
		t.Fatalf("%d secrets", len(secrets))
	}
	for what, secret := range secrets {
		for form, text := range forms(secret) {
			// A few digits are found in digests, too, by chance: these stand alone.
			found := func(all []byte) bool { return bytes.Contains(all, text) }
			if len(text) <= 8 && form == "as it is" {
				found = regexp.MustCompile(`(^|[^0-9a-fA-F])` + string(text) + `($|[^0-9a-fA-F])`).Match
			}
			for where, all := range seen {
				if found(all) {
					t.Errorf("the %s is in %s, %s", what, where, form)
				}
			}
		}
	}
}

// wasWritten reports whether some file had that text.
func wasWritten(seen kept, text []byte) bool {
	for _, all := range seen {
		if bytes.Contains(all, text) {
			return true
		}
	}
	return false
}

// rehearsalSecrets are the secrets of the tokens of a rehearsal that have been
// prepared, and of its safe.
func rehearsalSecrets(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, ceremony.TokensDir, "*.token"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		if len(readToken(t, file).Slots) == 0 {
			continue // nobody's
		}
		for what, secret := range secretsOf(t, file) {
			all[what+" of "+filepath.Base(file)] = secret
		}
	}
	identity, err := os.ReadFile(filepath.Join(dir, ceremony.IdentitiesDir, "bank-safe.txt"))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(identity, []byte("AGE-SECRET-KEY-1"))
	if at < 0 {
		t.Fatalf("no identity: %q", identity)
	}
	all["identity of the safe"] = bytes.TrimSpace(identity[at:])
	return all
}
