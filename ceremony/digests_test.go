package ceremony_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/laptop"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/remote"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// digests are what the digests of a day are of, by hex: "file publish/1.root.json",
// "signed part of ...", "key ...", "log line 7". They are computed from the
// files that lie there in the end.
type digests struct {
	t    *testing.T
	of   map[string][]string
	said map[string]int // how often each kind was seen
}

func (d *digests) learn(hash, what string) {
	if !slices.Contains(d.of[hash], what) {
		d.of[hash] = append(d.of[hash], what)
	}
}

// folder learns all that lies in a folder.
func (d *digests) folder(dir string) {
	d.t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(dir, name)
		d.learn(sha256Of(text), "file "+filepath.ToSlash(relative))
		if filepath.Base(name) == transcript.FileName && filepath.Base(filepath.Dir(name)) != transcript.PrivateDir {
			log, err := transcript.Read(text, nil)
			if err != nil {
				return err
			}
			for size := range log.Checkpoint().Size + 1 {
				d.learn(log.CheckpointAt(size).Root, fmt.Sprintf("log of %d lines", size))
			}
		}
		if entry.Name() == ceremony.MediumFile { // labels begin with it
			d.learn(strings.TrimSpace(string(text)), "medium "+relative)
		}
		d.root(text, relative)
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *digests) root(text []byte, name string) {
	f, err := tuf.Parse(text)
	if err != nil {
		return
	}
	d.learn(sha256Of(f.Signed), "signed part of "+name)
	for _, key := range f.Root.Keys {
		d.learn(key.ID, "key id")
		d.learn(key.Public.Hex, "key")
	}
}

var (
	wholeDigest = regexp.MustCompile(`\b[0-9a-f]{64}\b|\b[0-9a-f]{4}(?:\s+[0-9a-f]{4}){15}\b`)
	shortDigest = regexp.MustCompile(`\b(?:[0-9a-f]{8}|[0-9a-f]{16})\b`)
	// rowLabel stands before words in a row.
	rowLabel = regexp.MustCompile(`Words \d+ to \d+:|\b\d\d?\b`)
)

// kind of a digest is how it must be called.
func (d *digests) kind(hash string) string {
	of := strings.Join(d.of[hash], ", ")
	for _, kind := range []string{"signed part", "file", "key", "log", "medium"} {
		if strings.Contains(of, kind) {
			return kind
		}
	}
	return ""
}

// called says how digests of a kind are called, in the line before them or in
// their own. A plan's is "the digest".
var called = map[string]*regexp.Regexp{
	"signed part": regexp.MustCompile(`(?i)of what is signed|the signed part`),
	"file":        regexp.MustCompile(`(?i)of (the|its) file|digest|root\.json'?s? SHA-256`),
	"key":         regexp.MustCompile(`(?i)key|role|add(ed|s)|new |missing|no longer|root: `),
	"log":         regexp.MustCompile(`(?i)checkpoint|log`),
}

// check recomputes every digest of a text, holds each to its name, and the
// words to the digest that stands beside them.
func (d *digests) check(where, text string) {
	d.t.Helper()
	var digits []string
	var ends []int
	for _, at := range wholeDigest.FindAllStringIndex(text, -1) {
		hash := strings.Join(strings.Fields(text[at[0]:at[1]]), "")
		kind, name := d.kind(hash), nameOf(text[:at[0]])
		d.said[kind]++
		switch {
		case kind == "":
			d.t.Errorf("%s: %s is of nothing that is there:\n%s", where, hash, text)
		case !called[kind].MatchString(name), kind == "file" && called["signed part"].MatchString(name):
			d.t.Errorf("%s: the digest of %s is called %q:\n%s", where, d.of[hash], name, text)
		}
		digits, ends = append(digits, hash), append(ends, at[1])
	}
	for _, run := range wordRuns(text) {
		d.said["words"]++
		beside := ""
		for i, end := range ends {
			if end <= run.at || beside == "" {
				beside = digits[i]
			}
		}
		if run.hash != beside {
			d.t.Errorf("%s: the words are those of %s (%s), and beside them stands %s (%s):\n%s", where, run.hash, d.of[run.hash], beside, d.of[beside], text)
		}
	}
	for _, at := range shortDigest.FindAllStringIndex(text, -1) {
		short, name := text[at[0]:at[1]], nameOf(text[:at[0]])
		if strings.ContainsAny(text[max(at[0]-1, 0):at[0]]+text[at[1]:min(at[1]+1, len(text))], "/-") || regexp.MustCompile(`^\d+$`).MatchString(short) && strings.Contains(name, "evidence/") {
			continue // a part of a file's name
		}
		d.said["short"]++
		found := ""
		for hash := range d.of {
			if strings.HasPrefix(hash, short) {
				found = d.kind(hash)
			}
		}
		if found == "" && !strings.Contains(text, "evidence/") {
			d.t.Errorf("%s: %s begins nothing that is there:\n%s", where, short, text)
		}
		if found == "signed part" && !regexp.MustCompile(`(?i)draft|what is signed|metadata/`).MatchString(name+text[at[1]:]) {
			d.t.Errorf("%s: %s begins the digest of what is signed, and is called %q:\n%s", where, short, name, text)
		}
	}
}

// nameOf is what stands before a digest: the rest of its line, and the line
// before that, where that one holds no digest itself.
func nameOf(before string) string {
	lines := strings.Split(before, "\n")
	name := lines[len(lines)-1]
	for i := len(lines) - 2; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" {
			if !wholeDigest.MatchString(line) {
				name = line + "\n" + name
			}
			break
		}
	}
	return name
}

type wordRun struct {
	at   int // where it begins
	hash string
}

// wordRuns finds words of whole digests.
func wordRuns(text string) []wordRun {
	text = rowLabel.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat(" ", len(s)) })
	values := [2]map[string]byte{{}, {}}
	for b := range 256 {
		pair := keys.Words([]byte{byte(b), byte(b)})
		values[0][pair[0]], values[1][pair[1]] = byte(b), byte(b)
	}
	var runs []wordRun
	var raw []byte
	at := 0
	for _, word := range regexp.MustCompile(`\S+`).FindAllStringIndex(text, -1) {
		b, is := values[len(raw)%2][text[word[0]:word[1]]]
		if !is {
			raw = nil
			if b, is = values[0][text[word[0]:word[1]]]; !is {
				continue
			}
		}
		if len(raw) == 0 {
			at = word[0]
		}
		if raw = append(raw, b); len(raw) == 32 {
			runs, raw = append(runs, wordRun{at, hex.EncodeToString(raw)}), nil
		}
	}
	return runs
}

func sha256Of(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }

// textOf is a screen.
func textOf(m prompt.Message) string {
	lines := []string{m.Title}
	for _, f := range m.Facts {
		lines = append(lines, f.Label+": "+f.Value)
	}
	return strings.Join(append(append(lines, m.Lines...), m.Text...), "\n")
}

// documents checks what is written for people in a directory, and the digests
// that programs read in its log.
func (d *digests) documents(dir string) {
	d.t.Helper()
	for _, pattern := range []string{"publish/trust/*.md", "publish/trust/*.txt", "metadata/*/*.md"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				d.t.Fatal(err)
			}
			d.check(file, string(text))
		}
	}
	for _, file := range []string{"publish/SHA256SUMS", "publish/trust/root.json.sha256"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			continue // it is not closed
		}
		for line := range strings.Lines(string(text)) {
			hash, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
			if strings.HasPrefix(line, "#") {
				continue
			}
			listed, err := os.ReadFile(filepath.Join(dir, filepath.Dir(file), name))
			if err != nil || !ok || hash != sha256Of(listed) {
				d.t.Errorf("%s: %q: %v", file, line, err)
			}
			d.said["sums"]++
		}
	}
	for _, e := range events(d.t, dir) {
		d.event(e.Type, e.Data)
	}
}

// event holds the members "sha256" and "digest" of an event to what they are of.
func (d *digests) event(kind string, data json.RawMessage) {
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		var list []json.RawMessage
		if json.Unmarshal(data, &list) == nil {
			for _, one := range list {
				d.event(kind, one)
			}
		}
		return
	}
	for name, value := range object {
		text := strings.Trim(string(value), `"`)
		want := map[string]string{"sha256": "file", "digest": "signed part"}[name]
		if kind == state.TypePlanAgreed {
			want = "file"
		}
		if (name == "sha256" || name == "digest") && d.kind(text) != want {
			d.t.Errorf("%s: %s %s is of %v", kind, name, text, d.of[text])
		}
		d.event(kind, value)
	}
}

// TestEveryDigestIsOfWhatItSays takes every digest, in digits, in words and
// shortened, from the screens and documents of whole days, and recomputes it
// from the files: what is called the digest of a file is what sha256sum says of
// it, what is called that of what is signed is that, and words belong to the
// digest beside them.
func TestEveryDigestIsOfWhatItSays(t *testing.T) {
	d := &digests{t, map[string][]string{}, map[string]int{}}
	var screens []prompt.Message
	var dirs []string
	say := func(m prompt.Message) { screens = append(screens, m) }
	failed := func(err error) {
		screens = append(screens, prompt.Message{Title: "error", Text: []string{err.Error()}})
	}
	run := func(desk *ceremony.Desk, answers map[string]string, ids ...string) {
		t.Helper()
		for _, id := range ids {
			if err := desk.Run(t.Context(), id, &prompt.Script{Answers: answers, Say: say}); err != nil {
				t.Fatalf("%s: %v", id, err)
			}
		}
	}
	all := func(desk *ceremony.Desk, answers map[string]string) {
		t.Helper()
		if err := runAll(desk, &prompt.Script{Answers: answers, Say: say}); err != nil {
			t.Fatal(err)
		}
	}
	ended := func(desk *ceremony.Desk) {
		screens = append(screens, prompt.Message{Title: "status", Lines: desk.Status()})
		dirs = append(dirs, desk.Dir())
	}

	// A first root, of which one key was made elsewhere, and one signature came
	// after it was published.
	first, desk := opened(t)
	runTo(t, desk, "enrol alice")
	away := goAway(t, first, desk, "emil")
	there, err := away.open()
	if err != nil {
		t.Fatal(err)
	}
	away.cards = map[string]prompt.Written{}
	if err := runAll(there, &prompt.Script{Say: say, Cards: away.cards}); err != nil {
		t.Fatal(err)
	}
	ended(there)
	there.Close()
	if _, err := desk.Collect(away.file()); err != nil {
		t.Fatal(err)
	}
	run(desk, map[string]string{"review.second": "yes"}, "enrol alice", "enrol bruno", "enrol chen", "enrol dana")
	if err := desk.Run(t.Context(), "enrol emil", &prompt.Script{Say: say, Cards: away.cards}); err != nil {
		t.Fatal(err)
	}
	run(desk, map[string]string{"review.second": "yes"}, "review", "sign alice", "sign bruno", "sign chen", "publish", "sign dana", "seal", "checkpoints", "sums")
	ended(desk)

	// It is rotated; a first draft is abandoned, and taken up again. Somebody
	// has signed another one.
	people, latest := members(t, desk), first
	people[4].drop = agreed.Lost // it is far away
	people = append(people, member{name: "Farah Aziz", token: "F-06"})
	for _, anchor := range []state.Anchor{state.AnchorTyped, state.AnchorConfirmed} {
		answers := map[string]string{"trusted.how": string(anchor), "abandon.why": "a test", "resume.why": "a test"}
		var rotation *ceremony.Desk
		latest, rotation = latest.follow(following(agreed.Rotate, "[root]\nexpires = \"365d\"\nthreshold = 2\n", people...)+
			"\n[[person]]\nname = \"Wanda Meyer\"\nrole = \"witness\"\n", "F-06")
		for {
			task, _ := rotation.Next()
			run(rotation, answers, task.ID)
			if task.ID == "review" {
				break
			}
		}
		digest := rotation.State().Draft.Digest
		run(rotation, answers, "abandon")
		ended(rotation)
		run(rotation, answers, fmt.Sprintf("resume %.8s", digest), "review")
		all(rotation, answers)
		ended(rotation)
		people = members(t, rotation)
	}

	g := newGathering(t)
	other := g.elsewhere(t)
	rival := g.signs(t, other, "alice")
	ended(other)
	copied, rivalled := g.duplicate()
	collected, err := rivalled.Collect(rival)
	if err != nil {
		t.Fatal(err)
	}
	failed(fmt.Errorf("%s; %s", collected.Root.Alarm, collected.Root.Counts))
	d.folder(copied.dir)
	if _, err := rivalled.Collect(assembled(t, other)); err != nil {
		failed(err)
	}

	// The same, with backups.
	_, desk = withBackups(t)
	all(desk, nil)
	ended(desk)

	// Signed elsewhere: with a copy of the signer's own, and without.
	far := newDesktop(t)
	one, two := far.rotation()
	draft := far.parsed(far.settings().File)
	for i, answers := range [][]string{{"sign.second", "yes"}, {"sign.second", "no"}, {"sign.digest", sha256Of(draft.Signed)}} {
		set, a := far.settings(), far.person("new", answers...)
		set.Out = filepath.Join(far.dir, fmt.Sprintf("%d.json", i))
		if a.Answers["sign.digest"] != "" {
			set.Trusted = ""
		}
		a.Say = say
		if _, err := far.signs(set, a); err != nil {
			t.Fatal(err)
		}
	}
	set := far.settings()
	set.File = far.file("other.json", far.root(2, noon.Add(2*inAYear), "both", "p256", "new"), one)
	if _, err := far.signs(set, far.person("new")); err == nil {
		t.Error("a version was signed twice")
	} else {
		failed(err)
	}
	far.file("published/1.root.json", one, nil, "both", "old")
	set.Trusted = filepath.Dir(far.file("published/2.root.json", two, one, "both", "p256"))
	if _, err := remote.OpenCountersigning(set); err == nil {
		t.Error("a root beside a published one was signed")
	} else {
		failed(err)
	}

	program, err := laptop.Program()
	if err != nil {
		t.Fatal(err)
	}
	d.learn(program, "file of the program")
	for _, dir := range append(slices.Clone(dirs), g.dir, far.dir) {
		d.folder(dir)
	}
	for _, m := range screens {
		d.check(m.Title, textOf(m))
	}
	for _, dir := range dirs {
		d.documents(dir)
	}
	t.Log(d.said)
	for _, kind := range []string{"signed part", "file", "key", "log", "words", "short", "sums"} {
		if d.said[kind] == 0 {
			t.Errorf("no digest of the kind %q was seen", kind)
		}
	}

	// What is announced is what sha256sum says of the published file: its
	// digits and words stand on the screen on which it is published, on that of
	// the end, and in the kit.
	for _, dir := range dirs {
		for _, file := range mustGlob(t, filepath.Join(dir, "publish", "trust", "root.json")) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			hash := sha256Of(text)
			f, err := tuf.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			for _, title := range []string{fmt.Sprintf("Publish root v%d", f.Root.Version), "The ceremony is closed"} {
				if !slices.ContainsFunc(screens, func(m prompt.Message) bool {
					shown := textOf(m)
					return m.Title == title && len(wordRuns(shown)) == 1 && wordRuns(shown)[0].hash == hash && strings.Contains(shown, grouped(hash)) && strings.Contains(shown, grouped(sha256Of(f.Signed)))
				}) {
					t.Errorf("%q shows no words of %s, or not both its digests", title, file)
				}
			}
			words, err := os.ReadFile(filepath.Join(filepath.Dir(file), "WORDS.txt"))
			if runs := wordRuns(string(words)); err != nil || len(runs) != 1 || runs[0].hash != hash {
				t.Errorf("%s: other words: %v", file, err)
			}
		}
	}
}

func grouped(hash string) string {
	raw, _ := hex.DecodeString(hash)
	return keys.Groups(raw)
}

func mustGlob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
