package agreed_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

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
	r := example(t)
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
		t.Run(c.name, func(t *testing.T) {
			root := holderKeys(r)
			c.change(root)
			if _, err := r.Draft(root, r.Expires); err == nil || err.Error() != c.want {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := r.Draft(holderKeys(r), r.Expires.Add(time.Second)); err == nil || !strings.Contains(err.Error(), "is not what the plan says") {
		t.Errorf("another expiry: %v", err)
	}
}

func TestRoleKeysMayServeSeveralRoles(t *testing.T) {
	r := example(t, func(r *agreed.Plan) {
		r.Roles["snapshot"], r.Roles["targets"] = r.Roles["timestamp"], r.Roles["timestamp"]
	})
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
