package record

import (
	"slices"

	"rootceremony/ceremony/tuf"
)

// Incident is what happened that calls for another root. The zero value is no
// incident: a rotation that was planned.
type Incident string

// The incidents.
const (
	TokenLost       Incident = "token-lost"
	TokenStolen     Incident = "token-stolen"
	PINSeen         Incident = "pin-seen"
	KeyPublished    Incident = "key-published"
	RoleCompromised Incident = "role-compromised"
	HolderLeft      Incident = "holder-left"
	QuorumLost      Incident = "quorum-lost"
	QuorumStolen    Incident = "quorum-stolen"
	RootExpired     Incident = "root-expired"
)

// Incidents are all incidents, in the order in which people are asked.
var Incidents = []Incident{TokenLost, TokenStolen, PINSeen, KeyPublished, RoleCompromised, HolderLeft, QuorumLost, QuorumStolen, RootExpired}

// texts are what is said of an incident. Each line stands for itself, at most
// 76 characters long.
var texts = map[Incident]struct {
	label, happened string
	advice          []string
}{
	TokenLost: {"A token is lost or broken, and nobody else can have it",
		"At least one token with a root key was lost or broke.",
		[]string{
			"No race: fewer keys than the threshold sign nothing. Slow down.",
			"First: think whether somebody may have it. If you are not sure: stolen.",
			"Count who can still sign. With a threshold of people, nothing is urgent.",
			"Backed up? rootceremony restore DIR0 puts the key on a fresh token.",
			"That is the same key: no new root is needed, and no notice.",
			"Without a backup: the next root drops the key; a rotation adds another.",
			"Old holders below the threshold? Then choose: quorum lost.",
			"Do it this month: one more loss must not lock you out.",
		}},
	TokenStolen: {"A token is stolen, or somebody else may have it",
		"At least one token with a root key is, or may be, in the hands of somebody else.",
		[]string{
			"No race while fewer than the threshold are stolen. Slow down.",
			"A threshold of 1? Then one token is a quorum: choose quorum stolen.",
			"First: ask every other holder to look at their own token, today.",
			"The token alone signs nothing: a few wrong PINs block it.",
			"It cannot be switched off from afar.",
			"The next root drops the key. Rotate within days, well rehearsed.",
			"Too few left? Its holder can sign with the key restored from a backup.",
			"Clients that trust an older root go on trusting the key until updated.",
			"Was the PIN with the token? Then count the thief as one signer.",
		}},
	PINSeen: {"Somebody saw a PIN, or it was written down where others read",
		"A PIN of a token may be known to somebody else.",
		[]string{
			"A PIN without its token signs nothing. No race. Slow down.",
			"First: has the token been out of its holder's hands since then?",
			"If never: change the PIN now. No root has to change.",
			"The holder does that with: ykman piv access change-pin",
			"If once, or you cannot tell: choose token stolen.",
			"Is the token gone? Choose token stolen.",
			"A token keeps its key: having used it is not having copied it.",
			"Look for root files that nobody in the project made.",
		}},
	KeyPublished: {"The private half of a root key was published, or copied",
		"The private half of at least one root key is public: anyone can sign with it.",
		[]string{
			"No race while fewer than the threshold are public. Slow down.",
			"A threshold of 1? Then one key is a quorum: be first, today.",
			"Public for a minute is public for ever: taking it down helps nobody.",
			"First: look where else private halves lie: roots, backups, build logs.",
			"The next root drops the key. Its holder can still sign that root.",
			"A threshold is public? Anyone can sign a root, as good as yours.",
			"Clients that trust an older root go on trusting the key until updated.",
			"A key that online roles use as well: choose the online key instead.",
			"Look for root files that nobody in the project made. Keep them.",
		}},
	RoleCompromised: {"An online key is compromised: timestamp, snapshot or targets",
		"Online keys are, or may be, in the hands of somebody else.",
		[]string{
			"Here haste matters: online keys sign without people in a room.",
			"First: stop the service that signs, and keep its disks and logs.",
			"Timestamp alone: can hide updates from clients. It delivers nothing.",
			"Snapshot and timestamp: can mix old and new files. Nothing foreign.",
			"Targets with both others: can deliver any software. Warn users now.",
			"One key may serve several roles: then all of those are compromised.",
			"Make the new keys on a machine that the intruder never touched.",
			"Timestamp lost: replace timestamp.",
			"Snapshot lost: replace snapshot and timestamp.",
			"Targets lost: replace targets, snapshot and timestamp.",
			"Then clients drop stored timestamp and snapshot by themselves (5.3.11).",
			"That undoes version numbers counted up to shut them out (fast-forward).",
			"Sign new metadata with the new keys: it goes live with the new root.",
			"What was delivered meanwhile no root takes back: look at every target.",
		}},
	HolderLeft: {"A holder left, and is no longer trusted",
		"A holder of a root key is no longer with the project.",
		[]string{
			"No race: one holder is fewer than the threshold. Slow down.",
			"A threshold of 1? Then choose quorum stolen.",
			"First: close their logins, above all where online keys are.",
			"Ask for token, papers and backups, and take what they give back.",
			"The next root drops their key. If they are willing, they can sign it.",
			"A token given back is reset after the new root is out, with a witness.",
			"Their share in others' backups stays: files cannot be unmade.",
			"rootceremony check PLAN says whose backups they can still help to open.",
			"Those keys too are better replaced: a new key has new backups.",
			"More people gone than you can spare? Choose quorum lost.",
		}},
	QuorumLost: {"Too many keys are lost: the threshold cannot sign any more",
		"So many root keys are lost that the old root cannot sign another one.",
		[]string{
			"No race while nobody has them. If somebody may, choose quorum stolen.",
			"First: stop. Reset, wipe or throw away no token and no medium.",
			"Open backups: rootceremony restore DIR0, with who must come for each.",
			"As soon as a threshold can sign again, this is an ordinary revocation.",
			"Blocked PINs are not lost keys: the sealed PUK opens them (restore).",
			"No backups, or no quorum opens them: TUF has no answer. Nobody has.",
			"Clients take no root that the old threshold has not signed.",
			"What is left: a new chain, and every client changed by hand (re-pin).",
			"You have until the old root expires: updates go on that long.",
			"Use that time: ship the new root as an update: online keys still sign.",
		}},
	QuorumStolen: {"A threshold of root keys may be in the hands of others",
		"A threshold of root keys is, or may be, in the hands of somebody else.",
		[]string{
			"Here haste matters. TUF cannot undo this: say so, to yourselves first.",
			"Who holds a threshold signs any root, as good as yours to any client.",
			"First: warn users today, on channels that the thief does not control.",
			"If you can still sign, rotate too. It is no cure.",
			"Others can be given the thief's root of the same version instead.",
			"The cure is out of band: a new chain, every client re-pinned by hand.",
			"The new chain's publish/trust is the kit for that: EMBED.md says how.",
			"Ship it in installers, by operating systems, by words read aloud.",
			"Make the new keys on new tokens and a laptop that nobody else had.",
			"Look for root files that nobody in the project made. Keep them.",
		}},
	RootExpired: {"The root has expired, or will before anybody can meet",
		"The root of trust has expired, or is about to, and had not been renewed in time.",
		[]string{
			"No key is lost: an expired root can still be followed by a new one.",
			"Clients look at the expiry of the newest root only, after the walk.",
			"Until then they refuse all updates: hurry for them, not for safety.",
			"First: find a threshold of the old holders, here or elsewhere.",
			"Elsewhere: rootceremony sign FILE. Here: rootceremony collect DIR FILE.",
			"The plan is a renewal: the same keys, a later expiry, one version on.",
			"Never turn a clock back, and tell nobody to: it opens old attacks.",
			"No threshold of old holders to be found? Choose quorum lost.",
			"Then put the next expiry where people will look at it in time.",
		}},
}

// Known reports whether an incident is one of Incidents.
func (i Incident) Known() bool { return slices.Contains(Incidents, i) }

// Breaks reports whether TUF has no answer to an incident: no root that clients
// accept mends it, and a new chain begins.
func (i Incident) Breaks() bool { return i == QuorumLost || i == QuorumStolen }

// Label is an incident as a choice: one line, or "" for one that is not Known.
func (i Incident) Label() string { return texts[i].label }

// Advice is what is honest to say before anything is planned: what TUF can do
// and what not, what comes first, and whether haste matters. Each line has at
// most 76 characters. It is nil for an incident that is not Known.
func (i Incident) Advice() []string { return slices.Clone(texts[i].advice) }

// Replaced are the online roles that a root must give new keys when those of
// some roles are compromised, so that clients recover also from versions that
// were counted up: the compromised role, and all that vouch for it. The order
// is that of tuf.RoleNames; root, and what is no role, is left out.
//
// For targets, new keys for targets and snapshot would do for most clients; new
// keys for timestamp make that sure, and cost nothing, as all of them are
// signed again anyway.
func Replaced(roles []string) []string {
	vouch := []string{tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} // each for the one before
	replaced := map[string]bool{}
	for i, role := range vouch {
		if slices.Contains(roles, role) {
			for _, r := range vouch[i:] {
				replaced[r] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(tuf.RoleNames), func(role string) bool { return !replaced[role] })
}
