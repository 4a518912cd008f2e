package ceremony_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rootceremony/ceremony"
	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/disk"
	"rootceremony/ceremony/plan"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// Every way to bring two drafts of one version to their thresholds: the fold is
// compared, event by event, with what it should allow, in all orders of signing
// here, collecting (also late, and what was refused to be signed here),
// abandoning with everybody who may have signed elsewhere, starting over, making
// another draft, and publishing.

// signer is one of the people in the model.
type signer struct {
	name string
	kind string // ceremony.Existing, ceremony.Dropped or ceremony.OnToken
}

func (s signer) old() bool { return s.kind != agreed.OnToken }
func (s signer) new() bool { return s.kind != agreed.Dropped }

// world is a ceremony in which these people sign, and what there is to know of
// it besides its state.
type world struct {
	t        testing.TB
	signers  []signer
	ids      []string // in the ceremony
	old, new int      // thresholds
	drafts   int      // how many are tried
	plan     *agreed.Plan
	seen     map[string]bool
	happened map[string]int
	made     map[string][2]string // key id and signature, by draft and signer
}

// try is one draft: which signers' signatures there are, which of them count,
// and who may have signed elsewhere. Signers are bits.
type try struct {
	digest                string
	root                  *tuf.Root
	keys                  []ed25519.PrivateKey
	known, counted, maybe uint
	before                uint // who may have signed it when it was abandoned before
}

// node is what has happened so far.
type node struct {
	state     *state.State
	seq       int64
	tries     []try
	live      bool // the last of them
	published bool
	begun     []int // how often each signer's key was made
	late      bool  // somebody had signed elsewhere who was not named
}

func (w *world) complete(set uint) bool {
	old, new := 0, 0
	for i, s := range w.signers {
		if set&(1<<i) != 0 && s.old() {
			old++
		}
		if set&(1<<i) != 0 && s.new() {
			new++
		}
	}
	return old >= w.old && new >= w.new
}

// abandonedTries are those that are not live.
func (n *node) abandonedTries() []try {
	if n.live {
		return n.tries[:len(n.tries)-1]
	}
	return n.tries
}

// open reports whether an abandoned draft has, or may have, all its signatures.
func (w *world) open(n *node) bool {
	return slices.ContainsFunc(n.abandonedTries(), func(t try) bool { return w.complete(t.known | t.maybe) })
}

// may reports whether a signer has signed nothing of this version.
func (n *node) may(i int) bool {
	return !slices.ContainsFunc(n.tries, func(t try) bool { return (t.known|t.maybe)&(1<<i) != 0 })
}

func modelKey(name string, n int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, n))
	return ed25519.NewKeyFromSeed(seed[:])
}

func modelPublic(t testing.TB, private ed25519.PrivateKey) keys.PublicKey {
	t.Helper()
	public, err := keys.FromCrypto(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func keyIDOf(t testing.TB, private ed25519.PrivateKey) string {
	t.Helper()
	key, err := tuf.NewKey(modelPublic(t, private))
	if err != nil {
		t.Fatal(err)
	}
	return key.ID
}

// newWorld agrees a plan for these people. Without old keys it is a first
// ceremony's.
func newWorld(t testing.TB, old, new, drafts int, kinds ...string) *world {
	t.Helper()
	w := &world{t: t, old: old, new: new, drafts: drafts, seen: map[string]bool{}, happened: map[string]int{}, made: map[string][2]string{}}
	var people []member
	root := &tuf.Root{Version: 1, Expires: noon.AddDate(1, 0, 0), SpecVersion: tuf.SpecVersion, Roles: map[string]tuf.Role{}}
	role := tuf.Role{Threshold: max(old, 1)}
	var sigs []ed25519.PrivateKey
	for i, kind := range kinds {
		s := signer{fmt.Sprintf("Signer%d", i), kind}
		m := member{name: s.name, token: fmt.Sprintf("T-%d", i)}
		id := strings.ToLower(s.name)
		if s.old() {
			private := modelKey(s.name, 0)
			key, err := tuf.NewKey(modelPublic(t, private))
			if err != nil {
				t.Fatal(err)
			}
			m.key = key.ID
			role.KeyIDs, root.Keys, sigs = append(role.KeyIDs, key.ID), append(root.Keys, key), append(sigs, private)
		}
		if kind == agreed.Dropped {
			m.drop, id = agreed.Retired, "old-"+m.key[:8]
		}
		w.signers, w.ids, people = append(w.signers, s), append(w.ids, id), append(people, m)
	}
	online, err := tuf.NewKey(modelPublic(t, modelKey("online", 0)))
	if err != nil {
		t.Fatal(err)
	}
	root.Keys = append(root.Keys, online)
	for _, name := range tuf.RoleNames[1:] {
		root.Roles[name] = tuf.Role{KeyIDs: []string{online.ID}, Threshold: 1}
	}
	head := fmt.Sprintf("[root]\nexpires = \"365d\"\nthreshold = %d\n", new)
	text := following(agreed.Rotate, head, people...)
	dir := t.TempDir()
	files := map[string]string{}
	if old > 0 {
		root.Roles[tuf.RoleRoot] = role
		var made []tuf.Signature
		for i, private := range sigs {
			made = append(made, tuf.Signature{KeyID: role.KeyIDs[i], Sig: ed25519.Sign(private, root.Canonical())})
		}
		file, err := tuf.Assemble(root, made)
		if err != nil {
			t.Fatal(err)
		}
		files[agreed.TrustedDir+"/1.root.json"] = string(file)
	} else {
		text = strings.NewReplacer("kind = \"rotate\"", "kind = \"create\"", "trusted = \"trusted\"\n", "", "[root]", "[root]\nconsistent_snapshot = true").Replace(text)
		for _, name := range tuf.RoleNames[1:] {
			text += fmt.Sprintf("[role.%s]\nthreshold = 1\nkeys = [\"online.pub\"]\n", name)
		}
		files["online.pub"] = modelPublic(t, modelKey("online", 0)).Hex + "\n"
	}
	files[state.PlanFile] = text
	for name, text := range files {
		if err := disk.WriteWithin(dir, name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	planned, err := plan.Read(filepath.Join(dir, state.PlanFile))
	if err != nil {
		t.Fatal(err)
	}
	if w.plan, err = planned.Resolve(noon); err != nil {
		t.Fatal(err)
	}
	return w
}

// apply gives the state one more event.
func (n *node) apply(kind string, data any) error {
	n.seq++
	e := transcript.Event{Seq: n.seq, Time: noon, Type: kind, By: "room"}
	public, private := state.Parts(data)
	var err error
	if e.Data, err = json.Marshal(public); err != nil {
		return err
	}
	if private != nil {
		e.Commitment = strings.Repeat("0", 64)
		if e.Private, err = json.Marshal(private); err != nil {
			return err
		}
	}
	next, err := n.state.With(e)
	if err == nil {
		n.state = next
	}
	return err
}

// must is apply where nothing else can be.
func (w *world) must(n *node, kind string, data any) {
	w.t.Helper()
	if err := n.apply(kind, data); err != nil {
		w.t.Fatal(err)
	}
}

func (n *node) clone() *node {
	c := *n
	c.tries, c.begun = slices.Clone(n.tries), slices.Clone(n.begun)
	return &c
}

// first is the ceremony with the plan agreed and all keys made.
func (w *world) first() *node {
	n := &node{state: &state.State{}, begun: make([]int, len(w.signers))}
	w.must(n, state.TypeBegun, state.Begun{Format: state.FormatVersion, Program: "test", Random: strings.Repeat("0", 64)})
	settled := state.PlanAgreed{Digest: w.plan.Digest(), Plan: w.plan.JSON(), Private: w.plan.PrivateJSON()}
	if w.old > 0 {
		settled.Anchor = state.AnchorConfirmed
	}
	w.must(n, state.TypePlanAgreed, settled)
	for i, s := range w.signers {
		if s.kind == agreed.OnToken {
			w.enrol(n, i)
		}
	}
	return n
}

// tokenKey is in 9a and 82 of every token.
var tokenKey = func() keys.PublicKey {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.NewChaCha8([32]byte{2}))
	if err != nil {
		panic(err)
	}
	public, err := keys.FromCrypto(private.Public())
	if err != nil {
		panic(err)
	}
	return public
}()

// enrol makes a new signer's key, the next one.
func (w *world) enrol(n *node, i int) {
	n.begun[i]++
	private := w.key(n, i)
	on := state.Act{Holder: w.ids[i], Serial: uint32(1000*i + n.begun[i] + 1)}
	w.must(n, state.TypePrepareIntended, state.PrepareIntended{Act: on})
	w.must(n, state.TypePrepared, state.Prepared{Result: state.Result{Act: on, Intention: n.seq}, Authentication: tokenKey, Age: tokenKey})
	policy := w.plan.Token
	w.must(n, state.TypeKeyIntended, state.KeyIntended{Act: on, Slot: keys.SlotRoot, Algorithm: policy.Algorithm, Touch: policy.Touch, Origin: keys.FromToken})
	w.must(n, state.TypeKeyMade, state.KeyMade{Result: state.Result{Act: on, Intention: n.seq}, Public: modelPublic(w.t, private)})
	message, err := n.state.Possession(n.state.Holders[w.ids[i]], "00")
	if err != nil {
		w.t.Fatal(err)
	}
	w.must(n, state.TypeKeyProved, state.KeyProved{Act: on, Nonce: "00", Signature: hex.EncodeToString(ed25519.Sign(private, message))})
}

func (w *world) key(n *node, i int) ed25519.PrivateKey {
	return modelKey(w.signers[i].name, n.begun[i])
}

// make makes and reviews a draft, after signer i has started over; -1 is nobody.
func (w *world) make(n *node, i int) error {
	if i >= 0 {
		id := w.ids[i]
		w.must(n, state.TypeStartedOver, state.StartedOver{Act: state.Act{Holder: id, Serial: n.state.Holders[id].Serial}, Why: "a test"})
		w.enrol(n, i)
	}
	root, err := n.state.PlannedRoot(w.plan.Expires)
	if err != nil {
		w.t.Fatal(err)
	}
	canonical := root.Canonical()
	digest := fmt.Sprintf("%x", sha256.Sum256(canonical))
	again := slices.ContainsFunc(n.tries, func(t try) bool { return t.digest == digest })
	wanted := !w.open(n) && !again
	call := state.RollCall{For: state.CallReview}
	for _, h := range n.state.CallDue(state.CallReview) {
		call.Holders = append(call.Holders, state.Called{Holder: h.Holder.ID, How: state.CallToken})
	}
	if len(call.Holders) > 0 {
		w.must(n, state.TypeRollCall, call)
	}
	err = n.apply(state.TypeDraftMade, state.DraftMade{Version: root.Version, Digest: digest, Expires: w.plan.Expires, Bytes: len(canonical), File: ceremony.DraftAsFile(n.state, root)})
	w.check(n, "make", wanted, err)
	if err != nil {
		return err
	}
	w.must(n, state.TypeDraftReviewed, state.DraftReviewed{Digest: digest, SecondMachine: true})
	made := try{digest: digest, root: root}
	for i := range w.signers {
		made.keys = append(made.keys, w.key(n, i))
	}
	n.tries, n.live = append(n.tries, made), true
	return nil
}

// check compares what the fold says with what it should.
func (w *world) check(n *node, what string, wanted bool, err error) {
	w.t.Helper()
	if wanted {
		w.happened[what]++
	} else {
		w.happened[what+" refused"]++
	}
	if (err == nil) != wanted {
		w.t.Fatalf("%v, %d of old and %d of new: %s: wanted %v, got %v after %s", w.signers, w.old, w.new, what, wanted, err, w.mark(n))
	}
}

// signature makes a signature of a draft.
func (w *world) signature(n *node, draft, i int) (keyID, signature string, file state.File) {
	t := n.tries[draft]
	name := fmt.Sprint(t.digest, i)
	made, there := w.made[name]
	if !there {
		made = [2]string{keyIDOf(w.t, t.keys[i]), hex.EncodeToString(ed25519.Sign(t.keys[i], t.root.Canonical()))}
		w.made[name] = made
	}
	keyID, signature = made[0], made[1]
	return keyID, signature, ceremony.SignatureFile(t.digest, w.ids[i], keyID, signature)
}

func (w *world) signHere(n *node, i int) error {
	draft := len(n.tries) - 1
	t := &n.tries[draft]
	keyID, signature, file := w.signature(n, draft, i)
	serial := n.state.Holders[w.ids[i]].Serial
	if serial == 0 {
		serial = uint32(1000*i + 1)
	}
	on := state.Act{Holder: w.ids[i], Serial: serial}
	version := w.plan.Version
	wanted := n.may(i) && !w.open(n)
	err := n.apply(state.TypeSignatureIntended, state.SignatureIntended{Act: on, Version: version, Digest: t.digest, KeyID: keyID})
	w.check(n, "sign", wanted, err)
	if err != nil {
		return err
	}
	w.must(n, state.TypeSignatureMade, state.SignatureMade{Result: state.Result{Act: on, Intention: n.seq}, Version: version, Digest: t.digest, KeyID: keyID, Signature: signature, File: file})
	t.known |= 1 << i
	t.counted |= 1 << i
	return nil
}

// collect takes a signature that was made elsewhere: whatever is known of
// somebody, it is remembered.
func (w *world) collect(n *node, draft, i int) error {
	keyID, signature, file := w.signature(n, draft, i)
	t := &n.tries[draft]
	err := n.apply(state.TypeSigCollected, state.SignatureCollected{Holder: w.ids[i], Version: w.plan.Version, Digest: t.digest, KeyID: keyID, Signature: signature, File: file})
	w.check(n, "collect", t.known&(1<<i) == 0, err)
	if err != nil {
		return err
	}
	abandoned := draft < len(n.abandonedTries())
	if abandoned && t.maybe&(1<<i) == 0 {
		n.late = true
	}
	if !abandoned && n.may(i) {
		t.counted |= 1 << i
	}
	t.known |= 1 << i
	t.maybe &^= 1 << i
	return nil
}

func (w *world) abandon(n *node, maybe uint) error {
	t := &n.tries[len(n.tries)-1]
	data := state.DraftAbandoned{Digest: t.digest, Why: "a test", Maybe: []string{}}
	for i, id := range w.ids {
		if maybe&(1<<i) != 0 {
			data.Maybe = append(data.Maybe, id)
		}
	}
	err := n.apply(state.TypeDraftAbandoned, data)
	w.check(n, "abandon", !n.published && !w.complete(t.counted) && t.known&maybe == 0, err)
	if err == nil {
		t.maybe, t.before, n.live = maybe|t.before&^t.known, 0, false
	}
	return err
}

// resume takes an abandoned draft up again: only where no other one has, or may
// have, a signature, and the keys are as they were.
func (w *world) resume(n *node, draft int) error {
	t := n.tries[draft]
	wanted := !n.live && !n.published
	for i, other := range n.tries {
		wanted = wanted && (i == draft || other.known|other.maybe == 0)
	}
	for i, s := range w.signers {
		wanted = wanted && (s.old() || t.keys[i].Equal(w.key(n, i)))
	}
	err := n.apply(state.TypeDraftResumed, state.DraftResumed{Digest: t.digest, Why: "a test"})
	w.check(n, "resume", wanted, err)
	if err != nil {
		return err
	}
	w.must(n, state.TypeDraftReviewed, state.DraftReviewed{Digest: t.digest})
	t.counted, t.before, t.maybe = t.known, t.maybe, 0
	n.tries, n.live = append(slices.Delete(n.tries, draft, draft+1), t), true
	return nil
}

func (w *world) publish(n *node) error {
	t := &n.tries[len(n.tries)-1]
	var previous []*tuf.Root
	if old := w.plan.TrustedRoot(); old != nil {
		previous = append(previous, old)
	}
	var ids []string
	var sigs []tuf.Signature
	for i := range w.signers {
		if t.counted&(1<<i) == 0 {
			continue
		}
		keyID, signature, _ := w.signature(n, len(n.tries)-1, i)
		raw, err := hex.DecodeString(signature)
		if err != nil {
			w.t.Fatal(err)
		}
		ids, sigs = append(ids, keyID), append(sigs, tuf.Signature{KeyID: keyID, Sig: raw})
	}
	text, err := tuf.Assemble(t.root, sigs, previous...)
	if err != nil {
		w.t.Fatal(err)
	}
	file := state.File{Name: fmt.Sprintf("%s/%d.root.json", state.PublishDir, w.plan.Version), SHA256: fmt.Sprintf("%x", sha256.Sum256(text))}
	err = n.apply(state.TypeRootPublished, state.RootPublished{Version: w.plan.Version, Digest: t.digest, File: file, KeyIDs: ids, Kit: []state.File{}})
	w.check(n, "publish", !n.published && w.complete(t.counted) && !w.open(n), err)
	n.published = n.published || err == nil
	return err
}

// mark tells nodes apart.
func (w *world) mark(n *node) string {
	var b strings.Builder
	for _, t := range n.tries {
		fmt.Fprintf(&b, "%.8s known %b counted %b maybe %b %b; ", t.digest, t.known, t.counted, t.maybe, t.before)
	}
	fmt.Fprint(&b, n.live, n.published, n.late, n.begun)
	for _, id := range w.ids {
		h := n.state.Holders[id]
		if h.Signature != nil {
			fmt.Fprintf(&b, " %s %.8s", id, h.Signature.Digest)
		}
	}
	return b.String()
}

// walk tries everything that can come next.
func (w *world) walk(n *node) {
	mark := w.mark(n)
	if w.seen[mark] {
		return
	}
	w.seen[mark] = true
	complete := 0
	for i, t := range n.tries {
		if w.complete(t.known | t.maybe | t.before) {
			complete++
		}
		if n.published && i == len(n.tries)-1 && !w.complete(t.counted) {
			w.t.Fatalf("published without its thresholds: %s", mark)
		}
	}
	if complete > 1 && !n.late {
		w.t.Fatalf("two drafts have their thresholds, and everybody who signed elsewhere was named: %s", mark)
	}
	if complete > 1 {
		w.happened["two complete, by somebody who was not named"]++
	}
	next := func(do func(*node) error) {
		c := n.clone()
		if do(c) == nil && !n.published { // what comes after only adds signatures
			w.walk(c)
		}
	}
	for draft := range n.tries {
		for i := range w.signers {
			next(func(c *node) error { return w.collect(c, draft, i) })
		}
	}
	for draft := range n.abandonedTries() {
		next(func(c *node) error { return w.resume(c, draft) })
	}
	if !n.live {
		if len(n.tries) == w.drafts {
			return
		}
		if len(n.tries) == 0 {
			next(func(c *node) error { return w.make(c, -1) })
			return
		}
		next(func(c *node) error { return w.make(c, -1) })
		for i, s := range w.signers {
			if s.kind == agreed.OnToken {
				next(func(c *node) error { return w.make(c, i) })
			}
		}
		return
	}
	for i := range w.signers {
		next(func(c *node) error { return w.signHere(c, i) })
	}
	for maybe := range uint(1) << len(w.signers) {
		next(func(c *node) error { return w.abandon(c, maybe) })
	}
	next(w.publish)
}

// make torture tries more people and more drafts.
func TestNoTwoDraftsOfOneVersion(t *testing.T) {
	const e, d, n = agreed.Existing, agreed.Dropped, agreed.OnToken
	for _, c := range []struct {
		old, new, drafts int
		all              bool
		kinds            []string
	}{
		{0, 1, 2, false, []string{n, n}}, {0, 2, 2, false, []string{n, n}},
		{1, 1, 3, false, []string{e, n}}, {1, 2, 3, false, []string{e, n}},
		{1, 1, 2, false, []string{e, d, n}}, {2, 2, 2, false, []string{e, e, n}}, {2, 2, 2, true, []string{e, d, n}}, {0, 2, 2, true, []string{n, n, n}},
		{0, 1, 3, true, []string{n, n}}, {0, 2, 3, true, []string{n, n}},
		{0, 1, 2, true, []string{n, n, n}}, {0, 3, 2, true, []string{n, n, n}},
		{1, 2, 2, true, []string{e, d, n}}, {2, 1, 2, true, []string{e, d, n}},
		{1, 1, 2, true, []string{d, n, n}}, {1, 2, 2, true, []string{d, n, n}},
		{2, 1, 2, true, []string{e, e, n}}, {1, 3, 2, true, []string{e, e, n}}, {2, 3, 2, true, []string{e, e, n}},
		{1, 1, 2, true, []string{e, e, d, n}}, {2, 2, 2, true, []string{e, e, d, n}}, {3, 2, 2, true, []string{e, e, d, n}}, {2, 3, 2, true, []string{e, e, d, n}},
	} {
		if c.all && !long {
			continue
		}
		t.Run(fmt.Sprintf("%d of old, %d of new, %s", c.old, c.new, strings.Join(c.kinds, " ")), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.old, c.new, c.drafts, c.kinds...)
			w.walk(w.first())
			t.Logf("%d states, %v", len(w.seen), w.happened)
			for _, what := range []string{"make", "make refused", "sign", "sign refused", "collect", "abandon", "abandon refused", "publish", "publish refused", "resume", "resume refused",
				"two complete, by somebody who was not named"} {
				if w.happened[what] == 0 {
					t.Errorf("never: %s", what)
				}
			}
		})
	}
}

// A signature that was begun and has no result may have been made: its signer
// counts as named, and what was begun is no way to sign another draft.
func TestInterruptedSignatureOfAnAbandonedDraft(t *testing.T) {
	w := newWorld(t, 0, 2, 2, agreed.OnToken, agreed.OnToken)
	n := w.first()
	if err := w.make(n, -1); err != nil {
		t.Fatal(err)
	}
	on := state.Act{Holder: w.ids[0], Serial: n.state.Holders[w.ids[0]].Serial}
	keyID, _, _ := w.signature(n, 0, 0)
	w.must(n, state.TypeSignatureIntended, state.SignatureIntended{Act: on, Version: 1, Digest: n.tries[0].digest, KeyID: keyID})
	intention := n.seq
	if err := w.abandon(n, 0); err != nil {
		t.Fatal(err)
	}
	if maybe := n.state.Abandoned[0].Maybe; len(maybe) != 1 || maybe[w.ids[0]] != keyID {
		t.Errorf("who may have signed: %v", maybe)
	}
	n.tries[0].maybe = 1
	if err := w.make(n, 1); err != nil {
		t.Fatal(err)
	}
	keyID, signature, file := w.signature(n, 1, 0)
	forged := state.SignatureMade{Result: state.Result{Act: on, Intention: intention}, Version: 1, Digest: n.tries[1].digest, KeyID: keyID, Signature: signature, File: file}
	if err := n.clone().apply(state.TypeSignatureMade, forged); err == nil || !strings.Contains(err.Error(), "may have signed the abandoned draft") {
		t.Errorf("signed by what was begun for another draft: %v", err)
	}
	w.must(n, state.TypeSettled, state.Settled{Result: forged.Result, Found: "nothing", State: state.SettledNothing})
	if err := w.signHere(n, 0); err == nil {
		t.Error("signed twice")
	}
}
