package agreed

import (
	"fmt"
	"regexp"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// EveryHolder is what backup.recipients says for the holders' tokens.
const EveryHolder = "holders"

// ParseAge reads an age recipient. Errors never hold the text, which may be a
// secret in the wrong place.
func ParseAge(name, text string) (keys.Recipient, error) {
	r, err := keys.ParseRecipient(name, text)
	if err == nil && r.Kind == keys.RecipientPassphrase {
		return keys.Recipient{}, fmt.Errorf("recipient %q has the word passphrase for an age recipient (hint: passphrase = true, instead of age)", name)
	}
	return r, err
}

// Openers is how many recipients each holder's backups have; 0 without
// backups.
func (r *Plan) Openers() int {
	switch b := r.Backup; {
	case b == nil:
		return 0
	case b.Holders:
		return len(r.Holders) - 1 + len(b.Recipients)
	default:
		return len(b.Recipients)
	}
}

// tooFew reports whether fewer people than the threshold could sign by opening
// backups. Those of keys that stay are none of this plan's: their holders come.
func (r *Plan) tooFew() bool {
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

// CheckQuorum refuses a quorum that cannot come together, that takes too many
// files, or that lets fewer people sign than the threshold asks for.
func (r *Plan) CheckQuorum() error {
	if r.Backup == nil {
		return nil
	}
	q, n := r.Backup.Quorum, r.Openers()
	switch {
	case q < 1:
		return fmt.Errorf("quorum %d: at least 1 recipient must open a backup", q)
	case r.Unseen:
		return nil
	case q > n && r.Backup.Holders:
		return fmt.Errorf("quorum %d is more than the recipients of a holder's backup, %d: no holder is a recipient of their own (hint: %s)", q, n, r.otherQuorum())
	case q > n:
		return fmt.Errorf("quorum %d is more than there are recipients, %d (hint: %s)", q, n, r.otherQuorum())
	case r.tooFew():
		return fmt.Errorf("%s: the backup quorum (%d) is below the threshold (%d) (hint: %s)", r.byBackup().could(true, Custody{Of: r.custodyOf()}.signed()), q, r.Threshold, r.otherQuorum())
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
func (r *Plan) otherQuorum() string {
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
		return fmt.Sprintf("quorum %s would do, or at most %d recipients with quorum %d", tuf.Listed(fit, "or"), most, max(r.Backup.Quorum, r.Threshold))
	}
	return fmt.Sprintf("quorum %s would do", tuf.Listed(fit, "or"))
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

// AttemptForm is the name of a folder of backups: every try to make a key has
// its own, so that the files of two never meet.
var AttemptForm = regexp.MustCompile(`^[0-9a-f]{8}$`)

// BackupsDir is where age files are, in the ceremony directory: a folder for
// each holder, and in it one for each attempt.
const BackupsDir = "private/backups"

func BackupFolder(holder, attempt string) string {
	return BackupsDir + "/" + holder + "/" + attempt
}
