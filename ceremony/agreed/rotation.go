package agreed

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rootceremony/ceremony/tuf"
)

// Rotation is what `check` says of a root that follows another one: who must
// sign, whether a version in between is wiser, what becomes of clients, and
// what of the trusted root does not stay as it is.
type Rotation struct {
	Old      Signers  `json:"old"`
	New      Signers  `json:"new"`
	People   int      `json:"people"`   // so many people suffice for both, at the least
	Restores int      `json:"restores"` // so many stolen keys must sign, and so be restored before
	Steps    Steps    `json:"steps"`
	Clients  Walked   `json:"clients"` // presuming the signatures that are planned
	Notes    []string `json:"notes"`   // on the trusted root

	warnings []string
}

// Signers are the keys of the root role of a version, and who can sign with
// them.
type Signers struct {
	Version int64       `json:"version"`
	Need    int         `json:"need"` // the threshold
	Keys    []SignerKey `json:"keys"`
}

// SignerKey is one root key, by whose it is.
type SignerKey struct {
	Name    string `json:"name"`            // "key 1b1b1dd5" where nobody is named
	KeyID   string `json:"keyid,omitempty"` // empty: it is still to be made
	Dropped string `json:"dropped,omitempty"`
	Can     string `json:"can"`             // CanSign, CanRestored or CanNot
	Token   string `json:"token,omitempty"` // empty with a KeyID: its holder signs with a tool of their own
}

// Whether anybody can sign with a key: SignerKey.Can.
const (
	CanSign     = "yes"
	CanRestored = "restored" // once its backup is open: somebody else has the token
	CanNot      = "no"
)

// Steps is the advice to make two versions instead of one. Both lists are empty
// where one version is fine.
type Steps struct {
	Why      []string `json:"why"`
	Versions []string `json:"versions"` // what each should be
}

// How many versions clients take in one update: some that are old, and the most
// used ones of today. More of them count only where a chain is that long.
const (
	oldWalk  = 32
	longWalk = 256
	nearWalk = 200 // versions from which longWalk is worth a word
)

// Walked is what becomes of clients that trust a root of the chain.
type Walked struct {
	First int64 `json:"first"` // the oldest version that was looked at
	Last  int64 `json:"last"`  // the newest one
	To    int64 `json:"to"`    // the new root
}

// WalkClients walks clients from every version of a trusted chain to a new
// root, as specification 5.3 has them do. A client that trusts a version goes
// on exactly if each later file is good after the one before, so that every
// file is verified once. The error says which clients are left behind.
func WalkClients(chain [][]byte, root []byte) (Walked, error) {
	if len(chain) == 0 {
		return Walked{}, errors.New("there is no trusted root to walk from")
	}
	w, verified := Walked{}, tuf.Chain{}
	for i, data := range append(slices.Clip(chain), root) {
		step, err := verified.Add(data)
		switch {
		case err != nil && i == 0:
			return w, fmt.Errorf("the first root of the chain: %w", err)
		case err != nil && w.First == w.Last:
			return w, fmt.Errorf("clients on version %d do not go on: %w", w.First, err)
		case err != nil:
			return w, fmt.Errorf("clients on versions %d to %d do not go on after version %d: %w", w.First, w.Last, w.Last, err)
		case i == 0:
			w.First, w.Last = step.Version, step.Version
		case i < len(chain):
			w.Last = step.Version
		}
		w.To = step.Version
	}
	return w, nil
}

// Lines says where clients go. done reports whether they were walked, or are to.
func (w Walked) Lines(done bool) []string {
	who, goes, steps := fmt.Sprintf("clients on versions %d to %d", w.First, w.Last), "walk", fmt.Sprintf("up to %d steps", w.To-w.First)
	if w.First == w.Last {
		who, steps = fmt.Sprintf("clients on version %d", w.First), "1 step"
	}
	if done {
		goes = "were walked"
	}
	lines := []string{fmt.Sprintf("%s %s %s to version %d%s", who, goes, steps, w.To, map[bool]string{false: ", once that is signed"}[done])}
	if w.First > 1 {
		lines = append(lines, fmt.Sprintf("clients on versions before %d were not looked at: the chain that was given begins there", w.First))
	}
	// The first root may have come with a program long ago, whatever was given.
	switch n := w.To - 1; {
	case n > longWalk:
		lines = append(lines, fmt.Sprintf("some clients take at most %d versions in one update: from version 1 there are %d, so programs must come with a newer root", longWalk, n))
	case n > nearWalk:
		lines = append(lines, fmt.Sprintf("some clients take at most %d versions in one update: from version 1 there are %d now (hint: let programs come with a newer root)", longWalk, n))
	case n > oldWalk:
		lines = append(lines, fmt.Sprintf("some old clients take at most %d versions in one update: from version 1 there are %d (hint: let programs come with a newer root)", oldWalk, n))
	}
	return lines
}

// Rotation looks at what a plan makes of the trusted root; nil for Create.
func (r *Plan) Rotation() *Rotation {
	if r.Trusted == nil {
		return nil
	}
	p := &Rotation{
		Old:     r.oldSigners(),
		New:     Signers{Version: r.Version, Need: r.Threshold},
		Clients: Walked{First: r.Trusted.Versions[0].Version, Last: r.Trusted.Newest().Version, To: r.Version},
		Notes:   r.trustedNotes(),
	}
	for _, h := range r.Holders {
		p.New.Keys = append(p.New.Keys, SignerKey{Name: h.Name, KeyID: h.KeyID, Can: CanSign, Token: h.Token})
	}
	p.Restores = max(0, p.Old.Need-len(p.Old.Names(CanSign)))
	p.People = Fewest(p.Old, p.New)
	p.Steps, p.warnings = r.steps(p)
	p.warnings = append(p.warnings, r.dropWarnings()...)
	return p
}

// oldSigners are the keys that can sign for the trusted root. A key that is
// there under two ids counts once.
func (r *Plan) oldSigners() Signers {
	role := r.TrustedFile.Root.Roles[tuf.RoleRoot]
	s := Signers{Version: r.TrustedFile.Root.Version, Need: role.Threshold}
	at := map[string]int{}
	for _, id := range role.KeyIDs {
		k := SignerKey{KeyID: id, Can: CanSign}
		for _, h := range r.Holders {
			if h.KeyID == id {
				k.Name, k.Token = h.Name, h.Token
			}
		}
		for _, d := range r.Drops {
			if d.KeyID != id {
				continue
			}
			k.Name, k.Token, k.Dropped = d.name(), d.Token, d.Reason
			switch d.Reason {
			case Lost:
				k.Can = CanNot
			case Stolen:
				k.Can = CanRestored
			}
		}
		key, _ := r.TrustedFile.Root.Key(id)
		if key.Unverifiable != "" {
			k.Can = CanNot
		}
		i, twice := at[key.Value()]
		switch {
		case !twice:
			at[key.Value()] = len(s.Keys)
			s.Keys = append(s.Keys, k)
		case k.Dropped == "" || s.Keys[i].Can == CanNot || k.Can == CanSign && s.Keys[i].Can == CanRestored:
			s.Keys[i] = k // who can do more with it
		}
	}
	return s
}

// key says which key of the trusted root it is: "Alice's old key", or
// "key 1b1b1dd5".
func (k SignerKey) key() string {
	if k.Name == "" || k.KeyID != "" && k.Name == fmt.Sprintf("key %.8s", k.KeyID) {
		return fmt.Sprintf("key %.8s", k.KeyID)
	}
	return k.Name + "'s old key"
}

// Names are those of the keys with which somebody can sign so.
func (s Signers) Names(can string) []string {
	var names []string
	for _, k := range s.Keys {
		if k.Can == can {
			names = append(names, k.Name)
		}
	}
	return names
}

// tools are the names of those who sign with no token that the plan names.
func (s Signers) tools() []string {
	var names []string
	for _, k := range s.Keys {
		if k.Can == CanSign && k.KeyID != "" && k.Token == "" {
			names = append(names, k.Name)
		}
	}
	return names
}

// makes are the names of those whose key is still to be made.
func (s Signers) makes() []string {
	var names []string
	for _, k := range s.Keys {
		if k.KeyID == "" {
			names = append(names, k.Name)
		}
	}
	return names
}

// Fewest is how many people must sign at the least to reach both thresholds.
// Who drops a key and gets a new one, or keeps theirs, is one person and signs
// for both. Stolen keys sign only where there is no other way.
func Fewest(old, new Signers) int {
	type person struct{ old, new int }
	people := map[string]*person{}
	of := func(name string) *person {
		if people[Fold(name)] == nil {
			people[Fold(name)] = &person{}
		}
		return people[Fold(name)]
	}
	restored := len(old.Names(CanSign)) < old.Need
	for _, k := range old.Keys {
		if k.Can == CanSign || k.Can == CanRestored && restored {
			of(k.Name).old++
		}
	}
	for _, k := range new.Keys {
		of(k.Name).new++
	}
	var both, leave []int // how many old keys those have who sign for the new root, and the others
	for _, p := range people {
		if p.new > 0 {
			both = append(both, p.old)
		} else {
			leave = append(leave, p.old)
		}
	}
	slices.Sort(both)
	slices.Sort(leave)
	slices.Reverse(both)
	slices.Reverse(leave)
	// Of those who sign for the new root it is best to take who have most old
	// keys; beyond the new threshold, anyone who has more.
	least := len(both) + len(leave)
	for n := new.Need; n <= len(both); n++ {
		have, others := 0, 0
		for _, k := range both[:n] {
			have += k
		}
		for ; have < old.Need && others < len(leave); others++ {
			have += leave[others]
		}
		if have >= old.Need {
			least = min(least, n+others)
		}
	}
	return least
}

// steps advises a version in between, where that is wiser; and says what to
// mind where there is none.
func (r *Plan) steps(p *Rotation) (Steps, []string) {
	c := r.changes()
	need, able := p.Old.Need, len(p.Old.Names(CanSign))
	if able <= need && able < len(p.Old.Keys) {
		return r.urgentSteps(p, c, able)
	}
	var why []string
	threshold, early, late := r.Threshold, c.fresh, []Drop{}
	if len(c.fresh) > 0 && 2*len(r.Drops) > len(p.Old.Keys) && len(c.stay) < r.Threshold {
		// As many keys that have signed before as are needed stay: first of
		// those who get a new one, as nobody is to have two.
		proven := append(slices.Clone(c.movers), c.leavers...)
		least := r.Threshold
		if len(c.stay)+len(proven) < least && need >= 2 {
			least = min(need, least)
		}
		if n := least - len(c.stay); n <= len(proven) {
			rest := slices.DeleteFunc(slices.Clone(c.fresh), func(h Holder) bool { return ofDrops(proven[:n], h.Name) })
			if len(rest) > 0 {
				what := map[bool]string{true: "all root keys change", false: "most root keys change"}[len(c.stay) == 0]
				why = append(why, what+" at once: if the new tokens have a fault, nobody can sign the version after")
				threshold, early, late = least, rest, proven[:n]
			}
		}
	}
	if exist := len(c.stay) + len(late); threshold > need && threshold > exist && need >= 2 && len(c.fresh) > 0 || threshold < r.Threshold {
		why = append(why, fmt.Sprintf("the threshold rises to %d, and only %d of its tokens %s yet: one new token that fails holds everything up", r.Threshold, exist, map[bool]string{true: "exists", false: "exist"}[exist == 1]))
		threshold = need
	}
	if len(why) == 0 {
		return Steps{Why: []string{}, Versions: []string{}}, nil
	}
	first := slices.Concat(c.stay, asHolders(late), early)
	if b := r.between(first, threshold, false); b.Refused || threshold > len(first) {
		return Steps{Why: []string{}, Versions: []string{}}, []string{fmt.Sprintf("%s; a version in between would be too large (%d bytes, of %d at most): so one version it is (hint: rehearse it, and check every new token weeks before the day)", strings.Join(why, "; "), b.Bytes, b.Limit)}
	}
	in := version(r.Version, early, nil)
	if len(late) > 0 {
		in += fmt.Sprintf(", while %s %s", dropKeys(late), map[bool]string{true: "stays", false: "stay"}[len(late) == 1])
	}
	moved := slices.DeleteFunc(slices.Clone(c.fresh), func(h Holder) bool { return !ofDrops(late, h.Name) })
	then := version(r.Version+1, moved, late)
	if threshold != r.Threshold {
		in += fmt.Sprintf(", and a threshold of %d as now", threshold)
		then += fmt.Sprintf("%s a threshold of %d", map[bool]string{true: " with", false: ", and"}[len(late) == 0], r.Threshold)
	}
	return Steps{why, []string{in, then}}, nil
}

// urgentSteps is for when the loss of one more old key would be the end.
func (r *Plan) urgentSteps(p *Rotation, c changes, able int) (Steps, []string) {
	why := fmt.Sprintf("only just enough keys of version %d can still sign (%d, and %d must): the loss of one more before the day leaves no way on", p.Old.Version, able, p.Old.Need)
	if some := len(p.Old.Names(CanRestored)); some > 0 && p.Restores == 0 {
		why += " but to restore what is stolen"
	}
	if p.Restores > 0 {
		why = fmt.Sprintf("%d of the stolen keys (%s) must sign for version %d: restore so many from their backups first, or no version can be made", p.Restores, Counted(p.Old.Names(CanRestored), "and", "holders"), p.Old.Version)
	}
	// With what is there, and one to spare: nobody waits for new tokens.
	retired := append(slices.Clone(c.movers), c.leavers...)
	first := append(slices.Clone(c.stay), asHolders(retired)...)
	threshold := min(p.Old.Need, len(first)-1)
	if len(c.fresh) == 0 || threshold < 2 || r.between(first, threshold, true).Refused {
		return Steps{Why: []string{}, Versions: []string{}}, []string{why + " (hint: hold the ceremony soon)"}
	}
	then := version(r.Version+1, c.fresh, retired)
	if len(r.Roles) > 0 {
		then += ", the online roles as planned"
	}
	return Steps{[]string{why}, []string{
		fmt.Sprintf("version %d as soon as can be, with only the keys of %s and a threshold of %d: nobody has to make a key for it", r.Version, holderNames(first), threshold),
		fmt.Sprintf("%s, and a threshold of %d", then, r.Threshold),
	}}, nil
}

// changes are the keys of a rotation by what becomes of them.
type changes struct {
	stay    []Holder // keep their key
	fresh   []Holder // make a new one
	movers  []Drop   // retired, by one who makes a new one
	leavers []Drop   // retired, by others
}

func (r *Plan) changes() (c changes) {
	for _, h := range r.Holders {
		if h.Custody == Existing {
			c.stay = append(c.stay, h)
		} else {
			c.fresh = append(c.fresh, h)
		}
	}
	for _, d := range r.Drops {
		if d.Reason != Retired {
			continue
		}
		if slices.ContainsFunc(c.fresh, func(h Holder) bool { return Fold(h.Name) == Fold(d.Name) }) && !ofDrops(c.movers, d.Name) {
			c.movers = append(c.movers, d)
		} else {
			c.leavers = append(c.leavers, d)
		}
	}
	return c
}

// ofDrops reports whether one of the dropped keys is that of a person.
func ofDrops(drops []Drop, name string) bool {
	return slices.ContainsFunc(drops, func(d Drop) bool { return d.Name != "" && Fold(d.Name) == Fold(name) })
}

// asHolders are dropped keys as they would be held in a version that keeps
// them.
func asHolders(drops []Drop) []Holder {
	var holders []Holder
	for _, d := range drops {
		holders = append(holders, Holder{ID: d.ID, Name: d.name(), Token: d.Token, KeyID: d.KeyID, Custody: Existing})
	}
	return holders
}

// between measures a version with other holders and another threshold; bare
// leaves the online roles as they are.
func (r *Plan) between(holders []Holder, threshold int, bare bool) Budget {
	other := *r
	other.Holders, other.Threshold = holders, threshold
	other.Drops = slices.DeleteFunc(slices.Clone(r.Drops), func(d Drop) bool {
		return slices.ContainsFunc(holders, func(h Holder) bool { return h.KeyID == d.KeyID })
	})
	if bare {
		other.Roles = map[string]Role{}
	}
	return other.Budget()
}

func holderNames(holders []Holder) string {
	var names []string
	for _, h := range holders {
		names = append(names, h.Name)
	}
	return Counted(names, "and", "holders")
}

func dropKeys(drops []Drop) string {
	var names []string
	for _, d := range drops {
		names = append(names, d.key())
	}
	return Counted(names, "and", "keys")
}

// version says what a version brings, and what it drops.
func version(v int64, fresh []Holder, dropped []Drop) string {
	text := fmt.Sprintf("version %d", v)
	if len(fresh) > 0 {
		text += fmt.Sprintf(" with the new %s of %s", plural("key", len(fresh)), holderNames(fresh))
	}
	if len(fresh) > 0 && len(dropped) > 0 {
		text += ","
	}
	if len(dropped) > 0 {
		text += " without " + dropKeys(dropped)
	}
	return text
}

// dropWarnings says what dropping a key does not end.
func (r *Plan) dropWarnings() []string {
	var warnings []string
	root := r.TrustedFile.Root
	var exposed []string
	for _, k := range root.Keys {
		if k.Exposed {
			exposed = append(exposed, fmt.Sprintf("%.8s", k.ID))
		}
	}
	if n := len(exposed); n > 0 {
		warnings = append(warnings, fmt.Sprintf("THE PRIVATE HALF of %s stands in version %d itself: %s compromised, and everything that %s can be made by anybody",
			Counted(exposed, "and", "keys"), root.Version, map[bool]string{true: "it counts as", false: "they count as"}[n == 1], map[bool]string{true: "it signs", false: "they sign"}[n == 1]))
	}
	var theirs []Drop
	for _, d := range r.Drops {
		if d.Reason == Stolen || d.Reason == Compromised {
			theirs = append(theirs, d)
		}
	}
	if need := r.TrustedFile.Root.Roles[tuf.RoleRoot].Threshold; len(theirs) >= need {
		warnings = append(warnings, fmt.Sprintf("anyone who has %s (stolen or compromised) can sign a root after version %d alone: clients that meet that one first follow it, and no new version calls them back (hint: %s says what is left to do)",
			dropKeys(theirs), r.TrustedFile.Root.Version, Command("plan", "--kind", Revoke, "DIR")))
	}
	return warnings
}

// staysInUse says which dropped root keys sign for another role of the new root,
// and above all where somebody else has such a key.
func (r *Plan) staysInUse() []string {
	var warnings []string
	root, exposed := r.Outline(), map[string]bool{}
	if r.Trusted != nil {
		exposed = r.TrustedRoot().Exposed()
	}
	for _, name := range OnlineRoles {
		for _, id := range root.Roles[name].KeyIDs {
			if exposed[ValueOf(root, id)] {
				warnings = append(warnings, fmt.Sprintf("A PUBLISHED PRIVATE KEY STAYS IN USE: anybody can sign for %s with the key %.8s, and the new root keeps it (hint: [role.%s] in the plan, with a new key)", name, id, name))
			}
		}
	}
	for _, d := range r.Drops {
		values := []string{ValueOf(r.TrustedFile.Root, d.KeyID)}
		if d.TargetsKeyID != "" {
			values = append(values, ValueOf(r.TrustedFile.Root, d.TargetsKeyID))
		}
		for _, name := range OnlineRoles {
			role := root.Roles[name]
			if !slices.ContainsFunc(role.KeyIDs, func(id string) bool { return slices.Contains(values, ValueOf(root, id)) }) {
				continue
			}
			const hint = " (hint: [role.%s] in the plan, with the keys that are good)"
			text := fmt.Sprintf("%s is dropped as a root key (%s), but still signs for %s", d.key(), d.Reason, name)
			switch d.Reason {
			case Lost:
				text = fmt.Sprintf("%s is dropped as a root key (%s), and stays in %s, for which nobody can sign with it"+hint, d.key(), d.Reason, name, name)
			case Stolen, Compromised:
				can := "anyone who has it signs for that role alone"
				if role.Threshold > 1 {
					can = fmt.Sprintf("anyone who has it signs as one of the %d that must", role.Threshold)
				}
				text = fmt.Sprintf("A %s KEY STAYS IN USE: %s is dropped as a root key, and this plan leaves it in %s: %s"+hint, strings.ToUpper(d.Reason), d.key(), name, can, name)
			}
			warnings = append(warnings, text)
		}
	}
	return warnings
}

// trustedNotes says what of the trusted root is carried over as no new root has
// it, and what is not carried over.
func (r *Plan) trustedNotes() []string {
	old, draft, notes := r.TrustedFile.Root, r.Outline(), []string{}
	var legacy, unused, roles, fields []string
	for _, k := range old.Keys {
		_, stays := draft.Key(k.ID)
		switch {
		case stays && !asNew(k, old.Notation()):
			legacy = append(legacy, fmt.Sprintf("%.8s", k.ID))
		case !usedBy(old, k.ID):
			unused = append(unused, fmt.Sprintf("%.8s", k.ID))
		}
	}
	for name := range old.Roles {
		if !slices.Contains(tuf.RoleNames, name) {
			roles = append(roles, fmt.Sprintf("%q", name))
		}
	}
	slices.Sort(roles)
	for _, f := range draft.Extra {
		if slices.Contains(old.Extra, f) && !strings.EqualFold(f.Name, "x-rehearsal") {
			fields = append(fields, fmt.Sprintf("%q", f.Name))
		}
	}
	say := func(names []string, noun, one, many string) {
		if n := len(names); n > 0 {
			verb := map[bool]string{true: one, false: many}[n == 1]
			note := fmt.Sprintf("%d %s %s", n, plural(noun, n), verb)
			if n <= namedAtMost {
				note += ": " + Counted(names, "and", "")
			}
			notes = append(notes, note)
		}
	}
	if note := r.NotationNote(); note != "" {
		notes = append(notes, note)
	}
	say(legacy, "key", "is carried over in a notation that new keys do not have, as its id hangs on it", "are carried over in a notation that new keys do not have, as their ids hang on it")
	say(fields, "field", "that the specification does not name is carried over", "that the specification does not name are carried over")
	say(roles, "role", "that the specification does not name is left out, as not all clients read it", "that the specification does not name are left out, as not all clients read them")
	say(unused, "key", "is left out, as none of the four roles uses it", "are left out, as none of the four roles uses them")
	if slices.ContainsFunc(r.TrustedFile.Findings, func(f tuf.Finding) bool { return f.Text == "consistent_snapshot is absent" }) {
		notes = append(notes, fmt.Sprintf("consistent_snapshot is absent, which clients read as false: the new root says %v", r.ConsistentSnapshot))
	}
	if old.Rehearsal() {
		notes = append(notes, "it is the root of a rehearsal: a real ceremony refuses it")
	}
	return notes
}

// NotationNote says how new keys are written where the chain has a notation of its
// own; "" where it has none.
func (r *Plan) NotationNote() string {
	n := r.TrustedRoot().Notation()
	if n == "" {
		return ""
	}
	return fmt.Sprintf("all keys of version %d have keyid_hash_algorithms %s: new keys get it too, as php-tuf refuses a root over one without it", r.Version-1, n)
}

// asNew reports whether a key stands in a root as new ones do, but for spaces.
func asNew(k tuf.Key, notation tuf.Notation) bool {
	var read tuf.Key // its id is that of the object
	plain, err := notation.NewKey(k.Public)
	return err == nil && read.UnmarshalJSON(k.Object()) == nil && read.ID == plain.ID && k.ID == plain.ID
}

// usedBy reports whether one of the four roles uses a key.
func usedBy(root *tuf.Root, id string) bool {
	return slices.ContainsFunc(tuf.RoleNames, func(name string) bool { return slices.Contains(root.Roles[name].KeyIDs, id) })
}

// Lines says it to people.
func (p *Rotation) Lines() []string {
	signs := []string{
		fmt.Sprintf("old root, version %d: %s", p.Old.Version, p.Old.Who()),
		fmt.Sprintf("new root, version %d: %s", p.New.Version, p.New.Who()),
		fmt.Sprintf("%d %s for both: a key that is in both counts for both", p.People, map[bool]string{true: "person suffices", false: "people suffice"}[p.People == 1]),
	}
	for _, k := range p.Old.Keys {
		switch k.Can {
		case CanNot:
			signs = append(signs, fmt.Sprintf("nobody can sign with %s: %s", k.key(), k.Dropped))
		case CanRestored:
			signs = append(signs, fmt.Sprintf("%s must be restored from a backup to sign: %s", k.key(), k.Dropped))
		}
	}
	if tools := p.Old.tools(); len(tools) > 0 {
		signs = append(signs, fmt.Sprintf("no token is named for %s: signed with a tool of their own, and collected", Counted(tools, "and", "holders")))
	}
	if makes := p.New.makes(); len(makes) > 0 {
		signs = append(signs, fmt.Sprintf("new keys are made by %s", Counted(makes, "and", "holders")))
	}
	versions := []string{"one version suffices"}
	if len(p.Steps.Why) > 0 {
		versions[0] = "two versions are wiser than one:"
	}
	for _, why := range p.Steps.Why {
		versions = append(versions, "- "+why)
	}
	for i, v := range p.Steps.Versions {
		versions = append(versions, fmt.Sprintf("%d. %s", i+1, v))
	}
	versions = append(versions, p.Clients.Lines(false)...)
	return append(section("who must sign:", signs), section("versions:", versions)...)
}

// Who says how many must sign, out of whom.
func (s Signers) Who() string {
	g := Group{Any: s.Need, By: byTokens}
	for _, k := range s.Keys {
		switch {
		case k.Can == CanNot:
			continue
		case k.Can == CanRestored:
			g.Of = append(g.Of, k.Name+" (restored)")
		case k.Dropped != "":
			g.Of = append(g.Of, k.Name+" (drops)")
		default:
			g.Of = append(g.Of, k.Name)
		}
	}
	return g.String()
}
