package tuf

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

var update = flag.Bool("update", false, "write testdata/vectors and docs/second-opinions.md again")

const vectorDir = "testdata/vectors"

// vectorTime is when the last root of a vector must not have expired.
var vectorTime = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// vector is a root file, or a chain of them, with the verdict that is right.
type vector struct {
	name  string
	want  string // "good", "good: " and a part of a finding, or a part of the reason to refuse it
	at    string // where a place is named: the text that begins there, or theEnd
	about string // what is in it, in one line
	files [][]byte
}

// theEnd stands for the place after the last byte.
const theEnd = "the end"

// stored is a vector as it lies in testdata.
type stored struct {
	name, verdict, about string
	files                [][]byte
}

// verdict is "good" with the findings, or why the chain is refused.
func verdict(files [][]byte) string {
	steps, err := verifyChain(files, vectorTime)
	if err != nil {
		return strings.ReplaceAll(err.Error(), "\n", " ")
	}
	var notes []string
	for _, step := range steps {
		notes = append(notes, Notes(step.Findings)...)
	}
	if notes == nil {
		return "good"
	}
	return "good: " + strings.Join(notes, "; ")
}

// readVectors reads a folder of testdata: index.txt has a line for each vector,
// "name | verdict | description"; the file is NAME.json, the files of a chain
// are NAME.1.json, NAME.2.json and so on.
func readVectors(t testing.TB, dir string) []stored {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(dir, "index.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var list []stored
	for line := range strings.Lines(string(index)) {
		part := strings.Split(strings.TrimSuffix(line, "\n"), " | ")
		if len(part) != 3 {
			t.Fatalf("index.txt: %q", line)
		}
		v := stored{name: part[0], verdict: part[1], about: part[2]}
		names, _ := filepath.Glob(filepath.Join(dir, v.name+".[0-9].json"))
		if len(names) == 0 {
			names = []string{filepath.Join(dir, v.name+".json")}
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			v.files = append(v.files, data)
		}
		list = append(list, v)
	}
	return list
}

func TestVectors(t *testing.T) {
	if n := holdVectors(t, vectorDir, vectors(t), verdict, func(data []byte) error { _, err := Parse(data); return err }); n < 150 {
		t.Errorf("%d vectors", n)
	}
}

// holdVectors holds a folder of testdata to the vectors, and those to what they want.
// parse reads the last file of one.
func holdVectors(t *testing.T, dir string, made []vector, verdict func([][]byte) string, parse func([]byte) error) int {
	t.Helper()
	if *update {
		writeVectors(t, dir, made, verdict)
	}
	have := readVectors(t, dir)
	if len(have) != len(made) {
		t.Fatalf("%d vectors in testdata, %d in the table; go test -update writes them", len(have), len(made))
	}
	files, size := 0, 0
	for i, v := range have {
		m := made[i]
		if v.name != m.name || v.about != m.about {
			t.Errorf("%s: in testdata it is %s: %s", m.name, v.name, v.about)
			continue
		}
		got := verdict(v.files)
		if got != v.verdict {
			t.Errorf("%s: %s\nindex.txt has: %s", v.name, got, v.verdict)
		}
		if (m.want == "good") != (got == "good") || strings.HasPrefix(m.want, "good") != strings.HasPrefix(got, "good") ||
			!strings.Contains(got, strings.TrimPrefix(m.want, "good: ")) {
			t.Errorf("%s: %s\nwant: %s", v.name, got, m.want)
		}
		last := v.files[len(v.files)-1]
		if err := parse(last); m.at != "" || err != nil {
			e, ok := err.(*ParseError)
			if !ok || m.at == "" || m.at == theEnd && e.Offset != len(last) || m.at != theEnd && !bytes.HasPrefix(last[e.Offset:], []byte(m.at)) {
				t.Errorf("%s: the place is not that of %q: %v", v.name, m.at, err)
			}
		}
		for _, data := range v.files {
			files, size = files+1, size+len(data)
		}
	}
	if names, _ := filepath.Glob(dir + "/*.json"); len(names) != files {
		t.Errorf("%d files in %s, %d are in the index", len(names), dir, files)
	}
	t.Logf("%d vectors, %d files, %d bytes", len(have), files, size)
	return len(have)
}

func writeVectors(t *testing.T, dir string, list []vector, verdict func([][]byte) string) {
	old, _ := filepath.Glob(dir + "/*")
	for _, name := range old {
		os.Remove(name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var index bytes.Buffer
	for _, v := range list {
		fmt.Fprintf(&index, "%s | %s | %s\n", v.name, verdict(v.files), v.about)
		for i, data := range v.files {
			name := v.name + ".json"
			if len(v.files) > 1 {
				name = fmt.Sprintf("%s.%d.json", v.name, i+1)
			}
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "index.txt"), index.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pretty writes a root file as we do, without asking whether it is any good.
func pretty(r *Root, sigs ...Signature) string { return indented(r.json(), sigs) }

func indented(signed string, sigs []Signature) string {
	d, err := scan(string(file(signed, sigs)))
	if err != nil {
		panic(err)
	}
	return string(append(d.indent(nil, 0, 0), '\n'))
}

// vectorRoot is what most vectors are made from: 2 of 3, and one online key.
func vectorRoot() (*Root, []*maker) {
	r, holders := newRoot(3, 2)
	r.Keys = r.Keys[:4]
	for _, name := range RoleNames[1:] {
		r.Roles[name] = Role{KeyIDs: []string{r.Keys[3].ID}, Threshold: 1}
	}
	return r, holders
}

// workshop makes vectors by editing a good file. Where the edit changes what is
// signed, the result is signed again, so that nothing but the edit is wrong.
type workshop struct {
	t       testing.TB
	base    string
	signed  []byte   // of base
	holders []*maker // all have signed base, so that one signature or key may be wrong
	list    []vector
}

func (w *workshop) add(name, want, at, about string, files ...[]byte) {
	if strings.HasPrefix(want, "good") {
		at = "" // a finding stops nothing
	}
	w.list = append(w.list, vector{name, want, at, about, files})
}

// replaced is base with the first old after anchor replaced.
func (w *workshop) replaced(anchor, old, new string) string {
	w.t.Helper()
	start := strings.Index(w.base, anchor)
	at := -1
	if start >= 0 {
		at = strings.Index(w.base[start:], old)
	}
	if at < 0 {
		w.t.Fatalf("no %q after %q in the text", old, anchor)
	}
	return w.base[:start+at] + new + w.base[start+at+len(old):]
}

// edit adds base with the first old after anchor replaced, and signed again.
func (w *workshop) edit(name, anchor, old, new, want, at, about string) {
	w.t.Helper()
	text := w.replaced(anchor, old, new)
	w.add(name, want, at, about, w.sign(text, text))
}

// editAs is edit where a lenient reader takes "new" for "lenient".
func (w *workshop) editAs(name, anchor, old, new, lenient, want, at, about string) {
	w.t.Helper()
	w.add(name, want, at, about, w.sign(w.replaced(anchor, old, new), w.replaced(anchor, old, lenient)))
}

// everywhere adds base with all of old replaced, and signed again.
func (w *workshop) everywhere(name, old, new, want, at, about string) {
	text := strings.ReplaceAll(w.base, old, new)
	w.add(name, want, at, about, w.sign(text, text))
}

// raw adds a text as it is.
func (w *workshop) raw(name, text, want, at, about string) {
	w.add(name, want, at, about, []byte(text))
}

// sign puts signatures over what a lenient reader finds to be signed in
// "meaning" in the place of those in text.
func (w *workshop) sign(text, meaning string) []byte {
	var whole struct{ Signed json.RawMessage }
	if json.Unmarshal([]byte(meaning), &whole) != nil {
		return []byte(text)
	}
	signed, err := cjson.EncodeCanonical(whole.Signed)
	if err != nil {
		return []byte(text)
	}
	for _, h := range w.holders {
		text = strings.ReplaceAll(text, fmt.Sprintf("%x", h.sign(w.signed).Sig), fmt.Sprintf("%x", h.sign(signed).Sig))
	}
	return []byte(text)
}

func vectors(t testing.TB) []vector {
	r, holders := vectorRoot()
	w := &workshop{t: t, base: pretty(r, signAll(r.Canonical(), holders...)...), signed: r.Canonical(), holders: holders}
	w.raw("good", w.base, "good", "", "2 of 3 ed25519 keys must sign, all did; as we write it")
	w.syntax()
	w.structure(r)
	w.keysAndRoles(r)
	w.legacy()
	w.postQuantum()
	w.counting(r)
	w.chains()
	return w.list
}

// A file of exactly the greatest size is read; one byte more is refused, and
// nothing of it is looked at.
func TestGreatestSize(t *testing.T) {
	data, _, _ := newFile(t)
	whole := append(data, bytes.Repeat([]byte(" "), MaxSize-len(data))...)
	if _, err := Parse(whole); err != nil {
		t.Error(err)
	}
	for _, long := range [][]byte{append(whole, ' '), bytes.Repeat([]byte{'['}, MaxSize+1), make([]byte, 64*MaxSize)} {
		start := time.Now()
		if _, err := Parse(long); err == nil || !strings.Contains(err.Error(), "line 1, column 1 (byte 0): the file is longer than 1048576 bytes") {
			t.Error(err)
		}
		if took := testing.AllocsPerRun(1, func() { Parse(long) }); took > 10 {
			t.Errorf("%v allocations, %v", took, time.Since(start))
		}
	}
}
