package agreed_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/agreed"
)

// A hostile plan.resolved.json is held to what Resolve returns.
func TestParseResolvedRotationIsStrict(t *testing.T) {
	chain := chainOf(t, 3, 2, three...)
	r := rotation(t, chain, 2, []string{"Alice", "Bruno", "Dana+", "Chen-retired"}, func(r *agreed.Plan) { r.Kind, r.Reason = agreed.Revoke, "a theft" })
	good := string(r.JSON())
	again, err := agreed.Parse([]byte(good), r.PrivateJSON())
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Fatalf("%v:\n%+v\n%+v", err, again, r)
	}
	sum := func(n int) string { return agreed.DigestOf(chain[n-1]) }
	root := func(file []byte) string {
		text, err := json.Marshal(string(file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	newest := root(chain[2])
	versions := fmt.Sprintf(`"versions": [
      {
        "version": 1,
        "sha256": %q
      },
      {
        "version": 2,
        "sha256": %q
      },
      {
        "version": 3,
        "sha256": %q
      }
    ]`, sum(1), sum(2), sum(3))
	unsigned := spoilt(t, chain[2], 2)
	drop := fmt.Sprintf(`    {
      "id": %q,
      "keyid": %q,
      "reason": "retired",
      "name": "Chen"
    }`, agreed.DropID(idOf("Chen"), 8), idOf("Chen"))
	for _, c := range []struct {
		name, want string
		changes    []string
	}{
		{"no trusted root", "trusted: trusted is missing", []string{`"trusted": {`, `"elsewhere": {`}},
		{"create after a root", "trusted: trusted is for rotate and revoke: create starts from no root", []string{`"revoke"`, `"create"`}},
		{"renew", `kind: kind "renew" is none of create, rotate, revoke`, []string{`"revoke"`, `"renew"`}},
		{"no reason", "reason: reason is missing", []string{`"reason": "a theft"`, `"reason": ""`}},
		{"no versions", "no version is named", []string{versions, `"versions": []`}},
		{"not consecutive", "version 3 is not the next", []string{versions, strings.Replace(versions, `"version": 2,`, `"version": 3,`, 1)}},
		{"downwards", "version 1 is not the next", []string{`"version": 2,` + "\n        \"sha256\"", `"version": 1,` + "\n        \"sha256\""}},
		{"another sum of the newest", "the newest root is not the one that is named", []string{sum(3), sum(2)}},
		{"no sum", "version 2 has no SHA-256", []string{sum(2), sum(2)[1:]}},
		{"a sum in capitals", "version 2 has no SHA-256", []string{sum(2), strings.ToUpper(sum(2))}},
		{"another root", "the newest root is not the one that is named", []string{newest, root(chain[1])}},
		{"another root with its sum", "the newest root is not the one that is named", []string{newest, root(chain[1]), sum(3), sum(2)}},
		{"a root nobody signed", "is not signed by enough of its keys", []string{newest, root(unsigned), sum(3), agreed.DigestOf(unsigned)}},
		{"no root", "the JSON text ends too early", []string{newest, `""`}},
		{"a later version", "version: version 5 does not follow version 3", []string{"\n  \"version\": 4,", "\n  \"version\": 5,"}},
		{"the same version", "version: version 3 does not follow version 3", []string{"\n  \"version\": 4,", "\n  \"version\": 3,"}},
		{"dropped twice", fmt.Sprintf("drop[1].keyid: the key %.8s is dropped already", idOf("Chen")), []string{drop, drop + ",\n" + drop}},
		{"not dropped", fmt.Sprintf("the root key %s of version 3 is nobody's in this plan", idOf("Chen")), []string{drop, ""}},
		{"kept and dropped", fmt.Sprintf(`drop[0].keyid: the key %.8s is that of "Alice" already`, idOf("Alice")), []string{`"keyid": "` + idOf("Chen"), `"keyid": "` + idOf("Alice")}},
		{"an unknown key dropped", fmt.Sprintf("drop[0].keyid: no root key of version 3 has the id %q", idOf("Xenia")), []string{`"keyid": "` + idOf("Chen"), `"keyid": "` + idOf("Xenia")}},
		{"an unknown key kept", fmt.Sprintf("holder[0].keyid: no root key of version 3 has the id %q", idOf("Xenia")), []string{`"keyid": "` + idOf("Alice"), `"keyid": "` + idOf("Xenia")}},
		{"another reason", "is none of lost, stolen, compromised, retired", []string{`"reason": "retired"`, `"reason": "gone"`}},
		{"another id", "is not one of this plan", []string{agreed.DropID(idOf("Chen"), 8), "old-chen"}},
		{"a holder's id", "is not one of this plan", []string{agreed.DropID(idOf("Chen"), 8), "dana"}},
		{"a path as id", "is not one of this plan", []string{agreed.DropID(idOf("Chen"), 8), "../old"}},
		{"a name that prints nothing", "cannot be printed", []string{`"name": "Chen"`, `"name": "\u202e"`}},
		{"a holder's sticker", `drop[0].token: token "T-2" is the sticker of "Dana" already`, []string{`"name": "Chen"`, `"name": "Chen",` + "\n      \"token\": \"T-2\""}},
		{"existing without a key", "holder[0].keyid: keyid is empty", []string{"\"existing\",\n      \"keyid\": \"" + idOf("Alice") + `"`, `"existing"`}},
		{"a new key with an old id", `holder[2].keyid: keyid is for custody "existing" only`, []string{`"custody": "on-token"`, `"custody": "on-token", "keyid": "` + idOf("Chen") + `"`}},
		{"existing with a spare", `holder[0].spare: a spare token needs custody "backed-up"`, []string{`"custody": "existing",`, `"custody": "existing", "spare": true,`}},
		{"a mark of its own", "not as it was written", []string{`"trusted": {`, `"trusted": {"anchor": 1,`}},
		{"a role of its own", `a role "root"`, []string{`"roles": {}`, `"roles": {"root": {"threshold": 1, "keys": []}}`}},
		{"roles that are null", "roles is no table", []string{`"roles": {}`, `"roles": null`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := good
			for pair := range slices.Chunk(c.changes, 2) {
				if !strings.Contains(bad, pair[0]) {
					t.Errorf("no %s", pair[0])
				}
				bad = strings.Replace(bad, pair[0], pair[1], 1)
			}
			if got, err := agreed.Parse([]byte(bad), r.PrivateJSON()); err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	// Too many that are lost leave no way on.
	many := rotation(t, chain, 2, []string{"Alice", "Bruno", "Dana+", "Chen-retired"})
	many.Drops[0].Reason = agreed.Lost
	many.Holders, many.Drops = many.Holders[1:], append(many.Drops, agreed.Drop{ID: agreed.DropID(idOf("Alice"), 8), KeyID: idOf("Alice"), Reason: agreed.Lost})
	if _, err := agreed.Parse(many.JSON(), many.PrivateJSON()); err == nil || !strings.Contains(err.Error(), "drop[0]: version 3 must be signed by 2 of its keys to be followed, and with these drops only 1 can still sign") {
		t.Errorf("%v", err)
	}
}

// Two root keys whose ids begin alike are told apart.
func TestDropIDs(t *testing.T) {
	for _, c := range []struct {
		id   string
		n    int
		want string
	}{
		{"1b1b1dd55b2c1c72", 8, "old-1b1b1dd5"}, {"1B1B1DD55b", 8, "old-1b1b1dd5"}, {"abc", 8, "old-abc"}, {"my key/1", 8, "old-my-key-1"}, {"é../", 8, "old-----"},
		{strings.Repeat("ab", 32), agreed.MaxID - 4, "old-" + strings.Repeat("ab", 14)},
	} {
		if got := agreed.DropID(c.id, c.n); got != c.want || agreed.CheckID(got) != nil {
			t.Errorf("%q: %q, want %q", c.id, got, c.want)
		}
	}
}
