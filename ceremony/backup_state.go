package ceremony

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// attemptForm is the name of a folder of backups: every try to make a key has
// its own, so that the files of two never meet.
var attemptForm = regexp.MustCompile(`^[0-9a-f]{8}$`)

// BackupsDir is where age files are, in the ceremony directory: a folder for
// each holder, and in it one for each attempt.
const BackupsDir = "private/backups"

func backupFolder(holder, attempt string) string {
	return BackupsDir + "/" + holder + "/" + attempt
}

// origin is where a holder's root key comes from.
func (s *State) origin(h *HolderState) keys.Origin {
	switch {
	case h.replaces != nil:
		return keys.FromHeld
	case h.Holder.Custody == BackedUp:
		return keys.FromSession
	}
	return keys.FromToken
}

// recipientIDs are those for whom a holder's backups are sealed, by id.
func (s *State) recipientIDs(h *HolderState) []string {
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

// outside is the recipient with that id who is no holder, or nil.
func (s *State) outside(id string) *BackupRecipient {
	for i, r := range s.Plan.Backup.Recipients {
		if r.ID == id {
			return &s.Plan.Backup.Recipients[i]
		}
	}
	return nil
}

// recipientName is what people call a recipient.
func (s *State) recipientName(id string) string {
	if h := s.Holders[id]; h != nil {
		return h.Holder.Name
	}
	return s.outside(id).Name
}

// recipientText is a recipient as it is encrypted to now, as
// keys.ParseRecipient reads it.
func (s *State) recipientText(id string) (string, error) {
	if h := s.Holders[id]; h != nil {
		return h.recipientText()
	}
	r := s.outside(id)
	if r == nil {
		return "", fmt.Errorf("the plan has no recipient %q", id)
	}
	if r.Passphrase {
		return string(keys.RecipientPassphrase), nil
	}
	return r.Age, nil
}

// recipientText is a holder as the key in 82 of the token is encrypted to.
func (h *HolderState) recipientText() (string, error) {
	if h.Prepared == nil {
		return "", fmt.Errorf("the token of %s is not prepared", h.Holder.Name)
	}
	return keys.TokenRecipient(h.Prepared.Age)
}

// recipientsMissing are those who have not shown yet that they open a test
// file, by name.
func (s *State) recipientsMissing() []string {
	var missing []string
	for _, id := range s.allRecipients() {
		if s.Recipients[id] == nil {
			missing = append(missing, s.recipientName(id))
		}
	}
	return missing
}

// stored is the newest backup of that kind.
func (h *HolderState) stored(what string) *BackupStored {
	for _, b := range slices.Backward(h.Stored) {
		if b.What == what {
			return b
		}
	}
	return nil
}

// backup is the one in use: of the root key that was made, or of the PUK and
// management key that the token has.
func (h *HolderState) backup(what string) *BackupStored {
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

// testFile is the name of the test file that a recipient's passphrase has made.
func testFile(id, digest string) string {
	return fmt.Sprintf("%s/tests/%s.%.8s.age", BackupsDir, id, digest)
}

func (s *State) recipientProved(e transcript.Event) error {
	var data RecipientProved
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Plan.Backup == nil || !slices.Contains(s.allRecipients(), data.Recipient) {
		return fmt.Errorf("the plan has no recipient %q", data.Recipient)
	}
	if s.Recipients[data.Recipient] != nil {
		return fmt.Errorf("%s has proved it already", s.recipientName(data.Recipient))
	}
	text, err := s.recipientText(data.Recipient)
	if err != nil {
		return err
	}
	name := s.recipientName(data.Recipient)
	answer, err := hex.DecodeString(data.Answer)
	if data.Age != text || !data.Absent && (err != nil || len(answer) != 32) || (data.Test != nil) != (text == string(keys.RecipientPassphrase)) {
		return fmt.Errorf("it is not a proof of %s", name)
	}
	if data.Absent && data.Test != nil {
		return errors.New("a passphrase cannot be absent: nothing could be sealed with it")
	}
	if data.Test != nil && data.Test.Name != testFile(data.Recipient, data.Test.SHA256) {
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
	if err := read(e, &data); err != nil {
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
	if !slices.Equal(data.Recipients, s.recipientIDs(h)) || data.Quorum != s.Plan.Backup.Quorum ||
		len(data.Files) != keys.Subsets(len(data.Recipients), data.Quorum) {
		return errors.New("the recipients, the quorum or the number of files are not the plan's")
	}
	if slices.ContainsFunc(h.Stored, func(b *BackupStored) bool { return b.Intention == data.Intention && b.What == data.What }) {
		return fmt.Errorf("a backup of the kind %q was stored for it already", data.What)
	}
	for i, id := range data.Recipients {
		if text, err := s.recipientText(id); err != nil || len(data.Ages) != len(data.Recipients) || data.Ages[i] != text {
			return fmt.Errorf("it is not sealed for the recipient %q as that is now", id)
		}
	}
	folder := backupFolder(data.Holder, h.Open.Key.Attempt)
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
	h.Stored = append(h.Stored, &data)
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
	if h.replaces != nil && data.Public != h.replaces.Key.Public {
		return fmt.Errorf("it is not the root key of %s", h.Holder.Name)
	}
	if s.Plan.Backup == nil {
		if data.PUKKept {
			return errors.New("nothing is backed up by this plan")
		}
		return nil
	}
	if access := h.stored(keys.BackupToken); access == nil || !data.PUKKept || access.Intention != data.Intention && !h.Locked {
		return errors.New("no backup of PUK and management key is stored")
	}
	if key := h.stored(keys.BackupKey); intended.Origin == keys.FromSession && (key == nil || *key.Public != data.Public) {
		return errors.New("no backup of this root key is stored")
	}
	return nil
}

// backupNamed finds a backup file that is stored, and whose it is.
func (s *State) backupNamed(file File) (*HolderState, *BackupStored) {
	for _, h := range s.Holders {
		for _, one := range []*HolderState{h, h.Replacement} {
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
	if err := read(e, &data); err != nil {
		return err
	}
	h, b := s.backupNamed(data.File)
	if h == nil || h.Holder.ID != data.Holder || h.Key == nil || h.backup(b.What) != b {
		return errors.New("the file is not a backup in use of that holder")
	}
	if name := path.Base(data.File.Name); name != quorumFile(data.By, b.What) {
		return fmt.Errorf("%s is not opened by %s", name, strings.Join(data.By, ", "))
	}
	s.Drills = append(s.Drills, &data)
	return nil
}

// quorumFile is the name of the file for those recipients.
func quorumFile(ids []string, what string) string {
	return strings.Join(slices.Sorted(slices.Values(ids)), "+") + "." + what + ".age"
}

func (s *State) copiesWritten(e transcript.Event) error {
	var data CopiesWritten
	if err := read(e, &data); err != nil {
		return err
	}
	if files := s.copied(); data.List != digestOf(sumLines(files, "")) || data.Files != len(files) {
		return errors.New("the list of files is not that of the backups")
	}
	without := data.Medium == noMedium && data.MediumID == ""
	if !without && !mediumForm.MatchString(data.MediumID) {
		return fmt.Errorf("the medium %s has no id", data.Medium)
	}
	if without && s.previous != TypeException {
		return errors.New("to go on without media is an exception, and none was recorded just before")
	}
	s.Written[data.MediumID] = &data
	return nil
}

func (s *State) copiesRead(e transcript.Event) error {
	var data CopiesRead
	if err := read(e, &data); err != nil {
		return err
	}
	if w := s.Written[data.MediumID]; w == nil || data.MediumID == "" || w.Medium != data.Medium || w.List != data.List || w.List != digestOf(sumLines(s.copied(), "")) {
		return errors.New("nothing like it was written to that medium")
	}
	s.Copies = append(s.Copies, &data)
	return nil
}

// copied are the files that copies are made of: all backups in use, in order.
func (s *State) copied() []File {
	var files []File
	for _, h := range s.Plan.Holders {
		state := s.Holders[h.ID]
		for _, what := range []string{keys.BackupKey, keys.BackupToken} {
			if b := state.backup(what); b != nil {
				files = append(files, b.Files...)
			}
		}
		if state.Spare != nil {
			if b := state.Spare.backup(keys.BackupToken); b != nil {
				files = append(files, b.Files...)
			}
		}
	}
	return files
}

// sumLines lists files in the format of sha256sum, by their names below a
// folder.
func sumLines(files []File, folder string) []byte {
	var text []byte
	for _, f := range files {
		text = fmt.Appendf(text, "%s  %s\n", f.SHA256, strings.TrimPrefix(f.Name, folder))
	}
	return text
}
