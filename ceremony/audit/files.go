package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys/plainfile"
)

// What a directory may hold, far above what a ceremony makes.
const (
	maxFiles = 50_000
	maxFile  = 64 << 20  // the log
	maxAll   = 512 << 20 // bytes of all files
)

// The folders that only some editions of a directory have.
const (
	rehearsalDir = "rehearsal" // of which its attestation roots are read, *.pem
	keysDir      = "keys"      // of online roles, for the plan
)

// tree is all that lies in a directory, by name in it, with slashes.
type tree struct {
	sum     map[string]string // SHA-256 in hex
	text    map[string][]byte // but for backups, whose content proves nothing here
	size    map[string]int
	folders map[string]bool
	refused []refused // what is no plain file or folder, or could not be read
}

// refused is what was not read.
type refused struct {
	name, text string
	special    bool // a link, a pipe or a device
}

// readTree reads a directory. What lies in a rehearsal's own folder, but for its
// attestation roots, is none of the record's.
func readTree(dir string) (*tree, error) {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return nil, err
	}
	t := &tree{sum: map[string]string{}, text: map[string][]byte{}, size: map[string]int{}, folders: map[string]bool{}}
	left := int64(maxAll)
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && name == ".":
			return err
		case err != nil:
			t.refused = append(t.refused, refused{name, fmt.Sprintf("it cannot be read: %v", pathless(err)), false})
			return nil
		case len(t.sum)+len(t.refused) > maxFiles:
			return fmt.Errorf("it holds more than %d files: no ceremony makes so many", maxFiles)
		case entry.IsDir():
			t.folders[name] = true
			return nil
		case strings.HasPrefix(name, rehearsalDir+"/") && (path.Dir(name) != rehearsalDir || path.Ext(name) != ".pem"):
			return nil
		case !entry.Type().IsRegular():
			t.refused = append(t.refused, refused{name, "it is a link, a pipe or a device, and was not opened: a ceremony directory holds plain files and folders only", true})
			return nil
		}
		text, err := plainfile.Read(filepath.Join(dir, filepath.FromSlash(name)), min(maxFile, left))
		if err != nil {
			t.refused = append(t.refused, refused{name, fmt.Sprintf("it cannot be read: %v", pathless(err)), false})
			return nil
		}
		left -= int64(len(text))
		t.put(name, text)
		return nil
	})
	return t, err
}

// isRefused reports whether something is there by that name that was not read.
func (t *tree) isRefused(name string) bool {
	return slices.ContainsFunc(t.refused, func(r refused) bool { return r.name == name })
}

func (t *tree) put(name string, text []byte) {
	t.sum[name], t.size[name] = sumOf(text), len(text)
	if !strings.HasPrefix(name, agreed.BackupsDir+"/") {
		t.text[name] = text
	}
}

// pathless is an error without the file's path, which its subject has.
func pathless(err error) error {
	if p := new(fs.PathError); errors.As(err, &p) {
		return p.Err
	}
	return err
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// named is a file that the log names. One that follows from the log is written
// again at the next start, where it is not there.
type named struct {
	sum     string
	line    int64
	follows bool
}

// name takes in that a line of the log names a file.
func (w *walk) name(line int64, file, sum string, follows bool) error {
	if other, there := w.names[file]; there && other.sum != sum {
		return fmt.Errorf("it names the file %s with another SHA-256 than line %d does", file, other.line)
	}
	if !fs.ValidPath(file) || file == "." {
		return fmt.Errorf("%.80q is no name of a file in the directory", file)
	}
	w.names[file] = named{sum, line, follows}
	return nil
}

// evidence is the text of a file that an event names as evidence.
func (w *walk) evidence(file, sum string) ([]byte, error) {
	text, there := w.files.text[file]
	switch {
	case !there:
		return nil, fmt.Errorf("the evidence %s is missing", file)
	case w.files.sum[file] != sum:
		return nil, fmt.Errorf("the evidence %s is not the file that the log names: its SHA-256 is %s, and was %s", file, w.files.sum[file], sum)
	}
	return text, nil
}

// refused tells of what was not read. A link may be where people lay files.
func (w *walk) refused() {
	for _, f := range w.files.refused {
		top, _, _ := strings.Cut(f.name, "/")
		people := f.name == state.PlanFile || notice.MatchString(f.name) || path.Dir(f.name) == keysDir ||
			w.planned(f.name) && (!knownFolders[top] || top == agreed.TrustedDir)
		if f.special && !people {
			w.add(Failed, specialFile, f.name, "%s", f.text)
		} else {
			w.add(Failed, file, f.name, "%s", f.text)
		}
	}
}

// cutShort tells of checkpoints that lie here, signed by a token of this record, which
// the log doesn't fit: publish/checkpoint, and copies of it. It returns their names.
func (w *walk) cutShort() (told []string) {
	for _, name := range sortedKeys(w.files.text) {
		if path.Base(name) != path.Base(checkpointFile) {
			continue
		}
		there, _, err := w.signedNote(w.files.text[name])
		if err != nil { // it says nothing of this log
			continue
		}
		if err := w.fits(there); err != nil {
			w.add(Failed, publishedFile, name, "%v", err)
			told = append(told, name)
		}
	}
	return told
}

// checkFiles compares the directory with what the log names, both ways.
func (w *walk) checkFiles() {
	good, backups, unseen := 0, 0, 0
	private := w.files.folders[transcript.PrivateDir]
	for _, name := range sortedKeys(w.names) {
		want := w.names[name]
		sum, there := w.files.sum[name]
		switch {
		case there && sum != want.sum:
			w.add(Failed, kindOf(name), name, "it was changed after it was recorded: its SHA-256 is %s, and line %d has %s", sum, want.line, want.sum)
		case there && strings.HasPrefix(name, agreed.BackupsDir+"/"):
			backups++
		case there:
			good++
		case strings.HasPrefix(name, transcript.PrivateDir+"/") && !private:
			unseen++
		case w.files.isRefused(name): // which says why
		case want.follows && !w.Closed:
			w.add(Open, file, name, "it is not written yet, and the next start writes it (line %d)", want.line)
		default:
			w.add(Failed, kindOf(name), name, "it is missing, though line %d names it", want.line)
		}
	}
	told := w.cutShort()
	w.add(OK, "files", "", "%d files are there, as the log names them", good)
	switch {
	case backups > 0:
		w.add(OK, "files", agreed.BackupsDir, "%d backup files are there, as they were sealed", backups)
	case unseen > 0:
		w.add(NotSeen, "files", transcript.PrivateDir, "%d files in it that the log names: the folder is not here", unseen)
	}
	type group struct {
		status Status
		folder string
		text   string
	}
	others := map[group][]string{}
	var order []group
	for _, name := range sortedKeys(w.files.sum) {
		if _, known := w.names[name]; known || slices.Contains(told, name) {
			continue
		}
		g := group{folder: path.Dir(name)}
		if g.status, g.text = w.unnamed(name); g.text == "" {
			continue
		}
		if others[g] == nil {
			order = append(order, g)
		}
		others[g] = append(others[g], name)
	}
	for _, g := range order {
		subject := others[g][0]
		if n := len(others[g]); n > 1 {
			subject = fmt.Sprintf("%s and %d more in that folder", subject, n-1)
		}
		kind := unknownFile
		if g.status == Failed && (g.folder == state.PublishDir || strings.HasPrefix(g.folder, state.PublishDir+"/")) {
			kind = publishedFile
		}
		w.add(g.status, kind, subject, "%s", g.text)
	}
	for _, name := range sortedKeys(w.files.folders) {
		if top, _, _ := strings.Cut(name, "/"); name != "." && name != keysDir && !knownFolders[top] && !w.planned(name) {
			w.add(Failed, unknownFile, name+"/", "a folder that the log knows nothing of")
		}
	}
}

// Files that the log does not name, and that may be there: the draft of a notice
// for users, which people go on writing, and what is written before the event that
// names it.
var (
	notice        = regexp.MustCompile(`^(metadata/[0-9a-f]{8}/)?notice[0-9A-Za-z.-]*\.md$`)
	publishedRoot = regexp.MustCompile(`^publish/[1-9][0-9]*\.root\.json$`)
	interrupted   = regexp.MustCompile(`^evidence/[1-9][0-9]{0,9}/[0-9a-z]+(\.[0-9a-z]+)+$|^private/backups/[0-9a-z-]+(/[0-9a-f]{8})?/[0-9a-z+.-]+\.age$|^(private/)?transcript\.set-aside\.[0-9a-f]{64}$`)
)

// kindOf tells a backup, of which others can be opened, from what proves something.
func kindOf(name string) string {
	if strings.HasPrefix(name, agreed.BackupsDir+"/") {
		return backupFile
	}
	return file
}

var knownFolders = map[string]bool{"evidence": true, transcript.PrivateDir: true, agreed.TrustedDir: true, "metadata": true, "publish": true, rehearsalDir: true}

// unnamed says what a file is doing there that the log does not name.
func (w *walk) unnamed(name string) (Status, string) {
	base := path.Base(name)
	switch {
	case name == transcript.FileName, name == transcript.PrivateName, name == state.PlanFile:
		return OK, ""
	case strings.HasPrefix(name, rehearsalDir+"/"):
		if w.Rehearsal {
			return OK, ""
		}
		return Failed, "a folder of rehearsals, in the record of a real ceremony"
	case notice.MatchString(name):
		return OK, "a notice for users, as people have left it: the log does not vouch for it"
	case name == state.SumsFile:
		return OK, "the list that a copy on a medium carries: the log does not vouch for it"
	case strings.HasPrefix(base, ".unfinished-"):
		return OK, "a process that ended in the middle has left it; the next start removes it"
	case w.planned(name), path.Dir(name) == keysDir:
		return OK, "people laid it beside the plan: the agreed one has in it what counts"
	case interrupted.MatchString(name), name == sumsFile && w.sealedAt != 0 && w.files.sum[name] == sumOf(w.sums()),
		name == checkpointFile && w.sealedAt != 0 && w.files.sum[name] == sumOf(w.closingNote()):
		return OK, "the log does not name it: a step that was interrupted has left it"
	case publishedRoot.MatchString(name):
		return Failed, "the log knows nothing of it: somebody has laid that root here, or lines were taken out at the end of the log"
	}
	return Failed, "the log knows nothing of it"
}

// planned reports whether plan.toml, as it was agreed, names a file, or a folder
// that it is in, or that is in it.
func (w *walk) planned(name string) bool {
	text := w.files.text[state.PlanFile]
	if w.plan == nil || w.files.sum[state.PlanFile] != w.plan.PlanSHA256 {
		return w.plan == nil && text != nil // whatever people lay beside a plan that is not agreed yet
	}
	quoted := func(line, name string) bool {
		return strings.Contains(line, `"`+name+`"`) || strings.Contains(line, `'`+name+`'`)
	}
	for line := range strings.Lines(string(text)) {
		if path.Ext(name) != "" && quoted(line, name) { // a key file; a folder of others is the trusted chain's
			return true
		}
		if member, _, _ := strings.Cut(strings.TrimSpace(line), "="); strings.TrimSpace(member) != "trusted" {
			continue
		}
		if strings.Contains(line, `"`+name+"/") || strings.Contains(line, `'`+name+"/") {
			return true
		}
		for folder := name; folder != "."; folder = path.Dir(folder) {
			if quoted(line, folder) {
				return true
			}
		}
	}
	return false
}
