package interview

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/record"
	"rootceremony/ceremony/tuf"
)

// roleKeys are the keys of a role in the trusted root.
func (iv *interview) roleKeys(name string) []tuf.Key {
	root := iv.chain.Last.Root
	var all []tuf.Key
	for _, id := range root.Roles[name].KeyIDs {
		key, _ := root.Key(id)
		all = append(all, key)
	}
	return all
}

// askRoles asks which roles others can sign for, and returns the root keys that
// serve them too.
func (iv *interview) askRoles() ([]string, error) {
	var choices []prompt.Choice
	for _, roles := range [][]string{{"timestamp"}, {"snapshot"}, {"targets"}, {"timestamp", "snapshot"}, {"timestamp", "targets"}, {"snapshot", "targets"}, {"timestamp", "snapshot", "targets"}} {
		label := tuf.Listed(roles, "and")
		if len(roles) == 1 {
			label += " alone"
		}
		choices = append(choices, prompt.Choice{Key: strings.Join(roles, "+"), Label: label})
	}
	what, err := iv.a.Choose(iv.ctx, prompt.Prompt{ID: "revoke.roles", Question: "Which roles can others sign for?"}, choices)
	if err != nil {
		return nil, err
	}
	ids := iv.compromise(strings.Split(what, "+"))
	if len(ids) == 0 {
		return nil, nil
	}
	return ids, iv.a.Tell(iv.ctx, prompt.Message{Title: "Root keys among them", Text: []string{fmt.Sprintf("Keys of %s: %s.", tuf.Listed(iv.plan.Compromised, "and"), count(len(ids), "is a root key as well, and is dropped there too", "are root keys as well, and are dropped there too"))}})
}

// replaced are the roles that get new keys: those that are compromised and those
// that vouch for them, so that clients recover from a fast-forward too.
func replaced(compromised []string) []string {
	all := record.Replaced(compromised)
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Compare(slices.Index(agreed.OnlineRoles, a), slices.Index(agreed.OnlineRoles, b))
	})
	return all
}

// compromise notes which roles others can sign for: anyone who has the key of one
// has it for all that it serves. It returns the root keys among them.
func (iv *interview) compromise(roles []string) (rootKeys []string) {
	has := func(name string, of []string) bool {
		return slices.ContainsFunc(iv.roleKeys(name), func(k tuf.Key) bool {
			return slices.ContainsFunc(of, func(other string) bool {
				return slices.ContainsFunc(iv.roleKeys(other), func(o tuf.Key) bool { return o.Value() == k.Value() })
			})
		})
	}
	for range agreed.OnlineRoles { // a role that is added may bring another
		roles = slices.DeleteFunc(slices.Clone(agreed.OnlineRoles), func(name string) bool { return !slices.Contains(roles, name) && !has(name, roles) })
	}
	iv.plan.Compromised = roles
	for _, k := range iv.roleKeys(tuf.RoleRoot) {
		if slices.ContainsFunc(roles, func(name string) bool {
			return slices.ContainsFunc(iv.roleKeys(name), func(o tuf.Key) bool { return o.Value() == k.Value() })
		}) {
			rootKeys = append(rootKeys, k.ID)
		}
	}
	return rootKeys
}

// newKeys asks for the key files of the roles that get new keys where these are
// compromised. Those at the usual places are offered all at once.
func (iv *interview) newKeys(compromised []string) error {
	roles := replaced(compromised)
	if err := iv.a.Tell(iv.ctx, prompt.Message{Title: "What is replaced", Text: []string{fmt.Sprintf("Compromised: %s. New keys for: %s. Together they make clients drop stored metadata that was counted up to shut them out.", tuf.Listed(compromised, "and"), tuf.Listed(roles, "and"))}}); err != nil {
		return err
	}
	usual := func(name string) string { return "keys/" + name + ".pub" }
	fresh := func(s string) error { return iv.checkNew(s, roles) }
	m := prompt.Message{Title: "New keys"}
	offered := true
	for _, name := range roles {
		offered = offered && fresh(usual(name)) == nil && iv.chain.Last.Root.Roles[name].Threshold == 1
		m.Lines = append(m.Lines, fmt.Sprintf("%-10s %s", name, usual(name)))
	}
	if offered {
		m.Text = []string{"These files are in the plan's folder, and their keys are in no role that is replaced:"}
		yes, err := iv.a.Confirm(iv.ctx, prompt.Prompt{ID: "revoke.keys", Message: m, Question: "Are these the new keys, made on a machine that the intruder never touched?"})
		if err != nil {
			return err
		}
		if yes {
			for _, name := range roles {
				if err := iv.roleOf(name, []string{usual(name)}); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, name := range roles {
		role, enter, line := iv.chain.Last.Root.Roles[name], "", ""
		if !offered && fresh(usual(name)) == nil {
			line, enter = usual(name), usual(name)
		}
		question := fmt.Sprintf("Role %s (%d of %d keys sign for it now): file of its new public key, or several with commas?", name, role.Threshold, len(role.KeyIDs))
		if err := iv.prompt(prompt.Prompt{ID: "plan.role." + name, Message: iv.keyMessage(name), Enter: enter, Question: question}, &line, fresh); err != nil {
			return err
		}
		if err := iv.roleOf(name, splitFiles(line)); err != nil {
			return err
		}
	}
	return nil
}

// checkNew is checkFiles for keys that no role that is replaced has now.
func (iv *interview) checkNew(s string, replaced []string) error {
	if err := iv.checkFiles(s); err != nil {
		return err
	}
	for _, file := range splitFiles(s) {
		key, err := iv.readKey(file)
		if err != nil {
			return err
		}
		for _, name := range append([]string{tuf.RoleRoot}, replaced...) {
			if slices.ContainsFunc(iv.roleKeys(name), func(old tuf.Key) bool { return old.Value() == key.Value() }) {
				return fmt.Errorf("key file %q holds the key that role %s has now, and a new one is wanted (hint: make it on a machine that the intruder never touched)", file, name)
			}
		}
	}
	return nil
}
