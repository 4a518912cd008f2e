package tuf

import (
	"crypto/elliptic"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	olddata "github.com/theupdateframework/go-tuf/data"
	oldkeys "github.com/theupdateframework/go-tuf/pkg/keys"
)

// signedBy is a signature by each of the keys, under the id that it has in root.
func signedBy(root *Root, message []byte, list ...*maker) []Signature {
	var sigs []Signature
	for _, m := range list {
		i := slices.IndexFunc(root.Keys, func(k Key) bool { return k.Public == m.key.Public })
		sigs = append(sigs, Signature{KeyID: root.Keys[i].ID, Sig: m.sign(message).Sig})
	}
	return sigs
}

// serve is what a client is given of these files: with a timestamp by the online key
// that the last root names for it.
func serve(last *Root, online *maker, files ...[]byte) served {
	signed := `{"_type":"timestamp","expires":"2027-11-22T00:00:00Z","meta":{"snapshot.json":{"version":1}},"spec_version":"1.0.31","version":1}`
	return served{files, file(signed, signedBy(last, []byte(signed), online))}
}

// rootWith is a root that two keys sign, with one more that neither needs.
func rootWith(more ...Key) *Root {
	r := rootOf(append([]Key{make25519(0).key, make25519(1).key}, more...)...)
	role := r.Roles[RoleRoot]
	role.Threshold = 2
	r.Roles[RoleRoot] = role
	return r
}

// noted is a root of which all keys have keyid_hash_algorithms.
func noted(r *Root) *Root {
	ids := map[string]string{}
	for i, k := range r.Keys {
		r.Keys[i] = must(Notation(`["sha256","sha512"]`).NewKey(k.Public))
		ids[k.ID] = r.Keys[i].ID
	}
	for _, role := range r.Roles {
		for i, id := range role.KeyIDs {
			role.KeyIDs[i] = ids[id]
		}
	}
	return r
}

// foreignKey is a key under an id that isn't its hash.
func foreignKey() Key {
	k := make25519(2).key
	k.ID = "abcd"
	return k
}

// pointInHex is a P-256 key in the notation of sigstore's first roots.
func pointInHex() Key {
	return keyOf("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", fixedECDSA(elliptic.P256()).key.Public.Hex)
}

// unknownKind is a key of a kind that nobody knows.
func unknownKind(t *testing.T) Key {
	list := must(Parse(must1(t, "unknown-keyval"))).Root.Keys
	return list[len(list)-1]
}

func withFifthRole() *Root {
	r := rootWith()
	r.Roles["mirror"] = r.Roles[RoleTargets]
	return r
}

func withoutConsistent() *Root {
	r := rootWith()
	r.ConsistentSnapshot, r.inconsistent = false, true
	return r
}

type output struct {
	what string
	served
}

// outputs are chains of all the kinds that end in a root of ours. Where the first
// root has something in it that we don't write, it is another's.
func outputs(t *testing.T) (list []output) {
	a, b, online := make25519(0), make25519(1), make25519(100)
	first, holders := newRoot(5, 3)
	one := must(Assemble(first, signAll(first.Canonical(), holders[:3]...)))
	add := func(what string, online *maker, files ...[]byte) {
		list = append(list, output{what, serve(must(Parse(files[len(files)-1])).Root, online, files...)})
	}
	add("a first root with ed25519", online, one)

	p256, _ := newRoot(0, 0)
	var people []*maker
	role := Role{Threshold: 2}
	for n := range 3 {
		people = append(people, makeECDSA(elliptic.P256(), n))
		role.KeyIDs = append(role.KeyIDs, people[n].key.ID)
		p256.Keys = append(p256.Keys, people[n].key)
	}
	server := makeECDSA(elliptic.P256(), 3)
	p256.Keys = append(p256.Keys[3:], server.key)
	for _, name := range RoleNames[1:] {
		p256.Roles[name] = Role{KeyIDs: []string{server.key.ID}, Threshold: 1}
	}
	p256.Roles[RoleRoot] = role
	add("a first root with P-256", server, must(Assemble(p256, signAll(p256.Canonical(), people...))))

	rehearsal, _ := newRoot(5, 3)
	rehearsal.SetRehearsal(true)
	add("the root of a rehearsal", online, must(Assemble(rehearsal, signAll(rehearsal.Canonical(), holders[:3]...))))

	add("ten rotations, each with a new holder", online, writeChain(t, 10)...)
	add("a chain of 40 roots", online, longChain(t, 40)...)
	add("a rotation from P-256 to ed25519", online, writeMixed(t)...)

	revoked := first.Next()
	revoked.Expires = expiry
	revoked.Keys = revoked.Keys[1:]
	role = revoked.Roles[RoleRoot]
	role.KeyIDs = role.KeyIDs[1:]
	revoked.Roles[RoleRoot] = role
	add("a revocation", online, one, must(Assemble(revoked, signAll(revoked.Canonical(), holders[1:4]...), first)))

	carry := func(what string, first *Root, online *maker) {
		next := first.Next()
		next.Expires = expiry
		delete(next.Roles, "mirror")
		add("a rotation "+what, online,
			file(first.json(), signedBy(first, first.Canonical(), a, b)),
			must(Assemble(next, signedBy(next, next.Canonical(), a, b), first)))
	}
	p384 := fixedECDSA(elliptic.P384())
	quantum, _ := fixedMLDSA("ml-dsa-44/1")
	network := rootWith()
	network.Keys[0] = p384.key
	for _, name := range RoleNames[1:] {
		network.Roles[name] = Role{KeyIDs: []string{p384.key.ID}, Threshold: 1}
	}
	carry("where all keys have keyid_hash_algorithms", noted(rootWith(make25519(2).key)), online)
	carry("that carries a key id which isn't the hash", rootWith(foreignKey()), online)
	carry("that carries an ECDSA key as a point in hex", rootWith(pointInHex()), online)
	carry("that carries a root key on P-384", rootWith(p384.key), online)
	carry("that carries an online key on P-384", network, p384)
	carry("that carries an ML-DSA key", rootWith(quantum), online)
	carry("that carries a key of an unknown kind", rootWith(unknownKind(t)), online)
	carry("that ends a fifth role", withFifthRole(), online)
	carry("that says consistent_snapshot for the first time", withoutConsistent(), online)
	return list
}

// words say in a few words what a client means, by a part of what it says.
var words = [][2]string{
	{"PEM", "wants PEM"},
	{"unsupported public key type", "a key of an unknown kind"},
	{"invalid key", "a key of an unknown kind"},
	{"consistent_snapshot must be a boolean", "wants consistent_snapshot"},
	{"not enough signatures", "counts too few signatures"},
	{"valid signatures did not meet threshold", "counts too few signatures"},
	{"was signed by 0/1 keys", "counts too few signatures"},
}

func inWords(t *testing.T, problem string) string {
	t.Helper()
	for _, w := range words {
		if strings.Contains(problem, w[0]) {
			return w[1]
		}
	}
	t.Errorf("no words for %q", problem)
	return ""
}

// TestSecondOpinionsOnOutputs holds the table of our outputs in
// docs/second-opinions.md to what the clients say of them.
func TestSecondOpinionsOnOutputs(t *testing.T) {
	list := outputs(t)
	all := map[string]served{}
	for _, o := range list {
		all[o.what] = o.served
		if we := ourOpinion(o.Roots, vectorTime); we.Problem != "" {
			t.Errorf("%s: we: %s", o.what, we.Problem)
		}
	}
	opinions := ask(t, all, vectorTime)
	var rows strings.Builder
	for _, o := range list {
		fmt.Fprintf(&rows, "| %s |", o.what)
		for _, theirs := range opinions[o.what] {
			cell := "takes it"
			switch {
			case theirs.Problem == "":
			case theirs.Taken == len(o.Roots):
				cell = "takes the roots, not what the key signs: " + inWords(t, theirs.Problem)
			default:
				cell = fmt.Sprintf("refuses version %d: %s", theirs.Taken+1, inWords(t, theirs.Problem))
			}
			fmt.Fprintf(&rows, " %s |", cell)
		}
		rows.WriteByte('\n')
	}
	holdTable(t, "TestSecondOpinionsOnOutputs", fmt.Sprintf("| what we write | %s |\n|---|%s\n%s", strings.Join(clients, " | "), strings.Repeat("---|", len(clients)), &rows))
}

// example is a root with a trait, twice: with a key that has it beside two that are
// enough, and with that key alone. Where no key has the trait, both are the same.
type example struct{ beside, alone served }

// shows has a root for each of the traits, by its text.
func shows(t *testing.T) map[string]example {
	a, b, online := make25519(0), make25519(1), make25519(100)
	beside := func(r *Root) served {
		return serve(r, online, file(r.json(), signedBy(r, r.Canonical(), a, b)))
	}
	same := func(s served) example { return example{s, s} }
	key := func(k Key, sign func(message []byte) []byte) example {
		r := rootOf(k)
		return example{beside(rootWith(k)), serve(r, online, file(r.json(), []Signature{{KeyID: k.ID, Sig: sign(r.Canonical())}}))}
	}
	by := func(m *maker) func([]byte) []byte { return func(message []byte) []byte { return m.sign(message).Sig } }
	next := func(first *Root, more Key) example {
		second := first.Next()
		second.Expires = expiry
		second.Keys = append(second.Keys, more)
		role := second.Roles[RoleRoot]
		role.KeyIDs = append(role.KeyIDs, more.ID)
		second.Roles[RoleRoot] = role
		s := beside(second)
		s.Roots = append(beside(first).Roots, s.Roots...)
		return same(s)
	}
	p256, p384 := fixedECDSA(elliptic.P256()), fixedECDSA(elliptic.P384())
	quantum, tap := fixedMLDSA("ml-dsa-44/1")
	return map[string]example{
		"key ids that are not the SHA-256 of their key object":           key(foreignKey(), by(make25519(2))),
		"keys without keyid_hash_algorithms, which all keys before have": next(noted(rootWith()), make25519(2).key),
		"consistent_snapshot is absent":                                  same(beside(withoutConsistent())),
		"a role beside the four":                                         same(beside(withFifthRole())),
		"keys written as PEM":                                            key(p256.key, by(p256)),
		"ECDSA keys written as a point in hex":                           key(pointInHex(), by(p256)),
		"keys of the keytype ecdsa":                                      key(p256.key, by(p256)),
		"keys on P-384":                                                  key(p384.key, by(p384)),
		"ML-DSA keys":                                                    key(quantum, func(message []byte) []byte { return tap(tap21(message), "").Sig }),
		"keys of an unknown kind":                                        key(unknownKind(t), func([]byte) []byte { return []byte{1} }),
		"keys of a kind that this chain hasn't had before":               next(rootWith(), p256.key),
	}
}

// claimed is what a sentence on a trait says of a client. It names first who refuses
// such a root, then who counts no signature by such a key.
func claimed(sentence, client string) string {
	sentence, _, _ = strings.Cut(sentence, ";")
	refuse, rest, ok := strings.Cut(sentence, "refuse")
	if !ok {
		refuse, rest = "", sentence
	}
	uncounted, _, ok := strings.Cut(rest, " count")
	switch {
	case strings.Contains(refuse, client):
		return "refuses it"
	case ok && strings.Contains(uncounted, client):
		return "counts no signature by it"
	}
	return "takes it"
}

// TestSecondOpinionsOnTraits holds what is said of clients in Refusals, and the tables
// of traits in docs/second-opinions.md, to what the clients say of roots that have
// them. What is recorded of clients that aren't asked is the same in both places.
func TestSecondOpinionsOnTraits(t *testing.T) {
	roots := shows(t)
	all := map[string]served{}
	for text, s := range roots {
		all[text], all[text+", alone"] = s.beside, s.alone
	}
	opinions := ask(t, all, vectorTime)
	_, recorded, _ := strings.Cut(string(must(os.ReadFile(opinionsFile))), "### Recorded verdicts")
	var rows strings.Builder
	for _, trait := range traits {
		chain := roots[trait.text].beside.Roots
		if len(chain) == 0 {
			t.Fatalf("no root shows %q", trait.text)
		}
		var before *Root
		if len(chain) > 1 {
			before = must(Parse(chain[0])).Root
		}
		if _, has := trait.of(must(Parse(chain[len(chain)-1])).Root, before); !has {
			t.Errorf("the root that should show %q doesn't have it", trait.text)
		}
		fmt.Fprintf(&rows, "| %s |", trait.text)
		for i, client := range clients {
			verdict, why := "takes it", ""
			if p := opinions[trait.text][i].Problem; p != "" {
				verdict, why = "refuses it", ": "+inWords(t, p)
			} else if opinions[trait.text+", alone"][i].Problem != "" {
				verdict = "counts no signature by it"
			}
			if said := claimed(trait.clients, client); said != verdict {
				t.Errorf("%s %s: %s, and clients.go says %s", client, verdict, trait.text, said)
			}
			fmt.Fprintf(&rows, " %s%s |", verdict, why)
		}
		rows.WriteByte('\n')
		_, row, _ := strings.Cut(recorded, "\n| "+trait.text+" |")
		row, _, _ = strings.Cut(row, " |\n")
		cells := append(strings.Split(row, " |"), "", "")
		for i, client := range []string{"python-tuf", "tough", "php-tuf"} {
			said, refuses := claimed(trait.clients, client) == "refuses it", strings.HasPrefix(cells[i], " refuses")
			if said != refuses {
				t.Errorf("%s on %q: recorded as refusing it: %v, in clients.go: %v", client, trait.text, refuses, said)
			}
		}
	}
	holdTable(t, "TestSecondOpinionsOnTraits", fmt.Sprintf("| what is in a root | %s |\n|---|%s\n%s", strings.Join(clients, " | "), strings.Repeat("---|", len(clients)), &rows))

	const old = olddata.KeyTypeECDSA_SHA2_P256_OLD_FMT // what set_ecdsa does, until the end of this test
	was, _ := oldkeys.VerifierMap.Swap(old, oldkeys.NewDeprecatedEcdsaVerifier)
	defer oldkeys.VerifierMap.Store(old, was)
	if o := oldGoTUF(roots["ECDSA keys written as a point in hex"].alone, vectorTime); o.Problem != "" {
		t.Errorf("go-tuf 0.7 with set_ecdsa: %s", o.Problem)
	}
}
