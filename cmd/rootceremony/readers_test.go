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
	"ceremony/transcript/files":  "writes new files, and syncs folders",
	"ceremony/copies":            "writes new files, and syncs folders",
	"ceremony/seen":              "locks a folder",
	"ceremony/laptop/smartcards": "what the kernel says in /proc",
	"ceremony/laptop/preflight":  "what the kernel says in /proc",
	"ceremony/laptop/program":    "the program that runs",
	"ceremony/laptop/network":    "what the kernel says in /proc",
	"ceremony/confine":           "tries what is refused, and asks the kernel",
	"cmd/virtualyubikey/main":    "writes a new file",
	"keys/virtual/state":         "writes, and locks, the state of virtual tokens",
	"cmd/helptest/helptest":      "of tests alone",
	"keys/yubikey/pcsctest":      "of tests alone",
}

// Everything that comes from outside is read by keys/plainfile, which never waits and
// has a bound.
func TestOneReaderOfFiles(t *testing.T) {
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
			for _, call := range readsIn(t, name, text) {
				reason := ""
				for prefix := range otherReaders {
					if strings.HasPrefix(name, prefix) {
						reason, used[prefix] = otherReaders[prefix], true
					}
				}
				if reason == "" {
					t.Errorf("%s calls %s: what comes from outside is read by keys/plainfile, with a bound", name, call)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for prefix := range otherReaders {
		if !used[prefix] {
			t.Errorf("%s reads nothing of its own", prefix)
		}
	}
	const reads = "package p\nimport \"os\"\nfunc f() { os.ReadFile(\"x\") }\n"
	if found := readsIn(t, "p.go", []byte(reads)); !slices.Equal(found, []string{"os.ReadFile"}) {
		t.Errorf("found %v", found)
	}
}

// readsIn are the calls in a file that open or read files.
func readsIn(t *testing.T, name string, text []byte) []string {
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
		if call := selected.Sel.Name; ok && slices.Contains([]string{"os.Open", "os.OpenFile", "os.ReadFile", "io.ReadAll", "fs.ReadFile", "unix.Open", "syscall.Open"}, of.Name+"."+call) {
			found = append(found, of.Name+"."+call)
		}
		return true
	})
	return found
}
