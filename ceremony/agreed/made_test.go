package agreed_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// planNow is the time at which test plans are agreed.
var planNow = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// Public keys whose identities nobody has.
const (
	safeAge   = "age1gaa6cxnay3dwzuzlx0lewyl50v85260k6pvuaevdtdwrz66xhd6qd3rkcm"
	otherSafe = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHOhedaXucq0Ez2VQk/6nUMaKf41M84aZ3FOBpU1v3qS"
	pointAge  = "age1tag1qv3cs05h4fqsqcp6l77xa75wp96cdv3fpgslpgun28u6yx4uhqddcwucx0w"
	pluginAge = "age1yubikey1q0vkgtmppre5fyymld8zefehh09kkgdr09w8xa8ckkhdrze7w5x47zp3ttr"
)

// change is what a test makes of an example.
type change = func(*agreed.Plan)

// example is a plan of five holders, three of whom sign, without backups; changed,
// and still one that can be agreed.
func example(t testing.TB, changes ...change) *agreed.Plan {
	t.Helper()
	r := &agreed.Plan{
		Format: agreed.ResolvedFormat, PlanSHA256: strings.Repeat("ab", 32), Salt: strings.Repeat("5a", 32), Kind: agreed.Create, Name: "Example packages",
		Version: 1, Threshold: 3, ConsistentSnapshot: true,
		Token: agreed.TokenPolicy{Algorithm: keys.Ed25519, Touch: keys.TouchAlways, MinFirmware: "5.7.0"},
		Holders: []agreed.Holder{
			{ID: "alice", Name: "Alice Costa", Token: "A-01", Site: "Lisbon", Custody: agreed.OnToken},
			{ID: "bruno", Name: "Bruno Ferraz", Token: "B-02", Site: "Lisbon", Custody: agreed.OnToken},
			{ID: "chen", Name: "Chen Wei", Token: "C-03", Site: "Singapore", Custody: agreed.OnToken},
			{ID: "dana", Name: "Dana Okafor", Token: "D-04", Site: "Lagos", Custody: agreed.OnToken},
			{ID: "emil", Name: "Emil Novak", Token: "E-05", Site: "Lagos", Custody: agreed.OnToken},
		},
		Persons: []agreed.Person{{Name: "Wanda Meyer", Role: "witness"}},
		Roles:   map[string]agreed.Role{},
	}
	for _, name := range agreed.OnlineRoles {
		r.Roles[name] = agreed.Role{Threshold: 1, Keys: []tuf.Key{agreed.MustKey(agreed.Placeholder(keys.Ed25519, name))}}
	}
	for _, c := range append([]change{expires(t, "365d")}, changes...) {
		c(r)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	return r
}

// backedUpExample is example with backups of every key.
func backedUpExample(t testing.TB, changes ...change) *agreed.Plan {
	t.Helper()
	return example(t, append([]change{func(r *agreed.Plan) {
		backedUp(r, "bbbbb", 3, true)
		r.Backup.Recipients = []agreed.BackupRecipient{{ID: "bank-safe", Name: "Bank safe", Age: safeAge, Site: "Zurich"}}
	}}, changes...)...)
}

// passphrase adds a recipient of backups who types a passphrase.
func passphrase(name string) change {
	return func(r *agreed.Plan) {
		r.Backup.Recipients = append(r.Backup.Recipients, agreed.BackupRecipient{ID: agreed.Slug(name), Name: name, Passphrase: true})
	}
}

// expires has a plan expire as plan.toml says it.
func expires(t testing.TB, text string) change {
	t.Helper()
	at, err := agreed.Expiry(text, planNow)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *agreed.Plan) { r.Expires = at }
}

var three = []string{"Alice", "Bruno", "Chen"}

// idOf is the key id of a placeholder.
func idOf(text string) string { return agreed.MustKey(agreed.Placeholder(keys.Ed25519, text)).ID }

// signed is a signature with the secret half of a placeholder.
func signed(message []byte, text string) tuf.Signature {
	seed := sha256.Sum256([]byte("rootceremony placeholder " + text))
	return tuf.Signature{KeyID: idOf(text), Sig: ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), message)}
}

// chainOf makes a chain of roots, all of the same holders, whose keys are
// placeholders of their names, and all signed by all of them.
func chainOf(t testing.TB, versions, threshold int, holders ...string) [][]byte {
	t.Helper()
	var files [][]byte
	root := &tuf.Root{Version: 1, Expires: planNow.AddDate(0, 1, 0), SpecVersion: tuf.SpecVersion, ConsistentSnapshot: true, Roles: map[string]tuf.Role{}}
	role := tuf.Role{Threshold: threshold}
	for _, name := range holders {
		root.Keys = append(root.Keys, agreed.MustKey(agreed.Placeholder(keys.Ed25519, name)))
		role.KeyIDs = append(role.KeyIDs, idOf(name))
	}
	root.Roles[tuf.RoleRoot] = role
	for _, name := range agreed.OnlineRoles {
		root.Keys = append(root.Keys, agreed.MustKey(agreed.Placeholder(keys.Ed25519, name)))
		root.Roles[name] = tuf.Role{KeyIDs: []string{idOf(name)}, Threshold: 1}
	}
	var previous []*tuf.Root
	for range versions {
		var signatures []tuf.Signature
		for _, name := range holders {
			signatures = append(signatures, signed(root.Canonical(), name))
		}
		file, err := tuf.Assemble(root, signatures, previous...)
		if err != nil {
			t.Fatal(err)
		}
		files, previous, root = append(files, file), []*tuf.Root{root}, root.Next()
	}
	return files
}

// spoilt is a root file whose first n signatures are wrong.
func spoilt(t testing.TB, file []byte, n int) []byte {
	t.Helper()
	parts := bytes.SplitAfter(file, []byte(`"sig": "`))
	if len(parts) <= n {
		t.Fatalf("%d signatures", len(parts)-1)
	}
	parts = slices.Clone(parts)
	for i := 1; i <= n; i++ {
		parts[i] = bytes.Clone(parts[i])
		if parts[i][0]++; parts[i][0] > 'f' || parts[i][0] == '9'+1 {
			parts[i][0] = '0'
		}
	}
	return bytes.Join(parts, nil)
}

// rotation is a plan after the roots of chainOf: "Alice" keeps her key, "Dana+"
// gets a new one, on the token T-n for the n-th, and "Bruno-lost" is a dropped key.
func rotation(t testing.TB, chain [][]byte, threshold int, people []string, changes ...change) *agreed.Plan {
	t.Helper()
	return example(t, func(r *agreed.Plan) {
		r.Kind, r.Version, r.Threshold = agreed.Rotate, int64(len(chain)+1), threshold
		r.Trusted = &agreed.Trusted{Root: string(chain[len(chain)-1])}
		for i, file := range chain {
			r.Trusted.Versions = append(r.Trusted.Versions, agreed.TrustedVersion{Version: int64(i + 1), SHA256: agreed.DigestOf(file)})
		}
		r.Holders, r.Persons, r.Roles = nil, []agreed.Person{}, map[string]agreed.Role{}
		for i, who := range people {
			name, reason, dropped := strings.Cut(who, "-")
			name, fresh := strings.CutSuffix(name, "+")
			switch {
			case dropped:
				r.Drops = append(r.Drops, agreed.Drop{ID: agreed.DropID(idOf(name), 8), KeyID: idOf(name), Reason: reason, Name: name})
			case fresh:
				r.Holders = append(r.Holders, agreed.Holder{ID: agreed.Slug(name), Name: name, Token: fmt.Sprint("T-", i), Custody: agreed.OnToken})
			default:
				r.Holders = append(r.Holders, agreed.Holder{ID: agreed.Slug(name), Name: name, Custody: agreed.Existing, KeyID: idOf(name)})
			}
		}
		for _, c := range changes {
			c(r)
		}
	})
}
