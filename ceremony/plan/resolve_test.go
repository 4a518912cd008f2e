package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

func TestResolve(t *testing.T) {
	dir := planFolder(t)
	p, err := Read(filepath.Join(dir, "plan.toml"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(planNow.Add(300 * time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if later, err := p.Resolve(planNow.Add(14 * time.Hour)); err != nil || later.Digest() != r.Digest() {
		t.Errorf("the digest changes in the course of a day (%v)", err)
	}
	sum := sha256.Sum256([]byte(onTokenPlan))
	if r.PlanSHA256 != hex.EncodeToString(sum[:]) || r.Version != 1 || r.Threshold != 3 || len(r.Holders) != 5 {
		t.Errorf("%+v", r)
	}
	if want := time.Date(2027, 11, 23, 0, 0, 0, 0, time.UTC); r.Expires != want {
		t.Errorf("expires %s, want %s", r.Expires, want)
	}
	again, err := agreed.Parse(r.JSON(), r.PrivateJSON())
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("%v:\n%+v\n%+v", err, again, r)
	}
	sum = sha256.Sum256(r.JSON())
	if r.Digest() != hex.EncodeToString(sum[:]) {
		t.Error("the digest is not that of the bytes")
	}
	// The key files were read with the plan: what lies there later is not.
	r.Roles["targets"].Keys[0] = agreed.MustKey(agreed.Placeholder(keys.Ed25519, "other"))
	if p.Roles["targets"].Keys[0] == r.Roles["targets"].Keys[0] {
		t.Error("the agreed plan shares its keys with the plan")
	}
}

// People compare plan.resolved.json with what they know: names stand in it as
// they are written.
func TestResolvedIsReadable(t *testing.T) {
	r := resolvedExample(t, "Example packages", "Bolts & <Nuts>", `name = "Chen Wei"`, "name = \"陈伟\"\nid = \"chen\"")
	for _, want := range []string{`"name": "Bolts & <Nuts>"`, `"name": "陈伟"`} {
		if !strings.Contains(string(r.JSON()), want) {
			t.Errorf("no %s in\n%s", want, r.JSON())
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes []string
		want    string
	}{
		{"past", []string{`"365d"`, `"2026-11-22T08:59:59Z"`}, "8:11: expires 2026-11-22T08:59:59Z is in the past: it is 2026-11-22T09:00:00Z now by this computer's clock"},
		{"now", []string{`"365d"`, `"2026-11-22T09:00:00Z"`}, "8:11: expires 2026-11-22T09:00:00Z is in the past: it is 2026-11-22T09:00:00Z now by this computer's clock"},
		{"too far", []string{`"365d"`, `"2226-11-22T09:00:00Z"`}, "8:11: expires 2226-11-22T09:00:00Z is more than 3650 days ahead (hint: a year is usual)"},
		{"too large", []string{"[[person]]", eightHolders}, `55:3: the root would have 3161 bytes: over the 3000 that an ed25519 token signs (hint: one online key for timestamp and snapshot saves 195 bytes; or with these online keys 7 holders fit; or algorithm = "ecdsa-p256": such tokens sign a digest, whatever the size)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(planFolder(t, c.changes...), "plan.toml")
			p, err := Read(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Resolve(planNow)
			wantFaults(t, err, file, c.want)
			if err := p.Err(); err != nil {
				t.Errorf("the plan itself is now wrong: %v", err)
			}
		})
	}
}

// eightHolders makes the five of the example eight. The eighth, in line 55, is
// the one too many.
const eightHolders = `[[holder]]
name = "Farah Aziz"
token = "F-06"
[[holder]]
name = "Gustav Holm"
token = "G-07"
[[holder]]
name = "Hana Sato"
token = "H-08"
[[person]]`

func TestParseResolvedIsStrict(t *testing.T) {
	plan := resolvedExample(t)
	good, private := string(plan.JSON()), plan.PrivateJSON()
	if _, err := agreed.Parse([]byte(good), private); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"format", `"format": 2`, `"format": 1`, "format 1, but this version reads 2"},
		{"a newer format", `"format": 2`, `"format": 3`, "format 3, but this version reads 2"},
		{"no newline", "  }\n}\n", "  }\n}", "not as it was written"},
		{"spaces", `"version": 1`, `"version":  1`, "not as it was written"},
		{"unknown field", `"version": 1`, `"extra": 1, "version": 1`, "not as it was written"},
		{"case", `"version"`, `"Version"`, "not as it was written"},
		{"twice", `"version": 1,`, `"version": 1,` + "\n  " + `"version": 1,`, "not as it was written"},
		{"trailing", "  }\n}\n", "  }\n}\n{}", "after top-level value"},
		{"kind", `"create"`, `"rotate"`, "trusted: trusted is missing"},
		{"version", `"version": 1`, `"version": 2`, "version: version 2: create makes version 1"},
		{"threshold", `"threshold": 3`, `"threshold": 0`, "root.threshold: threshold 0: at least 1 holder must sign"},
		{"threshold above", `"threshold": 3`, `"threshold": 6`, "root.threshold: threshold 6 is more than there are holders (5)"},
		{"name", "Example packages", `Ex\u001b[m`, "cannot be printed"},
		{"id", `"alice"`, `"../alice"`, "is not 1 to 32 of"},
		{"id twice", `"alice"`, `"bruno"`, `holder[1].id: holder "Bruno Ferraz" has the same id "bruno" as "Alice Costa"`},
		{"name twice", "Alice Costa", "Bruno Ferraz", `holder[1].name: holder "Bruno Ferraz" is there twice`},
		{"sticker twice", "A-01", "B-02", `holder[1].token: token "B-02" is the sticker of "Alice Costa" already`},
		{"custody", `"on-token"`, `"cloud"`, `custody "cloud"`},
		{"role", `"witness"`, `"boss"`, "none of administrator"},
		{"touch", `"always"`, `"never"`, `token.touch: touch "never" is none of always, cached`},
		{"firmware", `"5.7.0"`, `"5.4.0"`, "token.min_firmware: min_firmware 5.4.0 is too old: ed25519 keys need 5.7.0"},
		{"fraction", "T00:00:00Z", "T00:00:00.5Z", "whole seconds"},
		{"offset", "T00:00:00Z", "T00:00:00+01:00", "in UTC"},
		{"another private part", `"private": "`, `"private": "00`, "private is not 64 digits"},
		{"no private part", `"private"`, `"Private"`, "not as it was written"},
		{"null holders", `"holders": [`, `"holders": null, "x": [`, "holder: there are no holders"},
		{"null persons", `"persons": [`, `"persons": null, "x": [`, "persons is no list"},
		{"null key", `"keys": [`, `"keys": [ null,`, ""},
		{"role name", `"snapshot"`, `"mirrors"`, `a role "mirrors"`},
		{"not JSON", "{", "[", "invalid character"},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%s: nothing changed", c.name)
		}
		for _, private := range [][]byte{private, nil} {
			if r, err := agreed.Parse([]byte(bad), private); err == nil || !strings.Contains(err.Error(), c.want) || r != nil {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		}
	}
}

// resealed has the public plan name another private part.
func resealed(t testing.TB, public, private string) string {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(private)); err != nil {
		return public // and is no private part
	}
	var has struct{ Salt string }
	if err := json.Unmarshal([]byte(private), &has); err != nil {
		return public
	}
	salt, _ := hex.DecodeString(has.Salt)
	unsalted := strings.Replace(compact.String(), fmt.Sprintf(`"salt":%q,`, has.Salt), "", 1)
	at := strings.Index(public, `"private": "`) + len(`"private": "`)
	return public[:at] + agreed.DigestOf(append(salt, unsalted...)) + public[at+64:]
}

func TestParsePrivateIsStrict(t *testing.T) {
	plan := resolvedBackedUp(t)
	public, good := string(plan.JSON()), string(plan.PrivateJSON())
	if resealed(t, public, good) != public {
		t.Fatalf("the plan names another private part than\n%s", good)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"no newline", "}\n", "}", ""},
		{"sum", `"plan_sha256": "`, `"plan_sha256": "00`, "plan_sha256 is not a SHA-256"},
		{"no sum", `"plan_sha256"`, `"plan"`, "plan_sha256 is not a SHA-256"},
		{"short salt", `"salt": "5a`, `"salt": "`, "its salt is not 64 digits"},
		{"no salt", `"salt"`, `"pepper"`, "its salt is not 64 digits"},
		{"salt in capitals", `"salt": "5a`, `"salt": "5A`, "its salt is not 64 digits"},
		{"another order", "\"sites\": [\n    {\n      \"holder\": \"alice\",\n      \"site\": \"Lisbon\"\n    },", "\"sites\": [", ""},
		{"a site of nobody", `"holder": "alice"`, `"holder": "mallory"`, "not as it was written"},
		{"a site twice", `"holder": "bruno"`, `"holder": "alice"`, "not as it was written"},
		{"no sites", `"sites": [`, `"sites": null, "x": [`, "not as it was written"},
		{"a site that prints nothing", "Lisbon", `L\u001b[m`, "cannot be printed"},
		{"no backup", `"backup": {`, `"x": {`, "backup: recipients is no list"},
		{"backups that are none of the plan's", `"backup": {`, `"backup": null, "x": {`, "backup: recipients is no list"},
		{"earlier ones", `"sites"`, `"earlier": [[]], "sites"`, "backups of 1 earlier ceremonies, and the plan names 0"},
		{"unknown member", `"sites"`, `"extra": 1, "sites"`, "not as it was written"},
		{"case", `"sites"`, `"Sites"`, "not as it was written"},
		{"spaces", `"salt": `, `"salt":  `, "not as it was written"},
		{"not JSON", "{", "[", "invalid character"},
	} {
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%s: nothing changed", c.name)
		}
		if r, err := agreed.Parse([]byte(resealed(t, public, bad)), []byte(bad)); c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || r != nil) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if r, err := agreed.Parse([]byte(public), []byte(bad)); err == nil || r != nil {
			t.Errorf("%s: taken for the private part that the plan names", c.name)
		}
	}
	other := resolvedBackedUp(t, "Zurich", "Geneva")
	if _, err := agreed.Parse([]byte(public), other.PrivateJSON()); err == nil || !strings.Contains(err.Error(), "belongs to another plan") {
		t.Errorf("the private part of another plan: %v", err)
	}
}

// The public plan says nothing of what is private, and is read without it.
func TestPublicPlan(t *testing.T) {
	plan := resolvedBackedUp(t)
	public := string(plan.JSON())
	for _, secret := range []string{"Lisbon", "Singapore", "Lagos", "Zurich", "Bank safe", "bank-safe", safeAge, plan.PlanSHA256, plan.Salt, "holders\": true"} {
		if strings.Contains(public, secret) {
			t.Errorf("%q is public:\n%s", secret, public)
		}
	}
	r, err := agreed.Parse([]byte(public), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Unseen || string(r.JSON()) != public || r.Digest() != plan.Digest() || r.PrivateJSON() != nil || r.PrivatePart() != nil {
		t.Errorf("%+v", r)
	}
	c := agreed.Check(r, planNow)
	if text := strings.Join(c.Lines(), "\n"); !strings.Contains(text, "stand in the private part of the plan, which isn't here") || strings.Contains(text, "no site") || c.Digest != plan.Digest() {
		t.Errorf("%s", text)
	}
	seen, err := agreed.Parse([]byte(public), plan.PrivateJSON())
	if err != nil || !reflect.DeepEqual(seen, plan) {
		t.Errorf("%v:\n%+v\n%+v", err, seen, plan)
	}
}

// The digest follows from plan.toml alone where that has a salt and a date.
func TestDigestStays(t *testing.T) {
	dated := []string{`"365d"`, `"2027-11-22T00:00:00Z"`}
	unsalted := []string{`salt = "` + strings.Repeat("5a", 32) + `"`, ""}
	for _, c := range []struct {
		changes []string
		stays   bool   // from one reading to the next
		changed string // what is said
	}{
		{dated, true, ""},
		{nil, true, `this digest changes with each day, as expires counts from the day (hint: to announce it before the day, write expires = "2027-11-23T00:00:00Z")`},
		{append(dated, unsalted...), false, `this digest changes with each reading, as the plan has no salt (hint: to announce it before the day, write the line salt = "SALT" at the top)`},
		{unsalted, false, `this digest changes with each reading, as the plan has no salt and expires counts from the day (hint: to announce it before the day, write the line salt = "SALT" at the top, and expires = "2027-11-23T00:00:00Z")`},
	} {
		p, err := Read(filepath.Join(planFolder(t, c.changes...), "plan.toml"))
		if err != nil {
			t.Fatal(err)
		}
		first, err := p.Check(planNow)
		if err != nil {
			t.Fatal(err)
		}
		second, err := p.Check(planNow)
		if err != nil || (first.Digest == second.Digest) != c.stays {
			t.Errorf("%v: %s and %s (%v)", c.changes, first.Digest, second.Digest, err)
		}
		var has struct{ Salt string }
		r, err := p.Resolve(planNow)
		if err == nil {
			err = json.Unmarshal(r.PrivateJSON(), &has)
		}
		if err != nil || agreed.CheckSalt(has.Salt) != nil || (has.Salt == strings.Repeat("5a", 32)) != c.stays {
			t.Errorf("%v: salt %q (%v)", c.changes, has.Salt, err)
		}
		said := regexp.MustCompile(`salt = "[0-9a-f]{64}"`).ReplaceAllString(first.Changes, `salt = "SALT"`)
		if said != c.changed {
			t.Errorf("%q, want %q", said, c.changed)
		}
		if text := strings.Join(first.Lines(), "\n"); c.changed != "" && !strings.Contains(text, agreed.Grouped(first.Digest)+"\n  "+first.Changes+"\n") {
			t.Errorf("%s", text)
		}
	}
}

func TestParseResolvedBackupIsStrict(t *testing.T) {
	plan := resolvedBackedUp(t, `"Bank safe"]`, `"Bank safe", "Vault"]`, "[[holder]]", "[[recipient]]\nname = \"Vault\"\npassphrase = true\n[[holder]]")
	good, private := string(plan.JSON()), string(plan.PrivateJSON())
	again, err := agreed.Parse([]byte(good), []byte(private))
	if err != nil || !reflect.DeepEqual(plan, again) {
		t.Fatalf("%v\n%s", err, good)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"quorum 0", `"quorum": 3`, `"quorum": 0`, "quorum 0: at least 1 recipient"},
		{"quorum below zero", `"quorum": 3`, `"quorum": -1`, "quorum -1: at least 1 recipient"},
		{"quorum below the threshold", `"quorum": 3`, `"quorum": 2`, "the backup quorum (2) is below the threshold (3)"},
		{"quorum above", `"quorum": 3`, `"quorum": 7`, "quorum 7 is more than the recipients of a holder's backup, 6"},
		{"no holders", `"holders": true`, `"holders": false`, "quorum 3 is more than there are recipients, 2"},
		{"null", `"backup": {`, `"backup": null, "x": {`, `holder[0].custody: custody "backed-up" needs backups`},
		{"no backups", `"backup": {`, `"x": {`, `holder[0].custody: custody "backed-up" needs backups`},
		{"null recipients", `"recipients": [`, `"recipients": null, "x": [`, "recipients is no list"},
		{"name", "Bank safe", `Bank\u001b[m`, "cannot be printed"},
		{"site", "Zurich", `Z\u001b[m`, "cannot be printed"},
		{"id", `"bank-safe"`, `"../safe"`, "is not 1 to 32 of"},
		{"id of a holder", `"bank-safe"`, `"alice"`, `recipient[0].id: recipient "Bank safe" has the same id "alice" as holder "Alice Costa"`},
		{"id twice", `"bank-safe"`, `"vault"`, `recipient[1].id: recipient "Vault" has the same id "vault" as recipient "Bank safe"`},
		{"name of a holder", `"Bank safe"`, `"Chen wei"`, `recipient[0].name: recipient "Chen wei" is a holder`},
		{"name twice", `"Bank safe"`, `"Vault"`, `recipient[1].name: recipient "Vault" is there twice`},
		{"name of all", `"Bank safe"`, `"Holders"`, `recipient[0].name: recipient "Holders" would mean the holders`},
		{"no recipient", safeAge, "age1", "no whole age recipient"},
		{"another notation", safeAge, otherSafe + " x", `recipient[0].age: the age recipient of "Bank safe" is not as it was written`},
		{"an identity", safeAge, "AGE-SECRET-KEY-1QQ", "is an identity, which is secret"},
		{"passphrase by age", safeAge, "passphrase", "has the word passphrase"},
		{"both", `"passphrase": true`, `"age": "` + pointAge + `", "passphrase": true`, `recipient[1]: recipient "Vault" needs either age = "age1..." or passphrase = true`},
		{"neither", `"passphrase": true`, `"passphrase": false`, `recipient[1]: recipient "Vault" needs either age = "age1..." or passphrase = true`},
		{"same key", `"passphrase": true`, `"age": "` + safeAge + `"`, `recipient[1].age: recipient "Vault" is the same as "Bank safe"`},
		{"case", `"quorum"`, `"Quorum"`, "not as it was written"},
		{"unknown field", `"quorum"`, `"extra": 1, "quorum"`, "not as it was written"},
		{"a key id", `"custody": "backed-up"`, `"custody": "backed-up", "keyid": "ab"`, "custody"},
		{"a spare of nothing", `"custody": "backed-up"`, `"custody": "on-token", "spare": true`, "custody"},
	} {
		bad, kept := strings.Replace(good, c.old, c.new, 1), private
		if bad == good {
			if kept = strings.Replace(private, c.old, c.new, 1); kept == private {
				t.Errorf("%s: nothing changed", c.name)
			}
			bad = resealed(t, good, kept)
		}
		r, err := agreed.Parse([]byte(bad), []byte(kept))
		if err == nil || !strings.Contains(err.Error(), c.want) || r != nil {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "KEY-1QQ") {
			t.Errorf("%s: shown: %v", c.name, err)
		}
	}
}

// A hostile list of recipients ends soon.
func TestManyRecipientsEnd(t *testing.T) {
	r := resolvedBackedUp(t)
	for i := range 5000 {
		r.Backup.Recipients = append(r.Backup.Recipients, agreed.BackupRecipient{Name: fmt.Sprint("R", i), ID: fmt.Sprint("r", i), Passphrase: true})
	}
	for _, quorum := range []int{3, 2500, 5000, 5005} {
		r.Backup.Quorum = quorum
		start := time.Now()
		if _, err := agreed.Parse(r.JSON(), r.PrivateJSON()); err == nil {
			t.Errorf("quorum %d was taken", quorum)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("quorum %d took %v", quorum, took)
		}
	}
}

// Whatever is read is written as it was.
func TestParseResolvedFlippedBits(t *testing.T) {
	for _, plan := range []*agreed.Plan{resolvedExample(t), resolvedBackedUp(t)} {
		good, private := plan.JSON(), plan.PrivateJSON()
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			for _, private := range [][]byte{private, nil} {
				if r, err := agreed.Parse(bad, private); err == nil && !bytes.Equal(r.JSON(), bad) {
					t.Errorf("byte %d (%q): read, but written another way", i, bad[i])
				}
			}
		}
		for i := range private {
			bad := bytes.Clone(private)
			bad[i] ^= 1 << (i % 8)
			if _, err := agreed.Parse(good, bad); err == nil {
				t.Errorf("byte %d (%q) of the private part: read", i, bad[i])
			}
			sealed := []byte(resealed(t, string(good), string(bad)))
			if r, err := agreed.Parse(sealed, bad); err == nil && (!bytes.Equal(r.JSON(), sealed) || !bytes.Equal(r.PrivateJSON(), bad)) {
				t.Errorf("byte %d (%q) of the private part: read, but written another way", i, bad[i])
			}
		}
	}
}

func drawResolved(t *rapid.T) *agreed.Plan {
	text := rapid.StringMatching(`[A-Za-z<>&"\\éА陈][A-Za-z <>&"\\é]{0,20}[A-Za-z]`)
	n := rapid.IntRange(1, 7).Draw(t, "holders")
	algorithm := rapid.SampledFrom([]keys.Algorithm{keys.Ed25519, keys.P256}).Draw(t, "algorithm")
	r := &agreed.Plan{
		Format:             agreed.ResolvedFormat,
		Rehearsal:          rapid.Bool().Draw(t, "rehearsal"),
		PlanSHA256:         strings.Repeat("ab", 32),
		Salt:               strings.Repeat("cd", 32),
		Kind:               agreed.Create,
		Name:               text.Draw(t, "name"),
		Version:            1,
		Threshold:          rapid.IntRange(1, n).Draw(t, "threshold"),
		Expires:            time.Unix(rapid.Int64Range(1.8e9, 2.2e9).Draw(t, "expires"), 0).UTC(),
		ConsistentSnapshot: rapid.Bool().Draw(t, "snapshots"),
		Token:              agreed.TokenPolicy{Algorithm: algorithm, Touch: keys.TouchCached, MinFirmware: agreed.Firmware[algorithm].String()},
		Persons:            []agreed.Person{},
		Roles:              map[string]agreed.Role{},
	}
	for i := range n {
		h := agreed.Holder{ID: fmt.Sprint("h-", i), Name: fmt.Sprint(text.Draw(t, "holder"), " ", i), Token: fmt.Sprint("T", i), Custody: agreed.OnToken}
		if rapid.Bool().Draw(t, "sited") {
			h.Site = text.Draw(t, "site")
		}
		r.Holders = append(r.Holders, h)
	}
	if rapid.Bool().Draw(t, "backups") {
		drawBackup(t, r)
	}
	for _, role := range agreed.OnlineRoles {
		var rr agreed.Role
		for i := range rapid.IntRange(1, 3).Draw(t, "keys") {
			kind := rapid.SampledFrom([]keys.Algorithm{keys.Ed25519, keys.P256}).Draw(t, "kind")
			rr.Keys = append(rr.Keys, agreed.MustKey(agreed.Placeholder(kind, fmt.Sprint(role, i))))
		}
		rr.Threshold = rapid.IntRange(1, len(rr.Keys)).Draw(t, "role threshold")
		r.Roles[role] = rr
	}
	return r
}

// drawBackup gives a plan backups that can be.
func drawBackup(t *rapid.T, r *agreed.Plan) {
	r.Backup = &agreed.Backup{Holders: rapid.Bool().Draw(t, "holders are recipients"), Recipients: []agreed.BackupRecipient{}}
	kinds := []string{safeAge, otherSafe, pointAge, pluginAge, ""}
	for i := range rapid.IntRange(0, len(kinds)).Draw(t, "recipients") {
		r.Backup.Recipients = append(r.Backup.Recipients, agreed.BackupRecipient{Name: fmt.Sprint("Safe ", i), ID: fmt.Sprint("s-", i), Age: kinds[i], Passphrase: kinds[i] == ""})
	}
	var fit []int
	for r.Backup.Quorum = 1; r.Backup.Quorum <= r.Openers(); r.Backup.Quorum++ {
		if r.CheckQuorum() == nil {
			fit = append(fit, r.Backup.Quorum)
		}
	}
	if len(fit) == 0 {
		r.Backup = nil
		return
	}
	r.Backup.Quorum = rapid.SampledFrom(fit).Draw(t, "quorum")
	for i := range r.Holders {
		if rapid.Bool().Draw(t, "backed-up") {
			r.Holders[i].Custody = agreed.BackedUp
			r.Holders[i].Spare = rapid.Bool().Draw(t, "spare")
		}
	}
}

func TestResolvedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawResolved(t)
		again, err := agreed.Parse(r.JSON(), r.PrivateJSON())
		if err != nil {
			t.Fatalf("%v\n%s", err, r.JSON())
		}
		if !reflect.DeepEqual(r, again) || !bytes.Equal(r.JSON(), again.JSON()) || r.Digest() != again.Digest() {
			t.Fatalf("not the same:\n%s\n%s", r.JSON(), again.JSON())
		}
	})
}

func holderKeys(r *agreed.Plan) map[string]keys.PublicKey {
	root := map[string]keys.PublicKey{}
	for _, h := range r.Holders {
		root[h.ID] = agreed.Placeholder(r.Token.Algorithm, "key of "+h.ID)
	}
	return root
}

func TestDraft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawResolved(t)
		expires := r.Expires
		if r.Rehearsal {
			expires = planNow.Add(24 * time.Hour)
		}
		if r.Budget().Refused {
			t.Skip("too large")
		}
		root, err := r.Draft(holderKeys(r), expires)
		if err != nil {
			t.Fatal(err)
		}
		if err := root.Check(); err != nil {
			t.Error(err)
		}
		if root.Rehearsal() != r.Rehearsal || !root.Expires.Equal(expires) || root.Version != 1 || root.ConsistentSnapshot != r.ConsistentSnapshot {
			t.Errorf("%+v", root)
		}
		if got, want := len(root.Canonical()), r.Budget().Bytes; got != want {
			t.Errorf("%d bytes, but the budget said %d", got, want)
		}
		names := r.Names(holderKeys(r))
		role := root.Roles[tuf.RoleRoot]
		if role.Threshold != r.Threshold || len(role.KeyIDs) != len(r.Holders) {
			t.Errorf("root role %+v", role)
		}
		for i, id := range role.KeyIDs {
			if names[id] != r.Holders[i].Name {
				t.Errorf("key %s belongs to %q, not %q", id, names[id], r.Holders[i].Name)
			}
		}
		for _, name := range agreed.OnlineRoles {
			if root.Roles[name].Threshold != r.Roles[name].Threshold || len(root.Roles[name].KeyIDs) != len(r.Roles[name].Keys) {
				t.Errorf("role %s: %+v", name, root.Roles[name])
			}
		}
	})
}

func TestDraftRefuses(t *testing.T) {
	r := resolvedExample(t)
	for _, c := range []struct {
		name   string
		change func(root map[string]keys.PublicKey)
		want   string
	}{
		{"a missing key", func(root map[string]keys.PublicKey) { delete(root, "chen") }, "draft: the key of Chen Wei is missing"},
		{"a stranger", func(root map[string]keys.PublicKey) { root["mallory"] = root["chen"] }, `draft: a key of "mallory", who is no holder of this plan`},
		{"one key for two", func(root map[string]keys.PublicKey) { root["dana"] = root["chen"] }, "draft: the key of Dana Okafor is also that of Chen Wei"},
		{"an online key", func(root map[string]keys.PublicKey) { root["dana"] = r.Roles["snapshot"].Keys[0].Public }, "draft: the key of Dana Okafor is also that of role snapshot"},
		{"another algorithm", func(root map[string]keys.PublicKey) { root["dana"] = agreed.Placeholder(keys.P256, "x") }, "draft: the key of Dana Okafor is ecdsa-p256, but the plan says ed25519"},
		{"no key", func(root map[string]keys.PublicKey) {
			root["dana"] = keys.PublicKey{Algorithm: keys.Ed25519, Hex: "00"}
		}, "draft: the key of Dana Okafor: ed25519 key of 1 bytes"},
	} {
		root := holderKeys(r)
		c.change(root)
		if _, err := r.Draft(root, r.Expires); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := r.Draft(holderKeys(r), r.Expires.Add(time.Second)); err == nil || !strings.Contains(err.Error(), "is not what the plan says") {
		t.Errorf("another expiry: %v", err)
	}
}

func TestRoleKeysMayServeSeveralRoles(t *testing.T) {
	r := resolvedExample(t, "keys/snapshot.pub", "keys/timestamp.pub", "keys/targets.pub", "keys/timestamp.pub")
	root, err := r.Draft(holderKeys(r), r.Expires)
	if err != nil {
		t.Fatal(err)
	}
	if len(root.Keys) != 6 {
		t.Errorf("%d keys, want 5 holders' and 1", len(root.Keys))
	}
	ids := slices.Collect(maps.Values(root.Roles))
	if len(ids) != 4 {
		t.Errorf("%d roles", len(ids))
	}
}
