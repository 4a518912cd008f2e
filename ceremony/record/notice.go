package record

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"rootceremony/ceremony/tuf"
)

// NoticeFacts is what is known for a notice. What has its zero value is not
// known, and becomes a gap where users need it.
type NoticeFacts struct {
	Project  string
	Incident Incident // "" for a planned rotation
	Roles    []string // RoleCompromised: which ones
	Reason   string   // as the plan gives it

	Old, New RootFacts // New.Version is 0 while there is no plan
	Digest   []byte    // SHA-256 of the draft's canonical bytes; nil while there is none
	File     []byte    // SHA-256 of the published file; nil before that: then the notice is one for now
	Dropped  []DroppedKey
	Added    []string // key ids of new root keys
	Changed  []string // online roles whose keys change

	// Counted: it is known how many root keys of the old root others have, or
	// may have, and how many are lost.
	Counted     bool
	Taken, Lost int

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

// Notice is the draft of an announcement for users, in Markdown. It has two
// forms: one for now, while the new root is not out, and with a File the one for
// when it is. It says what the facts say and no more: what else belongs in it is
// a gap, "[FILL IN: ...]".
//
// What people wrote into the gaps of earlier notices, the first of which counts
// most, is carried over: a gap is known by the words around it, in its paragraph
// or list item, and ends where the next words begin that a notice has, so that it
// may hold several paragraphs. So what is true in both forms has the same words in
// both, and what is not, such as the day of publishing, has others.
func Notice(n NoticeFacts, earlier ...[]byte) []byte {
	var out, now, d document
	n.write(&out, true)
	before := n
	before.File = nil
	before.write(&now, true)
	known := append(blocks(out.Bytes()), blocks(now.Bytes())...)
	for _, text := range earlier {
		d.earlier = append(d.earlier, rejoined(blocks(text), known))
	}
	n.write(&d, len(earlier) > 0)
	return d.Bytes()
}

// write writes the notice, which may follow on an earlier one.
func (n NoticeFacts) write(d *document, follows bool) {
	if n.Rehearsal {
		d.rehearsal()
	}
	project := or(prose(n.Project), "the project's name")
	d.heading("# " + n.title(project))
	d.text("Draft of a notice for users, for " + n.tense("when the new root is out", "now: the new root is not out yet") + ". Read it, fill every gap, and have somebody else read it before it is published. What nobody knows yet is said as not known; nothing is guessed. " + gap("nothing here: delete this paragraph when no other gap is left"))
	if follows {
		d.text("What was written into the gaps of the notice before this one stands here too. What else was changed there does not: compare the two. " + gap("nothing here: delete this paragraph when that is done"))
	}
	d.text(n.tense("Published with the new root, on ", "Published on ") + gap("date and time, UTC") + ".")
	d.text("Who says so: " + gap("who speaks for the project, and where this can be checked") + ".")

	d.heading("## What happened")
	n.happened(d)
	d.heading("## What you must do")
	switch {
	case !n.out():
		n.now(d, project)
	case n.Repin && n.Incident == QuorumLost:
		n.update(d, project)
	case n.Repin:
		n.byHand(d, project)
	default:
		n.follow(d)
	}
	d.heading("## What changes")
	n.changes(d)
	d.heading("## How to check it")
	n.compare(d)
	d.heading("## Questions")
	d.text("Write to " + gap("an address that is read, today") + ".")
	if n.out() {
		d.text("If there is more to say, we say it on or before " + gap("date and time, UTC, or strike this out") + ".")
	} else {
		d.text("Our next message comes on or before " + gap("date and time, UTC") + ".")
	}
}

// out reports whether the notice is for when the new root is out.
func (n NoticeFacts) out() bool { return len(n.File) > 0 }

func (n NoticeFacts) title(project string) string {
	switch {
	case n.Repin && n.Incident == QuorumLost && n.out():
		return project + ": a new root of trust, which an update brings"
	case n.Repin && n.out():
		return project + ": a new root of trust, which you must install yourself"
	case n.Incident == QuorumLost:
		return project + ": keys of the root of trust are lost"
	case n.Incident == "" || n.Incident == RootExpired:
		return project + ": a new version of the root of trust"
	}
	return project + ": security notice about the root of trust"
}

func (n NoticeFacts) happened(d *document) {
	if n.Incident == "" && !n.Repin {
		d.text("This is a planned change of the keys, or of the expiry, of the root of trust. It follows from no incident that we know of.")
		if n.Reason != "" {
			d.text("Reason given in the plan: " + prose(n.Reason))
		}
		return
	}
	what := texts[n.Incident].happened
	if n.Incident == QuorumLost && !n.Repin {
		what = "So many root keys were lost that only their backups make another root possible."
	}
	if n.Incident == KeyPublished && n.quorum() {
		what = "The private halves of a threshold of root keys are public: with them anyone can sign a root."
	}
	d.text(or(what, "what happened, in one sentence"))
	if n.Reason != "" {
		d.text("Reason given in the plan: " + prose(n.Reason))
	} else {
		d.text("Reason: " + gap("why there is a new root, in a sentence"))
	}
	d.apart()
	n.known(d)
	n.counts(d)
	if n.Incident == RoleCompromised {
		n.reach(d)
	}
}

// known asks for what belongs to an incident and the tool cannot know.
func (n NoticeFacts) known(d *document) {
	if n.Incident == RootExpired {
		d.item("- ", "Since when clients have refused updates: "+gap("when, UTC, or: not yet")+".")
		return
	}
	d.item("- ", "When it happened: "+gap("when, or: we do not know")+".")
	d.item("- ", "When we learned of it: "+gap("when, UTC")+".")
	switch n.Incident {
	case TokenLost, QuorumLost:
		d.item("- ", "Whether somebody else may have any of the keys: "+gap("how you know that nobody has, or: we do not know")+".")
		if n.Incident == QuorumLost && n.Repin {
			d.item("- ", "Whether the keys that sign updates are there, and in nobody else's hands: "+gap("yes, and how you know; if not, no update can bring the new root, and what users must do is another thing")+".")
		}
	case HolderLeft:
		d.item("- ", "Whether a key was used for anything else: "+gap("what you have found signs of, and where you looked")+".")
	default:
		if n.Incident == KeyPublished {
			d.item("- ", "Where it was published: "+gap("where, and in which versions")+".")
		} else {
			d.item("- ", "Who is behind it: "+gap("who, or: we do not know")+".")
		}
		d.item("- ", "Whether others have made use of it: "+gap("what you have found signs of, where you looked, and what you could not look at")+".")
	}
}

// counts says how many root keys others have, and how many they need.
func (n NoticeFacts) counts(d *document) {
	number := func(n int) string {
		if n == 0 {
			return "none that we know of"
		}
		return fmt.Sprint(n)
	}
	taken, lost := gap("how many, or: none that we know of"), gap("how many, or: none")
	if n.quorum() { // which is a threshold of them at the least
		if taken = gap("how many: at least the threshold"); n.Old.Threshold > 0 {
			taken = gap(fmt.Sprintf("how many: %d or more", n.Old.Threshold))
		}
	}
	if n.Counted {
		taken, lost = number(n.Taken), number(n.Lost)
	}
	d.item("- ", "Root keys that others have, or may have: "+taken+".")
	if n.Lost > 0 || !n.Counted && n.Incident == QuorumLost {
		d.item("- ", "Root keys that are lost: "+lost+".")
	}
	d.item("- ", "Root keys that must sign a new root: "+n.Old.threshold()+".")
	switch {
	case n.Incident == KeyPublished && n.quorum():
		d.text("That is enough: anyone can sign a root that clients cannot tell from ours.")
	case n.Incident == QuorumStolen || n.Taken > 0 && n.Old.Threshold > 0 && n.Taken >= n.Old.Threshold:
		d.text("That is enough: anyone who has them can sign a root that clients cannot tell from ours.")
	case n.Incident == QuorumLost && n.Repin:
		d.text("Too few keys are left to sign a root that follows on the old one. As far as we know nobody else can sign one either.")
	case n.Taken > 0 && n.Old.Threshold > 0:
		d.text("That is too few: with these keys alone nobody can sign a root that clients accept.")
	}
}

// quorum reports whether others have, or may have, a threshold of root keys: stolen,
// or because they are published.
func (n NoticeFacts) quorum() bool {
	return n.Incident == QuorumStolen || n.Incident == KeyPublished && (n.Repin || n.Old.Threshold > 0 && n.Taken >= n.Old.Threshold)
}

// reach says what compromised online roles let others do.
func (n NoticeFacts) reach(d *document) {
	roles := online(n.Roles)
	d.text("Roles that others can sign for, with as many keys as must: " + or(tuf.Listed(roles, "and"), "timestamp, snapshot, targets: which") + ".")
	switch {
	case len(roles) == 0:
	case n.delivers():
		d.text("With the keys of all three roles others " + n.tense("could have offered", "can offer") + " any software as an update.")
	case slices.Contains(roles, tuf.RoleTargets):
		d.text("These keys alone do not make clients take an update: the other online roles must sign too. Whether those have signed anything foreign: " + gap("what you have found, and where you looked") + ".")
	default:
		d.text("With these keys others " + n.tense("could have hidden", "can hide") + " updates from clients, or, with those of both timestamp and snapshot, " + n.tense("offered", "offer") + " them older files beside newer ones. They cannot offer software that the targets role never signed.")
	}
	d.apart()
	d.item("- ", "From when on others could use these keys: "+gap("first possible time, UTC")+".")
	if n.out() {
		d.item("- ", "When the new keys went live: "+gap("when, UTC")+".")
	}
}

// tense is what is said when the new root is out, or before.
func (n NoticeFacts) tense(out, now string) string {
	if n.out() {
		return out
	}
	return now
}

// delivers reports whether compromised roles are enough to deliver any software.
func (n NoticeFacts) delivers() bool { return len(online(n.Roles)) == len(tuf.RoleNames)-1 }

// now is what users must do while the new root is not out.
func (n NoticeFacts) now(d *document, project string) {
	const trustNone = "Until we tell you that the new root is out, trust none that is offered to you in any other way."
	switch {
	case n.quorum():
		d.text("Do this now, in this order:")
		d.apart()
		d.item("1. ", "Stop automatic updates of "+project+", and leave them off until we say more.")
		d.item("2. ", "Delete nothing. The root.json that your client has stored shows which root it follows.")
		d.item("3. ", "Our roots go up to "+n.Old.name()+". If yours is a later one, keep the file, and tell us.")
		n.stored(d)
		if n.Repin {
			d.text("No update can carry you to a new root that is ours: you will have to install it yourself. Our next message says how. Install none before that.")
		} else {
			d.text("We are about to sign the next root, without these keys. Our next message says when it is out, and how to tell it from another one of the same version.")
		}
	case n.Incident == QuorumLost && n.Repin:
		d.text("Nothing, for now. Leave automatic updates on: they go on until the old root expires, on " + n.Old.expires() + ". Before that day an ordinary update will bring the new root: let your client take it.")
		d.text(trustNone)
	case n.Repin:
		d.text("Nothing, for now: what to do is in our next message. " + trustNone)
	case n.Incident == RoleCompromised && n.delivers():
		d.text("Stop automatic updates of " + project + " now, and leave them off until we say that the new root is out.")
		n.tookUpdate(d)
	case n.Incident == RootExpired:
		d.text("Nothing. The next root comes as updates do. Clients refuse updates from the expiry of the old root, on " + n.Old.expires() + ", until they have the new one. Leave your clock as it is: a clock that is turned back lets old attacks in.")
	default:
		d.text("Nothing, for now. Leave automatic updates on: they will bring the new root. " + trustNone)
		if n.Incident == RoleCompromised {
			d.text("Updates may be missing for a while: " + gap("since when the service that signs them is stopped, or strike this out") + ".")
			n.tookUpdate(d)
		}
	}
}

// tookUpdate is for those who may have been given something foreign.
func (n NoticeFacts) tookUpdate(d *document) {
	d.text("If you took an update since others could use the keys: " + gap("what to check or to install again, or: nothing was altered, and how you know") + ".")
}

// update is what users must do where the old chain cannot go on, and its online
// keys deliver the client with the new root until the old one expires.
func (n NoticeFacts) update(d *document, project string) {
	d.text("The new root reaches you with an ordinary update of " + project + ". Updates go on until the old root expires, on " + n.Old.expires() + ".")
	d.apart()
	d.item("1. ", "Leave automatic updates on, or update by hand, before that day.")
	d.item("2. ", "See that you have the client that has the new root built in: "+gap("version, and how to see it")+". Its metadata is in a folder of its own, so that nothing old is left in it.")
	d.text("After that day clients without it refuse every update. Then, and wherever you do not want to wait, install that client by hand:")
	d.apart()
	n.install(d, 1)
	d.text("Anyone who ships a root inside an installer, an image or an app should replace it by the new one now: no client finds the way from the old root to it.")
}

// byHand is what users must do where nothing that is old can be trusted to carry
// them to the new root.
func (n NoticeFacts) byHand(d *document, project string) {
	d.text("Updates cannot carry you to the new root: no root that your client accepts can say that it is the right one. You have to put it there yourself, in this order:")
	d.apart()
	d.item("1. ", "Stop automatic updates of "+project+".")
	n.install(d, 2)
	d.text("Then switch updates on again.")
}

// install are the steps to a client with the new root, the first of them numbered so.
func (n NoticeFacts) install(d *document, first int) {
	for i, step := range []string{
		"Get the new root.json from " + gap("where, and a second, independent place") + ". Do not get it from the update server alone.",
		"Compare its SHA-256, in words or digits, with those that you hear or read over a second channel: " + gap("telephone, a printed page, another project's site") + ". If they differ in one word, stop and tell us.",
		"Delete the client's stored metadata: root.json, timestamp.json, snapshot.json, targets.json, those of delegated roles, and any history of roots beside them.",
		"Install the client that has the new root built in: " + gap("version, and where it is") + ".",
	} {
		d.item(fmt.Sprintf("%d. ", first+i), step)
	}
	n.stored(d)
}

// stored is where clients keep what users look at, or delete.
func (n NoticeFacts) stored(d *document) {
	d.text("Where our clients store their metadata: " + gap("folder, for each system") + ".")
}

// follow is what users must do where clients find the new root by themselves.
func (n NoticeFacts) follow(d *document) {
	walk := "Clients that follow The Update Framework fetch each root after the one they trust, and check that the old keys and the new ones have signed it."
	switch {
	case n.quorum():
		d.text("Switch automatic updates on again, let your client update now, and then look at which root it trusts. " + walk + " That is not enough here: anyone who has a threshold of the old keys can sign another root of the same version, which clients cannot tell from ours.")
		d.text("Compare the root.json that your client has stored with the one below.")
		n.stored(d)
		d.text("If it is another, stop updates, keep the file, tell us, and wait for a root that is installed by hand: " + gap("when, and where") + ".")
	case n.Incident == RoleCompromised && n.delivers():
		d.text("If you stopped automatic updates, switch them on again, and let your client update now. " + walk)
	default:
		d.text("Usually nothing. " + walk)
	}
	d.text(fmt.Sprintf("Anyone who ships a root inside an installer, an image or an app should replace it by root %s in their next release.", n.New.name()))
	if n.Incident != "" && n.Incident != RootExpired || len(n.Dropped) > 0 {
		d.text("Until they are updated, clients and installers that still trust an older root remain exposed to the old keys. Start those that were switched off for long, and let them update, on a network that you trust.")
	}
	switch n.Incident {
	case RoleCompromised:
		n.tookUpdate(d)
	case RootExpired:
		d.text("Clients have refused, or will refuse, updates from the expiry of the old root until they have the new one. Leave your clock as it is: a clock that is turned back lets old attacks in.")
	}
}

func (n NoticeFacts) changes(d *document) {
	out := n.out()
	if n.Repin {
		d.item("- ", "The chain of roots that ends with "+n.Old.name()+" is given up.")
		d.item("- ", n.tense("The new root is "+n.New.name()+" of a new chain.", "The new root will begin a new chain."))
	} else {
		d.item("- ", fmt.Sprintf("Root %s %s root %s.", n.New.name(), n.tense("follows", "will follow"), n.Old.name()))
	}
	d.item("- ", "The old root expires on "+n.Old.expires()+".")
	if out { // a plan may count it in days from when it is agreed
		d.item("- ", "The new root expires on "+n.New.expires()+".")
	}
	if n.Incident == "" && !n.Repin {
		d.item("- ", "Root keys that had to sign a new root: "+n.Old.threshold()+".")
	}
	d.item("- ", "Root keys that must sign from the new root on: "+n.New.threshold()+".")
	for _, drop := range n.Dropped {
		d.item("- ", "Root key "+code(drop.KeyID)+" "+n.tense("is", "will be")+" dropped: "+or(prose(drop.Reason), "why")+".")
	}
	for _, id := range n.Added {
		d.item("- ", "Root key "+code(id)+" is new.")
	}
	roles := online(n.Changed)
	if len(roles) == 0 {
		return
	}
	d.item("- ", "Other keys "+n.tense("sign", "will sign")+" for "+tuf.Listed(roles, "and")+".")
	d.text("")
	if out {
		d.text("Metadata signed by those keys goes live together with the new root.")
	}
	if n.Repin {
		return // what clients have stored is deleted
	}
	if out && (slices.Contains(roles, tuf.RoleTimestamp) || slices.Contains(roles, tuf.RoleSnapshot)) {
		d.text("Clients drop the timestamp and snapshot that they have stored by themselves (TUF specification, 5.3.11), also where those had been given high version numbers to keep clients from updating.")
	}
	missing := slices.DeleteFunc(Replaced(n.Roles), func(role string) bool { return slices.Contains(roles, role) })
	if n.Incident == RoleCompromised && len(missing) > 0 {
		d.text("Not replaced: the keys of " + tuf.Listed(missing, "and") + ". Without that, clients to whom somebody has given high version numbers may not recover: " + gap("why they stay, or replace them before publishing") + ".")
	}
}

func (n NoticeFacts) compare(d *document) {
	if !n.out() {
		d.text("There is nothing to check yet. The SHA-256 of the new root, in digits and words, is in the message that says that it is out.")
		return
	}
	d.digest("the file root.json", n.File, "")
	d.digest("the signed part of it, in canonical form", n.Digest, "digest and words, from the draft that was signed")
	d.text("`sha256sum root.json` shows the first, `rootverify draft root.json` the second, which stays the same when signatures are added.")
}

// digest is a SHA-256 in digits and words, or a gap.
func (d *document) digest(of string, digest []byte, missing string) {
	if len(digest) == 0 {
		d.text("SHA-256 of " + of + ": " + gap(missing) + ".")
		return
	}
	d.text("SHA-256 of " + of + ":")
	d.block(twoLines(digest))
	d.text("In words, to compare by telephone:")
	d.block(wordLines(digest))
}

// online are the online roles among roles, in order.
func online(roles []string) []string {
	return slices.DeleteFunc(slices.Clone(tuf.RoleNames), func(role string) bool { return role == tuf.RoleRoot || !slices.Contains(roles, role) })
}

func (r RootFacts) name() string {
	if r.Version == 0 {
		return "version " + gap("number")
	}
	return fmt.Sprintf("version %d", r.Version)
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

// document is Markdown in the making, with the blocks of earlier documents whose
// gaps people have filled.
type document struct {
	strings.Builder
	earlier [][]string
}

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
		d.WriteString(wrap(d.filled(s), "", ""))
	}
}

func (d *document) item(mark, s string) {
	d.WriteString(wrap(d.filled(s), mark, strings.Repeat(" ", len(mark))))
}

// gapForm is a gap, as gap makes it.
var gapForm = regexp.MustCompile(`\[FILL IN: [^\]]*\]`)

// filled is a block with what an earlier document has in the places of its gaps.
func (d *document) filled(block string) string {
	for _, earlier := range d.earlier {
		around, gaps := gapForm.Split(block, -1), gapForm.FindAllString(block, -1)
		if len(gaps) == 0 {
			return block
		}
		var pattern strings.Builder
		for i, words := range around {
			if i > 0 {
				pattern.WriteString("(.+?)")
			}
			words, dot := strings.CutSuffix(words, ".")
			pattern.WriteString(regexp.QuoteMeta(words))
			if dot && i == len(gaps) {
				pattern.WriteString(`\.?`) // people replace it too
			} else if dot {
				pattern.WriteString(`\.`)
			}
		}
		same := regexp.MustCompile("^" + pattern.String() + "$")
		for _, other := range earlier {
			found := same.FindStringSubmatch(other)
			if found == nil {
				continue
			}
			block = around[0]
			for i, text := range found[1:] {
				words := strings.Fields(tuf.Clean(text))
				for i, word := range words {
					if strings.Trim(word, "-+*=#>") == "" { // markup, at the beginning of a line
						words[i] = "\\" + word
					}
				}
				if text = strings.Join(words, " "); gapForm.FindString(text) == text { // still
					text = gaps[i]
				}
				block += text + around[i+1]
			}
			break
		}
	}
	return block
}

// blocks are the paragraphs and list items of a Markdown text, each on one line
// and without its mark.
func blocks(text []byte) []string {
	var all []string
	within := false
	for line := range strings.Lines(string(text)) {
		line = strings.Join(strings.Fields(line), " ")
		mark := markForm.FindString(line)
		switch {
		case line == "":
		case mark != "" || !within:
			all = append(all, line[len(mark):])
		default:
			all[len(all)-1] += " " + numberForm.ReplaceAllString(line, "$1$2")
		}
		within = line != ""
	}
	return all
}

// rejoined are blocks with those that begin as none of the known ones does added
// to the ones before: what somebody wrote into one gap may have several.
func rejoined(blocks, known []string) []string {
	var all []string
	for _, block := range blocks {
		words := strings.Fields(block)
		begins := func(form string) bool {
			first := strings.Fields(gapForm.Split(form, 2)[0])
			first = first[:min(len(first), 3)]
			return len(words) >= len(first) && slices.Equal(words[:len(first)], first)
		}
		if len(all) == 0 || slices.ContainsFunc(known, begins) {
			all = append(all, block)
		} else {
			all[len(all)-1] += " " + block
		}
	}
	return all
}

// What begins an item of a list, and what would if wrap had not escaped it.
var (
	markForm   = regexp.MustCompile(`^([-*+]|[0-9]+[.)])\s+`)
	numberForm = regexp.MustCompile(`^([0-9]+)\\([.)])`)
)

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
