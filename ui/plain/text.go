package plain

import (
	"strings"

	"rootceremony/ceremony/prompt"
	"rootceremony/ui/show"
)

// block is a message as text: an empty line, a header, facts, paragraphs and
// lines, whichever there are.
func (f *Front) block(m prompt.Message) string {
	header := show.Clean(m.Title)
	if f.opts.Rehearsal {
		header = strings.TrimSuffix("REHEARSAL: "+header, ": ")
	}
	var b strings.Builder
	if header != "" {
		b.WriteString("\n" + joined(hang("== ", header)))
	}
	if len(m.Facts) > 0 {
		b.WriteString("\n" + table(m.Facts))
	}
	for _, text := range m.Text {
		b.WriteString("\n" + paragraph(text))
	}
	if len(m.Lines) > 0 {
		b.WriteString("\n")
		for _, line := range m.Lines {
			line = show.Clean(line)
			text := strings.TrimLeft(line, " ")
			if show.Width(line) > width {
				line = strings.Join(hang(line[:len(line)-len(text)], text), "\n")
			}
			b.WriteString(line + "\n")
		}
	}
	b.WriteString(written(m.Write))
	if len(m.Commands) > 0 {
		b.WriteString("\nType next:\n\n")
		for _, command := range m.Commands { // in one line each, to be copied
			b.WriteString("  " + show.Clean(command) + "\n")
		}
	}
	return b.String()
}

// question is the last paragraph of a prompt: what is asked, and what may be
// typed in parentheses.
func (f *Front) question(question, accepted string) string {
	switch {
	case question == "" && accepted != "":
		question = strings.ToUpper(accepted[:1]) + accepted[1:]
	case accepted != "":
		question += " (" + accepted + ")"
	}
	return "\n" + paragraph(question)
}

// refused is what is shown of an answer that did not do.
func refused(err error) string {
	return "\n" + paragraph("Not accepted: "+err.Error())
}

// paragraph wraps a text; its own line ends stay.
func paragraph(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(joined(show.Wrap(line, width)))
	}
	return b.String()
}

// written sets words that people write down, or compare.
func written(all []prompt.Written) string {
	text := ""
	for _, w := range all {
		text += "\n" + paragraph(w.Heading())
		for _, row := range show.Rows(w.Words(), width-2) {
			text += "  " + row + "\n"
		}
	}
	return text
}

// table sets labels and values in two columns.
func table(facts []prompt.Fact) string {
	longest := 0
	for _, fact := range facts {
		longest = max(longest, show.Width(show.Clean(fact.Label)))
	}
	longest = min(longest, width/3)
	var b strings.Builder
	for _, fact := range facts {
		label := show.Clean(fact.Label)
		if show.Width(label) > longest {
			b.WriteString(joined(hang("  ", label)))
			label = ""
		}
		b.WriteString(joined(hang("  "+pad(label, longest)+"  ", fact.Value)))
	}
	return b.String()
}

// hang wraps a text behind a first column, and under it.
func hang(first, text string) []string {
	indent := show.Width(first)
	lines := show.Wrap(text, max(width-indent, 20))
	for i := range lines {
		if i > 0 {
			first = strings.Repeat(" ", indent)
		}
		lines[i] = strings.TrimRight(first+lines[i], " ")
	}
	return lines
}

// pad fills s up with spaces to n columns.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-show.Width(s)))
}

func joined(lines []string) string { return strings.Join(lines, "\n") + "\n" }
