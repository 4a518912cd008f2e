package interview

import (
	"testing"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/record"
)

// of is an emergency of a root with 5 keys of which need must sign, once people
// have said that named of them are lost or in other hands.
func of(what record.Incident, need, named int) emergency {
	return emergency{what: what, traced: true, need: need, keys: 5, asked: true, named: named}
}

// and is the emergency where published root keys stand in the chain too, both of them
// among those that are named.
func (e emergency) and(published, both int) emergency {
	e.published, e.both = published, both
	return e
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
		{"holder left", emergency{what: record.HolderLeft, traced: true, need: 3, keys: 5}, record.HolderLeft, askWhich},

		{"quorum taken, a race", of(record.TokenStolen, 2, 2).choose(chooseRace), record.QuorumStolen, nextRoot},
		{"quorum taken, no race", of(record.TokenStolen, 2, 3).choose(chooseAnew), record.QuorumStolen, newChain},
		{"quorum taken, others sign", of(record.HolderLeft, 2, 3), record.QuorumStolen, askRace},
		{"quorum taken, others do not sign", of(record.HolderLeft, 3, 3), record.QuorumStolen, newChain},
		{"role compromised, by fewer root keys", of(record.RoleCompromised, 3, 2), record.RoleCompromised, nextRoot},
		{"left, with their holders enough sign", of(record.HolderLeft, 4, 3), record.HolderLeft, nextRoot},
		{"stolen, others do not sign", of(record.TokenStolen, 4, 2), record.TokenStolen, search},
		{"stolen, with backups enough sign", of(record.TokenStolen, 4, 2).found(1, 1), record.TokenStolen, nextRoot},

		{"lost, nobody has looked for backups", of(record.TokenLost, 3, 1), record.TokenLost, search},
		{"lost, others sign, all are restored", of(record.TokenLost, 3, 2).found(2, 0).choose(chooseRestore), record.TokenLost, restore},
		{"lost, others sign, some are restored", of(record.TokenLost, 3, 2).found(1, 0).choose(chooseRestore), record.TokenLost, nextRoot},
		{"lost, others sign, dropped all the same", of(record.TokenLost, 3, 2).found(2, 0).choose(chooseDrop), record.TokenLost, nextRoot},
		{"lost, others sign, backups", of(record.QuorumLost, 3, 2).found(1, 1), record.TokenLost, askRestore},
		{"lost, others sign, no backups", of(record.QuorumLost, 3, 2).found(0, 2), record.TokenLost, nextRoot},
		{"too many lost, all have backups", of(record.TokenLost, 3, 3).found(3, 0), record.QuorumLost, restore},
		{"too many lost, enough have backups", of(record.TokenLost, 3, 3).found(1, 0), record.QuorumLost, nextRoot},

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
			if is := c.e.comesTo(ways[row]); is != c.is || ways[row].then != c.then {
				t.Errorf("%s: %s, want %s: %s", is, ways[row].then, c.is, c.then)
			}
		})
	}
}

// A published key is in everybody's hands, and its holder can sign with it: it is
// neither lost nor stolen, whatever people say of others.
func TestPublishedKeys(t *testing.T) {
	of3 := func(what record.Incident, need, named int) emergency {
		e := of(what, need, named)
		e.keys = 3
		return e
	}
	only := func(what record.Incident, named int) emergency {
		e := of(what, 1, named).and(1, named)
		e.keys = 1
		return e
	}
	online := of(record.TokenLost, 3, 1).found(1, 0)
	online.roles = true
	for _, c := range []struct {
		name string
		e    emergency
		is   record.Incident
		then step
	}{
		{"one, and another one lost", of3(record.TokenLost, 2, 1).and(1, 0).found(0, 1), record.KeyPublished, nextRoot},
		{"one, and another one lost, its backup", of3(record.TokenLost, 2, 1).and(1, 0).found(1, 0), record.KeyPublished, askRestore},
		{"one, and another one restored", of3(record.TokenLost, 2, 1).and(1, 0).found(1, 0).choose(chooseRestore), record.KeyPublished, nextRoot},
		{"one, and none lost", of3(record.TokenLost, 2, 0).and(1, 0), record.KeyPublished, nextRoot},
		{"one, and two lost, with a backup", of3(record.QuorumLost, 2, 2).and(1, 0).found(1, 0), record.KeyPublished, nextRoot},
		{"one, and two lost", of3(record.QuorumLost, 2, 2).and(1, 0).found(0, 0), record.QuorumLost, newChain},
		{"one that is lost, of all that must sign", of3(record.TokenLost, 3, 1).and(1, 1).found(0, 0), record.QuorumLost, newChain},
		{"one, and a holder left", of3(record.HolderLeft, 2, 1).and(1, 0), record.QuorumStolen, askRace},
		{"one, and a holder left of three that sign", of3(record.HolderLeft, 3, 1).and(1, 0), record.HolderLeft, nextRoot},
		{"one, and another one stolen", of3(record.TokenStolen, 2, 1).and(1, 0), record.QuorumStolen, askRace},
		{"one, which is stolen", of3(record.TokenStolen, 2, 1).and(1, 1), record.TokenStolen, nextRoot},
		{"one, and two stolen", of3(record.TokenStolen, 2, 2).and(1, 0), record.QuorumStolen, newChain},
		{"elsewhere, a threshold", of(record.KeyPublished, 3, 3), record.KeyPublished, askRace},
		{"all, a race", of3(record.KeyPublished, 2, 0).and(3, 0).choose(chooseRace), record.KeyPublished, nextRoot},
		{"the only one, lost", only(record.TokenLost, 1), record.KeyPublished, askRace},
		{"the only one, stolen", only(record.TokenStolen, 1), record.KeyPublished, askRace},
		{"the only one, and roles", only(record.RoleCompromised, 0), record.KeyPublished, askRace},
		{"the only one, holder left", only(record.HolderLeft, 1), record.KeyPublished, askRace},
		{"the only one, quorum lost", only(record.QuorumLost, 1), record.KeyPublished, askRace},
		{"the only one, expired", only(record.RootExpired, 0), record.KeyPublished, askRace},
		{"the only one, no race", only(record.TokenLost, 1).choose(chooseAnew), record.KeyPublished, newChain},
		{"an online one: restoring is not enough", online.choose(chooseRestore), record.TokenLost, nextRoot},
	} {
		t.Run(c.name, func(t *testing.T) {
			if way := ways[c.e.row()]; c.e.comesTo(way) != c.is || way.then != c.then {
				t.Errorf("%s: %s, want %s: %s", c.e.comesTo(way), way.then, c.is, c.then)
			}
		})
	}
}

func TestReason(t *testing.T) {
	for _, c := range []struct {
		e      emergency
		reason string
		taken  int
	}{
		{of(record.QuorumLost, 4, 3).and(2, 1), agreed.Lost, 2},
		{of(record.TokenStolen, 4, 3).and(2, 1), agreed.Stolen, 4},
		{emergency{what: record.PINSeen, where: gone, named: 1}, agreed.Stolen, 1},
		{emergency{what: record.PINSeen, where: outOfHand, named: 1}, agreed.Compromised, 1},
		{of(record.HolderLeft, 3, 1), agreed.Compromised, 1},
		{of(record.RoleCompromised, 3, 0), agreed.Compromised, 0},
		{emergency{what: record.QuorumStolen}, "", 0},
	} {
		if c.e.reason() != c.reason || c.e.taken() != c.taken {
			t.Errorf("%+v: %q, %d taken", c.e, c.e.reason(), c.e.taken())
		}
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
		// Everybody has published keys, thieves what is named as theirs.
		taken := e.published
		if e.reason() != agreed.Lost {
			taken += e.named - e.both
		}
		stolen := e.what == record.QuorumStolen || e.asked && taken >= e.need
		// Holders of lost and stolen keys do not sign, others whose key somebody has do.
		signs := e.keys - e.named + e.back
		if e.reason() == agreed.Compromised || e.what == record.RootExpired {
			signs = e.keys
		}
		if e.published >= e.need { // by anyone
			signs = max(signs, e.published)
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
					for e.published = range e.keys + 1 {
						for _, e.roles = range []bool{false, true} {
							follow(e, asked+1)
						}
					}
				}
			}
		case askWhich, askRoles:
			e.asked = true
			for e.named = range e.keys + 1 {
				if e.named == 0 && end == askWhich && e.published == 0 {
					continue
				}
				for e.both = max(0, e.named+e.published-e.keys); e.both <= min(e.named, e.published); e.both++ {
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
			if end == newChain && stolen && e.what != record.QuorumStolen && e.chosen != chooseAnew && (e.published >= e.need || e.keys-e.named >= e.need) {
				t.Errorf("nobody was asked whether to race: %+v", e)
			}
			if end == restore && (e.back != e.named || e.named == 0 || e.published > 0 || e.roles) {
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
