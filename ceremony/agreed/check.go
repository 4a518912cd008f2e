package agreed

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Checked is what `check` says about a plan that is good.
type Checked struct {
	Plan     *Plan         `json:"plan"`
	Private  *Private      `json:"private,omitempty"`        // what isn't public of the plan; nil where that isn't here
	Digest   string        `json:"digest"`                   // of plan.resolved.json, if it were agreed now
	Changes  string        `json:"digest_changes,omitempty"` // why it may be another one when it is agreed, and what to do
	Expires  string        `json:"expires"`
	Days     int           `json:"days"` // until then, whole days
	Roles    []RoleCheck   `json:"roles"`
	Rotation *Rotation     `json:"rotation,omitempty"` // nil for Create
	Custody  Custody       `json:"custody"`
	Budget   Budget        `json:"budget"`
	Refusals []string      `json:"refusals"`        // which clients are known to refuse the root, and for what
	Stops    []string      `json:"stops,omitempty"` // where on the trusted chain clients are known to stop; not in the agreed plan
	Warnings []string      `json:"warnings"`
	Targets  *TargetsCheck `json:"targets,omitempty"` // nil: nobody signs targets in the ceremony

	now time.Time
}

// RoleCheck is an online role by its key ids.
type RoleCheck struct {
	Role      string   `json:"role"`
	Threshold int      `json:"threshold"`
	KeyIDs    []string `json:"keyids"`
	Holders   []string `json:"holders,omitempty"` // ids, of targets where holders sign it
}

// What is possible, but unusual for a root: warned about, in days.
const (
	longDays  = 730
	shortDays = 30
)

// Check looks at an agreed plan at the time now.
func Check(r *Plan, now time.Time) *Checked {
	c := &Checked{
		Plan: r.public(), Private: r.PrivatePart(), Digest: r.Digest(), Expires: Stamp(r.Expires), Days: daysUntil(r.Expires, now),
		Rotation: r.Rotation(), Custody: r.Custody(), Budget: r.Budget(), Refusals: r.Refusals(), Warnings: []string{}, Targets: r.targetsCheck(now), now: now,
	}
	for _, name := range OnlineRoles {
		role := RoleCheck{Role: name, Threshold: r.RoleIn(name).Threshold, Holders: r.RoleIn(name).Holders}
		for _, key := range r.RoleIn(name).Keys {
			role.KeyIDs = append(role.KeyIDs, key.ID)
		}
		c.Roles = append(c.Roles, role)
	}
	c.Warnings = append(c.Warnings, expiryWarnings("root", c.Days)...)
	if c.Targets != nil {
		c.Warnings = append(c.Warnings, c.Targets.warnings...)
	}
	if !slices.ContainsFunc(r.Persons, func(p Person) bool { return p.Role == "witness" }) {
		c.Warnings = append(c.Warnings, "no witness is named: nobody but the holders confirms what happened")
	}
	for _, p := range r.Persons {
		if p.Role == "witness" && slices.ContainsFunc(r.Holders, func(h Holder) bool { return Fold(h.Name) == Fold(p.Name) }) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("the witness %s is also a holder", p.Name))
		}
	}
	c.Warnings = append(c.Warnings, r.tokenWarnings()...)
	if c.Rotation != nil {
		c.Warnings = append(c.Warnings, c.Rotation.warnings...)
	}
	c.Warnings = append(c.Warnings, r.RoleWarnings()...)
	c.Warnings = append(append(c.Warnings, r.backupWarnings()...), r.EarlierWarnings()...)
	return c
}

func daysUntil(at, now time.Time) int {
	return int(at.Sub(now.Truncate(time.Second)) / (24 * time.Hour))
}

// expiryWarnings says what is unusual about when a file expires.
func expiryWarnings(what string, days int) []string {
	switch {
	case days > longDays:
		return []string{fmt.Sprintf("the %s expires in %d days: a lost key is noticed late (hint: a year is usual)", what, days)}
	case days < shortDays:
		return []string{fmt.Sprintf("the %s expires in %d days: the next ceremony must be before (hint: a year is usual)", what, days)}
	}
	return nil
}

// tokenWarnings says what is published about keys of the plan's algorithm on the
// oldest tokens that it takes.
func (r *Plan) tokenWarnings() []string {
	if !slices.ContainsFunc(r.Holders, func(h Holder) bool { return h.Custody != Existing }) {
		return nil
	}
	oldest, err := ParseFirmware(r.Token.MinFirmware)
	if err != nil {
		return nil // the rules say so
	}
	var warnings []string
	for _, a := range keys.Advisories(oldest, r.Token.Algorithm) {
		warnings = append(warnings, fmt.Sprintf("tokens with firmware %s are taken, and %v (hint: min_firmware = %q, with tokens of 5.7 or newer)", r.Token.MinFirmware, a, Firmware[keys.Ed25519]))
	}
	return warnings
}

// RoleWarnings says what is unwise about whose keys the roles have: keys that
// are dropped as root keys and stay in another role, and keys that targets
// shares.
func (r *Plan) RoleWarnings() []string {
	return append(r.staysInUse(), SharedWarnings(r.Outline())...)
}

// Refusals says which clients are known to refuse the root, or what a role of it
// signs, and for what.
func (r *Plan) Refusals() []string {
	lines := []string{}
	if r.Trusted == nil {
		lines = append(lines, "keys without keyid_hash_algorithms, as in every new chain: php-tuf and Joomla's fork of it refuse such a root")
	}
	for _, refusal := range tuf.Refusals(r.Outline(), r.TrustedRoot()) {
		lines = append(lines, refusal.String())
	}
	return append(lines, r.targetsRefusals()...)
}

// quantumLines say, where root keys are post-quantum, whether the others alone
// suffice: as long as they do, whoever breaks those makes roots.
func (r *Plan) quantumLines() []string {
	root := r.Outline()
	role := root.Roles[tuf.RoleRoot]
	quantum := 0
	for _, id := range role.KeyIDs {
		if key, _ := root.Key(id); key.Type == "ml-dsa" && key.Unverifiable == "" {
			quantum++
		}
	}
	classical := len(role.KeyIDs) - quantum
	if quantum == 0 {
		return nil
	}
	lines := []string{fmt.Sprintf("of %d root keys %d are post-quantum (ML-DSA), and %d of all must sign", len(role.KeyIDs), quantum, role.Threshold)}
	if classical >= role.Threshold {
		others := map[bool]string{true: "the other one alone suffices", false: fmt.Sprintf("the %d others alone suffice", classical)}[classical == 1]
		lines = append(lines, fmt.Sprintf("%s: with a threshold of %d nobody who breaks only those could make a root that clients on version %d follow", others, classical+1, r.Version))
	} else {
		lines = append(lines, fmt.Sprintf("the others alone don't suffice: anyone who breaks only those makes no root that clients on version %d follow", r.Version))
	}
	if role.Threshold > classical {
		lines = append(lines, fmt.Sprintf("clients that do not know ML-DSA stop at version %d: they count at most %d of the %d signatures that it needs", r.Version, classical, role.Threshold))
	}
	return lines
}

// SharedWarnings says of the keys that sign for targets and for timestamp or
// snapshot too what a thief of one of them can do: the roles are three so that
// the keys that are online do not say what software is.
func SharedWarnings(root *tuf.Root) []string {
	values := map[string][]string{} // of the keys of each role
	for _, name := range OnlineRoles {
		for _, id := range root.Roles[name].KeyIDs {
			values[name] = append(values[name], ValueOf(root, id))
		}
	}
	var warnings []string
	for _, roles := range [][]string{{tuf.RoleTimestamp, tuf.RoleTargets}, {tuf.RoleSnapshot, tuf.RoleTargets}, OnlineRoles} {
		var serve, lacks []string // ids of the keys that these roles have, and no others
		for i, value := range values[tuf.RoleTargets] {
			serves := slices.DeleteFunc(slices.Clone(OnlineRoles), func(name string) bool { return !slices.Contains(values[name], value) })
			if slices.Equal(serves, roles) && slices.Index(values[tuf.RoleTargets], value) == i {
				serve = append(serve, fmt.Sprintf("%.8s", root.Roles[tuf.RoleTargets].KeyIDs[i]))
			}
		}
		for _, name := range OnlineRoles {
			more := root.Roles[name].Threshold
			if slices.Contains(roles, name) {
				more--
			}
			if more > 0 {
				lacks = append(lacks, fmt.Sprintf("%d more for %s", more, name))
			}
		}
		keys, one, can := "one key ("+tuf.Listed(serve, "and")+") signs", "that one key", "alone can"
		if len(serve) > 1 {
			keys, one = fmt.Sprintf("%d keys (%s) sign", len(serve), tuf.Listed(serve, "and")), "any one of them"
		}
		if len(lacks) > 0 {
			can = "needs only " + tuf.Listed(lacks, "and") + " to"
		}
		if len(serve) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s for %s: a thief of %s %s give every client any software as an update (hint: a key of its own for targets, away from the machine that signs timestamp and snapshot)",
				keys, tuf.Listed(roles, "and"), one, can))
		}
	}
	return warnings
}

// backupWarnings says what is unwise about backups, but possible.
func (r *Plan) backupWarnings() []string {
	if r.Backup == nil || r.Unseen {
		return nil
	}
	var warnings, quantum []string
	outside := r.Backup.Recipients
	if made, _ := r.names(OnToken, BackedUp); len(made) == 0 {
		return []string{"[backup] is of no use: nobody makes a key"}
	}
	if len(outside) == 0 {
		warnings = append(warnings, "all recipients are the holders' tokens, which travel together: one accident takes the keys and their backups (hint: a recipient outside of the room, such as a safe)")
	}
	if r.Backup.Quorum == r.Openers() {
		warnings = append(warnings, "every recipient must come to open a backup: the loss of any one makes it useless (hint: more recipients than the quorum)")
	}
	if unsaved, _ := r.names(OnToken); len(unsaved) > 0 {
		warnings = append(warnings, fmt.Sprintf("no root key of %s is backed up, only PUK and management key: a lost token's key does not come back", Counted(unsaved, "or", "holders")))
	}
	classical := r.Backup.Holders // a token's age key is P-256
	for _, b := range outside {
		recipient, err := b.Parse()
		if err != nil {
			continue // not in a plan that was checked
		}
		if recipient.Kind == keys.RecipientHybrid || recipient.Kind == keys.RecipientHybridToken {
			quantum = append(quantum, b.Name)
		}
		classical = classical || !recipient.PostQuantum()
	}
	if len(quantum) > 0 && classical {
		warnings = append(warnings, fmt.Sprintf("only some layers of the backups are post-quantum, those for %s: a quantum computer would open the others, so that fewer than the quorum suffice", Counted(quantum, "and", "recipients")))
	}
	return warnings
}

// backupLines says what is backed up, for whom, and in how many files.
func (r *Plan) backupLines() []string {
	if r.Backup == nil {
		return nil
	}
	n, q := r.Openers(), r.Backup.Quorum
	if r.Unseen {
		return []string{fmt.Sprintf("%d recipients open a holder's backup together; who they are stands in the private part of the plan", q)}
	}
	files := keys.Subsets(n, q)
	_, outside := r.names("")
	recipients := Counted(append([]string{"the token of every other holder"}, outside...), "and", "recipients")
	if !r.Backup.Holders {
		recipients = Counted(outside, "and", "recipients")
	}
	who := fmt.Sprintf("any %d of %d open a holder's backup", q, n)
	if q == n {
		who = "all of these open a holder's backup together"
	}
	lines := []string{fmt.Sprintf("%s: %s", who, recipients)}
	if saved, _ := r.names(BackedUp); len(saved) > 0 {
		lines = append(lines, fmt.Sprintf("root key, PUK and management key of %s: %d files each", Counted(saved, "and", "holders"), 2*files))
	}
	if saved := r.savedTargets(); len(saved) > 0 {
		lines = append(lines, fmt.Sprintf("the targets %s of %s, in files of %s own beside these", plural("key", len(saved)), Counted(saved, "and", "holders"), map[bool]string{true: "its", false: "their"}[len(saved) == 1]))
	}
	if unsaved, _ := r.names(OnToken); len(unsaved) > 0 {
		lines = append(lines, fmt.Sprintf("only PUK and management key of %s: %s each", Counted(unsaved, "and", "holders"), map[bool]string{true: "1 file", false: fmt.Sprint(files, " files")}[files == 1]))
	}
	if kept, _ := r.names(Existing); len(kept) > 0 {
		lines = append(lines, fmt.Sprintf("nothing of %s, whose %s as they are", Counted(kept, "and", "holders"), map[bool]string{true: "key and token stay", false: "keys and tokens stay"}[len(kept) == 1]))
	}
	return append(append(lines, "on the day of need this program opens them; without it, by docs/recovery.md:"), indented(r.openLines())...)
}

// openLines says, for each kind of recipient, how many of it every quorum has,
// and what opens its layers without this program.
func (r *Plan) openLines() []string {
	var kinds []string // in the order in which they are said
	names := map[string][]string{}
	add := func(kind, name string) {
		if names[kind] == nil {
			kinds = append(kinds, kind)
		}
		names[kind] = append(names[kind], name)
	}
	if r.Backup.Holders {
		for range len(r.Holders) - 1 {
			add(heldToken, "")
		}
	}
	for _, b := range r.Backup.Recipients {
		add(b.OpensBy(), b.Name)
	}
	var lines []string
	for _, kind := range kinds {
		who, least := Counted(names[kind], "and", "recipients"), r.Backup.Quorum-(r.Openers()-len(names[kind]))
		if kind == heldToken {
			who = "the holders' tokens"
		}
		switch {
		case least == len(names[kind]):
			who += ", in every quorum"
		case least > 0:
			who += fmt.Sprintf(", %d or more in every quorum", least)
		}
		lines = append(lines, who+": "+openedWith(kind))
	}
	return lines
}

// heldToken is the kind of a holder's token: like age1tag1, but its key is in a
// slot that is known.
const heldToken = "holders"

// openedWith is what opens the layers of a kind of recipient, as OpensBy has it,
// without this program.
func openedWith(kind string) string {
	switch kind {
	case heldToken:
		return "pkcs11-tool with Yubico's ykcs11, and docs/recover-token-layer"
	case string(keys.RecipientToken), string(keys.RecipientHybridToken):
		return "age 1.3 or newer with the plugin of the token, which this program needs too"
	case string(keys.RecipientHybrid):
		return "age 1.3 or newer"
	case string(keys.RecipientX25519), string(keys.RecipientSSH), string(keys.RecipientPassphrase):
		return "age 1.1 or newer"
	}
	return "age 1.1 or newer with " + kind + ", which this program needs too"
}

// OpensBy is how a recipient opens a layer, in short.
func (b BackupRecipient) OpensBy() string {
	r, err := b.Parse()
	switch {
	case err != nil:
		return "unknown" // not in a plan that was checked
	case r.Kind == keys.RecipientPlugin:
		return "age-plugin-" + r.Plugin
	}
	return string(r.Kind)
}

// signedBy is how many holders sign, and with what kind of keys and tokens.
func (r *Plan) signedBy() string {
	signed := fmt.Sprintf("signed by %d of %d holders", r.Threshold, len(r.Holders))
	tokens := fmt.Sprintf("%s keys; touch %s; firmware %s or newer", r.Token.Algorithm, r.Token.Touch, r.Token.MinFirmware)
	stay := 0
	for _, h := range r.Holders {
		if h.Custody == Existing {
			stay++
		}
	}
	switch {
	case stay == 0:
		return signed + ", with " + tokens
	case stay == len(r.Holders):
		return signed + ", with the keys they have"
	}
	return signed + "; new ones with " + tokens
}

// Lines says the check to people.
func (c *Checked) Lines() []string {
	r := c.Plan
	what := "root v" + fmt.Sprint(r.Version)
	if r.Rehearsal {
		what = "rehearsal of " + what
	}
	lines := []string{
		fmt.Sprintf("%s: %s, %s", r.Name, r.Kind, what),
		r.signedBy(),
		fmt.Sprintf("expires %s, in %d days", r.Expires.Format("2006-01-02 15:04:05 UTC"), c.Days),
		"consistent snapshots: " + map[bool]string{true: "yes", false: "no"}[r.ConsistentSnapshot],
	}
	lines = append(lines, section("who must come:", r.comeLines())...)
	lines = append(lines, section("backups:", r.backupLines())...)
	lines = append(lines, section("dropped keys:", r.dropLines())...)
	lines = append(lines, section("trusted root:", r.trustedLines(c.now))...)
	if c.Rotation != nil {
		lines = append(append(lines, indented(c.Rotation.Notes)...), c.Rotation.Lines()...)
	}
	lines = append(lines, section("online roles:", c.roleLines())...)
	if c.Targets != nil {
		lines = append(lines, c.Targets.lines(r)...)
	}
	lines = append(lines, section("clients known to refuse the root, or a part of it:", c.Refusals)...)
	lines = append(lines, section("clients known to stop on the chain so far:", c.Stops)...)
	lines = append(lines, section("post-quantum keys:", r.quantumLines())...)
	lines = append(lines, "", "digest: "+Grouped(c.Digest))
	if c.Changes != "" {
		lines = append(lines, "  "+c.Changes)
	}
	if c.Targets == nil {
		lines = append(lines, section("custody:", append(c.Custody.Lines(), c.Budget.Lines()...))...)
	} else {
		lines = append(lines, section("custody of the root:", append(c.Custody.Lines(), c.Budget.Lines()...))...)
		custody := c.Targets.Custody.Lines()
		if c.Targets.Budget != nil {
			custody = append(custody, c.Targets.Budget.Lines()...)
		}
		lines = append(lines, section("custody of targets:", custody)...)
	}
	if len(c.Warnings) > 0 {
		lines = append(lines, "")
	}
	for _, w := range c.Warnings {
		lines = append(lines, "warning: "+w)
	}
	return lines
}

// section sets lines off under their title; none of them need no title.
func section(title string, lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return append([]string{"", title}, indented(lines)...)
}

func indented(lines []string) []string {
	var in []string
	for _, l := range lines {
		in = append(in, "  "+l)
	}
	return in
}

// comeLines says who must come, and with what.
func (r *Plan) comeLines() []string {
	var lines []string
	add := func(line, site string) {
		if site != "" {
			line += ", " + site
		}
		lines = append(lines, line)
	}
	for _, h := range r.Holders {
		line := fmt.Sprintf("%s (%s), token %s, %s", h.Name, h.ID, h.Token, h.Custody)
		if h.Custody == Existing {
			line = fmt.Sprintf("%s (%s), keeps the key %.8s", h.Name, h.ID, h.KeyID)
			if h.Token != "" {
				line += " on token " + h.Token
			}
		}
		if h.Spare {
			line += ", and a spare token"
		}
		line += r.targetsCome(h)
		add(line, h.Site)
	}
	if r.Backup != nil {
		for _, b := range r.Backup.Recipients {
			add(fmt.Sprintf("%s (%s), recipient of backups, %s", b.Name, b.ID, b.OpensBy()), b.Site)
		}
	}
	for _, p := range r.Persons {
		add(p.Name+", "+p.Role, "")
	}
	return lines
}

func (r *Plan) dropLines() []string {
	var lines []string
	for _, d := range r.Drops {
		line := fmt.Sprintf("%s (%s), %s", d.name(), d.ID, d.Reason)
		if d.Token != "" {
			line += ", token " + d.Token
		}
		if d.TargetsKeyID != "" {
			line += fmt.Sprintf(", with the targets key %.8s", d.TargetsKeyID)
		}
		lines = append(lines, line)
	}
	return lines
}

func (c *Checked) roleLines() []string {
	var lines []string
	for _, role := range c.Roles {
		if role.Holders != nil {
			continue // which is not online
		}
		var short []string
		for _, id := range role.KeyIDs {
			short = append(short, fmt.Sprintf("%.8s", id))
		}
		lines = append(lines, fmt.Sprintf("%s: %d of %d, key ids begin %s", role.Role, role.Threshold, len(short), strings.Join(short, ", ")))
	}
	return lines
}
