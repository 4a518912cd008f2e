package interview

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/record"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// What haste is worth, as the last word to people who are about to act.
const (
	noRace      = "There is no race: fewer keys than the threshold sign nothing. Rested and rehearsed is better than tonight."
	hurryRoles  = "Here haste matters: the service that signs stops first. Metadata signed with the new keys goes live together with the new root, not before and not after."
	hurryQuorum = "Here haste matters: it is a race with whoever has the tokens. Warn users today; and if a root turns up that nobody of you has signed, only a new chain is left."
	hurryUsers  = "Until the new root is published clients refuse all updates: hurry for them. It is no hole, and no clock is to be turned back."
)

// revoke asks what has happened, and leads to the shortest way out that is
// safe: another root, no root at all, or the honest answer that no root helps.
func (iv *interview) revoke() error {
	p := &iv.plan
	var choices []prompt.Choice
	for _, i := range record.Incidents {
		choices = append(choices, prompt.Choice{Key: string(i), Label: i.Label()})
	}
	what, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.what", Message: prompt.Message{Title: "Emergency",
		Text: []string{"Nothing is changed and nothing is signed here: the answers make a plan, which everybody can read first. Take your time."}},
		Question: "What has happened?"}, choices)
	if err != nil {
		return err
	}
	if err := iv.happened(record.Incident(what)); err != nil {
		return err
	}
	reason := map[record.Incident]string{record.TokenStolen: agreed.Stolen, record.HolderLeft: agreed.Compromised}[p.Incident]
	if p.Incident == record.PINSeen {
		if reason, err = iv.pinSeen(); err != nil || reason == "" {
			return err
		}
	}
	if err := iv.source(); err != nil {
		return err
	}
	switch p.Incident {
	case record.TokenLost, record.QuorumLost:
		return iv.lost()
	case record.RoleCompromised:
		return iv.rolesCompromised()
	case record.QuorumStolen:
		return iv.noWay(0, 0)
	case record.RootExpired:
		return iv.leaveOut(nil, "", nil)
	}
	return iv.inOtherHands(reason)
}

// happened takes note of an incident, and says what is known about such ones.
func (iv *interview) happened(i record.Incident) error {
	iv.plan.Incident = i
	return iv.a.Tell(iv.ctx, prompt.Message{Title: i.Label(), Lines: i.Advice()})
}

// pinSeen asks where the token was. It returns why its key is to be dropped, or
// nothing where another PIN is enough.
func (iv *interview) pinSeen() (string, error) {
	where, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.pin", Question: "Where has the token been since then?"}, []prompt.Choice{
		{Key: "in-hand", Label: "in its holder's hands, or locked away, all the time"},
		{Key: "out", Label: "out of hand for a while, or nobody can tell; it is back now"},
		{Key: "gone", Label: "it is gone"},
	})
	switch {
	case err != nil:
		return "", err
	case where == "out":
		return agreed.Compromised, nil
	case where == "gone":
		return agreed.Stolen, iv.happened(record.TokenStolen)
	}
	iv.out.After = prompt.Message{Title: "Change the PIN: no new root is needed", Text: []string{
		"A PIN without its token signs nothing. The holder puts the token into a computer of their own, runs the first command, types the PIN that was seen, and twice a new one of 6 to 8 digits, with nobody watching.",
		"If the holder does not know the PIN any more, the second command sets a new one with the PUK from the backup; it takes the folder of the ceremony that made the key. " + agreed.Command("checkup", "DIR") + " with the same folder shows that the new PIN works.",
		"Nothing was written. " + noRace},
		Commands: []string{"ykman piv access change-pin", agreed.Command("restore", "DIR")}}
	return "", nil
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
	return iv.text("plan.name", &iv.plan.Name, "What is the project's name?", "", agreed.CheckName)
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

// pick asks for root keys of the trusted root, and returns their ids.
func (iv *interview) pick(question string) ([]string, error) {
	all := iv.oldKeys()
	if len(all) == 1 {
		return all, nil
	}
	m := prompt.Message{Title: "Which keys"}
	for i, id := range all {
		m.Lines = append(m.Lines, fmt.Sprintf("%3d  %s", i+1, iv.keyLabel(id)))
	}
	var picked []string
	_, err := iv.a.Ask(iv.ctx, prompt.Prompt{ID: "revoke.which", Message: m, Question: question + " Its number, or several with commas"}, func(s string) error {
		picked = nil
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

// rest are the root keys but for some.
func (iv *interview) rest(without []string) []string {
	return slices.DeleteFunc(slices.Clone(iv.oldKeys()), func(id string) bool { return slices.Contains(without, id) })
}

// lost leads out of the loss of tokens that nobody else has: a backup brings a
// key back, and a root without it does where enough are left to sign that.
func (iv *interview) lost() error {
	ids, err := iv.pick("Whose token is lost?")
	if err != nil {
		return err
	}
	rest, need := iv.rest(ids), iv.oldThreshold()
	back, err := iv.lookForBackups(ids)
	if err != nil {
		return err
	}
	if len(rest) >= need {
		iv.plan.Incident = record.TokenLost
		if len(back) > 0 {
			if back, err = iv.restoreOrDrop(ids, back); err != nil {
				return err
			}
		}
	} else if iv.plan.Incident == record.TokenLost {
		if err := iv.happened(record.QuorumLost); err != nil {
			return err
		}
	}
	gone := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return restores(back, id) })
	switch {
	case len(rest)+len(back) < need:
		return iv.tooFew(gone, 0, len(gone))
	case len(gone) == 0:
		iv.restoreOnly(back)
		return nil
	}
	return iv.leaveOut(gone, agreed.Lost, back)
}

// restoreOrDrop asks whether keys are restored that need not be, and returns
// those that are.
func (iv *interview) restoreOrDrop(ids []string, back []restorable) ([]restorable, error) {
	restore := "restore the key from its backup, on a fresh token: no new root (recommended)"
	if len(back) < len(ids) {
		restore = fmt.Sprintf("restore %d of the %d keys from their backups; a new root drops the others", len(back), len(ids))
	}
	what, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.restore", Message: prompt.Message{Title: "The shortest safe way",
		Text: []string{"A token that is lost, and not stolen, is protected by its PIN. As its key can be restored, no root has to change now. If you are not sure that nobody has it, drop the key."}},
		Question: "What is to be done?"}, []prompt.Choice{
		{Key: "restore", Label: restore},
		{Key: "drop", Label: "drop it all the same: a new root leaves it out"},
	})
	if what != "restore" {
		back = nil
	}
	return back, err
}

func (iv *interview) restoreOnly(back []restorable) {
	iv.out.After = prompt.Message{Title: "Restore from the backup: no new root is needed",
		Text:     append(iv.openers(back), "Nothing was written: there is no plan to carry out. "+noRace, "When everybody has a token again, the check-up shows that all of it works."),
		Commands: append(toEach("restore", back), toEach("checkup", back)...)}
}

// inOtherHands leads to a root without keys that somebody else may use.
func (iv *interview) inOtherHands(reason string) error {
	question := map[record.Incident]string{record.TokenStolen: "Whose token is it?", record.PINSeen: "Whose token is it?", record.HolderLeft: "Who has left?"}[iv.plan.Incident]
	ids, err := iv.pick(question)
	if err != nil {
		return err
	}
	need, able := iv.oldThreshold(), len(iv.rest(ids))
	if len(ids) >= need {
		if race, err := iv.raceOrAnew(able >= need); err != nil {
			return err
		} else if !race {
			return iv.noWay(len(ids), 0)
		}
	}
	if reason == agreed.Compromised {
		able += len(ids) // their holders can sign, if they will
	}
	var back []restorable
	if able < need {
		if back, err = iv.lookForBackups(ids); err != nil {
			return err
		}
	}
	if able+len(back) < need {
		if err := iv.happened(record.QuorumLost); err != nil {
			return err
		}
		return iv.tooFew(ids, len(ids), 0)
	}
	return iv.leaveOut(ids, reason, back)
}

// raceOrAnew asks what is to be done where a threshold of keys is in other
// hands. Another root is a race, and one that is won where nobody knows the
// PINs; there is none where the others, who are to sign, are not able to.
func (iv *interview) raceOrAnew(able bool) (race bool, err error) {
	if err := iv.happened(record.QuorumStolen); err != nil || !able {
		return false, err
	}
	what, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.quorum", Message: prompt.Message{Title: "A threshold of keys",
		Text: []string{fmt.Sprintf("Version %d wants %d signatures, and that many of its keys are in other hands. A token signs nothing without its PIN: if the PINs are not known, the next root shuts these keys out. If they are, whoever has them can sign a root of their own, and no client can tell.", iv.chain.Last.Root.Version, iv.oldThreshold())}},
		Question: "What is to be done?"}, []prompt.Choice{
		{Key: "anew", Label: "a new chain: their PINs may be known, or they are people who left"},
		{Key: "race", Label: "the next root without these keys, today: it is a race"},
	})
	return what == "race", err
}

// leaveOut makes the plan of a root without some keys. Those that are restored
// sign: for the old root alone where they are among the keys that are left out.
func (iv *interview) leaveOut(ids []string, reason string, back []restorable) error {
	p := &iv.plan
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
	if err := iv.text("plan.reason", &p.Reason, "Reason, as the plan and the notice for users give it?", p.Reason, agreed.CheckName); err != nil {
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
	case record.HolderLeft:
		return "a holder of a root key left the project"
	case record.RoleCompromised:
		return "the online keys of " + agreed.Listed(iv.plan.Compromised) + " were compromised"
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
		m.Facts = append(m.Facts, prompt.Fact{Label: "Other keys for", Value: agreed.Listed(slices.DeleteFunc(slices.Clone(agreed.OnlineRoles), func(name string) bool { _, there := p.Roles[name]; return !there }))})
	}
	signed := fmt.Sprintf("any %d of %s", iv.oldThreshold(), agreed.Listed(signs))
	if len(signs) == iv.oldThreshold() {
		signed = agreed.Listed(signs) + ": nobody may be missing"
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

// restorable is a lost root key that a backup brings back.
type restorable struct {
	id, dir string // of the ceremony that made the backup
	quorum  int
	who     []string // names of those who can open it together
}

func restores(back []restorable, id string) bool {
	return slices.ContainsFunc(back, func(r restorable) bool { return r.id == id })
}

// toEach are what people type to do one thing with each ceremony that has made
// the backups.
func toEach(do string, back []restorable) []string {
	var lines []string
	for _, r := range back {
		if line := agreed.Command(do, r.dir); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// openers say who must come for each backup.
func (iv *interview) openers(back []restorable) []string {
	var lines []string
	for _, r := range back {
		lines = append(lines, fmt.Sprintf("%s: the backup is opened by any %d of %s.", iv.who(r.id), r.quorum, agreed.Listed(r.who)))
	}
	return lines
}

// lookForBackups finds out which of the keys can be restored, and says so.
func (iv *interview) lookForBackups(ids []string) ([]restorable, error) {
	if err := iv.findMakers(ids); err != nil {
		return nil, err
	}
	m := prompt.Message{Title: "Backups"}
	var back []restorable
	for _, id := range ids {
		r, err := iv.backupOf(id, ids)
		if err != nil {
			m.Text = append(m.Text, fmt.Sprintf("%s: %v.", iv.who(id), err))
			continue
		}
		back = append(back, r)
	}
	m.Text = append(m.Text, iv.openers(back)...)
	return back, iv.a.Tell(iv.ctx, m)
}

// backupOf looks for the backup of a root key that opens without the holders of
// the keys in gone. The error says why there is none.
func (iv *interview) backupOf(id string, gone []string) (restorable, error) {
	made := iv.makerOf(id)
	if made == nil {
		return restorable{}, errors.New("whether there is a backup of the key is not known here: only the folder of the ceremony that made it tells, and that is not at hand")
	}
	s := made.State
	b := s.Holders[holdersByKey(s)[id].ID].Backup(keys.BackupKey)
	if b == nil {
		return restorable{}, fmt.Errorf("the key was made in %s, without a backup", made.Dir)
	}
	r := restorable{id: id, dir: made.Dir, quorum: b.Quorum}
	able := iv.ableToOpen(s, b, gone)
	for _, who := range able {
		r.who = append(r.who, s.RecipientName(who))
	}
	switch {
	case len(able) < b.Quorum:
		return r, fmt.Errorf("the backup wants %d of its recipients, and only %d can open it any more", b.Quorum, len(able))
	case !holdsFor(made, b, able):
		return r, fmt.Errorf("the files of the backup are gone or damaged (hint: put %s back from a copy)", filepath.Join(made.Dir, filepath.FromSlash(path.Dir(b.Files[0].Name))))
	}
	return r, nil
}

// makerOf is the ceremony that made a root key, if it is at hand. Only that one
// can have backups of it.
func (iv *interview) makerOf(id string) *plan.Ceremony {
	i := slices.IndexFunc(iv.earlier, func(c *plan.Ceremony) bool {
		h, there := holdersByKey(c.State)[id]
		return there && h.Custody != agreed.Existing
	})
	if i < 0 {
		return nil
	}
	return iv.earlier[i]
}

// unmade are the keys that no ceremony at hand has made.
func (iv *interview) unmade(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return iv.makerOf(id) != nil })
}

// findMakers looks for the ceremonies that made these keys, going back from
// those at hand to the ones that they were planned with. It asks for a folder
// that has backups and is no longer where it was.
func (iv *interview) findMakers(ids []string) error {
	for i := 0; i < len(iv.earlier); i++ { // it grows
		for _, dir := range iv.earlier[i].EarlierDirs() {
			// Whatever the plan's text has become: what it leads to is known by its log.
			found, err := plan.ReadEarlier(dir, iv.now)
			if err == nil && !iv.have(found.Checkpoint.Root) && slices.ContainsFunc(iv.earlier[i].State.Plan.Earlier, func(e agreed.Earlier) bool { return found.HadCheckpoint(e.Checkpoint) }) {
				iv.earlier = append(iv.earlier, found)
				iv.know(found)
			}
		}
	}
	for i := 0; i < len(iv.earlier); i++ {
		for _, e := range iv.earlier[i].State.Plan.Earlier {
			if len(iv.unmade(ids)) == 0 {
				return nil
			}
			if iv.have(e.Checkpoint) || slices.Contains(iv.missing, e.Checkpoint) {
				continue
			}
			found, err := iv.askFor(iv.earlier[i], e)
			if err != nil {
				return err
			}
			if found == nil {
				iv.missing = append(iv.missing, e.Checkpoint)
				continue
			}
			iv.earlier = append(iv.earlier, found)
			iv.know(found)
		}
	}
	return nil
}

// have reports whether the ceremony whose log has, or had, a checkpoint is at hand.
func (iv *interview) have(checkpoint string) bool {
	return slices.ContainsFunc(iv.earlier, func(c *plan.Ceremony) bool { return c.HadCheckpoint(checkpoint) })
}

// askFor asks for a ceremony that is not where the plan of a later one has it,
// if it has backups: nil where it is not at hand.
func (iv *interview) askFor(made *plan.Ceremony, e agreed.Earlier) (*plan.Ceremony, error) {
	if len(e.Backups) == 0 {
		return nil, nil
	}
	var found *plan.Ceremony
	line := ""
	err := iv.prompt(prompt.Prompt{ID: fmt.Sprint("plan.earlier ", len(iv.missing)+len(iv.earlier)+1), Enter: "not at hand", Question: fmt.Sprintf("The folder of the ceremony %q, with %d backups?", e.Name, len(e.Backups)),
		Message: prompt.Message{Title: "An earlier ceremony", Facts: []prompt.Fact{{Label: "Ceremony", Value: e.Name}, {Label: "Planned with it", Value: made.Dir}, {Label: "Checkpoint of its log", Value: agreed.Grouped(e.Checkpoint)}},
			Text: []string{"It made keys that are trusted still, and it is not where the later one had it. " + iv.paths()}}}, &line, func(s string) error {
		dirs, err := iv.readEarlier([]string{s})
		if err == nil && !dirs[0].HadCheckpoint(e.Checkpoint) {
			err = fmt.Errorf("%s is another ceremony: its log never had the checkpoint %.16s", iv.at(s), e.Checkpoint)
		}
		if err == nil {
			found = dirs[0]
		}
		return err
	})
	return found, err
}

// tooFew is the way on where too few keys are left to sign. That no backup
// mends that is certain only where the ceremonies that made the lost keys were
// looked at.
func (iv *interview) tooFew(ids []string, taken, lost int) error {
	unmade := iv.unmade(ids)
	if len(unmade) == 0 {
		return iv.noWay(taken, lost)
	}
	var whose []string
	for _, id := range unmade {
		whose = append(whose, iv.keyLabel(id))
	}
	text := []string{"Too few keys are left to sign a root that clients accept, unless backups bring some back. Whether there are backups is not known here: look at the folders of the ceremonies that made these keys first, on every laptop, medium and safe where a copy may be.",
		"The folder to begin with is that of the ceremony that made the newest root: it knows the others."}
	what, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.unknown", Message: prompt.Message{Title: "Backups are not known of", Text: text, Lines: whose}, Question: "Are there backups of these keys?"}, []prompt.Choice{
		{Key: "look", Label: "perhaps: look for the folders first, and write nothing now"},
		{Key: "none", Label: "surely none: the keys were made without any"},
	})
	switch {
	case err != nil:
		return err
	case what == "none":
		return iv.noWay(taken, lost)
	}
	iv.out.After = prompt.Message{Title: "Look for backups first", Text: append(text, "Nothing was written. "+noRace, "With the folders at hand type this again:"),
		Commands: []string{agreed.Command("plan", "--kind", agreed.Revoke, iv.path)}}
	return nil
}

// ableToOpen are the recipients of a backup, by id, who still have what opens
// it. Whoever has lost a key has lost the token.
func (iv *interview) ableToOpen(s *state.State, b *state.BackupStored, gone []string) []string {
	without := map[string]bool{}
	for _, id := range gone {
		without[agreed.Fold(iv.known[id].Name)] = true
	}
	for id, h := range holdersByKey(s) {
		if iv.tokenGone(id) {
			without[agreed.Fold(h.Name)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(b.Recipients), func(id string) bool {
		return !s.OpensStill(id, b) || without[agreed.Fold(s.RecipientName(id))]
	})
}

// tokenGone reports whether a later ceremony has dropped a root key whose token is
// gone, or was reset.
func (iv *interview) tokenGone(id string) bool {
	return slices.ContainsFunc(iv.earlier, func(c *plan.Ceremony) bool {
		return slices.ContainsFunc(c.State.Plan.Drops, func(drop agreed.Drop) bool {
			return drop.KeyID == id && (drop.Reason == agreed.Lost || drop.Reason == agreed.Stolen || c.State.Holders[drop.ID].Retired != nil)
		})
	})
}

// holdsFor reports whether a file of the backup that these recipients open is in
// the directory, as it was recorded.
func holdsFor(c *plan.Ceremony, b *state.BackupStored, able []string) bool {
	return slices.ContainsFunc(b.Files, func(f state.File) bool {
		layers, err := keys.Layers(path.Base(f.Name))
		if err != nil || slices.ContainsFunc(layers, func(l keys.Layer) bool { return !slices.Contains(able, l.Who) }) {
			return false
		}
		text, err := transcript.ReadFile(filepath.Join(c.Dir, filepath.FromSlash(f.Name)))
		return err == nil && agreed.DigestOf(text) == f.SHA256
	})
}

// roleKeys are the keys of a role in the trusted root.
func (iv *interview) roleKeys(name string) []tuf.Key {
	root := iv.chain.Last.Root
	var all []tuf.Key
	for _, id := range root.Roles[name].KeyIDs {
		key, _ := root.Key(id)
		all = append(all, key)
	}
	return all
}

// rolesCompromised gives new keys to the roles that others may sign for, and to
// those that vouch for them, so that clients recover from a fast-forward too.
func (iv *interview) rolesCompromised() error {
	p := &iv.plan
	var choices []prompt.Choice
	for _, roles := range [][]string{{"timestamp"}, {"snapshot"}, {"targets"}, {"timestamp", "snapshot"}, {"timestamp", "targets"}, {"snapshot", "targets"}, {"timestamp", "snapshot", "targets"}} {
		label := agreed.Listed(roles)
		if len(roles) == 1 {
			label += " alone"
		}
		choices = append(choices, prompt.Choice{Key: strings.Join(roles, "+"), Label: label})
	}
	what, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.roles", Question: "Which roles can others sign for?"}, choices)
	if err != nil {
		return err
	}
	drops := iv.compromise(strings.Split(what, "+"))
	replaced := record.Replaced(p.Compromised)
	slices.SortFunc(replaced, func(a, b string) int {
		return cmp.Compare(slices.Index(agreed.OnlineRoles, a), slices.Index(agreed.OnlineRoles, b))
	})
	m := prompt.Message{Title: "What is replaced", Text: []string{fmt.Sprintf("Compromised: %s. New keys for: %s. Together they make clients drop stored metadata that was counted up to shut them out.", agreed.Listed(p.Compromised), agreed.Listed(replaced))}}
	if len(drops) > 0 {
		m.Text = append(m.Text, fmt.Sprintf("%d of these keys are root keys as well, and are dropped there too.", len(drops)))
	}
	if err := iv.a.Tell(iv.ctx, m); err != nil {
		return err
	}
	if len(drops) >= iv.oldThreshold() {
		if err := iv.happened(record.QuorumStolen); err != nil {
			return err
		}
		return iv.noWay(len(drops), 0)
	}
	if err := iv.newKeys(replaced); err != nil {
		return err
	}
	return iv.leaveOut(drops, agreed.Compromised, nil)
}

// compromise notes which roles others can sign for: whoever has the key of one
// has it for all that it serves. It returns the root keys among them.
func (iv *interview) compromise(roles []string) (rootKeys []string) {
	has := func(name string, of []string) bool {
		return slices.ContainsFunc(iv.roleKeys(name), func(k tuf.Key) bool {
			return slices.ContainsFunc(of, func(other string) bool {
				return slices.ContainsFunc(iv.roleKeys(other), func(o tuf.Key) bool { return o.Value() == k.Value() })
			})
		})
	}
	for range agreed.OnlineRoles { // a role that is added may bring another
		roles = slices.DeleteFunc(slices.Clone(agreed.OnlineRoles), func(name string) bool { return !slices.Contains(roles, name) && !has(name, roles) })
	}
	iv.plan.Compromised = roles
	for _, k := range iv.roleKeys(tuf.RoleRoot) {
		if slices.ContainsFunc(roles, func(name string) bool {
			return slices.ContainsFunc(iv.roleKeys(name), func(o tuf.Key) bool { return o.Value() == k.Value() })
		}) {
			rootKeys = append(rootKeys, k.ID)
		}
	}
	return rootKeys
}

// newKeys asks for the key files of roles that get new keys. Those at the usual
// places are offered all at once.
func (iv *interview) newKeys(roles []string) error {
	usual := func(name string) string { return "keys/" + name + ".pub" }
	fresh := func(s string) error { return iv.checkNew(s, roles) }
	m := prompt.Message{Title: "New keys"}
	offered := true
	for _, name := range roles {
		offered = offered && fresh(usual(name)) == nil && iv.chain.Last.Root.Roles[name].Threshold == 1
		m.Lines = append(m.Lines, fmt.Sprintf("%-10s %s", name, usual(name)))
	}
	if offered {
		m.Text = []string{"These files are in the plan's folder, and their keys are in no role that is replaced:"}
		yes, err := iv.a.Confirm(iv.ctx, prompt.Prompt{ID: "revoke.keys", Message: m, Question: "Are these the new keys, made on a machine that the intruder never touched?"})
		if err != nil {
			return err
		}
		if yes {
			for _, name := range roles {
				if err := iv.roleOf(name, []string{usual(name)}); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, name := range roles {
		role, enter, line := iv.chain.Last.Root.Roles[name], "", ""
		if !offered && fresh(usual(name)) == nil {
			line, enter = usual(name), usual(name)
		}
		question := fmt.Sprintf("Role %s (%d of %d keys sign for it now): file of its new public key, or several with commas?", name, role.Threshold, len(role.KeyIDs))
		if err := iv.prompt(prompt.Prompt{ID: "plan.role." + name, Message: iv.keyMessage(name), Enter: enter, Question: question}, &line, fresh); err != nil {
			return err
		}
		if err := iv.roleOf(name, splitFiles(line)); err != nil {
			return err
		}
	}
	return nil
}

// checkNew is checkFiles for keys that no role that is replaced has now.
func (iv *interview) checkNew(s string, replaced []string) error {
	if err := iv.checkFiles(s); err != nil {
		return err
	}
	for _, file := range splitFiles(s) {
		key, err := iv.readKey(file)
		if err != nil {
			return err
		}
		for _, name := range append([]string{tuf.RoleRoot}, replaced...) {
			if slices.ContainsFunc(iv.roleKeys(name), func(old tuf.Key) bool { return old.Value() == key.Value() }) {
				return fmt.Errorf("key file %q holds the key that role %s has now, and a new one is wanted (hint: make it on a machine that the intruder never touched)", file, name)
			}
		}
	}
	return nil
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
	answer := "A threshold of keys may be in other hands. Whoever has them signs any root, as good as yours to every client: TUF cannot undo that, and nothing that this program signs can. (If tokens are gone and nobody knows their PINs, go back and say that tokens were stolen.)"
	if incident == record.QuorumLost {
		answer = "Too few keys are left to sign a root that clients accept, and no backup brings enough of them back. TUF cannot mend that, and nothing that this program signs can."
	}
	yes, err := iv.a.Confirm(iv.ctx, prompt.Prompt{ID: "revoke.anew", Message: prompt.Message{Title: "The honest answer", Text: []string{answer,
		"What is left: a new chain, made in a ceremony with fresh tokens, and every client moved to it by hand. The words for users are drafted in any case."}},
		Question: "Write the plan of the new chain now?"})
	if err != nil {
		return err
	}
	if yes {
		iv.plan = plan.Plan{Kind: agreed.Create, Name: name, Incident: incident, Roles: map[string]plan.RolePlan{}}
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
