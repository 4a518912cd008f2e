package record

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
	"text/template"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Names of the files in the trust kit.
const (
	rootFile  = "root.json"
	sumFile   = "root.json.sha256"
	WordsFile = "WORDS.txt"
	embedFile = "EMBED.md"
)

// File is a file to be written.
type File struct {
	Name string // without a folder
	Text []byte
}

// KitFacts is what a trust kit is made from. Version, expiry, digests and
// whether it is a rehearsal's follow from the root itself.
type KitFacts struct {
	Project string
	Root    []byte // the published file, byte for byte
	First   int64  // version of the first root that is published with it; 0: this one
	Repin   bool   // clients of an earlier chain must be given this root by hand
}

//go:embed templates
var templates embed.FS

var kitTemplates = template.Must(template.New("").Funcs(template.FuncMap{"prose": prose, "shown": shown}).ParseFS(templates, "templates/*"))

// kit is what the templates see.
type kit struct {
	KitFacts
	Version, Next int64
	Expires       string
	File, Signed  string // SHA-256 in hex
	FileGroups    string
	Words         string
	Rehearsal     bool
}

// Kit returns the files of trust/: the root itself, its SHA-256 in the format
// of sha256sum and in words, and how to embed it. It fails where the root
// cannot be read, is not signed by enough of its own keys, or where the facts do
// not fit together.
func Kit(k KitFacts) ([]File, error) {
	root, err := tuf.Parse(k.Root)
	if err != nil {
		return nil, fmt.Errorf("the root for the trust kit cannot be read: %w", err)
	}
	if report := root.Report(root.Root); !report.Good() {
		return nil, fmt.Errorf("the root for the trust kit is not signed by enough keys: %s", report.Text(nil))
	}
	if k.First == 0 {
		k.First = root.Root.Version
	}
	if k.First < 0 || k.First > root.Root.Version {
		return nil, fmt.Errorf("the chain of the trust kit cannot begin with version %d: its root is version %d", k.First, root.Root.Version)
	}
	file, signed := sha256.Sum256(k.Root), root.Digest()
	facts := kit{KitFacts: k, Version: root.Root.Version, Next: root.Root.Version + 1, Expires: day(root.Root.Expires),
		File: hex.EncodeToString(file[:]), Signed: hex.EncodeToString(signed[:]),
		FileGroups: strings.ReplaceAll(twoLines(file[:]), "\n", "\n    "),
		Words:      wordLines(file[:]), Rehearsal: root.Root.Rehearsal()}
	files := []File{{rootFile, bytes.Clone(k.Root)}}
	for _, name := range []string{sumFile, WordsFile, embedFile} {
		var text bytes.Buffer
		if err := kitTemplates.ExecuteTemplate(&text, name+".tmpl", facts); err != nil {
			return nil, err
		}
		files = append(files, File{name, text.Bytes()})
	}
	return files, nil
}

// twoLines is a SHA-256 in groups of digits, on two lines.
func twoLines(digest []byte) string {
	half := len(digest) / 2
	return keys.Groups(digest[:half]) + "\n" + keys.Groups(digest[half:])
}
