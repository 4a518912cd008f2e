package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// walk goes through a log, line by line.
type walk struct {
	*Report
	o       Options
	files   *tree
	log     *transcript.Contents
	names   map[string]named // of files, that the log has
	exposed map[string]int64 // keys whose private half the trusted chain publishes, and in which version
	started *state.Begun
	plan    *agreed.Plan
	size    int // of the planned root, to which proofs of possession are padded
	signers []*holder
	holders map[string]*holder // by id

	owners    map[keys.PublicKey]uint32 // whose token a key in 9a or 82 is, by serial number
	nonces    map[string]bool
	shown     map[string]bool // ids of recipients who have shown that they open backups
	drafts    []*draft        // in the order in which they were made
	live      *draft
	startedAt int64 // line of the newest start of the program
	papers    []int // in Report.Exceptions: words of a paper that were not found since
	calls     map[carded]call
	rivals    []*rival
	before    string // type of the line before
	last      int64  // the newest line that may not follow after the last checkpoint
	published *publishing
	sealedAt  int64
	alarms    []*alarm
	closing   map[string]string // signatures under the checkpoint of the seal, by holder
}

// holder is one whose key is in the new root or in the trusted one.
type holder struct {
	agreed.Holder
	own         *place
	replacement *place    // that is to take the place of the own one, or to be the spare
	spare       *place    // a second token with the same root key
	former      []*token  // that were replaced
	gone        []*token  // that were given up: nothing that they have signed counts any more
	backups     []*backup // of tokens that were not given up
	elsewhere   *enrolment
}

// place is where a token is, or comes.
type place struct {
	sticker string
	serial  uint32 // of the token that something was begun with
	token   *token // once it is prepared
	open    *intention
	spare   bool // a replacement that is to lie beside the holder's own
}

// intention is an act that was announced and has no result yet.
type intention struct {
	line     int64
	kind     string
	firmware keys.Firmware
	key      *state.KeyIntended
	digest   string // of the draft
}

// token is a token with a holder's keys.
type token struct {
	serial              uint32
	sticker             string
	firmware            keys.Firmware // as attested
	authentication, age keys.PublicKey
	line                int64 // in which both were made, or shown
	unproved            error // why they don't count
	key                 *rootKey
	vouched             []vouching
}

// rootKey is the key in 9c.
type rootKey struct {
	public    keys.PublicKey
	made      int64
	proved    int64 // 0: not yet
	imported  bool
	unproved  error // why it doesn't count, though a line says that it was made
	elsewhere bool
}

// vouching is a checkpoint that a token has signed.
type vouching struct {
	line, size int64
}

// covers reports whether the token has signed the log with that line in it, before
// the line before; 0: at any time.
func (t *token) covers(line, before int64) bool {
	return t != nil && t.unproved == nil && slices.ContainsFunc(t.vouched, func(v vouching) bool {
		return v.size >= line && (before == 0 || v.line < before)
	})
}

// covers is that of any of the holder's tokens: a spare one, that has taken the place
// of the first, was vouched for with that.
func (h *holder) covers(line, before int64) bool {
	return slices.ContainsFunc(h.tokens(), func(t *token) bool { return t.covers(line, before) })
}

// proves reports whether the token has proved that root key, and signed the log with
// that in it.
func (t *token) proves(public keys.PublicKey) bool {
	return t.key != nil && t.key.public == public && t.key.proved != 0 && t.key.unproved == nil && t.covers(t.key.proved, 0)
}

// tokens are those of a holder whose checkpoints count: the own one, and those that
// were it before.
func (h *holder) tokens() []*token {
	if h.own.token == nil {
		return h.former
	}
	return append([]*token{h.own.token}, h.former...)
}

// all takes every line.
func (w *walk) all() {
	w.names, w.owners, w.nonces, w.shown = map[string]named{}, map[keys.PublicKey]uint32{}, map[string]bool{}, map[string]bool{}
	w.calls = map[carded]call{}
	w.closing = map[string]string{}
	for _, e := range w.log.Events {
		if err := w.line(e); err != nil {
			w.add(Failed, e.Type, fmt.Sprintf("line %d", e.Seq), "%v", err)
		}
		if w.started == nil { // of which every other line would say the same
			return
		}
		withoutMedia := e.Type == state.TypeNotCarried && w.before == state.TypeException
		if !rules[e.Type].last {
			w.last = e.Seq
		} else if withoutMedia && w.last == e.Seq-1 {
			w.last = w.lastBefore(e.Seq - 1)
		}
		w.before = e.Type
	}
}

// lastBefore is the newest line before one that may not follow after the last
// checkpoint.
func (w *walk) lastBefore(line int64) int64 {
	for line--; line > 0 && rules[w.log.Events[line-1].Type].last; line-- {
	}
	return line
}

func (w *walk) line(e transcript.Event) error {
	rule, known := rules[e.Type]
	switch {
	case !known:
		return errors.New("an event of this type is not known to this version (hint: a newer version of rootverify)")
	case w.started == nil && e.Type != state.TypeBegun:
		return errors.New("the ceremony has not begun")
	case rule.when != always && w.plan == nil:
		return errors.New("no plan is agreed")
	case rule.when == agreedOn && w.Closed:
		return errors.New("the ceremony is closed")
	}
	if e.By != "room" && (w.plan == nil || w.holders[e.By] == nil) {
		return fmt.Errorf("it is by %.80q, who is not in the plan", e.By)
	}
	if rule.about != nil {
		if err := w.mayBeAbout(rule.about, e); err != nil {
			return err
		}
	}
	return rule.take(w, e)
}

// mayBeAbout holds the holder that an event names to those that its type may.
func (w *walk) mayBeAbout(custodies []string, e transcript.Event) error {
	var data struct {
		Holder string `json:"holder"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return err
	}
	if data.Holder == "" && slices.Contains(custodies, "") {
		return nil
	}
	h := w.holders[data.Holder]
	switch {
	case h == nil:
		return fmt.Errorf("the plan has no holder %.80q", data.Holder)
	case w.Enrols != "" && w.Enrols != data.Holder:
		return fmt.Errorf("this is the enrolment of %s alone", w.holders[w.Enrols].Name)
	case !slices.Contains(custodies, h.Custody) && h.kept():
		return fmt.Errorf("it is about %s, whose key was made before this ceremony", h.Name)
	case !slices.Contains(custodies, h.Custody):
		return fmt.Errorf("it is about %s, whose key is made in this ceremony", h.Name)
	}
	return nil
}

// kept reports whether the holder's key is one of the trusted root.
func (h *holder) kept() bool { return h.Custody == agreed.Existing || h.Custody == agreed.Dropped }

var digits64 = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (w *walk) begins(e transcript.Event) error {
	d, err := decode[state.Begun](e)
	switch {
	case err != nil:
		return err
	case w.started != nil:
		return errors.New("the ceremony had begun already")
	case !digits64.MatchString(d.Random):
		return errors.New("it has no 32 random bytes")
	}
	w.startedAt = e.Seq
	w.started, w.Rehearsal, w.Enrols = &d, d.Rehearsal, d.Enrols
	switch {
	case d.Rehearsal && !w.o.Rehearsal:
		w.add(Failed, "rehearsal", "", "it is the record of a rehearsal, and not for production (hint: --rehearsal accepts it all the same)")
	case d.Rehearsal:
		w.add(OK, "rehearsal", "", "it is the record of a rehearsal, and proves nothing about a real root")
	}
	w.rehearsalRoot()
	return nil
}

// rehearsalRoot takes the attestation roots of a rehearsal's virtual tokens from
// its folder, with those of enrolments that were made elsewhere, and their
// intermediate certificates.
func (w *walk) rehearsalRoot() {
	if !w.Rehearsal || !w.o.Rehearsal {
		return
	}
	for _, name := range sortedKeys(w.files.text) {
		if path.Dir(name) != rehearsalDir {
			continue
		}
		root, err := certificate(w.files.text[name])
		if err != nil {
			w.add(Failed, "attestation root", name, "%v", err)
			continue
		}
		if strings.HasPrefix(path.Base(name), "attestation-intermediate") {
			w.o.Intermediates = append(slices.Clip(w.o.Intermediates), root)
			continue
		}
		w.o.Roots = append(slices.Clip(w.o.Roots), root)
		w.add(OK, "attestation root", name, "virtual tokens are held to what lies in the rehearsal's own folder, which proves nothing")
	}
}

func (w *walk) continued(e transcript.Event) error {
	d, err := decode[state.Begun](e)
	switch {
	case err != nil:
		return err
	case d.Random != "" || e.Commitment != "":
		return errors.New("it has random bytes, or a private part, as the first line alone has")
	case d.Rehearsal != w.started.Rehearsal || d.Enrols != w.started.Enrols || d.Tokens != w.started.Tokens || d.Format != w.started.Format:
		return errors.New("it goes on as something else than it had begun as: a rehearsal stays one, and a real ceremony too")
	}
	w.startedAt = e.Seq
	return nil
}

func (w *walk) exception(e transcript.Event) error {
	d, err := decode[state.Exception](e)
	if err != nil {
		return err
	}
	said := d.Private // which says more
	if said == (state.Account{}) {
		said = d.Account
	}
	x := Exception{e.Seq, e.Time, said.Expected, said.Happened, said.Decided}
	w.Exceptions = append(w.Exceptions, x)
	return nil
}

func (w *walk) planAgreed(e transcript.Event) error {
	d, err := decode[state.PlanAgreed](e)
	if err != nil {
		return err
	}
	if w.plan != nil {
		return errors.New("a plan was agreed already")
	}
	if w.Enrols == "" && e.Commitment == "" {
		return errors.New("it has no private part")
	}
	public, err := planText(d.Plan)
	if err != nil {
		return err
	}
	private, err := planText(d.Private)
	if err != nil {
		return err
	}
	plan, err := agreed.Parse(public, private)
	if err != nil {
		return err
	}
	if is := sumOf(public); is != d.Digest {
		return fmt.Errorf("the plan's digest is %s, and %s was read aloud", is, d.Digest)
	}
	if plan.Rehearsal != w.Rehearsal {
		return errors.New("a rehearsal's plan and a real ceremony do not mix")
	}
	w.plan, w.size, w.PlanDigest = plan, plan.Budget().Bytes, d.Digest
	w.Name, w.Kind, w.Version = plan.Name, plan.Kind, plan.Version
	w.holders = map[string]*holder{}
	everybody := slices.Clone(plan.Holders)
	for _, drop := range plan.Drops {
		everybody = append(everybody, agreed.Holder{ID: drop.ID, Name: drop.Called(), Token: drop.Token, Custody: agreed.Dropped, KeyID: drop.KeyID})
	}
	for _, one := range everybody {
		h := &holder{Holder: one, own: &place{sticker: one.Token}}
		w.holders[one.ID], w.signers = h, append(w.signers, h)
	}
	if w.Enrols != "" && (w.holders[w.Enrols] == nil || w.holders[w.Enrols].kept()) {
		return fmt.Errorf("the plan has no holder %.80q whose key is to be made", w.Enrols)
	}
	w.add(OK, "plan", e.Type, "%s: %s root v%d, digest %s", plan.Name, plan.Kind, plan.Version, agreed.Grouped(d.Digest))
	w.asWritten()
	if !plan.Unseen {
		if err := w.name(e.Seq, state.PrivatePlanFile, sumOf(private), true); err != nil {
			return err
		}
	}
	return cmp.Or(w.name(e.Seq, state.ResolvedFile, d.Digest, true), w.trustedChain(e, d.Anchor))
}

// planText is a file of the plan as it was, which the log holds without white
// space; nil of nothing.
func planText(compact json.RawMessage) ([]byte, error) {
	if compact == nil {
		return nil, nil
	}
	var text bytes.Buffer
	if err := json.Indent(&text, compact, "", "  "); err != nil {
		return nil, err
	}
	text.WriteByte('\n')
	return text.Bytes(), nil
}

// asWritten compares the plan as people wrote it, where it is here.
func (w *walk) asWritten() {
	sum, there := w.files.sum[state.PlanFile]
	switch {
	case w.Enrols != "": // which takes it from its ceremony
	case there && w.plan.Unseen:
		w.add(NotSeen, "plan", state.PlanFile, "whether it is the one that was agreed, only the private part of that says")
	case !there:
		w.add(NotSeen, "plan", state.PlanFile, "the plan as people wrote it is not here; the agreed one decides")
	case sum != w.plan.PlanSHA256:
		w.add(Failed, "plan", state.PlanFile, "it was changed after it was agreed: its SHA-256 is %s, and was %s", sum, w.plan.PlanSHA256)
	default:
		w.add(OK, "plan", state.PlanFile, "it is the one that was agreed")
	}
}

// trustedChain verifies the chain that the new root follows, from its first root to
// the newest.
func (w *walk) trustedChain(e transcript.Event, anchor state.Anchor) error {
	t := w.plan.Trusted
	switch {
	case t == nil && anchor != "":
		return errors.New("it says how a trusted root is known, and there is none")
	case t == nil:
		return nil
	case anchor != state.AnchorTyped && anchor != state.AnchorConfirmed:
		return fmt.Errorf("nobody can know the first root by %.80q", anchor)
	case w.plan.TrustedRoot().Rehearsal() && !w.Rehearsal:
		return errors.New("the trusted root is that of a rehearsal")
	}
	if w.Enrols != "" { // which has the newest root in its plan, and no chain
		return w.name(e.Seq, agreed.TrustedFile(t.Newest().Version), t.Newest().SHA256, true)
	}
	var chain tuf.Chain
	for _, v := range t.Versions {
		file := agreed.TrustedFile(v.Version)
		if err := w.name(e.Seq, file, v.SHA256, false); err != nil {
			return err
		}
		text, there := w.files.text[file]
		if !there || w.files.sum[file] != v.SHA256 {
			w.add(Failed, "trusted chain", file, "it is missing, or isn't the one that was agreed: version %d is not verified", t.Newest().Version)
			return nil
		}
		step, err := chain.Add(text)
		if err == nil && step.Version != v.Version {
			err = fmt.Errorf("it is version %d", step.Version)
		}
		if err != nil {
			w.add(Failed, "trusted chain", file, "%v", err)
			return nil
		}
	}
	w.exposed = chain.Exposed()
	how := map[state.Anchor]string{state.AnchorTyped: "typed from another source", state.AnchorConfirmed: "shown, and confirmed"}[anchor]
	w.add(OK, "trusted chain", agreed.TrustedDir, "versions %d to %d, each signed by the one before; the SHA-256 of the first was %s", t.Versions[0].Version, t.Newest().Version, how)
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
