package interview

import (
	"cmp"
	"testing"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/record"
)

// of is an emergency of a root with 5 keys of which need must sign, once people
// have said that named of them are lost or in other hands.
func of(what record.Incident, need, named int) emergency {
	return emergency{what: what, traced: true, need: need, keys: 5, asked: true, named: named}
}

// found is the emergency once backups were looked for.
func (e emergency) found(back, unknown int) emergency {
	e.searched, e.back, e.unknown = true, back, unknown
	return e
}

func (e emergency) choose(chosen string) emergency {
	e.chosen = chosen
	return e
}

func TestWays(t *testing.T) {
	// One case for each row, in their order.
	cases := []struct {
		name string
		e    emergency
		is   record.Incident // what it comes to
		then step
	}{
		{"PIN seen", emergency{what: record.PINSeen}, record.PINSeen, askWhere},
		{"PIN seen, token in hand", emergency{what: record.PINSeen, where: inHand}, record.PINSeen, changePIN},
		{"PIN seen, token gone", emergency{what: record.PINSeen, where: gone}, record.TokenStolen, findChain},

		{"root expired", emergency{what: record.RootExpired, traced: true}, record.RootExpired, nextRoot},
		{"quorum stolen, no chain at hand", emergency{what: record.QuorumStolen, traced: true}, record.QuorumStolen, newChain},

		{"role compromised", emergency{what: record.RoleCompromised, traced: true, need: 3, keys: 5}, record.RoleCompromised, askRoles},
		{"role compromised, by as many root keys as sign", of(record.RoleCompromised, 3, 3), record.QuorumStolen, newChain},
		{"role compromised, by fewer root keys", of(record.RoleCompromised, 3, 2), record.RoleCompromised, nextRoot},

		{"holder left", emergency{what: record.HolderLeft, traced: true, need: 3, keys: 5}, record.HolderLeft, askWhich},

		{"lost, nobody has looked for backups", of(record.TokenLost, 3, 1), record.TokenLost, search},
		{"lost, others sign, all are restored", of(record.TokenLost, 3, 2).found(2, 0).choose(chooseRestore), record.TokenLost, restore},
		{"lost, others sign, some are restored", of(record.TokenLost, 3, 2).found(1, 0).choose(chooseRestore), record.TokenLost, nextRoot},
		{"lost, others sign, dropped all the same", of(record.TokenLost, 3, 2).found(2, 0).choose(chooseDrop), record.TokenLost, nextRoot},
		{"lost, others sign, backups", of(record.QuorumLost, 3, 2).found(1, 1), record.TokenLost, askRestore},
		{"lost, others sign, no backups", of(record.QuorumLost, 3, 2).found(0, 2), record.TokenLost, nextRoot},
		{"too many lost, all have backups", of(record.TokenLost, 3, 3).found(3, 0), record.QuorumLost, restore},
		{"too many lost, enough have backups", of(record.TokenLost, 3, 3).found(1, 0), record.QuorumLost, nextRoot},

		{"quorum taken, a race", of(record.TokenStolen, 2, 2).choose(chooseRace), record.QuorumStolen, nextRoot},
		{"quorum taken, no race", of(record.TokenStolen, 2, 3).choose(chooseAnew), record.QuorumStolen, newChain},
		{"quorum published", of(record.KeyPublished, 3, 3), record.QuorumStolen, askRace},
		{"quorum taken, others sign", of(record.HolderLeft, 2, 3), record.QuorumStolen, askRace},
		{"quorum taken, others do not sign", of(record.HolderLeft, 3, 3), record.QuorumStolen, newChain},
		{"left, with their holders enough sign", of(record.HolderLeft, 4, 3), record.HolderLeft, nextRoot},
		{"stolen, others do not sign", of(record.TokenStolen, 4, 2), record.TokenStolen, search},
		{"stolen, with backups enough sign", of(record.TokenStolen, 4, 2).found(1, 1), record.TokenStolen, nextRoot},

		{"too few, people look for backups", of(record.TokenStolen, 4, 2).found(0, 2).choose(chooseLook), record.QuorumLost, lookFirst},
		{"too few, surely no backups", of(record.TokenLost, 4, 3).found(1, 1).choose(chooseNone), record.QuorumLost, newChain},
		{"too few, backups not known of", of(record.TokenLost, 4, 3).found(1, 1), record.QuorumLost, askUnknown},
		{"too few, no backups", of(record.TokenLost, 4, 3).found(1, 0), record.QuorumLost, newChain},
	}
	if len(cases) != len(ways) {
		t.Errorf("%d cases for %d rows", len(cases), len(ways))
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			row := c.e.row()
			if row != i {
				t.Errorf("row %d holds, not %d", row, i)
			}
			if is := cmp.Or(ways[row].is, c.e.incident()); is != c.is || ways[row].then != c.then {
				t.Errorf("%s: %s, want %s: %s", is, ways[row].then, c.is, c.then)
			}
		})
	}
}

// Where a root of the chain publishes a root key, what people say has happened is not
// the worst of it.
func TestPublishedKeysCountMore(t *testing.T) {
	for what, want := range map[record.Incident]record.Incident{
		record.TokenLost: record.TokenStolen, record.QuorumLost: record.TokenStolen, record.RootExpired: record.KeyPublished,
		record.TokenStolen: record.TokenStolen, record.HolderLeft: record.HolderLeft, record.KeyPublished: record.KeyPublished,
		record.RoleCompromised: record.RoleCompromised, record.QuorumStolen: record.QuorumStolen,
	} {
		if got := (emergency{what: what, traced: true, need: 3, keys: 5, exposed: 1}).incident(); got != want {
			t.Errorf("%s comes to %s, want %s", what, got, want)
		}
	}
}

func TestAway(t *testing.T) {
	for _, c := range []struct {
		name        string
		e           emergency
		reason      string
		taken, lost int
	}{
		{"lost", of(record.QuorumLost, 4, 3).found(1, 0), agreed.Lost, 0, 2},
		{"stolen", of(record.TokenStolen, 4, 3).found(1, 0), agreed.Stolen, 3, 0},
		{"gone with its PIN", emergency{what: record.PINSeen, where: gone, named: 1}, agreed.Stolen, 1, 0},
		{"out of hand", emergency{what: record.PINSeen, where: outOfHand, named: 1}, agreed.Compromised, 1, 0},
		{"left", of(record.HolderLeft, 3, 1), agreed.Compromised, 1, 0},
		{"roles", of(record.RoleCompromised, 3, 0), agreed.Compromised, 0, 0},
		{"nobody has counted", emergency{what: record.QuorumStolen}, "", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if taken, lost := c.e.away(); c.e.reason() != c.reason || taken != c.taken || lost != c.lost {
				t.Errorf("%q: %d taken, %d lost", c.e.reason(), taken, lost)
			}
		})
	}
}

// Whatever people answer leads out, and never to a root that too few can sign, nor
// to a new chain where the old one can go on.
func TestEveryEmergencyLeadsOut(t *testing.T) {
	ends := map[step]int{}
	var follow func(e emergency, asked int)
	follow = func(e emergency, asked int) {
		if asked > 6 {
			t.Fatalf("%+v: still asked", e)
		}
		end := ways[e.row()].then
		stolen := e.what == record.QuorumStolen || e.reason() != agreed.Lost && e.quorumNamed()
		// Holders of lost and stolen keys do not sign, others whose key somebody has do.
		signs := e.keys - e.named + e.back
		if e.reason() == agreed.Compromised || e.what == record.RootExpired {
			signs = e.keys
		}
		switch end {
		case askWhere:
			for _, e.where = range []string{inHand, outOfHand, gone} {
				follow(e, asked+1)
			}
		case findChain:
			e.traced = true
			for e.keys = 1; e.keys <= 5; e.keys++ {
				for e.need = 1; e.need <= e.keys; e.need++ {
					follow(e, asked+1)
				}
			}
		case askWhich, askRoles:
			e.asked = true
			for e.named = range e.keys + 1 {
				if e.named > 0 || end == askRoles {
					follow(e, asked+1)
				}
			}
		case search:
			e.searched = true
			for e.back = range e.named + 1 {
				for e.unknown = range e.named - e.back + 1 {
					follow(e, asked+1)
				}
			}
		case askRestore:
			for _, e.chosen = range []string{chooseRestore, chooseDrop} {
				follow(e, asked+1)
			}
		case askRace:
			for _, e.chosen = range []string{chooseRace, chooseAnew} {
				follow(e, asked+1)
			}
		case askUnknown:
			for _, e.chosen = range []string{chooseLook, chooseNone} {
				follow(e, asked+1)
			}
		default:
			ends[end]++
			if end == nextRoot && signs < e.need || end == newChain && !stolen && signs >= e.need {
				t.Errorf("%s, but %d can sign: %+v", end, signs, e)
			}
			if end == nextRoot && stolen && e.chosen != chooseRace || end == newChain && e.unknown > 0 && e.chosen != chooseNone && !stolen {
				t.Errorf("%s, and nobody has chosen it: %+v", end, e)
			}
			if end == restore && (e.back != e.named || e.named == 0) {
				t.Errorf("%s, with %d backups of %d: %+v", end, e.back, e.named, e)
			}
		}
	}
	for _, what := range record.Incidents {
		follow(emergency{what: what}, 0)
	}
	if len(ends) != 5 {
		t.Errorf("ends %v", ends)
	}
}
