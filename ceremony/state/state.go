// Package state is what a ceremony has come to: a pure fold over the events of
// its log, without a clock, a file or people.
//
// event.go has the kinds of event and their data; Rules in state.go says in one
// table what each does and whom it may be about; a file each has the events of
// tokens, backups, copies, drafts, signatures, the log's checkpoints, publishing,
// retiring, replacements, enrolments elsewhere, check-ups and the end. An event
// that does not fit what came before it is an error that names its line. Files
// that follow from the log are made here too, so that an event cannot say where
// something is written, or what.
package state

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

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/transcript"
	"rootceremony/ceremony/tuf"
	"rootceremony/keys"
)

// State is what a ceremony has come to: a pure fold over the events of its
// log. Anyone who has the log has the state. It is a value: an event makes another
// one, by With, so that what was read of one stays as it was, and is not what the
// next one says.
type State struct {
	Begun      *Begun
	LogOrigin  string // of its checkpoints
	Preflight  *PreflightDone
	Plan       *agreed.Plan
	Digest     string             // the agreed plan's
	Holders    map[string]*Holder // by id, once the plan is agreed
	Draft      *DraftMade         // the live one
	Root       *tuf.Root          // what the draft says, once there is one
	Abandoned  []*Abandoned
	Rivals     []*Rival // other roots of this version, which signers have signed
	Reviewed   *DraftReviewed
	Published  *RootPublished
	Sealed     *Sealed
	SealedAt   int64              // number of the event
	closing    []CheckpointSigned // of the log with the seal as its last line, one for each who has signed that
	Closed     *Closed
	HandedOver *HandedOver // of an enrolment
	Exceptions int
	Files      []File  // all that the log vouches for, in its order
	Alarms     []Alarm // all there ever were, in the log's order

	Recipients map[string]*RecipientProved // by id
	Drills     []*DrillDone
	written    map[string]*CopiesWritten // by the medium's id; "": going on without
	Copies     []*CopiesRead
	Passed     map[string]bool // by Checked.Key, in the check-up that is going on
	PUKBlocked map[string]bool // of those: with a PUK that has no tries left
	Checkups   []*CheckupDone

	CheckpointsWaived bool // nobody could sign the sealed log

	Carried    []CarryIntended // those that were read back, in order
	Aside      []File          // what a dying process left of a line
	NotCarried bool            // the ceremony ends on fewer media
	Carrying   map[int64]CarryIntended

	resumed       map[string]string // who may have signed the live draft elsewhere, when it was abandoned before
	AllSignatures []*SignatureMade  // all of them, those of abandoned drafts too
	roots         []string          // roots[n] is the root hash of the log's first n lines
	Previous      string            // type of the newest event
	differed      []string          // digests of drafts of which a second machine showed other words

	calls     map[string]CallHow    // what came of the newest roll call, by the card it was about
	RollCalls map[CallFor]*RollCall // the newest ones

	// PaperDiffers is the number of the event since which the words of people's
	// paper are those of no state of this log; 0: they are, or nobody looked.
	PaperDiffers int64
}

// TokenKind is one of the tokens that a holder may have.
type TokenKind int

// Holder.Replacement and Holder.Spare are the holder as it has those tokens.
const (
	OwnToken TokenKind = iota
	ReplacementToken
	SpareToken
)

// Holder is one holder's part of it, with one of the holder's tokens.
type Holder struct {
	Kind       TokenKind
	Holder     agreed.Holder
	Serial     uint32        // of the token in use; 0: none yet
	Firmware   keys.Firmware // of that token, as it was shown; zero where it was enrolled elsewhere
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
	Checkpoint *CheckpointSigned // the newest one the holder has signed
	preparedAt int64             // number of the event that made, or showed, the keys in 9a and 82
	madeAt     int64             // of the newest one that made or proved a key of the token, or sealed it; 0: none here
	Open       *Intention

	// Replacement is the token that takes the place of this one, with the same
	// root key, while that is being made. Former are the serials of those that
	// were replaced.
	Replacement *Holder
	Former      []uint32
	stickers    []string // of those
	Spare       *Holder  // a second token with the root key
	ForSpare    bool     // a Replacement that is to be a Spare

	sitting bool // its keys were made, or shown, since the newest start of the program
}

// Token is one of the tokens of the holder with that id; nil where there is none.
func (s *State) Token(id string, kind TokenKind) *Holder {
	h := s.Holders[id]
	switch {
	case h == nil || kind == OwnToken:
		return h
	case kind == SpareToken:
		return h.Spare
	}
	return h.Replacement
}

// Act names the holder and a token in an event.
func (h *Holder) Act(serial uint32) Act { return Act{h.Holder.ID, serial, h.Kind != OwnToken} }

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
		if err := s.apply(e); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// View is what a log says: what the ceremony has come to, and which log it is.
type View struct {
	State      *State
	Checkpoint transcript.Checkpoint
	Time       time.Time // of the newest line
}

// ReadLog returns the view of a log. private, its private part, may be nil.
func ReadLog(public, private []byte) (*View, error) {
	log, err := transcript.Read(public, private)
	if err != nil {
		return nil, err
	}
	v := &View{Checkpoint: log.Checkpoint()}
	if n := len(log.Events); n > 0 {
		v.Time = log.Events[n-1].Time
	}
	v.State, err = Fold(log.Events)
	return v, err
}

// HadCheckpoint reports whether the log has, or once had, that root hash.
func (v *View) HadCheckpoint(root string) bool {
	return v.Checkpoint.Root == root || slices.Contains(v.State.roots, root)
}

// With is the state after one more event. An error names the event, which does not
// fit. The state itself does not change, whatever becomes of the other one.
func (s *State) With(e transcript.Event) (*State, error) {
	next := s.clone()
	if err := next.apply(e); err != nil {
		return nil, err
	}
	return next, nil
}

// clone shares with s what no event changes: plans, roots, and the data of events.
// A slice that is only appended to loses the room behind its end, which another
// clone would write to.

func (s *State) clone() *State {
	c := *s
	c.Holders = maps.Clone(s.Holders)
	for id, h := range s.Holders {
		c.Holders[id] = h.clone()
	}
	c.Abandoned = slices.Clone(s.Abandoned)
	for i, ab := range s.Abandoned {
		one := *ab
		one.Signed, one.Maybe = maps.Clone(ab.Signed), maps.Clone(ab.Maybe)
		c.Abandoned[i] = &one
	}
	c.Rivals = slices.Clone(s.Rivals)
	c.Recipients, c.written, c.Carrying = maps.Clone(s.Recipients), maps.Clone(s.written), maps.Clone(s.Carrying)
	c.Passed, c.PUKBlocked = maps.Clone(s.Passed), maps.Clone(s.PUKBlocked)
	c.calls, c.RollCalls = maps.Clone(s.calls), maps.Clone(s.RollCalls)
	c.Aside, c.Alarms = slices.Clip(s.Aside), slices.Clone(s.Alarms)
	c.Drills, c.Copies, c.Checkups, c.Carried = slices.Clip(s.Drills), slices.Clip(s.Copies), slices.Clip(s.Checkups), slices.Clip(s.Carried)
	c.Files, c.AllSignatures, c.roots, c.differed = slices.Clip(s.Files), slices.Clip(s.AllSignatures), slices.Clip(s.roots), slices.Clip(s.differed)
	return &c
}

func (h *Holder) clone() *Holder {
	if h == nil {
		return nil
	}
	c := *h
	c.Stored, c.Former, c.stickers = slices.Clip(h.Stored), slices.Clip(h.Former), slices.Clip(h.stickers)
	c.Replacement, c.Spare = h.Replacement.clone(), h.Spare.clone()
	return &c
}

// apply changes a state that nobody else has. After an error it must not be used.
func (s *State) apply(e transcript.Event) error {
	s.roots = append(s.roots, e.Tree)
	if err := s.take(e); err != nil {
		return fmt.Errorf("%s line %d (%s): %w", transcript.FileName, e.Seq, e.Type, err)
	}
	s.Previous = e.Type
	return nil
}

// Rule is what a type of event does to the state, and whom it may be about: the
// custodies of the holders that its data may name, by the member "holder". An
// event that names none has no list.
type Rule struct {
	take  func(*State, transcript.Event) error
	About []string
}

// The holders that an event can be about. "" stands for nobody.
var (
	newKeys        = []string{agreed.OnToken, agreed.BackedUp} // made in this ceremony, or in an enrolment for it
	droppedKeys    = []string{agreed.Dropped}
	trustedKeys    = []string{agreed.Existing, agreed.Dropped} // made before it
	everyKey       = []string{agreed.OnToken, agreed.BackedUp, agreed.Existing, agreed.Dropped}
	everyKeyOrNone = append([]string{""}, everyKey...)
)

// Rules are those of all types of events that follow on an agreed plan.
var Rules = map[string]Rule{
	TypeStartCompared:     {(*State).startCompared, nil},
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
	TypeRollCall:          {(*State).rollCallHeld, nil},
	TypeAlarmRaised:       {(*State).alarmRaised, everyKey},
	TypeAlarmEnded:        {(*State).alarmEnded, everyKey},
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
	TypeCheckpointSigned:  {(*State).checkpointSigned, everyKey},
	TypeRetireIntended:    {(*State).retireIntended, droppedKeys},
	TypeRetired:           {(*State).retired, droppedKeys},
	TypeNotRetired:        {(*State).notRetired, droppedKeys},
	TypeCheckpointsWaived: {(*State).checkpointsWaived, nil},
	TypeRootPublished:     {(*State).rootPublished, nil},
	TypeSealed:            {(*State).sealed, nil},
	TypeClosed:            {(*State).closed, nil},
	TypeCarryIntended:     {(*State).carryIntended, nil},
	TypeCarried:           {(*State).carried, nil},
	TypeNotCarried:        {(*State).notCarried, nil},
}

// Fault is a panic as an error.
type Fault struct {
	Value any
	Stack []byte
}

func (f *Fault) Error() string { return fmt.Sprintf("the program has a fault (%v)", f.Value) }

func (s *State) take(e transcript.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Fault{p, debug.Stack()}
		}
	}()
	if s.Begun == nil && e.Type != TypeBegun {
		return errors.New("the ceremony has not begun")
	}
	switch e.Type {
	case TypeBegun:
		return s.begun(e)
	case TypeContinued:
		return s.continued(e)
	case transcript.TypeSetAside:
		var data transcript.SetAside
		if err := Read(e, &data); err != nil {
			return err
		}
		if data.File != "" { // else it was private
			s.Aside = append(s.Aside, File{data.File, data.SHA256})
		}
		return nil
	case TypeTaskFailed:
		return Read(e, &TaskFailed{})
	case TypeNote:
		return note(e)
	case TypeException:
		s.Exceptions++
		return exception(e)
	case TypePreflight:
		return s.preflight(e)
	case TypePlanAgreed:
		return s.planAgreed(e)
	}
	if s.Plan == nil {
		return errors.New("the plan is not agreed")
	}
	if s.Closed != nil && !afterTheDay[e.Type] {
		return errors.New("the ceremony is closed")
	}
	rule, known := Rules[e.Type]
	if !known {
		return errors.New("an event of this type is not known to this version")
	}
	if err := s.mayBeAbout(rule.About, e); err != nil {
		return err
	}
	return rule.take(s, e)
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
		if h.OfTrusted() {
			when = "was made before this ceremony"
		}
		return fmt.Errorf("no event of this type is about %s, whose key %s", h.Holder.Name, when)
	}
	return nil
}

func (s *State) begun(e transcript.Event) error {
	var data Begun
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Begun != nil {
		return errors.New("the ceremony had begun already")
	}
	if data.Format != FormatVersion {
		return fmt.Errorf("the log is of format %d, and this version reads %d", data.Format, FormatVersion)
	}
	if random, err := hex.DecodeString(data.Random); err != nil || len(random) != 32 || hex.EncodeToString(random) != data.Random {
		return errors.New("it does not have 32 random bytes")
	}
	s.Begun, s.LogOrigin = &data, transcript.Origin(e)
	return nil
}

func (s *State) continued(e transcript.Event) error {
	var data Begun
	if err := Read(e, &data); err != nil {
		return err
	}
	if data.Random != "" || e.Commitment != "" {
		return errors.New("random bytes, and a private part, belong to the first event alone")
	}
	for _, h := range s.Holders {
		for _, token := range []*Holder{h, h.Replacement, h.Spare} {
			if token != nil {
				token.sitting = false
			}
		}
	}
	return nil
}

func (s *State) preflight(e transcript.Event) error {
	var data PreflightDone
	if err := Read(e, &data); err != nil {
		return err
	}
	if !Unseen(e) && !slices.Equal(data.Failed, FailedChecks(data.Private.Findings)) {
		return errors.New("the checks that failed are not those of its private part")
	}
	s.Preflight = &data
	return nil
}

// FailedChecks are the ids of the checks that failed.
func FailedChecks(findings []Finding) []string {
	failed := []string{}
	for _, f := range findings {
		if f.Level == LevelFail {
			failed = append(failed, f.ID)
		}
	}
	return failed
}

func note(e transcript.Event) error {
	var data Note
	if err := Read(e, &data); err != nil {
		return err
	}
	if data.Text == "" && e.Commitment == "" || e.Commitment != "" && !Unseen(e) && data.Private.Text == "" {
		return errors.New("a note has a text, here or in its private part")
	}
	return nil
}

func exception(e transcript.Event) error {
	var data Exception
	if err := Read(e, &data); err != nil {
		return err
	}
	none := data.Account == Account{}
	if !none && !data.Account.whole() || none && e.Commitment == "" || e.Commitment != "" && !Unseen(e) && !data.Private.whole() {
		return errors.New("an exception has three sentences, here or in its private part")
	}
	return nil
}

// whole reports whether nothing of it is missing.
func (a Account) whole() bool { return a.Expected != "" && a.Happened != "" && a.Decided != "" }

func (s *State) planAgreed(e transcript.Event) error {
	var data PlanAgreed
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Plan != nil {
		return errors.New("a plan was agreed already")
	}
	public, err := planText(data.Plan)
	if err != nil {
		return err
	}
	var private []byte
	if data.Private != nil {
		if private, err = planText(data.Private); err != nil {
			return err
		}
	}
	if s.Begun.Enrols == "" && e.Commitment == "" {
		return errors.New("it has no private part")
	}
	plan, err := agreed.Parse(public, private)
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
	s.Plan, s.Digest = plan, data.Digest
	s.Holders, s.Recipients, s.written = map[string]*Holder{}, map[string]*RecipientProved{}, map[string]*CopiesWritten{}
	s.Passed, s.PUKBlocked = map[string]bool{}, map[string]bool{}
	s.calls, s.RollCalls = map[string]CallHow{}, map[CallFor]*RollCall{}
	for _, h := range plan.Holders {
		s.Holders[h.ID] = &Holder{Holder: h}
	}
	s.trustedSigners()
	if t := plan.Trusted; t != nil && s.Begun.Enrols == "" {
		for _, v := range t.Versions {
			s.Files = append(s.Files, File{agreed.TrustedFile(v.Version), v.SHA256})
		}
	}
	if only := s.Begun.Enrols; only != "" && (s.Holders[only] == nil || s.Holders[only].OfTrusted()) {
		return fmt.Errorf("the plan has no holder %q whose key is to be made", only)
	}
	return nil
}

// planText is a file of the plan as it was, which the log holds without white
// space.
func planText(compact json.RawMessage) ([]byte, error) {
	var text bytes.Buffer
	if err := json.Indent(&text, compact, "", "  "); err != nil {
		return nil, err
	}
	text.WriteByte('\n')
	return text.Bytes(), nil
}

// holder finds whose token an event is about, which mayBeAbout has let pass.
func (s *State) holder(on Act) (*Holder, error) {
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
func (s *State) HolderOf(serial uint32) *Holder {
	if serial == 0 {
		return nil
	}
	for _, h := range s.Holders {
		if h.Serial == serial || slices.Contains(h.Former, serial) {
			return h
		}
		for _, r := range []*Holder{h.Replacement, h.Spare} {
			if r != nil && r.Serial == serial {
				return r
			}
		}
	}
	return nil
}

// intend opens an intention.
func (s *State) intend(e transcript.Event, on Act, digest string) (*Holder, error) {
	h, err := s.holder(on)
	if err != nil {
		return nil, err
	}
	if s.Sealed != nil && !on.Replacement && e.Type != TypeUnblockIntended { // anyone who signs the log needs a PIN too
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
func (s *State) close(result Result, types ...string) (*Holder, error) {
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

func (s *State) draftDiffers(e transcript.Event) error {
	var data DraftDiffers
	if err := Read(e, &data); err != nil {
		return err
	}
	if s.Draft == nil || s.Draft.Digest != data.Digest || s.Reviewed != nil {
		return errors.New("that is not the live draft, or it was reviewed")
	}
	s.differed = append(s.differed, data.Digest)
	return nil
}

// Differs reports whether a second machine showed other words of the live draft, and
// none has shown the same ones since.
func (s *State) Differs() bool {
	return s.Draft != nil && s.Reviewed == nil && slices.Contains(s.differed, s.Draft.Digest)
}

// afterTheDay are the events that a closed ceremony still takes: it is carried
// away, backups and tokens live on, and what speaks against its root is never
// refused.
var afterTheDay = map[string]bool{
	TypeReplacementBegun: true, TypeReplacementGiven: true, TypeSpareUsed: true, TypeStartedOver: true, TypeSettled: true, TypeCheckpointSigned: true,
	TypeWipeIntended: true, TypeWiped: true, TypePrepareIntended: true, TypePrepared: true,
	TypeKeyIntended: true, TypeBackupStored: true, TypeKeyMade: true, TypeKeyProved: true,
	TypeUnblockIntended: true, TypeUnblocked: true, TypeCopiesWritten: true, TypeCopiesRead: true,
	TypeCheckupPassed: true, TypeCheckupDone: true,
	TypeCarryIntended: true, TypeCarried: true, TypeNotCarried: true,
	TypeAlarmRaised: true, TypeAlarmEnded: true,
	TypeSigRival: true, // proof that there is, or may be, a second root
}
