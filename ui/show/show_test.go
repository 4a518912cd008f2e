package show

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"text", "Zoë Ньютон 陈", "Zoë Ньютон 陈"},
		{"colour", "\x1b[31mred\x1b[0m", "[31mred[0m"},
		{"title of the window", "a\x1b]0;x\x07b", "a]0;xb"},
		{"C1", "a\u009b31mb", "a31mb"},
		{"line ends and tabs", "a\nb\r\nc\td\u2028e", "a b  c d e"},
		{"cursor", "abc\b\b\bxyz\x7f", "abcxyz"},
		{"right-to-left override", "alice\u202egpj.exe", "alicegpj.exe"},
		{"isolates", "\u2066a\u2069", "a"},
		{"zero width", "a\u200b\u200d\ufeffb\u00ad", "ab"},
		{"tags", "a\U000e0041b", "ab"},
		{"private use", "a\ue000b", "ab"},
		{"not UTF-8", "a\xffb", "a\ufffdb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Clean(c.in); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// What is shown in ASCII is as wide as it was measured to be.
func TestASCII(t *testing.T) {
	for in, want := range map[string]string{"Zoe\u0308 陈.": "Zoe ??.", "Zoë": "Zo?", "█ ~": "? ~", "\ufffd": "?"} {
		t.Run(in, func(t *testing.T) {
			if got := ASCII(in); got != want || Width(got) != Width(in) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestTruncate(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{{"abc", 2, "ab"}, {"abc", 3, "abc"}, {"陈陈", 3, "陈"}, {"e\u0301e\u0301", 1, "e\u0301"}, {"abc", 0, ""}} {
		t.Run(c.in, func(t *testing.T) {
			if got := Truncate(c.in, c.width); got != c.want {
				t.Errorf("%q in %d columns: %q, want %q", c.in, c.width, got, c.want)
			}
		})
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"  one  two ", 10, []string{"one two"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 8, []string{"one two", "three"}},
		{"0123456789abcdef", 6, []string{"012345", "6789ab", "cdef"}},
		{"see 0123456789abcdef now", 6, []string{"see", "012345", "6789ab", "cdef", "now"}},
		{"陈陈陈陈", 5, []string{"陈陈", "陈陈"}},
		{"a\u0301e\u0301 o\u0301", 4, []string{"a\u0301e\u0301 o\u0301"}},
		{"a\nb", 10, []string{"a b"}},
	} {
		t.Run(c.in, func(t *testing.T) {
			if got := Wrap(c.in, c.width); !slices.Equal(got, c.want) {
				t.Errorf("%q in %d columns: %q, want %q", c.in, c.width, got, c.want)
			}
		})
	}
}

// No line is too wide, nothing hidden is left, and no visible character is
// lost.
func FuzzWrap(f *testing.F) {
	f.Add("Bruno, type your PIN: 陈 \x1b[31m "+strings.Repeat("x", 90), 20)
	f.Add("\xff\u202e\u0301", 2)
	f.Fuzz(func(t *testing.T, s string, width int) {
		width = 2 + min(max(width, 0), 200)
		visible := func(s string) string { return strings.Join(strings.Fields(s), "") }
		lines := Wrap(s, width)
		for _, line := range lines {
			if Width(line) > width || !utf8.ValidString(line) || strings.ContainsFunc(line, Hidden) {
				t.Errorf("line %q of %q in %d columns", line, s, width)
			}
		}
		if got, want := visible(strings.Join(lines, "")), visible(Clean(s)); got != want {
			t.Errorf("%q became %q", want, got)
		}
	})
}
