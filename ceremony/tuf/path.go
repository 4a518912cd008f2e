package tuf

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPattern is how many bytes a pattern, or a path that is asked about, may have.
const maxPattern = 1024

// maxPaths is how many patterns and prefixes the delegations of a file may have: asking
// them all about a path takes seconds.
const maxPaths = 200_000

// Matches reports whether a pattern of a delegation's paths fits a target path: segment
// by segment, in each of which * stands for any characters and ? for one, as Unix file
// name patterns have it (PATHPATTERN in 4.5). Neither stands for a slash. A list in
// brackets stands for one of its characters. A pattern that is malformed fits nothing.
func Matches(pattern, target string) bool {
	for {
		p, patterns, more := strings.Cut(pattern, "/")
		t, targets, longer := strings.Cut(target, "/")
		if more != longer {
			return false
		}
		if ok, err := path.Match(strings.ReplaceAll(p, "[!", "[^"), t); !ok || err != nil {
			return false
		}
		if !more {
			return true
		}
		pattern, target = patterns, targets
	}
}

// bin is the beginning of the SHA-256 of a target path.
func bin(target string) uint32 {
	sum := sha256.Sum256([]byte(target))
	return binary.BigEndian.Uint32(sum[:])
}

// match returns the pattern or prefix by which a delegation is for a path. sum is the
// SHA-256 of the path in hex.
func (d *Delegation) match(target, sum string) (string, bool) {
	for _, p := range d.Paths {
		if Matches(p, target) {
			return p, true
		}
	}
	for _, p := range d.PathHashPrefixes {
		if strings.HasPrefix(sum, p) {
			return p, true
		}
	}
	return "", false
}

// hexSum is the SHA-256 of a target path as path_hash_prefixes have its beginning.
func hexSum(target string) string {
	sum := sha256.Sum256([]byte(target))
	return hex.EncodeToString(sum[:])
}

// escapes says why a target path, or a pattern for some, may name a file elsewhere, or
// one that people can't see; "" where it doesn't.
func escapes(target string) string {
	switch {
	case target == "":
		return "is empty"
	case target[0] == '/':
		return "begins with a slash"
	case strings.Contains(target, `\`):
		return "has a backslash, which parts segments on some systems"
	case strings.ContainsFunc(target, func(r rune) bool { return unicode.IsControl(r) || !shown(r) }):
		return "has a character that doesn't show"
	}
	for segment := range strings.SplitSeq(target, "/") {
		switch segment {
		case "":
			return "has an empty segment"
		case ".", "..":
			return "has the segment " + segment
		}
	}
	return ""
}

// ambiguous says what of a pattern clients read in different ways, or "".
func ambiguous(pattern string) string {
	for segment := range strings.SplitSeq(pattern, "/") {
		switch {
		case strings.ContainsAny(segment, "[]{}()"):
			return "has brackets, which clients read in different ways"
		case strings.Contains(segment, "**"):
			return "has two stars together, which clients read in different ways"
		case strings.HasPrefix(segment, "!"), strings.HasPrefix(segment, "#"):
			return "has a segment that begins with " + segment[:1] + ", which clients read in different ways"
		}
	}
	return ""
}

// oddPrefix says why a path_hash_prefix is not as we write them, or "".
func oddPrefix(prefix string) string {
	switch {
	case prefix == "":
		return "is empty: it fits all paths"
	case strings.Trim(prefix, "0123456789abcdef") != "" || len(prefix) > 2*sha256.Size:
		return "is not the beginning of a SHA-256 in lower-case hex: it fits no path"
	}
	return ""
}

// CheckPattern says why no new delegation has a pattern among its paths.
func CheckPattern(pattern string) error {
	if len(pattern) > maxPattern {
		return fmt.Errorf("has %d bytes; none is longer than %d", len(pattern), maxPattern)
	}
	if i := strings.IndexFunc(pattern, func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
		return fmt.Errorf("holds %q, and delegations that we write are ASCII", []rune(pattern[i:])[0])
	}
	return saying(cmp.Or(escapes(pattern), ambiguous(pattern)))
}

// CheckHashPrefix says why no new delegation has a prefix among its path_hash_prefixes.
func CheckHashPrefix(prefix string) error { return saying(oddPrefix(prefix)) }

// CheckDelegatedName says why no new delegation is to a role of that name.
func CheckDelegatedName(name string) error {
	if slices.Contains(RoleNames, name) {
		return saying("is that of a top-level role")
	}
	return saying(oddName(name))
}

func saying(why string) error {
	if why == "" {
		return nil
	}
	return errors.New(why)
}

// versioned is what the files of top-level roles are named, without their ending.
var versioned = regexp.MustCompile(`^(?i:(?:[0-9]+\.)?(?:root|timestamp|snapshot|targets))$`)

// oddName says why a delegated role is not named as we name them, or "": its metadata
// is a file NAME.json beside that of the top-level roles.
func oddName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case strings.ContainsFunc(name, func(r rune) bool {
		return r >= utf8.RuneSelf || r <= ' ' || r == 0x7f || strings.ContainsRune(`/\%?#*:"<>|`, r)
	}):
		return "has characters that file names and addresses don't take as they are"
	case name[0] == '.':
		return "begins with a dot"
	case strings.Trim(name, "0123456789") == "":
		return "is a number: tuf-js puts such roles before all others, the lowest first, and where they stand otherwise no signature fits"
	case versioned.MatchString(name):
		return "is like that of a top-level role's file"
	}
	return ""
}

// overlap reports whether some path fits both patterns, covers whether every path that
// fits b fits a. Of what isn't * and ? in ASCII only they assume the first, and not the
// second.
func overlap(a, b string) bool { return segments(a, b, true, overlapping) }
func covers(a, b string) bool  { return segments(a, b, false, covering) }

func segments(a, b string, unsure bool, related func(a, b string) bool) bool {
	if strings.Count(a, "/") != strings.Count(b, "/") {
		return false
	}
	for {
		p, as, more := strings.Cut(a, "/")
		q, bs, _ := strings.Cut(b, "/")
		switch {
		case p == q || p == "*" && strings.Trim(q, "*") == q:
		case strings.ContainsFunc(p+q, func(r rune) bool { return r >= utf8.RuneSelf || r == '[' || r == '\\' }):
			if !unsure {
				return false
			}
		case !related(p, q):
			return false
		}
		if !more {
			return true
		}
		a, b = as, bs
	}
}

// overlapping: row[j] says whether what is left of a from i on, and of b from j on, have
// a text in common.
func overlapping(a, b string) bool {
	row := make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		below := make([]bool, len(b)+1)
		copy(below, row)
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				row[j] = true
			case i < len(a) && a[i] == '*':
				row[j] = below[j] || j < len(b) && row[j+1]
			case j < len(b) && b[j] == '*':
				row[j] = row[j+1] || i < len(a) && below[j]
			case i < len(a) && j < len(b):
				row[j] = (a[i] == b[j] || a[i] == '?' || b[j] == '?') && below[j+1]
			default:
				row[j] = false
			}
		}
	}
	return row[0]
}

// covering is overlapping for: whatever fits the rest of b fits the rest of a.
func covering(a, b string) bool {
	row := make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		below := make([]bool, len(b)+1)
		copy(below, row)
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a):
				row[j] = j == len(b)
			case a[i] == '*':
				row[j] = below[j] || j < len(b) && row[j+1]
			case j == len(b) || b[j] == '*':
				row[j] = false
			default:
				row[j] = (a[i] == b[j] || a[i] == '?') && below[j+1]
			}
		}
	}
	return row[0]
}
