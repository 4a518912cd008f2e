package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"

	"rootceremony/ceremony/transcript"
)

// parts are what is public of an event's data, and what stands in the private
// part of the log: both are pointers into data, which is one itself. private is nil
// for types of events that have none; those with optional may do without.
//
// This is the table of what is not public: sites, who opens backups, media, what
// was found on the laptop, and what people have marked.
func parts(data any) (public, private any, optional bool) {
	switch d := data.(type) {
	case *RecipientProved, *CopiesWritten, *CopiesRead, *CheckupPassed, *CheckupDone, *TaskFailed:
		return &struct{}{}, data, false
	case *PreflightDone:
		return d, &d.Private, false
	case *Begun:
		return d, &d.Private, true
	case *PlanAgreed:
		return d, &d.Private, true
	case *BackupStored:
		return d, &d.SealedFor, false
	case *DrillDone:
		return d, &d.Opened, false
	case *TokenRetired:
		return d, &d.Destroyed, false
	case *CarryIntended:
		return d, &d.OnMedium, false
	case *CarryDone:
		return d, &d.ReadBack, false
	case *Note:
		return d, &d.Private, true
	case *Exception:
		return d, &d.Private, true
	}
	return data, nil, false
}

// Parts splits the data of an event, a struct, as transcript.Log.Append takes it.
func Parts(data any) (public, private any) {
	copied := reflect.New(reflect.TypeOf(data))
	copied.Elem().Set(reflect.ValueOf(data))
	public, private, optional := parts(copied.Interface())
	if optional && reflect.ValueOf(private).Elem().IsZero() {
		private = nil
	}
	return public, private
}

// Read decodes an event's data strictly, and its private part where that was
// seen.
func Read(e transcript.Event, data any) error {
	public, private, optional := parts(data)
	if err := strictly(e.Data, public); err != nil {
		return err
	}
	switch {
	case private == nil && e.Commitment != "":
		return errors.New("it has a private part, and events of its type have none")
	case private != nil && e.Commitment == "" && !optional:
		return errors.New("it has no private part")
	case e.Private == nil:
		return nil
	}
	return strictly(e.Private, private)
}

func strictly(text []byte, data any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(data)
}

// Unseen reports whether an event has a private part that is not here, as in the
// public edition of a record.
func Unseen(e transcript.Event) bool { return e.Commitment != "" && e.Private == nil }
