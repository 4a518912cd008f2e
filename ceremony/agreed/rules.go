package agreed

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rootceremony/ceremony/record"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Broken is a rule that a plan breaks, and at which value: by the path that
// the value has in plan.toml, "holder[2].name", elements counted from 0.
type Fault struct{ Path, Text string }

// Said has the paths that have a fault. One fault explains what else is wrong
// with a value, and with all that is in a table.
type Said map[string]bool

// Of reports whether a value or a table around it has a fault.
func (s Said) Of(path string) bool {
	for at := path; at != ""; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		if s[at] {
			return true
		}
	}
	return false
}

// ruling finds what is wrong with a plan.
type ruling struct {
	*Plan
	said   Said
	broken []Fault
}

// Rules returns what makes the plan impossible, but for values that are known
// to be wrong. It adds the paths of what it returns to said.
//
// It parses the trusted root and brings key objects into their plain form.
func (r *Plan) Rules(said Said) []Fault {
	c := &ruling{Plan: r, said: said}
	c.what()
	c.token()
	c.holders()
	c.drops()
	c.root()
	c.persons()
	c.recipients()
	c.lookalikes()
	c.trusted()
	c.roles()
	c.targets()
	c.trustedKeys()
	c.dropIDs()
	c.earlier()
	c.quorum()
	return c.broken
}

func (c *ruling) fault(path, format string, args ...any) {
	if !c.said.Of(path) {
		c.said[path] = true
		c.broken = append(c.broken, Fault{path, fmt.Sprintf(format, args...)})
	}
}

// check makes a fault of what is wrong with a value.
func (c *ruling) check(path, label, value string, wrong func(string) error) {
	if err := wrong(value); err != nil {
		c.fault(path, "%s %v", label, err)
	}
}

// Element is the path of an element of a list.
func Element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// Follows reports whether a plan of that kind starts from a trusted root.
func Follows(kind string) bool { return kind == Rotate || kind == Revoke }

// what checks which ceremony it is, and why.
func (c *ruling) what() {
	if !slices.Contains([]string{Create, Rotate, Revoke}, c.Kind) {
		c.fault("kind", "kind %q is none of %s, %s, %s", c.Kind, Create, Rotate, Revoke)
	}
	c.check("name", "name", c.Name, CheckName)
	if c.Reason != "" {
		c.check("reason", "reason", c.Reason, func(s string) error { return CheckShown(s, maxName) })
	}
	if c.Kind == Revoke && c.Reason == "" {
		c.fault("reason", "reason is missing")
	}
	if c.Incident != "" {
		if err := CheckIncident(c.Kind, c.Incident); err != nil {
			c.fault("incident", "%v", err)
		}
	}
	if c.Compromised != nil {
		if err := checkCompromised(c.Incident, c.Compromised); err != nil {
			c.fault("compromised", "%v", err)
		}
	}
	if !Follows(c.Kind) && c.Trusted != nil {
		c.fault("trusted", "trusted is for rotate and revoke: create starts from no root")
	}
	if Follows(c.Kind) && c.Trusted == nil {
		c.fault("trusted", "trusted is missing")
	}
	if !Follows(c.Kind) && c.Version != 1 {
		c.fault("version", "version %d: create makes version 1", c.Version)
	}
}

func (c *ruling) token() {
	t := c.Token
	least, known := Firmware[t.Algorithm]
	if !known {
		c.fault("token.algorithm", "algorithm %q is none of %s, %s", t.Algorithm, keys.Ed25519, keys.P256)
	}
	if t.Touch != keys.TouchAlways && t.Touch != keys.TouchCached {
		c.fault("token.touch", "touch %q is none of %s, %s", t.Touch, keys.TouchAlways, keys.TouchCached)
	}
	switch asked, err := ParseFirmware(t.MinFirmware); {
	case err != nil:
		c.fault("token.min_firmware", "min_firmware %v", err)
	case known && asked.Less(least):
		c.fault("token.min_firmware", "min_firmware %s is too old: %s keys need %s", asked, t.Algorithm, least)
	}
}

func (c *ruling) holders() {
	if len(c.Holders) == 0 {
		c.fault("holder", "there are no holders (hint: a [[holder]] for each, with name and token)")
	}
	ids, names, tokens := map[string]string{}, map[string]bool{}, map[string]string{}
	for i, h := range c.Holders {
		path := Element("holder", i)
		if !c.said.Of(path + ".name") {
			c.check(path+".name", "name", h.Name, CheckName)
			if names[Fold(h.Name)] {
				c.fault(path+".name", "holder %q is there twice (hint: tell two people of one name apart in the name)", h.Name)
			}
			names[Fold(h.Name)] = true
		}
		if h.ID == "" && !c.said.Of(path+".name") {
			c.fault(path+".id", "no id can be made from the name %q (hint: add id = \"...\", 1 to 32 of a-z, 0-9 and -)", h.Name)
		} else if h.ID != "" {
			c.check(path+".id", "id", h.ID, CheckID)
			if other, twice := ids[Fold(h.ID)]; twice && !c.said.Of(path+".name") {
				c.fault(path+".id", "holder %q has the same id %q as %q (hint: give one of them another id)", h.Name, h.ID, other)
			}
			ids[Fold(h.ID)] = h.Name
		}
		if h.Token != "" || h.Custody != Existing { // whatever signs with an existing key is found by the key
			c.check(path+".token", "token", h.Token, CheckSticker)
			if other, twice := tokens[Fold(h.Token)]; twice {
				c.fault(path+".token", "token %q is the sticker of %q already (hint: a sticker of its own for each token)", h.Token, other)
			}
			if h.Token != "" {
				tokens[Fold(h.Token)] = h.Name
			}
		}
		c.check(path+".site", "site", h.Site, checkOptional)
		c.custody(h, path)
	}
}

func (c *ruling) custody(h Holder, path string) {
	switch h.Custody {
	case OnToken:
	case BackedUp:
		if c.Backup == nil && !c.said.Of("backup.quorum") {
			c.fault(path+".custody", "custody %q needs backups, but the backup quorum is 0 (hint: [backup] with quorum and recipients, or custody %q)", BackedUp, OnToken)
		}
	case Existing:
		if !Follows(c.Kind) {
			c.fault(path+".custody", "custody %q is for rotate and revoke: create starts from no root", Existing)
		} else {
			c.check(path+".keyid", "keyid", h.KeyID, checkKeyID)
		}
	default:
		c.fault(path+".custody", "custody %q is none of %s, %s, %s", h.Custody, OnToken, BackedUp, Existing)
	}
	if h.KeyID != "" && h.Custody != Existing && !c.said.Of(path+".custody") {
		c.fault(path+".keyid", "keyid is for custody %q only", Existing)
	}
	if h.Spare && h.Custody != BackedUp {
		c.fault(path+".spare", "a spare token needs custody %q: a key that never leaves its token has no second one", BackedUp)
	}
}

// drops checks the entries for dropped keys, each by itself.
func (c *ruling) drops() {
	for i, d := range c.Drops {
		path := Element("drop", i)
		if !Follows(c.Kind) {
			c.fault(path, "[[drop]] is for rotate and revoke: create starts from no root")
			continue
		}
		c.check(path+".keyid", "keyid", d.KeyID, checkKeyID)
		c.check(path+".reason", "reason", d.Reason, checkDropReason)
		c.check(path+".name", "name", d.Name, checkOptional)
		if d.Token != "" {
			c.check(path+".token", "token", d.Token, CheckSticker)
			if i := slices.IndexFunc(c.Holders, func(h Holder) bool { return h.Token != "" && Fold(h.Token) == Fold(d.Token) }); i >= 0 {
				c.fault(path+".token", "token %q is the sticker of %q already (hint: a new sticker for a new token; the old one signs before it is reset)", d.Token, c.Holders[i].Name)
			}
		}
	}
}

// dropIDs checks the names of dropped keys in files and prompts.
func (c *ruling) dropIDs() {
	ids := map[string]bool{}
	for _, h := range c.Holders {
		ids[h.ID] = true
	}
	for i, d := range c.Drops {
		made := d.ID == DropID(d.KeyID, 8) || d.ID == DropID(d.KeyID, MaxID-len("old-"))
		if !made || CheckID(d.ID) != nil || ids[d.ID] {
			c.fault(Element("drop", i)+".id", "the id %q of a dropped key is not one of this plan, or is there twice", d.ID)
		}
		ids[d.ID] = true
	}
}

func (c *ruling) root() {
	switch t, n := c.Threshold, len(c.Holders); {
	case t < 1:
		c.fault("root.threshold", "threshold %d: at least 1 holder must sign", t)
	case t > n:
		c.fault("root.threshold", "threshold %d is more than there are holders (%d)", t, n)
	}
}

func (c *ruling) persons() {
	for i, person := range c.Persons {
		path := Element("person", i)
		c.check(path+".name", "name", person.Name, CheckName)
		c.check(path+".role", "role", person.Role, checkPersonRole)
	}
}

// recipients checks who the recipients of backups are.
func (c *ruling) recipients() {
	if c.Backup == nil || c.Unseen {
		return
	}
	ids, names, texts := map[string]string{}, map[string]bool{}, map[string]string{}
	holders := map[string]bool{} // by name
	for _, h := range c.Holders {
		ids[Fold(h.ID)] = "holder " + strconv.Quote(h.Name)
		holders[Fold(h.Name)] = true
	}
	for i, r := range c.Backup.Recipients {
		path := Element("recipient", i)
		if !c.said.Of(path + ".name") {
			c.check(path+".name", "name", r.Name, CheckName)
			switch name := Fold(r.Name); {
			case name == EveryHolder:
				c.fault(path+".name", "recipient %q would mean the holders (hint: another name)", r.Name)
			case holders[name]:
				c.fault(path+".name", "recipient %q is a holder: holders are recipients all together (hint: recipients = [\"holders\"])", r.Name)
			case names[name]:
				c.fault(path+".name", "recipient %q is there twice", r.Name)
			}
			names[Fold(r.Name)] = true
		}
		if r.ID == "" && !c.said.Of(path+".name") {
			c.fault(path+".id", "no id can be made from the name %q (hint: add id = \"...\", 1 to 32 of a-z, 0-9 and -)", r.Name)
		} else if r.ID != "" {
			c.check(path+".id", "id", r.ID, CheckID)
			if other, twice := ids[Fold(r.ID)]; twice && !c.said.Of(path+".name") {
				c.fault(path+".id", "recipient %q has the same id %q as %s: file names would not tell them apart (hint: give one of them another id)", r.Name, r.ID, other)
			}
			ids[Fold(r.ID)] = "recipient " + strconv.Quote(r.Name)
		}
		c.check(path+".site", "site", r.Site, checkOptional)
		c.opens(r, path, texts)
	}
}

// opens checks how a recipient opens what is for it. texts has the age
// recipients so far, and whose they are.
func (c *ruling) opens(r BackupRecipient, path string, texts map[string]string) {
	if (r.Age == "") == !r.Passphrase {
		c.fault(path, "recipient %q needs either age = \"age1...\" or passphrase = true", r.Name)
		return
	}
	if r.Passphrase || c.said.Of(path+".age") {
		return
	}
	parsed, err := ParseAge(r.Name, r.Age)
	switch other, twice := texts[r.Age]; {
	case err != nil:
		c.fault(path+".age", "%v", err)
	case parsed.Text != r.Age:
		c.fault(path+".age", "the age recipient of %q is not as it was written", r.Name)
	case twice:
		c.fault(path+".age", "recipient %q is the same as %q: one identity would count as two", r.Name, other)
	}
	texts[r.Age] = r.Name
}

// quorum checks the number of recipients, the quorum and the threshold
// together, once each is known to be good.
func (c *ruling) quorum() {
	for path := range c.said {
		if strings.HasPrefix(path, "backup") || strings.HasPrefix(path, "recipient") || strings.HasPrefix(path, "holder") || path == "root" || path == "root.threshold" {
			return // what would be said here may come of that
		}
	}
	if err := c.CheckQuorum(); err != nil {
		c.fault("backup.quorum", "%v", err)
	}
	if c.Targets == nil || c.Backup == nil || c.Unseen || c.said.Of("role.targets.threshold") || c.said.Of("role.targets.keys") {
		return
	}
	if part := c.ofTargets(); part.tooFew() {
		c.fault("backup.quorum", "%s: the backup quorum (%d) is below the threshold of targets (%d)", part.byBackup().could(true, "any package"), part.Backup.Quorum, part.Threshold)
	}
}

func (c *ruling) roles() {
	for name := range c.Roles {
		if !slices.Contains(OnlineRoles, name) {
			c.fault("role."+name, "a role %q", name)
		}
	}
	for _, name := range OnlineRoles {
		role, there := c.Roles[name]
		path := "role." + name
		if !there {
			if !Follows(c.Kind) {
				c.fault(path, "[%s] is missing (hint: threshold and keys of the %s role)", path, name)
			}
			continue // as in the trusted root
		}
		if role.Holders != nil {
			if name != tuf.RoleTargets || role.Keys == nil || len(role.Keys) > 0 {
				c.fault(path+".keys", "holders can have the keys of targets alone, and all of them")
			}
			c.signers(path, role.Holders, role.Threshold)
			continue
		}
		seen := map[string]bool{}
		for i, key := range role.Keys {
			at := Element(path+".keys", i)
			if c.said.Of(at) {
				continue
			}
			is, err := c.InRoot(key)
			if err == nil && seen[is.Value()] {
				err = errors.New("it is there twice")
			}
			if err != nil {
				c.fault(at, "key %d: %v", i+1, err)
				continue
			}
			seen[is.Value()] = true
			role.Keys[i] = is
		}
		c.checkThreshold(path, role.Threshold, len(role.Keys))
	}
}

// checkThreshold holds the threshold of a role to the number of its keys.
func (c *ruling) checkThreshold(path string, threshold, keys int) {
	switch {
	case keys == 0:
		c.fault(path+".keys", "keys is empty")
	case threshold < 1:
		c.fault(path+".threshold", "threshold %d: at least 1 key must sign", threshold)
	case threshold > keys:
		c.fault(path+".threshold", "threshold %d is more than there are keys (%d)", threshold, keys)
	}
}

// trusted reads the root that the new one follows.
func (c *ruling) trusted() {
	if c.Trusted == nil || c.said.Of("trusted") {
		return
	}
	var err error
	if c.TrustedFile, err = c.Trusted.check(); err != nil {
		c.fault("trusted", "trusted root: %v", err)
	}
}

// trustedKeys holds the plan to the root that the new one follows: each of its
// root keys is a holder's, or dropped.
func (c *ruling) trustedKeys() {
	if c.TrustedFile == nil || c.said.Of("trusted") {
		return
	}
	root := c.TrustedFile.Root
	if c.Version != root.Version+1 {
		c.fault("version", "version %d does not follow version %d", c.Version, root.Version)
	}
	c.accounts(root)
	// What is wrong so far may be the reason for what would be said here.
	if len(c.said) > 0 {
		return
	}
	if need, able := root.Roles[tuf.RoleRoot].Threshold, c.able(root); able < need {
		c.fault(Element("drop", 0), "version %d must be signed by %d of its keys to be followed, and with these drops only %d can still sign: no client would accept the new root (hint: where a backup opens, restore the key first and drop it as retired; where none does, only a new chain is left: %s says how)",
			root.Version, need, able, Command("plan", "--kind", Revoke, "DIR"))
		return
	}
	makes := func(h Holder) bool { return h.Custody != Existing }
	if !slices.ContainsFunc(c.Holders, makes) && c.Backup != nil {
		c.fault("backup", "[backup] is for new keys, and no holder of this plan gets one (hint: leave it out; the backups of keys that stay are those of earlier ceremonies)")
	}
	c.duplicates(root)
}

func (c *ruling) accounts(root *tuf.Root) {
	role := root.Roles[tuf.RoleRoot]
	owner := map[string]string{}
	claim := func(path, id, who string) {
		if id == "" || c.said.Of(path) {
			return
		}
		if !slices.Contains(role.KeyIDs, id) {
			hint := "its root keys are " + strings.Join(shortened(role.KeyIDs), ", ")
			if i := slices.IndexFunc(role.KeyIDs, func(k string) bool { return strings.HasPrefix(k, strings.TrimRight(id, ".")) }); i >= 0 {
				hint = "write it in full: " + role.KeyIDs[i]
			}
			c.fault(path, "no root key of version %d has the id %q (hint: %s)", root.Version, id, hint)
			return
		}
		if other, twice := owner[id]; twice {
			c.fault(path, "the key %.8s is %s already", id, other)
		}
		owner[id] = who
	}
	values := root.Exposed()
	exposed := func(id string) bool { return values[ValueOf(root, id)] }
	for i, h := range c.Holders {
		if h.Custody == Existing {
			claim(Element("holder", i)+".keyid", h.KeyID, "that of "+strconv.Quote(h.Name))
			if key, _ := root.Key(h.KeyID); key.Unverifiable != "" {
				c.fault(Element("holder", i)+".keyid", "nothing that the key %.8s signs can be verified here: %s (hint: a new key for %s, and a [[drop]] of this one with reason = %q)", h.KeyID, key.Unverifiable, h.Name, Retired)
			}
			if exposed(h.KeyID) {
				c.fault(Element("holder", i)+".keyid", "the private half of the key %.8s stands in version %d itself, so that everybody can sign with it: it can't stay (hint: a new key for %s, and a [[drop]] of this one with reason = %q)", h.KeyID, root.Version, h.Name, Compromised)
			}
		}
	}
	for i, d := range c.Drops {
		claim(Element("drop", i)+".keyid", d.KeyID, "dropped")
		if exposed(d.KeyID) && d.Reason != Compromised && d.Reason != Stolen {
			c.fault(Element("drop", i)+".reason", "the private half of the key %.8s stands in version %d itself, so that everybody can sign with it (hint: reason = %q)", d.KeyID, root.Version, Compromised)
		}
	}
	for _, id := range role.KeyIDs {
		if owner[id] == "" {
			c.fault("trusted", "the root key %s of version %d is nobody's in this plan (hint: a [[holder]] with keyid = %q, or a [[drop]] with it and a reason)", id, root.Version, id)
			delete(c.said, "trusted") // each is said
			defer func() { c.said["trusted"] = true }()
		}
	}
}

// able is how many root keys of the trusted root can still sign, by value: a
// key under two ids signs once.
func (c *ruling) able(root *tuf.Root) int {
	able := map[string]bool{}
	for _, h := range c.Holders {
		if h.Custody == Existing {
			able[ValueOf(root, h.KeyID)] = true
		}
	}
	for _, d := range c.Drops {
		if d.Reason != Lost {
			able[ValueOf(root, d.KeyID)] = true
		}
	}
	for _, k := range root.Keys {
		if k.Unverifiable != "" {
			delete(able, k.Value())
		}
	}
	return len(able)
}

// duplicates: a root that we write has no key twice.
func (c *ruling) duplicates(root *tuf.Root) {
	ids := map[string]string{}
	for i, h := range c.Holders {
		if h.Custody != Existing {
			continue
		}
		key, _ := root.Key(h.KeyID)
		if other, twice := ids[key.Value()]; twice {
			c.fault(Element("holder", i)+".keyid", "the keys %.8s and %.8s of version %d are one and the same key (hint: drop one of the two)", other, h.KeyID, root.Version)
		}
		ids[key.Value()] = h.KeyID
	}
}

// earlier holds what the plan says of earlier ceremonies to what can be shown.
func (c *ruling) earlier() {
	for i, e := range c.Earlier {
		path := Element("earlier", i)
		sum, err := hex.DecodeString(e.Checkpoint)
		if e.Version < 0 {
			c.fault(path, "earlier ceremony %q: it cannot have made root v%d", e.Name, e.Version)
		}
		if err != nil || len(sum) != 32 || e.Backups == nil && !c.Unseen {
			c.fault(path, "earlier ceremony %q: its checkpoint is no SHA-256, or its backups are no list", e.Name)
		}
		c.check(path, "earlier ceremony: name", e.Name, CheckName)
		for _, id := range e.Signed {
			c.check(path, fmt.Sprintf("earlier ceremony %q: key id", e.Name), id, checkKeyID)
		}
		for _, b := range e.Backups {
			err := CheckName(b.Holder)
			for _, name := range b.Recipients {
				err = cmp.Or(err, CheckName(name))
			}
			where := b.KeyID == "" && b.Folders == nil || checkKeyID(b.KeyID) == nil
			for _, folder := range b.Folders {
				parts := strings.Split(strings.TrimPrefix(folder, BackupsDir+"/"), "/")
				where = where && len(parts) == 2 && CheckID(parts[0]) == nil && AttemptForm.MatchString(parts[1]) && folder == BackupFolder(parts[0], parts[1])
			}
			if err != nil || b.Recipients == nil || b.Quorum < 1 || !where || b.Files < 0 {
				c.fault(path, "earlier ceremony %q: the backup of %q cannot be", e.Name, b.Holder)
			}
		}
	}
}

// Check holds a Plan, which may come from a hostile file, to the rules and
// to the forms in which it is written.
func (r *Plan) Check() error {
	sum, err := hex.DecodeString(r.PlanSHA256)
	switch {
	case !r.Unseen && (err != nil || len(sum) != sha256.Size):
		return errors.New("plan_sha256 is not a SHA-256")
	case r.Persons == nil:
		return errors.New("persons is no list")
	case r.Backup != nil && r.Backup.Recipients == nil && !r.Unseen:
		return errors.New("backup: recipients is no list")
	case r.Roles == nil:
		return errors.New("roles is no table")
	case !wholeSeconds(r.Expires) || r.Targets != nil && !wholeSeconds(r.Targets.Expires):
		return errors.New("expires is not in UTC with whole seconds")
	case r.Targets != nil && r.Targets.Delegations == nil:
		return errors.New("targets: delegations is no list")
	}
	if broken := r.Rules(Said{}); len(broken) > 0 {
		return fmt.Errorf("%s: %s", broken[0].Path, broken[0].Text)
	}
	return nil
}

func wholeSeconds(t time.Time) bool {
	return !t.IsZero() && t.Nanosecond() == 0 && t.Location() == time.UTC
}

// Firmware is what a token needs at least to sign with an algorithm and to
// attest its keys: 5.7 brought ed25519, 5.4.2 AES management keys.
var Firmware = map[keys.Algorithm]keys.Firmware{
	keys.Ed25519: {Major: 5, Minor: 7, Patch: 0},
	keys.P256:    {Major: 5, Minor: 4, Patch: 2},
}

func CheckIncident(kind string, i record.Incident) error {
	switch {
	case kind == Rotate:
		return fmt.Errorf("incident is for %s: nothing has happened that calls for a %s", Revoke, kind)
	case !i.Known():
		return fmt.Errorf("incident %q is none of %s", i, knownIncidents())
	case kind == Create && !i.Breaks() && i != record.KeyPublished: // a threshold of which breaks a chain too
		return fmt.Errorf("incident %q is for %s: a new chain is called for by %s, %s and %s only", i, Revoke, record.QuorumLost, record.QuorumStolen, record.KeyPublished)
	}
	return nil
}

func knownIncidents() string {
	var all []string
	for _, i := range record.Incidents {
		all = append(all, string(i))
	}
	return strings.Join(all, ", ")
}

// checkCompromised holds the roles that an incident is about to its kind.
func checkCompromised(i record.Incident, roles []string) error {
	if i != record.RoleCompromised {
		return fmt.Errorf("compromised goes with incident = %q: it names the online roles whose keys others may have", record.RoleCompromised)
	}
	for n, role := range roles {
		if !slices.Contains(OnlineRoles, role) || slices.Contains(roles[:n], role) {
			return fmt.Errorf("compromised: %q is none of %s, or is there twice", role, strings.Join(OnlineRoles, ", "))
		}
	}
	if len(roles) == 0 {
		return errors.New("compromised is empty (hint: leave it out where the roles are not known)")
	}
	return nil
}

// What names and stickers may be: in characters.
const (
	maxName    = 80
	MaxSticker = 32
	MaxID      = 32
)

// CheckName refuses names that cannot be shown as they are, or whose letters
// others could be taken for: the error follows the word for what it is a name of.
func CheckName(s string) error { return cmp.Or(CheckShown(s, maxName), checkScripts(s)) }

// CheckSticker refuses stickers that not every keyboard can type, or that are
// commands in plain mode.
func CheckSticker(s string) error {
	for _, r := range s {
		if r > unicode.MaxASCII {
			return fmt.Errorf("%q holds the character %U: a sticker has plain letters, digits and signs (ASCII) only", s, r)
		}
	}
	if strings.HasPrefix(s, ":") {
		return fmt.Errorf("%q begins with a colon, as commands do", s)
	}
	return CheckShown(s, MaxSticker)
}

// checkOptional is checkName for what may be left out.
func checkOptional(s string) error {
	if s == "" {
		return nil
	}
	return CheckName(s)
}

func CheckShown(s string, most int) error {
	if !utf8.ValidString(s) {
		return errors.New("is not UTF-8 text")
	}
	if n := utf8.RuneCountInString(s); n > most {
		return fmt.Errorf("has %d characters: at most %d", n, most)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || invisible(r) {
			return fmt.Errorf("%q holds the character %U, which cannot be printed", s, r)
		}
	}
	if strings.TrimSpace(s) == "" {
		return errors.New("is empty")
	}
	if strings.TrimSpace(s) != s {
		return fmt.Errorf("%q begins or ends with a space", s)
	}
	return nil
}

var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func CheckID(s string) error {
	if !idForm.MatchString(s) {
		return fmt.Errorf("%q is not 1 to %d of a-z, 0-9 and -, beginning with a letter or digit", s, MaxID)
	}
	if s == "room" {
		return errors.New("\"room\" is what the record calls everybody together")
	}
	return nil
}

func checkPersonRole(s string) error {
	if !slices.Contains([]string{"administrator", "witness", "scribe"}, s) {
		return fmt.Errorf("%q is none of administrator, witness, scribe", s)
	}
	return nil
}

var firmwareForm = regexp.MustCompile(`^(\d{1,3})\.(\d{1,3})\.(\d{1,3})$`)

// ParseFirmware reads a firmware version such as "5.7.4".
func ParseFirmware(s string) (keys.Firmware, error) {
	m := firmwareForm.FindStringSubmatch(s)
	if m == nil {
		return keys.Firmware{}, fmt.Errorf("%q is not a version (hint: three numbers, as in \"5.7.0\")", s)
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // at most three digits
	}
	return keys.Firmware{Major: n[0], Minor: n[1], Patch: n[2]}, nil
}

// CheckExpiry refuses an expiry that no one can mean.
func CheckExpiry(expires, now time.Time) error {
	switch {
	case !expires.After(now):
		return fmt.Errorf("expires %s is in the past: it is %s now by this computer's clock", Stamp(expires), Stamp(now))
	case expires.After(now.AddDate(0, 0, maxDays)):
		return fmt.Errorf("expires %s is more than %d days ahead (hint: a year is usual)", Stamp(expires), maxDays)
	}
	return nil
}

// Elsewhere tells why no holder can enrol elsewhere for a plan.
func (r *Plan) Elsewhere() error {
	if r.Backup == nil {
		return nil
	}
	return errors.New("this plan has backups, and keys of such a plan are made in the room only: who opens a holder's backups is known there, and not elsewhere (hint: have the holder come, or agree a plan without backups)")
}

// Expiry reads RootPlan.Expires: a moment, or a number of days from now.
func Expiry(text string, now time.Time) (time.Time, error) {
	const hint = `(hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)`
	if digits, isDays := strings.CutSuffix(text, "d"); isDays {
		days := 0
		if _, err := fmt.Sscanf(digits, "%d", &days); err != nil || fmt.Sprint(days) != digits || days < 1 || days > maxDays {
			return time.Time{}, fmt.Errorf("expires %q is not a number of days from 1d to %dd", text, maxDays)
		}
		// From the end of the day, so that the digest read aloud is the same all day.
		return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, days+1), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("expires %q is not a time %s", text, hint)
	case at.Nanosecond() != 0 || strings.ContainsAny(text, ".,"):
		return time.Time{}, fmt.Errorf("expires %q has fractions of a second %s", text, hint)
	case !strings.HasSuffix(text, "Z"):
		return time.Time{}, fmt.Errorf("expires %q has an offset from UTC %s", text, hint)
	case at.Format(time.RFC3339) != text:
		return time.Time{}, fmt.Errorf("expires %q is not a time %s", text, hint)
	}
	return at.UTC(), nil
}
