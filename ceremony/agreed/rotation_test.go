package agreed_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// walks reports whether a client that trusts the first of some roots gets to the
// last, by the letter of specification 5.3.3 to 5.3.8, and how far.
func walks(files [][]byte) (steps int, all bool) {
	trusted, err := tuf.Parse(files[0])
	if err != nil {
		return 0, false
	}
	for _, data := range files[1:] {
		next, err := tuf.Parse(data)
		if err != nil || !next.Report(trusted.Root).Good() || !next.Report(next.Root).Good() || next.Root.Version != trusted.Root.Version+1 {
			return steps, false
		}
		trusted = next
		steps++
	}
	return steps, true
}

// Clients of every version, each by itself, get where WalkClients says.
func TestWalkClients(t *testing.T) {
	eight := chainOf(t, 8, 2, three...)
	other := chainOf(t, 8, 2, "Xenia", "Yann", "Zoe")
	chains := map[string][][]byte{"made": eight, "a later part": eight[3:], "two": eight[:2]}
	for name, newest := range map[string]int{"joomla-updates": 16, "sigstore": 15} {
		for v := 1; v <= newest; v++ {
			text, err := os.ReadFile(filepath.Join("../../../shared/roots", name, fmt.Sprintf("%d.root.json", v)))
			if err != nil {
				t.Logf("without the real chain %s: %v", name, err)
				break
			}
			chains[name] = append(chains[name], text)
		}
	}
	for i := range eight {
		swap := func(file []byte) [][]byte {
			c := slices.Clone(eight)
			c[i] = file
			return c
		}
		chains[fmt.Sprint("spoilt ", i)] = swap(spoilt(t, eight[i], 2))
		chains[fmt.Sprint("one signature less ", i)] = swap(spoilt(t, eight[i], 1))
		chains[fmt.Sprint("a stranger's ", i)] = swap(other[i])
		chains[fmt.Sprint("no JSON ", i)] = swap([]byte("{"))
		chains[fmt.Sprint("gap ", i)] = slices.Concat(eight[:i], eight[i+1:])
		chains[fmt.Sprint("twice ", i)] = slices.Concat(eight[:i+1], eight[i:])
	}
	good := 0
	for name, chain := range chains {
		old, root := chain[:len(chain)-1], chain[len(chain)-1]
		far, last := 0, true
		for i := range old {
			steps, all := walks(chain[i:])
			if i == 0 {
				far = steps
			}
			last = last && all
		}
		w, err := agreed.WalkClients(old, root)
		// A first root that is trusted is still to be one that its own keys sign.
		if first, perr := tuf.Parse(chain[0]); perr != nil || !first.Report(first.Root).Good() {
			if err == nil || !strings.HasPrefix(err.Error(), "the first root of the chain: ") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if (err == nil) != last || err == nil && w.To-w.First != int64(far) || err == nil && w.Last != w.To-1 {
			t.Errorf("%s: %+v, %v, but a client on the first walks %d of %d steps", name, w, err, far, len(old))
		}
		if err == nil {
			good++
		} else if want := fmt.Sprintf("not go on after version %d: ", w.First+int64(far)); far > 0 && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if good < 8 {
		t.Errorf("%d chains are good", good)
	}
	if _, err := agreed.WalkClients(nil, eight[0]); err == nil {
		t.Error("nobody walks, and all is well")
	}
	_, err := agreed.WalkClients(eight[:5], eight[6])
	if want := "clients on versions 1 to 5 do not go on after version 5: version 7 follows version 5, where version 6 belongs"; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	_, err = agreed.WalkClients(eight[4:5], eight[4])
	if want := "clients on version 5 do not go on: version 5 follows version 5, where version 6 belongs"; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestWalkedLines(t *testing.T) {
	for _, c := range []struct {
		w    agreed.Walked
		done bool
		want string
	}{
		{agreed.Walked{First: 1, Last: 16, To: 17}, false, "clients on versions 1 to 16 walk up to 16 steps to version 17, once that is signed"},
		{agreed.Walked{First: 1, Last: 16, To: 17}, true, "clients on versions 1 to 16 were walked up to 16 steps to version 17"},
		{agreed.Walked{First: 1, Last: 1, To: 2}, false, "clients on version 1 walk 1 step to version 2, once that is signed"},
		{agreed.Walked{First: 9, Last: 11, To: 12}, true, "clients on versions 9 to 11 were walked up to 3 steps to version 12\nclients on versions before 9 were not looked at: the chain that was given begins there"},
		{agreed.Walked{First: 1, Last: 32, To: 33}, true, "clients on versions 1 to 32 were walked up to 32 steps to version 33"},
		{agreed.Walked{First: 1, Last: 33, To: 34}, true, "clients on versions 1 to 33 were walked up to 33 steps to version 34\nsome old clients take at most 32 versions in one update: from version 1 there are 33 (hint: let programs come with a newer root)"},
		{agreed.Walked{First: 1, Last: 200, To: 201}, true, "clients on versions 1 to 200 were walked up to 200 steps to version 201\nsome old clients take at most 32 versions in one update: from version 1 there are 200 (hint: let programs come with a newer root)"},
		{agreed.Walked{First: 1, Last: 201, To: 202}, true, "clients on versions 1 to 201 were walked up to 201 steps to version 202\nsome clients take at most 256 versions in one update: from version 1 there are 201 now (hint: let programs come with a newer root)"},
		{agreed.Walked{First: 1, Last: 256, To: 257}, true, "clients on versions 1 to 256 were walked up to 256 steps to version 257\nsome clients take at most 256 versions in one update: from version 1 there are 256 now (hint: let programs come with a newer root)"},
		{agreed.Walked{First: 1, Last: 257, To: 258}, true, "clients on versions 1 to 257 were walked up to 257 steps to version 258\nsome clients take at most 256 versions in one update: from version 1 there are 257, so programs must come with a newer root"},
	} {
		if got := strings.Join(c.w.Lines(c.done), "\n"); got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.w, got, c.want)
		}
	}
}

// The smallest number of people is what trying every set of them finds.
func TestFewestAgainstEverySet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var old, new agreed.Signers
		names := []string{"A", "B", "C", "D", "E", "F", "G"}
		for _, name := range names {
			for range rapid.SampledFrom([]int{0, 1, 1, 1, 2}).Draw(t, "old keys of "+name) {
				can := rapid.SampledFrom([]string{agreed.CanSign, agreed.CanSign, agreed.CanRestored, agreed.CanNot}).Draw(t, "can")
				old.Keys = append(old.Keys, agreed.SignerKey{Name: name, KeyID: "x", Can: can})
			}
			if rapid.Bool().Draw(t, "new key of "+name) {
				new.Keys = append(new.Keys, agreed.SignerKey{Name: name, Can: agreed.CanSign})
			}
		}
		able, some := len(old.Names(agreed.CanSign)), len(old.Names(agreed.CanRestored))
		if able+some == 0 || len(new.Keys) == 0 {
			t.Skip("nobody signs")
		}
		old.Need = rapid.IntRange(1, able+some).Draw(t, "old threshold")
		new.Need = rapid.IntRange(1, len(new.Keys)).Draw(t, "new threshold")
		least := len(names) + 1
		for set := range 1 << len(names) {
			in := func(k agreed.SignerKey) bool { return set>>slices.Index(names, k.Name)&1 == 1 }
			o, n, people := 0, 0, 0
			for _, k := range old.Keys {
				if in(k) && (k.Can == agreed.CanSign || k.Can == agreed.CanRestored && able < old.Need) {
					o++
				}
			}
			for _, k := range new.Keys {
				if in(k) {
					n++
				}
			}
			for i := range names {
				people += set >> i & 1
			}
			if o >= old.Need && n >= new.Need {
				least = min(least, people)
			}
		}
		if got := agreed.Fewest(old, new); got != least {
			t.Errorf("%d people, but %d suffice: %+v %+v", got, least, old, new)
		}
	})
}

// Who must sign, and in how many versions.
func TestPlanner(t *testing.T) {
	five := []string{"Alice", "Bruno", "Chen", "Dana", "Emil"}
	for _, c := range []struct {
		name      string
		holders   []string // of the trusted root
		old       int      // its threshold
		threshold int
		people    []string
		want      string // from "who must sign:" on, without the clients
		warnings  string
	}{
		{"a renewal", three, 2, 2, three, `
old root, version 2: any 2 of Alice, Bruno or Chen
new root, version 3: any 2 of Alice, Bruno or Chen
2 people suffice for both: a key that is in both counts for both
no token is named for Alice, Bruno and Chen: signed with a tool of their own, and collected
one version suffices`, ""},
		{"one goes, one comes", three, 2, 2, []string{"Alice", "Bruno", "Dana+", "Chen-retired"}, `
old root, version 2: any 2 of Alice, Bruno or Chen (drops)
new root, version 3: any 2 of Alice, Bruno or Dana
2 people suffice for both: a key that is in both counts for both
no token is named for Alice, Bruno and Chen: signed with a tool of their own, and collected
new keys are made by Dana
one version suffices`, ""},
		{"a new token for the same person", three, 2, 2, []string{"Alice", "Bruno", "Chen+", "Chen-compromised"}, `
old root, version 2: any 2 of Alice, Bruno or Chen (drops)
new root, version 3: any 2 of Alice, Bruno or Chen
2 people suffice for both: a key that is in both counts for both
no token is named for Alice, Bruno and Chen: signed with a tool of their own, and collected
new keys are made by Chen
one version suffices`, ""},
		{"two with new tokens, who sign for both", []string{"Alice", "Bruno"}, 2, 2, []string{"Alice+", "Bruno+", "Alice-retired", "Bruno-retired"}, `
old root, version 2: both Alice (drops) and Bruno (drops)
new root, version 3: both Alice and Bruno
2 people suffice for both: a key that is in both counts for both
no token is named for Alice and Bruno: signed with a tool of their own, and collected
new keys are made by Alice and Bruno
one version suffices`, ""},
		{"all get new tokens", five, 3, 3, []string{"Alice+", "Bruno+", "Chen+", "Dana+", "Emil+", "Alice-retired", "Bruno-retired", "Chen-retired", "Dana-retired", "Emil-retired"}, `
old root, version 2: any 3 of Alice (drops), Bruno (drops), Chen (drops), Dana (drops) or Emil (drops)
new root, version 3: any 3 of Alice, Bruno, Chen, Dana or Emil
3 people suffice for both: a key that is in both counts for both
no token is named for Alice, Bruno, Chen, Dana and Emil: signed with a tool of their own, and collected
new keys are made by Alice, Bruno, Chen, Dana and Emil
two versions are wiser than one:
- all root keys change at once: if the new tokens have a fault, nobody can sign the version after
1. version 3 with the new keys of Dana and Emil, while Alice's old key, Bruno's old key and Chen's old key stay
2. version 4 with the new keys of Alice, Bruno and Chen, without Alice's old key, Bruno's old key and Chen's old key`, ""},
		{"most are others", three, 2, 2, []string{"Alice", "Dana+", "Emil+", "Bruno-retired", "Chen-retired"}, `
old root, version 2: any 2 of Alice, Bruno (drops) or Chen (drops)
new root, version 3: any 2 of Alice, Dana or Emil
3 people suffice for both: a key that is in both counts for both
no token is named for Alice, Bruno and Chen: signed with a tool of their own, and collected
new keys are made by Dana and Emil
two versions are wiser than one:
- most root keys change at once: if the new tokens have a fault, nobody can sign the version after
1. version 3 with the new keys of Dana and Emil, while Bruno's old key stays
2. version 4 without Bruno's old key`, ""},
		{"two lost of five", five, 3, 3, []string{"Alice", "Bruno", "Chen", "Dana+", "Emil+", "Dana-lost", "Emil-lost"}, `
old root, version 2: all of Alice, Bruno and Chen
new root, version 3: any 3 of Alice, Bruno, Chen, Dana or Emil
3 people suffice for both: a key that is in both counts for both
nobody can sign with Dana's old key: lost
nobody can sign with Emil's old key: lost
no token is named for Alice, Bruno and Chen: signed with a tool of their own, and collected
new keys are made by Dana and Emil
two versions are wiser than one:
- only just enough keys of version 2 can still sign (3, and 3 must): the loss of one more before the day leaves no way on
1. version 3 as soon as can be, with only the keys of Alice, Bruno and Chen and a threshold of 2: nobody has to make a key for it
2. version 4 with the new keys of Dana and Emil, and a threshold of 3`, ""},
		{"just enough, and nobody new", three, 2, 2, []string{"Alice", "Bruno", "Chen-lost"}, `
old root, version 2: both Alice and Bruno
new root, version 3: both Alice and Bruno
2 people suffice for both: a key that is in both counts for both
nobody can sign with Chen's old key: lost
no token is named for Alice and Bruno: signed with a tool of their own, and collected
one version suffices`, "only just enough keys of version 2 can still sign (2, and 2 must): the loss of one more before the day leaves no way on (hint: hold the ceremony soon)"},
		{"a stolen key is needed", three, 2, 2, []string{"Alice", "Dana+", "Emil+", "Bruno-stolen", "Chen-lost"}, `
old root, version 2: both Alice and Bruno (restored)
new root, version 3: any 2 of Alice, Dana or Emil
3 people suffice for both: a key that is in both counts for both
Bruno's old key must be restored from a backup to sign: stolen
nobody can sign with Chen's old key: lost
no token is named for Alice: signed with a tool of their own, and collected
new keys are made by Dana and Emil
one version suffices`, "1 of the stolen keys (Bruno) must sign for version 2: restore so many from their backups first, or no version can be made (hint: hold the ceremony soon)"},
		{"a threshold of thieves", three, 2, 2, []string{"Alice", "Bruno+", "Chen+", "Bruno-stolen", "Chen-compromised"}, `
old root, version 2: any 2 of Alice, Bruno (restored) or Chen (drops)
new root, version 3: any 2 of Alice, Bruno or Chen
2 people suffice for both: a key that is in both counts for both
Bruno's old key must be restored from a backup to sign: stolen
no token is named for Alice and Chen: signed with a tool of their own, and collected
new keys are made by Bruno and Chen
one version suffices`, `only just enough keys of version 2 can still sign (2, and 2 must): the loss of one more before the day leaves no way on but to restore what is stolen (hint: hold the ceremony soon)
anyone who has Bruno's old key and Chen's old key (stolen or compromised) can sign a root after version 2 alone: clients that meet that one first follow it, and no new version calls them back (hint: rootceremony plan --kind revoke DIR says what is left to do)`},
		{"a threshold above the tokens there are", three, 2, 4, append(slices.Clone(three), "Dana+", "Emil+"), `
old root, version 2: any 2 of Alice, Bruno or Chen
new root, version 3: any 4 of Alice, Bruno, Chen, Dana or Emil
4 people suffice for both: a key that is in both counts for both
no token is named for Alice, Bruno and Chen: signed with a tool of their own, and collected
new keys are made by Dana and Emil
two versions are wiser than one:
- the threshold rises to 4, and only 3 of its tokens exist yet: one new token that fails holds everything up
1. version 3 with the new keys of Dana and Emil, and a threshold of 2 as now
2. version 4 with a threshold of 4`, ""},
		{"from one person to three", []string{"Alice"}, 1, 2, []string{"Alice+", "Bruno+", "Chen+", "Alice-retired"}, `
old root, version 2: Alice (drops)
new root, version 3: any 2 of Alice, Bruno or Chen
2 people suffice for both: a key that is in both counts for both
no token is named for Alice: signed with a tool of their own, and collected
new keys are made by Alice, Bruno and Chen
one version suffices`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rotation(t, chainOf(t, 2, c.old, c.holders...), c.threshold, c.people)
			check := agreed.Check(r, planNow)
			var got strings.Builder
			for _, line := range check.Rotation.Lines() {
				if line = strings.TrimSpace(line); line != "" && !strings.HasSuffix(line, ":") || strings.HasPrefix(line, "two versions") {
					if !strings.HasPrefix(line, "clients") {
						got.WriteString("\n" + line)
					}
				}
			}
			if got.String() != c.want {
				t.Errorf("got%s\nwant%s", got.String(), c.want)
			}
			warnings := slices.DeleteFunc(slices.Clone(check.Warnings), func(w string) bool { return strings.HasPrefix(w, "no witness") })
			if got := strings.Join(warnings, "\n"); got != c.warnings {
				t.Errorf("warnings\n%s\nwant\n%s", got, c.warnings)
			}
			if text := strings.Join(check.Lines(), "\n"); !strings.Contains(text, strings.Join(check.Rotation.Lines(), "\n")) {
				t.Error("it is not shown")
			}
			if data, err := json.Marshal(check); err != nil || !strings.Contains(string(data), `"rotation":{"old":{"version":2,`) {
				t.Errorf("%v %s", err, data)
			}
		})
	}
	if r := example(t); r.Rotation() != nil || agreed.Check(r, planNow).Rotation != nil {
		t.Error("a first root follows one")
	}
}

// When a version in between is worth a word, and whose old keys stay in it.
func TestStepsOnlyWhereMostChanges(t *testing.T) {
	four := []string{"Alice", "Bruno", "Chen", "Dana"}
	for _, c := range []struct {
		name      string
		old       []string
		threshold int
		people    []string
		first     string // empty: one version
	}{
		{"half of them", four, 3, []string{"Alice", "Bruno", "Emil+", "Farah+", "Chen-retired", "Dana-retired"}, ""},
		{"enough stay", append(slices.Clone(four), "Emil"), 2, []string{"Alice", "Bruno", "Farah+", "Chen-retired", "Dana-retired", "Emil-retired"}, ""},
		{"who gets a new key before who leaves", four, 2, []string{"Alice", "Dana+", "Emil+", "Bruno-retired", "Chen-retired", "Dana-retired"}, "version 3 with the new key of Emil, while Dana's old key stays"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rotation(t, chainOf(t, 2, 2, c.old...), c.threshold, c.people)
			first := append(r.Rotation().Steps.Versions, "")[0]
			if c.threshold == 3 && strings.Contains(strings.Join(r.Rotation().Steps.Why, ""), "at once") || c.threshold != 3 && first != c.first {
				t.Errorf("%+v", r.Rotation().Steps)
			}
		})
	}
}

// Old ed25519 tokens must sign a root of many P-256 holders: a smaller version
// before it frees them of that.
func TestBudgetBetween(t *testing.T) {
	var people []string
	for i := range 9 {
		people = append(people, fmt.Sprintf("Holder%d+", i))
	}
	r := rotation(t, chainOf(t, 2, 2, three...), 3, append(people, "Alice-retired", "Bruno-retired", "Chen-retired"), func(r *agreed.Plan) {
		r.Token.Algorithm, r.Token.MinFirmware = keys.P256, agreed.Firmware[keys.P256].String()
		for i, d := range r.Drops {
			r.Drops[i].Token = "old " + d.Name
		}
	})
	b := r.Budget()
	if !b.Refused || b.Limit != agreed.MaxTokenMessage {
		t.Fatalf("%+v", b)
	}
	want := "two versions, as ed25519 tokens of version 2 must sign the first: version 3 with algorithm = \"ecdsa-p256\", 5 of the new holders and a threshold of 3, which fits; then version 4 with all of them"
	if !slices.Contains(b.Advice, want) {
		t.Errorf("%q", b.Advice)
	}
	for n, refused := range map[int]bool{5: false, 6: true} {
		fewer := *r
		fewer.Holders = r.Holders[:n]
		if got := fewer.Budget(); got.Refused != refused {
			t.Errorf("%d holders: %+v", n, got)
		}
	}
	if b.MostHolders != 5 {
		t.Errorf("%d holders fit", b.MostHolders)
	}
	// Without stickers their holders sign with other tools, whatever the size.
	for i := range r.Drops {
		r.Drops[i].Token = ""
	}
	if b := r.Budget(); b.Refused {
		t.Errorf("%+v", b)
	}
	// A stolen key comes back on a token only.
	for i := range r.Drops[1:] {
		r.Drops[i+1].Reason = agreed.Stolen
	}
	if b := r.Budget(); !b.Refused {
		t.Errorf("%+v", b)
	}
}

// All that check says of a revocation.
func TestCheckOfARevocation(t *testing.T) {
	chain := chainOf(t, 3, 2, three...)
	r := rotation(t, chain, 2, []string{"Alice", "Bruno", "Dana+", "Chen-stolen"}, func(r *agreed.Plan) {
		r.Kind, r.Reason, r.Drops[0].Token = agreed.Revoke, "a theft", "C-03"
		r.Holders[2].Custody, r.Holders[2].Site = agreed.BackedUp, "Lagos"
		r.Backup = &agreed.Backup{Quorum: 2, Holders: true, Recipients: []agreed.BackupRecipient{{ID: "bank-safe", Name: "Bank safe", Age: safeAge}}}
	})
	want := fmt.Sprintf(`Example packages: revoke, root v4
signed by 2 of 3 holders; new ones with ed25519 keys; touch always; firmware 5.7.0 or newer
expires 2027-11-23 00:00:00 UTC, in 365 days
consistent snapshots: yes

who must come:
  Alice (alice), keeps the key %.8s
  Bruno (bruno), keeps the key %.8s
  Dana (dana), token T-2, backed-up, Lagos
  Bank safe (bank-safe), recipient of backups, age1

backups:
  any 2 of 3 open a holder's backup: the token of every other holder and Bank safe
  root key, PUK and management key of Dana: 6 files each
  nothing of Alice and Bruno, whose keys and tokens stay as they are
  on the day of need this program opens them; without it, by docs/recovery.md:
    the holders' tokens, 1 or more in every quorum: pkcs11-tool with Yubico's ykcs11, and docs/recover-token-layer
    Bank safe: age 1.1 or newer

dropped keys:
  Chen (old-%.8s), stolen, token C-03

trusted root:
  versions 1 to 3 were verified, each by the one before
  version 1 is taken on trust; the SHA-256 of its file is %s
  whether a newer one was published, this laptop cannot know: look where it is published

who must sign:
  old root, version 3: any 2 of Alice, Bruno or Chen (restored)
  new root, version 4: any 2 of Alice, Bruno or Dana
  2 people suffice for both: a key that is in both counts for both
  Chen's old key must be restored from a backup to sign: stolen
  no token is named for Alice and Bruno: signed with a tool of their own, and collected
  new keys are made by Dana

versions:
  one version suffices
  clients on versions 1 to 3 walk up to 3 steps to version 4, once that is signed

online roles:
  timestamp: 1 of 1, key ids begin %.8s
  snapshot: 1 of 1, key ids begin %.8s
  targets: 1 of 1, key ids begin %.8s

digest: %s

custody:
  any 2 of Alice, Bruno or Dana could sign, with their tokens and PINs
  any 2 of Alice, Bruno, Dana or Bank safe could open the key backups and, together with any one of Alice or Bruno and their tokens and PINs, sign
  losing the tokens of both Alice and Bruno locks the project out: this plan makes no backup of these keys
  losing the tokens and identities of any 3 of Alice, Bruno, Dana or Bank safe locks the project out: no quorum is left to open the backups
  the keys of Alice and Bruno stay: backups, if there are any, are of earlier ceremonies and not counted here
  no site is known for Alice, Bruno and Bank safe: the analysis of sites is without them
  warning: two losses lock the project out (hint: more holders, or more recipients than the quorum)
  root metadata: 1851 bytes to sign, of 3000 at most
  with these online keys, 7 holders would fit

warning: no witness is named: nobody but the holders confirms what happened
warning: only just enough keys of version 3 can still sign (2, and 2 must): the loss of one more before the day leaves no way on but to restore what is stolen (hint: hold the ceremony soon)`,
		idOf("Alice"), idOf("Bruno"), idOf("Chen"), agreed.Grouped(agreed.DigestOf(chain[0])), idOf("timestamp"), idOf("snapshot"), idOf("targets"), agreed.Grouped(r.Digest()))
	if got := strings.Join(agreed.Check(r, planNow).Lines(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
