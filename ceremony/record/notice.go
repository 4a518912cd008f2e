package record

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// NoticeFacts is what is known for a notice. What has its zero value is not
// known, and becomes a gap where users need it.
type NoticeFacts struct {
	Project  string
	Incident Incident // "" for a planned rotation
	Roles    []string // RoleCompromised: which ones
	Reason   string   // as the plan gives it

	Old, New RootFacts // New.Version is 0 while there is no draft
	Digest   []byte    // SHA-256 of the draft's canonical bytes, 32 bytes
	Dropped  []DroppedKey
	Added    []string // key ids of new root keys
	Changed  []string // online roles whose keys change

	// Repin: no root that clients accept can follow the old one, or it cannot
	// be trusted to; the new one begins a new chain.
	Repin     bool
	Rehearsal bool
}

// RootFacts is what a notice says of a root.
type RootFacts struct {
	Version   int64
	Expires   time.Time
	Threshold int
	Keys      int // of the root role
}

// DroppedKey is a root key that the new root no longer has.
type DroppedKey struct {
	KeyID  string
	Reason string // lost, stolen, compromised, retired
}

// Notice is the draft of an announcement for users, in Markdown. It says what
// the facts say and no more: what else belongs in it is a gap, "[FILL IN: ...]".
func Notice(n NoticeFacts) []byte {
	var d document
	if n.Rehearsal {
		d.rehearsal()
	}
	project := or(prose(n.Project), "the project's name")
	d.heading("# " + n.title(project))
	d.text("Draft of a notice for users. Read it, fill every gap, and have somebody else read it before it is published. What nobody knows yet is said as not known; nothing is guessed.")
	d.text("Published on " + gap("date and time, UTC") + " by " + gap("who speaks for the project, and where this can be checked") + ".")

	d.heading("## What happened")
	n.happened(&d)
	d.heading("## What you must do")
	n.todo(&d)
	d.heading("## What changes")
	n.changes(&d)
	d.heading("## How to check it")
	n.compare(&d)
	d.heading("## Questions")
	d.text("Write to " + gap("an address that is read, today") + ". Our next message comes on or before " + gap("date and time, UTC") + ".")
	return d.Bytes()
}

func (n NoticeFacts) title(project string) string {
	switch {
	case n.Repin:
		return project + ": a new root of trust, which you must install yourself"
	case n.Incident == "":
		return project + ": a new version of the root of trust"
	}
	return project + ": security notice about the root of trust"
}

func (n NoticeFacts) happened(d *document) {
	if n.Incident == "" && !n.Repin {
		d.text("This is a planned change of the keys, or of the expiry, of the root of trust. It follows from no incident that we know of.")
	} else {
		d.text(or(texts[n.Incident].happened, "what happened, in one sentence"))
		d.text("When it happened: " + gap("when, or: we do not know") + ". When we learned of it: " + gap("when, UTC") + ". Who is behind it: " + gap("who, or: we do not know") + ".")
		d.text("What was done with it: " + gap("what you have found signs of, where you looked, and what you could not look at") + ".")
	}
	if n.Reason != "" {
		d.text("Reason given in the plan: " + prose(n.Reason))
	} else if n.Incident != "" {
		d.text("Reason: " + gap("why the keys are replaced, in a sentence"))
	}
	if n.Incident == RoleCompromised {
		n.reach(d)
	}
}

// reach says what compromised online roles let others do.
func (n NoticeFacts) reach(d *document) {
	roles := online(n.Roles)
	d.text("Roles whose keys are compromised: " + or(listed(roles), "timestamp, snapshot, targets: which") + ".")
	switch {
	case len(roles) == 0:
	case len(roles) == 3:
		d.text("With the keys of all three roles others could have offered any software as an update. Whether they did: " + gap("what you have found, and from when to when it was possible") + ".")
	case slices.Contains(roles, tuf.RoleTargets):
		d.text("The keys of targets alone do not make clients take an update: the other online roles must sign too. Whether theirs are safe: " + gap("how you know") + ".")
	default:
		d.text("With these keys others could have hidden updates from clients, or offered them older files beside newer ones. They could not have offered software that the targets role never signed.")
	}
}

func (n NoticeFacts) todo(d *document) {
	if n.Repin {
		d.text("Updates cannot carry you to the new root: no root that your client accepts can say that it is the right one. You have to put it there yourself, in this order:")
		d.item("1. ", "Stop automatic updates of "+or(prose(n.Project), "the project's name")+".")
		d.item("2. ", "Get the new root.json from "+gap("where, and a second, independent place")+". Do not get it from the update server alone.")
		d.item("3. ", "Compare its SHA-256, or the words below it, with those that you hear or read over a second channel: "+gap("telephone, a printed page, another project's site")+". If they differ in one word, stop and tell us.")
		d.item("4. ", "Delete the client's stored metadata: root.json, timestamp.json, snapshot.json, targets.json, those of delegated roles, and any history of roots beside them. In our clients that is the folder "+gap("folder, for each system")+".")
		d.item("5. ", "Install the client that has the new root built in: "+gap("version, and where it is")+". Then switch updates on again.")
		return
	}
	d.text("Usually nothing. Clients that follow The Update Framework fetch each root after the one they trust, and check that the old keys and the new ones have signed it.")
	d.text(fmt.Sprintf("Whoever ships a root inside an installer, an image or an app should replace it by %s in their next release.", n.New.name("the new root")))
	if n.Incident != "" && n.Incident != RootExpired || len(n.Dropped) > 0 {
		d.text("Until they are updated, clients and installers that still trust an older root remain exposed to the old keys. Start those that were switched off for long, and let them update, on a network that you trust.")
	}
	switch n.Incident {
	case RoleCompromised:
		d.text("If you took an update between " + gap("first possible time") + " and " + gap("when the new keys went live") + ": " + gap("what to check or to install again, or: nothing was altered, and how you know") + ".")
	case QuorumStolen:
		d.text("That is not enough here. Whoever has a threshold of the old keys can sign a root of the same version, which clients cannot tell from ours. So compare the root that your client trusts with the one below, and if it is another, wait for the root that we will publish to be installed by hand: " + gap("when, and where") + ".")
	case RootExpired:
		d.text("Clients have refused, or will refuse, updates from the expiry of the old root until they have the new one. Leave your clock as it is: a clock that is turned back lets old attacks in.")
	}
}

func (n NoticeFacts) changes(d *document) {
	if n.Repin {
		d.item("- ", "The chain of roots that ended with "+n.Old.name("the old root")+" is given up. "+capital(n.New.name("the new root"))+" begins a new one.")
	} else {
		d.item("- ", capital(n.New.name("the new root"))+" follows on "+n.Old.name("the old root")+".")
	}
	d.item("- ", "The old root expires on "+n.Old.expires()+", the new one on "+n.New.expires()+".")
	d.item("- ", fmt.Sprintf("Signatures needed for a root: %s before, %s from now on.", n.Old.threshold(), n.New.threshold()))
	for _, drop := range n.Dropped {
		d.item("- ", "Root key "+code(drop.KeyID)+" is dropped: "+or(prose(drop.Reason), "why")+".")
	}
	for _, id := range n.Added {
		d.item("- ", "Root key "+code(id)+" is new.")
	}
	roles := online(n.Changed)
	if len(roles) == 0 {
		return
	}
	d.item("- ", "New keys sign for "+listed(roles)+".")
	d.text("")
	d.text("Metadata signed by the new keys goes live together with the new root.")
	if slices.Contains(roles, tuf.RoleTimestamp) || slices.Contains(roles, tuf.RoleSnapshot) {
		d.text("Clients drop the timestamp and snapshot that they have stored by themselves (TUF specification, 5.3.11), also where those had been given high version numbers to keep clients from updating.")
	}
	missing := slices.DeleteFunc(Replaced(n.Roles), func(role string) bool { return slices.Contains(roles, role) })
	if n.Incident == RoleCompromised && len(missing) > 0 {
		d.text("Not replaced: the keys of " + listed(missing) + ". Without that, clients to whom somebody has given high version numbers do not recover: " + gap("why they stay, or replace them before publishing") + ".")
	}
}

func (n NoticeFacts) compare(d *document) {
	if len(n.Digest) == 0 {
		d.text("SHA-256 of the signed part of the new root: " + gap("digest and words, from the draft that was signed") + ".")
		return
	}
	d.text("SHA-256 of the signed part of the new root, in canonical form:")
	d.block(keys.Groups(n.Digest[:16]) + "\n" + keys.Groups(n.Digest[16:]))
	d.text("In words, to compare by telephone:")
	d.block(wordLines(n.Digest))
	d.text("`rootverify draft FILE` shows both for a root file. The file itself has another SHA-256, as it also holds the signatures: " + gap("SHA-256 of the published file, from trust/root.json.sha256") + ".")
}

// online are the online roles among roles, in order.
func online(roles []string) []string {
	return slices.DeleteFunc(slices.Clone(tuf.RoleNames), func(role string) bool { return role == tuf.RoleRoot || !slices.Contains(roles, role) })
}

func (r RootFacts) name(role string) string {
	if r.Version == 0 {
		return role + " (version " + gap("number") + ")"
	}
	return fmt.Sprintf("root version %d", r.Version)
}

func (r RootFacts) expires() string {
	if r.Expires.IsZero() {
		return gap("date, UTC")
	}
	return day(r.Expires)
}

func (r RootFacts) threshold() string {
	switch {
	case r.Threshold == 0:
		return gap("number")
	case r.Keys == 0:
		return fmt.Sprint(r.Threshold)
	}
	return fmt.Sprintf("%d of %d", r.Threshold, r.Keys)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// document is Markdown in the making.
type document struct{ strings.Builder }

func (d *document) Bytes() []byte { return []byte(d.String()) }

// apart leaves a line free.
func (d *document) apart() {
	if s := d.String(); s != "" && !strings.HasSuffix(s, "\n\n") {
		d.WriteByte('\n')
	}
}

func (d *document) heading(s string) {
	d.apart()
	d.WriteString(s + "\n\n")
}

func (d *document) text(s string) {
	d.apart()
	if s != "" {
		d.WriteString(wrap(s, "", ""))
	}
}

func (d *document) item(mark, s string) {
	d.WriteString(wrap(s, mark, strings.Repeat(" ", len(mark))))
}

// block is a text that stays as it is: four spaces before every line.
func (d *document) block(s string) {
	d.apart()
	for line := range strings.Lines(s) {
		d.WriteString("    " + strings.TrimSuffix(line, "\n") + "\n")
	}
}

func (d *document) rehearsal() {
	d.text("**REHEARSAL. This is no real event, and the root below is not to be trusted by anybody. Do not publish this.**")
}
