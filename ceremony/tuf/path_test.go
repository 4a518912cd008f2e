package tuf

import (
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"pgregory.net/rapid"
)

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		// The examples of the specification (4.5).
		{"targets/*.tgz", "targets/foo.tgz", true},
		{"targets/*.tgz", "targets/bar.tgz", true},
		{"targets/*.tgz", "targets/foo.txt", false},
		{"foo-version-?.tgz", "foo-version-2.tgz", true},
		{"foo-version-?.tgz", "foo-version-a.tgz", true},
		{"foo-version-?.tgz", "foo-version-alpha.tgz", false},
		{"*", "foo", true},
		{"*", "", true},
		{"*", "a/b", false},
		{"*/*", "a/b", true},
		{"*/*", "a/b/c", false},
		{"a?c", "a/c", false},
		{"a*c", "a/c", false},
		{"a/*", "a/", true},
		{"a/*", "a", false},
		{"a", "a/", false},
		{"a/b", "a/b", true},
		{"a/b", "A/b", false},
		{"?", "é", true},
		{"??", "é", false},
		{"[ab]", "a", true},
		{"[!ab]", "a", false},
		{"[!ab]", "c", true},
		{"[a", "[a", false},
		{"[a/b]", "a/b", false},
		{"a*b*c*d", "aXbXbXcXd", true},
		{"a*b*c*d", "aXbXbXcX", false},
		{"", "", true},
		{"", "a", false},
	} {
		if got := Matches(c.pattern, c.path); got != c.want {
			t.Errorf("Matches(%q, %q) is %v", c.pattern, c.path, got)
		}
	}
}

// shell is a pattern of stars and question marks as a regular expression.
func shell(pattern string) *regexp.Regexp {
	s := regexp.QuoteMeta(pattern)
	s = strings.NewReplacer(`\*`, `[^/]*`, `\?`, `[^/]`).Replace(s)
	return regexp.MustCompile(`\A(?s:` + s + `)\z`)
}

func anyOf(chars string, most int) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]rune(chars)), 0, most), func(r []rune) string { return string(r) })
}

// A pattern fits what the regular expression of the same meaning fits, and go-tuf says
// the same.
func TestMatchesIsShellStyle(t *testing.T) {
	fits := 0
	rapid.Check(t, func(t *rapid.T) {
		pattern, path := anyOf("ab*?/", 8).Draw(t, "pattern"), anyOf("abé/", 8).Draw(t, "path")
		got := Matches(pattern, path)
		if want := shell(pattern).MatchString(path); got != want {
			t.Fatalf("Matches(%q, %q) is %v", pattern, path, got)
		}
		role := metadata.DelegatedRole{Paths: []string{pattern}}
		if theirs, err := role.IsDelegatedPath(path); err != nil || theirs != got {
			t.Fatalf("Matches(%q, %q) is %v, go-tuf: %v, %v", pattern, path, got, theirs, err)
		}
		if got {
			fits++
		}
	})
	if fits < 3 {
		t.Errorf("%d pairs fit", fits)
	}
}

// texts are all texts of these characters up to a length.
func allTexts(chars string, most int) []string {
	list := []string{""}
	for from := 0; most > 0; most-- {
		end := len(list)
		for _, s := range list[from:end] {
			for _, c := range chars {
				list = append(list, s+string(c))
			}
		}
		from = end
	}
	return list
}

// Two patterns overlap if one text fits both, and one covers another if all that fit
// that fit it. The letter c stands for all that are in neither.
func TestOverlapAndCovers(t *testing.T) {
	paths := allTexts("abc/", 5)
	n := [2]int{}
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyOf("ab*?/", 4).Draw(t, "a"), anyOf("ab*?/", 4).Draw(t, "b")
		both, all := false, true
		for _, p := range paths {
			x, y := Matches(a, p), Matches(b, p)
			both = both || x && y
			all = all && (x || !y)
		}
		if got := overlap(a, b); got != both {
			t.Fatalf("overlap(%q, %q) is %v", a, b, got)
		}
		got := covers(a, b)
		if got && !all {
			t.Fatalf("covers(%q, %q), which it doesn't", a, b)
		}
		// It may miss that "*" covers as much as "*?" and "?" together do.
		if all && !got && !strings.ContainsAny(a, "?") {
			t.Fatalf("covers(%q, %q) is false", a, b)
		}
		if both {
			n[0]++
		}
		if got {
			n[1]++
		}
	})
	if n[0] < 3 || n[1] < 1 {
		t.Errorf("%v", n)
	}
	for _, c := range []struct {
		a, b           string
		overlap, cover bool
	}{
		{"*", "packages/*", false, false},
		{"packages/*", "packages/foo-*", true, true},
		{"packages/foo-*", "packages/*", true, false},
		{"a*", "*b", true, false},
		{"[ab]", "c", true, false},
		{"é", "?", true, false},
		{"*", "é", true, true},
	} {
		if overlap(c.a, c.b) != c.overlap || covers(c.a, c.b) != c.cover {
			t.Errorf("%q, %q: overlap %v, covers %v", c.a, c.b, overlap(c.a, c.b), covers(c.a, c.b))
		}
	}
}

func TestScopes(t *testing.T) {
	sum := hexSum("a/b")
	for _, c := range []struct {
		a, b           scope
		overlap, cover bool
	}{
		{scope{"a", true}, scope{"ab", true}, true, true},
		{scope{"ab", true}, scope{"a", true}, true, false},
		{scope{"a", true}, scope{"b", true}, false, false},
		{scope{"", true}, scope{"a/*", false}, true, true},
		{scope{"f", true}, scope{"a/*", false}, true, false},
		{scope{sum[:3], true}, scope{"a/b", false}, true, true},
		{scope{"a/b", false}, scope{sum[:3], true}, true, false},
		{scope{"a/b", false}, scope{hex.EncodeToString([]byte{^sum[0]}), true}, false, false},
		{scope{"a/*", false}, scope{sum, true}, true, false},
	} {
		effort := comparing
		if a, b := c.a.overlaps(c.b, &effort), c.a.covers(c.b, &effort); a != c.overlap || b != c.cover || effort >= comparing {
			t.Errorf("%v, %v: overlaps %v, covers %v", c.a, c.b, a, b)
		}
	}
	effort := 0
	if (scope{"a", false}).covers(scope{"a", false}, &effort) || effort >= 0 {
		t.Error("no effort is enough")
	}
}

func TestEscapes(t *testing.T) {
	for path, want := range map[string]string{
		"": "is empty", "/a": "slash", `a\b`: "backslash", "a/../b": "segment ..", "..": "segment ..", "./a": "segment .",
		"a//b": "empty segment", "a/": "empty segment", "a\x00": "doesn't show", "a\nb": "doesn't show", "a\u202eb": "doesn't show",
		"a\u200b": "doesn't show", "a": "", "a b": "", "...": "", "a..b/c": "", "é/字": "", "*/?": "",
	} {
		if got := escapes(path); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q %s", path, got)
		}
	}
}

func TestWhatNewDelegationsTake(t *testing.T) {
	for _, c := range []struct {
		check       func(string) error
		value, want string
	}{
		{CheckPattern, "packages/*", ""},
		{CheckPattern, "", "is empty"},
		{CheckPattern, "/etc/passwd", "begins with a slash"},
		{CheckPattern, "a/../b", "has the segment .."},
		{CheckPattern, "a/**/b", "has two stars together"},
		{CheckPattern, "a/ü", "holds 'ü', and delegations that we write are ASCII"},
		{CheckPattern, strings.Repeat("a", maxPattern), ""},
		{CheckPattern, strings.Repeat("a", maxPattern+1), "none is longer"},
		{CheckHashPrefix, "0f", ""},
		{CheckHashPrefix, "0F", "is not the beginning of a SHA-256"},
		{CheckHashPrefix, "", "is empty"},
		{CheckDelegatedName, "dev", ""},
		{CheckDelegatedName, "timestamp", "is that of a top-level role"},
		{CheckDelegatedName, "2.Root", "is like that of a top-level role's file"},
		{CheckDelegatedName, "7", "is a number"},
		{CheckDelegatedName, "a/b", "has characters"},
	} {
		if err := c.check(c.value); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.40q: %v, want %q", c.value, err, c.want)
		}
	}
}

// A terminating delegation shadows what of the later ones it covers whole, and nothing
// before it.
func TestShadows(t *testing.T) {
	d := &Delegations{Roles: []Delegation{
		{Name: "first", Paths: []string{"packages/foo/*"}},
		{Name: "all", Paths: []string{"packages/*/*"}, Terminating: true},
		{Name: "late", Paths: []string{"packages/foo/*", "packages/*", "docs/*"}},
		{Name: "bins", PathHashPrefixes: []string{"0"}},
	}}
	want := []Shadow{{"late", "packages/foo/*", "all"}}
	if got := d.Shadows(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	d.Roles[1].Terminating = false
	if got := d.Shadows(); got != nil {
		t.Errorf("nothing terminates: %v", got)
	}
	if got := (*Delegations)(nil).Shadows(); got != nil {
		t.Errorf("%v", got)
	}
}

func TestTargetsRefusals(t *testing.T) {
	with := &Targets{Delegations: &Delegations{Roles: []Delegation{{Name: "bins", PathHashPrefixes: []string{"0"}}, {Name: "dev", Paths: []string{"*"}}}}}
	bare := &Targets{}
	const says = "path_hash_prefixes (bins): go-tuf 2.4.2 compares them with the SHA-256 in base64, and asks these roles for other paths"
	for _, c := range []struct {
		t, before *Targets
		want      string
	}{{with, nil, says}, {with, with, says}, {with, bare, "new in this version: " + says}, {bare, with, ""}} {
		var got []string
		for _, r := range TargetsRefusals(c.t, c.before) {
			got = append(got, r.String())
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
