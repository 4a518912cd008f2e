package interview

import (
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/record"
)

// emergency is what is known of one so far: what has happened, who is left, and
// what people have chosen. The table of ways decides by it what is asked next, and
// in the end which way out is the shortest that is safe.
type emergency struct {
	what  record.Incident // as people said
	where string          // record.PINSeen: where the token has been since; "": not asked

	traced bool // what the next root follows was looked for
	need   int  // root keys that must sign; 0: the old root is not at hand
	keys   int  // root keys that there are
	// exposed is how many of them are published with their private half.
	exposed int

	asked bool // people were asked which keys
	named int  // root keys that are lost, or in other hands

	searched bool // backups of those were looked for
	back     int  // those that backups bring back
	unknown  int  // those whose backups nobody here can know of

	chosen string // what people chose where several ways are open; "": not asked
}

// Where the token has been since its PIN was seen.
const (
	inHand    = "in-hand"
	outOfHand = "out"
	gone      = "gone"
)

// What people choose where several ways are open.
const (
	chooseRestore = "restore" // the lost keys, though the others are enough
	chooseDrop    = "drop"    // them all the same
	chooseRace    = "race"    // against those who have a threshold of keys
	chooseAnew    = "again"   // a new chain instead
	chooseLook    = "look"    // for backups, before anything is written
	chooseNone    = "none"    // there surely are no backups
)

// step is what a way says is to be done: a question, or the end.
type step string

const (
	askWhere   step = "ask where the token has been"
	findChain  step = "find what the next root follows"
	askRoles   step = "ask which roles are compromised"
	askWhich   step = "ask which keys"
	search     step = "look for backups"
	askRestore step = "ask whether to restore or to drop"
	askRace    step = "ask whether to race"
	askUnknown step = "ask whether there are backups"

	changePIN step = "end: another PIN is enough"
	restore   step = "end: backups are enough"
	lookFirst step = "end: look for backups first"
	nextRoot  step = "end: the plan of the next root"
	newChain  step = "end: no root helps, only a new chain"
)

// way is a row of the table: what is done where all of the first three hold.
type way struct {
	what   []record.Incident    // one of these has happened
	left   func(emergency) bool // this is so of those who are left
	chosen string               // people chose this; "": whatever they chose

	is   record.Incident // the incident that it comes to; "": what has happened
	then step
}

var (
	losses = []record.Incident{record.TokenLost, record.QuorumLost}
	thefts = []record.Incident{record.TokenStolen, record.PINSeen, record.KeyPublished, record.HolderLeft}
)

// ways is the whole decision: of its rows the first one holds.
var ways = []way{
	{[]record.Incident{record.PINSeen}, emergency.unplaced, "", "", askWhere},
	{[]record.Incident{record.PINSeen}, emergency.inHand, "", "", changePIN},
	{record.Incidents, emergency.untraced, "", "", findChain},

	{[]record.Incident{record.RootExpired}, emergency.whatever, "", "", nextRoot},
	{[]record.Incident{record.QuorumStolen}, emergency.whatever, "", "", newChain},

	{[]record.Incident{record.RoleCompromised}, emergency.unasked, "", "", askRoles},
	{[]record.Incident{record.RoleCompromised}, emergency.quorumNamed, "", record.QuorumStolen, newChain},
	{[]record.Incident{record.RoleCompromised}, emergency.whatever, "", "", nextRoot},

	{record.Incidents, emergency.unasked, "", "", askWhich},

	// Nobody can sign with a lost key.
	{losses, emergency.unsearched, "", "", search},
	{losses, emergency.allBack, chooseRestore, record.TokenLost, restore},
	{losses, emergency.othersSign, chooseRestore, record.TokenLost, nextRoot},
	{losses, emergency.othersSign, chooseDrop, record.TokenLost, nextRoot},
	{losses, emergency.mayRestore, "", record.TokenLost, askRestore},
	{losses, emergency.othersSign, "", record.TokenLost, nextRoot},
	{losses, emergency.allBack, "", record.QuorumLost, restore},
	{losses, emergency.backupsSign, "", record.QuorumLost, nextRoot},

	// Anyone who has taken keys can sign with them, and any root with a threshold.
	{thefts, emergency.quorumNamed, chooseRace, record.QuorumStolen, nextRoot},
	{thefts, emergency.quorumNamed, chooseAnew, record.QuorumStolen, newChain},
	{[]record.Incident{record.KeyPublished}, emergency.quorumNamed, "", record.QuorumStolen, askRace}, // its holders have it too
	{thefts, emergency.mayRace, "", record.QuorumStolen, askRace},
	{thefts, emergency.quorumNamed, "", record.QuorumStolen, newChain},
	{thefts, emergency.holdersSign, "", "", nextRoot},
	{thefts, emergency.unsearched, "", "", search},
	{thefts, emergency.backupsSign, "", "", nextRoot},

	// Too few can sign, unless there are backups that nobody here knows of.
	{record.Incidents, emergency.backupsUnknown, chooseLook, record.QuorumLost, lookFirst},
	{record.Incidents, emergency.backupsUnknown, chooseNone, record.QuorumLost, newChain},
	{record.Incidents, emergency.backupsUnknown, "", record.QuorumLost, askUnknown},
	{record.Incidents, emergency.whatever, "", record.QuorumLost, newChain},
}

// row is the number of the row that holds.
func (e emergency) row() int {
	return slices.IndexFunc(ways, func(w way) bool {
		return slices.Contains(w.what, e.incident()) && w.left(e) && (w.chosen == "" || w.chosen == e.chosen)
	})
}

// incident is what has happened: a token that is gone with its PIN is stolen. Where a
// root of the chain publishes root keys, a loss is no longer the worst of it.
func (e emergency) incident() record.Incident {
	switch {
	case e.what == record.PINSeen && e.where == gone, e.exposed > 0 && slices.Contains(losses, e.what):
		return record.TokenStolen
	case e.exposed > 0 && e.what == record.RootExpired:
		return record.KeyPublished
	}
	return e.what
}

// reason is why the keys that are named are dropped.
func (e emergency) reason() string {
	switch e.incident() {
	case record.TokenLost, record.QuorumLost:
		return agreed.Lost
	case record.TokenStolen:
		return agreed.Stolen
	case record.PINSeen, record.KeyPublished, record.HolderLeft, record.RoleCompromised:
		return agreed.Compromised
	}
	return ""
}

// away are the root keys that are in other hands, and those that are lost.
func (e emergency) away() (taken, lost int) {
	if e.reason() == agreed.Lost {
		return 0, e.named - e.back
	}
	return e.named, 0
}

func (e emergency) whatever() bool       { return true }
func (e emergency) unplaced() bool       { return e.where == "" }
func (e emergency) inHand() bool         { return e.where == inHand }
func (e emergency) untraced() bool       { return !e.traced }
func (e emergency) unasked() bool        { return !e.asked }
func (e emergency) unsearched() bool     { return !e.searched }
func (e emergency) backupsUnknown() bool { return e.unknown > 0 }

// quorumNamed: the keys that are named are enough to sign a root.
func (e emergency) quorumNamed() bool { return e.named >= e.need }

// othersSign: the keys that are not named are enough.
func (e emergency) othersSign() bool { return e.keys-e.named >= e.need }

// mayRace: both are.
func (e emergency) mayRace() bool { return e.quorumNamed() && e.othersSign() }

// holdersSign: with those holders whose key somebody else has too, who can sign
// if they will.
func (e emergency) holdersSign() bool { return e.able() >= e.need }

// backupsSign: with the keys that backups bring back as well.
func (e emergency) backupsSign() bool { return e.able()+e.back >= e.need }

func (e emergency) able() int {
	if e.reason() == agreed.Compromised {
		return e.keys
	}
	return e.keys - e.named
}

// mayRestore: keys can be restored that need not be.
func (e emergency) mayRestore() bool { return e.othersSign() && e.back > 0 }

// allBack: backups bring back all that are named.
func (e emergency) allBack() bool { return e.back == e.named }
