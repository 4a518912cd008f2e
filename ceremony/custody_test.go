package ceremony

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// held is a plan in which each text is a holder: "Alice@Lisbon", or "Alice".
func held(threshold int, holders ...string) *Resolved {
	r := &Resolved{Threshold: threshold}
	for _, text := range holders {
		name, site, _ := strings.Cut(text, "@")
		r.Holders = append(r.Holders, Holder{ID: slug(name), Name: name, Site: site, Custody: OnToken})
	}
	return r
}

func TestCustody(t *testing.T) {
	for _, c := range []struct {
		name string
		plan *Resolved
		want string
	}{
		{"three cities", held(3, "A@Lisbon", "B@Lisbon", "C@Singapore", "D@Lagos", "E@Lagos"), `any 3 of A, B, C, D or E could sign, with their tokens and PINs
losing the tokens of any 3 of A, B, C, D or E locks the project out: no key has a backup
no site alone could sign, or lock the project out`},
		{"one city signs", held(2, "A@Lisbon", "B@lisbon", "C@Lagos", "D@Lagos", "E@Faro"), `any 2 of A, B, C, D or E could sign, with their tokens and PINs
losing the tokens of any 4 of A, B, C, D or E locks the project out: no key has a backup
Lisbon alone could sign: it has 2 of the holders (A and B), and 2 sign a root
Lagos alone could sign: it has 2 of the holders (C and D), and 2 sign a root`},
		{"one city locks", held(3, "A@Lisbon", "B@Lisbon", "C@Lagos", "D@Faro"), `any 3 of A, B, C or D could sign, with their tokens and PINs
losing the tokens of any 2 of A, B, C or D locks the project out: no key has a backup
losing Lisbon alone locks the project out: it has 2 of the holders (A and B)
warning: after the loss of one token the next one locks the project out (hint: two holders more than the threshold)`},
		{"all of them", held(2, "A@Lisbon", "B"), `both A and B could sign, with their tokens and PINs
losing the token of any one of A or B locks the project out: no key has a backup
losing Lisbon alone locks the project out: it has 1 of the holders (A)
no site is known for B: the analysis of sites is without them
warning: the loss of a single token locks the project out for good (hint: more holders than the threshold)`},
		{"any one", held(1, "A@X", "B@Y", "C@Z"), `any one of A, B or C could sign alone, with one token and its PIN
losing the tokens of all of A, B and C locks the project out: no key has a backup
X alone could sign: it has 1 of the holders (A), and 1 sign a root
Y alone could sign: it has 1 of the holders (B), and 1 sign a root
Z alone could sign: it has 1 of the holders (C), and 1 sign a root
warning: any one holder can sign a root alone (hint: a threshold of 2 or more)`},
		{"one alone", held(1, "A"), `A could sign alone, with one token and its PIN
losing the token of A locks the project out: no key has a backup
no site is known for A: the analysis of sites is without them
warning: the loss of a single token locks the project out for good (hint: more holders than the threshold)`},
	} {
		if got := strings.Join(c.plan.Custody().Lines(), "\n"); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// The groups agree with trying every set of holders.
func TestCustodyAgainstEverySet(t *testing.T) {
	sites := []string{"@X", "@Y", "@Z", "@x"}
	for n := 1; n <= 7; n++ {
		for threshold := 1; threshold <= n; threshold++ {
			var names []string
			for i := range n {
				names = append(names, fmt.Sprintf("h%d%s", i, sites[i*i%4]))
			}
			r := held(threshold, names...)
			c := r.Custody()
			sign, locks := n+1, n+1 // the smallest sets that do
			siteSigns, siteLocks := map[string]bool{}, map[string]bool{}
			for set := range 1 << n {
				in, at := 0, map[string]bool{}
				whole := true // all of the holders of one site, and no others
				for i := range n {
					if set>>i&1 == 1 {
						in++
						at[fold(r.Holders[i].Site)] = true
					}
				}
				for i := range n {
					whole = whole && (set>>i&1 == 1) == at[fold(r.Holders[i].Site)]
				}
				if in >= threshold {
					sign = min(sign, in)
				}
				if n-in < threshold {
					locks = min(locks, in)
				}
				if whole && len(at) == 1 {
					for s := range at {
						siteSigns[s], siteLocks[s] = in >= threshold, n-in < threshold
					}
				}
			}
			if c.Sign[0].Any != sign || c.Locks[0].Any != locks {
				t.Errorf("%d of %d: %v, %v; want %d, %d", threshold, n, c.Sign, c.Locks, sign, locks)
			}
			if len(c.Sites) != len(siteSigns) {
				t.Errorf("%d of %d: %v", threshold, n, c.Sites)
			}
			for _, s := range c.Sites {
				if s.Signs != siteSigns[fold(s.Site)] || s.Locks != siteLocks[fold(s.Site)] {
					t.Errorf("%d of %d: %+v", threshold, n, s)
				}
			}
		}
	}
}

func TestCustodyOfMany(t *testing.T) {
	var names []string
	for i := range 500 {
		names = append(names, fmt.Sprint("Holder ", i))
	}
	lines := held(251, names...).Custody().Lines()
	if want := "any 251 of 500 holders could sign, with their tokens and PINs"; lines[0] != want {
		t.Errorf("%q, want %q", lines[0], want)
	}
}

func TestCheckPlan(t *testing.T) {
	r := resolvedExample(t)
	c := CheckPlan(r, planNow)
	var ids []string
	for _, role := range onlineRoles {
		ids = append(ids, r.Roles[role].Keys[0].ID[:8])
	}
	want := fmt.Sprintf(`Example packages: create, root v1
signed by 3 of 5 holders, with ed25519 keys; touch always; firmware 5.7.0 or newer
expires 2027-11-23 00:00:00 UTC, in 365 days
consistent snapshots: yes

who must come:
  Alice Costa (alice), token A-01, on-token, Lisbon
  Bruno Ferraz (bruno), token B-02, on-token, Lisbon
  Chen Wei (chen), token C-03, on-token, Singapore
  Dana Okafor (dana), token D-04, on-token, Lagos
  Emil Novak (emil), token E-05, on-token, Lagos
  Wanda Meyer, witness

online roles:
  timestamp: 1 of 1, key ids begin %s
  snapshot: 1 of 1, key ids begin %s
  targets: 1 of 1, key ids begin %s

digest: %s

custody:
  any 3 of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor or Emil Novak could sign, with their tokens and PINs
  losing the tokens of any 3 of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor or Emil Novak locks the project out: no key has a backup
  no site alone could sign, or lock the project out
  root metadata: 2375 bytes to sign, of 3000 at most
  with these online keys, 7 holders would fit`, ids[0], ids[1], ids[2], grouped(r.Digest()))
	if got := strings.Join(c.Lines(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil || fields["days"] != 365.0 || fields["digest"] != r.Digest() {
		t.Errorf("%v %s", err, data)
	}
}

func TestCheckPlanWarns(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes []string
		want    string // empty: no warning
	}{
		{"a year", nil, ""},
		{"two years", []string{"365d", "730d"}, ""},
		{"longer", []string{"365d", "731d"}, "the root expires in 731 days: a lost key is noticed late (hint: a year is usual)"},
		{"soon", []string{"365d", "29d"}, "the root expires in 29 days: the next ceremony must be before (hint: a year is usual)"},
		{"no witness", []string{`"witness"`, `"scribe"`}, "no witness is named: nobody but the holders confirms what happened"},
		{"a witness with a key", []string{"Wanda Meyer", "Chen Wei"}, "the witness Chen Wei is also a holder"},
	} {
		check := CheckPlan(resolvedExample(t, c.changes...), planNow)
		if got := strings.Join(check.Warnings, "\n"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if c.want != "" && !slices.Contains(check.Lines(), "warning: "+c.want) {
			t.Errorf("%s: the warning is not shown", c.name)
		}
	}
	rehearsal := resolvedExample(t)
	rehearsal.Rehearsal = true
	if got := CheckPlan(rehearsal, planNow).Lines()[0]; got != "Example packages: create, rehearsal of root v1" {
		t.Errorf("%q", got)
	}
}
