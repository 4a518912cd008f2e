package tuf

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// syntax adds vectors that are about JSON as such.
func (w *workshop) syntax() {
	const v, v1 = `"version"`, `"version": 1`
	note := func(name, value, want, at, about string) {
		w.edit(name, v, v1, v1+`, "x-note": `+value, want, at, about)
	}
	nested := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

	// Around and between the values.
	w.raw("json-empty", "", "the JSON text ends too early", theEnd, "a file of no bytes")
	w.raw("json-blank", " \n", "the JSON text ends too early", theEnd, "a file of white space")
	w.raw("json-bom", "\ufeff"+w.base, "byte order mark", "\ufeff", "a byte order mark before the text")
	w.raw("json-utf16", string(utf16le(w.base)), "is not UTF-8", "\xff", "the file in UTF-16 with a byte order mark")
	w.raw("json-trailing-object", w.base+"{}", "data follows the end", "{}", "a second object after the first")
	w.raw("json-trailing-nul", w.base+"\x00", "data follows the end", "\x00", "a NUL byte after the end")
	w.raw("json-trailing-comma-after", strings.TrimSuffix(w.base, "\n")+",\n", "data follows the end", ",", "a comma after the end")
	w.raw("json-cut-off", w.base[:strings.Index(w.base, `"roles"`)], "but the text ends", theEnd, "the second half of the file is missing")
	w.raw("json-cut-off-brace", strings.TrimSuffix(w.base, "}\n"), "but the text ends", theEnd, "only the last brace is missing")
	w.raw("json-string-open", w.base[:strings.Index(w.base, `root",`)+2], "a string begins here and does not end", `"ro`, "the file ends inside a string")
	w.edit("json-comma-object", v, v1, v1+",", "a member's name belongs here", "}", "a comma after the last member")
	w.edit("json-comma-array", `"keyids"`, "\n        ],", ",\n        ],", "a JSON value belongs here", "]", "a comma after the last value of an array")
	w.edit("json-comma-missing", `"_type"`, `"root",`, `"root"`, `"," or "}" belongs here`, `"consistent`, "a comma between members is missing")
	w.edit("json-comma-missing-array", `"root": {`, `",`, `"`, `"," or "]" belongs here`, `"`, "a comma between the values of an array is missing")
	w.edit("json-colon-missing", v, v1, `"version" 1`, `":" belongs here`, "1", "a colon is missing")
	w.edit("json-name-bare", v, v1, `version: 1`, "a member's name belongs here", "version", "a name without quotes")
	w.edit("json-name-single-quotes", v, v1, `'version': 1`, "a member's name belongs here", "'", "a name in single quotes")
	w.edit("json-comment", v, v1, v1+" // one", `"," or "}" belongs here`, "//", "a comment")
	w.edit("json-form-feed", v, v1, "\"version\":\f1", "a JSON value belongs here", "\f", "a form feed as white space")
	w.edit("json-no-break-space", v, v1, "\"version\":\u00a01", "a JSON value belongs here", "\u00a0", "a no-break space as white space")
	w.edit("json-true-capital", "", "true", "True", "a JSON value belongs here", "True", "True instead of true")
	w.edit("json-true-cut", "", "true", "tru", "a JSON value belongs here", "tru", "tru instead of true")
	w.edit("json-true-long", "", "true", "truel", `"," or "}" belongs here`, "l", "a letter after true")

	// Names.
	w.edit("name-twice", v, v1, `"version": 7, "version": 1`, `the name "version" stands twice`, v1, "version twice, with two values")
	w.edit("name-twice-same", v, v1, v1+", "+v1, `the name "version" stands twice`, v1+"\n", "version twice, with one value")
	w.edit("name-twice-escaped", v, v1, `"ver\u0073ion": 7, "version": 1`, `the name "version" stands twice`, v1, "version twice, once with an escape")
	w.edit("name-case", v, v1, `"Version": 7, "version": 1`, `the names "Version" and "version"`, v1, "version again with a capital letter, which Go's encoding/json takes for it")
	w.edit("name-case-long-s", v, v1, `"ver\u017fion": 7, "version": 1`, `differ in case only`, v1, "version again with a long s, which Unicode folds to s")
	w.edit("name-case-kelvin", v, v1, v1+`, "x-k": 1, "x-\u212a": 2`, `differ in case only`, `"x-\u212a"`, "unknown fields that differ in a Kelvin sign")
	note("name-twice-inside", `{"a": 1, "b": [{"c": 1, "c": 2}]}`, `the name "c" stands twice`, `"c": 2`, "a name twice, deep in an unknown field")
	note("name-twice-many", "{"+manyNames(40)+`, "n7": 0}`, `the name "n7" stands twice`, `"n7": 0`, "a name twice among forty")
	note("name-twice-empty", `{"": 1, "": 2}`, `the name "" stands twice`, `"": 2`, "the empty name twice")
	w.edit("name-twice-signed", "", "{", `{"signed": {}, `, `the name "signed" stands twice`, `"signed": {`+"\n", "signed twice")
	w.edit("name-alone-case", v, v1, `"Version": 1`, `must be written "version"`, `"Version"`, "Version instead of version")
	note("name-case-harmless", `{"a": 1, "B": 2, "aa": 3}`, "good: line", "", "names with capital letters that are not alike")

	// Numbers.
	w.editAs("number-fraction", v, v1, `"version": 1.0`, v1, "a number must be an integer", "1.0", "version 1.0")
	w.editAs("number-exponent", v, v1, `"version": 1e0`, v1, "a number must be an integer", "1e0", "version 1e0")
	w.editAs("number-zero-first", v, v1, `"version": 01`, v1, "must not begin with 0", "01", "version 01")
	w.editAs("number-plus", v, v1, `"version": +1`, v1, "a JSON value belongs here", "+1", "version +1")
	w.editAs("number-hex", v, v1, `"version": 0x1`, v1, `"," or "}" belongs here`, "x1", "version 0x1")
	w.edit("number-2-53", v, v1, `"version": 9007199254740992`, "below 2^53", "9007", "version 2^53")
	w.editAs("number-long", v, v1, `"version": 1`+strings.Repeat("0", 60), `"version": 1`, "below 2^53", "1000", "a version of 61 digits")
	note("number-2-53-inside", "9007199254740993", "below 2^53", "9007", "2^53 + 1 in an unknown field, which most programs round")
	note("number-minus-2-53", "-9007199254740992", "below 2^53", "-9007", "-2^53 in an unknown field")
	note("number-fraction-inside", "0.5", "a number must be an integer", "0.5", "a fraction in an unknown field")
	note("number-minus-zero", "-0", "-0 is not an integer", "-0", "-0 in an unknown field")
	note("number-minus-alone", "-", "a digit belongs here", "\n", "a minus without digits")
	note("number-nan", "NaN", "a JSON value belongs here", "NaN", "NaN")
	note("number-infinity", "-Infinity", "a digit belongs here", "Infinity", "-Infinity")
	w.edit("number-greatest", v, v1, `"version": 9007199254740991`, "good", "", "the highest version, 2^53 - 1")
	note("number-least", "-9007199254740991", "good: line", "", "-(2^53 - 1) in an unknown field")

	// Strings.
	note("utf8-byte", "\"\xff\"", "byte 0xff is not UTF-8", "\xff", "a byte that is not UTF-8")
	note("utf8-overlong", "\"\xc0\xaf\"", "byte 0xc0 is not UTF-8", "\xc0", "an overlong form of a slash")
	note("utf8-surrogate", "\"\xed\xa0\x80\"", "byte 0xed is not UTF-8", "\xed", "a surrogate in UTF-8")
	note("utf8-cut-off", "\"\xe2\x82\"", "byte 0xe2 is not UTF-8", "\xe2", "a character of which the last byte is missing")
	note("utf8-too-high", "\"\xf4\x90\x80\x80\"", "byte 0xf4 is not UTF-8", "\xf4", "a character above U+10FFFF")
	w.edit("utf8-name", v, v1, v1+", \"x-\xfe\": 1", "byte 0xfe is not UTF-8", "\xfe", "a name that is not UTF-8")
	note("surrogate-high", `"\ud83d"`, "a surrogate stands alone", `\ud83d`, "a high surrogate alone")
	note("surrogate-low", `"\ude00"`, "a surrogate stands alone", `\ude00`, "a low surrogate alone")
	note("surrogate-order", `"\ude00\ud83d"`, "a surrogate stands alone", `\ude00`, "a pair of surrogates in the wrong order")
	note("surrogate-high-letter", `"\ud83d\u0041"`, "a surrogate stands alone", `\ud83d`, "a high surrogate before a letter")
	note("surrogate-pair", `"\ud83d\ude00"`, "good: line", "", "a pair of surrogates")
	w.edit("surrogate-name", v, v1, v1+`, "x-\udc00": 1`, "a surrogate stands alone", `\udc00`, "a name with a surrogate alone")
	note("control-newline", "\"\n\"", "the control character 0x0a", "\n", "a newline in a string")
	note("control-tab", "\"\t\"", "the control character 0x09", "\t", "a tab in a string")
	note("control-nul", "\"\x00\"", "the control character 0x00", "\x00", "a NUL byte in a string")
	note("escape-unknown", `"\x41"`, "no such escape", `\x41`, "an escape that JSON does not have")
	note("escape-quote", `"\'"`, "no such escape", `\'`, "an escaped single quote")
	note("escape-short", `"\u41"`, "four hex digits", `\u41`, "a \\u with two digits")
	note("escape-no-hex", `"\u00g0"`, "four hex digits", `\u00g0`, "a \\u with a letter that is no digit")
	note("escapes", `"\"\\\/\b\f\n\r\t\u0041\u0000"`, "good: line", "", "every escape of JSON")
	note("text-del", "\"\x7f\"", "good: line", "", "a DEL, which JSON allows")
	note("text-foreign", `"é 字 😀"`, "good: line", "", "characters beyond ASCII")
	note("text-line-separator", "\"\u2028\"", "good: line", "", "a line separator, which JavaScript once refused")
	note("text-not-normal", "\"e\u0301\"", "good: line", "", "an accent as a character of its own: nothing is normalised")
	w.edit("name-escaped", v, v1, `"\u0076ersion": 1`, "good", "", "an escape in the name version, which is the same name")
	w.edit("value-escaped", `"_type"`, `"root"`, `"\u0072oot"`, "good", "", "an escape in the type, which is the same type")

	// Depth: two levels are there around the field.
	note("depth-33", nested(31), "more than 32 deep", "[]", "an array at depth 33")
	note("depth-33-objects", strings.Repeat(`{"a": `, 31)+"1"+strings.Repeat("}", 31), "more than 32 deep", `{"a": 1`, "an object at depth 33")
	note("depth-10000", nested(10000), "more than 32 deep", "[[", "arrays 10,000 deep")
	note("depth-32", nested(30), "good: line", "", "an array at depth 32")

	// The same file in other notations.
	w.raw("space-crlf", strings.ReplaceAll(w.base, "\n", "\r\n"), "good", "", "lines that end in CR LF")
	w.raw("space-none", string(compact(w.base)), "good", "", "no white space at all")
	w.raw("space-tabs", strings.ReplaceAll(w.base, "  ", "\t"), "good", "", "tabs instead of spaces")
	w.raw("space-no-newline", strings.TrimSuffix(w.base, "\n"), "good", "", "no newline at the end")
	w.raw("space-before", "\n\t "+w.base, "good", "", "white space before the text")
	w.raw("order", reversed(w.base), "good", "", "every object's members in the reverse order")
	note("values-nested", `{"b": [null, true, false, {}, [], "", 0], "a": {"z": 1, "y": 2}}`, "good: line", "", "values of every kind in an unknown field")
}

// utf16le is s in UTF-16, little endian, with a byte order mark.
func utf16le(s string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

func manyNames(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"n%d": %d`, i, i))
	}
	return strings.Join(list, ", ")
}

func compact(s string) []byte {
	d, err := scan(s)
	if err != nil {
		panic(err)
	}
	return d.canonical(nil, 0)
}

// reversed writes JSON with every object's members in the reverse order.
func reversed(s string) string {
	d, err := scan(s)
	if err != nil {
		panic(err)
	}
	var write func(i int) string
	write = func(i int) string {
		var parts []string
		switch at, end := d.inside(i); d.nodes[i].kind {
		case object:
			for ; at < end; at = d.after(at + 1) {
				parts = append([]string{d.raw(at) + ": " + write(at+1)}, parts...)
			}
			return "{" + strings.Join(parts, ", ") + "}"
		case array:
			for ; at < end; at = d.after(at) {
				parts = append(parts, write(at))
			}
			return "[" + strings.Join(parts, ", ") + "]"
		}
		return d.raw(i)
	}
	return write(0)
}
