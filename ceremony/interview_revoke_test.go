package ceremony_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/interview"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/record"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/tuf"
)

// mostAnswers is how many answers an incident may take before its plan is
// written: anchor and digest are confirmed, and the laptop is looked at, before
// there is a draft, and that is to be ten answers in all.
const mostAnswers = 7

// emergency is a way through the interview of an emergency.
type emergency struct {
	name   string
	setup  func(t *testing.T, dir string) // of a folder; nil: a chain of 2 versions, 3 of 5
	script map[string]string
	most   int // answers; 0: mostAnswers
	taken  int // root keys that others have; 0: by what has happened

	noPlan   bool
	create   bool              // the plan is of a new chain
	incident record.Incident   // of the plan
	drops    map[int]string    // reasons, by number of the key from 1
	roles    map[string]string // the word of the new key, by role
	keys     int               // of the next root
	want     int               // its threshold
	says     []string
}

// usual is a chain of 2 versions, 3 of 5, without an earlier ceremony, and new
// online keys where people put them.
func usual(t *testing.T, dir string) {
	t.Helper()
	newChain(t, dir, 2, 3, nextYear, usualRoles(5))
	newOnline(t, dir)
}

func newOnline(t *testing.T, dir string) {
	t.Helper()
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		putKey(t, dir, "keys/"+role+".pub", "new "+role)
	}
}

// chainOf is a chain of n root keys, threshold of which sign.
func chainOf(threshold, n int) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		newChain(t, dir, 2, threshold, nextYear, usualRoles(n))
		newOnline(t, dir)
	}
}

// knownBy is an earlier ceremony beside the plan's folder, as "before". Its
// chain is the one that is followed.
func knownBy(damage ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		earlier, _ := earlierCeremony(t)
		if err := os.CopyFS(filepath.Join(dir, "before"), os.DirFS(earlier)); err != nil {
			t.Fatal(err)
		}
		for _, name := range damage {
			if err := os.RemoveAll(filepath.Join(dir, "before", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// with is what an emergency is asked, with pairs of more or other answers.
func with(what string, pairs ...string) map[string]string {
	script := map[string]string{"revoke.what": what, "plan.earlier": "", "plan.name": "Example packages", "plan.reason": "", "revoke.unknown": "none"}
	for pair := range slices.Chunk(pairs, 2) {
		script[pair[0]] = pair[1]
	}
	return script
}

// before is with where the earlier ceremony is at hand.
func before(what string, pairs ...string) map[string]string {
	return with(what, append([]string{"plan.earlier", "before"}, pairs...)...)
}

// again is the script of a new chain of two people.
func again(script map[string]string) map[string]string {
	for id, answer := range map[string]string{
		"revoke.again": "yes", "plan.holders": "2", "plan.holder.name 1": "Farah Aziz", "plan.holder.token 1": "F-06", "plan.holder.site 1": "",
		"plan.holder.name 2": "Gustav Holm", "plan.holder.token 2": "G-07", "plan.holder.site 2": "", "plan.threshold": "2", "plan.backup": "no",
		"plan.expires": "", "plan.touch": "always", "plan.role.timestamp": "keys/timestamp.pub", "plan.role.snapshot": "", "plan.role.targets": "keys/targets.pub", "plan.witness": "",
	} {
		script[id] = answer
	}
	return script
}

// publishing is the case of the field: a root with one key, and its private half.
func publishing(t *testing.T, dir string) {
	t.Helper()
	newOnline(t, dir)
	if err := os.CopyFS(filepath.Join(dir, "trusted"), os.DirFS(filepath.FromSlash("plan/testdata/cases/private-key-in-trusted-root/trusted"))); err != nil {
		t.Fatal(err)
	}
}

// exposing is a chain of one version, threshold of whose root keys sign, that has the
// private halves of these words in it.
func exposing(threshold int, roles map[string][]string, words ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		newChain(t, dir, 1, threshold, nextYear, roles)
		newOnline(t, dir)
		file := filepath.Join(dir, "trusted/1.root.json")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			key := seeded(word)
			public := fmt.Sprintf(`"public": "%x"`, key.Public())
			if !bytes.Contains(text, []byte(public)) {
				t.Fatalf("no %s in\n%s", public, text)
			}
			text = bytes.Replace(text, []byte(public), fmt.Appendf(nil, `"private": "%x", %s`, key.Seed(), public), 1)
		}
		var whole struct{ Signed json.RawMessage }
		f, err := tuf.Parse(text)
		if err == nil {
			err = json.Unmarshal(text, &whole)
		}
		if err != nil {
			t.Fatal(err)
		}
		var sigs []string
		for _, word := range wordsOf("root", threshold) {
			sigs = append(sigs, fmt.Sprintf(`{"keyid": %q, "sig": "%x"}`, tufKey(t, word).ID, ed25519.Sign(seeded(word), f.Root.Canonical())))
		}
		put(t, dir, "trusted/1.root.json", fmt.Appendf(nil, `{"signatures": [%s], "signed": %s}`, strings.Join(sigs, ", "), whole.Signed))
	}
}

// allNew are all online roles with new keys.
var allNew = map[string]string{"timestamp": "new timestamp", "snapshot": "new snapshot", "targets": "new targets"}

var emergencies = []emergency{
	{name: "the only key published", setup: publishing, script: with("key-published", "revoke.quorum", "race", "revoke.keys", "yes", "revoke.threshold", "fresh", "plan.holder.name 1", "Farah Aziz", "plan.holder.token 1", "F-06", "plan.holder.site 1", ""),
		most: 10, incident: record.KeyPublished, drops: map[int]string{1: "compromised"}, roles: allNew, keys: 1, want: 1,
		says: []string{"its private half is published", "ALARM: the private half of a root key is published", "ALARM: the private half of key 3cf2a48f is published: anyone can sign with it for timestamp, snapshot and targets.",
			"The private half of key d1e0cc8e is published: anyone can sign with it, its holder too.", "it is a race with everybody", "wants 1 signature, and 0 of its keys stay", "(Enter: the private half of a root key was published)"}},
	{name: "expired, with the only key published", setup: publishing, script: again(with("root-expired", "revoke.quorum", "again")), create: true, incident: record.KeyPublished, most: 30, taken: 1, says: []string{"A threshold of keys is published with their private halves."}},
	{name: "lost, with the only key published", setup: publishing, script: with("token-lost", "revoke.quorum", "again", "revoke.again", "no"), noPlan: true, taken: 1, says: []string{"its private half is published", "The honest answer", "A threshold of keys is published"}},
	{name: "one published, another one lost", setup: exposing(2, usualRoles(3), "root 1"), script: with("token-lost", "revoke.which", "2", "revoke.threshold", "lower"), taken: 1,
		incident: record.KeyPublished, drops: map[int]string{1: "compromised", 2: "lost"}, keys: 1, want: 1,
		says: []string{"Whose token is lost?", "1 of these keys is published with its private half, and is dropped in any case", "a token was lost, and the private half of a root key was published", "There is no race", "nobody may be missing"}},
	{name: "one published, none lost", setup: exposing(2, usualRoles(3), "root 1"), script: with("quorum-lost", "revoke.which", "", "revoke.threshold", "keep"), taken: 1,
		incident: record.KeyPublished, drops: map[int]string{1: "compromised"}, keys: 2, want: 2, says: []string{"(Enter: the private half of a root key was published)"}},
	{name: "one published and lost", setup: exposing(2, usualRoles(3), "root 1"), script: with("token-lost", "revoke.which", "1", "revoke.threshold", "keep"), taken: 1,
		incident: record.KeyPublished, drops: map[int]string{1: "stolen"}, keys: 2, want: 2},
	{name: "one published, a holder left", setup: exposing(2, usualRoles(3), "root 1"), script: with("holder-left", "revoke.which", "2", "revoke.quorum", "race", "revoke.threshold", "lower"), taken: 2, most: 8,
		incident: record.QuorumStolen, drops: map[int]string{1: "compromised", 2: "compromised"}, keys: 1, want: 1,
		says: []string{"2 of its keys are in other hands", "a holder left the project, and the private half of a root key was published", "it is a race with anyone who has these keys"}},
	{name: "one published, another one stolen of all that must sign", setup: exposing(2, usualRoles(2), "root 1"), script: with("token-stolen", "revoke.which", "2", "revoke.again", "no"), taken: 2, noPlan: true, says: []string{"TUF cannot undo that"}},
	{name: "an online key published", setup: exposing(2, usualRoles(3), "snapshot"), script: with("token-stolen", "revoke.which", "1", "revoke.keys", "yes", "revoke.threshold", "keep"),
		incident: record.RoleCompromised, drops: map[int]string{1: "stolen"}, roles: map[string]string{"timestamp": "new timestamp", "snapshot": "new snapshot"}, keys: 2, want: 2,
		says: []string{"anyone can sign with it for snapshot", "a token was stolen, and private halves of online keys were published", "Here haste matters: the service"}},
	{name: "token lost, backup safe", setup: knownBy(), script: before("token-lost", "revoke.which", "1", "revoke.restore", "restore"),
		noPlan: true, says: []string{"Alice Costa: the backup is opened by any 3 of Bruno Ferraz, Chen Wei, Dana Okafor, Emil Novak and Bank safe.", "rootceremony restore DIR/before", "no new root is needed"}},
	{name: "token lost, backup safe, dropped all the same", setup: knownBy(), script: before("token-lost", "revoke.which", "1", "revoke.restore", "drop"),
		incident: record.TokenLost, drops: map[int]string{1: "lost"}, keys: 4, want: 3,
		says: []string{"Drops: Alice Costa, token A-01, key ", "any 3 of Bruno Ferraz, Chen Wei, Dana Okafor and Emil Novak", "There is no race", "rootceremony check DIR/plan.toml", "rootceremony rehearse --after DIR/before --plan DIR/plan.toml"}},
	{name: "token lost, backup files gone", setup: knownBy("private/backups"), script: before("token-lost", "revoke.which", "6\n0\n\n1,1\nAlice\n1"),
		incident: record.TokenLost, drops: map[int]string{1: "lost"}, keys: 4, want: 3, says: []string{"Alice Costa: the files of the backup are gone or damaged (hint: put DIR/before/private/backups/alice/"}},
	{name: "token lost, no backup known", script: with("token-lost", "revoke.which", "5"),
		incident: record.TokenLost, drops: map[int]string{5: "lost"}, keys: 4, want: 3, says: []string{"only the folder of the ceremony that made it tells", "a token with a root key was lost"}},
	{name: "two tokens lost, one backup gone", setup: knownBy("private/backups/alice"), script: before("token-lost", "revoke.which", "1, 2", "revoke.restore", "restore"),
		incident: record.TokenLost, drops: map[int]string{1: "lost"}, keys: 4, want: 3, says: []string{"First restore the keys", "Bruno Ferraz: the backup is opened by any 3 of Chen Wei, Dana Okafor, Emil Novak and Bank safe"}},
	{name: "two tokens lost, the rest must all sign", script: with("token-lost", "revoke.which", "1,2", "revoke.threshold", "keep"),
		incident: record.TokenLost, drops: map[int]string{1: "lost", 2: "lost"}, keys: 3, want: 3, says: []string{"2 tokens with root keys were lost"}},
	{name: "two tokens lost, the threshold is lowered", script: with("token-lost", "revoke.which", "1,2", "revoke.threshold", "lower"),
		incident: record.TokenLost, drops: map[int]string{1: "lost", 2: "lost"}, keys: 3, want: 2},
	{name: "token stolen", setup: knownBy(), script: before("token-stolen", "revoke.which", "2"),
		incident: record.TokenStolen, drops: map[int]string{2: "stolen"}, keys: 4, want: 3, says: []string{"There is no race", "Drops: Bruno Ferraz, token B-02, key "}},
	{name: "token stolen, nothing at hand", script: with("token-stolen", "revoke.which", "2", "plan.reason", "Bag taken at the airport"),
		incident: record.TokenStolen, drops: map[int]string{2: "stolen"}, keys: 4, want: 3},
	{name: "token stolen of 2 of 3, a fresh one takes its place", setup: chainOf(2, 3),
		script:   with("token-stolen", "revoke.which", "3", "revoke.threshold", "fresh", "plan.holder.name 3", "Farah Aziz", "plan.holder.token 3", "F-06", "plan.holder.site 3", ""),
		incident: record.TokenStolen, drops: map[int]string{3: "stolen"}, keys: 3, want: 2, most: 9},
	{name: "two tokens stolen, fresh ones for the same people", setup: knownBy(),
		script: before("token-stolen", "revoke.which", "1,5", "revoke.threshold", "fresh", "plan.holder.token 4", "b-02\nA-11", "plan.holder.site 4", "", "plan.holder.token 5", "E-15", "plan.holder.site 5", ""),
		most:   9, incident: record.TokenStolen, drops: map[int]string{1: "stolen", 5: "stolen"}, keys: 5, want: 3},
	{name: "two of five stolen", setup: knownBy(), script: before("token-stolen", "revoke.which", "1,2", "revoke.threshold", "keep"),
		incident: record.TokenStolen, drops: map[int]string{1: "stolen", 2: "stolen"}, keys: 3, want: 3},
	{name: "one stolen of all that must sign", setup: chainOf(3, 3), script: with("token-stolen", "revoke.which", "1", "revoke.again", "no"),
		noPlan: true, says: []string{"Too many keys are lost", "TUF cannot mend that", "rootceremony plan --kind revoke DIR"}},
	{name: "PIN seen, token in hand", script: with("pin-seen", "revoke.pin", "in-hand"), noPlan: true, most: 2, says: []string{"ykman piv access change-pin", "no new root is needed"}},
	{name: "PIN seen, token out of hand", script: with("pin-seen", "revoke.pin", "out", "revoke.which", "1"),
		incident: record.PINSeen, drops: map[int]string{1: "compromised"}, keys: 4, want: 3, says: []string{"a PIN was seen"}},
	{name: "PIN seen, token gone", setup: knownBy(), script: before("pin-seen", "revoke.pin", "gone", "revoke.which", "1"),
		incident: record.TokenStolen, drops: map[int]string{1: "stolen"}, keys: 4, want: 3},
	{name: "timestamp compromised", script: with("role-compromised", "revoke.roles", "timestamp", "revoke.keys", "yes"),
		incident: record.RoleCompromised, roles: map[string]string{"timestamp": "new timestamp"}, keys: 5, want: 3, says: []string{"Here haste matters", "the online keys of timestamp were compromised"}},
	{name: "snapshot compromised", script: with("role-compromised", "revoke.roles", "snapshot", "revoke.keys", "yes"),
		incident: record.RoleCompromised, roles: map[string]string{"timestamp": "new timestamp", "snapshot": "new snapshot"}, keys: 5, want: 3},
	{name: "targets compromised", script: with("role-compromised", "revoke.roles", "targets", "revoke.keys", "yes"),
		incident: record.RoleCompromised, roles: map[string]string{"timestamp": "new timestamp", "snapshot": "new snapshot", "targets": "new targets"}, keys: 5, want: 3},
	{name: "timestamp and targets compromised, files named", script: with("role-compromised", "revoke.roles", "timestamp+targets", "revoke.keys", "no",
		"plan.role.timestamp", "keys/none.pub\n\nkeys/timestamp.pub", "plan.role.snapshot", "keys/snapshot.pub", "plan.role.targets", "keys/targets.pub"), most: 9,
		incident: record.RoleCompromised, roles: map[string]string{"timestamp": "new timestamp", "snapshot": "new snapshot", "targets": "new targets"}, keys: 5, want: 3},
	{name: "one online key for all", setup: func(t *testing.T, dir string) {
		newChain(t, dir, 2, 3, nextYear, map[string][]string{"root": wordsOf("root", 5), "timestamp": {"one"}, "snapshot": {"one"}, "targets": {"one"}})
		newOnline(t, dir)
	}, script: with("role-compromised", "revoke.roles", "timestamp", "revoke.keys", "yes"),
		incident: record.RoleCompromised, roles: map[string]string{"timestamp": "new timestamp", "snapshot": "new snapshot", "targets": "new targets"}, keys: 5, want: 3,
		says: []string{"Compromised: timestamp, snapshot and targets."}},
	{name: "the usual file has the old key", setup: func(t *testing.T, dir string) {
		usual(t, dir)
		putKey(t, dir, "keys/timestamp.pub", "timestamp")
		putKey(t, dir, "keys/fresh.pub", "new timestamp")
		putKey(t, dir, "keys/root.pub", "root 1")
	}, script: with("role-compromised", "revoke.roles", "snapshot", "plan.role.timestamp", "\nkeys/timestamp.pub\nkeys/root.pub\nkeys/fresh.pub", "plan.role.snapshot", ""),
		incident: record.RoleCompromised, roles: map[string]string{"timestamp": "new timestamp", "snapshot": "new snapshot"}, keys: 5, want: 3},
	{name: "two keys sign for the role, and one would from now on", setup: func(t *testing.T, dir string) {
		newChain(t, dir, 2, 3, nextYear, map[string][]string{"root": wordsOf("root", 5), "timestamp": wordsOf("timestamp", 2), "snapshot": {"snapshot"}, "targets": {"targets"}})
		newOnline(t, dir)
	}, script: with("role-compromised", "revoke.roles", "timestamp", "plan.role.timestamp", ""),
		incident: record.RoleCompromised, roles: map[string]string{"timestamp": "new timestamp"}, keys: 5, want: 3, says: []string{"Role timestamp (2 of 2 keys sign for it now)"}},
	{name: "a root key is an online key too", setup: func(t *testing.T, dir string) {
		newChain(t, dir, 2, 3, nextYear, map[string][]string{"root": wordsOf("root", 5), "timestamp": {"timestamp"}, "snapshot": {"snapshot"}, "targets": {"root 4"}})
		newOnline(t, dir)
	}, script: with("role-compromised", "revoke.roles", "targets", "revoke.keys", "yes"), drops: map[int]string{4: "compromised"},
		incident: record.RoleCompromised, roles: map[string]string{"timestamp": "new timestamp", "snapshot": "new snapshot", "targets": "new targets"}, keys: 4, want: 3},
	{name: "a stolen root key is an online key too", setup: func(t *testing.T, dir string) {
		newChain(t, dir, 2, 3, nextYear, map[string][]string{"root": wordsOf("root", 5), "timestamp": {"timestamp"}, "snapshot": {"snapshot"}, "targets": {"root 4"}})
		newOnline(t, dir)
	}, script: with("token-stolen", "revoke.which", "4", "plan.role.targets", "keys/targets.pub"), drops: map[int]string{4: "stolen"},
		incident: record.TokenStolen, roles: map[string]string{"targets": "new targets"}, keys: 4, want: 3},
	{name: "the targets' keys are the root's", setup: func(t *testing.T, dir string) {
		newChain(t, dir, 2, 3, nextYear, map[string][]string{"root": wordsOf("root", 5), "timestamp": {"timestamp"}, "snapshot": {"snapshot"}, "targets": wordsOf("root", 5)})
	}, script: with("role-compromised", "revoke.roles", "targets", "revoke.again", "no"), noPlan: true, says: []string{"A threshold of root keys may be in the hands of others"}},
	{name: "holder left in anger", setup: knownBy(), script: before("holder-left", "revoke.which", "3"),
		incident: record.HolderLeft, drops: map[int]string{3: "compromised"}, keys: 4, want: 3,
		says: []string{`Of the earlier ceremony "Example packages": Chen Wei, with no key in this plan, can still open`, "a holder of a root key left the project", "any 3 of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor and Emil Novak"}},
	{name: "holder left of 2 of 2", setup: chainOf(2, 2), script: with("holder-left", "revoke.which", "2", "revoke.threshold", "lower"),
		incident: record.HolderLeft, drops: map[int]string{2: "compromised"}, keys: 1, want: 1, says: []string{"one person alone"}},
	{name: "as many left as sign", setup: chainOf(2, 5), script: with("holder-left", "revoke.which", "1,2,3", "revoke.quorum", "again", "revoke.again", "no"), noPlan: true, says: []string{"TUF cannot undo that", "warn users today"}},
	{name: "as many stolen as sign, without PINs", setup: chainOf(1, 3), script: with("token-stolen", "revoke.which", "1", "revoke.quorum", "race"),
		incident: record.QuorumStolen, drops: map[int]string{1: "stolen"}, keys: 2, want: 1, says: []string{"it is a race"}},
	{name: "as many stolen as sign, and too few others", script: with("token-stolen", "revoke.which", "1,2,3", "revoke.again", "no"), noPlan: true, says: []string{"TUF cannot undo that"}},
	{name: "quorum lost, all backups open", setup: knownBy(), script: before("quorum-lost", "revoke.which", "1,2,3"),
		noPlan: true, says: []string{"Alice Costa: the backup is opened by any 3 of Dana Okafor, Emil Novak and Bank safe.", "rootceremony restore DIR/before"}},
	{name: "quorum lost, two backups open", setup: knownBy("private/backups/chen"), script: before("quorum-lost", "revoke.which", "1,2,3"),
		incident: record.QuorumLost, drops: map[int]string{3: "lost"}, keys: 4, want: 3, says: []string{"First restore the keys", "rootceremony restore DIR/before"}},
	{name: "more lost than anybody opens backups for", setup: knownBy(), script: before("quorum-lost", "revoke.which", "1,2,3,4", "revoke.again", "no"),
		noPlan: true, says: []string{"Alice Costa: the backup wants 3 of its recipients, and only 2 can open it any more", "TUF cannot mend that"}},
	{name: "quorum lost, no backups", script: with("quorum-lost", "revoke.which", "1,2,3", "revoke.again", "no"),
		noPlan: true, says: []string{"TUF cannot mend that", "The notice is a draft", "there is no race"}},
	{name: "quorum lost, no backups, a new chain", script: again(with("quorum-lost", "revoke.which", "1,2,3")), most: 21,
		create: true, says: []string{"publish/trust is the re-pinning kit"}},
	{name: "not that many are lost", script: with("quorum-lost", "revoke.which", "1"),
		incident: record.TokenLost, drops: map[int]string{1: "lost"}, keys: 4, want: 3},
	{name: "more lost than was said", script: with("token-lost", "revoke.which", "1,2,3", "revoke.again", "no"),
		noPlan: true, says: []string{"Too many keys are lost", "TUF cannot mend that"}},
	{name: "threshold stolen", setup: knownBy(), script: before("quorum-stolen", "revoke.again", "no"), noPlan: true, says: []string{"TUF cannot undo that"}},
	{name: "threshold stolen, no chain at hand, a new one", setup: newOnline, script: again(with("quorum-stolen", "plan.trusted", "nowhere\n")), most: 20,
		create: true, says: []string{"TUF cannot undo that", "publish/trust is the re-pinning kit", "warn users today"}},
	{name: "the only key is stolen", setup: chainOf(1, 1), script: with("token-stolen", "revoke.again", "no"), noPlan: true, says: []string{"TUF cannot undo that"}},
	{name: "root expired", setup: func(t *testing.T, dir string) {
		newChain(t, dir, 2, 3, noon.AddDate(0, 0, -3), usualRoles(5))
	}, script: with("root-expired"), incident: record.RootExpired, keys: 5, want: 3,
		says: []string{"which is past: clients refuse updates", "root version 2 expired on 2026-11-19", "no clock is to be turned back"}},
	{name: "root about to expire, chain named", setup: func(t *testing.T, dir string) {
		newChain(t, dir, 2, 3, noon.AddDate(0, 0, 3), usualRoles(5))
		if err := os.Rename(filepath.Join(dir, "trusted"), filepath.Join(dir, "roots")); err != nil {
			t.Fatal(err)
		}
	}, script: with("root-expired", "plan.trusted", "\nroots"), incident: record.RootExpired, keys: 5, want: 3, says: []string{"root version 2 expires on 2026-11-25"}},
}

// Every incident ends in the right root, in another way out, or in the honest
// answer; and takes few answers.
func TestEmergencies(t *testing.T) {
	for _, e := range emergencies {
		t.Run(e.name, func(t *testing.T) {
			dir := t.TempDir()
			setup := e.setup
			if setup == nil {
				setup = usual
			}
			setup(t, dir)
			a, come, err := interviewed(t, dir, agreed.Revoke, e.script)
			if err != nil {
				t.Fatalf("%v\n%s", err, a.said.String())
			}
			t.Logf("answers: %d", len(a.asked))
			most := e.most
			if most == 0 {
				most = mostAnswers
			}
			if len(a.asked) > most {
				t.Errorf("%d answers: %v", len(a.asked), a.asked)
			}
			for _, line := range e.says {
				if line = strings.ReplaceAll(line, "DIR", dir); !strings.Contains(a.said.String(), line) {
					t.Errorf("nobody said %q:\n%s", line, a.said.String())
				}
			}
			if len(come.After.Commands) == 0 || come.After.Title == "" {
				t.Errorf("nobody says what to type next: %+v", come.After)
			}
			lines := 0
			for _, answer := range e.script {
				lines += strings.Count(answer, "\n")
			}
			if len(a.refused) != lines {
				t.Errorf("refused:\n%s", strings.Join(a.refused, "\n"))
			}
			e.check(t, dir, come)
			e.counts(t, come)
			leaveEverywhere(t, freshLike(t, dir), agreed.Revoke, e.script, a.asked)
		})
	}
}

func (e emergency) check(t *testing.T, dir string, come *interview.Outcome) {
	t.Helper()
	if e.noPlan {
		if come.Files[state.PlanFile] != nil {
			t.Errorf("a plan was written:\n%s", come.Files[state.PlanFile])
		}
		return
	}
	if notice := come.Files[state.NoticeFile]; !bytes.Contains(notice, []byte("## What you must do")) {
		t.Errorf("the notice:\n%s", notice)
	}
	r, root := drafted(t, dir)
	if e.create {
		if r.Kind != agreed.Create || e.incident != "" && r.Incident != e.incident || root.Version != 1 || len(root.Roles[tuf.RoleRoot].KeyIDs) != 2 || come.Files[state.NoticeFile] == nil {
			t.Errorf("%+v", root)
		}
		return
	}
	old, role := r.TrustedRoot(), root.Roles[tuf.RoleRoot]
	if r.Kind != agreed.Revoke || r.Incident != e.incident || r.Reason == "" || root.Version != old.Version+1 || role.Threshold != e.want || len(role.KeyIDs) != e.keys {
		t.Errorf("incident %q, reason %q, version %d, %d of %d", r.Incident, r.Reason, root.Version, role.Threshold, len(role.KeyIDs))
	}
	drops := map[int]string{}
	for _, d := range r.Drops {
		drops[slices.Index(old.Roles[tuf.RoleRoot].KeyIDs, d.KeyID)+1] = d.Reason
	}
	if fmt.Sprint(drops) != fmt.Sprint(e.drops) && len(drops)+len(e.drops) > 0 {
		t.Errorf("drops %v, want %v", drops, e.drops)
	}
	for n, id := range old.Roles[tuf.RoleRoot].KeyIDs {
		if _, dropped := drops[n+1]; slices.Contains(role.KeyIDs, id) == dropped {
			t.Errorf("key %d: in the root, and dropped: %v", n+1, dropped)
		}
	}
	for _, name := range []string{"timestamp", "snapshot", "targets"} {
		if word := e.roles[name]; word != "" {
			signsFor(t, root, name, word)
		} else if got := root.Roles[name].KeyIDs; !slices.Equal(got, old.Roles[name].KeyIDs) {
			t.Errorf("role %s: %v, want %v", name, got, old.Roles[name].KeyIDs)
		}
	}
	if e.incident == record.RoleCompromised && !slices.Equal(record.Replaced(r.Compromised), record.Replaced(slicesOf(e.roles))) {
		t.Errorf("compromised %v, replaced %v", r.Compromised, e.roles)
	}
}

// Whatever is said to have happened, where the only key is published a race is offered,
// says why, and can be run by people whose token is gone.
func TestRaceWhereTheOnlyKeyIsPublished(t *testing.T) {
	for _, c := range []struct {
		what, where, reason string
	}{
		{"token-lost", "", "stolen"}, {"token-stolen", "", "stolen"}, {"pin-seen", "out", "compromised"}, {"pin-seen", "gone", "stolen"}, {"key-published", "", "compromised"},
		{"role-compromised", "", "compromised"}, {"holder-left", "", "compromised"}, {"quorum-lost", "", "stolen"}, {"root-expired", "", "compromised"},
	} {
		dir := t.TempDir()
		publishing(t, dir)
		a, come, err := interviewed(t, dir, agreed.Revoke, with(c.what, "revoke.pin", c.where, "revoke.roles", "timestamp", "revoke.quorum", "race", "revoke.keys", "yes",
			"revoke.threshold", "fresh", "plan.holder.name 1", "Farah Aziz", "plan.holder.token 1", "F-06", "plan.holder.site 1", ""))
		said := a.said.String()
		if err != nil {
			t.Errorf("%s: %v\n%s", c.what, err, said)
			continue
		}
		r, root := drafted(t, dir)
		if r.Incident != record.KeyPublished || len(r.Compromised) > 0 || len(r.Drops) != 1 || r.Drops[0].Reason != c.reason || !strings.Contains(r.Reason, "private half of a root key was published") {
			t.Errorf("%s: %q, %q, drops %+v", c.what, r.Incident, r.Reason, r.Drops)
		}
		for name, word := range allNew {
			signsFor(t, root, name, word)
		}
		for _, want := range []string{"The private half of key d1e0cc8e is published: anyone can sign with it", "it is a race with everybody", "Signed by: Key d1e0cc8e: nobody may be missing"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: nobody said %q:\n%s", c.what, want, said)
			}
		}
		if gone := strings.Contains(said, "Put the private half, as it was published, on a fresh token first"); gone != (c.reason == "stolen") {
			t.Errorf("%s: the token is gone: %v", c.what, gone)
		}
		for _, warning := range agreed.Check(r, noon).Warnings {
			if strings.Contains(warning, "STAYS IN USE") {
				t.Errorf("%s: %s", c.what, warning)
			}
		}
		notice := strings.Join(strings.Fields(string(come.Files[state.NoticeFile])), " ")
		for _, want := range []string{"Where it was published", "Root keys that others have, or may have: 1.", "anyone can sign a root", "Stop automatic updates"} {
			if !strings.Contains(notice, want) || strings.Contains(notice, "Who is behind it") {
				t.Errorf("%s: no %q in the notice:\n%s", c.what, want, notice)
			}
		}
	}
}

// signsFor holds a role to one key, whatever notation the chain has.
func signsFor(t *testing.T, root *tuf.Root, name, word string) {
	t.Helper()
	if ids := root.Roles[name].KeyIDs; len(ids) != 1 || agreed.ValueOf(root, ids[0]) != tufKey(t, word).Value() {
		t.Errorf("role %s: %v, and not the key of %s alone", name, ids, word)
	}
}

// counts holds the notice for users to what was answered: how many keys others
// may have, and how many they need.
func (e emergency) counts(t *testing.T, come *interview.Outcome) {
	t.Helper()
	notice := strings.Join(strings.Fields(string(come.Files[state.NoticeFile])), " ")
	if notice == "" {
		return
	}
	picked := 1
	if which, asked := e.script["revoke.which"]; asked {
		picked = len(strings.Split(which[strings.LastIndex(which, "\n")+1:], ","))
	}
	taken := "none that we know of"
	switch e.script["revoke.what"] {
	case "token-stolen", "pin-seen", "key-published", "holder-left":
		taken = fmt.Sprint(picked)
	case "quorum-stolen":
		taken = "[FILL IN: how many: 3 or more]" // none is no answer then
		if strings.Contains(notice, "Root keys that must sign a new root: [FILL IN") {
			taken = "[FILL IN: how many: at least the threshold]"
		}
	case "role-compromised":
		if len(e.drops) > 0 {
			taken = fmt.Sprint(len(e.drops))
		} else if e.noPlan { // all of them
			taken = "5"
		}
	}
	if e.taken > 0 {
		taken = fmt.Sprint(e.taken)
	}
	for _, want := range []string{"Root keys that others have, or may have: " + taken + ".", "Root keys that must sign a new root: ", "for now: the new root is not out yet"} {
		if !strings.Contains(notice, want) {
			t.Errorf("the notice does not say %q:\n%s", want, come.Files[state.NoticeFile])
		}
	}
}

func slicesOf(roles map[string]string) []string {
	var names []string
	for name := range roles {
		names = append(names, name)
	}
	return names
}

// A dropped key that another role has too leaves that role as well: by Enter
// where enough other keys stay, with a new key where not; whatever is the reason,
// in an emergency and in a rotation, and whatever notation the old root has it
// in. What stays is byte for byte what it was.
func TestDroppedKeyLeavesItsOtherRoles(t *testing.T) {
	for _, c := range []struct {
		name    string
		online  []string // words of the keys of targets
		answer  string   // for targets; a first line is refused
		want    []string
		unasked bool
	}{
		{"all root keys", wordsOf("root", 5), "", []string{"root 1", "root 3", "root 4", "root 5"}, false},
		{"all root keys, and one more", wordsOf("root", 5), "keys/second.pub", []string{"root 1", "root 3", "root 4", "root 5", "second"}, false},
		{"enough others", []string{"one", "root 2", "three"}, "", []string{"one", "three"}, false},
		{"itself alone", []string{"root 2"}, "\nkeys/old.pub\nkeys/second.pub", []string{"second"}, false},
		{"two of two", []string{"one", "root 2"}, "\nkeys/one.pub\nkeys/second.pub", []string{"one", "second"}, false},
		{"itself alone, and one from elsewhere", []string{"root 2"}, "ELSEWHERE/second.pub", []string{"second"}, false},
		{"not at all", []string{"targets"}, "keys/none.pub", []string{"targets"}, true},
	} {
		elsewhere := t.TempDir()
		putKey(t, elsewhere, "second.pub", "second")
		c.answer = strings.ReplaceAll(c.answer, "ELSEWHERE", elsewhere)
		for _, reason := range []string{agreed.Lost, agreed.Stolen, agreed.Compromised, agreed.Retired, "interview"} {
			dir := t.TempDir()
			roles := usualRoles(5)
			roles["targets"] = c.online
			ids := newChain(t, dir, 2, 3, nextYear, roles)
			for word, file := range map[string]string{"second": "second", "root 2": "old", "one": "one"} {
				putKey(t, dir, "keys/"+file+".pub", word)
			}
			kind, script := agreed.Revoke, with("token-stolen", "revoke.which", "2")
			if reason != "interview" {
				kind, script = agreed.Rotate, map[string]string{"plan.earlier": "", "plan.trusted": "", "plan.name": "Example packages", "plan.changes": "yes",
					"plan.holders": "0", "plan.threshold": "", "plan.expires": "", "plan.roles": "no", "plan.witness": ""}
				for i := range ids {
					script[fmt.Sprint("plan.key ", i+1)] = "stays"
					script[fmt.Sprint("plan.key.name ", i+1)] = fmt.Sprint("Holder ", i+1)
					script[fmt.Sprint("plan.key.token ", i+1)] = ""
				}
				script["plan.key 2"] = reason
			}
			script["plan.role.targets"] = c.answer
			if reason == agreed.Retired { // a role that would have too few may keep such a key
				script["plan.role.targets"] = strings.TrimPrefix(c.answer, "\n")
			}
			a, _, err := interviewed(t, dir, kind, script)
			if err != nil {
				t.Errorf("%s, %s: %v\n%s", c.name, reason, err, a.said.String())
				continue
			}
			if slices.Contains(a.asked, "plan.role.targets") == c.unasked || !c.unasked && len(a.refused) != strings.Count(script["plan.role.targets"], "\n") {
				t.Errorf("%s, %s: asked %v, refused %q", c.name, reason, a.asked, a.refused)
			}
			r, root := drafted(t, dir)
			var want []string
			for _, word := range c.want {
				want = append(want, tufKey(t, word).ID)
			}
			role, old := root.Roles[tuf.RoleTargets], r.TrustedRoot()
			if !slices.Equal(role.KeyIDs, want) || role.Threshold != old.Roles[tuf.RoleTargets].Threshold {
				t.Errorf("%s, %s: %d of %v, want %v", c.name, reason, role.Threshold, role.KeyIDs, want)
			}
			for _, w := range agreed.Check(r, noon).Warnings {
				if strings.Contains(w, "still signs for") || strings.Contains(w, "STAYS IN USE") {
					t.Errorf("%s, %s: %s", c.name, reason, w)
				}
			}
		}
	}
}

// A key that is still to be made is missing in the plan, by the name of its file,
// whichever question it was the answer to; and one file is one key.
func TestKeysThatAreStillToBeMade(t *testing.T) {
	dir := t.TempDir()
	roles := usualRoles(5)
	roles["targets"] = []string{"root 2"}
	newChain(t, dir, 2, 3, nextYear, roles)
	missing := func(dir string, come *interview.Outcome, said string) {
		t.Helper()
		_, err := plan.Read(filepath.Join(dir, state.PlanFile))
		if err == nil || !strings.Contains(err.Error(), `.pub": no such file`) || strings.Contains(err.Error(), "later") {
			t.Errorf("the plan with its gap: %v", err)
		}
		if text := strings.Join(come.After.Text, "\n"); strings.Count(text, said) != 1 || strings.Count(text, "Put ") != 1 {
			t.Errorf("no %q once in\n%s", said, text)
		}
	}
	script := with("token-stolen", "revoke.which", "2", "plan.role.targets", "later")
	_, come, err := interviewed(t, dir, agreed.Revoke, script)
	if err != nil {
		t.Fatal(err)
	}
	missing(dir, come, "The key of targets, on the machine")

	dir = t.TempDir()
	putKey(t, dir, "keys/targets.pub", "targets")
	script = again(with("quorum-lost"))
	script["plan.role.timestamp"], script["plan.role.snapshot"], script["plan.role.targets"] = "later", "", "keys/targets.pub"
	_, come, err = interviewed(t, dir, agreed.Create, script)
	if err != nil {
		t.Fatal(err)
	}
	missing(dir, come, "One key for timestamp and snapshot, on the machine")
}

// A key that is retired stays where it is the only one, if nobody names another.
func TestRetiredKeyMayStayInItsOtherRole(t *testing.T) {
	dir := t.TempDir()
	roles := usualRoles(2)
	roles["targets"] = []string{"root 2"}
	newChain(t, dir, 2, 1, nextYear, roles)
	_, _, err := interviewed(t, dir, agreed.Rotate, map[string]string{"plan.earlier": "", "plan.trusted": "", "plan.name": "Example packages", "plan.changes": "yes",
		"plan.key 1": "stays", "plan.key.name 1": "Alice Costa", "plan.key.token 1": "", "plan.key 2": "retired", "plan.key.name 2": "Bruno Ferraz",
		"plan.holders": "0", "plan.expires": "", "plan.roles": "no", "plan.role.targets": "", "plan.witness": ""})
	if err != nil {
		t.Fatal(err)
	}
	r, root := drafted(t, dir)
	if _, there := root.Key(tufKey(t, "root 2").ID); !there || !slices.ContainsFunc(agreed.Check(r, noon).Warnings, func(w string) bool { return strings.HasSuffix(w, "but still signs for targets") }) {
		t.Errorf("%+v %q", root.Roles, agreed.Check(r, noon).Warnings)
	}
}

// Where all must sign and one token is stolen, the key that its backup brings
// back signs once more, for the old root alone.
func TestStolenTokenThatMustSign(t *testing.T) {
	s, desk := withBackups(t, "threshold = 3 ", "threshold = 5 ", "quorum = 3 ", "quorum = 5 ")
	if err := runAll(desk, &prompt.Script{}); err != nil {
		t.Fatal(err)
	}
	_ = desk.Close()
	for _, way := range []string{"lower", "fresh"} {
		dir := t.TempDir()
		script := with("token-stolen", "plan.earlier", s.dir, "revoke.which", "1", "revoke.threshold", way, "plan.holder.token 5", "A-02", "plan.holder.site 5", "")
		a, come, err := interviewed(t, dir, agreed.Revoke, script)
		if err != nil {
			t.Fatalf("%v\n%s", err, a.said.String())
		}
		t.Logf("%s: answers: %d", way, len(a.asked))
		if len(a.asked) > mostAnswers || come.After.Commands[0] != "rootceremony restore "+s.dir || !strings.Contains(a.said.String(), "Emil Novak: nobody may be missing") {
			t.Errorf("asked %v\n%s", a.asked, a.said.String())
		}
		want := map[string]int{"lower": 4, "fresh": 5}[way]
		r, root := drafted(t, dir)
		if role := root.Roles[tuf.RoleRoot]; role.Threshold != want || len(role.KeyIDs) != want || len(r.Drops) != 1 || r.Drops[0].Reason != agreed.Stolen || r.Drops[0].Name != "Alice Costa" {
			t.Errorf("%s: %+v, drops %+v", way, role, r.Drops)
		}
	}
	// The files of the backup are elsewhere: nobody can sign any more.
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "before"), os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "before/private/backups")); err != nil {
		t.Fatal(err)
	}
	a, come, err := interviewed(t, dir, agreed.Revoke, before("token-stolen", "revoke.which", "1", "revoke.again", "no"))
	if err != nil || come.Files[state.PlanFile] != nil || come.Files[state.NoticeFile] == nil || !strings.Contains(a.said.String(), "TUF cannot mend that") {
		t.Errorf("%v\n%s", err, a.said.String())
	}
}

// After a rotation the backups of keys that stay are in the ceremony before it,
// to which the newest one leads.
func TestBackupsOfTheCeremonyBefore(t *testing.T) {
	first, second, desk := rotatedWithBackups(t)
	_ = desk.Close()
	ask := func(script map[string]string) (*person, *interview.Outcome, string) {
		t.Helper()
		dir := t.TempDir()
		script["plan.earlier"] = second.dir
		a, come, err := interviewed(t, dir, agreed.Revoke, script)
		if err != nil {
			t.Fatalf("%v\n%s", err, a.said.String())
		}
		return a, come, dir
	}
	said := func(a *person, want string) {
		t.Helper()
		if !strings.Contains(a.said.String(), want) {
			t.Errorf("nobody said %q:\n%s", want, a.said.String())
		}
	}
	restores := func(come *interview.Outcome, from string) {
		t.Helper()
		if len(come.After.Commands) == 0 || come.After.Commands[0] != "rootceremony restore "+from {
			t.Errorf("type %q", come.After.Commands)
		}
	}
	// Alice's key is the first in the root, Farah's the fifth.
	a, come, _ := ask(with("token-lost", "revoke.which", "1", "revoke.restore", "restore"))
	restores(come, first.dir)
	said(a, "Alice Costa: the backup is opened by any 3 of Bruno Ferraz, Chen Wei, Dana Okafor and Bank safe.") // Emil's token was reset

	lost := func(pairs ...string) map[string]string {
		return with("quorum-lost", append([]string{"revoke.which", "1,5", "revoke.restore", "restore", "revoke.threshold", "keep"}, pairs...)...)
	}
	_, come, _ = ask(lost())
	if slices.Sort(come.After.Commands); !slices.Equal(come.After.Commands, slices.Sorted(slices.Values([]string{"rootceremony restore " + first.dir, "rootceremony restore " + second.dir,
		"rootceremony checkup " + first.dir, "rootceremony checkup " + second.dir}))) {
		t.Errorf("type %q", come.After.Commands)
	}
	// Both are in the plan after that, though it names the newer one alone.
	_, _, dir := ask(with("token-stolen", "revoke.which", "2"))
	if r, _ := drafted(t, dir); len(r.Earlier) != 2 || len(r.Earlier[0].Backups) != 1 || len(r.Earlier[1].Backups) != 5 || slices.Contains(r.Earlier[1].Backups[0].Recipients, "Emil Novak") {
		t.Errorf("earlier: %+v", r.Earlier)
	}

	// The first one has been moved: it is asked for, by what its log says.
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(first.dir, moved); err != nil {
		t.Fatal(err)
	}
	a, come, _ = ask(with("token-lost", "revoke.which", "1", "revoke.restore", "restore", "plan.earlier 2", second.dir+"\nnowhere\n"+moved))
	restores(come, moved)
	if len(a.refused) != 2 || !strings.Contains(a.refused[0], "another ceremony") {
		t.Errorf("refused %q", a.refused)
	}
	said(a, `The folder of the ceremony "Example packages", with 5 backups?`)
	// It is not at hand: that there are no backups is never said.
	script := with("quorum-lost", "revoke.which", "1,2,3", "plan.earlier 2", "", "revoke.unknown", "look")
	a, come, _ = ask(script)
	said(a, "Whether there are backups is not known here: look at the folders")
	if text := a.said.String(); len(come.Files) != 0 || strings.Contains(text, "TUF cannot mend that") || strings.Contains(text, "no backup brings") {
		t.Errorf("files %v\n%s", come.Files, text)
	}
	// A backup that is known of in the newest one is looked for nowhere else.
	a, come, _ = ask(with("token-lost", "revoke.which", "5", "revoke.restore", "restore"))
	restores(come, second.dir)
	if slices.Contains(a.asked, "plan.earlier 2") {
		t.Errorf("asked %q", a.asked)
	}
}

// The notice has the facts, and never replaces another one.
func TestNoticeOfANewChain(t *testing.T) {
	dir := t.TempDir()
	usual(t, dir)
	put(t, dir, "notice.md", []byte("mine"))
	_, come, err := interviewed(t, dir, agreed.Revoke, again(with("quorum-lost", "revoke.which", "1,2,3")))
	if err != nil {
		t.Fatal(err)
	}
	notice := come.Files["notice-2.md"]
	for _, want := range []string{"Example packages: keys of the root of trust are lost", "The chain of roots that ends with version 2 is given up", "must sign a new root: 3 of 5.", "from the new root on: 2 of 2.", "are lost: 3.", "[FILL IN:"} {
		if !bytes.Contains(bytes.Join(bytes.Fields(notice), []byte(" ")), []byte(want)) {
			t.Errorf("the notice does not say %q:\n%s", want, notice)
		}
	}
	if mine, err := os.ReadFile(filepath.Join(dir, "notice.md")); err != nil || string(mine) != "mine" {
		t.Errorf("the other notice: %q, %v", mine, err)
	}
}

// The notice beside a revocation's plan has what the plan knows.
func TestNoticeOfARevocation(t *testing.T) {
	dir := t.TempDir()
	usual(t, dir)
	put(t, dir, "keys/targets.pub", []byte("no key"))
	a, come, err := interviewed(t, dir, agreed.Revoke, with("role-compromised", "revoke.roles", "snapshot", "revoke.keys", "yes"))
	if err != nil {
		t.Fatal(err)
	}
	notice := string(bytes.Join(bytes.Fields(come.Files[state.NoticeFile]), []byte(" ")))
	for _, want := range []string{"for now: the new root is not out yet", "Root version 3 will follow root version 2.", "must sign a new root: 3 of 5.", "with as many keys as must: snapshot.", "Other keys will sign for timestamp and snapshot."} {
		if !strings.Contains(notice, want) {
			t.Errorf("the notice does not say %q:\n%s", want, notice)
		}
	}
	if !strings.Contains(a.said.String(), filepath.Join(dir, state.NoticeFile)) {
		t.Errorf("nobody said where the notice is:\n%s", a.said.String())
	}
}

// A chain in the plan's folder that is not right is shown, and not passed over
// for another.
func TestEmergencyWithABrokenChain(t *testing.T) {
	dir := t.TempDir()
	knownBy()(t, dir)
	put(t, dir, "trusted/1.root.json", []byte("{}"))
	a, _, err := interviewed(t, dir, agreed.Revoke, before("token-stolen", "plan.trusted", "\nbefore/publish", "revoke.which", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if len(a.refused) != 1 || !strings.Contains(a.refused[0], "trusted/1.root.json") {
		t.Errorf("refused %q", a.refused)
	}
}

// What the plan says of the incident is held to what there is.
func TestIncidentInAPlan(t *testing.T) {
	dir := t.TempDir()
	usual(t, dir)
	if _, _, err := interviewed(t, dir, agreed.Revoke, with("role-compromised", "revoke.roles", "snapshot", "revoke.keys", "yes")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, state.PlanFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"role-compromised"`, `"alien"`, `incident "alien" is none of token-lost, token-stolen,`},
		{`"role-compromised"`, `1`, "incident must be a text in quotes"},
		{`"role-compromised"`, `""`, `incident "" is none of`},
		{`"role-compromised"`, `"token-lost"`, "compromised goes with incident"},
		{`["snapshot"]`, `["root"]`, `compromised: "root" is none of timestamp, snapshot, targets`},
		{`["snapshot"]`, `["snapshot", "snapshot"]`, "or is there twice"},
		{`["snapshot"]`, `[]`, "compromised is empty"},
		{`"revoke"`, `"rotate"`, "incident is for revoke: nothing has happened that calls for a rotate"},
	} {
		bad := strings.Replace(string(text), c.old, c.new, 1)
		if bad == string(text) {
			t.Errorf("no %q in\n%s", c.old, text)
		}
		put(t, dir, "bad.toml", []byte(bad))
		if _, err := plan.Read(filepath.Join(dir, "bad.toml")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
	r, _ := drafted(t, dir)
	good := string(r.JSON())
	for _, c := range []struct{ old, new, want string }{
		{`"incident": "role-compromised"`, `"incident": "alien"`, "is none of token-lost"},
		{`"kind": "revoke"`, `"kind": "rotate"`, "incident is for revoke"},
		{"\"compromised\": [\n    \"snapshot\"\n  ]", `"compromised": []`, "compromised is empty"},
		{"    \"snapshot\"\n", "    \"root\"\n", `"root" is none of`},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("no %q in\n%s", c.old, good)
		}
		if _, err := agreed.Parse([]byte(bad), r.PrivateJSON()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
}

// The chains of real projects take an emergency too: nobody could sign, and
// everything up to it works.
func TestEmergenciesOfRealChains(t *testing.T) {
	for name, version := range map[string]int64{"sigstore": 16, "joomla-updates": 17} {
		roots := filepath.Join("../../shared/roots", name)
		if _, err := os.Stat(roots); err != nil {
			t.Skipf("no real chains at ../shared/roots beside the repository: %v", err)
		}
		roots, err := filepath.Abs(roots)
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range []map[string]string{
			with("root-expired"),
			with("token-stolen", "revoke.which", "1", "plan.role.targets", "", "plan.role.snapshot", "", "plan.role.timestamp", "", "revoke.threshold", "keep", "revoke.quorum", "race"),
		} {
			script["plan.trusted"] = roots
			dir := t.TempDir()
			start := time.Now()
			a, _, err := interviewed(t, dir, agreed.Revoke, script)
			if err != nil {
				t.Errorf("%s, %s: %v\n%s", name, script["revoke.what"], err, a.said.String())
				continue
			}
			t.Logf("%s, %s: %d answers, %v", name, script["revoke.what"], len(a.asked), time.Since(start).Round(time.Millisecond))
			r, root := drafted(t, dir)
			if root.Version != version {
				t.Errorf("%s: version %d", name, root.Version)
			}
			for _, d := range r.Drops {
				if _, there := root.Key(d.KeyID); there {
					t.Errorf("%s: the dropped key %s has a role still", name, d.KeyID)
				}
			}
			for _, k := range root.Keys { // what stays is what it was
				if old, there := r.TrustedRoot().Key(k.ID); !there || !bytes.Equal(old.Object(), k.Object()) {
					t.Errorf("%s: key %s: %s, was %s", name, k.ID, k.Object(), old.Object())
				}
			}
		}
	}
}
