package session

import (
	"cmp"
	"errors"
	"slices"

	"rootceremony/keys"
)

// wireError is an error as it passes from the child to its parent: the whole
// text, and what the typed error in it needs to be made again.
type wireError struct {
	Kind   string    `json:"kind"`
	Text   string    `json:"text"`
	PUK    bool      `json:"puk,omitempty"`
	Tries  int       `json:"tries,omitempty"`
	Serial uint32    `json:"serial,omitempty"`
	Got    uint32    `json:"got,omitempty"`
	Found  []uint32  `json:"found,omitempty"`
	State  []string  `json:"state,omitempty"`
	Slot   keys.Slot `json:"slot,omitempty"`
	Bytes  int       `json:"bytes,omitempty"`
	Limit  int       `json:"limit,omitempty"`
	Status uint16    `json:"status,omitempty"`
	Why    string    `json:"why,omitempty"`
}

// plainErrors are the errors without numbers, by their kind on the wire.
var plainErrors = map[string]error{
	"not-touched": keys.ErrNotTouched,
	"removed":     keys.ErrRemoved,
	"management":  keys.ErrManagementKey,
	"no-service":  keys.ErrNoService,
	"no-token":    keys.ErrNoToken,

	"wrong-identity":   keys.ErrWrongIdentity,
	"identity-locked":  keys.ErrIdentityLocked,
	"wrong-passphrase": keys.ErrWrongPassphrase,
}

func toWire(err error) *wireError {
	w := &wireError{Kind: "other", Text: err.Error()}
	for kind, plain := range plainErrors {
		if errors.Is(err, plain) {
			w.Kind = kind
			return w
		}
	}
	var (
		pin       *keys.PINError
		format    *keys.PINFormatError
		notFound  *keys.NotFoundError
		serial    *keys.SerialError
		inUse     *keys.InUseError
		noKey     *keys.NoKeyError
		taken     *keys.SlotTakenError
		notFresh  *keys.NotFreshError
		tooLong   *keys.TooLongError
		generated *keys.NotGeneratedError
		refused   *keys.PINRefusedError
		status    *keys.StatusError
		answered  *keys.AnswerError
	)
	switch {
	case errors.As(err, &pin):
		w.Kind, w.PUK, w.Tries = "pin", pin.PUK, pin.TriesLeft
	case errors.As(err, &format):
		w.Kind, w.PUK = "pin-format", format.PUK
	case errors.As(err, &notFound):
		w.Kind, w.Serial, w.Found = "not-found", notFound.Serial, notFound.Found
	case errors.As(err, &serial):
		w.Kind, w.Serial, w.Got = "serial", serial.Want, serial.Got
	case errors.As(err, &inUse):
		w.Kind, w.Serial = "in-use", inUse.Serial
	case errors.As(err, &noKey):
		w.Kind, w.Slot = "no-key", noKey.Slot
	case errors.As(err, &taken):
		w.Kind, w.Slot = "slot-taken", taken.Slot
	case errors.As(err, &notFresh):
		w.Kind, w.Serial, w.State = "not-fresh", notFresh.Serial, notFresh.Found
	case errors.As(err, &tooLong):
		w.Kind, w.Bytes, w.Limit = "too-long", tooLong.Bytes, tooLong.Limit
	case errors.As(err, &generated):
		w.Kind, w.Slot = "not-generated", generated.Slot
	case errors.As(err, &refused):
		w.Kind, w.Serial = "pin-refused", refused.Serial
	case errors.As(err, &status):
		w.Kind, w.Serial, w.Status = "status", status.Serial, status.Status
	case errors.As(err, &answered):
		w.Kind, w.Serial, w.Why = "answer", answered.Serial, answered.Why
	}
	return w
}

// typed makes the error again. Its text is the one the child had, also where
// that says more than the typed error alone.
func (w *wireError) typed() error {
	err, plain := plainErrors[w.Kind]
	if !plain {
		switch w.Kind {
		case "pin":
			err = &keys.PINError{PUK: w.PUK, TriesLeft: w.Tries}
		case "pin-format":
			err = &keys.PINFormatError{PUK: w.PUK}
		case "not-found":
			err = &keys.NotFoundError{Serial: w.Serial, Found: slices.Clone(w.Found)}
		case "serial":
			err = &keys.SerialError{Want: w.Serial, Got: w.Got}
		case "in-use":
			err = &keys.InUseError{Serial: w.Serial}
		case "no-key":
			err = &keys.NoKeyError{Slot: w.Slot}
		case "slot-taken":
			err = &keys.SlotTakenError{Slot: w.Slot}
		case "not-fresh":
			err = &keys.NotFreshError{Serial: w.Serial, Found: slices.Clone(w.State)}
		case "too-long":
			err = &keys.TooLongError{Bytes: w.Bytes, Limit: w.Limit}
		case "not-generated":
			err = &keys.NotGeneratedError{Slot: w.Slot}
		case "pin-refused":
			err = &keys.PINRefusedError{Serial: w.Serial}
		case "status":
			err = &keys.StatusError{Serial: w.Serial, Status: w.Status}
		case "answer":
			err = &keys.AnswerError{Serial: w.Serial, Why: w.Why}
		default:
			return &keys.TokenError{Text: cmp.Or(w.Text, "the token's session failed, and didn't say how")}
		}
	}
	if w.Text == "" || w.Text == err.Error() {
		return err
	}
	return &saidError{w.Text, err}
}

// saidError is a typed error with more around it than the type says.
type saidError struct {
	text string
	err  error
}

func (e *saidError) Error() string { return e.text }

func (e *saidError) Unwrap() error { return e.err }
