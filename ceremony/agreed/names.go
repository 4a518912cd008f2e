package agreed

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Slug is a name as an id: lower-case ASCII letters and digits, with "-" for
// spaces. It is empty where the name has other letters, as leaving those out
// would make ids that nobody recognises.
func Slug(name string) string {
	var b strings.Builder
	for _, r := range Fold(name) {
		switch {
		case r >= utf8.RuneSelf:
			return ""
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case r == ' ' || r == '-':
			b.WriteByte('-')
		}
	}
	id := strings.Trim(b.String(), "-")
	if CheckID(id) != nil {
		return ""
	}
	return id
}

// Fold is a text as people compare it: without regard to case, to spaces, and
// to the several ways in which Unicode writes what looks the same.
func Fold(s string) string {
	upper := strings.ToUpper(norm.NFKC.String(strings.Join(strings.Fields(s), " ")))
	return norm.NFKC.String(strings.ToLower(upper))
}

// namedAtMost is how many names a sentence holds before it counts them.
const namedAtMost = 12

// Counted joins names as a sentence does, or counts them.
func Counted(names []string, word, noun string) string {
	if len(names) > namedAtMost {
		return fmt.Sprintf("%d %s", len(names), noun)
	}
	return tuf.Listed(names, word)
}

func plural(noun string, n int) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

// Grouped sets a digest in hex so that it can be read aloud.
func Grouped(digest string) string {
	return strings.Join(groupsOf(digest, 4), " ")
}

func groupsOf(s string, n int) []string {
	var groups []string
	for ; len(s) > n; s = s[n:] {
		groups = append(groups, s[:n])
	}
	return append(groups, s)
}

// Command is a command of this program as it is typed in a shell.
func Command(words ...string) string {
	line := "rootceremony"
	for _, word := range words {
		if strings.Trim(word, shellLetters) != "" || word == "" {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		line += " " + word
	}
	return line
}

// shellLetters mean themselves to every shell.
const shellLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,"

func DigestOf(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}

// OneLine puts the hint of an error behind it, as every fault is one line.
func OneLine(s string) string {
	fact, hint, found := strings.Cut(s, "\nhint: ")
	if !found {
		return s
	}
	return fact + " (hint: " + hint + ")"
}

// SerialText is a serial number as people read it: 20 456 123.
func SerialText(serial uint32) string { return keys.SerialText(serial) }
