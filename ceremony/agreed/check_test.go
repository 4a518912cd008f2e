package agreed_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Of every way in which two keys serve three roles: it is warned of exactly
// those in which one key signs for targets and for another role, and what is
// said of its thief is true.
func TestSharedKeysOfEveryLayout(t *testing.T) {
	pair := []tuf.Key{agreed.MustKey(agreed.Placeholder(keys.Ed25519, "a")), agreed.MustKey(agreed.Placeholder(keys.Ed25519, "b"))}
	layouts := []agreed.Role{{Threshold: 1, Keys: pair[:1]}, {Threshold: 1, Keys: pair[1:]}, {Threshold: 1, Keys: pair}, {Threshold: 2, Keys: pair}}
	warned, alone := 0, 0
	for i := range len(layouts) * len(layouts) * len(layouts) {
		r := example(t)
		r.Roles = map[string]agreed.Role{"timestamp": layouts[i%4], "snapshot": layouts[i/4%4], "targets": layouts[i/16]}
		check := agreed.Check(r, planNow)
		for _, key := range pair {
			serves := func(name string) bool {
				return slices.ContainsFunc(r.Roles[name].Keys, func(k tuf.Key) bool { return k.Value() == key.Value() })
			}
			shared := serves("targets") && (serves("timestamp") || serves("snapshot"))
			j := slices.IndexFunc(check.Warnings, func(w string) bool { return strings.Contains(w, key.ID[:8]) })
			if j < 0 != !shared {
				t.Fatalf("%d: shared %v, warnings %q", i, shared, check.Warnings)
			}
			if !shared {
				continue
			}
			warned++
			text, lacks := check.Warnings[j], 0
			for _, name := range agreed.OnlineRoles {
				more := r.Roles[name].Threshold
				if serves(name) {
					more--
				}
				said := strings.Contains(text, fmt.Sprintf("%d more for %s", more, name))
				if said != (more > 0) {
					t.Errorf("%d: a thief lacks %d signatures of %s: %s", i, more, name, text)
				}
				lacks += more
			}
			if strings.Contains(text, "alone") != (lacks == 0) || !strings.Contains(text, "any software") {
				t.Errorf("%d: a thief lacks %d signatures: %s", i, lacks, text)
			}
			if lacks == 0 {
				alone++
			}
			if !slices.Contains(check.Lines(), "warning: "+text) {
				t.Errorf("%d: it is not shown", i)
			}
		}
	}
	if warned == 0 || alone == 0 {
		t.Errorf("%d warnings, %d of a thief who needs nobody", warned, alone)
	}
}
