package agreed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Targets is the targets metadata that holders sign with the root, each with a
// targets key: one of their own beside the root key, or one of the trusted root
// that stays. Who they are, and how many must sign, is Roles' entry for targets.
type Targets struct {
	Version     int64           `json:"version"`        // of the metadata that will be made: 1, or one more than the file's
	Expires     time.Time       `json:"expires"`        // UTC, whole seconds
	Algorithm   keys.Algorithm  `json:"algorithm"`      // of the targets keys that are to be made: keys.Ed25519 or keys.P256
	File        *CarriedTargets `json:"file,omitempty"` // nil: there are no targets yet
	Delegations []Delegation    `json:"delegations"`    // in the order in which clients ask them
}

// CarriedTargets is the targets file of which the targets are carried over byte for
// byte: it is not in the plan, whatever its size, and its digest is.
type CarriedTargets struct {
	SHA256      string `json:"sha256"` // of the file, in hex
	Length      int    `json:"length"` // of the file, in bytes
	Version     int64  `json:"version"`
	Targets     int    `json:"targets"`     // how many target files it lists
	Signed      bool   `json:"signed"`      // somebody has: with a trusted root, enough for its targets role
	Delegations bool   `json:"delegations"` // its delegations stay, and the plan has none of its own
}

// Delegation is a role that may sign for some paths: with the targets keys of
// holders, or with keys of others.
type Delegation struct {
	Name             string    `json:"name"`
	Paths            []string  `json:"paths,omitempty"` // or else PathHashPrefixes
	PathHashPrefixes []string  `json:"path_hash_prefixes,omitempty"`
	Threshold        int       `json:"threshold"`
	Terminating      bool      `json:"terminating,omitempty"`
	Holders          []string  `json:"holders,omitempty"` // ids; or else Keys
	Keys             []tuf.Key `json:"keys,omitempty"`
}

// maxDelegations is how many delegations targets metadata of a ceremony may have:
// clients are slow on more, and people look at none of them.
const maxDelegations = 10_000

// Carries is what a targets file is in a plan. keeps says that its delegations stay.
// root is the trusted root; nil: there is none.
func Carries(data []byte, f *tuf.TargetsFile, root *tuf.Root, keeps bool) *CarriedTargets {
	c := &CarriedTargets{SHA256: DigestOf(data), Length: len(data), Version: f.Targets.Version, Targets: len(f.Targets.Targets), Delegations: keeps && delegates(f)}
	if root != nil {
		c.Signed = f.Report(root).Good()
	} else {
		c.Signed = signedBySomebody(f)
	}
	return c
}

// delegates reports whether a file has more than empty delegations, as some tools write
// them.
func delegates(f *tuf.TargetsFile) bool {
	d := f.Targets.Delegations
	return d != nil && (len(d.Roles) > 0 || d.Succinct != nil)
}

// signedBySomebody reports whether a file has more than placeholders of signatures.
func signedBySomebody(f *tuf.TargetsFile) bool {
	return slices.ContainsFunc(f.Signatures, func(s tuf.Signature) bool { return len(s.Sig) > 0 || s.Malformed != "" })
}

// Holdable tells why no ceremony of this version can be held of the plan.
func (r *Plan) Holdable() error {
	if r.Targets == nil {
		return nil
	}
	return errors.New("holders sign targets in this plan: this version checks such a plan and can't hold it yet (hint: for a ceremony of the root alone, name key files in [role.targets] and leave [targets] and [[delegation]] out)")
}

// signsTargets reports whether a holder has a targets key in this plan: for the
// targets role, or for a delegated one.
func (r *Plan) signsTargets(id string) bool {
	return slices.Contains(r.Roles[tuf.RoleTargets].Holders, id) ||
		r.Targets != nil && slices.ContainsFunc(r.Targets.Delegations, func(d Delegation) bool { return slices.Contains(d.Holders, id) })
}

// makesTargetsKey reports whether a holder's targets key is still to be made.
func (r *Plan) makesTargetsKey(h Holder) bool { return r.signsTargets(h.ID) && h.TargetsKeyID == "" }

// targetsKey is a holder's targets key: that of the trusted root which stays, or
// the one that was made.
func (r *Plan) targetsKey(h Holder, made map[string]keys.PublicKey) (tuf.Key, error) {
	if h.TargetsKeyID != "" {
		key, _ := r.TrustedFile.Root.Key(h.TargetsKeyID)
		return key, nil
	}
	public, ok := made[h.ID]
	if !ok {
		return tuf.Key{}, fmt.Errorf("the targets key of %s is missing", h.Name)
	}
	return r.TrustedRoot().Notation().NewKey(public)
}

// targetsRole are the keys that are made for the targets role where holders have its
// keys, and the ids of all, in the order of the trusted root and then of the plan.
func (r *Plan) targetsRole(old *tuf.Root, made map[string]keys.PublicKey) (fresh []tuf.Key, ids []string, err error) {
	role := r.Roles[tuf.RoleTargets]
	for _, id := range old.Roles[tuf.RoleTargets].KeyIDs {
		if slices.ContainsFunc(r.Holders, func(h Holder) bool { return h.TargetsKeyID == id && slices.Contains(role.Holders, h.ID) }) {
			ids = append(ids, id)
		}
	}
	for _, h := range r.Holders {
		if !slices.Contains(role.Holders, h.ID) || h.TargetsKeyID != "" {
			continue
		}
		key, err := r.targetsKey(h, made)
		if err != nil {
			return nil, nil, err
		}
		fresh, ids = append(fresh, key), append(ids, key.ID)
	}
	return fresh, ids, nil
}

// assembleTargets puts the targets metadata together. Targets are as in the carried
// file, and so are delegations where they stay, byte for byte.
func (r *Plan) assembleTargets(made map[string]keys.PublicKey) (*tuf.Targets, error) {
	t, old := &tuf.Targets{SpecVersion: tuf.SpecVersion}, &tuf.Delegations{}
	if r.Targets.File != nil {
		t = r.CarriedFile.Targets.Next()
		if t.Delegations != nil {
			old = t.Delegations
		}
		if !r.Targets.File.Delegations {
			t.Delegations = nil
		}
	}
	t.Version, t.Expires = r.Targets.Version, r.Targets.Expires
	t.SetRehearsal(r.Rehearsal)
	if len(r.Targets.Delegations) == 0 {
		return t, nil
	}
	t.Delegations = &tuf.Delegations{}
	// A key that signs now keeps its id, on which its signatures hang.
	signs, there := map[string]tuf.Key{}, map[string]bool{}
	for _, key := range old.Keys {
		signs[key.Value()] = key
	}
	for _, d := range r.Targets.Delegations {
		role := tuf.Delegation{Name: d.Name, Role: tuf.Role{Threshold: d.Threshold}, Terminating: d.Terminating, Paths: d.Paths, PathHashPrefixes: d.PathHashPrefixes}
		named := slices.Clone(d.Keys)
		for _, h := range r.Holders {
			if !slices.Contains(d.Holders, h.ID) {
				continue
			}
			key, err := r.targetsKey(h, made)
			if err == nil { // the trusted root may have it in a notation of its own
				key, err = r.TrustedRoot().Notation().NewKey(key.Public)
			}
			if err != nil {
				return nil, err
			}
			named = append(named, key)
		}
		for _, key := range named {
			if is, known := signs[key.Value()]; known {
				key = is
			}
			role.KeyIDs = append(role.KeyIDs, key.ID)
			if !there[key.ID] {
				t.Delegations.Keys = append(t.Delegations.Keys, key)
			}
			there[key.ID] = true
		}
		t.Delegations.Roles = append(t.Delegations.Roles, role)
	}
	return t, nil
}

// TargetsOutline is the planned targets metadata, with placeholders for keys that are
// still to be made; nil where there is none, or the file that it carries wasn't read.
func (r *Plan) TargetsOutline() *tuf.Targets {
	if r.Targets == nil || r.Targets.File != nil && r.CarriedFile == nil {
		return nil
	}
	t, err := r.assembleTargets(r.targetsPlaceholders())
	if err != nil {
		panic(fmt.Sprintf("outline of targets: %v", err)) // placeholders and checked keys are good keys
	}
	return t
}

// CheckTargets tells why the planned targets metadata could not be written, beyond the
// rules: something in the file that it carries.
func (r *Plan) CheckTargets() error {
	t := r.TargetsOutline()
	if t == nil {
		return nil
	}
	var before *tuf.Targets
	if r.CarriedFile != nil {
		before = r.CarriedFile.Targets
	}
	err := t.Check(before)
	if err != nil && before != nil && r.Targets.File.Delegations {
		err = fmt.Errorf("with the delegations of the targets file: %w (hint: [[delegation]] in the plan, in their place)", err)
	}
	return err
}

// targetsPlaceholders are keys in the places of the targets keys that are still to be
// made, by holder's id.
func (r *Plan) targetsPlaceholders() map[string]keys.PublicKey {
	made := map[string]keys.PublicKey{}
	for _, h := range r.Holders {
		if r.makesTargetsKey(h) {
			made[h.ID] = Placeholder(r.Targets.Algorithm, "targets key of "+h.ID)
		}
	}
	return made
}

// targetsNames are names by key id of the targets keys, placeholders among them, and of
// what is known of keys that leave.
func (r *Plan) targetsNames() map[string]string {
	names := map[string]string{}
	for _, d := range r.Drops {
		for _, id := range []string{d.KeyID, d.TargetsKeyID} {
			if id != "" && d.Name != "" {
				names[id] = d.Name
			}
		}
	}
	made := r.targetsPlaceholders()
	for _, h := range r.Holders {
		if !r.signsTargets(h.ID) {
			continue
		}
		key, err := r.targetsKey(h, made)
		if err != nil {
			continue // a placeholder is there for each
		}
		names[key.ID] = h.Name
		if plain, err := r.TrustedRoot().Notation().NewKey(key.Public); err == nil {
			names[plain.ID] = h.Name
		}
	}
	return names
}

// targets holds [targets] to the targets role, and the file to the trusted root.
func (c *ruling) targets() {
	role, t := c.Roles[tuf.RoleTargets], c.Targets
	switch {
	case t == nil && role.Holders != nil && !c.said.Of("targets"):
		c.fault("role.targets.keys", "holders are to sign targets, and [targets] is missing (hint: [targets] with expires)")
	case t != nil && role.Holders == nil && !c.said.Of("role.targets"):
		c.fault("targets", "[targets] is for targets that holders sign, and [role.targets] names none of them (hint: keys = [%q] there)", EveryHolder)
	}
	c.targetsKeys()
	if t == nil {
		return
	}
	switch least, known := Firmware[t.Algorithm]; {
	case !known:
		c.fault("targets.algorithm", "algorithm %q is none of %s, %s", t.Algorithm, keys.P256, keys.Ed25519)
	default:
		if asked, err := ParseFirmware(c.Token.MinFirmware); err == nil && asked.Less(least) {
			c.fault("targets.algorithm", "%s keys need firmware %s, and min_firmware is %s (hint: %s, or min_firmware = %q)", t.Algorithm, least, asked, keys.P256, least)
		}
	}
	if t.File == nil {
		if t.Version != 1 {
			c.fault("targets.version", "targets version %d: without a file before it comes version 1", t.Version)
		}
	} else if err := c.carried(); err != nil {
		c.fault("targets.file", "%v", err)
	}
	if n := len(t.Delegations); n > maxDelegations {
		c.fault("delegation", "%d delegations: at most %d", n, maxDelegations)
		return
	}
	names := map[string]bool{}
	for i, d := range t.Delegations {
		c.delegation(Element("delegation", i), d, names)
	}
}

// targetsKeys checks which targets keys of the trusted root stay, and whose.
func (c *ruling) targetsKeys() {
	if c.TrustedFile == nil {
		for i, h := range c.Holders {
			if h.TargetsKeyID != "" {
				c.fault(Element("holder", i)+".targets_keyid", "targets_keyid is for rotate and revoke: create starts from no root")
			}
		}
		return
	}
	root := c.TrustedFile.Root
	exposed, owner := root.Exposed(), map[string]string{} // by value
	claim := func(path, id, who string) bool {
		if c.said.Of(path) {
			return false
		}
		if ids := root.Roles[tuf.RoleTargets].KeyIDs; !slices.Contains(ids, id) {
			c.fault(path, "no targets key of version %d has the id %q (hint: its targets keys are %s)", root.Version, id, Counted(shortened(ids), "and", "keys"))
			return false
		}
		value := ValueOf(root, id)
		if other, twice := owner[value]; twice {
			c.fault(path, "the targets key %.8s is %s already", id, other)
			return false
		}
		owner[value] = who
		return true
	}
	for i, d := range c.Drops {
		if value := ValueOf(root, d.KeyID); value != "" {
			owner[value] = fmt.Sprintf("dropped (%s)", d.Reason)
		}
		if d.TargetsKeyID != "" {
			claim(Element("drop", i)+".targets_keyid", d.TargetsKeyID, fmt.Sprintf("dropped (%s)", d.Reason))
		}
	}
	for i, h := range c.Holders {
		path := Element("holder", i)
		switch key, _ := root.Key(h.TargetsKeyID); {
		case h.TargetsKeyID == "" && h.Custody == Existing && h.Token == "" && c.makesTargetsKey(h):
			c.fault(path+".token", "%s makes a targets key, on a token that isn't named (hint: token, with its sticker; or targets_keyid, where a targets key of version %d is theirs)", h.Name, root.Version)
		case h.TargetsKeyID == "":
		case h.Custody != Existing:
			c.fault(path+".targets_keyid", "targets_keyid is for custody %q only: anyone who gets a new root key gets a new targets key with it", Existing)
		case !c.signsTargets(h.ID):
			c.fault(path+".targets_keyid", "%s keeps a targets key, and neither [role.targets] nor a [[delegation]] has %q among its keys", h.Name, h.ID)
		case !claim(path+".targets_keyid", h.TargetsKeyID, "that of "+h.Name):
		case key.Unverifiable != "":
			c.fault(path+".targets_keyid", "nothing that the key %.8s signs can be verified here: %s", h.TargetsKeyID, key.Unverifiable)
		case exposed[key.Value()]:
			c.fault(path+".targets_keyid", "the private half of the key %.8s stands in version %d itself, so that everybody can sign with it: it can't stay", h.TargetsKeyID, root.Version)
		}
	}
}

// signers checks the holders who are to sign for a role, and how many must.
func (c *ruling) signers(path string, holders []string, threshold int) {
	seen := map[string]bool{}
	for i, id := range holders {
		switch known := slices.ContainsFunc(c.Holders, func(h Holder) bool { return h.ID == id }); {
		case !known:
			c.fault(Element(path+".keys", i), "%q is no holder of this plan", id)
		case seen[id]:
			c.fault(Element(path+".keys", i), "the holder %q is there twice", id)
		}
		seen[id] = true
	}
	switch n := len(seen); {
	case n == 0:
		c.fault(path+".keys", "keys is empty")
	case threshold < 1:
		c.fault(path+".threshold", "threshold %d: at least 1 holder must sign", threshold)
	case threshold > n:
		c.fault(path+".threshold", "threshold %d is more than there are holders in the role (%d)", threshold, n)
	}
}

// delegation checks one delegation. names are those of the ones before it.
func (c *ruling) delegation(path string, d Delegation, names map[string]bool) {
	if !c.said.Of(path + ".name") {
		switch err := tuf.CheckDelegatedName(d.Name); {
		case err != nil:
			c.fault(path+".name", "the name of the delegated role %q %v", d.Name, err)
		case names[d.Name]:
			c.fault(path+".name", "the role %q is delegated to twice (hint: all its paths in one [[delegation]])", d.Name)
		}
		names[d.Name] = true
	}
	if (len(d.Paths) == 0) == (len(d.PathHashPrefixes) == 0) {
		c.fault(path, "the delegation to %q needs either paths or path_hash_prefixes, and one at least", d.Name)
	}
	for i, p := range d.Paths {
		if err := tuf.CheckPattern(p); err != nil {
			c.fault(Element(path+".paths", i), "the path %q %v", clipped(p), err)
		}
	}
	for i, p := range d.PathHashPrefixes {
		if err := tuf.CheckHashPrefix(p); err != nil {
			c.fault(Element(path+".path_hash_prefixes", i), "the prefix %q %v", clipped(p), err)
		}
	}
	if d.Holders != nil {
		if len(d.Keys) > 0 {
			c.fault(path+".keys", "keys are holders' or in key files: not both")
		}
		c.signers(path, d.Holders, d.Threshold)
		return
	}
	seen := map[string]bool{}
	for i, key := range d.Keys {
		at := Element(path+".keys", i)
		if c.said.Of(at) {
			continue
		}
		is, err := c.newKey(key)
		switch {
		case err != nil:
		case seen[is.Value()]:
			err = errors.New("it is there twice")
		default:
			err = c.unfit(is)
		}
		if err != nil {
			c.fault(at, "key %d: %v", i+1, err)
			continue
		}
		seen[is.Value()] = true
		d.Keys[i] = is
	}
	c.checkThreshold(path, d.Threshold, len(d.Keys))
}

// unfit tells why no path should be delegated to a key: this plan drops it, or
// everybody has it.
func (c *ruling) unfit(key tuf.Key) error {
	if c.TrustedFile == nil {
		return nil
	}
	root := c.TrustedFile.Root
	if root.Exposed()[key.Value()] {
		return fmt.Errorf("the private half of this key stands in version %d of the root, so that everybody can sign with it (hint: make a new one)", root.Version)
	}
	for _, d := range c.Drops {
		if key.Value() == ValueOf(root, d.KeyID) || d.TargetsKeyID != "" && key.Value() == ValueOf(root, d.TargetsKeyID) {
			return fmt.Errorf("it is %s, which is dropped (%s) (hint: a key that is good, in its place)", d.key(), d.Reason)
		}
	}
	return nil
}

// carried holds the targets file that is carried over to what is said of it, and to
// the trusted root.
func (c *ruling) carried() error {
	file, f := c.Targets.File, c.CarriedFile
	switch {
	case len(file.SHA256) != 64 || strings.Trim(file.SHA256, "0123456789abcdef") != "":
		return errors.New("targets file: no SHA-256")
	case file.Version < 1 || file.Version >= 1<<53-1:
		return fmt.Errorf("the targets file has version %d, and no version can follow on it", file.Version)
	case c.Targets.Version != file.Version+1:
		return fmt.Errorf("targets version %d does not follow version %d", c.Targets.Version, file.Version)
	case file.Length < 1 || file.Length > tuf.MaxTargetsSize || file.Targets < 0 || file.Targets > file.Length:
		return fmt.Errorf("a targets file of %d bytes with %d target files cannot be", file.Length, file.Targets)
	case file.Delegations && len(c.Targets.Delegations) > 0:
		return errors.New("the delegations of the targets file stay or the plan's are in their place: not both")
	case f == nil:
		return nil
	}
	if err := f.Fit(nil); err != nil {
		return err
	}
	if root := c.TrustedRoot(); root != nil && signedBySomebody(f) {
		if report := f.Report(root); !report.Good() {
			return fmt.Errorf("it is signed, and not for version %d of the trusted root: %s; so it is of another project, or of another time (hint: the newest targets file of this project, from where it is published; an unsigned one is taken too)", root.Version, report.Text(nil))
		}
	}
	if !file.Delegations {
		return nil
	}
	d := f.Targets.Delegations
	if n := len(d.Roles); n > maxDelegations {
		return fmt.Errorf("it has %d delegations: at most %d (hint: fewer, as [[delegation]] in the plan)", n, maxDelegations)
	}
	for _, key := range d.Keys {
		if err := c.unfit(key); err != nil {
			return fmt.Errorf("its delegation to %s stays, with the key %.8s: %w", Counted(delegatedTo(d, key.ID), "and", "roles"), key.ID, err)
		}
	}
	return nil
}

// delegatedTo are the roles to which a key is delegated.
func delegatedTo(d *tuf.Delegations, id string) []string {
	var roles []string
	for _, role := range d.Roles {
		if slices.Contains(role.KeyIDs, id) {
			roles = append(roles, fmt.Sprintf("%q", role.Name))
		}
	}
	if d.Succinct != nil {
		roles = append(roles, fmt.Sprintf("%q", d.Succinct.NamePrefix))
	}
	return roles
}

// clipped is a text of a file as an error has room for it.
func clipped(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
