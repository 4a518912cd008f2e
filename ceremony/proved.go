package ceremony

import (
	"errors"
	"fmt"

	"rootceremony/ceremony/audit"
)

// proved audits the directory as rootverify record does, which takes no word of
// the log for granted, and returns what has no proof. A desk asks it at its start,
// before it seals a secret, before it makes a draft, and before it publishes.
//
// Backup files that are gone or changed are left to Status, which names them: others
// can be opened.
func (d *Desk) proved(o audit.Options) error {
	o.Roots, o.Intermediates, o.Rehearsal = d.tokens.Roots, d.tokens.Intermediates, d.State().Begun.Rehearsal
	var found []audit.Check
	for _, c := range audit.Directory(d.dir, o).Checks {
		if c.Status == audit.Failed && c.Name != audit.BackupFile {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return nil
	}
	text := "nothing goes on here, as this has no proof: " + found[0].String()
	if n := len(found) - 1; n > 0 {
		text += fmt.Sprintf("; and %d more that rootverify record lists", n)
	}
	if found[0].Text == audit.Unknown {
		return errors.New(text + " (hint: look at who has laid it there, and move it out of the directory)")
	}
	return errors.New(text + " (hint: leave this directory as it is, and go on with a copy of it that rootverify record finds good; where there is none, or nobody can say how this came, hold another ceremony)")
}
