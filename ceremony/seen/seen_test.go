package seen

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func head(origin string, size int64) Head {
	return Head{origin, size, fmt.Sprintf("%s at %d", origin, size), time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)}
}

func remembered(t *testing.T, file string, heads ...Head) {
	t.Helper()
	for _, h := range heads {
		if err := Remember(file, h); err != nil {
			t.Fatal(err)
		}
	}
}

// newest holds what is said of a log of that size, whose root hashes are those of
// head.
func newest(t *testing.T, file, origin string, size int64, says string) {
	t.Helper()
	_, err := Newest(file, origin, size, func(at int64) string { return head(origin, at).Root })
	if err == nil && says == "" {
		return
	}
	if err == nil || says == "" || !strings.Contains(err.Error(), says) {
		t.Errorf("%s of %d lines: %v, not %q", origin, size, err, says)
	}
}

func TestNewest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "of its own", FileName)
	newest(t, file, "a", 1, "")
	remembered(t, file, head("a", 1), head("b", 7), head("a", 2), head("a", 3))
	newest(t, file, "a", 2, "has 2 lines, and on 2026-11-28")
	newest(t, file, "a", 2, "wrote line 3")
	newest(t, file, "a", 3, "")
	newest(t, file, "a", 30, "")
	if known, err := Newest(file, "a", 30, func(at int64) string { return head("a", at).Root }); known != 3 || err != nil {
		t.Errorf("%d lines are remembered, %v", known, err)
	}
	newest(t, file, "b", 6, "wrote line 7")
	newest(t, file, "c", 1, "")
	forged := head("b", 7)
	forged.Root = "another one"
	remembered(t, file, forged)
	newest(t, file, "b", 9, "the first 7 lines of the log are not those that this laptop wrote")
	if n, err := Lines(file); n != 5 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
}

// What a power failure has left of the file makes it older, and refuses nothing.
func TestTornMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), FileName)
	remembered(t, file, head("a", 1), head("a", 2))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text[:len(text)-9], 0, 0, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	newest(t, file, "a", 1, "")
	remembered(t, file, head("a", 3))
	newest(t, file, "a", 2, "wrote line 3")
}

// The file is replaced once it is large, and every log is remembered still.
func TestReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), FileName)
	remembered(t, file, head("old", 4))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat(string(text), replace/len(text)+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	remembered(t, file, head("new", 1), head("new", 2))
	newest(t, file, "old", 3, "wrote line 4")
	newest(t, file, "new", 1, "wrote line 2")
	if n, err := Lines(file); n != 3 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestHostileMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), FileName)
	if err := os.Symlink("/etc/passwd", file); err != nil {
		t.Fatal(err)
	}
	if err := Remember(file, head("a", 1)); err == nil {
		t.Error("a link is written to")
	}
	if _, err := Newest(file, "a", 1, nil); err == nil {
		t.Error("a link is read")
	}
}

// FuzzMemory: whatever somebody has written there, the newest line of a log counts,
// and the file takes another one.
func FuzzMemory(f *testing.F) {
	f.Add([]byte("{\"origin\":\"a\",\"size\":3,\"root\":\"r\",\"time\":\"2026-11-28T09:00:00Z\"}\n"))
	f.Add([]byte("{}\nnull\n[]\n\x00"))
	f.Add([]byte("\n\n{\"origin\":\"a\",\"size\":-1}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), FileName)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		at := func(int64) string { return "r" }
		_, _ = Newest(file, "a", 1, at)
		if err := Remember(file, Head{Origin: "a", Size: 7, Root: "r"}); err != nil {
			t.Fatal(err)
		}
		if known, err := Newest(file, "a", 7, at); known != 7 || err != nil {
			t.Fatalf("%q: %d lines are known, %v", text, known, err)
		}
	})
}
