package agreed

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"rootceremony/ceremony/tuf"
)

// What the people of a Group use, or what it is whose loss locks the project
// out: Group.By.
const (
	byTokens     = "tokens and PINs"
	byKeys       = "key backups"                              // open enough of them
	byPUKs       = "PUK backups and tokens"                   // set new PINs on the tokens of And
	byBoth       = "key backups, and PUK backups with tokens" // both of these
	byKeysAndPIN = "key backups, and tokens with their PINs"  // of And, who come themselves
	lostTokens   = "tokens"                                   // no key has a backup
	lostUnsaved  = "tokens whose keys have no backup"
	lostKept     = "tokens whose keys this plan makes no backup of" // those of earlier ceremonies it does not know
	lostSaved    = "tokens whose backups too few are left to open"
	lostAny      = "tokens and recipients"
	lostAnyOther = "recipients"
)

// Group says "any Any of these people", and with And "of whom, or with whom,
// any And.Any of those": each choice of so many is one smallest group.
type Group struct {
	Any int      `json:"any"`
	Of  []string `json:"of"` // names of holders and recipients
	By  string   `json:"by"` // what they use: "tokens and PINs"
	And *Group   `json:"and,omitempty"`
	// PIN are those of Of whose key stays as it is: their PIN is known to them
	// alone, whatever backups are opened.
	PIN []string `json:"pin,omitempty"`
}

// SitePower is what one site has of the tokens and recipients.
type SitePower struct {
	Site       string   `json:"site"`
	Holders    []string `json:"holders"`              // names
	Recipients []string `json:"recipients,omitempty"` // names of those who are no holders
	Signs      bool     `json:"signs"`                // its people alone could sign a root
	Locks      bool     `json:"locks"`                // its loss alone locks the project out
}

// Custody says who could sign a root, and what loss makes it impossible; or who could
// sign targets.
type Custody struct {
	Of        string      `json:"of,omitempty"` // tuf.RoleRoot or tuf.RoleTargets; "": nobody signs targets in the ceremony
	Threshold int         `json:"threshold"`
	Sign      []Group     `json:"sign"`  // the smallest groups who could sign
	Locks     []Group     `json:"locks"` // the smallest losses that lock the project out
	Sites     []SitePower `json:"sites"` // in the order of the plan
	Unsited   []string    `json:"unsited"`
	Kept      []string    `json:"kept"` // holders whose key stays: of its backups this plan knows nothing
	Warnings  []string    `json:"warnings"`
	// Unseen: the private part of the plan isn't here, so that nothing is said of
	// sites and of what backups open.
	Unseen bool `json:"unseen,omitempty"`
}

// crowd counts people, or what is lost, by what they can do: all of one kind
// are alike, so that counts stand for every choice of people.
type crowd struct{ saved, unsaved, outside int } // holders by custody, recipients who are no holders

func (c crowd) holders() int { return c.saved + c.unsaved }

// everybody counts the holders and recipients of the plan.
func (r *Plan) everybody() crowd {
	var all crowd
	for _, h := range r.Holders {
		all.add(h)
	}
	if r.Backup != nil {
		all.outside = len(r.Backup.Recipients)
	}
	return all
}

func (c *crowd) add(h Holder) {
	if h.Custody == BackedUp {
		c.saved++
	} else {
		c.unsaved++
	}
}

// opens reports whether these people can open the backups of a holder who is not
// among them.
func (r *Plan) opens(c crowd) bool {
	if r.Backup == nil {
		return false
	}
	if r.Backup.Holders {
		return c.holders()+c.outside >= r.Backup.Quorum
	}
	return c.outside >= r.Backup.Quorum
}

// signs reports whether these people could sign with what they have: their own
// tokens, and the key backups of all others if they open those. The PUK
// backups add nothing, as the tokens of the others are elsewhere.
func (r *Plan) signs(c crowd) bool {
	usable := c.holders()
	if r.opens(c) {
		usable = r.everybody().saved + c.unsaved
	}
	return usable >= r.Threshold
}

// locks reports whether nobody can ever sign again once these tokens and
// recipients are lost. A holder's spare token is lost with the first.
func (r *Plan) locks(lost crowd) bool {
	all := r.everybody()
	left := crowd{all.saved - lost.saved, all.unsaved - lost.unsaved, all.outside - lost.outside}
	return !r.signs(left)
}

// names are those of the holders with a custody, or of all holders, and of the
// recipients who are no holders.
func (r *Plan) names(custody ...string) (holders, outside []string) {
	for _, h := range r.Holders {
		if len(custody) == 0 || slices.Contains(custody, h.Custody) {
			holders = append(holders, h.Name)
		}
	}
	if r.Backup != nil {
		for _, b := range r.Backup.Recipients {
			outside = append(outside, b.Name)
		}
	}
	return holders, outside
}

// openers are the names of all who are recipients of anyone's backup.
func (r *Plan) openers() []string {
	holders, outside := r.names()
	if r.Backup.Holders {
		return append(holders, outside...)
	}
	return outside
}

// byBackup is the smallest group who could sign by opening backups. A quorum
// opens every key backup there is; what is then still missing to the threshold
// must come from tokens whose keys have no backup, with their holders' PINs or
// with PINs set again by the PUK backups.
func (r *Plan) byBackup() Group {
	g := Group{Any: r.Backup.Quorum, Of: r.openers(), By: byKeys}
	saved := r.everybody().saved
	if missing := r.Threshold - saved; missing > 0 {
		unsaved, _ := r.names(OnToken, Existing)
		kept, _ := r.names(Existing)
		g.And = &Group{Any: missing, Of: unsaved, By: lostTokens, PIN: kept}
		g.By = byBoth
		switch {
		case len(kept) == len(unsaved):
			g.By = byKeysAndPIN
		case saved == 0:
			g.By = byPUKs
		}
	}
	return g
}

// lossGroups are the smallest losses that lock the project out. Keys without a
// backup are lost with their tokens. The others are lost with their tokens
// once too few recipients are left, of whom each holder is one. Backups of
// earlier ceremonies, of keys that stay, are not counted on.
func (r *Plan) lossGroups() []Group {
	none, unsavedKeys := lostTokens, lostUnsaved
	if kept, _ := r.names(Existing); len(kept) > 0 {
		none, unsavedKeys = lostKept, lostKept
	}
	all := r.everybody()
	tokens := all.holders() - r.Threshold + 1 // so many less, and too few keys are left
	holders, outside := r.names()
	if r.Backup == nil {
		return []Group{{Any: tokens, Of: holders, By: none}}
	}
	if all.saved == 0 {
		return []Group{{Any: tokens, Of: holders, By: unsavedKeys}}
	}
	groups := []Group{}
	if unsaved, _ := r.names(OnToken, Existing); all.unsaved >= tokens {
		groups = append(groups, Group{Any: tokens, Of: unsaved, By: unsavedKeys})
	}
	if r.Unseen {
		return groups
	}
	of := &Group{Any: tokens, Of: holders, By: lostTokens}
	if !r.Backup.Holders {
		few := all.outside - r.Backup.Quorum + 1 // so many less, and no quorum is left
		return append(groups, Group{Any: few, Of: outside, By: lostAnyOther, And: of})
	}
	few := all.holders() + all.outside - r.Backup.Quorum + 1
	switch {
	case few <= tokens: // the tokens are so many recipients that no quorum is left
		return []Group{{Any: tokens, Of: holders, By: lostSaved}}
	case few-all.outside >= tokens: // any so many have enough tokens among them
		return append(groups, Group{Any: few, Of: r.openers(), By: lostAny})
	}
	return append(groups, Group{Any: few, Of: r.openers(), By: lostAny, And: of})
}

// Custody analyses who holds what, and who opens what. It presumes that a
// person is in the plan once. The groups are all choices of so many people:
// they are counted, not listed.
func (r *Plan) Custody() Custody {
	n, t := len(r.Holders), r.Threshold
	c := Custody{Of: r.custodyOf(), Threshold: t, Unseen: r.Unseen, Unsited: []string{}, Warnings: []string{}, Sites: []SitePower{}}
	names, _ := r.names()
	c.Sign = []Group{{Any: t, Of: names, By: byTokens}}
	if made, _ := r.names(OnToken, BackedUp); r.Backup != nil && len(made) > 0 && !r.Unseen {
		c.Sign = append(c.Sign, r.byBackup())
	}
	c.Locks = r.lossGroups()
	if c.Kept, _ = r.names(Existing); c.Kept == nil {
		c.Kept = []string{}
	}
	if !r.Unseen {
		r.sites(&c)
	}
	what, out := c.signed(), c.locked()
	if t == 1 && n > 1 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("any one holder can sign %s alone (hint: a threshold of 2 or more)", cmp.Or(what, "a root")))
	}
	losses := math.MaxInt
	for _, g := range c.Locks {
		losses = min(losses, g.least())
	}
	switch {
	case losses == 1 && len(c.Kept) > 0:
		c.Warnings = append(c.Warnings, fmt.Sprintf("the loss of a single token can lock %s (hint: more holders than the threshold)", c.forGood()))
	case losses == 1:
		c.Warnings = append(c.Warnings, fmt.Sprintf("the loss of a single token locks %s (hint: more holders than the threshold)", c.forGood()))
	case losses == 2 && r.Backup == nil:
		c.Warnings = append(c.Warnings, fmt.Sprintf("after the loss of one token the next one locks %s (hint: two holders more than the threshold)", out))
	case losses == 2:
		c.Warnings = append(c.Warnings, fmt.Sprintf("two losses lock %s (hint: more holders, or more recipients than the quorum)", out))
	}
	return c
}

// custodyOf is what a Custody of the plan is about.
func (r *Plan) custodyOf() string {
	switch {
	case r.signing != "":
		return r.signing
	case r.Targets != nil:
		return tuf.RoleRoot
	}
	return ""
}

// ofTargets is the plan as far as it is about signing targets: the holders who have a
// key of that role, and its threshold. The others open backups all the same.
func (r *Plan) ofTargets() *Plan {
	role, part := r.Roles[tuf.RoleTargets], *r
	part.signing, part.Threshold, part.Holders = tuf.RoleTargets, role.Threshold, nil
	if r.Backup != nil {
		backup := *r.Backup
		backup.Recipients = slices.Clone(backup.Recipients)
		part.Backup = &backup
	}
	for _, h := range r.Holders {
		switch {
		case slices.Contains(role.Holders, h.ID):
			part.Holders = append(part.Holders, h)
		case r.Backup != nil && r.Backup.Holders:
			part.Backup.Recipients = append(part.Backup.Recipients, BackupRecipient{ID: h.ID, Name: h.Name, Site: h.Site})
		}
	}
	return &part
}

// signed is what is signed, or "" where nothing else is.
func (c Custody) signed() string {
	return map[string]string{tuf.RoleRoot: "the root", tuf.RoleTargets: "any package"}[c.Of]
}

// locked is what is out once nobody can sign.
func (c Custody) locked() string {
	if c.Of == tuf.RoleTargets {
		return "packages out"
	}
	return "the project out"
}

// forGood is locked, and until when.
func (c Custody) forGood() string {
	if c.Of == tuf.RoleTargets {
		return "packages out until a root has other targets keys"
	}
	return "the project out for good"
}

// sites fills in what each site can do.
func (r *Plan) sites(c *Custody) {
	var counts []crowd
	at := func(site, name string) int {
		if site == "" {
			c.Unsited = append(c.Unsited, name)
			return -1
		}
		i := slices.IndexFunc(c.Sites, func(s SitePower) bool { return Fold(s.Site) == Fold(site) })
		if i < 0 {
			i = len(c.Sites)
			c.Sites = append(c.Sites, SitePower{Site: site})
			counts = append(counts, crowd{})
		}
		return i
	}
	for _, h := range r.Holders {
		if i := at(h.Site, h.Name); i >= 0 {
			c.Sites[i].Holders = append(c.Sites[i].Holders, h.Name)
			counts[i].add(h)
		}
	}
	if r.Backup != nil {
		for _, b := range r.Backup.Recipients {
			if i := at(b.Site, b.Name); i >= 0 {
				c.Sites[i].Recipients = append(c.Sites[i].Recipients, b.Name)
				counts[i].outside++
			}
		}
	}
	for i := range c.Sites {
		c.Sites[i].Signs, c.Sites[i].Locks = r.signs(counts[i]), r.locks(counts[i])
	}
}

// least is how many losses a group of Custody.Locks is.
func (g Group) least() int {
	if g.By == lostAnyOther {
		return g.Any + g.And.Any
	}
	return g.Any
}

// Lines says the analysis to people.
func (c Custody) Lines() []string {
	var lines []string
	for _, g := range c.Sign {
		lines = append(lines, g.could(false, c.signed()))
	}
	for _, g := range c.Locks {
		lines = append(lines, g.lost(c.locked()))
	}
	if len(c.Kept) > 0 && c.Of == tuf.RoleTargets {
		lines = append(lines, fmt.Sprintf("this plan makes no backup of the targets %s of %s", plural("key", len(c.Kept)), Counted(c.Kept, "and", "holders")))
	} else if len(c.Kept) > 0 {
		lines = append(lines, fmt.Sprintf("%s of %s %s: backups, if there are any, are of earlier ceremonies and not counted here",
			map[bool]string{true: "the key", false: "the keys"}[len(c.Kept) == 1], Counted(c.Kept, "and", "holders"), map[bool]string{true: "stays", false: "stay"}[len(c.Kept) == 1]))
	}
	for _, s := range c.Sites {
		if s.Signs {
			lines = append(lines, fmt.Sprintf("%s alone could %s: it has %s, and %s", s.Site, c.sign(), s.who(), c.how(s)))
		}
		if s.Locks {
			lines = append(lines, fmt.Sprintf("losing %s alone locks %s: it has %s", s.Site, c.locked(), s.who()))
		}
	}
	switch {
	case c.Unseen:
		lines = append(lines, "sites, and who opens backups, stand in the private part of the plan, which isn't here: the analysis is without them")
	case !slices.ContainsFunc(c.Sites, func(s SitePower) bool { return s.Signs || s.Locks }) && len(c.Unsited) == 0:
		lines = append(lines, fmt.Sprintf("no site alone could %s, or lock %s", c.sign(), c.locked()))
	}
	if len(c.Unsited) > 0 {
		lines = append(lines, fmt.Sprintf("no site is known for %s: the analysis of sites is without them", Counted(c.Unsited, "and", "holders")))
	}
	for _, w := range c.Warnings {
		lines = append(lines, "warning: "+w)
	}
	return lines
}

// who is the people of a site.
func (s SitePower) who() string {
	var who []string
	if len(s.Holders) > 0 {
		who = append(who, fmt.Sprintf("%d of the holders (%s)", len(s.Holders), Counted(s.Holders, "and", "holders")))
	}
	if len(s.Recipients) > 0 {
		who = append(who, Counted(s.Recipients, "and", "recipients"))
	}
	return strings.Join(who, " and ")
}

// how is why a site can sign.
func (c Custody) how(s SitePower) string {
	if len(s.Holders) >= c.Threshold {
		return fmt.Sprintf("%d sign %s", c.Threshold, map[bool]string{false: "a root", true: "targets"}[c.Of == tuf.RoleTargets])
	}
	return "these open the backups of enough keys"
}

// sign is the verb for it.
func (c Custody) sign() string { return signing(c.signed()) }

func signing(what string) string { return strings.TrimSpace("sign " + what) }

// could says that a group could sign what is named, or with alone that it could on its
// own.
func (g Group) could(alone bool, what string) string {
	sign := signing(what)
	switch {
	case g.By == byTokens && g.Any == 1:
		return fmt.Sprintf("%s could %s alone, with one token and its PIN", g, sign)
	case g.By == byTokens:
		return fmt.Sprintf("%s could %s, with their %s", g, sign, g.By)
	case g.And == nil && alone:
		return fmt.Sprintf("%s could %s alone", g, sign)
	case g.And == nil && g.Any == 1:
		return fmt.Sprintf("%s could open the backups of enough keys, and %s alone", g, sign)
	case g.And == nil:
		return fmt.Sprintf("%s could open the backups of enough keys, and %s", g, sign)
	case g.By == byKeysAndPIN:
		return fmt.Sprintf("%s could open the key backups and, together with %s and their %s, %s", g, g.And, byTokens, sign)
	case g.By == byPUKs:
		return fmt.Sprintf("%s could set new PINs, by the PUK backups, on the %s of %s, and %s%s", g, g.And.tokens(), g.And, sign, g.And.own())
	}
	return fmt.Sprintf("%s could open the key backups and, by the PUK backups, set new PINs on the %s of %s, and %s%s", g, g.And.tokens(), g.And, sign, g.And.own())
}

// own says whose PINs no backup sets again.
func (g Group) own() string {
	if len(g.PIN) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s only with their own PIN)", Counted(g.PIN, "and", "holders"))
}

// lost says that a loss locks out what is named.
func (g Group) lost(out string) string {
	locks := " locks " + out + ": "
	switch g.By {
	case lostTokens:
		return "losing the " + g.tokens() + " of " + g.String() + locks + "no key has a backup"
	case lostUnsaved:
		return "losing the " + g.tokens() + " of " + g.String() + locks + "these keys have no backup"
	case lostKept:
		return "losing the " + g.tokens() + " of " + g.String() + locks + "this plan makes no backup of these keys"
	case lostSaved:
		return "losing the " + g.tokens() + " of " + g.String() + locks + "too few are left to open the backups"
	case lostAnyOther:
		return "losing the " + g.And.tokens() + " of " + g.And.String() + " and the identities of " + g.String() + locks + "no quorum is left to open the backups"
	}
	of := ""
	if g.And != nil {
		of = fmt.Sprintf(", tokens of at least %d holders among them,", g.And.Any)
	}
	return "losing the tokens and identities of " + g.String() + of + locks + "no quorum is left to open the backups"
}

func (g Group) tokens() string {
	if g.Any == 1 {
		return "token"
	}
	return "tokens"
}

func (g Group) String() string {
	noun := "recipients"
	if slices.Contains([]string{byTokens, lostTokens, lostUnsaved, lostKept, lostSaved}, g.By) {
		noun = "holders"
	}
	return anyOf(g.Any, g.Of, noun)
}

// anyOf says every choice of so many of those named.
func anyOf(n int, of []string, noun string) string {
	and, or := Counted(of, "and", noun), Counted(of, "or", noun)
	switch {
	case n == len(of) && n == 1:
		return of[0]
	case n == len(of) && n == 2:
		return "both " + and
	case n == len(of):
		return "all of " + and
	case n == 1:
		return "any one of " + or
	}
	return fmt.Sprintf("any %d of %s", n, or)
}
