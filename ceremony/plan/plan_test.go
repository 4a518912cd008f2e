package plan

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// planNow is the time at which test plans are agreed.
var planNow = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// onTokenPlan is a plan without backups.
//
//go:embed testdata/on-token.toml
var onTokenPlan string

// planFolder writes onTokenPlan, changed by pairs of old and new text,
// with its key files, and returns the folder.
func planFolder(t testing.TB, changes ...string) string {
	t.Helper()
	files, err := exampleKeys()
	if err != nil {
		t.Fatal(err)
	}
	files["plan.toml"] = []byte(changed(t, onTokenPlan, changes...))
	return newFolder(t, files)
}

// newFolder writes files to a new folder.
func newFolder(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func changed(t testing.TB, text string, changes ...string) string {
	t.Helper()
	for pair := range slices.Chunk(changes, 2) {
		if !strings.Contains(text, pair[0]) {
			t.Fatalf("the example has no %q", pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	return text
}

// backedUpText is the example, changed, and with safeAge for its
// safe.
func backedUpText(t testing.TB, changes ...string) string {
	t.Helper()
	return changed(t, fmt.Sprintf(exampleText, strings.Repeat("5a", 32), safeAge), changes...)
}

func TestReadPlan(t *testing.T) {
	p, err := Read(filepath.Join(planFolder(t), "plan.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, h := range p.Holders {
		ids = append(ids, h.ID)
	}
	if got := strings.Join(ids, " "); got != "alice bruno chen dana emil" {
		t.Errorf("ids %s", got)
	}
	if p.Root != (RootPlan{3, "365d", true}) || p.Token != (agreed.TokenPolicy{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, MinFirmware: "5.7.0"}) {
		t.Errorf("root %v, token %v", p.Root, p.Token)
	}
	if k := p.Roles["snapshot"].Keys; len(k) != 1 || k[0].Public.Algorithm != keys.Ed25519 {
		t.Errorf("snapshot keys %v", k)
	}
}

func TestPlanDefaults(t *testing.T) {
	for algorithm, least := range map[keys.Algorithm]string{keys.Ed25519: "5.7.0", keys.P256: "5.4.2"} {
		p, err := ParsePlan([]byte(changed(t, onTokenPlan,
			"algorithm = \"ed25519\"\ntouch = \"always\"\nmin_firmware = \"5.7.0\"\n", fmt.Sprintf("algorithm = %q\n", algorithm),
			"consistent_snapshot = true\n", "",
			"custody = \"on-token\"            # the key never leaves the token\n", "",
		)), "p")
		if err != nil {
			t.Fatal(err)
		}
		if p.Token != (agreed.TokenPolicy{Algorithm: algorithm, Touch: keys.TouchAlways, MinFirmware: least}) || !p.Root.ConsistentSnapshot || p.Holders[0].Custody != agreed.OnToken {
			t.Errorf("%v %v %v", p.Token, p.Root, p.Holders[0])
		}
	}
}

func TestMadeIDs(t *testing.T) {
	for _, c := range []struct{ names, ids string }{
		{"Alice Costa|Bruno Ferraz", "alice bruno"},
		{"Alice Costa|Alice Silva", "alice-costa alice-silva"},
		{"ALICE|bruno o'brien", "alice bruno"},
		{"Anne-Marie Dubois|Anne Dubois", "anne-marie anne"},
		{"Dr. Alice Costa|Dr. Bruno Ferraz", "dr-alice-costa dr-bruno-ferraz"},
	} {
		text := onTokenPlan[:strings.Index(onTokenPlan, "[[holder]]")]
		for i, name := range strings.Split(c.names, "|") {
			text += fmt.Sprintf("[[holder]]\nname = %q\ntoken = \"%d\"\n", name, i)
		}
		text = changed(t, text, "threshold = 3", "threshold = 1") + onTokenPlan[strings.Index(onTokenPlan, "[role.timestamp]"):]
		p, err := ParsePlan([]byte(text), "p")
		if err != nil {
			t.Errorf("%s: %v", c.names, err)
			continue
		}
		if got := p.Holders[0].ID + " " + p.Holders[1].ID; got != c.ids {
			t.Errorf("%s: ids %q, want %q", c.names, got, c.ids)
		}
	}
}

// The lines of onTokenPlan: 3 kind, 4 name, 6 [root], 11 [token], 16 [backup],
// 19 [[holder]] Alice, 25 Bruno, 31 Chen, 37 Dana, 43 Emil, 49 [[person]], 53
// [role.timestamp], 57 [role.snapshot], 61 [role.targets].
var badPlans = []struct {
	name    string
	changes []string
	want    string // the error, a line a fault, without the file's name
}{
	{"unknown key", []string{"threshold = 3  ", "treshold = 3   "}, `7:1: unknown key "treshold" (hint: known here: threshold, expires, consistent_snapshot)
6:2: threshold is missing (hint: how many holders must sign a root)`},
	{"unknown key at the top", []string{"kind =", "colour = \"red\"\nkind ="}, `3:1: unknown key "colour" (hint: known here: kind, name, reason, trusted, earlier, salt, incident, compromised, root, token, backup, recipient, holder, person, drop, role, targets, delegation)`},
	{"unknown table", []string{"[backup]", "[backups]"}, `16:2: unknown key "backups" (hint: known here: kind, name, reason, trusted, earlier, salt, incident, compromised, root, token, backup, recipient, holder, person, drop, role, targets, delegation)`},
	{"unknown role", []string{"[role.snapshot]", "[role.mirrors]\n[role.snapshot]"}, `57:7: unknown key "mirrors" (hint: known here: timestamp, snapshot, targets)`},
	{"unknown key of a holder", []string{`token = "C-03"`, `token = "C-03"` + "\ncolour = 1"}, `34:1: unknown key "colour" (hint: known here: id, name, token, site, custody, keyid, spare, targets_keyid)`},
	{"unknown key in an inline table", []string{"[role.snapshot]\nthreshold = 1\nkeys = [\"keys/snapshot.pub\"]", "[role]\nsnapshot = {threshold = 1, keys = [\"keys/snapshot.pub\"], x = 2}"}, `58:58: unknown key "x" (hint: known here: threshold, keys)`},
	{"unknown key with an escape", []string{"kind =", "\"\\u001b[31m\" = 1\nkind ="}, `3:1: unknown key "\x1b[31m" (hint: known here: kind, name, reason, trusted, earlier, salt, incident, compromised, root, token, backup, recipient, holder, person, drop, role, targets, delegation)`},
	{"wrong case of a key", []string{"threshold = 3", "Threshold = 3"}, `7:1: wrong case: "Threshold" is written "threshold"`},
	{"wrong case of a table", []string{"[token]", "[Token]"}, `11:2: wrong case: "Token" is written "token"`},
	{"wrong case beside the right one", []string{"name = \"Example packages\"", "name = \"Example packages\"\nNAME = \"Other\""}, `5:1: wrong case: "NAME" is written "name"`},
	{"wrong case of a value", []string{`"ed25519"`, `"Ed25519"`}, `12:13: algorithm "Ed25519" is none of ed25519, ecdsa-p256`},
	{"a key twice", []string{"threshold = 3", "threshold = 3\nthreshold = 4"}, `8:1: not TOML: key threshold is already defined`},
	{"no TOML", []string{"kind =", "kind"}, `3:6: not TOML: expected '=' after key`},
	{"not UTF-8", []string{"Example packages", "Example \xff"}, `4:17: not TOML: invalid UTF-8 character in basic string`},
	{"a byte order mark", []string{"# A rehearsal", "\ufeff# A rehearsal"}, `1:1: the file begins with a byte order mark (hint: save it as UTF-8 without one)`},
	{"an escape byte in a name", []string{"Example packages", "Ex\x1b[2Jample"}, `4:11: not TOML: basic strings cannot have control characters`},

	{"a number as text", []string{"threshold = 3", "threshold = \"3\""}, `7:13: threshold must be a whole number, not a text`},
	{"a fraction", []string{"threshold = 3", "threshold = 3.0"}, `7:13: threshold must be a whole number, not a number with a fraction`},
	{"a text as number", []string{`"A-01"`, "1"}, `21:9: token must be a text in quotes, not a number`},
	{"a flag as text", []string{"consistent_snapshot = true", `consistent_snapshot = "yes"`}, `9:23: consistent_snapshot must be true or false, not a text`},
	{"a bare time", []string{`"365d"`, "2027-11-22T00:00:00Z"}, `8:11: expires must be a text in quotes, not a date or time without quotes`},
	{"one table of holders", []string{"[[person]]", "[person]"}, `49:2: person must be written [[person]], once for each, not as a table`},
	{"a list of texts", []string{"[[person]]\nname = \"Wanda Meyer\"\nrole = \"witness\"", "", "kind =", "person = [\"Wanda\"]\nkind ="}, `3:11: person must be written [[person]], once for each, not as a text`},
	{"a table list for one", []string{"[root]", "[[root]]"}, `6:3: root must be one table, [root], not a list`},
	{"a table list for a role", []string{"[role.timestamp]", "[[role.timestamp]]"}, `53:8: timestamp must be one table, [role.timestamp], not a list`},
	{"a key file alone", []string{`["keys/targets.pub"]`, `"keys/targets.pub"`}, `63:8: keys must be a list of texts, not a text`},
	{"a key file that is a number", []string{`["keys/targets.pub"]`, `["keys/targets.pub", 2]`}, `63:29: keys must be texts in quotes, not a number`},

	{"no kind", []string{"kind = \"create\"\n", ""}, `1:1: kind is missing (hint: kind = "create")`},
	{"another kind", []string{`"create"`, `"renew"`}, `3:8: kind "renew" is none of create, rotate, revoke`},
	{"rotate", []string{`"create"`, `"rotate"`, "threshold = 3", "threshold = 0"}, "1:1: trusted is missing (hint: trusted = \"trusted\", the folder of the published roots, each as N.root.json)\n7:13: threshold 0: at least 1 holder must sign"},
	{"revoke", []string{`"create"`, `"revoke"`}, "1:1: reason is missing (hint: what has happened, as in reason = \"the token A-01 was stolen\")\n1:1: trusted is missing (hint: trusted = \"trusted\", the folder of the published roots, each as N.root.json)"},
	{"backups for nobody", []string{"quorum = 0", "quorum = 3"}, `16:2: recipients is missing (hint: recipients = ["holders", "Bank safe"]: who opens backups)`},
	{"backups for an empty list", []string{"quorum = 0", "quorum = 3\nrecipients = []"}, `18:1: recipients is empty (hint: recipients = ["holders", "Bank safe"]: who opens backups)`},
	{"a backed-up key without backups", []string{`"on-token"`, `"backed-up"`}, `23:11: custody "backed-up" needs backups, but the backup quorum is 0 (hint: [backup] with quorum and recipients, or custody "on-token")`},
	{"a spare of a key on its token", []string{"quorum = 0", "quorum = 3\nrecipients = [\"holders\"]", `custody = "on-token"`, "custody = \"on-token\"\nspare = true"}, `25:9: a spare token needs custody "backed-up": a key that never leaves its token has no second one`},
	{"an existing key", []string{`"on-token"`, `"existing"`}, `23:11: custody "existing" is for rotate and revoke: create starts from no root`},
	{"another custody", []string{`"on-token"`, `"cloud"`}, `23:11: custody "cloud" is none of on-token, backed-up, existing`},
	{"a spare of what cannot be copied", []string{"site = \"Lisbon\"", "site = \"Lisbon\"\nspare = true"}, `23:9: a spare token needs custody "backed-up": a key that never leaves its token has no second one`},
	{"a key id", []string{"site = \"Lisbon\"", "site = \"Lisbon\"\nkeyid = \"ab\""}, `23:9: keyid is for custody "existing" only`},
	{"a drop", []string{"[role.timestamp]", "[[drop]]\nkeyid = \"ab12\"\nreason = \"lost\"\n[role.timestamp]"}, `53:3: [[drop]] is for rotate and revoke: create starts from no root`},
	{"trusted roots", []string{"[root]", "trusted = \"trusted\"\nearlier = [\"x\"]\n[root]"}, `6:11: trusted is for rotate and revoke: create starts from no root`},
	{"quorum below zero", []string{"quorum = 0", "quorum = -1"}, `17:10: quorum -1: at least 0, which means no backups`},
	{"recipients of nothing", []string{"quorum = 0", "quorum = 0\nrecipients = [\"holders\"]"}, `18:1: recipients are named, but quorum 0 means no backups`},

	{"no name", []string{"name = \"Example packages\"\n", ""}, `1:1: name is missing (hint: the project's name, as in its root's announcement)`},
	{"an empty name", []string{"Example packages", ""}, `4:8: name is empty (hint: the project's name, as in its root's announcement)`},
	{"a name of spaces", []string{"Example packages", "   "}, `4:8: name is empty`},
	{"a name of 300 characters", []string{"Example packages", strings.Repeat("ü", 300)}, `4:8: name has 300 characters: at most 80`},
	{"a name with a terminal escape", []string{"Example packages", `\u001b]0;owned\u0007`}, `4:8: name "\x1b]0;owned\a" holds the character U+001B, which cannot be printed`},
	{"a holder with a terminal escape", []string{"Chen Wei", `Chen\u001b[8m Wei`}, `32:8: name "Chen\x1b[8m Wei" holds the character U+001B, which cannot be printed`},
	{"a name with C1 controls", []string{"Chen Wei", `Chen\u009b8m`}, `32:8: name "Chen\u009b8m" holds the character U+009B, which cannot be printed`},
	{"a name that turns the text around", []string{"Chen Wei", `Chen \u202eieW`}, `32:8: name "Chen \u202eieW" holds the character U+202E, which cannot be printed`},
	{"a name of two lines", []string{"Wanda Meyer", `Wanda\nMeyer`}, `50:8: name "Wanda\nMeyer" holds the character U+000A, which cannot be printed`},
	{"a name that ends with a space", []string{"Chen Wei", "Chen Wei "}, `32:8: name "Chen Wei " begins or ends with a space`},
	{"a holder's name of 300 characters", []string{"Chen Wei", strings.Repeat("a", 300)}, `32:8: name has 300 characters: at most 80`},
	{"a site with an escape", []string{"Singapore", `\u001bc`}, `34:8: site "\x1bc" holds the character U+001B, which cannot be printed`},
	{"a column after wide letters", []string{"[[person]]\nname = \"Wanda Meyer\"\nrole = \"witness\"", "", "kind =", "person = [{name = \"王芳\", role = \"boss\"}]\nkind ="}, `3:32: role "boss" is none of administrator, witness, scribe`},

	{"a holder twice", []string{"Bruno Ferraz", "Alice  costa"}, `26:8: holder "Alice  costa" is there twice (hint: tell two people of one name apart in the name)`},
	{"two first names and one whole", []string{"Bruno Ferraz", "Alice (Costa)"}, `25:3: holder "Alice (Costa)" has the same id "alice-costa" as "Alice Costa" (hint: give one of them another id)`},
	{"ids that collide", []string{"token = \"B-02\"", "id = \"chen\"\ntoken = \"B-02\"", "Chen Wei", "Chen"}, `32:3: holder "Chen" has the same id "chen" as "Bruno Ferraz" (hint: give one of them another id)`},
	{"an id of another case", []string{"token = \"B-02\"", "id = \"Alice\"\ntoken = \"B-02\""}, `27:6: id "Alice" is not 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit`},
	{"an id that is a path", []string{"token = \"B-02\"", "id = \"../alice\"\ntoken = \"B-02\""}, `27:6: id "../alice" is not 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit`},
	{"an id like a flag", []string{"token = \"B-02\"", "id = \"-rf\"\ntoken = \"B-02\""}, `27:6: id "-rf" is not 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit`},
	{"an empty id", []string{"token = \"B-02\"", "id = \"\"\ntoken = \"B-02\""}, `27:6: id is empty (hint: leave it out to have it made from the name)`},
	{"an id of 33", []string{"token = \"B-02\"", "id = \"" + strings.Repeat("b", 33) + "\"\ntoken = \"B-02\""}, `27:6: id "` + strings.Repeat("b", 33) + `" is not 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit`},
	{"a name in another script", []string{"Chen Wei", "陈伟"}, `31:3: no id can be made from the name "陈伟" (hint: add id = "...", 1 to 32 of a-z, 0-9 and -)`},
	{"two names in another script", []string{"Chen Wei", "陈伟", "Dana Okafor", "Дана"}, `31:3: no id can be made from the name "陈伟" (hint: add id = "...", 1 to 32 of a-z, 0-9 and -)
37:3: no id can be made from the name "Дана" (hint: add id = "...", 1 to 32 of a-z, 0-9 and -)`},
	{"a holder twice in another script", []string{"name = \"Chen Wei\"", "id = \"chen\"\nname = \"Дана\"", "name = \"Dana Okafor\"", "id = \"dana\"\nname = \"ДАНА\""}, `40:8: holder "ДАНА" is there twice (hint: tell two people of one name apart in the name)`},
	{"an accent", []string{"Emil Novak", "Émile Novak"}, `43:3: no id can be made from the name "Émile Novak" (hint: add id = "...", 1 to 32 of a-z, 0-9 and -)`},
	{"a sticker twice", []string{"C-03", "a-01"}, `33:9: token "a-01" is the sticker of "Alice Costa" already (hint: a sticker of its own for each token)`},
	{"no sticker", []string{"token = \"C-03\"\n", ""}, `31:3: token is missing (hint: the sticker on the holder's token, as in token = "A-01")`},
	{"a long sticker", []string{"C-03", strings.Repeat("C", 33)}, `33:9: token has 33 characters: at most 32`},
	{"no holder's name", []string{"name = \"Chen Wei\"\n", ""}, `31:3: name is missing (hint: the holder's name)`},
	{"another role of a person", []string{`"witness"`, `"boss"`}, `51:8: role "boss" is none of administrator, witness, scribe`},

	{"threshold 0", []string{"threshold = 3", "threshold = 0"}, `7:13: threshold 0: at least 1 holder must sign`},
	{"threshold -1", []string{"threshold = 3", "threshold = -1"}, `7:13: threshold -1: at least 1 holder must sign`},
	{"threshold above the holders", []string{"threshold = 3", "threshold = 6"}, `7:13: threshold 6 is more than there are holders (5)`},
	{"a role's threshold 0", []string{"threshold = 1\nkeys = [\"keys/snap", "threshold = 0\nkeys = [\"keys/snap"}, `58:13: threshold 0: at least 1 key must sign`},
	{"a role's threshold above its keys", []string{"threshold = 1\nkeys = [\"keys/snap", "threshold = 2\nkeys = [\"keys/snap"}, `58:13: threshold 2 is more than there are keys (1)`},
	{"no threshold", []string{"threshold = 1\nkeys = [\"keys/snap", "keys = [\"keys/snap"}, `57:7: threshold is missing (hint: threshold = 1)`},
	{"no role", []string{"[role.targets]\nthreshold = 1\nkeys = [\"keys/targets.pub\"]\n", ""}, `53:2: [role.targets] is missing (hint: threshold and keys of the targets role)`},
	{"no keys of a role", []string{`["keys/targets.pub"]`, `[]`}, `63:1: keys is empty (hint: keys = ["keys/targets.pub"])`},

	{"no expiry", []string{"expires = \"365d\"", ""}, `6:2: expires is missing (hint: expires = "365d", or a time such as "2027-11-22T00:00:00Z")`},
	{"no time", []string{`"365d"`, `"next year"`}, `8:11: expires "next year" is not a time (hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)`},
	{"a day that is not", []string{`"365d"`, `"2027-02-29T00:00:00Z"`}, `8:11: expires "2027-02-29T00:00:00Z" is not a time (hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)`},
	{"fractions", []string{`"365d"`, `"2027-11-22T00:00:00.5Z"`}, `8:11: expires "2027-11-22T00:00:00.5Z" has fractions of a second (hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)`},
	{"a fraction of zero", []string{`"365d"`, `"2027-11-22T00:00:00.000Z"`}, `8:11: expires "2027-11-22T00:00:00.000Z" has fractions of a second (hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)`},
	{"an offset", []string{`"365d"`, `"2027-11-22T00:00:00+01:00"`}, `8:11: expires "2027-11-22T00:00:00+01:00" has an offset from UTC (hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)`},
	{"an offset of zero", []string{`"365d"`, `"2027-11-22T00:00:00+00:00"`}, `8:11: expires "2027-11-22T00:00:00+00:00" has an offset from UTC (hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)`},
	{"no days", []string{`"365d"`, `"0d"`}, `8:11: expires "0d" is not a number of days from 1d to 3650d`},
	{"days with a sign", []string{`"365d"`, `"+365d"`}, `8:11: expires "+365d" is not a number of days from 1d to 3650d`},
	{"days with a fraction", []string{`"365d"`, `"1.5d"`}, `8:11: expires "1.5d" is not a number of days from 1d to 3650d`},
	{"too many days", []string{`"365d"`, `"3651d"`}, `8:11: expires "3651d" is not a number of days from 1d to 3650d`},

	{"another algorithm", []string{`"ed25519"`, `"rsa"`}, `12:13: algorithm "rsa" is none of ed25519, ecdsa-p256`},
	{"touch never", []string{`"always"`, `"never"`}, `13:9: touch "never" is none of always, cached`},
	{"no version", []string{`"5.7.0"`, `"5.7"`}, `14:16: min_firmware "5.7" is not a version (hint: three numbers, as in "5.7.0")`},
	{"old firmware", []string{`"5.7.0"`, `"5.4.3"`}, `14:16: min_firmware 5.4.3 is too old: ed25519 keys need 5.7.0`},

	{"a key file outside", []string{"keys/targets.pub", "../targets.pub"}, `63:9: key file "../targets.pub" is outside the plan's folder (hint: copy it into the folder)`},
	{"a key file by its full path", []string{"keys/targets.pub", "/etc/targets.pub"}, `63:9: key file "/etc/targets.pub" is outside the plan's folder (hint: copy it into the folder)`},
	{"a key file without a name", []string{"keys/targets.pub", ""}, `63:9: key file is empty`},
	{"a key file with an escape", []string{"keys/targets.pub", `keys/\u001b[31m`}, `63:9: key file "keys/\x1b[31m" holds the character U+001B, which cannot be printed`},
}

func TestBadPlans(t *testing.T) {
	for _, c := range badPlans {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParsePlan([]byte(changed(t, onTokenPlan, c.changes...)), "my.toml")
			wantFaults(t, err, "my.toml", c.want)
		})
	}
}

// In examplePlan: 17 quorum, 18 recipients, 20 [[recipient]], 21 name, 22
// site, 23 age; then [[holder]] in 25, 31, 37, 43, 49, [[person]] in 55.
var badBackups = []struct {
	name    string
	changes []string
	want    string
}{
	{"more than there are", []string{"quorum = 3", "quorum = 6"}, `18:10: quorum 6 is more than the recipients of a holder's backup, 5: no holder is a recipient of their own (hint: quorum 3, 4 or 5 would do)`},
	{"more than there are outside", []string{"quorum = 3", "quorum = 2", `["holders", "Bank safe"]`, `["Bank safe"]`, "threshold = 3", "threshold = 1"}, `18:10: quorum 2 is more than there are recipients, 1 (hint: quorum 1 would do)`},
	{"too few for any quorum", []string{`["holders", "Bank safe"]`, `["Bank safe"]`}, `18:10: quorum 3 is more than there are recipients, 1 (hint: at least 3 recipients for each holder)`},
	{"below the threshold", []string{"quorum = 3", "quorum = 2"}, `18:10: any 2 of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor, Emil Novak or Bank safe could sign alone: the backup quorum (2) is below the threshold (3) (hint: quorum 3, 4 or 5 would do)`},
	{"below the threshold, by PUKs", append([]string{"quorum = 3", "quorum = 1"}, onTokens...), `18:10: any one of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor, Emil Novak or Bank safe could set new PINs, by the PUK backups, on the tokens of any 3 of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor or Emil Novak, and sign: the backup quorum (1) is below the threshold (3) (hint: quorum 3, 4 or 5 would do)`},
	{"too many files", []string{"quorum = 3", "quorum = 4", "[[person]]", eightHolders, `["holders", "Bank safe"]`, `["holders", "Bank safe", "Two", "Three", "Four"]`, "[[holder]]", "[[recipient]]\nname = \"Two\"\npassphrase = true\n[[recipient]]\nname = \"Three\"\npassphrase = true\n[[recipient]]\nname = \"Four\"\npassphrase = true\n[[holder]]"},
		`18:10: quorum 4 of 11 recipients makes more than 100 files for each secret (hint: quorum 9, 10 or 11 would do, or at most 8 recipients with quorum 4)`},
	{"file names too long", []string{"quorum = 3", "quorum = 5", `token = "A-01"`, longID("a"), `token = "B-02"`, longID("b"), `token = "C-03"`, longID("c"), `token = "D-04"`, longID("d"), `token = "E-05"`, longID("e"), "site = \"Zurich\"", "site = \"Zurich\"\nid = \"" + strings.Repeat("s", 32) + `"`,
		`["holders", "Bank safe"]`, `["holders", "Bank safe", "Two"]`, "[[holder]]", "[[recipient]]\nname = \"Two\"\npassphrase = true\nid = \"" + strings.Repeat("t", 32) + "\"\n[[holder]]", "quorum = 5", "quorum = 6",
		"[[person]]", "[[holder]]\nname = \"Farah\"\ntoken = \"F\"\nid = \"" + strings.Repeat("f", 32) + "\"\n[[person]]", "quorum = 6", "quorum = 7"},
		`18:10: the file name ` + strings.Join([]string{strings.Repeat("b", 32), strings.Repeat("c", 32), strings.Repeat("d", 32), strings.Repeat("e", 32), strings.Repeat("f", 32), strings.Repeat("s", 32), strings.Repeat("t", 32)}, "+") + `.token.age has 240 characters: at most 220 (hint: shorter names of recipients)`},
	{"a key in two notations", []string{safeAge, pointAge, `["holders", "Bank safe"]`, `["holders", "Bank safe", "Two"]`, "[[holder]]", "[[recipient]]\nname = \"Two\"\nage = \"" + pointPlugin + "\"\n[[holder]]"},
		`18:10: recipients "Bank safe" and "Two" are the same key: one person would count as two`},

	{"a name that is not there", []string{`["holders", "Bank safe"]`, `["holders", "Bank safe", "Vault"]`}, `19:39: recipient "Vault" is neither "holders" nor a [[recipient]]`},
	{"a holder by name", []string{`["holders", "Bank safe"]`, `["alice costa", "Bank safe"]`}, `19:15: recipient "alice costa" is a holder: holders are recipients all together (hint: recipients = ["holders"])`},
	{"a holder by id", []string{`["holders", "Bank safe"]`, `["chen", "Bank safe"]`}, `19:15: recipient "chen" is a holder: holders are recipients all together (hint: recipients = ["holders"])`},
	{"named twice", []string{`["holders", "Bank safe"]`, `["Bank safe", "holders", "bank  safe"]`}, `19:39: recipient "bank  safe" is named twice`},
	{"holders twice", []string{`["holders", "Bank safe"]`, `["holders", "Bank safe", "holders"]`}, `19:39: recipient "holders" is named twice`},
	{"not named", []string{`["holders", "Bank safe"]`, `["holders"]`}, `22:8: recipient "Bank safe" is not named in backup.recipients (hint: name it there, or leave it out here)`},
	{"recipients that nothing is for", []string{"quorum = 3", "quorum = 0", `recipients = ["holders", "Bank safe"]`, ""}, `22:8: recipient "Bank safe" is not named in backup.recipients (hint: name it there, or leave it out here)
30:11: custody "backed-up" needs backups, but the backup quorum is 0 (hint: [backup] with quorum and recipients, or custody "on-token")
36:11: custody "backed-up" needs backups, but the backup quorum is 0 (hint: [backup] with quorum and recipients, or custody "on-token")
42:11: custody "backed-up" needs backups, but the backup quorum is 0 (hint: [backup] with quorum and recipients, or custody "on-token")
48:11: custody "backed-up" needs backups, but the backup quorum is 0 (hint: [backup] with quorum and recipients, or custody "on-token")
54:11: custody "backed-up" needs backups, but the backup quorum is 0 (hint: [backup] with quorum and recipients, or custody "on-token")`},
	{"a holder as recipient", []string{`name = "Bank safe"`, `name = "Chen  wei"`, `"Bank safe"]`, `"Alice Costa"]`}, `19:26: recipient "Alice Costa" is a holder: holders are recipients all together (hint: recipients = ["holders"])
22:8: recipient "Chen  wei" is a holder: holders are recipients all together (hint: recipients = ["holders"])`},
	{"a recipient with a holder's id", []string{`name = "Bank safe"`, `name = "Chen"`, `"Bank safe"]`, `"Chen"]`}, `21:3: recipient "Chen" has the same id "chen" as holder "Chen Wei": file names would not tell them apart (hint: give one of them another id)`},
	{"two recipients with one id", twoSafes("Bank, safe", `passphrase = true`), `26:3: recipient "Bank, safe" has the same id "bank-safe" as recipient "Bank safe": file names would not tell them apart (hint: give one of them another id)`},
	{"a recipient twice", twoSafes("BANK safe", `passphrase = true`), `19:39: recipient "BANK safe" is named twice
27:8: recipient "BANK safe" is there twice`},
	{"one key under two names", twoSafes("Vault", `age = "`+safeAge+`"`), `28:7: recipient "Vault" is the same as "Bank safe": one identity would count as two`},
	{"one SSH key with two comments", append([]string{safeAge, otherSafe + " alice@laptop"}, twoSafes("Vault", `age = "`+otherSafe+`"`)...), `28:7: recipient "Vault" is the same as "Bank safe": one identity would count as two`},
	{"a recipient called holders", []string{`name = "Bank safe"`, `name = "Holders"`, `, "Bank safe"]`, `]`}, `22:8: recipient "Holders" would mean the holders (hint: another name)`},
	{"an id that is a path", []string{`site = "Zurich"`, `id = "../safe"`}, `23:6: id "../safe" is not 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit`},
	{"an empty id", []string{`site = "Zurich"`, `id = ""`}, `23:6: id is empty (hint: leave it out to have it made from the name)`},
	{"a name in another script", []string{`name = "Bank safe"`, `name = "金库"`, `"Bank safe"]`, `"金库"]`}, `21:3: no id can be made from the name "金库" (hint: add id = "...", 1 to 32 of a-z, 0-9 and -)`},
	{"a site with an escape", []string{`"Zurich"`, `"\u001bc"`}, `23:8: site "\x1bc" holds the character U+001B, which cannot be printed`},
	{"an unknown key", []string{`site = "Zurich"`, `colour = 1`}, `23:1: unknown key "colour" (hint: known here: id, name, age, passphrase, site)`},

	{"neither", []string{"age = \"" + safeAge + "\"", ""}, `21:3: recipient "Bank safe" needs either age = "age1..." or passphrase = true`},
	{"both", []string{`site = "Zurich"`, `passphrase = true`}, `21:3: recipient "Bank safe" needs either age = "age1..." or passphrase = true`},
	{"cut short", []string{safeAge, safeAge[:50]}, `24:7: recipient "Bank safe" is no whole age recipient: characters are missing, added or changed (hint: copy it again, all of it)`},
	{"an identity", []string{safeAge, "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"}, `24:7: recipient "Bank safe" is an identity, which is secret, where the public recipient belongs; it is not shown here (hint: others may have read it with this text: make a new one, and give its recipient, the line age-keygen -y prints)`},
	{"ssh-rsa", []string{safeAge, "ssh-rsa AAAAB3NzaC1yc2E"}, `24:7: recipient "Bank safe" is an ssh-rsa key, which is not accepted (hint: an age1 recipient, or an ssh-ed25519 key)`},
	{"the word passphrase", []string{safeAge, "passphrase"}, `24:7: recipient "Bank safe" has the word passphrase for an age recipient (hint: passphrase = true, instead of age)`},
	{"something else", []string{safeAge, "hunter2"}, `24:7: recipient "Bank safe" is no age recipient (hint: age1..., ssh-ed25519 AAAA..., or a passphrase)`},
}

// onTokens makes every custody of examplePlan on-token.
var onTokens = slices.Repeat([]string{`custody = "backed-up"`, `custody = "on-token"`}, 5)

// longID is a sticker and the longest id.
func longID(letter string) string {
	return fmt.Sprintf("token = %q\nid = %q", letter, strings.Repeat(letter, 32))
}

// twoSafes adds a recipient in line 26.
func twoSafes(name, age string) []string {
	return []string{`"Bank safe"]`, fmt.Sprintf(`"Bank safe", %q]`, name), "[[holder]]", fmt.Sprintf("[[recipient]]\nname = %q\n%s\n\n[[holder]]", name, age)}
}

func TestBadBackups(t *testing.T) {
	for _, c := range badBackups {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParsePlan([]byte(backedUpText(t, c.changes...)), "my.toml")
			wantFaults(t, err, "my.toml", c.want)
		})
	}
}

// Every kind of recipient can be in one plan.
func TestRecipientKinds(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	var names, tables []string
	kinds := map[string]string{"PQ": hybrid.Recipient().String(), "Token": pointAge, "SSH": otherSafe + " x@y", "Plugin": pluginAge}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		names = append(names, TomlText(name))
		tables = append(tables, fmt.Sprintf("[[recipient]]\nname = %q\nage = %q\n", name, kinds[name]))
	}
	text := backedUpText(t, `["holders", "Bank safe"]`, `["Bank safe", "P", `+strings.Join(names, ", ")+"]", "[[holder]]",
		strings.Join(tables, "")+"[[recipient]]\nname = \"P\"\npassphrase = true\n[[holder]]")
	p, err := ParsePlan([]byte(text), "p")
	if err != nil {
		t.Fatal(err)
	}
	var kindsOf []string
	for _, b := range p.AgreedBackup().Recipients {
		kindsOf = append(kindsOf, b.ID+" "+b.OpensBy())
	}
	if got := strings.Join(kindsOf, ", "); got != "bank-safe age1, pq age1pq1, plugin age-plugin-yubikey, ssh ssh-ed25519, token age1tag1, p passphrase" {
		t.Errorf("%s", got)
	}
	if b := p.AgreedBackup(); b.Holders || b.Quorum != 3 || b.Recipients[3].Age != otherSafe {
		t.Errorf("%+v", b)
	}
}

// wantFaults compares a *Error with its lines, in any order.
func wantFaults(t testing.TB, err error, file, want string) {
	t.Helper()
	if pe := new(Error); !errors.As(err, &pe) {
		t.Fatalf("no *PlanError: %v", err)
	}
	got := strings.Split(err.Error(), "\n")
	var lines []string
	for line := range strings.SplitSeq(want, "\n") {
		lines = append(lines, file+":"+line)
	}
	slices.Sort(lines)
	if sorted := slices.Sorted(slices.Values(got)); !slices.Equal(sorted, lines) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(sorted, "\n"), strings.Join(lines, "\n"))
	}
}

func TestPlanFaultsComeTogetherInOrder(t *testing.T) {
	dir := planFolder(t,
		"threshold = 3", "threshold = 9",
		`"365d"`, `"tomorrow"`,
		"C-03", "A-01",
		"keys/snapshot.pub", "keys/none.pub",
	)
	_, err := Read(filepath.Join(dir, "plan.toml"))
	file := filepath.Join(dir, "plan.toml")
	want := fmt.Sprintf(`%[1]s:7:13: threshold 9 is more than there are holders (5)
%[1]s:8:11: expires "tomorrow" is not a time (hint: write "2027-11-22T00:00:00Z", or "365d" for days from the day of the ceremony)
%[1]s:33:9: token "A-01" is the sticker of "Alice Costa" already (hint: a sticker of its own for each token)
%[1]s:59:9: key file "keys/none.pub": no such file (hint: put it there; the name counts from the plan's folder)`, file)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestManyFaultsAreCounted(t *testing.T) {
	_, err := ParsePlan([]byte(strings.Repeat("[[holder]]\n", 200)), "p")
	lines := strings.Split(fmt.Sprint(err), "\n")
	pe := err.(*Error)
	if last := fmt.Sprintf("p: and %d more", len(pe.Faults)-shownFaults); len(lines) != shownFaults+1 || lines[shownFaults] != last {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

// worked is the processors' time that this process has used: what else runs on
// the machine does not count.
func worked(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func TestHostilePlansEnd(t *testing.T) {
	const n = maxPlan/2 - 10
	for name, text := range map[string]string{
		"dotted key":    strings.Repeat("a.", n) + "a = 1",
		"dotted table":  "[" + strings.Repeat("a.", n) + "a]",
		"nested lists":  "a = " + strings.Repeat("[", n) + strings.Repeat("]", n),
		"nested tables": "a = " + strings.Repeat("{a=", n/2) + "1" + strings.Repeat("}", n/2),
		"many keys":     func() string { return strings.Repeat("[[holder]]\nx=1\n", n/9) }(),
		"one long key":  strings.Repeat("a", n) + " = 1",
	} {
		start := worked(t)
		_, err := ParsePlan([]byte(text), "p")
		if pe := new(Error); !errors.As(err, &pe) {
			t.Errorf("%s: %v", name, err)
		}
		// Far more than it takes, far less than when every part was noted.
		if took := worked(t) - start; took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestBadKeyFiles(t *testing.T) {
	_, edPrivate, _ := ed25519.GenerateKey(nil)
	rsaPrivate, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	private, _ := x509.MarshalPKCS8PrivateKey(edPrivate)
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	public := func(k any) []byte {
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return block("PUBLIC KEY", der)
	}
	good := public(edPrivate.Public())
	hexKey := fmt.Sprintf("%x", []byte(edPrivate.Public().(ed25519.PublicKey)))

	for _, c := range []struct {
		name string
		make func(file string) error
		want string // what the fault of keys/targets.pub holds
	}{
		{"missing", os.Remove, "no such file (hint: put it there; the name counts from the plan's folder)"},
		{"a folder", func(f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o700)) }, "not a plain file"},
		{"a pipe", func(f string) error { return errors.Join(os.Remove(f), syscall.Mkfifo(f, 0o600)) }, "not a plain file"},
		{"a link out of the folder", func(f string) error {
			outside := filepath.Join(t.TempDir(), "k.pub")
			return errors.Join(os.WriteFile(outside, good, 0o600), os.Remove(f), os.Symlink(outside, f))
		}, "is or passes a link that leads out of the plan's folder"},
		{"private", func(f string) error { return os.WriteFile(f, block("PRIVATE KEY", private), 0o600) }, "private key"},
		{"RSA", func(f string) error { return os.WriteFile(f, public(rsaPrivate.Public()), 0o600) }, "ed25519, or ECDSA on P-256 or P-384"},
		{"P-521", func(f string) error { return os.WriteFile(f, public(p521.Public()), 0o600) }, "ed25519, or ECDSA on P-256 or P-384"},
		{"empty", func(f string) error { return os.WriteFile(f, nil, 0o600) }, "empty"},
		{"text", func(f string) error { return os.WriteFile(f, []byte("hello"), 0o600) }, "no public key"},
		{"an SSH key", func(f string) error { return os.WriteFile(f, []byte("ssh-ed25519 AAAA"), 0o600) }, "SSH public key (hint:"},
		{"huge", func(f string) error { return os.WriteFile(f, bytes.Repeat([]byte("a"), maxKeyFile+1), 0o600) }, "more than 65536 bytes"},
		{"a key object in another notation", func(f string) error {
			return os.WriteFile(f, []byte(`{"keytype":"ed25519","scheme":"ed25519","keyid_hash_algorithms":["sha256"],"keyval":{"public":"`+hexKey+`"}}`), 0o600)
		}, "fields or a notation that new roots do not take"},
		{"a key on P-384", func(f string) error {
			spki, err := newP384(t).SPKI()
			if err != nil {
				return err
			}
			return os.WriteFile(f, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 0o600)
		}, "tuf-js (3.1.0) and go-tuf 0.7 refuse whatever it signs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := planFolder(t)
			if err := c.make(filepath.Join(dir, "keys/targets.pub")); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "plan.toml")
			_, err := Read(file)
			pe := new(Error)
			if !errors.As(err, &pe) || len(pe.Faults) != 1 {
				t.Fatalf("no single fault: %v", err)
			}
			f := pe.Faults[0]
			if f.Line != 63 || f.Column != 9 || !strings.HasPrefix(f.Text, `key file "keys/targets.pub": `) && !strings.HasPrefix(f.Text, "key 1: ") || !strings.Contains(f.Text, c.want) || strings.Contains(f.Text, "\n") {
				t.Errorf("got %d:%d: %s", f.Line, f.Column, f.Text)
			}
		})
	}
}

// newP384 is a new key on P-384.
func newP384(t *testing.T) keys.PublicKey {
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.FromCrypto(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestKeyFileNotations(t *testing.T) {
	dir := planFolder(t, `["keys/snapshot.pub"]`, `["keys/hex.pub", "keys/timestamp.pub"]`, `["keys/targets.pub"]`, `["keys/object.pub", "keys/link.pub"]`)
	public := agreed.Placeholder(keys.Ed25519, "x")
	object := fmt.Sprintf("{ \"scheme\": \"ed25519\", \"keytype\": \"ed25519\",\n \"keyval\": {\"public\": %q}}\n", public.Hex)
	for name, text := range map[string]string{"hex": public.Hex + "\n", "object": object} {
		if err := os.WriteFile(filepath.Join(dir, "keys", name+".pub"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("timestamp.pub", filepath.Join(dir, "keys/link.pub")); err != nil {
		t.Fatal(err)
	}
	p, err := Read(filepath.Join(dir, "plan.toml"))
	if err != nil {
		t.Fatal(err)
	}
	// The same key may serve several roles, and counts as one key.
	r, err := p.Resolve(planNow)
	if err != nil {
		t.Fatal(err)
	}
	if r.Roles["snapshot"].Keys[0] != r.Roles["targets"].Keys[0] || r.Roles["targets"].Keys[1] != r.Roles["timestamp"].Keys[0] {
		t.Error("one key in two notations is two keys")
	}
	if again, err := agreed.Parse(r.JSON(), r.PrivateJSON()); err != nil || !bytes.Equal(again.JSON(), r.JSON()) {
		t.Errorf("round trip: %v", err)
	}
}

func TestOneKeyTwiceInARole(t *testing.T) {
	dir := planFolder(t, `["keys/snapshot.pub"]`, `["keys/snapshot.pub", "keys/copy.pub"]`)
	data, _ := os.ReadFile(filepath.Join(dir, "keys/snapshot.pub"))
	if err := os.WriteFile(filepath.Join(dir, "keys/copy.pub"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "plan.toml")
	_, err := Read(file)
	wantFaults(t, err, file, `59:30: key file "keys/copy.pub" holds the same key as "keys/snapshot.pub": one key cannot count twice in role snapshot`)
}

func TestPlanFileItself(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.toml")
	if err := os.WriteFile(big, append([]byte(onTokenPlan), bytes.Repeat([]byte("#"), maxPlan)...), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe.toml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		big:                          "more than 262144 bytes",
		dir:                          "not a plain file",
		pipe:                         "not a plain file",
		filepath.Join(dir, "a.b"):    "no such file",
		filepath.Join(big, "p.toml"): "not a directory",
	} {
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	f.Add([]byte(onTokenPlan))
	f.Add([]byte(backedUpText(f)))
	for _, c := range badBackups {
		f.Add([]byte(backedUpText(f, c.changes...)))
	}
	for _, c := range badPlans {
		f.Add([]byte(changed(f, onTokenPlan, c.changes...)))
	}
	for _, c := range badTargets {
		f.Add([]byte(changed(f, onTokenPlan, append(slices.Clone(targetsChanges), c.changes...)...)))
	}
	f.Add([]byte(changed(f, onTokenPlan, append(slices.Clone(targetsChanges), `expires = "90d"`, "expires = \"90d\"\nfile = \"targets.json\"")...)))
	f.Add([]byte("a.b.c = 1\n[[x.y]]\n[x.y.z]\n[[x.y]]\nq = [[1, {a = 2}], {}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePlan(data, "p")
		if err != nil {
			pe := new(Error)
			if errors.As(err, &pe) {
				lines := bytes.Count(data, []byte("\n")) + 1
				for _, fault := range pe.Faults {
					if fault.Line < 1 || fault.Line > lines || fault.Column < 1 || strings.ContainsFunc(fault.Text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
						t.Errorf("%d:%d: %q", fault.Line, fault.Column, fault.Text)
					}
				}
			}
			return
		}
		// What is accepted can be shown, put into file names and agreed.
		for _, h := range p.Holders {
			if agreed.CheckID(h.ID) != nil || agreed.CheckName(h.Name) != nil {
				t.Errorf("holder %q with id %q", h.Name, h.ID)
			}
		}
		for name, role := range p.Roles {
			for i := range role.Files {
				role.Keys = append(role.Keys, agreed.MustKey(agreed.Placeholder(keys.Ed25519, fmt.Sprint(name, i))))
			}
			p.Roles[name] = role
		}
		for n := range p.Delegations {
			d := &p.Delegations[n]
			for i := range d.Files {
				d.Keys = append(d.Keys, agreed.MustKey(agreed.Placeholder(keys.Ed25519, fmt.Sprint("delegation ", i))))
			}
		}
		if p.Targets != nil && p.Targets.File != "" {
			file := targetsFile(t, 7, "dev")
			f, err := tuf.ParseTargets(file)
			if err != nil {
				t.Fatal(err)
			}
			p.carries, p.Carried = agreed.Carries(file, f, nil, p.Delegations == nil), f
		}
		r, err := p.ResolveAnySize(planNow)
		if pe := new(Error); errors.As(err, &pe) {
			if !strings.Contains(err.Error(), ": expires ") {
				t.Errorf("accepted, but not resolved: %v", err)
			}
			return // an expiry that is past
		}
		if err != nil {
			t.Fatalf("accepted, but not resolved: %v", err)
		}
		if _, err := agreed.Parse(r.JSON(), r.PrivateJSON()); err != nil {
			t.Errorf("resolved, but not read again: %v", err)
		}
	})
}
