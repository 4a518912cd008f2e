package tuf

import (
	"bytes"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	oldclient "github.com/theupdateframework/go-tuf/client"
	oldverify "github.com/theupdateframework/go-tuf/verify"
)

// clients are the programs that others wrote and that are asked here, each with its
// version, in the order of the columns.
var clients = []string{"go-tuf 2.4.2", "go-tuf 0.7.0", "tuf-js 3.1.0", "tuf-js 6.0.2"}

// served is what a client is given: root files, the first of which it trusts, and a
// timestamp that the online key of the last has signed; nil: it isn't asked about that.
type served struct {
	Roots     [][]byte `json:"roots"`
	Timestamp []byte   `json:"timestamp"`
}

// opinion is how many root files a program takes, and what it says of the next
// one, of the end, or of the timestamp; "" where nothing is wrong.
type opinion struct {
	Taken   int
	Problem string
}

func (o opinion) String() string {
	switch {
	case o.Problem == "":
		return "accepts"
	case strings.HasPrefix(o.Problem, "panic"):
		return "panics"
	}
	return "refuses"
}

// ourOpinion is what this package says.
func ourOpinion(files [][]byte, at time.Time) (o opinion) {
	var c Chain
	for _, err := range c.Walk(slices.Values(files)) {
		if err != nil {
			o.Problem = err.Error()
			return o
		}
		o.Taken++
	}
	if err := c.End(at); err != nil {
		o.Problem = "expired"
	}
	return o
}

// oldRemote serves a go-tuf 0.7 client, and sees by what it is asked for how far
// the client has come.
type oldRemote struct {
	served
	taken     int  // root files that the client has taken
	timestamp bool // it asked for the timestamp, so that the last root is good
	snapshot  bool // and has taken that
}

func (r *oldRemote) GetMeta(name string) (io.ReadCloser, int64, error) {
	var data []byte
	switch {
	case strings.HasSuffix(name, "snapshot.json"):
		r.snapshot = true
	case name == "timestamp.json":
		r.timestamp, data = true, r.Timestamp
	default: // the next root
		if r.taken++; r.taken < len(r.Roots) {
			data = r.Roots[r.taken]
		}
	}
	if data == nil {
		return nil, 0, oldclient.ErrNotFound{File: name}
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

func (r *oldRemote) GetTarget(name string) (io.ReadCloser, int64, error) {
	return nil, 0, oldclient.ErrNotFound{File: name}
}

// oldGoTUF asks a client of go-tuf 0.7.
func oldGoTUF(s served, at time.Time) (o opinion) {
	remote := &oldRemote{served: s}
	defer func(was func(time.Time) bool) {
		oldverify.IsExpired = was
		o.Taken = remote.taken
		if r := recover(); r != nil {
			o.Problem = fmt.Sprintf("panic: %v", r)
		}
	}(oldverify.IsExpired)
	oldverify.IsExpired = func(t time.Time) bool { return !t.After(at) }
	c := oldclient.NewClient(oldclient.MemoryLocalStore(), remote)
	if err := c.Init(s.Roots[0]); err != nil {
		return opinion{Problem: err.Error()}
	}
	_, err := c.Update()
	if s.Timestamp == nil && remote.timestamp || remote.snapshot {
		return opinion{}
	}
	if e, ok := err.(oldclient.ErrDecodeFailed); ok && e.File == "root.json" {
		return opinion{Problem: "expired"}
	}
	return opinion{Problem: fmt.Sprint(err)}
}

// askJS runs a script of testdata/second on an input. Where tuf-js isn't installed the
// test is skipped, but in CI it then fails.
func askJS(t *testing.T, script string, input, output any) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "rootceremony", "tuf-js")
	installed, _ := os.ReadFile(filepath.Join(dir, "installed.json"))
	lock := must(os.ReadFile("testdata/second/package-lock.json"))
	if _, err := exec.LookPath("node"); err != nil || !bytes.Equal(installed, lock) {
		if os.Getenv("CI") != "" {
			t.Fatal("tuf-js is not installed; testdata/second/install does it")
		}
		t.Skip("tuf-js is not installed: testdata/second/install does it, and make test calls that")
	}
	cmd := exec.Command("node", "testdata/second/"+script)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(dir, "node_modules"))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(must(json.Marshal(input))), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, output); err != nil {
		t.Fatal(err)
	}
}

// ask returns what each of the clients says.
func ask(t *testing.T, all map[string]served, at time.Time) map[string][]opinion {
	t.Helper()
	js := map[string]map[string]opinion{}
	askJS(t, "verdicts.cjs", map[string]any{"at": at, "served": all}, &js)
	modules := string(must(os.ReadFile("../../go.mod")))
	for _, module := range []string{"go-tuf/v2 v" + strings.TrimPrefix(clients[0], "go-tuf "), "go-tuf v" + strings.TrimPrefix(clients[1], "go-tuf ")} {
		if !strings.Contains(modules, "/"+module+"\n") {
			t.Errorf("go.mod has another version than %s", module)
		}
	}
	opinions := map[string][]opinion{}
	for name, s := range all {
		opinions[name] = []opinion{goTUF(s, at), oldGoTUF(s, at)}
		for _, client := range clients[2:] {
			o, ok := js[client][name]
			if !ok {
				t.Fatalf("%s says nothing about %s", client, name)
			}
			opinions[name] = append(opinions[name], o)
		}
	}
	return opinions
}

// writeMixed is a chain that moves from ECDSA keys to an ed25519 key.
func writeMixed(t testing.TB) [][]byte {
	t.Helper()
	root, _ := newRoot(0, 0)
	p256, ed := fixedECDSA(elliptic.P256()), make25519(0)
	root.Keys = append(root.Keys, p256.key)
	root.Roles[RoleRoot] = Role{KeyIDs: []string{p256.key.ID}, Threshold: 1}
	next := root.Next()
	next.Expires = expiry
	next.Keys[len(next.Keys)-1] = ed.key
	next.Roles[RoleRoot] = Role{KeyIDs: []string{ed.key.ID}, Threshold: 1}
	return [][]byte{
		must(Assemble(root, signAll(root.Canonical(), p256))),
		must(Assemble(next, signAll(next.Canonical(), p256, ed), root)),
	}
}

// reasons say why the others disagree with us, by the names of the vectors.
var reasons = [][2]string{
	{"name-twice*", "All of them keep the last of two members and forget the other; a reader that keeps the first sees another root under the same signatures."},
	{"key-twice", "As for every name that stands twice: all of them keep the last."},
	{"role-twice", "As for every name that stands twice: all of them keep the last."},
	{"name-alone-case", "go-tuf 0.7.0 takes a name in another case for the one it looks for, as Go's encoding/json does."},
	{"file-signed-case", "go-tuf 0.7.0 takes a name in another case for the one it looks for, as Go's encoding/json does."},
	{"threshold-case", "go-tuf 0.7.0 takes a name in another case for the one it looks for, as Go's encoding/json does."},
	{"keytype-case", "go-tuf 0.7.0 takes a name in another case for the one it looks for, as Go's encoding/json does."},
	{"keyids-case", "go-tuf 0.7.0 takes a name in another case for the one it looks for, as Go's encoding/json does."},
	{"type-case", "go-tuf 0.7.0 compares the type without regard to case."},
	{"signature-twice*", "go-tuf 0.7.0 does not look for a second signature under one id; it counts a key once."},
	{"consistent-null", "go-tuf 0.7.0 reads null as false."},
	{"scheme-absent", "go-tuf 0.7.0 goes by the keytype alone."},
	{"scheme-null", "go-tuf 0.7.0 goes by the keytype alone."},
	{"name-case*", "Go's encoding/json takes a name in another case for the one it looks for, JavaScript does not: the same bytes can say two things. Where all accept, they still may have read different values."},
	{"file-signatures-case", "Go's encoding/json takes a name in another case for the one it looks for."},
	{"signature-*-case", "Go's encoding/json takes a name in another case for the one it looks for."},
	{"number-fraction", "JavaScript has one kind of number: 1.0 and 1e0 are 1."},
	{"number-exponent", "JavaScript has one kind of number: 1.0 and 1e0 are 1."},
	{"number-minus-zero", "go-tuf verifies -0 as it stands, tuf-js as 0: no signature fits both."},
	{"number-*2-53", "None of them has a limit. From 2^53 on tuf-js rounds, go-tuf does so in unknown fields: two numbers become one."},
	{"utf8-*", "All of them put a replacement character in the place of bytes that are not UTF-8, not always the same number of them, and go on with that."},
	{"surrogate-*", "All of them put a replacement character in the place of half a pair, or keep it, and go on with that."},
	{"depth-*", "None of them has a limit of its own."},
	{"signature-null", "go-tuf reads null as an empty signature."},
	{"signature-no-*", "go-tuf reads what is missing as empty, and passes over that signature."},
	{"signature-keyid-null", "go-tuf reads null as empty, and passes over that signature."},
	{"signature-sig-*", "go-tuf refuses the file for it; tuf-js decodes hex as far as it goes and finds the signature wrong, and we pass over it: whoever serves a file must not be able to make it unreadable."},
	{"spec-1", "tuf-js wants two or three numbers; go-tuf does not look at it."},
	{"spec-dots", "tuf-js takes whatever JavaScript makes a number of, an empty part included; go-tuf does not look at it."},
	{"spec-space", "tuf-js takes whatever JavaScript makes a number of, a space included; go-tuf does not look at it."},
	{"spec-long", "None of them limits its length; we read 32 bytes at most."},
	{"spec-*", "go-tuf does not look at spec_version: it would read metadata of another major version by the rules of this one."},
	{"version-minus", "Only go-tuf 0.7.0 looks at the sign of a first version."},
	{"version-absent", "go-tuf 0.7.0 reads what is missing as version 0."},
	{"version-null", "go-tuf 0.7.0 reads what is missing as version 0."},
	{"version-*", "None of them wants a first version of 1 or more."},
	{"expires-year-10000", "None of them converts a date to UTC while it reads."},
	{"expires-offset-zero", "go-tuf 2.4.2 verifies what it writes anew, and writes +00:00 as Z: the signatures no longer fit."},
	{"expires-now", "The specification lets a root expire at its very second; go-tuf 2.4.2 one second later."},
	{"expires-long", "go-tuf 2.4.2 verifies what it writes anew, and writes nine digits of a fraction at most: the signatures no longer fit. We read 64 bytes at most."},
	{"expires-longest", "go-tuf 2.4.2 verifies what it writes anew, and writes nine digits of a fraction at most: the signatures no longer fit."},
	{"expires-absent", "go-tuf 0.7.0 reads what is missing as a date long ago: it takes the root, which has expired."},
	{"expires-null", "go-tuf 0.7.0 reads what is missing as a date long ago: it takes the root, which has expired."},
	{"expires-comma", "go-tuf 0.7.0 takes what Go's time package does. JavaScript cannot read it: with tuf-js 3.1.0 it never expires, and tuf-js 6.0.2 refuses it."},
	{"expires-short", "go-tuf 0.7.0 takes what Go's time package does. JavaScript cannot read it: with tuf-js 3.1.0 it never expires, and tuf-js 6.0.2 refuses it."},
	{"expires-offset-day", "go-tuf 0.7.0 takes what Go's time package does. JavaScript cannot read it: with tuf-js 3.1.0 it never expires, and tuf-js 6.0.2 refuses it."},
	{"expires-offset-minutes", "go-tuf 0.7.0 takes what Go's time package does. JavaScript cannot read it: with tuf-js 3.1.0 it never expires, and tuf-js 6.0.2 refuses it."},
	{"expires-*", "tuf-js takes what JavaScript reads. A date that it cannot read never expires with tuf-js 3.1.0, as no comparison with it is true; tuf-js 6.0.2 refuses that."},
	{"consistent-absent", "go-tuf 2.4.2 puts false there and verifies that; tuf-js wants the field; go-tuf 0.7.0 verifies what stands there. We read a root without it, with a finding, and write none."},
	{"key-null", "go-tuf 2.4.2 reads null as an empty key, and panics where a role lists it; go-tuf 0.7.0 panics."},
	{"key-no-id", "None of them looks at key ids before a role needs them."},
	{"keyval-field-object", "tuf-js wants text in all fields of keyval."},
	{"key-private-null", "tuf-js wants text in all fields of keyval; go-tuf keeps unknown ones."},
	{"keyval-*", "go-tuf 2.4.2 panics on an ed25519 key that has not 32 bytes; go-tuf 0.7.0 refuses it, and tuf-js refuses it or passes over it."},
	{"public-pem", "tuf-js also takes ed25519 keys in PEM; the specification has them in hex."},
	{"public-not-canonical", "None of them looks for keys in a second notation; here nobody has signed with it."},
	{"public-forged", "None of them looks for keys of small order. With such a key anyone can sign, so here one holder alone reaches a threshold of two."},
	{"public-zero", "None of them looks for keys of small order, with which anyone can sign; here nobody has."},
	{"public-o*", "None of them looks for keys of small order, with which anyone can sign; here nobody has."},
	{"public-case", "go-tuf 0.7.0 takes a name in another case for the one it looks for; tuf-js passes over a key that it cannot read."},
	{"public-63-digits", "tuf-js passes over a key that it cannot read."},
	{"public-letter", "tuf-js passes over a key that it cannot read."},
	{"public-base64", "tuf-js passes over a key that it cannot read."},
	{"keytype-unknown", "go-tuf stops at a key of a kind that it does not know; tuf-js passes over it, and so do we, with a finding."},
	{"keytype-*", "tuf-js passes over keys of kinds that it does not know; we refuse names that differ from known ones in case only, which other programs take for those."},
	{"mldsa-short", "go-tuf stops at a key of a kind that it does not know; tuf-js passes over it."},
	{"mldsa-other-size", "go-tuf stops at a key of a kind that it does not know; tuf-js passes over it."},
	{"mldsa-no-key", "go-tuf stops at a key of a kind that it does not know; tuf-js passes over it."},
	{"mldsa-version-2", "go-tuf stops at a key of a kind that it does not know; tuf-js passes over it."},
	{"mldsa-*", "None of these versions knows ML-DSA (TAP 21)."},
	{"unknown-keyval", "go-tuf stops at a key of a kind that it does not know; tuf-js passes over it."},
	{"public-*", "go-tuf 2.4.2 panics on an ed25519 key that has not 32 bytes; go-tuf 0.7.0 refuses it, and tuf-js refuses it or passes over it."},
	{"role-absent-*", "go-tuf 2.4.2 asks for a role only when it needs it; go-tuf 0.7.0 panics."},
	{"role-null", "go-tuf 2.4.2 reads null as an empty role; go-tuf 0.7.0 panics."},
	{"role-unknown-bad", "None of them looks at roles that it does not use."},
	{"keyids-twice*", "go-tuf does not look whether a key id is listed twice."},
	{"keyids-null-inside", "go-tuf 0.7.0 reads null as an empty id, and passes over ids that are not in keys."},
	{"keyids-*", "go-tuf 0.7.0 and tuf-js pass over ids that are not in keys."},
	{"threshold-0-online", "go-tuf 2.4.2 looks at a threshold only when it needs the role."},
	{"ecdsa-p384", "go-tuf 0.7.0 and tuf-js 3.1.0 verify with SHA-256 where the scheme says SHA-384. Plans therefore offer P-256 only; P-384 keys of an existing root are kept."},
	{"ecdsa-p384-*", "go-tuf does not know P-384 in its old notations, and tuf-js 3.1.0 no SHA-384."},
	{"ecdsa-p256-hex*", "go-tuf wants PEM, but go-tuf 0.7.0 where its package deprecated/set_ecdsa is linked; sigstore's versions 1 to 4 have points in hex."},
	{"scheme-unknown", "None of them looks at a scheme that does not belong to the keytype: they go by the keytype, and count the key."},
	{"scheme-other", "None of them looks at a scheme that does not belong to the keytype: they go by the keytype, and count the key."},
	{"ecdsa-*", "go-tuf 2.4.2 and tuf-js look at a key only when they need it, and it is the key of the online roles here; go-tuf 0.7.0 looks at every key, less closely than we do."},
	{"pem-*", "go-tuf 2.4.2 and tuf-js look at a key only when they need it, and it is the key of the online roles here; go-tuf 0.7.0 looks at every key, less closely than we do."},
	{"rsa-*", "go-tuf 2.4.2 and tuf-js look at a key only when they need it, and it is the key of the online roles here; go-tuf 0.7.0 looks at every key, less closely than we do."},
	{"twin-notations", "tuf-js counts key ids, not keys. go-tuf refuses for another reason: it wants PEM."},
	{"twin-*", "tuf-js counts key ids, not keys: who holds one key under two ids reaches a threshold of two."},
	{"chain-twin", "tuf-js counts key ids, not keys: who holds one key under two ids reaches a threshold of two."},
}

func reason(name string) string {
	for _, r := range reasons {
		if ok, err := path.Match(r[0], name); ok && err == nil {
			return r[1]
		}
	}
	return ""
}

const opinionsFile = "../../docs/second-opinions.md"

// holdTable holds a part of docs/second-opinions.md, which a test makes, to what
// that test has made.
func holdTable(t *testing.T, test, table string) {
	t.Helper()
	const ends = "<!-- end -->\n"
	begins := "<!-- made by " + test + " -->\n"
	before, rest, ok := strings.Cut(string(must(os.ReadFile(opinionsFile))), begins)
	had, after, end := strings.Cut(rest, ends)
	switch {
	case !ok || !end:
		t.Fatalf("%s has no place for the table of %s", opinionsFile, test)
	case had == table:
	case *update:
		if err := os.WriteFile(opinionsFile, []byte(before+begins+table+ends+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table of %s in %s is stale; go test -update makes it again", test, opinionsFile)
	}
}

// TestSecondOpinions holds the table in docs/second-opinions.md to what the clients
// say about the vectors, and wants a reason for each disagreement.
func TestSecondOpinions(t *testing.T) {
	list := readVectors(t, vectorDir)
	chains := map[string]served{}
	for _, v := range list {
		chains[v.name] = served{Roots: v.files}
	}
	opinions := ask(t, chains, vectorTime)
	var rows strings.Builder
	agree, good := 0, 0
	used := map[string]bool{}
	for _, v := range list {
		us := ourOpinion(v.files, vectorTime)
		if us.Problem == "" {
			good++
		}
		// Who refuses must do so at the same file.
		if !slices.ContainsFunc(opinions[v.name], func(o opinion) bool { return o.Taken != us.Taken || o.String() != us.String() }) {
			agree++
			continue
		}
		why := reason(v.name)
		if why == "" {
			t.Errorf("%s: we: %v, %v: %+v; no reason is given", v.name, us, clients, opinions[v.name])
		}
		used[why] = true
		fmt.Fprintf(&rows, "| `%s` | %s | %v |", v.name, v.about, us)
		for _, o := range opinions[v.name] {
			fmt.Fprintf(&rows, " %v |", o)
		}
		fmt.Fprintf(&rows, " %s |\n", why)
	}
	for _, r := range reasons {
		if !used[r[1]] {
			t.Errorf("%s: a reason for nothing", r[0])
		}
	}
	holdTable(t, "TestSecondOpinions", fmt.Sprintf("Of %d vectors (%d good, %d to be refused) all agree on %d; these are the other %d:\n\n"+
		"| vector | what is in it | rootceremony | %s | why |\n|---|---|---|%s---|\n%s",
		len(list), good, len(list)-good, agree, len(list)-agree, strings.Join(clients, " | "), strings.Repeat("---|", len(clients)), &rows))
}

// The other clients have the same verdict on random chains, good and bad, but for
// what the tables say: keys under two ids, and P-384.
func TestClientsAgree(t *testing.T) {
	at := expiry.AddDate(0, 0, 10).Add(time.Second) // some have expired by then
	chains := map[string]served{}
	for seed := range uint64(400) {
		files, what := randomChain(rand.New(rand.NewPCG(seed, 2)))
		if !slices.Contains(what, "twin") && !bytes.Contains(bytes.Join(files, nil), []byte("ecdsa-sha2-nistp384")) {
			chains[fmt.Sprint(seed, what)] = served{Roots: files}
		}
	}
	good, expired := 0, 0
	for name, opinions := range ask(t, chains, at) {
		us := ourOpinion(chains[name].Roots, at)
		for i, theirs := range opinions {
			if us.Taken != theirs.Taken || us.String() != theirs.String() {
				t.Errorf("chain %s: we: %d, %q; %s: %d, %q", name, us.Taken, us.Problem, clients[i], theirs.Taken, theirs.Problem)
			}
		}
		switch us.Problem {
		case "":
			good++
		case "expired":
			expired++
		}
	}
	if bad := len(chains) - good - expired; good < 30 || expired < 30 || bad < 30 {
		t.Errorf("%d good, %d expired, %d bad chains", good, expired, bad)
	}
}

// What the document says about the chains of real projects.
func TestSecondOpinionsOnRealChains(t *testing.T) {
	at := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	chains := map[string]served{}
	for _, folder := range []string{"sigstore", "joomla-updates", "datadog-config"} {
		chains[folder] = served{Roots: realFiles(t, folder, "*.root.json")}
	}
	opinions := ask(t, chains, at)
	for folder, want := range map[string][]opinion{ // we, and the clients
		"sigstore":       {{15, ""}, {0, "PEM decoding failed"}, {0, "tuf: error unmarshalling key: invalid PEM value"}, {15, ""}, {15, ""}},
		"joomla-updates": {{16, ""}, {16, ""}, {16, ""}, {16, ""}, {16, ""}},
		"datadog-config": {{1, "expired"}, {1, "expired"}, {1, "expired"}, {1, "expired"}, {1, "expired"}},
	} {
		t.Run(folder, func(t *testing.T) {
			got := append([]opinion{ourOpinion(chains[folder].Roots, at)}, opinions[folder]...)
			if !slices.Equal(got, want) {
				t.Errorf("%#v, want %#v", got, want)
			}
		})
	}
}
