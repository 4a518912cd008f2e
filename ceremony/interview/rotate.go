package interview

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// dropComments say in a plan.toml what the reasons mean.
var dropComments = map[string]string{
	agreed.Lost:        "nobody can sign with it",
	agreed.Stolen:      "somebody else may have it",
	agreed.Compromised: "somebody else may have it, and its holder too",
	agreed.Retired:     "its holder has it, and nobody else",
}

// rotate asks for the plan of a root that follows a trusted one.
func (iv *interview) rotate() error {
	if err := iv.askEarlier(); err != nil {
		return err
	}
	if err := iv.askChain(iv.newestChain()); err != nil {
		return err
	}
	if err := iv.a.Tell(iv.ctx, iv.chainMessage()); err != nil {
		return err
	}
	if err := iv.text("plan.name", &iv.plan.Name, "What is the project's name?", iv.plan.Name, checkName); err != nil {
		return err
	}
	changes := len(iv.exposedKeys()) > 0 || len(iv.exposedRoles()) > 0 // they can't stay
	if !changes {
		var err error
		changes, err = iv.a.Confirm(iv.ctx, prompt.Prompt{ID: "plan.changes", Message: prompt.Message{Title: "What changes",
			Text: []string{"Where nothing but the expiry changes, the new root is a renewal: the same keys, one version on."}},
			Question: "Does anything but the expiry change?"})
		if err != nil {
			return err
		}
	}
	for i, id := range iv.oldKeys() {
		if err := iv.oldKey(i+1, id, changes); err != nil {
			return err
		}
	}
	end := iv.expires
	if changes {
		end = iv.changes
	} else {
		iv.plan.Root.Threshold = iv.oldThreshold()
	}
	if err := end(); err != nil {
		return err
	}
	_, err := iv.finish()
	return err
}

// changes asks for all that can be new in a root but for the keys that stay.
func (iv *interview) changes() error {
	p := &iv.plan
	able := len(p.Holders)
	for _, d := range p.Drops {
		if d.Reason != agreed.Lost {
			able++
		}
	}
	if need := iv.oldThreshold(); able < need {
		return fmt.Errorf("version %d must be signed by %d of its keys, and with these drops only %d are left that can sign: no client would accept the new root (hint: %s says what is left to do)",
			iv.chain.Last.Root.Version, need, able, agreed.Command("plan", "--kind", agreed.Revoke, iv.path))
	}
	stay, count := len(p.Holders), 0
	least := 0
	if stay == 0 {
		least = 1
	}
	if err := iv.number("plan.holders", &count, "How many new holders come?", least, maxAsked); err != nil {
		return err
	}
	for range count {
		if err := iv.holder(len(p.Holders) + 1); err != nil {
			return err
		}
	}
	if err := iv.threshold(); err != nil {
		return err
	}
	if count > 0 {
		if err := iv.backup(); err != nil {
			return err
		}
	}
	if err := iv.expires(); err != nil {
		return err
	}
	if count > 0 {
		if err := iv.touch(); err != nil {
			return err
		}
	}
	if roles := iv.openRoles(); len(roles) > 0 {
		if err := iv.newKeys(roles); err != nil {
			return err
		}
	}
	others := slices.DeleteFunc(slices.Clone(agreed.OnlineRoles), func(name string) bool { _, changed := p.Roles[name]; return changed })
	if len(others) > 0 {
		yes, err := iv.a.Confirm(iv.ctx, prompt.Prompt{ID: "plan.roles", Question: fmt.Sprintf("Do keys of the online roles (%s) change?", strings.Join(others, ", "))})
		if err != nil {
			return err
		}
		if !yes {
			others = nil
		}
	}
	for _, role := range others {
		if err := iv.otherKeys(role); err != nil {
			return err
		}
	}
	if err := iv.dropFromRoles(); err != nil {
		return err
	}
	return iv.witness()
}

// askEarlier asks for the folders of earlier ceremonies, and reads what they
// know of root keys. None need be at hand.
func (iv *interview) askEarlier() error {
	line := ""
	err := iv.prompt(prompt.Prompt{ID: "plan.earlier", Enter: "not at hand", Question: "Folder of the ceremony that made the newest root?",
		Message: prompt.Message{Title: "The last ceremony", Text: []string{"Its folder knows who holds which key, and which backups there are. Several folders may be typed, with commas, the newest first. " + iv.paths()}}}, &line, func(s string) error {
		_, err := iv.readEarlier(splitFiles(s))
		return err
	})
	if err != nil || line == "" {
		return err
	}
	iv.plan.Earlier = splitFiles(line)
	if iv.earlier, err = iv.readEarlier(iv.plan.Earlier); err != nil {
		return err
	}
	for i := range iv.plan.Earlier {
		iv.plan.Earlier[i] = filepath.ToSlash(iv.plan.Earlier[i])
	}
	for _, desk := range iv.earlier {
		iv.know(desk)
	}
	iv.plan.Name = iv.earlier[0].State.Plan.Name
	return nil
}

// know takes note of who holds which key. What was known before is newer.
func (iv *interview) know(desk *plan.Ceremony) {
	for id, h := range holdersByKey(desk.State) {
		if _, there := iv.known[id]; !there {
			iv.known[id] = h
		}
	}
}

// paths says from where people name a folder.
func (iv *interview) paths() string {
	if !iv.exists("") {
		return "The plan's folder, " + iv.path + ", is not there yet, and is made in the end: type whole paths."
	}
	return "Paths count from the plan's folder, " + iv.path + ", or are whole ones."
}

// at is a path that was typed: from the plan's folder, as the plan has it.
func (iv *interview) at(path string) string {
	if path = filepath.FromSlash(path); filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(iv.path, path)
}

func (iv *interview) readEarlier(paths []string) ([]*plan.Ceremony, error) {
	var all []*plan.Ceremony
	for _, path := range paths {
		if err := agreed.CheckShown(path, maxPathTyped); err != nil {
			return nil, fmt.Errorf("the path %w", err)
		}
		desk, err := plan.ReadEarlier(iv.at(path), iv.now)
		if err != nil {
			return nil, err
		}
		all = append(all, desk)
	}
	return all, nil
}

// maxPathTyped bounds a path that people type, in characters.
const maxPathTyped = 1000

// holdersByKey are the holders of a ceremony as they are now, by the id of
// their root key.
func holdersByKey(s *state.State) map[string]agreed.Holder {
	all := map[string]agreed.Holder{}
	for _, planned := range s.Plan.Holders {
		h := s.Holders[planned.ID]
		if id := s.KeyID(h); id != "" {
			all[id] = h.Holder
		}
	}
	return all
}

// newestChain names the chain to be taken where people say no other: in the
// plan's folder, or what an earlier ceremony has published.
func (iv *interview) newestChain() string {
	newest, version := agreed.TrustedDir, int64(0)
	candidates := []string{agreed.TrustedDir}
	for _, dir := range iv.plan.Earlier {
		candidates = append(candidates, dir+"/"+state.PublishDir)
	}
	for _, path := range candidates {
		chain, err := plan.ReadTrusted(iv.at(path))
		switch {
		case err != nil && path == agreed.TrustedDir && iv.exists(path):
			return path // people are to see what is wrong with it
		case err == nil && chain.Last.Root.Version > version:
			newest, version = path, chain.Last.Root.Version
		}
	}
	return newest
}

// askChain asks where the published roots are, and verifies them.
func (iv *interview) askChain(suggested string) error {
	p := iv.chainPrompt(suggested)
	if suggested == agreed.TrustedDir && !iv.exists("") {
		p.Enter, suggested = "", ""
	} else {
		p.Question += " (Enter: " + suggested + ")"
	}
	answer, err := iv.a.Ask(iv.ctx, p, func(s string) error {
		path := cmp.Or(strings.TrimSpace(s), suggested)
		if path == "" {
			return errors.New("a path is needed, as there is no plan's folder with the roots yet")
		}
		if err := agreed.CheckShown(path, maxPathTyped); err != nil {
			return fmt.Errorf("the path %w", err)
		}
		_, err := plan.ReadTrusted(iv.at(path))
		return err
	})
	if err != nil {
		return err
	}
	return iv.takeChain(cmp.Or(strings.TrimSpace(answer), suggested))
}

// chainPrompt is the question for the published roots.
func (iv *interview) chainPrompt(enter string) prompt.Prompt {
	return prompt.Prompt{ID: "plan.trusted", Enter: enter, Question: "Where are the published roots?",
		Message: prompt.Message{Title: "The published roots", Text: []string{"A folder of N.root.json, from the first to the newest; or one root file. " + iv.paths()}}}
}

func (iv *interview) takeChain(path string) (err error) {
	iv.plan.Trusted = filepath.ToSlash(path)
	iv.chain, err = plan.ReadTrusted(iv.at(path))
	return err
}

// chainMessage says what the next root would follow.
func (iv *interview) chainMessage() prompt.Message {
	first, root := iv.chain.Steps[0], iv.chain.Last.Root
	expires := agreed.Stamp(root.Expires)
	if !root.Expires.After(iv.now) {
		expires += ", which is past: clients refuse updates until they have the next root"
	}
	m := prompt.Message{Title: "The trusted root", Facts: []prompt.Fact{
		{Label: "From", Value: iv.at(iv.plan.Trusted)},
		{Label: "Versions", Value: fmt.Sprintf("%d to %d, each verified by the one before", first.Version, root.Version)},
		{Label: "Expires", Value: expires},
		{Label: "Root keys", Value: fmt.Sprintf("%d, of which %d must sign", len(iv.oldKeys()), iv.oldThreshold())},
	}, Text: []string{fmt.Sprintf("Version %d is taken on trust here; the ceremony asks for its SHA-256. Whether a version after %d was published, this computer cannot know: look where the roots are published.", first.Version, root.Version)}}
	if first.Version == root.Version {
		m.Facts[1].Value = fmt.Sprintf("%d alone", root.Version)
	}
	if root.Rehearsal() {
		m.Facts = append(m.Facts, prompt.Fact{Label: "Rehearsal", Value: "yes: this root is from a rehearsal"})
	}
	if n := len(iv.exposedKeys()); n > 0 {
		m.Facts = append(m.Facts, prompt.Fact{Label: "ALARM", Value: map[bool]string{
			true:  "the private half of a root key is published: anyone can sign with it. It counts as compromised, and the next root drops it.",
			false: fmt.Sprintf("the private halves of %d root keys are published: anyone can sign with them. They count as compromised, and the next root drops them.", n)}[n == 1]})
	}
	if roles := iv.exposedRoles(); len(roles) > 0 {
		var ids []string
		for _, name := range roles {
			for _, k := range iv.roleKeys(name) {
				if id := fmt.Sprintf("%.8s", k.ID); iv.chain.Exposed[k.Value()] > 0 && !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
		}
		m.Facts = append(m.Facts, prompt.Fact{Label: "ALARM", Value: fmt.Sprintf("the private %s published: anyone can sign with %s for %s. New keys are asked for.",
			map[bool]string{true: "half of key " + ids[0] + " is", false: "halves of keys " + tuf.Listed(ids, "and") + " are"}[len(ids) == 1], map[bool]string{true: "it", false: "them"}[len(ids) == 1], tuf.Listed(roles, "and"))})
	}
	for i, id := range iv.oldKeys() {
		m.Lines = append(m.Lines, fmt.Sprintf("%3d  %s", i+1, iv.keyLabel(id)))
	}
	return m
}

// oldKeys are the root keys of the trusted root, by id.
func (iv *interview) oldKeys() []string { return iv.chain.Last.Root.Roles[tuf.RoleRoot].KeyIDs }

func (iv *interview) oldThreshold() int { return iv.chain.Last.Root.Roles[tuf.RoleRoot].Threshold }

// exposedKeys are the root keys of the trusted root whose private half stands in a
// root of the chain, by id.
func (iv *interview) exposedKeys() []string {
	return slices.DeleteFunc(slices.Clone(iv.oldKeys()), func(id string) bool { return iv.chain.Exposed[agreed.ValueOf(iv.chain.Last.Root, id)] == 0 })
}

// exposedIn is how many keys of a role of the trusted root stand in a root of the chain
// with their private half.
func (iv *interview) exposedIn(name string) int {
	values := map[string]bool{}
	for _, k := range iv.roleKeys(name) {
		if iv.chain.Exposed[k.Value()] > 0 {
			values[k.Value()] = true
		}
	}
	return len(values)
}

// exposedRoles are the online roles with such keys, openRoles those for which anyone
// can sign with them.
func (iv *interview) exposedRoles() []string {
	return slices.DeleteFunc(slices.Clone(agreed.OnlineRoles), func(name string) bool { return iv.exposedIn(name) == 0 })
}

func (iv *interview) openRoles() []string {
	return slices.DeleteFunc(iv.exposedRoles(), func(name string) bool { return iv.exposedIn(name) < iv.chain.Last.Root.Roles[name].Threshold })
}

// keyLabel names a root key with all that is known of it.
func (iv *interview) keyLabel(id string) string {
	label := fmt.Sprintf("key %.8s", id)
	if slices.Contains(iv.exposedKeys(), id) {
		label += ", its private half is published"
	}
	h, ok := iv.known[id]
	if !ok {
		key, _ := iv.chain.Last.Root.Key(id)
		return label + ", " + cmp.Or(string(key.Public.Algorithm), key.Type)
	}
	if h.Token != "" {
		label = "token " + h.Token + ", " + label
	}
	return h.Name + ", " + label
}

// who is the holder of a root key, or the key where nobody knows.
func (iv *interview) who(id string) string {
	if h, ok := iv.known[id]; ok {
		return h.Name
	}
	return fmt.Sprintf("Key %.8s", id)
}

// oldKey asks what becomes of the n-th root key, from 1. Where nothing changes
// it stays, and only a name and a sticker that are not known are asked for.
func (iv *interview) oldKey(n int, id string, changes bool) error {
	what := "stays"
	exposed := slices.Contains(iv.exposedKeys(), id)
	if changes {
		var err error
		choices := []prompt.Choice{
			{Key: "stays", Label: "it stays as it is"},
			{Key: agreed.Retired, Label: "dropped: its holder leaves in peace, or gets another key"},
			{Key: agreed.Lost, Label: "dropped: lost, nobody can sign with it"},
			{Key: agreed.Stolen, Label: "dropped: stolen, somebody else may have it"},
			{Key: agreed.Compromised, Label: "dropped: somebody else may use it, and its holder can still sign"},
		}
		if exposed {
			choices = choices[3:]
		}
		what, err = iv.a.Choose(iv.ctx, prompt.Prompt{ID: fmt.Sprint("plan.key ", n),
			Message:  prompt.Message{Title: fmt.Sprintf("Root key %d of %d", n, len(iv.oldKeys())), Facts: []prompt.Fact{{Label: "Key", Value: iv.keyLabel(id)}, {Label: "Key id", Value: id}}},
			Question: "What becomes of it?"}, choices)
		if err != nil {
			return err
		}
	}
	h, known := iv.known[id]
	if !known {
		h = agreed.Holder{}
		question, enter := fmt.Sprintf("%s: name of its holder?", capital(iv.keyLabel(id))), ""
		if what != "stays" {
			enter = "not known"
		}
		if err := iv.text(fmt.Sprint("plan.key.name ", n), &h.Name, question, enter, iv.freeName); err != nil {
			return err
		}
		if what == "stays" {
			err := iv.text(fmt.Sprint("plan.key.token ", n), &h.Token, h.Name+": what is on the token's sticker?", "none", iv.freeSticker)
			if err != nil {
				return err
			}
		}
	}
	if what != "stays" {
		iv.plan.Drops = append(iv.plan.Drops, agreed.Drop{KeyID: id, Reason: what, Name: h.Name, Token: h.Token})
		return nil
	}
	iv.stay(id, h)
	return nil
}

// freeName refuses a name that a holder has already.
func (iv *interview) freeName(s string) error {
	if err := checkName(s); err != nil {
		return err
	}
	if i := slices.IndexFunc(iv.plan.Holders, func(h agreed.Holder) bool { return agreed.Fold(h.Name) == agreed.Fold(s) }); i >= 0 {
		return fmt.Errorf("%q is taken by holder %d", s, i+1)
	}
	return nil
}

func (iv *interview) freeSticker(s string) error {
	if err := checkSticker(s); err != nil {
		return err
	}
	if i := slices.IndexFunc(iv.plan.Holders, func(h agreed.Holder) bool { return agreed.Fold(h.Token) == agreed.Fold(s) }); i >= 0 {
		return fmt.Errorf("%q is the sticker of holder %d", s, i+1)
	}
	return nil
}

// stay makes anyone who has a root key its holder in the next root too. What would
// be there twice is told apart by the key.
func (iv *interview) stay(id string, h agreed.Holder) {
	free := func(of func(agreed.Holder) string, s string) bool {
		return !slices.ContainsFunc(iv.plan.Holders, func(o agreed.Holder) bool { return agreed.Fold(of(o)) == agreed.Fold(s) })
	}
	h.Custody, h.KeyID, h.Spare = agreed.Existing, id, false
	h.Name = cmp.Or(h.Name, iv.who(id))
	if !free(func(o agreed.Holder) string { return o.Name }, h.Name) {
		h.Name = fmt.Sprintf("%.60s %.16s", h.Name, id)
	}
	first, _, _ := strings.Cut(h.Name, " ")
	ids := []string{h.ID, agreed.Slug(first), agreed.Slug(h.Name), "key-" + strings.TrimPrefix(agreed.DropID(id, 8), "old-"), "key-" + strings.TrimPrefix(agreed.DropID(id, agreed.MaxID-len("key-")), "old-")}
	if first == "Key" && h.ID == "" { // nobody knows whose
		ids = ids[2:]
	}
	h.ID = ids[len(ids)-1]
	for _, made := range slices.Backward(ids) {
		if agreed.CheckID(made) == nil && free(func(o agreed.Holder) string { return o.ID }, made) {
			h.ID = made
		}
	}
	if h.Token != "" && !free(func(o agreed.Holder) string { return o.Token }, h.Token) {
		h.Token = ""
	}
	iv.plan.Holders = append(iv.plan.Holders, h)
}

// threshold asks how many must sign the next root.
func (iv *interview) threshold() error {
	p := &iv.plan
	most, before := len(p.Holders), iv.oldThreshold()
	if most == 1 {
		p.Root.Threshold = 1
		return nil
	}
	question := fmt.Sprintf("How many of the %d must sign the next root? Version %d wants %d", most, iv.chain.Last.Root.Version, before)
	text, enter := "", ""
	if before <= most {
		text, enter = fmt.Sprint(before), fmt.Sprintf("%d, as it is", before)
	}
	err := iv.text("plan.threshold", &text, question, enter, func(s string) error { return numberFrom(s, 1, most) })
	if err != nil {
		return err
	}
	_, err = fmt.Sscan(text, &p.Root.Threshold)
	return err
}

// otherKeys asks for the key files of an online role that may stay as it is.
func (iv *interview) otherKeys(name string) error {
	line := ""
	question := fmt.Sprintf("Role %s: file of its new public key, or several with commas?", name)
	if err := iv.prompt(prompt.Prompt{ID: "plan.role." + name, Message: iv.keyMessage(name), Enter: "its keys stay", Question: question}, &line, iv.checkFiles); err != nil || line == "" {
		return err
	}
	return iv.roleOf(name, splitFiles(line))
}

// dropFromRoles takes the dropped root keys out of the other roles that they
// serve: anyone who has such a key has it there too. So it does with published keys.
func (iv *interview) dropFromRoles() error {
	for _, name := range agreed.OnlineRoles {
		if _, changed := iv.plan.Roles[name]; changed {
			continue
		}
		if err := iv.dropFrom(name); err != nil {
			return err
		}
	}
	return nil
}

// dropFrom takes dropped root keys and published keys out of a role. Where
// too few keys stay it asks for new ones. The plan names those that stay by
// files, which go with it.
func (iv *interview) dropFrom(name string) error {
	left := iv.withoutDrops(name)
	if len(left.dropped) == 0 {
		return nil
	}
	line, err := iv.askInPlace(name, left)
	if err != nil || line == "" && left.missing > 0 {
		return err
	}
	role := plan.RolePlan{Threshold: iv.chain.Last.Root.Roles[name].Threshold}
	for _, key := range left.stay {
		plain, err := tuf.NewKey(key.Public)
		if err != nil {
			return err
		}
		// As people know it, and as no other one is called.
		file := fmt.Sprintf("keys/kept-%s-%.8s.pub", strings.TrimPrefix(agreed.DropID(key.ID, 8), "old-"), plain.ID)
		if iv.out.Files[file], err = keyFile(key); err != nil {
			return err
		}
		role.Files = append(role.Files, file)
	}
	if line != "" {
		for _, file := range splitFiles(line) {
			if file, err = iv.takeKey(name, file); err != nil {
				return err
			}
			role.Files = append(role.Files, file)
		}
	}
	iv.plan.Roles[name] = role
	return nil
}

// keysLeft is what becomes of a role's keys where some are dropped.
type keysLeft struct {
	dropped  []string // labels
	harmless bool     // nobody but their holders has the dropped ones
	stay     []tuf.Key
	foreign  int             // keys that cannot stay, as no plan can name them
	missing  int             // so many new ones must come, where it is over 0
	values   map[string]bool // of all the role's keys
}

func (iv *interview) withoutDrops(name string) keysLeft {
	root := iv.chain.Last.Root
	left := keysLeft{harmless: true, values: map[string]bool{}}
	for _, k := range iv.roleKeys(name) {
		if left.values[k.Value()] { // under another id
			continue
		}
		left.values[k.Value()] = true
		i := slices.IndexFunc(iv.plan.Drops, func(d agreed.Drop) bool { return agreed.ValueOf(root, d.KeyID) == k.Value() })
		_, err := tuf.NewKey(k.Public)
		switch {
		case i >= 0:
			left.dropped = append(left.dropped, iv.keyLabel(iv.plan.Drops[i].KeyID)+", as it is dropped as a root key")
			left.harmless = left.harmless && iv.plan.Drops[i].Reason == agreed.Retired
		case iv.chain.Exposed[k.Value()] > 0:
			left.dropped = append(left.dropped, fmt.Sprintf("key %.8s, as its private half is published", k.ID))
			left.harmless = false
		case err != nil:
			left.foreign++
		default:
			left.stay = append(left.stay, k)
		}
	}
	left.missing = root.Roles[name].Threshold - len(left.stay)
	return left
}

// askInPlace asks for new keys of a role in the place of dropped ones; "" where
// there are to be none.
func (iv *interview) askInPlace(name string, left keysLeft) (string, error) {
	p := prompt.Prompt{ID: "plan.role." + name, Question: fmt.Sprintf("Role %s: file of a new public key, or several with commas?", name),
		Message: prompt.Message{Title: "Role " + name, Text: append([]string{
			fmt.Sprintf("Dropped from the role %s: %s.", name, strings.Join(left.dropped, "; ")),
			fmt.Sprintf("Other keys of the role that stay: %d. Keys that must sign for it: %d.", len(left.stay), len(left.stay)+left.missing)}, iv.keyMessage(name).Text...)}}
	if left.foreign > 0 {
		p.Text = append(p.Text, fmt.Sprintf("Keys of a kind that a plan cannot name, so that they cannot stay: %d.", left.foreign))
	}
	switch {
	case left.missing <= 0:
		p.Enter = "none"
	case left.harmless:
		p.Enter = "the role's keys stay as they are"
	}
	line := ""
	err := iv.prompt(p, &line, func(s string) error {
		if err := iv.checkFiles(s); err != nil {
			return err
		}
		named := splitFiles(s)
		for _, file := range named {
			if key, err := iv.readKey(file); err != nil {
				return err
			} else if left.values[key.Value()] {
				return fmt.Errorf("key file %q holds a key that role %s has now, and a new one is wanted", file, name)
			}
		}
		if len(named) < left.missing {
			return fmt.Errorf("role %s needs %d new keys, and these are %d", name, left.missing, len(named))
		}
		return nil
	})
	return line, err
}

// thresholdComment says beside the threshold what it was.
func (iv *interview) thresholdComment() string {
	if iv.chain == nil || !iv.plan.Follows() {
		return "holders who must sign"
	}
	if before := iv.oldThreshold(); before != iv.plan.Root.Threshold {
		return fmt.Sprintf("holders who must sign; it was %d", before)
	}
	return "holders who must sign, as before"
}

// exists reports whether there is something in the plan's folder.
func (iv *interview) exists(name string) bool {
	_, err := os.Stat(iv.at(name))
	return err == nil
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
