package tuf

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostileTargets are targets files of nearly the greatest size, each of the kind that
// some part of reading, showing, comparing or asking likes least.
func hostileTargets() map[string]string {
	text := newTargets().json()
	fill := func(after, item string) string {
		var b strings.Builder
		before, rest, ok := strings.Cut(text, after)
		if !ok {
			panic(after)
		}
		b.WriteString(`{"signatures":[],"signed":` + before + after)
		for i := 0; b.Len()+len(rest)+300 < MaxTargetsSize; i++ {
			b.WriteString(strings.ReplaceAll(item, "%d", fmt.Sprint(i)) + ",")
		}
		return b.String() + rest + "}"
	}
	id := make25519(200).key.ID
	hash := `{"length":1,"hashes":{"sha256":"` + hexSum("") + `"}}`
	return map[string]string{
		"targets":            fill(`"targets":{`, `"packages/%d":`+hash),
		"capitals":           fill(`"targets":{`, `"Packages/%d":`+hash),
		"short targets":      fill(`"targets":{`, `"%d":{"length":0,"hashes":{"":""}}`),
		"paths that leave":   fill(`"targets":{`, `"../%d":`+hash),
		"unknown fields":     fill(`"targets":{`, `"x%d":{"length":0,"hashes":{"a":"00"},"x":0}`),
		"fields":             fill(`{`, `"x%d":0`),
		"numbers":            fill(`"targets":{`, `"a%d":{"length":0,"hashes":{"a":"00"},"custom":{"a":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}`),
		"delegations":        fill(`"roles":[`, `{"name":"r%d","keyids":["`+id+`"],"threshold":1,"terminating":true,"paths":["*a*b*c*%d"]}`),
		"shadows":            fill(`"roles":[`, `{"name":"r%d","keyids":["`+id+`"],"threshold":1,"terminating":true,"paths":["*%d"]}`),
		"patterns":           fill(`"paths":[`, `"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a%d"`),
		"short patterns":     fill(`"paths":[`, `"?"`),
		"patterns that fold": fill(`"paths":[`, `"`+strings.Repeat("*a", 500)+`b"`),
		"prefixes":           fill(`"path_hash_prefixes":[`, `"%d"`),
	}
}

// Nothing that fits into a targets file takes long, fills many screens or much memory,
// and nothing panics.
func TestHostileTargets(t *testing.T) {
	root, _ := targetsRoot()
	old := newTargets()
	bounded := func(what string, lines []string) {
		if size := len(strings.Join(lines, "\n")); len(lines) > 3000 || size > 300_000 {
			t.Errorf("%s: %d lines, %d bytes", what, len(lines), size)
		}
	}
	path := strings.Repeat("a", 500) + "/" + strings.Repeat("a", 500)
	for name, text := range hostileTargets() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := worked(t)
		f, err := ParseTargets([]byte(text))
		parsed := worked(t) - start
		runtime.ReadMemStats(&after)
		if err == nil {
			f.Report(root)
			bounded(name+": Show", ShowTargets(f, RoleTargets, expiry, nil))
			bounded(name+": Diff", strings.Split(texts(DiffTargets(old, f.Targets, expiry, nil)), "\n"))
			bounded(name+": Diff back", strings.Split(texts(DiffTargets(f.Targets, old, expiry, nil)), "\n"))
			for _, p := range []string{path, strings.Repeat("a", 1000)} {
				must(Tree{Root: root, Targets: f.Targets}.Who(p))
			}
			f.Targets.Next().Check(f.Targets)
		}
		took, allocated := worked(t)-start, (after.TotalAlloc-before.TotalAlloc)>>20
		t.Logf("%-18s %8d bytes, read in %v with %d MiB, all in %v: %.200v", name, len(text), parsed.Round(time.Millisecond), allocated, took.Round(time.Millisecond), err)
		if took > 60*time.Second || allocated > 1024 {
			t.Errorf("%s: %v, %d MiB", name, took, allocated)
		}
	}
	for _, long := range []string{strings.Repeat(" ", MaxTargetsSize+1), strings.Repeat("[", 2*MaxTargetsSize)} {
		if _, err := ParseTargets([]byte(long)); err == nil || !strings.Contains(err.Error(), "the file is longer than 16777216 bytes") {
			t.Error(err)
		}
	}
}
