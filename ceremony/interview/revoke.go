package interview

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/record"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// What haste is worth, as the last word to people who are about to act.
const (
	noRace         = "There is no race: fewer keys than the threshold sign nothing. Rested and rehearsed is better than tonight."
	hurryRoles     = "Here haste matters: the service that signs stops first. Metadata signed with the new keys goes live together with the new root, not before and not after."
	hurryQuorum    = "Here haste matters: it is a race with anyone who has these keys. Warn users today; and if a root turns up that nobody of you has signed, only a new chain is left."
	hurryPublished = "Here haste matters: it is a race with everybody, as anyone can sign with a published key. Warn users today; and if a root turns up that nobody of you has signed, only a new chain is left."
	hurryUsers     = "Until the new root is published clients refuse all updates: hurry for them. It is no hole, and no clock is to be turned back."
)

// revoke asks what has happened, and what the table of ways wants to know, until
// that leads out: to another root, to no root at all, or to the honest answer that
// no root helps.
func (iv *interview) revoke() error {
	what, err := iv.askWhat()
	e := emergency{what: what}
	var ids []string      // of the root keys that people say are lost, or in other hands
	var back []restorable // those of them that backups bring back
	for err == nil {
		way := ways[e.row()]
		if err := iv.comesTo(e.comesTo(way)); err != nil {
			return err
		}
		switch way.then {
		case askWhere:
			e.where, err = iv.askWhere()
		case findChain:
			err = iv.source()
			if e.traced = true; iv.chain != nil {
				e.need, e.keys = iv.oldThreshold(), len(iv.oldKeys())
				e.published, e.roles = len(iv.exposedKeys()), len(iv.exposedRoles()) > 0
			}
		case askRoles:
			ids, err = iv.askRoles()
			e.asked, e.named, e.both = true, len(ids), iv.published(ids)
		case askWhich:
			ids, err = iv.askWhich(e.incident())
			e.asked, e.named, e.both = true, len(ids), iv.published(ids)
		case search:
			back, err = iv.lookForBackups(ids)
			e.searched, e.back, e.unknown = true, len(back), len(iv.unmade(ids))
		case askRestore:
			if e.chosen, err = iv.askRestore(e); e.chosen == chooseDrop {
				back = nil
			}
		case askRace:
			e.chosen, err = iv.askRace(e, iv.drops(e, ids, back))
		case askUnknown:
			e.chosen, err = iv.askUnknown(iv.unmade(ids))
		case changePIN:
			iv.changePIN()
			return nil
		case restore:
			iv.restore(back)
			return nil
		case lookFirst:
			iv.lookFirst()
			return nil
		case nextRoot:
			return iv.leaveOut(e, ids, back)
		case newChain:
			return iv.noWay(e.what, iv.drops(e, ids, back))
		}
	}
	return err
}

func (iv *interview) askWhat() (record.Incident, error) {
	var choices []prompt.Choice
	for _, i := range record.Incidents {
		choices = append(choices, prompt.Choice{Key: string(i), Label: i.Label()})
	}
	what, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.what", Message: prompt.Message{Title: "Emergency",
		Text: []string{"Nothing is changed and nothing is signed here: the answers make a plan, which everybody can read first. Take your time."}},
		Question: "What has happened?"}, choices)
	return record.Incident(what), err
}

// comesTo takes note of an incident, and says what is known about such ones: not
// where less is lost than was said.
func (iv *interview) comesTo(i record.Incident) error {
	before := iv.plan.Incident
	iv.plan.Incident = i
	if i == before || before == record.QuorumLost && i == record.TokenLost {
		return nil
	}
	return iv.a.Tell(iv.ctx, prompt.Message{Title: i.Label(), Lines: i.Advice()})
}

func (iv *interview) askWhere() (string, error) {
	return iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.pin", Question: "Where has the token been since then?"}, []prompt.Choice{
		{Key: inHand, Label: "in its holder's hands, or locked away, all the time"},
		{Key: outOfHand, Label: "out of hand for a while, or nobody can tell; it is back now"},
		{Key: gone, Label: "it is gone"},
	})
}

func (iv *interview) changePIN() {
	iv.out.After = prompt.Message{Title: "Change the PIN: no new root is needed", Text: []string{
		"A PIN without its token signs nothing. The holder puts the token into a computer of their own, runs the first command, types the PIN that was seen, and twice a new one of 6 to 8 digits, with nobody watching.",
		"If the holder does not know the PIN any more, the second command sets a new one with the PUK from the backup; it takes the folder of the ceremony that made the key. " + agreed.Command("checkup", "DIR") + " with the same folder shows that the new PIN works.",
		"Nothing was written. " + noRace},
		Commands: []string{"ykman piv access change-pin", agreed.Command("restore", "DIR")}}
}

// source finds out what the next root follows, and who holds its keys.
func (iv *interview) source() error {
	if err := iv.askEarlier(); err != nil {
		return err
	}
	suggested := iv.newestChain()
	_, err := plan.ReadTrusted(iv.at(suggested))
	switch {
	case err == nil:
		err = iv.takeChain(suggested)
	case iv.plan.Incident == record.QuorumStolen: // of which no root follows
		err = iv.maybeChain()
	default:
		err = iv.askChain(suggested)
	}
	if err != nil {
		return err
	}
	if iv.chain != nil {
		if err := iv.a.Tell(iv.ctx, iv.chainMessage()); err != nil {
			return err
		}
	}
	if iv.plan.Name != "" {
		return nil
	}
	return iv.text("plan.name", &iv.plan.Name, "What is the project's name?", "", checkName)
}

// maybeChain is askChain where going on without is possible.
func (iv *interview) maybeChain() error {
	path := ""
	err := iv.prompt(iv.chainPrompt("not at hand"), &path, func(s string) error {
		_, err := plan.ReadTrusted(iv.at(s))
		return err
	})
	if err != nil || path == "" {
		return err
	}
	return iv.takeChain(path)
}

// askWhich asks which root keys of the trusted root it is about, and returns their
// ids.
func (iv *interview) askWhich(what record.Incident) ([]string, error) {
	all := iv.oldKeys()
	if len(all) == 1 {
		return all, nil
	}
	question := "Whose token is it?"
	switch what {
	case record.TokenLost, record.QuorumLost:
		question = "Whose token is lost?"
	case record.HolderLeft:
		question = "Who has left?"
	case record.KeyPublished:
		question = "Whose key was published?"
	}
	p := prompt.Prompt{ID: "revoke.which", Message: prompt.Message{Title: "Which keys"}, Question: question + " Its number, or several with commas"}
	for i, id := range all {
		p.Lines = append(p.Lines, fmt.Sprintf("%3d  %s", i+1, iv.keyLabel(id)))
	}
	if n := len(iv.exposedKeys()); n > 0 {
		p.Text = []string{count(n, "of these keys is published with its private half, and is dropped in any case.", "of these keys are published with their private halves, and are dropped in any case.")}
		p.Enter, p.Question = "published", p.Question+" (Enter: none but what is published)"
	}
	var picked []string
	_, err := iv.a.Ask(iv.ctx, p, func(s string) error {
		if picked = nil; p.Enter != "" && strings.TrimSpace(s) == "" {
			return nil
		}
		for _, word := range splitFiles(s) {
			if err := numberFrom(word, 1, len(all)); err != nil {
				return fmt.Errorf("%w in the list (hint: as in 2, or 2,3)", err)
			}
			n, _ := strconv.Atoi(word)
			if slices.Contains(picked, all[n-1]) {
				return fmt.Errorf("%d is there twice", n)
			}
			picked = append(picked, all[n-1])
		}
		return nil
	})
	return picked, err
}

// published is how many of these root keys are published in the chain.
func (iv *interview) published(ids []string) int {
	return len(slices.DeleteFunc(iv.exposedKeys(), func(id string) bool { return !slices.Contains(ids, id) }))
}

// drops are the root keys that the next root leaves out, each for its own reason: those
// that people named, but for lost ones that backups bring back, and published ones.
func (iv *interview) drops(e emergency, named []string, back []restorable) []agreed.Drop {
	if e.reason() == "" {
		return nil
	}
	var all []agreed.Drop
	for _, id := range iv.oldKeys() {
		reason := ""
		if slices.Contains(named, id) {
			reason = e.reason()
		}
		switch published := slices.Contains(iv.exposedKeys(), id); {
		case published && reason == "":
			reason = agreed.Compromised
		case published && reason == agreed.Lost: // by its holder
			reason = agreed.Stolen
		case reason == "" || reason == agreed.Lost && restores(back, id):
			continue
		}
		h := iv.known[id]
		all = append(all, agreed.Drop{KeyID: id, Reason: reason, Name: h.Name, Token: h.Token})
	}
	return all
}

// inOtherHands is how many of the dropped keys somebody else has, or may have.
func inOtherHands(drops []agreed.Drop) (n int) {
	for _, d := range drops {
		if d.Reason == agreed.Stolen || d.Reason == agreed.Compromised {
			n++
		}
	}
	return n
}

// count is a number of things, with the words for one and for several.
func count(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", several)
}

func (iv *interview) askRestore(e emergency) (string, error) {
	why := "Keys that are restored can stay in the root. "
	label := fmt.Sprintf("restore %d of the %d keys from their backups; a new root drops the others", e.back, e.named+e.published-e.both)
	switch {
	case e.allBack():
		label, why = "restore the key from its backup, on a fresh token: no new root (recommended)", "As its key can be restored, no root has to change now. "
	case e.back == e.named && e.published == 0:
		label = "restore the key from its backup: the new root, for which published online keys call, keeps it"
	}
	return iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.restore", Message: prompt.Message{Title: "The shortest safe way",
		Text: []string{"A token that is lost, and not stolen, is protected by its PIN. " + why + "If you are not sure that nobody has it, drop the key."}},
		Question: "What is to be done?"}, []prompt.Choice{
		{Key: chooseRestore, Label: label},
		{Key: chooseDrop, Label: "drop it all the same: a new root leaves it out"},
	})
}

func (iv *interview) restore(back []restorable) {
	iv.out.After = prompt.Message{Title: "Restore from the backup: no new root is needed",
		Text:     append(iv.openers(back), "Nothing was written: there is no plan to carry out. "+noRace, "When everybody has a token again, the check-up shows that all of it works."),
		Commands: append(toEach("restore", back), toEach("checkup", back)...)}
}

// askRace asks what is to be done where a threshold of keys is in other hands.
// Another root is a race, and one that is won where nobody knows the PINs.
func (iv *interview) askRace(e emergency, drops []agreed.Drop) (string, error) {
	taken := inOtherHands(drops)
	text := []string{fmt.Sprintf("Version %d wants %s, and %s in other hands.", iv.chain.Last.Root.Version, count(iv.oldThreshold(), "signature", "signatures"), count(taken, "of its keys is", "of its keys are"))}
	anew := "a new chain: their PINs may be known, or they are people who left"
	var published []string
	for _, id := range iv.exposedKeys() {
		published = append(published, fmt.Sprintf("%.8s", id))
	}
	if n := len(published); n > 0 {
		half := "The private half of key %s is published: anyone can sign with it, its holder too."
		if n > 1 {
			half = "The private halves of keys %s are published: anyone can sign with them, their holders too."
		}
		text = append(text, fmt.Sprintf(half, tuf.Listed(published, "and")))
		anew = "a new chain: somebody may have signed a root with these keys already"
		taken -= n
	}
	switch {
	case taken > 0 && e.incident() == record.KeyPublished: // elsewhere than in the chain
		text = append(text, "Anyone can sign with a key whose private half was published, and so can its holder.")
	case taken > 0 && e.what != record.RoleCompromised:
		text = append(text, "A token signs nothing without its PIN.")
	}
	text = append(text, "Anyone who can sign with as many of these keys as must can sign a root of their own, and no client can tell. The next root shuts these keys out for each client that gets it first.")
	return iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.quorum", Message: prompt.Message{Title: "A threshold of keys", Text: text},
		Question: "What is to be done?"}, []prompt.Choice{
		{Key: chooseAnew, Label: anew},
		{Key: chooseRace, Label: "the next root without these keys, today: it is a race"},
	})
}

// backupsUnknown says why no honest answer can be given yet: that no backup brings
// keys back is certain only where the ceremonies that made them were looked at.
var backupsUnknown = []string{
	"Too few keys are left to sign a root that clients accept, unless backups bring some back. Whether there are backups is not known here: look at the folders of the ceremonies that made these keys first, on every laptop, medium and safe where a copy may be.",
	"The folder to begin with is that of the ceremony that made the newest root: it knows the others.",
}

func (iv *interview) askUnknown(ids []string) (string, error) {
	m := prompt.Message{Title: "Backups are not known of", Text: backupsUnknown}
	for _, id := range ids {
		m.Lines = append(m.Lines, iv.keyLabel(id))
	}
	return iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.unknown", Message: m, Question: "Are there backups of these keys?"}, []prompt.Choice{
		{Key: chooseLook, Label: "perhaps: look for the folders first, and write nothing now"},
		{Key: chooseNone, Label: "surely none: the keys were made without any"},
	})
}

func (iv *interview) lookFirst() {
	iv.out.After = prompt.Message{Title: "Look for backups first",
		Text:     append(slices.Clone(backupsUnknown), "Nothing was written. "+noRace, "With the folders at hand type this again:"),
		Commands: []string{agreed.Command("plan", "--kind", agreed.Revoke, iv.path)}}
}

// leaveOut makes the plan of a root without some keys. Those that are restored
// sign: lost ones stay, and others sign for the old root alone.
func (iv *interview) leaveOut(e emergency, named []string, back []restorable) error {
	p := &iv.plan
	p.Drops = iv.drops(e, named, back)
	p.Reason = iv.usualReason(e, named)
	roles, open := p.Compromised, iv.openRoles()
	for _, name := range open {
		if !slices.Contains(roles, name) {
			roles = append(roles, name)
		}
	}
	if p.Compromised = nil; inOtherHands(p.Drops) < iv.oldThreshold() { // which would be worse
		p.Compromised = roles
		if len(open) > 0 {
			if err := iv.comesTo(record.RoleCompromised); err != nil {
				return err
			}
		}
	}
	if len(roles) > 0 {
		if err := iv.newKeys(roles); err != nil {
			return err
		}
	}
	for _, id := range iv.oldKeys() {
		if !slices.ContainsFunc(p.Drops, func(d agreed.Drop) bool { return d.KeyID == id }) {
			iv.stay(id, iv.known[id])
		}
	}
	var left []string // whose place is somebody else's
	if e.what == record.HolderLeft {
		left = named
	}
	if err := iv.enough(left); err != nil {
		return err
	}
	if err := iv.dropFromRoles(); err != nil {
		return err
	}
	if err := iv.text("plan.reason", &p.Reason, "Reason, as the plan and the notice for users give it?", p.Reason, checkName); err != nil {
		return err
	}
	p.Root.Expires = usualExpiry
	r, err := iv.finish()
	if err != nil {
		return err
	}
	facts := r.NoticeFacts()
	facts.Rehearsal = iv.chain.Last.Root.Rehearsal()
	notice := iv.notice(facts)
	iv.after(r, back)
	iv.out.After.Facts = append(iv.out.After.Facts, prompt.Fact{Label: "Notice", Value: notice + ", a draft for users for now: fill its gaps and warn them as early as you can; the ceremony drafts the one for when the root is out, with what you filled in"})
	return nil
}

// enough asks for the threshold, or for fresh tokens, where so few keys are left
// that the next loss locks everybody out. Those who left get no fresh token.
func (iv *interview) enough(left []string) error {
	p := &iv.plan
	have, need := len(p.Holders), iv.oldThreshold()
	p.Root.Threshold = need
	if have > need || len(p.Drops) == 0 {
		return nil
	}
	lower := min(have, need-1)
	var choices []prompt.Choice
	if have == need {
		choices = append(choices, prompt.Choice{Key: "keep", Label: fmt.Sprintf("all %d of %d must sign from now on: nobody may be missing", need, have)})
	}
	choices = append(choices, prompt.Choice{Key: "fresh", Label: fmt.Sprintf("still %d, and a fresh token with a new key for each that is dropped", need)})
	if lower > 0 {
		label := fmt.Sprintf("lower the threshold: any %d of %d sign from now on", lower, have)
		if lower == 1 {
			label += ", one person alone"
		}
		choices = append(choices, prompt.Choice{Key: "lower", Label: label})
	}
	what, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.threshold", Message: prompt.Message{Title: "Who signs from now on", Text: []string{
		fmt.Sprintf("Version %d wants %s, and %s. This is about roots after the next one: the next one is signed by %d of the old keys in any case.", iv.chain.Last.Root.Version, count(need, "signature", "signatures"), count(have, "of its keys stays", "of its keys stay"), need)}},
		Question: "How many sign from now on?"}, choices)
	if err != nil {
		return err
	}
	if what == "lower" {
		p.Root.Threshold = lower
	}
	if what != "fresh" {
		return nil
	}
	p.Token = agreed.TokenPolicy{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, MinFirmware: agreed.Firmware[keys.Ed25519].String()}
	for _, d := range p.Drops {
		name := d.Name
		if slices.Contains(left, d.KeyID) {
			name = ""
		}
		if err := iv.holderNamed(len(p.Holders)+1, name); err != nil {
			return err
		}
	}
	return nil
}

// usualReason is the reason for a plan, without names: the notice gives it too.
func (iv *interview) usualReason(e emergency, named []string) string {
	published, others := len(iv.exposedKeys()), 0 // dropped keys
	for _, d := range iv.plan.Drops {
		switch {
		case !slices.Contains(named, d.KeyID):
		case e.incident() != record.KeyPublished:
			others++
		case !slices.Contains(iv.exposedKeys(), d.KeyID):
			published++
		}
	}
	var all []string
	tokens, holder := "a token with a root key was", "a holder of a root key left the project"
	if others > 1 {
		tokens = fmt.Sprintf("%d tokens with root keys were", others)
	}
	if published > 0 || len(iv.exposedRoles()) > 0 { // a reason is one line
		tokens = strings.NewReplacer(" with a root key", "", " with root keys", "").Replace(tokens)
		holder = "a holder left the project"
	}
	switch root := iv.chain.Last.Root; {
	case e.what == record.RoleCompromised:
		all = append(all, "the online keys of "+tuf.Listed(iv.plan.Compromised, "and")+" were compromised")
	case e.incident() == record.RootExpired && root.Expires.After(iv.now):
		all = append(all, fmt.Sprintf("root version %d expires on %s", root.Version, root.Expires.UTC().Format("2006-01-02")))
	case e.incident() == record.RootExpired:
		all = append(all, fmt.Sprintf("root version %d expired on %s", root.Version, root.Expires.UTC().Format("2006-01-02")))
	case others == 0:
	case e.what == record.HolderLeft:
		all = append(all, holder)
	case e.reason() == agreed.Lost:
		all = append(all, tokens+" lost")
	case e.reason() == agreed.Stolen:
		all = append(all, tokens+" stolen")
	default:
		all = append(all, "a PIN was seen, and "+tokens+" out of hand")
	}
	switch {
	case published == 1:
		all = append(all, "the private half of a root key was published")
	case published > 1:
		all = append(all, fmt.Sprintf("the private halves of %d root keys were published", published))
	case len(iv.exposedRoles()) > 0:
		all = append(all, "private halves of online keys were published")
	}
	if reason := strings.Join(all, ", and "); checkName(reason) == nil {
		return reason
	}
	return all[len(all)-1] // what is published is the worst of it
}

// after says what the plan makes, and what to type next.
func (iv *interview) after(r *agreed.Plan, back []restorable) {
	p := &iv.plan
	m := &iv.out.After
	m.Title = fmt.Sprintf("The plan of root version %d is written", r.Version)
	var dropped, signs []string
	for _, id := range iv.oldKeys() {
		i := slices.IndexFunc(p.Drops, func(d agreed.Drop) bool { return d.KeyID == id })
		if i >= 0 {
			dropped = append(dropped, iv.keyLabel(id)+" ("+p.Drops[i].Reason+")")
		}
		if i < 0 || p.Drops[i].Reason == agreed.Compromised || restores(back, id) {
			signs = append(signs, iv.who(id))
		}
	}
	if len(dropped) > 0 {
		m.Facts = append(m.Facts, prompt.Fact{Label: "Drops", Value: strings.Join(dropped, "; ")})
	}
	if len(p.Roles) > 0 {
		m.Facts = append(m.Facts, prompt.Fact{Label: "Other keys for", Value: tuf.Listed(slices.DeleteFunc(slices.Clone(agreed.OnlineRoles), func(name string) bool { _, there := p.Roles[name]; return !there }), "and")})
	}
	var imported []string // names of those whose token is gone, and whose key everybody has
	for _, id := range iv.exposedKeys() {
		if name := iv.who(id); len(signs) < iv.oldThreshold() && !slices.Contains(signs, name) {
			imported, signs = append(imported, name), append(signs, name)
		}
	}
	signed := fmt.Sprintf("any %d of %s", iv.oldThreshold(), tuf.Listed(signs, "and"))
	if len(signs) == iv.oldThreshold() {
		signed = tuf.Listed(signs, "and") + ": nobody may be missing"
	}
	m.Facts = append(m.Facts, prompt.Fact{Label: "Signed by", Value: signed},
		prompt.Fact{Label: "From then on", Value: fmt.Sprintf("%d of %d", r.Threshold, len(r.Holders))}, prompt.Fact{Label: "Expires", Value: agreed.Stamp(r.Expires)})
	m.Text = nil
	if len(back) > 0 {
		m.Text = append(m.Text, "First restore the keys that backups bring back: without them too few can sign.")
		m.Text = append(m.Text, iv.openers(back)...)
	}
	if len(imported) > 0 {
		m.Text = append(m.Text, tuf.Listed(imported, "and")+": the token is gone, and too few can sign without its key. Put the private half, as it was published, on a fresh token first: it signs this root, which drops it.")
	}
	for _, warning := range r.EarlierWarnings() {
		m.Text = append(m.Text, capital(warning)+".")
	}
	haste := noRace
	switch {
	case p.Incident == record.KeyPublished && inOtherHands(p.Drops) >= iv.oldThreshold():
		haste = hurryPublished
	case p.Incident == record.QuorumStolen:
		haste = hurryQuorum
	case p.Incident == record.RoleCompromised:
		haste = hurryRoles
	case p.Incident == record.RootExpired:
		haste = hurryUsers
	}
	m.Text = append(append(m.Text, haste), iv.gapText()...)
	m.Commands = append(toEach("restore", back), m.Commands...)
}

// notice drafts the notice for users, beside the plan, and returns its path.
func (iv *interview) notice(facts record.NoticeFacts) string {
	n := 1
	for iv.exists(ceremony.NoticeName(n)) {
		n++
	}
	name := ceremony.NoticeName(n)
	iv.out.Files[name] = record.Notice(facts)
	return filepath.Join(iv.path, name)
}

// noWay is the honest answer: no root that clients accept mends this. What is
// left is a new chain, to which every client is moved by hand, and the words
// for users.
// The dropped keys are in other hands, or lost; where there are none, nobody has
// counted.
func (iv *interview) noWay(what record.Incident, drops []agreed.Drop) error {
	name, incident := iv.plan.Name, iv.plan.Incident
	taken := inOtherHands(drops)
	lost := len(drops) - taken
	facts := record.NoticeFacts{Project: name, Incident: incident, Repin: true, Counted: taken+lost > 0, Taken: taken, Lost: lost}
	if iv.chain != nil {
		root := iv.chain.Last.Root
		facts.Old = record.RootFacts{Version: root.Version, Expires: root.Expires, Threshold: iv.oldThreshold(), Keys: len(iv.oldKeys())}
		facts.Rehearsal = root.Rehearsal()
	}
	answer := "A threshold of keys may be in other hands. Anyone who has them signs any root, as good as yours to every client: TUF cannot undo that, and nothing that this program signs can."
	switch {
	case what == record.QuorumStolen:
		answer += " (If tokens are gone and nobody knows their PINs, go back and say that tokens were stolen.)"
	case incident == record.KeyPublished:
		answer = "A threshold of keys is published with their private halves. Anyone can sign any root with them, as good as yours to every client: TUF cannot undo that, and nothing that this program signs can."
	case incident == record.QuorumLost:
		answer = "Too few keys are left to sign a root that clients accept, and no backup brings enough of them back. TUF cannot mend that, and nothing that this program signs can."
	}
	yes, err := iv.a.Confirm(iv.ctx, prompt.Prompt{ID: "revoke.again", Message: prompt.Message{Title: "The honest answer", Text: []string{answer,
		"What is left: a new chain, made in a ceremony with fresh tokens, and every client moved to it by hand. The words for users are drafted in any case."}},
		Question: "Write the plan of the new chain now?"})
	if err != nil {
		return err
	}
	if yes {
		iv.plan = plan.Plan{Salt: iv.plan.Salt, Kind: agreed.Create, Name: name, Incident: incident, Roles: map[string]plan.RolePlan{}}
		if err := iv.ask(); err != nil {
			return err
		}
		r, err := iv.finish()
		if err != nil {
			return err
		}
		facts.New = record.RootFacts{Version: r.Version, Expires: r.Expires, Threshold: r.Threshold, Keys: len(r.Holders)}
	}
	next := iv.out.After.Commands
	iv.out.After = prompt.Message{Title: "What is left", Facts: []prompt.Fact{{Label: "Notice", Value: iv.notice(facts)}},
		Text: []string{answer, "The notice is a draft for now: fill its gaps, have somebody else read it, and publish it on channels that nobody else controls. The ceremony of the new chain drafts the one for when the root is out, with what you filled in."}}
	m := &iv.out.After
	if yes {
		m.Facts = append(m.Facts, prompt.Fact{Label: "Plan", Value: iv.planFile()})
		m.Text = append(m.Text, "After the ceremony publish/trust is the re-pinning kit: the new root with its digest and words, to be built into installers and compared over a second channel.")
		m.Text, m.Commands = append(m.Text, iv.gapText()...), next
	} else {
		// Not --kind create: its plan would not say that a chain broke.
		m.Text = append(m.Text, "The plan of the new chain can be written when you are ready: the same answers lead to it. It is a ceremony like the first one.")
		m.Commands = []string{agreed.Command("plan", "--kind", agreed.Revoke, iv.path)}
	}
	if incident == record.QuorumLost {
		m.Text = append(m.Text, "Nobody else can sign either: there is no race. Updates go on until the old root expires; use them to ship the new root.")
	} else {
		m.Text = append(m.Text, "Here haste matters: warn users today.")
	}
	return nil
}
