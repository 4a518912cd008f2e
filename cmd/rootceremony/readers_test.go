package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Where files are opened or read without keys/plainfile, and why that reads nothing
// that somebody else has laid.
var otherReaders = map[string]string{
	"keys/plainfile":             "the one reader",
	"ceremony/disk":              "writes new files, and syncs folders",
	"ceremony/seen":              "locks a folder",
	"ceremony/laptop/smartcards": "what the kernel says in /proc",
	"ceremony/laptop/preflight":  "what the kernel says in /proc",
	"ceremony/laptop/program":    "the program that runs",
	"ceremony/laptop/network":    "what the kernel says in /proc",
	"ceremony/confine":           "tries what is refused, and asks the kernel",
	"cmd/virtualyubikey/main":    "writes a new file",
	"keys/virtual/state":         "writes, and locks, the state of virtual tokens",
	"cmd/helptest/helptest":      "of tests alone",
	"ceremony/mortal":            "of tests alone",
	"keys/yubikey/pcsctest":      "of tests alone",
}

// Everything that comes from outside is read by keys/plainfile, which never waits and
// has a bound.
func TestOneReaderOfFiles(t *testing.T) {
	checkCalls(t, otherReaders, reads, "what comes from outside is read by keys/plainfile, with a bound")
}

var reads = []string{"os.Open", "os.OpenFile", "os.ReadFile", "io.ReadAll", "fs.ReadFile", "unix.Open", "syscall.Open"}

// Where files are changed without ceremony/disk, and why no crash there matters.
var otherWriters = map[string]string{
	"ceremony/disk":              "the one writer",
	"keys/plainfile":             "opens what the one writer asks for",
	"keys/virtual":               "virtual tokens, which are hardware to a ceremony",
	"cmd/virtualyubikey/main":    "of virtual tokens",
	"ceremony/mortal":            "of tests alone",
	"cmd/rootceremony/standin":   "a drawer of virtual tokens for one run",
	"cmd/rootceremony/tui":       "the list of recent directories, which may be lost",
	"keys/yubikey/pcsctest":      "of tests alone",
	"ceremony/confine":           "looks at what it opens, and changes nothing",
	"ceremony/laptop/smartcards": "looks at what it opens, and changes nothing",
}

// Files are changed by ceremony/disk alone: tests let it fail and crash everywhere.
func TestOneWriterOfFiles(t *testing.T) {
	checkCalls(t, otherWriters, writes, "files are changed by ceremony/disk, which syncs, and fails in tests")
}

var writes = []string{"os.OpenFile", "os.Create", "os.CreateTemp", "os.WriteFile", "os.Mkdir", "os.MkdirAll", "os.MkdirTemp", "os.Rename", "os.Remove", "os.RemoveAll",
	"os.Truncate", "os.Link", "os.Symlink", "os.CopyFS", "unix.Open", "unix.Rename", "unix.Renameat2", "unix.Fallocate", "unix.Mkdir", "unix.Unlink", "unix.Link", "syscall.Open"}

// checkCalls finds those calls nowhere but where a reason is given.
func checkCalls(t *testing.T, reasons map[string]string, calls []string, rule string) {
	used := map[string]bool{}
	for _, top := range []string{"cmd", "ceremony", "keys", "ui"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			name = strings.TrimPrefix(name, "../../")
			for _, call := range callsIn(t, name, text, calls) {
				reason := ""
				for prefix := range reasons {
					if strings.HasPrefix(name, prefix) {
						reason, used[prefix] = reasons[prefix], true
					}
				}
				if reason == "" {
					t.Errorf("%s calls %s: %s", name, call, rule)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for prefix := range reasons {
		if !used[prefix] {
			t.Errorf("%s has no such call", prefix)
		}
	}
	const forbidden = "package p\nimport \"os\"\nfunc f() { os.OpenFile(\"x\", 0, 0) }\n"
	if found := callsIn(t, "p.go", []byte(forbidden), calls); !slices.Equal(found, []string{"os.OpenFile"}) {
		t.Errorf("found %v", found)
	}
}

// callsIn are those of the calls that a file has.
func callsIn(t *testing.T, name string, text []byte, calls []string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		selected, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		of, ok := selected.X.(*ast.Ident)
		if call := selected.Sel.Name; ok && slices.Contains(calls, of.Name+"."+call) {
			found = append(found, of.Name+"."+call)
		}
		return true
	})
	return found
}
