package plan

import (
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
)

// TOML is the text of a plan, as Read takes it. What is empty has its default
// and is left out, with the table that it was to be in. comments has what stands
// beside a value, by its path: one on a number is said of 0 too. The comment on
// "role" has a line of its own before the online roles.
func (p *Plan) TOML(comments map[string]string) []byte {
	w := &writer{comments: comments}
	w.text("kind", p.Kind)
	w.text("name", p.Name)
	w.text("salt", p.Salt)
	w.text("reason", p.Reason)
	w.text("incident", string(p.Incident))
	w.texts("compromised", p.Compromised)
	w.text("trusted", p.Trusted)
	w.texts("earlier", p.Earlier)
	if p.Delegations != nil && len(p.Delegations) == 0 {
		w.value("delegation", "[]")
	}

	w.table("root", "[root]")
	w.number("threshold", p.Root.Threshold)
	w.text("expires", p.Root.Expires)
	if !p.Follows() { // else as in the trusted root
		w.value("consistent_snapshot", fmt.Sprint(p.Root.ConsistentSnapshot))
	}
	w.table("token", "[token]")
	w.text("algorithm", string(p.Token.Algorithm))
	w.text("touch", string(p.Token.Touch))
	w.text("min_firmware", p.Token.MinFirmware)
	w.table("backup", "[backup]")
	w.number("quorum", p.Backup.Quorum)
	w.texts("recipients", p.Backup.Recipients)

	w.people(p)
	if text := comments["role"]; text != "" {
		fmt.Fprintf(&w.b, "\n# %s\n", text)
	}
	for _, name := range agreed.OnlineRoles {
		role := p.Roles[name]
		w.table("role."+name, "[role."+name+"]")
		w.number("threshold", role.Threshold)
		w.texts("keys", append(slices.Clone(role.Holders), role.Files...))
	}
	w.targets(p)
	return []byte(w.b.String())
}

// targets writes what is about targets.
func (w *writer) targets(p *Plan) {
	if p.Targets != nil {
		w.table("targets", "[targets]")
		w.text("expires", p.Targets.Expires)
		w.text("algorithm", string(p.Targets.Algorithm))
		w.text("file", p.Targets.File)
	}
	for i, d := range p.Delegations {
		w.table(agreed.Element("delegation", i), "[[delegation]]")
		w.text("name", d.Name)
		w.texts("paths", d.Paths)
		w.texts("path_hash_prefixes", d.PathHashPrefixes)
		w.texts("keys", append(slices.Clone(d.Holders), d.Files...))
		w.number("threshold", d.Threshold)
		w.flag("terminating", d.Terminating)
	}
}

// people writes the lists of those whom the plan names, and of the keys that it
// drops.
func (w *writer) people(p *Plan) {
	for i, r := range p.Recipients {
		w.table(agreed.Element("recipient", i), "[[recipient]]")
		w.text("name", r.Name)
		w.text("id", r.ID)
		w.text("site", r.Site)
		w.text("age", r.Age)
		w.flag("passphrase", r.Passphrase)
	}
	for i, h := range p.Holders {
		w.table(agreed.Element("holder", i), "[[holder]]")
		w.text("name", h.Name)
		w.text("id", h.ID)
		w.text("token", h.Token)
		w.text("site", h.Site)
		w.text("custody", h.Custody)
		w.text("keyid", h.KeyID)
		w.flag("spare", h.Spare)
		w.text("targets_keyid", h.TargetsKeyID)
	}
	for i, d := range p.Drops {
		w.table(agreed.Element("drop", i), "[[drop]]")
		w.text("keyid", d.KeyID)
		w.text("reason", d.Reason)
		w.text("name", d.Name)
		w.text("token", d.Token)
		w.text("targets_keyid", d.TargetsKeyID)
	}
	for i, person := range p.Persons {
		w.table(agreed.Element("person", i), "[[person]]")
		w.text("name", person.Name)
		w.text("role", person.Role)
	}
}

// writer writes a document, table by table.
type writer struct {
	b        strings.Builder
	comments map[string]string
	path     string // of the table
	head     string // of it, until a value is written
}

func (w *writer) table(path, head string) { w.path, w.head = path, "\n"+head+"\n" }

// value writes a setting, and what it means in a column of its own.
func (w *writer) value(key, value string) {
	text := key + " = " + value
	if comment := w.comments[join(w.path, key)]; comment != "" {
		text = fmt.Sprintf("%-31s # %s", text, comment)
	}
	w.b.WriteString(w.head + text + "\n")
	w.head = ""
}

func (w *writer) text(key, text string) {
	if text != "" {
		w.value(key, TomlText(text))
	}
}

func (w *writer) texts(key string, texts []string) {
	var quoted []string
	for _, text := range texts {
		quoted = append(quoted, TomlText(text))
	}
	if quoted != nil {
		w.value(key, "["+strings.Join(quoted, ", ")+"]")
	}
}

func (w *writer) number(key string, n int) {
	if n != 0 || w.comments[join(w.path, key)] != "" {
		w.value(key, fmt.Sprint(n))
	}
}

func (w *writer) flag(key string, set bool) {
	if set {
		w.value(key, "true")
	}
}

// TomlText is a text in quotes. Names in plans can be printed, so that quotes
// and backslashes are all that is escaped.
func TomlText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
