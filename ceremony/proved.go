package ceremony

import (
	"fmt"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/audit"
)

// proved audits the directory, which is believed by nobody: at every start, before a
// secret is sealed, before a draft is made, and before a root is published. What it
// finds ends that, with what to do; nothing that people decide goes around it. Where
// no line was written since the last time, the report is the one of that.
func (d *Desk) proved() (*audit.Report, error) {
	d.mu.Lock() // so that no line is written in the middle
	defer d.mu.Unlock()
	there := d.log.Checkpoint()
	if r := d.audited; r != nil && r.Lines == there.Size && r.Root == there.Root {
		return r, nil
	}
	r := audit.Directory(d.dir, audit.Options{Roots: d.tokens.Roots, Intermediates: d.tokens.Intermediates, Rehearsal: d.State().Begun.Rehearsal})
	hint := "(hint: do not go on with this directory: go on with another copy of it, such as one on a medium; rootverify record says more)"
	if found := r.Findings(); len(found) > 0 {
		more := ""
		if len(found) > 1 {
			more = fmt.Sprintf("; and %d more like it", len(found)-1)
		}
		what := found[0].Name
		if found[0].Subject != "" {
			what += ", " + found[0].Subject
		}
		if strings.Contains(found[0].Text, "device certificate") && len(d.tokens.Intermediates) == 0 {
			hint = "(hint: if the tokens were enrolled with --attestation-intermediates, give that file at this start too; if they were not, " + strings.TrimPrefix(hint, "(hint: ")
		}
		return nil, fmt.Errorf("what is in this directory is not proved: %s: %s%s %s", what, found[0].Text, more, hint)
	}
	if r.Lines != there.Size || r.Root != there.Root {
		return nil, fmt.Errorf("the log on the disk is no longer the one that was opened: it has %d lines, and %d were written %s", r.Lines, there.Size, hint)
	}
	d.audited = r
	return r, nil
}

// provedKeys holds all keys that go into the draft to their proofs.
func (d *Desk) provedKeys() error {
	r, err := d.proved()
	if err != nil {
		return err
	}
	for _, k := range r.Keys {
		if k.Status != audit.OK {
			return fmt.Errorf("the root key of %s: %s (hint: take the task of %s, with the token)", k.Name, k.Text, k.Name)
		}
	}
	return nil
}

// provedRecipients holds the keys in 82 that a holder's secrets are to be sealed for
// to their proofs.
func (v visit) provedRecipients() error {
	r, err := v.d.proved()
	if err != nil {
		return err
	}
	opens := map[string]audit.Key{}
	for _, k := range r.Keys {
		opens[k.Holder] = k
	}
	for _, id := range v.d.State().RecipientIDs(v.now()) {
		if k, holder := opens[id]; holder && k.Opens != audit.OK {
			return fmt.Errorf("nothing is sealed for %s, who has not signed the log with the key in 82 of token %s in it (hint: %s signs it in the task of that token, or in a check-up)",
				k.Name, agreed.SerialText(k.Serial), k.Name)
		}
	}
	return nil
}
