package agreed_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rootceremony/ceremony/agreed"
	"rootceremony/keys"
)

// People compare plan.resolved.json with what they know: names stand in it as
// they are written.
func TestResolvedIsReadable(t *testing.T) {
	r := example(t, func(r *agreed.Plan) { r.Name, r.Holders[2].Name = "Bolts & <Nuts>", "陈伟" })
	for _, want := range []string{`"name": "Bolts & <Nuts>"`, `"name": "陈伟"`} {
		if !strings.Contains(string(r.JSON()), want) {
			t.Errorf("no %s in\n%s", want, r.JSON())
		}
	}
}

func TestParseResolvedIsStrict(t *testing.T) {
	plan := example(t)
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
		t.Run(c.name, func(t *testing.T) {
			bad := strings.Replace(good, c.old, c.new, 1)
			if bad == good {
				t.Errorf("nothing changed")
			}
			for _, private := range [][]byte{private, nil} {
				if r, err := agreed.Parse([]byte(bad), private); err == nil || !strings.Contains(err.Error(), c.want) || r != nil {
					t.Errorf("%v, want %q", err, c.want)
				}
			}
		})
	}
}

func TestParseResolvedBackupIsStrict(t *testing.T) {
	plan := backedUpExample(t, passphrase("Vault"))
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
		t.Run(c.name, func(t *testing.T) {
			bad, kept := strings.Replace(good, c.old, c.new, 1), private
			if bad == good {
				if kept = strings.Replace(private, c.old, c.new, 1); kept == private {
					t.Errorf("nothing changed")
				}
				bad = resealed(t, good, kept)
			}
			r, err := agreed.Parse([]byte(bad), []byte(kept))
			if err == nil || !strings.Contains(err.Error(), c.want) || r != nil {
				t.Errorf("%v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "KEY-1QQ") {
				t.Errorf("shown: %v", err)
			}
		})
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

// A hostile list of recipients ends soon.
func TestManyRecipientsEnd(t *testing.T) {
	r := backedUpExample(t)
	for i := range 5000 {
		r.Backup.Recipients = append(r.Backup.Recipients, agreed.BackupRecipient{Name: fmt.Sprint("R", i), ID: fmt.Sprint("r", i), Passphrase: true})
	}
	for _, quorum := range []int{3, 2500, 5000, 5005} {
		r.Backup.Quorum = quorum
		start := worked(t)
		if _, err := agreed.Parse(r.JSON(), r.PrivateJSON()); err == nil {
			t.Errorf("quorum %d was taken", quorum)
		}
		if took := worked(t) - start; took > 5*time.Second {
			t.Errorf("quorum %d took %v", quorum, took)
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
	plan := backedUpExample(t)
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
		t.Run(c.name, func(t *testing.T) {
			bad := strings.Replace(good, c.old, c.new, 1)
			if bad == good {
				t.Errorf("nothing changed")
			}
			if r, err := agreed.Parse([]byte(resealed(t, public, bad)), []byte(bad)); c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || r != nil) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if r, err := agreed.Parse([]byte(public), []byte(bad)); err == nil || r != nil {
				t.Error("taken for the private part that the plan names")
			}
		})
	}
	other := backedUpExample(t, func(r *agreed.Plan) { r.Backup.Recipients[0].Site = "Geneva" })
	if _, err := agreed.Parse([]byte(public), other.PrivateJSON()); err == nil || !strings.Contains(err.Error(), "belongs to another plan") {
		t.Errorf("the private part of another plan: %v", err)
	}
}

// The public plan says nothing of what is private, and is read without it.
func TestPublicPlan(t *testing.T) {
	plan := backedUpExample(t)
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

// Whatever is read is written as it was.
func TestParseResolvedFlippedBits(t *testing.T) {
	for _, plan := range []*agreed.Plan{example(t), backedUpExample(t)} {
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
	text := rapid.StringMatching(`[A-Za-z<>&"\\é陈][A-Za-z <>&"\\é]{0,20}[A-Za-z]|[Б<>&"\\][а-я <>&"\\]{0,20}[а-я]`)
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
