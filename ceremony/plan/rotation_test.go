package plan

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// A dropped key that signs for another role too is not out of the world.
func TestDroppedKeyOfAnOnlineRole(t *testing.T) {
	dir, last := realChain(t, "joomla-updates", 16)
	p, err := realPlan(t, dir, "[root]\nexpires = \"365d\"\n", last, 2, "name = \"Zoe\"\n")
	if err != nil {
		t.Fatal(err)
	}
	for reason, want := range map[string]string{
		agreed.Retired:     "Zoe's old key is dropped as a root key (retired), but still signs for snapshot",
		agreed.Lost:        "Zoe's old key is dropped as a root key (lost), and stays in snapshot, for which nobody can sign with it (hint: [role.snapshot] in the plan, with the keys that are good)",
		agreed.Stolen:      "A STOLEN KEY STAYS IN USE: Zoe's old key is dropped as a root key, and this plan leaves it in snapshot: anyone who has it signs for that role alone (hint: [role.snapshot] in the plan, with the keys that are good)",
		agreed.Compromised: "A COMPROMISED KEY STAYS IN USE: Zoe's old key is dropped as a root key, and this plan leaves it in snapshot: anyone who has it signs for that role alone (hint: [role.snapshot] in the plan, with the keys that are good)",
	} {
		p.Drops[0].Reason = reason
		r, err := p.Resolve(planNow)
		if err != nil {
			t.Fatal(err)
		}
		if got := agreed.Check(r, planNow).Warnings; !slices.Contains(got, want) {
			t.Errorf("%q", got)
		}
	}
}

// The budget speaks where a token must sign the whole root, and what it advises
// does help.
func TestBudgetOfRealChains(t *testing.T) {
	joomla, j := realChain(t, "joomla-updates", 16)
	sigstore, s := realChain(t, "sigstore", 15)
	for _, c := range []struct {
		name string
		dir  string
		last *tuf.File
		head string
		kept int
		rest string
		want string // empty: it fits
	}{
		{"ed25519 tokens", joomla, j, "[root]\nexpires = \"365d\"\nthreshold = 2\n", 0, newThree,
			`16:3: the root would have 7070 bytes: over the 3000 that an ed25519 token signs, and with these online keys no holder fits (hint: algorithm = "ecdsa-p256" (the first ecdsa-p256 keys of this chain: clients that were built for those so far may refuse them, as php-tuf refuses keys in PEM): such tokens sign a digest, whatever the size)`},
		{"ecdsa-p256 tokens", joomla, j, "[root]\nexpires = \"365d\"\nthreshold = 2\n[token]\nalgorithm = \"ecdsa-p256\"\n", 0, newThree, ""},
		{"ed25519 tokens of a legacy root", sigstore, s, "[root]\nexpires = \"365d\"\n", 0, newThree,
			`21:3: the root would have 4176 bytes: over the 3000 that an ed25519 token signs, and with these online keys no holder fits (hint: ed25519 online keys instead of PEM ones (the first ed25519 keys of this chain: clients that were built for those so far may refuse them) saves 1280 bytes; or algorithm = "ecdsa-p256": such tokens sign a digest, whatever the size)`},
		{"a renewal", sigstore, s, "[root]\nexpires = \"365d\"\n", 5, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := realPlan(t, c.dir, c.head, c.last, c.kept, c.rest)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = p.Resolve(planNow); c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantFaults(t, err, p.File, c.want)
		})
	}
}

// One new online key for all three roles makes a legacy root fit.
func TestBudgetAdviceHelps(t *testing.T) {
	dir, last := realChain(t, "joomla-updates", 16)
	text := "[root]\nexpires = \"365d\"\nthreshold = 2\n"
	for _, name := range agreed.OnlineRoles {
		text += fmt.Sprintf("[role.%s]\nthreshold = 1\nkeys = [\"online.pub\"]\n", name)
	}
	p, err := realPlan(t, dir, text, last, 0, newThree)
	if err == nil {
		t.Fatal("the key file is not there")
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(p.File), "online.pub"), []byte(agreed.Placeholder(keys.Ed25519, "online").Hex), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err = Read(p.File); err != nil {
		t.Fatal(err)
	}
	r, err := p.Resolve(planNow)
	if err != nil {
		t.Fatal(err)
	}
	if root, _ := drafted(t, r); len(root.Keys) != 4 {
		t.Errorf("%d keys", len(root.Keys))
	}
}

// Keys that stay may be larger than new ones: as many as are said to fit do.
func TestBudgetOfKeysThatStay(t *testing.T) {
	dir, last := realChain(t, "sigstore", 15)
	p, err := realPlan(t, dir, "[root]\nexpires = \"365d\"\n[token]\nalgorithm = \"ed25519\"\n", last, 5, newThree)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.ResolveAnySize(planNow)
	if err != nil {
		t.Fatal(err)
	}
	b := r.Budget()
	if !b.Refused || b.Bytes != r.Size() {
		t.Errorf("%+v", b)
	}
	for n, most := 0, b.MostHolders; n <= len(r.Holders); n++ {
		if fits := r.With(n, r.Roles).Size() <= b.Limit; fits != (n <= most && most > 0) {
			t.Errorf("%d holders fit: %v, of %d", n, fits, most)
		}
	}
	// Keys in PEM are larger than those that would take their place.
	large := resolvedRotation(t, rotation(2, three...), chainOf(t, 1, 2, three...))
	small := large.Size()
	for i, k := range large.TrustedFile.Root.Keys {
		if !slices.Contains(large.TrustedFile.Root.Roles[tuf.RoleRoot].KeyIDs, k.ID) {
			continue
		}
		pem := agreed.MustKey(agreed.Placeholder(keys.P256, k.ID))
		pem.ID = k.ID
		large.TrustedFile.Root.Keys[i] = pem
	}
	want := fmt.Sprintf("a new key for everybody who keeps an old one saves %d bytes", large.Size()-small)
	if got := large.Shrink(agreed.Budget{Bytes: large.Size(), Limit: agreed.MaxTokenMessage}); !slices.Contains(got, want) {
		t.Errorf("%q, want %s", got, want)
	}
}

// What check says of renewals of real chains.
func TestCheckOfRealChains(t *testing.T) {
	for _, c := range []struct {
		name   string
		newest int
		kept   int
		want   []string
	}{
		{"joomla-updates", 16, 3, []string{
			"signed by 1 of 3 holders, with the keys they have",
			"  versions 1 to 16 were verified, each by the one before",
			`  all keys of version 16 have keyid_hash_algorithms ["sha256","sha512"]: new keys get it too, as php-tuf refuses a root over one without it`,
			"  old root, version 16: any one of A, B or C",
			"  1 person suffices for both: a key that is in both counts for both",
			"  no token is named for A, B and C: signed with a tool of their own, and collected",
			"  one version suffices",
			"  clients on versions 1 to 16 walk up to 16 steps to version 17, once that is signed",
			"  root metadata: 6592 bytes to sign, of 50000 at most",
		}},
		{"sigstore", 15, 5, []string{
			"signed by 3 of 5 holders, with the keys they have",
			"  version 15 expired on 2026-11-20T13:58:18Z: clients refuse updates until they have the next one",
			"  6 keys are carried over in a notation that new keys do not have, as their ids hang on it: 0c87432c, 183e64f3, 22f4caec, 61643838, a687e5bf and e71a54d5",
			`  2 fields that the specification does not name are carried over: "x-tuf-on-ci-expiry-period" and "x-tuf-on-ci-signing-period"`,
			"  new root, version 16: any 3 of A, B, C, D or E",
			"  3 people suffice for both: a key that is in both counts for both",
			"  clients on versions 1 to 15 walk up to 15 steps to version 16, once that is signed",
			"  root metadata: 3725 bytes to sign, of 50000 at most",
		}},
	} {
		dir, last := realChain(t, c.name, c.newest)
		p, err := realPlan(t, dir, "[root]\nexpires = \"365d\"\n", last, c.kept, "")
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(planNow)
		if err != nil {
			t.Fatal(err)
		}
		lines := agreed.Check(r, planNow).Lines()
		for _, want := range c.want {
			if !slices.Contains(lines, want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, strings.Join(lines, "\n"))
			}
		}
	}
}
