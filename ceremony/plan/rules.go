package plan

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// present makes faults of what a plan must say and does not, and fills in what
// it may leave out.
func (p *Plan) present() {
	p.missing("kind", p.Kind == "", `kind = "create"`)
	p.missing("name", p.Name == "", "the project's name, as in its root's announcement")
	if p.Kind == agreed.Revoke {
		p.missing("reason", p.Reason == "", `what has happened, as in reason = "the token A-01 was stolen"`)
	}
	if err := agreed.CheckSalt(p.Salt); err != nil && !p.absent("salt") {
		p.fault("salt", "salt %v", err)
	}
	if err := agreed.CheckIncident(p.Kind, p.Incident); err != nil && !p.absent("incident") { // "" too
		p.fault("incident", "%v", err)
	}
	p.trustedPresent()
	p.tokenPresent()
	p.holdersPresent()
	p.rootPresent()
	for i, person := range p.Persons {
		path := agreed.Element("person", i)
		p.missing(path+".name", person.Name == "", "the person's name")
		p.missing(path+".role", person.Role == "", "administrator, witness or scribe")
	}
	p.recipientsPresent()
	p.backupPresent()
	p.targetsPresent()
	for _, name := range agreed.OnlineRoles {
		p.rolePresent(name)
	}
}

// Judge makes faults of the rules that the plan breaks. What was not read,
// which is so for a plan without its files, is not judged.
func (p *Plan) Judge() {
	said := maps.Clone(p.said)
	unread := func(path string, files []string, read []tuf.Key) {
		for i := range files {
			if len(read) == 0 {
				said[agreed.Element(path+".keys", i)] = true
			}
		}
	}
	for name, role := range p.Roles {
		unread("role."+name, role.Files, role.Keys)
	}
	for i, d := range p.Delegations {
		unread(agreed.Element("delegation", i), d.Files, d.Keys)
	}
	if p.Targets != nil && p.Targets.File != "" && p.Carried == nil {
		said["targets.file"] = true
	}
	if p.Follows() && p.Chain == nil {
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
		path := agreed.Element("recipient", i) + ".name"
		if !slices.ContainsFunc(p.Backup.Recipients, func(s string) bool { return agreed.Fold(s) == agreed.Fold(r.Name) }) {
			p.fault(path, "recipient %q is not named in backup.recipients (hint: name it there, or leave it out here)", r.Name)
		}
	}
}

// Follows reports whether the plan starts from a trusted root.
func (p *Plan) Follows() bool { return agreed.Follows(p.Kind) }

// absent reports whether the plan does not say anything at this path.
func (p *Plan) absent(path string) bool {
	_, there := p.Where[path]
	return !there
}

// trustedPresent checks what is about the trusted root without reading it.
func (p *Plan) trustedPresent() {
	if !p.Follows() {
		return
	}
	if !p.missing("trusted", p.Trusted == "", `trusted = "trusted", the folder of the published roots, each as N.root.json`) {
		if err := agreed.CheckShown(p.Trusted, maxTrustedPath); err != nil {
			p.fault("trusted", "trusted %v", err)
		}
		// PlanFiles puts another path in the place of this line's.
		if at := p.Data[p.Where["trusted"].Value:]; bytes.HasPrefix(at, []byte(`"""`)) || bytes.HasPrefix(at, []byte("'''")) {
			p.fault("trusted", "trusted is a path in one line, between single quotes or double ones")
		}
	}
	seen := map[string]bool{}
	for i := range p.Drops {
		d, path := &p.Drops[i], agreed.Element("drop", i)
		p.missing(path+".keyid", d.KeyID == "", "the id of the key in the trusted root; "+agreed.Command("show", "FILE")+" prints them")
		p.missing(path+".reason", d.Reason == "", "lost, stolen, compromised or retired")
		if !p.absent(path+".token") && d.Token == "" {
			p.fault(path+".token", "token is empty (hint: leave it out where it is not known)")
		}
		d.ID = agreed.DropID(d.KeyID, 8)
		if seen[d.ID] {
			d.ID = agreed.DropID(d.KeyID, agreed.MaxID-len("old-"))
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
		t.MinFirmware = agreed.Firmware[t.Algorithm].String()
	}
}

func (p *Plan) holdersPresent() {
	p.makeIDs()
	for i := range p.Holders {
		h, path := &p.Holders[i], agreed.Element("holder", i)
		p.missing(path+".name", h.Name == "", "the holder's name")
		if p.absent(path + ".custody") {
			h.Custody = agreed.OnToken
			if h.KeyID != "" && p.Follows() {
				h.Custody = agreed.Existing
			}
		}
		if h.Custody != agreed.Existing || !p.absent(path+".token") {
			p.missing(path+".token", h.Token == "", `the sticker on the holder's token, as in token = "A-01"`)
		}
		if h.Custody == agreed.Existing && p.Follows() {
			p.missing(path+".keyid", h.KeyID == "", "the id of the key in the trusted root; "+agreed.Command("show", "FILE")+" prints them")
		}
	}
}

func (p *Plan) rootPresent() {
	if !p.Follows() || !p.absent("root.threshold") { // else as in the trusted root
		p.missing("root.threshold", false, "how many holders must sign a root")
	}
	if !p.missing("root.expires", p.Root.Expires == "", `expires = "365d", or a time such as "2027-11-22T00:00:00Z"`) {
		if _, err := agreed.Expiry(p.Root.Expires, agreed.MinClock); err != nil {
			p.fault("root.expires", "%v", err)
		}
	}
}

// recipientsPresent gives recipients without an id one made from their name,
// and age recipients the form in which they are agreed.
func (p *Plan) recipientsPresent() {
	for i := range p.Recipients {
		r, path := &p.Recipients[i], agreed.Element("recipient", i)
		p.missing(path+".name", r.Name == "", "the recipient's name")
		if p.absent(path + ".id") {
			r.ID = agreed.Slug(r.Name)
		} else if r.ID == "" {
			p.fault(path+".id", "id is empty (hint: leave it out to have it made from the name)")
		}
		if parsed, err := agreed.ParseAge(r.Name, r.Age); err == nil {
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
	if !p.missing(path+".keys", len(role.Files)+len(role.Holders) == 0, `keys = ["keys/`+name+`.pub"]`) {
		for i, file := range role.Files {
			if err := CheckKeyFile(file); err != nil {
				p.fault(agreed.Element(path+".keys", i), "key file %v", err)
			}
		}
	}
	p.missing(path+".threshold", false, "threshold = 1")
}

// makeIDs gives holders without an id one made from their first name, or from
// the whole name where two first names are the same.
func (p *Plan) makeIDs() {
	taken := map[string]int{}
	first := func(h agreed.Holder) string {
		name, _, _ := strings.Cut(h.Name, " ")
		return agreed.Slug(name)
	}
	for _, h := range p.Holders {
		taken[cmp.Or(agreed.Fold(h.ID), first(h))]++
	}
	for i := range p.Holders {
		h := &p.Holders[i]
		if !p.absent(agreed.Element("holder", i) + ".id") {
			if h.ID == "" {
				p.fault(agreed.Element("holder", i)+".id", "id is empty (hint: leave it out to have it made from the name)")
			}
			continue
		}
		h.ID = first(*h)
		if taken[h.ID] > 1 {
			h.ID = agreed.Slug(h.Name)
		}
	}
}

// CheckKeyFile refuses paths that lead out of the plan's folder. Links are for
// os.Root to judge.
func CheckKeyFile(s string) error {
	if err := agreed.CheckShown(s, 255); err != nil {
		return err
	}
	if !filepath.IsLocal(s) {
		return fmt.Errorf("%q is outside the plan's folder (hint: copy it into the folder)", s)
	}
	return nil
}
