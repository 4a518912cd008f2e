package backup

import (
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
			if got := Subsets(n, k); got != min(count, MaxSubsets+1) {
				t.Errorf("%d of %d: %d, not %d", k, n, got, count)
			}
		}
	}
	if got := Subsets(1000, 500); got != MaxSubsets+1 {
		t.Errorf("500 of 1000: %d", got)
	}
}

func ones(set int) (n int) {
	for ; set != 0; set &= set - 1 {
		n++
	}
	return n
}

func TestQuorumsOrder(t *testing.T) {
	var people []person
	for _, name := range []string{"Emil", "Bruno", "Dana", "Chen"} {
		people = append(people, meet(t, name, X25519))
	}
	quorums, err := Quorums(alice, recipients(people), 2)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, q := range quorums {
		names = append(names, fileName(q, KeySecret))
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
	bruno, chen, dana := meet(t, "Bruno", X25519), meet(t, "Chen", Token), meet(t, "Dana", SSH)
	parse := func(name, text string) *Recipient {
		r, err := ParseRecipient(name, text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	locked := func(name, text string) *Recipient {
		r := parse(name, "passphrase")
		if err := r.SetPassphrase(buffer(t, text)); err != nil {
			t.Fatal(err)
		}
		return r
	}
	// The same P-256 key as another plugin writes it.
	chenData := strings.Replace(chen.Recipient.key, "p256 ", "", 1)
	chenYubikey := parse("Chen too", pluginText(t, "yubikey", chenData))
	var many, long []*Recipient
	for i := range 10 {
		many = append(many, meet(t, fmt.Sprintf("r%d", i), X25519).Recipient)
		r := meet(t, fmt.Sprintf("%d %s", i, strings.Repeat("x", 30)), X25519).Recipient
		long = append(long, r)
	}
	holder := meet(t, "Alice", Token).Recipient
	for _, c := range []struct {
		holder *Recipient
		rs     []*Recipient
		k      int
		want   []string
	}{
		{nil, recipients([]person{bruno}), 1, []string{"whose backup"}},
		{alice, recipients([]person{bruno, chen}), 0, []string{"Alice", "quorum of 0"}},
		{alice, recipients([]person{bruno, chen}), -1, []string{"quorum of -1"}},
		{alice, recipients([]person{bruno, chen}), 3, []string{"Alice", "quorum of 3", "who are 2"}},
		{alice, nil, 1, []string{"who are 0"}},
		{alice, []*Recipient{bruno.Recipient, meet(t, "ALICE", X25519).Recipient}, 1, []string{`"ALICE" is the holder Alice`}},
		{holder, []*Recipient{bruno.Recipient, parse("Somebody", holder.Text)}, 1, []string{`"Somebody" is the holder Alice`}},
		{alice, []*Recipient{bruno.Recipient, bruno.Recipient}, 1, []string{`"Bruno" and "Bruno"`}},
		{alice, []*Recipient{bruno.Recipient, parse("BRUNO", chen.Text)}, 1, []string{`"Bruno" and "BRUNO"`, "both bruno"}},
		{alice, []*Recipient{bruno.Recipient, parse("Zoe", bruno.Text)}, 1, []string{`"Bruno" and "Zoe" are the same key`}},
		{alice, []*Recipient{chen.Recipient, chenYubikey}, 1, []string{`"Chen" and "Chen too" are the same key`}},
		{alice, []*Recipient{dana.Recipient, parse("Zoe", dana.Text+" another comment")}, 1, []string{"same key"}},
		{alice, []*Recipient{locked("One", "correct horse battery"), locked("Two", "correct horse battery")}, 1, []string{"same key"}},
		{alice, []*Recipient{bruno.Recipient, parse("Łukasz", chen.Text)}, 1, []string{`"Łukasz" has no name for files`}},
		{alice, many, 4, []string{"4 of 10", "more than 100 files", "hint"}},
		{alice, long, 9, []string{"characters: at most"}},
	} {
		quorums, err := Quorums(c.holder, c.rs, c.k)
		if err == nil {
			t.Errorf("%v: %d quorums", c.want, len(quorums))
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
	}
	// What looks alike and is not refused.
	for _, rs := range [][]*Recipient{
		{locked("One", "correct horse battery"), locked("Two", "correct horse batterie")},
		{parse("One", "passphrase"), parse("Two", "passphrase")},
		{parse("One", pluginText(t, "a", "0102")), parse("Two", pluginText(t, "b", "0102"))},
		many,
	} {
		if _, err := Quorums(alice, rs, 2); err != nil {
			t.Error(err)
		}
	}
}

// For up to five recipients and every quorum: each set of the people opens a
// file exactly when it has as many as the quorum.
func TestEverySubset(t *testing.T) {
	_, text := freshKey(t, keys.Ed25519)
	var people []person
	for _, name := range []string{"Bruno", "Chen", "Dana", "Emil", "Fay"} {
		people = append(people, meet(t, name, X25519))
	}
	for n := 1; n <= 5; n++ {
		for k := 1; k <= n; k++ {
			files, err := Seal(text, KeySecret, alice, recipients(people[:n]), k)
			if err != nil {
				t.Fatal(err)
			}
			if len(files) != Subsets(n, k) {
				t.Errorf("%d of %d: %d files", k, n, len(files))
			}
			for set := range 1 << n {
				var present []person
				for i, p := range people[:n] {
					if set>>i&1 == 1 {
						present = append(present, p)
					}
				}
				opened := slices.ContainsFunc(files, func(f File) bool {
					got, err := openFile(f, by(present))
					defer got.Wipe()
					return err == nil && string(got.Bytes()) == string(text.Bytes())
				})
				if opened != (len(present) >= k) {
					t.Errorf("quorum %d of %d, %d people: opened is %v", k, n, len(present), opened)
				}
			}
		}
	}
}

func TestLayers(t *testing.T) {
	layers, err := Layers("bruno+chen+dana.key.age")
	want := []Layer{
		{"bruno+chen+dana.key.age", KeySecret, "dana", 2},
		{"bruno+chen+dana.key.age", KeySecret, "chen", 1},
		{"bruno+chen+dana.key.age", KeySecret, "bruno", 0},
	}
	if err != nil || !slices.Equal(layers, want) {
		t.Errorf("%v, %v", layers, err)
	}
	for _, bad := range []string{
		"", ".key.age", "bruno", "bruno.age", "bruno.key", "bruno.key.age ", "bruno.key.age\n", "Bruno.key.age", "bruno.keys.age", "bruno.key.age.1",
		"+bruno.key.age", "bruno+.key.age", "bruno++dana.key.age", "dana+bruno.key.age", "bruno+bruno.key.age", "a/bruno.key.age", "../bruno.key.age",
		"brüno.key.age", "-bruno.key.age", "bruno.token.key.age", strings.Repeat("a", 33) + ".key.age", "a+" + strings.Repeat("b", 400) + ".key.age",
	} {
		if layers, err := Layers(bad); err == nil {
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
		layers, err := Layers(name)
		if err != nil {
			return
		}
		// What is read is what is written.
		var quorum []*Recipient
		for i, l := range slices.Backward(layers) {
			if l.Inner != len(quorum) || l.Inner != len(layers)-1-i || l.File != name {
				t.Errorf("%q: %+v", name, l)
			}
			quorum = append(quorum, &Recipient{Slug: l.Who})
		}
		if again := fileName(quorum, layers[0].What); again != name {
			t.Errorf("%q is written as %q", name, again)
		}
	})
}
