package plan

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/record"
	"rootceremony/keys"
)

// What is written is read again as it was, every field of it.
func TestTOML(t *testing.T) {
	whole := &Plan{
		Salt: strings.Repeat("5a", 32),
		Kind: agreed.Revoke, Name: `The "Example" \ packages`, Reason: "a theft", Trusted: `C:\roots`, Earlier: []string{"a", "b"},
		Incident: record.RoleCompromised, Compromised: []string{"snapshot", "targets"},
		Root:       RootPlan{Threshold: 2, Expires: "365d"},
		Token:      agreed.TokenPolicy{Algorithm: keys.P256, Touch: keys.TouchCached, MinFirmware: "5.4.2"},
		Backup:     BackupPlan{2, []string{"holders", "Bank safe", "金库"}},
		Recipients: []Recipient{{ID: "bank-safe", Name: "Bank safe", Age: safeAge, Site: "Zurich"}, {ID: "vault", Name: "金库", Passphrase: true}},
		Holders: []agreed.Holder{{ID: "alice", Name: "Alice Costa", Token: "A-01", Site: "Lisbon", Custody: agreed.BackedUp, Spare: true},
			{ID: "chen", Name: "陈伟", Custody: agreed.Existing, KeyID: "ab12", TargetsKeyID: "ef56"}},
		Persons: []agreed.Person{{Name: "Wanda Meyer", Role: "witness"}},
		Drops:   []agreed.Drop{{ID: "old-cd34", KeyID: "cd34", Reason: agreed.Lost, Name: "Dana", Token: "D-04", TargetsKeyID: "0789"}},
		Roles:   map[string]RolePlan{"snapshot": {Threshold: 1, Files: []string{"keys/a.pub"}}, "targets": {Threshold: 2, Holders: []string{"alice", "chen"}}},
		Targets: &TargetsPlan{Expires: "90d", Algorithm: keys.Ed25519, File: "targets.json"},
		Delegations: []DelegationPlan{{Name: "dev", Paths: []string{"a/*", "b"}, Threshold: 1, Terminating: true, Files: []string{"keys/a.pub", "keys/b.pub"}},
			{Name: "bins", PathHashPrefixes: []string{"0", "1"}, Threshold: 1, Holders: []string{"holders"}}},
	}
	first := &Plan{Kind: agreed.Create, Name: "First", Root: RootPlan{Threshold: 1, Expires: "30d"}, Token: agreed.TokenPolicy{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, MinFirmware: "5.7.0"},
		Holders: []agreed.Holder{{ID: "alice", Name: "Alice", Token: "A", Custody: agreed.OnToken}}, Roles: map[string]RolePlan{}}
	consistent := *first
	consistent.Root.ConsistentSnapshot = true
	none := *whole // of the file's delegations
	none.Delegations = []DelegationPlan{}
	for name, p := range map[string]*Plan{"whole": whole, "no delegations": &none, "first": first, "first, consistent": &consistent} {
		t.Run(name, func(t *testing.T) {
			for _, comments := range []map[string]string{nil, {"name": "a # comment", "holder[0].token": "the sticker", "role": "a line", "backup.quorum": "so many"}} {
				text := p.TOML(comments)
				got, err := DecodePlan(text, "p")
				if err == nil {
					err = got.Err()
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, text)
				}
				if p.Follows() { // it does not say that
					got.Root.ConsistentSnapshot = p.Root.ConsistentSnapshot
				}
				got.File, got.Data, got.Where, got.lines, got.said = "", nil, nil, nil, nil
				if !reflect.DeepEqual(got, p) {
					t.Errorf("%+v\nwant %+v\n%s", got, p, text)
				}
			}
		})
	}
}

func TestTOMLComments(t *testing.T) {
	p := &Plan{Kind: agreed.Rotate, Name: "Example", Holders: []agreed.Holder{{Name: "Alice"}, {Name: "Bruno", Token: "B-02"}}}
	got := string(p.TOML(map[string]string{"kind": "what", "backup.quorum": "no backups", "holder[0].token": "nobody has one", "holder[1].token": "the sticker", "role": "Nothing here."}))
	want := `kind = "rotate"                 # what
name = "Example"

[backup]
quorum = 0                      # no backups

[[holder]]
name = "Alice"

[[holder]]
name = "Bruno"
token = "B-02"                  # the sticker

# Nothing here.
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if bare := p.TOML(nil); bytes.Contains(bare, []byte("#")) || strings.Contains(string(bare), "backup") {
		t.Errorf("%s", bare)
	}
}
