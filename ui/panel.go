package ui

import (
	"slices"
	"strings"

	"rootceremony/ceremony/prompt"
	"rootceremony/ui/show"
)

func repeat(s string, n int) string { return strings.Repeat(s, max(n, 0)) }

// wrap breaks a text into lines of at most columns columns; its own line ends
// stay. There is no line of an empty text.
func wrap(text string, columns int) []string {
	if text == "" {
		return nil
	}
	var lines []string
	for part := range strings.SplitSeq(text, "\n") {
		lines = append(lines, show.Wrap(part, max(columns, 2))...)
	}
	return lines
}

// hang breaks a line that is to be set as it is, where it is too long: what
// goes on stands under its last column, which begins behind two spaces or more.
func hang(text string, columns int) []string {
	text = show.Clean(text)
	if width(text) <= columns {
		return []string{text}
	}
	indent := len(text) - len(strings.TrimLeft(text, " ")) + 2
	if i := strings.LastIndex(text[:min(len(text), columns/2)], "  "); i >= 0 {
		indent = max(indent, width(text[:i])+2)
	}
	indent = min(indent, columns/2)
	cut := strings.LastIndexByte(show.Truncate(text, columns+1), ' ')
	if cut <= indent {
		cut = len(show.Truncate(text, columns))
	}
	lines := []string{text[:cut]}
	for _, s := range show.Wrap(text[cut:], max(columns-indent, 2)) {
		lines = append(lines, repeat(" ", indent)+s)
	}
	return lines
}

// body sets a message in a panel. What is long to read comes first, so that
// what is needed for the answer stands above it in the end.
func body(m prompt.Message, columns int) []line {
	var lines []line
	gap := func() {
		if len(lines) > 0 {
			lines = append(lines, nil)
		}
	}
	for _, s := range wrap(m.Title, columns) {
		lines = append(lines, set(strong, s))
	}
	if len(m.Lines) > 0 {
		gap()
		for _, text := range m.Lines {
			for _, s := range hang(text, columns) {
				lines = append(lines, set(plain, s))
			}
		}
	}
	if len(m.Facts) > 0 {
		gap()
		lines = append(lines, table(m.Facts, columns)...)
	}
	for _, text := range m.Text {
		gap()
		for _, s := range wrap(text, columns) {
			lines = append(lines, set(plain, s))
		}
	}
	for _, w := range m.Write {
		gap()
		for _, s := range wrap(w.Heading(), columns) {
			lines = append(lines, set(plain, s))
		}
		for _, s := range show.Rows(w.Words(), columns-2) {
			lines = append(lines, set(strong, "  "+s))
		}
	}
	if len(m.Commands) > 0 {
		gap()
		lines = append(lines, set(plain, "Type next:"), nil)
		for _, command := range m.Commands {
			for _, s := range hang("  "+command, columns) {
				lines = append(lines, set(strong, s))
			}
		}
	}
	return lines
}

// table sets facts in two columns. Values of three columns or more, such as
// the words of a digest, are set apart, so that they can be read aloud.
func table(facts []prompt.Fact, columns int) []line {
	longest := labels(facts, columns)
	var lines []line
	var last int
	for _, f := range facts {
		cells := cellsOf(f.Value)
		if len(cells) > 2 && (last == 0 || last == len(cells)) && fitting(facts, len(cells), columns-longest-2) {
			lines = append(lines, spread(f.Label, cells, longest, (columns-longest-2)/len(cells)))
			last = len(cells)
			continue
		}
		label := pad(show.Clean(f.Label), longest) + "  "
		for i, s := range evenly(f.Value, max(columns-longest-2, 2)) {
			if len(cellsOf(f.Value)) == 2 && width(show.Clean(f.Value)) <= columns-longest-2 {
				s = show.Clean(f.Value)
			}
			if i > 0 {
				label = repeat(" ", longest+2)
			}
			lines = append(lines, line{{label, dim}, {s, plain}})
		}
	}
	return lines
}

// evenly wraps a value. Groups of the same length, as in a digest, are set in
// lines of the same length, where that needs no more lines.
func evenly(value string, columns int) []string {
	lines := show.Wrap(value, columns)
	groups := strings.Fields(show.Clean(value))
	same := !slices.ContainsFunc(groups, func(g string) bool { return len(g) != len(groups[0]) })
	if len(lines) < 2 || !same || len(groups)%len(lines) != 0 {
		return lines
	}
	each := len(groups) / len(lines)
	for i := range lines {
		lines[i] = strings.Join(groups[i*each:(i+1)*each], " ")
	}
	return lines
}

func labels(facts []prompt.Fact, columns int) int {
	longest := 0
	for _, f := range facts {
		longest = max(longest, width(show.Clean(f.Label)))
	}
	return min(longest, columns/3)
}

// cellsOf splits a value where it has two spaces or more.
func cellsOf(value string) []string {
	return slices.DeleteFunc(strings.Split(show.Clean(value), "  "), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// fitting reports whether all values of n cells fit in columns of equal width.
func fitting(facts []prompt.Fact, n, columns int) bool {
	for _, f := range facts {
		cells := cellsOf(f.Value)
		for _, c := range cells {
			if len(cells) == n && width(strings.TrimSpace(c))+1 > columns/n {
				return false
			}
		}
	}
	return true
}

func spread(label string, cells []string, longest, columns int) line {
	l := line{{pad(show.Clean(label), longest) + "  ", dim}}
	for _, c := range cells {
		l = append(l, span{pad(strings.TrimSpace(c), columns), strong})
	}
	return l
}

func pad(s string, n int) string { return show.Truncate(s, n) + repeat(" ", n-width(s)) }

// wide reports whether a message is better read with the whole screen than
// beside the list of tasks.
func wide(m prompt.Message, columns int) bool {
	longest := labels(m.Facts, columns)
	return slices.ContainsFunc(m.Facts, func(f prompt.Fact) bool { return longest+2+width(show.Clean(f.Value)) > columns }) ||
		slices.ContainsFunc(m.Lines, func(s string) bool { return width(show.Clean(s)) > columns }) ||
		slices.ContainsFunc(m.Commands, func(s string) bool { return width(show.Clean(s))+2 > columns })
}
