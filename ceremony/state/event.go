package state

import (
	"encoding/json"
	"time"

	"rootceremony/ceremony/transcript"
	"rootceremony/keys"
)

// The types of events, in the order in which a first ceremony meets them. A
// type that ends in "intended" is written before the act; its result names it
// by number, and an intention that got no result is settled by looking at the
// token.
const (
	TypeBegun             = "ceremony.begun"
	TypeContinued         = "ceremony.continued"
	TypeStartCompared     = "start.compared"
	TypePreflight         = "preflight.done"
	TypePlanAgreed        = "plan.agreed"
	TypeWipeIntended      = "wipe.intended"
	TypeWiped             = "wipe.done"
	TypePrepareIntended   = "prepare.intended"
	TypePrepared          = "prepare.done"
	TypeRecipientProved   = "recipient.proved"
	TypeKeyIntended       = "key.intended"
	TypeBackupStored      = "backup.stored"
	TypeKeyMade           = "key.made"
	TypeKeyProved         = "key.proved"
	TypeUnblockIntended   = "unblock.intended"
	TypeUnblocked         = "unblock.done"
	TypeSettled           = "intention.settled"
	TypeStartedOver       = "holder.started-over"
	TypeCollected         = "holder.collected"
	TypeConfirmed         = "holder.confirmed"
	TypeReplacementBegun  = "replacement.begun"
	TypeReplacementGiven  = "replacement.given-up"
	TypeSpareUsed         = "spare.used"
	TypeDrillDone         = "drill.done"
	TypeCopiesWritten     = "copies.written"
	TypeCopiesRead        = "copies.read"
	TypeRollCall          = "rollcall.held"
	TypeDraftMade         = "draft.made"
	TypeDraftReviewed     = "draft.reviewed"
	TypeDraftDiffers      = "draft.differs"
	TypeDraftAbandoned    = "draft.abandoned"
	TypeDraftResumed      = "draft.resumed"
	TypeTokenShown        = "token.shown"
	TypeSignatureIntended = "signature.intended"
	TypeSignatureMade     = "signature.made"
	TypeSigCollected      = "signature.collected"
	TypeSigRival          = "signature.rival"
	TypeCheckpointSigned  = "checkpoint.signed"
	TypeCheckpointsWaived = "checkpoints.waived"
	TypeRootPublished     = "root.published"
	TypeRetireIntended    = "retire.intended"
	TypeRetired           = "retire.done"
	TypeNotRetired        = "retire.without"
	TypeSealed            = "ceremony.sealed"
	TypeClosed            = "ceremony.closed"
	TypeCarryIntended     = "carry.intended"
	TypeCarried           = "carry.done"
	TypeNotCarried        = "carry.without"
	TypeHandedOver        = "enrolment.handed-over"
	TypeAlarmRaised       = "alarm.raised"
	TypeAlarmEnded        = "alarm.ended"
	TypeCheckupPassed     = "checkup.passed"
	TypeCheckupDone       = "checkup.done"
	TypeTaskFailed        = "task.failed"
	TypeNote              = "note"
	TypeException         = "exception"
)

// FormatVersion is the version of the event types and their data.
const FormatVersion = 2

// Begun is the data of the first event, and of each later start.
type Begun struct {
	Format    int    `json:"format"`
	Program   string `json:"program"`                  // name and version
	SHA256    string `json:"program_sha256,omitempty"` // of the file that runs
	Rehearsal bool   `json:"rehearsal"`
	Tokens    string `json:"tokens"` // session.Backend kind: "virtual" or "pcsc"
	// Enrols is set where this is no ceremony, but one holder's enrolment for
	// one that is held elsewhere: the holder's id.
	Enrols string `json:"enrols,omitempty"`
	// Random are 32 random bytes in hex, in the first event alone: so no two logs
	// have one origin, and nothing was known of this one before.
	Random string `json:"random,omitempty"`
	// Private is in the first event alone, where the laptop has a memory of logs.
	Private Remembers `json:"-"`
}

// Remembers says what a laptop remembered of logs when this one was begun.
type Remembers struct {
	Memory string `json:"memory"` // the file, by its path
	Lines  int    `json:"lines"`  // that it had
}

// StartCompared: after a start people have compared the log with their paper. Paper
// is the number of lines that the log had by that; 0: there was no paper, or with
// Differs one whose words are those of no state of this log.
type StartCompared struct {
	Paper   int64 `json:"paper"`
	Differs bool  `json:"differs,omitempty"`
}

// PreflightDone says which checks of the laptop failed, by id.
type PreflightDone struct {
	Failed  []string       `json:"failed"`
	Private PreflightFound `json:"-"`
}

// PreflightFound is what all checks of the laptop have found.
type PreflightFound struct {
	Findings []Finding `json:"findings"`
}

// PlanAgreed holds the whole resolved plan, so that the log alone says what
// was agreed. Digest is the SHA-256 of plan.resolved.json.
type PlanAgreed struct {
	Digest string          `json:"digest"`
	Plan   json.RawMessage `json:"plan"`
	// Private is private/plan.json; an enrolment elsewhere has none.
	Private json.RawMessage `json:"-"`
	// Anchor says how people know that the trusted chain is theirs; "" where
	// there is none.
	Anchor Anchor `json:"anchor,omitempty"`
}

// Anchor is how people know the first root of a trusted chain.
type Anchor string

// The ways to know it.
const (
	AnchorTyped     Anchor = "typed"     // its SHA-256 was typed from another source
	AnchorConfirmed Anchor = "confirmed" // it was shown, and confirmed
)

// Act names the holder and the token of an act.
type Act struct {
	Holder string `json:"holder"`
	Serial uint32 `json:"serial"`
	// Replacement marks what is done to the token that takes the place of the
	// holder's own, with the same root key from its backup.
	Replacement bool `json:"replacement,omitempty"`
}

// WipeIntended comes before a token is brought to its factory state.
type WipeIntended struct {
	Act
	Held []keys.SlotKey `json:"held"` // the keys that are lost by it
	Why  string         `json:"why"`
}

// Result closes the intention with that number.
type Result struct {
	Act
	Intention int64 `json:"intention"`
}

// PrepareIntended comes before PIN, 9a and 82 are set up.
type PrepareIntended struct {
	Act
	Sticker    string        `json:"sticker"`
	Firmware   keys.Firmware `json:"firmware"`
	FormFactor string        `json:"form_factor"`
}

// Prepared: the token has the holder's PIN, and keys in 9a and 82.
type Prepared struct {
	Result
	Authentication keys.PublicKey `json:"authentication"`
	Age            keys.PublicKey `json:"age"`
	Evidence       []File         `json:"evidence"`
}

// File is a file of the ceremony directory, with its SHA-256.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// KeyIntended comes before PUK and management key are replaced by random ones,
// and the root key is made. Attempt names the folder of its backups; without
// one nobody keeps PUK and management key.
type KeyIntended struct {
	Act
	Slot      keys.Slot      `json:"slot"`
	Algorithm keys.Algorithm `json:"algorithm"`
	Touch     keys.Touch     `json:"touch"`
	Origin    keys.Origin    `json:"origin"`
	Attempt   string         `json:"attempt,omitempty"`
	Entropy   bool           `json:"entropy,omitempty"` // people have added some
}

// BackupStored: a secret was sealed, and its files are stored, before the token
// is given it. Public is the root key, in a backup of that.
type BackupStored struct {
	Result
	What      string          `json:"what"` // keys.BackupKey or keys.BackupToken
	Public    *keys.PublicKey `json:"public,omitempty"`
	SealedFor `json:"-"`      // private
}

// SealedFor is for whom a backup is encrypted, and where it lies.
type SealedFor struct {
	Recipients []string `json:"recipients"` // ids; any Quorum of them open it
	Ages       []string `json:"ages"`       // as age writes them, in the same order
	Quorum     int      `json:"quorum"`
	Files      []File   `json:"files"`
}

// RecipientProved: a recipient has opened a test file. Answer is the SHA-256 of
// what was in it. A token's is proved with its key in 82. Test is the test file
// that a passphrase is held to whenever it is typed again. Absent is a
// recipient who was not there, which is an exception of its own.
type RecipientProved struct {
	Recipient string `json:"recipient"` // id
	Age       string `json:"age"`       // the recipient as age writes it; "passphrase"
	Answer    string `json:"answer"`
	Test      *File  `json:"test,omitempty"`
	Absent    bool   `json:"absent,omitempty"`
}

// DrillDone: a quorum has opened a backup, and what was in it is right.
type DrillDone struct {
	Holder string     `json:"holder"`
	Opened `json:"-"` // private
}

// Opened is which backup was opened, by whom.
type Opened struct {
	File File     `json:"file"`
	By   []string `json:"by"` // ids of recipients, the outermost first
}

// ReplacementBegun: another token gets a holder's root key from its backup, to
// take the place of the holder's, or to lie beside it as a spare. It does so
// once that key is proved on it.
type ReplacementBegun struct {
	Holder  string `json:"holder"`
	Sticker string `json:"sticker"` // of the new token
	Why     string `json:"why"`
	Spare   bool   `json:"spare,omitempty"`
}

// ReplacementGivenUp: the token that was to get a root key is lost, broken or
// another one was meant. Serial is 0 where there was none yet.
type ReplacementGivenUp struct {
	Act
	Why string `json:"why"`
}

// SpareUsed: the spare token takes the place of a holder's.
type SpareUsed struct {
	Act
	Why string `json:"why"`
}

// CheckupPassed: a holder has proved token and PIN, or a recipient has opened a
// test file, long after the day. Serial is 0 where there is no token.
type CheckupPassed struct {
	Who    string `json:"who"` // id
	Serial uint32 `json:"serial,omitempty"`
	Answer string `json:"answer,omitempty"` // SHA-256 of what was in the test file

	// PUKBlocked: the token's PUK has no tries left, though somebody has it.
	PUKBlocked bool `json:"puk_blocked,omitempty"`
}

// CheckupDone ends a check-up.
type CheckupDone struct {
	Missing    []string  `json:"missing"`               // ids of those who did not come
	PUKBlocked []string  `json:"puk_blocked,omitempty"` // ids of those whose token takes no PUK
	Next       time.Time `json:"next"`
}

// CopiesWritten: the backups were written to a removable medium. To go on
// without comes right after an exception.
type CopiesWritten struct {
	Medium   string `json:"medium"`              // folder it was mounted in; "none": without
	MediumID string `json:"medium_id,omitempty"` // 16 random bytes in hex, which are on it
	Files    int    `json:"files"`               // how many files of backups
	List     string `json:"list"`                // SHA-256 of their list
}

// CopiesRead: the medium was taken out and put back, and all of it was there.
type CopiesRead struct {
	Medium   string `json:"medium"`
	MediumID string `json:"medium_id"`
	List     string `json:"list"`
}

// KeyMade: the token holds the root key. Where PUK and management key were not
// kept, a PIN that is forgotten or blocked cannot be unblocked.
type KeyMade struct {
	Result
	Public      keys.PublicKey `json:"public"`
	Evidence    []File         `json:"evidence"`
	PUKKept     bool           `json:"puk_kept"`
	FoundOnLook bool           `json:"found_on_look"` // an earlier process made it
	Imported    bool           `json:"imported"`      // made outside of the token, and backed up
}

// KeyProved: the root key has signed the proof of possession.
type KeyProved struct {
	Act
	Nonce     string `json:"nonce"`
	Signature string `json:"signature"`
	Evidence  []File `json:"evidence"`
}

// UnblockIntended comes before a blocked PIN is replaced by a new one, by the
// PUK. Its result says that the token has the new PIN.
type UnblockIntended struct {
	Act
	FactoryPUK bool `json:"factory_puk"` // the one of every new token; false: somebody typed it
}

// Settled closes an intention that had no result.
type Settled struct {
	Result
	Found string      `json:"found"`
	State SettledKind `json:"state"`
}

// StartedOver gives up what a holder's token has got so far: its keys are no
// part of this ceremony. Only before there is a draft.
type StartedOver struct {
	Act
	Why string `json:"why"`
}

// Collected takes in what a holder has made elsewhere, with the events of that
// log that tell of it. Checkpoint is the one of that log.
type Collected struct {
	Act
	File       File                  `json:"file"`
	Checkpoint transcript.Checkpoint `json:"checkpoint"`
	Prepared   Prepared              `json:"prepared"`
	Key        KeyMade               `json:"key"`
	Proved     KeyProved             `json:"proved"`
}

// Confirmed: the holder has read the words of the card to the room, or the room
// goes on without, which is an exception of its own.
type Confirmed struct {
	Act
	SHA256 string `json:"sha256"` // the enrolment file's
	Words  bool   `json:"words"`
}

// SettledKind says what an intention without a result had come to.
type SettledKind string

// What looking at a token can show.
const (
	SettledNothing SettledKind = "nothing" // the act had not begun, or left no trace
	SettledPartial SettledKind = "partial" // the token must be wiped and prepared again
	SettledLocked  SettledKind = "locked"  // it has PUK and management key, which are backed up, and no root key
)

// RollCall: holders were asked whether the keys that the log has are theirs. It
// names all whose keys it is about, in the plan's order.
type RollCall struct {
	For     CallFor  `json:"for"`
	Holders []Called `json:"holders"`
}

// Called is how one holder was confirmed.
type Called struct {
	Holder string  `json:"holder"` // id
	How    CallHow `json:"how"`
}

// CallFor is what a roll call comes before.
type CallFor string

// Before the first backup is sealed 9a and 82 are compared, at the review 9c too.
const (
	CallBackups CallFor = "backups"
	CallReview  CallFor = "review"
)

// CallHow is how a holder's keys were confirmed.
type CallHow string

// The ways to confirm them, and what else can come of asking.
const (
	CallSitting CallHow = "sitting" // this run of the program has seen them made
	CallToken   CallHow = "token"   // the token in the reader has them
	CallWords   CallHow = "words"   // the card's words were typed
	CallNobody  CallHow = "nobody"  // the holder could not be asked
	CallDiffers CallHow = "differs" // token or card say others
)

// DraftMade fixes the bytes that are signed. Digest is their SHA-256. Unconfirmed
// are the ids of holders whose keys nobody has confirmed in the roll call.
type DraftMade struct {
	Version int64     `json:"version"`
	Digest  string    `json:"digest"`
	Expires time.Time `json:"expires"`
	Bytes   int       `json:"bytes"`
	File    File      `json:"file"`

	Unconfirmed []string `json:"unconfirmed,omitempty"`
}

// DraftReviewed: the room has read the draft. SecondMachine reports whether a
// second machine showed the same words.
type DraftReviewed struct {
	Digest        string `json:"digest"`
	SecondMachine bool   `json:"second_machine"`
}

// DraftDiffers: a second machine showed other words of the draft. It comes with an
// exception; the draft is then reviewed only with a machine that shows the same.
type DraftDiffers struct {
	Digest string `json:"digest"`
}

// SignatureIntended comes before the root key signs the draft.
type SignatureIntended struct {
	Act
	Version int64  `json:"version"`
	Digest  string `json:"digest"`
	KeyID   string `json:"key_id"`
}

// SignatureMade holds a signature that was verified.
type SignatureMade struct {
	Result
	Version   int64  `json:"version"`
	Digest    string `json:"digest"`
	KeyID     string `json:"key_id"`
	Signature string `json:"signature"`
	File      File   `json:"file"`
}

// DraftAbandoned gives the live draft up. Its signatures stay in the log and are
// not exported, unless it is resumed. Maybe are the ids of those who may have signed it elsewhere.
type DraftAbandoned struct {
	Digest string   `json:"digest"`
	Why    string   `json:"why"`
	Maybe  []string `json:"maybe"`
}

// DraftResumed makes an abandoned draft the live one again. It is reviewed again.
type DraftResumed struct {
	Digest string `json:"digest"`
	Why    string `json:"why"`
}

// TokenShown: a token that holds a key of the trusted root was looked at. It may
// also have a key in 9a, which signs the log, and one in 82, which opens
// backups: those are attested.
type TokenShown struct {
	Act
	Slot           keys.Slot       `json:"slot"` // of the root key
	Firmware       keys.Firmware   `json:"firmware"`
	FormFactor     string          `json:"form_factor"`
	Authentication *keys.PublicKey `json:"authentication,omitempty"`
	Age            *keys.PublicKey `json:"age,omitempty"`
	Evidence       []File          `json:"evidence"`
}

// SignatureCollected is a signature that came in a file, and was verified.
// Source is the SHA-256 of that file.
type SignatureCollected struct {
	Holder    string `json:"holder"` // id of the signer
	Version   int64  `json:"version"`
	Digest    string `json:"digest"`
	KeyID     string `json:"key_id"`
	Signature string `json:"signature"`
	Source    string `json:"source"`
	File      File   `json:"file"`
}

// SignatureRival is a signature over another root of the version that is made
// here. Holder is the id of the signer, and "" for a key that only that root
// itself names. Signed is the canonical signed part of that root, in the first
// such event of a digest. Source is the SHA-256 of the file that it came in.
type SignatureRival struct {
	Holder    string `json:"holder"`
	Version   int64  `json:"version"`
	Digest    string `json:"digest"`
	KeyID     string `json:"key_id"`
	Signature string `json:"signature"`
	Source    string `json:"source"`
	Signed    string `json:"signed,omitempty"`
}

// CheckpointSigned: the holder's key in 9a has signed a checkpoint of this log.
// Signature is key id and signature in base64, as the line of a signed note has
// them.
type CheckpointSigned struct {
	Act
	Checkpoint transcript.Checkpoint `json:"checkpoint"`
	Signature  string                `json:"signature"`
}

// CheckpointsWaived: nobody who is there has a token that can sign the log. It
// comes right after an exception.
type CheckpointsWaived struct{}

// RootPublished: the root stands in publish with these signatures.
//
// For rotations the trusted chain stands beside it.
type RootPublished struct {
	Version int64    `json:"version"`
	Digest  string   `json:"digest"`
	File    File     `json:"file"`
	KeyIDs  []string `json:"key_ids"`
	Kit     []File   `json:"kit"` // for those who ship the root
}

// RetireIntended comes before the token of a dropped key is reset.
type RetireIntended struct {
	Act
	Held []keys.SlotKey `json:"held"` // the keys that are lost by it
}

// TokenRetired: the token was reset, and read back as new, before a witness.
type TokenRetired struct {
	Result
	Witness   string     `json:"witness"`
	Destroyed `json:"-"` // private
}

// Destroyed is what was said to be destroyed besides a token.
type Destroyed struct {
	Backups []string `json:"backups"`
}

// NotRetired: the token of a dropped key is not at hand, or not to be reset.
type NotRetired struct {
	Holder string `json:"holder"`
	Why    string `json:"why"`
}

// Sealed ends the making: no signature is taken any more. Fuller is the root
// with the signatures that came after it was published, if any did.
type Sealed struct {
	Digest string   `json:"digest"`
	KeyIDs []string `json:"key_ids"`
	Fuller *File    `json:"fuller,omitempty"`
}

// Closed is the last event of a ceremony, but for what it is carried to, and what
// becomes of backups and tokens later.
type Closed struct {
	Sums       File  `json:"sums"`
	Checkpoint *File `json:"checkpoint,omitempty"` // of the seal, signed; nil where nobody can
}

// CarryIntended comes before the closed ceremony, or with Public its public
// edition, is written to a removable medium.
type CarryIntended struct {
	Public   bool       `json:"public"`
	OnMedium `json:"-"` // private
}

// OnMedium is which removable medium it is.
type OnMedium struct {
	Medium   string `json:"medium"`    // folder it is mounted in
	MediumID string `json:"medium_id"` // as in CopiesWritten
}

// CarryDone: the medium was taken out and put back, and all of it was there.
// List is the SHA-256 of the SHA256SUMS in the folder that was written.
type CarryDone struct {
	Intention int64      `json:"intention"`
	ReadBack  `json:"-"` // private
}

// ReadBack is what was read from a medium.
type ReadBack struct {
	MediumID string `json:"medium_id"`
	List     string `json:"list"`
}

// NotCarried: the ceremony ends on fewer media. It comes right after an
// exception.
type NotCarried struct{}

// HandedOver is the last event of an enrolment: the file is written that the
// ceremony collects.
type HandedOver struct {
	File File `json:"file"`
}

// AlarmRaised: a token came that is not as the log has it. Serial is the token's.
// It is the log's, and another key is in one of its slots; or it isn't the log's,
// and the holder says that it is the token that was enrolled.
type AlarmRaised struct {
	Act
	Keys []keys.SlotKey `json:"keys"` // that it holds
}

// AlarmEnded: the token that the log has came, and agrees; or the holder was
// started over, and nothing is sealed any more for what the log had.
type AlarmEnded struct {
	Act
	Alarm int64 `json:"alarm"` // number of the line
	// Keys are those of the token that agrees; none: the holder was started over.
	Keys []keys.SlotKey `json:"keys"`
}

// TaskFailed keeps what a task could not do.
type TaskFailed struct {
	Task  string `json:"task"`
	Error string `json:"error"`
	Stack string `json:"stack,omitempty"` // of a fault in the program
}

// Note is what somebody wanted to be remembered: for everyone, or for those who
// have the private part of the record.
type Note struct {
	Text    string   `json:"text,omitempty"`
	Private NoteText `json:"-"`
}

// NoteText is a note that isn't public.
type NoteText struct {
	Text string `json:"text"`
}

// Exception is a departure from the plan or the runbook. What isn't public of it
// is all of it, or what was said more exactly.
type Exception struct {
	Account
	Private Account `json:"-"`
}

// Account is an exception in three sentences; the zero value is none.
type Account struct {
	Expected string `json:"expected,omitempty"`
	Happened string `json:"happened,omitempty"`
	Decided  string `json:"decided,omitempty"`
}
