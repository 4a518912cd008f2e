package audit

import (
	"slices"

	"rootceremony/ceremony/agreed"
	"rootceremony/ceremony/state"
	"rootceremony/ceremony/transcript"
)

// rule is what a kind of event means for an audit.
type rule struct {
	// take holds the event to the model, and the model to the event. With form it
	// proves nothing, and nothing that is proved depends on it.
	take func(*walk, transcript.Event) error
	// about are the custodies of the holders that its data may name by the member
	// "holder", "" for nobody. No list: it names none.
	about []string
	// when it may stand: from line 1 on, once the plan is agreed, also after the
	// ceremony is closed.
	when stage
	// last: it may follow after the last checkpoint of a good record that is closed.
	last bool
}

type stage int

const (
	always     stage = iota // also before a plan is agreed
	agreedOn                // once it is
	afterwards              // once it is, and also after the ceremony is closed
)

// Of whom events tell: a key that is new in the root, one of the trusted root, and
// one of it that is dropped.
var (
	newKeys     = []string{agreed.OnToken, agreed.BackedUp}
	keptKeys    = []string{agreed.Existing, agreed.Dropped}
	droppedKeys = []string{agreed.Dropped}
	allKeys     = slices.Concat(newKeys, keptKeys)
)

// rules has every kind of event. One that isn't there is of another version.
var rules map[string]rule

func init() { // a variable that its own functions read
	rules = map[string]rule{
		state.TypeBegun:         {take: (*walk).begins},
		state.TypeContinued:     {take: (*walk).continued, last: true},
		transcript.TypeSetAside: {take: (*walk).setAside, last: true},
		state.TypePreflight:     {take: form[state.PreflightDone]},
		state.TypePlanAgreed:    {take: (*walk).planAgreed},
		state.TypeTaskFailed:    {take: form[state.TaskFailed], last: true},
		state.TypeNote:          {take: form[state.Note]},
		state.TypeException:     {take: (*walk).exception},

		state.TypeStartCompared: {take: (*walk).startCompared, when: agreedOn, last: true},

		state.TypeWipeIntended:    {take: (*walk).wipeIntended, about: newKeys, when: afterwards},
		state.TypeWiped:           {take: (*walk).wiped, about: newKeys, when: afterwards},
		state.TypePrepareIntended: {take: (*walk).prepareIntended, about: newKeys, when: afterwards},
		state.TypePrepared:        {take: (*walk).prepared, about: newKeys, when: afterwards},
		state.TypeRecipientProved: {take: (*walk).recipientProved, when: agreedOn},
		state.TypeKeyIntended:     {take: (*walk).keyIntended, about: newKeys, when: afterwards},
		state.TypeBackupStored:    {take: (*walk).backupStored, about: newKeys, when: afterwards},
		state.TypeKeyMade:         {take: (*walk).keyMade, about: newKeys, when: afterwards},
		state.TypeKeyProved:       {take: (*walk).keyProved, about: newKeys, when: afterwards},
		state.TypeUnblockIntended: {take: (*walk).unblockIntended, about: allKeys, when: afterwards},
		state.TypeUnblocked:       {take: (*walk).unblocked, about: allKeys, when: afterwards},
		state.TypeSettled:         {take: (*walk).settled, about: allKeys, when: afterwards},
		state.TypeStartedOver:     {take: (*walk).startedOver, about: newKeys, when: afterwards},
		state.TypeCollected:       {take: (*walk).collected, about: newKeys, when: agreedOn},
		state.TypeConfirmed:       {take: (*walk).confirmed, about: newKeys, when: agreedOn},
		state.TypeHandedOver:      {take: (*walk).handedOver, when: agreedOn},

		state.TypeAlarmRaised: {take: (*walk).alarmRaised, about: allKeys, when: afterwards},
		state.TypeAlarmEnded:  {take: (*walk).alarmEnded, about: allKeys, when: afterwards},

		state.TypeReplacementBegun: {take: (*walk).replacementBegun, about: newKeys, when: afterwards},
		state.TypeReplacementGiven: {take: (*walk).replacementGivenUp, about: newKeys, when: afterwards},
		state.TypeSpareUsed:        {take: (*walk).spareUsed, about: newKeys, when: afterwards},
		state.TypeDrillDone:        {take: (*walk).drillDone, about: newKeys, when: agreedOn},
		state.TypeCopiesWritten:    {take: form[state.CopiesWritten], when: afterwards},
		state.TypeCopiesRead:       {take: form[state.CopiesRead], when: afterwards},
		state.TypeCheckupPassed:    {take: form[state.CheckupPassed], when: afterwards},
		state.TypeCheckupDone:      {take: form[state.CheckupDone], when: afterwards},

		state.TypeRollCall:          {take: (*walk).rollCall, when: agreedOn},
		state.TypeDraftMade:         {take: (*walk).draftMade, when: agreedOn},
		state.TypeDraftReviewed:     {take: (*walk).draftReviewed, when: agreedOn},
		state.TypeDraftDiffers:      {take: (*walk).draftDiffers, when: agreedOn},
		state.TypeDraftAbandoned:    {take: (*walk).draftAbandoned, when: agreedOn},
		state.TypeDraftResumed:      {take: (*walk).draftResumed, when: agreedOn},
		state.TypeTokenShown:        {take: (*walk).tokenShown, about: keptKeys, when: agreedOn},
		state.TypeSignatureIntended: {take: (*walk).signatureIntended, about: allKeys, when: agreedOn},
		state.TypeSignatureMade:     {take: (*walk).signatureMade, about: allKeys, when: agreedOn},
		state.TypeSigCollected:      {take: (*walk).signatureCollected, about: allKeys, when: agreedOn},
		state.TypeSigRival:          {take: (*walk).signatureRival, about: append([]string{""}, allKeys...), when: afterwards},
		state.TypeCheckpointSigned:  {take: (*walk).checkpointSigned, about: allKeys, when: afterwards, last: true},
		state.TypeCheckpointsWaived: {take: (*walk).waived, when: agreedOn},

		state.TypeRootPublished:  {take: (*walk).rootPublished, when: agreedOn},
		state.TypeRetireIntended: {take: (*walk).retireIntended, about: droppedKeys, when: agreedOn},
		state.TypeRetired:        {take: (*walk).retired, about: droppedKeys, when: agreedOn},
		state.TypeNotRetired:     {take: (*walk).notRetired, about: droppedKeys, when: agreedOn},
		state.TypeSealed:         {take: (*walk).sealed, when: agreedOn},
		state.TypeClosed:         {take: (*walk).closed, when: agreedOn, last: true},
		state.TypeCarryIntended:  {take: form[state.CarryIntended], when: afterwards, last: true},
		state.TypeCarried:        {take: form[state.CarryDone], when: afterwards, last: true},
		state.TypeNotCarried:     {take: form[state.NotCarried], when: afterwards, last: true},
	}
}
