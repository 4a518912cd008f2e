package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/agreed"
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
