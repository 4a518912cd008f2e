package ceremony_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rootceremony/ceremony"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/state"
	"rootceremony/keys"
)

// lieAt names, in the environment of a session's child, what all tokens lie about.
const lieAt = "CEREMONY_TEST_LIE"

// weakKeys are ed25519 keys with which anyone can sign, or that have a second form
// (RFC 8032, 5.1.3): the five y of small order with either sign, and those above the
// field's prime.
var weakKeys = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

// statusWords are those that PIV and ISO 7816-4 have, and success without what was
// asked for is a lie of each command.
var statusWords = []string{"6581", "6700", "6881", "6982", "6983", "6984", "6985", "6a80", "6a82", "6a84", "6a86", "6a88", "6b00", "6d00", "6e00", "6f00", "63c0", "63c5", "63cf", "6100"}

// lied is a task in which a token lies.
type lied struct {
	name     string
	task     string
	answers  map[string]string
	start    func(t *testing.T) (*stage, *ceremony.Desk) // just before the task
	commands []string                                    // of the token, as a trace of it gives them
}

func lieds() []lied {
	before := func(task string) func(*testing.T) (*stage, *ceremony.Desk) {
		return func(t *testing.T) (*stage, *ceremony.Desk) {
			s, desk := opened(t)
			runTo(t, desk, task)
			return s, desk
		}
	}
	return []lied{
		{"enrol", "enrol alice", nil, before("enrol alice"), []string{"Info", "SetTries", "ChangePIN", "Generate 9a", "Generate 82", "Generate 9c",
			"Attest 9a", "Attest 82", "Attest 9c", "Device", "ChangePUK", "SetManagement", "Sign 9a", "Sign 9c"}},
		{"sign", "sign alice", nil, before("sign alice"), []string{"Info", "VerifyPIN", "Sign 9c", "Sign 9a"}},
		{"wipe", "enrol alice", map[string]string{"holder.prepared alice": "wipe"}, func(t *testing.T) (*stage, *ceremony.Desk) {
			s, desk := before("enrol alice")(t)
			s.useElsewhere(t, "A-01")
			return s, desk
		}, []string{"Reset"}},
		{"unblock", "enrol alice", typesNewPIN, func(t *testing.T) (*stage, *ceremony.Desk) {
			s, desk := opened(t)
			beforeRootKey(t, desk)
			s.block("A-01")
			return s, desk
		}, []string{"Unblock", "VerifyPIN"}},
		{"import", keyAlice, nil, func(t *testing.T) (*stage, *ceremony.Desk) {
			s, desk := newAlone(t).opened()
			runTo(t, desk, keyAlice)
			return s, desk
		}, []string{"Info", "VerifyPIN", "ChangePUK", "SetManagement", "Import 9c", "Sign 9c", "Sign 9a"}},
	}
}

// lies is the table of lies in a task: what a liar says, by kind. all has the sample
// too that make test takes, with some of the status words of each command, and each
// of them at some.
func (l lied) lies() (all, sample map[string][]string) {
	all, sample = map[string][]string{}, map[string][]string{}
	often := 1 // how many of a kind there are for one of the sample
	add := func(kind, at string, how ...string) {
		for _, h := range how {
			if lie := at + ": " + h; !slices.Contains(all[kind], lie) {
				if len(all[kind])%often == 0 {
					sample[kind] = append(sample[kind], lie)
				}
				all[kind] = append(all[kind], lie)
			}
		}
	}
	does := func(at string) bool { return slices.Contains(l.commands, at) }

	often = 9 // prime to the number of status words, so that each comes, and each command
	for _, at := range l.commands {
		add("status words", at, statusWords...)
	}
	often = 4
	for _, at := range l.commands {
		if slices.Contains([]string{"SetTries", "VerifyPIN", "ChangePIN", "ChangePUK", "Unblock", "SetManagement", "Import 9c", "Reset"}, at) {
			add("nothing done", at, "nothing")
		}
	}
	often = 20 // one of a task, as each is waited for
	for _, at := range l.commands {
		add("slow", at, "hang")
	}
	often = 4
	bad := []string{"empty", "cut", "longer", "gigantic"}
	for _, at := range []string{"Sign 9c", "Sign 9a"} {
		if does(at) {
			add("wrong lengths", at, bad...)
			add("wrong signatures", at, "zeros", "ones", "flipped", "another's", "another message")
		}
	}
	if does("Info") {
		wrong := []string{"another serial", "no keys", "nothing", "another key", "keys twice", "old firmware"}
		add("half-way", "Info", append(wrong, "gigantic")...)
		add("half-way", "Info #2", wrong...)
		add("lists", "List", append(wrong, "no token", "each twice", "a thousand")...)
		if l.name != "sign" {
			add("half-way", "Info #3", wrong...)
		}
	}
	if does("Import 9c") {
		add("half-way", "Info #4", "another serial", "no keys", "nothing", "another key", "old firmware")
		add("wrong keys", "Import 9c", "another key", "another PIN policy", "another touch policy", "another slot")
	}
	if l.name != "enrol" {
		return all, sample
	}
	for _, slot := range []string{"9a", "9c"} {
		for _, key := range weakKeys {
			add("weak keys", "Generate "+slot, "key "+key, "raw "+key)
		}
	}
	for _, slot := range []string{"9a", "9c", "82"} {
		add("wrong keys", "Generate "+slot, "another", "unattested", "nothing", "raw 00", "raw zz", "raw "+strings.Repeat("00", 31))
		add("wrong attestations", "Attest "+slot, "another serial", "another slot", "another key", "another PIN policy", "another touch policy", "no policy", "the device twice",
			"the slot twice", "another maker", "slot flipped", "slot zeros", "device flipped", "device zeros")
		add("wrong lengths", "Attest "+slot, "slot empty", "slot cut", "slot longer", "slot gigantic", "device empty", "device cut", "device longer", "device gigantic")
	}
	add("wrong attestations", "Device", "another maker", "flipped", "zeros")
	add("wrong lengths", "Device", bad...)
	return all, sample
}

// recorded checks that what the log has of a holder is on the token, as an honest
// look at it shows.
func (s *stage) recorded(t *testing.T, desk *ceremony.Desk, lie string, signatures int) {
	t.Helper()
	h := desk.State().Holders["alice"]
	s.env = nil
	s.plugged = []string{"A-01"}
	info := s.look(t)
	holds := func(slot keys.Slot, public keys.PublicKey, generated bool) {
		if strings.HasSuffix(lie, fmt.Sprintf("Generate %v: another", slot)) {
			// The token attests it, and so it is recorded; no more than that.
			if h.Proved != nil && slot == keys.SlotRoot || s.count(state.TypeCheckpointSigned) > 0 {
				t.Errorf("proved: %+v", h.Proved)
			}
			return
		}
		if k, found := info.Key(slot); !found || k.Public != public || k.Generated != generated {
			t.Errorf("recorded for slot %v: %v; on the token: %v", slot, public, k)
		}
	}
	if h.Prepared != nil {
		holds(keys.SlotAuthentication, h.Prepared.Authentication, true)
		holds(keys.SlotAge, h.Prepared.Age, true)
	}
	if h.Key != nil {
		holds(keys.SlotRoot, h.Key.Public, !h.Key.Imported)
	}
	if strings.HasPrefix(lie, "Device: ") && !info.Fresh() {
		t.Errorf("something was done to a token that cannot show its maker: %+v", info)
	}
	if h.Serial != 0 && h.Serial != info.Serial {
		t.Errorf("recorded: token %d; there is %d", h.Serial, info.Serial)
	}
	// The fold verifies signatures of the root, of the log, and of possession.
	if _, err := state.Fold(events(t, s.dir)); err != nil {
		t.Error(err)
	}
	if n := s.count(state.TypeSignatureMade); n > signatures {
		t.Errorf("%d signatures", n)
	}
}

// A token lies, at each command and in each way of the table: no panic and no
// waiting, nothing is recorded that is not so, and the error says which token,
// what was asked of it, and what to do, which makes nothing worse. make torture has
// the whole table.
func TestLyingToken(t *testing.T) {
	for _, l := range lieds() {
		base, desk := l.start(t)
		desk.Close()
		made := base.count(state.TypeSignatureMade)
		table, left := l.lies()
		if !long {
			table, left = left, table
		}
		var mu sync.Mutex
		outcomes := map[string]map[string]int{}
		t.Run(l.name, func(t *testing.T) {
			for kind, all := range table {
				outcomes[kind] = map[string]int{}
				for _, lie := range all {
					t.Run(kind+"/"+lie, func(t *testing.T) {
						t.Parallel()
						copied := *base
						copied.t = t
						s := copied.copied()
						desk, err := s.open(clock, allStickers...)
						if err != nil {
							t.Fatal(err)
						}
						defer desk.Close()
						runTo(t, desk, l.task) // what a start asks for
						s.env = []string{lieAt + "=" + lie}
						if kind == "slow" {
							s.silence = 6 * time.Second
						}
						err = desk.Run(t.Context(), l.task, &prompt.Script{Answers: l.answers})
						outcome := s.refused(t, l.name, kind, lie, err)
						s.recorded(t, desk, lie, made+1)
						mu.Lock()
						defer mu.Unlock()
						outcomes[kind][outcome]++
					})
				}
			}
		})
		for _, kind := range slices.Sorted(maps.Keys(table)) {
			t.Logf("%s: %s: %d of %d lies: %v", l.name, kind, len(table[kind]), max(len(table[kind]), len(left[kind])), outcomes[kind])
		}
	}
}

// harmless are lies by which nothing is gained, in one task or in each: nothing is
// asked of the keys, which of the listed ones a token is it shows when it is opened,
// keys ask for the PIN themselves, and three tries are fewer than five.
var harmless = []string{
	"Info: keys twice", "Info #2: no keys", "Info #2: another key", "Info #2: keys twice", "Info #2: old firmware",
	"Info #3: no keys", "Info #3: another key", "Info #3: keys twice", "import Info #3: old firmware", "import Info #4: old firmware", "sign Info: old firmware",
	"List: a thousand", "List: each twice", "List: keys twice", "enrol List: another key", "enrol List: no keys", "import List: no keys", "sign List: old firmware",
	"SetTries: nothing", "VerifyPIN: nothing",
}

// refused checks what people are told, and returns in a word what became of the lie.
func (s *stage) refused(t *testing.T, task, kind, lie string, err error) string {
	t.Helper()
	if err == nil {
		if !slices.Contains(harmless, lie) && !slices.Contains(harmless, task+" "+lie) {
			t.Error("nobody has noticed")
		}
		return "harmless"
	}
	said := err.Error()
	serial, failed := s.drawer.Serial("A-01")
	if failed != nil {
		t.Fatal(failed)
	}
	if strings.Contains(said, "that is the PIN that the token does not take") {
		return "asked again" // for another one, and the script has but one
	}
	token := keys.SerialText(serial)
	if lie == "List: nothing" {
		token = "token 0"
	}
	if !strings.Contains(said, token) && !strings.Contains(said, "A-01") && !strings.Contains(said, "Alice") {
		t.Errorf("says nothing of the token: %s", said)
	}
	if !strings.Contains(said, "(hint: ") {
		t.Errorf("says nothing of what to do: %s", said)
	}
	if strings.Contains(said, "panic") || strings.Contains(said, "goroutine") {
		t.Errorf("a panic: %s", said)
	}
	if errors.As(err, new(*keys.EndedError)) {
		t.Errorf("a session ended, perhaps by its bound of processor time: %s", said)
	}
	var silent *keys.SilentError
	if hangs := errors.As(err, &silent); hangs != (kind == "slow") || hangs && silent.After != s.silence {
		t.Errorf("hangs, is not told to, or is waited for too long: %s", said)
	}
	if strings.Contains(said, "hint: reset") {
		t.Errorf("that makes it worse: %s", said)
	}
	if strings.HasSuffix(lie, " 6d00") && !strings.Contains(said, "lacks a command") {
		t.Errorf("does not say that it lacks a command: %s", said)
	}
	return "refused"
}

// A root key on a token whose PUK every new token has is not taken for made when the
// task is taken again: it is wiped, and everything is made again.
func TestPUKThatWasNotSet(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "enrol alice")
	s.env = []string{lieAt + "=ChangePUK: nothing"}
	if err := desk.Run(t.Context(), "enrol alice", &prompt.Script{}); err == nil || !strings.Contains(err.Error(), "still has the PUK or the management key of every new token") {
		t.Errorf("%v", err)
	}
	s.env = nil
	if err := desk.Run(t.Context(), "enrol alice", &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	if n := s.count(state.TypeWiped); n != 1 {
		t.Errorf("wiped %d times", n)
	}
	s.plugged = []string{"A-01"}
	if info := s.look(t); info.PUKDefault || desk.State().Holders["alice"].Proved == nil {
		t.Errorf("%+v", info)
	}
}

// A token with rules of its own for PINs is no dead end: what it does not take is
// asked for again, with the reason, and another PIN is taken. The one it has refused
// is not tried twice.
func TestPINThatTheTokenDoesNotTake(t *testing.T) {
	for _, sw := range []string{"6985", "6a80"} {
		s, desk := opened(t)
		runTo(t, desk, "enrol alice")
		s.env = []string{lieAt + "=ChangePIN: " + sw}
		const refused, taken = "908173", "908174"
		a := &prompt.Script{Answers: map[string]string{"holder.pin.new alice": refused, "holder.pin.again alice": refused}}
		if err := desk.Run(t.Context(), "enrol alice", a); err == nil || !strings.Contains(err.Error(), "that is the PIN that the token does not take") {
			t.Errorf("%s: the same PIN: %v", sw, err)
		}
		if h := desk.State().Holders["alice"]; h.Open != nil || h.Prepared != nil || h.Partial {
			t.Errorf("%s: nothing was set, and recorded is %+v", sw, h)
		}
		told := 0
		a.Say = func(m prompt.Message) {
			if m.Title == "Alice Costa: the token does not take this PIN" {
				told++
				s.env = nil
				a.Answers["holder.pin.new alice"], a.Answers["holder.pin.again alice"], a.Answers["holder.pin alice"] = taken, taken, taken
			}
		}
		if err := desk.Run(t.Context(), "enrol alice", a); err != nil || told != 1 {
			t.Errorf("%s: told %d times: %v", sw, told, err)
		}
		if h := desk.State().Holders["alice"]; h.Proved == nil {
			t.Errorf("%s: not enrolled", sw)
		}
		if err := s.session(t, "A-01").CheckPIN(newSecret(t, taken)); err != nil {
			t.Errorf("%s: %v", sw, err)
		}
	}
}

// The same where a PIN is blocked, and a new one is set by the factory's PUK.
func TestNewPINThatTheTokenDoesNotTake(t *testing.T) {
	s, desk := opened(t)
	beforeRootKey(t, desk)
	s.block("A-01")
	s.env = []string{lieAt + "=Unblock: 6985"}
	told := 0
	a := &prompt.Script{Answers: map[string]string{"holder.pin.new alice": "908173", "holder.pin.again alice": "908173"}}
	a.Say = func(m prompt.Message) {
		if m.Title == "Alice Costa: the token does not take this PIN" {
			told++
			s.env = nil
			a.Answers["holder.pin.new alice"], a.Answers["holder.pin.again alice"] = "908174", "908174"
		}
	}
	if err := desk.Run(t.Context(), "enrol alice", a); err != nil || told != 1 {
		t.Errorf("told %d times: %v", told, err)
	}
	if h := desk.State().Holders["alice"]; h.Proved == nil || h.Open != nil {
		t.Errorf("%+v", h)
	}
}

// The same where somebody types the PUK: it is not asked for again.
func TestTypedPUKAndPINThatTheTokenDoesNotTake(t *testing.T) {
	s, desk := withPUKKept(t)
	s.block("A-01")
	puk := s.puk("A-01")
	s.env = []string{lieAt + "=Unblock: 6985"}
	told, typed := 0, 0
	a := &prompt.Script{Answers: map[string]string{"holder.unblock alice": "yes", "holder.puk alice": puk, "holder.pin.new alice": "908173", "holder.pin.again alice": "908173"}}
	a.Say = func(m prompt.Message) {
		switch m.Title {
		case "Alice Costa: the PIN is blocked":
			typed++
		case "Alice Costa: the token does not take this PIN":
			told++
			s.env = nil
			a.Answers["holder.pin.new alice"], a.Answers["holder.pin.again alice"] = newPIN, newPIN
		}
	}
	if err := desk.Run(t.Context(), keyAlice, a); err != nil || told != 1 || typed != 2 {
		t.Errorf("told %d times, asked about the PUK %d times: %v", told, typed, err)
	}
	if n := s.count(state.TypeSettled); n != 1 {
		t.Errorf("%d refused PINs recorded", n)
	}
	s.checkUnblocked(newPIN, puk, "908173")
}

// The same where a quorum opens the PUK: it comes together once.
func TestQuorumAndPINThatTheTokenDoesNotTake(t *testing.T) {
	s := newPair(t, 2)
	desk, err := s.open(clock, "A-01", "B-02")
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	runTo(t, desk, "sign alice")
	s.block("A-01")
	s.env = []string{lieAt + "=Unblock #1: 6a80"}
	told := 0
	a := &prompt.Script{Answers: quorum(map[string]string{"restore.whose": "alice", "restore.what": "pin", "holder.pin.new alice": "908173", "holder.pin.again alice": "908173"}, "safe-2", "bruno")}
	a.Say = func(m prompt.Message) {
		if m.Title == "Alice Costa: the token does not take this PIN" {
			told++
			a.Answers["holder.pin.new alice"], a.Answers["holder.pin.again alice"] = newPIN, newPIN
		}
	}
	if err := desk.Run(t.Context(), "restore", a); err != nil || told != 1 {
		t.Errorf("told %d times: %v", told, err)
	}
	if n := s.count(state.TypeUnblockIntended); n != 2 {
		t.Errorf("%d new PINs were announced", n)
	}
	s.checkUnblocked(newPIN, "908173")
}

// A token that refuses each PIN, or PUK, and counts none of them is asked no more.
func TestTokenThatCountsNoTries(t *testing.T) {
	s, desk := opened(t)
	runTo(t, desk, "sign alice")
	kept, keptDesk := withPUKKept(t)
	kept.block("A-01")
	for _, c := range []struct {
		s         *stage
		desk      *ceremony.Desk
		task, lie string
		want      keys.CountError
	}{
		{s, desk, "sign alice", "VerifyPIN: 63c5", keys.CountError{Before: 5, After: 5}},
		{s, desk, "sign alice", "VerifyPIN: 63cf", keys.CountError{Before: 5, After: 15}},
		{kept, keptDesk, keyAlice, "Unblock: 63c5", keys.CountError{PUK: true, Before: 5, After: 5}},
	} {
		c.s.env = []string{lieAt + "=" + c.lie}
		err := c.desk.Run(t.Context(), c.task, &prompt.Script{Answers: map[string]string{"holder.unblock alice": "yes", "holder.puk alice": "70503070"}})
		c.want.Serial = c.desk.State().Holders["alice"].Serial
		var counts *keys.CountError
		if !errors.As(err, &counts) || *counts != c.want || !strings.HasPrefix(err.Error(), "Alice Costa, sticker A-01: token ") {
			t.Errorf("%s: %v", c.lie, err)
		}
	}
}
