package agreed

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// invisible reports whether a character that counts as printable shows nothing.
func invisible(r rune) bool {
	return r == '\u2800' || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// together are the scripts that one name may have: those of Chinese, Japanese
// and Korean names, with Latin letters (UTS 39, 5.2, "highly restrictive").
// Every other name has one script.
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Bopomofo"},
	{"Latin", "Han", "Hangul"},
}

// checkScripts refuses a name whose letters are of scripts that don't belong
// together.
func checkScripts(s string) error {
	var scripts []string
	for _, r := range s {
		of := script(r)
		if of == "" || slices.Contains(scripts, of) {
			continue
		}
		scripts = append(scripts, of)
		if len(scripts) > 1 && !slices.ContainsFunc(together, func(set []string) bool {
			return !slices.ContainsFunc(scripts, func(of string) bool { return !slices.Contains(set, of) })
		}) {
			return fmt.Errorf("%q has %s (%U), which is %s, beside %s letters (hint: one script in a name, as people must tell names apart)", s, string(r), r, of, scripts[0])
		}
	}
	return nil
}

// script is the script of a character; "": it is used with all of them.
func script(r rune) string {
	switch {
	case r <= unicode.MaxASCII && unicode.IsLetter(r):
		return "Latin"
	case r <= unicode.MaxASCII, unicode.In(r, unicode.Common, unicode.Inherited):
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(unicode.Scripts)) {
		if unicode.Is(unicode.Scripts[name], r) {
			return name
		}
	}
	return ""
}

// lookalikes are letters and digits that look like a Latin one, which comes
// first in each group: Latin, Greek and Cyrillic (of UTS 39's confusables.txt,
// what can stand in names).
var lookalikes = func() map[rune]rune {
	to := map[rune]rune{}
	for _, group := range []string{
		"aаα", "AАΑ", "BВΒ", "cсϲ", "CСϹ", "dԁ", "eе", "EЕΕ", "GԌ", "hһ", "HНΗ", "iіι", "jј", "JЈ", "KКΚ", "lI1|ІΙӀӏ",
		"mм", "MМΜ", "nո", "NΝ", "oо0OοОΟσ", "pрρ", "PРΡ", "qԛ", "QԚ", "rг", "sѕ", "SЅ", "tтτ", "TТΤ", "uυ", "vνѵ", "VѴ", "wԝω", "WԜ",
		"xхχ", "XХΧ", "yуγ", "YҮΥ", "ZΖ",
	} {
		letters := []rune(group)
		for _, r := range letters {
			to[r] = letters[0]
		}
	}
	return to
}()

// look is a name as a hasty eye takes it: names with one look cannot be told
// apart.
func look(s string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if like, ok := lookalikes[r]; ok {
			return like
		}
		return r
	}, norm.NFKC.String(strings.Join(strings.Fields(s), " "))))
}

// lookalikes finds names of people and stickers that look like another of the
// plan and are not the same.
func (c *ruling) lookalikes() {
	names, stickers := map[string]string{}, map[string]string{}
	find := func(seen map[string]string, what, path, s string) {
		other, taken := seen[look(s)]
		switch {
		case s == "" || c.said.Of(path):
		case !taken:
			seen[look(s)] = s
		case Fold(other) != Fold(s):
			c.fault(path, "%s %q looks like %q%s (hint: people must tell them apart at a glance: write one of them in another way)", what, s, other, differs(s, other))
		}
	}
	for i, h := range c.Holders {
		find(names, "name", Element("holder", i)+".name", h.Name)
		find(stickers, "token", Element("holder", i)+".token", h.Token)
	}
	for i, d := range c.Drops {
		find(names, "name", Element("drop", i)+".name", d.Name)
		find(stickers, "token", Element("drop", i)+".token", d.Token)
	}
	for i, p := range c.Persons {
		find(names, "name", Element("person", i)+".name", p.Name)
	}
	if c.Backup != nil {
		for i, r := range c.Backup.Recipients {
			find(names, "name", Element("recipient", i)+".name", r.Name)
		}
	}
}

// differs names the first character of a that another stands for in b.
func differs(a, b string) string {
	in := []rune(norm.NFKC.String(b))
	for i, r := range []rune(norm.NFKC.String(a)) {
		if i < len(in) && r != in[i] && unicode.ToLower(r) != unicode.ToLower(in[i]) {
			return fmt.Sprintf(": %U stands where that has %U", r, in[i])
		}
	}
	return ""
}
