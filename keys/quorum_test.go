package keys_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"rootceremony/keys"
)

func TestSubsets(t *testing.T) {
	for n := range 12 {
		for k := -1; k <= n+1; k++ {
			count := 0
			for set := range 1 << n {
				if ones(set) == k {
					count++
				}
			}
			if got := keys.Subsets(n, k); got != min(count, keys.MaxSubsets+1) {
				t.Errorf("%d of %d: %d, not %d", k, n, got, count)
			}
		}
	}
	if got := keys.Subsets(1000, 500); got != keys.MaxSubsets+1 {
		t.Errorf("500 of 1000: %d", got)
	}
}

func ones(set int) (n int) {
	for ; set != 0; set &= set - 1 {
		n++
	}
	return n
}

var alice = keys.Recipient{Name: "Alice", Slug: "alice"}

func TestQuorumsOrder(t *testing.T) {
	var people []keys.Recipient
	for _, name := range []string{"Emil", "Bruno", "Dana", "Chen"} {
		people = append(people, recipient(t, name, keys.RecipientX25519))
	}
	quorums, err := keys.Quorums(alice, people, 2)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, q := range quorums {
		names = append(names, keys.BackupName(q, keys.BackupKey))
	}
	want := "bruno+chen.key.age bruno+dana.key.age bruno+emil.key.age chen+dana.key.age chen+emil.key.age dana+emil.key.age"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if people[0].Slug != "emil" {
		t.Error("the caller's recipients are in another order now")
	}
}

func TestQuorumsRefuses(t *testing.T) {
	bruno, chen, dana := recipient(t, "Bruno", keys.RecipientX25519), recipient(t, "Chen", keys.RecipientToken), recipient(t, "Dana", keys.RecipientSSH)
	// The same P-256 key as another plugin writes it.
	_, chenPoint, _ := keys.Bech32Decode(chen.Text)
	chenYubikey := parse(t, "Chen too", keys.Bech32Encode("age1yubikey", chenPoint))
	// And the P-256 key of a hybrid one, alone.
	hybrid := recipient(t, "Emil", keys.RecipientHybridToken)
	_, both, _ := keys.Bech32Decode(hybrid.Text)
	emilToken, err := keys.TokenRecipient(keys.PublicKey{Algorithm: keys.P256, Hex: hex.EncodeToString(both[len(both)-65:])})
	if err != nil {
		t.Fatal(err)
	}
	var many, long []keys.Recipient
	for i := range 10 {
		many = append(many, recipient(t, fmt.Sprintf("r%d", i), keys.RecipientX25519))
		long = append(long, recipient(t, fmt.Sprintf("%d %s", i, strings.Repeat("x", 30)), keys.RecipientX25519))
	}
	holder := recipient(t, "Alice", keys.RecipientToken)
	for _, c := range []struct {
		holder keys.Recipient
		rs     []keys.Recipient
		k      int
		want   []string
	}{
		{keys.Recipient{}, []keys.Recipient{bruno}, 1, []string{"whose backup"}},
		{alice, []keys.Recipient{bruno, chen}, 0, []string{"Alice", "quorum of 0"}},
		{alice, []keys.Recipient{bruno, chen}, -1, []string{"quorum of -1"}},
		{alice, []keys.Recipient{bruno, chen}, 3, []string{"Alice", "quorum of 3", "who are 2"}},
		{alice, nil, 1, []string{"who are 0"}},
		{alice, []keys.Recipient{bruno, recipient(t, "ALICE", keys.RecipientX25519)}, 1, []string{`"ALICE" is the holder Alice`}},
		{holder, []keys.Recipient{bruno, parse(t, "Somebody", holder.Text)}, 1, []string{`"Somebody" is the holder Alice`}},
		{alice, []keys.Recipient{bruno, bruno}, 1, []string{`"Bruno" and "Bruno"`}},
		{alice, []keys.Recipient{bruno, parse(t, "BRUNO", chen.Text)}, 1, []string{`"Bruno" and "BRUNO"`, "both bruno"}},
		{alice, []keys.Recipient{bruno, parse(t, "Zoe", bruno.Text)}, 1, []string{`"Bruno" and "Zoe" are the same key`}},
		{alice, []keys.Recipient{chen, chenYubikey}, 1, []string{`"Chen" and "Chen too" are the same key`}},
		{alice, []keys.Recipient{dana, parse(t, "Zoe", dana.Text+" another comment")}, 1, []string{"same key"}},
		{alice, []keys.Recipient{hybrid, parse(t, "Emil too", emilToken)}, 1, []string{`"Emil" and "Emil too" are the same key`}},
		{alice, []keys.Recipient{bruno, parse(t, "Łukasz", chen.Text)}, 1, []string{`"Łukasz" has no name for files`}},
		{alice, many, 4, []string{"4 of 10", "more than 100 files", "hint"}},
		{alice, long, 9, []string{"characters: at most"}},
	} {
		t.Run(strings.Join(c.want, " "), func(t *testing.T) {
			quorums, err := keys.Quorums(c.holder, c.rs, c.k)
			if err == nil {
				t.Errorf("%v: %d quorums", c.want, len(quorums))
				return
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
		})
	}
	// What looks alike and is not refused.
	for _, rs := range [][]keys.Recipient{
		{parse(t, "One", "passphrase"), parse(t, "Two", "passphrase")},
		{parse(t, "One", keys.Bech32Encode("age1a", []byte{1, 2})), parse(t, "Two", keys.Bech32Encode("age1b", []byte{1, 2}))},
		many,
	} {
		if _, err := keys.Quorums(alice, rs, 2); err != nil {
			t.Error(err)
		}
	}
}

func TestLayers(t *testing.T) {
	layers, err := keys.Layers("bruno+chen+dana.key.age")
	want := []keys.Layer{
		{"bruno+chen+dana.key.age", keys.BackupKey, "dana", 2},
		{"bruno+chen+dana.key.age", keys.BackupKey, "chen", 1},
		{"bruno+chen+dana.key.age", keys.BackupKey, "bruno", 0},
	}
	if err != nil || !slices.Equal(layers, want) {
		t.Errorf("%v, %v", layers, err)
	}
	for _, bad := range []string{
		"", ".key.age", "bruno", "bruno.age", "bruno.key", "bruno.key.age ", "bruno.key.age\n", "Bruno.key.age", "bruno.keys.age", "bruno.key.age.1",
		"+bruno.key.age", "bruno+.key.age", "bruno++dana.key.age", "dana+bruno.key.age", "bruno+bruno.key.age", "a/bruno.key.age", "../bruno.key.age",
		"brüno.key.age", "-bruno.key.age", "bruno.token.key.age", strings.Repeat("a", 33) + ".key.age", "a+" + strings.Repeat("b", 400) + ".key.age",
	} {
		if layers, err := keys.Layers(bad); err == nil {
			t.Errorf("%q is read as %v", bad, layers)
		} else if len(err.Error()) > 400 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzLayers(f *testing.F) {
	for _, seed := range []string{"bruno+chen+dana.key.age", "a.token.age", "a+b", "b+a.key.age", "a-+b-.key.age", ".key.age"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		layers, err := keys.Layers(name)
		if err != nil {
			return
		}
		// What is read is what is written.
		var quorum []keys.Recipient
		for i, l := range slices.Backward(layers) {
			if l.Inner != len(quorum) || l.Inner != len(layers)-1-i || l.File != name {
				t.Errorf("%q: %+v", name, l)
			}
			quorum = append(quorum, keys.Recipient{Slug: l.Who})
		}
		if again := keys.BackupName(quorum, layers[0].What); again != name {
			t.Errorf("%q is written as %q", name, again)
		}
	})
}
