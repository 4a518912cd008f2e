package plan

import (
	"slices"

	"rootceremony/ceremony/agreed"
)

// backupPresent checks quorum and list of [backup], by what they name.
func (p *Plan) backupPresent() {
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
		path := agreed.Element("backup.recipients", i)
		is := func(other string) bool { return agreed.Fold(other) == agreed.Fold(name) }
		switch {
		case seen[agreed.Fold(name)]:
			p.fault(path, "recipient %q is named twice", name)
		case name == agreed.EveryHolder, slices.ContainsFunc(p.Recipients, func(r Recipient) bool { return is(r.Name) }):
		case slices.ContainsFunc(p.Holders, func(h agreed.Holder) bool { return is(h.Name) || is(h.ID) }):
			p.fault(path, "recipient %q is a holder: holders are recipients all together (hint: recipients = [\"holders\"])", name)
		default:
			p.fault(path, "recipient %q is neither \"holders\" nor a [[recipient]]", name)
		}
		seen[agreed.Fold(name)] = true
	}
}

// backup is what [backup] comes to; nil without backups.
func (p *Plan) AgreedBackup() *agreed.Backup {
	if p.Backup.Quorum < 1 {
		return nil
	}
	b := &agreed.Backup{Quorum: p.Backup.Quorum, Holders: slices.Contains(p.Backup.Recipients, agreed.EveryHolder), Recipients: []agreed.BackupRecipient{}}
	for _, r := range p.Recipients {
		b.Recipients = append(b.Recipients, agreed.BackupRecipient{Name: r.Name, ID: r.ID, Age: r.Age, Passphrase: r.Passphrase, Site: r.Site})
	}
	return b
}
