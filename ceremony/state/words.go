package state

import (
	"encoding/json"

	"rootceremony/ceremony/transcript"
)

// happened says of each type of event what has happened, for a list of what a log has.
var happened = map[string]string{
	TypeBegun:               "the ceremony was begun",
	TypeContinued:           "the program was started again",
	transcript.TypeSetAside: "a line that was cut short was set aside",
	TypeStartCompared:       "the log was compared with the paper",
	TypePreflight:           "the laptop was checked",
	TypePlanAgreed:          "the plan was agreed",
	TypeWipeIntended:        "the token was about to be wiped",
	TypeWiped:               "the token was wiped",
	TypePrepareIntended:     "the token was about to get its PIN",
	TypePrepared:            "the token got its PIN, and keys in 9a and 82",
	TypeRecipientProved:     "a recipient of backups opened a test file, or was not there",
	TypeKeyIntended:         "the root key was about to be made",
	TypeBackupStored:        "a backup was sealed",
	TypeKeyMade:             "the root key was made",
	TypeKeyProved:           "the root key signed its proof of possession",
	TypeUnblockIntended:     "a new PIN was about to be set with the PUK",
	TypeUnblocked:           "a new PIN was set with the PUK",
	TypeSettled:             "an interrupted step was settled by looking at the token",
	TypeStartedOver:         "the holder was started over",
	TypeCollected:           "an enrolment made elsewhere was taken in",
	TypeConfirmed:           "the holder confirmed the enrolment made elsewhere",
	TypeReplacementBegun:    "another token was about to get the root key from its backup",
	TypeReplacementGiven:    "the other token was given up",
	TypeSpareUsed:           "the spare token took the place of the lost one",
	TypeDrillDone:           "a quorum opened a backup",
	TypeCopiesWritten:       "the backups were written to a medium",
	TypeCopiesRead:          "the backups were read back from a medium",
	TypeRollCall:            "the roll call was held",
	TypeDraftMade:           "the draft was made",
	TypeDraftReviewed:       "the draft was reviewed",
	TypeDraftDiffers:        "a second machine showed other words of the draft",
	TypeDraftAbandoned:      "the draft was abandoned",
	TypeDraftResumed:        "an abandoned draft was taken up again",
	TypeTokenShown:          "the token of a key of the trusted root was shown",
	TypeSignatureIntended:   "the token was about to sign the root",
	TypeSignatureMade:       "the token signed the root",
	TypeSigCollected:        "a signature made elsewhere was taken in",
	TypeSigRival:            "somebody's signature of a conflicting root was found",
	TypeCheckpointSigned:    "the holder signed the log",
	TypeCheckpointsWaived:   "nobody could sign the sealed log",
	TypeRootPublished:       "the root was published",
	TypeRetireIntended:      "an old token was about to be reset",
	TypeRetired:             "an old token was reset",
	TypeNotRetired:          "an old token was not reset",
	TypeSealed:              "the ceremony was sealed",
	TypeClosed:              "the ceremony was closed",
	TypeCarryIntended:       "the ceremony was about to be copied to a medium",
	TypeCarried:             "the copy on a medium was read back",
	TypeNotCarried:          "the ceremony ended on fewer media",
	TypeHandedOver:          "the enrolment's file was written",
	TypeAlarmRaised:         "an alarm was raised",
	TypeAlarmEnded:          "an alarm ended",
	TypeCheckupPassed:       "a token, PIN or identity passed the check-up",
	TypeCheckupDone:         "the check-up ended",
	TypeTaskFailed:          "a task failed",
	TypeNote:                "a note was added",
	TypeException:           "an exception was recorded",
}

// Happened says in words what an event has recorded, and of which holder.
func (s *State) Happened(e transcript.Event) string {
	var about struct {
		Holder string `json:"holder"`
	}
	_ = json.Unmarshal(e.Data, &about) // of other data it stays empty
	if h := s.Holders[about.Holder]; h != nil {
		return h.Holder.Name + ": " + happened[e.Type]
	}
	return happened[e.Type]
}
