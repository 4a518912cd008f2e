package state

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// Origin is where a holder's root key comes from.
func (s *State) Origin(h *Holder) keys.Origin {
	switch {
	case h.Kind != OwnToken:
		return keys.FromHeld
	case h.Holder.Custody == agreed.BackedUp:
		return keys.FromSession
	}
	return keys.FromToken
}

// RecipientIDs are those for whom a holder's backups are sealed, by id.
func (s *State) RecipientIDs(h *Holder) []string {
	var ids []string
	for _, id := range s.allRecipients() {
		if id != h.Holder.ID {
			ids = append(ids, id)
		}
	}
	return ids
}

// allRecipients are all who open backups, in the order of the plan.
func (s *State) allRecipients() []string {
	b := s.Plan.Backup
	if b == nil {
		return nil
	}
	var ids []string
	if b.Holders {
		for _, h := range s.Plan.Holders {
			ids = append(ids, h.ID)
		}
	}
	for _, r := range b.Recipients {
		ids = append(ids, r.ID)
	}
	return ids
}

// Outside is the recipient with that id who is no holder, or nil.
func (s *State) Outside(id string) *agreed.BackupRecipient {
	for i, r := range s.Plan.Backup.Recipients {
		if r.ID == id {
			return &s.Plan.Backup.Recipients[i]
		}
	}
	return nil
}

// RecipientName is what people call a recipient.
func (s *State) RecipientName(id string) string {
	if h := s.Holders[id]; h != nil {
		return h.Holder.Name
	}
	return s.Outside(id).Name
}

// RecipientText is a recipient as it is encrypted to now, as
// keys.ParseRecipient reads it.
func (s *State) RecipientText(id string) (string, error) {
	if h := s.Holders[id]; h != nil {
		return h.RecipientText()
	}
	r := s.Outside(id)
	if r == nil {
		return "", fmt.Errorf("the plan has no recipient %q", id)
	}
	if r.Passphrase {
		return string(keys.RecipientPassphrase), nil
	}
	return r.Age, nil
}

// RecipientText is a holder as the key in 82 of the token is encrypted to.
func (h *Holder) RecipientText() (string, error) {
	if h.Prepared == nil {
		return "", fmt.Errorf("the token of %s is not prepared", h.Holder.Name)
	}
	return keys.TokenRecipient(h.Prepared.Age)
}

// RecipientsMissing are those who have not shown yet that they open a test
// file, by name.
func (s *State) RecipientsMissing() []string {
	var missing []string
	for _, id := range s.allRecipients() {
		if s.Recipients[id] == nil {
			missing = append(missing, s.RecipientName(id))
		}
	}
	return missing
}

// RecipientsUnsigned are the holders that backups are to be sealed for who have not
// signed the log with the key in 82 in it, by name.
func (s *State) RecipientsUnsigned() []string {
	if !s.Plan.Backup.Holders {
		return nil
	}
	return s.Names(func(h *Holder) bool { return !h.HasSigned(h.preparedAt) })
}

// stored is the newest backup of that kind.
func (h *Holder) StoredBackup(what string) *BackupStored {
	for _, b := range slices.Backward(h.Stored) {
		if b.What == what {
			return b
		}
	}
	return nil
}

// Backup is the one in use: of the root key that was made, or of the PUK and
// management key that the token has.
func (h *Holder) Backup(what string) *BackupStored {
	i := -1
	for j, b := range h.Stored {
		// PUK and management key are a token's own, and there may have been others.
		if b.What == what && (what == keys.BackupKey || b.Serial == h.Serial) {
			i = j
		}
	}
	if i < 0 {
		return nil
	}
	b := h.Stored[i]
	switch {
	case h.Key == nil && !h.Locked:
		return nil
	case what == keys.BackupKey && (h.Key == nil || *b.Public != h.Key.Public):
		return nil
	}
	return b
}

// TestFile is the name of the test file that a recipient's passphrase has made.
func TestFile(id, digest string) string {
	return fmt.Sprintf("%s/tests/%s.%.8s.age", agreed.BackupsDir, id, digest)
}

func (s *State) recipientProved(e transcript.Event) error {
	var data RecipientProved
	if err := Read(e, &data); err != nil {
		return err
	}
	if Unseen(e) && s.Plan.Backup != nil {
		return nil
	}
	if s.Plan.Backup == nil || !slices.Contains(s.allRecipients(), data.Recipient) {
		return fmt.Errorf("the plan has no recipient %q", data.Recipient)
	}
	if s.Recipients[data.Recipient] != nil {
		return fmt.Errorf("%s has proved it already", s.RecipientName(data.Recipient))
	}
	text, err := s.RecipientText(data.Recipient)
	if err != nil {
		return err
	}
	name := s.RecipientName(data.Recipient)
	answer, err := hex.DecodeString(data.Answer)
	if data.Age != text || !data.Absent && (err != nil || len(answer) != 32) || (data.Test != nil) != (text == string(keys.RecipientPassphrase)) {
		return fmt.Errorf("it is not a proof of %s", name)
	}
	if data.Absent && data.Test != nil {
		return errors.New("a passphrase cannot be absent: nothing could be sealed with it")
	}
	if data.Test != nil && data.Test.Name != TestFile(data.Recipient, data.Test.SHA256) {
		return fmt.Errorf("%.80q is no test file of %s", data.Test.Name, name)
	}
	if data.Test != nil {
		s.Files = append(s.Files, *data.Test)
	}
	s.Recipients[data.Recipient] = &data
	return nil
}

func (s *State) backupStored(e transcript.Event) error {
	var data BackupStored
	if err := Read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if h.Open == nil || h.Open.Seq != data.Intention || h.Open.Key == nil || s.Plan.Backup == nil {
		return errors.New("no root key is being made for which it could be")
	}
	if data.What != keys.BackupToken && (data.What != keys.BackupKey || data.Public == nil || h.Open.Key.Origin != keys.FromSession) {
		return fmt.Errorf("a backup of the kind %q does not belong to it", data.What)
	}
	if slices.ContainsFunc(h.Stored, func(b *BackupStored) bool { return b.Intention == data.Intention && b.What == data.What }) {
		return fmt.Errorf("a backup of the kind %q was stored for it already", data.What)
	}
	if Unseen(e) {
		h.Stored, h.madeAt = append(h.Stored, &data), e.Seq
		return nil
	}
	if !slices.Equal(data.Recipients, s.RecipientIDs(h)) || data.Quorum != s.Plan.Backup.Quorum ||
		len(data.Files) != keys.Subsets(len(data.Recipients), data.Quorum) {
		return errors.New("the recipients, the quorum or the number of files are not the plan's")
	}
	for i, id := range data.Recipients {
		if text, err := s.RecipientText(id); err != nil || len(data.Ages) != len(data.Recipients) || data.Ages[i] != text {
			return fmt.Errorf("it is not sealed for the recipient %q as that is now", id)
		}
	}
	folder := agreed.BackupFolder(data.Holder, h.Open.Key.Attempt)
	seen := map[string]bool{} // with the number of files: every quorum has its own
	for _, f := range data.Files {
		if seen[f.Name] {
			return fmt.Errorf("the file %q is there twice", f.Name)
		}
		seen[f.Name] = true
		layers, err := keys.Layers(path.Base(f.Name))
		if err != nil || f.Name != folder+"/"+path.Base(f.Name) || layers[0].What != data.What || len(layers) != data.Quorum {
			return fmt.Errorf("the file %q is not one of them", f.Name)
		}
		for _, l := range layers {
			if !slices.Contains(data.Recipients, l.Who) {
				return fmt.Errorf("the file %q is for others", f.Name)
			}
		}
	}
	s.Files = append(s.Files, data.Files...)
	h.Stored, h.madeAt = append(h.Stored, &data), e.Seq
	return nil
}

// keyFits holds a root key that was made to what was announced and stored.
func (s *State) keyFits(data KeyMade) error {
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if h.Open == nil || h.Open.Key == nil {
		return errors.New("no root key was announced")
	}
	intended := h.Open.Key
	if data.Imported != (intended.Origin != keys.FromToken) {
		return errors.New("it was not made where the plan says")
	}
	if h.Kind != OwnToken && data.Public != s.Holders[h.Holder.ID].Key.Public {
		return fmt.Errorf("it is not the root key of %s", h.Holder.Name)
	}
	if s.Plan.Backup == nil {
		if data.PUKKept {
			return errors.New("nothing is backed up by this plan")
		}
		return nil
	}
	if access := h.StoredBackup(keys.BackupToken); access == nil || !data.PUKKept || access.Intention != data.Intention && !h.Locked {
		return errors.New("no backup of PUK and management key is stored")
	}
	if key := h.StoredBackup(keys.BackupKey); intended.Origin == keys.FromSession && (key == nil || *key.Public != data.Public) {
		return errors.New("no backup of this root key is stored")
	}
	return nil
}

// backupNamed finds a backup file that is stored, and whose it is.
func (s *State) backupNamed(file File) (*Holder, *BackupStored) {
	for _, h := range s.Holders {
		for _, one := range []*Holder{h, h.Replacement} {
			if one == nil {
				continue
			}
			for _, b := range one.Stored {
				if slices.Contains(b.Files, file) {
					return one, b
				}
			}
		}
	}
	return nil, nil
}

func (s *State) drillDone(e transcript.Event) error {
	var data DrillDone
	if err := Read(e, &data); err != nil {
		return err
	}
	if h := s.Holders[data.Holder]; Unseen(e) && h.Key != nil && h.Key.PUKKept {
		return nil
	}
	h, b := s.backupNamed(data.File)
	if h == nil || h.Holder.ID != data.Holder || h.Key == nil || h.Backup(b.What) != b {
		return errors.New("the file is not a backup in use of that holder")
	}
	if name := path.Base(data.File.Name); name != QuorumFile(data.By, b.What) {
		return fmt.Errorf("%s is not opened by %s", name, strings.Join(data.By, ", "))
	}
	s.Drills = append(s.Drills, &data)
	return nil
}

// QuorumFile is the name of the file for those recipients.
func QuorumFile(ids []string, what string) string {
	return strings.Join(slices.Sorted(slices.Values(ids)), "+") + "." + what + ".age"
}

// OpensStill reports whether a recipient has what a backup was sealed for: a
// holder's token may have been given up or replaced since.
func (s *State) OpensStill(id string, b *BackupStored) bool {
	text, err := s.RecipientText(id)
	i := slices.Index(b.Recipients, id)
	return err == nil && i >= 0 && b.Ages[i] == text
}

// TooFew are the holders, by name, of whose backups in use fewer than the quorum
// can open one, if the holder with the id gives up the token; "": nobody does.
func (s *State) TooFew(gone string) []string {
	return s.Names(func(h *Holder) bool {
		return h.Holder.ID != gone && slices.ContainsFunc([]string{keys.BackupKey, keys.BackupToken}, func(what string) bool {
			b := h.Backup(what)
			if b == nil {
				return false
			}
			cannot := func(id string) bool { return id == gone || !s.OpensStill(id, b) }
			return len(slices.DeleteFunc(slices.Clone(b.Recipients), cannot)) < b.Quorum
		})
	})
}

// Drilled: at least one backup was opened, and each one whose key was found on
// its token after an interruption.
func (s *State) Drilled() bool {
	for _, h := range s.Holders {
		if h.Key != nil && h.Key.FoundOnLook && h.Key.Imported && !s.DrilledOf(h) {
			return false
		}
	}
	return slices.ContainsFunc(s.Plan.Holders, func(h agreed.Holder) bool { return s.DrilledOf(s.Holders[h.ID]) })
}

// DrilledOf reports whether a backup of the holder that is still in use was
// opened: anyone who has started over since has others.
func (s *State) DrilledOf(h *Holder) bool {
	return slices.ContainsFunc(s.Drills, func(done *DrillDone) bool {
		_, b := s.backupNamed(done.File)
		return b != nil && h.Backup(b.What) == b
	})
}
