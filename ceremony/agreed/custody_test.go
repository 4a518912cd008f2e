package agreed_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"rootceremony/ceremony/agreed"
)

// held is a plan in which each text is a holder: "Alice@Lisbon", or "Alice".
func held(threshold int, holders ...string) *agreed.Plan {
	r := &agreed.Plan{Threshold: threshold}
	for _, text := range holders {
		name, site, _ := strings.Cut(text, "@")
		r.Holders = append(r.Holders, agreed.Holder{ID: agreed.Slug(name), Name: name, Site: site, Custody: agreed.OnToken})
	}
	return r
}

func TestCustody(t *testing.T) {
	for _, c := range []struct {
		name string
		plan *agreed.Plan
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
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(c.plan.Custody().Lines(), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
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
						at[agreed.Fold(r.Holders[i].Site)] = true
					}
				}
				for i := range n {
					whole = whole && (set>>i&1 == 1) == at[agreed.Fold(r.Holders[i].Site)]
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
				if s.Signs != siteSigns[agreed.Fold(s.Site)] || s.Locks != siteLocks[agreed.Fold(s.Site)] {
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
	r := example(t)
	c := agreed.Check(r, planNow)
	var ids []string
	for _, role := range agreed.OnlineRoles {
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

clients known to refuse the root, or a part of it:
  keys without keyid_hash_algorithms, as in every new chain: php-tuf and Joomla's fork of it refuse such a root

digest: %s

custody:
  any 3 of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor or Emil Novak could sign, with their tokens and PINs
  losing the tokens of any 3 of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor or Emil Novak locks the project out: no key has a backup
  no site alone could sign, or lock the project out
  root metadata: 2375 bytes to sign, of 3000 at most
  with these online keys, 7 holders would fit`, ids[0], ids[1], ids[2], agreed.Grouped(r.Digest()))
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

// What opens a layer without this program, for every kind of recipient.
func TestCheckSaysWhatOpens(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	another, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	r := backedUpExample(t, passphrase("Words"), func(r *agreed.Plan) {
		r.Backup.Holders, r.Backup.Quorum = false, 6
		for _, add := range [][2]string{{"SSH", otherSafe}, {"Token", pointAge}, {"Plug", pluginAge}, {"PQ", hybrid.Recipient().String()}, {"PQ 2", another.Recipient().String()}} {
			r.Backup.Recipients = append(r.Backup.Recipients, agreed.BackupRecipient{ID: agreed.Slug(add[0]), Name: add[0], Age: add[1]})
		}
	})
	lines := agreed.Check(r, planNow).Lines()
	for _, want := range []string{
		"Bank safe: age 1.1 or newer",
		"Words: age 1.1 or newer",
		"SSH: age 1.1 or newer",
		"Token: age 1.3 or newer with the plugin of the token, which this program needs too",
		"Plug: age 1.1 or newer with age-plugin-yubikey, which this program needs too",
		"PQ and PQ 2, 1 or more in every quorum: age 1.3 or newer",
	} {
		if !slices.Contains(lines, "    "+want) {
			t.Errorf("no line %q in\n%s", want, strings.Join(lines, "\n"))
		}
	}
}

func TestCheckPlanWithBackups(t *testing.T) {
	between := func(r *agreed.Plan, from, to string) string {
		text := strings.Join(agreed.Check(r, planNow).Lines(), "\n")
		_, text, _ = strings.Cut(text, from)
		text, _, _ = strings.Cut(text, to)
		return text
	}
	want := `
  Alice Costa (alice), token A-01, backed-up, Lisbon
  Bruno Ferraz (bruno), token B-02, backed-up, Lisbon
  Chen Wei (chen), token C-03, backed-up, Singapore
  Dana Okafor (dana), token D-04, backed-up, Lagos
  Emil Novak (emil), token E-05, backed-up, Lagos
  Bank safe (bank-safe), recipient of backups, age1, Zurich
  Wanda Meyer, witness

backups:
  any 3 of 5 open a holder's backup: the token of every other holder and Bank safe
  root key, PUK and management key of Alice Costa, Bruno Ferraz, Chen Wei, Dana Okafor and Emil Novak: 20 files each
  on the day of need this program opens them; without it, by docs/recovery.md:
    the holders' tokens, 2 or more in every quorum: pkcs11-tool with Yubico's ykcs11, and docs/recover-token-layer
    Bank safe: age 1.1 or newer

`
	if got := between(backedUpExample(t), "who must come:", "online roles:"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	want = `
  Alice Costa (alice), token A-01, backed-up, and a spare token, Lisbon
  Bruno Ferraz (bruno), token B-02, on-token, Lisbon
  Chen Wei (chen), token C-03, backed-up, Singapore
  Dana Okafor (dana), token D-04, backed-up, Lagos
  Emil Novak (emil), token E-05, backed-up, Lagos
  Bank safe (bank-safe), recipient of backups, age-plugin-yubikey, Zurich
  Two (two), recipient of backups, passphrase
  Three (three), recipient of backups, passphrase
  Wanda Meyer, witness

backups:
  all of these open a holder's backup together: Bank safe, Two and Three
  root key, PUK and management key of Alice Costa, Chen Wei, Dana Okafor and Emil Novak: 2 files each
  only PUK and management key of Bruno Ferraz: 1 file each
  on the day of need this program opens them; without it, by docs/recovery.md:
    Bank safe, in every quorum: age 1.1 or newer with age-plugin-yubikey, which this program needs too
    Two and Three, in every quorum: age 1.1 or newer

`
	mixed := backedUpExample(t, passphrase("Two"), passphrase("Three"), func(r *agreed.Plan) {
		r.Backup.Holders, r.Backup.Recipients[0].Age = false, pluginAge
		r.Holders[0].Spare, r.Holders[1].Custody = true, agreed.OnToken
	})
	if got := between(mixed, "who must come:", "online roles:"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBackupWarnings(t *testing.T) {
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid := identity.Recipient().String()
	const together = "all recipients are the holders' tokens, which travel together: one accident takes the keys and their backups (hint: a recipient outside of the room, such as a safe)"
	const everyone = "every recipient must come to open a backup: the loss of any one makes it useless (hint: more recipients than the quorum)"
	quantum := "only some layers of the backups are post-quantum, those for Bank safe: a quantum computer would open the others, so that fewer than the quorum suffice"
	safe := func(age string) change { return func(r *agreed.Plan) { r.Backup.Recipients[0].Age = age } }
	withoutHolders := func(r *agreed.Plan) { r.Backup.Holders = false }
	for _, c := range []struct {
		name    string
		changes []change
		want    string
	}{
		{"the example", nil, ""},
		{"tokens only", []change{func(r *agreed.Plan) { r.Backup.Recipients = []agreed.BackupRecipient{} }}, together},
		{"everyone must come", []change{func(r *agreed.Plan) { r.Backup.Quorum = 5 }}, everyone},
		{"one post-quantum", []change{safe(hybrid)}, quantum},
		{"one post-quantum of two safes", []change{safe(hybrid), withoutHolders, func(r *agreed.Plan) {
			r.Threshold, r.Backup.Quorum = 1, 1
			r.Backup.Recipients = append(r.Backup.Recipients, agreed.BackupRecipient{ID: "two", Name: "Two", Age: safeAge})
		}}, quantum},
		{"a passphrase", []change{func(r *agreed.Plan) { r.Backup.Recipients[0].Age, r.Backup.Recipients[0].Passphrase = "", true }}, ""},
		{"post-quantum and passphrases", []change{safe(hybrid), withoutHolders, passphrase("Two"), passphrase("Three"), passphrase("Four")}, ""},
		{"keys that stay", []change{func(r *agreed.Plan) { r.Holders[0].Custody, r.Holders[1].Custody = agreed.OnToken, agreed.OnToken }},
			"no root key of Alice Costa or Bruno Ferraz is backed up, only PUK and management key: a lost token's key does not come back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := agreed.Check(backedUpExample(t, c.changes...), planNow)
			if got := strings.Join(check.Warnings, "\n"); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestCheckPlanWarns(t *testing.T) {
	for _, c := range []struct {
		name    string
		changes []change
		want    string // empty: no warning
	}{
		{"a year", nil, ""},
		{"two years", []change{expires(t, "730d")}, ""},
		{"longer", []change{expires(t, "731d")}, "the root expires in 731 days: a lost key is noticed late (hint: a year is usual)"},
		{"soon", []change{expires(t, "29d")}, "the root expires in 29 days: the next ceremony must be before (hint: a year is usual)"},
		{"no witness", []change{func(r *agreed.Plan) { r.Persons[0].Role = "scribe" }}, "no witness is named: nobody but the holders confirms what happened"},
		{"a witness with a key", []change{func(r *agreed.Plan) { r.Persons[0].Name = "Chen Wei" }}, "the witness Chen Wei is also a holder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			check := agreed.Check(example(t, c.changes...), planNow)
			if got := strings.Join(check.Warnings, "\n"); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if c.want != "" && !slices.Contains(check.Lines(), "warning: "+c.want) {
				t.Errorf("the warning is not shown")
			}
		})
	}
	rehearsal := example(t)
	rehearsal.Rehearsal = true
	if got := agreed.Check(rehearsal, planNow).Lines()[0]; got != "Example packages: create, rehearsal of root v1" {
		t.Errorf("%q", got)
	}
}

// backedUp gives a plan backups. custody has a letter for each holder: b for
// backed-up, o for on-token, e for existing. The recipients beside the holders are texts as of
// held.
func backedUp(r *agreed.Plan, custody string, quorum int, holders bool, outside ...string) *agreed.Plan {
	for i, letter := range custody {
		switch letter {
		case 'b':
			r.Holders[i].Custody = agreed.BackedUp
		case 'e':
			r.Holders[i].Custody = agreed.Existing
		}
	}
	r.Backup = &agreed.Backup{Quorum: quorum, Holders: holders, Recipients: []agreed.BackupRecipient{}}
	for _, text := range outside {
		name, site, _ := strings.Cut(text, "@")
		r.Backup.Recipients = append(r.Backup.Recipients, agreed.BackupRecipient{Name: name, ID: agreed.Slug(name), Passphrase: true, Site: site})
	}
	return r
}

func TestCustodyWithBackups(t *testing.T) {
	five := []string{"A@Lisbon", "B@Lisbon", "C@Singapore", "D@Lagos", "E@Lagos"}
	for _, c := range []struct {
		name string
		plan *agreed.Plan
		want string
	}{
		{"the example", backedUp(held(3, five...), "bbbbb", 3, true, "Safe@Bern"), `any 3 of A, B, C, D or E could sign, with their tokens and PINs
any 3 of A, B, C, D, E or Safe could open the backups of enough keys, and sign
losing the tokens and identities of any 4 of A, B, C, D, E or Safe locks the project out: no quorum is left to open the backups
no site alone could sign, or lock the project out`},
		{"a safe among holders", backedUp(held(3, five...), "bbbbb", 3, true, "Safe@Lisbon", "Vault@Bern", "Bank@Bern"), `any 3 of A, B, C, D or E could sign, with their tokens and PINs
any 3 of A, B, C, D, E, Safe, Vault or Bank could open the backups of enough keys, and sign
losing the tokens and identities of any 6 of A, B, C, D, E, Safe, Vault or Bank locks the project out: no quorum is left to open the backups
Lisbon alone could sign: it has 2 of the holders (A and B) and Safe, and these open the backups of enough keys`},
		{"a place of recipients", backedUp(held(2, "A@X", "B@Y", "C@Z"), "bbb", 2, false, "Safe@V", "Vault@V"), `any 2 of A, B or C could sign, with their tokens and PINs
both Safe and Vault could open the backups of enough keys, and sign
losing the tokens of any 2 of A, B or C and the identities of any one of Safe or Vault locks the project out: no quorum is left to open the backups
V alone could sign: it has Safe and Vault, and these open the backups of enough keys`},
		{"a safe nobody has placed", backedUp(held(2, "A@X", "B@Y", "C@Z"), "bbb", 2, true, "Safe"), `any 2 of A, B or C could sign, with their tokens and PINs
any 2 of A, B, C or Safe could open the backups of enough keys, and sign
losing the tokens and identities of any 3 of A, B, C or Safe locks the project out: no quorum is left to open the backups
no site is known for Safe: the analysis of sites is without them`},
		{"a high quorum", backedUp(held(2, "A@X", "B@X", "C@Y"), "bbb", 3, true, "Safe@Z"), `any 2 of A, B or C could sign, with their tokens and PINs
any 3 of A, B, C or Safe could open the backups of enough keys, and sign
losing the tokens of any 2 of A, B or C locks the project out: too few are left to open the backups
X alone could sign: it has 2 of the holders (A and B), and 2 sign a root
losing X alone locks the project out: it has 2 of the holders (A and B)
warning: two losses lock the project out (hint: more holders, or more recipients than the quorum)`},
		{"a high quorum and two safes", backedUp(held(2, "A@X", "B@Y", "C@Z"), "bbb", 3, true, "Safe@V", "Vault@W"), `any 2 of A, B or C could sign, with their tokens and PINs
any 3 of A, B, C, Safe or Vault could open the backups of enough keys, and sign
losing the tokens and identities of any 3 of A, B, C, Safe or Vault, tokens of at least 2 holders among them, locks the project out: no quorum is left to open the backups
no site alone could sign, or lock the project out`},
		{"PUKs only", backedUp(held(2, "A@X", "B@Y", "C@Z"), "ooo", 2, true, "Safe@V"), `any 2 of A, B or C could sign, with their tokens and PINs
any 2 of A, B, C or Safe could set new PINs, by the PUK backups, on the tokens of any 2 of A, B or C, and sign
losing the tokens of any 2 of A, B or C locks the project out: these keys have no backup
no site alone could sign, or lock the project out
warning: two losses lock the project out (hint: more holders, or more recipients than the quorum)`},
		{"one of each", backedUp(held(2, "A@X", "B@Y"), "bo", 2, true, "Safe@V"), `both A and B could sign, with their tokens and PINs
any 2 of A, B or Safe could open the key backups and, by the PUK backups, set new PINs on the token of B, and sign
losing the token of B locks the project out: these keys have no backup
losing the tokens and identities of any 2 of A, B or Safe locks the project out: no quorum is left to open the backups
losing Y alone locks the project out: it has 1 of the holders (B)
warning: the loss of a single token locks the project out for good (hint: more holders than the threshold)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(c.plan.Custody().Lines(), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// has reports whether a set of names is what the group says.
func has(g agreed.Group, set map[string]bool, and map[string]bool) bool {
	count := func(of []string, in map[string]bool) int {
		n := 0
		for _, name := range of {
			if in[name] {
				n++
			}
		}
		return n
	}
	if count(g.Of, set) < g.Any || g.And == nil {
		return count(g.Of, set) >= g.Any
	}
	// A token helps that lies there, but for those that need their holder's PIN.
	n := count(g.And.Of, and)
	for _, name := range g.And.PIN {
		if and[name] && !set[name] {
			n--
		}
	}
	return n >= g.And.Any
}

// naive knows each key, and each recipient of each backup, by itself.
type naive struct {
	plan *agreed.Plan
	come map[string]bool // who come, with what they keep and their PINs
	lie  map[string]bool // holders whose tokens are there too
}

func (n naive) opens(of agreed.Holder) bool {
	if n.plan.Backup == nil {
		return false
	}
	layers := 0
	for _, h := range n.plan.Holders {
		if n.plan.Backup.Holders && h.ID != of.ID && n.come[h.Name] {
			layers++
		}
	}
	for _, b := range n.plan.Backup.Recipients {
		if n.come[b.Name] {
			layers++
		}
	}
	return layers >= n.plan.Backup.Quorum
}

func (n naive) signs() bool {
	usable := 0
	for _, h := range n.plan.Holders {
		ownPIN := n.come[h.Name]
		fromBackup := h.Custody == agreed.BackedUp && n.opens(h)
		newPIN := n.lie[h.Name] && n.opens(h) && h.Custody != agreed.Existing
		if ownPIN || fromBackup || newPIN {
			usable++
		}
	}
	return usable >= n.plan.Threshold
}

// What is said of groups, losses and sites is what a model finds that looks at
// every key for every set of people, of tokens without their holders, and of
// losses.
func TestCustodyWithBackupsAgainstEverySet(t *testing.T) {
	sites := []string{"@X", "@Y", "", "@X"}
	plans, sets := 0, 0
	for n := 1; n <= 4; n++ {
		for custody := range custodies(n) {
			for threshold := 1; threshold <= n; threshold++ {
				for outside := 0; outside <= 3; outside++ {
					for _, holders := range []bool{true, false} {
						for quorum := 1; ; quorum++ {
							var names, others []string
							for i := range n {
								names = append(names, fmt.Sprint("h", i, sites[i]))
							}
							for i := range outside {
								others = append(others, fmt.Sprint("r", i, []string{"@X", "@Z", ""}[i]))
							}
							r := backedUp(held(threshold, names...), custody, quorum, holders, others...)
							if quorum > r.Openers() {
								break
							}
							plans++
							sets += compareEverySet(t, r)
						}
					}
				}
			}
		}
	}
	t.Logf("%d plans, %d sets", plans, sets)
}

// custodies are all numbers of holders of each kind, for backedUp.
func custodies(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for saved := 0; saved <= n; saved++ {
			for kept := 0; saved+kept <= n; kept++ {
				if !yield(strings.Repeat("b", saved) + strings.Repeat("e", kept) + strings.Repeat("o", n-saved-kept)) {
					return
				}
			}
		}
	}
}

// compareEverySet returns how many sets there are.
func compareEverySet(t testing.TB, r *agreed.Plan) (sets int) {
	t.Helper()
	n, m := len(r.Holders), len(r.Backup.Recipients)
	c := r.Custody()
	states := 1 << m
	for range n {
		states *= 3
	}
	least, leastLoss := 1000, 1000
	for state := range states {
		come, lie, kept := map[string]bool{}, map[string]bool{}, map[string]bool{}
		at := map[string]bool{} // those who come, by site
		rest, losses := state, 0
		for _, h := range r.Holders {
			switch rest % 3 {
			case 1:
				lie[h.Name] = true
			case 2:
				come[h.Name], at[h.Site] = true, true
			}
			rest /= 3
		}
		for _, b := range r.Backup.Recipients {
			if rest%2 == 1 {
				come[b.Name], at[b.Site] = true, true
			}
			rest /= 2
		}
		sets++
		there := map[string]bool{}
		for _, h := range r.Holders {
			there[h.Name] = come[h.Name] || lie[h.Name]
		}
		said := false
		for _, g := range c.Sign {
			said = said || has(g, come, there)
		}
		if does := (naive{r, come, lie}).signs(); said != does {
			t.Fatalf("%+v %+v: %v and the tokens of %v: sign %v, but %+v", r.Holders, r.Backup, come, lie, does, c.Sign)
		} else if does {
			least = min(least, len(come))
		}
		if len(lie) > 0 {
			continue
		}
		// Those who come are those who are lost: what is left signs, or not.
		for _, h := range r.Holders {
			kept[h.Name] = !come[h.Name]
		}
		for _, b := range r.Backup.Recipients {
			kept[b.Name] = !come[b.Name]
		}
		losses, said = len(come), false
		for _, g := range c.Locks {
			said = said || has(g, come, come)
		}
		locked := !(naive{r, kept, nil}).signs()
		if said != locked {
			t.Fatalf("%+v %+v: without %v locked out %v, but %+v", r.Holders, r.Backup, come, locked, c.Locks)
		} else if locked {
			leastLoss = min(leastLoss, losses)
		}
		for _, s := range c.Sites {
			if len(at) == 1 && at[s.Site] && len(come) == len(s.Holders)+len(s.Recipients) {
				if does := (naive{r, come, nil}).signs(); s.Signs != does || s.Locks != locked {
					t.Fatalf("%+v %+v: %+v, but signs %v, locks %v", r.Holders, r.Backup, s, does, locked)
				}
			}
		}
	}
	// A plan is refused exactly where fewer people than the threshold suffice.
	refused := strings.Contains(fmt.Sprint(r.CheckQuorum()), "is below the threshold")
	if refused != (least < r.Threshold) {
		t.Fatalf("%+v %+v: %d people suffice for a threshold of %d, and refused is %v", r.Holders, r.Backup, least, r.Threshold, refused)
	}
	warned := strings.Contains(strings.Join(c.Warnings, "\n"), "lock")
	if warned != (leastLoss <= 2) {
		t.Fatalf("%+v %+v: %d losses, warnings %q", r.Holders, r.Backup, leastLoss, c.Warnings)
	}
	return sets
}

// Of keys that stay it is not said that they have no backup: this plan does not
// know.
func TestCustodyOfKeysThatStay(t *testing.T) {
	const stay = "the keys of A, B and C stay: backups, if there are any, are of earlier ceremonies and not counted here\n"
	for _, c := range []struct {
		name string
		plan *agreed.Plan
		want string
	}{
		{"all", kept(held(2, "A@X", "B@Y", "C@Z"), 3), `any 2 of A, B or C could sign, with their tokens and PINs
losing the tokens of any 2 of A, B or C locks the project out: this plan makes no backup of these keys
` + stay + `no site alone could sign, or lock the project out
warning: after the loss of one token the next one locks the project out (hint: two holders more than the threshold)`},
		{"one", kept(held(1, "A@X"), 1), `A could sign alone, with one token and its PIN
losing the token of A locks the project out: this plan makes no backup of these keys
the key of A stays: backups, if there are any, are of earlier ceremonies and not counted here
X alone could sign: it has 1 of the holders (A), and 1 sign a root
losing X alone locks the project out: it has 1 of the holders (A)
warning: the loss of a single token can lock the project out for good (hint: more holders than the threshold)`},
		{"beside backups", backedUp(held(3, "A@X", "B@Y", "C@Z", "D@V", "E@W"), "eeebb", 3, true, "Safe@U"), `any 3 of A, B, C, D or E could sign, with their tokens and PINs
any 3 of A, B, C, D, E or Safe could open the key backups and, together with any one of A, B or C and their tokens and PINs, sign
losing the tokens of all of A, B and C locks the project out: this plan makes no backup of these keys
losing the tokens and identities of any 4 of A, B, C, D, E or Safe locks the project out: no quorum is left to open the backups
` + stay + `no site alone could sign, or lock the project out`},
		{"beside tokens with PUK backups", backedUp(held(3, "A@X", "B@Y", "C@Z", "D@V", "E@W"), "eeeoo", 3, true), `any 3 of A, B, C, D or E could sign, with their tokens and PINs
any 3 of A, B, C, D or E could set new PINs, by the PUK backups, on the tokens of any 3 of A, B, C, D or E, and sign (A, B and C only with their own PIN)
losing the tokens of any 3 of A, B, C, D or E locks the project out: this plan makes no backup of these keys
` + stay + `no site alone could sign, or lock the project out`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(c.plan.Custody().Lines(), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// kept lets the keys of the first n holders stay.
func kept(r *agreed.Plan, n int) *agreed.Plan {
	for i := range n {
		r.Holders[i].Custody = agreed.Existing
	}
	return r
}
