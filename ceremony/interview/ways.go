package interview

import (
	"cmp"
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
	// published is how many of them stand in the chain with their private half: they
	// are in everybody's hands, and their holders can sign all the same.
	published int
	roles     bool // keys of online roles stand there so too

	asked bool // people were asked which keys
	named int  // root keys that people say are lost, or in other hands
	both  int  // those of them that are published as well

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
	{record.Incidents, emergency.unasked, "", "", askWhich},

	// Anyone who has taken keys can sign with them, and any root with a threshold.
	{record.Incidents, emergency.quorumTaken, chooseRace, record.QuorumStolen, nextRoot},
	{record.Incidents, emergency.quorumTaken, chooseAnew, record.QuorumStolen, newChain},
	{record.Incidents, emergency.mayRace, "", record.QuorumStolen, askRace},
	{record.Incidents, emergency.quorumTaken, "", record.QuorumStolen, newChain},
	{[]record.Incident{record.RoleCompromised}, emergency.whatever, "", "", nextRoot},
	{thefts, emergency.holdersSign, "", "", nextRoot},
	{thefts, emergency.unsearched, "", "", search},
	{thefts, emergency.backupsSign, "", "", nextRoot},

	// Nobody can sign with a lost key.
	{losses, emergency.unsearched, "", "", search},
	{losses, emergency.allBack, chooseRestore, record.TokenLost, restore},
	{losses, emergency.othersSign, chooseRestore, record.TokenLost, nextRoot},
	{losses, emergency.othersSign, chooseDrop, record.TokenLost, nextRoot},
	{losses, emergency.mayRestore, "", record.TokenLost, askRestore},
	{losses, emergency.othersSign, "", record.TokenLost, nextRoot},
	{losses, emergency.allBack, "", record.QuorumLost, restore},
	{losses, emergency.backupsSign, "", record.QuorumLost, nextRoot},

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

// incident is what has happened, as the table takes it: a token that is gone with
// its PIN is stolen, and where a root key is published an expiry is not the worst.
func (e emergency) incident() record.Incident {
	switch {
	case e.what == record.PINSeen && e.where == gone:
		return record.TokenStolen
	case e.what == record.RootExpired && e.published > 0:
		return record.KeyPublished
	}
	return e.what
}

// comesTo is the incident of a way, for plan and notice. It is that keys are published
// where nobody has others, and enough can still sign.
func (e emergency) comesTo(w way) record.Incident {
	is := cmp.Or(w.is, e.incident())
	switch {
	case is == record.QuorumStolen && e.asked && (e.incident() == record.KeyPublished || e.taken() == e.published),
		e.published > 0 && (is == record.TokenLost || is == record.QuorumLost && w.then == nextRoot):
		return record.KeyPublished
	}
	return is
}

// reason is why a key that is named, and not published in the chain, is dropped.
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

func (e emergency) whatever() bool       { return true }
func (e emergency) unplaced() bool       { return e.where == "" }
func (e emergency) inHand() bool         { return e.where == inHand }
func (e emergency) untraced() bool       { return !e.traced }
func (e emergency) unasked() bool        { return !e.asked }
func (e emergency) unsearched() bool     { return !e.searched && e.named > 0 }
func (e emergency) backupsUnknown() bool { return e.unknown > 0 }

// taken is how many keys are in other hands.
func (e emergency) taken() int {
	if e.reason() == agreed.Lost {
		return e.published
	}
	return e.named + e.published - e.both
}

// quorumTaken: those are enough to sign a root.
func (e emergency) quorumTaken() bool { return e.asked && e.taken() >= e.need }

// othersSign: the keys that are not named are enough.
func (e emergency) othersSign() bool { return e.keys-e.named >= e.need }

// mayRace: others can sign a root, and so can people who are trusted: they have enough
// keys that are not named, or a threshold is published, so that everybody has it.
func (e emergency) mayRace() bool {
	return e.quorumTaken() && (e.othersSign() || e.published >= e.need || e.incident() == record.KeyPublished)
}

// holdersSign: with those holders whose key somebody else has too, who can sign
// if they will.
func (e emergency) holdersSign() bool { return e.able() >= e.need }

// backupsSign: with the keys that backups bring back as well.
func (e emergency) backupsSign() bool { return e.able()+e.back >= e.need }

// able is how many keys can sign: published ones too, unless their token is gone.
func (e emergency) able() int {
	if e.reason() == agreed.Compromised {
		return e.keys
	}
	return e.keys - e.named
}

// mayRestore: keys can be restored that need not be.
func (e emergency) mayRestore() bool { return e.othersSign() && e.back > 0 }

// allBack: backups bring back all that are named, and no root is needed for others.
func (e emergency) allBack() bool { return e.back == e.named && e.published == 0 && !e.roles }
