package interview

import (
	"cmp"
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
	noRace      = "There is no race: fewer keys than the threshold sign nothing. Rested and rehearsed is better than tonight."
	hurryRoles  = "Here haste matters: the service that signs stops first. Metadata signed with the new keys goes live together with the new root, not before and not after."
	hurryQuorum = "Here haste matters: it is a race with anyone who has the tokens. Warn users today; and if a root turns up that nobody of you has signed, only a new chain is left."
	hurryUsers  = "Until the new root is published clients refuse all updates: hurry for them. It is no hole, and no clock is to be turned back."
)

// revoke asks what has happened, and what the table of ways wants to know, until
// that leads out: to another root, to no root at all, or to the honest answer that
// no root helps.
func (iv *interview) revoke() error {
	what, err := iv.askWhat()
	e := emergency{what: what}
	var ids []string      // of the root keys that are lost, or in other hands
	var back []restorable // those of them that backups bring back
	for err == nil {
		way := ways[e.row()]
		if err := iv.comesTo(cmp.Or(way.is, e.incident())); err != nil {
			return err
		}
		switch way.then {
		case askWhere:
			e.where, err = iv.askWhere()
		case findChain:
			err = iv.source()
			if e.traced = true; iv.chain != nil {
				e.need, e.keys, e.exposed = iv.oldThreshold(), len(iv.oldKeys()), len(iv.exposedKeys())
			}
		case askRoles:
			if ids, err = iv.askRoles(); err == nil {
				ids = iv.withExposed(ids)
			}
			e.asked, e.named = true, len(ids)
		case askWhich:
			ids, err = iv.askWhich(e.incident())
			e.asked, e.named = true, len(ids)
		case search:
			back, err = iv.lookForBackups(ids)
			e.searched, e.back, e.unknown = true, len(back), len(iv.unmade(ids))
		case askRestore:
			if e.chosen, err = iv.askRestore(len(ids), len(back)); e.chosen == chooseDrop {
				back = nil
			}
		case askRace:
			e.chosen, err = iv.askRace(e.incident())
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
			return iv.leaveOut(ids, e.reason(), back)
		case newChain:
			return iv.noWay(e.away())
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
	if len(iv.exposedKeys()) > 0 {
		p.Enter, p.Question = "published", p.Question+" (Enter: only those that are published)"
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
	return iv.withExposed(picked), err
}

// withExposed adds the root keys that are in everybody's hands.
func (iv *interview) withExposed(ids []string) []string {
	return append(ids, slices.DeleteFunc(iv.exposedKeys(), func(id string) bool { return slices.Contains(ids, id) })...)
}

func (iv *interview) askRestore(lost, back int) (string, error) {
	label := "restore the key from its backup, on a fresh token: no new root (recommended)"
	if back < lost {
		label = fmt.Sprintf("restore %d of the %d keys from their backups; a new root drops the others", back, lost)
	}
	return iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.restore", Message: prompt.Message{Title: "The shortest safe way",
		Text: []string{"A token that is lost, and not stolen, is protected by its PIN. As its key can be restored, no root has to change now. If you are not sure that nobody has it, drop the key."}},
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
func (iv *interview) askRace(what record.Incident) (string, error) {
	can := "A token signs nothing without its PIN: if the PINs are not known, the next root shuts these keys out. If they are, anyone who has them can sign a root of their own, and no client can tell."
	anew := "a new chain: their PINs may be known, or they are people who left"
	if what == record.KeyPublished {
		can = "Anyone can sign a root of their own with them, and no client can tell. The next root shuts these keys out for each client that gets it first."
		anew = "a new chain: somebody may have signed a root with them already"
	}
	return iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.quorum", Message: prompt.Message{Title: "A threshold of keys",
		Text: []string{fmt.Sprintf("The threshold of version %d is %d, and that many of its keys are in other hands. ", iv.chain.Last.Root.Version, iv.oldThreshold()) + can}},
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
func (iv *interview) leaveOut(ids []string, reason string, back []restorable) error {
	p := &iv.plan
	if reason == agreed.Lost {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return restores(back, id) })
	}
	if len(p.Compromised) > 0 {
		if err := iv.newKeys(replaced(p.Compromised)); err != nil {
			return err
		}
	}
	for _, id := range iv.oldKeys() {
		h := iv.known[id]
		if slices.Contains(ids, id) {
			p.Drops = append(p.Drops, agreed.Drop{KeyID: id, Reason: reason, Name: h.Name, Token: h.Token})
			continue
		}
		iv.stay(id, h)
	}
	if err := iv.enough(reason); err != nil {
		return err
	}
	if err := iv.dropFromRoles(); err != nil {
		return err
	}
	p.Reason = iv.usualReason(len(ids))
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
// that the next loss locks everybody out.
func (iv *interview) enough(reason string) error {
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
		fmt.Sprintf("Version %d wants %d signatures, and %d of its keys stay. This is about roots after the next one: the next one is signed by %d of the old keys in any case.", iv.chain.Last.Root.Version, need, have, need)}},
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
		if reason == agreed.Compromised && p.Incident == record.HolderLeft {
			name = "" // somebody else
		}
		if err := iv.holderNamed(len(p.Holders)+1, name); err != nil {
			return err
		}
	}
	return nil
}

// usualReason is the reason for a plan, without names: the notice gives it too.
func (iv *interview) usualReason(n int) string {
	tokens, were := "a token with a root key", "was"
	if n > 1 {
		tokens, were = fmt.Sprintf("%d tokens with root keys", n), "were"
	}
	switch root := iv.chain.Last.Root; iv.plan.Incident {
	case record.PINSeen:
		return "a PIN was seen, and " + tokens + " " + were + " out of hand"
	case record.KeyPublished:
		if n > 1 {
			return fmt.Sprintf("the private halves of %d root keys were published", n)
		}
		return "the private half of a root key was published"
	case record.HolderLeft:
		return "a holder of a root key left the project"
	case record.RoleCompromised:
		return "the online keys of " + tuf.Listed(iv.plan.Compromised, "and") + " were compromised"
	case record.RootExpired:
		if root.Expires.After(iv.now) {
			return fmt.Sprintf("root version %d expires on %s", root.Version, root.Expires.UTC().Format("2006-01-02"))
		}
		return fmt.Sprintf("root version %d expired on %s", root.Version, root.Expires.UTC().Format("2006-01-02"))
	case record.TokenStolen, record.QuorumStolen:
		return tokens + " " + were + " stolen"
	}
	return tokens + " " + were + " lost"
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
	for _, warning := range r.EarlierWarnings() {
		m.Text = append(m.Text, capital(warning)+".")
	}
	haste := noRace
	switch p.Incident {
	case record.RoleCompromised:
		haste = hurryRoles
	case record.QuorumStolen:
		haste = hurryQuorum
	case record.RootExpired:
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
// So many root keys are in other hands, and lost; both 0: nobody has counted.
func (iv *interview) noWay(taken, lost int) error {
	name, incident := iv.plan.Name, iv.plan.Incident
	facts := record.NoticeFacts{Project: name, Incident: incident, Repin: true, Counted: taken+lost > 0, Taken: taken, Lost: lost}
	if iv.chain != nil {
		root := iv.chain.Last.Root
		facts.Old = record.RootFacts{Version: root.Version, Expires: root.Expires, Threshold: iv.oldThreshold(), Keys: len(iv.oldKeys())}
		facts.Rehearsal = root.Rehearsal()
	}
	answer := "A threshold of keys may be in other hands. Anyone who has them signs any root, as good as yours to every client: TUF cannot undo that, and nothing that this program signs can. (If tokens are gone and nobody knows their PINs, go back and say that tokens were stolen.)"
	if incident == record.QuorumLost {
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
