package ceremony

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/keys"
)

// everyHolder is what backup.recipients says for the holders' tokens.
const everyHolder = "holders"

// recipientRules checks who the recipients are, and then whether their
// number, the quorum and the threshold go together.
func (p *Plan) recipientRules() {
	p.makeRecipientIDs()
	p.listedRules()
	ids, names, texts := map[string]string{}, map[string]bool{}, map[string]string{}
	holders := map[string]bool{} // by name
	for _, h := range p.Holders {
		ids[fold(h.ID)] = "holder " + quote(h.Name)
		holders[fold(h.Name)] = true
	}
	for i, r := range p.Recipients {
		path := element("recipient", i)
		if !p.missing(path+".name", r.Name == "", "the recipient's name") {
			p.check(path+".name", "name", r.Name, checkName)
			switch name := fold(r.Name); {
			case name == everyHolder:
				p.fault(path+".name", "recipient %q would mean the holders (hint: another name)", r.Name)
			case holders[name]:
				p.fault(path+".name", "recipient %q is a holder: holders are recipients all together (hint: recipients = [\"holders\"])", r.Name)
			case names[name]:
				p.fault(path+".name", "recipient %q is there twice", r.Name)
			case !slices.ContainsFunc(p.Backup.Recipients, func(s string) bool { return fold(s) == name }):
				p.fault(path+".name", "recipient %q is not named in backup.recipients (hint: name it there, or leave it out here)", r.Name)
			}
			names[fold(r.Name)] = true
		}
		if r.ID == "" && !p.said[path+".name"] {
			p.fault(path+".id", "no id can be made from the name %q (hint: add id = \"...\", 1 to 32 of a-z, 0-9 and -)", r.Name)
		} else if r.ID != "" {
			p.check(path+".id", "id", r.ID, checkID)
			if other, twice := ids[fold(r.ID)]; twice && !p.said[path+".name"] {
				p.fault(path+".id", "recipient %q has the same id %q as %s: file names would not tell them apart (hint: give one of them another id)", r.Name, r.ID, other)
			}
			ids[fold(r.ID)] = "recipient " + quote(r.Name)
		}
		p.check(path+".site", "site", r.Site, checkOptional)
		p.ageRules(i, texts)
	}
	p.quorumRules()
}

// makeRecipientIDs gives recipients without an id one made from their name.
func (p *Plan) makeRecipientIDs() {
	for i := range p.Recipients {
		r, path := &p.Recipients[i], element("recipient", i)+".id"
		if p.absent(path) {
			r.ID = slug(r.Name)
		} else if r.ID == "" {
			p.fault(path, "id is empty (hint: leave it out to have it made from the name)")
		}
	}
}

// ageRules checks how the i-th recipient opens what is for it. texts has the
// age recipients so far, and whose they are.
func (p *Plan) ageRules(i int, texts map[string]string) {
	r, path := &p.Recipients[i], element("recipient", i)
	if (r.Age == "") == !r.Passphrase {
		p.fault(path, "recipient %q needs either age = \"age1...\" or passphrase = true", r.Name)
		return
	}
	if r.Passphrase || p.said[path+".age"] {
		return
	}
	parsed, err := parseAge(r.Name, r.Age)
	if err != nil {
		p.fault(path+".age", "%v", err)
		return
	}
	r.Age = parsed.Text
	if other, twice := texts[r.Age]; twice {
		p.fault(path+".age", "recipient %q is the same as %q: one identity would count as two", r.Name, other)
	}
	texts[r.Age] = r.Name
}

// parseAge reads an age recipient. Errors never hold the text, which may be a
// secret in the wrong place.
func parseAge(name, text string) (keys.Recipient, error) {
	r, err := keys.ParseRecipient(name, text)
	if err == nil && r.Kind == keys.RecipientPassphrase {
		return keys.Recipient{}, fmt.Errorf("recipient %q has the word passphrase for an age recipient (hint: passphrase = true, instead of age)", name)
	}
	return r, err
}

// listedRules checks the list of [backup].
func (p *Plan) listedRules() {
	b := p.Backup
	switch {
	case b.Quorum < 0:
		p.fault("backup.quorum", "quorum %d: at least 0, which means no backups", b.Quorum)
	case b.Quorum == 0 && len(b.Recipients) > 0:
		p.fault("backup.recipients", "recipients are named, but quorum 0 means no backups")
	case b.Quorum > 0:
		p.missing("backup.recipients", len(b.Recipients) == 0, `recipients = ["holders", "Bank safe"]: who opens backups`)
	}
	seen := map[string]bool{}
	for i, name := range b.Recipients {
		path := element("backup.recipients", i)
		is := func(other string) bool { return fold(other) == fold(name) }
		switch {
		case seen[fold(name)]:
			p.fault(path, "recipient %q is named twice", name)
		case name == everyHolder, slices.ContainsFunc(p.Recipients, func(r Recipient) bool { return is(r.Name) }):
		case slices.ContainsFunc(p.Holders, func(h Holder) bool { return is(h.Name) || is(h.ID) }):
			p.fault(path, "recipient %q is a holder: holders are recipients all together (hint: recipients = [\"holders\"])", name)
		default:
			p.fault(path, "recipient %q is neither \"holders\" nor a [[recipient]]", name)
		}
		seen[fold(name)] = true
	}
}

// backup is what [backup] comes to; nil without backups.
func (p *Plan) backup() *Backup {
	if p.Backup.Quorum < 1 {
		return nil
	}
	b := &Backup{Quorum: p.Backup.Quorum, Holders: slices.Contains(p.Backup.Recipients, everyHolder), Recipients: []BackupRecipient{}}
	for _, r := range p.Recipients {
		b.Recipients = append(b.Recipients, BackupRecipient{r.Name, r.ID, r.Age, r.Passphrase, r.Site})
	}
	return b
}

// quorumRules checks the quorum, once the recipients are known to be good.
func (p *Plan) quorumRules() {
	for path := range p.said {
		if strings.HasPrefix(path, "backup") || strings.HasPrefix(path, "recipient") || strings.HasPrefix(path, "holder") || path == "root.threshold" {
			return // what would be said here may come of that
		}
	}
	r := &Resolved{Threshold: p.Root.Threshold, Holders: p.Holders, Backup: p.backup()}
	if err := r.checkQuorum(); err != nil {
		p.fault("backup.quorum", "%v", err)
	}
}

// Openers is how many recipients each holder's backups have; 0 without
// backups.
func (r *Resolved) Openers() int {
	switch b := r.Backup; {
	case b == nil:
		return 0
	case b.Holders:
		return len(r.Holders) - 1 + len(b.Recipients)
	default:
		return len(b.Recipients)
	}
}

// tooFew tells whether fewer people than the threshold could sign by opening
// backups. Those of keys that stay are none of this plan's: their holders come.
func (r *Resolved) tooFew() bool {
	q, most := r.Backup.Quorum, r.Threshold-1
	if q > most {
		return false
	}
	made, _ := r.names(OnToken, BackedUp)
	if !r.Backup.Holders {
		most -= q // who open, and are no holders
	}
	return len(made)+min(len(r.Holders)-len(made), most) >= r.Threshold
}

// checkQuorum refuses a quorum that cannot come together, that takes too many
// files, or that lets fewer people sign than the threshold asks for.
func (r *Resolved) checkQuorum() error {
	if r.Backup == nil {
		return nil
	}
	q, n := r.Backup.Quorum, r.Openers()
	switch {
	case q < 1:
		return fmt.Errorf("quorum %d: at least 1 recipient must open a backup", q)
	case q > n && r.Backup.Holders:
		return fmt.Errorf("quorum %d is more than the recipients of a holder's backup, %d: no holder is a recipient of their own (hint: %s)", q, n, r.otherQuorum())
	case q > n:
		return fmt.Errorf("quorum %d is more than there are recipients, %d (hint: %s)", q, n, r.otherQuorum())
	case r.tooFew():
		return fmt.Errorf("%s: the backup quorum (%d) is below the threshold (%d) (hint: %s)", r.byBackup().could(true), q, r.Threshold, r.otherQuorum())
	case keys.Subsets(n, q) > keys.MaxSubsets:
		return fmt.Errorf("quorum %d of %d recipients makes more than %d files for each secret (hint: %s)", q, n, keys.MaxSubsets, r.otherQuorum())
	}
	// The last word is that of what seals: keys that are the same in two
	// notations, file names that are too long.
	for _, h := range r.Holders {
		var all []keys.Recipient
		for _, other := range r.Holders {
			if r.Backup.Holders && other.ID != h.ID {
				all = append(all, keys.Recipient{Name: other.Name, Slug: other.ID, Kind: keys.RecipientToken})
			}
		}
		for _, out := range r.Backup.Recipients {
			recipient, err := out.Parse()
			if err != nil {
				return err
			}
			all = append(all, recipient)
		}
		if _, err := keys.Quorums(keys.Recipient{Name: h.Name, Slug: h.ID, Kind: keys.RecipientToken}, all, q); err != nil {
			return err
		}
	}
	return nil
}

// otherQuorum is the advice which quorums would do with these recipients, or
// how many recipients with this quorum.
func (r *Resolved) otherQuorum() string {
	var fit []string
	n := r.Openers()
	for k := max(1, r.Threshold); k <= n && len(fit) < 4; k++ {
		if keys.Subsets(n, k) <= keys.MaxSubsets {
			fit = append(fit, fmt.Sprint(k))
		}
	}
	most := max(1, r.Backup.Quorum, r.Threshold)
	for keys.Subsets(most+1, max(r.Backup.Quorum, r.Threshold)) <= keys.MaxSubsets && most < n {
		most++
	}
	switch {
	case len(fit) == 0:
		return fmt.Sprintf("at least %d recipients for each holder", r.Threshold)
	case most < n:
		return fmt.Sprintf("quorum %s would do, or at most %d recipients with quorum %d", list(fit, "or"), most, max(r.Backup.Quorum, r.Threshold))
	}
	return fmt.Sprintf("quorum %s would do", list(fit, "or"))
}

// Parse returns the recipient as backups are sealed to it, under its id.
func (b BackupRecipient) Parse() (keys.Recipient, error) {
	text := b.Age
	if b.Passphrase {
		text = string(keys.RecipientPassphrase)
	}
	r, err := keys.ParseRecipient(b.Name, text)
	r.Slug = b.ID
	return r, err
}

// checkBackup holds the backups of a Resolved to the rules that a plan keeps.
// The holders are known to be good.
func (r *Resolved) checkBackup() error {
	if r.Backup == nil {
		return nil
	}
	if r.Backup.Recipients == nil {
		return errors.New("recipients is no list")
	}
	seen := map[string]bool{"name " + everyHolder: true}
	for _, h := range r.Holders {
		seen["id "+h.ID] = true
		seen["name "+fold(h.Name)] = true
	}
	for _, b := range r.Backup.Recipients {
		if err := cmp.Or(checkID(b.ID), checkName(b.Name), checkOptional(b.Site)); err != nil {
			return fmt.Errorf("recipient %q: %w", b.ID, err)
		}
		marks := []string{"id " + b.ID, "name " + fold(b.Name)}
		if b.Passphrase == (b.Age != "") {
			return fmt.Errorf("recipient %q: either an age recipient or a passphrase", b.ID)
		}
		if !b.Passphrase {
			parsed, err := parseAge(b.Name, b.Age)
			if err != nil {
				return err
			}
			if parsed.Text != b.Age {
				return fmt.Errorf("recipient %q: the age recipient is not as it was written", b.ID)
			}
			marks = append(marks, "key "+b.Age)
		}
		for _, mark := range marks {
			if seen[mark] {
				return fmt.Errorf("recipient %q: the same %.60s as another recipient or holder", b.ID, mark)
			}
			seen[mark] = true
		}
	}
	return r.checkQuorum()
}
