package ui

import "strings"

// glyphs are the signs that the screens are drawn with. Those for Unicode are
// in the fonts of the Linux console too.
type glyphs struct {
	rule, bar         string // lines
	done, here        string // marks of tasks
	up, down          string // there is more
	star, caret, moon string // a character of a secret, the place to type, progress
}

var (
	asciiGlyphs   = glyphs{rule: "-", bar: "|", done: "x", here: ">", up: "^", down: "v", star: "*", caret: "_", moon: "#"}
	unicodeGlyphs = glyphs{rule: "─", bar: "│", done: "√", here: "►", up: "▲", down: "▼", star: "*", caret: "█", moon: "█"}
)

// unicodeLocale reports whether the environment asks for UTF-8.
func unicodeLocale(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := env(name); value != "" {
			value = strings.ToLower(value)
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}
