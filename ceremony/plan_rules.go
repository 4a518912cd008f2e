package ceremony

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"rootceremony/ceremony/record"
	"rootceremony/keys"
)

// firmware is what a token needs at least to sign with an algorithm and to
// attest its keys: 5.7 brought ed25519, 5.4.2 AES management keys.
var firmware = map[keys.Algorithm]keys.Firmware{
	keys.Ed25519: {Major: 5, Minor: 7, Patch: 0},
	keys.P256:    {Major: 5, Minor: 4, Patch: 2},
}

// rules checks what the decoded values mean and fills in what is absent.
func (p *Plan) rules() {
	if !p.missing("kind", p.Kind == "", `kind = "create"`) && !slices.Contains([]string{Create, Rotate, Revoke}, p.Kind) {
		p.fault("kind", "kind %q is none of %s, %s, %s", p.Kind, Create, Rotate, Revoke)
	}
	if !p.missing("name", p.Name == "", "the project's name, as in its root's announcement") {
		p.check("name", "name", p.Name, checkName)
	}
	p.check("reason", "reason", p.Reason, checkOptional)
	if p.Kind == Revoke {
		p.missing("reason", p.Reason == "", `what has happened, as in reason = "the token A-01 was stolen"`)
	}
	p.incidentRules()
	p.trustedRules()
	p.tokenRules()
	p.holderRules()
	p.rootRules()
	p.personRules()
	p.recipientRules()
	for _, name := range onlineRoles {
		p.roleRules(name)
	}
}

// check makes a fault of what is wrong with a value.
func (p *Plan) check(path, label, value string, wrong func(string) error) {
	if err := wrong(value); err != nil {
		p.fault(path, "%s %v", label, err)
	}
}

// incidentRules checks what the plan says has happened.
func (p *Plan) incidentRules() {
	if !p.absent("incident") && !p.said["incident"] {
		if err := checkIncident(p.Kind, p.Incident); err != nil {
			p.fault("incident", "%v", err)
		}
	}
	if !p.absent("compromised") {
		if err := checkCompromised(p.Incident, p.Compromised); err != nil {
			p.fault("compromised", "%v", err)
		}
	}
}

func checkIncident(kind string, i record.Incident) error {
	switch {
	case kind == Rotate:
		return fmt.Errorf("incident is for %s: nothing has happened that calls for a %s", Revoke, kind)
	case !i.Known():
		return fmt.Errorf("incident %q is none of %s", i, knownIncidents())
	case kind == Create && !i.Breaks():
		return fmt.Errorf("incident %q is for %s: a new chain is called for by %s and %s only", i, Revoke, record.QuorumLost, record.QuorumStolen)
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
		if !slices.Contains(onlineRoles, role) || slices.Contains(roles[:n], role) {
			return fmt.Errorf("compromised: %q is none of %s, or is there twice", role, strings.Join(onlineRoles, ", "))
		}
	}
	if len(roles) == 0 {
		return errors.New("compromised is empty (hint: leave it out where the roles are not known)")
	}
	return nil
}

func (p *Plan) rootRules() {
	n := len(p.Holders)
	switch t := p.Root.Threshold; {
	case p.follows() && p.absent("root.threshold"): // as in the trusted root
	case p.missing("root.threshold", false, "how many holders must sign a root"):
	case t < 1:
		p.fault("root.threshold", "threshold %d: at least 1 holder must sign", t)
	case t > n:
		p.fault("root.threshold", "threshold %d is more than there are holders (%d)", t, n)
	}
	if !p.missing("root.expires", p.Root.Expires == "", `expires = "365d", or a time such as "2027-11-22T00:00:00Z"`) {
		if _, err := expiry(p.Root.Expires, minClock); err != nil {
			p.fault("root.expires", "%v", err)
		}
	}
}

func (p *Plan) tokenRules() {
	t := &p.Token
	if p.absent("token.algorithm") {
		t.Algorithm = keys.Ed25519
	}
	least, known := firmware[t.Algorithm]
	if !known {
		p.fault("token.algorithm", "algorithm %q is none of %s, %s", t.Algorithm, keys.Ed25519, keys.P256)
	}
	if p.absent("token.touch") {
		t.Touch = keys.TouchAlways
	}
	if t.Touch != keys.TouchAlways && t.Touch != keys.TouchCached {
		p.fault("token.touch", "touch %q is none of %s, %s", t.Touch, keys.TouchAlways, keys.TouchCached)
	}
	if p.absent("token.min_firmware") {
		t.MinFirmware = least.String()
	}
	switch asked, err := ParseFirmware(t.MinFirmware); {
	case err != nil:
		p.fault("token.min_firmware", "min_firmware %v", err)
	case known && asked.Less(least):
		p.fault("token.min_firmware", "min_firmware %s is too old: %s keys need %s", asked, t.Algorithm, least)
	}
}

// absent tells whether the plan does not say anything at this path.
func (p *Plan) absent(path string) bool {
	_, there := p.where[path]
	return !there
}

func (p *Plan) holderRules() {
	if len(p.Holders) == 0 {
		p.fault("holder", "there are no holders (hint: a [[holder]] for each, with name and token)")
	}
	p.makeIDs()
	ids, names, tokens := map[string]string{}, map[string]bool{}, map[string]string{}
	for i := range p.Holders {
		h, path := &p.Holders[i], element("holder", i)
		if !p.missing(path+".name", h.Name == "", "the holder's name") {
			p.check(path+".name", "name", h.Name, checkName)
			if names[fold(h.Name)] {
				p.fault(path+".name", "holder %q is there twice (hint: tell two people of one name apart in the name)", h.Name)
			}
			names[fold(h.Name)] = true
		}
		if h.ID == "" && !p.said[path+".name"] {
			p.fault(path+".id", "no id can be made from the name %q (hint: add id = \"...\", 1 to 32 of a-z, 0-9 and -)", h.Name)
		} else if h.ID != "" {
			p.check(path+".id", "id", h.ID, checkID)
			if other, twice := ids[fold(h.ID)]; twice && !p.said[path+".name"] {
				p.fault(path+".id", "holder %q has the same id %q as %q (hint: give one of them another id)", h.Name, h.ID, other)
			}
			ids[fold(h.ID)] = h.Name
		}
		if p.absent(path+".custody") && h.KeyID != "" && p.follows() {
			h.Custody = Existing
		}
		if h.Custody == Existing && p.absent(path+".token") {
			// Whatever signs with the key is found by the key.
		} else if !p.missing(path+".token", h.Token == "", `the sticker on the holder's token, as in token = "A-01"`) {
			p.check(path+".token", "token", h.Token, checkSticker)
			if other, twice := tokens[fold(h.Token)]; twice {
				p.fault(path+".token", "token %q is the sticker of %q already (hint: a sticker of its own for each token)", h.Token, other)
			}
			tokens[fold(h.Token)] = h.Name
		}
		p.check(path+".site", "site", h.Site, checkOptional)
		p.custodyRules(h, path)
	}
}

func (p *Plan) custodyRules(h *Holder, path string) {
	if p.absent(path+".custody") && h.Custody == "" {
		h.Custody = OnToken
	}
	switch h.Custody {
	case OnToken:
	case BackedUp:
		if p.Backup.Quorum == 0 && !p.said["backup.quorum"] {
			p.fault(path+".custody", "custody %q needs backups, but the backup quorum is 0 (hint: [backup] with quorum and recipients, or custody %q)", BackedUp, OnToken)
		}
	case Existing:
		if !p.follows() {
			p.fault(path+".custody", "custody %q is for rotate and revoke: create starts from no root", Existing)
		} else if !p.missing(path+".keyid", h.KeyID == "", "the id of the key in the trusted root; "+Command("show", "FILE")+" prints them") {
			p.check(path+".keyid", "keyid", h.KeyID, checkKeyID)
		}
	default:
		p.fault(path+".custody", "custody %q is none of %s, %s, %s", h.Custody, OnToken, BackedUp, Existing)
	}
	if h.KeyID != "" && h.Custody != Existing && !p.said[path+".custody"] {
		p.fault(path+".keyid", "keyid is for custody %q only", Existing)
	}
	if h.Spare && h.Custody != BackedUp {
		p.fault(path+".spare", "a spare token needs custody %q: a key that never leaves its token has no second one", BackedUp)
	}
}

// makeIDs gives holders without an id one made from their first name, or from
// the whole name where two first names are the same.
func (p *Plan) makeIDs() {
	taken := map[string]int{}
	first := func(h Holder) string {
		name, _, _ := strings.Cut(h.Name, " ")
		return slug(name)
	}
	for _, h := range p.Holders {
		taken[cmp.Or(fold(h.ID), first(h))]++
	}
	for i := range p.Holders {
		h := &p.Holders[i]
		if !p.absent(element("holder", i) + ".id") {
			if h.ID == "" {
				p.fault(element("holder", i)+".id", "id is empty (hint: leave it out to have it made from the name)")
			}
			continue
		}
		h.ID = first(*h)
		if taken[h.ID] > 1 {
			h.ID = slug(h.Name)
		}
	}
}

// slug is a name as an id: lower-case ASCII letters and digits, with "-" for
// spaces. It is empty where the name has other letters, as leaving those out
// would make ids that nobody recognises.
func slug(name string) string {
	var b strings.Builder
	for _, r := range fold(name) {
		switch {
		case r >= utf8.RuneSelf:
			return ""
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			b.WriteRune(r)
		case r == ' ' || r == '-':
			b.WriteByte('-')
		}
	}
	id := strings.Trim(b.String(), "-")
	if checkID(id) != nil {
		return ""
	}
	return id
}

// fold is a text as people compare it: without regard to case, to spaces, and
// to the several ways in which Unicode writes what looks the same.
func fold(s string) string {
	upper := strings.ToUpper(norm.NFKC.String(strings.Join(strings.Fields(s), " ")))
	return norm.NFKC.String(strings.ToLower(upper))
}

func (p *Plan) personRules() {
	for i, person := range p.Persons {
		path := element("person", i)
		if !p.missing(path+".name", person.Name == "", "the person's name") {
			p.check(path+".name", "name", person.Name, checkName)
		}
		if !p.missing(path+".role", person.Role == "", "administrator, witness or scribe") {
			p.check(path+".role", "role", person.Role, checkPersonRole)
		}
	}
}

func (p *Plan) roleRules(name string) {
	role, there := p.Roles[name]
	path := "role." + name
	if !there && p.follows() {
		return // as in the trusted root
	}
	if !there {
		p.fault(path, "[%s] is missing (hint: threshold and keys of the %s role)", path, name)
		return
	}
	if !p.missing(path+".keys", len(role.Files) == 0, `keys = ["keys/`+name+`.pub"]`) {
		for i, file := range role.Files {
			p.check(element(path+".keys", i), "key file", file, checkKeyFile)
		}
	}
	switch t, n := role.Threshold, len(role.Files); {
	case p.missing(path+".threshold", false, "threshold = 1"):
	case t < 1:
		p.fault(path+".threshold", "threshold %d: at least 1 key must sign", t)
	case t > n && n > 0:
		p.fault(path+".threshold", "threshold %d is more than there are keys (%d)", t, n)
	}
}

// What names and stickers may be: in characters.
const (
	maxName    = 80
	maxSticker = 32
	maxID      = 32
)

// checkName refuses names that cannot be shown as they are: the error follows
// the word for what it is a name of.
func checkName(s string) error { return checkShown(s, maxName) }

// checkSticker refuses stickers that not every keyboard can type, or that are
// commands in plain mode.
func checkSticker(s string) error {
	for _, r := range s {
		if r > unicode.MaxASCII {
			return fmt.Errorf("%q holds the character %U: a sticker has plain letters, digits and signs (ASCII) only", s, r)
		}
	}
	if strings.HasPrefix(s, ":") {
		return fmt.Errorf("%q begins with a colon, as commands do", s)
	}
	return checkShown(s, maxSticker)
}

// checkOptional is checkName for what may be left out.
func checkOptional(s string) error {
	if s == "" {
		return nil
	}
	return checkName(s)
}

func checkShown(s string, most int) error {
	if !utf8.ValidString(s) {
		return errors.New("is not UTF-8 text")
	}
	if n := utf8.RuneCountInString(s); n > most {
		return fmt.Errorf("has %d characters: at most %d", n, most)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
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

func checkID(s string) error {
	if !idForm.MatchString(s) {
		return fmt.Errorf("%q is not 1 to %d of a-z, 0-9 and -, beginning with a letter or digit", s, maxID)
	}
	return nil
}

func checkPersonRole(s string) error {
	if !slices.Contains([]string{"administrator", "witness", "scribe"}, s) {
		return fmt.Errorf("%q is none of administrator, witness, scribe", s)
	}
	return nil
}

// checkKeyFile refuses paths that lead out of the plan's folder. Links are for
// os.Root to judge.
func checkKeyFile(s string) error {
	if err := checkShown(s, 255); err != nil {
		return err
	}
	if !filepath.IsLocal(s) {
		return fmt.Errorf("%q is outside the plan's folder (hint: copy it into the folder)", s)
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
