package agreed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Private is what of an agreed plan isn't public: where tokens are kept, who
// opens which backups, now and of earlier ceremonies, and the SHA-256 of
// plan.toml, in which all of that stands.
//
// With a salt before its members it is private/plan.json. The public plan holds
// SHA-256(salt, private bytes), in hex as its member "private": the salt is its 32
// bytes, and the private bytes are the object without its salt, in the order of
// the file, with no white space between, and each text as the file has it.
type Private struct {
	PlanSHA256 string            `json:"plan_sha256"`       // of the bytes of plan.toml, in hex
	Sites      []Site            `json:"sites"`             // of the holders whose site the plan says, in its order
	Backup     *PrivateBackup    `json:"backup,omitempty"`  // there where the public plan has backups
	Earlier    [][]EarlierBackup `json:"earlier,omitempty"` // of each ceremony that the public plan names
}

// Site is where a holder's token is kept.
type Site struct {
	Holder string `json:"holder"` // id
	Site   string `json:"site"`
}

// PrivateBackup is who opens backups.
type PrivateBackup struct {
	Holders    bool              `json:"holders"`
	Recipients []BackupRecipient `json:"recipients"`
}

// salted is private/plan.json.
type salted struct {
	Salt string `json:"salt"`
	Private
}

// PrivatePart is what isn't public of the plan; nil where it was not seen.
func (r *Plan) PrivatePart() *Private {
	if r.Unseen {
		return nil
	}
	p := &Private{PlanSHA256: r.PlanSHA256, Sites: []Site{}}
	for _, h := range r.Holders {
		if h.Site != "" {
			p.Sites = append(p.Sites, Site{h.ID, h.Site})
		}
	}
	if b := r.Backup; b != nil {
		p.Backup = &PrivateBackup{b.Holders, b.Recipients}
	}
	for _, e := range r.Earlier {
		p.Earlier = append(p.Earlier, e.Backups)
	}
	return p
}

// PrivateJSON returns the bytes of private/plan.json, formed as those of
// JSON; nil where the private part was not seen.
func (r *Plan) PrivateJSON() []byte {
	if r.Unseen {
		return nil
	}
	return encoded(salted{r.Salt, *r.PrivatePart()})
}

// privateSum is the commitment that the public plan holds to the private part.
func (r *Plan) privateSum() string {
	salt, err := hex.DecodeString(r.Salt)
	if err != nil {
		panic(fmt.Sprintf("salt of a plan: %v", err)) // Resolve and Parse took care of it
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r.PrivatePart()); err != nil {
		panic(fmt.Sprintf("private part of a plan: %v", err))
	}
	sum := sha256.Sum256(append(salt, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...))
	return hex.EncodeToString(sum[:])
}

// takePrivate fills the plan from the bytes of private/plan.json, which may come
// from a hostile file.
func (r *Plan) takePrivate(data []byte) error {
	if len(data) > MaxResolved {
		return fmt.Errorf("over %d bytes", MaxResolved)
	}
	var p salted
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if err := CheckSalt(p.Salt); err != nil {
		return fmt.Errorf("its salt %w", err)
	}
	if len(p.Earlier) != len(r.Earlier) {
		return fmt.Errorf("it has the backups of %d earlier ceremonies, and the plan names %d", len(p.Earlier), len(r.Earlier))
	}
	r.Salt, r.PlanSHA256 = p.Salt, p.PlanSHA256
	for _, s := range p.Sites {
		if i := slices.IndexFunc(r.Holders, func(h Holder) bool { return h.ID == s.Holder }); i >= 0 {
			r.Holders[i].Site = s.Site
		}
	}
	if p.Backup != nil && r.Backup != nil {
		r.Backup.Holders, r.Backup.Recipients = p.Backup.Holders, p.Backup.Recipients
	}
	for i, backups := range p.Earlier {
		r.Earlier[i].Backups = backups
	}
	return nil
}

// isPrivate tells why the bytes are not the private part that the public plan
// names.
func (r *Plan) isPrivate(data []byte) error {
	if !bytes.Equal(r.PrivateJSON(), data) {
		return errors.New("not as it was written: a member is unknown, missing, twice or spelled another way")
	}
	if sum := r.privateSum(); sum != r.Commitment {
		return fmt.Errorf("it belongs to another plan: its salted SHA-256 is %s, and the plan names %s", sum, r.Commitment)
	}
	return nil
}

// CheckSalt refuses what is no salt. Errors follow a word for it, and never hold
// it.
func CheckSalt(s string) error {
	if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return errors.New("is not 64 digits of 0 to 9 and a to f")
	}
	return nil
}
