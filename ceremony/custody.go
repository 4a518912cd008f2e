package ceremony

import (
	"fmt"
	"slices"
	"strings"
)

// Group says "any Any of these people": each choice of so many is one
// smallest group.
type Group struct {
	Any int      `json:"any"`
	Of  []string `json:"of"` // names of holders
	By  string   `json:"by"` // what they use: "tokens and PINs"
}

// SitePower is what one site has of the tokens.
type SitePower struct {
	Site    string   `json:"site"`
	Holders []string `json:"holders"` // names
	Signs   bool     `json:"signs"`   // its holders alone could sign a root
	Locks   bool     `json:"locks"`   // its loss alone locks the project out
}

// Custody says who could sign a root, and what loss makes it impossible.
type Custody struct {
	Threshold int         `json:"threshold"`
	Sign      []Group     `json:"sign"`  // the smallest groups who could sign
	Locks     []Group     `json:"locks"` // the smallest losses that lock the project out
	Sites     []SitePower `json:"sites"` // in the order of the plan
	Unsited   []string    `json:"unsited"`
	Warnings  []string    `json:"warnings"`
}

// Custody analyses who holds what. Every token has one key and counts once,
// so the groups are all choices of so many holders: they are counted, not
// listed.
func (r *Resolved) Custody() Custody {
	n, t := len(r.Holders), r.Threshold
	c := Custody{Threshold: t, Unsited: []string{}, Warnings: []string{}, Sites: []SitePower{}}
	var names []string
	for _, h := range r.Holders {
		names = append(names, h.Name)
		if h.Site == "" {
			c.Unsited = append(c.Unsited, h.Name)
			continue
		}
		i := slices.IndexFunc(c.Sites, func(s SitePower) bool { return fold(s.Site) == fold(h.Site) })
		if i < 0 {
			i = len(c.Sites)
			c.Sites = append(c.Sites, SitePower{Site: h.Site})
		}
		c.Sites[i].Holders = append(c.Sites[i].Holders, h.Name)
	}
	c.Sign = []Group{{t, names, "tokens and PINs"}}
	c.Locks = []Group{{n - t + 1, names, "tokens"}}
	for i := range c.Sites {
		s := &c.Sites[i]
		s.Signs = len(s.Holders) >= t
		s.Locks = n-len(s.Holders) < t
	}
	if t == 1 && n > 1 {
		c.Warnings = append(c.Warnings, "any one holder can sign a root alone (hint: a threshold of 2 or more)")
	}
	if n == t {
		c.Warnings = append(c.Warnings, "the loss of a single token locks the project out for good (hint: more holders than the threshold)")
	} else if n-t == 1 {
		c.Warnings = append(c.Warnings, "after the loss of one token the next one locks the project out (hint: two holders more than the threshold)")
	}
	return c
}

// Lines says the analysis to people.
func (c Custody) Lines() []string {
	var lines []string
	for _, g := range c.Sign {
		if g.Any == 1 {
			lines = append(lines, fmt.Sprintf("%s could sign alone, with one token and its PIN", g))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s could sign, with their %s", g, g.By))
	}
	for _, g := range c.Locks {
		what := g.By
		if g.Any == 1 {
			what = "token"
		}
		lines = append(lines, fmt.Sprintf("losing the %s of %s locks the project out: no key has a backup", what, g))
	}
	for _, s := range c.Sites {
		who := fmt.Sprintf("%d of the holders (%s)", len(s.Holders), list(s.Holders, "and"))
		if s.Signs {
			lines = append(lines, fmt.Sprintf("%s alone could sign: it has %s, and %d sign a root", s.Site, who, c.Threshold))
		}
		if s.Locks {
			lines = append(lines, fmt.Sprintf("losing %s alone locks the project out: it has %s", s.Site, who))
		}
	}
	if !slices.ContainsFunc(c.Sites, func(s SitePower) bool { return s.Signs || s.Locks }) && len(c.Unsited) == 0 {
		lines = append(lines, "no site alone could sign, or lock the project out")
	}
	if len(c.Unsited) > 0 {
		lines = append(lines, fmt.Sprintf("no site is known for %s: the analysis of sites is without them", list(c.Unsited, "and")))
	}
	for _, w := range c.Warnings {
		lines = append(lines, "warning: "+w)
	}
	return lines
}

func (g Group) String() string {
	switch {
	case g.Any == len(g.Of) && g.Any == 1:
		return g.Of[0]
	case g.Any == len(g.Of) && g.Any == 2:
		return "both " + list(g.Of, "and")
	case g.Any == len(g.Of):
		return "all of " + list(g.Of, "and")
	case g.Any == 1:
		return "any one of " + list(g.Of, "or")
	}
	return fmt.Sprintf("any %d of %s", g.Any, list(g.Of, "or"))
}

// namedAtMost is how many names a sentence holds before it counts them.
const namedAtMost = 12

// list joins names as a sentence does.
func list(names []string, word string) string {
	switch n := len(names); {
	case n == 1:
		return names[0]
	case n > namedAtMost:
		return fmt.Sprintf("%d holders", n)
	default:
		return strings.Join(names[:n-1], ", ") + " " + word + " " + names[n-1]
	}
}
