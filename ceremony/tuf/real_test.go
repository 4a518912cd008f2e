package tuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// roots is where root chains of real projects lie, if they are at hand.
const roots = "../../../shared/roots"

func realFiles(t testing.TB, folder, pattern string) [][]byte {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(roots, folder, pattern))
	if len(names) == 0 {
		t.Skipf("no real chains at %s", roots)
	}
	var files [][]byte
	for i := range names {
		name := names[i]
		if pattern == "*.root.json" {
			name = filepath.Join(roots, folder, fmt.Sprintf("%d.root.json", i+1))
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	return files
}

func TestRealChains(t *testing.T) {
	for folder, c := range map[string]struct {
		length  int
		at      time.Time
		expired bool
	}{
		"sigstore":       {15, time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC), false},
		"joomla-updates": {16, time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC), false},
		"datadog-config": {1, time.Date(2026, 11, 20, 13, 0, 0, 0, time.UTC), true},
	} {
		t.Run(folder, func(t *testing.T) {
			files := realFiles(t, folder, "*.root.json")
			if len(files) != c.length {
				t.Fatalf("%d files", len(files))
			}
			var chain Chain
			for i, data := range files {
				step, err := chain.Add(data)
				if err != nil {
					t.Fatalf("file %d: %v\n%+v", i, err, step)
				}
				checkReal(t, data, chain.Last())
			}
			if err := chain.End(c.at); errors.Is(err, ErrExpired) != c.expired || (err != nil) != c.expired {
				t.Error(err)
			}
			if folder == "sigstore" && !errors.Is(chain.End(c.at.Add(time.Hour)), ErrExpired) {
				t.Error("not expired an hour later")
			}
			damaged := bytes.Replace(files[0], []byte(`"sig": "30`), []byte(`"sig": "31`), -1)
			if _, err := new(Chain).Add(damaged); err == nil && !bytes.Equal(damaged, files[0]) {
				t.Error("damaged signatures pass")
			}
		})
	}
}

// checkReal compares canonical bytes with cjson, and with what our own writer
// makes of the same root.
func checkReal(t *testing.T, data []byte, f *File) {
	t.Helper()
	var whole struct{ Signed json.RawMessage }
	if err := json.Unmarshal(data, &whole); err != nil {
		t.Fatal(err)
	}
	if want := must(cjson.EncodeCanonical(whole.Signed)); !bytes.Equal(f.Signed, want) {
		t.Errorf("version %d: cjson has other canonical bytes", f.Root.Version)
	}
	if !bytes.Equal(f.Root.Canonical(), f.Signed) {
		t.Errorf("version %d: written again it differs:\n%s\n%s", f.Root.Version, f.Root.Canonical(), f.Signed)
	}
	if len(f.Findings) == 0 {
		t.Errorf("version %d: no findings in a real root", f.Root.Version)
	}
	// A root that follows it can be written, but for what we write nowhere.
	next := f.Root.Next()
	next.Expires = expiry
	if err := next.Check(f.Root); err != nil {
		t.Errorf("version %d: its successor: %v", f.Root.Version, err)
	}
}

func TestRealDrafts(t *testing.T) {
	files := realFiles(t, "sigstore-drafts-v13-v15", "*.json")
	for i, data := range files {
		f, err := Parse(data)
		if err != nil {
			t.Errorf("draft %d: %v", i, err)
			continue
		}
		checkReal(t, data, f)
		if lines := Show(f, expiry, nil); len(lines) < 10 {
			t.Errorf("draft %d: %v", i, lines)
		}
	}
	first, last := must(Parse(files[0])), must(Parse(files[len(files)-1]))
	if r := first.Report(first.Root); r.Have != 0 || r.Keys[0].State != StateMissing || r.Keys[0].Reason != "an empty placeholder instead of a signature" {
		t.Errorf("%+v", r)
	}
	if r := last.Report(last.Root); !r.Good() {
		t.Errorf("%+v", r)
	}
}
