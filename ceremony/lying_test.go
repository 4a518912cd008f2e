package ceremony_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

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
var statusWords = []string{"6581", "6700", "6881", "6982", "6983", "6984", "6985", "6a80", "6a82", "6a84", "6a86", "6a88", "6b00", "6d00", "6e00", "6f00", "63c0", "6100"}

// The commands of an enrolment and of a signing, as a trace of them gives them.
var (
	enrolCommands = []string{"Info", "SetTries", "ChangePIN", "Generate 9a", "Generate 82", "Generate 9c", "Attest 9a", "Attest 82", "Attest 9c",
		"Device", "ChangePUK", "SetManagement", "Sign 9a", "Sign 9c"}
	signCommands = []string{"Info", "VerifyPIN", "Sign 9c", "Sign 9a"}
)

// lies is the table of lies for a task: what a liar says, by kind. In the short form
// each command has some of the status words, and all have each of them.
func lies(task string) map[string][]string {
	table := map[string][]string{}
	add := func(kind, at string, how ...string) {
		for _, h := range how {
			table[kind] = append(table[kind], at+": "+h)
		}
	}
	commands := enrolCommands
	if task == "sign" {
		commands = signCommands
	}
	for n, at := range commands {
		for m, sw := range statusWords {
			if !testing.Short() || (m+n)%6 == 0 || sw == "6d00" {
				add("status words", at, sw)
			}
		}
	}
	bad := []string{"empty", "cut", "longer", "gigantic"}
	for _, slot := range []string{"9c", "9a"} {
		add("wrong lengths", "Sign "+slot, bad...)
		add("wrong signatures", "Sign "+slot, "zeros", "ones", "flipped", "another's", "another message")
	}
	add("half-way", "Info", "another serial", "no keys", "nothing", "another key", "gigantic")
	add("half-way", "Info #2", "another serial", "no keys", "nothing", "another key")
	if task == "sign" {
		return table
	}
	add("half-way", "Info #3", "another serial", "no keys", "nothing", "another key")
	add("nothing done", "ChangePIN", "nothing")
	for _, slot := range []string{"9a", "9c"} {
		for n, key := range weakKeys {
			if !testing.Short() || n%3 == 0 {
				add("weak keys", "Generate "+slot, "key "+key, "raw "+key)
			}
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
	return table
}

// recorded checks that what the log has of a holder is on the token, as an honest
// look at it shows.
func (s *stage) recorded(t *testing.T, desk *ceremony.Desk, signatures int) {
	t.Helper()
	h := desk.State().Holders["alice"]
	lie := s.env[0]
	s.env = nil
	s.plugged = []string{"A-01"}
	info := s.look(t)
	holds := func(slot keys.Slot, public keys.PublicKey) {
		if strings.HasSuffix(lie, fmt.Sprintf("Generate %v: another", slot)) {
			// The token attests it, and so it is recorded; no more than that.
			if h.Proved != nil && slot == keys.SlotRoot || s.count(state.TypeCheckpointSigned) > 0 {
				t.Errorf("proved: %+v", h.Proved)
			}
			return
		}
		if k, found := info.Key(slot); !found || k.Public != public || !k.Generated {
			t.Errorf("recorded for slot %v: %v; on the token: %v", slot, public, k)
		}
	}
	if h.Prepared != nil {
		holds(keys.SlotAuthentication, h.Prepared.Authentication)
		holds(keys.SlotAge, h.Prepared.Age)
	}
	if h.Key != nil {
		holds(keys.SlotRoot, h.Key.Public)
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
// what was asked of it, and what to do, which makes nothing worse.
func TestLyingToken(t *testing.T) {
	for _, task := range []string{"enrol", "sign"} {
		base, desk := opened(t)
		runTo(t, desk, task+" alice")
		desk.Close()
		made := base.count(state.TypeSignatureMade)
		for kind, all := range lies(task) {
			t.Logf("%s: %d lies: %s", task, len(all), kind)
			for _, lie := range all {
				t.Run(task+"/"+kind+"/"+lie, func(t *testing.T) {
					t.Parallel()
					base.t = t
					s := base.copied()
					s.t, s.env = t, []string{lieAt + "=" + lie}
					desk, err := s.open(clock, allStickers...)
					if err != nil {
						t.Fatal(err)
					}
					defer desk.Close()
					err = desk.Run(t.Context(), task+" alice", &prompt.Script{})
					s.refused(t, lie, err)
					if err == nil {
						made++
					}
					s.recorded(t, desk, made+1)
				})
			}
		}
	}
}

// harmless are lies by which nothing is gained: nothing is asked of the keys, and
// what is asked for is done.
var harmless = []string{"Info #2: no keys", "Info #2: another key", "Info #3: no keys", "Info #3: another key"}

// refused checks what people are told.
func (s *stage) refused(t *testing.T, lie string, err error) {
	t.Helper()
	if err == nil {
		if !slices.Contains(harmless, lie) {
			t.Error("nobody has noticed")
		}
		return
	}
	said := err.Error()
	if strings.Contains(said, "that is the PIN that the token does not take") {
		return // people are asked for another one, and the script has but one
	}
	serial, failed := s.drawer.Serial("A-01")
	if failed != nil {
		t.Fatal(failed)
	}
	if !strings.Contains(said, keys.SerialText(serial)) && !strings.Contains(said, "A-01") && !strings.Contains(said, "Alice") {
		t.Errorf("says nothing of the token: %s", said)
	}
	if !strings.Contains(said, "(hint: ") {
		t.Errorf("says nothing of what to do: %s", said)
	}
	if strings.Contains(said, "panic") || strings.Contains(said, "goroutine") {
		t.Errorf("a panic: %s", said)
	}
	if strings.Contains(said, "hint: reset") {
		t.Errorf("that makes it worse: %s", said)
	}
	if strings.HasSuffix(lie, " 6d00") && !strings.Contains(said, "lacks a command") {
		t.Errorf("does not say that it lacks a command: %s", said)
	}
}
