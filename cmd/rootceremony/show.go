package main

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf16"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/plainfile"
)

// showCommand says what metadata says.
func showCommand(args []string) error {
	flags := flag.NewFlagSet("show", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	record := flags.String("record", "", "")
	path := flags.String("who", "", "")
	operands, err := parse(flags, args, 1, -1, "one FILE or more, or a folder")
	if err != nil {
		return err
	}
	given := false
	flags.Visit(func(f *flag.Flag) { given = given || f.Name == "who" })
	if given {
		if len(operands) != 1 {
			return &usageError{"show --who: one folder is needed, with the published metadata"}
		}
		return showWho(*path, operands[0], *record, *asJSON)
	}
	list := []any{}
	for i, name := range operands {
		if i > 0 && !*asJSON {
			fmt.Println()
		}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			if *asJSON {
				return &usageError{fmt.Sprintf("show --json: %s is a folder, and files are needed; or --who with a path", name)}
			}
			if err := showTree(name, *record); err != nil {
				return err
			}
			continue
		}
		text, err := plainfile.Read(name, tuf.MaxTargetsSize)
		if err != nil {
			return err
		}
		if tuf.IsTargets(text) {
			f, err := readTargets(name)
			if err != nil {
				return err
			}
			if *asJSON {
				list = append(list, newShownTargets(name, text, f))
				continue
			}
			if err := showTargets(name, f, *record); err != nil {
				return err
			}
			continue
		}
		text, file, err := readRoot(name)
		if err != nil {
			return err
		}
		holders, from, err := holderNames(*record, name)
		if err != nil {
			return err
		}
		names := holders.in(file.Root)
		if *asJSON {
			list = append(list, newShown(name, text, file, names))
			continue
		}
		if err := printLines(append(append([]string{name}, tuf.Show(file, clock(), names)...), from...)); err != nil {
			return err
		}
	}
	if *asJSON {
		return printPlainJSON(list)
	}
	return nil
}

// diffCommand says what differs between two roots, or two targets metadata files.
func diffCommand(args []string) error {
	flags := flag.NewFlagSet("diff", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	record := flags.String("record", "", "")
	operands, err := parse(flags, args, 2, 2, "two files, OLD and NEW")
	if err != nil {
		return err
	}
	kinds := [2]bool{}
	for i, name := range operands {
		text, err := plainfile.Read(name, tuf.MaxTargetsSize)
		if err != nil {
			return err
		}
		kinds[i] = tuf.IsTargets(text)
	}
	switch kinds {
	case [2]bool{true, true}:
		return diffTargets(operands[0], operands[1], *record, *asJSON)
	case [2]bool{true, false}, [2]bool{false, true}:
		return fmt.Errorf("one of %s and %s is targets metadata, and the other isn't: they can't be compared", operands[0], operands[1])
	}
	_, old, err := readRoot(operands[0])
	if err != nil {
		return err
	}
	_, new, err := readRoot(operands[1])
	if err != nil {
		return err
	}
	holders, from, err := holderNames(*record, operands...)
	if err != nil {
		return err
	}
	names := holders.in(old.Root, new.Root)
	d := compared{tuf.Diff(old.Root, new.Root, clock(), names), new.Report(old.Root), new.Report(new.Root)}
	if *asJSON {
		return printPlainJSON(d)
	}
	var lines []string
	for _, change := range d.Changes {
		lines = append(lines, change.Text)
	}
	lines = append(lines,
		"the new one is signed for the old one by "+d.ForOld.Text(names),
		"the new one is signed for itself by "+d.ForNew.Text(names))
	return printLines(append(lines, from...))
}

// compared is two roots as diff --json writes them: what changes, and the
// signatures of the new one for the root roles of both.
type compared struct {
	Changes []tuf.Change `json:"changes"`
	ForOld  tuf.Report   `json:"signatures_for_old"`
	ForNew  tuf.Report   `json:"signatures_for_new"`
}

// readRoot reads a root file and complains by its name.
func readRoot(name string) ([]byte, *tuf.File, error) {
	text, err := transcript.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	file, err := tuf.Parse(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, file, nil
}

// holderKeys are holders' names by the value of their root keys. A key id is
// no proof: anyone who writes a root can put another key under it.
type holderKeys map[string]string

// in names the key ids of roots.
func (h holderKeys) in(roots ...*tuf.Root) map[string]string {
	var lists [][]tuf.Key
	for _, root := range roots {
		lists = append(lists, root.Keys)
	}
	return h.named(lists...)
}

// named names key ids, where they stand for holders' keys. An id that stands for
// different keys has no name.
func (h holderKeys) named(lists ...[]tuf.Key) map[string]string {
	values := map[string]string{} // "": several
	for _, list := range lists {
		for _, key := range list {
			if other, twice := values[key.ID]; twice && other != key.Value() {
				values[key.ID] = ""
				continue
			}
			values[key.ID] = key.Value()
		}
	}
	names := map[string]string{}
	for id, value := range values {
		if name, known := h[value]; known {
			names[id] = name
		}
	}
	return names
}

// holderNames returns holders' names by their keys, from the ceremony directory
// "record" or, where none is named, those that the files lie in; and lines that
// say where they are from.
func holderNames(record string, files ...string) (names holderKeys, from []string, err error) {
	records := []string{record}
	if record == "" {
		records = nil
		for _, file := range files {
			if dir := recordAround(file); dir != "" && !slices.Contains(records, dir) {
				records = append(records, dir)
			}
		}
	}
	names = holderKeys{}
	for _, dir := range records {
		desk, err := ceremony.LookAt(dir)
		switch {
		case err != nil && record != "":
			return nil, nil, err
		case err != nil:
			from = append(from, fmt.Sprintf("no names: the record cannot be read: %v", err))
			continue
		}
		for _, h := range desk.State().Holders {
			key, there := desk.State().RootKey(h)
			if !there {
				continue
			}
			names[key.Value()] = h.Holder.Name
			if h.Firmware == (keys.Firmware{}) {
				continue
			}
			for _, a := range keys.Advisories(h.Firmware, key.Public.Algorithm) {
				from = append(from, fmt.Sprintf("note: the token of %s has firmware %s: %v (hint: a new key on a newer token: %s)", h.Holder.Name, h.Firmware, a, agreed.Command("plan", "--kind", agreed.Rotate, "DIR")))
			}
		}
		from = append(from, "names are those of the record in "+dir)
	}
	return names, from, nil
}

// recordAround returns the ceremony directory in whose publish, metadata or
// trusted folder a file lies, or "".
func recordAround(file string) string {
	path, err := filepath.Abs(file)
	if err != nil {
		return ""
	}
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if slices.Contains([]string{"publish", "metadata", "trusted"}, filepath.Base(dir)) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(dir), transcript.FileName)); err == nil {
				return filepath.Dir(dir)
			}
		}
	}
	return ""
}

// shown is a root file as show --json writes it.
type shown struct {
	File               string                     `json:"file"`
	SHA256             string                     `json:"sha256"` // of the file
	Digest             string                     `json:"digest"` // SHA-256 of what is signed
	Version            int64                      `json:"version"`
	Expires            time.Time                  `json:"expires"`
	Expired            bool                       `json:"expired"`
	SpecVersion        string                     `json:"spec_version"`
	ConsistentSnapshot bool                       `json:"consistent_snapshot"`
	Rehearsal          bool                       `json:"rehearsal"`
	Keys               []shownKey                 `json:"keys"`
	Roles              map[string]shownRole       `json:"roles"`
	Fields             map[string]json.RawMessage `json:"unknown_fields"`
	Unsigned           map[string]json.RawMessage `json:"unsigned_fields"` // beside "signed"
	Signatures         tuf.Report                 `json:"signatures"`      // for its own root role
	SignedBy           []string                   `json:"signed_by"`       // key ids of all signatures, checked or not
	Findings           []tuf.Finding              `json:"findings"`
	Refusals           []tuf.Refusal              `json:"refusals"` // by clients that are known to refuse it
}

type shownKey struct {
	KeyID  string          `json:"keyid"`
	Holder string          `json:"holder,omitempty"`
	Key    json.RawMessage `json:"key"` // the key object

	Exposed      bool   `json:"exposed,omitempty"`      // the private half of the key stands in the root too
	Unverifiable string `json:"unverifiable,omitempty"` // why nothing that the key signs counts here
}

type shownRole struct {
	Threshold int                        `json:"threshold"`
	KeyIDs    []string                   `json:"keyids"`
	Fields    map[string]json.RawMessage `json:"unknown_fields,omitempty"`
}

func newShown(name string, text []byte, file *tuf.File, names map[string]string) shown {
	r := file.Root
	s := shown{
		File: name, SHA256: fmt.Sprintf("%x", sha256.Sum256(text)), Digest: fmt.Sprintf("%x", file.Digest()),
		Version: r.Version, Expires: r.Expires, Expired: !r.Expires.After(clock()),
		SpecVersion: r.SpecVersion, ConsistentSnapshot: r.ConsistentSnapshot, Rehearsal: r.Rehearsal(),
		Keys: []shownKey{}, Roles: map[string]shownRole{}, Fields: rawFields(r.Extra), Unsigned: rawFields(file.Extra),
		Signatures: file.Report(r), SignedBy: []string{}, Findings: append([]tuf.Finding{}, file.Findings...), Refusals: append([]tuf.Refusal{}, tuf.Refusals(r, nil)...),
	}
	exposed := r.Exposed()
	for _, k := range r.Keys {
		s.Keys = append(s.Keys, shownKey{k.ID, names[k.ID], k.Object(), exposed[k.Value()], k.Unverifiable})
	}
	for name, role := range r.Roles {
		s.Roles[name] = shownRole{role.Threshold, role.KeyIDs, rawFields(role.Extra)}
	}
	for _, sig := range file.Signatures {
		if len(sig.Sig) > 0 {
			s.SignedBy = append(s.SignedBy, sig.KeyID)
		}
	}
	return s
}

// printPlainJSON prints JSON in ASCII: what came from a file may hold characters
// that a terminal takes for commands.
func printPlainJSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var plain []byte
	for _, r := range string(text) {
		if r < 0x7f {
			plain = append(plain, byte(r))
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			plain = fmt.Appendf(plain, `\u%04x`, u)
		}
	}
	return tuf.WriteJSON(os.Stdout, json.RawMessage(plain))
}

func rawFields(fields []tuf.Field) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	for _, f := range fields {
		m[f.Name] = json.RawMessage(f.Value)
	}
	return m
}
