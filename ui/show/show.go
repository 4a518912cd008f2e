// Package show makes texts from files and people fit to be shown: without
// characters that move the cursor, change the order of what is read or cannot
// be seen, and in lines of a given width. Every front end uses it.
package show

import (
	"strings"
	"unicode"
)

// Clean returns s as one line that can be shown: line ends and tabs become a
// space, characters for which Hidden is true are left out, and bytes that are
// no UTF-8 become U+FFFD. What follows an ESC stays, so that people see that
// something was there.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\u2028' || r == '\u2029':
			return ' '
		case Hidden(r):
			return -1
		}
		return r
	}, s)
}

// Hidden reports whether r is not a character to be read: control characters
// (C0, C1 and DEL), line and paragraph separators, format characters (the
// overrides of bidirectional text, zero-width ones, tags) and code points for
// private use.
func Hidden(r rune) bool {
	if ' ' <= r && r <= '~' {
		return false // most of what is shown, without the tables
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp)
}

// wide are the blocks whose characters fill two columns of a terminal.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1}, // Hangul initials
		{Lo: 0x2e80, Hi: 0x303e, Stride: 1}, // CJK radicals and punctuation
		{Lo: 0x3041, Hi: 0xa4cf, Stride: 1}, // kana, CJK ideographs, Yi
		{Lo: 0xa960, Hi: 0xa97c, Stride: 1},
		{Lo: 0xac00, Hi: 0xd7a3, Stride: 1}, // Hangul
		{Lo: 0xf900, Hi: 0xfaff, Stride: 1},
		{Lo: 0xfe30, Hi: 0xfe6f, Stride: 1},
		{Lo: 0xff00, Hi: 0xff60, Stride: 1}, // full-width forms
		{Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x1f300, Hi: 0x1f64f, Stride: 1}, // pictures
		{Lo: 0x1f900, Hi: 0x1f9ff, Stride: 1},
		{Lo: 0x20000, Hi: 0x3fffd, Stride: 1},
	},
}

// Width is the number of terminal columns that a cleaned s fills.
func Width(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case ' ' <= r && r <= '~':
			n++
		case unicode.In(r, unicode.Mn, unicode.Me) || Hidden(r):
		case unicode.Is(wide, r):
			n += 2
		default:
			n++
		}
	}
	return n
}

// Truncate is the beginning of a cleaned s that fills at most width columns.
func Truncate(s string, width int) string {
	for i, r := range s {
		if width -= Width(string(r)); width < 0 {
			return s[:i]
		}
	}
	return s
}

// ASCII is a cleaned s for a terminal that can show no more: as wide as s, with
// question marks for what it cannot show.
func ASCII(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > '~' {
			b.WriteString("??"[:Width(string(r))])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Wrap cleans s and breaks it at spaces into lines of at most width columns
// (2 or more). A word that is longer than a line, such as a digest, is cut
// where the line ends. There is always at least one line.
func Wrap(s string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(Clean(s)) {
		if line != "" && Width(line)+1+Width(word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for Width(word) > width {
			n := fitting(word, width)
			lines = append(lines, word[:n])
			word = word[n:]
		}
		line = word
	}
	return append(lines, line)
}

// fitting is the number of bytes of s that fill at most width columns, and at
// least the first character.
func fitting(s string, width int) int {
	columns := 0
	for i, r := range s {
		columns += Width(string(r))
		if columns > width && i > 0 {
			return i
		}
	}
	return len(s)
}

// Rows cleans words and sets them in columns, as many in a row as there is room
// for: four, two or one.
func Rows(words string, room int) []string {
	all := strings.Fields(Clean(words))
	longest := 0
	for _, w := range all {
		longest = max(longest, Width(w))
	}
	n := 4
	for n > 1 && n*(longest+2)-2 > room {
		n /= 2
	}
	var rows []string
	for at := 0; at < len(all); at += n {
		row := ""
		for _, w := range all[at:min(at+n, len(all))] {
			row += w + strings.Repeat(" ", longest-Width(w)+2)
		}
		rows = append(rows, strings.TrimRight(row, " "))
	}
	return rows
}
