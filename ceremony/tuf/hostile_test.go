package tuf

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostile are files of nearly the greatest size, each of the kind that some
// part of reading, counting, showing or comparing likes least.
func hostile(t testing.TB) map[string]string {
	root := signedText(nil)
	ids := strings.Split(strings.TrimPrefix(root[strings.Index(root, `"keyids":[`):], `"keyids":[`), "]")[0]
	fill := func(before, after string, item func(i int) string) string {
		var b strings.Builder
		b.WriteString(before)
		for i := 0; b.Len()+len(after)+300 < MaxSize; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(item(i))
		}
		return b.String() + after
	}
	field := func(open, close string, item func(i int) string) string {
		return fill(`{"signatures":[],"signed":`+strings.TrimSuffix(root, "}")+`,"x":`+open, close+"}}", item)
	}
	key := strings.TrimSuffix(string(make25519(0).key.Object()), "}")
	keys := func(role string, item func(i int) (id, key string)) string {
		var list []string
		all := fill("", "", func(i int) string {
			id, key := item(i)
			list = append(list, `"`+id+`"`)
			return fmt.Sprintf(`"%s":%s%s`, id, key, strings.Repeat(" ", len(id)+4)) // room for the id in the role
		})
		all = strings.ReplaceAll(all, " ", "")
		text := strings.Replace(root, `"keys":{`, `"keys":{`+all+",", 1)
		return `{"signatures":[],"signed":` + strings.Replace(text, ids, strings.Join(list, ",")+","+ids, 1) + "}"
	}
	var fields strings.Builder // of one key, which many roles list
	for i := range 40_000 {
		fmt.Fprintf(&fields, `,"x%d":0`, i)
	}
	fat := strings.Replace(root, key, key+fields.String(), 1)
	return map[string]string{
		"one fat key": strings.Replace(`{"signatures":[],"signed":`+fat+"}", `"roles":{`, `"roles":{`+
			strings.TrimSuffix(fill(fat, "", func(i int) string { return fmt.Sprintf(`"r%d":{"keyids":[%.66s],"threshold":1}`, i, ids) })[len(fat):], ",")+",", 1),
		"numbers":          field("[", "]", func(i int) string { return "1" }),
		"empty objects":    field("[", "]", func(i int) string { return "{}" }),
		"names":            field("{", "}", func(i int) string { return fmt.Sprintf(`"%d":1`, i) }),
		"names, backwards": field("{", "}", func(i int) string { return fmt.Sprintf(`"%d":1`, 1<<20-i) }),
		"names, capitals":  field("{", "}", func(i int) string { return fmt.Sprintf(`"K%d":1`, i) }),
		"long names":       field("{", "}", func(i int) string { return fmt.Sprintf(`"%s%d":1`, strings.Repeat("k", 200), i) }),
		"escapes":          field("[", "]", func(i int) string { return `"\u00e9\ud83d\ude00\\\n"` }),
		"small objects":    field("[", "]", func(i int) string { return `{"b":1,"a":1}` }),
		"arrays in arrays": field("[", "]", func(i int) string { return strings.Repeat("[", 29) + strings.Repeat("]", 29) }),
		"unknown fields":   fill(`{"signatures":[],"signed":`+strings.TrimSuffix(root, "}")+",", "}}", func(i int) string { return fmt.Sprintf(`"x%d":0`, i) }),
		"fields outside":   fill(`{"signatures":[],"signed":`+root+",", "}", func(i int) string { return fmt.Sprintf(`"x%d":0`, i) }),
		"placeholders":     fill(`{"signed":`+root+`,"signatures":[`, "]}", func(i int) string { return fmt.Sprintf(`{"keyid":"%d","sig":""}`, i) }),
		"many roles": strings.Replace(`{"signatures":[],"signed":`+root+"}", `"roles":{`, `"roles":{`+
			strings.TrimSuffix(fill(root, "", func(i int) string { return fmt.Sprintf(`"r%d":{"keyids":[%.66s],"threshold":1}`, i, ids) })[len(root):], ",")+",", 1),
		"keys":         keys("root", func(i int) (string, string) { return fmt.Sprint(i), make25519(5000 + i%4000).key.object }),
		"one key only": keys("root", func(i int) (string, string) { return fmt.Sprint(i), key + "}" }),
		"one string":   field("[", "]", func(i int) string { return `"` + strings.Repeat("é", 1000*(i+1)) + `"` })[:MaxSize],
	}
}

// worked is the processors' time that this process has used: what else runs on
// the machine does not count.
func worked(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Nothing that fits into a file takes long or fills many screens, and nothing
// panics.
func TestHostile(t *testing.T) {
	good, _, _ := newFile(t)
	old := must(Parse(good))
	changed := func(old, new *Root) []string { return strings.Split(texts(Diff(old, new, expiry, nil)), "\n") }
	bounded := func(what string, lines []string) {
		if size := len(strings.Join(lines, "\n")); len(lines) > 2000 || size > 200_000 {
			t.Errorf("%s: %d lines, %d bytes", what, len(lines), size)
		}
	}
	for name, text := range hostile(t) {
		start := worked(t)
		f, err := Parse([]byte(text))
		parsed := worked(t) - start
		if err == nil {
			f.Report(f.Root)
			bounded(name+": Show", Show(f, expiry, nil))
			bounded(name+": Diff", changed(old.Root, f.Root))
			bounded(name+": Diff back", changed(f.Root, old.Root))
			bounded(name+": Diff of the first", changed(nil, f.Root))
			bounded(name+": Diff of nothing", changed(f.Root, f.Root))
			f.Root.Check()
			f.Root.Next()
		}
		took := worked(t) - start
		t.Logf("%-18s %7d bytes, read in %v, all in %v: %v", name, len(text), parsed.Round(time.Millisecond), took.Round(time.Millisecond), err)
		if took > 15*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

// A refusal does not repeat a file.
func TestRefusalsAreShort(t *testing.T) {
	root, long := signedText(nil), strings.Repeat("k", 200_000)
	id := strings.SplitN(root[strings.Index(root, `"keyids":["`)+11:], `"`, 2)[0]
	for _, c := range [][2]string{
		{`"1.0.34"`, `"1.` + strings.Repeat("0", 500_000) + `"`}, {`"1.0.34"`, `"` + long + `"`},
		{"00:00:00Z", "00:00:00." + strings.Repeat("0", 500_000) + "Z"}, {`"root"`, `"` + long + `"`},
		{`"version":1`, `"version":1,"` + long + `":1,"` + long + `":1`}, {`"version":1`, `"version":1,"` + long + `":1,"` + strings.ToUpper(long) + `":1`},
		{`"keyids":["`, `"keyids":["` + long}, {`"keyids":["` + id, `"keyids":["` + id + `","` + id},
		{`"roles":{`, `"roles":{"` + long + `":{"keyids":[],"threshold":0},`}, {`"roles":{`, `"roles":{"` + long + `":{"keyids":["` + long + `"],"threshold":0},`},
	} {
		_, err := Parse([]byte(`{"signatures":[],"signed":` + strings.Replace(root, c[0], c[1], 1) + "}"))
		if err == nil || len(err.Error()) > 700 {
			t.Errorf("%.60s: %.300v", c[1], err)
		}
	}
	f, err := Parse([]byte(`{"signatures":[],"signed":` + strings.Replace(root, `"ed25519"`, `"`+long+`"`, 1) + "}"))
	if err != nil || len(strings.Join(Notes(f.Findings), "")) > 1500 {
		t.Errorf("a keytype: %.300v, %d", err, len(strings.Join(Notes(f.Findings), "")))
	}
	if _, err := ParseKeyFile([]byte(pemOf(long, nil))); err == nil || len(err.Error()) > 700 {
		t.Errorf("%.300v", err)
	}
}

// JSON for people to read has no character in it that a terminal would not show, and
// is the same value.
func TestWriteJSON(t *testing.T) {
	hostile := "a\x1b[31m\x7f\u0085\u200b\u202e\u2028\u2066\ufeff\ufffd\U000e0041\U0010ffff é陈 <&>"
	var text strings.Builder
	if err := WriteJSON(&text, map[string]any{hostile: []string{hostile}}); err != nil {
		t.Fatal(err)
	}
	if written := strings.ReplaceAll(text.String(), "\n", ""); Clean(written) != written || !strings.Contains(written, "é陈 <&>") {
		t.Errorf("%q", text.String())
	}
	var back map[string][]string
	if err := json.Unmarshal([]byte(text.String()), &back); err != nil || len(back[hostile]) != 1 || back[hostile][0] != hostile {
		t.Errorf("%v: %q", err, back)
	}
}
