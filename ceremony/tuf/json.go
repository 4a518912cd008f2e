package tuf

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what is read.
const (
	MaxSize        = 1 << 20 // bytes of a root file
	MaxTargetsSize = 1 << 24 // bytes of a targets file
	maxDepth       = 32      // objects and arrays inside each other
	maxInt         = 1<<53 - 1
)

// ParseError is a refusal of what was read, with the place. Line and Column
// count from 1, Column in characters; Offset counts bytes from 0.
type ParseError struct {
	Offset, Line, Column int
	Reason               string
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("line %d, column %d (byte %d): %s", e.Line, e.Column, e.Offset, e.Reason)
}

// refuse makes the ParseError for a place in s. Of long strings among the
// arguments it takes the beginning.
func refuse(s string, offset int, format string, args ...any) *ParseError {
	offset = min(offset, len(s))
	start := strings.LastIndexByte(s[:offset], '\n') + 1
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = clip(text)
		}
	}
	return &ParseError{
		Offset: offset,
		Line:   1 + strings.Count(s[:offset], "\n"),
		Column: 1 + utf8.RuneCountInString(s[start:offset]),
		Reason: fmt.Sprintf(format, args...),
	}
}

// clip cuts text that is longer than people read.
func clip(s string) string {
	const most = 200 // characters
	if len(s) > most {
		for i, n := 0, 0; i < len(s); n++ {
			if n == most {
				return s[:i] + "..."
			}
			_, size := utf8.DecodeRuneInString(s[i:])
			i += size
		}
	}
	return s
}

type kind uint8

const (
	object kind = iota
	array
	text
	integer
	boolean
	null
)

func (k kind) String() string {
	return [...]string{"an object", "an array", "a string", "a number", "true or false", "null"}[k]
}

// node is one JSON value of a document. The values inside an object or array
// follow it directly, in an object each after its name; next is the index of
// the node after all of them.
type node struct {
	start, end, next int32 // source bytes start..end
	kind             kind
	escaped          bool // text: it holds escapes; object: its names are not ascending
}

// document is a JSON text that was read in one pass, and nothing of it copied.
type document struct {
	src     string
	nodes   []node // the first one is the whole value
	foreign int32  // where the first character beyond ASCII stands, or 0

	// caseful says where names may differ in case only: nowhere, in all objects, or in
	// the one that is the member "targets" of an object so deep. alike are the later
	// names of those that do.
	caseful int
	paths   int // the node of that object, or 0
	alike   []int
}

// allCaseful: what is scanned was read before, or will be.
const allCaseful = -1

// scan reads one strict JSON value with nothing around it: RFC 8259 without
// duplicate names (also not in another case), without numbers that are not
// integers below 2^53, and without text that is not Unicode.
func scan(src string) (*document, *ParseError) {
	d := &document{nodes: make([]node, 0, 24+len(src)/24)}
	if err := d.scan(src); err != nil {
		return nil, err
	}
	return d, nil
}

// rescan is scan for what was read before, or will be: it doesn't look at the case of
// names.
func rescan(src string) (*document, *ParseError) {
	d := &document{nodes: make([]node, 0, 24+len(src)/24), caseful: allCaseful}
	if err := d.scan(src); err != nil {
		return nil, err
	}
	return d, nil
}

// scan reads a JSON text as the function of that name does, into the nodes of a
// document that is done with.
func (d *document) scan(src string) *ParseError {
	d.src, d.nodes, d.foreign = src, d.nodes[:0], 0
	if len(src) > MaxTargetsSize {
		return refuse("", 0, "the JSON text is longer than %d bytes", MaxTargetsSize)
	}
	if strings.HasPrefix(src, "\ufeff") {
		return refuse(src, 0, "a byte order mark comes before the JSON text")
	}
	pos, err := d.value(d.space(0), 1)
	if err != nil {
		return err
	}
	if pos = d.space(pos); pos < len(src) {
		return refuse(src, pos, "data follows the end of the JSON text")
	}
	return nil
}

func (d *document) space(pos int) int {
	for pos < len(d.src) {
		switch d.src[pos] {
		case ' ', '\n', '\r', '\t':
			pos++
		default:
			return pos
		}
	}
	return pos
}

// value reads the value that begins at pos and returns where it ends.
func (d *document) value(pos, depth int) (int, *ParseError) {
	if pos >= len(d.src) {
		return 0, refuse(d.src, pos, "the JSON text ends too early")
	}
	switch c := d.src[pos]; {
	case c == '"':
		return d.text(pos)
	case c == '{' || c == '[':
		if depth > maxDepth {
			return 0, refuse(d.src, pos, "objects and arrays are more than %d deep", maxDepth)
		}
		if c == '{' {
			return d.object(pos, depth)
		}
		return d.array(pos, depth)
	case c == '-' || '0' <= c && c <= '9':
		return d.integer(pos)
	case c == 't':
		return d.word(pos, "true", boolean)
	case c == 'f':
		return d.word(pos, "false", boolean)
	case c == 'n':
		return d.word(pos, "null", null)
	}
	return 0, d.unexpected(pos, "a JSON value belongs here")
}

func (d *document) unexpected(pos int, what string) *ParseError {
	if pos >= len(d.src) {
		return refuse(d.src, pos, "%s, but the text ends", what)
	}
	r, size := utf8.DecodeRuneInString(d.src[pos:])
	if r == utf8.RuneError && size == 1 {
		return refuse(d.src, pos, "byte %#02x is not UTF-8", d.src[pos])
	}
	return refuse(d.src, pos, "%s, not %q", what, r)
}

func (d *document) add(k kind, start, end int) {
	d.nodes = append(d.nodes, node{int32(start), int32(end), int32(len(d.nodes) + 1), k, false})
}

func (d *document) word(pos int, word string, k kind) (int, *ParseError) {
	if !strings.HasPrefix(d.src[pos:], word) {
		return 0, d.unexpected(pos, "a JSON value belongs here")
	}
	d.add(k, pos, pos+len(word))
	return pos + len(word), nil
}

// integer reads a number and refuses all that some client reads as another
// number than the rest: fractions, exponents, -0, and 2^53 and above.
func (d *document) integer(pos int) (int, *ParseError) {
	start, value := pos, int64(0)
	if d.src[pos] == '-' {
		pos++
	}
	first := pos
	for pos < len(d.src) && '0' <= d.src[pos] && d.src[pos] <= '9' {
		if value = value*10 + int64(d.src[pos]-'0'); value > maxInt {
			return 0, refuse(d.src, start, "a number must stay below 2^53")
		}
		pos++
	}
	switch {
	case pos == first:
		return 0, d.unexpected(pos, "a digit belongs here")
	case pos < len(d.src) && strings.IndexByte(".eE", d.src[pos]) >= 0:
		return 0, refuse(d.src, start, "a number must be an integer, written without fraction or exponent")
	case d.src[first] == '0' && pos > first+1:
		return 0, refuse(d.src, start, "a number must not begin with 0")
	case d.src[first] == '0' && first > start:
		return 0, refuse(d.src, start, "-0 is not an integer that all clients read alike")
	}
	d.add(integer, start, pos)
	return pos, nil
}

// Bytes of a string that need a look.
var special = func() (t [256]bool) {
	for c := range t {
		t[c] = c < 0x20 || c >= 0x7f || c == '"' || c == '\\'
	}
	return t
}()

func (d *document) text(pos int) (int, *ParseError) {
	src, start, escaped := d.src, pos, false
	pos++
	for {
		for pos < len(src) && !special[src[pos]] {
			pos++
		}
		if pos >= len(src) {
			return 0, refuse(src, start, "a string begins here and does not end")
		}
		switch c := src[pos]; {
		case c == '"':
			d.nodes = append(d.nodes, node{int32(start), int32(pos + 1), int32(len(d.nodes) + 1), text, escaped})
			return pos + 1, nil
		case c == '\\':
			escaped = true
			r, size, reason := unescape(src[pos:])
			if reason != "" {
				return 0, refuse(src, pos, "%s", reason)
			}
			if r > '~' && d.foreign == 0 {
				d.foreign = int32(pos)
			}
			pos += size
		case c < 0x20:
			return 0, refuse(src, pos, "the control character %#02x in a string must be escaped", c)
		default:
			r, size := utf8.DecodeRuneInString(src[pos:])
			if r == utf8.RuneError && size == 1 {
				return 0, refuse(src, pos, "byte %#02x is not UTF-8", c)
			}
			if d.foreign == 0 {
				d.foreign = int32(pos)
			}
			pos += size
		}
	}
}

// unescape reads the escape that s begins with: the character, its size in
// the source, or a reason to refuse it.
func unescape(s string) (rune, int, string) {
	if len(s) < 2 {
		return 0, 0, "an escape is cut off"
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2, ""
	case 'b':
		return '\b', 2, ""
	case 'f':
		return '\f', 2, ""
	case 'n':
		return '\n', 2, ""
	case 'r':
		return '\r', 2, ""
	case 't':
		return '\t', 2, ""
	case 'u':
		r, ok := hex4(s[2:])
		switch {
		case !ok:
			return 0, 0, `\u needs four hex digits`
		case r < 0xd800 || r > 0xdfff:
			return r, 6, ""
		case r < 0xdc00 && strings.HasPrefix(s[6:], `\u`):
			if low, ok := hex4(s[8:]); ok && 0xdc00 <= low && low <= 0xdfff {
				return 0x10000 + (r-0xd800)<<10 + (low - 0xdc00), 12, ""
			}
		}
		return 0, 0, "a surrogate stands alone: it is no character"
	}
	return 0, 0, "there is no such escape in JSON"
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		v := unhex(s[i])
		if v > 15 {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	return r, true
}

// unhex returns the value of a hex digit, or 255.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

func (d *document) array(pos, depth int) (int, *ParseError) {
	self := len(d.nodes)
	d.add(array, pos, 0)
	pos = d.space(pos + 1)
	if pos < len(d.src) && d.src[pos] == ']' {
		return d.close(self, pos), nil
	}
	for {
		var err *ParseError
		if pos, err = d.value(pos, depth+1); err != nil {
			return 0, err
		}
		pos = d.space(pos)
		switch {
		case pos < len(d.src) && d.src[pos] == ',':
			pos = d.space(pos + 1)
		case pos < len(d.src) && d.src[pos] == ']':
			return d.close(self, pos), nil
		default:
			return 0, d.unexpected(pos, `"," or "]" belongs here`)
		}
	}
}

func (d *document) close(self, pos int) int {
	d.nodes[self].end = int32(pos + 1)
	d.nodes[self].next = int32(len(d.nodes))
	return pos + 1
}

func (d *document) object(pos, depth int) (int, *ParseError) {
	self := len(d.nodes)
	d.add(object, pos, 0)
	pos = d.space(pos + 1)
	if pos < len(d.src) && d.src[pos] == '}' {
		return d.close(self, pos), nil
	}
	ascending, last := true, ""
	for first := true; ; first = false {
		if pos >= len(d.src) || d.src[pos] != '"' {
			return 0, d.unexpected(pos, "a member's name belongs here")
		}
		name := len(d.nodes)
		var err *ParseError
		if pos, err = d.text(pos); err != nil {
			return 0, err
		}
		if ascending {
			s := d.text0(name)
			ascending = (first || last < s) && !d.nodes[name].escaped
			last = s
		}
		if pos = d.space(pos); pos >= len(d.src) || d.src[pos] != ':' {
			return 0, d.unexpected(pos, `":" belongs here`)
		}
		if depth == d.caseful && d.str(name) == "targets" {
			d.paths = len(d.nodes)
		}
		if pos, err = d.value(d.space(pos+1), depth+1); err != nil {
			return 0, err
		}
		pos = d.space(pos)
		switch {
		case pos < len(d.src) && d.src[pos] == ',':
			pos = d.space(pos + 1)
		case pos < len(d.src) && d.src[pos] == '}':
			pos = d.close(self, pos)
			d.nodes[self].escaped = !ascending
			return pos, d.distinct(self, ascending)
		default:
			return 0, d.unexpected(pos, `"," or "}" belongs here`)
		}
	}
}

// text0 is the inside of a string as it stands in the source.
func (d *document) text0(i int) string {
	n := &d.nodes[i]
	return d.src[n.start+1 : n.end-1]
}

// str is a string's value. It is a part of the source unless there are escapes.
func (d *document) str(i int) string {
	s := d.text0(i)
	if !d.nodes[i].escaped {
		return s
	}
	b := make([]byte, 0, len(s))
	for len(s) > 0 {
		if s[0] != '\\' {
			run := strings.IndexByte(s, '\\')
			if run < 0 {
				run = len(s)
			}
			b, s = append(b, s[:run]...), s[run:]
			continue
		}
		r, size, _ := unescape(s)
		b, s = utf8.AppendRune(b, r), s[size:]
	}
	return string(b)
}

// int is an integer's value.
func (d *document) int(i int) int64 {
	s, value, sign := d.src[d.nodes[i].start:d.nodes[i].end], int64(0), int64(1)
	if s[0] == '-' {
		s, sign = s[1:], -1
	}
	for _, c := range []byte(s) {
		value = value*10 + int64(c-'0')
	}
	return sign * value
}

// raw is a value's source.
func (d *document) raw(i int) string { return d.src[d.nodes[i].start:d.nodes[i].end] }

// inside returns the index of the first node inside i, and the one after the last.
func (d *document) inside(i int) (int, int) { return i + 1, int(d.nodes[i].next) }

// after returns the index of the node after the value i.
func (d *document) after(i int) int { return int(d.nodes[i].next) }

// names returns the nodes of an object's names.
func (d *document) names(i int) []int {
	var list []int
	at, end := d.inside(i)
	for ; at < end; at = d.after(at + 1) {
		list = append(list, at)
	}
	return list
}

// distinct refuses an object in which two names are equal, or equal but for
// their case: programs that read names without regard to case (Go's
// encoding/json is one) would take one for the other.
func (d *document) distinct(i int, ascending bool) *ParseError {
	at, end := d.inside(i)
	plain := ascending
	for n := at; n < end && plain; n = d.after(n + 1) {
		for _, c := range []byte(d.text0(n)) {
			if c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
				plain = false
				break
			}
		}
	}
	if plain {
		return nil // ascending and without case: all of them differ
	}
	if d.caseful == allCaseful || d.caseful > 0 && d.paths == i {
		return d.differing(i)
	}
	names := d.names(i)
	var folded map[string]int
	if len(names) > 16 {
		folded = make(map[string]int, len(names))
	}
	for k, n := range names {
		earlier := -1
		if folded != nil {
			s := fold(d.str(n))
			if first, ok := folded[s]; ok {
				earlier = first
			}
			folded[s] = n
		} else {
			for _, m := range names[:k] {
				if strings.EqualFold(d.str(m), d.str(n)) {
					earlier = m
				}
			}
		}
		switch {
		case earlier < 0:
		case d.str(earlier) == d.str(n):
			return refuse(d.src, int(d.nodes[n].start), "the name %q stands twice in this object", d.str(n))
		default:
			return refuse(d.src, int(d.nodes[n].start), "the names %q and %q in one object differ in case only", d.str(earlier), d.str(n))
		}
	}
	return nil
}

// differing refuses an object of paths in which two are equal, and remembers those that
// are equal but for their case.
func (d *document) differing(i int) *ParseError {
	names := d.names(i)
	had, folded := make(map[string]bool, len(names)), make(map[string]bool, len(names))
	for _, n := range names {
		path := d.str(n)
		if had[path] {
			return refuse(d.src, int(d.nodes[n].start), "the name %q stands twice in this object", path)
		}
		had[path] = true
		if s := fold(path); folded[s] {
			d.alike = append(d.alike, n)
		} else {
			folded[s] = true
		}
	}
	return nil
}

// fold maps strings that strings.EqualFold calls equal to one string.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}

// canonical appends the OLPC canonical form of a value: names sorted by their
// bytes, no white space, in strings only '"' and '\' escaped.
func (d *document) canonical(b []byte, i int) []byte {
	n := &d.nodes[i]
	switch n.kind {
	case text:
		if n.escaped {
			return appendQuoted(b, d.str(i))
		}
		return append(b, d.src[n.start:n.end]...)
	case array:
		b = append(b, '[')
		at, end := d.inside(i)
		for first := at; at < end; at = d.after(at) {
			if at > first {
				b = append(b, ',')
			}
			b = d.canonical(b, at)
		}
		return append(b, ']')
	case object:
		b = append(b, '{')
		at, end := d.inside(i)
		if !n.escaped {
			for first := at; at < end; at = d.after(at + 1) {
				if at > first {
					b = append(b, ',')
				}
				b = append(b, d.src[d.nodes[at].start:d.nodes[at].end]...)
				b = append(b, ':')
				b = d.canonical(b, at+1)
			}
			return append(b, '}')
		}
		for k, at := range d.sorted(i) {
			if k > 0 {
				b = append(b, ',')
			}
			b = d.canonical(b, at)
			b = append(b, ':')
			b = d.canonical(b, at+1)
		}
		return append(b, '}')
	}
	return append(b, d.src[n.start:n.end]...)
}

// sorted returns the nodes of an object's names in the order of their bytes.
func (d *document) sorted(i int) []int {
	names := d.names(i)
	slices.SortFunc(names, func(a, b int) int { return strings.Compare(d.str(a), d.str(b)) })
	return names
}

// appendQuoted appends a string as canonical JSON writes it.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for {
		run := strings.IndexAny(s, `"\`)
		if run < 0 {
			return append(append(b, s...), '"')
		}
		b = append(append(append(b, s[:run]...), '\\'), s[run])
		s = s[run+1:]
	}
}

// indent appends a value with names sorted, two spaces to a level, for files.
func (d *document) indent(b []byte, i, level int) []byte {
	n := &d.nodes[i]
	if n.kind > array || int(n.next) == i+1 { // no members: nothing to indent
		return append(b, d.raw(i)...)
	}
	line := func(b []byte, level int) []byte {
		b = append(b, '\n')
		for range level {
			b = append(b, "  "...)
		}
		return b
	}
	if n.kind == array {
		b = append(b, '[')
		at, end := d.inside(i)
		for first := at; at < end; at = d.after(at) {
			if at > first {
				b = append(b, ',')
			}
			b = d.indent(line(b, level+1), at, level+1)
		}
		return append(line(b, level), ']')
	}
	b = append(b, '{')
	for k, at := range d.sorted(i) {
		if k > 0 {
			b = append(b, ',')
		}
		b = append(line(b, level+1), d.raw(at)...)
		b = d.indent(append(b, ": "...), at+1, level+1)
	}
	return append(line(b, level), '}')
}

// canonicalText is JSON without what only its notation changes.
func canonicalText(s string) string {
	d, err := scan(s)
	if err != nil {
		return s
	}
	return string(d.canonical(nil, 0))
}
