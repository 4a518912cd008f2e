package audit

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// backup is a secret that was sealed.
type backup struct {
	line   int64
	at     *place // whose token it is of
	what   string // keys.BackupKey or keys.BackupToken
	public keys.PublicKey
	files  []state.File // nil: not seen
	ages   []string     // for which it is sealed, likewise
	wrong  error        // why it doesn't count
}

// stored is the newest backup of a kind, of a token if that is named, and of a root
// key if that is; nil: none.
func (h *holder) stored(what string, at *place, public *keys.PublicKey) *backup {
	for _, b := range slices.Backward(h.backups) {
		if b.what == what && (at == nil || b.at == at) && (public == nil || b.public == *public) {
			return b
		}
	}
	return nil
}

// recipientsOf are those for whom a holder's backups are sealed, by id, in the
// order of the plan: all but the holder.
func (w *walk) recipientsOf(h *holder) []string {
	var ids []string
	if w.plan.Backup.Holders {
		for _, other := range w.plan.Holders {
			if other.ID != h.ID {
				ids = append(ids, other.ID)
			}
		}
	}
	for _, r := range w.plan.Backup.Recipients {
		ids = append(ids, r.ID)
	}
	return ids
}

// ageOf is what a recipient is as age writes it. A holder's is the attested key in
// 82 of their token. Before a line, unless that is 0, the holder must have signed
// the log with the line in it that has the key.
func (w *walk) ageOf(id string, line int64) (string, error) {
	if h := w.holders[id]; h != nil && slices.ContainsFunc(w.plan.Holders, func(o agreed.Holder) bool { return o.ID == id }) {
		t := h.own.token
		switch {
		case t == nil || t.age == (keys.PublicKey{}):
			return "", fmt.Errorf("%s has no token that opens backups", h.Name)
		case t.unproved != nil:
			return "", fmt.Errorf("nothing proves that the key in 82 of %s is on a token: %w", subject(h, t), t.unproved)
		case line != 0 && !h.covers(t.line, line):
			return "", fmt.Errorf("%s had not signed the log before with the line in it that made the key in 82 (line %d)", h.Name, t.line)
		}
		return keys.TokenRecipient(t.age)
	}
	i := slices.IndexFunc(w.plan.Backup.Recipients, func(r agreed.BackupRecipient) bool { return r.ID == id })
	switch {
	case i < 0:
		return "", fmt.Errorf("the plan has no recipient %.80q", id)
	case w.plan.Backup.Recipients[i].Passphrase:
		return string(keys.RecipientPassphrase), nil
	}
	return w.plan.Backup.Recipients[i].Age, nil
}

func (w *walk) recipientProved(e transcript.Event) error {
	if state.Unseen(e) {
		return nil
	}
	d, err := decode[state.RecipientProved](e)
	switch {
	case err != nil:
		return err
	case w.plan.Backup == nil:
		return errors.New("the plan has no backups")
	case d.Test != nil && !strings.HasPrefix(d.Test.Name, agreed.BackupsDir+"/tests/"):
		return fmt.Errorf("%.80q is no test file", d.Test.Name)
	}
	age, err := w.ageOf(d.Recipient, 0)
	switch {
	case err != nil:
		return err
	case age != d.Age:
		return fmt.Errorf("it is another key than the one of the recipient %s", d.Recipient)
	case w.shown[d.Recipient]:
		return fmt.Errorf("%s has shown it already", d.Recipient)
	case d.Absent && w.before != state.TypeException:
		return fmt.Errorf("%s did not show it, and no exception says so", d.Recipient)
	}
	w.shown[d.Recipient] = true
	if d.Test != nil {
		return w.name(e.Seq, d.Test.Name, d.Test.SHA256, false)
	}
	return nil
}

func (w *walk) backupStored(e transcript.Event) error {
	d, err := decode[state.BackupStored](e)
	if err != nil {
		return err
	}
	h, p, err := w.place(d.Act)
	if err != nil {
		return err
	}
	open := p.open
	switch {
	case open == nil || open.line != d.Intention || open.key == nil || w.plan.Backup == nil:
		return errors.New("no root key is being made that it could be of")
	case d.What != keys.BackupToken && (d.What != keys.BackupKey || d.Public == nil || open.key.Origin != keys.FromSession):
		return fmt.Errorf("a backup of the kind %.80q does not belong to it", d.What)
	}
	b := &backup{line: e.Seq, at: p, what: d.What}
	if d.Public != nil {
		b.public = *d.Public
	}
	h.backups = append(h.backups, b)
	if state.Unseen(e) {
		w.add(NotSeen, "backup", subjectOf(h, p), "the %s: for whom it is sealed, and its files (line %d)", contentOf[d.What], e.Seq)
		return nil
	}
	b.files, b.ages = d.Files, d.Ages
	if err := w.sealedFor(e.Seq, h, d, agreed.BackupFolder(d.Holder, open.key.Attempt)); err != nil {
		b.wrong = err
		return fmt.Errorf("the backup of %s: %w", h.Name, err)
	}
	w.add(OK, "backup", subjectOf(h, p), "the %s, in %d files: any %d of %s open it (line %d)",
		contentOf[d.What], len(d.Files), d.Quorum, strings.Join(d.Recipients, ", "), e.Seq)
	return nil
}

// contentOf says what is in a backup.
var contentOf = map[string]string{keys.BackupKey: "root key", keys.BackupToken: "PUK and management key"}

func subjectOf(h *holder, p *place) string {
	return subject(h, &token{serial: p.serial, sticker: p.sticker})
}

// sealedFor holds a backup to the recipients that the plan has, as their tokens are,
// and to a file for each quorum of them.
func (w *walk) sealedFor(line int64, h *holder, d state.BackupStored, folder string) error {
	if ids := w.recipientsOf(h); !slices.Equal(d.Recipients, ids) {
		return fmt.Errorf("it is sealed for %.200q, and the plan wants %q", d.Recipients, ids)
	}
	if d.Quorum != w.plan.Backup.Quorum || len(d.Files) != keys.Subsets(len(d.Recipients), d.Quorum) || len(d.Ages) != len(d.Recipients) {
		return fmt.Errorf("%d files for a quorum of %d is not what the plan wants", len(d.Files), d.Quorum)
	}
	for i, id := range d.Recipients {
		age, err := w.ageOf(id, line)
		switch {
		case err != nil:
			return err
		case age != d.Ages[i]:
			return fmt.Errorf("it is sealed for another key than the one of the recipient %s", id)
		case !w.shown[id]:
			return fmt.Errorf("the recipient %s did not show before that they open backups", id)
		}
	}
	quorums := map[string]bool{}
	for _, f := range d.Files {
		layers, err := keys.Layers(path.Base(f.Name))
		switch {
		case err != nil:
			return err
		case f.Name != folder+"/"+path.Base(f.Name) || layers[0].What != d.What || len(layers) != d.Quorum || quorums[f.Name]:
			return fmt.Errorf("the file %.80q is not one of its own", f.Name)
		}
		quorums[f.Name] = true
		for _, l := range layers {
			if !slices.Contains(d.Recipients, l.Who) {
				return fmt.Errorf("the file %.80q is for others", f.Name)
			}
		}
		if err := w.name(line, f.Name, f.SHA256, false); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) drillDone(e transcript.Event) error {
	if state.Unseen(e) {
		return nil
	}
	d, err := decode[state.DrillDone](e)
	if err != nil {
		return err
	}
	h := w.holders[d.Holder]
	if !slices.ContainsFunc(h.backups, func(b *backup) bool { return slices.Contains(b.files, d.File) }) {
		return fmt.Errorf("the file %.80q is not a backup of %s", d.File.Name, h.Name)
	}
	w.add(OK, "restore drill", h.Name, "%s opened %s (line %d)", strings.Join(d.By, ", "), path.Base(d.File.Name), e.Seq)
	return nil
}
