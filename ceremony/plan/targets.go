package plan

import (
	"fmt"
	"os"
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// TargetsPlan is what [targets] says. How many must sign stands in [role.targets],
// as for every role.
type TargetsPlan struct {
	Expires   string // as RootPlan.Expires
	Algorithm keys.Algorithm
	File      string // whose targets are carried over; "": none
}

// DelegationPlan is what a [[delegation]] says. Keys are of Files, in the same order.
type DelegationPlan struct {
	Name             string
	Paths            []string
	PathHashPrefixes []string
	Threshold        int
	Terminating      bool
	Holders          []string // as written: agreed.EveryHolder or ids; or else
	Files            []string
	Keys             []tuf.Key
}

// takeTargets takes what is about targets out of the document.
func (p *Plan) takeTargets(top *section) {
	top.one("targets", func(s *section) {
		if s.values == nil {
			return
		}
		p.Targets = &TargetsPlan{Expires: s.text("expires"), Algorithm: keys.Algorithm(s.text("algorithm")), File: s.text("file")}
		if _, there := s.values["threshold"]; there {
			s.known = append(s.known, "threshold")
			p.fault(s.path+".threshold", "threshold stands in [role.targets], and nowhere else")
		}
	})
	if !p.absent("delegation") {
		p.Delegations = []DelegationPlan{}
	}
	top.each("delegation", func(s *section) {
		p.Delegations = append(p.Delegations, DelegationPlan{
			Name: s.text("name"), Paths: s.texts("paths"), PathHashPrefixes: s.texts("path_hash_prefixes"),
			Threshold: s.number("threshold"), Terminating: s.flag("terminating", false), Files: s.texts("keys"),
		})
	})
}

// targetsPresent parts holders from key files, and checks what [targets] and each
// [[delegation]] must say.
func (p *Plan) targetsPresent() {
	if role, there := p.Roles[tuf.RoleTargets]; there {
		role.Holders, role.Files = p.parted("role.targets.keys", role.Files)
		p.Roles[tuf.RoleTargets] = role
	}
	if p.Targets != nil {
		if !p.missing("targets.expires", p.Targets.Expires == "", `expires = "365d", or a time such as "2027-11-22T00:00:00Z"`) {
			if _, err := agreed.Expiry(p.Targets.Expires, agreed.MinClock); err != nil {
				p.fault("targets.expires", "%v", err)
			}
		}
		if p.absent("targets.algorithm") {
			p.Targets.Algorithm = keys.P256
		}
		if !p.absent("targets.file") {
			if err := CheckKeyFile(p.Targets.File); err != nil {
				p.fault("targets.file", "targets file %v", err)
			}
		}
	}
	if p.Targets == nil && p.Delegations != nil && !p.said["targets"] {
		p.fault("delegation", "[[delegation]] is for targets that holders sign, and there is no [targets]")
	}
	for i := range p.Delegations {
		d, path := &p.Delegations[i], agreed.Element("delegation", i)
		d.Holders, d.Files = p.parted(path+".keys", d.Files)
		p.missing(path+".name", d.Name == "", `name = "dev", as its metadata is named: dev.json`)
		p.missing(path+".threshold", false, "threshold = 1")
		if !p.missing(path+".keys", len(d.Holders)+len(d.Files) == 0, fmt.Sprintf(`keys = ["keys/dev.pub"], or holders' ids, or [%q]`, agreed.EveryHolder)) {
			for n, file := range d.Files {
				if err := CheckKeyFile(file); err != nil {
					p.fault(agreed.Element(path+".keys", n), "key file %v", err)
				}
			}
		}
	}
}

// parted are the holders among the keys of a role, or else its key files. They don't
// mix: a threshold of people would count a key that a machine has.
func (p *Plan) parted(path string, names []string) (holders, files []string) {
	known := func(name string) bool {
		return name == agreed.EveryHolder || slices.ContainsFunc(p.Holders, func(h agreed.Holder) bool { return h.ID == name && name != "" })
	}
	if !slices.ContainsFunc(names, known) {
		return nil, names
	}
	for i, name := range names {
		switch at := agreed.Element(path, i); {
		case !known(name):
			p.fault(at, "%q is no holder's id, and holders and key files don't mix in one role: anyone who has the key of a file would count as one of the people who must sign (hint: holders' ids alone, or key files alone)", name)
		case slices.Contains(names[:i], name):
			p.fault(at, "the holder %q is there twice", name)
		case name != agreed.EveryHolder && slices.Contains(names, agreed.EveryHolder):
			p.fault(at, "%q is among %q already", name, agreed.EveryHolder)
		default:
			holders = append(holders, name)
		}
	}
	return holders, nil
}

// named are the ids of holders as a role names them; nil where it names none.
func (p *Plan) named(holders []string) []string {
	if holders == nil {
		return nil
	}
	ids := []string{}
	for _, h := range p.Holders {
		if slices.Contains(holders, agreed.EveryHolder) || slices.Contains(holders, h.ID) {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

// keptTargetsKeys has holders whose root key stays, and is a targets key of the trusted
// root too, keep it in both roles, where the plan says nothing else.
func (p *Plan) keptTargetsKeys() {
	root := p.Chain.Last.Root
	names := slices.Clone(p.Roles[tuf.RoleTargets].Holders)
	for _, d := range p.Delegations {
		names = append(names, d.Holders...)
	}
	signs := p.named(names)
	for i := range p.Holders {
		h := &p.Holders[i]
		if h.Custody != agreed.Existing || h.TargetsKeyID != "" || !slices.Contains(signs, h.ID) {
			continue
		}
		for _, id := range root.Roles[tuf.RoleTargets].KeyIDs {
			if value := agreed.ValueOf(root, id); value != "" && value == agreed.ValueOf(root, h.KeyID) {
				h.TargetsKeyID = id
			}
		}
	}
}

// readTargets reads the targets file that the plan names.
func (p *Plan) readTargets(dir *os.Root) {
	if p.Targets == nil || p.Targets.File == "" || p.said.Of("targets.file") {
		return
	}
	data, err := readLocal(dir, "targets file", p.Targets.File, tuf.MaxTargetsSize)
	if err != nil {
		p.fault("targets.file", "%v", err)
		return
	}
	f, err := tuf.ParseTargets(data)
	if err != nil {
		p.fault("targets.file", "targets file %q: %s", p.Targets.File, agreed.OneLine(err.Error()))
		return
	}
	var root *tuf.Root
	if p.Chain != nil {
		root = p.Chain.Last.Root
	}
	p.carries, p.Carried = agreed.Carries(data, f, root, p.Delegations == nil), f
}

// agreedTargets is what [targets] and the delegations come to, but for the expiry.
func (p *Plan) agreedTargets() *agreed.Targets {
	if p.Targets == nil {
		return nil
	}
	t := &agreed.Targets{Version: 1, Algorithm: p.Targets.Algorithm, File: p.carries, Delegations: []agreed.Delegation{}}
	switch {
	case p.carries != nil:
		t.Version = p.carries.Version + 1
	case p.Targets.File != "":
		t.File = &agreed.CarriedTargets{} // not read
	}
	for _, d := range p.Delegations {
		t.Delegations = append(t.Delegations, agreed.Delegation{
			Name: d.Name, Paths: d.Paths, PathHashPrefixes: d.PathHashPrefixes, Threshold: d.Threshold, Terminating: d.Terminating,
			Holders: p.named(d.Holders), Keys: inlined(d.Files, d.Keys),
		})
	}
	return t
}

// inlined are the keys that were read of files, empty ones for those that were not.
func inlined(files []string, read []tuf.Key) []tuf.Key {
	return append(make([]tuf.Key, 0, len(files)), read...)[:len(files)]
}
