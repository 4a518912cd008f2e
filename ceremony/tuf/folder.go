package tuf

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// RootFile is a file that is named as clients ask for a root: N.root.json.
type RootFile struct {
	Name    string // with its folder
	Version int64  // that the name promises
}

var numbered = regexp.MustCompile(`^([0-9]+)\.root\.json$`)

// RootFiles returns the files N.root.json in a folder, by version. There must be
// one, and no gap. Other files are not looked at.
func RootFiles(dir string) ([]RootFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []RootFile
	for _, entry := range entries {
		match := numbered.FindStringSubmatch(entry.Name())
		if match == nil {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		n, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil || n < 1 || n > maxVersion || strconv.FormatInt(n, 10) != match[1] {
			return nil, fmt.Errorf("%s: %s is not how a version is written", path, match[1])
		}
		if entry.Type()&^fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("%s: not a plain file", path)
		}
		files = append(files, RootFile{path, n})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no root metadata in this folder\nhint: the files are named 1.root.json, 2.root.json and so on", dir)
	}
	slices.SortFunc(files, func(a, b RootFile) int { return cmp.Compare(a.Version, b.Version) })
	for i := 1; i < len(files); i++ {
		if want := files[i-1].Version + 1; files[i].Version != want {
			return nil, fmt.Errorf("%s: %d.root.json is missing, though %d.root.json is there\nhint: get it from where the roots are published: it is verified like the others", dir, want, files[i].Version)
		}
	}
	return files, nil
}
