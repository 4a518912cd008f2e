package ceremony_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"rootceremony/ceremony/prompt"
	"rootceremony/ceremony/remote"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
	"rootceremony/keys/secret"
	"rootceremony/keys/session"
	"rootceremony/keys/virtual"
)

// desktop is a laptop far from the room: a folder with a root that others made,
// the signer's own copy of the chain, and tokens that hold known keys.
type desktop struct {
	t       testing.TB
	dir     string
	drawer  *virtual.Drawer
	plugged []string
	die     string
	holders map[string]*holderKey // by sticker
	roles   map[string]tuf.Role   // of the roles that are online
	online  []tuf.Key
	tokens  prompt.Tokens
}

// holderKey is a holder's key, which the test has too.
type holderKey struct {
	private crypto.Signer
	tuf.Key
}

func (h *holderKey) sign(t testing.TB, message []byte) tuf.Signature {
	t.Helper()
	digest, hash := message, crypto.Hash(0)
	if h.Public.Algorithm == keys.P256 {
		sum := sha256.Sum256(message)
		digest, hash = sum[:], crypto.SHA256
	}
	made, err := h.private.Sign(rand.Reader, digest, hash)
	if err != nil {
		t.Fatal(err)
	}
	return tuf.Signature{KeyID: h.ID, Sig: made}
}

// newDesktop has tokens with the stickers both (old root and new), old, new,
// p256 (both) and stranger.
func newDesktop(t testing.TB) *desktop {
	t.Helper()
	d := &desktop{t: t, dir: t.TempDir(), holders: map[string]*holderKey{}, roles: map[string]tuf.Role{}}
	var err error
	if d.drawer, err = virtual.OpenDrawer(filepath.Join(d.dir, "tokens")); err != nil {
		t.Fatal(err)
	}
	stickers := []string{"both", "new", "old", "p256", "stranger"}
	for _, sticker := range stickers {
		d.fill(sticker, keys.SlotRoot, sticker)
	}
	for _, role := range tuf.RoleNames[1:] {
		public, err := keys.FromCrypto(ed25519.NewKeyFromSeed(bytes.Repeat([]byte(role[1:2]), 32)).Public())
		if err != nil {
			t.Fatal(err)
		}
		key, err := tuf.NewKey(public)
		if err != nil {
			t.Fatal(err)
		}
		d.online = append(d.online, key)
		d.roles[role] = tuf.Role{KeyIDs: []string{key.ID}, Threshold: 1}
	}
	d.tokens = prompt.Tokens{Start: d.start, Stickers: stickers, PIN: d.drawer.PIN,
		Plug: func(stickers ...string) error { d.plugged = strings.Fields(strings.Join(stickers, " ")); return nil }}
	return d
}

// fill imports a key, by its name, into a slot of the token with that sticker.
func (d *desktop) fill(sticker string, slot keys.Slot, name string) {
	d.t.Helper()
	h := d.holders[name]
	if h == nil {
		h = &holderKey{private: ed25519.NewKeyFromSeed(func() []byte { sum := sha256.Sum256([]byte(name)); return sum[:] }())}
		if name == "p256" {
			h.private, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}
		public, err := keys.FromCrypto(h.private.Public())
		if err == nil {
			h.Key, err = tuf.NewKey(public)
		}
		if err != nil {
			d.t.Fatal(err)
		}
		d.holders[name] = h
	}
	var made virtual.Options
	if name == "p256" {
		made.Firmware = keys.Firmware{Major: 5, Minor: 4, Patch: 3}
	}
	serial, err := d.drawer.Add(sticker, made)
	if err != nil {
		d.t.Fatal(err)
	}
	opener, err := virtual.Open(session.Backend{Kind: virtual.Kind, Dir: filepath.Join(d.dir, "tokens"), Plugged: []uint32{serial}})
	if err != nil {
		d.t.Fatal(err)
	}
	token, err := opener.Open(serial)
	if err != nil {
		d.t.Fatal(err)
	}
	defer token.Close()
	var seed []byte
	switch k := h.private.(type) {
	case ed25519.PrivateKey:
		seed = k.Seed()
	case *ecdsa.PrivateKey:
		if seed, err = k.Bytes(); err != nil {
			d.t.Fatal(err)
		}
	}
	err = token.Import(d.secret(session.DefaultManagement), slot, h.Public.Algorithm, d.secret(string(seed)), keys.Policy{PIN: keys.PINAlways, Touch: keys.TouchAlways})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desktop) secret(text string) *secret.Buffer {
	taken, err := secret.Take([]byte(text))
	if err != nil {
		d.t.Fatal(err)
	}
	return taken
}

func (d *desktop) start(ctx context.Context) (*session.Session, error) {
	backend := session.Backend{Kind: virtual.Kind, Dir: filepath.Join(d.dir, "tokens")}
	for _, sticker := range d.plugged {
		serial, err := d.drawer.Serial(sticker)
		if err != nil {
			return nil, err
		}
		backend.Plugged = append(backend.Plugged, serial)
	}
	program := session.Program{Path: mortal}
	if d.die != "" {
		program.Env = []string{dieAt + "=" + d.die}
	}
	return program.Start(ctx, backend)
}

// root is a root of which two of the named holders must sign.
func (d *desktop) root(version int64, expires time.Time, holders ...string) *tuf.Root {
	r := &tuf.Root{Version: version, Expires: expires, SpecVersion: tuf.SpecVersion, ConsistentSnapshot: true,
		Keys: slices.Clone(d.online), Roles: map[string]tuf.Role{}}
	for role, keys := range d.roles {
		r.Roles[role] = keys
	}
	root := tuf.Role{Threshold: 2}
	for _, name := range holders {
		r.Keys = append(r.Keys, d.holders[name].Key)
		root.KeyIDs = append(root.KeyIDs, d.holders[name].ID)
	}
	r.Roles[tuf.RoleRoot] = root
	return r
}

// file writes a root, signed by those who are named, and returns its path.
func (d *desktop) file(name string, root, previous *tuf.Root, signers ...string) string {
	d.t.Helper()
	var sigs []tuf.Signature
	for _, s := range signers {
		sigs = append(sigs, d.holders[s].sign(d.t, root.Canonical()))
	}
	var before []*tuf.Root
	if previous != nil {
		before = append(before, previous)
	}
	text, err := tuf.Assemble(root, sigs, before...)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.write(name, text)
}

func (d *desktop) write(name string, text []byte) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

const inAYear = 365 * 24 * time.Hour

// rotation lays out trusted/1.root.json, which has expired, and draft.json,
// which drops the holder old, brings new, and is signed by nobody yet.
func (d *desktop) rotation() (one, two *tuf.Root) {
	one = d.root(1, noon.Add(-time.Hour), "both", "old", "p256")
	two = d.root(2, noon.Add(inAYear), "both", "p256", "new")
	d.file("trusted/1.root.json", one, nil, "both", "old")
	d.file("draft.json", two, one)
	return one, two
}

func (d *desktop) settings() remote.CountersignSettings {
	return remote.CountersignSettings{File: filepath.Join(d.dir, "draft.json"), Trusted: filepath.Join(d.dir, "trusted"), Out: filepath.Join(d.dir, "out.json"),
		Memory: filepath.Join(d.dir, "state", "signed.jsonl"), Tokens: d.tokens, Clock: clock}
}

// countersigner signs with a token, and keeps what was shown.
type countersigner struct {
	answered
	shown strings.Builder
}

func (d *desktop) person(sticker string, answers ...string) *countersigner {
	p := &countersigner{}
	p.Answers = map[string]string{"sign.token": sticker, "sign.pin": session.DefaultPIN}
	for i := 0; i < len(answers); i += 2 {
		p.Answers[answers[i]] = answers[i+1]
	}
	p.Say = func(m prompt.Message) {
		fmt.Fprintln(&p.shown, m.Title)
		for _, f := range m.Facts {
			fmt.Fprintf(&p.shown, "%s: %s\n", f.Label, f.Value)
		}
		fmt.Fprintln(&p.shown, strings.Join(append(m.Text, m.Lines...), "\n"))
	}
	return p
}

// signs opens the signing and takes its tasks.
func (d *desktop) signs(set remote.CountersignSettings, a prompt.Room) (*remote.Countersigning, error) {
	c, err := remote.OpenCountersigning(set)
	if err != nil {
		return nil, err
	}
	for {
		task, ok := c.Next()
		if !ok {
			return c, nil
		}
		if err := c.Run(d.t.Context(), task.ID, a); err != nil {
			return c, err
		}
	}
}

func (d *desktop) parsed(name string) *tuf.File {
	d.t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		d.t.Fatal(err)
	}
	file, err := tuf.Parse(text)
	if err != nil {
		d.t.Fatal(err)
	}
	return file
}

func (d *desktop) memory() string {
	text, _ := os.ReadFile(d.settings().Memory)
	return string(text)
}

// The room and anyone who signs elsewhere read at the review that targets has a key
// that another role has too.
func TestReviewOfSharedKeys(t *testing.T) {
	for shared, edit := range map[bool][]string{false: nil, true: {"keys/targets.pub", "keys/snapshot.pub"}} {
		_, desk := opened(t, edit...)
		runTo(t, desk, "review")
		var said []string
		if err := desk.Run(t.Context(), "review", &prompt.Script{Say: func(m prompt.Message) { said = append(said, m.Lines...) }}); err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(said, "\n"); strings.Contains(text, "a thief of that one key needs only 1 more for timestamp to give") != shared {
			t.Errorf("in the room, a shared key: %v\n%s", shared, text)
		}
		d := newDesktop(t)
		if shared {
			d.roles[tuf.RoleTargets] = d.roles[tuf.RoleSnapshot]
			d.online = slices.DeleteFunc(d.online, func(k tuf.Key) bool {
				return !slices.ContainsFunc([]string{tuf.RoleTimestamp, tuf.RoleSnapshot}, func(name string) bool { return slices.Contains(d.roles[name].KeyIDs, k.ID) })
			})
		}
		d.rotation()
		p := d.person("both")
		if _, err := d.signs(d.settings(), p); err != nil {
			t.Fatal(err)
		}
		if text := p.shown.String(); strings.Contains(text, "a thief of that one key needs only 1 more for timestamp to give") != shared {
			t.Errorf("elsewhere, a shared key: %v\n%s", shared, text)
		}
	}
}

func TestCountersign(t *testing.T) {
	d := newDesktop(t)
	one, two := d.rotation()
	draft := d.parsed(d.settings().File)
	var collected []tuf.Signature
	for _, c := range []struct {
		token    string
		old, new int
		says     string
	}{
		{"both", 1, 1, "Counts for: the old root v1 and the new root v2\n"},
		{"old", 1, 0, "Counts for: the old root v1 alone: the new root v2 drops this key\n"},
		{"new", 0, 1, "Counts for: the new root v2 alone: the old root v1 does not have this key\n"},
		{"p256", 1, 1, "Counts for: the old root v1 and the new root v2\n"},
	} {
		set := d.settings()
		set.Out = filepath.Join(d.dir, c.token+".json")
		a := d.person(c.token)
		before := strings.Count(d.memory(), "\n")
		signing, err := d.signs(set, a)
		if err != nil {
			t.Fatalf("%s: %v", c.token, err)
		}
		file := d.parsed(set.Out)
		if old, new := file.Report(one).Have, file.Report(two).Have; old != c.old || new != c.new || len(file.Signatures) != 1 || !bytes.Equal(file.Signed, draft.Signed) || signing.Written() != set.Out {
			t.Errorf("%s: counts %d for the old root and %d for the new one: %+v", c.token, old, new, file.Signatures)
		}
		if info, err := os.Stat(set.Out); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", c.token, info.Mode(), err)
		}
		for _, part := range []string{c.says, "verified from v1 to v1, which EXPIRED on 2026-11-22T11:00:00Z", "Old root: v1: signed so far by 0 of 2: missing ", "New root: v2: signed so far by 0 of 2",
			"version 1 to 2\n", "role root: no longer " + d.holders["old"].ID[:8], "role root: new " + d.holders["new"].ID[:8], "rootceremony collect DIR " + set.Out} {
			if !strings.Contains(a.shown.String(), part) {
				t.Errorf("%s: %q was not said:\n%s", c.token, part, &a.shown)
			}
		}
		if got := strings.Count(d.memory(), "\n"); got != before+1 {
			t.Errorf("%s: %d lines are remembered, and %d were before", c.token, got, before)
		}
		collected = append(collected, file.Signatures...)

		// Once more: it is there.
		a = d.person(c.token, "sign.pin", "not asked for")
		if _, err := d.signs(set, a); err != nil || !strings.Contains(a.shown.String(), "is there already, and is good") {
			t.Errorf("%s again: %v", c.token, err)
		}
	}
	// What they make together is a root that clients walk to.
	whole, err := tuf.Assemble(two, collected, one)
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(filepath.Join(d.dir, "trusted", "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := trustedmetadata.New(first)
	if err == nil {
		_, err = client.UpdateRoot(whole)
	}
	if err != nil {
		t.Errorf("go-tuf: %v", err)
	}
	// A file that has the signature already needs no other.
	d.write("draft.json", whole)
	set := d.settings()
	if signing, err := d.signs(set, d.person("old")); err != nil || signing.Written() != set.File {
		t.Errorf("a file that has it: %v", err)
	}
}

// A root of which nobody of the old root is a holder any more says so first.
func TestCountersignSaysThatNoRootKeyStays(t *testing.T) {
	d := newDesktop(t)
	one, _ := d.rotation()
	set := d.settings()
	set.File = d.file("strangers.json", d.root(2, noon.Add(inAYear), "new", "stranger"), one)
	a := d.person("new")
	if _, err := d.signs(set, a); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(a.shown.String(), "\nATTENTION: NO ROOT KEY OF VERSION 1 STAYS: all 3 are replaced\nversion 1 to 2\n") {
		t.Errorf("shown: %s", &a.shown)
	}
}

// The name that is made where none is given, and the words that are read from
// somewhere else.
func TestCountersignNamesItsFile(t *testing.T) {
	d := newDesktop(t)
	_, two := d.rotation()
	t.Chdir(t.TempDir())
	set := d.settings()
	set.Out = ""
	set.Trusted = filepath.Join(d.dir, "trusted", "1.root.json")
	a := d.person("new", "sign.second", "yes")
	signing, err := d.signs(set, a)
	want := fmt.Sprintf("2.root.%.8s.json", d.holders["new"].ID)
	if err != nil || signing.Written() != want {
		t.Fatalf("%q, %v", signing.Written(), err)
	}
	words := a.shown.String()[strings.Index(a.shown.String(), "A signature cannot"):]
	if strings.Contains(words, "Words 1 to 4") || !strings.Contains(words, "not from this screen") {
		t.Errorf("the words are on this screen:\n%s", words)
	}
	if file := d.parsed(want); file.Report(two).Have != 1 {
		t.Error("it does not count")
	}
}

// Whatever tells that nobody should sign is said before a token is asked for,
// and leaves nothing behind.
func TestCountersignRefuses(t *testing.T) {
	d := newDesktop(t)
	one, two := d.rotation()
	draft, err := os.ReadFile(d.settings().File)
	if err != nil {
		t.Fatal(err)
	}
	three := d.root(3, noon.Add(inAYear), "both", "p256", "new")
	four := d.root(4, noon.Add(inAYear), "both", "p256", "new")
	other := d.root(2, noon.Add(2*inAYear), "both", "p256", "new")
	rehearsed := d.root(2, noon.Add(inAYear), "both", "p256", "new")
	rehearsed.SetRehearsal(true)
	rehearsedOne := d.root(1, noon.Add(inAYear), "both", "old", "p256")
	rehearsedOne.SetRehearsal(true)
	expired := d.root(2, noon, "both", "p256", "new")
	wrong := d.file("wrong.json", two, one, "both")
	wrongText, _ := os.ReadFile(wrong)
	sig := fmt.Sprintf("%x", d.parsed(wrong).Signatures[0].Sig)
	d.write("wrong.json", bytes.Replace(wrongText, []byte(sig), []byte(strings.Repeat("ab", 64)), 1))
	id := d.holders["both"].ID
	object, _ := json.Marshal(d.holders["both"].Key)
	again := bytes.Replace(draft, []byte(`"keys": {`), fmt.Appendf(nil, `"keys": {"both-again": %s,`, object), 1)
	again = regexp.MustCompile(`("keyids": \[\s*(?:"\w+",\s*)*"`+id+`")`).ReplaceAll(again, []byte(`$1, "both-again"`))
	second := map[string]string{"1": d.file("published/1.root.json", one, nil, "both", "old"), "2": d.file("published/2.root.json", two, one, "both", "p256")}
	for _, c := range []struct {
		name string
		edit func(*remote.CountersignSettings)
		says string
	}{
		{"no root", func(s *remote.CountersignSettings) { s.File = d.write("x.json", []byte("{}")) }, `lacks "signed"`},
		{"no file", func(s *remote.CountersignSettings) { s.File = filepath.Join(d.dir, "none") }, "no such file"},
		{"rehearsal", func(s *remote.CountersignSettings) { s.File = d.file("rehearsed.json", rehearsed, one) }, "real tokens never sign"},
		{"no rehearsal", func(s *remote.CountersignSettings) { s.Rehearsal = true }, "is no root of a rehearsal"},
		{"expired", func(s *remote.CountersignSettings) { s.File = d.file("expired.json", expired, one) }, "no client would accept it"},
		{"wrong signature", func(s *remote.CountersignSettings) { s.File = wrong }, "the signature by " + d.holders["both"].ID[:8] + " in it is wrong"},
		{"specification", func(s *remote.CountersignSettings) {
			s.File = d.write("specification.json", bytes.Replace(draft, []byte(`"spec_version": "1.0.34"`), []byte(`"spec_version": "2.0.0"`), 1))
		}, `only major version 1 of the specification is known`},
		{"a key under two ids", func(s *remote.CountersignSettings) {
			s.File = d.write("twice.json", again)
		}, "the role root lists one key under two ids, "},
		{"a threshold that cannot be reached", func(s *remote.CountersignSettings) {
			s.File, s.Trusted = d.write("fields.json", bytes.Replace(draft, []byte(`"threshold": 2`), []byte(`"threshold": 4`), 1)), ""
		}, "threshold"},
		{"no copy", func(s *remote.CountersignSettings) { s.Trusted = filepath.Join(d.dir, "nowhere") }, "no such file"},
		{"empty folder", func(s *remote.CountersignSettings) { s.Trusted = filepath.Join(d.dir, "tokens") }, "no root metadata in this folder"},
		{"missing version", func(s *remote.CountersignSettings) { s.File = d.file("3.json", three, two) }, "ends with root v1, and this is root v3: version 2 is missing"},
		{"missing versions", func(s *remote.CountersignSettings) { s.File = d.file("4.json", four, three) }, "versions 2 to 3 are missing"},
		{"gap", func(s *remote.CountersignSettings) {
			s.File, s.Trusted = d.file("4.json", four, three), filepath.Dir(d.file("gap/3.root.json", three, two, "both", "p256"))
			d.file("gap/1.root.json", one, nil, "both", "old")
		}, "2.root.json is missing, though 3.root.json is there"},
		{"too few signed the copy", func(s *remote.CountersignSettings) {
			s.File, s.Trusted = d.file("3.json", three, two), filepath.Dir(d.file("few/2.root.json", two, one, "both", "new"))
			d.file("few/1.root.json", one, nil, "both", "old")
		}, "version 2 is not signed by enough keys of version 1"},
		{"another name", func(s *remote.CountersignSettings) {
			s.Trusted = filepath.Dir(d.file("named/2.root.json", one, nil, "both", "old"))
		}, "the name says version 2, the content version 1"},
		{"rehearsal in the copy", func(s *remote.CountersignSettings) {
			s.Trusted = d.file("rehearsed1.json", rehearsedOne, nil, "both", "old")
		}, "was made in a rehearsal"},
		{"of the past", func(s *remote.CountersignSettings) {
			s.Trusted = d.file("newer.json", three, two, "both", "p256")
		}, "is of the past"},
		{"of the past in a folder", func(s *remote.CountersignSettings) {
			s.Trusted = filepath.Dir(d.file("newer/3.root.json", three, two, "both", "p256"))
		}, "is of the past"},
		{"published", func(s *remote.CountersignSettings) { s.Trusted = filepath.Dir(second["1"]) }, "root v2 is published already, with the same signed bytes"},
		{"published alone", func(s *remote.CountersignSettings) { s.Trusted = second["2"] }, "root v2 is published already, with the same signed bytes"},
		{"another is published", func(s *remote.CountersignSettings) {
			s.File, s.Trusted = d.file("other.json", other, one), filepath.Dir(second["1"])
		}, "another root v2 is published already"},
		{"first root with a copy", func(s *remote.CountersignSettings) { s.File = d.file("one.json", one, nil) }, "root v1 is published already"},
	} {
		set := d.settings()
		c.edit(&set)
		if _, err := remote.OpenCountersigning(set); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if made, _ := filepath.Glob(filepath.Join(d.dir, "state", "*")); made != nil {
		t.Errorf("left behind: %v", made)
	}
	// A folder may hold the draft itself, under the name that it will have.
	set := d.settings()
	set.File = d.file("trusted/2.root.json", two, one, "both")
	if _, err := remote.OpenCountersigning(set); err != nil {
		t.Errorf("in the folder of the copy: %v", err)
	}
}

// Without an own copy a digest that came on another way is compared, and is not
// shown before.
func TestCountersignByDigest(t *testing.T) {
	d := newDesktop(t)
	_, two := d.rotation()
	digest := fmt.Sprintf("%x", sha256.Sum256(two.Canonical()))
	set := d.settings()
	set.Trusted = ""
	for _, c := range []struct{ typed, says string }{
		{"", "has 0 hex digits, and 32 are asked for"},
		{digest[:31], "has 31 hex digits"},
		{digest[:31] + "g", "something else in it"},
		{digest + "0", "has 65 hex digits"},
		{strings.Repeat("0", 32), "is not the SHA-256 of root v2"},
		{digest[1:33], "is not the SHA-256 of root v2"},
	} {
		a := d.person("new", "sign.digest", c.typed)
		if _, err := d.signs(set, a); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", c.typed, err)
		}
		if shown := a.shown.String(); strings.Contains(shown, "Words 1 to 4") || strings.Contains(strings.ReplaceAll(shown, " ", ""), digest[:8]) {
			t.Errorf("%q: the digest was shown:\n%s", c.typed, shown)
		}
	}
	spaced := strings.ToUpper(digest[:4] + " " + digest[4:20] + "  " + digest[20:32])
	a := d.person("new", "sign.digest", spaced)
	if _, err := d.signs(set, a); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"Own copy: none", "Counts for: the new root v2; whether for the old one too is not known here", "role root: 2 of 3 must sign"} {
		if !strings.Contains(a.shown.String(), part) {
			t.Errorf("%q was not said:\n%s", part, &a.shown)
		}
	}
	// Who is in the old root alone cannot be known.
	set.Out = filepath.Join(d.dir, "old.json")
	if _, err := d.signs(set, d.person("old", "sign.digest", digest[:32])); err == nil || !strings.Contains(err.Error(), "--trusted") {
		t.Errorf("a dropped key: %v", err)
	}
}

func TestCountersignFirstRoot(t *testing.T) {
	d := newDesktop(t)
	one := d.root(1, noon.Add(inAYear), "both", "old", "p256")
	set := d.settings()
	set.File, set.Trusted = d.file("1.json", one, nil), ""
	digest := fmt.Sprintf("%x", sha256.Sum256(one.Canonical()))
	if _, err := d.signs(set, d.person("old", "sign.digest", strings.Repeat("1", 64))); err == nil || !strings.Contains(err.Error(), "not the SHA-256") {
		t.Errorf("another digest: %v", err)
	}
	if _, err := d.signs(set, d.person("old", "sign.digest", digest[:32], "sign.first", "yes")); err == nil || !strings.Contains(err.Error(), "sign.first") {
		t.Errorf("without the phrase: %v", err)
	}
	if d.memory() != "" {
		t.Error("something was signed")
	}
	a := d.person("old", "sign.digest", digest[:32])
	if _, err := d.signs(set, a); err != nil || !strings.Contains(a.shown.String(), "ATTENTION: a first root") {
		t.Errorf("%v\n%s", err, &a.shown)
	}
	if d.parsed(set.Out).Report(one).Have != 1 {
		t.Error("it does not count")
	}
}

// What can go wrong with a token is said, signs nothing, and the task can be
// taken again in the same sitting.
func TestCountersignTokens(t *testing.T) {
	d := newDesktop(t)
	d.rotation()
	serial := func(sticker string) string {
		n, err := d.drawer.Serial(sticker)
		if err != nil {
			t.Fatal(err)
		}
		return keys.SerialText(n)
	}
	set := d.settings()
	c, err := remote.OpenCountersigning(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context(), "sign", d.person("both")); err == nil {
		t.Error("signed before the review")
	}
	if err := c.Run(t.Context(), "review", d.person("both", "sign.right", "no")); err == nil || !strings.Contains(err.Error(), "was not accepted") {
		t.Errorf("not accepted: %v", err)
	}
	if err := c.Run(t.Context(), "review", d.person("both")); err != nil {
		t.Fatal(err)
	}
	touched := func(err error) *countersigner {
		a := d.person("both")
		a.touch = func() error { return err }
		return a
	}
	for _, w := range []struct {
		name string
		a    *countersigner
		is   error
		says string
	}{
		{"none", d.person(""), nil, "no token is in a reader"},
		{"stranger", d.person("stranger"), nil, "token " + serial("stranger") + " holds no key that counts for root v2 (hint: insert the token that holds one of these: for v1 " + d.holders["both"].ID[:8]},
		{"words", d.person("both", "sign.words", "aardvark adroitness"), nil, "sign.words"},
		{"no PIN", d.person("both", "sign.pin", "1"), nil, "6 to 8 digits"},
		{"not touched", touched(keys.ErrNotTouched), keys.ErrNotTouched, "token " + serial("both")},
		{"pulled", touched(keys.ErrRemoved), keys.ErrRemoved, "token " + serial("both")},
		{"left", touched(prompt.ErrLeft), prompt.ErrLeft, ""},
		{"back", touched(prompt.ErrBack), prompt.ErrBack, ""},
	} {
		err := c.Run(t.Context(), "sign", w.a)
		if err == nil || w.is != nil && !errors.Is(err, w.is) || !strings.Contains(err.Error(), w.says) {
			t.Errorf("%s: %v", w.name, err)
		}
		if _, err := os.Stat(set.Out); err == nil {
			t.Fatalf("%s: a signature was written", w.name)
		}
	}
	// A wrong PIN is asked for again, with the tries that are left.
	a := &wrongPIN{countersigner: d.person("both")}
	if err := c.Run(t.Context(), "sign", a); err != nil {
		t.Fatal(err)
	}
	if shown := a.shown.String(); !strings.Contains(shown, "The PIN was wrong.") || !strings.Contains(shown, "Tries: 2 left") {
		t.Errorf("a wrong PIN:\n%s", shown)
	}
	// Three of them block it.
	set.Out = filepath.Join(d.dir, "p256.json")
	var pin *keys.PINError
	if _, err := d.signs(set, d.person("p256", "sign.pin", "654321")); !errors.As(err, &pin) || !strings.Contains(err.Error(), "token "+serial("p256")+": the PIN is blocked") {
		t.Errorf("blocked: %v", err)
	}
	// Several that fit are told apart by people.
	which := d.person("new stranger old", "sign.which", "2")
	set.Out = filepath.Join(d.dir, "which.json")
	if _, err := d.signs(set, which); err != nil || d.parsed(set.Out).Signatures[0].KeyID != d.holders["old"].ID {
		t.Errorf("which: %v\n%s", err, &which.shown)
	}
	// So are two keys on one token, in whatever slots.
	d.fill("new", keys.SlotAge, "both")
	which = d.person("new", "sign.which", "1")
	set.Out = filepath.Join(d.dir, "slots.json")
	if _, err := d.signs(set, which); err != nil || d.parsed(set.Out).Signatures[0].KeyID != d.holders["both"].ID || !strings.Contains(which.shown.String(), "slot 82") {
		t.Errorf("slots: %v\n%s", err, &which.shown)
	}
}

// wrongPIN types one wrong PIN first.
type wrongPIN struct {
	*countersigner
	typed bool
}

func (w *wrongPIN) AskSecret(ctx context.Context, p prompt.Prompt, check func(*secret.Buffer) error) (*secret.Buffer, error) {
	w.Answers["sign.pin"] = session.DefaultPIN
	if !w.typed {
		w.Answers["sign.pin"] = "000000"
	}
	w.typed = true
	return w.countersigner.AskSecret(ctx, p, check)
}

// A holder signs a version once, also when the laptop or the token was cut off
// before anything came of it, and whatever copy the other root was compared to.
func TestCountersignOnce(t *testing.T) {
	d := newDesktop(t)
	one, _ := d.rotation()
	set := d.settings()
	other := set
	other.File = d.file("other.json", d.root(2, noon.Add(2*inAYear), "both", "p256", "new"), one)
	other.Out = filepath.Join(d.dir, "other.signed.json")

	// The token has signed; its process ended before it could say so.
	d.die = "after Sign"
	var ended *keys.EndedError
	if _, err := d.signs(set, d.person("both")); !errors.As(err, &ended) {
		t.Fatalf("cut off: %v", err)
	}
	d.die = ""
	if strings.Count(d.memory(), "\n") != 1 {
		t.Fatalf("remembered:\n%s", d.memory())
	}
	refused := func(set remote.CountersignSettings, a *countersigner, why string) {
		t.Helper()
		_, err := d.signs(set, a)
		if err == nil || !strings.Contains(err.Error(), "was used on this laptop on 2026-11-22T12:00:00Z to sign another root v2") {
			t.Errorf("%s: %v", why, err)
		}
		if _, err := os.Stat(set.Out); err == nil {
			t.Fatalf("%s: it was signed", why)
		}
	}
	refused(other, d.person("both", "sign.pin", "not asked for"), "another root of the version")
	byDigest := other
	byDigest.Trusted = ""
	digest := fmt.Sprintf("%x", sha256.Sum256(d.parsed(other.File).Signed))
	refused(byDigest, d.person("both", "sign.digest", digest[:32]), "another one without an own copy")
	if _, err := d.signs(set, d.person("both")); err != nil {
		t.Errorf("the same root again: %v", err)
	}
	if _, err := d.signs(other, d.person("new")); err != nil {
		t.Errorf("another key: %v", err)
	}

	// What is known not to have been signed is no obstacle; what was signed
	// before stays one.
	third := other
	third.Out = filepath.Join(d.dir, "third.json")
	a := d.person("p256")
	a.touch = func() error { return keys.ErrNotTouched }
	set.Out = filepath.Join(d.dir, "p256.json")
	if _, err := d.signs(set, a); !errors.Is(err, keys.ErrNotTouched) {
		t.Fatal(err)
	}
	if _, err := d.signs(third, d.person("p256")); err != nil {
		t.Errorf("after nothing was signed: %v", err)
	}
	refused(set, d.person("p256"), "the root that was not signed, after the other")
	third.Out = filepath.Join(d.dir, "fourth.json")
	if _, err := d.signs(third, a); !errors.Is(err, keys.ErrNotTouched) {
		t.Fatal(err)
	}
	refused(set, d.person("p256"), "after a second signature of the other was not made")
}

// The memory withstands a power failure, and says where it was damaged.
func TestCountersignMemory(t *testing.T) {
	d := newDesktop(t)
	d.rotation()
	set := d.settings()
	if _, err := d.signs(set, d.person("both")); err != nil {
		t.Fatal(err)
	}
	whole := d.memory()
	for _, c := range []struct{ text, says, left string }{
		{whole + `{"version":2,"dig`, "", whole},
		{whole[:len(whole)-1], "", ""},
		{whole + strings.Repeat("\x00", 4096), "", whole},
		{whole + "{}\n", "line 2 cannot be read", ""},
		{"\n" + whole, "line 1 cannot be read", ""},
		{strings.Replace(whole, `"version"`, `"Vversion"`, 1), "line 1 cannot be read", ""},
	} {
		d.write("state/signed.jsonl", []byte(c.text))
		set.Out = filepath.Join(t.TempDir(), "out.json")
		_, err := d.signs(set, d.person("both"))
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) || d.memory() != c.text {
				t.Errorf("%q: %v", c.text, err)
			}
			continue
		}
		if err != nil || !strings.HasPrefix(d.memory(), c.left) || strings.Count(d.memory(), "\n") != strings.Count(c.left, "\n")+1 || !strings.HasSuffix(d.memory(), "\n") {
			t.Errorf("%q: %v\n%s", c.text, err, d.memory())
		}
	}
	// Where nothing can be remembered, nothing is signed.
	set.Out = filepath.Join(d.dir, "unremembered.json")
	set.Memory = filepath.Join(d.write("file", nil), "signed.jsonl")
	if _, err := d.signs(set, d.person("both")); err == nil || !strings.Contains(err.Error(), "cannot be remembered") {
		t.Errorf("no memory: %v", err)
	}
	if _, err := os.Stat(set.Out); err == nil {
		t.Error("it was signed")
	}
}

// Files are never replaced.
func TestCountersignReplacesNothing(t *testing.T) {
	d := newDesktop(t)
	one, two := d.rotation()
	set := d.settings()
	for _, there := range []string{d.write("mine.txt", []byte("mine")), set.File, d.file("others.json", two, one, "new")} {
		set.Out = there
		before, _ := os.ReadFile(there)
		if _, err := d.signs(set, d.person("both", "sign.pin", "not asked for")); err == nil || !strings.Contains(err.Error(), "never replaced (hint: name another file with -o)") {
			t.Errorf("%s: %v", there, err)
		}
		if text, _ := os.ReadFile(there); !bytes.Equal(text, before) {
			t.Errorf("%s: now %q", there, text)
		}
	}
}

// legacy writes a root whose ed25519 keys stand there as older tools wrote
// them, edited, and signed by those who are named, under the ids they have in
// the text.
func (d *desktop) legacy(name string, root *tuf.Root, edit func(string) string, signers ...string) *tuf.File {
	d.t.Helper()
	text, err := tuf.Assemble(root, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	edited := edit(strings.ReplaceAll(string(text), `"keytype": "ed25519"`, `"keyid_hash_algorithms": ["sha256", "sha512"], "keytype": "ed25519"`))
	file, err := tuf.Parse([]byte(edited))
	if err != nil {
		d.t.Fatal(err)
	}
	var sigs []string
	for _, s := range signers {
		made := d.holders[s].sign(d.t, file.Signed)
		for _, k := range file.Root.Keys {
			if k.Public == d.holders[s].Public {
				sigs = append(sigs, fmt.Sprintf(`{"keyid": %q, "sig": "%x"}`, k.ID, made.Sig))
			}
		}
	}
	return d.parsed(d.write(name, []byte(strings.Replace(edited, `"signatures": []`, `"signatures": [`+strings.Join(sigs, ", ")+`]`, 1))))
}

// A chain that other tools began is signed as it is, byte for byte; a key that
// its two roots call differently counts for both.
func TestCountersignLegacy(t *testing.T) {
	d := newDesktop(t)
	asItIs := func(s string) string { return s }
	renamed := func(s string) string { return strings.ReplaceAll(s, d.holders["both"].ID, "both-as-it-was") }
	one := d.legacy("trusted/1.root.json", d.root(1, noon.Add(time.Hour), "both", "old", "p256"), asItIs, "both", "p256")
	two := d.legacy("draft.json", d.root(2, noon.Add(inAYear), "both", "old", "p256"), asItIs, "p256")
	set := d.settings()
	a := d.person("both")
	if _, err := d.signs(set, a); err != nil {
		t.Fatal(err)
	}
	file := d.parsed(set.Out)
	if !bytes.Equal(file.Signed, two.Signed) || file.Report(one.Root).Have != 1 || file.Report(two.Root).Have != 1 || len(file.Signatures) != 1 {
		t.Errorf("%+v", file.Signatures)
	}
	if !strings.Contains(a.shown.String(), "Old root: v1: signed so far by 1 of 2") {
		t.Errorf("shown:\n%s", &a.shown)
	}
	// Without the copy what may have been carried cannot be told from what is
	// new, and is no reason to refuse.
	set.Trusted, set.Out = "", filepath.Join(d.dir, "digest.json")
	if _, err := d.signs(set, d.person("old", "sign.digest", fmt.Sprintf("%x", two.Digest()))); err != nil {
		t.Error(err)
	}

	one = d.legacy("renamed/1.root.json", d.root(1, noon.Add(time.Hour), "both", "old", "p256"), renamed, "both", "p256")
	next := d.root(2, noon.Add(inAYear), "both", "new", "p256")
	next.Roles[tuf.RoleTimestamp] = d.roles[tuf.RoleTimestamp]
	for i, k := range next.Keys { // what is not the renamed key stays in its old object
		if old, ok := one.Root.Key(k.ID); ok {
			next.Keys[i] = old
		}
	}
	set = d.settings()
	set.File, set.Trusted, set.Out = d.file("renamed.json", next, one.Root), filepath.Join(d.dir, "renamed"), filepath.Join(d.dir, "renamed.signed.json")
	set.Memory = filepath.Join(d.dir, "another", "signed.jsonl")
	if _, err := d.signs(set, d.person("both")); err != nil {
		t.Fatal(err)
	}
	file = d.parsed(set.Out)
	if file.Report(one.Root).Have != 1 || file.Report(next).Have != 1 || len(file.Signatures) != 2 {
		t.Errorf("a key with two names: %+v", file.Signatures)
	}
}

// A root that tuf-on-ci has made, with its fields, its placeholders and its
// spec_version, is signed as it is.
func TestCountersignOfAnotherTool(t *testing.T) {
	d := newDesktop(t)
	other := strings.NewReplacer(`"spec_version": "1.0.34"`, `"spec_version": "1.0", "x-tuf-on-ci-expiry-period": 182, "x-tuf-on-ci-signing-period": 35`,
		`"keytype": "ed25519"`, `"keytype": "ed25519", "x-tuf-on-ci-keyowner": "@somebody"`)
	made := func(s string) string { return other.Replace(s) }
	one := d.legacy("trusted/1.root.json", d.root(1, noon.Add(time.Hour), "both", "old", "p256"), made, "both", "p256")
	two := d.legacy("draft.json", d.root(2, noon.Add(inAYear), "both", "new", "p256"), made)
	var placeholders []string
	for _, holder := range []string{"both", "new", "p256", "old"} {
		placeholders = append(placeholders, fmt.Sprintf(`{"keyid": %q, "sig": ""}`, d.holders[holder].ID))
	}
	set := d.settings()
	text, err := os.ReadFile(set.File)
	if err != nil {
		t.Fatal(err)
	}
	d.write("draft.json", bytes.Replace(text, []byte(`"signatures": []`), []byte(`"signatures": [`+strings.Join(placeholders, ", ")+`]`), 1))
	for holder, counts := range map[string][2]int{"both": {1, 1}, "old": {1, 0}, "new": {0, 1}} {
		for _, trusted := range []string{set.Trusted, ""} {
			if trusted == "" && holder == "old" {
				continue
			}
			set := set
			set.Trusted, set.Out = trusted, filepath.Join(t.TempDir(), "out.json")
			a := d.person(holder, "sign.digest", fmt.Sprintf("%x", two.Digest()))
			if _, err := d.signs(set, a); err != nil {
				t.Fatalf("%s, %q: %v", holder, trusted, err)
			}
			file := d.parsed(set.Out)
			if !bytes.Equal(file.Signed, two.Signed) || file.Report(one.Root).Have != counts[0] || file.Report(two.Root).Have != counts[1] || len(file.Signatures) != 1 {
				t.Errorf("%s: %+v", holder, file.Signatures)
			}
			for _, note := range []string{"spec_version is 1.0; roots we write say 1.0.x", `note: not as rootceremony writes roots: spec_version "1.0"`, "empty placeholder", "x-tuf-on-ci-expiry-period"} {
				if said := strings.Count(a.shown.String(), note); said == 0 || said > 1 && strings.Contains(note, "spec_version") {
					t.Errorf("%s, %q: %q was not said once:\n%s", holder, trusted, note, &a.shown)
				}
			}
		}
	}
}

// Every root of the real chains can be reviewed over the one before, up to the
// token.
func TestCountersignRealChains(t *testing.T) {
	for _, chain := range []struct {
		folder string
		newest int
	}{{"joomla-updates", 16}, {"sigstore", 15}} {
		for version := 2; version <= chain.newest; version++ {
			file := func(n int) string {
				return filepath.Join("../../shared/roots", chain.folder, fmt.Sprintf("%d.root.json", n))
			}
			if _, err := os.Stat(file(version)); err != nil {
				t.Skipf("the real chains are not here: %v", err)
			}
			d := &desktop{t: t, dir: t.TempDir()}
			before := d.parsed(file(version)).Root.Expires.Add(-time.Hour)
			c, err := remote.OpenCountersigning(remote.CountersignSettings{File: file(version), Trusted: file(version - 1), Memory: filepath.Join(d.dir, "signed.jsonl"), Clock: func() time.Time { return before }})
			// Two were published with a signature that was left from another draft.
			if wrong := chain.folder == "joomla-updates" && (version == 2 || version == 11); wrong || err != nil {
				if !wrong || err == nil || !strings.Contains(err.Error(), "in it is wrong") {
					t.Errorf("%s: %v", file(version), err)
				}
				continue
			}
			a := d.person("")
			err = c.Run(t.Context(), "review", a)
			if next, _ := c.Next(); err != nil || next.ID != "sign" {
				t.Errorf("%s: %v, then %s", file(version), err, next.ID)
			}
			if chain.folder == "joomla-updates" && version == 16 && !strings.Contains(a.shown.String(), `note: not as rootceremony writes roots: spec_version "1.0"`) {
				t.Errorf("%s: no note:\n%s", file(version), &a.shown)
			}
		}
	}
}
