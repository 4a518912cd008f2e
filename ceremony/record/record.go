// Package record writes the texts that leave a ceremony for people who were not
// there: the trust kit for those who ship the root, the notice for users, and
// what is honest to say to people in an emergency.
//
// Everything here is a pure function from facts to text. What is not a fact is
// not claimed: it is a gap, "[FILL IN: ...]", that somebody has to fill. Texts
// that came from files or people (names, reasons, key ids) cannot break out of
// their place in the Markdown, whatever they hold.
package record

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// columns is how wide the lines of texts are, in characters.
const columns = 76

// gap is something that the tool does not know and must not make up.
func gap(what string) string { return "[FILL IN: " + what + "]" }

// or is a text, or the gap for it where it is empty.
func or(text, what string) string {
	if text == "" {
		return gap(what)
	}
	return text
}

// shown is text from a file or a person as it stands in plain text: one line,
// nothing that does not print, not longer than people read.
func shown(s string) string {
	s = tuf.Clean(strings.Join(strings.Fields(s), " "))
	if r := []rune(s); len(r) > 1000 {
		s = string(r[:1000]) + "..."
	}
	return s
}

// prose is shown in Markdown: whatever could be markup is escaped, also where a
// word comes to stand at the beginning of a line.
func prose(s string) string {
	words := strings.Fields(shown(s))
	for i, word := range words {
		var b strings.Builder
		if strings.ContainsAny(word[:1], "-+=") {
			b.WriteByte('\\')
		}
		for _, r := range word {
			if strings.ContainsRune("\\`*_[]<>#|~&!$", r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
		words[i] = b.String()
	}
	return strings.Join(words, " ")
}

// unlisted is a word that makes no numbered list, where it begins a line.
func unlisted(word string) string {
	at := len(word) - 1
	if at > 0 && (word[at] == '.' || word[at] == ')') && strings.Trim(word[:at], "0123456789") == "" {
		return word[:at] + "\\" + word[at:]
	}
	return word
}

// code is a key id or a digest as a code span.
func code(s string) string {
	return "`" + strings.NewReplacer("`", "?", " ", "?").Replace(shown(s)) + "`"
}

// wrap puts a paragraph on lines of at most columns characters, where its words
// are not longer; the first line begins with first, the others with rest.
func wrap(text, first, rest string) string {
	var b strings.Builder
	b.WriteString(first)
	at, start := utf8.RuneCountInString(first), true
	// A gap can be found by its first words, so these stay together.
	text = strings.ReplaceAll(text, "[FILL IN:", "[FILL\x00IN:")
	for _, word := range strings.Fields(text) {
		word = strings.ReplaceAll(word, "\x00", " ")
		n := utf8.RuneCountInString(word)
		switch {
		case start:
		case at+1+n > columns:
			b.WriteString("\n" + rest)
			at = utf8.RuneCountInString(rest)
			word = unlisted(word)
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at, start = at+n, false
	}
	b.WriteByte('\n')
	return b.String()
}

// wordLines is a digest in PGP words, numbered, four on a line.
func wordLines(digest []byte) string {
	var b strings.Builder
	for i, word := range keys.Words(digest) {
		if i%4 == 3 {
			fmt.Fprintf(&b, "%2d %s\n", i+1, word)
		} else {
			fmt.Fprintf(&b, "%2d %-13s", i+1, word)
		}
	}
	return b.String()
}

// day is a time as people read it, in UTC.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
