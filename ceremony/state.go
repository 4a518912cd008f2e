package ceremony

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// State is what a ceremony has come to: a pure fold over the events of its
// log. Whoever has the log has the state.
type State struct {
	Begun      *Begun
	Preflight  *PreflightDone
	Plan       *Resolved
	Digest     string                  // the agreed plan's
	Holders    map[string]*HolderState // by id, once the plan is agreed
	Anchor     Anchor
	Draft      *DraftMade // the live one
	Root       *tuf.Root  // what the draft says, once there is one
	Abandoned  []*Abandoned
	Rivals     []*Rival // other roots of this version, which signers have signed
	Reviewed   *DraftReviewed
	Published  *RootPublished
	Sealed     *Sealed
	SealedAt   int64 // number of the event
	Closed     *Closed
	HandedOver *HandedOver // of an enrolment
	Exceptions int
	Files      []File // all that the log vouches for, in its order

	Recipients map[string]*RecipientProved // by id
	Drills     []*DrillDone
	Written    map[string]*CopiesWritten // by the medium's id; "": going on without
	Copies     []*CopiesRead
	Passed     map[string]bool // by checked.key, in the check-up that is going on
	PUKBlocked map[string]bool // of those: with a PUK that has no tries left
	Checkups   []*CheckupDone

	HeadsWaived bool // nobody could sign the sealed log

	Carried    []CarryIntended // those that were read back, in order
	NotCarried bool            // the ceremony ends on fewer media
	carrying   map[int64]CarryIntended

	resumed    map[string]string // who may have signed the live draft elsewhere, when it was abandoned before
	signatures []*SignatureMade  // all of them, those of abandoned drafts too
	heads      []string          // heads[n] is the hash of line n; heads[0] of the empty log
	previous   string            // type of the newest event
	differed   []string          // digests of drafts of which a second machine showed other words
}

// HolderState is one holder's part of it.
type HolderState struct {
	Holder     Holder
	Serial     uint32 // of the token in use; 0: none yet
	Prepared   *Prepared
	Partial    bool // the token must be wiped before it can be prepared
	Locked     bool // the token has PUK and management key, which are backed up, and no root key
	Stored     []*BackupStored
	Key        *KeyMade
	Proved     *KeyProved
	Collected  *Collected // made elsewhere; it counts once it is confirmed
	Confirmed  *Confirmed
	Signature  *SignatureMade
	Retired    *TokenRetired // the token of a dropped key
	NotRetired *NotRetired
	Head       *HeadSigned // the newest head the holder has signed
	Open       *Intention

	// Replacement is the token that takes the place of this one, with the same
	// root key, while that is being made. Former are the serials of those that
	// were replaced.
	Replacement *HolderState
	Former      []uint32
	stickers    []string     // of those
	Spare       *HolderState // a second token with the root key
	replaces    *HolderState // of a Replacement, and of a Spare
	spare       bool         // a Replacement that is to be a Spare
}

// act names the holder and a token in an event.
func (h *HolderState) act(serial uint32) Act { return Act{h.Holder.ID, serial, h.replaces != nil} }

// Intention is an act that was announced and has no result yet.
type Intention struct {
	Seq    int64
	Type   string
	Serial uint32
	Digest string // of the draft, for signatures
	Key    *KeyIntended
}

// Fold replays a log. An error names the event that does not fit what came
// before it.
func Fold(events []transcript.Event) (*State, error) {
	s := &State{}
	for _, e := range events {
		if err := s.Apply(e); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// View is what a log says: what the ceremony has come to, and which log it is.
type View struct {
	State *State
	Head  transcript.Head
	Time  time.Time // of the newest line

	heads []string // that it had before
}

// ReadLog returns the view of a log.
func ReadLog(text []byte) (*View, error) {
	events, head, _, err := transcript.Read(text)
	if err != nil {
		return nil, err
	}
	v := &View{Head: head}
	for _, e := range events {
		v.Time, v.heads = e.Time, append(v.heads, e.Prev)
	}
	v.State, err = Fold(events)
	return v, err
}

// HadHead reports whether the log has, or once had, a head.
func (v *View) HadHead(head string) bool {
	return v.Head.Hash == head || slices.Contains(v.heads, head)
}

// With is the state after one more event, if that fits. The state itself does
// not change, and shares nothing with the other one that does.
func (s *State) With(e transcript.Event) (*State, error) {
	next := s.clone()
	if err := next.Apply(e); err != nil {
		return nil, err
	}
	return next, nil
}

func (s *State) clone() *State {
	c := *s
	c.Holders = maps.Clone(s.Holders)
	for id, h := range s.Holders {
		c.Holders[id] = h.clone(nil)
	}
	c.Recipients, c.Written, c.Passed, c.resumed = maps.Clone(s.Recipients), maps.Clone(s.Written), maps.Clone(s.Passed), maps.Clone(s.resumed)
	c.Abandoned, c.Rivals = nil, slices.Clone(s.Rivals)
	for _, ab := range s.Abandoned {
		one := *ab
		one.Signed, one.Maybe = maps.Clone(ab.Signed), maps.Clone(ab.Maybe)
		c.Abandoned = append(c.Abandoned, &one)
	}
	for i, r := range s.Rivals {
		one := *r
		c.Rivals[i] = &one
	}
	c.Files, c.signatures, c.heads = slices.Clone(s.Files), slices.Clone(s.signatures), slices.Clone(s.heads)
	return &c
}

func (h *HolderState) clone(own *HolderState) *HolderState {
	if h == nil {
		return nil
	}
	c := *h
	if h.Open != nil {
		open := *h.Open
		c.Open = &open
	}
	c.Stored, c.Former, c.stickers = slices.Clone(h.Stored), slices.Clone(h.Former), slices.Clone(h.stickers)
	c.Replacement, c.Spare, c.replaces = h.Replacement.clone(&c), h.Spare.clone(&c), own
	return &c
}

// Apply takes one more event. After an error the state is as before the event
// or must not be used.
func (s *State) Apply(e transcript.Event) error {
	s.heads = append(s.heads, e.Prev)
	if err := s.apply(e); err != nil {
		return fmt.Errorf("%s line %d (%s): %w", transcript.FileName, e.Seq, e.Type, err)
	}
	s.previous = e.Type
	return nil
}

// Refold brings the state back to what the log says, after an event that could
// not be appended. A task that is running keeps the holders it knows.
func (s *State) Refold(events []transcript.Event) error {
	again, err := Fold(events)
	if err != nil {
		return err
	}
	for id, h := range s.Holders {
		if other := again.Holders[id]; other != nil {
			h.become(other)
			again.Holders[id] = h
		}
	}
	*s = *again
	return nil
}

// become makes a holder what another one is, and each token beside the holder's
// what the other one's is. All of them stay where they are known.
func (h *HolderState) become(other *HolderState) {
	replacement, spare := h.Replacement, h.Spare
	*h = *other
	h.Replacement, h.Spare = replacement.besides(h, other.Replacement), spare.besides(h, other.Spare)
}

// besides makes a token, which may be nil, what another one is beside own.
func (h *HolderState) besides(own, other *HolderState) *HolderState {
	switch {
	case other == nil:
		return nil
	case h == nil:
		h = other
	}
	*h = *other
	h.replaces = own
	return h
}

// rule is what a type of event does to the state, and whom it may be about: the
// custodies of the holders that its data may name, by the member "holder". An
// event that names none has no list.
type rule struct {
	apply func(*State, transcript.Event) error
	about []string
}

// The holders that an event can be about. "" stands for nobody.
var (
	newKeys        = []string{OnToken, BackedUp} // made in this ceremony, or in an enrolment for it
	droppedKeys    = []string{Dropped}
	trustedKeys    = []string{Existing, Dropped} // made before it
	everyKey       = []string{OnToken, BackedUp, Existing, Dropped}
	everyKeyOrNone = append([]string{""}, everyKey...)
)

// rules are those of all types of events that follow on an agreed plan.
var rules = map[string]rule{
	TypeWipeIntended:      {(*State).wipeIntended, newKeys},
	TypeWiped:             {(*State).wiped, newKeys},
	TypePrepareIntended:   {(*State).prepareIntended, newKeys},
	TypePrepared:          {(*State).prepared, newKeys},
	TypeKeyIntended:       {(*State).keyIntended, newKeys},
	TypeRecipientProved:   {(*State).recipientProved, nil},
	TypeBackupStored:      {(*State).backupStored, newKeys},
	TypeReplacementBegun:  {(*State).replacementBegun, newKeys},
	TypeReplacementGiven:  {(*State).replacementGivenUp, newKeys},
	TypeSpareUsed:         {(*State).spareUsed, newKeys},
	TypeCheckupPassed:     {(*State).checkupPassed, nil},
	TypeCheckupDone:       {(*State).checkupDone, nil},
	TypeDrillDone:         {(*State).drillDone, newKeys},
	TypeCopiesWritten:     {(*State).copiesWritten, nil},
	TypeCopiesRead:        {(*State).copiesRead, nil},
	TypeKeyMade:           {(*State).keyMade, newKeys},
	TypeKeyProved:         {(*State).keyProved, newKeys},
	TypeUnblockIntended:   {(*State).unblockIntended, everyKey},
	TypeUnblocked:         {(*State).unblocked, everyKey},
	TypeSettled:           {(*State).settled, everyKey},
	TypeStartedOver:       {(*State).startedOver, newKeys},
	TypeCollected:         {(*State).collected, newKeys},
	TypeConfirmed:         {(*State).confirmed, newKeys},
	TypeHandedOver:        {(*State).handedOver, nil},
	TypeDraftMade:         {(*State).draftMade, nil},
	TypeDraftReviewed:     {(*State).draftReviewed, nil},
	TypeDraftDiffers:      {(*State).draftDiffers, nil},
	TypeDraftResumed:      {(*State).draftResumed, nil},
	TypeDraftAbandoned:    {(*State).draftAbandoned, nil},
	TypeTokenShown:        {(*State).tokenShown, trustedKeys},
	TypeSigCollected:      {(*State).signatureCollected, everyKey},
	TypeSigRival:          {(*State).signatureRival, everyKeyOrNone},
	TypeSignatureIntended: {(*State).signatureIntended, everyKey},
	TypeSignatureMade:     {(*State).signatureMade, everyKey},
	TypeHeadSigned:        {(*State).headSigned, everyKey},
	TypeRetireIntended:    {(*State).retireIntended, droppedKeys},
	TypeRetired:           {(*State).retired, droppedKeys},
	TypeNotRetired:        {(*State).notRetired, droppedKeys},
	TypeHeadsWaived:       {(*State).headsWaived, nil},
	TypeRootPublished:     {(*State).rootPublished, nil},
	TypeSealed:            {(*State).sealed, nil},
	TypeClosed:            {(*State).closed, nil},
	TypeCarryIntended:     {(*State).carryIntended, nil},
	TypeCarried:           {(*State).carried, nil},
	TypeNotCarried:        {(*State).notCarried, nil},
}

// fault is a panic as an error.
type fault struct {
	Value any
	Stack []byte
}

func (f *fault) Error() string { return fmt.Sprintf("the program has a fault (%v)", f.Value) }

func (s *State) apply(e transcript.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &fault{p, debug.Stack()}
		}
	}()
	if s.Begun == nil && e.Type != TypeBegun && e.Type != transcript.TypeSetAside {
		return errors.New("the ceremony has not begun")
	}
	switch e.Type {
	case TypeBegun:
		return s.begun(e)
	case TypeContinued:
		return read(e, &Begun{})
	case transcript.TypeSetAside:
		return read(e, &transcript.SetAside{})
	case TypeTaskFailed:
		return read(e, &TaskFailed{})
	case TypeNote:
		return read(e, &Note{})
	case TypeException:
		s.Exceptions++
		return read(e, &Exception{})
	case TypePreflight:
		s.Preflight = &PreflightDone{}
		return read(e, s.Preflight)
	case TypePlanAgreed:
		return s.planAgreed(e)
	}
	if s.Plan == nil {
		return errors.New("the plan is not agreed")
	}
	if s.Closed != nil && !afterTheDay[e.Type] {
		return errors.New("the ceremony is closed")
	}
	rule, known := rules[e.Type]
	if !known {
		return errors.New("an event of this type is not known to this version")
	}
	if err := s.mayBeAbout(rule.about, e); err != nil {
		return err
	}
	return rule.apply(s, e)
}

// mayBeAbout holds the holder that an event names to those that its type may.
func (s *State) mayBeAbout(custodies []string, e transcript.Event) error {
	if custodies == nil {
		return nil
	}
	var data struct {
		Holder string `json:"holder"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return err
	}
	h := s.Holders[data.Holder]
	switch only := s.Begun.Enrols; {
	case data.Holder == "" && slices.Contains(custodies, ""):
		return nil
	case h == nil:
		return fmt.Errorf("the plan has no holder %q", data.Holder)
	case only != "" && only != data.Holder:
		return fmt.Errorf("this is the enrolment of %s alone", only)
	case !slices.Contains(custodies, h.Holder.Custody):
		when := "is made in this ceremony"
		if h.ofTrusted() {
			when = "was made before this ceremony"
		}
		return fmt.Errorf("no event of this type is about %s, whose key %s", h.Holder.Name, when)
	}
	return nil
}

// read decodes an event's data strictly.
func read(e transcript.Event, data any) error {
	decoder := json.NewDecoder(bytes.NewReader(e.Data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(data)
}

func (s *State) begun(e transcript.Event) error {
	var data Begun
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Begun != nil {
		return errors.New("the ceremony had begun already")
	}
	if data.Format != FormatVersion {
		return fmt.Errorf("the log is of format %d, and this version reads %d", data.Format, FormatVersion)
	}
	s.Begun = &data
	return nil
}

func (s *State) planAgreed(e transcript.Event) error {
	var data PlanAgreed
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Plan != nil {
		return errors.New("a plan was agreed already")
	}
	// The log holds it without white space.
	var text bytes.Buffer
	if err := json.Indent(&text, data.Plan, "", "  "); err != nil {
		return err
	}
	text.WriteByte('\n')
	plan, err := ParseResolved(text.Bytes())
	if err != nil {
		return err
	}
	if digest := plan.Digest(); digest != data.Digest {
		return fmt.Errorf("the plan's digest is %s, not %s", digest, data.Digest)
	}
	if plan.Rehearsal != s.Begun.Rehearsal {
		return errors.New("a rehearsal's plan and a real ceremony do not mix")
	}
	if (data.Anchor == "") != (plan.Trusted == nil) || plan.Trusted != nil && data.Anchor != AnchorTyped && data.Anchor != AnchorConfirmed {
		return fmt.Errorf("the anchor %q does not go with this plan", data.Anchor)
	}
	if plan.Trusted != nil && plan.TrustedRoot().Rehearsal() && !plan.Rehearsal {
		return errors.New("the trusted root is that of a rehearsal")
	}
	s.Plan, s.Digest, s.Anchor = plan, data.Digest, data.Anchor
	s.Holders, s.Recipients, s.Written = map[string]*HolderState{}, map[string]*RecipientProved{}, map[string]*CopiesWritten{}
	s.Passed, s.PUKBlocked = map[string]bool{}, map[string]bool{}
	for _, h := range plan.Holders {
		s.Holders[h.ID] = &HolderState{Holder: h}
	}
	s.trustedSigners()
	if t := plan.Trusted; t != nil && s.Begun.Enrols == "" {
		for _, v := range t.Versions {
			s.Files = append(s.Files, File{trustedFile(v.Version), v.SHA256})
		}
	}
	if only := s.Begun.Enrols; only != "" && (s.Holders[only] == nil || s.Holders[only].ofTrusted()) {
		return fmt.Errorf("the plan has no holder %q whose key is to be made", only)
	}
	return nil
}

// holder finds whose token an event is about, which mayBeAbout has let pass.
func (s *State) holder(on Act) (*HolderState, error) {
	h := s.Holders[on.Holder]
	if on.Replacement {
		own := h
		if h = own.Replacement; own.Spare != nil && own.Spare.Serial == on.Serial {
			h = own.Spare
		}
		if h == nil {
			return nil, fmt.Errorf("no token takes the place of the one of %q", on.Holder)
		}
	}
	if other := s.HolderOf(on.Serial); other != nil && other != h {
		return nil, fmt.Errorf("token %d is %s's", on.Serial, other.Holder.Name)
	}
	if h.Serial != 0 && h.Serial != on.Serial {
		return nil, fmt.Errorf("%s's token is %d, not %d", h.Holder.Name, h.Serial, on.Serial)
	}
	return h, nil
}

// HolderOf returns whose token has that serial number, or nil. A token that was
// replaced is still its holder's: it may hold the root key.
func (s *State) HolderOf(serial uint32) *HolderState {
	if serial == 0 {
		return nil
	}
	for _, h := range s.Holders {
		if h.Serial == serial || slices.Contains(h.Former, serial) {
			return h
		}
		for _, r := range []*HolderState{h.Replacement, h.Spare} {
			if r != nil && r.Serial == serial {
				return r
			}
		}
	}
	return nil
}

// intend opens an intention.
func (s *State) intend(e transcript.Event, on Act, digest string) (*HolderState, error) {
	h, err := s.holder(on)
	if err != nil {
		return nil, err
	}
	if s.Sealed != nil && !on.Replacement && e.Type != TypeUnblockIntended { // whoever signs the log needs a PIN too
		return nil, errors.New("the ceremony is sealed")
	}
	if h.Open != nil {
		return nil, fmt.Errorf("the intention of line %d is not settled", h.Open.Seq)
	}
	h.Serial = on.Serial
	h.Open = &Intention{Seq: e.Seq, Type: e.Type, Serial: on.Serial, Digest: digest}
	return h, nil
}

// close finds the intention that a result is of.
func (s *State) close(result Result, types ...string) (*HolderState, error) {
	h, err := s.holder(result.Act)
	if err != nil {
		return nil, err
	}
	if h.Open == nil || h.Open.Seq != result.Intention || h.Open.Serial != result.Serial || !slices.Contains(types, h.Open.Type) {
		return nil, fmt.Errorf("no intention %d of %s is open on token %d", result.Intention, h.Holder.Name, result.Serial)
	}
	h.Open = nil
	return h, nil
}

func (s *State) wipeIntended(e transcript.Event) error {
	var data WipeIntended
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.intend(e, data.Act, "")
	if err == nil && h.Key != nil {
		return fmt.Errorf("token %d holds %s's root key", data.Serial, h.Holder.Name)
	}
	return err
}

func (s *State) wiped(e transcript.Event) error {
	var data Result
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.close(data, TypeWipeIntended)
	if err != nil {
		return err
	}
	h.Serial, h.Prepared, h.Partial, h.Locked, h.Stored = 0, nil, false, false, nil
	if h.replaces == nil {
		delete(s.Recipients, h.Holder.ID)
	}
	return nil
}

func (s *State) prepareIntended(e transcript.Event) error {
	var data PrepareIntended
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.intend(e, data.Act, "")
	if err == nil && (h.Prepared != nil || h.Partial) {
		return fmt.Errorf("token %d was prepared already", data.Serial)
	}
	return err
}

func (s *State) prepared(e transcript.Event) error {
	var data Prepared
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.close(data.Result, TypePrepareIntended)
	if err != nil {
		return err
	}
	if err := evidenceOf(data.Serial, data.Evidence); err != nil {
		return err
	}
	s.Files = append(s.Files, data.Evidence...)
	h.Prepared = &data
	return nil
}

func (s *State) keyIntended(e transcript.Event) error {
	var data KeyIntended
	if err := read(e, &data); err != nil {
		return err
	}
	if plan := s.Plan.Token; data.Slot != keys.SlotRoot || data.Algorithm != plan.Algorithm || data.Touch != plan.Touch {
		return fmt.Errorf("a key for %s in slot %v with touch %s is not what the plan wants", data.Algorithm, data.Slot, data.Touch)
	}
	h, err := s.intend(e, data.Act, "")
	if err != nil {
		return err
	}
	if h.Prepared == nil || h.Key != nil {
		return fmt.Errorf("token %d is not prepared, or has its key already", data.Serial)
	}
	if origin := s.origin(h); data.Origin != origin || (data.Attempt != "") != (s.Plan.Backup != nil) || data.Attempt != "" && !attemptForm.MatchString(data.Attempt) {
		return fmt.Errorf("a root key from %q with the attempt %q is not as the plan has it", data.Origin, data.Attempt)
	}
	if missing := s.recipientsMissing(); len(missing) > 0 {
		return fmt.Errorf("%s did not show before that they open backups", listed(missing))
	}
	h.Open.Key = &data
	return nil
}

func (s *State) keyMade(e transcript.Event) error {
	var data KeyMade
	if err := read(e, &data); err != nil {
		return err
	}
	if err := s.keyFits(data); err != nil {
		return err
	}
	h, err := s.close(data.Result, TypeKeyIntended)
	if err != nil {
		return err
	}
	if err := errors.Join(s.plansAlgorithm(data.Public), evidenceOf(data.Serial, data.Evidence)); err != nil {
		return err
	}
	s.Files = append(s.Files, data.Evidence...)
	h.Key, h.Locked = &data, false
	return nil
}

// plansAlgorithm holds a root key to the plan.
func (s *State) plansAlgorithm(root keys.PublicKey) error {
	if want := s.Plan.Token.Algorithm; root.Algorithm != want {
		return fmt.Errorf("the root key is one for %s, and the plan wants %s", root.Algorithm, want)
	}
	return nil
}

func (s *State) keyProved(e transcript.Event) error {
	var data KeyProved
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if h.Key == nil || h.Proved != nil {
		return errors.New("there is no key to prove, or it was proved already")
	}
	message, err := s.Possession(h, data.Nonce)
	if err != nil {
		return err
	}
	if err := verifyHex(h.Key.Public, message, data.Signature); err != nil {
		return err
	}
	if err := evidenceOf(data.Serial, data.Evidence); err != nil {
		return err
	}
	s.Files = append(s.Files, data.Evidence...)
	h.Proved = &data
	if h.replaces != nil {
		h.takePlace()
	}
	return nil
}

func (s *State) unblockIntended(e transcript.Event) error {
	var data UnblockIntended
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.intend(e, data.Act, "")
	switch {
	case err != nil:
		return err
	case h.Prepared == nil && !h.ofTrusted() || h.Partial:
		return fmt.Errorf("token %d has no PIN of %s yet", data.Serial, h.Holder.Name)
	case data.FactoryPUK && h.Key != nil:
		return fmt.Errorf("the PUK of token %d was replaced when its root key was made", data.Serial)
	case !data.FactoryPUK && h.nobodyHasPUK():
		return fmt.Errorf("nobody has the PUK of token %d", data.Serial)
	}
	return nil
}

func (s *State) unblocked(e transcript.Event) error {
	var data Result
	if err := read(e, &data); err != nil {
		return err
	}
	_, err := s.close(data, TypeUnblockIntended)
	return err
}

func (s *State) settled(e transcript.Event) error {
	var data Settled
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.close(data.Result, TypeWipeIntended, TypePrepareIntended, TypeKeyIntended, TypeUnblockIntended, TypeSignatureIntended)
	if err != nil {
		return err
	}
	switch {
	case data.State == SettledPartial && h.Key == nil:
		h.Partial = true
	case data.State == SettledLocked && h.Key == nil && h.Prepared != nil:
		if h.stored(keys.BackupToken) == nil {
			return errors.New("no backup of the token's PUK is stored")
		}
		h.Locked = true
	case data.State != SettledNothing:
		return fmt.Errorf("state %q does not fit", data.State)
	case h.Prepared == nil && !h.Partial && !h.ofTrusted():
		h.Serial = 0 // nothing was done to this token: another may take its place
	}
	return nil
}

func (s *State) startedOver(e transcript.Event) error {
	var data StartedOver
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if s.Draft != nil && h.replaces == nil {
		return errors.New("the draft holds the keys already")
	}
	if h.Serial == 0 || h.ofTrusted() {
		return fmt.Errorf("%s has no token yet, or their key stays as it is", h.Holder.Name)
	}
	*h = HolderState{Holder: h.Holder, replaces: h.replaces, spare: h.spare, Signature: h.Signature} // which is of an abandoned draft
	if h.replaces == nil {
		delete(s.Recipients, h.Holder.ID)
	}
	return nil
}

func (s *State) draftMade(e transcript.Event) error {
	var data DraftMade
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Draft != nil {
		return fmt.Errorf("a draft of version %d is live already", s.Draft.Version)
	}
	if s.Begun.Enrols != "" {
		return errors.New("an enrolment makes no draft")
	}
	if err := s.abandonedOpen(); err != nil {
		return err
	}
	if s.Plan.Backup != nil && (!s.drilled() || !s.copiedEnough() || len(s.tooFew("")) > 0) {
		return errors.New("no backup was drilled, not all are copied, or one cannot be opened any more")
	}
	root, err := s.PlannedRoot(data.Expires)
	if err != nil {
		return err
	}
	if digest := digestOf(root.Canonical()); digest != data.Digest || root.Version != data.Version {
		return fmt.Errorf("the agreed plan and the keys make version %d with digest %s, not version %d with %s",
			root.Version, digest, data.Version, data.Digest)
	}
	if s.abandoned(data.Digest) != nil {
		return fmt.Errorf("it would be the abandoned draft %.8s again, made as if it had never been abandoned (hint: take that one up again; a holder who starts over makes it another one; for another plan, hold another ceremony in another directory)", data.Digest)
	}
	file, err := s.draftFile(root)
	if err != nil {
		return err
	}
	s.Draft, s.Root = &data, root
	return s.wrote(data.File, file)
}

func (s *State) draftReviewed(e transcript.Event) error {
	var data DraftReviewed
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Draft == nil || s.Draft.Digest != data.Digest {
		return errors.New("that is not the live draft")
	}
	if s.differs() && !data.SecondMachine {
		return errors.New("a second machine showed other words, and none has shown the same ones since")
	}
	s.Reviewed = &data
	return nil
}

func (s *State) draftDiffers(e transcript.Event) error {
	var data DraftDiffers
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Draft == nil || s.Draft.Digest != data.Digest || s.Reviewed != nil {
		return errors.New("that is not the live draft, or it was reviewed")
	}
	s.differed = append(slices.Clip(s.differed), data.Digest)
	return nil
}

// differs tells whether a second machine showed other words of the live draft, and
// none has shown the same ones since.
func (s *State) differs() bool {
	return s.Draft != nil && s.Reviewed == nil && slices.Contains(s.differed, s.Draft.Digest)
}

func (s *State) signatureIntended(e transcript.Event) error {
	var data SignatureIntended
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Reviewed == nil || s.Draft.Digest != data.Digest {
		return errors.New("that is not the reviewed draft")
	}
	if err := s.abandonedOpen(); err != nil {
		return err
	}
	h, err := s.intend(e, data.Act, data.Digest)
	if err != nil {
		return err
	}
	return s.maySign(h)
}

func (s *State) signatureMade(e transcript.Event) error {
	var data SignatureMade
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.close(data.Result, TypeSignatureIntended)
	if err != nil {
		return err
	}
	if s.Draft == nil || data.Digest != s.Draft.Digest || data.KeyID != h.keyID() {
		return errors.New("it is not a signature of the reviewed draft by this holder's key")
	}
	if err := s.maySign(h); err != nil {
		return err
	}
	if err := s.verifySigned(s.Root, data.KeyID, data.Signature); err != nil {
		return err
	}
	file, err := signatureFile(data.Digest, data.Holder, data.KeyID, data.Signature)
	if err != nil {
		return err
	}
	h.Signature = &data
	s.signatures = append(s.signatures, &data)
	return s.wrote(data.File, file)
}

func (s *State) headSigned(e transcript.Event) error {
	var data HeadSigned
	if err := read(e, &data); err != nil {
		return err
	}
	h, err := s.holder(data.Act)
	if err != nil {
		return err
	}
	if h.Prepared == nil {
		return errors.New("the holder has no key that signs heads")
	}
	if n := data.Head.Seq; n < 1 || n >= int64(len(s.heads)) || s.heads[n] != data.Head.Hash {
		return errors.New("the signed head is not one of this log")
	}
	if err := verifyHex(h.Prepared.Authentication, HeadMessage(data.Head), data.Signature); err != nil {
		return err
	}
	h.Head = &data
	return nil
}

func (s *State) headsWaived(e transcript.Event) error {
	if err := read(e, &HeadsWaived{}); err != nil {
		return err
	}
	if s.Sealed == nil || s.Plan.Trusted == nil || s.previous != TypeException {
		return errors.New("it is not sealed, or no exception was recorded just before")
	}
	s.HeadsWaived = true
	return nil
}

func (s *State) rootPublished(e transcript.Event) error {
	var data RootPublished
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Published != nil || s.Draft == nil || data.Digest != s.Draft.Digest {
		return errors.New("a root was published already, or this is not the draft")
	}
	signed, err := s.signedBy(data.KeyIDs)
	if err != nil {
		return err
	}
	for _, report := range s.tally(data.KeyIDs) {
		if !report.Good() {
			return fmt.Errorf("for version %d %d of %d signatures are too few", report.Version, report.Have, report.Need)
		}
	}
	if err := s.abandonedOpen(); err != nil {
		return err
	}
	text, err := tuf.Assemble(s.Root, signed, s.Plan.previous()...)
	if err != nil {
		return err
	}
	for _, f := range data.Kit {
		if !kitName.MatchString(f.Name) {
			return fmt.Errorf("the file %q is no part of the kit", f.Name)
		}
	}
	s.Published = &data
	s.Files = append(s.Files, data.Kit...)
	if t := s.Plan.Trusted; t != nil {
		for _, v := range t.Versions {
			s.Files = append(s.Files, File{rootFile(v.Version), v.SHA256})
		}
	}
	return s.wrote(data.File, written{rootFile(data.Version), text})
}

func (s *State) sealed(e transcript.Event) error {
	var data Sealed
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Published == nil || s.Sealed != nil {
		return errors.New("nothing is published, or it is sealed already")
	}
	signed, err := s.signedBy(data.KeyIDs)
	if err != nil {
		return err
	}
	s.Sealed, s.SealedAt = &data, e.Seq
	if data.Fuller == nil {
		return nil
	}
	text, err := tuf.Assemble(s.Root, signed, s.Plan.previous()...)
	if err != nil {
		return err
	}
	return s.wrote(*data.Fuller, written{fullerFile(s.Draft.Version), text})
}

func (s *State) closed(e transcript.Event) error {
	var data Closed
	if err := read(e, &data); err != nil {
		return err
	}
	if s.Sealed == nil {
		return errors.New("it is not sealed")
	}
	s.Closed = &data
	return s.wrote(data.Sums, s.sums())
}

// written is a file that follows from the log.
type written struct {
	name string // in the ceremony directory, with slashes
	text []byte
}

// file is a written one as an event names it.
func (w written) file() File { return File{w.name, digestOf(w.text)} }

// wrote holds an event to the file that its task writes: an event does not say
// where something is written, or what.
func (s *State) wrote(said File, is written) error {
	if said != is.file() {
		return fmt.Errorf("it names the file %q with SHA-256 %s, not %q with %s", said.Name, said.SHA256, is.name, digestOf(is.text))
	}
	s.Files = append(s.Files, said)
	return nil
}

// signedBy are the signatures of these keys, each of which must have made one.
func (s *State) signedBy(keyIDs []string) ([]tuf.Signature, error) {
	signed := slices.DeleteFunc(s.Signatures(), func(sig tuf.Signature) bool { return !slices.Contains(keyIDs, sig.KeyID) })
	if len(signed) != len(keyIDs) {
		return nil, fmt.Errorf("%d keys are named, and %d of them have signed", len(keyIDs), len(signed))
	}
	return signed, nil
}

// verifyHex checks a signature in lower-case hex.
func verifyHex(public keys.PublicKey, message []byte, signature string) error {
	raw, err := hex.DecodeString(signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return public.Verify(message, raw)
}

// counts tells whether the holder's root key can be put into a root.
func (h *HolderState) counts() bool {
	return h.ofTrusted() || h.Proved != nil && (h.Collected == nil || h.Confirmed != nil)
}

// RootKeys are the new root keys that are proved, and confirmed where they were
// made elsewhere, by holder's id.
func (s *State) RootKeys() map[string]keys.PublicKey {
	made := map[string]keys.PublicKey{}
	for id, h := range s.Holders {
		if h.counts() && !h.ofTrusted() {
			made[id] = h.Key.Public
		}
	}
	return made
}

// Signatures are the signatures over the live draft, in the order of signers.
func (s *State) Signatures() []tuf.Signature {
	var made []tuf.Signature
	for _, h := range s.signers() {
		if m := h.Signature; m != nil && s.Draft != nil && m.Digest == s.Draft.Digest {
			raw, _ := hex.DecodeString(m.Signature) // checked when it was applied
			made = append(made, tuf.Signature{KeyID: m.KeyID, Sig: raw})
		}
	}
	return made
}
