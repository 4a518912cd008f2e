package ceremony

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"rootceremony/keys"
)

// present makes faults of what a plan must say and does not, and fills in what
// it may leave out.
func (p *Plan) present() {
	p.missing("kind", p.Kind == "", `kind = "create"`)
	p.missing("name", p.Name == "", "the project's name, as in its root's announcement")
	if p.Kind == Revoke {
		p.missing("reason", p.Reason == "", `what has happened, as in reason = "the token A-01 was stolen"`)
	}
	if err := checkIncident(p.Kind, p.Incident); err != nil && !p.absent("incident") { // "" too
		p.fault("incident", "%v", err)
	}
	p.trustedPresent()
	p.tokenPresent()
	p.holdersPresent()
	p.rootPresent()
	for i, person := range p.Persons {
		path := element("person", i)
		p.missing(path+".name", person.Name == "", "the person's name")
		p.missing(path+".role", person.Role == "", "administrator, witness or scribe")
	}
	p.recipientsPresent()
	p.backupPresent()
	for _, name := range onlineRoles {
		p.rolePresent(name)
	}
}

// judge makes faults of the rules that the plan breaks. What was not read,
// which is so for a plan without its files, is not judged.
func (p *Plan) judge() {
	said := maps.Clone(p.said)
	for name, role := range p.Roles {
		for i := range role.Files {
			if len(role.Keys) == 0 {
				said[element("role."+name+".keys", i)] = true
			}
		}
	}
	if p.follows() && p.Chain == nil {
		said["trusted"] = true
		if p.absent("root.threshold") {
			said["root.threshold"] = true
		}
	}
	for _, b := range p.resolved().Rules(said) {
		p.said[b.Path] = true
		p.place(b.Path, b.Text)
	}
	for i, r := range p.Recipients {
		path := element("recipient", i) + ".name"
		if !slices.ContainsFunc(p.Backup.Recipients, func(s string) bool { return fold(s) == fold(r.Name) }) {
			p.fault(path, "recipient %q is not named in backup.recipients (hint: name it there, or leave it out here)", r.Name)
		}
	}
}

// follows tells whether the plan starts from a trusted root.
func (p *Plan) follows() bool { return follows(p.Kind) }

// absent tells whether the plan does not say anything at this path.
func (p *Plan) absent(path string) bool {
	_, there := p.where[path]
	return !there
}

// trustedPresent checks what is about the trusted root without reading it.
func (p *Plan) trustedPresent() {
	if !p.follows() {
		return
	}
	if !p.missing("trusted", p.Trusted == "", `trusted = "trusted", the folder of the published roots, each as N.root.json`) {
		if err := checkShown(p.Trusted, maxTrustedPath); err != nil {
			p.fault("trusted", "trusted %v", err)
		}
		// PlanFiles puts another path in the place of this line's.
		if at := p.Data[p.where["trusted"].value:]; bytes.HasPrefix(at, []byte(`"""`)) || bytes.HasPrefix(at, []byte("'''")) {
			p.fault("trusted", "trusted is a path in one line, between single quotes or double ones")
		}
	}
	seen := map[string]bool{}
	for i := range p.Drops {
		d, path := &p.Drops[i], element("drop", i)
		p.missing(path+".keyid", d.KeyID == "", "the id of the key in the trusted root; "+Command("show", "FILE")+" prints them")
		p.missing(path+".reason", d.Reason == "", "lost, stolen, compromised or retired")
		if !p.absent(path+".token") && d.Token == "" {
			p.fault(path+".token", "token is empty (hint: leave it out where it is not known)")
		}
		d.ID = dropID(d.KeyID, 8)
		if seen[d.ID] {
			d.ID = dropID(d.KeyID, maxID-len("old-"))
		}
		seen[d.ID] = true
	}
}

func (p *Plan) tokenPresent() {
	t := &p.Token
	if p.absent("token.algorithm") {
		t.Algorithm = keys.Ed25519
	}
	if p.absent("token.touch") {
		t.Touch = keys.TouchAlways
	}
	if p.absent("token.min_firmware") {
		t.MinFirmware = firmware[t.Algorithm].String()
	}
}

func (p *Plan) holdersPresent() {
	p.makeIDs()
	for i := range p.Holders {
		h, path := &p.Holders[i], element("holder", i)
		p.missing(path+".name", h.Name == "", "the holder's name")
		if p.absent(path + ".custody") {
			h.Custody = OnToken
			if h.KeyID != "" && p.follows() {
				h.Custody = Existing
			}
		}
		if h.Custody != Existing || !p.absent(path+".token") {
			p.missing(path+".token", h.Token == "", `the sticker on the holder's token, as in token = "A-01"`)
		}
		if h.Custody == Existing && p.follows() {
			p.missing(path+".keyid", h.KeyID == "", "the id of the key in the trusted root; "+Command("show", "FILE")+" prints them")
		}
	}
}

func (p *Plan) rootPresent() {
	if !p.follows() || !p.absent("root.threshold") { // else as in the trusted root
		p.missing("root.threshold", false, "how many holders must sign a root")
	}
	if !p.missing("root.expires", p.Root.Expires == "", `expires = "365d", or a time such as "2027-11-22T00:00:00Z"`) {
		if _, err := expiry(p.Root.Expires, minClock); err != nil {
			p.fault("root.expires", "%v", err)
		}
	}
}

// recipientsPresent gives recipients without an id one made from their name,
// and age recipients the form in which they are agreed.
func (p *Plan) recipientsPresent() {
	for i := range p.Recipients {
		r, path := &p.Recipients[i], element("recipient", i)
		p.missing(path+".name", r.Name == "", "the recipient's name")
		if p.absent(path + ".id") {
			r.ID = slug(r.Name)
		} else if r.ID == "" {
			p.fault(path+".id", "id is empty (hint: leave it out to have it made from the name)")
		}
		if parsed, err := parseAge(r.Name, r.Age); err == nil {
			r.Age = parsed.Text
		}
	}
}

// rolePresent checks what [role.NAME] says and which key files it names.
func (p *Plan) rolePresent(name string) {
	role, there := p.Roles[name]
	if !there {
		return
	}
	path := "role." + name
	if !p.missing(path+".keys", len(role.Files) == 0, `keys = ["keys/`+name+`.pub"]`) {
		for i, file := range role.Files {
			if err := checkKeyFile(file); err != nil {
				p.fault(element(path+".keys", i), "key file %v", err)
			}
		}
	}
	p.missing(path+".threshold", false, "threshold = 1")
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
