package plainfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const most = 100

// Only plain files up to the bound are read, whatever else lies there or is
// linked to.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("plain"), make([]byte, most), 0o600))
	must(os.WriteFile(at("empty"), nil, 0o600))
	must(os.WriteFile(at("larger"), make([]byte, most+1), 0o600))
	must(os.WriteFile(at("sparse"), nil, 0o600))
	must(os.Truncate(at("sparse"), 300<<30))
	must(os.Mkdir(at("folder"), 0o700))
	must(syscall.Mkfifo(at("pipe"), 0o600))
	socket, err := net.Listen("unix", at("socket"))
	must(err)
	defer socket.Close()
	must(os.Symlink("/dev/zero", at("device")))
	must(os.Symlink("pipe", at("linked pipe")))
	must(os.Symlink("plain", at("linked plain")))
	must(os.Symlink("linked pipe", at("linked twice")))
	must(os.Symlink("nowhere", at("dangling")))
	for name, says := range map[string]string{
		"plain": "", "empty": "", "linked plain": "",
		"larger": "more than 100 bytes", "sparse": "more than 100 bytes",
		"folder": "a folder", "pipe": "a pipe", "linked pipe": "a pipe", "linked twice": "a pipe", "socket": "a socket", "device": "a device",
		"dangling": "no such file", "nothing": "no such file",
	} {
		t.Run(name, func(t *testing.T) {
			data, err := Read(at(name), most)
			var path *fs.PathError
			switch {
			case says == "" && (err != nil || len(data)%most != 0):
				t.Errorf("%d bytes, %v", len(data), err)
			case says != "" && (!errors.As(err, &path) || path.Path != at(name) || !strings.Contains(path.Error(), says)):
				t.Errorf("%d bytes, %v, want %s", len(data), err, says)
			}
			// The same where it has come in the place of another one.
			if file, err := os.OpenFile(at(name), os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
				if _, err := Contents(file, most); says == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), says) {
					t.Errorf("%s, opened already: %v", name, err)
				}
				file.Close()
			}
			// Nor is anything but a plain file written to.
			if file, err := Open(at(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, most); err == nil {
				if name != "nothing" {
					t.Error("made again")
				}
				file.Close()
			}
		})
	}
	// A file of the system says that it has no bytes, and has some.
	if _, err := Read("/proc/self/maps", most); err == nil || !strings.Contains(err.Error(), "more than 100 bytes") {
		t.Errorf("%v", err)
	}
}
