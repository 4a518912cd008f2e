package agreed

import (
	"fmt"
	"slices"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Earlier is an earlier ceremony of the project, and whose backups of root keys
// there are of it: nobody can unmake those.
type Earlier struct {
	Name    string `json:"name"`
	Version int64  `json:"version,omitempty"` // of the root that it made, or was to make; plans that a former version of this program has agreed have none
	// Checkpoint is the root hash of its log as it was read.
	Checkpoint string          `json:"checkpoint"`
	Backups    []EarlierBackup `json:"-"`
	// Signed are the ids of keys that have signed, or may have, an abandoned
	// draft of the version that is planned now.
	Signed []string `json:"signed,omitempty"`
}

// EarlierBackup is the backup of one root key of an earlier ceremony.
type EarlierBackup struct {
	Holder     string   `json:"holder"` // name
	Quorum     int      `json:"quorum"`
	Recipients []string `json:"recipients"` // names of those who still have what opens it
	// KeyID is that of the root key, as tuf.NewKey has it. Folders are those of the
	// attempts to make it, in the directory of that ceremony and in each copy of it,
	// with Files files that its log knows of: the holder's folder may be there in
	// other ceremonies too, and an attempt's is not. Plans that a former version of
	// this program has agreed have none of them.
	KeyID   string   `json:"keyid,omitempty"`
	Folders []string `json:"folders,omitempty"`
	Files   int      `json:"files,omitempty"`
}

// IsOf reports whether it is the backup of a key of the trusted root, whose
// holder may be unnamed.
func (b EarlierBackup) IsOf(name string, public keys.PublicKey) bool {
	if b.KeyID == "" {
		return name != "" && Fold(name) == Fold(b.Holder)
	}
	key, err := tuf.NewKey(public)
	return err == nil && key.ID == b.KeyID
}

// SignedEarlier reports whether a key has signed, or may have, an abandoned draft
// of this version, or another root, in an earlier ceremony.
func (r *Plan) SignedEarlier(keyID string) bool {
	return slices.ContainsFunc(r.Earlier, func(e Earlier) bool { return slices.Contains(e.Signed, keyID) })
}

// EarlierWarnings says what people without a key can still open: the root keys of
// earlier ceremonies, for clients that trust an older root.
func (r *Plan) EarlierWarnings() []string {
	stays := map[string]bool{}
	for _, h := range r.Holders {
		stays[Fold(h.Name)] = true
	}
	if r.Backup != nil {
		for _, b := range r.Backup.Recipients {
			stays[Fold(b.Name)] = true
		}
	}
	var warnings []string
	for _, e := range r.Earlier {
		held := map[string]bool{}
		for _, b := range e.Backups {
			held[Fold(b.Holder)] = true
		}
		byWhom := map[string][]string{} // the same sentence for several keys is said once
		var order []string
		for _, b := range e.Backups {
			left := slices.DeleteFunc(slices.Clone(b.Recipients), func(name string) bool {
				// Without backups a plan names no recipients but its holders: the others have not left.
				return stays[Fold(name)] || r.Backup == nil && !held[Fold(name)]
			})
			text := ""
			switch {
			case len(left) >= b.Quorum:
				text = fmt.Sprintf("%s, with no key in this plan, can still open", Group{Any: b.Quorum, Of: left})
			case len(left) > 0:
				text = fmt.Sprintf("%s, with no key in this plan, can still open, together with %d of those who stay,", Counted(left, "and", "people"), b.Quorum-len(left))
			default:
				continue
			}
			if byWhom[text] == nil {
				order = append(order, text)
			}
			byWhom[text] = append(byWhom[text], b.Holder)
		}
		for _, text := range order {
			warnings = append(warnings, fmt.Sprintf("of the earlier ceremony %q: %s the backup of the root key of %s", e.Name, text, Counted(byWhom[text], "and", "holders")))
		}
	}
	return warnings
}

// Called tells an earlier ceremony from others of its name.
func (e Earlier) Called() string {
	if e.Version == 0 {
		return fmt.Sprintf("%q", e.Name)
	}
	return fmt.Sprintf("%q for root v%d", e.Name, e.Version)
}
